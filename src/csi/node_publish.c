// SPDX-License-Identifier: Apache-2.0
// NodePublishVolume and NodeUnpublishVolume: bind mounts, of the staged file system or of the
// device's node.
#include "node.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#define MODE(m) CSI__V1__VOLUME_CAPABILITY__ACCESS_MODE__MODE__##m

int node_device_of(struct csi_call *call, const struct backend_volume *v, bool readonly,
		   char ret[4096], struct err *e)
{
	if (v->encrypted) {
		node_mapping_path(v->id, ret);
		return 0;
	}
	return backend_attach(call->driver->backend, v->id, readonly, ret,
			      e); /* attached at stage: found again */
}

/* ---- may it be published here? (CSI 1.12, second NodePublishVolume) ---- */

static bool one_target_only(Csi__V1__VolumeCapability__AccessMode__Mode mode)
{
	/* Pods of one node share a volume in the other modes; the driver says so by
	 * SINGLE_NODE_MULTI_WRITER. */
	return mode == MODE(SINGLE_NODE_SINGLE_WRITER);
}

/* Is it mounted at another target? A record alone may be left from before the node was started
 * again. */
static bool mounted_elsewhere(struct csi_call *call, const char *id, const char *target)
{
	struct backend_use *list = NULL;
	struct fs_mounted m;
	bool found = false;
	size_t n = 0;

	if (backend_use_list(call->driver->backend, id, BACKEND_USE_TARGET, &list, &n, NULL))
		return true;
	for (size_t i = 0; i < n && !found; i++)
		found = strcmp(list[i].path, target) != 0 &&
			!fs_query_mount(list[i].path, &m, NULL);
	free(list);
	return found;
}

static enum csi_code check_second(struct csi_call *call, const Csi__V1__NodePublishVolumeRequest *q,
				  const struct csi_cap *cap, const struct backend_use *want,
				  bool *ret_known)
{
	struct backend_use old;
	struct fs_mounted m;
	struct err e = { 0 };
	size_t others;
	int r;

	*ret_known = false;
	r = node_find_use(call, q->volume_id, BACKEND_USE_TARGET, q->target_path, &old, &others,
			  &e);
	if (r && r != -ENOENT)
		return csi_fail_err(call, &e, "volume \"%s\"", q->volume_id);
	*ret_known = !r && old.readonly == want->readonly &&
		     csi_cap_text_same(old.cap, want->cap);
	/* A record of what isn't mounted any more couldn't be dropped: the disk was full. */
	if (!r && !*ret_known && !fs_query_mount(q->target_path, &m, NULL))
		return csi_fail(
			call, CSI_ALREADY_EXISTS,
			"volume \"%s\" is published at %s with another capability or readonly flag",
			q->volume_id, q->target_path);
	if (r && others && one_target_only(cap->mode) &&
	    mounted_elsewhere(call, q->volume_id, q->target_path))
		return csi_fail(call, CSI_FAILED_PRECONDITION,
				"volume \"%s\" is published at another path, and its access mode "
				"allows one only",
				q->volume_id);
	return CSI_OK;
}

static enum csi_code check_staging(struct csi_call *call,
				   const Csi__V1__NodePublishVolumeRequest *q,
				   const struct csi_cap *cap)
{
	struct backend_use staged;
	struct fs_mounted m;
	struct err e = { 0 };
	char text[512];
	size_t others;
	int r;

	r = node_find_use(call, q->volume_id, BACKEND_USE_STAGED, q->staging_target_path, &staged,
			  &others, &e);
	if (r == -ENOENT)
		return csi_fail(call, CSI_FAILED_PRECONDITION, "volume \"%s\" isn't staged at %s",
				q->volume_id, q->staging_target_path);
	if (r)
		return csi_fail_err(call, &e, "volume \"%s\"", q->volume_id);
	csi_cap_text(cap, text);
	if (!strncmp(staged.cap, "block", 5) != cap->block)
		return csi_fail(call, CSI_FAILED_PRECONDITION,
				"volume_capability: volume \"%s\" is staged the other way",
				q->volume_id);
	/* A node that was started again has the record and nothing mounted: an empty folder is no
	 * volume. */
	if (!cap->block && fs_query_mount(q->staging_target_path, &m, NULL))
		return csi_fail(call, CSI_FAILED_PRECONDITION,
				"volume \"%s\": nothing is mounted at %s any more; it has to be "
				"staged again",
				q->volume_id, q->staging_target_path);
	return CSI_OK;
}

/* ---- publish ---- */

