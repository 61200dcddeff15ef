// SPDX-License-Identifier: Apache-2.0
// Volumes come and go: the record first, the image after it, so that a crash between them is seen
// and finished.
#include "internal.h"

#include <cryptvol/block.h>
#include <stdio.h>
#include <time.h>

static uint64_t device_bytes(const struct backend_volume *v)
{
	return v->size_bytes + v->header_bytes;
}

/* What a block volume holds is its pods' business. A copy that is to be mounted gets no file system of
 * ours: what is there is mounted, or nothing is. */
static enum backend_format inherited_fs(bool block, bool made)
{
	return block || made ? BACKEND_FORMATTED : BACKEND_FORMAT_NONE;
}

/* What the new volume takes over from its source. Everything that has bytes of somebody is open
 * only. */
static int inherit(struct backend *b, const struct backend_create *c,
		   const struct backend_snapshot *snap, struct backend_volume *v, struct err *e)
{
	struct backend_volume src = { .size_bytes = 0 };
	enum record_state st;
	int r;

	if (c->source == BACKEND_SOURCE_NONE)
		return 0;
	if (c->source == BACKEND_SOURCE_SNAPSHOT) {
		v->pin = snap->pin;
		v->fs_format = inherited_fs(snap->block, snap->fs_made);
		v->format = snap->format;
		v->header_bytes = snap->header_bytes;
	} else {
		r = volume_row_by(b, "id", c->source_id, &src, &st, e);
		if (!r && (r = backend_check_known(&src, e)))
			backend_volume_clear(&src);
		if (r)
			return r;
		v->pin = src.pin;
		v->fs_format = src.block ? inherited_fs(true, true) : src.fs_format;
		v->format = src.format;
		v->header_bytes = src.header_bytes;
		backend_volume_clear(&src);
	}
	/* A source that was never staged is blank: so is its copy. One in the middle of its format
	 * can't be told apart from one with data. */
	if (v->format == BACKEND_FORMATTING || v->fs_format == BACKEND_FORMATTING)
		return err_set(e, -EBUSY, "\"%s\" is just being formatted for the first time",
			       c->source_id);
	return text_copy(v->source_id, sizeof(v->source_id), c->source_id)
		       ? err_set(e, -EINVAL, "the id of the source is too long")
		       : 0;
}

static int fill_record(struct backend *b, const struct backend_create *c,
		       const struct backend_snapshot *snap, struct backend_volume *v, struct err *e)
{
	int r;

	*v = (struct backend_volume){ .size_bytes = c->size_bytes,
				      .header_bytes = c->encrypted ? BACKEND_HEADER_BYTES : 0,
				      .encrypted = c->encrypted,
				      .block = c->block,
				      .source = c->source,
				      .access_modes = c->access_modes,
				      .created_seconds = (int64_t)time(NULL) };
	r = backend_volume_id(b, c->name, v->id, e);
	if (r)
		return r;
	if (text_copy(v->name, sizeof(v->name), c->name) ||
	    text_copy(v->fs_type, sizeof(v->fs_type), c->fs_type ?: ""))
		return err_set(e, -EINVAL, "the name of the volume is too long");
	r = inherit(b, c, snap, v, e);
	if (r)
		return r;
	v->parameters = strdup(c->parameters ?: "{}");
	v->mutable_parameters = strdup(c->mutable_parameters ?: "{}");
	return v->parameters && v->mutable_parameters
		       ? 0
		       : err_set(e, -ENOMEM, "no memory for the record");
}

static bool has_image(struct backend *b, const char *id)
{
	uint64_t bytes, allocated;

	return image_size(b, false, id, &bytes, &allocated, NULL) != -ENOENT;
}

/* A new record, its space promised. An image that stands there already is of a record that is lost:
 * not ours to take over, and not ours to remove. */
static int new_record(struct backend *b, const struct backend_create *c,
		      const struct backend_snapshot *snap, struct backend_volume *v, struct err *e)
{
	int r;

	r = fill_record(b, c, snap, v, e);
	if (!r && has_image(b, v->id))
		r = err_set(e, -EEXIST,
			    "there is an image of \"%s\" whose record is lost; it is left as it is",
			    v->id);
	r = r ?: capacity_check(b, device_bytes(v), c->thick,
				c->source == BACKEND_SOURCE_VOLUME ? v->source_id : NULL, e);
	r = r ?: volume_row_insert(b, v, RECORD_CREATING, e);
	if (!r && c->thick)
		r = volume_row_set_thick(b, v->id, e);
	if (r)
		backend_volume_clear(v);
	return r;
}

