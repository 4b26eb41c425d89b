/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/* See follower.h. */
#include "tests/system/follower.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <sqlite3.h>

#include "shm/diag.h"

/* The options that sidecars with these arguments have. */
static sona_err parse(struct follower *f, const char *const *args, sona_diag *reterr)
{
    int argc = 1;

    f->argv[0] = strdup("sona-sidecar");
    for (; args[argc - 1] && argc < FOLLOWER_ARGS_MAX; argc++)
        f->argv[argc] = strdup(args[argc - 1]); /* the parser writes into them */
    if (sona_sidecar_options_parse(f->options, argc, f->argv) != 0)
        return sona_shm_diag_set(reterr, SONA_E_RANGE, 0, "the arguments are refused");
    return SONA_OK;
}

static sona_err make_core(const struct follower *f, struct sona_sidecar_core *core,
                          sona_diag *reterr)
{
    return sona_sidecar_core_init(core, &f->options->config, &f->layout, reterr);
}

sona_err follower_open(struct follower *ret, const char *state_dir, const char *instance,
                       const char *const *args, sona_diag *reterr)
{
    struct follower *f = ret;
    sona_geometry geometry;

    *f = (struct follower){.options = calloc(1, sizeof *f->options),
                           .buffer = malloc(sizeof *f->buffer)};
    (void)snprintf(f->db, sizeof f->db, "%s/%s.db", state_dir, instance);
    if (!f->options || !f->buffer)
        return sona_shm_diag_set(reterr, SONA_E_MEMORY, 0, "no memory");
    sona_err err = parse(f, args, reterr);
    if (err != SONA_OK)
        return err;
    sona_config_geometry(&f->options->config, &geometry);
    err = sona_model_layout_init(&f->layout, &geometry);
    if (err == SONA_OK)
        err = make_core(f, &f->core, reterr);
    f->chronicle = (struct sona_sidecar_chronicle){.dim = f->layout.geometry.dim,
                                                   .dim_padded = f->layout.dim_padded};
    if (err == SONA_OK)
        err = sona_sidecar_replay_begin(&f->replay, &f->chronicle, &f->core, reterr);
    return err;
}

void follower_close(struct follower *follower)
{
    sona_sidecar_replay_end(&follower->replay);
    sona_sidecar_core_done(&follower->core);
    free(follower->buffer);
    free(follower->options);
    for (int i = 0; i <= FOLLOWER_ARGS_MAX; i++)
        free(follower->argv[i]);
}

static sona_err take_row(struct follower *f, sqlite3_stmt *stmt, sona_diag *reterr)
{
    struct sona_store_record r;
    bool sound = sona_store_row_read(stmt, f->buffer, &r);
    bool exact = r.p_sample < 0;

    r.p_sample = 0; /* as the store hands it to who replays */
    if (!sound || !exact || r.position != f->chronicle.position + 1)
        return sona_shm_diag_set(reterr, SONA_E_FORMAT, 0, "after row %llu comes row %llu%s%s",
                                 (unsigned long long)f->chronicle.position,
                                 (unsigned long long)r.position, sound ? "" : ", damaged",
                                 exact ? "" : ", no longer exact");
    if (!sona_sidecar_replay_record(&f->replay, &r))
        return sona_shm_diag_set(reterr, SONA_E_FORMAT, 0, "row %llu cannot be done again",
                                 (unsigned long long)r.position);
    if (f->visit)
        (void)f->visit(f->context, &r);
    f->rows++;
    f->kinds[r.kind % 64]++;
    return SONA_OK;
}

sona_err follower_read(struct follower *follower, sona_diag *reterr)
{
    struct follower *f = follower;
    sqlite3_stmt *stmt = NULL;
    sqlite3 *db = NULL;
    sona_err err = SONA_OK;
    int rc = sqlite3_open_v2(f->db, &db, SQLITE_OPEN_READWRITE, NULL);

    /* The WAL is the next sidecar's to recover. */
    if (rc == SQLITE_OK)
        rc = sqlite3_db_config(db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
    if (rc == SQLITE_OK)
        rc = sqlite3_prepare_v2(db, "SELECT * FROM event WHERE position>?1 ORDER BY position", -1,
                                &stmt, NULL);
    if (rc == SQLITE_OK) {
        (void)sqlite3_bind_int64(stmt, 1, (sqlite3_int64)f->chronicle.position);
        while (err == SONA_OK && (rc = sqlite3_step(stmt)) == SQLITE_ROW)
            err = take_row(f, stmt, reterr);
    }
    if (err == SONA_OK && rc != SQLITE_DONE)
        err = sona_shm_diag_set(reterr, SONA_E_SYSTEM, 0, "%s: %s", f->db, sqlite3_errmsg(db));
    (void)sqlite3_finalize(stmt);
    (void)sqlite3_close(db);
    return err;
}

/* The bytes of a state, its seal not set; the caller's. */
static void *bytes_of(const struct sona_sidecar_core *core, size_t *ret_n)
{
    *ret_n = sona_sidecar_core_save_bytes(core);
    void *ret = aligned_alloc(64, (*ret_n + 63) / 64 * 64);

    if (ret && !sona_sidecar_core_save(core, ret, *ret_n)) {
        free(ret);
        return NULL;
    }
    return ret;
}

static bool same(const struct sona_sidecar_core *a, const struct sona_sidecar_core *b,
                 sona_diag *reterr)
{
    size_t n_a, n_b, at = 0;
    unsigned char *x = bytes_of(a, &n_a), *y = bytes_of(b, &n_b);
    bool ret = x && y && n_a == n_b && memcmp(x, y, n_a) == 0;

    if (!ret && x && y)
        while (at < n_a && at < n_b && x[at] == y[at])
            at++;
    if (!ret)
        (void)sona_shm_diag_set(reterr, SONA_E_FORMAT, 0,
                                "states of %zu and %zu bytes differ from byte %zu on", n_a, n_b,
                                at);
    free(x);
    free(y);
    return ret;
}

bool follower_agrees(struct follower *follower, const struct sona_spawn *sidecar,
                     const char *state_dir, sona_diag *reterr)
{
    struct follower *f = follower;
    const struct sona_store_options options = {
        .instance = sidecar->instance, .state_dir = state_dir, .intake_dir = sidecar->runtime_dir};
    struct sona_sidecar_chronicle chronicle = f->chronicle;
    struct sona_sidecar_resumed resumed;
    struct sona_sidecar_core core;

    sona_err err = sona_store_open(&chronicle.store, &options, reterr);
    if (err != SONA_OK)
        return false;
    chronicle.position = 0;
    err = follower_read(f, reterr);
    if (err == SONA_OK)
        err = make_core(f, &core, reterr);
    if (err == SONA_OK) {
        err = sona_sidecar_chronicle_resume(&chronicle, &core, &resumed, reterr);
        if (err == SONA_OK && chronicle.position != f->chronicle.position)
            err = sona_shm_diag_set(reterr, SONA_E_FORMAT, 0, "positions %llu and %llu",
                                    (unsigned long long)chronicle.position,
                                    (unsigned long long)f->chronicle.position);
        if (err == SONA_OK && !same(&core, &f->core, reterr))
            err = SONA_E_FORMAT;
        sona_sidecar_core_done(&core);
    }
    sona_store_close(&chronicle.store);
    return err == SONA_OK;
}
