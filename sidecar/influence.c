/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/* See influence.h. Credit is counted in parts of a word; a voice's is brought up to date when it
 * speaks, so that a word costs the same however many clients there are. */
#include "sidecar/influence.h"

#define WORD (UINT64_C(1) << 20) /* parts; no sum of them overflows in 10^10 words */

bool sona_sidecar_influence_word(struct sona_sidecar_influence *influence,
                                 struct sona_sidecar_voice *voice, uint64_t now_ms)
{
    voice->spoke_ms = now_ms;
    bool comes = !voice->speaks && !voice->ended;
    influence->voices += comes;
    uint32_t others = influence->voices - (voice->ended ? 0 : 1);
    bool free = influence->cap == 0 || others <= influence->cap;
    if (comes)
        *voice = (struct sona_sidecar_voice){.speaks = true,
                                             .credit = free ? SONA_SIDECAR_BURST * WORD : 0,
                                             .seen = influence->earned,
                                             .spoke_ms = now_ms};
    if (free)
        return true;
    voice->credit += influence->earned - voice->seen;
    voice->seen = influence->earned;
    if (voice->credit > SONA_SIDECAR_BURST * WORD)
        voice->credit = SONA_SIDECAR_BURST * WORD;
    if (voice->credit < WORD)
        return false;
    voice->credit -= WORD;
    influence->earned += influence->cap * WORD / others;
    voice->seen = influence->earned; /* nobody earns by his own words */
    return true;
}

void sona_sidecar_influence_fade(struct sona_sidecar_influence *influence,
                                 struct sona_sidecar_voice *voice, uint64_t now_ms)
{
    if (voice->speaks && now_ms - voice->spoke_ms > SONA_SIDECAR_SILENT_MS)
        sona_sidecar_influence_leave(influence, voice);
}

void sona_sidecar_influence_end(struct sona_sidecar_influence *influence,
                                struct sona_sidecar_voice *voice)
{
    sona_sidecar_influence_leave(influence, voice);
    voice->ended = true;
}

void sona_sidecar_influence_leave(struct sona_sidecar_influence *influence,
                                  struct sona_sidecar_voice *voice)
{
    if (!voice->speaks)
        return;
    voice->speaks = false;
    influence->voices--;
}
