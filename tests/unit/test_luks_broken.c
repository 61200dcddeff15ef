// SPDX-License-Identifier: Apache-2.0
// The table of broken headers, tests/images/broken/cases.tsv: each case's verdict and sentence.
//   test_luks_broken --write DIR    leaves each as an image, for compare.py to show to cryptsetup
//   test_luks_broken --judge IMAGE  lines of edits come in; each goes into the image as it was
//   first, and
//                                   a line goes out that says what we would map of it, and with
//                                   which key
#include <errno.h>
#include <fcntl.h>

#include <cryptvol/base.h>
#include <cryptvol/luks.h>
#include <cryptvol/secret.h>

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

/* ---- what we would map ---- */

#define JUDGE_PASSPHRASE "passphrase"

static struct secret *judge_passphrase;
static struct crypto_kdf *judge_kdf;

/* As an open goes: the plan, the cipher, the size on this device, then the key. */
static int judge(int fd, uint64_t device_bytes, struct luks_plan *plan, char ret_key[65],
		 struct err *e)
{
	const struct luks_io io = { .fd = fd, .no_locks = true };
	const struct luks_unlock u = { .passphrase = judge_passphrase,
				       .keyslot = LUKS_ANY,
				       .segment = LUKS_ANY };
	_cleanup_luks_ struct luks_header *h = NULL;
	struct secret *key = NULL;
	uint8_t sum[CRYPTO_HASH_MAX_BYTES];
	int slot, r;

	r = luks_load(&io, &h, e);
	r = r ?: luks_make_plan(h, plan, e);
	r = r ?: crypto_cipher_check(plan->encryption, plan->key_bytes, false, e);
	if (!r && (!plan->offset_bytes || plan->offset_bytes >= device_bytes ||
		   (!plan->dynamic && plan->size_bytes != device_bytes - plan->offset_bytes)))
		r = err_set(e, -EINVAL, "it isn't what the device leaves");
	r = r ?: luks_unlock_keyslot(&io, h, judge_kdf, &u, &key, &slot, e);
	if (!r && key->len != plan->key_bytes)
		r = err_set(e, -EBADMSG, "the key has another size");
	if (!r) {
		struct crypto_iov iov = { key->data, key->len };

		r = crypto_hash("sha256", &iov, 1, sum, e);
		text_hex(sum, 32, ret_key);
	}
	secret_free(key);
	return r;
}

static bool judge_line(const struct image *base, int fd, const char *edits)
{
	struct image img = *base;
	struct luks_plan plan;
	struct err e = { 0 };
	char key[65] = "";
	bool ok;

	img.data = malloc(img.len);
	if (!img.data)
		return false;
	memcpy(img.data, base->data, img.len);
	ok = image_edit(&img, edits);
	if (ok && pwrite(fd, img.data, img.len, 0) != (ssize_t)img.len)
		abort();
	if (!ok)
		printf("edit\n");
	else if (judge(fd, img.device_bytes, &plan, key, &e))
		printf("no %s\n", err_text(&e));
	else
		printf("map %s %u %llu %u %s\n", plan.encryption, plan.key_bytes,
		       (unsigned long long)plan.offset_bytes, plan.sector_size_bytes, key);
	fflush(stdout);
	free(img.data);
	return true;
}

static int judge_lines(const char *path)
{
	struct image base = { .len = BASE_BYTES };
	size_t cap = 0;
	char *line = NULL;
	int fd = open(path, O_RDWR | O_CLOEXEC);

	base.data = calloc(1, base.len);
	if (fd < 0 || !base.data || pread(fd, base.data, base.len, 0) != (ssize_t)base.len ||
	    io_size(fd, &base.device_bytes, NULL) ||
	    crypto_kdf_new(&(struct crypto_kdf_config){ 0 }, &judge_kdf, NULL) ||
	    secret_new(sizeof(JUDGE_PASSPHRASE) - 1, &judge_passphrase, NULL))
		return 1;
	memcpy(judge_passphrase->data, JUDGE_PASSPHRASE, sizeof(JUDGE_PASSPHRASE) - 1);
	judge_passphrase->len = sizeof(JUDGE_PASSPHRASE) - 1;
	while (getline(&line, &cap, stdin) > 0) {
		line[strcspn(line, "\n")] = '\0';
		if (!judge_line(&base, fd, line))
			return 1;
	}
	secret_free(judge_passphrase);
	crypto_kdf_free(judge_kdf);
	free(line);
	image_free(&base);
	close(fd);
	return 0;
}

int main(int argc, char **argv)
{
	if (argc == 3 && !strcmp(argv[1], "--judge"))
		return judge_lines(argv[2]);
	if (argc == 3 && !strcmp(argv[1], "--write"))
		return each_case(argv[2]);
	return each_case(NULL);
}
