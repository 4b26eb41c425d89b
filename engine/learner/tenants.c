/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/*
 * Tenants: what the heads of all get wrong about the queries of one.
 *
 *     T_k(x) = bias_k + w_k.(s B_T A_T x)          added to the quality of route k
 *
 * Both parts learn from the error e of the whole prediction; the shared learner sees the quality
 * less T_k, so that what a tenant wants differently does not pull at everybody's heads.
 *
 *     bias    n += 1, bias += e / (n + mse / spread): the mean of what was left over, shrunk by how
 *             much tenants differ at all (empirical Bayes, Robbins 1956). `spread` is learned: the
 *             product of a new residue and the mean of the earlier ones has it for its expectation,
 *             since their noises are independent.
 *     A, B    one step down the gradient of e^2 / 2 (as micro.c), its length divided by the squared
 *             length of the gradient (normalised least mean squares, Nagumo and Noda 1967): a
 *             tenant has few outcomes, and each must show.
 *
 * A row is taken at a tenant's first outcome. The first row of A looks where that query was, the
 * others at random; B is zero, so that a new tenant's adapter changes nothing.
 *
 * Invariants: rows below n_tenants have a key, and the index leads to each of them. |bias| <= 1,
 * |s b_r a_r'| <= ADAPTER_MAX / rank.
 */
#include <math.h>
#include <string.h>

#include "engine/learner/state.h"

#define TENANT_RATE   0.05f  /* share of the error that one step of the adapter removes */
#define TENANT_EASE   0.05f  /* squared gradient at which it removes half of that */
#define TENANT_MEMORY 200.0f /* outcomes of a route that its bias averages over, at most */
#define SPREAD_START  0.01   /* variance between tenants, believed at first */
#define SPREAD_WEIGHT 20.0
#define SPREAD_KEEP   0.999 /* per outcome */
#define SPREAD_MIN    1e-4f
#define SPREAD_MAX    0.25f /* of qualities in 0..1 */
#define SPREAD_HALF   10.0f /* earlier outcomes at which a product weighs half */
#define ADAPTER_MAX   1.0f
#define A_MAX         4.0f  /* norm of a row of A; 1 at first */
#define A_MIN         0.25f /* and how short it counts when B is bounded */

static struct sona_model_tenant *row_of(const struct sona_learner *l, uint32_t row)
{
    return (void *)((unsigned char *)sona_learner_hot(l) +
                    sona_model_at(&l->layout.tenants, row, 0));
}

static float *part_of(const struct sona_learner *l, uint32_t row, size_t part)
{
    return sona_model_floats_of(sona_learner_hot(l), sona_model_at(&l->layout.tenants, row, part));
}

static struct sona_model_tenant_group *group_of(const struct sona_learner *l, uint32_t group)
{
    return (void *)((unsigned char *)sona_learner_hot(l) +
                    sona_model_at(&l->layout.tenant_index, group, 0));
}

static uint64_t *steps_at(const struct sona_learner *l, size_t offset)
{
    return (void *)((unsigned char *)(uintptr_t)l + offset);
}

static void touch(struct sona_learner *l, uint32_t row)
{
    steps_at(l, l->tenant_changes)[row] = sona_learner_head(l)->step;
}

/* Places of the index that may hold a key. */
#define PLACES (SONA_MODEL_TENANT_PROBES * SONA_MODEL_TENANT_GROUP)

static struct sona_model_tenant_group *place_at(const struct sona_learner *l, uint32_t key,
                                                uint32_t place, uint32_t *ret_group)
{
    *ret_group = (sona_model_tenant_group(&l->layout, key) + place / SONA_MODEL_TENANT_GROUP) &
                 (l->layout.tenant_index.count - 1);
    return group_of(l, *ret_group);
}

/* Write an entry of the index; key and row 0: free. */
static void list(struct sona_learner *l, uint32_t key, uint32_t place, uint32_t new_key,
                 uint32_t row)
{
    uint32_t group, i = place % SONA_MODEL_TENANT_GROUP;
    struct sona_model_tenant_group *g = place_at(l, key, place, &group);

    g->key[i] = new_key;
    g->row[i] = row;
    steps_at(l, l->index_changes)[group] = sona_learner_head(l)->step;
}

/* Where the index has `wanted` (0: nothing) among the places of `key`; PLACES: nowhere. */
static uint32_t look_up(const struct sona_learner *l, uint32_t key, uint32_t wanted)
{
    uint32_t place = 0, group;

    while (place < PLACES &&
           place_at(l, key, place, &group)->key[place % SONA_MODEL_TENANT_GROUP] != wanted)
        place++;
    return place;
}

