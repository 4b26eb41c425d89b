/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/* See fake.h. */
#include "fake.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include <criterion/criterion.h>
#include <criterion/new/assert.h>

#include "engine/model/block.h"

struct sona_model_route *fake_route(struct fake *fake, uint32_t index)
{
    const struct sona_model_rows *rows = &fake->layout.routes;

    return (void *)((char *)fake->hot + rows->offset + index * rows->stride);
}

/* Rows of floats in a block: a pattern that is the same everywhere and nowhere zero. */
static void sprinkle(void *block, size_t offset, size_t count, float scale)
{
    float *f = (float *)(void *)((char *)block + offset);

    for (size_t i = 0; i < count; i++)
        f[i] = scale * (float)((double)(i % 7) - 3.25);
}

static void fill_model(struct fake *fake)
{
    const struct sona_model_layout *l = &fake->layout;

    sona_model_blocks_init(l, fake->hot, fake->cold);
    struct sona_model_hot *hot = fake->hot;
    struct sona_model_cold *cold = fake->cold;
    hot->n_routes = FAKE_ROUTES;
    hot->n_patterns = cold->n_patterns = FAKE_PATTERNS;
    hot->flags = SONA_MODEL_USE_MICRO | SONA_MODEL_USE_BASE | SONA_MODEL_USE_PATTERNS;
    cold->has_base = cold->has_code = 1;
    for (uint32_t k = 0; k < FAKE_ROUTES; k++) {
        struct sona_model_route *route = fake_route(fake, k);

        route->id = k;
        route->state = SONA_ROUTE_ENABLED;
        (void)snprintf(route->name, sizeof route->name, "route-%u", k);
        route->mean = 0.5f;
    }
    sprinkle(fake->hot, l->micro_a, l->dim_padded, 0.01f);
    sprinkle(fake->hot, l->micro_b, l->dim_padded, 0.02f);
    sprinkle(fake->cold, l->base_a, l->dim_padded, 0.03f);
    sprinkle(fake->cold, l->base_b, l->dim_padded, 0.04f);
    for (uint32_t c = 0; c < FAKE_PATTERNS; c++) {
        size_t row = l->patterns.offset + c * l->patterns.stride;
        struct sona_model_pattern *p = (void *)((char *)fake->cold + row);

        p->id = 100 + c;
        p->weight = 1;
        sprinkle(fake->cold, row + l->pattern_centroid, l->geometry.dim, 0.1f * (float)(c + 1));
    }
    cold->n_bank = FAKE_PATTERNS;
    for (uint32_t c = 0; c < FAKE_PATTERNS; c++) {
        *sona_model_bank_row(l, fake->cold, c) = (struct sona_model_bank){.id = 100 + c};
        sona_model_bank_part(l, fake->cold, c, l->bank_centroid)[c] = 1;
    }
}

uint64_t fake_publish(struct fake *fake, bool with_cold)
{
    struct sona_shm_published published;
    struct sona_shm_image image = {.bytes = fake->hot,
                                   .size = fake->layout.hot_bytes,
                                   .dense_bytes = fake->layout.hot_bytes,
                                   .step = ++fake->step};

    ((struct sona_model_hot *)fake->hot)->step = fake->step;
    if (with_cold) {
        void *slot = sona_shm_publisher_reserve_cold(fake->publisher, fake->step);

        cr_assert(ne(ptr, slot, NULL));
        memcpy(slot, fake->cold, fake->layout.cold_bytes);
    }
    sona_shm_publisher_publish(fake->publisher, &image, with_cold, fake->step, &published);
    return published.id;
}

void fake_seal_header(struct sona_shm_header *header)
{
    header->crc = sona_shm_crc32c(header, offsetof(struct sona_shm_header, crc));
}

static void refuse(struct fake *fake, int socket)
{
    struct sona_wire_refused packet = {.head.kind = SONA_WIRE_REFUSED,
                                       .code = (uint32_t)fake->refuse,
                                       .text = "the fake refuses; ask it nicely"};

    (void)sona_wire_send(socket, &packet.head, sizeof packet, NULL, 0, NULL);
}

/* Lanes that are handed back go on: page 0 says what they are. */
static bool take_back(struct fake *fake, struct fake_peer *peer)
{
    struct sona_shm_lanes_header header;

    if (peer->old_fd < 0)
        return false;
    if (!fake->take_back || pread(peer->old_fd, &header, sizeof header, 0) != sizeof header) {
        (void)close(peer->old_fd);
        peer->old_fd = -1;
        return false;
    }
    peer->tag = (uint32_t)header.tag;
    peer->lanes_fd = peer->old_fd;
    peer->lanes = mmap(NULL, (size_t)peer->plan.lanes_bytes, PROT_READ | PROT_WRITE, MAP_SHARED,
                       peer->lanes_fd, 0);
    peer->came_back = true;
    return true;
}

