// SPDX-License-Identifier: Apache-2.0
// Verbs on a live mapping over faked rooms: resize, refresh, close, status. The key of a live
// mapping is never guessed, and its table never taken from a header.
#include "volume_fakes.h"

#define LOGON "logon:cryptsetup:" UUID "-d0"

static struct secret *passphrase, *wrong;
static struct volume_key key;
static struct volume_resize size;
static struct volume_open request;

static void ask(void)
{
	key = (struct volume_key){ .passphrase = passphrase, .keyslot = LUKS_ANY };
	size = (struct volume_resize){ 0 };
	request = (struct volume_open){ .name = "vol", .refresh = true, .key = key };
}

static int resize(struct err *e)
{
	return volume_resize(&env, "vol", &size, e);
}

static void grown_map(const char *description)
{
	ask();
	fake_map(description);
	fake.device_bytes = 128 * MIB;
}

/* ---- resize ---- */

static void grow_by_kept_key(void)
{
	struct err e = { 0 };

	fake_reset();
	grown_map(LOGON);
	fake.kept_ring = true;
	CHECK_MSG(!resize(&e), "%s", e.text);
	CHECK_INT(fake.loaded_targets[0].len_sectors, 112 * MIB / 512);
	CHECK_STR(fake.loaded_targets[0].crypt.key_description, LOGON);
	CHECK(!strstr(fake.trace, "luks_unlock") && !strstr(fake.trace, "keyring_put"));
	CHECK(fake.kept_ring);
	CHECK_INT(fake.n_held, 0);
}

static void grow_by_hex_key(void)
{
	fake_reset();
	grown_map(NULL);
	CHECK_INT(resize(NULL), 0);
	CHECK(fake.loaded_hex);
	CHECK(!strstr(fake.trace, "keyring"));
	CHECK_INT(fake.n_held, 0);
}

static void grow_by_passphrase(void)
{
	fake_reset();
	grown_map(LOGON);
	size.key = &key;
	CHECK_INT(resize(NULL), 0);
	CHECK_CONTAINS(fake.trace, "keyring_put");
	CHECK_INT(fake.loaded_targets[0].len_sectors, 112 * MIB / 512);
	CHECK_INT(fake.n_held, 0);
}

static void key_gone(void)
{
	struct err e = { 0 };

	fake_reset();
	grown_map(LOGON);
	CHECK_INT(resize(&e), -ENOKEY);
	CHECK_CONTAINS(e.text, "passphrase");
	CHECK(!strstr(fake.trace, "dm_reload"));
	CHECK_INT(fake.n_held, 0);
}

static void wrong_passphrase(void)
{
	fake_reset();
	grown_map(LOGON);
	key.passphrase = wrong;
	size.key = &key;
	CHECK_INT(resize(NULL), -EPERM);
	fake_reset(); /* not even where the kept key would do, or the size is right already */
	grown_map(LOGON);
	key.passphrase = wrong;
	size.key = &key;
	fake.kept_ring = true;
	fake.device_bytes = 64 * MIB;
	CHECK_INT(resize(NULL), -EPERM);
	CHECK(!strstr(fake.trace, "dm_reload"));
	CHECK_INT(fake.n_held, 0);
}

/* Cipher and offset of the live table, whatever the header says by now. */
static void header_replaced(void)
{
	struct err e = { 0 };

	fake_reset();
	grown_map(LOGON);
	fake.kept_ring = true;
	fake.header.uuid[0] = '9';
	fake.header.segments[0].offset_bytes = 4 * MIB;
	fake.header.segments[0].dynamic = false;
	fake.header.segments[0].size_bytes = MIB;
	CHECK_INT(resize(NULL), 0);
	CHECK_INT(fake.loaded_targets[0].crypt.device_offset_sectors, 16 * MIB / 512);
	CHECK_INT(fake.loaded_targets[0].len_sectors, 112 * MIB / 512);
	fake_reset(); /* but a passphrase of it is of no use here */
	grown_map(LOGON);
	fake.header.uuid[0] = '9';
	size.key = &key;
	CHECK_INT(resize(&e), -ESTALE);
	CHECK_CONTAINS(e.text, "UUID");
	fake_reset();
	grown_map(LOGON);
	fake.header.segments[0].offset_bytes = 4 * MIB;
	size.key = &key;
	CHECK_INT(resize(&e), -ESTALE);
	CHECK_CONTAINS(e.text, "offset");
	CHECK(!strstr(fake.trace, "luks_unlock"));
	CHECK_INT(fake.n_held, 0);
}

