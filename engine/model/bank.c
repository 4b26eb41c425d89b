/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/*
 * Asking the ReasoningBank: the patterns nearest to a query, by the cosine of their centroids with
 * it, and what each of them knows. Like every reader of a block: numbers are fetched once, clamped,
 * and never lead outside.
 */
#include <math.h>
#include <string.h>

#include "engine/kernels/kernels.h"
#include "engine/model/block.h"
#include "engine/model/model.h"

#define LINE_FLOATS  16u  /* of one line of a cache */
#define FETCH_FLOATS 256u /* fetched ahead of a row */
#define FETCH_AHEAD  3u   /* rows */
#define FETCH_TOLD   32u  /* a list that is shorter has mostly winners */

/* Farther, or equally far and later in the table: one order for every caller. */
static bool farther(const sona_pattern *a, const sona_pattern *b)
{
    return a->distance > b->distance || (a->distance == b->distance && a->index > b->index);
}

/* While they compete, patterns are no more than index and distance; the rest is filled in for the
 * winners. */
static void place(sona_pattern *to, uint32_t index, float distance)
{
    to->index = index;
    to->distance = distance;
}

static void swap(sona_pattern *a, sona_pattern *b)
{
    uint32_t index = a->index;
    float distance = a->distance;

    place(a, b->index, b->distance);
    place(b, index, distance);
}

/* Restore the heap (farthest on top) of `count` patterns below position `at`. */
static void sift(sona_pattern *heap, uint32_t count, uint32_t at)
{
    for (uint32_t child; (child = 2 * at + 1) < count; at = child) {
        if (child + 1 < count && farther(&heap[child + 1], &heap[child]))
            child++;
        if (!farther(&heap[child], &heap[at]))
            return;
        swap(&heap[child], &heap[at]);
    }
}

static void heapify(sona_pattern *heap, uint32_t count)
{
    for (uint32_t at = count / 2; at-- > 0;)
        sift(heap, count, at);
}

static void sort_heap(sona_pattern *heap, uint32_t count)
{
    for (uint32_t end = count; end > 1; end--) {
        swap(&heap[0], &heap[end - 1]);
        sift(heap, end - 1, 0);
    }
}

/* Keep the k nearest in `heap`, the farthest of them on top. */
static uint32_t offer(sona_pattern *heap, uint32_t count, uint32_t k, uint32_t index,
                      float distance)
{
    sona_pattern found = {.index = index, .distance = distance};

    if (!(distance < 5)) /* 4 and rounding at most; a torn centroid is nowhere */
        return count;
    distance = sona_model_clamp(distance, 0, 4);
    found.distance = distance;
    if (count < k) {
        place(&heap[count++], index, distance);
        if (count == k)
            heapify(heap, count);
    } else if (farther(&heap[0], &found)) {
        place(&heap[0], index, distance);
        sift(heap, count, 0);
    }
    return count;
}

static bool more_evidence(const sona_pattern_route *a, const sona_pattern_route *b)
{
    return a->outcomes > b->outcomes;
}

/* Put `route` among the routes told, in order; the one with the least evidence gives way. */
static void tell_route(sona_pattern *ret, const sona_pattern_route *route)
{
    uint32_t at = ret->n_routes;

    if (at == SONA_PATTERN_ROUTES) {
        if (!more_evidence(route, &ret->routes[--at]))
            return;
    } else {
        ret->n_routes++;
    }
    for (; at > 0 && more_evidence(route, &ret->routes[at - 1]); at--)
        ret->routes[at] = ret->routes[at - 1];
    ret->routes[at] = *route;
}

/* Evidence by route, of those that are enabled and the same as when the row was made. */
static void fill_routes(const struct sona_model_view *view, uint32_t index, sona_pattern *ret)
{
    const struct sona_model_layout *l = view->layout;
    const float *n = sona_model_bank_part(l, view->cold, index, l->bank_n);
    const float *s = sona_model_bank_part(l, view->cold, index, l->bank_s);
    uint32_t routes = sona_model_n_routes(view);
    float best = 0;

    ret->best_route = UINT32_MAX;
    ret->best_quality = 0;
    ret->n_routes = 0;
    for (uint32_t k = 0; k < routes; k++) {
        const struct sona_model_route *row = sona_model_route_row(l, view->hot, k);
        sona_pattern_route route = {.route = row->id, .outcomes = n[k]};

        if (!(n[k] > 0) || sona_model_word(&row->state) != SONA_ROUTE_ENABLED ||
            !sona_model_bank_knows(view->cold, row))
            continue;
        route.mean_quality = sona_model_clamp(s[k] / n[k], 0, 1);
        tell_route(ret, &route);
        /* Half an outcome of doubt, so that one lucky outcome does not beat a long record. */
        if ((s[k] + 0.25f) / (n[k] + 0.5f) > best) {
            best = (s[k] + 0.25f) / (n[k] + 0.5f);
            ret->best_route = k;
            ret->best_quality = route.mean_quality;
        }
    }
}

static void fill(const struct sona_model_view *view, sona_pattern *ret)
{
    const struct sona_model_bank *row = sona_model_bank_row(view->layout, view->cold, ret->index);
    uint32_t type = sona_model_word(&row->type), written = sona_model_word(&row->n_examples);
    float weight = row->weight, sum = row->sum;

    ret->id = row->id;
    ret->type =
        type <= SONA_PATTERN_CONVERSATIONAL ? (sona_pattern_type)type : SONA_PATTERN_GENERAL;
    ret->similarity = 1 - ret->distance / 2; /* of unit vectors */
    ret->total_weight = weight;
    ret->avg_quality = weight > 0 ? sona_model_clamp(sum / weight, 0, 1) : 0;
    ret->cluster_size = row->cluster_size;
    ret->created_at = row->created_at;
    ret->last_accessed = row->last_accessed;
    ret->access_count = row->access_count;
    ret->n_examples = written < SONA_PATTERN_EXAMPLES ? written : SONA_PATTERN_EXAMPLES;
    for (uint32_t i = 0; i < SONA_PATTERN_EXAMPLES; i++) /* the latest first */
        ret->examples[i] =
            i < ret->n_examples ? row->example[(written - 1 - i) % SONA_PATTERN_EXAMPLES] : 0;
    fill_routes(view, ret->index, ret);
}

