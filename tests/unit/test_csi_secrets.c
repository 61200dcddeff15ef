// SPDX-License-Identifier: Apache-2.0
// Secrets: Longhorn's keys and meanings (its reference and the enhancement document), our stronger
// defaults as docs/csi/secrets-and-classes.md says, passphrases byte for byte, and messages without
// a value.
#include "csi_request.h"

/* Stands in each value that is refused. */
#define WORD "geheim"

static const struct csi_class encrypted = { .encrypted = true };

static int take_one(const char *key, const char *value, struct csi_keys *k, struct err *e)
{
	struct map m = { .n = 0 };
	int r;

	map_add(&m, key, value);
	*e = (struct err){ 0 };
	r = csi_keys_take(map_of(&m), &encrypted, false, k, e);
	map_clear(&m);
	return r;
}

/* ---- settings ---- */

/* AES-256 in XTS and argon2id, as cryptsetup's luksFormat, with RFC 9106's second choice of memory.
 */
static void defaults_are_strong(void)
{
	struct csi_keys k;
	struct err e;

	CHECK_INT(take_one("CRYPTO_KEY_VALUE", WORD, &k, &e), 0);
	CHECK_STR(k.cipher, "aes-xts-plain64");
	CHECK_INT(k.key_bytes, 64);
	CHECK_STR(k.hash, "sha256");
	CHECK_INT(k.pbkdf.type, CRYPTO_ARGON2ID);
	CHECK_INT(k.pbkdf.memory_kib, 64 * 1024);
	CHECK_INT(k.pbkdf.force_iterations, 0);
	csi_keys_clear(&k);
	CHECK(!k.value && !k.previous);
}

static void empty_counts_as_absent(void)
{
	static const char *const keys[] = { "CRYPTO_KEY_VALUE",	   "CRYPTO_KEY_VALUE_PREVIOUS",
					    "CRYPTO_KEY_PROVIDER", "CRYPTO_KEY_CIPHER",
					    "CRYPTO_KEY_HASH",	   "CRYPTO_KEY_SIZE",
					    "CRYPTO_PBKDF",	   "CRYPTO_PBKDF_FORCE_ITERATIONS",
					    "CRYPTO_PBKDF_MEMORY" };

	for (size_t i = 0; i < ARRAY_SIZE(keys); i++) {
		struct csi_keys k;
		struct err e;

		CHECK_MSG(!take_one(keys[i], "", &k, &e), "%s: %s", keys[i], err_text(&e));
		CHECK(!k.value && !k.previous);
		CHECK_INT(k.key_bytes, 64);
		CHECK_INT(k.pbkdf.type, CRYPTO_ARGON2ID);
		csi_keys_clear(&k);
	}
}

/* The enhancement document's Secret, and its sample for FIPS. */
static void longhorns_secrets_are_taken(void)
{
	struct map m = { .n = 0 };
	struct csi_keys k;
	struct err e = { 0 };

	map_add(&m, "CRYPTO_KEY_VALUE", "Your encryption passphrase");
	map_add(&m, "CRYPTO_KEY_PROVIDER", "secret");
	map_add(&m, "CRYPTO_KEY_CIPHER", "aes-xts-plain64");
	map_add(&m, "CRYPTO_KEY_HASH", "sha256");
	map_add(&m, "CRYPTO_KEY_SIZE", "256");
	map_add(&m, "CRYPTO_PBKDF", "argon2i");
	map_add(&m, "CRYPTO_PBKDF_FORCE_ITERATIONS", "5");
	map_add(&m, "CRYPTO_PBKDF_MEMORY", "65536");
	CHECK_INT(csi_keys_take(map_of(&m), &encrypted, true, &k, &e), 0);
	CHECK_INT(k.key_bytes, 32);
	CHECK_INT(k.pbkdf.type, CRYPTO_ARGON2I);
	CHECK_INT(k.pbkdf.force_iterations, 5);
	CHECK_INT(k.pbkdf.memory_kib, 65536);
	csi_keys_clear(&k);
	map_clear(&m);
	map_add(&m, "CRYPTO_KEY_VALUE", "passphrase");
	map_add(&m, "CRYPTO_KEY_CIPHER", "aes-cbc-essiv:sha256");
	map_add(&m, "CRYPTO_KEY_SIZE", "256");
	map_add(&m, "CRYPTO_PBKDF", "pbkdf2");
	map_add(&m, "CRYPTO_PBKDF_FORCE_ITERATIONS", "200000");
	map_add(&m, "CRYPTO_PBKDF_MEMORY", "0");
	CHECK_MSG(!csi_keys_take(map_of(&m), &encrypted, true, &k, &e), "%s", err_text(&e));
	CHECK_STR(k.cipher, "aes-cbc-essiv:sha256");
	CHECK_INT(k.key_bytes, 32);
	CHECK_INT(k.pbkdf.type, CRYPTO_PBKDF2);
	CHECK_INT(k.pbkdf.force_iterations, 200000);
	CHECK_INT(k.pbkdf.memory_kib, 0);
	csi_keys_clear(&k);
	map_clear(&m);
}

