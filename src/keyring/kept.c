// SPDX-License-Identifier: Apache-2.0
// A key that a mapping keeps while it lives, in a keyring of the mapping's own: two clones of a
// volume have keys of one description, and in one keyring the second would overwrite the first.
// The keyrings lie below the process keyring and grant everything to who possesses them, nothing to
// their owner: the owner is a uid, which every container of the user namespace can have, while only
// the threads of this process possess what lies below its keyring. The kernel searches the thread
// keyring first, so a mapping's keyring is linked there while its table is loaded.
#include "internal.h"

#include <linux/keyctl.h>
#include <stdio.h>
#include <stdlib.h>

#define RING_KEYS_MAX 16
#define NAME_BYTES 192
#define RING_PREFIX "cryptvol:"
#define BINDING_PREFIX "cryptvol:dm-uuid:"

static int ring_name(const char *dm_name, char buf[NAME_BYTES], struct err *e)
{
	int n = snprintf(buf, NAME_BYTES, RING_PREFIX "%s", dm_name);

	if (n < 0 || n >= NAME_BYTES || strlen(dm_name) >= sizeof(((struct keyring_hold *)0)->name))
		return err_set(e, -ENAMETOOLONG, "\"%.64s...\" is too long for a keyring's name",
			       dm_name);
	return 0;
}

static int binding_name(const char *dm_uuid, char buf[NAME_BYTES], struct err *e)
{
	int n = snprintf(buf, NAME_BYTES, BINDING_PREFIX "%s", dm_uuid);

	if (n < 0 || n >= NAME_BYTES)
		return err_set(e, -ENAMETOOLONG, "\"%.64s...\" is too long for a mapping's UUID",
			       dm_uuid);
	return 0;
}

int keyring_process_init(struct err *e)
{
	int32_t ring = keyring_sys_process();
	int r = ring < 0 ? ring : keyring_sys_setperm(ring, KEYRING_PERM_POSSESSOR);

	return r < 0 ? keyring_fail(e, r, "the process keyring can't be made") : 0;
}

/* The mapping's ring; 0: there is none, or it is revoked. */
static int find_ring(const char *name, int32_t *ret, struct err *e)
{
	int32_t ring = keyring_sys_search(KEY_SPEC_PROCESS_KEYRING, "keyring", name);

	if (ring == -ENOKEY || ring == -EKEYREVOKED || ring == -EKEYEXPIRED)
		ring = 0;
	if (ring < 0)
		return keyring_fail(e, ring, "the process keyring can't be searched");
	*ret = ring;
	return 0;
}

/*
 * Its keys are dead afterwards, and it is out of its @parent. That comes last, and the ring isn't
 * revoked before: a search finds no revoked one, so one that is left there would stay.
 */
static int end_ring(int32_t ring, int32_t parent)
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
	unlinked = keyring_sys_unlink(ring, parent);
	return r < 0 ? r : unlinked < 0 && unlinked != -ENOENT ? unlinked : 0;
}

/* ---- put ---- */

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
	id = keyring_add_private("user", binding, "1", 1, ring);
	if (id >= 0)
		id = keyring_add_private("logon", description, key->data, key->len, ring);
	if (id < 0)
		return keyring_fail(e, id, "the volume key can't be kept in the kernel's keyring");
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
		(void)end_ring(old, KEY_SPEC_PROCESS_KEYRING);
	ring = keyring_add_private("keyring", name, NULL, 0, KEY_SPEC_PROCESS_KEYRING);
	if (ring < 0)
		return keyring_fail(e, ring, "the mapping's keyring can't be made");
	*ret = ring;
	return 0;
}

static int link_ring(const struct keyring_hold *h, struct err *e)
{
	int r = keyring_sys_link(h->ring, h->link);

	return r < 0 ? keyring_fail(e, r, "the mapping's keyring can't be linked") : 0;
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
	r = keyring_link_open(&h.link, e);
	if (r)
		return r;
	r = make_ring(name, &h.ring, e);
	if (!r) {
		r = fill_ring(h.ring, dm_uuid, description, key, &h.key, e) ?: link_ring(&h, e);
		if (r)
			(void)end_ring(h.ring, KEY_SPEC_PROCESS_KEYRING);
	}
	if (r) {
		keyring_link_close(h.link);
		return r;
	}
	(void)text_copy(h.name, sizeof(h.name), dm_name);
	*ret = h;
	return 0;
}

/* ---- find ---- */

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

/* The first key in a ring of this type whose description begins so; 0: it has none. */
static int find_key(int32_t ring, const char *type, const char *prefix,
		    struct keyring_description *ret_d, int32_t *ret, struct err *e)
{
	int32_t keys[RING_KEYS_MAX];
	int n = keyring_sys_read(ring, keys, RING_KEYS_MAX);

