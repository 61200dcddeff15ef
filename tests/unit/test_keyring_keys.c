// SPDX-License-Identifier: Apache-2.0
// Keys for a call and kept keys: what the kernel finds when, and what stays when each call fails in
// turn.
#include "keyring_fake.h"

/* ---- for the length of a call ---- */

static void put_and_drop(void)
{
	struct keyring_hold h;

	reset();
	make_secret(7);
	CHECK_INT(keyring_put(DESCRIPTION, secret, &h, &e), 0);
	CHECK_INT(dm_crypt_finds(0), 7);
	CHECK(h.linked && !h.kept && h.ring && h.key);
	CHECK_INT(key_of(h.key)->payload_len, 64);
	CHECK_STR(key_of(h.key)->type, "logon");
	CHECK_STR(key_of(h.key)->description, DESCRIPTION);
	CHECK_INT(k.calls, 4);
	CHECK_INT(others_may(), 0);
	CHECK_INT(k.added_to[0], KEY_SPEC_THREAD_KEYRING);
	CHECK_INT(links_of(k.user), 0);
	keyring_drop(&h);
	CHECK_INT(dm_crypt_finds(0), 0);
	CHECK_INT(links_of(k.thread), 0);
	CHECK_INT(logon_keys_alive(), 0);
	CHECK(!h.linked && !h.ring);
	keyring_drop(&h); /* twice does no harm */
	CHECK_INT(k.calls, 7);
}

/* Two at once on one thread: neither takes the other's place. */
static void two_holds(void)
{
	struct keyring_hold a, b;

	reset();
	make_secret(1);
	CHECK_INT(keyring_put(DESCRIPTION, secret, &a, &e), 0);
	make_secret(2);
	CHECK_INT(keyring_put(DESCRIPTION, secret, &b, &e), 0);
	CHECK_INT(links_of(k.thread), 2);
	keyring_drop(&b);
	CHECK_INT(dm_crypt_finds(0), 1);
	keyring_drop(&a);
	CHECK_INT(links_of(k.thread), 0);
}

/* What an application has in its thread keyring stays. */
static void foreign_links_stay(void)
{
	struct keyring_hold h;

	reset();
	CHECK_INT(keyring_sys_link(KEY_SPEC_USER_KEYRING, KEY_SPEC_THREAD_KEYRING), 0);
	CHECK_INT(keyring_put_kept("vol", "U", DESCRIPTION, secret, &h, &e), 0);
	keyring_drop(&h);
	CHECK_INT(keyring_revoke_kept("vol", &e), 0);
	CHECK_INT(links_of(k.thread), 1);
	CHECK_INT(logon_keys_alive(), 0);
}

/* ---- kept ---- */

static void keep(const char *name, unsigned char first)
{
	struct keyring_hold h;

	make_secret(first);
	REQUIRE(!keyring_put_kept(name, "CRYPT-LUKS2-1", DESCRIPTION, secret, &h, &e));
	CHECK_INT(dm_crypt_finds(0), first);
	CHECK_INT(links_of(h.link), 1); /* its ring */
	CHECK_INT(links_of(k.user), 0);
	CHECK_INT(others_may(), 0);
	CHECK_STR(h.name, name);
	keyring_drop(&h);
	CHECK_INT(links_of(k.thread), 0);
}

/* Another thread of this process has a thread keyring of its own. */
static void new_thread(void)
{
	k.thread = 0;
}

static void kept_and_found(void)
{
	struct keyring_hold h;

	reset();
	keep("vol", 7);
	new_thread();
	CHECK_INT(keyring_check_kept("vol", "CRYPT-LUKS2-1", &e), 0);
	CHECK_INT(keyring_check_kept("vol", "CRYPT-LUKS2-2", &e), -ENOKEY);
	CHECK_INT(links_of(k.thread), 0);
	CHECK_INT(keyring_find_kept("vol", "CRYPT-LUKS2-1", &h, &e), 0);
	CHECK_INT(dm_crypt_finds(0), 7);
	CHECK_INT(links_of(h.link), 1);
	CHECK_INT(keyring_check_kept("vol", "CRYPT-LUKS2-1", &e), 0);
	CHECK_INT(dm_crypt_finds(0), 7);
	keyring_drop(&h);
	CHECK_INT(links_of(k.thread), 0);
	CHECK_INT(logon_keys_alive(), 1);
	CHECK_INT(keyring_revoke_kept("vol", &e), 0);
	CHECK_INT(logon_keys_alive(), 0);
	CHECK_INT(links_of(k.process), 0);
	CHECK_INT(links_of(k.thread), 0);
	CHECK_INT(keyring_find_kept("vol", "CRYPT-LUKS2-1", &h, &e), -ENOKEY);
	CHECK_INT(keyring_revoke_kept("vol", &e), 0);
}

