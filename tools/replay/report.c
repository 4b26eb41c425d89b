/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
#include "tools/replay/report.h"

#include <math.h>
#include <string.h>

#include "tools/terminal.h"

#define DROP_PREFIX "drop_"

/* A number, or null where there is none: NaN is not JSON. */
static json_t *real(double value)
{
    return isfinite(value) ? json_real(value) : json_null();
}

json_t *sona_replay_report_latency(const struct sona_replay_latency *latency, double unit_ns)
{
    return json_pack("{s:o, s:o}", "p50", real(latency->p50 / unit_ns), "p99",
                     real(latency->p99 / unit_ns));
}

const char *sona_replay_report_reason(sona_counter counter)
{
    const char *name = sona_counter_name(counter);

    return strncmp(name, DROP_PREFIX, strlen(DROP_PREFIX)) == 0 ? name + strlen(DROP_PREFIX) : NULL;
}

json_t *sona_replay_report_dropped(const struct sona_tools_totals *totals)
{
    json_t *dropped = json_object();

    for (uint32_t c = 0; c < SONA_COUNTER_COUNT; c++) {
        const char *reason = sona_replay_report_reason((sona_counter)c);

        if (reason != NULL && totals->counter[c] > 0)
            (void)json_object_set_new(dropped, reason,
                                      json_integer((json_int_t)totals->counter[c]));
    }
    return dropped;
}

static json_t *policies(const struct sona_replay_result *result)
{
    json_t *policy = json_object();

    for (uint32_t m = 0; m < SONA_REPLAY_MARKS; m++) {
        char mark[16];

        (void)snprintf(mark, sizeof mark, "%u", sona_replay_mark[m]);
        (void)json_object_set_new(policy, mark, real(result->policy[m]));
    }
    (void)json_object_set_new(policy, "end", real(result->policy[SONA_REPLAY_MARKS]));
    return policy;
}

/* The figures that only some orders and sets have. */
static void add_special(json_t *to, const struct sona_replay_setup *setup,
                        const struct sona_replay_result *result)
{
    if (result->spec.order == SONA_REPLAY_DRIFT) {
        (void)json_object_set_new(to, "before", real(result->before));
        (void)json_object_set_new(to, "d0_200", real(result->d0_200));
        (void)json_object_set_new(to, "d200_500", real(result->d200_500));
        (void)json_object_set_new(to, "d500_1000", real(result->d500_1000));
    }
    if (result->spec.order == SONA_REPLAY_TASKS || result->spec.order == SONA_REPLAY_RETURNING)
        (void)json_object_set_new(to, "tasks", json_integer(result->spec.tasks));
    if (result->spec.order == SONA_REPLAY_RETURNING) {
        (void)json_object_set_new(to, "before", real(result->r_before));
        (void)json_object_set_new(to, "r0_50", real(result->r0_50));
        (void)json_object_set_new(to, "r50_200", real(result->r50_200));
        (void)json_object_set_new(to, "tested_before", real(result->tested_before));
        (void)json_object_set_new(to, "tested_50", real(result->tested_50));
        (void)json_object_set_new(to, "tested_after", real(result->tested_after));
    }
    if (result->spec.order != SONA_REPLAY_SHUFFLED && result->spec.order != SONA_REPLAY_DRIFT) {
        (void)json_object_set_new(to, "after", real(result->after));
        (void)json_object_set_new(to, "end", real(result->end));
        (void)json_object_set_new(to, "forgetting", real(result->forgetting));
    }
    if (setup->set->routes == 2)
        (void)json_object_set_new(to, "apgr", real(result->apgr));
}

/* {"width": queries for each point, "reward": [mean reward of each]} */
static json_t *curve(const struct sona_replay_setup *setup, const struct sona_replay_result *result)
{
    json_t *points = json_array();

    for (uint32_t i = 0; i < result->n_curve; i++)
        (void)json_array_append_new(points, real((double)result->curve[i]));
    return json_pack("{s:I, s:o}", "width", (json_int_t)setup->curve, "reward", points);
}