/* The record under this name: an old one as it is, or a new one, in one transaction. What an
 * interrupted call left is gone on with only where its image is whole: the source may have changed
 * since, and the copy that isn't made yet will be one of what it is now. */
static int claim_record(struct backend *b, const struct backend_create *c,
			const struct backend_snapshot *snap, struct backend_volume *v,
			enum record_state *st, struct err *e)
{
	int r;

	r = state_begin(b, e);
	if (r)
		return r;
	r = volume_row_by(b, "name", c->name, v, st, e);
	if (!r && *st == RECORD_CREATING && !has_image(b, v->id)) {
		r = volume_row_delete(b, v->id, e) ?: -ENOENT;
		backend_volume_clear(v);
	}
	if (r == -ENOENT) {
		err_clear(e);
		*st = RECORD_CREATING;
		r = new_record(b, c, snap, v, e);
	} else if (!r && *st == RECORD_READY && !has_image(b, v->id)) {
		r = err_set(e, -EUCLEAN,
			    "the image of \"%s\" is gone, and the volume isn't deleted", v->id);
		backend_volume_clear(v);
	} else if (!r && *st == RECORD_DELETING) {
		backend_volume_clear(v);
		r = err_set(e, -EINPROGRESS, "the volume of that name is being deleted");
	}
	if (r) {
		state_end(b, false, NULL);
		return r;
	}
	return state_end(b, true, e);
}

static struct image_space space_of(const struct backend_volume *v, const struct backend_create *c)
{
	return (struct image_space){ .header_bytes = v->header_bytes, .thick = c->thick };
}

static int copy_live(struct backend *b, const struct backend_volume *v,
		     const struct backend_create *c, const struct backend_quiesce *q, struct err *e)
{
	_cleanup_close_ int lock = -1;
	struct image_copying how = { .bytes = device_bytes(v), .space = space_of(v, c) };
	bool reflink, failed, stopped;
	int r;

	r = backend_cut_lock(b, v->source_id, &lock, e);
	r = r ?: q->suspend(q->arg, v->source_id, e);
	stopped = !r;
	/* One that can't be stopped: a reflink is of one moment all the same. */
	if (r == -EOPNOTSUPP && image_can_reflink(b)) {
		err_clear(e);
		r = 0;
	}
	if (r)
		return r;
	how.copy_allowed = stopped && c->pause_allowed;
	r = image_copy(b, false, v->source_id, false, v->id, &how, &reflink, e);
	if (r == -EOPNOTSUPP)
		err_wrap(e, r, "volume \"%s\" is staged (class parameter pauseAllowed)",
			 v->source_id);
	failed = stopped && cut_resume(q, v->source_id, r ? NULL : e) != 0;
	return r ?: failed ? -EIO : 0;
}

static int copy_volume(struct backend *b, const struct backend_volume *v,
		       const struct backend_create *c, const struct backend_quiesce *q,
		       struct err *e)
{
	struct image_copying how = { .bytes = device_bytes(v),
				     .space = space_of(v, c),
				     .copy_allowed = true };
	struct backend_use *uses = NULL;
	bool reflink;
	size_t n = 0;
	int r;

	r = backend_use_list(b, v->source_id, BACKEND_USE_STAGED, &uses, &n, e);
	free(uses);
	if (r)
		return r;
	return n ? copy_live(b, v, c, q, e)
		 : image_copy(b, false, v->source_id, false, v->id, &how, &reflink, e);
}

static int copy_snapshot(struct backend *b, const struct backend_volume *v,
			 const struct backend_create *c, struct err *e)
{
	struct image_copying how = { .bytes = device_bytes(v),
				     .space = space_of(v, c),
				     .copy_allowed = true };
	struct backend_snapshot snap;
	bool reflink;
	int r;

	r = snapshot_lookup(b, v->source_id, &snap, e);
	if (r)
		return r;
	return snap.kind == BACKEND_BACKUP
		       ? image_restore(b, &snap, v->id, how.bytes, &how.space, e)
		       : image_copy(b, true, v->source_id, false, v->id, &how, &reflink, e);
}

static int copy_source(struct backend *b, const struct backend_volume *v,
		       const struct backend_create *c, const struct backend_quiesce *q,
		       struct err *e)
{
	return v->source == BACKEND_SOURCE_SNAPSHOT ? copy_snapshot(b, v, c, e)
						    : copy_volume(b, v, c, q, e);
}

static int mark_ready(struct backend *b, const struct backend_volume *v, struct err *e)
{
	int r;

	state_lock(b);
	r = volume_row_state(b, v->id, RECORD_READY, e);
	state_unlock(b);
	return r;
}

