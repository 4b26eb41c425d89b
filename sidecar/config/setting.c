/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/* See setting.h. */
#include "sidecar/config/setting.h"

#include <assert.h>
#include <ctype.h>
#include <errno.h>
#include <grp.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/edits.h"
#include "shm/layout.h"
#include "shm/wire.h"
#include "sidecar/influence.h"
#include "sidecar/intake.h"
#include "sidecar/log.h"
#include "sidecar/store/store.h"

#define LEASE_MAX       600000
#define IDLE_MAX        1000000
#define QUERY_RATE_MAX  10000000
#define RATE_MAX        100000000
#define RETAIN_MB_MAX   16777216 /* 16 TiB */
#define RETAIN_DAYS_MAX 36500
#define GENERATIONS_MAX 1000
#define LANES_LIMIT     ((uint64_t)SONA_SHM_CLIENTS_MAX * SONA_LANES_MAX)
#define KEY_BYTES       64 /* of a key as it is compared, its end included */
#define DISTANCE_MAX    3  /* misspellings beyond it are not guessed at */

#define KIND_u32  "whole number"
#define KIND_u64  "whole number"
#define KIND_f32  "number"
#define KIND_flag "true or false"

#define FIELD(type_, name_, default_, min_, max_, alias_, help_) \
    {                                                            \
        .section = "learner",                                    \
        .key = #name_,                                           \
        .alias = (alias_),                                       \
        .flag = "",                                              \
        .help = (help_),                                         \
        .kind = KIND_##type_,                                    \
        .words = "",                                             \
        .type = SONA_SIDECAR_FIELD,                              \
        .min = (uint64_t)(min_),                                 \
        .max = (uint64_t)(max_),                                 \
        .real_min = (double)(min_),                              \
        .real_max = (double)(max_),                              \
    },

#define OPTION(section_, key_, flag_, kind_, type_, ...)                                     \
    {                                                                                        \
        .section = (section_), .key = (key_), .alias = "", .flag = (flag_), .kind = (kind_), \
        .type = SONA_SIDECAR_##type_, __VA_ARGS__                                            \
    }

#define AT(member) .offset = offsetof(struct sona_sidecar_options, member)