/* Another process possesses nothing of it, though it has the uid and the number. */
static void not_in_another_process(void)
{
	struct keyring_hold h;
	int32_t key;

	reset();
	keep("vol", 7);
	REQUIRE(!keyring_find_kept("vol", "CRYPT-LUKS2-1", &h, &e));
	key = h.key;
	keyring_drop(&h);
	k.thread = k.process = 0;
	CHECK_INT(keyring_find_kept("vol", "CRYPT-LUKS2-1", &h, &e), -ENOKEY);
	CHECK_INT(dm_crypt_finds(k.user), 0);
	CHECK_INT(keyring_sys_setperm(key, 0x3f3f3f3f), -EACCES);
	CHECK_INT(keyring_sys_link(key, KEY_SPEC_THREAD_KEYRING), -EACCES);
	CHECK_INT(keyring_sys_revoke(key), -EACCES);
	CHECK_INT(keyring_revoke_kept("vol", &e), 0); /* none of its own */
	CHECK(!key_of(key)->revoked);
}

static void two_clones(void)
{
	struct keyring_hold h;

	reset();
	keep("a", 1);
	keep("b", 2);
	new_thread();
	for (int i = 0; i < 2; i++) {
		CHECK_INT(keyring_find_kept(i ? "b" : "a", "CRYPT-LUKS2-1", &h, &e), 0);
		CHECK_INT(dm_crypt_finds(k.user), 1 + i);
		keyring_drop(&h);
	}
	CHECK_INT(keyring_revoke_kept("a", &e), 0);
	CHECK_INT(keyring_find_kept("a", "CRYPT-LUKS2-1", &h, &e), -ENOKEY);
	CHECK_INT(keyring_find_kept("b", "CRYPT-LUKS2-1", &h, &e), 0);
	CHECK_INT(dm_crypt_finds(0), 2);
	keyring_drop(&h);
}

static void not_its_own(void)
{
	struct keyring_hold h;
	int32_t ring;

	reset();
	keep("vol", 1);
	CHECK_INT(keyring_find_kept("vol", "CRYPT-LUKS2-2", &h, &e), -ENOKEY);
	CHECK_STR(e.text, "the key kept for vol belongs to another volume");
	CHECK_INT(keyring_find_kept("vo", "CRYPT-LUKS2-1", &h, &e), -ENOKEY);
	CHECK_STR(e.text, "no key is kept for vo");
	CHECK_INT(links_of(k.thread), 0);
	/* its key is gone, while a clone's is there */
	keep("clone", 2);
	ring = keyring_sys_search(KEY_SPEC_PROCESS_KEYRING, "keyring", "cryptvol:vol");
	for (int i = 0; i < LINKS; i++) {
		struct fake_key *key = key_of(key_of(ring)->links[i]);

		if (key && !strcmp(key->type, "logon"))
			key_of(ring)->links[i] = 0;
	}
	CHECK_INT(keyring_find_kept("vol", "CRYPT-LUKS2-1", &h, &e), -ENOKEY);
	CHECK_STR(e.text, "the key kept for vol is gone");
	CHECK_INT(links_of(k.thread), 0);
}

/* An older ring of the name: its key is dead, and the new one is found. */
static void opened_again(void)
{
	struct keyring_hold h;

	reset();
	keep("vol", 1);
	keep("vol", 2);
	CHECK_INT(logon_keys_alive(), 1);
	CHECK_INT(links_of(k.process), 1);
	CHECK_INT(keyring_find_kept("vol", "CRYPT-LUKS2-1", &h, &e), 0);
	CHECK_INT(dm_crypt_finds(0), 2);
	keyring_drop(&h);
}

/* ---- mappings that somebody else closed ---- */

static bool only_b_lives(void *arg, const char *dm_name, const char *dm_uuid)
{
	CHECK(arg == &k);
	CHECK_STR(dm_uuid, "CRYPT-LUKS2-1");
	return !strcmp(dm_name, "b");
}

static void reaped(void)
{
	char name[] = "n00";

	reset();
	CHECK_INT(keyring_reap_kept(only_b_lives, &k, &e), 0); /* no process keyring yet */
	keep("a", 1);
	keep("b", 2);
	CHECK_INT(keyring_reap_kept(only_b_lives, &k, &e), 1);
	CHECK_INT(keyring_check_kept("a", "CRYPT-LUKS2-1", &e), -ENOKEY);
	CHECK_INT(keyring_check_kept("b", "CRYPT-LUKS2-1", &e), 0);
	CHECK_INT(logon_keys_alive(), 1);
	CHECK_INT(keyring_reap_kept(only_b_lives, &k, &e), 0);
	for (int i = 0; i < 15; i++) { /* as many as the fake's ring takes */
		name[2] = (char)('a' + i);
		keep(name, 3);
	}
	CHECK_INT(keyring_reap_kept(only_b_lives, &k, &e), 15);
	CHECK_INT(links_of(k.process), 1);
}

