// SPDX-License-Identifier: Apache-2.0
// Opening keyslots (checklist 2.5, 2.11): cryptsetup's by us, in which order they are tried, what
// is refused.
#include <cryptvol/base.h>
#include <luks/internal.h>

#include <pthread.h>
#include <time.h>

#include "check.h"
#include "luks_volume.h"

#define SMALL "--luks2-keyslots-size 1m"

/* ---- keyslots made by cryptsetup ---- */

static const struct {
	const char *name, *options;
	uint32_t key_bytes;
} stock[] = {
	{ "pbkdf2 sha256, 512 bits", CHEAP " -s 512 " SMALL, 64 },
	{ "pbkdf2 sha1", CHEAP " --hash sha1 -s 256 " SMALL, 32 },
	{ "pbkdf2 sha512", CHEAP " --hash sha512 -s 256 " SMALL, 32 },
	{ "pbkdf2 sha384", CHEAP " --hash sha384 -s 512 " SMALL, 64 },
	{ "argon2i, 1 lane",
	  "--pbkdf argon2i --pbkdf-force-iterations 4 --pbkdf-memory 64 --pbkdf-parallel 1 " SMALL,
	  64 },
	{ "argon2id, 4 lanes",
	  "--pbkdf argon2id --pbkdf-force-iterations 4 --pbkdf-memory 256 --pbkdf-parallel "
	  "4 " SMALL,
	  64 },
	{ "AF and area of aes-cbc-essiv", CHEAP " -c aes-cbc-essiv:sha256 -s 256 " SMALL, 32 },
	{ "aes-cbc-essiv, 128 bits", CHEAP " -c aes-cbc-essiv:sha256 -s 128 " SMALL, 16 },
	{ "area cipher of its own",
	  CHEAP " --keyslot-cipher aes-cbc-essiv:sha256 --keyslot-key-size 256 " SMALL, 64 },
	{ "metadata of 64 KiB", CHEAP " --luks2-metadata-size 64k " SMALL, 64 },
	{ "metadata of 4 MiB", CHEAP " --luks2-metadata-size 4m " SMALL, 64 },
	{ "sectors of 512", CHEAP " --sector-size 512 " SMALL, 64 },
};

static void box_2_5_material_by_cryptsetup(size_t i)
{
	_cleanup_secret_ struct secret *key = NULL;
	_cleanup_volume_ struct volume_file v;
	int slot = -1;

	REQUIRE(volume_file_new(&v, 20 * MIB));
	REQUIRE(!shell("printf pw | cryptsetup -q luksFormat %s -d - '%s'", stock[i].options,
		       v.path));
	REQUIRE(!volume_file_load(&v));
	CHECK_INT(unlock_text(&v, "wrong", LUKS_ANY, NULL, NULL), -EPERM);
	CHECK_STR(err_text(&v.e), "No key available with this passphrase.");
	CHECK_INT(unlock_text(&v, "", LUKS_ANY, NULL, NULL), -EPERM);
	REQUIRE(!unlock_text(&v, "pw", LUKS_ANY, &key, &slot));
	CHECK_INT(slot, 0);
	CHECK_INT(key->len, stock[i].key_bytes);
	CHECK(stock_key_equal(&v, "pw", key));
}

/* ---- the order in which keyslots are tried ---- */

/* Four keyslots of ours; all but the last have one passphrase. */
static bool four_slots(struct volume_file *v)
{
	static const char *const texts[] = { "same", "same", "same", "other" };
	_cleanup_secret_ struct secret *key = NULL;
	int slot;

	if (!volume_file_new(v, 2 * MIB) || format_small(v, 5) ||
	    unlock_text(v, "first", LUKS_ANY, &key, NULL))
		return false;
	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		_cleanup_secret_ struct secret *pass = secret_text(texts[i]);
		struct luks_new_keyslot n = new_slot(pass);

		n.keyslot = (int)i + 1;
		if (luks_add_keyslot(&v->io, v->h, v->kdf, &n, key, &slot, &v->e) ||
		    slot != (int)i + 1)
			return false;
	}
	return true;
}