const struct sona_sidecar_setting sona_sidecar_settings[] = {
    OPTION("", "instance", "instance", "name", NAME, .words = "",
           .help = "name of the instance: of its socket, lock and segment; where the configuration "
                   "has instances: the one to run alone"),
    OPTION("", "runtime_dir", "runtime-dir", "directory", PATH, AT(runtime_dir_text), .words = "",
           .help = "where socket and lock are; empty: /run/sona, else $XDG_RUNTIME_DIR/sona"),
    OPTION("", "log_level", "log-level", "word", WORD, AT(log_level), .words = "info|warn|error",
           .live = true, .help = "what is less urgent is not written to the log"),
    OPTION("", "confine", "confine", "word", WORD, AT(confine_off), .words = "on|off",
           .help = "give up what a sidecar never needs, by seccomp and landlock, as far as the "
                   "kernel has them"),
    OPTION("", "routes", "routes", "list", ROUTES, .words = "", .live = true,
           .help = "the routes: name, cost, prior_quality and prior_weight of each; in one line: "
                   "name[:cost[:prior_quality[:prior_weight]]],... or a number N for route-0, "
                   "route-1, ..."),
    OPTION("clients", "lanes_max", "lanes-max", "whole number", WHOLE, AT(lanes_max), .min = 1,
           .max = LANES_LIMIT, .words = "", .live = true, .help = "lanes of all clients together"),
    OPTION("clients", "lease_ms", "lease-ms", "whole number", WHOLE, AT(lease_ms), .min = 1,
           .max = LEASE_MAX, .words = "", .help = "a slot pinned longer may be taken back"),
    OPTION("clients", "idle_cap_us", "idle-cap-us", "whole number", WHOLE, AT(idle_cap_us),
           .min = 1, .max = IDLE_MAX, .words = "", .help = "longest nap of the idle intake"),
    OPTION("clients", "group", "group", "group", GROUP, AT(group_text), .words = "",
           .help = "members of this group may attach, too; empty: the sidecar's user and root"),
    OPTION("clients", "influence_cap", "influence-cap", "whole number", WHOLE, AT(influence_cap),
           .min = 0, .max = SONA_SIDECAR_CAP_MAX, .words = "",
           .help = "no client is heard more than so many times as often as the mean of the others, "
                   "where more than so many others speak: the rest waits in its rings, which fill; "
                   "0: no cap"),
    OPTION("clients", "client_rate", "client-rate", "whole number", WHOLE, AT(client_rate),
           .min = 0, .max = RATE_MAX, .words = "",
           .help = "records a second that are taken of one client; what its rings do not hold it "
                   "drops and counts itself; 0: as they come"),
    OPTION("state", "state_dir", "state-dir", "directory", PATH, AT(state_dir_text), .words = "",
           .help = "what is learned is kept in INSTANCE.db there, and a restart goes on where this "
                   "one ends (not said: $STATE_DIRECTORY, else $XDG_STATE_HOME/sona, /var/lib/sona "
                   "for root, else "
                   "~/.local/state/sona, and nowhere with --isolated); empty: a restart begins "
                   "anew"),
    OPTION("state", "durability", "durability", "word", WORD, AT(durability),
           .words = "process|interval|every",
           .help = "what a failure of the power may cost: what came since the last checkpoint, the "
                   "last second, or nothing (learning waits for the disk)"),
    OPTION("state", "journal", "journal", "word", WORD, AT(journal_off), .words = "on|off",
           .help = "off: generations only; a killed sidecar forgets what came after the last"),
    OPTION("state", "retain_mb", "retain-mb", "whole number", WHOLE, AT(retain_mb), .min = 0,
           .max = RETAIN_MB_MAX, .words = "",
           .help = "megabytes of journal: beyond, the oldest rows go; 0: no limit"),
    OPTION("state", "retain_days", "retain-days", "whole number", WHOLE, AT(retain_days), .min = 0,
           .max = RETAIN_DAYS_MAX, .words = "",
           .help = "days that rows are kept; 0: no limit. What they taught stays"),
    OPTION("state", "generations", "generations", "whole number", WHOLE, AT(generations),
           .min = SONA_STORE_GENERATIONS_MIN, .max = GENERATIONS_MAX, .words = "",
           .help = "copies of the whole state that are kept, beside the pinned ones"),
    OPTION("state", "sample_percent", "sample-percent", "whole number", WHOLE, AT(sample_percent),
           .min = 0, .max = 100, .words = "",
           .help = "of the rows that no restart needs any more, how many keep their embedding, "
                   "rounded, for evaluation"),
    OPTION("state", "query_rate", "query-rate", "whole number", WHOLE, AT(query_rate), .min = 0,
           .max = QUERY_RATE_MAX, .words = "",
           .help = "queries a second that the regime gate is shown, and that are journaled, before "
                   "their outcome, of more a uniform share; 0: all, at 1.2 KB each"),
    OPTION("http", "listen_port", "listen-port", "whole number", WHOLE, AT(http_port), .min = 0,
           .max = UINT16_MAX, .words = "",
           .help = "metrics and probes are served on this TCP port of 127.0.0.1; 0: at the control "
                   "socket alone"),
    OPTION("http", "token_file", "token-file", "file", PATH, AT(token_file_text), .words = "",
           .help = "whose one line a client of that port has to know; mode 0600"),
    OPTION("learner", "preset", "preset", "word", PRESET, AT(preset), .words = "",
           .help = "begin with a preset; the other keys of the learner go on from it"),
    OPTION("learner", "background_mode", "background", "word", WORD, AT(background_inline),
           .words = "thread|inline",
           .help = "inline: cycles run between two events, so that the same events give the same "
                   "model"),
    SONA_CONFIG_FIELDS(FIELD)};

