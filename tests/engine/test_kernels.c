/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/*
 * Every row of the kernel table against the C row, and the C row against sums in double.
 *
 * Vectors lie in rooms with an inaccessible page on both sides, flush with the one or the other;
 * the rest of the room is NaN. A read beyond a vector faults or poisons the result, a write beyond
 * it faults or is found.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <criterion/criterion.h>
#include <criterion/new/assert.h>

#include "engine/kernels/kernels.h"
#include "tests/engine/dice.h"

#define FLOATS_MAX 40000 /* of one room */
#define SAY(dice, format, ...) \
    "SONA_TEST_SEED=%llu " format, (unsigned long long)(dice)->seed, __VA_ARGS__

/* Lengths around every block and lane boundary, then those of real embeddings. */
static size_t length_of(unsigned round)
{
    static const size_t large[] = {127, 128,  129,  255,  256,  257,  384,
                                   768, 1000, 1023, 1024, 1536, 3072, 4096};

    return round <= 70 ? round : large[round - 71];
}
#define LENGTHS (71 + 14)

struct room {
    char *map;
    size_t page, bytes; /* accessible bytes, between two pages that are not */
};

static struct room room_open(void)
{
    struct room room = {.page = (size_t)sysconf(_SC_PAGESIZE)};

    room.bytes = (FLOATS_MAX * sizeof(float) + room.page - 1) / room.page * room.page;
    room.map =
        mmap(NULL, room.bytes + 2 * room.page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    cr_assert(ne(ptr, room.map, MAP_FAILED));
    cr_assert(zero(int, mprotect(room.map + room.page, room.bytes, PROT_READ | PROT_WRITE)));
    return room;
}

static void room_close(struct room *room)
{
    munmap(room->map, room->bytes + 2 * room->page);
}

/* n random floats at a random place: flush with either end, or in between at any float. */
static float *room_put(struct room *room, struct dice *dice, size_t n)
{
    float *base = (float *)(void *)(room->map + room->page);
    size_t all = room->bytes / sizeof(float);
    size_t at;

    cr_assert(le(sz, n, all));
    switch (dice_below(dice, 3)) {
    case 0:
        at = 0;
        break;
    case 1:
        at = all - n;
        break;
    default:
        at = dice_below(dice, (uint32_t)(all - n + 1));
    }
    for (size_t i = 0; i < all; i++)
        base[i] = NAN;
    for (size_t i = 0; i < n; i++)
        base[at + i] = dice_signed(dice);
    return base + at;
}

/* Nothing but v[0..n-1] was written. */
static bool room_intact(const struct room *room, const float *v, size_t n)
{
    const float *base = (const float *)(void *)(room->map + room->page);

    for (size_t i = 0; i < room->bytes / sizeof(float); i++)
        if ((base + i < v || base + i >= v + n) && !isnan(base[i]))
            return false;
    return true;
}

static const struct sona_kernels *c_row(void)
{
    const struct sona_kernels *const *row = sona_kernels_all();

    while (row[1] != NULL)
        row++;
    return row[0];
}

/* Call `check` for every row that can run here, on every length. */
static void on_every_row(const char *test, void (*check)(const struct sona_kernels *, size_t n,
                                                         struct room rooms[4], struct dice *))
{
    struct dice dice = dice_open(test);
    struct room rooms[4];

    for (int i = 0; i < 4; i++)
        rooms[i] = room_open();
    for (unsigned round = 0; round < LENGTHS; round++)
        for (const struct sona_kernels *const *row = sona_kernels_all(); *row != NULL; row++)
            if ((*row)->usable())
                check(*row, length_of(round), rooms, &dice);
    for (int i = 0; i < 4; i++)
        room_close(&rooms[i]);
}

/* What rounding may cost: each product and each addition of a chain of at most n/16 + 8. */
static double slack(double magnitude, size_t n)
{
    return magnitude * 6e-8 * (double)(n / 16 + 16) + 1e-30;
}

static void check_dot(const struct sona_kernels *row, size_t n, struct room rooms[4],
                      struct dice *dice)
{
    const float *x = room_put(&rooms[0], dice, n), *y = room_put(&rooms[1], dice, n);
    double exact = 0, magnitude = 0;