static const struct {
	const char *key, *value;
	bool good;
} settings[] = {
	{ "CRYPTO_KEY_PROVIDER", "secret", true },
	{ "CRYPTO_KEY_PROVIDER", "Secret", false },
	{ "CRYPTO_KEY_PROVIDER", "vault " WORD, false },
	{ "CRYPTO_KEY_CIPHER", "aes-xts-plain64", true },
	{ "CRYPTO_KEY_CIPHER", "serpent-xts-plain64", true },
	{ "CRYPTO_KEY_CIPHER", "aes-cbc-essiv:sha256", true },
	{ "CRYPTO_KEY_CIPHER", "xchacha12,aes-adiantum-plain64", true },
	{ "CRYPTO_KEY_CIPHER", WORD, false },
	{ "CRYPTO_KEY_CIPHER", "aes-xts-" WORD, false },
	{ "CRYPTO_KEY_CIPHER", "cipher_null-ecb", false },
	{ "CRYPTO_KEY_CIPHER", "aes-ecb", false },
	{ "CRYPTO_KEY_CIPHER", "capi:xts(" WORD ")", false },
	{ "CRYPTO_KEY_CIPHER",
	  WORD
	  "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
	  "xx"
	  "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
	  false },
	{ "CRYPTO_KEY_SIZE", "512", true },
	{ "CRYPTO_KEY_SIZE", "256", true },
	{ "CRYPTO_KEY_SIZE", "0", true }, /* as if absent */
	{ "CRYPTO_KEY_SIZE", "257", false },
	{ "CRYPTO_KEY_SIZE", "128", false },
	{ "CRYPTO_KEY_SIZE", "1024", false },
	{ "CRYPTO_KEY_SIZE", "-256", false },
	{ "CRYPTO_KEY_SIZE", "256 ", false },
	{ "CRYPTO_KEY_SIZE", "0x100", false },
	{ "CRYPTO_KEY_SIZE", "4294967552", false }, /* 2^32 + 256 */
	{ "CRYPTO_KEY_SIZE", WORD, false },
	{ "CRYPTO_KEY_HASH", "sha256", true },
	{ "CRYPTO_KEY_HASH", "sha512", true },
	{ "CRYPTO_KEY_HASH", "sha256 " WORD, false },
	{ "CRYPTO_KEY_HASH", WORD, false },
	{ "CRYPTO_PBKDF", "argon2id", true },
	{ "CRYPTO_PBKDF", "argon2i", true },
	{ "CRYPTO_PBKDF", "pbkdf2", true },
	{ "CRYPTO_PBKDF", "scrypt " WORD, false },
	{ "CRYPTO_PBKDF", "argon2d", false },
	{ "CRYPTO_PBKDF_FORCE_ITERATIONS", "4", true }, /* cryptsetup's least for argon2 */
	{ "CRYPTO_PBKDF_FORCE_ITERATIONS", "3", false },
	{ "CRYPTO_PBKDF_FORCE_ITERATIONS", "many " WORD, false },
	{ "CRYPTO_PBKDF_MEMORY", "0", true },
	{ "CRYPTO_PBKDF_MEMORY", "32", true },
	{ "CRYPTO_PBKDF_MEMORY", "4194304", true },
	{ "CRYPTO_PBKDF_MEMORY", "31", false },
	{ "CRYPTO_PBKDF_MEMORY", "4194305", false },
	{ "CRYPTO_PBKDF_MEMORY", "64M", false },
	/* misspelt: without this the volume would be encrypted with something else than was meant
	 */
	{ "CRYPTO_KEY_VALU", WORD, false },
	{ "CRYPTO_", WORD, false },
	{ "CRYPTO_KEY_VALUE ", WORD, false },
	/* somebody else's */
	{ "password", WORD, true },
	{ "crypto_key_cipher", WORD, true },
};

