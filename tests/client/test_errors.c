/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/* Every mistake a caller can make, and every trouble of the world, against the true sidecar. */
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "shm/wire.h"
#include "tools/spawn.h"
#include "watch.h"

#define DIM    64u
#define ROUTES 4u

static struct sona_spawn sidecar;
static sona_client *client;
static sona_lane *lane;
static float x[DIM], y[DIM];
static sona_decision d;

static sona_client_options options_of(void)
{
    return (sona_client_options){.instance = sidecar.instance,
                                 .runtime_dir = sidecar.runtime_dir,
                                 .lanes = 2,
                                 .no_maintenance_thread = true,
                                 .seed = 5};
}

static void spawn(const char *routes)
{
    const char *const args[] = {"--dim", "64", "--routes", routes, NULL};
    sona_diag diag = {.text = ""};

    cr_assert(eq(int, sona_spawn_start(&sidecar, NULL, NULL, NULL, args, &diag), SONA_OK), "%s",
              diag.text);
}

static void attach(void)
{
    sona_client_options options = options_of();
    sona_diag diag = {.text = ""};

    cr_assert(eq(int, sona_client_open(&client, &options, &diag), SONA_OK), "%s", diag.text);
    cr_assert(eq(int, sona_lane_claim(client, &lane, &diag), SONA_OK), "%s", diag.text);
    for (uint32_t i = 0; i < DIM; i++)
        x[i] = 0.25f + (float)i;
}

static void start(void)
{
    spawn("4");
    attach();
}

static void stop(void)
{
    sona_client_close(&client);
    if (sidecar.pid > 0)
        (void)sona_spawn_stop(&sidecar);
}

TestSuite(errors, .init = start, .fini = stop);

/* No record was committed between two decisions that follow one another. */
static void check_nothing_recorded(uint64_t before)
{
    cr_assert(eq(int, sona_decide(lane, x, DIM, NULL, &d), SONA_OK));
    cr_assert(eq(u64, d.id, before + 1), "a refused call left a record behind");
}

static uint64_t decide_once(void)
{
    cr_assert(eq(int, sona_decide(lane, x, DIM, NULL, &d), SONA_OK));
    cr_assert(ne(u64, d.id, 0));
    return d.id;
}

Test(errors, a_vector_of_the_wrong_dimension_is_a_shape_error)
{
    uint64_t id = decide_once(), version, trajectory;
    float scores[SONA_ROUTES_MAX];
    sona_pattern pattern;
    uint32_t n;

    WATCH_REFUSED(client, sona_decide(lane, x, DIM - 1, NULL, &d), SONA_E_SHAPE, refused_shape);
    WATCH_REFUSED(client, sona_apply(lane, x, DIM + 1, y, &version), SONA_E_SHAPE, refused_shape);
    WATCH_REFUSED(client, sona_apply_micro(lane, x, 0, y, NULL), SONA_E_SHAPE, refused_shape);
    WATCH_REFUSED(client, sona_apply_base(lane, 0, x, 1, y, NULL), SONA_E_SHAPE, refused_shape);
    WATCH_REFUSED(client, sona_score(lane, x, DIM / 2, scores, SONA_ROUTES_MAX, NULL), SONA_E_SHAPE,
                  refused_shape);
    WATCH_REFUSED(client, sona_trajectory_begin(lane, x, DIM - 1, &trajectory), SONA_E_SHAPE,
                  refused_shape);
    WATCH_REFUSED(client, sona_find_patterns(lane, x, DIM - 1, 1, &pattern, &n), SONA_E_SHAPE,
                  refused_shape);
    const sona_step long_step = {.activations = x, .n_activations = SONA_DIM_MAX};
    WATCH_REFUSED(client, sona_trajectory_step(lane, id, &long_step), SONA_E_SHAPE, refused_shape);
    const sona_step wide_step = {.attention = x, .n_attention = SONA_ATTENTION_MAX};
    WATCH_REFUSED(client, sona_trajectory_step(lane, id, &wide_step), SONA_E_SHAPE, refused_shape);
    check_nothing_recorded(id);
}

