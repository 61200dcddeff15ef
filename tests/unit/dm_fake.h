// SPDX-License-Identifier: Apache-2.0
// A device-mapper driver in memory behind ioctl(2): it keeps mappings, notes each request as it
// came, and fails the call that it is told to fail. Offsets and command numbers are written out
// here, apart from the headers that the library uses. Link with -Wl,--wrap=ioctl.
#pragma once

#include "check.h"
#include "dm/internal.h"

#include <dirent.h>
#include <ftw.h>
#include <sys/stat.h>

enum {
	FAKE_VERSION = 0xc138fd00,
	FAKE_LIST_DEVICES = 0xc138fd02,
	FAKE_CREATE = 0xc138fd03,
	FAKE_REMOVE = 0xc138fd04,
	FAKE_RENAME = 0xc138fd05,
	FAKE_SUSPEND = 0xc138fd06,
	FAKE_STATUS = 0xc138fd07,
	FAKE_WAIT = 0xc138fd08,
	FAKE_LOAD = 0xc138fd09,
	FAKE_CLEAR = 0xc138fd0a,
	FAKE_DEPS = 0xc138fd0b,
	FAKE_TABLE = 0xc138fd0c,
	FAKE_LIST_VERSIONS = 0xc138fd0d,
	FAKE_MESSAGE = 0xc138fd0e,
	FAKE_TARGET_VERSION = 0xc138fd11,
};

enum { /* of the request */
       AT_SIZE = 12,
       AT_START = 16,
       AT_TARGETS = 20,
       AT_OPEN = 24,
       AT_FLAGS = 28,
       AT_EVENT = 32,
       AT_DEV = 40,
       AT_NAME = 48,
       AT_UUID = 176,
       HEAD_BYTES = 312,
       KERNEL_HEAD_BYTES = 305,
};

#define FAKE_DEVICES 8
#define FAKE_CALLS 256 /* later ones are counted, not kept */
#define FAKE_MAJOR 253u

struct fake_device {
	bool used, suspended, readonly, deferred;
	char name[128], uuid[129];
	unsigned char *live, *next; /* payloads of DM_TABLE_LOAD */
	uint32_t n_live, n_next;
	int open_count, busy_removes; /* that many removals find it busy */
	uint32_t event_nr;
};

struct fake_call {
	unsigned long cmd;
	unsigned char *bytes; /* as sent */
	uint32_t size;
};

static struct fake {
	struct fake_device devices[FAKE_DEVICES]; /* index = minor number */
	struct fake_call calls[FAKE_CALLS];
	int n_calls;
	int fail_at, fail_errno;       /* the how-manieth call fails, counted from 1; 0 = none */
	unsigned long fail_cmd;	       /* or each call of this kind */
	bool swap_fails;	       /* resume: suspends, drops the new table, fails */
	bool no_target_version;	       /* an old kernel */
	uint32_t version[3];	       /* of the crypt target */
	int new_busy_removes;	       /* of each new mapping */
	bool uevents;		       /* say that a uevent was sent */
	const unsigned char *nonsense; /* answer to FAKE_TABLE */
	size_t nonsense_len;
} fake;

static inline void fake_put(unsigned char *buf, int at, uint32_t v)
{
	for (int i = 0; i < 4; i++)
		buf[at + i] = (unsigned char)(v >> (8 * i));
}

static inline uint32_t fake_get(const unsigned char *buf, int at)
{
	return buf[at] | (uint32_t)buf[at + 1] << 8 | (uint32_t)buf[at + 2] << 16 |
	       (uint32_t)buf[at + 3] << 24;
}

/* Forget the requests, not the mappings. */
static inline void fake_forget(void)
{
	for (int i = 0; i < fake.n_calls && i < FAKE_CALLS; i++)
		free(fake.calls[i].bytes);
	fake.n_calls = 0;
}

static inline void fake_reset(void)
{
	fake_forget();
	for (int i = 0; i < FAKE_DEVICES; i++) {
		free(fake.devices[i].live);
		free(fake.devices[i].next);
	}
	memset(&fake, 0, sizeof(fake));
	memcpy(fake.version, (uint32_t[]){ 1, 28, 0 }, sizeof(fake.version));
}

static inline int fake_count(void)
{
	int n = 0;

	for (int i = 0; i < FAKE_DEVICES; i++)
		n += fake.devices[i].used;
	return n;
}

static inline struct fake_device *fake_find(const char *name)
{
	for (int i = 0; i < FAKE_DEVICES; i++)
		if (fake.devices[i].used && !strcmp(fake.devices[i].name, name))
			return &fake.devices[i];
	return NULL;
}

