/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/*
 * What a disk gives back. A batch of the intake log, whose checksum may be a liar's: what is read
 * of it stays inside; as a row of the journal it comes back the same; and a row of which a column
 * changed is refused. A generation, sealed by a liar: an engine refuses it, or goes on with it and
 * can be saved again.
 *
 *     byte 0: GENERATION: {offset, word} over a saved engine | else: the log's bytes, byte 1 being
 *     which column of the rows is changed
 */
#include <fcntl.h>
#include <math.h>
#include <unistd.h>

#include <sona/engine.h>
#include <xxhash.h>

#include "engine/state/container.h"
#include "sidecar/store/intake_log.h"
#include "sidecar/store/row.h"
#include "tests/fuzz/targets/fuzz.h"

#define DIM        16u
#define GENERATION 1u

static struct {
    struct sona_store_log log;
    sqlite3 *db;
    sqlite3_stmt *insert, *select, *clear;
    struct sona_store_row_buffer buffer;
    unsigned char *saved, *state; /* a generation, and the same with lies */
    size_t n;
} f;

static void begin_generation(void)
{
    sona_route_spec routes[2] = {{.name = "a", .prior_quality = 0.5f, .prior_weight = 1},
                                 {.name = "b", .prior_quality = 0.5f, .prior_weight = 1}};
    sona_engine *engine = NULL;
    sona_config config;

    sona_config_init(&config);
    config.embedding_dim = config.hidden_dim = DIM;
    config.routes_max = 2;
    config.base_lora_rank = 4;
    config.base_lora_layers = 1;
    config.pattern_clusters = 4;
    config.trajectory_capacity = 16;
    config.replay_capacity = 64;
    config.step_capacity = 8;
    FUZZ_HOLD(sona_engine_create(&engine, &config, routes, 2, NULL) == SONA_OK);
    for (uint32_t i = 0; i < 80; i++) {
        sona_decision d;
        float x[DIM] = {1, (float)(i % 7), -(float)(i % 3)};

        FUZZ_HOLD(sona_engine_decide(engine, x, DIM, NULL, i, &d) == SONA_OK);
        if (i % 5)
            (void)sona_engine_outcome(engine, d.id, SONA_ROUTE_INDEX(d.route) ? 1 : 0, 0, i);
    }
    (void)sona_engine_save(engine, NULL, 0, &f.n);
    f.saved = malloc(f.n);
    f.state = malloc(f.n);
    FUZZ_HOLD(f.saved && f.state && sona_engine_save(engine, f.saved, f.n, &f.n) == SONA_OK);
    sona_engine_destroy(&engine);
}

static void begin(void)
{
    char path[64];
    sona_diag diag;

    begin_generation();
    (void)snprintf(path, sizeof path, "/dev/shm/t-fuzz-%d.intake", (int)getpid());
    FUZZ_HOLD(sona_store_log_open(&f.log, path, SONA_STORE_INTAKE_MIN, &diag) == SONA_OK);
    (void)unlink(path);
    FUZZ_HOLD(sqlite3_open(":memory:", &f.db) == SQLITE_OK);
    for (uint32_t step = 1; step <= SONA_STORE_SCHEMA; step++)
        FUZZ_HOLD(sqlite3_exec(f.db, sona_store_schema_step(step), NULL, NULL, NULL) == SQLITE_OK);
    FUZZ_HOLD(sqlite3_prepare_v2(f.db, "REPLACE INTO event VALUES" SONA_STORE_ROW, -1, &f.insert,
                                 NULL) == SQLITE_OK);
    FUZZ_HOLD(sqlite3_prepare_v2(f.db, "SELECT * FROM event", -1, &f.select, NULL) == SQLITE_OK);
    FUZZ_HOLD(sqlite3_prepare_v2(f.db, "DELETE FROM event", -1, &f.clear, NULL) == SQLITE_OK);
}

static bool same_bytes(const void *a, const void *b, size_t n)
{
    return n == 0 || memcmp(a, b, n) == 0;
}

