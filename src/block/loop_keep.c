// SPDX-License-Identifier: Apache-2.0
// Loop devices without AUTOCLEAR: they outlive the process that attached them, and are found again
// by their file.
#include "internal.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/loop.h>
#include <poll.h>
#include <stdio.h>
#include <sys/ioctl.h>

#define ATTACH_TRIES 64
#define DROP_TRIES 50
#define DROP_WAIT_MS 20 /* udev's probe may hold the device for a moment */

static int status_of(const char *path, struct loop_info64 *ret)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK), r;

	memset(ret, 0, sizeof(*ret));
	if (fd < 0)
		return -errno;
	r = ioctl(fd, LOOP_GET_STATUS64, ret) ? -errno : 0;
	close(fd);
	return r;
}

/* What a loop device is looked for by: the file's inode; or, where the file can't be looked at any
 * more (its disk fails, or is gone), its path. The kernel can't tell the inode then either. */
struct wanted {
	const char *file;
	bool have_inode;
	struct stat st;
};

/* Does the kernel show the path of @file for loop device @name? Of a mount that is gone it shows
 * the path from there on. */
static bool is_named(const char *name, const char *file)
{
	static const char deleted[] = " (deleted)";
	char path[64 + NAME_MAX];
	_cleanup_free_ char *shown = NULL;
	const char *base = strrchr(file, '/');
	size_t n, k = strlen(deleted), whole = strlen(file);

	snprintf(path, sizeof(path), "/sys/block/%s/loop/backing_file", name);
	if (!base || io_read_file(path, 4096, &shown, NULL))
		return false;
	shown[strcspn(shown, "\n")] = '\0';
	n = strlen(shown);
	if (n > k && !strcmp(shown + n - k, deleted))
		shown[n -= k] = '\0';
	return n >= strlen(base) && n <= whole && !strcmp(file + whole - n, shown);
}

/* Does loop device @name stand over the file? */
static bool stands_over(const char *name, const struct wanted *w, char *ret_path, size_t cap,
			struct loop_info64 *ret)
{
	char path[sizeof("/dev/") + NAME_MAX], backing[64 + NAME_MAX];

	if (strncmp(name, "loop", 4) != 0)
		return false;
	snprintf(backing, sizeof(backing), "/sys/block/%s/loop/backing_file", name);
	snprintf(path, sizeof(path), "/dev/%s", name);
	if (access(backing, F_OK))
		return false;
	if (!w->have_inode)
		return is_named(name, w->file) && !text_copy(ret_path, cap, path);
	return !status_of(path, ret) && ret->lo_device == w->st.st_dev &&
	       ret->lo_inode == w->st.st_ino && !text_copy(ret_path, cap, path);
}

/* Is the open loop device still the one that was found? @found has no inode if it was found by the
 * path. */
static bool is_still(int fd, const char *path, const char *file, const struct loop_info64 *found)
{
	struct loop_info64 now = { 0 };

	if (!found->lo_inode)
		return is_named(path + strlen("/dev/"), file);
	return !ioctl(fd, LOOP_GET_STATUS64, &now) && now.lo_device == found->lo_device &&
	       now.lo_inode == found->lo_inode;
}

/* @lost: find it, too, if the file can't be looked at. */
static int find(const char *file, bool lost, char *ret_path, size_t cap, struct loop_info64 *ret,
		struct err *e)
{
	struct wanted w = { .file = file };
	struct dirent *d;
	bool found = false;
	DIR *dir;

	w.have_inode = !stat(file, &w.st);
	if (!w.have_inode && !lost)
		return err_sys(e, -errno, "%s", file);
	dir = opendir("/sys/block");
	if (!dir)
		return err_sys(e, -EHOSTDOWN,
			       "/sys/block can't be read, and loop devices are found there");
	while (!found && (d = readdir(dir)))
		found = stands_over(d->d_name, &w, ret_path, cap, ret);
	closedir(dir);
	return found ? 0 : err_set(e, -ENOENT, "no loop device stands over %s", file);
}

