/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/*
 * libFuzzer counts seconds of the wall, and on a busy machine nothing happens in them: with
 * SONA_FUZZ_CPU_S set it is asked to end, in order, after so many of the processor.
 */
#include <signal.h>
#include <time.h>

#include "tests/fuzz/targets/fuzz.h"

int LLVMFuzzerInitialize(int *argc, char ***argv);

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    const char *wanted = getenv("SONA_FUZZ_CPU_S");
    struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR1};
    struct itimerspec when = {.it_interval = {.tv_sec = 1}};
    timer_t timer;

    (void)argc;
    (void)argv;
    if (!wanted)
        return 0;
    when.it_value.tv_sec = atoi(wanted);
    FUZZ_HOLD(timer_create(CLOCK_PROCESS_CPUTIME_ID, &event, &timer) == 0 &&
              timer_settime(timer, 0, &when, NULL) == 0);
    return 0;
}
