// SPDX-License-Identifier: Apache-2.0
// Images: sparse files that appear under their name whole or not at all, copied by reflink or by
// their allocated parts.
#include "internal.h"

#include <cryptvol/backup.h>

#include <dirent.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/random.h>
#include <sys/stat.h>

#define COPY_BLOCK_BYTES (1024u * 1024)
#define NAME_BYTES (BACKEND_ID_MAX + 8)

static int dir_fd(const struct backend *b, bool snapshot)
{
	return snapshot ? b->fd_snapshots : b->fd_volumes;
}

void image_path(const struct backend *b, bool snapshot, const char *id, char *ret, size_t cap)
{
	snprintf(ret, cap, "%s/%s/%s.img", b->dir, snapshot ? "snapshots" : "volumes", id);
}

static void name_of(const char *id, char ret[NAME_BYTES])
{
	snprintf(ret, NAME_BYTES, "%.128s.img", id);
}

/* A number for the id: two ids of a node that share one don't happen (FNV-1a, 62 bits). */
static off_t lock_offset(const char *id)
{
	uint64_t h = 0xcbf29ce484222325;

	for (; *id; id++)
		h = (h ^ (uint8_t)*id) * 0x100000001b3;
	return (off_t)(h >> 2);
}

/* One byte an id of one file: there is nothing to make where the file system is full, and nothing
 * to remove. Of the open file description, so that it keeps out threads and processes alike, and
 * ends with the process. */
