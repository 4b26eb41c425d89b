/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/* A file is believed only after every size and number in it was checked; each mistake is named. */
#include "set_fixture.h"

/* Open the first n bytes of `file`; expect a failure whose sentence holds `words`. */
static void expect_refused(const struct fixture_file *file, size_t n, sona_err code,
                           const char *words)
{
    char *path = fixture_write(file->bytes, n);
    struct sona_tools_dataset set = {.rows = 77};
    sona_diag diag = {0};

    cr_expect(eq(int, sona_tools_dataset_open(&set, path, &diag), code), "%s", words);
    cr_expect(strstr(diag.text, words) != NULL, "\"%s\" is not in \"%s\"", words, diag.text);
    cr_expect(eq(u32, set.rows, 77), "the result was touched");
    (void)unlink(path);
    free(path);
}

Test(dataset, a_sound_file_is_read_to_the_last_number)
{
    struct fixture_file file = fixture_file();
    char *path = fixture_write(file.bytes, sizeof file.bytes);
    struct sona_tools_dataset set;
    sona_diag diag = {0};

    cr_assert(eq(int, sona_tools_dataset_open(&set, path, &diag), SONA_OK), "%s", diag.text);
    cr_expect(eq(u32, set.rows, 3));
    cr_expect(eq(u32, set.dim, 4));
    cr_expect(eq(u32, set.routes, 2));
    cr_expect(eq(u32, set.groups, 2));
    cr_expect(eq(flt, set.route[0].cost, 0.25f), "costs are divided by the largest");
    cr_expect(eq(flt, set.route[1].cost, 1));
    cr_expect(eq(str, set.route[1].name, "route-1"));
    cr_expect(eq(int, set.group[2], 1));
    cr_expect(eq(flt, set.quality[5], 1));
    cr_expect(epsilon_eq(flt, set.x[0], 1, 1e-6f));
    cr_expect(epsilon_eq(flt, set.x[11], -1, 1e-6f));
    sona_tools_dataset_close(&set);
    (void)unlink(path);
    free(path);
}

Test(dataset, a_missing_file_and_a_directory_are_named)
{
    struct sona_tools_dataset set;
    sona_diag diag = {0};

    cr_expect(eq(int, sona_tools_dataset_open(&set, "/tmp/no/such.bin", &diag), SONA_E_SYSTEM));
    cr_expect(strstr(diag.text, "cannot open /tmp/no/such.bin") != NULL, "%s", diag.text);
    cr_expect(eq(int, sona_tools_dataset_open(&set, "/tmp", &diag), SONA_E_SYSTEM));
    cr_expect(strstr(diag.text, "not a regular file") != NULL, "%s", diag.text);
}

Test(dataset, every_length_but_the_right_one_is_refused)
{
    struct fixture_file file = fixture_file();

    for (size_t n = 0; n < sizeof file.bytes; n++)
        expect_refused(&file, n, SONA_E_FORMAT,
                       n < 24 ? "ends within its header" : "cut off or damaged");
}

Test(dataset, trailing_bytes_are_refused)
{
    struct fixture_file file = fixture_file();
    unsigned char longer[sizeof file.bytes + 1] = {0};
    char *path;
    struct sona_tools_dataset set;
    sona_diag diag = {0};

    memcpy(longer, file.bytes, sizeof file.bytes);
    path = fixture_write(longer, sizeof longer);
    cr_expect(eq(int, sona_tools_dataset_open(&set, path, &diag), SONA_E_FORMAT));
    cr_expect(strstr(diag.text, "cut off or damaged") != NULL, "%s", diag.text);
    (void)unlink(path);
    free(path);
}

Test(dataset, a_foreign_magic_is_named)
{
    struct fixture_file file = fixture_file();

    file.bytes[7] = '2';
    expect_refused(&file, sizeof file.bytes, SONA_E_FORMAT, "does not begin with \"SONARTE1\"");
}

Test(dataset, sizes_out_of_range_are_named_before_anything_is_allocated)
{
    static const struct {
        size_t at;
        uint32_t value;
        const char *words;
    } cases[] = {
        {8, 0, "0 rows"},
        {8, UINT32_MAX, "rows; 1 to"},
        {12, 3, "3 dimensions"},
        {12, 4097, "4097 dimensions"},
        {16, 0, "0 routes"},
        {16, 257, "257 routes"},
        {20, 0, "0 groups"},
        {20, 65536, "65536 groups"},
        {12, 5, "cut off"},
        {16, 3, "cut off"},
        {12, UINT32_MAX, "dimensions; 4 to"},
    };

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct fixture_file file = fixture_file();

        fixture_put_u32(&file, cases[i].at, cases[i].value);
        expect_refused(&file, sizeof file.bytes, SONA_E_FORMAT, cases[i].words);
    }
}

