/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/* The learner as bytes: nothing is left out, and a cycle that runs meanwhile ends as it would. */
#include "engine/learner/save.h"

#include "engine/state/container.h"
#include "engine/state/settings.h"
#include "tests/engine/learner_fixture.h"

/* ---- nothing is left out ---- */

struct map {
    const struct sona_learner *l;
    uint8_t *owners; /* per byte of the block */
};

static void mark_part(void *arg, const struct sona_learner_part *part)
{
    struct map *map = arg;
    size_t bytes = (size_t)part->room * part->row_bytes;

    cr_assert(le(u64, part->rows, part->room), "%s", part->name);
    cr_assert(le(sz, part->offset + bytes, map->l->bytes), "%s", part->name);
    for (size_t i = 0; i < bytes; i++)
        map->owners[part->offset + i]++;
}

/* Every byte has one owner. What has none is what aligns the next table: less than 64 zeros. */
static void assert_covered(const sona_config *config)
{
    struct sona_learner *l = learner_open(config, 2);
    struct map map = {.l = l, .owners = calloc(1, l->bytes)};
    size_t bare = 0;

    sona_learner_parts(l, mark_part, &map);
    for (size_t i = 0; i < l->bytes; i++) {
        bare = map.owners[i] == 0 ? bare + 1 : 0;
        cr_assert(le(u8, map.owners[i], 1), "byte %zu is in two parts", i);
        cr_assert(lt(sz, bare, i < sizeof *l ? 1 : 64),
                  "byte %zu (of struct sona_learner: %zu) is in no part: add it to save.c", i,
                  sizeof *l);
    }
    free(map.owners);
    free(l);
}

Test(learner_save, every_byte_of_the_learner_is_in_one_part)
{
    sona_config config = learner_config();

    assert_covered(&config);
    config.gate = false;
    config.base_lora_layers = 1;
    assert_covered(&config);
    config.gate = true;
    config.tenants_max = 5;
    config.pattern_clusters = 300; /* with signatures */
    config.replay_capacity = 77;
    assert_covered(&config);
}

/* ---- a running cycle ---- */

struct saved {
    unsigned char *bytes;
    size_t n;
};

struct mind {
    sona_config config;
    struct sona_learner *l;
    struct sona_learner_job *job;
    bool ran; /* the job was run, not installed yet */
};

static struct saved save(const struct mind *mind)
{
    struct sona_state_writer writer;
    struct saved ret;

    sona_state_writer_init(&writer, NULL, 0);
    sona_learner_save(mind->l, mind->job, &writer);
    ret = (struct saved){.bytes = malloc(writer.end), .n = writer.end};
    sona_state_writer_init(&writer, ret.bytes, ret.n);
    sona_learner_save(mind->l, mind->job, &writer);
    cr_assert(eq(int, sona_state_writer_end(&writer, sona_learner_save_layout()), 1));
    (void)sona_state_seal(ret.bytes, ret.n);
    return ret;
}

static sona_err load(struct mind *mind, const struct saved *saved, bool with_job, sona_diag *diag)
{
    struct sona_state_reader reader;
    bool running;
    sona_err err =
        sona_state_reader_open(&reader, saved->bytes, saved->n, sona_learner_save_layout(), diag);

    mind->ran = false;
    if (err == SONA_OK)
        err = sona_learner_load(mind->l, with_job ? mind->job : NULL, SONA_LEARNER_KEYS_NOW,
                                &reader, &running);
    if (err == SONA_OK)
        err = sona_state_reader_done(&reader);
    if (err == SONA_OK)
        cr_assert(eq(int, running, mind->l->cycle_running == 1));
    return err;
}

static struct mind mind_open(const sona_config *config, uint32_t n_routes)
{
    return (struct mind){
        .config = *config, .l = learner_open(config, n_routes), .job = job_open(config)};
}

static void mind_close(struct mind *mind)
{
    free(mind->l);
    free(mind->job);
}

