/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/*
 * The gate: are queries still of the regime that learns, and if not, of which?
 *
 * A regime is known by its SONA_LEARNER_DIRECTIONS principal directions U and by how much of a
 * query lies in them, E = |U x|^2 / |x|^2: mean and deviation over queries that U was not made of.
 *
 *     collect 128 ──► turn (orthogonal iteration, one step a query) ──► measure 100 ──► watch
 *     collect 300 ──► turn ──► measure ──► watch with the better U
 *
 *     young   until the first directions stand, every RECONSIDER queries: are they an old regime's?
 *     watch   z = (mean - E) / deviation;  alarm = max(0, alarm + min(z, Z_MAX) - slack),
 *             slack = SLACK + ERRORS / sqrt(queries that the mean is of)
 *             alarm > LIMIT: the queries since it passed CERTAIN, LEAST of them, are compared with
 *             every regime; the one whose mean they are nearest to, within NEAR deviations, is
 *             active from now on; without one a new regime is opened, in place of the one left
 *             longest ago, if this one has learned WORTH outcomes. One with fewer keeps its
 * learner, which knows more than a new one would, and gets the directions of the new queries.
 *
 * With the gate off and EWC++ on the same is watched, and a change ends a task (ewc.c); but one
 * learner goes on, whatever the regime is called.
 *
 * Directions fit the queries that they are made of better than any other: in 256 dimensions 300
 * queries without any direction in common have three times their share in them. Queries that come
 * again would raise the mean, and after them all others look foreign. So each regime has a mark of
 * every query that its directions are made of: such a query is of the regime, whatever its energy,
 * and measures nothing. Marks know a query by all its bits, and one in 200 by mistake; made of 128
 * or 300 means as many different ones.
 *
 * Directions, not outcomes: feedback is sparse and late, and a route that changed for the same
 * queries is drift (drift.c), not a regime. The work per query is bounded: 8 products, in the 30
 * queries of a turn 2 x 8 x 300 more.
 */
#include <math.h>
#include <string.h>

#include "engine/learner/linalg.h"
#include "engine/learner/state.h"

#define FIRST         128u /* queries that the first directions are made of */
#define STEPS         10u  /* of orthogonal iteration */
#define MEASURE       100u
#define MEASURED_MAX  1000u /* queries that mean and deviation are averaged over */
#define SLACK         0.4f  /* deviations below the mean that are nothing, */
#define ERRORS        2.0f  /* and as many standard errors of that mean */
#define LIMIT         15.0f
#define CERTAIN       5.0f  /* alarm from which on queries are taken for those of the new regime */
#define RECONSIDER    32u   /* queries between two looks at whether a young regime is an old one */
#define LEAST         12u   /* queries that a judgement needs: the mean of fewer is a rough one */
#define Z_MAX         4.0f  /* one odd query is no regime */
#define WORTH         256u  /* outcomes that make a learner worth keeping apart */
#define NEAR          0.7f  /* deviations between a regime's mean and that of its queries */
#define DEVIATION_MIN 0.01f /* of an energy, in 0..1 */

enum phase { COLLECT, TURN, MEASURE_ENERGY, WATCH };

void sona_learner_gate_place(struct sona_learner *l, const sona_config *config, size_t *end)
{
    size_t vector = l->layout.dim_padded * sizeof(float);
    uint32_t n = sona_learner_gate_watches(config) ? config->regimes_max : 0;

    /* One place more: the better directions of the active regime, in the making. */
    sona_learner_place(end, &l->directions,
                       n ? (size_t)(n + 1) * SONA_LEARNER_DIRECTIONS * vector : 0);
    sona_learner_place(end, &l->marks,
                       n ? (size_t)(n + 1) * SONA_LEARNER_MARKS * sizeof(uint64_t) : 0);
    sona_learner_place(end, &l->collected, n ? SONA_LEARNER_COLLECT * vector : 0);
    sona_learner_place(end, &l->recent, n ? SONA_LEARNER_RECENT * vector : 0);
    sona_learner_place(end, &l->recent_id, n ? SONA_LEARNER_RECENT * sizeof(uint64_t) : 0);
    sona_learner_place(end, &l->regime, n * sizeof(struct sona_learner_regime));
    for (l->seen_count = 64; l->seen_count < config->trajectory_capacity;)
        l->seen_count *= 2;
    if (!config->gate)
        l->seen_count = 0;
    sona_learner_place(end, &l->seen, l->seen_count * sizeof(struct sona_learner_seen));
}

