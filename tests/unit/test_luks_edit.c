// SPDX-License-Identifier: Apache-2.0
// Changes: keyslots added, changed, killed; labels, flags, priorities. Seen by cryptsetup, refused
// where they must be, and with each write failing.
#include <cryptvol/base.h>
#include <luks/internal.h>

#include "check.h"
#include "luks_faults.h"
#include "luks_slots.h"

/* What is on disk, by our reader and by cryptsetup. */
static bool on_disk(struct volume_file *v, const char *text, bool open)
{
	if (volume_file_load(v) || v->h->needs_recovery)
		return false;
	if (have_cryptsetup() && (stock_opens(v, text) == 0) != open)
		return false;
	return opens(v, text) == open;
}

/* ---- add ---- */

static void add(void)
{
	_cleanup_volume_ struct volume_file v;
	int slot = -1;

	REQUIRE(volume_with(&v, 4));
	REQUIRE(!add_text(&v, "second", LUKS_ANY, &slot));
	CHECK_INT(slot, 1);
	REQUIRE(!add_text(&v, "third", 9, &slot));
	CHECK_INT(slot, 9);
	CHECK_INT(v.h->seqid, 5);
	CHECK(opens(&v, "third"));
	CHECK(on_disk(&v, "first", true) && on_disk(&v, "second", true) &&
	      on_disk(&v, "third", true));
	CHECK_INT(v.h->digests[0].keyslots, 1 | 2 | 1 << 9);
}

static void add_refused(void)
{
	_cleanup_secret_ struct secret *pass = secret_text("x"), *odd = NULL;
	struct luks_new_keyslot n = new_slot(pass);
	_cleanup_volume_ struct volume_file v;
	int slot = -5;

	REQUIRE(volume_with(&v, 2));
	faults_start(v.io.fd, 0);
	CHECK_INT(add_text(&v, "second", 0, &slot), -EEXIST);
	CHECK_STR(err_text(&v.e), "Key slot 0 is full, please select another one.");
	CHECK_INT(add_text(&v, "second", 32, &slot), -EINVAL);
	CHECK_INT(add_text(&v, "second", -7, &slot), -EINVAL);
	REQUIRE(!secret_random(32, &odd, NULL));
	CHECK_INT(luks_add_keyslot(&v.io, v.h, v.kdf, &n, odd, &slot, &v.e), -EPERM);
	faults_stop();
	CHECK_INT(faults.calls, 0);
	CHECK_INT(slot, -5);
	REQUIRE(!add_text(&v, "second", LUKS_ANY, &slot));
	CHECK_INT(add_text(&v, "third", LUKS_ANY, &slot), -ENOSPC);
	CHECK_INT(v.h->n_keyslots, 2);
}

static void all_numbers_taken(void)
{
	_cleanup_secret_ struct secret *pass = secret_text("x"), *tiny = NULL;
	struct luks_new_keyslot n = new_slot(pass);
	_cleanup_volume_ struct volume_file v;
	int slot;

	REQUIRE(volume_with(&v, 4) && !secret_random(1, &tiny, NULL));
	n.unbound = true;
	REQUIRE(!luks_add_keyslot(&v.io, v.h, v.kdf, &n, tiny, &slot, &v.e));
	n.unbound = false;
	for (int i = 2; i < 32; i++)
		REQUIRE(!luks_add_keyslot(&v.io, v.h, v.kdf, &n, tiny, &slot, &v.e));
	CHECK_INT(slot, 31);
	CHECK_INT(luks_add_keyslot(&v.io, v.h, v.kdf, &n, tiny, &slot, &v.e), -ENOSPC);
	CHECK_STR(err_text(&v.e), "All key slots full.");
}

