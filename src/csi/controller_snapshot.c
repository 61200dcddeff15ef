// SPDX-License-Identifier: Apache-2.0
// Snapshots: create, delete, list, get. Ciphertext as it lies, header included.
#include "controller.h"

struct backend_quiesce csi_quiesce(struct csi_driver *d)
{
	return (struct backend_quiesce){ .suspend = csi_suspend_volume,
					 .resume = csi_resume_volume,
					 .arg = d };
}

int csi_cut(struct csi_call *call, const struct backend_cut *c, void (*release)(void *arg),
	    void *release_arg, struct backend_snapshot **ret, size_t *ret_n,
	    char ret_group_id[BACKEND_ID_MAX], struct err *e)
{
	struct backend_quiesce q = csi_quiesce(call->driver);

	q.release = release;
	q.release_arg = release_arg;
	return backend_cut_snapshots(call->driver->backend, c, &q, ret, ret_n, ret_group_id, e);
}

int csi_backend_create(struct csi_call *call, const struct backend_create *c,
		       struct backend_volume *ret, struct err *e)
{
	struct backend_quiesce q = csi_quiesce(call->driver);

	return backend_create(call->driver->backend, c, &q, ret, e);
}

/* ---- create ---- */

static enum csi_code snapshot_answer(struct csi_call *call, const struct backend_snapshot *s)
{
	Csi__V1__CreateSnapshotResponse *r = csi_new(call, Csi__V1__CreateSnapshotResponse,
						     csi__v1__create_snapshot_response);

	if (r)
		r->snapshot = csi_snapshot_message(call, s);
	return csi_ok(call, r && r->snapshot ? (ProtobufCMessage *)r : NULL);
}

/** The lock of a snapshot's source. */
struct source {
	struct csi_call *call;
	const char *id;
	bool entered;
};

/* A backup may take hours: no reason to keep the volume from being unstaged. */
static void leave_source(void *source)
{
	struct source *s = source;

	if (s->entered)
		csi_leave(s->call, "volume", s->id);
	s->entered = false;
}

static enum csi_code cut_one(struct csi_call *call, const Csi__V1__CreateSnapshotRequest *q,
			     const struct csi_class *class)
{
	const char *ids[1] = { q->source_volume_id };
	struct backend_cut c = { .name = q->name,
				 .volume_ids = ids,
				 .n_volumes = 1,
				 .kind = class->backup ? BACKEND_BACKUP : BACKEND_SNAP,
				 .location = class->backup_dir ?: call->driver->config.backup_dir,
				 .pause_allowed = class->pause_allowed };
	struct source source = { .call = call, .id = q->source_volume_id };
	struct backend_snapshot *list = NULL;
	char group[BACKEND_ID_MAX];
	struct err e = { 0 };
	enum csi_code code;
	size_t n = 0;
	int r;

	code = csi_enter(call, "volume", source.id);
	if (code)
		return code;
	source.entered = true;
	r = csi_cut(call, &c, leave_source, &source, &list, &n, group, &e);
	leave_source(&source);
	if (r == -ENOENT)
		return csi_fail(call, CSI_NOT_FOUND, "source_volume_id: %s", err_text(&e));
	if (r)
		return csi_fail_err(call, &e, "snapshot \"%s\"", q->name);
	code = snapshot_answer(call, &list[0]);
	free(list);
	return code;
}

