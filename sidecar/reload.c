/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/* See reload.h. */
#include "sidecar/reload.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sidecar/config/setting.h"
#include "sidecar/log.h"
#include "sidecar/sidecar.h"

static void tell_change(struct sona_sidecar_reload *r, const char *key, const char *from,
                        const char *to, const char *where, bool live)
{
    if (live)
        r->changed++;
    else
        r->restart++;
    sona_sidecar_log(live ? SONA_SIDECAR_INFO : SONA_SIDECAR_WARN,
                     live ? "config_changed" : "config_restart",
                     live ? "key=%s from=\"%s\" to=\"%s\" at=\"%s\""
                          : "key=%s running=\"%s\" wanted=\"%s\" at=\"%s\" reason=\"it takes a "
                            "restart\"",
                     key, from, to, where[0] ? where : "built-in");
}

/* What changed of the single values. */
static void compare_values(struct sona_sidecar_reload *r, const struct sona_sidecar_options *now)
{
    for (uint32_t i = 0; i < sona_sidecar_setting_count(); i++) {
        const struct sona_sidecar_setting *s = &sona_sidecar_settings[i];
        char from[SONA_SIDECAR_VALUE_MAX], to[SONA_SIDECAR_VALUE_MAX];

        /* A preset is where values begin; they are compared themselves. */
        if (s->type == SONA_SIDECAR_ROUTES || s->type == SONA_SIDECAR_PRESET)
            continue;
        sona_sidecar_setting_format(s, now, from);
        sona_sidecar_setting_format(s, r->wanted, to);
        if (strcmp(from, to) != 0)
            tell_change(r, s->key, from, to, r->wanted->where[i], sona_sidecar_setting_live(s));
    }
}

/* Which of the routes has this name; n_routes: none. */
static uint32_t find(const struct sona_sidecar_options *o, const char *name)
{
    uint32_t k = 0;

    while (k < o->n_routes && strcmp(o->routes[k].name, name) != 0)
        k++;
    return k;
}

static bool same(float a, float b)
{
    return memcmp(&a, &b, sizeof a) == 0;
}

/* What changed of the routes: new ones and costs are taken over; a prior is of a route's start, and
 * only people retire one, since what it learned would go. */
static void compare_routes(struct sona_sidecar_reload *r, const struct sona_sidecar_options *now)
{
    const struct sona_sidecar_options *o = r->wanted;
    const struct sona_sidecar_setting *s = sona_sidecar_setting_find("", "routes");
    const char *where = o->where[sona_sidecar_setting_index(s)];
    char from[32], to[32];

    r->change->n_routes = 0;
    for (uint32_t k = 0; k < o->n_routes; k++) {
        uint32_t at = find(now, o->routes[k].name);
        const sona_route_spec *before = at < now->n_routes ? &now->routes[at] : NULL;
        bool cost = before && !same(before->cost, o->routes[k].cost);

        (void)snprintf(from, sizeof from, before ? "cost %g" : "none",
                       before ? (double)before->cost : 0);
        (void)snprintf(to, sizeof to, "cost %g", (double)o->routes[k].cost);
        if (!before || cost) {
            tell_change(r, o->routes[k].name, from, to, where, true);
            r->change->route[r->change->n_routes++] = o->routes[k];
        }
        if (before && (!same(before->prior_quality, o->routes[k].prior_quality) ||
                       !same(before->prior_weight, o->routes[k].prior_weight)))
            tell_change(r, o->routes[k].name, "its prior", "another prior", where, false);
    }
    for (uint32_t k = 0; k < now->n_routes; k++)
        if (find(o, now->routes[k].name) == o->n_routes)
            tell_change(r, now->routes[k].name, "a route",
                        "none: it stays until sonactl routes retire", where, false);
}

void sona_sidecar_reload_close(struct sona_sidecar_reload *reload)
{
    sona_sidecar_options_free(&reload->wanted);
    free(reload->change);
    reload->change = NULL;
}

void sona_sidecar_reload_begin(struct sona_sidecar_reload *reload, struct sona_sidecar *sidecar,
                               struct sona_sidecar_options *wanted)
{
    struct sona_sidecar_reload *r = reload;
    const struct sona_sidecar_options *now = sidecar->options;

    r->wanted = wanted;
    r->change = calloc(1, sizeof *r->change);
    if (!r->change) {
        sona_sidecar_log(SONA_SIDECAR_ERROR, "config_refused", "reason=\"no memory for it\"");
        sona_sidecar_reload_close(r);
        return;
    }
    r->changed = r->restart = 0;
    compare_values(r, now);
    compare_routes(r, now);
    r->change->config = r->wanted->config;
    const struct sona_sidecar_command command = {
        .desk = &sidecar->desk, .request.what = SONA_SIDECAR_CONFIGURE, .change = r->change};
    if (!sona_sidecar_commands_put(&sidecar->asked, &command)) {
        sona_sidecar_log(SONA_SIDECAR_ERROR, "config_refused",
                         "reason=\"%u commands wait already; send SIGHUP again\"",
                         SONA_SIDECAR_COMMANDS_MAX);
        sona_sidecar_reload_close(r);
        return;
    }
    sona_sidecar_wake_notify(&sidecar->stream.wake);
}

/* What is in effect from now on; the rest stays what it was at the start. */
static void take_over(struct sona_sidecar *s, const struct sona_sidecar_reload *r)
{
    struct sona_sidecar_options *o = s->options;
    const struct sona_sidecar_options *wanted = r->wanted;

#define TAKE(name) o->config.name = wanted->config.name;
    SONA_CONFIG_LIVE_FIELDS(TAKE)
#undef TAKE
    o->log_level = wanted->log_level;
    o->lanes_max = s->clients.lanes_max = wanted->lanes_max;
    sona_sidecar_log_level((enum sona_sidecar_level)o->log_level);
    for (uint32_t i = 0; i < sona_sidecar_setting_count(); i++)
        if (sona_sidecar_setting_live(&sona_sidecar_settings[i]))
            memcpy(o->where[i], wanted->where[i], sizeof o->where[i]);
    for (uint32_t k = 0; k < r->change->n_routes; k++) {
        uint32_t at = find(o, r->change->route[k].name);

        if (at < o->n_routes)
            o->routes[at].cost = r->change->route[k].cost;
        else if (o->n_routes < SONA_ROUTES_MAX)
            o->routes[o->n_routes++] = r->change->route[k];
    }
}

void sona_sidecar_reload_done(struct sona_sidecar_reload *reload, struct sona_sidecar *sidecar,
                              const struct sona_sidecar_command *command)
{
    struct sona_sidecar_reload *r = reload;

    take_over(sidecar, r);
    sona_sidecar_roster_renew(sidecar);
    if (command->diag.code != SONA_OK)
        sona_sidecar_log(SONA_SIDECAR_ERROR, "config_route", "reason=\"%s\"", command->diag.text);
    sona_sidecar_log(SONA_SIDECAR_INFO, "config_reloaded", "changed=%u need_restart=%u", r->changed,
                     r->restart);
    sona_sidecar_reload_close(r);
}
