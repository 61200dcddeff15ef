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
	CHECK_INT(k.calls, 2);
	CHECK_INT(k.added_to[0], KEY_SPEC_THREAD_KEYRING);
	CHECK_INT(links_of(k.user), 0);
	keyring_drop(&h);
	CHECK_INT(dm_crypt_finds(0), 0);
	CHECK_INT(links_of(k.thread), 0);
	CHECK_INT(logon_keys_alive(), 0);
	CHECK(!h.linked && !h.ring);
	keyring_drop(&h); /* twice does no harm */
	CHECK_INT(k.calls, 5);
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
	CHECK_INT(links_of(h.link), 1); /* its ring, and the user keyring no more */
	CHECK_STR(h.name, name);
	keyring_drop(&h);
	CHECK_INT(links_of(k.thread), 0);
}

/* A new process: a thread keyring of its own, and a session keyring that leads to the user keyring.
 */
static void new_process(void)
{
	k.thread = 0;
}

static void kept_and_found(void)
{
	struct keyring_hold h;

	reset();
	keep("vol", 7);
	new_process();
	CHECK_INT(dm_crypt_finds(k.user), 0); /* at rest no search finds it */
	CHECK_INT(keyring_check_kept("vol", "CRYPT-LUKS2-1", &e), 0);
	CHECK_INT(keyring_check_kept("vol", "CRYPT-LUKS2-2", &e), -ENOKEY);
	CHECK_INT(dm_crypt_finds(k.user), 0); /* and a look doesn't wake it */
	CHECK_INT(links_of(k.thread), 0);
	CHECK_INT(keyring_find_kept("vol", "CRYPT-LUKS2-1", &h, &e), 0);
	CHECK_INT(dm_crypt_finds(0), 7);
	CHECK_INT(links_of(h.link), 1);
	CHECK_INT(keyring_check_kept("vol", "CRYPT-LUKS2-1", &e), 0);
	CHECK_INT(dm_crypt_finds(0), 7); /* nor send it to rest */
	keyring_drop(&h);
	CHECK_INT(dm_crypt_finds(k.user), 0);
	CHECK_INT(links_of(k.thread), 0);
	CHECK_INT(logon_keys_alive(), 1);
	CHECK_INT(keyring_revoke_kept("vol", &e), 0);
	CHECK_INT(logon_keys_alive(), 0);
	CHECK_INT(links_of(k.user), 0);
	CHECK_INT(links_of(k.thread), 0);
	CHECK_INT(keyring_find_kept("vol", "CRYPT-LUKS2-1", &h, &e), -ENOKEY);
	CHECK_INT(keyring_revoke_kept("vol", &e), 0);
}

static void two_clones(void)
{
	struct keyring_hold h;

	reset();
	keep("a", 1);
	keep("b", 2);
	new_process();
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
	ring = keyring_sys_search(KEY_SPEC_USER_KEYRING, "keyring", "cryptvol:vol");
	for (int i = 0; i < LINKS; i++) {
		struct fake_key *key = key_of(key_of(ring)->links[i]);

		if (key && !strcmp(key->type, "logon"))
			key_of(ring)->links[i] = 0;
	}
	CHECK_INT(keyring_find_kept("vol", "CRYPT-LUKS2-1", &h, &e), -ENOKEY);
	CHECK_STR(e.text, "the key kept for vol is gone");
	CHECK_INT(dm_crypt_finds(k.user), 0);
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
	CHECK_INT(links_of(k.user), 1);
	CHECK_INT(keyring_find_kept("vol", "CRYPT-LUKS2-1", &h, &e), 0);
	CHECK_INT(dm_crypt_finds(0), 2);
	keyring_drop(&h);
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
		CHECK_MSG(links_of(k.user) == 1, "call %d, errno %d", n, code);
		keyring_drop(&h);
	}
	CHECK_MSG(links_of(k.thread) == 0, "call %d, errno %d: in the thread keyring", n, code);
	CHECK_MSG(dm_crypt_finds(k.user) == 0, "call %d, errno %d: to be found", n, code);
	/* of the failed one nothing is there: either the older one still is, or none */
	new_process();
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
	/* call 6 looks at the binding's type: without it the key is found all the same */
	CHECK_MSG(r < 0 || !n || n == 6, "call %d, errno %d", n, code);
	if (!r) {
		CHECK_MSG(dm_crypt_finds(0) == 1, "call %d, errno %d", n, code);
		keyring_drop(&h);
	}
	CHECK_MSG(links_of(k.thread) == 0, "call %d, errno %d: in the thread keyring", n, code);
	CHECK_MSG(dm_crypt_finds(k.user) == 0, "call %d, errno %d: to be found", n, code);
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
	CHECK_INT(links_of(k.user), 0);
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
	RUN(two_clones);
	RUN(not_its_own);
	RUN(opened_again);
	RUN_CASE("put_fails_each", each_call_fails(failing_put, 2));
	RUN_CASE("put_kept_fails_each", each_call_fails(failing_put_kept, 13));
	RUN_CASE("find_fails_each", each_call_fails(failing_find, 10));
	RUN_CASE("revoke_fails_each", each_call_fails(failing_revoke, 10));
	RUN(errors_say_why);
	RUN(no_keys_in_the_kernel);
	RUN(descriptions);
	secret_free(secret);
	return check_exit();
}
