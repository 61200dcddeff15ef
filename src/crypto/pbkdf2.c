// SPDX-License-Identifier: Apache-2.0
// PBKDF2 with HMAC (RFC 8018, 5.2): for the SHA family a loop of bare compressions from HMAC's two
// precomputed states, about twice as fast as libcrypto's call; for other hashes libcrypto's call.
#include "internal.h"

#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/kdf.h>
#include <openssl/params.h>

#define CHAINS 2
#define STRIDE \
	4096u /* rounds between two looks at whether the key is still wanted: a millisecond */

/* All that the loop works on, in one place, so that it can be wiped at once. */
struct pbkdf2_work {
	union crypto_sha_state inner, outer, tmp;
	struct crypto_pbkdf2_chain chain[CHAINS];
};

static void hmac_states(const struct crypto_sha *sha, struct pbkdf2_work *w,
			const struct secret *in)
{
	unsigned char *block = w->chain[0].block;

	memset(block, 0, CRYPTO_SHA_BLOCK_MAX_BYTES);
	if (in->len > sha->block_bytes) {
		sha->init(&w->tmp);
		sha->update(&w->tmp, in->data, in->len);
		sha->final(&w->tmp, block);
	} else {
		memcpy(block, in->data, in->len);
	}
	for (size_t i = 0; i < sha->block_bytes; i++)
		block[i] ^= 0x36;
	sha->init(&w->inner);
	sha->update(&w->inner, block, sha->block_bytes);
	for (size_t i = 0; i < sha->block_bytes; i++)
		block[i] ^= 0x36 ^ 0x5c;
	sha->init(&w->outer);
	sha->update(&w->outer, block, sha->block_bytes);
}

static void add_round(struct crypto_pbkdf2_chain *c)
{
	for (size_t i = 0; i < CRYPTO_HASH_MAX_BYTES / 8; i++) {
		uint64_t v;

		memcpy(&v, c->block + 8 * i, sizeof(v));
		c->sum[i] ^= v;
	}
}

/* U_1 = HMAC(P, S || INT(i)), left in the chain's block with the padding of a message of block +
 * digest bytes. What follows the digest is summed as well, and never looked at. */
static void first_round(const struct crypto_sha *sha, struct pbkdf2_work *w,
			struct crypto_pbkdf2_chain *c, const void *salt, size_t salt_len,
			uint32_t number)
{
	be32 n = be32_make(number);
	be64 bits = be64_make((sha->block_bytes + sha->digest_bytes) * 8);

	w->tmp = w->inner;
	sha->update(&w->tmp, salt, salt_len);
	sha->update(&w->tmp, &n, sizeof(n));
	sha->final(&w->tmp, c->block);
	w->tmp = w->outer;
	sha->update(&w->tmp, c->block, sha->digest_bytes);
	sha->final(&w->tmp, c->block);
	memset(c->block + sha->digest_bytes, 0, sizeof(c->block) - sha->digest_bytes);
	c->block[sha->digest_bytes] = 0x80;
	memcpy(c->block + sha->block_bytes - sizeof(bits), &bits, sizeof(bits));
	memset(c->sum, 0, sizeof(c->sum));
	add_round(c);
}

/* Returns how many of the chains got these rounds. */
static size_t run_rounds(const struct crypto_sha *sha, struct pbkdf2_work *w, size_t n,
			 uint32_t rounds)
{
	struct crypto_pbkdf2_chain *c = w->chain;
	size_t done = sha->rounds ? sha->rounds(&w->inner, &w->outer, c, n, rounds) : 0;

	if (done)
		return done;
	for (uint32_t i = 0; i < rounds; i++) {
		sha->compress(&w->inner, c->block, c->block);
		sha->compress(&w->outer, c->block, c->block);
		add_round(c);
	}
	return 1;
}

