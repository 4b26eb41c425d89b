/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/* See answer.h. */
#include "tools/answer.h"

#include <inttypes.h>
#include <stdio.h>

#include <sona/stats.h>

#include "shm/control.h"
#include "tools/upkeep.h"

static const char *text_at(const json_t *o, const char *key)
{
    const char *text = json_string_value(json_object_get(o, key));

    return text ? text : "?";
}

static int64_t number_at(const json_t *o, const char *key)
{
    return json_integer_value(json_object_get(o, key));
}

static double real_at(const json_t *o, const char *key)
{
    return json_number_value(json_object_get(o, key));
}

static void print_fences(const json_t *list)
{
    size_t i;
    json_t *mode;

    json_array_foreach(list, i, mode)(void)
        printf("%s%s", i == 0 ? "" : ", ", json_string_value(mode));
}

static void print_journal(const json_t *o)
{
    if (!json_is_object(o)) {
        (void)printf("journal    none: a restart begins anew; see --state-dir\n");
        return;
    }
    (void)printf("journal    %" PRId64 " appended, %" PRId64 " committed, %" PRId64
                 " durable; %" PRId64 " replayed at the start\n",
                 number_at(o, "appended"), number_at(o, "committed"), number_at(o, "durable"),
                 number_at(o, "replayed_at_start"));
    (void)printf("generation %" PRId64 " of position %" PRId64 ", %.1f s old\n",
                 number_at(o, "generation"), number_at(o, "generation_position"),
                 (double)number_at(o, "generation_age_ms") / 1000);
    if (text_at(o, "waits")[0] != '\0')
        (void)printf("waiting    %s; clients go on\n", text_at(o, "waits"));
}

static void print_status(const json_t *o)
{
    const json_t *segment = json_object_get(o, "segment"), *g = json_object_get(o, "geometry");
    const json_t *learner = json_object_get(o, "learner"), *clients = json_object_get(o, "clients");
    const json_t *a;
    size_t i;

    (void)printf("instance   %s, %s for %.1f s\n", text_at(o, "instance"), text_at(o, "state"),
                 real_at(o, "uptime_s"));
    (void)printf("sidecar    pid %" PRId64 ", version %s, ABI %s, SIMD %s, fences ",
                 number_at(o, "pid"), text_at(o, "version"), text_at(o, "abi"), text_at(o, "simd"));
    print_fences(json_object_get(o, "fence_modes"));
    (void)printf("\nsocket     %s\n", text_at(o, "socket"));
    (void)printf("segment    %s, %" PRId64 " bytes, generation %" PRId64 "\n",
                 text_at(segment, "name"), number_at(segment, "bytes"),
                 number_at(segment, "generation"));
    (void)printf("model      %" PRId64 " floats, %" PRId64 " routes at most, ranks %" PRId64
                 "/%" PRId64 ", %" PRId64 " layers, %" PRId64 " patterns at most\n",
                 number_at(g, "dim"), number_at(g, "routes_max"), number_at(g, "micro_rank"),
                 number_at(g, "base_rank"), number_at(g, "layers"), number_at(g, "patterns_max"));
    (void)printf("learner    step %" PRId64 ", %" PRId64 " background cycles (%s)\n",
                 number_at(learner, "step"), number_at(learner, "cycles"),
                 text_at(learner, "background"));
    print_journal(json_object_get(o, "journal"));
    (void)printf("memory     %" PRId64 " bytes private, %" PRId64
                 " of them beyond the libraries' own\n",
                 number_at(o, "private_bytes"), number_at(o, "own_bytes"));
    (void)printf("reclaimed  %" PRId64 " clients, the last in %" PRId64
                 " us, the slowest in %" PRId64 " us\n",
                 number_at(o, "clients_reclaimed"), number_at(o, "last_reclaim_us"),
                 number_at(o, "max_reclaim_us"));
    (void)printf("clients    %zu\n", json_array_size(clients));
    if (json_array_size(clients) > 0)
        (void)printf("           %10s %8s %6s %6s  %s\n", "pid", "uid", "lanes", "tag",
                     "end noticed by");
    json_array_foreach(clients, i, a)(void) printf(
        "           %10" PRId64 " %8" PRId64 " %6" PRId64 " %6" PRId64 "  %s%s\n",
        number_at(a, "pid"), number_at(a, "uid"), number_at(a, "lanes"), number_at(a, "tag"),
        text_at(a, "liveness"), json_is_true(json_object_get(a, "ending")) ? " (ending)" : "");
}

static void print_routes(const json_t *list)
{
    const json_t *r;
    size_t i;

    (void)printf("%-24s %8s %-8s %-8s %8s %10s %8s\n", "route", "id", "state", "mode", "cost",
                 "outcomes", "quality");
    json_array_foreach(list, i, r)(void)
        printf("%-24s %8" PRId64 " %-8s %-8s %8.3f %10.1f %8.3f\n", text_at(r, "name"),
               number_at(r, "id"), text_at(r, "state"), text_at(r, "mode"), real_at(r, "cost"),
               real_at(r, "outcomes"), real_at(r, "mean_quality"));
}

