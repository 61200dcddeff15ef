// SPDX-License-Identifier: Apache-2.0
// The records' data base: SQLite in WAL mode, every commit flushed, schema versioned.
#include "internal.h"

#include <fcntl.h>
#include <stdio.h>

#define BUSY_TIMEOUT_MS 15000 /* a second process of this node may write */
/* The log of changes stays below what is reserved for it, so that volumes can be taken down and
 * deleted when the file system is full. */
#define WAL_RESERVED_BYTES (1024 * 1024)
#define WAL_CHECKPOINT_PAGES 64 /* of 4 KiB */

static const char schema[] =
	"CREATE TABLE meta(key TEXT PRIMARY KEY, value TEXT NOT NULL);"
	"CREATE TABLE volumes(id TEXT PRIMARY KEY, name TEXT NOT NULL UNIQUE, size INTEGER NOT "
	"NULL, header INTEGER NOT NULL,"
	" encrypted INTEGER NOT NULL, block INTEGER NOT NULL, fs_type TEXT NOT NULL, parameters "
	"TEXT NOT NULL,"
	" mutable_parameters TEXT NOT NULL, source INTEGER NOT NULL, source_id TEXT NOT NULL, "
	"format INTEGER NOT NULL,"
	" nonce TEXT NOT NULL, fs_made INTEGER NOT NULL, fs_nonce TEXT NOT NULL, fs_bytes INTEGER "
	"NOT NULL, pin_uuid TEXT NOT NULL, pin_cipher TEXT "
	"NOT NULL,"
	" pin_offset INTEGER NOT NULL, pin_sector INTEGER NOT NULL, pin_digest TEXT NOT NULL, "
	"modes INTEGER NOT NULL,"
	" created INTEGER NOT NULL, adopted INTEGER NOT NULL, state INTEGER NOT NULL);"
	"CREATE TABLE snapshots(id TEXT PRIMARY KEY, name TEXT NOT NULL UNIQUE, volume_id TEXT NOT "
	"NULL, group_id TEXT NOT NULL,"
	" kind INTEGER NOT NULL, size INTEGER NOT NULL, header INTEGER NOT NULL, encrypted INTEGER "
	"NOT NULL,"
	" block INTEGER NOT NULL, ready INTEGER NOT NULL, fs_type TEXT NOT NULL, format INTEGER "
	"NOT NULL,"
	" fs_made INTEGER NOT NULL, pin_uuid TEXT NOT NULL, pin_cipher TEXT NOT NULL, pin_offset "
	"INTEGER NOT NULL,"
	" pin_sector INTEGER NOT NULL, pin_digest TEXT NOT NULL, created INTEGER NOT NULL, "
	"created_nanos INTEGER NOT NULL,"
	" location TEXT NOT NULL);"
	"CREATE INDEX snapshots_volume ON snapshots(volume_id);"
	"CREATE TABLE growing(volume_id TEXT PRIMARY KEY);"
	"CREATE TABLE groups(id TEXT PRIMARY KEY, name TEXT NOT NULL UNIQUE);"
	"CREATE TABLE uses(volume_id TEXT NOT NULL, kind INTEGER NOT NULL, path TEXT NOT NULL, cap "
	"TEXT NOT NULL,"
	" readonly INTEGER NOT NULL, PRIMARY KEY(volume_id, kind, path));";

static int db_error(struct backend *b, const char *what, struct err *e)
{
	int code = sqlite3_errcode(b->db);
	int r = code == SQLITE_FULL    ? -ENOSPC
		: code == SQLITE_NOMEM ? -ENOMEM
		: code == SQLITE_BUSY  ? -EINPROGRESS
				       : -EIO;

	return err_set(e, r, "records: %s: %s", what, sqlite3_errmsg(b->db));
}

void state_lock(struct backend *b)
{
	pthread_mutex_lock(&b->lock);
}

void state_unlock(struct backend *b)
{
	pthread_mutex_unlock(&b->lock);
}

const char *state_text(sqlite3_stmt *s, int column)
{
	const unsigned char *t = sqlite3_column_text(s, column);

	return t ? (const char *)t : "";
}

