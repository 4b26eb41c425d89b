/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/*
 * Why every thread has a ring of its own: the ring with several producers that it is not. A producer
 * reserves by p_head, writes, and commits when all before it have committed. One that is killed in
 * between wedges every other for ever. This model must fail, or, with ALIVE, must not: nobody dies.
 */
#define PRODUCERS 2
byte p_head = 0, p_tail = 0, done = 0;

proctype producer(byte me; byte records) {
  byte at = 0, n = 0;

  do
  :: n < records ->
     d_step { at = p_head; p_head++ } /* reserve: a compare-and-swap that succeeded */
#ifndef ALIVE
     if :: skip :: me == 1 -> goto killed fi;
#endif
     p_tail == at;                    /* all before it */
     d_step { p_tail++; n++ }         /* commit */
  :: else -> break
  od;
killed:
  done++
}

active proctype watch() {
  timeout -> assert(done == PRODUCERS) /* nobody can move: all are through */
}

init { atomic { run producer(1, 2); run producer(2, 3) } }
