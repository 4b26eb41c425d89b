/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/*
 * What must be true at the end of every story:
 *
 *   - each outcome that was committed and not counted as thinned out is in the journal once, with
 * its quality, and those that a lane told of its own decisions in the order in which it told them;
 * unless client and sidecar died both, or the power failed: then what was safe before is there;
 *   - nothing is there that nobody said;
 *   - what resumes from the newest generation is, byte for byte, what a learner is that never
 *     stopped and was fed the journal from its first row;
 *   - the model that was published last is that learner's, byte for byte;
 *   - the counters say the same: records taken, outcomes learned, nothing dropped.
 *
 * Torn reads and versions that go back are found by the clients, when they happen.
 */
#include <stdlib.h>
#include <string.h>

#include "shm/publisher.h"
#include "shm/wire.h"
#include "tests/sim/director.h"
#include "tests/sim/wraps.h"
#include "tests/system/follower.h"

static struct {
    uint64_t id;
    char *hot, *cold; /* of the pair that a clean stop left */
} last;

static uint64_t outcomes;
static uint64_t last_order[SIM_CLIENTS_MAX][SIM_LANES];

/* A later sidecar may end without saying what it published. */
void sim_forget_last(void)
{
    last.id = 0;
}

/* Before the segment goes: what its readers would read. */
void __wrap_sona_shm_publisher_destroy(struct sona_shm_publisher **publisher, bool unlink_name)
{
    struct sona_shm_publisher *p = *publisher;
    uint64_t id = p ? sona_shm_publisher_current(p) : 0;

    if (id != 0 && sim_life.serves) {
        const struct sona_shm_header *h = sona_shm_publisher_header(p);
        const char *base = (const char *)sona_shm_publisher_live(p) - SONA_SHM_PAGE;
        struct sona_shm_plan plan;

        if (sona_shm_header_plan(h, 1, &plan) != SONA_OK)
            abort();
        const char *hot = base + plan.hot_offset + (id & 255) * plan.hot_stride;
        const char *cold = base + plan.cold_offset + (id >> 8 & 255) * plan.cold_stride;

        last.id = id;
        last.hot = malloc(sim_hot_bytes);
        last.cold = malloc(sim_cold_bytes);
        if (!last.hot || !last.cold)
            abort();
        memcpy(last.hot, hot + sizeof(struct sona_shm_hot), sim_hot_bytes);
        memcpy(last.cold, cold + sizeof(struct sona_shm_cold), sim_cold_bytes);
    }
    __real_sona_shm_publisher_destroy(publisher, unlink_name);
}

static bool see_row(void *context, const struct sona_store_record *r)
{
    bool outcome = r->kind == SONA_STORE_outcome || r->kind == SONA_STORE_query_outcome;
    struct sim_client *c = NULL;
    struct sim_word *w = r->kind < SONA_STORE_start ? sim_word_of(r->id, &c) : NULL;

    (void)context;
    outcomes += outcome;
    if (r->kind < SONA_STORE_start && !w)
        sim_fail("row %llu of the journal is of %llx, which nobody decided",
                 (unsigned long long)r->position, (unsigned long long)r->id);
    if (w) {
        w->heard_corrections += r->kind == SONA_STORE_replace;
        w->heard_revocations += r->kind == SONA_STORE_revoke;
        if (r->kind == SONA_STORE_replace && r->quality != w->correction)
            sim_fail("the outcome of %llx was corrected to %g and is %g", (unsigned long long)r->id,
                     (double)w->correction, (double)r->quality);
    }
    if (!outcome || !w)
        return true;
    w->heard++;
    w->heard_quality = r->quality;
    w->position = r->position;
    if (!w->told || w->lane != SONA_ID_LANE(w->id) + 1)
        return true;
    uint64_t *order = &last_order[c->number][w->lane - 1];
    if (w->order < *order)
        sim_fail("out of order: outcome %u of a lane is in the journal behind outcome %llu",
                 w->order, (unsigned long long)*order);
    *order = w->order;
    return true;
}

/* Told, and not in the journal, though neither a death nor the power explains it. */
static struct {
    uint64_t n, id;
} gone;

