// SPDX-License-Identifier: Apache-2.0
// Every verb's requests, byte for byte, and what it makes of the answers.
#include "dm_mapping.h"

/* ---- requests ---- */

static void create_linear(void)
{
	unsigned char want[1024];
	uint32_t size;

	begin();
	if (!fake_can_mknod()) {
		end();
		SKIP_TEST("this process can't make device nodes");
	}
	CHECK_INT(dm_create(c, "vol", UUID, &plain_table, 0, DM_UDEV_NO_COOKIE, &e), 0);
	CHECK_INT(fake.n_calls, 3);
	fake_expect(want, HEAD_BYTES, 0, 0, 0, "vol", UUID);
	CHECK_CALL(0, FAKE_CREATE, want, HEAD_BYTES);
	fake_expect(want, sizeof(want), 0, 0, 1, "vol", "");
	size = put_target(want, HEAD_BYTES, 0, 2048, "linear", "7:3 8");
	fake_put(want, AT_SIZE, size);
	CHECK_CALL(1, FAKE_LOAD, want, size);
	fake_expect(want, HEAD_BYTES, 0, EVENT, 0, "vol", "");
	CHECK_CALL(2, FAKE_SUSPEND, want, HEAD_BYTES);
	CHECK_INT(fake_nodes(), 1);
	CHECK(dm_node_right(c, "vol", makedev(FAKE_MAJOR, 1)));
	end();
}

static void create_crypt(void)
{
	unsigned char want[1024];
	uint32_t size;

	begin();
	crypted.crypt.flags = DM_CRYPT_ALLOW_DISCARDS | DM_CRYPT_NO_WRITE_WORKQUEUE;
	crypted.crypt.sector_size_bytes = 4096;
	CHECK_INT(dm_create(c, "vol", UUID, &crypt_table, DM_DEVICE_PRIVATE | DM_DEVICE_READONLY,
			    DM_UDEV_NO_COOKIE, &e),
		  0);
	crypted.crypt.flags = 0;
	crypted.crypt.sector_size_bytes = 0;
	CHECK_INT(fake.n_calls, 4);
	fake_expect(want, HEAD_BYTES, 0, 0, 0, "crypt", "");
	fake_put(want, AT_SIZE, fake.calls[0].size);
	CHECK_INT(fake.calls[0].cmd, (unsigned long)FAKE_TARGET_VERSION);
	CHECK_MEM(fake.calls[0].bytes, want, HEAD_BYTES);
	fake_expect(want, sizeof(want), 0x8001, 0, 1, "vol", "");
	size = put_target(want, HEAD_BYTES, 0, 4096, "crypt",
			  "aes-xts-plain64 :64:logon:cryptsetup:aa-d0 0 7:3 32768 "
			  "3 allow_discards no_write_workqueue sector_size:4096");
	fake_put(want, AT_SIZE, size);
	CHECK_CALL(2, FAKE_LOAD, want, size);
	/* private: no rules for subsystems, disks, others */
	fake_expect(want, HEAD_BYTES, 1, 0x6e0000, 0, "vol", "");
	CHECK_CALL(3, FAKE_SUSPEND, want, HEAD_BYTES);
	end();
}

/* A hex key: secure data, and our copy is in a secret that is wiped with the request. */
static void load_hex_key(void)
{
	unsigned char want[1024], bytes[4] = { 0xde, 0xad, 0xbe, 0xef };
	struct dm_target t = crypted;
	struct dm_table table = { .targets = &t, .n_targets = 1 };
	struct secret *key = NULL;
	uint32_t size;

	begin_with_vol();
	REQUIRE(!secret_from_bytes(bytes, sizeof(bytes), &key, &e));
	t.crypt.key_description[0] = '\0';
	t.crypt.key = key;
	CHECK_INT(dm_load(c, "vol", &table, &e), 0);
	CHECK_INT(fake.n_calls, 1); /* no version is asked for: nothing new is used */
	fake_expect(want, sizeof(want), 0x8000, 0, 1, "vol", "");
	size = put_target(want, HEAD_BYTES, 0, 4096, "crypt",
			  "aes-xts-plain64 deadbeef 0 7:3 32768");
	fake_put(want, AT_SIZE, size);
	CHECK_CALL(0, FAKE_LOAD, want, size);
	secret_free(key);
	end();
}

