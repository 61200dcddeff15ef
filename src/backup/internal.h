// SPDX-License-Identifier: Apache-2.0
// The store's layout: cryptvol-store (the marker), blobs/<2 hex>/<62 hex> (a block by its SHA-256),
// manifests/<volume>/<name>.json, lock.
#pragma once

#include <cryptvol/backup.h>
#include <cryptvol/base.h>
#include <cryptvol/crypto.h>
#include <dirent.h>
#include <time.h>

#define STORE_NAME_BYTES 192 /* of a file while it is written */
#define STORE_ID_BYTES 16u
#define HASH_BYTES 32u
#define HASH_HEX (2 * HASH_BYTES + 1)

/* ---- JSON as it comes from a file; a caller has one at a time ---- */
#define SCAN_BUFFER_BYTES (64u * 1024)
struct scan {
	int fd;
	int failed; /* -errno of a read, or of a stop; all below then fail as at the end */
	const struct backup_watch *watch;
	uint64_t file_at;
	struct crypto_sha256 sum; /* of all that was in the buffer */
	size_t at, n;
	char buf[SCAN_BUFFER_BYTES];
};
/** scan_begin - from offset @at on. */
void scan_begin(struct scan *s, int fd, uint64_t at);
/** scan_end - the SHA-256 from there to the end of the file. */
void scan_end(struct scan *s, uint8_t ret[HASH_BYTES]);
/** scan_peek - the next character that is no blank, < 0 at the end. */
int scan_peek(struct scan *s);
/** scan_take - is it this one? Then it is taken. */
bool scan_take(struct scan *s, int c);
/** scan_string - a string into ret[cap], cut short where it is too long; *ret_len: as long as it
 * is. False: that is none. */
bool scan_string(struct scan *s, char *ret, size_t cap, size_t *ret_len);
/** scan_number - a whole number from 0 to INT64_MAX. */
bool scan_number(struct scan *s, uint64_t *ret);
/** scan_skip - whatever value stands there. */
bool scan_skip(struct scan *s);

/** watch_stop, watch_progress - @w may be NULL, and so may each of its members. */
int watch_stop(const struct backup_watch *w, struct err *e);
void watch_progress(const struct backup_watch *w, uint64_t done_bytes, uint64_t total_bytes);

/** A store that is open. */
struct store {
	const char *dir; /* for sentences; the caller's */
	int fd, lock;	 /* lock: -1 = none is held */
	char id[BACKUP_STORE_ID_BYTES];
	const struct backup_watch *watch;
};

/* ---- manifests ---- */
#define MANIFEST_VERSION 1
#define MANIFEST_FILE_BYTES (BACKUP_NAME_MAX + 5)
/* The most that a manifest may be long: what isn't blocks, and each block with blanks for people.
 */
#define MANIFEST_REST_MAX_BYTES (1024u * 1024)
#define MANIFEST_BLOCK_MAX_BYTES 256u
/** manifest_file - the name of its file. */
void manifest_file(const char *name, char ret[MANIFEST_FILE_BYTES]);
/** manifest_folder - the folder of a volume's manifests. */
int manifest_folder(const struct store *s, const char *volume, bool make, struct err *e);

/** A manifest that is open: its head. Its blocks are read when they are asked for. */
struct manifest {
	struct backup_info info;
	uint64_t n_blocks; /* holes too */
	struct manifest_reader *reader;
};
/** manifest_open - and read all of it once: -ENOENT, -EBADMSG. */
int manifest_open(const struct store *s, const char *volume, const char *name, struct manifest *ret,
		  struct err *e);
/** manifest_open_fd - @fd, a regular file, is its own from now on. */
int manifest_open_fd(int fd, const struct backup_watch *watch, struct manifest *ret, struct err *e);
void manifest_clear(struct manifest *m);
/** manifest_next - the next block that is no hole, in order: 1; behind the last one 0, and the next
 * call begins anew. -EBADMSG. */
int manifest_next(struct manifest *m, uint64_t *ret_index, uint8_t ret_hash[HASH_BYTES],
		  struct err *e);

/** manifest_create - a new manifest beside its name (info.stored_bytes comes later). */
struct manifest_writer;
int manifest_create(const struct store *s, const struct backup_info *info,
		    struct manifest_writer **ret, struct err *e);
/** manifest_add - a block that is no hole; in order. */
int manifest_add(struct manifest_writer *w, uint64_t index, const uint8_t hash[HASH_BYTES],
		 struct err *e);
