/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/*
 * Every kind of record that changes the learner, each by itself: what it does is done again to the
 * bit, and without it the state would be another. Time is in the records: a time-out is the outcome
 * that it makes, a tick is the cycle that became due. What changes the intake alone, time-outs and
 * evictions among it, is test_recall.c's.
 */
#include "tests/sidecar/chronicle_fixture.h"

TestSuite(chronicle, .init = fixture_setup, .fini = fixture_teardown);

/* Do what `change` does, after `prepare`; replayed, the journal gives its state and not the one
 * before. */
static void expect_replayed(void (*prepare)(struct scene *), void (*change)(struct scene *))
{
    const struct sona_store_options options = fixture_options();
    struct sona_sidecar_resumed resumed;
    struct sona_sidecar_core again;
    struct scene s;
    size_t n_before, n_after;

    open_scene(&s);
    if (prepare)
        prepare(&s);
    void *before = bytes_of(&s.core, &n_before);
    uint64_t position = s.chronicle.position;
    change(&s);
    cr_assert(gt(u64, s.chronicle.position, position), "it left no record");
    void *after = bytes_of(&s.core, &n_after);
    cr_assert(not(same(&s.core, before, n_before)), "it changed nothing, and proves nothing");
    sona_store_close(&s.chronicle.store);

    struct sona_sidecar_chronicle c = {.dim = DIM, .dim_padded = PADDED};
    cr_assert(eq(int, sona_store_open(&c.store, &options, &fixture_diag), SONA_OK));
    make_core(&s, &again);
    cr_assert(eq(int, sona_sidecar_chronicle_resume(&c, &again, &resumed, &fixture_diag), SONA_OK),
              "%s", fixture_diag.text);
    cr_expect(eq(u64, resumed.replayed, s.chronicle.position));
    cr_expect(same(&again, after, n_after), "what was done again is something else");
    sona_store_close(&c.store);
    sona_sidecar_core_done(&again);
    sona_sidecar_core_done(&s.core);
    free(before);
    free(after);
}

/* ---- joined events ---- */

static void tell_outcome(struct scene *s)
{
    happen(s, SONA_LEARNER_OUTCOME, s->id++, 0.7f);
}
static void tell_query(struct scene *s)
{
    happen(s, SONA_LEARNER_QUERY, s->id++, 0);
}
static void tell_both(struct scene *s)
{
    happen(s, SONA_LEARNER_QUERY_OUTCOME, s->id++, 0.7f);
}
static void take_back(struct scene *s)
{
    happen(s, SONA_LEARNER_REVOKE, FIRST, 0);
}
static void say_otherwise(struct scene *s)
{
    happen(s, SONA_LEARNER_REPLACE, FIRST, 0.6f);
}
static void step(struct scene *s)
{
    happen(s, SONA_LEARNER_STEPS, s->id++, 0.8f);
}
static void hit(struct scene *s)
{
    happen(s, SONA_LEARNER_HIT, s->id++, 0);
}
static void reward(struct scene *s)
{
    happen(s, SONA_LEARNER_BASELINE, s->id++, 0.8f);
}
static void direct(struct scene *s)
{
    happen(s, SONA_LEARNER_GRADIENT, s->id++, 0.8f);
}

#define REPLAYED_AFTER(prepare, name, change) \
    Test(chronicle, name)                     \
    {                                         \
        expect_replayed(prepare, change);     \
    }
#define REPLAYED(name, change) REPLAYED_AFTER(NULL, name, change)
REPLAYED(an_outcome_is_learned_again, tell_outcome)
REPLAYED(a_query_is_seen_again, tell_query)
REPLAYED(a_query_with_its_outcome_is_learned_again, tell_both)
REPLAYED(a_revocation_is_heeded_again, take_back)
REPLAYED(a_correction_is_heeded_again, say_otherwise)
REPLAYED(steps_train_their_layer_again, step)
REPLAYED(a_search_is_noted_again, hit)
REPLAYED(a_reward_about_nothing_moves_the_baseline_again, reward)
REPLAYED(a_direction_moves_the_adapter_again, direct)

/* ---- cycles ---- */

static void start_cycle(struct scene *s)
{
    cr_assert(sona_sidecar_chronicle_cycle(&s->chronicle, SONA_STORE_cycle_start, s->now_ms));
    cr_assert(sona_sidecar_core_cycle_start(&s->core, s->now_ms));
}

