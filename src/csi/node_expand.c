// SPDX-License-Identifier: Apache-2.0
// NodeExpandVolume and NodeGetVolumeStats.
#include "node.h"
#include "trouble.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

/* Is @path where this volume is staged or published? -ENOENT. */
static int find_path(struct csi_call *call, const char *id, const char *path, struct err *e)
{
	struct backend_use use;
	size_t others;
	int r;

	r = node_find_use(call, id, BACKEND_USE_TARGET, path, &use, &others, e);
	return r == -ENOENT ? node_find_use(call, id, BACKEND_USE_STAGED, path, &use, &others, e)
			    : r;
}

/* ---- expand ---- */

/* The staging path, by which a file system is grown whatever target the CO names; *ret_block: the
 * volume is staged as a device. */
static int staged_at(struct csi_call *call, const char *id, char ret[4096], bool *ret_block,
		     struct err *e)
{
	struct backend_use *list = NULL;
	size_t n = 0;
	int r;

	r = backend_use_list(call->driver->backend, id, BACKEND_USE_STAGED, &list, &n, e);
	if (!r)
		r = n ? text_copy(ret, 4096, list[0].path) : -ENOENT;
	if (!r)
		*ret_block = !strncmp(list[0].cap, "block", 5);
	free(list);
	return r;
}

static int grow_mapping(struct csi_call *call, const struct backend_volume *v,
			const struct csi_keys *keys, struct err *e)
{
	struct volume_key k = { .passphrase = keys->value, .keyslot = LUKS_ANY };
	struct volume_resize rs = { .size_sectors = v->size_bytes / SECTOR_SIZE_BYTES };
	bool needs;
	int r;

	r = volume_resize_needs_key(&call->driver->env, v->id, &needs, e);
	if (r)
		return r;
	if (needs && !keys->value)
		return err_set(e, -ENOKEY,
			       "the volume's key isn't kept (the driver forgets it when it is "
			       "restarted, unless it runs with --keep-key=table), and the request "
			       "has no secret; give the class a node-expand-secret "
			       "(csi.storage.k8s.io/node-expand-secret-name), or stage the volume "
			       "again");
	if (needs)
		rs.key = &k;
	return volume_resize(&call->driver->env, v->id, &rs, e);
}

static int grow_fs(struct csi_call *call, const struct backend_volume *v, const char *staging,
		   struct err *e)
{
	struct fs_mounted m;
	char device[4096];
	int r;

	r = fs_query_mount(staging, &m, e);
	r = r ?: node_device_of(call, v, m.readonly, device, e);
	if (!r && m.readonly)
		return err_set(e, -EBUSY, "the file system is mounted read-only and can't grow");
	r = r ?: fs_grow(device, staging, m.type, e);
	return r
		       ?: backend_set_fs(call->driver->backend, v->id, BACKEND_FORMATTED,
					 v->fs_nonce, v->size_bytes, e);
}

static enum csi_code expand_to(struct csi_call *call, struct backend_volume *v, uint64_t size,
			       const struct csi_keys *keys)
{
	struct backend *b = call->driver->backend;
	char staging[4096];
	struct err e = { 0 };
	bool block = false;
	int r;

	r = staged_at(call, v->id, staging, &block, &e);
	if (r == -ENOENT)
		return csi_fail(call, CSI_NOT_FOUND, "volume \"%s\" isn't staged on this node",
				v->id);
	/* The image lies here, so here it grows, whichever node's controller was asked first. */
	r = r ?: csi_grow(call, v->id, size, &e);
	v->size_bytes = size;
	r = r ?: backend_refresh(b, v->id, &e);
	if (!r && v->encrypted)
		r = grow_mapping(call, v, keys, &e);
	if (!r && !block)
		r = grow_fs(call, v, staging, &e);
	return r ? csi_fail_err(call, &e, "volume \"%s\" can't be expanded", v->id) : CSI_OK;
}

static enum csi_code expand(struct csi_call *call, const Csi__V1__NodeExpandVolumeRequest *q,
			    struct csi_keys *keys)
{
	struct backend_volume v = { .size_bytes = 0 };
	struct err e = { 0 };
	enum csi_code code;
	uint64_t size;
	int r;

	code = csi_get_volume(call, q->volume_id, &v);
	if (code)
		return code;
	r = backend_check_known(&v, &e);
	r = r ?: find_path(call, q->volume_id, q->volume_path, &e);
	if (r == -ENOENT)
		code = csi_fail(call, CSI_NOT_FOUND, "volume \"%s\" isn't at %s", q->volume_id,
				q->volume_path);
	else if (r || csi_size_pick(q->capacity_range, v.size_bytes, v.size_bytes, &size, &e))
		code = csi_fail_err(call, &e, "volume \"%s\"", q->volume_id);
	if (!code && csi_keys_take(csi_map(q->secrets, q->n_secrets), NULL, false, keys, &e))
		code = csi_fail_err(call, &e, "volume \"%s\"", q->volume_id);
	code = code ?: expand_to(call, &v, size, keys);
	if (!code) {
		Csi__V1__NodeExpandVolumeResponse *r_msg =
			csi_new(call, Csi__V1__NodeExpandVolumeResponse,
				csi__v1__node_expand_volume_response);

		if (r_msg)
			r_msg->capacity_bytes = (int64_t)v.size_bytes;
		code = csi_ok(call, (ProtobufCMessage *)r_msg);
	}
	backend_volume_clear(&v);
	return code;
}

