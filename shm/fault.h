/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/*
 * Places at which a test may kill the sidecar. Nothing is left of them in what is installed: only
 * the test binary sona-sidecar-faults is compiled with SONA_FAULTS.
 *
 *     SONA_FAULT=drain_noted:7   the process kills itself at the seventh passage of that point
 *     SONA_TRACE=FILE            what was taken from which lane is appended there (fault.c)
 *
 * The client has such places too, in the variant that tests/torture links with.
 */
#ifndef SONA_SHM_FAULT_H
#define SONA_SHM_FAULT_H

#include <stddef.h>
#include <stdint.h>

/* X(name): one more stands between two steps of which the first is done and the second is not. */
#define SONA_FAULTS_OF(X)                                                          \
    X(adopt_locked)      /* the old segment is ours, nothing of it was changed */  \
    X(adopt_numbered)    /* it has a new incarnation */                            \
    X(handback_received) /* a HELLO with a lane memory arrived */                  \
    X(handback_mapped)   /* it was judged and mapped */                            \
    X(handback_watched)  /* its hazards are in the scan, its rings in the drain */ \
    X(handback_answered) /* the client has its answer */                           \
    X(drain_copied)      /* one record is in private memory */                     \
    X(drain_taken)       /* a batch is joined, the cursor not moved */             \
    X(drain_noted)       /* the cursor is moved, the slots not given back */       \
    X(drain_given_back)  /* they are */                                            \
    X(publish_cleared)   /* a slot's seq is 0 */                                   \
    X(publish_copied)    /* its bytes are written */                               \
    X(publish_bound)     /* its seq too; cur not */                                \
    X(publish_done)      /* cur too */                                             \
    X(arena_copied)      /* a record is in the arena, not committed there */       \
    X(arena_appended)    /* it is; nothing was done with it */                     \
    X(arena_saved)       /* a checkpoint of the arena is written, not valid */     \
    X(arena_checkpoint)  /* it is */                                               \
    X(journal_copied)    /* a batch is in the intake log, its head not moved */    \
    X(journal_appended)  /* it is; who appended was not told */                    \
    X(journal_filled)    /* a group is written, not committed */                   \
    X(journal_committed) /* it is; the log is not trimmed */                       \
    X(journal_trimmed)   /* it is */                                               \
    X(journal_synced)    /* the WAL is synced, nobody was told */                  \
    X(learn_kept)        /* events are in the journal, none is learned */          \
    X(learn_done)        /* one is learned */                                      \
    X(command_kept)      /* a command is in the journal, not applied */            \
    X(cycle_kept)        /* so is the start of a cycle */                          \
    X(cycle_started)     /* its input is taken, the background thread told */      \
    X(cycle_run)         /* it ran; nobody was told */                             \
    X(install_kept)      /* its install is in the journal, not done */             \
    X(install_done)      /* it is */                                               \
    X(generation_copied) /* a copy of the state waits to be written */             \
    X(generation_part)   /* a part is written, not committed */                    \
    X(generation_row)    /* its row is, not committed */                           \
    X(generation_kept)   /* it is there; the learner was not told */               \
    X(resume_loaded)     /* a generation is loaded */                              \
    X(resume_record)     /* a record is done again */                              \
    X(recall_loaded)     /* a checkpoint of the arena is loaded */                 \
    X(recall_entry)      /* an entry is given to the join again */                 \
    X(recall_done)       /* all are; the lanes' cursors are not settled */

enum sona_fault {
#define SONA_FAULT_ENUM(name) SONA_FAULT_##name,
    SONA_FAULTS_OF(SONA_FAULT_ENUM)
#undef SONA_FAULT_ENUM
        SONA_FAULT_COUNT
};

#ifdef SONA_FAULTS
#define SONA_FAULT(name)            sona_shm_fault(SONA_FAULT_##name)
#define SONA_TRACE(...)             sona_shm_trace(__VA_ARGS__)
#define SONA_SEAL(pad, bytes, n)    sona_shm_seal(pad, bytes, n)
#define SONA_PINNED(call, read)     sona_shm_pinned(&(read)->pin, &(call)->port->shared->hazard)
#define SONA_ACCEPTED(read, halves) sona_shm_accepted(&(read)->pin, halves)
#else
#define SONA_FAULT(name)            ((void)0)
#define SONA_TRACE(...)             ((void)0)
#define SONA_SEAL(pad, bytes, n)    ((void)0)
#define SONA_PINNED(call, read)     ((void)0)
#define SONA_ACCEPTED(read, halves) ((void)0)
#endif

/* Kill the process here, if SONA_FAULT says so. */
void sona_shm_fault(enum sona_fault point);

/* TAKEN, NOTED: one batch of records, [first, first + n) of a lane, before the cursor is moved and
 * after it was. The others are about an attachment: n lanes are issued, or handed back, to the
 * process `first`; all of it is drained, learned and about to be freed. */
enum sona_shm_traced {
    SONA_SHM_TAKEN,
    SONA_SHM_NOTED,
    SONA_SHM_ISSUED,
    SONA_SHM_BACK,
    SONA_SHM_GONE
};
struct sona_shm_trace {
    uint64_t pid, us, first;     /* us: CLOCK_MONOTONIC */
    uint32_t tag, lane, n, what; /* enum sona_shm_traced */
};
void sona_shm_trace(uint32_t tag, uint32_t lane, uint64_t first, uint32_t n, uint32_t what);

/* The sum of n bytes, into the pad of their slot's head: what a reader that was told its read is
 * sound must have read. Taken in two parts, the first n / 2 bytes and the rest, so that a reader
 * may rest between them; `before` is the sum of what came before, or 0. */
void sona_shm_seal(void *pad, const void *bytes, size_t n);
uint64_t sona_shm_sum(uint64_t before, const void *bytes, size_t n);

/* In the test's client (client/hot.h), which defines them: it holds a snapshot; what it read of
 * these halves since then is sound. */
struct sona_shm_pin;
void sona_shm_pinned(const struct sona_shm_pin *pin, const _Atomic uint64_t *hazard);
void sona_shm_accepted(const struct sona_shm_pin *pin, uint32_t halves);

#endif
