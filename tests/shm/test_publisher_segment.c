/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/* The file behind the model: who may make it, what a dead one leaves, what is said when it fails.
 */
#include "publisher_fixture.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "shm/segment.h"
#include "tests/support/wrapped.h"

static void name_of(const struct fixture *f, char ret[80])
{
    (void)snprintf(ret, 80, "/sona.%s.model", f->instance);
}

static bool name_exists(const struct fixture *f)
{
    char name[80];

    name_of(f, name);
    int fd = shm_open(name, O_RDONLY, 0);
    if (fd >= 0)
        (void)close(fd);
    return fd >= 0;
}

Test(segment, is_private_checked_and_backed_by_memory)
{
    struct fixture f;
    struct stat st;
    struct sona_shm_header header;
    sona_diag diag = {0};

    fixture_open(&f, "make", 0, 0);
    cr_assert(eq(int, fstat(sona_shm_publisher_fd(f.publisher), &st), 0));
    cr_assert(eq(u32, st.st_mode & 0777, 0600));
    cr_assert(eq(u64, (uint64_t)st.st_size, f.plan.model_bytes));
    cr_assert(ge(u64, (uint64_t)st.st_blocks * 512, f.plan.model_bytes));
    cr_assert(eq(int, fcntl(sona_shm_publisher_fd(f.publisher), F_GETFL) & O_ACCMODE, O_RDONLY));
    memcpy(&header, f.map, sizeof header);
    cr_assert(eq(int, sona_shm_header_check(&header, &diag), SONA_OK), "%s", diag.text);
    fixture_close(&f);
    cr_assert(not(name_exists(&f)), "a clean stop leaves no name");
}

Test(segment, state_is_init_until_told)
{
    struct fixture f;

    fixture_open(&f, "state", 0, 0);
    const struct sona_shm_live *live = (const void *)(f.map + SONA_SHM_PAGE);
    cr_assert(eq(u32, atomic_load_explicit(&live->state, memory_order_acquire), SONA_SHM_INIT));
    sona_shm_publisher_set_state(f.publisher, SONA_SHM_LIVE);
    cr_assert(eq(u32, atomic_load_explicit(&live->state, memory_order_acquire), SONA_SHM_LIVE));
    fixture_close(&f);
}

Test(segment, of_a_live_sidecar_is_busy_from_any_runtime_directory)
{
    struct fixture f;
    struct sona_shm_publisher *second = NULL;
    sona_diag diag = {0};

    fixture_open(&f, "busy", 0, 0);
    cr_assert(eq(int, sona_shm_publisher_create(&second, &f.options, &diag), SONA_E_BUSY));
    cr_assert(ne(ptr, strstr(diag.text, "--instance"), NULL), "%s", diag.text);
    cr_assert(name_exists(&f), "the refused one leaves the live one alone");
    fixture_close(&f);
}

