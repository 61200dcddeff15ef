// SPDX-License-Identifier: Apache-2.0
// What stands on a device, by libblkid's low-level probing.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct err;

#define FS_SIGNATURES_MAX 16

struct fs_signature {
	char type[32]; /* "ext4", "xfs", "crypto_LUKS", "dos", "gpt" ... */
	bool partition_table;
	uint64_t offset_bytes; /* of the magic */
};
struct fs_signatures {
	struct fs_signature found[FS_SIGNATURES_MAX];
	size_t n;
	bool ambiguous; /* libblkid could not decide */
};
/**
 * fs_probe - every superblock and partition table signature. @skip_luks leaves LUKS out. A read
 * error is an error: libblkid takes some for "nothing there", so the places where signatures stand
 * (first and last MiB) are read before it is asked.
 */
int fs_probe(int fd, bool skip_luks, struct fs_signatures *ret, struct err *e);
/**
 * fs_wipe_signatures - wipe all of them (libblkid's own way), then fsync, then look again: -EIO
 * where one is still there. @skip_luks leaves LUKS in place. The number wiped in *ret_wiped.
 */
int fs_wipe_signatures(int fd, bool skip_luks, size_t *ret_wiped, struct err *e);
