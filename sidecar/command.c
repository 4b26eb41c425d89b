/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/* See command.h. Commands are rare: one lock and one memmove are cheap enough. */
#include "sidecar/command.h"

#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>

#include "engine/learner/learner.h"
#include "shm/diag.h"

void sona_sidecar_command_drop(struct sona_sidecar_command *command)
{
    free(command->adapters);
    free(command->patterns);
    sona_sidecar_decisions_free(command->decisions);
    command->adapters = NULL;
    command->decisions = NULL;
    command->patterns = NULL;
}

void sona_sidecar_commands_init(struct sona_sidecar_commands *commands)
{
    (void)pthread_mutex_init(&commands->lock, NULL);
    atomic_store_explicit(&commands->count, 0, memory_order_relaxed); /* no other thread yet */
}

void sona_sidecar_commands_done(struct sona_sidecar_commands *commands)
{
    struct sona_sidecar_command command;

    while (sona_sidecar_commands_take(commands, &command))
        sona_sidecar_command_drop(&command);
    (void)pthread_mutex_destroy(&commands->lock);
}

bool sona_sidecar_commands_put(struct sona_sidecar_commands *commands,
                               const struct sona_sidecar_command *command)
{
    (void)pthread_mutex_lock(&commands->lock);
    uint32_t n = atomic_load_explicit(&commands->count, memory_order_relaxed); /* under the lock */
    bool room = n < SONA_SIDECAR_COMMANDS_MAX;

    if (room) {
        commands->item[n] = *command;
        /* Relaxed, and in take: whoever sees it late looks again; the lock hands over the rest. */
        atomic_store_explicit(&commands->count, n + 1, memory_order_relaxed);
    }
    (void)pthread_mutex_unlock(&commands->lock);
    return room;
}

bool sona_sidecar_commands_take(struct sona_sidecar_commands *commands,
                                struct sona_sidecar_command *ret)
{
    if (atomic_load_explicit(&commands->count, memory_order_relaxed) == 0)
        return false;
    (void)pthread_mutex_lock(&commands->lock);
    uint32_t n = atomic_load_explicit(&commands->count, memory_order_relaxed);
    if (n > 0) {
        *ret = commands->item[0];
        memmove(commands->item, commands->item + 1, (n - 1) * sizeof commands->item[0]);
        atomic_store_explicit(&commands->count, n - 1, memory_order_relaxed);
    }
    (void)pthread_mutex_unlock(&commands->lock);
    return n > 0;
}

void sona_sidecar_desk_answer(struct sona_sidecar_command *command)
{
    struct sona_sidecar_desk *desk = command->desk;

    if (!desk || !sona_sidecar_commands_put(&desk->answered, command))
        sona_sidecar_command_drop(command);
    if (!desk)
        return;
    (void)eventfd_write(desk->fd, 1);
}

sona_err sona_sidecar_command_judge(const struct sona_control_request *request, sona_diag *reterr)
{
    const struct sona_control_command *row = sona_control_command_of(request->what);

    if (!row || row->class == SONA_CONTROL_QUERY)
        return sona_shm_diag_set(reterr, SONA_E_FORMAT, 0,
                                 "command %u is unknown; upgrade the sidecar", request->what);
    /* Of every command: the log prints it. */
    if (memchr(request->spec.name, '\0', sizeof request->spec.name) == NULL ||
        (request->spec.name[0] == '\0' && row->class == SONA_CONTROL_ROUTE))
        return sona_shm_diag_set(reterr, SONA_E_RANGE, 0, "a route's name is 1..%d bytes long",
                                 SONA_ROUTE_NAME_MAX - 1);
    if (request->what == SONA_CONTROL_ROUTE_ADD && !sona_control_name_ok(request->spec.name))
        return sona_shm_diag_set(reterr, SONA_E_RANGE, 0,
                                 "a new route's name is 1..%d " SONA_CONTROL_NAME_RULE,
                                 SONA_ROUTE_NAME_MAX - 1);
    if (request->mode > SONA_MODE_BYPASS)
        return sona_shm_diag_set(reterr, SONA_E_RANGE, 0,
                                 "mode %u is none of apply, observe and bypass", request->mode);
    return SONA_OK;
}

/* The enabled route of this name; SONA_ROUTE_NONE when there is none. */
static sona_route find(const struct sona_learner *learner, const char *name)
{
    struct sona_model_view view = sona_learner_view(learner);
    sona_route_info rows[SONA_ROUTES_MAX];
    uint32_t n = sona_model_routes(&view, rows, SONA_ROUTES_MAX);

    for (uint32_t k = 0; k < n; k++)
        if (rows[k].state == SONA_ROUTE_ENABLED && strcmp(rows[k].name, name) == 0)
            return rows[k].id;
    return SONA_ROUTE_NONE;
}

