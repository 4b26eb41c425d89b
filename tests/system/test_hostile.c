/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/*
 * Clients that were let in and do what they please with what they may write: each by its name, each
 * beside an honest one that must notice nothing of it.
 */
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "raw.h"

/* Words of a ring, as ck_ring_t has them. */
#define P_TAIL 64
#define SIZE   128

struct scene {
    struct stage stage;
    struct raw hostile;
    sona_client *client;
    sona_lane *lane;
    uint64_t told; /* outcomes of the honest one */
};

static void open_scene(struct scene *s, const char *const *more)
{
    memset(s, 0, sizeof *s);
    stage_open(&s->stage, more);
    raw_open(&s->hostile, &s->stage);
    s->client = stage_client(&s->stage, 1);
    s->lane = stage_lane(s->client);
}

static void close_scene(struct scene *s)
{
    raw_close(&s->hostile);
    sona_lane_release(&s->lane);
    sona_client_close(&s->client);
    (void)stage_await(&s->stage, "clients_reclaimed", 2);
    cr_expect(eq(u64, stage_counter(&s->stage, "lanes"), 0));
    stage_close(&s->stage);
}

/* The honest one decides and tells, and all of it is learned; `others`: what the hostile one was
 * let teach. */
static void expect_service(struct scene *s, uint64_t others)
{
    float x[STAGE_DIM], y[STAGE_DIM];
    uint64_t version = 0;
    sona_decision d;

    for (int n = 0; n < 50; n++) {
        stage_query(s->told, x);
        cr_assert(eq(int, sona_apply(s->lane, x, STAGE_DIM, y, &version), SONA_OK));
        cr_assert(ne(u64, version, 0));
        for (uint32_t i = 0; i < STAGE_DIM; i++)
            cr_assert(lt(flt, fabsf(y[i]), 1e6f), "y[%u] is %g", i, (double)y[i]);
        cr_assert(eq(int, sona_decide(s->lane, x, STAGE_DIM, NULL, &d), SONA_OK));
        cr_assert(lt(u32, SONA_ROUTE_INDEX(d.route), 3));
        cr_assert(eq(int, sona_outcome(s->lane, d.id, 1, NULL), SONA_OK));
        s->told++;
    }
    cr_assert(eq(u64, stage_await(&s->stage, "learned", s->told + others), s->told + others));
}

static uint32_t *word(const struct scene *s, uint32_t lane, size_t at)
{
    return (uint32_t *)(void *)(raw_lane(&s->hostile, lane)->ring + at);
}

Test(hostile, a_scribbled_mask_is_not_even_read, .timeout = 60)
{
    struct scene s;

    open_scene(&s, NULL);
    memset(word(&s, 0, SIZE), 0xff, 128); /* size, mask and all behind */
    for (int n = 0; n < 100; n++) {
        (void)raw_record(&s.hostile, 0, SONA_RECORD_DECIDE);
        raw_commit(&s.hostile, 0);
    }
    (void)stage_await(&s.stage, "decisions", 100);
    expect_service(&s, 0);
    cr_expect(eq(u64, stage_counter(&s.stage, "drop_malformed"), 0));
    close_scene(&s);
}

Test(hostile, a_scribbled_p_tail_closes_its_lane_or_brings_records_that_are_none, .timeout = 60)
{
    struct scene s;

    open_scene(&s, NULL);
    *word(&s, 0, P_TAIL) = 5; /* records that nobody wrote */
    (void)stage_await(&s.stage, "drop_malformed", 5);
    *word(&s, 1, P_TAIL) = 0x80000000u;
    *word(&s, 2, P_TAIL) = UINT32_MAX;
    (void)stage_await(&s.stage, "lanes_quarantined", 2);
    expect_service(&s, 0);
    close_scene(&s);
}

Test(hostile, a_scribbled_hazard_stops_no_publication, .timeout = 60)
{
    struct scene s;
    static const char *const lease[] = {"--lease-ms=1", NULL};

    open_scene(&s, lease);
    const struct sona_shm_live *live = (const void *)(s.hostile.model + SONA_SHM_PAGE);
    uint64_t before = stage_counter(&s.stage, "snapshots");
    for (uint64_t n = 0; n < 40; n++) {
        uint64_t cur = atomic_load_explicit(&live->cur, memory_order_relaxed);

        /* All that is, was, and never can be; each lane clings to another. */
        atomic_store_explicit(&raw_lane(&s.hostile, 0)->hazard, cur, memory_order_seq_cst);
        atomic_store_explicit(&raw_lane(&s.hostile, 1)->hazard,
                              n % 2 ? UINT64_MAX : cur - (1 << 16), memory_order_seq_cst);
        atomic_store_explicit(&raw_lane(&s.hostile, 2)->hazard, n * 0x9e3779b97f4a7c15u,
                              memory_order_seq_cst);
        expect_service(&s, 0);
    }
    cr_expect(ge(u64, stage_counter(&s.stage, "snapshots"), before + 20));
    close_scene(&s);
}

