/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/* See fault.h. In the test binary only. */
#include "shm/fault.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

static const char *const names[] = {
#define NAME(name) #name,
    SONA_FAULTS_OF(NAME)
#undef NAME
};

static pthread_once_t once = PTHREAD_ONCE_INIT;
static int chosen = SONA_FAULT_COUNT, trace_fd = -1;
static _Atomic unsigned long left;

/* A name that is not in the list would be a test that tests nothing. */
static void misspelt(const char *text)
{
    (void)fprintf(stderr, "SONA_FAULT=%s names no point; see shm/fault.h\n", text);
    abort();
}

static void read_environment(void)
{
    const char *text = getenv("SONA_FAULT"), *file = getenv("SONA_TRACE");

    if (file)
        trace_fd = open(file, O_WRONLY | O_APPEND | O_CLOEXEC);
    if (!text || text[0] == '\0')
        return;
    size_t n = strcspn(text, ":");
    for (int point = 0; point < SONA_FAULT_COUNT; point++)
        if (strlen(names[point]) == n && strncmp(names[point], text, n) == 0)
            chosen = point;
    unsigned long times = text[n] == ':' ? strtoul(text + n + 1, NULL, 10) : 1;
    if (chosen == SONA_FAULT_COUNT || times == 0)
        misspelt(text);
    atomic_store_explicit(&left, times, memory_order_relaxed); /* pthread_once publishes it */
}

/* Before main(), and so before the process is confined, which could open no trace any more. */
__attribute__((constructor)) static void begin(void)
{
    if (getenv("SONA_FAULT") || getenv("SONA_TRACE"))
        (void)pthread_once(&once, read_environment);
}

void sona_shm_fault(enum sona_fault point)
{
    (void)pthread_once(&once, read_environment);
    if ((int)point != chosen)
        return;
    /* Relaxed: whoever counts down to 1 dies, whichever thread that is. */
    if (atomic_fetch_sub_explicit(&left, 1, memory_order_relaxed) == 1) {
        (void)kill(getpid(), SIGKILL);
        for (;;)
            (void)pause();
    }
}

void sona_shm_trace(uint32_t tag, uint32_t lane, uint64_t first, uint32_t n, uint32_t what)
{
    struct timespec t;

    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    const struct sona_shm_trace entry = {.pid = (uint64_t)getpid(),
                                         .us = (uint64_t)t.tv_sec * 1000000 +
                                               (uint64_t)t.tv_nsec / 1000,
                                         .first = first,
                                         .tag = tag,
                                         .lane = lane,
                                         .n = n,
                                         .what = what};

    (void)pthread_once(&once, read_environment);
    /* One write of O_APPEND: whole or not at all, whenever the process is killed. */
    if (trace_fd >= 0 && write(trace_fd, &entry, sizeof entry) != (ssize_t)sizeof entry)
        abort();
}

uint64_t sona_shm_sum(uint64_t before, const void *bytes, size_t n)
{
    return XXH3_64bits_withSeed(bytes, n, before);
}

void sona_shm_seal(void *pad, const void *bytes, size_t n)
{
    uint64_t half = sona_shm_sum(0, bytes, n / 2);
    uint64_t sum = sona_shm_sum(half, (const char *)bytes + n / 2, n - n / 2);

    memcpy(pad, &sum, sizeof sum);
}
