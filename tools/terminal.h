/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/*
 * What the terminal can do, and one line of progress on it. Without a terminal nothing is drawn.
 * Call setlocale(LC_CTYPE, "") first: the character set decides what is drawn with.
 */
#ifndef SONA_TOOLS_TERMINAL_H
#define SONA_TOOLS_TERMINAL_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

struct sona_tools_terminal {
    FILE *out;
    bool tty; /* a terminal that can redraw */
    bool unicode;
    bool colour; /* a terminal, and NO_COLOR is not set */
    uint32_t columns, rows;
    uint64_t drawn_ns; /* when the bar was drawn last */
};

void sona_tools_terminal_init(struct sona_tools_terminal *ret, FILE *out);

/* Draw "label ████░░░░ 42 %  note" over itself, at most 20 times a second. */
void sona_tools_terminal_bar(struct sona_tools_terminal *terminal, const char *label, uint32_t done,
                             uint32_t total, const char *note);
/* Wipe the bar. */
void sona_tools_terminal_wipe(struct sona_tools_terminal *terminal);

/* "12,345" into `ret` (at least 27 bytes); returned for use in a call. */
const char *sona_tools_grouped(uint64_t value, char *ret);
#define SONA_TOOLS_GROUPED_MAX 32

/* "45 ns", "1.2 us", "3.4 ms", or "-" for NaN. */
const char *sona_tools_duration(double ns, char *ret);
#define SONA_TOOLS_DURATION_MAX 32

#endif