/* Saved, forgotten, and loaded into memory that held something else. */
static void reincarnate(struct mind *mind)
{
    struct saved saved = save(mind);
    sona_diag diag = {.text = ""};

    mind_close(mind);
    *mind = mind_open(&mind->config, 0);
    cr_assert(eq(int, load(mind, &saved, true, &diag), SONA_OK), "%s", diag.text);
    free(saved.bytes);
}

static void assert_same(const struct mind *a, const struct mind *b, const char *when, uint64_t seed)
{
    struct saved x = save(a), y = save(b);

    cr_assert(eq(sz, x.n, y.n), "%s, seed %llu", when, (unsigned long long)seed);
    for (size_t i = 0; i < x.n; i++)
        cr_assert(x.bytes[i] == y.bytes[i], "%s: byte %zu differs, seed %llu", when, i,
                  (unsigned long long)seed);
    free(x.bytes);
    free(y.bytes);
}

/* One event of many kinds; queries come from elsewhere every 500. */
static void tell(struct mind *mind, struct dice dice, uint32_t i)
{
    uint32_t first = i / 500 % 2 ? 16 : 0, what = dice_below(&dice, 100);
    float x[DIM], base[DIM];
    struct sona_learner_event event = {
        .kind = SONA_LEARNER_QUERY_OUTCOME,
        .id = i + 1,
        .x = x,
        .base = base,
        .route = dice_below(&dice, 3),
        .quality = dice_unit(&dice),
        .tenant = dice_below(&dice, 5),
        .credit = 0.5f,
        .layer = dice_below(&dice, 2),
        .now_ms = i,
    };
    sona_route ignored;

    topic_query(x, first + dice_below(&dice, 4), 0.1f, &dice);
    topic_query(base, first, 0.1f, &dice);
    if (what < 6)
        event.kind = SONA_LEARNER_QUERY;
    else if (what < 11)
        event.kind = SONA_LEARNER_REVOKE;
    else if (what < 16)
        event.kind = SONA_LEARNER_REPLACE;
    else if (what < 20)
        event.kind = SONA_LEARNER_STEPS;
    else if (what < 22)
        event.kind = SONA_LEARNER_GRADIENT;
    if (event.kind == SONA_LEARNER_REVOKE || event.kind == SONA_LEARNER_REPLACE)
        event.id = i > 60 ? i - dice_below(&dice, 60) : 1;
    (void)sona_learner_learn(mind->l, &event);
    event = (struct sona_learner_event){.kind = SONA_LEARNER_HIT, .layer = 0};
    event.id = sona_model_bank_row(&mind->l->layout, sona_learner_cold(mind->l), 0)->id;
    (void)sona_learner_learn(mind->l, &event);
    if (i % 211 == 210) { /* row 2 gets a successor, perhaps while a job thinks of the first */
        (void)sona_learner_route_retire(mind->l, sona_learner_row(mind->l, 2)->id);
        (void)sona_learner_route_add(mind->l, &(sona_route_spec){.name = "next", .prior_weight = 1},
                                     &ignored);
    }
}

/* Keys that a cycle reads change, perhaps while one runs. */
static void configure(struct mind *mind, struct dice dice)
{
    sona_config config = mind->config;

    config.base_lora_lr = 0.1f * dice_unit(&dice);
    config.pattern_similarity = 0.5f + 0.4f * dice_unit(&dice);
    config.pattern_quality_threshold = dice_unit(&dice);
    config.pattern_decay = dice_unit(&dice);
    mind->config = config;
    sona_learner_configure(mind->l, &config);
}

static void run(struct mind *mind)
{
    if (!mind->ran)
        sona_learner_cycle_run(mind->job);
    mind->ran = true;
}

static sona_cycle_report install(struct mind *mind)
{
    sona_cycle_report report;

    run(mind);
    sona_learner_cycle_install(mind->l, mind->job, &report);
    mind->ran = false;
    return report;
}