/* One that another thread is filling has no binding yet, and what isn't ours has another name. */
static void not_reaped(void)
{
	reset();
	CHECK_INT(keyring_process_init(&e), 0);
	CHECK_INT(key_of(k.process)->perm, POS(0x3f));
	CHECK(keyring_sys_add("keyring", "cryptvol:half", NULL, 0, KEY_SPEC_PROCESS_KEYRING) > 0);
	CHECK(keyring_sys_add("keyring", "another's", NULL, 0, KEY_SPEC_PROCESS_KEYRING) > 0);
	CHECK(keyring_sys_add("user", "cryptvol:user", "1", 1, KEY_SPEC_PROCESS_KEYRING) > 0);
	CHECK_INT(keyring_reap_kept(only_b_lives, &k, &e), 0);
	CHECK_INT(links_of(k.process), 3);
}

/* As an earlier version left them: below the user keyring, their owner's to change. */
static void user_keyring_cleared(void)
{
	int32_t ring, id;

	reset();
	keep("vol", 1);
	ring = new_key("keyring", "cryptvol:old", POS(0x3f) | USR(VIEW));
	link_into(key_of(k.user), ring);
	id = new_key("logon", DESCRIPTION, POS(0x35) | USR(VIEW | SETATTR));
	link_into(key_of(ring), id);
	link_into(key_of(k.user), new_key("keyring", "another's", POS(0x3f)));
	CHECK_INT(keyring_clear_user(&e), 1);
	CHECK(key_of(id)->revoked);
	CHECK_INT(links_of(k.user), 1);
	CHECK_INT(links_of(k.thread), 0);
	CHECK_INT(logon_keys_alive(), 1); /* the process's own */
	CHECK_INT(keyring_clear_user(&e), 0);
}

/* ---- each call fails ---- */

static const int errnos[] = { EDQUOT, ENOMEM, EACCES, EPERM, ENOSYS, EKEYREVOKED, ENOKEY };

static int failing_put(int n, int code)
{
	struct keyring_hold h;
	int r, calls;

	reset();
	k.fail_at = n;
	k.fail_errno = code;
	r = keyring_put(DESCRIPTION, secret, &h, &e);
	calls = k.calls;
	k.fail_at = 0;
	CHECK_MSG(r < 0 || !n, "call %d", n);
	if (!r)
		keyring_drop(&h);
	CHECK_MSG(logon_keys_alive() == 0 && links_of(k.thread) == 0, "call %d, errno %d", n, code);
	return calls;
}

static int failing_put_kept(int n, int code)
{
	struct keyring_hold h;
	int r, calls;

	reset();
	keep("vol", 1); /* an older one is there */
	k.calls = 0;
	k.fail_at = n;
	k.fail_errno = code;
	make_secret(2);
	r = keyring_put_kept("vol", "CRYPT-LUKS2-1", DESCRIPTION, secret, &h, &e);
	calls = k.calls;
	k.fail_at = 0;
	if (!r) {
		CHECK_MSG(dm_crypt_finds(0) == 2, "call %d, errno %d", n, code);
		CHECK_MSG(links_of(k.process) == 1, "call %d, errno %d", n, code);
		keyring_drop(&h);
	}
	CHECK_MSG(links_of(k.thread) == 0, "call %d, errno %d: in the thread keyring", n, code);
	/* of the failed one nothing is there: either the older one still is, or none */
	new_thread();
	if (r && !keyring_find_kept("vol", "CRYPT-LUKS2-1", &h, NULL)) {
		CHECK_MSG(dm_crypt_finds(0) == 1, "call %d, errno %d: half a ring", n, code);
		keyring_drop(&h);
	}
	return r ? -1 : calls;
}

static int failing_find(int n, int code)
{
	struct keyring_hold h;
	int r, calls;

	reset();
	keep("vol", 1);
	k.calls = 0;
	k.fail_at = n;
	k.fail_errno = code;
	r = keyring_find_kept("vol", "CRYPT-LUKS2-1", &h, &e);
	calls = k.calls;
	k.fail_at = 0;
	/* call 4 looks at the binding's type: without it the key is found all the same */
	CHECK_MSG(r < 0 || !n || n == 4, "call %d, errno %d", n, code);
	if (!r) {
		CHECK_MSG(dm_crypt_finds(0) == 1, "call %d, errno %d", n, code);
		keyring_drop(&h);
	}
	CHECK_MSG(links_of(k.thread) == 0, "call %d, errno %d: in the thread keyring", n, code);
	CHECK_MSG(!keyring_find_kept("vol", "CRYPT-LUKS2-1", &h, NULL), "call %d, errno %d: lost",
		  n, code);
	return calls;
}

