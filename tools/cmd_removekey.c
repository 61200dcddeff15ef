// SPDX-License-Identifier: Apache-2.0
// luksRemoveKey: the keyslot that a passphrase opens.
#include "cli.h"

static int try_remove(struct cli *c, const struct volume_key *k, void *arg)
{
	struct volume_where w = cli_where(c);
	int *slot = arg, r;

	r = volume_remove_key(&c->env, &w, k, false, slot, &c->err);
	if (r != -EBUSY)
		return r;
	r = cli_confirm(c, "This is the last keyslot. Without it the data on %s is lost.",
			c->arg[0]);
	if (r)
		return -ECANCELED; /* no retry */
	return volume_remove_key(&c->env, &w, k, true, slot, &c->err);
}

int cmd_removekey(struct cli *c)
{
	struct key_source src = key_source_old(c, "Enter passphrase to be deleted: ");
	int r, slot;

	if (c->n_args > 1)
		src.file = c->arg[1];
	r = cli_need_luks2(c);
	if (!r)
		r = cli_kdf(c);
	if (!r)
		r = key_try(c, &src, try_remove, &slot);
	if (r == -ECANCELED)
		return -EPERM;
	if (r)
		return cli_device_error(c, r);
	cli_verbose(c, "Key slot %d unlocked.\nKey slot %d removed.", slot, slot);
	return 0;
}
