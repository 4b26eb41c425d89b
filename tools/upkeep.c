/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/* See upkeep.h. */
#include "tools/upkeep.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "shm/wire.h"
#include "sidecar/store/describe.h"
#include "sidecar/verify.h"
#include "tools/fail.h"

#define CHECK_DEGRADED    4
#define INTAKE_BYTES_MADE (1u << 20) /* of a log that nothing is written to */

static void put(json_t *o, const char *key, uint64_t value)
{
    (void)json_object_set_new(o, key, json_integer((json_int_t)value));
}

static int64_t number_at(const json_t *o, const char *key)
{
    return json_integer_value(json_object_get(o, key));
}

/* ---- the store ---- */

static void notice(void *context, const char *event, const char *text)
{
    (void)context;
    (void)fprintf(stderr, "sonactl: %s: %s\n", event, text);
}

static const char *instance_of(const struct sona_tools_upkeep *ask)
{
    return ask->instance ? ask->instance : "default";
}

/* The directory of the sidecar's socket, which is that of the intake log, ledger and arena. */
struct runtime {
    char dir[256];
    bool unknown, made; /* an empty one of ours stands for one that is not known */
};

/* Without the intake log a rollback would not know what it passes over, nor forgetting all rows. */
static bool can_do_without(enum sona_tools_upkeep_what what)
{
    return what != SONA_TOOLS_ROLLBACK && what != SONA_TOOLS_FORGET;
}

static sona_err find_runtime(const struct sona_tools_upkeep *ask, struct runtime *ret,
                             sona_diag *reterr)
{
    sona_err err =
        sona_wire_path(ask->runtime_dir, instance_of(ask), ret->dir, sizeof ret->dir, reterr);

    ret->unknown = err == SONA_E_ABSENT && can_do_without(ask->what);
    if (err == SONA_OK)
        *strrchr(ret->dir, '/') = '\0';
    return ret->unknown ? SONA_OK : err;
}

static sona_err make_runtime(const struct sona_tools_upkeep *ask, struct runtime *runtime,
                             sona_diag *reterr)
{
    bool fits = snprintf(runtime->dir, sizeof runtime->dir, "%s/.runtime-XXXXXX", ask->state_dir) <
                (int)sizeof runtime->dir;

    runtime->made = fits && mkdtemp(runtime->dir);
    if (!fits)
        return sona_tools_fail(reterr, SONA_E_RANGE, "the path of the state directory is too long");
    if (!runtime->made)
        return sona_tools_fail(reterr, SONA_E_PERMISSION, "cannot write in %s: %s", ask->state_dir,
                               strerror(errno));
    notice(NULL, "no_runtime_dir",
           "what a killed sidecar may have left beside its socket is not looked at; name that "
           "directory with --runtime-dir");
    return SONA_OK;
}

static void leave_runtime(const struct sona_tools_upkeep *ask, const struct runtime *runtime)
{
    char path[512];

    if (!runtime->made)
        return; /* it is the sidecar's */
    (void)snprintf(path, sizeof path, "%s/%s.intake", runtime->dir, instance_of(ask));
    (void)unlink(path);
    (void)rmdir(runtime->dir);
}

static sona_err find_store(const struct sona_tools_upkeep *ask, sona_diag *reterr)
{
    char db[512];

    if (snprintf(db, sizeof db, "%s/%s.db", ask->state_dir, instance_of(ask)) >= (int)sizeof db)
        return sona_tools_fail(reterr, SONA_E_RANGE, "the path of the state directory is too long");
    if (access(db, F_OK) != 0)
        return sona_tools_fail(reterr, SONA_E_ABSENT,
                               "there is no store %s (%s); name instance and state directory as "
                               "its sidecar does",
                               db, strerror(errno));
    return SONA_OK;
}

static sona_err open_store(const struct sona_tools_upkeep *ask, const struct runtime *runtime,
                           struct sona_store **ret, sona_diag *reterr)
{
    sona_err err = sona_store_open(
        ret,
        &(struct sona_store_options){.instance = instance_of(ask),
                                     .state_dir = ask->state_dir,
                                     .intake_dir = runtime->dir,
                                     .intake_bytes = runtime->made ? INTAKE_BYTES_MADE : 0,
                                     .notice = notice},
        reterr);

    if (err == SONA_E_BUSY)
        return sona_tools_fail(reterr, err,
                               "the sidecar of instance %s runs on this store; stop it first",
                               instance_of(ask));
    return err;
}

/* The newest generation, whether it is good or not; all zero: there is none. */
static sona_err newest(struct sona_store *store, struct sona_store_generation *ret,
                       sona_diag *reterr)
{
    uint32_t n;

    *ret = (struct sona_store_generation){.number = 0};
    return sona_store_generation_list(store, ret, 1, &n, reterr);
}

/* ---- what is asked for ---- */

