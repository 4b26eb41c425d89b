/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/* An engine that was saved and loaded is the engine that never stopped, to the last bit. */
#include <math.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/engine/state_fixture.h"

static void assert_same(const sona_engine *a, const sona_engine *b, const char *when, uint64_t seed)
{
    struct saved x = save(a), y = save(b);

    cr_assert(eq(sz, x.n, y.n), "%s, seed %llu", when, (unsigned long long)seed);
    for (size_t i = 0; i < x.n; i++)
        cr_assert(x.bytes[i] == y.bytes[i], "%s: byte %zu differs, seed %llu", when, i,
                  (unsigned long long)seed);
    free(x.bytes);
    free(y.bytes);
}

/* An engine that lives through, beside one that is saved, destroyed and loaded again and again. */
static void resume_again_and_again(const char *name, const sona_config *config, uint32_t events)
{
    struct life through = life_begin(name, config), cut = through;
    sona_engine *a = engine_open_with(config, ROUTES), *b = engine_open_with(config, ROUTES);
    uint32_t cuts = 0;

    for (uint32_t i = 0; i < events; i++) {
        live(&through, a);
        live(&cut, b);
        cr_assert(eq(u64, through.heard, cut.heard), "event %u, seed %llu", i,
                  (unsigned long long)through.dice.seed);
        if ((dice_next(&cut.dice), dice_next(&through.dice)) % 40 == 0) {
            struct saved saved = save(b);

            sona_engine_destroy(&b);
            b = load_with(&saved, NULL); /* the configuration changed on the way */
            assert_same(a, b, "right after the load", through.dice.seed);
            free(saved.bytes);
            cuts++;
        }
    }
    assert_same(a, b, "at the end", through.dice.seed);
    cr_assert(gt(u32, cuts, 0));
    /* The life was a rich one. */
    cr_assert(gt(u64, engine_count(a, SONA_COUNTER_background_cycles), 5));
    cr_assert(gt(u64, engine_count(a, SONA_COUNTER_revoked), 0));
    cr_assert(gt(u64, engine_count(a, SONA_COUNTER_layer_updates), 0));
    if (config->gate)
        cr_assert(gt(u64, engine_count(a, SONA_COUNTER_regime_switches), 0), "seed %llu",
                  (unsigned long long)through.dice.seed);
    if (config->ewc)
        cr_assert(gt(u64, engine_count(a, SONA_COUNTER_ewc_holds), 0), "seed %llu",
                  (unsigned long long)through.dice.seed);
    sona_engine_destroy(&a);
    sona_engine_destroy(&b);
}

Test(state, an_engine_saved_and_loaded_at_random_goes_on_as_one_that_never_stopped)
{
    sona_config config = rich_config();

    resume_again_and_again("state: rich", &config, 4000);
}

Test(state, so_does_one_without_tenants_or_a_gate_and_with_a_default_quality)
{
    sona_config config = rich_config();

    config.tenants_max = 0;
    config.gate = false;
    config.default_quality = 0.4f;
    config.ewc = false;
    config.normalize = false;
    config.micro_lora_rank = 1;
    resume_again_and_again("state: plain", &config, 3000);
}

Test(state, so_does_one_whose_tables_are_all_too_small)
{
    sona_config config = rich_config();

    config.replay_capacity = 64;
    config.trajectory_capacity = 16;
    config.step_capacity = 4;
    config.pattern_clusters = 2;
    config.tenants_max = 1;
    config.regimes_max = 2;
    resume_again_and_again("state: narrow", &config, 3000);
}

/* One anchor for each regime; and a ring of them over one learner. */
Test(state, so_does_one_with_ewc)
{
    sona_config config = rich_config();

    config.ewc_online = true;
    resume_again_and_again("state: anchors of regimes", &config, 3000);
    config.gate = false;
    config.ewc_online = false;
    config.ewc_tasks_max = 2;
    resume_again_and_again("state: a ring of anchors", &config, 3000);
}

