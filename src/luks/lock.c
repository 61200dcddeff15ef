// SPDX-License-Identifier: Apache-2.0
// One metadata lock, the same as cryptsetup's: flock(2) on /run/cryptsetup/L_<major>:<minor> of a
// block device, or on the image file itself.
#include "internal.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>

#define LOCK_DIR "/run/cryptsetup"

static int lock_wait(int fd, bool exclusive, struct err *e)
{
	while (flock(fd, exclusive ? LOCK_EX : LOCK_SH))
		if (errno != EINTR)
			return err_sys(e, -errno, "the metadata lock can't be taken");
	return 0;
}

/* The directory is made where its parent exists. */
static int open_dir(const char *dir, int *ret_fd, struct err *e)
{
	int fd;

	if (mkdir(dir, 0700) && errno != EEXIST)
		return err_sys(e, -errno, "the lock directory %s can't be made", dir);
	fd = open(dir, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return err_sys(e, -errno, "the lock directory %s can't be opened", dir);
	*ret_fd = fd;
	return 0;
}

/* Is the path still this file? Whoever unlocks last removes it, maybe while we waited. */
static bool same_file(int dir_fd, const char *name, int fd)
{
	struct stat a, b;

	return !fstat(fd, &a) && !fstatat(dir_fd, name, &b, AT_SYMLINK_NOFOLLOW) &&
	       a.st_ino == b.st_ino && a.st_dev == b.st_dev;
}

static int lock_name(int dir_fd, const char *name, bool exclusive, int *ret_fd, struct err *e)
{
	for (;;) {
		int fd, r;

		fd = openat(dir_fd, name, O_CREAT | O_RDWR | O_NOFOLLOW | O_CLOEXEC, 0600);
		if (fd < 0)
			return err_sys(e, -errno, "the lock file %s can't be opened", name);
		r = lock_wait(fd, exclusive, e);
		if (!r && same_file(dir_fd, name, fd)) {
			*ret_fd = fd;
			return 0;
		}
		close(fd);
		if (r)
			return r;
	}
}

int luks_lock_take_name(const char *dir, const char *name, bool exclusive, struct luks_lock *ret,
			struct err *e)
{
	struct luks_lock l = { .file = false };
	_cleanup_close_ int dir_fd = -1;
	int n, r;

	n = snprintf(l.path, sizeof(l.path), "%s/%s", dir, name);
	if (n < 0 || (size_t)n >= sizeof(l.path))
		return err_set(e, -ENAMETOOLONG, "the name of the lock is too long");
	r = open_dir(dir, &dir_fd, e);
	if (!r)
		r = lock_name(dir_fd, name, exclusive, &l.fd, e);
	if (r)
		return r;
	*ret = l;
	return 0;
}

int luks_lock_take_device(uint32_t major, uint32_t minor, bool exclusive, struct luks_lock *ret,
			  struct err *e)
{
	char name[32];

	snprintf(name, sizeof(name), "L_%u:%u", major, minor);
	return luks_lock_take_name(LOCK_DIR, name, exclusive, ret, e);
}

int luks_lock_take_file(int fd, bool exclusive, struct luks_lock *ret, struct err *e)
{
	int r = lock_wait(fd, exclusive, e);

	if (!r)
		*ret = (struct luks_lock){ .fd = fd, .file = true };
	return r;
}

void luks_lock_release(struct luks_lock *l)
{
	struct stat st, path;

	/* The last one removes the file; a taker that waits for it sees the inode change. */
	if (!l->file && !flock(l->fd, LOCK_EX | LOCK_NB) && !fstat(l->fd, &st) &&
	    !stat(l->path, &path) && st.st_ino == path.st_ino && st.st_dev == path.st_dev)
		(void)unlink(l->path);
	/* A child that was forked meanwhile shares the lock: closing alone wouldn't end it. */
	(void)flock(l->fd, LOCK_UN);
	if (!l->file || l->close)
		close(l->fd);
	l->fd = -1;
}
