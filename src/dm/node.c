// SPDX-License-Identifier: Apache-2.0
// Nodes below /dev/mapper where udev doesn't make them, or made a wrong one. Where the kernel's own
// node /dev/dm-N is in sight, ours is a link to it, as udev's would be: both may come at any time.
#include "internal.h"

#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#define MISC_MAJOR 10u
#define PATH_BYTES 512
#define NODE_MODE 0600

uint64_t dm_clock_ms(void)
{
	return (uint64_t)(base_now() * 1e3);
}

/* ---- the control node ---- */

int dm_node_misc(const struct dm_places *p, uint32_t *ret_minor)
{
	_cleanup_free_ char *text = NULL;
	char *line, *save = NULL;
	int r;

	r = io_read_file(p->misc, 65536, &text, NULL);
	if (r)
		return r;
	for (line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		const char *s = line;
		struct dm_word number = dm_word_next(&s), name = dm_word_next(&s);

		if (dm_word_is(name, "device-mapper"))
			return dm_word_u32(number, ret_minor);
	}
	return -ENOENT;
}

static int make_folder(const char *path, struct err *e)
{
	if (mkdir(path, 0755) && errno != EEXIST)
		return err_sys(e, -errno, "%s can't be made", path);
	return 0;
}

int dm_node_control(const struct dm_places *p, uint32_t minor_nr, struct err *e)
{
	char folder[PATH_BYTES], path[PATH_BYTES + 16];
	dev_t dev = makedev(MISC_MAJOR, minor_nr);
	struct stat st;
	int r;

	snprintf(folder, sizeof(folder), "%s/mapper", p->dev);
	snprintf(path, sizeof(path), "%s/control", folder);
	r = make_folder(folder, e);
	if (r)
		return r;
	if (!lstat(path, &st)) {
		if (S_ISCHR(st.st_mode) && st.st_rdev == dev)
			return 0;
		if (!S_ISCHR(st.st_mode) && !S_ISLNK(st.st_mode))
			return err_set(e, -EEXIST, "%s is no device; it is in the way", path);
		if (unlink(path) && errno != ENOENT)
			return err_sys(e, -errno, "%s can't be replaced", path);
	}
	if (mknod(path, S_IFCHR | NODE_MODE, dev) && errno != EEXIST)
		return err_sys(e, -errno, "%s can't be made", path);
	log_debug("made %s (%u:%u)", path, MISC_MAJOR, minor_nr);
	return 0;
}

/* ---- nodes of mappings ---- */

static void node_path(const struct dm_control *c, const char *name, char buf[PATH_BYTES])
{
	snprintf(buf, PATH_BYTES, "%s/mapper/%s", c->places->dev, name);
}

static bool leads_to(const char *path, dev_t dev)
{
	struct stat st;

	return !stat(path, &st) && S_ISBLK(st.st_mode) && st.st_rdev == dev;
}

bool dm_node_right(const struct dm_control *c, const char *name, dev_t dev)
{
	char path[PATH_BYTES];

	node_path(c, name, path);
	return leads_to(path, dev);
}

int dm_node_open(const struct dm_control *c, dev_t dev, int flags, int *ret_fd, struct err *e)
{
	char path[PATH_BYTES], folder[PATH_BYTES], random[64];
	bool ours = false;
	int fd, r;

	snprintf(path, sizeof(path), "%s/dm-%u", c->places->dev, minor(dev));
	if (!leads_to(path, dev)) {
		snprintf(folder, sizeof(folder), "%s/mapper", c->places->dev);
		r = make_folder(folder, e) ?: text_uuid_random(random, e);
		if (r)
			return r;
		snprintf(path, sizeof(path), "%.400s/.#cryptvol-%s", folder, random);
		if (mknod(path, S_IFBLK | NODE_MODE, dev))
			return err_sys(e, -errno, "%s can't be made", path);
		ours = true;
	}
	fd = open(path, flags);
	r = fd < 0 ? err_sys(e, -errno, "%s can't be opened", path) : 0;
	if (ours)
		(void)unlink(path);
	if (!r)
		*ret_fd = fd;
	return r;
}

