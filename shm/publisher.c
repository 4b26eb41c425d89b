/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/*
 * Slots: which is free, which is brought up to date, when `cur` moves. The reader's side of every
 * pair is in reader.c, under the same labels:
 *
 *   [P1] store of cur, membarrier (or fence), scan of the hazards: a reader whose re-load of cur
 *        still found the old id has a hazard that the scan finds.
 *   [P2] release stores of seq and cur: a reader that sees them sees what was written before.
 *   [P3] seq = 0, then the fence, then the bytes: a reader that met a byte of the next image finds
 *        that seq has changed, however its slot came to be taken.
 *   [P4] acquire load of a hazard: the reader's loads are done before its slot is written.
 *   [P5] release store that the grace is over, acquire load by the scan: the lanes that were handed
 *        back are in its list. (No reader takes part.)
 *
 * Invariants
 *   - The bindings (which id, which range of g) are private: nothing a client writes is believed
 *     beyond "this word equals an id of mine".
 *   - A bit in a free list says: not pinned at the last scan, not current since, not reserved. Such
 *     a slot cannot become validly pinned, because readers pin only what cur names. So the list may
 *     be used up without another scan, but the slot that cur just left is in none of them.
 *   - A hot and a cold slot are pinned independently; taking one from a reader past its lease does
 *     not free the other.
 *   - g only grows; an id is stored in cur once.
 *   - After a restart there are lanes that are not handed back yet, and hazards that no scan finds.
 *     So every bound slot counts as pinned until the grace is over: those a dead sidecar had bound,
 *     and those bound since, which such a lane may pin just as well. The dead one's bytes are never
 *     gone on from.
 */
#include "shm/publisher.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "shm/diag.h"
#include "shm/fault.h"
#include "shm/segment.h"
#include "shm/wire.h"

#define NO_SLOT (-1)
#define NEVER   UINT64_MAX

struct hot_binding {
    uint64_t id;      /* published here; 0: none, or being written */
    uint64_t step;    /* of the image it holds */
    bool filled;      /* it holds one */
    uint64_t left_ms; /* when cur left it */
};

struct cold_binding {
    uint64_t id;          /* kept in seq */
    uint64_t first, last; /* the g's under which cur named it; first = NEVER: none */
    uint64_t left_ms;
};

/* Lanes of one attachment. */
struct watched {
    const char *lanes;
    uint64_t offset, stride;
    uint32_t count;
};

struct sona_shm_publisher {
    struct sona_shm_segment segment;
    uint64_t g;
    uint32_t lease_ms;
    bool asym; /* readers may have left out their fence: the scan needs membarrier */

    struct hot_binding hot[SONA_SHM_HOT_MAX];
    struct cold_binding cold[SONA_SHM_COLD_MAX];
    uint32_t free_hot, free_cold; /* bit i: slot i */
    uint32_t n_hot, n_cold;
    int current_hot, current_cold, reserved_cold; /* NO_SLOT: none */
    bool reserved_revoked;                        /* the reserved one was taken from a reader */

    bool grace; /* lanes of a dead sidecar may be about */
    uint64_t grace_until_ms;
    _Atomic bool grace_over; /* [P5] */

    pthread_mutex_t lock; /* of what follows: scan against add and remove */
    uint32_t n_watched;
    struct watched watched[SONA_SHM_CLIENTS_MAX];
};

static struct sona_shm_live *live_of(const struct sona_shm_publisher *p)
{
    return (void *)(p->segment.map + SONA_SHM_PAGE);
}

static struct sona_shm_hot *hot_head(const struct sona_shm_publisher *p, int i)
{
    const struct sona_shm_plan *plan = &p->segment.plan;

    return (void *)(p->segment.map + plan->hot_offset + (size_t)i * plan->hot_stride);
}

static struct sona_shm_cold *cold_head(const struct sona_shm_publisher *p, int j)
{
    const struct sona_shm_plan *plan = &p->segment.plan;

    return (void *)(p->segment.map + plan->cold_offset + (size_t)j * plan->cold_stride);
}

/* Stores before it become visible before stores after it. memcpy may use streaming stores, which
 * x86 orders by sfence only. */
static void order_stores(void)
{
#ifndef SONA_TSAN
    atomic_thread_fence(memory_order_release); /* [P3] */
#if defined(__x86_64__)
    __builtin_ia32_sfence();
#endif
#endif
}

/* Copy into a slot that a revoked reader may still be reading. ThreadSanitizer does not model
 * fences: its build stores words with release, which orders them behind seq = 0 [P3]. */