int block_find_loop(const char *file, char *ret_path, size_t cap, struct err *e)
{
	struct loop_info64 info = { 0 };

	return find(file, false, ret_path, cap, &info, e);
}

/* -EAGAIN: somebody else took the number first. */
static int try_attach(int control, int file_fd, const char *file, bool readonly, char *ret_path,
		      size_t cap, struct err *e)
{
	struct loop_config config = {
		.fd = (uint32_t)file_fd,
		.block_size = SECTOR_SIZE_BYTES,
		.info.lo_flags = LO_FLAGS_DIRECT_IO | (readonly ? LO_FLAGS_READ_ONLY : 0),
	};
	_cleanup_close_ int fd = -1;
	long number = ioctl(control, LOOP_CTL_GET_FREE);

	if (number < 0)
		return err_sys(e, -errno, "the kernel gives no loop device for %s", file);
	if ((size_t)snprintf(ret_path, cap, "/dev/loop%ld", number) >= cap)
		return err_set(e, -ENAMETOOLONG, "the path of a loop device is too long");
	/* Not exclusively: whoever was faster with this number has it in use by now, and would find
	 * it claimed. LOOP_CONFIGURE lets one of us pass. */
	fd = open(ret_path, (readonly ? O_RDONLY : O_RDWR) | O_CLOEXEC);
	if (fd < 0)
		return err_sys(e, errno == ENOENT ? -EHOSTDOWN : -errno, "%s can't be opened",
			       ret_path);
	memcpy(config.info.lo_file_name, file, strnlen(file, LO_NAME_SIZE - 1));
	if (ioctl(fd, LOOP_CONFIGURE, &config))
		return errno == EBUSY || errno == EAGAIN
			       ? -EAGAIN
			       : err_sys(e, -errno, "%s can't be attached to %s", file, ret_path);
	return 0;
}

static int attach(const char *file, bool readonly, char *ret_path, size_t cap, struct err *e)
{
	_cleanup_close_ int control = -1, file_fd = -1;
	int r = -EAGAIN;

	file_fd = open(file, (readonly ? O_RDONLY : O_RDWR) | O_CLOEXEC);
	if (file_fd < 0)
		return err_sys(e, -errno, "%s can't be opened", file);
	control = open("/dev/loop-control", O_RDWR | O_CLOEXEC);
	if (control < 0)
		return err_sys(e, -EHOSTDOWN,
			       "/dev/loop-control can't be opened (kernel module loop)");
	for (int i = 0; i < ATTACH_TRIES && r == -EAGAIN; i++)
		r = try_attach(control, file_fd, file, readonly, ret_path, cap, e);
	return r == -EAGAIN ? err_set(e, -EBUSY, "no loop device for %s: others were faster", file)
			    : r;
}

/*
 * A device that is marked to go at its last close (a detach that found another process looking at
 * it) is kept after all. It is held open meanwhile, so it can't go between the question and the
 * answer. -ESTALE: it was gone already, or stands over another file by now.
 */
static int keep_found(const char *path, const struct loop_info64 *found, struct err *e)
{
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct loop_info64 info = { 0 };

	if (fd < 0 || ioctl(fd, LOOP_GET_STATUS64, &info) || info.lo_device != found->lo_device ||
	    info.lo_inode != found->lo_inode)
		return -ESTALE;
	if (info.lo_flags & LO_FLAGS_AUTOCLEAR) {
		info.lo_flags &= ~(uint32_t)LO_FLAGS_AUTOCLEAR;
		if (ioctl(fd, LOOP_SET_STATUS64, &info))
			return errno == ENXIO ? -ESTALE
					      : err_sys(e, -errno, "%s can't be kept", path);
	}
	return block_loop_refresh(fd, path, e);
}