Test(hostile, a_sequence_that_is_not_the_next_is_no_record, .timeout = 60)
{
    static const int64_t off[] = {-1, 1, 1000, INT64_MAX, -(INT64_C(1) << 32)};
    struct scene s;

    open_scene(&s, NULL);
    for (size_t k = 0; k < sizeof off / sizeof off[0]; k++) {
        raw_record(&s.hostile, 0, SONA_RECORD_DECIDE)->lane_seq += (uint64_t)off[k];
        raw_commit(&s.hostile, 0);
    }
    (void)stage_await(&s.stage, "drop_malformed", sizeof off / sizeof off[0]);
    expect_service(&s, 0);
    cr_expect(eq(u64, stage_counter(&s.stage, "decisions"), s.told));
    close_scene(&s);
}

static void spoil(struct raw *raw, int kind, float value, float component)
{
    uint64_t id = raw_id(raw, 0);
    struct sona_record *r;

    if (kind == SONA_RECORD_OUTCOME) { /* about a decision of its own, or it would be unknown */
        (void)raw_record(raw, 0, SONA_RECORD_DECIDE);
        raw_commit(raw, 0);
    }
    r = raw_record(raw, 0, kind);
    if (kind == SONA_RECORD_OUTCOME)
        r->id = id;
    r->value = value;
    if (kind == SONA_RECORD_SIGNAL)
        r->n_floats = STAGE_DIM;
    sona_record_floats(r)[STAGE_DIM - 1] = component;
    raw_commit(raw, 0);
}

Test(hostile, nan_and_huge_floats_reach_no_weight, .timeout = 60)
{
    static const float bad[] = {NAN, INFINITY, -INFINITY, 3.4e38f, -3.4e38f, 1e20f, -1e-3f};
    static const int kinds[] = {SONA_RECORD_DECIDE, SONA_RECORD_BEGIN, SONA_RECORD_OUTCOME,
                                SONA_RECORD_SIGNAL};
    enum { BAD = sizeof bad / sizeof bad[0], KINDS = sizeof kinds / sizeof kinds[0] };
    struct scene s;

    open_scene(&s, NULL);
    for (int k = 0; k < KINDS; k++)
        for (int b = 0; b < BAD; b++)
            spoil(&s.hostile, kinds[k], kinds[k] == SONA_RECORD_BEGIN ? 0.5f : bad[b],
                  kinds[k] == SONA_RECORD_BEGIN && b < BAD - 1 ? bad[b] : 0);
    /* One of them is none: a direction of an embedding may be slightly off. */
    uint64_t end = stage_now_ms() + STAGE_LIMIT_MS, refused;
    do {
        refused =
            stage_counter(&s.stage, "drop_not_finite") + stage_counter(&s.stage, "drop_range");
        stage_pause();
    } while (refused < BAD * KINDS - 1 && stage_now_ms() < end);
    cr_expect(eq(u64, refused, BAD * KINDS - 1));
    expect_service(&s, 0);
    close_scene(&s);
}

Test(hostile, an_out_of_range_route_is_no_route, .timeout = 60)
{
    static const sona_route bad[] = {3, 255, 256, UINT32_MAX, 1u << 24, 0x7fffffffu};
    enum { BAD = sizeof bad / sizeof bad[0] };
    struct scene s;

    open_scene(&s, NULL);
    for (int b = 0; b < BAD; b++) {
        raw_record(&s.hostile, 0, SONA_RECORD_DECIDE)->route = bad[b];
        raw_commit(&s.hostile, 0);
        uint64_t id = raw_id(&s.hostile, 1);
        (void)raw_record(&s.hostile, 1, SONA_RECORD_BEGIN);
        raw_commit(&s.hostile, 1);
        struct sona_record *r = raw_record(&s.hostile, 1, SONA_RECORD_ROUTE);
        r->id = id;
        r->route = bad[b];
        raw_commit(&s.hostile, 1);
    }
    (void)stage_await(&s.stage, "drop_route", 2 * BAD);
    expect_service(&s, 0);
    close_scene(&s);
}