/* 32 keyslots of JSON don't fit into 12 KiB with long tokens: nothing is half written. */
static void json_area_full(void)
{
	_cleanup_volume_ struct volume_file v;
	int slot, r = 0;

	if (!have_cryptsetup())
		SKIP_TEST("no cryptsetup");
	REQUIRE(volume_with(&v, 8));
	REQUIRE(!shell(
		"python3 -c 'import json; print(json.dumps({\"type\": \"mine\", \"keyslots\": [], "
		"\"data\": \"x\" * 9800}))' >'%s/t' && cryptsetup token import --json-file '%s/t' "
		"'%s'",
		v.dir, v.dir, v.path));
	REQUIRE(!volume_file_load(&v));
	for (int i = 0; i < 7 && !r; i++)
		r = add_text(&v, "more", LUKS_ANY, &slot);
	CHECK_INT(r, -ENOSPC);
	CHECK(on_disk(&v, "first", true));
}

/* ---- change ---- */

static void change(void)
{
	_cleanup_volume_ struct volume_file v;
	unsigned char was[4096], now[4096];
	uint64_t old_area;
	int slot = -1;

	REQUIRE(volume_with(&v, 3) && !add_text(&v, "second", LUKS_ANY, &slot));
	REQUIRE(!luks_set_priority(&v.io, v.h, 1, LUKS_PRIORITY_PREFER, &v.e));
	old_area = luks_find_keyslot(v.h, 1)->area_offset_bytes;
	REQUIRE(!io_pread_full(v.io.fd, was, sizeof(was), old_area, NULL));
	REQUIRE(!change_text(&v, "second", "changed", LUKS_ANY, false, &slot));
	CHECK_INT(slot, 1); /* the number stays */
	CHECK(opens(&v, "changed"));
	CHECK(on_disk(&v, "changed", true) && on_disk(&v, "second", false));
	CHECK(on_disk(&v, "first", true));
	CHECK_INT(luks_find_keyslot(v.h, 1)->priority, LUKS_PRIORITY_PREFER);
	CHECK(luks_find_keyslot(v.h, 1)->area_offset_bytes != old_area);
	REQUIRE(!io_pread_full(v.io.fd, now, sizeof(now), old_area, NULL));
	for (size_t at = 0; at < sizeof(now); at += 512)
		CHECK(memcmp(was + at, now + at, 512) != 0);
	/* To another number. */
	REQUIRE(!change_text(&v, "changed", "again", 20, false, &slot));
	CHECK_INT(slot, 20);
	CHECK(on_disk(&v, "again", true) && on_disk(&v, "changed", false));
	CHECK(luks_find_keyslot(v.h, 1) == NULL);
	CHECK_INT(v.h->digests[0].keyslots, 1 | 1 << 20);
	CHECK_INT(change_text(&v, "again", "x", 0, false, &slot), -EEXIST);
}

static void change_without_room(void)
{
	_cleanup_secret_ struct secret *odd = NULL, *pass = secret_text("x");
	struct luks_new_keyslot n = new_slot(pass);
	_cleanup_volume_ struct volume_file v;
	int slot = -1;

	REQUIRE(volume_with(&v, 2) && !add_text(&v, "second", LUKS_ANY, &slot));
	faults_start(v.io.fd, 0);
	CHECK_INT(change_text(&v, "second", "changed", LUKS_ANY, false, &slot), -ENOSPC);
	REQUIRE(!secret_random(32, &odd, NULL));
	CHECK_INT(luks_change_keyslot(&v.io, v.h, v.kdf, 1, &n, odd, true, &slot, &v.e), -EPERM);
	CHECK_INT(luks_change_keyslot(&v.io, v.h, v.kdf, 5, &n, odd, true, &slot, &v.e), -ENOENT);
	CHECK_STR(err_text(&v.e), "Keyslot 5 is not active.");
	faults_stop();
	CHECK_INT(faults.calls, 0);
	CHECK(on_disk(&v, "second", true));
	REQUIRE(!change_text(&v, "second", "changed", LUKS_ANY, true, &slot));
	CHECK(on_disk(&v, "changed", true) && on_disk(&v, "second", false));
	CHECK(on_disk(&v, "first", true));
}

