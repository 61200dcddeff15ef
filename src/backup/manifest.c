// SPDX-License-Identifier: Apache-2.0
// Manifests: JSON, checked by a checksum over everything else in it; parsed once into struct
// manifest.
#include "internal.h"

#include <fcntl.h>
#include <json-c/json.h>
#include <stdio.h>
#include <sys/stat.h>

#define MANIFEST_VERSION 1
#define MANIFEST_MAX_BYTES (256u * 1024 * 1024) /* 3.8 TiB of blocks without a hole */
#define PATH_BYTES STORE_PATH_BYTES

void manifest_clear(struct manifest *m)
{
	free(m->hashes);
	m->hashes = NULL;
}

static void manifest_path(const char *dir, const char *volume, const char *name,
			  char ret[PATH_BYTES])
{
	snprintf(ret, PATH_BYTES, "%.4000s/manifests/%.128s/%.128s.json", dir, volume, name);
}

/* ---- read ---- */

static int get_text(struct json_object *o, const char *key, char *ret, size_t cap, struct err *e)
{
	struct json_object *v;

	if (!json_object_object_get_ex(o, key, &v) || !json_object_is_type(v, json_type_string) ||
	    text_copy(ret, cap, json_object_get_string(v)))
		return err_set(e, -EBADMSG, "%s: missing, no text, or too long", key);
	return 0;
}

static int get_u64(struct json_object *o, const char *key, uint64_t *ret, struct err *e)
{
	struct json_object *v;

	if (!json_object_object_get_ex(o, key, &v) || !json_object_is_type(v, json_type_int) ||
	    json_object_get_int64(v) < 0)
		return err_set(e, -EBADMSG, "%s: missing or no number", key);
	*ret = (uint64_t)json_object_get_int64(v);
	return 0;
}

static int read_head(struct json_object *o, struct manifest *m, struct err *e)
{
	struct backup_info *i = &m->info;
	uint64_t version = 0, created = 0, block = 0, encrypted = 0;
	int r;

	r = get_u64(o, "version", &version, e);
	if (!r && version != MANIFEST_VERSION)
		return err_set(e, -EOPNOTSUPP, "version: %llu isn't known",
			       (unsigned long long)version);
	r = r ?: get_text(o, "volume", i->volume, sizeof(i->volume), e);
	r = r ?: get_text(o, "name", i->name, sizeof(i->name), e);
	r = r ?: get_text(o, "fs_type", i->fs_type, sizeof(i->fs_type), e);
	r = r ?: get_text(o, "uuid", i->uuid, sizeof(i->uuid), e);
	r = r ?: get_u64(o, "size", &i->size_bytes, e);
	r = r ?: get_u64(o, "header", &i->header_bytes, e);
	r = r ?: get_u64(o, "device", &i->device_bytes, e);
	r = r ?: get_u64(o, "stored", &i->stored_bytes, e);
	r = r ?: get_u64(o, "encrypted", &encrypted, e);
	r = r ?: get_u64(o, "created", &created, e);
	r = r ?: get_u64(o, "block", &block, e);
	if (!r && block != BACKUP_BLOCK_BYTES)
		r = err_set(e, -EOPNOTSUPP, "block: %llu isn't known", (unsigned long long)block);
	i->encrypted = encrypted != 0;
	i->created_seconds = (int64_t)created;
	return r;
}

