/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/* Generations, and what becomes of rows behind them: thinned, removed, forgotten. */
#include <math.h>
#include <pthread.h>

#include "sidecar/store/half.h"
#include "tests/sidecar/store/store_fixture.h"

TestSuite(tidy, .init = fixture_setup, .fini = fixture_teardown);

static uint64_t save(struct sona_store *store, uint64_t position)
{
    uint64_t number = 0;
    sona_err err = sona_store_generation_save(store, position, &position, sizeof position, false,
                                              &number, &fixture_diag);

    cr_assert(eq(int, err, SONA_OK), "%s", fixture_diag.text);
    return number;
}

/* Wait for the writer's tidying; the test's time-out is the limit. */
static struct sona_store_stats wait_thinned(struct sona_store *store, uint64_t position)
{
    struct sona_store_stats stats;

    do {
        (void)usleep(1000);
        sona_store_stats(store, &stats);
    } while (stats.thinned_position < position);
    return stats;
}

struct thinned {
    uint64_t exact, sampled, bare, wrong;
    uint64_t until; /* rows up to here are thinned */
    float p;
};

static bool see_thinned(void *context, const struct sona_store_record *record)
{
    struct thinned *t = context;
    struct fixture_record f;

    fixture_make(&f, record->position);
    if (record->position > t->until) {
        t->exact++;
        t->wrong += !fixture_same(record, &f.record) || record->p_sample != 0;
        return true;
    }
    t->sampled += record->x_n > 0;
    t->bare += record->x_n == 0;
    t->wrong += record->p_sample != t->p || record->base_n != 0 || record->id != f.record.id ||
                memcmp(&record->quality, &f.record.quality, 4) != 0;
    for (uint32_t i = 0; i < record->x_n; i++)
        t->wrong += fabsf(record->x[i] - f.x[i]) > 0x1p-12f;
    return true;
}

Test(tidy, rows_behind_the_generation_before_the_last_keep_a_uniform_sample, .timeout = 250)
{
    struct sona_store_options options = fixture_options();
    struct thinned t = {.until = 6000, .p = 0.25f};

    options.sample = t.p;
    struct sona_store *store = fixture_open(&options);
    fixture_fill(store, 1, 10000);
    (void)save(store, 6000);
    (void)save(store, 9000);
    struct sona_store_stats stats = wait_thinned(store, 6000);
    cr_expect(eq(u64, stats.rows_thinned, 6000));
    cr_assert(eq(int, sona_store_replay(store, 1, see_thinned, &t, &fixture_diag), SONA_OK));
    cr_expect(eq(u64, t.exact, 4000), "what the older generation needs is there, bit by bit");
    cr_expect(eq(u64, t.wrong, 0));
    cr_expect(lt(u64, t.sampled, 1700)); /* 1500, and 6 standard deviations of 34 */
    cr_expect(gt(u64, t.sampled, 1300));
    cr_expect(eq(u64, t.sampled + t.bare, 6000));
    cr_expect(eq(u32, fixture_findings(store), 0), "%s", fixture_notices);
    sona_store_close(&store);
}

Test(tidy, generations_are_listed_pinned_and_give_way_in_order, .timeout = 250)
{
    struct sona_store_options options = fixture_options();
    struct sona_store_generation g[8];
    uint32_t n = 0;

    options.generations = 2;
    struct sona_store *store = fixture_open(&options);
    fixture_fill(store, 1, 100);
    cr_expect(eq(u64, save(store, 10), 1));
    cr_expect(eq(int, sona_store_generation_pin(store, 1, true, &fixture_diag), SONA_OK));
    for (uint64_t i = 2; i <= 5; i++)
        cr_expect(eq(u64, save(store, 10 * i), i));
    cr_assert(eq(int, sona_store_generation_list(store, g, 8, &n, &fixture_diag), SONA_OK));
    cr_assert(eq(u32, n, 3));
    cr_expect(eq(u64, g[0].number, 5));
    cr_expect(eq(u64, g[1].number, 4));
    cr_expect(eq(u64, g[2].number, 1));
    cr_expect(g[2].pinned);
    cr_expect(eq(int, sona_store_generation_pin(store, 3, true, &fixture_diag), SONA_E_UNKNOWN_ID));
    cr_expect(eq(int, sona_store_generation_pin(store, 1, false, &fixture_diag), SONA_OK));
    cr_expect(eq(u64, save(store, 100), 6));
    cr_assert(eq(int, sona_store_generation_list(store, g, 8, &n, &fixture_diag), SONA_OK));
    cr_expect(eq(u32, n, 2));
    cr_expect(eq(int, sona_store_generation_save(store, 101, "x", 1, false, NULL, &fixture_diag),
                 SONA_E_RANGE),
              "of records that are not there");
    sona_store_close(&store);
}

