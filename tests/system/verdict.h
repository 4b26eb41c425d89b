/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/* The journal's rows, one after the other, against what the witnesses wrote down (witness.h). */
#ifndef SONA_TESTS_SYSTEM_VERDICT_H
#define SONA_TESTS_SYSTEM_VERDICT_H

#include "sidecar/store/store.h"
#include "tests/stress/tap.h"
#include "tests/system/witness.h"

struct verdict {
    struct witness *witness; /* n of them */
    uint32_t n;
    uint64_t strangers; /* rows about nothing that a client said */
    uint64_t baselines; /* rows of rewards about nothing */
};

/* Note a row: a sona_store_visitor. */
bool verdict_row(void *verdict, const struct sona_store_record *record);
/* All rows were noted and the witnesses are done: say what was lost, doubled or changed, in six
 * tests. */
void verdict_say(const struct verdict *verdict, struct tap *tap);

#endif
