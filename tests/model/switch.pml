/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/*
 * A lane, and the maintainer that switches it to another attachment and unmaps the old one:
 * client/hot.h (enter, leave), client/maintain.c (attach, quiescent, retire), pairs [L1] [L2] [L3].
 *
 *   - no lane touches an attachment that is unmapped
 *   - the maintainer waits for nobody: a lane that rests between two calls holds nothing up
 *   - at most two attachments exist
 *
 * The lane's stores (busy, shown) reach memory in order, but late: `to_busy`, `to_shown` are what
 * waits in its buffer. SWITCHES attachments follow on the first; the lane makes CALLS calls.
 */
#ifndef CALLS
#define CALLS 4
#endif
#ifndef SWITCHES
#define SWITCHES 3
#endif
#define NOTHING 255

byte att = 1;                      /* serial of the present attachment */
byte busy = 0, shown = 1;          /* in memory */
byte to_shown = NOTHING, to_busy = NOTHING; /* in the lane's store buffer, in this order */
bool unmapped[SWITCHES + 2];
bool rests = false;                /* the lane is between two calls for ever */

/* First in, first out: shown is only ever stored before the busy that ends the call. */
inline flush_shown() { if :: to_shown != NOTHING -> shown = to_shown; to_shown = NOTHING :: else -> skip fi }
inline flush_busy() { if :: to_busy != NOTHING -> busy = to_busy; to_busy = NOTHING :: else -> skip fi }

active proctype lane() {
  byte n = 0, a = 0;

  do
  :: n < CALLS ->
     n++;
#ifdef FULL
     d_step { flush_shown(); flush_busy(); busy = 1 } /* exchange */
#else
     d_step { flush_shown(); flush_busy(); to_busy = 1 }
#endif
     a = att; /* [L1] [L3] */
     assert(!unmapped[a]);
     /* arrive(): shown behind busy in the buffer, so busy is in memory before it. */
     d_step { if :: shown != a -> flush_busy(); to_shown = a :: else -> skip fi }
     assert(!unmapped[a]); /* the call */
     assert(!unmapped[a]);
#ifdef LEAVE_EARLY /* [!] busy is cleared before the last access */
     d_step { flush_shown(); flush_busy(); to_busy = 0 }
     assert(!unmapped[a])
#else
     d_step { flush_shown(); flush_busy(); to_busy = 0 } /* [L2] */
#endif
  :: n < CALLS -> break /* it rests */
  :: n == CALLS -> break
  od;
  a = 0;
  rests = true
}

active proctype maintainer() {
  byte next = 2, old = 0, tries = 0;

  do
  :: next <= SWITCHES + 1 && old == 0 ->
     d_step { old = att; att = next } /* [L1] [L3] */
     next++; tries = 0
  :: old != 0 ->
#ifndef NO_MEMBARRIER /* [!] */
     d_step { flush_shown(); flush_busy() }
#endif
#ifdef SHOWN_ONLY /* [!] a lane is taken to be where it was last seen */
     if :: shown != old -> unmapped[old] = true; old = 0 :: else -> skip fi
#else
     if :: busy == 0 || shown == att -> unmapped[old] = true; old = 0 :: else -> skip fi;
#endif
     /* With the lane at rest one look is enough. */
     d_step { if :: old != 0 && rests && to_busy == NOTHING -> tries++; assert(tries < 2) :: else -> skip fi }
  :: next > SWITCHES + 1 && old == 0 -> break
  od
}

active proctype hardware() {
end:
  do
  :: d_step { to_busy != NOTHING && to_shown == NOTHING -> flush_busy() }
  :: d_step { to_shown != NOTHING -> flush_shown() }
  od
}