#define COUNT (sizeof sona_sidecar_settings / sizeof sona_sidecar_settings[0])

static_assert(COUNT <= SONA_SIDECAR_SETTINGS_MAX, "a place for where each is from");

static const struct {
    const char *name, *help;
} sections[] = {{"clients", "what clients may use"},
                {"state", "what outlives the process"},
                {"http", "what is served beside the control socket"},
                {"learner", "how it learns: the fields of sona_config"}};

uint32_t sona_sidecar_setting_count(void)
{
    return COUNT;
}

const char *sona_sidecar_section_name(uint32_t index)
{
    return index < sizeof sections / sizeof sections[0] ? sections[index].name : NULL;
}

const char *sona_sidecar_section_help(uint32_t index)
{
    return index < sizeof sections / sizeof sections[0] ? sections[index].help : NULL;
}

bool sona_sidecar_setting_live(const struct sona_sidecar_setting *setting)
{
    static const char *const names[] = {
#define NAME(name) #name,
        SONA_CONFIG_LIVE_FIELDS(NAME)
#undef NAME
    };

    for (size_t i = 0; setting->type == SONA_SIDECAR_FIELD && i < sizeof names / sizeof *names; i++)
        if (strcmp(names[i], setting->key) == 0)
            return true;
    return setting->live;
}

/* microLoraRank as micro_lora_rank. */
static void plain_key(const char *key, char ret[KEY_BYTES])
{
    size_t n = 0;

    for (; *key != '\0' && n + 2 < KEY_BYTES; key++) {
        if (*key >= 'A' && *key <= 'Z')
            ret[n++] = '_';
        ret[n++] = (char)tolower((unsigned char)*key);
    }
    ret[n] = '\0';
}

static bool in_section(const struct sona_sidecar_setting *s, const char *section)
{
    return !section || strcmp(s->section, section) == 0;
}

const struct sona_sidecar_setting *sona_sidecar_setting_find(const char *section, const char *key)
{
    char plain[KEY_BYTES];

    if (strlen(key) >= KEY_BYTES)
        return NULL;
    plain_key(key, plain);
    for (const struct sona_sidecar_setting *s = sona_sidecar_settings;
         s < sona_sidecar_settings + COUNT; s++)
        if (in_section(s, section) &&
            (strcmp(s->key, plain) == 0 || (s->alias[0] != '\0' && strcmp(s->alias, plain) == 0)))
            return s;
    return NULL;
}

static void offer(const char *key, const char *name, const char **best, size_t *best_edits)
{
    size_t distance = name[0] != '\0' ? sona_engine_edits(key, name) : *best_edits;

    /* At least half of it must agree: "x" is one edit from any one-letter name. */
    if (distance < *best_edits && 2 * distance <= strlen(name)) {
        *best = name;
        *best_edits = distance;
    }
}

const char *sona_sidecar_setting_nearest(const char *section, const char *key)
{
    const char *best = NULL;
    size_t best_edits = DISTANCE_MAX + 1;
    char plain[KEY_BYTES];

    if (strlen(key) >= KEY_BYTES)
        return NULL;
    plain_key(key, plain);
    for (const struct sona_sidecar_setting *s = sona_sidecar_settings;
         s < sona_sidecar_settings + COUNT; s++) {
        if (!in_section(s, section))
            continue;
        offer(plain, s->key, &best, &best_edits);
        offer(plain, s->alias, &best, &best_edits);
    }
    for (size_t i = 0; section && section[0] == '\0' && sona_sidecar_section_name((uint32_t)i); i++)
        offer(plain, sections[i].name, &best, &best_edits);
    if (section && section[0] == '\0')
        offer(plain, "instances", &best, &best_edits);
    return best;
}

