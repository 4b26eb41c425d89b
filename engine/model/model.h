/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/*
 * The model block: layout, validator, and pure read-only functions over a const pair of halves.
 *
 * Engine and client decide through the functions of this file and nothing else, so both decide bit
 * for bit alike. A model is two position-independent blocks:
 *
 *     hot   header | MicroLoRA A, B, and B' w per route
 *                  | route rows (table entry, head w, code head g, covariance P)
 *                  | pattern rows (counts and sums per route)
 *     cold  header | code A | BaseLoRA layers A_l, B_l | refit rows per route | pattern rows
 *                  (table entry, lifted centroid, centroid, linear prediction at the centroid per
 *                  route)
 *                  | bank rows (entry, centroid, counts and sums per route) | their signatures
 *                  | the first ones' centroids in whole numbers
 *
 * Pattern rows are the learner's: few, soft cells of the space that decisions are made in. Bank
 * rows are the ReasoningBank that people ask: as many as the data has topics, up to patterns_max.
 *
 * The head of each block (up to `*_dense_bytes`) changes at every publication; rows carry the
 * learner's `changed_at`, so that a publisher copies only those that changed.
 *
 * What a route is worth for a query x (z = [A x; 1]; the learner fits all of it):
 *
 *     m_k    mean quality, prior included
 *     u_1k   (w_k.x + b_k - m_k) n_k / (n_k + 10)                           the AdaGrad head
 *     u_2k   g_k.z + V_k.x - m_k                                            the refit head
 *     u_3k   sum_c a_c (S_ck - N_ck L_ck) / (sum_c a_c N_ck + 8)            near patterns
 *     u_4k   (s B_m' w_k).(A_m x) = w_k.(y - x) of the MicroLoRA            the MicroLoRA
 *     v_k    m_k + sum_j B_j (u_jk - mean_j) + sum_j B_(4+j) mean_j         stack weights B
 *
 * Rule for every function here: the sizes come from the private `layout`, never from the block. A
 * reader may be handed a slot that is being overwritten; whatever bytes it finds, it stays inside
 * the block and inside its outputs, and terminates. The caller validates afterwards and throws a
 * torn answer away. Hence: clamp counts, mask indices, no pointer in a block.
 */
#ifndef SONA_ENGINE_MODEL_MODEL_H
#define SONA_ENGINE_MODEL_MODEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <sona/error.h>
#include <sona/model.h>

#include "engine/kernels/kernels.h"

#define SONA_MODEL_ALIGN         64u  /* bytes; every block, row and vector starts on it */
#define SONA_MODEL_TOP           3u   /* patterns a query is assigned to, softly */
#define SONA_MODEL_CHUNK         64u  /* patterns measured at a time */
#define SONA_MODEL_CELLS         64u  /* most pattern rows */
#define SONA_MODEL_SCAN          256u /* bank rows that are always searched exactly */
#define SONA_MODEL_SIGNS         256u /* bits of a signature */
#define SONA_MODEL_SHORT         256u /* rows on a short list */
#define SONA_MODEL_SHORT_K       16u  /* most patterns that are looked for on a short list */
#define SONA_MODEL_SIEVE_K       16u  /* most patterns that a sieve is used for */
#define SONA_MODEL_LISTED        256u /* rows on a list of either */
#define SONA_MODEL_TYPES         6u   /* values of sona_pattern_type */
#define SONA_MODEL_TENANT_GROUP  16u  /* keys looked at together: one line of them */
#define SONA_MODEL_TENANT_PROBES 2u   /* groups that may hold a key */
#define SONA_MODEL_NO_TENANT     UINT32_MAX
#define SONA_MODEL_STACK         8u /* stack weights: 4 for the centred terms, 4 for their means */
#define SONA_MODEL_HOT_MAGIC     0x31544f48414e4f53ull /* "SONAHOT1" */
#define SONA_MODEL_COLD_MAGIC    0x32444c43414e4f53ull /* "SONACLD2" */

