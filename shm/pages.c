/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/*
 * Run by the build: write the tables of the shared memory, with the offsets and sizes that the
 * compiler gives them. usage: pages document|manual|holes
 *
 * `holes` ends with 1 when a struct has bytes that no row is about: what two processes share is
 * named to the last byte.
 */
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "shm/layout.h"
#include "shm/record.h"
#include "shm/wire.h"

#define ROW(type, name, by, words)                                             \
    {                                                                          \
        .member = #name, .offset = offsetof(struct type, name),                \
        .bytes = sizeof(((struct type *)0)->name), .writer = by, .help = words \
    }
#define GEOMETRY(name, words)                                                    \
    {                                                                            \
        .member = #name, .offset = offsetof(sona_geometry, name),                \
        .bytes = sizeof(((sona_geometry *)0)->name), .writer = "", .help = words \
    }
#define ERROR(name, words)                                                                        \
    {                                                                                             \
        .member = "error[i]." #name, .offset = offsetof(struct sona_shm_counters, error[0].name), \
        .bytes = sizeof(((struct sona_shm_counters *)0)->error[0].name), .writer = "sidecar",     \
        .help = words                                                                             \
    }

struct row {
    const char *member;
    size_t offset, bytes;
    const char *writer, *help;
};

static const struct row header[] = {
    ROW(sona_shm_header, magic, "sidecar", "\"SONASEG1\""),
    ROW(sona_shm_header, abi_major, "sidecar", "equal on both sides, or the client is refused"),
    ROW(sona_shm_header, abi_minor, "sidecar", "of the sidecar: the client's or a later one"),
    ROW(sona_shm_header, header_bytes, "sidecar", "bytes of this struct"),
    ROW(sona_shm_header, layout_hash, "sidecar", "of the offsets in this page: see above"),
    ROW(sona_shm_header, endianness, "sidecar", "0x01020304, as the writer stores it"),
    ROW(sona_shm_header, fence_modes, "sidecar", "1: FULL, 2: ASYM (membarrier); a bit mask"),
    ROW(sona_shm_header, total_bytes, "sidecar", "of the segment"),
    ROW(sona_shm_header, uuid, "sidecar", "of the segment, random"),
    ROW(sona_shm_header, generation, "sidecar", "grows when another segment takes its place"),
    ROW(sona_shm_header, geometry, "sidecar", "sizes of the model: below"),
    ROW(sona_shm_header, hot_slots, "sidecar", "how many hot slots follow"),
    ROW(sona_shm_header, cold_slots, "sidecar", "and cold ones behind them"),
    ROW(sona_shm_header, hot_bytes, "sidecar", "of the model's hot half"),
    ROW(sona_shm_header, cold_bytes, "sidecar", "of its cold half"),
    ROW(sona_shm_header, ring_slots, "sidecar", "of each lane's ring, a power of two"),
    ROW(sona_shm_header, record_stride, "sidecar", "bytes of a record in it"),
    ROW(sona_shm_header, reserved, "sidecar", "0"),
    ROW(sona_shm_header, crc, "sidecar", "CRC-32C of all bytes before it"),
};

static const struct row geometry[] = {
    GEOMETRY(dim, "floats of an embedding"),
    GEOMETRY(routes_max, "capacity of the route table"),
    GEOMETRY(micro_rank, "rank of MicroLoRA"),
    GEOMETRY(base_rank, "rank of BaseLoRA and of the code"),
    GEOMETRY(layers, "layers of BaseLoRA"),
    GEOMETRY(patterns_max, "capacity of the pattern table"),
    GEOMETRY(attention_dim, "attention weights that a step can carry"),
    GEOMETRY(flags, "1: embeddings are normalized; 2: everybody computes with the C kernels"),
    GEOMETRY(hidden_dim, "floats of a step's activations; 0: dim"),
    GEOMETRY(tenants_max, "tenants with an adapter"),
    GEOMETRY(tenant_rank, "rank of a tenant's adapter"),
    GEOMETRY(reserved, "0"),
};

static const struct row live[] = {
    ROW(sona_shm_live, cur, "sidecar", "the current pair: g:48 | cold:8 | hot:8; 0: none"),
    ROW(sona_shm_live, pad0, "", ""),
    ROW(sona_shm_live, incarnation, "sidecar", "of the sidecar's process; grows at every start"),
    ROW(sona_shm_live, state, "sidecar", "0 INIT, 1 LIVE, 2 DRAINING, 3 RETIRED"),
    ROW(sona_shm_live, pad1, "", ""),
    ROW(sona_shm_live, heartbeat, "sidecar", "counts up every 100 ms while it lives"),
    ROW(sona_shm_live, pad2, "", ""),
};

