// SPDX-License-Identifier: Apache-2.0
// The backend's life: engines by name, the state directory, ids.
#include "internal.h"

#include <ctype.h>
#include <cryptvol/crypto.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <sys/stat.h>

#define ID_STEM_MAX 80

/* ---- ids ---- */

static int short_hash(const char *text, char ret[NODE_HASH_CHARS + 1], struct err *e)
{
	struct crypto_iov iov = { text, strlen(text) };
	uint8_t digest[CRYPTO_HASH_MAX_BYTES];
	int r;

	r = crypto_hash("sha256", &iov, 1, digest, e);
	if (!r)
		text_hex(digest, NODE_HASH_CHARS / 2, ret);
	return r;
}

/* A mapping's and a file's name at once: lower case, [a-z0-9-], the hash of the name behind it
 * where it had to change. */
int backend_volume_id(struct backend *b, const char *name, char *ret, struct err *e)
{
	char stem[ID_STEM_MAX + 1], hash[NODE_HASH_CHARS + 1];
	bool changed = false;
	size_t n = 0;
	int r;

	for (const char *p = name; *p; p++) {
		unsigned char c = (unsigned char)*p;
		bool good = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || (c == '-' && n > 0);

		if (n == ID_STEM_MAX - NODE_HASH_CHARS - 1) {
			changed = true;
			break;
		}
		changed = changed || !good;
		if (good)
			stem[n++] = (char)c;
		else if (c >= 'A' && c <= 'Z')
			stem[n++] = (char)(c - 'A' + 'a');
		else if (n > 0 && stem[n - 1] != '-')
			stem[n++] = '-';
	}
	stem[n] = '\0';
	if (!changed && n) {
		snprintf(ret, BACKEND_ID_MAX, "%s.%s", stem, b->node_hash);
		return 0;
	}
	r = short_hash(name, hash, e);
	if (!r)
		snprintf(ret, BACKEND_ID_MAX, "%s-%s.%s", n ? stem : "v", hash, b->node_hash);
	return r;
}

bool backend_id_is_ours(struct backend *b, const char *id)
{
	const char *dot = strrchr(id, '.');

	return dot && !strcmp(dot + 1, b->node_hash);
}

/* ---- calls that take long ---- */

int slow_enter(struct backend *b, struct err *e)
{
	if (atomic_fetch_add(&b->slow, 1) < b->slow_max)
		return 0;
	atomic_fetch_sub(&b->slow, 1);
	return err_set(e, -EINPROGRESS,
		       "%u copies, backups or look-ups of backups are under way, as many as may be",
		       b->slow_max);
}

void slow_leave(struct backend *b)
{
	atomic_fetch_sub(&b->slow, 1);
}

struct backup_watch look_up_watch(const struct backend *b)
{
	return (struct backup_watch){ .stop = b->stop, .arg = b->warn_arg };
}

/* ---- the state directory ---- */

static int make_dir(const char *path, struct err *e)
{
	if (mkdir(path, 0700) && errno != EEXIST)
		return err_sys(e, -errno, "state-dir: %s can't be made", path);
	return 0;
}

/* Every missing folder on the way, as mkdir -p does it. */
static int make_path(const char *path, struct err *e)
{
	char part[2048];
	int r;

	if (text_copy(part, sizeof(part), path))
		return err_set(e, -EINVAL, "state-dir: %s is too long", path);
	for (char *p = part + 1; *p; p++) {
		if (*p != '/')
			continue;
		*p = '\0';
		r = make_dir(part, e);
		if (r)
			return r;
		*p = '/';
	}
	return make_dir(part, e);
}

static int open_sub(const struct backend *b, const char *name, int *ret, struct err *e)
{
	char path[sizeof(b->dir) + 32];
	int r;

	snprintf(path, sizeof(path), "%s/%s", b->dir, name);
	r = make_dir(path, e);
	if (r)
		return r;
	*ret = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return *ret < 0 ? err_sys(e, -errno, "state-dir: %s", path) : 0;
}

static int open_dirs(struct backend *b, struct err *e)
{
	_cleanup_close_ int headers = -1;
	int r;

	r = make_path(b->dir, e);
	r = r ?: open_sub(b, "volumes", &b->fd_volumes, e);
	r = r ?: open_sub(b, "snapshots", &b->fd_snapshots, e);
	r = r ?: open_sub(b, "headers", &headers, e);
	return r ?: open_sub(b, "tmp", &b->fd_tmp, e);
}

static bool is_new(const struct backend *b)
{
	char path[sizeof(b->dir) + 16];

	snprintf(path, sizeof(path), "%s/state.db", b->dir);
	return access(path, F_OK) && errno == ENOENT;
}

/* Everything that needs the state directory. */
static int open_store(struct backend *b, struct err *e)
{
	bool new;
	int r;

	r = disk_check(b, e);
	if (r)
		return r;
	new = is_new(b);
	r = open_dirs(b, e);
	r = r ?: state_open(b, b->node_id, e);
	if (r)
		return r;
	if (new)
		backend_warn(b, "%s: there were no records; a new store is made here", b->dir);
	disk_remember(b);
	disk_reserve(b);
	return repair_at_start(b, e);
}

static void close_store(struct backend *b)
{
	state_close(b);
	base_closep(&b->fd_volumes);
	base_closep(&b->fd_snapshots);
	base_closep(&b->fd_tmp);
	b->fd_volumes = b->fd_snapshots = b->fd_tmp = -1;
}