Test(dataset, numbers_that_are_none_are_named_with_their_row)
{
    static const struct {
        size_t at;
        float value;
        const char *words;
    } cases[] = {
        {FIXTURE_SCALE(1), NAN, "the scale of row 1"},
        {FIXTURE_SCALE(2), INFINITY, "the scale of row 2"},
        {FIXTURE_SCALE(0), 0, "the embedding of row 0"},
        {FIXTURE_SCALE(0), 1e38f, "the embedding of row 0"},
        {FIXTURE_QUALITY(0), NAN, "the quality of route 0 in row 0"},
        {FIXTURE_QUALITY(2) + 4, 1.01f, "the quality of route 1 in row 2"},
        {FIXTURE_QUALITY(1), -0.01f, "the quality of route 0 in row 1"},
        {FIXTURE_COST, NAN, "the cost of route 0"},
        {FIXTURE_COST + 4, -1, "the cost of route 1"},
        {FIXTURE_COST + 4, INFINITY, "the cost of route 1"},
    };

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct fixture_file file = fixture_file();

        fixture_put_f32(&file, cases[i].at, cases[i].value);
        expect_refused(&file, sizeof file.bytes, SONA_E_FORMAT, cases[i].words);
    }
}

Test(dataset, a_group_beyond_the_last_and_an_embedding_of_zeros_are_named)
{
    struct fixture_file file = fixture_file();

    file.bytes[FIXTURE_GROUP(1)] = 2;
    expect_refused(&file, sizeof file.bytes, SONA_E_FORMAT, "row 1 of");
    file = fixture_file();
    memset(file.bytes + FIXTURE_X(2), 0, 4);
    expect_refused(&file, sizeof file.bytes, SONA_E_FORMAT, "the embedding of row 2");
}

/* Open a sound set with `json` beside it. */
static sona_err open_with(const char *json, struct sona_tools_dataset *ret, sona_diag *reterr)
{
    struct fixture_file file = fixture_file();
    char *path = fixture_write(file.bytes, sizeof file.bytes), *beside = strdup(path);
    FILE *out;
    sona_err err;

    (void)sprintf(beside + strlen(beside) - 4, ".jso"); /* as long as ".bin" */
    beside = realloc(beside, strlen(beside) + 2);
    (void)strcat(beside, "n");
    out = fopen(beside, "w");
    cr_assert(out != NULL && fputs(json, out) >= 0 && fclose(out) == 0);
    err = sona_tools_dataset_open(ret, path, reterr);
    (void)unlink(path);
    (void)unlink(beside);
    free(path);
    free(beside);
    return err;
}

Test(dataset, names_come_from_the_json_beside_it)
{
    struct sona_tools_dataset set;
    sona_diag diag = {0};

    cr_assert(eq(int, open_with("{\"models\": [\"small\", \"large\"]}", &set, &diag), SONA_OK),
              "%s", diag.text);
    cr_expect(eq(str, set.route[0].name, "small"));
    cr_expect(eq(str, set.route[1].name, "large"));
    sona_tools_dataset_close(&set);
    cr_expect(eq(int, open_with("{\"note\": \"no names\"}", &set, &diag), SONA_OK));
    sona_tools_dataset_close(&set);
}

Test(dataset, a_json_that_does_not_fit_is_named)
{
    static const char *const cases[][2] = {
        {"{\"models\": [", "not a JSON object"},
        {"[1, 2]", "not a JSON object"},
        {"{\"models\": [\"one\"]}", "names 1 models where the set has 2"},
        {"{\"models\": [\"same\", \"same\"]}", "have the same name \"same\""},
        {"{\"models\": [\"\", \"b\"]}", "is not a name"},
        {"{\"models\": [7, \"b\"]}", "is not a name"},
        {"{\"crc32\": 1}", "does not have the crc32"},
    };

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct sona_tools_dataset set;
        sona_diag diag = {0};

        cr_expect(eq(int, open_with(cases[i][0], &set, &diag), SONA_E_FORMAT), "%s", cases[i][0]);
        cr_expect(strstr(diag.text, cases[i][1]) != NULL, "\"%s\" is not in \"%s\"", cases[i][1],
                  diag.text);
    }
}
