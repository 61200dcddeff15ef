// SPDX-License-Identifier: Apache-2.0
// Targets to text and back: the kernel's spelling, versions, and what must not get into a table.
#include "check.h"
#include "dm/internal.h"

#define KEY_HEX "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"
#define ALL_FLAGS                                                                               \
	(DM_CRYPT_ALLOW_DISCARDS | DM_CRYPT_SAME_CPU_CRYPT | DM_CRYPT_SUBMIT_FROM_CRYPT_CPUS |  \
	 DM_CRYPT_NO_READ_WORKQUEUE | DM_CRYPT_NO_WRITE_WORKQUEUE | DM_CRYPT_IV_LARGE_SECTORS | \
	 DM_CRYPT_HIGH_PRIORITY)

static struct secret *key;

static void make_key(void)
{
	unsigned char bytes[32];

	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (unsigned char)i;
	if (secret_from_bytes(bytes, sizeof(bytes), &key, NULL))
		abort();
}

/* Spelling and order as in the kernel's dm-crypt.rst and as cryptsetup writes them. */
static const struct crypt_case {
	const char *name, *text;
	struct dm_crypt crypt;
	bool with_key;
} crypt_cases[] = {
	{ "crypt_hex",
	  "aes-xts-plain64 " KEY_HEX " 0 8:1 32768",
	  { .cipher = "aes-xts-plain64" },
	  true },
	{ "crypt_no_key",
	  "cipher_null-ecb - 7 8:1 32768",
	  { .cipher = "cipher_null-ecb", .iv_offset_sectors = 7 },
	  false },
	{ "crypt_keyring",
	  "aes-xts-plain64 :64:logon:cryptsetup:aa-d0 0 8:1 32768 1 allow_discards",
	  { .cipher = "aes-xts-plain64",
	    .key_description = "logon:cryptsetup:aa-d0",
	    .key_bytes = 64,
	    .flags = DM_CRYPT_ALLOW_DISCARDS },
	  false },
	{ "crypt_sector_size",
	  "aes-xts-plain64 :64:logon:cryptsetup:aa-d0 0 8:1 32768 1 sector_size:4096",
	  { .cipher = "aes-xts-plain64",
	    .key_description = "logon:cryptsetup:aa-d0",
	    .key_bytes = 64,
	    .sector_size_bytes = 4096 },
	  false },
	{ "crypt_all_flags",
	  "capi:xts(aes)-plain64 " KEY_HEX " 1 8:1 32768 7 allow_discards same_cpu_crypt "
	  "submit_from_crypt_cpus no_read_workqueue no_write_workqueue iv_large_sectors "
	  "high_priority",
	  { .cipher = "capi:xts(aes)-plain64", .iv_offset_sectors = 1, .flags = ALL_FLAGS },
	  true },
	{ "crypt_integrity",
	  "capi:authenc(hmac(sha256),xts(aes))-random " KEY_HEX " 0 8:1 32768 3 sector_size:512000 "
	  "integrity:28:aead integrity_key_size:32",
	  { .cipher = "capi:authenc(hmac(sha256),xts(aes))-random",
	    .sector_size_bytes = 512000,
	    .integrity = "28:aead",
	    .integrity_key_bytes = 32 },
	  true },
};

