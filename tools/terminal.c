/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
#include "tools/terminal.h"

#include <langinfo.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "tools/sample.h"

#define BAR_CELLS   30
#define REDRAW_NS   50000000u
#define COLUMNS_MIN 40u
#define COLUMNS_MAX 400u

void sona_tools_terminal_init(struct sona_tools_terminal *ret, FILE *out)
{
    const char *term = getenv("TERM"), *no_colour = getenv("NO_COLOR");
    struct winsize size = {0};
    bool smart = term != NULL && term[0] != '\0' && strcmp(term, "dumb") != 0;

    *ret = (struct sona_tools_terminal){.out = out, .columns = 80, .rows = 24};
    ret->tty = smart && isatty(fileno(out));
    ret->unicode = strcmp(nl_langinfo(CODESET), "UTF-8") == 0;
    ret->colour = ret->tty && (no_colour == NULL || no_colour[0] == '\0');
    if (ret->tty && ioctl(fileno(out), TIOCGWINSZ, &size) == 0 && size.ws_col >= COLUMNS_MIN &&
        size.ws_col <= COLUMNS_MAX)
        ret->columns = size.ws_col;
    if (ret->tty && size.ws_row > 0)
        ret->rows = size.ws_row;
}

void sona_tools_terminal_bar(struct sona_tools_terminal *terminal, const char *label, uint32_t done,
                             uint32_t total, const char *note)
{
    uint64_t now = sona_tools_now_ns();
    uint32_t full = total > 0 ? (uint32_t)((uint64_t)done * BAR_CELLS / total) : 0;

    if (!terminal->tty || (now - terminal->drawn_ns < REDRAW_NS && done < total))
        return;
    terminal->drawn_ns = now;
    fprintf(terminal->out, "\r%s ", label);
    for (uint32_t i = 0; i < BAR_CELLS; i++)
        fputs(terminal->unicode ? (i < full ? "\u2588" : "\u2591") : (i < full ? "#" : "."),
              terminal->out);
    fprintf(terminal->out, " %3u %%  %s\033[K",
            total > 0 ? (uint32_t)((uint64_t)done * 100 / total) : 0, note);
    (void)fflush(terminal->out);
}

void sona_tools_terminal_wipe(struct sona_tools_terminal *terminal)
{
    if (!terminal->tty)
        return;
    fputs("\r\033[K", terminal->out);
    (void)fflush(terminal->out);
}

const char *sona_tools_grouped(uint64_t value, char *ret)
{
    char digits[24];
    int n = snprintf(digits, sizeof digits, "%llu", (unsigned long long)value);
    char *to = ret;

    for (int i = 0; i < n; i++) {
        if (i > 0 && (n - i) % 3 == 0)
            *to++ = ',';
        *to++ = digits[i];
    }
    *to = '\0';
    return ret;
}

const char *sona_tools_duration(double ns, char *ret)
{
    if (isnan(ns))
        (void)snprintf(ret, SONA_TOOLS_DURATION_MAX, "-");
    else if (ns < 1000)
        (void)snprintf(ret, SONA_TOOLS_DURATION_MAX, "%.0f ns", ns);
    else if (ns < 1e6)
        (void)snprintf(ret, SONA_TOOLS_DURATION_MAX, ns < 1e5 ? "%.1f us" : "%.0f us", ns / 1e3);
    else
        (void)snprintf(ret, SONA_TOOLS_DURATION_MAX, ns < 1e8 ? "%.1f ms" : "%.0f ms", ns / 1e6);
    return ret;
}
