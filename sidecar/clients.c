/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/* See clients.h. */
#include "sidecar/clients.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include <sona/client.h>

#include "shm/diag.h"
#include "shm/fault.h"
#include "sidecar/clock.h"
#include "sidecar/guard.h"
#include "sidecar/log.h"
#include "sidecar/rings.h"

/* Tags count up from a random start: one is used again only after all the others, so that the ids
 * of a client that is gone stay unknown; and those of a sidecar that is gone very likely, too.
 * Those of lanes that may be handed back are in the ledger. */
sona_err sona_sidecar_clients_init(struct sona_sidecar_clients *ret,
                                   struct sona_shm_publisher *publisher,
                                   struct sona_sidecar_ledger *ledger, bool kept,
                                   uint32_t lanes_max, sona_diag *reterr)
{
    *ret = (struct sona_sidecar_clients){.lock = PTHREAD_MUTEX_INITIALIZER,
                                         .publisher = publisher,
                                         .ledger = ledger,
                                         .lanes_max = lanes_max};
    /* Without a store, what was learned from them was in the memory of a process that is dead. */
    sona_sidecar_tally_set(&ret->tally, SONA_COUNTER_lost_killed,
                           kept ? 0 : sona_sidecar_ledger_taken(ledger));
    if (getrandom(&ret->last_tag, sizeof ret->last_tag, 0) != (ssize_t)sizeof ret->last_tag)
        return sona_shm_diag_set(reterr, SONA_E_SYSTEM, errno, "cannot draw the first tag");
    return SONA_OK;
}

/* Ends: there are fewer entries in the ledger than tags. */
static uint16_t next_tag(struct sona_sidecar_clients *c)
{
    do
        c->last_tag++;
    while (c->last_tag == 0 || sona_sidecar_ledger_has_tag(c->ledger, c->last_tag));
    return c->last_tag;
}

/* Is this a HELLO that we can answer? */
static sona_err judge(const struct sona_sidecar_clients *c, const struct sona_wire_hello *h,
                      sona_diag *reterr)
{
    const struct sona_shm_header *segment = sona_shm_publisher_header(c->publisher);

    if (h->head.abi_minor > SONA_ABI_MINOR)
        return sona_shm_diag_set(reterr, SONA_E_ABI, 0,
                                 "the client speaks ABI %u.%u and this sidecar %u.%u; upgrade the "
                                 "sidecar",
                                 h->head.abi_major, h->head.abi_minor, SONA_ABI_MAJOR,
                                 SONA_ABI_MINOR);
    if (h->layout_hash != segment->layout_hash)
        return sona_shm_diag_set(reterr, SONA_E_ABI, 0,
                                 "client and sidecar were built with different shared layouts; "
                                 "install both from the same version");
    if (h->lanes == 0 || h->lanes > SONA_LANES_MAX)
        return sona_shm_diag_set(reterr, SONA_E_RANGE, 0, "a client has 1 to %d lanes, not %u",
                                 SONA_LANES_MAX, h->lanes);
    if (h->dim != 0 && h->dim != segment->geometry.dim)
        return sona_shm_diag_set(reterr, SONA_E_SHAPE, 0,
                                 "this instance takes vectors of %u floats and the client expects "
                                 "%u; start the sidecar with --dim %u, or change the client",
                                 segment->geometry.dim, h->dim, h->dim);
    if ((h->fence_modes & segment->fence_modes) == 0)
        return sona_shm_diag_set(reterr, SONA_E_ABI, 0,
                                 "client and sidecar have no fence mode in common; open the client "
                                 "with full_fence");
    if (c->n == SONA_SHM_CLIENTS_MAX)
        return sona_shm_diag_set(reterr, SONA_E_LIMIT, 0,
                                 "this sidecar serves at most %u clients and all are attached; "
                                 "close one",
                                 SONA_SHM_CLIENTS_MAX);
    if (h->lanes > c->lanes_max - c->lanes)
        return sona_shm_diag_set(reterr, SONA_E_LIMIT, 0,
                                 "%u lanes were asked for and %u of %u are taken; close a client, "
                                 "ask for fewer, or raise --lanes-max",
                                 h->lanes, c->lanes, c->lanes_max);
    return SONA_OK;
}

