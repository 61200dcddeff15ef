// SPDX-License-Identifier: Apache-2.0
// Device-mapper by its raw ioctls. Knows tables and names, nothing of LUKS. Source: the kernel's
// uapi dm-ioctl.h and Documentation/admin-guide/device-mapper/.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cryptvol/crypto.h>

struct err;
struct secret;

#define DM_DEVICE_NAME_MAX 127 /* bytes, without NUL */
#define DM_DEVICE_UUID_MAX 128

/* ---- tables ---- */

enum dm_target_type {
	DM_TARGET_LINEAR = 1,
	DM_TARGET_CRYPT,
	DM_TARGET_ERROR,
	DM_TARGET_INTEGRITY,
	DM_TARGET_OTHER
};

/* Optional parameters of the crypt target; each is used only where the target's version has it
 * (dm_crypt_supports). */
enum dm_crypt_flag {
	DM_CRYPT_ALLOW_DISCARDS = 1u << 0,
	DM_CRYPT_SAME_CPU_CRYPT = 1u << 1,
	DM_CRYPT_SUBMIT_FROM_CRYPT_CPUS = 1u << 2,
	DM_CRYPT_NO_READ_WORKQUEUE = 1u << 3,
	DM_CRYPT_NO_WRITE_WORKQUEUE = 1u << 4,
	DM_CRYPT_IV_LARGE_SECTORS = 1u << 5,
	DM_CRYPT_HIGH_PRIORITY = 1u << 6,
	DM_CRYPT_KEYRING = 1u << 7,	/* not a parameter: keys by keyring reference (1.15.0;
					   trustworthy from 1.18.1) */
	DM_CRYPT_SECTOR_SIZE = 1u << 8, /* not a flag: sector_size:N (1.17.0) */
	DM_CRYPT_INTEGRITY = 1u << 9,	/* not a flag: integrity:N:alg (1.17.0) */
	DM_CRYPT_INTEGRITY_KEY_SIZE = 1u << 10, /* not a flag: integrity_key_size:N (1.27.0) */
};
/** dm_crypt_flag_name - the parameter's spelling, for messages ("no_read_workqueue"). NULL: no such
 * flag. */
const char *dm_crypt_flag_name(enum dm_crypt_flag flag);

struct dm_crypt {
	char cipher[CRYPTO_CIPHER_SPEC_MAX];
	const struct secret *key; /* hex in the table; borrowed; NULL where key_description is used,
				     or no key ("-") */
	char key_description[256]; /* "logon:cryptsetup:..."; the table says
				      :<key_bytes>:<key_description> */
	uint32_t key_bytes;
	uint64_t iv_offset_sectors;
	uint64_t device_offset_sectors;
	uint32_t sector_size_bytes;   /* 0 or 512 = not mentioned */
	uint32_t flags;		      /* DM_CRYPT_* that are parameters */
	char integrity[64];	      /* "16:aead", "" = none */
	uint32_t integrity_key_bytes; /* integrity_key_size:N, 0 = not mentioned */
	bool unknown_options; /* parsed from a table with parameters that we don't know: it can't be
				 written again */
};
struct dm_linear {
	uint64_t device_offset_sectors;
};
struct dm_integrity {
	uint64_t offset_sectors;
	uint32_t tag_bytes; /* 0 = "-" (from the internal hash) */
	char mode;	    /* 'J' 'B' 'D' 'R' 'I' */
	const char *params; /* the optional parameters as text, NULL or "" = none; borrowed. Not
			       given back by a parse, since keys may be among them. */
	unsigned int n_params;
};

struct dm_target {
	enum dm_target_type type;
	char type_name[16];
	uint64_t start_sectors, len_sectors; /* 512-byte units */
	uint32_t dev_major, dev_minor;	     /* the device below (not for error) */
	union {
		struct dm_crypt crypt;
		struct dm_linear linear;
		struct dm_integrity integrity;
	};
};

struct dm_table {
	struct dm_target *targets; /* owner frees */
	size_t n_targets;
	bool readonly;
};
/** dm_table_free - targets that dm_query_table made. */
void dm_table_free(struct dm_table *t);

