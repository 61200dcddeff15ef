// SPDX-License-Identifier: Apache-2.0
// Sector ciphers: IEEE 1619, what dm-crypt itself wrote, edges; where AF_ALG is absent, its error.
#include <cryptvol/crypto.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include "crypto/internal.h"
#include "crypto_vectors.h"

#define PLAIN_BYTES 2048

static int number, through_kernel;

/* Processors without AES instructions: the same answer from crypto_aesni_has, by the linker's
 * --wrap. */
static bool without_instructions;
static unsigned int by_libcrypto;
bool __real_crypto_aesni_has(const struct crypto_cipher_job *j);
bool __wrap_crypto_aesni_has(const struct crypto_cipher_job *j);
bool __wrap_crypto_aesni_has(const struct crypto_cipher_job *j)
{
	return !without_instructions && __real_crypto_aesni_has(j);
}

int __real_crypto_evp_run(const struct crypto_cipher_job *j, struct err *e);
int __wrap_crypto_evp_run(const struct crypto_cipher_job *j, struct err *e);
int __wrap_crypto_evp_run(const struct crypto_cipher_job *j, struct err *e)
{
	by_libcrypto++;
	return __real_crypto_evp_run(j, e);
}

static void crypt_bytes(const char *spec, const struct secret *key, bool encrypt, void *buf,
			size_t len, uint64_t sector)
{
	struct crypto_cipher c;
	struct err e = { 0 };

	CHECK_MSG(!crypto_cipher_parse(spec, &c, &e), "%s", e.text);
	CHECK_MSG(!crypto_cipher_run(&c, key, encrypt, buf, len, sector, &e), "%s", e.text);
}

static void each_xts(char **f)
{
	unsigned char plain[VECTOR_BYTES_MAX], cipher[VECTOR_BYTES_MAX], buf[VECTOR_BYTES_MAX];
	_cleanup_secret_ struct secret *key = vector_secret(f[0]);
	size_t len = vector_bytes(f[2], plain);
	uint64_t sector = 0;
	char name[64];

	vector_bytes(f[3], cipher);
	CHECK_INT(text_parse_u64(f[1], &sector), 0);
	snprintf(name, sizeof(name), "xts_ieee1619_%d%s", number++ % 3 + 1,
		 without_instructions ? "_by_libcrypto" : "");
	memcpy(buf, plain, len);
	crypt_bytes("aes-xts-plain64", key, true, buf, len, sector);
	CHECK_MEM(buf, cipher, len);
	crypt_bytes("aes-xts-plain64", key, false, buf, len, sector);
	CHECK_MEM(buf, plain, len);
	check_report(name);
}

static bool have_afalg(void)
{
	int fd = socket(AF_ALG, SOCK_SEQPACKET, 0);

	if (fd >= 0)
		close(fd);
	return fd >= 0;
}

static void each_dmcrypt(char **f)
{
	unsigned char plain[PLAIN_BYTES], buf[PLAIN_BYTES], want[VECTOR_BYTES_MAX], got[32];
	_cleanup_secret_ struct secret *key = vector_secret(f[1]);
	struct crypto_iov iov = { buf, sizeof(buf) };
	struct crypto_cipher c;
	uint64_t sector = 0;
	struct err e = { 0 };
	char name[160];

	for (unsigned int i = 0; i < PLAIN_BYTES; i++)
		plain[i] = (unsigned char)(i * 7 + (i >> 8) + (i >> 9) * 31);
	snprintf(name, sizeof(name), "dmcrypt_%s_%zu_at_%s", f[0], key->len * 8, f[2]);
	vector_bytes(f[3], want);
	CHECK_INT(text_parse_u64(f[2], &sector), 0);
	CHECK_INT(crypto_cipher_parse(f[0], &c, &e), 0);
	CHECK_MSG(!crypto_cipher_check(f[0], key->len, false, &e), "%s", e.text);
	memcpy(buf, plain, sizeof(buf));
	if (!crypto_evp_has(&c, key->len) && !have_afalg()) {
		CHECK_INT(crypto_cipher_run(&c, key, true, buf, sizeof(buf), sector, &e),
			  -EHOSTDOWN);
		CHECK_CONTAINS(e.text, "AF_ALG");
		CHECK_MEM(buf, plain, sizeof(buf));
		check_this_skipped = !check_this_failed;
		snprintf(check_why, sizeof(check_why), "%s", e.text);
		check_report(name);
		return;
	}
	through_kernel += !crypto_evp_has(&c, key->len);
	crypt_bytes(f[0], key, true, buf, sizeof(buf), sector);
	crypto_hash("sha256", &iov, 1, got, NULL);
	CHECK_MEM(got, want, 32);
	/* sector by sector, from the middle */
	crypt_bytes(f[0], key, false, buf + 1024, 512, sector + 2);
	CHECK_MEM(buf + 1024, plain + 1024, 512);
	crypt_bytes(f[0], key, true, buf + 1024, 512, sector + 2);
	crypt_bytes(f[0], key, false, buf, sizeof(buf), sector);
	CHECK_MEM(buf, plain, sizeof(buf));
	check_report(name);
}

