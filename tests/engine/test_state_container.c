/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/* The container: what goes in comes out, and no byte of it can change unnoticed. */
#include <stdlib.h>
#include <string.h>

#include <criterion/criterion.h>
#include <criterion/new/assert.h>

#include "engine/state/container.h"

#define LAYOUT 77u

struct box {
    unsigned char bytes[1024];
    size_t n;
    uint64_t name;
};

static struct box box_of(const char *word)
{
    static const uint64_t numbers[] = {1, 2, 3};
    struct sona_state_writer writer;
    struct box box;

    memset(&box, 0xee, sizeof box);
    sona_state_writer_init(&writer, box.bytes, sizeof box.bytes);
    sona_state_writer_put(&writer, "numbers", sizeof *numbers, 3, numbers);
    sona_state_writer_put(&writer, "nothing", 8, 0, NULL);
    sona_state_writer_put(&writer, "x.word", 1, strlen(word), word);
    cr_assert(eq(int, sona_state_writer_end(&writer, LAYOUT), 1));
    box.n = writer.end;
    box.name = sona_state_seal(box.bytes, box.n);
    return box;
}

static sona_err open_as(const struct box *box, size_t n, uint64_t layout, sona_diag *diag)
{
    struct sona_state_reader reader;

    return sona_state_reader_open(&reader, box->bytes, n, layout, diag);
}

Test(container, what_was_put_in_is_found_by_its_name)
{
    struct box box = box_of("hello");
    struct sona_state_reader reader;
    uint64_t numbers[3], rows;

    cr_assert(eq(int, sona_state_reader_open(&reader, box.bytes, box.n, LAYOUT, NULL), SONA_OK));
    cr_assert(eq(int, sona_state_reader_take(&reader, "numbers", 8, 3, numbers), 1));
    cr_assert(eq(u64, numbers[2], 3));
    cr_assert(eq(int, memcmp(sona_state_reader_find(&reader, "x.word", 1, &rows), "hello", 5), 0));
    cr_assert(eq(u64, rows, 5));
    cr_assert(sona_state_reader_find(&reader, "nothing", 8, &rows) == NULL);
    cr_assert(eq(u64, rows, 0));
    cr_assert(eq(int, sona_state_reader_take(&reader, "nothing", 8, 0, NULL), 1));
    cr_assert(eq(int, sona_state_reader_take(&reader, "numbers", 8, 2, numbers), 0));
    cr_assert(eq(int, sona_state_reader_take(&reader, "numbers", 4, 3, numbers), 0));
}

Test(container, a_flip_of_any_bit_is_refused)
{
    struct box box = box_of("hello");

    for (size_t i = 0; i < box.n; i++)
        for (int bit = 0; bit < 8; bit++) {
            sona_diag diag = {.code = SONA_OK};
            sona_err err;

            box.bytes[i] ^= (unsigned char)(1 << bit);
            err = open_as(&box, box.n, LAYOUT, &diag);
            cr_assert(ne(int, err, SONA_OK), "byte %zu, bit %d", i, bit);
            cr_assert(eq(int, diag.code, err));
            box.bytes[i] ^= (unsigned char)(1 << bit);
        }
    cr_assert(eq(int, open_as(&box, box.n, LAYOUT, NULL), SONA_OK));
}

Test(container, any_other_length_is_refused)
{
    struct box box = box_of("hello");

    for (size_t n = 0; n < box.n; n++)
        cr_assert(eq(int, open_as(&box, n, LAYOUT, NULL), n < 8 ? SONA_E_FORMAT : SONA_E_DAMAGED),
                  "%zu bytes", n);
    cr_assert(eq(int, open_as(&box, box.n + 64, LAYOUT, NULL), SONA_E_DAMAGED));
}

Test(container, another_order_version_or_layout_is_named)
{
    struct box box = box_of("hello");
    sona_diag diag = {.text = ""};

    cr_assert(eq(int, open_as(&box, box.n, LAYOUT + 1, &diag), SONA_E_VERSION));
    cr_assert(strstr(diag.text, "laid out") != NULL, "%s", diag.text);
    for (int i = 0; i < 2; i++) { /* the other byte order */
        unsigned char byte = box.bytes[8 + i];

        box.bytes[8 + i] = box.bytes[11 - i];
        box.bytes[11 - i] = byte;
    }
    cr_assert(eq(int, open_as(&box, box.n, LAYOUT, &diag), SONA_E_VERSION));
    cr_assert(strstr(diag.text, "byte order") != NULL, "%s", diag.text);
    box = box_of("hello");
    box.bytes[12] = SONA_STATE_VERSION + 1;
    (void)sona_state_seal(box.bytes, box.n);
    cr_assert(eq(int, open_as(&box, box.n, LAYOUT, &diag), SONA_E_VERSION));
    cr_assert(strstr(diag.text, "version") != NULL, "%s", diag.text);
}

Test(container, a_section_that_nobody_asked_for_is_refused_unless_it_is_the_callers_own)
{
    struct box box = box_of("hello");
    struct sona_state_reader reader;
    sona_diag diag = {.text = ""};
    uint64_t rows;

    cr_assert(eq(int, sona_state_reader_open(&reader, box.bytes, box.n, LAYOUT, &diag), SONA_OK));
    cr_assert(eq(int, sona_state_reader_done(&reader), SONA_E_VERSION));
    cr_assert(strstr(diag.text, "numbers") != NULL, "%s", diag.text);
    (void)sona_state_reader_find(&reader, "numbers", 8, &rows);
    cr_assert(eq(int, sona_state_reader_done(&reader), SONA_OK));
}

Test(container, equal_contents_have_one_name)
{
    struct box one = box_of("hello"), two = box_of("hello"), three = box_of("hallo");

    cr_assert(eq(u64, one.name, two.name));
    cr_assert(eq(int, memcmp(one.bytes, two.bytes, one.n), 0));
    cr_assert(ne(u64, one.name, three.name));
}

Test(container, sections_of_one_name_are_refused)
{
    struct sona_state_writer writer;
    struct box box = {.n = 0};

    sona_state_writer_init(&writer, box.bytes, sizeof box.bytes);
    sona_state_writer_put(&writer, "twice", 1, 1, "a");
    sona_state_writer_put(&writer, "twice", 1, 1, "b");
    cr_assert(eq(int, sona_state_writer_end(&writer, LAYOUT), 1));
    (void)sona_state_seal(box.bytes, writer.end);
    cr_assert(eq(int, open_as(&box, writer.end, LAYOUT, NULL), SONA_E_DAMAGED));
}

Test(container, a_buffer_that_is_too_small_is_told_what_is_needed)
{
    struct box box = box_of("hello");

    for (size_t size = 0; size < box.n; size++) {
        unsigned char *small = malloc(size + 1);
        struct sona_state_writer writer;

        sona_state_writer_init(&writer, small, size);
        sona_state_writer_put(&writer, "numbers", 8, 3, box.bytes);
        sona_state_writer_put(&writer, "x.word", 1, 5, "hello");
        cr_assert(eq(int, sona_state_writer_end(&writer, LAYOUT), 0));
        cr_assert(eq(sz, writer.end, box.n));
        free(small);
    }
}
