/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/*
 * Names, texts and remedies of the errors, expanded from the one table in error.h.
 *
 * A switch and not an array: an error code may come from another version of the library, or from
 * the wire, and every value must have an answer.
 */
#include <sona/error.h>

const char *sona_err_name(sona_err err)
{
    switch (err) {
#define NAME(name, value, text, remedy) \
    case SONA_##name:                   \
        return "SONA_" #name;
        SONA_ERRORS(NAME)
#undef NAME
    }
    return "SONA_E_?";
}

const char *sona_err_text(sona_err err)
{
    switch (err) {
#define TEXT(name, value, text, remedy) \
    case SONA_##name:                   \
        return text;
        SONA_ERRORS(TEXT)
#undef TEXT
    }
    return "an error of another version of SONA";
}

const char *sona_err_remedy(sona_err err)
{
    switch (err) {
#define REMEDY(name, value, text, remedy) \
    case SONA_##name:                     \
        return remedy;
        SONA_ERRORS(REMEDY)
#undef REMEDY
    }
    return "use the same version of library and sidecar";
}
