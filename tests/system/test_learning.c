/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/* What a router sees of the learning, through shared memory. */
#include <math.h>
#include <string.h>

#include "stage.h"

struct scene {
    struct stage stage;
    sona_client *client;
    sona_lane *lane;
    uint64_t first_step; /* before the first feedback */
};

static void open_scene(struct scene *s, const char *const *more)
{
    sona_version_info version;

    stage_open(&s->stage, more);
    s->client = stage_client(&s->stage, 1);
    s->lane = stage_lane(s->client);
    cr_assert(eq(int, sona_version_of(s->lane, &version), SONA_OK));
    s->first_step = version.step;
}

static void close_scene(struct scene *s)
{
    sona_lane_release(&s->lane);
    sona_client_close(&s->client);
    stage_close(&s->stage);
}

/* Take `route` for x, tell its quality, and wait until the snapshot shows it. */
static void teach(struct scene *s, const float *x, sona_route route, float quality)
{
    sona_candidates forced = {.mode = SONA_MODE_OBSERVE, .forced = route};
    sona_version_info before, now;
    uint64_t end = stage_now_ms() + STAGE_LIMIT_MS;
    sona_decision d;

    cr_assert(eq(int, sona_version_of(s->lane, &before), SONA_OK));
    cr_assert(eq(int, sona_decide(s->lane, x, STAGE_DIM, &forced, &d), SONA_OK));
    cr_assert(eq(u32, d.route, route));
    cr_assert(eq(int, sona_outcome(s->lane, d.id, quality, NULL), SONA_OK));
    do {
        cr_assert(lt(u64, stage_now_ms(), end), "the feedback never became visible");
        cr_assert(eq(int, sona_version_of(s->lane, &now), SONA_OK));
    } while (now.step <= before.step);
    cr_assert(gt(u64, now.version, before.version));
}

static float score_of(struct scene *s, const float *x, uint32_t route)
{
    float scores[SONA_ROUTES_MAX];

    cr_assert(eq(int, sona_score(s->lane, x, STAGE_DIM, scores, SONA_ROUTES_MAX, NULL), SONA_OK));
    return scores[route];
}

Test(learning, one_feedback_moves_the_route_it_was_about_in_its_direction, .timeout = 60)
{
    struct scene s;
    float x[STAGE_DIM];

    open_scene(&s, NULL);
    stage_query(1, x);
    float before = score_of(&s, x, 0);
    teach(&s, x, 0, 1);
    float praised = score_of(&s, x, 0);
    cr_assert(gt(flt, praised, before));
    before = score_of(&s, x, 1);
    teach(&s, x, 1, 0);
    cr_assert(lt(flt, score_of(&s, x, 1), before));
    close_scene(&s);
}

Test(learning, apply_is_the_identity_first_and_is_not_after_feedback, .timeout = 60)
{
    struct scene s;
    float x[STAGE_DIM], y[STAGE_DIM];
    uint64_t version;

    open_scene(&s, NULL);
    stage_query(1, x);
    cr_assert(eq(int, sona_apply(s.lane, x, STAGE_DIM, y, &version), SONA_OK));
    cr_assert(gt(u64, version, 0), "there is a model from the beginning");
    for (uint32_t i = 0; i < STAGE_DIM; i++)
        cr_assert(ieee_ulp_eq(flt, x[i], y[i], 4));
    for (uint64_t n = 0; n < 40; n++) {
        float query[STAGE_DIM];

        stage_query(n % 4, query);
        teach(&s, query, (sona_route)(n % 3), n % 3 == n % 4 ? 1 : 0);
    }
    cr_assert(eq(int, sona_apply(s.lane, x, STAGE_DIM, y, &version), SONA_OK));
    double change = 0;
    for (uint32_t i = 0; i < STAGE_DIM; i++)
        change += fabs((double)(y[i] - x[i]));
    cr_assert(gt(dbl, change, 1e-6), "y - x is %g after 40 feedbacks", change);
    cr_assert(lt(dbl, change, 10.0));
    close_scene(&s);
}

