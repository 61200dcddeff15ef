// SPDX-License-Identifier: Apache-2.0
// ControllerPublish and -Unpublish (records only: the volume lives on its node),
// ValidateVolumeCapabilities, Modify.
#include "controller.h"

static int find_use(struct csi_call *call, const char *id, const char *path,
		    struct backend_use *ret, size_t *ret_others, char other[4096], struct err *e)
{
	struct backend_use *list = NULL;
	size_t n = 0;
	int r, found = -ENOENT;

	*ret_others = 0;
	r = backend_use_list(call->driver->backend, id, BACKEND_USE_NODE, &list, &n, e);
	for (size_t i = 0; !r && i < n; i++) {
		if (!strcmp(list[i].path, path)) {
			*ret = list[i];
			found = 0;
		} else {
			(*ret_others)++;
			text_copy(other, 4096, list[i].path);
		}
	}
	free(list);
	return r ?: found;
}

static enum csi_code check_limit(struct csi_call *call, const char *node_id)
{
	int64_t limit = call->driver->config.max_volumes_per_node;
	struct err e = { 0 };
	uint64_t n;

	if (!limit)
		return CSI_OK;
	if (backend_use_count(call->driver->backend, BACKEND_USE_NODE, node_id, &n, &e))
		return csi_fail_err(call, &e, "node \"%s\"", node_id);
	if (n >= (uint64_t)limit)
		return csi_fail(call, CSI_RESOURCE_EXHAUSTED,
				"node \"%s\" has its limit of %lld volumes", node_id,
				(long long)limit);
	return CSI_OK;
}

static enum csi_code publish(struct csi_call *call,
			     const Csi__V1__ControllerPublishVolumeRequest *q,
			     const struct csi_cap *cap)
{
	struct backend_use use = { .readonly = q->readonly || csi_cap_readonly_mode(cap) }, old;
	char other[4096] = "";
	struct err e = { 0 };
	size_t others;
	int r;

	text_copy(use.path, sizeof(use.path), q->node_id);
	csi_cap_text(cap, use.cap);
	r = find_use(call, q->volume_id, q->node_id, &old, &others, other, &e);
	if (!r && (old.readonly != use.readonly || strcmp(old.cap, use.cap) != 0))
		return csi_fail(call, CSI_ALREADY_EXISTS,
				"volume \"%s\" is published to node \"%s\" with another capability "
				"or readonly flag",
				q->volume_id, q->node_id);
	if (r == -ENOENT && others)
		return csi_fail(call, CSI_FAILED_PRECONDITION,
				"volume \"%s\" is published to node \"%s\"", q->volume_id, other);
	if (r && r != -ENOENT)
		return csi_fail_err(call, &e, "volume \"%s\"", q->volume_id);
	if (r) {
		if (check_limit(call, q->node_id))
			return call->code;
		r = backend_use_put(call->driver->backend, q->volume_id, BACKEND_USE_NODE, &use,
				    &e);
	}
	return r ? csi_fail_err(call, &e, "volume \"%s\"", q->volume_id) : CSI_OK;
}

/* The records know one node: this one. */
static enum csi_code check_node(struct csi_call *call, const char *node_id)
{
	if (!strcmp(node_id, call->driver->config.node_id))
		return CSI_OK;
	return csi_fail(call, CSI_NOT_FOUND, "node \"%s\" isn't known here; this is node \"%s\"",
			node_id, call->driver->config.node_id);
}

enum csi_code csi_controller_publish(struct csi_call *call)
{
	const Csi__V1__ControllerPublishVolumeRequest *q =
		(const Csi__V1__ControllerPublishVolumeRequest *)call->request;
	struct backend_volume v = { .size_bytes = 0 };
	struct csi_cap cap;
	struct err e = { 0 };
	enum csi_code code;

