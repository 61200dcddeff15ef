// SPDX-License-Identifier: Apache-2.0
// Volume keys in the kernel's keyring, so that dm-crypt finds them and nobody reads them back.
// Source: keyrings(7), keyctl(2).
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct err;
struct secret;

/** keyring_volume_key_description - "cryptsetup:<uuid>-d<digest>", cryptsetup's own naming.
 * -ENAMETOOLONG. */
int keyring_volume_key_description(const char *uuid, unsigned int digest, char *buf, int cap,
				   struct err *e);

/**
 * A logon key that dm-crypt can find from the calling thread. It lives in a keyring that ends with
 * keyring_drop (or with the thread); or, kept, in the mapping's own keyring "cryptvol:<name>" below
 * the process keyring, bound to the mapping's dm UUID, so that a later call of this process can
 * reload the live table with no passphrase. All of it must happen on the thread that issues the
 * ioctl. Only this process possesses such keys, and their permissions are for a possessor alone:
 * another process, whatever its uid, can't find, link, use, change or revoke one by its number.
 */
struct keyring_hold {
	int32_t ring;	/* the keyring that holds the key, 0 = none */
	int32_t key;	/* the logon key */
	int32_t link;	/* what leads there: in the thread keyring until keyring_drop */
	bool kept;	/* ring stays after keyring_drop */
	bool linked;	/* link is in the thread keyring */
	char name[160]; /* kept: mapping name */
};

/** keyring_put - add @key as logon "<description>" in a ring that ends with the call. After a
 * failure nothing is left. -EDQUOT: the user's key quota; -EHOSTDOWN: no such keys here. */
int keyring_put(const char *description, const struct secret *key, struct keyring_hold *ret,
		struct err *e);
/** keyring_process_init - make the process keyring, before the first thread is started: threads
 * that are there already would each get one of their own, and no kept key of another thread. */
int keyring_process_init(struct err *e);
/** keyring_put_kept - the same, in the mapping's own ring, bound to @dm_name and @dm_uuid. An older
 * ring of that name is revoked first. To undo it, keyring_drop and keyring_revoke_kept. */
int keyring_put_kept(const char *dm_name, const char *dm_uuid, const char *description,
		     const struct secret *key, struct keyring_hold *ret, struct err *e);
/**
 * keyring_find_kept - link the ring of @dm_name into this thread's keyring, so that a reload finds
 * the key. -ENOKEY: gone, kept by another process, or it belongs to another dm UUID.
 */
int keyring_find_kept(const char *dm_name, const char *dm_uuid, struct keyring_hold *ret,
		      struct err *e);
/** keyring_check_kept - would keyring_find_kept find it? Changes nothing, so it may be asked while
 * another thread reloads the mapping. -ENOKEY. */
int keyring_check_kept(const char *dm_name, const char *dm_uuid, struct err *e);
/** keyring_drop - unlink from the thread keyring; revoke and unlink what isn't kept. */
void keyring_drop(struct keyring_hold *h);
/** keyring_revoke_kept - on close: revoke the mapping's key and ring. No ring: success. */
int keyring_revoke_kept(const char *dm_name, struct err *e);
/** Does mapping @dm_name live, and is it still the one with @dm_uuid? */
typedef bool keyring_lives(void *arg, const char *dm_name, const char *dm_uuid);
/** keyring_reap_kept - revoke what this process keeps for mappings that live no more: somebody else
 * closed them. How many, or negative errno. */
int keyring_reap_kept(keyring_lives *lives, void *arg, struct err *e);
/** keyring_clear_user - revoke the rings "cryptvol:..." in the user keyring, where an earlier
 * version kept them, within reach of every process of this uid. How many, or negative errno. */
int keyring_clear_user(struct err *e);
/** keyring_available - does this kernel have logon keys and thread keyrings? */
bool keyring_available(void);
