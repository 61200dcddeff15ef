// SPDX-License-Identifier: Apache-2.0
// Anti-forensic splitter of LUKS1, 4000 stripes (LUKS1 specification 2.4; checklist 2.5).
#include "internal.h"

static void xor_into(unsigned char *dst, const unsigned char *src, size_t len)
{
	for (size_t i = 0; i < len; i++)
		dst[i] ^= src[i];
}

/* The chain over the first 3999 stripes: @acc ends as what the last stripe hides the key under. */
static int chain(const char *hash, const unsigned char *stripes, unsigned char *acc, size_t len,
		 struct err *e)
{
	return crypto_hash_chain(hash, stripes, LUKS_AF_STRIPES - 1, acc, len, e);
}

/*
 * Zeroed room for the chain over keys of @len bytes: in @out from @at on where that has it, else in
 * pages of its own, *ret_own.
 */
static int chain_room(struct secret *out, size_t at, size_t len, struct secret **ret_own,
		      unsigned char **ret_acc, struct err *e)
{
	size_t need = len + CRYPTO_HASH_MAX_BYTES;
	int r = 0;

	if (out->cap - at >= need) {
		*ret_acc = memset(out->data + at, 0, need);
		return 0;
	}
	r = secret_new(need, ret_own, e);
	if (!r)
		*ret_acc = (*ret_own)->data;
	return r;
}

/* @acc ^= @last, and nothing of the chain stays behind it; moved to @to where it isn't there. */
static void chain_end(unsigned char *acc, const unsigned char *last, unsigned char *to, size_t len)
{
	xor_into(acc, last, len);
	explicit_bzero(acc + len, CRYPTO_HASH_MAX_BYTES);
	if (to != acc)
		memcpy(to, acc, len);
}

int luks_af_split(const char *hash, const struct secret *key, struct secret *out, struct err *e)
{
	_cleanup_secret_ struct secret *own = NULL;
	size_t len = key->len, head = len * (LUKS_AF_STRIPES - 1);
	unsigned char *acc;
	int r;

	if (len == 0 || len > CRYPTO_KEY_MAX_BYTES || out->cap < len * LUKS_AF_STRIPES)
		return err_set(e, -EINVAL, "a key of %zu bytes can't be split", len);
	r = crypto_random(out->data, head, e);
	if (!r)
		r = chain_room(out, head, len, &own, &acc, e);
	if (!r)
		r = chain(hash, out->data, acc, len, e);
	if (r)
		return r;
	chain_end(acc, key->data, out->data + head, len);
	out->len = len * LUKS_AF_STRIPES;
	return 0;
}

int luks_af_merge(const char *hash, const struct secret *in, size_t key_bytes, struct secret *key,
		  struct err *e)
{
	_cleanup_secret_ struct secret *own = NULL;
	unsigned char *acc;
	int r;

	if (key_bytes == 0 || key_bytes > CRYPTO_KEY_MAX_BYTES || key->cap < key_bytes ||
	    in->len < key_bytes * LUKS_AF_STRIPES)
		return err_set(e, -EINVAL, "a key of %zu bytes can't be merged from %zu bytes",
			       key_bytes, in->len);
	r = chain_room(key, 0, key_bytes, &own, &acc, e);
	if (!r)
		r = chain(hash, in->data, acc, key_bytes, e);
	if (r)
		return r;
	chain_end(acc, in->data + key_bytes * (LUKS_AF_STRIPES - 1), key->data, key_bytes);
	key->len = key_bytes;
	return 0;
}
