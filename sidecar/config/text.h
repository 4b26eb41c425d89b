/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/*
 * Configuration files as bytes: which are read, in which order, and what they may consist of.
 *
 *     /etc/sona/sidecar.yaml, or -c FILE, then conf.d/ *.yaml beside it by name
 */
#ifndef SONA_SIDECAR_CONFIG_TEXT_H
#define SONA_SIDECAR_CONFIG_TEXT_H

#include <limits.h>

#include "sidecar/config/gather.h"

#define SONA_SIDECAR_DROP_INS_MAX 64u

/* Gather the file (absent: a mistake when `wanted`), then its drop-ins; each is a layer. */
void sona_sidecar_text_gather(struct sona_sidecar_gather *gather, const char *path, bool wanted);

/* Where the drop-ins of a file are; false: the path is too long. */
bool sona_sidecar_text_drop_ins(const char *path, char ret[PATH_MAX]);

/* UTF-8 without control characters, and no tab that indents. Tells where it is not. */
void sona_sidecar_text_judge(struct sona_sidecar_gather *gather, const char *path, const char *text,
                             size_t bytes);
/* "path:line:column"; of a long path its end. */
void sona_sidecar_text_place(char ret[SONA_SIDECAR_WHERE_MAX], const char *path, unsigned line,
                             unsigned column);

#endif
