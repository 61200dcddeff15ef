// SPDX-License-Identifier: Apache-2.0
// The rooms below the driver, for the fuzz target: look-ups find the volumes of csi_fakes.h,
// whatever changes something is counted and fails, or succeeds where the handler then has more to
// check.
#include "csi_fakes.h"
#include "csi/driver.h"

#include <cryptvol/backend.h>
#include <cryptvol/base.h>
#include <cryptvol/fs.h>
#include <cryptvol/mount.h>
#include <cryptvol/volume.h>
#include <stdlib.h>
#include <string.h>

unsigned long fake_works;

/* The end of the way for whatever would touch a device. */
static int work(struct err *e)
{
	fake_works++;
	return err_set(e, -EIO, "nothing is done here");
}

static int unknown(struct err *e)
{
	return err_set(e, -ENOENT, "no such record");
}

/* ---- records ---- */

void backend_volume_clear(struct backend_volume *v)
{
	free(v->parameters);
	free(v->mutable_parameters);
	v->parameters = v->mutable_parameters = NULL;
}

static int fill(const char *id, bool encrypted, bool block, struct backend_volume *ret)
{
	memset(ret, 0, sizeof(*ret));
	text_copy(ret->id, sizeof(ret->id), id);
	text_copy(ret->name, sizeof(ret->name), id);
	text_copy(ret->fs_type, sizeof(ret->fs_type), block ? "" : "ext4");
	ret->encrypted = encrypted;
	ret->block = block;
	ret->size_bytes = 64u << 20;
	ret->header_bytes = encrypted ? BACKEND_HEADER_BYTES : 0;
	ret->access_modes = ~0u;
	ret->format = ret->fs_format = BACKEND_FORMATTED;
	ret->parameters = strdup(encrypted ? "{\"encrypted\":\"true\"}" : "{}");
	ret->mutable_parameters = strdup("{\"discard\":\"true\",\"fsck\":\"none\"}");
	return ret->parameters && ret->mutable_parameters ? 0 : -ENOMEM;
}

int backend_get(struct backend *b, const char *id, struct backend_volume *ret, struct err *e)
{
	int r;

	(void)b;
	if (!strcmp(id, FAKE_ENCRYPTED))
		return fill(id, true, false, ret);
	if (!strcmp(id, FAKE_PLAIN))
		return fill(id, false, true, ret);
	if (strcmp(id, FAKE_ADOPTED) != 0)
		return unknown(e);
	r = fill(id, true, false, ret);
	ret->adopted = true;
	return r;
}

int backend_check_known(const struct backend_volume *v, struct err *e)
{
	return v->adopted ? err_set(e, -EUCLEAN, "stage it once") : 0;
}

int backend_finish_create(struct backend *b, const char *name, struct backend_volume *ret,
			  struct err *e)
{
	return backend_get(b, name, ret, e);
}

bool backend_id_is_ours(struct backend *b, const char *id)
{
	const char *mark = strstr(id, FAKE_MARK);

	(void)b;
	return mark && !mark[strlen(FAKE_MARK)];
}

/* Makes the record that was asked for, so that the handler's answer is made too. */
int backend_create(struct backend *b, const struct backend_create *c,
		   const struct backend_quiesce *q, struct backend_volume *ret, struct err *e)
{
	(void)b;
	(void)q;
	(void)e;
	fake_works++;
	memset(ret, 0, sizeof(*ret));
	if (text_copy(ret->name, sizeof(ret->name), c->name) ||
	    text_copy(ret->fs_type, sizeof(ret->fs_type), c->fs_type) ||
	    (c->source_id && text_copy(ret->source_id, sizeof(ret->source_id), c->source_id)))
		return err_set(e, -EINVAL, "too long for a record");
	text_copy(ret->id, sizeof(ret->id), "pvc-9" FAKE_MARK);
	ret->size_bytes = c->size_bytes;
	ret->encrypted = c->encrypted;
	ret->block = c->block;
	ret->access_modes = c->access_modes;
	ret->source = c->source;
	ret->parameters = strdup(c->parameters);
	ret->mutable_parameters = strdup(c->mutable_parameters);
	return ret->parameters && ret->mutable_parameters ? 0 : -ENOMEM;
}

int backend_delete(struct backend *b, const char *id, struct err *e)
{
	(void)b;
	(void)id;
	return work(e);
}

