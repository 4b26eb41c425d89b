/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/*
 * Statistics as JSON: the one writer for engine and sidecar. Every key is a name from this program,
 * so that only the text of `simd` could need escaping, and it is a kernel's name.
 *
 * Numbers are written in the C locale's way whatever the program's locale is, since JSON knows no
 * other; what is not finite is null.
 */
#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <sona/stats.h>

/* Text that may be longer than its buffer: `length` counts on. */
struct text {
    char *at;
    size_t size, length;
};

__attribute__((format(printf, 2, 3))) static void put(struct text *text, const char *format, ...)
{
    size_t left = text->length < text->size ? text->size - text->length : 0;
    va_list args;
    int n;

    va_start(args, format);
    n = vsnprintf(left > 0 ? text->at + text->length : NULL, left, format, args);
    va_end(args);
    if (n > 0)
        text->length += (size_t)n;
}

/* A new member: a comma before all but the first. */
static void put_key(struct text *text, const char *key)
{
    put(text, "%s\"%s\":", text->length > 1 ? "," : "", key);
}

static void put_whole(struct text *text, const char *key, uint64_t value)
{
    put_key(text, key);
    put(text, "%" PRIu64, value);
}

static void put_flag(struct text *text, const char *key, bool value)
{
    put_key(text, key);
    put(text, "%s", value ? "true" : "false");
}

/* A number that reads back as the same double, with a point and never a whole number's look. */
static void put_number(struct text *text, double value)
{
    char digits[40], plain[40];
    size_t n = 0;

    if (!isfinite(value)) {
        put(text, "null");
        return;
    }
    (void)snprintf(digits, sizeof digits, "%.17g", value);
    for (const char *c = digits; *c != '\0'; c++) {
        if (strchr("0123456789+-eE", *c) != NULL)
            plain[n++] = *c;
        else if (n > 0 && plain[n - 1] != '.') /* a point of any locale, however many bytes */
            plain[n++] = '.';
    }
    plain[n] = '\0';
    put(text, "%s%s", plain, strpbrk(plain, ".e") == NULL ? ".0" : "");
}

static void put_real(struct text *text, const char *key, double value)
{
    put_key(text, key);
    put_number(text, value);
}

static void put_gauges(struct text *text, const sona_stats *stats)
{
    put_whole(text, "step", stats->step);
    put_whole(text, "version", stats->version);
    put_whole(text, "pending", stats->pending);
    put_whole(text, "parked_now", stats->parked_now);
    put_whole(text, "replay_length", stats->replay_length);
    put_whole(text, "layers_trained", stats->layers_trained);
    put_whole(text, "memory_bytes", stats->memory_bytes);
    put_whole(text, "routes_enabled", stats->routes);
    put_whole(text, "patterns", stats->patterns);
    put_whole(text, "tenants", stats->tenants);
    put_real(text, "tenant_spread", stats->tenant_spread);
    put_whole(text, "clients", stats->clients);
    put_whole(text, "lanes", stats->lanes);
    put_real(text, "mean_quality", stats->mean_quality);
    put_real(text, "recent_quality", stats->recent_quality);
    put_real(text, "mse", stats->mse);
    put_key(text, "stack");
    for (int j = 0; j < 4; j++) {
        put(text, "%s", j == 0 ? "[" : ",");
        put_number(text, stats->stack[j]);
    }
    put(text, "]");
    put_real(text, "micro_norm", stats->micro_norm);
    put_real(text, "base_norm", stats->base_norm);
    put_real(text, "fold_discarded", stats->fold_discarded);
    put_real(text, "last_cycle_ms", stats->last_cycle_ms);
    put_whole(text, "regimes", stats->regimes);
    put_whole(text, "regime", stats->regime);
    put_whole(text, "ewc_tasks", stats->ewc_tasks);
    put_real(text, "ewc_lambda", stats->ewc_lambda);
    put_real(text, "ewc_penalty", stats->ewc_penalty);
    put_key(text, "simd");
    put(text, "\"%s\"", stats->simd != NULL ? stats->simd : "");
}

static void put_nodes(struct text *text, const sona_stats *stats)
{
    put_key(text, "nodes");
    put(text, "[");
    for (uint32_t i = 0; i < stats->n_nodes && i <= SONA_NODES_MAX; i++) {
        const sona_node_stats *node = &stats->node[i];

        put(text, "%s{\"node\":%" PRIu32 ",\"steps\":%" PRIu64 ",\"mean_score\":", i > 0 ? "," : "",
            node->node, node->steps);
        put_number(text, node->mean_score);
        put(text, ",\"mean_reward\":");
        put_number(text, node->mean_reward);
        put(text, ",\"mean_latency_us\":");
        put_number(text, node->mean_latency_us);
        put(text, "}");
    }
    put(text, "]");
}

static double share(uint64_t part, uint64_t whole, double of_nothing)
{
    return whole > 0 ? (double)part / (double)whole : of_nothing;
}

/* The names by which programs of the seeds read the same figures; those that are a counter's or a
 * gauge's name, too, stand among these. */
static void put_aliases(struct text *text, const sona_stats *stats, bool instant, bool background)
{
    const uint64_t *c = stats->counter;
    uint64_t lost = c[SONA_COUNTER_drop_client_full] + c[SONA_COUNTER_drop_client_detached];
    uint64_t dropped = c[SONA_COUNTER_drop_evicted] + c[SONA_COUNTER_drop_abandoned] + lost;
    uint64_t requests = c[SONA_COUNTER_decisions] + c[SONA_COUNTER_trajectories];
    uint64_t thumbs = c[SONA_COUNTER_positive_feedback] + c[SONA_COUNTER_negative_feedback];

    put_whole(text, "trajectories_recorded", c[SONA_COUNTER_trajectories]);
    put_whole(text, "patterns_stored", stats->patterns);
    put_whole(text, "patterns_extracted", stats->patterns);
    put_whole(text, "learning_cycles", c[SONA_COUNTER_background_cycles]);
    put_whole(text, "trajectories_buffered", stats->pending);
    put_whole(text, "trajectories_dropped", dropped);
    put_real(text, "buffer_success_rate", 1 - share(dropped, requests + lost, 0));
    put_flag(text, "instant_enabled", instant);
    put_flag(text, "background_enabled", background);
    put_whole(text, "total_requests", requests);
    put_whole(text, "total_learning_cycles", c[SONA_COUNTER_background_cycles]);
    put_real(text, "avg_latency_us",
             share(c[SONA_COUNTER_latency_us], c[SONA_COUNTER_latencies], 0));
    put_real(text, "feedback_ratio", share(c[SONA_COUNTER_positive_feedback], thumbs, 0));
}

sona_err sona_stats_json(const sona_stats *stats, bool instant, bool background, char *buffer,
                         size_t size, size_t *ret_bytes)
{
    struct text text = {.at = buffer, .size = size};

    if (stats == NULL || ret_bytes == NULL || (buffer == NULL && size > 0))
        return SONA_E_ARGUMENT;
    put(&text, "{");
    for (int i = 0; i < SONA_COUNTER_COUNT; i++)
        put_whole(&text, sona_counter_name((sona_counter)i), stats->counter[i]);
    put_gauges(&text, stats);
    put_nodes(&text, stats);
    put_aliases(&text, stats, instant, background);
    put(&text, "}");
    *ret_bytes = text.length + 1;
    return text.length < size ? SONA_OK : SONA_E_LIMIT;
}
