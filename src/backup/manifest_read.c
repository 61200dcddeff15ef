// SPDX-License-Identifier: Apache-2.0
// A manifest's line 1 is the SHA-256 of the rest; the rest is one JSON object, whose "blocks" is an
// array of [index, "hash"] in order, holes left out. It is read as it comes, as often as it is
// asked for; every pass ends with the checksum, and a whole one is made before anything of it is
// believed.
#include "internal.h"

#include <fcntl.h>
#include <stdio.h>

#define KEY_BYTES 32
#define SUM_LINE_BYTES HASH_HEX

struct manifest_reader {
	struct scan in;
	uint64_t file_bytes;
	uint8_t want[HASH_BYTES];
	bool running;
	uint32_t seen; /* bits: rows of members[], and the blocks */
	int64_t last;
	uint64_t version, created, encrypted, block;
};

/* ---- members ---- */

struct member {
	const char *key;
	size_t offset, cap; /* cap 0: a number */
	bool in_reader, may_lack;
};
#define TEXT(key, field) \
	key, offsetof(struct backup_info, field), sizeof(((struct backup_info *)0)->field), false
#define NUMBER(key, field) key, offsetof(struct backup_info, field), 0, false
#define OWN(key, field) key, offsetof(struct manifest_reader, field), 0, true

/* The first three say how long the blocks may be, and so come before them. */
static const struct member members[] = {
	{ OWN("version", version), false },
	{ NUMBER("device", device_bytes), false },
	{ OWN("block", block), false },
	{ TEXT("volume", volume), false },
	{ TEXT("name", name), false },
	{ TEXT("fs_type", fs_type), false },
	{ TEXT("uuid", uuid), false },
	{ NUMBER("size", size_bytes), false },
	{ NUMBER("header", header_bytes), false },
	{ NUMBER("stored", stored_bytes), false },
	{ OWN("encrypted", encrypted), false },
	{ OWN("created", created), false },
	{ TEXT("cipher", pin.cipher), true },
	{ TEXT("digest", pin.digest), true },
	{ NUMBER("data_offset", pin.data_offset_bytes), true },
	{ NUMBER("sector", pin.sector_size_bytes), true },
	{ TEXT("mapping", pin.mapping), true },
};
#define N_MEMBERS ARRAY_SIZE(members)
#define BEFORE_BLOCKS 0x7u
#define BLOCKS (1u << N_MEMBERS)

static int bad(const struct manifest *m, struct err *e, const char *what)
{
	const struct scan *in = &m->reader->in;

	if (!in->failed)
		return err_set(e, -EBADMSG, "%s", what);
	return watch_stop(in->watch, e) ?: err_sys(e, in->failed, "it can't be read");
}

static int bad_member(const struct manifest *m, struct err *e, const char *key, const char *what)
{
	char text[KEY_BYTES + 64];

	snprintf(text, sizeof(text), "%s: %s", key, what);
	return bad(m, e, text);
}

static int read_member(struct manifest *m, size_t i, struct err *e)
{
	const struct member *row = &members[i];
	char *to = (row->in_reader ? (char *)m->reader : (char *)&m->info) + row->offset;
	struct manifest_reader *r = m->reader;
	uint64_t number = 0;
	size_t len = 0;

	if (r->seen & 1u << i)
		return bad_member(m, e, row->key, "there twice");
	r->seen |= 1u << i;
	if (row->cap && (!scan_string(&r->in, to, row->cap, &len) || len >= row->cap))
		return bad_member(m, e, row->key, "no text, or too long");
	if (!row->cap && !scan_number(&r->in, &number))
		return bad_member(m, e, row->key, "no number");
	if (!row->cap)
		memcpy(to, &number, sizeof(number));
	return 0;
}

/* A file that is mostly a hole, say, would be read for years. */
static bool too_long(const struct manifest *m)
{
	return m->reader->file_bytes >
	       MANIFEST_REST_MAX_BYTES + m->n_blocks * MANIFEST_BLOCK_MAX_BYTES;
}

