// SPDX-License-Identifier: Apache-2.0
// isLuks: the exit status is the answer.
#include "cli.h"

static bool is_a_device_error(int r)
{
	return r == -ENODEV || r == -ENOTBLK || r == -EACCES || r == -ENOMEM;
}

int cmd_isluks(struct cli *c)
{
	_cleanup_luks_ struct luks_header *h = NULL;
	int r;

	if (c->type && strcmp(c->type, "luks") != 0 && strcmp(c->type, "luks1") != 0 &&
	    strcmp(c->type, "luks2") != 0)
		return err_set(&c->err, -EINVAL, "Type %s is not a LUKS type.", c->type);
	r = cli_load(c, &h);
	if (!r || is_a_device_error(r))
		return r;
	err_clear(&c->err);
	return -EINVAL;
}
