// SPDX-License-Identifier: Apache-2.0
// Fuzz target: the JSON area. An input is its text; the header round it is made here, and sealed.
// What loads must come out again, load again, and stay as it is then.
#include <stdlib.h>
#include <string.h>

#include <cryptvol/base.h>

#include "fuzz.h"
#include "luks/internal.h"

static struct luks_header *load(const void *json, size_t len)
{
	struct luks_header *h = NULL;
	struct err e = { 0 };
	uint8_t *image;
	size_t n;
	int r;

	n = fuzz_image(json, len, &image);
	if (!n)
		return NULL;
	r = luks_parse(image, n, 64u << 20, &h, &e);
	free(image);
	if (r && !e.text[0])
		fuzz_fail("an error without a sentence");
	return r ? NULL : h;
}

static char *serialize(const struct luks_header *h, size_t *ret_len)
{
	struct err e = { 0 };
	char *text;
	int r;

	r = luks_metadata_serialize(h, &text, ret_len, &e);
	if (r && r != -ENOSPC)
		fuzz_fail(err_text(&e));
	return r ? NULL : text;
}

static void check_round_trip(struct luks_header *h)
{
	size_t len = 0, again_len = 0;
	char *text = serialize(h, &len), *again;
	struct luks_header *second;

	if (!text)
		return;
	second = load(text, len);
	if (!second)
		fuzz_fail("what was accepted isn't, once written");
	again = serialize(second, &again_len);
	if (!again || again_len != len || memcmp(text, again, len) != 0)
		fuzz_fail("a header changes each time it is written");
	luks_free(second);
	free(text);
	free(again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct luks_header *h, *clone = NULL;
	struct err e = { 0 };
	char *text = NULL;

	fuzz_begin();
	h = load(data, len);
	if (h) {
		fuzz_accepted++;
		check_round_trip(h);
		if (luks_header_clone(h, &clone, &e) || luks_json_text(h, &text, &e))
			fuzz_fail(err_text(&e));
		(void)luks_check_usable(h, &e);
		(void)luks_volume_key_bytes(h);
		(void)luks_data_offset(clone);
		luks_free(clone);
		luks_free(h);
		free(text);
	}
	fuzz_end();
	return 0;
}
