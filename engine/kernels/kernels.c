/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/*
 * Which row of the kernels this process uses: the best that the processor can run, or the one that
 * SONA_SIMD names. Chosen before main(), so that no call on a hot path asks.
 *
 * AVX-512 stands behind AVX2 and is taken by name only: its kernels are faster, a whole decision is
 * not, and wide multiplications lower the clock of the core for the router's own work too (ADR
 * 0029).
 */
#include <stdlib.h>
#include <string.h>

#include "engine/kernels/rows.h"

/* The first that the processor can run is the one in use; C last. */
static const struct sona_kernels *const rows[] = {
#if defined(SONA_KERNELS_AVX2)
    &sona_kernels_row_avx2,
#endif
#if defined(SONA_KERNELS_AVX512)
    &sona_kernels_row_avx512,
#endif
#if defined(SONA_KERNELS_NEON)
    &sona_kernels_row_neon,
#endif
    &sona_kernels_row_c,      NULL,
};

/* The C row until the constructor has run: a constructor elsewhere may come first. */
static const struct sona_kernels *active = &sona_kernels_row_c;

/* What the calling thread entered; null: nothing. Initial-exec: the first access of a thread in a
 * library loaded late would otherwise allocate, on a hot path. */
static _Thread_local const struct sona_kernels *entered __attribute__((tls_model("initial-exec")));

const struct sona_kernels *sona_kernels_active(void)
{
    return entered != NULL ? entered : active;
}

/* Written only when it changes: after a fork the first write to the page it lies in is a page
 * fault, on a hot path. */
static void go_to(const struct sona_kernels *row)
{
    if (entered != row)
        entered = row;
}

const struct sona_kernels *sona_kernels_enter(bool plain)
{
    const struct sona_kernels *before = entered;

    go_to(plain ? &sona_kernels_row_c : NULL);
    return before;
}

void sona_kernels_leave(const struct sona_kernels *const *before)
{
    go_to(*before);
}

const struct sona_kernels *const *sona_kernels_all(void)
{
    return rows;
}

bool sona_kernels_select(const char *name)
{
    for (size_t i = 0; rows[i] != NULL; i++) {
        if (strcmp(rows[i]->name, name) == 0 && rows[i]->usable()) {
            active = rows[i];
            return true;
        }
    }
    return false;
}

/* An unknown name falls back to the best row: a library neither prints nor fails at load time, and
 * the row in use is in the stats. */
__attribute__((constructor)) static void choose(void)
{
    const char *wanted = getenv("SONA_SIMD");

    if (wanted != NULL && sona_kernels_select(wanted))
        return;
    for (size_t i = 0; rows[i] != NULL; i++) {
        if (rows[i]->usable()) {
            active = rows[i];
            return;
        }
    }
}
