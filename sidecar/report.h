/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/* What the sidecar says about itself, from the version that the learner shows, the intake's figures
 * and what control shows (roster.h). Any thread that has entered (version.h), but for report_page.
 */
#ifndef SONA_SIDECAR_REPORT_H
#define SONA_SIDECAR_REPORT_H

#include <sona/error.h>
#include <sona/stats.h>

#include "shm/layout.h"

struct sona_sidecar;
struct sona_sidecar_command;
struct sona_sidecar_options;

/* JSON text, one object, to be freed by the caller; null without memory. */
char *sona_sidecar_report_status(const struct sona_sidecar *sidecar);
char *sona_sidecar_report_stats(const struct sona_sidecar *sidecar);
/* The patterns with the most evidence, as many as an answer holds, and how many there are. */
#define SONA_SIDECAR_PATTERNS_SHOWN 100u
char *sona_sidecar_report_patterns(const struct sona_sidecar *sidecar);
char *sona_sidecar_report_routes(const struct sona_sidecar *sidecar);
/* Every option in effect: key, value, where it is from, whether SIGHUP changes it. */
char *sona_sidecar_report_explore(const struct sona_sidecar *sidecar);
char *sona_sidecar_report_config(const struct sona_sidecar *sidecar);
char *sona_sidecar_report_options(const struct sona_sidecar_options *options);
/* Of records: "decide", ...; null: there is none. */
const char *sona_sidecar_report_kind(uint32_t kind);
/* "live", ... */
const char *sona_sidecar_report_state(enum sona_shm_state state);
/* Generations of the store; null: see reterr. */
char *sona_sidecar_report_generations(const struct sona_sidecar *sidecar, sona_diag *reterr);
/* What a command that was applied did. */
char *sona_sidecar_report_command(const struct sona_sidecar *sidecar,
                                  const struct sona_sidecar_command *command);

/* Every counter and gauge in one struct, and the same to page 2 of the segment (control's). What
 * clients count themselves is as old as the last heartbeat. */
void sona_sidecar_report_sum(const struct sona_sidecar *sidecar, sona_stats *ret);
void sona_sidecar_report_page(const struct sona_sidecar *sidecar);

#endif
