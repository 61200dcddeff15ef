// SPDX-License-Identifier: Apache-2.0
// Format: the same places as cryptsetup's, opened by cryptsetup, few writes, nothing old left, and
// what a failed write leaves.
#include <cryptvol/base.h>
#include <luks/internal.h>

#include "check.h"
#include "luks_faults.h"
#include "luks_volume.h"

static struct luks_format cheap_format(const struct secret *pass)
{
	return (struct luks_format){ .first = new_slot(pass) };
}

static int format(struct volume_file *v, const struct luks_format *f)
{
	luks_free(v->h);
	v->h = NULL;
	err_clear(&v->e);
	return luks_format(&v->io, v->kdf, f, &v->h, &v->e);
}

/* ---- sizes and offsets, with cryptsetup as the measure ---- */

static const struct {
	const char *name, *options; /* of cryptsetup */
	struct luks_format f;	    /* the same for us */
	uint64_t mib;
} places[] = {
	{ "defaults", "", { 0 }, 40 },
	{ "keyslots 256 KiB",
	  "--luks2-keyslots-size 256k -s 256",
	  { .keyslots_bytes = 262144, .key_bytes = 32 },
	  40 },
	{ "keyslots 17 MiB", "--luks2-keyslots-size 17m", { .keyslots_bytes = 17 * MIB }, 40 },
	{ "metadata 64 KiB", "--luks2-metadata-size 64k", { .header_bytes = 65536 }, 40 },
	{ "metadata 4 MiB", "--luks2-metadata-size 4m", { .header_bytes = 4 * MIB }, 40 },
	{ "offset 512 KiB", "--offset 1024", { .data_offset_bytes = 524288 }, 40 },
	{ "offset 4 MiB", "--offset 8192", { .data_offset_bytes = 4 * MIB }, 40 },
	{ "offset 160 MiB", "--offset 327680", { .data_offset_bytes = 160 * MIB }, 200 },
	{ "alignment", "--align-payload 5000", { .alignment_bytes = 2560000 }, 40 },
	{ "odd alignment",
	  "--align-payload 3 --sector-size 512",
	  { .alignment_bytes = 1536, .sector_size_bytes = 512 },
	  40 },
	{ "offset and keyslots",
	  "--offset 1024 --luks2-keyslots-size 258048",
	  { .data_offset_bytes = 524288, .keyslots_bytes = 258048 },
	  40 },
	{ "cbc", "-c aes-cbc-essiv:sha256", { .cipher = "aes-cbc-essiv:sha256" }, 40 },
	{ "sha512", "--hash sha512", { .hash = "sha512" }, 40 },
	{ "sector 4096", "--sector-size 4096", { .sector_size_bytes = 4096 }, 40 },
};

static void same_segment(const struct luks_segment *a, const struct luks_segment *b, bool sector)
{
	CHECK_INT(a->offset_bytes, b->offset_bytes);
	CHECK_INT(a->dynamic, b->dynamic);
	CHECK_INT(a->iv_tweak, b->iv_tweak);
	CHECK_STR(a->encryption, b->encryption);
	if (sector)
		CHECK_INT(a->sector_size_bytes, b->sector_size_bytes);
}

static void same_keyslot(const struct luks_keyslot *a, const struct luks_keyslot *b)
{
	CHECK_INT(a->key_bytes, b->key_bytes);
	CHECK_INT(a->area_offset_bytes, b->area_offset_bytes);
	CHECK_INT(a->area_size_bytes, b->area_size_bytes);
	CHECK_STR(a->area_encryption, b->area_encryption);
	CHECK_INT(a->area_key_bytes, b->area_key_bytes);
	CHECK_STR(a->kdf_name, b->kdf_name);
	CHECK_STR(a->af_hash, b->af_hash);
}

