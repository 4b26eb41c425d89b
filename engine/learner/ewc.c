/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/*
 * EWC++: what earlier tasks taught the AdaGrad heads holds on to them while the next one is learned
 * (Kirkpatrick et al., arXiv 1612.00796).
 *
 *     outcome of route k ──► Fisher of the task under way      F_k += (g^2 - F_k) / samples
 *                        ──► hold    w = (w + eta L F w*) / (1 + eta L F),   eta = AdaGrad's step
 *                        ──► ask one kept outcome of an older task again: L grows when the heads
 *                            got worse at those, and falls otherwise
 *     boundary           ──► the weights of now become an anchor w*, with the Fisher of the task
 *
 * Which weights: the heads, and their biases. They alone are moved by one gradient step an outcome
 * and never made anew, so what a task wrote into them the next one overwrites. Refit heads and
 * patterns are solved from the replay at every cycle, where an anchor would be one more ridge;
 * MicroLoRA is folded away by every cycle; means and counts are sums.
 *
 * The hold is a proximal step, the exact minimum of |w' - w|^2 / (2 eta) + L/2 F (w' - w*)^2 for
 * each weight: it lies between w and w* whatever L is. A step down the gradient of the penalty
 * overshoots once eta L F > 1 and explodes beyond 2, and a bias has F of the size of e^2.
 *
 * The memory, one for each regime when the gate is on (regime.c stores it with the heads):
 *
 *     struct sona_learner_ewc | figures per route | kept outcomes and their x
 *         | Fisher of the task under way | total F | centre | tasks: F and w* of each
 *
 * All tables have a row per route and a float per weight, the bias behind the last one. A sum of
 * quadratics is a quadratic: total F = sum F_t and centre = sum F_t w_t / sum F_t are all that the
 * hold reads, and `apart` is the constant that is left. With ewc_online they are the memory: at a
 * boundary F = gamma F + F_t and the centre is where the weights are (arXiv 1805.06370, section 4).
 *
 * Invariants: 0 <= F <= FISHER_MAX; a hold moves no weight beyond its centre; at most
 * ewc_tasks_max tasks are kept, those that ended last. Before the first boundary, and for lambda 0,
 * no weight is touched.
 */
#include <math.h>
#include <string.h>

#include "engine/learner/state.h"

#define FISHER_MAX   1e10f /* more than one outcome can say */
#define ERROR_MAX    4.0f  /* as of the heads */
#define STRENGTH_MIN 0.015625f
#define STRENGTH_MAX 8.0f
#define ASK_RATE     0.05f /* share of one answer in the moving excess */
#define ASK_SLACK    0.01f /* squared error that is nothing */
#define ASK_MOST     0.05f /* change of lambda by one answer */
#define UNSURE       32u   /* newest outcomes: of the next task, perhaps, as the alarm is late */

/* Floats of a row: the weights, the bias, and nothing up to the next 64 bytes. */
static size_t stride(const struct sona_learner *l)
{
    return l->layout.dim_padded + 16;
}

void sona_learner_ewc_place(struct sona_learner *l, const sona_config *config, size_t *end)
{
    size_t routes = l->layout.geometry.routes_max, vector = l->layout.dim_padded * sizeof(float);
    size_t table = routes * stride(l) * sizeof(float);
    uint32_t tasks = config->ewc_online ? 0 : config->ewc_tasks_max;
    bool on = config->ewc;
    struct sona_learner_ewc_places *at = &l->ewc;

    sona_learner_place(end, &at->head, on ? sizeof(struct sona_learner_ewc) : 0);
    sona_learner_place(end, &at->route, on ? routes * sizeof(struct sona_learner_ewc_route) : 0);
    sona_learner_place(end, &at->probe,
                       on ? SONA_LEARNER_PROBES * sizeof(struct sona_learner_ewc_probe) : 0);
    sona_learner_place(end, &at->probe_x, on ? SONA_LEARNER_PROBES * vector : 0);
    sona_learner_place(end, &at->fisher, on ? table : 0);
    sona_learner_place(end, &at->total, on ? table : 0);
    sona_learner_place(end, &at->centre, on ? table : 0);
    sona_learner_place(end, &at->tasks, on ? 2 * tasks * table : 0);
    at->bytes = *end - at->head;
}