Test(state, another_process_goes_on_as_this_one_does)
{
    sona_config config = rich_config();
    struct life life = life_begin("state: process", &config);
    sona_engine *engine = engine_open_with(&config, ROUTES);
    uint64_t told = 0;
    struct saved saved;
    int way[2];
    pid_t child;

    for (int i = 0; i < 1500; i++)
        live(&life, engine);
    saved = save(engine);
    cr_assert(eq(int, pipe(way), 0));
    child = fork();
    if (child == 0) { /* asserts nothing: it would not be heard */
        sona_engine *loaded = NULL;

        if (sona_engine_load(&loaded, NULL, saved.bytes, saved.n, NULL) == SONA_OK)
            for (int i = 0; i < 500; i++)
                live(&life, loaded);
        _exit(write(way[1], &life.heard, sizeof life.heard) == sizeof life.heard ? 0 : 1);
    }
    cr_assert(gt(int, child, 0));
    for (int i = 0; i < 500; i++)
        live(&life, engine);
    cr_assert(eq(int, (int)read(way[0], &told, sizeof told), (int)sizeof told));
    cr_assert(eq(int, waitpid(child, NULL, 0), child));
    cr_assert(eq(u64, told, life.heard), "seed %llu", (unsigned long long)life.dice.seed);
    sona_engine_destroy(&engine);
    free(saved.bytes);
}

static struct saved lived(const sona_config *config, uint32_t events)
{
    struct life life = life_begin("state: lived", config);
    sona_engine *engine = engine_open_with(config, ROUTES);
    struct saved ret;

    for (uint32_t i = 0; i < events; i++)
        live(&life, engine);
    ret = save(engine);
    sona_engine_destroy(&engine);
    return ret;
}

Test(state, saving_into_too_little_room_says_how_much_is_needed_and_stays_inside)
{
    sona_config config = rich_config();
    struct saved saved = lived(&config, 300);
    sona_engine *engine = load_with(&saved, NULL);

    for (size_t size = 0; size < saved.n; size += 1 + size / 3) {
        unsigned char *small = malloc(size + 1);
        size_t needed = 0;

        small[size] = 0xa5;
        cr_assert(eq(int, sona_engine_save(engine, small, size, &needed), SONA_E_LIMIT));
        cr_assert(eq(sz, needed, saved.n));
        cr_assert(eq(int, small[size], 0xa5), "%zu bytes", size);
        free(small);
    }
    sona_engine_destroy(&engine);
    free(saved.bytes);
}

Test(state, loads_from_any_address)
{
    sona_config config = rich_config();
    struct saved saved = lived(&config, 500);

    for (size_t shift = 1; shift < 9; shift += 3) {
        unsigned char *moved = malloc(saved.n + shift);
        sona_engine *engine = NULL;

        memcpy(moved + shift, saved.bytes, saved.n);
        cr_assert(eq(int, sona_engine_load(&engine, NULL, moved + shift, saved.n, NULL), SONA_OK));
        sona_engine_destroy(&engine);
        free(moved);
    }
    free(saved.bytes);
}

/* ---- another configuration ---- */

struct key {
    const char *name, *value;
    sona_err err;
};

/* Every key, with a value that rich_config() does not have. */
static const struct key keys[] = {
    {"hidden_dim", "64", SONA_E_CONFIG},
    {"embedding_dim", "48", SONA_E_CONFIG},
    {"attention_dim", "9", SONA_E_CONFIG},
    {"routes_max", "9", SONA_E_CONFIG},
    {"micro_lora_rank", "1", SONA_E_CONFIG},
    {"base_lora_rank", "5", SONA_E_CONFIG},
    {"base_lora_layers", "4", SONA_E_CONFIG},
    {"micro_lora_lr", "0.01", SONA_OK},
    {"base_lora_lr", "0.01", SONA_OK},
    {"lora_alpha", "2", SONA_E_CONFIG},
    {"pattern_clusters", "13", SONA_E_CONFIG},
    {"pattern_quality_threshold", "0.4", SONA_OK},
    {"trajectory_capacity", "65", SONA_E_CONFIG},
    {"max_trajectory_steps", "2", SONA_OK},
    {"replay_capacity", "301", SONA_E_CONFIG},
    {"background_interval_ms", "1000", SONA_OK},
    {"feedback_window_ms", "999", SONA_OK},
    {"lambda", "0.3", SONA_OK},
    {"max_explore", "0.2", SONA_OK},
    {"record_share", "0.5", SONA_OK},
    {"normalize", "0", SONA_E_CONFIG},
    {"micro", "0", SONA_OK},
    {"base", "0", SONA_OK},
    {"patterns", "0", SONA_OK},
    {"background", "0", SONA_OK},
    {"drift", "0", SONA_OK},
    {"gate", "0", SONA_E_CONFIG},
    {"regimes_max", "4", SONA_E_CONFIG},
    {"seed", "99", SONA_OK},
    {"default_quality", "0.2", SONA_OK},
    {"step_capacity", "25", SONA_E_CONFIG},
    {"consolidation_interval", "150", SONA_OK},
    {"pattern_similarity", "0.8", SONA_OK},
    {"pattern_decay", "0.9", SONA_OK},
    {"pattern_min_quality", "0.2", SONA_OK},
    {"pattern_min_age", "500", SONA_OK},
    {"lora_dropout", "0.1", SONA_OK},
    {"enable_simd", "0", SONA_OK},
    {"queue_capacity", "128", SONA_OK},
    {"tenants_max", "5", SONA_E_CONFIG},
    {"tenant_lora_rank", "1", SONA_E_CONFIG},
    {"ewc", "0", SONA_E_CONFIG},
    {"ewc_lambda", "100", SONA_OK},
    {"ewc_strength", "0.3", SONA_OK},
    {"ewc_gamma", "0.5", SONA_OK},
    {"ewc_fisher_samples", "50", SONA_OK},
    {"ewc_online", "1", SONA_E_CONFIG},
    {"ewc_tasks_max", "4", SONA_E_CONFIG},
};

