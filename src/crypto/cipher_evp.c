// SPDX-License-Identifier: Apache-2.0
// Sector ciphers of libcrypto: AES and Camellia in XTS and CBC mode, with plain, plain64 and ESSIV.
#include "internal.h"

#include <openssl/err.h>
#include <openssl/evp.h>
#include <stdio.h>

#define BLOCK_BYTES 16

/** libcrypto's names: "AES-256-XTS" (the bits of one of XTS's two keys), "AES-256-CBC". of_blocks:
 * it has no such XTS, and cipher_xts.c makes one of its "CAMELLIA-256-ECB". */
struct evp_cipher_line {
	const char *cipher, *mode;
	unsigned short key_bytes[3];
	unsigned short keys;
	bool of_blocks;
};
static const struct evp_cipher_line evp_ciphers[] = {
	{ "aes", "xts", { 32, 64 }, 2, false },
	{ "aes", "xts", { 48 }, 2, true },
	{ "aes", "cbc", { 16, 24, 32 }, 1, false },
	{ "camellia", "xts", { 32, 48, 64 }, 2, true },
	{ "camellia", "cbc", { 16, 24, 32 }, 1, false },
};

static const struct evp_cipher_line *find_line(const struct crypto_cipher *c, size_t key_bytes)
{
	for (size_t i = 0; i < ARRAY_SIZE(evp_ciphers); i++) {
		const struct evp_cipher_line *l = &evp_ciphers[i];

		if (strcmp(l->cipher, c->cipher) != 0 || strcmp(l->mode, c->mode) != 0)
			continue;
		for (size_t k = 0; k < ARRAY_SIZE(l->key_bytes); k++)
			if (l->key_bytes[k] == key_bytes)
				return l;
	}
	return NULL;
}

bool crypto_evp_has(const struct crypto_cipher *c, size_t key_bytes)
{
	return key_bytes && find_line(c, key_bytes);
}

static EVP_CIPHER_CTX *new_context(const char *cipher, size_t bits, const char *mode,
				   const unsigned char *key, bool encrypt)
{
	EVP_CIPHER_CTX *ctx = NULL;
	EVP_CIPHER *evp;
	char name[64];

	snprintf(name, sizeof(name), "%s-%zu-%s", cipher, bits, mode);
	evp = EVP_CIPHER_fetch(NULL, name, NULL);
	if (evp)
		ctx = EVP_CIPHER_CTX_new();
	if (ctx && (EVP_CipherInit_ex2(ctx, evp, key, NULL, encrypt, NULL) != 1 ||
		    EVP_CIPHER_CTX_set_padding(ctx, 0) != 1)) {
		EVP_CIPHER_CTX_free(ctx);
		ctx = NULL;
	}
	EVP_CIPHER_free(evp);
	return ctx;
}

/** The contexts of a job. helper: encrypts the IV (ESSIV) or the tweak (XTS of blocks), or NULL. */
struct evp_contexts {
	EVP_CIPHER_CTX *data, *helper;
	bool of_blocks;
};

/* ESSIV: the sector's number encrypted with the key's hash. */
static int new_essiv(const struct crypto_cipher_job *j, EVP_CIPHER_CTX **ret, struct err *e)
{
	const char *hash = crypto_iv_essiv_hash(j->cipher);
	struct crypto_iov iov = { j->key->data, j->key->len };
	unsigned char salt[CRYPTO_HASH_MAX_BYTES];
	size_t bytes;
	int r;

	if (!hash)
		return 0;
	r = crypto_hash_size(hash, &bytes, e);
	if (!r)
		r = crypto_hash(hash, &iov, 1, salt, e);
	if (r)
		return r;
	*ret = new_context(j->cipher->cipher, bytes * 8, "ecb", salt, true);
	explicit_bzero(salt, sizeof(salt));
	return *ret ? 0 : err_set(e, -ENOMEM, "libcrypto can't set up ESSIV");
}

static int new_contexts(const struct crypto_cipher_job *j, const struct evp_cipher_line *l,
			struct evp_contexts *ret, struct err *e)
{
	size_t bits = j->key->len / l->keys * 8;
	const char *mode = l->of_blocks ? "ecb" : l->mode;
	int r;

	*ret = (struct evp_contexts){ .of_blocks = l->of_blocks };
	r = new_essiv(j, &ret->helper, e);
	if (r)
		return r;
	ret->data = new_context(l->cipher, bits, mode, j->key->data, j->encrypt);
	if (l->of_blocks)
		ret->helper = new_context(l->cipher, bits, mode, j->key->data + j->key->len / 2,
					  true);
	if (ret->data && (ret->helper || !l->of_blocks))
		return 0;
	return err_set(e, -EINVAL, "libcrypto refuses the key of %s (two equal halves?)",
		       j->cipher->spec);
}

static void free_contexts(struct evp_contexts *c)
{
	EVP_CIPHER_CTX_free(c->data);
	EVP_CIPHER_CTX_free(c->helper);
	ERR_clear_error();
}

static bool run_unit(const struct evp_contexts *c, unsigned char *iv, bool encrypt,
		     unsigned char *buf, size_t len)
{
	int n;

	if (c->of_blocks)
		return crypto_xts_unit(c->data, c->helper, iv, buf, len);
	if (c->helper &&
	    (EVP_CipherUpdate(c->helper, iv, &n, iv, BLOCK_BYTES) != 1 || n != BLOCK_BYTES))
		return false;
	return EVP_CipherInit_ex2(c->data, NULL, NULL, iv, encrypt, NULL) == 1 &&
	       EVP_CipherUpdate(c->data, buf, &n, buf, (int)len) == 1 && (size_t)n == len;
}

int crypto_evp_run(const struct crypto_cipher_job *j, struct err *e)
{
	const struct evp_cipher_line *l = find_line(j->cipher, j->key->len);
	unsigned char iv[CRYPTO_IV_MAX_BYTES];
	struct evp_contexts c = { 0 };
	uint64_t sector = j->first_sector;
	int r;

	if (!l)
		return err_set(e, -EOPNOTSUPP, "libcrypto has no %s", j->cipher->spec);
	r = crypto_openssl_init(j->cipher->spec, e);
	if (r)
		return r;
	r = new_contexts(j, l, &c, e);
	for (size_t at = 0; !r && at < j->len; at += j->unit_bytes, sector++) {
		crypto_iv_sector(j->cipher, sector, iv);
		if (!run_unit(&c, iv, j->encrypt, j->buf + at, j->unit_bytes))
			r = err_set(e, -EINVAL, "libcrypto refuses %s", j->cipher->spec);
	}
	free_contexts(&c);
	return r;
}
