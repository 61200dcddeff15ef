// SPDX-License-Identifier: Apache-2.0
// The health calls of CSI 1.13: of one volume, of all that have some trouble, of the node's disk.
#include "controller.h"
#include "node.h"
#include "trouble.h"

static Csi__V1__VolumeHealth__VolumeHealthEntry *entry(struct csi_call *call,
						       const struct csi_trouble *t)
{
	Csi__V1__VolumeHealth__VolumeHealthEntry *en =
		csi_new(call, Csi__V1__VolumeHealth__VolumeHealthEntry,
			csi__v1__volume_health__volume_health_entry);

	if (!en)
		return NULL;
	en->status = t->status;
	en->reason = (char *)(uintptr_t)t->reason;
	en->message = csi_arena_strdup(call->arena, t->message);
	return en->message ? en : NULL;
}

/* NULL: no memory. */
static Csi__V1__VolumeHealth *message(struct csi_call *call, const char *id,
				      const struct csi_troubles *t)
{
	Csi__V1__VolumeHealth *h = csi_new(call, Csi__V1__VolumeHealth, csi__v1__volume_health);

	if (!h)
		return NULL;
	h->volume_id = csi_arena_strdup(call->arena, id);
	h->health_statuses = csi_arena_alloc(call->arena,
					     sizeof(*h->health_statuses) * CSI_TROUBLES_MAX);
	if (!h->volume_id || !h->health_statuses)
		return NULL;
	for (; h->n_health_statuses < t->n; h->n_health_statuses++) {
		h->health_statuses[h->n_health_statuses] = entry(call,
								 &t->list[h->n_health_statuses]);
		if (!h->health_statuses[h->n_health_statuses])
			return NULL;
	}
	return h;
}

/* The health of one volume in @ret, or the call has failed. */
static enum csi_code health_of(struct csi_call *call, const char *id, Csi__V1__VolumeHealth **ret)
{
	struct backend_volume v = { .size_bytes = 0 };
	struct csi_troubles t;
	struct err e = { 0 };
	enum csi_code code;

	if (!*id)
		return csi_fail(call, CSI_INVALID_ARGUMENT, "volume_id: missing");
	code = csi_get_volume(call, id, &v);
	backend_volume_clear(&v);
	if (code)
		return code;
	if (csi_find_troubles(call->driver, id, &t, &e))
		return csi_fail_err(call, &e, "volume \"%s\"", id);
	*ret = message(call, id, &t);
	return *ret ? CSI_OK : csi_ok(call, NULL);
}

enum csi_code csi_get_volume_health(struct csi_call *call)
{
	const Csi__V1__ControllerGetVolumeHealthRequest *q =
		(const Csi__V1__ControllerGetVolumeHealthRequest *)call->request;
	Csi__V1__ControllerGetVolumeHealthResponse *r =
		csi_new(call, Csi__V1__ControllerGetVolumeHealthResponse,
			csi__v1__controller_get_volume_health_response);
	Csi__V1__VolumeHealth *h = NULL;
	enum csi_code code = health_of(call, q->volume_id, &h);

	if (code)
		return code;
	if (r)
		r->volume_health = h;
	return csi_ok(call, (ProtobufCMessage *)r);
}

enum csi_code node_volume_health_rpc(struct csi_call *call)
{
	const Csi__V1__NodeGetVolumeHealthRequest *q =
		(const Csi__V1__NodeGetVolumeHealthRequest *)call->request;
	Csi__V1__NodeGetVolumeHealthResponse *r = csi_new(call,
							  Csi__V1__NodeGetVolumeHealthResponse,
							  csi__v1__node_get_volume_health_response);
	Csi__V1__VolumeHealth *h = NULL;
	enum csi_code code;

	if ((*q->volume_publish_path && *q->volume_publish_path != '/') ||
	    (*q->staging_target_path && *q->staging_target_path != '/'))
		return csi_fail(call, CSI_INVALID_ARGUMENT,
				"volume_publish_path, staging_target_path: no absolute path");
	code = health_of(call, q->volume_id, &h);
	if (code)
		return code;
	if (r)
		r->volume_health = h;
	return csi_ok(call, (ProtobufCMessage *)r);
}

