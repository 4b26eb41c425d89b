/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/*
 * The body of a request to the control socket, for every command: refused in one sentence, or a
 * request that is judged, with a name that ends and numbers that are finite.
 *
 *     byte 0: which command | the body
 */
#include <math.h>

#include "sidecar/command.h"
#include "sidecar/http/arguments.h"
#include "tests/fuzz/targets/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct sona_control_command *row;
    struct sona_control_request request;
    struct fuzz_input in = {data, size};
    sona_diag diag = {.code = SONA_OK};
    uint32_t n = 0;

    while (sona_control_command_at(n))
        n++;
    row = sona_control_command_at(fuzz_byte(&in) % n);
    size_t bytes = in.left;
    char *body = malloc(bytes + 1);
    FUZZ_HOLD(body != NULL);
    (void)fuzz_take(&in, body, bytes);
    sona_err err = sona_http_arguments_read(row, body, bytes, &request, &diag);
    free(body);
    FUZZ_HOLD(err == SONA_OK || (diag.code == err && diag.text[0] != 0));
    if (err != SONA_OK)
        return 0;
    FUZZ_HOLD(request.what == row->what);
    FUZZ_HOLD(memchr(request.spec.name, 0, sizeof request.spec.name) != NULL);
    FUZZ_HOLD(isfinite(request.amount) && isfinite(request.spec.cost) &&
              isfinite(request.rule.min_quality));
    err = sona_sidecar_command_judge(&request, &diag);
    FUZZ_HOLD(err == SONA_OK || (diag.code == err && diag.text[0] != 0));
    return 0;
}
