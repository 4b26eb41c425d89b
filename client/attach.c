/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/*
 * Making an attachment: the handshake, then every number in the answer is checked against what this
 * library computes itself and against the descriptors, before a byte of the maps is believed. After
 * that the hot path reads no size and no offset from shared memory.
 *
 * After a restart the lane memory is handed back. The successor takes it, and then every ring goes
 * on where it was, under the same tag; or it sends another one. If it went on in the same segment,
 * too, nothing is mapped and nothing switched: the attachment that was lost is the new one.
 */
#include "client/client.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "client/hot.h"
#include "shm/diag.h"
#include "shm/wire.h"

/* What the handshake gave, until it is an attachment or closed again. */
struct offer {
    struct sona_wire_welcome welcome;
    struct sona_model_layout layout;
    struct sona_shm_plan plan;
    int fd[SONA_WIRE_FDS_MAX]; /* model, lanes */
    int n_fds;
    const struct sona_client_attachment *kept; /* whose lanes go on; null: there are new ones */
};

static void offer_close(struct offer *offer)
{
    for (int i = 0; i < offer->n_fds; i++)
        (void)close(offer->fd[i]);
    offer->n_fds = 0;
}

/* An answer that is not a WELCOME. */
static sona_err refused(const void *packet, size_t bytes, sona_diag *reterr)
{
    struct sona_wire_refused r;

    memcpy(&r, packet, bytes < sizeof r ? bytes : sizeof r);
    if (r.head.abi_major != SONA_ABI_MAJOR)
        return sona_shm_diag_set(reterr, SONA_E_ABI, 0,
                                 "the sidecar speaks ABI %u.%u, this library %u.%u; upgrade the "
                                 "older of the two",
                                 r.head.abi_major, r.head.abi_minor, SONA_ABI_MAJOR,
                                 SONA_ABI_MINOR);
    if (r.head.kind != SONA_WIRE_REFUSED || bytes != sizeof r)
        return sona_shm_diag_set(reterr, SONA_E_FORMAT, 0,
                                 "the sidecar's answer is of unknown kind %u", r.head.kind);
    r.text[sizeof r.text - 1] = '\0';
    sona_err code = (sona_err)r.code;
    if (r.code == SONA_OK || strcmp(sona_err_name(code), "SONA_E_?") == 0)
        code = SONA_E_SYSTEM;
    return sona_shm_diag_set(reterr, code, 0, "%s", r.text);
}

/* True while the descriptor is still the one that we were given. */
static bool holds_fd(const struct sona_client_lanes *lanes)
{
    struct stat st;

    return lanes && lanes->fd >= 0 && fstat(lanes->fd, &st) == 0 && st.st_ino == lanes->inode;
}

union packet {
    struct sona_wire_head head;
    struct sona_wire_welcome welcome;
    struct sona_wire_refused refused;
    struct sona_wire_challenge challenge;
    char room[4096]; /* for the answer of a later version, so that it can be told apart */
};

/* What the sidecar says to our HELLO. Where it has to ask first who we are, we tell it. */
static sona_err hear(const struct sona_client *client, int fd, union packet *ret, size_t *ret_bytes,
                     struct offer *offer, sona_diag *reterr)
{
    sona_err err = sona_wire_receive(fd, ret, sizeof *ret, client->timeout_ms, ret_bytes, offer->fd,
                                     &offer->n_fds, reterr);

    if (err != SONA_OK || *ret_bytes != sizeof ret->challenge ||
        ret->head.kind != SONA_WIRE_CHALLENGE)
        return err;
    offer_close(offer); /* nothing comes with it */
    err = sona_wire_answer(fd, ret->challenge.nonce, reterr);
    if (err != SONA_OK)
        return err;
    return sona_wire_receive(fd, ret, sizeof *ret, client->timeout_ms, ret_bytes, offer->fd,
                             &offer->n_fds, reterr);
}

/* HELLO, and the answer to it. */
static sona_err greet(struct sona_client *client, int fd,
                      const struct sona_client_attachment *before, bool hand_back,
                      struct offer *ret, sona_diag *reterr)
{
    struct sona_wire_hello hello = {
        .head.kind = SONA_WIRE_HELLO,
        .layout_hash = sona_shm_layout_hash(),
        .lanes = client->n_lanes,
        .dim = client->dim,
        .fence_modes = SONA_SHM_FENCE_FULL | (client->full_fence ? 0u : SONA_SHM_FENCE_ASYM),
        .pid = getpid(),
        .previous_incarnation = before->incarnation,
    };
    union packet answer;
    size_t bytes;