static void print_gauge(const json_t *o, const char *key)
{
    const json_t *value = json_object_get(o, key);

    if (json_is_integer(value))
        (void)printf("%-22s %14" PRId64 "\n", key, (int64_t)json_integer_value(value));
    else if (json_is_real(value))
        (void)printf("%-22s %14.4f\n", key, json_real_value(value));
}

/* Every counter with what it counts, those at zero left out; then gauges; then routes. */
static void print_stats(const json_t *o)
{
    static const char *const gauges[] = {
        "step",      "pending",    "parked_now",   "replay_length", "patterns",
        "clients",   "lanes",      "memory_bytes", "mean_quality",  "recent_quality",
        "mse",       "micro_norm", "base_norm",    "last_cycle_ms", "buffer_success_rate",
        "ewc_tasks", "ewc_lambda", "ewc_penalty"};

    for (int c = 0; c < SONA_COUNTER_COUNT; c++) {
        const char *name = sona_counter_name((sona_counter)c);
        int64_t value = number_at(o, name);

        if (value != 0)
            (void)printf("%-22s %14" PRId64 "  %s\n", name, value,
                         sona_counter_help((sona_counter)c));
    }
    (void)putchar('\n');
    for (size_t i = 0; i < sizeof gauges / sizeof gauges[0]; i++)
        print_gauge(o, gauges[i]);
    (void)putchar('\n');
    print_routes(json_object_get(o, "routes"));
}

static void print_patterns(const json_t *o)
{
    const json_t *p, *route;
    size_t i;

    (void)printf("%" PRId64 " patterns, %" PRId64 " shown\n", number_at(o, "patterns_stored"),
                 number_at(o, "shown"));
    (void)printf("%10s %-14s %8s %8s %8s %8s  %s\n", "id", "type", "size", "weight", "quality",
                 "accesses", "most used route");
    json_array_foreach(json_object_get(o, "patterns"), i, p)
    {
        route = json_array_get(json_object_get(p, "routes"), 0);
        (void)printf("%10" PRId64 " %-14s %8" PRId64 " %8.1f %8.3f %8" PRId64 "  %s\n",
                     number_at(p, "id"), text_at(p, "pattern_type"), number_at(p, "cluster_size"),
                     real_at(p, "total_weight"), real_at(p, "avg_quality"),
                     number_at(p, "access_count"), text_at(route, "route"));
    }
}

static void print_config(const json_t *list)
{
    const json_t *row;
    size_t i;

    (void)printf("%-34s %-20s %-8s %s\n", "option", "value", "change", "from");
    json_array_foreach(list, i, row)(void) printf(
        "%-34s %-20s %-8s %s\n", text_at(row, "key"), text_at(row, "value"),
        json_is_true(json_object_get(row, "live")) ? "SIGHUP" : "restart", text_at(row, "from"));
}

/* How EWC++ stands. */
static void print_ewc(uint32_t what, const json_t *o)
{
    const json_t *top = json_object_get(o, "top"), *w, *index;
    size_t i;

    if (!json_is_true(json_object_get(o, "enabled"))) {
        (void)printf("EWC++ is off; start the sidecar with --set=ewc=on\n");
        return;
    }
    if (what != SONA_CONTROL_EWC && !json_is_true(json_object_get(o, "changed")))
        (void)printf("%s\n", what == SONA_CONTROL_EWC_BOUNDARY
                                 ? "nothing to end: no outcome since the last boundary"
                                 : "nothing to merge: fewer than two tasks");
    (void)printf("tasks      %" PRId64 " remembered by %s, %" PRId64 " ended, %" PRId64
                 " outcomes of the one under way\n",
                 number_at(o, "tasks"),
                 json_is_true(json_object_get(o, "online")) ? "one anchor" : "an anchor each",
                 number_at(o, "boundaries"), number_at(o, "outcomes"));
    (void)printf("penalty    %.6f, lambda %.1f, older outcomes are off by %+.4f more\n",
                 real_at(o, "penalty"), real_at(o, "lambda"), real_at(o, "excess"));
    if (json_array_size(top) > 0)
        (void)printf("%-24s %8s %12s %10s %10s\n", "route", "weight", "importance", "is", "anchor");
    json_array_foreach(top, i, w)
    {
        index = json_object_get(w, "index");
        (void)printf("%-24s ", text_at(w, "route"));
        if (json_is_string(index))
            (void)printf("%8s", json_string_value(index));
        else
            (void)printf("%8" PRId64, (int64_t)json_integer_value(index));
        (void)printf(" %12.6f %10.4f %10.4f\n", real_at(w, "importance"), real_at(w, "weight"),
                     real_at(w, "anchor"));
    }
}

static void print_explore(const json_t *o)
{
    double now = real_at(o, "max_explore"), configured = real_at(o, "configured");

    (void)printf("at most %g %% of the decisions explore, ", 100 * now);
    if (now == configured)
        (void)printf("as configured\n");
    else
        (void)printf("as was said here; the configuration says %g %%\n", 100 * configured);
}

