/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/* The rows of the kernel table. Which of them exist is decided by engine/kernels/meson.build. */
#ifndef SONA_ENGINE_KERNELS_ROWS_H
#define SONA_ENGINE_KERNELS_ROWS_H

#include "engine/kernels/kernels.h"

extern const struct sona_kernels sona_kernels_row_c;
extern const struct sona_kernels sona_kernels_row_avx2;
extern const struct sona_kernels sona_kernels_row_avx512;
extern const struct sona_kernels sona_kernels_row_neon;

#endif
