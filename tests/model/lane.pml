/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/*
 * A lane: one producer, the sidecar's drain, both killed at any step, indices that wrap, and a
 * client that may write anything into its own words. shm/ring.c, sidecar/intake.c (visit,
 * give_back, settle_lanes), sidecar/recall.c, sidecar/clients.c (resume_lanes).
 *
 *   I7 each committed record is taken once and in order, a torn one never; a lane can be drained
 *      after its producer died at any step, and a full ring refuses instead of waiting
 *   I9 whatever p_tail says, the drain reads inside the ring, and takes no more than it holds
 *
 * The counters are of W values here and of 2^32 in the code, with the cursor's upper half beside
 * them; SLOTS slots. A record is its sequence number, written in two words. The arena is what
 * survives a kill of the sidecar: `arena` is the sequence that it has next. Kills of the sidecar
 * lose `c`, the private cursor; `ledger` and `c_head` stay.
 *
 * RECORDS are committed at most, the sidecar is killed CRASHES times. HOSTILE: p_tail may be
 * anything. Faults that must be found are marked [!].
 */
#ifndef SLOTS
#define SLOTS 4
#endif
#ifndef W
#define W 8
#endif
#ifndef RECORDS
#define RECORDS 9
#endif
#ifndef CRASHES
#define CRASHES 1
#endif
#ifndef BATCH
#define BATCH 2
#endif
#define MASK    (SLOTS - 1)
#define AHEAD(a, b) ((a + W - b) % W) /* a - b as the code's unsigned arithmetic has it */

/* Shared: the ring. */
byte c_head = 0, p_tail = 0;
byte low[SLOTS], high[SLOTS]; /* the two words of each record */

/* Durable: file of the runtime directory, and the arena. */
byte ledger = 0, arena = 0;

/* Ghosts. */
byte committed = 0; /* records whose p_tail store is done */
byte doubled = 0;
bool killed = false, hostile = false, quarantined = false, over = false;

/* The client: ring.c reserve and commit, and the record in between. Dies at any step (KILL). */
active proctype producer() {
  byte n = 0;

  {
    do
    :: n < RECORDS && AHEAD(p_tail + 1, c_head) % SLOTS != 0 && !hostile ->
#ifdef COMMIT_FIRST /* [!] p_tail is stored before the record is written */
       p_tail = (p_tail + 1) % W; committed++;
       low[n % SLOTS] = n; high[n % SLOTS] = n;
#else
       low[n % SLOTS] = n;
       high[n % SLOTS] = n;
       d_step { p_tail = (p_tail + 1) % W; committed++ } /* [R1] */
#endif
       n++
    :: n < RECORDS && AHEAD(p_tail + 1, c_head) % SLOTS == 0 && !hostile -> skip /* full: dropped, counted */
    :: n == RECORDS -> break
#ifdef HOSTILE
    :: d_step { hostile = true; p_tail = 0 }
       do :: p_tail < W - 1 -> p_tail++ :: break od; break
#endif
    od
  } unless { over };
  over = true
}

#ifdef KILL
active proctype reaper() {
  if :: over = true :: skip fi
}
#endif

inline take(seq, slot) {
#ifdef NO_MASK /* [!] the index is believed */
  assert(slot < SLOTS);
#endif
  a = low[slot]; b = high[slot];
  if
  :: hostile -> skip
  :: else -> assert(a == seq && b == seq) /* whole, and in its order */
  fi
}

/* The sidecar. */
active proctype drain() {
  byte c = 0, k = 0, n = 0, ready = 0, a = 0, b = 0, crashes = 0;

again: skip;
  /* resume: the arena has what was taken; then c_head against the cursor. */
#ifndef LEDGER_ALONE /* [!] what the arena has is not looked at */
  d_step { if :: arena > ledger -> ledger = arena :: else -> skip fi }
#endif
  d_step {
    c = ledger; k = 0; n = 0; a = 0; b = 0;
    if
    :: AHEAD(c % W, c_head) > MASK -> quarantined = true
    :: else -> c_head = c % W
    fi
  }
  {
    do
    :: quarantined -> break
    :: !quarantined ->
       d_step { ready = AHEAD(p_tail, c % W); k = 0 }
       if
#ifndef TAIL_BELIEVED /* [!] p_tail is not checked against the size of the ring */
       :: ready > MASK -> d_step { assert(hostile); quarantined = true; ready = 0 }
#endif
       :: else -> skip
       fi;
       assert(ready <= MASK); /* I9 */
       d_step { n = (ready < BATCH -> ready : BATCH); ready = 0 }
#ifdef HEAD_FIRST /* [!] slots are given back before they are copied */
       c_head = (c + n) % W;
#endif
#ifdef CURSOR_FIRST /* [!] the cursor moves before the records are in the arena */
       ledger = c + n;
#endif
       do
       :: k < n ->
#ifdef NO_MASK
          take(c + k, (c % W + k));
#else
          take(c + k, ((c + k) & MASK));
#endif
          d_step {
            assert(hostile || c + k < committed);
            if :: c + k < arena -> doubled++ :: c + k > arena -> assert(false) :: else -> arena = c + k + 1 fi;
            assert(doubled == 0);
            k++; a = 0; b = 0
          }
       :: k == n -> break
       od;
       skip;
       ledger = c + n;          /* drain_taken .. drain_noted */
       d_step { c = c + n; c_head = c % W; n = 0; k = 0 } /* [R3] */
       assert(c <= RECORDS + W);
       if
       :: hostile && c + MASK + 1 > RECORDS + SLOTS -> break /* it may feed us for ever; enough */
       :: else -> skip
       fi;
       if
       :: over && !hostile && c == committed -> break
       :: else -> skip
       fi
    od
  } unless { killed };
  if
  :: killed -> d_step { killed = false; crashes++ } goto again
  :: !killed && (quarantined || hostile || (over && c == committed)) -> skip
  fi;
  /* Drained after every death: nothing that was committed is left behind. */
  assert(hostile || (!quarantined && arena == committed))
}

active proctype fate() {
  byte n = 0;

end:
  do
  :: n < CRASHES -> n++; killed = true; !killed
  :: break
  od
}
