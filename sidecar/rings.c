/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/*
 * See rings.h. Of a ring at work, cursor, c_head and p_tail are read one after the other, and each
 * moves. c_head follows the cursor, and the slots from the cursor on belong to the records that
 * wait. So a contradiction counts when cursor and c_head were the same before and after, and a
 * record when the cursor was not behind it after it was copied.
 */
#include "sidecar/rings.h"

#include <ctype.h>
#include <dirent.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "shm/record.h"
#include "shm/ring.h"
#include "shm/wire.h"
#include "sidecar/judge.h"

#define LOOKS 64 /* at indices that move */

/* ---- one memory ---- */

struct memory {
    const char *map;
    const struct sona_shm_plan *plan;
    const struct sona_sidecar_ledger *ledger;
    int slot;
};

static uint64_t cursor_of(const struct memory *m, uint32_t lane)
{
    return sona_sidecar_ledger_cursor(m->ledger, m->slot, lane);
}

static struct sona_shm_drain shadow_of(const struct memory *m, uint32_t lane)
{
    const char *at = m->map + m->plan->lane_offset + lane * m->plan->lane_stride;
    struct sona_shm_drain ret;

    /* Read only: nothing is advanced. */
    sona_shm_drain_bind(&ret, (void *)(uintptr_t)((const struct sona_shm_lane *)at)->ring,
                        at + m->plan->records_offset, m->plan->ring_slots, m->plan->record_stride,
                        cursor_of(m, lane));
    return ret;
}

/* How many records wait; -1: the indices make no sense, 0 also of a ring that did not hold still.
 */
static int64_t waiting(const struct memory *m, uint32_t lane, struct sona_shm_drain *ret)
{
    for (int look = 0; look < LOOKS; look++) {
        uint32_t before, after;

        *ret = shadow_of(m, lane);
        int64_t n = sona_shm_drain_look(ret, &before);
        if (n >= 0)
            return n;
        (void)sona_shm_drain_look(ret, &after);
        if (before == after && cursor_of(m, lane) == ret->cursor)
            return -1;
    }
    return 0;
}

/* The sequence of the first record that waits and is none; UINT64_MAX: all are. */
static uint64_t first_bad(const struct memory *m, uint32_t lane, const struct sona_shm_drain *drain,
                          uint64_t n)
{
    struct sona_sidecar_origin origin = {.tag = sona_sidecar_ledger_at(m->ledger, m->slot)->tag,
                                         .lane = lane};

    for (uint64_t seq = drain->cursor; seq < drain->cursor + n; seq++) {
        struct sona_record record;

        memcpy(&record, drain->records + (seq & (drain->slots - 1)) * drain->stride, sizeof record);
        atomic_thread_fence(memory_order_acquire); /* the copy is before the look at the cursor */
        if (cursor_of(m, lane) > seq)
            continue; /* drained meanwhile, and perhaps another by now */
        origin.seq = seq;
        if (sona_sidecar_judge_head(&origin, &record) != SONA_SIDECAR_ACCEPTED)
            return seq;
    }
    return UINT64_MAX;
}

static bool is_as_issued(const struct memory *m)
{
    const struct sona_sidecar_issue *issue = sona_sidecar_ledger_at(m->ledger, m->slot);
    struct sona_shm_lanes_header h;

    memcpy(&h, m->map, sizeof h);
    return h.magic == SONA_SHM_LANES_MAGIC && h.n_lanes == issue->n_lanes &&
           h.ring_slots == issue->ring_slots && h.record_stride == issue->record_stride &&
           h.tag == issue->tag && memcmp(h.identity, issue->identity, sizeof h.identity) == 0;
}

void sona_sidecar_rings_verify(const void *map, const struct sona_shm_plan *plan, pid_t pid,
                               const struct sona_sidecar_ledger *ledger, int slot,
                               sona_sidecar_finding *tell, void *context)
{
    const struct memory m = {.map = map, .plan = plan, .ledger = ledger, .slot = slot};
    struct sona_shm_drain drain;
    char text[256];

    /* Of an issue that is not what was written the ledger's own look says so. */
    if (sona_sidecar_ledger_is_sound(ledger, slot) && !is_as_issued(&m)) {
        (void)snprintf(text, sizeof text,
                       "lane memory of process %d: page 0 is not what was issued; it cannot be "
                       "handed back after a restart",
                       (int)pid);
        tell(context, text);
    }
    for (uint32_t lane = 0; lane < plan->n_lanes; lane++) {
        int64_t n = waiting(&m, lane, &drain);
        uint64_t bad = n < 0 ? 0 : first_bad(&m, lane, &drain, (uint64_t)n);

        if (n < 0)
            (void)snprintf(text, sizeof text,
                           "lane memory of process %d, lane %u: its indices contradict what was "
                           "drained up to record %llu; nothing more of it will be",
                           (int)pid, lane, (unsigned long long)drain.cursor);
        else if (bad != UINT64_MAX)
            (void)snprintf(text, sizeof text,
                           "lane memory of process %d, lane %u: what waits as record %llu is none "
                           "of this lane; it will be dropped",
                           (int)pid, lane, (unsigned long long)bad);
        if (n < 0 || bad != UINT64_MAX)
            tell(context, text);
    }
}

