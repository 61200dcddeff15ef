// SPDX-License-Identifier: Apache-2.0
// CreateVolume and DeleteVolume. A volume is only allotted here; nothing is formatted before its
// first stage.
#include "controller.h"

#include <inttypes.h>

#define DEFAULT_SIZE_BYTES (1ull << 30)
#define MINIMUM_SIZE_BYTES (16ull << 20)
#define XFS_MINIMUM_BYTES (300ull << 20)   /* what mkfs.xfs demands */
#define BTRFS_MINIMUM_BYTES (256ull << 20) /* what the kernel demands to grow it */

/** Everything that a CreateVolume asks for, checked. */
struct request {
	const Csi__V1__CreateVolumeRequest *m;
	struct csi_cap cap;
	uint32_t modes;
	struct csi_class class;
	const char *fs_type;
	uint64_t size;
	enum backend_source source;
	const char *source_id;
	char *parameters, *mutable_parameters; /* JSON, malloc'ed */
};

static uint64_t minimum_size(const char *fs_type)
{
	if (!strcmp(fs_type, "xfs"))
		return XFS_MINIMUM_BYTES;
	if (!strcmp(fs_type, "btrfs"))
		return BTRFS_MINIMUM_BYTES;
	return MINIMUM_SIZE_BYTES;
}

/* The class, its mutable part over it, and the file system that both sides agree on. */
static int parse_class(struct request *q, struct err *e)
{
	struct csi_map mutable = csi_map(q->m->mutable_parameters, q->m->n_mutable_parameters);
	struct csi_class checked;
	int r;

	r = csi_class_parse(csi_map(q->m->parameters, q->m->n_parameters), CSI_CLASS_VOLUME,
			    &q->class, e);
	if (r)
		return r;
	r = csi_class_parse(mutable, CSI_CLASS_MUTABLE, &checked, e);
	if (r)
		return err_wrap(e, r, "mutable_parameters");
	q->fs_type = q->cap.block	 ? ""
		     : *q->cap.fs_type	 ? q->cap.fs_type
		     : *q->class.fs_type ? q->class.fs_type
					 : "ext4";
	r = csi_map_json(csi_map(q->m->parameters, q->m->n_parameters), &q->parameters, e);
	return r ?: csi_map_json(mutable, &q->mutable_parameters, e);
}

static enum csi_code source_mismatch(struct csi_call *call, bool source_encrypted)
{
	return csi_fail(call, CSI_INVALID_ARGUMENT,
			"parameter encrypted: the source is %s, and its bytes are taken over as "
			"they are; the new volume has to be %s too",
			source_encrypted ? "encrypted" : "not encrypted",
			source_encrypted ? "encrypted" : "plain");
}

/* A source decides on encryption, and gives the least size. Its bytes may be taken for a block volume's
 * or a file system's; whether a user may change that is the CO's to decide. */
static enum csi_code check_source_like(struct csi_call *call, struct request *q, bool encrypted,
				       bool block, const char *fs_type, uint64_t size)
{
	struct err e = { 0 };

	if (encrypted != q->class.encrypted)
		return source_mismatch(call, encrypted);
	if (!block && !q->cap.block && *fs_type && strcmp(fs_type, q->fs_type))
		return csi_fail(call, CSI_INVALID_ARGUMENT,
				"volume_capabilities: the source holds %s, not %s", fs_type,
				q->fs_type);
	if (csi_size_pick(q->m->capacity_range, size, size, &q->size, &e))
		return csi_fail_err(call, &e, "the source has %" PRIu64 " bytes", size);
	return CSI_OK;
}

/* Not gone, but out of reach: the CO may choose the source's node in place of ours. */
static enum csi_code source_elsewhere(struct csi_call *call, const char *kind, const char *id)
{
	return csi_fail(
		call, CSI_RESOURCE_EXHAUSTED,
		"volume_content_source: %s \"%s\" lives on another node, and copies are made "
		"where their source is; this is node \"%s\"",
		kind, id, call->driver->config.node_id);
}

static enum csi_code check_snapshot_source(struct csi_call *call, struct request *q)
{
	struct backend_snapshot s;
	struct err e = { 0 };
	int r;

