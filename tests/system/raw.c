/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
#include "raw.h"

#include <poll.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

int raw_connect(const struct stage *stage)
{
    char path[128];
    sona_diag diag = {0};
    int fd = -1;

    cr_assert(eq(
        int,
        sona_wire_path(stage->spawn.runtime_dir, stage->spawn.instance, path, sizeof path, &diag),
        SONA_OK));
    cr_assert(eq(int, sona_wire_connect(path, 2000, &fd, &diag), SONA_OK), "%s", diag.text);
    return fd;
}

/* HELLO, with the lanes to hand back unless old_fd is -1, and WELCOME. Returns how many descriptors
 * came with it. */
static int shake_hands(struct raw *raw, const struct stage *stage, int old_fd,
                       int fds[SONA_WIRE_FDS_MAX])
{
    struct sona_wire_hello hello = {
        .head.kind = SONA_WIRE_HELLO,
        .layout_hash = sona_shm_layout_hash(),
        .lanes = RAW_LANES,
        .fence_modes = SONA_SHM_FENCE_FULL,
    };
    sona_diag diag = {0};
    size_t bytes = 0;
    int n_fds = 0;

    raw->socket = raw_connect(stage);
    cr_assert(eq(
        int,
        sona_wire_send(raw->socket, &hello.head, sizeof hello, &old_fd, old_fd < 0 ? 0 : 1, &diag),
        SONA_OK));
    cr_assert(eq(int,
                 sona_wire_receive(raw->socket, &raw->welcome, sizeof raw->welcome, 5000, &bytes,
                                   fds, &n_fds, &diag),
                 SONA_OK),
              "%s", diag.text);
    cr_assert(eq(sz, bytes, sizeof raw->welcome));
    cr_assert(eq(int, sona_shm_header_plan(&raw->welcome.segment, RAW_LANES, &raw->plan), SONA_OK));
    return n_fds;
}

static void map_model(struct raw *raw, int fd)
{
    raw->model = mmap(NULL, (size_t)raw->plan.model_bytes, PROT_READ, MAP_SHARED, fd, 0);
    cr_assert(ne(ptr, (void *)(uintptr_t)raw->model, MAP_FAILED));
    (void)close(fd);
}

static void map_lanes(struct raw *raw, int fd)
{
    raw->lanes_fd = fd;
    raw->lanes =
        mmap(NULL, (size_t)raw->plan.lanes_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    cr_assert(ne(ptr, raw->lanes, MAP_FAILED));
}

void raw_open(struct raw *raw, const struct stage *stage)
{
    int fds[SONA_WIRE_FDS_MAX];

    memset(raw, 0, sizeof *raw);
    cr_assert(eq(int, shake_hands(raw, stage, -1, fds), 2));
    map_model(raw, fds[0]);
    map_lanes(raw, fds[1]);
}

void raw_refused(struct raw *raw, const struct stage *stage, int fd)
{
    struct raw before = *raw;
    int fds[SONA_WIRE_FDS_MAX];

    memset(raw, 0, sizeof *raw);
    cr_assert(eq(int, shake_hands(raw, stage, fd, fds), 2), "it was taken back");
    map_model(raw, fds[0]);
    map_lanes(raw, fds[1]);
    if (before.lanes)
        raw_close(&before);
}

void raw_reopen(struct raw *raw, const struct stage *stage)
{
    uint32_t tag = raw->welcome.tag;
    int fds[SONA_WIRE_FDS_MAX];

    (void)munmap((void *)(uintptr_t)raw->model, (size_t)raw->plan.model_bytes);
    (void)close(raw->socket);
    cr_assert(eq(int, shake_hands(raw, stage, raw->lanes_fd, fds), 1), "they were not taken back");
    cr_assert(eq(u32, raw->welcome.tag, tag));
    map_model(raw, fds[0]);
}

void raw_close(struct raw *raw)
{
    (void)munmap((void *)(uintptr_t)raw->model, (size_t)raw->plan.model_bytes);
    (void)munmap(raw->lanes, (size_t)raw->plan.lanes_bytes);
    (void)close(raw->lanes_fd);
    (void)close(raw->socket);
}

struct sona_shm_lane *raw_lane(const struct raw *raw, uint32_t lane)
{
    return (void *)(raw->lanes + raw->plan.lane_offset + lane * raw->plan.lane_stride);
}

static void bind_ring(const struct raw *raw, uint32_t lane, struct sona_shm_ring *ret)
{
    struct sona_shm_lane *at = raw_lane(raw, lane);

    sona_shm_ring_bind(ret, at->ring, (char *)at + raw->plan.records_offset, raw->plan.ring_slots,
                       raw->plan.record_stride);
}

uint64_t raw_id(const struct raw *raw, uint32_t lane)
{
    return SONA_ID(raw->welcome.tag, lane, raw->seq[lane]);
}

struct sona_record *raw_record(struct raw *raw, uint32_t lane, int kind)
{
    struct sona_shm_ring ring;

    bind_ring(raw, lane, &ring);
    struct sona_record *r = sona_shm_ring_reserve(&ring);
    cr_assert(ne(ptr, r, NULL), "lane %u is full", lane);
    memset(r, 0, raw->plan.record_stride);
    *r = (struct sona_record){
        .magic = SONA_RECORD_MAGIC,
        .version = SONA_RECORD_VERSION,
        .kind = (uint8_t)kind,
        .lane_seq = raw->seq[lane],
        .id = raw_id(raw, lane),
        .value = 0.5f,
    };
    sona_record_floats(r)[0] = 1;
    return r;
}

bool raw_has_room(const struct raw *raw, uint32_t lane)
{
    struct sona_shm_ring ring;

    bind_ring(raw, lane, &ring);
    return sona_shm_ring_reserve(&ring) != NULL;
}

void raw_commit(struct raw *raw, uint32_t lane)
{
    struct sona_shm_ring ring;

    bind_ring(raw, lane, &ring);
    sona_shm_ring_commit(&ring);
    raw->seq[lane]++;
}

uint64_t raw_counter(const struct raw *raw, sona_counter counter)
{
    const struct sona_shm_counters *page = (const void *)(raw->model + 2 * SONA_SHM_PAGE);

    return atomic_load_explicit(&page->counter[counter], memory_order_relaxed);
}

int raw_send(const struct stage *stage, const void *packet, size_t bytes)
{
    int fd = raw_connect(stage);

    cr_assert(eq(i64, send(fd, packet, bytes, MSG_NOSIGNAL), (int64_t)bytes));
    return fd;
}

size_t raw_receive(int fd, void *ret, size_t size)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};

    cr_assert(eq(int, poll(&p, 1, 10000), 1), "the sidecar neither answers nor hangs up");
    ssize_t n = recv(fd, ret, size, 0);
    return n > 0 ? (size_t)n : 0;
}
