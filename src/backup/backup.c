// SPDX-License-Identifier: Apache-2.0
// Backup, restore, verify, list, delete: over blocks and manifests.
#include "internal.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <time.h>

static bool all_zero(const char *p, size_t n)
{
	return !n || (!p[0] && !memcmp(p, p + 1, n - 1));
}

/* ---- write ---- */

struct writer {
	struct store_run run;
	int fd;
	char *buf;
	uint64_t device_bytes;
	struct manifest_writer *manifest;
	struct backup_stats stats;
	backup_progress *progress;
	void *arg;
};

/* The end of the hole that @at lies in, or @at where there is data; devices have no holes to show.
 */
static uint64_t skip_hole(int fd, uint64_t at, uint64_t end)
{
	off_t data = lseek(fd, (off_t)at, SEEK_DATA);

	if (data < 0)
		return errno == ENXIO ? end : at;
	return (uint64_t)data;
}

static int write_block(struct writer *w, uint64_t i, struct err *e)
{
	size_t len = block_length(w->device_bytes, i);
	uint8_t hash[HASH_BYTES];
	bool fresh;
	int r;

	r = io_pread_full(w->fd, w->buf, len, i * BACKUP_BLOCK_BYTES, e);
	if (r)
		return r;
	w->stats.blocks++;
	if (all_zero(w->buf, len)) {
		w->stats.holes++;
		return 0;
	}
	r = store_hash(w->buf, len, hash, e);
	r = r ?: store_put(&w->run, hash, w->buf, len, &fresh, e);
	if (!r && fresh) {
		w->stats.stored_blocks++;
		w->stats.stored_bytes += len;
	}
	return r ?: manifest_add(w->manifest, i, hash, e);
}

static int write_blocks(struct writer *w, struct err *e)
{
	uint64_t end = w->device_bytes, n = block_count(end);
	int r = 0;

	for (uint64_t i = 0; !r && i < n;) {
		uint64_t data = skip_hole(w->fd, i * BACKUP_BLOCK_BYTES, end);

		if (data / BACKUP_BLOCK_BYTES > i || data >= end) {
			uint64_t next = data >= end ? n : data / BACKUP_BLOCK_BYTES;

			w->stats.blocks += next - i;
			w->stats.holes += next - i;
			i = next;
			continue;
		}
		r = write_block(w, i++, e);
		if (!r && w->progress)
			w->progress(w->arg,
				    i * BACKUP_BLOCK_BYTES < end ? i * BACKUP_BLOCK_BYTES : end,
				    end);
	}
	return r;
}

/* A sweep by a host that our lock doesn't reach may have taken what was written or found more than
 * a day ago. */
static int keep_blocks(const struct writer *w, struct manifest *m, struct err *e)
{
	uint8_t hash[HASH_BYTES];
	uint64_t index;
	int r;

	while ((r = manifest_next(m, &index, hash, e)) > 0) {
		r = store_touch(w->run.dir, hash, e);
		if (r)
			break;
	}
	return r;
}

static int fill_info(const struct backup_source *s, uint64_t device_bytes, struct backup_info *i,
		     struct err *e)
{
	uint64_t data_bytes;

	if (!backup_name_valid(s->volume) || !backup_name_valid(s->name))
		return err_set(
			e, -EINVAL,
			"\"%s\", \"%s\": names of a backup are [a-z0-9._-], %d characters at most",
			s->volume, s->name, BACKUP_NAME_MAX - 1);
	data_bytes = device_bytes > s->header_bytes ? device_bytes - s->header_bytes : device_bytes;
	*i = (struct backup_info){ .size_bytes = s->size_bytes ?: data_bytes,
				   .header_bytes = s->header_bytes,
				   .device_bytes = device_bytes,
				   .encrypted = s->encrypted,
				   .pin = s->pin,
				   .created_seconds = s->created_seconds ?: (int64_t)time(NULL) };
	text_copy(i->volume, sizeof(i->volume), s->volume);
	text_copy(i->name, sizeof(i->name), s->name);
	if (text_copy(i->fs_type, sizeof(i->fs_type), s->fs_type ?: "") ||
	    text_copy(i->uuid, sizeof(i->uuid), s->uuid ?: ""))
		return err_set(e, -EINVAL, "file system type or UUID is too long");
	return 0;
}

