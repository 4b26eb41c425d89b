/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/* See container.h. */
#include "engine/state/container.h"

#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "engine/diag.h"

#define ALIGN 64u
#define ORDER 0x01020304u

static const unsigned char magic[8] = {'S', 'O', 'N', 'A', 'S', 'A', 'V', 'E'};

struct header {
    unsigned char magic[8];
    uint32_t order; /* ORDER, in the writer's byte order */
    uint32_t version;
    uint64_t bytes; /* of the whole container */
    uint64_t layout;
    uint32_t sections;
    uint32_t reserved[3];
    uint64_t content; /* of the checksums of all sections */
    uint64_t hash;    /* of everything above */
};

struct section {
    char name[SONA_STATE_NAME_MAX];
    uint64_t rows;
    uint32_t row_bytes;
    uint32_t reserved;
    uint64_t hash; /* of the rows with their padding, then of everything above */
};

_Static_assert(sizeof(struct header) == ALIGN && sizeof(struct section) == ALIGN,
               "what follows is aligned");

static size_t round_up(size_t bytes)
{
    return (bytes + ALIGN - 1) / ALIGN * ALIGN;
}

/* ---- writing ---- */

void sona_state_writer_init(struct sona_state_writer *ret, void *buffer, size_t size)
{
    *ret = (struct sona_state_writer){
        .bytes = buffer, .size = buffer != NULL ? size : 0, .end = sizeof(struct header)};
}

void *sona_state_writer_add(struct sona_state_writer *writer, const char *name, uint32_t row_bytes,
                            uint64_t rows)
{
    struct section section = {.rows = rows, .row_bytes = row_bytes};
    size_t at = writer->end, bytes = (size_t)rows * row_bytes;
    unsigned char *to;

    writer->end = at + sizeof section + round_up(bytes);
    writer->sections++;
    if (writer->end > writer->size)
        return NULL;
    memcpy(section.name, name, strnlen(name, SONA_STATE_NAME_MAX - 1));
    memcpy(writer->bytes + at, &section, sizeof section);
    to = writer->bytes + at + sizeof section;
    memset(to + bytes, 0, round_up(bytes) - bytes);
    return to;
}

void sona_state_writer_put(struct sona_state_writer *writer, const char *name, uint32_t row_bytes,
                           uint64_t rows, const void *from)
{
    void *to = rows > 0 ? sona_state_writer_add(writer, name, row_bytes, rows) : NULL;

    if (to != NULL)
        memcpy(to, from, (size_t)rows * row_bytes);
}

bool sona_state_writer_end(struct sona_state_writer *writer, uint64_t layout)
{
    struct header header = {
        .order = ORDER,
        .version = SONA_STATE_VERSION,
        .bytes = writer->end,
        .layout = layout,
        .sections = writer->sections,
    };

    if (writer->end > writer->size || writer->sections > SONA_STATE_SECTIONS_MAX)
        return false;
    memcpy(header.magic, magic, sizeof magic);
    memcpy(writer->bytes, &header, sizeof header);
    return true;
}

/* ---- both ---- */

static struct section section_at(const unsigned char *bytes, size_t at)
{
    struct section ret;

    memcpy(&ret, bytes + at, sizeof ret);
    return ret;
}

/* The section at `at` and its rows lie within n bytes; *ret_next is where the next one begins. */
static bool fits(const struct section *section, size_t at, size_t n, size_t *ret_next)
{
    size_t left = n - at - sizeof *section;

    *ret_next = n;
    if (section->row_bytes == 0 || section->rows > left / section->row_bytes)
        return false;
    *ret_next = at + sizeof *section + round_up((size_t)section->rows * section->row_bytes);
    return *ret_next <= n;
}

static uint64_t hash_of(const unsigned char *bytes, size_t at, size_t next)
{
    size_t rows = at + sizeof(struct section);

    return XXH3_64bits_withSeed(bytes + at, offsetof(struct section, hash),
                                XXH3_64bits(bytes + rows, next - rows));
}

static uint64_t hash_of_header(const struct header *header)
{
    return XXH3_64bits(header, offsetof(struct header, hash));
}

uint64_t sona_state_seal(void *bytes, size_t n)
{
    unsigned char *all = bytes;
    struct header header;
    size_t next;

    memcpy(&header, all, sizeof header);
    header.content = 0;
    for (size_t at = sizeof header; at < n; at = next) {
        struct section section = section_at(all, at);

        if (!fits(&section, at, n, &next))
            break;
        section.hash = hash_of(all, at, next);
        memcpy(all + at, &section, sizeof section);
        header.content = XXH3_64bits_withSeed(&section.hash, sizeof section.hash, header.content);
    }
    header.hash = hash_of_header(&header);
    memcpy(all, &header, sizeof header);
    return header.content;
}

/* ---- reading ---- */

static sona_err damaged(struct sona_state_reader *reader, const char *what)
{
    return sona_engine_diag(reader->reterr, SONA_E_DAMAGED,
                            "the saved state is damaged: %s; load the save before it", what);
}

