// SPDX-License-Identifier: Apache-2.0
// Key rotation: the Secret holds the new passphrase and the previous one. Add the new, prove it,
// then kill the old; a cut at any point leaves at least one that opens, and the next stage goes on
// from there.
#include "node.h"

/* The keyslot that a passphrase opens; -EPERM: none. */
static int slot_of(struct node_stage *s, const struct secret *passphrase, int *ret, struct err *e)
{
	struct volume_open o = { .where.device = s->backing,
				 .key = { .passphrase = passphrase, .keyslot = LUKS_ANY },
				 .test_only = true,
				 .shared = true,
				 .check = node_check(s) };

	return volume_open(&s->call->driver->env, &o, ret, e);
}

static int add_new(struct node_stage *s, int *ret_slot, struct err *e)
{
	struct csi_driver *d = s->call->driver;
	struct volume_where w = { .device = s->backing };
	struct volume_key old = { .passphrase = s->keys.previous, .keyslot = LUKS_ANY };
	struct luks_new_keyslot n = { .keyslot = LUKS_ANY,
				      .passphrase = s->keys.value,
				      .af_hash = s->keys.hash };
	int r;

	r = node_header_backup(s, e);
	r = r ?: crypto_pbkdf_fill(d->env.kdf, &s->keys.pbkdf, &n.pbkdf, e);
	return r ?: volume_add_key(&d->env, &w, &old, &n, ret_slot, e);
}

static int kill_old(struct node_stage *s, int old_slot, struct err *e)
{
	struct volume_where w = { .device = s->backing };
	struct volume_key proof = { .passphrase = s->keys.value, .keyslot = LUKS_ANY };
	int r;

	r = node_header_backup(s, e);
	return r ?: volume_kill_slot(&s->call->driver->env, &w, &proof, old_slot, false, e);
}

/* Rotated before, maybe by a stage that was cut in the middle of the kill: its keyslot opens no
 * more, but is listed still. */
static enum csi_code finish_kill(struct node_stage *s)
{
	struct volume_where w = { .device = s->backing };
	struct err e = { 0 };
	size_t n;

	if (volume_finish_kills(&s->call->driver->env, &w, &n, &e))
		return csi_fail_err(s->call, &e, "volume \"%s\": the key can't be rotated",
				    s->volume.id);
	if (n)
		csi_logf(CSI_LOG_INFO, "key_rotated",
			 "volume %s: a keyslot that was wiped before is gone", s->volume.id);
	return CSI_OK;
}

enum csi_code node_rotate(struct node_stage *s)
{
	int new_slot, old_slot, r_new, r_old;
	struct err e = { 0 };
	int r;

	if (secret_equal(s->keys.value, s->keys.previous))
		return CSI_OK;
	r_new = slot_of(s, s->keys.value, &new_slot, &e);
	if (r_new && r_new != -EPERM)
		return csi_fail_err(s->call, &e, "volume \"%s\"", s->volume.id);
	r_old = slot_of(s, s->keys.previous, &old_slot, &e);
	if (r_old && r_old != -EPERM)
		return csi_fail_err(s->call, &e, "volume \"%s\"", s->volume.id);
	if (r_new && r_old)
		return csi_fail(s->call, CSI_UNAUTHENTICATED,
				"volume \"%s\": neither CRYPTO_KEY_VALUE nor "
				"CRYPTO_KEY_VALUE_PREVIOUS opens a keyslot",
				s->volume.id);
	if (r_old)
		return finish_kill(s);
	r = r_new ? add_new(s, &new_slot, &e) : 0;
	if (!r && r_new)
		r = slot_of(s, s->keys.value, &new_slot,
			    &e); /* proven from the disk, not from what was just written */
	if (!r && new_slot != old_slot)
		r = kill_old(s, old_slot, &e);
	if (r)
		return csi_fail_err(s->call, &e, "volume \"%s\": the key can't be rotated",
				    s->volume.id);
	csi_logf(CSI_LOG_INFO, "key_rotated", "volume %s: keyslot %d is in use, keyslot %d is gone",
		 s->volume.id, new_slot, old_slot);
	return CSI_OK;
}