static struct sona_learner_ewc *memory(const struct sona_learner *l)
{
    return (void *)((unsigned char *)(uintptr_t)l + l->ewc.head);
}

static struct sona_learner_ewc_route *figures(const struct sona_learner *l, uint32_t k)
{
    return (struct sona_learner_ewc_route *)(void *)((unsigned char *)(uintptr_t)l + l->ewc.route) +
           k;
}

static struct sona_learner_ewc_probe *probe(const struct sona_learner *l, uint32_t i)
{
    return (struct sona_learner_ewc_probe *)(void *)((unsigned char *)(uintptr_t)l + l->ewc.probe) +
           i;
}

static float *probe_x(const struct sona_learner *l, uint32_t i)
{
    return sona_learner_floats(l, l->ewc.probe_x) + (size_t)i * l->layout.dim_padded;
}

static float *row(const struct sona_learner *l, size_t table, uint32_t k)
{
    return sona_learner_floats(l, table) + k * stride(l);
}

/* Importances and anchor of task t. */
static float *task_row(const struct sona_learner *l, uint32_t t, bool anchor, uint32_t k)
{
    size_t rows = 2 * (size_t)t + anchor;

    return row(l, l->ewc.tasks, 0) + (rows * l->layout.geometry.routes_max + k) * stride(l);
}

static bool enabled(const struct sona_learner *l, uint32_t k)
{
    return sona_learner_row(l, k)->state == SONA_ROUTE_ENABLED;
}

/* lambda as it is now. */
static float lambda(const struct sona_learner *l)
{
    return l->config.ewc_lambda * memory(l)->strength;
}

static float weight(const struct sona_learner *l, uint32_t k, uint32_t i)
{
    return i == l->layout.dim_padded ? sona_learner_row(l, k)->bias
                                     : sona_learner_part(l, k, l->layout.route_head)[i];
}

/* What the hold works on, as a figure: sum F (w - centre)^2, and the sum of F. */
static void measure(struct sona_learner *l, uint32_t k)
{
    const float *f = row(l, l->ewc.total, k), *c = row(l, l->ewc.centre, k);
    struct sona_learner_ewc_route *figure = figures(l, k);
    double sum = 0, distance = 0;

    for (uint32_t i = 0; i <= l->layout.dim_padded; i++) {
        double off = (double)weight(l, k, i) - (double)c[i];

        sum += (double)f[i];
        distance += (double)f[i] * off * off;
    }
    figure->importance = sum;
    figure->distance = distance;
}

void sona_learner_ewc_measure(struct sona_learner *l, uint32_t k)
{
    if (l->config.ewc)
        measure(l, k);
}

/* ---- an outcome ---- */

static void estimate(struct sona_learner *l, uint32_t k, const float *x, float error)
{
    struct sona_learner_ewc_route *figure = figures(l, k);
    float *f = row(l, l->ewc.fisher, k);
    float share = 1 / (float)l->config.ewc_fisher_samples;
    /* The first ones are summed: a route of few outcomes is as little certain of its importances.
     */
    float keep = figure->seen < l->config.ewc_fisher_samples ? 1 : 1 - share;

    figure->seen += figure->seen < UINT32_MAX;
    for (uint32_t i = 0; i < l->layout.dim_padded; i++) {
        float g = error * x[i];

        f[i] = keep * f[i] + share * g * g;
    }
    f[l->layout.dim_padded] = keep * f[l->layout.dim_padded] + share * error * error;
}

static float held(float w, float f, float centre, float grad2, float strength)
{
    float pull = strength * f * SONA_LEARNER_RATE / sqrtf(grad2 + SONA_LEARNER_EPSILON);

    return (w + pull * centre) / (1 + pull);
}