Test(errors, a_number_that_is_not_finite_is_refused_wherever_it_stands)
{
    static const float bad[] = {NAN, INFINITY, -INFINITY};
    uint64_t id = decide_once(), trajectory;
    uint32_t n;
    sona_pattern pattern;

    for (uint32_t i = 0; i < DIM; i += 21) {
        float good = x[i];

        x[i] = bad[i % 3];
        WATCH_REFUSED(client, sona_decide(lane, x, DIM, NULL, &d), SONA_E_NOT_FINITE,
                      refused_not_finite);
        WATCH_REFUSED(client, sona_apply(lane, x, DIM, y, NULL), SONA_E_NOT_FINITE,
                      refused_not_finite);
        WATCH_REFUSED(client, sona_apply_base(lane, 0, x, DIM, y, NULL), SONA_E_NOT_FINITE,
                      refused_not_finite);
        WATCH_REFUSED(client, sona_trajectory_begin(lane, x, DIM, &trajectory), SONA_E_NOT_FINITE,
                      refused_not_finite);
        WATCH_REFUSED(client, sona_find_patterns(lane, x, DIM, 1, &pattern, &n), SONA_E_NOT_FINITE,
                      refused_not_finite);
        const sona_step step = {.activations = x, .n_activations = DIM};
        WATCH_REFUSED(client, sona_trajectory_step(lane, id, &step), SONA_E_NOT_FINITE,
                      refused_not_finite);
        x[i] = good;
    }
    for (int i = 0; i < 3; i++) {
        const sona_step reward = {.reward = bad[i]}, score = {.score = bad[i]};

        WATCH_REFUSED(client, sona_outcome(lane, id, bad[i], NULL), SONA_E_NOT_FINITE,
                      refused_not_finite);
        WATCH_REFUSED(client, sona_trajectory_end(lane, id, bad[i]), SONA_E_NOT_FINITE,
                      refused_not_finite);
        WATCH_REFUSED(client, sona_trajectory_step(lane, id, &reward), SONA_E_NOT_FINITE,
                      refused_not_finite);
        WATCH_REFUSED(client, sona_trajectory_step(lane, id, &score), SONA_E_NOT_FINITE,
                      refused_not_finite);
    }
    check_nothing_recorded(id);
}

Test(errors, a_zero_vector_has_no_direction_to_decide_by)
{
    uint64_t id = decide_once(), trajectory;
    float zero[DIM] = {0}, scores[SONA_ROUTES_MAX];

    WATCH_REFUSED(client, sona_decide(lane, zero, DIM, NULL, &d), SONA_E_ZERO_VECTOR,
                  refused_zero_vector);
    WATCH_REFUSED(client, sona_score(lane, zero, DIM, scores, SONA_ROUTES_MAX, NULL),
                  SONA_E_ZERO_VECTOR, refused_zero_vector);
    WATCH_REFUSED(client, sona_trajectory_begin(lane, zero, DIM, &trajectory), SONA_E_ZERO_VECTOR,
                  refused_zero_vector);
    cr_assert(eq(int, sona_apply(lane, zero, DIM, y, NULL), SONA_OK), "adapters take it");
    check_nothing_recorded(id);
}

Test(errors, a_quality_of_seven_is_out_of_range)
{
    uint64_t id = decide_once();
    char context[100];

    memset(context, 'c', sizeof context);
    context[64] = '\0';
    WATCH_REFUSED(client, sona_outcome(lane, id, 7, NULL), SONA_E_RANGE, refused_range);
    WATCH_REFUSED(client, sona_outcome(lane, id, -0.001f, NULL), SONA_E_RANGE, refused_range);
    WATCH_REFUSED(client, sona_trajectory_end(lane, id, 7), SONA_E_RANGE, refused_range);
    WATCH_REFUSED(client, sona_trajectory_context(lane, id, context), SONA_E_RANGE, refused_range);
    const sona_step step = {.layer = SONA_LAYERS_MAX};
    WATCH_REFUSED(client, sona_trajectory_step(lane, id, &step), SONA_E_RANGE, refused_range);
    WATCH_REFUSED(client, sona_apply_base(lane, SONA_LAYERS_MAX, x, DIM, y, NULL), SONA_E_RANGE,
                  refused_range);
    const float costs[SONA_ROUTES_MAX] = {0, 2};
    const sona_candidates dear = {.override_costs = true, .costs = costs};
    WATCH_REFUSED(client, sona_decide(lane, x, DIM, &dear, &d), SONA_E_RANGE, refused_range);
    check_nothing_recorded(id);
    cr_assert(eq(int, sona_outcome(lane, id, 1, NULL), SONA_OK));
    cr_assert(eq(int, sona_outcome(lane, id, 0, NULL), SONA_OK), "for the sidecar to judge");
}

