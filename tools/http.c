/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/* See http.h. */
#include "tools/http.h"

#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include <sona/version.h>

#include "shm/control.h"
#include "tools/fail.h"

#define REPLY_MAX (64u << 20) /* bytes; an export of many patterns is the largest */

static uint64_t now_ms(void)
{
    struct timespec t;

    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

/* ---- the connection ---- */

static sona_err connect_failed(const char *path, int e, sona_diag *reterr)
{
    switch (e) {
    case ENOENT:
    case ENOTDIR:
    case ECONNREFUSED:
        return sona_tools_fail(reterr, SONA_E_ABSENT,
                               "no sidecar answers at %s; start sona-sidecar", path);
    case EACCES:
    case EPERM:
        return sona_tools_fail(reterr, SONA_E_PERMISSION,
                               "%s may not be opened; run as the sidecar's user", path);
    default:
        return sona_tools_fail(reterr, SONA_E_SYSTEM, "cannot connect to %s: %s", path,
                               strerror(e));
    }
}

/* Why nobody answers: is the process that listens stopped by a signal? */
static sona_err silent(int fd, const char *path, sona_diag *reterr)
{
    struct ucred peer = {.pid = 0};
    socklen_t size = sizeof peer;
    char name[64], state = '?';

    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) == 0 && peer.pid > 0) {
        (void)snprintf(name, sizeof name, "/proc/%d/stat", (int)peer.pid);
        FILE *file = fopen(name, "re");

        if (file && fscanf(file, "%*d (%*[^)]) %c", &state) != 1)
            state = '?';
        if (file)
            (void)fclose(file);
    }
    if (state == 'T' || state == 't')
        return sona_tools_fail(reterr, SONA_E_ABSENT,
                               "the sidecar at %s is stopped (pid %d); go on with: kill -CONT %d",
                               path, (int)peer.pid, (int)peer.pid);
    return sona_tools_fail(reterr, SONA_E_TIMEOUT,
                           "the sidecar at %s did not answer in time; look at its log", path);
}

static sona_err open_connection(const char *path, int *ret_fd, sona_diag *reterr)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), rc;

    (void)snprintf(address.sun_path, sizeof address.sun_path, "%s", path);
    if (fd < 0)
        return sona_tools_fail(reterr, SONA_E_SYSTEM, "cannot create a socket: %s",
                               strerror(errno));
    rc = connect(fd, (const struct sockaddr *)&address, sizeof address);
    if (rc != 0) { /* EAGAIN: nobody has accepted for long, and the backlog is full */
        sona_err err =
            errno == EAGAIN
                ? sona_tools_fail(reterr, SONA_E_TIMEOUT,
                                  "the sidecar at %s accepts no connections; try again", path)
                : connect_failed(path, errno, reterr);

        (void)close(fd);
        return err;
    }
    *ret_fd = fd;
    return SONA_OK;
}

static bool wait_for(int fd, short events, uint64_t end_ms)
{
    struct pollfd p = {.fd = fd, .events = events};
    uint64_t now = now_ms();
    int n = now < end_ms ? poll(&p, 1, (int)(end_ms - now)) : 0;

    return n > 0 || (n < 0 && errno == EINTR);
}

static bool send_all(int fd, const char *text, size_t bytes, uint64_t end_ms)
{
    while (bytes > 0) {
        ssize_t n = send(fd, text, bytes, MSG_NOSIGNAL);

        if (n > 0) {
            text += n;
            bytes -= (size_t)n;
        } else if (n < 0 && errno != EAGAIN && errno != EINTR) {
            return true; /* it hung up: what it said of that is read next */
        } else if (!wait_for(fd, POLLOUT, end_ms)) {
            return false;
        }
    }
    return true;
}

/* ---- the answer ---- */

/* The value of a header line, or null. `head` ends behind the last of them. */
static const char *header_of(const char *head, const char *name)
{
    size_t n = strlen(name);

    for (const char *at = strstr(head, "\r\n"); at; at = strstr(at, "\r\n")) {
        at += 2;
        if (strncasecmp(at, name, n) == 0 && at[n] == ':')
            return at + n + 1 + strspn(at + n + 1, " ");
    }
    return NULL;
}

/* How long is all of it? 0: the head is not complete; SIZE_MAX: it is no HTTP. Cuts the head off.
 */
