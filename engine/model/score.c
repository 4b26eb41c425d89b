/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/*
 * What each route is worth for a query: the formulas of model.h, in its letters.
 *
 * The vector products run over every row in use, in one sweep per table, whether or not its route
 * is a candidate: rows are adjacent and a product is cheaper than a mispredicted branch. What is
 * common to all routes cannot rank them, so each term is centred; its mean still takes part in the
 * predicted quality, with a weight of its own.
 */
#include <math.h>
#include <string.h>

#include "engine/kernels/kernels.h"
#include "engine/model/block.h"
#include "engine/model/model.h"

#define HEAD_TRUST    10.0f /* outcomes at which the AdaGrad head counts half */
#define PATTERN_PRIOR 8.0f  /* outcomes that a pattern's residual is shrunk by */
#define CENTRE_PRIOR  0.1f  /* weight of a route without outcomes in the means */
#define STACK_MAX     1.5f
#define WIDTH_SCALE   1.96f /* exploration: variances, not deviations */
#define WIDTH_CODE    0.02f /* share of the uncertainty in the code space that is explored */

#define LENGTH_MIN   1e-15f /* of a query whose squares are still floats */
#define WIDTH_TENANT 0.3f   /* the same of the uncertainty about a tenant's preference */

/* What the terms ask of route rows, side by side: the rows are kilobytes apart. */
struct rows {
    float n[SONA_ROUTES_MAX], mean[SONA_ROUTES_MAX], bias[SONA_ROUTES_MAX];
    float evidence[SONA_ROUTES_MAX];   /* n, the prior's included */
    uint32_t enabled[SONA_ROUTES_MAX]; /* all ones or 0 */
    uint32_t fit[SONA_ROUTES_MAX];     /* enabled, and known to the cold half */
};

/* One query on its way through the terms. */
struct scoring {
    const struct sona_model_layout *layout;
    const struct sona_model_view *view;
    const float *x;
    struct sona_model_scores *out;
    struct rows *rows; /* the first n of them are set */
    uint32_t n;        /* rows in use, clamped */
    uint32_t flags;
    uint32_t has_code;
};

static bool in_set(const uint64_t *set, uint32_t index)
{
    return set[index / 64] >> (index % 64) & 1u;
}

static const struct sona_model_route *route_at(const struct scoring *s, uint32_t k)
{
    return sona_model_route_row(s->layout, s->view->hot, k);
}

static float evidence(const struct sona_model_route *row)
{
    float n = row->n + row->prior_n;

    return n > SONA_MODEL_WEIGHT_MIN ? n : SONA_MODEL_WEIGHT_MIN;
}

static void begin(struct scoring *s)
{
    s->n = sona_model_n_routes(s->view);
    s->flags = sona_model_hot_of(s->view)->flags;
    s->has_code = sona_model_word(&sona_model_cold_of(s->view)->has_code);
    s->out->n_routes = s->n;
    for (uint32_t k = 0; k < s->n; k++) {
        const struct sona_model_route *row = route_at(s, k);
        bool enabled = sona_model_word(&row->state) == SONA_ROUTE_ENABLED;

        s->rows->n[k] = row->n;
        s->rows->mean[k] = row->mean;
        s->rows->bias[k] = row->bias;
        s->rows->evidence[k] = evidence(row);
        s->rows->enabled[k] = 0u - enabled;
        s->rows->fit[k] = 0u - (enabled && s->has_code && sona_model_word(&row->fit));
    }
}

/* The value where the mask is all ones, else 0; a NaN does not get past it. */
static inline float only(uint32_t mask, float value)
{
    uint32_t bits;

    memcpy(&bits, &value, sizeof bits);
    bits &= mask;
    memcpy(&value, &bits, sizeof bits);
    return value;
}

/* Keep the SONA_MODEL_TOP nearest, nearest first. As numbers the bits of distances, which are not
 * negative, are ordered as the distances are, with NaNs beyond all of them; no branch is guessed
 * wrong. */
