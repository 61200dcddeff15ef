// SPDX-License-Identifier: Apache-2.0
// Snapshots: all sources suspended together, their images copied, resumed. A snapshot's record is
// written last but one step: it becomes ready when its image has its name.
#include "internal.h"

#include <cryptvol/backup.h>
#include <cryptvol/crypto.h>
#include <stdio.h>
#include <time.h>

#define RESUME_TRIES 40

/* A snapshot's id comes from its name (and, in a group, its volume's), so that a retry makes the
 * same one. */
static int snapshot_id(struct backend *b, const char *kind, const char *name, const char *volume_id,
		       char ret[BACKEND_ID_MAX], struct err *e)
{
	struct crypto_iov iov[3] = { { kind, strlen(kind) + 1 },
				     { name, strlen(name) + 1 },
				     { volume_id, strlen(volume_id) + 1 } };
	uint8_t digest[CRYPTO_HASH_MAX_BYTES];
	char hex[33];
	int r;

	r = crypto_hash("sha256", iov, ARRAY_SIZE(iov), digest, e);
	if (r)
		return r;
	text_hex(digest, 16, hex);
	snprintf(ret, BACKEND_ID_MAX, "%s-%s.%s", kind, hex, b->node_hash);
	return 0;
}

static int fill_snapshot(struct backend *b, const struct backend_cut *c, const char *group_id,
			 const char *volume_id, const struct timespec *now,
			 struct backend_snapshot *s, struct err *e)
{
	struct backend_volume v = { .size_bytes = 0 };
	int r;

	memset(s, 0, sizeof(*s));
	r = snapshot_id(b, c->kind == BACKEND_BACKUP ? "backup" : "snap", c->name,
			c->group ? volume_id : "", s->id, e);
	r = r ?: backend_get(b, volume_id, &v, e);
	if (r)
		return r;
	r = backend_check_known(&v, e);
	if (!r && (v.format == BACKEND_FORMATTING || v.fs_format == BACKEND_FORMATTING))
		r = err_set(e, -EBUSY, "volume \"%s\" is just being formatted for the first time",
			    volume_id);
	s->kind = c->kind;
	s->size_bytes = v.size_bytes;
	s->header_bytes = v.header_bytes;
	s->encrypted = v.encrypted;
	s->block = v.block;
	s->format = v.format;
	s->fs_made = v.fs_format == BACKEND_FORMATTED;
	s->pin = v.pin;
	s->created_seconds = now->tv_sec;
	s->created_nanos = now->tv_nsec;
	if (!r && (text_copy(s->volume_id, sizeof(s->volume_id), volume_id) ||
		   text_copy(s->group_id, sizeof(s->group_id), group_id) ||
		   text_copy(s->fs_type, sizeof(s->fs_type), v.fs_type) ||
		   text_copy(s->location, sizeof(s->location), c->location ?: "") ||
		   text_copy(s->name, sizeof(s->name), c->group ? s->id : c->name)))
		r = err_set(e, -EINVAL, "a name or place is too long");
	backend_volume_clear(&v);
	return r;
}

static bool all_ready(const struct backend_snapshot *list, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (!list[i].ready)
			return false;
	return true;
}

/* A record that an interrupted call left is written anew: since then the volume may have been
 * formatted, or have grown. An image without a record is of one that is lost, and stays. */
static int renew_record(struct backend *b, const struct backend_snapshot *s, bool had,
			struct err *e)
{
	uint64_t bytes, allocated;
	int r = 0;

	if (had)
		r = snapshot_row_delete(b, s->id, e);
	else if (image_size(b, true, s->id, &bytes, &allocated, NULL) != -ENOENT)
		r = err_set(e, -EEXIST,
			    "there is an image of \"%s\" whose record is lost; it is left as it is",
			    s->id);
	return r ?: snapshot_row_insert(b, s, e);
}

/* The records of an earlier call where all of them are ready; else new ones, of all: the members of
 * a group are only good together. */
static int claim_records(struct backend *b, const struct backend_cut *c, const char *group_id,
			 struct backend_snapshot *list, size_t n, struct err *e)
{
	struct backend_snapshot *old = calloc(n, sizeof(*old));
	int r = 0;

