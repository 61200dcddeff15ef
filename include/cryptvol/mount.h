// SPDX-License-Identifier: Apache-2.0
// File systems on block devices: make, check, mount, grow, freeze, usage. The second face of the fs
// room. Programs (mkfs.*, fsck, resize2fs, btrfs) are run directly, without a shell.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct err;

#define FS_TYPE_MAX 16
#define FS_OPTIONS_MAX 4096

/** fs_type_supported - "ext4", "ext3", "xfs", "btrfs"; -EINVAL with the list. */
int fs_type_supported(const char *type, struct err *e);
/** fs_type_of - type of the one file system on the device behind @fd, "" = none. -EUCLEAN:
 * something else (partition table, LUKS, several). */
int fs_type_of(int fd, char ret_type[FS_TYPE_MAX], struct err *e);

/**
 * fs_make - make a file system on a device that the caller knows to be new. @options: extra mkfs
 * options, blank-separated, NULL = none.
 * @uuid NULL = random. Fails (-EUCLEAN) where fs_probe finds anything. The program's last lines of
 * output go into the error.
 */
int fs_make(const char *device, const char *type, const char *uuid, const char *options,
	    struct err *e);
/** fs_uuid_of - UUID of the file system behind @fd as text, "" = nothing found. */
int fs_uuid_of(int fd, char ret_uuid[40], struct err *e);

enum fs_check_policy {
	FS_CHECK_NONE,
	FS_CHECK_PREEN
}; /* preen: fsck -p where the file system says that it needs it; uncorrected errors are -EUCLEAN */
int fs_check(const char *device, const char *type, enum fs_check_policy policy, struct err *e);

struct fs_mount {
	const char *source, *target, *type; /* type NULL: a bind mount of source */
	bool readonly;
	const char *const *flags; /* mount options as a CO gives them ("noatime", "context=...",
				     ...); n_flags of them */
	size_t n_flags;
};
/** fs_mount_on - mount(2); MS_* options become flags, the rest data. A read-only bind is a bind and
 * a remount. -EBUSY already a mount point. */
int fs_mount_on(const struct fs_mount *m, struct err *e);
/** fs_finish_bind - the options of a bind mount that is there already, which a process that was
 * killed between the two steps may not have set. */
int fs_finish_bind(const struct fs_mount *m, struct err *e);
/** fs_unmount - all mounts stacked on @target, topmost first. Not mounted: success. @lazy: detach
 * where it is busy. */
int fs_unmount(const char *target, bool lazy, struct err *e);

struct fs_mounted {
	uint32_t major, minor; /* of the mounted device */
	char type[FS_TYPE_MAX];
	char root[256]; /* what of it: "/" or, for a bind of a node, its path within devtmpfs */
	char source[256];
	bool readonly;
};
/** fs_query_mount - what is mounted on @target exactly (/proc/self/mountinfo, topmost). -ENOENT:
 * nothing. */
int fs_query_mount(const char *target, struct fs_mounted *ret, struct err *e);
/** fs_device_mounted - is the device mounted anywhere in this mount namespace? *ret_target
 * (malloc'ed or NULL): the first place. */
int fs_device_mounted(uint32_t major, uint32_t minor, char **ret_target, struct err *e);

/** fs_grow - grow the file system of @device, mounted on @mounted_on (online), to the device's
 * size. Success where it has that size already. */
int fs_grow(const char *device, const char *mounted_on, const char *type, struct err *e);
/** fs_freeze / fs_thaw - FIFREEZE, FITHAW on a mounted file system. */
int fs_freeze(const char *mounted_on, struct err *e);
int fs_thaw(const char *mounted_on, struct err *e);

struct fs_usage {
	uint64_t total_bytes, used_bytes, available_bytes;
	uint64_t total_inodes, used_inodes, available_inodes;
};
/** fs_query_usage - statvfs. -EIO and friends where the file system is broken. */
int fs_query_usage(const char *path, struct fs_usage *ret, struct err *e);
