// SPDX-License-Identifier: Apache-2.0
// A backup becomes an image or overwrites a device, and is verified: every block is read and
// checked.
#include "internal.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

/* ---- all blocks; @to < 0 writes nothing ---- */

struct reader {
	const struct store *store;
	struct manifest *m;
	int to;
	bool zero_holes;
	char *buf;
	bool more; /* of the manifest: the block that comes next */
	uint64_t index;
	uint8_t hash[HASH_BYTES];
};

static int look_ahead(struct reader *d, struct err *e)
{
	int r = manifest_next(d->m, &d->index, d->hash, e);

	d->more = r > 0;
	return r < 0 ? r : 0;
}

static int read_block(const struct reader *d, uint64_t i, const uint8_t *hash, struct err *e)
{
	size_t len = block_length(d->m->info.device_bytes, i);
	int r = watch_stop(d->store->watch, e);

	if (r)
		return r;
	if (hash)
		r = store_get(d->store, hash, d->buf, len, e);
	else if (d->zero_holes)
		memset(d->buf, 0, len);
	if (!r && d->to >= 0 && (hash || d->zero_holes))
		r = io_pwrite_full(d->to, d->buf, len, i * BACKUP_BLOCK_BYTES, e);
	return r;
}

/* All but the first block. A hole that needn't be written is one step, however long it is. */
static int read_rest(struct reader *d, struct err *e)
{
	uint64_t end = d->m->info.device_bytes, first = block_length(end, 0);
	int r = 0;

	for (uint64_t i = 1; !r && i < d->m->n_blocks; i++) {
		bool here = d->more && d->index == i;

		if (!here && !d->zero_holes) {
			i = (d->more ? d->index : d->m->n_blocks) - 1;
			continue;
		}
		r = read_block(d, i, here ? d->hash : NULL, e);
		if (!r && here)
			r = look_ahead(d, e);
		if (!r)
			watch_progress(d->store->watch, block_end(end, i) - first, end);
	}
	return r;
}

/* The first block, with the header in it, comes last: half of a volume must not pass for one. */
static int read_all(const struct store *s, struct manifest *m, int to, bool zero_holes,
		    struct err *e)
{
	_cleanup_free_ char *buf = calloc(1, BACKUP_BLOCK_BYTES);
	struct reader d = { .store = s, .m = m, .to = to, .zero_holes = zero_holes, .buf = buf };
	uint64_t end = m->info.device_bytes;
	uint8_t first[HASH_BYTES];
	bool has_first;
	int r = 0;

	if (!buf)
		return err_set(e, -ENOMEM, "no memory for a block");
	if (to >= 0 && zero_holes && m->n_blocks) {
		r = io_pwrite_full(to, buf, block_length(end, 0), 0, e);
		r = r ?: io_fsync(to, e);
	}
	r = r ?: look_ahead(&d, e);
	has_first = !r && d.more && d.index == 0;
	if (has_first) {
		memcpy(first, d.hash, HASH_BYTES);
		r = look_ahead(&d, e);
	}
	r = r ?: read_rest(&d, e);
	if (!r && to >= 0)
		r = io_fsync(to, e);
	if (!r && m->n_blocks)
		r = read_block(&d, 0, has_first ? first : NULL, e);
	if (!r)
		watch_progress(s->watch, end, end);
	return r;
}

/* A device that is mounted or mapped isn't written over. */
static int open_existing(const char *path)
{
	struct stat st;
	bool device = !stat(path, &st) && S_ISBLK(st.st_mode);

	return open(path, O_RDWR | O_CLOEXEC | (device ? O_EXCL : 0));
}