static enum csi_code create_snapshot(struct csi_call *call, const Csi__V1__CreateSnapshotRequest *q,
				     const struct csi_class *class)
{
	struct backend_volume v = { .size_bytes = 0 };
	struct backend_snapshot old;
	enum csi_code code;
	int r;

	r = backend_snapshot_find(call->driver->backend, q->name, &old, NULL);
	if (!r && strcmp(old.volume_id, q->source_volume_id) != 0)
		return csi_fail(call, CSI_ALREADY_EXISTS,
				"snapshot \"%s\" exists, of volume \"%s\"", q->name, old.volume_id);
	if (!r && old.kind != (class->backup ? BACKEND_BACKUP : BACKEND_SNAP))
		return csi_fail(call, CSI_ALREADY_EXISTS, "snapshot \"%s\" exists, of another type",
				q->name);
	if (!r && old.ready)
		return snapshot_answer(call, &old);
	if (csi_id_elsewhere(call, q->source_volume_id))
		return csi_fail(
			call, CSI_FAILED_PRECONDITION,
			"volume \"%s\" lives on another node; its own snapshotter has to cut "
			"it",
			q->source_volume_id);
	code = csi_get_volume(call, q->source_volume_id, &v);
	/* A call that was cut short, and its volume is gone since: nothing can finish it. */
	if (code == CSI_NOT_FOUND && !r)
		(void)!backend_snapshot_delete(call->driver->backend, old.id, NULL);
	if (code)
		return code;
	backend_volume_clear(&v);
	return cut_one(call, q, class);
}

enum csi_code csi_create_snapshot(struct csi_call *call)
{
	const Csi__V1__CreateSnapshotRequest *q =
		(const Csi__V1__CreateSnapshotRequest *)call->request;
	struct csi_class class;
	struct err e = { 0 };
	enum csi_code code;

	if (!*q->source_volume_id)
		return csi_fail(call, CSI_INVALID_ARGUMENT, "source_volume_id: missing");
	if (csi_name_check("name", q->name, &e) ||
	    csi_class_parse(csi_map(q->parameters, q->n_parameters), CSI_CLASS_SNAPSHOT, &class,
			    &e) ||
	    csi_keys_check(csi_map(q->secrets, q->n_secrets), &e))
		return csi_fail_err(call, &e, "CreateSnapshot");
	if (class.backup && !class.backup_dir && !*call->driver->config.backup_dir)
		return csi_fail(call, CSI_INVALID_ARGUMENT,
				"parameter backupDir: missing, and the driver was started without "
				"--backup-dir");
	/* A backup can be restored wherever its store is. */
	code = class.backup ? CSI_OK
			    : csi_topology_check(call, q->accessibility_requirements,
						 "snapshots cut here");
	if (code)
		return code;
	code = csi_enter(call, "snapshot", q->name);
	if (code)
		return code;
	code = create_snapshot(call, q, &class);
	csi_leave(call, "snapshot", q->name);
	return code;
}

/* ---- delete ---- */

static enum csi_code delete_snapshot(struct csi_call *call, const char *id)
{
	struct backend_snapshot s;
	struct err e = { 0 };
	int r;

	r = backend_snapshot_get(call->driver->backend, id, &s, &e);
	if (r == -ENOENT)
		return CSI_OK;
	if (!r && *s.group_id)
		return csi_fail(call, CSI_INVALID_ARGUMENT,
				"snapshot \"%s\" belongs to group \"%s\"; delete the group", id,
				s.group_id);
	r = r ?: backend_snapshot_delete(call->driver->backend, id, &e);
	return r ? csi_fail_err(call, &e, "snapshot \"%s\"", id) : CSI_OK;
}

enum csi_code csi_delete_snapshot(struct csi_call *call)
{
	const Csi__V1__DeleteSnapshotRequest *q =
		(const Csi__V1__DeleteSnapshotRequest *)call->request;
	enum csi_code code;

	if (!*q->snapshot_id)
		return csi_fail(call, CSI_INVALID_ARGUMENT, "snapshot_id: missing");
	if (csi_snapshot_plausible(q->snapshot_id)) {
		if (csi_id_elsewhere(call, q->snapshot_id))
			return csi_fail(call, CSI_FAILED_PRECONDITION,
					"snapshot \"%s\" lives on another node; its own "
					"snapshotter has to delete it",
					q->snapshot_id);
		code = csi_enter(call, "snapshot", q->snapshot_id);
		if (code)
			return code;
		code = delete_snapshot(call, q->snapshot_id);
		csi_leave(call, "snapshot", q->snapshot_id);
		if (code)
			return code;
	}
	return csi_ok(call, (ProtobufCMessage *)csi_new(call, Csi__V1__DeleteSnapshotResponse,
							csi__v1__delete_snapshot_response));
}

/* ---- list and get ---- */

