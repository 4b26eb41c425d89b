/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/* See describe.h. */
#include "sidecar/store/describe.h"

#include <stdint.h>
#include <stdlib.h>

#include "shm/diag.h"
#include "sidecar/clock.h"
#include "sidecar/store/store.h"

static void put(json_t *o, const char *key, uint64_t value)
{
    (void)json_object_set_new(o, key, json_integer((json_int_t)value));
}

static json_t *generation_of(const struct sona_store_generation *g)
{
    json_t *o = json_object();

    put(o, "number", g->number);
    put(o, "position", g->position);
    put(o, "created_ms", g->created_ms);
    put(o, "bytes", g->bytes);
    put(o, "origin", g->origin);
    (void)json_object_set_new(o, "pinned", json_boolean(g->pinned));
    (void)json_object_set_new(o, "exact", json_boolean(g->exact));
    return o;
}

json_t *sona_store_describe_generations(struct sona_store *store, sona_diag *reterr)
{
    struct sona_store_generation *g = NULL;
    uint32_t n = 0, room = 64;
    sona_err err;

    for (;; room = n) { /* more are kept only when somebody pinned them */
        g = calloc(room, sizeof *g);
        if (!g) {
            (void)sona_shm_diag_set(reterr, SONA_E_MEMORY, 0, "no memory to list generations");
            return NULL;
        }
        err = sona_store_generation_list(store, g, room, &n, reterr);
        if (err != SONA_OK || n <= room)
            break;
        free(g);
    }
    json_t *o = err == SONA_OK ? json_object() : NULL, *list = o ? json_array() : NULL;
    if (o) {
        put(o, "appended", sona_store_positions(store).appended);
        for (uint32_t i = 0; i < n; i++)
            (void)json_array_append_new(list, generation_of(&g[i]));
        (void)json_object_set_new(o, "generations", list);
    }
    free(g);
    return o;
}

json_t *sona_store_describe(struct sona_store *store)
{
    struct sona_store_positions p = sona_store_positions(store);
    struct sona_store_generation g = {.number = 0};
    uint64_t now_ms = sona_sidecar_wall_us() / 1000;
    struct sona_store_stats stats;
    json_t *o = json_object();
    sona_diag diag = {.text = ""};
    uint32_t n;

    if (!o)
        return NULL;
    sona_store_stats(store, &stats);
    (void)sona_store_generation_list(store, &g, 1, &n, NULL); /* one that fails shows as none */
    put(o, "appended", p.appended);
    put(o, "committed", p.committed);
    put(o, "durable", p.durable);
    put(o, "lag", p.appended - p.committed);
    put(o, "intake_bytes", stats.intake_bytes);
    put(o, "file_bytes", stats.file_bytes);
    put(o, "wal_bytes", stats.wal_bytes);
    put(o, "first_position", stats.first_position);
    put(o, "generation", g.number);
    put(o, "generation_position", g.position);
    put(o, "generation_age_ms", g.number != 0 && now_ms > g.created_ms ? now_ms - g.created_ms : 0);
    /* Empty: it can be written. */
    (void)sona_store_health(store, &diag);
    (void)json_object_set_new(o, "waits", json_string(diag.text));
    return o;
}