    hand_back = hand_back && holds_fd(before->lanes);
    sona_err err = sona_wire_send(fd, &hello.head, sizeof hello,
                                  hand_back ? &before->lanes->fd : NULL, hand_back ? 1 : 0, reterr);
    if (err == SONA_OK)
        err = hear(client, fd, &answer, &bytes, ret, reterr);
    if (err != SONA_OK)
        return err;
    if (bytes == 0)
        return sona_shm_diag_set(reterr, SONA_E_ABSENT, 0,
                                 "the sidecar hung up during the handshake");
    if (answer.head.kind != SONA_WIRE_WELCOME || answer.head.abi_major != SONA_ABI_MAJOR ||
        bytes != sizeof answer.welcome)
        return refused(&answer, bytes, reterr);
    if (hand_back && ret->n_fds == 1)
        ret->kept = before;
    else if (ret->n_fds != 2)
        return sona_shm_diag_set(reterr, SONA_E_FORMAT, 0,
                                 "the sidecar sent %d descriptors instead of 2", ret->n_fds);
    ret->welcome = answer.welcome;
    return SONA_OK;
}

/* Judge the numbers of the offer; fills its layout and plan. */
static sona_err check_numbers(const struct sona_client *client, struct offer *o, sona_diag *reterr)
{
    const struct sona_shm_header *h = &o->welcome.segment;
    sona_err err = sona_shm_header_check(h, reterr);

    if (err != SONA_OK)
        return err;
    if (sona_model_layout_init(&o->layout, &h->geometry) != SONA_OK ||
        sona_shm_header_plan(h, client->n_lanes, &o->plan) != SONA_OK)
        return sona_shm_diag_set(reterr, SONA_E_GEOMETRY, 0,
                                 "the segment's geometry is outside its limits; restart "
                                 "sona-sidecar");
    if (o->layout.hot_bytes != h->hot_bytes || o->layout.cold_bytes != h->cold_bytes)
        return sona_shm_diag_set(reterr, SONA_E_ABI, 0,
                                 "client and sidecar lay the model out differently; install both "
                                 "from the same version");
    if (o->plan.model_bytes != h->total_bytes || o->welcome.lanes != client->n_lanes ||
        o->welcome.tag == 0 || o->welcome.tag > UINT16_MAX)
        return sona_shm_diag_set(reterr, SONA_E_GEOMETRY, 0,
                                 "the sidecar's answer contradicts itself; restart sona-sidecar");
    if (o->kept &&
        (o->welcome.tag != o->kept->tag || o->plan.lanes_bytes != o->kept->lanes->bytes ||
         o->plan.ring_slots != o->kept->plan.ring_slots ||
         o->plan.record_stride != o->kept->plan.record_stride))
        return sona_shm_diag_set(reterr, SONA_E_GEOMETRY, 0,
                                 "the sidecar took lanes back that are not made like its own; "
                                 "restart sona-sidecar");
    if (client->dim != 0 && client->dim != h->geometry.dim)
        return sona_shm_diag_set(reterr, SONA_E_SHAPE, 0,
                                 "the instance has dimension %u, %u was expected", h->geometry.dim,
                                 client->dim);
    return SONA_OK;
}

/* Judge the descriptors against the numbers. */
static sona_err check_descriptors(const struct offer *o, sona_diag *reterr)
{
    struct stat st;

    if (fstat(o->fd[0], &st) != 0)
        return sona_shm_diag_set(reterr, SONA_E_SYSTEM, errno, "cannot examine the model segment");
    if (!S_ISREG(st.st_mode) || (uint64_t)st.st_size != o->plan.model_bytes)
        return sona_shm_diag_set(
            reterr, SONA_E_GEOMETRY, 0, "the model segment has %llu bytes, %llu were announced",
            (unsigned long long)st.st_size, (unsigned long long)o->plan.model_bytes);
    return o->kept ? SONA_OK : sona_shm_lanes_check(o->fd[1], o->plan.lanes_bytes, reterr);
}

static size_t align_up(size_t bytes)
{
    return (bytes + SONA_MODEL_ALIGN - 1) / SONA_MODEL_ALIGN * SONA_MODEL_ALIGN;
}

/* Allocate the attachment's block and give each port its scratch. */
static struct sona_client_attachment *block_create(struct sona_client *client,
                                                   const struct sona_model_layout *layout)
{
    size_t x_bytes = align_up(layout->dim_padded * sizeof(float));
    size_t scratch_bytes = align_up(sona_model_scratch_bytes(layout));
    size_t head =
        sizeof(struct sona_client_attachment) + client->n_lanes * sizeof(struct sona_client_port);
    size_t bytes = head + client->n_lanes * (x_bytes + scratch_bytes);
    bool locked;
    struct sona_client_attachment *a = sona_client_pages_map(bytes, &locked);

    if (!a)
        return NULL;
    a->serial = ++client->serials;
    a->bytes = bytes;
    a->locked = locked;
    a->layout = *layout;
    a->n_lanes = client->n_lanes;
    for (uint32_t i = 0; i < a->n_lanes; i++) {
        char *scratch = (char *)a + head + i * (x_bytes + scratch_bytes);

        a->port[i].x = (float *)(void *)scratch;
        sona_model_scratch_init(layout, scratch + x_bytes, &a->port[i].scores);
        /* The caller may read the scores of its last decision until its next call, and the
         * attachment may be gone by then. */
        a->port[i].scores.value = client->states[i].scores;
    }
    return a;
}

