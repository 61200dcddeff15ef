// SPDX-License-Identifier: Apache-2.0
// JSON as it comes from a file, in a buffer, with the SHA-256 of all of it: a manifest of a big
// volume is too much to have in memory.
#include "internal.h"

#include <ctype.h>

#define DEPTH_MAX 16u
#define END (-1)

void scan_begin(struct scan *s, int fd, uint64_t at)
{
	s->fd = fd;
	s->file_at = at;
	s->failed = 0;
	s->at = s->n = 0;
	crypto_sha256_begin(&s->sum);
}

static bool fill(struct scan *s)
{
	ssize_t n;

	if (!s->failed)
		s->failed = watch_stop(s->watch, NULL);
	if (s->failed)
		return false;
	do
		n = pread(s->fd, s->buf, sizeof(s->buf), (off_t)s->file_at);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		s->failed = -errno;
	if (n <= 0)
		return false;
	crypto_sha256_add(&s->sum, s->buf, (size_t)n);
	s->file_at += (size_t)n;
	s->at = 0;
	s->n = (size_t)n;
	return true;
}

static int peek(struct scan *s)
{
	return s->at < s->n || fill(s) ? (unsigned char)s->buf[s->at] : END;
}

static int get(struct scan *s)
{
	int c = peek(s);

	s->at += c != END;
	return c;
}

int scan_peek(struct scan *s)
{
	int c;

	while ((c = peek(s)) == ' ' || c == '\t' || c == '\n' || c == '\r')
		s->at++;
	return c;
}

bool scan_take(struct scan *s, int c)
{
	if (scan_peek(s) != c)
		return false;
	s->at++;
	return true;
}

/* A code point of "\u"; what stands in a manifest has none beyond ASCII. */
static int get_code(struct scan *s)
{
	char hex[5] = "";
	uint8_t code[2];
	size_t n = 0;

	for (size_t i = 0; i < 4; i++) {
		int c = get(s);

		if (c == END)
			return END;
		hex[i] = (char)c;
	}
	return text_unhex(hex, code, sizeof(code), &n) || n != 2 || code[0] || !code[1] ||
			       code[1] > 0x7f
		       ? END
		       : code[1];
}

static int get_escaped(struct scan *s)
{
	static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
	int c = get(s);
	const char *found = c > 0 ? strchr(from, c) : NULL;

	if (c == 'u')
		return get_code(s);
	return found ? to[found - from] : END;
}

bool scan_string(struct scan *s, char *ret, size_t cap, size_t *ret_len)
{
	size_t n = 0;
	int c;

	if (!scan_take(s, '"'))
		return false;
	while ((c = get(s)) != '"') {
		if (c == '\\')
			c = get_escaped(s);
		else if (c != END && c < 0x20)
			return false;
		if (c == END)
			return false;
		if (n + 1 < cap)
			ret[n] = (char)c;
		n++;
	}
	if (cap)
		ret[n < cap ? n : cap - 1] = '\0';
	*ret_len = n;
	return true;
}

bool scan_number(struct scan *s, uint64_t *ret)
{
	char digits[24];
	size_t n = 0;

	for (int c = scan_peek(s); n + 1 < sizeof(digits) && isdigit(c); c = peek(s)) {
		digits[n++] = (char)c;
		s->at++;
	}
	digits[n] = '\0';
	return !text_parse_u64(digits, ret) && *ret <= INT64_MAX && strcspn(digits, "0") >= (n > 1);
}

/* What a number or a literal goes on with. */
static bool is_word(int c)
{
	return isalnum(c) || c == '.' || c == '-' || c == '+';
}

bool scan_skip(struct scan *s)
{
	unsigned int depth = 0;
	size_t len;
	int c;

	do {
		c = scan_peek(s);
		if (c == '"') {
			if (!scan_string(s, NULL, 0, &len))
				return false;
			continue;
		}
		if (c == END || (strchr("}],:", c) && !depth))
			return false;
		depth += c == '{' || c == '[';
		depth -= c == '}' || c == ']';
		if (depth > DEPTH_MAX)
			return false;
		s->at++;
		while ((isalnum(c) || c == '-') && is_word(peek(s)))
			s->at++;
	} while (depth);
	return true;
}

void scan_end(struct scan *s, uint8_t ret[HASH_BYTES])
{
	while (fill(s))
		;
	crypto_sha256_end(&s->sum, ret);
}
