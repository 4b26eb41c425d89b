/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
#include "tools/demo/report.h"

#include <math.h>
#include <string.h>

#include "tools/replay/report.h"
#include "tools/terminal.h"

#define CURVE_POINTS 60u

void sona_demo_report_windows(struct sona_demo_figures *figures)
{
    uint32_t done = figures->curve->done, half = done / 2 > 0 ? done / 2 : done;

    figures->n_first = half < SONA_DEMO_FIRST ? half : SONA_DEMO_FIRST;
    figures->n_last = half < SONA_DEMO_LAST ? half : SONA_DEMO_LAST;
    figures->first = sona_demo_curve_mean(figures->curve, 0, figures->n_first);
    figures->last = sona_demo_curve_mean(figures->curve, done - figures->n_last, done);
}

/* Events told to the learner that neither changed weights nor wait to. */
static uint64_t lost(const struct sona_replay_result *result)
{
    uint64_t learned = result->totals.counter[SONA_COUNTER_learned];

    return result->told + result->unrecorded > learned ? result->told + result->unrecorded - learned
                                                       : 0;
}

static json_t *curve_json(const struct sona_demo_curve *curve)
{
    json_t *points = json_array();
    uint32_t every = (curve->length + CURVE_POINTS - 1) / CURVE_POINTS;

    for (uint32_t t = every; t <= curve->done; t += every)
        (void)json_array_append_new(points, json_pack("{s:I, s:f}", "at", (json_int_t)t, "mean",
                                                      sona_demo_curve_at(curve, t)));
    return points;
}

static json_t *proof_json(const struct sona_demo_proof *proof)
{
    json_t *object = json_object();

    (void)json_object_set_new(object, "system_calls",
                              proof->ran && !proof->entered ? json_integer(0) : json_null());
    (void)json_object_set_new(object, "proven", json_boolean(proof->ran && !proof->entered));
    (void)json_object_set_new(object, "calls", json_integer((json_int_t)proof->calls));
    if (proof->reason[0] != '\0')
        (void)json_object_set_new(object, "reason", json_string(proof->reason));
    return object;
}

json_t *sona_demo_report_json(const struct sona_demo_figures *figures)
{
    const struct sona_replay_result *result = figures->result;
    json_t *root = sona_replay_report_json(figures->setup, result);

    if (root == NULL)
        return NULL;
    if (figures->packages != NULL) {
        (void)json_object_set_new(root, "descriptions",
                                  json_integer((json_int_t)figures->packages->set.rows));
        (void)json_object_set_new(root, "packages",
                                  json_integer((json_int_t)figures->packages->seen));
    }
    (void)json_object_set_new(
        root, "first",
        json_pack("{s:I, s:f}", "rows", (json_int_t)figures->n_first, "mean", figures->first));
    (void)json_object_set_new(
        root, "last",
        json_pack("{s:I, s:f}", "rows", (json_int_t)figures->n_last, "mean", figures->last));
    (void)json_object_set_new(root, "apply_ns", sona_replay_report_latency(&result->apply, 1));
    (void)json_object_set_new(root, "hot_path", proof_json(figures->proof));
    (void)json_object_set_new(root, "lost", json_integer((json_int_t)lost(result)));
    (void)json_object_set_new(root, "curve", curve_json(figures->curve));
    return root;
}

static void print_latency(FILE *out, const char *label, const struct sona_replay_latency *latency,
                          const char *note)
{
    char p50[SONA_TOOLS_DURATION_MAX], p99[SONA_TOOLS_DURATION_MAX];

    if (isnan(latency->p50))
        return;
    fprintf(out, "  %-26s %10s %10s   %s\n", label, sona_tools_duration(latency->p50, p50),
            sona_tools_duration(latency->p99, p99), note);
}

static void print_proof(FILE *out, const struct sona_demo_figures *figures)
{
    const struct sona_demo_proof *proof = figures->proof;
    char calls[SONA_TOOLS_GROUPED_MAX];

    fprintf(out, "  %-26s ", "system calls, hot path");
    if (proof->ran && !proof->entered)
        fprintf(out, "%10u   proven: %s calls under a seccomp filter that kills\n", 0,
                sona_tools_grouped(proof->calls, calls));
    else if (proof->entered)
        fprintf(out, "not zero: %s\n", proof->reason);
    else
        fprintf(out, "not counted: %s\n", proof->reason);
}

static void print_lost(FILE *out, const struct sona_replay_result *result)
{
    char count[SONA_TOOLS_GROUPED_MAX];
    const char *separator = "   ";

    fprintf(out, "  %-26s %10s", "events lost", sona_tools_grouped(lost(result), count));
    for (uint32_t c = 0; c < SONA_COUNTER_COUNT; c++) {
        const char *reason = sona_replay_report_reason((sona_counter)c);

        if (reason == NULL || result->totals.counter[c] == 0)
            continue;
        fprintf(out, "%s%s: %s", separator, reason,
                sona_tools_grouped(result->totals.counter[c], count));
        separator = ", ";
    }
    fprintf(out, "   of %s told; %s learned\n", sona_tools_grouped(result->told, count),
            result->totals.counter[SONA_COUNTER_learned] == result->told ? "all" : "not all");
}

void sona_demo_report_print(FILE *out, const struct sona_demo_figures *figures)
{
    const struct sona_replay_result *result = figures->result;
    const struct sona_tools_dataset *set = figures->setup->set;
    char first[SONA_TOOLS_GROUPED_MAX + 8], last[SONA_TOOLS_GROUPED_MAX + 8];
    char count[SONA_TOOLS_GROUPED_MAX];

    (void)snprintf(first, sizeof first, "first %s", sona_tools_grouped(figures->n_first, count));
    (void)snprintf(last, sizeof last, "last %s", sona_tools_grouped(figures->n_last, count));
    fprintf(out, "\n  %-26s %10s %10s\n", figures->what, first, last);
    fprintf(out, "  %-26s %8.1f %% %8.1f %%\n", "the learner", 100 * figures->first,
            100 * figures->last);
    fprintf(out, "  %-26s %8.1f %% %8.1f %%   %s, for every query\n", "best single route",
            100 * result->base.best_fixed, 100 * result->base.best_fixed,
            set->route[result->base.best_route].name);
    fprintf(out, "  %-26s %8.1f %% %8.1f %%\n", "chance", 100 * result->base.random,
            100 * result->base.random);
    fprintf(out, "\n  %-26s %10s %10s\n", "", "p50", "p99");
    print_latency(out, "decide", &result->decide, "choose, explore, record");
    print_latency(out, "apply", &result->apply, "the adapters alone");
    print_latency(out, "outcome", &result->outcome,
                  figures->setup->embedded ? "tell and learn" : "tell");
    print_latency(out, "feedback to visible", &result->visible,
                  "outcome told -> a snapshot contains it");
    fprintf(out, "\n");
    print_proof(out, figures);
    print_lost(out, result);
}

bool sona_demo_report_save(const char *path, json_t *object)
{
    return json_dump_file(object, path, JSON_REAL_PRECISION(7) | JSON_INDENT(2)) == 0;
}
