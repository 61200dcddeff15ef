// SPDX-License-Identifier: Apache-2.0
// Which store lies in the state directory. Its id stands in it and, on another disk, in a file of
// the node, so that a disk that isn't mounted, or another one, isn't taken for a new or empty
// store: its volumes would be answered for as if they had never been.
#include "internal.h"

#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/stat.h>

#define MARKER "store-id"
#define ID_FILE_MAX_BYTES 128
#define RESERVE "reserve"
#define RESERVE_BYTES (1024 * 1024)
#define RESERVE_LEAST_BYTES (32 * 1024)

static void path_in(const struct backend *b, const char *name, char *ret, size_t cap)
{
	snprintf(ret, cap, "%s/%s", b->dir, name);
}

/* ---- ids ---- */

/* -ENOENT: there is no such file. */
static int read_id(const char *path, char ret[37], struct err *e)
{
	_cleanup_free_ char *text = NULL;
	int r = io_read_file(path, ID_FILE_MAX_BYTES, &text, NULL);

	if (r)
		return err_sys(e, r, "%s can't be read", path);
	text[strcspn(text, "\n")] = '\0';
	if (!text_uuid_valid(text))
		return err_set(e, -EBADMSG, "%s holds no store id", path);
	memcpy(ret, text, 37);
	return 0;
}

/* The file appears with its text, or not at all. */
static int write_id(const char *path, const char *id, struct err *e)
{
	char tmp[sizeof(((struct backend *)0)->dir) + 32], line[40];
	_cleanup_close_ int fd = -1;
	int r, n;

	if ((size_t)snprintf(tmp, sizeof(tmp), "%s.new", path) >= sizeof(tmp))
		return err_set(e, -ENAMETOOLONG, "the path of the store's id is too long");
	fd = open(tmp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return err_sys(e, -errno, "%s can't be made", tmp);
	n = snprintf(line, sizeof(line), "%.36s\n", id);
	r = io_pwrite_full(fd, line, (size_t)n, 0, e);
	r = r ?: io_fsync(fd, e);
	if (!r && rename(tmp, path))
		r = err_sys(e, -errno, "%s can't be made", path);
	if (r)
		(void)!unlink(tmp);
	return r;
}

/* ---- is it the right one? ---- */

static bool same_fs(const struct stat *st, const char *path)
{
	struct stat other;

	return path && *path && !stat(path, &other) && other.st_dev == st->st_dev;
}

static int check_mountpoint(const struct backend *b, struct err *e)
{
	struct stat st;

	if (stat(b->dir, &st))
		return err_set(e, -ENOTCONN, "state-dir: %s isn't there (%s)", b->dir,
			       strerrordesc_np(errno));
	if (same_fs(&st, "/") || same_fs(&st, b->apart_from))
		return err_set(e, -ENOTCONN,
			       "state-dir: %s is no file system of its own, as "
			       "require-mountpoint asks: its disk isn't mounted",
			       b->dir);
	return 0;
}

static int check_id(const struct backend *b, const char *want, struct err *e)
{
	char path[sizeof(b->dir) + 32], have[37];
	struct err why = { 0 };
	int r;

	path_in(b, MARKER, path, sizeof(path));
	r = read_id(path, have, &why);
	if (r == -ENOENT)
		return err_set(e, -ENOTCONN,
			       "state-dir: %s isn't the store of this node, %s: its disk isn't "
			       "mounted, or is another one. If the store is gone for good, remove "
			       "%s",
			       b->dir, want, b->store_id_file);
	if (r)
		return err_set(e, r, "%s", err_text(&why));
	if (strcmp(want, have) != 0)
		return err_set(e, -ENOTCONN,
			       "state-dir: %s holds the store %s, this node's is %s: it is another "
			       "disk. If this one is to be used from now on, remove %s",
			       b->dir, have, want, b->store_id_file);
	return 0;
}

int disk_check(struct backend *b, struct err *e)
{
	char want[37];
	int r;

	r = b->require_mountpoint ? check_mountpoint(b, e) : 0;
	if (r || !*b->store_id_file)
		return r;
	r = read_id(b->store_id_file, want, e);
	if (r == -ENOENT) {
		err_clear(e);
		return 0;
	}
	return r ?: check_id(b, want, e);
}

void disk_remember(struct backend *b)
{
	char path[sizeof(b->dir) + 32], id[37], other[37];
	struct err e = { 0 };
	int r;

	path_in(b, MARKER, path, sizeof(path));
	r = read_id(path, id, &e);
	if (r == -ENOENT) {
		err_clear(&e);
		r = text_uuid_random(id, &e);
		r = r ?: write_id(path, id, &e);
	}
	if (!r && *b->store_id_file && read_id(b->store_id_file, other, NULL) == -ENOENT)
		r = write_id(b->store_id_file, id, &e);
	if (r)
		backend_warn(b, "the store's id can't be kept: %s", err_text(&e));
}

int disk_same(const struct backend *b, struct err *e)
{
	char path[sizeof(b->dir) + 32];
	struct stat now, then;

	path_in(b, "volumes", path, sizeof(path));
	if (!fstat(b->fd_volumes, &then) && !stat(path, &now) && now.st_dev == then.st_dev &&
	    now.st_ino == then.st_ino)
		return 0;
	return err_set(e, -ENOTCONN,
		       "state-dir: %s isn't what it was when the driver opened it: its disk is "
		       "gone, or another one is mounted there; mount it again, or restart the "
		       "driver",
		       b->dir);
}

/* ---- the reserve ---- */

static bool allocate(int fd, off_t bytes)
{
	return !fallocate(fd, 0, 0, bytes);
}

/* All of it, or as much as there is: the rest at the next record. What was freed just now may be
 * had only after a flush (btrfs). */
void disk_reserve(struct backend *b)
{
	char path[sizeof(b->dir) + 32];
	_cleanup_close_ int fd = -1;

	path_in(b, RESERVE, path, sizeof(path));
	fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return;
	b->reserve_spent = !allocate(fd, RESERVE_BYTES) &&
			   (syncfs(fd) || !allocate(fd, RESERVE_BYTES));
	for (off_t n = RESERVE_BYTES / 2; b->reserve_spent && n >= RESERVE_LEAST_BYTES; n /= 2)
		if (allocate(fd, n))
			break;
}

bool disk_spend_reserve(struct backend *b)
{
	char path[sizeof(b->dir) + 32];
	struct stat st;

	path_in(b, RESERVE, path, sizeof(path));
	if (stat(path, &st) || !st.st_blocks || unlink(path))
		return false;
	b->reserve_spent = true;
	return true;
}

/* btrfs writes changed blocks to new places, and has none when it is full. A file without that
 * keeps its own; its checksums go with it. Other file systems know no such flag. */
void disk_keep_in_place(const char *path, off_t reserved_bytes)
{
	_cleanup_close_ int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	struct stat st;
	int flags;

	if (fd < 0 || fstat(fd, &st))
		return;
	if (!st.st_size && !ioctl(fd, FS_IOC_GETFLAGS, &flags)) {
		flags |= FS_NOCOW_FL;
		(void)!ioctl(fd, FS_IOC_SETFLAGS, &flags);
	}
	if (fallocate(fd, FALLOC_FL_KEEP_SIZE, 0, reserved_bytes))
		log_debug("%s: nothing is reserved: %s", path, strerrordesc_np(errno));
}
