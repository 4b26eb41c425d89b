/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/*
 * The pattern bank between two cycles: searches that found its patterns, gathered until the next
 * install, and what callers ask of it at once.
 */
#include <assert.h>
#include <string.h>

#include "engine/learner/bank.h"
#include "engine/learner/job.h"
#include "engine/learner/state.h"

static struct sona_learner_hits *hits(const struct sona_learner *l)
{
    return (void *)((unsigned char *)(uintptr_t)l + l->hits);
}

static struct sona_model_cold *cold_of(const struct sona_learner *l)
{
    return sona_learner_cold(l);
}

/* The row must still have the pattern that the search saw: rows move when others are removed. */
sona_err sona_learner_hit(struct sona_learner *l, const struct sona_learner_event *event)
{
    const struct sona_model_bank *row;

    if (event->layer >= cold_of(l)->n_bank ||
        (row = sona_model_bank_row(&l->layout, cold_of(l), event->layer))->id != event->id) {
        l->counter[SONA_COUNTER_drop_pattern_hits]++;
        return SONA_E_UNKNOWN_ID;
    }
    hits(l)[event->layer].count++;
    hits(l)[event->layer].last = sona_learner_step(l);
    l->counter[SONA_COUNTER_pattern_hits]++;
    l->fresh_hits++;
    return SONA_OK;
}

static void give_hits(const struct sona_learner_hits *from, struct sona_model_bank *row)
{
    row->access_count += from->count;
    if (from->last > row->last_accessed)
        row->last_accessed = from->last;
}

void sona_learner_hits_take(struct sona_learner *l)
{
    for (uint32_t c = 0; c < cold_of(l)->n_bank; c++)
        if (hits(l)[c].count > 0)
            give_hits(&hits(l)[c], sona_model_bank_row(&l->layout, cold_of(l), c));
    memset(hits(l), 0, l->layout.bank.count * sizeof(struct sona_learner_hits));
}

/* The row of the new table that has this pattern: mostly where it was. */
static struct sona_model_bank *find(const struct sona_learner *l, void *cold, uint32_t c,
                                    uint64_t id)
{
    uint32_t n = ((struct sona_model_cold *)cold)->n_bank;

    if (c < n && sona_model_bank_row(&l->layout, cold, c)->id == id)
        return sona_model_bank_row(&l->layout, cold, c);
    for (uint32_t i = 0; i < n; i++)
        if (sona_model_bank_row(&l->layout, cold, i)->id == id)
            return sona_model_bank_row(&l->layout, cold, i);
    return NULL; /* merged or pruned meanwhile */
}

void sona_learner_hits_carry(struct sona_learner *l, struct sona_learner_job *j)
{
    void *made = sona_learner_job_at(j, j->cold);

    for (uint32_t c = 0; c < cold_of(l)->n_bank; c++) {
        struct sona_model_bank *row;

        if (hits(l)[c].count == 0)
            continue;
        row = find(l, made, c, sona_model_bank_row(&l->layout, cold_of(l), c)->id);
        if (row)
            give_hits(&hits(l)[c], row);
    }
    memset(hits(l), 0, l->layout.bank.count * sizeof(struct sona_learner_hits));
}

static void report(const struct sona_learner *l, uint32_t merged, uint32_t pruned,
                   sona_bank_report *ret)
{
    *ret = (sona_bank_report){
        .patterns = cold_of(l)->n_bank,
        .merged = merged,
        .pruned = pruned,
        .weight = sona_learner_bank_weight(&l->layout, cold_of(l)),
    };
}

/* Rows may move: what was gathered for them comes first. */
static void begin(struct sona_learner *l)
{
    assert(!l->cycle_running); /* its install would bring the old table back */
    sona_learner_hits_take(l);
}

sona_err sona_learner_decay(struct sona_learner *l, float factor, sona_bank_report *ret)
{
    if (!(factor >= 0 && factor <= 1))
        return SONA_E_RANGE;
    begin(l);
    sona_learner_bank_decay(&l->layout, cold_of(l), factor);
    report(l, 0, 0, ret);
    return SONA_OK;
}

sona_err sona_learner_prune(struct sona_learner *l, const sona_prune_rule *rule,
                            sona_bank_report *ret)
{
    uint32_t pruned;

    if (!(rule->min_quality >= 0 && rule->min_quality <= 2))
        return SONA_E_RANGE;
    begin(l);
    pruned = sona_learner_bank_prune(&l->layout, cold_of(l), rule, 0, sona_learner_step(l));
    sona_learner_bank_index(&l->layout, cold_of(l));
    l->counter[SONA_COUNTER_patterns_pruned] += pruned;
    report(l, 0, pruned, ret);
    return SONA_OK;
}

sona_err sona_learner_consolidate(struct sona_learner *l, float similarity, sona_bank_report *ret)
{
    uint32_t merged;

    if (!(similarity >= -1 && similarity <= 1))
        return SONA_E_RANGE;
    begin(l);
    merged = sona_learner_bank_merge(&l->layout, cold_of(l), similarity, 0, UINT32_MAX);
    sona_learner_bank_index(&l->layout, cold_of(l));
    l->counter[SONA_COUNTER_patterns_merged] += merged;
    l->counter[SONA_COUNTER_consolidations]++;
    report(l, merged, 0, ret);
    return SONA_OK;
}

uint32_t sona_learner_bank_rows(const struct sona_learner *l, void *ret)
{
    uint32_t n = cold_of(l)->n_bank;

    memcpy(ret, sona_model_bank_row(&l->layout, cold_of(l), 0), n * l->layout.bank.stride);
    for (uint32_t k = 0; k < sona_learner_head(l)->n_routes; k++)
        for (uint32_t c = 0; c < n; c++) {
            unsigned char *row = (unsigned char *)ret + c * l->layout.bank.stride;

            if (sona_model_bank_knows(cold_of(l), sona_learner_row(l, k)))
                break;
            sona_model_floats_of(row, l->layout.bank_n)[k] = 0; /* a predecessor's */
            sona_model_floats_of(row, l->layout.bank_s)[k] = 0;
        }
    return n;
}

sona_err sona_learner_bank_add(struct sona_learner *l, const void *rows, uint32_t n,
                               sona_bank_report *ret)
{
    SONA_MODEL_KERNELS(&l->layout);
    uint32_t merged = 0;

    for (uint32_t i = 0; i < n; i++) {
        const void *row = (const unsigned char *)rows + i * l->layout.bank.stride;
        sona_err err = sona_learner_bank_check(&l->layout, row);

        if (err != SONA_OK)
            return err;
    }
    begin(l);
    for (uint32_t k = 0; k < sona_learner_head(l)->n_routes; k++)
        if (!sona_model_bank_knows(cold_of(l), sona_learner_row(l, k)))
            sona_learner_bank_forget_route(&l->layout, cold_of(l), k); /* a predecessor's */
    if (!sona_learner_bank_take(&l->layout, cold_of(l), rows, n, l->config.pattern_similarity,
                                &l->bank_id, &merged))
        return SONA_E_LIMIT;
    sona_learner_bank_index(&l->layout, cold_of(l));
    cold_of(l)->step = sona_learner_step(l); /* so that readers believe every column */
    l->counter[SONA_COUNTER_patterns_merged] += merged;
    report(l, merged, 0, ret);
    return SONA_OK;
}
