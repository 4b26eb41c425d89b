/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/*
 * What an operator does with the store of a sidecar that is stopped. Opening it does what a start
 * does first: records that the intake log holds are committed. A store that is in use is refused.
 */
#ifndef SONA_TOOLS_UPKEEP_H
#define SONA_TOOLS_UPKEEP_H

#include <stdbool.h>
#include <stdint.h>

#include <jansson.h>

#include <sona/error.h>

#include "sidecar/store/store.h"

enum sona_tools_upkeep_what {
    SONA_TOOLS_NO_UPKEEP,
    SONA_TOOLS_LIST,
    SONA_TOOLS_PIN,
    SONA_TOOLS_UNPIN,
    SONA_TOOLS_ROLLBACK,
    SONA_TOOLS_CHECK,
    SONA_TOOLS_FORGET,
    SONA_TOOLS_EXPORT
};

/* What can be typed, beside --state-dir; in order, null past the last. */
struct sona_tools_upkeep_form {
    enum sona_tools_upkeep_what what;
    const char *words, *help;
};
const struct sona_tools_upkeep_form *sona_tools_upkeep_form_at(uint32_t index);

struct sona_tools_upkeep {
    enum sona_tools_upkeep_what what;
    const char *instance, *state_dir, *runtime_dir; /* null: "default"; required; the default */
    uint64_t number;                                /* of a generation */
    uint64_t from, to;                              /* EXPORT: positions; 0: the first, the last */
    const char *file;                               /* EXPORT: null: stdout */
    struct sona_store_rule rule;                    /* FORGET */
};

/*
 * Do it, and say what was done in one JSON object; null after EXPORT. SONA_E_ABSENT: there is no
 * such store (none is made); SONA_E_BUSY: its sidecar runs; else what store.h says of the call.
 * Where runtime_dir is null and there is no default either, nothing beside the store is looked at,
 * and ROLLBACK and FORGET, which need the intake log, are SONA_E_ABSENT.
 */
sona_err sona_tools_upkeep(const struct sona_tools_upkeep *ask, json_t **ret, sona_diag *reterr);
/* Lay the answer out for reading, on stdout. */
void sona_tools_upkeep_print(enum sona_tools_upkeep_what what, const json_t *answer);
/* What CHECK found: 0 sound, 4 degraded (a start works, something is lost), 1 failed. */
int sona_tools_upkeep_status(const json_t *answer);

/* "2026-11-22" or "2026-11-22T10:00:00Z", UTC, in milliseconds since 1970. False: neither. */
bool sona_tools_upkeep_time(const char *text, uint64_t *ret_ms);

#endif