static int make_target(const char *path, bool block, struct err *e)
{
	struct stat st;
	int fd;

	if (!block && mkdir(path, 0750) && errno != EEXIST)
		return err_sys(e, -errno, "target_path: %s can't be made", path);
	if (block) {
		fd = open(path, O_CREAT | O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0640);
		if (fd < 0 && errno != ELOOP && errno != EISDIR)
			return err_sys(e, -errno, "target_path: %s can't be made", path);
		base_closep(&fd);
	}
	/* The kernel would follow a link, and mount on what nobody could find again. */
	if (lstat(path, &st))
		return err_sys(e, -errno, "target_path: %s", path);
	if (block ? !S_ISREG(st.st_mode) : !S_ISDIR(st.st_mode))
		return err_set(e, -EINVAL, "target_path: %s is there, and is no %s", path,
			       block ? "regular file" : "folder");
	return 0;
}

static int remove_target(const char *path, struct err *e)
{
	if (!rmdir(path) || errno == ENOENT)
		return 0;
	if (errno == ENOTDIR && (!unlink(path) || errno == ENOENT))
		return 0;
	/* Files that lay in the folder below the mount are somebody's. To fail for them would hold
	 * up the end of the pod, and nothing here could ever help. */
	if (errno == ENOTEMPTY || errno == EEXIST) {
		csi_logf(CSI_LOG_WARNING, "target", "%s isn't empty without its mount; it stays",
			 path);
		return 0;
	}
	return err_sys(e, -errno, "target_path: %s can't be removed", path);
}

/* A bind mount shows what it was made of: the staged file system's device, or the node of the
 * volume's device. */
static bool target_is_right(const char *target, const char *source, bool block)
{
	struct stat a, b;

	if (stat(target, &a) || stat(source, &b))
		return false;
	return block ? S_ISBLK(a.st_mode) && a.st_rdev == b.st_rdev : a.st_dev == b.st_dev;
}

static int publish(const Csi__V1__NodePublishVolumeRequest *q, const struct csi_cap *cap,
		   const char *source, bool readonly, bool known, struct err *e)
{
	struct fs_mount m = { .source = source,
			      .target = q->target_path,
			      .readonly = readonly,
			      .flags = (const char *const *)cap->mount_flags,
			      .n_flags = cap->n_mount_flags };
	struct fs_mounted old;
	int r;

	if (!fs_query_mount(q->target_path, &old, NULL) &&
	    target_is_right(q->target_path, source, cap->block))
		return fs_finish_bind(&m, e); /* the driver may have been killed before */
	r = node_clear_mount(q->volume_id, q->target_path, known, e);
	r = r ?: make_target(q->target_path, cap->block, e);
	if (r)
		return r;
	err_clear(e);
	r = fs_mount_on(&m, e);
	if (r)
		(void)!remove_target(q->target_path, NULL);
	return r;
}

/* The device of a block volume as its node; a static one is named by the context. */
static enum csi_code source_of(struct csi_call *call, const Csi__V1__NodePublishVolumeRequest *q,
			       const struct csi_cap *cap, char ret[4096])
{
	struct backend_volume v = { .size_bytes = 0 };
	struct csi_class class;
	struct err e = { 0 };
	enum csi_code code;
	int r;

	if (csi_class_parse(csi_map(q->volume_context, q->n_volume_context), CSI_CLASS_CONTEXT,
			    &class, &e))
		return csi_fail_err(call, &e, "volume_context");
	if (!class.device) {
		code = csi_get_volume(call, q->volume_id, &v);
		if (code)
			return code;
	}
	r = backend_check_known(&v, &e);
	if (r) {
		backend_volume_clear(&v);
		return csi_fail_err(call, &e, "NodePublishVolume");
	}
	if (!cap->block) {
		r = text_copy(ret, 4096, q->staging_target_path);
	} else if (class.device) {
		r = 0;
		if (class.encrypted)
			node_mapping_path(q->volume_id, ret);
		else
			r = text_copy(ret, 4096, class.device);
	} else {
		r = node_device_of(call, &v, csi_cap_readonly_mode(cap), ret, &e);
	}
	backend_volume_clear(&v);
	return r ? csi_fail_err(call, &e, "volume \"%s\"", q->volume_id) : CSI_OK;
}

/* The node of a device can be written through whatever its mount says: only a device that is
 * read-only itself keeps that promise. */
static enum csi_code check_readonly_block(struct csi_call *call,
					  const Csi__V1__NodePublishVolumeRequest *q,
					  const struct csi_cap *cap, const char *source)
{
	_cleanup_free_ char *text = NULL;
	struct stat st;
	char path[64];

	if (!cap->block || !q->readonly)
		return CSI_OK;
	if (!stat(source, &st)) {
		snprintf(path, sizeof(path), "/sys/dev/block/%u:%u/ro", major(st.st_rdev),
			 minor(st.st_rdev));
		if (!io_read_file(path, 64, &text, NULL) && text[0] == '1')
			return CSI_OK;
	}
	return csi_fail(call, CSI_FAILED_PRECONDITION,
			"readonly: the device of volume \"%s\" can be written, and a read-only "
			"target wouldn't change that; claim it with an access mode that only reads",
			q->volume_id);
}

