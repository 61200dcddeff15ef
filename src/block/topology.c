// SPDX-License-Identifier: Apache-2.0
// What a device says of itself: sectors, optimal I/O, rotation. Source: the kernel's sysfs-block
// ABI.
#include "internal.h"

#include <linux/fs.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/sysmacros.h>

/* Bridges report nonsense such as 65535 sectors; no real stripe is bigger or so crooked. */
#define ALIGNMENT_UNIT_BYTES 4096u
#define ALIGNMENT_MAX_BYTES (256u << 20)

static bool is_sector_size(uint64_t v)
{
	return v >= 512 && v <= 65536 && !(v & (v - 1));
}

void block_sysfs_path(uint32_t major, uint32_t minor, const char *leaf, char *buf, size_t cap)
{
	snprintf(buf, cap, BLOCK_SYSFS "/%u:%u/%s", major, minor, leaf);
}

/* A partition has no queue of its own: its disk's is one folder up. */
static bool read_rotational(uint32_t major, uint32_t minor)
{
	static const char *const leaves[] = { "queue/rotational", "../queue/rotational" };

	for (size_t i = 0; i < ARRAY_SIZE(leaves); i++) {
		_cleanup_free_ char *text = NULL;
		char path[96];

		block_sysfs_path(major, minor, leaves[i], path, sizeof(path));
		if (!io_read_file(path, 16, &text, NULL))
			return text[0] == '1';
	}
	return false;
}

static void read_alignment(struct block_device *d)
{
	unsigned int min = 0, opt = 0;
	int offset = 0;

	if (ioctl(d->fd, BLKIOMIN, &min) || ioctl(d->fd, BLKIOOPT, &opt))
		return;
	if (min % ALIGNMENT_UNIT_BYTES || min > ALIGNMENT_MAX_BYTES)
		min = 0;
	if (opt % ALIGNMENT_UNIT_BYTES || opt > ALIGNMENT_MAX_BYTES)
		opt = 0;
	d->alignment_bytes = opt > min ? opt : min;
	/* -1: the kernel knows that it isn't aligned, not by how much. */
	if (!ioctl(d->fd, BLKALIGNOFF, &offset) && offset > 0)
		d->alignment_offset_bytes = (uint64_t)offset;
}

void block_read_topology(struct block_device *d, const struct stat *st)
{
	unsigned int physical = 0;
	int logical = 0;

	d->logical_sector_bytes = d->physical_sector_bytes = SECTOR_SIZE_BYTES;
	if (S_ISREG(st->st_mode)) {
		/* The unit that its file system writes. */
		if (is_sector_size((uint64_t)st->st_blksize))
			d->physical_sector_bytes = (uint32_t)st->st_blksize;
		return;
	}
	if (!ioctl(d->fd, BLKSSZGET, &logical) && logical > 0 && is_sector_size((uint64_t)logical))
		d->logical_sector_bytes = d->physical_sector_bytes = (uint32_t)logical;
	if (!ioctl(d->fd, BLKPBSZGET, &physical) && is_sector_size(physical) &&
	    physical > d->logical_sector_bytes)
		d->physical_sector_bytes = physical;
	read_alignment(d);
	d->rotational = read_rotational(major(st->st_rdev), minor(st->st_rdev));
}