sona_err sona_client_attachment_void(struct sona_client *client, uint32_t dim,
                                     struct sona_client_attachment **ret, sona_diag *reterr)
{
    /* The smallest model there is; the dimension and the widest range of layers are what counts. */
    sona_geometry geometry = {.dim = dim == 0 ? SONA_DIM_MIN : dim,
                              .routes_max = 1,
                              .micro_rank = 1,
                              .base_rank = SONA_BASE_RANK_MIN,
                              .layers = SONA_LAYERS_MAX,
                              .patterns_max = 1,
                              .flags = SONA_GEOMETRY_NORMALIZE};
    struct sona_model_layout layout;

    if (sona_model_layout_init(&layout, &geometry) != SONA_OK)
        return sona_shm_diag_set(reterr, SONA_E_RANGE, 0, "a dimension is %d..%d", SONA_DIM_MIN,
                                 SONA_DIM_MAX);
    struct sona_client_attachment *a = block_create(client, &layout);
    if (!a)
        return sona_shm_diag_set(reterr, SONA_E_MEMORY, errno, "cannot allocate the lanes");
    a->layout.geometry.dim = dim; /* 0 refuses every vector */
    *ret = a;
    return SONA_OK;
}

/* A new lane memory; the offer's descriptor is kept, to be handed back one day. */
static struct sona_client_lanes *lanes_map(struct sona_client *client, struct offer *o,
                                           bool *ret_locked)
{
    struct sona_client_lanes *lanes = calloc(1, sizeof *lanes);
    size_t bytes = (size_t)o->plan.lanes_bytes;
    struct stat st = {.st_ino = 0};

    if (!lanes)
        return NULL;
    void *map = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, o->fd[1], 0);
    if (map == MAP_FAILED) {
        free(lanes);
        return NULL;
    }
    *ret_locked = sona_client_pages_settle(map, bytes, true);
    (void)fstat(o->fd[1], &st);
    *lanes = (struct sona_client_lanes){.serial = ++client->serials,
                                        .map = map,
                                        .bytes = bytes,
                                        .fd = o->fd[1],
                                        .inode = st.st_ino};
    o->n_fds = 1;
    return lanes;
}

/* Map both halves into `a`. What was mapped when it fails is unmapped by the attachment's close. */
static sona_err map_offer(struct sona_client *client, struct sona_client_attachment *a,
                          struct offer *o, sona_diag *reterr)
{
    bool locked = true;
    struct sona_shm_header header;
    void *map =
        mmap(NULL, (size_t)o->plan.model_bytes, PROT_READ, MAP_SHARED | MAP_POPULATE, o->fd[0], 0);

    a->plan = o->plan;
    if (map == MAP_FAILED)
        return sona_shm_diag_set(reterr, SONA_E_SYSTEM, errno, "cannot map the model");
    a->model_map = map;
    a->lanes = o->kept ? o->kept->lanes : lanes_map(client, o, &locked);
    if (!a->lanes)
        return sona_shm_diag_set(reterr, SONA_E_SYSTEM, errno, "cannot map the lanes");
    a->lanes->owners++;

    memcpy(&header, a->model_map, sizeof header);
    if (memcmp(&header, &o->welcome.segment, sizeof header) != 0)
        return sona_shm_diag_set(reterr, SONA_E_GEOMETRY, 0,
                                 "the model segment is not the one that was announced; restart "
                                 "sona-sidecar");
    a->locked &= sona_client_pages_settle(a->model_map, (size_t)a->plan.model_bytes, false);
    a->locked &= locked;
    return SONA_OK;
}

static void fill(const struct sona_client *client, struct sona_client_attachment *a,
                 const struct offer *o)
{
    const struct sona_shm_plan *p = &a->plan;
    char *lanes = a->lanes->map;

    a->tag = o->welcome.tag;
    a->incarnation = o->welcome.incarnation;
    a->reader = (struct sona_shm_reader){
        .live = (const void *)((const char *)a->model_map + SONA_SHM_PAGE),
        .hot = (const char *)a->model_map + p->hot_offset,
        .cold = (const char *)a->model_map + p->cold_offset,
        .hot_stride = p->hot_stride,
        .cold_stride = p->cold_stride,
        .hot_slots = p->hot_slots,
        .cold_slots = p->cold_slots,
        .full_fence = client->full_fence || !(o->welcome.segment.fence_modes & SONA_SHM_FENCE_ASYM),
    };
    for (uint32_t i = 0; i < a->n_lanes; i++) {
        char *lane = lanes + p->lane_offset + i * p->lane_stride;

        a->port[i].shared = (struct sona_shm_lane *)(void *)lane;
        sona_shm_ring_bind(&a->port[i].ring, a->port[i].shared->ring, lane + p->records_offset,
                           p->ring_slots, p->record_stride);
    }
    /* Relaxed: published with att [L3]. */
    atomic_store_explicit(&a->mode, SONA_CLIENT_OPEN, memory_order_relaxed);
}

