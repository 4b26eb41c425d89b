/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/* The command line. Every mistake in it is reported, not only the first. */
#ifndef SONA_SIDECAR_OPTIONS_H
#define SONA_SIDECAR_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>

#include <sona/config.h>
#include <sona/model.h>

#define SONA_SIDECAR_LANES_MAX                                         \
    256u /* of all clients together, unless --lanes-max says otherwise \
          */

enum sona_sidecar_memory_wish {
    SONA_SIDECAR_MEMORY_NOT,
    SONA_SIDECAR_MEMORY_TABLE,
    SONA_SIDECAR_MEMORY_JSON
};

struct sona_sidecar_options {
    const char *instance, *runtime_dir; /* runtime_dir null: the default place */
    sona_config config;
    uint32_t n_routes;
    sona_route_spec routes[SONA_ROUTES_MAX];
    bool background_inline;
    bool check, print_config;
    enum sona_sidecar_memory_wish memory; /* print what presets and configuration take */
    uint32_t lanes_max, idle_cap_us, lease_ms;
    int ready_fd; /* -1: none */
};

/* Parse and check. Returns 0; or 2 after the mistakes were written to stderr, one sentence each.
 * --help and --version do not return. */
int sona_sidecar_options_parse(struct sona_sidecar_options *ret, int argc, char **argv);
/* Write every key and value to stdout. */
void sona_sidecar_options_print(const struct sona_sidecar_options *options);

#endif
