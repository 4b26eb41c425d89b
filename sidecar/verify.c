/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/* See verify.h. */
#include "sidecar/verify.h"

#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "engine/model/model.h"
#include "shm/layout.h"
#include "sidecar/clients.h"
#include "sidecar/ledger.h"
#include "sidecar/recall.h"
#include "sidecar/rings.h"
#include "sidecar/store/store.h"

#define TRIES 64 /* at a pair that is published anew while it is read */

/* ---- the segment ---- */

struct segment {
    const char *name;
    const unsigned char *map;
    struct sona_shm_header header; /* a private copy */
    struct sona_shm_plan plan;
    struct sona_model_layout layout;
    unsigned char *hot, *cold; /* private, too: what is judged does not change meanwhile */
};

/* What a reader would do, with a copy. False: not now, something was published meanwhile. */
static bool copy_pair(struct segment *s)
{
    const struct sona_shm_live *live = (const void *)(s->map + SONA_SHM_PAGE);
    uint64_t cur = atomic_load_explicit(&live->cur, memory_order_acquire);
    uint64_t i = cur & 255, j = cur >> 8 & 255;

    if (cur == 0 || i >= s->plan.hot_slots || j >= s->plan.cold_slots)
        return false;
    const unsigned char *at_hot = s->map + s->plan.hot_offset + i * s->plan.hot_stride;
    const unsigned char *at_cold = s->map + s->plan.cold_offset + j * s->plan.cold_stride;
    const struct sona_shm_hot *hot = (const void *)at_hot;
    const struct sona_shm_cold *cold = (const void *)at_cold;
    uint64_t id = atomic_load_explicit(&hot->cold_id, memory_order_relaxed);

    if (atomic_load_explicit(&hot->seq, memory_order_acquire) != cur || id == 0 ||
        atomic_load_explicit(&cold->seq, memory_order_acquire) != id)
        return false;
    memcpy(s->hot, at_hot + SONA_SHM_SPACING, s->plan.hot_bytes);
    memcpy(s->cold, at_cold + SONA_SHM_SPACING, s->plan.cold_bytes);
    atomic_thread_fence(memory_order_acquire);
    return atomic_load_explicit(&hot->seq, memory_order_relaxed) == cur &&
           atomic_load_explicit(&cold->seq, memory_order_relaxed) == id;
}

static void judge_pair(struct segment *s, sona_sidecar_finding *tell, void *context)
{
    char text[256];
    bool whole = false;

    for (int try = 0; try < TRIES && !whole; try++)
        whole = copy_pair(s);
    if (whole && sona_model_validate_hot(&s->layout, s->hot) == SONA_OK &&
        sona_model_validate_cold(&s->layout, s->cold) == SONA_OK)
        return;
    (void)snprintf(text, sizeof text, "/dev/shm%s: the current model %s", s->name,
                   whole ? "is not sound" : "cannot be read: its slots do not belong together");
    tell(context, text);
}

/* Null: its page 0 can be believed. */
static const char *judge_header(struct segment *s, off_t bytes, sona_diag *diag)
{
    if (bytes < (off_t)(3 * SONA_SHM_PAGE))
        return "is too short";
    memcpy(&s->header, s->map, sizeof s->header);
    if (sona_shm_header_check(&s->header, diag) != SONA_OK)
        return diag->text;
    if ((uint64_t)bytes != s->header.total_bytes ||
        sona_shm_header_plan(&s->header, 1, &s->plan) != SONA_OK ||
        s->plan.model_bytes != s->header.total_bytes ||
        sona_model_layout_init(&s->layout, &s->header.geometry) != SONA_OK ||
        s->layout.hot_bytes != s->plan.hot_bytes || s->layout.cold_bytes != s->plan.cold_bytes)
        return "has not the size that its page 0 says";
    return NULL;
}

