// SPDX-License-Identifier: Apache-2.0
// volume_open over faked rooms: what is mapped, where the key goes, and the ladder back down from
// every rung.
#include "volume_fakes.h"

static struct volume_open request;
static struct secret *passphrase, *wrong;

static void ask(void)
{
	request = (struct volume_open){ .where.device = "/dev/data",
					.name = "vol",
					.key = { .passphrase = passphrase, .keyslot = LUKS_ANY } };
}

static int run(struct err *e)
{
	int slot = 77, r = volume_open(&env, &request, &slot, e);

	CHECK_MSG(r ? slot == 77 : slot == 0 || slot == LUKS_ANY, "slot %d", slot);
	return r;
}

/* After success the mapping stays, and only what @stays names. */
static void check_left(const char *a, const char *b)
{
	forget(a);
	forget(b);
	CHECK_MSG(fake.n_held == 0, "%s is left: %.600s", fake.held[0], fake.trace);
}

static void opens(void)
{
	struct err e = { 0 };

	fake_reset();
	ask();
	CHECK_MSG(!run(&e), "%s", e.text);
	CHECK_STR(fake.loaded_uuid, "CRYPT-LUKS2-" UUID_HEX "-vol");
	CHECK_INT(fake.loaded.n_targets, 1);
	CHECK_INT(fake.loaded_targets[0].type, DM_TARGET_CRYPT);
	CHECK_INT(fake.loaded_targets[0].len_sectors, 48 * MIB / 512);
	CHECK_INT(fake.loaded_targets[0].crypt.device_offset_sectors, 16 * MIB / 512);
	CHECK_STR(fake.loaded_targets[0].crypt.cipher, "aes-xts-plain64");
	CHECK_STR(fake.loaded_targets[0].crypt.key_description, "logon:cryptsetup:" UUID "-d0");
	CHECK_INT(fake.loaded_targets[0].crypt.key_bytes, KEY_BYTES);
	CHECK(!fake.loaded_hex && !fake.loaded.readonly && !fake.kept_ring);
	CHECK_INT(fake.block_flags[0] & 7, BLOCK_EXCLUSIVE | BLOCK_NEED_DEVICE);
	CHECK_STR(
		fake.trace,
		"dm_control_open dm_query_info block_open luks_load dm_crypt_supports luks_unlock "
		"keyring_put block_drop_exclusive dm_create block_count_holders "
		"keyring_drop luks_load luks_free keyring_revoke_kept luks_free block_close "
		"dm_control_close");
	check_left("mapping", "");
}

/* A header that tells the kernel to write plaintext: refused before anything is derived. */
static void never_plaintext(void)
{
	struct luks_segment *s = fake.header.segments;
	struct err e = { 0 };

	fake_reset();
	ask();
	s[1] = s[0];
	s[1].id = 1;
	s[0].dynamic = false;
	s[0].size_bytes = 8 * MIB;
	s[1].offset_bytes += 8 * MIB;
	s[1].type = LUKS_SEGMENT_LINEAR;
	fake.header.n_segments = 2;
	CHECK_INT(run(&e), -EOPNOTSUPP);
	CHECK_CONTAINS(e.text, "segment 1: its type is linear");
	CHECK_MSG(!strstr(fake.trace, "luks_unlock") && !strstr(fake.trace, "dm_create"), "%.600s",
		  fake.trace);
	check_left("", "");
}

/* A header whose data lie on another device is not mapped over itself. */
static void never_over_itself(void)
{
	struct err e = { 0 };

	for (int detached = 0; detached < 2; detached++) {
		fake_reset();
		ask();
		fake.header.segments[0].offset_bytes = 0;
		request.where.header = detached ? "/hdr" : NULL;
		CHECK_INT(run(&e), detached ? 0 : -EINVAL);
		if (!detached)
			CHECK_CONTAINS(e.text, "detached header");
		check_left("mapping", "");
	}
	/* The data device is the header's, by whatever name. */
	memcpy(fake_disk, "LUKS\xba\xbe\0\2", 8);
	memcpy(fake_disk + 168, fake.header.uuid, sizeof(fake.header.uuid));
	fake_reset();
	ask();
	fake.header.segments[0].offset_bytes = 0;
	request.where.header = "/hdr";
	CHECK_INT(run(&e), -EINVAL);
	CHECK_CONTAINS(e.text, "holds the header itself");
	check_left("", "");
	memset(fake_disk, 0, sizeof(fake_disk));
}