static inline void fake_describe(struct fake_device *d, unsigned char *b)
{
	uint32_t flags = fake_get(b, AT_FLAGS) & ~0x1e067u;

	flags |= (d->readonly ? 1u : 0) | (d->suspended ? 2u : 0) | (d->live ? 0x20u : 0) |
		 (d->next ? 0x40u : 0) | (d->deferred ? 0x20000u : 0) |
		 (fake.uevents ? 0x2000u : 0);
	fake_put(b, AT_FLAGS, flags);
	fake_put(b, AT_TARGETS, d->live ? d->n_live : 0);
	fake_put(b, AT_OPEN, (uint32_t)d->open_count);
	fake_put(b, AT_EVENT, d->event_nr);
	fake_put(b, AT_DEV, FAKE_MAJOR << 8 | (uint32_t)(d - fake.devices));
	fake_put(b, AT_DEV + 4, 0);
	memcpy(b + AT_NAME, d->name, 128);
	memcpy(b + AT_UUID, d->uuid, 129);
}

static inline int fake_create(unsigned char *b)
{
	const char *name = (char *)b + AT_NAME, *uuid = (char *)b + AT_UUID;

	for (int i = 0; i < FAKE_DEVICES; i++)
		if (fake.devices[i].used && (!strcmp(fake.devices[i].name, name) ||
					     (*uuid && !strcmp(fake.devices[i].uuid, uuid))))
			return EBUSY;
	for (int i = 1; i < FAKE_DEVICES; i++) {
		struct fake_device *d = &fake.devices[i];

		if (d->used)
			continue;
		*d = (struct fake_device){ .used = true, .busy_removes = fake.new_busy_removes };
		strcpy(d->name, name);
		strcpy(d->uuid, uuid);
		fake_describe(d, b);
		return 0;
	}
	return ENOMEM;
}

static inline int fake_remove(struct fake_device *d, unsigned char *b)
{
	bool deferred = fake_get(b, AT_FLAGS) & 0x20000;

	if (d->open_count || d->busy_removes) {
		d->busy_removes -= d->busy_removes > 0;
		if (!deferred)
			return EBUSY;
		d->deferred = true;
		return 0;
	}
	fake_put(b, AT_FLAGS, (fake_get(b, AT_FLAGS) & ~0x20000u) | (fake.uevents ? 0x2000u : 0));
	free(d->live);
	free(d->next);
	*d = (struct fake_device){ 0 };
	return 0;
}

static inline int fake_load(struct fake_device *d, unsigned char *b)
{
	uint32_t start = fake_get(b, AT_START), size = fake_get(b, AT_SIZE);

	free(d->next);
	d->next = malloc(size - start);
	memcpy(d->next, b + start, size - start);
	d->n_next = fake_get(b, AT_TARGETS);
	d->readonly = fake_get(b, AT_FLAGS) & 1;
	fake_describe(d, b);
	return 0;
}

static inline int fake_suspend(struct fake_device *d, unsigned char *b)
{
	if (fake_get(b, AT_FLAGS) & 2) {
		d->suspended = true;
	} else if (d->next && fake.swap_fails) {
		free(d->next);
		d->next = NULL;
		d->suspended = true;
		return EINVAL;
	} else {
		if (d->next) {
			free(d->live);
			d->live = d->next;
			d->n_live = d->n_next;
			d->next = NULL;
		}
		d->suspended = false;
		d->event_nr++;
	}
	fake_describe(d, b);
	return 0;
}

/* @len bytes of answer; the full flag where they don't fit. */
static inline int fake_answer(unsigned char *b, const void *bytes, size_t len)
{
	uint32_t size = fake_get(b, AT_SIZE);

	fake_put(b, AT_START, HEAD_BYTES);
	if (len > size - HEAD_BYTES) {
		fake_put(b, AT_FLAGS, fake_get(b, AT_FLAGS) | 0x100);
		return 0;
	}
	memcpy(b + HEAD_BYTES, bytes, len);
	fake_put(b, AT_SIZE, (uint32_t)(HEAD_BYTES + len));
	return 0;
}

