// SPDX-License-Identifier: Apache-2.0
// Digests (checklist 2.6, 2.11): what can't be checked is never a yes.
#include <cryptvol/base.h>
#include <luks/internal.h>
#include <openssl/evp.h>

#include "check.h"

static struct secret *key_of(unsigned char fill, size_t len)
{
	unsigned char bytes[64];
	struct secret *s = NULL;

	memset(bytes, fill, sizeof(bytes));
	if (secret_from_bytes(bytes, len, &s, NULL))
		abort();
	return s;
}

/* A digest by libcrypto, not by our room: of @key, cut to or stretched to @len bytes. */
static struct luks_digest digest_of(const struct secret *key, const char *hash, size_t len)
{
	struct luks_digest d = { .iterations = 1000, .salt_len = 32, .digest_len = len };

	snprintf(d.type_name, sizeof(d.type_name), "pbkdf2");
	snprintf(d.hash, sizeof(d.hash), "%s", hash);
	memset(d.salt, 0x77, sizeof(d.salt));
	PKCS5_PBKDF2_HMAC((const char *)key->data, (int)key->len, d.salt, 32, 1000,
			  EVP_get_digestbyname(hash),
			  (int)(len < sizeof(d.digest) ? len : sizeof(d.digest)), d.digest);
	return d;
}

static void right_and_wrong(void)
{
	static const struct {
		const char *hash;
		size_t len;
	} cases[] = { { "sha1", 20 },	{ "sha256", 20 }, { "sha256", 32 },
		      { "sha512", 64 }, { "sha384", 48 }, { "sha512", 20 } };
	_cleanup_secret_ struct secret *key = key_of(3, 64), *other = key_of(4, 64),
				       *cut = key_of(3, 63);

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct luks_digest d = digest_of(key, cases[i].hash, cases[i].len);

		CHECK_INT(luks_digest_verify(&d, key, NULL), 0);
		CHECK_INT(luks_digest_verify(&d, other, NULL), -EPERM);
		CHECK_INT(luks_digest_verify(&d, cut, NULL), -EPERM);
		d.digest[cases[i].len - 1] ^= 1;
		CHECK_INT(luks_digest_verify(&d, key, NULL), -EPERM);
	}
}

/* A way to break a digest; the right key must not pass, nor must it be "wrong key" alone. */
struct broken {
	const char *name;
	void (*edit)(struct luks_digest *d);
	int code;
};

#define EDIT(name, statement)                   \
	static void name(struct luks_digest *d) \
	{                                       \
		statement;                      \
	}
EDIT(no_bytes, d->digest_len = 0)
EDIT(one_byte, d->digest_len = 1)
EDIT(bytes_19, d->digest_len = 19)
EDIT(bytes_21, d->digest_len = 21)
EDIT(bytes_31, d->digest_len = 31)
EDIT(bytes_33, d->digest_len = 33)
EDIT(bytes_64, d->digest_len = 64)
EDIT(bytes_65, d->digest_len = 65)
EDIT(bytes_huge, d->digest_len = SIZE_MAX)
EDIT(no_salt, d->salt_len = 0)
EDIT(salt_31, d->salt_len = 31)
EDIT(salt_33, d->salt_len = 33)
EDIT(no_iterations, d->iterations = 0)
EDIT(endless, d->iterations = UINT32_MAX)
EDIT(no_hash, d->hash[0] = '\0')
EDIT(odd_hash, strcpy(d->hash, "sha257"))
EDIT(xof, strcpy(d->hash, "shake256"))
EDIT(odd_type, strcpy(d->type_name, "pbkdf3"))
EDIT(no_type, d->type_name[0] = '\0')

static const struct broken table[] = {
	{ "digest of 0 bytes", no_bytes, -EBADMSG },
	{ "digest of 1 byte", one_byte, -EBADMSG },
	{ "digest of 19 bytes", bytes_19, -EBADMSG },
	{ "digest of 21 bytes", bytes_21, -EBADMSG },
	{ "digest of 31 bytes", bytes_31, -EBADMSG },
	{ "digest of 33 bytes", bytes_33, -EBADMSG },
	{ "digest of 64 bytes with sha256", bytes_64, -EBADMSG },
	{ "digest of 65 bytes", bytes_65, -EBADMSG },
	{ "digest of SIZE_MAX bytes", bytes_huge, -EBADMSG },
	{ "no salt", no_salt, -EBADMSG },
	{ "salt of 31 bytes", salt_31, -EBADMSG },
	{ "salt of 33 bytes", salt_33, -EBADMSG },
	{ "no iterations", no_iterations, -EBADMSG },
	{ "endless iterations", endless, -EBADMSG },
	{ "no hash", no_hash, -EOPNOTSUPP },
	{ "unknown hash", odd_hash, -EOPNOTSUPP },
	{ "XOF", xof, -EOPNOTSUPP },
	{ "unknown type", odd_type, -EOPNOTSUPP },
	{ "no type", no_type, -EOPNOTSUPP },
};

