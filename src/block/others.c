// SPDX-License-Identifier: Apache-2.0
// The other names of a device's bytes: what lies below it, and what stands over that. Source: the
// kernel's sysfs-block ABI ("slaves", "holders", "partition"), loop(4).
#include "internal.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/sysmacros.h>

#define OTHERS_MAX 1024 /* devices; a host with more over one disk isn't walked to its end */

struct walk {
	struct block_others found;
	struct stat *file; /* of found.files, and of files that can't be opened */
	size_t n_file;
	struct block_number self;
	bool self_device;
	struct block_loop *loops;
	size_t n_loops;
	int error;
};

static bool known(const struct walk *w, uint32_t major, uint32_t minor)
{
	if (w->self_device && w->self.major == major && w->self.minor == minor)
		return true;
	for (size_t i = 0; i < w->found.n_devices; i++)
		if (w->found.devices[i].major == major && w->found.devices[i].minor == minor)
			return true;
	return false;
}

static void add_device(struct walk *w, uint32_t major, uint32_t minor)
{
	struct block_others *o = &w->found;
	struct block_number *more;

	if (known(w, major, minor) || o->n_devices >= OTHERS_MAX)
		return;
	more = reallocarray(o->devices, o->n_devices + 1, sizeof(*more));
	if (!more) {
		w->error = -ENOMEM;
		return;
	}
	o->devices = more;
	o->devices[o->n_devices++] = (struct block_number){ major, minor };
}

/* Takes @fd over; -1: the file is known by @st alone. */
static void add_file(struct walk *w, const struct stat *st, int fd)
{
	struct stat *more = reallocarray(w->file, w->n_file + 1, sizeof(*more));
	int *fds = reallocarray(w->found.files, w->found.n_files + 1, sizeof(*fds));

	if (more)
		w->file = more;
	if (fds)
		w->found.files = fds;
	if (!more || !fds) {
		w->error = -ENOMEM;
		if (fd >= 0)
			close(fd);
		return;
	}
	w->file[w->n_file++] = *st;
	if (fd >= 0)
		w->found.files[w->found.n_files++] = fd;
}

static bool known_file(const struct walk *w, const struct stat *st)
{
	for (size_t i = 0; i < w->n_file; i++)
		if (w->file[i].st_dev == st->st_dev && w->file[i].st_ino == st->st_ino)
			return true;
	return false;
}

/* A text of sysfs without its newline; false where there is none. */
static bool read_text(const char *path, char *buf, size_t cap)
{
	_cleanup_free_ char *text = NULL;
	size_t len;

	if (io_read_file(path, cap - 1, &text, &len) || !len)
		return false;
	memcpy(buf, text, len + 1);
	if (buf[len - 1] == '\n')
		buf[len - 1] = '\0';
	return true;
}

/* "8:1" of a sysfs file "dev". */
static void add_by_file(struct walk *w, const char *path)
{
	char text[32], *colon;
	uint32_t major, minor;

	if (!read_text(path, text, sizeof(text)))
		return;
	colon = strchr(text, ':');
	if (!colon)
		return;
	*colon = '\0';
	if (!text_parse_u32(text, &major) && !text_parse_u32(colon + 1, &minor))
		add_device(w, major, minor);
}

/* What a mapping of dm-crypt has on its one side isn't what it has on the other. */
static bool is_encryption(const char *sysfs)
{
	char path[4096], uuid[16];
	_cleanup_free_ char *text = NULL;

	snprintf(path, sizeof(path), "%s/dm/uuid", sysfs);
	if (io_read_file(path, 4096, &text, NULL))
		return false;
	snprintf(uuid, sizeof(uuid), "%.6s", text);
	return !strcmp(uuid, "CRYPT-");
}

/* The devices in the folder @leaf of @sysfs: "slaves", "holders", or "" for partitions. */
static void add_folder(struct walk *w, const char *sysfs, const char *leaf, bool up)
{
	char folder[512], path[1024];
	struct dirent *entry;
	DIR *dir;

	snprintf(folder, sizeof(folder), "%s/%s", sysfs, leaf);
	dir = opendir(folder);
	while (dir && (entry = readdir(dir))) {
		if (entry->d_name[0] == '.')
			continue;
		snprintf(path, sizeof(path), "%s/%s/partition", folder, entry->d_name);
		if (!*leaf && access(path, F_OK))
			continue;
		snprintf(path, sizeof(path), "%s/%s", folder, entry->d_name);
		if (up && is_encryption(path))
			continue;
		snprintf(path, sizeof(path), "%s/%s/dev", folder, entry->d_name);
		add_by_file(w, path);
	}
	if (dir)
		closedir(dir);
}

