// SPDX-License-Identifier: Apache-2.0
// The verbs that change a mapping. What they begin they finish, or take back.
#include "internal.h"

#include <stdio.h>

/* What udev leaves in a node's name as it is. */
static bool name_char(char ch)
{
	return (ch >= 'a' && ch <= 'z') || (ch >= 'A' && ch <= 'Z') || (ch >= '0' && ch <= '9') ||
	       (ch && strchr("#+-.:=@_", ch));
}

static bool hex_digit(char ch)
{
	return (ch >= '0' && ch <= '9') || (ch >= 'a' && ch <= 'f') || (ch >= 'A' && ch <= 'F');
}

int dm_name_valid(const char *name, struct err *e)
{
	size_t len = strlen(name);

	if (!len)
		return err_set(e, -EINVAL, "a mapping needs a name");
	if (len > DM_DEVICE_NAME_MAX)
		return err_set(e, -EINVAL, "a mapping's name has at most %d bytes, not %zu",
			       DM_DEVICE_NAME_MAX, len);
	if (!strcmp(name, ".") || !strcmp(name, "..") || !strcmp(name, "control"))
		return err_set(e, -EINVAL, "\"%s\" can't be a mapping's name", name);
	for (const char *s = name; *s; s++) {
		if (s[0] == '\\' && s[1] == 'x' && hex_digit(s[2]) && hex_digit(s[3]))
			s += 3;
		else if (!name_char(*s))
			return err_set(e, -EINVAL,
				       "a mapping's name may have letters, digits and #+-.:=@_");
	}
	return 0;
}

/* ---- single steps ---- */

/* A request that is a name and flags. *@ret: the kernel's answer, may be NULL. */
static int simple(struct dm_control *c, unsigned long cmd, const char *name, uint32_t flags,
		  uint32_t event_nr, struct dm_ioctl *ret, struct err *e)
{
	_cleanup_request_ struct dm_request q = { 0 };
	int r;

	r = dm_request_init(&q, name, 0, DM_REQUEST_PLAIN, e);
	if (r)
		return r;
	q.io->flags = flags;
	q.io->event_nr = event_nr;
	r = dm_request_run(c, &q, cmd);
	if (!r && ret)
		*ret = *q.io;
	return r;
}

int dm_clear(struct dm_control *c, const char *name, struct err *e)
{
	int r = simple(c, DM_TABLE_CLEAR, name, 0, 0, NULL, e);

	return r ? dm_fail(e, r, "clear the new table of", name) : 0;
}

int dm_suspend(struct dm_control *c, const char *name, bool noflush, bool nolockfs, struct err *e)
{
	uint32_t flags = DM_SUSPEND_FLAG | (noflush ? DM_NOFLUSH_FLAG : 0) |
			 (nolockfs ? DM_SKIP_LOCKFS_FLAG : 0);
	int r = simple(c, DM_DEV_SUSPEND, name, flags, 0, NULL, e);

	return r ? dm_fail(e, r, "suspend", name) : 0;
}

int dm_resume_run(struct dm_control *c, const char *name, uint32_t device_flags,
		  enum dm_udev_mode udev, dev_t *ret_dev, struct err *e)
{
	uint32_t flags = device_flags & DM_DEVICE_READONLY ? DM_READONLY_FLAG : 0;
	struct dm_ioctl io;
	struct dm_uevent u;
	int r;

	dm_uevent_begin(c, device_flags, udev, &u);
	r = simple(c, DM_DEV_SUSPEND, name, flags, u.event_nr, &io, e);
	dm_uevent_end(c, &u, r ? NULL : &io);
	/* A target's size is held against the device below only when the table becomes live. */
	if (r == -EINVAL)
		return err_set(e, r, "the kernel refused the table of %s; its log says why", name);
	if (r)
		return dm_fail(e, r, "resume", name);
	*ret_dev = io.dev;
	return 0;
}

int dm_resume(struct dm_control *c, const char *name, uint32_t device_flags, enum dm_udev_mode udev,
	      struct err *e)
{
	dev_t dev = 0;
	int r;

	r = dm_resume_run(c, name, device_flags, udev, &dev, e);
	return r ?: dm_uevent_node(c, name, dev, e);
}

/* ---- create ---- */

static int create_failed(struct dm_control *c, int r, const char *name, const char *uuid,
			 struct err *e)
{
	struct dm_mapping m;

	if (r != -EBUSY)
		return err_sys(e, r, "device-mapper can't create %s", name);
	if (!dm_query_info(c, name, &m, NULL))
		return err_set(e, -EEXIST, "a mapping named %s exists already", name);
	return err_set(e, -EEXIST, "a mapping with the UUID %s exists already", uuid ?: "");
}

int dm_create_empty(struct dm_control *c, const char *name, const char *uuid, struct err *e)
{
	_cleanup_request_ struct dm_request q = { 0 };
	int r;

	r = dm_request_init(&q, name, 0, DM_REQUEST_PLAIN, e);
	if (r)
		return r;
	if (text_copy(q.io->uuid, sizeof(q.io->uuid), uuid ?: ""))
		return err_set(e, -EINVAL, "a mapping's UUID has at most %zu bytes",
			       sizeof(q.io->uuid) - 1);
	r = dm_request_run(c, &q, DM_DEV_CREATE);
	return r ? create_failed(c, r, name, uuid, e) : 0;
}

