/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/* SIGTERM: drained, learned, and nothing left behind. */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "engine/model/model.h"
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

/* What readers of this segment go by now. */
static uint64_t outcomes_published(const struct raw *raw)
{
    const struct sona_shm_live *live = (const void *)(raw->model + SONA_SHM_PAGE);
    uint64_t cur = atomic_load_explicit(&live->cur, memory_order_acquire);
    const struct sona_shm_hot *head = (const void *)(raw->model + raw->plan.hot_offset +
                                                     SONA_SHM_ID_HOT(cur) * raw->plan.hot_stride);
    const struct sona_model_hot *hot = (const void *)(head + 1);

    return hot->outcomes;
}

static void tell_outcome(struct raw *raw)
{
    uint64_t id = raw_id(raw, 0);

    (void)raw_record(raw, 0, SONA_RECORD_DECIDE);
    raw_commit(raw, 0);
    raw_record(raw, 0, SONA_RECORD_OUTCOME)->id = id;
    raw_commit(raw, 0);
}

/* A client that died with its sidecar is expected to hand its lanes back, and meanwhile every slot
 * may be read by it. A stop that comes first still shows all that was learned. */
Test(stop, right_behind_a_restart_publishes_what_was_learned, .timeout = 60)
{
    struct stage stage;
    struct raw gone, tells;

    stage_open(&stage, NULL);
    raw_open(&gone, &stage);
    raw_open(&tells, &stage);
    for (uint64_t n = 1; n <= 2 * SONA_SHM_HOT_MAX; n++) { /* every slot is bound */
        tell_outcome(&tells);
        (void)stage_await(&stage, "learned", n);
    }
    sona_spawn_kill(&stage.spawn);
    stage_reopen(&stage);
    raw_reopen(&tells, &stage);
    tell_outcome(&tells);
    stage_close(&stage);
    uint64_t learned = raw_counter(&tells, SONA_COUNTER_learned);
    cr_expect(gt(u64, learned, 0));
    cr_expect(eq(u64, outcomes_published(&tells), learned));
    raw_close(&gone);
    raw_close(&tells);
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
