/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/* Journal, cursors, generations: what goes in comes out, once. */
#include "engine/learner/learner.h"
#include "tests/sidecar/store/store_fixture.h"

TestSuite(store, .init = fixture_setup, .fini = fixture_teardown);

Test(store, numbers_joined_events_as_the_learner_does)
{
    cr_assert(eq(int, SONA_STORE_outcome, SONA_LEARNER_OUTCOME));
    cr_assert(eq(int, SONA_STORE_query, SONA_LEARNER_QUERY));
    cr_assert(eq(int, SONA_STORE_revoke, SONA_LEARNER_REVOKE));
    cr_assert(eq(int, SONA_STORE_replace, SONA_LEARNER_REPLACE));
    cr_assert(eq(int, SONA_STORE_query_outcome, SONA_LEARNER_QUERY_OUTCOME));
    cr_assert(eq(int, SONA_STORE_steps, SONA_LEARNER_STEPS));
    cr_assert(eq(int, SONA_STORE_hit, SONA_LEARNER_HIT));
    cr_assert(eq(int, SONA_STORE_baseline, SONA_LEARNER_BASELINE));
    cr_assert(eq(int, SONA_STORE_gradient, SONA_LEARNER_GRADIENT));
    cr_assert(lt(int, SONA_LEARNER_KINDS, SONA_STORE_start), "room for the learner's next kinds");
}

Test(store, gives_back_every_bit_of_what_was_appended)
{
    struct sona_store_options options = fixture_options();
    struct sona_store *store = fixture_open(&options);

    fixture_fill(store, 1, 3000);
    cr_assert(eq(int, sona_store_flush(store, 3000, 10000, &fixture_diag), SONA_OK));
    fixture_expect(store, 3000);
    sona_store_close(&store);
    store = fixture_open(&options);
    fixture_expect(store, 3000);
    cr_expect(eq(u64, sona_store_positions(store).appended, 3000));
    cr_expect(eq(u32, fixture_findings(store), 0), "%s", fixture_notices);
    sona_store_close(&store);
}

Test(store, keeps_its_files_to_its_user)
{
    static const char *const files[] = {".db", ".db-wal", ".db-shm", ".db.lock", ".intake"};
    struct sona_store_options options = fixture_options();
    char below[128];
    struct stat st;

    (void)umask(0);
    (void)snprintf(below, sizeof below, "%s/state", fixture_dir);
    options.state_dir = below;
    struct sona_store *store = fixture_open(&options);
    cr_assert(eq(int, stat(below, &st), 0));
    cr_expect(eq(u32, st.st_mode & 0777, 0700));
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        char path[160];

        (void)snprintf(path, sizeof path, "%s/one%s", below, files[i]);
        cr_assert(eq(int, stat(path, &st), 0), "%s", path);
        cr_expect(eq(u32, st.st_mode & 0777, 0600), "%s", path);
    }
    sona_store_close(&store);
}

Test(store, takes_a_record_of_a_lane_once)
{
    struct sona_store_options options = fixture_options();
    struct sona_store *store = fixture_open(&options);
    struct fixture_record f;
    uint64_t next = 0;

    fixture_fill(store, 1, 10);
    cr_expect(eq(int, fixture_append(store, 10), SONA_E_DUPLICATE));
    cr_expect(eq(int, fixture_append(store, 7), SONA_E_DUPLICATE));
    sona_store_close(&store);
    store = fixture_open(&options);
    cr_expect(eq(int, fixture_append(store, 10), SONA_E_DUPLICATE), "after a restart, too");
    fixture_make(&f, 10);
    cr_assert(sona_store_cursor(store, f.record.lane, &next));
    cr_expect(eq(u64, next, 11));
    cr_expect(eq(int, fixture_append(store, 11), SONA_OK));
    cr_assert(eq(int, sona_store_flush(store, 11, 10000, &fixture_diag), SONA_OK));
    fixture_expect(store, 11);
    sona_store_close(&store);
}

