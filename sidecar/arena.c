/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/*
 * See arena.h. Against a killed process the order of the program is enough: what it stored before
 * its last instruction is in the page cache, what comes after is not. So the word that makes an
 * entry or a checkpoint valid is stored last, and only the compiler is kept from moving it. Nothing
 * is synced, and nothing needs a checksum: a file from before the machine's last start is not read.
 *
 * An entry's word is its position, plus 1. The place behind the last entry holds 0, written before
 * the last one's own word: bytes of an older lap, which clients have chosen, are never taken for an
 * entry.
 */
#include "sidecar/arena.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "engine/state/container.h"
#include "shm/diag.h"

#define MAGIC     0x414e4f53u /* "SONA" */
#define FORMAT    1u
#define PAGE      4096u
#define PAD       UINT32_MAX /* kind of what is left before the ring's end */
#define BOOT_ID   "/proc/sys/kernel/random/boot_id"
#define BOOT_SIZE 40
#define LOOKS     16 /* at an arena in use */

struct checkpoint {
    _Atomic uint64_t number; /* 0: not valid. Relaxed: read by this thread or the next process */
    uint64_t position;       /* entries before it are contained */
    uint64_t bytes;
    uint64_t reserved;
};

struct header {
    uint32_t magic, format;
    uint64_t meaning, checkpoint_bytes, ring_bytes;
    char boot[BOOT_SIZE]; /* of the machine's start that it is of */
    struct checkpoint checkpoint[2];
};
static_assert(sizeof(struct header) <= PAGE, "a page");
static_assert(sizeof(struct sona_sidecar_entry) == SONA_SIDECAR_ARENA_ALIGN, "an entry's header");

struct sona_sidecar_arena {
    char *path;
    struct header *map;
    size_t bytes;
    size_t area, ring_bytes; /* of a checkpoint, rounded to pages; of the ring */
    unsigned char *ring;
    uint64_t first, end; /* positions: after the newest checkpoint, and of the next entry */
    struct sona_sidecar_entry *reserved;
};

static size_t pages(size_t bytes)
{
    return (bytes + PAGE - 1) / PAGE * PAGE;
}

static size_t aligned(size_t bytes)
{
    return (bytes + SONA_SIDECAR_ARENA_ALIGN - 1) / SONA_SIDECAR_ARENA_ALIGN *
           SONA_SIDECAR_ARENA_ALIGN;
}

static size_t ring_of(const struct sona_sidecar_arena_options *options)
{
    return pages(options->ring_bytes > SONA_SIDECAR_ARENA_RING_MIN ? options->ring_bytes
                                                                   : SONA_SIDECAR_ARENA_RING_MIN);
}

size_t sona_sidecar_arena_bytes(const struct sona_sidecar_arena_options *options)
{
    return PAGE + 2 * pages(options->checkpoint_bytes) + ring_of(options);
}

/* Empty without one: then every start is another. */
static void read_boot(char ret[BOOT_SIZE])
{
    int fd = open(BOOT_ID, O_RDONLY | O_CLOEXEC);

    memset(ret, 0, BOOT_SIZE);
    if (fd < 0)
        return;
    if (read(fd, ret, BOOT_SIZE - 1) < 0)
        ret[0] = 0;
    (void)close(fd);
}

static struct sona_sidecar_entry *entry_at(const struct sona_sidecar_arena *a, uint64_t position)
{
    return (void *)(a->ring + position % a->ring_bytes);
}

/* The entry at `position`, when it is there and whole. */
static const struct sona_sidecar_entry *committed(const struct sona_sidecar_arena *a,
                                                  uint64_t position)
{
    struct sona_sidecar_entry *e = entry_at(a, position);
    size_t room = a->ring_bytes - position % a->ring_bytes;

    if (__atomic_load_n(&e->position, __ATOMIC_RELAXED) != position + 1)
        return NULL; /* an older lap, or never written */
    if (e->bytes < sizeof *e || e->bytes % SONA_SIDECAR_ARENA_ALIGN != 0 || e->bytes > room)
        return NULL;
    return e;
}

/* The newest checkpoint, or -1. */
static int newest(const struct sona_sidecar_arena *a)
{
    uint64_t number[2];

    for (int i = 0; i < 2; i++)
        number[i] = atomic_load_explicit(&a->map->checkpoint[i].number, memory_order_relaxed);
    if (number[0] == 0 && number[1] == 0)
        return -1;
    return number[1] > number[0];
}