/* "blocks": an array of [index, "hash"], holes left out, in order. */
static int read_blocks(struct json_object *o, struct manifest *m, struct err *e)
{
	struct json_object *list;
	int64_t last = -1;

	m->n_blocks = block_count(m->info.device_bytes);
	if (!json_object_object_get_ex(o, "blocks", &list) ||
	    !json_object_is_type(list, json_type_array) ||
	    json_object_array_length(list) > m->n_blocks)
		return err_set(e, -EBADMSG, "blocks: missing, no list, or longer than the device");
	if (m->n_blocks > SIZE_MAX / HASH_BYTES || m->n_blocks > MANIFEST_MAX_BYTES)
		return err_set(e, -EBADMSG, "device: too big");
	m->hashes = calloc(m->n_blocks + 1, HASH_BYTES);
	if (!m->hashes)
		return err_set(e, -ENOMEM, "no memory for a manifest");
	for (size_t k = 0; k < json_object_array_length(list); k++) {
		struct json_object *pair = json_object_array_get_idx(list, k), *index, *hash;
		size_t n = 0;

		if (!json_object_is_type(pair, json_type_array) ||
		    json_object_array_length(pair) != 2)
			return err_set(e, -EBADMSG, "blocks[%zu]: no pair", k);
		index = json_object_array_get_idx(pair, 0);
		hash = json_object_array_get_idx(pair, 1);
		if (!json_object_is_type(index, json_type_int) ||
		    json_object_get_int64(index) <= last ||
		    json_object_get_int64(index) >= (int64_t)m->n_blocks ||
		    !json_object_is_type(hash, json_type_string))
			return err_set(e, -EBADMSG,
				       "blocks[%zu]: out of order or out of the device", k);
		last = json_object_get_int64(index);
		if (text_unhex(json_object_get_string(hash), m->hashes[last], HASH_BYTES, &n) ||
		    n != HASH_BYTES)
			return err_set(e, -EBADMSG, "blocks[%zu]: no SHA-256", k);
	}
	return 0;
}

/* The first line is the SHA-256 of the rest. */
static int check_sum(const char *text, size_t len, const char **ret_body, struct err *e)
{
	uint8_t want[HASH_BYTES], is[HASH_BYTES];
	char hex[HASH_HEX];
	size_t n = 0;
	int r;

	if (len < HASH_HEX || text[64] != '\n')
		return err_set(e, -EBADMSG, "no checksum line");
	memcpy(hex, text, 64);
	hex[64] = '\0';
	if (text_unhex(hex, want, sizeof(want), &n) || n != HASH_BYTES)
		return err_set(e, -EBADMSG, "no checksum line");
	r = store_hash(text + 65, len - 65, is, e);
	if (!r && memcmp(want, is, HASH_BYTES) != 0)
		r = err_set(e, -EBADMSG, "the checksum is wrong");
	*ret_body = text + 65;
	return r;
}

static int parse(const char *text, size_t len, struct manifest *ret, struct err *e)
{
	struct manifest m = { .hashes = NULL };
	struct json_object *o;
	const char *body = NULL;
	int r;

	r = check_sum(text, len, &body, e);
	if (r)
		return r;
	o = json_tokener_parse(body);
	if (!o || !json_object_is_type(o, json_type_object))
		r = err_set(e, -EBADMSG, "no JSON object");
	r = r ?: read_head(o, &m, e);
	r = r ?: read_blocks(o, &m, e);
	json_object_put(o);
	if (r)
		manifest_clear(&m);
	else
		*ret = m;
	return r;
}

int manifest_read(const char *dir, const char *volume, const char *name, struct manifest *ret,
		  struct err *e)
{
	_cleanup_free_ char *text = NULL;
	struct manifest m;
	char path[PATH_BYTES];
	size_t len;
	int r;

	if (!backup_name_valid(volume) || !backup_name_valid(name))
		return err_set(e, -EINVAL, "\"%s\", \"%s\": no names of a backup", volume, name);
	manifest_path(dir, volume, name, path);
	r = io_read_file(path, MANIFEST_MAX_BYTES, &text, &len);
	if (r == -ENOENT)
		return err_set(e, -ENOENT, "there is no backup %s of volume %s in %s", name, volume,
			       dir);
	if (r)
		return err_sys(e, r, "%s", path);
	r = parse(text, len, &m, e);
	if (!r && (strcmp(m.info.volume, volume) != 0 || strcmp(m.info.name, name) != 0)) {
		manifest_clear(&m);
		r = err_set(e, -EBADMSG, "it belongs to another backup");
	}
	if (r)
		return err_wrap(e, r, "%s", path);
	*ret = m;
	return 0;
}

/* ---- write ---- */