void sona_sidecar_setting_unknown(const char *section, const char *key,
                                  char ret[SONA_DIAG_TEXT_MAX])
{
    const struct sona_sidecar_setting *elsewhere = sona_sidecar_setting_find(NULL, key);
    const char *guess = sona_sidecar_setting_nearest(section, key);

    if (elsewhere && elsewhere->section[0] != '\0')
        (void)snprintf(ret, SONA_DIAG_TEXT_MAX,
                       "unknown key \"%.64s\" here: it belongs in %s:", key, elsewhere->section);
    else if (elsewhere)
        (void)snprintf(ret, SONA_DIAG_TEXT_MAX,
                       "unknown key \"%.64s\" here: it belongs at the top level", key);
    else if (guess)
        (void)snprintf(ret, SONA_DIAG_TEXT_MAX, "unknown key \"%.64s\": did you mean %s?", key,
                       guess);
    else
        (void)snprintf(ret, SONA_DIAG_TEXT_MAX,
                       "unknown key \"%.64s\": sona-sidecar --print-config lists the known ones",
                       key);
}

/* ---- values ---- */

static uint32_t *number_at(const struct sona_sidecar_setting *s,
                           const struct sona_sidecar_options *o)
{
    return (uint32_t *)(void *)((char *)(uintptr_t)o + s->offset);
}

/* Digits alone: strtoull would take a sign, a space and "0x". */
static bool take_whole(const struct sona_sidecar_setting *s, uint32_t *ret, const char *text,
                       char why[SONA_DIAG_TEXT_MAX])
{
    size_t digits = strspn(text, "0123456789");
    uint64_t value = digits > 0 && digits < 16 ? strtoull(text, NULL, 10) : UINT64_MAX;

    if (digits == 0 || text[digits] != '\0') {
        (void)snprintf(why, SONA_DIAG_TEXT_MAX, "%s must be a whole number, not \"%.64s\"", s->key,
                       text);
        return false;
    }
    if (value < s->min || value > s->max) {
        (void)snprintf(why, SONA_DIAG_TEXT_MAX, "%s must be %" PRIu64 "..%" PRIu64 ", not %.64s",
                       s->key, s->min, s->max, text);
        return false;
    }
    *ret = (uint32_t)value;
    return true;
}

/* The n-th of "a|b|c"; false: there are fewer. */
static bool word_at(const char *words, uint32_t n, char ret[SONA_SIDECAR_VALUE_MAX])
{
    for (; n > 0; n--) {
        words = strchr(words, '|');
        if (!words)
            return false;
        words++;
    }
    (void)snprintf(ret, SONA_SIDECAR_VALUE_MAX, "%.*s", (int)strcspn(words, "|"), words);
    return true;
}

static bool take_word(const struct sona_sidecar_setting *s, uint32_t *ret, const char *text,
                      char why[SONA_DIAG_TEXT_MAX])
{
    char word[SONA_SIDECAR_VALUE_MAX];

    for (uint32_t n = 0; word_at(s->words, n, word); n++)
        if (strcmp(word, text) == 0) {
            *ret = n;
            return true;
        }
    sona_sidecar_setting_range(s, word);
    (void)snprintf(why, SONA_DIAG_TEXT_MAX, "%s must be %.100s, not \"%.64s\"", s->key, word, text);
    return false;
}

static bool take_preset(struct sona_sidecar_options *o, const char *text,
                        char why[SONA_DIAG_TEXT_MAX])
{
    sona_diag diag;

    if (sona_config_preset(&o->config, text, &diag) != SONA_OK) {
        (void)snprintf(why, SONA_DIAG_TEXT_MAX, "%s", diag.text);
        return false;
    }
    for (o->preset = 0; strcmp(sona_config_preset_name(o->preset), text) != 0;)
        o->preset++;
    return true;
}