Test(tidy, rollback_makes_an_old_generation_the_newest_at_the_journals_end)
{
    struct sona_store_options options = fixture_options();
    struct sona_store_generation g;
    struct fixture_seen seen = {.first = 1, .last = 100};
    uint64_t number = 0, *state = NULL;

    struct sona_store *store = fixture_open(&options);
    fixture_fill(store, 1, 100);
    (void)save(store, 50);
    (void)save(store, 80);
    cr_assert(eq(int, sona_store_generation_rollback(store, 1, &number, &fixture_diag), SONA_OK));
    cr_expect(eq(u64, number, 3));
    sona_store_close(&store);
    store = fixture_open(&options);
    cr_assert(
        eq(int, sona_store_generation_read(store, 0, &g, (void **)&state, &fixture_diag), SONA_OK));
    cr_expect(eq(u64, g.number, 3));
    cr_expect(eq(u64, g.origin, 1));
    cr_expect(eq(u64, g.position, 100), "nothing since is learned again");
    cr_expect(eq(u64, *state, 50));
    cr_expect(eq(int, sona_store_replay(store, 101, fixture_see, &seen, &fixture_diag), SONA_OK));
    cr_expect(eq(u64, seen.rows, 0));
    cr_expect(
        eq(int, sona_store_generation_rollback(store, 9, NULL, &fixture_diag), SONA_E_UNKNOWN_ID));
    free(state);
    sona_store_close(&store);
}

Test(tidy, a_large_generation_comes_back_whole)
{
    struct sona_store_options options = fixture_options();
    struct sona_store *store = fixture_open(&options);
    size_t n = (5u << 20) + 12345;
    uint8_t *state = malloc(n);
    struct sona_store_generation g;
    void *bytes = NULL;

    for (size_t i = 0; i < n; i++)
        state[i] = (uint8_t)(fixture_mix(i / 8, 1) >> i % 8 * 8);
    cr_assert(eq(int, sona_store_generation_save(store, 0, state, n, false, NULL, &fixture_diag),
                 SONA_OK));
    cr_assert(
        eq(int, sona_store_generation_save(store, 0, "", 0, false, NULL, &fixture_diag), SONA_OK),
        "%s", fixture_diag.text);
    cr_assert(eq(int, sona_store_generation_read(store, 1, &g, &bytes, &fixture_diag), SONA_OK));
    cr_expect(eq(u64, g.bytes, n));
    cr_expect(eq(int, memcmp(bytes, state, n), 0));
    free(bytes);
    cr_assert(eq(int, sona_store_generation_read(store, 2, &g, &bytes, &fixture_diag), SONA_OK));
    cr_expect(eq(u64, g.bytes, 0));
    free(bytes);
    free(state);
    sona_store_close(&store);
}