/* Each key of the configuration is in the table above, once. */
static void is_listed(void *arg, const char *name, const char *alias, const char *value,
                      const char *help)
{
    uint32_t *n = arg, found = 0;

    (void)alias;
    (void)value;
    (void)help;
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
        found += strcmp(keys[i].name, name) == 0;
    cr_assert(eq(u32, found, 1), "%s: may it differ when a state is loaded?", name);
    *n += found;
}

Test(state, every_key_either_may_differ_and_counts_from_the_load_on_or_is_refused_by_name)
{
    sona_config config = rich_config(), other;
    struct saved saved = lived(&config, 900);
    uint32_t listed = 0;

    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        struct life life = life_begin(keys[i].name, &config);
        sona_engine *engine = NULL;
        sona_diag diag = {.text = ""};

        other = config;
        cr_assert(eq(int, sona_config_set(&other, keys[i].name, keys[i].value, &diag), SONA_OK));
        cr_assert(
            eq(int, sona_engine_load(&engine, &other, saved.bytes, saved.n, &diag), keys[i].err),
            "%s: %s", keys[i].name, diag.text);
        if (keys[i].err != SONA_OK) {
            cr_assert(strstr(diag.text, keys[i].name) != NULL, "%s: %s", keys[i].name, diag.text);
            cr_assert(engine == NULL);
            continue;
        }
        for (int e = 0; e < 200; e++)
            live(&life, engine);
        sona_engine_destroy(&engine);
    }
    sona_config_each(is_listed, &listed, &config);
    cr_assert(eq(sz, listed, sizeof keys / sizeof *keys));
    free(saved.bytes);
}

Test(state, what_a_key_says_counts_from_the_load_on)
{
    sona_config config = rich_config(), dear = config;
    sona_engine *engine = engine_open_with(&config, ROUTES), *loaded;
    float x[DIM] = {1}, before[8], after[8];
    struct saved saved;

    cr_assert(eq(int, sona_engine_route_cost(engine, 0, 1), SONA_OK));
    cr_assert(eq(int, sona_engine_score(engine, x, DIM, before), SONA_OK));
    saved = save(engine);
    dear.lambda = 0.5f;
    loaded = load_with(&saved, &dear);
    cr_assert(eq(int, sona_engine_score(loaded, x, DIM, after), SONA_OK));
    cr_assert(lt(flt, fabsf(before[0] - after[0] - 0.5f), 1e-5f));
    cr_assert(eq(flt, before[1], after[1]));
    sona_engine_destroy(&loaded);
    sona_engine_destroy(&engine);
    free(saved.bytes);
}

Test(state, an_invalid_configuration_is_refused_as_at_create)
{
    sona_config config = rich_config(), wrong = config;
    struct saved saved = lived(&config, 50);
    sona_engine *engine = NULL;
    sona_diag diag = {.text = ""};

    wrong.max_explore = 7;
    cr_assert(
        eq(int, sona_engine_load(&engine, &wrong, saved.bytes, saved.n, &diag), SONA_E_CONFIG));
    cr_assert(strstr(diag.text, "max_explore") != NULL, "%s", diag.text);
    cr_assert(eq(int, sona_engine_load(NULL, NULL, saved.bytes, saved.n, NULL), SONA_E_ARGUMENT));
    cr_assert(eq(int, sona_engine_load(&engine, NULL, NULL, 0, NULL), SONA_E_ARGUMENT));
    cr_assert(eq(int, sona_engine_save(NULL, NULL, 0, &saved.n), SONA_E_ARGUMENT));
    free(saved.bytes);
}
