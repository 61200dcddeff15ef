// SPDX-License-Identifier: Apache-2.0
// Hashes: vectors under every name, pieces, what is refused; random bytes and comparison.
#include <cryptvol/crypto.h>

#include "crypto/internal.h"
#include "crypto_vectors.h"

static void each_hash(char **f)
{
	unsigned char message[VECTOR_BYTES_MAX], want[VECTOR_BYTES_MAX], got[CRYPTO_HASH_MAX_BYTES];
	size_t len = vector_bytes(f[1], message), want_len = vector_bytes(f[2], want), size = 0;
	/* in four pieces, one of them empty */
	struct crypto_iov iov[4] = { { message, 1 },
				     { message + 1, 0 },
				     { message + 1, len / 2 },
				     { message + 1 + len / 2, len - 1 - len / 2 } };
	struct crypto_iov whole = { message, len };
	char name[64];

	snprintf(name, sizeof(name), "hash_%s_%zu", f[0], len);
	CHECK_INT(crypto_hash_size(f[0], &size, NULL), 0);
	CHECK_INT(size, want_len);
	CHECK_INT(crypto_hash(f[0], &whole, 1, got, NULL), 0);
	CHECK_MEM(got, want, want_len);
	memset(got, 0, sizeof(got));
	CHECK_INT(crypto_hash(f[0], iov, 4, got, NULL), 0);
	CHECK_MEM(got, want, want_len);
	check_report(name);
}

static void hash_empty_message(void)
{
	unsigned char got[CRYPTO_HASH_MAX_BYTES], want[VECTOR_BYTES_MAX];

	/* FIPS 180 */
	vector_bytes("e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855", want);
	CHECK_INT(crypto_hash("sha256", NULL, 0, got, NULL), 0);
	CHECK_MEM(got, want, 32);
}

static void hash_refused(void)
{
	static const char *const names[] = {
		"shake128",
		"shake256",
		"null",
		"",
		"sha257",
		"sha256 ",
		"plain",
		"keccak-kmac-128",
		"a-name-that-is-much-longer-than-any-name-of-a-hash-may-be",
	};
	unsigned char out[256];

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		struct err e = { 0 };
		size_t size = 77;

		CHECK_MSG(crypto_hash_size(names[i], &size, &e) == -EOPNOTSUPP, "%s", names[i]);
		CHECK_INT(size, 77);
		CHECK(e.text[0]);
		CHECK_INT(crypto_hash(names[i], NULL, 0, out, NULL), -EOPNOTSUPP);
	}
}

/* By several threads, whose parts don't divide evenly: all of it, and nothing behind it. */
static void random_fills_all(void)
{
	static const size_t sizes[] = { 512 * KIB - 1, 512 * KIB, 512 * KIB + 7, 3 * MIB + 13 };
	static unsigned char buf[4 * MIB], zero[16];

	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		memset(buf, 0, sizeof(buf));
		CHECK_INT(crypto_random(buf, sizes[i], NULL), 0);
		for (size_t at = 0; at + sizeof(zero) <= sizes[i]; at++)
			REQUIRE(memcmp(buf + at, zero, sizeof(zero)));
		CHECK(memcmp(buf + sizes[i] - sizeof(zero), zero, sizeof(zero)));
		for (size_t at = sizes[i]; at < sizeof(buf); at++)
			REQUIRE(!buf[at]);
	}
}

static void random_differs(void)
{
	unsigned char a[5000] = { 0 }, b[5000] = { 0 }, zero[16] = { 0 };

	CHECK_INT(crypto_random(a, sizeof(a), NULL), 0);
	CHECK_INT(crypto_random(b, sizeof(b), NULL), 0);
	CHECK(memcmp(a, b, sizeof(a)));
	CHECK(memcmp(a + sizeof(a) - 16, zero, 16));
	CHECK_INT(crypto_random(NULL, 0, NULL), 0);
	random_fills_all();
}

static void equal_compares(void)
{
	unsigned char a[32] = { 1, 2, 3 }, b[32] = { 1, 2, 3 };

	CHECK(crypto_equal(a, b, 32));
	for (size_t i = 0; i < 32; i++) {
		b[i] ^= 0x80;
		CHECK(!crypto_equal(a, b, 32));
		b[i] ^= 0x80;
	}
	b[31] ^= 1;
	CHECK(crypto_equal(a, b, 31));
	CHECK(crypto_equal(a, b, 0));
}

/* The chain against its definition, a hash at a time. */
static void chain_equals_its_parts(void)
{
	static const char *const names[] = { "sha256", "sha1", "sha512", "ripemd160", "sha3-256" };
	static const size_t lengths[] = { 16, 32, 48, 64, 65, 128 };
	unsigned char stripes[9 * 128], got[128 + CRYPTO_HASH_MAX_BYTES];
	unsigned char want[128], digest[CRYPTO_HASH_MAX_BYTES];

	for (size_t i = 0; i < ARRAY_SIZE(names) * ARRAY_SIZE(lengths); i++) {
		const char *name = names[i % ARRAY_SIZE(names)];
		size_t len = lengths[i / ARRAY_SIZE(names)], size;

		REQUIRE(!crypto_random(stripes, sizeof(stripes), NULL));
		REQUIRE(!crypto_random(got, sizeof(got), NULL));
		memcpy(want, got, sizeof(want));
		REQUIRE(!crypto_hash_size(name, &size, NULL));
		for (size_t s = 0; s < 9; s++) {
			for (size_t b = 0; b < len; b++)
				want[b] ^= stripes[s * len + b];
			for (size_t at = 0, index = 0; at < len; at += size, index++) {
				size_t n = len - at < size ? len - at : size;
				unsigned char be[4] = { 0, 0, 0, (unsigned char)index };
				struct crypto_iov iov[] = { { be, 4 }, { want + at, n } };

				REQUIRE(!crypto_hash(name, iov, 2, digest, NULL));
				memcpy(want + at, digest, n);
			}
		}
		CHECK_INT(crypto_hash_chain(name, stripes, 9, got, len, NULL), 0);
		CHECK_MEM(got, want, len);
	}
	CHECK_INT(crypto_hash_chain("nonsense", stripes, 9, got, 32, NULL), -EOPNOTSUPP);
}

int main(void)
{
	if (vectors_run("hash.txt", 3, each_hash) < 31) {
		CHECK_MSG(false, "vectors are missing");
		check_report("hash_vectors");
	}
	RUN(hash_empty_message);
	RUN(hash_refused);
	RUN(random_differs);
	RUN(equal_compares);
	RUN(chain_equals_its_parts);
	return check_exit();
}
