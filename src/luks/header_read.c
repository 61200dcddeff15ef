// SPDX-License-Identifier: Apache-2.0
// One copy of the header: read once, checked in the order of checklist 2.1, parsed.
#include "header.h"

#include <stdio.h>

/* The verdict on a copy that can't be used. Returns 0: it's an answer, not a failure. */
static int verdict(struct header_copy *c, enum copy_state state, int code)
{
	c->state = state;
	c->code = code;
	return 0;
}

static bool within(const struct header_source *src, uint64_t offset, size_t len)
{
	uint64_t end = src->fd < 0 ? src->len : src->device_bytes;

	return offset <= end && len <= end - offset;
}

static int source_read(const struct header_source *src, void *buf, size_t len, uint64_t offset,
		       struct err *e)
{
	if (src->fd >= 0)
		return io_pread_full(src->fd, buf, len, offset, e);
	memcpy(buf, src->buf + offset, len);
	return 0;
}

/* The binary header but for its checksum. */
static int check_bin(struct header_copy *c, const struct bin_header *bin, int copy)
{
	uint64_t bytes = be64_get(bin->header_bytes), offset = be64_get(bin->offset_bytes);

	if (be16_get(bin->version) != 2)
		return err_set(&c->why, -EBADMSG, "header: version: %u isn't known",
			       be16_get(bin->version));
	if (offset != c->offset_bytes)
		return err_set(&c->why, -EBADMSG, "header: hdr_offset: %llu, but it stands at %llu",
			       (unsigned long long)offset, (unsigned long long)c->offset_bytes);
	if (!luks_header_size_valid(bytes))
		return err_set(&c->why, -EBADMSG, "header: hdr_size: %llu is no allowed size",
			       (unsigned long long)bytes);
	if (copy == COPY_SECONDARY && bytes != c->offset_bytes)
		return err_set(&c->why, -EBADMSG,
			       "header: hdr_size: %llu, but the secondary copy stands at %llu",
			       (unsigned long long)bytes, (unsigned long long)c->offset_bytes);
	return 0;
}

/* The size that most copies have in one read; less where the device ends, or can't be read, before.
 */
static int read_first(const struct header_source *src, struct header_copy *c)
{
	c->area_bytes = luks_header_sizes[0];
	c->area = aligned_alloc(HEADER_ALIGN_BYTES, c->area_bytes);
	if (!c->area)
		return -ENOMEM;
	if (within(src, c->offset_bytes, c->area_bytes) &&
	    !source_read(src, c->area, c->area_bytes, c->offset_bytes, NULL))
		return 0;
	c->area_bytes = sizeof(struct bin_header);
	c->code = source_read(src, c->area, c->area_bytes, c->offset_bytes, &c->why);
	return c->code ? verdict(c, COPY_UNREADABLE, c->code) : 0;
}

/* Room for the whole copy in place of its first blocks, and the rest of it read. */
static int read_area(const struct header_source *src, struct header_copy *c)
{
	size_t bytes = (size_t)be64_get(((struct bin_header *)c->area)->header_bytes);
	uint8_t *whole;
	int r;

	if (!within(src, c->offset_bytes, bytes)) {
		c->code = err_set(&c->why, -EBADMSG,
				  "header: hdr_size: %zu, but the device ends before", bytes);
		return verdict(c, COPY_BAD, c->code);
	}
	if (c->area_bytes == bytes)
		return 0;
	whole = aligned_alloc(HEADER_ALIGN_BYTES, bytes);
	if (!whole)
		return -ENOMEM;
	memcpy(whole, c->area, c->area_bytes);
	free(c->area);
	c->area = whole;
	r = source_read(src, whole + c->area_bytes, bytes - c->area_bytes,
			c->offset_bytes + c->area_bytes, &c->why);
	c->area_bytes = bytes;
	if (r)
		verdict(c, COPY_UNREADABLE, r);
	return 0;
}

static int check_checksum(struct header_copy *c)
{
	const struct bin_header *bin = (const struct bin_header *)c->area;
	uint8_t sum[BIN_CHECKSUM_BYTES];
	size_t len;
	int r;

	r = luks_bin_checksum(bin, c->area + sizeof(*bin), c->area_bytes - sizeof(*bin), sum, &len,
			      &c->why);
	if (r == -ENOMEM)
		return r;
	if (r) {
		err_wrap(&c->why, r, "header: csum_alg");
		return verdict(c, COPY_BAD, -EBADMSG);
	}
	if (memcmp(sum, bin->checksum, len) != 0)
		return verdict(c, COPY_BAD,
			       err_set(&c->why, -EBADMSG, "header: the checksum is wrong"));
	return 0;
}

