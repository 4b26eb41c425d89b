/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/* A page that is not there any more. */
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <criterion/criterion.h>
#include <criterion/new/assert.h>

#include "shm/layout.h"
#include "sidecar/guard.h"

#define PAGES 3u

/* Three pages of which only the first is behind the map: touching another is a SIGBUS. */
static char *torn_map(void)
{
    int fd = memfd_create("torn", MFD_CLOEXEC);

    cr_assert(eq(int, ftruncate(fd, SONA_SHM_PAGE), 0));
    char *map = mmap(NULL, PAGES * SONA_SHM_PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    cr_assert(ne(ptr, map, MAP_FAILED));
    (void)close(fd);
    return map;
}

static char load(const volatile char *at)
{
    return *at;
}

Test(guard, a_missing_page_of_a_guarded_map_reads_as_zeros_and_marks_it)
{
    sona_diag diag;
    char *map = torn_map(), *other = torn_map();

    cr_assert(eq(int, sona_sidecar_guard_install(&diag), SONA_OK));
    int guard = sona_sidecar_guard_add(map, PAGES * SONA_SHM_PAGE);
    int intact = sona_sidecar_guard_add(other, PAGES * SONA_SHM_PAGE);
    map[0] = 5;
    cr_assert(not(sona_sidecar_guard_broken(guard)));
    cr_assert(eq(int, load(map + 2 * SONA_SHM_PAGE + 17), 0));
    cr_assert(sona_sidecar_guard_broken(guard));
    cr_assert(not(sona_sidecar_guard_broken(intact)));
    map[2 * SONA_SHM_PAGE + 17] = 3; /* a store finds room, too */
    cr_assert(eq(int, load(map + SONA_SHM_PAGE), 0), "and the next page");
    cr_assert(eq(int, load(map), 5), "what was there is there");
    sona_sidecar_guard_remove(guard);
    guard = sona_sidecar_guard_add(other, 1);
    cr_assert(not(sona_sidecar_guard_broken(guard)), "a slot that is used again is whole");
}

Test(guard, a_missing_page_anywhere_else_is_the_end, .signal = SIGBUS)
{
    sona_diag diag;
    char *map = torn_map(), *guarded = torn_map();

    (void)signal(SIGBUS, SIG_DFL);
    cr_assert(eq(int, sona_sidecar_guard_install(&diag), SONA_OK));
    sona_sidecar_guard_remove(sona_sidecar_guard_add(map, PAGES * SONA_SHM_PAGE));
    (void)sona_sidecar_guard_add(guarded, PAGES * SONA_SHM_PAGE);
    (void)load(map + SONA_SHM_PAGE);
}
