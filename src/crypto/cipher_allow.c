// SPDX-License-Identifier: Apache-2.0
// The list of what may encrypt a keyslot area or a segment. A header isn't authenticated, so
// anything else in it may be there to weaken the volume.
#include "internal.h"

#define KEY_SIZES_MAX 3

/** One line for each combination. iv "essiv:" stands for every hash whose digest is a key of the
 * cipher. */
struct allowed_cipher {
	const char *cipher, *mode, *iv;
	unsigned short key_bytes[KEY_SIZES_MAX];
};

#define XTS_KEYS           \
	{                  \
		32, 48, 64 \
	}
#define CBC_KEYS           \
	{                  \
		16, 24, 32 \
	}
#define BLOCK_CIPHER(name)                                                        \
	{ name, "xts", "plain64", XTS_KEYS }, { name, "xts", "plain", XTS_KEYS }, \
		{ name, "cbc", "essiv:", CBC_KEYS },                              \
	{                                                                         \
		name, "cbc", "plain64", CBC_KEYS                                  \
	}

static const struct allowed_cipher allowed[] = {
	BLOCK_CIPHER("aes"),
	BLOCK_CIPHER("serpent"),
	BLOCK_CIPHER("twofish"),
	BLOCK_CIPHER("camellia"),
	{ "xchacha12,aes", "adiantum", "plain64", { 32 } },
	{ "xchacha20,aes", "adiantum", "plain64", { 32 } },
};
static const char allowed_text[] =
	"{aes,serpent,twofish,camellia}-xts-{plain64,plain} with 256, 384 or 512 bits, "
	"{aes,serpent,twofish,camellia}-cbc-{essiv:HASH,plain64} with 128, 192 or 256 bits, "
	"{xchacha12,xchacha20},aes-adiantum-plain64 with 256 bits";

const char *crypto_iv_essiv_hash(const struct crypto_cipher *c)
{
	static const char essiv[] = "essiv:";
	size_t n = sizeof(essiv) - 1;

	return strncmp(c->iv, essiv, n) ? NULL : c->iv + n;
}

static bool iv_matches(const struct allowed_cipher *a, const struct crypto_cipher *c)
{
	const char *hash = crypto_iv_essiv_hash(c);
	size_t bytes;

	if (strcmp(a->iv, "essiv:") != 0)
		return !strcmp(a->iv, c->iv);
	return hash && !crypto_hash_size(hash, &bytes, NULL) &&
	       (bytes == 16 || bytes == 24 || bytes == 32);
}

static bool is_allowed(const struct crypto_cipher *c, size_t key_bytes)
{
	for (size_t i = 0; i < ARRAY_SIZE(allowed); i++) {
		const struct allowed_cipher *a = &allowed[i];

		if (strcmp(a->cipher, c->cipher) != 0 || strcmp(a->mode, c->mode) != 0 ||
		    !iv_matches(a, c))
			continue;
		for (size_t k = 0; k < KEY_SIZES_MAX; k++)
			if (a->key_bytes[k] && a->key_bytes[k] == key_bytes)
				return true;
	}
	return false;
}

int crypto_cipher_check(const char *spec, size_t key_bytes, bool allow_null, struct err *e)
{
	struct crypto_cipher c;

	if (crypto_cipher_parse(spec, &c, NULL))
		return err_set(e, -EOPNOTSUPP, "cipher \"%.*s\" isn't allowed; allowed are %s",
			       CRYPTO_CIPHER_SPEC_MAX, spec, allowed_text);
	if (c.null) {
		if (allow_null)
			return 0;
		return err_set(e, -EOPNOTSUPP,
			       "cipher \"%s\" encrypts nothing: it has to be asked for by name",
			       spec);
	}
	if (is_allowed(&c, key_bytes))
		return 0;
	return err_set(e, -EOPNOTSUPP,
		       "cipher \"%s\" with a key of %zu bits isn't allowed; allowed are %s", spec,
		       key_bytes * 8, allowed_text);
}
