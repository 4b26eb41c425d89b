/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/*
 * Tenants: who has an adapter of his own, and what it says about a query.
 *
 *     key ──hash──► group g │ 16 keys, 16 row numbers │ and the next group, if g was full
 *                                     │
 *     row   struct sona_model_tenant | A | B' | h_k = s B' w_k per route | bias, n per route
 *
 * The search looks at the keys of two groups, whatever it finds there: it takes the same time for
 * every key, and ends in bytes that are being overwritten too. A row counts only if it bears the
 * key itself, so that a row which changed its owner meanwhile is not taken for somebody else's.
 */
#include "engine/kernels/kernels.h"
#include "engine/model/block.h"
#include "engine/model/model.h"

uint32_t sona_tenant_key(const char *name)
{
    uint32_t key = 2166136261u;

    if (!name || name[0] == 0)
        return 0;
    for (; *name; name++)
        key = (key ^ (unsigned char)*name) * 16777619u;
    return key ? key : 1;
}

/* Keys that callers number themselves must spread as well as hashed names. */
uint32_t sona_model_tenant_group(const struct sona_model_layout *layout, uint32_t key)
{
    uint32_t h = (key ^ key >> 16) * 0x6a09e667u;

    h = (h ^ h >> 15) * 0xbb67ae85u;
    h ^= h >> 16;
    return h & (layout->tenant_index.count - 1);
}

uint32_t sona_model_tenant_find(const struct sona_model_view *view, uint32_t key)
{
    const struct sona_model_layout *l = view->layout;
    uint32_t group;

    if (key == 0 || l->geometry.tenants_max == 0)
        return SONA_MODEL_NO_TENANT;
    group = sona_model_tenant_group(l, key);
    for (uint32_t probe = 0; probe < SONA_MODEL_TENANT_PROBES; probe++) {
        const struct sona_model_tenant_group *g =
            sona_model_tenant_group_at(l, view->hot, (group + probe) & (l->tenant_index.count - 1));

        for (uint32_t i = 0; i < SONA_MODEL_TENANT_GROUP; i++) {
            uint32_t row;

            if (sona_model_word(&g->key[i]) != key)
                continue;
            row = sona_model_word(&g->row[i]);
            if (row < l->geometry.tenants_max &&
                sona_model_word(&sona_model_tenant_row(l, view->hot, row)->key) == key)
                return row;
        }
    }
    return SONA_MODEL_NO_TENANT;
}

/* c = A_T x */
static void code(const struct sona_model_view *view, uint32_t row, const float *x, float *ret)
{
    const struct sona_model_layout *l = view->layout;

    sona_kernels_active()->dot_rows(sona_model_tenant_part(l, view->hot, row, l->tenant_a),
                                    l->dim_padded, l->geometry.tenant_rank, x, l->geometry.dim,
                                    ret);
}

void sona_model_tenant_terms(const struct sona_model_view *view, uint32_t row, const float *x,
                             uint32_t n_routes, float *ret)
{
    const struct sona_model_layout *l = view->layout;
    const float *h = sona_model_tenant_part(l, view->hot, row, l->tenant_heads);
    const float *bias = sona_model_tenant_part(l, view->hot, row, l->tenant_bias);
    float c[SONA_TENANT_RANK] = {0};

    code(view, row, x, c);
    for (uint32_t k = 0; k < n_routes; k++) {
        float sum = bias[k];

        for (uint32_t r = 0; r < l->geometry.tenant_rank; r++)
            sum += h[(size_t)k * SONA_TENANT_RANK + r] * c[r];
        /* A torn row may say anything; no tenant's opinion is worth more than a whole quality. */
        ret[k] = sona_model_clamp(sum, -1, 1);
    }
}

void sona_model_tenant_apply(const struct sona_model_view *view, uint32_t tenant, const float *x,
                             float *y)
{
    const struct sona_model_layout *l = view->layout;
    uint32_t row = sona_model_tenant_find(view, tenant);
    float c[SONA_TENANT_RANK] = {0};
    SONA_MODEL_KERNELS(l);

    if (row == SONA_MODEL_NO_TENANT)
        return;
    code(view, row, x, c);
    for (uint32_t r = 0; r < l->geometry.tenant_rank; r++)
        sona_kernels_active()->axpy(sona_model_hot_of(view)->tenant_scale * c[r],
                                    sona_model_tenant_part(l, view->hot, row, l->tenant_b) +
                                        (size_t)r * l->dim_padded,
                                    y, l->geometry.dim);
}
