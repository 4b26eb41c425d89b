/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/* See table.h. Every change is a command in the chronicle, as an operator's would be. */
#include "sidecar/table.h"

#include <stdio.h>
#include <string.h>

#include "engine/model/block.h"
#include "shm/diag.h"
#include "sidecar/command.h"
#include "sidecar/log.h"

static sona_err do_command(struct sona_sidecar_core *core, struct sona_sidecar_chronicle *chronicle,
                           enum sona_control_what what, const sona_route_spec *spec,
                           sona_diag *reterr)
{
    struct sona_sidecar_command c = {.request = {.what = what, .spec = *spec}};

    if (!sona_sidecar_chronicle_command(chronicle, &c))
        return sona_shm_diag_set(reterr, SONA_E_SYSTEM, 0,
                                 "route %s cannot be written to the journal", spec->name);
    sona_sidecar_command_apply(core->learner, &c);
    if (c.diag.code != SONA_OK && reterr)
        *reterr = c.diag;
    return c.diag.code;
}

sona_err sona_sidecar_table_restore(struct sona_sidecar_core *core,
                                    struct sona_sidecar_chronicle *chronicle, uint32_t n_before,
                                    sona_diag *reterr)
{
    struct sona_model_view view = sona_learner_view(core->learner);
    sona_err err = SONA_OK;

    for (uint32_t k = sona_model_n_routes(&view); err == SONA_OK && k < n_before; k++) {
        sona_route_spec spec = {.cost = 0};

        (void)snprintf(spec.name, sizeof spec.name, "rolled-back-%u", k);
        err = do_command(core, chronicle, SONA_CONTROL_ROUTE_ADD, &spec, reterr);
        if (err == SONA_OK)
            err = do_command(core, chronicle, SONA_CONTROL_ROUTE_RETIRE, &spec, reterr);
    }
    return err;
}

/* What the configuration says of the route of this name; null: nothing. */
static const sona_route_spec *spec_of(const sona_route_spec *declared, uint32_t n, const char *name)
{
    for (uint32_t i = 0; i < n; i++)
        if (strcmp(declared[i].name, name) == 0)
            return &declared[i];
    return NULL;
}

sona_err sona_sidecar_table_shown(struct sona_sidecar_core *core,
                                  struct sona_sidecar_chronicle *chronicle, const void *hot,
                                  const sona_route_spec *declared, uint32_t n_declared,
                                  sona_diag *reterr)
{
    const struct sona_model_view shown = {.layout = core->layout, .hot = hot};
    struct sona_model_view view = sona_learner_view(core->learner);
    sona_route_info row[SONA_ROUTES_MAX];
    uint32_t n = hot ? sona_model_routes(&shown, row, SONA_ROUTES_MAX) : 0;
    sona_err err = SONA_OK;

    for (uint32_t k = sona_model_n_routes(&view); err == SONA_OK && k < n; k++) {
        const sona_route_spec *spec = sona_sidecar_core_knows(core, row[k].name)
                                          ? NULL
                                          : spec_of(declared, n_declared, row[k].name);

        err = spec ? do_command(core, chronicle, SONA_CONTROL_ROUTE_ADD, spec, reterr)
                   : sona_sidecar_table_restore(core, chronicle, k + 1, reterr);
    }
    return err;
}

/* The row of this name that is enabled, else one that was; null: it is new. */
static const sona_route_info *row_of(const sona_route_info *row, uint32_t n, const char *name)
{
    const sona_route_info *ret = NULL;

    for (uint32_t k = 0; k < n; k++)
        if (strcmp(row[k].name, name) == 0 && (!ret || row[k].state == SONA_ROUTE_ENABLED))
            ret = &row[k];
    return ret;
}

static sona_err declare(struct sona_sidecar_core *core, struct sona_sidecar_chronicle *chronicle,
                        const sona_route_spec *spec, const sona_route_info *row, sona_diag *reterr)
{
    double said = (double)spec->cost;

    if (!row)
        return do_command(core, chronicle, SONA_CONTROL_ROUTE_ADD, spec, reterr);
    if (row->state != SONA_ROUTE_ENABLED) {
        sona_sidecar_log(SONA_SIDECAR_WARN, "route_differs",
                         "route=%s configured=enabled running=retired "
                         "remedy=\"sonactl routes add %s; or leave it out of the configuration\"",
                         spec->name, spec->name);
        return SONA_OK;
    }
    if (memcmp(&row->cost, &spec->cost, sizeof row->cost) == 0)
        return SONA_OK;
    if (!(spec->cost > 0)) { /* none was said: that of sonactl, or of another configuration */
        sona_sidecar_log(SONA_SIDECAR_WARN, "route_differs",
                         "route=%s configured=\"no cost\" running=\"cost %g\" "
                         "remedy=\"sonactl routes cost %s 0; or say it in the configuration\"",
                         spec->name, (double)row->cost, spec->name);
        return SONA_OK;
    }
    sona_sidecar_log(SONA_SIDECAR_INFO, "route_cost", "route=%s from=%g to=%g", spec->name,
                     (double)row->cost, said);
    return do_command(core, chronicle, SONA_CONTROL_ROUTE_COST, spec, reterr);
}

sona_err sona_sidecar_table_declare(struct sona_sidecar_core *core,
                                    struct sona_sidecar_chronicle *chronicle,
                                    const sona_route_spec *declared, uint32_t n_declared,
                                    sona_diag *reterr)
{
    struct sona_model_view view = sona_learner_view(core->learner);
    sona_route_info row[SONA_ROUTES_MAX];
    uint32_t n = sona_model_routes(&view, row, SONA_ROUTES_MAX);
    sona_err err = SONA_OK;

    for (uint32_t i = 0; err == SONA_OK && i < n_declared; i++)
        err = declare(core, chronicle, &declared[i], row_of(row, n, declared[i].name), reterr);
    for (uint32_t k = 0; err == SONA_OK && n_declared > 0 && k < n; k++) {
        if (row[k].state == SONA_ROUTE_ENABLED && !spec_of(declared, n_declared, row[k].name))
            sona_sidecar_log(SONA_SIDECAR_WARN, "route_differs",
                             "route=%s configured=none running=enabled remedy=\"sonactl routes "
                             "retire %s; or say it in the configuration\"",
                             row[k].name, row[k].name);
    }
    return err;
}