static void cycles_across_restarts(const char *name, const sona_config *config, uint32_t events)
{
    struct mind a = mind_open(config, 3), b = mind_open(config, 3);
    struct dice dice = dice_open(name);
    uint32_t in_cycle = 0, after_run = 0, installed = 0;

    for (uint32_t i = 0; i < events; i++) {
        uint32_t coin = dice_below(&dice, 1000);

        tell(&a, dice, i);
        tell(&b, dice, i);
        if (i % 37 == 36) {
            configure(&a, dice);
            configure(&b, dice);
        }
        cr_assert(eq(u32, a.l->cycle_running, b.l->cycle_running));
        if (a.l->cycle_running && coin < 30) {
            sona_cycle_report one = install(&a), two = install(&b);

            cr_assert(eq(dbl, one.base_change, two.base_change));
            installed += one.ran;
        } else if (!a.l->cycle_running && sona_learner_cycle_due(a.l, i)) {
            cr_assert(eq(int, sona_learner_cycle_start(a.l, a.job, i), 1));
            cr_assert(eq(int, sona_learner_cycle_start(b.l, b.job, i), 1));
            a.ran = b.ran = false;
        } else if (a.l->cycle_running && coin < 60) {
            run(&b); /* what another thread made of the job is not saved */
        }
        if (coin >= 940) {
            in_cycle += b.l->cycle_running;
            after_run += b.l->cycle_running && b.ran;
            reincarnate(&b);
        }
        if (i % 50 == 0)
            assert_same(&a, &b, "on the way", dice.seed);
    }
    assert_same(&a, &b, "at the end", dice.seed);
    cr_assert(gt(u32, in_cycle, 5), "seed %llu", (unsigned long long)dice.seed);
    cr_assert(gt(u32, after_run, 0), "seed %llu", (unsigned long long)dice.seed);
    cr_assert(gt(u32, installed, 5), "seed %llu", (unsigned long long)dice.seed);
    mind_close(&a);
    mind_close(&b);
}

Test(learner_save, a_cycle_that_ran_while_it_was_saved_installs_the_same_bytes)
{
    sona_config config = learner_config();

    config.tenants_max = 3;
    config.consolidation_interval = 150;
    cycles_across_restarts("learner_save: rich", &config, 2500);
}

Test(learner_save, also_when_the_replay_forgets_what_the_job_reads)
{
    sona_config config = learner_config();

    config.replay_capacity = 64;
    config.gate = false;
    cycles_across_restarts("learner_save: short replay", &config, 2500);
}

/* ---- older states ---- */

struct older {
    const struct sona_learner *l;
    struct sona_state_writer writer;
    uint32_t version;
};

static void put_part(void *arg, const struct sona_learner_part *part)
{
    struct older *older = arg;

    if (part->name[0] != 0 && part->since <= older->version)
        sona_state_writer_put(&older->writer, part->name, part->row_bytes, part->rows,
                              (const unsigned char *)older->l + part->offset);
}

/* As the first version saved it: no section that came later. */
static struct saved save_first(const struct mind *mind)
{
    struct older older = {.l = mind->l, .version = 1};
    struct saved ret = {.bytes = malloc(mind->l->bytes * 2)};

    sona_state_writer_init(&older.writer, ret.bytes, mind->l->bytes * 2);
    sona_state_settings_put(&older.writer, SONA_STATE_CONFIG, &mind->l->config);
    sona_learner_parts(mind->l, put_part, &older);
    cr_assert(eq(int, sona_state_writer_end(&older.writer, sona_learner_save_layout()), 1));
    ret.n = older.writer.end;
    return ret;
}

