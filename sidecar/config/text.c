/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/* See text.h. */
#include "sidecar/config/text.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sidecar/config/yaml.h"

#define PLACE_PATH_MAX (SONA_SIDECAR_WHERE_MAX - 32) /* the rest is for two numbers */

void sona_sidecar_text_place(char ret[SONA_SIDECAR_WHERE_MAX], const char *path, unsigned line,
                             unsigned column)
{
    size_t n = strlen(path);
    bool cut = n > PLACE_PATH_MAX;

    (void)snprintf(ret, SONA_SIDECAR_WHERE_MAX, "%s%s:%u:%u", cut ? "..." : "",
                   cut ? path + n - PLACE_PATH_MAX + 3 : path, line, column);
}

/* Bytes of the UTF-8 character at `at`, of which `left` are there; 0: it is none. Neither overlong
 * forms nor surrogates nor anything past U+10FFFF are characters. */
static size_t character(const unsigned char *at, size_t left)
{
    static const uint32_t first[] = {0, 0, 0x80, 0x800, 0x10000};
    size_t n = at[0] < 0x80    ? 1
               : at[0] < 0xC2  ? 0
               : at[0] < 0xE0  ? 2
               : at[0] < 0xF0  ? 3
               : at[0] <= 0xF4 ? 4
                               : 0;
    uint32_t value = n == 1 ? at[0] : n == 0 ? 0 : at[0] & (0x7Fu >> n);

    if (n > left)
        return 0;
    for (size_t i = 1; i < n; i++) {
        if ((at[i] & 0xC0) != 0x80)
            return 0;
        value = value << 6 | (at[i] & 0x3F);
    }
    if (n > 1 && (value < first[n] || value > 0x10FFFF || (value >= 0xD800 && value < 0xE000)))
        return 0;
    return n;
}

/* How far a line has come into "colon, blanks with a tab among them". */
enum gap { NO_GAP, BEHIND_COLON, TAB_BEHIND_COLON };

static enum gap gap_after(enum gap gap, unsigned char c)
{
    if (c == ':')
        return BEHIND_COLON;
    if (c == '\t' && gap != NO_GAP)
        return TAB_BEHIND_COLON;
    return c == ' ' ? gap : NO_GAP;
}

/* Does a block begin at `at`? A - with something behind it is a number or a word. */
static bool begins_block(const unsigned char *at, const unsigned char *end)
{
    if (at[0] == '-')
        return at + 1 == end || strchr(" \t\r\n", at[1]);
    return strchr("?:|>", at[0]);
}

void sona_sidecar_text_judge(struct sona_sidecar_gather *gather, const char *path, const char *text,
                             size_t bytes)
{
    const unsigned char *at = (const unsigned char *)text, *end = at + bytes;
    char where[SONA_SIDECAR_WHERE_MAX];
    unsigned line = 1, column = 1;
    bool indents = true; /* nothing but blanks on this line so far */
    bool begins = true;  /* a line: behind a mark of byte order too, and whatever ends one */
    enum gap gap = NO_GAP;

    while (at < end) {
        size_t n = character(at, (size_t)(end - at));
        bool control = (at[0] < ' ' && !strchr("\t\n\r", at[0])) || at[0] == '\0' || at[0] == 0x7F;

        if (n == 0 || control || (at[0] == '\t' && indents)) {
            sona_sidecar_text_place(where, path, line, column);
            if (n == 0 || control) {
                sona_sidecar_gather_mistake(gather, where,
                                            n == 0 ? "this byte, %02x, begins no character of UTF-8"
                                                   : "a control character, %02x, has no place in a "
                                                     "configuration",
                                            at[0]);
                return; /* what follows may be no text at all */
            }
            sona_sidecar_gather_mistake(gather, where, "a tab indents this line; use spaces");
        } else if (gap == TAB_BEHIND_COLON && begins_block(at, end)) {
            /* Where libfyaml 0.7.12 refuses it, it frees a key twice (ADR 40). In a comment, too:
             * to know one from a quoted text is the parser's. */
            sona_sidecar_text_place(where, path, line, column);
            sona_sidecar_gather_mistake(gather, where, "a tab between : and %c; use a space",
                                        at[0]);
        } else if (at[0] == '%' && begins) { /* no value begins a line with it */
            sona_sidecar_text_place(where, path, line, column);
            sona_sidecar_gather_mistake(gather, where, "directives mean nothing here");
        }
        gap = gap_after(gap, at[0]);
        begins = at[0] == '\n' || at[0] == '\r' ||
                 (column == 1 && line == 1 && n == 3 && memcmp(at, "\xEF\xBB\xBF", 3) == 0);
        indents = at[0] == '\n' || at[0] == '\r' || (indents && at[0] == ' ');
        column++;
        if (at[0] == '\n') {
            line++;
            column = 1;
        }
        at += n;
    }
}

