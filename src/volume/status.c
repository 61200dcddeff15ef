// SPDX-License-Identifier: Apache-2.0
// Status: what the kernel says of a mapping, nothing from its header.
#include "internal.h"

#include <stdio.h>

/* The first crypt target speaks for the mapping; else the first of any kind. */
static const struct dm_target *spokesman(const struct dm_table *t)
{
	for (size_t i = 0; i < t->n_targets; i++)
		if (t->targets[i].type == DM_TARGET_CRYPT)
			return &t->targets[i];
	return t->n_targets ? &t->targets[0] : NULL;
}

static void fill_crypt(const struct dm_crypt *c, struct volume_status *s)
{
	text_copy(s->cipher, sizeof(s->cipher), c->cipher);
	s->key_bytes = c->key_bytes;
	s->key_in_keyring = c->key_description[0] != '\0';
	s->sector_size_bytes = c->sector_size_bytes ?: (uint32_t)SECTOR_SIZE_BYTES;
	s->offset_sectors = c->device_offset_sectors;
	s->iv_offset_sectors = c->iv_offset_sectors;
	s->flags = volume_flags_from_dm(c->flags);
}

/* Gone from the kernel's list: the mapping holds the last of it, and everybody gets "(null)". */
static int fill_device(const struct dm_target *t, struct volume_status *s, struct err *e)
{
	int r;

	r = block_path_of(t->dev_major, t->dev_minor, s->device, sizeof(s->device), s->loop_file,
			  sizeof(s->loop_file), e);
	if (r != -ENODEV)
		return r;
	err_clear(e);
	s->loop_file[0] = '\0';
	text_copy(s->device, sizeof(s->device), "(null)");
	return 0;
}

static int fill_table(const struct dm_table *t, struct volume_status *s, struct err *e)
{
	const struct dm_target *first = spokesman(t);

	s->n_targets = t->n_targets;
	s->sector_size_bytes = (uint32_t)SECTOR_SIZE_BYTES;
	for (size_t i = 0; i < t->n_targets; i++)
		s->size_sectors += t->targets[i].len_sectors;
	if (!first) {
		text_copy(s->device, sizeof(s->device), "(null)");
		return 0;
	}
	if (first->type == DM_TARGET_CRYPT)
		fill_crypt(&first->crypt, s);
	else if (first->type == DM_TARGET_LINEAR)
		s->offset_sectors = first->linear.device_offset_sectors;
	return fill_device(first, s, e);
}

/* In the table a key is kept as long as the mapping lives. */
static bool is_kept(struct dm_control *dm, const struct volume_status *s)
{
	char instance[DM_INSTANCE_MAX];

	if (!s->key_in_keyring)
		return s->key_bytes > 0;
	return !dm_query_instance(dm, s->dm.name, instance, NULL) &&
	       !keyring_check_kept(s->dm.name, instance, NULL);
}

static int query(struct dm_control *dm, const char *name, struct volume_status *s, struct err *e)
{
	struct dm_table t;
	int r;

	r = dm_query_info(dm, name, &s->dm, e);
	if (!r)
		r = dm_query_table(dm, name, &t, NULL, e);
	if (r)
		return r;
	r = fill_table(&t, s, e);
	dm_table_free(&t);
	if (r)
		return r;
	volume_dm_uuid_split(s->dm.uuid, s->type, s->uuid);
	s->in_use = s->dm.open_count > 0;
	s->key_kept = is_kept(dm, s);
	return 0;
}

int volume_query_status(const struct volume_env *env, const char *name, struct volume_status *ret,
			struct err *e)
{
	_cleanup_dm_ struct dm_control *dm = NULL;
	_cleanup_free_ struct volume_status *s = NULL;
	int r;

	(void)env;
	r = dm_name_valid(name, e);
	if (!r)
		r = dm_control_open(&dm, e);
	if (r)
		return r;
	s = calloc(1, sizeof(*s));
	if (!s)
		return err_set(e, -ENOMEM, "no memory for a status");
	r = query(dm, name, s, e);
	if (!r)
		*ret = *s;
	return r;
}