/* From one KDF to the other: the sets of members differ (checklist 2.5: exactly 4, exactly 5). */
static void change_of_kdf(void)
{
	_cleanup_secret_ struct secret *pass = secret_text("argon"), *back = secret_text("pbkdf2"),
				       *key = NULL;
	struct luks_new_keyslot n = new_slot(pass);
	_cleanup_volume_ struct volume_file v;
	int slot;

	REQUIRE(volume_with(&v, 2) && !unlock_text(&v, "first", LUKS_ANY, &key, NULL));
	n.pbkdf = (struct crypto_pbkdf){
		.type = CRYPTO_ARGON2ID, .iterations = 4, .memory_kib = 64, .parallel = 1
	};
	REQUIRE(!luks_change_keyslot(&v.io, v.h, v.kdf, 0, &n, key, false, &slot, &v.e));
	CHECK(on_disk(&v, "argon", true));
	n = new_slot(back);
	REQUIRE(!luks_change_keyslot(&v.io, v.h, v.kdf, 0, &n, key, false, &slot, &v.e));
	CHECK(on_disk(&v, "pbkdf2", true) && on_disk(&v, "argon", false));
}

/* ---- kill and erase ---- */

static void kill_one(void)
{
	_cleanup_volume_ struct volume_file v;
	uint64_t area;
	int slot;

	REQUIRE(volume_with(&v, 2) && !add_text(&v, "second", LUKS_ANY, &slot));
	area = luks_find_keyslot(v.h, 0)->area_offset_bytes;
	CHECK_INT(luks_kill_keyslot(&v.io, v.h, 5, false, &v.e), -ENOENT);
	CHECK_STR(err_text(&v.e), "Keyslot 5 is not active.");
	REQUIRE(!luks_kill_keyslot(&v.io, v.h, 0, false, &v.e));
	CHECK(on_disk(&v, "second", true) && on_disk(&v, "first", false));
	CHECK_INT(v.h->n_keyslots, 1);
	CHECK_INT(luks_kill_keyslot(&v.io, v.h, 1, false, &v.e), -EBUSY);
	CHECK(on_disk(&v, "second", true));
	/* Its room is free again. */
	REQUIRE(!change_text(&v, "second", "third", LUKS_ANY, false, &slot));
	CHECK_INT(luks_find_keyslot(v.h, 1)->area_offset_bytes, area);
	REQUIRE(!luks_kill_keyslot(&v.io, v.h, 1, true, &v.e));
	REQUIRE(!volume_file_load(&v));
	CHECK_INT(v.h->n_keyslots, 0);
	CHECK_INT(v.h->n_digests, 1); /* still verifies a key kept elsewhere */
	CHECK_INT(unlock_text(&v, "third", LUKS_ANY, NULL, NULL), -ENOENT);
}

static void erase(void)
{
	_cleanup_volume_ struct volume_file v;
	unsigned char *was = malloc(2 * MIB), *now = malloc(2 * MIB);
	static const unsigned char zeros[512];
	int slot;

	REQUIRE(was && now && volume_with(&v, 3) && !add_text(&v, "second", LUKS_ANY, &slot));
	REQUIRE(!io_pread_full(v.io.fd, was, 2 * MIB, 0, NULL));
	REQUIRE(!luks_erase_keyslots(&v.io, v.h, &v.e));
	REQUIRE(!io_pread_full(v.io.fd, now, 2 * MIB, 0, NULL));
	for (size_t at = 32768; at < 2 * MIB; at += 512)
		CHECK(!memcmp(was + at, zeros, 512) || memcmp(was + at, now + at, 512));
	REQUIRE(!volume_file_load(&v));
	CHECK_INT(v.h->n_keyslots, 0);
	CHECK(on_disk(&v, "first", false));
	free(was);
	free(now);
}

/* ---- metadata ---- */

