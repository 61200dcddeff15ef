// SPDX-License-Identifier: Apache-2.0
// The control device and the only ioctl(2) of the room: version handshake, buffers that grow,
// wiping. Source: the kernel's uapi linux/dm-ioctl.h.
#include "internal.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/ioctl.h>

#define ANSWER_MAX_BYTES (64u << 20)

static const struct dm_places host_places = {
	.dev = "/dev",
	.misc = "/proc/misc",
	.udev_control = "/run/udev/control",
	.udev_rules = { "/usr/lib/udev/rules.d", "/lib/udev/rules.d", "/etc/udev/rules.d",
			"/run/udev/rules.d", NULL },
	.mounts = "/proc/self/mountinfo",
	.sysfs = "/sys",
};

/* ---- requests ---- */

/* A buffer of @bytes, zeroed, of the kind that @q has. */
static int request_alloc(struct dm_request *q, size_t bytes, enum dm_request_kind kind,
			 struct err *e)
{
	int r;

	if (kind == DM_REQUEST_SECRET) {
		r = secret_new(bytes, &q->secret, e);
		if (r)
			return r;
		q->io = (struct dm_ioctl *)(void *)q->secret->data;
	} else if (bytes > sizeof(q->small)) {
		q->heap = calloc(1, bytes);
		if (!q->heap)
			return err_set(e, -ENOMEM, "no memory for a device-mapper request");
		q->io = q->heap;
	} else {
		q->io = &q->small.io;
	}
	q->cap = bytes;
	return 0;
}

int dm_request_init(struct dm_request *q, const char *name, size_t payload_bytes,
		    enum dm_request_kind kind, struct err *e)
{
	int r;

	memset(q, 0, sizeof(*q));
	if (name && (strlen(name) > DM_DEVICE_NAME_MAX || strchr(name, '/')))
		return err_set(e, -EINVAL, "\"%.150s\" can't be a mapping's name", name);
	r = request_alloc(q, sizeof(struct dm_ioctl) + payload_bytes, kind, e);
	if (r)
		return r;
	q->io->version[0] = DM_VERSION_MAJOR;
	q->io->data_size = (uint32_t)q->cap;
	q->io->data_start = sizeof(struct dm_ioctl);
	if (kind == DM_REQUEST_SECRET)
		q->io->flags = DM_SECURE_DATA_FLAG;
	if (name)
		(void)text_copy(q->io->name, sizeof(q->io->name), name);
	return 0;
}

void dm_request_done(struct dm_request *q)
{
	secret_free(q->secret);
	free(q->heap);
	memset(q, 0, sizeof(*q));
}

/* The same request in a buffer twice as long. @sent: the header as it was before the kernel
 * answered. */
static int request_grow(struct dm_request *q, const struct dm_ioctl *sent)
{
	enum dm_request_kind kind = q->secret ? DM_REQUEST_SECRET : DM_REQUEST_PLAIN;
	struct secret *old_secret = q->secret;
	size_t bytes = q->cap * 2;
	void *old_heap = q->heap;
	int r;

	if (bytes > ANSWER_MAX_BYTES)
		return -EFBIG;
	q->secret = NULL;
	q->heap = NULL;
	r = request_alloc(q, bytes, kind, NULL);
	if (r) {
		q->secret = old_secret;
		q->heap = old_heap;
		return r;
	}
	secret_free(old_secret);
	free(old_heap);
	*q->io = *sent;
	q->io->data_size = (uint32_t)bytes;
	return 0;
}

int dm_request_run(struct dm_control *c, struct dm_request *q, unsigned long cmd)
{
	const struct dm_ioctl sent = *q->io;
	int r;

	while (!ioctl(c->fd, cmd, q->io)) {
		/* DM_DEV_WAIT answers with a status that nobody asked for. */
		if (!(q->io->flags & DM_BUFFER_FULL_FLAG) || cmd == DM_DEV_WAIT)
			return 0;
		r = request_grow(q, &sent);
		if (r)
			return r;
	}
	return -errno;
}

int dm_request_answer(const struct dm_request *q, const unsigned char **ret, size_t *ret_len,
		      struct err *e)
{
	uint32_t start = q->io->data_start, size = q->io->data_size;

