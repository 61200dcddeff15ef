// SPDX-License-Identifier: Apache-2.0
// What the files of the block room share.
#pragma once

#include <cryptvol/base.h>
#include <cryptvol/block.h>

#include <sys/stat.h>

#define BLOCK_SYSFS "/sys/dev/block"

/** block_loop_attach - a loop device over the open image file @d->file_fd: fills d->fd, d->path,
 * d->loop_attached. After a failure nothing is attached. */
int block_loop_attach(struct block_device *d, bool exclusive, struct err *e);

/** block_loop_check_unused - -EBUSY where a loop device over the image file @st, other than
 * @except_path ("" = none), is held by somebody. */
int block_loop_check_unused(const struct stat *st, const char *except_path, const char *given,
			    struct err *e);

/** block_loop_refresh - tell a loop device that the file behind it has grown. Not a loop device:
 * success. */
int block_loop_refresh(int fd, const char *path, struct err *e);

/** block_read_topology - sector sizes, alignment and rotation of d->fd, which is @st; unknown stays
 * 0. */
void block_read_topology(struct block_device *d, const struct stat *st);

/** block_sysfs_path - "/sys/dev/block/M:m/<leaf>". */
void block_sysfs_path(uint32_t major, uint32_t minor, const char *leaf, char *buf, size_t cap);

/** A loop device that is attached, as LOOP_GET_STATUS64 and sysfs have it. */
struct block_loop {
	uint32_t major, minor;
	uint64_t file_device, file_inode; /* of what lies behind it */
	uint64_t offset_bytes, limit_bytes;
	char path[32];
};
/** block_loop_query - loop device @name ("loop3"). -ENXIO: nothing is attached. */
int block_loop_query(const char *name, struct block_loop *ret);
/** block_loop_list - all that are attached, malloc'ed. Without sysfs: none. */
int block_loop_list(struct block_loop **ret, size_t *ret_n, struct err *e);
/** block_loop_over - does @l stand over the file or device node @st? */
bool block_loop_over(const struct block_loop *l, const struct stat *st);
