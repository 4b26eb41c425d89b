/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/* The version that was linked, as opposed to the one whose header was compiled. */
#include <sona/version.h>

#define TEXT_OF(x)      #x
#define DOTTED(a, b, c) TEXT_OF(a) "." TEXT_OF(b) "." TEXT_OF(c)

_Static_assert(sizeof(SONA_VERSION) ==
                   sizeof(DOTTED(SONA_VERSION_MAJOR, SONA_VERSION_MINOR, SONA_VERSION_PATCH)),
               "SONA_VERSION and its parts");

const char *sona_version(void)
{
    return DOTTED(SONA_VERSION_MAJOR, SONA_VERSION_MINOR, SONA_VERSION_PATCH);
}
