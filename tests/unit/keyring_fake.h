// SPDX-License-Identifier: Apache-2.0
// Key rings in memory behind syscall(2): links, possession and permissions as keyrings(7) has them.
// Link with -Wl,--wrap=syscall.
#pragma once

#include "check.h"
#include "keyring/internal.h"

#include <linux/keyctl.h>
#include <sys/syscall.h>

#define KEYS 128
#define LINKS 16
#define FIRST_SERIAL 1000
#define POS(bits) ((uint32_t)(bits) << 24)
#define USR(bits) ((uint32_t)(bits) << 16)

enum { VIEW = 1, READ = 2, WRITE = 4, SEARCH = 8, LINK = 16, SETATTR = 32 };

struct fake_key {
	char type[16], description[256];
	unsigned char payload[128];
	size_t payload_len;
	uint32_t perm;
	bool revoked;
	int32_t links[LINKS]; /* keyrings; 0 = free */
};

static struct {
	struct fake_key keys[KEYS];
	int n_keys;
	int32_t thread, process, user;
	int calls, fail_at, fail_errno;
	long nr, cmd; /* of the last call */
	bool no_keys; /* CONFIG_KEYS isn't there */
	int32_t added_to[8];
	int n_added;
} k;

static struct secret *secret;
static struct err e;

static inline struct fake_key *key_of(int32_t serial)
{
	int i = serial - FIRST_SERIAL;

	return i >= 0 && i < k.n_keys ? &k.keys[i] : NULL;
}

static inline int32_t new_key(const char *type, const char *description, uint32_t perm)
{
	struct fake_key *key = &k.keys[k.n_keys];

	if (k.n_keys == KEYS)
		abort();
	memset(key, 0, sizeof(*key));
	strcpy(key->type, type);
	strcpy(key->description, description);
	key->perm = perm;
	return FIRST_SERIAL + k.n_keys++;
}

static inline void reset(void)
{
	memset(&k, 0, sizeof(k));
	k.user = new_key("keyring", "_uid.0", POS(VIEW | READ | WRITE | SEARCH | LINK) | USR(VIEW));
}

/* Is @serial to be found from @ring, through rings that may be searched? */
static inline bool reaches(int32_t ring, int32_t serial, int depth)
{
	struct fake_key *r = key_of(ring);

	if (!r || r->revoked || depth > 6)
		return false;
	for (int i = 0; i < LINKS; i++) {
		struct fake_key *child = key_of(r->links[i]);

		if (!child || !(child->perm & POS(SEARCH)))
			continue;
		if (r->links[i] == serial ||
		    (!strcmp(child->type, "keyring") && reaches(r->links[i], serial, depth + 1)))
			return true;
	}
	return false;
}

static inline bool may(int32_t serial, uint32_t what)
{
	struct fake_key *key = key_of(serial);

	if (serial == k.user || serial == k.thread || serial == k.process ||
	    reaches(k.thread, serial, 0) || reaches(k.process, serial, 0))
		return key->perm & POS(what) || key->perm & USR(what);
	return key->perm & USR(what);
}

/* A number or KEY_SPEC_*; 0 and errno where there is none. */
static inline int32_t lookup(int32_t id, bool create, bool revoked_too)
{
	struct fake_key *key;

	if (id == KEY_SPEC_USER_KEYRING)
		return k.user;
	if (id == KEY_SPEC_THREAD_KEYRING) {
		if (!k.thread && create)
			k.thread = new_key("keyring", "_tid", POS(0x3f) | USR(VIEW));
		errno = ENOKEY;
		return k.thread;
	}
	if (id == KEY_SPEC_PROCESS_KEYRING) {
		if (!k.process && create)
			k.process = new_key("keyring", "_pid", POS(0x3f) | USR(VIEW));
		errno = ENOKEY;
		return k.process;
	}
	key = key_of(id);
	errno = !key ? ENOKEY : EKEYREVOKED;
	return key && (revoked_too || !key->revoked) ? id : 0;
}

static inline long fail(int code)
{
	errno = code;
	return -1;
}

static inline void unlink_from(struct fake_key *ring, int32_t serial)
{
	for (int i = 0; i < LINKS; i++)
		if (ring->links[i] == serial)
			ring->links[i] = 0;
}