static void copy(char *to, const char *from, size_t n)
{
#ifdef SONA_TSAN
    size_t words = n / sizeof(uint64_t);

    for (size_t w = 0; w < words; w++) {
        uint64_t value;

        memcpy(&value, from + w * sizeof value, sizeof value);
        atomic_store_explicit((_Atomic uint64_t *)(void *)(to + w * sizeof value), value,
                              memory_order_release);
    }
    for (size_t b = words * sizeof(uint64_t); b < n; b++)
        atomic_store_explicit((_Atomic char *)(to + b), from[b], memory_order_release);
#else
    memcpy(to, from, n);
#endif
}

/* The binding of the current cold slot ends with `cur`, that of another where the next one began.
 */
static uint64_t last_g_of(const struct sona_shm_publisher *p, uint32_t j, uint64_t cur)
{
    uint64_t last = SONA_SHM_ID_G(cur);

    for (uint32_t k = 0; k < p->n_cold; k++)
        if (p->cold[k].id != 0 && p->cold[k].first > p->cold[j].first &&
            p->cold[k].first - 1 < last)
            last = p->cold[k].first - 1;
    return last;
}

static uint32_t bound_hot(const struct sona_shm_publisher *p)
{
    uint32_t bits = 0;

    for (uint32_t i = 0; i < p->n_hot; i++)
        bits |= p->hot[i].id != 0 ? 1u << i : 0;
    return bits;
}

static uint32_t bound_cold(const struct sona_shm_publisher *p)
{
    uint32_t bits = 0;

    for (uint32_t j = 0; j < p->n_cold; j++)
        bits |= p->cold[j].id != 0 ? 1u << j : 0;
    return bits;
}

/* Rebuild the private tables from what a dead sidecar's slots say. What a slot cannot say, or says
 * about another, is taken for unbound. */
static void adopt(struct sona_shm_publisher *p, uint64_t now_ms, uint32_t grace_ms)
{
    /* Relaxed, all: their writer is dead. */
    uint64_t cur = atomic_load_explicit(&live_of(p)->cur, memory_order_relaxed);

    for (uint32_t i = 0; i < p->n_hot; i++) {
        uint64_t seq = atomic_load_explicit(&hot_head(p, (int)i)->seq, memory_order_relaxed);

        if (seq == 0)
            continue;
        p->hot[i] = (struct hot_binding){.id = seq, .left_ms = now_ms};
    }
    for (uint32_t j = 0; j < p->n_cold; j++) {
        uint64_t seq = atomic_load_explicit(&cold_head(p, (int)j)->seq, memory_order_relaxed);

        if (seq == 0)
            continue;
        p->cold[j] = (struct cold_binding){.id = seq, .first = seq >> 8, .left_ms = now_ms};
    }
    for (uint32_t j = 0; j < p->n_cold; j++)
        if (p->cold[j].id != 0)
            p->cold[j].last = last_g_of(p, j, cur);
    p->current_hot = (int)SONA_SHM_ID_HOT(cur);
    p->current_cold = (int)SONA_SHM_ID_COLD(cur);
    p->free_hot = ~bound_hot(p) & ((1u << p->n_hot) - 1);
    p->free_cold = ~bound_cold(p) & ((1u << p->n_cold) - 1);
    p->grace = true;
    p->grace_until_ms = now_ms + (grace_ms ? grace_ms : SONA_SHM_GRACE_MS);
}

sona_err sona_shm_publisher_create(struct sona_shm_publisher **ret,
                                   const struct sona_shm_segment_options *options,
                                   sona_diag *reterr)
{
    struct sona_shm_publisher *p = calloc(1, sizeof *p);

    if (!p)
        return sona_shm_diag_set(reterr, SONA_E_MEMORY, errno, "cannot allocate the publisher");
    sona_err err = sona_shm_segment_create(&p->segment, options, reterr);
    if (err != SONA_OK) {
        free(p);
        return err;
    }
    p->g = p->segment.first_g;
    p->lease_ms = options->lease_ms ? options->lease_ms : SONA_SHM_LEASE_MS;
    p->asym = (p->segment.header.fence_modes & SONA_SHM_FENCE_ASYM) != 0;
    p->n_hot = p->segment.plan.hot_slots;
    p->n_cold = p->segment.plan.cold_slots;
    p->free_hot = (1u << p->n_hot) - 1;
    p->free_cold = (1u << p->n_cold) - 1;
    for (uint32_t j = 0; j < p->n_cold; j++)
        p->cold[j].first = NEVER;
    p->current_hot = p->current_cold = p->reserved_cold = NO_SLOT;
    if (p->segment.adopted)
        adopt(p, options->now_ms, options->grace_ms);
    (void)pthread_mutex_init(&p->lock, NULL);
    *ret = p;
    return SONA_OK;
}

