// SPDX-License-Identifier: Apache-2.0
// PBKDF2 against RFC 6070, RFC 7914 and Python's hashlib; the loop of our own against libcrypto's
// call.
#include <cryptvol/crypto.h>
#include <openssl/evp.h>
#include <pthread.h>
#include <time.h>

#include "crypto/internal.h"
#include "crypto_stop.h"
#include "crypto_vectors.h"

static int number;

static void each_pbkdf2(char **f)
{
	_cleanup_secret_ struct secret *pass = vector_secret(f[1]);
	unsigned char salt[VECTOR_BYTES_MAX], want[VECTOR_BYTES_MAX], got[VECTOR_BYTES_MAX];
	size_t salt_len = vector_bytes(f[2], salt), want_len = vector_bytes(f[4], want);
	struct crypto_kdf *kdf = NULL;
	struct crypto_pbkdf p = { .type = CRYPTO_PBKDF2, .iterations = (uint32_t)atoi(f[3]) };
	struct secret *key = NULL;
	char name[64];

	snprintf(name, sizeof(name), "pbkdf2_%s_%d", f[0], ++number);
	memset(got, 0xa5, sizeof(got));
	CHECK_INT(crypto_pbkdf2(f[0], pass, salt, salt_len, p.iterations, got, want_len, NULL), 0);
	CHECK_MEM(got, want, want_len);
	CHECK_INT(got[want_len], 0xa5);

	text_copy(p.hash, sizeof(p.hash), f[0]);
	CHECK_INT(crypto_kdf_new(&(struct crypto_kdf_config){ 0 }, &kdf, NULL), 0);
	CHECK_INT(secret_new(want_len, &key, NULL), 0);
	CHECK_INT(crypto_kdf_derive(kdf, &p, pass, salt, salt_len, key, NULL), 0);
	CHECK_INT(key->len, want_len);
	CHECK_MEM(key->data, want, want_len);
	secret_free(key);
	crypto_kdf_free(kdf);
	check_report(name);
}

static void pbkdf2_equals_libcrypto(void)
{
	static const char *const hashes[] = { "sha1", "sha256", "sha512" };
	static const size_t lengths[] = { 0, 1, 63, 64, 65, 127, 128, 129, 1000 };
	_cleanup_secret_ struct secret *pass = NULL;

	REQUIRE(!secret_random(1000, &pass, NULL));
	for (size_t h = 0; h < ARRAY_SIZE(hashes); h++) {
		for (size_t i = 0; i < ARRAY_SIZE(lengths); i++) {
			unsigned char a[200], b[200];

			pass->len = lengths[i];
			CHECK_INT(PKCS5_PBKDF2_HMAC((char *)pass->data, (int)pass->len,
						    pass->data + 7, (int)(i * 13), (int)i + 1,
						    EVP_get_digestbyname(hashes[h]),
						    (int)(i * 20 + 1), a),
				  1);
			CHECK_INT(crypto_pbkdf2(hashes[h], pass, pass->data + 7, i * 13,
						(uint32_t)i + 1, b, i * 20 + 1, NULL),
				  0);
			CHECK_MEM(a, b, i * 20 + 1);
		}
	}
}

/* What other processors run: the loop over libcrypto's compression, and the other way round the
 * code of our own where this processor has it. */