/* Where patterns lie is told in whole numbers of 16 bits: half the bytes, and a product that is off
 * by less than 1e-4 of both lengths. A centroid is no longer than 1, hence a lifted one than 2; the
 * validator lets pass SONA_MODEL_LIFTED_MAX, so that no sum leaves 32 bits. */
#define SONA_MODEL_POINT      16384.0f
#define SONA_MODEL_LIFTED     8192.0f
#define SONA_MODEL_LIFTED_MAX 65536.0f

/* Largest norm of any stored vector, and of an embedding that is not normalised (a longer one is
 * scaled down to it). The learner keeps to it, the validator insists on it, and products of a few
 * such numbers stay far from the end of a float. */
#define SONA_MODEL_NORM_MAX 1e4f
/* Outcomes a route is thought to have seen, at least, when something is divided by them. */
#define SONA_MODEL_WEIGHT_MIN 1e-3f

/* Rows of equal stride inside a block. */
struct sona_model_rows {
    size_t offset; /* of row 0, from the start of the block */
    size_t stride; /* bytes, multiple of SONA_MODEL_ALIGN */
    uint32_t count;
};

/* Sizes and offsets, derived from the geometry; private to each process. */
struct sona_model_layout {
    sona_geometry geometry;
    uint32_t dim_padded;  /* floats of a stored vector: dim rounded up to 16, the rest 0 */
    uint32_t code_dim;    /* base_rank + 1: the code with its bias */
    uint32_t code_padded; /* rounded up to 16 */

    size_t hot_bytes, hot_dense_bytes;
    size_t micro_a, micro_b;       /* micro_rank rows of dim_padded floats; B stored transposed */
    size_t micro_heads;            /* [routes_max][SONA_MICRO_RANK_MAX]: h_k = s B_m' w_k */
    struct sona_model_rows routes; /* struct sona_model_route, then the three below */
    size_t route_head, route_code, route_cov; /* offsets in a route row: w, g, P (code_dim rows of
                                                 code_padded floats) */
    struct sona_model_rows pattern_stats;     /* per pattern: the two below, routes_max floats each,
                                                 then N and S of events without a route */
    size_t pattern_n, pattern_s, pattern_bare; /* offsets in a pattern_stats row */
    struct sona_model_rows tenant_index;       /* struct sona_model_tenant_group; a power of two */
    struct sona_model_rows tenants;            /* struct sona_model_tenant, then the five below */
    size_t tenant_a, tenant_b; /* offsets in a tenant's row: tenant_rank rows of dim_padded floats
                                  each, B transposed */
    size_t tenant_heads;       /* [routes_max][SONA_TENANT_RANK]: s B' w_k */
    size_t tenant_bias, tenant_n; /* [routes_max] each */

    size_t cold_bytes, cold_dense_bytes;
    size_t code;                          /* base_rank rows of dim_padded floats, orthonormal */
    size_t base_a, base_b, layer_stride;  /* layer l at + l * layer_stride; rank rows each, B
                                             transposed */
    struct sona_model_rows refit;         /* per route: V_k + w_0, dim_padded floats */
    struct sona_model_rows patterns;      /* struct sona_model_pattern, then centroid, then LinC */
    size_t pattern_centroid, pattern_lin; /* offsets in a pattern row */
    size_t pattern_lifted;                /* likewise: c + A'A c of the centroid c, dim_padded
                                             whole numbers, SONA_MODEL_LIFTED to 1 */
    struct sona_model_rows bank;          /* struct sona_model_bank, then the three below */
    size_t bank_centroid;                 /* offset in a bank row: unit length */
    size_t bank_n, bank_s;                /* [routes_max] each */
    struct sona_model_rows bank_signs;    /* per bank row: its signature, SONA_MODEL_SIGNS bits; no
                                             rows where a scan of the bank is fast enough */
    struct sona_model_rows bank_whole;    /* of the first SONA_MODEL_SCAN bank rows: the centroid,
                                             dim_padded whole numbers, SONA_MODEL_POINT to 1 */
    size_t bank_rough;                    /* uint32_t, 1: some of them cannot be told so */
};