/* The files that others see are opened in a copy first, so that nobody finds a store half open. */
static void take_store(struct backend *b, struct backend *opened)
{
	state_lock(b);
	b->db = opened->db;
	b->fd_volumes = opened->fd_volumes;
	b->fd_snapshots = opened->fd_snapshots;
	b->fd_tmp = opened->fd_tmp;
	b->reserve_spent = opened->reserve_spent;
	b->up = true;
	state_unlock(b);
}

static bool is_up(struct backend *b)
{
	bool up;

	state_lock(b);
	up = b->up;
	state_unlock(b);
	return up;
}

/* The caller holds b->open_lock. */
static bool try_open(struct backend *b)
{
	struct backend *copy = malloc(sizeof(*copy));
	struct err e = { 0 };
	bool opened = false;

	if (!copy)
		return false;
	memcpy(copy, b, sizeof(*copy));
	copy->opened = false;
	pthread_mutex_init(&copy->lock, NULL);
	opened = !open_store(copy, &e);
	if (opened)
		take_store(b, copy);
	else
		close_store(copy);
	pthread_mutex_destroy(&copy->lock);
	free(copy);
	if (opened)
		return true;
	/* The same trouble is told once. */
	if (strcmp(err_text(&e), err_text(&b->why)) != 0)
		backend_warn(b, "%s", err_text(&e));
	state_lock(b);
	b->why = e;
	state_unlock(b);
	return false;
}

bool backend_try(struct backend *b)
{
	bool opened = false;

	if (is_up(b) || pthread_mutex_trylock(&b->open_lock))
		return false;
	if (!is_up(b))
		opened = try_open(b);
	pthread_mutex_unlock(&b->open_lock);
	if (opened)
		backend_warn(b, "%s: the state directory is there now", b->dir);
	return opened;
}

int backend_check(struct backend *b, struct err *e)
{
	int r;

	state_lock(b);
	r = b->up ? disk_same(b, e) : err_set(e, b->why.code, "%s", err_text(&b->why));
	state_unlock(b);
	return r;
}

/* A tmpfs can't be full of volumes, nor fail with their disk. */
static void choose_lock_file(struct backend *b, const char *dir)
{
	int fd = -1;

	if (dir && (!mkdir(dir, 0700) || errno == EEXIST)) {
		snprintf(b->lock_file, sizeof(b->lock_file), "%s/ids-%s.lock", dir, b->node_hash);
		fd = open(b->lock_file, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	}
	if (fd < 0)
		snprintf(b->lock_file, sizeof(b->lock_file), "%.*s/tmp/ids.lock",
			 (int)sizeof(b->lock_file) - 32, b->dir);
	base_closep(&fd);
}

static int open_loop(const struct backend_config *c, struct backend *b, struct err *e)
{
	int r;

	b->fd_volumes = b->fd_snapshots = b->fd_tmp = -1;
	b->overprovision_percent = c->overprovision_percent ?: 100;
	b->slow_max = c->slow_calls_max ?: UINT_MAX;
	b->warn = c->warn;
	b->progress = c->progress;
	b->stop = c->stop;
	b->warn_arg = c->warn_arg;
	b->require_mountpoint = c->require_mountpoint;
	b->use_holds = c->use_holds;
	b->use_arg = c->use_arg;
	pthread_mutex_init(&b->lock, NULL);
	pthread_mutex_init(&b->open_lock, NULL);
	if (text_copy(b->dir, sizeof(b->dir) - 32, c->state_dir) ||
	    text_copy(b->backup_dir, sizeof(b->backup_dir), c->backup_dir ?: "") ||
	    text_copy(b->node_id, sizeof(b->node_id), c->node_id) ||
	    text_copy(b->store_id_file, sizeof(b->store_id_file), c->store_id_file ?: "") ||
	    text_copy(b->apart_from, sizeof(b->apart_from), c->apart_from ?: ""))
		return err_set(e, -EINVAL, "state-dir, backup-dir, node-id: too long");
	r = short_hash(c->node_id, b->node_hash, e);
	if (r)
		return r;
	choose_lock_file(b, c->lock_dir);
	b->opened = true;
	try_open(b);
	return 0;
}

/* Other engines get their row here. */
static const struct {
	const char *name;
	int (*open)(const struct backend_config *c, struct backend *b, struct err *e);
} engines[] = {
	{ "loop", open_loop },
};

int backend_open(const char *name, const struct backend_config *c, struct backend **ret,
		 struct err *e)
{
	struct backend *b;
	int r;

	for (size_t i = 0; i < ARRAY_SIZE(engines); i++) {
		if (strcmp(engines[i].name, name) != 0)
			continue;
		b = calloc(1, sizeof(*b));
		if (!b)
			return err_set(e, -ENOMEM, "no memory for the backend");
		r = engines[i].open(c, b, e);
		if (r)
			backend_close(b);
		else
			*ret = b;
		return r;
	}
	return err_set(e, -EINVAL, "backend: \"%s\" isn't known", name);
}

void backend_close(struct backend *b)
{
	if (!b)
		return;
	close_store(b);
	pthread_mutex_destroy(&b->open_lock);
	pthread_mutex_destroy(&b->lock);
	free(b);
}