/* ---- the lane memory: a new one, or the one that was handed back ---- */

static void bind_lanes(const struct sona_sidecar_clients *c, struct sona_sidecar_attachment *a)
{
    const struct sona_shm_plan *p = &a->plan;

    for (uint32_t i = 0; i < a->n_lanes; i++) {
        struct sona_sidecar_lane *lane = &a->lane[i];
        char *at = (char *)a->map + p->lane_offset + i * p->lane_stride;

        lane->shared = (struct sona_shm_lane *)(void *)at;
        lane->next = sona_sidecar_ledger_cursor(c->ledger, a->slot, i);
        sona_shm_drain_bind(&lane->drain, lane->shared->ring, at + p->records_offset, p->ring_slots,
                            p->record_stride, lane->next);
    }
}

static sona_err issue(struct sona_sidecar_clients *c, struct sona_sidecar_attachment *a,
                      int *ret_fd, sona_diag *reterr)
{
    const struct sona_shm_header *segment = sona_shm_publisher_header(c->publisher);
    struct sona_sidecar_issue entry = {.uid = a->uid,
                                       .n_lanes = a->n_lanes,
                                       .ring_slots = a->plan.ring_slots,
                                       .record_stride = a->plan.record_stride};
    struct stat st;

    a->tag = entry.tag = next_tag(c);
    sona_err err = sona_shm_lanes_create(&a->plan, segment->uuid, a->tag, (uint32_t)a->pid, ret_fd,
                                         &a->map, reterr);
    if (err != SONA_OK)
        return err;
    (void)sona_shm_lanes_identity(*ret_fd, entry.identity); /* it was just written */
    (void)fstat(*ret_fd, &st);
    entry.inode = st.st_ino;
    a->slot = sona_sidecar_ledger_issue(c->ledger, &entry); /* there is room: n was checked */
    SONA_TRACE(a->tag, 0, (uint64_t)a->pid, a->n_lanes, SONA_SHM_ISSUED);
    bind_lanes(c, a);
    return SONA_OK;
}

/* Is this the memory that we issued to this user, and nobody uses it? Null, or why not. */
static const char *judge_old(const struct sona_sidecar_clients *c,
                             const struct sona_sidecar_attachment *a, int fd, int *ret_slot)
{
    uint8_t identity[SONA_SHM_IDENTITY_BYTES];
    struct stat st;

    if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode) || !sona_shm_lanes_identity(fd, identity))
        return "it is no lane memory";
    int slot = sona_sidecar_ledger_find(c->ledger, identity);
    if (slot == SONA_SIDECAR_LEDGER_NONE)
        return "it was not issued by this instance, or is forgotten";
    const struct sona_sidecar_issue *i = sona_sidecar_ledger_at(c->ledger, slot);
    if (i->uid != a->uid || i->inode != st.st_ino)
        return "it was issued to somebody else";
    if (sona_sidecar_ledger_in_use(c->ledger, slot))
        return "it is in use";
    if (i->n_lanes != a->n_lanes || i->ring_slots != a->plan.ring_slots ||
        i->record_stride != a->plan.record_stride)
        return "its records have another geometry now";
    if (sona_shm_lanes_check(fd, a->plan.lanes_bytes, NULL) != SONA_OK)
        return "it is not sealed, whole and in memory as it was";
    *ret_slot = slot;
    return NULL;
}