Test(hostile, a_forged_id_speaks_for_nobody, .timeout = 60)
{
    struct scene s;

    open_scene(&s, NULL);
    uint32_t tag = s.hostile.welcome.tag;
    /* tag + 1 is the honest one, of the same user, who may speak for it (SECURITY.md). */
    uint64_t forged[] = {SONA_ID(tag + 2, 0, 0), SONA_ID(tag, 200, 0), SONA_ID(0, 0, 0), UINT64_MAX,
                         SONA_ID(tag, 0, 0xffffffffffu)};
    enum { FORGED = sizeof forged / sizeof forged[0] };

    for (int f = 0; f < FORGED; f++) {
        raw_record(&s.hostile, 0, SONA_RECORD_DECIDE)->id = forged[f];
        raw_commit(&s.hostile, 0);
        raw_record(&s.hostile, 1, SONA_RECORD_OUTCOME)->id = forged[f];
        raw_commit(&s.hostile, 1);
        raw_record(&s.hostile, 2, SONA_RECORD_REVOKE)->id = forged[f];
        raw_commit(&s.hostile, 2);
        struct sona_record *r = raw_record(&s.hostile, 2, SONA_RECORD_STEP);
        r->id = forged[f] ^ SONA_ID(1u << 15, 0, 0); /* of another attachment */
        raw_commit(&s.hostile, 2);
    }
    (void)stage_await(&s.stage, "drop_malformed", FORGED);
    expect_service(&s, 0);
    cr_expect(eq(u64, stage_counter(&s.stage, "decisions"), s.told));
    cr_expect(eq(u64, stage_counter(&s.stage, "revoked"), 0));
    cr_expect(eq(u64, stage_counter(&s.stage, "steps"), 0));
    close_scene(&s);
}

Test(hostile, a_hole_punched_into_a_ring_while_it_is_drained_is_nobody_elses_loss, .timeout = 60)
{
    struct scene s;

    open_scene(&s, NULL);
    for (int n = 0; n < 200; n++) {
        for (int k = 0; k < 20; k++) {
            (void)raw_record(&s.hostile, 0, SONA_RECORD_DECIDE);
            raw_commit(&s.hostile, 0);
        }
        cr_assert(eq(int,
                     fallocate(s.hostile.lanes_fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                               (off_t)s.hostile.plan.lane_offset + SONA_SHM_PAGE,
                               (off_t)s.hostile.plan.lane_stride - SONA_SHM_PAGE),
                     0));
        expect_service(&s, 0);
    }
    cr_expect(ne(int, ftruncate(s.hostile.lanes_fd, 0), 0), "its size is sealed");
    close_scene(&s);
}

Test(hostile, a_flood_does_not_drown_the_others, .timeout = 120)
{
    struct scene s;

    open_scene(&s, NULL);
    for (int round = 0; round < 40; round++) {
        for (uint32_t lane = 0; lane < RAW_LANES; lane++)
            while (raw_has_room(&s.hostile, lane)) {
                (void)raw_record(&s.hostile, lane, SONA_RECORD_DECIDE);
                raw_commit(&s.hostile, lane);
            }
        expect_service(&s, 0);
    }
    cr_expect(gt(u64, stage_counter(&s.stage, "decisions"), 3000 + s.told));
    cr_expect(eq(u64, stage_counter(&s.stage, "drop_client_full"), 0), "the honest one had room");
    close_scene(&s);
}

Test(hostile, a_client_beyond_its_rate_fills_its_own_rings_only, .timeout = 120)
{
    static const char *const rate[] = {"--client-rate=200", NULL};
    struct scene s;

    open_scene(&s, rate);
    uint64_t begin = stage_now_ms(), sent = 0;
    while (stage_now_ms() < begin + 2000) {
        if (raw_has_room(&s.hostile, 0)) {
            (void)raw_record(&s.hostile, 0, SONA_RECORD_DECIDE);
            raw_commit(&s.hostile, 0);
            sent++;
        } else {
            stage_pause();
        }
    }
    uint64_t taken = stage_counter(&s.stage, "decisions"), ms = stage_now_ms() - begin;
    cr_expect(le(u64, taken, 200 * ms / 1000 + 200 + 64), "%llu of %llu in %llu ms",
              (unsigned long long)taken, (unsigned long long)sent, (unsigned long long)ms);
    cr_expect(ge(u64, taken, 200));
    expect_service(&s, 0);
    close_scene(&s);
}

