/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/* See verdict.h. */
#include "tests/system/verdict.h"

#include "shm/record.h"

/* The word that a row of the journal is about. */
static struct witness_word *word_of(const struct verdict *v, uint64_t id)
{
    for (uint32_t c = 0; c < v->n; c++) {
        struct witness_lane *log = &v->witness[c].lane[0];

        if (log->tag == SONA_ID_TAG(id) && SONA_ID_LANE(id) < WITNESS_LANES &&
            SONA_ID_SEQ(id) < WITNESS_SEQS)
            return &log[SONA_ID_LANE(id)].word[SONA_ID_SEQ(id)];
    }
    return NULL;
}

static void count(uint8_t *n)
{
    *n = (uint8_t)(*n + (*n < UINT8_MAX));
}

bool verdict_row(void *context, const struct sona_store_record *r)
{
    struct verdict *v = context;
    struct witness_word *word = word_of(v, r->id);

    if (r->kind == SONA_STORE_baseline)
        v->baselines++;
    if (r->kind >= SONA_STORE_start || r->kind == SONA_STORE_baseline)
        return true;
    if (!word) {
        v->strangers++;
        return true;
    }
    switch (r->kind) {
    case SONA_STORE_query_outcome:
        count(&word->queries);
        /* fall through */
    case SONA_STORE_outcome:
        count(&word->outcomes);
        word->heard = r->quality;
        break;
    case SONA_STORE_query:
        count(&word->queries);
        break;
    case SONA_STORE_replace:
        count(&word->replacements);
        word->corrected = r->quality;
        break;
    case SONA_STORE_revoke:
        count(&word->revocations);
        break;
    case SONA_STORE_gradient:
        count(&word->directions);
        break;
    case SONA_STORE_steps:
        count(&word->steps);
        break;
    default:
        v->strangers++;
    }
    return true;
}

/* What was said and is not there, or is there and was not said, or more than once. */
struct found {
    uint64_t said, lost, doubled, wrong;
};

static void find(struct found *f, bool said, uint8_t heard)
{
    f->said += said;
    f->lost += said && heard == 0;
    f->doubled += heard > said;
}

void verdict_say(const struct verdict *verdict, struct tap *tap)
{
    const struct verdict *v = verdict;
    struct found decisions = {0}, outcomes = {0}, corrections = {0}, signals = {0}, steps = {0};
    uint64_t baselines = 0;

    for (uint32_t c = 0; c < v->n; c++)
        for (uint32_t i = 0; i < WITNESS_LANES; i++) {
            const struct witness_lane *log = &v->witness[c].lane[i];
            uint64_t n = atomic_load_explicit(&log->committed, memory_order_relaxed);

            baselines += log->baselines;
            for (uint64_t k = 0; k < n && k < WITNESS_SEQS; k++) {
                const struct witness_word *w = &log->word[k];

                /* Each was told of in the end: its outcome carries its embedding and route. */
                find(&decisions, w->said & WITNESS_BEGAN, w->outcomes);
                decisions.doubled += w->queries > 1;
                find(&outcomes, w->said & WITNESS_TOLD, w->outcomes);
                outcomes.wrong += w->outcomes > 0 && w->heard != w->told;
                find(&corrections, w->said & WITNESS_REPLACED, w->replacements);
                corrections.wrong += w->replacements > 0 && w->corrected != w->replaced;
                find(&corrections, w->said & WITNESS_REVOKED, w->revocations);
                find(&signals, w->said & WITNESS_DIRECTED, w->directions);
                find(&steps, w->said & WITNESS_STEPPED, w->steps);
            }
        }
    find(&signals, v->baselines == baselines, 1);
    signals.lost += baselines > v->baselines ? baselines - v->baselines : 0;
#define SAY(f, what)                                                            \
    tap_ok(tap, (f).said > 0 && (f).lost + (f).doubled + (f).wrong == 0,        \
           "%llu " what ": %llu lost, %llu doubled, %llu with another quality", \
           (unsigned long long)(f).said, (unsigned long long)(f).lost,          \
           (unsigned long long)(f).doubled, (unsigned long long)(f).wrong)
    SAY(decisions, "decisions and trajectories");
    SAY(outcomes, "outcomes");
    SAY(corrections, "corrections and revocations");
    SAY(signals, "signals");
    SAY(steps, "trajectories with steps");
#undef SAY
    tap_ok(tap, v->strangers == 0, "%llu rows that no client said",
           (unsigned long long)v->strangers);
}
