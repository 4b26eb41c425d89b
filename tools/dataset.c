/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/*
 * Reader of routing data sets. A file is input from outside: its size is checked against its header
 * before anything of it is believed, and every number before anything of it is used.
 */
#include "tools/dataset.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <jansson.h>

#include "tools/fail.h"

#define MAGIC         "SONARTE1"
#define HEADER_BYTES  24u
#define JSON_PATH_MAX 4096

static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "the format is read in place");

static uint32_t load_u32(const unsigned char *p)
{
    uint32_t v;

    memcpy(&v, p, sizeof v);
    return v;
}

static float load_f32(const unsigned char *p)
{
    float v;

    memcpy(&v, p, sizeof v);
    return v;
}

void sona_tools_dataset_close(struct sona_tools_dataset *set)
{
    free(set->route);
    free(set->group);
    free(set->quality);
    free(set->x);
    memset(set, 0, sizeof *set);
}

sona_err sona_tools_dataset_create(struct sona_tools_dataset *ret, const char *name, uint32_t rows,
                                   uint32_t dim, uint32_t routes, sona_diag *reterr)
{
    struct sona_tools_dataset set = {.rows = rows, .dim = dim, .routes = routes, .groups = 1};

    if (rows < 1 || rows > SONA_TOOLS_ROWS_MAX)
        return sona_tools_fail(reterr, SONA_E_RANGE, "%s has %u rows; 1 to %u are possible", name,
                               rows, SONA_TOOLS_ROWS_MAX);
    if (dim < SONA_DIM_MIN || dim > SONA_DIM_MAX)
        return sona_tools_fail(reterr, SONA_E_RANGE,
                               "%s has embeddings of %u dimensions; %d to %d are possible", name,
                               dim, SONA_DIM_MIN, SONA_DIM_MAX);
    if (routes < 1 || routes > SONA_ROUTES_MAX)
        return sona_tools_fail(reterr, SONA_E_RANGE, "%s has %u routes; 1 to %d are possible", name,
                               routes, SONA_ROUTES_MAX);
    (void)snprintf(set.name, sizeof set.name, "%s", name);
    set.route = calloc(routes, sizeof *set.route);
    set.group = calloc(rows, sizeof *set.group);
    set.quality = calloc((size_t)rows * routes, sizeof *set.quality);
    set.x = calloc((size_t)rows * dim, sizeof *set.x);
    if (set.route == NULL || set.group == NULL || set.quality == NULL || set.x == NULL) {
        sona_tools_dataset_close(&set);
        return sona_tools_fail(reterr, SONA_E_MEMORY,
                               "not enough memory for the %u rows of %s; use a smaller set", rows,
                               name);
    }
    for (uint32_t k = 0; k < routes; k++) {
        (void)snprintf(set.route[k].name, sizeof set.route[k].name, "route-%u", k);
        set.route[k].prior_quality = 0.5f;
        set.route[k].prior_weight = 1;
    }
    *ret = set;
    return SONA_OK;
}

/* Read the whole of a regular file; the caller frees *ret_bytes. */
static sona_err read_file(const char *path, unsigned char **ret_bytes, size_t *ret_size,
                          sona_diag *reterr)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    unsigned char *bytes = NULL;
    struct stat st;
    size_t done = 0;

    if (fd < 0)
        return sona_tools_fail(reterr, SONA_E_SYSTEM, "cannot open %s: %s; check the path", path,
                               strerror(errno));
    if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode)) {
        (void)close(fd);
        return sona_tools_fail(reterr, SONA_E_SYSTEM,
                               "%s is not a regular file; name the .bin file of a data set", path);
    }
    bytes = malloc((size_t)st.st_size + 1);
    while (bytes != NULL && done < (size_t)st.st_size) {
        ssize_t n = read(fd, bytes + done, (size_t)st.st_size - done);

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            break;
        done += (size_t)n;
    }
    (void)close(fd);
    if (bytes == NULL || done < (size_t)st.st_size) {
        free(bytes);
        return sona_tools_fail(reterr, bytes == NULL ? SONA_E_MEMORY : SONA_E_SYSTEM,
                               "cannot read all of %s; check the disk and the free memory", path);
    }
    *ret_bytes = bytes;
    *ret_size = done;
    return SONA_OK;
}

