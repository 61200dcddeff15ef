// SPDX-License-Identifier: Apache-2.0
// From a passphrase to the volume key by one keyslot (specification 4.3, checklist 2.5).
#include "write.h"

const struct luks_digest *luks_slot_digest(const struct luks_header *h, unsigned int id)
{
	for (size_t i = 0; i < h->n_digests; i++)
		if (id < LUKS_KEYSLOTS_MAX && h->digests[i].keyslots >> id & 1)
			return &h->digests[i];
	return NULL;
}

static bool is_null_cipher(const char *spec)
{
	struct crypto_cipher c;

	return crypto_cipher_parse(spec, &c, NULL) == 0 && c.null;
}

/* All that must hold before anything is derived or allocated. */
static int check_slot(const struct luks_keyslot *k, const struct luks_unlock *u, struct err *e)
{
	size_t hash_bytes;
	int r;

	if (k->kdf.type == 0)
		return err_set(e, -EOPNOTSUPP, "kdf \"%s\" isn't known", k->kdf_name);
	if (k->salt_len != LUKS_SALT_BYTES)
		return err_set(e, -EBADMSG, "kdf.salt isn't %u bytes", LUKS_SALT_BYTES);
	r = crypto_pbkdf_check_stored(&k->kdf, e);
	if (r)
		return r;
	if (k->key_bytes == 0 || k->key_bytes > CRYPTO_KEY_MAX_BYTES || k->area_key_bytes == 0 ||
	    k->area_key_bytes > CRYPTO_KEY_MAX_BYTES)
		return err_set(e, -EBADMSG, "key sizes %u and %u are not in 1 to %u", k->key_bytes,
			       k->area_key_bytes, CRYPTO_KEY_MAX_BYTES);
	if (strcmp(k->area_type, "raw") != 0 ||
	    k->area_size_bytes < luks_material_bytes(k->key_bytes))
		return err_set(e, -EBADMSG,
			       "area.size %llu is too small for the %llu bytes of its key material",
			       (unsigned long long)k->area_size_bytes,
			       (unsigned long long)luks_material_bytes(k->key_bytes));
	r = crypto_hash_size(k->af_hash, &hash_bytes, e);
	if (r)
		return err_wrap(e, r, "af.hash");
	r = crypto_cipher_check(k->area_encryption, k->area_key_bytes, u->allow_null, e);
	if (r)
		return err_wrap(e, r, "area.encryption");
	/* Nothing but the empty passphrase: else any passphrase would seem to be right. */
	if (is_null_cipher(k->area_encryption) && u->passphrase->len != 0)
		return err_set(e, -EPERM, "a null cipher opens with the empty passphrase only");
	return 0;
}

/* The area's content in the clear. */
static int decrypt_area(const struct luks_io *io, struct crypto_kdf *kdf,
			const struct luks_keyslot *k, const struct luks_unlock *u,
			const struct crypto_wish *wish, struct secret **ret, struct err *e)
{
	_cleanup_secret_ struct secret *area_key = NULL, *area = NULL;
	struct crypto_cipher c;
	int r;

	r = crypto_cipher_parse(k->area_encryption, &c, e);
	if (!r)
		r = secret_new(k->area_key_bytes, &area_key, e);
	if (!r)
		r = crypto_kdf_derive_wish(kdf, &k->kdf, u->passphrase, k->salt, k->salt_len, wish,
					   area_key, e);
	if (!r)
		r = luks_area_read(io, k->area_offset_bytes, luks_material_bytes(k->key_bytes),
				   &area, e);
	if (!r)
		r = luks_area_crypt(io, &c, area_key, false, area, area->len, e);
	if (r)
		return r;
	*ret = area;
	area = NULL;
	return 0;
}