static void pbkdf2_ways_agree(void)
{
	static const char *const hashes[] = { "sha1", "sha256", "sha512" };
	_cleanup_secret_ struct secret *pass = NULL;
	uint32_t seed[2];
	int own = 0;

	REQUIRE(!secret_random(300, &pass, NULL));
	for (int i = 0; i < 600; i++) {
		const char *name = hashes[i % 3];
		const struct crypto_sha *best = crypto_sha_find(name);
		struct crypto_sha plain = *best;
		struct crypto_pbkdf2_input in;
		unsigned char a[3][200];
		size_t len, salt_len;
		uint32_t rounds;

		REQUIRE(!crypto_random(seed, sizeof(seed), NULL));
		REQUIRE(!crypto_random(pass->data, pass->cap, NULL));
		pass->len = seed[0] % 300;
		salt_len = seed[0] / 300 % 100;
		rounds = 1 + seed[1] % (i % 30 ? 50 : 20000); /* more than a stride */
		len = 1 + seed[1] / 50 % 200;
		plain.rounds = NULL;
		memset(a, 0, sizeof(a));
		CHECK_INT(PKCS5_PBKDF2_HMAC((char *)pass->data, (int)pass->len, pass->data,
					    (int)salt_len, (int)rounds, EVP_get_digestbyname(name),
					    (int)len, a[0]),
			  1);
		in = (struct crypto_pbkdf2_input){ .pass = pass,
						   .salt = { pass->data, salt_len },
						   .iterations = rounds };
		CHECK(crypto_pbkdf2_sha(best, &in, a[1], len));
		CHECK(crypto_pbkdf2_sha(&plain, &in, a[2], len));
		CHECK_MEM(a[1], a[0], sizeof(a[0]));
		CHECK_MEM(a[2], a[0], sizeof(a[0]));
		own += best->rounds != NULL;
	}
	CHECK_INT(own, 400);
}

/* Minutes of work end as soon as nobody wants them, and only where that is promised. */
static void pbkdf2_stops(void)
{
	static const char *const hashes[] = { "sha1", "sha256", "sha512" };
	_cleanup_secret_ struct secret *pass = vector_secret("616263");
	struct crypto_kdf *kdf = NULL;

	REQUIRE(!crypto_kdf_new(&(struct crypto_kdf_config){ 0 }, &kdf, NULL));
	for (size_t i = 0; i < ARRAY_SIZE(hashes); i++) {
		struct crypto_pbkdf p = { .type = CRYPTO_PBKDF2,
					  .iterations = CRYPTO_PBKDF2_MAX_ITERATIONS };
		_cleanup_secret_ struct secret *key = NULL;
		_Atomic bool stop = false;
		const struct crypto_wish wish = { .stop = &stop };
		int r;
		pthread_t id;

		text_copy(p.hash, sizeof(p.hash), hashes[i]);
		CHECK(crypto_kdf_can_stop(&p));
		REQUIRE(!secret_new(64, &key, NULL));
		REQUIRE(!pthread_create(&id, NULL, stop_soon, &stop));
		r = crypto_kdf_derive_wish(kdf, &p, pass, "salt", 4, &wish, key, NULL);
		CHECK_INT(r, -ECANCELED);
		CHECK_INT(key->len, 0);
		pthread_join(id, NULL);
	}
	CHECK(!crypto_kdf_can_stop(&(struct crypto_pbkdf){ CRYPTO_PBKDF2, "whirlpool", 1, 0, 0 }));
	crypto_kdf_free(kdf);
}

static void pbkdf2_refused(void)
{
	_cleanup_secret_ struct secret *pass = vector_secret("616263");
	unsigned char out[8] = { 9 };
	struct err e = { 0 };

	CHECK_INT(crypto_pbkdf2("sha256", pass, "salt", 4, 0, out, 8, &e), -EINVAL);
	CHECK_INT(crypto_pbkdf2("shake256", pass, "salt", 4, 1, out, 8, &e), -EOPNOTSUPP);
	CHECK_INT(crypto_pbkdf2("nonsense", pass, "salt", 4, 1, out, 8, &e), -EOPNOTSUPP);
	CHECK_CONTAINS(e.text, "nonsense");
	CHECK_INT(out[0], 9);
	CHECK_INT(crypto_pbkdf2("sha256", pass, "salt", 4, 1, out, 0, &e), 0);
}

int main(void)
{
	if (vectors_run("pbkdf2.txt", 5, each_pbkdf2) < 97) {
		CHECK_MSG(false, "vectors are missing");
		check_report("pbkdf2_vectors");
	}
	RUN(pbkdf2_equals_libcrypto);
	RUN(pbkdf2_ways_agree);
	RUN(pbkdf2_stops);
	RUN(pbkdf2_refused);
	return check_exit();
}