/* Header and size agree, and every field is one we can serve. */
static sona_err check_header(const char *path, const unsigned char *bytes, size_t size,
                             sona_diag *reterr)
{
    uint64_t rows, dim, routes, groups, want;

    if (size >= 8 && memcmp(bytes, MAGIC, 8) != 0)
        return sona_tools_fail(reterr, SONA_E_FORMAT,
                               "%s is not a routing data set: it does not begin with \"" MAGIC
                               "\"; name the .bin file of a set",
                               path);
    if (size < HEADER_BYTES)
        return sona_tools_fail(reterr, SONA_E_FORMAT,
                               "%s ends within its header (%zu of %u bytes); copy it again", path,
                               size, HEADER_BYTES);
    rows = load_u32(bytes + 8);
    dim = load_u32(bytes + 12);
    routes = load_u32(bytes + 16);
    groups = load_u32(bytes + 20);
    if (rows < 1 || rows > SONA_TOOLS_ROWS_MAX)
        return sona_tools_fail(reterr, SONA_E_FORMAT,
                               "%s says it has %llu rows; 1 to %u are possible: rebuild the set",
                               path, (unsigned long long)rows, SONA_TOOLS_ROWS_MAX);
    if (dim < SONA_DIM_MIN || dim > SONA_DIM_MAX)
        return sona_tools_fail(reterr, SONA_E_FORMAT,
                               "%s says its embeddings have %llu dimensions; %d to %d are "
                               "possible: rebuild the set",
                               path, (unsigned long long)dim, SONA_DIM_MIN, SONA_DIM_MAX);
    if (routes < 1 || routes > SONA_ROUTES_MAX)
        return sona_tools_fail(reterr, SONA_E_FORMAT,
                               "%s says it has %llu routes; 1 to %d are possible: rebuild the set",
                               path, (unsigned long long)routes, SONA_ROUTES_MAX);
    if (groups < 1 || groups > SONA_TOOLS_GROUPS_MAX)
        return sona_tools_fail(reterr, SONA_E_FORMAT,
                               "%s says it has %llu groups; 1 to %u are possible: rebuild the set",
                               path, (unsigned long long)groups, SONA_TOOLS_GROUPS_MAX);
    want = HEADER_BYTES + 4 * routes + rows * (6 + 4 * routes + dim);
    if (size != want)
        return sona_tools_fail(reterr, SONA_E_FORMAT,
                               "%s is %zu bytes long where its header asks for %llu; it is cut "
                               "off or damaged: copy it again",
                               path, size, (unsigned long long)want);
    return SONA_OK;
}

static sona_err load_costs(struct sona_tools_dataset *set, const char *path,
                           const unsigned char *cost, sona_diag *reterr)
{
    float largest = 0;

    for (uint32_t k = 0; k < set->routes; k++) {
        float c = load_f32(cost + 4 * (size_t)k);

        if (!isfinite(c) || c < 0)
            return sona_tools_fail(reterr, SONA_E_FORMAT,
                                   "the cost of route %u in %s is %g; costs are finite and not "
                                   "negative: rebuild the set",
                                   k, path, (double)c);
        set->route[k].cost = c;
        largest = c > largest ? c : largest;
    }
    for (uint32_t k = 0; k < set->routes && largest > 0; k++)
        set->route[k].cost /= largest;
    return SONA_OK;
}

/* Row r of the file into row r of the set. */
static sona_err load_row(struct sona_tools_dataset *set, const char *path, uint32_t r,
                         const unsigned char *row, sona_diag *reterr)
{
    uint32_t group = (uint32_t)(row[0] | row[1] << 8);
    float scale = load_f32(row + 2);
    const unsigned char *q = row + 6 + 4 * (size_t)set->routes;
    float *x = set->x + (size_t)r * set->dim;
    double square = 0;

    if (group >= set->groups)
        return sona_tools_fail(reterr, SONA_E_FORMAT,
                               "row %u of %s is in group %u of %u; rebuild the set", r, path, group,
                               set->groups);
    set->group[r] = (uint16_t)group;
    if (!isfinite(scale))
        return sona_tools_fail(reterr, SONA_E_FORMAT,
                               "the scale of row %u in %s is not a finite number; drop the row or "
                               "rebuild the set",
                               r, path);
    for (uint32_t k = 0; k < set->routes; k++) {
        float quality = load_f32(row + 6 + 4 * (size_t)k);

        if (!(quality >= 0 && quality <= 1))
            return sona_tools_fail(reterr, SONA_E_FORMAT,
                                   "the quality of route %u in row %u of %s is %g; qualities are "
                                   "0 to 1: rescale them and rebuild the set",
                                   k, r, path, (double)quality);
        set->quality[(size_t)r * set->routes + k] = quality;
    }
    for (uint32_t j = 0; j < set->dim; j++) {
        x[j] = (float)(q[j] < 128 ? q[j] : q[j] - 256) * scale;
        square += (double)x[j] * (double)x[j];
    }
    if (!(square > 0 && isfinite(square)))
        return sona_tools_fail(reterr, SONA_E_FORMAT,
                               "the embedding of row %u in %s has no direction (all zeros, or too "
                               "large); drop the row or embed it again",
                               r, path);
    return SONA_OK;
}

/* The CRC-32 of zip and zlib, bit by bit into a table once. */
static uint32_t crc32_of(const unsigned char *bytes, size_t n)
{
    uint32_t table[256], crc = UINT32_MAX;

    for (uint32_t i = 0; i < 256; i++) {
        table[i] = i;
        for (int bit = 0; bit < 8; bit++)
            table[i] = table[i] >> 1 ^ (table[i] & 1 ? 0xedb88320u : 0);
    }
    for (size_t i = 0; i < n; i++)
        crc = crc >> 8 ^ table[(crc ^ bytes[i]) & 0xff];
    return ~crc;
}

