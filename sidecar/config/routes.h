/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/* The list of routes, as text of one line and item by item. Every mistake is told to the gather. */
#ifndef SONA_SIDECAR_CONFIG_ROUTES_H
#define SONA_SIDECAR_CONFIG_ROUTES_H

#include "sidecar/config/gather.h"

/* name[:cost[:prior_quality[:prior_weight]]],... or a number N for route-0, route-1, ... */
void sona_sidecar_routes_parse(struct sona_sidecar_gather *gather, const char *where,
                               const char *text, struct sona_sidecar_routes *ret);
/* A route of this name, with the built-in numbers; null: refused. */
sona_route_spec *sona_sidecar_routes_add(struct sona_sidecar_gather *gather, const char *where,
                                         const char *name, struct sona_sidecar_routes *routes);
/* One number of a route. `key`: cost, prior_quality or prior_weight. False: there is no such key.
 */
bool sona_sidecar_routes_number(struct sona_sidecar_gather *gather, const char *where,
                                sona_route_spec *spec, const char *key, const char *text);

#endif
