// SPDX-License-Identifier: Apache-2.0
// From a device to its mapping: header checked against what was recorded, stale mappings healed,
// the passphrase always tried.
#include "node.h"

#include <cryptvol/keyring.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <time.h>

void node_mapping_path(const char *id, char ret[4096])
{
	snprintf(ret, 4096, "/dev/mapper/%s", id);
}

static struct volume_where where_of(const struct node_stage *s)
{
	return (struct volume_where){ .device = s->backing };
}

int node_header_backup(struct node_stage *s, struct err *e)
{
	const struct volume_check check = node_check(s);
	struct volume_where w = where_of(s);
	char path[4096];
	int r;

	if (s->is_static)
		return 0; /* not ours to keep: its owner has luksHeaderBackup */
	r = backend_header_path(s->call->driver->backend, s->volume.id, path, sizeof(path), e);
	r = r ?: volume_backup_header(&s->call->driver->env, &w, path, &check, e);
	if (!r && chmod(path, 0600))
		r = err_sys(e, -errno, "%s", path);
	return r ? err_wrap(e, r, "the header can't be backed up") : 0;
}

/* ---- an open mapping ---- */

enum mapping { MAPPING_NONE, MAPPING_GOOD, MAPPING_STALE };

static bool same_device(const struct node_stage *s, const struct volume_status *st)
{
	struct stat a, b;

	return !stat(s->backing, &a) && !stat(st->device, &b) && a.st_rdev == b.st_rdev;
}

/* dm UUID, backing device, size: all have to be what the record and the device say. */
static int judge_mapping(struct node_stage *s, const struct luks_header *h, enum mapping *ret,
			 struct err *e)
{
	struct volume_status st;
	const char *why = NULL;
	struct stat below;
	int r;

	r = volume_query_status(&s->call->driver->env, s->volume.id, &st, e);
	if (r == -ENODEV) {
		err_clear(e);
		*ret = MAPPING_NONE;
		return 0;
	}
	if (r)
		return r;
	if (strcmp(st.type, "LUKS2") != 0 || strcmp(st.uuid, h->uuid) != 0)
		why = "its UUID is another one";
	else if (!same_device(s, &st))
		why = "the device below it is gone or another one";
	else if (!s->is_static && st.size_sectors * SECTOR_SIZE_BYTES > s->volume.size_bytes)
		why = "it is bigger than the volume";
	else if (st.offset_sectors * SECTOR_SIZE_BYTES != s->seen.data_offset_bytes)
		why = "its data offset is another one";
	else if (st.n_targets != 1 || strcmp(st.cipher, s->seen.cipher) != 0 ||
		 st.iv_offset_sectors || st.sector_size_bytes != s->seen.sector_size_bytes)
		why = "its table isn't what the header says";
	if (why)
		csi_logf(CSI_LOG_WARNING, "stale_mapping", "mapping %s is left from before: %s",
			 s->volume.id, why);
	*ret = why ? MAPPING_STALE : MAPPING_GOOD;
	/* A static volume's name is its owner's choice, and may be that of anything alive. */
	if (why && s->is_static && strcmp(st.uuid, h->uuid) != 0 && stat(st.device, &below) == 0)
		return err_set(e, -EBUSY, "there is a mapping of that name, and %s", why);
	return 0;
}

/* A dead mapping goes; where something still holds it, it goes as soon as that lets go, and its
 * name is free meanwhile. */
static int remove_stale(struct node_stage *s, struct err *e)
{
	const struct volume_env *env = &s->call->driver->env;
	_cleanup_dm_ struct dm_control *dm = NULL;
	char parked[DM_DEVICE_NAME_MAX + 1];
	/* Lets the rename be safe where a failed reload came before it: see dm_rename. */
	struct dm_target dead = { .type = DM_TARGET_ERROR, .len_sectors = 8 };
	const struct dm_table table = { .targets = &dead, .n_targets = 1 };
	int r;

	r = node_clear_mount(s->volume.id, s->staging, s->known, e);
	if (r)
		return r;
	r = volume_close(env, s->volume.id, 0, e);
	if (!r || r == -ENODEV)
		return 0;
	err_clear(e); /* in use, or no encrypted volume's at all */
	r = dm_control_open(&dm, e);
	if (r)
		return r;
	snprintf(parked, sizeof(parked), "stale-%lx-%.90s", (unsigned long)time(NULL),
		 s->volume.id);
	r = dm_load(dm, s->volume.id, &table, e)
		    ?: dm_rename(dm, s->volume.id, parked, env->udev, e);
	return r ?: dm_remove(dm, parked, true, env->udev, e);
}

/* Where the key stays for an expansion that brings no Secret. */
static void say_keep(const struct node_stage *s, struct volume_open *o)
{
	enum csi_keep_key keep = s->call->driver->config.keep_key;

	o->keep_key = keep == CSI_KEEP_KEY_PROCESS;
	o->disable_keyring = keep == CSI_KEEP_KEY_TABLE;
}

/* Open already: the passphrase still has to open the header, or a wrong key would pass unnoticed.
 */
static enum csi_code prove_passphrase(struct node_stage *s)
{
	struct volume_where w = where_of(s);
	struct volume_open o = { .where = w,
				 .key = { .passphrase = s->keys.value, .keyslot = LUKS_ANY },
				 .test_only = true,
				 .shared = true,
				 .check = node_check(s) };
	struct err e = { 0 };
	int slot;

	if (volume_open(&s->call->driver->env, &o, &slot, &e))
		return csi_fail_err(s->call, &e, "volume \"%s\"", s->volume.id);
	return CSI_OK;
}

/* The key that a later expansion needs: the driver that kept it was restarted, or died between the
 * mapping and its key. */
