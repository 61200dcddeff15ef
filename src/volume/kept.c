// SPDX-License-Identifier: Apache-2.0
// Kept keys end with their mappings, whoever closed those.
#include "internal.h"

/* What can't be asked is taken to live: a key that is revoked in error is lost. */
static bool lives(void *arg, const char *dm_name, const char *dm_uuid)
{
	char instance[DM_INSTANCE_MAX];
	int r = dm_query_instance(arg, dm_name, instance, NULL);

	return r ? r != -ENODEV : !strcmp(instance, dm_uuid);
}

int volume_reap_kept(struct dm_control *dm, struct err *e)
{
	return keyring_reap_kept(lives, dm, e);
}
