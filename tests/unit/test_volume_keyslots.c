// SPDX-License-Identifier: Apache-2.0
// Keyslot verbs over faked rooms: who has to open what, and nothing held after any failure.
#include "volume_fakes.h"

static const struct volume_where where = { .device = "/dev/data" };
static struct secret *first, *second, *wrong;
static struct volume_key key;
static struct luks_new_keyslot new_slot;
static int slot;

static void ask(const struct secret *passphrase)
{
	fake_reset();
	key = (struct volume_key){ .passphrase = passphrase, .keyslot = LUKS_ANY };
	new_slot = (struct luks_new_keyslot){ .keyslot = LUKS_ANY, .passphrase = second };
	slot = 77;
}

static int add(struct err *e)
{
	return volume_add_key(&env, &where, &key, &new_slot, &slot, e);
}
static int change(struct err *e)
{
	return volume_change_key(&env, &where, &key, &new_slot, false, &slot, e);
}
static int remove_key(struct err *e)
{
	return volume_remove_key(&env, &where, &key, false, &slot, e);
}
static int kill_1(struct err *e)
{
	return volume_kill_slot(&env, &where, &key, 1, false, e);
}
static int erase(struct err *e)
{
	return volume_erase(&env, &where, e);
}
static int config(struct err *e)
{
	const struct volume_config c = { .label = "l", .uuid = UUID, .set_priority = true };

	return volume_set_config(&env, &where, &c, e);
}
static int repair(struct err *e)
{
	return volume_repair(&env, &where, false, e);
}
static int load(struct err *e)
{
	struct luks_header *h = NULL;
	int r;

	fake.header_handed_on = true;
	r = volume_load_header(&env, &where, true, &h, e);

	__wrap_luks_free(h);
	return r;
}
static int unlock(struct err *e)
{
	struct secret *s = NULL;
	int r = volume_unlock_key(&env, &where, &key, false, &s, &slot, e);

	CHECK(!r == !!s);
	secret_free(s);
	return r;
}

static const struct {
	const char *name;
	int (*run)(struct err *e);
	int min_steps;
} verbs[] = {
	{ "add", add, 4 },	 { "change", change, 4 }, { "remove", remove_key, 4 },
	{ "kill", kill_1, 4 },	 { "erase", erase, 3 },	  { "config", config, 5 },
	{ "repair", repair, 2 }, { "load", load, 2 },	  { "unlock", unlock, 3 },
};

static void every_rung(int (*run)(struct err *e), int min_steps)
{
	ask(first);
	fail_each_rung(&(struct rungs){ .run = run, .min_steps = min_steps });
	fake_reset();
	CHECK_INT(run(NULL), 0);
	CHECK_INT(fake.n_held, 0);
}

static void readonly_device(int (*run)(struct err *e))
{
	ask(first);
	fake.device_readonly = true;
	CHECK_INT(run(NULL), run == load || run == unlock ? 0 : -EROFS);
	CHECK_INT(fake.n_held, 0);
}

static void beyond_us(int (*run)(struct err *e))
{
	ask(first);
	fake.header.requirements = LUKS_REQ_UNKNOWN;
	CHECK_INT(run(NULL), run == load || run == repair ? 0 : -ETXTBSY);
	CHECK_INT(fake.n_held, 0);
}

static void adds(void)
{
	struct err e = { 0 };
	struct secret *fresh = NULL;

	ask(first);
	CHECK_INT(add(NULL), 0);
	CHECK_INT(slot, 2);
	ask(first); /* words that scripts look for, before any KDF */
	new_slot.keyslot = 1;
	CHECK_INT(add(&e), -EEXIST);
	CHECK_CONTAINS(e.text, "Key slot 1 is full");
	CHECK(!strstr(fake.trace, "luks_unlock"));
	ask(wrong);
	CHECK_INT(add(NULL), -EPERM);
	CHECK_INT(slot, 77);
	ask(NULL); /* a key of no segment needs no digest to know it */
	REQUIRE(!secret_random(16, &fresh, NULL));
	key.volume_key = fresh;
	CHECK_INT(add(NULL), -EPERM);
	new_slot.unbound = true;
	CHECK_INT(add(NULL), 0);
	secret_free(fresh);
	CHECK_INT(fake.n_held, 0);
}