Test(hostile, lies_on_the_first_page_and_in_the_counters_move_nothing, .timeout = 60)
{
    struct scene s;

    open_scene(&s, NULL);
    struct sona_shm_lanes_header *h = (void *)s.hostile.lanes;
    h->n_lanes = 1; /* fewer lanes to scan, more to drain: neither is read again */
    h->ring_slots = 1u << 20;
    h->record_stride = 8;
    h->pid = 1;
    h->tag = 7;
    for (uint32_t lane = 0; lane < RAW_LANES; lane++)
        atomic_store_explicit(&raw_lane(&s.hostile, lane)->counters.committed, UINT64_MAX,
                              memory_order_relaxed);
    atomic_store_explicit(
        &raw_lane(&s.hostile, 2)->hazard,
        atomic_load_explicit(
            &((const struct sona_shm_live *)(const void *)(s.hostile.model + SONA_SHM_PAGE))->cur,
            memory_order_relaxed),
        memory_order_seq_cst);
    uint64_t id = raw_id(&s.hostile, 2);
    (void)raw_record(&s.hostile, 2, SONA_RECORD_DECIDE);
    raw_commit(&s.hostile, 2);
    raw_record(&s.hostile, 1, SONA_RECORD_OUTCOME)->id = id;
    raw_commit(&s.hostile, 1);
    expect_service(&s, 1);
    close_scene(&s);
}

Test(hostile, a_stolen_lane_identity_brings_no_lane_back, .timeout = 60)
{
    struct scene s;
    struct raw victim;

    open_scene(&s, NULL);
    raw_open(&victim, &s.stage);
    struct sona_shm_lanes_header *mine = (void *)s.hostile.lanes, *theirs = (void *)victim.lanes;
    memcpy(mine->identity, theirs->identity, sizeof mine->identity);
    sona_spawn_kill(&s.stage.spawn);
    stage_reopen(&s.stage);
    /* The thief first: it has the victim's name, and its own memory. */
    raw_refused(&s.hostile, &s.stage, s.hostile.lanes_fd);
    cr_assert(ne(u32, s.hostile.welcome.tag, victim.welcome.tag));
    cr_assert(eq(u64, stage_await(&s.stage, "handback_refused", 1), 1));
    raw_reopen(&victim, &s.stage); /* under its tag, or this fails */
    uint64_t id = raw_id(&victim, 0);
    (void)raw_record(&victim, 0, SONA_RECORD_DECIDE);
    raw_commit(&victim, 0);
    raw_record(&victim, 0, SONA_RECORD_OUTCOME)->id = id;
    raw_commit(&victim, 0);
    (void)stage_await(&s.stage, "learned", 1);
    raw_close(&victim);
    (void)stage_await(&s.stage, "clients_reclaimed", 1);
    raw_close(&s.hostile);
    sona_lane_release(&s.lane);
    sona_client_close(&s.client);
    stage_close(&s.stage);
}

/* It comes with a HELLO in the place of lanes. */
static void hand_back(struct scene *s, int fd, uint64_t *refused)
{
    struct raw other = {.socket = -1};

    raw_refused(&other, &s->stage, fd);
    cr_expect(eq(u64, stage_await(&s->stage, "handback_refused", ++*refused), *refused));
    raw_close(&other);
    (void)close(fd);
}

Test(hostile, a_descriptor_that_is_no_lane_memory_of_ours_is_not_mapped, .timeout = 60)
{
    struct scene s;
    uint64_t refused = 0;
    int ends[2];

    open_scene(&s, NULL);
    size_t bytes = (size_t)s.hostile.plan.lanes_bytes;
    int unsealed = memfd_create("sona-lanes", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    cr_assert(eq(int, ftruncate(unsealed, (off_t)bytes), 0));
    cr_assert(eq(i64, pwrite(unsealed, s.hostile.lanes, bytes, 0), (int64_t)bytes));
    hand_back(&s, unsealed, &refused);
    int truncated = memfd_create("sona-lanes", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    cr_assert(eq(i64, pwrite(truncated, s.hostile.lanes, 100, 0), 100));
    hand_back(&s, truncated, &refused);
    int wrong = memfd_create("sona-lanes", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    cr_assert(eq(int, ftruncate(wrong, (off_t)bytes + SONA_SHM_PAGE), 0));
    cr_assert(eq(i64, pwrite(wrong, s.hostile.lanes, bytes, 0), (int64_t)bytes));
    cr_assert(eq(int, fcntl(wrong, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL), 0));
    hand_back(&s, wrong, &refused);
    hand_back(&s, dup(s.hostile.lanes_fd), &refused); /* replayed: it is in use */
    hand_back(&s, open("/dev/zero", O_RDWR | O_CLOEXEC), &refused);
    cr_assert(eq(int, pipe2(ends, O_CLOEXEC), 0));
    hand_back(&s, ends[0], &refused);
    (void)close(ends[1]);
    hand_back(&s, dup(s.hostile.socket), &refused);
    (void)stage_await(&s.stage, "clients_reclaimed", refused);
    expect_service(&s, 0);
    raw_close(&s.hostile);
    sona_lane_release(&s.lane);
    sona_client_close(&s.client);
    stage_close(&s.stage);
}