static void fixed_segment(void)
{
	fake_reset();
	grown_map(LOGON);
	fake.kept_ring = true;
	fake.header.segments[0].dynamic = false;
	fake.header.segments[0].size_bytes = 64 * MIB;
	CHECK_INT(resize(NULL), 0);
	CHECK_INT(fake.loaded_targets[0].len_sectors, 64 * MIB / 512);
	size.size_sectors = 64 * MIB / 512 + 8;
	CHECK_INT(resize(NULL), -EINVAL);
	CHECK_INT(fake.n_held, 0);
}

static void sizes(void)
{
	fake_reset(); /* already so: nothing to load, and no key to look for */
	grown_map(LOGON);
	fake.device_bytes = 64 * MIB;
	CHECK_INT(resize(NULL), 0);
	CHECK(!strstr(fake.trace, "dm_reload"));
	fake.device_bytes = 40 * MIB; /* smaller by a fault: no */
	CHECK_INT(resize(NULL), -EINVAL);
	fake.device_bytes = 8 * MIB;
	CHECK_INT(resize(NULL), -EINVAL);
	fake.device_bytes = 64 * MIB;
	fake.kept_ring = true;
	size.size_sectors = 1000; /* smaller by wish */
	CHECK_INT(resize(NULL), 0);
	CHECK_INT(fake.loaded_targets[0].len_sectors, 1000);
	size.size_sectors = 48 * MIB / 512 + 1;
	CHECK_INT(resize(NULL), -EINVAL);
	fake.live_targets[0].crypt.sector_size_bytes = 4096;
	fake.header.segments[0].sector_size_bytes = 4096;
	size.size_sectors = 1001;
	CHECK_INT(resize(NULL), -EINVAL);
	size.size_sectors = 1008;
	CHECK_INT(resize(NULL), 0);
	CHECK_INT(fake.n_held, 0);
}

static void several_targets(void)
{
	struct err e = { 0 };

	fake_reset();
	grown_map(LOGON);
	fake.kept_ring = true;
	fake.live_n = 2;
	fake.live_targets[1] = fake.live_targets[0];
	fake.live_targets[0].len_sectors = 800;
	fake.live_targets[1].start_sectors = 800;
	fake.live_targets[1].crypt.device_offset_sectors = 16 * MIB / 512 + 800;
	CHECK_INT(resize(NULL), 0);
	CHECK_INT(fake.loaded.n_targets, 2);
	CHECK_INT(fake.loaded_targets[0].len_sectors, 800);
	CHECK_INT(fake.loaded_targets[1].len_sectors, 112 * MIB / 512 - 800);
	size.size_sectors = 800;
	CHECK_INT(resize(NULL), -EINVAL);
	size.size_sectors = 0;
	fake.live_targets[0].type = DM_TARGET_LINEAR;
	CHECK_INT(resize(&e), -EOPNOTSUPP);
	CHECK_CONTAINS(e.text, "isn't encrypted throughout");
	CHECK_INT(fake.n_held, 0);
}

