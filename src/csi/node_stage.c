// SPDX-License-Identifier: Apache-2.0
// NodeStageVolume and NodeUnstageVolume. Every step finds what an earlier, interrupted call did,
// and goes on from there.
#include "node.h"
#include "trouble.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

/* ---- what is to be staged ---- */

/* No record: a static volume names its device in volume_context. It is opened only, whatever its
 * bytes look like. */
static enum csi_code make_static(struct node_stage *s, const char *id)
{
	s->is_static = true;
	s->volume = (struct backend_volume){ .encrypted = s->class.encrypted,
					     .block = s->cap.block,
					     .format = BACKEND_FORMATTED,
					     .fs_format = BACKEND_FORMATTED };
	if (text_copy(s->volume.id, sizeof(s->volume.id), id) || dm_name_valid(id, NULL))
		return csi_fail(s->call, CSI_INVALID_ARGUMENT,
				"volume_id: \"%s\" can't be a mapping's name", id);
	return CSI_OK;
}

/* The recorded parameters decide; a static or adopted volume's come with the request. What was
 * modified since is laid over them. */
static enum csi_code find_volume(struct node_stage *s, const char *id, struct csi_map context)
{
	struct csi_map parameters, changed;
	struct err e = { 0 };
	enum csi_code code;
	int r = 0;

	if (csi_class_parse(context, CSI_CLASS_CONTEXT, &s->class, &e))
		return csi_fail_err(s->call, &e, "volume_context");
	if (s->class.device)
		return make_static(s, id);
	code = csi_get_volume(s->call, id, &s->volume);
	if (code)
		return code;
	if (s->volume.adopted) {
		s->volume.encrypted = s->class.encrypted;
	} else {
		r = csi_map_parse(s->call->arena, s->volume.parameters, &parameters, &e);
		r = r ?: csi_class_parse(parameters, CSI_CLASS_CONTEXT, &s->class, &e);
	}
	r = r ?: csi_map_parse(s->call->arena, s->volume.mutable_parameters, &changed, &e);
	r = r ?: csi_class_change(changed, CSI_CLASS_MUTABLE, &s->class, &e);
	return r ? csi_fail_err(s->call, &e, "volume \"%s\"", id) : CSI_OK;
}

/* A volume may be staged the other way than it was made: backup products write a file system's bytes
 * into a block volume, and read them from one. Nothing is formatted for that, then or later. */
static enum csi_code check_conversion(struct node_stage *s)
{
	const struct backend_volume *v = &s->volume;

	if (!s->cap.block) /* what a block volume holds is mounted, or nothing is */
		return v->encrypted && v->format == BACKEND_FORMAT_NONE
			       ? csi_fail(s->call, CSI_FAILED_PRECONDITION,
					  "volume_capability: volume \"%s\" is a new block volume "
					  "and holds no file system; it isn't formatted",
					  v->id)
			       : CSI_OK;
	return v->fs_format == BACKEND_FORMATTING
		       ? csi_fail(s->call, CSI_FAILED_PRECONDITION,
				  "\"%s\" is just being formatted for the first time", v->id)
		       : CSI_OK;
}

/* Recorded before a pod may write to the device: from then on nobody makes a file system over it. */
static enum csi_code give_up_formatting(struct node_stage *s)
{
	struct backend_volume *v = &s->volume;
	struct err e = { 0 };

	if (s->is_static || v->adopted || v->block || v->fs_format == BACKEND_FORMATTED)
		return CSI_OK;
	if (backend_set_fs(s->call->driver->backend, v->id, BACKEND_FORMATTED, "", 0, &e))
		return csi_fail_err(s->call, &e, "volume \"%s\"", v->id);
	v->fs_format = BACKEND_FORMATTED;
	return CSI_OK;
}

static enum csi_code check_cap(struct node_stage *s)
{
	if (!s->is_static && !s->volume.adopted && s->cap.block != s->volume.block &&
	    check_conversion(s))
		return s->call->code;
	if (!s->cap.block && *s->cap.fs_type && *s->volume.fs_type &&
	    strcmp(s->cap.fs_type, s->volume.fs_type) != 0)
		return csi_fail(s->call, CSI_FAILED_PRECONDITION,
				"volume_capability: volume \"%s\" holds %s, not %s", s->volume.id,
				s->volume.fs_type, s->cap.fs_type);
	return CSI_OK;
}