static void box_2_5_open_order(void)
{
	_cleanup_volume_ struct volume_file v;
	int slot = -1;

	REQUIRE(four_slots(&v));
	REQUIRE(!unlock_text(&v, "same", LUKS_ANY, NULL, &slot));
	CHECK_INT(slot, 1);
	REQUIRE(!luks_set_priority(&v.io, v.h, 3, LUKS_PRIORITY_PREFER, &v.e));
	REQUIRE(!unlock_text(&v, "same", LUKS_ANY, NULL, &slot));
	CHECK_INT(slot, 3);
	REQUIRE(!luks_set_priority(&v.io, v.h, 3, LUKS_PRIORITY_IGNORE, &v.e));
	REQUIRE(!luks_set_priority(&v.io, v.h, 1, LUKS_PRIORITY_IGNORE, &v.e));
	REQUIRE(!unlock_text(&v, "same", LUKS_ANY, NULL, &slot));
	CHECK_INT(slot, 2);
	/* "ignore" only when asked for by number */
	REQUIRE(!unlock_text(&v, "same", 3, NULL, &slot));
	CHECK_INT(slot, 3);
	CHECK_INT(unlock_text(&v, "same", 4, NULL, NULL), -EPERM);
	CHECK_INT(unlock_text(&v, "same", 7, NULL, NULL), -ENOENT);
	CHECK_INT(unlock_text(&v, "same", 99, NULL, NULL), -ENOENT);
	for (int i = 0; i < 5; i++)
		REQUIRE(!luks_set_priority(&v.io, v.h, i, LUKS_PRIORITY_IGNORE, &v.e));
	CHECK_INT(unlock_text(&v, "same", LUKS_ANY, NULL, NULL), -ENOENT);
	CHECK_STR(err_text(&v.e), "No usable keyslot is available.");
}

/* A wrong passphrase lets the search go on, any other error ends it. */
static void errors_stop_the_search(void)
{
	_cleanup_volume_ struct volume_file v;
	int slot = -1;

	REQUIRE(four_slots(&v));
	v.h->keyslots[1].kdf.type = CRYPTO_ARGON2ID; /* more memory than may ever be used */
	v.h->keyslots[1].kdf.iterations = 4;
	v.h->keyslots[1].kdf.parallel = 1;
	v.h->keyslots[1].kdf.memory_kib = CRYPTO_ARGON2_MAX_MEMORY_KIB + 1;
	REQUIRE(!unlock_text(&v, "other", LUKS_ANY, NULL, &slot)); /* slot 1 costs more */
	CHECK_INT(slot, 4);
	CHECK_INT(unlock_text(&v, "wrong", LUKS_ANY, NULL, NULL), -EBADMSG);
	CHECK_CONTAINS(err_text(&v.e), "keyslot 1");
	v.h->keyslots[1].priority = LUKS_PRIORITY_PREFER;
	CHECK_INT(unlock_text(&v, "other", LUKS_ANY, NULL, NULL), -EBADMSG);
	REQUIRE(!unlock_text(&v, "other", 4, NULL, &slot));
	CHECK_INT(slot, 4);
}

/* ---- several at once ---- */

#define ENDLESS 1000000000u /* iterations: minutes */

static unsigned int idle_cpus = 1;
static unsigned int cpus_in_all = 2;
static pthread_mutex_t derive_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t derive_began = PTHREAD_COND_INITIALIZER;
static unsigned int linger_ms;	     /* that short derivations take longer */
static unsigned int began, wait_for; /* derivations; short ones wait until so many have begun */

unsigned int __wrap_crypto_machine_free_cpus(void);
unsigned int __wrap_crypto_machine_free_cpus(void)
{
	return idle_cpus;
}

