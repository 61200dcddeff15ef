// SPDX-License-Identifier: Apache-2.0
// PBKDF2 with HMAC (RFC 8018, 5.2): for the SHA family a loop of bare compressions from HMAC's two
// precomputed states, twice as fast as libcrypto's call; for other hashes libcrypto's call.
#include "internal.h"

#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/kdf.h>
#include <openssl/params.h>

#define SHA_BLOCK_MAX_BYTES 128

/* All that the loop works on, in one place, so that it can be wiped at once. */
struct pbkdf2_work {
	union crypto_sha_state inner, outer, tmp;
	unsigned char
		block[SHA_BLOCK_MAX_BYTES]; /* a digest, padded as the second block of a message */
	uint64_t sum[CRYPTO_HASH_MAX_BYTES / 8];
};

static void hmac_states(const struct crypto_sha *sha, struct pbkdf2_work *w,
			const struct secret *in)
{
	memset(w->block, 0, sizeof(w->block));
	if (in->len > sha->block_bytes) {
		sha->init(&w->tmp);
		sha->update(&w->tmp, in->data, in->len);
		sha->final(&w->tmp, w->block);
	} else {
		memcpy(w->block, in->data, in->len);
	}
	for (size_t i = 0; i < sha->block_bytes; i++)
		w->block[i] ^= 0x36;
	sha->init(&w->inner);
	sha->update(&w->inner, w->block, sha->block_bytes);
	for (size_t i = 0; i < sha->block_bytes; i++)
		w->block[i] ^= 0x36 ^ 0x5c;
	sha->init(&w->outer);
	sha->update(&w->outer, w->block, sha->block_bytes);
}

/* U_1 = HMAC(P, S || INT(i)), left in w->block with the padding of a message of block + digest
 * bytes. */
static void first_round(const struct crypto_sha *sha, struct pbkdf2_work *w, const void *salt,
			size_t salt_len, uint32_t number)
{
	be32 n = be32_make(number);
	be64 bits = be64_make((sha->block_bytes + sha->digest_bytes) * 8);

	w->tmp = w->inner;
	sha->update(&w->tmp, salt, salt_len);
	sha->update(&w->tmp, &n, sizeof(n));
	sha->final(&w->tmp, w->block);
	w->tmp = w->outer;
	sha->update(&w->tmp, w->block, sha->digest_bytes);
	sha->final(&w->tmp, w->block);
	memset(w->block + sha->digest_bytes, 0, sizeof(w->block) - sha->digest_bytes);
	w->block[sha->digest_bytes] = 0x80;
	memcpy(w->block + sha->block_bytes - sizeof(bits), &bits, sizeof(bits));
}

static void add_round(uint64_t *sum, const unsigned char *digest)
{
	for (size_t i = 0; i < CRYPTO_HASH_MAX_BYTES / 8; i++) {
		uint64_t v;

		memcpy(&v, digest + 8 * i, sizeof(v));
		sum[i] ^= v;
	}
}

void crypto_pbkdf2_sha(const struct crypto_sha *sha, const struct secret *in, const void *salt,
		       size_t salt_len, uint32_t iterations, unsigned char *out, size_t out_len)
{
	struct pbkdf2_work w = { 0 };
	uint32_t number = 1;

	hmac_states(sha, &w, in);
	while (out_len) {
		size_t n = out_len < sha->digest_bytes ? out_len : sha->digest_bytes;

		first_round(sha, &w, salt, salt_len, number++);
		/* what follows the digest in the block is xored as well, and never looked at */
		memset(w.sum, 0, sizeof(w.sum));
		add_round(w.sum, w.block);
		for (uint32_t i = 1; i < iterations; i++) {
			sha->compress(&w.inner, w.block, w.block);
			sha->compress(&w.outer, w.block, w.block);
			add_round(w.sum, w.block);
		}
		memcpy(out, w.sum, n);
		out += n;
		out_len -= n;
	}
	explicit_bzero(&w, sizeof(w));
}

static int pbkdf2_evp(const char *hash, const struct secret *in, const void *salt, size_t salt_len,
		      uint32_t iterations, void *out, size_t out_len, struct err *e)
{
	int rfc_limits_off = 1, r;
	struct crypto_evp_md m = { 0 };
	OSSL_PARAM params[6], *p = params;
	EVP_KDF *kdf;
	EVP_KDF_CTX *ctx;
	bool ok;

	r = crypto_evp_md_open(hash, &m, e);
	if (r)
		return r;
	*p++ = OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, (char *)(uintptr_t)hash, 0);
	*p++ = OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_PASSWORD, in->data, in->len);
	*p++ = OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_SALT, (void *)(uintptr_t)salt,
						 salt_len);
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

int crypto_pbkdf2(const char *hash, const struct secret *in, const void *salt, size_t salt_len,
		  uint32_t iterations, void *out, size_t out_len, struct err *e)
{
	const struct crypto_sha *sha = crypto_sha_find(hash);
	int r = 0;

	if (!iterations)
		return err_set(e, -EINVAL, "PBKDF2 needs at least one iteration");
	if (!out_len)
		return 0;
	if (sha)
		crypto_pbkdf2_sha(sha, in, salt, salt_len, iterations, out, out_len);
	else
		r = pbkdf2_evp(hash, in, salt, salt_len, iterations, out, out_len, e);
	crypto_stack_wipe();
	return r;
}