	if (!*q->volume_id)
		return csi_fail(call, CSI_INVALID_ARGUMENT, "volume_id: missing");
	if (!*q->node_id)
		return csi_fail(call, CSI_INVALID_ARGUMENT, "node_id: missing");
	if (csi_cap_parse(q->volume_capability, &cap, &e)) {
		e.code = -EINVAL;
		return csi_fail_err(call, &e, "ControllerPublishVolume");
	}
	code = csi_enter(call, "volume", q->volume_id);
	if (code)
		return code;
	code = csi_get_volume(call, q->volume_id, &v);
	code = code ?: check_node(call, q->node_id);
	code = code ?: publish(call, q, &cap);
	backend_volume_clear(&v);
	csi_leave(call, "volume", q->volume_id);
	if (code)
		return code;
	return csi_ok(call,
		      (ProtobufCMessage *)csi_new(call, Csi__V1__ControllerPublishVolumeResponse,
						  csi__v1__controller_publish_volume_response));
}

static int unpublish_all(struct csi_call *call, const char *id, struct err *e)
{
	struct backend_use *list = NULL;
	size_t n = 0;
	int r;

	r = backend_use_list(call->driver->backend, id, BACKEND_USE_NODE, &list, &n, e);
	for (size_t i = 0; !r && i < n; i++)
		r = backend_use_drop(call->driver->backend, id, BACKEND_USE_NODE, list[i].path, e);
	free(list);
	return r;
}

enum csi_code csi_controller_unpublish(struct csi_call *call)
{
	const Csi__V1__ControllerUnpublishVolumeRequest *q =
		(const Csi__V1__ControllerUnpublishVolumeRequest *)call->request;
	struct err e = { 0 };
	enum csi_code code;
	int r = 0;

	if (!*q->volume_id)
		return csi_fail(call, CSI_INVALID_ARGUMENT, "volume_id: missing");
	code = csi_enter(call, "volume", q->volume_id);
	if (code)
		return code;
	/* Volume or node unknown: it isn't attached, which is what was asked for. */
	if (csi_id_plausible(q->volume_id))
		r = *q->node_id ? backend_use_drop(call->driver->backend, q->volume_id,
						   BACKEND_USE_NODE, q->node_id, &e)
				: unpublish_all(call, q->volume_id, &e);
	csi_leave(call, "volume", q->volume_id);
	if (r && r != -ENOENT)
		return csi_fail_err(call, &e, "volume \"%s\"", q->volume_id);
	return csi_ok(call,
		      (ProtobufCMessage *)csi_new(call, Csi__V1__ControllerUnpublishVolumeResponse,
						  csi__v1__controller_unpublish_volume_response));
}

/* ---- validate ---- */

/* Why the volume can't do what is asked; NULL where it can. */
static const char *refusal(const Csi__V1__ValidateVolumeCapabilitiesRequest *q,
			   const struct backend_volume *v, struct err *e)
{
	struct csi_class class;
	struct csi_cap cap;
	uint32_t modes;

	if (csi_caps_parse(q->volume_capabilities, q->n_volume_capabilities, &cap, &modes, e))
		return err_text(e);
	if (v->adopted)
		return NULL; /* the first stage shows it */
	if (cap.block != v->block)
		return v->block ? "the volume is a block volume" : "the volume is a mount volume";
	if (*cap.fs_type && strcmp(cap.fs_type, v->fs_type) != 0)
		return "the volume has another file system type";
	if (csi_class_parse(csi_map(q->parameters, q->n_parameters), CSI_CLASS_VOLUME, &class, e))
		return err_text(e);
	if (q->n_parameters && class.encrypted != v->encrypted)
		return v->encrypted ? "the volume is encrypted" : "the volume isn't encrypted";
	return NULL;
}

enum csi_code csi_validate_capabilities(struct csi_call *call)
{
	const Csi__V1__ValidateVolumeCapabilitiesRequest *q =
		(const Csi__V1__ValidateVolumeCapabilitiesRequest *)call->request;
	Csi__V1__ValidateVolumeCapabilitiesResponse *r =
		csi_new(call, Csi__V1__ValidateVolumeCapabilitiesResponse,
			csi__v1__validate_volume_capabilities_response);
	Csi__V1__ValidateVolumeCapabilitiesResponse__Confirmed *yes =
		csi_new(call, Csi__V1__ValidateVolumeCapabilitiesResponse__Confirmed,
			csi__v1__validate_volume_capabilities_response__confirmed);
	struct backend_volume v = { .size_bytes = 0 };
	struct err e = { 0 };
	const char *why;
	enum csi_code code;