static void start(struct sona_learner *l, enum phase phase)
{
    l->gate.phase = phase;
    l->gate.count = 0;
    l->gate.sum = l->gate.square = 0;
}

void sona_learner_gate_init(struct sona_learner *l)
{
    if (!sona_learner_gate_watches(&l->config))
        return;
    l->gate.opened = 1;
    sona_learner_regimes(l)[0].id = 1;
    start(l, COLLECT);
}

/* ---- queries that directions are made of ---- */

/* Words of four lanes, so that no product waits for the one before. Which SIMD variant runs makes
 * no difference. */
static uint64_t name_of(const struct sona_learner *l, const float *x)
{
    uint64_t lane[4] = {1, 2, 3, 4}, name = 0;

    for (uint32_t i = 0; i < l->layout.dim_padded; i += 8)
        for (uint32_t j = 0; j < 4; j++) {
            uint64_t word;

            memcpy(&word, x + i + 2 * (size_t)j, sizeof word);
            lane[j] = (lane[j] ^ word) * 0x9e3779b97f4a7c15ull;
            lane[j] ^= lane[j] >> 32;
        }
    for (uint32_t j = 0; j < 4; j++)
        name = ((name ^ lane[j]) * 0xd6e8feb86659fd93ull) ^ (name >> 29);
    return name ^ name >> 32;
}

static uint64_t *marks(const struct sona_learner *l, uint32_t index)
{
    return (uint64_t *)(void *)((unsigned char *)(uintptr_t)l + l->marks) +
           (size_t)index * SONA_LEARNER_MARKS;
}

static bool is_marked(const struct sona_learner *l, uint32_t index, uint64_t name)
{
    const uint64_t *bits = marks(l, index);
    uint32_t a = (uint32_t)name % (64 * SONA_LEARNER_MARKS);
    uint32_t b = (uint32_t)(name >> 32) % (64 * SONA_LEARNER_MARKS);

    return (bits[a / 64] >> (a % 64) & bits[b / 64] >> (b % 64) & 1u) != 0;
}

static void mark(struct sona_learner *l, uint32_t index, uint64_t name)
{
    uint64_t *bits = marks(l, index);
    uint32_t a = (uint32_t)name % (64 * SONA_LEARNER_MARKS);
    uint32_t b = (uint32_t)(name >> 32) % (64 * SONA_LEARNER_MARKS);

    bits[a / 64] |= 1ull << (a % 64);
    bits[b / 64] |= 1ull << (b % 64);
}

/* Directions made of other queries than before. */
static void collect(struct sona_learner *l)
{
    memset(marks(l, l->config.regimes_max), 0, SONA_LEARNER_MARKS * sizeof(uint64_t));
    start(l, COLLECT);
}

/* ---- which regime a query was seen in ---- */

/* Ids of a lane count up, so neighbours never share a place; lanes are spread by a hash. */
static struct sona_learner_seen *seen_at(const struct sona_learner *l, uint64_t id)
{
    struct sona_learner_seen *all = (void *)((unsigned char *)(uintptr_t)l + l->seen);
    uint64_t lane = (id >> 40) * 0x9e3779b97f4a7c15ull >> 32;

    return &all[(id + lane) & (l->seen_count - 1)];
}

static void remember(struct sona_learner *l, uint64_t id)
{
    *seen_at(l, id) = (struct sona_learner_seen){
        .id = id,
        .regime = sona_learner_regimes(l)[l->gate.active].id,
    };
}

uint32_t sona_learner_gate_regime_of(const struct sona_learner *l, uint64_t id)
{
    const struct sona_learner_seen *seen;

    if (!l->config.gate || id == 0)
        return l->gate.active;
    seen = seen_at(l, id);
    for (uint32_t r = 0; seen->id == id && r < l->config.regimes_max; r++)
        if (sona_learner_regimes(l)[r].id == seen->regime)
            return r;
    return l->gate.active;
}

uint32_t sona_learner_gate_regimes(const struct sona_learner *l)
{
    uint32_t n = 0;

    for (uint32_t r = 0; l->config.gate && r < l->config.regimes_max; r++)
        n += sona_learner_regimes(l)[r].id != 0;
    return n;
}

/* ---- directions and energies ---- */

static float *directions(const struct sona_learner *l, uint32_t index)
{
    return sona_learner_floats(l, l->directions) +
           (size_t)index * SONA_LEARNER_DIRECTIONS * l->layout.dim_padded;
}

