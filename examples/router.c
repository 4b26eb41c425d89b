/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/* The README's example: a router that learns which of three models answers which topic best. */
#include <sona/client.h>
#include <stdio.h>
#include <unistd.h>

int main(int argc, char **argv)
{
    sona_client_options options = {.runtime_dir = argc > 1 ? argv[1] : NULL};
    sona_client *client = NULL;
    sona_lane *lane = NULL;
    sona_diag diag;

    if (sona_client_open(&client, &options, &diag) || sona_lane_claim(client, &lane, &diag))
        return fprintf(stderr, "%s\n", diag.text), 1;
    for (int i = 1, right = 0; i <= 2000; i++) {
        int topic = i % 3;
        float x[256] = {topic == 0, topic == 1, topic == 2, 1}; /* the query, embedded */
        sona_decision decision;
        sona_decide(lane, x, 256, NULL, &decision); /* which model? */
        usleep(500);                                /* ... it answers its user ... */
        float quality = SONA_ROUTE_INDEX(decision.route) == (unsigned)topic; /* thumb up or down */
        sona_outcome(lane, decision.id, quality, NULL);
        right += quality > 0;
        if (i % 500 == 0) {
            printf("queries %4d to %4d: %3d %% to the right model\n", i - 499, i, right / 5);
            right = 0;
        }
    }
    sona_client_close(&client); /* gives the lane back, too */
    return 0;
}
