// SPDX-License-Identifier: Apache-2.0
// Backup, look-ups, list, delete: over blocks and manifests.
#include "internal.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <time.h>

static bool all_zero(const char *p, size_t n)
{
	return !n || (!p[0] && !memcmp(p, p + 1, n - 1));
}

/* ---- write ---- */

struct writer {
	struct store_run run;
	int fd;
	char *buf;
	uint64_t device_bytes;
	struct manifest_writer *manifest;
	struct backup_stats stats;
	const struct backup_watch *watch;
};

/* The end of the hole that @at lies in, or @at where there is data; devices have no holes to show.
 */
static uint64_t skip_hole(int fd, uint64_t at, uint64_t end)
{
	off_t data = lseek(fd, (off_t)at, SEEK_DATA);

	if (data < 0)
		return errno == ENXIO ? end : at;
	return (uint64_t)data;
}

static int write_block(struct writer *w, uint64_t i, struct err *e)
{
	size_t len = block_length(w->device_bytes, i);
	uint8_t hash[HASH_BYTES];
	bool fresh;
	int r;

	r = io_pread_full(w->fd, w->buf, len, i * BACKUP_BLOCK_BYTES, e);
	if (r)
		return r;
	w->stats.blocks++;
	if (all_zero(w->buf, len)) {
		w->stats.holes++;
		return 0;
	}
	r = store_hash(w->buf, len, hash, e);
	r = r ?: store_put(&w->run, hash, w->buf, len, &fresh, e);
	if (!r && fresh) {
		w->stats.stored_blocks++;
		w->stats.stored_bytes += len;
	}
	return r ?: manifest_add(w->manifest, i, hash, e);
}

static int write_blocks(struct writer *w, struct err *e)
{
	uint64_t end = w->device_bytes, n = block_count(end);
	int r = 0;

	for (uint64_t i = 0; !r && i < n;) {
		uint64_t data = skip_hole(w->fd, i * BACKUP_BLOCK_BYTES, end);

		if (data / BACKUP_BLOCK_BYTES > i || data >= end) {
			uint64_t next = data >= end ? n : data / BACKUP_BLOCK_BYTES;

			w->stats.blocks += next - i;
			w->stats.holes += next - i;
			i = next;
			continue;
		}
		r = watch_stop(w->watch, e);
		r = r ?: write_block(w, i++, e);
		if (!r)
			watch_progress(w->watch, block_end(end, i - 1), end);
	}
	return r;
}

/* A sweep by a host that our lock doesn't reach may have taken what was written or found more than
 * a day ago. */
static int keep_blocks(const struct writer *w, struct manifest *m, struct err *e)
{
	uint8_t hash[HASH_BYTES];
	uint64_t index;
	int r;

	while ((r = manifest_next(m, &index, hash, e)) > 0) {
		r = store_touch(w->run.store, hash, e);
		if (r)
			break;
	}
	return r;
}

static int fill_info(const struct backup_source *s, uint64_t device_bytes, struct backup_info *i,
		     struct err *e)
{
	uint64_t data_bytes;

	if (!backup_name_valid(s->volume) || !backup_name_valid(s->name))
		return err_set(
			e, -EINVAL,
			"\"%s\", \"%s\": names of a backup are [a-z0-9._-], %d characters at most",
			s->volume, s->name, BACKUP_NAME_MAX - 1);
	data_bytes = device_bytes > s->header_bytes ? device_bytes - s->header_bytes : device_bytes;
	*i = (struct backup_info){ .size_bytes = s->size_bytes ?: data_bytes,
				   .header_bytes = s->header_bytes,
				   .device_bytes = device_bytes,
				   .encrypted = s->encrypted,
				   .pin = s->pin,
				   .created_seconds = s->created_seconds ?: (int64_t)time(NULL) };
	text_copy(i->volume, sizeof(i->volume), s->volume);
	text_copy(i->name, sizeof(i->name), s->name);
	if (text_copy(i->fs_type, sizeof(i->fs_type), s->fs_type ?: "") ||
	    text_copy(i->uuid, sizeof(i->uuid), s->uuid ?: ""))
		return err_set(e, -EINVAL, "file system type or UUID is too long");
	return 0;
}