static int check_shape(struct manifest *m, struct err *e)
{
	const struct manifest_reader *r = m->reader;

	if ((r->seen & BEFORE_BLOCKS) != BEFORE_BLOCKS)
		return bad(m, e, "blocks: before what says how many there may be");
	if (r->version != MANIFEST_VERSION)
		return err_set(e, -EOPNOTSUPP, "version: %llu isn't known",
			       (unsigned long long)r->version);
	if (r->block != BACKUP_BLOCK_BYTES)
		return err_set(e, -EOPNOTSUPP, "block: %llu isn't known",
			       (unsigned long long)r->block);
	if (m->info.device_bytes > BACKUP_DEVICE_MAX_BYTES)
		return bad(m, e, "device: larger than a backup may be");
	m->n_blocks = block_count(m->info.device_bytes);
	return too_long(m) ? bad(m, e, "it is longer than the blocks of its device can be") : 0;
}

/* Members until "blocks" begins (1) or the object ends (0). */
static int read_members(struct manifest *m, struct err *e)
{
	struct manifest_reader *r = m->reader;
	char key[KEY_BYTES];
	size_t i, len;
	int q;

	do {
		if (!scan_string(&r->in, key, sizeof(key), &len) || !scan_take(&r->in, ':'))
			return bad(m, e, "no JSON object");
		if (!strcmp(key, "blocks")) {
			q = check_shape(m, e);
			if (!q && (r->seen & BLOCKS || !scan_take(&r->in, '[')))
				q = bad(m, e, "blocks: no list, or there twice");
			r->seen |= BLOCKS;
			return q ?: 1;
		}
		for (i = 0; i < N_MEMBERS && strcmp(key, members[i].key) != 0; i++)
			;
		if (i < N_MEMBERS)
			q = read_member(m, i, e);
		else
			q = scan_skip(&r->in) ? 0 : bad(m, e, "no JSON object");
		if (q)
			return q;
	} while (scan_take(&r->in, ','));
	return scan_take(&r->in, '}') ? 0 : bad(m, e, "no JSON object");
}

/* ---- a pass ---- */

static int begin(struct manifest *m, struct err *e)
{
	struct manifest_reader *r = m->reader;
	int fd = r->in.fd, q;

	r->seen = 0;
	r->last = -1;
	r->running = true;
	scan_begin(&r->in, fd, SUM_LINE_BYTES);
	if (!scan_take(&r->in, '{'))
		return bad(m, e, "no JSON object");
	q = read_members(m, e);
	return q ? (q < 0 ? q : 0) : bad(m, e, "blocks: missing");
}

/* What stands behind the blocks, and the checksum. */
static int end(struct manifest *m, struct err *e)
{
	struct manifest_reader *r = m->reader;
	uint8_t sum[HASH_BYTES];
	int q;

	q = scan_take(&r->in, ',') ? read_members(m, e) : !scan_take(&r->in, '}');
	if (q > 0 || (!q && scan_peek(&r->in) >= 0))
		q = bad(m, e, "no JSON object");
	for (size_t i = 0; !q && i < N_MEMBERS; i++)
		if (!(r->seen & 1u << i) && !members[i].may_lack)
			q = bad_member(m, e, members[i].key, "missing");
	if (!q && (m->info.size_bytes > BACKUP_DEVICE_MAX_BYTES ||
		   m->info.header_bytes > BACKUP_DEVICE_MAX_BYTES ||
		   m->info.device_bytes > m->info.size_bytes + m->info.header_bytes))
		q = bad(m, e, "device: larger than size and header together");
	if (q)
		return q;
	scan_end(&r->in, sum);
	if (r->in.failed || memcmp(sum, r->want, HASH_BYTES) != 0)
		return bad(m, e, "the checksum is wrong");
	m->info.encrypted = r->encrypted != 0;
	m->info.created_seconds = (int64_t)r->created;
	r->running = false;
	return 0;
}

static int next(struct manifest *m, uint64_t *ret_index, uint8_t ret_hash[HASH_BYTES],
		struct err *e)
{
	struct manifest_reader *r = m->reader;
	char hex[HASH_HEX] = "";
	uint64_t index = 0;
	size_t len = 0, n = 0;
	int q;