Test(store, takes_a_batch_whole_or_not_at_all)
{
    struct sona_store_options options = fixture_options();
    struct sona_store *store = fixture_open(&options);
    struct fixture_record f[3];
    struct sona_store_record batch[3];
    uint64_t last = 0;

    for (uint64_t i = 0; i < 3; i++) {
        fixture_make(&f[i], i + 1);
        batch[i] = f[i].record;
    }
    batch[2].quality = 1.0f / 0.0f;
    cr_expect(eq(int, sona_store_append(store, batch, 3, &last), SONA_E_NOT_FINITE));
    batch[2] = f[2].record;
    batch[2].x_n = SONA_STORE_FLOATS_MAX + 1;
    cr_expect(eq(int, sona_store_append(store, batch, 3, &last), SONA_E_LIMIT));
    batch[2] = f[2].record;
    batch[2].kind = 64;
    cr_expect(eq(int, sona_store_append(store, batch, 3, &last), SONA_E_RANGE));
    cr_expect(eq(u64, sona_store_positions(store).appended, 0));
    batch[2] = f[2].record;
    cr_expect(eq(int, sona_store_append(store, batch, 3, &last), SONA_OK));
    cr_expect(eq(u64, last, 3));
    /* One record of it is behind the cursor of its lane. */
    fixture_make(&f[0], 4);
    batch[0] = f[0].record;
    cr_expect(eq(int, sona_store_append(store, batch, 3, &last), SONA_E_DUPLICATE));
    cr_expect(eq(u64, sona_store_positions(store).appended, 3));
    sona_store_close(&store);
}

Test(store, moves_a_cursor_without_a_row_and_ends_a_lane)
{
    struct sona_store_options options = fixture_options();
    struct sona_store *store = fixture_open(&options);
    struct sona_store_lane lane = {{5, 6}};
    struct sona_store_record r = {.kind = SONA_STORE_cursor, .lane = lane, .lane_seq = 99};
    uint64_t next = 0, last = 77;

    cr_assert(eq(int, sona_store_append(store, &r, 1, &last), SONA_OK));
    cr_expect(eq(u64, last, 0), "no position");
    sona_store_close(&store);
    store = fixture_open(&options);
    cr_assert(sona_store_cursor(store, lane, &next));
    cr_expect(eq(u64, next, 100));
    r = (struct sona_store_record){.kind = SONA_STORE_lane_end, .lane = lane, .lane_seq = 100};
    cr_assert(eq(int, sona_store_append(store, &r, 1, &last), SONA_OK));
    cr_expect(eq(u64, last, 1));
    cr_expect(not(sona_store_cursor(store, lane, &next)));
    sona_store_close(&store);
    store = fixture_open(&options);
    cr_expect(not(sona_store_cursor(store, lane, &next)));
    cr_expect(eq(u32, fixture_findings(store), 0), "%s", fixture_notices);
    sona_store_close(&store);
}

static bool count_cursors(void *context, struct sona_store_lane lane, uint32_t uid, uint64_t next)
{
    uint64_t *sum = context;

    *sum += next * (lane.word[0] != 0) + uid;
    return true;
}

Test(store, has_room_for_the_lanes_it_promises_and_no_more)
{
    struct sona_store_options options = fixture_options();
    struct sona_store *store = fixture_open(&options);
    uint64_t sum = 0, i = 0;

    for (; i < SONA_STORE_LANES_MAX; i++) {
        struct sona_store_record r = {
            .kind = SONA_STORE_cursor, .lane = {{i / 2 + 1, i % 2}}, .uid = 1, .lane_seq = i};

        cr_assert(eq(int, sona_store_append(store, &r, 1, NULL), SONA_OK));
    }
    struct sona_store_record r = {.kind = SONA_STORE_cursor, .lane = {{1, 7}}};
    cr_expect(eq(int, sona_store_append(store, &r, 1, NULL), SONA_E_LIMIT));
    r = (struct sona_store_record){
        .kind = SONA_STORE_lane_end, .lane = {{1, 0}}, .lane_seq = 1000000};
    cr_expect(eq(int, sona_store_append(store, &r, 1, NULL), SONA_OK));
    sona_store_close(&store);
    store = fixture_open(&options);
    sona_store_cursors(store, count_cursors, &sum);
    /* 1 + ... + n, without lane 0's 1, and a uid of 1 each */
    cr_expect(eq(u64, sum, i * (i + 1) / 2 - 1 + i - 1));
    sona_store_close(&store);
}

