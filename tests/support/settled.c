/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/* See settled.h. */
#include "tests/support/settled.h"

#include <dirent.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* A thread that has ended meanwhile holds nothing, either. */
static bool sleeps(const char *thread)
{
    char path[64], line[512];

    (void)snprintf(path, sizeof path, "/proc/self/task/%.20s/stat", thread);
    FILE *file = fopen(path, "re");
    if (!file)
        return true;
    const char *name_end = fgets(line, sizeof line, file) ? strrchr(line, ')') : NULL;
    bool ret = !name_end || strncmp(name_end, ") S", 3) == 0;
    (void)fclose(file);
    return ret;
}

static bool others_sleep(void)
{
    DIR *threads = opendir("/proc/self/task");
    bool ret = true;

    if (!threads)
        abort();
    for (const struct dirent *e; ret && (e = readdir(threads)) != NULL;)
        ret = e->d_name[0] == '.' || atol(e->d_name) == gettid() || sleeps(e->d_name);
    (void)closedir(threads);
    return ret;
}

pid_t settled_fork(void)
{
    while (!others_sleep())
        (void)sched_yield(); /* the time-out of the test is the bound */
    return fork();
}
