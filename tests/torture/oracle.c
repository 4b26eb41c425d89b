/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/*
 * The trace of all sidecars, in the order in which it was written, held against the clients' logs.
 *
 *   - A batch goes on where the last one of its lane ended, whichever sidecar took it; or it begins
 *     where one began that was taken and not noted, by a sidecar that is dead: what was done with
 *     it died with its process. Anything else is a record lost or doubled.
 *   - When a client's memory is given back, everything is drained that it had committed, and no
 *     record that it had not.
 *   - A client that died while its sidecar was dead has nobody to hand its memory on: its last
 *     records are gone with both. They are counted by themselves.
 */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/torture/torture.h"

#define READ_ENTRIES 512

void torture_sample(struct torture_samples *samples, uint64_t us)
{
    if (samples->n < TORTURE_SAMPLES)
        samples->us[samples->n++] = us < UINT32_MAX ? (uint32_t)us : UINT32_MAX;
}

static int ascending(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

    return (x > y) - (x < y);
}

double torture_percentile_ms(struct torture_samples *samples, double share)
{
    if (samples->n == 0)
        return 0;
    qsort(samples->us, samples->n, sizeof samples->us[0], ascending);
    uint32_t at = (uint32_t)(share * (samples->n - 1) + 0.5);
    return samples->us[at] / 1000.0;
}

/* The newest log of this process: numbers of processes come again. */
static struct torture_log *log_of_pid(struct torture *t, uint64_t pid)
{
    for (uint32_t i = t->n_logs; i-- > 0;)
        if ((uint64_t)atomic_load_explicit(&t->logs[i].pid, memory_order_relaxed) == pid)
            return &t->logs[i];
    return NULL;
}

static struct torture_log *log_of_tag(struct torture *t, uint32_t tag)
{
    uint32_t at = t->owner[tag & 0xffff];

    return at == 0 ? NULL : &t->logs[at - 1];
}

static void issued(struct torture *t, const struct sona_shm_trace *e)
{
    struct torture_log *log = log_of_pid(t, e->first);

    t->owner[e->tag & 0xffff] = log ? (uint32_t)(log - t->logs) + 1 : 0;
    if (!log)
        return;
    log->tag = e->tag;
    atomic_store_explicit(&log->sidecar, e->pid, memory_order_relaxed);
    log->attached = true;
    log->gone_us = 0;
    memset(log->drained, 0, sizeof log->drained);
    for (uint32_t i = 0; i < TORTURE_LANES; i++)
        log->last[i] = (struct sona_shm_trace){.what = SONA_SHM_NOTED};
}

static void batch(struct torture_log *log, const struct sona_shm_trace *e)
{
    if (e->lane >= TORTURE_LANES) { /* the lane of one that forks; it says nothing there */
        log->breaks++;
        return;
    }
    struct sona_shm_trace *last = &log->last[e->lane];
    bool last_noted = last->what == SONA_SHM_NOTED;

    if (e->what == SONA_SHM_NOTED) { /* of the batch just traced, or of nothing */
        log->breaks +=
            last_noted || e->first != last->first || e->n != last->n || e->pid != last->pid;
        log->drained[e->lane] = e->first + e->n;
    } else {
        bool goes_on = e->first == last->first + last->n;
        bool again = !last_noted && e->pid != last->pid && e->first == last->first;

        log->breaks += !(goes_on && (last_noted || e->pid != last->pid)) && !again;
    }
    *last = *e;
}

static void entry(struct torture *t, const struct sona_shm_trace *e)
{
    struct torture_log *log;

    if (e->what == SONA_SHM_ISSUED) {
        issued(t, e);
        return;
    }
    log = log_of_tag(t, e->tag);
    if (!log || log->tag != e->tag)
        return;
    if (e->what == SONA_SHM_BACK)
        atomic_store_explicit(&log->sidecar, e->pid, memory_order_relaxed);
    else if (e->what == SONA_SHM_GONE)
        log->gone_us = e->us;
    else
        batch(log, e);
}