Test(errors, a_missing_pointer_or_an_overlap_is_an_argument_error)
{
    float both[DIM + 1] = {0};
    uint64_t id = decide_once();
    const sona_candidates priceless = {.override_costs = true};
    const sona_step nothing = {.n_activations = 1};

    memcpy(both, x, sizeof x);
    WATCH_REFUSED(client, sona_apply(lane, both, DIM, both, NULL), SONA_E_ARGUMENT,
                  refused_argument);
    WATCH_REFUSED(client, sona_apply(lane, both, DIM, both + 1, NULL), SONA_E_ARGUMENT,
                  refused_argument);
    WATCH_REFUSED(client, sona_apply_micro(lane, both + 1, DIM, both, NULL), SONA_E_ARGUMENT,
                  refused_argument);
    cr_assert(eq(int, memcmp(both, x, sizeof x), 0), "and nothing was written");
    WATCH_REFUSED(client, sona_apply(lane, NULL, DIM, y, NULL), SONA_E_ARGUMENT, refused_argument);
    WATCH_REFUSED(client, sona_decide(lane, x, DIM, NULL, NULL), SONA_E_ARGUMENT, refused_argument);
    WATCH_REFUSED(client, sona_decide(lane, x, DIM, &priceless, &d), SONA_E_ARGUMENT,
                  refused_argument);
    WATCH_REFUSED(client, sona_trajectory_step(lane, id, &nothing), SONA_E_ARGUMENT,
                  refused_argument);
    WATCH_REFUSED(client, sona_trajectory_context(lane, id, NULL), SONA_E_ARGUMENT,
                  refused_argument);
    cr_assert(eq(int, sona_decide(NULL, x, DIM, NULL, &d), SONA_E_ARGUMENT));
    cr_assert(eq(int, sona_outcome(NULL, id, 1, NULL), SONA_E_ARGUMENT));
    check_nothing_recorded(id);
}

Test(errors, x_and_y_side_by_side_do_not_overlap)
{
    float both[2 * DIM];

    memcpy(both, x, sizeof x);
    cr_assert(eq(int, sona_apply(lane, both, DIM, both + DIM, NULL), SONA_OK));
    memcpy(both + DIM, x, sizeof x);
    cr_assert(eq(int, sona_apply(lane, both + DIM, DIM, both, NULL), SONA_OK));
}

Test(errors, an_unknown_route_cannot_be_forced_or_named)
{
    uint64_t id = decide_once();
    const sona_route wrong[] = {ROUTES, SONA_ROUTE_ID(0, 1), SONA_ROUTE_NONE, 4711};

    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        const sona_candidates observe = {.mode = SONA_MODE_OBSERVE, .forced = wrong[i]};
        const sona_candidates bypass = {.mode = SONA_MODE_BYPASS, .forced = wrong[i]};

        WATCH_REFUSED(client, sona_decide(lane, x, DIM, &observe, &d), SONA_E_ROUTE, refused_route);
        WATCH_REFUSED(client, sona_decide(lane, x, DIM, &bypass, &d), SONA_E_ROUTE, refused_route);
        WATCH_REFUSED(client, sona_trajectory_route(lane, id, wrong[i]), SONA_E_ROUTE,
                      refused_route);
    }
    check_nothing_recorded(id);
}

