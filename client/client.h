/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/*
 * What the files of libsona-client share.
 *
 *   sona_client          one per open; its hot word is `att`
 *     attachment         {model map, lanes, private geometry, layout, plan, tag}; immutable once
 *       port [n_lanes]     published, but for `mode`. At most two exist: `att` and `old`.
 *       lanes              the lane memory; two attachments share it when a successor of the
 * sidecar took it back, so that every ring goes on where it was lane [n_lanes]     the handle in
 * the caller's hands; read only on the hot path lane state         what a lane writes: which
 * attachment it uses, its counters, its scores
 *
 * How an old attachment is unmapped without a lock in the readers (a quiescent-state scheme):
 *   [L1] a lane's `busy` store, then its load of `att`   with   the maintainer's `att` store, then
 *        membarrier, then its load of `busy`. Either the maintainer sees the lane busy, or the lane
 *        sees the new attachment. FULL mode: all four are seq_cst.
 *   [L2] a lane's `shown` and `busy` stores (release)   with   the maintainer's loads (acquire):
 * the lane's accesses to the old attachment are done. [L3] the maintainer's `att` store (release)
 * with   the lane's load (acquire): the attachment is complete when it is seen. A lane that rests
 * between two calls, for hours perhaps, holds nothing up.
 *
 * Memory that a lane writes is not inherited by fork() (MADV_DONTFORK): the parent would fault on
 * every page after a fork, and the child must not touch it. Handles are inherited and only read.
 * The guard page is wiped in the child (MADV_WIPEONFORK), which is how the child learns of it.
 */
#ifndef SONA_CLIENT_CLIENT_H
#define SONA_CLIENT_CLIENT_H

#include <pthread.h>
#include <stdalign.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/un.h>

#include <sona/client.h>

#include "engine/model/model.h"
#include "shm/layout.h"
#include "shm/reader.h"
#include "shm/ring.h"

#define SONA_CLIENT_TIMEOUT_MS     2000u
#define SONA_CLIENT_LANES          4u
#define SONA_CLIENT_TICK_MS        100u  /* between two looks at heartbeat and state */
#define SONA_CLIENT_STALE_MS       2000u /* a heartbeat older than this is not fresh */
#define SONA_CLIENT_BACKOFF_MIN_MS 10u
#define SONA_CLIENT_BACKOFF_MAX_MS 1000u

/* X(name): counters that a lane keeps; each is a field of sona_client_stats. */
#define SONA_CLIENT_COUNTERS(X) \
    X(applies)                  \
    X(decides)                  \
    X(outcomes)                 \
    X(trajectories)             \
    X(steps)                    \
    X(searches)                 \
    X(revokes)                  \
    X(signals)                  \
    X(identity)                 \
    X(retries)                  \
    X(dropped_full)             \
    X(dropped_detached)         \
    X(refused_argument)         \
    X(refused_shape)            \
    X(refused_not_finite)       \
    X(refused_range)            \
    X(refused_zero_vector)      \
    X(refused_route)            \
    X(refused_no_route)         \
    X(refused_unknown_id)       \
    X(unrecorded)

enum sona_client_counter {
#define SONA_CLIENT_COUNTER_ENUM(name) SONA_CLIENT_##name,
    SONA_CLIENT_COUNTERS(SONA_CLIENT_COUNTER_ENUM)
#undef SONA_CLIENT_COUNTER_ENUM
        SONA_CLIENT_COUNTER_COUNT
};

/* The first word of a page that fork() wipes. */
struct sona_client_guard {
    _Atomic uint32_t alive; /* 1 in the process that opened the client, 0 in its children */
};

/* One lane's end of one attachment. */
struct sona_client_port {
    alignas(SONA_SHM_SPACING) struct sona_shm_lane *shared; /* null: never attached */
    struct sona_shm_ring ring;
    float *x;                        /* dim_padded floats: a query that is not in the ring */
    struct sona_model_scores scores; /* `value` lies in the lane state */
};

/* The lane memory, mapped once, for as long as the sidecar or its successors take it. */
struct sona_client_lanes {
    uint64_t serial; /* among the client's */
    uint32_t owners; /* attachments; the maintainer's */
    void *map;
    size_t bytes;
    int fd;      /* kept to be handed back; close-on-exec */
    ino_t inode; /* so that nobody closes a stranger's descriptor */
};

/* What becomes of an event. */
enum sona_client_mode {
    SONA_CLIENT_CLOSED, /* nothing is recorded any more: never attached, stopping, retired */
    SONA_CLIENT_LOST,   /* the sidecar is gone: rings fill, for a successor that takes them back */
    SONA_CLIENT_OPEN
};