    for (size_t i = 0; i < n; i++) {
        exact += (double)x[i] * (double)y[i];
        magnitude += fabs((double)x[i] * (double)y[i]);
    }
    cr_assert(le(dbl, fabs((double)row->dot(x, y, n) - exact), slack(magnitude, n)),
              SAY(dice, "%s n=%zu", row->name, n));
    cr_assert(le(dbl, fabs((double)row->dot(x, y, n) - (double)c_row()->dot(x, y, n)),
                 slack(magnitude, n)),
              SAY(dice, "%s n=%zu", row->name, n));
}

Test(kernels, dot_of_every_row_agrees_with_c_and_stays_inside)
{
    on_every_row("dot", check_dot);
}

static void check_distance(const struct sona_kernels *row, size_t n, struct room rooms[4],
                           struct dice *dice)
{
    const float *x = room_put(&rooms[0], dice, n), *y = room_put(&rooms[1], dice, n);
    double exact = 0;

    for (size_t i = 0; i < n; i++)
        exact += (double)(x[i] - y[i]) * (double)(x[i] - y[i]);
    cr_assert(le(dbl, fabs((double)row->distance(x, y, n) - exact), slack(exact, n)),
              SAY(dice, "%s n=%zu", row->name, n));
    cr_assert(le(dbl, fabs((double)row->distance(x, y, n) - (double)c_row()->distance(x, y, n)),
                 slack(exact, n)),
              SAY(dice, "%s n=%zu", row->name, n));
}

Test(kernels, distance_of_every_row_agrees_with_c_and_stays_inside)
{
    on_every_row("distance", check_distance);
}

static void check_dot_rows(const struct sona_kernels *row, size_t n, struct room rooms[4],
                           struct dice *dice)
{
    size_t n_rows = dice_below(dice, 8), stride = n + dice_below(dice, 9);
    size_t total = n_rows > 0 ? (n_rows - 1) * stride + n : 0;
    const float *rows = room_put(&rooms[0], dice, total), *x = room_put(&rooms[1], dice, n);
    float *out = room_put(&rooms[2], dice, n_rows);

    row->dot_rows(rows, stride, n_rows, x, n, out);
    for (size_t r = 0; r < n_rows; r++)
        cr_assert(
            eq(flt, out[r], row->dot(rows + r * stride, x, n)),
            SAY(dice, "%s n=%zu row %zu of %zu: not the bits of dot()", row->name, n, r, n_rows));
    cr_assert(room_intact(&rooms[2], out, n_rows), SAY(dice, "%s n=%zu", row->name, n));
}

Test(kernels, dot_rows_gives_the_bits_of_dot)
{
    on_every_row("dot_rows", check_dot_rows);
}

static void check_scale(const struct sona_kernels *row, size_t n, struct room rooms[4],
                        struct dice *dice)
{
    float *x = room_put(&rooms[0], dice, n), *y = room_put(&rooms[1], dice, n);
    float a = dice_signed(dice);

    row->scale(a, x, y, n);
    for (size_t i = 0; i < n; i++) {
        float exact = a * x[i];

        cr_assert(zero(int, memcmp(&y[i], &exact, sizeof exact)),
                  SAY(dice, "%s n=%zu i=%zu", row->name, n, i));
    }
    cr_assert(room_intact(&rooms[1], y, n), SAY(dice, "%s n=%zu", row->name, n));
    row->scale(a, x, x, n);
    cr_assert(zero(int, memcmp(x, y, n * sizeof *y)),
              SAY(dice, "%s n=%zu: in place", row->name, n));
}

Test(kernels, scale_of_every_row_has_the_bits_of_its_formula_and_stays_inside)
{
    on_every_row("scale", check_scale);
}

static void check_axpy(const struct sona_kernels *row, size_t n, struct room rooms[4],
                       struct dice *dice)
{
    const float *x = room_put(&rooms[0], dice, n);
    float *y = room_put(&rooms[1], dice, n), *expected = room_put(&rooms[2], dice, n);
    float a = dice_signed(dice);

    memcpy(expected, y, n * sizeof(float));
    row->axpy(a, x, y, n);
    c_row()->axpy(a, x, expected, n);
    for (size_t i = 0; i < n; i++)
        cr_assert(le(dbl, fabs((double)y[i] - (double)expected[i]), 2e-7),
                  SAY(dice, "%s n=%zu i=%zu", row->name, n, i));
    cr_assert(room_intact(&rooms[1], y, n), SAY(dice, "%s n=%zu", row->name, n));
}

Test(kernels, axpy_of_every_row_agrees_with_c_and_stays_inside)
{
    on_every_row("axpy", check_axpy);
}

static void check_axpy_square(const struct sona_kernels *row, size_t n, struct room rooms[4],
                              struct dice *dice)
{
    const float *x = room_put(&rooms[0], dice, n);
    float *y = room_put(&rooms[1], dice, n), *expected = room_put(&rooms[2], dice, n), square;
    float a = dice_signed(dice);
    double exact = 0;

