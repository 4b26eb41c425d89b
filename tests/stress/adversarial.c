/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/*
 * Events meant to break the learner, through the front door, by the million.
 * usage: adversarial EVENTS DIM SEED [KEY=VALUE ...]   (keys of include/sona/config.h)
 *
 * The stream comes in blocks. Each block has one way of asking, one of rewarding and one of living,
 * drawn anew. After each block the whole model must pass the validator, keep its bounds, and have
 * symmetric covariances with positive eigenvalues; every answer on the way must be lawful.
 */
#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "engine/facade.h"
#include "engine/kernels/kernels.h"
#include "engine/learner/state.h"
#include "tests/engine/numerics/oracle.h"
#include "tests/stress/tap.h"

#define BLOCK   500u
#define WAITING 32u /* ids that are remembered, to be told late, twice, or never */

enum ask {
    ASK_TOPICS,     /* an axis and some noise */
    ASK_REPEATED,   /* one query, over and over */
    ASK_COLLINEAR,  /* one direction, any length from 1e-6 to 1e6, both signs */
    ASK_OPPOSITE,   /* x and -x in turn */
    ASK_ONES,       /* all components equal */
    ASK_AXES,       /* one axis after the other */
    ASK_DENORMAL,   /* all components denormal */
    ASK_MIXED,      /* one component, the rest denormal */
    ASK_EXTREME,    /* components up to the largest float */
    ASK_LONG,       /* norm 1e6 */
    ASK_NEIGHBOURS, /* one query, its last bits wandering */
    ASK_BAD,        /* zeros, NaN, infinities among good ones */
    ASKS
};

enum reward {
    REWARD_ONE,
    REWARD_ZERO,
    REWARD_HALF,
    REWARD_TURNS,  /* 0 and 1 in turn */
    REWARD_NOISE,  /* uniform */
    REWARD_TOPIC,  /* by topic and route: something to learn */
    REWARD_REGIME, /* the same, the other way round */
    REWARD_BAD,    /* out of range and not a number, among good ones */
    REWARDS
};

struct world {
    sona_engine *engine;
    sona_config config;
    const char *why; /* first violation; null: none */
    uint64_t seed, random;
    uint64_t events, now_ms;
    uint64_t ids[WAITING];
    uint32_t dim, names;
    uint32_t topic;
    enum ask ask;
    enum reward reward;
    bool lively; /* routes, trajectories, switches and clocks, beside decisions and outcomes */
    float *x, *y, *base;
    float *scores;
};

static double unit(struct world *w)
{
    return (double)(tap_random(&w->random) >> 11) * 0x1p-53;
}

static uint32_t below(struct world *w, uint32_t n)
{
    return (uint32_t)((tap_random(&w->random) >> 32) * n >> 32);
}

static void violate(struct world *w, const char *why)
{
    if (w->why == NULL)
        w->why = why;
}

static void noise(struct world *w, float *x, double scale)
{
    for (uint32_t i = 0; i < w->dim; i++)
        x[i] = (float)(scale * (2 * unit(w) - 1));
}

static void scale_base(struct world *w, double scale)
{
    for (uint32_t i = 0; i < w->dim; i++)
        w->x[i] = (float)(scale * (double)w->base[i]);
}

static void spoil(struct world *w)
{
    static const float bad[] = {NAN, INFINITY, -INFINITY};
    uint32_t kind = below(w, 6);

    if (kind < 3)
        w->x[below(w, w->dim)] = bad[kind];
    else if (kind == 3)
        memset(w->x, 0, w->dim * sizeof *w->x);
}