static void add_backing(struct walk *w, const char *sysfs)
{
	_cleanup_free_ char *real = NULL;
	char path[1024], name[4096], *base;
	struct block_loop loop;
	struct stat st;
	int fd;

	snprintf(path, sizeof(path), "%s/loop/backing_file", sysfs);
	if (!read_text(path, name, sizeof(name)))
		return;
	real = realpath(sysfs, NULL);
	base = real ? strrchr(real, '/') : NULL;
	if (!base || block_loop_query(base + 1, &loop))
		return;
	if (stat(name, &st) ||
	    !block_loop_over(&loop, &st)) { /* deleted, or of another namespace */
		st = (struct stat){ .st_dev = loop.file_device, .st_ino = loop.file_inode };
		if (!known_file(w, &st))
			add_file(w, &st, -1);
		return;
	}
	if (S_ISBLK(st.st_mode)) {
		add_device(w, major(st.st_rdev), minor(st.st_rdev));
		return;
	}
	if (known_file(w, &st) || !S_ISREG(st.st_mode))
		return;
	fd = open(name, O_RDWR | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (fd < 0)
		fd = open(name, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (fd >= 0 && (fstat(fd, &st) || !block_loop_over(&loop, &st))) {
		close(fd);
		fd = -1;
	}
	add_file(w, &st, fd);
}

static void walk_down(struct walk *w, struct block_number n)
{
	char sysfs[512], path[1024];

	block_sysfs_path(n.major, n.minor, "", sysfs, sizeof(sysfs));
	if (is_encryption(sysfs))
		return;
	snprintf(path, sizeof(path), "%s/partition", sysfs);
	if (!access(path, F_OK)) {
		snprintf(path, sizeof(path), "%s/../dev", sysfs);
		add_by_file(w, path);
	}
	add_folder(w, sysfs, "slaves", false);
	add_backing(w, sysfs);
}

/* Is it a loop device over this very block device, by its node? */
static bool loop_over_device(const struct block_loop *l, struct block_number n)
{
	char path[96], name[4096];
	struct stat st;

	block_sysfs_path(l->major, l->minor, "loop/backing_file", path, sizeof(path));
	return read_text(path, name, sizeof(name)) && !stat(name, &st) && S_ISBLK(st.st_mode) &&
	       block_loop_over(l, &st) && st.st_rdev == makedev(n.major, n.minor);
}

static void walk_up(struct walk *w, struct block_number n)
{
	char sysfs[512];

	block_sysfs_path(n.major, n.minor, "", sysfs, sizeof(sysfs));
	add_folder(w, sysfs, "holders", true);
	add_folder(w, sysfs, "", true);
	for (size_t i = 0; i < w->n_loops; i++)
		if (loop_over_device(&w->loops[i], n))
			add_device(w, w->loops[i].major, w->loops[i].minor);
}

static void walk_all(struct walk *w, bool all)
{
	if (w->self_device)
		walk_down(w, w->self);
	for (size_t i = 0; i < w->found.n_devices; i++)
		walk_down(w, w->found.devices[i]);
	if (!all)
		return;
	for (size_t f = 0; f < w->n_file; f++)
		for (size_t i = 0; i < w->n_loops; i++)
			if (block_loop_over(&w->loops[i], &w->file[f]))
				add_device(w, w->loops[i].major, w->loops[i].minor);
	if (w->self_device)
		walk_up(w, w->self);
	for (size_t i = 0; i < w->found.n_devices; i++)
		walk_up(w, w->found.devices[i]);
}

int block_find_others(int fd, bool all, struct block_others *ret, struct err *e)
{
	struct walk w = { 0 };
	struct stat st;
	int r = 0;

	if (fstat(fd, &st))
		return err_sys(e, -errno, "the device can't be examined");
	w.self_device = S_ISBLK(st.st_mode);
	if (w.self_device)
		w.self = (struct block_number){ major(st.st_rdev), minor(st.st_rdev) };
	else
		add_file(&w, &st, -1);
	if (all)
		r = block_loop_list(&w.loops, &w.n_loops, e);
	if (!r)
		walk_all(&w, all);
	free(w.loops);
	free(w.file);
	if (!r && w.error)
		r = err_set(e, w.error, "no memory to find a device's other names");
	if (r)
		block_others_free(&w.found);
	else
		*ret = w.found;
	return r;
}

void block_others_free(struct block_others *o)
{
	free(o->devices);
	for (size_t i = 0; i < o->n_files; i++)
		close(o->files[i]);
	free(o->files);
	*o = (struct block_others){ 0 };
}
