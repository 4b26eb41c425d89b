/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/* What libevent asks for: little is given or ends the process with a word, much may be refused. */
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <event2/buffer.h>
#include <event2/event.h>

#include <criterion/criterion.h>
#include <criterion/new/assert.h>

#include "sidecar/patience.h"

static long refusals; /* that many calls, from now on */

static void *give(void *at, size_t bytes)
{
    if (refusals > 0) {
        refusals--;
        return NULL;
    }
    return realloc(at, bytes);
}

static void begin(void)
{
    sona_sidecar_patience_begin(give);
}

TestSuite(patience, .init = begin);

Test(patience, what_comes_late_is_waited_for)
{
    struct event_base *base = event_base_new();

    cr_assert(ne(ptr, base, NULL));
    refusals = SONA_SIDECAR_PATIENCE_TRIES; /* and then the last try */
    struct event *event = event_new(base, -1, 0, NULL, NULL);
    cr_expect(eq(long, refusals, 0));
    cr_expect(ne(ptr, event, NULL));
    event_free(event);
    event_base_free(base);
}

Test(patience, much_is_refused_as_before)
{
    struct evbuffer *buffer = evbuffer_new();

    refusals = 2 * SONA_SIDECAR_PATIENCE_TRIES;
    cr_expect(eq(int, evbuffer_expand(buffer, 64 * SONA_SIDECAR_PATIENCE_SMALL), -1));
    refusals = 0;
    evbuffer_free(buffer);
}

Test(patience, what_never_comes_ends_the_process_with_a_word)
{
    char said[512] = "";
    int out[2], status;

    cr_assert(zero(int, pipe(out)));
    struct event_base *base = event_base_new();
    pid_t child = fork();
    if (child == 0) {
        (void)dup2(out[1], STDERR_FILENO);
        refusals = 1000000;
        (void)event_new(base, -1, 0, NULL, NULL);
        _exit(77);
    }
    (void)close(out[1]);
    cr_assert(eq(int, waitpid(child, &status, 0), child));
    cr_expect(ne(int, WIFEXITED(status), 0));
    cr_expect(eq(int, WEXITSTATUS(status), 1));
    cr_expect(ge(long, read(out[0], said, sizeof said - 1), 0));
    cr_expect(ne(ptr, strstr(said, "event=memory_gone"), NULL), "%s", said);
    (void)close(out[0]);
    event_base_free(base);
}