Test(store, promises_no_more_than_it_holds)
{
    struct sona_store_options options = fixture_options();
    struct sona_store_positions p;

    options.commit_ms = 60000; /* nothing is committed unless somebody waits */
    options.commit_records = 1000000;
    struct sona_store *store = fixture_open(&options);
    fixture_fill(store, 1, 100);
    p = sona_store_positions(store);
    cr_expect(eq(u64, p.appended, 100));
    cr_expect(eq(u64, p.committed, 0));
    cr_expect(eq(u64, p.durable, 0));
    cr_expect(eq(int, sona_store_flush(store, 101, 10, &fixture_diag), SONA_E_RANGE));
    cr_expect(eq(int, sona_store_flush(store, 50, 10000, &fixture_diag), SONA_OK));
    p = sona_store_positions(store);
    cr_expect(ge(u64, p.durable, 50));
    cr_expect(ge(u64, p.committed, p.durable));
    sona_store_close(&store);
}

/* The newest of a lane need not be the last of a batch: several threads hand over at once. */
Test(store, a_cursor_is_behind_the_newest_record_of_its_lane_in_whatever_order)
{
    struct sona_store_options options = fixture_options();
    const struct sona_store_lane lane = {{5, 6}};
    const struct sona_store_record r[] = {{.lane = lane, .lane_seq = 9},
                                          {.lane = lane, .lane_seq = 5},
                                          {.lane = SONA_STORE_IMPORTS,
                                           .payload = "x", /* no key */
                                           .payload_bytes = 1}};
    uint64_t next = 0, last = 0;

    struct sona_store *store = fixture_open(&options);
    cr_assert(eq(int, sona_store_append(store, r, 3, &last), SONA_OK));
    sona_store_close(&store);
    store = fixture_open(&options);
    cr_assert(sona_store_cursor(store, lane, &next));
    cr_expect(eq(u64, next, 10));
    cr_expect(not(sona_store_cursor(store, (struct sona_store_lane){{0, 0}}, &next)));
    cr_expect(eq(u32, fixture_findings(store), 0), "%s", fixture_notices);
    sona_store_close(&store);
}

/* A group ends at 8 MB, too: a transaction that is larger holds up what comes behind. */
Test(store, groups_by_size, .timeout = 50)
{
    struct sona_store_options options = fixture_options();
    static char payload[SONA_STORE_PAYLOAD_MAX];
    const struct sona_store_record r = {.payload = payload, .payload_bytes = sizeof payload};
    struct sona_store_stats stats;
    uint64_t last = 0;

    options.intake_bytes = 32u << 20;
    options.commit_ms = 60000;
    options.commit_records = 1000000;
    struct sona_store *store = fixture_open(&options);
    for (int i = 0; i < 200; i++)
        cr_assert(eq(int, sona_store_append(store, &r, 1, &last), SONA_OK));
    cr_assert(eq(int, sona_store_flush(store, last, 30000, &fixture_diag), SONA_OK));
    sona_store_stats(store, &stats);
    cr_expect(eq(u64, stats.committed, 200));
    cr_expect(eq(u64, stats.groups, 2));
    sona_store_close(&store);
}

