/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/* See clients.h. */
#include "sidecar/clients.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <unistd.h>

#include <sona/client.h>

#include "shm/diag.h"
#include "sidecar/clock.h"
#include "sidecar/log.h"

/* Tags count up from a random start: one is used again only after all the others, so that the ids
 * of a client that is gone stay unknown; and those of a sidecar that is gone very likely, too. */
sona_err sona_sidecar_clients_init(struct sona_sidecar_clients *ret,
                                   struct sona_shm_publisher *publisher, uint32_t lanes_max,
                                   sona_diag *reterr)
{
    *ret = (struct sona_sidecar_clients){.publisher = publisher, .lanes_max = lanes_max};
    if (getrandom(&ret->last_tag, sizeof ret->last_tag, 0) != (ssize_t)sizeof ret->last_tag)
        return sona_shm_diag_set(reterr, SONA_E_SYSTEM, errno, "cannot draw the first tag");
    return SONA_OK;
}

static bool tag_in_use(const struct sona_sidecar_clients *c, uint16_t tag)
{
    for (uint32_t k = 0; k < c->n; k++)
        if (c->attachment[k]->tag == tag)
            return true;
    return false;
}

/* Ends: there are fewer attachments than tags. */
static uint16_t next_tag(struct sona_sidecar_clients *c)
{
    do
        c->last_tag++;
    while (c->last_tag == 0 || tag_in_use(c, c->last_tag));
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

static void bind_lanes(struct sona_sidecar_attachment *a)
{
    const struct sona_shm_plan *p = &a->plan;

    for (uint32_t i = 0; i < a->n_lanes; i++) {
        char *at = (char *)a->map + p->lane_offset + i * p->lane_stride;

        a->lane[i].shared = (struct sona_shm_lane *)(void *)at;
        sona_shm_drain_bind(&a->lane[i].drain, a->lane[i].shared->ring, at + p->records_offset,
                            p->ring_slots, p->record_stride, 0);
    }
}

sona_err sona_sidecar_clients_attach(struct sona_sidecar_clients *clients,
                                     const struct sona_sidecar_peer *peer,
                                     const struct sona_wire_hello *hello,
                                     struct sona_sidecar_attachment **ret, int *ret_fd,
                                     sona_diag *reterr)
{
    const struct sona_shm_header *segment = sona_shm_publisher_header(clients->publisher);
    sona_err err = judge(clients, hello, reterr);

    if (err != SONA_OK)
        return err;
    struct sona_sidecar_attachment *a =
        calloc(1, sizeof *a + hello->lanes * sizeof(struct sona_sidecar_lane));
    if (!a || sona_shm_header_plan(segment, hello->lanes, &a->plan) != SONA_OK) {
        free(a);
        return sona_shm_diag_set(reterr, SONA_E_MEMORY, errno, "no memory for %u lanes",
                                 hello->lanes);
    }
    a->pid = peer->pid;
    a->uid = peer->uid;
    a->liveness = peer->liveness;
    a->n_lanes = hello->lanes;
    a->tag = next_tag(clients);
    err = sona_shm_lanes_create(&a->plan, segment->uuid, a->tag, (uint32_t)a->pid, ret_fd, &a->map,
                                reterr);
    if (err != SONA_OK) {
        free(a);
        return err;
    }
    (void)madvise(a->map, (size_t)a->plan.lanes_bytes, MADV_DONTDUMP); /* embeddings are private */
    bind_lanes(a);
    (void)sona_shm_publisher_scan_add(clients->publisher, a->map, &a->plan); /* n was checked */
    clients->attachment[clients->n++] = a;
    clients->lanes += a->n_lanes;
    sona_sidecar_tally_add(&clients->tally, SONA_COUNTER_clients_attached, 1);
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
    for (uint32_t k = 0; k < clients->n; k++)
        if (clients->attachment[k] == a) {
            clients->attachment[k] = clients->attachment[--clients->n];
            break;
        }
    clients->lanes -= a->n_lanes;
    lane_hints(a, &clients->gone_full, &clients->gone_refused);
    (void)munmap(a->map, (size_t)a->plan.lanes_bytes);
    if (reclaimed) {
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
