/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/* See roster.h. */
#include "sidecar/roster.h"

#include <stdlib.h>
#include <string.h>

#include "sidecar/log.h"
#include "sidecar/promise.h"
#include "sidecar/report.h"
#include "sidecar/sidecar.h"

#ifdef SONA_TSAN
static char grace; /* as in version.c */
#endif

static void free_roster(struct rcu_head *head)
{
    struct sona_sidecar_roster *r = caa_container_of(head, struct sona_sidecar_roster, rcu);

    RELIED_ON(&grace);
    free(r);
}

static void fill(struct sona_sidecar_roster *r, const struct sona_sidecar *s)
{
    sona_stats stats;

    memset(&stats, 0, sizeof stats);
    sona_sidecar_clients_stats(&s->clients, &stats);
    memcpy(r->counter, stats.counter, sizeof r->counter);
    r->state = s->state;
    r->lanes = stats.lanes;
    r->n_guests = stats.clients;
    r->last_reclaim_us = s->clients.last_reclaim_us;
    r->max_reclaim_us = s->clients.max_reclaim_us;
    r->background = s->options->config.background != 0;
    for (uint32_t k = 0; k < r->n_guests; k++) {
        const struct sona_sidecar_attachment *a = s->clients.attachment[k];

        r->guest[k] = (struct sona_sidecar_guest){
            .pid = a->pid,
            .uid = a->uid,
            .lanes = a->n_lanes,
            .tag = a->tag,
            .liveness = a->liveness,
            .ending = a->ended_us != 0,
            .held_back = atomic_load_explicit(&a->held_back, memory_order_relaxed)};
    }
}

/* But for the heads, which differ. */
static bool same(const struct sona_sidecar_roster *a, const struct sona_sidecar_roster *b)
{
    return a->state == b->state && a->lanes == b->lanes && a->n_guests == b->n_guests &&
           a->last_reclaim_us == b->last_reclaim_us && a->max_reclaim_us == b->max_reclaim_us &&
           a->background == b->background &&
           memcmp(a->counter, b->counter, sizeof a->counter) == 0 &&
           memcmp(a->guest, b->guest, a->n_guests * sizeof a->guest[0]) == 0 &&
           strcmp(a->config, b->config) == 0;
}

void sona_sidecar_roster_show(struct sona_sidecar *sidecar)
{
    struct sona_sidecar *s = sidecar;
    struct sona_sidecar_roster *before = s->roster; /* we are the only writer */
    const char *config = s->config_json ? s->config_json : "{\"options\":[]}";
    size_t guests = s->clients.n * sizeof(struct sona_sidecar_guest), text = strlen(config) + 1;
    struct sona_sidecar_roster *r = calloc(1, sizeof *r + guests + text);

    if (!r) {
        sona_sidecar_log(SONA_SIDECAR_WARN, "no_memory", "reason=\"figures are not up to date\"");
        return;
    }
    r->config = memcpy((char *)(r->guest + s->clients.n), config, text);
    fill(r, s);
    if (before && same(before, r)) {
        free(r);
        return;
    }
    PROMISED_BY(&s->roster);
    rcu_assign_pointer(s->roster, r); /* pairs with rcu_dereference in read */
    if (before)
        call_rcu(&before->rcu, free_roster);
}

void sona_sidecar_roster_renew(struct sona_sidecar *sidecar)
{
    char *json = sona_sidecar_report_options(sidecar->options);

    if (json) {
        free(sidecar->config_json);
        sidecar->config_json = json;
    }
    sona_sidecar_roster_show(sidecar);
}

void sona_sidecar_roster_done(struct sona_sidecar *sidecar)
{
    rcu_barrier(); /* those that were swapped out */
    free(sidecar->roster);
    free(sidecar->config_json);
    sidecar->roster = NULL;
    sidecar->config_json = NULL;
}

const struct sona_sidecar_roster *sona_sidecar_roster_read(const struct sona_sidecar *sidecar)
{
    rcu_read_lock();
    const struct sona_sidecar_roster *r = rcu_dereference(sidecar->roster);
    RELIED_ON(&sidecar->roster);
    return r;
}

void sona_sidecar_roster_unread(void)
{
    PROMISED_BY(&grace);
    rcu_read_unlock();
}
