// SPDX-License-Identifier: Apache-2.0
// Where manifests lie: manifests/<volume>/<name>.json; removed, swept, found, gone through.
#include "internal.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

#define SUFFIX ".json"

void manifest_file(const char *name, char ret[MANIFEST_FILE_BYTES])
{
	snprintf(ret, MANIFEST_FILE_BYTES, "%.128s" SUFFIX, name);
}

static int open_manifests(const struct store *s, struct err *e)
{
	int fd = store_folder(s->fd, "manifests", false, e);

	return fd < 0 ? err_wrap(e, fd == -ENOENT ? -EBADMSG : fd, "%s", s->dir) : fd;
}

int manifest_folder(const struct store *s, const char *volume, bool make, struct err *e)
{
	_cleanup_close_ int all = open_manifests(s, e);
	int fd;

	if (all < 0)
		return all;
	fd = store_folder(all, volume, make, e);
	return fd < 0 ? err_wrap(e, fd, "%s/manifests", s->dir) : fd;
}

int manifest_delete(const struct store *s, const char *volume, const char *name, struct err *e)
{
	_cleanup_close_ int all = -1, folder = -1;
	char file[MANIFEST_FILE_BYTES];

	all = open_manifests(s, e);
	if (all < 0)
		return all;
	folder = store_folder(all, volume, false, e);
	if (folder == -ENOENT)
		return err_clear(e), 0;
	if (folder < 0)
		return folder;
	manifest_file(name, file);
	if (unlinkat(folder, file, 0) && errno != ENOENT)
		return err_sys(e, -errno, "%s can't be removed", file);
	(void)!unlinkat(all, volume, AT_REMOVEDIR); /* the last one */
	return store_sync(s, e);
}

/* ---- all of them ---- */

static bool is_manifest(const char *file)
{
	size_t n = strlen(file);

	return n > 5 && n - 5 < BACKUP_NAME_MAX && !strcmp(file + n - 5, SUFFIX);
}

/* "NAME.json.new-RANDOM": store_new_file's */
static bool is_unfinished(const char *file)
{
	const char *tail = strstr(file, SUFFIX ".new-");

	return tail && tail != file;
}

/* Calls @fn with each entry of the folder whose name may be of ours, until it fails. */
static int each_entry(int folder, const char *what,
		      int (*fn)(void *arg, const char *name, struct err *e), void *arg,
		      struct err *e)
{
	DIR *f = store_list(folder);
	struct dirent *d;
	int r;

	if (!f)
		return err_sys(e, -errno, "%s", what);
	while (!(r = store_next(f, &d, what, e)) && d) {
		r = backup_name_valid(d->d_name) ? fn(arg, d->d_name, e) : 0;
		if (r)
			break;
	}
	closedir(f);
	return r;
}

static int each_volume(const struct store *s,
		       int (*fn)(void *arg, const char *volume, struct err *e), void *arg,
		       struct err *e)
{
	_cleanup_close_ int all = open_manifests(s, e);

	return all < 0 ? all : each_entry(all, "manifests", fn, arg, e);
}

struct sweep {
	const struct store *store;
	const struct timespec *now;
};

static int sweep_volume(void *arg, const char *volume, struct err *e)
{
	const struct sweep *w = arg;
	_cleanup_close_ int fd = manifest_folder(w->store, volume, false, NULL);
	_cleanup_close_ int all = open_manifests(w->store, NULL);
	DIR *f = fd < 0 ? NULL : store_list(fd);
	struct dirent *d;
	int r;

	if (!f)
		return 0;
	while (!(r = store_next(f, &d, volume, e)) && d)
		if (is_unfinished(d->d_name) && store_is_old(fd, d->d_name, w->now))
			(void)!unlinkat(fd, d->d_name, 0);
	closedir(f);
	if (all >= 0)
		(void)!unlinkat(all, volume, AT_REMOVEDIR); /* if that was the last one */
	return r;
}

int manifest_sweep(const struct store *s, const struct timespec *now, struct err *e)
{
	struct sweep w = { s, now };

	return each_volume(s, sweep_volume, &w, e);
}

struct search {
	const struct store *store;
	char file[MANIFEST_FILE_BYTES], *ret;
	size_t found;
};

static int look_for(void *arg, const char *volume, struct err *e)
{
	struct search *w = arg;
	_cleanup_close_ int fd = manifest_folder(w->store, volume, false, NULL);
	int r = watch_stop(w->store->watch, e);

	if (r || fd < 0 || faccessat(fd, w->file, F_OK, AT_SYMLINK_NOFOLLOW))
		return r;
	w->found++;
	text_copy(w->ret, BACKUP_NAME_MAX, volume);
	return 0;
}

int manifest_volume_of(const struct store *s, const char *name, char ret[BACKUP_NAME_MAX],
		       struct err *e)
{
	struct search w = { .store = s, .ret = ret };
	int r;

	if (!backup_name_valid(name))
		return err_set(e, -ENOENT, "\"%s\" is no name of a backup", name);
	manifest_file(name, w.file);
	r = each_volume(s, look_for, &w, e);
	if (r)
		return r;
	if (!w.found)
		return err_set(e, -ENOENT, "there is no backup %s in %s", name, s->dir);
	return w.found == 1
		       ? 0
		       : err_set(e, -EUCLEAN, "several volumes have a backup %s; name it VOLUME/%s",
				 name, name);
}

struct visit {
	const struct store *store;
	int (*fn)(void *arg, struct manifest *m, struct err *e);
	backup_bad *bad;
	void *arg;
	const char *volume;
};

static int visit_one(void *arg, const char *file, struct err *e)
{
	const struct visit *v = arg;
	char name[BACKUP_NAME_MAX];
	struct manifest m;
	int r;

	if (!is_manifest(file))
		return 0;
	snprintf(name, sizeof(name), "%.*s", (int)strlen(file) - 5, file);
	r = manifest_open(v->store, v->volume, name, &m, e);
	if (!r) {
		r = v->fn(v->arg, &m, e);
		manifest_clear(&m);
		return r;
	}
	if ((r != -ENOENT && !v->bad) || watch_stop(v->store->watch, NULL))
		return r;
	if (r != -ENOENT) /* else removed meanwhile */
		v->bad(v->arg, err_text(e));
	err_clear(e);
	return 0;
}

/* What is no folder is none of a volume. */
static int visit_volume(void *arg, const char *volume, struct err *e)
{
	struct visit *v = arg;
	_cleanup_close_ int fd = manifest_folder(v->store, volume, false, e);

	if (fd == -ENOENT || fd == -EBADMSG)
		return err_clear(e), 0;
	if (fd < 0)
		return fd;
	v->volume = volume;
	return each_entry(fd, volume, visit_one, v, e);
}

int manifest_each(const struct store *s, const char *volume,
		  int (*fn)(void *arg, struct manifest *m, struct err *e), backup_bad *bad,
		  void *arg, struct err *e)
{
	struct visit v = { s, fn, bad, arg, NULL };

	if (!volume)
		return each_volume(s, visit_volume, &v, e);
	return backup_name_valid(volume)
		       ? visit_volume(&v, volume, e)
		       : err_set(e, -EINVAL, "\"%s\": no name of a volume", volume);
}
