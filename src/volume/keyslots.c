// SPDX-License-Identifier: Apache-2.0
// Keyslots of a header: add, change, remove, kill, erase. The header is read once for each verb.
#include "internal.h"

#define FINISH_TRIES 8

int volume_add_key(const struct volume_env *env, const struct volume_where *w,
		   const struct volume_key *k, const struct luks_new_keyslot *n, int *ret_keyslot,
		   struct err *e)
{
	const struct volume_unlock_how how = { .any_digest = k->keyslot != LUKS_ANY };
	struct volume_unlocked u = { 0 };
	struct volume_metadata m;
	int r;

	r = volume_open_metadata(env, w, VOLUME_WRITE, &m, e);
	if (r)
		return r;
	/* Said before any KDF runs, in words that scripts look for. */
	if (n->keyslot != LUKS_ANY && luks_find_keyslot(m.header, n->keyslot))
		r = err_set(e, -EEXIST, "Key slot %d is full, please select another one.",
			    n->keyslot);
	else if (n->unbound && k->volume_key)
		u.key = k->volume_key; /* a new key: no digest knows it yet */
	else
		r = volume_unlock(env, &m.io, m.header, k, &how, &u, e);
	if (!r)
		r = luks_add_keyslot(&m.io, m.header, env->kdf, n, u.key, ret_keyslot, e);
	volume_unlocked_free(&u);
	volume_close_metadata(&m);
	return r;
}

int volume_change_key(const struct volume_env *env, const struct volume_where *w,
		      const struct volume_key *k, const struct luks_new_keyslot *n, bool force,
		      int *ret_keyslot, struct err *e)
{
	const struct volume_unlock_how how = { .any_digest = k->keyslot != LUKS_ANY };
	struct volume_unlocked u = { 0 };
	struct volume_metadata m;
	int r;

	if (!k->passphrase)
		return err_set(e, -EINVAL, "the keyslot to change is found by its passphrase");
	r = volume_open_metadata(env, w, VOLUME_WRITE, &m, e);
	if (r)
		return r;
	r = volume_unlock(env, &m.io, m.header, k, &how, &u, e);
	if (!r)
		r = luks_change_keyslot(&m.io, m.header, env->kdf, u.keyslot, n, u.key, force,
					ret_keyslot, e);
	volume_unlocked_free(&u);
	volume_close_metadata(&m);
	return r;
}

int volume_remove_key(const struct volume_env *env, const struct volume_where *w,
		      const struct volume_key *k, bool allow_last, int *ret_keyslot, struct err *e)
{
	const struct volume_unlock_how how = { .any_digest = true };
	struct volume_unlocked u = { 0 };
	struct volume_metadata m;
	int r;

	if (!k->passphrase)
		return err_set(e, -EINVAL, "the keyslot to remove is found by its passphrase");
	r = volume_open_metadata(env, w, VOLUME_WRITE, &m, e);
	if (r)
		return r;
	r = volume_unlock(env, &m.io, m.header, k, &how, &u, e);
	if (!r)
		r = luks_kill_keyslot(&m.io, m.header, u.keyslot, allow_last, e);
	if (!r)
		*ret_keyslot = u.keyslot;
	volume_unlocked_free(&u);
	volume_close_metadata(&m);
	return r;
}

/* Does @k open the volume without @dying? Its own keyslot proves nothing about what stays. *ret:
 * the keyslot that proves it; LUKS_ANY: the volume key itself. */
