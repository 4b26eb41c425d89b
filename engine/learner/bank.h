/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/*
 * The pattern bank (ReasoningBank): topics of queries with what came of them, for people and
 * programs that ask. Decisions do not read it; their patterns are the few cells of cluster.c.
 *
 *     outcomes since the last cycle ──► learn: k-means++ seeds where none is near, means move ──►
 * bank every consolidation_interval  ──► decay ──► prune ──► merge
 *
 * The table is part of the cold half: whoever calls these functions is alone with it.
 */
#ifndef SONA_ENGINE_LEARNER_BANK_H
#define SONA_ENGINE_LEARNER_BANK_H

#include <stdbool.h>
#include <stdint.h>

#include "engine/model/model.h"

struct sona_learner_job;

/* A topic is a new one when its cosine with every pattern is this much below pattern_similarity. */
#define SONA_LEARNER_BANK_GAP 0.2f
/* A pattern that has faded so far makes room at the next consolidation. */
#define SONA_LEARNER_BANK_MASS 0.05f
/* Pairs compared by one scheduled consolidation, about; the next goes on where it stopped. */
#define SONA_LEARNER_BANK_PAIRS (1u << 22)

/* Numbers of patterns, steps and accesses that come from outside are below. */
#define SONA_LEARNER_BANK_NUMBERS (1ull << 53)

/* All weights by a factor. */
void sona_learner_bank_decay(const struct sona_model_layout *layout, void *cold, float factor);
/* Remove what falls under the rule, or has less mass than min_mass; returns how many. */
uint32_t sona_learner_bank_prune(const struct sona_model_layout *layout, void *cold,
                                 const sona_prune_rule *rule, float min_mass, uint64_t step);
/* Merge rows [from, from + rows) with every later one that is so alike; returns how many went. */
uint32_t sona_learner_bank_merge(const struct sona_model_layout *layout, void *cold,
                                 float similarity, uint32_t from, uint32_t rows);
/* Could the bank have made this row itself? SONA_E_NOT_FINITE, SONA_E_RANGE: no. */
sona_err sona_learner_bank_check(const struct sona_model_layout *layout, const void *row);
/* Take rows that were checked, each as sona_learner_bank_merge() would: into the likest row of
 * those that are there now, when they are at least so alike, else as a row of its own. Rows that
 * come together are not compared with each other. A row of its own keeps its number, or gets the
 * next one when that is taken. False: there is no room for all of them, and nothing changed. */
bool sona_learner_bank_take(const struct sona_model_layout *layout, void *cold, const void *rows,
                            uint32_t n, float similarity, uint64_t *last_id, uint32_t *ret_merged);
/* Cosine of two rows. */
float sona_learner_bank_likeness(const struct sona_model_layout *layout, const void *cold,
                                 uint32_t a, uint32_t b);
void sona_learner_bank_remove(const struct sona_model_layout *layout, void *cold, uint32_t c);
/* After its sums changed: unit centroid, type. */
void sona_learner_bank_refresh(const struct sona_model_layout *layout, void *cold, uint32_t c);
/* After rows changed or moved, once: the signatures of all of them, none beyond. */
void sona_learner_bank_index(const struct sona_model_layout *layout, void *cold);
void sona_learner_bank_forget_route(const struct sona_model_layout *layout, void *cold, uint32_t k);
double sona_learner_bank_weight(const struct sona_model_layout *layout, const void *cold);

/* Take in the outcomes that came since the last cycle, and consolidate when that is due. */
void sona_learner_job_bank(struct sona_learner_job *j);

#endif
