/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/* See describe.h. */
#include "sidecar/store/describe.h"

#include <stdint.h>
#include <stdlib.h>

#include "shm/diag.h"
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