int backend_list(struct backend *b, const char *after, size_t max, struct backend_volume **ret,
		 size_t *ret_n, bool *ret_more, struct err *e)
{
	(void)b;
	(void)after;
	(void)e;
	fake_works++;
	*ret = calloc(2, sizeof(**ret));
	if (!*ret || fill(FAKE_ENCRYPTED, true, false, *ret) ||
	    (max != 1 && fill(FAKE_PLAIN, false, true, *ret + 1)))
		return -ENOMEM;
	*ret_n = max == 1 ? 1 : 2;
	*ret_more = max == 1;
	return 0;
}

bool backend_try(struct backend *b)
{
	(void)b;
	return false;
}

int backend_check(struct backend *b, struct err *e)
{
	(void)b;
	(void)e;
	return 0;
}

void backend_image(const struct backend *b, const char *id, char *ret, size_t cap)
{
	(void)b;
	if (text_copy(ret, cap, id))
		ret[0] = 0;
}

int backend_read_space(struct backend *b, struct backend_space *ret, struct err *e)
{
	(void)b;
	(void)e;
	*ret = (struct backend_space){ .total_bytes = 1ull << 41, .free_bytes = 1ull << 40 };
	return 0;
}

int backend_capacity(struct backend *b, bool thick, uint64_t *ret_available, struct err *e)
{
	(void)b;
	(void)thick;
	(void)e;
	*ret_available = 1ull << 40;
	return 0;
}

int backend_condition(struct backend *b, const char *id, enum backend_trouble *ret_kind, char *ret,
		      size_t cap, struct err *e)
{
	(void)b;
	(void)e;
	*ret_kind = strcmp(id, FAKE_ADOPTED) != 0 ? BACKEND_TROUBLE_NONE : BACKEND_TROUBLE_IMAGE_GONE;
	return text_copy(ret, cap, strcmp(id, FAKE_ADOPTED) != 0 ? "" : "a reason");
}

/* ---- snapshots ---- */

static void fill_snapshot(const char *id, struct backend_snapshot *ret)
{
	memset(ret, 0, sizeof(*ret));
	text_copy(ret->id, sizeof(ret->id), id);
	text_copy(ret->name, sizeof(ret->name), "snap-1");
	text_copy(ret->volume_id, sizeof(ret->volume_id), FAKE_ENCRYPTED);
	text_copy(ret->group_id, sizeof(ret->group_id), strcmp(id, FAKE_MEMBER) ? "" : FAKE_GROUP);
	text_copy(ret->fs_type, sizeof(ret->fs_type), "ext4");
	ret->encrypted = ret->ready = true;
	ret->size_bytes = 64u << 20;
}

static int one_snapshot(struct backend_snapshot **ret, size_t *ret_n)
{
	*ret = calloc(1, sizeof(**ret));
	if (!*ret)
		return -ENOMEM;
	fill_snapshot(FAKE_MEMBER, *ret);
	*ret_n = 1;
	return 0;
}

int backend_cut_snapshots(struct backend *b, const struct backend_cut *c,
			  const struct backend_quiesce *q, struct backend_snapshot **ret,
			  size_t *ret_n, char ret_group_id[BACKEND_ID_MAX], struct err *e)
{
	(void)b;
	(void)c;
	(void)q;
	(void)e;
	fake_works++;
	text_copy(ret_group_id, BACKEND_ID_MAX, FAKE_GROUP);
	return one_snapshot(ret, ret_n);
}

int backend_snapshot_delete(struct backend *b, const char *id, struct err *e)
{
	(void)b;
	(void)id;
	return work(e);
}

int backend_snapshot_get(struct backend *b, const char *id, struct backend_snapshot *ret,
			 struct err *e)
{
	(void)b;
	if (strcmp(id, FAKE_SNAPSHOT) != 0 && strcmp(id, FAKE_MEMBER) != 0)
		return unknown(e);
	fill_snapshot(id, ret);
	return 0;
}

int backend_snapshot_find(struct backend *b, const char *name, struct backend_snapshot *ret,
			  struct err *e)
{
	(void)b;
	if (strcmp(name, "snap-1") != 0)
		return unknown(e);
	fill_snapshot(FAKE_SNAPSHOT, ret);
	return 0;
}

