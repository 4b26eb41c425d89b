/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/*
 * Durations of calls, and their percentiles. Every duration is kept (up to the capacity, set at
 * start), none is put into a bucket; memory is touched at start, so that adding one is a store.
 */
#ifndef SONA_TOOLS_SAMPLE_H
#define SONA_TOOLS_SAMPLE_H

#include <stdbool.h>
#include <stdint.h>

struct sona_tools_sample {
    uint32_t *ns;
    uint32_t count, capacity;
};

/* CLOCK_MONOTONIC in nanoseconds. */
uint64_t sona_tools_now_ns(void);

/* False when there is no memory. */
bool sona_tools_sample_init(struct sona_tools_sample *ret, uint32_t capacity);
void sona_tools_sample_done(struct sona_tools_sample *sample);
/* Keep one duration; those beyond the capacity are not kept. */
void sona_tools_sample_add(struct sona_tools_sample *sample, uint64_t ns);
/* The duration that a share p (0..1) of all does not exceed; NaN when there is none. Sorts. */
double sona_tools_sample_percentile(struct sona_tools_sample *sample, double p);

#endif