unsigned int __wrap_crypto_cpus(void);
unsigned int __wrap_crypto_cpus(void)
{
	return cpus_in_all;
}

int __real_crypto_kdf_derive_wish(struct crypto_kdf *kdf, const struct crypto_pbkdf *p,
				  const struct secret *pass, const void *salt, size_t salt_len,
				  const struct crypto_wish *wish, struct secret *key,
				  struct err *e);
int __wrap_crypto_kdf_derive_wish(struct crypto_kdf *kdf, const struct crypto_pbkdf *p,
				  const struct secret *pass, const void *salt, size_t salt_len,
				  const struct crypto_wish *wish, struct secret *key,
				  struct err *e);
int __wrap_crypto_kdf_derive_wish(struct crypto_kdf *kdf, const struct crypto_pbkdf *p,
				  const struct secret *pass, const void *salt, size_t salt_len,
				  const struct crypto_wish *wish, struct secret *key, struct err *e)
{
	struct timespec end;
	int r = 0;

	clock_gettime(CLOCK_REALTIME, &end);
	end.tv_sec += 20;
	pthread_mutex_lock(&derive_lock);
	began++;
	pthread_cond_broadcast(&derive_began);
	while (!r && p->type == CRYPTO_PBKDF2 && p->iterations < ENDLESS && began < wait_for)
		r = pthread_cond_timedwait(&derive_began, &derive_lock, &end);
	pthread_mutex_unlock(&derive_lock);
	if (linger_ms && p->iterations < ENDLESS && p->type == CRYPTO_PBKDF2)
		usleep(linger_ms * 1000);
	if (r)
		return err_set(e, -ETIMEDOUT, "the other derivations didn't begin");
	return __real_crypto_kdf_derive_wish(kdf, p, pass, salt, salt_len, wish, key, e);
}

/* The search of @text's keyslot with @cpus idle processors; minutes pass where nobody stops what is
 * no longer wanted. */
static int search(struct volume_file *v, const char *text, unsigned int cpus, unsigned int waits,
		  int *ret_slot)
{
	int r;

	idle_cpus = cpus;
	began = 0;
	wait_for = waits;
	r = unlock_text(v, text, LUKS_ANY, NULL, ret_slot);
	idle_cpus = 1;
	wait_for = 0;
	return r;
}

static void success_stops_the_others(void)
{
	_cleanup_volume_ struct volume_file v;
	int slot = -1;

	REQUIRE(four_slots(&v));
	for (int i = 0; i < 4; i++)
		v.h->keyslots[i].kdf.iterations = ENDLESS;
	REQUIRE(!search(&v, "other", 1, 0, &slot));
	CHECK_INT(slot, 4);
	CHECK_INT(began, 1);
	REQUIRE(!search(&v, "other", 3, 3, &slot));
	CHECK_INT(slot, 4);
	CHECK_INT(began, 3);
	REQUIRE(!search(&v, "other", 64, 5, &slot));
	CHECK_INT(began, 5);
	/* argon2 begins before its turn where memory and processors are free */
	for (unsigned int all = 1; all < 4; all++) {
		cpus_in_all = all;
		for (int i = 0; i < 3; i++)
			v.h->keyslots[i].kdf = (struct crypto_pbkdf){ .type = CRYPTO_ARGON2ID,
								      .iterations = 60000,
								      .memory_kib = 8192,
								      .parallel = 1 };
		REQUIRE(!search(&v, "other", 64, all + 1 < 4 ? all + 2 : 5, &slot));
		CHECK_INT(slot, 4);
	}
	cpus_in_all = 2;
	/* more memory than may be taken early, and a hash that is never stopped: each in its turn
	 */
	for (int i = 0; i < 3; i++)
		v.h->keyslots[i].kdf.memory_kib = CRYPTO_ARGON2_MAX_MEMORY_KIB;
	v.h->keyslots[3].kdf.iterations = 900;
	strcpy(v.h->keyslots[3].kdf.hash, "whirlpool");
	linger_ms = 100;
	REQUIRE(!search(&v, "other", 64, 0, &slot));
	linger_ms = 0;
	CHECK_INT(slot, 4);
}

