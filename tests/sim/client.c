/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/*
 * See client.h. Each lane has a task. Nothing else runs between the commit of a record and the line
 * that writes it down, so what is written down is what was committed, whenever the process dies.
 *
 * While a lane holds a snapshot others run. It takes the sum of both halves, the first half of the
 * bytes before and the second after, and compares it with the publisher's when the library believes
 * what it read.
 */
#include "tests/sim/client.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "shm/reader.h"
#include "shm/record.h"
#include "sidecar/sidecar.h"
#include "tests/sim/director.h"

struct sim_client sim_clients[SIM_CLIENTS_MAX];
uint32_t sim_n_clients;

struct lane_task {
    struct sim_client *client;
    uint32_t index;
};

static struct lane_task lane_tasks[SIM_CLIENTS_MAX * SIM_LANES];

/* ---- what is held ---- */

/* One call at a time holds one, in each task; the hazard tells them apart. */
struct held {
    const struct sona_shm_pin *pin;
    uint64_t hot_sum, hot_seal, cold_sum, cold_seal;
};
static struct held held[SIM_CLIENTS_MAX * SIM_LANES];

static uint64_t seal_of(const void *pad)
{
    uint64_t sum;

    memcpy(&sum, pad, sizeof sum);
    return sum;
}

static uint64_t rest_of(uint64_t before, const void *bytes, size_t n)
{
    return sona_shm_sum(before, (const char *)bytes + n / 2, n - n / 2);
}

static struct held *held_by(const struct sona_shm_pin *pin)
{
    struct held *free_one = NULL;

    for (size_t i = 0; i < sizeof held / sizeof held[0]; i++) {
        if (held[i].pin == pin)
            return &held[i];
        if (!held[i].pin && !free_one)
            free_one = &held[i];
    }
    return free_one;
}

/* Some hold it for a while, a few longer than the lease. */
static void hold(void)
{
    uint32_t kind = dice_below(&sim.story, 64);

    if (kind < 16)
        sim_sleep(1000ull * (1 + dice_below(&sim.story, 200)));
    else if (kind == 16)
        sim_sleep((1 + dice_below(&sim.story, 3 * SIM_LEASE_MS)) * SIM_MS);
}

void sona_shm_pinned(const struct sona_shm_pin *pin, const _Atomic uint64_t *hazard)
{
    size_t hot = sim_hot_bytes, cold = sim_cold_bytes;
    struct held *h = held_by(pin);

    (void)hazard;
    if (hot == 0)
        return;
    if (!h)
        abort();
    h->pin = pin;
    h->hot_seal = seal_of(pin->hot_head->pad);
    h->cold_seal = seal_of(pin->cold_head->pad);
    h->hot_sum = sona_shm_sum(0, pin->hot, hot / 2);
    h->cold_sum = sona_shm_sum(0, pin->cold, cold / 2);
    sim_story_point("pinned", SIM_POINT_PINNED);
    hold();
    h->hot_sum = rest_of(h->hot_sum, pin->hot, hot);
    h->cold_sum = rest_of(h->cold_sum, pin->cold, cold);
}

void sona_shm_accepted(const struct sona_shm_pin *pin, uint32_t halves)
{
    struct held *h = held_by(pin);

    if (sim_hot_bytes == 0 || !h || h->pin != pin)
        return;
    h->pin = NULL;
    if ((halves & SONA_SHM_USE_HOT) && h->hot_sum != h->hot_seal)
        sim_fail("torn: an accepted read of snapshot %llx is not what was published",
                 (unsigned long long)pin->id);
    if ((halves & SONA_SHM_USE_COLD) && h->cold_sum != h->cold_seal)
        sim_fail("torn: an accepted read of cold half %llx is not what was published",
                 (unsigned long long)pin->cold_id);
}

/* ---- words ---- */

struct sim_client *sim_client_of_tag(uint32_t tag)
{
    for (uint32_t i = 0; i < sim_n_clients; i++)
        if (tag != 0 && sim_clients[i].tag == tag)
            return &sim_clients[i];
    return NULL;
}