/* What a command did, in a sentence. */
static void print_done(const struct sona_control_command *command, const json_t *o)
{
    if (command->class == SONA_CONTROL_CYCLE && !json_is_true(json_object_get(o, "ran")))
        (void)printf("nothing to learn: no outcome since the last cycle, or learning is off\n");
    else if (command->class == SONA_CONTROL_CYCLE)
        (void)printf("cycle: %" PRId64 " outcomes read, %" PRId64 " routes refit, %" PRId64
                     " patterns, BaseLoRA moved by %.4f, %.4f discarded\n",
                     number_at(o, "replayed"), number_at(o, "routes_refit"),
                     number_at(o, "patterns"), real_at(o, "base_change"),
                     real_at(o, "fold_discarded"));
    else if (command->class == SONA_CONTROL_DRAIN)
        (void)printf("flushed: %" PRId64 " outcomes learned, %" PRId64
                     " decisions wait for theirs\n",
                     number_at(o, "learned"), number_at(o, "pending"));
    else if (command->class == SONA_CONTROL_ROUTE)
        (void)printf("done: route %s, id %" PRId64 ", in snapshot %" PRId64 "\n",
                     text_at(o, "name"), number_at(o, "id"), number_at(o, "version"));
    else if (command->class == SONA_CONTROL_ADAPTERS)
        (void)printf("done: the adapters are taken, in snapshot %" PRId64 "\n",
                     number_at(o, "version"));
    else if (command->what == SONA_CONTROL_IMPORT_DECISIONS)
        (void)printf("done: of %" PRId64 " lines %" PRId64 " learned, %" PRId64
                     " taken before, %" PRId64 " refused; in snapshot %" PRId64 "\n",
                     number_at(o, "lines"), number_at(o, "taken"), number_at(o, "duplicates"),
                     number_at(o, "refused"), number_at(o, "version"));
    else if (command->class == SONA_CONTROL_LINES)
        (void)printf("done: %" PRId64 " patterns taken, %" PRId64
                     " of them into one that was alike; "
                     "the bank has %" PRId64 ", in snapshot %" PRId64 "\n",
                     number_at(o, "taken"), number_at(o, "merged"), number_at(o, "patterns"),
                     number_at(o, "version"));
    else if (command->class == SONA_CONTROL_ANCHORS)
        print_ewc(command->what, o);
    else if (command->class == SONA_CONTROL_BANK)
        (void)printf("done: %" PRId64 " patterns, %" PRId64 " merged, %" PRId64
                     " pruned, evidence of %.1f outcomes, in snapshot %" PRId64 "\n",
                     number_at(o, "patterns"), number_at(o, "merged"), number_at(o, "pruned"),
                     real_at(o, "weight"), number_at(o, "version"));
    else if (command->class == SONA_CONTROL_POLICY)
        print_explore(o);
    else if (command->class == SONA_CONTROL_KEEPER)
        (void)printf(command->what == SONA_CONTROL_GENERATIONS_ROLLBACK
                         ? "done: it is what it was then, now generation %" PRId64
                           ", in snapshot %" PRId64 "\n"
                         : "done: generation %" PRId64 ", in snapshot %" PRId64 "\n",
                     number_at(o, "generation"), number_at(o, "version"));
    else
        (void)printf("done: learning is %s\n", command->what == SONA_CONTROL_ENABLE ? "on" : "off");
}

static void print_health(const json_t *o)
{
    const json_t *check;
    size_t i;

    (void)printf("%s: %s, %s, %s\n", text_at(o, "instance"),
                 json_is_true(json_object_get(o, "live")) ? "live" : "not live",
                 json_is_true(json_object_get(o, "ready")) ? "ready" : "not ready",
                 json_is_true(json_object_get(o, "healthy")) ? "healthy" : "degraded");
    json_array_foreach(json_object_get(o, "checks"), i, check)
    {
        bool ok = json_is_true(json_object_get(check, "ok"));

        (void)printf("%-10s %s%s%s\n", text_at(check, "check"), ok ? "ok" : "failed",
                     ok ? "" : ": ", ok ? "" : text_at(check, "reason"));
    }
}

void sona_tools_answer_print(uint32_t what, const json_t *answer)
{
    if (what == SONA_CONTROL_STATUS)
        print_status(answer);
    else if (what == SONA_CONTROL_HEALTH)
        print_health(answer);
    else if (what == SONA_CONTROL_PATTERNS)
        print_patterns(answer);
    else if (what == SONA_CONTROL_STATS)
        print_stats(answer);
    else if (what == SONA_CONTROL_ROUTES)
        print_routes(json_object_get(answer, "routes"));
    else if (what == SONA_CONTROL_EXPLORE)
        print_explore(answer);
    else if (what == SONA_CONTROL_CONFIG)
        print_config(json_object_get(answer, "options"));
    else if (what == SONA_CONTROL_GENERATIONS)
        sona_tools_upkeep_print(SONA_TOOLS_LIST, answer);
    else if (what == SONA_CONTROL_CHECK)
        sona_tools_upkeep_print(SONA_TOOLS_CHECK, answer);
    else
        print_done(sona_control_command_of(what), answer);
}