static sona_err load_names(struct sona_tools_dataset *set, const char *json_path, json_t *models,
                           sona_diag *reterr)
{
    if (json_array_size(models) != set->routes)
        return sona_tools_fail(reterr, SONA_E_FORMAT,
                               "%s names %zu models where the set has %u routes; mend or remove it",
                               json_path, json_array_size(models), set->routes);
    for (uint32_t k = 0; k < set->routes; k++) {
        const char *name = json_string_value(json_array_get(models, k));
        char *to = set->route[k].name;

        if (name == NULL || name[0] == '\0' || strlen(name) >= SONA_ROUTE_NAME_MAX)
            return sona_tools_fail(reterr, SONA_E_FORMAT,
                                   "model %u in %s is not a name of 1 to %d bytes; mend it", k,
                                   json_path, SONA_ROUTE_NAME_MAX - 1);
        (void)snprintf(to, SONA_ROUTE_NAME_MAX, "%s", name);
        for (uint32_t other = 0; other < k; other++)
            if (strcmp(set->route[other].name, to) == 0)
                return sona_tools_fail(reterr, SONA_E_FORMAT,
                                       "models %u and %u in %s have the same name \"%s\"; rename "
                                       "one",
                                       other, k, json_path, to);
    }
    return SONA_OK;
}

/* What the .json beside the set knows, if there is one. */
static sona_err load_json(struct sona_tools_dataset *set, const char *path,
                          const unsigned char *bytes, size_t size, sona_diag *reterr)
{
    size_t length = strlen(path);
    char json_path[JSON_PATH_MAX];
    json_error_t error;
    json_t *root, *models, *crc;
    sona_err err = SONA_OK;

    if (length > 4 && strcmp(path + length - 4, ".bin") == 0)
        length -= 4;
    if (snprintf(json_path, sizeof json_path, "%.*s.json", (int)length, path) >=
            (int)sizeof json_path ||
        access(json_path, R_OK) != 0)
        return SONA_OK;
    root = json_load_file(json_path, 0, &error);
    if (!json_is_object(root)) {
        json_decref(root);
        return sona_tools_fail(reterr, SONA_E_FORMAT,
                               "%s is not a JSON object (line %d); mend or remove it", json_path,
                               error.line);
    }
    models = json_object_get(root, "models");
    crc = json_object_get(root, "crc32");
    if (models != NULL)
        err = load_names(set, json_path, models, reterr);
    if (err == SONA_OK && json_is_integer(crc) &&
        json_integer_value(crc) != (json_int_t)crc32_of(bytes, size))
        err = sona_tools_fail(reterr, SONA_E_FORMAT,
                              "%s does not have the crc32 that %s names; one of them is damaged "
                              "or of another version: copy both again",
                              path, json_path);
    json_decref(root);
    return err;
}

/* "dir/routing_desk12.bin" -> "routing_desk12" */
static void name_of(const char *path, char *ret, size_t size)
{
    const char *slash = strrchr(path, '/');
    const char *base = slash != NULL ? slash + 1 : path;
    size_t n = strlen(base);

    if (n > 4 && strcmp(base + n - 4, ".bin") == 0)
        n -= 4;
    (void)snprintf(ret, size, "%.*s", (int)n, base);
}

static sona_err load(struct sona_tools_dataset *set, const char *path, const unsigned char *bytes,
                     size_t size, sona_diag *reterr)
{
    const unsigned char *row;
    size_t row_bytes;
    char name[sizeof set->name];
    sona_err err = check_header(path, bytes, size, reterr);

    if (err != SONA_OK)
        return err;
    name_of(path, name, sizeof name);
    err = sona_tools_dataset_create(set, name, load_u32(bytes + 8), load_u32(bytes + 12),
                                    load_u32(bytes + 16), reterr);
    if (err != SONA_OK)
        return err;
    set->groups = load_u32(bytes + 20);
    err = load_costs(set, path, bytes + HEADER_BYTES, reterr);
    row = bytes + HEADER_BYTES + 4 * (size_t)set->routes;
    row_bytes = 6 + 4 * (size_t)set->routes + set->dim;
    for (uint32_t r = 0; r < set->rows && err == SONA_OK; r++, row += row_bytes)
        err = load_row(set, path, r, row, reterr);
    if (err == SONA_OK)
        err = load_json(set, path, bytes, size, reterr);
    if (err != SONA_OK)
        sona_tools_dataset_close(set);
    return err;
}

sona_err sona_tools_dataset_open(struct sona_tools_dataset *ret, const char *path,
                                 sona_diag *reterr)
{
    struct sona_tools_dataset set = {0};
    unsigned char *bytes = NULL;
    size_t size = 0;
    sona_err err = read_file(path, &bytes, &size, reterr);

    if (err == SONA_OK)
        err = load(&set, path, bytes, size, reterr);
    free(bytes);
    if (err == SONA_OK)
        *ret = set;
    return err;
}