static bool make_lanes(struct fake *fake, struct fake_peer *peer, const uint8_t uuid[16])
{
    void *map;

    peer->tag = fake->tag++;
    if (sona_shm_lanes_create(&peer->plan, uuid, peer->tag, (uint32_t)peer->hello.pid,
                              &peer->lanes_fd, &map, NULL) != SONA_OK)
        return false;
    peer->lanes = map;
    return true;
}

/* The right answer, or what `spoil` makes of it. */
static void welcome(struct fake *fake, struct fake_peer *peer)
{
    struct sona_wire_welcome packet = {.head.kind = SONA_WIRE_WELCOME,
                                       .segment = *sona_shm_publisher_header(fake->publisher),
                                       .incarnation = 1 + fake->tag,
                                       .lanes = peer->hello.lanes};
    int fds[3] = {sona_shm_publisher_fd(fake->publisher), -1, -1}, n_fds = 2;

    if (sona_shm_header_plan(&packet.segment, peer->hello.lanes, &peer->plan) != SONA_OK ||
        !(take_back(fake, peer) || make_lanes(fake, peer, packet.segment.uuid)))
        return;
    packet.tag = peer->tag;
    fds[1] = fds[2] = peer->lanes_fd;
    if (peer->came_back)
        n_fds = 1;
    (void)sona_shm_publisher_scan_add(fake->publisher, peer->lanes, &peer->plan);
    if (fake->spoil && !fake->spoil(fake, &packet, fds, &n_fds))
        return;
    (void)sona_wire_send(peer->socket, &packet.head, sizeof packet, fds,
                         n_fds > SONA_WIRE_FDS_MAX ? SONA_WIRE_FDS_MAX : n_fds, NULL);
}

static void serve(struct fake *fake)
{
    int socket = accept4(fake->listener, NULL, NULL, SOCK_CLOEXEC);
    struct fake_peer *peer = &fake->peer[fake->n_peers];
    int fds[SONA_WIRE_FDS_MAX], n_fds = 0;
    size_t bytes;

    if (socket < 0)
        return;
    *peer = (struct fake_peer){.socket = socket, .lanes_fd = -1, .old_fd = -1};
    if (fake->n_peers == FAKE_PEERS - 1 ||
        sona_wire_receive(socket, &peer->hello, sizeof peer->hello, 5000, &bytes, fds, &n_fds,
                          NULL) != SONA_OK ||
        bytes != sizeof peer->hello || n_fds > 1) {
        (void)close(socket);
        return;
    }
    if (n_fds == 1)
        peer->old_fd = fds[0];
    fake->n_peers++;
    if (fake->refuse != SONA_OK)
        refuse(fake, socket);
    else
        welcome(fake, peer);
}

static void *run(void *arg)
{
    struct fake *fake = arg;

    for (;;) {
        struct pollfd p[2] = {{.fd = fake->stop[0], .events = POLLIN},
                              {.fd = fake->listener, .events = POLLIN}};

        if (poll(p, 2, -1) > 0 && p[0].revents)
            return NULL;
        if (p[1].revents) {
            (void)pthread_mutex_lock(&fake->lock);
            serve(fake);
            (void)pthread_mutex_unlock(&fake->lock);
        }
    }
}