static int failing_revoke(int n, int code)
{
	struct keyring_hold h;
	int r, calls;

	reset();
	keep("vol", 1);
	k.calls = 0;
	k.fail_at = n;
	k.fail_errno = code;
	r = keyring_revoke_kept("vol", &e);
	calls = k.calls;
	k.fail_at = 0;
	CHECK_MSG(links_of(k.thread) == 0, "call %d, errno %d: in the thread keyring", n, code);
	/* "there is none" and "none can be" are believed; else success means that it is gone */
	if (!r && code != ENOKEY && code != EKEYREVOKED && code != ENOSYS)
		CHECK_MSG(logon_keys_alive() == 0 &&
				  keyring_find_kept("vol", "CRYPT-LUKS2-1", &h, NULL) == -ENOKEY,
			  "call %d, errno %d: still there", n, code);
	return calls;
}

static void each_call_fails(int (*run)(int, int), int want_calls)
{
	int calls = run(0, 0);

	CHECK_INT(calls, want_calls);
	for (int n = 1; n <= calls; n++)
		for (size_t i = 0; i < ARRAY_SIZE(errnos); i++)
			run(n, errnos[i]);
}

/* ---- errors, names ---- */

static void errors_say_why(void)
{
	static const struct {
		int kernel, ours;
		const char *says;
	} cases[] = {
		{ EDQUOT, -EDQUOT, "the key quota of user" },
		{ EACCES, -EACCES, "no permission" },
		{ EPERM, -EHOSTDOWN, "seccomp" },
		{ ENOSYS, -EHOSTDOWN, "CONFIG_KEYS" },
		{ ENODEV, -EHOSTDOWN, "no keys of this type" },
		{ ENOMEM, -ENOMEM, "Cannot allocate memory" },
	};
	struct keyring_hold h;

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		reset();
		k.fail_at = 2;
		k.fail_errno = cases[i].kernel;
		CHECK_INT(keyring_put(DESCRIPTION, secret, &h, &e), cases[i].ours);
		CHECK_CONTAINS(e.text, cases[i].says);
	}
}

static void no_keys_in_the_kernel(void)
{
	struct keyring_hold h;

	reset();
	CHECK(keyring_available());
	k.no_keys = true;
	CHECK(!keyring_available());
	CHECK_INT(keyring_put(DESCRIPTION, secret, &h, &e), -EHOSTDOWN);
	CHECK_INT(keyring_revoke_kept("vol", &e), 0);
}

static void descriptions(void)
{
	char buf[64], longest[300];
	struct keyring_hold h;

	CHECK_INT(keyring_volume_key_description("11111111-2222-3333-4444-555555555555", 0, buf,
						 sizeof(buf), &e),
		  0);
	CHECK_STR(buf, DESCRIPTION);
	CHECK_INT(keyring_volume_key_description("11111111-2222-3333-4444-555555555555",
						 4294967295u, buf, 60, &e),
		  0);
	CHECK_INT(keyring_volume_key_description("11111111-2222-3333-4444-555555555555", 0, buf, 50,
						 &e),
		  -ENAMETOOLONG);
	CHECK_INT(keyring_volume_key_description("1", 0, buf, 0, &e), -ENAMETOOLONG);
	memset(longest, 'n', sizeof(longest));
	longest[299] = '\0';
	reset();
	CHECK_INT(keyring_put_kept(longest, "U", DESCRIPTION, secret, &h, &e), -ENAMETOOLONG);
	CHECK_INT(keyring_put_kept("vol", longest, DESCRIPTION, secret, &h, &e), -ENAMETOOLONG);
	CHECK_INT(links_of(k.process), 0);
	longest[127] = '\0'; /* the longest name that device-mapper has */
	CHECK_INT(keyring_put_kept(longest, longest, DESCRIPTION, secret, &h, &e), 0);
	keyring_drop(&h);
}

int main(void)
{
	make_secret(7);
	RUN(put_and_drop);
	RUN(two_holds);
	RUN(foreign_links_stay);
	RUN(kept_and_found);
	RUN(not_in_another_process);
	RUN(two_clones);
	RUN(not_its_own);
	RUN(opened_again);
	RUN(reaped);
	RUN(not_reaped);
	RUN(user_keyring_cleared);
	RUN_CASE("put_fails_each", each_call_fails(failing_put, 4));
	RUN_CASE("put_kept_fails_each", each_call_fails(failing_put_kept, 14));
	RUN_CASE("find_fails_each", each_call_fails(failing_find, 8));
	RUN_CASE("revoke_fails_each", each_call_fails(failing_revoke, 6));
	RUN(errors_say_why);
	RUN(no_keys_in_the_kernel);
	RUN(descriptions);
	secret_free(secret);
	return check_exit();
}