/* Every backend that has a cipher has to give the same bytes: libcrypto's ones through AF_ALG too.
 */
static void backends_agree(void)
{
	static const struct {
		const char *spec;
		size_t key_bytes;
	} cases[] = { { "aes-xts-plain64", 64 },
		      { "aes-xts-plain", 32 },
		      { "aes-cbc-essiv:sha256", 32 },
		      { "aes-xts-plain64", 48 },
		      { "camellia-xts-plain64", 32 },
		      { "camellia-xts-plain64", 64 },
		      { "camellia-cbc-plain64", 24 } };

	if (!have_afalg())
		SKIP_TEST("no AF_ALG on this kernel");
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_secret_ struct secret *key = NULL;
		unsigned char a[1024], b[1024];
		struct crypto_cipher c;
		struct crypto_cipher_job j = { &c, NULL, true, a, 1024, 512, 4294967295u };
		struct err e = { 0 };

		REQUIRE(!secret_random(cases[i].key_bytes, &key, NULL));
		REQUIRE(!crypto_cipher_parse(cases[i].spec, &c, NULL));
		j.key = key;
		crypto_random(a, sizeof(a), NULL);
		memcpy(b, a, sizeof(a));
		CHECK_MSG(!crypto_evp_run(&j, &e), "%s", e.text);
		j.buf = b;
		CHECK_MSG(!crypto_afalg_run(&j, &e), "%s", e.text);
		CHECK_MEM(a, b, sizeof(a));
	}
}

/* One job by the processor's instructions and by libcrypto, from the same random bytes. */
static void compare_one(struct crypto_cipher_job j)
{
	unsigned char *a = malloc(j.len + 1), *b = malloc(j.len + 1);
	struct err e = { 0 };

	REQUIRE(a && b);
	crypto_random(a, j.len + 1, NULL);
	memcpy(b, a, j.len + 1);
	j.buf = a + 1; /* an odd address */
	CHECK(crypto_aesni_has(&j));
	crypto_aesni_run(&j);
	j.buf = b + 1;
	CHECK_MSG(!crypto_evp_run(&j, &e), "%s", e.text);
	CHECK_MSG(!memcmp(a, b, j.len + 1), "%s, %zu bits, %s, %zu bytes by %zu from %llu",
		  j.cipher->spec, j.key->len * 8, j.encrypt ? "encrypt" : "decrypt", j.len,
		  j.unit_bytes, (unsigned long long)j.first_sector);
	free(a);
	free(b);
}

static void compare_sizes(const struct crypto_cipher *c, size_t key_bytes, uint64_t sector)
{
	static const size_t units[] = { 128, 512, 1024, 2048, 4096 },
			    counts[] = { 1, 2, 3, 8, 17, 504 };

	for (size_t i = 0; i < 2 * ARRAY_SIZE(units) * ARRAY_SIZE(counts); i++) {
		size_t unit = units[i / 2 % ARRAY_SIZE(units)],
		       count = counts[i / 2 / ARRAY_SIZE(units)];
		_cleanup_secret_ struct secret *key = NULL;

		REQUIRE(!secret_random(key_bytes, &key, NULL));
		compare_one((struct crypto_cipher_job){ c, key, i % 2, NULL, unit * count, unit,
							sector });
	}
}

/* Both key sizes, directions and IVs, numbers round the ends of 32 and 64 bits, many sizes. */
static void aesni_agrees(void)
{
	static const uint64_t sectors[] = { 0, 1, 4294967294u, UINT64_MAX - 1 };
	static const char *const specs[] = { "aes-xts-plain64", "aes-xts-plain" };

	if (!__builtin_cpu_supports("aes"))
		SKIP_TEST("no AES instructions in this processor");
	for (size_t i = 0; i < ARRAY_SIZE(specs); i++) {
		struct crypto_cipher c;

		REQUIRE(!crypto_cipher_parse(specs[i], &c, NULL));
		for (size_t s = 0; s < ARRAY_SIZE(sectors); s++) {
			compare_sizes(&c, 32, sectors[s]);
			compare_sizes(&c, 64, sectors[s]);
		}
	}
}

