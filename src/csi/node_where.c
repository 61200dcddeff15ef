// SPDX-License-Identifier: Apache-2.0
// Where a volume is on this node: by the records, and, where they were lost or never written, by
// what is mounted.
#include "node.h"

#include <cryptvol/block.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

/* The device that is mounted at @path, or whose node is bound there. */
static bool device_at(const char *path, struct fs_mounted *m, dev_t *ret)
{
	struct stat st;

	if (fs_query_mount(path, m, NULL) || stat(path, &st))
		return false;
	*ret = S_ISBLK(st.st_mode) ? st.st_rdev : makedev(m->major, m->minor);
	return true;
}

static bool is_image_of(dev_t dev, const char *id)
{
	char path[4096], file[4096], name[BACKEND_ID_MAX + 8];
	const char *base;

	if (block_path_of(major(dev), minor(dev), path, sizeof(path), file, sizeof(file), NULL))
		return false;
	base = strrchr(file, '/');
	snprintf(name, sizeof(name), "/%.128s.img", id);
	return base && !strcmp(base, name);
}

/* Nothing is mounted there, and what was mounted on may go: an empty file, a folder, or nothing. */
static bool is_bare(const char *path)
{
	struct fs_mounted m;
	struct stat st;

	if (fs_query_mount(path, &m, NULL) != -ENOENT)
		return false;
	return lstat(path, &st) || (S_ISREG(st.st_mode) && !st.st_size) || S_ISDIR(st.st_mode);
}

bool node_volume_at(const char *id, const char *path)
{
	char mapping[4096];
	struct fs_mounted m;
	struct stat st;
	dev_t dev;

	if (dm_name_valid(id, NULL) || !device_at(path, &m, &dev))
		return false;
	node_mapping_path(id, mapping);
	/* btrfs mounts under an anonymous device number: its source says what it is. */
	if (!strcmp(m.source, mapping) || (!stat(mapping, &st) && st.st_rdev == dev))
		return true;
	return is_image_of(dev, id);
}

/* Of the volume's device by name or number, or of one that the kernel doesn't know any more. */
static bool is_left_over(const char *id, const char *path, const struct fs_mounted *m)
{
	char mapping[4096], device[64];

	node_mapping_path(id, mapping);
	snprintf(device, sizeof(device), "/sys/dev/block/%u:%u", m->major, m->minor);
	return !strcmp(m->source, mapping) || node_volume_at(id, path) ||
	       (m->major && access(device, F_OK));
}

int node_clear_mount(const char *id, const char *path, bool known, struct err *e)
{
	struct fs_mounted m;
	int r = fs_query_mount(path, &m, e);

	if (r) {
		err_clear(e);
		return r == -ENOENT ? 0 : r;
	}
	if (!known && !is_left_over(id, path, &m))
		return err_set(e, -EBUSY, "%s is mounted on %s already", m.source, path);
	return fs_unmount(path, true, e);
}

/* Records that can't be read keep nothing mounted: then the kernel alone is asked. */
bool node_is_used_at(struct csi_call *call, const char *id, enum backend_use_kind kind,
		     const char *path, size_t *ret_others)
{
	struct backend_use use;
	struct err e = { 0 };
	int r;

	r = node_find_use(call, id, kind, path, &use, ret_others, &e);
	if (r && r != -ENOENT) {
		*ret_others = 0;
		csi_logf(CSI_LOG_WARNING, "uses", "volume %s is taken down without its records: %s",
			 id, err_text(&e));
	}
	return !r || node_volume_at(id, path) || (r != -ENOENT && is_bare(path));
}

/* The kernel has the use no more, so the record is wrong, and whoever reads it next asks the
 * kernel. */
void node_forget_use(struct csi_call *call, const char *id, enum backend_use_kind kind,
		     const char *path)
{
	struct err e = { 0 };

	if (backend_use_drop(call->driver->backend, id, kind, path, &e))
		csi_logf(CSI_LOG_WARNING, "uses",
			 "volume %s is gone from %s, which can't be recorded: %s", id, path,
			 err_text(&e));
}
