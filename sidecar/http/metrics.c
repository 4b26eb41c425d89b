/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/*
 * GET /metrics: OpenMetrics text 1.0. First a copy of every instance's figures is taken, each as
 * the other threads show it, then the page is written family by family. Nobody waits for it.
 *
 * The number of series is bounded, whatever comes and goes: a route has its series while it is
 * enabled, so that there are never more than routes_max of them; all other labels are words of this
 * file, of the table of counters, and names of instances. docs/metrics.md has a row per family. See
 * inside.h.
 */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <event2/buffer.h>

#include <sona/version.h>

#include "shm/layout.h"
#include "sidecar/clock.h"
#include "sidecar/histogram.h"
#include "sidecar/http/inside.h"
#include "sidecar/report.h"
#include "sidecar/sidecar.h"
#include "sidecar/store/store.h"

#define CONTENT_TYPE "application/openmetrics-text; version=1.0.0; charset=utf-8"

/* The program's allocator, when it is jemalloc: only the sidecar's link line knows. */
extern int mallctl(const char *name, void *old, size_t *old_bytes, void *next, size_t bytes)
    __attribute__((weak));

struct figures {
    const struct sona_sidecar *sidecar;
    sona_stats stats;
    enum sona_shm_state state;
    bool enabled, has_store, store_ok;
    uint64_t now_us, published_us;
    struct sona_store_positions positions;
    struct sona_store_stats store;
    uint32_t n_routes;
    double outcomes; /* of all enabled routes */
    sona_route_info *route;
};

/* Appended to by the piece: a page has thousands, and may be wanted ten times a second. */
struct page {
    char *text;
    size_t bytes, size;
    bool failed; /* no memory */
    uint32_t n;
    struct figures *figures; /* n */
};

/* ---- the copy ---- */

static void copy_routes(struct figures *f, const struct sona_sidecar_version *v)
{
    f->route = calloc(v->n_routes + 1u, sizeof *f->route);
    for (uint32_t k = 0; f->route && k < v->n_routes; k++)
        if (v->route[k].state == SONA_ROUTE_ENABLED) {
            f->route[f->n_routes++] = v->route[k];
            f->outcomes += (double)v->route[k].outcomes;
        }
}

static void copy(struct figures *f, const struct sona_sidecar *s)
{
    *f = (struct figures){.sidecar = s, .has_store = s->store != NULL, .store_ok = true};
    f->state = sona_sidecar_roster_read(s)->state;
    sona_sidecar_roster_unread();
    const struct sona_sidecar_version *v = sona_sidecar_version_read(&s->versions);
    f->enabled = v->enabled != 0;
    f->published_us = v->published_us;
    copy_routes(f, v);
    sona_sidecar_version_unread();
    sona_sidecar_report_sum(s, &f->stats);
    f->now_us = sona_sidecar_now_us();
    if (!s->store)
        return;
    f->positions = sona_store_positions(s->store);
    sona_store_stats(s->store, &f->store);
    f->store_ok = sona_store_health(s->store, NULL) == SONA_OK;
}

/* ---- lines ---- */

static void put_bytes(struct page *p, const char *text, size_t n)
{
    if (p->size - p->bytes < n) {
        size_t size = 2 * p->size + n;
        char *more = realloc(p->text, size);

        if (!more) {
            p->failed = true;
            return;
        }
        p->text = more;
        p->size = size;
    }
    memcpy(p->text + p->bytes, text, n);
    p->bytes += n;
}

static void put(struct page *p, const char *text)
{
    put_bytes(p, text, strlen(text));
}

/* Backslash, quote and newline, in a label or a help. */
static void put_escaped(struct page *p, const char *text)
{
    for (;;) {
        size_t plain = strcspn(text, "\n\\\"");

        put_bytes(p, text, plain);
        text += plain;
        if (*text == '\0')
            return;
        put(p, *text == '\n' ? "\\n" : *text == '"' ? "\\\"" : "\\\\");
        text++;
    }
}

static void put_meta(struct page *p, const char *word, const char *name)
{
    put(p, word);
    put(p, name);
    put(p, " ");
}