json_t *sona_replay_report_json(const struct sona_replay_setup *setup,
                                const struct sona_replay_result *result)
{
    const uint64_t *counter = result->totals.counter;
    char hash[24];
    json_t *root;

    (void)snprintf(hash, sizeof hash, "%016llx", (unsigned long long)result->decisions);
    root =
        json_pack("{s:s, s:I, s:I, s:I, s:s, s:f, s:s, s:b, s:f, s:I}", "data", setup->set->name,
                  "rows", (json_int_t)result->spec.rows, "routes", (json_int_t)setup->set->routes,
                  "seed", (json_int_t)result->spec.seed, "order",
                  sona_replay_order_name(result->spec.order), "lambda", (double)result->spec.lambda,
                  "transport", setup->embedded ? "embedded" : "shm", "lock_step", !setup->free_run,
                  "feedback", setup->feedback, "delay", (json_int_t)setup->delay);
    if (root == NULL)
        return NULL;
    if (result->spec.tenants > 0) {
        static const char *const kinds[] = {"both", "taste", "swap"};

        (void)json_object_set_new(root, "tenants", json_integer(result->spec.tenants));
        (void)json_object_set_new(root, "spread", real((double)result->spec.spread));
        (void)json_object_set_new(root, "kind", json_string(kinds[result->spec.kind]));
        (void)json_object_set_new(root, "separate", json_boolean(setup->separate));
    }
    (void)json_object_set_new(root, "mean_reward", real(result->mean_reward));
    (void)json_object_set_new(root, "tail_reward", real(result->tail_reward));
    (void)json_object_set_new(root, "best_fixed", real(result->base.best_fixed));
    (void)json_object_set_new(root, "random", real(result->base.random));
    (void)json_object_set_new(root, "oracle", real(result->base.oracle));
    (void)json_object_set_new(root, "policy_at", policies(result));
    add_special(root, setup, result);
    if (result->resumed.bytes > 0) {
        (void)json_object_set_new(root, "resume_at", json_integer(setup->resume_at));
        (void)json_object_set_new(root, "state_bytes",
                                  json_integer((json_int_t)result->resumed.bytes));
        (void)json_object_set_new(root, "save_ms", real(result->resumed.save_ns / 1e6));
        (void)json_object_set_new(root, "load_ms", real(result->resumed.load_ns / 1e6));
    }
    if (setup->curve > 0)
        (void)json_object_set_new(root, "curve", curve(setup, result));
    (void)json_object_set_new(root, "decide_ns", sona_replay_report_latency(&result->decide, 1));
    (void)json_object_set_new(root, "outcome_ns", sona_replay_report_latency(&result->outcome, 1));
    (void)json_object_set_new(root, "visible_us",
                              sona_replay_report_latency(&result->visible, 1e3));
    (void)json_object_set_new(root, "events", json_integer((json_int_t)result->told));
    (void)json_object_set_new(root, "learned",
                              json_integer((json_int_t)counter[SONA_COUNTER_learned]));
    (void)json_object_set_new(root, "dropped", sona_replay_report_dropped(&result->totals));
    (void)json_object_set_new(root, "regime_switches",
                              json_integer((json_int_t)counter[SONA_COUNTER_regime_switches]));
    (void)json_object_set_new(root, "ewc_boundaries",
                              json_integer((json_int_t)counter[SONA_COUNTER_ewc_boundaries]));
    (void)json_object_set_new(root, "snapshots",
                              json_integer((json_int_t)counter[SONA_COUNTER_snapshots]));
    (void)json_object_set_new(root, "seconds", real(result->seconds));
    (void)json_object_set_new(root, "simd", json_string(result->totals.simd));
    (void)json_object_set_new(root, "decisions", json_string(hash));
    return root;
}

void sona_replay_report_line(FILE *out, json_t *object)
{
    (void)json_dumpf(object, out, JSON_REAL_PRECISION(7) | JSON_ENSURE_ASCII);
    fputc('\n', out);
    (void)fflush(out);
}

void sona_replay_report_head(FILE *out, const struct sona_replay_setup *setup,
                             const struct sona_replay_result *result)
{
    char rows[SONA_TOOLS_GROUPED_MAX], test[SONA_TOOLS_GROUPED_MAX];
    const struct sona_replay_spec *spec = &result->spec;

    fprintf(out, "%s: %u routes, %u dimensions", setup->set->name, setup->set->routes,
            setup->set->dim);
    if (spec->order == SONA_REPLAY_TASKS || spec->order == SONA_REPLAY_RETURNING)
        fprintf(out, "; %u tasks of %s queries%s", spec->tasks,
                sona_tools_grouped(spec->rows, rows),
                spec->order == SONA_REPLAY_RETURNING ? ", then the first again" : "");
    else
        fprintf(out, "; %s queries, %s", sona_tools_grouped(spec->rows, rows),
                sona_replay_order_name(spec->order));
    fprintf(out, "; %s rows held out\n", sona_tools_grouped(spec->test, test));
    fprintf(out, "reward = quality - %g x cost; %s", (double)spec->lambda,
            setup->embedded   ? "learner inside this process"
            : setup->free_run ? "private sidecar over shared memory, free run"
                              : "private sidecar over shared memory, lock-step");
    if (setup->feedback < 1 || setup->delay > 0)
        fprintf(out, "; %g %% of the outcomes told, %u decisions late", 100 * setup->feedback,
                setup->delay);
    fprintf(out,
            "\n\n"
            "            ------- learned --------   ------ for comparison ------   ------- p50 / "
            "p99 -------\n"
            "      seed    mean  last 20%%    held    best 1  random  oracle       decide         "
            "  visible\n");
}

/* "1.2 us / 3.4 us" */
static const char *both(const struct sona_replay_latency *latency, char *ret, size_t size)
{
    char p50[SONA_TOOLS_DURATION_MAX], p99[SONA_TOOLS_DURATION_MAX];

    (void)snprintf(ret, size, "%s / %s", sona_tools_duration(latency->p50, p50),
                   sona_tools_duration(latency->p99, p99));
    return ret;
}