/* The blocks, then the manifest that names them. */
static int write_manifest(struct writer *w, struct err *e)
{
	struct manifest m;
	int r;

	r = write_blocks(w, e);
	r = r ?: manifest_finish(w->manifest, w->stats.stored_bytes, &m, e);
	if (r)
		return r;
	r = keep_blocks(w, &m, e);
	manifest_clear(&m);
	r = r ?: store_sync(w->run.dir, e);
	return r ?: manifest_publish(w->manifest, e);
}

static int write_locked(struct writer *w, const struct backup_source *s, struct err *e)
{
	struct backup_info info;
	int r;

	r = io_size(w->fd, &w->device_bytes, e);
	r = r ?: fill_info(s, w->device_bytes, &info, e);
	if (r)
		return r;
	w->buf = malloc(BACKUP_BLOCK_BYTES);
	w->run.spare = malloc(BACKUP_BLOCK_BYTES);
	if (!w->buf || !w->run.spare)
		return err_set(e, -ENOMEM, "no memory for a backup");
	/* What a mapping wrote went past the device's page cache: none of it may be older. */
	(void)posix_fadvise(w->fd, 0, 0, POSIX_FADV_DONTNEED);
	r = manifest_create(w->run.dir, &info, &w->manifest, e);
	return r ?: write_manifest(w, e);
}

int backup_write(const char *dir, const struct backup_source *s, backup_progress *progress,
		 void *arg, struct backup_stats *ret, struct err *e)
{
	struct writer w = { .run = { .dir = dir }, .fd = -1, .progress = progress, .arg = arg };
	_cleanup_close_ int lock = -1;
	struct manifest old;
	int r;

	r = store_open(dir, true, false, &lock, e);
	if (r)
		return r;
	r = manifest_open(dir, s->volume, s->name, &old, e);
	if (!r) {
		manifest_clear(&old);
		if (ret)
			*ret = w.stats;
		return store_sync(dir, e); /* its writer may not have come to that */
	}
	if (r != -ENOENT)
		return r;
	err_clear(e);
	r = store_now(lock, &w.run.since, e);
	if (r)
		return r;
	w.fd = open(s->path, O_RDONLY | O_CLOEXEC);
	r = w.fd < 0 ? err_sys(e, -errno, "%s can't be opened", s->path) : write_locked(&w, s, e);
	base_closep(&w.fd);
	manifest_drop(w.manifest);
	free(w.buf);
	free(w.run.spare);
	if (!r && ret)
		*ret = w.stats;
	return r;
}

/* ---- read ---- */

int backup_read(const char *dir, const char *volume, const char *name, struct backup_info *ret,
		struct err *e)
{
	struct manifest m;
	int r;

	r = store_check(dir, e);
	r = r ?: manifest_open(dir, volume, name, &m, e);
	if (r)
		return r;
	*ret = m.info;
	manifest_clear(&m);
	return 0;
}

/* "VOLUME/NAME" in its parts; false where it isn't that. */
static bool split_handle(const char *handle, char volume[BACKUP_NAME_MAX], const char **ret_name)
{
	const char *slash = strchr(handle, '/');
	size_t n = slash ? (size_t)(slash - handle) : 0;

	if (!slash || n >= BACKUP_NAME_MAX)
		return false;
	memcpy(volume, handle, n);
	volume[n] = '\0';
	*ret_name = slash + 1;
	return true;
}

int backup_find(const char *dir, const char *handle, struct backup_info *ret, struct err *e)
{
	char volume[BACKUP_NAME_MAX];
	const char *name = handle;
	int r;

	r = store_check(dir, e);
	if (!r && !split_handle(handle, volume, &name))
		r = manifest_volume_of(dir, name, volume, e);
	if (r)
		return r;
	if (!backup_name_valid(volume) || !backup_name_valid(name))
		return err_set(e, -ENOENT, "\"%s\" is no name of a backup", handle);
	return backup_read(dir, volume, name, ret, e);
}

struct info_list {
	struct backup_info *list;
	size_t n;
	backup_bad *bad;
	void *arg;
};

static int add_info(void *arg, struct manifest *m, struct err *e)
{
	struct info_list *l = arg;
	struct backup_info *grown = reallocarray(l->list, l->n + 1, sizeof(*grown));

	if (!grown)
		return err_set(e, -ENOMEM, "no memory for the list");
	l->list = grown;
	l->list[l->n++] = m->info;
	return 0;
}

static void tell_bad(void *arg, const char *why)
{
	const struct info_list *l = arg;

	l->bad(l->arg, why);
}

static int by_volume_and_time(const void *a, const void *b)
{
	const struct backup_info *x = a, *y = b;
	int c = strcmp(x->volume, y->volume);

	if (c)
		return c;
	return x->created_seconds < y->created_seconds ? -1
						       : x->created_seconds > y->created_seconds;
}