	if (!old)
		return err_set(e, -ENOMEM, "no memory for snapshots");
	for (size_t i = 0; !r && i < n; i++) {
		r = snapshot_row_by(b, "id", list[i].id, &old[i], e);
		if (r == -ENOENT) {
			err_clear(e);
			r = 0;
		}
	}
	if (!r && all_ready(old, n)) {
		memcpy(list, old, n * sizeof(*old));
		free(old);
		return 0;
	}
	if (!r && c->group)
		r = state_run(b, NULL, e, "INSERT OR IGNORE INTO groups(id, name) VALUES(?, ?)",
			      "tt", group_id, c->name);
	for (size_t i = 0; !r && i < n; i++)
		r = renew_record(b, &list[i], *old[i].id != '\0', e);
	free(old);
	return r;
}

static int put_records(struct backend *b, const struct backend_cut *c, const char *group_id,
		       struct backend_snapshot *list, size_t n, struct err *e)
{
	int r;

	r = state_begin(b, e);
	if (r)
		return r;
	r = claim_records(b, c, group_id, list, n, e);
	/* Not ready yet, they count with what they are going to share. */
	if (!r && !all_ready(list, n))
		r = capacity_check(b, 0, false, NULL, e);
	return r ? (state_end(b, false, NULL), r) : state_end(b, true, e);
}

static int mark_ready(struct backend *b, struct backend_snapshot *list, size_t n, struct err *e)
{
	int r;

	r = state_begin(b, e);
	for (size_t i = 0; !r && i < n; i++)
		r = snapshot_row_ready(b, list[i].id, e);
	if (r)
		return state_end(b, false, NULL), r;
	r = state_end(b, true, e);
	for (size_t i = 0; !r && i < n; i++)
		list[i].ready = true;
	return r;
}

/* ---- the cut ---- */

int backend_cut_lock(struct backend *b, const char *volume_id, int *fd, struct err *e)
{
	char key[BACKEND_ID_MAX + 8];

	snprintf(key, sizeof(key), "cut:%s", volume_id);
	return image_lock(b, key, false, fd, e);
}

/* One that stays suspended hangs its pods, and what is in the way (memory, a busy record) passes.
 */
int cut_resume(const struct backend_quiesce *q, const char *volume_id, struct err *e)
{
	const struct timespec pause = { .tv_nsec = 50 * 1000 * 1000 };
	int r = q->resume(q->arg, volume_id, e);

	for (int i = 0; r && i < RESUME_TRIES; i++) {
		nanosleep(&pause, NULL);
		r = q->resume(q->arg, volume_id, e);
	}
	return r;
}

static bool any_staged(struct backend *b, const struct backend_cut *c)
{
	for (size_t i = 0; i < c->n_volumes; i++) {
		struct backend_use *list = NULL;
		size_t n = 0;
		int r = backend_use_list(b, c->volume_ids[i], BACKEND_USE_STAGED, &list, &n, NULL);

		free(list);
		if (r || n)
			return true;
	}
	return false;
}

static int copy_all(struct backend *b, const struct backend_cut *c, struct backend_snapshot *list,
		    bool copy_allowed, struct err *e)
{
	for (size_t i = 0; i < c->n_volumes; i++) {
		struct image_copying how = {
			.bytes = list[i].size_bytes + list[i].header_bytes,
			.space = { .header_bytes = list[i].header_bytes },
			.copy_allowed = copy_allowed,
		};
		bool reflink;
		int r = image_copy(b, false, c->volume_ids[i], true, list[i].id, &how, &reflink, e);

		if (r)
			return err_wrap(e, r, "volume \"%s\" (class parameter pauseAllowed)",
					c->volume_ids[i]);
	}
	return 0;
}

static int cut_together(struct backend *b, const struct backend_cut *c,
			const struct backend_quiesce *q, struct backend_snapshot *list,
			struct err *e)
{
	bool live = any_staged(b, c), copy_allowed = !live || c->pause_allowed;
	_cleanup_close_ int lock = -1;
	size_t suspended = 0;
	int r = 0, bad = 0;