static void keep_nearest(uint64_t nearest[SONA_MODEL_TOP], float distance, uint32_t index)
{
    uint64_t far;
    uint32_t bits;

    memcpy(&bits, &distance, sizeof bits);
    far = (uint64_t)bits << 32 | index;
    for (uint32_t i = 0; i < SONA_MODEL_TOP; i++) {
        uint64_t kept = nearest[i];

        nearest[i] = far < kept ? far : kept;
        far = far < kept ? kept : far;
    }
}

/* Take them apart again; a NaN is never near. */
static void take_nearest(const uint64_t nearest[SONA_MODEL_TOP], struct sona_model_assignment *ret)
{
    memset(ret, 0, sizeof *ret);
    for (uint32_t i = 0; i < SONA_MODEL_TOP; i++) {
        uint32_t bits = (uint32_t)(nearest[i] >> 32);
        float distance;

        memcpy(&distance, &bits, sizeof distance);
        if (!(distance >= 0))
            return;
        ret->weight[i] = distance;
        ret->index[i] = (uint32_t)nearest[i];
        ret->count++;
    }
}

/* Distances become weights: softmax(-distance / width). */
static void soften(struct sona_model_assignment *near, float width)
{
    float sum = 0, nearest = near->weight[0];

    width = sona_model_clamp(width, 1e-6f, 1e6f);
    for (uint32_t i = 0; i < near->count; i++) {
        near->weight[i] = expf((nearest - near->weight[i]) / width);
        sum += near->weight[i];
    }
    for (uint32_t i = 0; i < near->count; i++)
        near->weight[i] /= sum;
}

void sona_model_distances(const struct sona_model_view *view, const float *space, uint32_t from,
                          uint32_t count, float *ret)
{
    const struct sona_model_layout *l = view->layout;

    /* |s - c|^2 by one sweep of products: the sum of squares is known for both. */
    sona_kernels_active()->dot_rows(
        sona_model_floats(view->cold, sona_model_at(&l->patterns, from, l->pattern_centroid)),
        sona_model_stride(&l->patterns), count, space, l->dim_padded, ret);
    for (uint32_t i = 0; i < count; i++) {
        ret[i] = 1 + sona_model_pattern_row(l, view->cold, from + i)->norm2 - 2 * ret[i];
        if (ret[i] < 0) /* rounding; a NaN stays one */
            ret[i] = 0;
    }
}

/* The patterns near x' = (x + A'A x) / length', whose length' is `lifted` lengths of x. A product
 * with a centroid c is one of x with the lifted centroid: (x + A'A x).c = x.(c + A'A c), so that x'
 * itself is never made. */
static void assign(const struct sona_model_view *view, const float *x, float length, float lifted,
                   struct sona_model_scores *out)
{
    const struct sona_model_layout *l = view->layout;
    const struct sona_kernels *kernels = sona_kernels_active();
    uint32_t n = sona_model_n_patterns(view);
    uint64_t nearest[SONA_MODEL_TOP];
    int32_t product[SONA_MODEL_CELLS];
    float scale = -2 / (lifted * (SONA_MODEL_POINT * SONA_MODEL_LIFTED));

    memset(nearest, 0xff, sizeof nearest); /* NaNs */
    /* Of a length that is none, nothing is near or far. */
    kernels->fix(x, length > LENGTH_MIN ? SONA_MODEL_POINT / length : 0, l->dim_padded, out->point);
    kernels->dot_rows_fixed(sona_model_pattern_lifted(l, view->cold, 0),
                            l->patterns.stride / sizeof(int16_t), n, out->point, l->dim_padded,
                            product);
    for (uint32_t c = 0; c < n; c++) {
        float distance =
            1 + sona_model_pattern_row(l, view->cold, c)->norm2 + scale * (float)product[c];

        /* Below 0 by rounding; a NaN stays one. */
        keep_nearest(nearest, distance < 0 ? 0 : distance, c);
    }
    take_nearest(nearest, &out->near);
    if (out->near.count > 0)
        soften(&out->near, sona_model_cold_of(view)->pattern_width);
}