/* `unit` is the end of the name, or "". */
static void put_head(struct page *p, const char *name, const char *type, const char *unit,
                     const char *help)
{
    put_meta(p, "# TYPE sona_", name);
    put(p, type);
    if (unit[0] != '\0') {
        put_meta(p, "\n# UNIT sona_", name);
        put(p, unit);
    }
    put_meta(p, "\n# HELP sona_", name);
    put_escaped(p, help);
    put(p, ".\n");
}

/* A sample up to its value; `key` and `value` are a label, or null. `f` null: of the process. */
static void put_label(struct page *p, const struct figures *f, const char *name, const char *key,
                      const char *value)
{
    put(p, "sona_");
    put(p, name);
    if (f) { /* its name needs no escape */
        put(p, "{sona_instance=\"");
        put(p, f->sidecar->instance.name);
        put(p, "\"");
    }
    if (key) {
        put(p, f ? "," : "{");
        put(p, key);
        put(p, "=\"");
        put_escaped(p, value);
        put(p, "\"");
    }
    put(p, f || key ? "} " : " ");
}

static void put_count(struct page *p, const struct figures *f, const char *name, const char *key,
                      const char *value, uint64_t number)
{
    char text[24];

    put_label(p, f, name, key, value);
    (void)snprintf(text, sizeof text, "%" PRIu64 "\n", number);
    put(p, text);
}

static void put_real(struct page *p, const struct figures *f, const char *name, const char *key,
                     const char *value, double number)
{
    char text[32];

    put_label(p, f, name, key, value);
    if (isfinite(number))
        (void)snprintf(text, sizeof text, "%.9g\n", number);
    else
        (void)snprintf(text, sizeof text, "%s\n",
                       isnan(number) ? "NaN"
                       : number > 0  ? "+Inf"
                                     : "-Inf");
    put(p, text);
}

/* ---- counters: all that the table has ---- */

static bool is_drop(int c)
{
    return strncmp(sona_counter_name((sona_counter)c), "drop_", 5) == 0;
}

static void put_counters(struct page *p)
{
    char name[80];

    for (int c = 0; c < SONA_COUNTER_COUNT; c++) {
        if (is_drop(c) || c == SONA_COUNTER_latency_us)
            continue;
        put_head(p, sona_counter_name((sona_counter)c), "counter", "",
                 sona_counter_help((sona_counter)c));
        (void)snprintf(name, sizeof name, "%s_total", sona_counter_name((sona_counter)c));
        for (uint32_t k = 0; k < p->n; k++)
            put_count(p, &p->figures[k], name, NULL, NULL, p->figures[k].stats.counter[c]);
    }
    put_head(p, "drops", "counter", "", "events and steps that taught nothing, by reason");
    for (uint32_t k = 0; k < p->n; k++)
        for (int c = 0; c < SONA_COUNTER_COUNT; c++)
            if (is_drop(c))
                put_count(p, &p->figures[k], "drops_total", "reason",
                          sona_counter_name((sona_counter)c) + 5, p->figures[k].stats.counter[c]);
    put_head(p, "told_latency_seconds", "counter", "seconds",
             "latency that outcomes told, summed; latencies counts them");
    for (uint32_t k = 0; k < p->n; k++)
        put_real(p, &p->figures[k], "told_latency_seconds_total", NULL, NULL,
                 (double)p->figures[k].stats.counter[SONA_COUNTER_latency_us] / 1e6);
}

/* What clients said, before it was joined, by kind. */
static void put_records(struct page *p)
{
    put_head(p, "records", "counter", "",
             "records taken from lanes and not refused at sight, by kind");
    for (uint32_t k = 0; k < p->n; k++) {
        const struct sona_sidecar_intake_figures *in =
            sona_sidecar_intake_figures(p->figures[k].sidecar->intake);

        for (uint32_t i = 0; i < SONA_SIDECAR_KINDS; i++)
            if (sona_sidecar_report_kind(i))
                put_count(p, &p->figures[k], "records_total", "kind", sona_sidecar_report_kind(i),
                          atomic_load_explicit(&in->accepted[i], memory_order_relaxed));
    }
}

/* ---- gauges ---- */

