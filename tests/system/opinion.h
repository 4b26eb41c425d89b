/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/* What a sidecar thinks, to be compared bit by bit, and how it comes to think something. */
#ifndef SONA_TESTS_SYSTEM_OPINION_H
#define SONA_TESTS_SYSTEM_OPINION_H

#include <stdint.h>

#include "stage.h"

#define QUERIES 20u

/* What the model thinks of some queries, as bits. */
struct opinion {
    float score[QUERIES][3];
};

struct opinion opinion_of(sona_lane *lane);
/* A fresh client's opinion: its first answer is from the sidecar that runs now. */
struct opinion opinion_now(const struct stage *stage);
/* Decide, and tell an outcome that depends on route and query; both wait for room. */
void teach(sona_lane *lane, uint32_t n);
/* The same with a client of its own; back when all is learned and the client is gone. */
void learn_here(const struct stage *stage, uint32_t n);

#endif
