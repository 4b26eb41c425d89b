/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/*
 * The learner's state as sections of a container (engine/state), and a running background job.
 *
 * What is stored is what later events can see: rows in use, not room for more, nor scratch. The
 * bytes are a function of the state: two learners that will go on alike save the same bytes.
 *
 * Of a job that was started and is not installed yet, its input is stored, as far as it is not in
 * the learner: what the job works on in place (cold half, common head, pattern means) the learner
 * keeps unchanged until the install, and of its outcomes it has nearly all. After a load the job is
 * as it was when it started: run it again, it is pure, and install it where it would have been.
 */
#ifndef SONA_ENGINE_LEARNER_SAVE_H
#define SONA_ENGINE_LEARNER_SAVE_H

#include "engine/learner/learner.h"
#include "engine/state/container.h"

/* A stretch of the learner's block. */
struct sona_learner_part {
    char name[SONA_STATE_NAME_MAX]; /* of its section; "": follows from the rest, or scratch */
    size_t offset;                  /* in the block */
    uint32_t row_bytes;
    uint64_t rows;  /* in use */
    uint64_t room;  /* rows there is room for */
    uint32_t since; /* version of the format that has it */
};

/* Visit every part, in a fixed order. Together they are the whole block. */
void sona_learner_parts(const struct sona_learner *l,
                        void (*visit)(void *arg, const struct sona_learner_part *part), void *arg);
/* Of the structs that parts consist of: for sona_state_writer_end() and reader_open(). */
uint64_t sona_learner_save_layout(void);

/* Add the learner's sections, and those of `job`, which is read only while a cycle runs; another
 * thread may be running it. Cost: a copy of the rows in use. */
void sona_learner_save(const struct sona_learner *learner, const struct sona_learner_job *job,
                       struct sona_state_writer *writer);
/* Whose values count from the load on, of the keys that may change at run time. */
enum sona_learner_keys {
    SONA_LEARNER_KEYS_NOW,  /* the learner's own */
    SONA_LEARNER_KEYS_SAVED /* the state's: what follows is done again as it was done */
};

/* Load into a learner and a job that were just initialised; `job` may be null when a state with a
 * running cycle is to be refused. SONA_E_CONFIG, SONA_E_VERSION, SONA_E_FORMAT: with a diagnostic,
 * and the learner must be initialised again before it is used. *ret_running: a cycle was. */
sona_err sona_learner_load(struct sona_learner *learner, struct sona_learner_job *job,
                           enum sona_learner_keys keys, struct sona_state_reader *reader,
                           bool *ret_running);

#endif
