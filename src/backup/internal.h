// SPDX-License-Identifier: Apache-2.0
// The store's layout: blobs/<2 hex>/<62 hex> (a block by its SHA-256),
// manifests/<volume>/<name>.json, lock.
#pragma once

#include <cryptvol/backup.h>
#include <cryptvol/base.h>
#include <cryptvol/crypto.h>

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
/** manifest_delete - *ret_was_there. */
int manifest_delete(const char *dir, const char *volume, const char *name, struct err *e);
/** manifest_sweep - remove what writers left that died. The caller holds the store exclusively. */
int manifest_sweep(const char *dir, struct err *e);
/** manifest_each - call @fn with every manifest of the store, until it fails. */
int manifest_each(const char *dir, const char *volume,
		  int (*fn)(void *arg, struct manifest *m, struct err *e), void *arg,
		  struct err *e);

/** store_open - the store's folder, made where @create; *ret_lock holds it (shared: readers,
 * writers of blobs; exclusive: removal). */
int store_open(const char *dir, bool create, bool exclusive, int *ret_lock, struct err *e);
int store_hash(const void *block, size_t len, uint8_t ret[HASH_BYTES], struct err *e);
/** store_put - a block under its hash, atomically; *ret_new: it wasn't there. Flushed by
 * store_sync. */
int store_put(const char *dir, const uint8_t hash[HASH_BYTES], const void *block, size_t len,
	      bool *ret_new, struct err *e);
/** store_write_file - @n parts as a new file, flushed, then under its name. */
int store_write_file(const char *path, const struct crypto_iov *parts, size_t n, struct err *e);
int store_sync(const char *dir, struct err *e);
/** store_get - read a block of @len bytes and check it against its hash. -EBADMSG. */
int store_get(const char *dir, const uint8_t hash[HASH_BYTES], void *block, size_t len,
	      struct err *e);
/** store_sweep - remove blocks that no manifest names. The caller holds the store exclusively. */
int store_sweep(const char *dir, struct err *e);

bool backup_name_valid(const char *name);
uint64_t block_count(uint64_t device_bytes);
/** block_length - of block @i: the last one may be short. */
size_t block_length(uint64_t device_bytes, uint64_t i);
bool hash_is_hole(const uint8_t hash[HASH_BYTES]);