	/* No data (the table of a mapping that has none): the size is the head's without its
	 * padding, and data_start still what we asked with. */
	if (size == offsetof(struct dm_ioctl, data))
		size = start;
	if (size > q->cap || start > size || start % 8)
		return err_set(e, -EIO, "the kernel's device-mapper answer makes no sense");
	*ret = (const unsigned char *)q->io + start;
	*ret_len = size - start;
	return 0;
}

int dm_fail(struct err *e, int r, const char *verb, const char *name)
{
	if (r == -ENXIO || r == -ENODEV)
		return err_set(e, -ENODEV, "there is no mapping named %s", name);
	return err_sys(e, r, "device-mapper can't %s %s", verb, name);
}

/* ---- the control device ---- */

static int control_handshake(struct dm_control *c)
{
	_cleanup_request_ struct dm_request q;
	int r;

	r = dm_request_init(&q, NULL, 0, DM_REQUEST_PLAIN, NULL);
	if (r)
		return r;
	r = dm_request_run(c, &q, DM_VERSION);
	if (!r)
		log_debug("device-mapper interface %u.%u.%u", q.io->version[0], q.io->version[1],
			  q.io->version[2]);
	return r ?: q.io->version[0] == DM_VERSION_MAJOR ? 0 : -EINVAL;
}

static int control_try(struct dm_control *c)
{
	char path[256];
	int r;

	snprintf(path, sizeof(path), "%s/mapper/control", c->places->dev);
	base_closep(&c->fd);
	c->fd = open(path, O_RDWR | O_CLOEXEC);
	if (c->fd < 0)
		return -errno;
	r = control_handshake(c);
	if (r)
		base_closep(&c->fd);
	return r;
}

/* The node is missing or leads nowhere: load the driver where it isn't there, make the node. */
static int control_repair(struct dm_control *c, struct err *e)
{
	uint32_t minor_nr;

	if (dm_node_misc(c->places, &minor_nr)) {
		(void)dm_module_load("dm_mod");
		if (dm_node_misc(c->places, &minor_nr))
			return dm_module_lacking("the kernel has no device-mapper", "dm_mod", e);
	}
	return dm_node_control(c->places, minor_nr, e);
}

static int control_failed(const struct dm_control *c, int r, struct err *e)
{
	switch (r) {
	case -EACCES:
	case -EPERM:
		return err_set(
			e, -EACCES,
			"no permission for %s/mapper/control: it takes CAP_SYS_ADMIN, and in a "
			"container the right to use the device 10:*",
			c->places->dev);
	case -EINVAL:
		return err_set(e, -EHOSTDOWN,
			       "the kernel's device-mapper doesn't speak interface version %d",
			       DM_VERSION_MAJOR);
	default:
		return err_sys(e, r == -ENOMEM ? r : -EHOSTDOWN,
			       "%s/mapper/control can't be used (errno %d)", c->places->dev, -r);
	}
}

int dm_control_open_at(const struct dm_places *places, struct dm_control **ret, struct err *e)
{
	_cleanup_dm_ struct dm_control *c = calloc(1, sizeof(*c));
	int r;

	if (!c)
		return err_set(e, -ENOMEM, "no memory for device-mapper");
	c->fd = -1;
	c->places = places;
	c->wait_ms = DM_WAIT_DEFAULT_MS;
	r = control_try(c);
	if (r == -ENOENT || r == -ENXIO || r == -ENODEV || r == -ENOTTY) {
		r = control_repair(c, e);
		if (r)
			return r;
		r = control_try(c);
	}
	if (r)
		return control_failed(c, r, e);
	*ret = c;
	c = NULL;
	return 0;
}

int dm_control_open(struct dm_control **ret, struct err *e)
{
	return dm_control_open_at(&host_places, ret, e);
}

void dm_control_set_wait(struct dm_control *c, uint32_t wait_ms)
{
	c->wait_ms = wait_ms;
}

void dm_control_close(struct dm_control *c)
{
	if (!c)
		return;
	base_closep(&c->fd);
	if (c->library)
		dlclose(c->library);
	free(c);
}

void dm_control_closep(struct dm_control **c)
{
	dm_control_close(*c);
	*c = NULL;
}
