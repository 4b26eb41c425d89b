/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/*
 * The power fails under the whole sidecar, again and again, with clients at work: what was not
 * synced is on the disk, or is not, or in part; memory is gone, and with it arena, ledger, segment,
 * rings and, mostly, the intake log.
 *     power [CUTS [SEED]]              default 24; the seed is printed
 *
 * Each time the store opens and is sound, a sidecar starts on it, and
 *   - every row is a word that a client said, with its quality, and there once;
 *   - what had been learned a second before is there (durability: interval), or all that anybody
 *     was told was learned (durability: every);
 *   - what the sidecar has learned is what the journal says.
 */
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include <jansson.h>

#include <sona/client.h>

#include "shm/record.h"
#include "shm/wire.h"
#include "sidecar/store/store.h"
#include "tests/engine/dice.h"
#include "tests/stress/tap.h"
#include "tools/query.h"
#include "tools/spawn.h"

#define DIM       16u
#define AT_ONCE   4u /* machines */
#define ROOM      (1u << 30)
#define ENOUGH    20u /* cuts: in some of them something was learned before */
#define CHAIN     5u  /* cuts of one state directory */
#define LIFE_MS   10000u
#define WINDOW_US 1000000u /* what the interval promises */
#define SEQS      (1u << 20)
#define SAMPLES   4096u

/* Operations of the disk after which it is at work. A sanitizer's has 30 a second. */
#ifdef __SANITIZE_ADDRESS__
#define AT_WORK 50u
#else
#define AT_WORK 300u
#endif

/* What the client of one life said, written down before it was said. */
struct said {
    uint64_t tag;
    float quality[SEQS]; /* by the number of the decision; 0: none */
    uint8_t heard[SEQS];
};

struct tally {
    _Atomic uint64_t cuts, uncut, refused, unsound, strangers, doubled, wrong, broken, mismatched;
    _Atomic uint64_t rows, promised, lost; /* lost: learned, within the window */
    char why[256];
};

struct machine {
    char state_dir[64], state_arg[80], note[96];
    const char *durability;
    struct sona_spawn sidecar;
    struct said *said;
    struct tally *tally;
    struct dice *dice;
    uint64_t rows, outcomes; /* of the journal, after the last cut */
    struct {
        uint64_t us, learned;
    } sample[SAMPLES];
    uint32_t samples;
};

static void count(_Atomic uint64_t *n, uint64_t more)
{
    (void)atomic_fetch_add_explicit(n, more, memory_order_relaxed);
}

