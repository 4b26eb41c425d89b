/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/*
 * What the process gives up for good before it has a thread or meets a client, because it never
 * needs it: should a client find a way in, there is less to find there. What the kernel does not
 * have is left out, and said (docs/adr/0030).
 *
 *   seccomp   other programs and processes, other processes' memory, other identities, mounts and
 *             namespaces, modules, clocks, keys, io_uring and the like: EPERM
 *   landlock  every file that lies in none of its places (places.h); programs; making devices,
 * FIFOs and links; orders to devices; TCP connections to anybody; signals to others: EACCES, EPERM
 */
#ifndef SONA_SIDECAR_CONFINE_H
#define SONA_SIDECAR_CONFINE_H

#include <stdbool.h>

#include "sidecar/places.h"

struct sona_sidecar_confined {
    bool seccomp;
    bool paths;      /* landlock knows the places, and denies the rest */
    int landlock;    /* its version; 0: none */
    const char *why; /* null: all of it is there. Static */
};

/* Once, by the only thread there is, when it has found its places; null: none is denied. Under a
 * sanitizer, whose own tools need what is taken away, nothing is, unless `even_there`. */
struct sona_sidecar_confined sona_sidecar_confine(const struct sona_sidecar_places *places,
                                                  bool even_there);

#endif
