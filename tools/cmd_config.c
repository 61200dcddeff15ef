// SPDX-License-Identifier: Apache-2.0
// config: what can be set in the header without a key.
#include "cli.h"

static const struct {
	const char *name;
	enum luks_priority priority;
} priorities[] = {
	{ "ignore", LUKS_PRIORITY_IGNORE },
	{ "normal", LUKS_PRIORITY_NORMAL },
	{ "prefer", LUKS_PRIORITY_PREFER },
};

int cmd_config(struct cli *c)
{
	struct volume_where w = cli_where(c);
	struct volume_config config = {
		.label = cli_text(c, OPT_LABEL),
		.subsystem = cli_text(c, OPT_SUBSYSTEM),
		.keyslot = cli_keyslot(c, OPT_KEY_SLOT),
		.set_priority = cli_set(c, OPT_PRIORITY),
	};
	int r;

	r = cli_need_luks2(c);
	if (r)
		return r;
	if (!config.label && !config.subsystem && !config.set_priority)
		return err_set(&c->err, -EINVAL,
			       "Option --priority, --label or --subsystem is missing.");
	for (size_t i = 0; i < ARRAY_SIZE(priorities); i++)
		if (config.set_priority && !strcmp(priorities[i].name, cli_text(c, OPT_PRIORITY)))
			config.priority = priorities[i].priority;
	return cli_device_error(c, volume_set_config(&c->env, &w, &config, &c->err));
}
