/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/*
 * What a snapshot can be asked besides a decision: its patterns, its routes, its age.
 */
#include <math.h>
#include <string.h>

#include "engine/kernels/kernels.h"
#include "engine/model/block.h"
#include "engine/model/model.h"

/* Farther, or equally far and later in the table: one order for every caller. */
static bool farther(const sona_pattern *a, const sona_pattern *b)
{
    return a->distance > b->distance || (a->distance == b->distance && a->index > b->index);
}

/* Restore the heap (farthest on top) of `count` patterns below position `at`. */
static void sift(sona_pattern *heap, uint32_t count, uint32_t at)
{
    sona_pattern moving = heap[at];

    for (uint32_t child; (child = 2 * at + 1) < count; at = child) {
        if (child + 1 < count && farther(&heap[child + 1], &heap[child]))
            child++;
        if (!farther(&heap[child], &moving))
            break;
        heap[at] = heap[child];
    }
    heap[at] = moving;
}

static void heapify(sona_pattern *heap, uint32_t count)
{
    for (uint32_t at = count / 2; at-- > 0;)
        sift(heap, count, at);
}

static void sort_heap(sona_pattern *heap, uint32_t count)
{
    for (uint32_t end = count; end > 1; end--) {
        sona_pattern farthest = heap[0];

        heap[0] = heap[end - 1];
        heap[end - 1] = farthest;
        sift(heap, end - 1, 0);
    }
}

/* Evidence of pattern `c`: over all routes, and the route that did best there. */
static void fill_evidence(const struct sona_model_view *view, uint32_t c, sona_pattern *ret)
{
    const struct sona_model_layout *l = view->layout;
    const float *row = sona_model_floats(view->hot, sona_model_at(&l->pattern_stats, c, 0));
    const float *n = row + l->pattern_n / sizeof(float);
    const float *s = row + l->pattern_s / sizeof(float);
    const float *bare = row + l->pattern_bare / sizeof(float);
    float weight = bare[0], sum = bare[1];
    uint32_t routes = sona_model_n_routes(view);

    ret->best_route = UINT32_MAX;
    ret->best_quality = 0;
    for (uint32_t k = 0; k < routes; k++) {
        if (!(n[k] > 0) ||
            sona_model_word(&sona_model_route_row(l, view->hot, k)->state) != SONA_ROUTE_ENABLED)
            continue;
        weight += n[k];
        sum += s[k];
        /* Half an outcome of doubt, so that one lucky outcome does not beat a long record. */
        if ((s[k] + 0.25f) / (n[k] + 0.5f) > ret->best_quality) {
            ret->best_route = k;
            ret->best_quality = (s[k] + 0.25f) / (n[k] + 0.5f);
        }
    }
    if (ret->best_route != UINT32_MAX)
        ret->best_quality = sona_model_clamp(s[ret->best_route] / n[ret->best_route], 0, 1);
    ret->total_weight = weight;
    ret->avg_quality = weight > 0 ? sona_model_clamp(sum / weight, 0, 1) : 0;
}

static void fill_pattern(const struct sona_model_view *view, const struct sona_model_scores *scores,
                         sona_pattern *ret)
{
    const struct sona_model_layout *l = view->layout;
    const struct sona_kernels *kernels = sona_kernels_active();
    const struct sona_model_pattern *row = sona_model_pattern_row(l, view->cold, ret->index);
    const float *centroid =
        sona_model_floats(view->cold, sona_model_at(&l->patterns, ret->index, l->pattern_centroid));
    float norms = sqrtf(kernels->dot(centroid, centroid, l->dim_padded) *
                        kernels->dot(scores->space, scores->space, l->dim_padded));
    uint32_t type = sona_model_word(&row->type);

    ret->id = row->id;
    ret->type =
        type <= SONA_PATTERN_CONVERSATIONAL ? (sona_pattern_type)type : SONA_PATTERN_GENERAL;
    ret->similarity =
        norms > 0
            ? sona_model_clamp(kernels->dot(centroid, scores->space, l->dim_padded) / norms, -1, 1)
            : 0;
    ret->cluster_size = row->cluster_size;
    ret->created_at = row->created_at;
    ret->last_accessed = row->last_accessed;
    fill_evidence(view, ret->index, ret);
}

/* Keep the k nearest in `heap`, the farthest of them on top. */
static uint32_t offer(sona_pattern *heap, uint32_t count, uint32_t k, uint32_t index,
                      float distance)
{
    sona_pattern found = {.index = index, .distance = distance};

    if (!(distance >= 0)) /* a torn centroid is nowhere */
        return count;
    if (count < k) {
        heap[count++] = found;
        if (count == k)
            heapify(heap, count);
    } else if (farther(&heap[0], &found)) {
        heap[0] = found;
        sift(heap, count, 0);
    }
    return count;
}

uint32_t sona_model_find_patterns(const struct sona_model_view *view, const float *x, uint32_t k,
                                  struct sona_model_scores *scores, sona_pattern *ret)
{
    uint32_t n = sona_model_n_patterns(view), count = 0;
    float distance[SONA_MODEL_CHUNK];

    if (k == 0 || n == 0)
        return 0;
    sona_model_locate(view, x, scores);
    for (uint32_t from = 0; from < n; from += SONA_MODEL_CHUNK) {
        uint32_t chunk = n - from < SONA_MODEL_CHUNK ? n - from : SONA_MODEL_CHUNK;

        sona_model_distances(view, scores->space, from, chunk, distance);
        for (uint32_t i = 0; i < chunk; i++)
            count = offer(ret, count, k, from + i, distance[i]);
    }
    if (count < k)
        heapify(ret, count);
    sort_heap(ret, count);
    for (uint32_t i = 0; i < count; i++)
        fill_pattern(view, scores, &ret[i]);
    return count;
}

uint32_t sona_model_routes(const struct sona_model_view *view, sona_route_info *ret,
                           uint32_t capacity)
{
    uint32_t n = sona_model_n_routes(view);

    for (uint32_t k = 0; k < n && k < capacity; k++) {
        const struct sona_model_route *row = sona_model_route_row(view->layout, view->hot, k);
        uint32_t state = sona_model_word(&row->state);

        memset(&ret[k], 0, sizeof ret[k]);
        ret[k].id = row->id;
        ret[k].state = state <= SONA_ROUTE_RETIRED ? (sona_route_state)state : SONA_ROUTE_FREE;
        memcpy(ret[k].name, row->name, SONA_ROUTE_NAME_MAX - 1);
        ret[k].cost = row->cost;
        ret[k].outcomes = row->n;
        ret[k].mean_quality = row->mean;
    }
    return n;
}

sona_err sona_model_route_check(const struct sona_model_view *view, sona_route route)
{
    uint32_t index = SONA_ROUTE_INDEX(route);
    const struct sona_model_route *row;

    if (index >= sona_model_n_routes(view))
        return SONA_E_ROUTE;
    row = sona_model_route_row(view->layout, view->hot, index);
    if (sona_model_word(&row->id) != route || sona_model_word(&row->state) != SONA_ROUTE_ENABLED)
        return SONA_E_ROUTE;
    return SONA_OK;
}

uint64_t sona_model_step(const struct sona_model_view *view)
{
    return sona_model_hot_of(view)->step;
}

uint64_t sona_model_observed(const struct sona_model_view *view)
{
    return sona_model_hot_of(view)->observed;
}
