// SPDX-License-Identifier: Apache-2.0
// The Secret: Longhorn's keys with Longhorn's meanings, checked with messages that name the key and
// never its value.
#include "params.h"

#define PASSPHRASE_MAX_BYTES 65536u
/* A new keyslot's memory where the Secret says nothing: not half of this machine's, since the
 * volume has to open in any node's container, beside others (RFC 9106's choice where memory is
 * short). */
#define ARGON2_DEFAULT_MEMORY_KIB (64u * 1024)

/* Every key that we know; a misspelt CRYPTO_ key must not be passed over silently. */
static const char *const known_keys[] = {
	"CRYPTO_KEY_VALUE",    "CRYPTO_KEY_VALUE_PREVIOUS",
	"CRYPTO_KEY_PROVIDER", "CRYPTO_KEY_CIPHER",
	"CRYPTO_KEY_HASH",     "CRYPTO_KEY_SIZE",
	"CRYPTO_PBKDF",	       "CRYPTO_PBKDF_FORCE_ITERATIONS",
	"CRYPTO_PBKDF_MEMORY",
};

static int check_names(struct csi_map m, struct err *e)
{
	for (size_t i = 0; i < m.n; i++) {
		const char *key = m.entries[i]->key;
		bool known = strncmp(key, "CRYPTO_", 7) !=
			     0; /* Secrets may be shared with other users */

		for (size_t k = 0; !known && k < ARRAY_SIZE(known_keys); k++)
			known = !strcmp(key, known_keys[k]);
		if (!known)
			return err_set(e, -EINVAL, "secret key %.64s: not known", key);
	}
	return 0;
}

/* Empty counts as absent, as Longhorn has it. */
static const char *get(struct csi_map m, const char *key)
{
	const char *v = csi_map_get(m, key);

	return v && *v ? v : NULL;
}

static int parse_number(struct csi_map m, const char *key, uint32_t *ret, struct err *e)
{
	const char *v = get(m, key);

	*ret = 0;
	if (v && text_parse_u32(v, ret))
		return err_set(e, -EINVAL, "secret key %s: no number", key);
	return 0;
}

static int check_value(struct csi_map m, const char *key, bool required, struct err *e)
{
	const char *v = get(m, key);

	if (!v && required)
		return err_set(e, -EINVAL, "secret key %s: missing or empty", key);
	if (v && strlen(v) > PASSPHRASE_MAX_BYTES)
		return err_set(e, -EINVAL, "secret key %s: longer than %u bytes", key,
			       PASSPHRASE_MAX_BYTES);
	return 0;
}

static int check_provider(struct csi_map m, struct err *e)
{
	const char *v = get(m, "CRYPTO_KEY_PROVIDER");

	if (v && strcmp(v, "secret"))
		return err_set(e, -EINVAL,
			       "secret key CRYPTO_KEY_PROVIDER: only \"secret\" is supported");
	return 0;
}

static int parse_cipher(struct csi_map m, struct csi_keys *k, struct err *e)
{
	const char *cipher = get(m, "CRYPTO_KEY_CIPHER");
	const char *hash = get(m, "CRYPTO_KEY_HASH");
	uint32_t bits;
	size_t digest;
	int r;

	if (text_copy(k->cipher, sizeof(k->cipher), cipher ?: "aes-xts-plain64"))
		return err_set(e, -EINVAL, "secret key CRYPTO_KEY_CIPHER: too long");
	r = parse_number(m, "CRYPTO_KEY_SIZE", &bits, e);
	if (r)
		return r;
	if (bits % 8 || bits / 8 > CRYPTO_KEY_MAX_BYTES)
		return err_set(e, -EINVAL, "secret key CRYPTO_KEY_SIZE: no key size in bits");
	/* AES-256 unless the Secret says otherwise: an XTS key is two keys. */
	k->key_bytes = bits ? bits / 8 : strstr(k->cipher, "xts") ? 64 : 32;
	/* The check's own sentence would show the value, and what stands in a Secret is shown to
	 * nobody. */
	if (crypto_cipher_check(k->cipher, k->key_bytes, false, NULL))
		return err_set(
			e, -EINVAL,
			"secret keys CRYPTO_KEY_CIPHER, CRYPTO_KEY_SIZE: not a cipher with a "
			"key size that is allowed (such as aes-xts-plain64 with 256 or 512)");
	if (text_copy(k->hash, sizeof(k->hash), hash ?: "sha256") ||
	    crypto_hash_size(k->hash, &digest, NULL))
		return err_set(e, -EINVAL, "secret key CRYPTO_KEY_HASH: no hash that is known");
	return 0;
}

