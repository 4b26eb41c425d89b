/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/* SIGTERM: drained, learned, and nothing left behind. */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "load.h"
#include "raw.h"

static bool segment_exists(const char *instance)
{
    char name[96];

    (void)snprintf(name, sizeof name, "/sona.%s.model", instance);
    int fd = shm_open(name, O_RDONLY, 0);
    if (fd >= 0)
        (void)close(fd);
    return fd >= 0;
}

Test(stop, leaves_nothing_behind, .timeout = 60)
{
    struct stage stage;
    char dir[96], instance[64];
    struct stat st;

    stage_open(&stage, NULL);
    (void)snprintf(dir, sizeof dir, "%s", stage.spawn.runtime_dir);
    (void)snprintf(instance, sizeof instance, "%s", stage.spawn.instance);
    cr_assert(segment_exists(instance));
    sona_client *client = stage_client(&stage, 2);
    stage_close(&stage); /* with a client attached */
    cr_assert(not(segment_exists(instance)));
    cr_assert(eq(int, stat(dir, &st), -1), "its directory was empty and is gone");
    sona_client_close(&client);
}

Test(stop, after_a_kill_the_next_start_cleans_up, .timeout = 60)
{
    struct stage stage;
    char instance[64];

    stage_open(&stage, NULL);
    (void)snprintf(instance, sizeof instance, "%s", stage.spawn.instance);
    sona_spawn_kill(&stage.spawn);
    cr_assert(segment_exists(instance), "a killed sidecar cannot clean up");
    stage_reopen(&stage);
    stage_close(&stage);
    cr_assert(not(segment_exists(instance)));
}

Test(stop, under_load_loses_nothing_that_was_committed, .timeout = 120)
{
    struct stage stage;
    struct load load;
    struct raw raw; /* keeps the segment's page 2 readable */

    stage_open(&stage, NULL);
    raw_open(&raw, &stage);
    load_start(&load, &stage);
    load_await(&load, 10000);
    stage_close(&stage);
    uint64_t end = stage_now_ms() + STAGE_LIMIT_MS;
    while (!atomic_load_explicit(&load.count->detached, memory_order_acquire)) {
        cr_assert(lt(u64, stage_now_ms(), end), "the client never noticed");
        stage_pause();
    }
    load_stop(&load);
    uint64_t committed = atomic_load(&load.count->outcomes);
    uint64_t learned = raw_counter(&raw, SONA_COUNTER_learned);

    cr_log_info("%llu outcomes committed, %llu learned, %llu events undrained",
                (unsigned long long)committed, (unsigned long long)learned,
                (unsigned long long)load.count->stats.dropped_restart);
    cr_expect(eq(u64, load.count->stats.dropped_restart, 0));
    cr_expect(eq(u64, learned, committed));
    const struct sona_shm_live *live = (const void *)(raw.model + SONA_SHM_PAGE);
    cr_expect(eq(u32, atomic_load_explicit(&live->state, memory_order_acquire), SONA_SHM_RETIRED));
    raw_close(&raw);
}

Test(stop, a_peaceful_client_and_the_sidecar_agree_on_every_number, .timeout = 120)
{
    struct stage stage;
    struct load load;

    stage_open(&stage, NULL);
    load_start(&load, &stage);
    load_await(&load, 20000);
    load_stop(&load);
    (void)stage_await(&stage, "clients_reclaimed", 1);
    const sona_client_stats *client = &load.count->stats;
    json_t *o = stage_stats(&stage);
    const struct {
        const char *name;
        uint64_t value;
    } same[] = {
        {"learned", atomic_load(&load.count->outcomes)},
        {"outcomes", client->outcomes},
        {"drop_client_full", client->dropped_full},
        {"pending", atomic_load(&load.count->decisions) - atomic_load(&load.count->outcomes)},
        {"decisions", atomic_load(&load.count->decisions)},
        {"drop_malformed", 0},
        {"drop_unknown_id", 0},
        {"drop_duplicate", 0},
    };
    for (size_t n = 0; n < sizeof same / sizeof same[0]; n++)
        cr_expect(
            eq(u64, (uint64_t)json_integer_value(json_object_get(o, same[n].name)), same[n].value),
            "%s", same[n].name);
    json_decref(o);
    stage_close(&stage);
}
