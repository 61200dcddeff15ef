// SPDX-License-Identifier: Apache-2.0
// The records' data base: SQLite with a rollback journal, every commit flushed, schema versioned.
// No file of it is mapped: a store into a mapping can't fail, it kills the process where the disk
// is full or broken. (A write-ahead log has such a mapping, its index.)
#include "internal.h"

#include <fcntl.h>
#include <stdio.h>

#define BUSY_TIMEOUT_MS 15000 /* a second process of this node may write */
/* Of the data base and its journal, each: a journal keeps its blocks from one change to the next.
 */
#define RESERVED_BYTES (256 * 1024)
#define RELEASE_TRIES 2
#define FORMAT_OFFSET 18 /* of the data base's header: 2 = with a write-ahead log */

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

/* A flush may find the disk full, too: that is an I/O error to SQLite. */
static bool is_full(struct backend *b, int code)
{
	int err = code == SQLITE_IOERR ? sqlite3_system_errno(b->db) : 0;

	return code == SQLITE_FULL || err == ENOSPC || err == EDQUOT;
}

static int db_error(struct backend *b, const char *what, struct err *e)
{
	int code = sqlite3_errcode(b->db);
	int r = is_full(b, code)	? -ENOSPC
		: code == SQLITE_NOMEM	? -ENOMEM
		: code == SQLITE_BUSY	? -EINPROGRESS
		: code == SQLITE_NOTADB ? -EBADMSG
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

	if (b->opened && !b->up)
		return err_set(e, b->why.code, "%s", err_text(&b->why));
	r = b->up ? disk_same(b, e) : 0;
	if (r)
		return r;
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

static int run(struct backend *b, int *ret_changes, struct err *e, const char *sql,
	       const char *types, va_list ap)
{
	sqlite3_stmt *s = NULL;
	int r;

	r = prepare(b, &s, sql, types, ap, e);
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

int state_run(struct backend *b, int *ret_changes, struct err *e, const char *sql,
	      const char *types, ...)
{
	va_list ap;
	int r;

	va_start(ap, types);
	r = run(b, ret_changes, e, sql, types, ap);
	va_end(ap);
	return r;
}

int state_release(struct backend *b, int *ret_changes, struct err *e, const char *sql,
		  const char *types, ...)
{
	va_list ap;
	int r;

	va_start(ap, types);
	r = run(b, ret_changes, e, sql, types, ap);
	va_end(ap);
	for (int i = 0; i < RELEASE_TRIES && r == -ENOSPC && sqlite3_get_autocommit(b->db); i++) {
		/* What was freed just now, too, may be had only after a flush (btrfs). */
		(void)disk_spend_reserve(b);
		(void)!syncfs(b->fd_volumes);
		err_clear(e);
		va_start(ap, types);
		r = run(b, ret_changes, e, sql, types, ap);
		va_end(ap);
	}
	if (b->reserve_spent)
		disk_reserve(b);
	return r;
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

static int exec(struct backend *b, const char *sql, struct err *e)
{
	return sqlite3_exec(b->db, sql, NULL, NULL, NULL) == SQLITE_OK ? 0
								       : db_error(b, "set-up", e);
}

/* What was begun is ended even where the state directory is gone meanwhile. */
int state_end(struct backend *b, bool commit, struct err *e)
{
	int r = exec(b, commit ? "COMMIT" : "ROLLBACK", e);

	if (r && commit)
		(void)!exec(b, "ROLLBACK", NULL);
	state_unlock(b);
	return r;
}

/* ---- open ---- */

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

#define THERE_IS_A_SCHEMA "SELECT 1 FROM sqlite_master WHERE name='meta'"

/* Columns that came later. Drivers before them leave them out and so keep their defaults, so the
 * schema's version stays. */
static const struct {
	const char *there, *add;
} columns[] = {
	{ "SELECT 1 FROM pragma_table_info('volumes') WHERE name='pin_mapping'",
	  "ALTER TABLE volumes ADD COLUMN pin_mapping TEXT NOT NULL DEFAULT ''" },
	{ "SELECT 1 FROM pragma_table_info('snapshots') WHERE name='pin_mapping'",
	  "ALTER TABLE snapshots ADD COLUMN pin_mapping TEXT NOT NULL DEFAULT ''" },
};

/* 1 or 0; a data base that can't be read isn't one without the row. */
static int has_row(struct backend *b, const char *sql, struct err *e)
{
	sqlite3_stmt *s;
	int r;

	r = state_query(b, &s, e, sql, "");
	if (r)
		return r;
	r = state_step(b, s, e);
	sqlite3_finalize(s);
	return r;
}

/* Only records that lack one are written: the disk may be full or read-only. */
static int add_columns(struct backend *b, struct err *e)
{
	int r = 1;

	for (size_t i = 0; i < ARRAY_SIZE(columns) && r == 1; i++)
		r = has_row(b, columns[i].there, e);
	if (r)
		return r < 0 ? r : 0;
	r = state_begin(b, e);
	if (r)
		return r;
	for (size_t i = 0; i < ARRAY_SIZE(columns) && r >= 0; i++) {
		r = has_row(b, columns[i].there, e);
		if (!r)
			r = exec(b, columns[i].add, e);
	}
	return r < 0 ? (state_end(b, false, NULL), r) : state_end(b, true, e);
}

static bool has_log(const char *db_path)
{
	_cleanup_close_ int fd = open(db_path, O_RDONLY | O_CLOEXEC);
	uint8_t format = 0;

	return fd >= 0 && pread(fd, &format, 1, FORMAT_OFFSET) == 1 && format == 2;
}

/* Records with a write-ahead log are of an older driver. With the data base to ourselves SQLite
 * keeps the log's index in its own memory, so the log can be folded in even on a full disk. Where
 * there is no room for that, the log stays, and the data base stays ours alone. */
static int leave_log(struct backend *b, struct err *e)
{
	int r;

	r = exec(b, "PRAGMA locking_mode=EXCLUSIVE", e);
	r = r ?: exec(b, "SELECT COUNT(*) FROM sqlite_master", e);
	if (r || exec(b, "PRAGMA journal_mode=PERSIST", NULL))
		return r;
	r = exec(b, "PRAGMA locking_mode=NORMAL", e);
	return r ?: exec(b, "SELECT COUNT(*) FROM sqlite_master", e);
}

static int set_up(struct backend *b, const char *path, struct err *e)
{
	int r;

	/* First of all: other pragmas read the data base already. */
	r = has_log(path) ? leave_log(b, e) : exec(b, "PRAGMA journal_mode=PERSIST", e);
	r = r ?: exec(b, "PRAGMA mmap_size=0", e);
	return r ?: exec(b, "PRAGMA synchronous=FULL", e);
}

/* Another process may be faster, so it is looked again with the right to write. */
static int make_schema(struct backend *b, const char *node_id, struct err *e)
{
	int r;

	r = state_begin(b, e);
	if (r)
		return r;
	r = has_row(b, THERE_IS_A_SCHEMA, e);
	if (!r)
		r = create_schema(b, node_id, e);
	return r < 0 ? (state_end(b, false, NULL), r) : state_end(b, true, e);
}

int state_open(struct backend *b, const char *node_id, struct err *e)
{
	char path[sizeof(b->dir) + 32];
	int r;

	snprintf(path, sizeof(path), "%s/state.db-journal", b->dir);
	disk_keep_in_place(path, RESERVED_BYTES);
	snprintf(path, sizeof(path), "%s/state.db", b->dir);
	disk_keep_in_place(path, RESERVED_BYTES);
	if (sqlite3_open_v2(path, &b->db,
			    SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_FULLMUTEX,
			    NULL) != SQLITE_OK)
		return db_error(b, path, e);
	sqlite3_busy_timeout(b->db, BUSY_TIMEOUT_MS);
	r = set_up(b, path, e);
	if (r)
		return r;
	r = has_row(b, THERE_IS_A_SCHEMA, e);
	if (!r)
		r = make_schema(b, node_id, e);
	if (r < 0)
		return r;
	r = check_schema(b, node_id, e);
	return r ?: add_columns(b, e);
}

void state_close(struct backend *b)
{
	if (b->db)
		sqlite3_close(b->db);
	b->db = NULL;
}