/* Events come while it runs, as from the thread that runs it. */
static void run_cycle(struct scene *s)
{
    sona_cycle_report ignored;

    start_cycle(s);
    tell_outcome(s);
    sona_learner_cycle_run(s->core.job);
    tell_outcome(s);
    cr_assert(sona_sidecar_chronicle_cycle(&s->chronicle, SONA_STORE_cycle_install, s->now_ms));
    sona_sidecar_core_cycle_install(&s->core, &ignored);
    cr_assert(ignored.ran);
}

REPLAYED(a_cycle_that_had_begun_has_begun_again, start_cycle)
REPLAYED(a_cycle_is_installed_between_the_same_two_events_again, run_cycle)

/* ---- what people change ---- */

static void command(struct scene *s, uint32_t what, const char *route)
{
    struct sona_sidecar_command c = {
        .request = {.what = what,
                    .amount = 0.5f,
                    .mode = SONA_MODE_OBSERVE,
                    .rule = {.min_quality = 0.5f, .min_accesses = UINT64_MAX},
                    .spec = {.cost = 0.25f, .prior_quality = 0.5f, .prior_weight = 1}}};

    (void)snprintf(c.request.spec.name, sizeof c.request.spec.name, "%s", route);
    tell(s, &c);
}

static void add_route(struct scene *s)
{
    command(s, SONA_CONTROL_ROUTE_ADD, "c");
}
static void retire_route(struct scene *s)
{
    command(s, SONA_CONTROL_ROUTE_RETIRE, "a");
}
static void observe_route(struct scene *s)
{
    command(s, SONA_CONTROL_ROUTE_MODE, "a");
}
static void price_route(struct scene *s)
{
    command(s, SONA_CONTROL_ROUTE_COST, "a");
}
static void disable(struct scene *s)
{
    command(s, SONA_CONTROL_DISABLE, "");
    tell_outcome(s); /* counted, not learned */
}
static void decay(struct scene *s)
{
    command(s, SONA_CONTROL_PATTERNS_DECAY, "");
}
static void prune(struct scene *s)
{
    command(s, SONA_CONTROL_PATTERNS_PRUNE, "");
}
static void merge(struct scene *s)
{
    command(s, SONA_CONTROL_PATTERNS_CONSOLIDATE, "");
}
static void end_task(struct scene *s)
{
    command(s, SONA_CONTROL_EWC_BOUNDARY, "");
}
static void end_two(struct scene *s)
{
    end_task(s);
    tell_outcome(s);
    end_task(s);
}
static void merge_anchors(struct scene *s)
{
    command(s, SONA_CONTROL_EWC_CONSOLIDATE, "");
}

/* As by SIGHUP: settings, a new route, another cost. */
static void configure(struct scene *s)
{
    static struct sona_sidecar_change change;

    change = (struct sona_sidecar_change){.config = s->config, .n_routes = 2};
    change.config.micro_lora_lr = 0.5f;
    change.route[0] = (sona_route_spec){.name = "b", .cost = 0.75f};
    change.route[1] = (sona_route_spec){.name = "d", .prior_quality = 0.5f, .prior_weight = 1};
    tell(s, &(struct sona_sidecar_command){.request = {.what = SONA_SIDECAR_CONFIGURE},
                                           .change = &change});
    tell_outcome(s);
}

/* The same, as it was written before there was `record_share`. */
static void configure_of_old(struct scene *s)
{
    static unsigned char payload[sizeof(struct sona_sidecar_change)];
    static struct sona_sidecar_change change;
    size_t keys = offsetof(sona_config, record_share), routes = 2 * sizeof *change.route;
    struct sona_store_record record = {.kind = SONA_STORE_config,
                                       .payload = payload,
                                       .payload_bytes =
                                           (uint32_t)(keys + sizeof change.n_routes + routes)};

    change = (struct sona_sidecar_change){.config = s->config, .n_routes = 2};
    change.config.micro_lora_lr = 0.5f;
    change.route[0] = (sona_route_spec){.name = "b", .cost = 0.75f};
    change.route[1] = (sona_route_spec){.name = "d", .prior_quality = 0.5f, .prior_weight = 1};
    memcpy(payload, &change.config, keys);
    memcpy(payload + keys, &change.n_routes, sizeof change.n_routes);
    memcpy(payload + keys + sizeof change.n_routes, change.route, routes);
    cr_assert(eq(int, sona_store_append(s->chronicle.store, &record, 1, &s->chronicle.position),
                 SONA_OK));
    sona_sidecar_command_apply(
        s->core.learner, &(struct sona_sidecar_command){.request = {.what = SONA_SIDECAR_CONFIGURE},
                                                        .change = &change});
    tell_outcome(s);
}