static void same_places(size_t i)
{
	_cleanup_secret_ struct secret *pass = secret_text("pw");
	struct luks_format f = places[i].f;
	_cleanup_volume_ struct volume_file a, b;

	f.first = new_slot(pass);
	REQUIRE(volume_file_new(&a, places[i].mib * MIB) &&
		volume_file_new(&b, places[i].mib * MIB));
	REQUIRE(!format(&a, &f));
	REQUIRE(!shell("printf pw | cryptsetup -q luksFormat " CHEAP " %s -d - '%s'",
		       places[i].options, b.path));
	REQUIRE(!volume_file_load(&b));
	CHECK_INT(a.h->header_bytes, b.h->header_bytes);
	CHECK_INT(a.h->keyslots_bytes, b.h->keyslots_bytes);
	CHECK_INT(a.h->seqid, b.h->seqid);
	CHECK_STR(a.h->checksum_alg, b.h->checksum_alg);
	CHECK_STR(a.h->digests[0].hash, b.h->digests[0].hash);
	CHECK_INT(a.h->digests[0].digest_len, b.h->digests[0].digest_len);
	same_segment(&a.h->segments[0], &b.h->segments[0], f.sector_size_bytes != 0);
	same_keyslot(&a.h->keyslots[0], &b.h->keyslots[0]);
}

/* ---- ours, opened by cryptsetup ---- */

static const struct {
	const char *name;
	struct luks_format f;
	struct crypto_pbkdf pbkdf;
} ours[] = {
	{ "defaults", { 0 }, { .type = CRYPTO_PBKDF2, .hash = "sha256", .iterations = 1000 } },
	{ "256 bits",
	  { .key_bytes = 32 },
	  { .type = CRYPTO_PBKDF2, .hash = "sha1", .iterations = 1000 } },
	{ "sha512",
	  { .hash = "sha512" },
	  { .type = CRYPTO_PBKDF2, .hash = "sha512", .iterations = 1234 } },
	{ "sha1",
	  { .hash = "sha1" },
	  { .type = CRYPTO_PBKDF2, .hash = "sha256", .iterations = 1000 } },
	{ "aes-cbc-essiv",
	  { .cipher = "aes-cbc-essiv:sha256" },
	  { .type = CRYPTO_PBKDF2, .hash = "sha256", .iterations = 1000 } },
	{ "argon2i",
	  { 0 },
	  { .type = CRYPTO_ARGON2I, .iterations = 4, .memory_kib = 64, .parallel = 1 } },
	{ "argon2id, 4 lanes",
	  { 0 },
	  { .type = CRYPTO_ARGON2ID, .iterations = 4, .memory_kib = 256, .parallel = 4 } },
	{ "metadata 64 KiB",
	  { .header_bytes = 65536 },
	  { .type = CRYPTO_PBKDF2, .hash = "sha256", .iterations = 1000 } },
	{ "metadata 4 MiB",
	  { .header_bytes = 4 * MIB },
	  { .type = CRYPTO_PBKDF2, .hash = "sha256", .iterations = 1000 } },
	{ "known blank",
	  { .known_blank = true },
	  { .type = CRYPTO_PBKDF2, .hash = "sha256", .iterations = 1000 } },
	{ "names",
	  { .label = "a label of mine",
	    .subsystem = "sub",
	    .uuid = "01234567-89ab-4cde-8f01-23456789abcd" },
	  { .type = CRYPTO_PBKDF2, .hash = "sha256", .iterations = 1000 } },
	{ "keyslot 7",
	  { .first.keyslot = 7 },
	  { .type = CRYPTO_PBKDF2, .hash = "sha256", .iterations = 1000 } },
	{ "area cipher",
	  { .first.area_encryption = "aes-cbc-essiv:sha256", .first.area_key_bytes = 32 },
	  { .type = CRYPTO_PBKDF2, .hash = "sha256", .iterations = 1000 } },
};

static void box_2_5_material_for_cryptsetup(size_t i)
{
	_cleanup_secret_ struct secret *pass = secret_text("pw"), *key = NULL;
	struct luks_format f = ours[i].f;
	_cleanup_volume_ struct volume_file v;
	int slot = -1;

	f.first.passphrase = pass;
	f.first.pbkdf = ours[i].pbkdf;
	if (!f.first.keyslot)
		f.first.keyslot = LUKS_ANY;
	REQUIRE(volume_file_new(&v, 20 * MIB));
	REQUIRE(!format(&v, &f));
	REQUIRE(!unlock_text(&v, "pw", LUKS_ANY, &key, &slot));
	CHECK_INT(slot, f.first.keyslot == LUKS_ANY ? 0 : f.first.keyslot);
	CHECK_INT(stock_opens(&v, "pw"), 0);
	CHECK_INT(stock_opens(&v, "no"), 2);
	CHECK(stock_key_equal(&v, "pw", key));
	if (f.label) {
		CHECK(!shell("cryptsetup luksDump '%s' | grep -q 'Label:.*%s'", v.path, f.label));
		CHECK(!shell("cryptsetup luksDump '%s' | grep -q 'Subsystem:.*%s'", v.path,
			     f.subsystem));
		CHECK(!shell("test $(cryptsetup luksUUID '%s') = %s", v.path, f.uuid));
	}
}

