// SPDX-License-Identifier: Apache-2.0
// Volume records: a row to a struct and back, and the changes of one field each.
#include "internal.h"

#define COLUMNS                                                                                \
	"id, name, size, header, encrypted, block, fs_type, parameters, mutable_parameters, "  \
	"source, source_id, format, nonce, fs_made,"                                           \
	" pin_uuid, pin_cipher, pin_offset, pin_sector, pin_digest, modes, created, adopted, " \
	"state, fs_nonce, fs_bytes, pin_mapping"
#define STATE_COLUMN 22

void backend_volume_clear(struct backend_volume *v)
{
	free(v->parameters);
	free(v->mutable_parameters);
	v->parameters = v->mutable_parameters = NULL;
}

static int copy(char *dst, size_t cap, sqlite3_stmt *s, int column)
{
	return text_copy(dst, cap, state_text(s, column));
}

static int read_row(sqlite3_stmt *s, struct backend_volume *ret)
{
	struct backend_volume v = { .size_bytes = (uint64_t)sqlite3_column_int64(s, 2),
				    .header_bytes = (uint64_t)sqlite3_column_int64(s, 3),
				    .encrypted = sqlite3_column_int(s, 4) != 0,
				    .block = sqlite3_column_int(s, 5) != 0,
				    .source = (enum backend_source)sqlite3_column_int(s, 9),
				    .format = (enum backend_format)sqlite3_column_int(s, 11),
				    .fs_format = (enum backend_format)sqlite3_column_int(s, 13),
				    .fs_bytes = (uint64_t)sqlite3_column_int64(s, 24),
				    .pin.data_offset_bytes = (uint64_t)sqlite3_column_int64(s, 16),
				    .pin.sector_size_bytes = (uint32_t)sqlite3_column_int(s, 17),
				    .access_modes = (uint32_t)sqlite3_column_int(s, 19),
				    .created_seconds = sqlite3_column_int64(s, 20),
				    .adopted = sqlite3_column_int(s, 21) != 0 };

	if (copy(v.id, sizeof(v.id), s, 0) || copy(v.name, sizeof(v.name), s, 1) ||
	    copy(v.fs_type, sizeof(v.fs_type), s, 6) ||
	    copy(v.source_id, sizeof(v.source_id), s, 10) ||
	    copy(v.format_nonce, sizeof(v.format_nonce), s, 12) ||
	    copy(v.pin.uuid, sizeof(v.pin.uuid), s, 14) ||
	    copy(v.pin.cipher, sizeof(v.pin.cipher), s, 15) ||
	    copy(v.pin.digest, sizeof(v.pin.digest), s, 18) ||
	    copy(v.pin.mapping, sizeof(v.pin.mapping), s, 25) ||
	    copy(v.fs_nonce, sizeof(v.fs_nonce), s, 23))
		return -EBADMSG;
	v.parameters = strdup(state_text(s, 7));
	v.mutable_parameters = strdup(state_text(s, 8));
	if (!v.parameters || !v.mutable_parameters) {
		backend_volume_clear(&v);
		return -ENOMEM;
	}
	*ret = v;
	return 0;
}

int volume_row_by(struct backend *b, const char *column, const char *value,
		  struct backend_volume *ret, enum record_state *ret_state, struct err *e)
{
	const char *sql = strcmp(column, "id") ? "SELECT " COLUMNS " FROM volumes WHERE name=?"
					       : "SELECT " COLUMNS " FROM volumes WHERE id=?";
	sqlite3_stmt *s;
	int r;

	r = state_query(b, &s, e, sql, "t", value);
	if (r)
		return r;
	r = state_step(b, s, e);
	if (r == 1) {
		*ret_state = (enum record_state)sqlite3_column_int(s, STATE_COLUMN);
		r = read_row(s, ret);
		if (r)
			err_set(e, r, "records: the row of volume \"%s\" can't be read", value);
	} else if (!r) {
		r = err_set(e, -ENOENT, "volume \"%s\" doesn't exist", value);
	}
	sqlite3_finalize(s);
	return r;
}

int volume_row_insert(struct backend *b, const struct backend_volume *v, enum record_state st,
		      struct err *e)
{
	return state_run(b, NULL, e,
			 "INSERT INTO volumes(" COLUMNS
			 ") VALUES(?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)",
			 "ttiiiitttititittiitiiiitit", v->id, v->name, (int64_t)v->size_bytes,
			 (int64_t)v->header_bytes, (int64_t)v->encrypted, (int64_t)v->block,
			 v->fs_type, v->parameters ?: "{}", v->mutable_parameters ?: "{}",
			 (int64_t)v->source, v->source_id, (int64_t)v->format, v->format_nonce,
			 (int64_t)v->fs_format, v->pin.uuid, v->pin.cipher,
			 (int64_t)v->pin.data_offset_bytes, (int64_t)v->pin.sector_size_bytes,
			 v->pin.digest, (int64_t)v->access_modes, v->created_seconds,
			 (int64_t)v->adopted, (int64_t)st, v->fs_nonce, (int64_t)v->fs_bytes,
			 v->pin.mapping);
}

int volume_row_state(struct backend *b, const char *id, enum record_state st, struct err *e)
{
	return state_release(b, NULL, e, "UPDATE volumes SET state=? WHERE id=?", "it", (int64_t)st,
			     id);
}

int volume_row_delete(struct backend *b, const char *id, struct err *e)
{
	int r = state_release(b, NULL, e, "DELETE FROM uses WHERE volume_id=?", "t", id);

	r = r ?: state_release(b, NULL, e, "DELETE FROM growing WHERE volume_id=?", "t", id);
	r = r ?: state_release(b, NULL, e, "DELETE FROM meta WHERE key='thick:' || ?", "t", id);
	return r ?: state_release(b, NULL, e, "DELETE FROM volumes WHERE id=?", "t", id);
}

