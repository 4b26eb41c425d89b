/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Copyright (c) 2026 The SONA authors */
/* See database.h; docs/journal.md explains the tables to those who query them. */
#include "sidecar/store/database.h"

#include <string.h>

#include "shm/diag.h"

#define BUSY_MS 5000 /* how long somebody's own transaction in the file is waited for */

/* Columns without a type keep a float's bits: REAL would turn -0.0 into 0. Fresh tables first; what
 * operators look through came with step 2, what record_share left out with step 3: NULL, and 0, in
 * rows from before it, whose checksums stay what they were. */
static const char *const steps[SONA_STORE_SCHEMA] = {
    "CREATE TABLE store(one INTEGER PRIMARY KEY CHECK(one=1), uuid BLOB NOT NULL, created_ms "
    "INTEGER NOT NULL, position INTEGER NOT NULL, intake_seq INTEGER NOT NULL, first INTEGER NOT "
    "NULL, thinned INTEGER NOT NULL);"
    "INSERT INTO store VALUES(1,randomblob(16),"
    "CAST((julianday('now')-2440587.5)*86400000 AS INTEGER),0,0,1,0);"
    "CREATE TABLE event(position INTEGER PRIMARY KEY, written_ms INTEGER NOT NULL, kind INTEGER "
    "NOT NULL, uid INTEGER, tenant INTEGER, route INTEGER, lane BLOB, lane_seq INTEGER, id "
    "INTEGER, "
    "version INTEGER, now_ms INTEGER, type INTEGER, layer INTEGER, quality, propensity, credit, "
    "p_sample, x BLOB, base BLOB, payload BLOB, sum INTEGER NOT NULL);"
    "CREATE TABLE lane(identity BLOB PRIMARY KEY, uid INTEGER NOT NULL, next INTEGER NOT NULL, "
    "seen_ms INTEGER NOT NULL) WITHOUT ROWID;"
    "CREATE TABLE generation(number INTEGER PRIMARY KEY AUTOINCREMENT, position INTEGER NOT NULL, "
    "created_ms INTEGER NOT NULL, bytes INTEGER NOT NULL, sum INTEGER NOT NULL, pinned INTEGER NOT "
    "NULL, origin INTEGER);"
    "CREATE TABLE part(id INTEGER PRIMARY KEY, data BLOB NOT NULL);",

    "CREATE TABLE kind(number INTEGER PRIMARY KEY, name TEXT NOT NULL);"
#define KIND(name, number) "INSERT INTO kind VALUES(" #number ",'" #name "');"
    SONA_STORE_KINDS(KIND)
#undef KIND
        "CREATE VIEW journal AS SELECT e.position, datetime(e.written_ms/1000,'unixepoch') AS "
        "written, "
        "k.name AS kind, e.uid, e.tenant, iif(e.route=4294967295,NULL,e.route) AS route, "
        "e.quality, "
        "e.propensity, e.now_ms, printf('%016x',e.id) AS id, printf('%016x',e.version) AS version, "
        "hex(e.lane) AS lane, e.lane_seq, e.p_sample, length(e.x) AS x_bytes "
        "FROM event e LEFT JOIN kind k ON k.number=e.kind;"
        "CREATE VIEW outcome AS SELECT position, written, uid, tenant, route, quality, propensity, "
        "id, "
        "version FROM journal WHERE kind IN ('outcome','replace','query_outcome');",

    "ALTER TABLE event ADD COLUMN unrecorded INTEGER;"
    "DROP VIEW outcome;"
    "CREATE VIEW outcome AS SELECT j.position, j.written, j.uid, j.tenant, j.route, j.quality, "
    "j.propensity, j.id, j.version, "
    "iif(j.kind='replace',NULL,1-ifnull(e.unrecorded,0)/65536.0) AS share "
    "FROM journal j JOIN event e ON e.position=j.position "
    "WHERE j.kind IN ('outcome','replace','query_outcome');",

    "CREATE TABLE imported(key INTEGER PRIMARY KEY, position INTEGER NOT NULL);"
    "INSERT OR REPLACE INTO kind VALUES(43,'patterns');",
};

