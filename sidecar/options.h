/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/*
 * What a sidecar is told, by whomever: built-in values, files, environment, command line. A later
 * one wins; every mistake in any of them is reported, not only the first. The options themselves
 * are rows of one table (config/setting.h). A process has one instance, or those that its files
 * name, each with options of its own.
 */
#ifndef SONA_SIDECAR_OPTIONS_H
#define SONA_SIDECAR_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>

#include <sona/client.h>
#include <sona/config.h>
#include <sona/model.h>

#define SONA_SIDECAR_LANES_MAX      256u /* of all clients together, by default */
#define SONA_SIDECAR_WHERE_MAX      256u /* bytes of "file:line:column", a variable or a flag */
#define SONA_SIDECAR_SETTINGS_MAX   96u  /* rows of the table, and some */
#define SONA_SIDECAR_RETAIN_MB      1024u
#define SONA_SIDECAR_RETAIN_DAYS    30u /* embeddings are personal data */
#define SONA_SIDECAR_GENERATIONS    8u
#define SONA_SIDECAR_SAMPLE_PERCENT 5u
#define SONA_SIDECAR_QUERY_RATE     1000u /* a second, by default: 1.2 MB of 256 dimensions */
#define SONA_SIDECAR_DIR_MAX        200u  /* bytes of a directory; of a socket, fewer still */
#define SONA_SIDECAR_GROUP_MAX      64u   /* bytes of the name of a group */
#define SONA_SIDECAR_GROUP_NONE     UINT32_MAX
#define SONA_SIDECAR_INSTANCES_MAX  64u             /* of one process */
#define SONA_SIDECAR_STATE_DIR      "/var/lib/sona" /* of root */
#define SONA_SIDECAR_CONFIG_FILE    "/etc/sona/sidecar.yaml"

enum sona_sidecar_memory_wish {
    SONA_SIDECAR_MEMORY_NOT,
    SONA_SIDECAR_MEMORY_TABLE,
    SONA_SIDECAR_MEMORY_JSON
};

struct sona_sidecar_options {
    /* In the buffers below. runtime_dir null: default place; state_dir null: nothing is kept. */
    const char *instance, *runtime_dir, *state_dir;
    bool state_by_default; /* nobody said where: without the place nothing is kept, and that is said
                            */
    sona_config config;
    uint32_t background_inline; /* 0 or 1 */
    uint32_t log_level;         /* enum sona_sidecar_level: what is below it is not written */
    uint32_t confine_off;       /* 1: it gives up nothing (confine.h) */
    uint32_t preset;            /* index of sona_config_preset_name() */
    uint32_t lanes_max, idle_cap_us, lease_ms, influence_cap, client_rate;
    uint32_t durability;             /* enum sona_store_durability */
    uint32_t journal_off;            /* 1: generations only */
    uint32_t group;                  /* a gid: its members may attach; SONA_SIDECAR_GROUP_NONE */
    uint32_t retain_mb, retain_days; /* of the journal; 0: no limit */
    uint32_t generations;            /* kept beside the pinned ones */
    uint32_t sample_percent;         /* of thinned rows that keep a rounded embedding */
    uint32_t query_rate;             /* queries a second journaled without an outcome; 0: all */
    uint32_t http_port;              /* of 127.0.0.1; 0: none */

    /* What only the command line says. */
    bool check, print_config;
    enum sona_sidecar_memory_wish memory; /* print what presets and configuration take */
    int ready_fd;                         /* -1: none */

    char instance_text[SONA_INSTANCE_NAME_MAX], runtime_dir_text[SONA_SIDECAR_DIR_MAX],
        state_dir_text[SONA_SIDECAR_DIR_MAX], group_text[SONA_SIDECAR_GROUP_MAX],
        token_file_text[SONA_SIDECAR_DIR_MAX];
    /* Large, and mostly zero: what is not said here costs no memory. */
    uint32_t n_routes;
    sona_route_spec routes[SONA_ROUTES_MAX];
    /* Where the value of each row of the table is from; "" for a built-in one. */
    char where[SONA_SIDECAR_SETTINGS_MAX][SONA_SIDECAR_WHERE_MAX];
};

/* Of a whole process. */
struct sona_sidecar_whole {
    struct sona_sidecar_options *common; /* what all inherit, and the flags of the process */
    bool named;                          /* the files name the instances */
    bool no_memory;                      /* for want of it this is not whole */
    uint32_t n;                          /* at least one */
    struct sona_sidecar_options *instance[SONA_SIDECAR_INSTANCES_MAX]; /* null: taken out */
};

/* Options of nobody, with nothing said yet; null without memory. */
struct sona_sidecar_options *sona_sidecar_options_make(void);
/* Takes null. */
void sona_sidecar_options_free(struct sona_sidecar_options **options);

/* Parse and check. Returns 0; 1 without memory, after saying so; or 2 after the mistakes were
 * written to stderr, each a line "where: what". --help and --version do not return. Done with
 * whole_done, also then. */
int sona_sidecar_whole_parse(struct sona_sidecar_whole *ret, int argc, char **argv);
/* The same from the files as they are now, with environment and command line as they were at the
 * last parse. Returns the number of mistakes; each was given to `told`. */
uint32_t sona_sidecar_whole_again(struct sona_sidecar_whole *ret,
                                  void (*told)(void *arg, const char *where, const char *what),
                                  void *arg);
void sona_sidecar_whole_done(struct sona_sidecar_whole *whole);
/* As whole_parse, of what all instances are told, alone. */
int sona_sidecar_options_parse(struct sona_sidecar_options *ret, int argc, char **argv);
/* Where flags live beside those of the table: name, short letter or 0, argument or null, help. */
void sona_sidecar_options_each_flag(void (*visit)(void *arg, const char *name, int letter,
                                                  const char *argument, const char *help),
                                    void *arg);
/* The file that again reads first; null: none. */
const char *sona_sidecar_options_file(void);
/* Give back what parse kept for again. */
void sona_sidecar_options_done(void);

#endif
