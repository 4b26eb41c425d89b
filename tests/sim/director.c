/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/*
 * The story of a seed: a sidecar, one or two clients, and turns, one after the other: a death at a
 * point or between any two steps, the power, a stop, a pause. After each what died is started
 * again. At last all is left in peace: whatever was said has to arrive, everything be given back,
 * and the oracle looks at what is left.
 */
#include "tests/sim/director.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>

#include "sidecar/control.h"
#include "sidecar/report.h"
#include "tests/sim/wraps.h"

#define GRACE_NS (600 * SIM_MS)          /* more than SONA_SHM_GRACE_MS */
#define PEACE_NS (60ull * 1000 * SIM_MS) /* all must be over after so long */

struct sim_life sim_life;
uint32_t sim_durability;
size_t sim_hot_bytes, sim_cold_bytes;
uint64_t sim_turns[SIM_TURN_COUNT], sim_passed[SIM_POINTS];
bool sim_was_cut;
uint64_t sim_rows, sim_outcomes, sim_lost;

/* What was armed: a point and the passages that are left, or a step. */
static struct {
    enum sim_turn turn;
    uint32_t point, left;
    bool fired;
} armed;

static char state_arg[96], durability_arg[32], inline_arg[40];

const char *const *sim_arguments(void)
{
    static const char *const durabilities[] = {"process", "interval", "every"};
    static const char *args[] = {"--routes=a,b,c",
                                 "--dim=16",
                                 "--set=hidden_dim=16",
                                 "--set=attention_dim=4",
                                 "--set=base_lora_layers=1",
                                 "--set=replay_capacity=64",
                                 "--set=pattern_clusters=16",
                                 "--set=step_capacity=16",
                                 "--set=regimes_max=2",
                                 "--set=background_interval_ms=50",
                                 "--set=queue_capacity=64",
                                 "--set=trajectory_capacity=256",
                                 "--influence-cap=0",
                                 "--lease-ms=5",
                                 state_arg,
                                 durability_arg,
                                 inline_arg,
                                 NULL};

    (void)snprintf(state_arg, sizeof state_arg, "--state-dir=%s/state", sim.dir);
    (void)snprintf(durability_arg, sizeof durability_arg, "--durability=%s",
                   durabilities[sim_durability]);
    (void)snprintf(inline_arg, sizeof inline_arg, "--set=consolidation_interval=%u",
                   20u + (uint32_t)(sim.seed % 50));
    return args;
}

/* ---- the sidecar ---- */

static void serves(void *arg)
{
    (void)arg;
    sim_life.serves = true;
    sim_note("serves", sim_life.process, 0);
}

static bool parse(struct sona_sidecar_options *ret)
{
    const char *const *args = sim_arguments();
    char *argv[40] = {strdup("sona-sidecar")}; /* the parser writes into them */
    char instance[48], runtime[80];
    int argc = 1;

    (void)snprintf(instance, sizeof instance, "--instance=%s", sim.instance);
    (void)snprintf(runtime, sizeof runtime, "--runtime-dir=%s", sim.dir);
    argv[argc++] = strdup(instance);
    argv[argc++] = strdup(runtime);
    argv[argc++] = strdup("--isolated");
    while (*args)
        argv[argc++] = strdup(*args++);
    return sona_sidecar_options_parse(ret, argc, argv) == 0;
}

static void *sidecar_main(void *arg)
{
    struct sim_life *l = arg;
    sona_diag diag = {.text = "the arguments"};

    sona_err err = parse(&l->options) ? SONA_OK : SONA_E_RANGE;
    l->orders = calloc(1, sizeof *l->orders);
    l->orders->fd = __wrap_eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (err == SONA_OK)
        err = sona_sidecar_open(&l->sidecar, &l->options, &diag);
    if (err == SONA_OK) {
        sim_hot_bytes = l->sidecar.layout.hot_bytes;
        sim_cold_bytes = l->sidecar.layout.cold_bytes;
        err = sona_sidecar_listen(&l->sidecar, &diag);
        if (err == SONA_OK)
            err = sona_sidecar_control_run(&l->sidecar, l->orders, serves, NULL, &diag);
        sona_sidecar_close(&l->sidecar);
    }
    if (err != SONA_OK)
        sim_fail("a sidecar does not start, or fails: %s", diag.text);
    l->ended = true;
    return NULL;
}