/* The same adapters, but for one number. */
static void import_adapters(struct scene *s)
{
    struct sona_sidecar_adapters *adapters = sona_sidecar_adapters_make(&s->layout);

    cr_assert(ne(ptr, adapters, NULL));
    sona_learner_adapters_copy(s->core.learner, adapters->value);
    adapters->value[adapters->n - 1] += 0.125f;
    cr_assert(sona_sidecar_chronicle_adapters(&s->chronicle, adapters));
    cr_assert(eq(int, sona_learner_adapters_take(s->core.learner, adapters->value), SONA_OK));
    free(adapters);
}

/* What a cycle has found, once more. */
static void import_patterns(struct scene *s)
{
    struct sona_sidecar_patterns *bank =
        sona_sidecar_patterns_make(&s->layout, s->layout.bank.count);
    sona_bank_report report;

    cr_assert(ne(ptr, bank, NULL));
    bank->n = sona_learner_bank_rows(s->core.learner, bank->row);
    cr_assert(gt(u32, bank->n, 0));
    bank->n = 1;
    cr_assert(sona_sidecar_chronicle_patterns(&s->chronicle, bank));
    cr_assert(eq(int, sona_learner_bank_add(s->core.learner, bank->row, 1, &report), SONA_OK));
    free(bank);
}

REPLAYED(adapters_are_imported_again, import_adapters)
REPLAYED_AFTER(run_cycle, patterns_are_imported_again, import_patterns)
REPLAYED(a_route_is_added_again, add_route)
REPLAYED(a_route_is_retired_again, retire_route)
REPLAYED(a_route_has_its_mode_again, observe_route)
REPLAYED(a_route_has_its_cost_again, price_route)
REPLAYED(learning_is_switched_off_again, disable)
/* There are patterns after a cycle only. */
REPLAYED_AFTER(run_cycle, patterns_decay_again, decay)
REPLAYED_AFTER(run_cycle, patterns_are_pruned_again, prune)
REPLAYED_AFTER(run_cycle, patterns_are_merged_again, merge)
REPLAYED(a_task_ends_again, end_task)
REPLAYED_AFTER(end_two, anchors_are_merged_again, merge_anchors)
REPLAYED(a_changed_configuration_is_changed_again, configure)
REPLAYED(a_change_from_before_record_share_is_changed_again, configure_of_old)

/* ---- and one that is missing ---- */

Test(chronicle, a_record_that_makes_no_sense_is_named_and_not_passed_over)
{
    const struct sona_store_options options = fixture_options();
    struct sona_sidecar_core again;
    struct sona_sidecar_resumed resumed;
    struct scene s;

    open_scene(&s);
    /* An install without its start. */
    cr_assert(sona_sidecar_chronicle_cycle(&s.chronicle, SONA_STORE_cycle_install, s.now_ms));
    uint64_t bad = s.chronicle.position;
    sona_store_close(&s.chronicle.store);
    struct sona_sidecar_chronicle c = {.dim = DIM, .dim_padded = PADDED};
    cr_assert(eq(int, sona_store_open(&c.store, &options, &fixture_diag), SONA_OK));
    make_core(&s, &again);
    cr_assert(
        eq(int, sona_sidecar_chronicle_resume(&c, &again, &resumed, &fixture_diag), SONA_E_FORMAT));
    char number[32];
    (void)snprintf(number, sizeof number, "record %llu ", (unsigned long long)bad);
    cr_expect(ne(ptr, strstr(fixture_diag.text, number), NULL), "%s", fixture_diag.text);
    sona_store_close(&c.store);
    sona_sidecar_core_done(&again);
    sona_sidecar_core_done(&s.core);
}

/* A payload of the journal as it may be after other hands: words first, bytes behind. */
static struct {
    uint64_t n, at;
    unsigned char rest[60000];
} payload;

/* The record is refused, named, and the learner as before. */
static void expect_refused(struct sona_sidecar_replay *r, const char *why,
                           const struct sona_store_record *record)
{
    struct sona_store_record at = *record;
    size_t n;
    void *before = bytes_of(r->core, &n);

    at.position = 4711;
    r->bad = 0;
    cr_expect(not(sona_sidecar_replay_record(r, &at)), "%s: kind %u, %u floats, %u bytes", why,
              at.kind, at.x_n, at.payload_bytes);
    cr_expect(eq(u64, r->bad, 4711), "%s", why);
    cr_expect(same(r->core, before, n), "%s", why);
    free(before);
}