/* ".1234" in a cell of `width`, "-" where there is no number. */
static void cell(FILE *out, int width, double value)
{
    if (isfinite(value))
        fprintf(out, "%*.4f", width, value);
    else
        fprintf(out, "%*s", width, "-");
}

void sona_replay_report_row(FILE *out, const struct sona_replay_result *result)
{
    char decide[80], visible[80];

    fprintf(out, "%10llu", (unsigned long long)result->spec.seed);
    cell(out, 8, result->mean_reward);
    cell(out, 10, result->tail_reward);
    cell(out, 8, result->policy[SONA_REPLAY_MARKS]);
    cell(out, 10, result->base.best_fixed);
    cell(out, 8, result->base.random);
    cell(out, 8, result->base.oracle);
    fprintf(out, "  %18s %18s\n", both(&result->decide, decide, sizeof decide),
            isfinite(result->visible.p50) ? both(&result->visible, visible, sizeof visible)
                                          : "at once");
    (void)fflush(out);
}

/* Mean and standard error of one figure over the seeds. */
static void figure(FILE *out, const char *label, const struct sona_replay_result *results,
                   uint32_t n, size_t offset)
{
    double sum = 0, square = 0, mean, se;
    uint32_t count = 0;

    for (uint32_t i = 0; i < n; i++) {
        double value;

        memcpy(&value, (const char *)&results[i] + offset, sizeof value);
        if (!isfinite(value))
            continue;
        sum += value;
        square += value * value;
        count++;
    }
    if (count == 0)
        return;
    mean = sum / count;
    se = count > 1 ? sqrt(fmax(0, square - count * mean * mean) / (count - 1) / count) : 0;
    if (count > 1)
        fprintf(out, "  %-32s %7.4f +- %.4f\n", label, mean, se);
    else
        fprintf(out, "  %-32s %7.4f\n", label, mean);
}

static void figures(FILE *out, const struct sona_replay_result *results, uint32_t n)
{
#define FIGURE(label, field) \
    figure(out, label, results, n, offsetof(struct sona_replay_result, field))
    fprintf(out, "\n");
    if (n > 1) {
        FIGURE("mean reward", mean_reward);
        FIGURE("last 20 %", tail_reward);
        FIGURE("best single route", base.best_fixed);
    }
    FIGURE("held-out policy after 100", policy[0]);
    FIGURE("                  after 300", policy[1]);
    FIGURE("                  after 1,000", policy[2]);
    FIGURE("                  after 3,000", policy[3]);
    FIGURE("                  at the end", policy[4]);
    FIGURE("500 before the drift", before);
    FIGURE("0 to 200 after it", d0_200);
    FIGURE("200 to 500 after it", d200_500);
    FIGURE("500 to 1,000 after it", d500_1000);
    FIGURE("first turn, last 200", r_before);
    FIGURE("first 50 after the return", r0_50);
    FIGURE("50 to 200 after it", r50_200);
    FIGURE("first task tested, first turn", tested_before);
    FIGURE("      50 feedbacks after return", tested_50);
    FIGURE("      at the end of the return", tested_after);
    FIGURE("tested right after its turn", after);
    FIGURE("tested at the end", end);
    FIGURE("forgetting", forgetting);
    FIGURE("APGR on held-out rows", apgr);
#undef FIGURE
}

void sona_replay_report_tail(FILE *out, const struct sona_replay_setup *setup,
                             const struct sona_replay_result *results, uint32_t n)
{
    char told_text[SONA_TOOLS_GROUPED_MAX], learned_text[SONA_TOOLS_GROUPED_MAX];
    char snapshots_text[SONA_TOOLS_GROUPED_MAX];
    uint64_t told = 0, learned = 0, snapshots = 0;
    uint64_t dropped[SONA_COUNTER_COUNT] = {0};
    bool any = false;

    figures(out, results, n);
    for (uint32_t i = 0; i < n; i++) {
        told += results[i].told;
        learned += results[i].totals.counter[SONA_COUNTER_learned];
        snapshots += results[i].totals.counter[SONA_COUNTER_snapshots];
        for (uint32_t c = 0; c < SONA_COUNTER_COUNT; c++)
            dropped[c] += results[i].totals.counter[c];
    }
    fprintf(out, "\n  %s outcomes told, %s learned", sona_tools_grouped(told, told_text),
            sona_tools_grouped(learned, learned_text));
    if (!setup->embedded)
        fprintf(out, ", %s snapshots published", sona_tools_grouped(snapshots, snapshots_text));
    fprintf(out, "\n  dropped:");
    for (uint32_t c = 0; c < SONA_COUNTER_COUNT; c++) {
        const char *reason = sona_replay_report_reason((sona_counter)c);

        if (reason == NULL || dropped[c] == 0)
            continue;
        fprintf(out, "%s %s %s (%s)", any ? "," : "", sona_tools_grouped(dropped[c], told_text),
                reason, sona_counter_help((sona_counter)c));
        any = true;
    }
    fprintf(out, "%s\n", any ? "" : " none");
}