static void start_sidecar(void)
{
    memset(&sim_life, 0, sizeof sim_life);
    sim_forget_last();
    sim_life.process = sim_process_begin("sidecar");
    (void)sim_task_begin(sim_life.process, "main", sidecar_main, &sim_life);
}

static bool sidecar_lives(void)
{
    return sim_life.process != 0 && sim_process_alive(sim_life.process) && !sim_life.ended;
}

/* By tag of a lane memory: the sidecar that drains it; GIVEN_BACK: it is drained and learned. */
#define GIVEN_BACK 0xff
static uint8_t drained_by[UINT16_MAX + 1];

void sim_lanes_taken(uint32_t tag)
{
    drained_by[tag] = (uint8_t)sim_life.process;
}

void sim_lanes_given_back(uint32_t tag)
{
    drained_by[tag] = GIVEN_BACK;
}

/* What it had not drained of clients that are dead is handed back to nobody. */
static void sidecar_died(void)
{
    for (uint32_t i = 0; i < sim_n_clients; i++) {
        struct sim_client *c = &sim_clients[i];

        if (!sim_process_alive(c->process) && c->tag != 0 && drained_by[c->tag] != GIVEN_BACK)
            c->may_lose = true;
    }
}

static void client_died(struct sim_client *c)
{
    if (!sidecar_lives() || drained_by[c->tag] != sim_life.process)
        c->may_lose = true;
}

/* ---- turns ---- */

static struct sim_client *any_client(void)
{
    struct sim_client *live[SIM_CLIENTS_MAX];
    uint32_t n = 0;

    for (uint32_t i = 0; i < sim_n_clients; i++)
        if (sim_process_alive(sim_clients[i].process) && !sim_clients[i].closed)
            live[n++] = &sim_clients[i];
    return n == 0 ? NULL : live[dice_below(&sim.story, n)];
}

static void kill_sidecar(void)
{
    armed.fired = true;
    if (!sidecar_lives())
        return;
    sim_turns[armed.turn]++;
    sidecar_died();
    sim_process_kill(sim_life.process);
}

static void kill_client(struct sim_client *c)
{
    armed.fired = true;
    if (!c)
        return;
    sim_turns[armed.turn]++;
    client_died(c);
    sim_process_kill(c->process);
}

/* What had to be on the disk by now. */
static void power_fails(void)
{
    armed.fired = sim_was_cut = true;
    sim_turns[armed.turn]++;
    for (uint32_t i = 0; i < sim_n_clients; i++) {
        struct sim_client *c = &sim_clients[i];

        c->may_lose = true;
        for (uint32_t k = 0; k < c->n_words; k++) {
            struct sim_word *w = &c->word[k];

            w->must |= w->learned_ns != 0 && (sim_durability == SONA_STORE_EVERY ||
                                              (sim_durability == SONA_STORE_INTERVAL &&
                                               w->learned_ns + SIM_WINDOW_NS <= sim.now_ns));
        }
    }
    sim_disk_cut();
}

static void pause_process(uint32_t process)
{
    armed.fired = true;
    sim_turns[armed.turn]++;
    sim.process[process].wakes_ns = sim.now_ns + (1 + dice_below(&sim.story, 400)) * SIM_MS;
    sim_note("paused", process, 0);
}

static void now(void)
{
    struct sim_client *c = any_client();

    switch (armed.turn) {
    case SIM_TURN_sidecar_step:
        kill_sidecar();
        break;
    case SIM_TURN_client_step:
        kill_client(c);
        break;
    case SIM_TURN_power_step:
        power_fails();
        break;
    case SIM_TURN_sidecar_pause:
        if (sidecar_lives())
            pause_process(sim_life.process);
        break;
    case SIM_TURN_client_pause:
        if (c)
            pause_process(c->process);
        break;
    default:
        break;
    }
    armed.fired = true;
}

