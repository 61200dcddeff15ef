// SPDX-License-Identifier: Apache-2.0
// Tables on their way into the kernel: the load request, and what its failure means.
#include "internal.h"

#include <stdio.h>

/* Targets start at multiples of 8 bytes. */
static size_t spec_bytes(size_t params_bytes)
{
	return (sizeof(struct dm_target_spec) + params_bytes + 7) / 8 * 8;
}

static bool table_is_secret(const struct dm_table *t)
{
	for (size_t i = 0; i < t->n_targets; i++)
		if (t->targets[i].type != DM_TARGET_LINEAR && t->targets[i].type != DM_TARGET_ERROR)
			return true;
	return false;
}

/* Does this kernel's crypt target know all that the table asks of it? */
static int check_crypt(struct dm_control *c, const struct dm_table *t, struct err *e)
{
	uint32_t needs = 0, offers;
	int r;

	for (size_t i = 0; i < t->n_targets; i++)
		if (t->targets[i].type == DM_TARGET_CRYPT)
			needs |= dm_crypt_needs(&t->targets[i].crypt);
	if (!needs)
		return 0;
	r = dm_crypt_supports(c, &offers, e);
	if (r)
		return r;
	return needs & ~offers ? dm_crypt_refuse(needs & ~offers, c->crypt_version, e) : 0;
}

static const char *type_name(const struct dm_target *t)
{
	static const char *const names[] = {
		[DM_TARGET_LINEAR] = "linear",
		[DM_TARGET_CRYPT] = "crypt",
		[DM_TARGET_ERROR] = "error",
		[DM_TARGET_INTEGRITY] = "integrity",
	};

	return (size_t)t->type < ARRAY_SIZE(names) && names[t->type] ? names[t->type]
								     : t->type_name;
}

/* One target at @at, of @room bytes; *ret_used is a multiple of 8. */
static int spec_write(const struct dm_target *t, unsigned char *at, size_t room, size_t *ret_used,
		      struct err *e)
{
	struct dm_target_spec *spec = (struct dm_target_spec *)(void *)at;
	size_t len;
	int r;

	if (room < sizeof(*spec))
		return err_set(e, -ENAMETOOLONG, "a table is too long");
	r = dm_params_write(t, (char *)(spec + 1), room - sizeof(*spec), &len, e);
	if (r)
		return r;
	*ret_used = spec_bytes(len + 1);
	spec->sector_start = t->start_sectors;
	spec->length = t->len_sectors;
	spec->next = (uint32_t)*ret_used;
	return text_copy(spec->target_type, sizeof(spec->target_type), type_name(t));
}

static int load_fill(struct dm_request *q, const struct dm_table *t, struct err *e)
{
	unsigned char *at = dm_request_payload(q);
	size_t room = q->cap - sizeof(struct dm_ioctl), used = 0;
	int r;

	for (size_t i = 0; i < t->n_targets; i++) {
		r = spec_write(&t->targets[i], at, room, &used, e);
		if (r)
			return r;
		at += used;
		room -= used;
	}
	q->io->data_size = (uint32_t)(q->cap - room);
	q->io->target_count = (uint32_t)t->n_targets;
	if (t->readonly)
		q->io->flags |= DM_READONLY_FLAG;
	return 0;
}

int dm_load_request(struct dm_control *c, const char *name, const struct dm_table *t,
		    struct dm_request *ret, struct err *e)
{
	size_t bytes = 0;
	int r;

	if (!t->n_targets)
		return err_set(e, -EINVAL, "a table without targets for %s", name);
	r = check_crypt(c, t, e);
	if (r)
		return r;
	for (size_t i = 0; i < t->n_targets; i++)
		bytes += spec_bytes(dm_params_bound(&t->targets[i]));
	r = dm_request_init(ret, name, bytes,
			    table_is_secret(t) ? DM_REQUEST_SECRET : DM_REQUEST_PLAIN, e);
	if (r)
		return r;
	r = load_fill(ret, t, e);
	if (r)
		dm_request_done(ret);
	return r;
}

/* -EINVAL is the kernel's answer to a target that it doesn't have, too. */
static int check_targets(struct dm_control *c, const struct dm_table *t, struct err *e)
{
	uint32_t version[3];

	for (size_t i = 0; i < t->n_targets; i++) {
		int r = dm_target_version(c, type_name(&t->targets[i]), version, e);

		if (r)
			return r;
	}
	return 0;
}

static const struct dm_target *first_crypt(const struct dm_table *t)
{
	for (size_t i = 0; i < t->n_targets; i++)
		if (t->targets[i].type == DM_TARGET_CRYPT)
			return &t->targets[i];
	return NULL;
}

/* Is the device below @t read-only? */
static bool is_readonly(const struct dm_control *c, const struct dm_target *t)
{
	_cleanup_free_ char *text = NULL;
	char path[256];

	snprintf(path, sizeof(path), "%s/dev/block/%u:%u/ro", c->places->sysfs, t->dev_major,
		 t->dev_minor);
	return !io_read_file(path, 16, &text, NULL) && *text == '1';
}

int dm_load_failed(struct dm_control *c, int r, const char *name, const struct dm_table *t,
		   struct err *e)
{
	const struct dm_target *crypt = first_crypt(t), *first = &t->targets[0];

	if (r == -EINVAL && check_targets(c, t, e))
		return -EHOSTDOWN;
	if (r == -EINVAL)
		return err_set(e, r, "the kernel refused the table of %s; its log says why", name);
	/* -EACCES: there is one, but no permission to find it. */
	if (crypt && crypt->crypt.key_description[0] &&
	    (r == -ENOKEY || r == -EKEYREVOKED || (r == -EACCES && !is_readonly(c, crypt))))
		return err_set(e, -ENOKEY, "the kernel finds no key \"%s\" for %s",
			       crypt->crypt.key_description, name);
	if (r == -ENOENT && crypt)
		return err_set(e, -EHOSTDOWN,
			       "the kernel has no cipher %s: its module is missing or not allowed",
			       crypt->crypt.cipher);
	if ((r == -EACCES || r == -EROFS) && !t->readonly && is_readonly(c, first))
		return err_set(e, -EROFS, "the device %u:%u below %s is read-only",
			       first->dev_major, first->dev_minor, name);
	if (r == -EBUSY)
		return err_set(e, r, "the device %u:%u below %s is in use", first->dev_major,
			       first->dev_minor, name);
	if (r == -ENXIO) {
		struct dm_mapping m;

		/* Either the mapping is gone, or a device below it. */
		if (!dm_query_info(c, name, &m, NULL))
			return err_set(e, -ENODEV, "a device below %s doesn't exist (%u:%u)", name,
				       first->dev_major, first->dev_minor);
	}
	return dm_fail(e, r, "load a table into", name);
}

int dm_load(struct dm_control *c, const char *name, const struct dm_table *t, struct err *e)
{
	_cleanup_request_ struct dm_request q = { 0 };
	int r;

	r = dm_load_request(c, name, t, &q, e);
	if (r)
		return r;
	r = dm_request_run(c, &q, DM_TABLE_LOAD);
	return r ? dm_load_failed(c, r, name, t, e) : 0;
}