/* Start of a hot block. */
struct sona_model_hot {
    uint64_t magic;
    uint32_t bytes;    /* of the block, as a check */
    uint32_t n_routes; /* rows in use, free ones between them included */
    uint64_t step;     /* events the learner has taken */
    uint64_t outcomes; /* of them, with a reward */
    uint64_t observed; /* queries the learner has seen; they take no step */
    uint32_t n_patterns;
    uint32_t enabled;   /* 0: learning is off, decisions go on */
    float lambda;       /* weight of the cost */
    float max_explore;  /* bound on the exploring share */
    float mse;          /* moving average of e^2 */
    float micro_scale;  /* s = alpha / rank */
    uint32_t n_tenants; /* rows in use */
    float stack[SONA_MODEL_STACK];
    uint16_t flags;      /* SONA_MODEL_USE_*: terms that take part */
    uint16_t unrecorded; /* sona_model_unrecorded() of record_share */
    float tenant_scale;  /* s of the tenants' adapters */
    float tenant_spread; /* variance of a quality between tenants */
};
#define SONA_MODEL_USE_MICRO    1u
#define SONA_MODEL_USE_BASE     2u
#define SONA_MODEL_USE_PATTERNS 4u

/* Start of a route row. */
struct sona_model_route {
    sona_route id;
    uint32_t state;
    char name[SONA_ROUTE_NAME_MAX];
    float cost;
    float n, s; /* discounted count and sum of qualities, prior included in neither */
    float prior_n, prior_s;
    float mean;     /* (s + prior_s) / (n + prior_n) */
    float bias;     /* b_k of the AdaGrad head */
    uint32_t fit;   /* 1: the cold half knows this generation of the route; else its refit row and
                       its column of the patterns are a predecessor's, and take no part */
    uint64_t birth; /* learner step at which the route was added */
    uint32_t mode;  /* sona_mode; only a route in mode apply is a candidate */
    uint32_t reserved;
};

/* Where to look for tenants: 0 = free. */
struct sona_model_tenant_group {
    uint32_t key[SONA_MODEL_TENANT_GROUP];
    uint32_t row[SONA_MODEL_TENANT_GROUP];
};

/* Start of a tenant's row. */
struct sona_model_tenant {
    uint32_t key;   /* 0 = free */
    float outcomes; /* learned of this tenant */
    uint64_t since; /* learner step at which it took the row */
};

/* Start of a cold block. */
struct sona_model_cold {
    uint64_t magic;
    uint32_t bytes;
    uint32_t n_patterns; /* equal to the hot half's */
    uint64_t cycle;      /* background cycles installed */
    uint64_t step; /* learner step of the install, or of the last patterns that were brought */
    float pattern_width; /* softmax width over squared distances */
    uint32_t has_code;   /* 0: no background cycle yet */
    uint32_t has_base;   /* bit mask over the first 32 layers: not all zero */
    uint32_t n_bank;     /* bank rows in use, from the first */
};

/* Start of a pattern row. */
struct sona_model_pattern {
    uint64_t id;
    uint64_t created_at, last_accessed;
    uint32_t type;
    uint32_t cluster_size;
    float weight;
    float quality;
    float norm2; /* of the centroid */
    uint32_t reserved;
};

/* Start of a bank row. */
struct sona_model_bank {
    uint64_t id;
    uint64_t created_at, last_accessed, access_count;
    uint64_t example[SONA_PATTERN_EXAMPLES]; /* a ring */
    uint32_t n_examples;                     /* ever written into it */
    uint32_t type;
    uint32_t cluster_size;
    float mass;                    /* trajectories that shaped the centroid; fades */
    float weight;                  /* outcomes counted near it; fades */
    float sum;                     /* of their qualities */
    float typed[SONA_MODEL_TYPES]; /* of them, by what their contexts name; [0]: none, unused */
};

/* A pair of halves, as pinned by a reader or as owned by the learner. */
struct sona_model_view {
    const struct sona_model_layout *layout;
    const void *hot;
    const void *cold;
};

