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
	/* Nobody may roll a header back by saying nothing. */
	if (h->newer_seqid && !cli_set(c, OPT_BATCH_MODE) && !isatty(STDIN_FILENO))
		return err_set(&c->err, -EUCLEAN,
			       "The other copy of the header of %s is newer (%llu, not %llu) and "
			       "whole, but can't be used here: --batch-mode overwrites it all the "
			       "same.",
			       c->arg[0], (unsigned long long)h->newer_seqid,
			       (unsigned long long)h->seqid);
	if (h->newer_seqid)
		cli_warn("WARNING: the copy to be overwritten is newer (%llu, not %llu) and whole: "
			 "keyslots that only it has are lost.",
			 (unsigned long long)h->newer_seqid, (unsigned long long)h->seqid);
	r = cli_confirm(c,
			"One copy of the header of %s is about to be overwritten by the "
			"other one.",
			c->arg[0]);
	return r ?: volume_repair(&c->env, &w, h->newer_seqid != 0, &c->err);
}
