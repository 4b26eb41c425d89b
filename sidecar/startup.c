/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/*
 * See startup.h. A kernel's abilities are tried, not read from its version: a filter of system
 * calls, as containers have, takes them away from any version.
 */
#include "sidecar/startup.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "engine/kernels/kernels.h"
#include "shm/layout.h"
#include "shm/record.h"
#include "shm/wire.h"
#include "sidecar/log.h"
#include "sidecar/memory.h"
#include "sidecar/recall.h"
#include "sidecar/store/store.h"

#ifndef SO_PEERPIDFD
#define SO_PEERPIDFD 77 /* Linux 6.5 */
#endif
#ifndef TMPFS_MAGIC
#define TMPFS_MAGIC 0x01021994
#endif

#define SHM_DIR     "/dev/shm"
#define FD_CLIENT   3u  /* descriptors of a client: connection, its process, lanes */
#define FD_OWN      64u /* of the sidecar, and of those who ask */
#define MB          1e6
#define ENTRY_BYTES 96 /* of a path */

struct look {
    const struct sona_sidecar_options *options;
    uint64_t segment_bytes;
    struct sona_sidecar_finding *finding;
    uint32_t n;
};

__attribute__((format(printf, 4, 5))) static void
find(struct look *l, const char *what, enum sona_sidecar_grade grade, const char *format, ...)
{
    struct sona_sidecar_finding *f = &l->finding[l->n++];
    va_list args;

    f->what = what;
    f->grade = grade;
    va_start(args, format);
    (void)vsnprintf(f->text, sizeof f->text, format, args);
    va_end(args);
}

/* Bytes that can still be written below `dir`, with those that `file` there has already. */
static uint64_t room_in(const char *dir, const char *file)
{
    char path[SONA_SIDECAR_DIR_MAX + ENTRY_BYTES];
    struct statvfs fs;
    struct stat st;

    (void)snprintf(path, sizeof path, "%s/%s", dir, file);
    uint64_t there = stat(path, &st) == 0 ? (uint64_t)st.st_blocks * 512 : 0;
    return statvfs(dir, &fs) == 0 ? there + (uint64_t)fs.f_bavail * fs.f_frsize : 0;
}

/* ---- memory ---- */

static void look_at_shm(struct look *l)
{
    char name[ENTRY_BYTES];
    struct statfs fs;

    (void)snprintf(name, sizeof name, "sona.%s.model", l->options->instance);
    uint64_t room = room_in(SHM_DIR, name);
    if (statfs(SHM_DIR, &fs) != 0)
        find(l, "shm", SONA_SIDECAR_FATAL,
             "there is no " SHM_DIR ": no model can be shared; mount a tmpfs there");
    else if (room < l->segment_bytes)
        find(l, "shm", SONA_SIDECAR_FATAL,
             SHM_DIR
             " has room for %.1f MB and the segment takes %.1f: it cannot start; enlarge it "
             "(docker run --shm-size, mount -o remount,size=)",
             (double)room / MB, (double)l->segment_bytes / MB);
    else if (fs.f_type != TMPFS_MAGIC)
        find(l, "shm", SONA_SIDECAR_LACKING,
             SHM_DIR " is no tmpfs: every snapshot is written to a disk; mount a tmpfs there");
    else
        find(l, "shm", SONA_SIDECAR_FINE,
             "the segment takes %.1f MB of the %.1f that " SHM_DIR " has room for",
             (double)l->segment_bytes / MB, (double)room / MB);
}

/* Cut `path` back to what there is of it, in which the rest will be made: "." of a relative one. */
static void cut_to_existing(char *path)
{
    struct statfs fs;

    while (statfs(path, &fs) != 0 && strcmp(path, ".") != 0 && strcmp(path, "/") != 0) {
        char *end = strrchr(path, '/');

        if (!end)
            (void)strcpy(path, ".");
        else
            end[end == path] = '\0';
    }
}

