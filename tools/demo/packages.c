/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/*
 * A stanza of the listing is a paragraph of "Field: value" lines; a line that begins with a space
 * continues the field before it. Lines are read into a buffer of fixed size (the rest of a longer
 * one is skipped), so that any listing is read in the memory of the rows kept.
 */
#include "tools/demo/packages.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include "tools/fail.h"
#include "tools/text.h"

#define LINE_MAX_BYTES 4096u
#define NAME_BYTES     128u
#define SECTION_BYTES  64u
#define SEEN_SLOTS     (4u * SONA_DEMO_PACKAGES_MAX) /* two hashes a row: at most half full */
#define ROWS_FIRST     4096u

static const char *const desk[SONA_DEMO_DESKS] = {"games", "science", "sound",    "graphics",
                                                  "admin", "net",     "fonts",    "math",
                                                  "mail",  "editors", "database", "web"};

struct stanza {
    char name[NAME_BYTES];
    char section[SECTION_BYTES];
    char description[SONA_TOOLS_TEXT_MAX];
    size_t described; /* bytes in use */
    bool any;         /* a line of it was read */
    bool in_description;
};

struct reader {
    struct sona_demo_packages packages;
    struct stanza stanza;
    uint32_t capacity; /* rows */
    uint8_t *desk_of;  /* [capacity] */
    uint64_t *seen;    /* [SEEN_SLOTS] hashes of names and descriptions; 0 = free */
};

static uint64_t hash_text(uint64_t h, const char *text, size_t n)
{
    for (size_t i = 0; i < n; i++)
        h = (h ^ (unsigned char)text[i]) * 0x510e527fade682d1ull;
    h ^= h >> 32;
    return h != 0 ? h : 1;
}

/* Remember a hash; true when it was known. */
static bool known(struct reader *reader, uint64_t h)
{
    uint32_t i = (uint32_t)((h >> 16) % SEEN_SLOTS);

    for (; reader->seen[i] != 0; i = (i + 1) % SEEN_SLOTS)
        if (reader->seen[i] == h)
            return true;
    reader->seen[i] = h;
    return false;
}

/* Number of the desk of "games" or "contrib/games"; SONA_DEMO_DESKS for other sections. */
static uint32_t desk_of(const char *section)
{
    const char *slash = strrchr(section, '/');
    uint32_t d = 0;

    while (d < SONA_DEMO_DESKS && strcmp(slash != NULL ? slash + 1 : section, desk[d]) != 0)
        d++;
    return d;
}

static bool grow(struct reader *reader)
{
    struct sona_tools_dataset *set = &reader->packages.set;
    uint32_t capacity = reader->capacity > 0 ? 2 * reader->capacity : ROWS_FIRST;
    float *x = realloc(set->x, (size_t)capacity * SONA_TOOLS_TEXT_DIM * sizeof *x);
    uint8_t *desks;

    if (x == NULL)
        return false;
    set->x = x;
    desks = realloc(reader->desk_of, capacity);
    if (desks == NULL)
        return false;
    reader->desk_of = desks;
    reader->capacity = capacity;
    return true;
}

/* A stanza is complete: keep it when it is a new description of one of the desks. */
static bool take(struct reader *reader)
{
    struct stanza *stanza = &reader->stanza;
    struct sona_tools_dataset *set = &reader->packages.set;
    char text[NAME_BYTES + SONA_TOOLS_TEXT_MAX + 2];
    uint32_t d = desk_of(stanza->section);
    int n;

    reader->packages.seen += stanza->name[0] != '\0';
    if (stanza->name[0] == '\0' || stanza->described == 0 || d == SONA_DEMO_DESKS ||
        set->rows == SONA_DEMO_PACKAGES_MAX)
        return true;
    if (known(reader, hash_text(1, stanza->name, strlen(stanza->name))) ||
        known(reader, hash_text(2, stanza->description, stanza->described))) {
        reader->packages.duplicates++;
        return true;
    }
    if (set->rows == reader->capacity && !grow(reader))
        return false;
    n = snprintf(text, sizeof text, "%s %.*s", stanza->name, (int)stanza->described,
                 stanza->description);
    if (sona_tools_text_embed(text, (size_t)n, set->x + (size_t)set->rows * SONA_TOOLS_TEXT_DIM))
        reader->desk_of[set->rows++] = (uint8_t)d;
    return true;
}

/* The value of "Field: value" when the line has this field, else null. */
static const char *value_of(const char *line, const char *field)
{
    size_t n = strlen(field);

    if (strncmp(line, field, n) != 0 || line[n] != ':')
        return NULL;
    line += n + 1;
    return line + (*line == ' ');
}

static void describe(struct stanza *stanza, const char *text)
{
    size_t room = sizeof stanza->description - 1 - stanza->described, n = strlen(text);

    n = n < room ? n : room;
    memcpy(stanza->description + stanza->described, text, n);
    stanza->described += n;
    stanza->description[stanza->described] = '\0';
}

