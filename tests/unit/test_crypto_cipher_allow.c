// SPDX-License-Identifier: Apache-2.0
// Cipher specifications: what they parse to, and which are allowed with which keys.
#include <cryptvol/crypto.h>

#include <sys/socket.h>

#include "check.h"
#include <cryptvol/base.h>

static const struct {
	const char *spec, *cipher, *mode, *iv;
	bool capi, null;
} parses[] = {
	{ "aes-xts-plain64", "aes", "xts", "plain64", false, false },
	{ "aes-cbc-essiv:sha256", "aes", "cbc", "essiv:sha256", false, false },
	{ "aes-cbc-essiv:sha3-256", "aes", "cbc", "essiv:sha3-256", false, false },
	{ "xchacha12,aes-adiantum-plain64", "xchacha12,aes", "adiantum", "plain64", false, false },
	{ "capi:xts(aes)-plain64", "aes", "xts", "plain64", true, false },
	{ "capi:cbc(aes)-essiv:sha3-256", "aes", "cbc", "essiv:sha3-256", true, false },
	{ "capi:essiv(cbc(aes),sha256)-plain64", "aes", "cbc", "essiv:sha256", true, false },
	{ "capi:adiantum(xchacha20,aes)-plain64", "xchacha20,aes", "adiantum", "plain64", true,
	  false },
	{ "capi:ecb(cipher_null)-null", "cipher_null", "ecb", "null", true, true },
	{ "cipher_null-ecb", "cipher_null", "ecb", "", false, true },
	{ "cipher_null-cbc-plain64", "cipher_null", "cbc", "plain64", false, true },
	{ "null", "cipher_null", "ecb", "", false, true },
	{ "cipher_null", "cipher_null", "ecb", "", false, true },
	{ "aes:64-cbc-lmk", "aes:64", "cbc", "lmk", false, false },
};

static void parse_parts(void)
{
	for (size_t i = 0; i < ARRAY_SIZE(parses); i++) {
		struct crypto_cipher c = { 0 };

		CHECK_MSG(!crypto_cipher_parse(parses[i].spec, &c, NULL), "%s", parses[i].spec);
		CHECK_STR(c.spec, parses[i].spec);
		CHECK_STR(c.cipher, parses[i].cipher);
		CHECK_STR(c.mode, parses[i].mode);
		CHECK_STR(c.iv, parses[i].iv);
		CHECK_INT(c.capi, parses[i].capi);
		CHECK_INT(c.null, parses[i].null);
	}
}

static void parse_refused(void)
{
	static const char *const broken[] = {
		"",
		"aes",
		"aes-",
		"-xts-plain64",
		"aes--plain64",
		"aes-xts-",
		"aes-xts",
		"aes-xts-plain64 1",
		"aes-xts-plain64\n",
		"aes-xts-plain64;x",
		"aes xts plain64",
		"capi:",
		"capi:xts(aes)",
		"capi:xts(aes)-",
		"capi:aes-xts-plain64",
		"capi:xts(aes-plain64",
		"capi:xts(aes))-plain64",
		"capi:(aes)-plain64",
		"capi:xts()-plain64",
		"capi:essiv(cbc(aes),sha256)-null",
		"capi:essiv(cbc(aes))-plain64",
		"capi:essiv(cbc(aes),)-plain64",
		"capi:authenc(hmac(sha256),xts(aes))-plain64",
		"aes-xts(aes)-plain64",
		"abcdefghijklmnopqrstuvwxyzabcdef-xts-plain64",
		"aes-abcdefghijklmnopqrstuvwxyzabcdef-plain64",
		"aes-xts-abcdefghijklmnopqrstuvwxyzabcdef",
		"aes-xts-"
		"plain64aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
		"aaaaaaaaa",
	};

	for (size_t i = 0; i < ARRAY_SIZE(broken); i++) {
		struct crypto_cipher c = { .spec = "untouched" };
		struct err e = { 0 };

		CHECK_MSG(crypto_cipher_parse(broken[i], &c, &e) == -EBADMSG, "\"%s\"", broken[i]);
		CHECK_STR(c.spec, "untouched");
		CHECK_CONTAINS(e.text, "no cipher specification");
		CHECK_MSG(crypto_cipher_check(broken[i], 32, true, &e) == -EOPNOTSUPP, "\"%s\"",
			  broken[i]);
	}
}

