// SPDX-License-Identifier: Apache-2.0
// luksChangeKey, and luksConvertKey: the same with the passphrase that is there.
#include "cli.h"

struct change_job {
	bool convert;
	struct luks_new_keyslot n;
	int keyslot;
};

static int change(struct cli *c, const struct volume_key *k, struct change_job *job,
		  const struct secret *pass)
{
	struct volume_where w = cli_where(c);

	job->n.passphrase = pass;
	return volume_change_key(&c->env, &w, k, &job->n, cli_set(c, OPT_FORCE_IN_PLACE),
				 &job->keyslot, &c->err);
}

static int try_change(struct cli *c, const struct volume_key *k, void *arg)
{
	const char *file = cli_text(c, OPT_NEW_KEYFILE) ?: c->arg[1];
	struct key_source src = key_source_new(c, file, "Enter new passphrase: ");
	_cleanup_secret_ struct secret *pass = NULL, *unused = NULL;
	struct volume_where w = cli_where(c);
	struct volume_key one = *k;
	struct change_job *job = arg;
	int r;

	if (job->convert)
		return change(c, k, job, k->passphrase);
	if (key_is_typed(&src)) {
		/* Nobody should type a new passphrase before the old one is proven. */
		r = volume_unlock_key(&c->env, &w, k, false, &unused, &one.keyslot, &c->err);
		if (r)
			return r;
	}
	r = key_read(c, &src, &pass, &c->err);
	if (r == -EPERM) /* the new one was mistyped: no reason to ask for the old one again */
		return err_set(&c->err, -EKEYREJECTED, "Passphrases do not match.");
	return r ?: change(c, &one, job, pass);
}

static int run(struct cli *c, struct change_job *job)
{
	const char *prompt = job->convert ? "Enter passphrase for keyslot to be converted: "
					  : "Enter passphrase to be changed: ";
	struct key_source src = key_source_old(c, prompt);
	int r;

	r = cli_need_luks2(c);
	if (!r)
		r = cli_new_keyslot(c, LUKS_ANY, &job->n);
	if (!r)
		r = key_try(c, &src, try_change, job);
	if (r == -EKEYREJECTED)
		r = -EPERM;
	if (r)
		return cli_device_error(c, r);
	cli_verbose(c, "Key slot %d unlocked.\nKey slot %d created.", job->keyslot, job->keyslot);
	return 0;
}

int cmd_changekey(struct cli *c)
{
	struct change_job job = { .convert = false };

	return run(c, &job);
}

int cmd_convertkey(struct cli *c)
{
	struct change_job job = { .convert = true };

	return run(c, &job);
}