/* Beside the record, since older drivers know no column for it. */
int volume_row_thick(struct backend *b, const char *id, struct err *e)
{
	sqlite3_stmt *s;
	int r;

	r = state_query(b, &s, e, "SELECT 1 FROM meta WHERE key='thick:' || ?", "t", id);
	if (r)
		return r;
	r = state_step(b, s, e);
	sqlite3_finalize(s);
	return r;
}

int volume_row_set_thick(struct backend *b, const char *id, struct err *e)
{
	return state_run(b, NULL, e, "INSERT OR REPLACE INTO meta VALUES('thick:' || ?, '1')", "t",
			 id);
}

/* ---- the face ---- */

int backend_get(struct backend *b, const char *id, struct backend_volume *ret, struct err *e)
{
	struct backend_volume v = { .size_bytes = 0 };
	enum record_state st;
	int r;

	state_lock(b);
	r = volume_row_by(b, "id", id, &v, &st, e);
	state_unlock(b);
	if (r)
		return r;
	if (st != RECORD_READY) {
		backend_volume_clear(&v);
		return err_set(e, -ENOENT, "volume \"%s\" doesn't exist", id);
	}
	*ret = v;
	return 0;
}

static int list_rows(struct backend *b, sqlite3_stmt *s, size_t max, struct backend_volume **ret,
		     size_t *ret_n, bool *ret_more, struct err *e)
{
	struct backend_volume *list = NULL;
	size_t n = 0;
	bool more = false;
	int r;

	while ((r = state_step(b, s, e)) == 1) {
		struct backend_volume *grown;

		if (max && n == max) {
			more = true;
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
			err_set(e, r, "records: a volume's row can't be read");
			break;
		}
		n++;
	}
	if (r) {
		while (n)
			backend_volume_clear(&list[--n]);
		free(list);
		return r;
	}
	*ret = list;
	*ret_n = n;
	*ret_more = more;
	return 0;
}

int backend_list(struct backend *b, const char *after, size_t max, struct backend_volume **ret,
		 size_t *ret_n, bool *ret_more, struct err *e)
{
	sqlite3_stmt *s;
	int r;

	state_lock(b);
	r = state_query(b, &s, e,
			"SELECT " COLUMNS " FROM volumes WHERE state=1 AND id>? ORDER BY id", "t",
			after ?: "");
	if (!r) {
		r = list_rows(b, s, max, ret, ret_n, ret_more, e);
		sqlite3_finalize(s);
	}
	state_unlock(b);
	return r;
}

/* One field of one row; a row that isn't there is an error. */
static int changed(int r, int changes, const char *id, struct err *e)
{
	if (!r && changes != 1)
		return err_set(e, -ENOENT, "volume \"%s\" doesn't exist", id);
	return r;
}

int backend_set_format(struct backend *b, const char *id, enum backend_format f, const char *nonce,
		       struct err *e)
{
	int r, n = 0;

	state_lock(b);
	r = state_run(b, &n, e, "UPDATE volumes SET format=?, nonce=? WHERE id=? AND state=1",
		      "itt", (int64_t)f, nonce ?: "", id);
	state_unlock(b);
	return changed(r, n, id, e);
}

int backend_set_fs(struct backend *b, const char *id, enum backend_format f, const char *nonce,
		   uint64_t fs_bytes, struct err *e)
{
	int r, n = 0;

	state_lock(b);
	r = state_run(b, &n, e,
		      "UPDATE volumes SET fs_made=?, fs_nonce=?, fs_bytes=? WHERE id=? AND state=1",
		      "itit", (int64_t)f, nonce ?: "", (int64_t)fs_bytes, id);
	state_unlock(b);
	return changed(r, n, id, e);
}

int backend_set_pin(struct backend *b, const char *id, const struct backend_pin *p, struct err *e)
{
	int r, n = 0;

	state_lock(b);
	r = state_run(b, &n, e,
		      "UPDATE volumes SET pin_uuid=?, pin_cipher=?, pin_offset=?, pin_sector=?, "
		      "pin_digest=?, pin_mapping=? WHERE id=? AND state=1",
		      "ttiittt", p->uuid, p->cipher, (int64_t)p->data_offset_bytes,
		      (int64_t)p->sector_size_bytes, p->digest, p->mapping, id);
	state_unlock(b);
	return changed(r, n, id, e);
}

int backend_set_mutable(struct backend *b, const char *id, const char *json, struct err *e)
{
	int r, n = 0;

	state_lock(b);
	r = state_run(b, &n, e, "UPDATE volumes SET mutable_parameters=? WHERE id=? AND state=1",
		      "tt", json, id);
	state_unlock(b);
	return changed(r, n, id, e);
}

int backend_check_known(const struct backend_volume *v, struct err *e)
{
	return v->adopted ? err_set(e, -EUCLEAN,
				    "the records of volume \"%s\" were lost, and what it holds is "
				    "seen when it is staged: stage it once",
				    v->id)
			  : 0;
}

int backend_set_known(struct backend *b, const struct backend_volume *v, struct err *e)
{
	int r, n = 0;

	state_lock(b);
	r = state_run(b, &n, e,
		      "UPDATE volumes SET encrypted=?, block=?, fs_type=?, parameters=?, size=?, "
		      "header=?, fs_bytes=MIN(fs_bytes, ?), adopted=0 WHERE id=? AND state=1",
		      "iittiiit", (int64_t)v->encrypted, (int64_t)v->block, v->fs_type,
		      v->parameters, (int64_t)v->size_bytes, (int64_t)v->header_bytes,
		      (int64_t)v->size_bytes, v->id);
	state_unlock(b);
	return changed(r, n, v->id, e);
}
