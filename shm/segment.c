/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/* See segment.h. Runs once per start; nothing here is hot. */
#include "shm/segment.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "shm/diag.h"
#include "shm/fault.h"
#include "shm/record.h"
#include "shm/wire.h"

/* A publisher that was killed may have used numbers that `cur` does not show yet. */
#define G_SKIP   (UINT64_C(1) << 20)
#define G_MAX    ((UINT64_C(1) << 48) - 1)
#define ATTEMPTS 8 /* at a name that a rival takes and gives back meanwhile */

/* ThreadSanitizer sees no membarrier: its build asks every reader for a fence of its own. */
#ifdef SONA_TSAN
#define ASYM_AVAILABLE() false
#else
#define ASYM_AVAILABLE() sona_shm_membarrier_available()
#endif

/* What goes on from a dead sidecar's segment; zero without one. */
struct heritage {
    uint64_t g, generation, incarnation;
};

static uint64_t max_u64(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

uint64_t sona_shm_segment_first_g(uint64_t old_g, uint64_t wall_us)
{
    uint64_t clock_g = wall_us / SONA_SHM_G_TICK_US;

    /* An old g close to the end of its 48 bits was scribbled, not counted: the clock decides. */
    if (old_g == 0 || old_g > G_MAX / 2)
        return clock_g;
    return max_u64(old_g + G_SKIP, clock_g);
}

/* The lock lives with the open file description: a killed sidecar loses it, a client's read-only
 * descriptor (another description) does not hold it. */
static bool lock(int fd)
{
    struct flock range = {.l_type = F_WRLCK, .l_whence = SEEK_SET};

    return fcntl(fd, F_OFD_SETLK, &range) == 0;
}

static sona_err busy(const char *name, const char *instance, sona_diag *reterr)
{
    return sona_shm_diag_set(reterr, SONA_E_BUSY, 0,
                             "a live sidecar writes %s; stop it, or choose another --instance name "
                             "than %s",
                             name, instance);
}

static struct sona_shm_live *live_in(char *map)
{
    return (void *)(map + SONA_SHM_PAGE);
}

/* ---- adopting ---- */

/* A word that a publisher of this plan can have stored into `cur`. */
static bool id_ok(const struct sona_shm_plan *p, uint64_t id)
{
    return SONA_SHM_ID_G(id) != 0 && SONA_SHM_ID_G(id) <= G_MAX / 2 &&
           SONA_SHM_ID_HOT(id) < p->hot_slots && SONA_SHM_ID_COLD(id) < p->cold_slots;
}

/* Is the pair that `cur` names bound as it was published, and a sound model? Relaxed loads here and
 * below: nobody writes the segment any more, we hold the dead writer's lock. */
static const char *judge_pair(const struct sona_shm_segment_options *o,
                              const struct sona_shm_plan *p, char *map)
{
    uint64_t cur = atomic_load_explicit(&live_in(map)->cur, memory_order_relaxed);

    if (!id_ok(p, cur))
        return "its current id names no pair";
    const struct sona_shm_hot *hot =
        (const void *)(map + p->hot_offset + SONA_SHM_ID_HOT(cur) * p->hot_stride);
    const struct sona_shm_cold *cold =
        (const void *)(map + p->cold_offset + SONA_SHM_ID_COLD(cur) * p->cold_stride);
    uint64_t cold_id = atomic_load_explicit(&hot->cold_id, memory_order_relaxed);
    if (atomic_load_explicit(&hot->seq, memory_order_relaxed) != cur || cold_id == 0 ||
        (cold_id & 0xff) != SONA_SHM_ID_COLD(cur) || cold_id >> 8 > SONA_SHM_ID_G(cur) ||
        atomic_load_explicit(&cold->seq, memory_order_relaxed) != cold_id)
        return "its current pair is not bound";
    if (o->judge && !o->judge(o->judge_arg, hot + 1, cold + 1))
        return "its model is not sound";
    return NULL;
}

/* Was it made for what we are about to write? */
static const char *judge_header(const struct sona_shm_segment *s,
                                const struct sona_shm_segment_options *o,
                                const struct sona_shm_header *h)
{
    uint32_t fences = SONA_SHM_FENCE_FULL | (ASYM_AVAILABLE() ? SONA_SHM_FENCE_ASYM : 0u);

    if (sona_shm_header_check(h, NULL) != SONA_OK || h->abi_minor != SONA_ABI_MINOR)
        return "it was laid out by another version, or its first page is broken";
    if (memcmp(&h->geometry, &o->geometry, sizeof h->geometry) != 0 ||
        h->hot_bytes != s->plan.hot_bytes || h->cold_bytes != s->plan.cold_bytes)
        return "it has another geometry";
    if (h->hot_slots != s->plan.hot_slots || h->cold_slots != s->plan.cold_slots ||
        h->ring_slots != s->plan.ring_slots || h->total_bytes != s->plan.model_bytes ||
        h->fence_modes != fences)
        return "it has other slots, rings or fences";
    return NULL;
}

/* Null: `s->map` and `s->header` are those of the old segment. Else why not, and nothing changed.
 */
static const char *try_adopt(struct sona_shm_segment *s, const struct sona_shm_segment_options *o,
                             int fd)
{
    size_t bytes = (size_t)s->plan.model_bytes;
    struct stat st;

    if (fstat(fd, &st) != 0 || (uint64_t)st.st_size != s->plan.model_bytes ||
        (uint64_t)st.st_blocks * 512 < s->plan.model_bytes)
        return "it has another size";
    char *map = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, fd, 0);
    if (map == MAP_FAILED)
        return "it cannot be mapped";
    struct sona_shm_header header;
    memcpy(&header, map, sizeof header);
    uint32_t state = atomic_load_explicit(&live_in(map)->state, memory_order_relaxed);
    const char *why = judge_header(s, o, &header);
    if (!why && state != SONA_SHM_LIVE && state != SONA_SHM_DRAINING)
        why = "it was never served, or is retired";
    if (!why)
        why = judge_pair(o, &s->plan, map);
    if (why) {
        (void)munmap(map, bytes);
        return why;
    }
    s->map = map;
    s->header = header;
    return NULL;
}