static void several_targets(void)
{
	struct dm_target t[3] = { linear, linear, { .type = DM_TARGET_ERROR } };
	struct dm_table table = { .targets = t, .n_targets = 3 }, back;
	unsigned char want[1024];
	uint32_t size;

	begin_with_vol();
	t[1].start_sectors = 2048;
	t[1].linear.device_offset_sectors = 123456789;
	t[2].start_sectors = 4096;
	t[2].len_sectors = 8;
	CHECK_INT(dm_load(c, "vol", &table, &e), 0);
	fake_expect(want, sizeof(want), 0, 0, 3, "vol", "");
	size = put_target(want, HEAD_BYTES, 0, 2048, "linear", "7:3 8");
	size = put_target(want, size, 2048, 2048, "linear", "7:3 123456789");
	size = put_target(want, size, 4096, 8, "error", "");
	fake_put(want, AT_SIZE, size);
	CHECK_CALL(0, FAKE_LOAD, want, size);
	CHECK_INT(dm_resume(c, "vol", 0, DM_UDEV_NO_COOKIE, &e), 0);
	CHECK_INT(dm_query_table(c, "vol", &back, NULL, &e), 0);
	REQUIRE(back.n_targets == 3);
	CHECK_INT(back.targets[1].start_sectors, 2048);
	CHECK_INT(back.targets[1].linear.device_offset_sectors, 123456789);
	CHECK_INT(back.targets[2].type, DM_TARGET_ERROR);
	CHECK_INT(back.targets[2].len_sectors, 8);
	dm_table_free(&back);
	end();
}

static void simple_requests(void)
{
	unsigned char want[1024];

	begin_with_vol();
	CHECK_INT(dm_suspend(c, "vol", false, false, &e), 0);
	CHECK_INT(dm_suspend(c, "vol", true, true, &e), 0);
	CHECK_INT(dm_resume(c, "vol", 0, DM_UDEV_AUTO, &e), 0);
	CHECK_INT(dm_clear(c, "vol", &e), 0);
	CHECK_INT(dm_wait(c, "vol", 77, &e), 0);
	CHECK_INT(dm_remove_cancel(c, "vol", &e), 0);
	fake_expect(want, HEAD_BYTES, 2, 0, 0, "vol", "");
	CHECK_CALL(0, FAKE_SUSPEND, want, HEAD_BYTES);
	fake_expect(want, HEAD_BYTES, 2 | 0x800 | 0x400, 0, 0, "vol", "");
	CHECK_CALL(1, FAKE_SUSPEND, want, HEAD_BYTES);
	fake_expect(want, HEAD_BYTES, 0, EVENT, 0, "vol", "");
	CHECK_CALL(2, FAKE_SUSPEND, want, HEAD_BYTES);
	fake_expect(want, HEAD_BYTES, 0, 0, 0, "vol", "");
	CHECK_CALL(3, FAKE_CLEAR, want, HEAD_BYTES);
	fake_expect(want, HEAD_BYTES, 0, 77, 0, "vol", "");
	CHECK_CALL(4, FAKE_WAIT, want, HEAD_BYTES);
	fake_expect(want, HEAD_BYTES + 32, 0, 0, 0, "vol", "");
	strcpy((char *)want + HEAD_BYTES + 8, "@cancel_deferred_remove");
	CHECK_CALL(5, FAKE_MESSAGE, want, HEAD_BYTES + 32);
	CHECK_INT(fake.n_calls, 6);
	end();
}

