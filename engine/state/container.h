/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/*
 * The container that a state is stored in: a header, then named sections of rows, each with its own
 * checksum. docs/state-format.md is the specification.
 *
 *     header 64 B | section header 64 B | rows, padded to 64 B | section header | rows | ...
 *
 * Writing is two steps, so that the thread that learns does no more than copy: add sections, then
 * seal the bytes, which may happen elsewhere. Reading opens the whole container first (magic, byte
 * order, version, length, every checksum), then takes sections by name; whoever takes one checks
 * what is in it. Every byte is covered by a checksum.
 *
 * A section that this version does not know is refused: it would be lost at the next save. A name
 * that begins with "x." is the caller's own and may be left alone.
 */
#ifndef SONA_ENGINE_STATE_CONTAINER_H
#define SONA_ENGINE_STATE_CONTAINER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <sona/error.h>

/* Grows with every section that a version adds; readers take all from 1 on. */
#define SONA_STATE_VERSION      2u
#define SONA_STATE_NAME_MAX     40   /* bytes of a section's name, NUL included */
#define SONA_STATE_SECTIONS_MAX 1024 /* of one container */

/* Where sections go. Without a buffer, or with one that is too small, only the bytes are counted.
 */
struct sona_state_writer {
    unsigned char *bytes;
    size_t size;
    size_t end; /* bytes needed so far; more than `size`: nothing was written beyond it */
    uint32_t sections;
};

void sona_state_writer_init(struct sona_state_writer *ret, void *buffer, size_t size);
/* Add a section of `rows` rows; returns where they go, or null when there is no room for them. Its
 * address has the alignment of the buffer, up to 64 bytes. */
void *sona_state_writer_add(struct sona_state_writer *writer, const char *name, uint32_t row_bytes,
                            uint64_t rows);
/* Add it and copy the rows; no rows: no section. */
void sona_state_writer_put(struct sona_state_writer *writer, const char *name, uint32_t row_bytes,
                           uint64_t rows, const void *from);
/* Write the header, without which nothing can be read, all but its checksums. `layout`: of the
 * structs that rows consist of. False: it did not fit, writer->end tells how much is needed. */
bool sona_state_writer_end(struct sona_state_writer *writer, uint64_t layout);
/* Write the checksums of a container that sona_state_writer_end() ended, for any thread. Returns
 * the state's name: two states are equal if and only if (but for one chance in 2^64) theirs are. */
uint64_t sona_state_seal(void *bytes, size_t n);

struct sona_state_reader {
    const unsigned char *bytes;
    size_t n;
    uint32_t version;
    uint32_t sections;
    uint64_t layout;
    uint64_t taken[SONA_STATE_SECTIONS_MAX / 64]; /* bit per section: somebody asked for it */
    sona_diag *reterr; /* of whoever opened it; null: nobody reads diagnostics */
};

/* Open a container of exactly n bytes at any address, which stay the caller's and must not change.
 * SONA_OK; SONA_E_FORMAT: not a state; SONA_E_DAMAGED: cut off or changed; SONA_E_VERSION: of a
 * newer version, another byte order or another layout. */
sona_err sona_state_reader_open(struct sona_state_reader *ret, const void *bytes, size_t n,
                                uint64_t layout, sona_diag *reterr);
/* Rows of a section, at any address; null with *ret_rows 0 when there is no such section or its
 * rows are not `row_bytes` long. */
const void *sona_state_reader_find(struct sona_state_reader *reader, const char *name,
                                   uint32_t row_bytes, uint64_t *ret_rows);
/* Copy a section of exactly `rows` rows. False: it is not there, or of another size. */
bool sona_state_reader_take(struct sona_state_reader *reader, const char *name, uint32_t row_bytes,
                            uint64_t rows, void *to);
/* Nobody takes more: SONA_E_VERSION if a section is left that this version does not know. */
sona_err sona_state_reader_done(struct sona_state_reader *reader);
/* What section `name` says cannot be: fills the diagnostic, returns SONA_E_FORMAT. */
sona_err sona_state_reader_refuse(struct sona_state_reader *reader, const char *name);

#endif
