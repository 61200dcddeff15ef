// SPDX-License-Identifier: Apache-2.0
// What a crash, or the loss of the records, left behind: half-made images go, and after a loss of
// the records images are adopted. Images without a record beside good records are left alone;
// survey.c tells of them.
#include "internal.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <time.h>

void backend_warn(struct backend *b, const char *fmt, ...)
{
	char sentence[sizeof(b->dir) + ERR_TEXT_MAX];
	va_list ap;

	if (!b->warn)
		return;
	va_start(ap, fmt);
	vsnprintf(sentence, sizeof(sentence), fmt, ap);
	va_end(ap);
	b->warn(b->warn_arg, sentence);
}

/* Half-made images: they have no name yet, so nobody was told of them. One that another process of
 * this node works on is left alone. */
static int drop_unfinished(struct backend *b, struct err *e)
{
	int fd = dup(b->fd_tmp);
	struct dirent *d;
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);

	if (!dir)
		return err_sys(e, -errno, "state-dir: tmp");
	rewinddir(dir);
	while ((d = readdir(dir))) {
		size_t n = strlen(d->d_name);
		_cleanup_close_ int lock = -1;
		char id[BACKEND_ID_MAX];

		if (n < 5 || n >= sizeof(id) || strcmp(d->d_name + n - 4, ".new") != 0)
			continue;
		memcpy(id, d->d_name, n - 4);
		id[n - 4] = '\0';
		if (image_lock(b, id, false, &lock, NULL))
			continue;
		if (!unlinkat(b->fd_tmp, d->d_name, 0))
			backend_warn(b,
				     "%s/tmp/%s was a half-made image, left by a driver that died "
				     "in the "
				     "middle of it: removed",
				     b->dir, d->d_name);
	}
	closedir(dir);
	return 0;
}

/* An image whose record is lost: open only, whatever its bytes look like. Whether it is encrypted
 * is said by whoever stages it. */
static int adopt(struct backend *b, const char *id, uint64_t bytes, struct err *e)
{
	struct backend_volume v = { .size_bytes = bytes,
				    .format = BACKEND_FORMATTED,
				    .fs_format = BACKEND_FORMATTED,
				    .adopted = true,
				    .access_modes = UINT32_MAX >> 1,
				    .created_seconds = (int64_t)time(NULL) };

	if (text_copy(v.id, sizeof(v.id), id) || text_copy(v.name, sizeof(v.name), id))
		return 0; /* no name of ours */
	backend_warn(
		b,
		"%s/volumes/%s.img: the records are lost; adopted as a volume that is opened only",
		b->dir, id);
	return volume_row_insert(b, &v, RECORD_READY, e);
}

static int adopt_image(struct backend *b, const char *file, struct err *e)
{
	struct backend_volume v = { .size_bytes = 0 };
	enum record_state st;
	char id[BACKEND_ID_MAX];
	size_t n = strlen(file);
	struct stat sb;
	int r;

	if (n < 5 || n - 4 >= sizeof(id) || strcmp(file + n - 4, ".img") != 0)
		return 0;
	memcpy(id, file, n - 4);
	id[n - 4] = '\0';
	r = volume_row_by(b, "id", id, &v, &st, NULL);
	if (!r) {
		backend_volume_clear(&v);
		return 0;
	}
	if (r != -ENOENT || fstatat(b->fd_volumes, file, &sb, AT_SYMLINK_NOFOLLOW) ||
	    !S_ISREG(sb.st_mode))
		return 0;
	return adopt(b, id, (uint64_t)sb.st_size, e);
}

static int adopt_all(struct backend *b, struct err *e)
{
	int fd = dup(b->fd_volumes), r = 0;
	struct dirent *d;
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);

	if (!dir)
		return err_sys(e, -errno, "state-dir: volumes");
	rewinddir(dir);
	while (!r && (d = readdir(dir)))
		r = adopt_image(b, d->d_name, e);
	closedir(dir);
	return r ?: state_adoption_done(b, e);
}

/* In one transaction with the look at what is due: a second process may start, too. */
static int adopt_images(struct backend *b, struct err *e)
{
	int r;

	/* Records that are whole are looked at only: the disk may be read-only. */
	state_lock(b);
	r = state_adoption_due(b, e);
	state_unlock(b);
	if (r <= 0)
		return r;
	r = state_begin(b, e);
	if (r)
		return r;
	r = state_adoption_due(b, e);
	if (r == 1)
		r = adopt_all(b, e);
	return r ? (state_end(b, false, NULL), r) : state_end(b, true, e);
}

/* Volumes whose deletion was cut short. */
static int finish_deletions(struct backend *b, struct err *e)
{
	char ids[64][BACKEND_ID_MAX];
	sqlite3_stmt *s;
	size_t n = 0;
	int r;

	state_lock(b);
	r = state_query(b, &s, e, "SELECT id FROM volumes WHERE state=2 LIMIT 64", "");
	if (!r) {
		while ((r = state_step(b, s, e)) == 1 && n < ARRAY_SIZE(ids))
			if (!text_copy(ids[n], sizeof(ids[n]), state_text(s, 0)))
				n++;
		sqlite3_finalize(s);
	}
	state_unlock(b);
	/* What can't be finished now is finished by the CO's next DeleteVolume. */
	for (size_t i = 0; r >= 0 && i < n; i++) {
		_cleanup_close_ int lock = -1;

		if (!image_lock(b, ids[i], false, &lock, NULL))
			(void)!backend_delete(b, ids[i], NULL);
	}
	return r < 0 ? r : 0;
}

static int sweep(struct backend *b)
{
	struct err e = { 0 };
	size_t n = 0;

	if (!b->use_holds)
		return 0;
	if (uses_sweep(b, &n, &e))
		backend_warn(b, "records of uses from before the reboot can't be dropped: %s",
			     err_text(&e));
	else if (n)
		backend_warn(b,
			     "%zu records of stages and publications from before the reboot are "
			     "dropped",
			     n);
	return 0;
}

int repair_at_start(struct backend *b, struct err *e)
{
	int r;

	r = drop_unfinished(b, e);
	r = r ?: adopt_images(b, e);
	r = r ?: sweep(b);
	return r ?: finish_deletions(b, e);
}