/* A volume that couldn't be built leaves nothing, not even a promise of space. */
static void drop_record(struct backend *b, const struct backend_volume *v)
{
	state_lock(b);
	(void)!volume_row_delete(b, v->id, NULL);
	state_unlock(b);
}

/* An image has its name only when it is whole: with one, a call that was cut short lacks nothing
 * but its last step. */
static int build(struct backend *b, const struct backend_volume *v, const struct backend_create *c,
		 const struct backend_quiesce *q, struct err *e)
{
	struct image_space space = space_of(v, c);
	int r = 0;

	if (!has_image(b, v->id)) {
		r = v->source == BACKEND_SOURCE_NONE
			    ? image_make(b, v->id, device_bytes(v), &space, e)
			    : copy_source(b, v, c, q, e);
		if (r)
			drop_record(b, v);
	}
	return r ?: mark_ready(b, v, e);
}

static int create(struct backend *b, const struct backend_create *c,
		  const struct backend_quiesce *q, struct backend_volume *ret, struct err *e)
{
	struct backend_volume v = { .size_bytes = 0 };
	_cleanup_close_ int lock = -1;
	struct backend_snapshot snap = { .kind = BACKEND_SNAP };
	enum record_state st;
	char id[BACKEND_ID_MAX];
	int r;

	r = backend_volume_id(b, c->name, id, e);
	r = r ?: image_lock(b, id, false, &lock, e);
	if (!r && c->source == BACKEND_SOURCE_SNAPSHOT)
		r = image_lock(b, c->source_id, true, &lock, e);
	/* Before the records are locked: a store that hangs must stop nobody else. */
	if (!r && c->source == BACKEND_SOURCE_SNAPSHOT)
		r = snapshot_lookup(b, c->source_id, &snap, e);
	r = r ?: claim_record(b, c, &snap, &v, &st, e);
	if (r)
		return r;
	if (st == RECORD_CREATING)
		r = build(b, &v, c, q, e);
	if (r) {
		backend_volume_clear(&v);
		return r;
	}
	*ret = v;
	return 0;
}

int backend_finish_create(struct backend *b, const char *name, struct backend_volume *ret,
			  struct err *e)
{
	struct backend_volume v = { .size_bytes = 0 };
	_cleanup_close_ int lock = -1;
	enum record_state st;
	char id[BACKEND_ID_MAX];
	int r;

	r = backend_volume_id(b, name, id, e);
	r = r ?: image_lock(b, id, false, &lock, e);
	if (r)
		return r;
	state_lock(b);
	r = volume_row_by(b, "name", name, &v, &st, e);
	state_unlock(b);
	if (r)
		return r;
	if (st == RECORD_CREATING && has_image(b, v.id)) {
		r = mark_ready(b, &v, e);
	} else if (st != RECORD_READY) {
		if (st == RECORD_CREATING)
			drop_record(b, &v);
		r = err_set(e, -ENOENT, "volume \"%s\" doesn't exist", name);
	}
	if (r) {
		backend_volume_clear(&v);
		return r;
	}
	*ret = v;
	return 0;
}

/* A snapshot may be a backup: in a store, which may hang. */
int backend_create(struct backend *b, const struct backend_create *c,
		   const struct backend_quiesce *q, struct backend_volume *ret, struct err *e)
{
	bool slow = c->source == BACKEND_SOURCE_SNAPSHOT ||
		    (c->source == BACKEND_SOURCE_VOLUME && !image_can_reflink(b));
	int r = slow ? slow_enter(b, e) : 0;

	if (r)
		return r;
	r = create(b, c, q, ret, e);
	if (slow)
		slow_leave(b);
	return r;
}

/* ---- delete ---- */

/* A record that the kernel contradicts is left from a call that couldn't drop it: the disk was
 * full, or failed. Nobody else is at work: the caller has the volume's lock. */
static int check_use(struct backend *b, const char *id, enum backend_use_kind k,
		     const struct backend_use *use, struct err *e)
{
	static const char *const how[] = { "published to node", "staged at", "published at" };

	if (backend_use_holds(b, id, k, use->path))
		return err_set(e, -EBUSY, "volume \"%s\" is %s %s", id, how[k], use->path);
	(void)!backend_use_drop(b, id, k, use->path, NULL);
	return 0;
}