/* A lane whose indices contradict the cursor is left alone; the others go on. */
static void resume_lanes(struct sona_sidecar_clients *c, struct sona_sidecar_attachment *a)
{
    for (uint32_t i = 0; i < a->n_lanes; i++) {
        struct sona_sidecar_lane *lane = &a->lane[i];
        bool sound = sona_shm_drain_resume(&lane->drain);

        lane->quarantined = !sound;
        /* Relaxed: before anybody else has the lane. */
        atomic_store_explicit(&lane->shared->control.closed, !sound, memory_order_relaxed);
        if (sound)
            continue;
        sona_sidecar_tally_add(&c->tally, SONA_COUNTER_lanes_quarantined, 1);
        sona_sidecar_log(SONA_SIDECAR_WARN, "lane_quarantined",
                         "pid=%d lane=%u reason=\"its indices contradict what was drained\"",
                         (int)a->pid, i);
    }
}

/* False: the client gets a new memory. */
static bool take_back(struct sona_sidecar_clients *c, struct sona_sidecar_attachment *a, int fd)
{
    const char *why = judge_old(c, a, fd, &a->slot);
    void *map = MAP_FAILED;

    if (!why)
        map = mmap(NULL, (size_t)a->plan.lanes_bytes, PROT_READ | PROT_WRITE,
                   MAP_SHARED | MAP_POPULATE, fd, 0);
    if (!why && map == MAP_FAILED)
        why = "it cannot be mapped";
    if (why) {
        sona_sidecar_tally_add(&c->tally, SONA_COUNTER_handback_refused, 1);
        sona_sidecar_log(SONA_SIDECAR_WARN, "lanes_not_taken_back", "pid=%d reason=\"%s\"",
                         (int)a->pid, why);
        return false;
    }
    a->map = map;
    a->came_back = true;
    a->guard = sona_sidecar_guard_add(map, (size_t)a->plan.lanes_bytes);
    a->tag = sona_sidecar_ledger_at(c->ledger, a->slot)->tag;
    sona_sidecar_ledger_claim(c->ledger, a->slot);
    sona_sidecar_tally_add(&c->tally, SONA_COUNTER_handed_back, 1);
    bind_lanes(c, a);
    resume_lanes(c, a);
    SONA_TRACE(a->tag, 0, (uint64_t)a->pid, a->n_lanes, SONA_SHM_BACK);
    SONA_FAULT(handback_mapped);
    return true;
}

/* The attachment without its memory. */
static struct sona_sidecar_attachment *make(const struct sona_sidecar_clients *c,
                                            const struct sona_sidecar_peer *peer, uint32_t lanes)
{
    const struct sona_shm_header *segment = sona_shm_publisher_header(c->publisher);
    struct sona_sidecar_attachment *a =
        calloc(1, sizeof *a + lanes * sizeof(struct sona_sidecar_lane));

    if (!a || sona_shm_header_plan(segment, lanes, &a->plan) != SONA_OK) {
        free(a);
        return NULL;
    }
    a->pid = peer->pid;
    a->uid = peer->uid;
    a->liveness = peer->liveness;
    a->n_lanes = lanes;
    a->guard = SONA_SIDECAR_GUARD_NONE;
    return a;
}

sona_err sona_sidecar_clients_attach(struct sona_sidecar_clients *clients,
                                     const struct sona_sidecar_peer *peer,
                                     const struct sona_wire_hello *hello, int old_fd,
                                     struct sona_sidecar_attachment **ret, int *ret_fd,
                                     sona_diag *reterr)
{
    sona_err err = judge(clients, hello, reterr);

    if (err != SONA_OK)
        return err;
    struct sona_sidecar_attachment *a = make(clients, peer, hello->lanes);
    if (!a)
        return sona_shm_diag_set(reterr, SONA_E_MEMORY, errno, "no memory for %u lanes",
                                 hello->lanes);
    *ret_fd = -1;
    if (old_fd < 0 || !take_back(clients, a, old_fd)) {
        err = issue(clients, a, ret_fd, reterr);
        if (err != SONA_OK) {
            free(a);
            return err;
        }
        a->guard = sona_sidecar_guard_add(a->map, (size_t)a->plan.lanes_bytes);
    }
    (void)madvise(a->map, (size_t)a->plan.lanes_bytes, MADV_DONTDUMP); /* embeddings are private */
    (void)sona_shm_publisher_scan_add(clients->publisher, a->map, &a->plan); /* n was checked */
    (void)pthread_mutex_lock(&clients->lock);
    clients->attachment[clients->n++] = a;
    (void)pthread_mutex_unlock(&clients->lock);
    clients->lanes += a->n_lanes;
    sona_sidecar_tally_add(&clients->tally, SONA_COUNTER_clients_attached, 1);
    if (sona_sidecar_ledger_waiting(clients->ledger) == 0)
        sona_shm_publisher_grace_end(clients->publisher);
    *ret = a;
    return SONA_OK;
}

