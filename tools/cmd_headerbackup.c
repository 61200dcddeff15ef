// SPDX-License-Identifier: Apache-2.0
// luksHeaderBackup and luksHeaderRestore: the header with its keyslots, to a file and back.
#include "cli.h"

static int need_file(struct cli *c)
{
	if (!cli_set(c, OPT_HEADER_BACKUP_FILE))
		return err_set(&c->err, -EINVAL, "Option --header-backup-file is required.");
	return cli_need_luks2(c);
}

int cmd_headerbackup(struct cli *c)
{
	const char *file = cli_text(c, OPT_HEADER_BACKUP_FILE);
	struct volume_where w = cli_where(c);
	int r;

	r = need_file(c);
	if (r)
		return r;
	r = volume_backup_header(&c->env, &w, file, NULL, &c->err);
	if (r == -EEXIST) /* its exit code is not that of a busy device */
		return err_set(&c->err, -EINVAL, "Requested header backup file %s already exists.",
			       file);
	return cli_device_error(c, r);
}

/* What is there now that a restore would replace, for the question. */
static int confirm(struct cli *c, const char *file)
{
	_cleanup_luks_ struct luks_header *old = NULL, *new = NULL;
	struct volume_where w = cli_where(c), from = { .device = file };
	const char *device = w.header ?: w.device;

	if (volume_load_header(&c->env, &w, true, &old, NULL))
		return cli_confirm(c,
				   "Device %s does not contain LUKS2 header. Replacing header can "
				   "destroy data on that device.",
				   device);
	if (volume_load_header(&c->env, &from, true, &new, NULL))
		return 0; /* the restore says why */
	return cli_confirm(
		c,
		"Device %s already contains LUKS2 header. Replacing header will destroy existing "
		"keyslots.%s%s",
		device,
		strcmp(old->uuid, new->uuid) != 0
			? "\nThe backup is of another volume: its UUID is not the device's."
			: "",
		old->requirements || old->unknown_requirement[0]
			? "\nThe device's header has requirements (a re-encryption, say): an older "
			  "header may not fit its data."
			: "");
}

int cmd_headerrestore(struct cli *c)
{
	const char *file = cli_text(c, OPT_HEADER_BACKUP_FILE);
	struct volume_where w = cli_where(c);
	int r;

	r = need_file(c);
	r = r ?: confirm(c, file);
	if (!r)
		r = volume_restore_header(&c->env, &w, file, &c->err);
	return r == -ENODEV ? cli_device_error(c, r) : r;
}