/* By the call that takes the Secret and by those that only see it. */
static void settings_are_taken_and_refused(void)
{
	for (size_t i = 0; i < ARRAY_SIZE(settings); i++) {
		const char *key = settings[i].key, *value = settings[i].value;
		struct map m = { .n = 0 };
		struct err e, seen = { 0 };
		struct csi_keys k;
		int r = take_one(key, value, &k, &e);

		map_add(&m, key, value);
		CHECK_MSG(!r == settings[i].good, "%s=%s: %s", key, value,
			  r ? err_text(&e) : "taken");
		CHECK_INT(csi_keys_check(map_of(&m), &seen), r);
		CHECK_STR(m.entries[0].value, value);
		if (r) {
			CHECK_INT(r, -EINVAL);
			CHECK_CONTAINS(err_text(&e), key);
			CHECK_STR(err_text(&seen), err_text(&e));
			CHECK_MSG(!strstr(err_text(&e), WORD), "the value is shown: %s",
				  err_text(&e));
			CHECK(!k.value && !k.previous);
		}
		csi_keys_clear(&k);
		map_clear(&m);
	}
}

/* cryptsetup's least for pbkdf2 is 1000. */
static void pbkdf2_has_its_own_least(void)
{
	struct map m = { .n = 0 };
	struct csi_keys k;
	struct err e = { 0 };

	map_add(&m, "CRYPTO_PBKDF", "pbkdf2");
	map_add(&m, "CRYPTO_PBKDF_FORCE_ITERATIONS", "999");
	CHECK_INT(csi_keys_take(map_of(&m), &encrypted, false, &k, &e), -EINVAL);
	CHECK_CONTAINS(err_text(&e), "CRYPTO_PBKDF_FORCE_ITERATIONS");
	map_clear(&m);
	map_add(&m, "CRYPTO_PBKDF", "pbkdf2");
	map_add(&m, "CRYPTO_PBKDF_FORCE_ITERATIONS", "1000");
	CHECK_INT(csi_keys_take(map_of(&m), &encrypted, false, &k, &e), 0);
	csi_keys_clear(&k);
	map_clear(&m);
}

static void a_random_key_is_cheap(void)
{
	const struct csi_class cheap = { .encrypted = true, .high_entropy = true };
	struct map m = { .n = 0 };
	struct csi_keys k;
	struct err e = { 0 };

	map_add(&m, "CRYPTO_KEY_VALUE", "x");
	CHECK_INT(csi_keys_take(map_of(&m), &cheap, true, &k, &e), 0);
	CHECK(k.pbkdf.high_entropy && !k.pbkdf.memory_kib);
	csi_keys_clear(&k);
	map_clear(&m);
}

/* ---- passphrases ---- */

static void passphrases_are_byte_exact(void)
{
	static const char *const values[] = {
		"x",	    "a\n", "\n",   "\r\n", " a ", "a\nb\n", "\t", "p\xc3\xa4ssw\xc3\xb6rd",
		"\x01\x7f", "\\0", "\"'$`"
	};

	for (size_t i = 0; i < ARRAY_SIZE(values); i++) {
		size_t n = strlen(values[i]), left = 0;
		struct map m = { .n = 0 };
		struct csi_keys k;
		struct err e = { 0 };

		map_add(&m, "CRYPTO_KEY_VALUE_PREVIOUS", values[i]);
		map_add(&m, "CRYPTO_KEY_VALUE", values[i]);
		CHECK_INT(csi_keys_take(map_of(&m), &encrypted, true, &k, &e), 0);
		REQUIRE(k.value && k.previous);
		CHECK(k.value->len == n && !memcmp(k.value->data, values[i], n));
		CHECK(k.previous->len == n && !memcmp(k.previous->data, values[i], n));
		for (size_t at = 0; at < n; at++)
			left += m.entries[0].value[at] || m.entries[1].value[at];
		CHECK_MSG(!left, "%zu bytes were left in the request", left);
		csi_keys_clear(&k);
		map_clear(&m);
	}
}

