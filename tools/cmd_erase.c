// SPDX-License-Identifier: Apache-2.0
// erase: all keyslots go, and with them the data.
#include "cli.h"

int cmd_erase(struct cli *c)
{
	_cleanup_luks_ struct luks_header *h = NULL;
	struct volume_where w = cli_where(c);
	int r;

	r = cli_need_luks2(c);
	if (!r)
		r = cli_load(c, &h);
	if (!r)
		r = cli_confirm(c, "All keyslots on %s will be erased: the data is lost for good.",
				c->arg[0]);
	if (!r)
		r = volume_erase(&c->env, &w, &c->err);
	if (r)
		return r;
	for (int id = 0; id < (int)LUKS_KEYSLOTS_MAX; id++)
		if (luks_find_keyslot(h, id))
			cli_verbose(c, "Key slot %d removed.", id);
	return 0;
}