/* Relaxed, both: hints for people, written by a stranger. */
static void lane_hints(const struct sona_sidecar_attachment *a, uint64_t *full, uint64_t *refused)
{
    for (uint32_t i = 0; i < a->n_lanes; i++) {
        const struct sona_shm_lane_counters *c = &a->lane[i].shared->counters;

        *full += atomic_load_explicit(&c->dropped_full, memory_order_relaxed);
        *refused += atomic_load_explicit(&c->refused, memory_order_relaxed);
    }
}

void sona_sidecar_clients_free(struct sona_sidecar_clients *clients,
                               struct sona_sidecar_attachment *a, bool reclaimed)
{
    sona_shm_publisher_scan_remove(clients->publisher, a->map);
    (void)pthread_mutex_lock(&clients->lock); /* from here on nobody looks at it */
    for (uint32_t k = 0; k < clients->n; k++)
        if (clients->attachment[k] == a) {
            clients->attachment[k] = clients->attachment[--clients->n];
            break;
        }
    (void)pthread_mutex_unlock(&clients->lock);
    clients->lanes -= a->n_lanes;
    lane_hints(a, &clients->gone_full, &clients->gone_refused);
    sona_sidecar_guard_remove(a->guard);
    (void)munmap(a->map, (size_t)a->plan.lanes_bytes);
    if (reclaimed) {
        sona_sidecar_ledger_forget(clients->ledger, a->slot);
        uint64_t us = sona_sidecar_now_us() - a->ended_us;

        clients->last_reclaim_us = us;
        if (us > clients->max_reclaim_us)
            clients->max_reclaim_us = us;
        sona_sidecar_tally_add(&clients->tally, SONA_COUNTER_clients_reclaimed, 1);
        sona_sidecar_log(SONA_SIDECAR_INFO, "client_reclaimed",
                         "pid=%d lanes=%u sign=%s reclaim_us=%llu", (int)a->pid, a->n_lanes,
                         a->dead ? "death" : "hang-up", (unsigned long long)us);
    }
    free(a);
}

uint32_t sona_sidecar_clients_verify(struct sona_sidecar_clients *clients,
                                     sona_sidecar_finding *tell, void *context)
{
    (void)pthread_mutex_lock(&clients->lock);
    uint32_t n = clients->n;
    for (uint32_t k = 0; k < n; k++) {
        const struct sona_sidecar_attachment *a = clients->attachment[k];

        sona_sidecar_rings_verify(a->map, &a->plan, a->pid, clients->ledger, a->slot, tell,
                                  context);
    }
    (void)pthread_mutex_unlock(&clients->lock);
    return n;
}

void sona_sidecar_clients_done(struct sona_sidecar_clients *clients)
{
    while (clients->n > 0)
        sona_sidecar_clients_free(clients, clients->attachment[0], false);
}

void sona_sidecar_clients_stats(const struct sona_sidecar_clients *clients, sona_stats *stats)
{
    uint64_t full = clients->gone_full, refused = clients->gone_refused;

    for (uint32_t k = 0; k < clients->n; k++)
        lane_hints(clients->attachment[k], &full, &refused);
    sona_sidecar_tally_sum(&clients->tally, stats);
    stats->counter[SONA_COUNTER_drop_client_full] += full;
    stats->counter[SONA_COUNTER_drop_client_refused] += refused;
    stats->clients = clients->n;
    stats->lanes = clients->lanes;
}