/* One of the same type and description gives way. */
static inline void link_into(struct fake_key *ring, int32_t serial)
{
	struct fake_key *key = key_of(serial);
	int at = -1;

	for (int i = 0; i < LINKS; i++) {
		struct fake_key *other = key_of(ring->links[i]);

		if (other && !strcmp(other->type, key->type) &&
		    !strcmp(other->description, key->description))
			ring->links[i] = 0;
		if (!ring->links[i] && at < 0)
			at = i;
	}
	ring->links[at] = serial;
}

static inline long do_add(const char *type, const char *description, const void *payload,
			  size_t len, int32_t ring_id)
{
	int32_t ring = lookup(ring_id, true, false), serial;
	struct fake_key *key;
	bool is_ring = !strcmp(type, "keyring");

	if (!ring)
		return -1;
	if (!may(ring, WRITE))
		return fail(EACCES);
	if (!strcmp(type, "logon") && (!strchr(description, ':') || *description == ':'))
		return fail(EINVAL);
	if (!is_ring && (!len || len > sizeof(key->payload)))
		return fail(EINVAL);
	serial = new_key(type, description,
			 (is_ring ? POS(0x3f) : POS(VIEW | WRITE | SEARCH | LINK | SETATTR)) |
				 USR(VIEW));
	key = &k.keys[serial - FIRST_SERIAL];
	if (!is_ring) {
		memcpy(key->payload, payload, len);
		key->payload_len = len;
	}
	link_into(key_of(ring), serial);
	if (k.n_added < 8)
		k.added_to[k.n_added++] = ring_id;
	return serial;
}

/* Depth first; -1: not found. A match without permission is EACCES, a revoked one EKEYREVOKED. */
static inline int32_t find(int32_t ring, const char *type, const char *description, int *why)
{
	struct fake_key *r = key_of(ring);

	for (int i = 0; i < LINKS; i++) {
		struct fake_key *child = key_of(r->links[i]);

		if (!child || strcmp(child->type, type) || strcmp(child->description, description))
			continue;
		*why = child->revoked ? EKEYREVOKED : EACCES;
		if (!child->revoked && child->perm & POS(SEARCH))
			return r->links[i];
	}
	for (int i = 0; i < LINKS; i++) {
		struct fake_key *child = key_of(r->links[i]);
		int32_t found;

		if (!child || strcmp(child->type, "keyring") || child->revoked ||
		    !(child->perm & POS(SEARCH)))
			continue;
		found = find(r->links[i], type, description, why);
		if (found > 0)
			return found;
	}
	return -1;
}

static inline long do_search(int32_t ring_id, const char *type, const char *description)
{
	int32_t ring = lookup(ring_id, false, false), found;
	int why = ENOKEY;

	if (!ring)
		return -1;
	if (!may(ring, SEARCH))
		return fail(EACCES);
	found = find(ring, type, description, &why);
	return found > 0 ? found : fail(why);
}

static inline long do_link(int32_t key_id, int32_t ring_id, bool unlink)
{
	int32_t ring = lookup(ring_id, true, false), key = lookup(key_id, true, unlink);

	if (!ring || !key)
		return -1;
	if (!may(ring, WRITE) || (!unlink && !may(key, LINK)))
		return fail(EACCES);
	if (unlink)
		unlink_from(key_of(ring), key);
	else
		link_into(key_of(ring), key);
	return 0;
}

static inline long do_revoke(int32_t id)
{
	int32_t serial = lookup(id, false, false);
	struct fake_key *key = key_of(serial);

	if (!key)
		return -1;
	if (!may(serial, WRITE) && !may(serial, SETATTR))
		return fail(EACCES);
	key->revoked = true;
	memset(key->payload, 0, sizeof(key->payload));
	memset(key->links, 0, sizeof(key->links));
	return 0;
}

static inline long do_read(int32_t id, int32_t *buf, size_t len)
{
	int32_t serial = lookup(id, false, false);
	struct fake_key *key = key_of(serial);
	size_t n = 0;

	if (!key)
		return -1;
	if (!may(serial, READ))
		return fail(EACCES);
	for (int i = 0; i < LINKS; i++)
		if (key->links[i] && (n + 1) * sizeof(*buf) <= len)
			buf[n++] = key->links[i];
	return (long)(n * sizeof(*buf));
}

