// SPDX-License-Identifier: Apache-2.0
// What may still be promised, and volumes in trouble. A quota on the state directory counts:
// statvfs(3) reports it.
#include "internal.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <sys/statvfs.h>
#include <sys/vfs.h>

#define NEARLY_FULL_BYTES (64ull * 1024 * 1024)
/* Free for the file system's own metadata and our records, and for what was wrongly foreseen. */
#define RESERVE_BYTES (16ull * 1024 * 1024)
#define RESERVE_PART 64
#define RESERVE_MAX_BYTES (1ull << 30)
/* Header backups of a volume that was never staged: their zeros are holes. */
#define HEADER_COPIES_BYTES (4ull * 1024 * 1024)

/* What writing so many bytes, in pieces of 4096, takes of metadata: an extent is 12 bytes on ext4,
 * 52 with its back reference on xfs, and on btrfs some 250, twice. */
static uint64_t metadata_bytes(const struct backend *b, uint64_t bytes)
{
	struct statfs st;

	if (fstatfs(b->fd_volumes, &st))
		return bytes / 32;
	switch ((unsigned long)st.f_type) {
	case EXT4_SUPER_MAGIC:
		return bytes / 256;
	case BTRFS_SUPER_MAGIC:
		return bytes / 8;
	default:
		return bytes / 64;
	}
}

static int space(const struct backend *b, uint64_t *ret_total, uint64_t *ret_free, struct err *e)
{
	struct statvfs st;

	if (fstatvfs(b->fd_volumes, &st))
		return err_sys(e, -errno, "the space in %s", b->dir);
	*ret_total = (uint64_t)st.f_blocks * st.f_frsize;
	*ret_free = (uint64_t)st.f_bavail * st.f_frsize;
	return 0;
}

static uint64_t reserve_of(uint64_t total)
{
	uint64_t n = RESERVE_BYTES + total / RESERVE_PART;

	return n < RESERVE_MAX_BYTES ? n : RESERVE_MAX_BYTES;
}

/** What was promised of the state directory, and what of it is yet to be written. */
struct account {
	uint64_t total, free;
	uint64_t promised;		   /* sizes of all volumes, header included */
	uint64_t owed;			   /* what they may still need new blocks for */
	uint64_t owed_thick;		   /* the thick ones' part */
	uint64_t metadata, metadata_thick; /* what writing it takes besides */
};

/* What the volume whose image is @bytes long may still need new blocks for: its holes, and the
 * blocks that it shares. */
static uint64_t owed_by(struct backend *b, const char *id, uint64_t bytes)
{
	struct image_extents x = { 0 };

	if (image_extents(b, id, &x, NULL))
		return bytes;
	return bytes > x.own ? bytes - x.own : 0;
}

/* Cuts and clones that are under way: what of the volume they are going to share. One whose image
 * has its name is seen in the extents of its source. */
static int add_pending(struct backend *b, struct account *a, struct err *e)
{
	sqlite3_stmt *s;
	bool reflink = false, asked = false;
	int r;

	r = state_query(b, &s, e,
			"SELECT 1, id, volume_id FROM snapshots WHERE ready=0 UNION ALL "
			"SELECT 0, id, source_id FROM volumes WHERE state=0 AND source=?",
			"i", (int64_t)BACKEND_SOURCE_VOLUME);
	if (r)
		return r;
	while ((r = state_step(b, s, e)) == 1) {
		struct image_extents x = { 0 };
		uint64_t bytes, allocated;

		if (!asked)
			reflink = image_can_reflink(b);
		asked = true;
		if (reflink &&
		    image_size(b, sqlite3_column_int(s, 0), state_text(s, 1), &bytes, &allocated,
			       NULL) == -ENOENT &&
		    !image_extents(b, state_text(s, 2), &x, NULL))
			a->owed += x.shareable;
	}
	sqlite3_finalize(s);
	return r;
}