static void changes_and_removes(void)
{
	ask(second);
	CHECK_INT(change(NULL), 0);
	CHECK_INT(fake.killed, 1);
	ask(second);
	CHECK_INT(remove_key(NULL), 0);
	CHECK_INT(fake.killed, 1);
	CHECK_INT(slot, 1);
	ask(NULL); /* a volume key names no keyslot */
	key.volume_key = first;
	CHECK_INT(change(NULL), -EINVAL);
	CHECK_INT(remove_key(NULL), -EINVAL);
	CHECK_STR(fake.trace, "");
}

static void kills(void)
{
	struct err e = { 0 };

	ask(first);
	CHECK_INT(kill_1(NULL), 0);
	CHECK_INT(fake.killed, 1);
	CHECK_INT(fake.unlocked_slots, 1);
	ask(second); /* opens just the one that is to die */
	CHECK_INT(kill_1(&e), -EPERM);
	CHECK_INT(fake.killed, -1);
	CHECK_INT(fake.unlocked_slots, 0); /* not even tried */
	ask(second);
	key.keyslot = 1;
	CHECK_INT(kill_1(&e), -EINVAL);
	ask(first);
	key.keyslot = 0;
	CHECK_INT(kill_1(&e), 0);
	ask(first);
	CHECK_INT(volume_kill_slot(&env, &where, NULL, 0, true, NULL), 0);
	CHECK(!strstr(fake.trace, "luks_unlock"));
	ask(first); /* words that scripts look for */
	CHECK_INT(volume_kill_slot(&env, &where, &key, 5, false, &e), -ENOENT);
	CHECK_CONTAINS(e.text, "Keyslot 5 is not active.");
	CHECK_INT(fake.n_held, 0);
}

static void configures(void)
{
	struct volume_config c = { .set_priority = true, .keyslot = 9 };
	struct err e = { 0 };

	ask(first);
	CHECK_INT(volume_set_config(&env, &where, &c, &e), -ENOENT);
	c = (struct volume_config){ .uuid = "nonsense" };
	CHECK_INT(volume_set_config(&env, &where, &c, &e), -EINVAL);
	c = (struct volume_config){ .label = "" };
	fake_reset();
	CHECK_INT(volume_set_config(&env, &where, &c, &e), 0);
	CHECK(!strstr(fake.trace, "uuid") && !strstr(fake.trace, "priority"));
	CHECK_INT(fake.n_held, 0);
}

static void header_elsewhere(void)
{
	const struct volume_where w = { .header = "/hdr" }, none = { 0 };
	struct luks_header *h;

	fake_reset();
	fake.header_handed_on = true;
	CHECK_INT(volume_load_header(&env, &w, false, &h, NULL), 0);
	CHECK_INT(fake.block_flags[0] & 7, 0);
	__wrap_luks_free(h);
	CHECK_INT(volume_load_header(&env, &none, true, &h, NULL), -EINVAL);
	CHECK_INT(volume_repair(&env, &none, false, NULL), -EINVAL);
	CHECK_INT(fake.n_held, 0);
}

static void volume_key_comes_back(void)
{
	struct secret *given = NULL, *s = NULL;

	ask(NULL);
	REQUIRE(!secret_random(KEY_BYTES, &given, NULL));
	key.volume_key = given;
	CHECK_INT(volume_unlock_key(&env, &where, &key, false, &s, &slot, NULL), 0);
	CHECK_INT(slot, LUKS_ANY);
	REQUIRE(s);
	CHECK(s != given && secret_equal(s, given));
	secret_free(s);
	secret_free(given);
}

int main(void)
{
	first = text_secret("secret");
	second = text_secret("other");
	wrong = text_secret("wrong");
	for (size_t i = 0; i < ARRAY_SIZE(verbs); i++) {
		char name[64];

		snprintf(name, sizeof(name), "every_rung_of_%s", verbs[i].name);
		RUN_CASE(name, every_rung(verbs[i].run, verbs[i].min_steps));
		snprintf(name, sizeof(name), "readonly_%s", verbs[i].name);
		RUN_CASE(name, readonly_device(verbs[i].run));
		snprintf(name, sizeof(name), "beyond_us_%s", verbs[i].name);
		RUN_CASE(name, beyond_us(verbs[i].run));
	}
	RUN(adds);
	RUN(changes_and_removes);
	RUN(kills);
	RUN(configures);
	RUN(header_elsewhere);
	RUN(volume_key_comes_back);
	secret_free(first);
	secret_free(second);
	secret_free(wrong);
	return check_exit();
}
