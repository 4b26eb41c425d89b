/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/*
 * What people ask for at run time: routes, loops, learning on or off. A command is an event like
 * any other: the learner thread applies it between two events, and it is answered when what it
 * changed is published.
 *
 *     http ──asked──► learner: apply, publish, show ──desk of the asker──► http: its answer
 *       └──FLUSH letter──► intake: drain what is committed, then say up to where ──┘
 */
#ifndef SONA_SIDECAR_COMMAND_H
#define SONA_SIDECAR_COMMAND_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include <sona/config.h>
#include <sona/engine.h>
#include <sona/error.h>

#include "shm/control.h"
#include "sidecar/adapters.h"
#include "sidecar/decisions.h"
#include "sidecar/patterns.h"

struct sona_learner;

/* Not of the socket: what SIGHUP changes (reload.h). */
#define SONA_SIDECAR_CONFIGURE 0x10000u

struct sona_sidecar_change {
    sona_config config;                     /* its SONA_CONFIG_LIVE_FIELDS */
    uint32_t n_routes;                      /* new ones, and known ones with another cost */
    sona_route_spec route[SONA_ROUTES_MAX]; /* the priors count for new ones */
};

#define SONA_SIDECAR_EWC_TOP   16u
#define SONA_SIDECAR_FOUND_MAX 2048u

/* EWC++ after one of its commands. */
struct sona_sidecar_ewc {
    sona_ewc state;
    bool changed;   /* a task ended; anchors were merged */
    uint32_t n_top; /* the most important weights */
    sona_ewc_weight top[SONA_SIDECAR_EWC_TOP];
};

struct sona_sidecar_desk;

struct sona_sidecar_command {
    struct sona_sidecar_desk *desk;           /* where its answer goes */
    uint64_t asker;                           /* whose it is, there */
    uint64_t flush;                           /* FLUSH: the how-manieth */
    uint64_t learned_before;                  /* when it was asked */
    struct sona_control_request request;      /* judged by sona_sidecar_command_judge() */
    const struct sona_sidecar_change *change; /* CONFIGURE; the asker's until it is answered */
    /* What is to be filled or taken; whoever holds the command has it, and the last one frees it
     * (sona_sidecar_command_drop). Null but of the class that it is named after. */
    struct sona_sidecar_adapters *adapters;
    struct sona_sidecar_patterns *patterns;
    struct sona_sidecar_decisions *decisions;
    /* The answer. */
    sona_diag diag; /* code SONA_OK: done */
    sona_route route;
    sona_cycle_report report;
    sona_bank_report bank;
    struct sona_sidecar_ewc ewc;
    uint64_t generation;                /* that was made, or named */
    char found[SONA_SIDECAR_FOUND_MAX]; /* CHECK: what verify.h says, as JSON */
};

/* Who applies it. Not of CONFIGURE. */
static inline enum sona_control_class
sona_sidecar_command_class(const struct sona_sidecar_command *command)
{
    const struct sona_control_command *row = sona_control_command_of(command->request.what);

    return row ? row->class : SONA_CONTROL_QUERY;
}

/* Is it one on the pattern bank? Not while a cycle runs, whose install brings its own bank. */
static inline bool sona_sidecar_command_on_bank(const struct sona_sidecar_command *command)
{
    return sona_sidecar_command_class(command) == SONA_CONTROL_BANK;
}

/* Free what it carries. */
void sona_sidecar_command_drop(struct sona_sidecar_command *command);

#define SONA_SIDECAR_COMMANDS_MAX 16u /* waiting at one time */

/* Commands on their way, in order. Any thread. */
struct sona_sidecar_commands {
    pthread_mutex_t lock;
    _Atomic uint32_t count; /* written under the lock; read without it to see whether to look */
    struct sona_sidecar_command item[SONA_SIDECAR_COMMANDS_MAX];
};

/* Where a thread that asks finds the answers, and how it is woken. */
struct sona_sidecar_desk {
    struct sona_sidecar_commands answered;
    int fd; /* eventfd; -1: none */
};

void sona_sidecar_commands_init(struct sona_sidecar_commands *commands);
void sona_sidecar_commands_done(struct sona_sidecar_commands *commands);
/* False: too many wait already. */
bool sona_sidecar_commands_put(struct sona_sidecar_commands *commands,
                               const struct sona_sidecar_command *command);
/* The oldest; false: none. One atomic load then. */
bool sona_sidecar_commands_take(struct sona_sidecar_commands *commands,
                                struct sona_sidecar_command *ret);

/* Learner: hand an answered command to whoever asked. No room: the asker times out. */
void sona_sidecar_desk_answer(struct sona_sidecar_command *command);

/* Judge a request from the socket: what, the name's end, the mode. SONA_E_FORMAT, SONA_E_RANGE. */
sona_err sona_sidecar_command_judge(const struct sona_control_request *request, sona_diag *reterr);
/* Learner, before a command is kept: what a replay must know of this moment. */
void sona_sidecar_command_date(const struct sona_learner *learner,
                               struct sona_sidecar_command *command);
/* Apply a command on routes, the bank, EWC++ or the switch; the result is in `diag`, `route`,
 * `bank` and `ewc`. LEARN and FLUSH are the learner thread's own. */
void sona_sidecar_command_apply(struct sona_learner *learner, struct sona_sidecar_command *command);

#endif
