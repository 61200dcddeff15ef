// SPDX-License-Identifier: Apache-2.0
// Each call of a verb fails in turn: nothing may be left, and the error has to say what is wrong.
#include "dm_mapping.h"

/* ---- failures ---- */

static const int errnos[] = { ENOMEM, EINVAL, EBUSY, ENXIO, EACCES, ENOKEY, ENOENT };

/* Create @table with call number @n failing; the number of calls it takes without a failure. */
static int create_failing(const struct dm_table *table, int n, int errno_value)
{
	int r, calls;

	begin();
	fake.fail_at = n;
	fake.fail_errno = errno_value;
	r = dm_create(c, "vol", UUID, table, 0, DM_UDEV_NO_COOKIE, &e);
	calls = fake.n_calls;
	CHECK_MSG(n == 0 || n > calls || r < 0, "call %d fails with %d, and all is well", n,
		  errno_value);
	if (r) {
		CHECK_MSG(fake_count() == 0, "call %d, errno %d: a device is left", n, errno_value);
		CHECK_MSG(fake_nodes() == 0, "call %d, errno %d: a node is left", n, errno_value);
		CHECK_MSG(e.text[0] && e.code == r, "call %d, errno %d: no sentence", n,
			  errno_value);
	} else {
		CHECK_INT(fake_count(), 1);
		CHECK_INT(fake_nodes(), 1);
	}
	end();
	return r ? -1 : calls;
}

static void create_fails_each(void)
{
	int calls = create_failing(&crypt_table, 0, 0);

	CHECK_INT(calls, 4);
	for (int n = 1; n <= calls; n++)
		for (size_t i = 0; i < ARRAY_SIZE(errnos); i++)
			create_failing(&crypt_table, n, errnos[i]);
}

/* Taking back may meet a probe, too: one that goes, and one that stays for longer than we wait. */
static void create_undo_meets_a_probe(void)
{
	begin();
	fake.fail_cmd = FAKE_LOAD;
	fake.fail_errno = ENOMEM;
	fake.new_busy_removes = 2;
	CHECK_INT(dm_create(c, "vol", UUID, &plain_table, 0, DM_UDEV_NO_COOKIE, &e), -ENOMEM);
	CHECK_INT(fake_count(), 0);
	fake.new_busy_removes = 1 << 20;
	CHECK_INT(dm_create(c, "vol", UUID, &plain_table, 0, DM_UDEV_NO_COOKIE, &e), -ENOMEM);
	REQUIRE(fake_find("vol"));
	CHECK(fake_find("vol")->deferred);
	end();
}

static void create_node_fails(void)
{
	char path[128];

	begin();
	snprintf(path, sizeof(path), "%s/mapper/vol", fake_dev);
	fake_write(path, "a file of somebody's");
	CHECK_INT(dm_create(c, "vol", UUID, &plain_table, 0, DM_UDEV_NO_COOKIE, &e), -EEXIST);
	CHECK_CONTAINS(e.text, "in the way");
	CHECK_INT(fake_count(), 0);
	CHECK_INT(fake_nodes(), 1);
	end();
}

static void create_taken(void)
{
	begin_with_vol();
	CHECK_INT(dm_create(c, "vol", "U9", &plain_table, 0, DM_UDEV_NO_COOKIE, &e), -EEXIST);
	CHECK_STR(e.text, "a mapping named vol exists already");
	CHECK_INT(dm_create(c, "new", UUID, &plain_table, 0, DM_UDEV_NO_COOKIE, &e), -EEXIST);
	CHECK_STR(e.text, "a mapping with the UUID " UUID " exists already");
	CHECK_INT(fake_count(), 1);
	CHECK_INT(fake_nodes(), 1);
	CHECK(fake_find("vol")->live);
	end();
}

static bool live_is_linear(void)
{
	struct fake_device *d = fake_find("vol");

	return d && d->live && !d->next && !d->suspended && !strcmp((char *)d->live + 24, "linear");
}

