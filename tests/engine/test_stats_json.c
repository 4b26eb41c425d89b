/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/* Statistics as JSON, read back by a parser that is not ours. */
#include <locale.h>
#include <math.h>

#include <jansson.h>

#include "tests/engine/engine_fixture.h"
#include "tests/promised.h"

static json_t *read_back(const char *text)
{
    json_error_t error;
    json_t *o = json_loads(text, JSON_REJECT_DUPLICATES, &error);

    cr_assert(ne(ptr, o, NULL), "%s at %d: %s", error.text, error.column, text);
    return o;
}

static json_t *engine_json(const sona_engine *engine)
{
    char text[SONA_STATS_JSON_MAX];
    size_t bytes = 0;

    cr_assert(eq(int, sona_engine_stats_json(engine, text, sizeof text, &bytes), SONA_OK));
    cr_assert(eq(sz, bytes, strlen(text) + 1));
    return read_back(text);
}

static double number(const json_t *o, const char *key)
{
    const json_t *value = json_object_get(o, key);

    bool found = json_is_number(value);

    cr_assert(found, "%s", key);
    return json_number_value(value);
}

static bool is_true(const json_t *o, const char *key)
{
    bool found = json_is_boolean(json_object_get(o, key));

    cr_assert(found, "%s", key);
    return json_is_true(json_object_get(o, key));
}

/* Three decisions with outcomes of quality 0.9, 0.9 and 0.2, and one that waits; one trajectory. */
static void some_life(sona_engine *engine)
{
    static const float qualities[] = {0.9f, 0.9f, 0.2f};
    struct dice dice = {.state = 99};
    sona_decision decision;
    uint64_t id;
    float x[DIM];

    for (int i = 0; i < 4; i++) {
        query(x, 1, &dice);
        cr_assert(eq(int, sona_engine_decide(engine, x, DIM, NULL, 0, &decision), 0));
        if (i < 3)
            cr_assert(eq(int,
                         sona_engine_outcome(engine, decision.id, qualities[i],
                                             i == 2 ? 0 : 100 + 200 * (uint32_t)i, 0),
                         0));
    }
    cr_assert(eq(int, sona_engine_begin(engine, x, DIM, 0, &id), 0));
    cr_assert(eq(int, sona_engine_end(engine, id, 0.6f, 0), 0));
}

Test(stats_json, every_counter_and_every_name_of_the_seeds_is_there)
{
    sona_engine *engine = engine_open();
    json_t *o = engine_json(engine);

    for (int c = 0; c < SONA_COUNTER_COUNT; c++) {
        bool found = json_is_integer(json_object_get(o, sona_counter_name((sona_counter)c)));

        cr_assert(found, "%s", sona_counter_name((sona_counter)c));
    }
    for (size_t i = 0; i < sizeof promised_statistics / sizeof *promised_statistics; i++)
        cr_assert(ne(ptr, json_object_get(o, promised_statistics[i]), NULL), "%s",
                  promised_statistics[i]);
    json_decref(o);
    sona_engine_destroy(&engine);
}

Test(stats_json, the_names_of_the_seeds_say_what_happened)
{
    sona_engine *engine = engine_open();
    sona_stats stats;
    json_t *o;

    some_life(engine);
    o = engine_json(engine);
    sona_engine_stats(engine, &stats);
    cr_assert(eq(dbl, number(o, "trajectories"), 1.0));
    cr_assert(eq(dbl, number(o, "trajectories_recorded"), 1.0));
    cr_assert(eq(dbl, number(o, "total_requests"), 5.0));
    cr_assert(eq(dbl, number(o, "trajectories_buffered"), 1.0)); /* the decision that waits */
    cr_assert(eq(dbl, number(o, "trajectories_dropped"), 0.0));
    cr_assert(eq(dbl, number(o, "buffer_success_rate"), 1.0));
    cr_assert(eq(dbl, number(o, "positive_feedback"), 3.0));
    cr_assert(eq(dbl, number(o, "negative_feedback"), 1.0));
    cr_assert(eq(dbl, number(o, "feedback_ratio"), 0.75));
    cr_assert(eq(dbl, number(o, "avg_latency_us"), 200.0)); /* of the two that told one */
    cr_assert(
        eq(dbl, number(o, "micro_updates"), (double)stats.counter[SONA_COUNTER_micro_updates]));
    cr_assert(gt(dbl, number(o, "micro_updates"), 0.0));
    cr_assert(eq(dbl, number(o, "mean_quality"), stats.mean_quality)); /* to the last bit */
    cr_assert(eq(dbl, number(o, "step"), (double)stats.step));
    json_decref(o);
    sona_engine_destroy(&engine);
}