Test(segment, left_by_a_killed_sidecar_is_retired_and_its_numbers_go_on)
{
    struct fixture dead, next;
    int ready[2];

    cr_assert(eq(int, pipe(ready), 0));
    pid_t parent = getpid();
    pid_t pid = fork();
    if (pid == 0) {
        fixture_options(&dead, "stale", 0, 0);
        struct sona_shm_published p;

        /* The name of the parent's fixture; a wall clock ahead of the successor's. */
        (void)snprintf(dead.instance, sizeof dead.instance, "t-stale-%d", (int)parent);
        dead.options.wall_us += 3600 * UINT64_C(1000000);
        if (sona_shm_publisher_create(&dead.publisher, &dead.options, NULL) != SONA_OK)
            _exit(1);
        dead.image = (struct sona_shm_image){
            .bytes = dead.bytes, .size = sizeof dead.bytes, .dense_bytes = sizeof dead.bytes};
        if (!sona_shm_publisher_reserve_cold(dead.publisher, 0))
            _exit(2);
        sona_shm_publisher_publish(dead.publisher, &dead.image, true, 0, &p);
        sona_shm_publisher_set_state(dead.publisher, SONA_SHM_LIVE);
        if (write(ready[1], &p.id, sizeof p.id) != (ssize_t)sizeof p.id)
            _exit(3);
        (void)pause();
    }
    uint64_t old_id = 0;
    cr_assert(eq(i64, read(ready[0], &old_id, sizeof old_id), (int64_t)sizeof old_id));
    fixture_options(&next, "stale", 0, 0);
    char name[80];
    name_of(&next, name);
    int fd = shm_open(name, O_RDONLY, 0);
    const char *old = mmap(NULL, 2 * SONA_SHM_PAGE, PROT_READ, MAP_SHARED, fd, 0);
    cr_assert(ne(ptr, (void *)(uintptr_t)old, MAP_FAILED));
    (void)kill(pid, SIGKILL);
    (void)waitpid(pid, NULL, 0);
    struct sona_shm_header old_header;
    memcpy(&old_header, old, sizeof old_header);
    const struct sona_shm_live *old_live = (const void *)(old + SONA_SHM_PAGE);
    uint64_t old_incarnation = atomic_load_explicit(&old_live->incarnation, memory_order_acquire);

    fixture_open(&next, "stale", 0, 0);
    const struct sona_shm_header *header = sona_shm_publisher_header(next.publisher);
    cr_assert(
        eq(u32, atomic_load_explicit(&old_live->state, memory_order_acquire), SONA_SHM_RETIRED));
    cr_assert(eq(u64, header->generation, old_header.generation + 1));
    cr_assert(ne(int, memcmp(header->uuid, old_header.uuid, sizeof header->uuid), 0));
    struct sona_shm_live *live = sona_shm_publisher_live(next.publisher);
    cr_assert(
        gt(u64, atomic_load_explicit(&live->incarnation, memory_order_acquire), old_incarnation));
    uint64_t id = fixture_publish_cold(&next, 1, 0).id;
    cr_assert(gt(u64, SONA_SHM_ID_G(id), SONA_SHM_ID_G(old_id) + (UINT64_C(1) << 20)),
              "past every g the dead one can have used, though our clock is behind its");
    fixture_close(&next);
}

Test(segment, first_g_follows_the_clock_when_the_old_file_is_gone)
{
    uint64_t wall = FIXTURE_WALL_US;
    uint64_t g = sona_shm_segment_first_g(0, wall);

    cr_assert(eq(u64, g, wall / SONA_SHM_G_TICK_US));
    cr_assert(gt(u64, sona_shm_segment_first_g(0, wall + 1000000), g + 49999),
              "a second later, more numbers have passed than can have been published");
    cr_assert(eq(u64, sona_shm_segment_first_g(g + 5, wall), g + 5 + (UINT64_C(1) << 20)));
    cr_assert(eq(u64, sona_shm_segment_first_g(5, wall), g), "an old segment from long ago");
    cr_assert(eq(u64, sona_shm_segment_first_g((UINT64_C(1) << 48) - 1, wall), g),
              "a scribbled g does not use up the numbers");
    cr_assert(lt(u64, g, UINT64_C(1) << 48));
}

Test(segment, does_not_follow_a_link_laid_under_its_name)
{
    struct fixture f;
    char link[128], target[128];
    sona_diag diag = {0};

    fixture_options(&f, "link", 0, 0);
    (void)snprintf(link, sizeof link, "/dev/shm/sona.%s.model", f.instance);
    (void)snprintf(target, sizeof target, "/dev/shm/t-victim-%d", (int)getpid());
    int fd = open(target, O_CREAT | O_RDWR | O_EXCL, 0600);
    cr_assert(ge(int, fd, 0));
    cr_assert(eq(int, symlink(target, link), 0));
    cr_expect(eq(int, sona_shm_publisher_create(&f.publisher, &f.options, &diag), SONA_E_SYSTEM));
    struct stat st;
    cr_expect(eq(int, fstat(fd, &st), 0));
    cr_expect(eq(i64, st.st_size, 0));
    cr_expect(eq(int, (int)st.st_nlink, 1));
    (void)unlink(link);
    (void)unlink(target);
}