static int reload_failing(int n, int errno_value)
{
	int r, calls;

	begin_with_vol();
	fake.fail_at = n;
	fake.fail_errno = errno_value;
	r = dm_reload(c, "vol", &crypt_table, 0, DM_UDEV_NO_COOKIE, &e);
	calls = fake.n_calls;
	CHECK_MSG(n == 0 || n > calls || r < 0, "call %d fails, and all is well", n);
	if (r)
		CHECK_MSG(live_is_linear(), "call %d, errno %d: the old table isn't live", n,
			  errno_value);
	CHECK_INT(fake_nodes(), 1);
	end();
	return r ? -1 : calls;
}

static void reload_fails_each(void)
{
	int calls = reload_failing(0, 0);

	CHECK_INT(calls, 4);
	for (int n = 1; n <= calls; n++)
		for (size_t i = 0; i < ARRAY_SIZE(errnos); i++)
			reload_failing(n, errnos[i]);
}

/* The kernel suspends, can't swap, and returns: the device has to be resumed. */
static void reload_swap_fails(void)
{
	begin_with_vol();
	fake.swap_fails = true;
	CHECK_INT(dm_reload(c, "vol", &crypt_table, 0, DM_UDEV_NO_COOKIE, &e), -EINVAL);
	CHECK(live_is_linear());
	/* one that was suspended before stays so */
	REQUIRE(!dm_suspend(c, "vol", false, false, &e));
	CHECK_INT(dm_reload(c, "vol", &crypt_table, 0, DM_UDEV_NO_COOKIE, &e), -EINVAL);
	CHECK(fake_find("vol")->suspended);
	end();
}

static void rename_fails(void)
{
	char path[128];

	begin_with_vol();
	for (size_t i = 0; i < ARRAY_SIZE(errnos); i++) {
		fake.fail_cmd = FAKE_RENAME;
		fake.fail_errno = errnos[i];
		CHECK(dm_rename(c, "vol", "new", DM_UDEV_NO_COOKIE, &e) < 0);
		CHECK(fake_find("vol") && dm_node_right(c, "vol", makedev(FAKE_MAJOR, 1)));
		CHECK_INT(fake_nodes(), 1);
	}
	fake.fail_cmd = 0;
	snprintf(path, sizeof(path), "%s/mapper/new", fake_dev);
	fake_write(path, "a file of somebody's");
	CHECK_INT(dm_rename(c, "vol", "new", DM_UDEV_NO_COOKIE, &e), -EEXIST);
	CHECK(fake_find("vol") && dm_node_right(c, "vol", makedev(FAKE_MAJOR, 1)));
	CHECK_INT(dm_rename(c, "vol", "a b", DM_UDEV_NO_COOKIE, &e), -EINVAL);
	end();
}

static void remove_fails(void)
{
	begin_with_vol();
	for (size_t i = 0; i < ARRAY_SIZE(errnos); i++) {
		if (errnos[i] == EBUSY)
			continue; /* busy_remove() */
		fake.fail_cmd = FAKE_REMOVE;
		fake.fail_errno = errnos[i];
		CHECK(dm_remove(c, "vol", false, DM_UDEV_NO_COOKIE, &e) < 0);
		CHECK_INT(fake_nodes(), 1);
		CHECK(live_is_linear());
	}
	end();
}

/* ---- errors with a meaning ---- */