static void begin_anew(struct sona_sidecar_arena *a,
                       const struct sona_sidecar_arena_options *options, const char *boot)
{
    memset(a->map, 0, PAGE);
    /* Entries of before would be taken for new ones. */
    memset(a->ring, 0, a->ring_bytes);
    a->map->format = FORMAT;
    a->map->meaning = options->meaning;
    a->map->checkpoint_bytes = options->checkpoint_bytes;
    a->map->ring_bytes = a->ring_bytes;
    memcpy(a->map->boot, boot, BOOT_SIZE);
    a->map->magic = MAGIC;
    a->first = a->end = 0;
}

/* Find the end of what the last process left. */
static enum sona_sidecar_arena_found look(struct sona_sidecar_arena *a,
                                          const struct sona_sidecar_arena_options *options,
                                          const char *boot)
{
    const struct header *h = a->map;
    const struct sona_sidecar_entry *e;
    int at;

    if (h->magic == 0)
        return SONA_SIDECAR_ARENA_NEW;
    if (h->magic != MAGIC || h->format != FORMAT || h->meaning != options->meaning ||
        h->checkpoint_bytes != options->checkpoint_bytes || h->ring_bytes != a->ring_bytes ||
        boot[0] == 0 || memcmp(h->boot, boot, BOOT_SIZE) != 0)
        return SONA_SIDECAR_ARENA_FOREIGN;
    at = newest(a);
    if (at >= 0) {
        if (h->checkpoint[at].bytes > options->checkpoint_bytes ||
            h->checkpoint[at].position % SONA_SIDECAR_ARENA_ALIGN != 0)
            return SONA_SIDECAR_ARENA_BROKEN;
        a->first = h->checkpoint[at].position;
    }
    a->end = a->first;
    while (a->end - a->first < a->ring_bytes && (e = committed(a, a->end)) != NULL)
        a->end += e->bytes;
    return SONA_SIDECAR_ARENA_KEPT;
}

static sona_err open_file(const struct sona_sidecar_arena_options *options, size_t bytes,
                          int *ret_fd, sona_diag *reterr)
{
    int fd = open(options->path, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600), rc;
    struct stat st;

    if (fd < 0)
        return sona_shm_diag_set(reterr, errno == EACCES ? SONA_E_PERMISSION : SONA_E_SYSTEM, errno,
                                 "cannot open %s; make the runtime directory writable",
                                 options->path);
    if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode) || st.st_uid != geteuid() ||
        (st.st_mode & 077) != 0) {
        (void)close(fd);
        return sona_shm_diag_set(reterr, SONA_E_PERMISSION, 0,
                                 "%s is not a file of ours that nobody else can use; remove it",
                                 options->path);
    }
    /* Another size is another shape: of what is in it, nothing can be used. */
    if (st.st_size != 0 && (uint64_t)st.st_size != bytes && ftruncate(fd, 0) != 0) {
        (void)close(fd);
        return sona_shm_diag_set(reterr, SONA_E_SYSTEM, errno, "cannot empty %s; remove it",
                                 options->path);
    }
    rc = posix_fallocate(fd, 0, (off_t)bytes);
    if (rc != 0) {
        (void)close(fd);
        return sona_shm_diag_set(reterr, SONA_E_SYSTEM, rc,
                                 "no %zu bytes for %s; make room, or lower trajectory_capacity",
                                 bytes, options->path);
    }
    *ret_fd = fd;
    return SONA_OK;
}

sona_err sona_sidecar_arena_open(struct sona_sidecar_arena **ret,
                                 const struct sona_sidecar_arena_options *options,
                                 enum sona_sidecar_arena_found *ret_found, sona_diag *reterr)
{
    struct sona_sidecar_arena *a = calloc(1, sizeof *a);
    char boot[BOOT_SIZE];
    int fd = -1;

