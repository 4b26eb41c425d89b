/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/* See report.h. */
#include "sidecar/report.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <jansson.h>

#include "shm/diag.h"
#include "sidecar/clock.h"
#include "sidecar/config/setting.h"
#include "sidecar/memory.h"
#include "sidecar/roster.h"
#include "sidecar/sidecar.h"
#include "sidecar/store/describe.h"

static void put_u64(json_t *o, const char *key, uint64_t value)
{
    (void)json_object_set_new(o, key, json_integer((json_int_t)value));
}

static void put_text(json_t *o, const char *key, const char *value)
{
    (void)json_object_set_new(o, key, json_string(value));
}

static void put_real(json_t *o, const char *key, double value)
{
    (void)json_object_set_new(o, key, json_real(value)); /* not finite: left out */
}

static void put_flag(json_t *o, const char *key, bool value)
{
    (void)json_object_set_new(o, key, json_boolean(value));
}

/* Take the JSON apart to text. */
static char *text_of(json_t *o)
{
    char *text = json_dumps(o, JSON_COMPACT | JSON_PRESERVE_ORDER);

    json_decref(o);
    return text;
}

void sona_sidecar_report_sum(const struct sona_sidecar *sidecar, sona_stats *ret)
{
    const struct sona_sidecar_intake_figures *figures =
        sona_sidecar_intake_figures(sidecar->intake);
    uint64_t counter[SONA_COUNTER_COUNT];
    uint32_t clients, lanes;

    /* First: whom it calls reclaimed, the version has learned from. */
    const struct sona_sidecar_roster *r = sona_sidecar_roster_read(sidecar);
    memcpy(counter, r->counter, sizeof counter);
    clients = r->n_guests;
    lanes = r->lanes;
    sona_sidecar_roster_unread();
    const struct sona_sidecar_version *v = sona_sidecar_version_read(&sidecar->versions);
    *ret = v->stats; /* there has been one since before the first client */
    sona_sidecar_version_unread();
    sona_sidecar_tally_sum(&figures->tally, ret);
    for (int c = 0; c < SONA_COUNTER_COUNT; c++)
        ret->counter[c] += counter[c];
    ret->clients = clients;
    ret->lanes = lanes;
    /* Relaxed: figures for people. */
    ret->pending = atomic_load_explicit(&figures->pending, memory_order_relaxed);
    ret->parked_now = atomic_load_explicit(&figures->parked_now, memory_order_relaxed);
    for (uint32_t i = 0; i <= SONA_NODES_MAX; i++) {
        uint64_t steps = atomic_load_explicit(&figures->node[i].steps, memory_order_relaxed);

        if (steps == 0)
            break;
        ret->node[i] = (sona_node_stats){
            .node = (uint32_t)atomic_load_explicit(&figures->node[i].node, memory_order_relaxed),
            .steps = steps,
            .mean_score = atomic_load_explicit(&figures->node[i].score, memory_order_relaxed),
            .mean_reward = atomic_load_explicit(&figures->node[i].reward, memory_order_relaxed),
            .mean_latency_us =
                atomic_load_explicit(&figures->node[i].latency_us, memory_order_relaxed),
        };
        ret->n_nodes = i + 1;
    }
    ret->memory_bytes +=
        sona_sidecar_intake_bytes(sidecar->intake) +
        sona_sidecar_queue_bytes(&sidecar->options->config, sidecar->layout.dim_padded) +
        sona_shm_publisher_header(sidecar->publisher)->total_bytes;
}

void sona_sidecar_report_page(const struct sona_sidecar *sidecar)
{
    struct sona_shm_counters *page = sona_shm_publisher_counters(sidecar->publisher);
    sona_stats stats;

    sona_sidecar_report_sum(sidecar, &stats);
    for (int c = 0; c < SONA_COUNTER_COUNT; c++) /* relaxed: figures for people */
        atomic_store_explicit(&page->counter[c], stats.counter[c], memory_order_relaxed);
}

/* ---- status ---- */

static json_t *segment_of(const struct sona_sidecar *s)
{
    const struct sona_shm_header *h = sona_shm_publisher_header(s->publisher);
    json_t *o = json_object();
    char name[SONA_INSTANCE_NAME_MAX + 16], uuid[2 * sizeof h->uuid + 1];

    (void)snprintf(name, sizeof name, "/sona.%s.model", s->instance.name);
    for (size_t i = 0; i < sizeof h->uuid; i++)
        (void)snprintf(uuid + 2 * i, 3, "%02x", h->uuid[i]);
    put_text(o, "name", name);
    put_u64(o, "bytes", h->total_bytes);
    put_u64(o, "generation", h->generation);
    put_text(o, "uuid", uuid);
    return o;
}