struct gauge {
    const char *name, *unit, *help;
    double (*of)(const struct figures *f);
};

/* X(name, unit, value, help) */
#define GAUGES(X)                                                                                \
    X(uptime_seconds, "seconds", (double)(f->now_us - f->sidecar->started_us) / 1e6,             \
      "time since the start")                                                                    \
    X(learning_enabled, "", f->enabled, "1: learning is on")                                     \
    X(learner_step, "", f->stats.step, "events that the learner has taken so far")               \
    X(snapshot_age_seconds, "seconds",                                                           \
      f->now_us > f->published_us ? (double)(f->now_us - f->published_us) / 1e6 : 0,             \
      "time since a model was published last")                                                   \
    X(pending, "", f->stats.pending, "decisions and trajectories waiting for their outcome")     \
    X(parked_now, "", f->stats.parked_now, "outcomes waiting for their decision")                \
    X(replay_length, "", f->stats.replay_length, "outcomes held for the background loop")        \
    X(memory_bytes, "bytes", f->stats.memory_bytes, "learner, model, intake, queue and segment") \
    X(routes_enabled, "", f->stats.routes, "routes in use")                                      \
    X(patterns, "", f->stats.patterns, "patterns in the bank")                                   \
    X(clients, "", f->stats.clients, "clients attached")                                         \
    X(lanes, "", f->stats.lanes, "lanes claimed by them")                                        \
    X(reward_mean, "", f->stats.mean_quality, "mean quality of all outcomes learned, 0 to 1")    \
    X(reward_recent, "", f->stats.recent_quality, "the same, over about the last 200")           \
    X(prediction_error, "", f->stats.mse, "moving average of the squared error of predictions")  \
    X(micro_norm, "", f->stats.micro_norm, "Frobenius norm of MicroLoRA")                        \
    X(base_norm, "", f->stats.base_norm, "Frobenius norm of BaseLoRA, layer 0")                  \
    X(fold_discarded, "", f->stats.fold_discarded, "singular mass that folds discarded so far")  \
    X(cycle_last_seconds, "seconds", f->stats.last_cycle_ms / 1e3,                               \
      "what the last background cycle took")                                                     \
    X(layers_trained, "", f->stats.layers_trained, "BaseLoRA layers that activations changed")   \
    X(tenants, "", f->stats.tenants, "tenants with an adapter")                                  \
    X(regimes, "", f->stats.regimes, "regimes of queries remembered; 0: no gate")                \
    X(ewc_tasks, "", f->stats.ewc_tasks, "tasks that anchors of EWC++ remember")                 \
    X(ewc_lambda, "", f->stats.ewc_lambda, "weight of the anchors; 0: EWC++ is off")             \
    X(ewc_penalty, "", f->stats.ewc_penalty, "what the anchors hold back now")

#define DEFINE(name, unit, value, help)              \
    static double of_##name(const struct figures *f) \
    {                                                \
        return (double)(value);                      \
    }
GAUGES(DEFINE)
#undef DEFINE

/* Of the store; left out where nothing is kept. */
#define STORE_GAUGES(X)                                                                  \
    X(journal_lag, "", f->positions.appended - f->positions.committed,                   \
      "records appended and not committed yet")                                          \
    X(journal_undurable, "", f->positions.appended - f->positions.durable,               \
      "records that a failure of the power would cost now")                              \
    X(journal_bytes, "bytes", f->store.file_bytes, "the journal's file")                 \
    X(journal_wal_bytes, "bytes", f->store.wal_bytes, "its write-ahead log")             \
    X(journal_intake_bytes, "bytes", f->store.intake_bytes, "waiting in the intake log") \
    X(journal_writable, "", f->store_ok, "1: the journal can be written; 0: learning waits")

#define DEFINE(name, unit, value, help)              \
    static double of_##name(const struct figures *f) \
    {                                                \
        return (double)(value);                      \
    }
STORE_GAUGES(DEFINE)
#undef DEFINE

#define ROW(name, unit, value, help) {#name, unit, help, of_##name},
static const struct gauge gauges[] = {GAUGES(ROW)}, store_gauges[] = {STORE_GAUGES(ROW)};
#undef ROW

