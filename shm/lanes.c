/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/*
 * The lane memfd: one per attachment, made by the sidecar, written by the client. Its size is
 * sealed for ever, so that neither side can pull the pages from under the other by truncation; the
 * pages are allocated here, so that neither side meets a full /dev/shm later.
 */
#include "shm/wire.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "shm/diag.h"
#include "shm/ring.h"

#define TMPFS_MAGIC_NUMBER 0x01021994
/* Added by the kernel to every memfd where vm.memfd_noexec is set; says nothing about size. */
#define SEAL_EXEC 0x0020
#define SEALS     (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL)

static sona_err fail(sona_diag *reterr, const char *what)
{
    int e = errno;

    return sona_shm_diag_set(reterr, e == ENOMEM || e == ENOSPC ? SONA_E_MEMORY : SONA_E_SYSTEM, e,
                             "cannot %s the lane memory", what);
}

static bool fill(const struct sona_shm_plan *plan, const uint8_t segment_uuid[16], uint32_t tag,
                 uint32_t pid, char *map)
{
    struct sona_shm_lanes_header header = {
        .magic = SONA_SHM_LANES_MAGIC,
        .n_lanes = plan->n_lanes,
        .ring_slots = plan->ring_slots,
        .record_stride = plan->record_stride,
        .pid = pid,
        .tag = tag,
    };

    if (getrandom(header.identity, sizeof header.identity, 0) != (ssize_t)sizeof header.identity)
        return false;
    memcpy(header.segment_uuid, segment_uuid, sizeof header.segment_uuid);
    memcpy(map, &header, sizeof header);
    for (uint32_t i = 0; i < plan->n_lanes; i++) {
        struct sona_shm_lane *lane =
            (void *)(map + plan->lane_offset + (size_t)i * plan->lane_stride);

        sona_shm_ring_init(lane->ring, plan->ring_slots);
    }
    return true;
}

/* What can fail between memfd_create and the finished map. */
static sona_err back_and_map(int fd, size_t bytes, void **ret_map, sona_diag *reterr)
{
    if (ftruncate(fd, (off_t)bytes) != 0)
        return fail(reterr, "size");
    if (fallocate(fd, 0, 0, (off_t)bytes) != 0)
        return fail(reterr, "allocate");
    if (fcntl(fd, F_ADD_SEALS, SEALS) != 0)
        return fail(reterr, "seal");
    void *map = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, fd, 0);
    if (map == MAP_FAILED)
        return fail(reterr, "map");
    *ret_map = map;
    return SONA_OK;
}

sona_err sona_shm_lanes_create(const struct sona_shm_plan *plan, const uint8_t segment_uuid[16],
                               uint32_t tag, uint32_t pid, int *ret_fd, void **ret_map,
                               sona_diag *reterr)
{
    int fd = memfd_create(SONA_SHM_LANES_NAME, MFD_CLOEXEC | MFD_ALLOW_SEALING);
    void *map = NULL;

    if (fd < 0)
        return fail(reterr, "create");
    sona_err err = back_and_map(fd, (size_t)plan->lanes_bytes, &map, reterr);
    if (err == SONA_OK && !fill(plan, segment_uuid, tag, pid, map)) {
        err = fail(reterr, "draw the identity of");
        (void)munmap(map, (size_t)plan->lanes_bytes);
    }
    if (err != SONA_OK) {
        (void)close(fd);
        return err;
    }
    *ret_fd = fd;
    *ret_map = map;
    return SONA_OK;
}

sona_err sona_shm_lanes_check(int fd, uint64_t bytes, sona_diag *reterr)
{
    struct stat st;
    struct statfs fs;
    int seals = fcntl(fd, F_GET_SEALS);

    if (seals < 0 || fstat(fd, &st) != 0 || fstatfs(fd, &fs) != 0)
        return fail(reterr, "examine");
    if ((seals & ~SEAL_EXEC) != SEALS)
        return sona_shm_diag_set(reterr, SONA_E_FORMAT, 0,
                                 "the lane memory is not sealed against resizing (seals 0x%x)",
                                 (unsigned)seals);
    if (fs.f_type != TMPFS_MAGIC_NUMBER) /* a regular file: nothing else has seals */
        return sona_shm_diag_set(reterr, SONA_E_FORMAT, 0, "the lane memory is not on tmpfs");
    if ((uint64_t)st.st_size != bytes || (uint64_t)st.st_blocks * 512 < bytes)
        return sona_shm_diag_set(
            reterr, SONA_E_FORMAT, 0,
            "the lane memory has %llu bytes, %llu of them backed; %llu expected",
            (unsigned long long)st.st_size, (unsigned long long)st.st_blocks * 512,
            (unsigned long long)bytes);
    return SONA_OK;
}

bool sona_shm_lanes_identity(int fd, uint8_t ret[SONA_SHM_IDENTITY_BYTES])
{
    struct sona_shm_lanes_header header;

    if (pread(fd, &header, sizeof header, 0) != (ssize_t)sizeof header ||
        header.magic != SONA_SHM_LANES_MAGIC)
        return false;
    memcpy(ret, header.identity, SONA_SHM_IDENTITY_BYTES);
    return true;
}