int node_find_use(struct csi_call *call, const char *id, enum backend_use_kind kind,
		  const char *path, struct backend_use *ret, size_t *ret_others, struct err *e)
{
	struct backend_use *list = NULL;
	size_t n = 0;
	int r, found = -ENOENT;

	*ret_others = 0;
	r = backend_use_list(call->driver->backend, id, kind, &list, &n, e);
	for (size_t i = 0; !r && i < n; i++) {
		if (!strcmp(list[i].path, path)) {
			*ret = list[i];
			found = 0;
		} else {
			(*ret_others)++;
		}
	}
	free(list);
	return r ?: found;
}

/* Where else it is staged. A record that the kernel contradicts, since it couldn't be dropped on a
 * full disk, doesn't count. */
static int find_elsewhere(const struct node_stage *s, bool *ret, struct err *e)
{
	struct backend *b = s->call->driver->backend;
	struct backend_use *list = NULL;
	size_t n = 0;
	int r;

	*ret = false;
	r = backend_use_list(b, s->volume.id, BACKEND_USE_STAGED, &list, &n, e);
	for (size_t i = 0; !r && i < n; i++) {
		if (!strcmp(list[i].path, s->staging))
			continue;
		if (backend_use_holds(b, s->volume.id, BACKEND_USE_STAGED, list[i].path))
			*ret = true;
		else
			node_forget_use(s->call, s->volume.id, BACKEND_USE_STAGED, list[i].path);
	}
	free(list);
	return r;
}

static enum csi_code check_staged(struct node_stage *s, const struct backend_use *want)
{
	struct backend *b = s->call->driver->backend;
	struct backend_use old;
	struct err e = { 0 };
	bool elsewhere;
	size_t others;
	int r;

	r = node_find_use(s->call, s->volume.id, BACKEND_USE_STAGED, s->staging, &old, &others, &e);
	if (r && r != -ENOENT)
		return csi_fail_err(s->call, &e, "volume \"%s\"", s->volume.id);
	s->known = !r && !strcmp(old.cap, want->cap) && old.readonly == want->readonly;
	if (!r && !s->known && backend_use_holds(b, s->volume.id, BACKEND_USE_STAGED, s->staging))
		return csi_fail(s->call, CSI_ALREADY_EXISTS,
				"volume \"%s\" is staged at %s with another capability",
				s->volume.id, s->staging);
	if (!r)
		return CSI_OK;
	if (find_elsewhere(s, &elsewhere, &e))
		return csi_fail_err(s->call, &e, "volume \"%s\"", s->volume.id);
	return elsewhere ? csi_fail(s->call, CSI_FAILED_PRECONDITION,
				    "volume \"%s\" is staged at another path on this node",
				    s->volume.id)
			 : CSI_OK;
}

/* ---- stage ---- */

/* A device of the kernel's, as what it is listed in sysfs: a line of text, "" where it has none. */
static void sysfs_line(dev_t device, const char *name, char *ret, size_t cap)
{
	_cleanup_free_ char *text = NULL;
	char path[96];

	snprintf(path, sizeof(path), "/sys/dev/block/%u:%u/%s", major(device), minor(device), name);
	if (io_read_file(path, 8192, &text, NULL) || text_copy(ret, cap, text))
		ret[0] = '\0';
	ret[strcspn(ret, "\n")] = '\0';
}

/* A static volume is a device of its own: one that names the mapping or the image of a recorded
 * volume would be a second way to that volume's data. */
static bool is_anothers(const struct node_stage *s, dev_t device)
{
	const struct csi_driver *d = s->call->driver;
	struct backend_volume v = { .size_bytes = 0 };
	char name[4096], dir[4096];

	sysfs_line(device, "loop/backing_file", name, sizeof(name));
	snprintf(dir, sizeof(dir), "%.4000s/volumes/", d->config.state_dir);
	if (*name && !strncmp(name, dir, strlen(dir)))
		return true;
	sysfs_line(device, "dm/name", name, sizeof(name));
	if (!*name || !csi_id_plausible(name) || backend_get(d->backend, name, &v, NULL))
		return false;
	backend_volume_clear(&v);
	return true;
}

static enum csi_code attach(struct node_stage *s)
{
	struct err e = { 0 };
	struct stat st;