static void put_gauges(struct page *p, const struct gauge *table, size_t n, bool of_store)
{
    bool any = !of_store;

    for (uint32_t k = 0; k < p->n; k++)
        any = any || p->figures[k].has_store;
    for (size_t i = 0; any && i < n; i++) {
        const struct gauge *g = &table[i];

        put_head(p, g->name, "gauge", g->unit, g->help);
        for (uint32_t k = 0; k < p->n; k++)
            if (!of_store || p->figures[k].has_store)
                put_real(p, &p->figures[k], g->name, NULL, NULL, g->of(&p->figures[k]));
    }
}

static void put_journal(struct page *p)
{
    bool any = false;

    for (uint32_t k = 0; k < p->n; k++)
        any = any || p->figures[k].has_store;
    if (!any)
        return;
    put_head(p, "journal_records", "counter", "", "records appended to the journal");
    for (uint32_t k = 0; k < p->n; k++)
        if (p->figures[k].has_store)
            put_count(p, &p->figures[k], "journal_records_total", NULL, NULL,
                      p->figures[k].positions.appended);
    put_gauges(p, store_gauges, sizeof store_gauges / sizeof store_gauges[0], true);
}

static void put_trust(struct page *p)
{
    static const char *const parts[] = {"head", "refit", "patterns", "micro"};

    put_head(p, "trust", "gauge", "", "trust in each part of the prediction, 0 to 1.5");
    for (uint32_t k = 0; k < p->n; k++)
        for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++)
            put_real(p, &p->figures[k], "trust", "part", parts[i], p->figures[k].stats.stack[i]);
}

static void put_state(struct page *p)
{
    put_head(p, "state", "stateset", "", "what the sidecar does now");
    for (uint32_t k = 0; k < p->n; k++)
        for (int s = SONA_SHM_INIT; s <= SONA_SHM_RETIRED; s++)
            put_count(p, &p->figures[k], "state", "sona_state",
                      sona_sidecar_report_state((enum sona_shm_state)s),
                      p->figures[k].state == (enum sona_shm_state)s);
}

/* ---- routes ---- */

static double share_of(const struct figures *f, const sona_route_info *r)
{
    return f->outcomes > 0 ? (double)r->outcomes / f->outcomes : 0;
}

static double outcomes_of(const struct figures *f, const sona_route_info *r)
{
    (void)f;
    return (double)r->outcomes;
}

static double reward_of(const struct figures *f, const sona_route_info *r)
{
    (void)f;
    return (double)r->mean_quality;
}

static double cost_of(const struct figures *f, const sona_route_info *r)
{
    (void)f;
    return (double)r->cost;
}

static void put_routes(struct page *p)
{
    static const struct {
        const char *name, *help;
        double (*of)(const struct figures *f, const sona_route_info *r);
    } rows[] = {
        {"route_share", "of the outcomes of all enabled routes, 0 to 1", share_of},
        {"route_outcomes", "outcomes learned of it, discounted when it drifted", outcomes_of},
        {"route_reward_mean", "their mean quality, prior included, 0 to 1", reward_of},
        {"route_cost", "relative cost, 0 to 1", cost_of}};

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        put_head(p, rows[i].name, "gauge", "", rows[i].help);
        for (uint32_t k = 0; k < p->n; k++) {
            const struct figures *f = &p->figures[k];

            for (uint32_t r = 0; r < f->n_routes; r++)
                put_real(p, f, rows[i].name, "route", f->route[r].name,
                         rows[i].of(f, &f->route[r]));
        }
    }
}

/* ---- histograms ---- */

static void put_histogram(struct page *p, const struct figures *f, const char *name,
                          const struct sona_sidecar_histogram *h)
{
    static const char *const bounds[] = {
#define TEXT_OF(ns, text) text,
        SONA_SIDECAR_HISTOGRAM_BOUNDS(TEXT_OF)
#undef TEXT_OF
            "+Inf"};
    uint64_t count = 0, sum_ns = atomic_load_explicit(&h->sum_ns, memory_order_relaxed);
    char sample[64];

    (void)snprintf(sample, sizeof sample, "%s_bucket", name);
    for (int k = 0; k <= SONA_SIDECAR_BUCKETS; k++) {
        count += atomic_load_explicit(&h->bucket[k], memory_order_relaxed);
        put_count(p, f, sample, "le", bounds[k], count);
    }
    (void)snprintf(sample, sizeof sample, "%s_count", name);
    put_count(p, f, sample, NULL, NULL, count);
    (void)snprintf(sample, sizeof sample, "%s_sum", name);
    put_real(p, f, sample, NULL, NULL, (double)sum_ns / 1e9);
}