Test(segment, too_small_shared_memory_is_said_with_the_size_needed)
{
    struct fixture f;
    sona_diag diag = {0};
    char needed[32];

    if (unshare(CLONE_NEWNS) != 0 || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0 ||
        mount("small", "/dev/shm", "tmpfs", 0, "size=16k") != 0)
        cr_skip("cannot mount a small /dev/shm here");
    fixture_options(&f, "small", 0, 0);
    cr_assert(eq(int, sona_shm_publisher_create(&f.publisher, &f.options, &diag), SONA_E_MEMORY));
    cr_assert(ne(ptr, strstr(diag.text, "--shm-size"), NULL), "%s", diag.text);
    struct sona_shm_plan plan = {.hot_slots = SONA_SHM_HOT_SLOTS,
                                 .cold_slots = SONA_SHM_COLD_SLOTS,
                                 .ring_slots = SONA_SHM_RING_SLOTS,
                                 .record_stride = 128,
                                 .hot_bytes = FIXTURE_HOT_BYTES,
                                 .cold_bytes = FIXTURE_COLD_BYTES};
    cr_assert(eq(int, sona_shm_plan_init(&plan), SONA_OK));
    (void)snprintf(needed, sizeof needed, "%llu", (unsigned long long)plan.model_bytes);
    cr_assert(ne(ptr, strstr(diag.text, needed), NULL), "%s", diag.text);
    cr_assert(not(name_exists(&f)), "nothing is left behind");
}

Test(segment, of_another_user_is_left_alone)
{
    struct fixture f;
    sona_diag diag = {0};

    if (geteuid() != 0)
        cr_skip("needs root to become another user");
    fixture_open(&f, "foreign", 0, 0);
    pid_t pid = fork();
    if (pid == 0) {
        struct sona_shm_publisher *p = NULL;

        _exit(setuid(65534) == 0 &&
                      sona_shm_publisher_create(&p, &f.options, &diag) == SONA_E_PERMISSION
                  ? 0
                  : 1);
    }
    int status = -1;
    cr_assert(eq(int, waitpid(pid, &status, 0), pid));
    cr_assert(eq(int, status, 0));
    cr_assert(name_exists(&f));
    fixture_close(&f);
}

Test(segment, a_bad_instance_name_is_refused)
{
    static const char *const bad[] = {"", ".hidden", "a/b", "with space"};

    for (size_t n = 0; n < sizeof bad / sizeof bad[0]; n++) {
        struct fixture f;
        sona_diag diag = {0};

        fixture_options(&f, "x", 0, 0);
        f.options.instance = bad[n];
        cr_assert(eq(int, sona_shm_publisher_create(&f.publisher, &f.options, &diag), SONA_E_RANGE),
                  "%s", bad[n]);
    }
}

/* A call that fails while a segment is made: code, sentence, and no name is left. */
Test(segment, that_cannot_be_made_says_why_and_leaves_no_name)
{
    static const struct {
        const char *call;
        unsigned pass;
        int error;
        sona_err code;
        const char *words;
    } cases[] = {
        {"shm_open", 0, EACCES, SONA_E_PERMISSION, "which is in the way"},
        {"shm_open", 0, ELOOP, SONA_E_SYSTEM, "which is in the way"},
        {"shm_open", 1, EMFILE, SONA_E_SYSTEM, "mount a tmpfs"},
        {"shm_open", 2, EMFILE, SONA_E_SYSTEM, "read-only"},
        {"fchmod", 0, EPERM, SONA_E_SYSTEM, "cannot set the mode"},
        {"posix_fallocate64", 0, ENOSPC, SONA_E_MEMORY, "--shm-size"},
        {"mmap64", 0, ENOMEM, SONA_E_MEMORY, "cannot map"},
        {"getrandom", 0, EAGAIN, SONA_E_SYSTEM, "cannot draw"},
    };
    struct fixture f;

    fixture_options(&f, "refused", 0, 0);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct sona_shm_publisher *publisher = NULL;
        sona_diag diag = {0};

        wrapped_fail(cases[i].call, cases[i].pass, 1, cases[i].error);
        cr_expect(eq(int, sona_shm_publisher_create(&publisher, &f.options, &diag), cases[i].code),
                  "%s: %s", cases[i].call, diag.text);
        cr_expect(eq(u32, wrapped_failed(cases[i].call), 1), "%s", cases[i].call);
        cr_expect(ne(ptr, strstr(diag.text, cases[i].words), NULL), "%s", diag.text);
        cr_expect(eq(int, diag.os_error, cases[i].error), "%s", cases[i].call);
        cr_expect(eq(ptr, publisher, NULL));
        cr_expect(not(name_exists(&f)), "%s", cases[i].call);
    }
}

