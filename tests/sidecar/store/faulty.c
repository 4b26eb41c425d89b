/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/* See faulty.h. */
#include "tests/sidecar/store/faulty.h"

#include <assert.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <sqlite3.h>

#define FILES_MAX 8
#define SECTOR    512

#define CHECKPOINT_LOCK 1 /* of the WAL index: sqlite.org/walformat.html, 2.3.2 */

/* A write, or, without bytes, a truncation to `at`. */
struct change {
    struct change *next;
    uint64_t at, n;
    uint8_t bytes[];
};

/* What the disk holds of one file. */
struct image {
    char path[512];
    uint8_t *bytes; /* as of the last sync */
    uint64_t n;
    struct change *first, **last; /* since */
    bool removed, synced;
};

struct file {
    sqlite3_file base;
    struct image *image; /* null: not watched */
    bool wal;
    sqlite3_file *real;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* of everything below */
static struct image images[FILES_MAX];
static sqlite3_vfs *real_vfs, vfs;
static sqlite3_io_methods methods;
static enum faulty_error error;
static uint64_t operations, refusals, cut_at = UINT64_MAX;
static bool is_cut;
static void (*told_of_cut)(void);

static void forget_changes(struct image *image)
{
    while (image->first) {
        struct change *change = image->first;

        image->first = change->next;
        free(change);
    }
    image->last = &image->first;
}

static void resize(struct image *image, uint64_t n)
{
    if (n > image->n) {
        image->bytes = realloc(image->bytes, n);
        assert(image->bytes);
        memset(image->bytes + image->n, 0, n - image->n);
    }
    image->n = n;
}

static void apply(struct image *image, const struct change *change, uint64_t from, uint64_t n)
{
    if (change->at + from + n > image->n)
        resize(image, change->at + from + n);
    memcpy(image->bytes + change->at + from, change->bytes + from, n);
}

/* Count an operation; false: the power is gone. `image` and the rest: what it does. */
static bool count(struct image *image, const void *bytes, uint64_t at, uint64_t n, bool change)
{
    if (is_cut)
        return false;
    operations++;
    if (image && change) {
        struct change *c = malloc(sizeof *c + n);

        assert(c);
        *c = (struct change){.at = at, .n = n};
        if (n > 0)
            memcpy(c->bytes, bytes, n);
        *image->last = c;
        image->last = &c->next;
    }
    is_cut = operations >= cut_at;
    if (is_cut && told_of_cut)
        told_of_cut();
    return !is_cut;
}

/* --- methods of a file ------------------------------------------------------------------------ */

static sqlite3_file *real_of(sqlite3_file *file)
{
    return ((struct file *)file)->real;
}

static int x_close(sqlite3_file *file)
{
    return real_of(file)->pMethods->xClose(real_of(file));
}

/* Whether `what` is set: then it is a refusal. */
static bool refuses(enum faulty_error what)
{
    (void)pthread_mutex_lock(&lock);
    bool ret = error == what;
    refusals += ret;
    (void)pthread_mutex_unlock(&lock);
    return ret;
}

static int x_read(sqlite3_file *file, void *to, int n, sqlite3_int64 at)
{
    if (((struct file *)file)->wal && refuses(FAULTY_READ_WAL))
        return SQLITE_IOERR_READ;
    return real_of(file)->pMethods->xRead(real_of(file), to, n, at);
}

static int x_write(sqlite3_file *file, const void *bytes, int n, sqlite3_int64 at)
{
    struct image *image = ((struct file *)file)->image;
    sqlite3_int64 size = 0;
    int rc = SQLITE_OK;

    (void)pthread_mutex_lock(&lock);
    if (error == FAULTY_FULL) {
        (void)real_of(file)->pMethods->xFileSize(real_of(file), &size);
        rc = at + n > size ? SQLITE_FULL : SQLITE_OK;
    } else if (error == FAULTY_WRITE) {
        rc = SQLITE_IOERR_WRITE;
        refusals++;
    } else if (error == FAULTY_READ_ONLY) {
        rc = SQLITE_READONLY;
    }
    if (rc == SQLITE_OK && !count(image, bytes, (uint64_t)at, (uint64_t)n, true))
        rc = SQLITE_IOERR_WRITE;
    (void)pthread_mutex_unlock(&lock);
    return rc == SQLITE_OK ? real_of(file)->pMethods->xWrite(real_of(file), bytes, n, at) : rc;
}

static int x_truncate(sqlite3_file *file, sqlite3_int64 size)
{
    (void)pthread_mutex_lock(&lock);
    bool on = count(((struct file *)file)->image, NULL, (uint64_t)size, 0, true);
    (void)pthread_mutex_unlock(&lock);
    return on ? real_of(file)->pMethods->xTruncate(real_of(file), size) : SQLITE_IOERR_TRUNCATE;
}

/* SQLite syncs the directory with the first sync of a new WAL: what was removed stays removed. */
static void settle_removals(void)
{
    for (int i = 0; i < FILES_MAX; i++)
        if (images[i].removed) {
            forget_changes(&images[i]);
            images[i].n = 0;
            images[i].synced = false;
        }
}

static int x_sync(sqlite3_file *file, int flags)
{
    struct image *image = ((struct file *)file)->image;
    int rc = SQLITE_OK;

    (void)flags;
    (void)pthread_mutex_lock(&lock);
    if (error == FAULTY_SYNC || error == FAULTY_SYNC_LOST || !count(image, NULL, 0, 0, false))
        rc = SQLITE_IOERR_FSYNC;
    if (error == FAULTY_SYNC_LOST && image)
        forget_changes(image); /* the kernel calls those pages clean */
    if (rc == SQLITE_OK && image) {
        for (struct change *c = image->first; c; c = c->next) {
            if (c->n > 0)
                apply(image, c, 0, c->n);
            else
                resize(image, c->at);
        }
        forget_changes(image);
        if (!image->synced && ((struct file *)file)->wal)
            settle_removals();
        image->synced = true;
    }
    (void)pthread_mutex_unlock(&lock);
    return rc;
}

static int x_file_size(sqlite3_file *file, sqlite3_int64 *size)
{
    return real_of(file)->pMethods->xFileSize(real_of(file), size);
}

static int x_lock(sqlite3_file *file, int level)
{
    return real_of(file)->pMethods->xLock(real_of(file), level);
}

static int x_unlock(sqlite3_file *file, int level)
{
    return real_of(file)->pMethods->xUnlock(real_of(file), level);
}

static int x_check_lock(sqlite3_file *file, int *held)
{
    return real_of(file)->pMethods->xCheckReservedLock(real_of(file), held);
}

static int x_control(sqlite3_file *file, int op, void *argument)
{
    return real_of(file)->pMethods->xFileControl(real_of(file), op, argument);
}

static int x_sector(sqlite3_file *file)
{
    (void)file;
    return SECTOR;
}

static int x_device(sqlite3_file *file)
{
    (void)file;
    return 0; /* nothing promised: writes may tear */
}

static int x_shm_map(sqlite3_file *file, int page, int size, int extend, void volatile **ret)
{
    return real_of(file)->pMethods->xShmMap(real_of(file), page, size, extend, ret);
}

static int x_shm_lock(sqlite3_file *file, int offset, int n, int flags)
{
    if (offset == CHECKPOINT_LOCK && (flags & SQLITE_SHM_LOCK) != 0 && refuses(FAULTY_BUSY))
        return SQLITE_BUSY;
    return real_of(file)->pMethods->xShmLock(real_of(file), offset, n, flags);
}

static void x_shm_barrier(sqlite3_file *file)
{
    real_of(file)->pMethods->xShmBarrier(real_of(file));
}

static int x_shm_unmap(sqlite3_file *file, int remove)
{
    return real_of(file)->pMethods->xShmUnmap(real_of(file), remove);
}

/* --- methods of the layer --------------------------------------------------------------------- */

/* What is there when the layer first sees the file is on the disk. */
static void read_disk(struct image *image)
{
    FILE *file = fopen(image->path, "rb");
    struct stat st;

    if (!file)
        return;
    if (fstat(fileno(file), &st) == 0 && st.st_size > 0) {
        resize(image, (uint64_t)st.st_size);
        image->synced = fread(image->bytes, 1, image->n, file) == image->n;
        assert(image->synced);
    }
    (void)fclose(file);
}

static struct image *image_of(const char *path)
{
    struct image *free_one = NULL;

