/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/* A fake, a client of it with a lane, and a query: what most tests of the client begin with. */
#ifndef SONA_TESTS_CLIENT_CLIENT_FIXTURE_H
#define SONA_TESTS_CLIENT_CLIENT_FIXTURE_H

#include <criterion/criterion.h>
#include <criterion/new/assert.h>

#include "fake.h"

static struct fake fake;
static sona_client *client;
static sona_lane *lane;
static float x[FAKE_DIM];

static inline void client_start(void)
{
    fake_start(&fake);
    client = fake_client(&fake);
    cr_assert(eq(int, sona_lane_claim(client, &lane, NULL), SONA_OK));
    fake_query(x, FAKE_DIM, 0);
}

static inline void client_stop(void)
{
    sona_client_close(&client);
    fake_stop(&fake);
}

#endif