static void rename_and_remove(void)
{
	unsigned char want[1024];

	begin_with_vol();
	CHECK_INT(dm_rename(c, "vol", "new", DM_UDEV_NO_COOKIE, &e), 0);
	fake_expect(want, HEAD_BYTES + 128, 0, EVENT, 0, "vol", "");
	strcpy((char *)want + HEAD_BYTES, "new");
	CHECK_CALL(0, FAKE_RENAME, want, HEAD_BYTES + 128);
	CHECK(dm_node_right(c, "new", makedev(FAKE_MAJOR, 1)));
	CHECK_INT(fake_nodes(), 1);
	fake_forget();
	CHECK_INT(dm_remove(c, "new", false, DM_UDEV_NO_COOKIE, &e), 0);
	fake_expect(want, HEAD_BYTES, 0, 0, 0, "new", "");
	CHECK_CALL(0, FAKE_STATUS, want, HEAD_BYTES);
	fake_expect(want, HEAD_BYTES, 0, EVENT, 0, "new", "");
	CHECK_CALL(1, FAKE_REMOVE, want, HEAD_BYTES);
	CHECK_INT(fake_count(), 0);
	CHECK_INT(fake_nodes(), 0);
	end();
}

static void deferred_remove(void)
{
	struct dm_mapping m;

	begin_with_vol();
	fake_find("vol")->open_count = 1;
	CHECK_INT(dm_remove(c, "vol", true, DM_UDEV_NO_COOKIE, &e), 0);
	CHECK_INT(fake_get(fake.calls[1].bytes, AT_FLAGS), 0x20000);
	CHECK_INT(dm_query_info(c, "vol", &m, &e), 0);
	CHECK(m.deferred_remove);
	CHECK_INT(fake_nodes(), 1); /* it is still there, and may be cancelled */
	CHECK_INT(dm_remove_cancel(c, "vol", &e), 0);
	CHECK_INT(dm_query_info(c, "vol", &m, &e), 0);
	CHECK(!m.deferred_remove);
	end();
}

/* A probe holds it for a moment, or a user for longer. */
static void busy_remove(void)
{
	uint64_t start;

	begin_with_vol();
	fake_find("vol")->busy_removes = 3;
	CHECK_INT(dm_remove(c, "vol", false, DM_UDEV_NO_COOKIE, &e), 0);
	CHECK_INT(fake_count(), 0);
	REQUIRE(!dm_create(c, "vol", UUID, &plain_table, 0, DM_UDEV_NO_COOKIE, &e));
	fake_find("vol")->open_count = 1;
	fake_places.mounts = fake_misc;
	fake_write(fake_misc, "25 1 253:1 / /mnt/x rw shared:1 - ext4 /dev/mapper/vol rw\n");
	start = dm_clock_ms();
	CHECK_INT(dm_remove(c, "vol", false, DM_UDEV_NO_COOKIE, &e), -EBUSY);
	CHECK_CONTAINS(e.text, "mounted on /mnt/x");
	CHECK(dm_clock_ms() - start < 1000);
	fake_write(fake_misc, "25 1 0:40 / /mnt/x rw - btrfs /dev/mapper/other rw\n");
	CHECK_INT(dm_remove(c, "vol", false, DM_UDEV_NO_COOKIE, &e), -EBUSY);
	CHECK_STR(e.text, "vol is in use");
	CHECK(dm_clock_ms() - start < DM_REMOVE_RETRY_MS + 2000);
	CHECK_INT(fake_nodes(), 1);
	end();
}

