/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/*
 * Keeping a client attached: notice that the sidecar is gone, connect to its successor, switch the
 * lanes over, unmap what nobody uses any more. Done by one thread of ours, or by the caller of
 * sona_client_maintain(); never by a lane.
 *
 *   attached ──hang-up: events go on into the rings──► lost ──handshake──► attached
 *       ├──RETIRED, a closed lane: no more events──────►│
 *       └──DRAINING: no more events, wait ──────────────┘ (hang-up)
 *
 * A lost attachment stays mapped and goes on answering from its last model. The sidecar's successor
 * is offered its lane memory, so that nothing that is committed is lost:
 *   - it goes on in the same segment: the attachment is the same, and no lane notices anything;
 *   - in another segment, with the same lanes: lanes switch at their next call, rings go on;
 *   - with other lanes: they switch, and what the old rings hold is counted as lost.
 * After a switch the old attachment is unmapped when no lane is inside a call on it (client.h, L1
 * and L2). While an old attachment is still in use no third one is made.
 */
#include "client/client.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "shm/diag.h"
#include "shm/wire.h"

#define THREAD_STACK_BYTES (256u * 1024u)

static int64_t now_ms(void)
{
    struct timespec t;

    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* The maintainer's own view: nobody else stores `att`. */
static struct sona_client_attachment *current(struct sona_client *client)
{
    return atomic_load_explicit(&client->att, memory_order_relaxed);
}

static uint64_t undrained(const struct sona_client_attachment *a)
{
    uint64_t n = 0;

    if (!a->lanes)
        return 0;
    for (uint32_t i = 0; i < a->n_lanes; i++)
        n += sona_shm_ring_used(&a->port[i].ring);
    return n;
}

/* What an old attachment holds that nobody will drain: nothing, if its lanes go on. */
static uint64_t lost_in(struct sona_client *client, const struct sona_client_attachment *old)
{
    return old && old->lanes != current(client)->lanes ? undrained(old) : 0;
}

/* What lost attachments that are still mapped hold undrained. Relaxed: a number for people. */
static void recount(struct sona_client *client)
{
    struct sona_client_attachment *a = current(client);
    uint64_t n = lost_in(client, client->old);

    if (client->socket < 0)
        n += undrained(a);
    atomic_store_explicit(&client->undrained, n, memory_order_relaxed);
}

/* The inode tells whether the host program closed it and gave its number to something else. */
void sona_client_hang_up(struct sona_client *client)
{
    struct stat st;

    if (client->socket >= 0 && fstat(client->socket, &st) == 0 && st.st_ino == client->socket_inode)
        (void)close(client->socket);
    client->socket = -1;
}

/* The sidecar is gone, or goes. Relaxed: a lane that has not seen it fills a ring. */
static void detach(struct sona_client *client, enum sona_client_mode mode)
{
    atomic_store_explicit(&current(client)->mode, mode, memory_order_relaxed);
    atomic_store_explicit(&client->attached, false, memory_order_relaxed); /* for stats */
}

static bool any_lane_closed(const struct sona_client_attachment *a)
{
    for (uint32_t i = 0; i < a->n_lanes; i++)
        /* Relaxed: a flag that is only ever set. */
        if (atomic_load_explicit(&a->port[i].shared->control.closed, memory_order_relaxed))
            return true;
    return false;
}

/* True when the peer closed the connection. It has nothing to say after the handshake. */
static bool hung_up(int fd)
{
    char byte;
    ssize_t n = recv(fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT);

    return n >= 0 || (errno != EAGAIN && errno != EINTR);
}

/* Look after the present attachment: is it still good, is its heartbeat fresh? */
static void inspect(struct sona_client *client)
{
    struct sona_client_attachment *a = current(client);

    if (client->socket < 0)
        return;
    /* Acquire: a segment that says RETIRED has its successor announced. */
    uint32_t state = atomic_load_explicit(&a->reader.live->state, memory_order_acquire);
    bool gone = hung_up(client->socket), closed = any_lane_closed(a);
    if (gone || state == SONA_SHM_RETIRED || (state != SONA_SHM_DRAINING && closed)) {
        detach(client, state == SONA_SHM_LIVE && !closed ? SONA_CLIENT_LOST : SONA_CLIENT_CLOSED);
        sona_client_hang_up(client);
        return;
    }
    if (state == SONA_SHM_DRAINING) {
        detach(client, SONA_CLIENT_CLOSED); /* its hang-up follows */
        return;
    }
    /* Relaxed: only whether it moved counts. */
    uint64_t beat = atomic_load_explicit(&a->reader.live->heartbeat, memory_order_relaxed);
    int64_t now = now_ms();
    if (beat != client->heartbeat) {
        client->heartbeat = beat;
        client->heartbeat_ms = now;
    }
    bool fresh = now - client->heartbeat_ms < (int64_t)SONA_CLIENT_STALE_MS;
    atomic_store_explicit(&client->attached, fresh, memory_order_relaxed); /* for stats */
}

/* Whether no lane is inside a call on the old attachment. A lane that is busy and shows the present
 * one entered it after the switch. */
static bool quiescent(struct sona_client *client)
{
    const struct sona_client_attachment *a = current(client);

    /* [L1] A full barrier on every core that runs a lane, and here, after the store to `att`. In
     * FULL mode that store and the loads below are seq_cst, as the lanes' accesses are. */
    if (!client->full_fence && !sona_shm_membarrier())
        return false;
    for (uint32_t i = 0; i < client->n_lanes; i++) {
        struct sona_client_lane_state *s = &client->states[i];

        if (atomic_load_explicit(&s->busy, memory_order_seq_cst) &&             /* [L1] [L2] */
            atomic_load_explicit(&s->shown, memory_order_acquire) != a->serial) /* [L2] */
            return false;
    }
    return true;
}

/* Unmap the old attachment if it may be. */
static void retire(struct sona_client *client)
{
    struct sona_client_attachment *old = client->old;

    if (!old || !quiescent(client))
        return;
    uint64_t lost = lost_in(client, old);
    (void)pthread_mutex_lock(&client->lock);
    client->old = NULL;
    (void)pthread_mutex_unlock(&client->lock);
    /* Relaxed: for stats; the maintainer is the only writer. */
    uint64_t before = atomic_load_explicit(&client->dropped_restart, memory_order_relaxed);
    atomic_store_explicit(&client->dropped_restart, before + lost, memory_order_relaxed);
    sona_client_attachment_close(old);
}

/* `same`: it goes on in the attachment that was lost. */
static void note_attached(struct sona_client *client, const struct sona_client_attachment *a,
                          bool same)
{
    uint64_t n = atomic_load_explicit(&client->attachments, memory_order_relaxed);
    uint64_t failures = atomic_load_explicit(&client->memlock_failures, memory_order_relaxed);

    /* Relaxed: for stats, each stands alone. */
    atomic_store_explicit(&client->attachments, n + 1, memory_order_relaxed);
    atomic_store_explicit(&client->memlock_failures, failures + (!same && !a->locked),
                          memory_order_relaxed);
    atomic_store_explicit(&client->locked, a->locked && client->states_locked,
                          memory_order_relaxed);
    atomic_store_explicit(&client->last_dim, a->layout.geometry.dim, memory_order_relaxed);
    /* Release: whoever sees it (acquire, in stats) sees that what waits in the rings is not lost.
     */
    recount(client);
    atomic_store_explicit(&client->attached, true, memory_order_release);
}

/* Handshake, and the switch of every lane's next call. */
static sona_err attach(struct sona_client *client, sona_diag *reterr)
{
    struct sona_client_attachment *before = current(client), *a;
    struct stat st = {.st_ino = 0};
    int fd;
    /* A lane that a sidecar closed is not taken back by another. */
    bool hand_back = before->lanes && !any_lane_closed(before);
    sona_err err = sona_client_attachment_open(client, before, hand_back, &a, &fd, reterr);

    if (err != SONA_OK)
        return err;
    (void)fstat(fd, &st);
    client->socket = fd;
    client->socket_inode = st.st_ino;
    client->heartbeat = atomic_load_explicit(&a->reader.live->heartbeat, memory_order_relaxed);
    client->heartbeat_ms = now_ms();
    if (a == before) {
        /* Relaxed: a lane that sees it late drops what it need not. */
        atomic_store_explicit(&a->mode, SONA_CLIENT_OPEN, memory_order_relaxed);
        note_attached(client, a, true);
        return SONA_OK;
    }
    if (a->lanes != before->lanes)
        sona_client_lanes_drop_fd(before->lanes); /* nobody will ask for them again */
    client->memory = a->lanes;
    (void)pthread_mutex_lock(&client->lock);
    client->old = before;
    atomic_store_explicit(&client->att, a, memory_order_seq_cst); /* [L1] [L3] */
    (void)pthread_mutex_unlock(&client->lock);
    note_attached(client, a, false);
    return SONA_OK;
}

sona_err sona_client_maintain_once(struct sona_client *client, sona_diag *reterr)
{
    sona_err err = SONA_OK;

    (void)pthread_mutex_lock(&client->maintaining);
    retire(client);
    inspect(client);
    if (client->socket < 0 && !client->old) {
        err = attach(client, reterr);
        retire(client);
    }
    if (err == SONA_OK && atomic_load_explicit(&current(client)->mode, memory_order_relaxed) !=
                              SONA_CLIENT_OPEN) /* our own store */
        err = sona_shm_diag_set(reterr, SONA_E_DETACHED, 0,
                                "the sidecar is stopping; the client attaches to the next one");
    recount(client);
    (void)pthread_mutex_unlock(&client->maintaining);
    return err;
}

sona_err sona_client_maintain(sona_client *client)
{
    if (!client)
        return SONA_E_ARGUMENT;
    /* Relaxed: as in sona_client_enter(). */
    if (!atomic_load_explicit(&client->guard->alive, memory_order_relaxed))
        return SONA_E_FORKED;
    if (client->has_thread)
        return atomic_load_explicit(&client->attached, memory_order_relaxed) ? SONA_OK
                                                                             : SONA_E_DETACHED;
    sona_err err = sona_client_maintain_once(client, NULL);
    return err == SONA_E_ABSENT ? SONA_E_DETACHED : err;
}

/* Wait for the connection to say something (it hangs up), for the end, or for the time to pass. */
static void wait_for_change(struct sona_client *client, uint32_t timeout_ms)
{
    struct pollfd p[2] = {{.fd = client->wake, .events = POLLIN},
                          {.fd = client->socket, .events = POLLIN}};

    (void)poll(p, client->socket >= 0 ? 2 : 1, (int)timeout_ms);
}

static void *maintain_loop(void *arg)
{
    struct sona_client *client = arg;
    uint32_t backoff_ms = SONA_CLIENT_BACKOFF_MIN_MS;

    /* Acquire: pairs with the release in sona_client_maintain_stop(). */
    while (!atomic_load_explicit(&client->stopping, memory_order_acquire)) {
        sona_err err = sona_client_maintain_once(client, NULL);

        if (err == SONA_OK) {
            backoff_ms = SONA_CLIENT_BACKOFF_MIN_MS;
            wait_for_change(client, client->old ? SONA_CLIENT_BACKOFF_MIN_MS : SONA_CLIENT_TICK_MS);
        } else {
            wait_for_change(client, backoff_ms);
            backoff_ms = backoff_ms * 2 < SONA_CLIENT_BACKOFF_MAX_MS ? backoff_ms * 2
                                                                     : SONA_CLIENT_BACKOFF_MAX_MS;
        }
    }
    return NULL;
}

sona_err sona_client_maintain_start(struct sona_client *client, sona_diag *reterr)
{
    sigset_t all, before;
    pthread_attr_t attributes;

    client->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (client->wake < 0)
        return sona_shm_diag_set(reterr, SONA_E_SYSTEM, errno, "cannot create an event descriptor");
    (void)pthread_attr_init(&attributes);
    (void)pthread_attr_setstacksize(&attributes, THREAD_STACK_BYTES);
    /* The host's signals are for the host's threads. */
    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &before);
    int rc = pthread_create(&client->thread, &attributes, maintain_loop, client);
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    (void)pthread_attr_destroy(&attributes);
    if (rc != 0)
        return sona_shm_diag_set(reterr, SONA_E_SYSTEM, rc, "cannot start the maintenance thread");
    (void)pthread_setname_np(client->thread, "sona-maintain");
    client->has_thread = true;
    return SONA_OK;
}

void sona_client_maintain_stop(struct sona_client *client)
{
    if (client->has_thread) {
        /* Release: pairs with the acquire in maintain_loop(). */
        atomic_store_explicit(&client->stopping, true, memory_order_release);
        (void)eventfd_write(client->wake, 1);
        (void)pthread_join(client->thread, NULL);
        client->has_thread = false;
    }
}
