/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/*
 * What the files of sona-bench share: the table of what can be measured, and the frame it is
 * measured in. An entry measures, and reports rows; it ends the program with a sentence when the
 * world is not as it must be.
 */
#ifndef SONA_PERF_BENCH_BENCH_H
#define SONA_PERF_BENCH_BENCH_H

#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "perf/bench/measure.h"
#include "perf/bench/report.h"
#include "perf/bench/roofline.h"
#include "tools/random.h"

struct sona_bench_live;

struct sona_bench {
    bool json, quick, pin;
    struct sona_bench_budget budget; /* of a comparison */
    struct sona_bench_live *live;    /* kept between entries of one shape */
    const volatile sig_atomic_t *stop;
    uint32_t rows; /* reported */
    void (*report)(struct sona_bench *bench, const struct sona_bench_row *row);
};

/* Names are paths: what, then its sizes. An entry may report rows below its own name. */
struct sona_bench_entry {
    const char *name;
    void (*run)(struct sona_bench *bench, const struct sona_bench_entry *entry);
    uint32_t a, b, c; /* sizes, as the name says */
    bool long_run;    /* takes half a minute or more: only when asked for by name, or --all */
    const char *help;
};

/* Tables of entries, one a file; each ends with a null name. */
extern const struct sona_bench_entry sona_bench_roofline_entries[];
extern const struct sona_bench_entry sona_bench_kernel_entries[];
extern const struct sona_bench_entry sona_bench_call_entries[];
extern const struct sona_bench_entry sona_bench_bank_entries[];
extern const struct sona_bench_entry sona_bench_learner_entries[];
extern const struct sona_bench_entry sona_bench_publish_entries[];
extern const struct sona_bench_entry sona_bench_visible_entries[];
extern const struct sona_bench_entry sona_bench_tail_entries[];
extern const struct sona_bench_entry sona_bench_host_entries[];
extern const struct sona_bench_entry sona_bench_claim_entries[];
extern const struct sona_bench_entry sona_bench_trace_entries[];

/* End the program: exit code 1 and a sentence. */
__attribute__((noreturn, format(printf, 1, 2))) void sona_bench_die(const char *format, ...);

/* Memory that is there and cleared, aligned to 128 bytes. */
void *sona_bench_memory(size_t bytes);
/* `n` unit vectors of `dim` floats. */
float *sona_bench_vectors(uint32_t n, uint32_t dim, uint64_t seed);

/* Compare side 0 with side 1 (null: measure it alone), pinned, and report it as `name`; the result
 * of side 0 in *ret (may be null). */
void sona_bench_compare(struct sona_bench *bench, const char *name,
                        const struct sona_bench_side *own, const struct sona_bench_side *floor,
                        struct sona_bench_row *ret);
void sona_bench_report_value(struct sona_bench *bench, const char *name, const char *unit,
                             double value, const char *note);

#endif
