// SPDX-License-Identifier: Apache-2.0
// The store's layout: blobs/<2 hex>/<62 hex> (a block by its SHA-256),
// manifests/<volume>/<name>.json, lock.
#pragma once

#include <cryptvol/backup.h>
#include <cryptvol/base.h>
#include <cryptvol/crypto.h>
#include <dirent.h>
#include <time.h>

#define STORE_PATH_BYTES 4480
#define HASH_BYTES 32u
#define HASH_HEX (2 * HASH_BYTES + 1)

/** A manifest in memory: its head, and a hash a block; all zero bytes = a hole. */
struct manifest {
	struct backup_info info;
	uint64_t n_blocks;
	uint8_t (*hashes)[HASH_BYTES];
};
void manifest_clear(struct manifest *m);
int manifest_read(const char *dir, const char *volume, const char *name, struct manifest *ret,
		  struct err *e);
/** manifest_write - atomically, flushed. */
int manifest_write(const char *dir, const struct manifest *m, struct err *e);
/** manifest_delete - flushed. Gone already: success. */
int manifest_delete(const char *dir, const char *volume, const char *name, struct err *e);
/** manifest_sweep - remove what writers left that died. The caller holds the store exclusively. */
int manifest_sweep(const char *dir, const struct timespec *now, struct err *e);
/** manifest_each - call @fn with every manifest of the store, until it fails. One that can't be
 * read is told to @bad; where that is NULL, it is the end. */
int manifest_each(const char *dir, const char *volume,
		  int (*fn)(void *arg, struct manifest *m, struct err *e), backup_bad *bad,
		  void *arg, struct err *e);

/** manifest_volume_of - the volume that has a backup of this name. -ENOENT, -EUCLEAN: several. */
int manifest_volume_of(const char *dir, const char *name, char ret[BACKUP_NAME_MAX], struct err *e);

/** store_check - -ENOENT: that is no store. Manifests appear and go whole: who reads just them
 * needs no lock. */
int store_check(const char *dir, struct err *e);
/** store_open - the store's folder, made where @create; *ret_lock holds it (shared: readers and
 * writers of blobs, who wait for a removal; exclusive: removal, -EBUSY where it would wait). */
int store_open(const char *dir, bool create, bool exclusive, int *ret_lock, struct err *e);
int store_hash(const void *block, size_t len, uint8_t ret[HASH_BYTES], struct err *e);
/** store_now - the time by the store's clock, which a server may keep. */
int store_now(int lock, struct timespec *ret, struct err *e);
bool store_before(const struct timespec *a, const struct timespec *b);
/** store_is_old - so old that no writer may count on it. */
bool store_is_old(int dirfd, const char *name, const struct timespec *now);
/** store_next - readdir(3) whose errors aren't taken for the end; *ret NULL: the end. */
int store_next(DIR *dir, struct dirent **ret, const char *path, struct err *e);
/** A backup that is being written: when it began, and room for a block. */
struct store_run {
	const char *dir;
	struct timespec since;
	char *spare;
};
/** store_put - a block under its hash, atomically; *ret_new: it wasn't there, or was damaged.
 * Flushed by store_sync. */
int store_put(const struct store_run *run, const uint8_t hash[HASH_BYTES], const void *block,
	      size_t len, bool *ret_new, struct err *e);
/** store_touch - a block is in use from now on. -EBADMSG: it is gone. */
int store_touch(const char *dir, const uint8_t hash[HASH_BYTES], struct err *e);
/** store_write_file - @n parts as a new file, flushed, then under its name. */
int store_write_file(const char *path, const struct crypto_iov *parts, size_t n, struct err *e);
int store_sync(const char *dir, struct err *e);
/** store_get - read a block of @len bytes and check it against its hash. -EBADMSG. */
int store_get(const char *dir, const uint8_t hash[HASH_BYTES], void *block, size_t len,
	      struct err *e);
/** store_sweep - remove old blocks that no manifest names. @lock holds the store exclusively. */
int store_sweep(const char *dir, int lock, struct err *e);

bool backup_name_valid(const char *name);
uint64_t block_count(uint64_t device_bytes);
/** block_length - of block @i: the last one may be short. */
size_t block_length(uint64_t device_bytes, uint64_t i);
bool hash_is_hole(const uint8_t hash[HASH_BYTES]);
