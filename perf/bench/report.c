/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
#include "perf/bench/report.h"

#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "tools/terminal.h"

#define DIGITS 6

static double unknown(void)
{
    return (double)NAN;
}

static void empty(struct sona_bench_row *ret, const char *name, const char *unit)
{
    *ret = (struct sona_bench_row){.unit = unit, .iterations = 1, .block = 1};
    ret->min = ret->p50 = ret->p90 = ret->p99 = unknown();
    ret->p999 = ret->p9999 = ret->max = unknown();
    ret->floor_min = ret->floor_p50 = ret->ratio = ret->low = ret->high = unknown();
    (void)snprintf(ret->name, sizeof ret->name, "%s", name);
}

void sona_bench_row_value(struct sona_bench_row *ret, const char *name, const char *unit,
                          double value, const char *note)
{
    empty(ret, name, unit);
    ret->min = ret->p50 = ret->p90 = ret->p99 = value;
    if (note)
        (void)snprintf(ret->note, sizeof ret->note, "%s", note);
}

void sona_bench_row_times(struct sona_bench_row *ret, const char *name,
                          const struct sona_bench_histogram *h, double per_ns, uint32_t block,
                          bool tails)
{
    empty(ret, name, "ns");
    ret->min = sona_bench_histogram_percentile(h, 0) / per_ns;
    ret->p50 = sona_bench_histogram_percentile(h, 0.5) / per_ns;
    ret->p90 = sona_bench_histogram_percentile(h, 0.9) / per_ns;
    ret->p99 = sona_bench_histogram_percentile(h, 0.99) / per_ns;
    if (tails) {
        ret->p999 = sona_bench_histogram_percentile(h, 0.999) / per_ns;
        ret->p9999 = sona_bench_histogram_percentile(h, 0.9999) / per_ns;
        ret->max = sona_bench_histogram_percentile(h, 1) / per_ns;
    }
    ret->iterations = h->count * block;
    ret->block = block;
}

void sona_bench_row_compared(struct sona_bench_row *ret, const char *name,
                             const struct sona_bench_measured *own, const char *what,
                             const struct sona_bench_measured *floor)
{
    sona_bench_row_times(ret, name, &own->ps, 1000, own->block, false);
    if (floor == NULL)
        return;
    ret->floor_what = what;
    ret->floor_min = sona_bench_histogram_percentile(&floor->ps, 0) / 1000;
    ret->floor_p50 = sona_bench_histogram_percentile(&floor->ps, 0.5) / 1000;
    ret->ratio = floor->ratio;
    ret->low = floor->low;
    ret->high = floor->high;
}

/* JSON has no NaN: what is not known is left out. */
static void set(json_t *object, const char *key, double value)
{
    if (isfinite(value))
        (void)json_object_set_new(object, key, json_real(value));
}

void sona_bench_print_json(FILE *out, const struct sona_bench_row *row)
{
    json_t *root = json_pack("{s:s, s:s}", "name", row->name, "unit", row->unit);

    set(root, "min", row->min);
    set(root, "p50", row->p50);
    set(root, "p90", row->p90);
    set(root, "p99", row->p99);
    set(root, "p999", row->p999);
    set(root, "p9999", row->p9999);
    set(root, "max", row->max);
    (void)json_object_set_new(root, "iterations", json_integer((json_int_t)row->iterations));
    (void)json_object_set_new(root, "block", json_integer(row->block));
    if (row->floor_what) {
        json_t *floor = json_pack("{s:s}", "what", row->floor_what);

        set(floor, "min", row->floor_min);
        set(floor, "p50", row->floor_p50);
        (void)json_object_set_new(root, "floor", floor);
        set(root, "ratio", row->ratio);
        if (isfinite(row->low) && isfinite(row->high))
            (void)json_object_set_new(root, "ratio_95", json_pack("[f, f]", row->low, row->high));
        if (row->ratio > 0)
            set(root, "fraction", 1 / row->ratio);
    }
    if (strcmp(row->unit, "ns") == 0 && row->p50 > 0)
        set(root, "per_s", 1e9 / row->p50);
    if (row->note[0] != '\0')
        (void)json_object_set_new(root, "note", json_string(row->note));
    char *text = json_dumps(root, JSON_REAL_PRECISION(DIGITS));

    if (text)
        (void)fprintf(out, "%s\n", text);
    (void)fflush(out);
    free(text);
    json_decref(root);
}

/* A number in its unit, for people. */
static const char *shown(const struct sona_bench_row *row, double value, char *ret, size_t size)
{
    char grouped[SONA_TOOLS_GROUPED_MAX];

    if (isnan(value))
        (void)snprintf(ret, size, "-");
    else if (strcmp(row->unit, "ns") == 0 && value < 100)
        (void)snprintf(ret, size, "%.1f ns", value);
    else if (strcmp(row->unit, "ns") == 0)
        return sona_tools_duration(value, ret);
    else if (value >= 1000)
        (void)snprintf(ret, size, "%s %s", sona_tools_grouped((uint64_t)(value + 0.5), grouped),
                       row->unit);
    else
        (void)snprintf(ret, size, "%.3g %s", value, row->unit);
    return ret;
}

void sona_bench_print_table(FILE *out, const struct sona_bench_row *row, bool first)
{
    char text[5][2 * SONA_TOOLS_DURATION_MAX];
    const double value[] = {row->min, row->p50, row->p99, row->floor_p50};

    if (first)
        (void)fprintf(out, "%-34s %11s %11s %11s %11s  %s\n", "", "least", "p50", "p99", "floor",
                      "times the floor");
    for (int i = 0; i < 4; i++)
        (void)shown(row, value[i], text[i], sizeof text[i]);
    (void)fprintf(out, "%-34s %11s %11s %11s %11s", row->name, text[0], text[1], text[2], text[3]);
    if (row->floor_what)
        (void)fprintf(out, "  %.2f (%.2f to %.2f) %s", row->ratio, row->low, row->high,
                      row->floor_what);
    else if (row->note[0] != '\0')
        (void)fprintf(out, "  %s", row->note);
    (void)fputc('\n', out);
    (void)fflush(out);
}
