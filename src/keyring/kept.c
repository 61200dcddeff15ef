// SPDX-License-Identifier: Apache-2.0
// A key that a mapping keeps while it lives, in a keyring of the mapping's own: two clones of a
// volume have keys of one description, and in one keyring the second would overwrite the first.
// Possession decides over permission, and comes through links from the thread keyring; so the user
// keyring is linked below it, and unlinked before the kernel looks for the key. But many a session
// keyring has a link to the user keyring, and the kernel searches that too: a table whose own key
// is gone would be loaded with a clone's. So while nobody uses a kept key, no search finds it.
#include "internal.h"

#include <linux/keyctl.h>
#include <stdio.h>

#define RING_KEYS_MAX 16

/* Bits of the possessor (upper byte) and of the owning user, as in keyctl_setperm(3). */
#define PERM_POS_ALL_BUT_SEARCH 0x35000000u /* view, write, link, setattr */
#define PERM_POS_SEARCH 0x08000000u
#define PERM_USR_VIEW_SETATTR 0x00210000u
#define NAME_BYTES 192

int keyring_key_wake(int32_t key)
{
	return keyring_sys_setperm(key, PERM_POS_ALL_BUT_SEARCH | PERM_POS_SEARCH |
						PERM_USR_VIEW_SETATTR);
}

int keyring_key_rest(int32_t key)
{
	return keyring_sys_setperm(key, PERM_POS_ALL_BUT_SEARCH | PERM_USR_VIEW_SETATTR);
}

static int ring_name(const char *dm_name, char buf[NAME_BYTES], struct err *e)
{
	int n = snprintf(buf, NAME_BYTES, "cryptvol:%s", dm_name);

	if (n < 0 || n >= NAME_BYTES || strlen(dm_name) >= sizeof(((struct keyring_hold *)0)->name))
		return err_set(e, -ENAMETOOLONG, "\"%.64s...\" is too long for a keyring's name",
			       dm_name);
	return 0;
}

static int binding_name(const char *dm_uuid, char buf[NAME_BYTES], struct err *e)
{
	int n = snprintf(buf, NAME_BYTES, "cryptvol:dm-uuid:%s", dm_uuid);

	if (n < 0 || n >= NAME_BYTES)
		return err_set(e, -ENAMETOOLONG, "\"%.64s...\" is too long for a mapping's UUID",
			       dm_uuid);
	return 0;
}

/* The mapping's ring; 0: there is none, or it is revoked. */
static int find_ring(const char *name, int32_t *ret, struct err *e)
{
	int32_t ring = keyring_sys_search(KEY_SPEC_USER_KEYRING, "keyring", name);

	if (ring == -ENOKEY || ring == -EKEYREVOKED || ring == -EKEYEXPIRED)
		ring = 0;
	if (ring < 0)
		return keyring_fail(e, ring, "the user keyring can't be searched");
	*ret = ring;
	return 0;
}

/* With a link to the user keyring in it: what lies there is possessed. */
static int open_with_user_keyring(int32_t *ret_link, struct err *e)
{
	int32_t link;
	int r;

	r = keyring_link_open(&link, e);
	if (r)
		return r;
	r = keyring_sys_link(KEY_SPEC_USER_KEYRING, link);
	if (r < 0) {
		keyring_link_close(link);
		return keyring_fail(e, r, "the user keyring can't be linked");
	}
	*ret_link = link;
	return 0;
}

/*
 * Its keys are dead afterwards, and it is out of the user keyring. That comes last, and the ring
 * isn't revoked before: a search finds no revoked one, so one that a crash left there would stay.
 */
static int end_ring(int32_t ring)
{
	int32_t keys[RING_KEYS_MAX];
	int n = keyring_sys_read(ring, keys, RING_KEYS_MAX), r = 0, unlinked;

	for (int i = 0; i < n; i++) {
		int one = keyring_sys_revoke(keys[i]);

		if (one < 0 && one != -EKEYREVOKED && one != -ENOKEY)
			r = one;
	}
	if (n < 0)
		r = keyring_sys_revoke(ring); /* with whatever is in it */
	unlinked = keyring_sys_unlink(ring, KEY_SPEC_USER_KEYRING);
	return r < 0 ? r : unlinked < 0 && unlinked != -ENOENT ? unlinked : 0;
}

/* Only this ring is to be found through @link: no other mapping's key of the same description. */
static int narrow(int32_t link, int32_t ring, struct err *e)
{
	int r = keyring_sys_link(ring, link);

	if (r >= 0)
		r = keyring_sys_unlink(KEY_SPEC_USER_KEYRING, link);
	return r < 0 ? keyring_fail(e, r, "the mapping's keyring can't be linked") : 0;
}

/* The binding to the dm UUID first: a ring without it is never trusted. */
static int fill_ring(int32_t ring, const char *dm_uuid, const char *description,
		     const struct secret *key, int32_t *ret_key, struct err *e)
{
	char binding[NAME_BYTES];
	int32_t id;
	int r;

	r = binding_name(dm_uuid, binding, e);
	if (r)
		return r;
	id = keyring_sys_add("user", binding, "1", 1, ring);
	if (id >= 0)
		id = keyring_sys_add("logon", description, key->data, key->len, ring);
	r = id < 0 ? id : keyring_key_wake(id);
	if (r < 0)
		return keyring_fail(e, r, "the volume key can't be kept in the kernel's keyring");
	*ret_key = id;
	return 0;
}

