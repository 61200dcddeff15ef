// SPDX-License-Identifier: Apache-2.0
// Secrets: made, read straight from a descriptor, compared, wiped on free. Their pages:
// secret_pages.c
#include <cryptvol/base.h>

#include "secret_pages.h"

#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/resource.h>

#define READ_FIRST_BYTES 4096u /* most passphrases and keys */
#define READ_CHUNK_BYTES (64u * 1024)

static size_t data_bytes(size_t cap)
{
	size_t p = (size_t)sysconf(_SC_PAGESIZE);

	return cap ? (cap + p - 1) / p * p : p;
}

int secret_new(size_t cap, struct secret **ret, struct err *e)
{
	struct secret *s;

	if (cap > SIZE_MAX / 2)
		return err_set(e, -ENOMEM, "a secret of %zu bytes is too long", cap);
	s = calloc(1, sizeof(*s));
	if (s)
		s->data = secret_pages_get(data_bytes(cap));
	if (!s || !s->data) {
		free(s);
		return err_set(e, -ENOMEM, "no memory for a secret of %zu bytes", cap);
	}
	s->cap = cap;
	*ret = s;
	return 0;
}

void secret_free(struct secret *s)
{
	if (!s)
		return;
	secret_pages_put(s->data, data_bytes(s->cap));
	free(s);
}

void secret_freep(struct secret **s)
{
	secret_free(*s);
}

int secret_random(size_t len, struct secret **ret, struct err *e)
{
	struct secret *s;
	size_t done = 0;
	int r;

	r = secret_new(len, &s, e);
	if (r)
		return r;
	while (done < len) {
		ssize_t n = getrandom(s->data + done, len - done, 0);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0) {
			r = -errno;
			secret_free(s);
			return err_sys(e, r, "no random numbers from the kernel");
		}
		done += (size_t)n;
	}
	s->len = len;
	*ret = s;
	return 0;
}

int secret_from_bytes(void *src, size_t len, struct secret **ret, struct err *e)
{
	struct secret *s;
	int r;

	r = secret_new(len, &s, e);
	if (!r) {
		memcpy(s->data, src, len);
		s->len = len;
		*ret = s;
	}
	explicit_bzero(src, len);
	return r;
}

/* Grow by moving into a bigger mapping; the old one is wiped. */
static int secret_grow(struct secret **s, size_t cap, struct err *e)
{
	struct secret *bigger;
	int r;

	r = secret_new(cap, &bigger, e);
	if (r)
		return r;
	memcpy(bigger->data, (*s)->data, (*s)->len);
	bigger->len = (*s)->len;
	secret_free(*s);
	*s = bigger;
	return 0;
}

/* One read(2) into the free room; *ret_n = 0 at the end of the file. */
static int read_some(int fd, struct secret *s, size_t max, size_t *ret_n, struct err *e)
{
	ssize_t n;

	do
		n = read(fd, s->data + s->len, max);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return err_sys(e, -errno, "reading a key failed");
	s->len += (size_t)n;
	*ret_n = (size_t)n;
	return 0;
}

/* Fill up to @max bytes, then, unless @exact, see whether there is one more. */
static int read_to_end(int fd, size_t max, bool exact, struct secret **s, struct err *e)
{
	size_t n = 1, limit = exact ? max : max + 1;
	int r;

	while ((*s)->len < limit && n > 0) {
		if ((*s)->len == (*s)->cap) {
			size_t cap = (*s)->cap < READ_CHUNK_BYTES ? READ_CHUNK_BYTES
								  : (*s)->cap * 2;

			r = secret_grow(s, cap > limit ? limit : cap, e);
			if (r)
				return r;
		}
		r = read_some(fd, *s, (*s)->cap - (*s)->len, &n, e);
		if (r)
			return r;
	}
	if (exact && (*s)->len < max)
		return err_set(e, -EINVAL, "the key is too short: %zu of %zu bytes", (*s)->len,
			       max);
	if (!exact && (*s)->len > max)
		return err_set(e, -EFBIG, "the key is longer than %zu bytes", max);
	return 0;
}

int secret_read_fd(int fd, size_t max, bool exact, struct secret **ret, struct err *e)
{
	_cleanup_secret_ struct secret *s = NULL;
	size_t limit = exact ? max : max + 1;
	int r;

	r = secret_new(limit < READ_FIRST_BYTES ? limit : READ_FIRST_BYTES, &s, e);
	if (r)
		return r;
	r = read_to_end(fd, max, exact, &s, e);
	if (r)
		return r;
	*ret = s;
	s = NULL;
	return 0;
}

int secret_read_line(int fd, size_t max, struct secret **ret, struct err *e)
{
	_cleanup_secret_ struct secret *s = NULL;
	bool newline = false;
	int r;

	r = secret_new(4096, &s, e);
	if (r)
		return r;
	while (s->len < max) {
		size_t n;

		if (s->len == s->cap) {
			r = secret_grow(&s, s->cap * 2, e);
			if (r)
				return r;
		}
		r = read_some(fd, s, 1, &n, e);
		if (r)
			return r;
		if (n == 0)
			break;
		if (s->data[s->len - 1] == '\n') {
			s->data[--s->len] = '\0';
			newline = true;
			break;
		}
	}
	if (s->len == 0 && !newline)
		return err_set(e, -ENODATA, "Nothing to read on input.");
	*ret = s;
	s = NULL;
	return 0;
}

bool secret_equal(const struct secret *a, const struct secret *b)
{
	volatile unsigned char diff = 0;

	if (a->len != b->len)
		return false;
	for (size_t i = 0; i < a->len; i++)
		diff |= a->data[i] ^ b->data[i];
	return diff == 0;
}

void secret_wipe(void *p, size_t len)
{
	explicit_bzero(p, len);
}

int secret_process_init(struct err *e)
{
	struct rlimit none = { 0, 0 };

	if (setrlimit(RLIMIT_CORE, &none))
		return err_sys(e, -errno, "core dumps can't be turned off");
	if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0))
		return err_sys(e, -errno, "this process can't be made undumpable");
	return 0;
}
