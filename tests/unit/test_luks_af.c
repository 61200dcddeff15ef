// SPDX-License-Identifier: Apache-2.0
// AF splitter: vectors of tests/vectors/af.txt (made by make-af.py with hashlib), round trips,
// refusals. That cryptsetup's keyslots merge and ours merge there is shown in test_luks_keyslot and
// test_luks_format.
#include <cryptvol/base.h>
#include <luks/internal.h>

#include "check.h"

/* The stripes of the vectors: SHA-256 over big-endian counters. */
static struct secret *vector_stripes(size_t len)
{
	struct secret *s = NULL;
	uint8_t block[32];

	if (secret_new(len, &s, NULL))
		return NULL;
	for (uint32_t i = 0; s->len < len; i++) {
		be32 be = be32_make(i);
		struct crypto_iov iov = { &be, sizeof(be) };
		size_t n = len - s->len < sizeof(block) ? len - s->len : sizeof(block);

		if (crypto_hash("sha256", &iov, 1, block, NULL))
			return NULL;
		memcpy(s->data + s->len, block, n);
		s->len += n;
	}
	return s;
}

static void box_2_5_af_diffuse(const char *hash, size_t key_bytes, const char *hex)
{
	_cleanup_secret_ struct secret *stripes = vector_stripes(key_bytes * LUKS_AF_STRIPES);
	_cleanup_secret_ struct secret *key = NULL;
	char got[2 * CRYPTO_KEY_MAX_BYTES + 1];

	REQUIRE(stripes && !secret_new(key_bytes, &key, NULL));
	REQUIRE(!luks_af_merge(hash, stripes, key_bytes, key, NULL));
	text_hex(key->data, key->len, got);
	CHECK_STR(got, hex);
}

static void vectors(void)
{
	FILE *f = fopen("tests/vectors/af.txt", "r");
	char hash[32], hex[1100], name[128];
	size_t key_bytes, n = 0;

	REQUIRE(f);
	while (fscanf(f, "%31s %zu %1099s", hash, &key_bytes, hex) == 3) {
		snprintf(name, sizeof(name), "checklist 2.5 AF diffuse: %s, %zu bytes", hash,
			 key_bytes);
		RUN_CASE(name, box_2_5_af_diffuse(hash, key_bytes, hex));
		n++;
	}
	fclose(f);
	CHECK_MSG(n >= 35, "%zu vectors", n);
}

static void split_and_merge(void)
{
	static const char *const hashes[] = { "sha1", "sha256", "sha512" };
	static const size_t sizes[] = { 1, 16, 32, 33, 64, 512 };

	for (size_t i = 0; i < ARRAY_SIZE(hashes); i++)
		for (size_t k = 0; k < ARRAY_SIZE(sizes); k++) {
			_cleanup_secret_ struct secret *key = NULL, *mid = NULL, *back = NULL;

			REQUIRE(!secret_random(sizes[k], &key, NULL));
			REQUIRE(!secret_new(sizes[k] * LUKS_AF_STRIPES, &mid, NULL));
			REQUIRE(!secret_new(sizes[k], &back, NULL));
			REQUIRE(!luks_af_split(hashes[i], key, mid, NULL));
			CHECK_INT(mid->len, sizes[k] * LUKS_AF_STRIPES);
			REQUIRE(!luks_af_merge(hashes[i], mid, sizes[k], back, NULL));
			CHECK(secret_equal(key, back));
		}
}

/* One bit of any stripe, and the key is another one. */
static void every_stripe_counts(void)
{
	static const size_t stripes[] = { 0, 1, 1999, 3998, 3999 };
	_cleanup_secret_ struct secret *key = NULL, *mid = NULL, *back = NULL;

	REQUIRE(!secret_random(32, &key, NULL));
	REQUIRE(!secret_new(32 * LUKS_AF_STRIPES, &mid, NULL) && !secret_new(32, &back, NULL));
	REQUIRE(!luks_af_split("sha256", key, mid, NULL));
	for (size_t i = 0; i < ARRAY_SIZE(stripes); i++) {
		mid->data[stripes[i] * 32 + 5] ^= 0x10;
		REQUIRE(!luks_af_merge("sha256", mid, 32, back, NULL));
		CHECK(!secret_equal(key, back));
		mid->data[stripes[i] * 32 + 5] ^= 0x10;
	}
}

static void refusals(void)
{
	_cleanup_secret_ struct secret *empty = NULL, *key = NULL, *mid = NULL;
	struct err e = { 0 };

	REQUIRE(!secret_new(0, &empty, NULL) && !secret_random(32, &key, NULL));
	REQUIRE(!secret_new(32 * LUKS_AF_STRIPES - 1, &mid, NULL));
	CHECK_INT(luks_af_split("sha256", empty, mid, &e), -EINVAL);
	CHECK_INT(luks_af_split("sha256", key, mid, &e), -EINVAL);
	mid->len = mid->cap;
	CHECK_INT(luks_af_merge("sha256", mid, 32, key, &e), -EINVAL);
	CHECK_INT(luks_af_merge("sha256", mid, 0, key, &e), -EINVAL);
	CHECK_INT(luks_af_merge("sha256", mid, 64, key, &e), -EINVAL);
	CHECK_INT(luks_af_merge("nohash", mid, 16, key, &e), -EOPNOTSUPP);
}

int main(void)
{
	RUN(vectors);
	RUN(split_and_merge);
	RUN(every_stripe_counts);
	RUN(refusals);
	return check_exit();
}
