// SPDX-License-Identifier: Apache-2.0
// The AF splitter's chain of hashes: thousands of short messages by one hash, which is looked up
// once.
#include "internal.h"

#include <openssl/err.h>
#include <openssl/evp.h>

/* One hash, ready for messages: of the SHA family, or a digest of libcrypto's. */
struct hasher {
	const struct crypto_sha *sha;
	struct crypto_evp_md md;
	EVP_MD_CTX *ctx;
	size_t digest_bytes;
};

static int hasher_open(const char *name, struct hasher *ret, struct err *e)
{
	struct hasher h = { .sha = crypto_sha_find(name) };
	int r;

	if (h.sha) {
		h.digest_bytes = h.sha->digest_bytes;
		*ret = h;
		return 0;
	}
	r = crypto_evp_md_open(name, &h.md, e);
	if (r)
		return r;
	h.digest_bytes = (size_t)EVP_MD_get_size(h.md.md);
	h.ctx = EVP_MD_CTX_new();
	if (!h.ctx) {
		crypto_evp_md_close(&h.md);
		return err_set(e, -ENOMEM, "no memory for %s", name);
	}
	*ret = h;
	return 0;
}

static void hasher_close(struct hasher *h)
{
	if (h->sha)
		return;
	EVP_MD_CTX_free(h->ctx);
	crypto_evp_md_close(&h->md);
	ERR_clear_error();
}

static bool hash_piece(struct hasher *h, uint32_t index, const unsigned char *piece, size_t len,
		       unsigned char *out)
{
	be32 be = be32_make(index);
	union crypto_sha_state s;

	if (!h->sha)
		return EVP_DigestInit_ex2(h->ctx, h->md.md, NULL) == 1 &&
		       EVP_DigestUpdate(h->ctx, &be, sizeof(be)) == 1 &&
		       EVP_DigestUpdate(h->ctx, piece, len) == 1 &&
		       EVP_DigestFinal_ex(h->ctx, out, NULL) == 1;
	h->sha->init(&s);
	h->sha->update(&s, &be, sizeof(be));
	h->sha->update(&s, piece, len);
	h->sha->final(&s, out);
	explicit_bzero(&s, sizeof(s));
	return true;
}

/* With a cut piece the digest doesn't fit in place: it goes behind the @len bytes first. */
static bool diffuse(struct hasher *h, unsigned char *acc, size_t len)
{
	uint32_t index = 0;

	for (size_t at = 0; at < len; at += h->digest_bytes, index++) {
		size_t n = len - at < h->digest_bytes ? len - at : h->digest_bytes;

		if (!hash_piece(h, index, acc + at, n, acc + len))
			return false;
		memcpy(acc + at, acc + len, n);
	}
	return true;
}

int crypto_hash_chain(const char *name, const void *stripes, size_t n, void *acc, size_t len,
		      struct err *e)
{
	const unsigned char *stripe = stripes;
	unsigned char *a = acc;
	struct hasher h;
	bool ok = true;
	int r;

	r = hasher_open(name, &h, e);
	if (r)
		return r;
	if (h.sha && h.sha->chain && h.sha->chain(stripe, n, a, len))
		n = 0;
	for (; ok && n; n--, stripe += len) {
		for (size_t i = 0; i < len; i++)
			a[i] ^= stripe[i];
		ok = diffuse(&h, a, len);
	}
	hasher_close(&h);
	crypto_stack_wipe();
	return ok ? 0 : err_set(e, -ENOMEM, "libcrypto failed to compute %s", name);
}
