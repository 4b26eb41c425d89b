/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
#include "opinion.h"

#include <string.h>

struct opinion opinion_of(sona_lane *lane)
{
    struct opinion ret = {0};
    uint64_t end = stage_now_ms() + STAGE_LIMIT_MS;

    for (uint32_t n = 0; n < QUERIES; n++) {
        float x[STAGE_DIM], score[SONA_ROUTES_MAX];

        stage_query(n, x);
        while (sona_score(lane, x, STAGE_DIM, score, SONA_ROUTES_MAX, NULL) != SONA_OK) {
            cr_assert(lt(u64, stage_now_ms(), end), "the client found no sidecar");
            stage_pause();
        }
        memcpy(ret.score[n], score, sizeof ret.score[n]);
    }
    return ret;
}

void teach(sona_lane *lane, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        float x[STAGE_DIM], quality;
        sona_decision d;
        sona_err err;

        stage_query(i % QUERIES, x);
        while ((err = sona_decide(lane, x, STAGE_DIM, NULL, &d)) == SONA_E_FULL)
            stage_pause();
        cr_assert(eq(int, err, SONA_OK));
        quality = SONA_ROUTE_INDEX(d.route) == i % QUERIES % 3 ? 1 : 0.1f;
        while ((err = sona_outcome(lane, d.id, quality, NULL)) == SONA_E_FULL)
            stage_pause();
        cr_assert(eq(int, err, SONA_OK));
    }
}

struct opinion opinion_now(const struct stage *stage)
{
    char text[1024];

    /* Until a new sidecar has published, readers see the dead one's last pair. */
    cr_assert(zero(int, stage_sonactl(stage, "flush", text, sizeof text)), "%s", text);
    sona_client *client = stage_client(stage, 1);
    sona_lane *lane = stage_lane(client);
    struct opinion ret = opinion_of(lane);

    sona_lane_release(&lane);
    sona_client_close(&client);
    return ret;
}

void learn_here(const struct stage *stage, uint32_t n)
{
    uint64_t before = stage_counter(stage, "learned");
    sona_client *client = stage_client(stage, 1);
    sona_lane *lane = stage_lane(client);

    teach(lane, n);
    sona_lane_release(&lane);
    sona_client_close(&client);
    (void)stage_await(stage, "learned", before + n);
    (void)stage_await(stage, "clients_reclaimed", 1);
}
