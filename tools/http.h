/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/*
 * One HTTP request over a unix socket: no redirects, no chunks, nothing kept open. That is all that
 * the control socket of a sidecar needs, and every wait in it is bounded.
 */
#ifndef SONA_TOOLS_HTTP_H
#define SONA_TOOLS_HTTP_H

#include <stddef.h>
#include <stdint.h>

#include <sona/error.h>

struct sona_tools_reply {
    int status;        /* 200, ... */
    unsigned abi;      /* major of the peer's; 0: it did not say */
    char abi_text[16]; /* all of it */
    char *body;        /* with a NUL behind its end; to be freed */
    size_t bytes;
};

/*
 * Send `method path` with a body (null: none) of so many bytes, and read the answer, all within
 * timeout_ms.
 * SONA_E_ABSENT: nobody listens there, or the process that does is stopped; SONA_E_PERMISSION;
 * SONA_E_TIMEOUT; SONA_E_FORMAT: what answers does not speak HTTP; SONA_E_MEMORY; SONA_E_SYSTEM.
 */
sona_err sona_tools_http(const char *socket_path, const char *method, const char *path,
                         const void *body, size_t body_bytes, uint32_t timeout_ms,
                         struct sona_tools_reply *ret, sona_diag *reterr);

#endif
