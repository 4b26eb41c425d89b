/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/*
 * Places at which a test may kill the sidecar. Nothing is left of them in what is installed: only
 * the test binary sona-sidecar-faults is compiled with SONA_FAULTS.
 *
 *     SONA_FAULT=drain_noted:7   the process kills itself at the seventh passage of that point
 *     SONA_TRACE=FILE            what was taken from which lane is appended there (fault.c)
 */
#ifndef SONA_SHM_FAULT_H
#define SONA_SHM_FAULT_H

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
    X(publish_done)      /* cur too */

enum sona_fault {
#define SONA_FAULT_ENUM(name) SONA_FAULT_##name,
    SONA_FAULTS_OF(SONA_FAULT_ENUM)
#undef SONA_FAULT_ENUM
        SONA_FAULT_COUNT
};

#ifdef SONA_FAULTS
#define SONA_FAULT(name) sona_shm_fault(SONA_FAULT_##name)
#define SONA_TRACE(...)  sona_shm_trace(__VA_ARGS__)
#else
#define SONA_FAULT(name) ((void)0)
#define SONA_TRACE(...)  ((void)0)
#endif

/* Kill the process here, if SONA_FAULT says so. */
void sona_shm_fault(enum sona_fault point);

/* One batch of records, [first, first + n) of a lane: once before the cursor is moved, and once
 * after it was (noted). */
struct sona_shm_trace {
    uint64_t pid, first;
    uint32_t tag, lane, n, noted;
};
void sona_shm_trace(uint32_t tag, uint32_t lane, uint64_t first, uint32_t n, uint32_t noted);

#endif
