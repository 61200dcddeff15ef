// SPDX-License-Identifier: Apache-2.0
// Open: unlock, key into the kernel, map. The ladder and its undo stand in open_mapping.
#include "internal.h"

#include <stdio.h>

/* Everything that one open has in its hands. */
struct opening {
	const struct volume_env *env;
	const struct volume_open *o;
	struct dm_control *dm;
	struct block_device data;
	struct block_device header_dev; /* where the header is detached */
	struct luks_io io;
	struct luks_header *header;
	struct dm_table table;
	struct volume_unlocked unlocked;
	struct keyring_hold hold;
	char dm_uuid[DM_DEVICE_UUID_MAX + 1];
	uint32_t supported, flags; /* flags: enum luks_flag */
	bool by_keyring;	   /* the table names its key by description */
};

static int check_request(const struct volume_open *o, struct err *e)
{
	if (o->persistent && o->readonly && !o->where.header)
		return err_set(e, -EINVAL,
			       "flags can't be made persistent on a volume that is opened "
			       "read-only");
	if (o->keep_key && o->disable_keyring)
		return err_set(e, -EINVAL,
			       "a key can't be kept in the keyring while the keyring is disabled");
	if (o->any_digest && !o->test_only)
		return err_set(e, -EINVAL, "a key of no segment can be tested, not mapped");
	return o->test_only ? 0 : dm_name_valid(o->name, e);
}

/* ---- test only: nothing is claimed, mapped or written ---- */

/* A keyslot that is named is tested though its key is for no segment. */
static bool is_unbound(const struct luks_header *h, int keyslot)
{
	for (size_t i = 0; i < h->n_digests; i++)
		if (keyslot >= 0 && keyslot < (int)LUKS_KEYSLOTS_MAX &&
		    h->digests[i].keyslots & 1u << keyslot)
			return !h->digests[i].segments;
	return false;
}

static int test_key(const struct volume_env *env, const struct volume_open *o, int *ret_keyslot,
		    struct err *e)
{
	struct volume_unlock_how how = { .allow_null = o->allow_null };
	struct volume_unlocked u = { 0 };
	struct volume_metadata m;
	int r;

	r = volume_open_metadata(env, &o->where, VOLUME_READ, &m, e);
	if (r)
		return r;
	how.any_digest = o->any_digest || is_unbound(m.header, o->key.keyslot);
	r = luks_check_usable(m.header, e);
	if (!r)
		r = volume_ask(&o->check, m.header, e);
	if (!r)
		r = volume_unlock(env, &m.io, m.header, &o->key, &how, &u, e);
	if (!r)
		*ret_keyslot = u.keyslot;
	volume_unlocked_free(&u);
	volume_close_metadata(&m);
	return r;
}

/* ---- the rungs ---- */

/* Before anything is asked of a KDF. Of two at once dm_create still lets only one pass. */
static int check_name_free(struct opening *x, struct err *e)
{
	struct dm_mapping info;
	int r;

	r = dm_query_info(x->dm, x->o->name, &info, e);
	if (!r)
		return err_set(e, -EEXIST, "there is a mapping %s already", x->o->name);
	if (r != -ENODEV)
		return r;
	err_clear(e);
	return 0;
}

static int open_data(struct opening *x, struct err *e)
{
	uint32_t flags = BLOCK_NEED_DEVICE;
	int r;

	if (!x->o->where.device)
		return err_set(e, -EINVAL, "no data device is named");
	if (x->o->readonly)
		flags |= BLOCK_READONLY;
	if (!x->o->shared)
		flags |= BLOCK_EXCLUSIVE;
	r = block_open(x->o->where.device, flags, &x->data, e);
	if (!r && x->data.readonly && !x->o->readonly)
		volume_warn(x->env, "%s is read-only, and so is the mapping", x->o->where.device);
	return r;
}

static int open_header(struct opening *x, struct err *e)
{
	const char *path = x->o->where.header;
	int r;

	if (!path)
		return 0;
	r = block_open(path, x->o->readonly && !x->o->persistent ? BLOCK_READONLY : 0,
		       &x->header_dev, e);
	return r ? err_wrap(e, r, "header") : 0;
}

static const struct block_device *metadata_device(const struct opening *x)
{
	return x->o->where.header ? &x->header_dev : &x->data;
}