/* Real keyslots of argon2 with more of them than processors: the result and its order are those of
 * one after the other. */
static void argon2_order_holds_at_once(void)
{
	_cleanup_secret_ struct secret *key = NULL;
	_cleanup_volume_ struct volume_file v;
	int slot = -1;

	REQUIRE(volume_file_new(&v, 2 * MIB) && !format_small(&v, 6));
	REQUIRE(!unlock_text(&v, "first", LUKS_ANY, &key, NULL));
	for (int i = 1; i < 6; i++) {
		_cleanup_secret_ struct secret *pass = secret_text(i < 4 ? "same" : "other");
		struct luks_new_keyslot n = new_slot(pass);

		n.keyslot = i;
		n.pbkdf = (struct crypto_pbkdf){ .type = CRYPTO_ARGON2ID,
						 .iterations = 4,
						 .memory_kib = 2048,
						 .parallel = 1 + (unsigned int)i % 3 };
		REQUIRE(!luks_add_keyslot(&v.io, v.h, v.kdf, &n, key, &slot, &v.e));
	}
	for (unsigned int round = 0; round < 40; round++) {
		cpus_in_all = 1 + round % 4;
		REQUIRE(!search(&v, "same", 64, 0, &slot));
		CHECK_INT(slot, 1);
		REQUIRE(!search(&v, "other", 64, 0, &slot));
		CHECK_INT(slot, 4);
		CHECK_INT(search(&v, "wrong", 64, 0, &slot), -EPERM);
		CHECK(began >= 6);
	}
	cpus_in_all = 2;
}

/* However many are tried at once, the first in order is the result. */
static void order_holds_at_once(void)
{
	_cleanup_volume_ struct volume_file v;
	int slot = -1;

	REQUIRE(four_slots(&v));
	for (unsigned int round = 0; round < 40; round++) {
		unsigned int cpus = 1 + round % 5;

		REQUIRE(!search(&v, "same", cpus, 0, &slot));
		CHECK_INT(slot, 1);
		CHECK_INT(search(&v, "wrong", cpus, 0, &slot), -EPERM);
		CHECK_STR(err_text(&v.e), "No key available with this passphrase.");
		CHECK_INT(began, 5);
	}
	v.h->keyslots[2].salt_len = 31; /* behind slot 1, before slot 4 */
	for (unsigned int cpus = 1; cpus < 6; cpus++) {
		REQUIRE(!search(&v, "same", cpus, 0, &slot));
		CHECK_INT(slot, 1);
		CHECK_INT(search(&v, "other", cpus, 0, &slot), -EBADMSG);
		CHECK_CONTAINS(err_text(&v.e), "keyslot 2");
	}
}