static bool take_name(struct sona_sidecar_options *o, const char *text,
                      char why[SONA_DIAG_TEXT_MAX])
{
    if (!sona_wire_instance_ok(text)) {
        (void)snprintf(why, SONA_DIAG_TEXT_MAX,
                       "instance must be 1 to 63 letters, digits, '.', '_' or '-', not beginning "
                       "with '.', not \"%.64s\"",
                       text);
        return false;
    }
    (void)snprintf(o->instance_text, sizeof o->instance_text, "%s", text);
    o->instance = o->instance_text;
    return true;
}

static char *path_at(const struct sona_sidecar_setting *s, const struct sona_sidecar_options *o)
{
    return (char *)(uintptr_t)o + s->offset;
}

static bool take_path(const struct sona_sidecar_setting *s, struct sona_sidecar_options *o,
                      const char *text, char why[SONA_DIAG_TEXT_MAX])
{
    if (strlen(text) >= SONA_SIDECAR_DIR_MAX) {
        (void)snprintf(why, SONA_DIAG_TEXT_MAX,
                       "%s must be shorter than %u bytes, not \"%.64s...\"", s->key,
                       SONA_SIDECAR_DIR_MAX, text);
        return false;
    }
    (void)snprintf(path_at(s, o), SONA_SIDECAR_DIR_MAX, "%s", text);
    o->runtime_dir = o->runtime_dir_text[0] != '\0' ? o->runtime_dir_text : NULL;
    o->state_dir = o->state_dir_text[0] != '\0' ? o->state_dir_text : NULL;
    return true;
}

/* A confined process reads no list of groups any more; those that it was told of before, it knows.
 * By the main thread. */
static struct known {
    char name[SONA_SIDECAR_GROUP_MAX];
    uint32_t gid;
} known[SONA_SIDECAR_INSTANCES_MAX];
static uint32_t n_known;

/* Returns 0, or why there is none, which may be ENOENT. */
static int find_group(const char *name, uint32_t *ret)
{
    char buffer[4096];
    struct group entry, *found = NULL;

    for (uint32_t i = 0; i < n_known; i++)
        if (strcmp(known[i].name, name) == 0) {
            *ret = known[i].gid;
            return 0;
        }
    int rc = getgrnam_r(name, &entry, buffer, sizeof buffer, &found);
    if (!found)
        return rc != 0 ? rc : ENOENT;
    *ret = (uint32_t)found->gr_gid;
    if (n_known < SONA_SIDECAR_INSTANCES_MAX) {
        (void)snprintf(known[n_known].name, sizeof known[n_known].name, "%s", name);
        known[n_known++].gid = *ret;
    }
    return 0;
}

/* By name or number; resolved now, so that a name nobody has is a mistake at its place. */
static bool take_group(struct sona_sidecar_options *o, const char *text,
                       char why[SONA_DIAG_TEXT_MAX])
{
    size_t digits = strspn(text, "0123456789");
    bool number = digits > 0 && digits < 10 && text[digits] == '\0';
    uint32_t gid = SONA_SIDECAR_GROUP_NONE;
    int rc = 0;

    if (text[0] != '\0' && !number)
        rc = strlen(text) < SONA_SIDECAR_GROUP_MAX ? find_group(text, &gid) : ENOENT;
    if (rc != 0) {
        (void)snprintf(why, SONA_DIAG_TEXT_MAX,
                       "group must be the name or the number of a group of this machine, not "
                       "\"%.64s\"%s",
                       text,
                       rc == EACCES ? "; a confined process can look up no name: restart it" : "");
        return false;
    }
    o->group = number ? (uint32_t)strtoul(text, NULL, 10) : gid;
    (void)snprintf(o->group_text, sizeof o->group_text, "%s", text);
    return true;
}