/* Read once; offsets, ciphers and digests all come from this copy. */
static int load_header(struct opening *x, struct err *e)
{
	const struct block_device *d = metadata_device(x);
	bool cut;
	int r;

	x->io = volume_io_of(x->env, d);
	if (x->o->persistent && d->readonly)
		return err_set(e, -EROFS, "flags can't be made persistent: %s is read-only",
			       d->given);
	r = volume_read_header(x->env, &x->io, d, &x->header, e);
	if (r)
		return r;
	r = luks_check_usable(x->header, e);
	if (!r)
		r = volume_ask(&x->o->check, x->header, e);
	if (!r && x->o->where.header) /* without, the table's limits say it */
		r = volume_check_apart(x->header, &x->data, e);
	if (r)
		return err_wrap(e, r, "%s", d->given);
	/* Made persistent, the flags replace those that the header holds (cryptsetup's rule too:
	 * it is how one is taken away). */
	x->flags = x->o->flags | (x->o->persistent ? 0 : x->header->flags);
	volume_dm_uuid(x->header->uuid, x->o->name, x->dm_uuid, &cut);
	if (cut)
		volume_warn(x->env, "the name %s is too long for the dm UUID, which is cut",
			    x->o->name);
	return 0;
}

static int build_table(struct opening *x, struct err *e)
{
	const struct secret *given = x->o->key.volume_key;
	struct volume_table_how how = {
		.device_bytes = x->data.size_bytes,
		.metadata_bytes = x->o->where.header
					  ? 0
					  : 2 * x->header->header_bytes + x->header->keyslots_bytes,
		.major = x->data.major,
		.minor = x->data.minor,
		.size_sectors = x->o->size_sectors,
		.readonly = x->o->readonly || x->data.readonly,
		.allow_null = x->o->allow_null,
	};
	int r;

	r = dm_crypt_supports(x->dm, &x->supported, e);
	if (r)
		return r;
	how.supported = x->supported;
	how.flags = volume_drop_flags(x->env, volume_flags_to_dm(x->flags), x->supported);
	how.key_bytes = luks_volume_key_bytes(x->header);
	if (!how.key_bytes && given) /* no keyslot is left to say */
		how.key_bytes = (uint32_t)given->len;
	r = volume_build_table(x->header, &how, &x->table, e);
	return r ? err_wrap(e, r, "%s", x->o->where.device) : 0;
}

static const struct dm_crypt *first_key_target(const struct dm_table *t)
{
	for (size_t i = 0; i < t->n_targets; i++)
		if (t->targets[i].type == DM_TARGET_CRYPT && t->targets[i].crypt.key_bytes)
			return &t->targets[i].crypt;
	return NULL;
}

static int unlock(struct opening *x, struct err *e)
{
	const struct volume_unlock_how how = { .allow_null = x->o->allow_null };
	const struct dm_crypt *c = first_key_target(&x->table);
	int r;

	r = volume_unlock(x->env, &x->io, x->header, &x->o->key, &how, &x->unlocked, e);
	if (r)
		return r;
	if (c && c->key_bytes != x->unlocked.key->len)
		return err_set(e, -EBADMSG, "the volume key has %zu bytes, its segment wants %u",
			       x->unlocked.key->len, c->key_bytes);
	return 0;
}

/* The keyring, or hex in the table where the user asks for it or the host can't do better. */
static int put_key(struct opening *x, struct err *e)
{
	const struct secret *key = x->unlocked.key;
	char description[200], in_table[256];
	int r;

	if (!first_key_target(&x->table))
		return 0;
	if (x->o->disable_keyring || !(x->supported & DM_CRYPT_KEYRING) || !keyring_available()) {
		volume_table_set_key(&x->table, NULL, key);
		return 0;
	}
	r = keyring_volume_key_description(x->header->uuid, (unsigned int)x->unlocked.digest,
					   description, sizeof(description), e);
	if (r)
		return r;
	r = keyring_put(description, key, &x->hold, e);
	if (r)
		return r;
	snprintf(in_table, sizeof(in_table), "logon:%s", description);
	volume_table_set_key(&x->table, in_table, NULL);
	x->by_keyring = true;
	return 0;
}

/*
 * A ring has the mapping's name, so it is touched only while the mapping is ours. One that stands
 * there is of an earlier mapping that went without a close: its key may be of an older format of
 * this very UUID, and no later resize may find it.
 */
static int keep_key(struct opening *x, struct err *e)
{
	struct keyring_hold kept = { 0 };
	char description[200], instance[DM_INSTANCE_MAX];
	int r;

	if (!x->by_keyring) /* in the table, if there is one: it is kept there already */
		return keyring_available() ? keyring_revoke_kept(x->o->name, e) : 0;
	if (!x->o->keep_key)
		return keyring_revoke_kept(x->o->name, e);
	r = keyring_volume_key_description(x->header->uuid, (unsigned int)x->unlocked.digest,
					   description, sizeof(description), e);
	/* Bound to this very mapping: a later one of its name and UUID may have another key. */
	if (!r)
		r = dm_query_instance(x->dm, x->o->name, instance, e);
	if (!r)
		r = keyring_put_kept(x->o->name, instance, description, x->unlocked.key, &kept, e);
	if (!r)
		keyring_drop(&kept); /* the ring itself stays */
	return r;
}

