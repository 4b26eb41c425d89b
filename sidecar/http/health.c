/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/*
 * Is it well? Three questions, as Kubernetes and load balancers ask them:
 *
 *     /livez    it runs; when not: restart it
 *     /readyz   clients can attach and read a model; when not: wait, or ask another
 *     /healthz  nothing at all is wrong; when not: somebody should look
 *
 * Each answers 200 or 503 with the checks that it made, and a sentence for each that failed. At the
 * port they speak for all instances. See inside.h.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "shm/diag.h"
#include "sidecar/clock.h"
#include "sidecar/http/inside.h"
#include "sidecar/report.h"
#include "sidecar/sidecar.h"
#include "sidecar/store/store.h"

#define STUCK_MS 5000u /* control beats every 100 ms */

struct check {
    const char *name;
    enum sona_http_probe least; /* this probe and those after it make it */
    bool ok;
    char why[SONA_DIAG_TEXT_MAX]; /* when not */
};

enum { CONTROL, STATE, MODEL, LEARNING, JOURNAL, WEIGHTS, CHECKS };

__attribute__((format(printf, 3, 4))) static void judge(struct check *check, bool ok,
                                                        const char *format, ...)
{
    va_list arguments;

    check->ok = ok;
    va_start(arguments, format);
    (void)vsnprintf(check->why, sizeof check->why, format, arguments);
    va_end(arguments);
}

static void look(const struct sona_sidecar *s, struct check check[CHECKS])
{
    static const struct check checks[CHECKS] = {
        [CONTROL] = {.name = "control", .least = SONA_HTTP_LIVEZ},
        [STATE] = {.name = "state", .least = SONA_HTTP_READYZ},
        [MODEL] = {.name = "model", .least = SONA_HTTP_READYZ},
        [LEARNING] = {.name = "learning", .least = SONA_HTTP_HEALTHZ},
        [JOURNAL] = {.name = "journal", .least = SONA_HTTP_HEALTHZ},
        [WEIGHTS] = {.name = "weights", .least = SONA_HTTP_HEALTHZ}};
    sona_diag diag = {.text = ""};
    sona_stats stats;

    memcpy(check, checks, sizeof checks);
    enum sona_shm_state state = sona_sidecar_roster_read(s)->state;
    sona_sidecar_roster_unread();
    bool enabled = sona_sidecar_version_read(&s->versions)->enabled != 0;
    sona_sidecar_version_unread();
    sona_sidecar_report_sum(s, &stats);
    /* Relaxed: it is looked at again. While it drains, control waits for the others. */
    uint64_t beat_ms = atomic_load_explicit(&s->beat_ms, memory_order_relaxed);
    uint64_t now_ms = sona_sidecar_now_ms(), silent_ms = now_ms > beat_ms ? now_ms - beat_ms : 0;
    judge(&check[CONTROL], state != SONA_SHM_LIVE || silent_ms < STUCK_MS,
          "control has not moved for %llu ms; look at its log, and restart it",
          (unsigned long long)silent_ms);
    judge(&check[STATE], state == SONA_SHM_LIVE, "it is %s; clients attach to the next one",
          sona_sidecar_report_state(state));
    judge(&check[MODEL], stats.version != 0, "no model was published yet; wait");
    judge(&check[LEARNING], enabled, "learning is switched off; sonactl enable");
    bool kept = !s->store || sona_store_health(s->store, &diag) == SONA_OK;
    judge(&check[JOURNAL], kept, "%s; clients go on, learning waits", diag.text);
    uint64_t refused = sona_sidecar_learner_refused(s->learner);
    judge(&check[WEIGHTS], refused == 0,
          "%llu snapshots were not sound and not published; roll back a generation",
          (unsigned long long)refused);
}

/* The checks of a probe, as JSON. Returns whether all are well. */
static bool describe(const struct sona_sidecar *s, enum sona_http_probe probe, json_t *ret)
{
    struct check check[CHECKS];
    json_t *list = json_array();
    bool ok[SONA_HTTP_HEALTHZ + 1] = {true, true, true};

    look(s, check);
    for (int k = 0; k < CHECKS; k++) {
        json_t *o = json_object();

        for (int p = (int)check[k].least; p <= SONA_HTTP_HEALTHZ; p++)
            ok[p] = ok[p] && check[k].ok;
        if (check[k].least > probe) {
            json_decref(o);
            continue;
        }
        (void)json_object_set_new(o, "check", json_string(check[k].name));
        (void)json_object_set_new(o, "ok", json_boolean(check[k].ok));
        if (!check[k].ok)
            (void)json_object_set_new(o, "reason", json_string(check[k].why));
        (void)json_array_append_new(list, o);
    }
    (void)json_object_set_new(ret, "instance", json_string(s->instance.name));
    (void)json_object_set_new(ret, "live", json_boolean(ok[SONA_HTTP_LIVEZ]));
    if (probe >= SONA_HTTP_READYZ)
        (void)json_object_set_new(ret, "ready", json_boolean(ok[SONA_HTTP_READYZ]));
    if (probe >= SONA_HTTP_HEALTHZ)
        (void)json_object_set_new(ret, "healthy", json_boolean(ok[SONA_HTTP_HEALTHZ]));
    (void)json_object_set_new(ret, "checks", list);
    return ok[probe];
}

char *sona_http_health(const struct sona_sidecar *sidecar, bool *ret_ok)
{
    json_t *o = json_object();

    *ret_ok = describe(sidecar, SONA_HTTP_HEALTHZ, o);
    char *json = json_dumps(o, JSON_COMPACT | JSON_PRESERVE_ORDER);
    json_decref(o);
    return json;
}

void sona_http_probe(const struct sona_http_server *server, struct evhttp_request *request,
                     enum sona_http_probe probe)
{
    const struct sona_sidecar *sidecar[SONA_HTTP_INSTANCES_MAX];
    uint32_t n = sona_http_instances(server, sidecar);
    json_t *all = json_object(), *list = json_array();
    bool ok = n > 0 || probe == SONA_HTTP_LIVEZ; /* none is there yet, or any more */

    for (uint32_t k = 0; k < n; k++) {
        json_t *o = json_object();

        ok &= describe(sidecar[k], probe, o);
        (void)json_array_append_new(list, o);
    }
    (void)json_object_set_new(all, "status", json_string(ok ? "ok" : "failed"));
    (void)json_object_set_new(all, "instances", list);
    char *json = json_dumps(all, JSON_COMPACT | JSON_PRESERVE_ORDER);
    json_decref(all);
    sona_http_reply_json(request, ok ? 200 : 503, json);
}
