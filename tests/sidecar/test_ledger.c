/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/* What is remembered about lanes over the death of a process, and what is not believed. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <criterion/criterion.h>
#include <criterion/new/assert.h>

#include <sona/client.h>

#include "shm/layout.h"
#include "sidecar/ledger.h"
#include "tests/support/wrapped.h"

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

/* ---- what a stranger wrote, and what the kernel refuses ---- */

/* Words of the head: magic, bytes of an entry, entries. */
static void poke(off_t at, const void *bytes, size_t n)
{
    int fd = open(path, O_RDWR);

    cr_assert(eq(i64, pwrite(fd, bytes, n, at), (int64_t)n));
    (void)close(fd);
}

/* The place of an issue in the file; its checksum follows it. */
static off_t place_of(const struct sona_sidecar_issue *issue)
{
    static char bytes[1u << 16];
    int fd = open(path, O_RDWR);

    cr_assert(eq(i64, pread(fd, bytes, sizeof bytes, 0), (int64_t)sizeof bytes));
    (void)close(fd);
    const char *at = memmem(bytes, sizeof bytes, issue, sizeof *issue);
    cr_assert(ne(ptr, (void *)(uintptr_t)at, NULL));
    return at - bytes;
}

static uint32_t findings;

static void count(void *context, const char *text)
{
    findings++;
    cr_expect(ne(ptr, strstr(text, context), NULL), "%s", text);
}

/* Sound by their checksum, and yet nothing that was ever issued. */
Test(ledger, an_issue_without_a_tag_or_with_no_lanes_or_too_many_is_not_believed)
{
    for (int what = 0; what < 4; what++) {
        struct sona_sidecar_issue i = issue_of(9), wrong = i;

        int slot = sona_sidecar_ledger_issue(ledger, &i);
        cr_assert(sona_sidecar_ledger_is_sound(ledger, slot));
        wrong.tag = what == 0 ? 0 : what == 1 ? 65536 + 9 : 9;
        wrong.n_lanes = what == 2 ? 0 : what == 3 ? SONA_LANES_MAX + 1 : 3;
        uint32_t crc = sona_shm_crc32c(&wrong, sizeof wrong);
        off_t at = place_of(&i);
        poke(at, &wrong, sizeof wrong);
        poke(at + (off_t)sizeof wrong, &crc, sizeof crc);
        cr_expect(not(sona_sidecar_ledger_is_sound(ledger, slot)), "case %d", what);
        findings = 0;
        sona_sidecar_ledger_verify(path, count, "is not what was written");
        cr_expect(eq(u32, findings, 1), "case %d", what);
        killed();
        cr_expect(eq(u32, sona_sidecar_ledger_waiting(ledger), 0), "case %d", what);
        cr_expect(eq(int, find(9), SONA_SIDECAR_LEDGER_NONE), "case %d", what);
    }
}

Test(ledger, a_tag_that_is_there_twice_is_found)
{
    struct sona_sidecar_issue a = issue_of(9), b = issue_of(9);

    b.identity[0] = 99;
    (void)sona_sidecar_ledger_issue(ledger, &a);
    (void)sona_sidecar_ledger_issue(ledger, &b);
    findings = 0;
    sona_sidecar_ledger_verify(path, count, "is there twice");
    cr_expect(eq(u32, findings, 1));
}

Test(ledger, of_another_version_is_begun_anew_and_not_looked_at)
{
    for (off_t word = 0; word < 3; word++) {
        struct sona_sidecar_issue i = issue_of(9);
        const uint32_t wrong = 77;

        (void)sona_sidecar_ledger_issue(ledger, &i);
        poke(word == 0 ? 0 : 4 + 4 * word, &wrong, sizeof wrong);
        cr_expect(eq(ptr, sona_sidecar_ledger_look(path), NULL), "word %d", (int)word);
        findings = 0;
        sona_sidecar_ledger_verify(path, count, "no ledger of this version");
        cr_expect(eq(u32, findings, 1), "word %d", (int)word);
        killed();
        cr_expect(eq(u32, sona_sidecar_ledger_waiting(ledger), 0), "word %d", (int)word);
    }
}