/* Nothing may stay: what a probe holds for longer goes when the probe goes. */
static void create_undo(struct dm_control *c, const char *name, enum dm_udev_mode udev)
{
	if (dm_remove(c, name, false, udev, NULL) == -EBUSY)
		(void)dm_remove(c, name, true, udev, NULL);
}

/* What stands between an empty mapping and one that works. */
static int create_fill(struct dm_control *c, const char *name, const struct dm_table *t,
		       struct dm_request *load, uint32_t device_flags, enum dm_udev_mode udev,
		       struct err *e)
{
	int r = dm_request_run(c, load, DM_TABLE_LOAD);

	if (r)
		return dm_load_failed(c, r, name, t, e);
	if (t->readonly)
		device_flags |= DM_DEVICE_READONLY;
	return dm_resume(c, name, device_flags, udev, e);
}

int dm_create(struct dm_control *c, const char *name, const char *uuid, const struct dm_table *t,
	      uint32_t device_flags, enum dm_udev_mode udev, struct err *e)
{
	_cleanup_request_ struct dm_request load = { 0 };
	struct dm_table table = *t;
	struct base_signals held;
	int r;

	r = dm_name_valid(name, e);
	if (r)
		return r;
	table.readonly = t->readonly || device_flags & DM_DEVICE_READONLY;
	r = dm_load_request(c, name, &table, &load, e);
	if (r)
		return r;
	base_signals_hold(&held);
	r = dm_create_empty(c, name, uuid, e);
	if (!r) {
		r = create_fill(c, name, &table, &load, device_flags, udev, e);
		if (!r && base_signals_came(&held))
			r = err_set(e, -EINTR, "interrupted while %s was made", name);
		if (r)
			create_undo(c, name, udev);
	}
	base_signals_release(&held);
	return r;
}

/* ---- reload, rename ---- */

static int reload_held(struct dm_control *c, const char *name, const struct dm_table *t,
		       uint32_t device_flags, enum dm_udev_mode udev, struct err *e)
{
	struct dm_mapping before, m;
	dev_t dev = 0;
	int r;

	r = dm_query_info(c, name, &before, e);
	if (r)
		return r;
	r = dm_load(c, name, t, e);
	if (r)
		return r;
	r = dm_resume_run(c, name, device_flags, udev, &dev, e);
	if (!r)
		return dm_uevent_node(c, name, dev, e);
	/* The kernel may have stopped between suspend and swap, or before it took the new table. */
	(void)dm_clear(c, name, NULL);
	if (!before.suspended && !dm_query_info(c, name, &m, NULL) && m.suspended)
		(void)dm_resume_run(c, name, device_flags, udev, &dev, NULL);
	return r;
}

/* A signal can't leave a second table, or a mapping that stands still. */
int dm_reload(struct dm_control *c, const char *name, const struct dm_table *t,
	      uint32_t device_flags, enum dm_udev_mode udev, struct err *e)
{
	struct base_signals held;
	int r;

	base_signals_hold(&held);
	r = reload_held(c, name, t, device_flags, udev, e);
	base_signals_release(&held);
	return r;
}

static int rename_run(struct dm_control *c, const char *name, const char *new_name,
		      enum dm_udev_mode udev, dev_t *ret_dev)
{
	_cleanup_request_ struct dm_request q = { 0 };
	struct dm_uevent u;
	int r;

	r = dm_request_init(&q, name, DM_DEVICE_NAME_MAX + 1, DM_REQUEST_PLAIN, NULL);
	if (r)
		return r;
	r = text_copy(dm_request_payload(&q), DM_DEVICE_NAME_MAX + 1, new_name);
	if (r)
		return r;
	dm_uevent_begin(c, 0, udev, &u);
	q.io->event_nr = u.event_nr;
	r = dm_request_run(c, &q, DM_DEV_RENAME);
	dm_uevent_end(c, &u, r ? NULL : q.io);
	if (!r)
		*ret_dev = q.io->dev;
	return r;
}

int dm_rename(struct dm_control *c, const char *name, const char *new_name, enum dm_udev_mode udev,
	      struct err *e)
{
	dev_t dev = 0;
	int r;

	r = dm_name_valid(new_name, e);
	if (r)
		return r;
	r = rename_run(c, name, new_name, udev, &dev);
	if (r == -EBUSY)
		return err_set(e, -EEXIST, "a mapping named %s exists already", new_name);
	if (r)
		return dm_fail(e, r, "rename", name);
	r = dm_uevent_node(c, new_name, dev, e);
	if (r) {
		if (!rename_run(c, new_name, name, udev, &dev))
			(void)dm_uevent_node(c, name, dev, NULL);
		return r;
	}
	dm_uevent_gone(c, name, dev);
	return 0;
}