    memcpy(expected, y, n * sizeof(float));
    square = row->axpy_square(a, x, y, n);
    row->axpy(a, x, expected, n);
    for (size_t i = 0; i < n; i++) {
        cr_assert(eq(flt, y[i], expected[i]), SAY(dice, "%s n=%zu i=%zu", row->name, n, i));
        exact += (double)y[i] * (double)y[i];
    }
    cr_assert(le(dbl, fabs((double)square - exact), slack(exact, n)),
              SAY(dice, "%s n=%zu", row->name, n));
    cr_assert(room_intact(&rooms[1], y, n), SAY(dice, "%s n=%zu", row->name, n));
}

Test(kernels, axpy_square_steps_as_axpy_does_and_knows_the_square_of_the_result)
{
    on_every_row("axpy_square", check_axpy_square);
}

static void check_adagrad(const struct sona_kernels *row, size_t n, struct room rooms[4],
                          struct dice *dice)
{
    const float *x = room_put(&rooms[0], dice, n);
    float *g = room_put(&rooms[1], dice, n), *w = room_put(&rooms[2], dice, n);
    float e = dice_signed(dice), rate = 0.1f, epsilon = 1e-4f;
    double *g_exact = calloc(n + 1, sizeof(double)), *w_exact = calloc(n + 1, sizeof(double));
    double exact = 0;
    float square;

    for (size_t i = 0; i < n; i++) {
        double step = (double)e * (double)x[i];

        g[i] = fabsf(g[i]);
        g_exact[i] = (double)g[i] + step * step;
        w_exact[i] = (double)w[i] + (double)rate * step / sqrt(g_exact[i] + (double)epsilon);
    }
    square = row->adagrad(e, rate, epsilon, x, g, w, n);
    for (size_t i = 0; i < n; i++) {
        cr_assert(le(dbl, fabs((double)g[i] - g_exact[i]), 3e-7),
                  SAY(dice, "%s n=%zu i=%zu", row->name, n, i));
        cr_assert(le(dbl, fabs((double)w[i] - w_exact[i]), 3e-7),
                  SAY(dice, "%s n=%zu i=%zu", row->name, n, i));
        exact += (double)w[i] * (double)w[i];
    }
    cr_assert(le(dbl, fabs((double)square - exact), 4 * slack(exact, n)),
              SAY(dice, "%s n=%zu", row->name, n));
    cr_assert(room_intact(&rooms[1], g, n) && room_intact(&rooms[2], w, n),
              SAY(dice, "%s n=%zu", row->name, n));
    free(g_exact);
    free(w_exact);
}

Test(kernels, adagrad_of_every_row_follows_its_formula_and_stays_inside)
{
    on_every_row("adagrad", check_adagrad);
}

static void check_expand(const struct sona_kernels *row, size_t n, struct room rooms[4],
                         struct dice *dice)
{
    size_t rank = dice_below(dice, 8), stride = n + dice_below(dice, 9);
    size_t total = rank > 0 ? (rank - 1) * stride + n : 0;
    const float *b = room_put(&rooms[1], dice, total), *c = room_put(&rooms[2], dice, rank);
    float *x = room_put(&rooms[0], dice, n), *y = room_put(&rooms[3], dice, n);

    row->expand(x, b, stride, c, rank, y, n);
    for (size_t i = 0; i < n; i++) {
        double exact = (double)x[i];

        for (size_t r = 0; r < rank; r++)
            exact += (double)c[r] * (double)b[r * stride + i];
        cr_assert(le(dbl, fabs((double)y[i] - exact), 5e-6),
                  SAY(dice, "%s n=%zu i=%zu rank=%zu", row->name, n, i, rank));
        if (rank == 0)
            cr_assert(eq(flt, y[i], x[i]), "%s: without rows y is x", row->name);
    }
    cr_assert(room_intact(&rooms[3], y, n), SAY(dice, "%s n=%zu", row->name, n));
    row->expand(x, b, stride, c, rank, x, n);
    cr_assert(zero(int, memcmp(x, y, n * sizeof *y)),
              SAY(dice, "%s n=%zu rank=%zu: in place", row->name, n, rank));
}

Test(kernels, expand_of_every_row_follows_its_formula_and_stays_inside)
{
    on_every_row("expand", check_expand);
}

static void check_forms(const struct sona_kernels *row, size_t length, struct room rooms[4],
                        struct dice *dice)
{
    size_t n = length % 40, padded = (n + 15) / 16 * 16, count = dice_below(dice, 5);
    size_t stride = n * padded + dice_below(dice, 9);
    size_t total = count > 0 ? (count - 1) * stride + n * padded : 0;
    float *p = room_put(&rooms[0], dice, total), *z = room_put(&rooms[1], dice, padded);
    float *out = room_put(&rooms[2], dice, count);

