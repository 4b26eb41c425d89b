/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/*
 * The canvas is a grid of dots, 2 x 4 in a character with Braille, 1 x 1 without. One layer for the
 * level lines, one for the curve; a character with both shows the curve.
 */
#include "tools/demo/curve.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define DOTS_X_MAX    (2 * SONA_DEMO_CURVE_WIDTH)
#define DOTS_Y_MAX    (4 * SONA_DEMO_CURVE_ROWS)
#define AXIS_COLUMNS  8u /* " 60 % | " */
#define LABEL_COLUMNS 24u
#define TICK          0.1 /* the axis ends on a multiple of it */

#define COLOUR_CURVE "\033[1;32m"
#define COLOUR_LEVEL "\033[2m"
#define COLOUR_END   "\033[0m"

struct canvas {
    uint32_t columns, dots_per_column, dots_per_row;
    uint32_t width, height; /* in dots */
    bool curve[DOTS_Y_MAX][DOTS_X_MAX];
    bool level[DOTS_Y_MAX][DOTS_X_MAX];
};

bool sona_demo_curve_init(struct sona_demo_curve *ret, uint32_t length,
                          const struct sona_demo_level *levels, uint32_t n_levels)
{
    struct sona_demo_curve curve = {.length = length, .n_levels = n_levels};
    double low = INFINITY, high = 0;

    curve.sum = calloc((size_t)length + 1, sizeof *curve.sum);
    if (curve.sum == NULL || n_levels > SONA_DEMO_LEVELS_MAX)
        return false;
    for (uint32_t i = 0; i < n_levels; i++) {
        curve.level[i] = levels[i];
        low = levels[i].value < low ? levels[i].value : low;
        high = levels[i].value > high ? levels[i].value : high;
    }
    /* Room to climb: where the levels are low, up to twice the higher; where they are high, a
     * little more than it, and the axis does not begin at 0. It grows when it is too little. */
    curve.low = isfinite(low) && low > 3 * TICK ? floor(low / TICK - 0.5) * TICK : 0;
    high = curve.low > 0 ? high + TICK / 2 : fmin(2 * high, high + 3 * TICK);
    curve.high = ceil(high / TICK - 1e-9) * TICK;
    if (curve.high < curve.low + 2 * TICK)
        curve.high = curve.low + 2 * TICK;
    *ret = curve;
    return true;
}

void sona_demo_curve_done(struct sona_demo_curve *curve)
{
    free(curve->sum);
    memset(curve, 0, sizeof *curve);
}

double sona_demo_curve_mean(const struct sona_demo_curve *curve, uint32_t from, uint32_t to)
{
    return to > from ? (curve->sum[to] - curve->sum[from]) / (to - from) : (double)NAN;
}

double sona_demo_curve_at(const struct sona_demo_curve *curve, uint32_t t)
{
    return sona_demo_curve_mean(curve, t > SONA_DEMO_WINDOW ? t - SONA_DEMO_WINDOW : 0, t);
}

void sona_demo_curve_add(struct sona_demo_curve *curve, double reward)
{
    double now;

    if (curve->done == curve->length)
        return;
    curve->sum[curve->done + 1] = curve->sum[curve->done] + reward;
    curve->done++;
    now = sona_demo_curve_at(curve, curve->done);
    /* A mean over a few rewards jumps: it moves the axis only when it is one over many. */
    if (curve->done < SONA_DEMO_WINDOW)
        return;
    while (now > curve->high + TICK / 100)
        curve->high += TICK;
    while (now < curve->low - TICK / 100)
        curve->low -= TICK;
}

/* The row of dots for a value, from the top; clamped to the canvas. */
static uint32_t dot_row(const struct sona_demo_curve *curve, const struct canvas *canvas,
                        double value)
{
    double share = (value - curve->low) / (curve->high - curve->low);
    double row = (1 - share) * (canvas->height - 1);

    return row < 0 ? 0 : row > canvas->height - 1 ? canvas->height - 1 : (uint32_t)lround(row);
}

