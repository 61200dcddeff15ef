// SPDX-License-Identifier: Apache-2.0
// Volumes with several keyslots, for the tests of what changes them.
#pragma once

#include "luks_volume.h"

/* A volume of ours with "first" in keyslot 0, room for @slots. */
static inline bool volume_with(struct volume_file *v, unsigned int slots)
{
	return volume_file_new(v, 2 * MIB) && !format_small(v, slots);
}

/* Add "text" with the key that "first" opens. */
static inline int add_text(struct volume_file *v, const char *text, int keyslot, int *ret_slot)
{
	_cleanup_secret_ struct secret *pass = secret_text(text), *key = NULL;
	struct luks_new_keyslot n = new_slot(pass);
	int r;

	r = unlock_text(v, "first", LUKS_ANY, &key, NULL);
	if (r)
		return r;
	n.keyslot = keyslot;
	return luks_add_keyslot(&v->io, v->h, v->kdf, &n, key, ret_slot, &v->e);
}

static inline int change_text(struct volume_file *v, const char *old, const char *new, int number,
			      bool force, int *ret_slot)
{
	_cleanup_secret_ struct secret *pass = secret_text(new), *key = NULL;
	struct luks_new_keyslot n = new_slot(pass);
	int slot, r;

	r = unlock_text(v, old, LUKS_ANY, &key, &slot);
	if (r)
		return r;
	n.keyslot = number;
	return luks_change_keyslot(&v->io, v->h, v->kdf, slot, &n, key, force, ret_slot, &v->e);
}

static inline bool opens(struct volume_file *v, const char *text)
{
	return unlock_text(v, text, LUKS_ANY, NULL, NULL) == 0;
}