Test(errors, with_no_route_left_nothing_is_chosen)
{
    uint64_t id = decide_once();
    sona_candidates none = {.restricted = true};

    WATCH_REFUSED(client, sona_decide(lane, x, DIM, &none, &d), SONA_E_NO_ROUTE, refused_no_route);
    none.set[0] = UINT64_C(1) << ROUTES; /* beyond the table */
    WATCH_REFUSED(client, sona_decide(lane, x, DIM, &none, &d), SONA_E_NO_ROUTE, refused_no_route);
    check_nothing_recorded(id);
}

Test(errors, id_zero_names_nothing)
{
    uint64_t id = decide_once();
    const sona_step step = {.reward = 1};

    WATCH_REFUSED(client, sona_outcome(lane, 0, 1, NULL), SONA_E_UNKNOWN_ID, refused_unknown_id);
    WATCH_REFUSED(client, sona_trajectory_step(lane, 0, &step), SONA_E_UNKNOWN_ID,
                  refused_unknown_id);
    WATCH_REFUSED(client, sona_trajectory_route(lane, 0, 0), SONA_E_UNKNOWN_ID, refused_unknown_id);
    WATCH_REFUSED(client, sona_trajectory_context(lane, 0, "c"), SONA_E_UNKNOWN_ID,
                  refused_unknown_id);
    WATCH_REFUSED(client, sona_trajectory_end(lane, 0, 1), SONA_E_UNKNOWN_ID, refused_unknown_id);
    check_nothing_recorded(id);
}

Test(errors, a_single_candidate_is_taken_for_certain)
{
    const sona_candidates one = {.restricted = true, .set = {UINT64_C(1) << 2}};

    for (int i = 0; i < 20; i++) {
        cr_assert(eq(int, sona_decide(lane, x, DIM, &one, &d), SONA_OK));
        cr_assert(eq(u32, d.route, 2));
        cr_assert(eq(flt, d.propensity, 1));
        cr_assert(eq(int, d.why, SONA_WHY_ONLY));
    }
}

Test(errors, a_model_without_evidence_says_so_and_spreads_its_choices)
{
    uint32_t chosen[ROUTES] = {0};

    for (int i = 0; i < 200; i++) {
        cr_assert(eq(int, sona_decide(lane, x, DIM, NULL, &d), SONA_OK));
        cr_assert(lt(u32, d.route, ROUTES));
        cr_assert(ne(u64, d.version, 0), "it is a model all the same");
        cr_assert(gt(flt, d.propensity, 0));
        cr_assert(le(flt, d.propensity, 1));
        chosen[d.route]++;
    }
    for (uint32_t k = 0; k < ROUTES; k++)
        cr_assert(gt(u32, chosen[k], 10), "route %u: %u of 200", k, chosen[k]);
    cr_assert(eq(u64, watch_stats(client).identity, 0));
}

Test(errors, a_client_has_as_many_lanes_as_it_was_opened_with)
{
    sona_lane *second, *third = NULL;
    sona_diag diag;

    cr_assert(eq(int, sona_lane_claim(client, &second, NULL), SONA_OK));
    sona_client_stats before = watch_stats(client), after;
    cr_assert(eq(int, sona_lane_claim(client, &third, &diag), SONA_E_LANES));
    after = watch_stats(client);
    cr_assert(eq(ptr, (void *)watch_difference(&before, &after), NULL));
    cr_assert(eq(ptr, third, NULL));
    cr_assert(ne(ptr, strstr(diag.text, "release one"), NULL), "%s", diag.text);
}