int backend_snapshot_list(struct backend *b, const char *volume_id, const char *after, size_t max,
			  struct backend_snapshot **ret, size_t *ret_n, bool *ret_more,
			  struct err *e)
{
	(void)b;
	(void)volume_id;
	(void)after;
	(void)e;
	fake_works++;
	*ret_more = max == 1;
	return one_snapshot(ret, ret_n);
}

int backend_group_find(struct backend *b, const char *id, const char *name,
		       char ret_id[BACKEND_ID_MAX], char ret_name[BACKEND_ID_MAX],
		       struct backend_snapshot **ret, size_t *ret_n, struct err *e)
{
	(void)b;
	if ((!id || strcmp(id, FAKE_GROUP) != 0) && (!name || strcmp(name, "group-1") != 0))
		return unknown(e);
	text_copy(ret_id, BACKEND_ID_MAX, FAKE_GROUP);
	text_copy(ret_name, BACKEND_ID_MAX, "group-1");
	return one_snapshot(ret, ret_n);
}

int backend_group_delete(struct backend *b, const char *id, struct err *e)
{
	(void)b;
	(void)id;
	return work(e);
}

/* ---- uses: FAKE_ENCRYPTED is staged, nothing is published ---- */

int backend_use_list(struct backend *b, const char *volume_id, enum backend_use_kind k,
		     struct backend_use **ret, size_t *ret_n, struct err *e)
{
	(void)b;
	(void)e;
	*ret = NULL;
	*ret_n = 0;
	if (k != BACKEND_USE_STAGED || strcmp(volume_id, FAKE_ENCRYPTED) != 0)
		return 0;
	*ret = calloc(1, sizeof(**ret));
	if (!*ret)
		return -ENOMEM;
	text_copy((*ret)->path, sizeof((*ret)->path), FAKE_STAGING);
	text_copy((*ret)->cap, sizeof((*ret)->cap), "mount fs=ext4 mode=1 group= flags=");
	*ret_n = 1;
	return 0;
}

bool backend_use_holds(struct backend *b, const char *volume_id, enum backend_use_kind k,
		       const char *path)
{
	(void)b;
	(void)volume_id;
	(void)k;
	(void)path;
	return true;
}

int backend_use_put(struct backend *b, const char *volume_id, enum backend_use_kind k,
		    const struct backend_use *u, struct err *e)
{
	(void)b;
	(void)volume_id;
	(void)u;
	/* A publication to a target would go on to mkdir(2) on the fuzzer's path. */
	return k == BACKEND_USE_TARGET ? work(e) : 0;
}

int backend_use_drop(struct backend *b, const char *volume_id, enum backend_use_kind k,
		     const char *path, struct err *e)
{
	(void)b;
	(void)volume_id;
	(void)k;
	(void)path;
	(void)e;
	return 0;
}

int backend_use_count(struct backend *b, enum backend_use_kind k, const char *path, uint64_t *ret,
		      struct err *e)
{
	(void)b;
	(void)k;
	(void)path;
	(void)e;
	*ret = 0;
	return 0;
}

void csi_log_findings(struct csi_driver *d)
{
	(void)d;
}

void csi_metrics_phase(struct csi_metrics *m, const char *phase, double seconds)
{
	(void)m;
	(void)phase;
	(void)seconds;
}

/* ---- whatever only fails: one line each ---- */

#define WORK(name, ...)         \
	int name(__VA_ARGS__);  \
	int name(__VA_ARGS__)   \
	{                       \
		return work(e); \
	}
#define B __attribute__((unused)) struct backend *b
#define ID __attribute__((unused)) const char *id
#define TEXT(name) __attribute__((unused)) const char *name
#define ENV __attribute__((unused)) const struct volume_env *env
#define UNUSED(type, name) __attribute__((unused)) type name

WORK(backend_set_format, B, ID, UNUSED(enum backend_format, f), TEXT(nonce), struct err *e)
WORK(backend_set_fs, B, ID, UNUSED(enum backend_format, f), TEXT(nonce), UNUSED(uint64_t, bytes),
     struct err *e)
