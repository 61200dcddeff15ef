// SPDX-License-Identifier: Apache-2.0
// Where manifests lie: manifests/<volume>/<name>.json; removed, swept, found, gone through.
#include "internal.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

#define PATH_BYTES STORE_PATH_BYTES

void manifest_path(const char *dir, const char *volume, const char *name, char ret[PATH_BYTES])
{
	snprintf(ret, PATH_BYTES, "%.4000s/manifests/%.128s/%.128s.json", dir, volume, name);
}

int manifest_delete(const char *dir, const char *volume, const char *name, struct err *e)
{
	char path[PATH_BYTES];

	manifest_path(dir, volume, name, path);
	if (unlink(path) && errno != ENOENT)
		return err_sys(e, -errno, "%s can't be removed", path);
	snprintf(path, sizeof(path), "%.4000s/manifests/%.128s", dir, volume);
	(void)!rmdir(path); /* the last one */
	return store_sync(dir, e);
}

/* ---- all of them ---- */

static bool is_manifest(const char *file)
{
	size_t n = strlen(file);

	return n > 5 && n - 5 < BACKUP_NAME_MAX && !strcmp(file + n - 5, ".json");
}

/* "NAME.json.new-RANDOM": store_new_file's */
static bool is_unfinished(const char *file)
{
	const char *tail = strstr(file, ".json.new-");

	return tail && tail != file;
}

static int sweep_volume(int manifests, const char *volume, const struct timespec *now,
			struct err *e)
{
	int fd = openat(manifests, volume, O_RDONLY | O_DIRECTORY | O_CLOEXEC), r;
	DIR *f = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *d;

	if (!f) {
		base_closep(&fd);
		return 0;
	}
	while (!(r = store_next(f, &d, volume, e)) && d)
		if (is_unfinished(d->d_name) && store_is_old(fd, d->d_name, now))
			(void)!unlinkat(fd, d->d_name, 0);
	closedir(f);
	(void)!unlinkat(manifests, volume, AT_REMOVEDIR); /* if that was the last one */
	return r;
}

int manifest_sweep(const char *dir, const struct timespec *now, struct err *e)
{
	char path[PATH_BYTES];
	struct dirent *d;
	DIR *f;
	int r;

	snprintf(path, sizeof(path), "%.4000s/manifests", dir);
	f = opendir(path);
	if (!f)
		return err_sys(e, -errno, "%s", path);
	while (!(r = store_next(f, &d, path, e)) && d) {
		r = backup_name_valid(d->d_name) ? sweep_volume(dirfd(f), d->d_name, now, e) : 0;
		if (r)
			break;
	}
	closedir(f);
	return r;
}

int manifest_volume_of(const char *dir, const char *name, char ret[BACKUP_NAME_MAX], struct err *e)
{
	char path[PATH_BYTES];
	struct dirent *d;
	size_t found = 0;
	int r;
	DIR *f;

	if (!backup_name_valid(name))
		return err_set(e, -ENOENT, "\"%s\" is no name of a backup", name);
	snprintf(path, sizeof(path), "%.4000s/manifests", dir);
	f = opendir(path);
	if (!f)
		return err_sys(e, -errno, "%s", path);
	while (!(r = store_next(f, &d, path, e)) && d) {
		char file[PATH_BYTES];

		if (!backup_name_valid(d->d_name))
			continue;
		manifest_path(dir, d->d_name, name, file);
		if (access(file, F_OK))
			continue;
		found++;
		text_copy(ret, BACKUP_NAME_MAX, d->d_name);
	}
	closedir(f);
	if (r)
		return r;
	if (!found)
		return err_set(e, -ENOENT, "there is no backup %s in %s", name, dir);
	return found == 1
		       ? 0
		       : err_set(e, -EUCLEAN, "several volumes have a backup %s; name it VOLUME/%s",
				 name, name);
}

struct visit {
	const char *dir;
	int (*fn)(void *arg, struct manifest *m, struct err *e);
	backup_bad *bad;
	void *arg;
};

static int visit_one(const struct visit *v, const char *volume, const char *file, struct err *e)
{
	char name[BACKUP_NAME_MAX];
	struct manifest m;
	int r;

	snprintf(name, sizeof(name), "%.*s", (int)strlen(file) - 5, file);
	r = manifest_open(v->dir, volume, name, &m, e);
	if (!r) {
		r = v->fn(v->arg, &m, e);
		manifest_clear(&m);
		return r;
	}
	if (r != -ENOENT && !v->bad)
		return r;
	if (r != -ENOENT) /* else removed meanwhile */
		v->bad(v->arg, err_text(e));
	err_clear(e);
	return 0;
}

static int each_of_volume(const struct visit *v, const char *volume, struct err *e)
{
	char path[PATH_BYTES];
	struct dirent *d;
	int r;
	DIR *f;

	snprintf(path, sizeof(path), "%.4000s/manifests/%.128s", v->dir, volume);
	f = opendir(path);
	if (!f)
		return errno == ENOENT || errno == ENOTDIR ? 0 : err_sys(e, -errno, "%s", path);
	while (!(r = store_next(f, &d, path, e)) && d) {
		r = is_manifest(d->d_name) ? visit_one(v, volume, d->d_name, e) : 0;
		if (r)
			break;
	}
	closedir(f);
	return r;
}

int manifest_each(const char *dir, const char *volume,
		  int (*fn)(void *arg, struct manifest *m, struct err *e), backup_bad *bad,
		  void *arg, struct err *e)
{
	struct visit v = { dir, fn, bad, arg };
	char path[PATH_BYTES];
	struct dirent *d;
	int r;
	DIR *f;

	if (volume)
		return backup_name_valid(volume)
			       ? each_of_volume(&v, volume, e)
			       : err_set(e, -EINVAL, "\"%s\": no name of a volume", volume);
	snprintf(path, sizeof(path), "%.4000s/manifests", dir);
	f = opendir(path);
	if (!f)
		return err_sys(e, -errno, "%s", path);
	while (!(r = store_next(f, &d, path, e)) && d) {
		r = backup_name_valid(d->d_name) ? each_of_volume(&v, d->d_name, e) : 0;
		if (r)
			break;
	}
	closedir(f);
	return r;
}