static void queries(void)
{
	struct dm_list_entry *list = NULL;
	struct dm_mapping m;
	struct dm_dev devs[1];
	struct secret *key = NULL;
	struct dm_table t;
	char *text = NULL;
	size_t n;

	begin_with_vol();
	REQUIRE(!dm_create(c, "vol2", "U2", &crypt_table, 0, DM_UDEV_NO_COOKIE, &e));
	fake_forget();
	CHECK_INT(dm_query_info(c, "vol", &m, &e), 0);
	CHECK_STR(m.name, "vol");
	CHECK_STR(m.uuid, UUID);
	CHECK_INT(m.major, FAKE_MAJOR);
	CHECK_INT(m.minor, 1);
	CHECK_INT(m.target_count, 1);
	CHECK(m.live_table && !m.inactive_table && !m.suspended && !m.readonly);
	CHECK_INT(dm_query_table(c, "vol2", &t, &key, &e), 0);
	CHECK_INT(fake_get(fake.calls[1].bytes, AT_FLAGS), 0x8010); /* table, secure */
	CHECK(!key);
	CHECK_STR(t.targets[0].crypt.key_description, "logon:cryptsetup:aa-d0");
	dm_table_free(&t);
	CHECK_INT(dm_query_status(c, "vol", 0, &text, &e), 0);
	CHECK_STR(text, "7:3 8"); /* the fake's status is its table */
	free(text);
	CHECK_INT(dm_query_status(c, "vol", 1, &text, &e), -ENOENT);
	CHECK_INT(dm_query_deps(c, "vol", devs, 1, &n, &e), 0);
	CHECK_INT(n, 2);
	CHECK_INT(devs[0].major, 7);
	CHECK_INT(devs[0].minor, 3);
	CHECK_INT(dm_list(c, &list, &n, &e), 0);
	REQUIRE(n == 2);
	CHECK_STR(list[0].name, "vol");
	CHECK_STR(list[1].name, "vol2");
	CHECK_INT(list[1].minor, 2);
	free(list);
	CHECK_INT(dm_query_info(c, "nobody", &m, &e), -ENODEV);
	CHECK_STR(e.text, "there is no mapping named nobody");
	end();
}

static void instance(void)
{
	char text[DM_INSTANCE_MAX], folder[160], path[200];

	begin_with_vol();
	CHECK_INT(dm_query_instance(c, "vol", text, &e), 0);
	CHECK_STR(text, UUID); /* an old kernel */
	fake_places.sysfs = fake_dev;
	snprintf(folder, sizeof(folder), "%s/dev", fake_dev);
	mkdir(folder, 0755);
	snprintf(folder, sizeof(folder), "%s/dev/block", fake_dev);
	mkdir(folder, 0755);
	snprintf(folder, sizeof(folder), "%s/dev/block/253:1", fake_dev);
	mkdir(folder, 0755);
	snprintf(path, sizeof(path), "%s/diskseq", folder);
	fake_write(path, "1234\n");
	CHECK_INT(dm_query_instance(c, "vol", text, &e), 0);
	CHECK_STR(text, UUID "@1234");
	CHECK_INT(dm_query_instance(c, "nobody", text, &e), -ENODEV);
	end();
}

static void empty_list(void)
{
	struct dm_list_entry *list = NULL;
	size_t n = 9;

	begin();
	CHECK_INT(dm_list(c, &list, &n, &e), 0);
	CHECK_INT(n, 0);
	free(list);
	end();
}

/* An answer that doesn't fit comes again in a bigger buffer, with the request as it was. */
static void buffer_grows(void)
{
	static struct dm_target t[500];
	struct dm_table table = { .targets = t, .n_targets = 500 }, back;
	char *text = NULL;

	begin_with_vol();
	for (int i = 0; i < 500; i++) {
		t[i] = linear;
		t[i].start_sectors = 2048ull * (unsigned int)i;
	}
	REQUIRE(!dm_load(c, "vol", &table, &e));
	REQUIRE(!dm_resume(c, "vol", 0, DM_UDEV_NO_COOKIE, &e));
	fake_forget();
	CHECK_INT(dm_query_table(c, "vol", &back, NULL, &e), 0);
	CHECK_INT(back.n_targets, 500);
	CHECK_INT(back.targets[499].start_sectors, 2048 * 499);
	CHECK_INT(fake.n_calls, 2);
	CHECK_INT(fake.calls[1].size, 2 * fake.calls[0].size);
	fake_put(fake.calls[1].bytes, AT_SIZE, fake.calls[0].size);
	CHECK_MEM(fake.calls[0].bytes, fake.calls[1].bytes, HEAD_BYTES);
	dm_table_free(&back);
	CHECK_INT(dm_query_status(c, "vol", 499, &text, &e), 0);
	free(text);
	end();
}

