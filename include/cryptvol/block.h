// SPDX-License-Identifier: Apache-2.0
// "Give me a block device": paths, image files behind loop devices, their sizes and topology.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct err;

struct block_device {
	int fd;		  /* of @path; -1 = none */
	int file_fd;	  /* of the image file behind @path, where it was attached; -1 = none */
	int claim_fd;	  /* holds the claim of an image file (BLOCK_EXCLUSIVE); -1 = none */
	char path[4096];  /* the device node that dm can use (the loop device of an image file) */
	char given[4096]; /* what the user named */
	uint32_t major,
		minor; /* of the block device; 0:0 for a regular file that wasn't attached */
	uint64_t size_bytes;
	bool regular_file;  /* given is an image file */
	bool loop_attached; /* by us: goes with its last user (LO_FLAGS_AUTOCLEAR) */
	bool readonly;	    /* asked for, or the device allows nothing else */
	bool exclusive;	    /* fd holds the device (O_EXCL) */
	/* topology */
	uint32_t logical_sector_bytes, physical_sector_bytes;
	uint64_t alignment_bytes,
		alignment_offset_bytes; /* optimal I/O size and offset, 0 = unknown */
	bool rotational;
};

struct block_number {
	uint32_t major, minor;
};

enum block_flag {
	BLOCK_READONLY = 1u << 0,
	BLOCK_EXCLUSIVE = 1u << 1, /* O_EXCL: -EBUSY while mounted or mapped; for an image file:
				      while a loop device over it is, and of two of us that ask for
				      this one gets it, until block_close */
	BLOCK_NEED_DEVICE =
		1u
		<< 2, /* attach a loop device (direct I/O, LO_FLAGS_AUTOCLEAR) to an image file */
};

/**
 * block_open - open a device or image file. Where it can't be written it is opened read-only, and
 * ret->readonly says so. -ENODEV no such path, -ENOTBLK neither block device nor regular file,
 * -EBUSY, -EHOSTDOWN no loop devices here. After a failure nothing is left.
 */
int block_open(const char *path, uint32_t flags, struct block_device *ret, struct err *e);
/** block_attach_file - a loop device over the open file @fd, which has no path (a memfd). @given:
 * what errors call it. @fd stays the caller's. After a failure nothing is attached. */
int block_attach_file(int fd, const char *given, bool readonly, struct block_device *ret,
		      struct err *e);
/** block_close - close; a loop device that we attached goes unless it is in use (AUTOCLEAR). NULL
 * and closed ones are allowed; one that block_open never filled is not. */
void block_close(struct block_device *d);

/** block_metadata_fd - where the metadata is read and locked: the image file itself if there is
 * one, as cryptsetup does, else the device. Borrowed. */
int block_metadata_fd(const struct block_device *d);

/** block_check_idle - is an image file, or a loop device's file, in use through a loop device that
 * isn't @d's? What came since @d was opened counts. -EBUSY says by which. */
int block_check_idle(const struct block_device *d, struct err *e);

/** block_find_crypt - what a device that is claimed is claimed by, where it is nothing but mappings
 * of LUKS volumes (of an image file: all loop devices over it). Malloc'ed; *ret_n 0: nobody.
 * -EBUSY: something else, a mount say. */
int block_find_crypt(const struct block_device *d, struct block_number **ret, size_t *ret_n,
		     struct err *e);

/** block_drop_exclusive - keep the device open, but let another (device-mapper) claim it. */
int block_drop_exclusive(struct block_device *d, struct err *e);

/** block_refresh_size - read the size again; a loop device over a file that has grown learns of it
 * first (LOOP_SET_CAPACITY). */
int block_refresh_size(struct block_device *d, struct err *e);

/** block_count_holders - mappings and arrays that stand on a device (sysfs "holders"). -ENODEV:
 * the device is gone. */
int block_count_holders(uint32_t major, uint32_t minor, unsigned int *ret, struct err *e);

/** Devices and files that have bytes of a device in common with it. */
struct block_others {
	struct block_number *devices;
	size_t n_devices;
	int *files; /* open for writing where that is allowed */
	size_t n_files;
};
/**
 * block_find_others - by what other names the bytes of @fd (device or file) can be reached: down to
 * a partition's disk, the devices below a mapping and a loop device's file; and, where @all, up
 * from each of these to partitions, mappings and loop devices. What stands above or below
 * encryption has other bytes. A file that can't be reached by its name from here is left out, its
 * loop devices aren't. Without sysfs there are no others.
 */
int block_find_others(int fd, bool all, struct block_others *ret, struct err *e);
void block_others_free(struct block_others *o);

/** block_path_of - "/dev/..." of a device number (sysfs), and for a loop device the file behind it
 * ("" = none). -ENODEV: the device is gone. */
int block_path_of(uint32_t major, uint32_t minor, char *ret_path, size_t cap, char *ret_loop_file,
		  size_t loop_cap, struct err *e);

/**
 * block_known_blank - is [offset, offset+len) known to be blank: a hole by SEEK_DATA (image files),
 * or read whole and all zero? What lies behind the end of an image file is blank. A read error is
 * an error, never "blank". Offset and length are multiples of 4096.
 */
int block_known_blank(int fd, uint64_t offset_bytes, uint64_t len_bytes, bool *ret_blank,
		      struct err *e);

/* ---- loop devices that stay until they are dropped (the driver's): found again by their file ----
 */
/** block_find_loop - the loop device over @file. -ENOENT: none. */
int block_find_loop(const char *file, char *ret_path, size_t cap, struct err *e);
/** block_keep_loop - the loop device over @file, attached with direct I/O if there is none. -EBUSY:
 * one is there that is read-only where @readonly is false, or the other way round. */
int block_keep_loop(const char *file, bool readonly, char *ret_path, size_t cap, struct err *e);
/** block_set_discard - may discards of this loop device punch holes into its file? Best effort: a
 * container may have a read-only sysfs. */
void block_set_discard(const char *path, bool allowed);
/** block_update_loop - let the device learn its file's size. */
int block_update_loop(const char *path, struct err *e);
/** block_drop_loop - detach the loop device over @file, and wait until it is gone. -EBUSY: mounted
 * or mapped, or somebody keeps it open. None there: success. */
int block_drop_loop(const char *file, struct err *e);
