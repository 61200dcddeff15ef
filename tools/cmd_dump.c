// SPDX-License-Identifier: Apache-2.0
// luksDump: the header as text or JSON; keys by dump_key.c.
#include "cli.h"

#include <stdio.h>

static int dump_json(struct cli *c, const struct luks_header *h)
{
	_cleanup_free_ char *text = NULL;
	int r;

	if (h->version != 2)
		return err_set(&c->err, -EINVAL,
			       "Dump operation is not supported for this device type.");
	r = luks_json_text(h, &text, &c->err);
	if (!r)
		fputs(text, stdout);
	return r;
}

int cmd_dump(struct cli *c)
{
	_cleanup_luks_ struct luks_header *h = NULL;
	int r;

	if (cli_set(c, OPT_DUMP_VOLUME_KEY))
		return dump_volume_key(c);
	if (cli_set(c, OPT_UNBOUND))
		return dump_unbound_key(c);
	r = cli_load(c, &h);
	if (r)
		return r;
	if (cli_set(c, OPT_DUMP_JSON_METADATA))
		return dump_json(c, h);
	if (h->version == 2)
		dump_luks2(h);
	else
		dump_luks1(c->arg[0], h);
	return 0;
}
