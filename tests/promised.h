/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/* What programs of the seeds read by name, of an engine and of a sidecar. */
#ifndef SONA_TESTS_PROMISED_H
#define SONA_TESTS_PROMISED_H

static const char *const promised_statistics[] = {
    "trajectories_recorded", "trajectories",         "patterns_stored",       "patterns",
    "patterns_extracted",    "micro_updates",        "background_cycles",     "learning_cycles",
    "trajectories_buffered", "trajectories_dropped", "buffer_success_rate",   "instant_enabled",
    "background_enabled",    "total_requests",       "total_learning_cycles", "positive_feedback",
    "negative_feedback",     "avg_latency_us",       "feedback_ratio",        "ewc_tasks"};

#endif