static const struct row counters[] = {
    ROW(sona_shm_counters, counter, "sidecar", "in the order of SONA_COUNTERS (sona/stats.h)"),
    ERROR(count, "how often this text was logged as warning or error; 0: none"),
    ERROR(text, "event, and what it said; NUL-terminated"),
};

static const struct row hot[] = {
    ROW(sona_shm_hot, seq, "sidecar", "its cur word while it is bound; 0 while it is written"),
    ROW(sona_shm_hot, cold_id, "sidecar", "seq of the cold slot that it belongs to"),
    ROW(sona_shm_hot, pad, "", ""),
};

static const struct row cold[] = {
    ROW(sona_shm_cold, seq, "sidecar",
        "g of its first publication << 8 | its index; 0 while it is written"),
    ROW(sona_shm_cold, pad, "", ""),
};

static const struct row lanes[] = {
    ROW(sona_shm_lanes_header, magic, "sidecar", "\"SONALNE1\""),
    ROW(sona_shm_lanes_header, n_lanes, "sidecar", "lanes that follow"),
    ROW(sona_shm_lanes_header, ring_slots, "sidecar", "of each"),
    ROW(sona_shm_lanes_header, record_stride, "sidecar", "bytes of a record"),
    ROW(sona_shm_lanes_header, pid, "sidecar", "of the client, for people"),
    ROW(sona_shm_lanes_header, tag, "sidecar", "of the ids of its decisions"),
    ROW(sona_shm_lanes_header, segment_uuid, "sidecar", "of the segment it was issued for"),
    ROW(sona_shm_lanes_header, identity, "sidecar",
        "random; under it a sidecar knows the memory again when it is handed back"),
};

static const struct row lane[] = {
    ROW(sona_shm_lane, hazard, "client", "the cur word that its reader uses; 0: none"),
    ROW(sona_shm_lane, pad0, "", ""),
    ROW(sona_shm_lane, counters, "client", "below"),
    ROW(sona_shm_lane, control, "sidecar", "below"),
    ROW(sona_shm_lane, ring, "both", "below"),
};

static const struct row lane_counters[] = {
    ROW(sona_shm_lane_counters, dropped_full, "client", "events dropped, the ring being full"),
    ROW(sona_shm_lane_counters, refused, "client", "calls refused for their arguments"),
    ROW(sona_shm_lane_counters, committed, "client", "records committed"),
    ROW(sona_shm_lane_counters, pad, "", ""),
};

static const struct row lane_control[] = {
    ROW(sona_shm_lane_control, closed, "sidecar", "1: nothing is drained any more"),
    ROW(sona_shm_lane_control, pad, "", ""),
};

static const struct row record[] = {
    ROW(sona_record, magic, "client", "\"SDCR\""),
    ROW(sona_record, version, "client", "1"),
    ROW(sona_record, kind, "client", "of the record: below"),
    ROW(sona_record, flags, "client", "sona_why of a DECIDE, kind of a SIGNAL; STEP: 1, rewarded"),
    ROW(sona_record, lane_seq, "client", "counts from 0; its low 32 bits are the ring's position"),
    ROW(sona_record, id, "client", "tag:16 | lane:8 | lane_seq:40 of the decision or trajectory"),
    ROW(sona_record, snapshot, "client", "cur word that answered; 0: none"),
    ROW(sona_record, route, "client", "index:16, generation:16"),
    ROW(sona_record, value, "client", "propensity, quality or reward"),
    ROW(sona_record, score, "client", "what was expected, or a step's score"),
    ROW(sona_record, latency_us, "client", "of the answer"),
    ROW(sona_record, node, "client", "tenant, node or pattern row; tokens in of an OUTCOME"),
    ROW(sona_record, n_floats, "client", "activations of a STEP"),
    ROW(sona_record, n_attention, "client", "attention weights of a STEP"),
    ROW(sona_record, layer, "client", "of a STEP"),
    ROW(sona_record, unrecorded, "client",
        "65,536 times the share of decisions like this DECIDE that no record is written of"),
    ROW(sona_record, reserved1, "client", "tokens out of an OUTCOME, else 0"),
};