/* Formatted by somebody else while the key was derived: the mapping goes again. */
static void gone_under_the_kdf(void)
{
	struct err e = { 0 };

	fake_reset();
	ask();
	fake.changed_when_mapped = true;
	CHECK_INT(run(&e), -ESTALE);
	CHECK_CONTAINS(e.text, "it isn't mapped");
	CHECK(strstr(fake.trace, "dm_create") && strstr(fake.trace, "dm_remove"));
	check_left("", "");
}

static int refuse_header(void *arg, const struct luks_header *h, struct err *e)
{
	CHECK_STR(h->uuid, UUID);
	++*(int *)arg;
	return err_set(e, -EBADMSG, "not the header that I know");
}

/* The caller judges the one copy that was loaded, and nothing is derived from a refused one. */
static void asks_the_caller(void)
{
	struct err e = { 0 };
	int asked = 0;

	for (int test_only = 0; test_only < 2; test_only++) {
		fake_reset();
		ask();
		request.test_only = test_only;
		request.check = (struct volume_check){ refuse_header, &asked };
		CHECK_INT(run(&e), -EBADMSG);
		CHECK_CONTAINS(e.text, "not the header that I know");
		CHECK_INT(asked, test_only + 1);
		CHECK_MSG(!strstr(fake.trace, "luks_unlock"), "%.600s", fake.trace);
		check_left("", "");
	}
}

static void every_rung(void)
{
	ask();
	fail_each_rung(&(struct rungs){
		.run = run, .tolerated = " block_count_holders ", .min_steps = 10 });
}

static void prepare_everything(void)
{
	ask();
	request.where.header = "/hdr";
	request.keep_key = request.persistent = true;
	request.flags = LUKS_FLAG_ALLOW_DISCARDS;
}

static void every_rung_of_everything(void)
{
	fail_each_rung(&(struct rungs){ .prepare = prepare_everything,
					.run = run,
					.tolerated = " block_count_holders ",
					.min_steps = 13 });
}

static void keeps_the_key(void)
{
	fake_reset();
	ask();
	request.keep_key = true;
	CHECK_INT(run(NULL), 0);
	CHECK(fake.kept_ring);
	CHECK_STR(fake.kept_for, INSTANCE);
	/* The ring is touched only once the name is ours. */
	CHECK(strstr(fake.trace, "dm_create") < strstr(fake.trace, "keyring_put_kept"));
	check_left("ring", "mapping");
}

/* A ring that an earlier mapping of that name left may hold another key. */
static void stale_ring_goes(void)
{
	for (int hex = 0; hex < 2; hex++) {
		fake_reset();
		ask();
		fake.kept_ring = true;
		request.disable_keyring = hex;
		CHECK_INT(run(NULL), 0);
		CHECK(!fake.kept_ring);
	}
}

static void hex_key(void)
{
	fake_reset();
	ask();
	request.disable_keyring = true;
	CHECK_INT(run(NULL), 0);
	CHECK(fake.loaded_hex);
	CHECK(!strstr(fake.trace, "keyring_put"));
	for (int i = 0; i < 2; i++) { /* a host that can't do better */
		fake_reset();
		ask();
		request.keep_key = true;
		fake.keyring = i;
		fake.supported &= i ? ~(uint32_t)DM_CRYPT_KEYRING : ~0u;
		CHECK_INT(run(NULL), 0);
		CHECK(fake.loaded_hex);
	}
}

static void volume_key(void)
{
	struct secret *key = NULL;

	fake_reset();
	ask();
	REQUIRE(!secret_random(KEY_BYTES, &key, NULL));
	request.key = (struct volume_key){ .volume_key = key, .keyslot = LUKS_ANY };
	CHECK_INT(run(NULL), 0);
	CHECK(!strstr(fake.trace, "luks_unlock"));
	fake_reset(); /* no keyslot left that would tell the key's size */
	fake.header.n_keyslots = 0;
	fake.header.digests[0].keyslots = 0;
	CHECK_INT(run(NULL), 0);
	CHECK_INT(fake.loaded_targets[0].crypt.key_bytes, KEY_BYTES);
	secret_free(key);
}

