// SPDX-License-Identifier: Apache-2.0
// close: remove a mapping, at once or when its last user goes.
#include "cli.h"

int cmd_close(struct cli *c)
{
	const char *name = cli_mapping_name(c->arg[0]);
	uint32_t flags = 0;
	int r;

	if (cli_set(c, OPT_DEFERRED))
		flags |= VOLUME_CLOSE_DEFERRED;
	if (cli_set(c, OPT_CANCEL_DEFERRED))
		flags |= VOLUME_CLOSE_CANCEL_DEFERRED;
	r = volume_close(&c->env, name, flags, &c->err);
	if (r == -ENODEV)
		return err_set(&c->err, r, "Device %s is not active.", name);
	/* Where there is no device-mapper there is no such mapping. */
	return r == -EHOSTDOWN ? -ENODEV : r;
}
