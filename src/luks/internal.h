// SPDX-License-Identifier: Apache-2.0
// What the files of the luks room share. Reading (header*.c, metadata_*.c, rules.c, lock.c,
// luks1.c) and writing (area.c, af.c, digest.c, keyslot*.c, format.c) meet here.
#pragma once

#include <cryptvol/base.h>
#include <cryptvol/crypto.h>
#include <cryptvol/luks.h>

/* ---- a change of the header, from lock to flush ---- */

/**
 * luks_change - begin: take the exclusive lock (unless io->no_locks), and read the header again
 * into ret->next: of the same volume, but it may be newer than @h (-ESTALE: another volume's, or an
 * older one). The caller checks again there what it rests on, edits it, then luks_change_write,
 * then luks_change_end.
 */
struct luks_change {
	const struct luks_io *io;
	struct luks_locks locks;
	bool locked;
	bool made;		  /* the new header is the one that counts on disk */
	struct luks_header *next; /* to be edited; becomes *h once it is made */
};
int luks_change_begin(const struct luks_io *io, const struct luks_header *h,
		      struct luks_change *ret, struct err *e);
/** luks_change_write - validate and write c->next (luks_header_write); may be called more than
 * once. */
int luks_change_write(const struct luks_io *io, struct luks_change *c, struct err *e);
/** luks_change_end - release the lock. A change that is made is *h from now on, even if something
 * failed behind it; else it is dropped. */
void luks_change_end(struct luks_change *c, struct luks_header *h);
/** luks_change_keeps - is keyslot @id of @h the same one in @c->next? -ESTALE says what became of
 * it. */
int luks_change_keeps(const struct luks_change *c, const struct luks_header *h, int id,
		      struct err *e);

/* ---- header and metadata ---- */

/** luks_header_alloc - zeroed memory for a header; luks_free. -ENOMEM. */
int luks_header_alloc(struct luks_header **ret, struct err *e);
/** luks_put_uuid - a valid UUID into the header, in lower case. */
void luks_put_uuid(struct luks_header *h, const char *uuid);
/** luks_header_new - an empty version 2 header with the raw root object, for luks_format. */
int luks_header_new(struct luks_header **ret, struct err *e);
/** luks_header_clone - a deep copy, raw objects included. */
int luks_header_clone(const struct luks_header *h, struct luks_header **ret, struct err *e);
/** luks_metadata_serialize - compact JSON from the typed structs merged over the raw objects;
 * -ENOSPC if over json_bytes - 1. */
int luks_metadata_serialize(const struct luks_header *h, char **ret, size_t *ret_len,
			    struct err *e);
/**
 * luks_metadata_parse - JSON text to the typed part of @h, which then owns the tree; each raw
 * pointer of a typed object borrows from h->raw. @h's old metadata go. -EBADMSG names object and
 * member; the rules between objects are luks_rules_check's.
 */
int luks_metadata_parse(const char *text, size_t len, struct luks_header *h, struct err *e);
/** luks_metadata_drop - forget the metadata. */
void luks_metadata_drop(struct luks_header *h);
/** luks_rules_check - every rule of checklist 2.3-2.8 on the typed header (and the binary header's
 * sizes). -EBADMSG names object and field. */
int luks_rules_check(const struct luks_header *h, uint64_t device_bytes, struct err *e);
/** luks_rules_usable - the rules that keep a header from use, not from being shown: cryptsetup lacks
 * them. -EBADMSG. */
int luks_rules_usable(const struct luks_header *h, struct err *e);
/**
 * luks_header_write - seqid + 1, serialise, check the rules, then primary (header without checksum,
 * JSON, header with checksum, fsync), secondary likewise. @whole: write the full areas (format).
 * Where the primary fails, it is made anew from the secondary, and *h is as before. Where only the
 * secondary fails, the change is made: an error, but *h is the new header (h->needs_recovery).
 */
int luks_header_write(const struct luks_io *io, struct luks_header *h, bool whole, struct err *e);

/** luks_lock_take_device / luks_lock_take_file - one lock, for luks_locks_take. Waits. */
int luks_lock_take_device(uint32_t major, uint32_t minor, bool exclusive, struct luks_lock *ret,
			  struct err *e);
int luks_lock_take_file(int fd, bool exclusive, struct luks_lock *ret, struct err *e);
void luks_lock_release(struct luks_lock *l);
/** luks_lock_take_name - luks_lock_take_device's way: file @name in @dir, which is made where its
 * parent exists. */
int luks_lock_take_name(const char *dir, const char *name, bool exclusive, struct luks_lock *ret,
			struct err *e);

/**
 * luks_header_encode - both copies of a new header as bytes, one behind the other, with fresh
 * salts; seqid + 1, rules checked. @ret[2 * h->header_bytes].
 */
int luks_header_encode(const struct luks_header *h, uint64_t device_bytes, void *ret,
		       struct err *e);

/* ---- areas and keys ---- */

/** luks_area_find - first gap of @bytes in the keyslots area; -ENOSPC. */
int luks_area_find(const struct luks_header *h, uint64_t bytes, uint64_t *ret_offset,
		   struct err *e);
/** luks_area_wipe - overwrite with a text that says so and random bytes, then fsync. */
int luks_area_wipe(const struct luks_io *io, uint64_t offset, uint64_t len, struct err *e);
/** luks_area_wiped - has a wipe of the area at @offset begun? */
int luks_area_wiped(const struct luks_io *io, uint64_t offset, bool *ret, struct err *e);
/** luks_area_bytes - what a key of @key_bytes takes: round_up(key * 4000, 4096). */
uint64_t luks_area_bytes(uint32_t key_bytes);

/** luks_af_split / luks_af_merge - LUKS anti-forensic information splitter, 4000 stripes. @out:
 * key->len * 4000 / key_bytes. */
int luks_af_split(const char *hash, const struct secret *key, struct secret *out, struct err *e);
int luks_af_merge(const char *hash, const struct secret *in, size_t key_bytes, struct secret *key,
		  struct err *e);

/** luks_digest_verify - 0 only if @key has this digest; -EPERM if not; anything that can't be
 * checked is an error, never 0. */
int luks_digest_verify(const struct luks_digest *d, const struct secret *key, struct err *e);
/** luks_digest_key_bytes - how long the key of @d is, by its first keyslot; 0: it has none. */
uint32_t luks_digest_key_bytes(const struct luks_header *h, const struct luks_digest *d);
/** luks_digest_make - fill a new pbkdf2 digest for @key. */
int luks_digest_make(const char *hash, uint32_t iterations, const struct secret *key,
		     struct luks_digest *ret, struct err *e);
