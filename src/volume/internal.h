// SPDX-License-Identifier: Apache-2.0
// What the files of the volume room share: metadata at hand, unlocked keys, names, tables, live
// mappings.
#pragma once

#include <cryptvol/base.h>
#include <cryptvol/block.h>
#include <cryptvol/keyring.h>
#include <cryptvol/volume.h>

/* ---- what a person should read though the verb succeeds (warn.c) ---- */

/** volume_tell_mapped - since @start (base_now). */
void volume_tell_mapped(const struct volume_env *env, double start);
void volume_warn(const struct volume_env *env, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));
/** volume_warn_header - all that was odd when @h was loaded from @path. */
void volume_warn_header(const struct volume_env *env, const char *path,
			const struct luks_header *h);

/* ---- metadata at hand (metadata.c) ---- */

struct volume_metadata {
	struct block_device dev;
	struct luks_io io;
	struct luks_header *header;
};
/** volume_io_of - how the luks room reads and writes the metadata on @d. Borrows its descriptor. */
struct luks_io volume_io_of(const struct volume_env *env, const struct block_device *d);
/** volume_read_header - luks_load from @d, which @io is of, with its warnings. */
int volume_read_header(const struct volume_env *env, const struct luks_io *io,
		       const struct block_device *d, struct luks_header **ret, struct err *e);
enum volume_access { VOLUME_READ, VOLUME_RECOVER, VOLUME_WRITE };
/**
 * volume_open_metadata - open where @w says and read the header once; only this copy is used.
 * VOLUME_RECOVER writes where it may, VOLUME_WRITE needs to (-EROFS) and refuses what we can't
 * change.
 */
int volume_open_metadata(const struct volume_env *env, const struct volume_where *w,
			 enum volume_access access, struct volume_metadata *ret, struct err *e);
/** volume_ask - what @c says of @h; 0 where nobody is asked. */
int volume_ask(const struct volume_check *c, const struct luks_header *h, struct err *e);
void volume_close_metadata(struct volume_metadata *m);

/* ---- what has to hold for a mapping (still.c) ---- */

/** volume_check_apart - -EINVAL: mapping @data by @h would put the data over this very header. */
int volume_check_apart(const struct luks_header *h, const struct block_device *data, struct err *e);
/** volume_check_still - does @h stand there still, and its keyslot @keyslot (LUKS_ANY: none was
 * used)? -ESTALE: someone else formatted, erased or changed it meanwhile. */
int volume_check_still(const struct luks_io *io, const struct luks_header *h, int keyslot,
		       struct err *e);

/* ---- a key that opened something (unlock.c) ---- */

struct volume_unlocked {
	const struct secret *key; /* the volume key: owned, or the caller's own */
	struct secret *owned;
	int keyslot; /* LUKS_ANY: the volume key was given */
	int digest;
};
struct volume_unlock_how {
	bool any_digest, allow_null;
};
/** volume_unlock - by passphrase or volume key, checked against a digest. -EPERM. */
int volume_unlock(const struct volume_env *env, const struct luks_io *io,
		  const struct luks_header *h, const struct volume_key *k,
		  const struct volume_unlock_how *how, struct volume_unlocked *ret, struct err *e);
void volume_unlocked_free(struct volume_unlocked *u);

/* ---- keyslot areas (area_cipher.c) ---- */

/** volume_run_cipher - luks_io's run_cipher: by a private dm-crypt mapping over memory. */
int volume_run_cipher(const struct crypto_cipher *c, const struct secret *key, bool to_cipher,
		      struct secret *data, size_t len, struct err *e);

/* ---- names (names.c) ---- */

/** volume_dm_uuid - "CRYPT-LUKS2-<uuid without dashes>-<name>", cut at the kernel's limit as
 * cryptsetup does; *ret_cut says so. */
void volume_dm_uuid(const char *uuid, const char *name, char ret[DM_DEVICE_UUID_MAX + 1],
		    bool *ret_cut);
/** volume_dm_uuid_is - is it the dm UUID of a mapping of the LUKS2 volume @uuid? */
bool volume_dm_uuid_is(const char *dm_uuid, const char *uuid);
/** volume_dm_uuid_split - type ("LUKS2", "PLAIN", "n/a" where it isn't ours) and, with dashes
 * again, the UUID ("" = none). */
