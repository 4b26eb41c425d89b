/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/*
 * A configuration in YAML: one mapping of options and sections of them. What a value is, its option
 * says, not YAML: `on` is a switch where one is wanted and a name where a name is. No anchors,
 * aliases or tags, one document, and limits on everything.
 */
#ifndef SONA_SIDECAR_CONFIG_YAML_H
#define SONA_SIDECAR_CONFIG_YAML_H

#include "sidecar/config/gather.h"

#define SONA_SIDECAR_YAML_BYTES_MAX   (256u * 1024)
#define SONA_SIDECAR_YAML_DEPTH_MAX   8u
#define SONA_SIDECAR_YAML_ENTRIES_MAX 20000u /* scalars, lists and mappings */

/* Gather what `text` says; `path` is for messages, "path:line:column". Empty is fine. */
void sona_sidecar_yaml_gather(struct sona_sidecar_gather *gather, const char *path,
                              const char *text, size_t bytes);

#endif
