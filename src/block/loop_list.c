// SPDX-License-Identifier: Apache-2.0
// Which loop devices are attached, and over what. Source: the kernel's uapi loop.h, loop(4).
#include "internal.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/loop.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/sysmacros.h>

int block_loop_query(const char *name, struct block_loop *ret)
{
	_cleanup_close_ int fd = -1;
	struct loop_info64 info = { 0 };
	char backing[64 + NAME_MAX];
	struct stat st;

	*ret = (struct block_loop){ 0 };
	snprintf(backing, sizeof(backing), "/sys/block/%s/loop/backing_file", name);
	if (strncmp(name, "loop", 4) != 0 || strlen(name) > 16 || access(backing, F_OK))
		return -ENXIO;
	snprintf(ret->path, sizeof(ret->path), "/dev/%s", name);
	fd = open(ret->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0 || fstat(fd, &st))
		return -errno;
	if (!S_ISBLK(st.st_mode) || ioctl(fd, LOOP_GET_STATUS64, &info))
		return -ENXIO;
	ret->major = major(st.st_rdev);
	ret->minor = minor(st.st_rdev);
	ret->file_device = info.lo_device;
	ret->file_inode = info.lo_inode;
	ret->offset_bytes = info.lo_offset;
	ret->limit_bytes = info.lo_sizelimit;
	return 0;
}

bool block_loop_over(const struct block_loop *l, const struct stat *st)
{
	return l->file_device == st->st_dev && l->file_inode == st->st_ino;
}

static int append(struct block_loop **list, size_t *n, const struct block_loop *one, struct err *e)
{
	struct block_loop *more = reallocarray(*list, *n + 1, sizeof(*more));

	if (!more)
		return err_set(e, -ENOMEM, "no memory to list the loop devices");
	*list = more;
	more[(*n)++] = *one;
	return 0;
}

int block_loop_list(struct block_loop **ret, size_t *ret_n, struct err *e)
{
	struct block_loop *list = NULL, one;
	struct dirent *entry;
	size_t n = 0;
	DIR *dir;
	int r = 0;

	*ret = NULL;
	*ret_n = 0;
	dir = opendir("/sys/block");
	while (!r && dir && (entry = readdir(dir)))
		if (!block_loop_query(entry->d_name, &one)) /* else nothing attached, or not ours to see */
			r = append(&list, &n, &one, e);
	if (dir)
		closedir(dir);
	if (r) {
		free(list);
		return r;
	}
	*ret = list;
	*ret_n = n;
	return 0;
}