	q->source = BACKEND_SOURCE_SNAPSHOT;
	q->source_id = q->m->volume_content_source->snapshot->snapshot_id;
	if (!*q->source_id)
		return csi_fail(call, CSI_INVALID_ARGUMENT,
				"volume_content_source.snapshot.snapshot_id: missing");
	r = csi_snapshot_plausible(q->source_id)
		    ? backend_snapshot_get(call->driver->backend, q->source_id, &s, &e)
		    : -ENOENT;
	/* A backup of another node is found in the backup directory. */
	if (r == -ENOENT && csi_id_elsewhere(call, q->source_id))
		return source_elsewhere(call, "snapshot", q->source_id);
	if (r == -ENOENT)
		return csi_fail(call, CSI_NOT_FOUND, "snapshot \"%s\" doesn't exist", q->source_id);
	if (r)
		return csi_fail_err(call, &e, "snapshot \"%s\"", q->source_id);
	if (!s.ready)
		return csi_fail(call, CSI_ABORTED, "snapshot \"%s\" isn't ready yet", q->source_id);
	return check_source_like(call, q, s.encrypted, s.content_unknown ? q->cap.block : s.block,
				 s.fs_type, s.size_bytes);
}

static enum csi_code check_volume_source(struct csi_call *call, struct request *q)
{
	struct backend_volume v = { .size_bytes = 0 };
	struct err e = { 0 };
	enum csi_code code;

	q->source = BACKEND_SOURCE_VOLUME;
	q->source_id = q->m->volume_content_source->volume->volume_id;
	if (!*q->source_id)
		return csi_fail(call, CSI_INVALID_ARGUMENT,
				"volume_content_source.volume.volume_id: missing");
	if (csi_id_elsewhere(call, q->source_id))
		return source_elsewhere(call, "volume", q->source_id);
	code = csi_get_volume(call, q->source_id, &v);
	if (code)
		return code;
	if (backend_check_known(&v, &e))
		code = csi_fail_err(call, &e, "volume_content_source");
	code = code ?: check_source_like(call, q, v.encrypted, v.block, v.fs_type, v.size_bytes);
	backend_volume_clear(&v);
	return code;
}

static enum csi_code check_source(struct csi_call *call, struct request *q)
{
	const Csi__V1__VolumeContentSource *s = q->m->volume_content_source;
	struct err e = { 0 };

	if (!s) {
		if (csi_size_pick(q->m->capacity_range, DEFAULT_SIZE_BYTES,
				  minimum_size(q->fs_type), &q->size, &e))
			return csi_fail_err(call, &e, "volume");
		return CSI_OK;
	}
	switch (s->type_case) {
	case CSI__V1__VOLUME_CONTENT_SOURCE__TYPE_SNAPSHOT:
		return check_snapshot_source(call, q);
	case CSI__V1__VOLUME_CONTENT_SOURCE__TYPE_VOLUME:
		return check_volume_source(call, q);
	default:
		return csi_fail(call, CSI_INVALID_ARGUMENT,
				"volume_content_source: neither snapshot nor volume");
	}
}

static enum csi_code parse_request(struct csi_call *call, struct request *q)
{
	struct err e = { 0 };
	int r;

	q->m = (const Csi__V1__CreateVolumeRequest *)call->request;
	r = csi_name_check("name", q->m->name, &e);
	r = r
		    ?: csi_caps_parse(q->m->volume_capabilities, q->m->n_volume_capabilities,
				      &q->cap, &q->modes, &e);
	if (r) {
		/* A mode that can't be offered is a value that isn't supported. */
		e.code = -EINVAL;
		return csi_fail_err(call, &e, "CreateVolume");
	}
	r = parse_class(q, &e);
	r = r ?: csi_keys_check_for(csi_map(q->m->secrets, q->m->n_secrets), &q->class, &e);
	if (r)
		return csi_fail_err(call, &e, "CreateVolume");
	return CSI_OK;
}

/* The same name again has to ask for the same volume. */
static enum csi_code check_existing(struct csi_call *call, const struct request *q,
				    const struct backend_volume *v)
{
	const Csi__V1__CapacityRange *range = q->m->capacity_range;
	const char *what = NULL;

	if (range && ((uint64_t)range->required_bytes > v->size_bytes ||
		      (range->limit_bytes && (uint64_t)range->limit_bytes < v->size_bytes)))
		what = "capacity";
	else if (range && range->required_bytes && q->size != v->size_bytes &&
		 q->source == BACKEND_SOURCE_NONE)
		what = "capacity";
	else if (q->class.encrypted != v->encrypted || strcmp(q->parameters, v->parameters) != 0)
		what = "parameters";
	else if (q->cap.block != v->block || strcmp(q->fs_type, v->fs_type) != 0 ||
		 (q->modes & ~v->access_modes))
		what = "volume_capabilities";
	else if (q->source != v->source ||
		 (q->source_id && strcmp(q->source_id, v->source_id) != 0))
		what = "volume_content_source";
	if (what)
		return csi_fail(call, CSI_ALREADY_EXISTS, "volume \"%s\" exists with other %s",
				q->m->name, what);
	return CSI_OK;
}