static void crypt_case(const struct crypt_case *c)
{
	struct secret *text = NULL, *back_key = NULL;
	struct dm_target t = {
		.type = DM_TARGET_CRYPT, .dev_major = 8, .dev_minor = 1, .crypt = c->crypt
	};
	struct dm_target back;
	struct err e = { 0 };

	t.crypt.device_offset_sectors = 32768;
	if (c->with_key)
		t.crypt.key = key;
	CHECK_INT(dm_format_params(&t, &text, &e), 0);
	REQUIRE(text);
	CHECK_STR((char *)text->data, c->text);
	CHECK_INT(text->len, strlen(c->text));
	CHECK_INT(dm_parse_params("crypt", c->text, &back, &back_key, &e), 0);
	CHECK_INT(back.type, DM_TARGET_CRYPT);
	CHECK_STR(back.type_name, "crypt");
	CHECK_INT(back.dev_major, 8);
	CHECK_INT(back.dev_minor, 1);
	CHECK_STR(back.crypt.cipher, c->crypt.cipher);
	CHECK_STR(back.crypt.key_description, c->crypt.key_description);
	CHECK_STR(back.crypt.integrity, c->crypt.integrity);
	CHECK_INT(back.crypt.key_bytes, c->with_key ? 32 : c->crypt.key_bytes);
	CHECK_INT(back.crypt.iv_offset_sectors, c->crypt.iv_offset_sectors);
	CHECK_INT(back.crypt.device_offset_sectors, 32768);
	CHECK_INT(back.crypt.sector_size_bytes, c->crypt.sector_size_bytes);
	CHECK_INT(back.crypt.integrity_key_bytes, c->crypt.integrity_key_bytes);
	CHECK_INT(back.crypt.flags, c->crypt.flags);
	CHECK(!back.crypt.unknown_options);
	CHECK(c->with_key == !!back_key);
	CHECK(!back_key || (back.crypt.key == back_key && secret_equal(back_key, key)));
	secret_free(text);
	secret_free(back_key);
}

static void format(const struct dm_target *t, const char *want)
{
	struct secret *text = NULL;
	struct err e = { 0 };

	CHECK_INT(dm_format_params(t, &text, &e), 0);
	REQUIRE(text);
	CHECK_STR((char *)text->data, want);
	secret_free(text);
}

static void other_targets(void)
{
	struct dm_target t = { .type = DM_TARGET_LINEAR, .dev_major = 253, .dev_minor = 7 }, back;
	struct err e = { 0 };

	t.linear.device_offset_sectors = 18446744073709551615ULL;
	format(&t, "253:7 18446744073709551615");
	CHECK_INT(dm_parse_params("linear", "253:7 18446744073709551615", &back, NULL, &e), 0);
	CHECK(back.linear.device_offset_sectors == 18446744073709551615ULL);
	t.type = DM_TARGET_ERROR;
	format(&t, "");
	CHECK_INT(dm_parse_params("error", "", &back, NULL, &e), 0);
	CHECK_INT(back.type, DM_TARGET_ERROR);
	t.type = DM_TARGET_INTEGRITY;
	t.integrity = (struct dm_integrity){ .offset_sectors = 16, .tag_bytes = 28, .mode = 'J' };
	format(&t, "253:7 16 28 J 0");
	t.integrity.tag_bytes = 0;
	t.integrity.mode = 'D';
	t.integrity.params = "internal_hash:crc32c block_size:4096";
	t.integrity.n_params = 2;
	format(&t, "253:7 16 - D 2 internal_hash:crc32c block_size:4096");
	CHECK_INT(dm_parse_params("integrity",
				  "253:7 16 - D 2 internal_hash:hmac(sha256):00 block_size:4096",
				  &back, NULL, &e),
		  0);
	CHECK_INT(back.integrity.mode, 'D');
	CHECK_INT(back.integrity.offset_sectors, 16);
	CHECK_INT(back.integrity.n_params, 2);
	CHECK(!back.integrity.params);
	CHECK_INT(dm_parse_params("striped", "2 8 8:1 0 8:2 0", &back, NULL, &e), 0);
	CHECK_INT(back.type, DM_TARGET_OTHER);
	CHECK_STR(back.type_name, "striped");
}

