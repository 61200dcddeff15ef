// SPDX-License-Identifier: Apache-2.0
// What may still be promised, and volumes in trouble. A quota on the state directory counts:
// statvfs(3) reports it.
#include "internal.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/statvfs.h>

#define NEARLY_FULL_BYTES (64ull * 1024 * 1024)

static int space(const struct backend *b, uint64_t *ret_total, uint64_t *ret_free, struct err *e)
{
	struct statvfs st;

	if (fstatvfs(b->fd_volumes, &st))
		return err_sys(e, -errno, "the space in %s", b->dir);
	*ret_total = (uint64_t)st.f_blocks * st.f_frsize;
	*ret_free = (uint64_t)st.f_bavail * st.f_frsize;
	return 0;
}

/* Sizes of all volumes, header included, whatever their images occupy. The caller holds b->lock. */
static int promised(struct backend *b, uint64_t *ret, struct err *e)
{
	sqlite3_stmt *s;
	int r;

	r = state_query(b, &s, e, "SELECT COALESCE(SUM(size + header), 0) FROM volumes", "");
	if (r)
		return r;
	r = state_step(b, s, e);
	if (r == 1)
		*ret = (uint64_t)sqlite3_column_int64(s, 0);
	sqlite3_finalize(s);
	return r < 0 ? r : 0;
}

/* What volumes may still write into holes of their images. The caller holds b->lock. */
static int unwritten(struct backend *b, uint64_t *ret, struct err *e)
{
	uint64_t sum = 0, allocated;
	sqlite3_stmt *s;
	int r;

	r = state_query(b, &s, e, "SELECT id, size + header FROM volumes", "");
	if (r)
		return r;
	while ((r = state_step(b, s, e)) == 1) {
		uint64_t size = (uint64_t)sqlite3_column_int64(s, 1);

		allocated = image_allocated(b, state_text(s, 0));
		sum += size > allocated ? size - allocated : 0;
	}
	sqlite3_finalize(s);
	*ret = sum;
	return r;
}

/* By the sum of sizes; and, without over-provisioning, by what is really free: snapshots and
 * foreign files take their part. */
static int headroom(struct backend *b, uint64_t *ret, struct err *e)
{
	uint64_t total, free_bytes, used = 0, holes = 0, allowed, room;
	int r;

	r = space(b, &total, &free_bytes, e);
	r = r ?: promised(b, &used, e);
	if (!r && b->overprovision_percent <= 100)
		r = unwritten(b, &holes, e);
	if (r)
		return r;
	allowed = (uint64_t)((__uint128_t)total * b->overprovision_percent / 100);
	room = allowed > used ? allowed - used : 0;
	if (b->overprovision_percent <= 100) {
		free_bytes = free_bytes > holes ? free_bytes - holes : 0;
		room = room < free_bytes ? room : free_bytes;
	}
	*ret = room;
	return 0;
}

int capacity_check(struct backend *b, uint64_t bytes, struct err *e)
{
	uint64_t room;
	int r;

	r = headroom(b, &room, e);
	if (r)
		return r;
	if (bytes > room)
		return err_set(e, -ENOSPC,
			       "%llu bytes were asked for, %llu can still be promised "
			       "(over-provisioning %llu %%)",
			       (unsigned long long)bytes, (unsigned long long)room,
			       (unsigned long long)b->overprovision_percent);
	return 0;
}

/* ---- copies ---- */

static int reserve(struct backend *b, uint64_t bytes, struct room *ret, struct err *e)
{
	uint64_t total, free_bytes, holes = 0;
	int r;

	r = space(b, &total, &free_bytes, e);
	if (!r && b->overprovision_percent <= 100)
		r = unwritten(b, &holes, e);
	if (r)
		return r;
	if (bytes > free_bytes || bytes > free_bytes - (holes < free_bytes ? holes : free_bytes))
		return err_set(e, -ENOSPC,
			       "%llu bytes are to be written, %llu are free, and %llu of these are "
			       "promised to volumes",
			       (unsigned long long)bytes, (unsigned long long)free_bytes,
			       (unsigned long long)holes);
	/* A file system that has no files without names, or doesn't allocate ahead: then the check
	 * has to do. */
	ret->fd = openat(b->fd_tmp, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	if (ret->fd < 0 || !fallocate(ret->fd, 0, 0, (off_t)bytes))
		return 0;
	r = -errno;
	base_closep(&ret->fd);
	ret->fd = -1;
	return r == -ENOSPC || r == -EDQUOT
		       ? err_sys(e, r, "%llu bytes are to be written", (unsigned long long)bytes)
		       : 0;
}

int room_take(struct backend *b, uint64_t bytes, bool promised, struct room *ret, struct err *e)
{
	struct room room = { -1, bytes };
	int r;

	/* Without over-provisioning the promise is counted already, as what the volume has yet to
	 * write. */
	if (!bytes || (promised && b->overprovision_percent <= 100)) {
		*ret = room;
		return 0;
	}
	r = state_begin(b, e);
	if (r)
		return r;
	r = reserve(b, bytes, &room, e);
	if (!r)
		*ret = room;
	return r ? (state_end(b, false, NULL), r) : state_end(b, true, e);
}

void room_use(struct room *r, uint64_t done_bytes)
{
	if (r->fd >= 0)
		(void)!ftruncate(r->fd, (off_t)(done_bytes < r->bytes ? r->bytes - done_bytes : 0));
}

void room_give_back(struct room *r)
{
	base_closep(&r->fd);
}

int backend_capacity(struct backend *b, uint64_t *ret_available, uint64_t *ret_largest,
		     struct err *e)
{
	uint64_t room;
	int r;

	state_lock(b);
	r = headroom(b, &room, e);
	state_unlock(b);
	if (r)
		return r;
	room = room / BACKEND_EXTENT_BYTES * BACKEND_EXTENT_BYTES;
	*ret_available = room;
	*ret_largest = room;
	return 0;
}

int backend_condition(struct backend *b, const char *id, char *ret, size_t cap, struct err *e)
{
	struct backend_volume v = { .size_bytes = 0 };
	uint64_t bytes, allocated, total, free_bytes;
	struct err why = { 0 }; /* the caller's may be NULL */
	int r;

	r = backend_get(b, id, &v, e);
	if (r)
		return r;
	ret[0] = '\0';
	r = image_size(b, false, id, &bytes, &allocated, &why);
	if (r)
		snprintf(ret, cap, "%s", err_text(&why));
	else if (bytes < v.size_bytes + v.header_bytes)
		snprintf(ret, cap, "the image has %llu of %llu bytes", (unsigned long long)bytes,
			 (unsigned long long)(v.size_bytes + v.header_bytes));
	else if (!space(b, &total, &free_bytes, NULL) && free_bytes < NEARLY_FULL_BYTES &&
		 bytes - allocated > free_bytes)
		snprintf(ret, cap,
			 "the file system of %s is full: %llu bytes are left, and the volume has "
			 "%llu still to fill",
			 b->dir, (unsigned long long)free_bytes,
			 (unsigned long long)(bytes - allocated));
	backend_volume_clear(&v);
	return 0;
}
