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
    int right = 0;

    if (sona_client_open(&client, &options, &diag) || sona_lane_claim(client, &lane, &diag)) {
        fprintf(stderr, "%s\n", diag.text);
        return 1;
    }
    for (int i = 1; i <= 2000; i++) {
        int topic = i % 3;
        float x[256] = {[0] = 1, [1 + topic] = 1}; /* the embedding of the user's query */
        sona_decision decision;

        if (sona_decide(lane, x, 256, NULL, &decision) == SONA_OK) {
            float quality = SONA_ROUTE_INDEX(decision.route) == (unsigned)topic; /* thumb */
            usleep(500); /* the model you chose answers its user */
            sona_outcome(lane, decision.id, quality, NULL);
            right += quality > 0;
        }
        if (i % 500 == 0) {
            printf("queries %4d to %4d: %3d %% to the right model\n", i - 499, i, right / 5);
            right = 0;
        }
    }
    sona_lane_release(&lane);
    sona_client_close(&client);
    return 0;
}