WORK(backend_set_pin, B, ID, UNUSED(const struct backend_pin *, pin), struct err *e)
WORK(backend_set_mutable, B, ID, TEXT(json), struct err *e)
WORK(backend_set_known, B, UNUSED(const struct backend_volume *, v), struct err *e)
WORK(backend_grow, B, ID, UNUSED(uint64_t, size_bytes), struct err *e)
WORK(backend_attach, B, ID, UNUSED(bool, readonly), UNUSED(char *, ret_path), struct err *e)
WORK(backend_refresh, B, ID, struct err *e)
WORK(backend_detach, B, ID, struct err *e)
WORK(backend_header_kept, B, ID, UNUSED(bool *, ret), struct err *e)
WORK(backend_header_path, B, ID, UNUSED(char *, ret), UNUSED(size_t, cap), struct err *e)

WORK(volume_load_header, ENV, UNUSED(const struct volume_where *, w), UNUSED(bool, readonly),
     UNUSED(struct luks_header **, ret), struct err *e)
WORK(volume_add_key, ENV, UNUSED(const struct volume_where *, w),
     UNUSED(const struct volume_key *, k), UNUSED(const struct luks_new_keyslot *, n),
     UNUSED(int *, ret), struct err *e)
WORK(volume_kill_slot, ENV, UNUSED(const struct volume_where *, w),
     UNUSED(const struct volume_key *, k), UNUSED(int, keyslot), UNUSED(bool, last), struct err *e)
WORK(volume_finish_kills, ENV, UNUSED(const struct volume_where *, w), UNUSED(size_t *, ret_n),
     struct err *e)
WORK(volume_backup_header, ENV, UNUSED(const struct volume_where *, w), TEXT(file),
     UNUSED(const struct volume_check *, check), struct err *e)
WORK(volume_format, ENV, UNUSED(const struct volume_format *, f), struct err *e)
WORK(volume_open, ENV, UNUSED(const struct volume_open *, o), UNUSED(int *, ret), struct err *e)
WORK(volume_close, ENV, TEXT(name), UNUSED(uint32_t, flags), struct err *e)
WORK(volume_resize, ENV, TEXT(name), UNUSED(const struct volume_resize *, r), struct err *e)
WORK(volume_resize_needs_key, ENV, TEXT(name), UNUSED(bool *, ret), struct err *e)
WORK(volume_query_status, ENV, TEXT(name), UNUSED(struct volume_status *, ret), struct err *e)

/* The linker puts these before the room's own (FUZZ_CSI_FAKED). */
WORK(__wrap_dm_control_open, UNUSED(struct dm_control **, ret), struct err *e)
WORK(__wrap_fs_type_of, UNUSED(int, fd), UNUSED(char *, ret), struct err *e)
WORK(__wrap_fs_make, TEXT(device), TEXT(type), TEXT(uuid), TEXT(options), struct err *e)
WORK(__wrap_fs_uuid_of, UNUSED(int, fd), UNUSED(char *, ret), struct err *e)
WORK(__wrap_fs_check, TEXT(device), TEXT(type), UNUSED(enum fs_check_policy, policy), struct err *e)
WORK(__wrap_fs_mount_on, UNUSED(const struct fs_mount *, m), struct err *e)
WORK(__wrap_fs_unmount, TEXT(target), UNUSED(bool, lazy), struct err *e)
WORK(__wrap_fs_grow, TEXT(device), TEXT(mounted_on), TEXT(type), struct err *e)
WORK(__wrap_fs_freeze, TEXT(mounted_on), struct err *e)
WORK(__wrap_fs_thaw, TEXT(mounted_on), struct err *e)
WORK(__wrap_fs_query_usage, TEXT(path), UNUSED(struct fs_usage *, ret), struct err *e)
WORK(__wrap_fs_wipe_signatures, UNUSED(int, fd), UNUSED(bool, skip), UNUSED(size_t *, ret),
     struct err *e)

int backend_lock(struct backend *b, const char *id, int *ret_fd, struct err *e)
{
	(void)b;
	(void)id;
	(void)e;
	*ret_fd = -1;
	return 0;
}

int backend_cut_lock(struct backend *b, const char *volume_id, int *fd, struct err *e)
{
	(void)b;
	(void)volume_id;
	(void)fd;
	(void)e;
	return 0;
}

int __wrap_fs_query_mount(const char *target, struct fs_mounted *ret, struct err *e);
int __wrap_fs_query_mount(const char *target, struct fs_mounted *ret, struct err *e)
{
	memset(ret, 0, sizeof(*ret));
	text_copy(ret->type, sizeof(ret->type), "ext4");
	return strcmp(target, FAKE_STAGING) != 0 ? unknown(e) : 0;
}
