// SPDX-License-Identifier: Apache-2.0
// A new keyslot in memory: its area cipher, its key material, its place among the others
// (specification 4.2, checklist 2.5).
#include "write.h"

#define FALLBACK_CIPHER "aes-xts-plain64"
#define FALLBACK_KEY_BYTES 64u

/* Can this host encrypt an area with it? Found out with one sector. */
static bool cipher_runs(const struct luks_io *io, const char *spec, uint32_t key_bytes)
{
	_cleanup_secret_ struct secret *key = NULL, *sector = NULL;
	struct crypto_cipher c;

	if (crypto_cipher_parse(spec, &c, NULL) ||
	    crypto_cipher_check(spec, key_bytes, false, NULL))
		return false;
	if (secret_random(key_bytes, &key, NULL) || secret_random(SECTOR_SIZE_BYTES, &sector, NULL))
		return false;
	return luks_area_crypt(io, &c, key, true, sector, SECTOR_SIZE_BYTES, NULL) == 0;
}

/* Is the data segment's cipher fit for areas? */
static bool suits_areas(const struct luks_io *io, const struct luks_segment *s, uint32_t key_bytes)
{
	struct crypto_cipher c;

	if (!s || s->type != LUKS_SEGMENT_CRYPT || s->integrity || key_bytes == 0)
		return false;
	if (crypto_cipher_parse(s->encryption, &c, NULL) || c.capi || c.null)
		return false;
	if (!strcmp(c.cipher, "paes") || !strcmp(c.cipher, "pkey"))
		return false; /* wrapped keys: a derived key is none */
	return cipher_runs(io, s->encryption, key_bytes);
}

int luks_area_cipher(const struct luks_io *io, const struct luks_header *h,
		     const struct luks_new_keyslot *n, uint32_t data_bytes, char *ret_spec,
		     uint32_t *ret_key_bytes, struct err *e)
{
	const struct luks_segment *s = luks_default_segment(h);
	const char *spec = n->area_encryption;
	uint32_t key_bytes = n->area_key_bytes;

	if (!spec) {
		bool like_data = suits_areas(io, s, data_bytes);

		spec = like_data ? s->encryption : FALLBACK_CIPHER;
		if (key_bytes == 0)
			key_bytes = like_data ? data_bytes : FALLBACK_KEY_BYTES;
	}
	if (key_bytes == 0)
		key_bytes = data_bytes ?: FALLBACK_KEY_BYTES;
	/* Never a null cipher: it would store the key in the clear. */
	if (crypto_cipher_check(spec, key_bytes, false, e))
		return err_wrap(e, -EOPNOTSUPP, "keyslot area");
	if (text_copy(ret_spec, CRYPTO_CIPHER_SPEC_MAX, spec))
		return err_set(e, -EINVAL, "the cipher name is too long");
	*ret_key_bytes = key_bytes;
	return 0;
}

/* The descriptor: all but number and offset. */
static int describe(const struct luks_io *io, const struct luks_header *h,
		    const struct luks_new_keyslot *n, uint32_t key_bytes, struct luks_keyslot *k,
		    struct err *e)
{
	const char *kdf_name;
	size_t hash_bytes;
	struct err why;
	int r;

	if (n->pbkdf.type == 0)
		return err_set(e, -EINVAL, "a new keyslot needs a KDF");
	if (crypto_pbkdf_check_stored(&n->pbkdf, &why))
		return err_set(e, -EINVAL, "new keyslot: %s", err_text(&why));
	kdf_name = crypto_pbkdf_name(n->pbkdf.type);
	r = crypto_hash_size(n->af_hash ?: "sha256", &hash_bytes, e);
	if (r)
		return r;
	k->type = LUKS_KEYSLOT_LUKS2;
	k->key_bytes = key_bytes;
	k->priority = n->priority_set ? n->priority : LUKS_PRIORITY_NORMAL;
	k->priority_set = n->priority_set;
	k->area_size_bytes = luks_area_bytes(key_bytes);
	k->kdf = n->pbkdf;
	k->salt_len = LUKS_SALT_BYTES;
	text_copy(k->type_name, sizeof(k->type_name), "luks2");
	text_copy(k->area_type, sizeof(k->area_type), "raw");
	if (!kdf_name || text_copy(k->kdf_name, sizeof(k->kdf_name), kdf_name) ||
	    text_copy(k->af_hash, sizeof(k->af_hash), n->af_hash ?: "sha256"))
		return err_set(e, -EINVAL, "a name in the new keyslot is too long");
	r = luks_area_cipher(io, h, n, n->unbound ? luks_volume_key_bytes(h) : key_bytes,
			     k->area_encryption, &k->area_key_bytes, e);
	if (!r)
		r = crypto_random(k->salt, k->salt_len, e);
	return r;
}

