// SPDX-License-Identifier: Apache-2.0
// The verbs that only look: versions, info, tables, status, dependencies, lists, events.
#include "internal.h"

#include <stdio.h>
#include <sys/sysmacros.h>

#define ANSWER_BYTES 16384u

static int nonsense(struct err *e, const char *name)
{
	return err_set(e, -EIO, "the kernel's answer on %s makes no sense", name);
}

/* A request whose answer is what matters. */
static int query(struct dm_control *c, struct dm_request *q, unsigned long cmd, const char *name,
		 uint32_t flags, struct err *e)
{
	enum dm_request_kind kind = flags & DM_SECURE_DATA_FLAG ? DM_REQUEST_SECRET
								: DM_REQUEST_PLAIN;
	int r;

	r = dm_request_init(q, name, ANSWER_BYTES, kind, e);
	if (r)
		return r;
	q->io->flags = flags;
	return dm_request_run(c, q, cmd);
}

/* ---- versions ---- */

/* Kernels before 5.4 can only list the targets that are loaded. */
static int version_from_list(struct dm_control *c, const char *name, uint32_t ret_version[3])
{
	_cleanup_request_ struct dm_request q = { 0 };
	const unsigned char *at;
	size_t len;
	int r;

	r = query(c, &q, DM_LIST_VERSIONS, NULL, 0, NULL) ?: dm_request_answer(&q, &at, &len, NULL);
	if (r)
		return r;
	while (len >= sizeof(struct dm_target_versions)) {
		const struct dm_target_versions *v = (const void *)at;
		size_t room = len - sizeof(*v);

		if (strnlen(v->name, room) == room)
			return -EIO;
		if (!strcmp(v->name, name)) {
			memcpy(ret_version, v->version, sizeof(v->version));
			return 0;
		}
		if (!v->next)
			break;
		if (v->next > len || v->next % 4)
			return -EIO;
		at += v->next;
		len -= v->next;
	}
	return -ENOENT;
}

static int version_once(struct dm_control *c, const char *name, uint32_t ret_version[3])
{
	_cleanup_request_ struct dm_request q = { 0 };
	const struct dm_target_versions *v;
	const unsigned char *at;
	size_t len;
	int r;

	r = query(c, &q, DM_GET_TARGET_VERSION, name, 0, NULL);
	if (r == -ENOTTY)
		return version_from_list(c, name, ret_version);
	r = r ?: dm_request_answer(&q, &at, &len, NULL);
	if (r)
		return r;
	v = (const void *)at;
	if (len < sizeof(*v))
		return -EIO;
	memcpy(ret_version, v->version, sizeof(v->version));
	return 0;
}

int dm_target_version(struct dm_control *c, const char *name, uint32_t ret_version[3],
		      struct err *e)
{
	char module[32], what[64];
	uint32_t v[3];
	int r;

	r = version_once(c, name, v);
	if (r == -EINVAL || r == -ENOENT) {
		/* The kernel's own request may have found no modprobe, where we do. */
		snprintf(module, sizeof(module), "dm_%.16s", name);
		snprintf(what, sizeof(what), "the kernel has no %.16s target", name);
		if (dm_module_load(module))
			return dm_module_lacking(what, module, e);
		r = version_once(c, name, v);
		if (r == -EINVAL || r == -ENOENT)
			return dm_module_lacking(what, module, e);
	}
	if (r)
		return err_sys(e, r, "the version of the %s target can't be read", name);
	memcpy(ret_version, v, sizeof(v));
	return 0;
}

int dm_crypt_supports(struct dm_control *c, uint32_t *ret_flags, struct err *e)
{
	int r;

	if (!c->crypt_known) {
		r = dm_target_version(c, "crypt", c->crypt_version, e);
		if (r)
			return r;
		c->crypt_known = true;
		log_debug("crypt target %u.%u.%u", c->crypt_version[0], c->crypt_version[1],
			  c->crypt_version[2]);
	}
	*ret_flags = dm_crypt_offers(c->crypt_version);
	return 0;
}

/* ---- one mapping ---- */

