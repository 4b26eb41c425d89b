/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/* What a confined process can do no more, each by its name, and what it still can. */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <criterion/criterion.h>
#include <criterion/new/assert.h>

#include "sidecar/confine.h"

/* In a confined child: the first thing that went wrong, to the parent's log. */
struct said {
    char text[96];
};

static void say(struct said *said, const char *what)
{
    if (said->text[0] == '\0')
        (void)snprintf(said->text, sizeof said->text, "%s (%s)", what, strerror(errno));
}

#define DENIED(call)                                       \
    do {                                                   \
        errno = 0;                                         \
        if ((call) != -1)                                  \
            say(said, #call " was allowed");               \
        else if (errno != EPERM && errno != EACCES)        \
            say(said, #call " failed for something else"); \
    } while (0)

static void try_what_is_denied(struct said *said, const struct sona_sidecar_confined *confined)
{
    char *const argv[] = {(char *)(uintptr_t) "true", NULL};
    struct iovec one = {.iov_base = &one, .iov_len = 1};
    struct sockaddr_in anybody = {.sin_family = AF_INET, .sin_port = htons(9)};

    DENIED(execv("/bin/true", argv));
    DENIED(fork());
    DENIED(ptrace(PTRACE_ATTACH, getppid(), NULL, NULL));
    DENIED(process_vm_readv(getppid(), &one, 1, &one, 1, 0));
    DENIED(setuid(0));
    DENIED(setresgid(0, 0, 0));
    DENIED(unshare(CLONE_NEWNS));
    DENIED(mount("none", "/tmp", "tmpfs", 0, NULL));
    DENIED(chroot("/"));
    DENIED(mkfifo("/tmp/sona-confine-fifo", 0600));
    DENIED(mknod("/tmp/sona-confine-node", S_IFCHR | 0600, 0x103));
    DENIED(syscall(SYS_bpf, 0, NULL, 0));
    DENIED(syscall(SYS_perf_event_open, NULL, 0, -1, -1, 0));
    DENIED(syscall(SYS_io_uring_setup, 1, NULL));
    DENIED(syscall(SYS_keyctl, 0, 0, 0, 0, 0));
    DENIED(sethostname("x", 1));
    if (confined->landlock >= 1) {
        (void)unlink("/tmp/sona-confine-link"); /* of a run that found it allowed */
        DENIED(symlink("/etc/passwd", "/tmp/sona-confine-link"));
    }
    int device = open("/dev/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC), number = 0;
    if (confined->landlock >= 5 && device >= 0)
        DENIED(ioctl(device, TIOCGPTN, &number));
    (void)close(device);
    if (confined->landlock >= 4) {
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

        anybody.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        DENIED(connect(fd, (struct sockaddr *)&anybody, sizeof anybody));
        (void)close(fd);
    }
    if (confined->landlock >= 6)
        DENIED(kill(getppid(), 0));
}

static void *nothing(void *arg)
{
    return arg;
}

/* What the sidecar does all day. */
static void try_what_is_needed(struct said *said)
{
    struct sockaddr_in here = {.sin_family = AF_INET};
    char path[64];
    pthread_t thread;

    if (pthread_create(&thread, NULL, nothing, NULL) != 0 || pthread_join(thread, NULL) != 0)
        say(said, "no thread");
    (void)snprintf(path, sizeof path, "/tmp/sona-confine-%d", (int)getpid());
    int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0 || write(fd, "x", 1) != 1 || fdatasync(fd) != 0 || ftruncate(fd, 0) != 0 ||
        posix_fallocate(fd, 0, 4096) != 0 || unlink(path) != 0)
        say(said, "no file");
    (void)close(fd);
    fd = memfd_create("x", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (fd < 0 || ftruncate(fd, 4096) != 0 || fcntl(fd, F_ADD_SEALS, F_SEAL_GROW) != 0)
        say(said, "no sealed memory");
    (void)close(fd);
    here.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || bind(fd, (struct sockaddr *)&here, sizeof here) != 0 || listen(fd, 1) != 0)
        say(said, "no listener");
    (void)close(fd);
    if (kill(getpid(), 0) != 0)
        say(said, "no signal to itself");
}

/* ---- places ---- */

/* What is kept, what is read, one file that is read in a directory that is nobody's. */
static const struct sona_sidecar_places *make_places(const char *dir)
{
    static struct sona_sidecar_places places;
    static char path[3][128];
    static const char *const files[] = {"kept",  "read",       "read/here",
                                        "other", "other/file", "other/there"};

    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        char name[128];

        (void)snprintf(name, sizeof name, "%s/%s", dir, files[i]);
        if (!strchr(files[i], '/'))
            cr_assert(eq(int, mkdir(name, 0700), 0));
        else
            cr_assert(ge(int, open(name, O_CREAT | O_WRONLY | O_CLOEXEC, 0600), 0));
    }
    (void)snprintf(path[0], sizeof path[0], "%s/kept", dir);
    (void)snprintf(path[1], sizeof path[1], "%s/read", dir);
    (void)snprintf(path[2], sizeof path[2], "%s/other/file", dir);
    places = (struct sona_sidecar_places){
        .n = 4,
        .place = {{.kind = SONA_SIDECAR_PLACE_KEPT, .path = path[0]},
                  {.kind = SONA_SIDECAR_PLACE_READ, .path = path[1]},
                  {.kind = SONA_SIDECAR_PLACE_FILE, .path = path[2]},
                  {.kind = SONA_SIDECAR_PLACE_EMPTIED, .path = path[0]}}};
    return &places;
}

#define ALLOWED(call)                            \
    do {                                         \
        errno = 0;                               \
        if ((call) == -1)                        \
            say(said, #call " was not allowed"); \
    } while (0)

/* In the directory of them all. */
static void try_places(struct said *said, int version)
{
    struct sockaddr_un in = {.sun_family = AF_UNIX, .sun_path = "kept/socket"};
    struct sockaddr_un out = {.sun_family = AF_UNIX, .sun_path = "other/socket"};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    ALLOWED(open("kept/file", O_CREAT | O_EXCL | O_RDWR | O_CLOEXEC, 0600));
    ALLOWED(open("kept/file", O_TRUNC | O_WRONLY | O_CLOEXEC));
    ALLOWED(rename("kept/file", "kept/aside"));
    ALLOWED(unlink("kept/aside"));
    ALLOWED(mkdir("kept/below", 0700));
    ALLOWED(rmdir("kept/below"));
    ALLOWED(open("kept", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    ALLOWED(open("read/here", O_RDONLY | O_CLOEXEC));
    ALLOWED(open("read", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    ALLOWED(open("other/file", O_RDONLY | O_CLOEXEC));
    DENIED(bind(fd, (struct sockaddr *)&out, sizeof out));
    ALLOWED(bind(fd, (struct sockaddr *)&in, sizeof in));

    DENIED(open("read/here", O_WRONLY | O_CLOEXEC));
    DENIED(open("read/new", O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
    DENIED(unlink("read/here"));
    DENIED(open("other/file", O_WRONLY | O_CLOEXEC));
    DENIED(open("other/there", O_RDONLY | O_CLOEXEC));
    DENIED(open("other", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    DENIED(open("other/new", O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
    DENIED(mkdir("other/new", 0700));
    DENIED(unlink("other/there"));
    DENIED(rmdir("other"));
    DENIED(open("/etc/passwd", O_RDONLY | O_CLOEXEC));
    if (version >= 3)
        DENIED(truncate("other/there", 0));
    (void)close(fd);
}

Test(confine, leaves_the_files_of_its_places_and_no_others, .timeout = 60)
{
    struct said *said =
        mmap(NULL, sizeof *said, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    char dir[] = "/tmp/sona-confine-XXXXXX", command[64];
    int status = -1;

    cr_assert(ne(ptr, said, MAP_FAILED));
    cr_assert(ne(ptr, mkdtemp(dir), NULL));
    const struct sona_sidecar_places *places = make_places(dir);
    pid_t pid = fork();
    if (pid == 0) {
        struct sona_sidecar_confined confined = sona_sidecar_confine(places, true);

        if (confined.landlock == 0)
            _exit(77);
        if (!confined.paths || chdir(dir) != 0)
            _exit(1);
        try_places(said, confined.landlock);
        _exit(0);
    }
    cr_assert(eq(int, waitpid(pid, &status, 0), pid));
    (void)snprintf(command, sizeof command, "rm -rf %s", dir);
    cr_expect(eq(int, system(command), 0));
    if (WIFEXITED(status) && WEXITSTATUS(status) == 77)
        cr_skip("this kernel has no landlock");
    cr_expect(eq(int, status, 0));
    cr_expect(eq(str, said->text, ""));
}

#ifdef __x86_64__
/* The numbers of another ABI would pass a list of ours. In a confined child; how it ended. */
static int call_by_x32(void)
{
    int status = -1;
    pid_t pid = fork();

    if (pid == 0) {
        if (!sona_sidecar_confine(NULL, true).seccomp)
            _exit(77);
        (void)syscall(0x40000000 | SYS_getpid);
        _exit(0);
    }
    cr_assert(eq(int, waitpid(pid, &status, 0), pid));
    return status;
}

Test(confine, a_call_by_the_numbers_of_another_abi_ends_the_process, .timeout = 60)
{
    int status = call_by_x32();

    if (WIFEXITED(status) && WEXITSTATUS(status) == 77)
        cr_skip("this kernel takes no seccomp filter");
    cr_expect(eq(int, WIFSIGNALED(status) ? WTERMSIG(status) : 0, SIGSYS));
}
#endif

Test(confine, leaves_what_is_needed_and_nothing_else, .timeout = 60)
{
    struct said *said =
        mmap(NULL, sizeof *said, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    int status = -1;

    cr_assert(ne(ptr, said, MAP_FAILED));
    pid_t pid = fork();
    if (pid == 0) {
        struct sona_sidecar_confined confined = sona_sidecar_confine(NULL, true);

        if (!confined.seccomp)
            _exit(77);
        try_what_is_denied(said, &confined);
        try_what_is_needed(said);
        _exit(0);
    }
    cr_assert(eq(int, waitpid(pid, &status, 0), pid));
    if (WIFEXITED(status) && WEXITSTATUS(status) == 77)
        cr_skip("this kernel takes no seccomp filter");
    cr_expect(eq(int, status, 0));
    cr_expect(eq(str, said->text, ""));
}