/* ---- parameters that are refused: before anything is written ---- */

static const struct {
	const char *name;
	struct luks_format f;
	int code;
} wrong[] = {
	{ "metadata 17 KiB", { .header_bytes = 17408 }, -EINVAL },
	{ "metadata 8 KiB", { .header_bytes = 8192 }, -EINVAL },
	{ "metadata 8 MiB", { .header_bytes = 8 * MIB }, -EINVAL },
	{ "keyslots not of blocks", { .keyslots_bytes = 300000 }, -EINVAL },
	{ "keyslots 129 MiB", { .keyslots_bytes = 129 * MIB }, -EINVAL },
	{ "no room for a keyslot", { .keyslots_bytes = 131072 }, -ENOSPC },
	{ "offset not of blocks", { .data_offset_bytes = 523776 }, -EINVAL },
	{ "offset within the header",
	  { .data_offset_bytes = 4 * MIB, .keyslots_bytes = 4 * MIB },
	  -EINVAL },
	{ "offset below the copies", { .data_offset_bytes = 16384 }, -EINVAL },
	{ "offset beyond the device", { .data_offset_bytes = 64 * MIB }, -ENOSPC },
	{ "data device too small", { .data_device_bytes = 16 * MIB }, -ENOSPC },
	{ "endless alignment", { .alignment_bytes = 1ull << 60 }, -EINVAL },
	{ "sector 8192", { .sector_size_bytes = 8192 }, -EINVAL },
	{ "sector 513", { .sector_size_bytes = 513 }, -EINVAL },
	{ "no cipher", { .cipher = "aes-ecb", .key_bytes = 32 }, -EINVAL },
	{ "weak cipher", { .cipher = "aes-ctr-plain64", .key_bytes = 32 }, -EOPNOTSUPP },
	{ "null cipher", { .cipher = "cipher_null-ecb", .key_bytes = 32 }, -EOPNOTSUPP },
	{ "null area",
	  { .first.area_encryption = "cipher_null-ecb", .allow_null = true },
	  -EOPNOTSUPP },
	{ "weak area", { .first.area_encryption = "aes-ecb" }, -EOPNOTSUPP },
	{ "key of 100 bits", { .key_bytes = 13 }, -EOPNOTSUPP },
	{ "unknown hash", { .hash = "sha257" }, -EOPNOTSUPP },
	{ "UUID", { .uuid = "01234567-89ab" }, -EINVAL },
	{ "label", { .label = "123456789012345678901234567890123456789012345678" }, -EINVAL },
	{ "digest iterations", { .digest_iterations = 999 }, -EINVAL },
	{ "keyslot 32", { .first.keyslot = 32 }, -EINVAL },
};

static bool reads_as_zeros(const struct volume_file *v)
{
	return shell("cmp -n $(stat -c %%s '%s') '%s' /dev/zero", v->path, v->path) == 0;
}

static void refused(size_t i)
{
	_cleanup_secret_ struct secret *pass = secret_text("pw");
	struct luks_format f = wrong[i].f;
	struct luks_new_keyslot n = new_slot(pass);
	_cleanup_volume_ struct volume_file v;

	f.first.passphrase = pass;
	f.first.pbkdf = n.pbkdf;
	if (!f.first.keyslot)
		f.first.keyslot = LUKS_ANY;
	REQUIRE(volume_file_new(&v, 20 * MIB));
	faults_start(v.io.fd, 0);
	CHECK_INT(format(&v, &f), wrong[i].code);
	faults_stop();
	CHECK(v.h == NULL);
	CHECK(v.e.text[0] != '\0');
	CHECK_INT(faults.calls, 0);
}

/* All costs are paid before the first write: a KDF that can't run leaves the device alone. */
static void kdf_comes_first(void)
{
	_cleanup_secret_ struct secret *pass = secret_text("pw");
	struct luks_format f = cheap_format(pass);
	_cleanup_volume_ struct volume_file v;

	f.first.pbkdf = (struct crypto_pbkdf){ .type = CRYPTO_ARGON2ID,
					       .iterations = 4,
					       .memory_kib = CRYPTO_ARGON2_MAX_MEMORY_KIB + 1,
					       .parallel = 1 };
	REQUIRE(volume_file_new(&v, 20 * MIB));
	CHECK(format(&v, &f) < 0);
	CHECK(reads_as_zeros(&v));
}

