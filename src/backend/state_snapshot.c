// SPDX-License-Identifier: Apache-2.0
// Snapshot and group records, and what uses a volume.
#include "internal.h"

#include <cryptvol/backup.h>

#define COLUMNS                                                                                 \
	"id, name, volume_id, group_id, kind, size, header, encrypted, block, ready, fs_type, " \
	"format, fs_made, pin_uuid,"                                                            \
	" pin_cipher, pin_offset, pin_sector, pin_digest, created, created_nanos, location, "   \
	"pin_mapping"

static int copy(char *dst, size_t cap, sqlite3_stmt *s, int column)
{
	return text_copy(dst, cap, state_text(s, column));
}

static int read_row(sqlite3_stmt *s, struct backend_snapshot *ret)
{
	struct backend_snapshot v = { .kind = (enum backend_snapshot_kind)sqlite3_column_int(s, 4),
				      .size_bytes = (uint64_t)sqlite3_column_int64(s, 5),
				      .header_bytes = (uint64_t)sqlite3_column_int64(s, 6),
				      .encrypted = sqlite3_column_int(s, 7) != 0,
				      .block = sqlite3_column_int(s, 8) != 0,
				      .ready = sqlite3_column_int(s, 9) != 0,
				      .format = (enum backend_format)sqlite3_column_int(s, 11),
				      .fs_made = sqlite3_column_int(s, 12) != 0,
				      .pin.data_offset_bytes = (uint64_t)sqlite3_column_int64(s,
											      15),
				      .pin.sector_size_bytes = (uint32_t)sqlite3_column_int(s, 16),
				      .created_seconds = sqlite3_column_int64(s, 18),
				      .created_nanos = sqlite3_column_int64(s, 19) };

	if (copy(v.id, sizeof(v.id), s, 0) || copy(v.name, sizeof(v.name), s, 1) ||
	    copy(v.volume_id, sizeof(v.volume_id), s, 2) ||
	    copy(v.group_id, sizeof(v.group_id), s, 3) ||
	    copy(v.fs_type, sizeof(v.fs_type), s, 10) ||
	    copy(v.pin.uuid, sizeof(v.pin.uuid), s, 13) ||
	    copy(v.pin.cipher, sizeof(v.pin.cipher), s, 14) ||
	    copy(v.pin.digest, sizeof(v.pin.digest), s, 17) ||
	    copy(v.pin.mapping, sizeof(v.pin.mapping), s, 21) ||
	    copy(v.location, sizeof(v.location), s, 20))
		return -EBADMSG;
	*ret = v;
	return 0;
}

int snapshot_row_by(struct backend *b, const char *column, const char *value,
		    struct backend_snapshot *ret, struct err *e)
{
	const char *sql = strcmp(column, "id") ? "SELECT " COLUMNS " FROM snapshots WHERE name=?"
					       : "SELECT " COLUMNS " FROM snapshots WHERE id=?";
	sqlite3_stmt *s;
	int r;

	r = state_query(b, &s, e, sql, "t", value);
	if (r)
		return r;
	r = state_step(b, s, e);
	if (r == 1) {
		r = read_row(s, ret);
		if (r)
			err_set(e, r, "records: the row of snapshot \"%s\" can't be read", value);
	} else if (!r) {
		r = err_set(e, -ENOENT, "snapshot \"%s\" doesn't exist", value);
	}
	sqlite3_finalize(s);
	return r;
}

int snapshot_row_insert(struct backend *b, const struct backend_snapshot *v, struct err *e)
{
	return state_run(b, NULL, e,
			 "INSERT INTO snapshots(" COLUMNS
			 ") VALUES(?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)",
			 "ttttiiiiiitiittiitiitt", v->id, v->name, v->volume_id, v->group_id,
			 (int64_t)v->kind, (int64_t)v->size_bytes, (int64_t)v->header_bytes,
			 (int64_t)v->encrypted, (int64_t)v->block, (int64_t)v->ready, v->fs_type,
			 (int64_t)v->format, (int64_t)v->fs_made, v->pin.uuid, v->pin.cipher,
			 (int64_t)v->pin.data_offset_bytes, (int64_t)v->pin.sector_size_bytes,
			 v->pin.digest, v->created_seconds, v->created_nanos, v->location,
			 v->pin.mapping);
}

int snapshot_row_ready(struct backend *b, const char *id, struct err *e)
{
	return state_run(b, NULL, e, "UPDATE snapshots SET ready=1 WHERE id=?", "t", id);
}

int snapshot_row_delete(struct backend *b, const char *id, struct err *e)
{
	return state_release(b, NULL, e, "DELETE FROM snapshots WHERE id=?", "t", id);
}