static void cheapest_first(void)
{
	static const struct crypto_pbkdf cheap_to_dear[] = {
		{ .type = CRYPTO_PBKDF2, .hash = "sha256", .iterations = 1000 },
		{ .type = CRYPTO_PBKDF2, .hash = "sha512", .iterations = 1000 },
		{ .type = CRYPTO_PBKDF2, .hash = "whirlpool", .iterations = 1000 },
		{ .type = CRYPTO_PBKDF2, .hash = "sha256", .iterations = 500000 },
		{ .type = CRYPTO_ARGON2ID, .iterations = 4, .memory_kib = 65536, .parallel = 1 },
		{ .type = CRYPTO_ARGON2I, .iterations = 4, .memory_kib = 1048576, .parallel = 4 },
		{ .type = 0 },
	};
	_cleanup_volume_ struct volume_file v;
	int slot = -1;

	for (size_t i = 1; i < ARRAY_SIZE(cheap_to_dear); i++)
		CHECK(crypto_pbkdf_cost(&cheap_to_dear[i - 1], 64) <
		      crypto_pbkdf_cost(&cheap_to_dear[i], 64));
	REQUIRE(four_slots(&v));
	{
		_cleanup_secret_ struct secret *key = NULL, *pass = secret_text("same");
		struct luks_new_keyslot n = new_slot(pass);

		REQUIRE(!unlock_text(&v, "first", LUKS_ANY, &key, NULL));
		REQUIRE(!luks_kill_keyslot(&v.io, v.h, 1, false, &v.e));
		n.keyslot = 1;
		n.pbkdf.iterations *= 3;
		REQUIRE(!luks_add_keyslot(&v.io, v.h, v.kdf, &n, key, &slot, &v.e));
	}
	REQUIRE(!unlock_text(&v, "same", LUKS_ANY, NULL, &slot));
	CHECK_INT(slot, 2);
	REQUIRE(!luks_set_priority(&v.io, v.h, 1, LUKS_PRIORITY_PREFER, &v.e));
	REQUIRE(!unlock_text(&v, "same", LUKS_ANY, NULL, &slot));
	CHECK_INT(slot, 1);
}

/* ---- what a keyslot may not be ---- */

#define EDIT(name, statement)                   \
	static void name(struct luks_header *h) \
	{                                       \
		statement;                      \
	}
EDIT(kdf_unknown, (h->keyslots[0].kdf.type = 0, strcpy(h->keyslots[0].kdf_name, "scrypt")))
EDIT(no_salt, h->keyslots[0].salt_len = 0)
EDIT(short_salt, h->keyslots[0].salt_len = 31)
EDIT(endless_kdf, h->keyslots[0].kdf.iterations = UINT32_MAX)
EDIT(no_key, h->keyslots[0].key_bytes = 0)
EDIT(huge_key, h->keyslots[0].key_bytes = 513)
EDIT(no_area_key, h->keyslots[0].area_key_bytes = 0)
EDIT(huge_area_key, h->keyslots[0].area_key_bytes = UINT32_MAX)
EDIT(short_area, h->keyslots[0].area_size_bytes = 127999)
EDIT(odd_area, strcpy(h->keyslots[0].area_type, "journal"))
EDIT(odd_af, strcpy(h->keyslots[0].af_hash, "sha257"))
EDIT(weak_area, strcpy(h->keyslots[0].area_encryption, "aes-ecb"))
EDIT(null_area, strcpy(h->keyslots[0].area_encryption, "cipher_null-ecb"))
EDIT(null_capi_area, strcpy(h->keyslots[0].area_encryption, "capi:ecb(cipher_null)-plain"))
EDIT(odd_area_cipher, strcpy(h->keyslots[0].area_encryption, "nonsense"))
EDIT(odd_area_key, h->keyslots[0].area_key_bytes = 31)
EDIT(weak_segment, strcpy(h->segments[0].encryption, "aes-ecb"))
EDIT(null_segment, strcpy(h->segments[0].encryption, "cipher_null-ecb"))
EDIT(no_digest, h->digests[0].digest_len = 0)
EDIT(no_digest_salt, h->digests[0].salt_len = 0)
EDIT(odd_digest, strcpy(h->digests[0].type_name, "other"))
EDIT(far_area, h->keyslots[0].area_offset_bytes = 1ull << 40)