static void evict(struct sona_learner *l, uint32_t row)
{
    uint32_t key = row_of(l, row)->key;

    list(l, key, look_up(l, key, key), 0, 0);
    l->counter[SONA_COUNTER_tenants_evicted]++;
}

/* Who learned least recently of all, or, when the index has no place for `key`, of those who have
 * its places. */
static uint32_t least_recent(const struct sona_learner *l, uint32_t key, bool of_places)
{
    const uint64_t *seen = steps_at(l, l->tenant_seen);
    uint32_t n = of_places ? PLACES : sona_learner_head(l)->n_tenants;
    uint32_t oldest = SONA_MODEL_NO_TENANT, group;

    for (uint32_t i = 0; i < n; i++) {
        uint32_t row = i;

        if (of_places)
            row = place_at(l, key, i, &group)->row[i % SONA_MODEL_TENANT_GROUP];
        if (oldest == SONA_MODEL_NO_TENANT || seen[row] < seen[oldest])
            oldest = row;
    }
    return oldest;
}

/* A row for a tenant that has none. */
static uint32_t take(struct sona_learner *l, uint32_t key, const float *x)
{
    const struct sona_model_layout *layout = &l->layout;
    struct sona_model_hot *head = sona_learner_head(l);
    uint32_t n = layout->dim_padded, row;
    bool no_place = look_up(l, key, 0) == PLACES;

    if (!no_place && head->n_tenants < layout->geometry.tenants_max) {
        row = head->n_tenants++;
    } else {
        row = least_recent(l, key, no_place);
        evict(l, row);
    }
    list(l, key, look_up(l, key, 0), key, row);
    memset(row_of(l, row), 0, layout->tenants.stride);
    row_of(l, row)->key = key;
    row_of(l, row)->since = head->step;
    for (uint32_t r = 0; r < layout->geometry.tenant_rank; r++) {
        float *a = part_of(l, row, layout->tenant_a) + (size_t)r * n, norm;

        for (uint32_t i = 0; i < layout->geometry.dim; i++)
            a[i] = r == 0
                       ? x[i]
                       : (float)(sona_model_random(l->config.seed, SONA_LEARNER_STREAM_TENANT + key,
                                                   (uint64_t)r * n + i) >>
                                 40) *
                                 0x1p-23f -
                             1;
        norm = sqrtf(sona_kernels_active()->dot(a, a, n));
        for (uint32_t i = 0; i < n && norm > 0; i++)
            a[i] /= norm;
    }
    return row;
}

static float scale_row(float *row, uint32_t n, float limit)
{
    float norm = sqrtf(sona_kernels_active()->dot(row, row, n));

    for (uint32_t i = 0; i < n && norm > limit; i++)
        row[i] *= limit / norm;
    return norm < limit ? norm : limit;
}

/* h_k = s B' w_k of every route. */
static void tie(struct sona_learner *l, uint32_t row)
{
    const struct sona_model_layout *layout = &l->layout;
    const float *b = part_of(l, row, layout->tenant_b);
    float *h = part_of(l, row, layout->tenant_heads), column[SONA_ROUTES_MAX];
    uint32_t n_routes = sona_learner_head(l)->n_routes;

    for (uint32_t r = 0; r < layout->geometry.tenant_rank; r++) {
        sona_kernels_active()->dot_rows(
            sona_learner_part(l, 0, layout->route_head), sona_model_stride(&layout->routes),
            n_routes, b + (size_t)r * layout->dim_padded, layout->dim_padded, column);
        for (uint32_t k = 0; k < n_routes; k++)
            h[(size_t)k * SONA_TENANT_RANK + r] =
                sona_model_clamp(sona_learner_head(l)->tenant_scale * column[k],
                                 -SONA_MODEL_NORM_MAX / 2, SONA_MODEL_NORM_MAX / 2);
    }
}

