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
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
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

#ifdef __x86_64__
/* The numbers of another ABI would pass a list of ours. In a confined child; how it ended. */
static int call_by_x32(void)
{
    int status = -1;
    pid_t pid = fork();

    if (pid == 0) {
        if (!sona_sidecar_confine(true).seccomp)
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
        struct sona_sidecar_confined confined = sona_sidecar_confine(true);

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