static sona_err pin(const struct sona_tools_upkeep *ask, struct sona_store *store, json_t *answer,
                    sona_diag *reterr)
{
    bool pinned = ask->what == SONA_TOOLS_PIN;

    put(answer, "number", ask->number);
    (void)json_object_set_new(answer, "pinned", json_boolean(pinned));
    return sona_store_generation_pin(store, ask->number, pinned, reterr);
}

static sona_err roll_back(const struct sona_tools_upkeep *ask, struct sona_store *store,
                          json_t *answer, sona_diag *reterr)
{
    uint64_t end = sona_store_positions(store).appended, number = 0;
    struct sona_store_generation last;
    sona_err err = newest(store, &last, reterr);

    if (err == SONA_OK)
        err = sona_store_generation_rollback(store, ask->number, &number, reterr);
    put(answer, "number", number);
    put(answer, "origin", ask->number);
    put(answer, "position", end);
    put(answer, "unsaved", end - last.position); /* in the journal, and in no generation */
    return err;
}

static sona_err forget(const struct sona_tools_upkeep *ask, struct sona_store *store,
                       json_t *answer, sona_diag *reterr)
{
    uint64_t end = sona_store_positions(store).appended, rows = 0;
    struct sona_store_generation last;
    sona_err err = newest(store, &last, reterr);

    if (err == SONA_OK && last.position < end)
        return sona_tools_fail(reterr, SONA_E_LIMIT,
                               "%" PRIu64 " records are in no generation yet, and what they taught "
                               "would be lost; start the sidecar, stop it, and forget then",
                               end - last.position);
    if (err == SONA_OK)
        err = sona_store_forget(store, &ask->rule, &rows, reterr);
    put(answer, "rows", rows);
    return err;
}

static sona_err export(const struct sona_tools_upkeep *ask, struct sona_store *store,
                       sona_diag *reterr)
{
    int fd = ask->file ? open(ask->file, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600) : -1;
    FILE *file = !ask->file ? stdout : fd >= 0 ? fdopen(fd, "w") : NULL;
    uint64_t end = sona_store_positions(store).appended;

    if (!file)
        return sona_tools_fail(reterr, SONA_E_SYSTEM, "cannot make %s: %s", ask->file,
                               strerror(errno));
    sona_err err = sona_store_export(store, ask->from ? ask->from : 1,
                                     ask->to && ask->to < end ? ask->to : end, file, reterr);
    bool written = fflush(file) == 0 && !ferror(file);
    if (ask->file)
        written = fclose(file) == 0 && written;
    if (err == SONA_OK && !written)
        return sona_tools_fail(reterr, SONA_E_SYSTEM, "the rows could not be written: %s",
                               strerror(errno));
    return err;
}

int sona_tools_upkeep_status(const json_t *answer)
{
    const char *verdict = json_string_value(json_object_get(answer, "verdict"));

    if (!verdict || strcmp(verdict, "failed") == 0)
        return EXIT_FAILURE;
    return strcmp(verdict, "sound") == 0 ? 0 : CHECK_DEGRADED;
}

/* ---- both ---- */

const struct sona_tools_upkeep_form *sona_tools_upkeep_form_at(uint32_t index)
{
    static const struct sona_tools_upkeep_form forms[] = {
        {SONA_TOOLS_LIST, "generations list", "list the copies of its state"},
        {SONA_TOOLS_PIN, "generations pin N", "keep one until it is unpinned"},
        {SONA_TOOLS_UNPIN, "generations unpin N", "keep it no longer than others"},
        {SONA_TOOLS_ROLLBACK, "generations rollback N", "begin the next start with an older one"},
        {SONA_TOOLS_CHECK, "check", "verify store, ledger, arena, segment and rings"},
        {SONA_TOOLS_FORGET, "forget", "blank the rows that match all that is named"},
        {SONA_TOOLS_EXPORT, "export", "write the journal"},
    };

    return index < sizeof forms / sizeof forms[0] ? &forms[index] : NULL;
}

static sona_err answer_with(const struct sona_tools_upkeep *ask, const struct runtime *runtime,
                            struct sona_store *store, json_t **ret, sona_diag *reterr)
{
    switch (ask->what) {
    case SONA_TOOLS_LIST:
        *ret = sona_store_describe_generations(store, reterr);
        return *ret ? SONA_OK : reterr->code;
    case SONA_TOOLS_CHECK:
        *ret = sona_sidecar_verify(store, runtime->dir, instance_of(ask), NULL, reterr);
        return *ret ? SONA_OK : reterr->code;
    case SONA_TOOLS_EXPORT:
        return export(ask, store, reterr);
    case SONA_TOOLS_ROLLBACK:
        *ret = json_object();
        return roll_back(ask, store, *ret, reterr);
    case SONA_TOOLS_FORGET:
        *ret = json_object();
        return forget(ask, store, *ret, reterr);
    default:
        *ret = json_object();
        return pin(ask, store, *ret, reterr);
    }
}

