// SPDX-License-Identifier: Apache-2.0
// open, and refresh, which is the same for a mapping that lives.
#include "cli.h"

#include <stdio.h>

struct open_job {
	struct volume_open open;
	int keyslot;
};

static int try_open(struct cli *c, const struct volume_key *k, void *arg)
{
	struct open_job *job = arg;

	job->open.key = *k;
	return volume_open(&c->env, &job->open, &job->keyslot, &c->err);
}

static int open_by_volume_key(struct cli *c, struct open_job *job)
{
	_cleanup_secret_ struct secret *key = NULL;
	_cleanup_luks_ struct luks_header *h = NULL;
	struct volume_key k = { .keyslot = LUKS_ANY };
	size_t bytes;
	int r;

	r = volume_load_header(&c->env, &job->open.where, true, &h, &c->err);
	if (!r)
		r = cli_volume_key_bytes(c, h, &bytes);
	if (!r)
		r = key_read_volume_key(c, bytes, &key);
	if (r)
		return cli_device_error(c, r);
	k.volume_key = key;
	r = try_open(c, &k, job);
	if (r == -EPERM)
		return err_set(&c->err, r, "Volume key does not match the volume.");
	return r;
}

static int open_by_passphrase(struct cli *c, struct open_job *job)
{
	const char *device = job->open.where.device;
	struct key_source src = key_source_old(c, NULL);
	char prompt[256];
	int r;

	snprintf(prompt, sizeof(prompt), "Enter passphrase for %s: ", device);
	src.prompt = prompt;
	/* Nobody should type a passphrase for a device that can't be opened. */
	if (key_is_typed(&src)) {
		_cleanup_luks_ struct luks_header *h = NULL;

		r = volume_load_header(&c->env, &job->open.where, true, &h, &c->err);
		if (r)
			return r;
	} else if (access(job->open.where.header ?: device, R_OK)) {
		return -ENODEV;
	}
	return key_try(c, &src, try_open, job);
}

static struct open_job make_job(const struct cli *c)
{
	return (struct open_job){
		.keyslot = LUKS_ANY,
		.open = {
			.where = cli_where(c),
			.readonly = cli_set(c, OPT_READONLY),
			/* A command ends, and what outlives it in a keyring is any process's of
			 * its uid; the table goes with the mapping. */
			.disable_keyring = cli_set(c, OPT_DISABLE_KEYRING) ||
					   cli_set(c, OPT_KEEP_KEY),
			.allow_null = cli_set(c, OPT_ALLOW_NULL_CIPHER),
			.persistent = cli_set(c, OPT_PERSISTENT),
			.flags = cli_flags(c),
		},
	};
}

static int open_it(struct cli *c, struct open_job *job)
{
	int r;

	if (cli_set(c, OPT_SIZE) || cli_set(c, OPT_DEVICE_SIZE))
		cli_warn("WARNING: the size is the header's; resize is the action for another.");
	r = cli_kdf(c);
	if (r)
		return r;
	r = cli_set(c, OPT_VOLUME_KEY_FILE) ? open_by_volume_key(c, job)
					    : open_by_passphrase(c, job);
	if (!r && job->keyslot != LUKS_ANY)
		cli_verbose(c, "Key slot %d unlocked.", job->keyslot);
	return r;
}

int cmd_open(struct cli *c)
{
	struct open_job job = make_job(c);
	int r;

	r = cli_need_luks2(c);
	if (r)
		return r;
	job.open.test_only = cli_set(c, OPT_TEST_PASSPHRASE);
	job.open.any_digest = cli_set(c, OPT_UNBOUND);
	job.open.shared = cli_set(c, OPT_SHARED);
	job.open.refresh = cli_set(c, OPT_REFRESH);
	if (c->n_args < 2 && !job.open.test_only)
		return err_set(&c->err, -EINVAL,
			       "Command requires device and mapped name as arguments.");
	if (!job.open.test_only)
		job.open.name = cli_mapping_name(c->arg[1]);
	return cli_device_error(c, open_it(c, &job));
}

int cmd_refresh(struct cli *c)
{
	_cleanup_free_ struct volume_status *st = NULL;
	struct open_job job = make_job(c);
	int r;

	r = cli_need_luks2(c);
	if (r)
		return r;
	st = calloc(1, sizeof(*st));
	if (!st)
		return err_set(&c->err, -ENOMEM, "no memory");
	job.open.name = cli_mapping_name(c->arg[0]);
	r = volume_query_status(&c->env, job.open.name, st, &c->err);
	if (r == -ENODEV)
		return err_set(&c->err, r, "Device %s is not active.", job.open.name);
	if (r)
		return r;
	job.open.where.device = st->device;
	job.open.refresh = true;
	return open_it(c, &job);
}