void sona_model_locate(const struct sona_model_view *view, const float *x,
                       struct sona_model_scores *out)
{
    SONA_MODEL_KERNELS(view->layout);
    const struct sona_model_layout *l = view->layout;
    const struct sona_kernels *kernels = sona_kernels_active();
    uint32_t rank = l->geometry.base_rank;
    bool unit = (l->geometry.flags & SONA_GEOMETRY_NORMALIZE) != 0;
    float square = unit ? 1 : kernels->dot(x, x, l->dim_padded), code = 0;

    kernels->dot_rows(sona_model_floats(view->cold, l->code), l->dim_padded, rank, x, l->dim_padded,
                      out->code);
    /* |x + A'A x|^2: the rows of A are orthonormal. */
    for (uint32_t r = 0; r < rank; r++)
        code += out->code[r] * out->code[r];
    out->code[rank] = 1;
    for (uint32_t r = rank + 1; r < l->code_padded; r++)
        out->code[r] = 0;
    assign(view, x, sqrtf(square), square > 0 ? sqrtf(1 + 3 * code / square) : 1, out);
}

/* u_3k of every row, from the patterns near the query: each has its routes side by side. */
static void pattern_terms(const struct scoring *s, float *restrict ret)
{
    const struct sona_model_layout *l = s->layout;
    float weight[SONA_ROUTES_MAX];

    for (uint32_t k = 0; k < s->n; k++) {
        ret[k] = 0;
        weight[k] = PATTERN_PRIOR;
    }
    for (uint32_t i = 0; i < s->out->near.count; i++) {
        uint32_t c = s->out->near.index[i];
        float a = s->out->near.weight[i];
        const float *row = sona_model_floats(s->view->hot, sona_model_at(&l->pattern_stats, c, 0));
        const float *n = row + l->pattern_n / sizeof(float);
        const float *sum = row + l->pattern_s / sizeof(float);
        const float *line =
            sona_model_floats(s->view->cold, sona_model_at(&l->patterns, c, l->pattern_lin));

        for (uint32_t k = 0; k < s->n; k++) {
            ret[k] += a * (sum[k] - n[k] * line[k]);
            weight[k] += a * n[k];
        }
    }
    for (uint32_t k = 0; k < s->n; k++)
        ret[k] /= weight[k];
}

/* g_k . z of every row. */
static void code_terms(const struct scoring *s, float *ret)
{
    const struct sona_model_layout *l = s->layout;

    sona_kernels_active()->dot_rows(
        sona_model_floats(s->view->hot, sona_model_at(&l->routes, 0, l->route_code)),
        sona_model_stride(&l->routes), s->n, s->out->code, l->code_padded, ret);
}

/* u_4k */
static void micro_terms(const struct scoring *s, float *ret)
{
    const float *h = sona_model_floats(s->view->hot, s->layout->micro_heads);

    for (uint32_t k = 0; k < s->n; k++, h += SONA_MICRO_RANK_MAX) {
        float sum = 0;

        for (uint32_t r = 0; r < s->layout->geometry.micro_rank; r++)
            sum += h[r] * s->out->micro_code[r];
        ret[k] = only(s->rows->enabled[k], sum);
    }
}

/* All products of the query. The heads come last: learning reads them again. */
static void multiply(const struct scoring *s, bool refit, float *code)
{
    const struct sona_model_layout *l = s->layout;
    const struct sona_kernels *kernels = sona_kernels_active();
    struct sona_model_scores *out = s->out;

    if (refit) {
        kernels->dot_rows(sona_model_floats(s->view->cold, l->refit.offset),
                          sona_model_stride(&l->refit), s->n, s->x, l->dim_padded, out->product[1]);
        code_terms(s, code);
    }
    kernels->dot_rows(sona_model_floats(s->view->hot, l->micro_a), l->dim_padded,
                      l->geometry.micro_rank, s->x, l->dim_padded, out->micro_code);
    kernels->dot_rows(sona_model_floats(s->view->hot, sona_model_at(&l->routes, 0, l->route_head)),
                      sona_model_stride(&l->routes), s->n, s->x, l->dim_padded, out->product[0]);
}