/* Arena and intake log are made whole at the start, in the runtime directory. */
static void look_at_runtime(struct look *l)
{
    const struct sona_sidecar_options *o = l->options;
    char path[SONA_SIDECAR_DIR_MAX], arena[ENTRY_BYTES], log[ENTRY_BYTES];
    struct sona_model_layout layout;
    sona_geometry geometry;
    struct statfs fs;

    sona_config_geometry(&o->config, &geometry);
    if (!o->state_dir || sona_model_layout_init(&layout, &geometry) != SONA_OK ||
        sona_wire_path(!o->runtime_dir && geteuid() == 0 ? SONA_WIRE_SYSTEM_DIR : o->runtime_dir,
                       o->instance, path, sizeof path, NULL) != SONA_OK)
        return;
    *strrchr(path, '/') = '\0';
    cut_to_existing(path);
    const struct sona_sidecar_recall_options recall = {
        .config = &o->config, .layout = &layout, .record_stride = sona_record_stride(&geometry)};
    uint64_t needed = sona_sidecar_recall_arena_bytes(&recall) + SONA_STORE_INTAKE_BYTES;
    (void)snprintf(arena, sizeof arena, "%s.arena", o->instance);
    (void)snprintf(log, sizeof log, "%s.intake", o->instance);
    uint64_t free_bytes = room_in(path, arena);
    uint64_t room = free_bytes + room_in(path, log) - room_in(path, "");
    if (room < needed)
        find(
            l, "runtime", SONA_SIDECAR_FATAL,
            "%s has room for %.1f MB, and arena and intake log take %.1f: it cannot start; enlarge "
            "it, or lower trajectory_capacity",
            path, (double)room / MB, (double)needed / MB);
    else if (statfs(path, &fs) == 0 && fs.f_type != TMPFS_MAGIC)
        find(l, "runtime", SONA_SIDECAR_LACKING,
             "%s is no tmpfs: what clients send is written to its disk twice; choose another "
             "--runtime-dir",
             path);
    else
        find(l, "runtime", SONA_SIDECAR_FINE,
             "arena and intake log take %.1f MB of the %.1f that %s has room for",
             (double)needed / MB, (double)room / MB, path);
}

/* Whoever has CAP_IPC_LOCK may lock more than the limit: it is tried, on memory that is not there.
 */
static bool may_lock(uint64_t bytes)
{
    void *map = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    if (map == MAP_FAILED)
        return false;
    bool ok = mlock2(map, bytes, MLOCK_ONFAULT) == 0;
    (void)munmap(map, bytes);
    return ok;
}

static void look_at_memlock(struct look *l)
{
    if (may_lock(l->segment_bytes))
        find(l, "memlock", SONA_SIDECAR_FINE, "the segment's %.1f MB may be locked into memory",
             (double)l->segment_bytes / MB);
    else
        find(l, "memlock", SONA_SIDECAR_LACKING,
             "the segment's %.1f MB may not be locked into memory: where memory is short, a "
             "decision waits for the swap; raise LimitMEMLOCK= (ulimit -l)",
             (double)l->segment_bytes / MB);
}

static void look_at_descriptors(struct look *l)
{
    uint32_t needed = FD_CLIENT * SONA_SHM_CLIENTS_MAX + FD_OWN;
    struct rlimit limit = {0};

    (void)getrlimit(RLIMIT_NOFILE, &limit);
    if (limit.rlim_cur < needed)
        find(l, "descriptors", SONA_SIDECAR_LACKING,
             "%" PRIu64 " descriptors are for %" PRIu64 " clients, not for the %u that there may "
             "be: more wait in vain; raise LimitNOFILE= (ulimit -n) to %u",
             (uint64_t)limit.rlim_cur,
             limit.rlim_cur > FD_OWN ? (uint64_t)(limit.rlim_cur - FD_OWN) / FD_CLIENT : 0,
             SONA_SHM_CLIENTS_MAX, needed);
    else
        find(l, "descriptors", SONA_SIDECAR_FINE, "enough for all %u clients that there may be",
             SONA_SHM_CLIENTS_MAX);
}

/* ---- the kernel ---- */

static void look_at_membarrier(struct look *l)
{
    if (sona_shm_membarrier_available())
        find(l, "membarrier", SONA_SIDECAR_FINE, "readers need no fence of their own");
    else
        find(
            l, "membarrier", SONA_SIDECAR_LACKING,
            "there is no membarrier(2): every call of a client makes a full fence of its own, some "
            "30 ns, which doubles an apply; Linux 4.16, or a system call filter that allows it");
}

static void look_at_sealing(struct look *l)
{
    int fd = memfd_create("sona-check", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    int rc = fd < 0 ? -1 : fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL);

    if (rc == 0)
        find(l, "sealing", SONA_SIDECAR_FINE, "lanes can be sealed against resizing");
    else
        find(l, "sealing", SONA_SIDECAR_FATAL,
             "no memory can be sealed (%s): no client can attach; memfd_create(2) must be allowed",
             strerror(errno));
    if (fd >= 0)
        (void)close(fd);
}

