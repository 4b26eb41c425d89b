/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
#include "tools/sample.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

uint64_t sona_tools_now_ns(void)
{
    struct timespec now;

    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

bool sona_tools_sample_init(struct sona_tools_sample *ret, uint32_t capacity)
{
    uint32_t *ns = malloc((size_t)capacity * sizeof *ns + 1);

    if (ns == NULL)
        return false;
    memset(ns, 0xff, (size_t)capacity * sizeof *ns);
    *ret = (struct sona_tools_sample){.ns = ns, .capacity = capacity};
    return true;
}

void sona_tools_sample_done(struct sona_tools_sample *sample)
{
    free(sample->ns);
    memset(sample, 0, sizeof *sample);
}

void sona_tools_sample_add(struct sona_tools_sample *sample, uint64_t ns)
{
    if (sample->count < sample->capacity)
        sample->ns[sample->count++] = ns < UINT32_MAX ? (uint32_t)ns : UINT32_MAX;
}

static int by_value(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

    return x < y ? -1 : x > y;
}

double sona_tools_sample_percentile(struct sona_tools_sample *sample, double p)
{
    double rank = ceil(p * sample->count);

    if (sample->count == 0)
        return (double)NAN;
    qsort(sample->ns, sample->count, sizeof *sample->ns, by_value);
    return sample->ns[rank < 1 ? 0 : (uint32_t)rank - 1];
}
