// SPDX-License-Identifier: Apache-2.0
// luksKillSlot: by number. A remaining passphrase is asked for, so that nobody locks himself out.
#include "cli.h"

struct kill_job {
	int slot;
	bool last;
};

/* @k NULL: nothing to prove. */
static int try_kill(struct cli *c, const struct volume_key *k, void *arg)
{
	const struct kill_job *job = arg;
	struct volume_where w = cli_where(c);
	int r;

	if (k && job->last) {
		_cleanup_secret_ struct secret *unused = NULL;
		int slot;

		/* No other keyslot is left to prove: its own passphrase has to open it. */
		r = volume_unlock_key(&c->env, &w, k, false, &unused, &slot, &c->err);
		if (r)
			return r;
		k = NULL;
	}
	r = volume_kill_slot(&c->env, &w, k, job->slot, job->last, &c->err);
	if (r == -EPERM)
		return err_set(&c->err, r, "No key available with this passphrase.");
	return r;
}

static bool is_last(const struct luks_header *h, int slot)
{
	for (size_t i = 0; i < h->n_digests; i++)
		if (h->digests[i].segments && h->digests[i].keyslots & 1u << slot)
			return h->digests[i].keyslots == 1u << slot;
	return false;
}

static int kill_slot(struct cli *c, struct kill_job *job)
{
	struct key_source src = key_source_old(c, job->last ? "Enter passphrase to be deleted: "
							    : "Enter any remaining passphrase: ");
	int r;

	if (job->last) {
		r = cli_confirm(c, "This is the last keyslot. Without it the data on %s is lost.",
				c->arg[0]);
		if (r)
			return r;
	}
	if (cli_set(c, OPT_BATCH_MODE) && key_is_typed(&src))
		return try_kill(c, NULL, job);
	r = cli_kdf(c);
	if (!r)
		r = key_try(c, &src, try_kill, job);
	/* cryptsetup does without the passphrase where its standard input is empty. */
	if (r != -ENODATA || (src.file && strcmp(src.file, "-") != 0))
		return r;
	if (job->last && !cli_set(c, OPT_BATCH_MODE))
		return err_set(
			&c->err, r,
			"Keyslot %d is the last one, and nothing proves that it is meant: its "
			"passphrase or --batch-mode does.",
			job->slot);
	cli_report(c, r);
	return try_kill(c, NULL, job);
}

int cmd_killslot(struct cli *c)
{
	_cleanup_luks_ struct luks_header *h = NULL;
	struct kill_job job;
	uint32_t number;
	int r;

	r = cli_need_luks2(c);
	if (r)
		return r;
	if (text_parse_u32(c->arg[1], &number) || number >= LUKS_KEYSLOTS_MAX)
		return err_set(&c->err, -EINVAL,
			       "Key slot %s is invalid, please select between 0 and 31.",
			       c->arg[1]);
	r = cli_load(c, &h);
	if (!r)
		r = luks_check_usable(h, &c->err);
	if (r)
		return r;
	job = (struct kill_job){ .slot = (int)number, .last = is_last(h, (int)number) };
	if (!luks_find_keyslot(h, job.slot))
		return err_set(&c->err, -ENOENT, "Keyslot %d is not active.", job.slot);
	cli_verbose(c, "Keyslot %d is selected for deletion.", job.slot);
	r = kill_slot(c, &job);
	if (!r)
		cli_verbose(c, "Key slot %d removed.", job.slot);
	return r;
}
