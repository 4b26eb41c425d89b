/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/*
 * Calls of the C library that fail when a test says so: the linker's --wrap turns every call of
 * them in the test's program to here. Not those that a shared library makes. tests/failing has each
 * call of a whole program fail once; here a test chooses which one, and with what.
 */
#ifndef SONA_TESTS_SUPPORT_WRAPPED_H
#define SONA_TESTS_SUPPORT_WRAPPED_H

/* The next calls of `name`: `pass` go through, then `times` fail with `error`, then all go through.
 * Forgets what was said of it before. Where the call itself returns an error, it returns this one;
 * syscall() with `error` 0 returns 0: "nothing is supported". */
void wrapped_fail(const char *name, unsigned pass, unsigned times, int error);
/* After `pass` calls of `name`, and just before the next, `rival` is called, once: what another
 * process may do at that moment. */
void wrapped_race(const char *name, unsigned pass, void (*rival)(void));
/* Failures of `name` that were handed out since; 0 means that the code under test did not call. */
unsigned wrapped_failed(const char *name);

#endif