static struct sona_store_record part_of(uint32_t kind, uint64_t n, uint64_t at, uint32_t bytes)
{
    payload.n = n;
    payload.at = at;
    return (struct sona_store_record){
        .kind = kind, .payload = &payload, .payload_bytes = 16 + bytes};
}

Test(chronicle, a_record_of_the_wrong_shape_is_refused_and_changes_nothing)
{
    static float x[PADDED];
    struct sona_sidecar_replay r;
    struct scene s;

    open_scene(&s);
    cr_assert(
        eq(int, sona_sidecar_replay_begin(&r, &s.chronicle, &s.core, &fixture_diag), SONA_OK));
    const struct sona_store_record refused[] = {
        {.kind = SONA_STORE_outcome, .x = x, .x_n = DIM - 1},
        {.kind = SONA_STORE_query, .x = x, .x_n = DIM, .base = x, .base_n = DIM},
        {.kind = SONA_STORE_steps, .x = x, .x_n = DIM},
        {.kind = SONA_STORE_query, .x = x, .x_n = DIM, .p_sample = 0.5f}, /* thinned: not exact */
        {.kind = SONA_STORE_tick},
        {.kind = 63},
        {.kind = SONA_STORE_command, .payload = &payload, .payload_bytes = 4},
        {.kind = SONA_STORE_config, .payload = &payload, .payload_bytes = 4},
        {.kind = SONA_STORE_config, .payload = &payload, .payload_bytes = sizeof payload},
        {.kind = SONA_STORE_adapters, .payload = &payload, .payload_bytes = 15},
        {.kind = SONA_STORE_adapters, .payload = &payload, .payload_bytes = sizeof payload},
        {.kind = SONA_STORE_patterns, .payload = &payload, .payload_bytes = 15},
        {.kind = SONA_STORE_patterns, .payload = &payload, .payload_bytes = sizeof payload},
        {.kind = SONA_STORE_cycle_install},
    };
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++)
        expect_refused(&r, "of the table", &refused[i]);
    const uint64_t floats = sona_learner_adapters_floats(&s.layout.geometry);
    const uint32_t row = (uint32_t)s.layout.bank.stride;
    struct sona_store_record part = part_of(SONA_STORE_adapters, floats + 1, 0, 64);
    expect_refused(&r, "adapters of another geometry", &part);
    part = part_of(SONA_STORE_adapters, floats, floats, 0);
    expect_refused(&r, "adapters beyond the end", &part);
    part = part_of(SONA_STORE_adapters, floats, 0, 64);
    expect_refused(&r, "adapters cut short", &part);
    part = part_of(SONA_STORE_patterns, SONA_SIDECAR_PATTERNS_BYTES_MAX + 1, 0, 64);
    expect_refused(&r, "more patterns than a journal takes", &part);
    part = part_of(SONA_STORE_patterns, row + 1, 0, row + 1);
    expect_refused(&r, "half a pattern", &part);
    part = part_of(SONA_STORE_patterns, row, row, 0);
    expect_refused(&r, "patterns beyond the end", &part);
    part = part_of(SONA_STORE_patterns, row, 0, row - 1);
    expect_refused(&r, "a pattern cut short", &part);
    sona_sidecar_replay_end(&r);
    sona_store_close(&s.chronicle.store);
    sona_sidecar_core_done(&s.core);
}

/* The power failed between two parts: nobody was answered, the rest is not missed. */
Test(chronicle, parts_without_their_beginning_are_passed_over)
{
    struct sona_sidecar_replay r;
    struct scene s;
    size_t n;

    open_scene(&s);
    void *before = bytes_of(&s.core, &n);
    cr_assert(
        eq(int, sona_sidecar_replay_begin(&r, &s.chronicle, &s.core, &fixture_diag), SONA_OK));
    const uint64_t floats = sona_learner_adapters_floats(&s.layout.geometry);
    const uint32_t row = (uint32_t)s.layout.bank.stride;
    struct sona_store_record part = part_of(SONA_STORE_adapters, floats, floats - 1, 4);
    cr_expect(sona_sidecar_replay_record(&r, &part));
    part = part_of(SONA_STORE_patterns, 2 * row, row, row);
    cr_expect(sona_sidecar_replay_record(&r, &part));
    cr_expect(eq(u64, r.bad, 0));
    cr_expect(same(&s.core, before, n));
    sona_sidecar_replay_end(&r);
    sona_store_close(&s.chronicle.store);
    sona_sidecar_core_done(&s.core);
    free(before);
}

