/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/* See adapters.h. */
#include "sidecar/adapters.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "engine/learner/learner.h"
#include "shm/diag.h"

#define FORMAT     "sona-adapters-1"
#define LENGTH     8u /* bytes before the header */
#define TENSOR_MAX 32u

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "floats are copied as they are: the file's order is little-endian"
#endif

/* One tensor, and where it is among the floats. */
struct tensor {
    char name[TENSOR_MAX];
    uint32_t rank;
    bool is_b;
    size_t at; /* floats before it */
};

static uint32_t count_of(const struct sona_model_layout *layout)
{
    return 2 * (layout->geometry.layers + 1);
}

/* The k-th: A and B of MicroLoRA, then of each layer. */
static struct tensor tensor_at(const struct sona_model_layout *layout, uint32_t k)
{
    const sona_geometry *g = &layout->geometry;
    struct tensor ret = {.rank = k < 2 ? g->micro_rank : g->base_rank, .is_b = k % 2 != 0};
    size_t micro = 2 * (size_t)g->micro_rank * g->dim, layer = 2 * (size_t)g->base_rank * g->dim;

    ret.at = (k < 2 ? 0 : micro + (k / 2 - 1) * layer) + (ret.is_b ? (size_t)ret.rank * g->dim : 0);
    if (k < 2)
        (void)snprintf(ret.name, sizeof ret.name, "micro.lora_%c", ret.is_b ? 'B' : 'A');
    else
        (void)snprintf(ret.name, sizeof ret.name, "base.%" PRIu32 ".lora_%c", k / 2 - 1,
                       ret.is_b ? 'B' : 'A');
    return ret;
}

struct sona_sidecar_adapters *sona_sidecar_adapters_make(const struct sona_model_layout *layout)
{
    size_t n = sona_learner_adapters_floats(&layout->geometry);
    struct sona_sidecar_adapters *ret = calloc(1, sizeof *ret + n * sizeof(float));

    if (ret)
        ret->n = n;
    return ret;
}

/* Between rows of B', as the learner has it, and rows of B, as the file has it. */
static void turn(const float *from, uint32_t rows, uint32_t columns, float *ret)
{
    for (uint32_t r = 0; r < rows; r++)
        for (uint32_t c = 0; c < columns; c++)
            ret[(size_t)c * rows + r] = from[(size_t)r * columns + c];
}

/* ---- to a file ---- */

static json_t *metadata_of(const struct sona_sidecar_adapters *adapters)
{
    json_t *o = json_object();
    char scale[32];

    (void)snprintf(scale, sizeof scale, "%.9g", (double)adapters->micro_scale);
    (void)json_object_set_new(o, "format", json_string(FORMAT));
    (void)json_object_set_new(o, "micro_scale", json_string(scale));
    (void)json_object_set_new(
        o, "orientation",
        json_string("lora_A is [rank, dim], lora_B is [dim, rank], both row by row; an adapter "
                    "makes y = x + scale * B (A x), with scale = micro_scale for micro and 1 for "
                    "base.*; layer 0 and micro are added: y = x + micro(x) + base.0(x)"));
    return o;
}

static char *header_of(const struct sona_model_layout *layout,
                       const struct sona_sidecar_adapters *adapters)
{
    uint32_t dim = layout->geometry.dim;
    json_t *o = json_object();

    (void)json_object_set_new(o, "__metadata__", metadata_of(adapters));
    for (uint32_t k = 0; k < count_of(layout); k++) {
        struct tensor t = tensor_at(layout, k);
        json_int_t begin = (json_int_t)(t.at * sizeof(float));
        json_int_t end = begin + (json_int_t)((size_t)t.rank * dim * sizeof(float));
        json_int_t rows = t.is_b ? dim : t.rank, columns = t.is_b ? t.rank : dim;

        (void)json_object_set_new(o, t.name,
                                  json_pack("{s:s, s:[I,I], s:[I,I]}", "dtype", "F32", "shape",
                                            rows, columns, "data_offsets", begin, end));
    }
    char *text = json_dumps(o, JSON_COMPACT | JSON_PRESERVE_ORDER);
    json_decref(o);
    return text;
}