/* Where SONA_MODEL_TOP patterns matter to a query, and how much. */
struct sona_model_assignment {
    uint32_t count;
    uint32_t index[SONA_MODEL_TOP];
    float weight[SONA_MODEL_TOP]; /* sum 1 */
};

/* What scoring one query found; the learner reads the same terms that ranked the routes. */
struct sona_model_scores {
    uint32_t n_routes;
    uint64_t candidate[SONA_ROUTES_MAX / 64]; /* bit k: route k may be chosen */
    float *value;       /* [routes_max] v_k - lambda c_k; NaN where not a candidate */
    float *quality;     /* [routes_max] v_k */
    float *upper;       /* [routes_max] U_k = value + width */
    float *propensity;  /* [routes_max] by sona_model_decide(): chance of each route, 0 elsewhere */
    float *term[4];     /* [routes_max] u_jk: head, refit, patterns, MicroLoRA */
    float *product[2];  /* [routes_max] w_k.x and, where the refit head takes part, V_k.x */
    float term_mean[4]; /* the weighted means that centring removed */
    float *code;        /* [code_padded] z = [A x; 1] */
    int16_t *point;     /* [dim_padded] x in whole numbers, SONA_MODEL_POINT to its length */
    float micro_code[SONA_MICRO_RANK_MAX]; /* A_m x */
    uint32_t tenant_row;                   /* SONA_MODEL_NO_TENANT: none, and no term */
    float *tenant;                         /* [routes_max] what the tenant adds to the quality */
    struct sona_model_assignment near;
};

/* Derive the layout. SONA_E_RANGE when a field is outside its limits. */
sona_err sona_model_layout_init(struct sona_model_layout *ret, const sona_geometry *geometry);

/* Write an empty model: no route, no pattern, identity adapters. Both blocks are cleared. */
void sona_model_blocks_init(const struct sona_model_layout *layout, void *hot, void *cold);

/* Check a block that nobody is writing: magic, size, counts, states, names, finite numbers, norms.
 * SONA_E_FORMAT. */
sona_err sona_model_validate_hot(const struct sona_model_layout *layout, const void *hot);
sona_err sona_model_validate_cold(const struct sona_model_layout *layout, const void *cold);
/* Parts of the same: the first rows of the route table; what a regime has of its own (hot header,
 * routes, pattern rows of both halves, code and refit rows). */
sona_err sona_model_validate_routes(const struct sona_model_layout *layout, const void *hot,
                                    uint32_t n_routes);
sona_err sona_model_validate_regime(const struct sona_model_layout *layout, const void *hot,
                                    const void *cold);
/* `count` rows of `dim` floats, `stride` floats apart: finite, and no longer than the learner lets
 * any vector grow. */
bool sona_model_vectors_are_bounded(const float *rows, size_t stride, size_t count, uint32_t dim);
/* Counts, and sums of as many qualities in 0..1. */
bool sona_model_counts_are_sound(const float *n, const float *s, uint32_t count);

/* Bytes of scratch that scoring needs (aligned to SONA_MODEL_ALIGN); its division, cleared. */
size_t sona_model_scratch_bytes(const struct sona_model_layout *layout);
void sona_model_scratch_init(const struct sona_model_layout *layout, void *memory,
                             struct sona_model_scores *ret);
/* The division alone, of memory that was initialised: what it held is still there. */
void sona_model_scratch_divide(const struct sona_model_layout *layout, void *memory,
                               struct sona_model_scores *ret);

/* Copy x into `ret` (dim_padded floats, pad cleared), checked and scaled to unit norm when the
 * geometry says so, else to at most SONA_MODEL_NORM_MAX. SONA_E_NOT_FINITE, SONA_E_ZERO_VECTOR. */
sona_err sona_model_prepare(const struct sona_model_layout *layout, const float *x, float *ret);
/* True when all `count` floats are finite. */
bool sona_model_all_finite(const float *x, size_t count);