/*
 * Device-mapper lets its own devices share one below, so O_EXCL alone doesn't stop two opens under
 * two names that both looked before either mapped. Looked at again once ours stands on it: of two
 * at once at most one stays.
 */
static int check_alone(struct opening *x, struct err *e)
{
	unsigned int holders;

	if (x->o->shared || block_count_holders(x->data.major, x->data.minor, &holders, NULL) ||
	    holders <= 1)
		return 0;
	return err_set(e, -EBUSY, "%s was mapped by another at the same moment",
		       x->o->where.device);
}

static int create_alone(struct opening *x, struct err *e)
{
	int r;

	r = dm_create(x->dm, x->o->name, x->dm_uuid, &x->table,
		      x->table.readonly ? DM_DEVICE_READONLY : 0, x->env->udev, e);
	if (r)
		return r;
	r = check_alone(x, e);
	if (r)
		dm_remove(x->dm, x->o->name, false, x->env->udev, NULL);
	return r;
}

static int map(struct opening *x, struct err *e)
{
	struct base_signals held;
	double start;
	int r;

	r = block_drop_exclusive(&x->data, e); /* the claim is device-mapper's now */
	if (r)
		return r;
	x->io.fd = block_metadata_fd(metadata_device(x)); /* the descriptor is another */
	base_signals_hold(&held);
	start = base_now();
	r = create_alone(x, e);
	if (!r)
		volume_tell_mapped(x->env, start);
	if (!r && base_signals_came(&held)) {
		dm_remove(x->dm, x->o->name, false, x->env->udev, NULL);
		r = err_set(e, -EINTR, "interrupted");
	}
	base_signals_release(&held);
	return r;
}

static int persist(struct opening *x, struct err *e)
{
	if (!x->o->persistent || x->header->flags == x->flags)
		return 0;
	return luks_set_flags(&x->io, x->header, x->flags, e);
}

static int open_mapping(struct opening *x, int *ret_keyslot, struct err *e)
{
	int r;

	r = dm_control_open(&x->dm, e);
	if (r)
		return r;
	r = check_name_free(x, e);
	if (r)
		goto undo_dm;
	r = open_data(x, e);
	if (r)
		goto undo_dm;
	r = open_header(x, e);
	if (r)
		goto undo_data;
	r = load_header(x, e);
	if (r)
		goto undo_header;
	r = build_table(x, e);
	if (r)
		goto undo_header;
	r = unlock(x, e);
	if (r)
		goto undo_table;
	r = put_key(x, e);
	if (r)
		goto undo_table;
	r = map(x, e);
	keyring_drop(&x->hold); /* the mapping has a copy of its own */
	if (r)
		goto undo_table;
	r = volume_check_still(&x->io, x->header, x->unlocked.keyslot, e);
	if (r)
		goto undo_map;
	r = keep_key(x, e);
	if (r)
		goto undo_map;
	r = persist(x, e);
	if (r)
		goto undo_kept;
	*ret_keyslot = x->unlocked.keyslot;
	goto undo_table; /* the mapping stays */

undo_kept:
	if (x->o->keep_key)
		keyring_revoke_kept(x->o->name, NULL);
undo_map:
	dm_remove(x->dm, x->o->name, false, x->env->udev, NULL);
undo_table:
	volume_unlocked_free(&x->unlocked);
	dm_table_free(&x->table);
undo_header:
	luks_free(x->header);
	if (x->o->where.header)
		block_close(&x->header_dev);
undo_data:
	block_close(&x->data);
undo_dm:
	dm_control_close(x->dm);
	return r;
}

int volume_open(const struct volume_env *env, const struct volume_open *o, int *ret_keyslot,
		struct err *e)
{
	_cleanup_free_ struct opening *x = NULL;
	int r;

	r = check_request(o, e);
	if (r)
		return r;
	if (o->test_only)
		return test_key(env, o, ret_keyslot, e);
	if (o->refresh)
		return volume_refresh(env, o, ret_keyslot, e);
	x = calloc(1, sizeof(*x));
	if (!x)
		return err_set(e, -ENOMEM, "no memory to open a volume");
	x->env = env;
	x->o = o;
	return open_mapping(x, ret_keyslot, e);
}
