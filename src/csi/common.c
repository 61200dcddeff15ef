// SPDX-License-Identifier: Apache-2.0
// Capabilities, sizes and names as requests carry them; locks and records as answers need them.
#include "common.h"

#include <inttypes.h>
#include <stdio.h>

#define MODE(m) CSI__V1__VOLUME_CAPABILITY__ACCESS_MODE__MODE__##m

/* What a volume on one node can honestly offer. */
static int check_mode(Csi__V1__VolumeCapability__AccessMode__Mode mode, struct err *e)
{
	switch (mode) {
	case MODE(SINGLE_NODE_WRITER):
	case MODE(SINGLE_NODE_READER_ONLY):
	case MODE(SINGLE_NODE_SINGLE_WRITER):
	case MODE(SINGLE_NODE_MULTI_WRITER):
		return 0;
	case MODE(MULTI_NODE_READER_ONLY):
	case MODE(MULTI_NODE_SINGLE_WRITER):
	case MODE(MULTI_NODE_MULTI_WRITER):
		return err_set(e, -EOPNOTSUPP,
			       "volume_capability.access_mode: the volume lives on one node; no "
			       "mode of several nodes can be offered");
	default:
		return err_set(e, -EINVAL, "volume_capability.access_mode: not a known mode");
	}
}

int csi_cap_parse(const Csi__V1__VolumeCapability *c, struct csi_cap *ret, struct err *e)
{
	struct csi_cap cap = { .block = false };
	int r;

	if (!c)
		return err_set(e, -EINVAL, "volume_capability: missing");
	if (!c->access_mode)
		return err_set(e, -EINVAL, "volume_capability.access_mode: missing");
	cap.mode = c->access_mode->mode;
	r = check_mode(cap.mode, e);
	if (r)
		return r;
	if (c->access_type_case == CSI__V1__VOLUME_CAPABILITY__ACCESS_TYPE_BLOCK) {
		cap.block = true;
	} else if (c->access_type_case == CSI__V1__VOLUME_CAPABILITY__ACCESS_TYPE_MOUNT) {
		r = *c->mount->fs_type ? fs_type_supported(c->mount->fs_type, e) : 0;
		if (r)
			return err_wrap(e, r, "volume_capability.mount.fs_type");
		text_copy(cap.fs_type, sizeof(cap.fs_type), c->mount->fs_type);
		cap.mount_flags = c->mount->mount_flags;
		cap.n_mount_flags = c->mount->n_mount_flags;
		if (cap.n_mount_flags > CSI_MOUNT_FLAGS_MAX)
			return err_set(e, -EINVAL,
				       "volume_capability.mount.mount_flags: more than %u",
				       CSI_MOUNT_FLAGS_MAX);
		/* Not offered: the CO gives the files to the group, as it does better. */
		if (*c->mount->volume_mount_group)
			return err_set(e, -EINVAL,
				       "volume_capability.mount.volume_mount_group: not offered");
	} else {
		return err_set(e, -EINVAL, "volume_capability: neither block nor mount");
	}
	*ret = cap;
	return 0;
}

void csi_cap_text(const struct csi_cap *c, char ret[512])
{
	struct crypto_iov iov[CSI_MOUNT_FLAGS_MAX];
	uint8_t digest[CRYPTO_HASH_MAX_BYTES];
	char hex[65] = "";
	size_t n = 0;

	for (size_t i = 0; i < c->n_mount_flags; i++)
		iov[n++] = (struct crypto_iov){ c->mount_flags[i], strlen(c->mount_flags[i]) + 1 };
	if (n && !crypto_hash("sha256", iov, n, digest, NULL))
		text_hex(digest, 32, hex);
	snprintf(ret, 512, "%s fs=%s mode=%d group= flags=%s", c->block ? "block" : "mount",
		 c->fs_type, c->mode, hex);
}

bool csi_cap_text_same(const char *a, const char *b)
{
	static const char word[] = " group=";
	const char *ga = strstr(a, word), *gb = strstr(b, word);

	if (!ga || !gb || ga - a != gb - b || memcmp(a, b, (size_t)(ga - a)) != 0)
		return !strcmp(a, b);
	ga += strlen(word);
	gb += strlen(word);
	return !strcmp(ga + strcspn(ga, " "), gb + strcspn(gb, " "));
}

