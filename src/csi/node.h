// SPDX-License-Identifier: Apache-2.0
// The Node service's inside: from a record to a mounted file system and back.
#pragma once

#include "common.h"

/** One stage under way. */
struct node_stage {
	struct csi_call *call;
	struct backend_volume volume; /* the record; for a static volume made from the request */
	bool is_static;		      /* no record: an existing device, named in volume_context */
	struct csi_class class;
	struct csi_cap cap;
	struct csi_keys keys;
	const char *staging;
	bool readonly;
	bool known;	    /* the record has it staged there already */
	char backing[4096]; /* the device below: loop device, or the static one */
	char device[4096];  /* what is mounted: backing, or the mapping */
	bool opened;	    /* the mapping was made by this call */
	bool mounted;	    /* the file system was mounted by this call */
	struct backend_pin seen; /* of the header that was checked last */
};

/* ---- node_crypt.c: header and mapping ---- */
/**
 * node_open_crypt - format (first use only), check the header against the record's pin, rotate the
 * key if asked, open; s->device is the mapping. An open mapping is used again only if its dm UUID,
 * backing device and size are right and the passphrase opens the header.
 */
enum csi_code node_open_crypt(struct node_stage *s);
/** node_mapping_path - "/dev/mapper/<id>" */
void node_mapping_path(const char *id, char ret[4096]);
/** node_close_crypt - close the mapping if there is one. */
int node_close_crypt(struct csi_driver *d, const char *id, struct err *e);
/** node_header_backup - keep the last good header of an encrypted volume: the first one, and each
 * before it changes. */
int node_header_backup(struct node_stage *s, struct err *e);

/* ---- node_format.c ---- */
/** node_format_crypt - write the header of a new volume, or finish a format of ours that was cut
 * short. */
enum csi_code node_format_crypt(struct node_stage *s);
/** node_prove_blank - not a byte where only a volume that was in use can have one. -EUCLEAN. */
int node_prove_blank(const struct node_stage *s, struct err *e);
/** node_check - for a verb of the volume room: is the copy of the header that it goes on with the
 * recorded one, and can it be mapped? -EBADMSG says what differs. s->seen is its pin. */
struct volume_check node_check(struct node_stage *s);

/* ---- node_rotate.c ---- */
/** node_rotate - CRYPTO_KEY_VALUE_PREVIOUS is given: add the new passphrase, prove it, kill the old
 * one. Idempotent. */
enum csi_code node_rotate(struct node_stage *s);

/* ---- node_fs.c ---- */
/** node_fs_type - the type that the volume has to have. */
const char *node_fs_type(const struct node_stage *s);
/** node_mount - make the file system (first use only), check, mount on s->staging, grow it where
 * the device has grown. */
enum csi_code node_mount(struct node_stage *s);

/* ---- handlers ---- */
enum csi_code node_stage_rpc(struct csi_call *call);
enum csi_code node_unstage_rpc(struct csi_call *call);
enum csi_code node_publish_rpc(struct csi_call *call);
enum csi_code node_unpublish_rpc(struct csi_call *call);
enum csi_code node_stats_rpc(struct csi_call *call);
enum csi_code node_expand_rpc(struct csi_call *call);
enum csi_code node_volume_health_rpc(struct csi_call *call); /* health.c, as the next */
enum csi_code node_storage_health_rpc(struct csi_call *call);

/** node_find_use - the use of @kind with this path; -ENOENT. *ret_others: uses of that kind with
 * other paths. */
int node_find_use(struct csi_call *call, const char *id, enum backend_use_kind kind,
		  const char *path, struct backend_use *ret, size_t *ret_others, struct err *e);
/** node_volume_at - is this volume mounted at @path, or its device's node bound there? From the
 * kernel, whatever the records say. */
bool node_volume_at(const char *id, const char *path);
/** node_clear_mount - take away what an older device of this volume, or one that is gone, left
 * mounted on @path; with @known (the record has it there) whatever it is. -EBUSY: it is somebody
 * else's. */
int node_clear_mount(const char *id, const char *path, bool known, struct err *e);
/** node_is_used_at - by the records or, where they are lost or can't be read, by what is mounted.
 * *ret_others: other paths of that kind, as far as the records tell. */
bool node_is_used_at(struct csi_call *call, const char *id, enum backend_use_kind kind,
		     const char *path, size_t *ret_others);
/** node_forget_use - drop the record of a use that is undone. One that can't be written is no
 * failure of the call: a warning tells of it. */
void node_forget_use(struct csi_call *call, const char *id, enum backend_use_kind kind,
		     const char *path);
/** node_static_device - the device of a static volume by its staged record; "" = not static. */
int node_device_of(struct csi_call *call, const struct backend_volume *v, bool readonly,
		   char ret[4096], struct err *e);