static void plot_levels(const struct sona_demo_curve *curve, struct canvas *canvas)
{
    for (uint32_t i = 0; i < curve->n_levels; i++) {
        uint32_t y = dot_row(curve, canvas, curve->level[i].value);

        for (uint32_t x = 0; x < canvas->width; x++)
            canvas->level[y][x] = canvas->dots_per_column == 1 || x % 4 < 2;
    }
}

/* A dot for each place of the axis that was reached, and the dots between it and the one before. */
static void plot_curve(const struct sona_demo_curve *curve, struct canvas *canvas)
{
    uint32_t before = 0;

    for (uint32_t x = 0; x < canvas->width; x++) {
        uint32_t t = (uint32_t)((uint64_t)(x + 1) * curve->length / canvas->width);
        uint32_t y, from, to;

        if (t == 0 || t > curve->done)
            continue;
        y = dot_row(curve, canvas, sona_demo_curve_at(curve, t));
        from = x > 0 && before < y ? before + 1 : y;
        to = x > 0 && before > y ? before - 1 : y;
        for (uint32_t dot = from; dot <= to; dot++)
            canvas->curve[dot][x] = true;
        before = y;
    }
}

/* The character of one cell, and which layer it shows: ' ' nothing, 'l' levels, 'c' the curve. */
static char cell_layer(const struct canvas *canvas, uint32_t row, uint32_t column, uint32_t *mask)
{
    static const uint8_t dot_bit[4][2] = {{0x01, 0x08}, {0x02, 0x10}, {0x04, 0x20}, {0x40, 0x80}};
    uint32_t curve = 0, level = 0;

    for (uint32_t dy = 0; dy < canvas->dots_per_row; dy++)
        for (uint32_t dx = 0; dx < canvas->dots_per_column; dx++) {
            uint32_t y = row * canvas->dots_per_row + dy;
            uint32_t x = column * canvas->dots_per_column + dx;

            curve |= canvas->curve[y][x] ? dot_bit[dy][dx] : 0u;
            level |= canvas->level[y][x] ? dot_bit[dy][dx] : 0u;
        }
    *mask = curve != 0 ? curve : level;
    return curve != 0 ? 'c' : level != 0 ? 'l' : ' ';
}

/* Write a Braille character (U+2800 + mask) in UTF-8. */
static void put_braille(FILE *out, uint32_t mask)
{
    fputc(0xe2, out);
    fputc((int)(0xa0 | mask >> 6), out);
    fputc((int)(0x80 | (mask & 0x3f)), out);
}

static void put_cell(const struct sona_tools_terminal *terminal, char layer, uint32_t mask)
{
    const char *colour = layer == 'c' ? COLOUR_CURVE : COLOUR_LEVEL;

    if (layer == ' ') {
        fputc(' ', terminal->out);
        return;
    }
    if (terminal->colour)
        fputs(colour, terminal->out);
    if (terminal->unicode)
        put_braille(terminal->out, mask);
    else
        fputc(layer == 'c' ? '*' : '-', terminal->out);
    if (terminal->colour)
        fputs(COLOUR_END, terminal->out);
}

/* The label of a level whose line runs through this row of text; else where the curve is now. */
static void put_label(const struct sona_demo_curve *curve, const struct canvas *canvas,
                      const struct sona_tools_terminal *terminal, uint32_t row)
{
    for (uint32_t i = 0; i < curve->n_levels; i++) {
        uint32_t y = dot_row(curve, canvas, curve->level[i].value);

        if (y / canvas->dots_per_row == row) {
            fprintf(terminal->out, " %s %.1f %%", curve->level[i].label,
                    100 * curve->level[i].value);
            return;
        }
    }
    if (curve->done > 0) {
        double now = sona_demo_curve_at(curve, curve->done);

        if (dot_row(curve, canvas, now) / canvas->dots_per_row == row)
            fprintf(terminal->out,
                    terminal->colour ? COLOUR_CURVE " %.1f %%" COLOUR_END : " %.1f %%", 100 * now);
    }
}