static void hold(struct sona_learner *l, uint32_t k)
{
    const float *f = row(l, l->ewc.total, k), *c = row(l, l->ewc.centre, k);
    const float *grad2 = sona_learner_floats(l, l->grad2) + (size_t)k * l->layout.dim_padded;
    float *w = sona_learner_part(l, k, l->layout.route_head);
    float *bias = &sona_learner_row(l, k)->bias, strength = lambda(l);
    uint32_t n = l->layout.dim_padded;

    if (!(strength > 0) || !(figures(l, k)->importance > 0))
        return;
    for (uint32_t i = 0; i < n; i++)
        w[i] = held(w[i], f[i], c[i], grad2[i], strength);
    *bias = held(*bias, f[n], c[n], sona_learner_routes(l)[k].bias_grad2, strength);
    sona_learner_heads_bound(w, n);
    measure(l, k);
    l->counter[SONA_COUNTER_ewc_holds]++;
}

static float loss(const struct sona_learner *l, uint32_t i)
{
    const struct sona_learner_ewc_probe *p = probe(l, i);
    float e = p->quality - sona_learner_row(l, p->route)->bias -
              sona_kernels_active()->dot(sona_learner_part(l, p->route, l->layout.route_head),
                                         probe_x(l, i), l->layout.dim_padded);

    e = sona_model_clamp(e, -ERROR_MAX, ERROR_MAX);
    return e * e;
}

/* The multiplier of a constraint, "older outcomes are predicted no worse than they were", found as
 * constrained optimisation does (Platt and Barr 1988; the constraint is that of arXiv 1706.08840):
 * it grows while the constraint is violated, and falls while it holds. */
static void adapt(struct sona_learner *l)
{
    struct sona_learner_ewc *m = memory(l);
    uint32_t i = m->asked++ % SONA_LEARNER_PROBES;

    if (probe(l, i)->route == SONA_LEARNER_NO_ROUTE)
        return;
    m->excess += ASK_RATE * (loss(l, i) - probe(l, i)->loss - m->excess);
    m->strength = sona_model_clamp(
        m->strength * (1 + sona_model_clamp(m->excess - ASK_SLACK, -ASK_MOST, ASK_MOST)),
        STRENGTH_MIN, STRENGTH_MAX);
}

void sona_learner_ewc_learn(struct sona_learner *l, uint32_t k, const float *x, float error)
{
    if (!l->config.ewc)
        return;
    memory(l)->outcomes++;
    estimate(l, k, x, error);
    if (memory(l)->tasks == 0)
        return;
    hold(l, k);
    adapt(l);
}

/* ---- the end of a task ---- */

/* Outcomes of the task that ends, in place of those of earlier ones with probability 1 / (tasks so
 * far): each task keeps its share (reservoir sampling, Vitter 1985). Spread over what the replay
 * has of it, but for the newest. */
static void keep_probes(struct sona_learner *l)
{
    struct sona_learner_ewc *m = memory(l);
    uint64_t stream = SONA_LEARNER_STREAM_EWC + m->ended;
    uint64_t n = m->outcomes < l->replay_count ? m->outcomes : l->replay_count;

    for (uint32_t i = 0; i < SONA_LEARNER_PROBES; i++) {
        const struct sona_learner_entry *entry;
        uint32_t back, slot;

        if (m->ended == 0)
            probe(l, i)->route = SONA_LEARNER_NO_ROUTE;
        if (n <= UNSURE || sona_model_random(l->config.seed, stream, i) % (m->ended + 1) != 0)
            continue;
        back = UNSURE + (uint32_t)((n - UNSURE) * i / SONA_LEARNER_PROBES) + 1;
        slot = (l->replay_next + l->replay_capacity - back) % l->replay_capacity;
        entry = &sona_learner_entries(l)[slot];
        if (sona_learner_entry_gone(entry) || entry->route == SONA_LEARNER_NO_ROUTE)
            continue;
        *probe(l, i) =
            (struct sona_learner_ewc_probe){.route = entry->route, .quality = entry->quality};
        memcpy(probe_x(l, i), sona_learner_replay_x(l, slot), l->layout.dim_padded * sizeof(float));
        probe(l, i)->loss = loss(l, i);
    }
}