Test(errors, without_a_sidecar_open_says_absent_or_starts_detached)
{
    sona_client_options options = options_of();
    sona_client *alone = NULL;
    sona_lane *its;
    sona_diag diag;
    uint64_t version = 99;
    sona_geometry geometry;

    options.instance = "nobody-is-here";
    cr_assert(eq(int, sona_client_open(&alone, &options, &diag), SONA_E_ABSENT));
    cr_assert(ne(ptr, strstr(diag.text, "start sona-sidecar"), NULL), "%s", diag.text);
    options.when_absent = SONA_DETACHED;
    options.dim = DIM;
    cr_assert(eq(int, sona_client_open(&alone, &options, &diag), SONA_OK));
    cr_assert(eq(int, sona_lane_claim(alone, &its, NULL), SONA_OK));
    cr_assert(not(watch_stats(alone).attached));
    cr_assert(eq(int, sona_apply(its, x, DIM, y, &version), SONA_OK));
    cr_assert(eq(u64, version, 0));
    cr_assert(eq(int, memcmp(x, y, sizeof x), 0), "the identity");
    cr_assert(eq(u64, watch_stats(alone).identity, 1));

    WATCH_REFUSED(alone, sona_decide(its, x, DIM, NULL, &d), SONA_E_NO_ROUTE, refused_no_route);
    WATCH_REFUSED(alone, sona_apply(its, x, DIM + 1, y, NULL), SONA_E_SHAPE, refused_shape);
    x[3] = NAN;
    WATCH_REFUSED(alone, sona_apply(its, x, DIM, y, NULL), SONA_E_NOT_FINITE, refused_not_finite);
    cr_assert(eq(int, sona_client_geometry(alone, &geometry), SONA_E_DETACHED));
    cr_assert(eq(int, sona_client_maintain(alone), SONA_E_DETACHED));
    sona_client_close(&alone);
}

Test(errors, a_detached_client_decides_uniformly_over_what_it_is_given)
{
    sona_client_options options = options_of();
    sona_client *alone = NULL;
    sona_lane *its;
    const sona_candidates three = {.restricted = true, .set = {0x15}};
    uint32_t chosen[5] = {0};

    options.instance = "nobody-is-here";
    options.when_absent = SONA_DETACHED;
    options.dim = DIM;
    cr_assert(eq(int, sona_client_open(&alone, &options, NULL), SONA_OK));
    cr_assert(eq(int, sona_lane_claim(alone, &its, NULL), SONA_OK));
    for (int i = 0; i < 300; i++) {
        cr_assert(eq(int, sona_decide(its, x, DIM, &three, &d), SONA_E_DETACHED));
        cr_assert(eq(u64, d.id, 0));
        cr_assert(eq(u64, d.version, 0));
        cr_assert(eq(int, d.why, SONA_WHY_COLD));
        cr_assert(lt(flt, fabsf(d.propensity - 1.0f / 3), 1e-6f));
        cr_assert(0x15 >> d.route & 1);
        chosen[d.route]++;
    }
    cr_assert(chosen[0] > 60 && chosen[2] > 60 && chosen[4] > 60);
    cr_assert(eq(u64, watch_stats(alone).dropped_detached, 300));
    cr_assert(eq(int, sona_outcome(its, 1, 1, NULL), SONA_E_DETACHED));
    cr_assert(eq(u64, watch_stats(alone).dropped_detached, 301));
    sona_client_close(&alone);
}

Test(errors, a_full_ring_drops_and_counts_and_is_drained_again)
{
    uint64_t recorded = 0;
    sona_err err;

    cr_assert(eq(int, kill(sidecar.pid, SIGSTOP), 0));
    while ((err = sona_decide(lane, x, DIM, NULL, &d)) == SONA_OK)
        recorded++;
    cr_assert(eq(int, err, SONA_E_FULL));
    cr_assert(eq(u64, d.id, 0), "not recorded");
    cr_assert(lt(u32, d.route, ROUTES), "but decided");
    cr_assert(ne(u64, d.version, 0));
    cr_assert(gt(u64, recorded, 100));
    WATCH_REFUSED(client, sona_outcome(lane, 1, 1, NULL), SONA_E_FULL, dropped_full);
    uint64_t id = 77;
    WATCH_REFUSED(client, sona_trajectory_begin(lane, x, DIM, &id), SONA_E_FULL, dropped_full);
    cr_assert(eq(u64, id, 77), "written on success only");
    WATCH_REFUSED(client, sona_trajectory_end(lane, 1, 1), SONA_E_FULL, dropped_full);
    cr_assert(eq(int, sona_apply(lane, x, DIM, y, NULL), SONA_OK), "adapters do not mind");
    cr_assert(eq(int, kill(sidecar.pid, SIGCONT), 0));
    while (sona_decide(lane, x, DIM, NULL, &d) == SONA_E_FULL)
        continue; /* the test's time-out is the bound */
    cr_assert(ne(u64, d.id, 0));
}