static float energy(const struct sona_learner *l, uint32_t index, const float *x)
{
    const struct sona_kernels *kernels = sona_kernels_active();
    uint32_t n = l->layout.dim_padded;
    float part[SONA_LEARNER_DIRECTIONS], sum = 0, whole = kernels->dot(x, x, n);

    kernels->dot_rows(directions(l, index), n, SONA_LEARNER_DIRECTIONS, x, n, part);
    for (uint32_t i = 0; i < SONA_LEARNER_DIRECTIONS; i++)
        sum += part[i] * part[i];
    /* The length of a query says nothing about where it points. */
    return whole > 1e-30f ? sona_model_clamp(sum / whole, 0, 1) : 0;
}

static float *collected(const struct sona_learner *l, uint32_t i)
{
    return sona_learner_floats(l, l->collected) + (size_t)i * l->layout.dim_padded;
}

/* One step of orthogonal iteration on `count` collected queries, from some of them. */
static void turn(struct sona_learner *l, uint32_t count)
{
    const struct sona_kernels *kernels = sona_kernels_active();
    uint32_t n = l->layout.dim_padded;
    float *rows = directions(l, l->config.regimes_max);
    if (l->gate.count == 0) {
        for (uint32_t r = 0; r < SONA_LEARNER_DIRECTIONS; r++) {
            memcpy(rows + (size_t)r * n, collected(l, r * count / SONA_LEARNER_DIRECTIONS),
                   n * sizeof *rows);
            sona_learner_orthonormalise(rows, n, r, n);
        }
        return;
    }
    for (uint32_t r = 0; r < SONA_LEARNER_DIRECTIONS; r++) {
        float *next = sona_learner_floats(l, l->scratch);

        memset(next, 0, n * sizeof *next);
        for (uint32_t i = 0; i < count; i++) {
            const float *x = collected(l, i);

            kernels->axpy(kernels->dot(x, rows + (size_t)r * n, n), x, next, n);
        }
        memcpy(rows + (size_t)r * n, next, n * sizeof *rows);
        sona_learner_orthonormalise(rows, n, r, n);
    }
}

/* ---- phases ---- */

static uint32_t wanted(const struct sona_learner *l)
{
    return sona_learner_regimes(l)[l->gate.active].ready ? SONA_LEARNER_COLLECT : FIRST;
}

static void measured(struct sona_learner *l)
{
    struct sona_learner_regime *regime = &sona_learner_regimes(l)[l->gate.active];
    double mean = l->gate.sum / MEASURE;
    double variance = l->gate.square / MEASURE - mean * mean;

    memcpy(directions(l, l->gate.active), directions(l, l->config.regimes_max),
           (size_t)SONA_LEARNER_DIRECTIONS * l->layout.dim_padded * sizeof(float));
    memcpy(marks(l, l->gate.active), marks(l, l->config.regimes_max),
           SONA_LEARNER_MARKS * sizeof(uint64_t));
    regime->mean = (float)mean;
    regime->deviation =
        sona_model_clamp((float)sqrt(variance > 0 ? variance : 0), DEVIATION_MIN, 1);
    regime->measured = MEASURE;
    regime->refined = regime->ready;
    regime->ready = 1;
    regime->turning = 0;
    l->gate.alarm = 0;
    l->gate.since = 0;
    start(l, regime->refined ? WATCH : COLLECT);
    if (!regime->refined)
        l->gate.count = FIRST; /* they are still there, and their marks */
}

/* Better directions in the making, while those there are go on watching. */
static void improve(struct sona_learner *l, const float *x, uint64_t name)
{
    struct sona_learner_gate *gate = &l->gate;
    bool known = is_marked(l, l->config.regimes_max, name);
    float e;

    switch ((enum phase)gate->phase) {
    case COLLECT:
        if (known)
            break;
        mark(l, l->config.regimes_max, name);
        memcpy(collected(l, gate->count++), x, l->layout.dim_padded * sizeof *x);
        if (gate->count == wanted(l))
            start(l, TURN);
        break;
    case TURN:
        turn(l, wanted(l));
        if (++gate->count > STEPS)
            start(l, MEASURE_ENERGY);
        break;
    case MEASURE_ENERGY:
        if (known)
            break;
        e = energy(l, l->config.regimes_max, x);
        gate->sum += (double)e;
        gate->square += (double)e * (double)e;
        if (++gate->count == MEASURE)
            measured(l);
        break;
    case WATCH:
        break;
    }
}

/* How many deviations lie between a query's energy and the mean of its regime; bounded, for one odd
 * query is no regime. */
static float deviations(const struct sona_learner_regime *regime, float e)
{
    return sona_model_clamp((regime->mean - e) / regime->deviation, -Z_MAX, Z_MAX);
}

