// SPDX-License-Identifier: Apache-2.0
// The table of broken headers, tests/images/broken/cases.tsv: each case's verdict and sentence.
//   test_luks_broken --write DIR   leaves each as an image, for compare.py to show to cryptsetup
#include <errno.h>

#include <cryptvol/base.h>
#include <cryptvol/luks.h>

#include "check.h"
#include "luks_image.h"

#define DIR_BROKEN "tests/images/broken"
#define BASE_BYTES 65536u
#define CASES_MIN 200

struct broken_case {
	char *name, *base, *edits, *ours, *message;
};

/* "EBADMSG" -> -EBADMSG; "OK" -> 0. Names of errno are the table's, not the library's. */
static int errno_of(const char *name)
{
	static const struct {
		const char *name;
		int code;
	} codes[] = {
		{ "OK", 0 },	 { "EBADMSG", -EBADMSG },	{ "EMEDIUMTYPE", -EMEDIUMTYPE },
		{ "EIO", -EIO }, { "EOPNOTSUPP", -EOPNOTSUPP }, { "ETXTBSY", -ETXTBSY },
	};

	for (size_t i = 0; i < sizeof(codes) / sizeof(codes[0]); i++)
		if (!strcmp(name, codes[i].name))
			return codes[i].code;
	return 1;
}

static bool load_case(const struct broken_case *c, struct image *img)
{
	char path[256];

	snprintf(path, sizeof(path), DIR_BROKEN "/%s.hdr.xz", c->base);
	return image_load(img, path, BASE_BYTES) && image_edit(img, c->edits);
}

/* "EBADMSG" concerns loading, "OK ETXTBSY": loads, and then luks_check_usable refuses. */
static void run_case(const struct broken_case *c)
{
	_cleanup_luks_ struct luks_header *h = NULL;
	char ours[64], *usable;
	struct err e = { 0 };
	struct image img = { 0 };
	int r;

	snprintf(ours, sizeof(ours), "%s", c->ours);
	usable = strchr(ours, ' ');
	if (usable)
		*usable++ = '\0';
	CHECK_MSG(load_case(c, &img), "the base or an edit is wrong: %s", c->edits);
	if (check_this_failed)
		goto out;
	if (img.device_bytes < img.len)
		img.len = (size_t)img.device_bytes;
	r = luks_parse(img.data, img.len, img.device_bytes, &h, &e);
	CHECK_MSG(r == errno_of(ours), "%d (%s), not %s", r, err_text(&e), ours);
	if (!r && usable) {
		r = luks_check_usable(h, &e);
		CHECK_MSG(r == errno_of(usable), "usable: %d, not %s", r, usable);
	}
	if (r)
		CHECK_CONTAINS(err_text(&e), c->message);
	if (r == -EBADMSG)
		CHECK_MSG(e.text[0], "an error without a sentence");
out:
	image_free(&img);
}

static bool write_case(const struct broken_case *c, const char *dir)
{
	struct image img = { 0 };
	char path[512];
	size_t len;
	FILE *f;
	bool ok;

	ok = load_case(c, &img);
	snprintf(path, sizeof(path), "%s/%s.img", dir, c->name);
	f = ok ? fopen(path, "w") : NULL;
	len = img.device_bytes < img.len ? (size_t)img.device_bytes : img.len;
	ok = f && fwrite(img.data, 1, len, f) == len && !fflush(f) &&
	     !ftruncate(fileno(f), (off_t)img.device_bytes);
	if (f)
		fclose(f);
	if (!ok)
		printf("FAIL %s: can't be written\n", path);
	image_free(&img);
	return ok;
}

/* The next field of a line of tabs. */
static char *field(char **line)
{
	char *f = strsep(line, "\t");

	return f ? f : (char *)(uintptr_t) "";
}

static int each_case(const char *write_dir)
{
	size_t cap = 0, n = 0;
	char *line = NULL;
	bool ok = true;
	FILE *f = fopen(DIR_BROKEN "/cases.tsv", "r");

	if (!f) {
		printf("FAIL %s/cases.tsv: can't be opened; run from the top of the tree\n",
		       DIR_BROKEN);
		return 1;
	}
	while (getline(&line, &cap, f) > 0) {
		char *rest = line;
		struct broken_case c;

		line[strcspn(line, "\n")] = '\0';
		if (line[0] == '#' || !line[0])
			continue;
		c.name = field(&rest);
		c.base = field(&rest);
		c.edits = field(&rest);
		c.ours = field(&rest);
		c.message = field(&rest);
		n++;
		if (write_dir)
			ok = write_case(&c, write_dir) && ok;
		else
			RUN_CASE(c.name, run_case(&c));
	}
	free(line);
	fclose(f);
	if (n < CASES_MIN) {
		printf("FAIL cases: %zu are fewer than %d\n", n, CASES_MIN);
		return 1;
	}
	return write_dir ? !ok : check_exit();
}

int main(int argc, char **argv)
{
	if (argc == 3 && !strcmp(argv[1], "--write"))
		return each_case(argv[2]);
	return each_case(NULL);
}