Test(tidy, retention_by_age_removes_only_what_no_resume_needs, .timeout = 250)
{
    struct sona_store_options options = fixture_options();
    struct fixture_seen seen = {.first = 1, .last = 700};
    struct sona_store_stats stats;

    options.retain_ms = 1;
    struct sona_store *store = fixture_open(&options);
    fixture_fill(store, 1, 1000);
    (void)save(store, 700);
    (void)save(store, 900);
    do {
        (void)usleep(1000);
        sona_store_stats(store, &stats);
    } while (stats.first_position < 701);
    cr_expect(eq(u64, stats.first_position, 701));
    cr_expect(
        eq(int, sona_store_replay(store, 700, fixture_see, &seen, &fixture_diag), SONA_E_LIMIT));
    cr_expect(eq(int, sona_store_replay(store, 701, fixture_see, &seen, &fixture_diag), SONA_OK));
    cr_expect(eq(u64, seen.rows, 300));
    cr_expect(eq(u64, seen.wrong, 0));
    sona_store_close(&store);
    store = fixture_open(&options);
    cr_expect(eq(u32, fixture_findings(store), 0), "%s", fixture_notices);
    sona_store_close(&store);
}

/* Far beyond its limit a file loses rows before they are thinned, as many as a group may add. */
Test(tidy, a_file_far_beyond_its_limit_loses_all_that_no_resume_needs, .timeout = 250)
{
    struct sona_store_options options = fixture_options();
    struct fixture_seen seen = {.first = 1, .last = 12000};
    struct sona_store_stats stats;

    struct sona_store *store = fixture_open(&options);
    fixture_fill(store, 1, 13000);
    (void)save(store, 12000);
    (void)save(store, 12500);
    (void)wait_thinned(store, 12000);
    fixture_fill(store, 13001, 16000);
    (void)save(store, 15000);
    sona_store_close(&store);
    options.retain_bytes = 100000;
    store = fixture_open(&options);
    do {
        (void)usleep(1000);
        sona_store_stats(store, &stats);
    } while (stats.first_position < 12501);
    cr_expect(eq(u64, stats.first_position, 12501));
    cr_expect(ge(u64, stats.thinned_position, 12500), "what is gone is not exact");
    seen.last = 12500;
    cr_expect(eq(int, sona_store_replay(store, 12501, fixture_see, &seen, NULL), SONA_OK));
    cr_expect(eq(u64, seen.rows, 3500));
    cr_expect(eq(u64, seen.wrong, 0));
    cr_expect(eq(u32, fixture_findings(store), 0), "%s", fixture_notices);
    sona_store_close(&store);
}

/* A generation alone is more than the limit, and there is no row that could go. */
Test(tidy, a_file_that_is_large_without_rows_stays_as_it_is)
{
    struct sona_store_options options = fixture_options();
    static char state[2u << 20];
    struct sona_store_stats stats;

    options.retain_bytes = 100000;
    struct sona_store *store = fixture_open(&options);
    for (int i = 0; i < 2; i++)
        cr_assert(eq(
            int,
            sona_store_generation_save(store, 0, state, sizeof state, false, NULL, &fixture_diag),
            SONA_OK));
    do { /* as soon as it was measured */
        (void)usleep(1000);
        sona_store_stats(store, &stats);
    } while (stats.used_bytes < sizeof state);
    cr_expect(eq(u64, stats.first_position, 1));
    cr_expect(eq(u64, stats.rows_removed, 0));
    sona_store_close(&store);
}

/* Rows from before a time without a journal are of no use to anybody: they go with their age, and
 * the journal begins behind them all the while. */
Test(tidy, rows_before_a_time_without_a_journal_go_and_the_journal_does_not_begin_with_them,
     .timeout = 250)
{
    struct sona_store_options options = fixture_options();
    struct sona_store_stats stats;

    struct sona_store *store = fixture_open(&options);
    fixture_fill(store, 1, 100);
    sona_store_close(&store);
    options.journal_off = true;
    store = fixture_open(&options);
    fixture_fill(store, 101, 200);
    (void)save(store, 200);
    (void)save(store, 200);
    sona_store_close(&store);
    options.journal_off = false;
    options.retain_ms = 1;
    store = fixture_open(&options);
    do {
        (void)usleep(1000);
        sona_store_stats(store, &stats);
        cr_assert(eq(u64, stats.first_position, 201));
    } while (stats.rows_removed < 100);
    cr_expect(eq(u32, fixture_findings(store), 0), "%s", fixture_notices);
    sona_store_close(&store);
}