void sim_story_point(const char *name, uint32_t point)
{
    sim_passed[point]++;
    sim_note(name, point, 0);
    sim_yield();
    bool counts = (armed.turn == SIM_TURN_sidecar_point || armed.turn == SIM_TURN_client_point) &&
                  !armed.fired && armed.point == point;
    if (!counts || --armed.left > 0)
        return;
    if (point != SIM_POINT_PINNED) {
        if (sim_process_current() == sim_life.process)
            kill_sidecar();
        return;
    }
    for (uint32_t i = 0; i < sim_n_clients; i++)
        if (sim_clients[i].process == sim_process_current())
            kill_client(&sim_clients[i]);
}

static void stop_sidecar(void)
{
    if (!sidecar_lives() || !sim_life.serves)
        return;
    atomic_store_explicit(&sim_life.orders->stop, true, memory_order_release);
    (void)__wrap_eventfd_write(sim_life.orders->fd, 1);
    while (sidecar_lives() && !sim.ended)
        sim_sleep(SIM_MS);
    sidecar_died(); /* what is left in lanes is counted by clients, and dead ones do not come back
                     */
    sim_process_kill(sim_life.process);
}

/* Done by the director itself, at a time and not at a step. */
static bool is_timed(void)
{
    return armed.turn == SIM_TURN_stop || armed.turn == SIM_TURN_disk_error;
}

static void arm(void)
{
    static const uint8_t often[] = {0, 0, 0, 0, 0, 1, 1, 2, 3, 4, 4, 5, 6, 7, 8, 9};

    memset(&armed, 0, sizeof armed);
    armed.turn = (enum sim_turn)often[dice_below(&sim.story, sizeof often)];
    armed.point = armed.turn == SIM_TURN_client_point ? SIM_POINT_PINNED
                                                      : dice_below(&sim.story, SONA_FAULT_COUNT);
    armed.left = 1 + dice_below(&sim.story, dice_below(&sim.story, 2) ? 3 : 40);
    sim_note("armed", armed.turn, armed.point);
    if (armed.turn == SIM_TURN_power_write)
        sim_disk_cut_after(1 + dice_below(&sim.story, 200), power_fails);
    else if (armed.turn > SIM_TURN_sidecar_point && armed.turn != SIM_TURN_client_point &&
             !is_timed())
        sim_at_step(sim.steps + 1 + dice_below(&sim.story, dice_below(&sim.story, 2) ? 300 : 3000),
                    now);
}

/* What an operator asks for now and then. */
static void ask(void)
{
    static const uint32_t what[] = {SONA_CONTROL_LEARN, SONA_CONTROL_GENERATIONS_SAVE,
                                    SONA_CONTROL_ROUTE_COST};
    struct sona_sidecar_command command = {.request.what = what[dice_below(&sim.story, 3)]};

    if (!sidecar_lives() || !sim_life.serves)
        return;
    (void)snprintf(command.request.spec.name, sizeof command.request.spec.name, "b");
    command.request.spec.cost = dice_unit(&sim.story);
    sim_note("asked", command.request.what, 0);
    if (sona_sidecar_commands_put(&sim_life.sidecar.asked, &command))
        sona_sidecar_wake_notify(&sim_life.sidecar.stream.wake);
}

static uint32_t clients_at_work(void)
{
    uint32_t n = 0;

    for (uint32_t i = 0; i < sim_n_clients; i++)
        n += sim_process_alive(sim_clients[i].process) &&
             sim_clients[i].lanes_done < sim_clients[i].n_lanes;
    return n;
}