static void load_errors(void)
{
	static const struct {
		int kernel, ours;
		const char *says;
	} cases[] = {
		{ ENOKEY, -ENOKEY, "finds no key \"logon:cryptsetup:aa-d0\" for vol" },
		{ EACCES, -ENOKEY, "finds no key" },
		{ ENOENT, -EHOSTDOWN, "no cipher aes-xts-plain64" },
		{ EBUSY, -EBUSY, "7:3 below vol is in use" },
		{ ENXIO, -ENODEV, "7:3" },
		{ EINVAL, -EINVAL, "refused the table of vol" },
		{ ENOMEM, -ENOMEM, "load a table into vol" },
	};

	begin_with_vol();
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		fake.fail_cmd = FAKE_LOAD;
		fake.fail_errno = cases[i].kernel;
		CHECK_INT(dm_load(c, "vol", &crypt_table, &e), cases[i].ours);
		CHECK_CONTAINS(e.text, cases[i].says);
	}
	/* -EINVAL is also what a kernel without the target says */
	fake.fail_errno = EINVAL;
	CHECK_INT(dm_load(c, "vol", &plain_table, &e), -EHOSTDOWN);
	CHECK_CONTAINS(e.text, "the kernel has no linear target: ");
	CHECK_CONTAINS(e.text, "dm_linear");
	end();
}

static void old_crypt_target(void)
{
	uint32_t flags;

	begin_with_vol();
	memcpy(fake.version, (uint32_t[]){ 1, 18, 0 }, sizeof(fake.version));
	CHECK_INT(dm_load(c, "vol", &crypt_table, &e), -EOPNOTSUPP);
	CHECK_STR(e.text, "a key in the kernel keyring needs version 1.18.1 of the kernel's crypt "
			  "target, this one is 1.18.0");
	CHECK(!fake_find("vol")->next);
	/* asked once */
	fake_forget();
	CHECK_INT(dm_crypt_supports(c, &flags, &e), 0);
	CHECK_INT(fake.n_calls, 0);
	CHECK(flags & DM_CRYPT_SECTOR_SIZE && !(flags & DM_CRYPT_KEYRING));
	end();
	/* kernels before 5.4 only list */
	begin();
	fake.no_target_version = true;
	CHECK_INT(dm_crypt_supports(c, &flags, &e), 0);
	CHECK_INT(fake.calls[1].cmd, (unsigned long)FAKE_LIST_VERSIONS);
	CHECK(flags & DM_CRYPT_HIGH_PRIORITY);
	end();
}

static void names(void)
{
	static const char *const good[] = { "a", "vol-1", "A.b_c:d=e@f#g+h", "x\\x20y", "..." };
	static const char *const bad[] = { "",	    ".",    "..",   "control", "a/b",
					   "a b",   "a\tb", "a\n",  "a$b",     "\xc3\xa9",
					   "x\\x2", "x\\y", "a\x7f" };
	char longest[129];

	for (size_t i = 0; i < ARRAY_SIZE(good); i++)
		CHECK_MSG(!dm_name_valid(good[i], &e), "%s", good[i]);
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		CHECK_MSG(dm_name_valid(bad[i], &e) == -EINVAL, "%s", bad[i]);
	memset(longest, 'a', 128);
	longest[128] = '\0';
	CHECK_INT(dm_name_valid(longest, &e), -EINVAL);
	longest[127] = '\0';
	CHECK_INT(dm_name_valid(longest, &e), 0);
}

/* Names that are looked up may be anything that fits; what doesn't never reaches the kernel. */
static void names_too_long(void)
{
	struct dm_mapping m;
	char name[200];

	begin();
	memset(name, 'a', sizeof(name));
	name[199] = '\0';
	CHECK_INT(dm_query_info(c, name, &m, &e), -EINVAL);
	CHECK_INT(dm_create(c, "vol", name, &plain_table, 0, DM_UDEV_NO_COOKIE, &e), -EINVAL);
	CHECK_INT(dm_create(c, "vol", UUID, &(struct dm_table){ 0 }, 0, DM_UDEV_NO_COOKIE, &e),
		  -EINVAL);
	CHECK_INT(fake.n_calls, 0);
	end();
}

int main(void)
{
	RUN(create_fails_each);
	RUN(create_undo_meets_a_probe);
	RUN(create_node_fails);
	RUN(create_taken);
	RUN(reload_fails_each);
	RUN(reload_swap_fails);
	RUN(rename_fails);
	RUN(remove_fails);
	RUN(load_errors);
	RUN(old_crypt_target);
	RUN(names);
	RUN(names_too_long);
	return check_exit();
}
