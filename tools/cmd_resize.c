// SPDX-License-Identifier: Apache-2.0
// resize: a passphrase is read only where the table doesn't have the key.
#include "cli.h"

#include <stdio.h>

struct resize_job {
	const char *name;
	struct volume_resize resize;
};

static int try_resize(struct cli *c, const struct volume_key *k, void *arg)
{
	struct resize_job *job = arg;
	int r;

	job->resize.key = k;
	r = volume_resize(&c->env, job->name, &job->resize, &c->err);
	job->resize.key = NULL;
	return r;
}

static int resize_by_volume_key(struct cli *c, struct resize_job *job)
{
	_cleanup_free_ struct volume_status *st = calloc(1, sizeof(*st));
	_cleanup_secret_ struct secret *key = NULL;
	struct volume_key k = { .keyslot = LUKS_ANY };
	size_t bytes;
	int r;

	if (!st)
		return err_set(&c->err, -ENOMEM, "no memory");
	r = volume_query_status(&c->env, job->name, st, &c->err);
	if (r)
		return r;
	bytes = cli_u32(c, OPT_KEY_SIZE) ? cli_u32(c, OPT_KEY_SIZE) / 8 : st->key_bytes;
	r = key_read_volume_key(c, bytes, &key);
	if (r)
		return r;
	k.volume_key = key;
	r = try_resize(c, &k, job);
	if (r == -EPERM)
		return err_set(&c->err, r, "Volume key does not match the volume.");
	return r;
}

static int resize_by_passphrase(struct cli *c, struct resize_job *job)
{
	struct key_source src = key_source_old(c, NULL);
	char prompt[256];

	snprintf(prompt, sizeof(prompt), "Enter passphrase for %s: ", job->name);
	src.prompt = prompt;
	return key_try(c, &src, try_resize, job);
}

static int resize(struct cli *c, struct resize_job *job)
{
	bool needs_key;
	int r;

	r = volume_resize_needs_key(&c->env, job->name, &needs_key, &c->err);
	if (r)
		return r;
	if (!needs_key)
		return volume_resize(&c->env, job->name, &job->resize, &c->err);
	r = cli_kdf(c);
	if (r)
		return r;
	return cli_set(c, OPT_VOLUME_KEY_FILE) ? resize_by_volume_key(c, job)
					       : resize_by_passphrase(c, job);
}

int cmd_resize(struct cli *c)
{
	struct resize_job job = {
		.name = cli_mapping_name(c->arg[0]),
		.resize = {
			.size_sectors = cli_set(c, OPT_DEVICE_SIZE) ?
						c->opt[OPT_DEVICE_SIZE].number >> SECTOR_SHIFT :
						c->opt[OPT_SIZE].number,
			.header = cli_text(c, OPT_HEADER),
		},
	};
	int r;

	r = resize(c, &job);
	if (r == -ENODEV)
		return err_set(&c->err, r, "Device %s is not active.", job.name);
	return r == -EHOSTDOWN ? -ENODEV : r;
}
