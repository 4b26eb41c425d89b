/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/*
 * A client without a client library: the handshake and the rings by hand, to write what a careless
 * or hostile one would write, and in an order of the test's choosing.
 */
#ifndef SONA_TESTS_SYSTEM_RAW_H
#define SONA_TESTS_SYSTEM_RAW_H

#include <stdint.h>

#include "shm/record.h"
#include "shm/ring.h"
#include "shm/wire.h"
#include "stage.h"

#define RAW_LANES 3u

struct raw {
    int socket;
    struct sona_wire_welcome welcome;
    struct sona_shm_plan plan;
    const char *model; /* read-only, as clients map it; stays when the sidecar is gone */
    char *lanes;
    int lanes_fd;
    uint64_t seq[RAW_LANES]; /* of the next record */
};

void raw_open(struct raw *raw, const struct stage *stage);
void raw_close(struct raw *raw);
/* After a restart: hand the lanes back. They must be taken. */
void raw_reopen(struct raw *raw, const struct stage *stage);

/* A HELLO with any descriptor at all, which must not be taken: `raw` has new lanes then. What it
 * had before is given up, if it had anything. */
void raw_refused(struct raw *raw, const struct stage *stage, int fd);

struct sona_shm_lane *raw_lane(const struct raw *raw, uint32_t lane);
/* The id that the next record of a lane would have as a decision. */
uint64_t raw_id(const struct raw *raw, uint32_t lane);
/* A right record of `kind`, to be spoiled; then committed. */
struct sona_record *raw_record(struct raw *raw, uint32_t lane, int kind);
void raw_commit(struct raw *raw, uint32_t lane);
bool raw_has_room(const struct raw *raw, uint32_t lane);

/* A counter on page 2 of the mapped segment: readable after the sidecar's end, too. */
uint64_t raw_counter(const struct raw *raw, sona_counter counter);

/* Connect, and say nothing yet. */
int raw_connect(const struct stage *stage);
/* Connect and send one packet as it is; returns the socket. */
int raw_send(const struct stage *stage, const void *packet, size_t bytes);
/* Receive one packet into `ret`; the bytes received, 0: hung up. */
size_t raw_receive(int fd, void *ret, size_t size);

#endif
