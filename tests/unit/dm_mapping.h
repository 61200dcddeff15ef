// SPDX-License-Identifier: Apache-2.0
// What the tests of the dm verbs share: a control device on the driver in memory, tables, a
// mapping.
#pragma once

#include "dm_fake.h"

#include <sys/sysmacros.h>

#define UUID "CRYPT-LUKS2-0123-vol"
#define EVENT 0x600000u /* primary source, no library fallback; no cookie */

static struct dm_control *c;
static struct err e;

int __wrap_base_spawn(const char *path, char *const *argv, char *const *envp, const void *actions,
		      const void *attr, pid_t *pid);
int __wrap_base_spawn(const char *path, char *const *argv, char *const *envp, const void *actions,
		      const void *attr, pid_t *pid)
{
	(void)pid, (void)path, (void)actions, (void)attr, (void)argv, (void)envp;
	return -ENOENT;
}

static struct dm_target linear = { .type = DM_TARGET_LINEAR,
				   .len_sectors = 2048,
				   .dev_major = 7,
				   .dev_minor = 3,
				   .linear = { 8 } };
static struct dm_target crypted = { .type = DM_TARGET_CRYPT,
				    .start_sectors = 0,
				    .len_sectors = 4096,
				    .dev_major = 7,
				    .dev_minor = 3,
				    .crypt = { .cipher = "aes-xts-plain64",
					       .key_description = "logon:cryptsetup:aa-d0",
					       .key_bytes = 64,
					       .device_offset_sectors = 32768 } };
static const struct dm_table plain_table = { .targets = &linear, .n_targets = 1 };
static const struct dm_table crypt_table = { .targets = &crypted, .n_targets = 1 };

static inline void begin(void)
{
	fake_reset();
	fake_dev_make();
	if (dm_control_open_at(&fake_places, &c, &e))
		abort();
	fake_forget();
}

static inline void end(void)
{
	dm_control_close(c);
	fake_dev_remove();
	fake_reset();
}

/* begin(), and a mapping "vol" that is live */
static inline void begin_with_vol(void)
{
	begin();
	REQUIRE(!dm_create(c, "vol", UUID, &plain_table, 0, DM_UDEV_NO_COOKIE, &e));
	fake_forget();
}

/* One target in a request, at @at: sectors, type, text; *@next is where the next one starts. */
static inline uint32_t put_target(unsigned char *b, uint32_t at, uint32_t start, uint32_t len,
				  const char *type, const char *text)
{
	uint32_t next = (40 + (uint32_t)strlen(text) + 1 + 7) / 8 * 8;

	fake_put(b, (int)at, start);
	fake_put(b, (int)at + 8, len);
	fake_put(b, (int)at + 20, next);
	strcpy((char *)b + at + 24, type);
	strcpy((char *)b + at + 40, text);
	return at + next;
}