static void box_2_11_digest_fails_closed(const struct broken *b)
{
	_cleanup_secret_ struct secret *key = key_of(3, 64), *other = key_of(9, 64);
	struct luks_digest d = digest_of(key, "sha256", 32);
	struct luks_header *h = calloc(1, sizeof(*h));
	struct err e = { 0 };
	int digest = 55;

	REQUIRE(h);
	b->edit(&d);
	CHECK_INT(luks_digest_verify(&d, key, &e), b->code);
	CHECK_INT(luks_digest_verify(&d, other, &e), b->code);
	h->digests[0] = d;
	h->n_digests = 1;
	CHECK_INT(luks_verify_key(h, key, LUKS_ANY, &digest, &e), b->code);
	CHECK_INT(digest, 55);
	free(h);
}

static void empty_key_never_passes(void)
{
	_cleanup_secret_ struct secret *key = key_of(0, 0);
	struct luks_digest d = digest_of(key, "sha256", 32);

	CHECK_INT(luks_digest_verify(&d, key, NULL), -EPERM);
}

static void made_and_verified(void)
{
	static const char *const hashes[] = { "sha1", "sha256", "sha512" };
	_cleanup_secret_ struct secret *key = key_of(3, 32), *other = key_of(4, 32);
	struct luks_digest d, d2;

	for (size_t i = 0; i < ARRAY_SIZE(hashes); i++) {
		REQUIRE(!luks_digest_make(hashes[i], 1000, key, &d, NULL));
		REQUIRE(!luks_digest_make(hashes[i], 1000, key, &d2, NULL));
		CHECK_INT(d.salt_len, 32);
		CHECK(memcmp(d.salt, d2.salt, 32) != 0);
		CHECK_INT(luks_digest_verify(&d, key, NULL), 0);
		CHECK_INT(luks_digest_verify(&d, other, NULL), -EPERM);
	}
	CHECK_INT(luks_digest_make("sha256", 999, key, &d, NULL), -EINVAL);
	CHECK_INT(luks_digest_make("md5", 1000, key, &d, NULL), -EINVAL);
	CHECK_INT(luks_digest_make("nohash", 1000, key, &d, NULL), -EOPNOTSUPP);
}

static void which_digest(void)
{
	_cleanup_secret_ struct secret *key = key_of(3, 32), *unbound = key_of(4, 32),
				       *none = key_of(5, 32);
	struct luks_header *h = calloc(1, sizeof(*h));
	int digest = -1;

	REQUIRE(h);
	h->n_digests = 3;
	h->digests[0] = digest_of(key, "sha256", 32);
	h->digests[0].digest_len = 0; /* can't be checked: skipped, not trusted */
	h->digests[0].id = 5;
	h->digests[1] = digest_of(unbound, "sha256", 32);
	h->digests[1].id = 1;
	h->digests[2] = digest_of(key, "sha256", 32);
	h->digests[2].id = 0;
	h->digests[2].segments = 1;
	CHECK_INT(luks_verify_key(h, key, LUKS_ANY, &digest, NULL), 0);
	CHECK_INT(digest, 0);
	CHECK_INT(luks_verify_key(h, key, 0, &digest, NULL), 0);
	CHECK_INT(luks_verify_key(h, unbound, LUKS_ANY, &digest, NULL), 0);
	CHECK_INT(digest, 1);
	CHECK_INT(luks_verify_key(h, unbound, 0, &digest, NULL), -EPERM);
	CHECK_INT(luks_verify_key(h, none, LUKS_ANY, &digest, NULL), -EBADMSG);
	CHECK_INT(luks_verify_key(h, key, 1, &digest, NULL), -EPERM);
	CHECK_INT(luks_verify_key(h, key, 99, &digest, NULL), -EPERM);
	free(h);
}

int main(void)
{
	char name[96];

	RUN(right_and_wrong);
	for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
		snprintf(name, sizeof(name), "checklist 2.11 fails closed: %s", table[i].name);
		RUN_CASE(name, box_2_11_digest_fails_closed(&table[i]));
	}
	RUN(empty_key_never_passes);
	RUN(made_and_verified);
	RUN(which_digest);
	return check_exit();
}
