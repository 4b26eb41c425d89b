/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/*
 * Which of a client's records are taken now: those within its share (influence.h), of queries and
 * of words about them apart, and within its rate. The others wait in its rings. The intake's.
 */
#ifndef SONA_SIDECAR_HEARING_H
#define SONA_SIDECAR_HEARING_H

#include <stdbool.h>
#include <stdint.h>

#include "shm/record.h"
#include "sidecar/attachment.h"
#include "sidecar/influence.h"

struct sona_sidecar_hearing {
    struct sona_sidecar_influence queries, words;
    uint32_t rate; /* records a second of one client; 0: as they come */
};

/* This record is the next of the client's. False: it is beyond its share, by its kind alone (what
 * it says is judged later). Steps and the like say nothing until their trajectory ends. */
bool sona_sidecar_hearing_word(struct sona_sidecar_hearing *hearing,
                               struct sona_sidecar_attachment *client,
                               const struct sona_record *record, uint64_t now_us);
/* It was: does it wait in its ring until the others have said more? False: its client is gone, and
 * for too long. */
bool sona_sidecar_hearing_waits(struct sona_sidecar_attachment *client, uint64_t now_us);
/* How many of its records may be taken now, `most` at most; then take them off its tokens. */
uint32_t sona_sidecar_hearing_allowance(const struct sona_sidecar_hearing *hearing,
                                        struct sona_sidecar_attachment *client, uint64_t now_us,
                                        uint32_t most);
/* Now and then, and when it is gone. */
void sona_sidecar_hearing_fade(struct sona_sidecar_hearing *hearing,
                               struct sona_sidecar_attachment *client, uint64_t now_ms);
void sona_sidecar_hearing_end(struct sona_sidecar_hearing *hearing,
                              struct sona_sidecar_attachment *client);

#endif
