/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/* Names and explanations of the counters, expanded from the one table in stats.h. */
#include <sona/stats.h>

const char *sona_counter_name(sona_counter counter)
{
    switch (counter) {
#define NAME(name, help)      \
    case SONA_COUNTER_##name: \
        return #name;
        SONA_COUNTERS(NAME)
#undef NAME
    case SONA_COUNTER_COUNT:
        break;
    }
    return "?";
}

const char *sona_counter_help(sona_counter counter)
{
    switch (counter) {
#define HELP(name, help)      \
    case SONA_COUNTER_##name: \
        return help;
        SONA_COUNTERS(HELP)
#undef HELP
    case SONA_COUNTER_COUNT:
        break;
    }
    return "a counter of another version of SONA";
}
