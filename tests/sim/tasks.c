/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/*
 * Threads as coroutines. One runs; it goes on until it waits, or until a yield at which the dice
 * say that another one runs. Which one that is, is the dice's choice among all that can.
 *
 * Time stands still but for the looks at the clock, each of which takes a little; when nobody can
 * run it jumps to the next time that somebody waits for.
 */
#include <errno.h>
#include <linux/futex.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <ucontext.h>

#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/common_interface_defs.h>
#define STACK_BYTES (4u << 20)
#else
#define STACK_BYTES (1u << 20)
#endif

#include "tests/sim/wraps.h"
#include "tests/sim/world.h"

#define TASKS_MAX 512u
#define NEVER     UINT64_MAX

enum wait { RUNS, SLEEPS, LOCKS, HEARS, IO, JOINS, ENDED };

struct sim_task {
    const char *name;
    uint32_t process, number;
    enum wait wait;
    uint64_t until_ns;
    const void *what; /* the mutex, condition or futex word; the task that is joined */
    bool told;        /* what it waits for has happened */
    uint64_t io;
    void *(*run)(void *);
    void *arg;
    void *stack;
    bool begun;
    ucontext_t context;
    jmp_buf at;
    void *fake; /* AddressSanitizer's */
};

struct sim_world sim;

static struct sim_task tasks[TASKS_MAX];
static uint32_t n_tasks;
static struct sim_task *current; /* null: the scheduler */
static struct sim_task scheduler;
static uint64_t event_step;
static void (*event)(void);

/* ---- the trace ---- */

static void mix(const void *bytes, size_t n)
{
    const unsigned char *at = bytes;

    for (size_t i = 0; i < n; i++)
        sim.hash = (sim.hash ^ at[i]) * 0x100000001b3u;
}

void sim_note(const char *name, uint64_t a, uint64_t b)
{
    const uint64_t numbers[5] = {sim.steps, sim.now_ns, current ? current->number : 0, a, b};

    mix(numbers, sizeof numbers);
    mix(name, strlen(name));
    if (sim.verbose)
        (void)printf("%8llu %12.6f %-10s %-14s %-20s %llu %llu\n", (unsigned long long)sim.steps,
                     (double)sim.now_ns / 1e9, current ? sim.process[current->process].name : "-",
                     current ? current->name : "scheduler", name, (unsigned long long)a,
                     (unsigned long long)b);
}

void sim_fail(const char *format, ...)
{
    va_list list;

    if (sim.failed)
        return;
    va_start(list, format);
    (void)vsnprintf(sim.why, sizeof sim.why, format, list);
    va_end(list);
    sim.failed = sim.ended = true;
    sim_note("failed", 0, 0);
}

/* ---- from one to the other ---- */

#ifdef __SANITIZE_ADDRESS__
/* The scheduler's stack is the program's: where it is, is told by the first switch away from it. */
static const void *program_stack;
static size_t program_bytes;

static void arrive(void *fake)
{
    const void *from;
    size_t bytes;

    __sanitizer_finish_switch_fiber(fake, &from, &bytes);
    if (!program_stack) {
        program_stack = from;
        program_bytes = bytes;
    }
}
#endif

/* Leave `from`, which goes on when somebody comes back to it. */
__attribute__((noinline)) static void go(struct sim_task *from, struct sim_task *to)
{
#ifdef __SANITIZE_ADDRESS__
    bool back = to == &scheduler;

    __sanitizer_start_switch_fiber(from->wait == ENDED ? NULL : &from->fake,
                                   back ? program_stack : to->stack,
                                   back ? program_bytes : STACK_BYTES);
    (void)swapcontext(&from->context, &to->context);
    arrive(from->fake);
#else
    if (_setjmp(from->at) == 0) {
        if (to->begun || to == &scheduler)
            _longjmp(to->at, 1);
        to->begun = true;
        (void)setcontext(&to->context);
    }
#endif
}

static void begin(void)
{
#ifdef __SANITIZE_ADDRESS__
    arrive(NULL);
#endif
    (void)current->run(current->arg);
    sim_note("ended", 0, 0);
    current->wait = ENDED;
    for (uint32_t i = 0; i < n_tasks; i++)
        if (tasks[i].wait == JOINS && tasks[i].what == current)
            tasks[i].told = true;
    go(current, &scheduler);
    abort();
}

struct sim_task *sim_task_begin(uint32_t process, const char *name, void *(*run)(void *), void *arg)
{
    struct sim_task *t = &tasks[n_tasks];

