/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/*
 * Events of several clients at once, valid and not: each client writes down every answer, and when
 * all is drained the named counters of the sidecar agree with them and with each other.
 * SONA_TEST_EVENTS sets how many calls each client makes.
 */
#include <math.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "raw.h"
#include "tests/engine/books.h"
#include "tests/engine/dice.h"

#define CLERKS 3u
#ifdef __SANITIZE_ADDRESS__
#define EVENTS 34000u /* calls of each */
#else
#define EVENTS 340000u
#endif
#define ERRORS 32u
#define IDS    64u

enum call { DECIDE, BEGIN, STEP, ROUTE, OUTCOME, END, REVOKE, CALLS };

/* What the clerks share with the test, and their ids with each other: a word about another's
 * decision may overtake it. */
struct office {
    uint64_t answers[CLERKS][CALLS][ERRORS];
    uint64_t bypassed[CLERKS];
    _Atomic uint64_t ids[IDS];
    _Atomic uint32_t failed;
};

struct clerk {
    struct office *office;
    uint32_t number;
    uint64_t events;
    sona_lane *lane;
    struct dice dice;
};

static void note(struct clerk *c, enum call call, sona_err err)
{
    c->office->answers[c->number][call][err]++;
    c->events++;
    if (err == SONA_E_FULL) /* let the sidecar catch up: events that arrive are the point */
        stage_pause();
}

static uint64_t some_id(struct clerk *c)
{
    return atomic_load_explicit(&c->office->ids[dice_below(&c->dice, IDS)], memory_order_relaxed);
}

static void share_id(struct clerk *c, uint64_t id)
{
    atomic_store_explicit(&c->office->ids[dice_below(&c->dice, IDS)], id, memory_order_relaxed);
}

static uint32_t ask(struct clerk *c, float x[STAGE_DIM + 1])
{
    uint32_t mistake = dice_below(&c->dice, 60);

    stage_query(dice_below(&c->dice, 9), x);
    if (mistake == 0)
        x[3] = NAN;
    if (mistake == 1)
        memset(x, 0, STAGE_DIM * sizeof *x);
    return mistake == 2 ? STAGE_DIM + 1 : STAGE_DIM;
}

static void decide(struct clerk *c)
{
    float x[STAGE_DIM + 1], costs[SONA_ROUTES_MAX] = {0};
    uint32_t dim = ask(c, x), kind = dice_below(&c->dice, 30);
    sona_candidates how = {.costs = costs};
    sona_decision d;
    sona_err err;

    how.restricted = kind == 0;
    how.set[0] = dice_below(&c->dice, 8);
    how.override_costs = kind == 1;
    costs[0] = 2;
    how.mode = kind == 2 ? SONA_MODE_OBSERVE : kind == 3 ? SONA_MODE_BYPASS : SONA_MODE_APPLY;
    how.forced = dice_below(&c->dice, 4); /* one of them unknown */
    err = sona_decide(c->lane, x, dim, kind < 4 ? &how : NULL, &d);
    note(c, DECIDE, err);
    if (err != SONA_OK)
        return;
    if (kind == 3)
        c->office->bypassed[c->number]++;
    else
        share_id(c, d.id);
    if (dice_below(&c->dice, 2))
        note(c, OUTCOME, sona_outcome(c->lane, d.id, dice_unit(&c->dice), NULL));
}

static void trajectory(struct clerk *c)
{
    float x[STAGE_DIM + 1];
    uint32_t dim = ask(c, x);
    uint64_t id = 0;
    sona_err err = sona_trajectory_begin(c->lane, x, dim, &id);

    note(c, BEGIN, err);
    for (uint32_t steps = dice_below(&c->dice, 6); steps > 0; steps--) {
        sona_step step = {.activations = x,
                          .n_activations = dice_below(&c->dice, 40) ? STAGE_DIM : 99,
                          .reward = dice_below(&c->dice, 40) ? 1 : NAN};

        note(c, STEP,
             sona_trajectory_step(c->lane, dice_below(&c->dice, 8) ? id : some_id(c), &step));
    }
    if (dice_below(&c->dice, 2))
        note(c, ROUTE, sona_trajectory_route(c->lane, id, dice_below(&c->dice, 4)));
    if (dice_below(&c->dice, 8))
        note(c, END, sona_trajectory_end(c->lane, id, dice_unit(&c->dice)));
}

static void tell(struct clerk *c)
{
    static const float bad[] = {NAN, -1, 2};
    uint32_t mistake = dice_below(&c->dice, 40);
    uint64_t id = dice_below(&c->dice, 30) ? some_id(c) : dice_next(&c->dice);

    note(c, OUTCOME,
         sona_outcome(c->lane, id, mistake < 3 ? bad[mistake] : (float)dice_below(&c->dice, 2),
                      NULL));
}

