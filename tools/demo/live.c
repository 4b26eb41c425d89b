/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
#include "tools/demo/live.h"

#include <string.h>

#include "tools/sample.h"

#define REDRAW_NS   80000000u
#define PLAIN_LINES 12u
#define FRAME_ROWS  (SONA_DEMO_CURVE_ROWS + 6) /* a terminal must have them to be redrawn */

#define CURSOR_HIDE "\033[?25l"
#define CURSOR_SHOW "\033[?25h"

bool sona_demo_live_init(struct sona_demo_live *ret, uint32_t length, const char *what,
                         const struct sona_demo_level *levels, uint32_t n_levels, bool silent)
{
    memset(ret, 0, sizeof *ret);
    sona_tools_terminal_init(&ret->terminal, stdout);
    if (ret->terminal.rows < FRAME_ROWS)
        ret->terminal.tty = false;
    ret->silent = silent;
    ret->what = what;
    ret->start_ns = sona_tools_now_ns();
    return sona_demo_curve_init(&ret->curve, length, levels, n_levels);
}

void sona_demo_live_done(struct sona_demo_live *live)
{
    sona_demo_curve_done(&live->curve);
}

/* Heading, curve and status, over the last ones. */
static void draw(struct sona_demo_live *live, uint64_t now)
{
    FILE *out = live->terminal.out;
    char done[SONA_TOOLS_GROUPED_MAX], length[SONA_TOOLS_GROUPED_MAX], rate[SONA_TOOLS_GROUPED_MAX];
    double seconds = (double)(now - live->start_ns) / 1e9;

    if (live->lines > 0)
        fprintf(out, "\033[%uA\r", live->lines);
    fprintf(out, "  %s, mean of the last %u%s\n", live->what, SONA_DEMO_WINDOW,
            live->terminal.tty ? "\033[K" : "");
    live->lines = 1 + sona_demo_curve_draw(&live->curve, &live->terminal);
    if (!live->terminal.tty)
        return;
    fprintf(out, "  %s of %s feedbacks, now %.1f %%, %s a second\033[K\n",
            sona_tools_grouped(live->curve.done, done),
            sona_tools_grouped(live->curve.length, length),
            100 * sona_demo_curve_at(&live->curve, live->curve.done),
            sona_tools_grouped(seconds > 0 ? (uint64_t)(live->curve.done / seconds) : 0, rate));
    live->lines++;
    (void)fflush(out);
}

static void plain(struct sona_demo_live *live)
{
    char done[SONA_TOOLS_GROUPED_MAX];
    uint32_t every = live->curve.length / PLAIN_LINES > 0 ? live->curve.length / PLAIN_LINES : 1;

    if (live->curve.done < live->next_plain + every)
        return;
    live->next_plain = live->curve.done / every * every;
    fprintf(live->terminal.out, "  %10s feedbacks   %s %5.1f %%\n",
            sona_tools_grouped(live->curve.done, done), live->what,
            100 * sona_demo_curve_at(&live->curve, live->curve.done));
    (void)fflush(live->terminal.out);
}

void sona_demo_live_step(void *arg, const struct sona_replay_step *step)
{
    struct sona_demo_live *live = arg;
    uint64_t now;

    if (live->curve.done == 0)
        live->start_ns = sona_tools_now_ns();
    sona_demo_curve_add(&live->curve, step->reward);
    if (live->silent)
        return;
    if (!live->terminal.tty) {
        plain(live);
        return;
    }
    now = sona_tools_now_ns();
    if (now - live->drawn_ns < REDRAW_NS)
        return;
    if (live->drawn_ns == 0)
        fputs(CURSOR_HIDE, live->terminal.out);
    live->drawn_ns = now;
    draw(live, now);
}

void sona_demo_live_finish(struct sona_demo_live *live)
{
    if (live->silent)
        return;
    if (!live->terminal.tty)
        fputc('\n', live->terminal.out);
    draw(live, sona_tools_now_ns());
    if (live->drawn_ns != 0)
        fputs(CURSOR_SHOW, live->terminal.out);
    (void)fflush(live->terminal.out);
}
