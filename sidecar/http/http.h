/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/*
 * The thread that people and their programs talk to: one libevent loop over the control socket of
 * each instance (all that sonactl does, as JSON; docs/control.md) and, where the configuration
 * wants it, one TCP port of 127.0.0.1 (metrics and probes alone; docs/metrics.md).
 *
 * It reads what other threads show (version.h, roster.h, figures.h) and asks the learner through
 * its queue of commands. It holds no lock that they wait for, so that no request delays an
 * attachment, a drain or an update. Everything in it is bounded: connections, bytes and time.
 *
 *     accepted ──head and body, REQUEST_MS──► answered ──REPLY_MS──► next request, or closed
 *                                    └──► asked of the learner, COMMAND_MS ──► answered
 */
#ifndef SONA_SIDECAR_HTTP_HTTP_H
#define SONA_SIDECAR_HTTP_HTTP_H

#include <stdint.h>

#include <sona/error.h>

struct sona_sidecar;
struct sona_http;

#define SONA_HTTP_INSTANCES_MAX   64u          /* control sockets at one time */
#define SONA_HTTP_CONNECTIONS_MAX 32u          /* of each of them, and of the port; others wait */
#define SONA_HTTP_HEAD_BYTES      8192u        /* of a request's lines */
#define SONA_HTTP_BODY_BYTES      16384u       /* of its body; answered with 413 */
#define SONA_HTTP_BODY_LIMIT      (128 * 1024) /* beyond it the connection ends */
#define SONA_HTTP_FILE_BYTES      (17u << 20)  /* of a body that is a file; the socket's alone */
#define SONA_HTTP_REQUEST_MS      5000u        /* for all of a request to arrive */
#define SONA_HTTP_REPLY_MS        10000u       /* to read the answer, and ask again */
#define SONA_HTTP_COMMAND_MS      60000u       /* a cycle over a large replay takes its time */

struct sona_http_options {
    uint32_t port;          /* of 127.0.0.1; 0: none */
    const char *token_file; /* what a client of the port has to know */
};

/* Read the token, bind the port, start the thread. SONA_E_RANGE, SONA_E_PERMISSION, SONA_E_SYSTEM,
 * with the remedy. */
sona_err sona_http_create(struct sona_http **ret, const struct sona_http_options *options,
                          sona_diag *reterr);
/* Serve the control socket of an instance that listens, from its control thread, whose voice it
 * speaks with. SONA_E_LIMIT, SONA_E_MEMORY. */
sona_err sona_http_join(struct sona_http *http, struct sona_sidecar *sidecar, sona_diag *reterr);
/* No more: when this returns, nothing of it is looked at. Who waits for its learner is told that it
 * stopped. Takes one that never joined. */
void sona_http_leave(struct sona_http *http, struct sona_sidecar *sidecar);
/* End the thread. Every instance has left. Takes null. */
void sona_http_destroy(struct sona_http **http);

#endif
