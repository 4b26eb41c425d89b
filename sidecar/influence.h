/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/*
 * How much of what is learned may come from one client, and how close together. Pure: no clock, no
 * thread, no memory of its own; the order of the words alone decides.
 *
 * A client has credit, at most SONA_SIDECAR_BURST words. Each of its words that is taken costs one;
 * each of somebody else's earns it cap / others, where `others` is how many other clients have
 * spoken within SONA_SIDECAR_SILENT_MS. Whoever comes when there are many has none at first, or it
 * would pay to come again and again. So in any stretch of the stream
 *
 *     words taken of one client  <=  BURST + cap * (mean over the others of their words taken)
 *
 * and where two routes differ in quality by more than cap / others, no lies of one client in the
 * place of its outcomes can turn their order: of its share s = cap / (cap + others) of the outcomes
 * the worst changes the difference by s, and what the others say of it is worth 1 - s times as much
 * (s / (1 - s) = cap / others). That is of means: of a route that is hardly tried a lie or two may
 * be most of what is known, until it is chosen for them and the others say what it is worth. With
 * others <= cap that bound says nothing, and nothing is refused:
 * one client alone, or a few, never notice any of this.
 *
 * A word that is refused waits in its lane until the others have said more; nothing of it is lost
 * but time, and what a client does itself about a full ring. Only of what a client that is gone has
 * left behind, the rest is dropped after a while. Both come before a word is an event: a replay of
 * the events needs no verdict, and in the arena the verdict is part of the entry.
 *
 * The burst is short because drift detection looks at short stretches: lies in a row look like a
 * route that has changed.
 */
#ifndef SONA_SIDECAR_INFLUENCE_H
#define SONA_SIDECAR_INFLUENCE_H

#include <stdbool.h>
#include <stdint.h>

#define SONA_SIDECAR_BURST     8u     /* words */
#define SONA_SIDECAR_SILENT_MS 60000u /* who says nothing for so long is none of the others */
#define SONA_SIDECAR_CAP       4u     /* by default */
#define SONA_SIDECAR_CAP_MAX   1000u

/* All that are about one thing: outcomes, or queries. */
struct sona_sidecar_influence {
    uint32_t cap;    /* 0: everybody says what he likes */
    uint32_t voices; /* that have spoken */
    uint64_t earned; /* by somebody who never speaks, since the beginning */
};

/* One client's; begins as zeros. */
struct sona_sidecar_voice {
    bool speaks, ended;
    uint64_t credit, seen; /* credit when `earned` was `seen` */
    uint64_t spoke_ms;
};

/* It says one word. False: it has said more than its share. */
bool sona_sidecar_influence_word(struct sona_sidecar_influence *influence,
                                 struct sona_sidecar_voice *voice, uint64_t now_ms);
/* It is silent for too long; now and then, for every voice. */
void sona_sidecar_influence_fade(struct sona_sidecar_influence *influence,
                                 struct sona_sidecar_voice *voice, uint64_t now_ms);
/* Its client is gone: it is none of the others, and what it left behind is heard as it was. */
void sona_sidecar_influence_end(struct sona_sidecar_influence *influence,
                                struct sona_sidecar_voice *voice);
/* It is none of the others until its next word. */
void sona_sidecar_influence_leave(struct sona_sidecar_influence *influence,
                                  struct sona_sidecar_voice *voice);

#endif
