// SPDX-License-Identifier: Apache-2.0
// What an image occupies, and which of its blocks another file shares: a write to a shared block
// needs a new one, so a block is only the volume's own if nobody shares it. Sources: the kernel's
// filesystems/fiemap.rst, ioctl_ficlone(2), btrfs(5) on NOCOW.
#include "internal.h"

#include <fcntl.h>
#include <linux/fiemap.h>
#include <linux/fs.h>
#include <linux/magic.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#define EXTENTS_A_CALL 512

static bool on_btrfs(int fd)
{
	struct statfs st;

	return !fstatfs(fd, &st) && (unsigned long)st.f_type == BTRFS_SUPER_MAGIC;
}

/* btrfs keeps an extent whole until nothing refers to any part of it: a hole in it would be owed
 * once more, and nothing is free for it. */
bool image_holes_free(const struct backend *b)
{
	return !on_btrfs(b->fd_volumes);
}

static bool is_nocow(int fd)
{
	int flags = 0;

	return !ioctl(fd, FS_IOC_GETFLAGS, &flags) && (flags & FS_NOCOW_FL);
}

void image_set_nocow(int fd)
{
	int flags = 0;

	if (!on_btrfs(fd) || ioctl(fd, FS_IOC_GETFLAGS, &flags))
		return;
	flags |= FS_NOCOW_FL;
	/* Where the mount options forbid it, the image is counted as one that copies on write. */
	(void)!ioctl(fd, FS_IOC_SETFLAGS, &flags);
}

void image_set_nocow_like(int fd, int other)
{
	if (is_nocow(other))
		image_set_nocow(fd);
}

struct reading {
	bool btrfs, nocow;
	uint64_t bytes; /* the image's length: what lies behind it isn't counted */
	struct image_extents *sum;
};

static void add_extent(const struct reading *x, const struct fiemap_extent *f)
{
	uint64_t end = f->fe_logical + f->fe_length < x->bytes ? f->fe_logical + f->fe_length
							       : x->bytes;
	uint64_t n = end > f->fe_logical ? end - f->fe_logical : 0;
	bool unwritten = (f->fe_flags & FIEMAP_EXTENT_UNWRITTEN) != 0;
	bool shared = (f->fe_flags & FIEMAP_EXTENT_SHARED) != 0;

	x->sum->allocated += n;
	if (!unwritten)
		x->sum->written += n;
	/* A block that btrfs copies on each write is never the volume's own. */
	if (shared || (x->btrfs && !x->nocow && !unwritten))
		return;
	x->sum->own += n;
	/* xfs leaves what was only allocated out of a reflink, btrfs shares it. */
	if (!unwritten || x->btrfs)
		x->sum->shareable += n;
}

static int read_extents(int fd, const struct reading *x)
{
	_cleanup_free_ struct fiemap *m =
		calloc(1, sizeof(*m) + EXTENTS_A_CALL * sizeof(struct fiemap_extent));
	uint64_t at = 0;

	if (!m)
		return -ENOMEM;
	while (at < x->bytes) {
		const struct fiemap_extent *last;

		m->fm_start = at;
		m->fm_length = x->bytes - at;
		m->fm_flags = 0;
		m->fm_extent_count = EXTENTS_A_CALL;
		if (ioctl(fd, FS_IOC_FIEMAP, m))
			return -errno;
		if (!m->fm_mapped_extents)
			break;
		for (uint32_t i = 0; i < m->fm_mapped_extents; i++)
			add_extent(x, &m->fm_extents[i]);
		last = &m->fm_extents[m->fm_mapped_extents - 1];
		if (last->fe_flags & FIEMAP_EXTENT_LAST)
			break;
		at = last->fe_logical + last->fe_length;
	}
	return 0;
}

int image_read_extents(int fd, struct image_extents *ret, struct err *e)
{
	struct image_extents sum = { 0 };
	struct reading x = { .btrfs = on_btrfs(fd), .nocow = is_nocow(fd), .sum = &sum };
	struct stat st;
	int r;

	if (fstat(fd, &st))
		return err_sys(e, -errno, "an image");
	x.bytes = (uint64_t)st.st_size;
	r = read_extents(fd, &x);
	if (r == -EOPNOTSUPP || r == -ENOTTY || r == -EINVAL) {
		/* No extents to be read: a file system without reflinks, then. */
		uint64_t n = (uint64_t)st.st_blocks * 512;

		n = n < x.bytes ? n : x.bytes;
		sum = (struct image_extents){ .allocated = n, .written = n, .own = n };
		r = 0;
	}
	if (r)
		return err_sys(e, r, "the extents of an image");
	*ret = sum;
	return 0;
}
