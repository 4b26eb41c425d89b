/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/* A small routing set whose answer is known: every query lies near one of a few topics, and each
 * topic has one route that is right. In memory, or as the bytes of a file. */
#ifndef SONA_TESTS_TOOLS_SET_FIXTURE_H
#define SONA_TESTS_TOOLS_SET_FIXTURE_H

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <criterion/criterion.h>
#include <criterion/new/assert.h>

#include "tools/dataset.h"
#include "tools/random.h"

#define FIXTURE_DIM 32u

/* Row r is of topic (and group) r % topics; route topic % routes is worth `right` there, every
 * other one 0.1. */
static inline struct sona_tools_dataset fixture_set(uint32_t rows, uint32_t routes, uint32_t topics)
{
    struct sona_tools_random random = sona_tools_random_init(7, 1);
    struct sona_tools_dataset set;
    sona_diag diag;

    cr_assert(eq(int, sona_tools_dataset_create(&set, "fixture", rows, FIXTURE_DIM, routes, &diag),
                 SONA_OK),
              "%s", diag.text);
    set.groups = topics;
    for (uint32_t r = 0; r < rows; r++) {
        uint32_t topic = r % topics;
        float *x = set.x + (size_t)r * FIXTURE_DIM;

        for (uint32_t j = 0; j < FIXTURE_DIM; j++)
            x[j] = (float)(0.15 * (sona_tools_random_unit(&random) - 0.5)) +
                   (j == topic * 3 % FIXTURE_DIM ? 1.0f : 0.0f);
        set.group[r] = (uint16_t)topic;
        for (uint32_t k = 0; k < routes; k++)
            set.quality[(size_t)r * routes + k] = k == topic % routes ? 0.9f : 0.1f;
    }
    return set;
}

/* The bytes of a file: 3 rows, 4 dimensions, 2 routes, 2 groups. */
struct fixture_file {
    unsigned char bytes[24 + 8 + 3 * (2 + 4 + 8 + 4)];
};
#define FIXTURE_COST       24u
#define FIXTURE_ROW(r)     (32u + (r)*18u)
#define FIXTURE_GROUP(r)   FIXTURE_ROW(r)
#define FIXTURE_SCALE(r)   (FIXTURE_ROW(r) + 2u)
#define FIXTURE_QUALITY(r) (FIXTURE_ROW(r) + 6u)
#define FIXTURE_X(r)       (FIXTURE_ROW(r) + 14u)

static inline void fixture_put_f32(struct fixture_file *file, size_t at, float value)
{
    memcpy(file->bytes + at, &value, sizeof value);
}

static inline void fixture_put_u32(struct fixture_file *file, size_t at, uint32_t value)
{
    memcpy(file->bytes + at, &value, sizeof value);
}

static inline struct fixture_file fixture_file(void)
{
    struct fixture_file file = {.bytes = "SONARTE1"};

    fixture_put_u32(&file, 8, 3);
    fixture_put_u32(&file, 12, 4);
    fixture_put_u32(&file, 16, 2);
    fixture_put_u32(&file, 20, 2);
    fixture_put_f32(&file, FIXTURE_COST, 2);
    fixture_put_f32(&file, FIXTURE_COST + 4, 8);
    for (uint32_t r = 0; r < 3; r++) {
        file.bytes[FIXTURE_GROUP(r)] = r == 2;
        fixture_put_f32(&file, FIXTURE_SCALE(r), 0.01f);
        fixture_put_f32(&file, FIXTURE_QUALITY(r), 0.25f);
        fixture_put_f32(&file, FIXTURE_QUALITY(r) + 4, 1);
        file.bytes[FIXTURE_X(r)] = 100;
        file.bytes[FIXTURE_X(r) + 3] = 0x9c; /* -100 */
    }
    return file;
}

/* Write n bytes to a new file "<temporary>.bin" and return its path, to be freed. */
static inline char *fixture_write(const void *bytes, size_t n)
{
    char *path = strdup("/tmp/sona-set-XXXXXX.bin");
    int fd = mkstemps(path, 4);

    cr_assert(fd >= 0);
    cr_assert(eq(sz, (size_t)write(fd, bytes, n), n));
    cr_assert(eq(int, close(fd), 0));
    return path;
}

#endif