/* ---- all of a ledger ---- */

struct search {
    const struct sona_sidecar_ledger *ledger;
    bool seen[SONA_SIDECAR_LEDGER_MAX];
    sona_sidecar_finding *tell;
    void *context;
    struct sona_sidecar_rings_seen sum;
};

static bool plan_of(const struct sona_sidecar_issue *issue, struct sona_shm_plan *ret)
{
    *ret = (struct sona_shm_plan){.hot_slots = SONA_SHM_HOT_SLOTS,
                                  .cold_slots = SONA_SHM_COLD_SLOTS,
                                  .hot_bytes = 1, /* of a segment: of no matter here */
                                  .cold_bytes = 1,
                                  .ring_slots = issue->ring_slots,
                                  .record_stride = issue->record_stride,
                                  .n_lanes = issue->n_lanes};
    return sona_shm_plan_init(ret) == SONA_OK;
}

static void look_at(struct search *s, int fd, pid_t pid)
{
    struct sona_shm_plan plan;
    struct stat st;
    sona_diag diag;
    char text[512];

    int slot =
        fstat(fd, &st) == 0 ? sona_sidecar_ledger_find_inode(s->ledger, (uint64_t)st.st_ino) : -1;
    if (slot < 0 || s->seen[slot] || !plan_of(sona_sidecar_ledger_at(s->ledger, slot), &plan))
        return;
    s->seen[slot] = true;
    s->sum.looked_at++;
    if (sona_shm_lanes_check(fd, plan.lanes_bytes, &diag) != SONA_OK) {
        (void)snprintf(text, sizeof text, "lane memory of process %d: %.300s", (int)pid, diag.text);
        s->tell(s->context, text);
        return;
    }
    void *map = mmap(NULL, (size_t)plan.lanes_bytes, PROT_READ, MAP_SHARED, fd, 0);
    if (map == MAP_FAILED)
        return;
    sona_sidecar_rings_verify(map, &plan, pid, s->ledger, slot, s->tell, s->context);
    (void)munmap(map, (size_t)plan.lanes_bytes);
}

static void look_into(struct search *s, const char *process)
{
    static const char name[] = "/memfd:" SONA_SHM_LANES_NAME;
    struct dirent *entry;
    char path[64], link[64];

    (void)snprintf(path, sizeof path, "/proc/%.20s/fd", process);
    DIR *dir = opendir(path);
    if (!dir)
        return; /* it has ended, or is not ours to look into */
    while ((entry = readdir(dir))) {
        ssize_t n = readlinkat(dirfd(dir), entry->d_name, link, sizeof link);

        if (n < (ssize_t)sizeof name - 1 || memcmp(link, name, sizeof name - 1) != 0)
            continue;
        int fd = openat(dirfd(dir), entry->d_name, O_RDONLY | O_CLOEXEC);
        if (fd < 0)
            continue;
        look_at(s, fd, (pid_t)strtol(process, NULL, 10));
        (void)close(fd);
    }
    (void)closedir(dir);
}

struct sona_sidecar_rings_seen sona_sidecar_rings_search(const char *ledger_path,
                                                         sona_sidecar_finding *tell, void *context)
{
    struct sona_sidecar_ledger *ledger = sona_sidecar_ledger_look(ledger_path);
    struct search s = {.ledger = ledger, .tell = tell, .context = context};
    struct dirent *entry;
    DIR *dir = ledger ? opendir("/proc") : NULL;

    while (dir && (entry = readdir(dir)))
        if (isdigit((unsigned char)entry->d_name[0]))
            look_into(&s, entry->d_name);
    if (dir)
        (void)closedir(dir);
    if (ledger)
        s.sum.not_found = sona_sidecar_ledger_waiting(ledger) - s.sum.looked_at;
    sona_sidecar_ledger_close(&ledger, false);
    return s.sum;
}