static bool add_snapshot(struct csi_call *call, Csi__V1__ListSnapshotsResponse *r,
			 const struct backend_snapshot *s)
{
	Csi__V1__ListSnapshotsResponse__Entry *en =
		csi_new(call, Csi__V1__ListSnapshotsResponse__Entry,
			csi__v1__list_snapshots_response__entry);

	if (!en)
		return false;
	en->snapshot = csi_snapshot_message(call, s);
	r->entries[r->n_entries++] = en;
	return en->snapshot != NULL;
}

/* By id: one or none; a filter that matches nothing is no error. */
static int select_snapshots(struct csi_call *call, const Csi__V1__ListSnapshotsRequest *q,
			    struct backend_snapshot **ret, size_t *ret_n, bool *ret_more,
			    struct err *e)
{
	int r;

	*ret_n = 0;
	*ret_more = false;
	if (!*q->snapshot_id)
		return backend_snapshot_list(
			call->driver->backend, *q->source_volume_id ? q->source_volume_id : NULL,
			q->starting_token, (size_t)q->max_entries, ret, ret_n, ret_more, e);
	*ret = calloc(1, sizeof(**ret));
	if (!*ret)
		return err_set(e, -ENOMEM, "no memory for the list");
	r = backend_snapshot_get(call->driver->backend, q->snapshot_id, *ret, e);
	if (!r && (!*q->source_volume_id || !strcmp((*ret)->volume_id, q->source_volume_id)) &&
	    (*ret)->ready)
		*ret_n = 1;
	return r == -ENOENT ? 0 : r;
}

enum csi_code csi_list_snapshots(struct csi_call *call)
{
	const Csi__V1__ListSnapshotsRequest *q =
		(const Csi__V1__ListSnapshotsRequest *)call->request;
	Csi__V1__ListSnapshotsResponse *r = csi_new(call, Csi__V1__ListSnapshotsResponse,
						    csi__v1__list_snapshots_response);
	struct backend_snapshot *list = NULL;
	struct err e = { 0 };
	bool more, good;
	size_t n;

	if (csi_token_check(call, q->starting_token, q->max_entries))
		return call->code;
	if (csi_keys_check(csi_map(q->secrets, q->n_secrets), &e) ||
	    select_snapshots(call, q, &list, &n, &more, &e)) {
		free(list);
		return csi_fail_err(call, &e, "ListSnapshots");
	}
	if (r)
		r->entries = csi_arena_alloc(call->arena, (n + 1) * sizeof(*r->entries));
	good = r && r->entries;
	for (size_t i = 0; good && i < n; i++)
		good = add_snapshot(call, r, &list[i]);
	if (good && more && n)
		good = (r->next_token = csi_arena_strdup(call->arena, list[n - 1].id)) != NULL;
	free(list);
	return csi_ok(call, good ? (ProtobufCMessage *)r : NULL);
}

enum csi_code csi_get_snapshot(struct csi_call *call)
{
	const Csi__V1__GetSnapshotRequest *q = (const Csi__V1__GetSnapshotRequest *)call->request;
	Csi__V1__GetSnapshotResponse *r = csi_new(call, Csi__V1__GetSnapshotResponse,
						  csi__v1__get_snapshot_response);
	struct backend_snapshot s;
	struct err e = { 0 };
	int rc;

	if (!*q->snapshot_id)
		return csi_fail(call, CSI_INVALID_ARGUMENT, "snapshot_id: missing");
	rc = csi_snapshot_plausible(q->snapshot_id)
		     ? backend_snapshot_get(call->driver->backend, q->snapshot_id, &s, &e)
		     : -ENOENT;
	if (rc == -ENOENT)
		return csi_fail(call, CSI_NOT_FOUND, "snapshot \"%s\" doesn't exist",
				q->snapshot_id);
	if (rc)
		return csi_fail_err(call, &e, "snapshot \"%s\"", q->snapshot_id);
	if (r)
		r->snapshot = csi_snapshot_message(call, &s);
	return csi_ok(call, r && r->snapshot ? (ProtobufCMessage *)r : NULL);
}