/* Take route 0 for x, send the signal about it, and wait until it is visible. */
static void signal_about(struct scene *s, const float *x, sona_signal signal,
                         sona_signal_effect expected)
{
    sona_candidates forced = {.mode = SONA_MODE_OBSERVE, .forced = 0};
    sona_version_info before, now;
    uint64_t end = stage_now_ms() + STAGE_LIMIT_MS;
    sona_signal_effect effect;
    sona_decision d;

    cr_assert(eq(int, sona_version_of(s->lane, &before), SONA_OK));
    cr_assert(eq(int, sona_decide(s->lane, x, STAGE_DIM, &forced, &d), SONA_OK));
    if (expected == SONA_SIGNAL_NAMED)
        signal.id = d.id;
    cr_assert(eq(int, sona_learn(s->lane, &signal, &effect), SONA_OK));
    cr_assert(eq(int, effect, expected));
    do {
        cr_assert(lt(u64, stage_now_ms(), end), "the signal never became visible");
        cr_assert(eq(int, sona_version_of(s->lane, &now), SONA_OK));
    } while (now.step < before.step + 1 + (signal.gradient != NULL));
}

Test(learning, every_kind_of_signal_moves_what_it_is_about, .timeout = 60)
{
    struct scene s;
    float x[STAGE_DIM], g[STAGE_DIM], y[STAGE_DIM], before;
    const float rewards[] = {0, 0.1f};
    sona_signal_effect effect;
    double along = 0;

    open_scene(&s, NULL);
    stage_query(1, x);
    stage_query(2, g);
    sona_signal up = sona_signal_positive(20, SONA_THUMBS_UP);
    cr_assert(eq(int, sona_learn(s.lane, &up, &effect), SONA_OK));
    cr_assert(eq(int, effect, SONA_SIGNAL_BASELINE), "nothing was decided yet");
    (void)stage_await(&s.stage, "baseline_updates", 1);

    before = score_of(&s, x, 0);
    signal_about(&s, x, up, SONA_SIGNAL_LAST);
    cr_assert(gt(flt, score_of(&s, x, 0), before));
    before = score_of(&s, x, 0);
    signal_about(&s, x, sona_signal_negative(20, SONA_THUMBS_DOWN), SONA_SIGNAL_NAMED);
    cr_assert(lt(flt, score_of(&s, x, 0), before));
    before = score_of(&s, x, 0);
    signal_about(&s, x, sona_signal_trajectory(0, rewards, 2), SONA_SIGNAL_NAMED);
    cr_assert(lt(flt, score_of(&s, x, 0), before));

    signal_about(&s, x, sona_signal_with_gradient(sona_signal_positive(1, 1), g, STAGE_DIM),
                 SONA_SIGNAL_LAST);
    cr_assert(eq(int, sona_apply_micro(s.lane, x, STAGE_DIM, y, NULL), SONA_OK));
    for (uint32_t i = 0; i < STAGE_DIM; i++)
        along += (double)g[i] * ((double)y[i] - (double)x[i]);
    cr_assert(gt(dbl, along, 0));
    up.quality = 2;
    cr_assert(eq(int, sona_learn(s.lane, &up, NULL), SONA_E_RANGE));
    close_scene(&s);
}

/* Feed specialists: query kind k is served well by route k alone. */
static double share_of_right(struct scene *s, uint64_t rounds)
{
    uint64_t right = 0;

    for (uint64_t n = 0; n < rounds; n++) {
        float x[STAGE_DIM];
        sona_decision d;

        stage_query(n % 3, x);
        if (sona_decide(s->lane, x, STAGE_DIM, NULL, &d) != SONA_OK)
            continue;
        bool good = SONA_ROUTE_INDEX(d.route) == n % 3;
        right += good;
        while (sona_outcome(s->lane, d.id, good ? 1 : 0, NULL) == SONA_E_FULL)
            stage_pause();
        if (n % 8 == 7) /* let the learner keep up: learning is what is tested */
            stage_pause();
    }
    return (double)right / (double)rounds;
}

static void learn_specialists(const char *background)
{
    const char *args[] = {"--background", background, NULL};
    struct scene s;

    open_scene(&s, args);
    (void)share_of_right(&s, 600);
    double late = share_of_right(&s, 600);
    cr_log_info("%s: right in %.3f of the last 600", background, late);
    cr_expect(gt(dbl, late, 0.6), "chance is 0.33; it was %.3f", late);
    (void)stage_await(&s.stage, "background_cycles", 2);
    (void)stage_await(&s.stage, "learned", 1200);
    cr_expect(eq(u64, stage_counter(&s.stage, "decisions"), 1200));
    close_scene(&s);
}