/* The adapters that a vector may go through. */
enum sona_model_tier {
    SONA_MODEL_BOTH, /* MicroLoRA, layer 0 and the adapter of tenant `which` (0: nobody's) */
    SONA_MODEL_MICRO,
    SONA_MODEL_BASE /* layer `which` */
};
/* Judge what a caller wants adapted: x and y of n rows of dim floats each, one after another.
 * SONA_E_ARGUMENT, SONA_E_SHAPE, SONA_E_RANGE (n, layer), SONA_E_NOT_FINITE. */
sona_err sona_model_adapt_check(const sona_geometry *geometry, enum sona_model_tier tier,
                                uint32_t which, uint32_t n, const float *x, uint32_t dim,
                                const float *y);
/* The same but for the numbers, which sona_model_adapt() meets anyway: enough for one row. Of many
 * rows none is written when one is refused, so they are looked at first. */
sona_err sona_model_adapt_fits(const sona_geometry *geometry, enum sona_model_tier tier,
                               uint32_t which, uint32_t n, const float *x, uint32_t dim,
                               const float *y);
/* Adapt n rows that were judged so. SONA_E_NOT_FINITE of a single one: y is as it was. */
sona_err sona_model_adapt(const struct sona_model_view *view, enum sona_model_tier tier,
                          uint32_t which, uint32_t n, const float *x, float *y);

/* One row; x and y: dim floats, unpadded, not overlapping. SONA_E_NOT_FINITE, and y is as it was.
 */
sona_err sona_model_apply(const struct sona_model_view *view, const float *x, float *y);
sona_err sona_model_apply_micro(const struct sona_model_view *view, const float *x, float *y);
sona_err sona_model_apply_base(const struct sona_model_view *view, uint32_t layer, const float *x,
                               float *y);
/* y = x: without a model. n floats, any number of rows. */
sona_err sona_model_apply_none(const float *x, size_t n, float *y);
/* ret = w (I + B_l A_l), and for SONA_LAYER_BOTH w (I + s B_m A_m + B_0 A_0): a row w of a matrix
 * that would multiply an adapted x may then multiply x itself. dim floats, not overlapping. */
void sona_model_merge(const struct sona_model_view *view, uint32_t layer, const float *w,
                      float *ret);

/* The row of a tenant, or SONA_MODEL_NO_TENANT; the first group that may hold it. */
uint32_t sona_model_tenant_find(const struct sona_model_view *view, uint32_t key);
uint32_t sona_model_tenant_group(const struct sona_model_layout *layout, uint32_t key);
/* What the tenant in `row` adds to the quality of the routes below n_routes, for the prepared x. */
void sona_model_tenant_terms(const struct sona_model_view *view, uint32_t row, const float *x,
                             uint32_t n_routes, float *ret);
/* y += s B_T A_T x of the tenant, if it has a row; x and y: dim floats, as above. */
void sona_model_tenant_apply(const struct sona_model_view *view, uint32_t tenant, const float *x,
                             float *y);

/* The code z = [A x; 1] of the prepared query x, and the patterns near its point x' = norm(x + A'A
 * x).
 */
void sona_model_locate(const struct sona_model_view *view, const float *x,
                       struct sona_model_scores *scores);

/* Squared distances of patterns [from, from + count) to the point `space`, which has unit
 * length. */
void sona_model_distances(const struct sona_model_view *view, const float *space, uint32_t from,
                          uint32_t count, float *ret);

/* Terms and qualities of every enabled route for the prepared query x, and where it lies: the part
 * of scoring that learning needs. Values, widths and candidates are left as they were. */
void sona_model_predict(const struct sona_model_view *view, const float *x, uint32_t tenant,
                        struct sona_model_scores *scores);

/* Score every candidate for the prepared query x; `candidates` may be null: every enabled route.
 * Terms and qualities are filled for all enabled routes. SONA_E_NO_ROUTE when no candidate is left,
 * SONA_E_RANGE for a cost outside 0..1. */
sona_err sona_model_score(const struct sona_model_view *view, const float *x,
                          const sona_candidates *candidates, struct sona_model_scores *scores);

/* What 1 - `share` is in 65,536ths. 0, which is also what an older model holds: every decision is
 * recorded; UINT16_MAX: none is, and a share above 0 never becomes that. */