	if (s->is_static) {
		if (text_copy(s->backing, sizeof(s->backing), s->class.device))
			return csi_fail(s->call, CSI_INVALID_ARGUMENT,
					"volume_context.device: too long");
		if (stat(s->backing, &st) || !S_ISBLK(st.st_mode))
			return csi_fail(s->call, CSI_NOT_FOUND,
					"volume_context.device: %s is no block device on this node",
					s->backing);
		if (is_anothers(s, st.st_rdev))
			return csi_fail(
				s->call, CSI_PERMISSION_DENIED,
				"volume_context.device: %s is another volume of this driver",
				s->backing);
		return CSI_OK;
	}
	if (backend_attach(s->call->driver->backend, s->volume.id, s->readonly, s->backing, &e))
		return csi_fail_err(s->call, &e, "volume \"%s\"", s->volume.id);
	return CSI_OK;
}

static enum csi_code open_device(struct node_stage *s)
{
	double t = base_now();
	enum csi_code code;

	if (!s->volume.encrypted) {
		memcpy(s->device, s->backing, sizeof(s->device));
		return CSI_OK;
	}
	code = node_open_crypt(s);
	csi_metrics_phase(s->call->driver->metrics, "open", base_now() - t);
	return code;
}

/* Undo only what this call did: a mapping that was there before stays. The record goes last, and
 * only where all else is gone: by it an unstage, or the next stage, finds what is left. */
static void undo(struct node_stage *s)
{
	struct backend *b = s->call->driver->backend;
	int r = 0;

	if (s->mounted)
		r = fs_unmount(s->staging, false, NULL);
	if (s->opened && !r)
		r = node_close_crypt(s->call->driver, s->volume.id, NULL);
	if (s->known || r)
		return;
	if (!s->is_static && *s->backing)
		r = backend_detach(b, s->volume.id, NULL);
	if (!r)
		(void)!backend_use_drop(b, s->volume.id, BACKEND_USE_STAGED, s->staging, NULL);
}

/* An adopted volume that could be staged: now it is known what it holds, and its record says so. */
static int settle(struct node_stage *s, struct csi_map context, struct err *e)
{
	struct backend_volume v = s->volume;
	struct fs_mounted m = { .type = "" };
	struct csi_map kept;
	int r;

	v.block = s->cap.block;
	v.header_bytes = v.encrypted ? v.pin.data_offset_bytes : 0;
	v.size_bytes -= v.header_bytes; /* so far the image's */
	v.fs_type[0] = '\0';
	if (!v.block)
		r = fs_query_mount(s->staging, &m, e)
			    ?: text_copy(v.fs_type, sizeof(v.fs_type), m.type);
	else
		r = 0;
	r = r ?: csi_class_keep(s->call->arena, context, CSI_CLASS_CONTEXT, &kept, e);
	if (r)
		return r;
	r = csi_map_json(kept, &v.parameters, e);
	if (r)
		return r;
	r = backend_set_known(s->call->driver->backend, &v, e);
	free(v.parameters);
	return r;
}

static enum csi_code stage(struct node_stage *s, const struct backend_use *use,
			   struct csi_map context)
{
	struct backend *b = s->call->driver->backend;
	struct err e = { 0 };
	enum csi_code code;
	double t;

	/* The record first: what a crash leaves mounted is found by it. */
	if (!s->known && backend_use_put(b, s->volume.id, BACKEND_USE_STAGED, use, &e))
		return csi_fail_err(s->call, &e, "volume \"%s\"", s->volume.id);
	code = attach(s);
	code = code ?: open_device(s);
	if (!code && s->cap.block)
		code = give_up_formatting(s);
	if (!code && !s->cap.block) {
		t = base_now();
		code = node_mount(s);
		csi_metrics_phase(s->call->driver->metrics, "mount", base_now() - t);
	}
	if (!code && s->volume.adopted && settle(s, context, &e))
		code = csi_fail_err(s->call, &e, "volume \"%s\"", s->volume.id);
	if (code)
		undo(s);
	return code;
}

static enum csi_code take_keys(struct node_stage *s, struct csi_map secrets)
{
	struct err e = { 0 };

	if (csi_keys_take(secrets, &s->class, s->volume.encrypted, &s->keys, &e))
		return csi_fail_err(s->call, &e, "volume \"%s\"", s->volume.id);
	return CSI_OK;
}