/* Print the tick of the axis that falls into this row of text, if one does. */
static void put_tick(const struct sona_demo_curve *curve, const struct canvas *canvas,
                     const struct sona_tools_terminal *terminal, uint32_t row)
{
    double spacing = curve->high - curve->low > 3.5 * TICK ? TICK : TICK / 2;

    for (int i = 0; i <= (int)lround((curve->high - curve->low) / spacing); i++) {
        double tick = curve->low + i * spacing;

        if (dot_row(curve, canvas, tick) / canvas->dots_per_row == row) {
            fprintf(terminal->out, "%5.0f %%%s", 100 * tick, terminal->unicode ? "\u2524" : "+");
            return;
        }
    }
    fprintf(terminal->out, "       %s", terminal->unicode ? "\u2502" : "|");
}

static void put_row(const struct sona_demo_curve *curve, const struct canvas *canvas,
                    const struct sona_tools_terminal *terminal, uint32_t row)
{
    put_tick(curve, canvas, terminal, row);
    for (uint32_t column = 0; column < canvas->columns; column++) {
        uint32_t mask = 0;
        char layer = cell_layer(canvas, row, column, &mask);

        put_cell(terminal, layer, mask);
    }
    put_label(curve, canvas, terminal, row);
    fprintf(terminal->out, "%s\n", terminal->tty ? "\033[K" : "");
}

/* The lower axis: its line, and queries at its ends and in the middle. */
static void put_axis(const struct sona_demo_curve *curve, const struct canvas *canvas,
                     const struct sona_tools_terminal *terminal)
{
    char middle[SONA_TOOLS_GROUPED_MAX], end[SONA_TOOLS_GROUPED_MAX];
    int half = (int)canvas->columns / 2;

    fprintf(terminal->out, "       %s", terminal->unicode ? "\u2514" : "+");
    for (uint32_t column = 0; column < canvas->columns; column++)
        fputs(terminal->unicode ? "\u2500" : "-", terminal->out);
    fprintf(terminal->out, "%s\n", terminal->tty ? "\033[K" : "");
    (void)sona_tools_grouped(curve->length / 2, middle);
    (void)sona_tools_grouped(curve->length, end);
    fprintf(terminal->out, "        %-*s%-*s%s queries%s\n", half - (int)strlen(middle) / 2, "0",
            (int)canvas->columns - half - (int)strlen(end) + (int)strlen(middle) / 2, middle, end,
            terminal->tty ? "\033[K" : "");
}

uint32_t sona_demo_curve_draw(const struct sona_demo_curve *curve,
                              const struct sona_tools_terminal *terminal)
{
    struct canvas *canvas = calloc(1, sizeof *canvas);
    uint32_t columns = terminal->columns - AXIS_COLUMNS - LABEL_COLUMNS;

    if (canvas == NULL)
        return 0;
    canvas->columns = columns < SONA_DEMO_CURVE_WIDTH ? columns : SONA_DEMO_CURVE_WIDTH;
    canvas->dots_per_column = terminal->unicode ? 2 : 1;
    canvas->dots_per_row = terminal->unicode ? 4 : 1;
    canvas->width = canvas->columns * canvas->dots_per_column;
    canvas->height = SONA_DEMO_CURVE_ROWS * canvas->dots_per_row;
    plot_levels(curve, canvas);
    plot_curve(curve, canvas);
    for (uint32_t row = 0; row < SONA_DEMO_CURVE_ROWS; row++)
        put_row(curve, canvas, terminal, row);
    put_axis(curve, canvas, terminal);
    free(canvas);
    return SONA_DEMO_CURVE_ROWS + 2;
}
