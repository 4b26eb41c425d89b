/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/*
 * The fold: MicroLoRA in the hot half is added to BaseLoRA in the cold half and begins anew.
 * engine/learner/cycle.c (install), sidecar/publication.c (publish, prepare_cold).
 *
 *   I10 no change is seen twice or lost across a fold
 *
 * A change is a bit. A learner's state is a pair of sets: what MicroLoRA has, what BaseLoRA has; y
 * is their sum, so the sets of every pair that a reader accepts must be disjoint, and together all
 * that was learned when the pair was published. Slots, scans and leases are in snapshot.pml: here a
 * pair is immutable once published, and a publication may be coalesced, a cold slot refused.
 * Faults that must be found are marked [!].
 */
#ifndef CHANGES
#define CHANGES 3
#endif
#ifndef PAIRS
#define PAIRS 5
#endif

byte cur = 0, cur_cold = 0;         /* cur_cold: only where two words name the halves */
byte hot[PAIRS + 1], cold[PAIRS + 1]; /* sets that a pair has */
byte all[PAIRS + 1];                /* what was learned when it was published */
bool done = false;

active proctype learner() {
  byte micro = 0, base = 0, copy = 0, learned = 0, n = 0, g = 0, published = 0;
  bool cycle = false, cold_new = false;

  do
  :: n < CHANGES -> d_step { micro = micro | (1 << n); learned = learned | (1 << n); n++ }
  :: !cycle && !cold_new -> d_step { cycle = true; copy = micro }
  :: cycle -> /* install */
#ifdef FOLD_COPY /* [!] what was copied when the cycle began is folded, what is there now is dropped */
     d_step { base = base | copy; micro = 0; cycle = false; cold_new = true; copy = 0 }
#else
#ifdef KEEP_MICRO /* [!] MicroLoRA does not begin anew */
     d_step { base = base | micro; cycle = false; cold_new = true; copy = 0 }
#else
     d_step { base = base | micro; micro = 0; cycle = false; cold_new = true; copy = 0 }
#endif
#endif
  :: g < PAIRS && (learned != published || cold_new) -> /* publish, once in a while */
     if
     :: skip /* coalesced, or no cold slot: nothing is published, the hot half neither */
#ifdef HOT_ALONE /* [!] no cold slot is free: the hot half goes ahead with the old cold one */
     :: cold_new -> d_step { g++; hot[g] = micro; cold[g] = published; all[g] = learned; cur = g }
#endif
#ifdef TWO_WORDS /* [!] each half has a word of its own */
     :: cold_new ->
        d_step { g++; hot[g] = micro; cold[g] = base; all[g] = learned }
        cur_cold = g;
        d_step { cur = g; cold_new = false; published = base }
     :: !cold_new -> d_step { g++; hot[g] = micro; cold[g] = cold[cur_cold]; all[g] = learned; cur = g }
#else
     :: d_step { g++; hot[g] = micro; cold[g] = (cold_new -> base : published); all[g] = learned;
                 cur = g; cold_new = false; published = base }
#endif
     fi
  :: n == CHANGES && !cycle -> break
  od;
  done = true
}

active proctype reader() {
  byte c = 0, h = 0, k = 0;

  do
  :: done -> break
  :: else ->
     c = cur;
     h = hot[c];
#ifdef TWO_WORDS
     k = cold[cur_cold];
#else
     k = cold[c];
#endif
     d_step { assert((h & k) == 0); assert((h | k) == all[c]); c = 0; h = 0; k = 0 }
  od
}
