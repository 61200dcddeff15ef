// SPDX-License-Identifier: Apache-2.0
// After a derivation or an encryption neither passphrase nor key is anywhere in the process but in
// its struct secret: every mapping is searched, with a control that is found.
#include <cryptvol/crypto.h>
#include <fcntl.h>
#include <stdio.h>

#include "check.h"
#include <cryptvol/base.h>

#define NEEDLE_BYTES 16
#define CHUNK_BYTES (1u << 20)

/* The window that memory is read through is left out, as is the secret itself. */
static unsigned char *window;

static bool is_ours(uintptr_t at, const struct secret *s)
{
	uintptr_t data = (uintptr_t)s->data, win = (uintptr_t)window;

	return (at >= data && at < data + s->cap) ||
	       (at + NEEDLE_BYTES > win && at < win + CHUNK_BYTES);
}

static int search_range(int mem, uintptr_t from, uintptr_t to, const struct secret *s)
{
	int found = 0;

	while (from < to) {
		size_t len = to - from < CHUNK_BYTES ? to - from : CHUNK_BYTES;
		ssize_t n = pread(mem, window, len, (off_t)from);
		unsigned char *p = window;

		if (n < NEEDLE_BYTES)
			break;
		while ((p = memmem(p, (size_t)(window + n - p), s->data, NEEDLE_BYTES))) {
			found += !is_ours(from + (uintptr_t)(p - window), s);
			p++;
		}
		if (n < (ssize_t)len || len < CHUNK_BYTES)
			break;
		from += len - NEEDLE_BYTES;
	}
	return found;
}

/* How often the first bytes of @s are in memory elsewhere. */
static int copies_of(const struct secret *s)
{
	int mem = open("/proc/self/mem", O_RDONLY | O_CLOEXEC), found = 0, searched = 0;
	char *maps = NULL, *line, *save = NULL;

	if (mem < 0 || io_read_file("/proc/self/maps", 1 << 20, &maps, NULL))
		return -1;
	for (line = strtok_r(maps, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		unsigned long from, to;

		if (sscanf(line, "%lx-%lx r", &from, &to) != 2 || strstr(line, "[v"))
			continue;
		found += search_range(mem, from, to, s);
		searched++;
	}
	close(mem);
	free(maps);
	return searched > 5 ? found : -1;
}

/* Work far down the stack, so that what it leaves there isn't overwritten by the search. */
#define DEEP(r, call)                                         \
	do {                                                  \
		unsigned char pad[64 * 1024];                 \
                                                              \
		__asm__ volatile("" : : "r"(pad) : "memory"); \
		(r) = (call);                                 \
		__asm__ volatile("" : : "r"(pad) : "memory"); \
	} while (0)

static __attribute__((noinline)) int derive_deep(struct crypto_kdf *kdf,
						 const struct crypto_pbkdf *p,
						 const struct secret *pass, struct secret *key)
{
	int r;

	DEEP(r, crypto_kdf_derive(kdf, p, pass, "0123456789abcdef0123456789abcdef", 32, key, NULL));
	return r;
}

static __attribute__((noinline)) int run_deep(const struct crypto_cipher *c,
					      const struct secret *key, bool encrypt, void *buf,
					      size_t len)
{
	int r;

	DEEP(r, crypto_cipher_run(c, key, encrypt, buf, len, 0, NULL));
	return r;
}

static __attribute__((noinline)) int hash_deep(const char *name, const struct secret *s, void *out)
{
	int r;

	DEEP(r, crypto_hash(name, &(struct crypto_iov){ s->data, s->len }, 1, out, NULL));
	return r;
}

static __attribute__((noinline)) int copy_deep(const struct secret *s)
{
	unsigned char copy[32];

	memcpy(copy, s->data, sizeof(copy));
	__asm__ volatile("" : : "r"(copy) : "memory");
	return 0;
}

static __attribute__((noinline)) int leave_copy_deep(const struct secret *s)
{
	int r;

	DEEP(r, copy_deep(s));
	return r;
}

/* The stack's residue is seen as well. */
static void stack_control_is_found(void)
{
	_cleanup_secret_ struct secret *s = NULL;

	if (check_sanitized())
		SKIP_TEST("a sanitizer keeps copies of its own");
	REQUIRE(!secret_random(32, &s, NULL));
	CHECK_INT(leave_copy_deep(s), 0);
	CHECK(copies_of(s) >= 1);
}

static void control_is_found(void)
{
	_cleanup_secret_ struct secret *s = NULL;
	unsigned char *copy = malloc(64);
	int while_held;

	if (check_sanitized())
		SKIP_TEST("a sanitizer keeps copies of its own");
	REQUIRE(copy && !secret_random(32, &s, NULL));
	CHECK_INT(copies_of(s), 0);
	memcpy(copy + 5, s->data, 32);
	while_held = copies_of(s);
	CHECK_INT(while_held, 1);
	explicit_bzero(copy, 64);
	CHECK_INT(copies_of(s), 0);
	free(copy);
}

static void derivation_leaves_nothing(void)
{
	static const struct crypto_pbkdf cases[] = {
		{ CRYPTO_PBKDF2, "sha1", 1000, 0, 0 },
		{ CRYPTO_PBKDF2, "sha256", 1000, 0, 0 },
		{ CRYPTO_PBKDF2, "sha512", 1000, 0, 0 },
		{ CRYPTO_PBKDF2, "ripemd160", 1000, 0, 0 },
		{ CRYPTO_PBKDF2, "sha3-512", 1000, 0, 0 },
		{ CRYPTO_PBKDF2, "blake2b-512", 1000, 0, 0 },
		{ CRYPTO_PBKDF2, "whirlpool", 1000, 0, 0 },
		{ CRYPTO_ARGON2I, "", 4, 32, 1 },
		{ CRYPTO_ARGON2ID, "", 4, 32, 4 },
		{ CRYPTO_ARGON2ID, "", 4, 65536, 1 },
		{ CRYPTO_ARGON2ID, "", 4, 65536, 4 },
	};
	static const size_t lengths[] = { 16, 32, 48, 100, 200 };
	struct crypto_kdf *kdf = NULL;

	if (check_sanitized())
		SKIP_TEST("a sanitizer keeps copies of its own");
	REQUIRE(!crypto_kdf_new(&(struct crypto_kdf_config){ 0 }, &kdf, NULL));
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		for (size_t k = 0; k < (cases[i].memory_kib > 32 ? 1 : ARRAY_SIZE(lengths)); k++) {
			_cleanup_secret_ struct secret *pass = NULL, *key = NULL;

			REQUIRE(!secret_random(lengths[k], &pass, NULL));
			REQUIRE(!secret_new(64, &key, NULL));
			CHECK_INT(derive_deep(kdf, &cases[i], pass, key), 0);
			CHECK_MSG(copies_of(pass) == 0, "passphrase of %zu bytes: %s %s", pass->len,
				  crypto_pbkdf_name(cases[i].type), cases[i].hash);
			CHECK_MSG(copies_of(key) == 0, "key: %s %s, passphrase of %zu bytes",
				  crypto_pbkdf_name(cases[i].type), cases[i].hash, pass->len);
		}
	}
	crypto_kdf_free(kdf);
}