	if (!copy_allowed && !image_can_reflink(b))
		return err_set(e, -EOPNOTSUPP,
			       "the file system of %s has no reflinks: a staged volume would have "
			       "to stop for the copy; let the "
			       "snapshot class say pauseAllowed: \"true\", or unstage it",
			       b->dir);
	/* An interrupted cut's images are of another moment than those that it has yet to make. */
	for (size_t i = 0; !r && i < c->n_volumes; i++)
		r = image_delete(b, true, list[i].id, 0, e);
	while (live && !r && suspended < c->n_volumes) {
		r = backend_cut_lock(b, c->volume_ids[suspended], &lock, e);
		r = r ?: q->suspend(q->arg, c->volume_ids[suspended], e);
		if (!r)
			suspended++;
	}
	/* One that can't be stopped: a reflink of it alone is of one moment all the same. */
	if (r == -EOPNOTSUPP && c->n_volumes == 1 && image_can_reflink(b)) {
		err_clear(e);
		r = 0;
		copy_allowed = false;
	}
	r = r ?: copy_all(b, c, list, copy_allowed, e);
	while (suspended)
		bad |= cut_resume(q, c->volume_ids[--suspended], r ? NULL : e);
	return r ?: bad ? -EIO : 0;
}

/* A cut that failed leaves no image and no record. */
static void undo_cut(struct backend *b, const char *group_id, const struct backend_snapshot *list,
		     size_t n)
{
	bool clean = true;

	for (size_t i = 0; i < n; i++)
		clean = clean && !image_delete(b, true, list[i].id, 0, NULL);
	if (!clean || state_begin(b, NULL))
		return;
	for (size_t i = 0; i < n; i++)
		(void)!snapshot_row_delete(b, list[i].id, NULL);
	if (*group_id)
		(void)!state_run(b, NULL, NULL, "DELETE FROM groups WHERE id=?", "t", group_id);
	state_end(b, true, NULL);
}

/* A backup is a snapshot that is written to its place and then removed here. */
static int write_backup(struct backend *b, const struct backend_snapshot *s, struct err *e)
{
	struct backup_source src = { .volume = s->volume_id,
				     .name = s->id,
				     .size_bytes = s->size_bytes,
				     .header_bytes = s->header_bytes,
				     .encrypted = s->encrypted,
				     .fs_type = s->fs_type,
				     .uuid = s->pin.uuid,
				     .pin = { .data_offset_bytes = s->pin.data_offset_bytes,
					      .sector_size_bytes = s->pin.sector_size_bytes },
				     .created_seconds = s->created_seconds };
	struct progress progress;
	struct backup_watch watch;
	char path[4096];
	int r;

	text_copy(src.pin.cipher, sizeof(src.pin.cipher), s->pin.cipher);
	text_copy(src.pin.digest, sizeof(src.pin.digest), s->pin.digest);
	text_copy(src.pin.mapping, sizeof(src.pin.mapping), s->pin.mapping);
	image_path(b, true, s->id, path, sizeof(path));
	src.path = path;
	progress_begin(&progress, b, "backup", s->id);
	watch = progress_watch(&progress);
	r = backup_write(s->location, &src, &watch, NULL, e);
	return r ?: image_delete(b, true, s->id, 0, e);
}

/* Its manifest is written, its record was lost on the way: that backup is the answer, with its own
 * time and size, not a new cut under an old name. */
static int find_backup(const struct backend *b, const struct backend_cut *c,
		       struct backend_snapshot *s, struct err *e)
{
	struct backup_watch watch = look_up_watch(b);
	struct backup_source src = { .volume = s->volume_id, .name = s->id };
	struct backup_info i;
	int r;

	r = backup_read(c->location, s->volume_id, s->id, &watch, &i, e);
	if (r == -ENOENT) {
		err_clear(e);
		return 0;
	}
	r = r ?: backup_write(c->location, &src, &watch, NULL, e); /* flushes it */
	if (r)
		return r;
	s->size_bytes = i.size_bytes;
	s->header_bytes = i.header_bytes;
	s->created_seconds = i.created_seconds;
	s->created_nanos = 0;
	s->ready = true;
	return 0;
}

static int new_group_id(struct backend *b, const struct backend_cut *c, char ret[BACKEND_ID_MAX],
			struct err *e)
{
	ret[0] = '\0';
	return c->group ? snapshot_id(b, "group", c->name, "", ret, e) : 0;
}