/* How far the last `n` queries lie from the mean of a regime, in its deviations. */
static float distance(const struct sona_learner *l, uint32_t index, uint32_t n)
{
    const struct sona_learner_regime *regime = &sona_learner_regimes(l)[index];
    float sum = 0;

    if (regime->id == 0 || !regime->ready)
        return INFINITY;
    for (uint32_t i = 0; i < n; i++) {
        uint32_t slot = (uint32_t)((l->gate.recent - 1 - i) % SONA_LEARNER_RECENT);
        const float *x = sona_learner_floats(l, l->recent) + (size_t)slot * l->layout.dim_padded;

        if (!is_marked(l, index, name_of(l, x)))
            sum += deviations(regime, energy(l, index, x));
    }
    return fabsf(sum / (float)n);
}

/* A free index, or the one whose regime was left longest ago. */
static uint32_t make_room(struct sona_learner *l)
{
    const struct sona_learner_regime *regimes = sona_learner_regimes(l);
    uint32_t oldest = l->gate.active;

    for (uint32_t r = 0; r < l->config.regimes_max; r++) {
        if (regimes[r].id == 0)
            return r;
        if (r != l->gate.active &&
            (oldest == l->gate.active || regimes[r].used < regimes[oldest].used))
            oldest = r;
    }
    l->counter[SONA_COUNTER_regimes_replaced]++;
    return oldest;
}

static void go_to(struct sona_learner *l, uint32_t to, bool fresh)
{
    struct sona_learner_regime *regimes = sona_learner_regimes(l);
    uint32_t from = l->gate.active;

    regimes[from].used = sona_learner_head(l)->observed;
    if (fresh)
        regimes[to] = (struct sona_learner_regime){.id = ++l->gate.opened};
    l->gate.active = to;
    regimes[to].turning = 0;
    if (l->config.gate) {
        sona_learner_regime_switch(l, from, to, fresh);
        l->gate.changes++;
        l->counter[SONA_COUNTER_regime_switches]++;
    } else {
        regimes[to].base = l->taught;
    }
    if (regimes[to].refined)
        start(l, WATCH);
    else
        collect(l);
}

/* The regime that the last `n` queries lie nearest to; the active one when there is none. */
static uint32_t nearest(const struct sona_learner *l, uint32_t n, float *ret_least)
{
    uint32_t best = l->gate.active;

    *ret_least = INFINITY;
    for (uint32_t r = 0; r < l->config.regimes_max; r++) {
        float far = distance(l, r, n);

        if (far < *ret_least) {
            *ret_least = far;
            best = r;
        }
    }
    return best;
}

/* The queries are of a new kind. A learner that was told little starts no other one: with sparse
 * feedback each would know even less. It goes on, under new directions; while they are made, the
 * old ones watch on, for an old regime may come back. */
static void open_another(struct sona_learner *l)
{
    struct sona_learner_regime *active = &sona_learner_regimes(l)[l->gate.active];

    if (l->taught - active->base >= WORTH) {
        (void)sona_learner_ewc_boundary(l);
        go_to(l, make_room(l), true);
    } else if (!active->turning) {
        active->turning = 1;
        active->refined = 0;
        active->base = l->taught;
        collect(l);
    }
}

/* The alarm went off: where do the queries since it began belong? */
static void judge(struct sona_learner *l)
{
    uint32_t n = l->gate.since < SONA_LEARNER_RECENT ? l->gate.since : SONA_LEARNER_RECENT;
    float least;
    uint32_t best = nearest(l, n, &least);

    if (!(least <= NEAR)) {
        open_another(l);
    } else if (best != l->gate.active) {
        (void)sona_learner_ewc_boundary(l);
        go_to(l, best, false);
    }
    l->gate.alarm = 0;
    l->gate.since = 0;
}

/* A hundred queries give a mean that is off by a tenth of a deviation; go on while all is quiet. */
static void refine(struct sona_learner_regime *regime, float e)
{
    float rate, variance = regime->deviation * regime->deviation, off = e - regime->mean;

    if (regime->measured < MEASURED_MAX)
        regime->measured++;
    rate = 1 / (float)regime->measured;
    regime->mean += rate * off;
    variance += rate * (off * off - variance);
    regime->deviation = sona_model_clamp(sqrtf(variance), DEVIATION_MIN, 1);
}