/* The next query of this block. */
static void ask(struct world *w, uint32_t i)
{
    w->topic = below(w, 4) % w->dim;
    noise(w, w->x, 0.15);
    w->x[w->topic] += 1;
    switch (w->ask) {
    case ASK_REPEATED:
        scale_base(w, 1);
        break;
    case ASK_COLLINEAR:
        scale_base(w, pow(10, 12 * unit(w) - 6) * (below(w, 2) ? 1 : -1));
        break;
    case ASK_OPPOSITE:
        scale_base(w, i & 1 ? 1 : -1);
        break;
    case ASK_ONES:
        for (uint32_t at = 0; at < w->dim; at++)
            w->x[at] = 1;
        break;
    case ASK_AXES:
        for (uint32_t at = 0; at < w->dim; at++)
            w->x[at] = at == i % w->dim ? 1 : 0;
        break;
    case ASK_DENORMAL:
        noise(w, w->x, 1e-40);
        break;
    case ASK_MIXED:
        for (uint32_t at = 0; at < w->dim; at++)
            w->x[at] = at == i % w->dim ? 1 : 1e-41f;
        break;
    case ASK_EXTREME:
        noise(w, w->x, (double)FLT_MAX);
        w->x[0] = 1e-38f;
        break;
    case ASK_LONG:
        scale_base(w, 1e6);
        break;
    case ASK_NEIGHBOURS:
        scale_base(w, 1);
        w->x[below(w, w->dim)] *= 1 + FLT_EPSILON;
        break;
    case ASK_BAD:
        spoil(w);
        break;
    default:
        break;
    }
}

static float reward(struct world *w, sona_route route, uint32_t i)
{
    static const float bad[] = {NAN, INFINITY, -0.001f, 1.001f, -FLT_MAX, FLT_MAX};
    bool good = SONA_ROUTE_INDEX(route) % 4 == w->topic;

    switch (w->reward) {
    case REWARD_ONE:
        return 1;
    case REWARD_ZERO:
        return 0;
    case REWARD_HALF:
        return 0.5f;
    case REWARD_TURNS:
        return (float)(i & 1);
    case REWARD_TOPIC:
        return good ? 0.9f : 0.1f;
    case REWARD_REGIME:
        return good ? 0.1f : 0.9f;
    case REWARD_BAD:
        if (below(w, 2))
            return bad[below(w, sizeof bad / sizeof *bad)];
        break;
    default:
        break;
    }
    return (float)unit(w);
}

/* Half of them default; the rest restrict, force, forbid to explore, or bring costs. */
static const sona_candidates *candidates(struct world *w, sona_candidates *c, float *costs)
{
    uint32_t kind = below(w, 12), n = w->config.routes_max;

    memset(c, 0, sizeof *c);
    /* More of them than there are rows: somebody is always put out. */
    c->tenant = below(w, 2 * w->config.tenants_max + 1);
    if (kind >= 6)
        return c->tenant == 0 ? NULL : c;
    c->no_explore = kind == 0;
    c->restricted = kind == 1 || kind == 2;
    for (uint32_t i = 0; i < SONA_ROUTES_MAX / 64; i++)
        c->set[i] = kind == 1 ? tap_random(&w->random) : ~0ull;
    c->override_costs = kind == 3;
    c->costs = costs;
    for (uint32_t k = 0; k < n; k++)
        costs[k] = (float)unit(w);
    if (kind == 3 && below(w, 4) == 0)
        costs[below(w, n)] = NAN;
    c->mode = kind == 4 ? SONA_MODE_OBSERVE : kind == 5 ? SONA_MODE_BYPASS : SONA_MODE_APPLY;
    c->forced = SONA_ROUTE_ID(below(w, n), below(w, 8) == 0);
    return c;
}

static void check_decision(struct world *w, const sona_decision *d)
{
    double sum = 0, most = 0;

    if (!(d->propensity > 0 && d->propensity <= 1) || !(d->expected >= 0 && d->expected <= 1))
        violate(w, "a propensity or an expectation outside 0..1");
    for (uint32_t k = 0; k < d->n_scores; k++) {
        float p = w->engine->scores.propensity[k];
        bool candidate = w->engine->scores.candidate[k / 64] >> (k % 64) & 1;

        if (!(p >= 0 && p <= 1))
            violate(w, "a propensity outside 0..1");
        if (d->why != SONA_WHY_FORCED && candidate != (bool)isfinite(d->scores[k]))
            violate(w, "a candidate's score is not finite, or another's is");
        sum += (double)p;
        most = fmax(most, (double)p);
    }
    if (fabs(sum - 1) > 1e-5)
        violate(w, "propensities do not sum to 1");
    if (d->why == SONA_WHY_EXPLORE && most < 0.5 / d->n_scores)
        violate(w, "nobody is likeliest");
}

