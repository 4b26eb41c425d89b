/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/* sona-sidecar: the daemon beside the router. Exit status: 0 a clean stop, 1 a failure, 2 a mistake
 * in the configuration or on the command line. */
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <sys/stat.h>

#include "sidecar/config/pages.h"
#include "sidecar/control.h"
#include "sidecar/log.h"
#include "sidecar/memory.h"
#include "sidecar/sidecar.h"

static int failed(const sona_diag *diag)
{
    (void)fprintf(stderr, "sona-sidecar: %s\n", diag->text);
    return 1;
}

static int serve(struct sona_sidecar_options *options)
{
    struct sona_sidecar sidecar;
    sona_diag diag;

    if (sona_sidecar_open(&sidecar, options, &diag) != SONA_OK)
        return failed(&diag);
    sona_err err = sona_sidecar_listen(&sidecar, &diag);
    if (err == SONA_OK)
        err = sona_sidecar_control_run(&sidecar, options->ready_fd, &diag);
    sona_sidecar_close(&sidecar);
    if (err != SONA_OK)
        return failed(&diag);
    sona_sidecar_log(SONA_SIDECAR_INFO, "stopped", "instance=%s", options->instance);
    return 0;
}

int main(int argc, char **argv)
{
    static struct sona_sidecar_options options; /* large: the route declarations */
    sigset_t all;
    sona_diag diag;

    sona_sidecar_memory_mark();
    sona_sidecar_log_open();
    int mistake = sona_sidecar_options_parse(&options, argc, argv);
    if (mistake)
        return mistake;
    if (options.print_config) {
        sona_sidecar_pages_print(&options, stdout);
        return fflush(stdout) != 0;
    }
    if (options.memory != SONA_SIDECAR_MEMORY_NOT)
        return sona_sidecar_memory_print(&options.config,
                                         options.memory == SONA_SIDECAR_MEMORY_JSON)
                   ? 0
                   : 1;
    sona_sidecar_log_level((enum sona_sidecar_level)options.log_level);
    (void)umask(0077);
    /* Threads inherit this: signals are control's, which unblocks its own when it handles them. */
    (void)sigfillset(&all);
    (void)sigdelset(&all, SIGBUS); /* of the thread that met it (guard.h) */
    (void)pthread_sigmask(SIG_SETMASK, &all, NULL);
    sona_sidecar_version_enter();
    int status;
    if (options.check)
        status = sona_sidecar_check(&options, &diag) == SONA_OK ? 0 : failed(&diag);
    else
        status = serve(&options);
    sona_sidecar_version_leave();
    return status;
}
