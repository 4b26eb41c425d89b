/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/*
 * Snapshots: shm/reader.c and shm/publisher.c, statement by statement, on a machine with store
 * buffers. Readers pin a pair of slots, read it, validate it; the publisher reserves cold slots,
 * publishes pairs, runs out of free slots, scans, revokes, is killed at any step and adopted by a
 * successor; readers are killed at any step.
 *
 *   I1 an accepted read is exactly one published pair          reader: both images
 *   I2 ids are monotonic per thread, over restarts             reader: `last`
 *   I3 a publication ends whatever readers do                  no state in which the publisher waits
 *   I4 no pinned slot is overwritten before its lease          NOT_PINNED_HOT, NOT_PINNED_COLD
 *   I5 a dead lane's slot is reusable                          scan(): all lanes dead, slots free
 *   I6 a kill at any step leaves `cur` complete, no id twice   adopt(), bind
 *
 * Abstractions. An id is its g: HOT[g], COLD[g] are the bits of the word, WANT[g] is the content of
 * the cold slot that was published with it. The publisher's own stores reach memory in order (x86),
 * so that delaying them is delaying it; only `cur` against the scan of the hazards needs a buffer of
 * its own. A reader's hazard stores wait in a first-in-first-out buffer of BUFFER. Time is a choice:
 * any lease may have expired (with REVOKE), the grace may end before lanes are handed back (TIMEOUT).
 *
 * Bounds: R readers, READS tries each, G publications, KH hot and KC cold slots, CRASHES of the
 * publisher. Faults that must be found are compiled in by the names below, marked [!].
 */
#ifndef KH
#define KH 3
#endif
#ifndef KC
#define KC 2
#endif
#ifndef R
#define R 1
#endif
#ifndef READS
#define READS 2
#endif
#ifndef TRIES /* publications that may be coalesced are tries, too */
#define TRIES (G + 1)
#endif
#ifndef G
#define G 5
#endif
#ifndef BUFFER /* hazard stores that a reader's store buffer holds: 1 or 2 */
#define BUFFER 1
#endif
#ifndef CRASHES
#define CRASHES 0
#endif
#define NONE  255
#define NEVER 255
#define IDS   (G + 1)

/* Shared memory. */
byte cur = 1;
byte hseq[KH], hcold[KH], hdata[KH]; /* hot: seq, cold_id, the image */
byte cseq[KC], cdata[KC];            /* cold: seq (the g it was bound under), the image */
byte haz[R];

/* Store buffers: of each reader for its hazard, of the publisher for cur (0: empty). */
byte sb[R], sb2[R];
byte sbn[R];
byte pcur;

/* What everybody may look up: the bits of an id. */
byte HOT[IDS], COLD[IDS], WANT[IDS];

/* The kernel's and the sidecar's knowledge of lanes. */
bool registered[R]; /* for membarrier */
bool dead[R];       /* killed */
bool watched[R];    /* in the scan list of the present sidecar */

/* Ghosts. */
byte act[R];         /* the id that a reader pinned validly; 0: none */
bool used[IDS];      /* ids that were ever stored in cur */
bool killed;         /* the sidecar is, and its successor is to take over */
bool grace;          /* slots of a dead sidecar count as pinned */
bool finished;       /* the publisher has done all it wanted */

inline drain_one(r) { haz[r] = sb[r]; sb[r] = sb2[r]; sb2[r] = 0; sbn[r]-- }
inline drain_all(r) { do :: sbn[r] > 0 -> drain_one(r) :: else -> break od }
inline put(r, v) {
  if :: sbn[r] == BUFFER -> drain_one(r) :: else -> skip fi;
  if :: sbn[r] == 0 -> sb[r] = v :: else -> sb2[r] = v fi;
  sbn[r]++
}
inline settle() { if :: pcur != 0 -> cur = pcur; pcur = 0 :: else -> skip fi }

/* ---- the publisher ------------------------------------------------------------------------- */

#define NOT_PINNED_HOT(s) \
  d_step { x = 0; do \
    :: x < R -> assert(act[x] == 0 || dead[x] || !watched[x] || HOT[act[x]] != s || hseq[s] != act[x]); x++ \
    :: else -> x = 0; break od }
#define NOT_PINNED_COLD(s) \
  d_step { x = 0; do \
    :: x < R -> assert(act[x] == 0 || dead[x] || !watched[x] || COLD[act[x]] != s || cdata[s] != WANT[act[x]] || cseq[s] == 0); x++ \
    :: else -> x = 0; break od }

