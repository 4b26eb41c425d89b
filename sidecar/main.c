/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/* sona-sidecar: the daemon beside the router. Exit status: 0 a clean stop, 1 a failure, 2 a mistake
 * in the configuration or on the command line. */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sidecar/config/pages.h"
#include "sidecar/confine.h"
#include "sidecar/fleet.h"
#include "sidecar/log.h"
#include "sidecar/memory.h"
#include "sidecar/patience.h"
#include "sidecar/sidecar.h"

/* What jemalloc reads when the process starts: one arena, since the threads allocate rarely and
 * never at the same time for long; .3 MB less than with four for each processor. */
extern __attribute__((visibility("default"))) const char *malloc_conf;
const char *malloc_conf = "narenas:1";

static int failed(const char *instance, const sona_diag *diag)
{
    if (instance)
        (void)fprintf(stderr, "%ssona-sidecar: instance %s: %s\n",
                      sona_sidecar_log_priority(SONA_SIDECAR_ERROR), instance, diag->text);
    else
        (void)fprintf(stderr, "%ssona-sidecar: %s\n", sona_sidecar_log_priority(SONA_SIDECAR_ERROR),
                      diag->text);
    return 1;
}

/* What --check says of all of them. */
static int check(const struct sona_sidecar_whole *whole)
{
    int status = 0;
    sona_diag diag;

    sona_sidecar_version_enter();
    for (uint32_t i = 0; i < whole->n; i++)
        if (sona_sidecar_check(whole->instance[i], &diag) != SONA_OK)
            status = failed(whole->named ? whole->instance[i]->instance : NULL, &diag);
    sona_sidecar_version_leave();
    return status;
}

/* Before there is any thread: some of it is a thread's alone. Whether places are all it has. */
static bool confine(const struct sona_sidecar_places *places)
{
    struct sona_sidecar_confined confined = sona_sidecar_confine(places, false);

    sona_sidecar_log(confined.why ? SONA_SIDECAR_WARN : SONA_SIDECAR_INFO,
                     confined.why ? "confined_less" : "confined",
                     "seccomp=%s landlock=%d paths=%s%s%s%s", confined.seccomp ? "yes" : "no",
                     confined.landlock, confined.paths ? "yes" : "no",
                     confined.why ? " reason=\"" : "", confined.why ? confined.why : "",
                     confined.why ? "\"" : "");
    return confined.paths;
}

static int run_confined(struct sona_sidecar_whole *whole)
{
    struct sona_sidecar_places places;

    if (whole->common->confine_off)
        return sona_sidecar_fleet_run(whole, NULL);
    if (!sona_sidecar_places_find(&places, whole)) {
        (void)fprintf(stderr, "%ssona-sidecar: out of memory for the names of its directories\n",
                      sona_sidecar_log_priority(SONA_SIDECAR_ERROR));
        return 1;
    }
    int status = sona_sidecar_fleet_run(whole, confine(&places) ? &places : NULL);
    sona_sidecar_places_done(&places);
    return status;
}

static int run(struct sona_sidecar_whole *whole)
{
    const struct sona_sidecar_options *common = whole->common;
    sigset_t all;

    if (common->print_config) {
        sona_sidecar_pages_print_whole(whole, stdout);
        return fflush(stdout) != 0;
    }
    if (common->memory != SONA_SIDECAR_MEMORY_NOT)
        return sona_sidecar_memory_print(whole) ? 0 : 1;
    sona_sidecar_log_level((enum sona_sidecar_level)common->log_level);
    (void)umask(0077);
    /* Threads inherit this: the main thread takes the signals when it waits for them. */
    (void)sigfillset(&all);
    (void)sigdelset(&all, SIGBUS); /* of the thread that met it (guard.h) */
    (void)pthread_sigmask(SIG_SETMASK, &all, NULL);
    if (common->check)
        return check(whole);
    return run_confined(whole);
}

/* What was asked for was not told: --help and --version too, after which argp ends by itself. */
static void tell_all(void)
{
    int lost = ferror(stdout);

    errno = 0;
    if (fflush(stdout) == 0 && !lost)
        return;
    (void)fprintf(stderr, "sona-sidecar: stdout takes no more%s%s\n", errno ? ": " : "",
                  errno ? strerror(errno) : "");
    _exit(1);
}

int main(int argc, char **argv)
{
    struct sona_sidecar_whole whole;

    (void)atexit(tell_all);
    sona_sidecar_memory_mark();
    sona_sidecar_log_open();
    sona_sidecar_patience_begin(realloc);
    int status = sona_sidecar_whole_parse(&whole, argc, argv);
    if (status == 0)
        status = run(&whole);
    sona_sidecar_whole_done(&whole);
    return status;
}