/* Run what the hot path runs, once, on a port that nobody uses yet: code and tables are then in
 * memory, and the first real call meets no page fault of ours. */
static void rehearse(struct sona_client_attachment *a)
{
    struct sona_client_lane_state state = {.draws = 0};
    struct sona_client_call call = {.att = a, .port = &a->port[0], .state = &state};
    struct sona_client_read read;
    struct sona_model_scores *scores = &a->port[0].scores;
    float *value = scores->value;
    float *x = a->port[0].x;
    void *record = sona_shm_ring_reserve(&a->port[0].ring); /* room for y; never committed */
    sona_decision decision;
    sona_pattern pattern;

    scores->value = state.scores; /* the lane's own may still be read by its owner */
    x[0] = 1;
    sona_client_read_begin(&read);
    while (sona_client_read_next(&call, &read)) {
        (void)sona_model_decide(&read.view, x, NULL, sona_model_random(1, 0, 0), scores, &decision);
        (void)sona_model_find_patterns(&read.view, x, 1, &pattern);
        if (record)
            sona_model_apply(&read.view, x, sona_record_floats(record));
        if (sona_client_read_valid(&call, &read, SONA_SHM_USE_HOT | SONA_SHM_USE_COLD))
            break;
    }
    (void)sona_client_read_end(&call, &read);
    scores->value = value;
}

/* The successor went on in the segment that we have mapped: page 0 is its fingerprint. */
static bool same_segment(const struct offer *o)
{
    return o->kept &&
           memcmp(o->kept->model_map, &o->welcome.segment, sizeof o->welcome.segment) == 0;
}

/* Make the attachment of a judged offer. */
static sona_err accept_offer(struct sona_client *client, struct offer *o,
                             struct sona_client_attachment **ret, sona_diag *reterr)
{
    struct sona_client_attachment *a = block_create(client, &o->layout);

    if (!a)
        return sona_shm_diag_set(reterr, SONA_E_MEMORY, errno, "cannot allocate the lanes");
    sona_err err = map_offer(client, a, o, reterr);
    if (err != SONA_OK) {
        sona_client_attachment_close(a);
        return err;
    }
    fill(client, a, o);
    if (!o->kept) /* its rings and hazards are in use; and so was the code, before */
        rehearse(a);
    *ret = a;
    return SONA_OK;
}

sona_err sona_client_attachment_open(struct sona_client *client,
                                     struct sona_client_attachment *before, bool hand_back,
                                     struct sona_client_attachment **ret, int *ret_socket,
                                     sona_diag *reterr)
{
    struct offer offer = {.n_fds = 0};
    int fd;
    sona_err err = sona_wire_connect(client->path, client->timeout_ms, &fd, reterr);

    if (err != SONA_OK)
        return err;
    err = greet(client, fd, before, hand_back, &offer, reterr);
    if (err == SONA_OK)
        err = check_numbers(client, &offer, reterr);
    if (err == SONA_OK)
        err = check_descriptors(&offer, reterr);
    if (err == SONA_OK && same_segment(&offer)) {
        before->incarnation = offer.welcome.incarnation;
        *ret = before;
    } else if (err == SONA_OK) {
        err = accept_offer(client, &offer, ret, reterr);
    }
    offer_close(&offer);
    if (err != SONA_OK) {
        (void)close(fd);
        return err;
    }
    *ret_socket = fd;
    return SONA_OK;
}

void sona_client_lanes_drop_fd(struct sona_client_lanes *lanes)
{
    if (holds_fd(lanes))
        (void)close(lanes->fd);
    if (lanes)
        lanes->fd = -1;
}

static void lanes_release(struct sona_client_lanes *lanes)
{
    if (!lanes || --lanes->owners > 0)
        return;
    sona_client_lanes_drop_fd(lanes);
    (void)munmap(lanes->map, lanes->bytes);
    free(lanes);
}

void sona_client_attachment_close(struct sona_client_attachment *a)
{
    if (!a)
        return;
    if (a->model_map)
        (void)munmap(a->model_map, (size_t)a->plan.model_bytes);
    lanes_release(a->lanes);
    (void)munmap(a, a->bytes);
}