static const struct {
	const char *name;
	void (*edit)(struct luks_header *h);
	int code;
	const char *says;
} refused[] = {
	{ "2.5 unknown kdf", kdf_unknown, -EOPNOTSUPP, "scrypt" },
	{ "2.5 salt missing", no_salt, -EBADMSG, "salt" },
	{ "2.5 salt of 31 bytes", short_salt, -EBADMSG, "salt" },
	{ "2.11 endless kdf", endless_kdf, -EBADMSG, "iterations" },
	{ "2.11 key of 0 bytes", no_key, -EBADMSG, "key sizes" },
	{ "2.11 key of 513 bytes", huge_key, -EBADMSG, "key sizes" },
	{ "2.11 area key of 0 bytes", no_area_key, -EBADMSG, "key sizes" },
	{ "2.11 area key of 4 GiB", huge_area_key, -EBADMSG, "key sizes" },
	{ "2.11 material beyond its area", short_area, -EBADMSG, "area.size" },
	{ "2.5 area that isn't raw", odd_area, -EBADMSG, "area" },
	{ "2.5 unknown AF hash", odd_af, -EOPNOTSUPP, "af.hash" },
	{ "2.11 weak area cipher", weak_area, -EOPNOTSUPP, "area.encryption" },
	{ "2.11 null area", null_area, -EOPNOTSUPP, "area.encryption" },
	{ "2.11 null area, capi spelling", null_capi_area, -EOPNOTSUPP, "area.encryption" },
	{ "2.5 area cipher that doesn't parse", odd_area_cipher, -EOPNOTSUPP, "area.encryption" },
	{ "2.5 area key size that doesn't fit", odd_area_key, -EOPNOTSUPP, "area.encryption" },
	{ "2.11 weak segment", weak_segment, -EOPNOTSUPP, "segment 0" },
	{ "2.11 null segment", null_segment, -EOPNOTSUPP, "segment 0" },
	{ "2.11 digest of 0 bytes", no_digest, -EBADMSG, "digest 0" },
	{ "2.11 digest without salt", no_digest_salt, -EBADMSG, "digest 0" },
	{ "2.6 unknown digest type", odd_digest, -EOPNOTSUPP, "digest 0" },
	{ "area beyond the device", far_area, -EIO, "keyslot area" },
};

static void box_2_5_and_2_11_refused_at_open(size_t i)
{
	_cleanup_volume_ struct volume_file v;
	struct secret *key = NULL;
	int r;

	REQUIRE(volume_file_new(&v, MIB) && !format_small(&v, 1));
	refused[i].edit(v.h);
	r = unlock_text(&v, "first", LUKS_ANY, &key, NULL);
	CHECK_INT(r, refused[i].code);
	CHECK(key == NULL);
	CHECK_CONTAINS(err_text(&v.e), refused[i].says);
	CHECK(unlock_text(&v, "wrong", LUKS_ANY, NULL, NULL) < 0);
	CHECK(unlock_text(&v, "first", 0, NULL, NULL) < 0);
}

/* The box of 2.5: a null cipher in the area opens with the empty passphrase only, and only on
 * request. */
static void box_2_5_null_area_and_passphrases(void)
{
	_cleanup_secret_ struct secret *key = NULL, *mid = NULL, *pass = secret_text("any"),
				       *empty = secret_text("");
	_cleanup_volume_ struct volume_file v;
	struct luks_unlock u = { .keyslot = LUKS_ANY, .segment = LUKS_ANY };
	struct secret *got = NULL;
	int slot;

	REQUIRE(volume_file_new(&v, MIB) && !format_small(&v, 1));
	REQUIRE(!unlock_text(&v, "first", LUKS_ANY, &key, NULL));
	REQUIRE(!secret_new(luks_area_bytes(32), &mid, NULL));
	REQUIRE(!luks_af_split(v.h->keyslots[0].af_hash, key, mid, NULL));
	REQUIRE(!io_pwrite_full(v.io.fd, mid->data, mid->len, v.h->keyslots[0].area_offset_bytes,
				NULL));
	null_area(v.h);
	u.passphrase = pass;
	u.allow_null = true;
	CHECK_INT(luks_unlock_keyslot(&v.io, v.h, v.kdf, &u, &got, &slot, NULL), -EPERM);
	u.passphrase = empty;
	u.allow_null = false;
	CHECK_INT(luks_unlock_keyslot(&v.io, v.h, v.kdf, &u, &got, &slot, NULL), -EOPNOTSUPP);
	CHECK(got == NULL);
	u.allow_null = true;
	REQUIRE(!luks_unlock_keyslot(&v.io, v.h, v.kdf, &u, &got, &slot, NULL));
	CHECK(secret_equal(got, key));
	secret_free(got);
}

