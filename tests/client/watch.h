/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/*
 * "The documented error, its counter, and nothing else changed": a call between two looks at every
 * number of the client.
 */
#ifndef SONA_TESTS_CLIENT_WATCH_H
#define SONA_TESTS_CLIENT_WATCH_H

#include <stdbool.h>

#include <criterion/criterion.h>
#include <criterion/new/assert.h>

#include <sona/client.h>

static inline sona_client_stats watch_stats(sona_client *of)
{
    sona_client_stats s;

    cr_assert(eq(int, sona_client_stats_get(of, &s), SONA_OK));
    return s;
}

/* X(field) for every number that a call of a lane could touch. */
#define WATCH_FIELDS(X)    \
    X(attachments)         \
    X(lanes_claimed)       \
    X(applies)             \
    X(decides)             \
    X(outcomes)            \
    X(trajectories)        \
    X(steps)               \
    X(searches)            \
    X(identity)            \
    X(retries)             \
    X(dropped_full)        \
    X(dropped_detached)    \
    X(dropped_restart)     \
    X(refused_argument)    \
    X(refused_shape)       \
    X(refused_not_finite)  \
    X(refused_range)       \
    X(refused_zero_vector) \
    X(refused_route)       \
    X(refused_no_route)    \
    X(refused_unknown_id)  \
    X(memlock_failures)    \
    X(unrecorded)

/* Name of the first field that differs; null: none. */
static inline const char *watch_difference(const sona_client_stats *a, const sona_client_stats *b)
{
#define WATCH_COMPARE(field)  \
    if (a->field != b->field) \
        return #field;
    WATCH_FIELDS(WATCH_COMPARE)
#undef WATCH_COMPARE
    return NULL;
}

/* `call` gives `error`, `counter` grows by one, and no other number moves. */
#define WATCH_REFUSED(client, call, error, counter)                                      \
    do {                                                                                 \
        sona_client_stats watch_before = watch_stats(client);                            \
        sona_err watch_err = (call);                                                     \
        sona_client_stats watch_after = watch_stats(client);                             \
        const char *watch_what;                                                          \
        cr_assert(eq(int, watch_err, error), "%s: %s", #call, sona_err_name(watch_err)); \
        watch_before.counter++;                                                          \
        watch_what = watch_difference(&watch_before, &watch_after);                      \
        cr_assert(eq(ptr, (void *)watch_what, NULL), "%s: %s is not as expected", #call, \
                  watch_what);                                                           \
    } while (0)

#endif
