// SPDX-License-Identifier: Apache-2.0
// Is there a LUKS magic at all? One block at each place where it may stand.
#include "header.h"

/* A block of the device; all zero where the device ends before it. */
static int read_block(int fd, uint64_t device_bytes, uint64_t offset, struct bin_header *block,
		      struct err *e)
{
	memset(block, 0, sizeof(*block));
	if (device_bytes < sizeof(*block) || offset > device_bytes - sizeof(*block))
		return 0;
	return io_pread_full(fd, block, sizeof(*block), offset, e);
}

static bool is_secondary(const struct bin_header *b, uint64_t offset)
{
	return !memcmp(b->magic, luks_bin_magic(COPY_SECONDARY), sizeof(b->magic)) &&
	       be16_get(b->version) == 2 && be64_get(b->offset_bytes) == offset;
}

static int probe(int fd, struct bin_header *b, unsigned int *ret_version, struct err *e)
{
	uint64_t device_bytes;
	int r, first;

	r = io_size(fd, &device_bytes, e);
	if (r)
		return r;
	first = read_block(fd, device_bytes, 0, b, e);
	if (!first && !memcmp(b->magic, luks_bin_magic(COPY_PRIMARY), sizeof(b->magic)) &&
	    (be16_get(b->version) == 1 || be16_get(b->version) == 2)) {
		*ret_version = be16_get(b->version);
		return 0;
	}
	for (size_t i = 0; i < HEADER_SIZES; i++) {
		r = read_block(fd, device_bytes, luks_header_sizes[i], b, NULL);
		if (!r && is_secondary(b, luks_header_sizes[i])) {
			*ret_version = 2;
			return 0;
		}
	}
	return first ? first : err_set(e, -EMEDIUMTYPE, "this is no LUKS device");
}

int luks_probe(int fd, unsigned int *ret_version, struct err *e)
{
	struct bin_header *block = aligned_alloc(HEADER_ALIGN_BYTES, sizeof(*block));
	int r;

	if (!block)
		return err_set(e, -ENOMEM, "no memory for a block");
	r = probe(fd, block, ret_version, e);
	free(block);
	return r;
}