	if (n < 0)
		return keyring_fail(e, n, "the mapping's keyring can't be read");
	*ret = 0;
	for (int i = 0; i < n && !*ret; i++)
		if (!keyring_sys_describe(keys[i], ret_d) && !strcmp(ret_d->type, type) &&
		    !strncmp(ret_d->text, prefix, strlen(prefix)))
			*ret = keys[i];
	return 0;
}

/* What is kept for the mapping. */
static int find_kept(const char *dm_name, const char *dm_uuid, struct keyring_hold *h,
		     struct err *e)
{
	struct keyring_description d;
	char name[NAME_BYTES];
	int r;

	r = ring_name(dm_name, name, e) ?: find_ring(name, &h->ring, e);
	if (r)
		return r;
	if (!h->ring)
		return err_set(e, -ENOKEY, "no key is kept for %s", dm_name);
	r = check_binding(h->ring, dm_name, dm_uuid, e);
	r = r ?: find_key(h->ring, "logon", "", &d, &h->key, e);
	if (!r && !h->key)
		r = err_set(e, -ENOKEY, "the key kept for %s is gone", dm_name);
	return r;
}

int keyring_check_kept(const char *dm_name, const char *dm_uuid, struct err *e)
{
	struct keyring_hold h = { 0 };

	return find_kept(dm_name, dm_uuid, &h, e);
}

int keyring_find_kept(const char *dm_name, const char *dm_uuid, struct keyring_hold *ret,
		      struct err *e)
{
	struct keyring_hold h = { .kept = true, .linked = true };
	int r;

	r = find_kept(dm_name, dm_uuid, &h, e) ?: keyring_link_open(&h.link, e);
	if (r)
		return r;
	r = link_ring(&h, e);
	if (r) {
		keyring_link_close(h.link);
		return r;
	}
	(void)text_copy(h.name, sizeof(h.name), dm_name);
	*ret = h;
	return 0;
}

/* ---- end ---- */

int keyring_revoke_kept(const char *dm_name, struct err *e)
{
	char name[NAME_BYTES];
	int32_t ring = 0;
	int r;

	r = ring_name(dm_name, name, e);
	if (r || keyring_sys_probe() == -ENOSYS)
		return r;
	r = find_ring(name, &ring, e);
	if (r || !ring)
		return r;
	r = end_ring(ring, KEY_SPEC_PROCESS_KEYRING);
	return r < 0 ? keyring_fail(e, r, "the key kept can't be revoked") : 0;
}

/* All keys of a keyring, however many there are: malloc'ed. */
static int read_whole(int32_t ring, int32_t **ret, struct err *e)
{
	size_t cap = RING_KEYS_MAX;

	for (;; cap *= 2) {
		int32_t *keys = calloc(cap, sizeof(*keys));
		int n;

		if (!keys)
			return err_set(e, -ENOMEM, "no memory for a list of keys");
		n = keyring_sys_read(ring, keys, cap);
		if (n >= 0 && (size_t)n < cap) {
			*ret = keys;
			return n;
		}
		free(keys);
		if (n == -ENOKEY) /* no such keyring here yet */
			return 0;
		if (n < 0)
			return keyring_fail(e, n, "a keyring can't be read");
	}
}

/* One without a binding is being filled by another thread. */
static bool is_dead(int32_t ring, const char *dm_name, keyring_lives *lives, void *arg)
{
	struct keyring_description d;
	int32_t id = 0;

	return !find_key(ring, "user", BINDING_PREFIX, &d, &id, NULL) && id &&
	       !lives(arg, dm_name, d.text + strlen(BINDING_PREFIX));
}

/* Rings of ours below @parent end, unless @lives is given and says of one's mapping that it does.
 * The count of those that ended, or negative errno. */
static int end_rings(int32_t parent, keyring_lives *lives, void *arg, struct err *e)
{
	_cleanup_free_ int32_t *rings = NULL;
	int n = read_whole(parent, &rings, e), ended = 0;

	for (int i = 0; rings && i < n; i++) {
		struct keyring_description d;

		if (keyring_sys_describe(rings[i], &d) || strcmp(d.type, "keyring") != 0 ||
		    strncmp(d.text, RING_PREFIX, strlen(RING_PREFIX)) != 0)
			continue;
		if (!lives || is_dead(rings[i], d.text + strlen(RING_PREFIX), lives, arg))
			ended += !end_ring(rings[i], parent);
	}
	return n < 0 ? n : ended;
}

int keyring_reap_kept(keyring_lives *lives, void *arg, struct err *e)
{
	return end_rings(KEY_SPEC_PROCESS_KEYRING, lives, arg, e);
}

int keyring_clear_user(struct err *e)
{
	int32_t link;
	int r;

	r = keyring_link_open(&link, e);
	if (r)
		return r;
	/* What lies below a keyring is possessed through a link to it alone. */
	r = keyring_sys_link(KEY_SPEC_USER_KEYRING, link);
	if (r < 0)
		r = keyring_fail(e, r, "the user keyring can't be linked");
	else
		r = end_rings(KEY_SPEC_USER_KEYRING, NULL, NULL, e);
	keyring_link_close(link);
	return r;
}
