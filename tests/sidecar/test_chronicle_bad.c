/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/* A journal that is full, a state that does not load, records from other hands, and no memory: what
 * was not taken is not learned, what cannot be learned is named. */
#include <errno.h>

#include "sidecar/parts.h"
#include "tests/sidecar/chronicle_fixture.h"
#include "tests/support/wrapped.h"

TestSuite(chronicle_bad, .init = fixture_setup, .fini = fixture_teardown);

static void close_scene(struct scene *s)
{
    sona_store_close(&s->chronicle.store);
    sona_sidecar_core_done(&s->core);
}

/* A journal whose log is full until somebody flushes it. */
static void open_full(struct scene *s)
{
    struct sona_store_options options = fixture_options();
    static char payload[SONA_STORE_PAYLOAD_MAX];
    struct sona_store_record r = {.kind = SONA_STORE_query};

    open_scene(s);
    sona_store_close(&s->chronicle.store);
    options.commit_ms = 60000;
    options.commit_records = 1000000;
    cr_assert(eq(int, sona_store_open(&s->chronicle.store, &options, &fixture_diag), SONA_OK));
    for (uint32_t bytes = sizeof payload; bytes > 0; bytes /= 2) {
        r.payload = payload;
        r.payload_bytes = bytes;
        while (sona_store_append(s->chronicle.store, &r, 1, NULL) == SONA_OK)
            continue;
    }
    r.payload_bytes = 0;
    while (sona_store_append(s->chronicle.store, &r, 1, NULL) == SONA_OK)
        continue;
}

Test(chronicle_bad, what_a_full_journal_does_not_take_waits_and_is_not_done)
{
    const struct sona_store_import import = {.key = 7};
    struct event e = {.joined = {.kind = SONA_LEARNER_QUERY_OUTCOME}};
    struct sona_sidecar_joined *joined = &e.joined;
    struct scene s;
    size_t n;

    open_full(&s);
    void *before = bytes_of(&s.core, &n);
    const uint64_t position = s.chronicle.position, events = s.chronicle.events;
    struct sona_sidecar_adapters *adapters = sona_sidecar_adapters_make(&s.layout);
    sona_config other = s.config;

    other.micro_lora_lr = 0.5f;
    cr_expect(eq(u32, sona_sidecar_chronicle_events(&s.chronicle, &joined, 1), 0));
    cr_expect(s.chronicle.waits);
    cr_expect(not(sona_sidecar_chronicle_cycle(&s.chronicle, SONA_STORE_cycle_start, 1)));
    cr_expect(not(sona_sidecar_chronicle_adapters(&s.chronicle, adapters)));
    cr_expect(not(sona_sidecar_chronicle_imports(&s.chronicle, &joined, &import, 1)));
    cr_expect(eq(int,
                 sona_sidecar_chronicle_configure(&s.chronicle, s.core.learner, &other, false,
                                                  &fixture_diag),
                 SONA_E_SYSTEM));
    cr_expect(ne(ptr, strstr(fixture_diag.text, "cannot be written to the journal"), NULL));
    cr_expect(eq(u64, s.chronicle.position, position));
    cr_expect(eq(u64, s.chronicle.events, events));
    cr_expect(eq(u64, s.chronicle.imports, 0));
    cr_expect(same(&s.core, before, n));
    uint64_t last = sona_store_positions(s.chronicle.store).appended;
    cr_assert(eq(int, sona_store_flush(s.chronicle.store, last, 30000, &fixture_diag), SONA_OK));
    cr_expect(eq(u32, sona_sidecar_chronicle_events(&s.chronicle, &joined, 1), 1));
    cr_expect(not(s.chronicle.waits));
    cr_expect(eq(u64, s.chronicle.position, last + 1));
    free(adapters);
    free(before);
    close_scene(&s);
}

