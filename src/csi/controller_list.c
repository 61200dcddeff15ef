// SPDX-License-Identifier: Apache-2.0
// ListVolumes, ControllerGetVolume, GetCapacity and ControllerExpandVolume.
#include "controller.h"
#include "trouble.h"

#include <inttypes.h>

/* Tokens are the id of the last entry given: still good when that entry is gone. */
enum csi_code csi_token_check(struct csi_call *call, const char *token, int32_t max_entries)
{
	if (max_entries < 0)
		return csi_fail(call, CSI_INVALID_ARGUMENT, "max_entries: negative");
	if (*token && !(csi_id_plausible(token) && csi_id_has_node(token)))
		return csi_fail(call, CSI_ABORTED,
				"starting_token: not one of ours; start the list again");
	return CSI_OK;
}

/* ---- list and get ---- */

static int published_nodes(struct csi_call *call, const char *id, char ***ret, size_t *ret_n,
			   struct err *e)
{
	struct backend_use *list = NULL;
	size_t n = 0;
	char **nodes;
	int r;

	r = backend_use_list(call->driver->backend, id, BACKEND_USE_NODE, &list, &n, e);
	if (r)
		return r;
	nodes = csi_arena_alloc(call->arena, (n + 1) * sizeof(*nodes));
	for (size_t i = 0; nodes && i < n; i++)
		nodes[i] = csi_arena_strdup(call->arena, list[i].path);
	free(list);
	if (!nodes)
		return err_set(e, -ENOMEM, "no memory for the list");
	*ret = nodes;
	*ret_n = n;
	return 0;
}

static Csi__V1__ListVolumesResponse__Entry *list_entry(struct csi_call *call,
						       const struct backend_volume *v)
{
	Csi__V1__ListVolumesResponse__Entry *en = csi_new(call, Csi__V1__ListVolumesResponse__Entry,
							  csi__v1__list_volumes_response__entry);
	Csi__V1__ListVolumesResponse__VolumeStatus *st =
		csi_new(call, Csi__V1__ListVolumesResponse__VolumeStatus,
			csi__v1__list_volumes_response__volume_status);

	if (!en || !st ||
	    published_nodes(call, v->id, &st->published_node_ids, &st->n_published_node_ids, NULL))
		return NULL;
	st->volume_condition = csi_condition(call, v->id, "");
	en->volume = csi_volume_message(call, v);
	en->status = st;
	return en->volume && st->volume_condition ? en : NULL;
}

enum csi_code csi_list_volumes(struct csi_call *call)
{
	const Csi__V1__ListVolumesRequest *q = (const Csi__V1__ListVolumesRequest *)call->request;
	Csi__V1__ListVolumesResponse *r = csi_new(call, Csi__V1__ListVolumesResponse,
						  csi__v1__list_volumes_response);
	struct backend_volume *list = NULL;
	struct err e = { 0 };
	size_t n = 0;
	bool more = false, good = true;

	if (csi_token_check(call, q->starting_token, q->max_entries))
		return call->code;
	if (backend_list(call->driver->backend, q->starting_token, (size_t)q->max_entries, &list,
			 &n, &more, &e))
		return csi_fail_err(call, &e, "ListVolumes");
	if (r)
		r->entries = csi_arena_alloc(call->arena, (n + 1) * sizeof(*r->entries));
	good = r && r->entries;
	for (size_t i = 0; i < n; i++) {
		if (good)
			good = (r->entries[r->n_entries++] = list_entry(call, &list[i])) != NULL;
		if (good && more && i + 1 == n)
			good = (r->next_token = csi_arena_strdup(call->arena, list[i].id)) != NULL;
		backend_volume_clear(&list[i]);
	}
	free(list);
	return csi_ok(call, good ? (ProtobufCMessage *)r : NULL);
}

enum csi_code csi_get_volume_rpc(struct csi_call *call)
{
	const Csi__V1__ControllerGetVolumeRequest *q =
		(const Csi__V1__ControllerGetVolumeRequest *)call->request;
	Csi__V1__ControllerGetVolumeResponse *r = csi_new(call,
							  Csi__V1__ControllerGetVolumeResponse,
							  csi__v1__controller_get_volume_response);
	Csi__V1__ControllerGetVolumeResponse__VolumeStatus *st =
		csi_new(call, Csi__V1__ControllerGetVolumeResponse__VolumeStatus,
			csi__v1__controller_get_volume_response__volume_status);
	struct backend_volume v = { .size_bytes = 0 };
	enum csi_code code;

	if (!*q->volume_id)
		return csi_fail(call, CSI_INVALID_ARGUMENT, "volume_id: missing");
	code = csi_get_volume(call, q->volume_id, &v);
	if (code)
		return code;
	if (r && st &&
	    !published_nodes(call, v.id, &st->published_node_ids, &st->n_published_node_ids,
			     NULL)) {
		st->volume_condition = csi_condition(call, v.id, "");
		r->volume = csi_volume_message(call, &v);
		r->status = st;
	}
	backend_volume_clear(&v);
	return csi_ok(call, r && r->volume && st->volume_condition ? (ProtobufCMessage *)r : NULL);
}

/* ---- capacity ---- */

