// SPDX-License-Identifier: Apache-2.0
// Stopping and restarting the writes of a staged volume while its image is copied.
#include "common.h"
#include "node.h"

#include <fcntl.h>
#include <linux/fs.h>
#include <sys/stat.h>

static int mapping_exists(struct dm_control *dm, const char *id, struct dm_mapping *ret,
			  struct err *e)
{
	int r = dm_query_info(dm, id, ret, e);

	if (r == -ENODEV)
		err_clear(e);
	return r;
}

/* Where a volume's file system is mounted; false: block mode or not staged. */
static int find_mount(struct csi_driver *d, const char *id, char ret[4096], bool *ret_btrfs,
		      struct err *e)
{
	struct backend_use *list = NULL;
	struct fs_mounted m;
	size_t n = 0;
	int r;

	ret[0] = '\0';
	*ret_btrfs = false;
	r = backend_use_list(d->backend, id, BACKEND_USE_STAGED, &list, &n, e);
	if (!r && n && !fs_query_mount(list[0].path, &m, NULL)) {
		r = text_copy(ret, 4096, list[0].path);
		*ret_btrfs = !strcmp(m.type, "btrfs");
	}
	free(list);
	return r;
}

/* btrfs isn't found by its device, so device-mapper can't freeze it. */
static int suspend_btrfs(struct dm_control *dm, const char *id, const char *mounted, struct err *e)
{
	int r = fs_freeze(mounted, e);

	if (r)
		return r;
	r = dm_suspend(dm, id, false, true, e);
	if (r)
		(void)!fs_thaw(mounted, NULL);
	return r;
}

/* Neither a mapping nor a file system stands between a plain block volume and its image. */
static int check_stoppable(struct csi_driver *d, const char *id, struct err *e)
{
	struct backend_volume v = { .size_bytes = 0 };
	struct backend_use *list = NULL;
	size_t n = 0;
	int r;

	r = backend_get(d->backend, id, &v, e);
	if (r)
		return r;
	r = backend_use_list(d->backend, id, BACKEND_USE_STAGED, &list, &n, e);
	if (!r && n && !strncmp(list[0].cap, "block", 5) && !v.encrypted)
		r = err_set(
			e, -EOPNOTSUPP,
			"volume \"%s\" is a plain block volume: nothing can stop its writes while "
			"it is staged, so it is copied alone and by reflink, or unstaged",
			id);
	free(list);
	backend_volume_clear(&v);
	return r;
}

/* Suspending with the file system frozen: what is on it reaches the image, and nothing else follows
 * until the resume. */
int csi_suspend_volume(void *driver, const char *volume_id, struct err *e)
{
	struct csi_driver *d = driver;
	_cleanup_dm_ struct dm_control *dm = NULL;
	struct dm_mapping m;
	char mounted[4096];
	bool btrfs;
	int r;

	r = find_mount(d, volume_id, mounted, &btrfs, e);
	r = r ?: dm_control_open(&dm, e);
	if (!r)
		r = mapping_exists(dm, volume_id, &m, e);
	if (!r)
		return btrfs ? suspend_btrfs(dm, volume_id, mounted, e)
			     : dm_suspend(dm, volume_id, false, false, e);
	if (r != -ENODEV)
		return r;
	return *mounted ? fs_freeze(mounted, e) : check_stoppable(d, volume_id, e);
}

int csi_resume_volume(void *driver, const char *volume_id, struct err *e)
{
	struct csi_driver *d = driver;
	_cleanup_dm_ struct dm_control *dm = NULL;
	struct dm_mapping m;
	char mounted[4096];
	bool btrfs, mapped;
	int r;

	r = dm_control_open(&dm, e);
	if (r)
		return r;
	r = mapping_exists(dm, volume_id, &m, e);
	mapped = !r;
	if (mapped)
		r = dm_resume(dm, volume_id, 0, d->env.udev, e);
	else if (r == -ENODEV)
		r = 0;
	r = r ?: find_mount(d, volume_id, mounted, &btrfs, e);
	if (!r && *mounted && (btrfs || !mapped))
		r = fs_thaw(mounted, e);
	return r;
}

static int resume_one(struct csi_driver *d, const struct backend_volume *v, struct err *e)
{
	_cleanup_close_ int lock = -1;
	struct backend_use *list = NULL;
	size_t n = 0;
	int r;

	/* Whoever copies it has this lock, and resumes it. */
	r = backend_cut_lock(d->backend, v->id, &lock, e);
	if (r)
		return r == -EINPROGRESS ? 0 : r;
	r = backend_use_list(d->backend, v->id, BACKEND_USE_STAGED, &list, &n, e);
	free(list);
	if (r || !n)
		return r;
	return csi_resume_volume(d, v->id, e);
}

/* What a bind mount was made on: an empty folder or file. What has something in it isn't ours. */
static void remove_left_target(const char *path)
{
	struct fs_mounted m;
	struct stat st;

	if (fs_query_mount(path, &m, NULL) != -ENOENT || lstat(path, &st))
		return;
	if (S_ISDIR(st.st_mode))
		(void)!rmdir(path);
	else if (S_ISREG(st.st_mode) && !st.st_size)
		(void)!unlink(path);
}

/* Is the volume mounted there, or, as a device for pods, open at all? */
bool csi_use_holds(void *arg, const char *id, enum backend_use_kind kind, const char *path)
{
	char mapping[4096];

	(void)arg;
	node_mapping_path(id, mapping);
	if (node_volume_at(id, path) || !access(mapping, F_OK))
		return true;
	if (kind == BACKEND_USE_TARGET)
		remove_left_target(path);
	return false;
}

void csi_take_up(struct csi_driver *d)
{
	struct err e = { 0 };

	csi_log_findings(d);
	if (csi_resume_leftovers(d, &e))
		csi_logf(CSI_LOG_WARNING, "resume", "%s", err_text(&e));
}

void csi_try_store(struct csi_driver *d)
{
	if (backend_try(d->backend))
		csi_take_up(d);
}

int csi_resume_leftovers(struct csi_driver *d, struct err *e)
{
	struct backend_volume *list = NULL;
	size_t n = 0;
	bool more;
	int r;

	r = backend_list(d->backend, NULL, 0, &list, &n, &more, e);
	if (r)
		return r;
	for (size_t i = 0; i < n; i++) {
		struct err one = { 0 };

		if (resume_one(d, &list[i], &one))
			csi_logf(CSI_LOG_WARNING, "resume", "volume %s: %s", list[i].id,
				 err_text(&one));
		backend_volume_clear(&list[i]);
	}
	free(list);
	return 0;
}
