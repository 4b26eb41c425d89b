/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/*
 * The frame of every [hot] call: enter, read the model or write an event, leave. Mapped memory
 * only; no branch here waits, and every loop has a bound.
 */
#ifndef SONA_CLIENT_HOT_H
#define SONA_CLIENT_HOT_H

#include "client/client.h"
#include "shm/fault.h"
#include "shm/record.h"

/* One call on a lane. */
struct sona_client_call {
    struct sona_client_attachment *att;
    struct sona_client_port *port;
    struct sona_client_lane_state *state;
    uint32_t lane;
};

/* Single writer, so load and store suffice. Relaxed: a counter orders nothing. */
static inline void sona_client_count(struct sona_client_lane_state *state,
                                     enum sona_client_counter which)
{
    uint64_t n = atomic_load_explicit(&state->counter[which], memory_order_relaxed);

    atomic_store_explicit(&state->counter[which], n + 1, memory_order_relaxed);
}

/* The first call of a lane on another attachment. */
void sona_client_arrive(struct sona_client_lane_state *state,
                        const struct sona_client_attachment *att);

/* Begin a call. False: this process is a child of the one that opened the client. */
static inline bool sona_client_enter(struct sona_client_call *call, sona_lane *lane)
{
    /* Relaxed: fork() itself orders the wipe before anything the child does. */
    if (!atomic_load_explicit(&lane->guard->alive, memory_order_relaxed))
        return false;

    struct sona_client_lane_state *state = lane->state;
    struct sona_client_attachment *att;
    if (lane->full_fence) {
        (void)atomic_exchange_explicit(&state->busy, 1, memory_order_seq_cst); /* [L1] */
        att = atomic_load_explicit(&lane->client->att, memory_order_seq_cst);  /* [L1] [L3] */
    } else {
        atomic_store_explicit(&state->busy, 1, memory_order_relaxed); /* [L1] */
        atomic_signal_fence(memory_order_seq_cst);
        att = atomic_load_explicit(&lane->client->att, memory_order_acquire); /* [L1] [L3] */
    }
    /* Our own word; the hazard of the old attachment is 0 between calls. */
    if (atomic_load_explicit(&state->shown, memory_order_relaxed) != att->serial)
        sona_client_arrive(state, att);
    *call = (struct sona_client_call){
        .att = att, .port = &att->port[lane->index], .state = state, .lane = lane->index};
    return true;
}

/* End a call with `err`. */
static inline sona_err sona_client_leave(struct sona_client_call *call, sona_err err)
{
    atomic_store_explicit(&call->state->busy, 0, memory_order_release); /* [L2] */
    return err;
}

/* End a call that was refused: nothing changed but its counter. */
sona_err sona_client_refuse(struct sona_client_call *call, sona_err err);

/* A read of the model in progress:
 *     sona_client_read_begin(&read);
 *     while (sona_client_read_next(&call, &read)) {
 *         ... a function of read.view ...
 *         if (sona_client_read_valid(&call, &read, halves))
 *             break;
 *     }
 *     version = sona_client_read_end(&call, &read);     0: nothing valid was read */
struct sona_client_read {
    struct sona_model_view view;
    struct sona_shm_pin pin;
    uint32_t tries;
    uint64_t version;
};

/* Sets what is read before it is written, and no more: clearing all of it costs as much as a pin.
 */
static inline void sona_client_read_begin(struct sona_client_read *read)
{
    read->tries = 0;
    read->version = 0;
}

static inline bool sona_client_read_next(struct sona_client_call *call,
                                         struct sona_client_read *read)
{
    const struct sona_client_attachment *att = call->att;

    if (!att->reader.live)
        return false;
    while (read->tries < SONA_SHM_READ_TRIES) {
        int got = sona_shm_pin(&att->reader, &call->port->shared->hazard, &read->pin);

        read->tries++;
        if (got > 0) {
            read->view = (struct sona_model_view){
                .layout = &att->layout, .hot = read->pin.hot, .cold = read->pin.cold};
            SONA_PINNED(call, read);
            return true;
        }
        if (got == 0)
            return false;
        sona_client_count(call->state, SONA_CLIENT_retries);
    }
    return false;
}

static inline bool sona_client_read_valid(struct sona_client_call *call,
                                          struct sona_client_read *read, uint32_t halves)
{
    if (sona_shm_validate(&read->pin, halves)) {
        read->version = read->pin.id;
        SONA_ACCEPTED(read, halves);
        return true;
    }
    sona_client_count(call->state, SONA_CLIENT_retries);
    return false;
}

static inline uint64_t sona_client_read_end(struct sona_client_call *call,
                                            struct sona_client_read *read)
{
    if (call->att->reader.live)
        sona_shm_unpin(&call->port->shared->hazard);
    return read->version;
}

/* Count an answer that was given from snapshot `version`. */
static inline void sona_client_answered(struct sona_client_call *call,
                                        enum sona_client_counter which, uint64_t version)
{
    sona_client_count(call->state, which);
    if (version == 0)
        sona_client_count(call->state, SONA_CLIENT_identity);
}

/* The next record of the lane, to be written in place; null with *ret_why SONA_E_FULL or
 * SONA_E_DETACHED. Not counted yet: the call may still be refused. */
static inline struct sona_record *sona_client_event_reserve(struct sona_client_call *call,
                                                            sona_err *ret_why)
{
    /* Relaxed: until the loss is noticed the ring just fills, and for a while after that. */
    uint32_t mode = atomic_load_explicit(&call->att->mode, memory_order_relaxed);

    *ret_why = mode == SONA_CLIENT_OPEN ? SONA_E_FULL : SONA_E_DETACHED;
    if (mode == SONA_CLIENT_CLOSED)
        return NULL;
    return sona_shm_ring_reserve(&call->port->ring);
}

/* The id that the reserved record will have. */
static inline uint64_t sona_client_event_id(const struct sona_client_call *call)
{
    return SONA_ID(call->att->tag, call->lane, call->state->seq);
}

/* Write the header and commit. `record->id` and the fields after it are the caller's: it assigns
 * the whole header first, by a designated initialiser. */
static inline void sona_client_event_commit(struct sona_client_call *call,
                                            struct sona_record *record)
{
    struct sona_client_port *port = call->port;
    struct sona_client_lane_state *state = call->state;

    record->magic = SONA_RECORD_MAGIC;
    record->version = SONA_RECORD_VERSION;
    record->lane_seq = state->seq;
    sona_shm_ring_commit(&port->ring);
    state->seq++;
    /* Relaxed: a hint for people. */
    atomic_store_explicit(&port->shared->counters.committed, state->seq, memory_order_relaxed);
}

/* Count an event that could not be recorded; returns `why`. */
sona_err sona_client_event_drop(struct sona_client_call *call, sona_err why);

#endif