/* *ret_blank: holes needn't be written. */
static int open_target(const char *path, uint64_t bytes, bool overwrite, int *ret_fd,
		       bool *ret_blank, bool *ret_made, struct err *e)
{
	_cleanup_close_ int fd = -1;
	struct stat st;
	uint64_t have;
	int r;

	if (overwrite)
		fd = open_existing(path);
	if (!overwrite || (fd < 0 && errno == ENOENT)) {
		fd = open(path, O_RDWR | O_CLOEXEC | O_CREAT | O_EXCL, 0600);
		*ret_made = fd >= 0;
	}
	if (fd < 0)
		return err_sys(e, -errno, "%s can't be %s", path, overwrite ? "opened" : "made");
	r = fstat(fd, &st) ? err_sys(e, -errno, "%s", path) : io_size(fd, &have, e);
	if (r)
		return r;
	if (S_ISREG(st.st_mode)) {
		/* What was in a file that may be overwritten goes: no old block may show through a
		 * hole. */
		if (ftruncate(fd, 0) || ftruncate(fd, (off_t)bytes))
			return err_sys(e, -errno, "%s can't get its size", path);
		have = bytes;
	}
	if (have < bytes)
		return err_set(e, -ENOSPC, "%s has %llu bytes, the backup needs %llu", path,
			       (unsigned long long)have, (unsigned long long)bytes);
	*ret_blank = S_ISREG(st.st_mode);
	*ret_fd = fd;
	fd = -1;
	return 0;
}

static int keep_room(int fd, uint64_t from, uint64_t to, struct err *e)
{
	if (from == to || !fallocate(fd, 0, (off_t)from, (off_t)(to - from)))
		return 0;
	return errno == ENOSPC || errno == EDQUOT || errno == EFBIG
		       ? err_sys(e, -errno, "there is no room for the restored image")
		       : 0; /* a file system that can't */
}

/* Room for all blocks before the first is written: a restore isn't half done where it can't be
 * whole, and nobody else takes its room meanwhile. */
static int reserve_blocks(int fd, struct manifest *m, struct err *e)
{
	uint64_t end = m->info.device_bytes, from = 0, to = 0, i;
	uint8_t hash[HASH_BYTES];
	int r;

	while ((r = manifest_next(m, &i, hash, e)) == 1) {
		if (i * BACKUP_BLOCK_BYTES != to) {
			int failed = keep_room(fd, from, to, e);

			if (failed)
				return failed;
			from = i * BACKUP_BLOCK_BYTES;
		}
		to = i * BACKUP_BLOCK_BYTES + block_length(end, i);
	}
	return r ?: keep_room(fd, from, to, e);
}

static int restore_manifest(const struct store *s, struct manifest *m, const char *path,
			    bool overwrite, struct err *e)
{
	bool blank = false, made = false;
	_cleanup_close_ int fd = -1;
	int r;

	r = open_target(path, m->info.device_bytes, overwrite, &fd, &blank, &made, e);
	if (!r && blank)
		r = reserve_blocks(fd, m, e);
	r = r ?: read_all(s, m, fd, !blank, e);
	r = r ?: io_fsync(fd, e);
	if (r && made)
		(void)!unlink(path);
	return r;
}

int backup_restore(const char *dir, const char *volume, const char *name, const char *path,
		   bool overwrite, uint64_t max_bytes, const struct backup_watch *watch,
		   struct err *e)
{
	struct manifest m = { .reader = NULL };
	struct store s;
	int r;

	r = store_open(dir, STORE_SHARED, watch, &s, e);
	if (r)
		return r;
	r = manifest_open(&s, volume, name, &m, e);
	if (!r && max_bytes && m.info.device_bytes > max_bytes)
		r = err_set(e, -ERANGE, "backup %s is of a device of %llu bytes, more than %llu",
			    name, (unsigned long long)m.info.device_bytes,
			    (unsigned long long)max_bytes);
	else if (!r)
		r = restore_manifest(&s, &m, path, overwrite, e);
	manifest_clear(&m);
	store_close(&s);
	return r;
}

int backup_verify(const char *dir, const char *volume, const char *name,
		  const struct backup_watch *watch, struct err *e)
{
	struct manifest m;
	struct store s;
	int r;

	r = store_open(dir, STORE_SHARED, watch, &s, e);
	if (r)
		return r;
	r = manifest_open(&s, volume, name, &m, e);
	if (!r) {
		r = read_all(&s, &m, -1, false, e);
		manifest_clear(&m);
	}
	store_close(&s);
	return r;
}