/* The open file may be trusted and read; false: told why not. */
static bool judge_file(struct sona_sidecar_gather *gather, const char *path, int fd, size_t *ret)
{
    struct stat st;

    if (fstat(fd, &st) != 0) {
        sona_sidecar_gather_mistake(gather, path, "cannot examine it: %s", strerror(errno));
        return false;
    }
    *ret = 0;
    if (S_ISCHR(st.st_mode) && strcmp(path, "/dev/null") == 0)
        return true;
    if (!S_ISREG(st.st_mode)) {
        sona_sidecar_gather_mistake(gather, path, "%s",
                                    S_ISDIR(st.st_mode) ? "it is a directory, not a file"
                                                        : "it is no regular file");
        return false;
    }
    if (geteuid() == 0 && (st.st_mode & S_IWOTH)) {
        sona_sidecar_gather_mistake(gather, path,
                                    "everybody may write it, and root would obey; chmod o-w it");
        return false;
    }
    if (st.st_size > (off_t)SONA_SIDECAR_YAML_BYTES_MAX) {
        sona_sidecar_gather_mistake(gather, path, "it has %lld bytes; at most %u are read",
                                    (long long)st.st_size, SONA_SIDECAR_YAML_BYTES_MAX);
        return false;
    }
    *ret = (size_t)st.st_size;
    return true;
}

static void read_file(struct sona_sidecar_gather *gather, const char *path, bool wanted)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    size_t bytes = 0, have = 0;

    sona_sidecar_gather_layer(gather);
    if (fd < 0) {
        if (wanted || (errno != ENOENT && errno != ENOTDIR))
            sona_sidecar_gather_mistake(gather, path, "cannot open it: %s", strerror(errno));
        return;
    }
    bool sound = judge_file(gather, path, fd, &bytes);
    char *text = sound ? malloc(bytes + 1) : NULL;
    if (sound && !text)
        sona_sidecar_gather_no_memory(gather, path);
    while (text && have < bytes) {
        ssize_t n = read(fd, text + have, bytes - have);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            sona_sidecar_gather_mistake(gather, path, "cannot read it: %s", strerror(errno));
        if (n <= 0)
            break;
        have += (size_t)n;
    }
    (void)close(fd);
    if (text)
        sona_sidecar_yaml_gather(gather, path, text, have);
    free(text);
}

static int is_drop_in(const struct dirent *entry)
{
    size_t n = strlen(entry->d_name), end = strlen(".yaml");

    return entry->d_name[0] != '.' && n > end && strcmp(entry->d_name + n - end, ".yaml") == 0;
}

/* By bytes: alphasort would follow the locale. */
static int by_name(const struct dirent **a, const struct dirent **b)
{
    return strcmp((*a)->d_name, (*b)->d_name);
}

bool sona_sidecar_text_drop_ins(const char *path, char ret[PATH_MAX])
{
    const char *slash = strrchr(path, '/');

    return snprintf(ret, PATH_MAX, "%.*sconf.d", slash ? (int)(slash - path) + 1 : 0, path) <
           PATH_MAX;
}

void sona_sidecar_text_gather(struct sona_sidecar_gather *gather, const char *path, bool wanted)
{
    char dir[PATH_MAX], file[PATH_MAX + NAME_MAX + 2];
    struct dirent **entries = NULL;

    read_file(gather, path, wanted);
    if (!sona_sidecar_text_drop_ins(path, dir))
        return; /* the file's path was too long to be opened, and that is told */
    int n = scandir(dir, &entries, is_drop_in, by_name);
    if (n < 0 && errno != ENOENT && errno != ENOTDIR)
        sona_sidecar_gather_mistake(gather, dir, "cannot list it: %s", strerror(errno));
    if (n > (int)SONA_SIDECAR_DROP_INS_MAX)
        sona_sidecar_gather_mistake(gather, dir, "it has %d files; at most %u are read", n,
                                    SONA_SIDECAR_DROP_INS_MAX);
    for (int i = 0; i < n; i++) {
        (void)snprintf(file, sizeof file, "%s/%s", dir, entries[i]->d_name);
        if (i < (int)SONA_SIDECAR_DROP_INS_MAX)
            read_file(gather, file, true);
        free(entries[i]);
    }
    free(entries);
}
