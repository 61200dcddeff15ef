// SPDX-License-Identifier: Apache-2.0
// luksFormat: options into struct volume_format; the questions before anything is lost.
#include "cli.h"

#include <stdio.h>

#include <cryptvol/fs.h>

/* A detached header in a file that isn't there yet: it is made when all else is ready. */
static bool header_is_new(const struct cli *c)
{
	const char *path = cli_text(c, OPT_HEADER);

	return path && access(path, F_OK) && errno == ENOENT;
}

static int warn_and_confirm(struct cli *c)
{
	const char *device = cli_text(c, OPT_HEADER) ?: c->arg[0];
	struct fs_signatures found;
	int r;

	if (header_is_new(c)) {
		found.n = 0;
		r = cli_confirm(c, "Header file %s does not exist. It is going to be made.",
				device);
	} else {
		r = cli_device_error(c, volume_probe(&c->env, device, &found, &c->err));
	}
	if (r)
		return r;
	for (size_t i = 0; i < found.n && !cli_set(c, OPT_BATCH_MODE); i++)
		cli_warn("WARNING: Device %s already contains a '%s' %s signature.", device,
			 found.found[i].type,
			 found.found[i].partition_table ? "partition" : "superblock");
	r = cli_confirm(c, "This will overwrite data on %s irrevocably.", device);
	return r ? -EINVAL : 0; /* cryptsetup's exit status for "no" */
}

static uint32_t key_bytes(const struct cli *c)
{
	const char *cipher = cli_text(c, OPT_CIPHER);

	if (cli_set(c, OPT_KEY_SIZE))
		return cli_u32(c, OPT_KEY_SIZE) / 8
			       ?: 32; /* 0 is not the same as nothing, as in cryptsetup */
	return !cipher || strstr(cipher, "xts") ? 64 : 32;
}

/* With the header elsewhere nothing lies before the data that could be aligned: the number is their
 * offset, as in cryptsetup. */
static void place_data(struct cli *c, struct luks_format *f)
{
	uint64_t align = c->opt[OPT_ALIGN_PAYLOAD].number * SECTOR_SIZE_BYTES;

	f->data_offset_bytes = c->opt[OPT_OFFSET].number * SECTOR_SIZE_BYTES;
	f->alignment_bytes = align;
	if (cli_set(c, OPT_HEADER) && align)
		f->data_offset_bytes = align;
}

static int fill(struct cli *c, struct volume_format *f)
{
	*f = (struct volume_format){
		.where = cli_where(c),
		.sector_size_auto = !cli_set(c, OPT_SECTOR_SIZE),
		.luks = {
			.cipher = cli_text(c, OPT_CIPHER),
			.key_bytes = key_bytes(c),
			.hash = cli_text(c, OPT_HASH),
			.sector_size_bytes = cli_u32(c, OPT_SECTOR_SIZE),
			.label = cli_text(c, OPT_LABEL),
			.subsystem = cli_text(c, OPT_SUBSYSTEM),
			.uuid = cli_text(c, OPT_UUID),
			.header_bytes = c->opt[OPT_LUKS2_METADATA_SIZE].number,
			.keyslots_bytes = c->opt[OPT_LUKS2_KEYSLOTS_SIZE].number,
			.allow_null = cli_set(c, OPT_ALLOW_NULL_CIPHER),
		},
	};
	place_data(c, &f->luks);
	return cli_new_keyslot(c, cli_keyslot(c, OPT_KEY_SLOT), &f->luks.first);
}

static int read_passphrase(struct cli *c, struct secret **ret)
{
	struct key_source src = key_source_old(c, NULL);
	char prompt[256];

	if (c->n_args > 1 && cli_set(c, OPT_KEY_FILE))
		cli_warn("Option --key-file takes precedence over specified key file argument.");
	else if (c->n_args > 1)
		src.file = c->arg[1];
	snprintf(prompt, sizeof(prompt), "Enter passphrase for %s: ", c->arg[0]);
	src.prompt = prompt;
	src.verify = cli_set(c, OPT_VERIFY_PASSPHRASE) || !cli_set(c, OPT_BATCH_MODE);
	return key_read(c, &src, ret, &c->err);
}

static int format(struct cli *c, struct volume_format *f)
{
	_cleanup_secret_ struct secret *pass = NULL, *key = NULL;
	struct cli_progress progress = { 0 };
	int r;

	r = warn_and_confirm(c);
	if (!r)
		r = read_passphrase(c, &pass);
	if (!r && cli_set(c, OPT_VOLUME_KEY_FILE))
		r = key_read_volume_key(c, f->luks.key_bytes, &key);
	if (r)
		return r;
	f->luks.first.passphrase = pass;
	f->luks.volume_key = key;
	c->env.progress = cli_progress_show;
	c->env.arg = &progress;
	r = cli_device_error(c, volume_format(&c->env, f, &c->err));
	c->env.arg = NULL;
	cli_progress_end(&progress);
	if (!r)
		cli_verbose(c, "Key slot %d created.",
			    f->luks.first.keyslot == LUKS_ANY ? 0 : f->luks.first.keyslot);
	return r;
}

int cmd_format(struct cli *c)
{
	struct volume_format f;
	int r;

	r = cli_need_luks2(c);
	if (!r)
		r = fill(c, &f);
	return r ?: format(c, &f);
}