static int keep_key(struct node_stage *s, struct err *e)
{
	struct volume_open o = { .where = where_of(s),
				 .name = s->volume.id,
				 .key = { .passphrase = s->keys.value, .keyslot = LUKS_ANY },
				 .refresh = true,
				 .flags = s->class.flags,
				 .check = node_check(s) };
	int slot;

	say_keep(s, &o);
	if (!o.keep_key && !o.disable_keyring)
		return 0;
	return volume_open(&s->call->driver->env, &o, &slot, e);
}

/* A crash may have left it suspended, without its kept key, or short of the volume's size. */
static int heal_mapping(struct node_stage *s, struct err *e)
{
	struct volume_resize rs = { .size_sectors = 0 };
	struct volume_key k = { .passphrase = s->keys.value, .keyslot = LUKS_ANY };
	struct volume_status st;
	int r;

	r = volume_query_status(&s->call->driver->env, s->volume.id, &st, e);
	if (!r && st.dm.suspended) /* nobody copies it: we have its lock */
		r = csi_resume_volume(s->call->driver, s->volume.id, e);
	if (!r && st.key_in_keyring && !st.key_kept)
		r = keep_key(s, e);
	if (!r && !s->is_static && st.size_sectors * SECTOR_SIZE_BYTES < s->volume.size_bytes) {
		rs.key = &k;
		r = volume_resize(&s->call->driver->env, s->volume.id, &rs, e);
	}
	return r;
}

/* ---- open ---- */

static int load_header(struct node_stage *s, struct luks_header **ret, struct err *e)
{
	struct volume_where w = where_of(s);
	int r;

	r = volume_load_header(&s->call->driver->env, &w, s->readonly, ret, e);
	if (r == -EMEDIUMTYPE)
		err_set(e, -EMEDIUMTYPE,
			"the device carries no LUKS header, though the volume was formatted "
			"before; nothing was written. Look at the device "
			"below, or restore the header from the node's backup");
	return r;
}

/* Pinned at the first open that worked; a record from before there was a hash gets one. The pin is
 * that of the copy which was opened, not of one read again. */
static int pin(struct node_stage *s, struct err *e)
{
	int r;

	if (s->is_static || *s->volume.pin.mapping)
		return 0;
	r = backend_set_pin(s->call->driver->backend, s->volume.id, &s->seen, e);
	if (!r)
		s->volume.pin = s->seen;
	return r;
}

/* A header that was good once is kept from then on, not only from its first change on. The volume
 * is as good without. */
static void keep_first_header(struct node_stage *s)
{
	struct err e = { 0 };
	bool kept = true;
	int r;

	if (s->is_static)
		return;
	r = backend_header_kept(s->call->driver->backend, s->volume.id, &kept, &e);
	if (!r && !kept)
		r = node_header_backup(s, &e);
	if (r)
		csi_logf(CSI_LOG_WARNING, "header_backup", "volume %s: %s", s->volume.id,
			 err_text(&e));
}

static enum csi_code open_mapping(struct node_stage *s)
{
	struct volume_open o = { .where = where_of(s),
				 .name = s->volume.id,
				 .key = { .passphrase = s->keys.value, .keyslot = LUKS_ANY },
				 .readonly = s->readonly,
				 .flags = s->class.flags,
				 .check = node_check(s) };
	struct err e = { 0 };
	int slot;

	say_keep(s, &o);
	/* Exactly what was asked for; a header from elsewhere may leave more behind its data
	 * offset. */
	if (!s->is_static && !s->volume.adopted)
		o.size_sectors = s->volume.size_bytes / SECTOR_SIZE_BYTES;
	if (volume_open(&s->call->driver->env, &o, &slot, &e))
		return csi_fail_err(s->call, &e, "volume \"%s\"", s->volume.id);
	s->opened = true;
	return CSI_OK;
}

/* The mapping there may be, judged; then the one that is wanted. */
static enum csi_code settle_mapping(struct node_stage *s, const struct luks_header *h)
{
	struct err e = { 0 };
	enum mapping m;

	if (judge_mapping(s, h, &m, &e))
		return csi_fail_err(s->call, &e, "mapping \"%s\"", s->volume.id);
	if (m == MAPPING_STALE && remove_stale(s, &e))
		return csi_fail_err(s->call, &e, "the stale mapping \"%s\" can't be removed",
				    s->volume.id);
	if (m != MAPPING_GOOD)
		return open_mapping(s);
	if (prove_passphrase(s))
		return s->call->code;
	if (heal_mapping(s, &e))
		return csi_fail_err(s->call, &e, "mapping \"%s\"", s->volume.id);
	return CSI_OK;
}

enum csi_code node_open_crypt(struct node_stage *s)
{
	_cleanup_luks_ struct luks_header *h = NULL;
	struct err e = { 0 };
	enum csi_code code;

	if (!s->is_static && s->volume.format != BACKEND_FORMATTED) {
		code = node_format_crypt(s);
		if (code)
			return code;
	}
	if (load_header(s, &h, &e) || node_check(s).check(s, h, &e))
		return csi_fail_err(s->call, &e, "volume \"%s\"", s->volume.id);
	if (s->keys.previous && !s->readonly) {
		code = node_rotate(s);
		if (code)
			return code;
	}
	code = settle_mapping(s, h);
	if (code)
		return code;
	if (pin(s, &e))
		return csi_fail_err(s->call, &e, "volume \"%s\"", s->volume.id);
	keep_first_header(s);
	node_mapping_path(s->volume.id, s->device);
	return CSI_OK;
}

int node_close_crypt(struct csi_driver *d, const char *id, struct err *e)
{
	int r = volume_close(&d->env, id, 0, e);

	if (r == -ENODEV) {
		err_clear(e);
		return keyring_revoke_kept(id, e); /* a crash between the two */
	}
	return r;
}