/* The live table as the kernel gives it back: "next" counts from the first target. */
static inline int fake_table(struct fake_device *d, unsigned char *b)
{
	unsigned char out[65536] = { 0 };
	size_t at = 0, in = 0;

	fake_describe(d, b);
	if (fake.nonsense) {
		fake_put(b, AT_TARGETS, 2);
		return fake_answer(b, fake.nonsense, fake.nonsense_len);
	}
	if (!d->live) { /* nothing to say: the kernel cuts the size to its head, data_start stays */
		fake_put(b, AT_SIZE, KERNEL_HEAD_BYTES);
		return 0;
	}
	for (uint32_t i = 0; i < d->n_live; i++) {
		uint32_t next = fake_get(d->live + in, 20);

		memcpy(out + at, d->live + in, next);
		in += next;
		at += next;
		fake_put(out + at - next, 20, (uint32_t)at);
	}
	return fake_answer(b, out, at);
}

static inline int fake_list(unsigned char *b)
{
	unsigned char out[4096] = { 0 };
	size_t at = 0, last = 0;

	for (int i = 0; i < FAKE_DEVICES; i++) {
		struct fake_device *d = &fake.devices[i];

		if (!d->used)
			continue;
		if (at)
			fake_put(out + last, 8, (uint32_t)(at - last));
		last = at;
		fake_put(out + at, 0, FAKE_MAJOR << 8 | (uint32_t)i);
		strcpy((char *)out + at + 12, d->name);
		at += (12 + strlen(d->name) + 1 + 7) / 8 * 8;
	}
	return fake_answer(b, out, at ?: 16);
}

static inline int fake_versions(unsigned long cmd, unsigned char *b)
{
	unsigned char out[64] = { 0 };

	if (cmd == FAKE_TARGET_VERSION && fake.no_target_version)
		return ENOTTY;
	if (cmd == FAKE_TARGET_VERSION && strcmp((char *)b + AT_NAME, "crypt"))
		return EINVAL;
	fake_put(out, 0, 32);
	fake_put(out, 4, 9);
	strcpy((char *)out + 16, "linear");
	for (int i = 0; i < 3; i++)
		fake_put(out + 32, 4 + 4 * i, fake.version[i]);
	strcpy((char *)out + 48, "crypt");
	return cmd == FAKE_TARGET_VERSION ? fake_answer(b, out + 32, 32) : fake_answer(b, out, 64);
}

static inline int fake_rename(struct fake_device *d, unsigned char *b)
{
	const char *name = (char *)b + fake_get(b, AT_START);

	if (fake_find(name))
		return EBUSY;
	strcpy(d->name, name);
	fake_describe(d, b);
	return 0;
}

static inline int fake_device_call(unsigned long cmd, struct fake_device *d, unsigned char *b)
{
	unsigned char deps[24] = { 2 };

	switch (cmd) {
	case FAKE_REMOVE:
		return fake_remove(d, b);
	case FAKE_RENAME:
		return fake_rename(d, b);
	case FAKE_SUSPEND:
		return fake_suspend(d, b);
	case FAKE_LOAD:
		return fake_load(d, b);
	case FAKE_CLEAR:
		free(d->next);
		d->next = NULL;
		break;
	case FAKE_TABLE:
		return fake_table(d, b);
	case FAKE_DEPS:
		fake_put(deps, 8, 7 << 8 | 3);
		fake_put(deps, 16, 8 << 8 | 16);
		fake_describe(d, b);
		return fake_answer(b, deps, sizeof(deps));
	case FAKE_MESSAGE:
		d->deferred = false;
		break;
	case FAKE_WAIT:
		fake_put(b, AT_FLAGS, fake_get(b, AT_FLAGS) | 0x100);
		break;
	case FAKE_STATUS:
		break;
	default:
		return ENOTTY;
	}
	fake_describe(d, b);
	return 0;
}

static inline int fake_dispatch(unsigned long cmd, unsigned char *b)
{
	struct fake_device *d;

	if (fake_get(b, 0) != 4)
		return EINVAL;
	switch (cmd) {
	case FAKE_VERSION:
		fake_put(b, 4, 47);
		return 0;
	case FAKE_CREATE:
		return fake_create(b);
	case FAKE_LIST_DEVICES:
		return fake_list(b);
	case FAKE_LIST_VERSIONS:
	case FAKE_TARGET_VERSION:
		return fake_versions(cmd, b);
	}
	d = fake_find((char *)b + AT_NAME);
	return d ? fake_device_call(cmd, d, b) : ENXIO;
}

