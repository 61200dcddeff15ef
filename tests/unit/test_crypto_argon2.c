// SPDX-License-Identifier: Apache-2.0
// argon2 against RFC 9106 and the reference implementation's vectors; the arena before and after.
#include <cryptvol/crypto.h>

#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include "crypto_argon2_vector.h"
#include "mapping_flags.h"

static int number;

static bool all_zero(const unsigned char *p, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (p[i])
			return false;
	return true;
}

static void each_argon2(char **f)
{
	struct crypto_arena *arena = NULL;
	struct crypto_kdf *kdf = NULL;
	struct argon2_vector v;
	enum crypto_pbkdf_type type;
	char name[64];

	argon2_vector_read(&v, f);
	snprintf(name, sizeof(name), "%s_%d", f[0], ++number);
	CHECK_INT(crypto_pbkdf_type(f[0], &type), 0);
	CHECK_INT(type, v.p.type);
	CHECK_INT(crypto_arena_new(v.p.memory_kib * KIB, &arena, NULL), 0);
	for (int again = 0; again < 2; again++) {
		memset(v.key->data, 0, v.key->cap);
		CHECK_INT(crypto_argon2(&v.p, 1, arena, &v.in, v.key, NULL), 0);
		CHECK_INT(v.key->len, v.want_len);
		CHECK_MEM(v.key->data, v.want, v.want_len);
		CHECK(all_zero(arena->data, arena->bytes));
	}
	crypto_arena_free(arena);
	if (!v.in.secret.len) {
		CHECK_INT(crypto_kdf_new(&(struct crypto_kdf_config){ 0 }, &kdf, NULL), 0);
		memset(v.key->data, 0, v.key->cap);
		CHECK_INT(crypto_kdf_derive(kdf, &v.p, v.pass, v.salt, v.in.salt.len, v.key, NULL),
			  0);
		CHECK_MEM(v.key->data, v.want, v.want_len);
		crypto_kdf_free(kdf);
	}
	argon2_vector_free(&v);
	check_report(name);
}

static void arena_sizes(void)
{
	static const struct {
		size_t want, get;
	} cases[] = { { 32 * KIB, 32 * KIB }, { 32 * KIB + 1, 36 * KIB }, { 2 * MIB - 1, 2 * MIB },
		      { 2 * MIB, 2 * MIB },   { 2 * MIB + 1, 4 * MIB },	  { 64 * MIB, 64 * MIB } };

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct crypto_arena *a = NULL;

		CHECK_INT(crypto_arena_bytes(cases[i].want), cases[i].get);
		REQUIRE(!crypto_arena_new(cases[i].want, &a, NULL));
		CHECK_INT(a->bytes, cases[i].get);
		CHECK(a->bytes < 2 * MIB || (uintptr_t)a->data % (2 * MIB) == 0);
		CHECK(all_zero(a->data, a->bytes));
		a->data[a->bytes - 1] = 1;
		crypto_arena_trim(a, a->bytes / 2);
		a->data[a->bytes - 1] = 1;
		crypto_arena_free(a);
	}
	crypto_arena_free(NULL);
}

static uint64_t mapped_bytes(void)
{
	_cleanup_free_ char *text = NULL;

	if (io_read_file("/proc/self/statm", 4096, &text, NULL))
		abort();
	return strtoull(text, NULL, 10) * (uint64_t)sysconf(_SC_PAGESIZE);
}

/* Where it would do but for the room to align it, it is had all the same; where it doesn't, the
 * limit is named. */
static void arena_within_rlimit(void)
{
	struct rlimit before, l;
	struct crypto_arena *a = NULL;
	struct err e = { 0 };

	if (check_sanitized())
		SKIP_TEST("a sanitizer has terabytes mapped");
	REQUIRE(!getrlimit(RLIMIT_AS, &before));
	l = before;
	l.rlim_cur = mapped_bytes() + 4 * MIB + MIB;
	REQUIRE(!setrlimit(RLIMIT_AS, &l));
	CHECK_INT(crypto_arena_new(8 * MIB, &a, &e), -ENOMEM);
	CHECK_CONTAINS(e.text, "RLIMIT_AS");
	CHECK(!a);
	CHECK_INT(crypto_arena_new(4 * MIB, &a, NULL), 0);
	CHECK_INT(setrlimit(RLIMIT_AS, &before), 0);
	REQUIRE(a);
	CHECK(all_zero(a->data, a->bytes));
	crypto_arena_free(a);
}

/* By as many threads as there are processors. */
static void arena_is_there(void)
{
	unsigned char here[256 * MIB / 4096];
	struct crypto_arena *a = NULL;
	size_t present = 0;

	REQUIRE(!crypto_arena_new(256 * MIB, &a, NULL));
	REQUIRE(!mincore(a->data, a->bytes, here));
	for (size_t i = 0; i < sizeof(here); i++)
		present += here[i] & 1;
	CHECK_INT(present, sizeof(here));
	crypto_arena_free(a);
}

/* Huge pages are asked for where they fill it; neither dumps nor children get any of it. */
static void arena_flags(void)
{
	static const size_t sizes[] = { 64 * KIB, 4 * MIB };

	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		struct crypto_arena *a = NULL;
		unsigned int locked;
		char flags[512];

		REQUIRE(!crypto_arena_new(sizes[i], &a, NULL));
		mapping_flags(a->data, flags, sizeof(flags), &locked);
		CHECK_CONTAINS(flags, " dd");
		CHECK_CONTAINS(flags, " dc");
		if (!access("/sys/kernel/mm/transparent_hugepage", F_OK))
			CHECK_INT(strstr(flags, " hg") != NULL, sizes[i] >= 2 * MIB);
		crypto_arena_free(a);
	}
}

/* A lane needs 8 KiB, and an arena that is too small isn't overrun. */
static void argon2_refused(void)
{
	_cleanup_secret_ struct secret *pass = vector_secret("616263"), *key = NULL;
	struct crypto_argon2_input in = { .pass = pass, .salt = { "saltsaltsalt", 12 } };
	struct crypto_pbkdf p = {
		.type = CRYPTO_ARGON2ID, .iterations = 1, .memory_kib = 8, .parallel = 4
	};
	struct crypto_arena *arena = NULL;
	struct err e = { 0 };

	REQUIRE(!secret_new(32, &key, NULL));
	REQUIRE(!crypto_arena_new(MIB, &arena, NULL));
	CHECK_INT(crypto_argon2(&p, 1, arena, &in, key, &e), -EINVAL);
	CHECK_CONTAINS(e.text, "argon2");
	CHECK(all_zero(arena->data, arena->bytes));
	CHECK_INT(key->len, 0);
	p.memory_kib = 2048;
	CHECK_INT(crypto_argon2(&p, 1, arena, &in, key, &e), -ENOMEM);
	crypto_arena_free(arena);
}

int main(void)
{
	argon2_vectors_run(each_argon2);
	RUN(arena_sizes);
	RUN(arena_is_there);
	RUN(arena_flags);
	RUN(arena_within_rlimit);
	RUN(argon2_refused);
	return check_exit();
}