static enum csi_code answer(struct csi_call *call, const struct backend_volume *v)
{
	Csi__V1__CreateVolumeResponse *r = csi_new(call, Csi__V1__CreateVolumeResponse,
						   csi__v1__create_volume_response);

	if (r)
		r->volume = csi_volume_message(call, v);
	return csi_ok(call, r && r->volume ? (ProtobufCMessage *)r : NULL);
}

static enum csi_code create(struct csi_call *call, struct request *q)
{
	struct backend_create c = { .name = q->m->name,
				    .encrypted = q->class.encrypted,
				    .block = q->cap.block,
				    .fs_type = q->fs_type,
				    .parameters = q->parameters,
				    .mutable_parameters = q->mutable_parameters,
				    .access_modes = q->modes,
				    .thick = q->class.thick,
				    .pause_allowed = q->class.pause_allowed };
	struct backend_volume v = { .size_bytes = 0 };
	struct err e = { 0 };
	enum csi_code code;
	int r;

	code = csi_topology_check(call, q->m->accessibility_requirements, "volumes made here");
	if (code == CSI_RESOURCE_EXHAUSTED &&
	    !backend_finish_create(call->driver->backend, q->m->name, &v, NULL)) {
		backend_volume_clear(&v);
		return csi_fail(call, CSI_ALREADY_EXISTS,
				"volume \"%s\" exists with other accessibility_requirements",
				q->m->name);
	}
	if (code)
		return code;
	code = check_source(call, q);
	if (code) {
		/* A source that is gone since, or another node's backup, doesn't unmake the volume
		 * that came from it. */
		if ((code != CSI_NOT_FOUND && code != CSI_RESOURCE_EXHAUSTED) ||
		    backend_finish_create(call->driver->backend, q->m->name, &v, NULL))
			return code;
		q->size = v.size_bytes;
	} else {
		c.size_bytes = q->size;
		c.source = q->source;
		c.source_id = q->source_id;
		/* A source that is staged or deleted meanwhile isn't what its record says. */
		if (q->source == BACKEND_SOURCE_VOLUME && csi_enter(call, "volume", q->source_id))
			return call->code;
		r = csi_backend_create(call, &c, &v, &e);
		if (q->source == BACKEND_SOURCE_VOLUME)
			csi_leave(call, "volume", q->source_id);
		if (r)
			return csi_fail_err(call, &e, "volume \"%s\"", q->m->name);
	}
	code = check_existing(call, q, &v);
	code = code ?: answer(call, &v);
	backend_volume_clear(&v);
	return code;
}

enum csi_code csi_create_volume(struct csi_call *call)
{
	struct request q = { .source = BACKEND_SOURCE_NONE };
	enum csi_code code;

	code = parse_request(call, &q);
	if (!code)
		code = csi_enter(call, "name", q.m->name);
	if (!code) {
		code = create(call, &q);
		csi_leave(call, "name", q.m->name);
	}
	free(q.parameters);
	free(q.mutable_parameters);
	return code;
}

/* ---- delete ---- */

static enum csi_code delete_volume(struct csi_call *call, const char *id)
{
	struct err e = { 0 };
	int r;

	r = backend_delete(call->driver->backend, id, &e);
	if (r == -EBUSY)
		return csi_fail(call, CSI_FAILED_PRECONDITION, "%s", err_text(&e));
	return r ? csi_fail_err(call, &e, "volume \"%s\"", id) : CSI_OK;
}

enum csi_code csi_delete_volume(struct csi_call *call)
{
	const Csi__V1__DeleteVolumeRequest *q = (const Csi__V1__DeleteVolumeRequest *)call->request;
	enum csi_code code;

	if (!*q->volume_id)
		return csi_fail(call, CSI_INVALID_ARGUMENT, "volume_id: missing");
	if (csi_id_plausible(q->volume_id)) {
		if (csi_id_elsewhere(call, q->volume_id))
			return csi_fail(call, CSI_FAILED_PRECONDITION,
					"volume \"%s\" lives on another node; its own provisioner "
					"has to delete it",
					q->volume_id);
		code = csi_enter(call, "volume", q->volume_id);
		if (code)
			return code;
		code = delete_volume(call, q->volume_id);
		csi_leave(call, "volume", q->volume_id);
		if (code)
			return code;
	}
	return csi_ok(call, (ProtobufCMessage *)csi_new(call, Csi__V1__DeleteVolumeResponse,
							csi__v1__delete_volume_response));
}