/* While lanes may be about that no scan finds, every bound slot counts as pinned. */
#ifdef GRACE_FOR_OLD /* [!] only those that the dead sidecar had bound */
#define BOUND_HOT(i)  (oldh >> i & 1)
#define BOUND_COLD(j) (oldc >> j & 1)
#else
#define BOUND_HOT(i)  (hid[i] != 0)
#define BOUND_COLD(j) (first[j] != NEVER)
#endif

/* Rebuild both free lists from every hazard: publisher.c, scan(). */
inline scan() {
#ifndef GRACE_LATE /* [!] the end of the grace is looked at behind the hazards [P5] */
  d_step { if :: !grace -> wary = false :: else -> skip fi }
#endif
#ifndef NO_FENCE /* [!] the publisher's own fence; in ASYM membarrier stands for it, too */
  d_step { settle() }
#endif
#ifdef FULL
  skip;
#else
#ifndef NO_MEMBARRIER /* [!] */
  d_step { x = 0; do
    :: x < R -> if :: registered[x] -> drain_all(x) :: else -> skip fi; x++
    :: else -> x = 0; break od;
    settle() }
#endif
#endif
  freeh = (1 << KH) - 1; freec = (1 << KC) - 1;
  do
  :: x < R ->
     d_step {
       h = haz[x];
       if
       :: h != 0 && watched[x] ->
          if :: hid[HOT[h]] == h -> freeh = freeh & ~(1 << HOT[h]) :: else -> skip fi;
#ifdef HOT_PIN /* [!] the cold pin is derived through the hot slot */
          if :: hid[HOT[h]] == h && first[COLD[h]] <= h && h <= clast[COLD[h]] -> freec = freec & ~(1 << COLD[h])
#else
          if :: first[COLD[h]] <= h && h <= clast[COLD[h]] -> freec = freec & ~(1 << COLD[h])
#endif
          :: else -> skip fi
       :: else -> skip
       fi;
       h = 0; x++
     }
  :: else -> break
  od;
  x = 0;
  d_step {
#ifdef COLD_PINS_IGNORED /* [!] */
    freec = (1 << KC) - 1;
#endif
    if :: curh != NONE -> freeh = freeh & ~(1 << curh) :: else -> skip fi;
    if :: curc != NONE -> freec = freec & ~(1 << curc) :: else -> skip fi;
    if :: reserved != NONE -> freec = freec & ~(1 << reserved) :: else -> skip fi;
#ifdef GRACE_LATE
    if :: !grace -> wary = false :: else -> skip fi;
#endif
    if :: wary ->
          do :: x < KH -> if :: BOUND_HOT(x) -> freeh = freeh & ~(1 << x) :: else -> skip fi; x++ :: else -> break od;
          x = 0; do :: x < KC -> if :: BOUND_COLD(x) -> freec = freec & ~(1 << x) :: else -> skip fi; x++ :: else -> break od
       :: else -> skip fi;
    /* I5: with every lane dead and swept nothing but the current pair is taken. */
    x = 0; do :: x < R && dead[x] && !watched[x] -> x++ :: else -> break od;
    assert(x < R || wary || freeh != 0);
    x = 0
  }
}

/* A slot whose lease is over: any but the current one, when the model has leases. */
inline revoke(k, current, result) {
#ifdef REVOKE
  if :: d_step { result = (current + 1) % k; revoked = true } :: skip fi
#else
  skip
#endif
}

/* publisher.c, reserve_cold() and the writing of the half. */
inline reserve() {
  revoked = false; t = NONE;
  if :: freec == 0 -> scan() :: else -> skip fi;
  d_step {
    x = 0; do :: x < KC -> if :: t == NONE && (freec >> x & 1) -> t = x :: else -> skip fi; x++ :: else -> x = 0; break od
  }
  if :: t == NONE -> revoke(KC, curc, t) :: else -> skip fi;
  if
  :: t == NONE -> skip /* postponed */
  :: else ->
     if :: !revoked -> NOT_PINNED_COLD(t) :: else -> skip fi;
     d_step { freec = freec & ~(1 << t); reserved = t; first[t] = NEVER; clast[t] = 0; token++ }
#ifdef DATA_PASSES /* [!] streaming stores overtake seq = 0 */
     cdata[t] = token; cseq[t] = 0
#else
     cseq[t] = 0;
     cdata[t] = token
#endif
  fi
}

