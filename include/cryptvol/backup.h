// SPDX-License-Identifier: Apache-2.0
// Backups: ciphertext as it lies, in a directory (a mounted share, say). Blocks are stored once by
// their SHA-256, a manifest a backup names them in order; so a second backup of a volume stores
// only what changed. Nothing readable is in it that wasn't readable on the device.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct err;

#define BACKUP_BLOCK_BYTES (1024u * 1024)
#define BACKUP_NAME_MAX 129
#define BACKUP_DEVICE_MAX_BYTES (1ull << 50) /* what is backed up is no larger */
#define BACKUP_STORE_ID_BYTES 33

/** What the header of a restored volume has to be; "" / 0 = not known. */
struct backup_pin {
	char cipher[96], digest[65]; /* digest: luks_fingerprint's */
	char mapping[65];	     /* luks_pin's; "" = made before there was one */
	uint64_t data_offset_bytes, sector_size_bytes;
};
/** What is backed up: an image file or block device that nobody writes to meanwhile. */
struct backup_source {
	const char *path;
	const char *volume,
		*name; /* [a-z0-9.-]; the manifest is <dir>/manifests/<volume>/<name>.json */
	uint64_t size_bytes, header_bytes; /* 0: what the header leaves of the file or device; 0:
					      nothing known of a header */
	bool encrypted;
	const char *fs_type, *uuid; /* "" = not known */
	struct backup_pin pin;
	int64_t created_seconds;
};
struct backup_stats {
	uint64_t blocks, holes, stored_blocks, stored_bytes; /* stored: new in this backup */
};
typedef void backup_progress(void *arg, uint64_t done_bytes, uint64_t total_bytes);
/** What is told and asked while a call works; NULL in place of all or one of them is fine. */
struct backup_watch {
	backup_progress *progress;
	/* Asked before each block, and while manifests are read: an errno ends the call with it. */
	int (*stop)(void *arg, struct err *e);
	void *arg;
};

/**
 * backup_init - make @dir a store: its folders, and the marker with an id that all other functions
 * ask for, so that a backup never goes to the folder below a share that isn't mounted. A store that
 * was made before there were markers is taken over as it is. *ret_made: it had none. -EBUSY: it is
 * written or read at this moment.
 *
 * Of all the others, -ENOMEDIUM: @dir isn't there, or has no marker.
 */
int backup_init(const char *dir, char ret_id[BACKUP_STORE_ID_BYTES], bool *ret_made, struct err *e);

/** backup_write - blocks first, flushed, then the manifest under its name. The same name again:
 * success if it is whole. *ret may be NULL. */
int backup_write(const char *dir, const struct backup_source *s, const struct backup_watch *watch,
		 struct backup_stats *ret, struct err *e);

struct backup_info {
	char volume[BACKUP_NAME_MAX], name[BACKUP_NAME_MAX];
	uint64_t size_bytes, header_bytes, device_bytes, stored_bytes;
	bool encrypted;
	char fs_type[16], uuid[40];
	struct backup_pin pin;
	int64_t created_seconds;
};
/** backup_read - the manifest's head. -ENOENT, -EBADMSG (its own checksum, a field). */
int backup_read(const char *dir, const char *volume, const char *name,
		const struct backup_watch *watch, struct backup_info *ret, struct err *e);
/** backup_find - the backup of this name, of whatever volume; @handle: "NAME", or "VOLUME/NAME"
 * where several volumes have one (-EUCLEAN). -ENOENT, -EBADMSG. No other manifest is read. */
int backup_find(const char *dir, const char *handle, const struct backup_watch *watch,
		struct backup_info *ret, struct err *e);
/** Told of a manifest that can't be read, with a sentence. */
typedef void backup_bad(void *arg, const char *why);
/** backup_list - all, or those of @volume (NULL = all), by volume and time. malloc'ed. @bad NULL:
 * one that can't be read is an error. */
int backup_list(const char *dir, const char *volume, backup_bad *bad, void *arg,
		struct backup_info **ret, size_t *ret_n, struct err *e);
/**
 * backup_restore - write the backup to @path: a new file (made, -EEXIST where it is there), or,
 * with @overwrite, a device or file that is big enough. Every block's checksum is verified before
 * it is written, the first block last: what is half written has no header. -EBUSY: the device is
 * mounted or mapped; -ERANGE: the backup's device has more than @max_bytes (0 = any).
 */
int backup_restore(const char *dir, const char *volume, const char *name, const char *path,
		   bool overwrite, uint64_t max_bytes, const struct backup_watch *watch,
		   struct err *e);
/** backup_verify - read every block and compare its checksum. */
int backup_verify(const char *dir, const char *volume, const char *name,
		  const struct backup_watch *watch, struct err *e);
/**
 * backup_delete - the manifest, then the blocks that no other manifest names and that nobody has
 * written or used for a day. Gone already: success. Blocks that have to stay (backups are being
 * written, or a manifest can't be read) are left to the next deletion; *ret_left says why, or is
 * empty.
 */
int backup_delete(const char *dir, const char *volume, const char *name, struct err *ret_left,
		  struct err *e);
