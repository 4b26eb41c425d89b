/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/* What the intake counts, as the other threads see it: one writer, relaxed, figures for people. */
#ifndef SONA_SIDECAR_FIGURES_H
#define SONA_SIDECAR_FIGURES_H

#include <stdatomic.h>
#include <stdint.h>

#include <sona/stats.h>

#include "sidecar/join.h"
#include "sidecar/tally.h"

struct sona_sidecar_intake_figures {
    struct sona_sidecar_tally tally;
    _Atomic uint64_t taken;                        /* records taken from lanes */
    _Atomic uint64_t accepted[SONA_SIDECAR_KINDS]; /* of them, by kind, not refused at sight */
    _Atomic uint64_t pending, parked_now;
    /* Steps by node: `steps` is written last. */
    struct {
        _Atomic uint64_t node, steps;
        _Atomic double score, reward, latency_us;
    } node[SONA_NODES_MAX + 1];
};

void sona_sidecar_figures_refresh(struct sona_sidecar_intake_figures *figures,
                                  const struct sona_sidecar_join *join);

#endif