static int add_blocks(struct json_object *o, const struct manifest *m)
{
	struct json_object *list = json_object_new_array();

	if (!list || json_object_object_add(o, "blocks", list))
		return -ENOMEM;
	for (uint64_t i = 0; i < m->n_blocks; i++) {
		struct json_object *pair;
		char hex[HASH_HEX];

		if (hash_is_hole(m->hashes[i]))
			continue;
		text_hex(m->hashes[i], HASH_BYTES, hex);
		pair = json_object_new_array();
		if (!pair || json_object_array_add(pair, json_object_new_int64((int64_t)i)) ||
		    json_object_array_add(pair, json_object_new_string(hex)) ||
		    json_object_array_add(list, pair))
			return -ENOMEM;
	}
	return 0;
}

static struct json_object *build(const struct manifest *m)
{
	const struct backup_info *i = &m->info;
	struct json_object *o = json_object_new_object();

	if (!o)
		return NULL;
	json_object_object_add(o, "version", json_object_new_int64(MANIFEST_VERSION));
	json_object_object_add(o, "volume", json_object_new_string(i->volume));
	json_object_object_add(o, "name", json_object_new_string(i->name));
	json_object_object_add(o, "size", json_object_new_int64((int64_t)i->size_bytes));
	json_object_object_add(o, "header", json_object_new_int64((int64_t)i->header_bytes));
	json_object_object_add(o, "device", json_object_new_int64((int64_t)i->device_bytes));
	json_object_object_add(o, "stored", json_object_new_int64((int64_t)i->stored_bytes));
	json_object_object_add(o, "encrypted", json_object_new_int64(i->encrypted));
	json_object_object_add(o, "fs_type", json_object_new_string(i->fs_type));
	json_object_object_add(o, "uuid", json_object_new_string(i->uuid));
	json_object_object_add(o, "created", json_object_new_int64(i->created_seconds));
	json_object_object_add(o, "block", json_object_new_int64(BACKUP_BLOCK_BYTES));
	if (add_blocks(o, m)) {
		json_object_put(o);
		return NULL;
	}
	return o;
}

static int write_text(const char *dir, const struct manifest *m, const char *body, struct err *e)
{
	char path[PATH_BYTES], sum[HASH_HEX + 1];
	struct crypto_iov parts[] = { { sum, HASH_HEX }, { body, strlen(body) } };
	uint8_t hash[HASH_BYTES];
	int r;

	/* What can't be read again is no backup. */
	if (HASH_HEX + parts[1].len > MANIFEST_MAX_BYTES)
		return err_set(e, -EFBIG, "%s: the device has too many blocks for one backup",
			       m->info.name);
	r = store_hash(body, parts[1].len, hash, e);
	if (r)
		return r;
	text_hex(hash, HASH_BYTES, sum);
	sum[HASH_HEX - 1] = '\n';
	snprintf(path, sizeof(path), "%.4000s/manifests/%.128s", dir, m->info.volume);
	if (mkdir(path, 0700) && errno != EEXIST)
		return err_sys(e, -errno, "%s can't be made", path);
	manifest_path(dir, m->info.volume, m->info.name, path);
	return store_write_file(path, parts, ARRAY_SIZE(parts), e);
}

int manifest_write(const char *dir, const struct manifest *m, struct err *e)
{
	struct json_object *o = build(m);
	const char *body = o ? json_object_to_json_string_ext(o, JSON_C_TO_STRING_PLAIN) : NULL;
	char path[PATH_BYTES];
	int r;

	r = body ? write_text(dir, m, body, e) : err_set(e, -ENOMEM, "no memory for a manifest");
	json_object_put(o);
	if (r)
		return r;
	r = store_sync(dir, e);
	if (r) {
		/* What may not last is no backup. */
		manifest_path(dir, m->info.volume, m->info.name, path);
		(void)!unlink(path);
	}
	return r;
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

/* "NAME.json.new-RANDOM": store_write_file's */
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
	r = manifest_read(v->dir, volume, name, &m, e);
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