static void not_to_be_resized(void)
{
	fake_reset();
	grown_map(LOGON);
	fake.live.suspended = true;
	CHECK_INT(resize(NULL), -EBUSY);
	fake.live.suspended = false;
	snprintf(fake.live_targets[0].crypt.integrity, 64, "16:aead");
	CHECK_INT(resize(NULL), -EOPNOTSUPP);
	snprintf(fake.live.uuid, sizeof(fake.live.uuid), "LVM-abc");
	CHECK_INT(resize(NULL), -EINVAL);
	fake.live.name[0] = '\0';
	CHECK_INT(resize(NULL), -ENODEV);
	CHECK_INT(fake.n_held, 0);
}

static void prepare_grow(void)
{
	grown_map(LOGON);
	size.key = &key;
}

static void resize_every_rung(void)
{
	fail_each_rung(&(struct rungs){ .prepare = prepare_grow, .run = resize, .min_steps = 11 });
}

static void prepare_kept(void)
{
	grown_map(LOGON);
	fake.kept_ring = true;
}

/* Without a passphrase the header isn't needed. */
static void resize_kept_every_rung(void)
{
	fail_each_rung(&(struct rungs){ .prepare = prepare_kept,
					.run = resize,
					.tolerated = " luks_load block_open ",
					.min_steps = 8 });
}

static bool needs_key(void)
{
	bool b = false;

	CHECK_INT(volume_resize_needs_key(&env, "vol", &b, NULL), 0);
	CHECK_INT(fake.n_held, 0);
	return b;
}

static void who_needs_a_key(void)
{
	fake_reset();
	grown_map(LOGON);
	CHECK(needs_key());
	fake.kept_ring = true;
	CHECK(!needs_key());
	fake_reset();
	grown_map(NULL);
	CHECK(!needs_key());
}

/* ---- refresh ---- */

static int refresh(struct err *e)
{
	int slot = 77, r = volume_open(&env, &request, &slot, e);

	CHECK(r ? slot == 77 : slot == 0 || slot == LUKS_ANY);
	return r;
}

static void refresh_flags(void)
{
	struct err e = { 0 };

	fake_reset();
	grown_map(LOGON);
	fake.live_targets[0].crypt.flags = DM_CRYPT_SAME_CPU_CRYPT | DM_CRYPT_IV_LARGE_SECTORS;
	request.flags = LUKS_FLAG_ALLOW_DISCARDS;
	fake.header.flags = LUKS_FLAG_NO_READ_WORKQUEUE;
	CHECK_MSG(!refresh(&e), "%s", e.text);
	CHECK_INT(fake.loaded_targets[0].crypt.flags,
		  DM_CRYPT_ALLOW_DISCARDS | DM_CRYPT_NO_READ_WORKQUEUE | DM_CRYPT_IV_LARGE_SECTORS);
	CHECK_INT(fake.loaded_targets[0].len_sectors, 48 * MIB / 512); /* flags only */
	CHECK(!strstr(fake.trace, "luks_set_flags"));
	CHECK_INT(fake.n_held, 0);
	fake_reset();
	grown_map(LOGON);
	request.flags = LUKS_FLAG_ALLOW_DISCARDS;
	request.persistent = true;
	fake.header.flags = LUKS_FLAG_NO_READ_WORKQUEUE;
	CHECK_INT(refresh(NULL), 0);
	CHECK_INT(fake.loaded_targets[0].crypt.flags, DM_CRYPT_ALLOW_DISCARDS);
	CHECK_INT(fake.flags_set, LUKS_FLAG_ALLOW_DISCARDS);
}

static void refresh_other_header(void)
{
	fake_reset();
	grown_map(LOGON);
	fake.header.uuid[3] = '9';
	CHECK_INT(refresh(NULL), -ESTALE);
	CHECK(!strstr(fake.trace, "dm_reload"));
	CHECK_INT(fake.n_held, 0);
	request.where.device = "/dev/null"; /* not the device below */
	CHECK_INT(refresh(NULL), -EINVAL);
	CHECK_INT(fake.n_held, 0);
}

