/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/*
 * How much each predictor is trusted: least squares of the outcomes on the centred terms and their
 * means, forgetting slowly, pulled towards a prior.
 *
 *     q - m_a = B . (f_1..f_4, mean_1..mean_4) + e
 */
#include <math.h>
#include <string.h>

#include "engine/learner/linalg.h"
#include "engine/learner/state.h"

#define STACK_KEEP  0.999  /* per outcome: the last thousand count */
#define STACK_PRIOR 3.0    /* precision of the prior */
#define STACK_LEAK  0.1    /* share of it that never fades */
#define STACK_FROM  16u    /* outcomes before the first step */
#define MSE_KEEP    200.0f /* outcomes that the error level averages over */

/* Trust in head, refit, patterns and MicroLoRA, and in their means. */
static const double start[SONA_MODEL_STACK] = {0.2, 0.5, 0.5, 1.0, 0.5, 0.5, 0.0, 0.0};

void sona_learner_stack_init(struct sona_learner *l)
{
    memset(&l->stack, 0, sizeof l->stack);
    for (uint32_t i = 0; i < SONA_MODEL_STACK; i++) {
        l->stack.precision[i][i] = STACK_PRIOR;
        l->stack.moment[i] = STACK_PRIOR * start[i];
        sona_learner_head(l)->stack[i] = (float)start[i];
    }
}

static void learn_weights(struct sona_learner *l, const double *f, double target)
{
    struct sona_learner_stack *s = &l->stack;
    double weights[SONA_MODEL_STACK];
    /* What is forgotten is replaced by a share of the prior: the precision has a floor. */
    double leak = (1 - STACK_KEEP) * STACK_PRIOR * STACK_LEAK;

    for (uint32_t i = 0; i < SONA_MODEL_STACK; i++) {
        for (uint32_t j = 0; j < SONA_MODEL_STACK; j++)
            s->precision[i][j] = STACK_KEEP * s->precision[i][j] + f[i] * f[j];
        s->precision[i][i] += leak;
        s->moment[i] = STACK_KEEP * s->moment[i] + f[i] * target + leak * start[i];
    }
    if (!sona_learner_solve(&s->precision[0][0], SONA_MODEL_STACK, SONA_MODEL_STACK, s->moment,
                            weights))
        return;
    for (uint32_t i = 0; i < SONA_MODEL_STACK; i++)
        sona_learner_head(l)->stack[i] = sona_model_clamp((float)weights[i], -1e3f, 1e3f);
}

float sona_learner_stack_learn(struct sona_learner *l, const struct sona_model_scores *scores,
                               uint32_t k, float quality, float *ret_rest)
{
    struct sona_model_hot *head = sona_learner_head(l);
    double f[SONA_MODEL_STACK];
    float micro =
        sona_model_clamp(head->stack[3], 0, 1.5f) * (scores->term[3][k] - scores->term_mean[3]);
    float e = sona_model_clamp(quality - scores->quality[k], -2, 2);
    float count = (float)(head->outcomes < 1000000 ? head->outcomes : 1000000);
    float rate = 1 / (count + 4 < MSE_KEEP ? count + 4 : MSE_KEEP);

    *ret_rest = scores->quality[k] - micro;
    for (uint32_t j = 0; j < 4; j++) {
        /* Terms beyond any sensible quality say that a head exploded, not that it is right. */
        f[4 + j] = (double)sona_model_clamp(scores->term_mean[j], -4, 4);
        f[j] = (double)sona_model_clamp(scores->term[j][k] - scores->term_mean[j], -4, 4);
    }
    head->mse += rate * (e * e - head->mse);
    if (head->outcomes > STACK_FROM)
        learn_weights(l, f, (double)(quality - sona_learner_row(l, k)->mean));
    return e;
}
