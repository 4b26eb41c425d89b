/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/*
 * See guard.h. The handler runs in whichever thread met the hole, touches nothing but the table
 * below, and makes system calls only. A slot's end is stored last (release) and cleared first; the
 * handler loads it first (acquire), and takes no lock. The table is of the process: all instances
 * share it, in the order in which they come, and those behind the highest are never looked at.
 */
#include "sidecar/guard.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <sys/mman.h>

#include "shm/diag.h"
#include "shm/layout.h"
#include "sidecar/options.h"

#define GUARDS ((SONA_SHM_CLIENTS_MAX + 1) * SONA_SIDECAR_INSTANCES_MAX)

static struct {
    _Atomic uintptr_t begin, end; /* end 0: free */
    _Atomic bool broken;          /* relaxed: only ever set, and looked at again */
} guards[GUARDS];
static _Atomic int used; /* slots that ever were; release with the first use of the highest */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* of those who add */

static int guard_of(uintptr_t at)
{
    int n = atomic_load_explicit(&used, memory_order_acquire);

    for (int k = 0; k < n; k++)
        if (at < atomic_load_explicit(&guards[k].end, memory_order_acquire) &&
            at >= atomic_load_explicit(&guards[k].begin, memory_order_relaxed))
            return k;
    return SONA_SIDECAR_GUARD_NONE;
}

static void on_sigbus(int number, siginfo_t *info, void *context)
{
    uintptr_t at = (uintptr_t)info->si_addr;
    int saved = errno, k = guard_of(at);

    (void)context;
    void *page = (void *)(at & ~((uintptr_t)SONA_SHM_PAGE - 1));
    if (k < 0 || mmap(page, SONA_SHM_PAGE, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == MAP_FAILED)
        (void)signal(number, SIG_DFL); /* the access is repeated, and ends the process */
    else
        atomic_store_explicit(&guards[k].broken, true, memory_order_relaxed);
    errno = saved;
}

sona_err sona_sidecar_guard_install(sona_diag *reterr)
{
    struct sigaction action = {.sa_sigaction = on_sigbus, .sa_flags = SA_SIGINFO};

    (void)sigemptyset(&action.sa_mask);
    if (sigaction(SIGBUS, &action, NULL) != 0)
        return sona_shm_diag_set(reterr, SONA_E_SYSTEM, errno, "cannot handle SIGBUS");
    return SONA_OK;
}

int sona_sidecar_guard_add(void *map, size_t bytes)
{
    int ret = SONA_SIDECAR_GUARD_NONE;

    (void)pthread_mutex_lock(&lock);
    for (int k = 0; k < (int)GUARDS && ret == SONA_SIDECAR_GUARD_NONE; k++) {
        /* Acquire: pairs with remove, by whose thread the slot was used before. */
        if (atomic_load_explicit(&guards[k].end, memory_order_acquire) != 0)
            continue;
        atomic_store_explicit(&guards[k].broken, false, memory_order_relaxed);
        atomic_store_explicit(&guards[k].begin, (uintptr_t)map, memory_order_relaxed);
        atomic_store_explicit(&guards[k].end, (uintptr_t)map + bytes, memory_order_release);
        if (k >= atomic_load_explicit(&used, memory_order_relaxed))
            atomic_store_explicit(&used, k + 1, memory_order_release);
        ret = k;
    }
    (void)pthread_mutex_unlock(&lock);
    return ret;
}

void sona_sidecar_guard_remove(int guard)
{
    if (guard >= 0)
        atomic_store_explicit(&guards[guard].end, 0, memory_order_release);
}

bool sona_sidecar_guard_broken(int guard)
{
    return guard >= 0 && atomic_load_explicit(&guards[guard].broken, memory_order_relaxed);
}