    for (size_t i = 0; i < padded; i++)
        z[i] = i < n ? z[i] : 0;
    for (size_t m = 0; m < count; m++)
        for (size_t i = 0; i < n; i++)
            for (size_t j = 0; j < padded; j++)
                p[m * stride + i * padded + j] =
                    j >= n ? 0 : (j < i ? p[m * stride + j * padded + i] : dice_signed(dice));
    row->forms(p, stride, count, z, n, padded, out);
    for (size_t m = 0; m < count; m++) {
        double exact = 0, magnitude = 0;

        for (size_t i = 0; i < n * padded; i++) {
            double term = (double)p[m * stride + i] * (double)z[i / padded] * (double)z[i % padded];

            exact += term;
            magnitude += fabs(term);
        }
        cr_assert(le(dbl, fabs((double)out[m] - exact), slack(magnitude, 8 * n)),
                  SAY(dice, "%s n=%zu form %zu of %zu", row->name, n, m, count));
    }
    cr_assert(room_intact(&rooms[2], out, count), SAY(dice, "%s n=%zu", row->name, n));
}

Test(kernels, forms_of_every_row_follow_their_formula_and_stay_inside)
{
    on_every_row("forms", check_forms);
}

/* n whole numbers in a room, flush with its end when they are so as floats. */
static int16_t *room_put_whole(struct room *room, struct dice *dice, size_t n)
{
    int16_t *v = (int16_t *)(void *)room_put(room, dice, (n + 1) / 2) + n % 2;

    for (size_t i = 0; i < n; i++)
        v[i] = dice_below(dice, 8) ? (int16_t)(dice_below(dice, 65536) - 32768) : INT16_MIN;
    return v;
}

static void check_fixed(const struct sona_kernels *row, size_t n, struct room rooms[4],
                        struct dice *dice)
{
    size_t n_rows = dice_below(dice, 11), stride = n + dice_below(dice, 9);
    size_t total = n_rows > 0 ? (n_rows - 1) * stride + n : 0;
    const int16_t *rows = room_put_whole(&rooms[0], dice, total);
    const int16_t *x = room_put_whole(&rooms[1], dice, n);
    float *place = room_put(&rooms[2], dice, n_rows);
    int32_t *out = (int32_t *)(void *)place;

    row->dot_rows_fixed(rows, stride, n_rows, x, n, out);
    for (size_t r = 0; r < n_rows; r++) {
        int64_t exact = 0;

        for (size_t i = 0; i < n; i++)
            exact += (int64_t)rows[r * stride + i] * x[i];
        cr_assert(eq(u32, (uint32_t)out[r], (uint32_t)(uint64_t)exact),
                  SAY(dice, "%s n=%zu row %zu of %zu", row->name, n, r, n_rows));
    }
    cr_assert(room_intact(&rooms[2], place, n_rows), SAY(dice, "%s n=%zu", row->name, n));
}

Test(kernels, fixed_products_of_every_row_are_exact_modulo_their_word_and_stay_inside)
{
    on_every_row("fixed", check_fixed);
}

static void check_fix(const struct sona_kernels *row, size_t n, struct room rooms[4],
                      struct dice *dice)
{
    static const float ties[] = {0.5f, 1.5f, -0.5f, -2.5f, 16384, -16384, 1e-30f, -0.0f};
    float *x = room_put(&rooms[0], dice, n);
    int16_t *out = room_put_whole(&rooms[1], dice, n);
    float scale = dice_below(dice, 2) ? 1 : 16384 * dice_unit(dice);