void sona_shm_publisher_destroy(struct sona_shm_publisher **publisher, bool unlink_name)
{
    struct sona_shm_publisher *p = *publisher;

    if (!p)
        return;
    sona_shm_segment_destroy(&p->segment, unlink_name);
    (void)pthread_mutex_destroy(&p->lock);
    free(p);
    *publisher = NULL;
}

int sona_shm_publisher_fd(const struct sona_shm_publisher *publisher)
{
    return publisher->segment.read_fd;
}

const struct sona_shm_header *sona_shm_publisher_header(const struct sona_shm_publisher *publisher)
{
    return &publisher->segment.header;
}

struct sona_shm_live *sona_shm_publisher_live(struct sona_shm_publisher *publisher)
{
    return live_of(publisher);
}

bool sona_shm_publisher_adopted(const struct sona_shm_publisher *publisher)
{
    return publisher->segment.adopted;
}

const char *sona_shm_publisher_renewed(const struct sona_shm_publisher *publisher)
{
    return publisher->segment.renewed;
}

void sona_shm_publisher_grace_end(struct sona_shm_publisher *publisher)
{
    atomic_store_explicit(&publisher->grace_over, true, memory_order_release); /* [P5] */
}

const void *sona_shm_publisher_adopted_hot(const struct sona_shm_publisher *publisher)
{
    return publisher->segment.adopted ? hot_head(publisher, publisher->current_hot) + 1 : NULL;
}

uint64_t sona_shm_publisher_current(const struct sona_shm_publisher *publisher)
{
    /* Relaxed: the word alone counts. */
    return atomic_load_explicit(&live_of(publisher)->cur, memory_order_relaxed);
}

struct sona_shm_counters *sona_shm_publisher_counters(struct sona_shm_publisher *publisher)
{
    return (void *)(publisher->segment.map + 2 * SONA_SHM_PAGE);
}

void sona_shm_publisher_set_state(struct sona_shm_publisher *publisher, enum sona_shm_state state)
{
    /* Release, for the clients' acquire load: LIVE is seen after the first pair. */
    atomic_store_explicit(&live_of(publisher)->state, state, memory_order_release);
}

sona_err sona_shm_publisher_scan_add(struct sona_shm_publisher *publisher, void *lanes,
                                     const struct sona_shm_plan *plan)
{
    sona_err err = SONA_E_LIMIT;

    (void)pthread_mutex_lock(&publisher->lock);
    if (publisher->n_watched < SONA_SHM_CLIENTS_MAX) {
        publisher->watched[publisher->n_watched++] = (struct watched){.lanes = lanes,
                                                                      .offset = plan->lane_offset,
                                                                      .stride = plan->lane_stride,
                                                                      .count = plan->n_lanes};
        err = SONA_OK;
    }
    (void)pthread_mutex_unlock(&publisher->lock);
    return err;
}

void sona_shm_publisher_scan_remove(struct sona_shm_publisher *publisher, void *lanes)
{
    (void)pthread_mutex_lock(&publisher->lock);
    for (uint32_t k = 0; k < publisher->n_watched; k++)
        if (publisher->watched[k].lanes == lanes) {
            publisher->watched[k] = publisher->watched[--publisher->n_watched];
            break;
        }
    (void)pthread_mutex_unlock(&publisher->lock);
}

/* Which slots does this hazard word pin? Each half by itself, against the private bindings. */
static void pins_of(const struct sona_shm_publisher *p, uint64_t hazard, uint32_t *hot,
                    uint32_t *cold)
{
    uint32_t i = SONA_SHM_ID_HOT(hazard), j = SONA_SHM_ID_COLD(hazard);
    uint64_t g = SONA_SHM_ID_G(hazard);

    if (hazard == 0)
        return;
    if (i < p->n_hot && p->hot[i].id == hazard)
        *hot |= 1u << i;
    if (j < p->n_cold && p->cold[j].first <= g && g <= p->cold[j].last)
        *cold |= 1u << j;
}

