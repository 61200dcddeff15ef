// SPDX-License-Identifier: Apache-2.0
// Hashes by name: the SHA family directly, every other one through libcrypto's providers.
#include "internal.h"

#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/provider.h>
#include <strings.h>

#define STACK_WIPE_BYTES (16u * 1024)

int crypto_openssl_init(const char *what, struct err *e)
{
	if (OPENSSL_init_crypto(OPENSSL_INIT_NO_LOAD_CONFIG, NULL) == 1)
		return 0;
	return err_set(e, -EHOSTDOWN,
		       "\"%s\" needs OpenSSL's libcrypto.so.3, which this host lacks", what);
}

__attribute__((noinline)) void crypto_stack_wipe(void)
{
	unsigned char below[STACK_WIPE_BYTES];

	explicit_bzero(below, sizeof(below));
}

/* Whirlpool is all that header writers use of the legacy provider, which is a file beside
 * libcrypto. */
static void fetch_legacy(const char *name, struct crypto_evp_md *m)
{
	static const char *const providers[] = { "legacy", "default" };

	if (strcasecmp(name, "whirlpool") != 0)
		return;
	m->own = OSSL_LIB_CTX_new();
	if (!m->own)
		return;
	for (size_t i = 0; i < ARRAY_SIZE(providers); i++) {
		m->providers[i] = OSSL_PROVIDER_load(m->own, providers[i]);
		if (!m->providers[i])
			return;
	}
	m->md = EVP_MD_fetch(m->own, name, NULL);
}

int crypto_evp_md_open(const char *name, struct crypto_evp_md *ret, struct err *e)
{
	struct crypto_evp_md m = { 0 };
	int size, r;

	if (!name[0] || strlen(name) >= CRYPTO_NAME_MAX)
		return err_set(e, -EOPNOTSUPP, "\"%.40s\" is no name of a hash", name);
	r = crypto_openssl_init(name, e);
	if (r)
		return r;
	m.md = EVP_MD_fetch(NULL, name, NULL);
	if (!m.md)
		fetch_legacy(name, &m);
	ERR_clear_error();
	if (!m.md) {
		crypto_evp_md_close(&m);
		return err_set(e, -EOPNOTSUPP, "libcrypto has no hash \"%s\"", name);
	}
	size = EVP_MD_get_size(m.md);
	if (size <= 0 || size > CRYPTO_HASH_MAX_BYTES ||
	    (EVP_MD_get_flags(m.md) & EVP_MD_FLAG_XOF)) {
		crypto_evp_md_close(&m);
		return err_set(e, -EOPNOTSUPP, "\"%s\" is no hash of a fixed length", name);
	}
	*ret = m;
	return 0;
}

void crypto_evp_md_close(struct crypto_evp_md *m)
{
	EVP_MD_free(m->md);
	for (size_t i = 0; i < ARRAY_SIZE(m->providers); i++)
		if (m->providers[i])
			OSSL_PROVIDER_unload(m->providers[i]);
	OSSL_LIB_CTX_free(m->own);
}

int crypto_hash_size(const char *name, size_t *ret_bytes, struct err *e)
{
	const struct crypto_sha *sha = crypto_sha_find(name);
	struct crypto_evp_md m = { 0 };
	int r;

	if (sha) {
		*ret_bytes = sha->digest_bytes;
		return 0;
	}
	r = crypto_evp_md_open(name, &m, e);
	if (r)
		return r;
	*ret_bytes = (size_t)EVP_MD_get_size(m.md);
	crypto_evp_md_close(&m);
	return 0;
}

static int hash_evp(const char *name, const struct crypto_iov *iov, size_t n, void *out,
		    struct err *e)
{
	struct crypto_evp_md m = { 0 };
	EVP_MD_CTX *ctx;
	bool ok;
	int r;

	r = crypto_evp_md_open(name, &m, e);
	if (r)
		return r;
	ctx = EVP_MD_CTX_new();
	ok = ctx && EVP_DigestInit_ex2(ctx, m.md, NULL);
	for (size_t i = 0; ok && i < n; i++)
		ok = EVP_DigestUpdate(ctx, iov[i].data, iov[i].len);
	ok = ok && EVP_DigestFinal_ex(ctx, out, NULL);
	EVP_MD_CTX_free(ctx);
	crypto_evp_md_close(&m);
	ERR_clear_error();
	return ok ? 0 : err_set(e, -ENOMEM, "libcrypto failed to compute %s", name);
}

int crypto_hash(const char *name, const struct crypto_iov *iov, size_t n, void *out, struct err *e)
{
	const struct crypto_sha *sha = crypto_sha_find(name);
	union crypto_sha_state s;

	if (!sha)
		return hash_evp(name, iov, n, out, e);
	sha->init(&s);
	for (size_t i = 0; i < n; i++)
		sha->update(&s, iov[i].data, iov[i].len);
	sha->final(&s, out);
	explicit_bzero(&s, sizeof(s));
	return 0;
}
