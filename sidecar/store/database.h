/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/*
 * One SQLite database, three connections, each of one thread at a time: the writer's, the keeper's
 * and the readers'. Its schema, and what SQLite's errors mean to an operator.
 */
#ifndef SONA_SIDECAR_STORE_DATABASE_H
#define SONA_SIDECAR_STORE_DATABASE_H

#include <sqlite3.h>

#include "sidecar/store/store.h"

#define SONA_STORE_APPLICATION_ID 0x534f4e41 /* "SONA" */
#define SONA_STORE_SCHEMA         4          /* user_version; the number of schema steps */
#define SONA_STORE_PAGE_BYTES     16384      /* 14 records of 256 dims */

/* Beside SQLite's codes: a batch in the intake log is not what was appended. */
#define SONA_STORE_LOG_OVERWRITTEN SQLITE_MISMATCH

/* A parameter for each column of table `event`. A statement begins, steps and ends once for all its
 * rows. */
#define SONA_STORE_ROW "(?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)"
#define SONA_STORE_ROWS_8                                                                      \
    SONA_STORE_ROW "," SONA_STORE_ROW "," SONA_STORE_ROW "," SONA_STORE_ROW "," SONA_STORE_ROW \
                   "," SONA_STORE_ROW "," SONA_STORE_ROW "," SONA_STORE_ROW
#define SONA_STORE_MANY 32u /* rows of insert_many */

/* Statements of the writer: X(name, sql) */
#define SONA_STORE_STATEMENTS(X)                                                                  \
    X(begin, "BEGIN IMMEDIATE")                                                                   \
    X(commit, "COMMIT")                                                                           \
    X(rollback, "ROLLBACK")                                                                       \
    X(insert, "INSERT INTO event VALUES" SONA_STORE_ROW)                                          \
    X(insert_many, "INSERT INTO event VALUES" SONA_STORE_ROWS_8 "," SONA_STORE_ROWS_8             \
                   "," SONA_STORE_ROWS_8 "," SONA_STORE_ROWS_8)                                   \
    X(replace, "REPLACE INTO event VALUES" SONA_STORE_ROW)                                        \
    X(lane, "INSERT INTO lane VALUES(?1,?2,?3,?4) ON CONFLICT(identity) DO UPDATE SET "           \
            "uid=excluded.uid, next=max(next,excluded.next), seen_ms=excluded.seen_ms")           \
    X(lane_end, "DELETE FROM lane WHERE identity=?1")                                             \
    X(progress, "UPDATE store SET position=?1, intake_seq=?2")                                    \
    X(rows, "SELECT * FROM event WHERE position>=?1 AND position<=?2 ORDER BY position LIMIT ?3") \
    X(thinned, "UPDATE store SET thinned=?1")                                                     \
    X(remove, "DELETE FROM event WHERE position<?1")                                              \
    X(removed, "UPDATE store SET first=max(first,?1)")                                            \
    X(oldest, "SELECT position, written_ms FROM event ORDER BY position LIMIT 1")                 \
    X(part, "REPLACE INTO part VALUES(?1,?2)")                                                    \
    X(part_remove, "DELETE FROM part WHERE id=?1")                                                \
    X(generation, "INSERT INTO generation VALUES(?1,?2,?3,?4,?5,?6,?7)")                          \
    X(generation_remove, "DELETE FROM generation WHERE number=?1")                                \
    X(pin, "UPDATE generation SET pinned=?2 WHERE number=?1")                                     \
    X(imported, "INSERT OR IGNORE INTO imported VALUES(?1,?2)")                                   \
    X(imported_undone, "DELETE FROM imported WHERE position>?1")

enum sona_store_statement {
#define SONA_STORE_STATEMENT(name, sql) SONA_STORE_SQL_##name,
    SONA_STORE_STATEMENTS(SONA_STORE_STATEMENT)
#undef SONA_STORE_STATEMENT
        SONA_STORE_SQLS
};

/* The row of table `store`. */
struct sona_store_state {
    uint8_t uuid[16];
    uint64_t position;   /* of the last row */
    uint64_t intake_seq; /* of the last batch of the intake log that is in the journal */
    uint64_t first;      /* oldest row, or position + 1 */
    uint64_t thinned;    /* rows up to here have no exact vectors */
};

/* Open a connection; `path` exists. The first one opened makes or upgrades the schema. */
sona_err sona_store_database_open(sqlite3 **ret, const char *path, const char *vfs,
                                  sona_diag *reterr);
sona_err sona_store_database_prepare(sqlite3 *db, const char *path);
/* Check whose database it is, make the schema or bring it up to date. */
sona_err sona_store_schema_open(sqlite3 *db, const char *path, sona_diag *reterr);
/* The SQL of one step, 1 to SONA_STORE_SCHEMA. */
const char *sona_store_schema_step(uint32_t step);
sona_err sona_store_state_read(sqlite3 *db, const char *path, struct sona_store_state *ret,
                               sona_diag *reterr);

/* Say what a result code of SQLite means for the file at `path`, and what to do. */
sona_err sona_store_sqlite_error(sqlite3 *db, int rc, const char *path, sona_diag *reterr);
/* The first column of the first row of a statement without parameters. */
int sona_store_sqlite_number(sqlite3 *db, const char *sql, int64_t *ret);

static inline void sona_store_bind(sqlite3_stmt *stmt, int column, uint64_t value)
{
    (void)sqlite3_bind_int64(stmt, column, (sqlite3_int64)value);
}

static inline uint64_t sona_store_column(sqlite3_stmt *stmt, int column)
{
    return (uint64_t)sqlite3_column_int64(stmt, column);
}

#endif
