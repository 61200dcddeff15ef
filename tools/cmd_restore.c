// SPDX-License-Identifier: Apache-2.0
// restore: a backup becomes an image file, or overwrites a device.
#include "cli.h"

#include <cryptvol/backup.h>

/* Looked at before anything is asked or written; a device is claimed again while it is written. */
static int check_target(struct cli *c, const char *target)
{
	_cleanup_close_ int held = -1;
	int r;

	r = volume_hold_idle(target, &held, &c->err);
	if (r == -ENODEV) { /* it will be made */
		err_clear(&c->err);
		return 0;
	}
	return r ?: cli_confirm(c, "This will overwrite what is on %s.", target);
}

int cmd_restore(struct cli *c)
{
	const char *dir = c->arg[0], *volume = c->arg[1], *name = c->arg[2], *target = c->arg[3];
	bool overwrite = cli_set(c, OPT_OVERWRITE);
	struct cli_progress progress = { 0 };
	struct backup_watch watch = { .progress = cli_progress_show, .arg = &progress };
	struct backup_info info;
	int r;

	r = backup_read(dir, volume, name, NULL, &info, &c->err);
	if (!r && overwrite)
		r = check_target(c, target);
	if (r)
		return r;
	r = backup_restore(dir, volume, name, target, overwrite, 0, &watch, &c->err);
	cli_progress_end(&progress);
	if (r == -EEXIST)
		return err_set(&c->err, r,
			       "%s already exists: --overwrite option is for devices and files "
			       "that may be written over.",
			       target);
	return r;
}