int backup_list(const char *dir, const char *volume, backup_bad *bad, void *arg,
		struct backup_info **ret, size_t *ret_n, struct err *e)
{
	struct info_list l = { NULL, 0, bad, arg };
	int r;

	r = store_check(dir, e);
	r = r ?: manifest_each(dir, volume, add_info, bad ? tell_bad : NULL, &l, e);
	if (r) {
		free(l.list);
		return r;
	}
	if (l.n)
		qsort(l.list, l.n, sizeof(*l.list), by_volume_and_time);
	*ret = l.list;
	*ret_n = l.n;
	return 0;
}

/* ---- restore and verify: every block read and checked; @to < 0 writes nothing ---- */

struct reader {
	const char *dir;
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
	int r = 0;

	if (hash)
		r = store_get(d->dir, hash, d->buf, len, e);
	else if (d->zero_holes)
		memset(d->buf, 0, len);
	if (!r && d->to >= 0 && (hash || d->zero_holes))
		r = io_pwrite_full(d->to, d->buf, len, i * BACKUP_BLOCK_BYTES, e);
	return r;
}

/* All but the first block. */
static int read_rest(struct reader *d, backup_progress *progress, void *arg, struct err *e)
{
	uint64_t end = d->m->info.device_bytes, done = 0;
	int r = 0;

	for (uint64_t i = 1; !r && i < d->m->n_blocks; i++) {
		bool here = d->more && d->index == i;

		r = read_block(d, i, here ? d->hash : NULL, e);
		if (!r && here)
			r = look_ahead(d, e);
		done += block_length(end, i);
		if (!r && progress)
			progress(arg, done, end);
	}
	return r;
}

/* The first block, with the header in it, comes last: half of a volume must not pass for one. */
static int read_all(const char *dir, struct manifest *m, int to, bool zero_holes,
		    backup_progress *progress, void *arg, struct err *e)
{
	_cleanup_free_ char *buf = calloc(1, BACKUP_BLOCK_BYTES);
	struct reader d = { .dir = dir, .m = m, .to = to, .zero_holes = zero_holes, .buf = buf };
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
	r = r ?: read_rest(&d, progress, arg, e);
	if (!r && to >= 0)
		r = io_fsync(to, e);
	if (!r && m->n_blocks)
		r = read_block(&d, 0, has_first ? first : NULL, e);
	if (!r && progress)
		progress(arg, end, end);
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

int backup_restore(const char *dir, const char *volume, const char *name, const char *path,
		   bool overwrite, backup_progress *progress, void *arg, struct err *e)
{
	_cleanup_close_ int lock = -1, fd = -1;
	struct manifest m;
	bool blank = false, made = false;
	int r;

	r = store_open(dir, false, false, &lock, e);
	r = r ?: manifest_open(dir, volume, name, &m, e);
	if (r)
		return r;
	r = open_target(path, m.info.device_bytes, overwrite, &fd, &blank, &made, e);
	if (!r && blank)
		r = reserve_blocks(fd, &m, e);
	r = r ?: read_all(dir, &m, fd, !blank, progress, arg, e);
	r = r ?: io_fsync(fd, e);
	if (r && made)
		(void)!unlink(path);
	manifest_clear(&m);
	return r;
}

int backup_verify(const char *dir, const char *volume, const char *name, backup_progress *progress,
		  void *arg, struct err *e)
{
	_cleanup_close_ int lock = -1;
	struct manifest m;
	int r;

	r = store_open(dir, false, false, &lock, e);
	r = r ?: manifest_open(dir, volume, name, &m, e);
	if (r)
		return r;
	r = read_all(dir, &m, -1, false, progress, arg, e);
	manifest_clear(&m);
	return r;
}

/* A lock that is waited for could be hours of somebody's upload. */
int backup_delete(const char *dir, const char *volume, const char *name, struct err *ret_left,
		  struct err *e)
{
	_cleanup_close_ int lock = -1;
	int r;

	err_clear(ret_left);
	if (!backup_name_valid(volume) || !backup_name_valid(name))
		return err_set(e, -EINVAL, "\"%s\", \"%s\": no names of a backup", volume, name);
	r = store_check(dir, e);
	if (r)
		return r == -ENOENT ? 0 : r;
	r = manifest_delete(dir, volume, name, e);
	if (r)
		return r;
	r = store_open(dir, false, true, &lock, ret_left);
	(void)(r ?: store_sweep(dir, lock, ret_left));
	return 0;
}