bool sona_sidecar_setting_take(const struct sona_sidecar_setting *setting,
                               struct sona_sidecar_options *options, const char *text,
                               char why[SONA_DIAG_TEXT_MAX])
{
    sona_diag diag;

    switch (setting->type) {
    case SONA_SIDECAR_WHOLE:
        return take_whole(setting, number_at(setting, options), text, why);
    case SONA_SIDECAR_WORD:
        return take_word(setting, number_at(setting, options), text, why);
    case SONA_SIDECAR_PRESET:
        return take_preset(options, text, why);
    case SONA_SIDECAR_NAME:
        return take_name(options, text, why);
    case SONA_SIDECAR_PATH:
        return take_path(setting, options, text, why);
    case SONA_SIDECAR_GROUP:
        return take_group(options, text, why);
    case SONA_SIDECAR_ROUTES:
        break;
    case SONA_SIDECAR_FIELD:
        if (sona_config_set(&options->config, setting->key, text, &diag) == SONA_OK)
            return true;
        (void)snprintf(why, SONA_DIAG_TEXT_MAX, "%s", diag.text);
        return false;
    }
    (void)snprintf(why, SONA_DIAG_TEXT_MAX, "%s is no single value", setting->key);
    return false;
}

/* ---- as text ---- */

struct wanted {
    const char *key;
    char *ret;
};

static void pick(void *arg, const char *name, const char *alias, const char *value,
                 const char *help)
{
    struct wanted *wanted = arg;

    (void)alias;
    (void)help;
    if (strcmp(name, wanted->key) == 0)
        (void)snprintf(wanted->ret, SONA_SIDECAR_VALUE_MAX, "%s", value);
}

void sona_sidecar_setting_format(const struct sona_sidecar_setting *setting,
                                 const struct sona_sidecar_options *options,
                                 char ret[SONA_SIDECAR_VALUE_MAX])
{
    struct wanted wanted = {.key = setting->key, .ret = ret};

    ret[0] = '\0';
    switch (setting->type) {
    case SONA_SIDECAR_WHOLE:
        (void)snprintf(ret, SONA_SIDECAR_VALUE_MAX, "%" PRIu32, *number_at(setting, options));
        break;
    case SONA_SIDECAR_WORD:
        (void)word_at(setting->words, *number_at(setting, options), ret);
        break;
    case SONA_SIDECAR_PRESET:
        (void)snprintf(ret, SONA_SIDECAR_VALUE_MAX, "%s", sona_config_preset_name(options->preset));
        break;
    case SONA_SIDECAR_NAME:
        (void)snprintf(ret, SONA_SIDECAR_VALUE_MAX, "%s", options->instance);
        break;
    case SONA_SIDECAR_PATH:
    case SONA_SIDECAR_GROUP:
        (void)snprintf(ret, SONA_SIDECAR_VALUE_MAX, "%s", path_at(setting, options));
        break;
    case SONA_SIDECAR_ROUTES:
        (void)snprintf(ret, SONA_SIDECAR_VALUE_MAX, "%" PRIu32, options->n_routes);
        break;
    case SONA_SIDECAR_FIELD:
        sona_config_each(pick, &wanted, &options->config);
        break;
    }
}

const char *sona_sidecar_setting_origin(const struct sona_sidecar_setting *setting,
                                        const struct sona_sidecar_options *options)
{
    const char *where = options->where[sona_sidecar_setting_index(setting)];

    if (where[0] != '\0')
        return where;
    return setting->type == SONA_SIDECAR_FIELD && options->preset != 0 ? "preset" : "built-in";
}

/* "a, b or c" from "a|b|c". */
static void list_words(const char *words, char ret[SONA_SIDECAR_VALUE_MAX])
{
    char word[SONA_SIDECAR_VALUE_MAX];
    size_t length = 0;

    ret[0] = '\0';
    for (uint32_t n = 0; word_at(words, n, word) && length < SONA_SIDECAR_VALUE_MAX; n++) {
        bool last = !word_at(words, n + 1, (char[SONA_SIDECAR_VALUE_MAX]){0});
        const char *joint = n == 0 ? "" : last ? " or " : ", ";

        length +=
            (size_t)snprintf(ret + length, SONA_SIDECAR_VALUE_MAX - length, "%s%s", joint, word);
    }
}