static enum csi_code publish_locked(struct csi_call *call,
				    const Csi__V1__NodePublishVolumeRequest *q,
				    const struct csi_cap *cap)
{
	struct backend_use *use = csi_arena_alloc(call->arena, sizeof(*use));
	struct err e = { 0 };
	char source[4096];
	enum csi_code code;
	bool known = false;

	if (!use || text_copy(use->path, sizeof(use->path), q->target_path))
		return csi_fail(call, CSI_RESOURCE_EXHAUSTED, "no memory for the request");
	use->readonly = q->readonly || csi_cap_readonly_mode(cap);
	csi_cap_text(cap, use->cap);
	code = check_second(call, q, cap, use, &known);
	code = code ?: source_of(call, q, cap, source);
	code = code ?: check_staging(call, q, cap);
	code = code ?: check_readonly_block(call, q, cap, source);
	if (code)
		return code;
	/* The record first: a mount that nobody knows of could never be found again. */
	if (!known &&
	    backend_use_put(call->driver->backend, q->volume_id, BACKEND_USE_TARGET, use, &e))
		return csi_fail_err(call, &e, "volume \"%s\"", q->volume_id);
	if (publish(q, cap, source, use->readonly, known, &e)) {
		code = csi_fail_err(call, &e, "volume \"%s\"", q->volume_id);
		if (!known)
			(void)!backend_use_drop(call->driver->backend, q->volume_id,
						BACKEND_USE_TARGET, q->target_path, NULL);
	}
	return code;
}

enum csi_code node_publish_rpc(struct csi_call *call)
{
	const Csi__V1__NodePublishVolumeRequest *q =
		(const Csi__V1__NodePublishVolumeRequest *)call->request;
	struct csi_cap cap;
	struct err e = { 0 };
	enum csi_code code;

	if (!*q->volume_id)
		return csi_fail(call, CSI_INVALID_ARGUMENT, "volume_id: missing");
	if (!*q->target_path)
		return csi_fail(call, CSI_INVALID_ARGUMENT, "target_path: missing");
	if (q->target_path[0] != '/')
		return csi_fail(call, CSI_INVALID_ARGUMENT, "target_path: not absolute");
	if (csi_cap_parse(q->volume_capability, &cap, &e))
		return csi_fail_err(call, &e, "NodePublishVolume");
	if (!*q->staging_target_path)
		return csi_fail(call, CSI_FAILED_PRECONDITION,
				"staging_target_path: missing, and volumes are staged first");
	code = csi_enter(call, "volume", q->volume_id);
	if (code)
		return code;
	code = publish_locked(call, q, &cap);
	csi_leave(call, "volume", q->volume_id);
	if (code)
		return code;
	return csi_ok(call, (ProtobufCMessage *)csi_new(call, Csi__V1__NodePublishVolumeResponse,
							csi__v1__node_publish_volume_response));
}

/* ---- unpublish ---- */

static enum csi_code unpublish(struct csi_call *call, const char *id, const char *path)
{
	struct err e = { 0 };
	int r;

	r = fs_unmount(path, false, &e);
	r = r ?: remove_target(path, &e);
	if (r)
		return csi_fail_err(call, &e, "volume \"%s\"", id);
	node_forget_use(call, id, BACKEND_USE_TARGET, path);
	return CSI_OK;
}

enum csi_code node_unpublish_rpc(struct csi_call *call)
{
	const Csi__V1__NodeUnpublishVolumeRequest *q =
		(const Csi__V1__NodeUnpublishVolumeRequest *)call->request;
	enum csi_code code;
	size_t others;

	if (!*q->volume_id)
		return csi_fail(call, CSI_INVALID_ARGUMENT, "volume_id: missing");
	if (!*q->target_path)
		return csi_fail(call, CSI_INVALID_ARGUMENT, "target_path: missing");
	if (q->target_path[0] != '/')
		return csi_fail(call, CSI_INVALID_ARGUMENT, "target_path: not absolute");
	code = csi_enter(call, "volume", q->volume_id);
	if (code)
		return code;
	/* Only what was published by us is unmounted and removed. */
	if (node_is_used_at(call, q->volume_id, BACKEND_USE_TARGET, q->target_path, &others))
		code = unpublish(call, q->volume_id, q->target_path);
	csi_leave(call, "volume", q->volume_id);
	if (code)
		return code;
	return csi_ok(call, (ProtobufCMessage *)csi_new(call, Csi__V1__NodeUnpublishVolumeResponse,
							csi__v1__node_unpublish_volume_response));
}