static bool names_peers(void)
{
    int ends[2], fd = -1;
    socklen_t size = sizeof fd;

    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0)
        return false;
    bool ok = getsockopt(ends[0], SOL_SOCKET, SO_PEERPIDFD, &fd, &size) == 0;
    if (ok)
        (void)close(fd);
    (void)close(ends[0]);
    (void)close(ends[1]);
    return ok;
}

static void look_at_pidfd(struct look *l)
{
    int fd = (int)syscall(SYS_pidfd_open, getpid(), 0);

    if (names_peers())
        find(l, "pidfd", SONA_SIDECAR_FINE, "the kernel says whose death to watch for");
    else if (fd >= 0)
        find(l, "pidfd", SONA_SIDECAR_FINE,
             "there is no SO_PEERPIDFD (Linux 6.5): clients prove by a challenge whose death to "
             "watch for");
    else
        find(l, "pidfd", SONA_SIDECAR_LACKING,
             "there is no pidfd_open(2): a client's death is noticed by its hang-up alone, which "
             "does not come while a child of it holds the connection; Linux 5.3, or a filter that "
             "allows it");
    if (fd >= 0)
        (void)close(fd);
}

/* It is the clients that need it, and they are on this kernel. */
static void look_at_fork(struct look *l)
{
    void *page =
        mmap(NULL, SONA_SHM_PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (page != MAP_FAILED && madvise(page, SONA_SHM_PAGE, MADV_WIPEONFORK) == 0)
        find(l, "fork", SONA_SIDECAR_FINE, "clients learn of a fork without a system call");
    else
        find(l, "fork", SONA_SIDECAR_FATAL,
             "there is no MADV_WIPEONFORK: no client can open, since none would learn that it was "
             "forked; Linux 4.14");
    if (page != MAP_FAILED)
        (void)munmap(page, SONA_SHM_PAGE);
}

static void look_at_cpu(struct look *l)
{
    const char *row = sona_kernels_active()->name;

    if (strcmp(row, "c") != 0)
        find(l, "cpu", SONA_SIDECAR_FINE, "kernels of this processor: %s", row);
    else
        find(l, "cpu", SONA_SIDECAR_LACKING,
             "no kernels for this processor, or SONA_SIMD=c: a decision takes about half as long "
             "again (docs/tuning.md)");
}

uint32_t sona_sidecar_startup_look(const struct sona_sidecar_options *options,
                                   struct sona_sidecar_finding ret[SONA_SIDECAR_FINDINGS_MAX])
{
    static void (*const looks[])(struct look *) = {
        look_at_shm,     look_at_runtime, look_at_memlock, look_at_descriptors, look_at_membarrier,
        look_at_sealing, look_at_pidfd,   look_at_fork,    look_at_cpu};
    struct look l = {.options = options, .finding = ret};
    struct sona_sidecar_memory memory;

    if (sona_sidecar_memory_of(&options->config, &memory, NULL) == SONA_OK)
        l.segment_bytes = memory.segment;
    for (size_t i = 0; i < sizeof looks / sizeof looks[0]; i++)
        looks[i](&l);
    return l.n;
}

enum sona_sidecar_grade sona_sidecar_startup_print(const struct sona_sidecar_options *options,
                                                   FILE *to)
{
    static const char *const grades[] = {"fine", "lacks", "fatal"};
    struct sona_sidecar_finding findings[SONA_SIDECAR_FINDINGS_MAX];
    uint32_t n = sona_sidecar_startup_look(options, findings);
    enum sona_sidecar_grade worst = SONA_SIDECAR_FINE;

    for (uint32_t i = 0; i < n; i++) {
        (void)fprintf(to, "%-5s  %-11s  %s\n", grades[findings[i].grade], findings[i].what,
                      findings[i].text);
        worst = findings[i].grade > worst ? findings[i].grade : worst;
    }
    return worst;
}

void sona_sidecar_startup_log(const struct sona_sidecar_options *options)
{
    struct sona_sidecar_finding findings[SONA_SIDECAR_FINDINGS_MAX];
    uint32_t n = sona_sidecar_startup_look(options, findings);

    for (uint32_t i = 0; i < n; i++)
        if (findings[i].grade != SONA_SIDECAR_FINE)
            sona_sidecar_log(
                findings[i].grade == SONA_SIDECAR_FATAL ? SONA_SIDECAR_ERROR : SONA_SIDECAR_WARN,
                "surroundings_lack", "what=%s reason=\"%s\"", findings[i].what, findings[i].text);
}