void sona_sidecar_setting_range(const struct sona_sidecar_setting *setting,
                                char ret[SONA_SIDECAR_VALUE_MAX])
{
    ret[0] = '\0';
    if (setting->type == SONA_SIDECAR_WORD)
        list_words(setting->words, ret);
    else if (setting->type == SONA_SIDECAR_PRESET)
        (void)snprintf(ret, SONA_SIDECAR_VALUE_MAX, "a preset, listed below");
    else if (setting->type == SONA_SIDECAR_WHOLE || strcmp(setting->kind, KIND_u32) == 0)
        (void)snprintf(ret, SONA_SIDECAR_VALUE_MAX, "%" PRIu64 "..%" PRIu64, setting->min,
                       setting->max);
    else if (strcmp(setting->kind, KIND_f32) == 0)
        (void)snprintf(ret, SONA_SIDECAR_VALUE_MAX, "%g..%g", setting->real_min, setting->real_max);
    else if (strcmp(setting->kind, KIND_flag) == 0)
        (void)snprintf(ret, SONA_SIDECAR_VALUE_MAX, "true or false");
}

const char *sona_sidecar_setting_unit(const struct sona_sidecar_setting *setting)
{
    static const struct {
        const char *end, *unit;
    } units[] = {{"_ms", "milliseconds"}, {"_us", "microseconds"}, {"_dim", "floats"}};
    size_t n = strlen(setting->key);

    for (size_t i = 0; i < sizeof units / sizeof units[0]; i++) {
        size_t end = strlen(units[i].end);

        if (n > end && strcmp(setting->key + n - end, units[i].end) == 0)
            return units[i].unit;
    }
    return "";
}

void sona_sidecar_setting_variable(const struct sona_sidecar_setting *setting,
                                   char ret[SONA_SIDECAR_VALUE_MAX])
{
    (void)snprintf(ret, SONA_SIDECAR_VALUE_MAX, "SONA_%s", setting->key);
    for (char *c = ret; *c; c++)
        *c = (char)toupper((unsigned char)*c);
}

void sona_sidecar_options_init(struct sona_sidecar_options *ret)
{
    /* Written only where it is not zero yet: the pages of what nobody says are never touched. */
    if (ret->n_routes > 0)
        memset(ret->routes, 0, sizeof ret->routes);
    for (size_t i = 0; i < SONA_SIDECAR_SETTINGS_MAX; i++)
        if (ret->where[i][0] != '\0')
            ret->where[i][0] = '\0';
    memset(ret, 0, offsetof(struct sona_sidecar_options, routes));
    (void)snprintf(ret->instance_text, sizeof ret->instance_text, "default");
    ret->instance = ret->instance_text;
    ret->ready_fd = -1;
    ret->lanes_max = SONA_SIDECAR_LANES_MAX;
    ret->idle_cap_us = SONA_SIDECAR_IDLE_CAP_US;
    ret->lease_ms = SONA_SHM_LEASE_MS;
    ret->influence_cap = SONA_SIDECAR_CAP;
    ret->durability = SONA_STORE_INTERVAL;
    ret->group = SONA_SIDECAR_GROUP_NONE;
    ret->query_rate = SONA_SIDECAR_QUERY_RATE;
    ret->retain_mb = SONA_SIDECAR_RETAIN_MB;
    ret->retain_days = SONA_SIDECAR_RETAIN_DAYS;
    ret->generations = SONA_SIDECAR_GENERATIONS;
    ret->sample_percent = SONA_SIDECAR_SAMPLE_PERCENT;
    sona_config_init(&ret->config);
}