enum csi_code node_expand_rpc(struct csi_call *call)
{
	const Csi__V1__NodeExpandVolumeRequest *q =
		(const Csi__V1__NodeExpandVolumeRequest *)call->request;
	struct csi_keys keys = { .value = NULL };
	struct csi_cap cap;
	struct err e = { 0 };
	enum csi_code code;

	if (!*q->volume_id)
		return csi_fail(call, CSI_INVALID_ARGUMENT, "volume_id: missing");
	if (!*q->volume_path)
		return csi_fail(call, CSI_INVALID_ARGUMENT, "volume_path: missing");
	if (q->volume_capability && csi_cap_parse(q->volume_capability, &cap, &e)) {
		e.code = -EINVAL;
		return csi_fail_err(call, &e, "NodeExpandVolume");
	}
	code = csi_enter(call, "volume", q->volume_id);
	if (code)
		return code;
	code = expand(call, q, &keys);
	csi_keys_clear(&keys);
	csi_leave(call, "volume", q->volume_id);
	return code;
}

/* ---- stats ---- */

static Csi__V1__VolumeUsage *usage(struct csi_call *call, Csi__V1__VolumeUsage__Unit unit,
				   uint64_t total, uint64_t used, uint64_t available)
{
	Csi__V1__VolumeUsage *u = csi_new(call, Csi__V1__VolumeUsage, csi__v1__volume_usage);

	if (!u)
		return NULL;
	u->unit = unit;
	u->total = (int64_t)total;
	u->used = (int64_t)used;
	u->available = (int64_t)available;
	return u;
}

static int fill_usage(struct csi_call *call, Csi__V1__NodeGetVolumeStatsResponse *r,
		      const char *path, struct err *e)
{
	struct fs_usage fs;
	struct stat st;
	uint64_t bytes;
	int rc;

	r->usage = csi_arena_alloc(call->arena, 2 * sizeof(*r->usage));
	if (!r->usage)
		return err_set(e, -ENOMEM, "no memory");
	if (stat(path, &st))
		return err_sys(e, -errno, "%s", path);
	if (S_ISBLK(st.st_mode)) {
		_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);

		rc = fd < 0 ? err_sys(e, -errno, "%s", path) : io_size(fd, &bytes, e);
		if (rc)
			return rc;
		r->usage[r->n_usage++] = usage(call, CSI__V1__VOLUME_USAGE__UNIT__BYTES, bytes, 0,
					       0);
		return r->usage[0] ? 0 : -ENOMEM;
	}
	rc = fs_query_usage(path, &fs, e);
	if (rc)
		return rc;
	r->usage[0] = usage(call, CSI__V1__VOLUME_USAGE__UNIT__BYTES, fs.total_bytes, fs.used_bytes,
			    fs.available_bytes);
	r->usage[1] = usage(call, CSI__V1__VOLUME_USAGE__UNIT__INODES, fs.total_inodes,
			    fs.used_inodes, fs.available_inodes);
	if (!r->usage[0] || !r->usage[1])
		return err_set(e, -ENOMEM, "no memory");
	r->n_usage = 2;
	return 0;
}

static bool is_device(const char *path)
{
	struct stat st;

	return !stat(path, &st) && S_ISBLK(st.st_mode);
}

enum csi_code node_stats_rpc(struct csi_call *call)
{
	const Csi__V1__NodeGetVolumeStatsRequest *q =
		(const Csi__V1__NodeGetVolumeStatsRequest *)call->request;
	Csi__V1__NodeGetVolumeStatsResponse *r = csi_new(call, Csi__V1__NodeGetVolumeStatsResponse,
							 csi__v1__node_get_volume_stats_response);
	struct backend_volume v = { .size_bytes = 0 };
	struct err e = { 0 };
	struct fs_mounted m;
	const char *trouble = "";
	enum csi_code code;
	bool known;
	int rc;

	if (!*q->volume_id)
		return csi_fail(call, CSI_INVALID_ARGUMENT, "volume_id: missing");
	if (!*q->volume_path)
		return csi_fail(call, CSI_INVALID_ARGUMENT, "volume_path: missing");
	rc = find_path(call, q->volume_id, q->volume_path, &e);
	/* kubelet asks for a block volume at a bind of its own, beside the target. */
	if (rc && node_volume_at(q->volume_id, q->volume_path))
		rc = 0;
	/* A static volume has uses and no record. */
	code = csi_get_volume(call, q->volume_id, &v);
	if (code && rc)
		return code;
	known = !code;
	if (rc) {
		backend_volume_clear(&v);
		return rc == -ENOENT ? csi_fail(call, CSI_NOT_FOUND, "volume \"%s\" isn't at %s",
						q->volume_id, q->volume_path)
				     : csi_fail_err(call, &e, "volume \"%s\"", q->volume_id);
	}
	if (r && fill_usage(call, r, q->volume_path, &e))
		trouble = err_text(
			&e); /* a broken file system is a condition, not a failure of the call */
	else if (known && !is_device(q->volume_path) &&
		 fs_query_mount(q->volume_path, &m, NULL))
		trouble = "nothing is mounted there any more";
	if (r)
		r->volume_condition = csi_condition(call, known ? q->volume_id : NULL, trouble);
	backend_volume_clear(&v);
	return csi_ok(call, r && r->volume_condition ? (ProtobufCMessage *)r : NULL);
}
