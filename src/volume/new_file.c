// SPDX-License-Identifier: Apache-2.0
// A file that holds a header is there whole or not at all: it gets its name when it is written and
// flushed, so that a signal that ends us before leaves nothing.
#include "internal.h"

#include <fcntl.h>
#include <libgen.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>

int volume_new_file_open(const char *path, unsigned int mode, struct volume_new_file *ret,
			 struct err *e)
{
	_cleanup_free_ char *copy = strdup(path);
	struct volume_new_file n = { .path = path, .mode = mode };

	if (!copy)
		return err_set(e, -ENOMEM, "no memory for a path");
	n.fd = open(dirname(copy), O_TMPFILE | O_RDWR | O_CLOEXEC, mode);
	/* vfat can't, nor overlayfs before Linux 6.3. (EISDIR: so does a kernel say it that knows
	 * nothing of this.) */
	if (n.fd < 0 && (errno == EOPNOTSUPP || errno == EISDIR)) {
		n.in_memory = true;
		n.fd = memfd_create("header", MFD_CLOEXEC);
	}
	if (n.fd < 0)
		return err_sys(e, -errno, "%s can't be made", path);
	snprintf(n.open_path, sizeof(n.open_path), "/proc/self/fd/%d", n.fd);
	*ret = n;
	return 0;
}

static int sync_parent(const char *file, struct err *e)
{
	_cleanup_free_ char *copy = strdup(file);
	_cleanup_close_ int fd = -1;

	if (!copy)
		return err_set(e, -ENOMEM, "no memory for a path");
	fd = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0 || fsync(fd))
		return err_sys(e, -errno, "the folder of %s can't be flushed", file);
	return 0;
}

/* Under a name beside its own first: only SIGKILL or a power cut could leave that one. */
static int copy_out(struct volume_new_file *n, struct err *e)
{
	_cleanup_free_ char *beside = NULL;
	_cleanup_close_ int fd = -1;
	uint64_t bytes;
	int r;

	if (asprintf(&beside, "%s.XXXXXX", n->path) < 0) {
		beside = NULL;
		return err_set(e, -ENOMEM, "no memory for a path");
	}
	fd = mkostemp(beside, O_CLOEXEC);
	if (fd < 0)
		return err_sys(e, -errno, "%s can't be made", n->path);
	r = io_size(n->fd, &bytes, e);
	if (!r && (fchmod(fd, n->mode) || ftruncate(fd, (off_t)bytes)))
		r = err_sys(e, -errno, "%s", beside);
	r = r ?: volume_copy_region(n->fd, fd, bytes, true, e);
	if (!r && renameat2(AT_FDCWD, beside, AT_FDCWD, n->path, RENAME_NOREPLACE) == 0)
		return 0;
	/* EINVAL: NFS doesn't know "not over another", but links. */
	if (!r && (errno != EINVAL || link(beside, n->path)))
		r = err_sys(e, -errno, "%s can't be made", n->path);
	(void)!unlink(beside);
	return r;
}

static int give_name(struct volume_new_file *n, struct err *e)
{
	if (n->in_memory)
		return copy_out(n, e);
	if (linkat(AT_FDCWD, n->open_path, AT_FDCWD, n->path, AT_SYMLINK_FOLLOW))
		return err_sys(e, -errno, "%s can't be made", n->path);
	return 0;
}

int volume_new_file_name(struct volume_new_file *n, struct err *e)
{
	struct base_signals held;
	int r;

	base_signals_hold(&held);
	r = give_name(n, e);
	if (!r) {
		r = sync_parent(n->path, e);
		if (r)
			(void)!unlink(n->path);
	}
	base_signals_release(&held);
	return r;
}