static size_t length_of(char *text, size_t bytes, struct sona_tools_reply *ret)
{
    char *end = strstr(text, "\r\n\r\n");
    const char *value;

    if (bytes >= 5 && strncmp(text, "HTTP/", 5) != 0)
        return SIZE_MAX;
    if (!end)
        return 0;
    *end = '\0';
    if (sscanf(text, "HTTP/1.%*d %d", &ret->status) != 1)
        return SIZE_MAX;
    value = header_of(text, SONA_CONTROL_ABI_HEADER);
    if (value && sscanf(value, "%15[0-9.]", ret->abi_text) == 1)
        (void)sscanf(ret->abi_text, "%u", &ret->abi);
    value = header_of(text, "Content-Length");
    unsigned long long length = value ? strtoull(value, NULL, 10) : REPLY_MAX + 1ull;
    return length > REPLY_MAX ? SIZE_MAX : (size_t)(end + 4 - text) + (size_t)length;
}

struct buffer {
    char *text;
    size_t bytes, size;
};

static bool grow(struct buffer *b)
{
    size_t size = b->size ? 2 * b->size : 65536;
    char *text = b->bytes + 1 < b->size ? b->text : realloc(b->text, size);

    if (!text)
        return false;
    b->size = text == b->text && b->bytes + 1 < b->size ? b->size : size;
    b->text = text;
    return true;
}

static sona_err receive(int fd, const char *path, uint64_t end_ms, struct buffer *b,
                        struct sona_tools_reply *ret, sona_diag *reterr)
{
    size_t length = 0;

    while (length == 0 || b->bytes < length) {
        if (!grow(b))
            return sona_tools_fail(reterr, SONA_E_MEMORY, "not enough memory for the answer");
        ssize_t n = recv(fd, b->text + b->bytes, b->size - b->bytes - 1, 0);
        if (n == 0 || (n < 0 && errno == ECONNRESET))
            return sona_tools_fail(reterr, SONA_E_ABSENT,
                                   "the sidecar hung up without an answer; look at its log");
        if (n < 0 && !wait_for(fd, POLLIN, end_ms))
            return silent(fd, path, reterr);
        if (n < 0)
            continue;
        b->bytes += (size_t)n;
        b->text[b->bytes] = '\0';
        if (length == 0)
            length = length_of(b->text, b->bytes, ret);
        if (length == SIZE_MAX || (length == 0 && b->bytes > 65536))
            return sona_tools_fail(reterr, SONA_E_FORMAT,
                                   "what answers at %s does not speak HTTP; is it a sidecar?",
                                   path);
    }
    ret->bytes = strlen(b->text) + 4; /* of the head, which was cut off */
    memmove(b->text, b->text + ret->bytes, length - ret->bytes);
    ret->bytes = length - ret->bytes;
    b->text[ret->bytes] = '\0';
    return SONA_OK;
}

sona_err sona_tools_http(const char *socket_path, const char *method, const char *path,
                         const void *body, size_t body_bytes, uint32_t timeout_ms,
                         struct sona_tools_reply *ret, sona_diag *reterr)
{
    uint64_t end_ms = now_ms() + timeout_ms;
    struct sona_tools_reply reply = {.status = 0};
    struct buffer b = {.text = NULL};
    char head[512];
    int fd = -1;
    sona_err err = open_connection(socket_path, &fd, reterr);

    if (err != SONA_OK)
        return err;
    int n = snprintf(head, sizeof head,
                     "%s %s HTTP/1.1\r\nHost: sona\r\nConnection: close\r\n"
                     "%s: %u.%u\r\nContent-Type: application/json\r\nContent-Length: %zu\r\n\r\n",
                     method, path, SONA_CONTROL_ABI_HEADER, SONA_ABI_MAJOR, SONA_ABI_MINOR,
                     body ? body_bytes : 0);
    if (!send_all(fd, head, (size_t)n, end_ms) || (body && !send_all(fd, body, body_bytes, end_ms)))
        err = silent(fd, socket_path, reterr);
    if (err == SONA_OK)
        err = receive(fd, socket_path, end_ms, &b, &reply, reterr);
    (void)close(fd);
    if (err != SONA_OK) {
        free(b.text);
        return err;
    }
    reply.body = b.text;
    *ret = reply;
    return SONA_OK;
}