uint32_t csi_cap_mode_bit(const struct csi_cap *c)
{
	return 1u << c->mode;
}

bool csi_cap_readonly_mode(const struct csi_cap *c)
{
	return c->mode == MODE(SINGLE_NODE_READER_ONLY);
}

int csi_caps_parse(Csi__V1__VolumeCapability **caps, size_t n, struct csi_cap *ret_first,
		   uint32_t *ret_modes, struct err *e)
{
	struct csi_cap first = { .block = false }, cap;
	uint32_t modes = 0;

	if (!n)
		return err_set(e, -EINVAL, "volume_capabilities: missing");
	for (size_t i = 0; i < n; i++) {
		int r = csi_cap_parse(caps[i], &cap, e);

		if (r)
			return err_wrap(e, r, "volume_capabilities[%zu]", i);
		if (i && cap.block != first.block)
			return err_set(
				e, -EOPNOTSUPP,
				"volume_capabilities: one volume is block or mount, not both");
		if (i && *cap.fs_type && *first.fs_type && strcmp(cap.fs_type, first.fs_type))
			return err_set(e, -EOPNOTSUPP,
				       "volume_capabilities: one volume has one file system type");
		if (!i || (!*first.fs_type && *cap.fs_type))
			first = cap;
		modes |= csi_cap_mode_bit(&cap);
	}
	*ret_first = first;
	*ret_modes = modes;
	return 0;
}

int csi_size_pick(const Csi__V1__CapacityRange *range, uint64_t fallback, uint64_t minimum,
		  uint64_t *ret, struct err *e)
{
	int64_t required = range ? range->required_bytes : 0,
		limit = range ? range->limit_bytes : 0;
	uint64_t size;

	if (required < 0 || limit < 0)
		return err_set(e, -EINVAL, "capacity_range: negative");
	if (limit && limit < required)
		return err_set(e, -ERANGE,
			       "capacity_range: the limit %" PRId64
			       " is below the required %" PRId64,
			       limit, required);
	size = required				     ? (uint64_t)required
	       : limit && (uint64_t)limit < fallback ? (uint64_t)limit
						     : fallback;
	if (size < minimum)
		size = minimum;
	if (size > INT64_MAX - BACKEND_HEADER_BYTES - BACKEND_EXTENT_BYTES)
		return err_set(e, -ERANGE, "capacity_range: %" PRIu64 " bytes are too many", size);
	size = (size + BACKEND_EXTENT_BYTES - 1) / BACKEND_EXTENT_BYTES * BACKEND_EXTENT_BYTES;
	if (limit && size > (uint64_t)limit)
		return err_set(e, -ERANGE,
			       "capacity_range: no multiple of %llu bytes from %" PRIu64
			       " on is within the limit %" PRId64,
			       BACKEND_EXTENT_BYTES,
			       minimum > (uint64_t)required ? minimum : (uint64_t)required, limit);
	*ret = size;
	return 0;
}

/* CSI: no U+0000-08, 0B, 0C, 0E-1F, 7F-9F; the last range is 0xC2 0x80..0x9F in UTF-8. */
int csi_name_check(const char *field, const char *name, struct err *e)
{
	if (!*name)
		return err_set(e, -EINVAL, "%s: missing", field);
	for (const unsigned char *p = (const unsigned char *)name; *p; p++) {
		bool control = (*p < 0x20 && *p != '\t' && *p != '\n' && *p != '\r') ||
			       *p == 0x7f || (*p == 0xc2 && p[1] >= 0x80 && p[1] <= 0x9f);

		if (control)
			return err_set(e, -EINVAL, "%s: holds a control character", field);
	}
	return 0;
}

bool csi_id_plausible(const char *id)
{
	size_t n = strlen(id);

	return n > 9 && n < BACKEND_ID_MAX - 1 && /* a mapping's name has 127 */
	       strspn(id, "abcdefghijklmnopqrstuvwxyz0123456789.-") == n && id[0] != '.';
}