/* Rebuild both free lists from every hazard. */
static void scan(struct sona_shm_publisher *p, uint64_t now_ms)
{
    uint32_t hot = 0, cold = 0;

    /* Before the hazards: the lanes that were handed back by then are among them. */
    if (now_ms >= p->grace_until_ms ||
        atomic_load_explicit(&p->grace_over, memory_order_acquire)) /* [P5] */
        p->grace = false;
    if (p->grace) {
        hot = bound_hot(p);
        cold = bound_cold(p);
    }
    p->free_hot = p->free_cold = 0;
#ifdef SONA_TSAN
    /* A read-modify-write of cur stands for the fence, which ThreadSanitizer does not model. */
    (void)atomic_fetch_add_explicit(&live_of(p)->cur, 0, memory_order_seq_cst); /* [P1] */
#else
    atomic_thread_fence(memory_order_seq_cst); /* [P1] */
    if (p->asym && !sona_shm_membarrier())
        return; /* without it nothing is known to be free */
#endif
    (void)pthread_mutex_lock(&p->lock);
    for (uint32_t k = 0; k < p->n_watched; k++) {
        const struct watched *w = &p->watched[k];

        for (uint32_t lane = 0; lane < w->count; lane++) {
            const struct sona_shm_lane *l = (const void *)(w->lanes + w->offset + lane * w->stride);
            uint64_t hazard =
                atomic_load_explicit(&l->hazard, memory_order_acquire); /* [P1] [P4] */

            pins_of(p, hazard, &hot, &cold);
        }
    }
    (void)pthread_mutex_unlock(&p->lock);
    /* At first every slot is free: a list is used up by publications only. */
    assert(p->current_hot != NO_SLOT && p->current_cold != NO_SLOT);
    hot |= 1u << p->current_hot;
    cold |= 1u << p->current_cold;
    if (p->reserved_cold != NO_SLOT)
        cold |= 1u << p->reserved_cold;
    p->free_hot = ~hot & ((1u << p->n_hot) - 1);
    p->free_cold = ~cold & ((1u << p->n_cold) - 1);
}

/* Of the free hot slots the one that lags least: it has the fewest rows to copy. */
static int freshest_free_hot(const struct sona_shm_publisher *p)
{
    int best = NO_SLOT;

    for (int i = 0; i < (int)p->n_hot; i++)
        if (p->free_hot >> i & 1 &&
            (best == NO_SLOT ||
             (p->hot[i].filled && (!p->hot[best].filled || p->hot[i].step > p->hot[best].step))))
            best = i;
    return best;
}

static int take_hot(struct sona_shm_publisher *p, uint64_t now_ms, bool *revoked)
{
    *revoked = false;
    if (p->free_hot == 0)
        scan(p, now_ms);
    int i = freshest_free_hot(p);
    if (i != NO_SLOT)
        return i;
    for (int k = 0; k < (int)p->n_hot; k++)
        if (k != p->current_hot && now_ms - p->hot[k].left_ms >= p->lease_ms &&
            (i == NO_SLOT || p->hot[k].left_ms < p->hot[i].left_ms))
            i = k;
    *revoked = i != NO_SLOT;
    return i;
}

static int take_cold(struct sona_shm_publisher *p, uint64_t now_ms, bool *revoked)
{
    int j = NO_SLOT;

    *revoked = false;
    if (p->free_cold == 0)
        scan(p, now_ms);
    if (p->free_cold != 0)
        return __builtin_ctz(p->free_cold);
    for (int k = 0; k < (int)p->n_cold; k++)
        if (k != p->current_cold && now_ms - p->cold[k].left_ms >= p->lease_ms &&
            (j == NO_SLOT || p->cold[k].left_ms < p->cold[j].left_ms))
            j = k;
    *revoked = j != NO_SLOT;
    return j;
}

void *sona_shm_publisher_reserve_cold(struct sona_shm_publisher *publisher, uint64_t now_ms)
{
    struct sona_shm_publisher *p = publisher;

    if (p->reserved_cold != NO_SLOT)
        return NULL;
    int j = take_cold(p, now_ms, &p->reserved_revoked);
    if (j == NO_SLOT)
        return NULL;
    struct sona_shm_cold *head = cold_head(p, j);
    p->free_cold &= ~(1u << j);
    p->reserved_cold = j;
    p->cold[j] = (struct cold_binding){.first = NEVER, .left_ms = p->cold[j].left_ms};
    atomic_store_explicit(&head->seq, 0, memory_order_relaxed); /* [P3] */
    order_stores();
    return head + 1;
}

void sona_shm_publisher_cancel_cold(struct sona_shm_publisher *publisher)
{
    if (publisher->reserved_cold == NO_SLOT)
        return;
    publisher->free_cold |= 1u << publisher->reserved_cold; /* unbound: nobody can pin it */
    publisher->reserved_cold = NO_SLOT;
}

