/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/* See hearing.h. */
#include "sidecar/hearing.h"

#include "sidecar/log.h"

#define LEFT_BEHIND_US 5000000 /* what a dead client said beyond its share waits so long */

bool sona_sidecar_hearing_word(struct sona_sidecar_hearing *hearing,
                               struct sona_sidecar_attachment *client,
                               const struct sona_record *record, uint64_t now_us)
{
    uint64_t now_ms = now_us / 1000;

    switch (record->kind) {
    case SONA_RECORD_DECIDE:
    case SONA_RECORD_BEGIN:
    case SONA_RECORD_PATTERN_HIT:
        return sona_sidecar_influence_word(&hearing->queries, &client->queries, now_ms);
    case SONA_RECORD_OUTCOME:
    case SONA_RECORD_END:
    case SONA_RECORD_REVOKE:
    case SONA_RECORD_SIGNAL:
        return sona_sidecar_influence_word(&hearing->words, &client->words, now_ms);
    default:
        return true;
    }
}

bool sona_sidecar_hearing_waits(struct sona_sidecar_attachment *client, uint64_t now_us)
{
    /* Its end may have been seen after `now`. */
    if (client->ending && (int64_t)(now_us - client->ended_us) > LEFT_BEHIND_US)
        return false;
    if (atomic_fetch_add_explicit(&client->held_back, 1, memory_order_relaxed) == 0)
        sona_sidecar_log(SONA_SIDECAR_WARN, "client_held_back", "pid=%d uid=%u tag=%u",
                         (int)client->pid, (unsigned)client->uid, client->tag);
    return true;
}

uint32_t sona_sidecar_hearing_allowance(const struct sona_sidecar_hearing *hearing,
                                        struct sona_sidecar_attachment *client, uint64_t now_us,
                                        uint32_t most)
{
    if (hearing->rate == 0 || client->ending)
        return most;
    uint64_t us = now_us - client->tokens_us; /* the first time: since the machine was started */
    uint64_t more = (us < 1000000 ? us : 1000000) * hearing->rate / 1000000;

    if (more > 0) {
        client->tokens += more;
        client->tokens_us = now_us;
    }
    if (client->tokens > hearing->rate)
        client->tokens = hearing->rate;
    return client->tokens < most ? (uint32_t)client->tokens : most;
}

void sona_sidecar_hearing_fade(struct sona_sidecar_hearing *hearing,
                               struct sona_sidecar_attachment *client, uint64_t now_ms)
{
    sona_sidecar_influence_fade(&hearing->queries, &client->queries, now_ms);
    sona_sidecar_influence_fade(&hearing->words, &client->words, now_ms);
}

void sona_sidecar_hearing_end(struct sona_sidecar_hearing *hearing,
                              struct sona_sidecar_attachment *client)
{
    sona_sidecar_influence_end(&hearing->queries, &client->queries);
    sona_sidecar_influence_end(&hearing->words, &client->words);
}