/* ---- unbound keys ---- */

static void unbound_keys(void)
{
	_cleanup_secret_ struct secret *pass = secret_text("unbound"), *odd = NULL;
	struct luks_new_keyslot n = new_slot(pass);
	_cleanup_volume_ struct volume_file v;
	struct luks_unlock u = { .passphrase = pass, .keyslot = LUKS_ANY, .segment = LUKS_ANY };
	struct secret *got = NULL;
	int slot = -1;

	REQUIRE(volume_file_new(&v, 2 * MIB) && !format_small(&v, 4));
	REQUIRE(!secret_random(20, &odd, NULL));
	CHECK_INT(luks_add_keyslot(&v.io, v.h, v.kdf, &n, odd, &slot, &v.e), -EPERM);
	n.unbound = true;
	REQUIRE(!luks_add_keyslot(&v.io, v.h, v.kdf, &n, odd, &slot, &v.e));
	CHECK_INT(slot, 1);
	CHECK_INT(v.h->n_digests, 2);
	CHECK_INT(unlock_text(&v, "unbound", LUKS_ANY, NULL, NULL), -EPERM);
	CHECK_INT(unlock_text(&v, "unbound", 1, NULL, NULL), -ENOENT);
	u.any_digest = true;
	REQUIRE(!luks_unlock_keyslot(&v.io, v.h, v.kdf, &u, &got, &slot, NULL));
	CHECK_INT(slot, 1);
	CHECK(secret_equal(got, odd));
	secret_free(got);
	/* A second keyslot for the same key joins its digest. */
	n.unbound = false;
	REQUIRE(!luks_add_keyslot(&v.io, v.h, v.kdf, &n, odd, &slot, &v.e));
	CHECK_INT(v.h->n_digests, 2);
	CHECK_INT(luks_find_digest(v.h, 1)->keyslots, 6);
	if (have_cryptsetup())
		CHECK(!shell("cryptsetup luksDump '%s' | grep -q '1: luks2 (unbound)'", v.path));
	/* Its digest goes with its last keyslot. */
	REQUIRE(!luks_kill_keyslot(&v.io, v.h, 1, false, &v.e));
	REQUIRE(!luks_kill_keyslot(&v.io, v.h, 2, false, &v.e));
	CHECK_INT(v.h->n_digests, 1);
	REQUIRE(!volume_file_load(&v));
	CHECK_INT(v.h->n_digests, 1);
	CHECK_INT(unlock_text(&v, "first", LUKS_ANY, NULL, NULL), 0);
}

int main(void)
{
	char name[96];

	for (size_t i = 0; i < ARRAY_SIZE(stock) && have_cryptsetup(); i++) {
		snprintf(name, sizeof(name), "cryptsetup's keyslot opens: %s", stock[i].name);
		RUN_CASE(name, box_2_5_material_by_cryptsetup(i));
	}
	RUN(box_2_5_open_order);
	RUN(errors_stop_the_search);
	RUN(cheapest_first);
	RUN(success_stops_the_others);
	RUN(order_holds_at_once);
	RUN(argon2_order_holds_at_once);
	for (size_t i = 0; i < ARRAY_SIZE(refused); i++) {
		snprintf(name, sizeof(name), "checklist %s", refused[i].name);
		RUN_CASE(name, box_2_5_and_2_11_refused_at_open(i));
	}
	RUN(box_2_5_null_area_and_passphrases);
	RUN(unbound_keys);
	return check_exit();
}
