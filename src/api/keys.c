// SPDX-License-Identifier: Apache-2.0
// Formatting and keyslots of the public interface.
#include "internal.h"

#include <errno.h>
#include <string.h>

struct volume_key api_passphrase(const struct cryptvol_secret *passphrase, int keyslot)
{
	return (struct volume_key){ .passphrase = passphrase->s, .keyslot = keyslot };
}

static int fill_costs(struct cryptvol *cv, const struct cryptvol_options *o,
		      struct crypto_pbkdf *ret)
{
	struct crypto_pbkdf_request req = {
		.hash = o->hash,
		.force_iterations = (uint32_t)o->iterations,
		.iter_time_ms = (uint32_t)o->iter_time_ms,
		.memory_kib = (uint32_t)o->memory_kib,
		.parallel = (uint32_t)o->parallel,
	};

	if (o->pbkdf && crypto_pbkdf_type(o->pbkdf, &req.type))
		return err_set(&cv->err, -EOPNOTSUPP, "there is no PBKDF %s", o->pbkdf);
	return crypto_pbkdf_fill(cv->env.kdf, &req, ret, &cv->err);
}

int api_new_keyslot(struct cryptvol *cv, const struct cryptvol_options *o,
		    const struct cryptvol_secret *passphrase, struct luks_new_keyslot *ret)
{
	static const struct cryptvol_options none;
	struct luks_new_keyslot n = { .passphrase = passphrase->s, .keyslot = LUKS_ANY };
	int r;

	if (!o)
		o = &none;
	if (o->keyslot_set)
		n.keyslot = (int)o->keyslot;
	n.af_hash = o->hash;
	r = fill_costs(cv, o, &n.pbkdf);
	if (r)
		return r;
	*ret = n;
	return 0;
}

static void fill_format(const struct cryptvol_options *o, struct volume_format *f)
{
	f->sector_size_auto = !o->sector_bytes;
	f->luks.cipher = o->cipher;
	f->luks.key_bytes = (uint32_t)o->key_bits / 8;
	f->luks.hash = o->hash;
	f->luks.sector_size_bytes = (uint32_t)o->sector_bytes;
	f->luks.label = o->label;
	f->luks.subsystem = o->subsystem;
	f->luks.uuid = o->uuid;
	f->luks.header_bytes = o->header_bytes;
	f->luks.keyslots_bytes = o->keyslots_bytes;
	f->luks.data_offset_bytes = o->offset_sectors * 512;
	f->luks.alignment_bytes = o->align_sectors * 512;
}

int cryptvol_format(struct cryptvol_volume *v, const struct cryptvol_secret *passphrase,
		    const struct cryptvol_options *o)
{
	struct volume_format f = { .where = api_where(v), .sector_size_auto = true };
	struct err *e = &v->cv->err;
	int r;

	r = api_begin(v->cv);
	if (!r)
		r = api_check_options(o, API_KEYSLOT | API_FORMAT, e);
	if (!r && o && o->key_bits % 8)
		r = err_set(e, -EINVAL, "option key-size counts bits, in whole bytes");
	if (r)
		return r;
	if (o)
		fill_format(o, &f);
	r = api_new_keyslot(v->cv, o, passphrase, &f.luks.first);
	return r ?: volume_format(&v->cv->env, &f, e);
}

int cryptvol_test_passphrase(struct cryptvol_volume *v, const struct cryptvol_secret *passphrase,
			     int keyslot, int *ret_keyslot)
{
	struct volume_open open = { .where = api_where(v),
				    .key = api_passphrase(passphrase, keyslot),
				    .test_only = true };
	int r = api_begin(v->cv);

	return r ?: volume_open(&v->cv->env, &open, ret_keyslot, &v->cv->err);
}

int cryptvol_unlock(struct cryptvol_volume *v, const struct cryptvol_secret *passphrase,
		    int keyslot, struct cryptvol_secret **ret_volume_key)
{
	struct volume_where w = api_where(v);
	struct volume_key k = api_passphrase(passphrase, keyslot);
	struct secret *key;
	int r, opened;

	r = api_begin(v->cv);
	if (!r)
		r = volume_unlock_key(&v->cv->env, &w, &k, false, &key, &opened, &v->cv->err);
	return r ?: api_give_secret(v->cv, key, ret_volume_key);
}

static int add(struct cryptvol_volume *v, const struct volume_key *k,
	       const struct cryptvol_secret *added, const struct cryptvol_options *o,
	       int *ret_keyslot)
{
	struct volume_where w = api_where(v);
	struct luks_new_keyslot n;
	int r;

	r = api_begin(v->cv);
	if (!r)
		r = api_check_options(o, API_KEYSLOT, &v->cv->err);
	if (!r)
		r = api_new_keyslot(v->cv, o, added, &n);
	return r ?: volume_add_key(&v->cv->env, &w, k, &n, ret_keyslot, &v->cv->err);
}

int cryptvol_add_passphrase(struct cryptvol_volume *v, const struct cryptvol_secret *existing,
			    const struct cryptvol_secret *added, const struct cryptvol_options *o,
			    int *ret_keyslot)
{
	struct volume_key k = api_passphrase(existing, LUKS_ANY);

	return add(v, &k, added, o, ret_keyslot);
}

int cryptvol_add_passphrase_by_key(struct cryptvol_volume *v,
				   const struct cryptvol_secret *volume_key,
				   const struct cryptvol_secret *added,
				   const struct cryptvol_options *o, int *ret_keyslot)
{
	struct volume_key k = { .volume_key = volume_key->s, .keyslot = LUKS_ANY };

	return add(v, &k, added, o, ret_keyslot);
}

int cryptvol_change_passphrase(struct cryptvol_volume *v, const struct cryptvol_secret *old,
			       int keyslot, const struct cryptvol_secret *changed,
			       const struct cryptvol_options *o, int *ret_keyslot)
{
	struct volume_where w = api_where(v);
	struct volume_key k = api_passphrase(old, keyslot);
	struct luks_new_keyslot n;
	int r;

	r = api_begin(v->cv);
	if (!r)
		r = api_check_options(o, API_KEYSLOT, &v->cv->err);
	if (!r)
		r = api_new_keyslot(v->cv, o, changed, &n);
	return r ?: volume_change_key(&v->cv->env, &w, &k, &n, false, ret_keyslot, &v->cv->err);
}

int cryptvol_remove_passphrase(struct cryptvol_volume *v, const struct cryptvol_secret *passphrase,
			       bool last_too)
{
	struct volume_where w = api_where(v);
	struct volume_key k = api_passphrase(passphrase, LUKS_ANY);
	int r, keyslot;

	r = api_begin(v->cv);
	return r ?: volume_remove_key(&v->cv->env, &w, &k, last_too, &keyslot, &v->cv->err);
}

int cryptvol_kill_keyslot(struct cryptvol_volume *v, int keyslot,
			  const struct cryptvol_secret *other, bool last_too)
{
	struct volume_where w = api_where(v);
	struct volume_key k = { .passphrase = other ? other->s : NULL, .keyslot = LUKS_ANY };
	int r = api_begin(v->cv);

	return r
		       ?: volume_kill_slot(&v->cv->env, &w, other ? &k : NULL, keyslot, last_too,
					   &v->cv->err);
}

int cryptvol_erase(struct cryptvol_volume *v)
{
	struct volume_where w = api_where(v);
	int r = api_begin(v->cv);

	return r ?: volume_erase(&v->cv->env, &w, &v->cv->err);
}