static void labels(void)
{
	_cleanup_volume_ struct volume_file v;

	REQUIRE(volume_with(&v, 1));
	REQUIRE(!luks_set_labels(&v.io, v.h, "a long label first", "sub", &v.e));
	REQUIRE(!luks_set_labels(&v.io, v.h, "short", NULL, &v.e));
	CHECK_STR(v.h->label, "short");
	CHECK_STR(v.h->subsystem, "sub");
	CHECK(on_disk(&v, "first", true));
	CHECK_STR(v.h->label, "short");
	CHECK_INT(v.h->seqid, 5);
	CHECK_INT(luks_set_labels(&v.io, v.h, "123456789012345678901234567890123456789012345678",
				  NULL, &v.e),
		  -EINVAL);
	REQUIRE(!luks_set_labels(&v.io, v.h, "", "", &v.e));
	REQUIRE(!volume_file_load(&v));
	CHECK_STR(v.h->label, "");
}

static void uuid(void)
{
	_cleanup_volume_ struct volume_file v;

	REQUIRE(volume_with(&v, 1));
	CHECK_INT(luks_set_uuid(&v.io, v.h, "nonsense", &v.e), -EINVAL);
	REQUIRE(!luks_set_uuid(&v.io, v.h, "01234567-89ab-4cde-8f01-23456789abcd", &v.e));
	CHECK(on_disk(&v, "first", true));
	CHECK_STR(v.h->uuid, "01234567-89ab-4cde-8f01-23456789abcd");
	REQUIRE(!luks_set_uuid(&v.io, v.h, "01234567-89AB-4CDE-8F01-23456789ABCF", &v.e));
	CHECK_STR(v.h->uuid, "01234567-89ab-4cde-8f01-23456789abcf");
}

static void flags(void)
{
	static const uint32_t all = LUKS_FLAG_ALLOW_DISCARDS | LUKS_FLAG_SAME_CPU_CRYPT |
				    LUKS_FLAG_SUBMIT_FROM_CRYPT_CPUS | LUKS_FLAG_NO_JOURNAL |
				    LUKS_FLAG_NO_READ_WORKQUEUE | LUKS_FLAG_NO_WRITE_WORKQUEUE |
				    LUKS_FLAG_HIGH_PRIORITY;
	_cleanup_volume_ struct volume_file v;

	REQUIRE(volume_with(&v, 1));
	CHECK_INT(luks_set_flags(&v.io, v.h, all + 1, &v.e), -EINVAL);
	REQUIRE(!luks_set_flags(&v.io, v.h, all, &v.e));
	CHECK(on_disk(&v, "first", true));
	CHECK_INT(v.h->flags, all);
	if (have_cryptsetup())
		CHECK(!shell("cryptsetup luksDump '%s' | grep -q "
			     "'Flags:.*allow-discards.*same-cpu-crypt.*no-write-workqueue'",
			     v.path));
	REQUIRE(!luks_set_flags(&v.io, v.h, 0, &v.e));
	REQUIRE(!volume_file_load(&v));
	CHECK_INT(v.h->flags, 0);
}

static void priority(void)
{
	_cleanup_volume_ struct volume_file v;

	REQUIRE(volume_with(&v, 1));
	CHECK_INT(luks_set_priority(&v.io, v.h, 3, LUKS_PRIORITY_PREFER, &v.e), -ENOENT);
	CHECK_INT(luks_set_priority(&v.io, v.h, 0, (enum luks_priority)3, &v.e), -EINVAL);
	REQUIRE(!luks_set_priority(&v.io, v.h, 0, LUKS_PRIORITY_PREFER, &v.e));
	CHECK(on_disk(&v, "first", true));
	if (have_cryptsetup())
		CHECK(!shell("cryptsetup luksDump '%s' | grep -q 'Priority:.*preferred'", v.path));
}

/* ---- other hands ---- */