sona_err sona_tools_upkeep(const struct sona_tools_upkeep *ask, json_t **ret, sona_diag *reterr)
{
    struct runtime runtime = {.made = false};
    struct sona_store *store = NULL;
    json_t *answer = NULL;
    sona_err err = find_runtime(ask, &runtime, reterr);

    if (err == SONA_OK)
        err = find_store(ask, reterr);
    if (err == SONA_OK && runtime.unknown)
        err = make_runtime(ask, &runtime, reterr);
    if (err == SONA_OK)
        err = open_store(ask, &runtime, &store, reterr);
    if (err == SONA_OK)
        err = answer_with(ask, &runtime, store, &answer, reterr);
    sona_store_close(&store);
    leave_runtime(ask, &runtime);
    if (err != SONA_OK) {
        json_decref(answer);
        answer = NULL;
    }
    *ret = answer;
    return err;
}

static void print_generations(const json_t *answer)
{
    const json_t *g;
    size_t i;

    (void)printf("%10s  %12s  %-19s  %12s  %-6s  %-5s  %s\n", "generation", "position",
                 "created (UTC)", "bytes", "pinned", "exact", "copy-of");
    json_array_foreach(json_object_get(answer, "generations"), i, g)
    {
        time_t at = (time_t)(number_at(g, "created_ms") / 1000);
        char created[32] = "?", origin[24] = "";
        struct tm tm;

        if (gmtime_r(&at, &tm))
            (void)strftime(created, sizeof created, "%Y-%m-%d %H:%M:%S", &tm);
        if (number_at(g, "origin") != 0)
            (void)snprintf(origin, sizeof origin, "%" PRId64, number_at(g, "origin"));
        (void)printf("%10" PRId64 "  %12" PRId64 "  %-19s  %12" PRId64 "  %-6s  %-5s  %s\n",
                     number_at(g, "number"), number_at(g, "position"), created,
                     number_at(g, "bytes"),
                     json_is_true(json_object_get(g, "pinned")) ? "yes" : "no",
                     json_is_true(json_object_get(g, "exact")) ? "yes" : "no", origin);
    }
    (void)printf("the journal ends at position %" PRId64 "\n", number_at(answer, "appended"));
}

static void print_rings(const json_t *memories)
{
    int64_t not_found = number_at(memories, "not_found");

    (void)printf("looked at: store, ledger, arena, segment, %" PRId64 " lane memories",
                 number_at(memories, "looked_at"));
    if (not_found > 0)
        (void)printf("; %" PRId64 " not found: their clients have ended, or are another user's",
                     not_found);
    (void)printf("\n");
}

static void print_check(const json_t *answer)
{
    const json_t *list = json_object_get(answer, "findings"), *text;
    int64_t all = (int64_t)json_array_size(list); /* a sidecar's answer may have room for fewer */
    size_t i;

    if (number_at(answer, "found") > all)
        all = number_at(answer, "found");
    json_array_foreach(list, i, text)(void) printf("%s\n", json_string_value(text));
    print_rings(json_object_get(answer, "lane_memories"));
    (void)printf("%s: %" PRId64 " findings, the journal ends at position %" PRId64 "\n",
                 json_string_value(json_object_get(answer, "verdict")), all,
                 number_at(answer, "appended"));
}

void sona_tools_upkeep_print(enum sona_tools_upkeep_what what, const json_t *answer)
{
    if (what == SONA_TOOLS_LIST)
        print_generations(answer);
    else if (what == SONA_TOOLS_CHECK)
        print_check(answer);
    else if (what == SONA_TOOLS_FORGET)
        (void)printf("done: %" PRId64
                     " rows are forgotten; what they taught stays in the weights\n",
                     number_at(answer, "rows"));
    else if (what == SONA_TOOLS_ROLLBACK) {
        (void)printf("done: generation %" PRId64 " is a copy of %" PRId64
                     ", and the next start begins with it\n",
                     number_at(answer, "number"), number_at(answer, "origin"));
        if (number_at(answer, "unsaved") > 0)
            (void)printf("%" PRId64 " records were in no generation: rolling forward again does "
                         "not bring them back\n",
                         number_at(answer, "unsaved"));
    } else if (what == SONA_TOOLS_PIN || what == SONA_TOOLS_UNPIN)
        (void)printf("done: generation %" PRId64 " is %s\n", number_at(answer, "number"),
                     what == SONA_TOOLS_PIN ? "kept until it is unpinned" : "not pinned");
}

bool sona_tools_upkeep_time(const char *text, uint64_t *ret_ms)
{
    static const char *const formats[] = {"%Y-%m-%d", "%Y-%m-%dT%H:%M:%SZ"};

    for (size_t i = 0; i < sizeof formats / sizeof formats[0]; i++) {
        struct tm tm = {0};
        const char *end = strptime(text, formats[i], &tm);
        time_t at = end && *end == '\0' ? timegm(&tm) : -1;

        if (at >= 0) {
            *ret_ms = (uint64_t)at * 1000;
            return true;
        }
    }
    return false;
}