struct sona_client_attachment {
    uint64_t serial;       /* among the client's; addresses come back, serials do not */
    _Atomic uint32_t mode; /* enum sona_client_mode; the maintainer stores it */
    bool locked;           /* every page is locked in memory */
    uint32_t tag;
    uint32_t n_lanes;
    uint64_t incarnation;
    struct sona_shm_reader reader; /* live null: never attached, no model */
    struct sona_model_layout layout;
    struct sona_shm_plan plan;
    void *model_map;
    struct sona_client_lanes *lanes; /* null: never attached */
    size_t bytes;                    /* of this block: attachment, ports, scratch */
    struct sona_client_port port[];
};

/* What one lane writes. Single writer: the thread that holds the lane. */
struct sona_client_lane_state {
    alignas(SONA_SHM_SPACING) _Atomic uint32_t busy; /* 1 during a call [L1] [L2] */
    _Atomic uint64_t shown; /* serial of the attachment used by the last call [L2] */
    uint64_t lanes;         /* serial of the lane memory that `seq` counts in */
    uint64_t seq;           /* lane_seq of the next record */
    uint64_t draws;         /* decisions drawn so far */
    uint64_t last_decision; /* id of the last one recorded; 0: none, or a later one was left out */
    _Atomic uint64_t counter[SONA_CLIENT_COUNTER_COUNT];     /* read by stats: relaxed */
    alignas(SONA_MODEL_ALIGN) float scores[SONA_ROUTES_MAX]; /* of the last decision */
};

struct sona_lane {
    alignas(SONA_SHM_SPACING) const struct sona_client_guard *guard;
    struct sona_client *client;
    struct sona_client_lane_state *state;
    uint32_t index;
    bool full_fence;
    /* Under the client's lock: */
    bool claimed;
    uint64_t owner; /* the claiming thread's number, 0: released by hand only */
};

struct sona_client {
    _Atomic(struct sona_client_attachment *) att; /* never null [L1] [L3] */
    struct sona_client_guard *guard;
    struct sona_client_lane_state *states;
    struct sona_lane *lanes;
    uint64_t seed;
    uint32_t n_lanes;
    uint32_t dim; /* expected; 0: any */
    uint32_t timeout_ms;
    bool full_fence;
    bool pooled_lanes;
    char path[sizeof(((struct sockaddr_un *)0)->sun_path)];

    pthread_mutex_t lock; /* short: lanes' claims; keeps `att` and `old` mapped while held */
    uint64_t number;      /* among the clients of this process */

    pthread_mutex_t
        maintaining; /* one maintainer at a time; everything below is the maintainer's */
    struct sona_client_attachment *old;
    struct sona_client_lanes *memory; /* of `att`; a child of fork() finds its descriptor here */
    uint64_t serials;                 /* given to attachments and lane memories so far */
    int socket;                       /* -1: none */
    ino_t socket_inode;               /* so that a child never closes a stranger's descriptor */
    uint64_t heartbeat;
    int64_t heartbeat_ms; /* when it last moved */
    bool has_thread;
    pthread_t thread;
    int wake; /* eventfd: written once, at close */
    _Atomic bool stopping;

    /* Written by the maintainer, read by anyone; relaxed, each stands alone. */
    _Atomic bool attached;
    _Atomic bool locked;
    bool states_locked;
    _Atomic uint32_t last_dim;
    _Atomic uint32_t claimed;
    _Atomic uint64_t attachments;
    _Atomic uint64_t dropped_restart; /* of attachments already unmapped */
    _Atomic uint64_t undrained;       /* of those that are lost and still mapped */
    _Atomic uint64_t memlock_failures;
};

/* attach.c: a new attachment from a handshake, or one without a model for vectors of `dim` floats
 * (0: refuses every vector). `before` is the one that was lost: its lanes are handed back with
 * `hand_back`, and when its segment goes on as well, it is itself what is returned. */
sona_err sona_client_attachment_open(struct sona_client *client,
                                     struct sona_client_attachment *before, bool hand_back,
                                     struct sona_client_attachment **ret, int *ret_socket,
                                     sona_diag *reterr);
sona_err sona_client_attachment_void(struct sona_client *client, uint32_t dim,
                                     struct sona_client_attachment **ret, sona_diag *reterr);
void sona_client_attachment_close(struct sona_client_attachment *attachment);

/* Close our copy of the descriptor, also in a child. */
void sona_client_lanes_drop_fd(struct sona_client_lanes *lanes);

/* memory.c: private pages, allocated, touched and locked. */
void *sona_client_pages_map(size_t bytes, bool *ret_locked);
bool sona_client_pages_settle(void *map, size_t bytes, bool writable);

/* lane.c */
void sona_client_lanes_init(struct sona_client *client);
sona_err sona_client_lanes_register(struct sona_client *client, sona_diag *reterr);
void sona_client_lanes_unregister(struct sona_client *client);

/* maintain.c: one pass, by whoever maintains. SONA_OK: attached. */
sona_err sona_client_maintain_once(struct sona_client *client, sona_diag *reterr);
sona_err sona_client_maintain_start(struct sona_client *client, sona_diag *reterr);
void sona_client_maintain_stop(struct sona_client *client);
/* Close the connection. */
void sona_client_hang_up(struct sona_client *client);

#endif