static void cipher_leaves_nothing(void)
{
	static const struct {
		const char *spec;
		size_t key_bytes;
	} cases[] = { { "aes-xts-plain64", 64 },
		      { "aes-xts-plain64", 32 },
		      { "aes-cbc-essiv:sha256", 32 },
		      { "camellia-cbc-plain64", 16 } };
	unsigned char buf[4096] = { 0 };

	if (check_sanitized())
		SKIP_TEST("a sanitizer keeps copies of its own");
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_secret_ struct secret *key = NULL;
		struct crypto_cipher c;

		REQUIRE(!secret_random(cases[i].key_bytes, &key, NULL));
		REQUIRE(!crypto_cipher_parse(cases[i].spec, &c, NULL));
		CHECK_INT(run_deep(&c, key, true, buf, sizeof(buf)), 0);
		CHECK_INT(run_deep(&c, key, false, buf, sizeof(buf)), 0);
		CHECK_MSG(copies_of(key) == 0, "%s", cases[i].spec);
	}
}

/*
 * FIPS 197's two worked schedules (A.1, A.3): the last round's key is in the schedule of either
 * direction as it is here. Text, so that this program's own data isn't found.
 */
static const struct {
	const char *key, *last_round;
} schedules[] = {
	{ "2b7e151628aed2a6abf7158809cf4f3c", "d014f9a8c9ee2589e13f0cc8b6630ca6" },
	{ "603deb1015ca71be2b73aef0857d77811f352c073b6108d72d9810a30914dff4",
	  "fe4890d1e6188d0b046df344706c631e" },
};

static struct secret *from_hex(const char *hex)
{
	unsigned char buf[64];
	struct secret *s = NULL;
	size_t len = 0;

	if (text_unhex(hex, buf, sizeof(buf), &len) || secret_from_bytes(buf, len, &s, NULL))
		abort();
	return s;
}

static void schedule_leaves_nothing(void)
{
	unsigned char buf[4096] = { 0 };

	if (check_sanitized())
		SKIP_TEST("a sanitizer keeps copies of its own");
	/* as the data's key and as the tweak's, encrypting and decrypting */
	for (size_t i = 0; i < 4 * ARRAY_SIZE(schedules); i++) {
		_cleanup_secret_ struct secret *half = from_hex(schedules[i / 4].key);
		_cleanup_secret_ struct secret *last = from_hex(schedules[i / 4].last_round);
		_cleanup_secret_ struct secret *key = NULL;
		struct crypto_cipher c;

		REQUIRE(!secret_random(2 * half->len, &key, NULL));
		memcpy(key->data + (i & 1) * half->len, half->data, half->len);
		REQUIRE(!crypto_cipher_parse("aes-xts-plain64", &c, NULL));
		CHECK_INT(run_deep(&c, key, i & 2, buf, sizeof(buf)), 0);
		CHECK_MSG(copies_of(last) == 0, "schedule of %zu bits, case %zu", half->len * 8, i);
	}
}

static void hash_leaves_nothing(void)
{
	static const char *const names[] = { "sha1", "sha256", "sha512", "ripemd160", "sha3-256" };
	unsigned char out[CRYPTO_HASH_MAX_BYTES];

	if (check_sanitized())
		SKIP_TEST("a sanitizer keeps copies of its own");
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		_cleanup_secret_ struct secret *s = NULL;

		REQUIRE(!secret_random(40, &s, NULL));
		CHECK_INT(hash_deep(names[i], s, out), 0);
		CHECK_MSG(copies_of(s) == 0, "%s", names[i]);
	}
}

int main(void)
{
	window = malloc(CHUNK_BYTES);
	if (!window)
		return 1;
	RUN(control_is_found);
	RUN(stack_control_is_found);
	RUN(derivation_leaves_nothing);
	RUN(cipher_leaves_nothing);
	RUN(schedule_leaves_nothing);
	RUN(hash_leaves_nothing);
	free(window);
	return check_exit();
}