static void refresh_moves_the_key(void)
{
	fake_reset(); /* into a ring of its own */
	grown_map(LOGON);
	request.keep_key = true;
	CHECK_INT(refresh(NULL), 0);
	CHECK(fake.kept_ring && !fake.loaded_hex);
	forget("ring");
	CHECK_INT(fake.n_held, 0);
	fake_reset(); /* into the table */
	grown_map(LOGON);
	request.disable_keyring = true;
	CHECK_INT(refresh(NULL), 0);
	CHECK(fake.loaded_hex);
	CHECK_INT(fake.n_held, 0);
	fake_reset(); /* neither without a key */
	grown_map(LOGON);
	request.disable_keyring = true;
	request.key.passphrase = NULL;
	CHECK_INT(refresh(NULL), -ENOKEY);
	CHECK_INT(fake.n_held, 0);
}

static void prepare_refresh(void)
{
	grown_map(LOGON);
	request.persistent = request.keep_key = true;
	request.flags = LUKS_FLAG_ALLOW_DISCARDS;
}

static void refresh_every_rung(void)
{
	fail_each_rung(&(struct rungs){ .prepare = prepare_refresh,
					.run = refresh,
					.tolerated = " keyring_find_kept ",
					.min_steps = 11 });
}

/* What could not be made persistent isn't in force either. */
static void refresh_undone(void)
{
	fake_reset();
	prepare_refresh();
	fake.live_targets[0].crypt.flags = DM_CRYPT_SAME_CPU_CRYPT;
	request.keep_key = false;
	fake.kept_ring = true;
	for (fake.fail_at = 1; fake.fail_at < 40; fake.fail_at++) {
		fake.steps = 0;
		if (refresh(NULL) && !strcmp(fake.failed, "luks_set_flags"))
			break;
	}
	CHECK_STR(fake.failed, "luks_set_flags");
	CHECK_INT(fake.loaded_targets[0].crypt.flags, DM_CRYPT_SAME_CPU_CRYPT);
}

/* ---- close ---- */

static uint32_t how;

static int close_it(struct err *e)
{
	return volume_close(&env, "vol", how, e);
}

static void closes(void)
{
	fake_reset();
	how = 0;
	fake_map(LOGON);
	fake.kept_ring = true;
	CHECK_INT(close_it(NULL), 0);
	CHECK(!fake.kept_ring);
	CHECK(strstr(fake.trace, "dm_remove(vol)") < strstr(fake.trace, "keyring_revoke"));
	how = VOLUME_CLOSE_DEFERRED;
	CHECK_INT(close_it(NULL), 0);
	CHECK_CONTAINS(fake.trace, "dm_remove_deferred(vol)");
	how = VOLUME_CLOSE_CANCEL_DEFERRED;
	CHECK_INT(close_it(NULL), 0);
	CHECK_CONTAINS(fake.trace, "dm_remove_cancel");
	CHECK_INT(fake.n_held, 0);
}

static void close_refused(void)
{
	fake_reset();
	how = 0;
	CHECK_INT(close_it(NULL), -ENODEV);
	fake_map(LOGON);
	snprintf(fake.live.uuid, sizeof(fake.live.uuid), "LVM-abc");
	CHECK_INT(close_it(NULL), -EINVAL);
	CHECK(!strstr(fake.trace, "dm_remove"));
	CHECK_INT(fake.n_held, 0);
}

/* A mapping that is still in use keeps its kept key. */
static void close_busy(void)
{
	fake_reset();
	how = 0;
	fake_map(LOGON);
	fake.kept_ring = true;
	fake.fail_at = 4; /* control, info, info of vol_dif, remove */
	CHECK_INT(close_it(NULL), FAIL_ERRNO);
	CHECK_STR(fake.failed, "dm_remove(vol)");
	CHECK(fake.kept_ring);
	CHECK_INT(fake.n_held, 0);
}

/* ---- status ---- */