/* One anchor for all tasks: earlier importances fade, and the centre is here. */
static void merge_route(struct sona_learner *l, uint32_t k)
{
    const float *fisher = row(l, l->ewc.fisher, k);
    float *f = row(l, l->ewc.total, k), *c = row(l, l->ewc.centre, k);

    for (uint32_t i = 0; i <= l->layout.dim_padded; i++) {
        f[i] = sona_model_clamp(l->config.ewc_gamma * f[i] + fisher[i], 0, FISHER_MAX);
        c[i] = weight(l, k, i);
    }
}

/* The quadratic that the quadratics of all tasks sum to. */
static void sum_route(struct sona_learner *l, uint32_t k)
{
    float *f = row(l, l->ewc.total, k), *c = row(l, l->ewc.centre, k);
    double apart = 0;

    for (uint32_t i = 0; i <= l->layout.dim_padded; i++) {
        double sum = 0, moment = 0, centre;

        for (uint32_t t = 0; t < memory(l)->tasks; t++) {
            double importance = (double)task_row(l, t, false, k)[i];

            sum += importance;
            moment += importance * (double)task_row(l, t, true, k)[i];
        }
        centre = sum > 0 ? moment / sum : 0;
        for (uint32_t t = 0; t < memory(l)->tasks; t++) {
            double off = (double)task_row(l, t, true, k)[i] - centre;

            apart += (double)task_row(l, t, false, k)[i] * off * off;
        }
        f[i] = sona_model_clamp((float)sum, 0, FISHER_MAX);
        c[i] = (float)centre;
    }
    figures(l, k)->apart = apart;
}

/* The ring of tasks: the oldest gives way. */
static void push_task(struct sona_learner *l)
{
    struct sona_learner_ewc *m = memory(l);
    uint32_t slot = m->next;

    m->next = (slot + 1) % l->config.ewc_tasks_max;
    if (m->tasks < l->config.ewc_tasks_max)
        m->tasks++;
    else
        l->counter[SONA_COUNTER_ewc_forgotten]++;
    for (uint32_t k = 0; k < sona_learner_head(l)->n_routes; k++) {
        float *anchor = task_row(l, slot, true, k);

        memcpy(task_row(l, slot, false, k), row(l, l->ewc.fisher, k), stride(l) * sizeof(float));
        for (uint32_t i = 0; i <= l->layout.dim_padded; i++)
            anchor[i] = enabled(l, k) ? weight(l, k, i) : 0;
        sum_route(l, k);
    }
}

/* With the gate on, the statistics want to know of regimes that are stored. */
static void note_tasks(struct sona_learner *l)
{
    sona_learner_regimes(l)[l->gate.active].tasks = memory(l)->tasks;
}

bool sona_learner_ewc_boundary(struct sona_learner *l)
{
    struct sona_learner_ewc *m;

    if (!l->config.ewc || memory(l)->outcomes == 0)
        return false;
    m = memory(l);
    if (m->tasks == 0)
        m->strength = 1;
    keep_probes(l);
    if (l->config.ewc_online) {
        m->tasks += m->tasks < UINT32_MAX;
        for (uint32_t k = 0; k < sona_learner_head(l)->n_routes; k++)
            if (enabled(l, k))
                merge_route(l, k);
    } else {
        push_task(l);
    }
    memset(sona_learner_floats(l, l->ewc.fisher), 0, l->ewc.total - l->ewc.fisher);
    for (uint32_t k = 0; k < sona_learner_head(l)->n_routes; k++) {
        figures(l, k)->seen = 0;
        measure(l, k);
    }
    m->outcomes = 0;
    m->excess = 0;
    m->ended++;
    note_tasks(l);
    l->counter[SONA_COUNTER_ewc_boundaries]++;
    return true;
}