    for (int i = 0; i < FILES_MAX; i++) {
        if (strcmp(images[i].path, path) == 0)
            return &images[i];
        if (!images[i].path[0] && !free_one)
            free_one = &images[i];
    }
    assert(free_one);
    (void)snprintf(free_one->path, sizeof free_one->path, "%s", path);
    free_one->last = &free_one->first;
    read_disk(free_one);
    return free_one;
}

static int x_open(sqlite3_vfs *self, const char *name, sqlite3_file *file, int flags, int *ret)
{
    struct file *f = (struct file *)file;

    (void)self;
    *f = (struct file){.real = (sqlite3_file *)(f + 1)};
    f->real->pMethods = NULL;
    int rc = real_vfs->xOpen(real_vfs, name, f->real, flags, ret);
    if (rc != SQLITE_OK)
        return rc;
    f->base.pMethods = &methods;
    if (name && (flags & (SQLITE_OPEN_MAIN_DB | SQLITE_OPEN_WAL)) != 0) {
        (void)pthread_mutex_lock(&lock);
        f->image = image_of(name);
        f->image->removed = false;
        f->wal = (flags & SQLITE_OPEN_WAL) != 0;
        (void)pthread_mutex_unlock(&lock);
    }
    return SQLITE_OK;
}

static int x_delete(sqlite3_vfs *self, const char *name, int sync)
{
    (void)self;
    (void)pthread_mutex_lock(&lock);
    struct image *image = image_of(name);
    bool on = count(NULL, NULL, 0, 0, false);
    if (on)
        image->removed = true; /* until the directory is synced it may come back */
    (void)pthread_mutex_unlock(&lock);
    return on ? real_vfs->xDelete(real_vfs, name, sync) : SQLITE_IOERR_DELETE;
}

/* --- the tests' side -------------------------------------------------------------------------- */

static void install(void)
{
    real_vfs = sqlite3_vfs_find(NULL);
    vfs = *real_vfs;
    vfs.zName = FAULTY_VFS;
    vfs.szOsFile = (int)sizeof(struct file) + real_vfs->szOsFile;
    vfs.xOpen = x_open;
    vfs.xDelete = x_delete;
    methods = (sqlite3_io_methods){.iVersion = 2,
                                   .xClose = x_close,
                                   .xRead = x_read,
                                   .xWrite = x_write,
                                   .xTruncate = x_truncate,
                                   .xSync = x_sync,
                                   .xFileSize = x_file_size,
                                   .xLock = x_lock,
                                   .xUnlock = x_unlock,
                                   .xCheckReservedLock = x_check_lock,
                                   .xFileControl = x_control,
                                   .xSectorSize = x_sector,
                                   .xDeviceCharacteristics = x_device,
                                   .xShmMap = x_shm_map,
                                   .xShmLock = x_shm_lock,
                                   .xShmBarrier = x_shm_barrier,
                                   .xShmUnmap = x_shm_unmap};
    (void)sqlite3_vfs_register(&vfs, 0);
}

void faulty_reset(void)
{
    if (!real_vfs)
        install();
    for (int i = 0; i < FILES_MAX; i++) {
        forget_changes(&images[i]);
        free(images[i].bytes);
        images[i] = (struct image){.last = &images[i].first};
    }
    error = FAULTY_NONE;
    operations = 0;
    cut_at = UINT64_MAX;
    is_cut = false;
}

void faulty_set(enum faulty_error to)
{
    (void)pthread_mutex_lock(&lock);
    error = to;
    refusals = 0;
    (void)pthread_mutex_unlock(&lock);
}

void faulty_cut_after(uint64_t n)
{
    (void)pthread_mutex_lock(&lock);
    cut_at = n == UINT64_MAX ? n : operations + n;
    (void)pthread_mutex_unlock(&lock);
}

void faulty_on_cut(void (*told)(void))
{
    (void)pthread_mutex_lock(&lock);
    told_of_cut = told;
    (void)pthread_mutex_unlock(&lock);
}

bool faulty_is_cut(void)
{
    (void)pthread_mutex_lock(&lock);
    bool cut = is_cut;
    (void)pthread_mutex_unlock(&lock);
    return cut;
}

uint64_t faulty_refusals(void)
{
    (void)pthread_mutex_lock(&lock);
    uint64_t n = refusals;
    (void)pthread_mutex_unlock(&lock);
    return n;
}

uint64_t faulty_operations(void)
{
    (void)pthread_mutex_lock(&lock);
    uint64_t n = operations;
    (void)pthread_mutex_unlock(&lock);
    return n;
}

/* What the disk made of the writes that were not synced. */
static void survive(struct image *image, struct dice *dice)
{
    for (struct change *c = image->first; c; c = c->next) {
        uint32_t fate = dice_below(dice, 3);

        if (fate == 0)
            continue;
        if (c->n == 0) {
            resize(image, c->at);
            continue;
        }
        for (uint64_t at = 0; at < c->n; at += SECTOR) {
            uint64_t n = c->n - at < SECTOR ? c->n - at : SECTOR;

            if (fate == 1 || dice_below(dice, 2) == 0)
                apply(image, c, at, n);
        }
    }
}

void faulty_restore(struct dice *dice)
{
    for (int i = 0; i < FILES_MAX; i++) {
        struct image *image = &images[i];
        bool gone;

        if (!image->path[0])
            continue;
        survive(image, dice);
        gone = (image->removed || !image->synced) && image->n == 0;
        if (image->removed && dice_below(dice, 2) == 0)
            gone = true;
        (void)unlink(image->path);
        if (gone)
            continue;
        FILE *file = fopen(image->path, "wb");
        assert(file);
        assert(image->n == 0 || fwrite(image->bytes, 1, image->n, file) == image->n);
        (void)fchmod(fileno(file), 0600);
        (void)fclose(file);
    }
}
