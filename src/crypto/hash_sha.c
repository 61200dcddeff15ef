// SPDX-License-Identifier: Apache-2.0
// SHA-1, SHA-256 and SHA-512 by libcrypto's direct calls, which need no provider.
#define OPENSSL_SUPPRESS_DEPRECATED
#include "internal.h"

#include <openssl/sha.h>
#include <strings.h>

_Static_assert(sizeof(SHA512_CTX) <= sizeof(union crypto_sha_state), "room for SHA-512");
_Static_assert(sizeof(SHA256_CTX) <= sizeof(union crypto_sha_state), "room for SHA-256");
_Static_assert(sizeof(SHA256_CTX) <= sizeof(struct crypto_sha256), "room for SHA-256");
_Static_assert(sizeof(SHA_CTX) <= sizeof(union crypto_sha_state), "room for SHA-1");

static void sha1_init(union crypto_sha_state *s)
{
	SHA1_Init((SHA_CTX *)s);
}

static void sha1_update(union crypto_sha_state *s, const void *data, size_t len)
{
	SHA1_Update((SHA_CTX *)s, data, len);
}

static void sha1_final(union crypto_sha_state *s, unsigned char *out)
{
	SHA1_Final(out, (SHA_CTX *)s);
}

static void sha1_compress(const union crypto_sha_state *from, const unsigned char *block,
			  unsigned char *out)
{
	const SHA_CTX *f = (const SHA_CTX *)from;
	SHA_CTX c = { .h0 = f->h0, .h1 = f->h1, .h2 = f->h2, .h3 = f->h3, .h4 = f->h4 };
	be32 o[5];

	SHA1_Transform(&c, block);
	o[0] = be32_make(c.h0);
	o[1] = be32_make(c.h1);
	o[2] = be32_make(c.h2);
	o[3] = be32_make(c.h3);
	o[4] = be32_make(c.h4);
	memcpy(out, o, sizeof(o));
}

static void sha256_init(union crypto_sha_state *s)
{
	SHA256_Init((SHA256_CTX *)s);
}

static void sha256_update(union crypto_sha_state *s, const void *data, size_t len)
{
	SHA256_Update((SHA256_CTX *)s, data, len);
}

static void sha256_final(union crypto_sha_state *s, unsigned char *out)
{
	SHA256_Final(out, (SHA256_CTX *)s);
}

static void sha256_compress(const union crypto_sha_state *from, const unsigned char *block,
			    unsigned char *out)
{
	SHA256_CTX c;
	be32 o[8];

	memcpy(c.h, ((const SHA256_CTX *)from)->h, sizeof(c.h));
	SHA256_Transform(&c, block);
	for (unsigned int i = 0; i < 8; i++)
		o[i] = be32_make(c.h[i]);
	memcpy(out, o, sizeof(o));
}

static size_t sha256_rounds(const union crypto_sha_state *inner,
			    const union crypto_sha_state *outer, struct crypto_pbkdf2_chain *chains,
			    size_t n, uint32_t rounds)
{
	uint32_t u[2][8], sum[2][8];
	be32 b[2][8];

	if (n < 2 || !crypto_sha256_x86_has())
		return 0;
	for (unsigned int l = 0; l < 2; l++) {
		memcpy(b[0], chains[l].block, sizeof(b[0]));
		memcpy(b[1], chains[l].sum, sizeof(b[1]));
		for (unsigned int i = 0; i < 8; i++) {
			u[l][i] = be32_get(b[0][i]);
			sum[l][i] = be32_get(b[1][i]);
		}
	}
	crypto_sha256_x86_rounds(((const SHA256_CTX *)inner)->h, ((const SHA256_CTX *)outer)->h, u,
				 sum, rounds);
	for (unsigned int l = 0; l < 2; l++) {
		for (unsigned int i = 0; i < 8; i++) {
			b[0][i] = be32_make(u[l][i]);
			b[1][i] = be32_make(sum[l][i]);
		}
		memcpy(chains[l].block, b[0], sizeof(b[0]));
		memcpy(chains[l].sum, b[1], sizeof(b[1]));
	}
	return 2;
}

