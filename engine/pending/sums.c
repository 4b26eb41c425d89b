/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/* See sums.h. Steps are bounded (max_trajectory_steps), rewards are clamped and activations are of
 * unit length, so the sums stay finite. */
#include "engine/pending/sums.h"

#include <assert.h>
#include <math.h>
#include <string.h>

#include "engine/kernels/kernels.h"

struct block {
    uint32_t layer;
    uint32_t next;      /* of the same trajectory */
    uint32_t next_free; /* a field of its own: a list given back can still be walked */
    float credit;
    float rewarded, open; /* sum a_t r_t; sum a_t where r_t is not known */
};

enum { REWARDED, OPEN, ALL, VECTORS };

struct sona_pending_sums {
    uint32_t capacity, dim_padded, taken, free, free_last;
    struct block *blocks;
    float *vectors; /* VECTORS times dim_padded floats per block */
};

static size_t round_up(size_t bytes)
{
    return (bytes + 63) / 64 * 64;
}

size_t sona_pending_sums_bytes(uint32_t capacity, uint32_t dim_padded)
{
    return round_up(sizeof(struct sona_pending_sums)) + round_up(capacity * sizeof(struct block)) +
           round_up((size_t)capacity * VECTORS * dim_padded * sizeof(float));
}

struct sona_pending_sums *sona_pending_sums_init(void *memory, uint32_t capacity,
                                                 uint32_t dim_padded)
{
    struct sona_pending_sums *sums = memory;
    char *at = (char *)memory + round_up(sizeof *sums);

    assert((uintptr_t)memory % 64 == 0);
    memset(sums, 0, sizeof *sums);
    sums->capacity = capacity;
    sums->dim_padded = dim_padded;
    sums->blocks = (struct block *)(void *)at;
    sums->vectors = (float *)(void *)(at + round_up(capacity * sizeof(struct block)));
    for (uint32_t i = 0; i < capacity; i++)
        sums->blocks[i].next_free = i + 1 < capacity ? i + 1 : SONA_PENDING_NO_SUM;
    sums->free = capacity > 0 ? 0 : SONA_PENDING_NO_SUM;
    sums->free_last = capacity > 0 ? capacity - 1 : SONA_PENDING_NO_SUM;
    return sums;
}

static float *vector(const struct sona_pending_sums *sums, uint32_t at, uint32_t which)
{
    return sums->vectors + ((size_t)at * VECTORS + which) * sums->dim_padded;
}

/* A free block, first in the list. */
static uint32_t take(struct sona_pending_sums *sums, uint32_t *first, uint32_t layer)
{
    uint32_t at = sums->free;

    if (at == SONA_PENDING_NO_SUM)
        return at;
    sums->free = sums->blocks[at].next_free;
    if (sums->free == SONA_PENDING_NO_SUM)
        sums->free_last = SONA_PENDING_NO_SUM;
    sums->taken++;
    sums->blocks[at] = (struct block){.layer = layer, .next = *first};
    *first = at;
    return at;
}

/* The block of `layer` in the list, taken from the free ones when it is not there. */
static uint32_t find(struct sona_pending_sums *sums, uint32_t *first, uint32_t layer)
{
    uint32_t at = *first;

    for (; at != SONA_PENDING_NO_SUM; at = sums->blocks[at].next)
        if (sums->blocks[at].layer == layer)
            return at;
    at = take(sums, first, layer);
    if (at != SONA_PENDING_NO_SUM)
        memset(vector(sums, at, 0), 0, VECTORS * sums->dim_padded * sizeof(float));
    return at;
}

/* 1 / |h|; 0 when h has no direction. In double: squares of floats are numbers there. */
static double unit(const float *h, uint32_t n)
{
    double sum = 0;

    for (uint32_t i = 0; i < n; i++)
        sum += (double)h[i] * (double)h[i];
    return sum > 0 ? 1 / sqrt(sum) : 0;
}

/* to += weight * scale * h, the product in double: scale alone may be beyond a float. */
static void add(float *to, const float *h, uint32_t n, double factor)
{
    for (uint32_t i = 0; i < n; i++)
        to[i] += (float)(factor * (double)h[i]);
}

