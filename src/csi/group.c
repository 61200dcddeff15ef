// SPDX-License-Identifier: Apache-2.0
// The GroupController service: snapshots of several volumes, cut while all of them are suspended
// together.
#include "controller.h"

static int by_text(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* The same strings in any order? @a is sorted in place. */
static bool same_set(const char **a, size_t n, const struct backend_snapshot *list, size_t n_list,
		     bool volumes)
{
	const char **b;
	bool same;

	if (n != n_list)
		return false;
	b = calloc(n + 1, sizeof(*b));
	if (!b)
		return false;
	for (size_t i = 0; i < n; i++)
		b[i] = volumes ? list[i].volume_id : list[i].id;
	qsort(a, n, sizeof(*a), by_text);
	qsort(b, n, sizeof(*b), by_text);
	same = true;
	for (size_t i = 0; same && i < n; i++)
		same = !strcmp(a[i], b[i]);
	free(b);
	return same;
}

static Csi__V1__VolumeGroupSnapshot *group_message(struct csi_call *call, const char *id,
						   const struct backend_snapshot *list, size_t n)
{
	Csi__V1__VolumeGroupSnapshot *g = csi_new(call, Csi__V1__VolumeGroupSnapshot,
						  csi__v1__volume_group_snapshot);

	if (!g || !n)
		return NULL;
	g->group_snapshot_id = csi_arena_strdup(call->arena, id);
	g->snapshots = csi_arena_alloc(call->arena, n * sizeof(*g->snapshots));
	g->creation_time = csi_new(call, Google__Protobuf__Timestamp, google__protobuf__timestamp);
	if (!g->group_snapshot_id || !g->snapshots || !g->creation_time)
		return NULL;
	g->creation_time->seconds = list[0].created_seconds;
	g->creation_time->nanos = (int32_t)list[0].created_nanos;
	g->ready_to_use = 1;
	for (size_t i = 0; i < n; i++) {
		g->snapshots[i] = csi_snapshot_message(call, &list[i]);
		if (!g->snapshots[i])
			return NULL;
		g->n_snapshots++;
		g->ready_to_use = g->ready_to_use && list[i].ready;
	}
	return g;
}

/* ---- create ---- */

static const char **sorted_ids(struct csi_call *call, char *const *ids, size_t n)
{
	const char **s = csi_arena_alloc(call->arena, (n + 1) * sizeof(*s));

	if (!s)
		return NULL;
	for (size_t i = 0; i < n; i++)
		s[i] = ids[i];
	qsort(s, n, sizeof(*s), by_text);
	return s;
}

static enum csi_code check_members(struct csi_call *call, const char **ids, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		struct backend_volume v = { .size_bytes = 0 };
		enum csi_code code;

		if (!*ids[i])
			return csi_fail(call, CSI_INVALID_ARGUMENT,
					"source_volume_ids: an empty id");
		if (i && !strcmp(ids[i - 1], ids[i]))
			return csi_fail(call, CSI_INVALID_ARGUMENT,
					"source_volume_ids: \"%s\" is there twice", ids[i]);
		if (csi_id_elsewhere(call, ids[i]))
			return csi_fail(
				call, CSI_FAILED_PRECONDITION,
				"volume \"%s\" lives on another node, and a group is cut on "
				"one",
				ids[i]);
		code = csi_get_volume(call, ids[i], &v);
		if (code)
			return code;
		backend_volume_clear(&v);
	}
	return CSI_OK;
}

/* Every source, in sorted order, so that two groups never wait for each other. */
static enum csi_code enter_all(struct csi_call *call, const char **ids, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		enum csi_code code = csi_enter(call, "volume", ids[i]);

		if (code) {
			while (i--)
				csi_leave(call, "volume", ids[i]);
			return code;
		}
	}
	return CSI_OK;
}

static enum csi_code create_answer(struct csi_call *call, const char *id,
				   const struct backend_snapshot *list, size_t n)
{
	Csi__V1__CreateVolumeGroupSnapshotResponse *r =
		csi_new(call, Csi__V1__CreateVolumeGroupSnapshotResponse,
			csi__v1__create_volume_group_snapshot_response);

	if (r)
		r->group_snapshot = group_message(call, id, list, n);
	return csi_ok(call, r && r->group_snapshot ? (ProtobufCMessage *)r : NULL);
}