static void take_line(struct stanza *stanza, const char *line)
{
    const char *value;

    stanza->any = true;
    if (line[0] == ' ' || line[0] == '\t') {
        if (stanza->in_description)
            describe(stanza, line);
        return;
    }
    stanza->in_description = false;
    if ((value = value_of(line, "Package")) != NULL) {
        (void)snprintf(stanza->name, sizeof stanza->name, "%s", value);
    } else if ((value = value_of(line, "Section")) != NULL) {
        (void)snprintf(stanza->section, sizeof stanza->section, "%s", value);
    } else if ((value = value_of(line, "Description")) != NULL ||
               (value = value_of(line, "Description-en")) != NULL) {
        stanza->in_description = true;
        stanza->described = 0;
        describe(stanza, value);
    }
}

/* Skip what did not fit into the buffer. */
static void skip_line(FILE *in)
{
    int c;

    do
        c = fgetc(in);
    while (c != '\n' && c != EOF);
}

static bool read_all(struct reader *reader, FILE *in)
{
    char line[LINE_MAX_BYTES];

    while (fgets(line, sizeof line, in) != NULL) {
        size_t n = strlen(line);

        if (n > 0 && line[n - 1] == '\n')
            line[n - 1] = '\0';
        else if (!feof(in))
            skip_line(in);
        if (line[0] != '\0') {
            take_line(&reader->stanza, line);
            continue;
        }
        if (reader->stanza.any && !take(reader))
            return false;
        memset(&reader->stanza, 0, sizeof reader->stanza);
    }
    return !reader->stanza.any || take(reader);
}

/* Lay the rows kept out as a data set. */
static sona_err make_set(struct reader *reader, struct sona_demo_packages *ret, sona_diag *reterr)
{
    struct sona_tools_dataset set, *read = &reader->packages.set;
    sona_err err = sona_tools_dataset_create(&set, "packages", read->rows, SONA_TOOLS_TEXT_DIM,
                                             SONA_DEMO_DESKS, reterr);

    if (err != SONA_OK)
        return err;
    memcpy(set.x, read->x, (size_t)set.rows * set.dim * sizeof *set.x);
    for (uint32_t d = 0; d < SONA_DEMO_DESKS; d++)
        (void)snprintf(set.route[d].name, sizeof set.route[d].name, "%s", desk[d]);
    set.groups = SONA_DEMO_DESKS;
    for (uint32_t r = 0; r < set.rows; r++) {
        set.group[r] = reader->desk_of[r];
        set.quality[(size_t)r * SONA_DEMO_DESKS + reader->desk_of[r]] = 1;
    }
    *ret = reader->packages;
    ret->set = set;
    return SONA_OK;
}

sona_err sona_demo_packages_read(struct sona_demo_packages *ret, FILE *listing, sona_diag *reterr)
{
    struct reader *reader = calloc(1, sizeof *reader);
    sona_err err = SONA_E_MEMORY;

    if (reader != NULL)
        reader->seen = calloc(SEEN_SLOTS, sizeof *reader->seen);
    if (reader == NULL || reader->seen == NULL || !read_all(reader, listing))
        (void)sona_tools_fail(reterr, err, "not enough memory for the package descriptions");
    else if (reader->packages.set.rows == 0)
        err = sona_tools_fail(reterr, SONA_E_FORMAT,
                              "none of the %u packages listed is in one of the twelve sections",
                              reader->packages.seen);
    else
        err = make_set(reader, ret, reterr);
    if (reader != NULL) {
        free(reader->packages.set.x);
        free(reader->desk_of);
        free(reader->seen);
    }
    free(reader);
    return err;
}

sona_err sona_demo_packages_load(struct sona_demo_packages *ret, sona_diag *reterr)
{
    FILE *listing = popen("LC_ALL=C apt-cache dumpavail 2>/dev/null", "re");
    sona_err err;
    int status;

    if (listing == NULL)
        return sona_tools_fail(reterr, SONA_E_SYSTEM, "cannot run apt-cache: %s", strerror(errno));
    err = sona_demo_packages_read(ret, listing, reterr);
    status = pclose(listing);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 127) {
        if (err == SONA_OK)
            sona_demo_packages_done(ret);
        return sona_tools_fail(reterr, SONA_E_ABSENT,
                               "there is no apt-cache on this machine, so no package descriptions; "
                               "use sona-demo --data FILE or --log FILE");
    }
    if (err == SONA_OK && ret->set.rows < SONA_DEMO_PACKAGES_MIN) {
        uint32_t rows = ret->set.rows;

        sona_demo_packages_done(ret);
        return sona_tools_fail(reterr, SONA_E_ABSENT,
                               "only %u package descriptions found, the demo needs %u: fetch the "
                               "package lists with `apt-get update` (as root), or use --data FILE",
                               rows, SONA_DEMO_PACKAGES_MIN);
    }
    if (err == SONA_E_FORMAT)
        return sona_tools_fail(reterr, SONA_E_ABSENT,
                               "no package descriptions found: fetch the package lists with "
                               "`apt-get update` (as root), or use --data FILE");
    return err;
}

void sona_demo_packages_done(struct sona_demo_packages *packages)
{
    sona_tools_dataset_close(&packages->set);
}
