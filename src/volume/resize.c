// SPDX-License-Identifier: Apache-2.0
// Resize a live mapping: cipher, offsets and key are the live table's; a header can only veto.
#include "internal.h"

struct resizing {
	const struct volume_env *env;
	const struct volume_resize *r;
	const char *name;
	struct dm_control *dm;
	struct volume_live live;
	struct block_device device; /* below the mapping */
	struct volume_metadata meta;
	bool have_meta;
	struct volume_unlocked unlocked;
	struct keyring_hold hold;
};

static uint64_t live_sectors(const struct volume_live *l)
{
	const struct dm_target *last = &l->table.targets[l->table.n_targets - 1];

	return last->start_sectors + last->len_sectors;
}

static int check_live(const struct resizing *x, struct err *e)
{
	const struct volume_live *l = &x->live;
	const struct dm_target *last = &l->table.targets[l->table.n_targets - 1];

	if (l->info.suspended)
		return err_set(e, -EBUSY, "%s is suspended", x->name);
	if (l->crypt->crypt.integrity[0])
		return err_set(e, -EOPNOTSUPP, "%s has integrity tags: its size is fixed", x->name);
	if (last->dev_major != l->crypt->dev_major || last->dev_minor != l->crypt->dev_minor)
		return err_set(e, -EOPNOTSUPP, "%s stands on several devices", x->name);
	return 0;
}

/* With a key to verify the header is needed; without one it may be missing or another's by now. */
static int load_header(struct resizing *x, struct err *e)
{
	const struct volume_where w = { .device = x->device.path, .header = x->r->header };
	bool needed = x->r->key || x->r->header;
	int r;

	r = volume_open_metadata(x->env, &w, VOLUME_READ, &x->meta, needed ? e : NULL);
	if (r)
		return needed ? r : 0;
	r = volume_live_matches(&x->live, x->meta.header, needed ? e : NULL);
	x->have_meta = !r;
	if (r)
		volume_close_metadata(&x->meta);
	return needed ? r : 0;
}

static int unlock(struct resizing *x, struct err *e)
{
	const struct volume_unlock_how how = {
		.allow_null = volume_spec_is_null(x->live.crypt->crypt.cipher),
	};
	uint32_t key_bytes = x->live.crypt->crypt.key_bytes;
	int r;

	if (!x->r->key)
		return 0;
	r = volume_unlock(x->env, &x->meta.io, x->meta.header, x->r->key, &how, &x->unlocked, e);
	if (!r && key_bytes && key_bytes != x->unlocked.key->len)
		r = err_set(e, -ESTALE, "the header's key has another size than that of %s",
			    x->name);
	return r;
}

/* The data segment's size where it is fixed; 0: as far as the device goes. */
static uint64_t fixed_sectors(const struct resizing *x)
{
	struct luks_plan p;

	if (!x->have_meta || luks_make_plan(x->meta.header, &p, NULL) || p.dynamic)
		return 0;
	return p.size_bytes / SECTOR_SIZE_BYTES;
}

/* How many sectors the mapping can have on this device. */
static int limit_sectors(const struct resizing *x, uint64_t *ret, struct err *e)
{
	const struct dm_target *last = &x->live.table.targets[x->live.table.n_targets - 1];
	uint64_t device = x->device.size_bytes / SECTOR_SIZE_BYTES, fixed = fixed_sectors(x);
	uint64_t offset = last->crypt.device_offset_sectors;

	if (device <= offset)
		return err_set(e, -EINVAL, "%s has %llu sectors, the data of %s begins at %llu",
			       x->device.path, (unsigned long long)device, x->name,
			       (unsigned long long)offset);
	*ret = last->start_sectors + (device - offset);
	if (fixed && fixed < *ret)
		*ret = fixed;
	return 0;
}