/* Hex keys come back in a secret; two different ones can't. */
static void keys_come_back(void)
{
	unsigned char one[2] = { 1, 2 }, two[2] = { 3, 4 };
	struct dm_target t[2] = { crypted, crypted };
	struct dm_table table = { .targets = t, .n_targets = 2 }, back;
	struct secret *a = NULL, *b = NULL, *key = NULL;

	begin_with_vol();
	REQUIRE(!secret_from_bytes(one, 2, &a, &e) && !secret_from_bytes(two, 2, &b, &e));
	t[0].crypt.key_description[0] = t[1].crypt.key_description[0] = '\0';
	t[0].crypt.key = t[1].crypt.key = a;
	REQUIRE(!dm_load(c, "vol", &table, &e) && !dm_resume(c, "vol", 0, DM_UDEV_NO_COOKIE, &e));
	CHECK_INT(dm_query_table(c, "vol", &back, &key, &e), 0);
	REQUIRE(key);
	CHECK(secret_equal(key, a) && back.targets[0].crypt.key == key &&
	      back.targets[1].crypt.key == key);
	CHECK_INT(dm_load(c, "vol", &back, &e), 0); /* and can be written again */
	dm_table_free(&back);
	secret_free(key);
	key = NULL;
	t[1].crypt.key = b;
	REQUIRE(!dm_load(c, "vol", &table, &e) && !dm_resume(c, "vol", 0, DM_UDEV_NO_COOKIE, &e));
	CHECK_INT(dm_query_table(c, "vol", &back, &key, &e), -EOPNOTSUPP);
	CHECK(!key);
	CHECK_INT(dm_query_table(c, "vol", &back, NULL, &e), 0); /* nobody wants them */
	CHECK(!back.targets[0].crypt.key);
	CHECK_INT(back.targets[0].crypt.key_bytes, 2);
	dm_table_free(&back);
	secret_free(a);
	secret_free(b);
	end();
}

/* Answers that run out of themselves. */
static void nonsense_answers(void)
{
	static const struct {
		const char *what;
		uint32_t next;
		size_t len;
		bool no_nul;
	} cases[] = {
		{ "next points back", 0, 96, false },
		{ "next points beyond", 4096, 96, false },
		{ "next isn't a multiple of 8", 43, 96, false },
		{ "short", 48, 24, false },
		{ "no NUL", 48, 96, true },
	};
	unsigned char bytes[96];
	struct dm_table t;
	char *text = NULL;

	begin_with_vol();
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		memset(bytes, cases[i].no_nul ? 'x' : 0, sizeof(bytes));
		put_target(bytes, 0, 0, 8, "error", "");
		if (cases[i].no_nul)
			memset(bytes + 40, 'x', sizeof(bytes) - 40);
		fake_put(bytes, 20, cases[i].next);
		fake.nonsense = bytes;
		fake.nonsense_len = cases[i].len;
		CHECK_MSG(dm_query_table(c, "vol", &t, NULL, &e) == -EIO, "%s", cases[i].what);
		CHECK_MSG(dm_query_status(c, "vol", 1, &text, &e) == -EIO, "%s", cases[i].what);
	}
	end();
}

int main(void)
{
	RUN(create_linear);
	RUN(create_crypt);
	RUN(load_hex_key);
	RUN(several_targets);
	RUN(simple_requests);
	RUN(rename_and_remove);
	RUN(deferred_remove);
	RUN(busy_remove);
	RUN(queries);
	RUN(instance);
	RUN(empty_list);
	RUN(buffer_grows);
	RUN(keys_come_back);
	RUN(nonsense_answers);
	return check_exit();
}