static int make_ring(const char *name, int32_t *ret, struct err *e)
{
	int32_t old = 0, ring;
	int r;

	r = find_ring(name, &old, e);
	if (r)
		return r;
	if (old)
		(void)end_ring(old);
	ring = keyring_sys_add("keyring", name, NULL, 0, KEY_SPEC_USER_KEYRING);
	if (ring < 0)
		return keyring_fail(e, ring, "the mapping's keyring can't be made");
	*ret = ring;
	return 0;
}

int keyring_put_kept(const char *dm_name, const char *dm_uuid, const char *description,
		     const struct secret *key, struct keyring_hold *ret, struct err *e)
{
	struct keyring_hold h = { .kept = true, .linked = true };
	char name[NAME_BYTES];
	int r;

	r = ring_name(dm_name, name, e);
	if (r)
		return r;
	r = open_with_user_keyring(&h.link, e);
	if (r)
		return r;
	r = make_ring(name, &h.ring, e);
	if (!r) {
		r = fill_ring(h.ring, dm_uuid, description, key, &h.key, e);
		if (!r)
			r = narrow(h.link, h.ring, e);
		if (r)
			(void)end_ring(h.ring);
	}
	if (r) {
		keyring_link_close(h.link);
		return r;
	}
	(void)text_copy(h.name, sizeof(h.name), dm_name);
	*ret = h;
	return 0;
}

/* Is it this mapping's, and not that of a mapping of the same name before it? */
static int check_binding(int32_t ring, const char *dm_name, const char *dm_uuid, struct err *e)
{
	char binding[NAME_BYTES];
	int32_t id;
	int r;

	r = binding_name(dm_uuid, binding, e);
	if (r)
		return r;
	id = keyring_sys_search(ring, "user", binding);
	if (id == -ENOKEY || id == -EKEYREVOKED || id == -EKEYEXPIRED)
		return err_set(e, -ENOKEY, "the key kept for %s belongs to another volume",
			       dm_name);
	return id < 0 ? keyring_fail(e, id, "the mapping's keyring can't be searched") : 0;
}

/* The ring's logon key; 0: it has none. */
static int find_logon(int32_t ring, int32_t *ret, struct err *e)
{
	int32_t keys[RING_KEYS_MAX];
	int n = keyring_sys_read(ring, keys, RING_KEYS_MAX);
	char type[32];

	if (n < 0)
		return keyring_fail(e, n, "the mapping's keyring can't be read");
	*ret = 0;
	for (int i = 0; i < n; i++)
		if (!keyring_sys_type(keys[i], type, sizeof(type)) && !strcmp(type, "logon"))
			*ret = keys[i];
	return 0;
}

/* A link with the user keyring in it, and what is kept for the mapping; nothing is woken yet. */
static int open_kept(const char *dm_name, const char *dm_uuid, struct keyring_hold *h,
		     struct err *e)
{
	char name[NAME_BYTES];
	int r;

	r = ring_name(dm_name, name, e);
	if (!r)
		r = find_ring(name, &h->ring, e);
	if (r)
		return r;
	if (!h->ring)
		return err_set(e, -ENOKEY, "no key is kept for %s", dm_name);
	r = open_with_user_keyring(&h->link, e);
	if (r)
		return r;
	r = check_binding(h->ring, dm_name, dm_uuid, e) ?: find_logon(h->ring, &h->key, e);
	if (!r && !h->key)
		r = err_set(e, -ENOKEY, "the key kept for %s is gone", dm_name);
	if (r)
		keyring_link_close(h->link);
	return r;
}

int keyring_check_kept(const char *dm_name, const char *dm_uuid, struct err *e)
{
	struct keyring_hold h = { 0 };
	int r = open_kept(dm_name, dm_uuid, &h, e);

	if (!r)
		keyring_link_close(h.link);
	return r;
}

int keyring_find_kept(const char *dm_name, const char *dm_uuid, struct keyring_hold *ret,
		      struct err *e)
{
	struct keyring_hold h = { .kept = true, .linked = true };
	int r;

	r = open_kept(dm_name, dm_uuid, &h, e);
	if (r)
		return r;
	r = keyring_key_wake(h.key);
	if (r < 0) {
		r = keyring_fail(e, r, "the key kept can't be used");
	} else {
		r = narrow(h.link, h.ring, e);
		if (r)
			(void)keyring_key_rest(h.key);
	}
	if (r) {
		keyring_link_close(h.link);
		return r;
	}
	(void)text_copy(h.name, sizeof(h.name), dm_name);
	*ret = h;
	return 0;
}

int keyring_revoke_kept(const char *dm_name, struct err *e)
{
	char name[NAME_BYTES];
	int32_t ring = 0, link = 0;
	int r;

	r = ring_name(dm_name, name, e);
	if (r || keyring_sys_probe() == -ENOSYS)
		return r;
	r = find_ring(name, &ring, e);
	if (r || !ring)
		return r;
	r = open_with_user_keyring(&link, e);
	if (r)
		return r;
	r = end_ring(ring);
	keyring_link_close(link);
	return r < 0 ? keyring_fail(e, r, "the key kept can't be revoked") : 0;
}
