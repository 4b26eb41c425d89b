/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/**
 * @file error.h
 * Every error of SONA: value, name, text and remedy, from one table.
 *
 * A function that can fail returns a sona_err. Out-parameters named `ret_*` (or `ret`) are written
 * on success only, unless their documentation says otherwise. Calls that talk to the operating
 * system also fill a sona_diag, which names the object and the reason in one sentence.
 */
#ifndef SONA_ERROR_H
#define SONA_ERROR_H

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define SONA_API __attribute__((visibility("default")))
#else
#define SONA_API
#endif

/** X(name, value, text, remedy). Values are part of the ABI: never renumber, only append. */
#define SONA_ERRORS(X)                                                                         \
    X(OK, 0, "success", "")                                                                    \
    X(E_ARGUMENT, 1, "a required pointer is null, or buffers overlap",                         \
      "pass every pointer the function asks for; the output may not overlap the input")        \
    X(E_SHAPE, 2, "the vector has the wrong dimension",                                        \
      "pass vectors of the instance's dimension")                                              \
    X(E_NOT_FINITE, 3, "a number is NaN or infinite", "check the embedding before passing it") \
    X(E_RANGE, 4, "a number is outside its documented range", "see the range in the header")   \
    X(E_ZERO_VECTOR, 5, "the vector has no direction (all zeros)",                             \
      "skip the query or embed it again")                                                      \
    X(E_ROUTE, 6, "the route is unknown or retired", "list the routes with sona_routes()")     \
    X(E_NO_ROUTE, 7, "no candidate route is left",                                             \
      "widen the candidate set, or add or enable a route")                                     \
    X(E_FULL, 8, "the lane's ring is full; this event was dropped and counted",                \
      "carry on; use more lanes, or slow down, if it happens often")                           \
    X(E_DETACHED, 9, "no sidecar is attached; this event was dropped and counted",             \
      "start sona-sidecar; the client attaches by itself")                                     \
    X(E_FORKED, 10, "this client belongs to the parent process",                               \
      "open a client of your own after fork()")                                                \
    X(E_LANES, 11, "every lane of this client is claimed",                                     \
      "release one, or open the client with more lanes")                                       \
    X(E_ABSENT, 12, "no sidecar answers for this instance", "start sona-sidecar")              \
    X(E_ABI, 13, "client and sidecar speak different ABI versions",                            \
      "upgrade the older of the two")                                                          \
    X(E_GEOMETRY, 14, "the segment's geometry is inconsistent", "restart the sidecar")         \
    X(E_PERMISSION, 15, "the sidecar does not serve this user", "run as the sidecar's user")   \
    X(E_BUSY, 16, "the instance is already running",                                           \
      "stop the other sidecar, or choose another --instance name")                             \
    X(E_SYSTEM, 17, "the operating system refused a call", "see the diagnostic text")          \
    X(E_MEMORY, 18, "out of memory", "lower dimension, routes, lanes or capacities")           \
    X(E_CONFIG, 19, "the configuration is invalid", "see the diagnostic text")                 \
    X(E_FORMAT, 20, "the data is not in the expected format", "see the diagnostic text")       \
    X(E_UNKNOWN_ID, 21, "no pending decision or trajectory has this id",                       \
      "report each outcome once, within the feedback window")                                  \
    X(E_DUPLICATE, 22, "this outcome was already reported", "nothing: the first one counts")   \
    X(E_LIMIT, 23, "a documented limit is reached", "see the limit in the header")             \
    X(E_TIMEOUT, 24, "the peer did not answer in time", "check that the sidecar is healthy")   \
    X(E_DAMAGED, 25, "the saved state is cut off or was changed", "load the save before it")   \
    X(E_VERSION, 26, "the saved state is of another version, byte order or layout",            \
      "load it with the SONA that saved it")

typedef enum sona_err {
#define SONA_ERROR_ENUM(name, value, text, remedy) SONA_##name = (value),
    SONA_ERRORS(SONA_ERROR_ENUM)
#undef SONA_ERROR_ENUM
} sona_err;

/** Bytes of a diagnostic text, the final NUL included. */
#define SONA_DIAG_TEXT_MAX 256

/** What went wrong, in one sentence with the remedy. */
typedef struct sona_diag {
    sona_err code;
    int os_error;                  /**< errno of the failed call, 0 if none */
    char text[SONA_DIAG_TEXT_MAX]; /**< NUL-terminated, no newline */
} sona_diag;

/** Return the symbol of @p err, such as "SONA_E_SHAPE"; "SONA_E_?" for a value of another version.
 */
SONA_API const char *sona_err_name(sona_err err);
/** Return one clause that says what @p err means. Static storage. */
SONA_API const char *sona_err_text(sona_err err);
/** Return one clause that says what to do about @p err; "" for SONA_OK. Static storage. */
SONA_API const char *sona_err_remedy(sona_err err);

#ifdef __cplusplus
}
#endif
#endif
