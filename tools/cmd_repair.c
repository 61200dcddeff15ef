// SPDX-License-Identifier: Apache-2.0
// repair: one header copy from the other, where opening refused to do it by itself.
#include "cli.h"

int cmd_repair(struct cli *c)
{
	_cleanup_luks_ struct luks_header *h = NULL;
	struct volume_where w = cli_where(c);
	int r;

	r = cli_need_luks2(c);
	c->env.despite_foreign = true; /* this verb is the person's say */
	if (!r)
		r = cli_load(c, &h);
	if (r)
		return r;
	if (!h->needs_recovery && !h->seqid_conflict) {
		cli_verbose(c, "No known problems detected for LUKS header.");
		return 0;
	}
	r = cli_confirm(c,
			"One copy of the header of %s is about to be overwritten by the "
			"other one.",
			c->arg[0]);
	return r ?: volume_repair(&c->env, &w, &c->err);
}
