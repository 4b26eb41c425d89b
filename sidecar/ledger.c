/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/*
 * See ledger.h. The file is one struct, mapped shared: what a killed process stored last is what
 * the next one reads. An entry is valid from the store of its state on; its issue has a checksum.
 * The file is allocated whole, its pages are mapped as they are used.
 * The atomics order nothing between processes, which never live at the same time, and little within
 * one: each word has one writer. Relaxed, where nothing else is said.
 */
#include "sidecar/ledger.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <sona/client.h>

#include "shm/diag.h"

#define MAGIC   0x31474c414e4f53ull /* "SONALG1" */
#define ENTRIES SONA_SIDECAR_LEDGER_MAX

enum { FREE, ISSUED };

struct entry {
    struct sona_sidecar_issue issue;
    uint32_t crc; /* of the issue */
    uint32_t reserved;
    uint64_t number; /* issues are numbered, to find the oldest */
    _Atomic uint64_t cursor[SONA_LANES_MAX];
};

struct file {
    uint64_t magic;
    uint32_t entry_bytes, entries;
    _Atomic uint64_t g;
    uint64_t gone; /* taken from lanes that are forgotten */
    /* Side by side, so that no page of an entry is touched that is not in use. */
    _Atomic uint32_t state[ENTRIES];
    struct entry entry[ENTRIES];
};

struct sona_sidecar_ledger {
    struct file *file;
    char *path;
    bool in_use[ENTRIES];                           /* by this process */
    _Atomic uint64_t expected[UINT16_MAX / 64 + 1]; /* bit per tag: may still be handed back */
    uint32_t waiting;
    uint64_t taken, number;
};

static uint32_t crc_of(const struct sona_sidecar_issue *issue)
{
    return sona_shm_crc32c(issue, sizeof *issue);
}

static bool is_issued(const struct sona_sidecar_ledger *l, int k)
{
    return atomic_load_explicit(&l->file->state[k], memory_order_relaxed) == ISSUED;
}

static uint64_t taken_from(const struct entry *e)
{
    uint64_t n = 0;

    for (uint32_t lane = 0; lane < e->issue.n_lanes; lane++)
        n += atomic_load_explicit(&e->cursor[lane], memory_order_relaxed);
    return n;
}

static void expect(struct sona_sidecar_ledger *l, uint32_t tag, bool yes)
{
    uint64_t bit = UINT64_C(1) << tag % 64;
    uint64_t word = atomic_load_explicit(&l->expected[tag / 64], memory_order_relaxed);

    atomic_store_explicit(&l->expected[tag / 64], yes ? word | bit : word & ~bit,
                          memory_order_relaxed);
}

static bool issue_ok(const struct entry *e)
{
    const struct sona_sidecar_issue *i = &e->issue;

    return e->crc == crc_of(i) && i->tag != 0 && i->tag <= UINT16_MAX && i->n_lanes > 0 &&
           i->n_lanes <= SONA_LANES_MAX;
}

/* What an earlier sidecar left: free what is not whole, and count. */
static void load(struct sona_sidecar_ledger *l)
{
    struct file *f = l->file;

    l->taken = f->gone;
    for (int k = 0; k < (int)ENTRIES; k++) {
        const struct entry *e = &f->entry[k];

        if (is_issued(l, k) && !issue_ok(e))
            atomic_store_explicit(&f->state[k], FREE, memory_order_relaxed);
        if (!is_issued(l, k))
            continue;
        l->waiting++;
        l->taken += taken_from(e);
        if (e->number > l->number)
            l->number = e->number;
        expect(l, e->issue.tag, true);
    }
}

static bool is_of_this_version(const struct file *f)
{
    return f->magic == MAGIC && f->entry_bytes == sizeof(struct entry) && f->entries == ENTRIES;
}

