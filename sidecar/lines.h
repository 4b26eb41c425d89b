/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/* Files of JSON lines: one object a line, the first of which says what the others are. */
#ifndef SONA_SIDECAR_LINES_H
#define SONA_SIDECAR_LINES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <jansson.h>
#include <sona/error.h>
#include <sona/model.h>

/* Bytes of a line, several times those of the widest row: as JSON in memory it takes up to some
 * twenty times as many. */
#define SONA_SIDECAR_LINE_MAX (1u << 20)

struct sona_sidecar_lines {
    const char *at, *end;
    uint64_t number; /* of the line that was read last, from 1 */
};

/* The next line that is not empty, as an object that the caller gives back; null with SONA_OK:
 * there is none. SONA_E_FORMAT and SONA_E_LIMIT name the line. */
sona_err sona_sidecar_lines_next(struct sona_sidecar_lines *lines, json_t **ret, sona_diag *reterr);
/* "line N: " and the sentence. */
__attribute__((format(printf, 4, 5))) sona_err
sona_sidecar_lines_refuse(const struct sona_sidecar_lines *lines, sona_diag *reterr, sona_err err,
                          const char *format, ...);
/* Refuses what is no first line of a file of this format and dimension. */
sona_err sona_sidecar_lines_head(const struct sona_sidecar_lines *lines, const json_t *head,
                                 const char *format, uint32_t dim, sona_diag *reterr);

/* Values of an object. False: it is there, and is none of that kind; absent: as it was. */
bool sona_sidecar_lines_real(const json_t *o, const char *key, float *ret);
bool sona_sidecar_lines_count(const json_t *o, const char *key, uint64_t max, uint64_t *ret);
/* An array of exactly `dim` numbers. SONA_E_SHAPE, SONA_E_FORMAT, SONA_E_NOT_FINITE. */
sona_err sona_sidecar_lines_vector(const struct sona_sidecar_lines *lines, const json_t *o,
                                   const char *key, uint32_t dim, float *ret, sona_diag *reterr);
/* The first of these keys that the object has and that is none of them; null: none. */
const char *sona_sidecar_lines_stranger(const json_t *o, const char *const *known);

/* The row of the enabled route of this name; null: there is none. */
const sona_route_info *sona_sidecar_lines_route(const sona_route_info *routes, uint32_t n,
                                                const char *name);

/* A JSON string, quotes and all. */
void sona_sidecar_lines_put_text(FILE *to, const char *text);

#endif