static void status(void)
{
	struct volume_status s;

	fake_reset();
	fake_map(LOGON);
	fake.live.open_count = 1;
	fake.kept_ring = true;
	fake.live_targets[0].crypt.flags = DM_CRYPT_ALLOW_DISCARDS;
	fake.live_targets[0].crypt.iv_offset_sectors = 5;
	CHECK_INT(volume_query_status(&env, "vol", &s, NULL), 0);
	CHECK_STR(s.type, "LUKS2");
	CHECK_STR(s.uuid, UUID);
	CHECK_STR(s.cipher, "aes-xts-plain64");
	CHECK_STR(s.device, "/dev/data");
	CHECK_INT(s.key_bytes, KEY_BYTES);
	CHECK(s.key_in_keyring && s.key_kept && s.in_use);
	CHECK_INT(s.sector_size_bytes, 512);
	CHECK_INT(s.offset_sectors, 16 * MIB / 512);
	CHECK_INT(s.iv_offset_sectors, 5);
	CHECK_INT(s.size_sectors, 48 * MIB / 512);
	CHECK_INT(s.flags, LUKS_FLAG_ALLOW_DISCARDS);
	CHECK_INT(fake.n_held, 0);
	fake.path_gone = true;
	CHECK_INT(volume_query_status(&env, "vol", &s, NULL), 0);
	CHECK_STR(s.device, "(null)");
	fake.live.name[0] = '\0';
	CHECK_INT(volume_query_status(&env, "vol", &s, NULL), -ENODEV);
	CHECK_INT(fake.n_held, 0);
}

static void types_by_dm_uuid(void)
{
	static const char *const cases[][3] = {
		{ "CRYPT-LUKS2-" UUID_HEX "-a-b", "LUKS2", UUID },
		{ "CRYPT-LUKS1-" UUID_HEX "-x", "LUKS1", UUID },
		{ "CRYPT-PLAIN-name", "PLAIN", "" },
		{ "CRYPT-TEMP-temporary", "TEMP", "" },
		{ "CRYPT-", "n/a", "" },
		{ "CRYPT-LUKS2", "n/a", "" },
		{ "LVM-abcdef", "n/a", "" },
		{ "", "n/a", "" },
	};
	char type[16], uuid[LUKS_UUID_BYTES];

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		volume_dm_uuid_split(cases[i][0], type, uuid);
		CHECK_STR(type, cases[i][1]);
		CHECK_STR(uuid, cases[i][2]);
	}
	CHECK(volume_dm_uuid_is("CRYPT-LUKS2-" UUID_HEX "-v", UUID));
	CHECK(!volume_dm_uuid_is("CRYPT-LUKS1-" UUID_HEX "-v", UUID));
	CHECK(!volume_dm_uuid_is("CRYPT-LUKS2-" UUID_HEX, UUID));
	CHECK(!volume_dm_uuid_is("CRYPT-LUKS2--v", ""));
}

int main(void)
{
	passphrase = text_secret("secret");
	wrong = text_secret("wrong");
	RUN(grow_by_kept_key);
	RUN(grow_by_hex_key);
	RUN(grow_by_passphrase);
	RUN(key_gone);
	RUN(wrong_passphrase);
	RUN(header_replaced);
	RUN(fixed_segment);
	RUN(sizes);
	RUN(several_targets);
	RUN(not_to_be_resized);
	RUN(resize_every_rung);
	RUN(resize_kept_every_rung);
	RUN(who_needs_a_key);
	RUN(refresh_flags);
	RUN(refresh_other_header);
	RUN(refresh_moves_the_key);
	RUN(refresh_every_rung);
	RUN(refresh_undone);
	RUN(closes);
	RUN(close_refused);
	RUN(close_busy);
	RUN(status);
	RUN(types_by_dm_uuid);
	fake_reset();
	secret_free(passphrase);
	secret_free(wrong);
	return check_exit();
}