/* What f16 cannot hold shows in an export, which JSON has no number for. */
Test(tidy, numbers_that_are_none_come_out_as_null, .timeout = 250)
{
    const float x[] = {70000, -INFINITY, NAN, 1 + 0x1p-11f, 1 + 0x3p-11f, 0x1p-24f, 0x1p-26f, 2};
    struct sona_store_options options = fixture_options();
    const struct sona_store_record r = {.x = x, .x_n = sizeof x / sizeof *x};
    char *text = NULL;
    size_t size = 0;

    options.sample = 1;
    struct sona_store *store = fixture_open(&options);
    cr_assert(eq(int, sona_store_append(store, &r, 1, NULL), SONA_OK));
    fixture_fill(store, 1, 2);
    (void)save(store, 1);
    (void)save(store, 2);
    (void)wait_thinned(store, 1);
    FILE *file = open_memstream(&text, &size);
    cr_assert(eq(int, sona_store_export(store, 1, 1, file, &fixture_diag), SONA_OK));
    (void)fclose(file);
    cr_expect(ne(ptr, strstr(text, "\"x\":[null,null,null,1,1.00195312,5.96046448e-08,0,2]"), NULL),
              "%s", text);
    free(text);
    sona_store_close(&store);
}

static void *save_many(void *store)
{
    for (int i = 0; i < 20; i++)
        cr_assert(
            eq(int, sona_store_generation_save(store, 10, "state", 5, false, NULL, NULL), SONA_OK));
    return NULL;
}

Test(tidy, copies_that_several_ask_for_are_made_one_after_the_other)
{
    struct sona_store_options options = fixture_options();
    struct sona_store_generation g;
    pthread_t other[2];
    uint32_t n = 0;

    options.generations = 1; /* of fewer than two the damaged one would be the last */
    struct sona_store *store = fixture_open(&options);
    fixture_fill(store, 1, 10);
    for (int i = 0; i < 2; i++)
        cr_assert(eq(int, pthread_create(&other[i], NULL, save_many, store), 0));
    (void)save_many(store);
    for (int i = 0; i < 2; i++)
        (void)pthread_join(other[i], NULL);
    cr_assert(eq(int, sona_store_generation_list(store, &g, 1, &n, &fixture_diag), SONA_OK));
    cr_expect(eq(u64, g.number, 60));
    cr_expect(eq(u32, n, 2));
    sona_store_close(&store);
}

/* Whether the bytes are in any file of the store. */
static bool on_disk(const void *bytes, size_t n)
{
    static const char *const suffixes[] = {".db", ".db-wal", ".intake"};
    static uint8_t all[16u << 20];
    bool found = false;

    for (size_t i = 0; i < 3; i++) {
        FILE *file = fopen(fixture_path(suffixes[i]), "rb");

        if (!file)
            continue;
        size_t size = fread(all, 1, sizeof all, file);
        cr_assert(lt(u64, size, sizeof all));
        found = found || memmem(all, size, bytes, n) != NULL;
        (void)fclose(file);
    }
    return found;
}

struct forgotten {
    uint64_t blank, wrong;
};

static bool see_forgotten(void *context, const struct sona_store_record *record)
{
    struct forgotten *t = context;
    struct fixture_record f;

    fixture_make(&f, record->position);
    if (f.record.uid != 1001) {
        t->wrong += !fixture_same(record, &f.record);
        return true;
    }
    t->blank++;
    t->wrong += record->kind != SONA_STORE_forgotten || record->uid != 0 || record->id != 0 ||
                record->x_n != 0 || record->payload_bytes != 0 || record->lane.word[0] != 0;
    return true;
}

