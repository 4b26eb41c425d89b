/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/**
 * @file version.h
 * Version of the library and of the ABI that client and sidecar must share.
 */
#ifndef SONA_VERSION_H
#define SONA_VERSION_H

#include <sona/error.h>

#ifdef __cplusplus
extern "C" {
#endif

#define SONA_VERSION_MAJOR 0
#define SONA_VERSION_MINOR 1
#define SONA_VERSION_PATCH 0
#define SONA_VERSION       "0.1.0"

/** Segment, record and handshake layout. Major must be equal; minor may only grow at the sidecar.
 */
#define SONA_ABI_MAJOR 1
#define SONA_ABI_MINOR 2 /* 1: a HELLO may hand lanes back; 2: a client answers a CHALLENGE */

/** Return the version of the linked library, such as "0.1.0". */
SONA_API const char *sona_version(void);

#ifdef __cplusplus
}
#endif
#endif