/* Volumes without trouble are left out; @max of those with some, 0 = all. */
static enum csi_code fill_list(struct csi_call *call, const char *after, size_t max,
			       Csi__V1__ControllerListVolumeHealthResponse *r)
{
	struct backend_volume *list = NULL;
	enum csi_code code = CSI_OK;
	struct csi_troubles t;
	struct err e = { 0 };
	bool more;
	size_t n = 0;

	if (backend_list(call->driver->backend, after, 0, &list, &n, &more, &e))
		return csi_fail_err(call, &e, "ControllerListVolumeHealth");
	r->entries = csi_arena_alloc(call->arena, sizeof(*r->entries) * (n + 1));
	if (!r->entries)
		code = csi_ok(call, NULL);
	for (size_t i = 0; !code && i < n; i++) {
		/* Deleted meanwhile: not an error. */
		if (csi_find_troubles(call->driver, list[i].id, &t, NULL) || !t.n)
			continue;
		if (max && r->n_entries == max) {
			r->next_token = r->entries[max - 1]->volume_id;
			break;
		}
		r->entries[r->n_entries] = message(call, list[i].id, &t);
		if (!r->entries[r->n_entries++])
			code = csi_ok(call, NULL);
	}
	for (size_t i = 0; i < n; i++)
		backend_volume_clear(&list[i]);
	free(list);
	return code;
}

enum csi_code csi_list_volume_health(struct csi_call *call)
{
	const Csi__V1__ControllerListVolumeHealthRequest *q =
		(const Csi__V1__ControllerListVolumeHealthRequest *)call->request;
	Csi__V1__ControllerListVolumeHealthResponse *r =
		csi_new(call, Csi__V1__ControllerListVolumeHealthResponse,
			csi__v1__controller_list_volume_health_response);
	enum csi_code code;

	if (q->max_entries < 0)
		return csi_fail(call, CSI_INVALID_ARGUMENT, "max_entries: negative");
	if (*q->starting_token && !csi_id_plausible(q->starting_token))
		return csi_fail(call, CSI_ABORTED, "starting_token: not one of ours");
	if (!r)
		return csi_ok(call, NULL);
	code = fill_list(call, q->starting_token, (size_t)q->max_entries, r);
	return code ?: csi_ok(call, (ProtobufCMessage *)r);
}

enum csi_code node_storage_health_rpc(struct csi_call *call)
{
	static const char *const reasons[] = { [CSI_DISK_LOW] = "NodeDiskLow",
					       [CSI_DISK_FULL] = "NodeDiskFull",
					       [CSI_DISK_FAILING] = "NodeDiskFailing" };
	Csi__V1__NodeGetStorageHealthResponse *r =
		csi_new(call, Csi__V1__NodeGetStorageHealthResponse,
			csi__v1__node_get_storage_health_response);
	Csi__V1__NodeGetStorageHealthResponse__StorageBackendHealth *h =
		csi_new(call, Csi__V1__NodeGetStorageHealthResponse__StorageBackendHealth,
			csi__v1__node_get_storage_health_response__storage_backend_health);
	char why[512];
	enum csi_disk_state s = csi_disk_state(call->driver, why, sizeof(why));

	if (s == CSI_DISK_FINE || !r || !h)
		return csi_ok(call, h ? (ProtobufCMessage *)r : NULL);
	h->status = s == CSI_DISK_FAILING ? CSI__V1__STORAGE_HEALTH_ERROR_TYPE__STORAGE_UNREACHABLE
					  : CSI__V1__STORAGE_HEALTH_ERROR_TYPE__STORAGE_DEGRADED;
	h->reason = (char *)(uintptr_t)reasons[s];
	h->message = csi_arena_strdup(call->arena, why);
	r->backend_health = csi_arena_alloc(call->arena, sizeof(*r->backend_health));
	if (!h->message || !r->backend_health)
		return csi_ok(call, NULL);
	r->backend_health[0] = h;
	r->n_backend_health = 1;
	return csi_ok(call, (ProtobufCMessage *)r);
}