/* Tokens and members that we don't know stay, byte for byte, through every kind of change. */
static void what_we_dont_know_stays(void)
{
	_cleanup_volume_ struct volume_file v;
	int slot;

	if (!have_cryptsetup())
		SKIP_TEST("no cryptsetup");
	REQUIRE(volume_with(&v, 4) && !add_text(&v, "second", LUKS_ANY, &slot));
	REQUIRE(!shell("echo "
		       "'{\"type\":\"mine\",\"keyslots\":[\"1\"],\"x\":{\"deep\":[1,2.5,null,"
		       "\"\\u00e4\"]}}' "
		       ">'%s/t' && cryptsetup token import --json-file '%s/t' '%s' && "
		       "cryptsetup token export --token-id 0 '%s' >'%s/before'",
		       v.dir, v.dir, v.path, v.path, v.dir));
	REQUIRE(!volume_file_load(&v));
	REQUIRE(!luks_set_labels(&v.io, v.h, "l", "s", &v.e));
	REQUIRE(!add_text(&v, "third", LUKS_ANY, &slot));
	REQUIRE(!change_text(&v, "second", "fourth", LUKS_ANY, false, &slot));
	CHECK_INT(v.h->tokens[0].keyslots, 2);
	CHECK(!shell(
		"test \"$(cryptsetup token export --token-id 0 '%s')\" = \"$(cat '%s/before')\"",
		v.path, v.dir));
	/* A token follows a keyslot that moves, and lets go of one that is killed. */
	REQUIRE(!change_text(&v, "fourth", "fifth", 6, false, &slot));
	CHECK_INT(v.h->tokens[0].keyslots, 1 << 6);
	REQUIRE(!luks_kill_keyslot(&v.io, v.h, 6, false, &v.e));
	CHECK_INT(v.h->tokens[0].keyslots, 0);
	CHECK(!shell("cryptsetup token export --token-id 0 '%s' | grep -q '2.5'", v.path));
	CHECK(on_disk(&v, "third", true));
}

/* cryptsetup adds, kills and labels on our volume, and we go on from there. */
static void hand_in_hand(void)
{
	_cleanup_volume_ struct volume_file v;
	int slot;

	if (!have_cryptsetup())
		SKIP_TEST("no cryptsetup");
	REQUIRE(volume_with(&v, 4));
	REQUIRE(!shell("printf second >'%s/k'; printf first | cryptsetup luksAddKey " CHEAP
		       " -d - '%s' '%s/k'",
		       v.dir, v.path, v.dir));
	REQUIRE(!add_text(&v, "third", LUKS_ANY, &slot)); /* it was faster: slot 1 is theirs */
	CHECK_INT(slot, 2);
	CHECK(on_disk(&v, "second", true));
	REQUIRE(!shell("printf first | cryptsetup -q luksKillSlot -d - '%s' 1", v.path));
	REQUIRE(!shell("cryptsetup config --label theirs '%s'", v.path));
	CHECK(on_disk(&v, "second", false) && on_disk(&v, "third", true));
	CHECK_STR(v.h->label, "theirs");
	REQUIRE(!luks_kill_keyslot(&v.io, v.h, 2, false, &v.e));
	REQUIRE(!shell("printf first | cryptsetup luksAddKey " CHEAP " -d - '%s' '%s/k'", v.path,
		       v.dir));
	CHECK(on_disk(&v, "second", true));
}

/* A kill that fails behind its wipe leaves a keyslot that is listed and opens no more. */
static void finish_kills(void)
{
	_cleanup_volume_ struct volume_file v;
	size_t n;
	int slot;

	REQUIRE(volume_with(&v, 3) && !add_text(&v, "second", LUKS_ANY, &slot) &&
		!add_text(&v, "third", LUKS_ANY, &slot));
	faults_start(v.io.fd, 0);
	CHECK_INT(luks_finish_kills(&v.io, v.h, &n, &v.e), 0);
	CHECK_INT(n, 0);
	CHECK_INT(faults.calls, 0);
	faults_stop();
	faults_start(v.io.fd, 3); /* the area, its flush, then the metadata */
	CHECK(luks_kill_keyslot(&v.io, v.h, 1, false, &v.e) < 0);
	faults_stop();
	REQUIRE(!volume_file_load(&v));
	CHECK_INT(v.h->n_keyslots, 3);
	CHECK(on_disk(&v, "second", false));
	REQUIRE(!luks_finish_kills(&v.io, v.h, &n, &v.e));
	CHECK_INT(n, 1);
	REQUIRE(!volume_file_load(&v));
	CHECK_INT(v.h->n_keyslots, 2);
	CHECK(!luks_find_keyslot(v.h, 1));
	CHECK(on_disk(&v, "first", true) && on_disk(&v, "third", true));
	/* The last one of the volume key stays, whatever its area looks like. */
	REQUIRE(!luks_kill_keyslot(&v.io, v.h, 2, false, &v.e));
	REQUIRE(!luks_area_wipe(&v.io, luks_find_keyslot(v.h, 0)->area_offset_bytes, 4096, &v.e));
	CHECK_INT(luks_finish_kills(&v.io, v.h, &n, &v.e), 0);
	CHECK_INT(n, 0);
	CHECK_INT(v.h->n_keyslots, 1);
}

