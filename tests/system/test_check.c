/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/* What `sonactl check` finds in lane memories and says it looked at, of a sidecar that runs and of
 * one that was killed. */
#include <stdio.h>
#include <string.h>

#include "load.h"
#include "raw.h"

/* Offsets of a ring's words, as shm/ring.c draws them. */
#define C_HEAD 0
#define P_TAIL 64

static char text[4096];

/* The exit status; what was printed is in `text`. */
static int check(const struct stage *stage, bool running)
{
    char line[128];

    (void)snprintf(line, sizeof line, "--state-dir '%s' check", stage->state_dir);
    return stage_sonactl(stage, running ? "check" : line, text, sizeof text);
}

static void expect_sound(const struct stage *stage, bool running, const char *looked_at)
{
    cr_expect(eq(int, check(stage, running), 0), "%s", text);
    cr_expect(ne(ptr, strstr(text, "sound: 0 findings"), NULL), "%s", text);
    cr_expect(ne(ptr, strstr(text, looked_at), NULL), "%s", text);
}

static void expect_found(const struct stage *stage, bool running, const char *words)
{
    cr_expect(eq(int, check(stage, running), 4), "%s", text);
    cr_expect(ne(ptr, strstr(text, "degraded: 1 findings"), NULL), "%s", text);
    cr_expect(ne(ptr, strstr(text, words), NULL), "%s", text);
}

/* An index of lane 0's ring is off by `by` while somebody looks. */
static void expect_index_found(struct raw *raw, const struct stage *stage, bool running, int index,
                               uint32_t by)
{
    unsigned char *at = raw_lane(raw, 0)->ring + index;
    uint32_t before, spoiled;

    memcpy(&before, at, sizeof before);
    spoiled = before + by;
    memcpy(at, &spoiled, sizeof spoiled);
    expect_found(stage, running, "lane 0: its indices contradict");
    memcpy(at, &before, sizeof before);
    expect_sound(stage, running, "1 lane memories\n");
}

static void expect_page_found(struct raw *raw, const struct stage *stage, bool running)
{
    raw->lanes[16] ^= 1; /* record_stride */
    expect_found(stage, running, "page 0 is not what was issued");
    raw->lanes[16] ^= 1;
    expect_sound(stage, running, "1 lane memories\n");
}

Test(check, finds_a_scribbled_ring_of_a_sidecar_that_runs_and_of_one_that_was_killed,
     .timeout = 120)
{
    struct stage stage;
    struct raw raw;

    stage_open_kept(&stage, NULL);
    expect_sound(&stage, true, "0 lane memories\n");
    raw_open(&raw, &stage);
    expect_sound(&stage, true, "1 lane memories\n");
    expect_page_found(&raw, &stage, true);
    expect_index_found(&raw, &stage, true, P_TAIL, 5000);
    sona_spawn_kill(&stage.spawn);
    expect_sound(&stage, false, "1 lane memories\n");
    expect_page_found(&raw, &stage, false);
    expect_index_found(&raw, &stage, false, P_TAIL, 5000);
    expect_index_found(&raw, &stage, false, C_HEAD, 1);
    raw_close(&raw);
    expect_sound(&stage, false, "0 lane memories; 1 not found");
    stage_reopen(&stage);
    stage_close(&stage);
}

Test(check, finds_what_waits_in_a_ring_and_is_no_record, .timeout = 120)
{
    struct stage stage;
    struct raw raw;

    stage_open_kept(&stage, NULL);
    raw_open(&raw, &stage);
    sona_spawn_kill(&stage.spawn);
    (void)raw_record(&raw, 1, SONA_RECORD_BEGIN);
    raw_commit(&raw, 1);
    struct sona_record *r = raw_record(&raw, 1, SONA_RECORD_DECIDE);
    raw_commit(&raw, 1);
    expect_sound(&stage, false, "1 lane memories\n");
    r->lane_seq++;
    expect_found(&stage, false, "lane 1: what waits as record 1 is none");
    r->lane_seq--;
    r->id++; /* somebody else's */
    expect_found(&stage, false, "lane 1: what waits as record 1 is none");
    r->id--;
    expect_sound(&stage, false, "1 lane memories\n");
    stage_reopen(&stage);
    raw_close(&raw);
    stage_close(&stage);
}

/* Nobody drains them; those that a sidecar drains are in tests/sidecar/test_rings.c. */
Test(check, finds_nothing_in_the_ring_of_a_client_that_goes_on_without_its_sidecar, .timeout = 120)
{
    struct stage stage;
    struct load load;

    stage_open_kept(&stage, NULL);
    load_start(&load, &stage);
    load_await(&load, 100);
    sona_spawn_kill(&stage.spawn);
    expect_sound(&stage, false, "1 lane memories\n");
    stage_reopen(&stage);
    load_stop(&load);
    stage_close(&stage);
}