static int open_slot(const struct luks_io *io, struct crypto_kdf *kdf, const struct luks_keyslot *k,
		     const struct luks_digest *d, const struct luks_unlock *u,
		     const struct crypto_wish *wish, struct secret **ret_key, struct err *e)
{
	_cleanup_secret_ struct secret *area = NULL, *key = NULL;
	int r;

	r = decrypt_area(io, kdf, k, u, wish, &area, e);
	if (!r)
		r = secret_new(k->key_bytes + CRYPTO_HASH_MAX_BYTES, &key, e); /* merged in place */
	if (!r)
		r = luks_af_merge(k->af_hash, area, k->key_bytes, key, e);
	if (!r)
		r = luks_digest_verify(d, key, e);
	if (r)
		return err_wrap(e, r, "keyslot %u", k->id);
	*ret_key = key;
	key = NULL;
	return 0;
}

const struct luks_digest *luks_wanted_digest(const struct luks_header *h,
					     const struct luks_keyslot *k,
					     const struct luks_unlock *u, int segment)
{
	const struct luks_digest *d = luks_slot_digest(h, k->id);

	if (k->type != LUKS_KEYSLOT_LUKS2 || !d)
		return NULL;
	if (u->any_digest)
		return d;
	return d == luks_segment_digest(h, segment) ? d : NULL;
}

/* The segment whose key is asked for, and whether its cipher may be used with @key_bytes. */
static int check_segment(const struct luks_header *h, const struct luks_keyslot *k,
			 const struct luks_unlock *u, int segment, struct err *e)
{
	const struct luks_segment *s = luks_find_segment(h, segment);
	int r;

	if (u->any_digest || !s || s->type != LUKS_SEGMENT_CRYPT || s->integrity)
		return 0;
	r = crypto_cipher_check(s->encryption, k->key_bytes, u->allow_null, e);
	return r ? err_wrap(e, r, "segment %d: encryption", segment) : 0;
}

int luks_try_keyslot(const struct luks_io *io, const struct luks_header *h, struct crypto_kdf *kdf,
		     const struct luks_keyslot *k, const struct luks_unlock *u, int segment,
		     const struct crypto_wish *wish, struct secret **ret_key, struct err *e)
{
	const struct luks_digest *d = luks_wanted_digest(h, k, u, segment);
	int r;

	if (!d)
		return err_set(e, -ENOENT, "No usable keyslot is available.");
	/* Not an error that ends a search: another keyslot has the whole key. */
	if (k->key_bytes != luks_digest_key_bytes(h, d))
		return err_set(e, -ENOENT,
			       "keyslot %u: key_size is %u, the volume's key has %u bytes: no "
			       "usable keyslot",
			       k->id, k->key_bytes, luks_digest_key_bytes(h, d));
	r = check_slot(k, u, e);
	if (r)
		return err_wrap(e, r, "keyslot %u", k->id);
	r = check_segment(h, k, u, segment, e);
	if (!r)
		r = open_slot(io, kdf, k, d, u, wish, ret_key, e);
	return r;
}

int luks_unlock_keyslot(const struct luks_io *io, const struct luks_header *h,
			struct crypto_kdf *kdf, const struct luks_unlock *u,
			struct secret **ret_key, int *ret_keyslot, struct err *e)
{
	const struct luks_segment *s = luks_default_segment(h);
	int segment = u->segment != LUKS_ANY ? u->segment : s ? (int)s->id : LUKS_ANY;
	const struct crypto_wish wish = { 0 };
	const struct luks_keyslot *k;
	int r;

	if (h->version != 2)
		return err_set(e, -EOPNOTSUPP, "keyslots of LUKS1 are not supported");
	if (u->keyslot == LUKS_ANY)
		return luks_search_keyslots(io, h, kdf, u, segment, ret_key, ret_keyslot, e);
	k = luks_find_keyslot(h, u->keyslot);
	if (!k)
		return err_set(e, -ENOENT, "No usable keyslot is available.");
	r = luks_try_keyslot(io, h, kdf, k, u, segment, &wish, ret_key, e);
	if (r == -EPERM)
		return err_set(e, -EPERM, "No key available with this passphrase.");
	if (!r)
		*ret_keyslot = (int)k->id;
	return r;
}