Test(tidy, forgetting_a_client_leaves_none_of_its_bytes_in_any_file)
{
    struct sona_store_options options = fixture_options();
    struct sona_store_rule rule = {.by_uid = true, .uid = 1001};
    struct forgotten t = {0};
    struct fixture_record f;
    uint64_t rows = 0;

    struct sona_store *store = fixture_open(&options);
    fixture_fill(store, 1, 1000);
    cr_assert(eq(int, sona_store_flush(store, 1000, 10000, &fixture_diag), SONA_OK));
    fixture_make(&f, 501);
    cr_expect(on_disk(f.x, sizeof f.x));
    cr_assert(eq(int, sona_store_forget(store, &rule, &rows, &fixture_diag), SONA_OK), "%s",
              fixture_diag.text);
    cr_expect(eq(u64, rows, 500));
    for (uint64_t n = 1; n <= 1000; n += 100) {
        fixture_make(&f, n);
        cr_expect(not(on_disk(f.x, sizeof f.x)), "record %llu", (unsigned long long)n);
    }
    fixture_make(&f, 502);
    cr_expect(on_disk(f.x, sizeof f.x), "others stay");
    cr_assert(eq(int, sona_store_replay(store, 1, see_forgotten, &t, &fixture_diag), SONA_OK));
    cr_expect(eq(u64, t.blank, 500));
    cr_expect(eq(u64, t.wrong, 0));
    cr_expect(eq(u32, fixture_findings(store), 0), "%s", fixture_notices);
    sona_store_close(&store);
}

Test(tidy, forgetting_needs_a_rule_and_heeds_all_of_it)
{
    struct sona_store_options options = fixture_options();
    struct sona_store_rule rule = {0};
    uint64_t rows = 0;

    struct sona_store *store = fixture_open(&options);
    fixture_fill(store, 1, 100);
    cr_expect(eq(int, sona_store_forget(store, &rule, &rows, &fixture_diag), SONA_E_RANGE));
    rule = (struct sona_store_rule){.by_tenant = true, .tenant = 3, .by_uid = true, .uid = 1001};
    cr_assert(eq(int, sona_store_forget(store, &rule, &rows, &fixture_diag), SONA_OK));
    cr_expect(eq(u64, rows, 10), "n = 3 mod 5 and odd");
    rule = (struct sona_store_rule){.by_tenant = true, .tenant = 77};
    cr_assert(eq(int, sona_store_forget(store, &rule, NULL, &fixture_diag), SONA_OK));
    rule = (struct sona_store_rule){.by_before = true, .before_ms = 1};
    cr_assert(eq(int, sona_store_forget(store, &rule, &rows, &fixture_diag), SONA_OK));
    cr_expect(eq(u64, rows, 0));
    rule.before_ms = UINT64_MAX;
    cr_assert(eq(int, sona_store_forget(store, &rule, &rows, &fixture_diag), SONA_OK));
    cr_expect(eq(u64, rows, 90), "those that are not forgotten yet");
    sona_store_close(&store);
}

Test(tidy, half_precision_is_the_nearest_even)
{
    for (uint32_t h = 0; h < 0x10000; h++) {
        float value = sona_store_half_to((uint16_t)h);
        float next = sona_store_half_to((uint16_t)(h + 1));

        if (isnan(value)) {
            cr_assert(isnan(sona_store_half_to(sona_store_half_of(value))) != 0);
            continue;
        }
        cr_assert(eq(u32, sona_store_half_of(value), h));
        if ((h & 0x7fff) >= 0x7bff)
            continue;
        float middle = value + (next - value) / 2; /* exact */
        cr_assert(eq(u32, sona_store_half_of(middle), h + (h & 1)), "between %u and the next", h);
        cr_assert(eq(u32, sona_store_half_of(nextafterf(middle, value)), h));
        cr_assert(eq(u32, sona_store_half_of(nextafterf(middle, next)), h + 1));
    }
    cr_expect(eq(u32, sona_store_half_of(65519.99f), 0x7bff));
    cr_expect(eq(u32, sona_store_half_of(65520.0f), 0x7c00));
    cr_expect(eq(u32, sona_store_half_of(-1e30f), 0xfc00));
    cr_expect(eq(u32, sona_store_half_of(-1e-30f), 0x8000));
}