/* Through the table and back. `column`: it is overwritten on the way; SONA_STORE_COLUMNS: none. */
static void hold_row(const struct sona_store_record *r, uint32_t column)
{
    struct sona_store_row_bound bound = {.valid = false};
    struct sona_store_record back;

    sona_store_row_bind(f.insert, 0, r, &bound);
    if (column < SONA_STORE_COLUMNS)
        (void)sqlite3_bind_blob(f.insert, (int)column + 1, "something else", 14, SQLITE_STATIC);
    bool in = sqlite3_step(f.insert) == SQLITE_DONE;
    (void)sqlite3_reset(f.insert);
    if (in && sqlite3_step(f.select) == SQLITE_ROW) {
        bool sound = sona_store_row_read(f.select, &f.buffer, &back);

        FUZZ_HOLD(sound || column < SONA_STORE_COLUMNS || !isfinite(r->quality) ||
                  !isfinite(r->propensity) || !isfinite(r->credit));
        if (sound && column == SONA_STORE_COLUMNS)
            FUZZ_HOLD(back.id == r->id && back.x_n == r->x_n && back.base_n == r->base_n &&
                      back.payload_bytes == r->payload_bytes &&
                      same_bytes(back.x, r->x, r->x_n * sizeof(float)) &&
                      same_bytes(back.base, r->base, r->base_n * sizeof(float)) &&
                      same_bytes(back.payload, r->payload, r->payload_bytes));
    }
    (void)sqlite3_reset(f.select);
    (void)sqlite3_step(f.clear);
    (void)sqlite3_reset(f.clear);
}

/* Batches from the start on, as the writer walks them; each is sealed first by a liar. */
static void read_log(struct fuzz_input *in)
{
    uint32_t column = fuzz_byte(in) % (2 * SONA_STORE_COLUMNS);
    uint64_t end = (in->left + SONA_STORE_BATCH_STRIDE - 1) & ~(SONA_STORE_BATCH_STRIDE - 1ull);
    const struct sona_store_batch *batch;

    if (end > f.log.capacity)
        return;
    (void)fuzz_take(in, f.log.data, (size_t)end);
    atomic_store(&f.log.header->head, end);
    for (uint64_t at = 0; at < end;) {
        struct sona_store_batch header;
        struct sona_store_record r;
        uint64_t offset = sizeof header;

        memcpy(&header, f.log.data + at, sizeof header);
        if (header.bytes >= sizeof header && header.bytes <= end - at) {
            header.magic = SONA_STORE_BATCH_MAGIC;
            header.at = at;
            header.sum = 0;
            header.sum =
                XXH3_64bits_withSeed(f.log.data + at + sizeof header, header.bytes - sizeof header,
                                     XXH3_64bits(&header, sizeof header));
            memcpy(f.log.data + at, &header, sizeof header);
        }
        batch = sona_store_log_batch(&f.log, at);
        if (!batch)
            break;
        for (uint32_t i = 0; i < batch->count && sona_store_log_record(batch, &offset, &r); i++) {
            FUZZ_HOLD(offset <= batch->bytes);
            hold_row(&r, column < SONA_STORE_COLUMNS ? column : SONA_STORE_COLUMNS);
        }
        at += batch->bytes;
    }
}

static void read_generation(struct fuzz_input *in)
{
    sona_engine *engine = NULL;
    sona_diag diag = {.code = SONA_OK};
    size_t n = 0;

    memcpy(f.state, f.saved, f.n);
    bool sealed = fuzz_byte(in) % 8 != 0;
    while (in->left > 0) {
        uint32_t at = fuzz_word(in), word = fuzz_word(in);

        memcpy(f.state + at % (f.n / 4) * 4, &word, sizeof word);
    }
    /* The container's own size must be right for a seal to make sense of it. */
    if (sealed) {
        memcpy(f.state, f.saved, 64);
        (void)sona_state_seal(f.state, f.n);
    }
    sona_err err = sona_engine_load(&engine, NULL, f.state, f.n, &diag);
    FUZZ_HOLD((err == SONA_OK) == (engine != NULL) && (err == SONA_OK || diag.code == err));
    if (!engine)
        return;
    for (uint32_t i = 0; i < 4; i++) {
        const float x[DIM] = {1, (float)i};
        sona_decision d;

        if (sona_engine_decide(engine, x, DIM, NULL, 100 + i, &d) == SONA_OK) {
            FUZZ_HOLD(d.propensity > 0 && d.propensity <= 1 && isfinite(d.expected));
            (void)sona_engine_outcome(engine, d.id, 0.5f, 0, 100 + i);
        }
    }
    FUZZ_HOLD(sona_engine_save(engine, NULL, 0, &n) != SONA_OK || n > 0);
    sona_engine_destroy(&engine);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_input in = {data, size};

    if (!f.db)
        begin();
    if (fuzz_byte(&in) == GENERATION)
        read_generation(&in);
    else
        read_log(&in);
    return 0;
}