/* The four terms of every enabled route, 0 for others. */
static void fill_terms(struct scoring *s)
{
    const struct rows *rows = s->rows;
    struct sona_model_scores *out = s->out;
    float *restrict head = out->term[0], *restrict line = out->term[1];
    float *restrict near = out->term[2];
    const float *w = out->product[0], *v = out->product[1];
    bool refit = s->has_code && (s->flags & SONA_MODEL_USE_BASE);
    bool patterns = out->near.count > 0 && (s->flags & SONA_MODEL_USE_PATTERNS);
    float code[SONA_ROUTES_MAX];

    multiply(s, refit, code);
    for (uint32_t k = 0; k < s->n; k++)
        head[k] = only(rows->enabled[k], (w[k] + rows->bias[k] - rows->mean[k]) * rows->n[k] /
                                             (rows->n[k] + HEAD_TRUST));
    if (refit)
        for (uint32_t k = 0; k < s->n; k++)
            line[k] = only(rows->fit[k], v[k] + (code[k] - rows->mean[k]));
    else
        memset(line, 0, s->n * sizeof *line);
    if (patterns) {
        pattern_terms(s, near);
        for (uint32_t k = 0; k < s->n; k++)
            near[k] = only(rows->fit[k], near[k]);
    } else {
        memset(near, 0, s->n * sizeof *near);
    }
    if (s->flags & SONA_MODEL_USE_MICRO)
        micro_terms(s, out->term[3]);
    else
        memset(out->term[3], 0, s->n * sizeof(float));
}

static void centre(struct scoring *s)
{
    float weight = 0, sum[4] = {0, 0, 0, 0};

    for (uint32_t k = 0; k < s->n; k++) {
        float w = only(s->rows->enabled[k], s->rows->n[k] + CENTRE_PRIOR);

        weight += w;
        for (uint32_t j = 0; j < 4; j++)
            sum[j] += w * s->out->term[j][k];
    }
    for (uint32_t j = 0; j < 4; j++)
        s->out->term_mean[j] = weight > 0 ? sum[j] / weight : 0;
}

/* m_k where a route is not enabled. */
static void predict(struct scoring *s)
{
    const float *stack = sona_model_hot_of(s->view)->stack, *mean = s->out->term_mean;
    const float *t0 = s->out->term[0], *t1 = s->out->term[1], *t2 = s->out->term[2],
                *t3 = s->out->term[3];
    float *restrict quality = s->out->quality;
    float trust[4], common = 0;

    for (uint32_t j = 0; j < 4; j++) {
        trust[j] = sona_model_clamp(stack[j], 0, STACK_MAX);
        common += sona_model_clamp(stack[4 + j], -STACK_MAX, STACK_MAX) * mean[j];
    }
    for (uint32_t k = 0; k < s->n; k++) {
        float v = common + trust[0] * (t0[k] - mean[0]) + trust[1] * (t1[k] - mean[1]) +
                  trust[2] * (t2[k] - mean[2]) + trust[3] * (t3[k] - mean[3]);

        quality[k] = s->rows->mean[k] + only(s->rows->enabled[k], v);
    }
}

/* What the tenant knows better. Not centred and not stacked: its own shrinkage is its trust. */
static void add_tenant(struct scoring *s, uint32_t tenant)
{
    struct sona_model_scores *out = s->out;

    out->tenant_row = sona_model_tenant_find(s->view, tenant);
    if (out->tenant_row == SONA_MODEL_NO_TENANT)
        return;
    sona_model_tenant_terms(s->view, out->tenant_row, s->x, s->n, out->tenant);
    for (uint32_t k = 0; k < s->n; k++)
        if (s->rows->enabled[k])
            out->quality[k] += out->tenant[k];
}