/* The blocks, then the manifest that names them. */
static int write_manifest(struct writer *w, struct err *e)
{
	struct manifest m;
	int r;

	r = write_blocks(w, e);
	r = r ?: manifest_finish(w->manifest, w->stats.stored_bytes, &m, e);
	if (r)
		return r;
	r = keep_blocks(w, &m, e);
	manifest_clear(&m);
	r = r ?: store_sync(w->run.store, e);
	return r ?: manifest_publish(w->manifest, e);
}

static int write_locked(struct writer *w, const struct backup_source *s, struct err *e)
{
	struct backup_info info;
	int r;

	r = io_size(w->fd, &w->device_bytes, e);
	if (!r && w->device_bytes > BACKUP_DEVICE_MAX_BYTES)
		r = err_set(e, -EFBIG, "%s is larger than a backup may be", s->path);
	r = r ?: fill_info(s, w->device_bytes, &info, e);
	if (r)
		return r;
	w->buf = malloc(BACKUP_BLOCK_BYTES);
	w->run.spare = malloc(BACKUP_BLOCK_BYTES);
	if (!w->buf || !w->run.spare)
		return err_set(e, -ENOMEM, "no memory for a backup");
	/* What a mapping wrote went past the device's page cache: none of it may be older. */
	(void)posix_fadvise(w->fd, 0, 0, POSIX_FADV_DONTNEED);
	r = manifest_create(w->run.store, &info, &w->manifest, e);
	return r ?: write_manifest(w, e);
}

static int write_opened(const struct store *store, const struct backup_source *s,
			const struct backup_watch *watch, struct backup_stats *ret, struct err *e)
{
	struct writer w = { .run = { .store = store }, .fd = -1, .watch = watch };
	int r;

	r = store_now(store, &w.run.since, e);
	if (r)
		return r;
	w.fd = open(s->path, O_RDONLY | O_CLOEXEC);
	r = w.fd < 0 ? err_sys(e, -errno, "%s can't be opened", s->path) : write_locked(&w, s, e);
	base_closep(&w.fd);
	manifest_drop(w.manifest);
	free(w.buf);
	free(w.run.spare);
	*ret = w.stats;
	return r;
}

int backup_write(const char *dir, const struct backup_source *s, const struct backup_watch *watch,
		 struct backup_stats *ret, struct err *e)
{
	struct backup_stats stats = { 0 };
	struct manifest old;
	struct store store;
	int r;

	r = store_open(dir, STORE_SHARED, watch, &store, e);
	if (r)
		return r;
	r = manifest_open(&store, s->volume, s->name, &old, e);
	if (!r) {
		manifest_clear(&old);
		r = store_sync(&store, e); /* its writer may not have come to that */
	} else if (r == -ENOENT) {
		err_clear(e);
		r = write_opened(&store, s, watch, &stats, e);
	}
	store_close(&store);
	if (!r && ret)
		*ret = stats;
	return r;
}

/* ---- read ---- */

static int read_info(const struct store *s, const char *volume, const char *name,
		     struct backup_info *ret, struct err *e)
{
	struct manifest m;
	int r = manifest_open(s, volume, name, &m, e);

	if (r)
		return r;
	*ret = m.info;
	manifest_clear(&m);
	return 0;
}

int backup_read(const char *dir, const char *volume, const char *name,
		const struct backup_watch *watch, struct backup_info *ret, struct err *e)
{
	struct store s;
	int r;

	r = store_open(dir, STORE_UNLOCKED, watch, &s, e);
	if (r)
		return r;
	r = read_info(&s, volume, name, ret, e);
	store_close(&s);
	return r;
}