Test(learning, specialists_are_found_with_cycles_on_their_own_thread, .timeout = 120)
{
    learn_specialists("thread");
}

Test(learning, specialists_are_found_with_cycles_between_two_events, .timeout = 120)
{
    learn_specialists("inline");
}

Test(learning, a_trajectory_teaches_the_route_it_names, .timeout = 60)
{
    struct scene s;
    float x[STAGE_DIM];
    uint64_t id;
    const sona_step step = {.reward = 1, .node_id = 3};

    open_scene(&s, NULL);
    stage_query(2, x);
    float before = score_of(&s, x, 2);
    cr_assert(eq(int, sona_trajectory_begin(s.lane, x, STAGE_DIM, &id), SONA_OK));
    cr_assert(eq(int, sona_trajectory_step(s.lane, id, &step), SONA_OK));
    cr_assert(eq(int, sona_trajectory_context(s.lane, id, "night shift"), SONA_OK));
    cr_assert(eq(int, sona_trajectory_route(s.lane, id, 2), SONA_OK));
    cr_assert(eq(int, sona_trajectory_end(s.lane, id, 1), SONA_OK));
    (void)stage_await(&s.stage, "learned", 1);
    cr_expect(eq(u64, stage_counter(&s.stage, "steps"), 1));
    cr_expect(eq(u64, stage_counter(&s.stage, "trajectories_recorded"), 1));
    cr_expect(gt(flt, score_of(&s, x, 2), before));
    close_scene(&s);
}

static float score_for(struct scene *s, uint32_t tenant, const float *x, uint32_t route)
{
    float scores[SONA_ROUTES_MAX];

    cr_assert(eq(int,
                 sona_score_tenant(s->lane, tenant, x, STAGE_DIM, scores, SONA_ROUTES_MAX, NULL),
                 SONA_OK));
    return scores[route];
}

Test(learning, two_tenants_who_disagree_get_different_routes, .timeout = 60)
{
    static const char *const args[] = {"--set", "tenants_max=4", NULL};
    const uint32_t legal = sona_tenant_key("legal"), sales = sona_tenant_key("sales");
    struct scene s;
    float x[STAGE_DIM], y[2][STAGE_DIM];
    uint64_t told = 0, id;

    open_scene(&s, args);
    stage_query(1, x);
    for (uint32_t n = 0; n < 60; n++) {
        const uint32_t tenant = n % 2 ? legal : sales;
        sona_candidates forced = {.mode = SONA_MODE_OBSERVE, .forced = n / 2 % 3, .tenant = tenant};
        bool good = forced.forced == (tenant == legal ? 0 : 2);
        sona_decision d;

        cr_assert(eq(int, sona_decide(s.lane, x, STAGE_DIM, &forced, &d), SONA_OK));
        cr_assert(eq(int, sona_outcome(s.lane, d.id, good ? 0.9f : 0.1f, NULL), SONA_OK));
        (void)stage_await(&s.stage, "learned", ++told);
    }
    cr_expect(eq(u64, stage_counter(&s.stage, "tenants"), 2));
    cr_expect(gt(flt, score_for(&s, legal, x, 0), score_for(&s, legal, x, 2)));
    cr_expect(gt(flt, score_for(&s, sales, x, 2), score_for(&s, sales, x, 0)));
    cr_assert(eq(int, sona_apply_tenant(s.lane, legal, x, STAGE_DIM, y[0], NULL), SONA_OK));
    cr_assert(eq(int, sona_apply(s.lane, x, STAGE_DIM, y[1], NULL), SONA_OK));
    cr_expect(ne(int, memcmp(y[0], y[1], sizeof y[0]), 0), "the adapter bends the query");
    cr_assert(eq(int, sona_apply_tenant(s.lane, 12345, x, STAGE_DIM, y[0], NULL), SONA_OK));
    cr_expect(eq(int, memcmp(y[0], y[1], sizeof y[0]), 0), "a stranger has none");

    /* A trajectory teaches for its tenant too. */
    float before = score_for(&s, legal, x, 1);
    cr_assert(eq(int, sona_trajectory_begin_tenant(s.lane, legal, x, STAGE_DIM, &id), SONA_OK));
    cr_assert(eq(int, sona_trajectory_route(s.lane, id, 1), SONA_OK));
    cr_assert(eq(int, sona_trajectory_end(s.lane, id, 1), SONA_OK));
    (void)stage_await(&s.stage, "learned", ++told);
    cr_expect(gt(flt, score_for(&s, legal, x, 1) - before, 0.01f));

    /* Three more, and a fifth takes the place of who was longest silent. */
    for (uint32_t n = 0; n < 3; n++) {
        sona_candidates forced = {.mode = SONA_MODE_OBSERVE, .forced = 0, .tenant = 100 + n};
        sona_decision d;

        cr_assert(eq(int, sona_decide(s.lane, x, STAGE_DIM, &forced, &d), SONA_OK));
        cr_assert(eq(int, sona_outcome(s.lane, d.id, 0.5f, NULL), SONA_OK));
        (void)stage_await(&s.stage, "learned", ++told);
    }
    cr_expect(eq(u64, stage_counter(&s.stage, "tenants_evicted"), 1));
    cr_expect(eq(flt, score_for(&s, sales, x, 0), score_of(&s, x, 0)));
    cr_expect(ne(flt, score_for(&s, legal, x, 0), score_of(&s, x, 0)));
    close_scene(&s);
}