Test(learner_save, a_state_of_the_first_version_is_taken_and_a_newer_one_that_lacks_a_part_is_not)
{
    sona_config config = learner_config();
    struct mind mind = mind_open(&config, 3), heir = mind_open(&config, 0);
    struct dice dice = dice_open("learner_save: first version");
    sona_diag diag = {.text = ""};
    struct saved saved;

    for (uint32_t i = 0; i < 600; i++)
        tell(&mind, dice, i);
    cr_assert(eq(int, mind.l->cycle_running, 0));
    saved = save_first(&mind);
    (void)sona_state_seal(saved.bytes, saved.n);
    cr_assert(eq(int, load(&heir, &saved, false, &diag), SONA_E_FORMAT));
    cr_assert(strstr(diag.text, "gate.marks") != NULL, "%s", diag.text);
    saved.bytes[12] = 1;
    (void)sona_state_seal(saved.bytes, saved.n);
    mind_close(&heir);
    heir = mind_open(&config, 0);
    cr_assert(eq(int, load(&heir, &saved, false, &diag), SONA_OK), "%s", diag.text);
    for (uint32_t i = 600; i < 1800; i++) /* what it has none of comes in time */
        tell(&heir, dice, i);
    cr_assert(eq(ptr, (void *)(uintptr_t)sona_learner_fault(heir.l), NULL));
    free(saved.bytes);
    mind_close(&mind);
    mind_close(&heir);
}

/* They say so in the size of the cold half, and have the same sections. */
Test(learner_save, a_state_from_before_whole_numbers_in_the_bank_is_that_of_now)
{
    sona_config config = learner_config();
    struct mind mind = mind_open(&config, 3), heir = mind_open(&config, 0);
    struct dice dice = dice_open("learner_save: before whole numbers");
    struct sona_model_cold *cold = sona_learner_cold(mind.l);
    sona_diag diag = {.text = ""};
    struct saved saved;

    teach_topics(mind.l, 40, 3, &dice);
    cycle(mind.l, mind.job);
    cr_assert(gt(u32, cold->n_bank, 0));
    cold->bytes = (uint32_t)mind.l->layout.bank_whole.offset;
    saved = save(&mind);
    cr_assert(eq(int, load(&heir, &saved, false, &diag), SONA_OK), "%s", diag.text);
    free(saved.bytes);
    cold->bytes = (uint32_t)mind.l->layout.cold_bytes;
    cr_assert(eq(int, memcmp(cold, sona_learner_cold(heir.l), cold->bytes), 0));
    mind_close(&mind);
    mind_close(&heir);
}

Test(learner_save, a_running_cycle_is_refused_by_one_who_has_no_job_for_it)
{
    sona_config config = learner_config();
    struct mind mind = mind_open(&config, 3), heir = mind_open(&config, 0);
    struct dice dice = dice_open("learner_save: no job");
    sona_diag diag = {.text = ""};
    struct saved saved;

    teach_topics(mind.l, 40, 3, &dice);
    saved = save(&mind);
    cr_assert(eq(int, load(&heir, &saved, false, &diag), SONA_OK), "%s", diag.text);
    free(saved.bytes);
    cr_assert(eq(int, sona_learner_cycle_start(mind.l, mind.job, 0), 1));
    saved = save(&mind);
    mind_close(&heir);
    heir = mind_open(&config, 0);
    cr_assert(eq(int, load(&heir, &saved, false, &diag), SONA_E_FORMAT));
    cr_assert(strstr(diag.text, "job") != NULL, "%s", diag.text);
    free(saved.bytes);
    mind_close(&mind);
    mind_close(&heir);
}

Test(learner_save, a_job_adds_little_to_what_the_learner_has_anyway)
{
    sona_config config = learner_config();
    struct mind mind = mind_open(&config, 3);
    struct dice dice = dice_open("learner_save: little");
    struct saved without, with;

    config.hidden_dim = config.embedding_dim = DIM;
    teach_topics(mind.l, 400, 3, &dice);
    without = save(&mind);
    cr_assert(eq(int, sona_learner_cycle_start(mind.l, mind.job, 0), 1));
    with = save(&mind);
    /* 64 bytes an outcome, not its query; and routes, archive and headers. */
    cr_assert(lt(sz, with.n - without.n, 400 * sizeof(struct sona_learner_entry) + 16384));
    free(without.bytes);
    free(with.bytes);
    mind_close(&mind);
}