void torture_oracle_read(struct torture *t)
{
    struct sona_shm_trace entries[READ_ENTRIES];
    ssize_t n;

    while ((n = pread(t->trace_fd, entries, sizeof entries, (off_t)t->trace_at)) >=
           (ssize_t)sizeof entries[0]) {
        size_t whole = (size_t)n / sizeof entries[0];

        for (size_t i = 0; i < whole; i++)
            entry(t, &entries[i]);
        t->trace_at += whole * sizeof entries[0];
    }
}

/* Add what a client wrote down. `complete`: all that it had committed must have been drained. */
static void close_log(struct torture *t, struct torture_log *log, bool complete)
{
    struct torture_counts *c = &t->count;
    uint64_t missing = 0;

    for (uint32_t i = 0; i < TORTURE_LANES; i++) {
        const struct torture_lane *lane = &log->lane[i];
        uint64_t done = atomic_load_explicit(&lane->done, memory_order_acquire);
        uint64_t intent = atomic_load_explicit(&lane->intent, memory_order_acquire);
        uint64_t drained = log->drained[i];
        uint32_t tag = atomic_load_explicit(&lane->tag, memory_order_relaxed);

        c->reads += lane->reads;
        c->thrown_away += lane->thrown_away;
        c->torn += lane->torn + lane->backwards;
        c->wrong += lane->wrong;
        c->renewed += lane->renewed;
        if (tag != 0 && tag != log->tag)
            continue; /* counting began again, and it died before its first new record */
        c->records += drained;
        c->doubled += drained > intent ? drained - intent : 0;
        missing += drained < done ? done - drained : 0;
    }
    if (complete)
        c->lost += missing;
    else
        c->both_dead_records += missing;
    c->both_dead += !complete;
    c->doubled += log->breaks;
    c->forks += atomic_load_explicit(&log->forked, memory_order_relaxed);
    c->namespaces += log->kind == TORTURE_NAMESPACE && log->attached;
    log->state = TORTURE_JUDGED;
}

/* Only what died with its sidecar alive, in the hands of the same, tells how fast it was freed. */
static void reclaimed(struct torture *t, struct torture_log *log)
{
    uint64_t died = atomic_load_explicit(&log->died_us, memory_order_relaxed);

    if (died == 0 || log->gone_us < died)
        return;
    if (torture_in_hand(t->shared, log))
        torture_sample(&t->reclaim, log->gone_us - died);
}

bool torture_oracle_waits(const struct torture *t)
{
    for (uint32_t i = t->unjudged; i < t->n_logs; i++)
        if (t->logs[i].state == TORTURE_REAPED && torture_in_hand(t->shared, &t->logs[i]))
            return true;
    return false;
}

bool torture_oracle_expects(const struct torture *t)
{
    return t->n_live > 0 || torture_oracle_waits(t);
}

void torture_oracle_judge(struct torture *t)
{
    while (t->unjudged < t->n_logs && t->logs[t->unjudged].state == TORTURE_JUDGED)
        t->unjudged++;
    for (uint32_t i = t->unjudged; i < t->n_logs; i++) {
        struct torture_log *log = &t->logs[i];

        if (log->state != TORTURE_REAPED)
            continue;
        if (!log->attached) {
            close_log(t, log, true);
        } else if (log->gone_us != 0) {
            reclaimed(t, log);
            close_log(t, log, true);
        } else if (torture_in_hand(t->shared, log) &&
                   torture_now_us() - log->reaped_us > TORTURE_LIMIT_US) {
            t->count.leaked++;
            close_log(t, log, true);
        }
    }
}

void torture_oracle_orphans(struct torture *t)
{
    for (uint32_t i = t->unjudged; i < t->n_logs; i++)
        if (t->logs[i].state == TORTURE_REAPED && t->logs[i].gone_us == 0)
            close_log(t, &t->logs[i], !t->logs[i].attached);
}