static void work(const struct stage *stage, struct clerk *c, uint64_t events)
{
    const sona_client_options options = {.instance = stage->spawn.instance,
                                         .runtime_dir = stage->spawn.runtime_dir,
                                         .lanes = 1,
                                         .dim = STAGE_DIM,
                                         .seed = c->number + 1};
    sona_client *client = NULL;

    if (sona_client_open(&client, &options, NULL) != SONA_OK ||
        sona_lane_claim(client, &c->lane, NULL) != SONA_OK)
        _exit(1);
    while (c->events < events) {
        uint32_t kind = dice_below(&c->dice, 100);

        if (kind < 60)
            decide(c);
        else if (kind < 66)
            trajectory(c);
        else if (kind < 95)
            tell(c);
        else
            note(c, REVOKE, sona_outcome_revoke(c->lane, some_id(c)));
    }
    sona_lane_release(&c->lane);
    sona_client_close(&client);
    _exit(0);
}

static pid_t hire(const struct stage *stage, struct office *office, uint32_t number,
                  const struct dice *dice, uint64_t events)
{
    struct clerk c = {.office = office, .number = number, .dice = *dice};
    pid_t parent = getpid(), pid = fork();

    cr_assert(ge(int, pid, 0));
    if (pid == 0) {
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (getppid() != parent)
            _exit(1);
        c.dice.state += (uint64_t)number << 32;
        work(stage, &c, events);
    }
    return pid;
}

#define SPOILED 8u /* records per round of the vandal */

/* What no client library would write: one record of each kind of refusal at sight, per round. */
static void spoil(struct raw *raw, uint32_t rounds)
{
    for (uint32_t i = 0; i < rounds; i++) {
        raw_record(raw, 0, SONA_RECORD_DECIDE)->magic ^= 1;
        raw_commit(raw, 0);
        sona_record_floats(raw_record(raw, 0, SONA_RECORD_DECIDE))[3] = NAN;
        raw_commit(raw, 0);
        raw_record(raw, 0, SONA_RECORD_DECIDE)->route = 9;
        raw_commit(raw, 0);
        raw_record(raw, 0, SONA_RECORD_OUTCOME)->value = 2;
        raw_commit(raw, 0);
        sona_record_floats(raw_record(raw, 0, SONA_RECORD_BEGIN))[0] = 0;
        raw_commit(raw, 0);
        raw_record(raw, 0, SONA_RECORD_STEP)->n_floats = STAGE_DIM + 1;
        raw_commit(raw, 0);
        raw_record(raw, 0, SONA_RECORD_STEP)->id ^= SONA_ID(1, 0, 0); /* another's trajectory */
        raw_commit(raw, 0);
        raw_record(raw, 0, SONA_RECORD_ROUTE)->id ^= SONA_ID(1, 0, 0);
        raw_commit(raw, 0);
    }
}

static uint64_t answered(const struct office *office, enum call call, sona_err err)
{
    uint64_t sum = 0;

    for (uint32_t c = 0; c < CLERKS; c++)
        sum += office->answers[c][call][err];
    return sum;
}

/* Calls with an answer in from..to, by all clerks. */
static uint64_t answered_between(const struct office *office, int from, int to)
{
    uint64_t sum = 0;

    for (int call = 0; call < CALLS; call++)
        for (int err = from; err <= to; err++)
            sum += answered(office, (enum call)call, (sona_err)err);
    return sum;
}

static uint64_t number(const json_t *o, const char *name)
{
    const json_t *value = json_object_get(o, name);

    cr_assert(ne(ptr, (void *)(uintptr_t)value, NULL), "the stats have no %s", name);
    return (uint64_t)json_integer_value(value);
}

static void read_stats(const json_t *o, sona_stats *ret)
{
    memset(ret, 0, sizeof *ret);
    for (int i = 0; i < SONA_COUNTER_COUNT; i++)
        ret->counter[i] = number(o, sona_counter_name((sona_counter)i));
    ret->pending = number(o, "pending");
    ret->parked_now = number(o, "parked_now");
}