/* A few thousand keys: an error in the schedule shows with one key in 256 at the latest. */
static void aesni_agrees_on_keys(void)
{
	struct crypto_cipher c;

	if (!__builtin_cpu_supports("aes"))
		SKIP_TEST("no AES instructions in this processor");
	REQUIRE(!crypto_cipher_parse("aes-xts-plain64", &c, NULL));
	for (size_t i = 0; i < 8192; i++) {
		_cleanup_secret_ struct secret *key = NULL;

		REQUIRE(!secret_random(i & 1 ? 32 : 64, &key, NULL));
		compare_one((struct crypto_cipher_job){ &c, key, i >> 1 & 1, NULL, 512, 512, i });
	}
}

static bool takes_instructions(const char *spec, size_t key_bytes, size_t unit_bytes, bool equal)
{
	_cleanup_secret_ struct secret *key = NULL;
	struct crypto_cipher c;
	struct crypto_cipher_job j = { &c, NULL, true, NULL, unit_bytes, unit_bytes, 0 };

	if (secret_random(key_bytes, &key, NULL) || crypto_cipher_parse(spec, &c, NULL))
		abort();
	if (equal)
		memcpy(key->data + key_bytes / 2, key->data, key_bytes / 2);
	j.key = key;
	return crypto_aesni_has(&j);
}

static void aesni_takes_nothing_else(void)
{
	bool have = __builtin_cpu_supports("aes");

	CHECK_INT(takes_instructions("aes-xts-plain64", 64, 512, false), have);
	CHECK_INT(takes_instructions("aes-xts-plain", 32, 4096, false), have);
	CHECK(!takes_instructions("aes-xts-plain64", 64, 512, true)); /* equal halves: no XTS */
	CHECK(!takes_instructions("aes-xts-plain64", 48, 512, false));
	CHECK(!takes_instructions("aes-xts-plain64", 64, 520, false));
	CHECK(!takes_instructions("aes-cbc-plain64", 32, 512, false));
	CHECK(!takes_instructions("serpent-xts-plain64", 64, 512, false));
}

/* The vectors once more as on a processor without the instructions: libcrypto has to take over. */
static void vectors_by_libcrypto(void)
{
	int xts;

	by_libcrypto = 0;
	without_instructions = true;
	xts = vectors_run("xts-ieee1619.txt", 4, each_xts);
	without_instructions = false;
	CHECK_INT(xts, 3);
	CHECK_INT(by_libcrypto, 2 * xts);
	by_libcrypto = 0;
	vectors_run("xts-ieee1619.txt", 4, each_xts);
	CHECK_INT(by_libcrypto, __builtin_cpu_supports("aes") ? 0 : 2 * xts);
}

static void run_edges(void)
{
	_cleanup_secret_ struct secret *key = NULL, *wrong = NULL, *equal = NULL;
	unsigned char room[1024 + 3] = { 1, 2, 3 }, copy[1024 + 3];
	struct crypto_cipher c, null;
	struct err e = { 0 };

	memcpy(copy, room, sizeof(room));
	REQUIRE(!secret_random(64, &key, NULL) && !secret_random(65, &wrong, NULL));
	REQUIRE(!secret_new(64, &equal, NULL));
	equal->len = 64;
	REQUIRE(!crypto_cipher_parse("aes-xts-plain64", &c, NULL));
	CHECK_INT(crypto_cipher_run(&c, key, true, room, 0, 0, &e), 0);
	CHECK_INT(crypto_cipher_run(&c, key, true, room, 511, 0, &e), -EINVAL);
	CHECK_INT(crypto_cipher_run(&c, wrong, true, room, 512, 0, &e), -EOPNOTSUPP);
	/* XTS with two equal keys is no XTS */
	CHECK_INT(crypto_cipher_run(&c, equal, true, room, 512, 0, &e), -EINVAL);
	CHECK_CONTAINS(e.text, "aes-xts-plain64");
	CHECK_MEM(room, copy, sizeof(room));
	/* an odd address, the last sector of all */
	CHECK_INT(crypto_cipher_run(&c, key, true, room + 3, 1024, UINT64_MAX - 1, &e), 0);
	CHECK(memcmp(room + 3, copy + 3, 1024));
	CHECK_INT(crypto_cipher_run(&c, key, false, room + 3, 1024, UINT64_MAX - 1, &e), 0);
	CHECK_MEM(room, copy, sizeof(room));
	REQUIRE(!crypto_cipher_parse("cipher_null-ecb", &null, NULL));
	CHECK_INT(crypto_cipher_run(&null, key, true, room, 1024, 0, &e), 0);
	CHECK_MEM(room, copy, sizeof(room));
}

static void not_allowed_never_runs(void)
{
	static const char *const specs[] = { "aes-ecb-plain64", "aes-cbc-null", "aes-ctr-plain64",
					     "capi:ecb(aes)-plain64" };
	_cleanup_secret_ struct secret *key = NULL;
	unsigned char buf[512] = { 1 };

	REQUIRE(!secret_random(32, &key, NULL));
	for (size_t i = 0; i < ARRAY_SIZE(specs); i++) {
		struct crypto_cipher c;

		REQUIRE(!crypto_cipher_parse(specs[i], &c, NULL));
		CHECK_INT(crypto_cipher_run(&c, key, true, buf, 512, 0, NULL), -EOPNOTSUPP);
	}
}

