/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/*
 * The ring of outcomes that the background loop reads. What falls out of it leaves its count and
 * its quality with the pattern it was nearest to: no outcome is forgotten altogether.
 */
#include <string.h>

#include "engine/learner/state.h"

void sona_learner_replay_archive(struct sona_learner *l, const struct sona_learner_entry *entry)
{
    if (entry->pattern < l->archive_rows)
        sona_learner_patterns_add(&l->layout, sona_learner_archive(l, entry->pattern), entry->route,
                                  entry->quality, entry->weight);
}

void sona_learner_replay_push(struct sona_learner *l, const struct sona_learner_event *event,
                              uint32_t k, uint32_t pattern, float error)
{
    uint32_t slot = l->replay_next;
    struct sona_learner_entry *entry = &sona_learner_entries(l)[slot];

    if (l->replay_count == l->replay_capacity)
        sona_learner_replay_archive(l, entry);
    else
        l->replay_count++;
    l->replay_next = slot + 1 == l->replay_capacity ? 0 : slot + 1;
    *entry = (struct sona_learner_entry){
        .id = event->id,
        .step = sona_learner_head(l)->step,
        .route = k,
        .pattern = pattern,
        .quality = event->quality,
        .weight = 1,
        .error = error,
        .tenant = event->tenant,
        .type = event->type < SONA_MODEL_TYPES ? event->type : 0,
    };
    /* A replacement may come from the very slot that it goes to. */
    memmove(sona_learner_replay_x(l, slot), event->x, l->layout.dim_padded * sizeof(float));
}

void sona_learner_replay_discount(struct sona_learner *l, uint32_t k, float factor)
{
    struct sona_learner_entry *entries = sona_learner_entries(l);

    for (uint32_t i = 0; i < l->replay_count; i++)
        if (entries[i].route == k)
            entries[i].weight *= factor;
}

void sona_learner_replay_discount_archive(struct sona_learner *l, uint32_t k, float factor)
{
    for (uint32_t c = 0; c < l->archive_rows; c++) {
        float *row = sona_learner_archive(l, c);

        row[l->layout.pattern_n / sizeof(float) + k] *= factor;
        row[l->layout.pattern_s / sizeof(float) + k] *= factor;
    }
}

void sona_learner_replay_forget(struct sona_learner *l, uint32_t k)
{
    struct sona_learner_entry *entries = sona_learner_entries(l);

    sona_learner_replay_discount(l, k, 0);
    sona_learner_replay_discount_archive(l, k, 0);
    for (uint32_t i = 0; i < l->replay_count; i++)
        if (entries[i].route == k)
            entries[i].route = SONA_LEARNER_NO_ROUTE;
}