static void wrong_passphrase(void)
{
	struct err e = { 0 };

	fake_reset();
	ask();
	request.key.passphrase = wrong;
	CHECK_INT(run(&e), -EPERM);
	CHECK_INT(fake.n_held, 0);
	CHECK(!strstr(fake.trace, "dm_create") && !strstr(fake.trace, "keyring"));
	request.key.passphrase = NULL;
	fake_reset();
	CHECK_INT(run(NULL), -EINVAL);
	CHECK_INT(fake.n_held, 0);
}

static void name_taken(void)
{
	struct err e = { 0 };

	fake_reset();
	ask();
	fake_map("logon:x");
	CHECK_INT(run(&e), -EEXIST);
	CHECK_CONTAINS(e.text, "vol");
	CHECK_INT(fake.n_held, 0);
	CHECK(!strstr(fake.trace, "luks_unlock"));
}

/* Another mapping came to stand on the device between the claim and ours. */
static void mapped_by_another(void)
{
	struct err e = { 0 };

	fake_reset();
	ask();
	fake.holders = 2;
	CHECK_INT(run(&e), -EBUSY);
	CHECK_INT(fake.n_held, 0);
	CHECK_CONTAINS(fake.trace, "dm_remove(vol)");
	fake_reset();
	fake.holders = 2;
	request.shared = true;
	CHECK_INT(run(&e), 0);
	CHECK_INT(fake.block_flags[0] & BLOCK_EXCLUSIVE, 0);
}

static void flags(void)
{
	fake_reset();
	ask();
	fake.header.flags = LUKS_FLAG_ALLOW_DISCARDS | LUKS_FLAG_NO_JOURNAL;
	request.flags = LUKS_FLAG_NO_READ_WORKQUEUE | LUKS_FLAG_HIGH_PRIORITY;
	CHECK_INT(run(NULL), 0);
	CHECK_INT(fake.loaded_targets[0].crypt.flags,
		  DM_CRYPT_ALLOW_DISCARDS | DM_CRYPT_NO_READ_WORKQUEUE | DM_CRYPT_HIGH_PRIORITY);
	CHECK(!strstr(fake.trace, "luks_set_flags"));
	/* Persistent: these flags, and no others any more. */
	fake_reset();
	fake.header.flags = LUKS_FLAG_ALLOW_DISCARDS;
	request.persistent = true;
	CHECK_INT(run(NULL), 0);
	CHECK_INT(fake.loaded_targets[0].crypt.flags,
		  DM_CRYPT_NO_READ_WORKQUEUE | DM_CRYPT_HIGH_PRIORITY);
	CHECK_INT(fake.flags_set, request.flags);
	/* The same as they are: nothing is written. */
	fake_reset();
	fake.header.flags = request.flags;
	CHECK_INT(run(NULL), 0);
	CHECK(!strstr(fake.trace, "luks_set_flags"));
}

static void flags_unknown_to_the_kernel(void)
{
	fake_reset();
	ask();
	fake.supported &= ~(uint32_t)DM_CRYPT_NO_READ_WORKQUEUE;
	request.flags = LUKS_FLAG_NO_READ_WORKQUEUE | LUKS_FLAG_ALLOW_DISCARDS;
	CHECK_INT(run(NULL), 0);
	CHECK_INT(fake.loaded_targets[0].crypt.flags, DM_CRYPT_ALLOW_DISCARDS);
	CHECK_CONTAINS(fake.warned, "no_read_workqueue");
}

static void readonly(void)
{
	fake_reset();
	ask();
	request.readonly = true;
	CHECK_INT(run(NULL), 0);
	CHECK(fake.loaded.readonly);
	CHECK_INT(fake.device_flags, DM_DEVICE_READONLY);
	CHECK(fake.block_flags[0] & BLOCK_READONLY);
	CHECK_STR(fake.warned, "");
	fake_reset(); /* the device says so itself */
	ask();
	fake.device_readonly = true;
	CHECK_INT(run(NULL), 0);
	CHECK(fake.loaded.readonly);
	CHECK_CONTAINS(fake.warned, "read-only");
	fake_reset();
	fake.device_readonly = request.persistent = true;
	CHECK_INT(run(NULL), -EROFS);
	CHECK_INT(fake.n_held, 0);
}

static void test_only(void)
{
	fake_reset();
	ask();
	request.test_only = true;
	request.name = NULL;
	CHECK_INT(run(NULL), 0);
	CHECK_STR(fake.trace, "block_open luks_load luks_unlock luks_free block_close");
	CHECK_INT(fake.block_flags[0] & 7, BLOCK_READONLY);
	CHECK_INT(fake.n_held, 0);
	request.key.passphrase = wrong;
	fake_reset();
	CHECK_INT(run(NULL), -EPERM);
	CHECK_INT(fake.n_held, 0);
	request.key.passphrase = passphrase;
	fail_each_rung(&(struct rungs){ .run = run, .min_steps = 3 });
}