static int check_unused(struct backend *b, const char *id, struct err *e)
{
	for (int k = BACKEND_USE_NODE; k <= BACKEND_USE_TARGET; k++) {
		struct backend_use *list = NULL;
		size_t n = 0;
		int r = backend_use_list(b, id, (enum backend_use_kind)k, &list, &n, e);

		for (size_t i = 0; !r && i < n; i++)
			r = check_use(b, id, (enum backend_use_kind)k, &list[i], e);
		free(list);
		if (r)
			return r;
	}
	return 0;
}

/* The mark before the image goes lets the next start finish a deletion that was cut short. On a
 * full disk it may be impossible before the image is gone: then only the caller's retry finishes
 * it, and until then the volume is one whose image is gone, which nothing opens and no name gets.
 */
static int remove_volume(struct backend *b, const struct backend_volume *v, struct err *e)
{
	/* Nobody knows whether an adopted one has key slots. */
	uint64_t header = v->adopted ? BACKEND_HEADER_BYTES : v->header_bytes;
	int r;

	r = backend_detach(b, v->id, e);
	if (r)
		return r;
	state_lock(b);
	r = volume_row_state(b, v->id, RECORD_DELETING, e);
	state_unlock(b);
	if (r == -ENOSPC) {
		err_clear(e);
		r = 0;
	}
	r = r ?: image_delete(b, false, v->id, header, e);
	r = r ?: backend_header_forget(b, v->id, e);
	if (r)
		return r;
	state_lock(b);
	r = volume_row_delete(b, v->id, e);
	state_unlock(b);
	return r;
}

int backend_delete(struct backend *b, const char *id, struct err *e)
{
	struct backend_volume v = { .size_bytes = 0 };
	enum record_state st;
	int r;

	state_lock(b);
	r = volume_row_by(b, "id", id, &v, &st, e);
	state_unlock(b);
	if (r)
		return r == -ENOENT ? 0 : r;
	r = check_unused(b, id, e);
	r = r ?: remove_volume(b, &v, e);
	backend_volume_clear(&v);
	return r;
}

/* ---- grow ---- */

static int grow_record(struct backend *b, const struct backend_volume *v, uint64_t size,
		       struct err *e)
{
	bool thick;
	int r;

	r = state_begin(b, e);
	if (r)
		return r;
	r = volume_row_thick(b, v->id, e);
	thick = r > 0;
	r = r < 0 ? r : capacity_check(b, size - v->size_bytes, thick, NULL, e);
	if (!r && thick)
		r = image_allocate(b, v->id, device_bytes(v), size + v->header_bytes, e);
	r = r ?: state_run(b, NULL, e, "INSERT OR IGNORE INTO growing VALUES(?)", "t", v->id);
	r = r
		    ?: state_run(b, NULL, e, "UPDATE volumes SET size=? WHERE id=? AND size<?",
				 "iti", (int64_t)size, v->id, (int64_t)size);
	return r ? (state_end(b, false, NULL), r) : state_end(b, true, e);
}

int image_finish_growing(struct backend *b, const char *id, uint64_t bytes, struct err *e)
{
	uint64_t have, allocated;
	sqlite3_stmt *s;
	int r;

	state_lock(b);
	r = state_query(b, &s, e, "SELECT 1 FROM growing WHERE volume_id=?", "t", id);
	if (!r) {
		r = state_step(b, s, e);
		sqlite3_finalize(s);
	}
	state_unlock(b);
	if (r == 1) {
		r = image_grow(b, id, bytes, e);
		state_lock(b);
		r = r ?: state_run(b, NULL, e, "DELETE FROM growing WHERE volume_id=?", "t", id);
		state_unlock(b);
		return r;
	}
	r = r ?: image_size(b, false, id, &have, &allocated, e);
	if (!r && have < bytes)
		r = err_set(
			e, -EBADMSG,
			"the image has %llu of %llu bytes, its end is lost; nothing was written",
			(unsigned long long)have, (unsigned long long)bytes);
	return r;
}

int backend_grow(struct backend *b, const char *id, uint64_t size_bytes, struct err *e)
{
	struct backend_volume v = { .size_bytes = 0 };
	int r;

	r = backend_get(b, id, &v, e);
	if (r)
		return r;
	r = backend_check_known(&v, e);
	if (r) {
		backend_volume_clear(&v);
		return r;
	}
	/* The record first, with a mark beside it: an image that is shorter than its record is
	 * grown at the next call; one without the mark has lost its end. */
	if (size_bytes > v.size_bytes)
		r = grow_record(b, &v, size_bytes, e);
	else
		size_bytes = v.size_bytes;
	r = r ?: image_finish_growing(b, id, size_bytes + v.header_bytes, e);
	backend_volume_clear(&v);
	return r;
}