const char *sona_store_schema_step(uint32_t step)
{
    return steps[step - 1];
}

sona_err sona_store_sqlite_error(sqlite3 *db, int rc, const char *path, sona_diag *reterr)
{
    int os = db ? sqlite3_system_errno(db) : 0;
    const char *text = sqlite3_errstr(rc);

    switch (rc & 0xff) {
    case SQLITE_FULL:
        return sona_shm_diag_set(reterr, SONA_E_SYSTEM, 0,
                                 "no space left for %s; free some: journaling and learning go on "
                                 "by themselves",
                                 path);
    case SQLITE_READONLY:
    case SQLITE_PERM:
    case SQLITE_CANTOPEN:
    case SQLITE_AUTH:
        return sona_shm_diag_set(reterr, SONA_E_PERMISSION, os,
                                 "cannot write %s: %s; make it and its directory writable", path,
                                 text);
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
        return sona_shm_diag_set(reterr, SONA_E_FORMAT, 0,
                                 "%s is damaged, or no database; move it away with its -wal and "
                                 "-shm, and try \"sqlite3 FILE .recover\" on it",
                                 path);
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        return sona_shm_diag_set(reterr, SONA_E_BUSY, 0,
                                 "another program holds a lock on %s; end its transaction", path);
    case SONA_STORE_LOG_OVERWRITTEN:
        return sona_shm_diag_set(reterr, SONA_E_FORMAT, 0,
                                 "another program wrote into the intake log of %s; find it, and "
                                 "restart the sidecar",
                                 path);
    case SQLITE_NOMEM:
        return sona_shm_diag_set(reterr, SONA_E_MEMORY, 0, "out of memory for %s", path);
    case SQLITE_IOERR:
        return sona_shm_diag_set(reterr, SONA_E_SYSTEM, os,
                                 "reading or writing %s failed: %s; look at the disk", path, text);
    default:
        return sona_shm_diag_set(reterr, SONA_E_SYSTEM, os, "%s: %s", path,
                                 db ? sqlite3_errmsg(db) : text);
    }
}

int sona_store_sqlite_number(sqlite3 *db, const char *sql, int64_t *ret)
{
    sqlite3_stmt *stmt;
    int rc = sqlite3_prepare_v2(db, sql, -1, &stmt, NULL);

    if (rc != SQLITE_OK)
        return rc;
    rc = sqlite3_step(stmt);
    if (rc == SQLITE_ROW)
        *ret = sqlite3_column_int64(stmt, 0);
    int end = sqlite3_finalize(stmt);
    return rc == SQLITE_ROW ? SQLITE_OK : end != SQLITE_OK ? end : SQLITE_CORRUPT;
}

/* Every connection: checkpoints are the keeper's alone, and what is deleted is overwritten. */
static int set_up(sqlite3 *db)
{
    char sql[400];

    (void)snprintf(sql, sizeof sql,
                   "PRAGMA page_size=%d; PRAGMA journal_mode=WAL; PRAGMA wal_autocheckpoint=0;"
                   "PRAGMA synchronous=NORMAL; PRAGMA secure_delete=ON; PRAGMA temp_store=MEMORY;"
                   "PRAGMA trusted_schema=OFF; PRAGMA cell_size_check=ON;",
                   SONA_STORE_PAGE_BYTES);
    (void)sqlite3_busy_timeout(db, BUSY_MS);
    (void)sqlite3_extended_result_codes(db, 1);
    return sqlite3_exec(db, sql, NULL, NULL, NULL);
}

sona_err sona_store_database_open(sqlite3 **ret, const char *path, const char *vfs,
                                  sona_diag *reterr)
{
    sqlite3 *db = NULL;
    int rc = sqlite3_open_v2(path, &db,
                             SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_NOFOLLOW |
                                 SQLITE_OPEN_PRIVATECACHE,
                             vfs);

    if (rc == SQLITE_OK)
        rc = set_up(db);
    if (rc == SQLITE_OK) {
        *ret = db;
        return SONA_OK;
    }
    sona_err err = sona_store_sqlite_error(db, rc, path, reterr);
    (void)sqlite3_close(db);
    return err;
}

