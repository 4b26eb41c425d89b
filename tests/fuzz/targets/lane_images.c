/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/*
 * The lane target over images drawn from a seed, as many as wanted: noise, right records with
 * something wrong, and everything between. The same seed is the same images.
 *
 *     lane-images N [SEED]
 */
#include <inttypes.h>
#include <time.h>

#include "shm/layout.h"
#include "tests/engine/dice.h"
#include "tests/fuzz/targets/lane.h"

#define JOIN_IMAGES 64u

struct image {
    struct fuzz_lane_head head;
    struct sona_shm_lane lane;
    char records[FUZZ_LANE_SLOTS * FUZZ_LANE_STRIDE];
};

/* A few words anew, others as the last image had them. */
static void draw(struct image *image, struct dice *dice)
{
    static const uint32_t extreme[] = {0,          1,          0x7fffffff, 0xffffffff, 0x7f800000,
                                       0x3f800000, 0x7fc00000, 0x80000000, 0x7f7fffff, 0x52434453};
    uint32_t n = 1 + dice_below(dice, 24), *words = (uint32_t *)(void *)image;

    for (uint32_t i = 0; i < n; i++) {
        uint64_t bits = dice_next(dice);
        uint32_t at = (uint32_t)(bits >> 40) % (uint32_t)(sizeof *image / sizeof *words);

        words[at] = bits & 1 ? (uint32_t)(bits >> 8) : extreme[(bits >> 1 & 0xffff) % 10];
    }
    uint64_t bits = dice_next(dice);
    image->head.mend = (uint8_t)(bits & bits >> 8 & 63) ^ (bits >> 16 & 3 ? 63 : 0);
    image->head.tail = (uint8_t)(bits >> 24);
    image->head.resume = (uint8_t)(bits >> 32 & 1) | (uint8_t)((bits >> 33 & 15) == 0 ? 2 : 0);
    image->head.later_ms = bits >> 37 & 1 ? (uint8_t)(bits >> 40) : 1;
    image->head.cursor += (bits >> 48 & 63) == 0 ? dice_next(dice) >> dice_below(dice, 64) : 8;
}

static double now_s(void)
{
    struct timespec t;

    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

int main(int argc, char **argv)
{
    uint64_t n = argc > 1 ? strtoull(argv[1], NULL, 10) : 0;
    struct dice dice = {.seed = argc > 2 ? strtoull(argv[2], NULL, 10) : 1};
    static struct image image;
    double start = now_s();

    if (n == 0) {
        (void)fprintf(stderr, "usage: lane-images N [SEED]\n");
        return 1;
    }
    dice.state = dice.seed;
    fuzz_lane_images_of_a_join = JOIN_IMAGES;
    for (uint64_t i = 0; i < n; i++) {
        draw(&image, &dice);
        (void)LLVMFuzzerTestOneInput((const uint8_t *)&image, sizeof image);
    }
    double s = now_s() - start;
    printf("ok 1 - %" PRIu64 " lane images, seed %" PRIu64 ": %.0f s, %.0f a second, %" PRIu64
           " records accepted\n1..1\n",
           n, dice.seed, s, (double)n / s, fuzz_lane_accepted);
    if (fuzz_lane_accepted < n / 100) {
        (void)fprintf(stderr, "hardly a record was accepted: these images test nothing\n");
        return 1;
    }
    return 0;
}
