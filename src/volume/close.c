// SPDX-License-Identifier: Apache-2.0
// Close: the mapping goes, then its kept key, then what stood below it for integrity.
#include "internal.h"

#include <stdio.h>

#define CRYPT_PREFIX "CRYPT-"

/* cryptsetup's integrity device below "<name>" is called "<name>_dif"; "" = there is none. */
static void find_integrity(struct dm_control *dm, const char *name,
			   char ret[DM_DEVICE_NAME_MAX + 1])
{
	struct dm_mapping sub;
	struct dm_dev dev;
	char sub_name[DM_DEVICE_NAME_MAX + 8];
	size_t n;

	ret[0] = '\0';
	snprintf(sub_name, sizeof(sub_name), "%s_dif", name);
	if (strlen(sub_name) > DM_DEVICE_NAME_MAX || dm_query_info(dm, sub_name, &sub, NULL) ||
	    strncmp(sub.uuid, CRYPT_PREFIX, sizeof(CRYPT_PREFIX) - 1))
		return;
	if (dm_query_deps(dm, name, &dev, 1, &n, NULL) || n != 1 || dev.major != sub.major ||
	    dev.minor != sub.minor)
		return;
	text_copy(ret, DM_DEVICE_NAME_MAX + 1, sub_name);
}

static int remove_mapping(const struct volume_env *env, struct dm_control *dm, const char *name,
			  bool deferred, struct err *e)
{
	char sub[DM_DEVICE_NAME_MAX + 1];
	struct err ignored = { 0 };
	double start = base_now();
	int r;

	find_integrity(dm, name, sub);
	r = dm_remove(dm, name, deferred, env->udev, e);
	if (r)
		return r;
	volume_tell_mapped(env, start);
	/* Also where the removal is deferred: nobody of ours will be there when it happens, and
	 * dm-crypt has a copy of its own. */
	if (keyring_revoke_kept(name, &ignored))
		volume_warn(env, "%s is closed, but its kept key is not revoked: %s", name,
			    err_text(&ignored));
	return sub[0] ? dm_remove(dm, sub, deferred, env->udev, e) : 0;
}

int volume_close(const struct volume_env *env, const char *name, uint32_t flags, struct err *e)
{
	_cleanup_dm_ struct dm_control *dm = NULL;
	struct dm_mapping info;
	int r;

	r = dm_name_valid(name, e);
	if (!r)
		r = dm_control_open(&dm, e);
	if (!r)
		r = dm_query_info(dm, name, &info, e);
	if (r)
		return r;
	if (strncmp(info.uuid, CRYPT_PREFIX, sizeof(CRYPT_PREFIX) - 1))
		return err_set(e, -EINVAL, "mapping %s is not an encrypted volume's", name);
	if (flags & VOLUME_CLOSE_CANCEL_DEFERRED)
		return dm_remove_cancel(dm, name, e);
	return remove_mapping(env, dm, name, flags & VOLUME_CLOSE_DEFERRED, e);
}