Test(store, groups_by_count_and_by_time, .timeout = 50)
{
    struct sona_store_options options = fixture_options();
    struct sona_store_stats stats;

    options.commit_ms = 60000;
    options.commit_records = 64;
    struct sona_store *store = fixture_open(&options);
    fixture_fill(store, 1, 64);
    while (sona_store_positions(store).committed < 64) /* the time alone would take a minute */
        (void)usleep(1000);
    sona_store_close(&store);
    options.commit_ms = 1;
    options.commit_records = 1000000;
    store = fixture_open(&options);
    fixture_fill(store, 65, 65);
    while (sona_store_positions(store).committed < 65)
        (void)usleep(1000);
    sona_store_stats(store, &stats);
    cr_expect(eq(u64, stats.committed, 1));
    sona_store_close(&store);
}

Test(store, says_when_the_intake_log_is_full_and_goes_on_when_it_is_not)
{
    struct sona_store_options options = fixture_options();
    struct sona_store_stats stats;
    uint64_t n = 1;

    options.commit_ms = 60000;
    options.commit_records = 1000000;
    struct sona_store *store = fixture_open(&options);
    while (fixture_append(store, n) == SONA_OK)
        n++;
    cr_expect(eq(int, fixture_append(store, n), SONA_E_FULL));
    sona_store_stats(store, &stats);
    cr_expect(gt(u64, stats.intake_bytes, SONA_STORE_INTAKE_MIN - 4096));
    cr_assert(eq(int, sona_store_flush(store, n - 1, 60000, &fixture_diag), SONA_OK));
    fixture_fill(store, n, n + 100);
    sona_store_close(&store);
    store = fixture_open(&options);
    fixture_expect(store, n + 100);
    sona_store_close(&store);
}

Test(store, without_a_journal_still_counts_and_keeps_generations)
{
    struct sona_store_options options = fixture_options();
    struct sona_store_generation g;
    uint64_t number = 0;
    void *bytes = NULL;

    options.journal_off = true;
    struct sona_store *store = fixture_open(&options);
    fixture_fill(store, 1, 100);
    cr_expect(eq(u64, sona_store_positions(store).appended, 100));
    cr_assert(eq(int,
                 sona_store_generation_save(store, 100, "state", 5, false, &number, &fixture_diag),
                 SONA_OK),
              "%s", fixture_diag.text);
    sona_store_close(&store);
    store = fixture_open(&options);
    cr_assert(eq(int, sona_store_generation_read(store, 0, &g, &bytes, &fixture_diag), SONA_OK));
    cr_expect(eq(int, memcmp(bytes, "state", 5), 0));
    cr_expect(not(g.exact), "nothing can be replayed on top of it");
    fixture_expect(store, 0);
    free(bytes);
    sona_store_close(&store);
}

Test(store, exports_rows_as_json_lines)
{
    struct sona_store_options options = fixture_options();
    struct sona_store *store = fixture_open(&options);
    char *text = NULL;
    size_t size = 0;
    int lines = 0;

    fixture_fill(store, 1, 20);
    cr_assert(eq(int, sona_store_flush(store, 20, 10000, &fixture_diag), SONA_OK));
    FILE *file = open_memstream(&text, &size);
    cr_assert(eq(int, sona_store_export(store, 5, 15, file, &fixture_diag), SONA_OK));
    (void)fclose(file);
    for (size_t i = 0; i < size; i++)
        lines += text[i] == '\n';
    cr_expect(eq(int, lines, 11));
    cr_expect(eq(int, strncmp(text, "{\"position\":5,\"written_ms\":", 27), 0), "%s", text);
    cr_expect(ne(ptr, strstr(text, "\"kind\":\"steps\""), NULL));
    cr_expect(ne(ptr, strstr(text, "\"x\":["), NULL));
    cr_expect(ne(ptr, strstr(text, "\"payload\":\"7061796c6f6164203132\""), NULL), "%s", text);
    free(text);
    sona_store_close(&store);
}