bool sona_learner_ewc_consolidate(struct sona_learner *l)
{
    struct sona_learner_ewc *m;
    size_t bytes = stride(l) * sizeof(float);

    if (!l->config.ewc || memory(l)->tasks < 2)
        return false;
    m = memory(l);
    m->tasks = 1;
    for (uint32_t k = 0; k < sona_learner_head(l)->n_routes && !l->config.ewc_online; k++) {
        memcpy(task_row(l, 0, false, k), row(l, l->ewc.total, k), bytes);
        memcpy(task_row(l, 0, true, k), row(l, l->ewc.centre, k), bytes);
        figures(l, k)->apart = 0;
    }
    m->next = l->config.ewc_online ? 0 : 1 % l->config.ewc_tasks_max;
    note_tasks(l);
    l->counter[SONA_COUNTER_ewc_consolidations]++;
    return true;
}

/* ---- routes that are not what they were ---- */

static void scale(float *at, size_t n, float factor)
{
    for (size_t i = 0; i < n; i++)
        at[i] *= factor;
}

void sona_learner_ewc_discount(struct sona_learner *l, uint32_t k, float factor)
{
    if (!l->config.ewc)
        return;
    scale(row(l, l->ewc.fisher, k), stride(l), factor);
    scale(row(l, l->ewc.total, k), stride(l), factor);
    for (uint32_t t = 0; t < memory(l)->tasks && !l->config.ewc_online; t++)
        scale(task_row(l, t, false, k), stride(l), factor);
    figures(l, k)->apart *= (double)factor;
    measure(l, k);
}

void sona_learner_ewc_forget(struct sona_learner *l, uint32_t k)
{
    size_t bytes = stride(l) * sizeof(float);

    if (!l->config.ewc)
        return;
    memset(figures(l, k), 0, sizeof *figures(l, k));
    memset(row(l, l->ewc.fisher, k), 0, bytes);
    memset(row(l, l->ewc.total, k), 0, bytes);
    memset(row(l, l->ewc.centre, k), 0, bytes);
    for (uint32_t t = 0; t < l->config.ewc_tasks_max && !l->config.ewc_online; t++)
        for (int anchor = 0; anchor < 2; anchor++)
            memset(task_row(l, t, anchor, k), 0, bytes);
    for (uint32_t i = 0; i < SONA_LEARNER_PROBES && memory(l)->ended > 0; i++)
        if (probe(l, i)->route == k)
            probe(l, i)->route = SONA_LEARNER_NO_ROUTE;
}

/* ---- what people ask ---- */

static uint32_t tasks_of_all(const struct sona_learner *l)
{
    uint32_t n = 0;

    for (uint32_t r = 0; r < l->config.regimes_max && l->config.gate; r++)
        n += sona_learner_regimes(l)[r].tasks;
    return l->config.gate ? n : memory(l)->tasks;
}

void sona_learner_ewc_state(const struct sona_learner *l, sona_ewc *ret)
{
    double sum = 0;

    memset(ret, 0, sizeof *ret);
    if (!l->config.ewc)
        return;
    for (uint32_t k = 0; k < sona_learner_head(l)->n_routes; k++)
        sum += figures(l, k)->distance + figures(l, k)->apart;
    ret->enabled = true;
    ret->online = l->config.ewc_online;
    ret->tasks = tasks_of_all(l);
    ret->boundaries = l->counter[SONA_COUNTER_ewc_boundaries];
    ret->outcomes = memory(l)->outcomes;
    ret->lambda = (double)(memory(l)->tasks > 0 ? lambda(l) : l->config.ewc_lambda);
    ret->penalty = memory(l)->tasks > 0 ? 0.5 * (double)lambda(l) * sum : 0;
    ret->excess = (double)memory(l)->excess;
}

void sona_learner_ewc_importance(const struct sona_learner *l, uint32_t k, float *ret,
                                 float *ret_bias)
{
    *ret_bias = 0;
    memset(ret, 0, l->layout.geometry.dim * sizeof *ret);
    if (!l->config.ewc)
        return;
    memcpy(ret, row(l, l->ewc.total, k), l->layout.geometry.dim * sizeof *ret);
    *ret_bias = row(l, l->ewc.total, k)[l->layout.dim_padded];
}