/* Two queries without anything in common. */
static void axes(float here[STAGE_DIM], float elsewhere[STAGE_DIM])
{
    memset(here, 0, STAGE_DIM * sizeof *here);
    memset(elsewhere, 0, STAGE_DIM * sizeof *elsewhere);
    here[0] = elsewhere[1] = 1;
}

Test(learning, a_thumbs_down_is_seen_at_its_query_and_hardly_elsewhere, .timeout = 60)
{
    struct scene s;
    float here[STAGE_DIM], elsewhere[STAGE_DIM];

    open_scene(&s, NULL);
    axes(here, elsewhere);
    for (uint64_t n = 0; n < 240; n++)
        teach(&s, n % 2 ? here : elsewhere, (sona_route)(n % 3), n % 4 < 2 ? 0.6f : 0.4f);
    float here_before = score_of(&s, here, 1), elsewhere_before = score_of(&s, elsewhere, 1);
    teach(&s, here, 1, 0);
    float fell = here_before - score_of(&s, here, 1);
    float moved = fabsf(elsewhere_before - score_of(&s, elsewhere, 1));
    cr_log_info("fell by %.4f here, moved by %.4f elsewhere", (double)fell, (double)moved);
    cr_expect(gt(flt, fell, 0.01f));
    cr_expect(lt(flt, moved, fell / 2));
    close_scene(&s);
}

Test(learning, equal_rewards_teach, .timeout = 60)
{
    struct scene s;
    float x[STAGE_DIM];

    open_scene(&s, NULL);
    stage_query(1, x);
    for (int n = 0; n < 5; n++) {
        float before = fabsf(score_of(&s, x, 0) - 0.8f);

        teach(&s, x, 0, 0.8f);
        cr_expect(lt(flt, fabsf(score_of(&s, x, 0) - 0.8f), before), "outcome %d", n);
    }
    close_scene(&s);
}

Test(learning, a_first_trajectory_of_one_step_and_no_route_teaches, .timeout = 60)
{
    struct scene s;
    float x[STAGE_DIM], y[STAGE_DIM], change = 0;
    uint64_t id, version;

    open_scene(&s, NULL);
    stage_query(2, x);
    cr_assert(eq(int, sona_trajectory_begin(s.lane, x, STAGE_DIM, &id), SONA_OK));
    cr_assert(eq(int, sona_trajectory_step(s.lane, id, &(sona_step){.reward = 1}), SONA_OK));
    cr_assert(eq(int, sona_trajectory_end(s.lane, id, 1), SONA_OK));
    (void)stage_await(&s.stage, "learned", 1);
    cr_assert(eq(int, sona_apply(s.lane, x, STAGE_DIM, y, &version), SONA_OK));
    for (uint32_t i = 0; i < STAGE_DIM; i++)
        change += fabsf(y[i] - x[i]);
    cr_expect(gt(flt, change, 1e-6f), "y is still x");
    close_scene(&s);
}