Test(chronicle_bad, without_memory_nothing_is_written_and_nothing_changes)
{
    struct sona_sidecar_replay r;
    struct scene s;
    size_t n;

    open_scene(&s);
    void *before = bytes_of(&s.core, &n);
    const uint64_t position = s.chronicle.position;
    struct sona_sidecar_adapters *adapters = sona_sidecar_adapters_make(&s.layout);
    sona_config other = s.config;

    other.micro_lora_lr = 0.5f;
    wrapped_fail("calloc", 0, 1, ENOMEM);
    cr_expect(eq(int,
                 sona_sidecar_chronicle_configure(&s.chronicle, s.core.learner, &other, false,
                                                  &fixture_diag),
                 SONA_E_MEMORY));
    wrapped_fail("malloc", 0, 1, ENOMEM);
    cr_expect(not(sona_sidecar_chronicle_adapters(&s.chronicle, adapters)));
    cr_expect(eq(u64, s.chronicle.position, position));
    struct sona_sidecar_patterns *none = sona_sidecar_patterns_make(&s.layout, 1);
    wrapped_fail("malloc", 0, 1, ENOMEM);
    cr_expect(sona_sidecar_chronicle_patterns(&s.chronicle, none), "there is nothing to write");
    wrapped_fail("malloc", 0, 0, 0);
    free(none);
    static const char *const calls[] = {"aligned_alloc", "malloc"};
    for (int i = 0; i < 2; i++) {
        uint64_t replayed;

        wrapped_fail(calls[i], 0, 1, ENOMEM);
        cr_expect(eq(int,
                     sona_sidecar_chronicle_replay(&s.chronicle, &s.core, &replayed, &fixture_diag),
                     SONA_E_MEMORY),
                  "%s", calls[i]);
        cr_expect(eq(u32, wrapped_failed(calls[i]), 1), "%s", calls[i]);
    }
    cr_assert(
        eq(int, sona_sidecar_replay_begin(&r, &s.chronicle, &s.core, &fixture_diag), SONA_OK));
    struct {
        uint64_t n, at;
        unsigned char rest[4096];
    } payload = {.n = sona_learner_adapters_floats(&s.layout.geometry)};
    struct sona_store_record part = {.kind = SONA_STORE_adapters,
                                     .position = 4711,
                                     .payload = &payload,
                                     .payload_bytes = 16 + 4 * (uint32_t)payload.n};
    cr_assert(lt(u64, 4 * payload.n, sizeof payload.rest));
    wrapped_fail("calloc", 0, 1, ENOMEM);
    cr_expect(not(sona_sidecar_replay_record(&r, &part)));
    cr_expect(eq(u64, r.bad, 4711));
    part.kind = SONA_STORE_patterns;
    payload.n = s.layout.bank.stride;
    part.payload_bytes = 16 + (uint32_t)payload.n;
    wrapped_fail("aligned_alloc", 0, 1, ENOMEM);
    cr_expect(not(sona_sidecar_replay_record(&r, &part)));
    cr_expect(eq(u32, wrapped_failed("aligned_alloc"), 1));
    cr_expect(same(&s.core, before, n));
    sona_sidecar_replay_end(&r);
    free(adapters);
    free(before);
    close_scene(&s);
}

/* Parts of the right length, of values that are not ours. */
Test(chronicle_bad, parts_of_another_geometry_or_of_another_value_are_refused)
{
    static struct {
        uint64_t n, at;
        unsigned char rest[SONA_SIDECAR_PART_BYTES];
    } payload;
    struct sona_store_record part = {.position = 4711, .payload = &payload};
    struct sona_sidecar_replay r;
    struct scene s;

    open_scene(&s);
    const uint64_t row = s.layout.bank.stride;
    cr_assert(
        eq(int, sona_sidecar_replay_begin(&r, &s.chronicle, &s.core, &fixture_diag), SONA_OK));
    part.kind = SONA_STORE_adapters;
    payload.n = sona_learner_adapters_floats(&s.layout.geometry) - 1;
    part.payload_bytes = 16 + 4 * (uint32_t)payload.n;
    cr_expect(not(sona_sidecar_replay_record(&r, &part)));
    part.kind = SONA_STORE_patterns;
    payload.n = (SONA_SIDECAR_PATTERNS_BYTES_MAX / row + 1) * row;
    part.payload_bytes = sizeof payload;
    cr_expect(not(sona_sidecar_replay_record(&r, &part)), "more than a journal takes");
    payload.n = (2 * SONA_SIDECAR_PART_BYTES / row + 1) * row;
    cr_expect(sona_sidecar_replay_record(&r, &part), "the first of three");
    payload.n += row;
    payload.at = SONA_SIDECAR_PART_BYTES;
    cr_expect(sona_sidecar_replay_record(&r, &part), "of another, whose first is missing");
    cr_expect(eq(u64, r.pattern_bytes, SONA_SIDECAR_PART_BYTES));
    sona_sidecar_replay_end(&r);
    close_scene(&s);
}

