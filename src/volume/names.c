// SPDX-License-Identifier: Apache-2.0
// What a mapping is called and flagged: dm UUIDs as cryptsetup writes them, flags of header and
// table.
#include "internal.h"

#include <stdio.h>

#define PREFIX "CRYPT-"
#define PREFIX_LUKS2 "CRYPT-LUKS2-"
#define UUID_HEX 32

/* The UUID's text without its dashes. */
static void strip_dashes(const char *uuid, char *ret, size_t cap)
{
	size_t n = 0;

	for (; *uuid && n + 1 < cap; uuid++)
		if (*uuid != '-')
			ret[n++] = *uuid;
	ret[n] = '\0';
}

void volume_dm_uuid(const char *uuid, const char *name, char ret[DM_DEVICE_UUID_MAX + 1],
		    bool *ret_cut)
{
	char hex[LUKS_UUID_BYTES];

	strip_dashes(uuid, hex, sizeof(hex));
	*ret_cut = snprintf(ret, DM_DEVICE_UUID_MAX + 1, PREFIX_LUKS2 "%s-%s", hex, name) >
		   DM_DEVICE_UUID_MAX;
}

bool volume_dm_uuid_is(const char *dm_uuid, const char *uuid)
{
	char hex[LUKS_UUID_BYTES], want[sizeof(PREFIX_LUKS2) + LUKS_UUID_BYTES + 1];

	strip_dashes(uuid, hex, sizeof(hex));
	if (!hex[0])
		return false;
	snprintf(want, sizeof(want), PREFIX_LUKS2 "%s-", hex);
	return !strncmp(dm_uuid, want, strlen(want));
}

static bool is_hex32(const char *s)
{
	return strspn(s, "0123456789abcdefABCDEF") >= UUID_HEX && s[UUID_HEX] == '-';
}

void volume_dm_uuid_split(const char *dm_uuid, char ret_type[16], char ret_uuid[LUKS_UUID_BYTES])
{
	const char *type = dm_uuid + sizeof(PREFIX) - 1, *rest;

	memset(ret_uuid, 0, LUKS_UUID_BYTES);
	text_copy(ret_type, 16, "n/a");
	if (strncmp(dm_uuid, PREFIX, sizeof(PREFIX) - 1))
		return;
	rest = strchr(type, '-');
	if (!rest || rest == type || rest - type > 15)
		return;
	memset(ret_type, 0, 16);
	memcpy(ret_type, type, (size_t)(rest - type));
	if (is_hex32(++rest))
		snprintf(ret_uuid, LUKS_UUID_BYTES, "%.8s-%.4s-%.4s-%.4s-%.12s", rest, rest + 8,
			 rest + 12, rest + 16, rest + 20);
}

/* no-journal has no counterpart: it is dm-integrity's. */
static const struct {
	uint32_t luks, dm;
} flag_pairs[] = {
	{ LUKS_FLAG_ALLOW_DISCARDS, DM_CRYPT_ALLOW_DISCARDS },
	{ LUKS_FLAG_SAME_CPU_CRYPT, DM_CRYPT_SAME_CPU_CRYPT },
	{ LUKS_FLAG_SUBMIT_FROM_CRYPT_CPUS, DM_CRYPT_SUBMIT_FROM_CRYPT_CPUS },
	{ LUKS_FLAG_NO_READ_WORKQUEUE, DM_CRYPT_NO_READ_WORKQUEUE },
	{ LUKS_FLAG_NO_WRITE_WORKQUEUE, DM_CRYPT_NO_WRITE_WORKQUEUE },
	{ LUKS_FLAG_HIGH_PRIORITY, DM_CRYPT_HIGH_PRIORITY },
};

uint32_t volume_flags_to_dm(uint32_t luks_flags)
{
	uint32_t dm = 0;

	for (size_t i = 0; i < ARRAY_SIZE(flag_pairs); i++)
		if (luks_flags & flag_pairs[i].luks)
			dm |= flag_pairs[i].dm;
	return dm;
}

uint32_t volume_flags_from_dm(uint32_t dm_flags)
{
	uint32_t luks = 0;

	for (size_t i = 0; i < ARRAY_SIZE(flag_pairs); i++)
		if (dm_flags & flag_pairs[i].dm)
			luks |= flag_pairs[i].luks;
	return luks;
}

/* None of them changes what is on disk or who can read it; so, as in cryptsetup, an old kernel
 * opens the volume without them. */
uint32_t volume_drop_flags(const struct volume_env *env, uint32_t dm_flags, uint32_t supported)
{
	uint32_t lacking = dm_flags & ~supported;

	for (size_t i = 0; i < ARRAY_SIZE(flag_pairs); i++)
		if (lacking & flag_pairs[i].dm)
			volume_warn(env,
				    "this kernel's crypt target does not know %s; the volume is "
				    "mapped without it",
				    dm_crypt_flag_name(flag_pairs[i].dm));
	return dm_flags & supported;
}