static enum csi_code cut_group(struct csi_call *call, const char *name, const char **ids, size_t n,
			       const struct csi_class *class)
{
	struct backend_cut c = { .name = name,
				 .volume_ids = ids,
				 .n_volumes = n,
				 .group = true,
				 .kind = BACKEND_SNAP,
				 .pause_allowed = class->pause_allowed };
	struct backend_snapshot *list = NULL;
	char id[BACKEND_ID_MAX] = "";
	struct err e = { 0 };
	enum csi_code code;
	size_t n_list = 0;

	code = enter_all(call, ids, n);
	if (code)
		return code;
	if (csi_cut(call, &c, NULL, NULL, &list, &n_list, id, &e))
		code = csi_fail_err(call, &e, "group snapshot \"%s\"", name);
	for (size_t i = 0; i < n; i++)
		csi_leave(call, "volume", ids[i]);
	code = code ?: create_answer(call, id, list, n_list);
	free(list);
	return code;
}

static bool all_ready(const struct backend_snapshot *list, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (!list[i].ready)
			return false;
	return true;
}

static enum csi_code create_group(struct csi_call *call,
				  const Csi__V1__CreateVolumeGroupSnapshotRequest *q,
				  const char **ids, const struct csi_class *class)
{
	size_t n = q->n_source_volume_ids, n_old = 0;
	char old_id[BACKEND_ID_MAX], old_name[BACKEND_ID_MAX];
	struct backend_snapshot *old = NULL;
	enum csi_code code;
	int r;

	r = backend_group_find(call->driver->backend, NULL, q->name, old_id, old_name, &old, &n_old,
			       NULL);
	if (!r && !same_set(ids, n, old, n_old, true)) {
		free(old);
		return csi_fail(call, CSI_ALREADY_EXISTS,
				"group snapshot \"%s\" exists, of other volumes", q->name);
	}
	if (!r && all_ready(old, n_old)) {
		code = create_answer(call, old_id, old, n_old);
		free(old);
		return code;
	}
	free(old);
	code = check_members(call, ids, n);
	/* A call that was cut short, and a member that is gone since: nothing can finish it. */
	if (code == CSI_NOT_FOUND && !r)
		(void)!backend_group_delete(call->driver->backend, old_id, NULL);
	return code ?: cut_group(call, q->name, ids, n, class);
}

static enum csi_code create_rpc(struct csi_call *call)
{
	const Csi__V1__CreateVolumeGroupSnapshotRequest *q =
		(const Csi__V1__CreateVolumeGroupSnapshotRequest *)call->request;
	struct csi_class class;
	struct err e = { 0 };
	enum csi_code code;
	const char **ids;

	if (csi_name_check("name", q->name, &e) ||
	    csi_class_parse(csi_map(q->parameters, q->n_parameters), CSI_CLASS_SNAPSHOT, &class,
			    &e) ||
	    csi_keys_check(csi_map(q->secrets, q->n_secrets), &e))
		return csi_fail_err(call, &e, "CreateVolumeGroupSnapshot");
	if (!q->n_source_volume_ids)
		return csi_fail(call, CSI_INVALID_ARGUMENT, "source_volume_ids: missing");
	if (class.backup)
		return csi_fail(call, CSI_INVALID_ARGUMENT,
				"parameter type: a group is cut in place, not as a backup");
	ids = sorted_ids(call, q->source_volume_ids, q->n_source_volume_ids);
	if (!ids)
		return csi_fail(call, CSI_RESOURCE_EXHAUSTED, "no memory");
	code = csi_enter(call, "group", q->name);
	if (code)
		return code;
	code = create_group(call, q, ids, &class);
	csi_leave(call, "group", q->name);
	return code;
}

/* ---- delete and get ---- */

/* The group and, if it is there, whether the caller's member list is its own. */
static enum csi_code find_group(struct csi_call *call, const char *id, char *const *members,
				size_t n, struct backend_snapshot **ret, size_t *ret_n,
				bool *ret_found)
{
	char found_id[BACKEND_ID_MAX], name[BACKEND_ID_MAX];
	struct err e = { 0 };
	const char **sorted;
	int r;

	*ret_found = false;
	if (!*id)
		return csi_fail(call, CSI_INVALID_ARGUMENT, "group_snapshot_id: missing");
	r = backend_group_find(call->driver->backend, id, NULL, found_id, name, ret, ret_n, &e);
	if (r == -ENOENT)
		return CSI_OK;
	if (r)
		return csi_fail_err(call, &e, "group snapshot \"%s\"", id);
	*ret_found = true;
	sorted = sorted_ids(call, members, n);
	if (!sorted || (n && !same_set(sorted, n, *ret, *ret_n, false)))
		return csi_fail(call, CSI_INVALID_ARGUMENT,
				"snapshot_ids: not the members of group snapshot \"%s\"", id);
	return CSI_OK;
}

