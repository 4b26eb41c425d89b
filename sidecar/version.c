/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/* See version.h. */
#include "sidecar/version.h"

#include <stdlib.h>

#include "sidecar/promise.h"

/* [A] What was written before the swap is seen after a dereference, [B] a reader is done before its
 * version is freed: what liburcu promises. */
#ifdef SONA_TSAN
static char grace;
#endif

void sona_sidecar_version_enter(void)
{
    rcu_register_thread();
}

void sona_sidecar_version_leave(void)
{
    rcu_unregister_thread();
}

struct sona_sidecar_version *sona_sidecar_version_make(uint32_t n_routes)
{
    struct sona_sidecar_version *v =
        calloc(1, sizeof *v + (size_t)n_routes * sizeof(sona_route_info));

    if (v)
        v->n_routes = n_routes;
    return v;
}

struct sona_sidecar_bank *sona_sidecar_bank_make(uint32_t n)
{
    struct sona_sidecar_bank *bank = calloc(1, sizeof *bank + (size_t)n * sizeof(sona_pattern));

    if (bank)
        bank->n = n;
    return bank;
}

void sona_sidecar_version_share(struct sona_sidecar_version *version,
                                struct sona_sidecar_bank *bank)
{
    version->bank = bank;
    if (bank) /* relaxed: the learner alone adds owners, and it holds one already or just made it */
        (void)atomic_fetch_add_explicit(&bank->owners, 1, memory_order_relaxed);
}

static void destroy(struct sona_sidecar_version *version)
{
    /* Acquire and release: the last owner sees that all others are done. */
    if (version && version->bank &&
        atomic_fetch_sub_explicit(&version->bank->owners, 1, memory_order_acq_rel) == 1)
        free(version->bank);
    free(version);
}

static void free_version(struct rcu_head *head)
{
    RELIED_ON(&grace); /* [B] */
    destroy(caa_container_of(head, struct sona_sidecar_version, rcu));
}

void sona_sidecar_version_swap(struct sona_sidecar_versions *versions,
                               struct sona_sidecar_version *next)
{
    struct sona_sidecar_version *before = versions->current; /* we are the only writer */

    PROMISED_BY(versions);                       /* [A] */
    rcu_assign_pointer(versions->current, next); /* pairs with rcu_dereference in read */
    if (before)
        call_rcu(&before->rcu, free_version);
}

void sona_sidecar_version_done(struct sona_sidecar_versions *versions)
{
    rcu_barrier(); /* those that were swapped out */
    destroy(versions->current);
    versions->current = NULL;
}

const struct sona_sidecar_version *
sona_sidecar_version_read(const struct sona_sidecar_versions *versions)
{
    rcu_read_lock();
    const struct sona_sidecar_version *v = rcu_dereference(versions->current);
    RELIED_ON(versions); /* [A] */
    return v;
}

void sona_sidecar_version_unread(void)
{
    PROMISED_BY(&grace); /* [B] */
    rcu_read_unlock();
}