/* Split and encrypt in place; what the area has behind the material is random. */
static int fill_area(const struct luks_io *io, const struct luks_keyslot *k,
		     const struct secret *area_key, const struct secret *key, struct secret **ret,
		     struct err *e)
{
	_cleanup_secret_ struct secret *area = NULL;
	uint64_t material = luks_material_bytes(k->key_bytes);
	struct crypto_cipher c;
	size_t tail;
	int r;

	r = secret_new((size_t)k->area_size_bytes, &area, e);
	if (!r)
		r = luks_af_split(k->af_hash, key, area, e);
	if (r)
		return r;
	tail = (size_t)k->area_size_bytes - area->len;
	r = crypto_random(area->data + area->len, tail, e);
	if (!r)
		r = crypto_cipher_parse(k->area_encryption, &c, e);
	if (!r)
		r = luks_area_crypt(io, &c, area_key, true, area, (size_t)material, e);
	if (r)
		return r;
	area->len = (size_t)k->area_size_bytes;
	*ret = area;
	area = NULL;
	return 0;
}

int luks_material_make(const struct luks_io *io, const struct luks_header *h,
		       struct crypto_kdf *kdf, const struct luks_new_keyslot *n,
		       const struct secret *key, struct luks_material *ret, struct err *e)
{
	_cleanup_secret_ struct secret *area_key = NULL;
	struct luks_material m = { 0 };
	int r;

	if (key->len == 0 || key->len > CRYPTO_KEY_MAX_BYTES)
		return err_set(e, -EINVAL, "a volume key has 1 to %u bytes, not %zu",
			       CRYPTO_KEY_MAX_BYTES, key->len);
	r = describe(io, h, n, (uint32_t)key->len, &m.slot, e);
	if (!r)
		r = secret_new(m.slot.area_key_bytes, &area_key, e);
	if (!r)
		r = crypto_kdf_derive(kdf, &m.slot.kdf, n->passphrase, m.slot.salt, m.slot.salt_len,
				      area_key, e);
	if (!r)
		r = fill_area(io, &m.slot, area_key, key, &m.area, e);
	if (!r)
		*ret = m;
	return r;
}

void luks_material_free(struct luks_material *m)
{
	secret_free(m->area);
	m->area = NULL;
}

int luks_slot_free_number(const struct luks_header *h, int wanted, unsigned int *ret, struct err *e)
{
	if (wanted != LUKS_ANY && (wanted < 0 || wanted >= (int)LUKS_KEYSLOTS_MAX))
		return err_set(e, -EINVAL,
			       "Key slot %d is invalid, please select between 0 and %u.", wanted,
			       LUKS_KEYSLOTS_MAX - 1);
	if (wanted != LUKS_ANY && luks_find_keyslot(h, wanted))
		return err_set(e, -EEXIST, "Key slot %d is full, please select another one.",
			       wanted);
	if (wanted != LUKS_ANY) {
		*ret = (unsigned int)wanted;
		return 0;
	}
	for (unsigned int id = 0; id < LUKS_KEYSLOTS_MAX; id++)
		if (!luks_find_keyslot(h, (int)id)) {
			*ret = id;
			return 0;
		}
	return err_set(e, -ENOSPC, "All key slots full.");
}

int luks_slot_add(struct luks_header *h, const struct luks_material *m, unsigned int id,
		  uint64_t offset, unsigned int digest_id, struct err *e)
{
	struct luks_keyslot *k = &h->keyslots[h->n_keyslots];

	if (h->n_keyslots == LUKS_KEYSLOTS_MAX)
		return err_set(e, -ENOSPC, "All key slots full.");
	*k = m->slot;
	k->id = id;
	k->area_offset_bytes = offset;
	h->n_keyslots++;
	for (size_t i = 0; i < h->n_digests; i++)
		if (h->digests[i].id == digest_id)
			h->digests[i].keyslots |= 1u << id;
	return 0;
}

void luks_slot_remove(struct luks_header *h, unsigned int id)
{
	size_t n = 0;

	for (size_t i = 0; i < h->n_keyslots; i++)
		if (h->keyslots[i].id != id)
			h->keyslots[n++] = h->keyslots[i];
	h->n_keyslots = n;
	for (size_t i = 0; i < h->n_tokens; i++)
		h->tokens[i].keyslots &= ~(1u << id);
	n = 0;
	for (size_t i = 0; i < h->n_digests; i++) {
		struct luks_digest *d = &h->digests[i];

		d->keyslots &= ~(1u << id);
		if (d->keyslots || d->segments)
			h->digests[n++] = *d;
	}
	h->n_digests = n;
}
