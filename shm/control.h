/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/*
 * What can be asked of a running sidecar, and what it can be told: one table. It yields the paths
 * of the control socket, the commands of sonactl with their help and their completion, and
 * docs/control.md; no row is written down twice.
 *
 *     sonactl routes cost NAME C        POST /v1/routes/cost  {"name": "a", "cost": 0.5}
 *             └──words──┘ └─────┴── arguments, by the key that each has in the body ┘
 *
 * The control socket is a unix stream socket beside that of the clients, <instance>.ctl, and speaks
 * HTTP/1.1 (docs/control.md).
 */
#ifndef SONA_SHM_CONTROL_H
#define SONA_SHM_CONTROL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <sona/engine.h>
#include <sona/error.h>
#include <sona/model.h>

/* X(id, number, class, words, options, help). Numbers of commands are in journals: never renumber.
 * A word in capitals is an argument; `options` are those that need not be given. */
#define SONA_CONTROL_COMMANDS(X)                                                                   \
    X(STATUS, 101, QUERY, "status", "", "segment, clients, learner and journal")                   \
    X(STATS, 102, QUERY, "stats", "", "every counter and gauge")                                   \
    X(HEALTH, 103, QUERY, "health", "", "what is wrong with it, if anything is")                   \
    X(CONFIG, 104, QUERY, "config", "", "every option in effect, and who said it")                 \
    X(PATTERNS, 105, QUERY, "patterns", "", "the patterns with the most evidence")                 \
    X(ROUTES, 106, QUERY, "routes list", "", "the routes, with what was learned of each")          \
    X(GENERATIONS, 107, QUERY, "generations list", "", "the copies of its state that are kept")    \
    X(ROUTE_ADD, 1, ROUTE, "routes add NAME", "cost prior_quality prior_weight", "add a route")    \
    X(ROUTE_RETIRE, 2, ROUTE, "routes retire NAME", "", "retire a route for good")                 \
    X(ROUTE_MODE, 3, ROUTE, "routes mode NAME MODE", "", "use a route, watch it, or leave it out") \
    X(ROUTE_COST, 4, ROUTE, "routes cost NAME C", "", "give a route another cost")                 \
    X(LEARN, 5, CYCLE, "learn", "", "run a background cycle now")                                  \
    X(FLUSH, 6, DRAIN, "flush", "", "learn all that was accepted so far")                          \
    X(ENABLE, 7, SWITCH, "enable", "", "switch learning on")                                       \
    X(DISABLE, 8, SWITCH, "disable", "", "switch learning off; clients go on")                     \
    X(PATTERNS_DECAY, 9, BANK, "patterns decay FACTOR", "",                                        \
      "fade all evidence of the pattern bank")                                                     \
    X(PATTERNS_PRUNE, 10, BANK, "patterns prune QUALITY", "min_accesses min_age",                  \
      "remove the patterns below a mean quality")                                                  \
    X(PATTERNS_CONSOLIDATE, 11, BANK, "patterns consolidate COSINE", "",                           \
      "merge the patterns that are at least so alike")                                             \
    X(EWC, 12, ANCHORS, "ewc", "", "tasks, penalty, and the weights held most")                    \
    X(EWC_BOUNDARY, 13, ANCHORS, "ewc boundary", "", "end a task: its weights become an anchor")   \
    X(EWC_CONSOLIDATE, 14, ANCHORS, "ewc consolidate", "", "make one anchor of all")               \
    X(EXPORT_ADAPTERS, 15, ADAPTERS, "export adapters", "",                                        \
      "MicroLoRA and BaseLoRA as a safetensors file")                                              \
    X(IMPORT_ADAPTERS, 16, ADAPTERS, "import adapters", "",                                        \
      "go on with the adapters of such a file")                                                    \
    X(GENERATIONS_SAVE, 17, KEEPER, "generations save", "", "keep a copy of its state now")        \
    X(GENERATIONS_PIN, 18, KEEPER, "generations pin N", "", "keep a copy until it is unpinned")    \
    X(GENERATIONS_UNPIN, 19, KEEPER, "generations unpin N", "", "keep it no longer than others")   \
    X(GENERATIONS_ROLLBACK, 20, KEEPER, "generations rollback N", "",                              \
      "be what it was then; what came since stays in the journal")                                 \
    X(CHECK, 21, KEEPER, "check", "", "verify store, ledger, arena, segment, rings; slow")         \
    X(EXPLORE, 108, QUERY, "explore", "", "how many decisions may explore, and who said it")       \
    X(EXPLORE_SET, 22, POLICY, "explore VALUE", "", "let at most this share of decisions explore") \
    X(EXPORT_PATTERNS, 23, LINES, "export patterns", "", "the pattern bank as JSON lines")         \
    X(IMPORT_PATTERNS, 24, LINES, "import patterns", "", "take such lines into the pattern bank")  \
    X(EXPORT_DECISIONS, 25, LINES, "export decisions", "", "the journal's outcomes as JSON lines") \
    X(IMPORT_DECISIONS, 26, LINES, "import decisions", "", "learn from such lines, each once")

