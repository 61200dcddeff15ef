// SPDX-License-Identifier: Apache-2.0
// Digests: does a key belong to this header? What can't be checked is never a yes
// (checklist 2.6, 2.11).
#include "write.h"

#define DIGEST_MIN_BYTES 20u /* LUKS1's length, kept by converted headers */

/* Everything that verifying rests on; -EBADMSG names the field. */
static int check_fields(const struct luks_digest *d, struct err *e)
{
	size_t hash_bytes;
	int r;

	if (strcmp(d->type_name, "pbkdf2") != 0)
		return err_set(e, -EOPNOTSUPP, "digest %u: type \"%s\" can't verify a key", d->id,
			       d->type_name);
	if (d->unread)
		return err_set(e, -EBADMSG, "digest %u: %s: is missing, or can't be read", d->id,
			       d->unread);
	r = crypto_hash_size(d->hash, &hash_bytes, e);
	if (r)
		return err_wrap(e, r, "digest %u: hash", d->id);
	if (d->salt_len != LUKS_SALT_BYTES)
		return err_set(e, -EBADMSG, "digest %u: salt: has %zu bytes instead of %u", d->id,
			       d->salt_len, LUKS_SALT_BYTES);
	if (d->digest_len < DIGEST_MIN_BYTES || d->digest_len > CRYPTO_HASH_MAX_BYTES ||
	    (d->digest_len != DIGEST_MIN_BYTES && d->digest_len != hash_bytes))
		return err_set(e, -EBADMSG,
			       "digest %u: digest: has %zu bytes, neither 20 nor those of %s",
			       d->id, d->digest_len, d->hash);
	if (d->iterations == 0 || d->iterations > CRYPTO_PBKDF2_MAX_ITERATIONS)
		return err_set(e, -EBADMSG, "digest %u: iterations: %u are out of bounds", d->id,
			       d->iterations);
	return 0;
}

int luks_digest_verify(const struct luks_digest *d, const struct secret *key, struct err *e)
{
	unsigned char got[CRYPTO_HASH_MAX_BYTES] = { 0 };
	bool equal = false;
	int r;

	r = check_fields(d, e);
	if (r)
		return r;
	if (key->len == 0 || key->len > CRYPTO_KEY_MAX_BYTES)
		return err_set(e, -EPERM, "digest %u: this is not its key", d->id);
	r = crypto_pbkdf2(d->hash, key, d->salt, d->salt_len, d->iterations, got, d->digest_len, e);
	if (r)
		return err_wrap(e, r, "digest %u", d->id);
	equal = crypto_equal(got, d->digest, d->digest_len);
	secret_wipe(got, sizeof(got));
	if (!equal)
		return err_set(e, -EPERM, "digest %u: this is not its key", d->id);
	return 0;
}

int luks_digest_make(const char *hash, uint32_t iterations, const struct secret *key,
		     struct luks_digest *ret, struct err *e)
{
	struct luks_digest d = { .iterations = iterations, .salt_len = LUKS_SALT_BYTES };
	size_t hash_bytes;
	int r;

	r = crypto_hash_size(hash, &hash_bytes, e);
	if (r)
		return r;
	if (hash_bytes < DIGEST_MIN_BYTES || hash_bytes > CRYPTO_HASH_MAX_BYTES ||
	    text_copy(d.hash, sizeof(d.hash), hash))
		return err_set(e, -EINVAL, "the hash \"%s\" doesn't suit a digest", hash);
	if (iterations < CRYPTO_PBKDF2_MIN_ITERATIONS || iterations > CRYPTO_PBKDF2_MAX_ITERATIONS)
		return err_set(e, -EINVAL, "digest iterations %u are out of bounds (%u to %u)",
			       iterations, CRYPTO_PBKDF2_MIN_ITERATIONS,
			       CRYPTO_PBKDF2_MAX_ITERATIONS);
	text_copy(d.type_name, sizeof(d.type_name), "pbkdf2");
	d.digest_len = hash_bytes;
	r = crypto_random(d.salt, d.salt_len, e);
	if (!r)
		r = crypto_pbkdf2(hash, key, d.salt, d.salt_len, iterations, d.digest, d.digest_len,
				  e);
	if (r)
		return r;
	*ret = d;
	return 0;
}

uint32_t luks_digest_key_bytes(const struct luks_header *h, const struct luks_digest *d)
{
	for (size_t i = 0; i < h->n_keyslots; i++)
		if (d->keyslots >> h->keyslots[i].id & 1)
			return h->keyslots[i].key_bytes;
	return 0;
}

/* HMAC pads a key with zeros: without the length a key that ends in zeros has as many forms. */
static int verify_whole(const struct luks_header *h, const struct luks_digest *d,
			const struct secret *key, struct err *e)
{
	uint32_t bytes = luks_digest_key_bytes(h, d);

	if (bytes && key->len != bytes)
		return err_set(e, -EPERM, "digest %u: its key has %u bytes, this one %zu", d->id,
			       bytes, key->len);
	return luks_digest_verify(d, key, e);
}

static bool digest_is_for(const struct luks_digest *d, int segment)
{
	if (segment == LUKS_ANY)
		return true;
	return segment >= 0 && segment < (int)LUKS_SEGMENTS_MAX && d->segments >> segment & 1;
}

int luks_verify_key(const struct luks_header *h, const struct secret *key, int segment,
		    int *ret_digest, struct err *e)
{
	struct err why = { 0 }; /* of a digest that can't be checked: of more use than "no" */

	for (size_t i = 0; i < h->n_digests; i++) {
		const struct luks_digest *d = &h->digests[i];
		struct err one = { 0 };
		int r;

		if (!digest_is_for(d, segment))
			continue;
		r = verify_whole(h, d, key, &one);
		if (r == 0) {
			*ret_digest = (int)d->id;
			return 0;
		}
		if (r != -EPERM && why.code == 0)
			why = one;
	}
	if (why.code)
		return err_set(e, why.code, "%s", why.text);
	return err_set(e, -EPERM, "Volume key does not match the volume.");
}

int luks_fingerprint(const struct luks_header *h, char ret[65], struct err *e)
{
	const struct luks_segment *s = luks_default_segment(h);
	const struct luks_digest *d = s ? luks_segment_digest(h, (int)s->id) : NULL;
	uint8_t sum[CRYPTO_HASH_MAX_BYTES];
	struct crypto_iov iov[3];
	int r;

	if (!d)
		return err_set(e, -EBADMSG, "the header has no data segment with a digest");
	iov[0] = (struct crypto_iov){ d->hash, strlen(d->hash) + 1 };
	iov[1] = (struct crypto_iov){ d->salt, d->salt_len };
	iov[2] = (struct crypto_iov){ d->digest, d->digest_len };
	r = crypto_hash("sha256", iov, ARRAY_SIZE(iov), sum, e);
	if (!r)
		text_hex(sum, 32, ret);
	return r;
}
