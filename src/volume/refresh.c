// SPDX-License-Identifier: Apache-2.0
// Refresh: the live table again, with other flags. Sizes, ciphers and offsets stay as they are.
#include "internal.h"

#include <stdio.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

struct refreshing {
	const struct volume_env *env;
	const struct volume_open *o;
	struct dm_control *dm;
	struct volume_live live;
	struct volume_metadata meta;
	struct volume_unlocked unlocked;
	struct keyring_hold hold;
	uint32_t supported, old_dm_flags, flags; /* flags: enum luks_flag */
	bool fresh_ring;			 /* the kept ring was made by this call */
};

/* A device that the user names has to be the one below the mapping: a clone's header looks the
 * same, and persistent flags would go into the wrong one. */
static int check_device(const struct refreshing *x, struct err *e)
{
	const struct dm_target *t = x->live.crypt;
	char path[4096], file[4096];
	struct stat given, below;
	int r;

	if (!x->o->where.device)
		return 0;
	if (stat(x->o->where.device, &given))
		return err_set(e, -ENODEV, "device %s does not exist", x->o->where.device);
	r = block_path_of(t->dev_major, t->dev_minor, path, sizeof(path), file, sizeof(file), e);
	if (r)
		return err_wrap(e, r, "%s", x->o->name);
	if (S_ISBLK(given.st_mode) && given.st_rdev == makedev(t->dev_major, t->dev_minor))
		return 0;
	if (S_ISREG(given.st_mode) && file[0] && !stat(file, &below) &&
	    below.st_dev == given.st_dev && below.st_ino == given.st_ino)
		return 0;
	return err_set(e, -EINVAL, "%s stands on %s, not on %s", x->o->name, path,
		       x->o->where.device);
}

/* The header: where the user says, else on the device below. It has to be this mapping's. */
static int load_header(struct refreshing *x, struct err *e)
{
	uint32_t major = x->live.crypt->dev_major, minor = x->live.crypt->dev_minor;
	struct volume_where w = x->o->where;
	char path[4096];
	int r;

	if (!w.header && !w.device) {
		r = block_path_of(major, minor, path, sizeof(path), NULL, 0, e);
		if (r)
			return err_wrap(e, r, "%s", x->o->name);
		w.device = path;
	}
	r = volume_open_metadata(x->env, &w, x->o->persistent ? VOLUME_WRITE : VOLUME_READ,
				 &x->meta, e);
	if (r)
		return r;
	r = luks_check_usable(x->meta.header, e);
	if (!r)
		r = volume_ask(&x->o->check, x->meta.header, e);
	if (!r)
		r = volume_live_matches(&x->live, x->meta.header, e);
	if (r)
		volume_close_metadata(&x->meta);
	return r;
}

static int unlock(struct refreshing *x, struct err *e)
{
	const struct volume_unlock_how how = { .allow_null = x->o->allow_null };
	const struct volume_key *k = &x->o->key;
	int r;

	x->unlocked.keyslot = LUKS_ANY;
	if (!k->passphrase && !k->volume_key)
		return 0;
	r = volume_unlock(x->env, &x->meta.io, x->meta.header, k, &how, &x->unlocked, e);
	if (r)
		return r;
	if (x->live.crypt->crypt.key_bytes &&
	    x->live.crypt->crypt.key_bytes != x->unlocked.key->len)
		return err_set(e, -ESTALE, "the header's key has another size than that of %s",
			       x->o->name);
	return 0;
}

/* From now on kept: asked for, possible, and not so yet. */
static int keep_key(struct refreshing *x, struct err *e)
{
	char description[200], in_table[256];
	int r;

	r = keyring_find_kept(x->o->name, x->live.instance, &x->hold, NULL);
	if (!r)
		return 0;
	if (!x->unlocked.key)
		return err_set(e, -ENOKEY, "to keep the key of %s its passphrase is needed",
			       x->o->name);
	r = keyring_volume_key_description(x->meta.header->uuid, (unsigned int)x->unlocked.digest,
					   description, sizeof(description), e);
	if (!r)
		r = keyring_put_kept(x->o->name, x->live.instance, description, x->unlocked.key,
				     &x->hold, e);
	if (r)
		return r;
	x->fresh_ring = true;
	snprintf(in_table, sizeof(in_table), "logon:%s", description);
	volume_table_set_key(&x->live.table, in_table, NULL);
	return 0;
}

