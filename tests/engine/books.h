/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/* The books of sona/stats.h, as an auditor reads them. */
#ifndef SONA_TESTS_ENGINE_BOOKS_H
#define SONA_TESTS_ENGINE_BOOKS_H

#include <stddef.h>
#include <stdint.h>

#include <sona/stats.h>

static inline uint64_t books_of(const sona_stats *s, const sona_counter *counters, size_t count)
{
    uint64_t sum = 0;

    for (size_t i = 0; i < count; i++)
        sum += s->counter[counters[i]];
    return sum;
}

#define BOOKS_SUM(s, ...)                              \
    books_of((s), (const sona_counter[]){__VA_ARGS__}, \
             sizeof((const sona_counter[]){__VA_ARGS__}) / sizeof(sona_counter))
#define BOOK(name) SONA_COUNTER_##name

/* The name of a book that does not balance; null when all do. */
static inline const char *books_broken(const sona_stats *s)
{
    if (BOOKS_SUM(s, BOOK(decisions), BOOK(trajectories)) !=
        s->pending + BOOKS_SUM(s, BOOK(joined), BOOK(withdrawn), BOOK(defaulted),
                               BOOK(drop_evicted), BOOK(drop_abandoned)))
        return "queries";
    if (BOOKS_SUM(s, BOOK(outcomes), BOOK(revokes), BOOK(strays)) !=
        s->parked_now + BOOKS_SUM(s, BOOK(joined), BOOK(replacing), BOOK(revoking), BOOK(withdrawn),
                                  BOOK(drop_unknown_id), BOOK(drop_duplicate), BOOK(drop_expired),
                                  BOOK(drop_foreign), BOOK(drop_revoked), BOOK(drop_parked_full)))
        return "words about an id";
    if (BOOKS_SUM(s, BOOK(joined), BOOK(defaulted), BOOK(replacing), BOOK(revoking),
                  BOOK(imported)) != BOOKS_SUM(s, BOOK(learned), BOOK(replaced), BOOK(revoked),
                                               BOOK(drop_disabled), BOOK(drop_bypass),
                                               BOOK(drop_route_retired), BOOK(drop_revoke_late),
                                               BOOK(drop_thinned)))
        return "learning";
    return NULL;
}

/* Every event that was taken or refused, each once, but for routes told about trajectories and
 * decisions in mode bypass, which leave no trace when all is well. */
static inline uint64_t books_events(const sona_stats *s)
{
    return BOOKS_SUM(s, BOOK(drop_not_finite), BOOK(drop_shape), BOOK(drop_range),
                     BOOK(drop_zero_vector), BOOK(drop_route), BOOK(drop_no_route),
                     BOOK(drop_malformed), BOOK(decisions), BOOK(trajectories), BOOK(outcomes),
                     BOOK(revokes), BOOK(steps), BOOK(drop_steps), BOOK(strays));
}

#endif