static bool topology_is_ours(struct csi_call *call, const Csi__V1__Topology *t)
{
	const char *v;

	if (!t || !t->n_segments)
		return true;
	v = csi_map_get(csi_map(t->segments, t->n_segments), call->driver->config.topology_key);
	return v && !strcmp(v, call->driver->config.node_id);
}

enum csi_code csi_get_capacity(struct csi_call *call)
{
	const Csi__V1__GetCapacityRequest *q = (const Csi__V1__GetCapacityRequest *)call->request;
	Csi__V1__GetCapacityResponse *r = csi_new(call, Csi__V1__GetCapacityResponse,
						  csi__v1__get_capacity_response);
	Google__Protobuf__Int64Value *largest = csi_new(call, Google__Protobuf__Int64Value,
							google__protobuf__int64_value);
	uint64_t available = 0, header;
	struct csi_class class = { .encrypted = false };
	struct csi_cap cap;
	uint32_t modes;
	struct err e = { 0 };

	if (csi_class_parse(csi_map(q->parameters, q->n_parameters), CSI_CLASS_VOLUME, &class, &e))
		return csi_fail_err(call, &e, "GetCapacity");
	if (!r || !largest)
		return csi_ok(call, NULL);
	r->maximum_volume_size = largest;
	/* Another node's topology, or capabilities that can't be offered: nothing can be made here.
	 */
	if (!topology_is_ours(call, q->accessible_topology) ||
	    (q->n_volume_capabilities &&
	     csi_caps_parse(q->volume_capabilities, q->n_volume_capabilities, &cap, &modes, &e)))
		return csi_ok(call, (ProtobufCMessage *)r);
	/* Zero, not an error: the scheduler keeps the last answer that wasn't one. */
	csi_try_store(call->driver);
	if (backend_check(call->driver->backend, NULL))
		return csi_ok(call, (ProtobufCMessage *)r);
	if (backend_capacity(call->driver->backend, class.thick, &available, &e))
		return csi_fail_err(call, &e, "GetCapacity");
	header = class.encrypted ? BACKEND_HEADER_BYTES : 0;
	r->available_capacity = available > header ? (int64_t)(available - header) : 0;
	largest->value = r->available_capacity;
	return csi_ok(call, (ProtobufCMessage *)r);
}

/* ---- expand ---- */

static enum csi_code expand_answer(struct csi_call *call, uint64_t size)
{
	Csi__V1__ControllerExpandVolumeResponse *r =
		csi_new(call, Csi__V1__ControllerExpandVolumeResponse,
			csi__v1__controller_expand_volume_response);

	if (r) {
		r->capacity_bytes = (int64_t)size;
		/* Block volumes too: the mapping is reloaded, and the image may lie on another
		 * node. */
		r->node_expansion_required = 1;
	}
	return csi_ok(call, (ProtobufCMessage *)r);
}

static enum csi_code expand(struct csi_call *call, const Csi__V1__ControllerExpandVolumeRequest *q)
{
	struct backend_volume v = { .size_bytes = 0 };
	struct err e = { 0 };
	struct csi_cap cap;
	enum csi_code code;
	uint64_t size;
	int r = 0;

	code = csi_get_volume(call, q->volume_id, &v);
	if (code)
		return code;
	if (q->volume_capability && csi_cap_parse(q->volume_capability, &cap, &e)) {
		backend_volume_clear(&v);
		e.code = -EINVAL;
		return csi_fail_err(call, &e, "ControllerExpandVolume");
	}
	if (backend_check_known(&v, &e)) {
		backend_volume_clear(&v);
		return csi_fail_err(call, &e, "ControllerExpandVolume");
	}
	/* Never smaller: what is there satisfies any lower requirement, as long as the limit isn't
	 * below it. */
	r = csi_size_pick(q->capacity_range, v.size_bytes, v.size_bytes, &size, &e);
	if (!r && size > v.size_bytes)
		r = csi_grow(call, q->volume_id, size, &e);
	backend_volume_clear(&v);
	return r ? csi_fail_err(call, &e, "volume \"%s\"", q->volume_id)
		 : expand_answer(call, size);
}

enum csi_code csi_controller_expand(struct csi_call *call)
{
	const Csi__V1__ControllerExpandVolumeRequest *q =
		(const Csi__V1__ControllerExpandVolumeRequest *)call->request;
	struct err e = { 0 };
	enum csi_code code;

	if (!*q->volume_id)
		return csi_fail(call, CSI_INVALID_ARGUMENT, "volume_id: missing");
	if (!q->capacity_range)
		return csi_fail(call, CSI_INVALID_ARGUMENT, "capacity_range: missing");
	if (csi_keys_check(csi_map(q->secrets, q->n_secrets), &e))
		return csi_fail_err(call, &e, "ControllerExpandVolume");
	/* A yes for a volume that this node doesn't know could not be taken back. */
	if (csi_id_elsewhere(call, q->volume_id))
		return csi_fail(call, CSI_FAILED_PRECONDITION,
				"volume \"%s\" lives on another node; NodeExpandVolume there grows it",
				q->volume_id);
	code = csi_enter(call, "volume", q->volume_id);
	if (code)
		return code;
	code = expand(call, q);
	csi_leave(call, "volume", q->volume_id);
	return code;
}