static void take_bin(const struct bin_header *bin, struct luks_header *h)
{
	h->version = 2;
	h->header_bytes = be64_get(bin->header_bytes);
	h->seqid = be64_get(bin->seqid);
	memcpy(h->label, bin->label, sizeof(h->label) - 1);
	memcpy(h->subsystem, bin->subsystem, sizeof(h->subsystem) - 1);
	memcpy(h->uuid, bin->uuid, sizeof(h->uuid) - 1);
	/* It goes onto terminals; a UUID has none of these. */
	for (size_t i = 0; h->uuid[i]; i++)
		if (h->uuid[i] < 0x20 || h->uuid[i] > 0x7e)
			h->uuid[i] = '?';
	memcpy(h->checksum_alg, bin->checksum_alg, sizeof(h->checksum_alg) - 1);
}

/* The text in the area: ends with NUL, nothing but NUL behind. */
static int text_length(struct header_copy *c)
{
	const char *json = (const char *)c->area + sizeof(struct bin_header);
	size_t bytes = c->area_bytes - sizeof(struct bin_header);

	c->json_len = strnlen(json, bytes);
	if (c->json_len == bytes)
		return err_set(&c->why, -EBADMSG, "JSON: the area doesn't end with NUL");
	for (size_t i = c->json_len; i < bytes; i++)
		if (json[i])
			return err_set(&c->why, -EBADMSG,
				       "JSON: byte %zu of the area, behind the text, isn't NUL", i);
	return 0;
}

static int parse_copy(const struct header_source *src, struct header_copy *c)
{
	_cleanup_luks_ struct luks_header *h = NULL;
	const char *json = (const char *)c->area + sizeof(struct bin_header);
	struct err odd;
	int r;

	r = luks_header_alloc(&h, NULL);
	if (r)
		return r;
	take_bin((const struct bin_header *)c->area, h);
	c->seqid = h->seqid;
	r = text_length(c);
	if (!r)
		r = luks_metadata_parse(json, c->json_len, h, &c->why);
	if (!r)
		r = luks_rules_check(h, src->device_bytes, &c->why);
	if (!r && !h->unusable[0] && luks_rules_usable(h, &odd))
		snprintf(h->unusable, sizeof(h->unusable), "%s", err_text(&odd));
	if (r == -EBADMSG)
		return verdict(c, COPY_OBSOLETE, r);
	if (r)
		return r;
	c->state = COPY_OK;
	c->code = 0;
	c->h = h;
	h = NULL;
	return 0;
}

bool luks_copy_same(const struct header_copy *a, const struct header_copy *b)
{
	struct bin_header x, y;

	if (a->area_bytes != b->area_bytes ||
	    memcmp(a->area + sizeof(x), b->area + sizeof(x), a->area_bytes - sizeof(x)) != 0)
		return false;
	memcpy(&x, a->area, sizeof(x));
	memcpy(&y, b->area, sizeof(y));
	memcpy(x.magic, y.magic, sizeof(x.magic));
	memcpy(x.salt, y.salt, sizeof(x.salt));
	memcpy(x.checksum, y.checksum, sizeof(x.checksum));
	x.offset_bytes = y.offset_bytes;
	return !memcmp(&x, &y, sizeof(x));
}

/* Up to the first state that is decided; COPY_OK stands for "go on". */
static int read_steps(const struct header_source *src, int copy, const struct header_copy *like,
		      struct header_copy *c)
{
	const struct bin_header *bin;
	int r;

	if (!within(src, c->offset_bytes, sizeof(*bin)))
		return 0;
	r = read_first(src, c);
	if (r || c->state == COPY_UNREADABLE)
		return r;
	bin = (const struct bin_header *)c->area;
	if (memcmp(bin->magic, luks_bin_magic(copy), sizeof(bin->magic)) != 0)
		return 0;
	c->version = be16_get(bin->version);
	r = check_bin(c, bin, copy);
	if (r)
		return verdict(c, COPY_BAD, r);
	c->state = COPY_OK;
	r = read_area(src, c);
	if (!r && c->state == COPY_OK)
		r = check_checksum(c);
	if (r || c->state != COPY_OK)
		return r;
	if (!like || like->state != COPY_OK || !luks_copy_same(like, c))
		return parse_copy(src, c);
	/* Read the same way, the same bytes say the same. */
	c->seqid = like->seqid;
	c->json_len = like->json_len;
	c->code = 0;
	return 0;
}

int luks_copy_read(const struct header_source *src, int copy, uint64_t offset_bytes,
		   const struct header_copy *like, struct header_copy *ret, struct err *e)
{
	struct header_copy c = { .state = COPY_ABSENT, .offset_bytes = offset_bytes };
	int r;

	c.code = err_set(&c.why, -EMEDIUMTYPE, "no LUKS header");
	r = read_steps(src, copy, like, &c);
	if (r) {
		luks_copy_free(&c);
		return err_sys(e, r, "the header can't be read");
	}
	*ret = c;
	return 0;
}

void luks_copy_free(struct header_copy *c)
{
	free(c->area);
	c->area = NULL;
	luks_free(c->h);
	c->h = NULL;
}