static sona_err refused(const char *path, const char *what, sona_diag *reterr)
{
    int e = errno;

    return sona_shm_diag_set(
        reterr, e == EACCES || e == EPERM || e == EROFS ? SONA_E_PERMISSION : SONA_E_SYSTEM, e,
        "cannot %s %s, where drained lanes are noted; remove it, or choose "
        "another --runtime-dir",
        what, path);
}

/* The opened file, of the right size and owner; a stranger's is refused. */
static sona_err open_file(const char *path, int *ret_fd, bool *ret_fresh, sona_diag *reterr)
{
    int fd = open(path, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
    struct stat st;

    if (fd < 0)
        return refused(path, "open", reterr);
    errno = 0;
    if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode) || st.st_uid != geteuid()) {
        sona_err err = refused(path, "use", reterr);

        (void)close(fd);
        return err;
    }
    *ret_fresh = st.st_size != (off_t)sizeof(struct file);
    if (*ret_fresh) {
        int e = ftruncate(fd, 0) != 0 ? errno : posix_fallocate(fd, 0, sizeof(struct file));

        if (e != 0) {
            errno = e;
            sona_err err = refused(path, "allocate", reterr);

            (void)close(fd);
            return err;
        }
    }
    *ret_fd = fd;
    return SONA_OK;
}

