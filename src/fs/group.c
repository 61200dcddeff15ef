// SPDX-License-Identifier: Apache-2.0
// A mounted file system's files for a group of the CO's: what a pod's fsGroup asks for, and no file
// system here has a mount option for.
#include "internal.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#define DEPTH_MAX 100 /* folders within each other: each holds a descriptor of the driver */

static mode_t wanted_mode(const struct stat *st)
{
	mode_t mode = st->st_mode & 07777;

	if (S_ISDIR(st->st_mode))
		return mode | S_ISGID | S_IRWXG;
	return S_ISREG(st->st_mode) ? mode | S_IRGRP | S_IWGRP : mode;
}

static bool is_right(const struct stat *st, uint32_t gid)
{
	return st->st_gid == gid && wanted_mode(st) == (st->st_mode & 07777);
}

/* By descriptor: the volume's users may swap names meanwhile. */
static int set_one(int fd, uint32_t gid)
{
	char path[64];
	struct stat st;

	if (fstat(fd, &st))
		return -errno;
	if (is_right(&st, gid))
		return 0;
	if (st.st_gid != gid && fchownat(fd, "", (uid_t)-1, gid, AT_EMPTY_PATH))
		return -errno;
	if (!S_ISDIR(st.st_mode) && !S_ISREG(st.st_mode))
		return 0;
	/* After the change of owner, which takes set-ID bits away. */
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	return chmod(path, wanted_mode(&st)) ? -errno : 0;
}

/* Neither a link is followed nor a mount point crossed. */
static int open_entry(int dir, const char *name)
{
	struct open_how how = { .flags = O_PATH | O_NOFOLLOW | O_CLOEXEC,
				.resolve = RESOLVE_NO_XDEV | RESOLVE_BENEATH };

	return (int)syscall(SYS_openat2, dir, name, &how, sizeof(how));
}

static int walk(DIR *dir, uint32_t gid, int depth, struct err *e);

/* A folder's own change comes behind its entries': @fd is taken over. */
static int visit_folder(int fd, uint32_t gid, int depth, struct err *e)
{
	int reader = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC), r;
	DIR *dir = reader < 0 ? NULL : fdopendir(reader);

	r = dir ? 0 : -errno;
	close(fd);
	if (!dir) {
		base_closep(&reader);
		return err_sys(e, r, "fsGroup: a folder can't be read");
	}
	r = walk(dir, gid, depth + 1, e);
	if (!r) {
		r = set_one(reader, gid);
		r = r && r != -EPERM
			    ? err_sys(e, r, "fsGroup: a folder can't be given to the group")
			    : 0;
	}
	closedir(dir);
	return r;
}

static int visit(int dir, const char *name, uint32_t gid, int depth, struct err *e)
{
	int fd = open_entry(dir, name), r;
	struct stat st;

	if (fd < 0) /* gone meanwhile, or somebody's mount */
		return errno == ENOENT || errno == EXDEV ? 0 : err_sys(e, -errno, "fsGroup");
	r = fstat(fd, &st) ? -errno : 0;
	if (!r && S_ISDIR(st.st_mode))
		return visit_folder(fd, gid, depth, e);
	r = r ?: set_one(fd, gid);
	close(fd);
	/* A file that its owner made immutable is none of the group's. */
	return r && r != -EPERM ? err_sys(e, r, "fsGroup: a file can't be given to the group") : 0;
}

static int walk(DIR *dir, uint32_t gid, int depth, struct err *e)
{
	struct dirent *d;
	int r = 0;

	if (depth > DEPTH_MAX)
		return err_set(e, -EOPNOTSUPP, "fsGroup: more than %d folders within each other",
			       DEPTH_MAX);
	while (!r && (d = readdir(dir)))
		if (strcmp(d->d_name, ".") != 0 && strcmp(d->d_name, "..") != 0)
			r = visit(dirfd(dir), d->d_name, gid, depth, e);
	return r;
}

/* Negative errno: not opened, or not looked at. */
static int open_root(const char *path, DIR **ret, struct stat *ret_st)
{
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int r = fd < 0 || fstat(fd, ret_st) ? -errno : 0;

	*ret = r ? NULL : fdopendir(fd);
	if (*ret)
		return 0;
	r = r ?: -errno;
	base_closep(&fd);
	return r;
}

int fs_set_group(const char *mounted_on, uint32_t gid, struct err *e)
{
	struct stat st = { 0 }, node;
	DIR *dir = NULL;
	int r;

	r = stat("/", &node) ? -errno : open_root(mounted_on, &dir, &st);
	if (r || !dir)
		return err_sys(e, r ?: -EIO, "%s can't be opened", mounted_on);
	if (st.st_dev == node.st_dev)
		r = err_set(e, -ENOTBLK, "%s is a folder of the node's own file system",
			    mounted_on);
	else if (is_right(&st, gid))
		r = 0;
	else if ((r = walk(dir, gid, 0, e)))
		r = err_wrap(e, r, "%s", mounted_on);
	else if ((r = set_one(dirfd(dir), gid)))
		r = err_sys(e, r, "%s can't be given to group %u", mounted_on, gid);
	closedir(dir);
	return r;
}
