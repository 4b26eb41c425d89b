/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/*
 * SQLite's files: the layer of tests/sidecar/store/faulty.h, which knows what a disk would hold,
 * and above it who has them open, so that a death closes them, and a yield at every write, sync and
 * lock, so that others run in between and deaths come there. The layer's random numbers and clock
 * are the world's.
 */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <sqlite3.h>

#include "sidecar/store/store.h"
#include "tests/sidecar/store/faulty.h"
#include "tests/sim/world.h"
#include "tests/sim/wraps.h"

#define OPEN_MAX 64u

struct opened {
    sqlite3_file *file;
    uint32_t process;
};

static struct opened opened[OPEN_MAX];
static uint32_t n_opened;
static const sqlite3_io_methods *below;
static sqlite3_io_methods methods;
static int (*open_below)(sqlite3_vfs *vfs, const char *name, sqlite3_file *file, int flags,
                         int *ret);

static int x_close(sqlite3_file *file)
{
    for (uint32_t i = 0; i < n_opened; i++)
        if (opened[i].file == file)
            opened[i] = opened[--n_opened];
    return below->xClose(file);
}

static int x_write(sqlite3_file *file, const void *bytes, int n, sqlite3_int64 at)
{
    sim_yield();
    int rc = below->xWrite(file, bytes, n, at);
    sim_note("write", (uint64_t)at, (uint64_t)n);
    sim_yield();
    return rc;
}

static int x_sync(sqlite3_file *file, int flags)
{
    sim_yield();
    int rc = sim.plant == SIM_PLANT_unsynced ? SQLITE_OK : below->xSync(file, flags);
    sim_note("sync", (uint64_t)rc, 0);
    sim_yield();
    return rc;
}

static int x_open(sqlite3_vfs *vfs, const char *name, sqlite3_file *file, int flags, int *ret)
{
    int rc = open_below(vfs, name, file, flags, ret);

    if (rc != SQLITE_OK || !file->pMethods)
        return rc;
    below = file->pMethods;
    methods = *below;
    methods.xClose = x_close;
    methods.xWrite = x_write;
    methods.xSync = x_sync;
    file->pMethods = &methods;
    if (n_opened == OPEN_MAX)
        abort();
    opened[n_opened++] = (struct opened){file, sim_process_current()};
    return rc;
}

static int x_randomness(sqlite3_vfs *vfs, int n, char *ret)
{
    (void)vfs;
    return (int)__wrap_getrandom(ret, (size_t)n, 0);
}

static int x_sleep(sqlite3_vfs *vfs, int us)
{
    (void)vfs;
    sim_sleep((uint64_t)us * 1000);
    return us;
}

static int x_time(sqlite3_vfs *vfs, sqlite3_int64 *ret)
{
    (void)vfs;
    *ret = (sqlite3_int64)((sim.wall_ns + sim.now_ns) / SIM_MS) + 210866760000000ll;
    return SQLITE_OK;
}

void sim_disk_init(void)
{
    /* One thread: no lock of its own that a dead task might hold, and no sums of memory. */
    (void)sqlite3_config(SQLITE_CONFIG_SINGLETHREAD);
    (void)sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0);
    (void)sqlite3_initialize();
    faulty_reset();
    sqlite3_vfs *vfs = sqlite3_vfs_find(FAULTY_VFS);

    open_below = vfs->xOpen;
    vfs->xOpen = x_open;
    vfs->xRandomness = x_randomness;
    vfs->xSleep = x_sleep;
    vfs->xCurrentTimeInt64 = x_time;
    (void)sqlite3_vfs_register(vfs, 1);
}

void sim_disk_close(uint32_t process)
{
    for (uint32_t i = n_opened; i-- > 0;)
        if (opened[i].process == process) {
            sqlite3_file *file = opened[i].file;

            opened[i] = opened[--n_opened];
            (void)below->xShmUnmap(file, 0);
            (void)below->xClose(file);
        }
}

/* What lies in memory is gone, and of the intake log on a disk any page may be missing. */
static void forget(void)
{
    static const char *const ends[] = {"sock", "ctl", "lock", "lanes", "arena", "db-shm", "intake"};
    static const uint8_t zeros[4096];
    bool torn = dice_below(&sim.story, 3) == 0;
    char path[160];

    for (size_t i = 0; i < sizeof ends / sizeof ends[0]; i++) {
        (void)snprintf(path, sizeof path, "%s/%s.%s", sim.dir, sim.instance, ends[i]);
        if (!torn || strcmp(ends[i], "intake") != 0) {
            (void)unlink(path);
            continue;
        }
        FILE *file = fopen(path, "r+b");
        for (long page = 0; file && page < 64; page++) /* more is never used here */
            if (dice_below(&sim.story, 8) == 0 &&
                (fseek(file, page * (long)sizeof zeros, SEEK_SET) != 0 ||
                 fwrite(zeros, sizeof zeros, 1, file) != 1))
                break;
        if (file)
            (void)fclose(file);
    }
    (void)snprintf(path, sizeof path, "/dev/shm/sona.%s.model", sim.instance);
    (void)unlink(path);
}

void sim_disk_cut(void)
{
    uint32_t own = sim_process_current();

    sim_note("power", 0, 0);
    for (uint32_t p = 1; p < sim.n_processes; p++)
        if (p != own)
            sim_process_kill(p);
    if (own != SIM_WORLD)
        sim_disk_close(own);
    faulty_restore(&sim.story);
    faulty_reset();
    forget();
    if (own != SIM_WORLD)
        sim_process_kill(own);
}

void sim_disk_cut_after(uint64_t n, void (*told)(void))
{
    faulty_on_cut(told);
    faulty_cut_after(n);
}

void sim_disk_error(uint32_t error)
{
    sim_note("disk", error, 0);
    faulty_set((enum faulty_error)error);
}