/* ---- how much is written ---- */

static void few_writes_on_a_blank_device(void)
{
	_cleanup_secret_ struct secret *pass = secret_text("pw");
	static const uint64_t sizes[] = { 16384, 65536, 4 * MIB };

	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		struct luks_format f = cheap_format(pass);
		_cleanup_volume_ struct volume_file v;

		f.known_blank = true;
		f.header_bytes = sizes[i];
		REQUIRE(volume_file_new(&v, 20 * MIB));
		faults_start(v.io.fd, 0);
		REQUIRE(!format(&v, &f));
		faults_stop();
		CHECK_MSG(faults.bytes <= 300 * 1024, "%llu bytes",
			  (unsigned long long)faults.bytes);
		CHECK_INT(faults.flushes, 2);
		CHECK(!shell("test $(stat -c %%b '%s') -lt 800", v.path));
	}
}

/* "Known blank" was wrong: a magic is found all the same. */
static void known_blank_is_checked(void)
{
	_cleanup_secret_ struct secret *pass = secret_text("pw");
	struct luks_format f = cheap_format(pass);
	_cleanup_volume_ struct volume_file v;
	unsigned char block[4096];

	REQUIRE(volume_file_new(&v, 20 * MIB));
	memset(block, 0x42, sizeof(block));
	REQUIRE(!io_pwrite_full(v.io.fd, block, sizeof(block), 5 * MIB, NULL));
	memcpy(block, "SKUL\xba\xbe\0\2", 8);
	REQUIRE(!io_pwrite_full(v.io.fd, block, sizeof(block), 4 * MIB, NULL));
	f.known_blank = true;
	REQUIRE(!format(&v, &f));
	REQUIRE(!io_pread_full(v.io.fd, block, sizeof(block), 4 * MIB, NULL));
	CHECK(memcmp(block, "SKUL", 4) != 0);
	REQUIRE(!io_pread_full(v.io.fd, block, sizeof(block), 5 * MIB, NULL));
	CHECK(block[0] != 0x42 || block[1] != 0x42 || block[2] != 0x42);
}

/* ---- nothing old is left ---- */

static unsigned char *read_all(const struct volume_file *v, size_t len)
{
	unsigned char *p = malloc(len);

	if (!p || io_pread_full(v->io.fd, p, len, 0, NULL))
		abort();
	return p;
}

static void old_material_is_overwritten(const char *options, uint64_t header_bytes, size_t old_end)
{
	_cleanup_secret_ struct secret *pass = secret_text("new");
	struct luks_format f = cheap_format(pass);
	static const unsigned char zeros[512];
	unsigned char *was, *now;
	_cleanup_volume_ struct volume_file v;

	REQUIRE(volume_file_new(&v, 40 * MIB));
	REQUIRE(!shell("printf old | cryptsetup -q luksFormat " CHEAP " %s -d - '%s'", options,
		       v.path));
	was = read_all(&v, 40 * MIB);
	f.header_bytes = header_bytes;
	f.keyslots_bytes = 1 * MIB;
	REQUIRE(!format(&v, &f));
	now = read_all(&v, 40 * MIB);
	for (size_t at = 0; at < old_end; at += 512)
		CHECK_MSG(!memcmp(was + at, zeros, 512) || memcmp(was + at, now + at, 512),
			  "512 bytes at %zu are still there", at);
	/* The old header from a backup finds no key. */
	REQUIRE(!io_pwrite_full(v.io.fd, was, 32768, 0, NULL));
	REQUIRE(!volume_file_load(&v));
	CHECK_INT(unlock_text(&v, "old", LUKS_ANY, NULL, NULL), -EPERM);
	free(was);
	free(now);
}

static void old_luks2_is_overwritten(void)
{
	old_material_is_overwritten("", 16384, 16 * MIB);
}

static void old_luks2_of_another_size_is_overwritten(void)
{
	old_material_is_overwritten("--luks2-keyslots-size 17m", 65536, 17 * MIB);
}