Test(segment, whose_pages_a_signal_holds_up_is_made_all_the_same)
{
    struct fixture f;

    wrapped_fail("posix_fallocate64", 0, 3, EINTR);
    fixture_open(&f, "signal", 0, 0);
    cr_expect(eq(u32, wrapped_failed("posix_fallocate64"), 3));
    fixture_close(&f);
}

Test(segment, whose_name_rivals_take_again_and_again_is_busy)
{
    struct sona_shm_publisher *publisher = NULL;
    sona_diag diag = {0};
    struct fixture f;

    fixture_options(&f, "rivals", 0, 0);
    wrapped_fail("fcntl64", 0, 100, EAGAIN); /* each time the lock is another's already */
    cr_expect(eq(int, sona_shm_publisher_create(&publisher, &f.options, &diag), SONA_E_BUSY));
    cr_expect(ne(ptr, strstr(diag.text, "a live sidecar writes"), NULL), "%s", diag.text);
    wrapped_fail("fcntl64", 0, 0, 0);
    cr_expect(eq(int, sona_shm_publisher_create(&publisher, &f.options, &diag), SONA_OK), "%s",
              diag.text);
    sona_shm_publisher_destroy(&publisher, true);
    cr_expect(not(name_exists(&f)));
}

Test(segment, of_a_bad_name_or_of_no_size_is_refused)
{
    struct sona_shm_publisher *publisher = NULL;
    sona_diag diag = {0};
    struct fixture f;

    fixture_options(&f, "range", 0, 0);
    f.options.hot_bytes = UINT64_MAX / 2;
    cr_expect(eq(int, sona_shm_publisher_create(&publisher, &f.options, &diag), SONA_E_RANGE));
    cr_expect(ne(ptr, strstr(diag.text, "lower dimension"), NULL), "%s", diag.text);
    f.options.instance = "../one";
    cr_expect(eq(int, sona_shm_publisher_create(&publisher, &f.options, &diag), SONA_E_RANGE));
    cr_expect(ne(ptr, strstr(diag.text, "an instance's name"), NULL), "%s", diag.text);
}

Test(segment, that_is_older_and_cannot_be_removed_or_is_a_strangers_stays)
{
    struct sona_shm_publisher *next = NULL;
    sona_diag diag = {0};
    struct fixture f;

    fixture_open(&f, "stays", 0, 0);
    sona_shm_publisher_destroy(&f.publisher, false);
    wrapped_fail("shm_unlink", 0, 1, EACCES);
    cr_expect(eq(int, sona_shm_publisher_create(&next, &f.options, &diag), SONA_E_SYSTEM));
    cr_expect(ne(ptr, strstr(diag.text, "cannot remove the old"), NULL), "%s", diag.text);
    cr_expect(name_exists(&f));
    wrapped_fail("fstat64", 0, 1, EIO);
    cr_expect(eq(int, sona_shm_publisher_create(&next, &f.options, &diag), SONA_E_PERMISSION));
    cr_expect(ne(ptr, strstr(diag.text, "belongs to another user"), NULL), "%s", diag.text);
    cr_expect(name_exists(&f));
    wrapped_fail("mmap64", 0, 1, ENOMEM); /* what cannot be read cannot be gone on from */
    cr_expect(eq(int, sona_shm_publisher_create(&next, &f.options, &diag), SONA_OK), "%s",
              diag.text);
    sona_shm_publisher_destroy(&next, true);
    cr_expect(not(name_exists(&f)));
}

/* ---- what a rival does in between ---- */

static struct fixture rival;

static void take_the_name_away(void)
{
    char name[80];

    name_of(&rival, name);
    (void)shm_unlink(name);
}

/* Another object under the name, of the same size. */
static void replace_the_name(void)
{
    char name[80];

    name_of(&rival, name);
    (void)shm_unlink(name);
    int fd = shm_open(name, O_CREAT | O_EXCL | O_RDWR, 0600);
    (void)close(fd);
}