static sona_err foreign(const char *path, sona_diag *reterr)
{
    return sona_shm_diag_set(reterr, SONA_E_FORMAT, 0,
                             "%s is a database of another program; move it away, or choose another "
                             "state_dir",
                             path);
}

/* Steps `from` + 1 and up, in one transaction: a kill leaves the old schema. */
static int upgrade(sqlite3 *db, int64_t from)
{
    char sql[100];
    int rc = sqlite3_exec(db, "BEGIN IMMEDIATE", NULL, NULL, NULL);

    for (int64_t step = from; step < SONA_STORE_SCHEMA && rc == SQLITE_OK; step++)
        rc = sqlite3_exec(db, steps[step], NULL, NULL, NULL);
    (void)snprintf(sql, sizeof sql, "PRAGMA application_id=%d; PRAGMA user_version=%d; COMMIT",
                   SONA_STORE_APPLICATION_ID, SONA_STORE_SCHEMA);
    if (rc == SQLITE_OK)
        rc = sqlite3_exec(db, sql, NULL, NULL, NULL);
    if (rc != SQLITE_OK)
        (void)sqlite3_exec(db, "ROLLBACK", NULL, NULL, NULL);
    return rc;
}

sona_err sona_store_schema_open(sqlite3 *db, const char *path, sona_diag *reterr)
{
    int64_t id = 0, version = 0, tables = 0;
    int rc = sona_store_sqlite_number(db, "PRAGMA application_id", &id);

    if (rc == SQLITE_OK)
        rc = sona_store_sqlite_number(db, "PRAGMA user_version", &version);
    if (rc == SQLITE_OK)
        rc = sona_store_sqlite_number(db, "SELECT count(*) FROM sqlite_schema", &tables);
    if (rc != SQLITE_OK)
        return sona_store_sqlite_error(db, rc, path, reterr);
    /* Nothing in it: new, or its making was cut short. */
    if (id != SONA_STORE_APPLICATION_ID && (id != 0 || version != 0 || tables != 0))
        return foreign(path, reterr);
    if (version > SONA_STORE_SCHEMA)
        return sona_shm_diag_set(
            reterr, SONA_E_ABI, 0,
            "%s has schema %lld, from a newer sona-sidecar; this one knows %d: "
            "upgrade it, or choose another state_dir",
            path, (long long)version, SONA_STORE_SCHEMA);
    if (version < 0 || (version == 0 && tables != 0))
        return foreign(path, reterr);
    if (version < SONA_STORE_SCHEMA && (rc = upgrade(db, version)) != SQLITE_OK)
        return sona_store_sqlite_error(db, rc, path, reterr);
    return SONA_OK;
}

sona_err sona_store_state_read(sqlite3 *db, const char *path, struct sona_store_state *ret,
                               sona_diag *reterr)
{
    sqlite3_stmt *stmt;
    int rc = sqlite3_prepare_v2(db, "SELECT uuid, position, intake_seq, first, thinned FROM store",
                                -1, &stmt, NULL);

    if (rc != SQLITE_OK)
        return sona_store_sqlite_error(db, rc, path, reterr);
    rc = sqlite3_step(stmt);
    if (rc == SQLITE_ROW && sqlite3_column_bytes(stmt, 0) == 16) {
        memcpy(ret->uuid, sqlite3_column_blob(stmt, 0), 16);
        ret->position = sona_store_column(stmt, 1);
        ret->intake_seq = sona_store_column(stmt, 2);
        ret->first = sona_store_column(stmt, 3);
        ret->thinned = sona_store_column(stmt, 4);
        (void)sqlite3_finalize(stmt);
        return SONA_OK;
    }
    (void)sqlite3_finalize(stmt);
    return sona_store_sqlite_error(db, rc == SQLITE_ROW || rc == SQLITE_DONE ? SQLITE_CORRUPT : rc,
                                   path, reterr);
}
