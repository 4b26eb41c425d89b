/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/*
 * Whose record it is: lane memories that are issued, drained, handed back over a restart of the
 * sidecar, offered by those they were not issued to. sidecar/clients.c (issue, judge_old,
 * take_back), sidecar/ledger.h.
 *
 *   I7 no record is taken twice, also when a memory is offered twice
 *   I8 a record is never attributed to another client
 *
 * Clients are 1 (honest; it may have a forked child, which goes on writing into the memory after its
 * parent ended) and 2 (hostile; another user, with SAME_USER the same one, which is trusted not to
 * pass on descriptors). A memory is an inode: MEMORIES of them, 0 is none.
 * Identities are copied at will: a hostile client writes any into a memory of its own. A record is
 * who wrote it. Faults that must be found are marked [!].
 */
#define MEMORIES 5
#define CLIENTS  3 /* 0: nobody */
#ifndef STEPS
#define STEPS 9
#endif

/* Memories: who wrote the records that wait, how many were written; what the first page says. */
byte author[MEMORIES], written[MEMORIES], says[MEMORIES];
/* The ledger, one entry for a memory: identity (= its number), inode, uid; the durable cursor. */
byte issued_to[MEMORIES], cursor[MEMORIES], inode[MEMORIES];
bool known[MEMORIES], in_use[MEMORIES];
/* Attachments of the present sidecar: of a client, to a memory (inode), under an entry. */
byte holder[4], memory[4], entry[4];
/* What clients have. */
byte has[CLIENTS]; /* the memory that it may hand back; 0: none */
byte child = 0;    /* the memory that a child of client 1 still writes to */
byte fresh = 1, steps = 0;

#ifdef ANY_USER /* [!] */
#define RIGHT_USER true
#elif defined(SAME_USER)
#define RIGHT_USER true
#else
#define RIGHT_USER (issued_to[e] == c)
#endif
#ifdef ANY_INODE /* [!] */
#define RIGHT_INODE true
#else
#define RIGHT_INODE (inode[e] == f)
#endif
#ifdef ANY_USE /* [!] */
#define NOT_IN_USE true
#else
#define NOT_IN_USE (!in_use[e])
#endif

/* A new memory for client c in attachment at. */
inline issue(c, at) {
#ifdef REUSED /* [!] a memory whose client ended is given to the next */
  m = 1; do :: m < fresh && in_use[m] -> m++ :: else -> break od;
  if :: m == fresh -> fresh++ :: else -> written[m] = 0; cursor[m] = 0 fi;
#else
  m = fresh; fresh++;
#endif
  says[m] = m; inode[m] = m; issued_to[m] = c; known[m] = true; in_use[m] = true;
  author[m] = c;
  holder[at] = c; memory[at] = m; entry[at] = m; has[c] = m
}

/* Client c offers memory f: judge_old(), then take_back(), else another one. */
inline offer(c, f, at) {
  e = says[f];
  if
  :: known[e] && RIGHT_USER && RIGHT_INODE && NOT_IN_USE -> in_use[e] = true; holder[at] = c; memory[at] = f; entry[at] = e
  :: else -> if :: fresh < MEMORIES -> issue(c, at) :: else -> skip fi
  fi
}

active proctype world() {
  byte m = 0, e = 0, at = 0, f = 0;

  do
  :: steps < STEPS ->
     steps++;
     if
     /* clients write */
     :: has[1] != 0 && written[has[1]] < 2 -> d_step { author[has[1]] = 1; written[has[1]]++ }
     :: has[2] != 0 && written[has[2]] < 2 -> d_step { author[has[2]] = 2; written[has[2]]++ }
     :: child != 0 && written[child] < 2 -> d_step { author[child] = 1; written[child]++ }
     /* a hostile one copies an identity into its own memory */
     :: has[2] != 0 && has[1] != 0 -> d_step { says[has[2]] = has[1] }
     /* attach: with what one has, or, hostile, once more with what is in use */
     :: d_step { at = 0; do :: at < 4 && holder[at] != 0 -> at++ :: else -> break od };
        if
        :: at < 4 && fresh < MEMORIES && has[1] == 0 -> d_step { issue(1, at) }
        :: at < 4 && fresh < MEMORIES && has[2] == 0 -> d_step { issue(2, at) }
        :: at < 4 && has[1] != 0 && !in_use[has[1]] -> d_step { f = has[1]; offer(1, f, at) }
        :: at < 4 && has[2] != 0 -> d_step { f = has[2]; offer(2, f, at) }
#ifndef SAME_USER
        :: at < 4 && has[1] != 0 -> d_step { f = has[1]; offer(2, f, at) } /* somebody gave it the descriptor */
#endif
        :: else -> skip
        fi
     /* drain: an attachment's records, by its own view of the ring */
     :: at = 0;
        do
        :: at < 4 ->
           d_step {
             if
             :: holder[at] != 0 && cursor[entry[at]] < written[memory[at]] ->
                assert(author[memory[at]] == holder[at]);   /* I8 */
                assert(issued_to[entry[at]] == holder[at]); /* and its uid */
                cursor[entry[at]] = written[memory[at]]
             :: else -> skip
             fi;
             at++
           }
        :: at == 4 -> break
        od
     /* two attachments to one memory would each take what is there */
     :: d_step {
          m = 1; do :: m < MEMORIES ->
             e = 0; at = 0; do :: at < 4 -> if :: holder[at] != 0 && memory[at] == m -> e++ :: else -> skip fi; at++ :: else -> break od;
             assert(e <= 1); /* I7 */
             m++
          :: else -> break od; m = 0; e = 0; at = 0 }
     /* client 1 ends, its child goes on */
     :: has[1] != 0 -> d_step { child = has[1];
          at = 0; do :: at < 4 -> if :: holder[at] == 1 -> holder[at] = 0; in_use[entry[at]] = false; known[entry[at]] = false :: else -> skip fi; at++ :: else -> break od;
          has[1] = 0 }
     /* the sidecar is killed: attachments go, ledger and cursors stay */
     :: d_step { at = 0; do :: at < 4 -> if :: holder[at] != 0 -> in_use[entry[at]] = false; holder[at] = 0 :: else -> skip fi; at++ :: else -> break od; at = 0 }
     fi;
     skip;
     d_step { m = 0; e = 0; f = 0; at = 0 }
  :: steps == STEPS -> break
  od
}