static bool is_refusal_of_the_caller(sona_err err)
{
    return err == SONA_E_NOT_FINITE || err == SONA_E_ZERO_VECTOR || err == SONA_E_RANGE ||
           err == SONA_E_ROUTE || err == SONA_E_NO_ROUTE;
}

static void tell(struct world *w, uint64_t id, sona_route route, uint32_t i)
{
    float quality = reward(w, route, i);
    sona_err err = sona_engine_outcome(w->engine, id, quality, 0, w->now_ms);

    if ((err == SONA_OK) && !(quality >= 0 && quality <= 1))
        violate(w, "a quality outside 0..1 was taken");
}

/* Decide; then tell the outcome at once, later, twice or never. */
static void decide(struct world *w, uint32_t i)
{
    float costs[SONA_ROUTES_MAX];
    sona_candidates c;
    sona_decision d;
    sona_err err;
    uint64_t id;

    ask(w, i);
    err = sona_engine_decide(w->engine, w->x, w->dim, candidates(w, &c, costs), w->now_ms, &d);
    if (err != SONA_OK) {
        if (!is_refusal_of_the_caller(err))
            violate(w, "a decision was refused for no reason of the caller's");
        return;
    }
    check_decision(w, &d);
    w->events++;
    id = d.id;
    if (below(w, 8) == 0) { /* late: somebody else's turn now */
        uint32_t at = below(w, WAITING);

        id = w->ids[at];
        w->ids[at] = d.id;
    }
    tell(w, id, d.route, i);
    if (below(w, 50) == 0) /* once more: the same, or something else, or nothing after all */
        tell(w, id, d.route, i);
    if (below(w, 50) == 0)
        (void)sona_engine_revoke(w->engine, id, w->now_ms);
}

static void trajectory(struct world *w, uint32_t i)
{
    float *activations = w->y;
    uint64_t id;

    ask(w, i);
    if (sona_engine_begin_tenant(w->engine, below(w, 2 * w->config.tenants_max + 1), w->x, w->dim,
                                 w->now_ms, &id) != SONA_OK)
        return;
    for (uint32_t step = below(w, 5); step > 0; step--) {
        noise(w, activations, below(w, 4) ? 1 : (double)FLT_MAX);
        (void)sona_engine_step(w->engine, id,
                               &(sona_step){.activations = activations,
                                            .n_activations = w->dim,
                                            .reward = below(w, 8) ? (float)unit(w) : FLT_MAX,
                                            .layer = below(w, w->config.base_lora_layers + 1)});
    }
    if (below(w, 2))
        (void)sona_engine_route(w->engine, id, below(w, w->config.routes_max));
    (void)sona_engine_end(w->engine, id, reward(w, below(w, w->config.routes_max), i), w->now_ms);
    w->events++;
}

static void change_routes(struct world *w)
{
    sona_route_info info[SONA_ROUTES_MAX];
    sona_route_spec spec = {.prior_quality = (float)unit(w), .cost = (float)unit(w)};
    uint32_t count;
    sona_route route;

    (void)sona_engine_routes(w->engine, info, SONA_ROUTES_MAX, &count);
    if (below(w, 4) == 0)
        (void)sona_engine_route_retire(w->engine, info[below(w, count)].id);
    spec.prior_weight = below(w, 2) ? 1e6f : (float)unit(w);
    (void)snprintf(spec.name, sizeof spec.name, "new-%u", w->names++);
    (void)sona_engine_route_add(w->engine, &spec, &route);
}