static void verify_segment(const char *instance, sona_sidecar_finding *tell, void *context)
{
    char name[128], text[512];
    struct segment s = {.name = name};
    struct stat st = {.st_size = 0};
    sona_diag diag;

    (void)snprintf(name, sizeof name, "/sona.%s.model", instance);
    int fd = shm_open(name, O_RDONLY, 0);
    if (fd < 0)
        return;
    void *map = fstat(fd, &st) == 0 && st.st_size > 0
                    ? mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_SHARED, fd, 0)
                    : MAP_FAILED;
    (void)close(fd);
    s.map = map;
    const char *fault =
        map == MAP_FAILED ? "cannot be mapped" : judge_header(&s, st.st_size, &diag);
    if (fault) {
        (void)snprintf(text, sizeof text, "/dev/shm%s: %.300s", name, fault);
        tell(context, text);
    } else {
        s.hot = aligned_alloc(64, (s.plan.hot_bytes + 63) / 64 * 64);
        s.cold = aligned_alloc(64, (s.plan.cold_bytes + 63) / 64 * 64);
        if (s.hot && s.cold)
            judge_pair(&s, tell, context);
        free(s.hot);
        free(s.cold);
    }
    if (map != MAP_FAILED)
        (void)munmap(map, (size_t)st.st_size);
}

/* ---- all of it ---- */

void sona_sidecar_verify_memory(const char *runtime_dir, const char *instance,
                                sona_sidecar_finding *tell, void *context)
{
    char path[256];

    (void)snprintf(path, sizeof path, "%s/%s.lanes", runtime_dir, instance);
    sona_sidecar_ledger_verify(path, tell, context);
    (void)snprintf(path, sizeof path, "%s/%s.arena", runtime_dir, instance);
    sona_sidecar_recall_verify(path, tell, context);
    verify_segment(instance, tell, context);
}

static void find(void *context, const char *text)
{
    (void)json_array_append_new(context, json_string(text));
}

static bool see(void *context, const struct sona_store_record *record)
{
    *(uint64_t *)context = record->position;
    return true;
}

/* Would a start find a good generation, and everything behind it? */
static bool resumable(struct sona_store *store, json_t *findings)
{
    struct sona_store_generation g = {.position = 0, .exact = true};
    uint64_t last = 0;
    void *bytes = NULL;
    sona_diag diag;
    sona_err err = sona_store_generation_read(store, 0, &g, &bytes, &diag);

    free(bytes);
    if (err == SONA_E_UNKNOWN_ID)
        err = SONA_OK; /* from the first record on, then */
    if (err == SONA_OK)
        err = sona_store_replay(store, g.position + 1, see, &last, &diag);
    if (err != SONA_OK)
        find(findings, diag.text);
    else if (!g.exact)
        find(findings, "the newest good generation is older than the rows that are kept exactly");
    return err == SONA_OK && g.exact;
}

/* The memories of the clients there are, or of those that a killed sidecar left. */
static json_t *verify_rings(const char *runtime_dir, const char *instance,
                            struct sona_sidecar_clients *clients, json_t *findings)
{
    struct sona_sidecar_rings_seen seen = {.looked_at = 0};
    json_t *ret = json_object();
    char path[256];

    (void)snprintf(path, sizeof path, "%s/%s.lanes", runtime_dir, instance);
    if (clients)
        seen.looked_at = sona_sidecar_clients_verify(clients, find, findings);
    else
        seen = sona_sidecar_rings_search(path, find, findings);
    (void)json_object_set_new(ret, "looked_at", json_integer(seen.looked_at));
    (void)json_object_set_new(ret, "not_found", json_integer(seen.not_found));
    return ret;
}

json_t *sona_sidecar_verify(struct sona_store *store, const char *runtime_dir, const char *instance,
                            struct sona_sidecar_clients *clients, sona_diag *reterr)
{
    json_t *findings = json_array(), *ret = json_object();
    const char *verdict = "sound";
    uint32_t n = 0;
    sona_err err = sona_store_check(store, find, findings, &n, reterr);

    if (err != SONA_OK) {
        json_decref(findings);
        json_decref(ret);
        return NULL;
    }
    if (n > 0)
        verdict = resumable(store, findings) ? "degraded" : "failed";
    size_t of_store = json_array_size(findings);
    sona_sidecar_verify_memory(runtime_dir, instance, find, findings);
    json_t *rings = verify_rings(runtime_dir, instance, clients, findings);
    if (n == 0 && json_array_size(findings) > of_store)
        verdict = "degraded"; /* it is begun anew, and what was in it alone is gone */
    (void)json_object_set_new(ret, "verdict", json_string(verdict));
    (void)json_object_set_new(ret, "findings", findings);
    (void)json_object_set_new(ret, "lane_memories", rings);
    (void)json_object_set_new(ret, "appended",
                              json_integer((json_int_t)sona_store_positions(store).appended));
    return ret;
}