static const struct {
	const char *spec;
	size_t key_bytes;
	bool allowed;
} checks[] = {
	{ "aes-xts-plain64", 32, true },
	{ "aes-xts-plain64", 48, true },
	{ "aes-xts-plain64", 64, true },
	{ "aes-xts-plain", 64, true },
	{ "serpent-xts-plain64", 64, true },
	{ "twofish-xts-plain64", 32, true },
	{ "camellia-xts-plain64", 64, true },
	{ "aes-cbc-essiv:sha256", 16, true },
	{ "aes-cbc-essiv:sha256", 24, true },
	{ "aes-cbc-essiv:sha256", 32, true },
	{ "aes-cbc-essiv:sha3-256", 32, true },
	{ "aes-cbc-plain64", 32, true },
	{ "serpent-cbc-essiv:sha256", 32, true },
	{ "xchacha12,aes-adiantum-plain64", 32, true },
	{ "xchacha20,aes-adiantum-plain64", 32, true },
	{ "capi:xts(aes)-plain64", 64, true },
	{ "capi:essiv(cbc(aes),sha256)-plain64", 32, true },
	{ "capi:adiantum(xchacha12,aes)-plain64", 32, true },
	/* keys of another size */
	{ "aes-xts-plain64", 0, false },
	{ "aes-xts-plain64", 16, false },
	{ "aes-xts-plain64", 63, false },
	{ "aes-xts-plain64", 65, false },
	{ "aes-xts-plain64", 128, false },
	{ "aes-cbc-essiv:sha256", 64, false },
	{ "aes-cbc-essiv:sha256", 0, false },
	{ "xchacha12,aes-adiantum-plain64", 64, false },
	{ "xchacha12,aes-adiantum-plain64", 16, false },
	/* modes and IVs that don't keep the promise */
	{ "aes-ecb-plain64", 32, false },
	{ "aes-ecb-null", 32, false },
	{ "aes-cbc-null", 32, false },
	{ "aes-cbc-plain", 32, false },
	{ "aes-xts-null", 64, false },
	{ "aes-xts-random", 64, false },
	{ "aes-xts-plain64be", 64, false },
	{ "aes-xts-essiv:sha256", 64, false },
	{ "aes-cbc-essiv", 32, false },
	{ "aes-cbc-essiv:", 32, false },
	{ "aes-cbc-essiv:sha1", 32, false },
	{ "aes-cbc-essiv:sha512", 32, false },
	{ "aes-cbc-essiv:nonsense", 32, false },
	{ "aes-cbc-benbi", 32, false },
	{ "aes-ctr-plain64", 32, false },
	{ "aes-lrw-benbi", 48, false },
	{ "aes:64-cbc-lmk", 32, false },
	{ "AES-xts-plain64", 64, false },
	/* ciphers that don't */
	{ "des-cbc-essiv:sha256", 16, false },
	{ "blowfish-cbc-essiv:sha256", 16, false },
	{ "cast5-xts-plain64", 32, false },
	{ "rot13-xts-plain64", 32, false },
	{ "xchacha12-adiantum-plain64", 32, false },
	{ "xchacha8,aes-adiantum-plain64", 32, false },
	{ "aes-adiantum-plain64", 32, false },
	{ "capi:ecb(aes)-plain64", 32, false },
	{ "capi:xts(ecb(cipher_null))-plain64", 64, false },
	{ "capi:gcm(aes)-random", 32, false },
	{ "capi:essiv(aes,sha256)-plain64", 32, false },
	{ "capi:adiantum(xchacha12,cipher_null)-plain64", 32, false },
	/* null in all its spellings, not asked for */
	{ "null", 0, false },
	{ "cipher_null", 0, false },
	{ "cipher_null-ecb", 0, false },
	{ "cipher_null-ecb", 32, false },
	{ "cipher_null-xts-plain64", 64, false },
	{ "null-ecb", 32, false },
	{ "capi:ecb(cipher_null)-null", 32, false },
	{ "aes-cipher_null-plain64", 32, false },
};

static void check_table(void)
{
	for (size_t i = 0; i < ARRAY_SIZE(checks); i++) {
		struct err e = { 0 };
		int r = crypto_cipher_check(checks[i].spec, checks[i].key_bytes, false, &e);

		CHECK_MSG(r == (checks[i].allowed ? 0 : -EOPNOTSUPP), "%s with %zu bytes: %d",
			  checks[i].spec, checks[i].key_bytes, r);
		CHECK_MSG(checks[i].allowed == !e.text[0], "%s", checks[i].spec);
	}
}

static void refusal_lists_what_is_allowed(void)
{
	struct err e = { 0 };

	CHECK_INT(crypto_cipher_check("des-cbc-plain64", 8, false, &e), -EOPNOTSUPP);
	CHECK_CONTAINS(e.text, "\"des-cbc-plain64\" with a key of 64 bits");
	CHECK_CONTAINS(e.text, "-xts-{plain64,plain}");
	CHECK_CONTAINS(e.text, "aes-adiantum-plain64 with 256 bits");
}

static void null_only_by_name(void)
{
	CHECK_INT(crypto_cipher_check("cipher_null-ecb", 0, true, NULL), 0);
	CHECK_INT(crypto_cipher_check("cipher_null-ecb", 32, true, NULL), 0);
	CHECK_INT(crypto_cipher_check("null", 0, true, NULL), 0);
	/* the permission is for null ciphers, not for weak ones */
	CHECK_INT(crypto_cipher_check("aes-ecb-null", 32, true, NULL), -EOPNOTSUPP);
	CHECK_INT(crypto_cipher_check("aes-cipher_null-plain64", 32, true, NULL), -EOPNOTSUPP);
}

/* Whoever can't ask is not told no: a header may be made for another host. */
static void a_kernel_that_cannot_be_asked_refuses_nothing(void)
{
	int fd = socket(AF_ALG, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	struct crypto_cipher c = { 0 };

	if (fd >= 0) {
		close(fd);
		SKIP_TEST("this kernel has AF_ALG: test_crypto_cipher asks it");
	}
	CHECK_INT(crypto_cipher_parse("nonesuch-xts-plain64", &c, NULL), 0);
	CHECK_INT(crypto_cipher_available(&c, NULL), 0);
}

int main(void)
{
	RUN(parse_parts);
	RUN(parse_refused);
	RUN(check_table);
	RUN(refusal_lists_what_is_allowed);
	RUN(null_only_by_name);
	RUN(a_kernel_that_cannot_be_asked_refuses_nothing);
	return check_exit();
}