static uint64_t now_us(void)
{
    struct timespec t;

    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

/* What went wrong first. */
static void blame(struct tally *t, const char *what, const char *text)
{
    if (t->why[0] == '\0')
        (void)snprintf(t->why, sizeof t->why, "%.40s: %.200s", what, text);
}

static void nap_ms(uint32_t ms)
{
    const struct timespec nap = {.tv_nsec = ms * 1000000L};

    (void)nanosleep(&nap, NULL);
}

/* ---- the client ---- */

static _Noreturn void talk(struct machine *m)
{
    const sona_client_options options = {.instance = m->sidecar.instance,
                                         .runtime_dir = m->sidecar.runtime_dir,
                                         .lanes = 1,
                                         .dim = DIM};
    sona_client *client;
    sona_lane *lane;
    float x[DIM];

    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (sona_client_open(&client, &options, NULL) != SONA_OK ||
        sona_lane_claim(client, &lane, NULL) != SONA_OK)
        _exit(1); /* the power failed before */
    for (uint32_t n = 0;; n++) {
        sona_decision d = {.id = 0};

        for (uint32_t i = 0; i < DIM; i++)
            x[i] = (float)((n % 16 * 37 + i * 11) % 29) - 14.5f;
        if (sona_decide(lane, x, DIM, NULL, &d) == SONA_OK && SONA_ID_SEQ(d.id) < SEQS) {
            m->said->tag = SONA_ID_TAG(d.id);
            m->said->quality[SONA_ID_SEQ(d.id)] = (float)(n % 1000 + 1) / 1024.0f;
            (void)sona_outcome(lane, d.id, (float)(n % 1000 + 1) / 1024.0f, NULL);
        }
        if (n % 8 == 0)
            nap_ms(4);
    }
}

/* ---- a life ---- */

static sona_err start(struct machine *m, uint64_t operations, sona_diag *diag)
{
    const char *const args[] = {"--routes=a,b,c",
                                "--dim=16",
                                "--set=hidden_dim=16",
                                "--set=attention_dim=4",
                                "--set=base_lora_layers=2",
                                "--set=consolidation_interval=500",
                                m->state_arg,
                                m->durability,
                                NULL};
    struct sona_spawn before = m->sidecar;
    char power[192];

    (void)snprintf(power, sizeof power, "%" PRIu64 ":%" PRIu64 ":%s", operations,
                   dice_next(m->dice), m->note);
    (void)setenv("SONA_POWER", power, 1);
    sona_err err = sona_spawn_start(&m->sidecar, getenv("SONA_SIDECAR_POWER"), before.instance,
                                    before.runtime_dir, args, diag);
    if (err != SONA_OK)
        m->sidecar = before;
    return err;
}

static bool learned(const struct machine *m, uint64_t *ret)
{
    char *text = NULL;
    bool ok = sona_tools_query(m->sidecar.runtime_dir, m->sidecar.instance, SONA_CONTROL_STATS,
                               &text, NULL) == SONA_OK;
    json_t *o = ok ? json_loads(text, 0, NULL) : NULL;

    *ret = (uint64_t)json_integer_value(json_object_get(o, "learned"));
    json_decref(o);
    free(text);
    return o != NULL;
}

static bool is_dead(const struct machine *m)
{
    siginfo_t info = {.si_pid = 0};

    return waitid(P_PID, (id_t)m->sidecar.pid, &info, WEXITED | WNOHANG | WNOWAIT) == 0 &&
           info.si_pid != 0;
}

/* Ask what is learned until the power fails. */
static void watch(struct machine *m)
{
    uint64_t end = now_us() + LIFE_MS * 1000u, n;

    while (!is_dead(m) && now_us() < end) {
        if (m->samples < SAMPLES && learned(m, &n)) {
            m->sample[m->samples].us = now_us(); /* it was learned before */
            m->sample[m->samples++].learned = n;
        }
        nap_ms(3);
    }
}

/* When the power failed; 0: it did not. */
static uint64_t cut_us(const struct machine *m)
{
    FILE *file = fopen(m->note, "r");
    uint64_t us = 0;

    if (file) {
        if (fscanf(file, "%" SCNu64, &us) != 1)
            us = 0;
        (void)fclose(file);
        (void)unlink(m->note);
    }
    return us;
}

static void remove_named(const struct machine *m, const char *dir, const char *end)
{
    char path[192];

    (void)snprintf(path, sizeof path, "%s/%s.%s", dir, m->sidecar.instance, end);
    (void)unlink(path);
}

/* The log on a disk: any page may be what it was made of, zeros. */
static void tear_log(const struct machine *m)
{
    static const uint8_t zeros[4096];
    char path[192];

    (void)snprintf(path, sizeof path, "%s/%s.intake", m->sidecar.runtime_dir, m->sidecar.instance);
    int fd = open(path, O_RDWR | O_CLOEXEC);
    off_t size = fd < 0 ? 0 : lseek(fd, 0, SEEK_END);

    for (off_t at = 0; at < size; at += (off_t)sizeof zeros)
        if (dice_below(m->dice, 8) == 0 &&
            pwrite(fd, zeros, sizeof zeros, at) != (ssize_t)sizeof zeros)
            break;
    if (fd >= 0)
        (void)close(fd);
}

/* Memory is gone. */
static void forget_memory(const struct machine *m)
{
    static const char *const files[] = {"sock", "ctl", "lock", "lanes", "arena"};
    char name[96];

    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++)
        remove_named(m, m->sidecar.runtime_dir, files[i]);
    remove_named(m, m->state_dir, "db-shm");
    (void)snprintf(name, sizeof name, "/sona.%s.model", m->sidecar.instance);
    (void)shm_unlink(name);
    if (dice_below(m->dice, 3) > 0)
        remove_named(m, m->sidecar.runtime_dir, "intake");
    else
        tear_log(m);
}

/* ---- what is left ---- */

struct walk {
    struct machine *machine;
    uint64_t rows, outcomes, from; /* from: the first row of this life */
};

static bool see_row(void *context, const struct sona_store_record *r)
{
    struct walk *w = context;
    struct said *said = w->machine->said;
    struct tally *t = w->machine->tally;
    bool outcome = r->kind == SONA_STORE_outcome || r->kind == SONA_STORE_query_outcome;
    uint64_t seq = SONA_ID_SEQ(r->id);

    w->rows++;
    w->outcomes += outcome;
    if (!outcome || r->position < w->from)
        return true;
    if (SONA_ID_TAG(r->id) != said->tag || seq >= SEQS || said->quality[seq] == 0) {
        count(&t->strangers, 1);
        return true;
    }
    count(&t->doubled, said->heard[seq]++ > 0);
    count(&t->wrong, said->quality[seq] != r->quality);
    return true;
}

