/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/**
 * @file signal.h
 * Learning signals: feedback in the words of the seeds, for sona_learn() and sona_engine_learn().
 *
 *     sona_signal signal = sona_signal_positive(120, SONA_THUMBS_UP);
 *     sona_learn(lane, &signal, &effect);              about the lane's last decision
 *
 *     sona_signal signal = sona_signal_about(sona_signal_negative(90, SONA_REGENERATE), d.id);
 *     sona_learn(lane, &signal, NULL);                 about that one
 */
#ifndef SONA_SIGNAL_H
#define SONA_SIGNAL_H

#include <stdbool.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* What buttons are worth. */
#define SONA_THUMBS_UP   0.9f
#define SONA_REGENERATE  0.4f
#define SONA_THUMBS_DOWN 0.2f

typedef enum sona_signal_kind {
    SONA_SIGNAL_POSITIVE = 0,
    SONA_SIGNAL_NEGATIVE = 1,
    SONA_SIGNAL_FEEDBACK = 2,
    SONA_SIGNAL_TRAJECTORY = 3
} sona_signal_kind;

/** What a signal was taken to be about. */
typedef enum sona_signal_effect {
    SONA_SIGNAL_NAMED = 0,   /**< the decision or trajectory whose id it carries */
    SONA_SIGNAL_LAST = 1,    /**< the last recorded decision of the lane, or engine */
    SONA_SIGNAL_BASELINE = 2 /**< none is known: it moved the global reward baseline alone */
} sona_signal_effect;

/** A signal. Made by the functions below; every member may be read. */
typedef struct sona_signal {
    sona_signal_kind kind;
    bool success;          /**< as the caller saw it; for people, the quality is what teaches */
    float quality;         /**< 0..1 */
    float latency_ms;      /**< 0: not known */
    uint64_t id;           /**< of a decision or trajectory; 0: not named */
    const float *gradient; /**< null, or a direction of n_gradient floats, borrowed for the call */
    uint32_t n_gradient;   /**< the dimension of an embedding */
} sona_signal;

/** Return the signal's latency in whole microseconds, as records carry it. */
static inline uint32_t sona_signal_latency_us(const sona_signal *signal)
{
    return signal->latency_ms < 4000000.0f ? (uint32_t)(signal->latency_ms * 1000.0f) : UINT32_MAX;
}

/** Feedback: whether it worked, how long it took, how good it was (0..1). */
static inline sona_signal sona_signal_feedback(bool success, float latency_ms, float quality)
{
    sona_signal signal = {SONA_SIGNAL_FEEDBACK, success, quality, latency_ms, 0, 0, 0};

    return signal;
}

/** Good feedback, such as SONA_THUMBS_UP. */
static inline sona_signal sona_signal_positive(float latency_ms, float quality)
{
    sona_signal signal = sona_signal_feedback(true, latency_ms, quality);

    signal.kind = SONA_SIGNAL_POSITIVE;
    return signal;
}

/** Bad feedback, such as SONA_THUMBS_DOWN or SONA_REGENERATE. It teaches as much as good one. */
static inline sona_signal sona_signal_negative(float latency_ms, float quality)
{
    sona_signal signal = sona_signal_feedback(false, latency_ms, quality);

    signal.kind = SONA_SIGNAL_NEGATIVE;
    return signal;
}

/** The same signal about decision or trajectory @p id. */
static inline sona_signal sona_signal_about(sona_signal signal, uint64_t id)
{
    signal.id = id;
    return signal;
}

/**
 * The end of a trajectory whose steps earned @p rewards: their mean, cut to 0..1, is its quality.
 * It is judged against a running baseline, never against itself, so that one step teaches as well.
 * @param n  at least 1; without steps the quality is SONA_E_NOT_FINITE to whoever is told
 */
static inline sona_signal sona_signal_trajectory(uint64_t id, const float *rewards, uint32_t n)
{
    sona_signal signal = sona_signal_feedback(true, 0, 0);
    double sum = 0;
    uint32_t i;

    for (i = 0; i < n; i++)
        sum += (double)rewards[i];
    sum /= (double)n;
    signal.quality = (float)(sum < 0 ? 0 : sum > 1 ? 1 : sum); /* a NaN stays one */
    signal.kind = SONA_SIGNAL_TRAJECTORY;
    signal.id = id;
    return signal;
}

/**
 * The same signal with a REINFORCE direction: the adapter's y at the query moves along @p gradient
 * when the quality is above the running baseline, against it when it is below (Williams 1992).
 * @param gradient  @p n floats of any length but zero: only the direction counts
 */
static inline sona_signal sona_signal_with_gradient(sona_signal signal, const float *gradient,
                                                    uint32_t n)
{
    signal.gradient = gradient;
    signal.n_gradient = n;
    return signal;
}

#ifdef __cplusplus
}
#endif
#endif
