// SPDX-License-Identifier: Apache-2.0
// StorageClass parameters and Secrets into typed values; Longhorn's names and meanings, defaults at
// least as strong as cryptsetup's.
#pragma once

#include <cryptvol/luks.h>
#include <cryptvol/mount.h>

#include "csi.h"
#include "csi.pb-c.h"

/** A string map as protobuf-c lays it out; every map<string,string> of CSI has this shape. */
struct csi_map_entry {
	ProtobufCMessage base;
	char *key;
	char *value;
};
struct csi_map {
	struct csi_map_entry **entries;
	size_t n;
};
/** csi_map - view of a generated map field: csi_map(req->secrets, req->n_secrets). */
#define csi_map(array, count) \
	((struct csi_map){ (struct csi_map_entry **)(void *)(array), (count) })
/** csi_map_get - value of @key, NULL if it isn't there. */
const char *csi_map_get(struct csi_map m, const char *key);
/** csi_map_json / csi_map_parse - to and from the record's JSON text (keys sorted). malloc'ed / in
 * the arena. */
int csi_map_json(struct csi_map m, char **ret, struct err *e);
int csi_map_parse(struct csi_arena *a, const char *json, struct csi_map *ret, struct err *e);
/** csi_map_same - the same keys and values? */
bool csi_map_same(struct csi_map a, struct csi_map b);

/* ---- StorageClass ---- */

enum csi_fsck { CSI_FSCK_PREEN, CSI_FSCK_NONE };

struct csi_class {
	bool encrypted;
	char fs_type[FS_TYPE_MAX]; /* "" = not named: ext4 */
	const char *mkfs_params;   /* borrowed from the map; NULL = none */
	enum csi_fsck fsck;
	uint32_t sector_size_bytes; /* 0 = from the device */
	uint32_t flags;		    /* enum luks_flag */
	const char *label;	    /* borrowed; NULL = none */
	bool high_entropy;	    /* pbkdfPolicy: random-key */
	bool pause_allowed;
	bool thick; /* provisioning */
	const char *device; /* static volumes: an existing block device */
	/* snapshot classes */
	bool backup;
	const char *backup_dir;
};
enum csi_class_use { CSI_CLASS_VOLUME, CSI_CLASS_CONTEXT, CSI_CLASS_SNAPSHOT, CSI_CLASS_MUTABLE };
/** csi_class_parse - -EINVAL names the parameter. Unknown names are refused, but for the CO's own
 * (csi.storage.k8s.io/...). */
int csi_class_parse(struct csi_map m, enum csi_class_use use, struct csi_class *ret, struct err *e);
/** csi_class_keep - the entries of @m that csi_class_parse knows, without the CO's own; in the
 * arena.
 */
int csi_class_keep(struct csi_arena *a, struct csi_map m, enum csi_class_use use,
		   struct csi_map *ret, struct err *e);
/** csi_class_change - the same over what is there: only what the map names changes, to off as well
 * as to on; nothing where it fails. */
int csi_class_change(struct csi_map m, enum csi_class_use use, struct csi_class *c, struct err *e);

/* ---- Secrets ---- */

struct csi_keys {
	struct secret *value, *previous; /* CRYPTO_KEY_VALUE, CRYPTO_KEY_VALUE_PREVIOUS */
	/* format only; the header wins afterwards */
	char cipher[CRYPTO_CIPHER_SPEC_MAX];
	char hash[CRYPTO_NAME_MAX];
	uint32_t key_bytes;
	struct crypto_pbkdf_request pbkdf; /* hash points into this struct */
};
/**
 * csi_keys_take - check the Secret and move the passphrases into struct secret; the map's values
 * are wiped. @required: CRYPTO_KEY_VALUE must be there. -EINVAL names the key and never its value.
 * csi_keys_clear frees.
 */
int csi_keys_take(struct csi_map secrets, const struct csi_class *class, bool required,
		  struct csi_keys *ret, struct err *e);
/** csi_keys_check - the same checks, nothing taken: for calls that see a Secret before it is used.
 * An empty map is fine. */
int csi_keys_check(struct csi_map secrets, struct err *e);
/** csi_keys_check_for - ... and a Secret that comes with an encrypted class has a passphrase. */
int csi_keys_check_for(struct csi_map secrets, const struct csi_class *class, struct err *e);
void csi_keys_clear(struct csi_keys *k);