static void old_luks1_is_overwritten(void)
{
	_cleanup_secret_ struct secret *pass = secret_text("new");
	struct luks_format f = cheap_format(pass);
	_cleanup_volume_ struct volume_file v;
	unsigned char *was, *now;

	REQUIRE(volume_file_new(&v, 8 * MIB));
	REQUIRE(!shell(
		"printf old | cryptsetup -q luksFormat --type luks1 --pbkdf-force-iterations 1000 "
		"-d - '%s'",
		v.path));
	was = read_all(&v, 2 * MIB);
	f.data_offset_bytes = MIB;
	REQUIRE(!format(&v, &f));
	now = read_all(&v, 2 * MIB);
	for (size_t at = 4096; at < 4096 + 64 * 4000; at += 512)
		CHECK(memcmp(was + at, now + at, 512) != 0);
	CHECK_INT(v.h->version, 2);
	CHECK_INT(stock_opens(&v, "new"), 0);
	free(was);
	free(now);
}

/* ---- volume keys, detached headers ---- */

static void given_volume_key(void)
{
	_cleanup_secret_ struct secret *pass = secret_text("pw"), *key = NULL, *got = NULL;
	struct luks_format f = cheap_format(pass);
	_cleanup_volume_ struct volume_file v;
	struct luks_new_keyslot n = new_slot(pass);
	int slot, digest;

	REQUIRE(volume_file_new(&v, 20 * MIB) && !secret_random(32, &key, NULL));
	f.volume_key = key;
	REQUIRE(!format(&v, &f)); /* its length decides the key size */
	CHECK_INT(v.h->digests[0].iterations, 100000);
	REQUIRE(!unlock_text(&v, "pw", LUKS_ANY, &got, NULL));
	CHECK(secret_equal(key, got));
	f.key_bytes = 64;
	CHECK_INT(format(&v, &f), -EINVAL);
	/* No keyslot at all, if the key is kept elsewhere. */
	f.key_bytes = 0;
	f.first.passphrase = NULL;
	REQUIRE(!format(&v, &f));
	CHECK_INT(v.h->n_keyslots, 0);
	CHECK_INT(unlock_text(&v, "pw", LUKS_ANY, NULL, NULL), -ENOENT);
	CHECK_INT(luks_verify_key(v.h, key, 0, &digest, NULL), 0);
	REQUIRE(!luks_add_keyslot(&v.io, v.h, v.kdf, &n, key, &slot, &v.e));
	CHECK_INT(unlock_text(&v, "pw", LUKS_ANY, NULL, NULL), 0);
	CHECK_INT(stock_opens(&v, "pw"), 0);
	f.volume_key = NULL;
	CHECK_INT(format(&v, &f), -EINVAL);
}

static void drawn_volume_key(void)
{
	_cleanup_secret_ struct secret *pass = secret_text("pw"), *a = NULL, *b = NULL;
	struct luks_format f = cheap_format(pass);
	_cleanup_volume_ struct volume_file v;

	REQUIRE(volume_file_new(&v, 20 * MIB));
	REQUIRE(!format(&v, &f) && !unlock_text(&v, "pw", LUKS_ANY, &a, NULL));
	CHECK_INT(v.h->digests[0].iterations, 1000);
	REQUIRE(!format(&v, &f) && !unlock_text(&v, "pw", LUKS_ANY, &b, NULL));
	CHECK(!secret_equal(a, b));
}

static void detached_header(void)
{
	_cleanup_secret_ struct secret *pass = secret_text("pw");
	struct luks_format f = cheap_format(pass);
	_cleanup_volume_ struct volume_file v;
	struct stat st;

	f.detached = true;
	f.data_device_bytes = MIB;
	REQUIRE(volume_file_new(&v, 0));
	REQUIRE(!format(&v, &f));
	CHECK_INT(luks_data_offset(v.h), 0);
	REQUIRE(!fstat(v.io.fd, &st));
	CHECK_INT(st.st_size, 16 * MIB); /* as cryptsetup's header files */
	CHECK_INT(stock_opens(&v, "pw"), 0);
	f.data_offset_bytes = 524288;
	CHECK_MSG(!format(&v, &f), "%s", err_text(&v.e));
	REQUIRE(v.h);
	CHECK_INT(luks_data_offset(v.h), 524288);
	CHECK_INT(v.h->keyslots_bytes, 524288 - 32768);
	CHECK_INT(stock_opens(&v, "pw"), 0);
	f.data_offset_bytes = MIB;
	CHECK_INT(format(&v, &f), -ENOSPC);
}