Test(chronicle_bad, a_change_that_says_other_routes_than_it_has_is_refused)
{
    static struct sona_sidecar_change change;
    struct sona_store_record record = {
        .kind = SONA_STORE_config,
        .position = 4711,
        .payload = &change,
        .payload_bytes = offsetof(struct sona_sidecar_change, route) + sizeof(sona_route_spec)};
    static const uint32_t wrong[] = {0, 2, SONA_ROUTES_MAX + 1, UINT32_MAX};
    struct sona_sidecar_replay r;
    struct scene s;
    size_t n;

    open_scene(&s);
    void *before = bytes_of(&s.core, &n);
    cr_assert(
        eq(int, sona_sidecar_replay_begin(&r, &s.chronicle, &s.core, &fixture_diag), SONA_OK));
    change.config = s.config;
    change.config.micro_lora_lr = 0.5f;
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        change.n_routes = wrong[i];
        cr_expect(not(sona_sidecar_replay_record(&r, &record)), "%u", wrong[i]);
        cr_expect(eq(u64, r.bad, 4711));
    }
    cr_expect(same(&s.core, before, n));
    static const uint32_t lessons[] = {SONA_STORE_start, SONA_STORE_rollback, SONA_STORE_forgotten};
    for (size_t i = 0; i < 3; i++) { /* whose lesson is in a generation */
        const struct sona_store_record r1 = {.kind = lessons[i], .position = 5000 + i};

        cr_expect(sona_sidecar_replay_record(&r, &r1), "kind %u", lessons[i]);
        cr_expect(eq(u64, s.chronicle.position, 5000 + i));
    }
    cr_expect(same(&s.core, before, n));
    sona_sidecar_replay_end(&r);
    free(before);
    close_scene(&s);
}

/* ---- which generation it goes on from ---- */

static sona_err resume(struct scene *s, struct sona_sidecar_resumed *ret)
{
    struct sona_sidecar_core again;

    make_core(s, &again);
    sona_err err = sona_sidecar_chronicle_resume(&s->chronicle, &again, ret, &fixture_diag);
    sona_sidecar_core_done(&again);
    return err;
}

static void save(struct scene *s, const void *bytes, size_t n)
{
    cr_assert(eq(int,
                 sona_store_generation_save(s->chronicle.store, s->chronicle.position, bytes, n,
                                            true, NULL, &fixture_diag),
                 SONA_OK));
}

Test(chronicle_bad, the_newest_state_that_loads_is_gone_on_from_over_gaps_and_nonsense)
{
    const struct sona_store_options options = fixture_options();
    struct sona_sidecar_resumed resumed;
    struct scene s;
    size_t n;

    open_scene(&s);
    void *bytes = bytes_of(&s.core, &n);
    save(&s, "nonsense", 8);
    cr_expect(eq(int, resume(&s, &resumed), SONA_E_FORMAT), "there is no other");
    save(&s, bytes, n);
    save(&s, "nonsense", 8);
    save(&s, "nonsense", 8);
    save(&s, "nonsense", 8);
    sona_store_close(&s.chronicle.store);
    fixture_sql("DELETE FROM generation WHERE number=3");
    fixture_sql("UPDATE part SET data=x'00' WHERE id>>12=4");
    cr_assert(eq(int, sona_store_open(&s.chronicle.store, &options, &fixture_diag), SONA_OK));
    cr_assert(eq(int, resume(&s, &resumed), SONA_OK), "%s", fixture_diag.text);
    cr_expect(eq(u64, resumed.generation, 2));
    cr_expect(eq(u32, resumed.passed, 2), "the gap is none that was passed");
    wrapped_fail("malloc", 0, 1, ENOMEM);
    cr_expect(eq(int, resume(&s, &resumed), SONA_E_MEMORY), "which says nothing of the state");
    free(bytes);
    close_scene(&s);
}

/* ---- durability "every" ---- */

Test(chronicle_bad, with_durability_every_a_sync_is_waited_for_where_it_was_chosen)
{
    struct scene s;

    open_scene(&s);
    const uint64_t beyond = s.chronicle.position + 100;
    cr_expect(sona_sidecar_chronicle_imports_kept(&s.chronicle, beyond), "nobody waits");
    s.chronicle.every = true;
    cr_expect(not(sona_sidecar_chronicle_imports_kept(&s.chronicle, beyond)), "it is not there");
    cr_expect(s.chronicle.waits);
    cr_expect(sona_sidecar_chronicle_imports_kept(&s.chronicle, s.chronicle.position));
    cr_expect(not(s.chronicle.waits));
    close_scene(&s);
}
