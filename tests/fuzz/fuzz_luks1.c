// SPDX-License-Identifier: Apache-2.0
// Fuzz target: LUKS1's header. An input is its first bytes; the magic is put in front of it.
#include <stdlib.h>
#include <string.h>

#include <cryptvol/base.h>
#include <cryptvol/luks.h>

#include "fuzz.h"

#define DEVICE_BYTES (64u << 20)

/* What luks1.c promises of any header that it accepts. */
static void check(const struct luks1_header *l)
{
	uint64_t sectors = ((uint64_t)l->key_bytes * 4000 + 511) / 512;

	if (l->key_bytes == 0 || l->key_bytes > 512)
		fuzz_fail("a key size beyond the limits was accepted");
	for (size_t i = 0; i < 8; i++) {
		uint64_t begin = l->keyslots[i].key_material_offset_sectors, end = begin + sectors;

		if (begin * 512 < 592 || end * 512 > DEVICE_BYTES ||
		    (l->payload_offset_sectors && end > l->payload_offset_sectors))
			fuzz_fail("key material out of bounds was accepted");
		for (size_t j = 0; j < i; j++)
			if (begin < l->keyslots[j].key_material_offset_sectors + sectors &&
			    l->keyslots[j].key_material_offset_sectors < end)
				fuzz_fail("overlapping key material was accepted");
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	uint8_t *image = calloc(1, 8192);
	struct luks_header *h = NULL;
	struct err e = { 0 };

	if (!image)
		return 0;
	memcpy(image, data, len < 8192 ? len : 8192);
	memcpy(image, "LUKS\xba\xbe\0\1", 8);
	fuzz_begin();
	if (!luks_parse(image, 8192, DEVICE_BYTES, &h, &e)) {
		if (h->version != 1 || !luks_check_usable(h, &e))
			fuzz_fail("LUKS1 was taken for usable");
		check(h->luks1);
		fuzz_accepted++;
	} else if (!e.text[0]) {
		fuzz_fail("an error without a sentence");
	}
	fuzz_end();
	luks_free(h);
	free(image);
	return 0;
}
