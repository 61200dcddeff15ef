// SPDX-License-Identifier: Apache-2.0
// luksAddKey: the old key first and proven, then the new one is asked for.
#include "cli.h"

struct unlock_job {
	struct secret *key;
	int keyslot;
};

static int unlock(struct cli *c, const struct volume_key *k, void *arg)
{
	struct volume_where w = cli_where(c);
	struct unlock_job *job = arg;
	struct volume_key one = *k;

	/* With --new-key-slot, --key-slot is the keyslot of the old passphrase. */
	if (!cli_set(c, OPT_NEW_KEY_SLOT))
		one.keyslot = LUKS_ANY;
	return volume_unlock_key(&c->env, &w, &one, false, &job->key, &job->keyslot, &c->err);
}

/* The volume key: by passphrase, from a file, or, unbound, a new one. */
static int get_key(struct cli *c, const struct luks_header *h, struct secret **ret)
{
	struct key_source src = key_source_old(c, "Enter any existing passphrase: ");
	struct unlock_job job = { 0 };
	size_t bytes;
	int r;

	if (cli_set(c, OPT_UNBOUND) && !cli_set(c, OPT_VOLUME_KEY_FILE)) {
		if (!cli_u32(c, OPT_KEY_SIZE))
			return err_set(&c->err, -EINVAL,
				       "Key size is required with --unbound option.");
		return secret_random(cli_u32(c, OPT_KEY_SIZE) / 8, ret, &c->err);
	}
	if (cli_set(c, OPT_VOLUME_KEY_FILE)) {
		r = cli_volume_key_bytes(c, h, &bytes);
		return r ?: key_read_volume_key(c, bytes, ret);
	}
	r = key_try(c, &src, unlock, &job);
	if (r)
		return r;
	cli_verbose(c, "Key slot %d unlocked.", job.keyslot);
	*ret = job.key;
	return 0;
}

static int add(struct cli *c, const struct luks_header *h, int slot)
{
	const char *file = cli_text(c, OPT_NEW_KEYFILE) ?: c->arg[1];
	struct key_source src = key_source_new(c, file, "Enter new passphrase for key slot: ");
	_cleanup_secret_ struct secret *key = NULL, *pass = NULL;
	struct volume_key k = { .keyslot = LUKS_ANY };
	struct volume_where w = cli_where(c);
	struct luks_new_keyslot n;
	int r;

	r = cli_new_keyslot(c, slot, &n);
	if (!r)
		r = get_key(c, h, &key);
	if (!r)
		r = key_read(c, &src, &pass, &c->err);
	if (r)
		return r;
	k.volume_key = key;
	n.passphrase = pass;
	r = volume_add_key(&c->env, &w, &k, &n, &slot, &c->err);
	if (r == -EPERM)
		return err_set(&c->err, r, "Volume key does not match the volume.");
	if (!r)
		cli_verbose(c, "Key slot %d created.", slot);
	return r;
}

int cmd_addkey(struct cli *c)
{
	_cleanup_luks_ struct luks_header *h = NULL;
	int slot = cli_keyslot(c, cli_set(c, OPT_NEW_KEY_SLOT) ? OPT_NEW_KEY_SLOT : OPT_KEY_SLOT);
	int r;

	r = cli_need_luks2(c);
	if (!r)
		r = cli_kdf(c);
	if (!r)
		r = cli_load(c, &h);
	if (!r)
		r = luks_check_usable(h, &c->err);
	if (r)
		return r;
	/* Exit status and sentence are what callers of cryptsetup look for. */
	if (slot != LUKS_ANY && luks_find_keyslot(h, slot))
		return err_set(&c->err, -EINVAL, "Key slot %d is full, please select another one.",
			       slot);
	if (c->n_args > 1 && cli_set(c, OPT_NEW_KEYFILE))
		return err_set(&c->err, -EINVAL,
			       "The new key file is given twice: as argument and by "
			       "--new-keyfile.");
	return add(c, h, slot);
}