static int opens_without(const struct volume_env *env, const struct volume_metadata *m,
			 const struct volume_key *k, int dying, int *ret, struct err *e)
{
	const struct volume_unlock_how how = { 0 };
	struct volume_unlocked u = { 0 };
	struct volume_key one = *k;
	int r = -EPERM;

	if (k->volume_key || k->keyslot != LUKS_ANY) {
		if (!k->volume_key && k->keyslot == dying)
			return err_set(e, -EINVAL,
				       "the passphrase has to open another keyslot than %d", dying);
		r = volume_unlock(env, &m->io, m->header, k, &how, &u, e);
		*ret = u.keyslot;
		volume_unlocked_free(&u);
		return r;
	}
	err_set(e, r, "no other keyslot opens with this passphrase");
	for (size_t i = 0; i < m->header->n_keyslots && r == -EPERM; i++) {
		one.keyslot = (int)m->header->keyslots[i].id;
		if (one.keyslot == dying || m->header->keyslots[i].type != LUKS_KEYSLOT_LUKS2)
			continue;
		r = volume_unlock(env, &m->io, m->header, &one, &how, &u, e);
		*ret = one.keyslot;
		volume_unlocked_free(&u);
	}
	return r;
}

int volume_kill_slot(const struct volume_env *env, const struct volume_where *w,
		     const struct volume_key *k, int keyslot, bool allow_last, struct err *e)
{
	struct volume_metadata m;
	int proof = LUKS_ANY, r;

	r = volume_open_metadata(env, w, VOLUME_WRITE, &m, e);
	if (r)
		return r;
	if (!luks_find_keyslot(m.header, keyslot)) /* words that scripts look for */
		r = err_set(e, -ENOENT, "Keyslot %d is not active.", keyslot);
	if (!r && k)
		r = opens_without(env, &m, k, keyslot, &proof, e);
	if (!r)
		r = luks_kill_other(&m.io, m.header, keyslot, proof, allow_last, e);
	volume_close_metadata(&m);
	return r;
}

static int finish_kills(const struct volume_env *env, const struct volume_where *w, size_t *ret_n,
			struct err *e)
{
	struct volume_metadata m;
	int r;

	r = volume_open_metadata(env, w, VOLUME_WRITE, &m, e);
	if (r)
		return r;
	r = luks_finish_kills(&m.io, m.header, ret_n, e);
	volume_close_metadata(&m);
	return r;
}

int volume_finish_kills(const struct volume_env *env, const struct volume_where *w, size_t *ret_n,
			struct err *e)
{
	size_t n;
	int r = -ESTALE;

	*ret_n = 0;
	/* Somebody else may finish the same kills, or use a keyslot anew: what is left is looked
	 * for again. */
	for (int i = 0; i < FINISH_TRIES && r == -ESTALE; i++) {
		n = 0;
		r = finish_kills(env, w, &n, e);
		*ret_n += n;
	}
	if (!r)
		err_clear(e);
	return r;
}

int volume_erase(const struct volume_env *env, const struct volume_where *w, struct err *e)
{
	struct volume_metadata m;
	int r;

	r = volume_open_metadata(env, w, VOLUME_WRITE, &m, e);
	if (r)
		return r;
	r = luks_erase_keyslots(&m.io, m.header, e);
	volume_close_metadata(&m);
	return r;
}

int volume_set_config(const struct volume_env *env, const struct volume_where *w,
		      const struct volume_config *c, struct err *e)
{
	struct volume_metadata m;
	int r;

	if (c->uuid && !text_uuid_valid(c->uuid))
		return err_set(e, -EINVAL, "'%s' is not a UUID", c->uuid);
	r = volume_open_metadata(env, w, VOLUME_WRITE, &m, e);
	if (r)
		return r;
	if (c->set_priority) {
		if (!luks_find_keyslot(m.header, c->keyslot))
			r = err_set(e, -ENOENT, "Keyslot %d is not active.", c->keyslot);
		else
			r = luks_set_priority(&m.io, m.header, c->keyslot, c->priority, e);
	}
	if (!r && (c->label || c->subsystem))
		r = luks_set_labels(&m.io, m.header, c->label, c->subsystem, e);
	if (!r && c->uuid)
		r = luks_set_uuid(&m.io, m.header, c->uuid, e);
	volume_close_metadata(&m);
	return r;
}
