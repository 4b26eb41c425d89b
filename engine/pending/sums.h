/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/*
 * What the steps of waiting trajectories did, layer by layer: running sums over the steps, so that
 * a trajectory of any length takes the same memory. For the steps t of one layer, with h_t the
 * activations scaled to unit length, a_t their credit (0..1) and r_t their reward:
 *
 *     rewarded  sum a_t r_t h_t     over the steps whose reward is known
 *     open      sum a_t h_t         over the others: the trajectory's quality will stand in
 *     all       sum a_t h_t         over both
 *
 * One block of memory of fixed capacity. A block given back can be read until one is taken again,
 * that is until the next sona_pending_sums_add().
 */
#ifndef SONA_ENGINE_PENDING_SUMS_H
#define SONA_ENGINE_PENDING_SUMS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SONA_PENDING_REWARD_MAX 1e3f /* a reward beyond it counts as this much */
#define SONA_PENDING_NO_SUM     UINT32_MAX

struct sona_pending_sums;

/* The activations of one step. */
struct sona_pending_activations {
    const float *h;
    uint32_t n; /* floats used; the rest of the dimension is 0 */
    uint32_t layer;
    float credit; /* 0..1 */
    float reward;
    bool rewarded; /* the reward is known */
};

/* The sums of one layer of a trajectory that ended. */
struct sona_pending_layer {
    uint32_t layer;
    float credit;      /* sum a_t */
    float reward;      /* mean of r_t by a_t, the quality where it stood in */
    const float *wins; /* sum a_t r_t h_t, likewise; dim_padded floats */
    const float *base; /* sum a_t h_t */
};

size_t sona_pending_sums_bytes(uint32_t capacity, uint32_t dim_padded);
struct sona_pending_sums *sona_pending_sums_init(void *memory, uint32_t capacity,
                                                 uint32_t dim_padded);

/* Add a step to the list that begins at *first (SONA_PENDING_NO_SUM: none yet). False: a block was
 * needed and none was free, and nothing changed. Activations without direction add nothing but
 * their count. */
bool sona_pending_sums_add(struct sona_pending_sums *sums, uint32_t *first,
                           const struct sona_pending_activations *step);
/* Give a list back. */
void sona_pending_sums_give(struct sona_pending_sums *sums, uint32_t first);
/* The sums at *at, and step *at to the next; false at the end. `quality` stands in for rewards that
 * are not known. To be asked once per list: the sums are finished in place. */
bool sona_pending_sums_next(struct sona_pending_sums *sums, uint32_t *at, float quality,
                            struct sona_pending_layer *ret);
/* For storing a list: the sums at *at as they are, and step *at to the next; false at the end. */
struct sona_pending_sum {
    uint32_t layer;
    float credit, rewarded, open; /* sum a_t; sum a_t r_t; sum a_t where r_t is not known */
};
bool sona_pending_sums_peek(const struct sona_pending_sums *sums, uint32_t *at,
                            struct sona_pending_sum *ret, const float **ret_vectors);
/* Put such sums before the list that begins at *first; false: no block is free. */
bool sona_pending_sums_restore(struct sona_pending_sums *sums, uint32_t *first,
                               const struct sona_pending_sum *sum, const void *vectors);
/* Bytes of the vectors of one. */
uint32_t sona_pending_sums_vector_bytes(const struct sona_pending_sums *sums);
/* Blocks in use. */
uint32_t sona_pending_sums_taken(const struct sona_pending_sums *sums);

/* The credit of a step: the sum of its attention weights, negative ones left out, at most 1; 1
 * without any. */
float sona_pending_credit(const float *attention, uint32_t n);

#endif