static void contradictions(void)
{
	fake_reset();
	ask();
	request.keep_key = request.disable_keyring = true;
	CHECK_INT(run(NULL), -EINVAL);
	ask();
	request.persistent = request.readonly = true;
	CHECK_INT(run(NULL), -EINVAL);
	ask();
	request.any_digest = true;
	CHECK_INT(run(NULL), -EINVAL);
	ask();
	request.name = "a/b";
	CHECK_INT(run(NULL), -EINVAL);
	ask();
	request.where.device = NULL;
	CHECK_INT(run(NULL), -EINVAL);
	CHECK_INT(fake.n_held, 0);
}

static void refused_by_name(void)
{
	struct err e = { 0 };

	fake_reset();
	ask();
	fake.header.requirements = LUKS_REQ_ONLINE_REENCRYPT;
	CHECK_INT(run(&e), -EOPNOTSUPP);
	CHECK_CONTAINS(e.text, "re-encryption");
	fake_reset();
	fake.header.requirements = LUKS_REQ_UNKNOWN;
	CHECK_INT(run(&e), -ETXTBSY);
	fake_reset();
	snprintf(fake.header.segments[0].encryption, 32, "cipher_null-ecb");
	CHECK_INT(run(&e), -EOPNOTSUPP);
	CHECK(!strstr(fake.trace, "luks_unlock"));
	fake_reset();
	snprintf(fake.header.segments[0].encryption, 32, "cipher_null-ecb");
	request.allow_null = true;
	CHECK_INT(run(&e), 0);
	CHECK_INT(fake.loaded_targets[0].crypt.key_bytes, 0);
	CHECK(!strstr(fake.trace, "keyring_put"));
}

static void warns_of_the_header(void)
{
	struct volume_env quiet = env;
	int slot;

	fake_reset();
	ask();
	fake.header.seqid_conflict = true;
	CHECK_INT(run(NULL), 0);
	CHECK_CONTAINS(fake.warned, "sequence number");
	fake_reset();
	fake.header.needs_recovery = true;
	CHECK_INT(run(NULL), 0);
	CHECK_CONTAINS(fake.warned, "not repaired");
	fake_reset();
	quiet.no_locks = true;
	CHECK_INT(volume_open(&quiet, &request, &slot, NULL), 0);
	CHECK_CONTAINS(fake.warned, "locks");
	quiet.warn = NULL;
	fake_reset();
	CHECK_INT(volume_open(&quiet, &request, &slot, NULL), 0);
}

static void long_names(void)
{
	char name[DM_DEVICE_NAME_MAX + 1], uuid[DM_DEVICE_UUID_MAX + 1];
	bool cut;

	memset(name, 'n', sizeof(name) - 1);
	name[sizeof(name) - 1] = '\0';
	volume_dm_uuid(UUID, name, uuid, &cut);
	CHECK(cut);
	CHECK_INT(strlen(uuid), 128);
	CHECK(volume_dm_uuid_is(uuid, UUID));
	name[128 - 12 - 33] = '\0';
	volume_dm_uuid(UUID, name, uuid, &cut);
	CHECK(!cut);
	CHECK_INT(strlen(uuid), 128);
}

int main(void)
{
	passphrase = text_secret("secret");
	wrong = text_secret("wrong");
	RUN(opens);
	RUN(never_plaintext);
	RUN(never_over_itself);
	RUN(asks_the_caller);
	RUN(gone_under_the_kdf);
	RUN(every_rung);
	RUN(every_rung_of_everything);
	RUN(keeps_the_key);
	RUN(stale_ring_goes);
	RUN(hex_key);
	RUN(volume_key);
	RUN(wrong_passphrase);
	RUN(name_taken);
	RUN(mapped_by_another);
	RUN(flags);
	RUN(flags_unknown_to_the_kernel);
	RUN(readonly);
	RUN(test_only);
	RUN(contradictions);
	RUN(refused_by_name);
	RUN(warns_of_the_header);
	RUN(long_names);
	secret_free(passphrase);
	secret_free(wrong);
	return check_exit();
}
