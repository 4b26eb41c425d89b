/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/*
 * The adapters of an instance as a safetensors file, both ways.
 *
 *     bytes of the header, 64 bits, little-endian | header: JSON | floats, little-endian
 *
 * Per adapter there are NAME.lora_A of shape [rank, dim] and NAME.lora_B of shape [dim, rank], row
 * by row, in the orientation of y = x + scale * B (A x): `micro` with the file's micro_scale, and
 * `base.0`, `base.1`, ... with scale 1. __metadata__ says so, too.
 *
 * A file comes from a stranger: nothing of it is believed that is not checked.
 */
#ifndef SONA_SIDECAR_ADAPTERS_H
#define SONA_SIDECAR_ADAPTERS_H

#include <stddef.h>
#include <stdint.h>

#include <sona/error.h>

#include "engine/model/model.h"

#define SONA_SIDECAR_ADAPTERS_HEADER_MAX (1u << 20) /* bytes of a file's header */

/* What a journal can take at once. */
#define SONA_SIDECAR_ADAPTERS_BYTES_MAX (15u << 20)

struct sona_sidecar_adapters {
    float micro_scale;
    size_t n; /* floats, as sona_learner_adapters_copy() has them */
    float value[];
};

/* Room for those of this layout, zero; null without memory. Freed with free(). */
struct sona_sidecar_adapters *sona_sidecar_adapters_make(const struct sona_model_layout *layout);
/* The file, to be freed; null without memory. */
void *sona_sidecar_adapters_write(const struct sona_model_layout *layout,
                                  const struct sona_sidecar_adapters *adapters, size_t *ret_bytes);
/* What a file says, for an instance with this layout and scale of MicroLoRA. SONA_E_FORMAT: it is
 * no such file, or not whole; SONA_E_SHAPE: it is of another geometry; SONA_E_NOT_FINITE,
 * SONA_E_RANGE: its numbers cannot be used. One sentence each. */
sona_err sona_sidecar_adapters_read(const struct sona_model_layout *layout, float micro_scale,
                                    const void *bytes, size_t n, struct sona_sidecar_adapters **ret,
                                    sona_diag *reterr);

#endif