void *sona_sidecar_adapters_write(const struct sona_model_layout *layout,
                                  const struct sona_sidecar_adapters *adapters, size_t *ret_bytes)
{
    char *text = header_of(layout, adapters);
    size_t length = text ? strlen(text) : 0;
    size_t padded = (length + 7) / 8 * 8; /* so that the floats are aligned */
    uint64_t field = padded;
    float *turned = malloc(adapters->n * sizeof(float));
    char *ret = text ? malloc(LENGTH + padded + adapters->n * sizeof(float)) : NULL;

    if (ret && turned) {
        memcpy(turned, adapters->value, adapters->n * sizeof(float));
        for (uint32_t k = 1; k < count_of(layout); k += 2) {
            struct tensor t = tensor_at(layout, k);

            turn(adapters->value + t.at, t.rank, layout->geometry.dim, turned + t.at);
        }
        memcpy(ret, &field, LENGTH);
        memset(ret + LENGTH, ' ', padded);
        memcpy(ret + LENGTH, text, length);
        memcpy(ret + LENGTH + padded, turned, adapters->n * sizeof(float));
        *ret_bytes = LENGTH + padded + adapters->n * sizeof(float);
    } else {
        free(ret);
        ret = NULL;
    }
    free(turned);
    free(text);
    return ret;
}

/* ---- from a file ---- */

/* The header as JSON, and where the data is. */
static sona_err read_header(const void *bytes, size_t n, json_t **ret, size_t *ret_data,
                            sona_diag *reterr)
{
    json_error_t error;
    uint64_t length = 0;

    if (n < LENGTH)
        return sona_shm_diag_set(reterr, SONA_E_FORMAT, 0,
                                 "this is no safetensors file: it has %zu bytes", n);
    memcpy(&length, bytes, LENGTH);
    if (length > SONA_SIDECAR_ADAPTERS_HEADER_MAX)
        return sona_shm_diag_set(reterr, SONA_E_FORMAT, 0,
                                 "this is no safetensors file of adapters: its header would have "
                                 "%" PRIu64 " bytes",
                                 length);
    if (length > n - LENGTH)
        return sona_shm_diag_set(reterr, SONA_E_FORMAT, 0,
                                 "the file is cut off within its header; copy it again");
    *ret = json_loadb((const char *)bytes + LENGTH, (size_t)length, JSON_REJECT_DUPLICATES, &error);
    *ret_data = LENGTH + (size_t)length;
    if (!json_is_object(*ret)) {
        json_decref(*ret);
        return sona_shm_diag_set(reterr, SONA_E_FORMAT, 0, "its header is no JSON object: %.80s",
                                 *ret ? "it is something else" : error.text);
    }
    return SONA_OK;
}

static bool pair_is(const json_t *list, json_int_t first, json_int_t second)
{
    return json_array_size(list) == 2 && json_is_integer(json_array_get(list, 0)) &&
           json_is_integer(json_array_get(list, 1)) &&
           json_integer_value(json_array_get(list, 0)) == first &&
           json_integer_value(json_array_get(list, 1)) == second;
}

/* A tensor of the file: the right type and shape, and where its bytes are. */
static sona_err read_tensor(const json_t *header, const struct tensor *t, uint32_t dim,
                            size_t data_bytes, size_t *ret_begin, sona_diag *reterr)
{
    const json_t *o = json_object_get(header, t->name);
    const char *type = json_string_value(json_object_get(o, "dtype"));
    const json_t *offsets = json_object_get(o, "data_offsets");
    json_int_t begin = json_integer_value(json_array_get(offsets, 0));
    json_int_t bytes = (json_int_t)((size_t)t->rank * dim * sizeof(float));
    uint32_t rows = t->is_b ? dim : t->rank, columns = t->is_b ? t->rank : dim;

    if (!o)
        return sona_shm_diag_set(reterr, SONA_E_SHAPE, 0,
                                 "it has no tensor %s, which this instance has; export it from one "
                                 "with as many layers",
                                 t->name);
    if (!type || strcmp(type, "F32") != 0)
        return sona_shm_diag_set(reterr, SONA_E_FORMAT, 0, "%s must be of dtype F32, not %.16s",
                                 t->name, type ? type : "none");
    if (!pair_is(json_object_get(o, "shape"), rows, columns))
        return sona_shm_diag_set(reterr, SONA_E_SHAPE, 0,
                                 "%s must have the shape [%" PRIu32 ", %" PRIu32 "] of this "
                                 "instance; its dim or rank is another one",
                                 t->name, rows, columns);
    if (begin < 0 || begin > (json_int_t)data_bytes || !pair_is(offsets, begin, begin + bytes))
        return sona_shm_diag_set(reterr, SONA_E_FORMAT, 0,
                                 "the data_offsets of %s are not those of its shape", t->name);
    if (bytes > (json_int_t)data_bytes - begin)
        return sona_shm_diag_set(reterr, SONA_E_FORMAT, 0,
                                 "the file is cut off within %s; copy it again", t->name);
    *ret_begin = (size_t)begin;
    return SONA_OK;
}