static int check_multiple(const struct resizing *x, uint64_t sectors, struct err *e)
{
	const struct dm_target *last = &x->live.table.targets[x->live.table.n_targets - 1];
	uint32_t bytes = last->crypt.sector_size_bytes;

	if (sectors <= last->start_sectors)
		return err_set(e, -EINVAL,
			       "%s can't have %llu sectors: its last segment begins there", x->name,
			       (unsigned long long)sectors);
	if (bytes > SECTOR_SIZE_BYTES &&
	    (sectors - last->start_sectors) % (bytes / SECTOR_SIZE_BYTES))
		return err_set(e, -EINVAL,
			       "%llu sectors are not a multiple of the volume's %u-byte sectors",
			       (unsigned long long)sectors, bytes);
	return 0;
}

/* Only an explicit size shrinks: a device that lost its end is a fault, not a wish. */
static int target_size(const struct resizing *x, uint64_t *ret, struct err *e)
{
	uint64_t limit = 0, want, now = live_sectors(&x->live);
	int r;

	r = limit_sectors(x, &limit, e);
	if (r)
		return r;
	want = x->r->size_sectors ?: limit;
	if (want > limit)
		return err_set(e, -EINVAL, "%s can't have %llu sectors: there is room for %llu",
			       x->name, (unsigned long long)want, (unsigned long long)limit);
	if (!x->r->size_sectors && want < now)
		return err_set(e, -EINVAL,
			       "there is room for %llu sectors, but %s has %llu; it is not shrunk "
			       "unless the size is given",
			       (unsigned long long)want, x->name, (unsigned long long)now);
	r = check_multiple(x, want, e);
	if (!r)
		*ret = want;
	return r;
}

static int load_size(struct resizing *x, uint64_t sectors, struct err *e)
{
	struct dm_target *last = &x->live.table.targets[x->live.table.n_targets - 1];
	int r;

	r = volume_live_reach_key(&x->live, x->unlocked.key, &x->hold, e);
	if (r)
		return r;
	last->len_sectors = sectors - last->start_sectors;
	r = dm_reload(x->dm, x->name, &x->live.table,
		      x->live.info.readonly ? DM_DEVICE_READONLY : 0, x->env->udev, e);
	keyring_drop(&x->hold);
	return r;
}

static int resize(struct resizing *x, struct err *e)
{
	uint64_t sectors = 0;
	int r;

	r = load_header(x, e);
	if (r)
		return r;
	r = unlock(x, e);
	if (!r)
		r = target_size(x, &sectors, e);
	if (!r && sectors != live_sectors(&x->live))
		r = load_size(x, sectors, e);
	volume_unlocked_free(&x->unlocked);
	if (x->have_meta)
		volume_close_metadata(&x->meta);
	return r;
}

static int climb(struct resizing *x, struct err *e)
{
	int r;

	r = dm_control_open(&x->dm, e);
	if (r)
		return r;
	r = volume_query_live(x->dm, x->name, &x->live, e);
	if (r)
		goto undo_dm;
	r = check_live(x, e);
	if (r)
		goto undo_live;
	r = volume_live_open_device(&x->live, &x->device, e);
	if (r)
		goto undo_live;
	r = resize(x, e);
	block_close(&x->device);
undo_live:
	volume_live_free(&x->live);
undo_dm:
	dm_control_close(x->dm);
	return r;
}

int volume_resize(const struct volume_env *env, const char *name, const struct volume_resize *r,
		  struct err *e)
{
	_cleanup_free_ struct resizing *x = NULL;
	int code;

	code = dm_name_valid(name, e);
	if (code)
		return code;
	x = calloc(1, sizeof(*x));
	if (!x)
		return err_set(e, -ENOMEM, "no memory to resize a mapping");
	x->env = env;
	x->r = r;
	x->name = name;
	return climb(x, e);
}

int volume_resize_needs_key(const struct volume_env *env, const char *name, bool *ret,
			    struct err *e)
{
	_cleanup_dm_ struct dm_control *dm = NULL;
	struct volume_live l;
	int r;

	(void)env;
	r = dm_name_valid(name, e);
	if (!r)
		r = dm_control_open(&dm, e);
	if (!r)
		r = volume_query_live(dm, name, &l, e);
	if (r)
		return r;
	*ret = volume_live_needs_key(&l);
	volume_live_free(&l);
	return 0;
}
