/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/* What is remembered about lanes over the death of a process, and what is not believed. */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <criterion/criterion.h>
#include <criterion/new/assert.h>

#include "sidecar/ledger.h"

static struct sona_sidecar_ledger *ledger;
static char path[64];

static void open_it(void)
{
    sona_diag diag = {0};

    cr_assert(eq(int, sona_sidecar_ledger_open(&ledger, path, &diag), SONA_OK), "%s", diag.text);
}

/* Nothing is written at the end of a process that is killed. */
static void killed(void)
{
    sona_sidecar_ledger_close(&ledger, false);
    open_it();
}

static void start(void)
{
    (void)snprintf(path, sizeof path, "/tmp/t-ledger-%d.lanes", (int)getpid());
    open_it();
}

static void stop(void)
{
    sona_sidecar_ledger_close(&ledger, true);
    cr_assert(eq(int, access(path, F_OK), -1));
}

TestSuite(ledger, .init = start, .fini = stop);

static struct sona_sidecar_issue issue_of(uint32_t tag)
{
    struct sona_sidecar_issue i = {
        .uid = 5, .inode = 7, .tag = tag, .n_lanes = 3, .ring_slots = 64, .record_stride = 128};

    memcpy(i.identity, &tag, sizeof tag);
    return i;
}

static int find(uint32_t tag)
{
    return sona_sidecar_ledger_find(ledger, issue_of(tag).identity);
}

Test(ledger, cursors_survive_a_kill_and_count_what_was_taken)
{
    struct sona_sidecar_issue i = issue_of(9);
    int slot = sona_sidecar_ledger_issue(ledger, &i);

    cr_assert(sona_sidecar_ledger_in_use(ledger, slot));
    sona_sidecar_ledger_advance(ledger, slot, 0, UINT64_C(5000000000));
    sona_sidecar_ledger_advance(ledger, slot, 2, 7);
    cr_assert(eq(u64, sona_sidecar_ledger_taken(ledger), 0), "by earlier sidecars");
    killed();
    cr_assert(eq(int, find(9), slot));
    cr_assert(eq(int, memcmp(sona_sidecar_ledger_at(ledger, slot), &i, sizeof i), 0));
    cr_assert(eq(u64, sona_sidecar_ledger_cursor(ledger, slot, 0), UINT64_C(5000000000)));
    cr_assert(eq(u64, sona_sidecar_ledger_cursor(ledger, slot, 1), 0));
    cr_assert(eq(u64, sona_sidecar_ledger_cursor(ledger, slot, 2), 7));
    cr_assert(eq(u64, sona_sidecar_ledger_taken(ledger), UINT64_C(5000000007)));
    cr_assert(not(sona_sidecar_ledger_in_use(ledger, slot)));
    cr_assert(eq(u32, sona_sidecar_ledger_waiting(ledger), 1));
}

Test(ledger, an_issue_is_expected_until_it_is_claimed_or_given_up)
{
    struct sona_sidecar_issue a = issue_of(9), b = issue_of(65535);

    (void)sona_sidecar_ledger_issue(ledger, &a);
    (void)sona_sidecar_ledger_issue(ledger, &b);
    cr_assert(not(sona_sidecar_ledger_expects(ledger, 9)), "it is here");
    killed();
    cr_assert(sona_sidecar_ledger_expects(ledger, 9));
    cr_assert(sona_sidecar_ledger_expects(ledger, 65535));
    cr_assert(not(sona_sidecar_ledger_expects(ledger, 10)));
    sona_sidecar_ledger_claim(ledger, find(9));
    cr_assert(not(sona_sidecar_ledger_expects(ledger, 9)));
    cr_assert(eq(u32, sona_sidecar_ledger_waiting(ledger), 1));
    sona_sidecar_ledger_give_up(ledger);
    cr_assert(not(sona_sidecar_ledger_expects(ledger, 65535)));
    cr_assert(eq(u32, sona_sidecar_ledger_waiting(ledger), 1), "and yet welcome");
    cr_assert(sona_sidecar_ledger_has_tag(ledger, 65535), "its tag is not given to another");
}