static void audit(const struct stage *stage, const struct office *office, uint64_t vandalised)
{
    json_t *o = stage_stats(stage);
    const json_t *records = json_object_get(o, "records");
    uint64_t bypassed = 0, refused, full = answered_between(office, SONA_E_FULL, SONA_E_FULL);
    sona_stats s;
    const uint64_t *n = s.counter;
    const char *broken;

    for (uint32_t c = 0; c < CLERKS; c++)
        bypassed += office->bypassed[c];
    read_stats(o, &s);
    broken = books_broken(&s);
    cr_expect(eq(ptr, (void *)(uintptr_t)broken, NULL), "the books of %s", broken);
    refused = answered_between(office, SONA_E_ARGUMENT, SONA_E_NO_ROUTE) +
              answered_between(office, SONA_E_UNKNOWN_ID, SONA_E_UNKNOWN_ID);
    const struct {
        const char *what;
        uint64_t counted, noted;
    } same[] = {
        {"nothing else was answered", 0,
         answered_between(office, SONA_E_DETACHED, SONA_E_FORMAT) +
             answered_between(office, SONA_E_DUPLICATE, ERRORS - 1)},
        {"refused by clients", n[BOOK(drop_client_refused)], refused},
        {"dropped by clients", n[BOOK(drop_client_full)], full},
        {"decisions", n[BOOK(decisions)], answered(office, DECIDE, SONA_OK) - bypassed},
        {"trajectories", n[BOOK(trajectories)], answered(office, BEGIN, SONA_OK)},
        {"outcomes", n[BOOK(outcomes)],
         answered(office, OUTCOME, SONA_OK) + answered(office, END, SONA_OK)},
        {"revocations", n[BOOK(revokes)], answered(office, REVOKE, SONA_OK)},
        {"all records", number(records, "taken"),
         answered_between(office, SONA_OK, SONA_OK) - bypassed + SPOILED * vandalised},
        {"malformed", n[BOOK(drop_malformed)], vandalised},
        {"not finite", n[BOOK(drop_not_finite)], vandalised},
        {"unknown route", n[BOOK(drop_route)], vandalised},
        {"range", n[BOOK(drop_range)], vandalised},
        {"zero vector", n[BOOK(drop_zero_vector)], vandalised},
        {"shape", n[BOOK(drop_shape)], vandalised},
        {"nothing is parked for those who left", s.parked_now, 0},
    };
    for (size_t i = 0; i < sizeof same / sizeof *same; i++)
        cr_expect(eq(u64, same[i].counted, same[i].noted), "%s", same[i].what);
    cr_log_info("%llu calls: %llu records, %llu learned, %llu dropped by a full ring",
                (unsigned long long)answered_between(office, 0, ERRORS - 1),
                (unsigned long long)number(records, "taken"), (unsigned long long)n[BOOK(learned)],
                (unsigned long long)full);
    /* Steps and routes: a route that finds its trajectory leaves no trace but its record. */
    uint64_t traced = n[BOOK(steps)] + n[BOOK(drop_steps)] + n[BOOK(strays)] - 2 * vandalised;
    cr_expect(ge(u64, traced, answered(office, STEP, SONA_OK)));
    cr_expect(le(u64, traced, answered(office, STEP, SONA_OK) + answered(office, ROUTE, SONA_OK)));
    json_decref(o);
}

Test(accounting, every_event_of_several_clients_is_counted_once, .timeout = 1200)
{
    static const char *const args[] = {
        "--set=trajectory_capacity=2000", "--set=feedback_window_ms=300",
        "--set=max_trajectory_steps=3", "--set=replay_capacity=256", NULL};
    struct dice dice = dice_open("every_event_of_several_clients_is_counted_once");
    const char *wanted = getenv("SONA_TEST_EVENTS");
    uint64_t events = wanted != NULL ? strtoull(wanted, NULL, 10) : EVENTS;
    struct office *office =
        mmap(NULL, sizeof *office, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    struct stage stage;
    struct raw raw;
    pid_t clerk[CLERKS];
    uint32_t vandalised = 10;

    stage_open(&stage, args);
    raw_open(&raw, &stage);
    for (uint32_t c = 0; c < CLERKS; c++)
        clerk[c] = hire(&stage, office, c, &dice, events);
    spoil(&raw, vandalised);
    for (uint32_t c = 0; c < CLERKS; c++) {
        int status = -1;

        cr_assert(eq(int, waitpid(clerk[c], &status, 0), clerk[c]));
        cr_assert(eq(int, status, 0), "clerk %u", c);
    }
    raw_close(&raw);
    (void)stage_await(&stage, "clients_reclaimed", CLERKS + 1);
    audit(&stage, office, vandalised);
    cr_expect(gt(u64, stage_counter(&stage, "learned"), CLERKS * events / 20));
    cr_expect(gt(u64, stage_counter(&stage, "replaced"), 0));
    cr_expect(gt(u64, stage_counter(&stage, "revoked"), 0));
    cr_expect(gt(u64, stage_counter(&stage, "drop_steps"), 0));
    stage_close(&stage);
}
