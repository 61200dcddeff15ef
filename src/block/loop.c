// SPDX-License-Identifier: Apache-2.0
// Image files behind loop devices: attach, find others over the same file, grow. Source: the
// kernel's uapi loop.h, loop(4).
#include "internal.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/loop.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/sysmacros.h>

#define LOOP_MAJOR 7
#define LOOP_TRIES 64 /* others may take the number that LOOP_CTL_GET_FREE named */

/*
 * Can the file be read around the page cache, a sector at a time? Asked of the file itself: the
 * loop driver believes the top file system, and where what lies below it can't (overlayfs on
 * tmpfs, or on a disk of 4096-byte sectors) every transfer would end in an I/O error.
 */
static bool direct_works(const struct block_device *d)
{
	_cleanup_close_ int fd = -1;
	_cleanup_free_ char *buf = NULL;
	void *page;
	char path[64];

	snprintf(path, sizeof(path), "/proc/self/fd/%d", d->file_fd);
	fd = open(path, O_RDONLY | O_DIRECT | O_CLOEXEC);
	if (fd < 0 || posix_memalign(&page, 4096, 4096))
		return false;
	buf = page;
	return pread(fd, buf + SECTOR_SIZE_BYTES, SECTOR_SIZE_BYTES, SECTOR_SIZE_BYTES) >= 0;
}

/*
 * One try at one number. The sector size is the 512 bytes that every image can stand on: a bigger
 * one would lose the tail of an odd image and refuse file systems that were made on 512.
 */
static int configure(int fd, const struct block_device *d, bool direct)
{
	struct loop_config config = {
		.fd = (uint32_t)d->file_fd,
		.block_size = SECTOR_SIZE_BYTES,
		.info.lo_flags = LO_FLAGS_AUTOCLEAR,
	};

	if (direct)
		config.info.lo_flags |= LO_FLAGS_DIRECT_IO;
	if (d->readonly)
		config.info.lo_flags |= LO_FLAGS_READ_ONLY;
	/* Only for people: losetup -l reads the true name from sysfs. */
	memcpy(config.info.lo_file_name, d->given, strnlen(d->given, LO_NAME_SIZE - 1));
	return ioctl(fd, LOOP_CONFIGURE, &config) ? -errno : 0;
}

/* -EAGAIN: somebody else was faster, ask for another number. */
static int try_attach(int control, struct block_device *d, bool exclusive, bool direct,
		      struct err *e)
{
	int flags = O_CLOEXEC | (d->readonly ? O_RDONLY : O_RDWR) | (exclusive ? O_EXCL : 0);
	long number;
	int fd, r;

	number = ioctl(control, LOOP_CTL_GET_FREE);
	if (number < 0)
		return err_sys(e, -errno, "the kernel gives no loop device for %s", d->given);
	snprintf(d->path, sizeof(d->path), "/dev/loop%ld", number);
	fd = open(d->path, flags);
	if (fd < 0) {
		r = -errno;
		if (r == -ENOENT)
			return err_set(e, -EHOSTDOWN,
				       "the kernel offers %s, but /dev has no such node", d->path);
		return r == -EBUSY ? -EAGAIN : err_sys(e, r, "%s can't be opened", d->path);
	}
	r = configure(fd, d, direct);
	if (r) {
		close(fd);
		if (r == -EBUSY || r == -EAGAIN)
			return -EAGAIN;
		if (r == -EINVAL || r == -ENOTTY)
			return err_set(
				e, -EHOSTDOWN,
				"%s can't be attached to %s: the kernel's loop driver has no "
				"LOOP_CONFIGURE (Linux 5.8) or refuses this file",
				d->given, d->path);
		return err_sys(e, r, "%s can't be attached to %s", d->given, d->path);
	}
	d->fd = fd;
	d->loop_attached = true;
	d->exclusive = exclusive;
	return 0;
}

int block_loop_attach(struct block_device *d, bool exclusive, struct err *e)
{
	_cleanup_close_ int control = -1;
	bool direct = direct_works(d);
	int r = -EAGAIN;

	control = open("/dev/loop-control", O_RDWR | O_CLOEXEC);
	if (control < 0)
		return err_sys(e, errno == ENOENT || errno == ENODEV ? -EHOSTDOWN : -errno,
			       "%s needs a loop device, but /dev/loop-control can't be opened "
			       "(kernel module loop)",
			       d->given);
	for (int i = 0; i < LOOP_TRIES && r == -EAGAIN; i++)
		r = try_attach(control, d, exclusive, direct, e);
	if (r == -EAGAIN)
		return err_set(e, -EBUSY, "no loop device for %s: %d were taken by others first",
			       d->given, LOOP_TRIES);
	return r;
}

/* Is the loop device "loopN" one over the file @st, and somebody's? -EBUSY: yes. */
static int check_one(const char *name, const struct stat *st, const char *except_path,
		     const char *given, struct err *e)
{
	struct loop_info64 info;
	char path[sizeof("/dev/") + NAME_MAX];
	int fd;

	snprintf(path, sizeof(path), "/dev/%s", name);
	if (!strcmp(path, except_path))
		return 0;
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0)
		return 0; /* going, or not ours to see */
	if (ioctl(fd, LOOP_GET_STATUS64, &info) || info.lo_device != st->st_dev ||
	    info.lo_inode != st->st_ino) {
		close(fd);
		return 0;
	}
	close(fd);
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_EXCL);
	if (fd >= 0)
		close(fd);
	else if (errno == EBUSY)
		return err_set(e, -EBUSY, "image file %s is in use through %s", given, path);
	return 0;
}

int block_loop_check_unused(const struct stat *st, const char *except_path, const char *given,
			    struct err *e)
{
	struct dirent *entry;
	DIR *dir;
	int r = 0;

	dir = opendir("/sys/block");
	if (!dir)
		return 0; /* no sysfs: the loop devices can't be listed */
	while (!r && (entry = readdir(dir))) {
		char backing[64 + NAME_MAX];

		if (strncmp(entry->d_name, "loop", 4))
			continue;
		snprintf(backing, sizeof(backing), "/sys/block/%s/loop/backing_file",
			 entry->d_name);
		if (!access(backing, F_OK))
			r = check_one(entry->d_name, st, except_path, given, e);
	}
	closedir(dir);
	return r;
}

int block_loop_refresh(int fd, const char *path, struct err *e)
{
	struct stat st;

	if (fstat(fd, &st) || !S_ISBLK(st.st_mode) || major(st.st_rdev) != LOOP_MAJOR)
		return 0;
	/* The kernel says nothing to anybody where the size is the same. ENXIO: nothing attached.
	 */
	if (ioctl(fd, LOOP_SET_CAPACITY) && errno != ENXIO)
		return err_sys(e, -errno, "%s can't learn the size of its file", path);
	return 0;
}