/* What is not known yet of the tenant's preference: its variance, shrunk by its outcomes. */
static float tenant_variance(const struct scoring *s, uint32_t k)
{
    const struct sona_model_hot *hot = sona_model_hot_of(s->view);
    float spread = sona_model_clamp(hot->tenant_spread, 0, 1);
    float mse = sona_model_clamp(hot->mse, 1e-3f, 1);
    float n =
        sona_model_tenant_part(s->layout, s->view->hot, s->out->tenant_row, s->layout->tenant_n)[k];

    return WIDTH_TENANT * spread * mse / (mse + spread * sona_model_clamp(n, 0, 1e9f));
}

/* s_k of every row: how far the upper value lies above the value. */
static void widths(const struct scoring *s, float *ret)
{
    const struct sona_model_layout *l = s->layout;
    const struct sona_model_hot *hot = sona_model_hot_of(s->view);
    float trust = sona_model_clamp(hot->stack[1] + hot->stack[2], 0, 1);
    float scale = WIDTH_SCALE * sona_model_clamp(hot->mse, 0, 1);
    float code[SONA_ROUTES_MAX];

    /* z' P_k z */
    sona_kernels_active()->forms(
        sona_model_floats(s->view->hot, sona_model_at(&l->routes, 0, l->route_cov)),
        sona_model_stride(&l->routes), s->n, s->out->code, l->code_dim, l->code_padded, code);
    for (uint32_t k = 0; k < s->n; k++) {
        float mean = 1 / s->rows->evidence[k];
        float excess = sona_model_clamp(only(s->rows->fit[k], code[k] - mean), 0, 1e6f);

        ret[k] = scale * (mean + WIDTH_CODE * trust * trust * excess);
    }
    if (s->out->tenant_row != SONA_MODEL_NO_TENANT)
        for (uint32_t k = 0; k < s->n; k++)
            ret[k] += WIDTH_SCALE * tenant_variance(s, k);
    for (uint32_t k = 0; k < s->n; k++)
        ret[k] = sqrtf(ret[k]);
}

/* Values of the candidates, NaN elsewhere. */
static sona_err choose_among(struct scoring *s, const sona_candidates *candidates)
{
    float lambda = sona_model_clamp(sona_model_hot_of(s->view)->lambda, 0, 1e3f);
    float width[SONA_ROUTES_MAX];
    bool any = false;

    widths(s, width);
    memset(s->out->candidate, 0, sizeof s->out->candidate);
    for (uint32_t k = 0; k < s->n; k++) {
        float cost = route_at(s, k)->cost;

        s->out->value[k] = s->out->upper[k] = NAN;
        if (!s->rows->enabled[k] || sona_model_word(&route_at(s, k)->mode) != SONA_MODE_APPLY ||
            (candidates && candidates->restricted && !in_set(candidates->set, k)))
            continue;
        if (candidates && candidates->override_costs) {
            cost = candidates->costs[k];
            if (!(cost >= 0 && cost <= 1))
                return SONA_E_RANGE;
        }
        any = true;
        s->out->candidate[k / 64] |= 1ull << (k % 64);
        s->out->value[k] = s->out->quality[k] - lambda * cost;
        s->out->upper[k] = s->out->value[k] + width[k];
    }
    return any ? SONA_OK : SONA_E_NO_ROUTE;
}

static void predict_all(struct scoring *s, uint32_t tenant)
{
    begin(s);
    sona_model_locate(s->view, s->x, s->out);
    fill_terms(s);
    centre(s);
    predict(s);
    add_tenant(s, tenant);
}

void sona_model_predict(const struct sona_model_view *view, const float *x, uint32_t tenant,
                        struct sona_model_scores *scores)
{
    SONA_MODEL_KERNELS(view->layout);
    struct rows rows;
    struct scoring s = {.layout = view->layout, .view = view, .x = x, .out = scores, .rows = &rows};

    predict_all(&s, tenant);
}

sona_err sona_model_score(const struct sona_model_view *view, const float *x,
                          const sona_candidates *candidates, struct sona_model_scores *scores)
{
    SONA_MODEL_KERNELS(view->layout);
    struct rows rows;
    struct scoring s = {.layout = view->layout, .view = view, .x = x, .out = scores, .rows = &rows};

    predict_all(&s, candidates ? candidates->tenant : 0);
    return choose_among(&s, candidates);
}