static void judge_word(const struct sim_client *c, const struct sim_word *w, uint64_t *missing)
{
    unsigned long long id = w->id;

    if (w->heard > 1)
        sim_fail("doubled: the outcome of %llx is in the journal %u times", id, w->heard);
    if (w->heard_corrections > w->corrected || w->heard_revocations > w->revoked)
        sim_fail("doubled: %llx was corrected %u times and taken back %u times", id,
                 w->heard_corrections, w->heard_revocations);
    if (w->heard > 0 &&
        (w->corrected > w->heard_corrections || w->revoked > w->heard_revocations) &&
        !c->may_lose && c->dropped == 0)
        sim_fail("lost: the outcome of %llx is in the journal, and its %s is not", id,
                 w->corrected ? "correction" : "revocation");
    if (w->heard > 0 && !w->told)
        sim_fail("the outcome of %llx was never told", id);
    if (w->heard > 0 && w->heard_quality != w->quality)
        sim_fail("the outcome of %llx was told as %g and is %g", id, (double)w->quality,
                 (double)w->heard_quality);
    if (w->must && w->heard == 0)
        sim_fail("lost: the outcome of %llx was safe when the power failed", id);
    if (w->told && w->heard == 0) {
        if (!c->may_lose && c->dropped == 0) {
            gone.n++;
            gone.id = w->id;
        }
        (*missing)++;
    }
}

static void judge_counters(void)
{
    uint64_t committed = 0;
    bool exact = !sim_was_cut;

    for (uint32_t i = 0; i < sim_n_clients; i++) {
        committed += sim_clients[i].committed;
        exact &= !sim_clients[i].may_lose && sim_clients[i].dropped == 0;
    }
    /* A disk that is too slow thins out what is learned, and that is counted. */
    if (exact ? gone.n != sim_life.thinned : gone.n > sim_life.thinned)
        sim_fail("lost: %llu outcomes, the last of %llx, are not in the journal, %llu are counted "
                 "as thinned out",
                 (unsigned long long)gone.n, (unsigned long long)gone.id,
                 (unsigned long long)sim_life.thinned);
    if (sim_life.learned != outcomes)
        sim_fail("%llu outcomes are counted as learned, %llu are in the journal",
                 (unsigned long long)sim_life.learned, (unsigned long long)outcomes);
    if (exact && sim_life.taken != committed)
        sim_fail("%llu records were committed, %llu are counted as taken",
                 (unsigned long long)committed, (unsigned long long)sim_life.taken);
    if (exact && sim_life.dropped != 0)
        sim_fail("%llu records are counted as dropped", (unsigned long long)sim_life.dropped);
}

static size_t first_difference(const void *a, const void *b)
{
    const char *x = a, *y = b;
    size_t at = 0;

    while (x[at] == y[at])
        at++;
    return at;
}

/* The published pair against the learner that was fed the journal. */
static void judge_model(const struct follower *f)
{
    struct sona_model_view view = sona_learner_view(f->core.learner);

    if (last.id == 0)
        return;
    /* Queries take no step, and are shown with the next outcome (client.h). */
    ((struct sona_model_hot *)(void *)last.hot)->observed =
        ((const struct sona_model_hot *)view.hot)->observed;
    if (memcmp(last.hot, view.hot, sim_hot_bytes) != 0)
        sim_fail("the hot half that was published last is not the learner's, from byte %zu on",
                 first_difference(last.hot, view.hot));
    if (memcmp(last.cold, view.cold, sim_cold_bytes) != 0)
        sim_fail("the cold half that was published last is not the learner's, from byte %zu on",
                 first_difference(last.cold, view.cold));
}

void sim_judge(void)
{
    const char *args[40] = {"--isolated"};
    struct sona_spawn files = {.pid = 0};
    struct follower f;
    char state[80];
    uint64_t missing = 0;
    sona_diag diag = {.text = ""};

    for (int i = 0; sim_arguments()[i]; i++)
        args[i + 1] = sim_arguments()[i];
    (void)snprintf(files.instance, sizeof files.instance, "%s", sim.instance);
    (void)snprintf(files.runtime_dir, sizeof files.runtime_dir, "%s", sim.dir);
    (void)snprintf(state, sizeof state, "%s/state", sim.dir);
    if (follower_open(&f, state, sim.instance, args, &diag) != SONA_OK) {
        sim_fail("the oracle cannot begin: %s", diag.text);
        return;
    }
    f.visit = see_row;
    if (!follower_agrees(&f, &files, state, &diag))
        sim_fail("what resumes is not what never stopped: %s", diag.text);
    sim_note("judged", f.rows, outcomes);
    if (sim.failed)
        return;
    for (uint32_t i = 0; i < sim_n_clients; i++)
        for (uint32_t k = 0; k < sim_clients[i].n_words; k++)
            judge_word(&sim_clients[i], &sim_clients[i].word[k], &missing);
    judge_counters();
    judge_model(&f);
    sim_rows = f.rows;
    sim_outcomes = outcomes;
    sim_lost = missing;
}
