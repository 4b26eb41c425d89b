/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/*
 * sona-sim: clients, sidecars and their disk in one thread, one seed.
 *
 *     main.c      the command line; each seed in a process of its own
 *     director.c  the story of a seed: who starts, is killed, stopped, cut from power, and when
 *     client.c    a client process: lanes that decide, tell and read, and write down what they did
 *     oracle.c    what was said, held against the journal, the model and the counters
 *     plant.c     defects on purpose, each of which has to be found
 *     tasks.c     threads as coroutines, the scheduler, the clock, locks and wake-ups
 *     system.c    what else the product asks of the kernel: descriptors, memory, random numbers
 *     loop.c      the few functions of libevent that the control thread uses
 *     disk.c      SQLite's files: whose they are, and what is left of them without power
 *
 * The product is linked as it ships to its test binaries (SONA_FAULTS); the linker puts what is
 * below in the place of the calls that reach a thread, a clock or the kernel (--wrap). A *process*
 * here is a number: its tasks, descriptors and open database files are its own. When it dies its
 * tasks never run again and its descriptors are closed; memory that it mapped from files, and the
 * files, stay as they are.
 */
#ifndef SONA_TESTS_SIM_WORLD_H
#define SONA_TESTS_SIM_WORLD_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "shm/fault.h"
#include "tests/engine/dice.h"

#define SIM_PROCESSES_MAX 64u
#define SIM_WORLD         0u /* the process that no story kills: director and oracle */
#define SIM_MS            1000000ull

struct sim_process {
    const char *name;
    bool alive;
    uint64_t wakes_ns; /* stopped, as by SIGSTOP, until then */
};

struct sim_world {
    uint64_t seed, steps, steps_max, now_ns, wall_ns;
    struct dice story, schedule, kernel; /* what happens; in which order; random numbers */
    uint32_t stickiness;                 /* one of so many yields lets another task run */
    uint32_t tick_ns;                    /* what a look at the clock takes, at most */
    uint64_t hash;                       /* of the trace */
    bool verbose, texts, ended;          /* texts: what the sidecar logs, too */
    uint64_t io;                         /* grows when a descriptor may have become ready */
    uint32_t plant;                      /* enum sim_plant */
    struct sim_process process[SIM_PROCESSES_MAX];
    uint32_t n_processes;
    char dir[64], instance[32];
    char why[256]; /* first failure; "": none */
    bool failed;
};
extern struct sim_world sim;

/* ---- the trace ---- */

/* One line: task, name and two numbers; the same seed makes the same lines. */
void sim_note(const char *name, uint64_t a, uint64_t b);
/* The seed has failed; the first reason is kept, and the world ends. */
__attribute__((format(printf, 1, 2))) void sim_fail(const char *format, ...);

/* ---- tasks (tasks.c) ---- */

struct sim_task;
uint32_t sim_process_begin(const char *name);
/* It dies here and now; does not return when it is the caller's own. */
void sim_process_kill(uint32_t process);
bool sim_process_alive(uint32_t process);
uint32_t sim_process_current(void);
struct sim_task *sim_task_begin(uint32_t process, const char *name, void *(*run)(void *),
                                void *arg);
/* Another task may run now. */
void sim_yield(void);
void sim_sleep(uint64_t ns);
/* Wait until a descriptor may be ready, or until then. */
void sim_wait_io(uint64_t until_ns);
/* Run until sim.ended. */
void sim_run(void);
/* Done by the scheduler before the next task at this step; 0: nothing. */
void sim_at_step(uint64_t step, void (*what)(void));

/* ---- system.c ---- */

void sim_descriptors_close(uint32_t process);
void sim_maps_close(uint32_t process);
/* Variables of the program that are of a process: as before its start. */
void sim_variables_reset(uint32_t process);

/* ---- disk.c ---- */

void sim_disk_init(void);
void sim_disk_close(uint32_t process);
/* The power fails: all processes but the world's die, and files are what a disk may hold. */
void sim_disk_cut(void);
/* From now on the disk refuses, or no longer: enum faulty_error. */
void sim_disk_error(uint32_t error);
/* `told` when the power fails by itself, at the n-th operation from now. */
void sim_disk_cut_after(uint64_t n, void (*told)(void));

/* ---- plant.c ---- */

#define SIM_PLANTS(X)                                                                   \
    X(none, "the product as it is")                                                     \
    X(lane_twice, "after a restart lanes are drained again from where the ledger says") \
    X(events_twice, "events that the journal has are handed to the learner again")      \
    X(unsynced, "a commit that has to be on the disk is not synced")                    \
    X(head_early, "a record's slot is given back before the record is kept")            \
    X(pending_lost, "a resume forgets a decision that waits")                           \
    X(cur_early, "cur names a snapshot before its bytes are written")                   \
    X(generation_behind, "a generation claims one record less than it has")             \
    X(install_silent, "the install of a cycle is not in the journal")                   \
    X(append_lost, "an append is acknowledged and not done")

enum sim_plant {
#define SIM_PLANT(name, text) SIM_PLANT_##name,
    SIM_PLANTS(SIM_PLANT)
#undef SIM_PLANT
        SIM_PLANT_COUNT
};
/* What a fault point of the sidecar does to a plant, before anything else. */
void sim_plant_point(enum sona_fault point);

/* ---- director.c ---- */

/* Passing a point (the caller's process may die of it). */
void sim_story_point(const char *name, uint32_t point);
void *sim_story(void *unused);

#endif