bool csi_snapshot_plausible(const char *id)
{
	size_t n = strlen(id);

	return n > 0 && n < BACKEND_ID_MAX &&
	       strspn(id, "abcdefghijklmnopqrstuvwxyz0123456789.-_/") == n;
}

bool csi_id_has_node(const char *id)
{
	const char *dot = strrchr(id, '.');

	return dot && strlen(dot + 1) == 8 && strspn(dot + 1, "0123456789abcdef") == 8;
}

bool csi_id_elsewhere(struct csi_call *call, const char *id)
{
	return csi_id_plausible(id) && csi_id_has_node(id) &&
	       !backend_id_is_ours(call->driver->backend, id);
}

enum csi_code csi_enter(struct csi_call *call, const char *kind, const char *key)
{
	struct err e = { 0 };
	char text[CSI_KEY_MAX];
	int r, fd;

	csi_try_store(call->driver);
	snprintf(text, sizeof(text), "%s:%s", kind, key);
	r = csi_locks_try(call->driver->locks, text);
	if (r == -EINPROGRESS)
		return csi_fail(call, CSI_ABORTED, "another operation on %s \"%s\" is under way",
				kind, key);
	if (r)
		return csi_fail(call, CSI_RESOURCE_EXHAUSTED, "no memory");
	if (strcmp(kind, "volume") != 0 || !csi_id_plausible(key))
		return CSI_OK;
	/* Controller and node may be two processes. */
	r = backend_lock(call->driver->backend, key, &fd, &e);
	if (!r) {
		csi_locks_keep(call->driver->locks, text, fd);
		return CSI_OK;
	}
	csi_locks_release(call->driver->locks, text);
	return csi_fail_err(call, &e, "volume \"%s\"", key);
}

void csi_leave(struct csi_call *call, const char *kind, const char *key)
{
	char text[CSI_KEY_MAX];

	snprintf(text, sizeof(text), "%s:%s", kind, key);
	csi_locks_release(call->driver->locks, text);
}

enum csi_code csi_get_volume(struct csi_call *call, const char *id, struct backend_volume *ret)
{
	struct err e = { 0 };
	int r;

	if (!csi_id_plausible(id))
		return csi_fail(call, CSI_NOT_FOUND, "volume \"%s\" doesn't exist", id);
	r = backend_get(call->driver->backend, id, ret, &e);
	if (r == -ENOENT)
		return csi_fail(
			call, CSI_NOT_FOUND,
			csi_id_elsewhere(call, id)
				? "volume \"%s\" lives on another node than this one, \"%s\""
				: "volume \"%s\" doesn't exist on node \"%s\"",
			id, call->driver->config.node_id);
	return r ? csi_fail_err(call, &e, "volume \"%s\"", id) : CSI_OK;
}

void *csi_copy_map(struct csi_call *call, struct csi_map m)
{
	struct csi_map_entry **out = csi_arena_alloc(call->arena, (m.n + 1) * sizeof(*out));

	if (out && m.n)
		memcpy(out, m.entries, m.n * sizeof(*out));
	return out;
}

Csi__V1__Topology *csi_topology_message(struct csi_call *call)
{
	Csi__V1__Topology *t = csi_new(call, Csi__V1__Topology, csi__v1__topology);
	Csi__V1__Topology__SegmentsEntry *en = csi_new(call, Csi__V1__Topology__SegmentsEntry,
						       csi__v1__topology__segments_entry);

	if (!t || !en)
		return NULL;
	t->segments = csi_arena_alloc(call->arena, sizeof(*t->segments));
	if (!t->segments)
		return NULL;
	en->key = call->driver->config.topology_key;
	en->value = call->driver->config.node_id;
	t->segments[0] = en;
	t->n_segments = 1;
	return t;
}

int csi_grow(struct csi_call *call, const char *id, uint64_t size_bytes, struct err *e)
{
	int r = backend_grow(call->driver->backend, id, size_bytes, e);

	if (r != -ENOSPC && r != -EDQUOT)
		return r;
	if (e)
		e->code = -ERANGE;
	return -ERANGE;
}

static bool topology_names_us(struct csi_call *call, Csi__V1__Topology *const *list, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		const char *v = csi_map_get(csi_map(list[i]->segments, list[i]->n_segments),
					    call->driver->config.topology_key);

		if (v && !strcmp(v, call->driver->config.node_id))
			return true;
	}
	return n == 0;
}