static void afalg_errors(void)
{
	_cleanup_secret_ struct secret *key = NULL, *short_key = NULL;
	struct rlimit before, none;
	struct crypto_cipher c;
	struct crypto_afalg a;
	struct err e = { 0 };

	if (!have_afalg())
		SKIP_TEST("no AF_ALG on this kernel");
	REQUIRE(!secret_random(32, &key, NULL) && !secret_random(31, &short_key, NULL));
	REQUIRE(!crypto_cipher_parse("nonesuch-xts-plain64", &c, NULL));
	CHECK_INT(crypto_afalg_open(&c, key, &a, &e), -EHOSTDOWN);
	CHECK_CONTAINS(e.text, "xts(nonesuch)");
	REQUIRE(!crypto_cipher_parse("aes-xts-plain64", &c, NULL));
	CHECK_INT(crypto_afalg_open(&c, short_key, &a, &e), -EINVAL);
	CHECK_CONTAINS(e.text, "248 bits");
	/* not what the kernel lacks: what this process may no longer have */
	REQUIRE(!getrlimit(RLIMIT_NOFILE, &before));
	none = (struct rlimit){ 0, before.rlim_max };
	REQUIRE(!setrlimit(RLIMIT_NOFILE, &none));
	CHECK_INT(crypto_afalg_open(&c, key, &a, &e), -EMFILE);
	REQUIRE(!setrlimit(RLIMIT_NOFILE, &before));
}

static void measure_gives_rates(void)
{
	double enc = 0, dec = 0;
	struct err e = { 0 };

	CHECK_MSG(!crypto_cipher_measure("aes-xts-plain64", 64, MIB, &enc, &dec, &e), "%s", e.text);
	CHECK(enc > 1e6 && dec > 1e6);
	enc = dec = 0;
	CHECK_INT(crypto_cipher_measure("aes-cbc-plain64", 32, 1, &enc, &dec, &e), 0);
	CHECK(enc > 0 && dec > 0);
	CHECK_INT(crypto_cipher_measure("aes-ecb", 32, MIB, &enc, &dec, &e), -EOPNOTSUPP);
	CHECK_INT(crypto_cipher_measure("cipher_null-ecb", 0, MIB, &enc, &dec, &e), -EOPNOTSUPP);
	if (!have_afalg()) {
		CHECK_INT(crypto_cipher_measure("serpent-xts-plain64", 64, MIB, &enc, &dec, &e),
			  -EHOSTDOWN);
		CHECK(enc > 0);
	}
}

static void the_kernel_says_what_it_has(void)
{
	static const char *const specs[] = { "aes-xts-plain64", "aes-cbc-essiv:sha256",
					     "xchacha12,aes-adiantum-plain64",
					     "serpent-xts-plain64" };
	struct crypto_cipher c = { 0 };
	struct err e = { 0 };

	for (size_t i = 0; i < ARRAY_SIZE(specs); i++) {
		CHECK_INT(crypto_cipher_parse(specs[i], &c, NULL), 0);
		CHECK_MSG(!crypto_cipher_available(&c, &e), "%s", e.text);
	}
	CHECK_INT(crypto_cipher_parse("nonesuch-xts-plain64", &c, NULL), 0);
	if (!have_afalg())
		SKIP_TEST("no AF_ALG on this kernel: it can't be asked");
	CHECK_INT(crypto_cipher_available(&c, &e), -EHOSTDOWN);
	CHECK_CONTAINS(e.text, "lacks cipher \"nonesuch-xts-plain64\" (xts(nonesuch))");
	CHECK_INT(crypto_cipher_parse("cipher_null-ecb", &c, NULL), 0);
	CHECK_INT(crypto_cipher_available(&c, NULL), 0);
}

int main(void)
{
	int xts = vectors_run("xts-ieee1619.txt", 4, each_xts),
	    dmcrypt = vectors_run("dmcrypt.txt", 4, each_dmcrypt);

	CHECK_INT(xts, 3);
	CHECK_INT(dmcrypt, 25);
	CHECK_INT(through_kernel, have_afalg() ? 9 : 0);
	check_report("cipher_vectors_all_there");
	RUN(backends_agree);
	RUN(aesni_agrees);
	RUN(aesni_agrees_on_keys);
	RUN(aesni_takes_nothing_else);
	RUN(vectors_by_libcrypto);
	RUN(run_edges);
	RUN(not_allowed_never_runs);
	RUN(afalg_errors);
	RUN(measure_gives_rates);
	RUN(the_kernel_says_what_it_has);
	return check_exit();
}