static const struct row head[] = {
    ROW(sona_wire_head, magic, "both", "\"WIRE\""),
    ROW(sona_wire_head, kind, "both", "1 HELLO, 2 WELCOME, 3 REFUSED"),
    ROW(sona_wire_head, abi_major, "both", "of the sender"),
    ROW(sona_wire_head, abi_minor, "both", "of the sender"),
    ROW(sona_wire_head, bytes, "both", "of the packet"),
};

static const struct row hello[] = {
    ROW(sona_wire_hello, head, "client", "kind 1"),
    ROW(sona_wire_hello, layout_hash, "client", "of the offsets that it was compiled with"),
    ROW(sona_wire_hello, lanes, "client", "wanted"),
    ROW(sona_wire_hello, dim, "client", "floats of its embeddings; 0: any"),
    ROW(sona_wire_hello, fence_modes, "client", "what it can do"),
    ROW(sona_wire_hello, pid, "client", "for people; the kernel's word counts"),
    ROW(sona_wire_hello, previous_incarnation, "client", "that it was attached to; 0: none"),
};

static const struct row welcome[] = {
    ROW(sona_wire_welcome, head, "sidecar", "kind 2"),
    ROW(sona_wire_welcome, segment, "sidecar", "a copy of page 0"),
    ROW(sona_wire_welcome, incarnation, "sidecar", "of the sidecar"),
    ROW(sona_wire_welcome, lanes, "sidecar", "that it gets"),
    ROW(sona_wire_welcome, tag, "sidecar", "of its ids"),
};

static const struct row refused[] = {
    ROW(sona_wire_refused, head, "sidecar", "kind 3"),
    ROW(sona_wire_refused, code, "sidecar", "sona_err"),
    ROW(sona_wire_refused, text, "sidecar", "one sentence with the remedy; NUL-terminated"),
};

#define TABLE(title, rows, bytes)                          \
    {                                                      \
        title, rows, sizeof(rows) / sizeof(rows)[0], bytes \
    }
static const struct table {
    const char *title;
    const struct row *rows;
    size_t n, bytes; /* bytes: of the struct */
} tables[] = {
    TABLE("Segment, page 0: identity", header, sizeof(struct sona_shm_header)),
    TABLE("Geometry, in page 0", geometry, sizeof(sona_geometry)),
    TABLE("Segment, page 1: what is current", live, sizeof(struct sona_shm_live)),
    /* The other errors are as the first. */
    TABLE("Segment, page 2: counters and errors", counters,
          offsetof(struct sona_shm_counters, error[1])),
    TABLE("Head of a hot slot", hot, sizeof(struct sona_shm_hot)),
    TABLE("Head of a cold slot", cold, sizeof(struct sona_shm_cold)),
    TABLE("Lane memory, page 0", lanes, sizeof(struct sona_shm_lanes_header)),
    TABLE("Head of a lane", lane, sizeof(struct sona_shm_lane)),
    TABLE("Counters of a lane", lane_counters, sizeof(struct sona_shm_lane_counters)),
    TABLE("Control of a lane", lane_control, sizeof(struct sona_shm_lane_control)),
    TABLE("Head of a record", record, sizeof(struct sona_record)),
    TABLE("Head of a packet", head, sizeof(struct sona_wire_head)),
    TABLE("HELLO", hello, sizeof(struct sona_wire_hello)),
    TABLE("WELCOME", welcome, sizeof(struct sona_wire_welcome)),
    TABLE("REFUSED", refused, sizeof(struct sona_wire_refused)),
};
#define TABLES (sizeof tables / sizeof tables[0])

static const struct {
    const char *name;
    uint64_t value;
} limits[] = {
    {"bytes of a page", SONA_SHM_PAGE},
    {"bytes between words of two writers", SONA_SHM_SPACING},
    {"hot slots, by default", SONA_SHM_HOT_SLOTS},
    {"hot slots, at most", SONA_SHM_HOT_MAX},
    {"cold slots, by default", SONA_SHM_COLD_SLOTS},
    {"cold slots, at most", SONA_SHM_COLD_MAX},
    {"slots of a ring, by default (one stays free)", SONA_SHM_RING_SLOTS},
    {"slots of a ring, at most", SONA_SHM_RING_SLOTS_MAX},
    {"bytes of a record, at most", SONA_SHM_STRIDE_MAX},
    {"clients at a time", SONA_SHM_CLIENTS_MAX},
    {"errors kept in page 2", SONA_SHM_ERRORS_MAX},
    {"counters in page 2, at most", SONA_SHM_COUNTERS_MAX},
    {"milliseconds that a pin is respected, by default", SONA_SHM_LEASE_MS},
    {"milliseconds after a restart for lanes to come back", SONA_SHM_GRACE_MS},
};
#define LIMITS (sizeof limits / sizeof limits[0])