static int add_volumes(struct backend *b, struct account *a, struct err *e)
{
	sqlite3_stmt *s;
	int r;

	r = state_query(b, &s, e,
			"SELECT id, size + header, encrypted AND format=0, EXISTS(SELECT 1 FROM "
			"meta WHERE key='thick:' || volumes.id) FROM volumes",
			"");
	if (r)
		return r;
	while ((r = state_step(b, s, e)) == 1) {
		uint64_t size = (uint64_t)sqlite3_column_int64(s, 1);
		uint64_t owed = owed_by(b, state_text(s, 0), size);

		if (sqlite3_column_int(s, 2))
			owed += HEADER_COPIES_BYTES;
		a->promised += size;
		a->owed += owed;
		if (sqlite3_column_int(s, 3))
			a->owed_thick += owed;
	}
	sqlite3_finalize(s);
	return r;
}

/* What is owed first, and what is free after it: what is written in between is counted twice, and
 * never left out. The caller holds b->lock. */
static int read_account(struct backend *b, struct account *ret, struct err *e)
{
	struct account a = { 0 };
	int r;

	r = add_pending(b, &a, e);
	r = r ?: add_volumes(b, &a, e);
	/* btrfs tells of blocks as free until the transaction that took them is committed. */
	if (!r && !image_holes_free(b) && syncfs(b->fd_volumes))
		r = err_sys(e, -errno, "%s can't be flushed", b->dir);
	r = r ?: space(b, &a.total, &a.free, e);
	if (r)
		return r;
	a.metadata = metadata_bytes(b, a.owed);
	a.metadata_thick = metadata_bytes(b, a.owed_thick);
	*ret = a;
	return 0;
}

/* Free, and nobody's: the whole debt is set aside without over-provisioning; with it, only that of
 * thick volumes. Negative: more is owed than there is. */
static int64_t unclaimed(const struct backend *b, const struct account *a)
{
	uint64_t owed = b->overprovision_percent <= 100 ? a->owed + a->metadata
							: a->owed_thick + a->metadata_thick;

	return (int64_t)a->free - (int64_t)reserve_of(a->total) - (int64_t)owed;
}

/* What a new volume, thin or thick, may have at most. */
static uint64_t headroom(const struct backend *b, const struct account *a, bool thick)
{
	uint64_t allowed = (uint64_t)((__uint128_t)a->total * b->overprovision_percent / 100);
	uint64_t room = allowed > a->promised ? allowed - a->promised : 0;
	int64_t left = unclaimed(b, a);

	if (!thick && b->overprovision_percent > 100)
		return room;
	if (left <= 0)
		return 0;
	/* Writing it takes metadata, too. */
	left -= (int64_t)metadata_bytes(b, (uint64_t)left);
	return room < (uint64_t)left ? room : (uint64_t)left;
}

int capacity_check(struct backend *b, uint64_t bytes, bool thick, const char *shared_from,
		   struct err *e)
{
	struct image_extents x = { 0 };
	struct account a;
	int r;

	r = read_account(b, &a, e);
	if (r)
		return r;
	if (shared_from && image_can_reflink(b) && !image_extents(b, shared_from, &x, NULL)) {
		a.owed += x.shareable;
		a.metadata = metadata_bytes(b, a.owed);
	}
	if (bytes <= headroom(b, &a, thick) &&
	    (b->overprovision_percent > 100 || unclaimed(b, &a) >= 0))
		return 0;
	return err_set(e, -ENOSPC,
		       "the node's disk is full: %llu bytes were asked for, %llu can still be "
		       "promised (over-provisioning %llu %%); %llu are free, %llu are promised to "
		       "volumes and not written yet, %llu are kept in reserve",
		       (unsigned long long)bytes, (unsigned long long)headroom(b, &a, thick),
		       (unsigned long long)b->overprovision_percent, (unsigned long long)a.free,
		       (unsigned long long)(a.owed + a.metadata),
		       (unsigned long long)reserve_of(a.total));
}

/* ---- copies ---- */

