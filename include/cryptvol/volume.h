// SPDX-License-Identifier: Apache-2.0
// The verbs: the only room that combines the others. One operation a volume at a time.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cryptvol/crypto.h>
#include <cryptvol/dm.h>
#include <cryptvol/luks.h>

struct err;
struct secret;

/** What all verbs need; made once by main(). */
struct volume_env {
	struct crypto_kdf *kdf;
	enum dm_udev_mode udev;
	bool no_locks;	      /* --disable-locks */
	bool despite_foreign; /* repair: read a header of which one copy is damaged though a foreign
				 signature stands on the device; nothing is recovered by itself */
	void (*warn)(void *arg, const char *sentence); /* things that a person should read though
							  the verb succeeds; may be NULL */
	void (*progress)(void *arg, uint64_t done_bytes, uint64_t total_bytes);
	/* told how long device-mapper took to make or remove a mapping; may be NULL */
	void (*mapped)(void *arg, double seconds);
	void *arg;
};

/** Where the metadata lies. header NULL: on the device itself. */
struct volume_where {
	const char *device; /* data device or image file; may be NULL for verbs that touch the
			       header only and have @header */
	const char *header; /* detached header, device or file */
};

/** A key: either a passphrase (tried on a keyslot, or all) or the volume key itself. Borrowed. */
struct volume_key {
	const struct secret *passphrase;
	const struct secret *volume_key;
	int keyslot; /* LUKS_ANY, or the only one to try */
};

/**
 * Asked of the very copy of a header that a verb goes on with, when it is loaded: 0, or why the
 * verb shall not (-EBADMSG: it isn't the one that the caller knows). check NULL: nobody is asked.
 */
struct volume_check {
	int (*check)(void *arg, const struct luks_header *h, struct err *e);
	void *arg;
};

/* ---- header only ---- */

/** volume_load_header - read the header of @w (recovering where allowed); luks_free it. Only reads
 * where @readonly. */
int volume_load_header(const struct volume_env *env, const struct volume_where *w, bool readonly,
		       struct luks_header **ret, struct err *e);
/** volume_check_luks - as luks_check_copies: is this LUKS, whether or not we can do anything with it?
 */
int volume_check_luks(const struct volume_env *env, const struct volume_where *w,
		      unsigned int *ret_version, struct err *e);
/** volume_unlock_key - the volume key itself (--dump-volume-key, unbound keys with @any_digest). */
int volume_unlock_key(const struct volume_env *env, const struct volume_where *w,
		      const struct volume_key *k, bool any_digest, struct secret **ret_key,
		      int *ret_keyslot, struct err *e);
int volume_add_key(const struct volume_env *env, const struct volume_where *w,
		   const struct volume_key *k, const struct luks_new_keyslot *n, int *ret_keyslot,
		   struct err *e);
int volume_change_key(const struct volume_env *env, const struct volume_where *w,
		      const struct volume_key *k, const struct luks_new_keyslot *n, bool force,
		      int *ret_keyslot, struct err *e);
/** volume_remove_key - the keyslot that @k opens. */
int volume_remove_key(const struct volume_env *env, const struct volume_where *w,
		      const struct volume_key *k, bool allow_last, int *ret_keyslot, struct err *e);
/** volume_kill_slot - @k (may be NULL: not asked for) has to open another keyslot than @keyslot.
 * -ENOENT: not active. */
int volume_kill_slot(const struct volume_env *env, const struct volume_where *w,
		     const struct volume_key *k, int keyslot, bool allow_last, struct err *e);
/** volume_finish_kills - as luks_finish_kills: no passphrase is asked for, since none opened these.
 */
int volume_finish_kills(const struct volume_env *env, const struct volume_where *w, size_t *ret_n,
			struct err *e);
int volume_erase(const struct volume_env *env, const struct volume_where *w, struct err *e);
struct volume_config {
	const char *label, *subsystem, *uuid; /* NULL = as it is */
	int keyslot;			      /* for priority */
	bool set_priority;
	enum luks_priority priority;
};
int volume_set_config(const struct volume_env *env, const struct volume_where *w,
		      const struct volume_config *c, struct err *e);
/** volume_repair - as luks_repair. */
int volume_repair(const struct volume_env *env, const struct volume_where *w, bool roll_back,
		  struct err *e);

/**
 * volume_backup_header - the metadata region, key slots included, into a new file of mode 0400
 * (-EEXIST where it is there). Whoever has it and an old passphrase opens the volume for good.
 * @check (may be NULL) is asked of the copy in the file, before the file has its name.
 */
int volume_backup_header(const struct volume_env *env, const struct volume_where *w,
			 const char *file, const struct volume_check *check, struct err *e);