static json_t *geometry_of(const struct sona_sidecar *s)
{
    const sona_geometry *g = &s->layout.geometry;
    json_t *o = json_object();

    put_u64(o, "dim", g->dim);
    put_u64(o, "routes_max", g->routes_max);
    put_u64(o, "micro_rank", g->micro_rank);
    put_u64(o, "base_rank", g->base_rank);
    put_u64(o, "layers", g->layers);
    put_u64(o, "patterns_max", g->patterns_max);
    put_u64(o, "attention_dim", g->attention_dim);
    put_u64(o, "tenants_max", g->tenants_max);
    put_u64(o, "tenant_rank", g->tenant_rank);
    put_flag(o, "normalize", (g->flags & SONA_GEOMETRY_NORMALIZE) != 0);
    return o;
}

/* All that control shows. */
static void put_roster(json_t *o, const struct sona_sidecar *s)
{
    const struct sona_sidecar_roster *r = sona_sidecar_roster_read(s);
    json_t *list = json_array();

    for (uint32_t k = 0; k < r->n_guests; k++) {
        const struct sona_sidecar_guest *g = &r->guest[k];
        json_t *guest = json_object();

        put_u64(guest, "pid", (uint64_t)g->pid);
        put_u64(guest, "uid", g->uid);
        put_u64(guest, "lanes", g->lanes);
        put_u64(guest, "tag", g->tag);
        put_text(guest, "liveness", sona_sidecar_liveness_name(g->liveness));
        put_flag(guest, "ending", g->ending);
        put_u64(guest, "held_back", g->held_back);
        (void)json_array_append_new(list, guest);
    }
    put_text(o, "state", sona_sidecar_report_state(r->state));
    (void)json_object_set_new(o, "clients", list);
    put_u64(o, "last_reclaim_us", r->last_reclaim_us);
    put_u64(o, "max_reclaim_us", r->max_reclaim_us);
    sona_sidecar_roster_unread();
}

const char *sona_sidecar_report_state(enum sona_shm_state state)
{
    static const char *const states[] = {"init", "live", "draining", "retired"};

    return states[state];
}

static json_t *learner_of(const struct sona_sidecar *s, const sona_stats *stats)
{
    uint64_t now_us = sona_sidecar_now_us(), published_us;
    json_t *o = json_object();

    published_us = sona_sidecar_version_read(&s->versions)->published_us;
    sona_sidecar_version_unread();
    double age_ms = now_us > published_us ? (double)(now_us - published_us) / 1000 : 0;

    put_u64(o, "step", stats->step);
    put_u64(o, "snapshot", stats->version);
    put_u64(o, "cycles", stats->counter[SONA_COUNTER_background_cycles]);
    put_real(o, "snapshot_age_ms", age_ms);
    put_text(o, "background", s->options->background_inline ? "inline" : "thread");
    put_u64(o, "weights_refused", sona_sidecar_learner_refused(s->learner));
    return o;
}

/* Null: nothing is kept. */
static json_t *journal_of(const struct sona_sidecar *s)
{
    json_t *o = s->store ? sona_store_describe(s->store) : json_null();

    if (s->store)
        put_u64(o, "replayed_at_start", sona_sidecar_learner_replayed(s->learner));
    return o;
}

char *sona_sidecar_report_status(const struct sona_sidecar *sidecar)
{
    const struct sona_sidecar *s = sidecar;
    const struct sona_shm_header *h = sona_shm_publisher_header(s->publisher);
    json_t *o = json_object(), *fences = json_array();
    uint64_t private = sona_sidecar_memory_private(), marked = sona_sidecar_memory_marked();
    char abi[16];
    sona_stats stats;

    sona_sidecar_report_sum(s, &stats);
    (void)snprintf(abi, sizeof abi, "%u.%u", SONA_ABI_MAJOR, SONA_ABI_MINOR);
    if (h->fence_modes & SONA_SHM_FENCE_FULL)
        (void)json_array_append_new(fences, json_string("full"));
    if (h->fence_modes & SONA_SHM_FENCE_ASYM)
        (void)json_array_append_new(fences, json_string("asym"));
    put_text(o, "instance", s->instance.name);
    put_u64(o, "pid", (uint64_t)getpid());
    put_text(o, "version", sona_version());
    put_text(o, "abi", abi);
    put_real(o, "uptime_s", (double)(sona_sidecar_now_us() - s->started_us) / 1e6);
    put_text(o, "socket", s->instance.socket_path);
    put_text(o, "control_socket", s->instance.control_path);
    (void)json_object_set_new(o, "segment", segment_of(s));
    (void)json_object_set_new(o, "geometry", geometry_of(s));
    put_roster(o, s);
    (void)json_object_set_new(o, "learner", learner_of(s, &stats));
    (void)json_object_set_new(o, "journal", journal_of(s));
    put_text(o, "simd", stats.simd);
    (void)json_object_set_new(o, "fence_modes", fences);
    put_u64(o, "clients_reclaimed", stats.counter[SONA_COUNTER_clients_reclaimed]);
    put_u64(o, "private_bytes", private);
    put_u64(o, "own_bytes", private > marked ? private - marked : 0);
    return text_of(o);
}