sona_err sona_sidecar_ledger_open(struct sona_sidecar_ledger **ret, const char *path,
                                  sona_diag *reterr)
{
    struct sona_sidecar_ledger *l = calloc(1, sizeof *l);
    int fd = -1;
    bool fresh = false;

    if (!l || !(l->path = strdup(path))) {
        free(l);
        return sona_shm_diag_set(reterr, SONA_E_MEMORY, errno, "no memory for the lanes' ledger");
    }
    sona_err err = open_file(path, &fd, &fresh, reterr);
    if (err == SONA_OK) {
        void *map = mmap(NULL, sizeof(struct file), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

        if (map == MAP_FAILED)
            err = refused(path, "map", reterr);
        else
            l->file = map;
        (void)close(fd);
    }
    if (err != SONA_OK) {
        if (fresh) /* half made, and nothing of anybody in it */
            (void)unlink(path);
        free(l->path);
        free(l);
        return err;
    }
    struct file *f = l->file;
    if (fresh || !is_of_this_version(f)) {
        memset(f, 0, offsetof(struct file, entry));
        f->entry_bytes = sizeof(struct entry);
        f->entries = ENTRIES;
        f->magic = MAGIC;
    }
    load(l);
    *ret = l;
    return SONA_OK;
}

struct sona_sidecar_ledger *sona_sidecar_ledger_look(const char *path)
{
    int fd = open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    struct sona_sidecar_ledger *l = calloc(1, sizeof *l);
    struct stat st = {.st_size = 0};
    void *map = MAP_FAILED;

    if (fd >= 0 && fstat(fd, &st) == 0 && st.st_size == (off_t)sizeof(struct file))
        map = mmap(NULL, sizeof(struct file), PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
    if (fd >= 0)
        (void)close(fd);
    if (l && map != MAP_FAILED && is_of_this_version(map)) {
        l->file = map;
        load(l);
        return l;
    }
    if (map != MAP_FAILED)
        (void)munmap(map, sizeof(struct file));
    free(l);
    return NULL;
}

void sona_sidecar_ledger_close(struct sona_sidecar_ledger **ledger, bool remove)
{
    struct sona_sidecar_ledger *l = *ledger;

    if (!l)
        return;
    (void)munmap(l->file, sizeof *l->file);
    if (remove)
        (void)unlink(l->path);
    free(l->path);
    free(l);
    *ledger = NULL;
}

static void verify_entries(const struct file *f, const char *path, sona_sidecar_finding *tell,
                           void *context)
{
    uint64_t tags[UINT16_MAX / 64 + 1] = {0};
    char text[256];

    for (int k = 0; k < (int)ENTRIES; k++) {
        const struct entry *e = &f->entry[k];
        uint32_t tag = e->issue.tag & 0xffff;

        /* Acquire: pairs with the release of an issue. */
        if (atomic_load_explicit(&f->state[k], memory_order_acquire) != ISSUED)
            continue;
        bool twice = (tags[tag / 64] >> tag % 64 & 1) != 0;
        tags[tag / 64] |= UINT64_C(1) << tag % 64;
        /* One that was taken back while we looked may be anything. */
        if ((issue_ok(e) && !twice) ||
            atomic_load_explicit(&f->state[k], memory_order_acquire) != ISSUED)
            continue;
        (void)snprintf(
            text, sizeof text,
            "%.150s: lane memory %d, tag %u, %s; its client comes back without its lanes", path, k,
            e->issue.tag, twice ? "is there twice" : "is not what was written");
        tell(context, text);
    }
}

void sona_sidecar_ledger_verify(const char *path, sona_sidecar_finding *tell, void *context)
{
    int fd = open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    char text[256];
    struct stat st = {.st_size = 0};

    if (fd < 0 && errno == ENOENT)
        return;
    bool whole = fd >= 0 && fstat(fd, &st) == 0 && st.st_size == (off_t)sizeof(struct file);
    void *map = whole ? mmap(NULL, sizeof(struct file), PROT_READ, MAP_SHARED, fd, 0) : MAP_FAILED;
    const struct file *f = map;

    if (fd >= 0)
        (void)close(fd);
    if (map == MAP_FAILED || !is_of_this_version(f)) {
        (void)snprintf(text, sizeof text, "%.200s is no ledger of this version", path);
        tell(context, text);
    } else {
        verify_entries(f, path, tell, context);
    }
    if (map != MAP_FAILED)
        (void)munmap(map, sizeof(struct file));
}

/* A free entry, or the oldest that nobody came back with. */
static int room(struct sona_sidecar_ledger *l)
{
    int oldest = SONA_SIDECAR_LEDGER_NONE;

    for (int k = 0; k < (int)ENTRIES; k++) {
        const struct entry *e = &l->file->entry[k];

        if (!is_issued(l, k))
            return k;
        if (!l->in_use[k] && (oldest < 0 || e->number < l->file->entry[oldest].number))
            oldest = k;
    }
    if (oldest >= 0)
        sona_sidecar_ledger_forget(l, oldest);
    return oldest;
}

int sona_sidecar_ledger_issue(struct sona_sidecar_ledger *ledger,
                              const struct sona_sidecar_issue *issue)
{
    int slot = room(ledger);

    assert(issue->n_lanes <= SONA_LANES_MAX && issue->tag <= UINT16_MAX);
    if (slot < 0)
        return slot;
    struct entry *e = &ledger->file->entry[slot];
    memset(&e->issue, 0, sizeof e->issue);
    e->issue = *issue;
    e->crc = crc_of(&e->issue);
    e->number = ++ledger->number;
    for (uint32_t lane = 0; lane < SONA_LANES_MAX; lane++)
        atomic_store_explicit(&e->cursor[lane], 0, memory_order_relaxed);
    /* Release: the stores above come first, for a kill in between. */
    atomic_store_explicit(&ledger->file->state[slot], ISSUED, memory_order_release);
    ledger->in_use[slot] = true;
    return slot;
}

int sona_sidecar_ledger_find(const struct sona_sidecar_ledger *ledger,
                             const uint8_t identity[SONA_SHM_IDENTITY_BYTES])
{
    for (int k = 0; k < (int)ENTRIES; k++) {
        const struct entry *e = &ledger->file->entry[k];

        if (is_issued(ledger, k) &&
            memcmp(e->issue.identity, identity, SONA_SHM_IDENTITY_BYTES) == 0)
            return k;
    }
    return SONA_SIDECAR_LEDGER_NONE;
}

bool sona_sidecar_ledger_is_sound(const struct sona_sidecar_ledger *ledger, int slot)
{
    return issue_ok(&ledger->file->entry[slot]);
}

int sona_sidecar_ledger_find_inode(const struct sona_sidecar_ledger *ledger, uint64_t inode)
{
    for (int k = 0; k < (int)ENTRIES; k++)
        if (is_issued(ledger, k) && ledger->file->entry[k].issue.inode == inode)
            return k;
    return SONA_SIDECAR_LEDGER_NONE;
}

const struct sona_sidecar_issue *sona_sidecar_ledger_at(const struct sona_sidecar_ledger *ledger,
                                                        int slot)
{
    return &ledger->file->entry[slot].issue;
}

bool sona_sidecar_ledger_in_use(const struct sona_sidecar_ledger *ledger, int slot)
{
    return ledger->in_use[slot];
}

void sona_sidecar_ledger_claim(struct sona_sidecar_ledger *ledger, int slot)
{
    assert(!ledger->in_use[slot] && ledger->waiting > 0);
    ledger->in_use[slot] = true;
    ledger->waiting--;
    expect(ledger, ledger->file->entry[slot].issue.tag, false);
}

void sona_sidecar_ledger_forget(struct sona_sidecar_ledger *ledger, int slot)
{
    const struct entry *e = &ledger->file->entry[slot];

    if (!ledger->in_use[slot])
        sona_sidecar_ledger_claim(ledger, slot);
    /* First: nothing is counted twice. */
    atomic_store_explicit(&ledger->file->state[slot], FREE, memory_order_release);
    ledger->file->gone += taken_from(e);
    ledger->in_use[slot] = false;
}

uint64_t sona_sidecar_ledger_cursor(const struct sona_sidecar_ledger *ledger, int slot,
                                    uint32_t lane)
{
    return atomic_load_explicit(&ledger->file->entry[slot].cursor[lane], memory_order_relaxed);
}

void sona_sidecar_ledger_advance(struct sona_sidecar_ledger *ledger, int slot, uint32_t lane,
                                 uint64_t cursor)
{
    /* Release: not before the record was taken. The store of c_head that follows is one, too. */
    atomic_store_explicit(&ledger->file->entry[slot].cursor[lane], cursor, memory_order_release);
}

uint32_t sona_sidecar_ledger_waiting(const struct sona_sidecar_ledger *ledger)
{
    return ledger->waiting;
}

bool sona_sidecar_ledger_has_tag(const struct sona_sidecar_ledger *ledger, uint32_t tag)
{
    for (int k = 0; k < (int)ENTRIES; k++)
        if (is_issued(ledger, k) && ledger->file->entry[k].issue.tag == tag)
            return true;
    return false;
}

bool sona_sidecar_ledger_expects(const struct sona_sidecar_ledger *ledger, uint32_t tag)
{
    uint64_t word =
        atomic_load_explicit(&ledger->expected[(tag & 0xffff) / 64], memory_order_relaxed);

    return word >> tag % 64 & 1;
}

void sona_sidecar_ledger_give_up(struct sona_sidecar_ledger *ledger)
{
    for (size_t k = 0; k < sizeof ledger->expected / sizeof ledger->expected[0]; k++)
        atomic_store_explicit(&ledger->expected[k], 0, memory_order_relaxed);
}

uint64_t sona_sidecar_ledger_taken(const struct sona_sidecar_ledger *ledger)
{
    return ledger->taken;
}

uint64_t sona_sidecar_ledger_g(const struct sona_sidecar_ledger *ledger)
{
    return atomic_load_explicit(&ledger->file->g, memory_order_relaxed);
}

void sona_sidecar_ledger_note_g(struct sona_sidecar_ledger *ledger, uint64_t g)
{
    if (g > sona_sidecar_ledger_g(ledger))
        atomic_store_explicit(&ledger->file->g, g, memory_order_relaxed);
}