    if (n_tasks == TASKS_MAX)
        abort();
    *t = (struct sim_task){
        .name = name, .process = process, .number = ++n_tasks, .run = run, .arg = arg};
    t->stack = __real_mmap64(NULL, STACK_BYTES, PROT_READ | PROT_WRITE,
                             MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (t->stack == MAP_FAILED || getcontext(&t->context) != 0)
        abort();
    t->context.uc_stack.ss_sp = t->stack;
    t->context.uc_stack.ss_size = STACK_BYTES;
    makecontext(&t->context, begin, 0);
    sim_note("begins", t->number, process);
    return t;
}

/* ---- who may run ---- */

/* Overlays a pthread_mutex_t; all zeros is free, as PTHREAD_MUTEX_INITIALIZER is. */
struct mutex {
    uint64_t owner; /* number of a task */
};
_Static_assert(sizeof(struct mutex) <= sizeof(pthread_mutex_t), "it has room there");

/* What a dead process held is held by nobody: another has memory of its own. */
static bool is_free(const struct mutex *m)
{
    return m->owner == 0 || !sim.process[tasks[m->owner - 1].process].alive;
}

static bool may_run(const struct sim_task *t)
{
    const struct sim_process *p = &sim.process[t->process];

    if (!p->alive || sim.now_ns < p->wakes_ns)
        return false;
    switch (t->wait) {
    case RUNS:
        return true;
    case LOCKS:
        return is_free(t->what);
    case SLEEPS:
        return sim.now_ns >= t->until_ns;
    case HEARS:
    case JOINS:
        return t->told || sim.now_ns >= t->until_ns;
    case IO:
        return t->io != sim.io || sim.now_ns >= t->until_ns;
    case ENDED:
        break;
    }
    return false;
}

/* The next time that somebody waits for. */
static uint64_t next_time(void)
{
    uint64_t next = NEVER;

    for (uint32_t i = 0; i < n_tasks; i++) {
        const struct sim_task *t = &tasks[i];
        const struct sim_process *p = &sim.process[t->process];
        uint64_t at = p->wakes_ns > sim.now_ns              ? p->wakes_ns
                      : t->wait == RUNS || t->wait == LOCKS ? NEVER
                                                            : t->until_ns;

        if (p->alive && t->wait != ENDED && at < next)
            next = at;
    }
    return next;
}

static struct sim_task *pick(void)
{
    struct sim_task *can[TASKS_MAX];
    uint32_t n = 0;