int image_lock(struct backend *b, const char *id, bool shared, int *fd, struct err *e)
{
	struct flock l = { .l_type = shared ? F_RDLCK : F_WRLCK,
			   .l_whence = SEEK_SET,
			   .l_start = lock_offset(id),
			   .l_len = 1 };

	if (*fd < 0)
		*fd = open(b->lock_file, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (*fd < 0)
		return err_sys(e, -errno, "%s can't be opened", b->lock_file);
	if (!fcntl(*fd, F_OFD_SETLK, &l))
		return 0;
	if (errno != EAGAIN && errno != EACCES)
		return err_sys(e, -errno, "%s", b->lock_file);
	return err_set(e, -EINPROGRESS, "another operation on \"%s\" is under way", id);
}

int backend_lock(struct backend *b, const char *id, int *ret_fd, struct err *e)
{
	_cleanup_close_ int fd = -1;
	int r = image_lock(b, id, false, &fd, e);

	if (r)
		return r;
	*ret_fd = fd;
	fd = -1;
	return 0;
}

int image_size(struct backend *b, bool snapshot, const char *id, uint64_t *ret_bytes,
	       uint64_t *ret_allocated, struct err *e)
{
	char name[NAME_BYTES];
	struct stat st;

	name_of(id, name);
	if (fstatat(dir_fd(b, snapshot), name, &st, AT_SYMLINK_NOFOLLOW))
		return errno == ENOENT ? err_set(e, -ENOENT, "the image of \"%s\" is gone", id)
				       : err_sys(e, -errno, "the image of \"%s\"", id);
	if (!S_ISREG(st.st_mode))
		return err_set(e, -EBADMSG, "the image of \"%s\" is no regular file", id);
	*ret_bytes = (uint64_t)st.st_size;
	*ret_allocated = (uint64_t)st.st_blocks * 512;
	return 0;
}

int image_extents(struct backend *b, const char *id, struct image_extents *ret, struct err *e)
{
	_cleanup_close_ int fd = -1;
	char name[NAME_BYTES];

	name_of(id, name);
	fd = openat(b->fd_volumes, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0) {
		snprintf(name, NAME_BYTES, "%.128s.new", id);
		fd = openat(b->fd_tmp, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	}
	if (fd < 0)
		return err_sys(e, -errno, "the image of \"%s\"", id);
	return image_read_extents(fd, ret, e);
}

static int sync_dir(int fd, struct err *e)
{
	return fsync(fd) ? err_sys(e, -errno, "the state directory can't be flushed") : 0;
}

/* A file without a name; it gets one when it is whole. */
static int start_image(const struct backend *b, const char *id, char tmp[NAME_BYTES], struct err *e)
{
	int fd;

	snprintf(tmp, NAME_BYTES, "%.128s.new", id);
	if (unlinkat(b->fd_tmp, tmp, 0) && errno != ENOENT)
		return err_sys(e, -errno, "tmp/%s can't be removed", tmp);
	fd = openat(b->fd_tmp, tmp, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	return fd < 0 ? err_sys(e, -errno, "tmp/%s can't be made", tmp) : fd;
}

static int finish_image(struct backend *b, int fd, const char *tmp, bool snapshot, const char *id,
			struct err *e)
{
	char name[NAME_BYTES];
	int r;

	name_of(id, name);
	r = io_fsync(fd, e);
	if (!r && renameat2(b->fd_tmp, tmp, dir_fd(b, snapshot), name, RENAME_NOREPLACE))
		r = err_sys(e, -errno, "the image of \"%s\" can't get its name", id);
	return r ?: sync_dir(dir_fd(b, snapshot), e);
}

static void drop_image(struct backend *b, const char *tmp)
{
	(void)!unlinkat(b->fd_tmp, tmp, 0);
}

static int allocate(int fd, uint64_t from, uint64_t end, struct err *e)
{
	if (end <= from || !fallocate(fd, FALLOC_FL_KEEP_SIZE, (off_t)from, (off_t)(end - from)))
		return 0;
	if (errno == ENOSPC || errno == EDQUOT)
		return err_set(e, -ENOSPC,
			       "the node's disk is full: no %llu bytes for an image can be had",
			       (unsigned long long)(end - from));
	return err_sys(e, -errno, "space for an image can't be allocated ahead");
}

/* A header write must never meet a full disk, so its blocks are there before; a file system that
 * doesn't allocate ahead can't promise it, and is used without. */
static int allocate_space(int fd, uint64_t bytes, const struct image_space *space, struct err *e)
{
	int r = allocate(fd, 0, space->thick ? bytes : space->header_bytes, e);

	if (r != -EOPNOTSUPP || space->thick)
		return r;
	err_clear(e);
	return 0;
}

int image_allocate(struct backend *b, const char *id, uint64_t from, uint64_t end, struct err *e)
{
	_cleanup_close_ int fd = -1;
	char name[NAME_BYTES];
	struct stat st;
	int r;

	name_of(id, name);
	fd = openat(b->fd_volumes, name, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0 || fstat(fd, &st))
		return err_sys(e, -errno, "the image of \"%s\"", id);
	r = allocate(fd, from, end, e);
	if (r)
		(void)!ftruncate(fd, st.st_size); /* what was allocated behind its end goes */
	return r;
}

int image_make(struct backend *b, const char *id, uint64_t bytes, const struct image_space *space,
	       struct err *e)
{
	_cleanup_close_ int fd = -1;
	char tmp[NAME_BYTES];
	int r;

	fd = start_image(b, id, tmp, e);
	if (fd < 0)
		return fd;
	image_set_nocow(fd);
	r = ftruncate(fd, (off_t)bytes)
		    ? err_sys(e, -errno, "an image of %llu bytes", (unsigned long long)bytes)
		    : 0;
	r = r ?: allocate_space(fd, bytes, space, e);
	r = r ?: finish_image(b, fd, tmp, false, id, e);
	if (r)
		drop_image(b, tmp);
	return r;
}

/* ---- copies ---- */

struct copy {
	int from, to;
	char *buf;
	uint64_t done, total; /* of what is allocated */
	struct room room;
	struct progress progress;
};

static bool is_zero(const char *p, size_t n)
{
	return !n || (!p[0] && !memcmp(p, p + 1, n - 1));
}

static int copy_range(struct copy *c, off_t at, off_t end, struct err *e)
{
	while (at < end) {
		size_t n = end - at > COPY_BLOCK_BYTES ? COPY_BLOCK_BYTES : (size_t)(end - at);
		int r;

		room_use(&c->room, c->done + n);
		r = io_pread_full(c->from, c->buf, n, (uint64_t)at, e);
		/* An allocated blank block that somebody has read is taken for data. */
		if (!r && !is_zero(c->buf, n))
			r = io_pwrite_full(c->to, c->buf, n, (uint64_t)at, e);
		if (r)
			return r;
		at += (off_t)n;
		c->done += n;
		progress_show(&c->progress, c->done, c->total);
	}
	return 0;
}

/* Only what is allocated is read and written: holes stay holes. */
static int copy_data(struct copy *c, off_t size, struct err *e)
{
	off_t at = 0, end;
	int r = 0;

	while (!r && at < size) {
		at = lseek(c->from, at, SEEK_DATA);
		if (at < 0)
			return errno == ENXIO ? 0 : err_sys(e, -errno, "looking for data");
		if (at >= size)
			return 0;
		end = lseek(c->from, at, SEEK_HOLE);
		if (end < 0)
			return err_sys(e, -errno, "looking for a hole");
		r = copy_range(c, at, end < size ? end : size, e);
		at = end;
	}
	return r;
}

static int copy_sparse(struct backend *b, int from, int to, off_t size, const char *id,
		       bool promised, struct err *e)
{
	_cleanup_free_ char *buf = malloc(COPY_BLOCK_BYTES);
	struct copy c = { .from = from, .to = to, .buf = buf };
	struct image_extents x = { 0 };
	int r;

	if (!buf)
		return err_set(e, -ENOMEM, "no memory for a copy");
	r = io_fsync(from, e) ?: image_read_extents(from, &x, e);
	if (r)
		return r;
	/* What is read ahead beyond the data would be taken for data, too. */
	(void)!posix_fadvise(from, 0, 0, POSIX_FADV_RANDOM);
	c.total = x.written;
	r = room_take(b, c.total, promised, &c.room, e);
	if (r)
		return err_wrap(e, r, "a copy of \"%s\"", id);
	progress_begin(&c.progress, b, "copy of", id);
	r = copy_data(&c, size, e);
	room_give_back(&c.room);
	return r;
}

/* Of a reflink, the header's blocks: written again into the copy, they are shared no more, so that
 * neither header has to wait for room. */
static int unshare_header(struct backend *b, int from, int to, const struct image_space *space,
			  const char *id, struct err *e)
{
	_cleanup_free_ char *buf = malloc(COPY_BLOCK_BYTES);
	struct copy c = { .from = from, .to = to, .buf = buf, .room = { .fd = -1 } };

	if (!buf)
		return err_set(e, -ENOMEM, "no memory for a copy");
	progress_begin(&c.progress, b, "copy of the header of", id);
	return copy_data(&c, (off_t)space->header_bytes, e);
}

static int fill_copy(struct backend *b, int from, int to, const char *id,
		     const struct image_copying *how, bool promised, bool *ret_reflink,
		     struct err *e)
{
	uint64_t bytes = how->bytes;
	bool copy_allowed = how->copy_allowed;
	struct stat st;
	int r = 0;

	if (fstat(from, &st))
		return err_sys(e, -errno, "the source image");
	image_set_nocow_like(to, from);
	*ret_reflink = ioctl(to, FICLONE, from) == 0;
	if (!*ret_reflink && errno != EOPNOTSUPP && errno != EINVAL && errno != EXDEV &&
	    errno != ENOTTY)
		return err_sys(e, -errno, "reflink");
	if (!*ret_reflink && !copy_allowed)
		return err_set(e, -EOPNOTSUPP,
			       "this file system has no reflinks, so a copy would stop the volume "
			       "for as long as it takes");
	r = *ret_reflink ? unshare_header(b, from, to, &how->space, id, e)
			 : copy_sparse(b, from, to, st.st_size, id, promised, e);
	if (!r &&
	    ftruncate(to, (off_t)(bytes > (uint64_t)st.st_size ? bytes : (uint64_t)st.st_size)))
		r = err_sys(e, -errno, "the size of the copy");
	return r || !promised ? r : allocate_space(to, bytes, &how->space, e);
}

int image_copy(struct backend *b, bool from_snapshot, const char *from, bool to_snapshot,
	       const char *to, const struct image_copying *how, bool *ret_reflink, struct err *e)
{
	_cleanup_close_ int in = -1, out = -1;
	char name[NAME_BYTES], tmp[NAME_BYTES];
	int r;

	name_of(from, name);
	in = openat(dir_fd(b, from_snapshot), name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (in < 0)
		return errno == ENOENT ? err_set(e, -ENOENT, "the image of \"%s\" is gone", from)
				       : err_sys(e, -errno, "the image of \"%s\"", from);
	out = start_image(b, to, tmp, e);
	if (out < 0)
		return out;
	r = fill_copy(b, in, out, from, how, !to_snapshot, ret_reflink, e);
	r = r ?: finish_image(b, out, tmp, to_snapshot, to, e);
	if (r)
		drop_image(b, tmp);
	return r;
}

int image_restore(struct backend *b, const struct backend_snapshot *s, const char *to,
		  uint64_t bytes, const struct image_space *space, struct err *e)
{
	_cleanup_close_ int fd = -1;
	struct progress progress;
	struct backup_watch watch;
	char tmp[NAME_BYTES], path[sizeof(b->dir) + NAME_BYTES + 8];
	uint64_t have;
	int r;

	fd = start_image(b, to, tmp, e); /* takes an old attempt away */
	if (fd < 0)
		return fd;
	snprintf(path, sizeof(path), "%s/tmp/%s", b->dir, tmp);
	progress_begin(&progress, b, "restore of", s->id);
	watch = progress_watch(&progress);
	r = backup_restore(s->location, s->volume_id, snapshot_backup_name(s), path, true, bytes,
			   &watch, e);
	r = r ?: io_size(fd, &have, e);
	if (!r && have < bytes && ftruncate(fd, (off_t)bytes))
		r = err_sys(e, -errno, "the size of the restored image");
	r = r ?: allocate_space(fd, bytes, space, e);
	r = r ?: finish_image(b, fd, tmp, false, to, e);
	if (r)
		drop_image(b, tmp);
	return r;
}

bool image_can_reflink(struct backend *b)
{
	static const char *const names[] = { "reflink-a", "reflink-b" };
	int fd[2] = { -1, -1 };
	bool can = false;

	if (b->reflinks)
		return true;
	for (size_t i = 0; i < 2; i++)
		fd[i] = openat(b->fd_tmp, names[i], O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (fd[0] >= 0 && fd[1] >= 0 && ftruncate(fd[0], 65536) == 0)
		can = ioctl(fd[1], FICLONE, fd[0]) == 0;
	for (size_t i = 0; i < 2; i++) {
		base_closep(&fd[i]);
		(void)!unlinkat(b->fd_tmp, names[i], 0);
	}
	/* On a disk that is full later no file could be made to ask again. */
	b->reflinks = can;
	return can;
}

int image_grow(struct backend *b, const char *id, uint64_t bytes, struct err *e)
{
	_cleanup_close_ int fd = -1;
	char name[NAME_BYTES];
	struct stat st;

	name_of(id, name);
	fd = openat(b->fd_volumes, name, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0)
		return errno == ENOENT ? err_set(e, -ENOENT, "the image of \"%s\" is gone", id)
				       : err_sys(e, -errno, "the image of \"%s\"", id);
	if (fstat(fd, &st))
		return err_sys(e, -errno, "the image of \"%s\"", id);
	if ((uint64_t)st.st_size >= bytes)
		return 0;
	if (ftruncate(fd, (off_t)bytes))
		return err_sys(e, -errno, "the image of \"%s\" can't grow", id);
	return io_fsync(fd, e);
}

/* ---- delete ---- */

/* Key slots are what makes old blocks readable: their allocated parts are overwritten before the
 * file goes. */
int image_erase(int fd, uint64_t header_bytes, struct err *e)
{
	_cleanup_free_ char *buf = malloc(COPY_BLOCK_BYTES);
	off_t at = 0, end;
	int r = 0;

	if (!buf)
		return err_set(e, -ENOMEM, "no memory for an erasure");
	for (size_t n = 0; n < COPY_BLOCK_BYTES; n += 256)
		if (getrandom(buf + n, 256, 0) != 256)
			return err_sys(e, -errno, "no random numbers from the kernel");
	while (!r && (at = lseek(fd, at, SEEK_DATA)) >= 0 && at < (off_t)header_bytes) {
		end = lseek(fd, at, SEEK_HOLE);
		if (end < 0 || end > (off_t)header_bytes)
			end = (off_t)header_bytes;
		for (; !r && at < end; at += COPY_BLOCK_BYTES)
			r = io_pwrite_full(fd, buf,
					   end - at > COPY_BLOCK_BYTES ? COPY_BLOCK_BYTES
								       : (size_t)(end - at),
					   (uint64_t)at, e);
		at = end;
	}
	return r ?: io_fsync(fd, e);
}

int image_delete(struct backend *b, bool snapshot, const char *id, uint64_t header_bytes,
		 struct err *e)
{
	_cleanup_close_ int fd = -1;
	char name[NAME_BYTES];
	int r = 0;

	name_of(id, name);
	fd = openat(dir_fd(b, snapshot), name, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0)
		return errno == ENOENT ? 0 : err_sys(e, -errno, "the image of \"%s\"", id);
	/* No room to overwrite shared blocks is no reason to keep a volume that has to go. */
	if (header_bytes)
		(void)!image_erase(fd, header_bytes, NULL);
	if (unlinkat(dir_fd(b, snapshot), name, 0) && errno != ENOENT)
		r = err_sys(e, -errno, "the image of \"%s\" can't be removed", id);
	return r ?: sync_dir(dir_fd(b, snapshot), e);
}