static void read_only(void)
{
	_cleanup_volume_ struct volume_file v;
	int slot;

	REQUIRE(volume_with(&v, 2));
	v.io.writable = false;
	faults_start(v.io.fd, 0);
	CHECK(luks_set_labels(&v.io, v.h, "l", NULL, &v.e) < 0);
	CHECK(add_text(&v, "second", LUKS_ANY, &slot) < 0);
	CHECK(luks_kill_keyslot(&v.io, v.h, 0, true, &v.e) < 0);
	CHECK(luks_erase_keyslots(&v.io, v.h, &v.e) < 0);
	faults_stop();
	CHECK_INT(faults.calls, 0);
}

/* ---- a write that fails ---- */

struct verb {
	const char *name;
	int (*run)(struct volume_file *v);
	bool first_stays; /* "first" opens whatever happens */
	bool or_new;	  /* else "new" does */
};

static int fail_add(struct volume_file *v)
{
	int slot;

	return add_text(v, "new", LUKS_ANY, &slot);
}

static int fail_change(struct volume_file *v)
{
	int slot;

	return change_text(v, "first", "new", LUKS_ANY, false, &slot);
}

static int fail_kill(struct volume_file *v)
{
	return luks_kill_keyslot(&v->io, v->h, 1, false, &v->e);
}

static int fail_labels(struct volume_file *v)
{
	return luks_set_labels(&v->io, v->h, "l", "s", &v->e);
}

static int fail_flags(struct volume_file *v)
{
	return luks_set_flags(&v->io, v->h, LUKS_FLAG_ALLOW_DISCARDS, &v->e);
}

static const struct verb verbs[] = {
	{ "add", fail_add, true, false },     { "change", fail_change, false, true },
	{ "kill", fail_kill, true, false },   { "labels", fail_labels, true, false },
	{ "flags", fail_flags, true, false },
};

#define MADE "the change is made, but only in the first copy of the header; repair the second"
#define UNMADE "the header is as it was"
#define UNKNOWN "it isn't known whether the header is changed"

/* What was said after failures, counted: each has to occur. */
static struct {
	unsigned int made, unmade, unknown, material;
} said;

/* The sentence, the caller's header and the disk agree; @v->h is the caller's. */
static void all_agree(struct volume_file *v, const struct luks_header *was, bool for_good)
{
	_cleanup_luks_ struct luks_header *disk = NULL;
	bool made = strstr(v->e.text, MADE), unmade = strstr(v->e.text, UNMADE);
	bool unknown = strstr(v->e.text, UNKNOWN),
	     material = strstr(v->e.text, "be left") || strstr(v->e.text, "is left");

	REQUIRE(!luks_load(&(struct luks_io){ .fd = v->io.fd }, &disk, &v->e));
	CHECK(made + unmade + unknown + material <= 1);
	CHECK_INT(v->h->seqid, was->seqid + (made || material));
	CHECK_INT(v->h->needs_recovery, made);
	if (!unknown) {
		CHECK_INT(disk->seqid, v->h->seqid);
		CHECK_INT(disk->n_keyslots, v->h->n_keyslots);
		CHECK_INT(disk->flags, v->h->flags);
		CHECK_STR(disk->label, v->h->label);
		/* After a flush that failed the pages may be good though the medium isn't. */
		CHECK(!disk->needs_recovery || made);
	}
	CHECK(unknown ? for_good : true);
	said.made += made;
	said.unmade += unmade;
	said.unknown += unknown;
	said.material += material;
}