Test(errors, a_forked_child_is_told_so)
{
    sona_client_stats before = watch_stats(client), after;
    int status;
    pid_t pid = fork();

    if (pid == 0)
        _exit(sona_decide(lane, x, DIM, NULL, &d) == SONA_E_FORKED &&
                      sona_apply(lane, x, DIM, y, NULL) == SONA_E_FORKED &&
                      sona_outcome(lane, 1, 1, NULL) == SONA_E_FORKED
                  ? 0
                  : 1);
    cr_assert(eq(int, waitpid(pid, &status, 0), pid));
    cr_assert(eq(int, status, 0));
    after = watch_stats(client);
    cr_assert(eq(ptr, (void *)watch_difference(&before, &after), NULL));
    check_nothing_recorded(decide_once());
}

Test(errors, a_client_of_another_abi_is_refused_by_the_sidecar_with_the_remedy)
{
    char path[128];
    int fd;
    size_t bytes;
    struct sona_wire_refused answer;
    struct sona_wire_hello hello = {.head = {.magic = SONA_WIRE_MAGIC,
                                             .kind = SONA_WIRE_HELLO,
                                             .abi_major = SONA_ABI_MAJOR + 1,
                                             .bytes = sizeof hello},
                                    .layout_hash = sona_shm_layout_hash(),
                                    .lanes = 1};

    cr_assert(eq(int,
                 sona_wire_path(sidecar.runtime_dir, sidecar.instance, path, sizeof path, NULL),
                 SONA_OK));
    cr_assert(eq(int, sona_wire_connect(path, 2000, &fd, NULL), SONA_OK));
    cr_assert(eq(i64, write(fd, &hello, sizeof hello), (int64_t)sizeof hello));
    cr_assert(eq(int, sona_wire_receive(fd, &answer, sizeof answer, 5000, &bytes, NULL, NULL, NULL),
                 SONA_OK));
    cr_assert(eq(sz, bytes, sizeof answer));
    cr_assert(eq(u32, answer.head.kind, SONA_WIRE_REFUSED));
    cr_assert(eq(u32, answer.code, SONA_E_ABI));
    cr_assert(ne(ptr, strstr(answer.text, "upgrade"), NULL), "%s", answer.text);
    (void)close(fd);
    cr_assert(eq(int, sona_client_maintain(client), SONA_OK), "others are not disturbed");
}

Test(errors, a_wrong_expected_dimension_is_refused_by_the_sidecar)
{
    sona_client_options options = options_of();
    sona_client *other = NULL;
    sona_diag diag;

    options.dim = DIM + 1;
    cr_assert(eq(int, sona_client_open(&other, &options, &diag), SONA_E_SHAPE), "%s", diag.text);
    cr_assert(eq(ptr, other, NULL));
}

Test(one_route, is_taken_for_certain_and_learns, .fini = stop)
{
    spawn("1");
    attach();
    for (int i = 0; i < 10; i++) {
        cr_assert(eq(int, sona_decide(lane, x, DIM, NULL, &d), SONA_OK));
        cr_assert(eq(u32, d.route, 0));
        cr_assert(eq(flt, d.propensity, 1));
        cr_assert(eq(int, d.why, SONA_WHY_ONLY));
    }
    uint64_t version = d.version;
    cr_assert(eq(int, sona_outcome(lane, d.id, 1, NULL), SONA_OK));
    do { /* the time-out is the bound; a full ring does not make the decision worse */
        sona_err err = sona_decide(lane, x, DIM, NULL, &d);

        cr_assert(err == SONA_OK || err == SONA_E_FULL);
    } while (d.version == version || !(d.expected > 0.5f));
}