static sona_err check_header(struct sona_state_reader *reader, const struct header *header,
                             uint64_t layout)
{
    sona_diag *reterr = reader->reterr;

    if (memcmp(header->magic, magic, sizeof magic) != 0)
        return sona_engine_diag(reterr, SONA_E_FORMAT, "this is no saved state of SONA");
    if (header->order == __builtin_bswap32(ORDER))
        return sona_engine_diag(reterr, SONA_E_VERSION,
                                "the state was saved on a machine of the other byte order: load it "
                                "on one like that");
    if (header->hash != hash_of_header(header) || header->order != ORDER)
        return damaged(reader, "its header does not match its checksum");
    if (header->version == 0 || header->version > SONA_STATE_VERSION)
        return sona_engine_diag(reterr, SONA_E_VERSION,
                                "the state is of version %u, this SONA reads up to %u: load it "
                                "with the SONA that saved it, or a newer one",
                                header->version, SONA_STATE_VERSION);
    if (header->layout != layout)
        return sona_engine_diag(reterr, SONA_E_VERSION,
                                "the state's tables are laid out otherwise than this SONA's: load "
                                "it with the SONA that saved it");
    if (header->bytes != reader->n)
        return sona_engine_diag(reterr, SONA_E_DAMAGED,
                                "the saved state is cut off or too long: %zu bytes of %llu; load "
                                "the save before it",
                                reader->n, (unsigned long long)header->bytes);
    if (header->sections > SONA_STATE_SECTIONS_MAX)
        return damaged(reader, "it has too many sections");
    return SONA_OK;
}

/* Walk to section `index`; the walk was checked when the reader was opened. */
static struct section walk(const struct sona_state_reader *reader, size_t *at, size_t *ret_next)
{
    struct section section = section_at(reader->bytes, *at);

    (void)fits(&section, *at, reader->n, ret_next);
    return section;
}

static bool is_double(const struct sona_state_reader *reader, const char *name, uint32_t sections)
{
    size_t at = sizeof(struct header), next;

    for (uint32_t i = 0; i < sections; i++, at = next)
        if (strcmp(walk(reader, &at, &next).name, name) == 0)
            return true;
    return false;
}

static sona_err check_sections(struct sona_state_reader *reader, const struct header *header)
{
    size_t at = sizeof *header, next;
    uint64_t content = 0;

    for (uint32_t i = 0; i < header->sections; i++, at = next) {
        struct section section;

        if (reader->n - at < sizeof section)
            return damaged(reader, "a section is missing");
        section = section_at(reader->bytes, at);
        if (!fits(&section, at, reader->n, &next))
            return damaged(reader, "a section is cut off");
        if (section.hash != hash_of(reader->bytes, at, next))
            return damaged(reader, "a section does not match its checksum");
        if (section.name[0] == 0 || memchr(section.name, 0, sizeof section.name) == NULL ||
            is_double(reader, section.name, i))
            return damaged(reader, "a section has no name of its own");
        content = XXH3_64bits_withSeed(&section.hash, sizeof section.hash, content);
    }
    if (at != reader->n || content != header->content)
        return damaged(reader, "its sections are not those of its header");
    return SONA_OK;
}

sona_err sona_state_reader_open(struct sona_state_reader *ret, const void *bytes, size_t n,
                                uint64_t layout, sona_diag *reterr)
{
    struct header header;
    sona_err err;

    *ret = (struct sona_state_reader){.bytes = bytes, .n = n, .reterr = reterr};
    if (n < sizeof magic || memcmp(bytes, magic, sizeof magic) != 0)
        return sona_engine_diag(reterr, SONA_E_FORMAT,
                                "this is no saved state of SONA (or less than its first %zu "
                                "bytes): load what sona_engine_save() or a sidecar wrote",
                                sizeof magic);
    if (n < sizeof header)
        return damaged(ret, "it ends within its header");
    memcpy(&header, bytes, sizeof header);
    err = check_header(ret, &header, layout);
    if (err == SONA_OK)
        err = check_sections(ret, &header);
    ret->version = header.version;
    ret->layout = header.layout;
    ret->sections = err == SONA_OK ? header.sections : 0;
    return err;
}

const void *sona_state_reader_find(struct sona_state_reader *reader, const char *name,
                                   uint32_t row_bytes, uint64_t *ret_rows)
{
    size_t at = sizeof(struct header), next;

    *ret_rows = 0;
    for (uint32_t i = 0; i < reader->sections; i++, at = next) {
        struct section section = walk(reader, &at, &next);

        if (strcmp(section.name, name) != 0)
            continue;
        if (section.row_bytes != row_bytes)
            return NULL;
        reader->taken[i / 64] |= 1ull << i % 64;
        *ret_rows = section.rows;
        return reader->bytes + at + sizeof section;
    }
    return NULL;
}

bool sona_state_reader_take(struct sona_state_reader *reader, const char *name, uint32_t row_bytes,
                            uint64_t rows, void *to)
{
    uint64_t there;
    const void *from = sona_state_reader_find(reader, name, row_bytes, &there);

    if (there != rows)
        return false;
    if (rows > 0)
        memcpy(to, from, (size_t)rows * row_bytes);
    return true;
}

sona_err sona_state_reader_done(struct sona_state_reader *reader)
{
    size_t at = sizeof(struct header), next;

    for (uint32_t i = 0; i < reader->sections; i++, at = next) {
        struct section section = walk(reader, &at, &next);

        if (!(reader->taken[i / 64] >> i % 64 & 1) && strncmp(section.name, "x.", 2) != 0)
            return sona_engine_diag(reader->reterr, SONA_E_VERSION,
                                    "section \"%s\" of the state is unknown here, or of another "
                                    "size: load it with the SONA that saved it",
                                    section.name);
    }
    return SONA_OK;
}

sona_err sona_state_reader_refuse(struct sona_state_reader *reader, const char *name)
{
    return sona_engine_diag(reader->reterr, SONA_E_FORMAT,
                            "section \"%s\" holds what no learner could have saved; load the save "
                            "before it",
                            name);
}
