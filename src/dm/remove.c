// SPDX-License-Identifier: Apache-2.0
// Removing a mapping: what holds it for a moment is waited for, what holds it for good is named.
#include "internal.h"

#include <dirent.h>
#include <poll.h>
#include <stdio.h>
#include <sys/inotify.h>
#include <sys/sysmacros.h>

/* Close events come just before the last user is really gone: look again so often at least. */
#define LOOK_AGAIN_MS 50u

/* First entry of /sys/dev/block/<dev>/holders. */
static bool find_holder(const struct dm_control *c, dev_t dev, char *buf, size_t cap)
{
	char path[256];
	struct dirent *d;
	bool found = false;
	DIR *dir;

	snprintf(path, sizeof(path), "%s/dev/block/%u:%u/holders", c->places->sysfs, major(dev),
		 minor(dev));
	dir = opendir(path);
	if (!dir)
		return false;
	while (!found && (d = readdir(dir)))
		found = d->d_name[0] != '.' && !text_copy(buf, cap, d->d_name);
	closedir(dir);
	return found;
}

/* One line of mountinfo: is the device mounted here, by number or (btrfs) by its node's name? */
static bool line_mounts(const char *line, dev_t dev, const char *node, char *buf, size_t cap)
{
	uint32_t major_nr = 0, minor_nr = 0;
	struct dm_word number, where, source;
	const char *dash = strstr(line, " - ");

	if (!dash)
		return false;
	(void)dm_word_next(&line); /* mount id */
	(void)dm_word_next(&line); /* parent */
	number = dm_word_next(&line);
	(void)dm_word_next(&line); /* root */
	where = dm_word_next(&line);
	dash += strlen(" - ");
	(void)dm_word_next(&dash); /* type */
	source = dm_word_next(&dash);
	if (dm_word_dev(number, &major_nr, &minor_nr))
		return false;
	if (makedev(major_nr, minor_nr) != dev && !dm_word_is(source, node))
		return false;
	if (dm_word_copy(where, buf, cap))
		(void)text_copy(buf, cap, "a folder");
	return true;
}

static bool find_mount(const struct dm_control *c, dev_t dev, const char *name, char *buf,
		       size_t cap)
{
	_cleanup_free_ char *text = NULL;
	char node[256], *line, *save = NULL;

	snprintf(node, sizeof(node), "%s/mapper/%s", c->places->dev, name);
	if (io_read_file(c->places->mounts, 16u << 20, &text, NULL))
		return false;
	for (line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save))
		if (line_mounts(line, dev, node, buf, cap))
			return true;
	return false;
}

/* Is it held by something that stays? Then there is a sentence. */
static int held_for_good(const struct dm_control *c, const char *name, dev_t dev, struct err *e)
{
	char who[256];

	if (find_holder(c, dev, who, sizeof(who)))
		return err_set(e, -EBUSY, "%s is in use: %s stands on it", name, who);
	if (find_mount(c, dev, name, who, sizeof(who)))
		return err_set(e, -EBUSY, "%s is in use: it is mounted on %s", name, who);
	return 0;
}

/* Until somebody closes the device, @limit_ms at most. */
static void wait_for_close(int fd, uint32_t limit_ms)
{
	char events[4096];
	struct pollfd p = { .fd = fd, .events = POLLIN };

	if (poll(&p, fd >= 0 ? 1 : 0, (int)(limit_ms < LOOK_AGAIN_MS ? limit_ms : LOOK_AGAIN_MS)) >
	    0)
		(void)!read(fd, events, sizeof(events));
}

static int remove_once(struct dm_control *c, const char *name, uint32_t flags, uint32_t event_nr,
		       struct dm_ioctl *ret)
{
	_cleanup_request_ struct dm_request q = { 0 };
	int r;

	r = dm_request_init(&q, name, 0, DM_REQUEST_PLAIN, NULL);
	if (r)
		return r;
	q.io->flags = flags;
	q.io->event_nr = event_nr;
	r = dm_request_run(c, &q, DM_DEV_REMOVE);
	if (!r)
		*ret = *q.io;
	return r;
}

int dm_remove_run(struct dm_control *c, const char *name, uint32_t flags, uint32_t event_nr,
		  struct dm_ioctl *ret, struct err *e)
{
	uint64_t start = dm_clock_ms(), passed;
	_cleanup_close_ int fd = -1;
	struct dm_mapping m;
	char node[64];
	dev_t dev;
	int r;

	r = remove_once(c, name, flags, event_nr, ret);
	if (r != -EBUSY)
		return r ? dm_fail(e, r, "remove", name) : 0;
	r = dm_query_info(c, name, &m, e);
	if (r)
		return r;
	dev = makedev(m.major, m.minor);
	fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
	snprintf(node, sizeof(node), "%s/dm-%u", c->places->dev, m.minor);
	if (fd >= 0)
		(void)inotify_add_watch(fd, node, IN_CLOSE);
	for (;;) {
		r = held_for_good(c, name, dev, e);
		if (r)
			return r;
		r = remove_once(c, name, flags, event_nr, ret);
		if (r != -EBUSY)
			return r ? dm_fail(e, r, "remove", name) : 0;
		passed = dm_clock_ms() - start;
		if (passed >= DM_REMOVE_RETRY_MS)
			return err_set(e, -EBUSY, "%s is in use", name);
		wait_for_close(fd, (uint32_t)(DM_REMOVE_RETRY_MS - passed));
	}
}

int dm_remove(struct dm_control *c, const char *name, bool deferred, enum dm_udev_mode udev,
	      struct err *e)
{
	uint32_t flags = deferred ? DM_DEFERRED_REMOVE : 0;
	struct dm_ioctl io;
	struct dm_uevent u;
	struct dm_mapping m;
	int r;

	/* The answer to a removal doesn't say which device it was. */
	r = dm_query_info(c, name, &m, e);
	if (r)
		return r;
	dm_uevent_begin(c, 0, udev, &u);
	r = dm_remove_run(c, name, flags, u.event_nr, &io, e);
	dm_uevent_end(c, &u, r ? NULL : &io);
	if (r)
		return r;
	if (!(io.flags & DM_DEFERRED_REMOVE))
		dm_uevent_gone(c, name, makedev(m.major, m.minor));
	return 0;
}

int dm_remove_cancel(struct dm_control *c, const char *name, struct err *e)
{
	static const char message[] = "@cancel_deferred_remove";
	_cleanup_request_ struct dm_request q = { 0 };
	struct dm_target_msg *m;
	int r;

	r = dm_request_init(&q, name, sizeof(*m) + sizeof(message), DM_REQUEST_PLAIN, e);
	if (r)
		return r;
	m = dm_request_payload(&q);
	memcpy(m->message, message, sizeof(message));
	r = dm_request_run(c, &q, DM_TARGET_MSG);
	return r ? dm_fail(e, r, "cancel the removal of", name) : 0;
}