static int keep_once(const char *file, bool readonly, char *ret_path, size_t cap, struct err *e)
{
	struct loop_info64 info = { 0 };
	int r;

	r = find(file, false, ret_path, cap, &info, e);
	if (r == -ENOENT && !access(file, F_OK)) {
		err_clear(e);
		return attach(file, readonly, ret_path, cap, e);
	}
	if (r)
		return r;
	if (readonly != ((info.lo_flags & LO_FLAGS_READ_ONLY) != 0))
		return err_set(e, -EBUSY, "%s is attached to %s %s", file, ret_path,
			       readonly ? "for writing" : "read-only");
	return keep_found(ret_path, &info, e);
}

int block_keep_loop(const char *file, bool readonly, char *ret_path, size_t cap, struct err *e)
{
	int r = -ESTALE;

	for (int i = 0; i < ATTACH_TRIES && r == -ESTALE; i++)
		r = keep_once(file, readonly, ret_path, cap, e);
	return r == -ESTALE ? err_set(e, -EBUSY, "the loop device of %s comes and goes", file) : r;
}

void block_set_discard(const char *path, bool allowed)
{
	char attribute[PATH_MAX], hardware[32] = "0";
	const char *name = strrchr(path, '/');
	_cleanup_close_ int out = -1, in = -1;
	ssize_t n;

	if (!name)
		return;
	snprintf(attribute, sizeof(attribute), "/sys/block%s/queue/discard_max_hw_bytes", name);
	in = open(attribute, O_RDONLY | O_CLOEXEC);
	n = in < 0 ? -1 : read(in, hardware, sizeof(hardware) - 1);
	if (n <= 0)
		return;
	hardware[n] = '\0';
	snprintf(attribute, sizeof(attribute), "/sys/block%s/queue/discard_max_bytes", name);
	out = open(attribute, O_WRONLY | O_CLOEXEC);
	if (out >= 0)
		(void)!write(out, allowed ? hardware : "0", allowed ? (size_t)n : 1);
}

int block_update_loop(const char *path, struct err *e)
{
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return err_sys(e, -errno, "%s can't be opened", path);
	return block_loop_refresh(fd, path, e);
}

/*
 * LOOP_CLR_FD on a device that others have open only marks it to go at their last close (newer
 * kernels always do). Exclusive use is asked for first, and then it is waited for: whoever only
 * looks (udev's probe, a search for another file's device) is gone in a moment. Before that it is
 * made sure of, and held open, that the number is this file's still: else a neighbour's device
 * would be claimed, or cleared, that took the number over. -EAGAIN: told to go; -ENOENT: it is
 * gone.
 */
static int try_drop(const char *file, char *ret_path, size_t cap, struct err *e)
{
	struct loop_info64 found = { 0 };
	_cleanup_close_ int holder = -1, fd = -1;
	int r;

	r = find(file, true, ret_path, cap, &found, e);
	if (r)
		return r;
	holder = open(ret_path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (holder < 0 || !is_still(holder, ret_path, file, &found))
		return -EBUSY; /* gone this moment: the next look tells */
	fd = open(ret_path, O_RDONLY | O_CLOEXEC | O_EXCL);
	if (fd < 0)
		return errno == EBUSY ? -EBUSY : err_sys(e, -errno, "%s can't be opened", ret_path);
	if (ioctl(fd, LOOP_CLR_FD, 0) && errno != ENXIO)
		return err_sys(e, -errno, "%s can't be detached", ret_path);
	return -EAGAIN;
}

int block_drop_loop(const char *file, struct err *e)
{
	char path[64] = "";
	int r = -EBUSY;

	for (int i = 0; i < DROP_TRIES && (r == -EBUSY || r == -EAGAIN); i++) {
		if (r == -EAGAIN)
			base_spawn_settle();
		if (i > 1 || (i && r == -EBUSY))
			poll(NULL, 0, DROP_WAIT_MS);
		r = try_drop(file, path, sizeof(path), e);
	}
	if (r == -ENOENT) {
		err_clear(e);
		return 0;
	}
	return r == -EBUSY || r == -EAGAIN ? err_set(e, -EBUSY, "%s is still in use", path) : r;
}
