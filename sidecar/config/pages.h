/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/*
 * The table of options as people and programs read it. Everything here is made from the table, so
 * that an option is in all of it or in none.
 */
#ifndef SONA_SIDECAR_CONFIG_PAGES_H
#define SONA_SIDECAR_CONFIG_PAGES_H

#include <stdio.h>

#include "sidecar/config/setting.h"

/* The part of --help behind the flags: presets and keys. */
void sona_sidecar_pages_help(FILE *to);
/* sona-sidecar(8), in troff. */
void sona_sidecar_pages_manual(FILE *to);
/* The completion of bash. */
void sona_sidecar_pages_completion(FILE *to);
/* docs/configuration.md, from its first table on. */
void sona_sidecar_pages_document(FILE *to);

/* --print-config: every option with where its value is from, in YAML that reads back as the same.
 */
void sona_sidecar_pages_print(const struct sona_sidecar_options *options, FILE *to);
/* The same of a process: what all inherit, then of each instance what is its own. */
void sona_sidecar_pages_print_whole(const struct sona_sidecar_whole *whole, FILE *to);

#endif