static enum csi_code stage_locked(struct csi_call *call, const Csi__V1__NodeStageVolumeRequest *q,
				  const struct csi_cap *cap)
{
	struct node_stage *s = csi_arena_alloc(call->arena, sizeof(*s));
	struct backend_use *use = csi_arena_alloc(call->arena, sizeof(*use));
	struct csi_map context = csi_map(q->volume_context, q->n_volume_context);
	enum csi_code code;

	if (!s || !use || text_copy(use->path, sizeof(use->path), q->staging_target_path))
		return csi_fail(call, CSI_RESOURCE_EXHAUSTED, "no memory for the request");
	s->call = call;
	s->cap = *cap;
	s->staging = q->staging_target_path;
	s->readonly = csi_cap_readonly_mode(cap);
	use->readonly = s->readonly;
	csi_cap_text(cap, use->cap);
	code = find_volume(s, q->volume_id, context);
	code = code ?: check_cap(s);
	code = code ?: take_keys(s, csi_map(q->secrets, q->n_secrets));
	code = code ?: check_staged(s, use);
	code = code ?: stage(s, use, context);
	csi_keys_clear(&s->keys);
	if (!s->is_static)
		backend_volume_clear(&s->volume);
	return code;
}

enum csi_code node_stage_rpc(struct csi_call *call)
{
	const Csi__V1__NodeStageVolumeRequest *q =
		(const Csi__V1__NodeStageVolumeRequest *)call->request;
	struct csi_cap cap;
	struct err e = { 0 };
	enum csi_code code;

	if (!*q->volume_id)
		return csi_fail(call, CSI_INVALID_ARGUMENT, "volume_id: missing");
	if (!*q->staging_target_path)
		return csi_fail(call, CSI_INVALID_ARGUMENT, "staging_target_path: missing");
	if (q->staging_target_path[0] != '/')
		return csi_fail(call, CSI_INVALID_ARGUMENT, "staging_target_path: not absolute");
	if (csi_cap_parse(q->volume_capability, &cap, &e))
		return csi_fail_err(call, &e, "NodeStageVolume");
	code = csi_enter(call, "volume", q->volume_id);
	if (code)
		return code;
	code = stage_locked(call, q, &cap);
	csi_leave(call, "volume", q->volume_id);
	if (code)
		return code;
	return csi_ok(call, (ProtobufCMessage *)csi_new(call, Csi__V1__NodeStageVolumeResponse,
							csi__v1__node_stage_volume_response));
}

/* ---- unstage: no secret, no record needed ---- */

/* Mounts of others are left alone, and a volume that is staged at another path stays open. A static
 * volume's name may be the name of anybody's mapping: it is closed only where it was staged. */
static int unstage(struct csi_call *call, const char *id, const char *path, struct err *e)
{
	struct csi_driver *d = call->driver;
	bool here, ours = csi_id_plausible(id) && backend_id_is_ours(d->backend, id);
	size_t others = 0;
	int r = 0;

	here = node_is_used_at(call, id, BACKEND_USE_STAGED, path, &others);
	if (here)
		r = fs_unmount(path, false, e);
	if (!r && !others && (ours || here) && !dm_name_valid(id, NULL))
		r = node_close_crypt(d, id, e);
	if (!r && !others && ours)
		r = backend_detach(d->backend, id, e);
	if (!r)
		node_forget_use(call, id, BACKEND_USE_STAGED, path);
	return r;
}

enum csi_code node_unstage_rpc(struct csi_call *call)
{
	const Csi__V1__NodeUnstageVolumeRequest *q =
		(const Csi__V1__NodeUnstageVolumeRequest *)call->request;
	struct err e = { 0 };
	enum csi_code code;
	double t;

	if (!*q->volume_id)
		return csi_fail(call, CSI_INVALID_ARGUMENT, "volume_id: missing");
	if (!*q->staging_target_path)
		return csi_fail(call, CSI_INVALID_ARGUMENT, "staging_target_path: missing");
	if (q->staging_target_path[0] != '/')
		return csi_fail(call, CSI_INVALID_ARGUMENT, "staging_target_path: not absolute");
	code = csi_enter(call, "volume", q->volume_id);
	if (code)
		return code;
	t = base_now();
	if (unstage(call, q->volume_id, q->staging_target_path, &e))
		code = csi_fail_err(call, &e, "volume \"%s\"", q->volume_id);
	else
		csi_watch_forget(call->driver, q->volume_id);
	csi_metrics_phase(call->driver->metrics, "unstage", base_now() - t);
	csi_leave(call, "volume", q->volume_id);
	if (code)
		return code;
	return csi_ok(call, (ProtobufCMessage *)csi_new(call, Csi__V1__NodeUnstageVolumeResponse,
							csi__v1__node_unstage_volume_response));
}