    if (!a || !(a->path = strdup(options->path))) {
        free(a);
        return sona_shm_diag_set(reterr, SONA_E_MEMORY, errno, "no memory for the arena");
    }
    a->bytes = sona_sidecar_arena_bytes(options);
    sona_err err = open_file(options, a->bytes, &fd, reterr);
    if (err == SONA_OK) {
        a->map = mmap(NULL, a->bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        (void)close(fd);
        if (a->map == MAP_FAILED) {
            a->map = NULL;
            err = sona_shm_diag_set(reterr, SONA_E_SYSTEM, errno, "cannot map %s", options->path);
        }
    }
    if (err != SONA_OK) {
        sona_sidecar_arena_close(&a, false);
        return err;
    }
    a->area = pages(options->checkpoint_bytes);
    a->ring_bytes = ring_of(options);
    a->ring = (unsigned char *)a->map + PAGE + 2 * a->area;
    (void)madvise(a->map, a->bytes, MADV_DONTDUMP); /* embeddings are personal data */
    read_boot(boot);
    *ret_found = look(a, options, boot);
    if (*ret_found != SONA_SIDECAR_ARENA_KEPT)
        begin_anew(a, options, boot);
    *ret = a;
    return SONA_OK;
}

void sona_sidecar_arena_close(struct sona_sidecar_arena **arena, bool remove)
{
    struct sona_sidecar_arena *a = *arena;

    if (!a)
        return;
    if (a->map)
        (void)munmap(a->map, a->bytes);
    if (remove)
        (void)unlink(a->path);
    free(a->path);
    free(a);
    *arena = NULL;
}

static void store_word(struct sona_sidecar_entry *entry, uint64_t word)
{
    atomic_signal_fence(memory_order_seq_cst); /* after what was written before */
    __atomic_store_n(&entry->position, word, __ATOMIC_RELAXED);
    atomic_signal_fence(memory_order_seq_cst); /* and before what follows */
}

static void commit_entry(struct sona_sidecar_arena *a, struct sona_sidecar_entry *entry)
{
    uint64_t next = a->end + entry->bytes;

    /* In a ring that is full to the last byte, the next place is the first entry's. */
    if (next - a->first < a->ring_bytes)
        store_word(entry_at(a, next), 0);
    store_word(entry, a->end + 1);
    a->end = next;
}

/* Bytes from the end on that an entry takes: with what is left before the ring's end, when it does
 * not fit there. */
static size_t span(const struct sona_sidecar_arena *a, uint32_t payload, size_t *ret_skip)
{
    size_t bytes = aligned(sizeof(struct sona_sidecar_entry) + payload);
    size_t room = a->ring_bytes - a->end % a->ring_bytes;

    assert(bytes <= a->ring_bytes / 8);
    *ret_skip = bytes > room ? room : 0;
    return *ret_skip + bytes;
}

bool sona_sidecar_arena_has_room(const struct sona_sidecar_arena *arena, uint32_t payload)
{
    size_t skip, bytes = span(arena, payload, &skip);

    return arena->end + bytes - arena->first <= arena->ring_bytes;
}

struct sona_sidecar_entry *sona_sidecar_arena_reserve(struct sona_sidecar_arena *arena,
                                                      uint32_t kind, uint32_t payload)
{
    struct sona_sidecar_arena *a = arena;
    size_t skip, bytes = span(a, payload, &skip) - skip;

    if (!sona_sidecar_arena_has_room(a, payload))
        return NULL;
    if (skip > 0) {
        struct sona_sidecar_entry *pad = entry_at(a, a->end);

        store_word(pad, 0);
        pad->kind = PAD;
        pad->bytes = (uint32_t)skip;
        commit_entry(a, pad);
    }
    struct sona_sidecar_entry *entry = entry_at(a, a->end);
    store_word(entry, 0);
    memset(entry, 0, sizeof *entry);
    entry->kind = kind;
    entry->bytes = (uint32_t)bytes;
    a->reserved = entry;
    return entry;
}

void sona_sidecar_arena_commit(struct sona_sidecar_arena *arena)
{
    commit_entry(arena, arena->reserved);
    arena->reserved = NULL;
}

bool sona_sidecar_arena_is_half(const struct sona_sidecar_arena *arena)
{
    return arena->end - arena->first >= arena->ring_bytes / 2;
}

static unsigned char *area_of(const struct sona_sidecar_arena *a, int at)
{
    return (unsigned char *)a->map + PAGE + (size_t)at * a->area;
}

void *sona_sidecar_arena_checkpoint_begin(struct sona_sidecar_arena *arena)
{
    int at = newest(arena) == 0;

    /* The other one stays valid until this one is. */
    atomic_store_explicit(&arena->map->checkpoint[at].number, 0, memory_order_relaxed);
    atomic_signal_fence(memory_order_seq_cst);
    return area_of(arena, at);
}

void sona_sidecar_arena_checkpoint_commit(struct sona_sidecar_arena *arena, size_t bytes)
{
    struct sona_sidecar_arena *a = arena;
    int before = newest(a), at = before == 0;
    uint64_t number =
        before < 0 ? 0
                   : atomic_load_explicit(&a->map->checkpoint[before].number, memory_order_relaxed);

    a->map->checkpoint[at].position = a->end;
    a->map->checkpoint[at].bytes = bytes;
    atomic_signal_fence(memory_order_seq_cst);
    atomic_store_explicit(&a->map->checkpoint[at].number, number + 1, memory_order_relaxed);
    atomic_signal_fence(memory_order_seq_cst); /* before entries that it contains are overwritten */
    a->first = a->end;
}

const void *sona_sidecar_arena_checkpoint(const struct sona_sidecar_arena *arena, size_t *ret_bytes)
{
    int at = newest(arena);

    *ret_bytes = at < 0 ? 0 : arena->map->checkpoint[at].bytes;
    return at < 0 ? NULL : area_of(arena, at);
}

const struct sona_sidecar_entry *sona_sidecar_arena_next(const struct sona_sidecar_arena *arena,
                                                         const struct sona_sidecar_entry *entry)
{
    uint64_t position = entry ? entry->position - 1 + entry->bytes : arena->first;

    while (position < arena->end) {
        const struct sona_sidecar_entry *e = entry_at(arena, position);

        if (e->kind != PAD)
            return e;
        position += e->bytes;
    }
    return NULL;
}

/* ---- looking at it from outside ---- */

/* Null: sound. *ret_checkpoint: the newest one's number; the map may be another intake's at work.
 */
static const char *judge(struct sona_sidecar_arena *a, uint64_t layout, uint64_t *ret_checkpoint)
{
    const struct sona_sidecar_entry *e;
    struct sona_state_reader reader;
    int at = newest(a);

    *ret_checkpoint = 0;
    a->first = 0;
    if (at >= 0) {
        const struct checkpoint *c = &a->map->checkpoint[at];
        uint64_t bytes = c->bytes;

        *ret_checkpoint = atomic_load_explicit(&c->number, memory_order_acquire);
        if (bytes > a->map->checkpoint_bytes || c->position % SONA_SIDECAR_ARENA_ALIGN != 0)
            return "its newest checkpoint makes no sense";
        if (sona_state_reader_open(&reader, area_of(a, at), bytes, layout, NULL) != SONA_OK)
            return "its newest checkpoint is damaged";
        a->first = c->position;
    }
    a->end = a->first;
    while (a->end - a->first < a->ring_bytes && (e = committed(a, a->end)) != NULL)
        a->end += e->bytes;
    /* Behind the last entry is nothing, or what an older lap left there. */
    if (a->end - a->first < a->ring_bytes &&
        __atomic_load_n(&entry_at(a, a->end)->position, __ATOMIC_RELAXED) > a->end + 1)
        return "an entry is missing between others";
    return NULL;
}

/* A checkpoint that is written meanwhile moves everything: look again then. */
static const char *judge_again(struct sona_sidecar_arena *a, uint64_t layout)
{
    const char *fault = NULL;

    for (int look = 0; look < LOOKS; look++) {
        uint64_t number;

        fault = judge(a, layout, &number);
        int at = newest(a);
        if (!fault || (at < 0 ? 0
                              : atomic_load_explicit(&a->map->checkpoint[at].number,
                                                     memory_order_acquire)) == number)
            break;
    }
    return fault;
}

void sona_sidecar_arena_verify(const char *path, uint64_t layout, sona_sidecar_finding *tell,
                               void *context)
{
    int fd = open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    struct sona_sidecar_arena a = {.map = MAP_FAILED};
    const char *fault = "is no arena of this version";
    char text[256];
    struct stat st = {.st_size = 0};

    if (fd < 0 && errno == ENOENT)
        return;
    if (fd >= 0 && fstat(fd, &st) == 0 && st.st_size > (off_t)PAGE)
        a.map = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_SHARED, fd, 0);
    if (fd >= 0)
        (void)close(fd);
    if (a.map != MAP_FAILED && a.map->magic == MAGIC && a.map->format == FORMAT) {
        a.area = pages(a.map->checkpoint_bytes);
        a.ring_bytes = a.map->ring_bytes;
        a.ring = (unsigned char *)a.map + PAGE + 2 * a.area;
        fault = a.ring_bytes < SONA_SIDECAR_ARENA_RING_MIN ||
                        (uint64_t)st.st_size != PAGE + 2 * a.area + a.ring_bytes
                    ? "has not the size that its header says"
                    : judge_again(&a, layout);
    }
    if (a.map != MAP_FAILED)
        (void)munmap(a.map, (size_t)st.st_size);
    if (!fault)
        return;
    (void)snprintf(text, sizeof text, "%.150s: %s; a start begins it anew", path, fault);
    tell(context, text);
}
