// SPDX-License-Identifier: Apache-2.0
// luksUUID: print the UUID, or set it.
#include "cli.h"

#include <stdio.h>

int cmd_uuid(struct cli *c)
{
	_cleanup_luks_ struct luks_header *h = NULL;
	struct volume_where w = cli_where(c);
	struct volume_config config = { .uuid = cli_text(c, OPT_UUID) };
	int r;

	r = cli_load(c, &h);
	if (r)
		return r;
	if (!config.uuid) {
		printf("%s\n", CLI_SHOWN(h->uuid));
		return 0;
	}
	r = cli_confirm(c,
			"Device %s has a UUID. What refers to it will not find the device "
			"by the new one.",
			c->arg[0]);
	if (r)
		return r;
	return volume_set_config(&c->env, &w, &config, &c->err);
}