/* publisher.c, publish(): with the reserved cold half if there is one. */
inline publish() {
  revoked = false; s = NONE;
  if :: freeh == 0 -> scan() :: else -> skip fi;
  d_step {
    x = 0; do :: x < KH -> if :: s == NONE && (freeh >> x & 1) -> s = x :: else -> skip fi; x++ :: else -> x = 0; break od
  }
  if :: s == NONE -> revoke(KH, curh, s) :: else -> skip fi;
  if
  :: s == NONE -> skip /* coalesced */
  :: else ->
     d_step { g++; t = curc; assert(g < IDS) }
     if
     :: reserved != NONE ->
        d_step { t = reserved; first[t] = g; clast[t] = g }
        cseq[t] = g; /* [P2] */
        d_step { reserved = NONE; curc = t }
     :: else -> skip
     fi;
     if :: !revoked -> NOT_PINNED_HOT(s) :: else -> skip fi;
     d_step { clast[t] = g; freeh = freeh & ~(1 << s); hid[s] = 0 }
#ifdef DATA_PASSES
     hdata[s] = g; hseq[s] = 0; /* [!] */
#else
     hseq[s] = 0; /* [P3] */
     hdata[s] = g;
#endif
     hcold[s] = first[t];
     d_step { HOT[g] = s; COLD[g] = t; WANT[g] = cdata[t]; hid[s] = g;
#ifdef FREE_AT_ONCE /* [!] the slot that cur leaves goes into the free list without a scan */
       if :: curh != NONE -> freeh = freeh | (1 << curh) :: else -> skip fi;
#endif
       curh = s }
#ifdef CUR_FIRST /* [!] */
     d_step { settle(); assert(!used[g]); used[g] = true; pcur = g }
     d_step { settle(); hseq[s] = g }
#else
     hseq[s] = g; /* [P2] */
     d_step { settle(); assert(!used[g]); used[g] = true; pcur = g } /* [P1] [P2] */
#endif
  fi
}

/* publisher.c, adopt(): private tables from what the slots of a dead sidecar say. */
inline adopt() {
  d_step {
    killed = false; h = 0; t = 0; reserved = NONE; revoked = false; oldh = 0; oldc = 0; token = 0;
    assert(hseq[HOT[cur]] == cur && hdata[HOT[cur]] == cur);
    assert(cseq[COLD[cur]] == hcold[HOT[cur]] && cdata[COLD[cur]] == WANT[cur]);
    g = cur;
    freeh = 0; freec = 0; wary = true;
    x = 0; do
    :: x < KH ->
       hid[x] = hseq[x];
       if :: hseq[x] > g -> g = hseq[x] :: else -> skip fi;
       if :: hseq[x] != 0 -> oldh = oldh | (1 << x) :: else -> freeh = freeh | (1 << x) fi;
       x++
    :: else -> break od;
    x = 0; do
    :: x < KC ->
       if :: cseq[x] != 0 -> first[x] = cseq[x]; clast[x] = cur; oldc = oldc | (1 << x)
       :: else -> first[x] = NEVER; clast[x] = 0; freec = freec | (1 << x) fi;
       if :: cdata[x] > token -> token = cdata[x] :: else -> skip fi;
       x++
    :: else -> break od;
    /* The binding of a cold slot ends where the next one began. */
    x = 0; do
    :: x < KC ->
       s = 0; do
       :: s < KC -> if :: first[x] != NEVER && first[s] != NEVER && first[s] > first[x] && first[s] <= clast[x] -> clast[x] = first[s] - 1 :: else -> skip fi; s++
       :: else -> break od;
       x++
    :: else -> x = 0; s = 0; break od;
    curh = HOT[cur]; curc = COLD[cur];
#ifdef IDS_AGAIN /* [!] numbering begins anew */
    g = 1;
#endif
#ifdef NO_GRACE /* [!] what nobody seems to use is free */
    freeh = ((1 << KH) - 1) & ~(1 << curh); freec = ((1 << KC) - 1) & ~(1 << curc); wary = false
#endif
  }
}

proctype publisher() {
  byte g = 1, token = 1, tries = 0, x = 0, h = 0, s = 0, t = 0;
  byte hid[KH], first[KC], clast[KC];
  byte freeh, freec, oldh = 0, oldc = 0, curh = 0, curc = 0, reserved = NONE;
  bool revoked = false, wary = false;

  d_step {
    hid[0] = 1; first[0] = 1; clast[0] = 1;
    x = 1; do :: x < KC -> first[x] = NEVER; x++ :: else -> x = 0; break od;
    freeh = ((1 << KH) - 1) & ~1; freec = ((1 << KC) - 1) & ~1
  }
  do
  :: killed -> adopt()
  :: !killed && g + 1 < IDS && tries < TRIES ->
     {
       tries++;
       if :: reserved == NONE -> reserve() :: skip fi;
       publish();
       d_step { s = 0; t = 0; revoked = false }
     } unless { killed }
  :: !killed && (g + 1 >= IDS || tries >= TRIES) ->
     finished = true;
end: killed -> finished = false
  od
}