static void watch(struct sona_learner *l, const float *x, uint64_t name)
{
    struct sona_learner_regime *regime = &sona_learner_regimes(l)[l->gate.active];
    bool known = is_marked(l, l->gate.active, name);
    float e = known ? regime->mean : energy(l, l->gate.active, x);
    /* A mean that chance made too high rings for queries that are as they always were. */
    float slack = SLACK + ERRORS / sqrtf((float)regime->measured);
    float alarm = l->gate.alarm + deviations(regime, e) - slack;

    if (alarm < CERTAIN && !known)
        refine(regime, e);
    l->gate.alarm = sona_model_clamp(alarm, 0, 2 * LIMIT);
    l->gate.since = l->gate.alarm > CERTAIN ? l->gate.since + 1 : 0;
    if (l->gate.alarm > LIMIT && l->gate.since >= LEAST)
        judge(l);
}

/* A regime that is too young to watch was perhaps opened by a passing visit, or because the queries
 * that rang the alarm were of two kinds: when they are those of an old one, go back to it, and
 * forget the young one. */
static void reconsider(struct sona_learner *l)
{
    struct sona_learner_regime *young = &sona_learner_regimes(l)[l->gate.active];
    float least;
    uint32_t best;

    if (++l->gate.since % RECONSIDER != 0)
        return;
    best = nearest(l, RECONSIDER, &least);
    if (!(least <= NEAR / 2))
        return;
    go_to(l, best, false);
    memset(young, 0, sizeof *young);
    l->gate.alarm = 0;
    l->gate.since = 0;
}

void sona_learner_gate_observe(struct sona_learner *l, uint64_t id, const float *x)
{
    uint32_t slot = (uint32_t)(l->gate.recent % SONA_LEARNER_RECENT);
    uint64_t *ids, name;

    if (!sona_learner_gate_watches(&l->config))
        return;
    ids = (void *)((unsigned char *)l + l->recent_id);
    ids[slot] = id;
    memcpy(sona_learner_floats(l, l->recent) + (size_t)slot * l->layout.dim_padded, x,
           l->layout.dim_padded * sizeof *x);
    l->gate.recent++;
    name = name_of(l, x);
    improve(l, x, name);
    if (sona_learner_regimes(l)[l->gate.active].ready)
        watch(l, x, name);
    else
        reconsider(l);
    if (l->config.gate)
        remember(l, id);
}

/* ---- loading ---- */

static bool regime_is_sound(const struct sona_learner *l, uint32_t r)
{
    const struct sona_learner_regime *all = sona_learner_regimes(l), *regime = &all[r];

    for (uint32_t other = 0; other < r; other++)
        if (all[other].id == regime->id)
            return false;
    return regime->id <= l->gate.opened && regime->ready <= 1 && regime->refined <= 1 &&
           (!regime->ready ||
            (regime->mean >= 0 && regime->mean <= 1 && regime->deviation >= DEVIATION_MIN &&
             regime->deviation <= 1 && regime->measured >= 1 && regime->measured <= MEASURED_MAX));
}

static bool phase_is_sound(const struct sona_learner *l)
{
    const struct sona_learner_gate *gate = &l->gate;

    switch ((enum phase)gate->phase) {
    case COLLECT:
        return gate->count < wanted(l);
    case TURN:
        return gate->count <= STEPS;
    case MEASURE_ENERGY:
        return gate->count < MEASURE && gate->sum >= 0 && gate->sum <= (double)MEASURE &&
               gate->square >= 0 && gate->square <= (double)MEASURE;
    case WATCH:
        return true;
    }
    return false;
}

bool sona_learner_gate_is_sound(const struct sona_learner *l)
{
    const struct sona_learner_gate *gate = &l->gate, none = {0};
    uint32_t n = l->layout.dim_padded;

    if (!sona_learner_gate_watches(&l->config))
        return memcmp(gate, &none, sizeof none) == 0;
    if (gate->active >= l->config.regimes_max || sona_learner_regimes(l)[gate->active].id == 0 ||
        !phase_is_sound(l) || !isfinite(gate->sum) || !isfinite(gate->square) ||
        !(gate->alarm >= 0 && gate->alarm <= 2 * LIMIT) ||
        gate->opened > sona_learner_observed(l) + 1)
        return false;
    for (uint32_t r = 0; r < l->config.regimes_max; r++)
        if (sona_learner_regimes(l)[r].id != 0 && !regime_is_sound(l, r))
            return false;
    return sona_model_vectors_are_bounded(
               directions(l, 0), n, (l->config.regimes_max + 1) * SONA_LEARNER_DIRECTIONS, n) &&
           sona_model_vectors_are_bounded(collected(l, 0), n, SONA_LEARNER_COLLECT, n) &&
           sona_model_vectors_are_bounded(sona_learner_floats(l, l->recent), n, SONA_LEARNER_RECENT,
                                          n);
}