/* y and scores of a query that is not too long to have any. */
static void look(struct world *w, uint32_t i)
{
    sona_pattern patterns[3];
    uint32_t count;
    bool usual = w->ask != ASK_EXTREME; /* y of 1e38 may be beyond the floats */

    ask(w, i);
    if (sona_engine_apply(w->engine, w->x, w->dim, w->y) == SONA_OK && usual &&
        !sona_model_all_finite(w->y, w->dim))
        violate(w, "y is not finite");
    if (sona_engine_score(w->engine, w->x, w->dim, w->scores) == SONA_OK)
        for (uint32_t k = 0; k < w->config.routes_max; k++)
            if (isinf(w->scores[k]))
                violate(w, "a score is infinite");
    if (sona_engine_find_patterns(w->engine, w->x, w->dim, 3, patterns, &count) == SONA_OK)
        for (uint32_t p = 0; p < count; p++)
            if (!(patterns[p].similarity >= -1.001f && patterns[p].similarity <= 1.001f) ||
                !(patterns[p].distance >= 0 && patterns[p].distance <= 5))
                violate(w, "a pattern is nowhere");
}

static void live(struct world *w, uint32_t i)
{
    switch (below(w, 64)) {
    case 0:
        change_routes(w);
        break;
    case 1:
        (void)sona_engine_tick(w->engine, w->now_ms += below(w, 2000), NULL);
        break;
    case 2:
        if (below(w, 8) == 0)
            (void)sona_engine_learn_now(w->engine, w->now_ms, NULL);
        break;
    case 3:
        sona_engine_set_enabled(w->engine, below(w, 4) != 0);
        break;
    case 4:
    case 5:
    case 6:
        trajectory(w, i);
        break;
    case 7:
        look(w, i);
        break;
    case 8:
        if (below(w, 8) == 0)
            (void)sona_engine_ewc_boundary(w->engine, NULL, NULL);
        else if (below(w, 16) == 0)
            (void)sona_engine_ewc_consolidate(w->engine, NULL, NULL);
        break;
    default:
        decide(w, i);
    }
}

static void check_ewc(struct world *w)
{
    sona_ewc_weight top[4];
    uint32_t count;
    sona_ewc ewc;
    double lambda = (double)w->config.ewc_lambda;

    (void)sona_engine_ewc(w->engine, &ewc);
    (void)sona_engine_ewc_top(w->engine, 4, top, &count);
    if (!(ewc.penalty >= 0) || !isfinite(ewc.penalty) || !isfinite(ewc.excess))
        violate(w, "the penalty is no number, or negative");
    if (ewc.enabled && !(ewc.lambda >= 0.99 / 64 * lambda && ewc.lambda <= 8.01 * lambda))
        violate(w, "lambda is out of bounds");
    if (!w->config.ewc_online && !w->config.gate && ewc.tasks > w->config.ewc_tasks_max)
        violate(w, "too many tasks");
    for (uint32_t i = 0; i < count; i++)
        if (!(top[i].importance >= 0 && top[i].importance <= 1e10f) || !isfinite(top[i].anchor))
            violate(w, "an importance is out of bounds, or an anchor is no number");
}

/* The whole model: validator, bounds of the stack and the adapters, covariances. */
static void check_model(struct world *w)
{
    const struct sona_learner *l = w->engine->learner;
    const struct sona_model_layout *layout = &l->layout;
    sona_stats s;

    if (sona_model_validate_hot(layout, sona_learner_hot(l)) != SONA_OK)
        violate(w, "the hot half is not sound");
    if (sona_model_validate_cold(layout, sona_learner_cold(l)) != SONA_OK)
        violate(w, "the cold half is not sound");
    sona_engine_stats(w->engine, &s);
    for (int j = 0; j < 4; j++)
        if (!(s.stack[j] >= 0 && s.stack[j] <= 1.5))
            violate(w, "a stack weight outside 0..1.5");
    if (!(s.mse >= 0 && s.mse <= 4) || !(s.mean_quality >= 0 && s.mean_quality <= 1) ||
        !(s.recent_quality >= 0 && s.recent_quality <= 1))
        violate(w, "a mean outside its range");
    if (!(s.micro_norm <= 1.01) || !(s.base_norm <= 1.01) || !isfinite(s.fold_discarded))
        violate(w, "an adapter is longer than it may be");
    for (uint32_t k = 0; k < sona_learner_head(l)->n_routes; k++)
        if (!(oracle_least(sona_learner_part(l, k, layout->route_cov), layout->code_dim,
                           layout->code_padded) > 0))
            violate(w, "a covariance is not symmetric and positive");
    check_ewc(w);
}

