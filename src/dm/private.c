// SPDX-License-Identifier: Apache-2.0
// A mapping that nobody but this process uses, and that goes with its descriptor. It is marked for
// removal before its table becomes live, so that the kernel takes it down whenever and however the
// process ends.
#include "internal.h"

#include <fcntl.h>
#include <stdio.h>
#include <time.h>

#define NAME_PREFIX "temporary-cryptvol-"
#define UUID_PREFIX "CRYPT-TEMP-cryptvol-"
/* A process takes milliseconds from making the mapping to the mark. */
#define STALE_MS 30000u

/* The same for all processes of the host. */
static uint64_t boot_ms(void)
{
	struct timespec t = { 0 };

	clock_gettime(CLOCK_BOOTTIME, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

/* When was it made? false: none of these. */
static bool made_at(const char *name, uint64_t *ret_ms)
{
	char number[24] = "";
	size_t n;

	if (strncmp(name, NAME_PREFIX, sizeof(NAME_PREFIX) - 1) != 0)
		return false;
	name += sizeof(NAME_PREFIX) - 1;
	n = strcspn(name, "-");
	if (!name[n] || n >= sizeof(number))
		return false;
	memcpy(number, name, n);
	return !text_parse_u64(number, ret_ms);
}

static void sweep_one(struct dm_control *c, const char *name)
{
	struct dm_mapping m;
	struct dm_ioctl io;
	struct dm_uevent u;

	if (dm_query_info(c, name, &m, NULL) || m.open_count || m.live_table ||
	    strncmp(m.uuid, UUID_PREFIX, sizeof(UUID_PREFIX) - 1) != 0)
		return;
	dm_uevent_begin(c, DM_DEVICE_PRIVATE, DM_UDEV_NO_COOKIE, &u);
	if (!dm_remove_run(c, name, 0, u.event_nr, &io, NULL))
		log_debug("removed %s, which a process left that was killed", name);
}

/* What was killed between making the mapping and the mark. */
static void sweep(struct dm_control *c)
{
	_cleanup_free_ struct dm_list_entry *list = NULL;
	uint64_t now = boot_ms(), then;
	size_t n = 0;

	if (dm_list(c, &list, &n, NULL))
		return;
	for (size_t i = 0; i < n; i++)
		if (made_at(list[i].name, &then) && then + STALE_MS < now)
			sweep_one(c, list[i].name);
}

static int choose_name(struct dm_private *p, char uuid[DM_DEVICE_UUID_MAX + 1], struct err *e)
{
	char random[64];
	int r;

	r = text_uuid_random(random, e);
	if (r)
		return r;
	snprintf(p->name, sizeof(p->name), NAME_PREFIX "%llu-%s", (unsigned long long)boot_ms(),
		 random);
	snprintf(uuid, DM_DEVICE_UUID_MAX + 1, UUID_PREFIX "%s", random);
	return 0;
}

/* The device exists from the load on; it has a size once its table is live. */
static int open_marked(struct dm_control *c, struct dm_private *p, dev_t dev, bool readonly,
		       struct err *e)
{
	struct dm_ioctl io;
	int r;

	r = dm_node_open(c, dev, (readonly ? O_RDONLY : O_RDWR) | O_DIRECT | O_CLOEXEC, &p->fd, e);
	if (r)
		return r;
	r = dm_remove_run(c, p->name, DM_DEFERRED_REMOVE, 0, &io, e);
	if (!r)
		r = dm_resume_run(c, p->name,
				  DM_DEVICE_PRIVATE | (readonly ? DM_DEVICE_READONLY : 0),
				  DM_UDEV_NO_COOKIE, &dev, e);
	return r;
}

static int open_held(struct dm_control *c, const struct dm_table *t, struct dm_request *load,
		     const char *uuid, struct dm_private *p, struct err *e)
{
	int r;

	r = dm_create_empty(c, p->name, uuid, e);
	if (r)
		return r;
	r = dm_request_run(c, load, DM_TABLE_LOAD);
	if (r)
		r = dm_load_failed(c, r, p->name, t, e);
	else
		r = open_marked(c, p, load->io->dev, t->readonly, e);
	if (r)
		dm_private_close(c, p);
	return r;
}

int dm_private_open(struct dm_control *c, const struct dm_table *t, struct dm_private *ret,
		    struct err *e)
{
	_cleanup_request_ struct dm_request load = { 0 };
	struct dm_private p = { .fd = -1 };
	char uuid[DM_DEVICE_UUID_MAX + 1];
	struct base_signals held;
	int r;

	sweep(c);
	r = choose_name(&p, uuid, e);
	if (!r)
		r = dm_load_request(c, p.name, t, &load, e);
	if (r)
		return r;
	base_signals_hold(&held);
	r = open_held(c, t, &load, uuid, &p, e);
	base_signals_release(&held);
	if (!r)
		*ret = p;
	return r;
}

void dm_private_close(struct dm_control *c, struct dm_private *p)
{
	struct dm_ioctl io;
	struct dm_uevent u;

	if (!p->name[0])
		return;
	if (p->fd >= 0)
		close(p->fd);
	base_spawn_settle();
	/* The kernel is about to remove it; after this it has. */
	dm_uevent_begin(c, DM_DEVICE_PRIVATE, DM_UDEV_NO_COOKIE, &u);
	(void)dm_remove_run(c, p->name, 0, u.event_nr, &io, NULL);
	*p = (struct dm_private){ .fd = -1 };
}
