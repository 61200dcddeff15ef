// SPDX-License-Identifier: Apache-2.0
// From what the user has, a passphrase or the volume key itself, to a key that a digest verified.
#include "internal.h"

static int by_volume_key(const struct luks_header *h, const struct secret *key, int segment,
			 struct volume_unlocked *ret, struct err *e)
{
	int digest, r;

	r = luks_verify_key(h, key, segment, &digest, e);
	if (r)
		return r;
	*ret = (struct volume_unlocked){ .key = key, .keyslot = LUKS_ANY, .digest = digest };
	return 0;
}

static int by_passphrase(const struct volume_env *env, const struct luks_io *io,
			 const struct luks_header *h, const struct volume_key *k,
			 const struct volume_unlock_how *how, struct volume_unlocked *ret,
			 struct err *e)
{
	const struct luks_unlock u = {
		.passphrase = k->passphrase,
		.keyslot = k->keyslot,
		.segment = LUKS_ANY,
		.any_digest = how->any_digest,
		.allow_null = how->allow_null,
	};
	struct volume_unlocked x = { .digest = LUKS_ANY };
	int r;

	r = luks_unlock_keyslot(io, h, env->kdf, &u, &x.owned, &x.keyslot, e);
	if (r)
		return r;
	x.key = x.owned;
	for (size_t i = 0; i < h->n_digests; i++)
		if (h->digests[i].keyslots & 1u << x.keyslot)
			x.digest = (int)h->digests[i].id;
	*ret = x;
	return 0;
}

int volume_unlock(const struct volume_env *env, const struct luks_io *io,
		  const struct luks_header *h, const struct volume_key *k,
		  const struct volume_unlock_how *how, struct volume_unlocked *ret, struct err *e)
{
	const struct luks_segment *segment = luks_default_segment(h);

	if (!k || (!k->volume_key && !k->passphrase))
		return err_set(e, -EINVAL, "neither a passphrase nor a volume key was given");
	if (!k->volume_key)
		return by_passphrase(env, io, h, k, how, ret, e);
	if (!segment && !how->any_digest)
		return err_set(e, -EBADMSG, "the header has no data segment");
	return by_volume_key(h, k->volume_key, how->any_digest ? LUKS_ANY : (int)segment->id, ret,
			     e);
}

void volume_unlocked_free(struct volume_unlocked *u)
{
	secret_free(u->owned);
	u->owned = NULL;
	u->key = NULL;
}

/* The caller's own key is verified, and handed back in a secret of its own. */
static int give_key(struct volume_unlocked *u, struct secret **ret, struct err *e)
{
	struct secret *s;
	int r;

	if (u->owned) {
		*ret = u->owned;
		u->owned = NULL;
		return 0;
	}
	if (!u->key)
		return err_set(e, -EINVAL, "no key was unlocked");
	r = secret_new(u->key->len, &s, e);
	if (r)
		return r;
	memcpy(s->data, u->key->data, u->key->len);
	s->len = u->key->len;
	*ret = s;
	return 0;
}

int volume_unlock_key(const struct volume_env *env, const struct volume_where *w,
		      const struct volume_key *k, bool any_digest, struct secret **ret_key,
		      int *ret_keyslot, struct err *e)
{
	const struct volume_unlock_how how = { .any_digest = any_digest };
	struct volume_unlocked u = { 0 };
	struct volume_metadata m;
	int r;

	r = volume_open_metadata(env, w, VOLUME_READ, &m, e);
	if (r)
		return r;
	r = luks_check_usable(m.header, e);
	if (!r)
		r = volume_unlock(env, &m.io, m.header, k, &how, &u, e);
	if (!r)
		r = give_key(&u, ret_key, e);
	if (!r)
		*ret_keyslot = u.keyslot;
	volume_unlocked_free(&u);
	volume_close_metadata(&m);
	return r;
}