uint16_t sona_model_unrecorded(float share);
/* Whether decision number n of a stream is left out. Drawn beside the route: both are functions of
 * (seed, stream, n), of different streams. */
bool sona_model_leaves_out(uint16_t unrecorded, uint64_t seed, uint64_t stream, uint64_t n);

/* Score and choose. `random`: 64 uniform bits. Fills everything of `ret` but id and version.
 * SONA_E_NO_ROUTE, SONA_E_ROUTE (unknown or retired forced route, for OBSERVE and BYPASS),
 * SONA_E_RANGE. */
sona_err sona_model_decide(const struct sona_model_view *view, const float *x,
                           const sona_candidates *candidates, uint64_t random,
                           struct sona_model_scores *scores, sona_decision *ret);
/* The same without any model: uniform over the candidate set; SONA_E_NO_ROUTE when it is not
 * restricted (nothing is known then) or empty. */
sona_err sona_model_decide_cold(const sona_candidates *candidates, uint64_t random,
                                sona_decision *ret);

/* The n-th draw of a stream: a pure function, so that engine and client explore alike. */
uint64_t sona_model_random(uint64_t seed, uint64_t stream, uint64_t n);

/* Copy the centroid of bank row `index` (dim floats); false when there is no such row. */
bool sona_model_pattern_centroid(const struct sona_model_view *view, uint32_t index, float *ret);
/* What a search needs beside the first n bank rows, which are all in use, and zeros behind it: owed
 * by whoever changes centroids or moves rows. Its parts: signatures (signs.c), whole numbers
 * (sieve.c). */
void sona_model_index_bank(const struct sona_model_layout *layout, void *cold, uint32_t n);
void sona_model_sign_bank(const struct sona_model_layout *layout, void *cold, uint32_t n);
void sona_model_round_bank(const struct sona_model_layout *layout, void *cold, uint32_t n);
bool sona_model_rounded_bank_is_sound(const struct sona_model_layout *layout, const void *cold,
                                      uint32_t n);
/* The signature of a padded vector. */
void sona_model_signs(const float *x, uint32_t padded, uint64_t ret[SONA_KERNELS_SIGN_WORDS]);
/* Rows among the first n of a small bank, in the order of the table, that hold the k nearest to x,
 * whose length is `norm`. Returns how many; 0: it cannot tell, any may be. */
uint32_t sona_model_sieve(const struct sona_model_view *view, const float *x, float norm,
                          uint32_t n, uint32_t k, uint16_t ret[SONA_MODEL_SCAN]);
/* The rows among the first n of a bank with signatures whose signs differ least from those of x, in
 * the order of the table. Returns how many. */
uint32_t sona_model_short_list(const struct sona_model_view *view, const float *x, uint32_t n,
                               uint16_t ret[SONA_MODEL_SHORT]);

/* The k nearest patterns of the bank to the prepared query x, nearest first. Returns how many. Of
 * more than SONA_MODEL_SCAN patterns the k <= SONA_MODEL_SHORT_K nearest are looked for among those
 * on the short list: .97 to .999 of them are there (ADR 0036). */
uint32_t sona_model_find_patterns(const struct sona_model_view *view, const float *x, uint32_t k,
                                  sona_pattern *ret);
/* Up to `capacity` patterns from row `from` on, in the order of the table, without a query: neither
 * similarity nor distance. Returns how many. */
uint32_t sona_model_list_patterns(const struct sona_model_view *view, uint32_t from,
                                  uint32_t capacity, sona_pattern *ret);

/* Copy up to `capacity` rows of the route table; returns the rows in use. */
uint32_t sona_model_routes(const struct sona_model_view *view, sona_route_info *ret,
                           uint32_t capacity);
/* SONA_OK when `route` names an enabled row with its generation, else SONA_E_ROUTE. */
sona_err sona_model_route_check(const struct sona_model_view *view, sona_route route);
uint64_t sona_model_step(const struct sona_model_view *view);
uint64_t sona_model_observed(const struct sona_model_view *view);

#endif
