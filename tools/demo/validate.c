/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
#include "tools/demo/validate.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "tools/fail.h"
#include "tools/replay/report.h"
#include "tools/terminal.h"

#define ROUTES_SHOWN 12u

static void count(struct sona_demo_agreement *to, bool agreed, double quality)
{
    to->lines++;
    to->quality += quality;
    to->agreed += agreed;
    to->agreed_quality += agreed ? quality : 0;
}

static sona_err open_router(const struct sona_demo_log *log,
                            const struct sona_demo_validate_options *options,
                            struct sona_tools_router **ret, sona_diag *reterr)
{
    struct sona_tools_settings settings = {.count = 0};
    struct sona_tools_router_options router = {
        .embedded = options->embedded,
        .settings = &settings,
        .routes = log->routes,
        .n_routes = log->n_routes,
        .stop = options->stop,
    };
    sona_err err =
        sona_tools_settings_base(&settings, log->dim, log->n_routes, options->seed, reterr);

    return err == SONA_OK ? sona_tools_router_open(ret, &router, reterr) : err;
}

/* Ask, then teach, one line. */
static sona_err take_line(struct sona_tools_router *router, const struct sona_demo_log *log,
                          uint32_t i, float *score, struct sona_demo_validation *ret,
                          sona_diag *reterr)
{
    const float *x = log->x + (size_t)i * log->dim;
    uint32_t best = 0, logged = log->route[i];
    double quality = (double)log->quality[i];
    bool visible;
    sona_err err = sona_tools_router_score(router, 0, x, score);

    for (uint32_t k = 1; err == SONA_OK && k < log->n_routes; k++)
        if (score[k] > score[best])
            best = k;
    if (err == SONA_OK)
        err = sona_tools_router_teach(router, x, logged, log->quality[i]);
    if (err != SONA_OK)
        return sona_tools_fail(reterr, err, "usable line %u of the log failed: %s; %s", i + 1,
                               sona_err_text(err), sona_err_remedy(err));
    count(&ret->all, best == logged, quality);
    if (i >= log->rows / 2)
        count(&ret->second_half, best == logged, quality);
    ret->route[logged].logged++;
    ret->route[logged].quality += quality;
    ret->route[best].chosen++;
    return sona_tools_router_settle(router, &visible, reterr);
}

sona_err sona_demo_validate(const struct sona_demo_log *log,
                            const struct sona_demo_validate_options *options,
                            struct sona_demo_validation *ret, sona_diag *reterr)
{
    struct sona_tools_router *router = NULL;
    float *score = malloc(log->n_routes * sizeof *score);
    sona_err err;

    memset(ret, 0, sizeof *ret);
    err = score != NULL ? open_router(log, options, &router, reterr)
                        : sona_tools_fail(reterr, SONA_E_MEMORY, "not enough memory");
    for (uint32_t i = 0; i < log->rows && err == SONA_OK; i++) {
        if (options->stop != NULL && *options->stop != 0)
            break;
        err = take_line(router, log, i, score, ret, reterr);
        if (options->on_line != NULL)
            options->on_line(options->arg, i + 1, log->rows);
    }
    if (options->stop != NULL && *options->stop != 0) {
        ret->interrupted = true; /* a Ctrl-C reaches the sidecar too: no failure */
        err = SONA_OK;
    }
    if (err == SONA_OK && !ret->interrupted)
        err = sona_tools_router_drain(router, reterr);
    if (err == SONA_OK && !ret->interrupted)
        err = sona_tools_router_totals(router, &ret->totals, reterr);
    sona_tools_router_close(&router);
    free(score);
    return err;
}

/* Index of the route with the best logged mean. */
static uint32_t best_logged(const struct sona_demo_log *log,
                            const struct sona_demo_validation *validation)
{
    uint32_t best = 0;
    double mean = -1;

    for (uint32_t k = 0; k < log->n_routes; k++) {
        uint32_t n = validation->route[k].logged;

        if (n > 0 && validation->route[k].quality / n > mean) {
            mean = validation->route[k].quality / n;
            best = k;
        }
    }
    return best;
}

static double ratio(double sum, uint32_t n)
{
    return n > 0 ? sum / n : (double)NAN;
}

static void print_agreement(FILE *out, const char *part, const struct sona_demo_agreement *a)
{
    char agreed[SONA_TOOLS_GROUPED_MAX];

    fprintf(out, "  %-14s %9.1f %% %13.3f %13.3f", part, 100 * ratio(a->agreed, a->lines),
            ratio(a->quality, a->lines), ratio(a->agreed_quality, a->agreed));
    fprintf(out, "   on %s lines\n", sona_tools_grouped(a->agreed, agreed));
}