/* The newest g that its words show: a publisher may have been killed between binding a slot and
 * moving `cur`. */
static uint64_t newest_g(const struct sona_shm_plan *p, char *map)
{
    uint64_t g = SONA_SHM_ID_G(atomic_load_explicit(&live_in(map)->cur, memory_order_relaxed));

    for (uint32_t i = 0; i < p->hot_slots; i++) {
        const struct sona_shm_hot *hot = (const void *)(map + p->hot_offset + i * p->hot_stride);
        uint64_t seq = atomic_load_explicit(&hot->seq, memory_order_relaxed);

        if (id_ok(p, seq))
            g = max_u64(g, SONA_SHM_ID_G(seq));
    }
    return g;
}

/* From now on it is ours: readers stay, a client that comes back sees another incarnation. */
static void take_over(struct sona_shm_segment *s, const struct sona_shm_segment_options *o)
{
    struct sona_shm_live *live = live_in(s->map);
    uint64_t old = atomic_load_explicit(&live->incarnation, memory_order_relaxed);

    SONA_FAULT(adopt_locked);
    /* Relaxed: published to clients by the socket. */
    atomic_store_explicit(&live->incarnation, max_u64(old + 1, o->wall_us), memory_order_relaxed);
    SONA_FAULT(adopt_numbered);
    s->first_g =
        sona_shm_segment_first_g(max_u64(newest_g(&s->plan, s->map), o->floor_g), o->wall_us);
    s->adopted = true;
}

/* ---- renewing ---- */

/* Read what matters from the head of a dead sidecar's segment, and tell its readers that another
 * follows. The bytes are input: only plausible numbers are taken. */
static void inherit(int fd, struct heritage *ret)
{
    size_t bytes = 2 * SONA_SHM_PAGE;
    struct stat st;

    if (fstat(fd, &st) != 0 || st.st_size < (off_t)bytes)
        return; /* killed before it was sized */
    char *map = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (map == MAP_FAILED)
        return;

    struct sona_shm_header header;
    memcpy(&header, map, sizeof header);
    struct sona_shm_live *live = live_in(map);
    if (header.magic == SONA_SHM_MAGIC && header.abi_major == SONA_ABI_MAJOR) {
        /* Relaxed: nobody writes these any more (we hold the dead writer's lock). */
        ret->g = SONA_SHM_ID_G(atomic_load_explicit(&live->cur, memory_order_relaxed));
        ret->incarnation = atomic_load_explicit(&live->incarnation, memory_order_relaxed);
        ret->generation = header.generation;
        /* Release, for the clients' acquire load of the state. */
        atomic_store_explicit(&live->state, SONA_SHM_RETIRED, memory_order_release);
    }
    (void)munmap(map, bytes);
}

/* Adopt what stands under the name, or retire and unlink it. SONA_OK also when there is nothing. */
static sona_err settle_stale(struct sona_shm_segment *s, const struct sona_shm_segment_options *o,
                             struct heritage *ret, sona_diag *reterr)
{
    int fd = shm_open(s->name, O_RDWR | O_NOFOLLOW | O_CLOEXEC, 0);
    struct stat st;
    sona_err err = SONA_OK;

