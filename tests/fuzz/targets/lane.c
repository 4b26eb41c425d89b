/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/*
 * A lane memory as a client may leave it: any bytes. It is handed back and drained, its records are
 * judged and joined. Whatever they are, nobody reads beyond the lane, and what reaches the learner
 * is finite, in range and of this instance.
 */
#include <math.h>

#include "shm/layout.h"
#include "shm/ring.h"
#include "sidecar/join.h"
#include "tests/fuzz/targets/lane.h"

#define TAG    7u
#define LANE   2u
#define PADDED 32u
#define RECORD (SONA_SHM_SPACING + PADDED * 4) /* a private copy, as the intake has it */

enum mend {
    MEND_TAIL = 1,    /* p_tail is near the cursor, c_head at it */
    MEND_HEAD = 2,    /* magic and version */
    MEND_SEQ = 4,     /* lane_seq */
    MEND_ID = 8,      /* an id of this attachment */
    MEND_FLOATS = 16, /* an embedding of unit length */
    MEND_VALUE = 32   /* a quality */
};

uint32_t fuzz_lane_images_of_a_join = 1;
uint64_t fuzz_lane_accepted;

static struct {
    sona_config config;
    struct sona_model_layout layout;
    struct sona_sidecar_join join;
    uint32_t images; /* that this join took */
    uint64_t now_ms;
    struct sona_shm_lane *lane; /* with its records, to the byte */
    struct sona_record *record;
    struct sona_sidecar_joined *joined;
    uint64_t seen[SONA_LEARNER_KINDS];
} f;

#define IMAGE_BYTES (sizeof(struct sona_shm_lane) + FUZZ_LANE_SLOTS * FUZZ_LANE_STRIDE)

static void begin_join(void)
{
    sona_diag diag;

    FUZZ_HOLD(sona_sidecar_join_init(&f.join, &f.config, &f.layout, &diag) == SONA_OK);
    f.join.rules.n_routes = 3;
    f.join.rules.route[0] = (struct sona_sidecar_route){.id = 0, .state = SONA_ROUTE_ENABLED};
    f.join.rules.route[1] =
        (struct sona_sidecar_route){.id = SONA_ROUTE_ID(1, 2), .state = SONA_ROUTE_ENABLED};
    f.join.rules.route[2] = (struct sona_sidecar_route){.id = 2, .state = SONA_ROUTE_RETIRED};
    f.now_ms = 1;
    f.images = 0;
}

static void begin(void)
{
    sona_geometry geometry;

    sona_config_init(&f.config);
    f.config.embedding_dim = f.config.hidden_dim = FUZZ_LANE_DIM;
    f.config.attention_dim = FUZZ_LANE_ATTENTION;
    f.config.routes_max = 4;
    f.config.base_lora_layers = 2;
    f.config.pattern_clusters = 8;
    f.config.trajectory_capacity = 16;
    f.config.step_capacity = 16;
    f.config.max_trajectory_steps = 3;
    f.config.feedback_window_ms = 400;
    f.config.default_quality = 0.3f;
    sona_config_geometry(&f.config, &geometry);
    FUZZ_HOLD(sona_model_layout_init(&f.layout, &geometry) == SONA_OK);
    FUZZ_HOLD(sona_record_stride(&geometry) == FUZZ_LANE_STRIDE);
    FUZZ_HOLD(f.layout.dim_padded == PADDED);
    f.lane = fuzz_block(IMAGE_BYTES);
    f.record = fuzz_block(RECORD);
    f.joined = fuzz_block(sona_sidecar_joined_stride(PADDED));
    begin_join();
}

static bool all_finite(const float *x)
{
    float sum = 0;

    for (uint32_t i = 0; i < PADDED; i++)
        sum += x[i] * 0; /* NaN as soon as one is not finite */
    return sum == 0;
}

/* An event as the learner may be told it. */
static void hold_joined(void)
{
    struct sona_sidecar_joined *e = f.joined;
    uint32_t vectors;

    FUZZ_HOLD(e->kind < SONA_LEARNER_KINDS);
    vectors = sona_sidecar_joined_vectors(e->kind);
    f.seen[e->kind]++;
    if (vectors > 0)
        FUZZ_HOLD(all_finite(sona_sidecar_joined_x(e)));
    if (vectors > 1)
        FUZZ_HOLD(all_finite(sona_sidecar_joined_base(e, PADDED)) && isfinite(e->credit));
    FUZZ_HOLD(isfinite(e->quality) || vectors == 0);
    if (e->kind == SONA_LEARNER_OUTCOME || e->kind == SONA_LEARNER_REPLACE)
        FUZZ_HOLD(e->quality >= 0 && e->quality <= 1);
    if (e->kind == SONA_LEARNER_OUTCOME)
        FUZZ_HOLD((e->route == SONA_ROUTE_NONE || SONA_ROUTE_INDEX(e->route) < 3) &&
                  e->propensity >= 0 && e->propensity <= 1);
    if (e->kind == SONA_LEARNER_HIT)
        FUZZ_HOLD(e->layer < f.config.pattern_clusters);
}