static uint32_t n_bank(const struct sona_model_view *view)
{
    return sona_model_word_up_to(&sona_model_cold_of(view)->n_bank, view->layout->bank.count);
}

void sona_model_index_bank(const struct sona_model_layout *layout, void *cold, uint32_t n)
{
    sona_model_sign_bank(layout, cold, n);
    sona_model_round_bank(layout, cold, n);
}

bool sona_model_pattern_centroid(const struct sona_model_view *view, uint32_t index, float *ret)
{
    const struct sona_model_layout *l = view->layout;

    if (index >= n_bank(view))
        return false;
    memcpy(ret, sona_model_bank_part(l, view->cold, index, l->bank_centroid),
           l->geometry.dim * sizeof *ret);
    return true;
}

/* Offer all of the first n rows. */
static uint32_t scan(const struct sona_model_view *view, const float *x, float norm, uint32_t n,
                     uint32_t k, sona_pattern *ret)
{
    const struct sona_model_layout *l = view->layout;
    float dot[SONA_MODEL_CHUNK];
    uint32_t count = 0;

    for (uint32_t from = 0; from < n; from += SONA_MODEL_CHUNK) {
        uint32_t chunk = n - from < SONA_MODEL_CHUNK ? n - from : SONA_MODEL_CHUNK;

        sona_kernels_active()->dot_rows(sona_model_bank_part(l, view->cold, from, l->bank_centroid),
                                        sona_model_stride(&l->bank), chunk, x, l->dim_padded, dot);
        for (uint32_t i = 0; i < chunk; i++)
            count = offer(ret, count, k, from + i, 2 - 2 * dot[i] / norm);
    }
    return count;
}

/* The start of a row that is looked at soon; the processor fetches on from there by itself. */
static void fetch(const struct sona_model_view *view, uint32_t index)
{
    const struct sona_model_layout *l = view->layout;
    const float *row = sona_model_bank_part(l, view->cold, index, l->bank_centroid);

    for (uint32_t i = 0; i < l->dim_padded && i < FETCH_FLOATS; i += LINE_FLOATS)
        __builtin_prefetch(row + i);
}

/* What is told of a row, should it win. */
static void fetch_told(const struct sona_model_view *view, uint32_t index)
{
    const struct sona_model_layout *l = view->layout;
    const float *row = sona_model_bank_part(l, view->cold, index, 0);

    __builtin_prefetch(row);
    __builtin_prefetch(row + LINE_FLOATS);
    __builtin_prefetch(row + l->bank_n / sizeof *row);
    __builtin_prefetch(row + l->bank_s / sizeof *row);
}

/* Offer the rows on a list. */
static uint32_t scan_listed(const struct sona_model_view *view, const float *x, float norm,
                            const uint16_t *row, uint32_t listed, uint32_t k, sona_pattern *ret)
{
    const struct sona_model_layout *l = view->layout;
    const struct sona_kernels *kernels = sona_kernels_active();
    uint32_t count = 0;

    for (uint32_t i = 0; i < listed; i++) {
        if (i + FETCH_AHEAD < listed)
            fetch(view, row[i + FETCH_AHEAD]);
        if (listed < FETCH_TOLD)
            fetch_told(view, row[i]);
        float dot = kernels->dot(sona_model_bank_part(l, view->cold, row[i], l->bank_centroid), x,
                                 l->dim_padded);
        count = offer(ret, count, k, row[i], 2 - 2 * dot / norm);
    }
    return count;
}

/* The rows that may be among the k nearest; 0: any. */
static uint32_t list(const struct sona_model_view *view, const float *x, float norm, uint32_t n,
                     uint32_t k, uint16_t ret[SONA_MODEL_LISTED])
{
    if (n <= SONA_MODEL_SCAN)
        return sona_model_sieve(view, x, norm, n, k, ret);
    return k <= SONA_MODEL_SHORT_K ? sona_model_short_list(view, x, n, ret) : 0;
}

uint32_t sona_model_find_patterns(const struct sona_model_view *view, const float *x, uint32_t k,
                                  sona_pattern *ret)
{
    SONA_MODEL_KERNELS(view->layout);
    uint32_t n = n_bank(view), dim = view->layout->dim_padded, listed, count;
    uint16_t row[SONA_MODEL_LISTED];
    float norm = sqrtf(sona_kernels_active()->dot(x, x, dim));

    if (k == 0 || n == 0 || !(norm > 0))
        return 0;
    listed = list(view, x, norm, n, k, row);
    count = listed > 0 ? scan_listed(view, x, norm, row, listed, k, ret)
                       : scan(view, x, norm, n, k, ret);
    if (count < k)
        heapify(ret, count);
    sort_heap(ret, count);
    for (uint32_t i = 0; i < count; i++)
        fill(view, &ret[i]);
    return count;
}

uint32_t sona_model_list_patterns(const struct sona_model_view *view, uint32_t from,
                                  uint32_t capacity, sona_pattern *ret)
{
    uint32_t n = n_bank(view), count = 0;

    for (; from + count < n && count < capacity; count++) {
        memset(&ret[count], 0, sizeof ret[count]);
        ret[count].index = from + count;
        fill(view, &ret[count]);
        ret[count].similarity = 0;
    }
    return count;
}