/* One turn, and what follows from it. */
static void turn(void)
{
    uint64_t until = sim.now_ns + 2000 * SIM_MS;

    arm();
    if (is_timed())
        sim_sleep((1 + dice_below(&sim.story, 100)) * SIM_MS);
    if (armed.turn == SIM_TURN_stop) {
        sim_turns[SIM_TURN_stop]++;
        stop_sidecar();
    } else if (armed.turn == SIM_TURN_disk_error && sidecar_lives() && sim_life.serves) {
        sim_turns[SIM_TURN_disk_error]++;
        sim_disk_error(1 + dice_below(&sim.story, 4));
        sim_sleep((1 + dice_below(&sim.story, 300)) * SIM_MS);
        sim_disk_error(0);
    }
    /* The next one comes of what is armed already: starts die, too. */
    for (uint32_t beats = 0; !armed.fired && !is_timed() && sim.now_ns < until &&
                             (clients_at_work() > 0 || beats < 8) && !sim.ended;
         beats++) {
        sim_sleep((1 + dice_below(&sim.story, 20)) * SIM_MS);
        if (!sidecar_lives())
            start_sidecar();
        else if (dice_below(&sim.story, 6) == 0)
            ask();
    }
    if (dice_below(&sim.story, 2) == 0)
        sim_sleep((1 + dice_below(&sim.story, 150)) * SIM_MS);
    while (sim_n_clients < SIM_CLIENTS_MAX && clients_at_work() == 0 &&
           dice_below(&sim.story, 3) > 0)
        (void)sim_client_begin(1 + dice_below(&sim.story, SIM_LANES),
                               2 + dice_below(&sim.story, 12));
}

/* ---- the end ---- */

static bool all_closed(void)
{
    for (uint32_t i = 0; i < sim_n_clients; i++)
        if (sim_process_alive(sim_clients[i].process) && !sim_clients[i].closed)
            return false;
    return sim_life.serves && sim_life.sidecar.clients.n == 0;
}

static void make_peace(void)
{
    armed.fired = true;
    sim_at_step(0, NULL);
    sim_disk_cut_after(UINT64_MAX, NULL);
    if (!sidecar_lives())
        start_sidecar();
    for (uint32_t i = 0; i < sim_n_clients; i++)
        sim_clients[i].finish = true;
    uint64_t until = sim.now_ns + PEACE_NS;
    while (!all_closed() && !sim.ended) {
        sim_sleep(2 * SIM_MS);
        if (sim.now_ns >= until)
            sim_fail("wedged: %u clients still attached, %u at work",
                     sim_life.serves ? sim_life.sidecar.clients.n : 0, clients_at_work());
    }
    sim_sleep(GRACE_NS); /* until slots of a dead sidecar are free, nothing need be published */
}

static void read_counters(void)
{
    sona_stats stats;

    sim_life.taken = atomic_load_explicit(
        &sona_sidecar_intake_figures(sim_life.sidecar.intake)->taken, memory_order_relaxed);
    sona_sidecar_report_sum(&sim_life.sidecar, &stats);
    sim_life.learned = stats.counter[SONA_COUNTER_learned];
    sim_life.thinned = stats.counter[SONA_COUNTER_drop_thinned];
    sim_life.dropped =
        stats.counter[SONA_COUNTER_drop_unknown_id] + stats.counter[SONA_COUNTER_drop_malformed] +
        stats.counter[SONA_COUNTER_lanes_quarantined] + stats.counter[SONA_COUNTER_drop_duplicate];
}

void *sim_story(void *unused)
{
    uint32_t turns = dice_below(&sim.story, 5);

    (void)unused;
    sim_durability = dice_below(&sim.story, 3);
    start_sidecar();
    for (uint32_t n = 1 + dice_below(&sim.story, 2); n > 0; n--)
        (void)sim_client_begin(1 + dice_below(&sim.story, SIM_LANES),
                               2 + dice_below(&sim.story, 20));
    if (dice_below(&sim.story, 4) > 0) /* else it may die at its first start */
        while (!sim_life.serves && !sim.ended)
            sim_sleep(SIM_MS);
    for (uint32_t k = 0; k < turns && !sim.ended; k++)
        turn();
    make_peace();
    if (sim.ended)
        return NULL;
    read_counters();
    if (dice_below(&sim.story, 2) == 0)
        stop_sidecar();
    else
        sim_process_kill(sim_life.process);
    sim_judge();
    sim.ended = true;
    return NULL;
}