static int bind_all(struct backend *b, sqlite3_stmt *s, const char *types, va_list ap,
		    struct err *e)
{
	for (int i = 0; types[i]; i++) {
		int rc;

		if (types[i] == 't')
			rc = sqlite3_bind_text(s, i + 1, va_arg(ap, const char *), -1,
					       SQLITE_TRANSIENT);
		else
			rc = sqlite3_bind_int64(s, i + 1, va_arg(ap, int64_t));
		if (rc != SQLITE_OK)
			return db_error(b, "bind", e);
	}
	return 0;
}

static int prepare(struct backend *b, sqlite3_stmt **ret, const char *sql, const char *types,
		   va_list ap, struct err *e)
{
	sqlite3_stmt *s;
	int r;

	if (sqlite3_prepare_v2(b->db, sql, -1, &s, NULL) != SQLITE_OK)
		return db_error(b, "prepare", e);
	r = bind_all(b, s, types, ap, e);
	if (r) {
		sqlite3_finalize(s);
		return r;
	}
	*ret = s;
	return 0;
}

int state_query(struct backend *b, sqlite3_stmt **ret, struct err *e, const char *sql,
		const char *types, ...)
{
	va_list ap;
	int r;

	va_start(ap, types);
	r = prepare(b, ret, sql, types, ap, e);
	va_end(ap);
	return r;
}

int state_step(struct backend *b, sqlite3_stmt *s, struct err *e)
{
	switch (sqlite3_step(s)) {
	case SQLITE_ROW:
		return 1;
	case SQLITE_DONE:
		return 0;
	default:
		return db_error(b, "step", e);
	}
}

int state_run(struct backend *b, int *ret_changes, struct err *e, const char *sql,
	      const char *types, ...)
{
	sqlite3_stmt *s;
	va_list ap;
	int r;

	va_start(ap, types);
	r = prepare(b, &s, sql, types, ap, e);
	va_end(ap);
	if (r)
		return r;
	r = state_step(b, s, e);
	sqlite3_finalize(s);
	if (r < 0)
		return r;
	if (ret_changes)
		*ret_changes = sqlite3_changes(b->db);
	return 0;
}

int state_begin(struct backend *b, struct err *e)
{
	int r;

	state_lock(b);
	r = state_run(b, NULL, e, "BEGIN IMMEDIATE", "");
	if (r)
		state_unlock(b);
	return r;
}

int state_end(struct backend *b, bool commit, struct err *e)
{
	int r = state_run(b, NULL, e, commit ? "COMMIT" : "ROLLBACK", "");

	if (r && commit)
		(void)!state_run(b, NULL, NULL, "ROLLBACK", "");
	state_unlock(b);
	return r;
}

/* ---- open ---- */

static int exec(struct backend *b, const char *sql, struct err *e)
{
	return sqlite3_exec(b->db, sql, NULL, NULL, NULL) == SQLITE_OK ? 0
								       : db_error(b, "set-up", e);
}

static int get_meta(struct backend *b, const char *key, char *ret, size_t cap, struct err *e)
{
	sqlite3_stmt *s;
	int r;

	r = state_query(b, &s, e, "SELECT value FROM meta WHERE key=?", "t", key);
	if (r)
		return r;
	r = state_step(b, s, e);
	if (r == 1)
		r = text_copy(ret, cap, state_text(s, 0)) ? -EBADMSG : 0;
	else if (!r)
		r = -ENOENT;
	sqlite3_finalize(s);
	return r;
}

static int create_schema(struct backend *b, const char *node_id, struct err *e)
{
	char version[16];
	int r;

	snprintf(version, sizeof(version), "%d", STATE_SCHEMA_VERSION);
	r = exec(b, schema, e);
	r = r
		    ?: state_run(b, NULL, e, "INSERT INTO meta VALUES('schema_version', ?)", "t",
				 version);
	r = r ?: state_run(b, NULL, e, "INSERT INTO meta VALUES('node_id', ?)", "t", node_id);
	/* With the schema, so that a death before the adoption doesn't leave it out. */
	return r ?: state_run(b, NULL, e, "INSERT INTO meta VALUES('adoption', 'due')", "");
}

int state_adoption_due(struct backend *b, struct err *e)
{
	char value[16];
	int r = get_meta(b, "adoption", value, sizeof(value), e);

	return r == -ENOENT ? 0 : r ?: 1;
}

int state_adoption_done(struct backend *b, struct err *e)
{
	return state_run(b, NULL, e, "DELETE FROM meta WHERE key='adoption'", "");
}

