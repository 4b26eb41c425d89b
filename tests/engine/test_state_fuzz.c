/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/*
 * States that no engine saved. Damage is refused; a lie, whose checksums are right, is refused or
 * makes an engine that goes on: it stays inside its tables, its numbers finite, and what it saves
 * can be loaded. SONA_TEST_ROUNDS lies are told about every section.
 */
#include <math.h>

#include "engine/state/container.h"
#include "tests/engine/state_fixture.h"

#define HEADER 64u /* bytes of the container's and of a section's */

/* A section, as docs/state-format.md has it. */
struct piece {
    char name[SONA_STATE_NAME_MAX];
    size_t at, rows_at, bytes; /* of its header, of its rows, and of those */
    size_t next;
};

static struct piece piece_at(const struct saved *saved, size_t at)
{
    struct piece piece = {.at = at, .rows_at = at + HEADER};
    uint64_t rows;
    uint32_t row_bytes;

    memcpy(piece.name, saved->bytes + at, sizeof piece.name);
    memcpy(&rows, saved->bytes + at + 40, sizeof rows);
    memcpy(&row_bytes, saved->bytes + at + 48, sizeof row_bytes);
    piece.bytes = (size_t)rows * row_bytes;
    piece.next = piece.rows_at + (piece.bytes + 63) / 64 * 64;
    return piece;
}

/* An engine that has seen everything, trajectories open, regimes stored. */
static struct saved rich_state(const char *name, const sona_config *config, struct life *ret)
{
    struct life life = life_begin(name, config);
    sona_engine *engine = engine_open_with(config, ROUTES);
    struct saved saved;

    do {
        live(&life, engine);
    } while (life.steps < 1400 || !sona_engine_enabled(engine));
    saved = save(engine);
    sona_engine_destroy(&engine);
    *ret = life;
    return saved;
}

static struct saved copy_of(const struct saved *saved)
{
    return (struct saved){.bytes = memcpy(malloc(saved->n), saved->bytes, saved->n), .n = saved->n};
}

static void assert_refused(const struct saved *saved, size_t n, const char *what, size_t where)
{
    sona_engine *engine = NULL;
    sona_diag diag = {.code = SONA_OK};
    sona_err err = sona_engine_load(&engine, NULL, saved->bytes, n, &diag);

    cr_assert(ne(int, err, SONA_OK), "%s %zu", what, where);
    cr_assert(eq(int, diag.code, err), "%s %zu", what, where);
    cr_assert(engine == NULL);
}

Test(state_fuzz, damage_of_any_kind_is_refused, .timeout = 300)
{
    sona_config config = rich_config();
    struct life life;
    struct saved saved = rich_state("state_fuzz: damage", &config, &life);

    for (size_t i = 0; i < HEADER; i++) {
        unsigned char flip = (unsigned char)(1u << dice_below(&life.dice, 8));

        saved.bytes[i] ^= flip;
        assert_refused(&saved, saved.n, "a flip at", i);
        saved.bytes[i] ^= flip;
    }
    for (struct piece piece = piece_at(&saved, HEADER);; piece = piece_at(&saved, piece.next)) {
        size_t spots[] = {piece.at + dice_below(&life.dice, 40),
                          piece.at + 40 + dice_below(&life.dice, 16),
                          piece.at + 56 + dice_below(&life.dice, 8),
                          piece.rows_at + dice_below(&life.dice, (uint32_t)piece.bytes),
                          piece.rows_at + dice_below(&life.dice, (uint32_t)piece.bytes),
                          piece.next - 1};

        for (size_t s = 0; s < sizeof spots / sizeof *spots; s++) {
            unsigned char flip = (unsigned char)(1u << dice_below(&life.dice, 8));

            saved.bytes[spots[s]] ^= flip;
            assert_refused(&saved, saved.n, piece.name, spots[s] - piece.at);
            saved.bytes[spots[s]] ^= flip;
        }
        assert_refused(&saved, piece.at, "cut before", piece.at);
        assert_refused(&saved, piece.rows_at, "cut behind the header at", piece.at);
        if (piece.next == saved.n)
            break;
    }
    for (int i = 0; i < 50; i++) {
        size_t n = dice_below(&life.dice, (uint32_t)saved.n);

        assert_refused(&saved, n, "cut at", n);
    }
    free(saved.bytes);
}

static void assert_finite(const sona_engine *engine, const char *what, uint64_t seed)
{
    sona_stats stats;

    sona_engine_stats(engine, &stats);
    cr_assert(isfinite(stats.mean_quality) && isfinite(stats.recent_quality) &&
                  isfinite(stats.mse) && isfinite(stats.micro_norm) && isfinite(stats.base_norm) &&
                  isfinite(stats.fold_discarded) && isfinite(stats.tenant_spread),
              "%s, seed %llu", what, (unsigned long long)seed);
}

static void assert_decides(sona_engine *engine, struct life *life, const char *what)
{
    float x[DIM], y[DIM];
    sona_decision decision;
    sona_err err;

    query(x, dice_below(&life->dice, DIM), &life->dice);
    err = sona_engine_decide(engine, x, DIM, NULL, life->now_ms, &decision);
    if (err != SONA_OK) {
        cr_assert(eq(int, err, SONA_E_NO_ROUTE), "%s", what);
        return;
    }
    cr_assert(isfinite(decision.expected) && decision.propensity > 0 && decision.propensity <= 1,
              "%s, seed %llu", what, (unsigned long long)life->dice.seed);
    cr_assert(eq(int, sona_engine_apply(engine, x, DIM, y), SONA_OK));
    for (int i = 0; i < DIM; i++)
        cr_assert(isfinite(y[i]), "%s, seed %llu", what, (unsigned long long)life->dice.seed);
}