/* Rows into a growing array; with @max, *ret_more tells that there are more. */
static int collect(struct backend *b, sqlite3_stmt *s, size_t max, struct backend_snapshot **ret,
		   size_t *ret_n, bool *ret_more, struct err *e)
{
	struct backend_snapshot *list = NULL;
	size_t n = 0;
	int r;

	*ret_more = false;
	while ((r = state_step(b, s, e)) == 1) {
		struct backend_snapshot *grown;

		if (max && n == max) {
			*ret_more = true;
			r = 0;
			break;
		}
		grown = reallocarray(list, n + 1, sizeof(*list));
		if (!grown) {
			r = err_set(e, -ENOMEM, "no memory for the list");
			break;
		}
		list = grown;
		r = read_row(s, &list[n]);
		if (r) {
			err_set(e, r, "records: a snapshot's row can't be read");
			break;
		}
		n++;
	}
	if (r) {
		free(list);
		return r;
	}
	*ret = list;
	*ret_n = n;
	return 0;
}

int snapshot_rows_of_group(struct backend *b, const char *group_id, struct backend_snapshot **ret,
			   size_t *ret_n, struct err *e)
{
	sqlite3_stmt *s;
	bool more;
	int r;

	r = state_query(b, &s, e, "SELECT " COLUMNS " FROM snapshots WHERE group_id=? ORDER BY id",
			"t", group_id);
	if (r)
		return r;
	r = collect(b, s, 0, ret, ret_n, &more, e);
	sqlite3_finalize(s);
	return r;
}

/* ---- the face ---- */

const char *snapshot_backup_name(const struct backend_snapshot *s)
{
	const char *slash = strchr(s->id, '/');

	return slash ? slash + 1 : s->id;
}

/* The names of the driver's own: "backup-<32 hex>.<node>". It always says what it knows; others
 * may have taken whatever stood on a device. */
static bool made_by_driver(const char *name)
{
	return !strncmp(name, "backup-", 7) && strspn(name + 7, "0123456789abcdef") == 32 &&
	       name[39] == '.';
}

static int from_manifest(const struct backend *b, const char *id, const struct backup_info *i,
			 struct backend_snapshot *ret, struct err *e)
{
	bool unknown = !i->fs_type[0] && !made_by_driver(i->name);
	struct backend_snapshot s = { .kind = BACKEND_BACKUP,
				      .size_bytes = i->size_bytes,
				      .header_bytes = i->header_bytes,
				      .encrypted = i->encrypted,
				      .block = !i->fs_type[0] && !unknown,
				      .content_unknown = unknown,
				      .ready = true,
				      .format = BACKEND_FORMATTED,
				      .fs_made = i->fs_type[0] || unknown,
				      .created_seconds = i->created_seconds };

	s.pin.data_offset_bytes = i->pin.data_offset_bytes;
	s.pin.sector_size_bytes = (uint32_t)i->pin.sector_size_bytes;
	/* The command line's once had the header counted in. */
	if (s.header_bytes < i->device_bytes && s.size_bytes > i->device_bytes - s.header_bytes)
		s.size_bytes = i->device_bytes - s.header_bytes;
	if (text_copy(s.id, sizeof(s.id), id) || text_copy(s.name, sizeof(s.name), i->name) ||
	    text_copy(s.volume_id, sizeof(s.volume_id), i->volume) ||
	    text_copy(s.fs_type, sizeof(s.fs_type), i->fs_type) ||
	    text_copy(s.pin.uuid, sizeof(s.pin.uuid), i->uuid) ||
	    text_copy(s.pin.cipher, sizeof(s.pin.cipher), i->pin.cipher) ||
	    text_copy(s.pin.digest, sizeof(s.pin.digest), i->pin.digest) ||
	    text_copy(s.pin.mapping, sizeof(s.pin.mapping), i->pin.mapping) ||
	    text_copy(s.location, sizeof(s.location), b->backup_dir))
		return err_set(e, -EBADMSG, "backup \"%s\": a name in it is too long", i->name);
	*ret = s;
	return 0;
}

/* A backup of another node stands in the shared directory only. What it holds is open only. */
static int find_manifest(const struct backend *b, const char *id, struct backend_snapshot *ret,
			 struct err *e)
{
	struct backup_watch watch = look_up_watch(b);
	struct backup_info i;
	int r;

	r = *b->backup_dir ? backup_find(b->backup_dir, id, &watch, &i, e) : -ENOENT;
	if (r == -ENOENT)
		return err_set(e, r, "snapshot \"%s\" doesn't exist", id);
	return r ?: from_manifest(b, id, &i, ret, e);
}

int snapshot_lookup(struct backend *b, const char *id, struct backend_snapshot *ret, struct err *e)
{
	int r;

	state_lock(b);
	r = snapshot_row_by(b, "id", id, ret, e);
	state_unlock(b);
	return r == -ENOENT ? find_manifest(b, id, ret, e) : r;
}

int backend_snapshot_get(struct backend *b, const char *id, struct backend_snapshot *ret,
			 struct err *e)
{
	int r;

	state_lock(b);
	r = snapshot_row_by(b, "id", id, ret, e);
	state_unlock(b);
	if (r != -ENOENT || !*b->backup_dir)
		return r;
	r = slow_enter(b, e);
	if (r)
		return r;
	r = find_manifest(b, id, ret, e);
	slow_leave(b);
	return r;
}

int backend_snapshot_find(struct backend *b, const char *name, struct backend_snapshot *ret,
			  struct err *e)
{
	int r;

