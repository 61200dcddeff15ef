// SPDX-License-Identifier: Apache-2.0
// "Give me a block device": paths, image files behind loop devices, their sizes and topology.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct err;

struct block_device {
	int fd;
	char path[4096];  /* the device node that dm can use (the loop device of an image file) */
	char given[4096]; /* what the user named */
	uint32_t major,
		minor; /* of the block device; 0:0 for a regular file that wasn't attached */
	uint64_t size_bytes;
	bool regular_file;  /* given is an image file */
	bool loop_attached; /* by us: detached again by block_close unless block_keep */
	bool readonly;
	/* topology */
	uint32_t logical_sector_bytes, physical_sector_bytes;
	uint64_t alignment_bytes,
		alignment_offset_bytes; /* optimal I/O size and offset, 0 = unknown */
	bool rotational;
};

enum block_flag {
	BLOCK_READONLY = 1u << 0,
	BLOCK_EXCLUSIVE = 1u << 1, /* O_EXCL: -EBUSY while mounted or mapped */
	BLOCK_NEED_DEVICE =
		1u
		<< 2, /* attach a loop device (direct I/O, LO_FLAGS_AUTOCLEAR) to an image file */
};

/** block_open - open a device or image file. -ENODEV no such path, -ENOTBLK neither block device
 * nor regular file, -EBUSY. */
int block_open(const char *path, uint32_t flags, struct block_device *ret, struct err *e);
/** block_close - close; detaches our loop device unless it is in use (AUTOCLEAR). NULL and
 * half-built are allowed. */
void block_close(struct block_device *d);

/** block_path_of - "/dev/..." of a device number (sysfs), and for a loop device the file behind it
 * ("" = none). */
int block_path_of(uint32_t major, uint32_t minor, char *ret_path, size_t cap, char *ret_loop_file,
		  size_t loop_cap, struct err *e);

/**
 * block_known_blank - is [offset, offset+len) known to be blank: a hole by SEEK_DATA (image files),
 * or read whole and all zero? A read error is an error, never "blank".
 */
int block_known_blank(int fd, uint64_t offset_bytes, uint64_t len_bytes, bool *ret_blank,
		      struct err *e);