static int parse_pbkdf(struct csi_map m, struct csi_keys *k, struct err *e)
{
	const char *name = get(m, "CRYPTO_PBKDF");
	struct crypto_pbkdf_request *p = &k->pbkdf;
	int r;

	p->type = CRYPTO_ARGON2ID;
	if (name && crypto_pbkdf_type(name, &p->type))
		return err_set(e, -EINVAL,
			       "secret key CRYPTO_PBKDF: none of argon2id, argon2i, pbkdf2");
	r = parse_number(m, "CRYPTO_PBKDF_FORCE_ITERATIONS", &p->force_iterations, e);
	r = r ?: parse_number(m, "CRYPTO_PBKDF_MEMORY", &p->memory_kib, e);
	if (r)
		return r;
	if (p->type == CRYPTO_PBKDF2)
		p->memory_kib = 0;
	if (p->type == CRYPTO_PBKDF2 && p->force_iterations &&
	    p->force_iterations < CRYPTO_PBKDF2_MIN_ITERATIONS)
		return err_set(e, -EINVAL,
			       "secret key CRYPTO_PBKDF_FORCE_ITERATIONS: pbkdf2 takes %u or more",
			       CRYPTO_PBKDF2_MIN_ITERATIONS);
	if (p->type != CRYPTO_PBKDF2 && p->force_iterations &&
	    p->force_iterations < CRYPTO_ARGON2_MIN_ITERATIONS)
		return err_set(e, -EINVAL,
			       "secret key CRYPTO_PBKDF_FORCE_ITERATIONS: argon2 takes %u or more",
			       CRYPTO_ARGON2_MIN_ITERATIONS);
	if (p->memory_kib && (p->memory_kib < CRYPTO_ARGON2_MIN_MEMORY_KIB ||
			      p->memory_kib > CRYPTO_ARGON2_MAX_MEMORY_KIB))
		return err_set(e, -EINVAL, "secret key CRYPTO_PBKDF_MEMORY: outside %u..%u KiB",
			       CRYPTO_ARGON2_MIN_MEMORY_KIB, CRYPTO_ARGON2_MAX_MEMORY_KIB);
	p->hash = k->hash;
	return 0;
}

static int parse_settings(struct csi_map m, struct csi_keys *k, struct err *e)
{
	int r;

	r = check_names(m, e);
	r = r ?: check_provider(m, e);
	r = r ?: parse_cipher(m, k, e);
	return r ?: parse_pbkdf(m, k, e);
}

/* The value moves: from the request's memory into a secret, byte for byte, a trailing newline
 * included. */
static int take_value(struct csi_map m, const char *key, struct secret **ret, struct err *e)
{
	for (size_t i = 0; i < m.n; i++) {
		char *value = m.entries[i]->value;
		size_t n = strlen(value);

		if (strcmp(m.entries[i]->key, key) || !n)
			continue;
		if (n > PASSPHRASE_MAX_BYTES)
			return err_set(e, -EINVAL, "secret key %s: longer than %u bytes", key,
				       PASSPHRASE_MAX_BYTES);
		return secret_from_bytes(value, n, ret, e);
	}
	return 0;
}

int csi_keys_take(struct csi_map secrets, const struct csi_class *class, bool required,
		  struct csi_keys *ret, struct err *e)
{
	int r;

	memset(ret, 0, sizeof(*ret));
	r = parse_settings(secrets, ret, e);
	if (!r && required && !get(secrets, "CRYPTO_KEY_VALUE"))
		r = err_set(e, -EINVAL,
			    "secret key CRYPTO_KEY_VALUE: missing or empty, and the volume is "
			    "encrypted");
	r = r ?: take_value(secrets, "CRYPTO_KEY_VALUE", &ret->value, e);
	r = r ?: take_value(secrets, "CRYPTO_KEY_VALUE_PREVIOUS", &ret->previous, e);
	if (r) {
		csi_keys_clear(ret);
		return r;
	}
	ret->pbkdf.high_entropy = class && class->high_entropy;
	if (ret->pbkdf.type != CRYPTO_PBKDF2 && !ret->pbkdf.memory_kib && !ret->pbkdf.high_entropy)
		ret->pbkdf.memory_kib = ARGON2_DEFAULT_MEMORY_KIB;
	return 0;
}

static int check(struct csi_map secrets, bool required, struct err *e)
{
	struct csi_keys k = { 0 };
	int r;

	if (!secrets.n)
		return 0;
	r = parse_settings(secrets, &k, e);
	r = r ?: check_value(secrets, "CRYPTO_KEY_VALUE", required, e);
	return r ?: check_value(secrets, "CRYPTO_KEY_VALUE_PREVIOUS", false, e);
}

int csi_keys_check(struct csi_map secrets, struct err *e)
{
	return check(secrets, false, e);
}

int csi_keys_check_for(struct csi_map secrets, const struct csi_class *class, struct err *e)
{
	return check(secrets, class->encrypted, e);
}

void csi_keys_clear(struct csi_keys *k)
{
	secret_free(k->value);
	secret_free(k->previous);
	k->value = k->previous = NULL;
}