static void mend(const struct fuzz_lane_head *head, struct sona_record *r, uint64_t seq)
{
    float *x = sona_record_floats(r);
    uint32_t axis = r->reserved1 % FUZZ_LANE_DIM;

    if (head->mend & MEND_HEAD) {
        r->magic = SONA_RECORD_MAGIC;
        r->version = SONA_RECORD_VERSION;
        r->kind = (uint8_t)(1 + r->kind % SONA_RECORD_SIGNAL);
    }
    if (head->mend & MEND_SEQ)
        r->lane_seq = seq;
    if (head->mend & MEND_ID) {
        bool own = r->kind == SONA_RECORD_DECIDE || r->kind == SONA_RECORD_BEGIN;

        r->id = SONA_ID(TAG, LANE, own ? seq : seq - r->id % 16);
        r->route = r->route % 4 ? 0 : r->route;
        r->layer = (uint16_t)(r->layer % 3);
        r->n_floats = r->n_floats % 2 ? FUZZ_LANE_DIM : (uint16_t)(r->n_floats % 32);
        r->n_attention = (uint16_t)(r->n_attention % 6);
    }
    if (head->mend & MEND_FLOATS) {
        memset(x, 0, FUZZ_LANE_STRIDE - sizeof *r);
        x[axis] = axis % 2 ? 1.0f : -1.0f;
    }
    if (head->mend & MEND_VALUE && !(r->value >= 0 && r->value <= 1))
        r->value = 0.5f;
    if (head->mend & MEND_VALUE && !isfinite(r->score))
        r->score = 0;
}

/* The image, to the end of the lane; and made plausible where the input wants it so. */
static void write_image(const struct fuzz_lane_head *head, struct fuzz_input *in)
{
    char *records = (char *)(f.lane + 1);
    uint32_t words[2] = {(uint32_t)head->cursor, (uint32_t)head->cursor + head->tail % 8u};

    (void)fuzz_take(in, f.lane, IMAGE_BYTES);
    if (head->mend & MEND_TAIL) {
        memcpy(f.lane->ring, &words[0], sizeof words[0]);
        memcpy(f.lane->ring + 64, &words[1], sizeof words[1]);
    }
    for (uint32_t k = 0; k < FUZZ_LANE_SLOTS; k++) {
        uint64_t seq = head->cursor + k;

        mend(head, (void *)(records + (seq & (FUZZ_LANE_SLOTS - 1)) * FUZZ_LANE_STRIDE), seq);
    }
}

static void take_record(const struct fuzz_lane_head *head, uint64_t seq)
{
    struct sona_sidecar_taken taken = {
        .origin = {.tag = TAG, .lane = LANE, .seq = seq},
        .owner = 1000,
        .on_its_way = f.record->flags & 1,
        .withheld = f.record->flags & 2,
        .thinned = f.record->flags & 4,
        .muted = f.record->flags & 8,
        .now_ms = f.now_ms += head->later_ms,
        .record = f.record,
    };
    uint64_t before = f.join.taken;

    if (sona_sidecar_join_take(&f.join, &taken, f.joined))
        hold_joined();
    while (sona_sidecar_join_has_more(&f.join))
        if (sona_sidecar_join_more(&f.join, f.joined))
            hold_joined();
    FUZZ_HOLD(f.join.taken == before + 1);
}

static void expire(void)
{
    uint32_t budget = SONA_SIDECAR_EXPIRE_BUDGET;

    while (sona_sidecar_join_expire(&f.join, f.now_ms, &budget, f.joined)) {
        hold_joined();
        while (sona_sidecar_join_has_more(&f.join))
            if (sona_sidecar_join_more(&f.join, f.joined))
                hold_joined();
    }
}

static uint64_t accepted(void)
{
    uint64_t sum = 0;

    for (uint32_t k = 0; k < SONA_SIDECAR_KINDS; k++)
        sum += f.join.accepted[k];
    return sum;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_input in = {data, size};
    struct fuzz_lane_head head;
    struct sona_shm_drain drain;

    if (!f.lane)
        begin();
    (void)fuzz_take(&in, &head, sizeof head);
    write_image(&head, &in);
    sona_shm_drain_bind(&drain, f.lane->ring, (char *)(f.lane + 1), FUZZ_LANE_SLOTS,
                        FUZZ_LANE_STRIDE, head.cursor);
    if (head.resume % 2 && !sona_shm_drain_resume(&drain))
        return 0; /* quarantined */
    uint64_t before = accepted();
    int64_t ready = sona_shm_drain_ready(&drain);
    FUZZ_HOLD(ready < (int64_t)FUZZ_LANE_SLOTS);
    for (int64_t k = 0; k < ready; k++) {
        sona_shm_drain_copy(&drain, (uint32_t)k, f.record);
        take_record(&head, head.cursor + (uint64_t)k);
    }
    if (ready > 0)
        sona_shm_drain_advance(&drain, (uint32_t)ready);
    FUZZ_HOLD(ready < 0 || sona_shm_drain_ready(&drain) == 0);
    expire();
    fuzz_lane_accepted += accepted() - before;
    if (head.resume & 2)
        sona_sidecar_join_forget_tag(&f.join, TAG);
    if (++f.images >= fuzz_lane_images_of_a_join) {
        sona_sidecar_join_done(&f.join);
        begin_join();
    }
    return 0;
}