Test(segment, whose_name_is_gone_before_it_is_locked_is_made_again)
{
    fixture_options(&rival, "gone", 0, 0);
    wrapped_race("fcntl64", 0, take_the_name_away);
    fixture_open(&rival, "gone", 0, 0);
    cr_expect(name_exists(&rival), "what is served has a name");
    fixture_close(&rival);
}

Test(segment, whose_name_became_anothers_is_not_served)
{
    struct sona_shm_publisher *publisher = NULL;
    sona_diag diag = {0};

    fixture_options(&rival, "others", 0, 0);
    wrapped_race("posix_fallocate64", 0, replace_the_name);
    cr_expect(eq(int, sona_shm_publisher_create(&publisher, &rival.options, &diag), SONA_E_SYSTEM));
    cr_expect(ne(ptr, strstr(diag.text, "read-only"), NULL), "%s", diag.text);
    cr_expect(eq(ptr, publisher, NULL));
    take_the_name_away();
}

/* One that stands there cannot be removed because it is gone; the name is taken again meanwhile. */
Test(segment, that_a_rival_removes_and_makes_again_is_waited_out)
{
    struct fixture f;

    fixture_open(&f, "again", 0, 0);
    sona_shm_publisher_destroy(&f.publisher, false);
    sona_diag diag = {0};
    wrapped_fail("shm_unlink", 0, 100, ENOENT); /* each time another one stands there */
    cr_expect(eq(int, sona_shm_publisher_create(&f.publisher, &f.options, &diag), SONA_E_BUSY));
    wrapped_fail("shm_unlink", 0, 1, ENOENT);
    cr_assert(eq(int, sona_shm_publisher_create(&f.publisher, &f.options, &diag), SONA_OK), "%s",
              diag.text);
    cr_expect(eq(u32, wrapped_failed("shm_unlink"), 1));
    sona_shm_publisher_destroy(&f.publisher, true);
    cr_expect(not(name_exists(&f)));
}

Test(segment, whose_name_is_a_pipes_or_another_users_file_is_left_alone)
{
    struct sona_shm_publisher *publisher = NULL;
    char path[128];
    struct fixture f;
    struct stat st;

    fixture_options(&f, "pipe", 0, 0);
    (void)snprintf(path, sizeof path, "/dev/shm/sona.%s.model", f.instance);
    for (int strange = 0; strange < 2; strange++) {
        sona_diag diag = {0};

        if (strange == 0)
            cr_assert(eq(int, mkfifo(path, 0600), 0));
        else
            cr_assert(ge(int, close(open(path, O_CREAT | O_EXCL | O_RDWR, 0600)), 0));
        if (strange == 1 && chown(path, 65534, 65534) != 0) {
            (void)unlink(path);
            cr_skip("only root can give a file away");
        }
        cr_expect(
            eq(int, sona_shm_publisher_create(&publisher, &f.options, &diag), SONA_E_PERMISSION),
            "%s", diag.text);
        cr_expect(ne(ptr, strstr(diag.text, "another user"), NULL), "%s", diag.text);
        cr_expect(eq(int, stat(path, &st), 0));
        (void)unlink(path);
    }
}

Test(segment, too_small_memory_is_told_without_its_size_when_that_is_not_known)
{
    struct sona_shm_publisher *publisher = NULL;
    sona_diag diag = {0};
    struct fixture f;

    fixture_options(&f, "unknown", 0, 0);
    wrapped_fail("posix_fallocate64", 0, 1, ENOSPC);
    wrapped_fail("fstatvfs64", 0, 1, EIO);
    cr_expect(eq(int, sona_shm_publisher_create(&publisher, &f.options, &diag), SONA_E_MEMORY));
    cr_expect(eq(u32, wrapped_failed("fstatvfs64"), 1));
    cr_expect(ne(ptr, strstr(diag.text, "has 0 free"), NULL), "%s", diag.text);
}

Test(segment, that_was_never_made_may_be_destroyed)
{
    struct sona_shm_segment none = {.fd = -1, .read_fd = -1};

    for (int i = 0; i < 2; i++)
        sona_shm_segment_destroy(&none, true);
    cr_expect(eq(int, none.fd, -1));
}