Test(ledger, a_look_needs_a_whole_file_a_map_and_memory)
{
    struct sona_sidecar_issue i = issue_of(9);
    struct sona_sidecar_ledger *look;

    (void)sona_sidecar_ledger_issue(ledger, &i);
    cr_expect(eq(ptr, sona_sidecar_ledger_look("/tmp/no/such/ledger"), NULL));
    cr_expect(eq(ptr, sona_sidecar_ledger_look("/dev/null"), NULL));
    findings = 0;
    sona_sidecar_ledger_verify("/tmp/no/such/ledger", count, ""); /* no sidecar, no lanes */
    cr_expect(eq(u32, findings, 0));
    sona_sidecar_ledger_verify("/tmp", count, "no ledger"); /* not even a file */
    sona_sidecar_ledger_verify("/dev/null", count, "no ledger");
    static const char *const calls[] = {"open64", "fstat64", "mmap64", "calloc"};
    for (size_t n = 0; n < 4; n++) {
        wrapped_fail(calls[n], 0, 1, EMFILE);
        cr_expect(eq(ptr, sona_sidecar_ledger_look(path), NULL), "%s", calls[n]);
        cr_expect(eq(u32, wrapped_failed(calls[n]), 1), "%s", calls[n]);
        if (n == 3)
            continue;
        wrapped_fail(calls[n], 0, 1, EMFILE);
        sona_sidecar_ledger_verify(path, count, "no ledger");
    }
    cr_expect(eq(u32, findings, 5));
    look = sona_sidecar_ledger_look(path);
    cr_assert(ne(ptr, look, NULL));
    cr_expect(eq(int, sona_sidecar_ledger_find_inode(look, i.inode), 0));
    cr_expect(eq(int, sona_sidecar_ledger_find_inode(look, 8), SONA_SIDECAR_LEDGER_NONE));
    cr_expect(eq(u32, sona_sidecar_ledger_waiting(look), 1));
    sona_sidecar_ledger_close(&look, false);
}

Test(ledger, that_cannot_be_opened_says_why_and_a_half_made_one_is_gone)
{
    static const struct {
        const char *call;
        int error;
        sona_err code;
        const char *words;
    } cases[] = {
        {"open64", EACCES, SONA_E_PERMISSION, "cannot open"},
        {"open64", EPERM, SONA_E_PERMISSION, "cannot open"},
        {"open64", EROFS, SONA_E_PERMISSION, "cannot open"},
        {"open64", EMFILE, SONA_E_SYSTEM, "cannot open"},
        {"fstat64", EIO, SONA_E_SYSTEM, "cannot use"},
        {"ftruncate64", EIO, SONA_E_SYSTEM, "cannot allocate"},
        {"posix_fallocate64", ENOSPC, SONA_E_SYSTEM, "cannot allocate"},
        {"mmap64", ENOMEM, SONA_E_SYSTEM, "cannot map"},
        {"calloc", ENOMEM, SONA_E_MEMORY, "no memory"},
    };

    sona_sidecar_ledger_close(&ledger, true);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        sona_diag diag = {0};

        wrapped_fail(cases[i].call, 0, 1, cases[i].error);
        cr_expect(eq(int, sona_sidecar_ledger_open(&ledger, path, &diag), cases[i].code), "%s",
                  cases[i].call);
        cr_expect(eq(u32, wrapped_failed(cases[i].call), 1), "%s", cases[i].call);
        cr_expect(ne(ptr, strstr(diag.text, cases[i].words), NULL), "%s", diag.text);
        cr_expect(eq(ptr, ledger, NULL));
        (void)unlink(path);
    }
    open_it();
}

Test(ledger, a_pipe_or_another_users_file_in_its_place_is_refused)
{
    sona_diag diag = {0};

    sona_sidecar_ledger_close(&ledger, true);
    cr_assert(eq(int, mkfifo(path, 0600), 0));
    cr_expect(eq(int, sona_sidecar_ledger_open(&ledger, path, &diag), SONA_E_SYSTEM));
    cr_expect(ne(ptr, strstr(diag.text, "cannot use"), NULL), "%s", diag.text);
    (void)unlink(path);
    open_it();
    if (geteuid() != 0)
        cr_skip("only root can give a file away");
    sona_sidecar_ledger_close(&ledger, false);
    cr_assert(eq(int, chown(path, 65534, 65534), 0));
    cr_expect(eq(int, sona_sidecar_ledger_open(&ledger, path, &diag), SONA_E_SYSTEM));
    cr_assert(eq(int, chown(path, 0, 0), 0));
    open_it();
}

/* Numbers, not places, say which is the oldest. */
Test(ledger, a_full_ledger_forgets_the_oldest_wherever_it_lies)
{
    struct sona_sidecar_issue last = issue_of(60001);

    for (uint32_t tag = 1; tag <= SONA_SIDECAR_LEDGER_MAX; tag++) {
        struct sona_sidecar_issue i = issue_of(tag);

        (void)sona_sidecar_ledger_issue(ledger, &i);
    }
    struct sona_sidecar_issue again = issue_of(60000);
    sona_sidecar_ledger_forget(ledger, find(1)); /* its place is the next one's */
    cr_assert(eq(int, sona_sidecar_ledger_issue(ledger, &again), 0));
    killed();
    cr_assert(ge(int, sona_sidecar_ledger_issue(ledger, &last), 0));
    cr_expect(eq(int, find(2), SONA_SIDECAR_LEDGER_NONE));
    cr_expect(eq(int, find(60000), 0));
}