/* A text from a header must stay one word: it could bring parameters of its own. */
static void refused_to_write(void)
{
	static const char *const bad[] = { "",		"aes xts",	  "aes-xts-plain64\t",
					   "aes\\ xts", "aes\n0 8 error", "aes\x7f" };
	struct dm_target t = { .type = DM_TARGET_CRYPT, .dev_major = 8 };
	struct secret *text = NULL;
	struct err e = { 0 };

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		(void)text_copy(t.crypt.cipher, sizeof(t.crypt.cipher), bad[i]);
		CHECK_INT(dm_format_params(&t, &text, &e), -EINVAL);
	}
	(void)text_copy(t.crypt.cipher, sizeof(t.crypt.cipher), "aes-xts-plain64");
	(void)text_copy(t.crypt.integrity, sizeof(t.crypt.integrity), "28:aead 1");
	CHECK_INT(dm_format_params(&t, &text, &e), -EINVAL);
	t.crypt.integrity[0] = '\0';
	(void)text_copy(t.crypt.key_description, sizeof(t.crypt.key_description), "logon:a b");
	CHECK_INT(dm_format_params(&t, &text, &e), -EINVAL);
	(void)text_copy(t.crypt.key_description, sizeof(t.crypt.key_description), "logon:a:b");
	t.crypt.key = key;
	CHECK_INT(dm_format_params(&t, &text, &e), -EINVAL);
	t.crypt.key = NULL;
	t.crypt.flags = 1u << 30;
	CHECK_INT(dm_format_params(&t, &text, &e), -EINVAL);
	t.crypt.flags = 0;
	t.crypt.unknown_options = true;
	CHECK_INT(dm_format_params(&t, &text, &e), -EOPNOTSUPP);
	t.type = DM_TARGET_OTHER;
	CHECK_INT(dm_format_params(&t, &text, &e), -EOPNOTSUPP);
	t.type = DM_TARGET_INTEGRITY;
	t.integrity = (struct dm_integrity){ .mode = 'X' };
	CHECK_INT(dm_format_params(&t, &text, &e), -EINVAL);
	t.integrity = (struct dm_integrity){ .mode = 'J', .n_params = 1 };
	CHECK_INT(dm_format_params(&t, &text, &e), -EINVAL);
	CHECK(!text);
}

static void refused_to_read(void)
{
	static const struct {
		const char *type, *params;
	} bad[] = {
		{ "linear", "" },
		{ "linear", "8:1" },
		{ "linear", "8 0" },
		{ "linear", "8:1:1 0" },
		{ "linear", ":1 0" },
		{ "linear", "8: 0" },
		{ "linear", "8:1 -1" },
		{ "linear", "8:1 18446744073709551616" },
		{ "linear", "4294967296:1 0" },
		{ "crypt", "" },
		{ "crypt", "aes-xts-plain64" },
		{ "crypt", "aes-xts-plain64 abc 0 8:1 0" },
		{ "crypt", "aes-xts-plain64 0g 0 8:1 0" },
		{ "crypt", "aes-xts-plain64 : 0 8:1 0" },
		{ "crypt", "aes-xts-plain64 :64 0 8:1 0" },
		{ "crypt", "aes-xts-plain64 :64: 0 8:1 0" },
		{ "crypt", "aes-xts-plain64 :x:logon:a 0 8:1 0" },
		{ "crypt", "aes-xts-plain64 00 x 8:1 0" },
		{ "crypt", "aes-xts-plain64 00 0 8:1" },
		{ "crypt", "aes-xts-plain64 00 0 8:1 0 1" },
		{ "crypt", "aes-xts-plain64 00 0 8:1 0 2 allow_discards" },
		{ "crypt", "aes-xts-plain64 00 0 8:1 0 1 allow_discards same_cpu_crypt" },
		{ "crypt", "aes-xts-plain64 00 0 8:1 0 1 sector_size:x" },
		{ "crypt", "aes-xts-plain64 00 0 8:1 0 1 sector_size:" },
		{ "integrity", "8:1 0 28" },
		{ "integrity", "8:1 0 28 JJ 0" },
		{ "integrity", "8:1 0 x J 0" },
		{ "a-type-name-of-seventeen", "" },
	};
	struct dm_target t;
	struct secret *k = NULL;
	struct err e = { 0 };

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		CHECK_MSG(dm_parse_params(bad[i].type, bad[i].params, &t, &k, &e) == -EBADMSG,
			  "%s %s", bad[i].type, bad[i].params);
	CHECK(!k);
}