/**
 * volume_restore_header - write it back. A header that is there has to have the same data offset
 * and area sizes (-EINVAL); one with requirements that we don't know or lack is refused. The backup
 * is read whole before anything is written. A cut leaves the old header recognised as nothing, or
 * the new one. -EBUSY: the device is mounted; that it is mapped is no hindrance.
 */
int volume_restore_header(const struct volume_env *env, const struct volume_where *w,
			  const char *file, struct err *e);

/** volume_hold_idle - open @device or an image file for reading; while *ret_fd is open nobody maps
 * or mounts the device (of a file it is only known that nobody does now). -EBUSY: it is mapped or
 * mounted, or the loop device over the file is. */
int volume_hold_idle(const char *device, int *ret_fd, struct err *e);

/* ---- format ---- */

struct volume_format {
	struct volume_where where;
	struct luks_format luks; /* sizes 0 = defaults; alignment, detached and known_blank are
				    filled in by the verb */
	bool sector_size_auto;	 /* from the device's topology, where the size permits */
};
/** volume_probe - signatures that a format would destroy (for the warning), LUKS included. */
struct fs_signatures;
int volume_probe(const struct volume_env *env, const char *device, struct fs_signatures *ret,
		 struct err *e);
/** volume_format - wipe foreign signatures, write a LUKS2 header. -EBUSY: in use. */
int volume_format(const struct volume_env *env, const struct volume_format *f, struct err *e);

/* ---- mapping ---- */

struct volume_open {
	struct volume_where where;
	const char *name; /* of the mapping; NULL with test_only */
	struct volume_key key;
	bool test_only;	 /* --test-passphrase */
	bool any_digest; /* --unbound, with test_only */
	bool readonly;
	bool shared;	      /* don't insist on exclusive use of the data device */
	bool refresh;	      /* reload the live mapping's table with new flags */
	bool disable_keyring; /* hex key in the table: to be grown by every process with
				 CAP_SYS_ADMIN, and to be read by it */
	bool keep_key;	 /* keep the key in a keyring of the mapping's own, below this process's: to
			    be grown by this process, and to be read by none */
	bool allow_null; /* --cipher-null: null ciphers asked for by name */
	uint32_t flags;	 /* enum luks_flag to add to the header's persistent ones */
	bool persistent; /* write flags into the header */
	uint64_t size_sectors; /* 0 = all */
	struct volume_check check;
};
/** volume_open - unlock, key into the kernel, map. *ret_keyslot may be LUKS_ANY (volume key given).
 */
int volume_open(const struct volume_env *env, const struct volume_open *o, int *ret_keyslot,
		struct err *e);

enum volume_close_flag { VOLUME_CLOSE_DEFERRED = 1u << 0, VOLUME_CLOSE_CANCEL_DEFERRED = 1u << 1 };
/** volume_close - remove the mapping; revoke its kept key. -ENODEV: no such mapping; -EBUSY: in
 * use. */
int volume_close(const struct volume_env *env, const char *name, uint32_t flags, struct err *e);

struct volume_resize {
	uint64_t size_sectors;	      /* 0 = up to the device's (or the fixed segment's) end */
	const struct volume_key *key; /* NULL: the kept key, or a key in the table */
	const char *header;	      /* detached header for unlocking with @key */
};
/** volume_resize - -ENOKEY: neither the kept key nor a passphrase; never a silent success. */
int volume_resize(const struct volume_env *env, const char *name, const struct volume_resize *r,
		  struct err *e);
/** volume_resize_needs_key - would volume_resize(name) need a passphrase (no kept key, key not in
 * the table)? */
int volume_resize_needs_key(const struct volume_env *env, const char *name, bool *ret,
			    struct err *e);

/** volume_reap_kept - revoke the keys that this process keeps for mappings that somebody else
 * closed. How many, or negative errno. */
int volume_reap_kept(struct dm_control *dm, struct err *e);

struct volume_status {
	struct dm_mapping dm;
	char type[16];		    /* "LUKS2", "LUKS1", "PLAIN", "n/a" */
	char uuid[LUKS_UUID_BYTES]; /* from the dm UUID, with dashes; "" = none */
	char cipher[CRYPTO_CIPHER_SPEC_MAX];
	uint32_t key_bytes;
	bool key_in_keyring;
	bool key_kept;	   /* grows without a passphrase: key in the table, or kept by this process
			    */
	char device[4096]; /* "(null)" when the backing device is gone */
	char loop_file[4096];
	uint32_t sector_size_bytes;
	uint64_t offset_sectors, size_sectors, iv_offset_sectors;
	uint32_t flags; /* enum luks_flag */
	bool in_use;
	size_t n_targets;
};
/** volume_query_status - -ENODEV: inactive. */
int volume_query_status(const struct volume_env *env, const char *name, struct volume_status *ret,
			struct err *e);
