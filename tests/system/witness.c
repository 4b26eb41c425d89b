/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/* See witness.h. */
#include "tests/system/witness.h"

#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

#include "shm/record.h"
#include "tests/stress/tap.h"

#define QUERIES   16u
#define OPEN_MAX  64u /* decisions of the process that wait to be told of */
#define BASELINES 4u
#define BURST     8u /* turns between two pauses */
#define PAUSE_NS  8000000

struct worker {
    struct witness *witness;
    sona_client *client;
    sona_lane *lane;
    struct witness_lane *log;
    uint64_t random;
    bool unsure; /* one more record than was written down may be committed */
    float x[QUERIES][WITNESS_DIM];
    pthread_t thread;
};

static pthread_mutex_t open_lock = PTHREAD_MUTEX_INITIALIZER;
static uint64_t open_id[OPEN_MAX];
static uint32_t n_open;

static void put_open(uint64_t id)
{
    (void)pthread_mutex_lock(&open_lock);
    open_id[n_open++] = id;
    (void)pthread_mutex_unlock(&open_lock);
}

/* Any one, when there are more than `least`; 0: none. */
static uint64_t take_open(struct worker *w, uint32_t least)
{
    uint64_t id = 0;

    (void)pthread_mutex_lock(&open_lock);
    if (n_open > least) {
        uint32_t k = (uint32_t)(tap_random(&w->random) % n_open);

        id = open_id[k];
        open_id[k] = open_id[--n_open];
    }
    (void)pthread_mutex_unlock(&open_lock);
    return id;
}

static bool stopping(const struct worker *w)
{
    return atomic_load_explicit(w->witness->stop, memory_order_relaxed);
}

/* Versions go on for ever, over restarts too. */
static void see(struct witness_lane *log, uint64_t version)
{
    log->without_model += version == 0;
    log->backwards += version < log->version;
    if (version > log->version)
        log->version = version;
}

static void committed(struct witness_lane *log, uint64_t n)
{
    atomic_fetch_add_explicit(&log->committed, n, memory_order_relaxed);
}

/* What is written down of `id`, of either lane. */
static struct witness_word *word_of(const struct worker *w, uint64_t id)
{
    return &w->witness->lane[SONA_ID_LANE(id)].word[SONA_ID_SEQ(id)];
}

/* A decision or trajectory began: its number is the lane's count, under one tag for ever. */
static void began(struct worker *w, uint64_t id)
{
    struct witness_lane *log = w->log;
    uint64_t n = atomic_load_explicit(&log->committed, memory_order_relaxed);

    if (log->tag == 0) {
        log->tag = SONA_ID_TAG(id);
        log->lane = SONA_ID_LANE(id);
    }
    if (w->unsure && SONA_ID_SEQ(id) == n + 1) {
        committed(log, 1);
        n++;
    }
    w->unsure = false;
    log->wrong +=
        SONA_ID_SEQ(id) != n || SONA_ID_TAG(id) != log->tag || SONA_ID_LANE(id) != log->lane;
    if (SONA_ID_LANE(id) >= WITNESS_LANES || SONA_ID_SEQ(id) >= WITNESS_SEQS)
        _exit(4);
    word_of(w, id)->said = WITNESS_BEGAN;
    committed(log, 1);
}

/* Whether the ring took it; the sidecar may be dead, and the ring full. */
static bool took(struct worker *w, sona_err err)
{
    w->log->full += err == SONA_E_FULL || err == SONA_E_DETACHED;
    w->log->wrong += err != SONA_OK && err != SONA_E_FULL && err != SONA_E_DETACHED;
    if (err == SONA_OK)
        committed(w->log, 1);
    return err == SONA_OK;
}

/* Adapted by the model there is, or was: also while no sidecar lives. */
static void ask(struct worker *w, const float *x)
{
    float y[WITNESS_DIM];
    uint64_t version = 0;

    w->log->wrong += sona_apply(w->lane, x, WITNESS_DIM, y, &version) != SONA_OK;
    see(w->log, version);
    atomic_fetch_add_explicit(&w->log->calls, 1, memory_order_relaxed);
}

/* The ring is full: go on asking until there is a sidecar again. */
static void wait_for_room(struct worker *w)
{
    const struct timespec nap = {.tv_nsec = 500000};

    ask(w, w->x[0]);
    (void)nanosleep(&nap, NULL);
}

static float draw_quality(struct worker *w)
{
    return (float)(tap_random(&w->random) % 65536) / 65536.0f;
}

/* Until it is said: nothing is forgotten by this client. */
static void tell(struct worker *w, uint64_t id, float quality, uint8_t what)
{
    struct witness_word *word = word_of(w, id);

    while (!took(w, sona_outcome(w->lane, id, quality, NULL)))
        wait_for_room(w);
    *(what == WITNESS_TOLD ? &word->told : &word->replaced) = quality;
    word->said |= what;
}

/* A direction, beside an outcome that says the same again and changes nothing. */
static void direct(struct worker *w, uint64_t id, const float *x)
{
    const sona_signal signal = {.kind = SONA_SIGNAL_FEEDBACK,
                                .quality = word_of(w, id)->told,
                                .id = id,
                                .gradient = x,
                                .n_gradient = WITNESS_DIM};
    sona_err err = sona_learn(w->lane, &signal, NULL);

    if (!took(w, err)) {
        w->unsure = true; /* the outcome may be in, the direction is not */
        return;
    }
    committed(w->log, 1);
    word_of(w, id)->said |= WITNESS_DIRECTED;
}

