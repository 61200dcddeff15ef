// SPDX-License-Identifier: Apache-2.0
// A live mapping: its table, the way to its key, the device below. A header is only compared with
// it.
#include "internal.h"

#define LOGON "logon:"

static int check_kind(const struct volume_live *l, struct err *e)
{
	char type[16], uuid[LUKS_UUID_BYTES];

	volume_dm_uuid_split(l->info.uuid, type, uuid);
	if (!strcmp(type, "n/a"))
		return err_set(e, -EINVAL, "mapping %s is not an encrypted volume's", l->info.name);
	if (!l->crypt)
		return err_set(e, -EINVAL, "mapping %s has no crypt target", l->info.name);
	for (size_t i = 0; i < l->table.n_targets; i++)
		if (l->table.targets[i].type != DM_TARGET_CRYPT)
			return err_set(e, -EOPNOTSUPP,
				       "mapping %s isn't encrypted throughout: its target %zu is of "
				       "type %s",
				       l->info.name, i, l->table.targets[i].type_name);
	return 0;
}

int volume_query_live(struct dm_control *dm, const char *name, struct volume_live *ret,
		      struct err *e)
{
	struct volume_live l = { 0 };
	int r;

	r = dm_query_info(dm, name, &l.info, e);
	if (r)
		return r;
	r = dm_query_instance(dm, name, l.instance, e);
	if (!r)
		r = dm_query_table(dm, name, &l.table, &l.hex, e);
	if (r)
		return r;
	l.table.readonly = l.info.readonly;
	for (size_t i = l.table.n_targets; i-- > 0;)
		if (l.table.targets[i].type == DM_TARGET_CRYPT)
			l.crypt = &l.table.targets[i];
	r = check_kind(&l, e);
	if (r)
		volume_live_free(&l);
	else
		*ret = l;
	return r;
}

void volume_live_free(struct volume_live *l)
{
	dm_table_free(&l->table);
	secret_free(l->hex);
	l->hex = NULL;
	l->crypt = NULL;
}

/* The description that the table's crypt targets name; NULL: none of them does. */
static const char *key_description(const struct volume_live *l, bool *ret_several)
{
	const char *found = NULL;

	*ret_several = false;
	for (size_t i = 0; i < l->table.n_targets; i++) {
		const struct dm_target *t = &l->table.targets[i];

		if (t->type != DM_TARGET_CRYPT || !t->crypt.key_description[0])
			continue;
		if (found && strcmp(found, t->crypt.key_description))
			*ret_several = true;
		found = t->crypt.key_description;
	}
	return found;
}

bool volume_live_key_in_keyring(const struct volume_live *l)
{
	bool several;

	return key_description(l, &several) != NULL;
}

int volume_live_reach_key(const struct volume_live *l, const struct secret *given,
			  struct keyring_hold *ret, struct err *e)
{
	bool several;
	const char *description = key_description(l, &several);
	int r;

	*ret = (struct keyring_hold){ 0 };
	if (several)
		return err_set(e, -EOPNOTSUPP, "the targets of %s have different keys",
			       l->info.name);
	if (!description)
		return 0; /* in the table itself, or a null cipher */
	/* The kept key is the mapping's own for certain, so it goes first. */
	r = keyring_find_kept(l->info.name, l->instance, ret, e);
	if (r != -ENOKEY)
		return r;
	*ret = (struct keyring_hold){ 0 };
	if (!given)
		return err_set(e, -ENOKEY,
			       "the key of %s is not at hand: none was kept when it was opened, "
			       "or it is gone; give the passphrase or the volume key",
			       l->info.name);
	if (strncmp(description, LOGON, sizeof(LOGON) - 1))
		return err_set(e, -EOPNOTSUPP, "the key of %s is no logon key: %s", l->info.name,
			       description);
	err_clear(e);
	return keyring_put(description + sizeof(LOGON) - 1, given, ret, e);
}

bool volume_live_needs_key(const struct volume_live *l)
{
	bool several;

	return key_description(l, &several) &&
	       keyring_check_kept(l->info.name, l->instance, NULL) != 0;
}

static uint32_t sector_size(uint32_t bytes)
{
	return bytes ?: (uint32_t)SECTOR_SIZE_BYTES;
}

int volume_live_matches(const struct volume_live *l, const struct luks_header *h, struct err *e)
{
	const struct dm_crypt *c = &l->crypt->crypt;
	const char *what = NULL;
	struct luks_plan p;
	int r;

	if (h->version != 2 || !volume_dm_uuid_is(l->info.uuid, h->uuid)) {
		what = "UUID";
	} else {
		r = luks_make_plan(h, &p, e);
		if (r)
			return r;
		if (strcmp(p.encryption, c->cipher) != 0)
			what = "cipher";
		else if (p.offset_bytes / SECTOR_SIZE_BYTES != c->device_offset_sectors)
			what = "data offset";
		else if (c->iv_offset_sectors)
			what = "IV offset";
		else if (sector_size(p.sector_size_bytes) != sector_size(c->sector_size_bytes))
			what = "sector size";
	}
	if (!what)
		return 0;
	return err_set(e, -ESTALE, "this header is not the one that %s was opened with: another %s",
		       l->info.name, what);
}

int volume_live_open_device(const struct volume_live *l, struct block_device *ret, struct err *e)
{
	uint32_t major = l->crypt->dev_major, minor = l->crypt->dev_minor;
	struct block_device d;
	char path[4096];
	int r;

	r = block_path_of(major, minor, path, sizeof(path), NULL, 0, e);
	if (r)
		return err_wrap(e, r, "%s", l->info.name);
	r = block_open(path, BLOCK_READONLY, &d, e);
	if (r)
		return r;
	if (d.major != major || d.minor != minor)
		r = err_set(e, -ENODEV, "%s is not the device below %s", path, l->info.name);
	else
		r = block_refresh_size(&d, e);
	if (r)
		block_close(&d);
	else
		*ret = d;
	return r;
}