    for (uint32_t i = 0; i < n_tasks; i++)
        if (may_run(&tasks[i]))
            can[n++] = &tasks[i];
    return n == 0 ? NULL : can[dice_below(&sim.schedule, n)];
}

void sim_at_step(uint64_t step, void (*what)(void))
{
    event_step = step;
    event = what;
}

void sim_run(void)
{
    while (!sim.ended) {
        if (event && sim.steps >= event_step) {
            void (*now)(void) = event;

            event = NULL;
            now();
        }
        struct sim_task *t = pick();
        if (!t) {
            uint64_t next = next_time();

            if (next == NEVER) {
                sim_fail("nobody can run, and nobody waits for a time");
                break;
            }
            sim.now_ns = next;
            continue;
        }
        t->wait = RUNS;
        current = t;
        go(&scheduler, t);
        current = NULL;
    }
}

static void leave(void)
{
    struct sim_task *self = current;

    go(self, &scheduler);
    current = self;
}

static void count_step(void)
{
    if (++sim.steps >= sim.steps_max)
        sim_fail("not done after %llu steps", (unsigned long long)sim.steps);
}

void sim_yield(void)
{
    if (!current)
        return;
    count_step();
    if (sim.ended || (event && sim.steps >= event_step) ||
        dice_below(&sim.schedule, sim.stickiness) == 0)
        leave();
}

/* True: what it waited for has happened. */
static bool wait_for(enum wait wait, const void *what, uint64_t until_ns)
{
    struct sim_task *t = current;

    count_step();
    t->wait = wait;
    t->what = what;
    t->until_ns = until_ns;
    t->told = false;
    t->io = sim.io;
    leave();
    return t->told;
}

void sim_sleep(uint64_t ns)
{
    (void)wait_for(SLEEPS, NULL, sim.now_ns + ns);
}

void sim_wait_io(uint64_t until_ns)
{
    (void)wait_for(IO, NULL, until_ns);
}

/* Tell those that hear `what`: one of them by the dice, or all. */
static uint32_t tell(const void *what, bool all)
{
    struct sim_task *heard[TASKS_MAX];
    uint32_t n = 0;

    for (uint32_t i = 0; i < n_tasks; i++)
        if (tasks[i].wait == HEARS && tasks[i].what == what && !tasks[i].told &&
            sim.process[tasks[i].process].alive)
            heard[n++] = &tasks[i];
    if (n > 0 && !all)
        heard[dice_below(&sim.schedule, n)]->told = true;
    for (uint32_t i = 0; all && i < n; i++)
        heard[i]->told = true;
    return n;
}

/* ---- processes ---- */

uint32_t sim_process_begin(const char *name)
{
    if (sim.n_processes == SIM_PROCESSES_MAX)
        abort();
    sim.process[sim.n_processes] = (struct sim_process){.name = name, .alive = true};
    return sim.n_processes++;
}

bool sim_process_alive(uint32_t process)
{
    return sim.process[process].alive;
}

uint32_t sim_process_current(void)
{
    return current ? current->process : SIM_WORLD;
}

void sim_process_kill(uint32_t process)
{
    if (!sim.process[process].alive)
        return;
    sim_note("killed", process, 0);
    sim.process[process].alive = false;
    sim_disk_close(process);
    sim_descriptors_close(process);
    sim_maps_close(process);
    sim_variables_reset(process);
    if (current && current->process == process)
        leave(); /* for good */
}

/* ---- what stands in the place of threads ---- */

int __wrap_pthread_create(pthread_t *ret, const pthread_attr_t *attr, void *(*run)(void *),
                          void *arg)
{
    (void)attr;
    struct sim_task *t = sim_task_begin(current->process, "thread", run, arg);

    memcpy(ret, &t, sizeof t);
    sim_yield();
    return 0;
}

int __wrap_pthread_setname_np(pthread_t thread, const char *name)
{
    struct sim_task *t;

    memcpy(&t, &thread, sizeof t);
    t->name = name; /* all are literals */
    return 0;
}

int __wrap_pthread_join(pthread_t thread, void **ret)
{
    struct sim_task *t;

    memcpy(&t, &thread, sizeof t);
    if (ret)
        *ret = NULL;
    if (t->wait != ENDED)
        (void)wait_for(JOINS, t, NEVER);
    return 0;
}

int __wrap_pthread_mutex_init(pthread_mutex_t *mutex, const pthread_mutexattr_t *attr)
{
    (void)attr;
    memset(mutex, 0, sizeof *mutex);
    return 0;
}

int __wrap_pthread_mutex_destroy(pthread_mutex_t *mutex)
{
    (void)mutex;
    return 0;
}

int __wrap_pthread_mutex_lock(pthread_mutex_t *mutex)
{
    struct mutex *m = (struct mutex *)mutex;

    if (!current) /* before and after the story */
        return 0;
    sim_yield();
    while (!is_free(m))
        (void)wait_for(LOCKS, m, NEVER);
    m->owner = current->number;
    return 0;
}

int __wrap_pthread_mutex_unlock(pthread_mutex_t *mutex)
{
    struct mutex *m = (struct mutex *)mutex;

    if (!current)
        return 0;
    m->owner = 0;
    sim_yield();
    return 0;
}

int __wrap_pthread_cond_init(pthread_cond_t *cond, const pthread_condattr_t *attr)
{
    (void)attr;
    memset(cond, 0, sizeof *cond);
    return 0;
}

int __wrap_pthread_cond_destroy(pthread_cond_t *cond)
{
    (void)cond;
    return 0;
}

static int hear(pthread_cond_t *cond, pthread_mutex_t *mutex, uint64_t until_ns)
{
    struct mutex *m = (struct mutex *)mutex;

    m->owner = 0;
    bool told = wait_for(HEARS, cond, until_ns);
    while (!is_free(m))
        (void)wait_for(LOCKS, m, NEVER);
    m->owner = current->number;
    return told ? 0 : ETIMEDOUT;
}

int __wrap_pthread_cond_wait(pthread_cond_t *cond, pthread_mutex_t *mutex)
{
    return hear(cond, mutex, NEVER);
}

static uint64_t ns_of(const struct timespec *t)
{
    return (uint64_t)t->tv_sec * 1000000000u + (uint64_t)t->tv_nsec;
}

int __wrap_pthread_cond_timedwait(pthread_cond_t *cond, pthread_mutex_t *mutex,
                                  const struct timespec *until)
{
    return hear(cond, mutex, ns_of(until));
}

int __wrap_pthread_cond_signal(pthread_cond_t *cond)
{
    (void)tell(cond, false);
    return 0;
}

int __wrap_pthread_cond_broadcast(pthread_cond_t *cond)
{
    (void)tell(cond, true);
    return 0;
}

int __wrap_sched_yield(void)
{
    sim_yield();
    return 0;
}

int __wrap_nanosleep(const struct timespec *wanted, struct timespec *left)
{
    (void)left;
    sim_sleep(ns_of(wanted));
    return 0;
}

int __wrap_clock_gettime(clockid_t clock, struct timespec *ret)
{
    sim.now_ns += 1 + dice_below(&sim.schedule, sim.tick_ns);
    uint64_t now = sim.now_ns + (clock == CLOCK_REALTIME ? sim.wall_ns : 0);

    *ret = (struct timespec){.tv_sec = (time_t)(now / 1000000000u),
                             .tv_nsec = (long)(now % 1000000000u)};
    sim_yield();
    return 0;
}

long sim_futex(const uint32_t *word, int op, uint32_t value, const struct timespec *timeout)
{
    op &= FUTEX_CMD_MASK;
    if (op == FUTEX_WAKE)
        return (long)tell(word, value > 1);
    if (op != FUTEX_WAIT)
        abort();
    if (__atomic_load_n(word, __ATOMIC_SEQ_CST) != value) {
        errno = EAGAIN;
        return -1;
    }
    if (wait_for(HEARS, word, timeout ? sim.now_ns + ns_of(timeout) : NEVER))
        return 0;
    errno = ETIMEDOUT;
    return -1;
}