int dm_query_info(struct dm_control *c, const char *name, struct dm_mapping *ret, struct err *e)
{
	_cleanup_request_ struct dm_request q = { 0 };
	struct dm_mapping m = { 0 };
	int r;

	r = dm_request_init(&q, name, 0, DM_REQUEST_PLAIN, e);
	if (r)
		return r;
	r = dm_request_run(c, &q, DM_DEV_STATUS);
	if (r)
		return dm_fail(e, r, "look at", name);
	if (text_copy(m.name, sizeof(m.name), q.io->name) ||
	    text_copy(m.uuid, sizeof(m.uuid), q.io->uuid))
		return nonsense(e, name);
	m.major = major(q.io->dev);
	m.minor = minor(q.io->dev);
	m.event_nr = q.io->event_nr;
	m.open_count = q.io->open_count;
	m.target_count = q.io->target_count;
	m.suspended = q.io->flags & DM_SUSPEND_FLAG;
	m.readonly = q.io->flags & DM_READONLY_FLAG;
	m.live_table = q.io->flags & DM_ACTIVE_PRESENT_FLAG;
	m.inactive_table = q.io->flags & DM_INACTIVE_PRESENT_FLAG;
	m.deferred_remove = q.io->flags & DM_DEFERRED_REMOVE;
	*ret = m;
	return 0;
}

int dm_query_instance(struct dm_control *c, const char *name, char ret[DM_INSTANCE_MAX],
		      struct err *e)
{
	_cleanup_free_ char *text = NULL;
	struct dm_mapping m = { 0 };
	uint64_t sequence;
	char path[256];
	int r;

	r = dm_query_info(c, name, &m, e);
	if (r)
		return r;
	snprintf(path, sizeof(path), "%s/dev/block/%u:%u/diskseq", c->places->sysfs, m.major,
		 m.minor);
	if (!io_read_file(path, 64, &text, NULL))
		text[strcspn(text, "\n")] = '\0';
	if (text && !text_parse_u64(text, &sequence))
		snprintf(ret, DM_INSTANCE_MAX, "%s@%llu", m.uuid, (unsigned long long)sequence);
	else
		snprintf(ret, DM_INSTANCE_MAX, "%s", m.uuid);
	return 0;
}

/** The targets in an answer; each one's parameters are NUL-terminated within it. */
struct walk {
	const unsigned char *base;
	size_t len, at;
};

static int walk_next(struct walk *w, const struct dm_target_spec **ret, const char **ret_params)
{
	const struct dm_target_spec *spec;
	size_t room;

	if (w->at > w->len || w->len - w->at <= sizeof(*spec) || w->at % 8)
		return -EIO;
	spec = (const void *)(w->base + w->at);
	room = w->len - w->at - sizeof(*spec);
	if (strnlen((const char *)(spec + 1), room) == room ||
	    strnlen(spec->target_type, sizeof(spec->target_type)) == sizeof(spec->target_type) ||
	    spec->next <= w->at)
		return -EIO;
	*ret = spec;
	*ret_params = (const char *)(spec + 1);
	w->at = spec->next; /* counted from the first target */
	return 0;
}

/* A hex key that comes with a target: the first is kept, another has to be the same. */
static int join_keys(struct secret **key, struct secret *more, struct dm_target *t, struct err *e)
{
	int r = 0;

	if (!more)
		return 0;
	if (!*key) {
		*key = more;
		return 0;
	}
	if (!secret_equal(*key, more))
		r = err_set(e, -EOPNOTSUPP, "a table with several keys");
	t->crypt.key = *key;
	secret_free(more);
	return r;
}

static int read_targets(struct walk *w, struct dm_table *t, struct secret **key, bool want_key,
			struct err *e)
{
	for (size_t i = 0; i < t->n_targets; i++) {
		const struct dm_target_spec *spec;
		struct secret *one = NULL;
		const char *params;
		int r;

		r = walk_next(w, &spec, &params);
		if (r)
			return err_set(e, r, "the kernel's table makes no sense");
		r = dm_parse_params(spec->target_type, params, &t->targets[i],
				    want_key ? &one : NULL, e);
		if (r)
			return r;
		t->targets[i].start_sectors = spec->sector_start;
		t->targets[i].len_sectors = spec->length;
		r = join_keys(key, one, &t->targets[i], e);
		if (r)
			return r;
	}
	return 0;
}

int dm_query_table(struct dm_control *c, const char *name, struct dm_table *ret,
		   struct secret **ret_key, struct err *e)
{
	_cleanup_request_ struct dm_request q = { 0 };
	_cleanup_secret_ struct secret *key = NULL;
	struct dm_table t = { 0 };
	struct walk w = { 0 };
	int r;

	r = query(c, &q, DM_TABLE_STATUS, name, DM_STATUS_TABLE_FLAG | DM_SECURE_DATA_FLAG, e);
	if (r)
		return dm_fail(e, r, "read the table of", name);
	r = dm_request_answer(&q, &w.base, &w.len, e);
	if (r)
		return r;
	if (q.io->target_count > w.len / sizeof(struct dm_target_spec))
		return nonsense(e, name);
	t.n_targets = q.io->target_count;
	t.readonly = q.io->flags & DM_READONLY_FLAG;
	t.targets = calloc(t.n_targets + 1, sizeof(*t.targets));
	if (!t.targets)
		return err_set(e, -ENOMEM, "no memory for a table");
	r = read_targets(&w, &t, &key, ret_key, e);
	if (r) {
		dm_table_free(&t);
		return err_wrap(e, r, "%s", name);
	}
	*ret = t;
	if (ret_key) {
		*ret_key = key;
		key = NULL;
	}
	return 0;
}