static void play_block(struct world *w)
{
    w->ask = (enum ask)below(w, ASKS);
    w->reward = (enum reward)below(w, REWARDS);
    w->lively = below(w, 3) != 0;
    noise(w, w->base, 1);
    sona_engine_set_enabled(w->engine, true);
    for (uint32_t i = 0; i < BLOCK; i++) {
        w->now_ms += below(w, 3);
        if (w->lively)
            live(w, i);
        else
            decide(w, i);
    }
    check_model(w);
}

static bool open_world(struct world *w, int argc, char **argv)
{
    sona_route_spec specs[SONA_ROUTES_MAX];
    sona_diag diag = {.text = ""};

    memset(specs, 0, sizeof specs);
    sona_config_init(&w->config);
    w->config.hidden_dim = w->config.embedding_dim = w->dim;
    w->config.routes_max = 6;
    w->config.base_lora_rank = 4;
    w->config.base_lora_layers = 2;
    w->config.replay_capacity = 400;
    w->config.pattern_clusters = 8;
    w->config.trajectory_capacity = 64;
    w->config.max_trajectory_steps = 3;
    w->config.feedback_window_ms = 2000;
    w->config.background_interval_ms = 5000;
    for (int i = 4; i < argc; i++) {
        char *value = strchr(argv[i], '=');

        if (value == NULL)
            return false;
        *value++ = 0;
        if (sona_config_set(&w->config, argv[i], value, &diag) != SONA_OK) {
            (void)fprintf(stderr, "%s\n", diag.text);
            return false;
        }
    }
    for (uint32_t k = 0; k < w->config.routes_max; k++) {
        (void)snprintf(specs[k].name, sizeof specs[k].name, "route-%u", k);
        specs[k].prior_quality = 0.5f;
        specs[k].prior_weight = 1;
    }
    if (sona_engine_create(&w->engine, &w->config, specs, w->config.routes_max, &diag) == SONA_OK)
        return true;
    (void)fprintf(stderr, "%s\n", diag.text);
    return false;
}

/* Of every byte of the learner's memory (FNV-1a, 64 bits): two runs that agree on it agree on all.
 */
static uint64_t digest(const struct sona_learner *l)
{
    const unsigned char *bytes = (const unsigned char *)l;
    uint64_t hash = 0xcbf29ce484222325u;

    for (size_t i = 0; i < l->bytes; i++)
        hash = (hash ^ bytes[i]) * 0x100000001b3u;
    return hash;
}

int main(int argc, char **argv)
{
    struct world w = {.now_ms = 1};
    struct tap tap = {0, 0};
    uint64_t events = argc > 3 ? strtoull(argv[1], NULL, 10) : 0, blocks = 0;

    w.dim = argc > 3 ? (uint32_t)strtoul(argv[2], NULL, 10) : 0;
    w.seed = argc > 3 ? strtoull(argv[3], NULL, 10) : 0;
    w.random = w.seed * 2 + 1;
    if (events == 0 || w.dim == 0 || w.dim > SONA_DIM_MAX || !open_world(&w, argc, argv)) {
        (void)fprintf(stderr, "usage: adversarial EVENTS DIM SEED [KEY=VALUE ...]\n");
        return 2;
    }
    w.x = calloc(3 * (size_t)w.dim + SONA_ROUTES_MAX, sizeof(float));
    w.y = w.x + w.dim;
    w.base = w.y + w.dim;
    w.scores = w.base + w.dim;
    for (; w.events < events && w.why == NULL; blocks++)
        play_block(&w);
    tap_ok(&tap, w.why == NULL, "%llu events, dim %u, seed %llu, %s: %s",
           (unsigned long long)w.events, w.dim, (unsigned long long)w.seed,
           sona_kernels_active()->name,
           w.why != NULL ? w.why : "finite, bounded, positive definite after every block");
    if (w.why != NULL)
        (void)printf("# block %llu, asking %d, rewarding %d\n", (unsigned long long)blocks,
                     (int)w.ask, (int)w.reward);
    (void)printf("# learner %016llx\n", (unsigned long long)digest(w.engine->learner));
    free(w.x);
    sona_engine_destroy(&w.engine);
    return tap_done(&tap);
}