/* A link to the kernel's node or a node of our own, at @path. 0 or negative errno. */
static int make_at(const struct dm_control *c, const char *path, dev_t dev)
{
	char kernels[PATH_BYTES], target[32];

	snprintf(kernels, sizeof(kernels), "%s/dm-%u", c->places->dev, minor(dev));
	if (leads_to(kernels, dev)) {
		snprintf(target, sizeof(target), "../dm-%u", minor(dev));
		return symlink(target, path) ? -errno : 0;
	}
	return mknod(path, S_IFBLK | NODE_MODE, dev) ? -errno : 0;
}

/* What stands at @path leads elsewhere: put the right one in its place at a stroke. */
static int replace_at(const struct dm_control *c, const char *path, dev_t dev)
{
	char temporary[PATH_BYTES];
	int r;

	snprintf(temporary, sizeof(temporary), "%s/mapper/.#cryptvol-%d-%u", c->places->dev,
		 (int)getpid(), minor(dev));
	(void)unlink(temporary);
	r = make_at(c, temporary, dev);
	if (!r && rename(temporary, path)) {
		r = -errno;
		(void)unlink(temporary);
	}
	return r;
}

int dm_node_make(const struct dm_control *c, const char *name, dev_t dev, struct err *e)
{
	char path[PATH_BYTES], folder[PATH_BYTES];
	struct stat st;
	int r;

	node_path(c, name, path);
	if (leads_to(path, dev))
		return 0;
	snprintf(folder, sizeof(folder), "%s/mapper", c->places->dev);
	r = make_folder(folder, e);
	if (r)
		return r;
	r = make_at(c, path, dev);
	if (r == -EEXIST && !leads_to(path, dev)) {
		if (!lstat(path, &st) && !S_ISBLK(st.st_mode) && !S_ISLNK(st.st_mode))
			return err_set(e, -EEXIST, "%s is no device; it is in the way", path);
		log_debug("%s is stale and replaced", path);
		r = replace_at(c, path, dev);
	}
	if (r && !leads_to(path, dev))
		return err_sys(e, r, "%s can't be made", path);
	return 0;
}

/* Is @path the node or a link of this device, even if the device is gone? */
static bool belongs_to(const char *path, dev_t dev)
{
	char target[PATH_BYTES], want[32];
	struct stat st;
	ssize_t n;
	char *base;

	if (lstat(path, &st))
		return false;
	if (S_ISBLK(st.st_mode))
		return st.st_rdev == dev;
	if (!S_ISLNK(st.st_mode))
		return false;
	n = readlink(path, target, sizeof(target) - 1);
	if (n < 0)
		return false;
	target[n] = '\0';
	base = strrchr(target, '/');
	snprintf(want, sizeof(want), "dm-%u", minor(dev));
	return !strcmp(base ? base + 1 : target, want);
}

void dm_node_drop(const struct dm_control *c, const char *name, dev_t dev)
{
	char path[PATH_BYTES];

	node_path(c, name, path);
	if (belongs_to(path, dev) && unlink(path) && errno != ENOENT)
		log_debug("%s can't be removed: %s", path, strerror(errno));
}

static bool wait_is_over(const struct dm_control *c, const char *name, dev_t dev, bool present)
{
	char path[PATH_BYTES];

	node_path(c, name, path);
	return present ? leads_to(path, dev) : !belongs_to(path, dev);
}

int dm_node_wait(const struct dm_control *c, const char *name, dev_t dev, bool present)
{
	uint64_t end = dm_clock_ms() + c->wait_ms, now;
	_cleanup_close_ int fd = -1;
	char folder[PATH_BYTES], events[4096];

	if (wait_is_over(c, name, dev, present))
		return 0;
	fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
	snprintf(folder, sizeof(folder), "%s/mapper", c->places->dev);
	if (fd < 0 ||
	    inotify_add_watch(fd, folder,
			      IN_CREATE | IN_MOVED_TO | IN_ATTRIB | IN_DELETE | IN_MOVED_FROM) < 0)
		return -errno;
	for (;;) {
		struct pollfd p = { .fd = fd, .events = POLLIN };

		if (wait_is_over(c, name, dev, present))
			return 0;
		now = dm_clock_ms();
		if (now >= end)
			return -ETIMEDOUT;
		if (poll(&p, 1, (int)(end - now)) > 0)
			(void)!read(fd, events, sizeof(events));
	}
}
