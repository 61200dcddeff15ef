// SPDX-License-Identifier: Apache-2.0
// Devices and image files: opened, claimed, let go.
#include "internal.h"

#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/sysmacros.h>

#define CLAIM_OFFSET (INT64_MAX - 1)

/* Read-write where that is allowed, else read-only: what a device permits shows only here. */
static int open_path(const char *path, int flags, bool *readonly, struct err *e)
{
	int fd, r;

	fd = *readonly ? -1 : open(path, O_RDWR | flags);
	if (fd >= 0)
		return fd;
	if (!*readonly && errno != EROFS && errno != EACCES && errno != EPERM) {
		r = -errno;
	} else {
		fd = open(path, O_RDONLY | flags);
		r = -errno;
		if (fd >= 0) {
			*readonly = true;
			return fd;
		}
	}
	if (r == -EBUSY)
		return err_set(e, r, "device %s is in use (mapped, mounted or claimed)", path);
	if (r == -ENOENT || r == -ENXIO || r == -ENODEV || r == -ENOTDIR || r == -ENOMEDIUM)
		return err_set(e, -ENODEV, "device %s does not exist or can't be reached", path);
	return err_sys(e, r, "device %s can't be opened", path);
}

/* The kind of @path, before it is opened: opening a FIFO would wait, a tape would rewind. */
static int examine(const char *path, struct stat *st, struct err *e)
{
	if (stat(path, st)) {
		if (errno == ENOENT || errno == ENOTDIR)
			return err_set(e, -ENODEV, "device %s does not exist", path);
		return err_sys(e, -errno, "device %s can't be examined", path);
	}
	if (!S_ISBLK(st->st_mode) && !S_ISREG(st->st_mode))
		return err_set(e, -ENOTBLK, "%s is neither a block device nor an image file", path);
	return 0;
}

/*
 * One byte far behind any image, locked by a description of its own: the loop device would keep
 * that of the image for as long as it lives. A file system without such locks has no claims.
 */
static int claim_file(struct block_device *d, struct err *e)
{
	struct flock lock = { .l_type = d->readonly ? F_RDLCK : F_WRLCK,
			      .l_whence = SEEK_SET,
			      .l_start = CLAIM_OFFSET,
			      .l_len = 1 };
	char path[64];

	snprintf(path, sizeof(path), "/proc/self/fd/%d", d->fd);
	d->claim_fd = open(path, (d->readonly ? O_RDONLY : O_RDWR) | O_CLOEXEC | O_NONBLOCK);
	if (d->claim_fd < 0 || !fcntl(d->claim_fd, F_OFD_SETLK, &lock))
		return 0;
	if (errno != EAGAIN && errno != EACCES)
		return 0;
	return err_set(e, -EBUSY, "image file %s is in use by another command", d->given);
}

static int open_file(struct block_device *d, const struct stat *st, uint32_t flags, struct err *e)
{
	bool exclusive = flags & BLOCK_EXCLUSIVE;
	int r;

	d->regular_file = true;
	r = exclusive ? claim_file(d, e) : 0;
	if (r)
		return r;
	if (!(flags & BLOCK_NEED_DEVICE))
		return exclusive ? block_loop_check_unused(st, "", d->given, e) : 0;
	d->file_fd = d->fd;
	d->fd = -1;
	r = block_loop_attach(d, exclusive, e);
	/* Looked at after ours is held: of two at once at most one passes. */
	if (!r && exclusive)
		r = block_loop_check_unused(st, d->path, d->given, e);
	return r;
}

/* @st: of the file that was given; where a loop device was attached to it, that one counts. */
static int fill(struct block_device *d, struct stat st, struct err *e)
{
	int ro = 0;

	if (d->file_fd >= 0 && fstat(d->fd, &st))
		return err_sys(e, -errno, "%s can't be examined", d->path);
	if (S_ISBLK(st.st_mode)) {
		d->major = major(st.st_rdev);
		d->minor = minor(st.st_rdev);
		/* Some drivers let a read-only device be opened for writing; writes fail later. */
		if (!ioctl(d->fd, BLKROGET, &ro) && ro)
			d->readonly = true;
	}
	block_read_topology(d, &st);
	if (S_ISREG(st.st_mode)) {
		d->size_bytes = (uint64_t)st.st_size;
		return 0;
	}
	return io_size(d->fd, &d->size_bytes, e);
}