static void tell_finding(void *context, const char *text)
{
    blame(context, "check", text);
}

/* The store, as the next start finds it. */
static bool examine(struct machine *m, sona_diag *diag)
{
    const struct sona_store_options options = {.instance = m->sidecar.instance,
                                               .state_dir = m->state_dir,
                                               .intake_dir = m->sidecar.runtime_dir};
    struct walk walk = {.machine = m, .from = m->rows + 1};
    struct sona_store *store = NULL;
    uint32_t findings = 0;

    if (sona_store_open(&store, &options, diag) != SONA_OK) {
        count(&m->tally->refused, 1);
        blame(m->tally, "open", diag->text);
        return false;
    }
    bool read = sona_store_replay(store, 1, see_row, &walk, diag) == SONA_OK &&
                sona_store_check(store, tell_finding, m->tally, &findings, diag) == SONA_OK;
    sona_store_close(&store);
    count(&m->tally->unsound, !read || findings > 0);
    count(&m->tally->rows, walk.rows - m->rows);
    m->rows = walk.rows;
    m->outcomes = walk.outcomes;
    return read;
}

/* What was promised to be there. */
static void hold_to_promise(struct machine *m, uint64_t cut)
{
    uint64_t window = strstr(m->durability, "every") ? 0 : WINDOW_US, most = 0, all = 0;

    for (uint32_t i = 0; i < m->samples; i++) {
        if (m->sample[i].us <= cut && m->sample[i].learned > all)
            all = m->sample[i].learned;
        if (m->sample[i].us + window <= cut && m->sample[i].learned > most)
            most = m->sample[i].learned;
    }
    count(&m->tally->promised, most);
    count(&m->tally->lost, all > m->outcomes ? all - m->outcomes : 0);
    if (m->outcomes >= most)
        return;
    char text[96];
    count(&m->tally->broken, 1);
    (void)snprintf(text, sizeof text, "%" PRIu64 " of %" PRIu64 " outcomes", m->outcomes, most);
    blame(m->tally, m->durability, text);
}

/* One life that ends with the power, and a look at the next one's beginning. */
static bool live(struct machine *m, uint64_t operations)
{
    sona_diag diag = {.text = ""};
    uint64_t n;

    memset(m->said, 0, sizeof *m->said);
    m->samples = 0;
    if (start(m, operations, &diag) == SONA_OK) {
        pid_t client = fork();

        if (client == 0)
            talk(m);
        watch(m);
        sona_spawn_kill(&m->sidecar);
        (void)kill(client, SIGKILL); /* the same machine */
        (void)waitpid(client, NULL, 0);
    } else if (!strstr(diag.text, "ended by signal 9")) {
        blame(m->tally, "start", diag.text);
        count(&m->tally->refused, 1);
        return false;
    }
    uint64_t cut = cut_us(m);
    count(cut ? &m->tally->cuts : &m->tally->uncut, 1);
    forget_memory(m);
    if (!examine(m, &diag))
        return false;
    if (cut)
        hold_to_promise(m, cut);
    if (start(m, UINT64_MAX, &diag) != SONA_OK) {
        blame(m->tally, "start after the cut", diag.text);
        count(&m->tally->refused, 1);
        return false;
    }
    count(&m->tally->mismatched, !learned(m, &n) || n != m->outcomes);
    sona_spawn_kill(&m->sidecar);
    forget_memory(m);
    return examine(m, &diag);
}

/* What fails is the file layer, so the files may lie in memory, where an intake log of 64 MiB, made
 * anew four times a cut, costs least. */
static const char *place_of_files(void)
{
    struct statvfs fs;
    bool roomy = statvfs("/dev/shm", &fs) == 0 && (uint64_t)fs.f_bavail * fs.f_frsize >= ROOM;

    return roomy ? "/dev/shm" : "/tmp";
}