/* Insert by falling importance; those that come first stay first. */
static uint32_t rank(sona_ewc_weight *list, uint32_t count, uint32_t capacity,
                     const sona_ewc_weight *one)
{
    uint32_t at = count;

    if (count == capacity && !(one->importance > list[count - 1].importance))
        return count;
    if (count == capacity)
        at = --count;
    for (; at > 0 && list[at - 1].importance < one->importance; at--)
        list[at] = list[at - 1];
    list[at] = *one;
    return count + 1;
}

uint32_t sona_learner_ewc_top(const struct sona_learner *l, uint32_t capacity, sona_ewc_weight *ret)
{
    uint32_t count = 0, n = l->layout.dim_padded;

    for (uint32_t k = 0; l->config.ewc && capacity > 0 && k < sona_learner_head(l)->n_routes; k++)
        for (uint32_t i = 0; i <= n && enabled(l, k); i++) {
            sona_ewc_weight one = {.route = sona_learner_row(l, k)->id,
                                   .index = i == n ? SONA_EWC_BIAS : i,
                                   .importance = row(l, l->ewc.total, k)[i],
                                   .weight = weight(l, k, i),
                                   .anchor = row(l, l->ewc.centre, k)[i]};

            if (one.importance > 0)
                count = rank(ret, count, capacity, &one);
        }
    return count;
}

/* ---- loading ---- */

static bool between(const float *values, size_t count, float low, float high)
{
    for (size_t i = 0; i < count; i++)
        if (!(values[i] >= low && values[i] <= high))
            return false;
    return true;
}

static bool probes_are_sound(const struct sona_learner *l)
{
    for (uint32_t i = 0; i < SONA_LEARNER_PROBES; i++) {
        const struct sona_learner_ewc_probe *p = probe(l, i);

        if ((p->route != SONA_LEARNER_NO_ROUTE && p->route >= l->layout.geometry.routes_max) ||
            !between(&p->quality, 1, 0, 1) || !between(&p->loss, 1, 0, ERROR_MAX * ERROR_MAX))
            return false;
    }
    return sona_learner_rows_are_bounded(probe_x(l, 0), SONA_LEARNER_PROBES, l->layout.dim_padded);
}

static bool figures_are_sound(const struct sona_learner *l)
{
    for (uint32_t k = 0; k < l->layout.geometry.routes_max; k++) {
        const struct sona_learner_ewc_route *f = figures(l, k);

        if (!(f->importance >= 0 && f->distance >= 0 && f->apart >= 0) ||
            !isfinite(f->importance + f->distance + f->apart))
            return false;
    }
    return true;
}

bool sona_learner_ewc_is_sound(const struct sona_learner *l)
{
    const struct sona_learner_ewc *m = memory(l);
    size_t table = l->layout.geometry.routes_max * stride(l);
    uint32_t most = l->config.ewc_tasks_max;
    const float *task = sona_learner_floats(l, l->ewc.tasks), wide = 2 * SONA_MODEL_NORM_MAX;

    if (!l->config.ewc)
        return true;
    if (!between(&m->strength, 1, m->ended > 0 ? STRENGTH_MIN : 0, STRENGTH_MAX) ||
        !between(&m->excess, 1, -ERROR_MAX * ERROR_MAX, ERROR_MAX * ERROR_MAX) ||
        m->tasks > m->ended || !probes_are_sound(l) || !figures_are_sound(l) ||
        !between(sona_learner_floats(l, l->ewc.fisher), table, 0, FISHER_MAX) ||
        !between(sona_learner_floats(l, l->ewc.total), table, 0, FISHER_MAX) ||
        !between(sona_learner_floats(l, l->ewc.centre), table, -wide, wide))
        return false;
    if (l->config.ewc_online)
        return true;
    for (uint32_t t = 0; t < most; t++)
        if (!between(task + 2 * t * table, table, 0, FISHER_MAX) ||
            !between(task + (2 * t + 1) * table, table, -wide, wide))
            return false;
    return m->tasks <= most && m->next < most;
}