/** dm_format_params - a target's parameter string as the kernel wants it, in a secret (a hex key
 * may be in it), with a NUL behind that isn't counted. -EINVAL: a field that would not be one word
 * in the table; -EOPNOTSUPP: a target of DM_TARGET_OTHER or with unknown_options. */
int dm_format_params(const struct dm_target *t, struct secret **ret, struct err *e);
/** dm_parse_params - the reverse, for a table read back from the kernel. Keys come back as
 * key_description, or (hex) as *ret_key, to which ret->crypt.key points; *ret_key is NULL where
 * there is none. @ret_key may be NULL: the key isn't wanted. -EBADMSG. */
int dm_parse_params(const char *type_name, const char *params, struct dm_target *ret,
		    struct secret **ret_key, struct err *e);

/* ---- the control device ---- */

struct dm_control;
/**
 * dm_control_open - open /dev/mapper/control (made where it is missing), check the interface
 * version. -EHOSTDOWN says what the host lacks, -EACCES no permission.
 */
int dm_control_open(struct dm_control **ret, struct err *e);
void dm_control_close(struct dm_control *c);
/** dm_control_set_wait - how long to wait for udev at most, in milliseconds (10,000 if not set);
 * after that the node is made by us. */
void dm_control_set_wait(struct dm_control *c, uint32_t wait_ms);
void dm_control_closep(struct dm_control **c);
#define _cleanup_dm_ __attribute__((cleanup(dm_control_closep)))

/** dm_target_version - version of target @name, loading its module if needed. -EHOSTDOWN with what
 * is lacking. */
int dm_target_version(struct dm_control *c, const char *name, uint32_t ret_version[3],
		      struct err *e);
/** dm_crypt_supports - bit set of enum dm_crypt_flag for the crypt target of this kernel. */
int dm_crypt_supports(struct dm_control *c, uint32_t *ret_flags, struct err *e);

/* How nodes and udev are handled. */
enum dm_udev_mode {
	DM_UDEV_AUTO = 0, /* udevd runs: cookie via libdevmapper (CLI), with our time limit; else
			     the nodes are ours */
	DM_UDEV_NO_COOKIE /* library, driver: primary-source flag in event_nr, then wait for the
			     node; no semaphore anywhere */
};
enum dm_device_flag {
	DM_DEVICE_PRIVATE =
		1u << 0, /* keep LVM, multipath and udev's probes off (temporary and sub-devices) */
	DM_DEVICE_READONLY = 1u << 1,
};

struct dm_mapping {
	char name[DM_DEVICE_NAME_MAX + 1];
	char uuid[DM_DEVICE_UUID_MAX + 1];
	uint32_t major, minor;
	uint32_t event_nr;
	int32_t open_count;
	uint32_t target_count;
	bool suspended, readonly, live_table, inactive_table, deferred_remove;
};

/* Every call takes the device's name. -ENODEV: no such mapping. */

/** dm_create - create (-EEXIST: name or UUID taken), load, resume, node; after a failure nothing is
 * left. @uuid may be NULL. Errors of dm_load. */
int dm_create(struct dm_control *c, const char *name, const char *uuid, const struct dm_table *t,
	      uint32_t device_flags, enum dm_udev_mode udev, struct err *e);
/** A mapping without a name below /dev/mapper, for this process alone: @fd (O_DIRECT) reads and
 * writes it. */
struct dm_private {
	char name[DM_DEVICE_NAME_MAX + 1];
	int fd;
};
/**
 * dm_private_open - make one. It ends with its last descriptor, even if the process is killed. A
 * kill within the call may leave a mapping without a live table; a later call removes that. Errors
 * of dm_load.
 */
int dm_private_open(struct dm_control *c, const struct dm_table *t, struct dm_private *ret,
		    struct err *e);
/** dm_private_close - close it; it is gone afterwards unless udev looks at it just now. */
void dm_private_close(struct dm_control *c, struct dm_private *p);
/** dm_load - put a table into the inactive slot. -EOPNOTSUPP names the parameter that this kernel's
 * crypt target is too old for; -ENOKEY: the key that the table names isn't in this thread's reach;
 * -EHOSTDOWN: no such target or cipher here; -EBUSY: a device below is in use. */