/* Everything that a restart makes anew. */
static void begin(struct fake *fake)
{
    struct timespec t;
    sona_diag diag = {.text = ""};
    struct sockaddr_un address = {.sun_family = AF_UNIX};

    (void)clock_gettime(CLOCK_REALTIME, &t);
    uint64_t wall_us = (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
    /* A test may publish faster than the clock of ids ticks; they must grow all the same. */
    wall_us += (fake->step + 1) * SONA_SHM_G_TICK_US;
    struct sona_shm_segment_options options = {
        .instance = fake->instance,
        .geometry = fake->geometry,
        .hot_bytes = fake->layout.hot_bytes,
        .cold_bytes = fake->layout.cold_bytes,
        .ring_slots = FAKE_SLOTS,
        .wall_us = wall_us,
        .adopt = fake->adopt,
    };
    cr_assert(eq(int, sona_shm_publisher_create(&fake->publisher, &options, &diag), SONA_OK), "%s",
              diag.text);
    sona_shm_publisher_grace_end(fake->publisher);
    (void)fake_publish(fake, true);
    sona_shm_publisher_set_state(fake->publisher, SONA_SHM_LIVE);
    fake->listener = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    memcpy(address.sun_path, fake->path, strlen(fake->path) + 1);
    cr_assert(eq(int, bind(fake->listener, (struct sockaddr *)&address, sizeof address), 0));
    cr_assert(eq(int, listen(fake->listener, 8), 0));
    cr_assert(eq(int, pipe(fake->stop), 0));
    cr_assert(eq(int, pthread_create(&fake->thread, NULL, run, fake), 0));
}

void fake_start_dim(struct fake *fake, uint32_t dim)
{
    memset(fake, 0, sizeof *fake);
    (void)pthread_mutex_init(&fake->lock, NULL);
    (void)snprintf(fake->dir, sizeof fake->dir, "/tmp/sona-fake-XXXXXX");
    cr_assert(ne(ptr, mkdtemp(fake->dir), NULL));
    (void)snprintf(fake->instance, sizeof fake->instance, "fake-%d", (int)getpid());
    (void)snprintf(fake->path, sizeof fake->path, "%s/%s.sock", fake->dir, fake->instance);
    fake->tag = 7;
    fake->geometry = (sona_geometry){.dim = dim,
                                     .routes_max = 4,
                                     .micro_rank = 1,
                                     .base_rank = 4,
                                     .layers = 2,
                                     .patterns_max = 4,
                                     .attention_dim = 5,
                                     .flags = SONA_GEOMETRY_NORMALIZE};
    cr_assert(eq(int, sona_model_layout_init(&fake->layout, &fake->geometry), SONA_OK));
    fake->hot = aligned_alloc(SONA_MODEL_ALIGN, fake->layout.hot_bytes);
    fake->cold = aligned_alloc(SONA_MODEL_ALIGN, fake->layout.cold_bytes);
    fill_model(fake);
    begin(fake);
}

void fake_start(struct fake *fake)
{
    fake_start_dim(fake, FAKE_DIM);
}

/* Stop serving, and hang up. */
static void vanish(struct fake *fake)
{
    cr_assert(eq(i64, write(fake->stop[1], "x", 1), 1));
    (void)pthread_join(fake->thread, NULL);
    (void)close(fake->stop[0]);
    (void)close(fake->stop[1]);
    (void)close(fake->listener);
    (void)unlink(fake->path);
    for (uint32_t i = 0; i < fake->n_peers; i++) {
        struct fake_peer *peer = &fake->peer[i];

        (void)close(peer->socket);
        if (peer->lanes) {
            sona_shm_publisher_scan_remove(fake->publisher, peer->lanes);
            (void)munmap(peer->lanes, (size_t)peer->plan.lanes_bytes);
            (void)close(peer->lanes_fd);
        }
    }
    fake->n_peers = 0;
}

void fake_crash(struct fake *fake)
{
    vanish(fake);
    sona_shm_publisher_destroy(&fake->publisher, false);
}

void fake_end(struct fake *fake)
{
    vanish(fake);
    sona_shm_publisher_set_state(fake->publisher, SONA_SHM_RETIRED);
    sona_shm_publisher_destroy(&fake->publisher, true);
}

void fake_restart(struct fake *fake)
{
    begin(fake);
}

void fake_stop(struct fake *fake)
{
    fake_end(fake);
    (void)rmdir(fake->dir);
    free(fake->hot);
    free(fake->cold);
}

struct sona_shm_lane *fake_lane(struct fake *fake, uint32_t peer, uint32_t lane)
{
    const struct fake_peer *p = &fake->peer[peer];

    return (void *)(p->lanes + p->plan.lane_offset + lane * p->plan.lane_stride);
}

uint32_t fake_drain(struct fake *fake, uint32_t peer, uint32_t lane, void *ret, uint32_t max)
{
    const struct fake_peer *p = &fake->peer[peer];
    struct sona_shm_lane *shared = fake_lane(fake, peer, lane);
    struct sona_shm_drain drain;
    uint32_t head;

    memcpy(&head, shared->ring, sizeof head); /* c_head: nobody else takes */
    sona_shm_drain_bind(&drain, shared->ring, (char *)shared + p->plan.records_offset,
                        p->plan.ring_slots, p->plan.record_stride, head);
    int64_t ready = sona_shm_drain_ready(&drain);
    cr_assert(ge(i64, ready, 0));
    uint32_t n = ready < (int64_t)max ? (uint32_t)ready : max;
    for (uint32_t i = 0; i < n; i++)
        sona_shm_drain_copy(&drain, i, (char *)ret + i * p->plan.record_stride);
    sona_shm_drain_advance(&drain, n);
    return n;
}

sona_client_options fake_options(const struct fake *fake)
{
    return (sona_client_options){.instance = fake->instance,
                                 .runtime_dir = fake->dir,
                                 .lanes = 2,
                                 .no_maintenance_thread = true,
                                 .timeout_ms = 5000,
                                 .seed = 1};
}

sona_client *fake_client(const struct fake *fake)
{
    sona_client_options options = fake_options(fake);
    sona_client *client = NULL;
    sona_diag diag = {.text = ""};

    cr_assert(eq(int, sona_client_open(&client, &options, &diag), SONA_OK), "%s", diag.text);
    return client;
}

void fake_query(float *x, uint32_t dim, uint32_t salt)
{
    for (uint32_t i = 0; i < dim; i++)
        x[i] = (float)(1 + i + salt);
}