static sona_err read_metadata(const json_t *header, float micro_scale, sona_diag *reterr)
{
    const json_t *o = json_object_get(header, "__metadata__");
    const char *format = json_string_value(json_object_get(o, "format"));
    const char *scale = json_string_value(json_object_get(o, "micro_scale"));

    if (!format || strcmp(format, FORMAT) != 0)
        return sona_shm_diag_set(reterr, SONA_E_FORMAT, 0,
                                 "its __metadata__ says no format \"" FORMAT
                                 "\"; only what sonactl export wrote can be taken");
    if (!scale || strtof(scale, NULL) != micro_scale)
        return sona_shm_diag_set(reterr, SONA_E_SHAPE, 0,
                                 "its micro_scale is %.16s and that of this instance is %g; set "
                                 "lora_alpha so that alpha / rank is the same",
                                 scale ? scale : "missing", (double)micro_scale);
    return SONA_OK;
}

/* Every tensor is there, alone, and fills its part of the data. */
static sona_err read_tensors(const struct sona_model_layout *layout, const json_t *header,
                             const char *data, size_t data_bytes, struct sona_sidecar_adapters *ret,
                             sona_diag *reterr)
{
    uint32_t dim = layout->geometry.dim, count = count_of(layout);

    for (uint32_t k = 0; k < count; k++) {
        struct tensor t = tensor_at(layout, k);
        size_t begin = 0;
        sona_err err = read_tensor(header, &t, dim, data_bytes, &begin, reterr);

        if (err != SONA_OK)
            return err;
        if (t.is_b) { /* may be anywhere in the file: copied first, then turned */
            float *rows = malloc((size_t)t.rank * dim * sizeof *rows);

            if (!rows)
                return sona_shm_diag_set(reterr, SONA_E_MEMORY, 0, "no memory for %s", t.name);
            memcpy(rows, data + begin, (size_t)t.rank * dim * sizeof *rows);
            turn(rows, dim, t.rank, ret->value + t.at);
            free(rows);
        } else {
            memcpy(ret->value + t.at, data + begin, (size_t)t.rank * dim * sizeof(float));
        }
    }
    if (json_object_size(header) != count + 1)
        return sona_shm_diag_set(reterr, SONA_E_SHAPE, 0,
                                 "it has tensors that this instance has no place for: %zu, not %u",
                                 json_object_size(header) - 1, count);
    if (data_bytes != ret->n * sizeof(float))
        return sona_shm_diag_set(reterr, SONA_E_FORMAT, 0,
                                 "its data has %zu bytes and its tensors have %zu", data_bytes,
                                 ret->n * sizeof(float));
    return SONA_OK;
}

sona_err sona_sidecar_adapters_read(const struct sona_model_layout *layout, float micro_scale,
                                    const void *bytes, size_t n, struct sona_sidecar_adapters **ret,
                                    sona_diag *reterr)
{
    struct sona_sidecar_adapters *a = sona_sidecar_adapters_make(layout);
    json_t *header = NULL;
    size_t data = 0;
    uint32_t adapter = 0, row = 0;

    if (!a)
        return sona_shm_diag_set(reterr, SONA_E_MEMORY, 0, "no memory for the adapters");
    if (a->n * sizeof(float) > SONA_SIDECAR_ADAPTERS_BYTES_MAX) {
        free(a);
        return sona_shm_diag_set(reterr, SONA_E_LIMIT, 0,
                                 "the adapters of this instance have more than %u bytes, which is "
                                 "too much to import at once",
                                 SONA_SIDECAR_ADAPTERS_BYTES_MAX);
    }
    a->micro_scale = micro_scale;
    sona_err err = read_header(bytes, n, &header, &data, reterr);
    if (err == SONA_OK) {
        err = read_metadata(header, micro_scale, reterr);
        if (err == SONA_OK)
            err = read_tensors(layout, header, (const char *)bytes + data, n - data, a, reterr);
        json_decref(header);
    }
    if (err == SONA_OK) {
        err = sona_learner_adapters_check(layout, micro_scale, a->value, &adapter, &row);
        if (err != SONA_OK)
            err = sona_shm_diag_set(reterr, err, 0,
                                    "row %" PRIu32 " of %s %s; the file is damaged, or was not "
                                    "learned here",
                                    row, tensor_at(layout, 2 * adapter).name,
                                    err == SONA_E_NOT_FINITE
                                        ? "has a number that is not finite"
                                        : "and its column of B are longer than may be");
    }
    if (err == SONA_OK)
        *ret = a;
    else
        free(a);
    return err;
}