bool sona_pending_sums_add(struct sona_pending_sums *sums, uint32_t *first,
                           const struct sona_pending_activations *step)
{
    uint32_t n = step->n < sums->dim_padded ? step->n : sums->dim_padded;
    uint32_t at = find(sums, first, step->layer);
    float reward = fminf(fmaxf(step->reward, -SONA_PENDING_REWARD_MAX), SONA_PENDING_REWARD_MAX);
    struct block *block;
    double scale;

    if (at == SONA_PENDING_NO_SUM)
        return false;
    block = &sums->blocks[at];
    scale = unit(step->h, n) * (double)step->credit;
    if (!(scale > 0))
        return true;
    block->credit += step->credit;
    if (step->rewarded) {
        block->rewarded += step->credit * reward;
        add(vector(sums, at, REWARDED), step->h, n, scale * (double)reward);
    } else {
        block->open += step->credit;
        add(vector(sums, at, OPEN), step->h, n, scale);
    }
    add(vector(sums, at, ALL), step->h, n, scale);
    return true;
}

void sona_pending_sums_give(struct sona_pending_sums *sums, uint32_t first)
{
    /* To the end of the free ones: what was given back last is overwritten last. */
    for (uint32_t at = first; at != SONA_PENDING_NO_SUM; at = sums->blocks[at].next) {
        sums->blocks[at].next_free = SONA_PENDING_NO_SUM;
        if (sums->free_last == SONA_PENDING_NO_SUM)
            sums->free = at;
        else
            sums->blocks[sums->free_last].next_free = at;
        sums->free_last = at;
        sums->taken--;
    }
}

bool sona_pending_sums_next(struct sona_pending_sums *sums, uint32_t *at, float quality,
                            struct sona_pending_layer *ret)
{
    struct block *block;

    if (*at == SONA_PENDING_NO_SUM)
        return false;
    block = &sums->blocks[*at];
    if (block->open > 0)
        sona_kernels_active()->axpy(quality, vector(sums, *at, OPEN), vector(sums, *at, REWARDED),
                                    sums->dim_padded);
    *ret = (struct sona_pending_layer){
        .layer = block->layer,
        .credit = block->credit,
        .reward = block->credit > 0 ? (block->rewarded + quality * block->open) / block->credit : 0,
        .wins = vector(sums, *at, REWARDED),
        .base = vector(sums, *at, ALL),
    };
    *at = block->next;
    return true;
}

bool sona_pending_sums_peek(const struct sona_pending_sums *sums, uint32_t *at,
                            struct sona_pending_sum *ret, const float **ret_vectors)
{
    const struct block *block;

    if (*at == SONA_PENDING_NO_SUM)
        return false;
    block = &sums->blocks[*at];
    *ret = (struct sona_pending_sum){.layer = block->layer,
                                     .credit = block->credit,
                                     .rewarded = block->rewarded,
                                     .open = block->open};
    *ret_vectors = vector(sums, *at, 0);
    *at = block->next;
    return true;
}

bool sona_pending_sums_restore(struct sona_pending_sums *sums, uint32_t *first,
                               const struct sona_pending_sum *sum, const void *vectors)
{
    uint32_t at = take(sums, first, sum->layer);

    if (at == SONA_PENDING_NO_SUM)
        return false;
    sums->blocks[at].credit = sum->credit;
    sums->blocks[at].rewarded = sum->rewarded;
    sums->blocks[at].open = sum->open;
    memcpy(vector(sums, at, 0), vectors, sona_pending_sums_vector_bytes(sums));
    return true;
}

uint32_t sona_pending_sums_vector_bytes(const struct sona_pending_sums *sums)
{
    return (uint32_t)(VECTORS * sums->dim_padded * sizeof(float));
}

uint32_t sona_pending_sums_taken(const struct sona_pending_sums *sums)
{
    return sums->taken;
}

float sona_pending_credit(const float *attention, uint32_t n)
{
    float sum = n == 0 ? 1 : 0;

    for (uint32_t i = 0; i < n; i++)
        sum += fmaxf(attention[i], 0);
    return fminf(sum, 1);
}