static void decide(struct worker *w, const float *x)
{
    sona_decision d = {.id = 0};
    uint32_t dice = (uint32_t)(tap_random(&w->random) % 32);
    sona_err err = sona_decide(w->lane, x, WITNESS_DIM, NULL, &d);

    see(w->log, d.version);
    w->log->full += err == SONA_E_FULL || err == SONA_E_DETACHED;
    w->log->wrong += err != SONA_OK && err != SONA_E_FULL && err != SONA_E_DETACHED;
    if (d.id == 0)
        return;
    began(w, d.id);
    (void)pthread_mutex_lock(&open_lock);
    bool later = dice < 12 && n_open < OPEN_MAX - WITNESS_LANES;
    (void)pthread_mutex_unlock(&open_lock);
    if (later) {
        put_open(d.id);
        return;
    }
    tell(w, d.id, draw_quality(w), WITNESS_TOLD);
    if (dice == 31) {
        float other = draw_quality(w);

        if (other != word_of(w, d.id)->told) /* the same again is no replacement */
            tell(w, d.id, other, WITNESS_REPLACED);
    } else if (dice == 30) {
        if (took(w, sona_outcome_revoke(w->lane, d.id)))
            word_of(w, d.id)->said |= WITNESS_REVOKED;
    } else if (dice == 29) {
        direct(w, d.id, x);
    }
}

static void run_trajectory(struct worker *w, const float *x)
{
    const sona_step step = {.activations = x,
                            .n_activations = WITNESS_DIM,
                            .reward = draw_quality(w),
                            .rewarded = true};
    float quality = draw_quality(w);
    uint64_t id = 0;
    sona_err err = sona_trajectory_begin(w->lane, x, WITNESS_DIM, &id);

    w->log->full += err == SONA_E_FULL || err == SONA_E_DETACHED;
    w->log->wrong += err != SONA_OK && err != SONA_E_FULL && err != SONA_E_DETACHED;
    if (err != SONA_OK)
        return;
    began(w, id);
    for (int k = 0; k < 2; k++)
        if (took(w, sona_trajectory_step(w->lane, id, &step)))
            word_of(w, id)->said |= WITNESS_STEPPED;
    while (!took(w, sona_trajectory_end(w->lane, id, quality)))
        wait_for_room(w);
    word_of(w, id)->told = quality;
    word_of(w, id)->said |= WITNESS_TOLD;
}

/* Rewards before anything was decided are about nothing. */
static void say_baselines(struct worker *w)
{
    for (uint32_t k = 0; k < BASELINES; k++) {
        const sona_signal signal = {.kind = SONA_SIGNAL_FEEDBACK, .quality = draw_quality(w)};

        w->log->baselines += took(w, sona_learn(w->lane, &signal, NULL));
    }
}

static void *work(void *arg)
{
    static const struct timespec pause = {.tv_nsec = PAUSE_NS};
    struct worker *w = arg;
    uint64_t id;

    for (uint32_t q = 0; q < QUERIES; q++)
        for (uint32_t i = 0; i < WITNESS_DIM; i++)
            w->x[q][i] = (float)((q * 37 + i * 11) % 29) - 14.5f;
    say_baselines(w);
    for (uint64_t n = 0; !stopping(w); n++) {
        const float *x = w->x[n % QUERIES];

        ask(w, x);
        if (n % 32 == 31)
            run_trajectory(w, x);
        else
            decide(w, x);
        if (n % 3 == 0 && (id = take_open(w, OPEN_MAX / 2)) != 0)
            tell(w, id, draw_quality(w), WITNESS_TOLD);
        if (n % BURST == 0)
            (void)nanosleep(&pause, NULL); /* two processors are shared with the sidecar */
    }
    while (w->unsure) /* the next number says how many there were */
        decide(w, w->x[0]);
    while ((id = take_open(w, 0)) != 0)
        tell(w, id, draw_quality(w), WITNESS_TOLD);
    sona_lane_release(&w->lane);
    return NULL;
}

_Noreturn void witness_run(struct witness *witness, const struct sona_spawn *sidecar)
{
    const sona_client_options options = {.instance = sidecar->instance,
                                         .runtime_dir = sidecar->runtime_dir,
                                         .lanes = WITNESS_LANES,
                                         .dim = WITNESS_DIM};
    static struct worker worker[WITNESS_LANES];
    sona_client *client;

    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (sona_client_open(&client, &options, NULL) != SONA_OK)
        _exit(1);
    for (uint32_t i = 0; i < WITNESS_LANES; i++) {
        worker[i] = (struct worker){.witness = witness,
                                    .client = client,
                                    .log = &witness->lane[i],
                                    .random = witness->seed * (2 * i + 3) | 1};
        if (sona_lane_claim(client, &worker[i].lane, NULL) != SONA_OK)
            _exit(2);
    }
    for (uint32_t i = 0; i < WITNESS_LANES; i++)
        if (pthread_create(&worker[i].thread, NULL, work, &worker[i]) != 0)
            _exit(3);
    for (uint32_t i = 0; i < WITNESS_LANES; i++)
        (void)pthread_join(worker[i].thread, NULL);
    do /* what waits in the rings is for the last sidecar */
        (void)sona_client_stats_get(client, &witness->stats);
    while (!witness->stats.attached);
    sona_client_close(&client);
    _exit(0);
}