enum sona_control_what {
#define SONA_CONTROL_ENUM(id, number, class, words, options, help) SONA_CONTROL_##id = (number),
    SONA_CONTROL_COMMANDS(SONA_CONTROL_ENUM)
#undef SONA_CONTROL_ENUM
};

/* Who answers: a QUERY is read from what the threads show; the learner does all the rest. */
enum sona_control_class {
    SONA_CONTROL_QUERY,
    SONA_CONTROL_ROUTE,    /* about one route, by name */
    SONA_CONTROL_CYCLE,    /* a background cycle */
    SONA_CONTROL_DRAIN,    /* learn what was accepted */
    SONA_CONTROL_SWITCH,   /* learning on or off */
    SONA_CONTROL_BANK,     /* the pattern bank */
    SONA_CONTROL_ANCHORS,  /* EWC++ */
    SONA_CONTROL_ADAPTERS, /* as a file: the body of the answer, or of the request, is no JSON */
    SONA_CONTROL_KEEPER,   /* copies of the state */
    SONA_CONTROL_POLICY,   /* how decisions are made */
    SONA_CONTROL_LINES     /* patterns, decisions as JSON lines */
};

/* What a new route may be called: 1 to SONA_ROUTE_NAME_MAX - 1 printable ASCII characters but ','
 * and ':', so that the configuration, the one-line form and a terminal can show it. */
#define SONA_CONTROL_NAME_RULE "printable ASCII characters but ',' and ':'"
bool sona_control_name_ok(const char *name);

/* A question or a command, with its arguments. */
struct sona_control_request {
    uint32_t what;        /* enum sona_control_what */
    uint32_t mode;        /* sona_mode: ROUTE_MODE */
    sona_route_spec spec; /* EXPLORE_SET: its cost is what the configuration said at that moment */
    float amount;         /* a factor: PATTERNS_DECAY; a cosine: PATTERNS_CONSOLIDATE; a share:
                             EXPLORE_SET */
    sona_prune_rule rule; /* PATTERNS_PRUNE */
    uint64_t number;      /* of a generation */
};

enum sona_control_type {
    SONA_CONTROL_NAME,
    SONA_CONTROL_MODE,
    SONA_CONTROL_REAL,
    SONA_CONTROL_COUNT
};

struct sona_control_argument {
    const char *key;  /* in the body; as an option of sonactl with dashes: --prior-quality */
    const char *word; /* in the words of a command: "NAME"; "" for an option */
    const char *metavar;
    enum sona_control_type type;
    size_t offset; /* in struct sona_control_request */
    const char *help;
};

struct sona_control_command {
    uint32_t what; /* enum sona_control_what */
    enum sona_control_class class;
    const char *words, *options, *help;
};

/* The rows, in order; null past the last. */
const struct sona_control_command *sona_control_command_at(uint32_t index);
/* The row of this number; null: none. */
const struct sona_control_command *sona_control_command_of(uint32_t what);
const struct sona_control_argument *sona_control_argument_at(uint32_t index);
/* The n-th argument of a command, those of its words first, then its options; null past the last.
 * *ret_needed: it must be given. */
const struct sona_control_argument *
sona_control_argument_of(const struct sona_control_command *command, uint32_t n, bool *ret_needed);

/* Is the k-th word of a command an argument? */
bool sona_control_word_is_argument(const struct sona_control_command *command, uint32_t k);

/* GET for what changes nothing, else POST. */
const char *sona_control_method(const struct sona_control_command *command);
/* "/v1/routes/cost": the words that are no argument. */
#define SONA_CONTROL_PATH_MAX 64u
void sona_control_path(const struct sona_control_command *command, char ret[SONA_CONTROL_PATH_MAX]);

/* A request with nothing said but `what`: the built-in values of the options. */
struct sona_control_request sona_control_request_of(uint32_t what);

/* "apply", "observe", "bypass"; null past the last. */
const char *sona_control_mode_name(uint32_t mode);
/* False: no mode is called so. */
bool sona_control_mode_of(const char *name, uint32_t *ret);

/* Path of the control socket: that of the clients (sona_wire_path) with another end. */
#define SONA_CONTROL_SUFFIX ".ctl"
sona_err sona_control_socket(const char *runtime_dir, const char *instance, char *ret, size_t size,
                             sona_diag *reterr);

/* Both sides say theirs in this header, as "major.minor"; another major is refused. */
#define SONA_CONTROL_ABI_HEADER "Sona-Abi"

#endif