/** manifest_finish - whole and flushed, not yet under its name; *ret reads it. */
int manifest_finish(struct manifest_writer *w, uint64_t stored_bytes, struct manifest *ret,
		    struct err *e);
/** manifest_publish - under its name, flushed. */
int manifest_publish(struct manifest_writer *w, struct err *e);
/** manifest_drop - always in the end; what has no name by then is removed. */
void manifest_drop(struct manifest_writer *w);
/** manifest_delete - flushed. Gone already: success. */
int manifest_delete(const struct store *s, const char *volume, const char *name, struct err *e);
/** manifest_sweep - remove what writers left that died. The caller holds the store exclusively. */
int manifest_sweep(const struct store *s, const struct timespec *now, struct err *e);
/** manifest_each - call @fn with every manifest of the store, until it fails. One that can't be
 * read is told to @bad; where that is NULL, it is the end. */
int manifest_each(const struct store *s, const char *volume,
		  int (*fn)(void *arg, struct manifest *m, struct err *e), backup_bad *bad,
		  void *arg, struct err *e);

/** manifest_volume_of - the volume that has a backup of this name. -ENOENT, -EUCLEAN: several. */
int manifest_volume_of(const struct store *s, const char *name, char ret[BACKUP_NAME_MAX],
		       struct err *e);

/* ---- the store ---- */
/* Manifests appear and go whole: who reads just them needs no lock. Shared: readers and writers of
 * blobs, who wait for a removal; exclusive: removal, -EBUSY where it would wait. */
enum store_lock { STORE_UNLOCKED, STORE_SHARED, STORE_EXCLUSIVE };
/** store_open - -ENOMEDIUM: that is no store. @watch may be NULL. */
int store_open(const char *dir, enum store_lock how, const struct backup_watch *watch,
	       struct store *ret, struct err *e);
void store_close(struct store *s);
/** store_folder - a descriptor of a folder in @parent; a symbolic link is none (-EBADMSG). */
int store_folder(int parent, const char *name, bool make, struct err *e);
/** store_file - a descriptor of a regular file in @folder; anything else is refused (-EBADMSG) and
 * never waited for. *ret_bytes: its length; may be NULL. */
int store_file(int folder, const char *name, int flags, uint64_t *ret_bytes, struct err *e);
/** store_new_file - "@name.new-RANDOM": what is under @name when it is whole. Its descriptor. */
int store_new_file(int folder, const char *name, char ret_tmp[STORE_NAME_BYTES], struct err *e);
/** store_list - a stream over a folder, whose descriptor stays the caller's; NULL and errno. */
DIR *store_list(int folder);
int store_hash(const void *block, size_t len, uint8_t ret[HASH_BYTES], struct err *e);
/** store_now - the time by the store's clock, which a server may keep; needs the lock. */
int store_now(const struct store *s, struct timespec *ret, struct err *e);
bool store_before(const struct timespec *a, const struct timespec *b);
/** store_is_old - so old that no writer may count on it. */
bool store_is_old(int folder, const char *name, const struct timespec *now);
/** store_next - readdir(3) whose errors aren't taken for the end; *ret NULL: the end. */
int store_next(DIR *dir, struct dirent **ret, const char *path, struct err *e);
/** A backup that is being written: when it began, and room for a block. */
struct store_run {
	const struct store *store;
	struct timespec since;
	char *spare;
};
/** store_put - a block under its hash, atomically; *ret_new: it wasn't there, or was damaged.
 * Flushed by store_sync. */
int store_put(const struct store_run *run, const uint8_t hash[HASH_BYTES], const void *block,
	      size_t len, bool *ret_new, struct err *e);
/** store_touch - a block is in use from now on. -EBADMSG: it is gone. */
int store_touch(const struct store *s, const uint8_t hash[HASH_BYTES], struct err *e);
int store_sync(const struct store *s, struct err *e);
/** store_get - read a block of @len bytes and check it against its hash. -EBADMSG. */
int store_get(const struct store *s, const uint8_t hash[HASH_BYTES], void *block, size_t len,
	      struct err *e);
/** store_sweep - remove old blocks that no manifest names. The store is held exclusively. */
int store_sweep(const struct store *s, struct err *e);

bool backup_name_valid(const char *name);
uint64_t block_count(uint64_t device_bytes);
/** block_end - where block @i ends. */
uint64_t block_end(uint64_t device_bytes, uint64_t i);
/** block_length - of block @i: the last one may be short. */
size_t block_length(uint64_t device_bytes, uint64_t i);
