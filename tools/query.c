/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
#include "tools/query.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "shm/wire.h"
#include "tools/fail.h"

#define QUERY_TIMEOUT_MS   2000u
#define COMMAND_TIMEOUT_MS 60000u /* a cycle over a large replay takes its time */

/* The text of one received packet, copied out; every length in it is judged. */
static sona_err read_answer(const char *packet, size_t bytes, char **ret_json, sona_diag *reterr)
{
    struct sona_wire_answer answer;
    char *json;

    if (bytes == 0)
        return sona_tools_fail(reterr, SONA_E_ABSENT,
                               "the sidecar hung up without an answer; look at its log");
    if (bytes >= sizeof(struct sona_wire_refused) &&
        ((const struct sona_wire_head *)(const void *)packet)->kind == SONA_WIRE_REFUSED) {
        const struct sona_wire_refused *refused = (const void *)packet;

        return sona_tools_fail(reterr, (sona_err)refused->code, "%.*s",
                               (int)sizeof refused->text - 1, refused->text);
    }
    if (bytes < sizeof answer)
        return sona_tools_fail(reterr, SONA_E_FORMAT,
                               "the sidecar's answer is cut off; are both of one version?");
    memcpy(&answer, packet, sizeof answer);
    if (answer.head.magic != SONA_WIRE_MAGIC || answer.head.kind != SONA_WIRE_ANSWER ||
        answer.json_bytes != bytes - sizeof answer)
        return sona_tools_fail(reterr, SONA_E_FORMAT,
                               "the sidecar's answer makes no sense; are both of one version?");
    if (answer.code != SONA_OK)
        return sona_tools_fail(reterr, (sona_err)answer.code, "the sidecar refuses: %s",
                               sona_err_text((sona_err)answer.code));
    json = malloc((size_t)answer.json_bytes + 1);
    if (json == NULL)
        return sona_tools_fail(reterr, SONA_E_MEMORY, "not enough memory for the answer");
    memcpy(json, packet + sizeof answer, answer.json_bytes);
    json[answer.json_bytes] = '\0';
    *ret_json = json;
    return SONA_OK;
}

/* Send one packet and read what comes back. */
static sona_err ask(const char *runtime_dir, const char *instance, struct sona_wire_head *question,
                    size_t question_bytes, uint32_t timeout_ms, char **ret_json, sona_diag *reterr)
{
    char path[256];
    char *packet = malloc(SONA_WIRE_PACKET_MAX);
    int fds[SONA_WIRE_FDS_MAX], n_fds = 0, fd = -1;
    size_t bytes = 0;
    sona_err err;

    if (packet == NULL)
        return sona_tools_fail(reterr, SONA_E_MEMORY, "not enough memory for the answer");
    err = sona_wire_path(runtime_dir, instance != NULL ? instance : "default", path, sizeof path,
                         reterr);
    if (err == SONA_OK)
        err = sona_wire_connect(path, QUERY_TIMEOUT_MS, &fd, reterr);
    if (err == SONA_OK)
        err = sona_wire_send(fd, question, question_bytes, NULL, 0, reterr);
    if (err == SONA_OK)
        err = sona_wire_receive(fd, packet, SONA_WIRE_PACKET_MAX, timeout_ms, &bytes, fds, &n_fds,
                                reterr);
    for (int i = 0; err == SONA_OK && i < n_fds; i++)
        (void)close(fds[i]);
    if (err == SONA_OK)
        err = read_answer(packet, bytes, ret_json, reterr);
    if (fd >= 0)
        (void)close(fd);
    free(packet);
    return err;
}

sona_err sona_tools_query(const char *runtime_dir, const char *instance, uint32_t what,
                          char **ret_json, sona_diag *reterr)
{
    struct sona_wire_query_packet query = {.head.kind = SONA_WIRE_QUERY, .what = what};

    return ask(runtime_dir, instance, &query.head, sizeof query, QUERY_TIMEOUT_MS, ret_json,
               reterr);
}

sona_err sona_tools_command(const char *runtime_dir, const char *instance,
                            const struct sona_wire_command *command, char **ret_json,
                            sona_diag *reterr)
{
    struct sona_wire_command packet = *command;

    packet.head.kind = SONA_WIRE_COMMAND;
    return ask(runtime_dir, instance, &packet.head, sizeof packet, COMMAND_TIMEOUT_MS, ret_json,
               reterr);
}