/* ---- readers ------------------------------------------------------------------------------- */

/* reader.c: pin, kernel, validate, unpin. */
proctype reader(byte r) {
  byte c = 0, k = 0, a = 0, b = 0, n = 0, last = 0;

#ifndef LATE_REGISTRATION /* [!] the hazard is stored before the kernel knows us */
  d_step { drain_all(r); registered[r] = true }
#endif
  {
  do
  :: n >= READS -> break
  :: else ->
     c = cur;
#ifdef FULL
     d_step { drain_all(r); haz[r] = c } /* exchange */
#else
     d_step { put(r, c) }
#endif
     d_step { if :: cur == c -> act[r] = c :: else -> skip fi }
     if
     :: act[r] == 0 -> skip
     :: else ->
        if :: hseq[HOT[c]] != c -> goto out :: else -> skip fi;
#ifdef LATE_COLD /* [!] the cold id is taken from the cold slot itself */
        k = cseq[COLD[c]]; if :: k == 0 -> goto out :: else -> skip fi;
#else
        k = hcold[HOT[c]];
        if :: cseq[COLD[c]] != k -> goto out :: else -> skip fi;
#endif
        a = hdata[HOT[c]];
        b = cdata[COLD[c]];
#ifndef NO_VALIDATION /* [!] */
#ifndef HOT_ONLY /* [!] */
        if :: cseq[COLD[c]] != k -> goto out :: else -> skip fi;
#endif
        if :: hseq[HOT[c]] != c -> goto out :: else -> skip fi;
#endif
        d_step { assert(a == c && b == WANT[c]); /* I1 */
                 assert(c >= last); last = c }    /* I2 */
     fi;
out: skip;
     d_step { act[r] = 0; put(r, 0); k = 0; a = 0; b = 0; c = 0 }
#ifdef LATE_REGISTRATION
     registered[r] = true;
#endif
     n++
  od;
  skip;
  d_step { drain_all(r); last = 0 }
  } unless { dead[r] -> d_step { drain_all(r); act[r] = 0; c = 0; k = 0; a = 0; b = 0; n = 0; last = 0 } }
}

/* ---- the world ----------------------------------------------------------------------------- */

/* Store buffers empty themselves whenever they like. */
proctype hardware() {
end:
  do
  :: atomic { pcur != 0 -> settle() }
  :: atomic { sbn[0] > 0 -> drain_one(0) }
#if R > 1
  :: atomic { sbn[1] > 0 -> drain_one(1) }
#endif
  :: timeout -> assert(finished); break /* I3: nobody can move, so the publisher was done */
  od
}

/* A reader dies; the sidecar learns of it later and sweeps its lane. */
proctype reaper() {
  byte r = 0;

end:
  do
  :: r < R -> if
     :: dead[r] = true; atomic { watched[r] -> watched[r] = false }
     :: skip fi; r++
  :: else -> break
  od
}

/* The sidecar dies and comes back; lanes are handed back, or the grace ends without them. */
proctype fate() {
  byte r = 0, crashes = 0;

end:
  do
  :: crashes < CRASHES ->
     crashes++;
     atomic {
       settle(); /* what it stored arrives */
       killed = true; grace = true;
       r = 0; do :: r < R -> watched[r] = false; r++ :: else -> break od
     }
     !killed;
     r = 0; do
     :: r < R -> atomic { if :: !dead[r] -> watched[r] = true :: else -> skip fi; r++ }
#ifdef TIMEOUT
     :: r < R -> break
#endif
     :: else -> break od;
     grace = false
  :: else -> break
  od
}

init {
  atomic {
    byte r = 0;

    HOT[1] = 0; COLD[1] = 0; WANT[1] = 1; used[1] = true;
    hseq[0] = 1; hcold[0] = 1; hdata[0] = 1; cseq[0] = 1; cdata[0] = 1;
    do :: r < R -> watched[r] = true; run reader(r); r++ :: else -> break od;
    run publisher();
    run hardware();
#ifdef KILL
    run reaper();
#endif
#if CRASHES > 0
    run fate();
#endif
  }
}