uint32_t sona_shm_publisher_lease_ms(const struct sona_shm_publisher *publisher)
{
    return publisher->lease_ms;
}

void sona_shm_publisher_forget_images(struct sona_shm_publisher *publisher)
{
    for (uint32_t i = 0; i < publisher->n_hot; i++)
        publisher->hot[i].filled = false;
}

/* Bring slot i up to the image: the dense head, and the rows changed since the image it holds. Rows
 * of the same step are copied again: an installed cycle or a new route may change rows without
 * taking a step. */
static uint64_t update_slot(struct sona_shm_publisher *p, int i, const struct sona_shm_image *image)
{
    char *slot = (char *)(hot_head(p, i) + 1);
    const char *bytes = image->bytes;
    uint64_t copied = image->dense_bytes;

    if (!p->hot[i].filled) {
        copy(slot, bytes, image->size);
        return image->size;
    }
    copy(slot, bytes, image->dense_bytes);
    for (uint32_t t = 0; t < image->n_tables; t++) {
        const struct sona_shm_rows *rows = &image->table[t];

        for (uint32_t r = 0; r < rows->count; r++) {
            size_t at = rows->offset + r * rows->stride;

            if (rows->changed_at[r] < p->hot[i].step)
                continue;
            copy(slot + at, bytes + at, rows->stride);
            copied += rows->stride;
        }
    }
    return copied;
}

/* Bind the reserved cold slot under g, or go on with the current one. Returns the slot. */
static int bind_cold(struct sona_shm_publisher *p, uint64_t g, bool with_cold, uint64_t now_ms)
{
    int j = p->current_cold;

    if (with_cold) {
        if (j != NO_SLOT)
            p->cold[j].left_ms = now_ms;
        j = p->reserved_cold;
        p->cold[j].id = SONA_SHM_COLD_ID(g, j);
        p->cold[j].first = g;
        SONA_SEAL(cold_head(p, j)->pad, cold_head(p, j) + 1, p->segment.plan.cold_bytes);
        order_stores(); /* the caller's writes to the slot, streaming ones too */
        atomic_store_explicit(&cold_head(p, j)->seq, p->cold[j].id,
                              memory_order_release); /* [P2] */
        p->reserved_cold = NO_SLOT;
        p->current_cold = j;
    }
    p->cold[j].last = g;
    return j;
}

void sona_shm_publisher_publish(struct sona_shm_publisher *publisher,
                                const struct sona_shm_image *hot, bool with_cold, uint64_t now_ms,
                                struct sona_shm_published *ret)
{
    struct sona_shm_publisher *p = publisher;
    bool revoked;

    assert(hot->size == p->segment.plan.hot_bytes);
    assert(with_cold ? p->reserved_cold != NO_SLOT : p->current_cold != NO_SLOT);
    *ret = (struct sona_shm_published){0};
    int i = take_hot(p, now_ms, &revoked);
    if (i == NO_SLOT)
        return;

    uint64_t g = ++p->g;
    int j = bind_cold(p, g, with_cold, now_ms);
    struct sona_shm_hot *head = hot_head(p, i);
    p->free_hot &= ~(1u << i);
    p->hot[i].id = 0;
    atomic_store_explicit(&head->seq, 0, memory_order_relaxed); /* [P3] */
    order_stores();
    SONA_FAULT(publish_cleared);
    /* Relaxed: bound by seq below, like the bytes. */
    atomic_store_explicit(&head->cold_id, p->cold[j].id, memory_order_relaxed);
    ret->bytes = update_slot(p, i, hot);
    SONA_SEAL(head->pad, hot->bytes, hot->size);
    order_stores();
    SONA_FAULT(publish_copied);

    uint64_t id = SONA_SHM_ID(g, j, i);
    if (p->current_hot != NO_SLOT)
        p->hot[p->current_hot].left_ms = now_ms;
    p->hot[i] = (struct hot_binding){.id = id, .step = hot->step, .filled = true};
    p->current_hot = i;
    atomic_store_explicit(&head->seq, id, memory_order_release); /* [P2] */
    SONA_FAULT(publish_bound);
    atomic_store_explicit(&live_of(p)->cur, id, memory_order_release); /* [P1] [P2] */
    SONA_FAULT(publish_done);
    ret->id = id;
    ret->revoked = (revoked ? 1u : 0u) + (with_cold && p->reserved_revoked ? 1u : 0u);
}