Test(stats_json, what_is_on_is_said_to_be_on)
{
    sona_config config = small_config();
    sona_engine *engine = engine_open();
    json_t *o = engine_json(engine);

    cr_assert(is_true(o, "instant_enabled"));
    cr_assert(is_true(o, "background_enabled"));
    json_decref(o);
    sona_engine_set_enabled(engine, false);
    o = engine_json(engine);
    cr_assert(not(is_true(o, "instant_enabled")));
    json_decref(o);
    sona_engine_destroy(&engine);
    config.background = false;
    engine = engine_open_with(&config, ROUTES);
    o = engine_json(engine);
    cr_assert(is_true(o, "instant_enabled"));
    cr_assert(not(is_true(o, "background_enabled")));
    json_decref(o);
    sona_engine_destroy(&engine);
}

Test(stats_json, a_small_buffer_is_told_what_is_needed)
{
    sona_engine *engine = engine_open();
    char text[SONA_STATS_JSON_MAX], small[100];
    size_t bytes = 0, needed = 0;

    memset(small, 'x', sizeof small);
    cr_assert(eq(int, sona_engine_stats_json(engine, NULL, 0, &needed), SONA_E_LIMIT));
    cr_assert(eq(int, sona_engine_stats_json(engine, small, 50, &bytes), SONA_E_LIMIT));
    cr_assert(eq(sz, bytes, needed));
    cr_assert(eq(sz, strlen(small), 49));
    cr_assert(eq(chr, small[50], 'x'));
    cr_assert(eq(int, sona_engine_stats_json(engine, text, needed - 1, &bytes), SONA_E_LIMIT));
    cr_assert(eq(int, sona_engine_stats_json(engine, text, needed, &bytes), SONA_OK));
    json_decref(read_back(text));
    cr_assert(eq(int, sona_engine_stats_json(NULL, text, needed, &bytes), SONA_E_ARGUMENT));
    cr_assert(eq(int, sona_engine_stats_json(engine, NULL, 9, &bytes), SONA_E_ARGUMENT));
    cr_assert(eq(int, sona_engine_stats_json(engine, text, 9, NULL), SONA_E_ARGUMENT));
    sona_engine_destroy(&engine);
}

Test(stats_json, the_largest_and_the_strangest_figures_are_still_json)
{
    char text[SONA_STATS_JSON_MAX];
    sona_stats stats;
    size_t bytes;
    json_t *o;

    memset(&stats, 0xff, sizeof stats); /* all counters full, all reals NaN */
    stats.simd = "c";
    stats.n_nodes = SONA_NODES_MAX + 1;
    stats.mse = -1.2345678901234567e-300;
    stats.mean_quality = INFINITY;
    for (int c = 0; c < SONA_COUNTER_COUNT; c++)
        stats.counter[c] = INT64_MAX / 4; /* no sum beyond what jansson reads */
    stats.step = stats.version = stats.pending = stats.parked_now = INT64_MAX;
    stats.replay_length = stats.memory_bytes = INT64_MAX;
    for (uint32_t i = 0; i < stats.n_nodes; i++)
        stats.node[i].steps = INT64_MAX;
    cr_assert(eq(int, sona_stats_json(&stats, true, true, text, sizeof text, &bytes), SONA_OK),
              "%zu bytes", bytes);
    o = json_loads(text, JSON_REJECT_DUPLICATES, NULL);
    cr_assert(ne(ptr, o, NULL), "%s", text);
    cr_assert(eq(dbl, number(o, "mse"), stats.mse));
    bool null = json_is_null(json_object_get(o, "mean_quality"));
    cr_assert(null);
    cr_assert(eq(sz, json_array_size(json_object_get(o, "nodes")), SONA_NODES_MAX + 1));
    json_decref(o);
}

Test(stats_json, numbers_have_a_point_in_every_locale)
{
    static const char *const comma[] = {"de_DE.UTF-8", "de_DE.utf8", "fr_FR.UTF-8", "nl_NL.UTF-8"};
    sona_engine *engine = engine_open();
    json_t *o;

    for (size_t i = 0; i < 4 && localeconv()->decimal_point[0] != ','; i++)
        setlocale(LC_ALL, comma[i]);
    if (localeconv()->decimal_point[0] != ',')
        cr_skip_test("no locale with a decimal comma is installed");
    some_life(engine);
    o = engine_json(engine);
    cr_assert(eq(dbl, number(o, "feedback_ratio"), 0.75));
    json_decref(o);
    sona_engine_destroy(&engine);
}
