/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/* See transfer.h. */
#include "tools/transfer.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tools/fail.h"
#include "tools/query.h"

#define FILE_MAX (17u << 20) /* what a sidecar takes at once */

static bool write_all(int fd, const char *bytes, size_t n)
{
    while (n > 0) {
        ssize_t written = write(fd, bytes, n);

        if (written < 0 && errno == EINTR)
            continue;
        if (written < 0)
            return false;
        bytes += written;
        n -= (size_t)written;
    }
    return true;
}

sona_err sona_tools_export(const char *runtime_dir, const char *instance,
                           const struct sona_control_command *command, const char *file,
                           size_t *ret_bytes, sona_diag *reterr)
{
    char *bytes = NULL;

    if (!file && command->class == SONA_CONTROL_ADAPTERS && isatty(STDOUT_FILENO))
        return sona_tools_fail(reterr, SONA_E_RANGE,
                               "this is no text for a terminal; name a file with --file");
    sona_err err =
        sona_tools_ask_file(runtime_dir, instance, command, NULL, 0, &bytes, ret_bytes, reterr);
    if (err != SONA_OK)
        return err;
    int fd = file ? open(file, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600) : STDOUT_FILENO;
    bool written = fd >= 0 && write_all(fd, bytes, *ret_bytes);
    int e = errno;

    free(bytes);
    if (file && fd >= 0 && close(fd) != 0 && written) {
        written = false;
        e = errno;
    }
    if (written)
        return SONA_OK;
    if (file && fd >= 0)
        (void)unlink(file);
    return sona_tools_fail(reterr, SONA_E_SYSTEM, "cannot write %s: %s", file ? file : "stdout",
                           strerror(e));
}

/* All of it, at most FILE_MAX bytes and one more. */
static sona_err read_all(int fd, const char *name, char **ret, size_t *ret_bytes, sona_diag *reterr)
{
    char *bytes = malloc(FILE_MAX + 1);
    size_t n = 0;

    while (bytes && n <= FILE_MAX) {
        ssize_t more = read(fd, bytes + n, FILE_MAX + 1 - n);

        if (more < 0 && errno == EINTR)
            continue;
        if (more < 0) {
            free(bytes);
            return sona_tools_fail(reterr, SONA_E_SYSTEM, "cannot read %s: %s", name,
                                   strerror(errno));
        }
        if (more == 0)
            break;
        n += (size_t)more;
    }
    if (!bytes)
        return sona_tools_fail(reterr, SONA_E_MEMORY, "no memory for %s", name);
    if (n > FILE_MAX) {
        free(bytes);
        return sona_tools_fail(reterr, SONA_E_LIMIT, "%s has more than %u bytes", name, FILE_MAX);
    }
    *ret = bytes;
    *ret_bytes = n;
    return SONA_OK;
}

sona_err sona_tools_import(const char *runtime_dir, const char *instance,
                           const struct sona_control_command *command, const char *file,
                           char **ret_json, sona_diag *reterr)
{
    int fd = file ? open(file, O_RDONLY | O_CLOEXEC) : STDIN_FILENO;
    char *bytes = NULL;
    size_t n = 0, answer;

    if (fd < 0)
        return sona_tools_fail(reterr, SONA_E_SYSTEM, "cannot open %s: %s", file, strerror(errno));
    sona_err err = read_all(fd, file ? file : "stdin", &bytes, &n, reterr);
    if (file)
        (void)close(fd);
    if (err == SONA_OK)
        err = sona_tools_ask_file(runtime_dir, instance, command, bytes, n, ret_json, &answer,
                                  reterr);
    free(bytes);
    return err;
}