enum csi_code csi_topology_check(struct csi_call *call, const Csi__V1__TopologyRequirement *t,
				 const char *what)
{
	if (!t || topology_names_us(call, t->requisite, t->n_requisite))
		return CSI_OK;
	return csi_fail(call, CSI_RESOURCE_EXHAUSTED,
			"accessibility_requirements: %s live on node \"%s\", which isn't among the "
			"requisite ones",
			what, call->driver->config.node_id);
}

static Csi__V1__VolumeContentSource *source_message(struct csi_call *call,
						    const struct backend_volume *v)
{
	Csi__V1__VolumeContentSource *s = csi_new(call, Csi__V1__VolumeContentSource,
						  csi__v1__volume_content_source);

	if (!s)
		return NULL;
	if (v->source == BACKEND_SOURCE_SNAPSHOT) {
		s->type_case = CSI__V1__VOLUME_CONTENT_SOURCE__TYPE_SNAPSHOT;
		s->snapshot = csi_new(call, Csi__V1__VolumeContentSource__SnapshotSource,
				      csi__v1__volume_content_source__snapshot_source);
		if (s->snapshot)
			s->snapshot->snapshot_id = csi_arena_strdup(call->arena, v->source_id);
		return s->snapshot ? s : NULL;
	}
	s->type_case = CSI__V1__VOLUME_CONTENT_SOURCE__TYPE_VOLUME;
	s->volume = csi_new(call, Csi__V1__VolumeContentSource__VolumeSource,
			    csi__v1__volume_content_source__volume_source);
	if (s->volume)
		s->volume->volume_id = csi_arena_strdup(call->arena, v->source_id);
	return s->volume ? s : NULL;
}

Csi__V1__Volume *csi_volume_message(struct csi_call *call, const struct backend_volume *v)
{
	Csi__V1__Volume *m = csi_new(call, Csi__V1__Volume, csi__v1__volume);
	struct csi_map context;

	if (!m || csi_map_parse(call->arena, v->parameters, &context, NULL))
		return NULL;
	m->capacity_bytes = (int64_t)v->size_bytes;
	m->volume_id = csi_arena_strdup(call->arena, v->id);
	m->volume_context = csi_copy_map(call, context);
	m->n_volume_context = context.n;
	m->accessible_topology = csi_arena_alloc(call->arena, sizeof(*m->accessible_topology));
	if (!m->volume_id || !m->accessible_topology)
		return NULL;
	m->accessible_topology[0] = csi_topology_message(call);
	m->n_accessible_topology = 1;
	if (v->source != BACKEND_SOURCE_NONE) {
		m->content_source = source_message(call, v);
		if (!m->content_source)
			return NULL;
	}
	return m->accessible_topology[0] ? m : NULL;
}

Csi__V1__Snapshot *csi_snapshot_message(struct csi_call *call, const struct backend_snapshot *s)
{
	Csi__V1__Snapshot *m = csi_new(call, Csi__V1__Snapshot, csi__v1__snapshot);

	if (!m)
		return NULL;
	m->size_bytes = (int64_t)s->size_bytes;
	m->snapshot_id = csi_arena_strdup(call->arena, s->id);
	m->source_volume_id = csi_arena_strdup(call->arena, s->volume_id);
	m->group_snapshot_id = csi_arena_strdup(call->arena, s->group_id);
	m->ready_to_use = s->ready;
	m->creation_time = csi_new(call, Google__Protobuf__Timestamp, google__protobuf__timestamp);
	if (!m->snapshot_id || !m->source_volume_id || !m->group_snapshot_id || !m->creation_time)
		return NULL;
	m->creation_time->seconds = s->created_seconds;
	m->creation_time->nanos = (int32_t)s->created_nanos;
	if (s->kind == BACKEND_BACKUP)
		return m;
	m->accessible_topology = csi_arena_alloc(call->arena, sizeof(*m->accessible_topology));
	if (!m->accessible_topology)
		return NULL;
	m->accessible_topology[0] = csi_topology_message(call);
	m->n_accessible_topology = 1;
	return m->accessible_topology[0] ? m : NULL;
}