/* What a newer kernel may print: it can be looked at, but not written again. */
static void unknown_options(void)
{
	struct dm_target t;
	struct err e = { 0 };

	CHECK_INT(dm_parse_params("crypt",
				  "aes-xts-plain64 00 0 8:1 0 2 allow_discards brand_new:1", &t,
				  NULL, &e),
		  0);
	CHECK(t.crypt.unknown_options);
	CHECK_INT(t.crypt.flags, DM_CRYPT_ALLOW_DISCARDS);
	CHECK_INT(dm_parse_params("crypt", "aes-xts-plain64 00 0 8:1 0 1 allow_discards2", &t, NULL,
				  &e),
		  0);
	CHECK(t.crypt.unknown_options);
}

static void long_keys(void)
{
	struct dm_target t = { .type = DM_TARGET_CRYPT, .dev_major = 8 }, back;
	struct secret *big = NULL, *text = NULL, *back_key = NULL;
	struct err e = { 0 };

	REQUIRE(!secret_random(4096, &big, &e));
	(void)text_copy(t.crypt.cipher, sizeof(t.crypt.cipher), "aes:64-cbc-lmk");
	t.crypt.key = big;
	CHECK_INT(dm_format_params(&t, &text, &e), 0);
	REQUIRE(text);
	CHECK_INT(dm_parse_params("crypt", (char *)text->data, &back, &back_key, &e), 0);
	CHECK(back_key && secret_equal(back_key, big));
	secret_free(big);
	secret_free(text);
	secret_free(back_key);
}

static void versions(void)
{
	static const struct {
		uint32_t flag, version[3], before[3];
	} since[] = {
		{ DM_CRYPT_ALLOW_DISCARDS, { 1, 11, 0 }, { 1, 10, 9 } },
		{ DM_CRYPT_SAME_CPU_CRYPT, { 1, 14, 0 }, { 1, 13, 0 } },
		{ DM_CRYPT_SUBMIT_FROM_CRYPT_CPUS, { 1, 14, 0 }, { 1, 13, 0 } },
		{ DM_CRYPT_SECTOR_SIZE, { 1, 17, 0 }, { 1, 16, 0 } },
		{ DM_CRYPT_IV_LARGE_SECTORS, { 1, 17, 0 }, { 1, 16, 0 } },
		{ DM_CRYPT_INTEGRITY, { 1, 17, 0 }, { 1, 16, 0 } },
		{ DM_CRYPT_KEYRING, { 1, 18, 1 }, { 1, 18, 0 } },
		{ DM_CRYPT_NO_READ_WORKQUEUE, { 1, 22, 0 }, { 1, 21, 99 } },
		{ DM_CRYPT_NO_WRITE_WORKQUEUE, { 1, 22, 0 }, { 1, 21, 0 } },
		{ DM_CRYPT_HIGH_PRIORITY, { 1, 26, 0 }, { 1, 25, 0 } },
		{ DM_CRYPT_INTEGRITY_KEY_SIZE, { 1, 27, 0 }, { 1, 26, 0 } },
	};
	struct err e = { 0 };

	for (size_t i = 0; i < ARRAY_SIZE(since); i++) {
		CHECK(dm_crypt_offers(since[i].version) & since[i].flag);
		CHECK(!(dm_crypt_offers(since[i].before) & since[i].flag));
		CHECK(dm_crypt_flag_name((enum dm_crypt_flag)since[i].flag));
	}
	CHECK(dm_crypt_offers((uint32_t[]){ 2, 0, 0 }) & DM_CRYPT_HIGH_PRIORITY);
	CHECK(!dm_crypt_flag_name((enum dm_crypt_flag)(1u << 20)));
	CHECK_INT(dm_crypt_refuse(DM_CRYPT_NO_READ_WORKQUEUE, (uint32_t[]){ 1, 21, 0 }, &e),
		  -EOPNOTSUPP);
	CHECK_STR(e.text, "no_read_workqueue needs version 1.22.0 of the kernel's crypt target, "
			  "this one is 1.21.0");
}

int main(void)
{
	make_key();
	for (size_t i = 0; i < ARRAY_SIZE(crypt_cases); i++)
		RUN_CASE(crypt_cases[i].name, crypt_case(&crypt_cases[i]));
	RUN(other_targets);
	RUN(refused_to_write);
	RUN(refused_to_read);
	RUN(unknown_options);
	RUN(long_keys);
	RUN(versions);
	secret_free(key);
	return check_exit();
}