int __wrap_ioctl(int fd, unsigned long cmd, void *arg);
int __wrap_ioctl(int fd, unsigned long cmd, void *arg)
{
	unsigned char *b = arg;
	int e;

	(void)fd;
	if (fake.n_calls < FAKE_CALLS) {
		struct fake_call *c = &fake.calls[fake.n_calls];

		c->cmd = cmd;
		c->size = fake_get(b, AT_SIZE);
		c->bytes = malloc(c->size);
		memcpy(c->bytes, b, c->size);
	}
	fake.n_calls++;
	e = fake.n_calls == fake.fail_at || cmd == fake.fail_cmd ? fake.fail_errno
								 : fake_dispatch(cmd, b);
	/* As the kernel does: with secure data, what was sent is wiped even on failure. */
	if (e && fake_get(b, AT_FLAGS) & 0x8000)
		memset(b + HEAD_BYTES, 0, fake_get(b, AT_SIZE) - HEAD_BYTES);
	if (!e)
		return 0;
	errno = e;
	return -1;
}

/* ---- a /dev of the test's own ---- */

static char fake_dev[64], fake_misc[80], fake_control[80], fake_rules[80];
static struct dm_places fake_places;

static inline int fake_unlink(const char *path, const struct stat *st, int type, struct FTW *f)
{
	(void)st;
	(void)type;
	(void)f;
	return remove(path);
}

static inline void fake_dev_remove(void)
{
	nftw(fake_dev, fake_unlink, 8, FTW_DEPTH | FTW_PHYS);
}

static inline void fake_write(const char *path, const char *text)
{
	FILE *f = fopen(path, "w");

	if (f) {
		fputs(text, f);
		fclose(f);
	}
}

static inline void fake_dev_make(void)
{
	char path[96];

	strcpy(fake_dev, "/tmp/cryptvol-dm.XXXXXX");
	if (!mkdtemp(fake_dev))
		abort();
	snprintf(fake_misc, sizeof(fake_misc), "%s/misc", fake_dev);
	snprintf(fake_control, sizeof(fake_control), "%s/udev", fake_dev);
	snprintf(fake_rules, sizeof(fake_rules), "%s/rules", fake_dev);
	snprintf(path, sizeof(path), "%s/mapper", fake_dev);
	mkdir(path, 0755);
	snprintf(path, sizeof(path), "%s/mapper/control", fake_dev);
	fake_write(path, "");
	fake_write(fake_misc, "237 loop-control\n236 device-mapper\n");
	fake_places = (struct dm_places){ .dev = fake_dev,
					  .misc = fake_misc,
					  .udev_control = fake_control,
					  .udev_rules = { fake_rules },
					  .mounts = "/dev/null",
					  .sysfs = "/nonexistent" };
}

/* How many nodes are there, the control node apart? */
static inline int fake_nodes(void)
{
	char path[96];
	struct dirent *e;
	int n = 0;
	DIR *d;

	snprintf(path, sizeof(path), "%s/mapper", fake_dev);
	d = opendir(path);
	while (d && (e = readdir(d)))
		n += e->d_name[0] != '.' && strcmp(e->d_name, "control") ? 1 : 0;
	if (d)
		closedir(d);
	return n;
}

/* May this process make device nodes at all? */
static inline bool fake_can_mknod(void)
{
	char path[96];
	bool ok;

	snprintf(path, sizeof(path), "%s/probe", fake_dev);
	ok = !mknod(path, S_IFBLK | 0600, 7 << 8);
	unlink(path);
	return ok;
}

/* ---- expectations ---- */

/** A request as it has to be: name, uuid and numbers at their offsets, zeros between. */
static inline void fake_expect(unsigned char *b, uint32_t size, uint32_t flags, uint32_t event,
			       uint32_t targets, const char *name, const char *uuid)
{
	memset(b, 0, size);
	fake_put(b, 0, 4);
	fake_put(b, AT_SIZE, size);
	fake_put(b, AT_START, HEAD_BYTES);
	fake_put(b, AT_TARGETS, targets);
	fake_put(b, AT_FLAGS, flags);
	fake_put(b, AT_EVENT, event);
	strcpy((char *)b + AT_NAME, name);
	strcpy((char *)b + AT_UUID, uuid);
}

#define CHECK_CALL(n, command, expected, len)                                          \
	do {                                                                           \
		REQUIRE(fake.n_calls > (n));                                           \
		CHECK_INT(fake.calls[n].cmd, (unsigned long)(uint32_t)(command));      \
		CHECK_INT(fake.calls[n].size, len);                                    \
		REQUIRE(fake.calls[n].size == (len));                                  \
		for (uint32_t check_i = 0; check_i < (len); check_i++)                 \
			CHECK_MSG(fake.calls[n].bytes[check_i] == (expected)[check_i], \
				  "call %d: byte %u is %#x, not %#x", n, check_i,      \
				  fake.calls[n].bytes[check_i], (expected)[check_i]);  \
	} while (0)
