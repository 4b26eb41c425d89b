/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/* What to say of words that are no command of sonactl. */
#ifndef SONA_TOOLS_TYPED_H
#define SONA_TOOLS_TYPED_H

/* Each prints one sentence to stderr, and ends the program with 2. `typed` has n words. */

/* The command that was meant, if one is near, or what may follow the first word. */
_Noreturn void sona_tools_typed_refuse(char *const typed[], int n);
/* After these words came what is no option, but a number below 0. */
_Noreturn void sona_tools_typed_refuse_dash(char *const typed[], int n);

#endif