struct sim_word *sim_word_of(uint64_t id, struct sim_client **ret_client)
{
    for (uint32_t i = 0; i < sim_n_clients; i++)
        for (uint32_t k = 0; k < sim_clients[i].n_words; k++)
            if (sim_clients[i].word[k].id == id) {
                if (ret_client)
                    *ret_client = &sim_clients[i];
                return &sim_clients[i].word[k];
            }
    return NULL;
}

static void see_version(struct sim_client *c, uint32_t index, uint64_t version)
{
    if (version == 0)
        return;
    if (version < c->version[index])
        sim_fail("a version went back: %llx after %llx", (unsigned long long)version,
                 (unsigned long long)c->version[index]);
    c->version[index] = version;
}

static void decide(struct sim_client *c, uint32_t index)
{
    sona_decision d = {.id = 0};
    float x[SIM_DIM];
    uint32_t theme = dice_below(&sim.story, 4);

    for (uint32_t i = 0; i < SIM_DIM; i++)
        x[i] = (float)((theme * 37 + i * 11) % 29) - 14.5f + dice_signed(&sim.story);
    sona_err err = sona_decide(c->lane[index], x, SIM_DIM, NULL, &d);
    sim_note("decide", d.id, (uint64_t)err);
    if (err != SONA_OK)
        return;
    c->committed++;
    c->tag = SONA_ID_TAG(d.id);
    see_version(c, index, d.version);
    c->lane_of[index] = 1 + SONA_ID_LANE(d.id);
    c->word[c->n_words++] = (struct sim_word){.id = d.id};
}

/* Of one of the words that are not told yet; false: all are. */
static bool tell(struct sim_client *c, uint32_t index)
{
    uint32_t n = 0, at[SIM_WORDS];

    for (uint32_t k = 0; k < c->n_words; k++)
        if (!c->word[k].told)
            at[n++] = k;
    if (n == 0)
        return false;
    struct sim_word *w = &c->word[at[dice_below(&sim.story, n)]];
    float quality = (float)(1 + dice_below(&sim.story, 1000)) / 1024.0f;
    w->told = true; /* by us: the other lane leaves it alone */
    sona_err err = sona_outcome(c->lane[index], w->id, quality, NULL);
    sim_note("outcome", w->id, (uint64_t)err);
    if (err != SONA_OK) {
        w->told = false;
        return true;
    }
    c->committed++;
    w->quality = quality;
    w->lane = c->lane_of[index];
    w->order = (uint32_t)++c->told[index];
    return true;
}

/* Say something else of one of this lane's words, or take it back: behind what it said first. */
static void correct(struct sim_client *c, uint32_t index)
{
    uint32_t n = 0, at[SIM_WORDS];
    bool revoke = dice_below(&sim.story, 3) == 0;

    for (uint32_t k = 0; k < c->n_words; k++) {
        const struct sim_word *w = &c->word[k];

        if (w->told && !w->corrected && !w->revoked && w->lane != 0 &&
            w->lane == c->lane_of[index] && w->lane == SONA_ID_LANE(w->id) + 1)
            at[n++] = k;
    }
    if (n == 0)
        return;
    struct sim_word *w = &c->word[at[dice_below(&sim.story, n)]];
    /* Something else: the same again would be a duplicate. */
    float quality = w->quality < 0.5f ? w->quality + 0.5f : w->quality - 0.5f;
    sona_err err = revoke ? sona_outcome_revoke(c->lane[index], w->id)
                          : sona_outcome(c->lane[index], w->id, quality, NULL);
    sim_note(revoke ? "revoke" : "correct", w->id, (uint64_t)err);
    if (err != SONA_OK)
        return;
    c->committed++;
    w->revoked = revoke;
    w->corrected = !revoke;
    w->correction = quality;
}