static int reserve(struct backend *b, uint64_t bytes, struct room *ret, struct err *e)
{
	struct account a;
	int r;

	r = read_account(b, &a, e);
	if (r)
		return r;
	if ((int64_t)(bytes + metadata_bytes(b, bytes)) > unclaimed(b, &a))
		return err_set(e, -ENOSPC,
			       "the node's disk is full: %llu bytes are to be written, %llu are "
			       "free, %llu are promised to volumes and not written yet, %llu are "
			       "kept in reserve",
			       (unsigned long long)bytes, (unsigned long long)a.free,
			       (unsigned long long)(a.owed + a.metadata),
			       (unsigned long long)reserve_of(a.total));
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

int backend_capacity(struct backend *b, bool thick, uint64_t *ret_available, struct err *e)
{
	struct account a;
	int r;

	state_lock(b);
	r = read_account(b, &a, e);
	state_unlock(b);
	if (r)
		return r;
	*ret_available = headroom(b, &a, thick) / BACKEND_EXTENT_BYTES * BACKEND_EXTENT_BYTES;
	return 0;
}

int backend_read_space(struct backend *b, struct backend_space *ret, struct err *e)
{
	struct account a;
	int r;

	state_lock(b);
	r = read_account(b, &a, e);
	state_unlock(b);
	if (r)
		return r;
	*ret = (struct backend_space){ .total_bytes = a.total,
				       .free_bytes = a.free,
				       .reserve_bytes = reserve_of(a.total),
				       .promised_bytes = a.promised,
				       .owed_bytes = a.owed + a.metadata,
				       .available_bytes = headroom(b, &a, false) };
	return 0;
}

int backend_read_usage(struct backend *b, const char *id, struct backend_usage *ret, struct err *e)
{
	struct backend_volume v = { .size_bytes = 0 };
	struct image_extents x;
	uint64_t bytes;
	int r;

	r = backend_get(b, id, &v, e);
	if (r)
		return r;
	bytes = v.size_bytes + v.header_bytes;
	r = image_extents(b, id, &x, e);
	if (!r)
		*ret = (struct backend_usage){ .size_bytes = v.size_bytes,
					       .allocated_bytes = x.allocated,
					       .shared_bytes = x.allocated - x.own,
					       .owed_bytes = bytes > x.own ? bytes - x.own : 0 };
	backend_volume_clear(&v);
	return r;
}

/* Nearly nothing is free, and the volume needs more than that, or what is left is hardly to be had
 * any more. */
static enum backend_trouble check_room(struct backend *b, const char *id, uint64_t bytes, char *ret,
				       size_t cap)
{
	uint64_t total = 0, free_bytes = 0, owed;

	if (space(b, &total, &free_bytes, NULL) || free_bytes >= NEARLY_FULL_BYTES)
		return BACKEND_TROUBLE_NONE;
	owed = owed_by(b, id, bytes);
	if (!owed || (owed <= free_bytes && free_bytes >= reserve_of(total) / 4))
		return BACKEND_TROUBLE_NONE;
	snprintf(ret, cap,
		 "the node's disk is full: the file system of %s has %llu bytes left, and the "
		 "volume has %llu still to fill",
		 b->dir, (unsigned long long)free_bytes, (unsigned long long)owed);
	return BACKEND_TROUBLE_DISK_FULL;
}

int backend_condition(struct backend *b, const char *id, enum backend_trouble *ret_kind, char *ret,
		      size_t cap, struct err *e)
{
	struct backend_volume v = { .size_bytes = 0 };
	struct err why = { 0 }; /* the caller's may be NULL */
	uint64_t bytes, allocated;
	int r;

	r = backend_get(b, id, &v, e);
	if (r)
		return r;
	ret[0] = '\0';
	*ret_kind = BACKEND_TROUBLE_NONE;
	r = image_size(b, false, id, &bytes, &allocated, &why);
	if (r) {
		*ret_kind = r == -ENOENT ? BACKEND_TROUBLE_IMAGE_GONE : BACKEND_TROUBLE_UNREADABLE;
		snprintf(ret, cap, "%s", err_text(&why));
	} else if (bytes < v.size_bytes + v.header_bytes) {
		*ret_kind = BACKEND_TROUBLE_IMAGE_SHORT;
		snprintf(ret, cap, "the image has %llu of %llu bytes", (unsigned long long)bytes,
			 (unsigned long long)(v.size_bytes + v.header_bytes));
	} else {
		*ret_kind = check_room(b, id, bytes, ret, cap);
	}
	backend_volume_clear(&v);
	return 0;
}