int dm_query_status(struct dm_control *c, const char *name, size_t index, char **ret, struct err *e)
{
	_cleanup_request_ struct dm_request q = { 0 };
	const struct dm_target_spec *spec;
	const char *text = NULL;
	struct walk w = { 0 };
	int r;

	r = query(c, &q, DM_TABLE_STATUS, name, 0, e);
	if (r)
		return dm_fail(e, r, "read the status of", name);
	r = dm_request_answer(&q, &w.base, &w.len, e);
	if (r)
		return r;
	if (index >= q.io->target_count)
		return err_set(e, -ENOENT, "%s has no target %zu", name, index);
	for (size_t i = 0; i <= index; i++)
		if (walk_next(&w, &spec, &text))
			return nonsense(e, name);
	text = strdup(text);
	if (!text)
		return err_set(e, -ENOMEM, "no memory for a status");
	*ret = (char *)(uintptr_t)text;
	return 0;
}

int dm_query_deps(struct dm_control *c, const char *name, struct dm_dev *ret, size_t cap,
		  size_t *ret_n, struct err *e)
{
	_cleanup_request_ struct dm_request q = { 0 };
	const struct dm_target_deps *deps;
	const unsigned char *at;
	size_t len;
	int r;

	r = query(c, &q, DM_TABLE_DEPS, name, 0, e);
	if (r)
		return dm_fail(e, r, "read the devices below", name);
	r = dm_request_answer(&q, &at, &len, e);
	if (r)
		return r;
	deps = (const void *)at;
	if (len < sizeof(*deps) || deps->count > (len - sizeof(*deps)) / sizeof(deps->dev[0]))
		return nonsense(e, name);
	for (size_t i = 0; i < deps->count && i < cap; i++)
		ret[i] = (struct dm_dev){ major(deps->dev[i]), minor(deps->dev[i]) };
	*ret_n = deps->count;
	return 0;
}

int dm_wait(struct dm_control *c, const char *name, uint32_t event_nr, struct err *e)
{
	_cleanup_request_ struct dm_request q = { 0 };
	int r;

	r = dm_request_init(&q, name, 0, DM_REQUEST_PLAIN, e);
	if (r)
		return r;
	q.io->event_nr = event_nr;
	r = dm_request_run(c, &q, DM_DEV_WAIT);
	return r ? dm_fail(e, r, "wait for", name) : 0;
}

/* ---- all mappings ---- */

/* Walks the list; counts, and fills @ret where it isn't NULL. */
static int list_walk(const unsigned char *at, size_t len, struct dm_list_entry *ret, size_t *ret_n)
{
	size_t n = 0;

	while (len > sizeof(struct dm_name_list)) {
		const struct dm_name_list *l = (const void *)at;
		size_t room = len - offsetof(struct dm_name_list, name);

		if (!l->dev)
			break; /* none */
		if (strnlen(l->name, room) == room || strlen(l->name) > DM_DEVICE_NAME_MAX)
			return -EIO;
		if (ret) {
			(void)text_copy(ret[n].name, sizeof(ret[n].name), l->name);
			ret[n].major = major(l->dev);
			ret[n].minor = minor(l->dev);
		}
		n++;
		if (!l->next)
			break;
		if (l->next >= len || l->next % 8)
			return -EIO;
		at += l->next;
		len -= l->next;
	}
	*ret_n = n;
	return 0;
}

int dm_list(struct dm_control *c, struct dm_list_entry **ret, size_t *ret_n, struct err *e)
{
	_cleanup_request_ struct dm_request q = { 0 };
	struct dm_list_entry *entries;
	const unsigned char *at;
	size_t len, n;
	int r;

	r = query(c, &q, DM_LIST_DEVICES, NULL, 0, e);
	if (r)
		return err_sys(e, r, "device-mapper can't list its mappings");
	r = dm_request_answer(&q, &at, &len, e);
	if (r)
		return r;
	if (list_walk(at, len, NULL, &n))
		return err_set(e, -EIO, "the kernel's list of mappings makes no sense");
	entries = calloc(n + 1, sizeof(*entries));
	if (!entries)
		return err_set(e, -ENOMEM, "no memory for the list of mappings");
	(void)list_walk(at, len, entries, &n);
	*ret = entries;
	*ret_n = n;
	return 0;
}
