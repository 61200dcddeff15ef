// SPDX-License-Identifier: Apache-2.0
// Fuzz target: the binary header, both copies. An input is: control byte (bits 0 and 1: seal the
// primary, the secondary; bits 2 and 3: where the secondary stands), 512 bytes of each binary
// header, JSON text for both.
#include <stdlib.h>
#include <string.h>

#include <cryptvol/base.h>
#include <cryptvol/luks.h>

#include "fuzz.h"

#define BIN_BYTES 512u

static void build(uint8_t *image, size_t header_bytes, const uint8_t *data, size_t len)
{
	size_t json_len = len - 1 - 2 * BIN_BYTES;

	if (json_len > header_bytes - 4096)
		json_len = header_bytes - 4096;
	for (size_t i = 0; i < 2; i++) {
		uint8_t *copy = image + i * header_bytes;

		memcpy(copy, data + 1 + i * BIN_BYTES, BIN_BYTES);
		memcpy(copy + 4096, data + 1 + 2 * BIN_BYTES, json_len);
		if (data[0] >> i & 1)
			fuzz_seal(copy, header_bytes);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct luks_header *h = NULL;
	struct err e = { 0 };
	size_t header_bytes;
	uint8_t *image;

	if (len < 1 + 2 * BIN_BYTES)
		return 0;
	header_bytes = (size_t)16384 << (data[0] >> 2 & 3);
	image = calloc(2, header_bytes);
	if (!image)
		return 0;
	build(image, header_bytes, data, len);
	fuzz_begin();
	if (!luks_parse(image, 2 * header_bytes, 64u << 20, &h, &e)) {
		if (h->version == 2 && h->header_bytes != header_bytes)
			fuzz_fail("accepted with another size than the one it stands at");
		fuzz_accepted++;
	} else if (!e.text[0]) {
		fuzz_fail("an error without a sentence");
	}
	fuzz_end();
	luks_free(h);
	free(image);
	return 0;
}