/* ---- stats ---- */

const char *sona_sidecar_report_kind(uint32_t kind)
{
    static const char *const kinds[SONA_SIDECAR_KINDS] = {
        [SONA_RECORD_DECIDE] = "decide", [SONA_RECORD_OUTCOME] = "outcome",
        [SONA_RECORD_BEGIN] = "begin",   [SONA_RECORD_STEP] = "step",
        [SONA_RECORD_ROUTE] = "route",   [SONA_RECORD_CONTEXT] = "context",
        [SONA_RECORD_END] = "end",       [SONA_RECORD_PATTERN_HIT] = "pattern_hit",
        [SONA_RECORD_REVOKE] = "revoke", [SONA_RECORD_SIGNAL] = "signal"};

    return kind < SONA_SIDECAR_KINDS ? kinds[kind] : NULL;
}

static void put_records(json_t *o, const struct sona_sidecar *s)
{
    const struct sona_sidecar_intake_figures *figures = sona_sidecar_intake_figures(s->intake);
    json_t *records = json_object();

    put_u64(records, "taken", atomic_load_explicit(&figures->taken, memory_order_relaxed));
    for (uint32_t k = 0; k < SONA_SIDECAR_KINDS; k++)
        if (sona_sidecar_report_kind(k))
            put_u64(records, sona_sidecar_report_kind(k),
                    atomic_load_explicit(&figures->accepted[k], memory_order_relaxed));
    (void)json_object_set_new(o, "records", records);
}

static json_t *routes_of(const struct sona_sidecar_version *v)
{
    static const char *const states[] = {"free", "enabled", "retired"};
    static const char *const modes[] = {"apply", "observe", "bypass"};
    json_t *list = json_array();

    for (uint32_t k = 0; k < v->n_routes; k++) {
        const sona_route_info *r = &v->route[k];
        json_t *o = json_object();

        put_u64(o, "id", r->id);
        put_text(o, "name", r->name);
        put_text(o, "state", states[r->state]);
        put_real(o, "cost", (double)r->cost);
        put_real(o, "outcomes", (double)r->outcomes);
        put_real(o, "mean_quality", (double)r->mean_quality);
        put_text(o, "mode", modes[r->mode]);
        (void)json_array_append_new(list, o);
    }
    return list;
}

char *sona_sidecar_report_stats(const struct sona_sidecar *sidecar)
{
    char text[SONA_STATS_JSON_MAX];
    sona_stats stats;
    size_t bytes;

    sona_sidecar_report_sum(sidecar, &stats);
    const struct sona_sidecar_version *v = sona_sidecar_version_read(&sidecar->versions);
    json_t *routes = routes_of(v);
    bool enabled = v->enabled != 0;
    sona_sidecar_version_unread();
    bool background = sona_sidecar_roster_read(sidecar)->background;
    sona_sidecar_roster_unread();
    /* One writer for engine and sidecar; here the routes and records join it. */
    (void)sona_stats_json(&stats, enabled, background, text, sizeof text, &bytes);
    json_t *o = json_loads(text, 0, NULL);
    put_records(o, sidecar);
    (void)json_object_set_new(o, "routes", routes);
    return text_of(o);
}

/* ---- patterns ---- */