void volume_dm_uuid_split(const char *dm_uuid, char ret_type[16], char ret_uuid[LUKS_UUID_BYTES]);
/** volume_flags_to_dm / _from_dm - enum luks_flag <-> enum dm_crypt_flag. */
uint32_t volume_flags_to_dm(uint32_t luks_flags);
uint32_t volume_flags_from_dm(uint32_t dm_flags);
/** volume_drop_flags - dm flags without those that this kernel's target hasn't; warns of each. */
uint32_t volume_drop_flags(const struct volume_env *env, uint32_t dm_flags, uint32_t supported);

/* ---- tables (table.c) ---- */

struct volume_table_how {
	uint64_t device_bytes;	 /* of the data device */
	uint64_t metadata_bytes; /* at its start, where its header stands; 0: on another device */
	uint32_t major, minor;
	uint64_t size_sectors; /* of the mapping; 0 = all */
	uint32_t key_bytes;
	uint32_t flags; /* DM_CRYPT_* */
	bool readonly, allow_null;
	uint32_t supported; /* dm_crypt_supports */
};
/** volume_build_table - the target for what luks_make_plan says of @h, keyless yet. The caller
 * frees (dm_table_free). */
int volume_build_table(const struct luks_header *h, const struct volume_table_how *how,
		       struct dm_table *ret, struct err *e);
/** volume_table_set_key - each crypt target: the key by description, or in hex. */
void volume_table_set_key(struct dm_table *t, const char *key_description,
			  const struct secret *hex);
/** volume_spec_is_null - a null cipher: it has no key in its table. */
bool volume_spec_is_null(const char *spec);

/* ---- a live mapping (live.c) ---- */

struct volume_live {
	struct dm_mapping info;
	char instance[DM_INSTANCE_MAX]; /* this very mapping: what its kept key is bound to */
	struct dm_table table;
	struct secret *hex;	       /* the key, where it stands in the table */
	const struct dm_target *crypt; /* the first crypt target */
};
/** volume_query_live - an encrypted mapping and its table; -EINVAL where it is something else. */
int volume_query_live(struct dm_control *dm, const char *name, struct volume_live *ret,
		      struct err *e);
void volume_live_free(struct volume_live *l);
/** volume_live_key_in_keyring - does the table name its key by description? */
bool volume_live_key_in_keyring(const struct volume_live *l);
/**
 * volume_live_reach_key - make the key of the live table reachable from this thread, for a reload:
 * the kept one, else @given (may be NULL). -ENOKEY: neither. keyring_drop(ret) afterwards.
 */
int volume_live_reach_key(const struct volume_live *l, const struct secret *given,
			  struct keyring_hold *ret, struct err *e);
/** volume_live_needs_key - would volume_live_reach_key need a given key? Changes nothing. */
bool volume_live_needs_key(const struct volume_live *l);
/** volume_live_matches - does @h describe this mapping: UUID, cipher, offset, sector size? -ESTALE.
 */
int volume_live_matches(const struct volume_live *l, const struct luks_header *h, struct err *e);
/** volume_live_open_device - the device below, not exclusively, with its size of now. */
int volume_live_open_device(const struct volume_live *l, struct block_device *ret, struct err *e);

/* ---- files that hold a header (new_file.c) ---- */

struct volume_new_file {
	int fd;
	const char *path; /* what it is going to be called */
	unsigned int mode;
	bool in_memory;	    /* the file system can't do without a name: copied there at the end */
	char open_path[32]; /* by which it can be opened until then */
};
/** volume_new_file_open - a file without a name, for @path. The caller closes ret->fd: without
 * volume_new_file_name nothing is left of it. */
int volume_new_file_open(const char *path, unsigned int mode, struct volume_new_file *ret,
			 struct err *e);
/** volume_new_file_name - it is whole and flushed: give it its name (-EEXIST if another came
 * first), and flush its folder. */
int volume_new_file_name(struct volume_new_file *n, struct err *e);
/** volume_copy_region - @bytes from one file's start to the other's, flushed. Zeros stay holes in a
 * file; on a device (@skip_zeros false) they are written (header_copy.c). */
int volume_copy_region(int from, int to, uint64_t bytes, bool skip_zeros, struct err *e);

/* ---- verbs in files of their own ---- */

int volume_refresh(const struct volume_env *env, const struct volume_open *o, int *ret_keyslot,
		   struct err *e);