static void print_routes(FILE *out, const struct sona_demo_log *log,
                         const struct sona_demo_validation *validation)
{
    uint32_t n = log->n_routes < ROUTES_SHOWN ? log->n_routes : ROUTES_SHOWN;

    fprintf(out, "\n  %-28s %10s %10s %12s\n", "route", "logged", "quality", "learner");
    for (uint32_t k = 0; k < n; k++)
        fprintf(out, "  %-28.28s %8.1f %% %10.3f %10.1f %%\n", log->routes[k].name,
                100 * ratio(validation->route[k].logged, log->rows),
                ratio(validation->route[k].quality, validation->route[k].logged),
                100 * ratio(validation->route[k].chosen, log->rows));
    if (n < log->n_routes)
        fprintf(out, "  ... and %u more\n", log->n_routes - n);
}

void sona_demo_validation_print(FILE *out, const char *name, const struct sona_demo_log *log,
                                const struct sona_demo_validation *validation)
{
    char rows[SONA_TOOLS_GROUPED_MAX], learned[SONA_TOOLS_GROUPED_MAX];
    char malformed[SONA_TOOLS_GROUPED_MAX];
    uint32_t best = best_logged(log, validation);

    fprintf(out, "\n  %s: %s usable lines, %u %s, %u dimensions\n", name,
            sona_tools_grouped(log->rows, rows), log->n_routes,
            log->n_routes == 1 ? "route" : "routes", log->dim);
    fprintf(out, "  %s learned, as trajectories, in the order of the log; %s lines passed over\n",
            sona_tools_grouped(validation->totals.counter[SONA_COUNTER_learned], learned),
            sona_tools_grouped(log->malformed, malformed));
    print_routes(out, log, validation);
    fprintf(out, "\n  %-14s %11s %13s %13s\n", "", "learner and", "quality,", "quality where");
    fprintf(out, "  %-14s %11s %13s %13s\n", "", "log agree", "all lines", "they agree");
    print_agreement(out, "whole log", &validation->all);
    print_agreement(out, "second half", &validation->second_half);
    fprintf(out, "\n  best single route by its logged mean: %s, %.3f\n", log->routes[best].name,
            ratio(validation->route[best].quality, validation->route[best].logged));
    fprintf(
        out,
        "\n"
        "  How to read this: the learner was asked before it was taught each line. Where it\n"
        "  chose another route than the log, nobody knows what that would have been worth. If\n"
        "  your router chose at random, the last column estimates what the learner would have\n"
        "  earned. If it chose by judgement, the lines where both agree are a selection of its\n"
        "  own: take the figure as a hint, and test the learner on a share of your traffic.\n");
    if (log->n_routes == 1)
        fprintf(out, "  With one route in the log there is nothing to choose between.\n");
}

static json_t *agreement_json(const struct sona_demo_agreement *a)
{
    json_t *object = json_pack("{s:I, s:I, s:f}", "lines", (json_int_t)a->lines, "agreed",
                               (json_int_t)a->agreed, "agreement", ratio(a->agreed, a->lines));

    (void)json_object_set_new(object, "mean_quality",
                              a->lines > 0 ? json_real(a->quality / a->lines) : json_null());
    (void)json_object_set_new(object, "agreed_quality",
                              a->agreed > 0 ? json_real(a->agreed_quality / a->agreed)
                                            : json_null());
    return object;
}

json_t *sona_demo_validation_json(const char *name, const struct sona_demo_log *log,
                                  const struct sona_demo_validate_options *options,
                                  const struct sona_demo_validation *validation)
{
    json_t *root =
        json_pack("{s:s, s:s, s:I, s:I, s:I, s:I, s:I}", "log", name, "transport",
                  options->embedded ? "embedded" : "shm", "lines", (json_int_t)log->lines, "usable",
                  (json_int_t)log->rows, "malformed", (json_int_t)log->malformed, "dim",
                  (json_int_t)log->dim, "seed", (json_int_t)options->seed);
    json_t *reasons = json_array(), *routes = json_array();

    if (root == NULL)
        return NULL;
    for (uint32_t i = 0; i < log->malformed && i < SONA_DEMO_LOG_REASONS_MAX; i++)
        (void)json_array_append_new(reasons, json_string(log->reason[i]));
    for (uint32_t k = 0; k < log->n_routes; k++)
        (void)json_array_append_new(
            routes, json_pack("{s:s, s:I, s:f, s:I}", "name", log->routes[k].name, "logged",
                              (json_int_t)validation->route[k].logged, "mean_quality",
                              ratio(validation->route[k].quality, validation->route[k].logged),
                              "chosen", (json_int_t)validation->route[k].chosen));
    (void)json_object_set_new(root, "malformed_reasons", reasons);
    (void)json_object_set_new(root, "routes", routes);
    (void)json_object_set_new(root, "whole", agreement_json(&validation->all));
    (void)json_object_set_new(root, "second_half", agreement_json(&validation->second_half));
    (void)json_object_set_new(
        root, "learned",
        json_integer((json_int_t)validation->totals.counter[SONA_COUNTER_learned]));
    (void)json_object_set_new(root, "dropped", sona_replay_report_dropped(&validation->totals));
    return root;
}
