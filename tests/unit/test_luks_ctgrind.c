// SPDX-License-Identifier: Apache-2.0
// What handles keys takes no branch and looks up no table by them: under valgrind secrets are
// marked as undefined, and memcheck speaks up where something depends on what is undefined. Two
// controls show that it would: a comparison that stops early, and argon2id, whose second half reads
// memory by what the passphrase was.
#include <cryptvol/base.h>
#include <cryptvol/crypto.h>
#include <luks/internal.h>

#include <sys/wait.h>
#include <unistd.h>

#include "check.h"

#if __has_include(<valgrind/memcheck.h>)
#include <valgrind/memcheck.h>

#define FOUND 99 /* exit status where memcheck found more than is allowed */
#define KEY_BYTES 64

/* The passphrase of a derivation, or any other secret. */
static struct secret *hidden(size_t len)
{
	struct secret *s;

	if (secret_random(len, &s, NULL))
		exit(1);
	VALGRIND_MAKE_MEM_UNDEFINED(s->data, s->len);
	return s;
}

static struct secret *room(size_t len)
{
	struct secret *s;

	if (secret_new(len, &s, NULL))
		exit(1);
	return s;
}

/* Of what is computed from a secret the result may be looked at. */
static void use_bool(bool v)
{
	VALGRIND_MAKE_MEM_DEFINED(&v, sizeof(v));
	if (v)
		_exit(1); /* random keys aren't equal */
}

static void compare(void)
{
	struct secret *a = hidden(KEY_BYTES), *b = hidden(KEY_BYTES);

	use_bool(crypto_equal(a->data, b->data, KEY_BYTES));
}

static __attribute__((noinline)) bool leaky_equal(const unsigned char *a, const unsigned char *b,
						  size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (a[i] != b[i])
			return false;
	return true;
}

static void compare_leaky(void)
{
	struct secret *a = hidden(KEY_BYTES), *b = hidden(KEY_BYTES);

	use_bool(leaky_equal(a->data, b->data, KEY_BYTES));
}

static void hex_encode(void)
{
	struct secret *key = hidden(KEY_BYTES), *text = room(2 * KEY_BYTES + 1);

	text_hex(key->data, KEY_BYTES, (char *)text->data);
}

static void hex_decode(void)
{
	struct secret *key = room(KEY_BYTES), *text = room(2 * KEY_BYTES);
	int r;

	for (size_t i = 0; i < text->cap; i++)
		text->data[i] = (unsigned char)"0123456789abcdefABCDEF"[i % 22];
	VALGRIND_MAKE_MEM_UNDEFINED(text->data, text->cap);
	/* one branch, by whether all of it is hex, is allowed */
	r = text_unhex_chars((const char *)text->data, text->cap, key->data, key->cap, &key->len);
	VALGRIND_MAKE_MEM_DEFINED(&r, sizeof(r));
	if (r)
		_exit(1);
}

static void derive(const struct crypto_pbkdf *p)
{
	static const struct crypto_kdf_config config;
	struct secret *pass = hidden(20), *key = room(KEY_BYTES);
	unsigned char salt[CRYPTO_SALT_BYTES] = { 7 };
	struct crypto_kdf *kdf;

	if (crypto_kdf_new(&config, &kdf, NULL) ||
	    crypto_kdf_derive(kdf, p, pass, salt, sizeof(salt), key, NULL))
		_exit(1);
	crypto_kdf_free(kdf);
}

#define PBKDF2_CASE(name)                                                     \
	static void pbkdf2_##name(void)                                       \
	{                                                                     \
		static const struct crypto_pbkdf p = { .type = CRYPTO_PBKDF2, \
						       .hash = #name,         \
						       .iterations = 10 };    \
                                                                              \
		derive(&p);                                                   \
	}
PBKDF2_CASE(sha1)
PBKDF2_CASE(sha256)
PBKDF2_CASE(sha512)

