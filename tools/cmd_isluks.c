// SPDX-License-Identifier: Apache-2.0
// isLuks: the exit status is the answer.
#include "cli.h"

static bool is_a_device_error(int r)
{
	return r == -ENODEV || r == -ENOTBLK || r == -EACCES || r == -ENOMEM;
}

/* Callers format what isn't LUKS, so what is LUKS is said to be, even where we could only look at
 * it.
 */
int cmd_isluks(struct cli *c)
{
	struct volume_where w = cli_where(c);
	unsigned int version = 0, want;
	int r;

	if (c->type && strcmp(c->type, "luks") != 0 && strcmp(c->type, "luks1") != 0 &&
	    strcmp(c->type, "luks2") != 0)
		return err_set(&c->err, -EINVAL, "Type %s is not a LUKS type.", c->type);
	r = volume_check_luks(&c->env, &w, &version, &c->err);
	want = !c->type || !strcmp(c->type, "luks") ? version : !strcmp(c->type, "luks1") ? 1 : 2;
	if (!r && version == want)
		return 0;
	if (r)
		r = cli_device_error(c, r);
	if (is_a_device_error(r))
		return r;
	err_clear(&c->err);
	return -EINVAL;
}
