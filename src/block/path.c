// SPDX-License-Identifier: Apache-2.0
// From a device number to what people call the device. Source: the kernel's sysfs-dev and
// sysfs-block ABI.
#include "internal.h"

#include <dirent.h>
#include <stdio.h>

#define SYSFS_TEXT_MAX 8192

/* A sysfs attribute without its newline. */
static int read_attribute(uint32_t major, uint32_t minor, const char *leaf, char **ret)
{
	char path[96];
	size_t len;
	int r;

	block_sysfs_path(major, minor, leaf, path, sizeof(path));
	r = io_read_file(path, SYSFS_TEXT_MAX, ret, &len);
	if (!r && len && (*ret)[len - 1] == '\n')
		(*ret)[len - 1] = '\0';
	return r;
}

static int gone_or_unknown(uint32_t major, uint32_t minor, struct err *e)
{
	if (access(BLOCK_SYSFS, F_OK))
		return err_set(e, -EHOSTDOWN, "sysfs is not mounted: device %u:%u can't be found",
			       major, minor);
	return err_set(e, -ENODEV, "block device %u:%u is gone", major, minor);
}

static int device_name(uint32_t major, uint32_t minor, char *ret, size_t cap, struct err *e)
{
	_cleanup_free_ char *uevent = NULL, *mapping = NULL;
	char *name, *save = NULL;

	if (!read_attribute(major, minor, "dm/name", &mapping))
		return snprintf(ret, cap, "/dev/mapper/%s", mapping) < (int)cap
			       ? 0
			       : err_set(e, -ENAMETOOLONG, "the path of a mapping is too long");
	if (read_attribute(major, minor, "uevent", &uevent))
		return gone_or_unknown(major, minor, e);
	for (name = strtok_r(uevent, "\n", &save); name; name = strtok_r(NULL, "\n", &save))
		if (!strncmp(name, "DEVNAME=", 8))
			break;
	if (!name)
		return err_set(e, -ENODEV, "block device %u:%u has no name", major, minor);
	if (snprintf(ret, cap, "/dev/%s", name + 8) >= (int)cap)
		return err_set(e, -ENAMETOOLONG, "the path of device %u:%u is too long", major,
			       minor);
	return 0;
}

int block_path_of(uint32_t major, uint32_t minor, char *ret_path, size_t cap, char *ret_loop_file,
		  size_t loop_cap, struct err *e)
{
	_cleanup_free_ char *file = NULL;
	int r;

	r = device_name(major, minor, ret_path, cap, e);
	if (r)
		return r;
	if (!loop_cap)
		return 0;
	ret_loop_file[0] = '\0';
	if (!read_attribute(major, minor, "loop/backing_file", &file) &&
	    text_copy(ret_loop_file, loop_cap, file))
		return err_set(e, -ENAMETOOLONG, "the path of a loop device's file is too long");
	return 0;
}

int block_count_holders(uint32_t major, uint32_t minor, unsigned int *ret, struct err *e)
{
	struct dirent *entry;
	unsigned int n = 0;
	char path[96];
	DIR *dir;

	block_sysfs_path(major, minor, "holders", path, sizeof(path));
	dir = opendir(path);
	if (!dir)
		return gone_or_unknown(major, minor, e);
	while ((entry = readdir(dir)))
		n += entry->d_name[0] != '.';
	closedir(dir);
	*ret = n;
	return 0;
}