/* "VOLUME/NAME" in its parts; false where it isn't that. */
static bool split_handle(const char *handle, char volume[BACKUP_NAME_MAX], const char **ret_name)
{
	const char *slash = strchr(handle, '/');
	size_t n = slash ? (size_t)(slash - handle) : 0;

	if (!slash || n >= BACKUP_NAME_MAX)
		return false;
	memcpy(volume, handle, n);
	volume[n] = '\0';
	*ret_name = slash + 1;
	return true;
}

static int find_info(const struct store *s, const char *handle, struct backup_info *ret,
		     struct err *e)
{
	char volume[BACKUP_NAME_MAX];
	const char *name = handle;
	int r = 0;

	if (!split_handle(handle, volume, &name))
		r = manifest_volume_of(s, name, volume, e);
	if (r)
		return r;
	if (!backup_name_valid(volume) || !backup_name_valid(name))
		return err_set(e, -ENOENT, "\"%s\" is no name of a backup", handle);
	return read_info(s, volume, name, ret, e);
}

int backup_find(const char *dir, const char *handle, const struct backup_watch *watch,
		struct backup_info *ret, struct err *e)
{
	struct store s;
	int r;

	r = store_open(dir, STORE_UNLOCKED, watch, &s, e);
	if (r)
		return r;
	r = find_info(&s, handle, ret, e);
	store_close(&s);
	return r;
}

struct info_list {
	struct backup_info *list;
	size_t n;
	backup_bad *bad;
	void *arg;
};

static int add_info(void *arg, struct manifest *m, struct err *e)
{
	struct info_list *l = arg;
	struct backup_info *grown = reallocarray(l->list, l->n + 1, sizeof(*grown));

	if (!grown)
		return err_set(e, -ENOMEM, "no memory for the list");
	l->list = grown;
	l->list[l->n++] = m->info;
	return 0;
}

static void tell_bad(void *arg, const char *why)
{
	const struct info_list *l = arg;

	l->bad(l->arg, why);
}

static int by_volume_and_time(const void *a, const void *b)
{
	const struct backup_info *x = a, *y = b;
	int c = strcmp(x->volume, y->volume);

	if (c)
		return c;
	return x->created_seconds < y->created_seconds ? -1
						       : x->created_seconds > y->created_seconds;
}

int backup_list(const char *dir, const char *volume, backup_bad *bad, void *arg,
		struct backup_info **ret, size_t *ret_n, struct err *e)
{
	struct info_list l = { NULL, 0, bad, arg };
	struct store s;
	int r;

	r = store_open(dir, STORE_UNLOCKED, NULL, &s, e);
	if (r)
		return r;
	r = manifest_each(&s, volume, add_info, bad ? tell_bad : NULL, &l, e);
	store_close(&s);
	if (r) {
		free(l.list);
		return r;
	}
	if (l.n)
		qsort(l.list, l.n, sizeof(*l.list), by_volume_and_time);
	*ret = l.list;
	*ret_n = l.n;
	return 0;
}

/* ---- delete ---- */

static int delete_manifest(const char *dir, const char *volume, const char *name, struct err *e)
{
	struct store s;
	int r;

	r = store_open(dir, STORE_UNLOCKED, NULL, &s, e);
	if (r)
		return r;
	r = manifest_delete(&s, volume, name, e);
	store_close(&s);
	return r;
}

/* A lock that is waited for could be hours of somebody's upload. */
int backup_delete(const char *dir, const char *volume, const char *name, struct err *ret_left,
		  struct err *e)
{
	struct store s;
	int r;

	err_clear(ret_left);
	if (!backup_name_valid(volume) || !backup_name_valid(name))
		return err_set(e, -EINVAL, "\"%s\", \"%s\": no names of a backup", volume, name);
	r = delete_manifest(dir, volume, name, e);
	if (r)
		return r;
	r = store_open(dir, STORE_EXCLUSIVE, NULL, &s, ret_left);
	if (r)
		return 0;
	(void)store_sweep(&s, ret_left);
	store_close(&s);
	return 0;
}