static void put_times(struct page *p)
{
    put_head(p, "learn_seconds", "histogram", "seconds", "what an event took to learn");
    for (uint32_t k = 0; k < p->n; k++)
        put_histogram(p, &p->figures[k], "learn_seconds",
                      sona_sidecar_learner_learn_times(p->figures[k].sidecar->learner));
    put_head(p, "publish_seconds", "histogram", "seconds", "what a snapshot took to publish");
    for (uint32_t k = 0; k < p->n; k++)
        put_histogram(p, &p->figures[k], "publish_seconds",
                      sona_sidecar_learner_publish_times(p->figures[k].sidecar->learner));
}

/* ---- the process ---- */

static void put_build(struct page *p)
{
    char text[160];

    put_head(p, "build", "info", "", "what runs");
    (void)snprintf(text, sizeof text,
                   "sona_build_info{version=\"%s\",abi=\"%u.%u\",simd=\"%s\"} 1\n", sona_version(),
                   SONA_ABI_MAJOR, SONA_ABI_MINOR, p->n > 0 ? p->figures[0].stats.simd : "");
    put(p, text);
}

static void put_allocator(struct page *p)
{
    static const struct {
        const char *name, *key, *help;
    } rows[] = {{"jemalloc_allocated_bytes", "stats.allocated", "bytes that the program asked for"},
                {"jemalloc_active_bytes", "stats.active", "bytes of the pages that hold them"},
                {"jemalloc_resident_bytes", "stats.resident",
                 "bytes of all pages that the allocator keeps in memory"}};
    uint64_t epoch = 1;
    size_t size = sizeof epoch;

    if (!mallctl || mallctl("epoch", &epoch, &size, &epoch, size) != 0)
        return;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        size_t value = 0, bytes = sizeof value;

        if (mallctl(rows[i].key, &value, &bytes, NULL, 0) != 0)
            continue;
        put_head(p, rows[i].name, "gauge", "bytes", rows[i].help);
        put_count(p, NULL, rows[i].name, NULL, NULL, value);
    }
}

static void put_all(struct page *p)
{
    put_build(p);
    put_state(p);
    put_gauges(p, gauges, sizeof gauges / sizeof gauges[0], false);
    put_trust(p);
    put_routes(p);
    put_times(p);
    put_records(p);
    put_counters(p);
    put_journal(p);
    put_allocator(p);
    put(p, "# EOF\n");
}

static void free_text(const void *text, size_t bytes, void *arg)
{
    (void)bytes;
    (void)arg;
    free((void *)(uintptr_t)text);
}

void sona_http_metrics(const struct sona_http_server *server, struct evhttp_request *request)
{
    const struct sona_sidecar *sidecar[SONA_HTTP_INSTANCES_MAX];
    struct page page = {.n = sona_http_instances(server, sidecar)};
    struct evbuffer *out = evbuffer_new();

    page.figures = calloc(page.n + 1u, sizeof *page.figures);
    page.failed = !out || !page.figures;
    for (uint32_t k = 0; !page.failed && k < page.n; k++)
        copy(&page.figures[k], sidecar[k]);
    if (!page.failed)
        put_all(&page);
    for (uint32_t k = 0; page.figures && k < page.n; k++)
        free(page.figures[k].route);
    free(page.figures);
    if (page.failed || evbuffer_add_reference(out, page.text, page.bytes, free_text, NULL) != 0) {
        free(page.text);
        if (out)
            evbuffer_free(out);
        sona_http_reply_refusal(request, 503, SONA_E_MEMORY, "no memory for the page; try again");
        return;
    }
    sona_http_reply(request, 200, CONTENT_TYPE, out);
}
