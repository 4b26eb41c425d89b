/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/*
 * As much of Criterion as tests/engine/test_kernels.c asks for, and a main() that runs its tests
 * one after another, each in a process of its own: Criterion itself and what it needs do not exist
 * for the foreign processor. For programs of one file.
 */
#ifndef SONA_TESTS_CROSS_CRITERION_H
#define SONA_TESTS_CROSS_CRITERION_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define CROSS_TESTS_MAX 64

static struct cross_test {
    const char *name;
    void (*run)(void);
} cross_tests[CROSS_TESTS_MAX];
static size_t cross_count;

static void cross_add(const char *name, void (*run)(void))
{
    if (cross_count == CROSS_TESTS_MAX) {
        fprintf(stderr, "more than %d tests\n", CROSS_TESTS_MAX);
        exit(1);
    }
    cross_tests[cross_count++] = (struct cross_test){name, run};
}

#define Test(suite, name)                                     \
    static void suite##_##name(void);                         \
    __attribute__((constructor)) static void add_##name(void) \
    {                                                         \
        cross_add(#suite "::" #name, suite##_##name);         \
    }                                                         \
    static void suite##_##name(void)

#define cr_assert(condition, ...)                                           \
    do {                                                                    \
        if (!(condition)) {                                                 \
            fprintf(stderr, "%s:%d: %s: ", __FILE__, __LINE__, #condition); \
            fprintf(stderr, " " __VA_ARGS__);                               \
            fputc('\n', stderr);                                            \
            exit(1);                                                        \
        }                                                                   \
    } while (0)

int main(void)
{
    for (size_t i = 0; i < cross_count; i++) {
        int status = 1;
        pid_t child;

        printf("%s\n", cross_tests[i].name);
        fflush(stdout);
        child = fork();
        if (child == 0) {
            cross_tests[i].run();
            exit(0);
        }
        if (child < 0 || waitpid(child, &status, 0) != child || status != 0) {
            fprintf(stderr, "%s failed (status %d)\n", cross_tests[i].name, status);
            return 1;
        }
    }
    printf("%zu tests passed\n", cross_count);
    return cross_count == 0;
}

#endif