static void passphrases_have_64_kib_at_most(void)
{
	static char value[65538];
	struct csi_keys k;
	struct err e;

	memset(value, 'x', 65536);
	CHECK_INT(take_one("CRYPTO_KEY_VALUE", value, &k, &e), 0);
	CHECK(k.value && k.value->len == 65536);
	csi_keys_clear(&k);
	value[65536] = 'x';
	CHECK_INT(take_one("CRYPTO_KEY_VALUE", value, &k, &e), -EINVAL);
	CHECK_CONTAINS(err_text(&e), "CRYPTO_KEY_VALUE");
	CHECK(!strstr(err_text(&e), "xxx"));
}

static void a_passphrase_may_be_required(void)
{
	struct map m = { .n = 0 };
	struct csi_keys k;
	struct err e = { 0 };

	CHECK_INT(csi_keys_take(map_of(&m), &encrypted, true, &k, &e), -EINVAL);
	CHECK_CONTAINS(err_text(&e), "CRYPTO_KEY_VALUE: missing");
	map_add(&m, "CRYPTO_KEY_VALUE", "");
	map_add(&m, "CRYPTO_KEY_VALUE_PREVIOUS", WORD);
	CHECK_INT(csi_keys_take(map_of(&m), &encrypted, true, &k, &e), -EINVAL);
	CHECK_CONTAINS(err_text(&e), "CRYPTO_KEY_VALUE: missing");
	CHECK(!k.value && !k.previous);
	map_clear(&m);
	CHECK_INT(csi_keys_take(map_of(&m), &encrypted, false, &k, &e), 0);
	CHECK(!k.value);
	CHECK_INT(csi_keys_check(map_of(&m), &e), 0);
}

/* No Secret is fine at a call that needs none; one without a passphrase can't be meant for an
 * encrypted volume. */
static void a_secret_of_an_encrypted_class_has_a_passphrase(void)
{
	const struct csi_class plain = { .encrypted = false };
	struct map m = { .n = 0 };
	struct err e = { 0 };

	CHECK_INT(csi_keys_check_for(map_of(&m), &encrypted, &e), 0);
	map_add(&m, "CRYPTO_KEY_CIPHER", "aes-xts-plain64");
	CHECK_INT(csi_keys_check_for(map_of(&m), &encrypted, &e), -EINVAL);
	CHECK_CONTAINS(err_text(&e), "CRYPTO_KEY_VALUE");
	CHECK_INT(csi_keys_check_for(map_of(&m), &plain, &e), 0);
	map_add(&m, "CRYPTO_KEY_VALUE", "");
	CHECK_INT(csi_keys_check_for(map_of(&m), &encrypted, &e), -EINVAL);
	map_add(&m, "CRYPTO_PBKDF", WORD);
	CHECK_INT(csi_keys_check_for(map_of(&m), &plain, &e), -EINVAL);
	CHECK(!strstr(err_text(&e), WORD));
	map_clear(&m);
	map_add(&m, "CRYPTO_KEY_VALUE", "x");
	CHECK_INT(csi_keys_check_for(map_of(&m), &encrypted, &e), 0);
	CHECK_STR(m.entries[0].value, "x");
	map_clear(&m);
}

int main(void)
{
	RUN(defaults_are_strong);
	RUN(empty_counts_as_absent);
	RUN(longhorns_secrets_are_taken);
	RUN(settings_are_taken_and_refused);
	RUN(pbkdf2_has_its_own_least);
	RUN(a_random_key_is_cheap);
	RUN(passphrases_are_byte_exact);
	RUN(passphrases_have_64_kib_at_most);
	RUN(a_passphrase_may_be_required);
	RUN(a_secret_of_an_encrypted_class_has_a_passphrase);
	return check_exit();
}
