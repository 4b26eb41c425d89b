/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/*
 * What sona-replay prints: a line of JSON for each seed, or a table for people.
 */
#ifndef SONA_TOOLS_REPLAY_REPORT_H
#define SONA_TOOLS_REPLAY_REPORT_H

#include <stdio.h>

#include <jansson.h>

#include "tools/replay/run.h"

/* Everything about one run, in the documented fields. The caller's reference. Null: no memory. */
json_t *sona_replay_report_json(const struct sona_replay_setup *setup,
                                const struct sona_replay_result *result);
/* {"p50", "p99"} in `unit_ns` nanoseconds; null where nothing was measured. */
json_t *sona_replay_report_latency(const struct sona_replay_latency *latency, double unit_ns);
/* The reason that a drop counter stands for ("duplicate"); null for other counters. */
const char *sona_replay_report_reason(sona_counter counter);
/* {reason: count} of every drop counter that is not zero, without its "drop_". */
json_t *sona_replay_report_dropped(const struct sona_tools_totals *totals);
/* Write one object as one line and flush. */
void sona_replay_report_line(FILE *out, json_t *object);

/* The table: its head, a row for each seed, and what follows after the last. */
void sona_replay_report_head(FILE *out, const struct sona_replay_setup *setup,
                             const struct sona_replay_result *result);
void sona_replay_report_row(FILE *out, const struct sona_replay_result *result);
void sona_replay_report_tail(FILE *out, const struct sona_replay_setup *setup,
                             const struct sona_replay_result *results, uint32_t n);

#endif