static enum csi_code delete_rpc(struct csi_call *call)
{
	const Csi__V1__DeleteVolumeGroupSnapshotRequest *q =
		(const Csi__V1__DeleteVolumeGroupSnapshotRequest *)call->request;
	struct backend_snapshot *list = NULL;
	struct err e = { 0 };
	enum csi_code code;
	size_t n = 0;
	bool found;

	code = *q->group_snapshot_id ? csi_enter(call, "group", q->group_snapshot_id) : CSI_OK;
	if (code)
		return code;
	code = find_group(call, q->group_snapshot_id, q->snapshot_ids, q->n_snapshot_ids, &list, &n,
			  &found);
	if (!code && found && backend_group_delete(call->driver->backend, q->group_snapshot_id, &e))
		code = csi_fail_err(call, &e, "group snapshot \"%s\"", q->group_snapshot_id);
	free(list);
	if (*q->group_snapshot_id)
		csi_leave(call, "group", q->group_snapshot_id);
	if (code)
		return code;
	return csi_ok(call,
		      (ProtobufCMessage *)csi_new(call, Csi__V1__DeleteVolumeGroupSnapshotResponse,
						  csi__v1__delete_volume_group_snapshot_response));
}

static enum csi_code get_rpc(struct csi_call *call)
{
	const Csi__V1__GetVolumeGroupSnapshotRequest *q =
		(const Csi__V1__GetVolumeGroupSnapshotRequest *)call->request;
	Csi__V1__GetVolumeGroupSnapshotResponse *r =
		csi_new(call, Csi__V1__GetVolumeGroupSnapshotResponse,
			csi__v1__get_volume_group_snapshot_response);
	struct backend_snapshot *list = NULL;
	enum csi_code code;
	size_t n = 0;
	bool found;

	code = find_group(call, q->group_snapshot_id, q->snapshot_ids, q->n_snapshot_ids, &list, &n,
			  &found);
	if (!code && !found)
		code = csi_fail(call, CSI_NOT_FOUND, "group snapshot \"%s\" doesn't exist",
				q->group_snapshot_id);
	if (!code && r)
		r->group_snapshot = group_message(call, q->group_snapshot_id, list, n);
	free(list);
	return code ?: csi_ok(call, r && r->group_snapshot ? (ProtobufCMessage *)r : NULL);
}

static enum csi_code capabilities_rpc(struct csi_call *call)
{
	Csi__V1__GroupControllerGetCapabilitiesResponse *r =
		csi_new(call, Csi__V1__GroupControllerGetCapabilitiesResponse,
			csi__v1__group_controller_get_capabilities_response);
	Csi__V1__GroupControllerServiceCapability *c =
		csi_new(call, Csi__V1__GroupControllerServiceCapability,
			csi__v1__group_controller_service_capability);
	Csi__V1__GroupControllerServiceCapability__RPC *rpc =
		csi_new(call, Csi__V1__GroupControllerServiceCapability__RPC,
			csi__v1__group_controller_service_capability__rpc);

	if (!r || !c || !rpc)
		return csi_ok(call, NULL);
	rpc->type =
		CSI__V1__GROUP_CONTROLLER_SERVICE_CAPABILITY__RPC__TYPE__CREATE_DELETE_GET_VOLUME_GROUP_SNAPSHOT;
	c->type_case = CSI__V1__GROUP_CONTROLLER_SERVICE_CAPABILITY__TYPE_RPC;
	c->rpc = rpc;
	r->capabilities = csi_arena_alloc(call->arena, sizeof(*r->capabilities));
	if (!r->capabilities)
		return csi_ok(call, NULL);
	r->capabilities[r->n_capabilities++] = c;
	return csi_ok(call, (ProtobufCMessage *)r);
}

#define METHOD(name, lower, handler, lane)                                                \
	{                                                                                 \
		"/csi.v1.GroupController/" name, &csi__v1__##lower##_request__descriptor, \
			&csi__v1__##lower##_response__descriptor, handler, lane           \
	}

static const struct csi_method methods[] = {
	METHOD("GroupControllerGetCapabilities", group_controller_get_capabilities,
	       capabilities_rpc, CSI_LANE_FAST),
	METHOD("CreateVolumeGroupSnapshot", create_volume_group_snapshot, create_rpc,
	       CSI_LANE_CONTROLLER),
	METHOD("DeleteVolumeGroupSnapshot", delete_volume_group_snapshot, delete_rpc,
	       CSI_LANE_CONTROLLER),
	METHOD("GetVolumeGroupSnapshot", get_volume_group_snapshot, get_rpc, CSI_LANE_CONTROLLER),
};

const struct csi_method_list csi_group_methods = { methods, ARRAY_SIZE(methods) };
