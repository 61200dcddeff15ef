// SPDX-License-Identifier: Apache-2.0
// The binary header: sizes, magics, checksum, and one copy's way to the disk (specification 2.1).
#include "header.h"

const uint32_t luks_header_sizes[HEADER_SIZES] = {
	0x4000, 0x8000, 0x10000, 0x20000, 0x40000, 0x80000, 0x100000, 0x200000, 0x400000,
};

bool luks_header_size_valid(uint64_t bytes)
{
	for (size_t i = 0; i < HEADER_SIZES; i++)
		if (luks_header_sizes[i] == bytes)
			return true;
	return false;
}

const uint8_t *luks_bin_magic(int copy)
{
	static const uint8_t magics[2][6] = {
		{ 'L', 'U', 'K', 'S', 0xba, 0xbe },
		{ 'S', 'K', 'U', 'L', 0xba, 0xbe },
	};

	return magics[copy];
}

int luks_bin_checksum(const struct bin_header *bin, const void *json, size_t json_bytes,
		      uint8_t ret[BIN_CHECKSUM_BYTES], size_t *ret_len, struct err *e)
{
	static const uint8_t zeros[BIN_CHECKSUM_BYTES];
	const struct crypto_iov iov[] = {
		{ bin, offsetof(struct bin_header, checksum) },
		{ zeros, sizeof(zeros) },
		{ bin->padding_4096, sizeof(bin->padding_4096) },
		{ json, json_bytes },
	};
	char alg[sizeof(bin->checksum_alg)];
	int r;

	memcpy(alg, bin->checksum_alg, sizeof(alg));
	alg[sizeof(alg) - 1] = '\0';
	r = crypto_hash_size(alg, ret_len, e);
	if (r)
		return r;
	if (*ret_len > BIN_CHECKSUM_BYTES)
		return err_set(e, -EOPNOTSUPP, "a checksum of %zu bytes has no room", *ret_len);
	memset(ret, 0, BIN_CHECKSUM_BYTES);
	return crypto_hash(alg, iov, ARRAY_SIZE(iov), ret, e);
}

/* At every moment, this copy or the other is whole: it has no checksum while its JSON changes. */
int luks_copy_write(int fd, uint64_t offset_bytes, uint8_t *area, size_t area_bytes,
		    size_t json_bytes, struct err *e)
{
	struct bin_header *bin = (struct bin_header *)area;
	uint8_t *json = area + sizeof(*bin), sum[BIN_CHECKSUM_BYTES];
	size_t sum_len;
	int r;

	r = luks_bin_checksum(bin, json, area_bytes - sizeof(*bin), sum, &sum_len, e);
	if (r)
		return r;
	memset(bin->checksum, 0, sizeof(bin->checksum));
	r = io_pwrite_full(fd, area, sizeof(*bin), offset_bytes, e);
	if (!r)
		r = io_pwrite_full(fd, json, json_bytes, offset_bytes + sizeof(*bin), e);
	if (r)
		return r;
	memcpy(bin->checksum, sum, sizeof(sum));
	r = io_pwrite_full(fd, area, sizeof(*bin), offset_bytes, e);
	if (!r)
		r = io_fsync(fd, e);
	return r;
}