/* Once the device can be written again, loading it for writing puts the copies in order. */
static int no_foreign(int fd, struct err *e)
{
	(void)fd, (void)e;
	return 0;
}

static void recovers(struct volume_file *v)
{
	struct luks_io io = v->io;
	struct luks_header *h = NULL;

	io.check_foreign = no_foreign;
	REQUIRE(!luks_load(&io, &h, &v->e));
	luks_free(h);
	REQUIRE(!volume_file_load(v));
	CHECK(!v->h->needs_recovery);
	CHECK_INT(luks_set_labels(&v->io, v->h, "after all", NULL, &v->e), 0);
}

static void fails_at(const struct verb *verb, unsigned int n, bool for_good, bool *ret_done)
{
	_cleanup_luks_ struct luks_header *was = NULL;
	_cleanup_volume_ struct volume_file v;
	int slot, r;

	REQUIRE(volume_with(&v, 3) && !add_text(&v, "other", LUKS_ANY, &slot));
	REQUIRE(!luks_header_clone(v.h, &was, NULL));
	faults_start(v.io.fd, n);
	faults.for_good = for_good;
	r = verb->run(&v);
	faults_stop();
	*ret_done = faults.calls < n;
	if (*ret_done) {
		CHECK_INT(r, 0);
		return;
	}
	CHECK_INT(r, -EIO);
	all_agree(&v, was, for_good);
	REQUIRE(!volume_file_load(&v));
	CHECK_MSG(opens(&v, "first") || (verb->or_new && opens(&v, "new")), "after call %u", n);
	if (verb->run != fail_kill)
		CHECK_MSG(opens(&v, "other"), "after call %u", n);
	for (size_t i = 0; i < v.h->n_keyslots && verb->run == fail_add; i++)
		if (v.h->keyslots[i].id == 2)
			CHECK_MSG(opens(&v, "new"), "after call %u", n);
	recovers(&v);
}

static void fails_everywhere(const struct verb *verb, bool for_good)
{
	bool done = false;
	unsigned int n;

	memset(&said, 0, sizeof(said));
	for (n = 1; !done && n < 64 && !check_this_failed; n++)
		fails_at(verb, n, for_good, &done);
	CHECK_MSG(done && n > 8, "%u calls", n);
	/* Three writes and a flush for each copy. */
	CHECK_INT(said.made, 4);
	CHECK_INT(said.unmade, for_good ? 0 : 4);
	CHECK_INT(said.unknown, for_good ? 4 : 0);
	CHECK_INT(said.material > 0, verb->run == fail_change || verb->run == fail_kill);
}

int main(void)
{
	char name[64];

	RUN(add);
	RUN(add_refused);
	RUN(all_numbers_taken);
	RUN(json_area_full);
	RUN(change);
	RUN(change_without_room);
	RUN(change_of_kdf);
	RUN(kill_one);
	RUN(finish_kills);
	RUN(erase);
	RUN(labels);
	RUN(uuid);
	RUN(flags);
	RUN(priority);
	RUN(what_we_dont_know_stays);
	RUN(hand_in_hand);
	RUN(read_only);
	for (size_t i = 0; i < ARRAY_SIZE(verbs); i++) {
		snprintf(name, sizeof(name), "each write of %s fails once", verbs[i].name);
		RUN_CASE(name, fails_everywhere(&verbs[i], false));
		snprintf(name, sizeof(name), "each write of %s fails, and all behind it",
			 verbs[i].name);
		RUN_CASE(name, fails_everywhere(&verbs[i], true));
	}
	return check_exit();
}
