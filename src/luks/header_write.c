// SPDX-License-Identifier: Apache-2.0
// Writing both copies of a header: what goes out has passed the same parser and rules as what comes
// in (specification 4, checklist 2.1).
#include "header.h"

/* Parse back what is going to be written, so that nothing can be written that we'd refuse to read.
 */
static int check_text(const struct luks_header *h, uint64_t device_bytes, const char *text,
		      size_t len, struct luks_header **ret, struct err *e)
{
	_cleanup_luks_ struct luks_header *next = NULL;
	int r;

	r = luks_header_alloc(&next, e);
	if (r)
		return r;
	*next = *h;
	next->raw = NULL;
	next->luks1 = NULL;
	next->n_keyslots = next->n_digests = next->n_segments = next->n_tokens = 0;
	next->seqid = h->seqid + 1;
	r = luks_metadata_parse(text, len, next, e);
	if (!r)
		r = luks_rules_check(next, device_bytes, e);
	if (!r)
		r = luks_rules_usable(next, e);
	if (r) {
		err_wrap(e, r, "the new header isn't valid");
		return r;
	}
	*ret = next;
	next = NULL;
	return 0;
}

static void fill_bin(struct bin_header *bin, const struct luks_header *h, int copy)
{
	memset(bin, 0, sizeof(*bin));
	memcpy(bin->magic, luks_bin_magic(copy), sizeof(bin->magic));
	bin->version = be16_make(2);
	bin->header_bytes = be64_make(h->header_bytes);
	bin->seqid = be64_make(h->seqid);
	memcpy(bin->label, h->label, strnlen(h->label, sizeof(bin->label) - 1));
	memcpy(bin->subsystem, h->subsystem, strnlen(h->subsystem, sizeof(bin->subsystem) - 1));
	memcpy(bin->uuid, h->uuid, strnlen(h->uuid, sizeof(bin->uuid) - 1));
	memcpy(bin->checksum_alg, h->checksum_alg,
	       strnlen(h->checksum_alg, sizeof(bin->checksum_alg) - 1));
	memcpy(bin->salt, h->copies[copy].salt, sizeof(bin->salt));
	bin->offset_bytes = be64_make(copy == COPY_PRIMARY ? 0 : h->header_bytes);
}

/* How much of the JSON area to write: what the text takes, and what the last one left. */
static size_t json_write_bytes(const struct luks_header *h, int copy, size_t len, bool whole)
{
	size_t area = (size_t)h->header_bytes - sizeof(struct bin_header);
	uint64_t n = len + 1;

	if (whole || !h->copies[copy].valid)
		return area;
	if (n < h->copies[copy].json_used_bytes)
		n = h->copies[copy].json_used_bytes;
	n = (n + HEADER_ALIGN_BYTES - 1) / HEADER_ALIGN_BYTES * HEADER_ALIGN_BYTES;
	return n < area ? (size_t)n : area;
}

/* @area holds the JSON text behind a binary header, which is filled in. */
static int write_copy(const struct luks_io *io, struct luks_header *h, int copy, uint8_t *area,
		      size_t json_len, bool whole, struct err *e)
{
	struct luks_copy_state *state = &h->copies[copy];
	int r = 0;

	if (!state->valid)
		r = crypto_random(state->salt, sizeof(state->salt), e);
	if (r)
		return r;
	fill_bin((struct bin_header *)area, h, copy);
	r = luks_copy_write(io->fd, copy == COPY_PRIMARY ? 0 : h->header_bytes, area,
			    (size_t)h->header_bytes, json_write_bytes(h, copy, json_len, whole), e);
	state->valid = r == 0;
	state->json_used_bytes = json_len + 1;
	return r;
}