/* All rounds. 0: stopped. */
static size_t run_chains(const struct crypto_sha *sha, struct pbkdf2_work *w, size_t n,
			 uint32_t rounds, const _Atomic bool *stop)
{
	size_t done = 1;

	do {
		uint32_t now = rounds < STRIDE ? rounds : STRIDE;

		if (stop && *stop)
			return 0;
		done = run_rounds(sha, w, n, now);
		rounds -= now;
	} while (rounds);
	return done;
}

bool crypto_pbkdf2_sha(const struct crypto_sha *sha, const struct crypto_pbkdf2_input *in,
		       unsigned char *out, size_t out_len)
{
	struct pbkdf2_work w = { 0 };
	uint32_t number = 1;

	hmac_states(sha, &w, in->pass);
	while (out_len) {
		size_t n = out_len > sha->digest_bytes ? CHAINS : 1, done;

		for (size_t i = 0; i < n; i++)
			first_round(sha, &w, &w.chain[i], in->salt.data, in->salt.len,
				    number + (uint32_t)i);
		done = run_chains(sha, &w, n, in->iterations - 1, in->stop);
		if (!done)
			break;
		for (size_t i = 0; i < done && out_len; i++) {
			size_t len = out_len < sha->digest_bytes ? out_len : sha->digest_bytes;

			memcpy(out, w.chain[i].sum, len);
			out += len;
			out_len -= len;
		}
		number += (uint32_t)done;
	}
	explicit_bzero(&w, sizeof(w));
	return out_len == 0;
}

static int pbkdf2_evp(const char *hash, const struct crypto_pbkdf2_input *in, void *out,
		      size_t out_len, struct err *e)
{
	int rfc_limits_off = 1, r;
	uint32_t iterations = in->iterations;
	struct crypto_evp_md m = { 0 };
	OSSL_PARAM params[6], *p = params;
	EVP_KDF *kdf;
	EVP_KDF_CTX *ctx;
	bool ok;

	r = crypto_evp_md_open(hash, &m, e);
	if (r)
		return r;
	*p++ = OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, (char *)(uintptr_t)hash, 0);
	*p++ = OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_PASSWORD, in->pass->data,
						 in->pass->len);
	*p++ = OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_SALT,
						 (void *)(uintptr_t)in->salt.data, in->salt.len);
	*p++ = OSSL_PARAM_construct_uint32(OSSL_KDF_PARAM_ITER, &iterations);
	*p++ = OSSL_PARAM_construct_int(OSSL_KDF_PARAM_PKCS5, &rfc_limits_off);
	*p = OSSL_PARAM_construct_end();
	kdf = EVP_KDF_fetch(m.own, "PBKDF2", NULL);
	ctx = kdf ? EVP_KDF_CTX_new(kdf) : NULL;
	ok = ctx && EVP_KDF_derive(ctx, out, out_len, params) == 1;
	EVP_KDF_CTX_free(ctx);
	EVP_KDF_free(kdf);
	crypto_evp_md_close(&m);
	ERR_clear_error();
	return ok ? 0
		  : err_set(e, -ENOMEM, "libcrypto failed to derive a key with PBKDF2-%s", hash);
}

int crypto_pbkdf2_run(const char *hash, const struct crypto_pbkdf2_input *in, void *out,
		      size_t out_len, struct err *e)
{
	const struct crypto_sha *sha = crypto_sha_find(hash);
	int r = 0;

	if (!in->iterations)
		return err_set(e, -EINVAL, "PBKDF2 needs at least one iteration");
	if (!out_len)
		return 0;
	if (!sha)
		r = pbkdf2_evp(hash, in, out, out_len, e);
	else if (!crypto_pbkdf2_sha(sha, in, out, out_len))
		r = err_set(e, -ECANCELED, "the key is no longer wanted");
	crypto_stack_wipe();
	return r;
}

int crypto_pbkdf2(const char *hash, const struct secret *in, const void *salt, size_t salt_len,
		  uint32_t iterations, void *out, size_t out_len, struct err *e)
{
	const struct crypto_pbkdf2_input x = { .pass = in,
					       .salt = { salt, salt_len },
					       .iterations = iterations };

	return crypto_pbkdf2_run(hash, &x, out, out_len, e);
}
