/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/*
 * What waits for its outcome, as sections of a container (engine/state): entries with their queries
 * and the sums of their steps, ids that are settled, outcomes that are parked, counters, and the
 * statistics of nodes. In order of arrival, so that places in memory play no part.
 *
 * Not stored: what a joined outcome handed out (its vector, its sums) and was not read yet. Whoever
 * saves does so between two events.
 */
#ifndef SONA_ENGINE_PENDING_SAVE_H
#define SONA_ENGINE_PENDING_SAVE_H

#include "engine/pending/pending.h"
#include "engine/state/container.h"

void sona_pending_save(const struct sona_pending *pending, struct sona_state_writer *writer);
/* Load into a table that was just initialised, of the same capacity or larger. SONA_E_FORMAT with a
 * diagnostic: the table must be initialised again before it is used. */
sona_err sona_pending_load(struct sona_pending *pending, struct sona_state_reader *reader);

#endif