static int open_into(struct block_device *d, const char *path, uint32_t flags, struct err *e)
{
	int open_flags = O_CLOEXEC | O_NONBLOCK;
	struct stat st;
	int r;

	r = text_copy(d->given, sizeof(d->given), path);
	if (!r)
		r = text_copy(d->path, sizeof(d->path), path);
	if (r)
		return err_set(e, r, "the path of the device is too long");
	r = examine(path, &st, e);
	if (r)
		return r;
	d->readonly = flags & BLOCK_READONLY;
	if (S_ISBLK(st.st_mode) && (flags & BLOCK_EXCLUSIVE)) {
		open_flags |= O_EXCL;
		d->exclusive = true;
	}
	d->fd = open_path(path, open_flags, &d->readonly, e);
	if (d->fd < 0)
		return d->fd;
	/* The open file decides what it is: the path may name another by now. */
	if (fstat(d->fd, &st))
		return err_sys(e, -errno, "%s can't be examined", path);
	if (S_ISREG(st.st_mode))
		r = open_file(d, &st, flags, e);
	else if (!S_ISBLK(st.st_mode))
		r = err_set(e, -ENOTBLK, "%s is neither a block device nor an image file", path);
	else if ((flags & BLOCK_EXCLUSIVE) && !d->exclusive)
		r = err_set(e, -EBUSY, "%s changed while it was opened", path);
	return r ?: fill(d, st, e);
}

int block_open(const char *path, uint32_t flags, struct block_device *ret, struct err *e)
{
	struct block_device *d;
	int r;

	d = calloc(1, sizeof(*d));
	if (!d)
		return err_set(e, -ENOMEM, "no memory for a device");
	d->fd = d->file_fd = d->claim_fd = -1;
	r = open_into(d, path, flags, e);
	if (r)
		block_close(d);
	else
		*ret = *d;
	free(d);
	return r;
}

static int attach_into(struct block_device *d, int fd, const char *given, struct err *e)
{
	struct stat st;
	int r;

	r = text_copy(d->given, sizeof(d->given), given);
	if (r)
		return err_set(e, r, "the name of the file is too long");
	d->fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	if (d->fd < 0 || fstat(d->fd, &st))
		return err_sys(e, -errno, "%s can't be examined", given);
	r = open_file(d, &st, BLOCK_NEED_DEVICE, e);
	return r ?: fill(d, st, e);
}

int block_attach_file(int fd, const char *given, bool readonly, struct block_device *ret,
		      struct err *e)
{
	struct block_device *d;
	int r;

	d = calloc(1, sizeof(*d));
	if (!d)
		return err_set(e, -ENOMEM, "no memory for a device");
	d->fd = d->file_fd = d->claim_fd = -1;
	d->readonly = readonly;
	r = attach_into(d, fd, given, e);
	if (r)
		block_close(d);
	else
		*ret = *d;
	free(d);
	return r;
}

void block_close(struct block_device *d)
{
	if (!d)
		return;
	if (d->fd >= 0)
		close(d->fd); /* the last user's close of an AUTOCLEAR loop device detaches it */
	if (d->exclusive)
		base_spawn_settle();
	if (d->file_fd >= 0)
		close(d->file_fd);
	if (d->claim_fd >= 0)
		close(d->claim_fd);
	d->fd = d->file_fd = d->claim_fd = -1;
}

int block_metadata_fd(const struct block_device *d)
{
	return d->file_fd >= 0 ? d->file_fd : d->fd;
}

int block_drop_exclusive(struct block_device *d, struct err *e)
{
	bool readonly = d->readonly;
	struct stat st;
	int fd;

	if (!d->exclusive)
		return 0;
	/* Opened before the old one is closed: an AUTOCLEAR loop device would go in between. */
	fd = open_path(d->path, O_CLOEXEC | O_NONBLOCK, &readonly, e);
	if (fd < 0)
		return fd;
	if (fstat(fd, &st) || !S_ISBLK(st.st_mode) || st.st_rdev != makedev(d->major, d->minor)) {
		close(fd);
		return err_set(e, -ENODEV, "%s became another device while it was in our hands",
			       d->path);
	}
	close(d->fd);
	base_spawn_settle();
	d->fd = fd;
	d->exclusive = false;
	return 0;
}

int block_refresh_size(struct block_device *d, struct err *e)
{
	int r;

	r = block_loop_refresh(d->fd, d->path, e);
	return r ?: io_size(d->fd, &d->size_bytes, e);
}