static void argon2i(void)
{
	derive(&(struct crypto_pbkdf){
		.type = CRYPTO_ARGON2I, .iterations = 4, .memory_kib = 64, .parallel = 2 });
}

static void argon2id(void)
{
	derive(&(struct crypto_pbkdf){
		.type = CRYPTO_ARGON2ID, .iterations = 4, .memory_kib = 64, .parallel = 2 });
}

#define AF_CASE(name)                                                            \
	static void af_##name(void)                                              \
	{                                                                        \
		struct secret *key = hidden(KEY_BYTES);                          \
		struct secret *stripes = room(KEY_BYTES * LUKS_AF_STRIPES + 64); \
		struct secret *merged = room(KEY_BYTES + CRYPTO_HASH_MAX_BYTES); \
                                                                                 \
		if (luks_af_split(#name, key, stripes, NULL) ||                  \
		    luks_af_merge(#name, stripes, KEY_BYTES, merged, NULL))      \
			_exit(1);                                                \
	}
AF_CASE(sha1)
AF_CASE(sha256)
AF_CASE(sha512)

/* The area's cipher where the processor has AES instructions. Allowed, once a call: whether the
 * halves of the key are equal. */
static void aes_xts(void)
{
	struct secret *key = hidden(KEY_BYTES), *area = hidden(4096);
	struct crypto_cipher c;

	if (!__builtin_cpu_supports("aes"))
		return;
	if (crypto_cipher_parse("aes-xts-plain64", &c, NULL) ||
	    crypto_cipher_run(&c, key, true, area->data, area->len, 0, NULL) ||
	    crypto_cipher_run(&c, key, false, area->data, area->len, 0, NULL))
		_exit(1);
}

static const struct {
	const char *name;
	void (*run)(void);
	unsigned int allowed;
	int status;
} cases[] = {
	{ "compare", compare, 0, 0 },
	{ "a comparison that stops early is found", compare_leaky, 0, FOUND },
	{ "hex_encode", hex_encode, 0, 0 },
	{ "hex_decode", hex_decode, 1, 0 },
	{ "pbkdf2_sha1", pbkdf2_sha1, 0, 0 },
	{ "pbkdf2_sha256", pbkdf2_sha256, 0, 0 },
	{ "pbkdf2_sha512", pbkdf2_sha512, 0, 0 },
	{ "argon2i", argon2i, 0, 0 },
	{ "argon2id's second half is found", argon2id, 0, FOUND },
	{ "af_sha1", af_sha1, 0, 0 },
	{ "af_sha256", af_sha256, 0, 0 },
	{ "af_sha512", af_sha512, 0, 0 },
	{ "aes_xts", aes_xts, 2, 0 },
};

/* This program again, under valgrind, for one case. What a control finds isn't shown. */
static int under_valgrind(const char *self, const char *number, bool quiet)
{
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		if (quiet && !freopen("/dev/null", "w", stderr))
			_exit(127);
		execlp("valgrind", "valgrind", "-q", self, number, (char *)NULL);
		_exit(127);
	}
	if (pid < 0 || waitpid(pid, &status, 0) != pid || !WIFEXITED(status))
		return -1;
	return WEXITSTATUS(status);
}

int main(int argc, char **argv)
{
	if (argc > 1) {
		int i = atoi(argv[1]);

		cases[i].run();
		if (!RUNNING_ON_VALGRIND)
			return 1;
		return VALGRIND_COUNT_ERRORS > cases[i].allowed ? FOUND : 0;
	}
	if (check_sanitized() || system("command -v valgrind >/dev/null")) {
		printf("SKIP ctgrind: no valgrind for this program\n");
		return 77;
	}
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		char number[8];

		snprintf(number, sizeof(number), "%zu", i);
		CHECK_INT(under_valgrind(argv[0], number, cases[i].status == FOUND),
			  cases[i].status);
		check_report(cases[i].name);
	}
	return check_exit();
}

#else

int main(void)
{
	printf("SKIP ctgrind: no valgrind\n");
	return 77;
}

#endif
