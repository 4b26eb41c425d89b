/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/*
 * Where a process has business in the file system: found before it is confined, since a rule of
 * landlock is about what is there, and it cannot be widened later (docs/adr/0039).
 *
 *   kept      runtime and state directories of its instances, /dev/shm: files come and go there
 *   read      the directory of the configuration, which SIGHUP reads again (an editor puts a new
 *             file in the place of the old one), and where links in it lead
 *   file      one file, read: the token, the number of this start of the machine, random bytes
 *   written   /proc/self, for the names of threads; /dev/null
 *   emptied   the parent of a runtime directory that was made here, to remove it at the end
 */
#ifndef SONA_SIDECAR_PLACES_H
#define SONA_SIDECAR_PLACES_H

#include <stdbool.h>
#include <stdint.h>

#include "sidecar/options.h"

#define SONA_SIDECAR_PLACES_MAX (4u * SONA_SIDECAR_INSTANCES_MAX + 32u)

enum sona_sidecar_place_kind {
    SONA_SIDECAR_PLACE_KEPT,
    SONA_SIDECAR_PLACE_READ,
    SONA_SIDECAR_PLACE_FILE,
    SONA_SIDECAR_PLACE_WRITTEN,
    SONA_SIDECAR_PLACE_EMPTIED
};

struct sona_sidecar_places {
    uint32_t n;
    bool no_memory;
    bool too_many; /* some are left out */
    struct sona_sidecar_place {
        enum sona_sidecar_place_kind kind;
        bool made;  /* here, and removed by done() when nothing is in it */
        char *path; /* without symbolic links */
    } place[SONA_SIDECAR_PLACES_MAX];
};

/* Find them, and make the directories of instances that are not there, as their start would. What
 * cannot be made or is not there is left out: the start tells. False: no memory, nothing to be done
 * with. */
bool sona_sidecar_places_find(struct sona_sidecar_places *ret,
                              const struct sona_sidecar_whole *whole);
/* The directory of these options that lies in no kept place; null: both do. Valid until the next
 * call, by one thread. */
const char *sona_sidecar_places_lack(const struct sona_sidecar_places *places,
                                     const struct sona_sidecar_options *options);
void sona_sidecar_places_done(struct sona_sidecar_places *places);

/* Make the directories above a path, mode 0700; what cannot be made is found out later. */
void sona_sidecar_places_make_parents(const char *path);

#endif
