/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/* See thread.h. */
#include "sidecar/thread.h"

#include <errno.h>
#include <stdlib.h>

#include "sidecar/log.h"

struct beginning {
    void *(*run)(void *arg);
    void *arg;
    struct sona_sidecar_voice *voice;
};

static void *begin(void *arg)
{
    struct beginning b = *(struct beginning *)arg;

    free(arg);
    sona_sidecar_voice_speak(b.voice);
    return b.run(b.arg);
}

int sona_sidecar_thread_create(pthread_t *ret, const char *name, void *(*run)(void *arg), void *arg)
{
    struct beginning *b = malloc(sizeof *b);

    if (!b)
        return ENOMEM;
    *b = (struct beginning){run, arg, sona_sidecar_voice_current()};
    int rc = pthread_create(ret, NULL, begin, b);
    if (rc != 0) {
        free(b);
        return rc;
    }
    (void)pthread_setname_np(*ret, name);
    return 0;
}
