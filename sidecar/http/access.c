/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/*
 * Who may ask. At the control socket: our own user and root, as the kernel names them. At the port,
 * which every local process reaches, and every page in a local browser tries to: whoever knows the
 * token, under the port's own name. A name that somebody's DNS leads to 127.0.0.1 is another Host;
 * a page that asks has another Origin. See inside.h.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include "shm/control.h"
#include "shm/diag.h"
#include "shm/layout.h"
#include "sidecar/http/inside.h"
#include "sidecar/log.h"
#include "sidecar/options.h"
#include "sidecar/peer.h"

#define TOKEN_LEAST 16u /* bytes; shorter ones are guessed */

/* A token is one line of visible characters. */
static sona_err judge_token(const char *path, char *token, size_t n, sona_diag *reterr)
{
    while (n > 0 && (token[n - 1] == '\n' || token[n - 1] == '\r'))
        token[--n] = '\0';
    for (size_t i = 0; i < n; i++)
        if (token[i] <= ' ' || token[i] > '~')
            n = 0;
    if (n < TOKEN_LEAST || n >= SONA_HTTP_TOKEN_MAX - 1)
        return sona_shm_diag_set(reterr, SONA_E_RANGE, 0,
                                 "the token in %s must be one line of %u to %u visible ASCII "
                                 "characters; make one with: openssl rand -hex 32",
                                 path, TOKEN_LEAST, SONA_HTTP_TOKEN_MAX - 2);
    return SONA_OK;
}

sona_err sona_http_token_read(const char *path, char ret[SONA_HTTP_TOKEN_MAX], sona_diag *reterr)
{
    struct stat st;

    if (!path || path[0] == '\0')
        return sona_shm_diag_set(
            reterr, SONA_E_CONFIG, 0,
            "http.listen_port is set and http.token_file is not; name a file with "
            "the token");
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (fd < 0 || fstat(fd, &st) != 0) {
        int e = errno;

        if (fd >= 0)
            (void)close(fd);
        return sona_shm_diag_set(reterr, SONA_E_SYSTEM, e, "cannot read the token file %s", path);
    }
    if (!S_ISREG(st.st_mode) || (st.st_uid != geteuid() && st.st_uid != 0) ||
        (st.st_mode & 0077) != 0) {
        (void)close(fd);
        return sona_shm_diag_set(reterr, SONA_E_PERMISSION, 0,
                                 "the token file %s must be a file of this user or root with mode "
                                 "0600; chmod it",
                                 path);
    }
    memset(ret, 0, SONA_HTTP_TOKEN_MAX);
    ssize_t n = read(fd, ret, SONA_HTTP_TOKEN_MAX - 1);
    (void)close(fd);
    return judge_token(path, ret, n > 0 ? (size_t)n : 0, reterr);
}

/* In a time that does not depend on where they differ: all bytes of both buffers are looked at. */
static bool same_token(const char token[SONA_HTTP_TOKEN_MAX], const char *said)
{
    char padded[SONA_HTTP_TOKEN_MAX] = {0};
    unsigned char differ = 0;

    (void)snprintf(padded, sizeof padded, "%s", said);
    for (size_t i = 0; i < sizeof padded; i++) {
        differ |= (unsigned char)(padded[i] ^ token[i]);
        __asm__ volatile("" : "+r"(differ)); /* no early way out for the compiler either */
    }
    return differ == 0;
}

/* "127.0.0.1:9464" or "localhost:9464". */
static bool is_ours(const char *host, uint16_t port)
{
    static const char *const names[] = {"127.0.0.1", "localhost"};
    char expected[32];

    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        (void)snprintf(expected, sizeof expected, "%s:%u", names[i], port);
        if (strcasecmp(host, expected) == 0)
            return true;
    }
    return false;
}

static bool admit_at_port(const struct sona_http *http, struct evhttp_request *request)
{
    static const char scheme[] = "http://", bearer[] = "Bearer ";
    const struct evkeyvalq *h = evhttp_request_get_input_headers(request);
    const char *host = evhttp_find_header(h, "Host"), *origin = evhttp_find_header(h, "Origin");
    const char *said = evhttp_find_header(h, "Authorization");

    if (!host || !is_ours(host, http->port)) {
        sona_http_reply_refusal(request, 421, SONA_E_PERMISSION,
                                "this port is 127.0.0.1:%u and nothing else; ask it by that name",
                                http->port);
        return false;
    }
    if (origin && (strncmp(origin, scheme, strlen(scheme)) != 0 ||
                   !is_ours(origin + strlen(scheme), http->port))) {
        sona_http_reply_refusal(request, 403, SONA_E_PERMISSION,
                                "pages of other origins may not ask; ask without an Origin");
        return false;
    }
    if (!said || strncasecmp(said, bearer, strlen(bearer)) != 0 ||
        !same_token(http->token, said + strlen(bearer))) {
        (void)evhttp_add_header(evhttp_request_get_output_headers(request), "WWW-Authenticate",
                                "Bearer realm=\"sona\"");
        sona_http_reply_refusal(request, 401, SONA_E_PERMISSION,
                                "send \"Authorization: Bearer TOKEN\" with the token of "
                                "http.token_file");
        return false;
    }
    return true;
}

static bool admit_peer(struct evhttp_request *request)
{
    struct evhttp_connection *c = evhttp_request_get_connection(request);
    struct sona_sidecar_peer peer;
    sona_diag diag;

    if (sona_sidecar_peer_identify(bufferevent_getfd(evhttp_connection_get_bufferevent(c)),
                                   SONA_SIDECAR_GROUP_NONE, &peer, &diag) != SONA_OK) {
        sona_sidecar_log(SONA_SIDECAR_WARN, "http_refused", "reason=\"%s\"", diag.text);
        sona_http_reply_error(request, &diag);
        return false;
    }
    if (peer.pidfd >= 0)
        (void)close(peer.pidfd);
    return true;
}

/* Whoever says nothing of it is a program that knows what it does. */
static bool admit_abi(struct evhttp_request *request)
{
    const char *said =
        evhttp_find_header(evhttp_request_get_input_headers(request), SONA_CONTROL_ABI_HEADER);
    unsigned major;

    if (!said || (sscanf(said, "%u.", &major) == 1 && major == SONA_ABI_MAJOR))
        return true;
    sona_http_reply_refusal(request, 426, SONA_E_ABI,
                            "the peer speaks ABI %.16s and this sidecar %u.%u; upgrade the older "
                            "of the two",
                            said, SONA_ABI_MAJOR, SONA_ABI_MINOR);
    return false;
}

bool sona_http_admit(const struct sona_http_server *server, struct evhttp_request *request)
{
    return (server->sidecar ? admit_peer(request) : admit_at_port(server->http, request)) &&
           admit_abi(request);
}