static bool sha256_chain(const unsigned char *stripes, size_t n, unsigned char *acc, size_t len)
{
	if (len != 64 || !crypto_sha256_x86_has())
		return false;
	crypto_sha256_x86_chain(stripes, n, acc);
	return true;
}

static void sha512_init(union crypto_sha_state *s)
{
	SHA512_Init((SHA512_CTX *)s);
}

static void sha512_update(union crypto_sha_state *s, const void *data, size_t len)
{
	SHA512_Update((SHA512_CTX *)s, data, len);
}

static void sha512_final(union crypto_sha_state *s, unsigned char *out)
{
	SHA512_Final(out, (SHA512_CTX *)s);
}

static void sha512_compress(const union crypto_sha_state *from, const unsigned char *block,
			    unsigned char *out)
{
	SHA512_CTX c;
	be64 o[8];

	memcpy(c.h, ((const SHA512_CTX *)from)->h, sizeof(c.h));
	SHA512_Transform(&c, block);
	for (unsigned int i = 0; i < 8; i++)
		o[i] = be64_make(c.h[i]);
	memcpy(out, o, sizeof(o));
}

static size_t sha512_rounds(const union crypto_sha_state *inner,
			    const union crypto_sha_state *outer, struct crypto_pbkdf2_chain *chains,
			    size_t n, uint32_t rounds)
{
	uint64_t from[2][8], u[8], sum[8];
	be64 b[2][8];

	if (n < 1 || !crypto_sha512_x86_has())
		return 0;
	memcpy(b[0], chains->block, sizeof(b[0]));
	memcpy(b[1], chains->sum, sizeof(b[1]));
	for (unsigned int i = 0; i < 8; i++) {
		u[i] = be64_get(b[0][i]);
		sum[i] = be64_get(b[1][i]);
		from[0][i] = ((const SHA512_CTX *)inner)->h[i];
		from[1][i] = ((const SHA512_CTX *)outer)->h[i];
	}
	crypto_sha512_x86_rounds(from[0], from[1], u, sum, rounds);
	for (unsigned int i = 0; i < 8; i++) {
		b[0][i] = be64_make(u[i]);
		b[1][i] = be64_make(sum[i]);
	}
	memcpy(chains->block, b[0], sizeof(b[0]));
	memcpy(chains->sum, b[1], sizeof(b[1]));
	return 1;
}

static const struct crypto_sha sha_table[] = {
	{ "sha256", SHA256_DIGEST_LENGTH, SHA256_CBLOCK, sha256_init, sha256_update, sha256_final,
	  sha256_compress, sha256_rounds, sha256_chain },
	{ "sha512", SHA512_DIGEST_LENGTH, SHA512_CBLOCK, sha512_init, sha512_update, sha512_final,
	  sha512_compress, sha512_rounds, NULL },
	{ "sha1", SHA_DIGEST_LENGTH, SHA_CBLOCK, sha1_init, sha1_update, sha1_final, sha1_compress,
	  NULL, NULL },
};

const struct crypto_sha *crypto_sha_find(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(sha_table); i++)
		if (!strcasecmp(name, sha_table[i].name))
			return &sha_table[i];
	return NULL;
}

void crypto_sha256_begin(struct crypto_sha256 *s)
{
	SHA256_Init((SHA256_CTX *)s);
}

void crypto_sha256_add(struct crypto_sha256 *s, const void *data, size_t len)
{
	SHA256_Update((SHA256_CTX *)s, data, len);
}

void crypto_sha256_end(struct crypto_sha256 *s, uint8_t ret[32])
{
	SHA256_Final(ret, (SHA256_CTX *)s);
}