static int cut_snapshots(struct backend *b, const struct backend_cut *c,
			 const struct backend_quiesce *q, struct backend_snapshot **ret,
			 size_t *ret_n, char ret_group_id[BACKEND_ID_MAX], struct err *e)
{
	struct backend_snapshot *list = calloc(c->n_volumes, sizeof(*list));
	_cleanup_close_ int lock = -1;
	struct timespec now;
	int r;

	if (!list)
		return err_set(e, -ENOMEM, "no memory for snapshots");
	clock_gettime(CLOCK_REALTIME, &now);
	r = new_group_id(b, c, ret_group_id, e);
	for (size_t i = 0; !r && i < c->n_volumes; i++)
		r = fill_snapshot(b, c, ret_group_id, c->volume_ids[i], &now, &list[i], e)
			    ?: image_lock(b, list[i].id, false, &lock, e);
	if (!r && c->kind == BACKEND_BACKUP)
		r = find_backup(b, c, &list[0], e);
	r = r ?: put_records(b, c, ret_group_id, list, c->n_volumes, e);
	if (!r && !all_ready(list, c->n_volumes)) {
		r = cut_together(b, c, q, list, e);
		if (!r && q->release)
			q->release(q->release_arg);
		if (!r && c->kind == BACKEND_BACKUP)
			r = write_backup(b, &list[0], e);
		r = r ?: mark_ready(b, list, c->n_volumes, e);
		if (r)
			undo_cut(b, ret_group_id, list, c->n_volumes);
	}
	if (r) {
		free(list);
		return r;
	}
	*ret = list;
	*ret_n = c->n_volumes;
	return 0;
}

int backend_cut_snapshots(struct backend *b, const struct backend_cut *c,
			  const struct backend_quiesce *q, struct backend_snapshot **ret,
			  size_t *ret_n, char ret_group_id[BACKEND_ID_MAX], struct err *e)
{
	bool slow = c->kind == BACKEND_BACKUP || !image_can_reflink(b);
	int r = slow ? slow_enter(b, e) : 0;

	if (r)
		return r;
	r = cut_snapshots(b, c, q, ret, ret_n, ret_group_id, e);
	if (slow)
		slow_leave(b);
	return r;
}

/* ---- delete ---- */

static int delete_backup(struct backend *b, const struct backend_snapshot *s, struct err *e)
{
	const char *name = snapshot_backup_name(s);
	struct err left = { 0 };
	char text[512];
	int r;

	r = slow_enter(b, e);
	if (r)
		return r;
	r = backup_delete(s->location, s->volume_id, name, &left, e);
	slow_leave(b);
	if (r || !left.code || !b->warn)
		return r;
	snprintf(text, sizeof(text),
		 "backup \"%s\" is gone, its blocks are left to the next deletion: %s", name,
		 err_text(&left));
	b->warn(b->warn_arg, text);
	return 0;
}

static int delete_one(struct backend *b, const struct backend_snapshot *s, struct err *e)
{
	return s->kind == BACKEND_BACKUP ? delete_backup(b, s, e)
					 : image_delete(b, true, s->id, 0, e);
}

int backend_snapshot_delete(struct backend *b, const char *id, struct err *e)
{
	struct backend_snapshot s;
	_cleanup_close_ int lock = -1;
	int r;

	r = image_lock(b, id, false, &lock, e);
	r = r ?: backend_snapshot_get(b, id, &s, e);
	if (r == -ENOENT)
		return 0;
	r = r ?: delete_one(b, &s, e);
	if (r)
		return r;
	state_lock(b);
	r = snapshot_row_delete(b, id, e);
	state_unlock(b);
	return r;
}

int backend_group_delete(struct backend *b, const char *id, struct err *e)
{
	struct backend_snapshot *list = NULL;
	size_t n = 0;
	int r;

	state_lock(b);
	r = snapshot_rows_of_group(b, id, &list, &n, e);
	state_unlock(b);
	for (size_t i = 0; !r && i < n; i++)
		r = backend_snapshot_delete(b, list[i].id, e);
	free(list);
	if (r)
		return r;
	state_lock(b);
	r = state_release(b, NULL, e, "DELETE FROM groups WHERE id=?", "t", id);
	state_unlock(b);
	return r;
}