	state_lock(b);
	r = snapshot_row_by(b, "name", name, ret, e);
	state_unlock(b);
	return r;
}

int backend_snapshot_list(struct backend *b, const char *volume_id, const char *after, size_t max,
			  struct backend_snapshot **ret, size_t *ret_n, bool *ret_more,
			  struct err *e)
{
	sqlite3_stmt *s;
	int r;

	state_lock(b);
	r = state_query(
		b, &s, e,
		"SELECT " COLUMNS
		" FROM snapshots WHERE ready=1 AND id>? AND (? = '' OR volume_id=?) ORDER BY id",
		"ttt", after ?: "", volume_id ?: "", volume_id ?: "");
	if (!r) {
		r = collect(b, s, max, ret, ret_n, ret_more, e);
		sqlite3_finalize(s);
	}
	state_unlock(b);
	return r;
}

int backend_group_find(struct backend *b, const char *id, const char *name,
		       char ret_id[BACKEND_ID_MAX], char ret_name[BACKEND_ID_MAX],
		       struct backend_snapshot **ret, size_t *ret_n, struct err *e)
{
	sqlite3_stmt *s;
	int r;

	state_lock(b);
	r = state_query(b, &s, e,
			id ? "SELECT id, name FROM groups WHERE id=?"
			   : "SELECT id, name FROM groups WHERE name=?",
			"t", id ?: name);
	if (!r) {
		r = state_step(b, s, e);
		if (r == 1)
			r = text_copy(ret_id, BACKEND_ID_MAX, state_text(s, 0)) ||
					    text_copy(ret_name, BACKEND_ID_MAX, state_text(s, 1))
				    ? -EBADMSG
				    : 0;
		else if (!r)
			r = err_set(e, -ENOENT, "group snapshot \"%s\" doesn't exist", id ?: name);
		sqlite3_finalize(s);
	}
	if (!r)
		r = snapshot_rows_of_group(b, ret_id, ret, ret_n, e);
	state_unlock(b);
	return r;
}

/* ---- uses ---- */

int backend_use_put(struct backend *b, const char *volume_id, enum backend_use_kind k,
		    const struct backend_use *u, struct err *e)
{
	int r;

	state_lock(b);
	r = state_run(b, NULL, e,
		      "INSERT OR REPLACE INTO uses(volume_id, kind, path, cap, readonly) "
		      "VALUES(?,?,?,?,?)",
		      "titti", volume_id, (int64_t)k, u->path, u->cap, (int64_t)u->readonly);
	state_unlock(b);
	return r;
}

int backend_use_drop(struct backend *b, const char *volume_id, enum backend_use_kind k,
		     const char *path, struct err *e)
{
	int r;

	state_lock(b);
	r = state_release(b, NULL, e, "DELETE FROM uses WHERE volume_id=? AND kind=? AND path=?",
			  "tit", volume_id, (int64_t)k, path);
	state_unlock(b);
	return r;
}

static int collect_uses(struct backend *b, sqlite3_stmt *s, struct backend_use **ret, size_t *ret_n,
			struct err *e)
{
	struct backend_use *list = NULL;
	size_t n = 0;
	int r;

	while ((r = state_step(b, s, e)) == 1) {
		struct backend_use *grown = reallocarray(list, n + 1, sizeof(*list));

		if (!grown) {
			r = err_set(e, -ENOMEM, "no memory for the list");
			break;
		}
		list = grown;
		r = copy(list[n].path, sizeof(list[n].path), s, 0) ||
				    copy(list[n].cap, sizeof(list[n].cap), s, 1)
			    ? err_set(e, -EBADMSG, "records: a use can't be read")
			    : 0;
		if (r)
			break;
		list[n++].readonly = sqlite3_column_int(s, 2) != 0;
	}
	if (r) {
		free(list);
		return r;
	}
	*ret = list;
	*ret_n = n;
	return 0;
}

int backend_use_list(struct backend *b, const char *volume_id, enum backend_use_kind k,
		     struct backend_use **ret, size_t *ret_n, struct err *e)
{
	sqlite3_stmt *s;
	int r;

	state_lock(b);
	r = state_query(
		b, &s, e,
		"SELECT path, cap, readonly FROM uses WHERE volume_id=? AND kind=? ORDER BY path",
		"ti", volume_id, (int64_t)k);
	if (!r) {
		r = collect_uses(b, s, ret, ret_n, e);
		sqlite3_finalize(s);
	}
	state_unlock(b);
	return r;
}

int backend_use_count(struct backend *b, enum backend_use_kind k, const char *path, uint64_t *ret,
		      struct err *e)
{
	sqlite3_stmt *s;
	int r;

	state_lock(b);
	r = state_query(b, &s, e, "SELECT COUNT(*) FROM uses WHERE kind=? AND path=?", "it",
			(int64_t)k, path);
	if (!r) {
		r = state_step(b, s, e);
		if (r == 1) {
			*ret = (uint64_t)sqlite3_column_int64(s, 0);
			r = 0;
		}
		sqlite3_finalize(s);
	}
	state_unlock(b);
	return r;
}