static json_t *pattern_of(const struct sona_sidecar_version *v, const sona_pattern *p)
{
    json_t *o = json_object(), *routes = json_array(), *examples = json_array();

    put_u64(o, "id", p->id);
    put_text(o, "pattern_type", sona_pattern_type_name(p->type));
    put_u64(o, "cluster_size", p->cluster_size);
    put_real(o, "total_weight", (double)p->total_weight);
    put_real(o, "avg_quality", (double)p->avg_quality);
    put_u64(o, "created_at", p->created_at);
    put_u64(o, "last_accessed", p->last_accessed);
    put_u64(o, "access_count", p->access_count);
    for (uint32_t r = 0; r < p->n_routes; r++) {
        uint32_t k = SONA_ROUTE_INDEX(p->routes[r].route);
        json_t *route = json_object();

        put_text(route, "route", k < v->n_routes ? v->route[k].name : "?");
        put_real(route, "outcomes", (double)p->routes[r].outcomes);
        put_real(route, "mean_quality", (double)p->routes[r].mean_quality);
        (void)json_array_append_new(routes, route);
    }
    (void)json_object_set_new(o, "routes", routes);
    for (uint32_t e = 0; e < p->n_examples; e++) { /* text: not every reader has 64-bit numbers */
        char id[24];

        (void)snprintf(id, sizeof id, "%llu", (unsigned long long)p->examples[e]);
        (void)json_array_append_new(examples, json_string(id));
    }
    (void)json_object_set_new(o, "examples", examples);
    return o;
}

static int by_weight(const void *a, const void *b)
{
    const sona_pattern *p = *(const sona_pattern *const *)a, *q = *(const sona_pattern *const *)b;

    if (p->total_weight != q->total_weight)
        return p->total_weight < q->total_weight ? 1 : -1;
    return p->id < q->id ? -1 : p->id > q->id;
}

char *sona_sidecar_report_patterns(const struct sona_sidecar *sidecar)
{
    json_t *o = json_object(), *list = json_array();
    const struct sona_sidecar_version *v = sona_sidecar_version_read(&sidecar->versions);
    uint32_t n = v->bank ? v->bank->n : 0, shown = 0;
    const sona_pattern **order = calloc(n + 1, sizeof(const sona_pattern *));

    for (uint32_t i = 0; order && i < n; i++)
        order[i] = &v->bank->pattern[i];
    if (order && n > 0)
        qsort(order, n, sizeof(const sona_pattern *), by_weight);
    for (; order && shown < n && shown < SONA_SIDECAR_PATTERNS_SHOWN; shown++)
        (void)json_array_append_new(list, pattern_of(v, order[shown]));
    put_u64(o, "patterns_stored", n);
    put_u64(o, "cycles", v->cycles);
    sona_sidecar_version_unread();
    free(order);
    put_u64(o, "shown", shown);
    (void)json_object_set_new(o, "patterns", list);
    return text_of(o);
}

char *sona_sidecar_report_routes(const struct sona_sidecar *sidecar)
{
    const struct sona_sidecar_version *v = sona_sidecar_version_read(&sidecar->versions);
    json_t *o = json_object(), *routes = routes_of(v);

    sona_sidecar_version_unread();
    (void)json_object_set_new(o, "routes", routes);
    return text_of(o);
}

char *sona_sidecar_report_config(const struct sona_sidecar *sidecar)
{
    char *text = strdup(sona_sidecar_roster_read(sidecar)->config);

    sona_sidecar_roster_unread();
    return text;
}

char *sona_sidecar_report_options(const struct sona_sidecar_options *options)
{
    json_t *o = json_object(), *list = json_array();

    for (uint32_t i = 0; i < sona_sidecar_setting_count(); i++) {
        const struct sona_sidecar_setting *s = &sona_sidecar_settings[i];
        json_t *row = json_object();
        char text[SONA_SIDECAR_VALUE_MAX];

        (void)snprintf(text, sizeof text, "%s%s%s", s->section, s->section[0] ? "." : "", s->key);
        put_text(row, "key", text);
        sona_sidecar_setting_format(s, options, text);
        put_text(row, "value", text);
        put_text(row, "from", sona_sidecar_setting_origin(s, options));
        put_flag(row, "live", sona_sidecar_setting_live(s));
        (void)json_array_append_new(list, row);
    }
    (void)json_object_set_new(o, "options", list);
    return text_of(o);
}

char *sona_sidecar_report_generations(const struct sona_sidecar *sidecar, sona_diag *reterr)
{
    if (!sidecar->store) {
        (void)sona_shm_diag_set(reterr, SONA_E_ABSENT, 0,
                                "this sidecar keeps nothing; start it with --state-dir");
        return NULL;
    }
    json_t *o = sona_store_describe_generations(sidecar->store, reterr);
    return o ? text_of(o) : NULL;
}

static void put_explore(json_t *o, const struct sona_sidecar *sidecar)
{
    const struct sona_sidecar_version *v = sona_sidecar_version_read(&sidecar->versions);

    put_real(o, "max_explore", (double)v->explores);
    put_real(o, "configured", (double)v->explores_configured);
    sona_sidecar_version_unread();
}