	if (!*q->volume_id)
		return csi_fail(call, CSI_INVALID_ARGUMENT, "volume_id: missing");
	if (!q->n_volume_capabilities)
		return csi_fail(call, CSI_INVALID_ARGUMENT, "volume_capabilities: missing");
	code = csi_get_volume(call, q->volume_id, &v);
	if (code)
		return code;
	why = refusal(q, &v, &e);
	if (r && yes && why) {
		r->message = csi_arena_strdup(call->arena, why);
	} else if (r && yes) {
		yes->volume_context = csi_copy_map(call,
						   csi_map(q->volume_context, q->n_volume_context));
		yes->n_volume_context = q->n_volume_context;
		yes->volume_capabilities = q->volume_capabilities;
		yes->n_volume_capabilities = q->n_volume_capabilities;
		yes->parameters = csi_copy_map(call, csi_map(q->parameters, q->n_parameters));
		yes->n_parameters = q->n_parameters;
		r->confirmed = yes;
	}
	backend_volume_clear(&v);
	return csi_ok(call, r && yes && r->message ? (ProtobufCMessage *)r : NULL);
}

/* ---- modify ---- */

/* Named keys change, absent ones stay: the recorded map with the request's laid over it. */
static int merge(struct csi_call *call, const struct backend_volume *v, struct csi_map change,
		 char **ret, struct err *e)
{
	struct csi_map old, all = { NULL, 0 };
	int r;

	r = csi_map_parse(call->arena, v->mutable_parameters, &old, e);
	if (r)
		return r;
	all.entries = csi_arena_alloc(call->arena, (old.n + change.n) * sizeof(*all.entries));
	if (!all.entries)
		return err_set(e, -ENOMEM, "no memory for the parameters");
	for (size_t i = 0; i < old.n; i++)
		if (!csi_map_get(change, old.entries[i]->key))
			all.entries[all.n++] = old.entries[i];
	for (size_t i = 0; i < change.n; i++)
		all.entries[all.n++] = change.entries[i];
	return csi_map_json(all, ret, e);
}

static enum csi_code modify(struct csi_call *call, const char *id, struct csi_map change)
{
	struct backend_volume v = { .size_bytes = 0 };
	_cleanup_free_ char *json = NULL;
	struct err e = { 0 };
	enum csi_code code;
	int r;

	code = csi_get_volume(call, id, &v);
	if (code)
		return code;
	r = merge(call, &v, change, &json, &e);
	if (!r && strcmp(json, v.mutable_parameters ? v.mutable_parameters : "{}") != 0)
		r = backend_set_mutable(call->driver->backend, id, json, &e);
	backend_volume_clear(&v);
	return r ? csi_fail_err(call, &e, "volume \"%s\"", id) : CSI_OK;
}

enum csi_code csi_modify_volume(struct csi_call *call)
{
	const Csi__V1__ControllerModifyVolumeRequest *q =
		(const Csi__V1__ControllerModifyVolumeRequest *)call->request;
	struct csi_map change = csi_map(q->mutable_parameters, q->n_mutable_parameters);
	struct csi_class class;
	struct err e = { 0 };
	enum csi_code code;

	if (!*q->volume_id)
		return csi_fail(call, CSI_INVALID_ARGUMENT, "volume_id: missing");
	if (!change.n)
		return csi_fail(call, CSI_INVALID_ARGUMENT, "mutable_parameters: missing");
	/* All keys are checked before anything changes; they take effect at the next stage. */
	if (csi_class_parse(change, CSI_CLASS_MUTABLE, &class, &e))
		return csi_fail_err(call, &e, "mutable_parameters");
	if (csi_id_elsewhere(call, q->volume_id))
		return csi_fail(call, CSI_FAILED_PRECONDITION,
				"volume \"%s\" lives on another node, and its record can only be "
				"changed there",
				q->volume_id);
	code = csi_enter(call, "volume", q->volume_id);
	if (code)
		return code;
	code = modify(call, q->volume_id, change);
	csi_leave(call, "volume", q->volume_id);
	if (code)
		return code;
	return csi_ok(call,
		      (ProtobufCMessage *)csi_new(call, Csi__V1__ControllerModifyVolumeResponse,
						  csi__v1__controller_modify_volume_response));
}