Test(chronicle, what_came_from_files_is_numbered_apart_and_learned_again)
{
    const struct sona_store_options options = fixture_options();
    const struct sona_store_import imports[2] = {{.key = 7}, {.key = 8, .source = 3}};
    struct event e[2];
    struct sona_sidecar_joined *joined[2];
    struct sona_sidecar_resumed resumed;
    struct sona_sidecar_core again;
    struct scene s;
    size_t n;

    open_scene(&s);
    for (uint32_t k = 0; k < 2; k++) {
        e[k] = (struct event){.joined = {.kind = SONA_LEARNER_QUERY_OUTCOME,
                                         .id = 1000 + k,
                                         .now_ms = s.now_ms += 10,
                                         .route = k,
                                         .quality = 0.75f,
                                         .propensity = 0.5f}};
        e[k].x[k] = 1;
        joined[k] = &e[k].joined;
    }
    uint64_t events = s.chronicle.events;
    cr_assert(sona_sidecar_chronicle_imports(&s.chronicle, joined, imports, 2));
    for (uint32_t k = 0; k < 2; k++) {
        sona_learner_imported(s.core.learner);
        (void)sona_sidecar_core_learn(&s.core, joined[k]);
    }
    cr_expect(eq(u64, s.chronicle.imports, 2));
    cr_expect(eq(u64, s.chronicle.events, events), "no event of a client");
    s.chronicle.every = true;
    cr_expect(sona_sidecar_chronicle_imports_kept(&s.chronicle, s.chronicle.position));
    cr_expect(sona_sidecar_chronicle_imports_known(&s.chronicle, s.chronicle.position));
    cr_expect(not(sona_sidecar_chronicle_imports_known(&s.chronicle, s.chronicle.position + 1)));
    void *after = bytes_of(&s.core, &n);
    sona_store_close(&s.chronicle.store);
    struct sona_sidecar_chronicle c = {.dim = DIM, .dim_padded = PADDED};
    cr_assert(eq(int, sona_store_open(&c.store, &options, &fixture_diag), SONA_OK));
    make_core(&s, &again);
    cr_assert(eq(int, sona_sidecar_chronicle_resume(&c, &again, &resumed, &fixture_diag), SONA_OK));
    cr_expect(eq(u64, c.imports, 2));
    cr_expect(same(&again, after, n));
    sona_store_close(&c.store);
    sona_sidecar_core_done(&again);
    sona_sidecar_core_done(&s.core);
    free(after);
}

Test(chronicle, without_a_journal_everything_is_taken_but_what_came_from_files)
{
    struct sona_sidecar_chronicle c = {.dim = DIM, .dim_padded = PADDED};
    const struct sona_store_import import = {.key = 7};
    struct event e = {.joined = {.kind = SONA_LEARNER_QUERY_OUTCOME}};
    struct sona_sidecar_joined *joined = &e.joined;
    struct sona_sidecar_resumed resumed = {.generation = 77};
    struct scene s;

    open_scene(&s);
    struct sona_sidecar_adapters *adapters = sona_sidecar_adapters_make(&s.layout);
    struct sona_sidecar_patterns *patterns = sona_sidecar_patterns_make(&s.layout, 1);
    patterns->n = 1;
    cr_expect(eq(u32, sona_sidecar_chronicle_events(&c, &joined, 1), 1));
    cr_expect(sona_sidecar_chronicle_cycle(&c, SONA_STORE_cycle_start, 1));
    cr_expect(sona_sidecar_chronicle_adapters(&c, adapters));
    cr_expect(sona_sidecar_chronicle_patterns(&c, patterns));
    cr_expect(not(sona_sidecar_chronicle_imports(&c, &joined, &import, 1)), "it would come twice");
    cr_expect(eq(u64, c.imports, 0));
    cr_expect(
        eq(int, sona_sidecar_chronicle_resume(&c, &s.core, &resumed, &fixture_diag), SONA_OK));
    cr_expect(eq(u64, resumed.generation, 0));
    free(adapters);
    free(patterns);
    sona_store_close(&s.chronicle.store);
    sona_sidecar_core_done(&s.core);
}