/* One step of A and B, both from the values before either. */
static void bend(struct sona_learner *l, uint32_t row, uint32_t k, const float *x, float error)
{
    const struct sona_model_layout *layout = &l->layout;
    const struct sona_kernels *kernels = sona_kernels_active();
    float *a = part_of(l, row, layout->tenant_a), *b = part_of(l, row, layout->tenant_b);
    const float *w = sona_learner_part(l, k, layout->route_head);
    float s = sona_learner_head(l)->tenant_scale, ax[SONA_TENANT_RANK], bw[SONA_TENANT_RANK];
    uint32_t n = layout->dim_padded, rank = layout->geometry.tenant_rank;
    float w2 = kernels->dot(w, w, n), x2 = kernels->dot(x, x, n), length2 = 0, step;

    kernels->dot_rows(a, n, rank, x, n, ax);
    kernels->dot_rows(b, n, rank, w, n, bw);
    for (uint32_t r = 0; r < rank; r++) {
        ax[r] = sona_model_clamp(ax[r], -1e3f, 1e3f);
        bw[r] = sona_model_clamp(bw[r], -1e3f, 1e3f);
        length2 += s * s * (ax[r] * ax[r] * w2 + bw[r] * bw[r] * x2);
    }
    step = TENANT_RATE * error * s / (length2 + TENANT_EASE);
    for (uint32_t r = 0; r < rank; r++) {
        float norm;

        kernels->axpy(step * ax[r], w, b + (size_t)r * n, n);
        kernels->axpy(step * bw[r], x, a + (size_t)r * n, n);
        norm = scale_row(a + (size_t)r * n, n, A_MAX);
        norm = norm > A_MIN ? norm : A_MIN;
        (void)scale_row(b + (size_t)r * n, n,
                        sona_model_clamp(ADAPTER_MAX / ((float)rank * (s + 1e-6f) * norm), 0,
                                         SONA_MODEL_NORM_MAX));
    }
    tie(l, row);
}

/* How much tenants differ: from a residue and the mean of those before it. */
static void learn_spread(struct sona_learner *l, float bias, float n, float ridge, float residue)
{
    if (n > 0) {
        double weight = (double)(n / (n + SPREAD_HALF));
        double before = (double)sona_model_clamp(bias * (n + ridge) / n, -1, 1);

        l->spread_n = SPREAD_KEEP * l->spread_n + weight;
        l->spread_s = SPREAD_KEEP * l->spread_s + weight * before * (double)residue;
    }
    sona_learner_head(l)->tenant_spread = sona_model_clamp(
        (float)((l->spread_s + SPREAD_START * SPREAD_WEIGHT) / (l->spread_n + SPREAD_WEIGHT)),
        SPREAD_MIN, SPREAD_MAX);
}

void sona_learner_tenants_learn(struct sona_learner *l, const struct sona_learner_event *event,
                                uint32_t k, const struct sona_model_scores *scores, float error)
{
    const struct sona_model_layout *layout = &l->layout;
    struct sona_model_hot *head = sona_learner_head(l);
    uint32_t row = scores->tenant_row;
    float ridge = sona_model_clamp(head->mse, 1e-3f, 1) / head->tenant_spread, gain, *bias, *n;
    float term = row == SONA_MODEL_NO_TENANT ? 0 : scores->tenant[k];

    if (event->tenant == 0 || layout->geometry.tenants_max == 0)
        return;
    if (row == SONA_MODEL_NO_TENANT)
        row = take(l, event->tenant, event->x);
    bias = part_of(l, row, layout->tenant_bias) + k;
    n = part_of(l, row, layout->tenant_n) + k;
    learn_spread(l, *bias, *n, ridge, error + term);
    *n = *n + 1 < TENANT_MEMORY ? *n + 1 : TENANT_MEMORY;
    gain = 1 / (*n + ridge);
    *bias = sona_model_clamp(*bias + gain * error, -1, 1);
    if (layout->geometry.tenant_rank > 0)
        bend(l, row, k, event->x, (1 - gain) * error);
    row_of(l, row)->outcomes += row_of(l, row)->outcomes < 8e6f;
    steps_at(l, l->tenant_seen)[row] = head->step;
    touch(l, row);
}

void sona_learner_tenants_tie(struct sona_learner *l)
{
    for (uint32_t row = 0; row < sona_learner_head(l)->n_tenants; row++) {
        tie(l, row);
        touch(l, row);
    }
}

void sona_learner_tenants_forget(struct sona_learner *l, uint32_t k)
{
    for (uint32_t row = 0; row < sona_learner_head(l)->n_tenants; row++) {
        part_of(l, row, l->layout.tenant_bias)[k] = part_of(l, row, l->layout.tenant_n)[k] = 0;
        memset(part_of(l, row, l->layout.tenant_heads) + (size_t)k * SONA_TENANT_RANK, 0,
               SONA_TENANT_RANK * sizeof(float));
        touch(l, row);
    }
}