/* The primary is made anew from the secondary, which still has the old state (@h). */
static int put_back(const struct luks_io *io, const struct luks_header *h)
{
	struct header_source src = { .fd = io->fd };
	struct header_pair pair;
	const struct header_copy *old = &pair.copy[COPY_SECONDARY];
	int r;

	r = io_size(io->fd, &src.device_bytes, NULL);
	if (!r)
		r = luks_pair_read(&src, &pair, NULL);
	if (r)
		return r;
	if (old->state == COPY_OK && old->seqid == h->seqid && old->area_bytes == h->header_bytes) {
		pair.use = COPY_SECONDARY;
		pair.rewrite = COPY_PRIMARY;
		r = luks_pair_rewrite(io->fd, &pair, NULL);
	} else {
		r = -EUCLEAN;
	}
	luks_pair_free(&pair);
	return r;
}

/*
 * *ret_made: the new header is the one that counts from now on. It does with the primary durable;
 * where only the secondary fails, going back would mean to write over the one good copy.
 */
static int write_copies(const struct luks_io *io, const struct luks_header *old,
			struct luks_header *h, const char *text, size_t len, bool whole,
			bool *ret_made, struct err *e)
{
	_cleanup_free_ uint8_t *area = NULL;
	size_t area_bytes = (size_t)h->header_bytes;
	int r;

	area = aligned_alloc(HEADER_ALIGN_BYTES, area_bytes);
	if (!area)
		return err_set(e, -ENOMEM, "no memory for a header");
	memset(area, 0, area_bytes);
	memcpy(area + sizeof(struct bin_header), text, len);
	r = write_copy(io, h, COPY_PRIMARY, area, len, whole, e);
	if (r)
		return err_wrap(e, r, "%s",
				put_back(io, old) ? "it isn't known whether the header is changed"
						  : "the header is as it was");
	*ret_made = true;
	r = write_copy(io, h, COPY_SECONDARY, area, len, whole, e);
	h->needs_recovery = r != 0;
	return r ? err_wrap(e, r,
			    "the change is made, but only in the first copy of the header; repair "
			    "the second when the device can be written again")
		 : 0;
}

int luks_header_write(const struct luks_io *io, struct luks_header *h, bool whole, struct err *e)
{
	_cleanup_luks_ struct luks_header *next = NULL;
	_cleanup_free_ char *text = NULL;
	struct luks_header old;
	uint64_t device_bytes;
	bool made = false;
	size_t len;
	int r;

	if (h->seqid == UINT64_MAX)
		return err_set(e, -EOVERFLOW, "the header's sequence number can't grow");
	r = luks_metadata_serialize(h, &text, &len, e);
	if (!r)
		r = io_size(io->fd, &device_bytes, e);
	if (!r)
		r = check_text(h, device_bytes, text, len, &next, e);
	if (!r)
		r = write_copies(io, h, next, text, len, whole, &made, e);
	if (!made)
		return r;
	next->from_secondary = next->seqid_conflict = false;
	/* The old content goes with @next. */
	old = *h;
	*h = *next;
	*next = old;
	return r;
}

int luks_header_encode(const struct luks_header *h, uint64_t device_bytes, void *ret, struct err *e)
{
	_cleanup_luks_ struct luks_header *next = NULL;
	_cleanup_free_ char *text = NULL;
	size_t len, sum_len;
	int r;

	r = luks_metadata_serialize(h, &text, &len, e);
	if (!r)
		r = check_text(h, device_bytes, text, len, &next, e);
	for (int copy = COPY_PRIMARY; copy <= COPY_SECONDARY && !r; copy++) {
		uint8_t *area = (uint8_t *)ret + (copy == COPY_PRIMARY ? 0 : next->header_bytes);
		struct bin_header *bin = (struct bin_header *)area;
		uint8_t *json = area + sizeof(*bin);
		size_t json_bytes = (size_t)next->header_bytes - sizeof(*bin);

		memset(json, 0, json_bytes);
		memcpy(json, text, len);
		r = crypto_random(next->copies[copy].salt, sizeof(next->copies[copy].salt), e);
		if (r)
			break;
		fill_bin(bin, next, copy);
		r = luks_bin_checksum(bin, json, json_bytes, bin->checksum, &sum_len, e);
	}
	return r;
}