static void write_document(void)
{
    (void)printf("ABI %u.%u, layout hash `%016llx`.\n", SONA_ABI_MAJOR, SONA_ABI_MINOR,
                 (unsigned long long)sona_shm_layout_hash());
    for (size_t t = 0; t < TABLES; t++) {
        (void)printf(
            "\n### %s\n\n| offset | bytes | name | written by | |\n|---|---|---|---|---|\n",
            tables[t].title);
        for (size_t i = 0; i < tables[t].n; i++) {
            const struct row *r = &tables[t].rows[i];

            (void)printf("| %zu | %zu | `%s` | %s | %s |\n", r->offset, r->bytes, r->member,
                         r->writer, r->help);
        }
    }
    (void)printf("\n### Limits\n\n| | |\n|---|---|\n");
    for (size_t i = 0; i < LIMITS; i++)
        (void)printf("| %s | %llu |\n", limits[i].name, (unsigned long long)limits[i].value);
}

static void write_manual(void)
{
    (void)printf(
        ".\\\" SPDX-License-Identifier: MIT OR Apache-2.0\n"
        ".\\\" Copyright (c) 2026 The SONA authors\n"
        ".TH SONA\\-SEGMENT 7 \"\" \"sona %s\" \"Miscellaneous Information\"\n.nh\n.ad l\n"
        ".SH NAME\nsona\\-segment \\- the memory that sona\\-sidecar and its clients share\n"
        ".SH DESCRIPTION\n"
        "The model is in a POSIX shared memory object, /dev/shm/sona.INSTANCE.model, which the "
        "sidecar alone writes; a client has a read\\-only descriptor of it. Events go through "
        "lanes: one sealed memfd for each client, with a ring of records for each of its "
        "threads.\n.PP\n"
        "All numbers are little\\-endian. ABI %u.%u, layout hash %016llx: a client with another "
        "major number or another hash is refused. The protocol, and what each side may rely on, "
        "is in shared\\-memory.md of the documentation.\n",
        SONA_VERSION, SONA_ABI_MAJOR, SONA_ABI_MINOR, (unsigned long long)sona_shm_layout_hash());
    for (size_t t = 0; t < TABLES; t++) {
        (void)printf(".SH %s\n.nf\n", tables[t].title);
        for (size_t i = 0; i < tables[t].n; i++) {
            const struct row *r = &tables[t].rows[i];

            (void)printf("%6zu %5zu  %-20s %s\n", r->offset, r->bytes, r->member, r->help);
        }
        (void)printf(".fi\n");
    }
    (void)printf(".SH LIMITS\n.nf\n");
    for (size_t i = 0; i < LIMITS; i++)
        (void)printf("%12llu  %s\n", (unsigned long long)limits[i].value, limits[i].name);
    (void)printf(".fi\n.SH SEE ALSO\n.BR sona\\-sidecar (8),\n.BR sonactl (1),\n"
                 ".BR sona_client (3)\n");
}

/* Rows follow each other, from the first byte to the last. */
static bool has_holes(void)
{
    bool holes = false;

    for (size_t t = 0; t < TABLES; t++) {
        size_t at = 0;

        for (size_t i = 0; i < tables[t].n; i++) {
            const struct row *r = &tables[t].rows[i];

            /* Alignment before a member of eight bytes is a hole, too; arrays count as one. */
            if (r->offset != at && strncmp(r->member, "error", 5) != 0) {
                (void)printf("%s: %s is at %zu, and the row before ends at %zu\n", tables[t].title,
                             r->member, r->offset, at);
                holes = true;
            }
            at = r->offset + r->bytes;
        }
        if (at > tables[t].bytes || tables[t].bytes - at >= sizeof(uint64_t)) {
            (void)printf("%s: the rows end at %zu of %zu\n", tables[t].title, at, tables[t].bytes);
            holes = true;
        }
    }
    return holes;
}

int main(int argc, char **argv)
{
    const char *page = argc == 2 ? argv[1] : "";

    if (strcmp(page, "document") == 0)
        write_document();
    else if (strcmp(page, "manual") == 0)
        write_manual();
    else if (strcmp(page, "holes") == 0)
        return has_holes();
    else
        return 2;
    return fflush(stdout) != 0;
}