static bool has_schema(struct backend *b)
{
	sqlite3_stmt *s;
	bool there;

	if (state_query(b, &s, NULL, "SELECT 1 FROM sqlite_master WHERE name='meta'", ""))
		return false;
	there = state_step(b, s, NULL) == 1;
	sqlite3_finalize(s);
	return there;
}

static int check_schema(struct backend *b, const char *node_id, struct err *e)
{
	char version[16] = "", node[256] = "";
	uint32_t v;
	int r;

	r = get_meta(b, "schema_version", version, sizeof(version), e);
	r = r ?: get_meta(b, "node_id", node, sizeof(node), e);
	if (r || text_parse_u32(version, &v))
		return err_set(e, -EBADMSG, "records: %s/state.db has no schema version", b->dir);
	if (v != STATE_SCHEMA_VERSION)
		return err_set(e, -EOPNOTSUPP,
			       "records: %s/state.db has schema %u, this driver knows %d; use the "
			       "driver that wrote it or a newer one",
			       b->dir, v, STATE_SCHEMA_VERSION);
	if (strcmp(node, node_id) != 0)
		return err_set(e, -EINVAL,
			       "node-id: the records in %s belong to node \"%s\", not \"%s\"",
			       b->dir, node, node_id);
	return 0;
}

/* Columns that came later. Drivers before them leave them out and so keep their defaults, so the
 * schema's version stays. */
static int add_columns(struct backend *b, struct err *e)
{
	static const struct {
		const char *there, *add;
	} columns[] = {
		{ "SELECT 1 FROM pragma_table_info('volumes') WHERE name='pin_mapping'",
		  "ALTER TABLE volumes ADD COLUMN pin_mapping TEXT NOT NULL DEFAULT ''" },
		{ "SELECT 1 FROM pragma_table_info('snapshots') WHERE name='pin_mapping'",
		  "ALTER TABLE snapshots ADD COLUMN pin_mapping TEXT NOT NULL DEFAULT ''" },
	};
	int r = 0;

	for (size_t i = 0; i < ARRAY_SIZE(columns) && r >= 0; i++) {
		sqlite3_stmt *s;

		r = state_query(b, &s, e, columns[i].there, "");
		if (r)
			return r;
		r = state_step(b, s, e);
		sqlite3_finalize(s);
		if (!r)
			r = exec(b, columns[i].add, e);
	}
	return r < 0 ? r : 0;
}

/* A file system that can't, or is full already: then without. */
static void reserve_log(const char *db_path)
{
	char path[4096];
	int fd;

	if ((size_t)snprintf(path, sizeof(path), "%s-wal", db_path) >= sizeof(path))
		return;
	fd = open(path, O_WRONLY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0)
		return;
	if (fallocate(fd, FALLOC_FL_KEEP_SIZE, 0, WAL_RESERVED_BYTES))
		log_debug("%s: nothing is reserved: %s", path, strerrordesc_np(errno));
	close(fd);
}

int state_open(struct backend *b, const char *node_id, struct err *e)
{
	char path[sizeof(b->dir) + 16], checkpoint[64];
	int r;

	snprintf(path, sizeof(path), "%s/state.db", b->dir);
	if (sqlite3_open_v2(path, &b->db,
			    SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_FULLMUTEX,
			    NULL) != SQLITE_OK)
		return db_error(b, path, e);
	sqlite3_busy_timeout(b->db, BUSY_TIMEOUT_MS);
	r = exec(b, "PRAGMA journal_mode=WAL", e);
	r = r ?: exec(b, "PRAGMA synchronous=FULL", e);
	snprintf(checkpoint, sizeof(checkpoint), "PRAGMA wal_autocheckpoint=%d",
		 WAL_CHECKPOINT_PAGES);
	r = r ?: exec(b, checkpoint, e);
	r = r ?: state_begin(b, e);
	if (r)
		return r;
	r = has_schema(b) ? check_schema(b, node_id, e) : create_schema(b, node_id, e);
	r = r ?: add_columns(b, e);
	r = r ? (state_end(b, false, NULL), r) : state_end(b, true, e);
	if (!r)
		reserve_log(path);
	return r;
}

void state_close(struct backend *b)
{
	if (b->db)
		sqlite3_close(b->db);
	b->db = NULL;
}
