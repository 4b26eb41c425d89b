/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/* Open a client, use it, close it: 0; or 1, with the sentence on stderr. Anything else is a defect.
 * usage: client INSTANCE RUNTIME_DIR [OUTCOMES]   OUTCOMES: so many decisions are told of */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <sona/client.h>

static int failed(const sona_diag *diag, sona_err err)
{
    (void)fprintf(stderr, "client: %s\n", diag->text);
    return err != SONA_OK && diag->code == err && strlen(diag->text) > 10 ? 1 : 3;
}

int main(int argc, char **argv)
{
    const sona_client_options options = {
        .instance = argc > 1 ? argv[1] : NULL, .runtime_dir = argc > 2 ? argv[2] : NULL, .dim = 16};
    sona_client *client = NULL;
    sona_lane *lane = NULL;
    sona_diag diag = {.text = ""};
    sona_decision d;
    float x[16] = {1};

    sona_err err = sona_client_open(&client, &options, &diag);
    if (err != SONA_OK)
        return client ? 4 : failed(&diag, err);
    err = sona_lane_claim(client, &lane, &diag);
    if (err == SONA_OK && sona_decide(lane, x, 16, NULL, &d) != SONA_OK)
        return 5;
    for (int n = argc > 3 ? atoi(argv[3]) : 0; err == SONA_OK && n > 0; n--) {
        x[n % 16] += 1;
        if (sona_decide(lane, x, 16, NULL, &d) == SONA_OK)
            (void)sona_outcome(lane, d.id, (float)(n % 2), NULL);
    }
    sona_lane_release(&lane);
    sona_client_close(&client);
    return err == SONA_OK ? 0 : failed(&diag, err);
}