	if (!r->running) {
		q = begin(m, e);
		if (q)
			return q;
		if (scan_take(&r->in, ']'))
			return end(m, e);
	} else if (!scan_take(&r->in, ',')) {
		return scan_take(&r->in, ']') ? end(m, e) : bad(m, e, "blocks: no list");
	}
	if (!scan_take(&r->in, '[') || !scan_number(&r->in, &index) || !scan_take(&r->in, ',') ||
	    !scan_string(&r->in, hex, sizeof(hex), &len) || !scan_take(&r->in, ']'))
		return bad(m, e, "blocks: no pair of a number and a text");
	if ((int64_t)index <= r->last || index >= m->n_blocks)
		return bad(m, e, "blocks: out of order or out of the device");
	if (len >= sizeof(hex) || text_unhex(hex, ret_hash, HASH_BYTES, &n) || n != HASH_BYTES)
		return bad(m, e, "blocks: no SHA-256");
	r->last = (int64_t)index;
	*ret_index = index;
	return 1;
}

/* ---- the face ---- */

int manifest_next(struct manifest *m, uint64_t *ret_index, uint8_t ret_hash[HASH_BYTES],
		  struct err *e)
{
	int r = next(m, ret_index, ret_hash, e);

	return r < 0 ? err_wrap(e, r, "the manifest of %s", m->info.name) : r;
}

static int read_sum_line(struct manifest_reader *r, struct err *e)
{
	char line[SUM_LINE_BYTES];
	size_t n = 0;

	if (io_pread_full(r->in.fd, line, sizeof(line), 0, NULL) || line[sizeof(line) - 1] != '\n')
		return err_set(e, -EBADMSG, "no checksum line");
	line[sizeof(line) - 1] = '\0';
	return text_unhex(line, r->want, HASH_BYTES, &n) || n != HASH_BYTES
		       ? err_set(e, -EBADMSG, "no checksum line")
		       : 0;
}

/* What doesn't make sense is damage, if the checksum says so, whatever it looks like. */
static int explain(struct manifest *m, int r, struct err *e)
{
	struct manifest_reader *d = m->reader;
	uint8_t sum[HASH_BYTES];

	if (too_long(m) || d->in.failed)
		return r;
	scan_begin(&d->in, d->in.fd, SUM_LINE_BYTES);
	scan_end(&d->in, sum);
	if (!d->in.failed && memcmp(sum, d->want, HASH_BYTES) != 0)
		return err_set(e, -EBADMSG, "the checksum is wrong");
	return r;
}

int manifest_open_fd(int fd, const struct backup_watch *watch, struct manifest *ret, struct err *e)
{
	struct manifest m = { .reader = calloc(1, sizeof(*m.reader)) };
	uint8_t hash[HASH_BYTES];
	uint64_t index;
	int r;

	if (!m.reader)
		return close(fd), err_set(e, -ENOMEM, "no memory for a manifest");
	m.reader->in.fd = fd;
	m.reader->in.watch = watch;
	r = io_size(fd, &m.reader->file_bytes, e);
	r = r ?: read_sum_line(m.reader, e);
	if (!r) {
		while ((r = next(&m, &index, hash, e)) > 0)
			;
		if (r)
			r = explain(&m, r, e);
	}
	if (r)
		manifest_clear(&m);
	else
		*ret = m;
	return r;
}

int manifest_open(const struct store *s, const char *volume, const char *name, struct manifest *ret,
		  struct err *e)
{
	_cleanup_close_ int folder = -1;
	char file[MANIFEST_FILE_BYTES];
	struct manifest m;
	int fd, r;

	if (!backup_name_valid(volume) || !backup_name_valid(name))
		return err_set(e, -EINVAL, "\"%s\", \"%s\": no names of a backup", volume, name);
	manifest_file(name, file);
	folder = manifest_folder(s, volume, false, e);
	fd = folder < 0 ? folder : store_file(folder, file, O_RDONLY, NULL, e);
	if (fd == -ENOENT)
		return err_set(e, -ENOENT, "there is no backup %s of volume %s in %s", name, volume,
			       s->dir);
	if (fd < 0)
		return fd;
	r = manifest_open_fd(fd, s->watch, &m, e);
	if (!r && (strcmp(m.info.volume, volume) != 0 || strcmp(m.info.name, name) != 0)) {
		manifest_clear(&m);
		r = err_set(e, -EBADMSG, "it belongs to another backup");
	}
	if (r)
		return err_wrap(e, r, "%s/manifests/%s/%s", s->dir, volume, file);
	*ret = m;
	return 0;
}

void manifest_clear(struct manifest *m)
{
	if (m->reader)
		base_closep(&m->reader->in.fd);
	free(m->reader);
	m->reader = NULL;
}