/* A null cipher for data, asked for by name: the area gets a real one (checklist 2.5). */
static void box_2_11_null_cipher_by_name(void)
{
	_cleanup_secret_ struct secret *pass = secret_text("pw");
	struct luks_format f = cheap_format(pass);
	_cleanup_volume_ struct volume_file v;
	struct luks_unlock u = { .passphrase = pass, .keyslot = LUKS_ANY, .segment = LUKS_ANY };
	struct secret *key;
	int slot;

	f.cipher = "cipher_null-ecb";
	f.key_bytes = 32;
	f.allow_null = true;
	REQUIRE(volume_file_new(&v, 20 * MIB));
	REQUIRE(!format(&v, &f));
	CHECK_STR(v.h->keyslots[0].area_encryption, "aes-xts-plain64");
	CHECK_INT(v.h->keyslots[0].area_key_bytes, 64);
	CHECK_INT(unlock_text(&v, "pw", LUKS_ANY, NULL, NULL), -EOPNOTSUPP);
	u.allow_null = true;
	REQUIRE(!luks_unlock_keyslot(&v.io, v.h, v.kdf, &u, &key, &slot, NULL));
	secret_free(key);
	CHECK_INT(stock_opens(&v, "pw"), 0);
}

/* ---- a write that fails ---- */

/* After a failure: the old passphrase opens, or nothing is recognised, or the new one opens. */
static void after_failure(struct volume_file *v, const char *old, unsigned int n)
{
	unsigned int version;
	int r = volume_file_load(v);

	if (r) {
		CHECK_MSG(luks_probe(v->io.fd, &version, NULL) == -EMEDIUMTYPE,
			  "call %u failed: a header is left that doesn't load", n);
		return;
	}
	CHECK_MSG((old && !unlock_text(v, old, LUKS_ANY, NULL, NULL)) ||
			  !unlock_text(v, "new", LUKS_ANY, NULL, NULL),
		  "call %u failed: neither passphrase opens", n);
}

static void failures_on(const char *old, bool blank)
{
	_cleanup_secret_ struct secret *pass = secret_text("new");
	struct luks_format f = { .key_bytes = 32,
				 .keyslots_bytes = 262144,
				 .alignment_bytes = 4096 };
	unsigned int n = 1;

	f.first = new_slot(pass);
	f.known_blank = blank;
	for (;; n++) {
		_cleanup_volume_ struct volume_file v;
		int r;

		REQUIRE(volume_file_new(&v, MIB));
		if (old)
			REQUIRE(!format_small(&v, 3));
		faults_start(v.io.fd, n);
		r = format(&v, &f);
		faults_stop();
		if (faults.calls < n) {
			REQUIRE(r == 0);
			break;
		}
		CHECK_INT(r, -EIO);
		after_failure(&v, old, n);
	}
	CHECK_MSG(n > 6, "%u calls", n);
}

static void write_failures_on_blank(void)
{
	failures_on(NULL, true);
}

static void write_failures_over_old(void)
{
	failures_on("first", false);
}

int main(void)
{
	bool stock = have_cryptsetup();
	char name[96];

	for (size_t i = 0; i < ARRAY_SIZE(places) && stock; i++) {
		snprintf(name, sizeof(name), "same places as cryptsetup: %s", places[i].name);
		RUN_CASE(name, same_places(i));
	}
	for (size_t i = 0; i < ARRAY_SIZE(ours) && stock; i++) {
		snprintf(name, sizeof(name), "cryptsetup opens ours: %s", ours[i].name);
		RUN_CASE(name, box_2_5_material_for_cryptsetup(i));
	}
	for (size_t i = 0; i < ARRAY_SIZE(wrong); i++) {
		snprintf(name, sizeof(name), "refused, nothing written: %s", wrong[i].name);
		RUN_CASE(name, refused(i));
	}
	RUN(kdf_comes_first);
	RUN(few_writes_on_a_blank_device);
	RUN(known_blank_is_checked);
	if (stock) {
		RUN(old_luks2_is_overwritten);
		RUN(old_luks2_of_another_size_is_overwritten);
		RUN(old_luks1_is_overwritten);
		RUN(given_volume_key);
		RUN(detached_header);
		RUN(box_2_11_null_cipher_by_name);
	}
	RUN(drawn_volume_key);
	RUN(write_failures_on_blank);
	RUN(write_failures_over_old);
	return check_exit();
}