    if (fd < 0 && errno == ENOENT)
        return SONA_OK;
    if (fd < 0)
        return sona_shm_diag_set(reterr, errno == EACCES ? SONA_E_PERMISSION : SONA_E_SYSTEM, errno,
                                 "cannot open %s, which is in the way; remove it from /dev/shm, or "
                                 "choose another --instance name",
                                 s->name);
    if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode) || st.st_uid != geteuid())
        err = sona_shm_diag_set(reterr, SONA_E_PERMISSION, 0,
                                "%s belongs to another user; choose another --instance name",
                                s->name);
    else if (!lock(fd))
        err = busy(s->name, o->instance, reterr);
    else if (o->adopt && !(s->renewed = try_adopt(s, o, fd))) {
        take_over(s, o);
        s->fd = fd;
        return SONA_OK;
    } else if (inherit(fd, ret), shm_unlink(s->name) != 0 && errno != ENOENT)
        err = sona_shm_diag_set(reterr, SONA_E_SYSTEM, errno, "cannot remove the old %s", s->name);
    (void)close(fd);
    return err;
}

/* Create the name and lock the object. A rival in another runtime directory may take the name away
 * between the two steps: then the object has no name any more, and we begin again. */
static sona_err create_locked(struct sona_shm_segment *s, const struct sona_shm_segment_options *o,
                              struct heritage *heritage, sona_diag *reterr)
{
    for (int attempt = 0; attempt < ATTEMPTS; attempt++) {
        struct stat st;

        sona_err err = settle_stale(s, o, heritage, reterr);
        if (err != SONA_OK || s->adopted)
            return err;
        s->fd = shm_open(s->name, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
        if (s->fd < 0 && errno == EEXIST)
            continue;
        if (s->fd < 0)
            return sona_shm_diag_set(reterr, SONA_E_SYSTEM, errno,
                                     "cannot create %s in /dev/shm; mount a tmpfs there", s->name);
        if (lock(s->fd) && fstat(s->fd, &st) == 0 && st.st_nlink == 1)
            return SONA_OK;
        (void)close(s->fd);
        s->fd = -1;
    }
    return busy(s->name, o->instance, reterr);
}

static sona_err too_small(const struct sona_shm_segment *s, int error, sona_diag *reterr)
{
    struct statvfs fs;
    uint64_t available = 0;

    if (fstatvfs(s->fd, &fs) == 0)
        available = (uint64_t)fs.f_bavail * fs.f_frsize;
    return sona_shm_diag_set(reterr, SONA_E_MEMORY, error,
                             "%s needs %llu bytes of shared memory and /dev/shm has %llu free; "
                             "enlarge it (containers: --shm-size) or lower dimension, routes or "
                             "patterns",
                             s->name, (unsigned long long)s->plan.model_bytes,
                             (unsigned long long)available);
}

/* Open the descriptor that clients get. */
static sona_err open_for_clients(struct sona_shm_segment *s, sona_diag *reterr)
{
    struct stat mine, named;

    s->read_fd = shm_open(s->name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC, 0);
    if (s->read_fd < 0 || fstat(s->fd, &mine) != 0 || fstat(s->read_fd, &named) != 0 ||
        mine.st_ino != named.st_ino || mine.st_dev != named.st_dev)
        return sona_shm_diag_set(reterr, SONA_E_SYSTEM, s->read_fd < 0 ? errno : 0,
                                 "cannot open %s read-only", s->name);
    return SONA_OK;
}

/* Allocate every page, and map. */
static sona_err back_and_map(struct sona_shm_segment *s, sona_diag *reterr)
{
    int e;

    if (fchmod(s->fd, 0600) != 0) /* whatever the umask was */
        return sona_shm_diag_set(reterr, SONA_E_SYSTEM, errno, "cannot set the mode of %s",
                                 s->name);
    do
        e = posix_fallocate(s->fd, 0, (off_t)s->plan.model_bytes);
    while (e == EINTR);
    if (e != 0)
        return too_small(s, e, reterr);
    void *map = mmap(NULL, (size_t)s->plan.model_bytes, PROT_READ | PROT_WRITE,
                     MAP_SHARED | MAP_POPULATE, s->fd, 0);
    if (map == MAP_FAILED)
        return sona_shm_diag_set(reterr, SONA_E_MEMORY, errno, "cannot map %s", s->name);
    s->map = map;
    return SONA_OK;
}

static sona_err make_plan(struct sona_shm_segment *s, const struct sona_shm_segment_options *o,
                          sona_diag *reterr)
{
    s->plan = (struct sona_shm_plan){
        .hot_slots = o->hot_slots ? o->hot_slots : SONA_SHM_HOT_SLOTS,
        .cold_slots = o->cold_slots ? o->cold_slots : SONA_SHM_COLD_SLOTS,
        .ring_slots = o->ring_slots ? o->ring_slots : SONA_SHM_RING_SLOTS,
        .record_stride = sona_record_stride(&o->geometry),
        .n_lanes = 0,
        .hot_bytes = o->hot_bytes,
        .cold_bytes = o->cold_bytes,
    };
    if (sona_shm_plan_init(&s->plan) != SONA_OK)
        return sona_shm_diag_set(reterr, SONA_E_RANGE, 0,
                                 "the model's halves of %llu and %llu bytes do not make a segment; "
                                 "lower dimension, routes or patterns",
                                 (unsigned long long)o->hot_bytes,
                                 (unsigned long long)o->cold_bytes);
    return SONA_OK;
}

/* Page 0 and page 1. Nobody else has the object yet; clients get it over the socket. */
static sona_err fill(struct sona_shm_segment *s, const struct sona_shm_segment_options *o,
                     const struct heritage *heritage, sona_diag *reterr)
{
    struct sona_shm_header *h = &s->header;
    uint64_t wall_ms = o->wall_us / 1000;

    *h = (struct sona_shm_header){
        .magic = SONA_SHM_MAGIC,
        .abi_major = SONA_ABI_MAJOR,
        .abi_minor = SONA_ABI_MINOR,
        .header_bytes = sizeof *h,
        .layout_hash = sona_shm_layout_hash(),
        .endianness = SONA_SHM_ENDIANNESS,
        .fence_modes = SONA_SHM_FENCE_FULL | (ASYM_AVAILABLE() ? SONA_SHM_FENCE_ASYM : 0u),
        .total_bytes = s->plan.model_bytes,
        .generation = heritage->generation != 0 ? heritage->generation + 1 : wall_ms,
        .geometry = o->geometry,
        .hot_slots = s->plan.hot_slots,
        .cold_slots = s->plan.cold_slots,
        .hot_bytes = s->plan.hot_bytes,
        .cold_bytes = s->plan.cold_bytes,
        .ring_slots = s->plan.ring_slots,
        .record_stride = s->plan.record_stride,
    };
    if (getrandom(h->uuid, sizeof h->uuid, 0) != (ssize_t)sizeof h->uuid)
        return sona_shm_diag_set(reterr, SONA_E_SYSTEM, errno, "cannot draw the segment's uuid");
    h->crc = sona_shm_crc32c(h, offsetof(struct sona_shm_header, crc));
    memcpy(s->map, h, sizeof *h);

    struct sona_shm_live *live = live_in(s->map);
    /* Relaxed: published to clients by the socket, not by these words. */
    atomic_store_explicit(&live->cur, 0, memory_order_relaxed);
    atomic_store_explicit(&live->incarnation, max_u64(heritage->incarnation + 1, o->wall_us),
                          memory_order_relaxed);
    atomic_store_explicit(&live->state, SONA_SHM_INIT, memory_order_relaxed);
    s->first_g = sona_shm_segment_first_g(max_u64(heritage->g, o->floor_g), o->wall_us);
    return SONA_OK;
}

sona_err sona_shm_segment_create(struct sona_shm_segment *ret,
                                 const struct sona_shm_segment_options *options, sona_diag *reterr)
{
    struct sona_shm_segment s = {.fd = -1, .read_fd = -1};
    struct heritage heritage = {0};

    if (!sona_wire_instance_ok(options->instance))
        return sona_shm_diag_set(reterr, SONA_E_RANGE, 0,
                                 "an instance's name is 1 to 63 letters, digits, '.', '_' or '-', "
                                 "not beginning with '.'");
    (void)snprintf(s.name, sizeof s.name, "/sona.%s.model", options->instance);
    sona_err err = make_plan(&s, options, reterr);
    if (err == SONA_OK)
        err = create_locked(&s, options, &heritage, reterr);
    if (err != SONA_OK)
        return err;
    if (!s.adopted)
        err = back_and_map(&s, reterr);
    if (err == SONA_OK)
        err = open_for_clients(&s, reterr);
    if (err == SONA_OK && !s.adopted)
        err = fill(&s, options, &heritage, reterr);
    if (err != SONA_OK) {
        sona_shm_segment_destroy(&s, !s.adopted);
        return err;
    }
    *ret = s;
    return SONA_OK;
}

void sona_shm_segment_destroy(struct sona_shm_segment *segment, bool unlink_name)
{
    if (segment->map)
        (void)munmap(segment->map, (size_t)segment->plan.model_bytes);
    if (segment->read_fd >= 0)
        (void)close(segment->read_fd);
    if (segment->fd >= 0 && unlink_name)
        (void)shm_unlink(segment->name);
    if (segment->fd >= 0)
        (void)close(segment->fd);
    *segment = (struct sona_shm_segment){.fd = -1, .read_fd = -1};
}