static void adapt(struct sim_client *c, uint32_t index)
{
    float x[SIM_DIM], y[SIM_DIM];
    uint64_t version;

    for (uint32_t i = 0; i < SIM_DIM; i++)
        x[i] = dice_signed(&sim.story);
    if (sona_apply(c->lane[index], x, SIM_DIM, y, &version) == SONA_OK)
        see_version(c, index, version);
}

static void rest(void)
{
    static const uint64_t us[] = {0, 20, 200, 3000, 30000};
    uint32_t kind = dice_below(&sim.story, 16);
    uint64_t most = us[kind < 4 ? 0 : kind < 8 ? 1 : kind < 12 ? 2 : kind < 15 ? 3 : 4];

    if (most > 0)
        sim_sleep(1000ull * (1 + dice_below(&sim.story, (uint32_t)most)));
    else
        sim_yield();
}

static void *lane_main(void *arg)
{
    const struct lane_task *t = arg;
    struct sim_client *c = t->client;
    uint32_t words = 0, tries = 0;
    sona_diag diag;

    if (sona_lane_claim(c->client, &c->lane[t->index], &diag) != SONA_OK) {
        sim_fail("a lane is not to be had: %s", diag.text);
        return NULL;
    }
    while (words < c->words_wanted && c->n_words < SIM_WORDS && tries++ < 4 * c->words_wanted) {
        uint32_t before = c->n_words;

        switch (dice_below(&sim.story, 9) / 2) {
        case 0:
            for (uint32_t n = dice_below(&sim.story, 8); n > 0; n--)
                adapt(c, t->index);
            break;
        case 1:
            (void)tell(c, t->index);
            break;
        case 4:
            correct(c, t->index);
            break;
        default:
            decide(c, t->index);
        }
        words += c->n_words - before;
        rest();
    }
    for (tries = 0; tries < 4 * SIM_WORDS && tell(c, t->index); tries++)
        rest();
    c->lanes_done++;
    return NULL;
}

/* ---- the process ---- */

static bool is_attached(struct sim_client *c)
{
    sona_client_stats stats;

    if (sona_client_stats_get(c->client, &stats) != SONA_OK)
        return false;
    c->dropped = stats.dropped_restart;
    return stats.attached;
}

static void *client_main(void *arg)
{
    struct sim_client *c = arg;
    const sona_client_options options = {.instance = sim.instance,
                                         .runtime_dir = sim.dir,
                                         .lanes = c->n_lanes,
                                         .dim = SIM_DIM,
                                         .pooled_lanes = true,
                                         .full_fence = c->full_fence,
                                         .when_absent = SONA_DETACHED,
                                         .seed = 1 + c->number};
    sona_diag diag = {.text = ""};

    while (sona_client_open(&c->client, &options, &diag) != SONA_OK) {
        sim_note("not_open", (uint64_t)diag.code, 0);
        sim_sleep(5 * SIM_MS); /* a sidecar died while it greeted us */
    }
    for (uint32_t i = 0; i < c->n_lanes; i++) {
        struct lane_task *t = &lane_tasks[c->number * SIM_LANES + i];

        *t = (struct lane_task){.client = c, .index = i};
        (void)sim_task_begin(c->process, "lane", lane_main, t);
    }
    while (c->lanes_done < c->n_lanes || !c->finish || !is_attached(c))
        sim_sleep(2 * SIM_MS);
    sona_client_close(&c->client);
    c->closed = true;
    sim_note("closed", c->committed, 0);
    return NULL;
}

struct sim_client *sim_client_begin(uint32_t n_lanes, uint32_t words)
{
    struct sim_client *c = &sim_clients[sim_n_clients];

    *c = (struct sim_client){.number = sim_n_clients++,
                             .n_lanes = n_lanes,
                             .words_wanted = words,
                             .full_fence = dice_below(&sim.story, 4) == 0};
    c->process = sim_process_begin("client");
    (void)sim_task_begin(c->process, "main", client_main, c);
    return c;
}