Test(ledger, what_is_forgotten_is_gone_but_for_its_count)
{
    struct sona_sidecar_issue i = issue_of(9);
    int slot = sona_sidecar_ledger_issue(ledger, &i);

    sona_sidecar_ledger_advance(ledger, slot, 1, 100);
    sona_sidecar_ledger_forget(ledger, slot);
    cr_assert(eq(int, find(9), SONA_SIDECAR_LEDGER_NONE));
    cr_assert(not(sona_sidecar_ledger_has_tag(ledger, 9)));
    killed();
    cr_assert(eq(u64, sona_sidecar_ledger_taken(ledger), 100));
    cr_assert(eq(u32, sona_sidecar_ledger_waiting(ledger), 0));
    i.tag = 10;
    slot = sona_sidecar_ledger_issue(ledger, &i);
    cr_assert(eq(u64, sona_sidecar_ledger_cursor(ledger, slot, 1), 0), "a new one begins at 0");
}

Test(ledger, a_full_ledger_forgets_the_oldest_that_nobody_came_back_with)
{
    for (uint32_t tag = 1; tag <= SONA_SIDECAR_LEDGER_MAX; tag++) {
        struct sona_sidecar_issue i = issue_of(tag);

        cr_assert(ge(int, sona_sidecar_ledger_issue(ledger, &i), 0));
    }
    struct sona_sidecar_issue more = issue_of(60000), last = issue_of(60001);
    cr_assert(eq(int, sona_sidecar_ledger_issue(ledger, &more), SONA_SIDECAR_LEDGER_NONE),
              "all are in use");
    killed();
    sona_sidecar_ledger_claim(ledger, find(1));
    cr_assert(ge(int, sona_sidecar_ledger_issue(ledger, &more), 0));
    cr_assert(eq(int, find(2), SONA_SIDECAR_LEDGER_NONE));
    cr_assert(ge(int, sona_sidecar_ledger_issue(ledger, &last), 0));
    cr_assert(eq(int, find(3), SONA_SIDECAR_LEDGER_NONE));
    cr_assert(ge(int, find(1), 0));
    cr_assert(ge(int, find(4), 0));
}

Test(ledger, an_entry_that_is_not_whole_is_not_believed)
{
    struct sona_sidecar_issue i = issue_of(9);

    (void)sona_sidecar_ledger_issue(ledger, &i);
    (void)sona_sidecar_ledger_issue(
        ledger, &(struct sona_sidecar_issue){.identity = {0xab}, .tag = 11, .n_lanes = 1});
    sona_sidecar_ledger_close(&ledger, false);
    int fd = open(path, O_RDWR);
    static char bytes[4096];
    cr_assert(eq(i64, pread(fd, bytes, sizeof bytes, 0), (int64_t)sizeof bytes));
    char *inode = memchr(bytes + 32, 7, sizeof bytes - 32); /* behind the head: the 7 of issue 9 */
    cr_assert(ne(ptr, inode, NULL));
    cr_assert(eq(i64, pwrite(fd, "\x08", 1, inode - bytes), 1));
    (void)close(fd);
    open_it();
    cr_assert(eq(int, find(9), SONA_SIDECAR_LEDGER_NONE));
    cr_assert(eq(u32, sona_sidecar_ledger_waiting(ledger), 1), "the other one is");
}

Test(ledger, a_file_of_another_make_is_begun_anew_and_a_link_not_followed)
{
    sona_diag diag = {0};
    char target[80];

    sona_sidecar_ledger_close(&ledger, true);
    int fd = open(path, O_RDWR | O_CREAT, 0600);
    cr_assert(eq(i64, write(fd, "nonsense", 8), 8));
    (void)close(fd);
    open_it();
    cr_assert(eq(u32, sona_sidecar_ledger_waiting(ledger), 0));
    sona_sidecar_ledger_close(&ledger, true);

    (void)snprintf(target, sizeof target, "%s.target", path);
    cr_assert(eq(int, symlink(target, path), 0));
    cr_assert(ne(int, sona_sidecar_ledger_open(&ledger, path, &diag), SONA_OK));
    cr_assert(ne(ptr, strstr(diag.text, "--runtime-dir"), NULL), "%s", diag.text);
    cr_assert(eq(int, access(target, F_OK), -1));
    (void)unlink(path);
    open_it();
}

Test(ledger, the_newest_g_is_kept)
{
    sona_sidecar_ledger_note_g(ledger, 100);
    sona_sidecar_ledger_note_g(ledger, 90);
    killed();
    cr_assert(eq(u64, sona_sidecar_ledger_g(ledger), 100));
}
