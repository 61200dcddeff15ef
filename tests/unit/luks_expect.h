// SPDX-License-Identifier: Apache-2.0
// "This header, so edited, is refused with that sentence": for the tests of rules.
#pragma once

#include <errno.h>

#include <cryptvol/base.h>
#include <cryptvol/luks.h>

#include "check.h"
#include "luks_image.h"

#define IMAGE_TEST_BYTES 65536u

static inline bool edited_image(struct image *img, const char *base, const char *edits)
{
	char path[256];
	bool ok;

	snprintf(path, sizeof(path), "tests/images/broken/%s.hdr.xz", base);
	ok = image_load(img, path, IMAGE_TEST_BYTES) && (!*edits || image_edit(img, edits));
	CHECK_MSG(ok, "%s: the base or an edit is wrong: %s", base, edits);
	return ok;
}

/* NULL and a failed check unless it loads. */
static inline struct luks_header *load_edited(const char *base, const char *edits)
{
	struct luks_header *h = NULL;
	struct image img = { 0 };
	struct err e = { 0 };
	int r;

	if (edited_image(&img, base, edits)) {
		r = luks_parse(img.data, img.len, img.device_bytes, &h, &e);
		CHECK_MSG(!r, "%s: %s", edits, err_text(&e));
	}
	image_free(&img);
	return h;
}

static inline void expect_loads(const char *base, const char *edits)
{
	luks_free(load_edited(base, edits));
}

static inline void expect_refused(const char *base, const char *edits, const char *sentence)
{
	struct luks_header *h = NULL;
	struct image img = { 0 };
	struct err e = { 0 };
	int r;

	if (edited_image(&img, base, edits)) {
		r = luks_parse(img.data, img.len, img.device_bytes, &h, &e);
		if (!r) /* it may be looked at, and that is all */
			r = luks_check_usable(h, &e);
		CHECK_MSG(r == -EBADMSG, "%s: %d (%s)", edits, r, err_text(&e));
		CHECK_MSG(strstr(err_text(&e), sentence), "%s: \"%s\" doesn't say \"%s\"", edits,
			  err_text(&e), sentence);
	}
	luks_free(h);
	image_free(&img);
}

/* It loads, and then luks_check_usable says @code. */
static inline void expect_unusable(const char *base, const char *edits, int code,
				   const char *sentence)
{
	struct luks_header *h = load_edited(base, edits);
	struct err e = { 0 };
	int r;

	if (!h)
		return;
	r = luks_check_usable(h, &e);
	CHECK_MSG(r == code, "%s: %d (%s)", edits, r, err_text(&e));
	CHECK_MSG(strstr(err_text(&e), sentence), "%s: \"%s\" doesn't say \"%s\"", edits,
		  err_text(&e), sentence);
	luks_free(h);
}