static sona_err change_route(struct sona_learner *learner, struct sona_sidecar_command *c)
{
    const struct sona_control_request *r = &c->request;

    if (r->what == SONA_CONTROL_ROUTE_ADD)
        return sona_learner_route_add(learner, &r->spec, &c->route);
    c->route = find(learner, r->spec.name);
    if (c->route == SONA_ROUTE_NONE)
        return SONA_E_ROUTE;
    if (r->what == SONA_CONTROL_ROUTE_RETIRE)
        return sona_learner_route_retire(learner, c->route);
    if (r->what == SONA_CONTROL_ROUTE_MODE)
        return sona_learner_route_mode(learner, c->route, (sona_mode)r->mode);
    return sona_learner_route_cost(learner, c->route, r->spec.cost);
}

static sona_err change_bank(struct sona_learner *learner, struct sona_sidecar_command *c)
{
    const struct sona_control_request *r = &c->request;

    if (r->what == SONA_CONTROL_PATTERNS_DECAY)
        return sona_learner_decay(learner, r->amount, &c->bank);
    if (r->what == SONA_CONTROL_PATTERNS_PRUNE)
        return sona_learner_prune(learner, &r->rule, &c->bank);
    return sona_learner_consolidate(learner, r->amount, &c->bank);
}

static const char *reason(sona_err err)
{
    switch (err) {
    case SONA_E_ROUTE:
        return "no enabled route has this name; see sonactl routes list";
    case SONA_E_DUPLICATE:
        return "a route of this name is enabled already; retire it first, or choose another name";
    case SONA_E_LIMIT:
        return "the route table is full; retire a route, or start with a larger routes_max";
    case SONA_E_RANGE:
        return "cost and prior quality are 0..1, the weight of the prior is 0..1e6";
    default:
        return sona_err_text(err);
    }
}

/* All of it between the same two events. The first route that is refused is told of. */
static void configure(struct sona_learner *learner, struct sona_sidecar_command *command)
{
    const struct sona_sidecar_change *change = command->change;

    sona_learner_configure(learner, &change->config);
    for (uint32_t k = 0; k < change->n_routes; k++) {
        const sona_route_spec *spec = &change->route[k];
        sona_route route = find(learner, spec->name);
        sona_err err = route == SONA_ROUTE_NONE
                           ? sona_learner_route_add(learner, spec, &route)
                           : sona_learner_route_cost(learner, route, spec->cost);

        if (err != SONA_OK && command->diag.code == SONA_OK)
            (void)sona_shm_diag_set(&command->diag, err, 0, "route %s: %s", spec->name,
                                    reason(err));
    }
}

static void apply_ewc(struct sona_learner *learner, struct sona_sidecar_command *c)
{
    c->ewc.changed =
        c->request.what == SONA_CONTROL_EWC_BOUNDARY      ? sona_learner_ewc_boundary(learner)
        : c->request.what == SONA_CONTROL_EWC_CONSOLIDATE ? sona_learner_ewc_consolidate(learner)
                                                          : false;
    sona_learner_ewc_state(learner, &c->ewc.state);
    c->ewc.n_top = sona_learner_ewc_top(learner, SONA_SIDECAR_EWC_TOP, c->ewc.top);
}

void sona_sidecar_command_date(const struct sona_learner *learner,
                               struct sona_sidecar_command *command)
{
    if (command->request.what == SONA_CONTROL_EXPLORE_SET)
        (void)sona_learner_explores(learner, &command->request.spec.cost);
}

/* A start with another max_explore than this was said against is the later word. */
static void explore(struct sona_learner *learner, struct sona_sidecar_command *c)
{
    float configured;

    (void)sona_learner_explores(learner, &configured);
    if (c->request.spec.cost != configured)
        return;
    if (sona_learner_explore(learner, c->request.amount) != SONA_OK)
        (void)sona_shm_diag_set(&c->diag, SONA_E_RANGE, 0,
                                "the share of decisions that may explore is 0..1");
}

void sona_sidecar_command_apply(struct sona_learner *learner, struct sona_sidecar_command *command)
{
    uint32_t what = command->request.what;

    if (what == SONA_SIDECAR_CONFIGURE) {
        configure(learner, command);
        return;
    }
    if (sona_sidecar_command_class(command) == SONA_CONTROL_ANCHORS) {
        apply_ewc(learner, command);
        return;
    }
    if (what == SONA_CONTROL_ENABLE || what == SONA_CONTROL_DISABLE) {
        sona_learner_set_enabled(learner, what == SONA_CONTROL_ENABLE);
        return;
    }
    if (what == SONA_CONTROL_EXPLORE_SET) {
        explore(learner, command);
        return;
    }
    if (sona_sidecar_command_on_bank(command)) {
        if (change_bank(learner, command) != SONA_OK)
            (void)sona_shm_diag_set(&command->diag, SONA_E_RANGE, 0,
                                    "patterns: a factor of decay is 0..1, a quality to prune below "
                                    "0..2, a similarity to consolidate at -1..1");
        return;
    }
    sona_err err = change_route(learner, command);
    if (err != SONA_OK)
        (void)sona_shm_diag_set(&command->diag, err, 0, "route %s: %s", command->request.spec.name,
                                reason(err));
}