/* True: it was loaded, and went on for `events`. */
static bool refused_or_sound(const struct saved *saved, struct life life, const char *what,
                             uint32_t events)
{
    sona_engine *engine = NULL, *again = NULL;
    sona_diag diag = {.text = ""};
    struct saved after;

    if (sona_engine_load(&engine, NULL, saved->bytes, saved->n, &diag) != SONA_OK) {
        cr_assert(diag.text[0] != 0, "%s", what);
        return false;
    }
    for (uint32_t i = 0; i < events; i++) {
        live(&life, engine);
        if (i % 50 == 0)
            assert_decides(engine, &life, what);
    }
    assert_finite(engine, what, life.dice.seed);
    after = save(engine);
    cr_assert(eq(int, sona_engine_load(&again, NULL, after.bytes, after.n, &diag), SONA_OK),
              "%s, then: %s, seed %llu", what, diag.text, (unsigned long long)life.dice.seed);
    sona_engine_destroy(&again);
    sona_engine_destroy(&engine);
    free(after.bytes);
    return true;
}

/* A word that numbers, counts and indices have reason to fear. */
static void forge(struct saved *saved, const struct piece *piece, struct dice *dice)
{
    static const uint32_t words[] = {0,          1,          2,          UINT32_MAX, UINT32_MAX - 1,
                                     0x7fc00000, 0x7f800000, 0xff800000, 0x7f7fffff, 0xff7fffff,
                                     0x80000000, 0x00000001, 0x3f800000, 0x461c4000, 0xbf800000,
                                     64,         300,        301,        0x7fffffff, 1000};
    size_t places = piece->bytes / 4;
    size_t at = piece->rows_at + (places > 0 ? 4 * dice_below(dice, (uint32_t)places) : 0);
    uint32_t word = words[dice_below(dice, sizeof words / sizeof *words)];

    if (piece->bytes < 4 || dice_below(dice, 4) == 0)
        saved->bytes[piece->rows_at + dice_below(dice, (uint32_t)piece->bytes)] ^=
            (unsigned char)(1u << dice_below(dice, 8));
    else
        memcpy(saved->bytes + at, &word, sizeof word);
}

Test(state_fuzz, a_lie_with_right_checksums_is_refused_or_makes_a_sound_engine, .timeout = 600)
{
    const char *rounds = getenv("SONA_TEST_ROUNDS");
    uint32_t n = rounds != NULL ? (uint32_t)strtoul(rounds, NULL, 10) : 3, loaded = 0, told = 0;
    sona_config config = rich_config();
    struct life life;
    struct saved saved = rich_state("state_fuzz: lies", &config, &life);

    for (uint32_t round = 0; round < n; round++)
        for (struct piece piece = piece_at(&saved, HEADER);; piece = piece_at(&saved, piece.next)) {
            struct saved lie = copy_of(&saved);

            forge(&lie, &piece, &life.dice);
            (void)sona_state_seal(lie.bytes, lie.n);
            loaded += refused_or_sound(&lie, life, piece.name, 1000);
            told++;
            free(lie.bytes);
            if (piece.next == saved.n)
                break;
        }
    cr_assert(gt(u32, loaded, 0), "nothing got through: this tests nothing");
    cr_assert(lt(u32, loaded, told), "everything got through: this tests nothing");
    free(saved.bytes);
}

/* A copy without a section, or with one that is shorter than it was. */
static struct saved without(const struct saved *saved, const struct piece *piece, uint64_t rows)
{
    struct saved ret = copy_of(saved);
    size_t row_bytes, keep = 0;
    uint32_t word;
    uint64_t all;

    memcpy(&word, saved->bytes + piece->at + 48, sizeof word);
    row_bytes = word;
    if (rows > 0) {
        memcpy(ret.bytes + piece->at + 40, &rows, sizeof rows);
        keep = HEADER + ((size_t)rows * row_bytes + 63) / 64 * 64;
        memset(ret.bytes + piece->rows_at + (size_t)rows * row_bytes, 0,
               keep - HEADER - (size_t)rows * row_bytes);
    } else {
        memcpy(&word, ret.bytes + 32, sizeof word);
        word--;
        memcpy(ret.bytes + 32, &word, sizeof word);
    }
    memmove(ret.bytes + piece->at + keep, ret.bytes + piece->next, ret.n - piece->next);
    ret.n -= piece->next - piece->at - keep;
    all = ret.n;
    memcpy(ret.bytes + 16, &all, sizeof all);
    (void)sona_state_seal(ret.bytes, ret.n);
    return ret;
}

Test(state_fuzz, a_section_that_is_missing_or_shorter_is_refused, .timeout = 300)
{
    sona_config config = rich_config();
    struct life life;
    struct saved saved = rich_state("state_fuzz: missing", &config, &life);

    for (struct piece piece = piece_at(&saved, HEADER);; piece = piece_at(&saved, piece.next)) {
        struct saved less = without(&saved, &piece, 0);
        uint64_t rows;

        memcpy(&rows, saved.bytes + piece.at + 40, sizeof rows);
        /* Nodes are told about, and nothing leans on them; keys that are missing have defaults. */
        if (strcmp(piece.name, "pending.nodes") != 0 && piece.bytes > 0)
            assert_refused(&less, less.n, piece.name, 0);
        free(less.bytes);
        if (rows > 1 && strstr(piece.name, "counter") == NULL &&
            strcmp(piece.name, "config") != 0 && strcmp(piece.name, "pending.nodes") != 0 &&
            strcmp(piece.name, "pending.settled") != 0) {
            less = without(&saved, &piece, rows - 1);
            assert_refused(&less, less.n, piece.name, 1);
            free(less.bytes);
        }
        if (piece.next == saved.n)
            break;
    }
    free(saved.bytes);
}