static inline long do_describe(int32_t id, char *buf, size_t len)
{
	int32_t serial = lookup(id, false, false);
	struct fake_key *key = key_of(serial);

	if (!key)
		return -1;
	if (!may(serial, VIEW))
		return fail(EACCES);
	return snprintf(buf, len, "%s;0;0;%08x;%s", key->type, key->perm, key->description) + 1;
}

static inline long do_setperm(int32_t id, uint32_t perm)
{
	int32_t serial = lookup(id, false, false);

	if (!serial)
		return -1;
	if (!may(serial, SETATTR))
		return fail(EACCES);
	key_of(serial)->perm = perm;
	return 0;
}

static inline long do_keyctl(long cmd, const long a[4])
{
	switch (cmd) {
	case KEYCTL_GET_KEYRING_ID:
		return lookup((int32_t)a[0], a[1], false) ?: -1;
	case KEYCTL_SEARCH:
		return do_search((int32_t)a[0], (const char *)a[1], (const char *)a[2]);
	case KEYCTL_LINK:
		return do_link((int32_t)a[0], (int32_t)a[1], false);
	case KEYCTL_UNLINK:
		return do_link((int32_t)a[0], (int32_t)a[1], true);
	case KEYCTL_REVOKE:
		return do_revoke((int32_t)a[0]);
	case KEYCTL_READ:
		return do_read((int32_t)a[0], (int32_t *)a[1], (size_t)a[2]);
	case KEYCTL_DESCRIBE:
		return do_describe((int32_t)a[0], (char *)a[1], (size_t)a[2]);
	case KEYCTL_SETPERM:
		return do_setperm((int32_t)a[0], (uint32_t)a[1]);
	default:
		return fail(EOPNOTSUPP);
	}
}

long __wrap_syscall(long nr, ...);
long __wrap_syscall(long nr, ...)
{
	long a[5];
	va_list ap;

	va_start(ap, nr);
	for (int i = 0; i < 5; i++)
		a[i] = va_arg(ap, long);
	va_end(ap);
	k.calls++;
	if (k.no_keys)
		return fail(ENOSYS);
	if (k.calls == k.fail_at)
		return fail(k.fail_errno);
	if (nr == SYS_add_key)
		return do_add((const char *)a[0], (const char *)a[1], (const void *)a[2],
			      (size_t)a[3], (int32_t)a[4]);
	return nr == SYS_keyctl ? do_keyctl(a[0], a + 1) : fail(ENOSYS);
}

/* ---- what is seen of it ---- */

#define DESCRIPTION "cryptsetup:11111111-2222-3333-4444-555555555555-d0"

/* A revoked keyring has lost all that was in it: it doesn't count. */
static inline int links_of(int32_t ring)
{
	struct fake_key *key = key_of(ring);
	int n = 0;

	for (int i = 0; key && i < LINKS; i++)
		n += key->links[i] && !key_of(key->links[i])->revoked;
	return n;
}

/* What dm-crypt would find from this thread: the payload's first byte, or 0. */
static inline int dm_crypt_finds(int32_t also)
{
	int why;
	int32_t found = k.thread ? find(k.thread, "logon", DESCRIPTION, &why) : -1;

	if (found < 0 && k.process)
		found = find(k.process, "logon", DESCRIPTION, &why);
	if (found < 0 && also)
		found = find(also, "logon", DESCRIPTION, &why);
	return found > 0 ? key_of(found)->payload[0] : 0;
}

/* Is any key with a payload to be reached from a root? Numbers are reused by none. */
static inline int logon_keys_alive(void)
{
	int n = 0;

	for (int i = 0; i < k.n_keys; i++) {
		int32_t serial = FIRST_SERIAL + i;

		if (strcmp(k.keys[i].type, "logon") || k.keys[i].revoked)
			continue;
		n += reaches(k.user, serial, 0) || reaches(k.thread, serial, 0) ||
		     reaches(k.process, serial, 0);
	}
	return n;
}

/* What a process that possesses nothing may do to a key, of whatever its uid owns. */
static inline uint32_t others_may(void)
{
	uint32_t perm = 0;

	for (int i = 0; i < k.n_keys; i++)
		if (!strncmp(k.keys[i].description, "crypt", 5))
			perm |= k.keys[i].perm & 0xffffff;
	return perm;
}

static inline void make_secret(unsigned char first)
{
	unsigned char bytes[64] = { first };

	secret_free(secret);
	if (secret_from_bytes(bytes, sizeof(bytes), &secret, NULL))
		abort();
}
