/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/*
 * Statistics of trajectory steps by node: the first SONA_NODES_MAX nodes each in a row of their
 * own, all others in the one behind them.
 */
#ifndef SONA_ENGINE_PENDING_NODES_H
#define SONA_ENGINE_PENDING_NODES_H

#include <stdint.h>

#include <sona/stats.h>

struct sona_pending_nodes {
    uint32_t n;
    sona_node_stats node[SONA_NODES_MAX + 1]; /* sums where the names say means */
};

void sona_pending_nodes_add(struct sona_pending_nodes *nodes, uint32_t node, float score,
                            float reward, uint32_t latency_us);
/* Write the rows with their means. */
void sona_pending_nodes_tell(const struct sona_pending_nodes *nodes, sona_stats *stats);

#endif
