// SPDX-License-Identifier: Apache-2.0
// Manifests are written as their blocks come, beside their name, and get it when they are whole:
// the checksum in line 1 is filled in last.
#include "internal.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

#define BUFFER_BYTES (64u * 1024)
#define PIECE_BYTES 1024 /* the longest text that is put at once: a member, escaped */

struct manifest_writer {
	const struct store *store;
	struct backup_info info;
	char file[MANIFEST_FILE_BYTES], tmp[STORE_NAME_BYTES];
	int folder, fd; /* of the volume's manifests; of this one */
	struct crypto_sha256 sum;
	uint64_t file_at, n_blocks;
	size_t n;
	char buf[BUFFER_BYTES + PIECE_BYTES];
};

static int flush(struct manifest_writer *w, struct err *e)
{
	int r = io_pwrite_full(w->fd, w->buf, w->n, w->file_at, e);

	if (r)
		return err_wrap(e, r, "%s", w->tmp);
	crypto_sha256_add(&w->sum, w->buf, w->n);
	w->file_at += w->n;
	w->n = 0;
	return 0;
}

static void put(struct manifest_writer *w, const char *text)
{
	size_t len = strlen(text);

	memcpy(w->buf + w->n, text, len);
	w->n += len;
}

static void put_number(struct manifest_writer *w, const char *key, uint64_t value)
{
	char text[96];

	snprintf(text, sizeof(text), ",\"%s\":%llu", key, (unsigned long long)value);
	put(w, text);
}

static void put_text(struct manifest_writer *w, const char *key, const char *value)
{
	char c[8];

	put(w, ",\"");
	put(w, key);
	put(w, "\":\"");
	for (; *value; value++) {
		if (*value == '"' || *value == '\\')
			snprintf(c, sizeof(c), "\\%c", *value);
		else if ((unsigned char)*value < 0x20)
			snprintf(c, sizeof(c), "\\u%04x", (unsigned int)*value);
		else
			snprintf(c, sizeof(c), "%c", *value);
		put(w, c);
	}
	put(w, "\"");
}

/* Each text is shorter than PIECE_BYTES by far, and all of them together than the buffer. */
static void put_head(struct manifest_writer *w)
{
	const struct backup_info *i = &w->info;
	char text[64];

	snprintf(text, sizeof(text), "{\"version\":%d", MANIFEST_VERSION);
	put(w, text);
	put_text(w, "volume", i->volume);
	put_text(w, "name", i->name);
	put_number(w, "size", i->size_bytes);
	put_number(w, "header", i->header_bytes);
	put_number(w, "device", i->device_bytes);
	put_number(w, "encrypted", i->encrypted);
	put_text(w, "fs_type", i->fs_type);
	put_text(w, "uuid", i->uuid);
	if (i->pin.digest[0]) {
		put_text(w, "cipher", i->pin.cipher);
		put_text(w, "digest", i->pin.digest);
		put_number(w, "data_offset", i->pin.data_offset_bytes);
		put_number(w, "sector", i->pin.sector_size_bytes);
		if (i->pin.mapping[0])
			put_text(w, "mapping", i->pin.mapping);
	}
	put_number(w, "created", (uint64_t)i->created_seconds);
	put_number(w, "block", BACKUP_BLOCK_BYTES);
	put(w, ",\"blocks\":[");
}

int manifest_create(const struct store *s, const struct backup_info *info,
		    struct manifest_writer **ret, struct err *e)
{
	struct manifest_writer *w = calloc(1, sizeof(*w));

	if (!w)
		return err_set(e, -ENOMEM, "no memory for a manifest");
	w->store = s;
	w->info = *info;
	w->file_at = HASH_HEX;
	crypto_sha256_begin(&w->sum);
	manifest_file(info->name, w->file);
	w->folder = manifest_folder(s, info->volume, true, e);
	w->fd = w->folder < 0 ? w->folder : store_new_file(w->folder, w->file, w->tmp, e);
	if (w->fd < 0) {
		int r = w->fd;

		base_closep(&w->folder);
		free(w);
		return r;
	}
	put_head(w);
	*ret = w;
	return 0;
}

int manifest_add(struct manifest_writer *w, uint64_t index, const uint8_t hash[HASH_BYTES],
		 struct err *e)
{
	char hex[HASH_HEX], text[HASH_HEX + 32];

	text_hex(hash, HASH_BYTES, hex);
	snprintf(text, sizeof(text), "%s[%llu,\"%s\"]", w->n_blocks++ ? "," : "",
		 (unsigned long long)index, hex);
	put(w, text);
	return w->n < BUFFER_BYTES ? 0 : flush(w, e);
}

int manifest_finish(struct manifest_writer *w, uint64_t stored_bytes, struct manifest *ret,
		    struct err *e)
{
	char line[HASH_HEX + 1];
	uint8_t hash[HASH_BYTES];
	int r, fd;

	put(w, "]");
	put_number(w, "stored", stored_bytes);
	put(w, "}");
	r = flush(w, e);
	if (r)
		return r;
	crypto_sha256_end(&w->sum, hash);
	text_hex(hash, HASH_BYTES, line);
	line[HASH_HEX - 1] = '\n';
	r = io_pwrite_full(w->fd, line, HASH_HEX, 0, e);
	r = r ?: io_fsync(w->fd, e);
	if (r)
		return r;
	/* What can't be read again is no backup. */
	fd = store_file(w->folder, w->tmp, O_RDONLY, NULL, e);
	return fd < 0 ? fd : manifest_open_fd(fd, w->store->watch, ret, e);
}

int manifest_publish(struct manifest_writer *w, struct err *e)
{
	int r;

	if (renameat(w->folder, w->tmp, w->folder, w->file))
		return err_sys(e, -errno, "%s can't get its name", w->file);
	w->tmp[0] = '\0';
	r = store_sync(w->store, e);
	if (r) /* What may not last is no backup. */
		(void)!unlinkat(w->folder, w->file, 0);
	return r;
}

void manifest_drop(struct manifest_writer *w)
{
	if (!w)
		return;
	if (w->tmp[0])
		(void)!unlinkat(w->folder, w->tmp, 0);
	close(w->fd);
	close(w->folder);
	free(w);
}