int dm_load(struct dm_control *c, const char *name, const struct dm_table *t, struct err *e);
/** dm_clear - drop the inactive table. */
int dm_clear(struct dm_control *c, const char *name, struct err *e);
/** dm_suspend - @noflush, @nolockfs as the kernel's flags. */
int dm_suspend(struct dm_control *c, const char *name, bool noflush, bool nolockfs, struct err *e);
/** dm_resume - resume; swaps an inactive table in; node afterwards. */
int dm_resume(struct dm_control *c, const char *name, uint32_t device_flags, enum dm_udev_mode udev,
	      struct err *e);
/** dm_reload - load, then resume, by which the kernel suspends, swaps the tables and resumes within
 * one call: killed at any moment, nothing stays suspended. On failure the old table is live. */
int dm_reload(struct dm_control *c, const char *name, const struct dm_table *t,
	      uint32_t device_flags, enum dm_udev_mode udev, struct err *e);
/** dm_rename - kernels that measure tables (CONFIG_IMA; seen on 6.12.117) free a mapping's
 * description twice, at its next load or removal, where a clear (dm_clear, or a reload that failed)
 * was the last thing done to its inactive slot before the rename. A dm_load before it prevents
 * that.
 */
int dm_rename(struct dm_control *c, const char *name, const char *new_name, enum dm_udev_mode udev,
	      struct err *e);
/** dm_remove - -EBUSY in use (retried for a moment, since a probe may hold it, but not where it is
 * mounted or stacked upon). @deferred: where in use, remove when the last user goes. */
int dm_remove(struct dm_control *c, const char *name, bool deferred, enum dm_udev_mode udev,
	      struct err *e);
/** dm_remove_cancel - cancel a deferred remove. */
int dm_remove_cancel(struct dm_control *c, const char *name, struct err *e);
/** dm_wait_change - until a mapping of this host was made, renamed or removed since the last call
 * (the first: since dm_control_open), or after @timeout_ms: 0. A removal that was deferred may go
 * unseen till then. -ECANCELED: @stop_fd became readable. One thread a control device. */
int dm_wait_change(struct dm_control *c, int stop_fd, int timeout_ms, struct err *e);
int dm_query_info(struct dm_control *c, const char *name, struct dm_mapping *ret, struct err *e);
#define DM_INSTANCE_MAX (DM_DEVICE_UUID_MAX + 32)
/** dm_query_instance - a text for this very mapping, which a later one of the same name and UUID
 * doesn't have: the UUID and the kernel's sequence number of its disk, which stays over reloads and
 * renames. On kernels before 5.15 the UUID alone. */
int dm_query_instance(struct dm_control *c, const char *name, char ret[DM_INSTANCE_MAX],
		      struct err *e);
/** dm_query_table - the live table (none: n_targets 0). *ret_key: the hex key, the same for all of
 * its crypt targets, whose crypt.key points to it, or NULL (secret_free); @ret_key may be NULL: not
 * wanted. -EOPNOTSUPP: several hex keys. */
int dm_query_table(struct dm_control *c, const char *name, struct dm_table *ret,
		   struct secret **ret_key, struct err *e);
/** dm_query_status - status text of target @index, malloc'ed. -ENOENT: no such target. */
int dm_query_status(struct dm_control *c, const char *name, size_t index, char **ret,
		    struct err *e);
struct dm_dev {
	uint32_t major, minor;
};
/** dm_query_deps - the devices below; at most @cap are written, *ret_n is the true count. */
int dm_query_deps(struct dm_control *c, const char *name, struct dm_dev *ret, size_t cap,
		  size_t *ret_n, struct err *e);
/** dm_wait - wait until the event number passes @event_nr. -EINTR: a signal came. */
int dm_wait(struct dm_control *c, const char *name, uint32_t event_nr, struct err *e);
struct dm_list_entry {
	char name[DM_DEVICE_NAME_MAX + 1];
	uint32_t major, minor;
};
/** dm_list - all mappings, malloc'ed array. */
int dm_list(struct dm_control *c, struct dm_list_entry **ret, size_t *ret_n, struct err *e);

/** dm_name_valid - what may be the name of a new mapping: 1..127 letters, digits and #+-.:=@_ (udev
 * changes others in the node's name), or "\xNN" for another byte as libdevmapper writes it; not
 * ".",
 * "..", "control"; -EINVAL. */
int dm_name_valid(const char *name, struct err *e);