/* Of one seed; the chains of its cuts are every other one with each durability, from `chain` on. */
static _Noreturn void run_machine(struct tally *tally, uint32_t cuts, uint64_t seed, uint32_t chain)
{
    static struct machine m;
    struct dice dice = {.seed = seed, .state = seed};
    const char *place = place_of_files();

    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    m.tally = tally;
    m.dice = &dice;
    m.said = mmap(NULL, sizeof *m.said, PROT_READ | PROT_WRITE,
                  MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (m.said == MAP_FAILED)
        _exit(1);
    for (uint32_t cut = 0; cut < cuts;) {
        static const char *const ends[] = {"db", "db-wal", "db-shm", "db.lock"};

        (void)snprintf(m.state_dir, sizeof m.state_dir, "%s/sona-power-XXXXXX", place);
        if (!mkdtemp(m.state_dir))
            _exit(1);
        (void)snprintf(m.state_arg, sizeof m.state_arg, "--state-dir=%s", m.state_dir);
        (void)snprintf(m.note, sizeof m.note, "%s.cut", m.state_dir);
        m.durability = chain++ % 2 == 0 ? "--durability=every" : "--durability=interval";
        m.rows = m.outcomes = 0;
        /* Named before the first start, which may be cut before it says anything. */
        memset(&m.sidecar, 0, sizeof m.sidecar);
        (void)snprintf(m.sidecar.instance, sizeof m.sidecar.instance, "power-%d-%" PRIu32,
                       (int)getpid(), cut);
        (void)snprintf(m.sidecar.runtime_dir, sizeof m.sidecar.runtime_dir, "%s/sona-power-XXXXXX",
                       place);
        if (!mkdtemp(m.sidecar.runtime_dir))
            _exit(1);
        for (uint32_t k = 0; k < CHAIN && cut < cuts; k++, cut++) {
            /* At work, or sooner. */
            uint32_t operations = k % 2 == 0 ? AT_WORK + dice_below(&dice, 5 * AT_WORK)
                                             : 1 + dice_below(&dice, AT_WORK);

            if (!live(&m, operations))
                _exit(2); /* its files stay */
        }
        remove_named(&m, m.sidecar.runtime_dir, "intake");
        for (size_t i = 0; i < sizeof ends / sizeof ends[0]; i++)
            remove_named(&m, m.state_dir, ends[i]);
        (void)unlink(m.note); /* of a life that the power did not end */
        (void)rmdir(m.state_dir);
        (void)rmdir(m.sidecar.runtime_dir);
    }
    _exit(0);
}

static uint64_t of(_Atomic uint64_t *n)
{
    return atomic_load_explicit(n, memory_order_relaxed); /* the machines have ended */
}

int main(int argc, char **argv)
{
    uint32_t cuts = argc > 1 ? (uint32_t)strtoul(argv[1], NULL, 10) : 24;
    uint64_t seed = argc > 2 ? strtoull(argv[2], NULL, 10) : tap_now_ms() | 1;
    struct tap tap = {0, 0};
    pid_t pid[AT_ONCE];
    bool ended = true;

    (void)printf("# seed %" PRIu64 "\n", seed);
    struct tally *t =
        mmap(NULL, sizeof *t, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (t == MAP_FAILED || !getenv("SONA_SIDECAR_POWER")) {
        (void)printf("Bail out! no memory, or SONA_SIDECAR_POWER is not set\n");
        return 1;
    }
    (void)fflush(stdout);
    for (uint32_t k = 0; k < AT_ONCE; k++)
        if ((pid[k] = fork()) == 0)
            run_machine(t, cuts / AT_ONCE + (k < cuts % AT_ONCE), seed * (k + 1), k);
    for (uint32_t k = 0; k < AT_ONCE; k++) {
        int status = -1;

        (void)waitpid(pid[k], &status, 0);
        ended &= status == 0;
    }
    tap_ok(&tap, ended && of(&t->cuts) > cuts / 2,
           "the power failed %" PRIu64 " times, %" PRIu64 " lives ended without%s%s", of(&t->cuts),
           of(&t->uncut), t->why[0] ? ": " : "", t->why);
    tap_ok(&tap, of(&t->refused) == 0, "%" PRIu64 " stores did not open", of(&t->refused));
    tap_ok(&tap, of(&t->unsound) == 0, "%" PRIu64 " were not sound", of(&t->unsound));
    tap_ok(&tap, of(&t->strangers) + of(&t->wrong) + of(&t->doubled) == 0 && of(&t->rows) > 0,
           "%" PRIu64 " rows: %" PRIu64 " that nobody said, %" PRIu64 " twice, %" PRIu64 " changed",
           of(&t->rows), of(&t->strangers), of(&t->doubled), of(&t->wrong));
    tap_ok(&tap, of(&t->broken) == 0 && (of(&t->promised) > 0 || cuts < ENOUGH),
           "%" PRIu64 " promises broken; %" PRIu64 " outcomes were promised, %" PRIu64
           " lost within the window",
           of(&t->broken), of(&t->promised), of(&t->lost));
    tap_ok(&tap, of(&t->mismatched) == 0, "%" PRIu64 " starts knew more or less than the journal",
           of(&t->mismatched));
    return tap_done(&tap);
}
