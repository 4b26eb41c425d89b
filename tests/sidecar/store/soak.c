/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/*
 * Load with retention: what the second half needs of file, WAL and memory is what the first half
 * needed. It says nothing about speed: a slow disk only gets fewer records.
 *
 * usage: soak [SECONDS]     20 by default; TAP on stdout
 */
#include <dirent.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sidecar/store/store.h"
#include "tests/stress/tap.h"

#define DIM         256u
#define RETAIN      (24u << 20)
#define WAL         (4u << 20)
#define STATE_BYTES 500000u
#define PER_SECOND  20000u

/* The most that was seen, in bytes. */
struct peak {
    uint64_t resident, database, wal, used;
};

struct soak {
    char dir[64];
    struct sona_store *store;
    uint64_t appended, generations;
    float x[DIM];
    uint8_t state[STATE_BYTES];
};

static uint64_t file_bytes(const struct soak *s, const char *name)
{
    char path[128];
    struct stat st;

    (void)snprintf(path, sizeof path, "%s/%s", s->dir, name);
    return stat(path, &st) == 0 ? (uint64_t)st.st_size : 0;
}

static void measure(const struct soak *s, struct peak *peak)
{
    struct sona_store_stats stats;
    unsigned long pages = 0;
    FILE *file = fopen("/proc/self/statm", "r");
    struct peak now = {.database = file_bytes(s, "soak.db"), .wal = file_bytes(s, "soak.db-wal")};

    if (file) {
        if (fscanf(file, "%*u %lu", &pages) != 1)
            pages = 0;
        (void)fclose(file);
    }
    now.resident = pages * (uint64_t)sysconf(_SC_PAGESIZE);
    sona_store_stats(s->store, &stats);
    now.used = stats.used_bytes;
    peak->resident = now.resident > peak->resident ? now.resident : peak->resident;
    peak->database = now.database > peak->database ? now.database : peak->database;
    peak->wal = now.wal > peak->wal ? now.wal : peak->wal;
    peak->used = now.used > peak->used ? now.used : peak->used;
}

static bool append(struct soak *s)
{
    struct sona_store_record r = {.kind = SONA_STORE_outcome,
                                  .lane = {{1, 1}},
                                  .lane_seq = s->appended,
                                  .id = s->appended,
                                  .quality = 0.5f,
                                  .x = s->x,
                                  .x_n = DIM};
    sona_err err;

    s->x[s->appended % DIM] += 0.5f;
    while ((err = sona_store_append(s->store, &r, 1, NULL)) == SONA_E_FULL)
        (void)usleep(1000);
    s->appended += err == SONA_OK;
    return err == SONA_OK;
}

/* Load until a time; a generation whenever retention asks for one. */
static bool load(struct soak *s, uint64_t until_ms, struct peak *peak)
{
    struct sona_store_stats stats;
    sona_diag diag;

    for (uint64_t now; (now = tap_now_ms()) < until_ms;) {
        for (uint32_t i = 0; i < PER_SECOND / 50; i++)
            if (!append(s))
                return false;
        sona_store_stats(s->store, &stats);
        if (stats.generation_due) {
            if (sona_store_generation_save(s->store, s->appended, s->state, sizeof s->state, false,
                                           NULL, &diag) != SONA_OK)
                return false;
            s->generations++;
        }
        measure(s, peak);
        uint64_t took = tap_now_ms() - now;
        if (took < 20) /* the pace of the load */
            (void)usleep((useconds_t)(20 - took) * 1000);
    }
    return true;
}

static void clear(const struct soak *s)
{
    char command[128];

    (void)snprintf(command, sizeof command, "rm -rf '%s'", s->dir);
    (void)!system(command);
}

static bool start(struct soak *s)
{
    struct sona_store_options options = {.instance = "soak",
                                         .state_dir = s->dir,
                                         .durability = SONA_STORE_INTERVAL,
                                         .intake_bytes = SONA_STORE_INTAKE_MIN,
                                         .wal_bytes = WAL,
                                         .retain_bytes = RETAIN,
                                         .generations = 2,
                                         .sample = 0.05f};
    sona_diag diag;

    (void)snprintf(s->dir, sizeof s->dir, "/tmp/sona-soak-XXXXXX");
    if (!mkdtemp(s->dir))
        return false;
    if (sona_store_open(&s->store, &options, &diag) == SONA_OK)
        return true;
    (void)printf("# %s\n", diag.text);
    return false;
}

static void tell(void *context, const char *text)
{
    (void)context;
    (void)printf("# %s\n", text);
}

int main(int argc, char **argv)
{
    uint64_t ms = 1000 * (argc > 1 ? strtoull(argv[1], NULL, 10) : 20), begin;
    static struct soak s;
    struct peak first = {0}, second = {0};
    struct sona_store_stats stats;
    struct tap tap = {0};
    uint32_t findings = 1;
    sona_diag diag;

    if (!start(&s)) {
        tap_ok(&tap, false, "a store opens");
        return tap_done(&tap);
    }
    begin = tap_now_ms();
    bool taken = load(&s, begin + ms / 2, &first) && load(&s, begin + ms, &second);
    sona_store_stats(s.store, &stats);
    (void)printf("# %llu records, %llu generations, %llu thinned, %llu removed; file %llu then "
                 "%llu, used %llu then %llu, WAL %llu then %llu, resident %llu then %llu bytes\n",
                 (unsigned long long)s.appended, (unsigned long long)s.generations,
                 (unsigned long long)stats.rows_thinned, (unsigned long long)stats.rows_removed,
                 (unsigned long long)first.database, (unsigned long long)second.database,
                 (unsigned long long)first.used, (unsigned long long)second.used,
                 (unsigned long long)first.wal, (unsigned long long)second.wal,
                 (unsigned long long)first.resident, (unsigned long long)second.resident);
    tap_ok(&tap, taken, "every record and generation is taken");
    tap_ok(&tap, s.appended * DIM * sizeof(float) > 2ull * RETAIN,
           "more was written than retention keeps");
    tap_ok(&tap, stats.rows_removed > 0, "retention removed rows");
    tap_ok(&tap, second.database <= 3ull * RETAIN, "the file stays within three times the limit");
    tap_ok(&tap, second.database <= first.database + RETAIN, "the file stays as it was");
    /* It grows while a checkpoint waits for the disk. */
    tap_ok(&tap, second.wal <= 2 * first.wal + 8ull * WAL, "the WAL stays short");
    tap_ok(&tap, second.resident <= first.resident + (4u << 20), "memory stays as it was");
    tap_ok(&tap,
           sona_store_check(s.store, tell, NULL, &findings, &diag) == SONA_OK && findings == 0,
           "nothing is found wrong");
    sona_store_close(&s.store);
    clear(&s);
    return tap_done(&tap);
}