static int reach_key(struct refreshing *x, struct err *e)
{
	bool keyring = volume_live_key_in_keyring(&x->live);

	if (x->o->disable_keyring && keyring) {
		if (!x->unlocked.key)
			return err_set(e, -ENOKEY,
				       "to take the key of %s out of the keyring its passphrase is "
				       "needed",
				       x->o->name);
		volume_table_set_key(&x->live.table, NULL, x->unlocked.key);
		return 0;
	}
	if (x->o->keep_key && keyring_available() && (x->supported & DM_CRYPT_KEYRING) &&
	    x->live.crypt->crypt.key_bytes)
		return keep_key(x, e);
	return volume_live_reach_key(&x->live, x->unlocked.key, &x->hold, e);
}

static int load_flags(struct refreshing *x, uint32_t dm_flags, struct err *e)
{
	struct dm_table *t = &x->live.table;
	bool readonly = x->live.info.readonly;

	for (size_t i = 0; i < t->n_targets; i++)
		if (t->targets[i].type == DM_TARGET_CRYPT) {
			struct dm_crypt *c = &t->targets[i].crypt;

			/* How IVs are counted is the format's, no choice of the user's. */
			c->flags = (c->flags & DM_CRYPT_IV_LARGE_SECTORS) | dm_flags;
		}
	return dm_reload(x->dm, x->o->name, t, readonly ? DM_DEVICE_READONLY : 0, x->env->udev, e);
}

static int refresh_table(struct refreshing *x, struct err *e)
{
	uint32_t dm_flags;
	int r;

	x->flags = x->o->flags | (x->o->persistent ? 0 : x->meta.header->flags);
	dm_flags = volume_drop_flags(x->env, volume_flags_to_dm(x->flags), x->supported);
	r = load_flags(x, dm_flags, e);
	if (r || !x->o->persistent || x->meta.header->flags == x->flags)
		return r;
	r = luks_set_flags(&x->meta.io, x->meta.header, x->flags, e);
	if (r)
		load_flags(x, x->old_dm_flags, NULL);
	return r;
}

static int check_live(struct refreshing *x, struct err *e)
{
	if (x->live.info.suspended)
		return err_set(e, -EBUSY, "%s is suspended", x->o->name);
	if (x->live.crypt->crypt.integrity[0])
		return err_set(e, -EOPNOTSUPP, "%s has integrity tags", x->o->name);
	x->old_dm_flags = x->live.crypt->crypt.flags;
	return dm_crypt_supports(x->dm, &x->supported, e);
}

static int climb(struct refreshing *x, int *ret_keyslot, struct err *e)
{
	int r;

	r = dm_control_open(&x->dm, e);
	if (r)
		return r;
	r = volume_query_live(x->dm, x->o->name, &x->live, e);
	if (r)
		goto undo_dm;
	r = check_live(x, e);
	if (r)
		goto undo_live;
	r = check_device(x, e);
	if (r)
		goto undo_live;
	r = load_header(x, e);
	if (r)
		goto undo_live;
	r = unlock(x, e);
	if (r)
		goto undo_meta;
	r = reach_key(x, e);
	if (r)
		goto undo_meta;
	r = refresh_table(x, e);
	if (!r)
		*ret_keyslot = x->unlocked.keyslot;
	keyring_drop(&x->hold);
	if (r && x->fresh_ring)
		keyring_revoke_kept(x->o->name, NULL);
undo_meta:
	volume_unlocked_free(&x->unlocked);
	volume_close_metadata(&x->meta);
undo_live:
	volume_live_free(&x->live);
undo_dm:
	dm_control_close(x->dm);
	return r;
}

int volume_refresh(const struct volume_env *env, const struct volume_open *o, int *ret_keyslot,
		   struct err *e)
{
	_cleanup_free_ struct refreshing *x = calloc(1, sizeof(*x));

	if (!x)
		return err_set(e, -ENOMEM, "no memory to refresh a mapping");
	x->env = env;
	x->o = o;
	return climb(x, ret_keyslot, e);
}