char *sona_sidecar_report_explore(const struct sona_sidecar *sidecar)
{
    json_t *o = json_object();

    put_explore(o, sidecar);
    return text_of(o);
}

static void put_cycle(json_t *o, const sona_cycle_report *report)
{
    put_flag(o, "ran", report->ran);
    put_u64(o, "replayed", report->replayed);
    put_u64(o, "patterns", report->patterns);
    put_u64(o, "routes_refit", report->routes_refit);
    put_real(o, "base_change", report->base_change);
    put_real(o, "fold_discarded", report->fold_discarded);
}

static json_t *ewc_weight_of(const struct sona_sidecar_version *v, const sona_ewc_weight *weight)
{
    uint32_t k = SONA_ROUTE_INDEX(weight->route);
    json_t *o = json_object();

    put_text(o, "route", k < v->n_routes ? v->route[k].name : "?");
    if (weight->index == SONA_EWC_BIAS)
        put_text(o, "index", "bias");
    else
        put_u64(o, "index", weight->index);
    put_real(o, "importance", (double)weight->importance);
    put_real(o, "weight", (double)weight->weight);
    put_real(o, "anchor", (double)weight->anchor);
    return o;
}

static void put_ewc(json_t *o, const struct sona_sidecar *sidecar,
                    const struct sona_sidecar_ewc *ewc)
{
    const struct sona_sidecar_version *v = sona_sidecar_version_read(&sidecar->versions);
    json_t *top = json_array();

    for (uint32_t i = 0; i < ewc->n_top; i++)
        (void)json_array_append_new(top, ewc_weight_of(v, &ewc->top[i]));
    sona_sidecar_version_unread();
    put_flag(o, "changed", ewc->changed);
    put_flag(o, "enabled", ewc->state.enabled);
    put_flag(o, "online", ewc->state.online);
    put_u64(o, "tasks", ewc->state.tasks);
    put_u64(o, "boundaries", ewc->state.boundaries);
    put_u64(o, "outcomes", ewc->state.outcomes);
    put_real(o, "lambda", ewc->state.lambda);
    put_real(o, "penalty", ewc->state.penalty);
    put_real(o, "excess", ewc->state.excess);
    (void)json_object_set_new(o, "top", top);
}

char *sona_sidecar_report_command(const struct sona_sidecar *sidecar,
                                  const struct sona_sidecar_command *command)
{
    enum sona_control_class class = sona_sidecar_command_class(command);
    char path[SONA_CONTROL_PATH_MAX];
    json_t *o = json_object();
    sona_stats stats;

    sona_control_path(sona_control_command_of(command->request.what), path);
    for (char *c = path; *c; c++) /* "/v1/routes/add": "routes_add" */
        *c = *c == '/' ? '_' : *c;
    sona_sidecar_report_sum(sidecar, &stats);
    put_text(o, "command", path + strlen("/v1/"));
    if (class == SONA_CONTROL_ROUTE) {
        put_text(o, "name", command->request.spec.name);
        put_u64(o, "id", command->route);
    }
    if (class == SONA_CONTROL_CYCLE)
        put_cycle(o, &command->report);
    if (class == SONA_CONTROL_DRAIN) {
        put_u64(o, "learned", stats.counter[SONA_COUNTER_learned] - command->learned_before);
        put_u64(o, "pending", stats.pending);
    }
    if (command->decisions)
        sona_sidecar_decisions_report(command->decisions, o);
    if (command->patterns)
        put_u64(o, "taken", command->patterns->n);
    if (class == SONA_CONTROL_BANK || command->patterns) {
        put_u64(o, "patterns", command->bank.patterns);
        put_u64(o, "merged", command->bank.merged);
        put_u64(o, "pruned", command->bank.pruned);
        put_real(o, "weight", command->bank.weight);
    }
    if (class == SONA_CONTROL_POLICY)
        put_explore(o, sidecar);
    if (class == SONA_CONTROL_ANCHORS)
        put_ewc(o, sidecar, &command->ewc);
    if (command->request.what == SONA_CONTROL_CHECK) {
        json_t *found = json_loads(command->found, 0, NULL);

        (void)json_object_update(o, found);
        json_decref(found);
    } else if (class == SONA_CONTROL_KEEPER) {
        put_u64(o, "generation", command->generation);
    }
    put_u64(o, "step", stats.step);
    put_u64(o, "version", stats.version);
    return text_of(o);
}