    for (size_t i = 0; i < n && scale == 1; i++)
        x[i] = ties[dice_below(dice, sizeof ties / sizeof *ties)];
    row->fix(x, scale, n, out);
    for (size_t i = 0; i < n; i++)
        cr_assert(eq(i32, out[i], (int32_t)lrintf(x[i] * scale)),
                  SAY(dice, "%s %a * %a", row->name, (double)x[i], (double)scale));
    cr_assert(room_intact(&rooms[1], (float *)(void *)(out - n % 2), (n + 1) / 2),
              SAY(dice, "%s n=%zu", row->name, n));
}

Test(kernels, fix_of_every_row_rounds_to_the_nearest_whole_number_ties_to_even)
{
    on_every_row("fix", check_fix);
}

/* The first whole word at or behind p, which has a float to spare. */
static const float *word_at(const float *p)
{
    return (uintptr_t)p % sizeof(uint64_t) == 0 ? p : p + 1;
}

static void check_differ(const struct sona_kernels *row, size_t n, struct room rooms[4],
                         struct dice *dice)
{
    const size_t words = SONA_KERNELS_SIGN_WORDS;
    size_t n_rows = n % 71;
    const float *rows = word_at(room_put(&rooms[0], dice, n_rows * words * 2 + 1));
    const float *x = word_at(room_put(&rooms[1], dice, words * 2 + 1));
    int16_t *place = room_put_whole(&rooms[2], dice, n_rows);
    row->differ((const void *)rows, n_rows, (const void *)x, (uint16_t *)place);
    for (size_t r = 0; r < n_rows; r++) {
        uint32_t sum = 0;

        for (size_t w = 0; w < 2 * words; w++) {
            uint32_t a, b;

            memcpy(&a, rows + r * 2 * words + w, sizeof a);
            memcpy(&b, x + w, sizeof b);
            for (unsigned k = 0; k < 32; k++)
                sum += (a ^ b) >> k & 1;
        }
        cr_assert(eq(u32, (uint16_t)place[r], sum),
                  SAY(dice, "%s row %zu of %zu", row->name, r, n_rows));
    }
    cr_assert(room_intact(&rooms[2], (float *)(void *)(place - n_rows % 2), (n_rows + 1) / 2),
              SAY(dice, "%s n_rows=%zu", row->name, n_rows));
}

Test(kernels, differ_of_every_row_counts_bits_and_stays_inside)
{
    on_every_row("differ", check_differ);
}

/* Copy v to another place of another room: same floats, other alignment. */
static float *moved(struct room *room, struct dice *dice, const float *v, size_t n)
{
    float *to = room_put(room, dice, n);

    memcpy(to, v, n * sizeof(float));
    return to;
}

static void check_alignment(const struct sona_kernels *row, size_t n, struct room rooms[4],
                            struct dice *dice)
{
    const float *x = room_put(&rooms[0], dice, n), *y = room_put(&rooms[1], dice, n);
    const float *x2 = moved(&rooms[2], dice, x, n), *y2 = moved(&rooms[3], dice, y, n);

    cr_assert(eq(flt, row->dot(x, y, n), row->dot(x2, y2, n)), SAY(dice, "%s n=%zu", row->name, n));
    cr_assert(eq(flt, row->distance(x, y, n), row->distance(x2, y2, n)),
              SAY(dice, "%s n=%zu", row->name, n));
}

Test(kernels, equal_inputs_give_equal_bits_at_any_alignment)
{
    on_every_row("alignment", check_alignment);
}

Test(kernels, the_c_row_is_last_and_runs_everywhere)
{
    cr_assert(eq(str, (char *)c_row()->name, "c"));
    cr_assert(c_row()->usable());
}

Test(kernels, select_takes_what_can_run_and_nothing_else)
{
    for (const struct sona_kernels *const *row = sona_kernels_all(); *row != NULL; row++) {
        cr_assert(eq(int, sona_kernels_select((*row)->name), (*row)->usable()));
        if ((*row)->usable())
            cr_assert(eq(str, (char *)sona_kernels_active()->name, (char *)(*row)->name));
    }
    cr_assert(sona_kernels_select("c"));
    cr_assert(not(sona_kernels_select("mmx")));
    cr_assert(not(sona_kernels_select("")));
    cr_assert(eq(str, (char *)sona_kernels_active()->name, "c"), "a refused name changes nothing");
}

/* Run by meson without SONA_SIMD, with the name of a row, and with a name that is none. */
Test(kernels, the_row_in_use_is_the_one_that_sona_simd_names_else_the_best)
{
    const struct sona_kernels *expected = NULL;
    const char *wanted = getenv("SONA_SIMD");

    for (const struct sona_kernels *const *row = sona_kernels_all(); *row != NULL; row++) {
        if (!(*row)->usable())
            continue;
        if (expected == NULL)
            expected = *row;
        if (wanted != NULL && strcmp(wanted, (*row)->name) == 0)
            expected = *row;
    }
    cr_assert(eq(str, (char *)sona_kernels_active()->name, (char *)expected->name));
}
