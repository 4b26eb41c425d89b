/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/*
 * A sidecar that never learns and never drains unless told to: the real publisher and the real
 * handshake, on a thread of the test, so that a test decides when it lies, hangs up, restarts or
 * takes a record. What only the true sidecar can show is tested against that one.
 */
#ifndef SONA_TESTS_CLIENT_FAKE_H
#define SONA_TESTS_CLIENT_FAKE_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include <sona/client.h>

#include "engine/model/model.h"
#include "shm/publisher.h"
#include "shm/record.h"
#include "shm/ring.h"
#include "shm/wire.h"

#define FAKE_DIM      16u
#define FAKE_ROUTES   3u
#define FAKE_SLOTS    16u /* of a ring */
#define FAKE_PEERS    8u
#define FAKE_PATTERNS 2u

/* One attachment as the fake sees it. */
struct fake_peer {
    int socket, lanes_fd;
    int old_fd;     /* the lanes that it handed back; -1: none */
    bool came_back; /* they go on */
    uint32_t tag;
    char *lanes;
    struct sona_shm_plan plan;
    struct sona_wire_hello hello;
};

struct fake {
    char dir[40], instance[40], path[96];
    int listener, stop[2];
    pthread_t thread;
    struct sona_shm_publisher *publisher;
    struct sona_model_layout layout;
    sona_geometry geometry;
    void *hot; /* the image to publish next */
    void *cold;
    uint64_t step, ids;
    pthread_mutex_t lock;
    struct fake_peer peer[FAKE_PEERS];
    uint32_t n_peers;
    uint32_t tag; /* of the next attachment */
    /* What it does instead of the right thing; null: the right thing. Called on its thread before
     * the answer goes out; false: no answer at all. */
    bool (*spoil)(struct fake *fake, struct sona_wire_welcome *welcome, int fds[3], int *n_fds);
    sona_err refuse; /* SONA_OK: welcome */
    /* After fake_crash(): go on in the segment that is left, and with the lanes handed back. */
    bool adopt, take_back;
};

/* Start it: three enabled routes, two patterns, adapters that are not zero. */
void fake_start(struct fake *fake);
/* The same with another dimension. */
void fake_start_dim(struct fake *fake, uint32_t dim);
/* Hang up on everybody and take the segment away; the name stays free for another start. */
void fake_end(struct fake *fake);
/* The same as if it was killed: the segment stays as it is. */
void fake_crash(struct fake *fake);
/* Begin again under the same name after fake_end() or fake_crash(). */
void fake_restart(struct fake *fake);
/* fake_end(), and remove the directory. */
void fake_stop(struct fake *fake);

/* Publish the hot image (and the cold one); returns the id. */
uint64_t fake_publish(struct fake *fake, bool with_cold);
struct sona_model_route *fake_route(struct fake *fake, uint32_t index);
/* Recompute the checksum of a header that a test has changed. */
void fake_seal_header(struct sona_shm_header *header);

struct sona_shm_lane *fake_lane(struct fake *fake, uint32_t peer, uint32_t lane);
/* Take up to `max` records of a lane into `ret` (record_stride bytes each); returns how many. */
uint32_t fake_drain(struct fake *fake, uint32_t peer, uint32_t lane, void *ret, uint32_t max);

/* Options of a client for this fake: no maintenance thread, seed 1, two lanes. */
sona_client_options fake_options(const struct fake *fake);
/* Open a client, or fail the test. */
sona_client *fake_client(const struct fake *fake);

/* x_i = 1 + i + salt, not normalised. */
void fake_query(float *x, uint32_t dim, uint32_t salt);

#endif
