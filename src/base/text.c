// SPDX-License-Identifier: Apache-2.0
// Numbers, sizes, UUIDs, hex and base64: strict parsers, no locale.
#include <cryptvol/base.h>

#include <stdio.h>

#include <sys/random.h>

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

/* All ones where @from <= @v < @to, all of them small. */
static uint32_t in_range(uint32_t v, uint32_t from, uint32_t to)
{
	return 0u - ((v - to) >> 31 & ~((v - from) >> 31) & 1);
}

/* Keys pass through here: neither a branch nor a table by what the character is. -1: no digit. */
static int hex_value(char c)
{
	uint32_t u = (unsigned char)c, lower = u | 0x20;
	uint32_t decimal = in_range(u, '0', '9' + 1), letter = in_range(lower, 'a', 'f' + 1);

	return (int)((decimal & (u - '0')) | (letter & (lower - 'a' + 10)) | ~(decimal | letter));
}

static char hex_digit(unsigned int v)
{
	return (char)('0' + v + ((9 - v) >> 8 & ('a' - '0' - 10)));
}

/* Digits from @s on; *ret_end is the first character that is none. */
static int parse_digits(const char *s, uint64_t *ret, const char **ret_end)
{
	uint64_t v = 0;

	if (!s || !is_digit(*s))
		return -EINVAL;
	for (; is_digit(*s); s++)
		if (__builtin_mul_overflow(v, 10u, &v) ||
		    __builtin_add_overflow(v, (uint64_t)(*s - '0'), &v))
			return -ERANGE;
	*ret = v;
	*ret_end = s;
	return 0;
}

int text_parse_u64(const char *s, uint64_t *ret)
{
	const char *end;
	uint64_t v;
	int r;

	r = parse_digits(s, &v, &end);
	if (r)
		return r;
	if (*end)
		return -EINVAL;
	*ret = v;
	return 0;
}

int text_parse_u32(const char *s, uint32_t *ret)
{
	uint64_t v;
	int r;

	r = text_parse_u64(s, &v);
	if (r)
		return r;
	if (v > UINT32_MAX)
		return -ERANGE;
	*ret = (uint32_t)v;
	return 0;
}

int text_parse_size(const char *s, uint64_t *ret_bytes)
{
	static const char units[] = "KMGT";
	const char *end, *u;
	uint64_t v, base = 1024;
	int r;

	r = parse_digits(s, &v, &end);
	if (r)
		return r;
	if (!*end || !strcasecmp(end, "B")) {
		*ret_bytes = v;
		return 0;
	}
	if (!strcasecmp(end, "S"))
		return __builtin_mul_overflow(v, SECTOR_SIZE_BYTES, ret_bytes) ? -ERANGE : 0;
	u = strchr(units, *end & ~0x20);
	if (!u || !*u)
		return -EINVAL;
	if (!strcasecmp(end + 1, "B"))
		base = 1000;
	else if (end[1] && strcasecmp(end + 1, "iB"))
		return -EINVAL;
	for (const char *p = units; p <= u; p++)
		if (__builtin_mul_overflow(v, base, &v))
			return -ERANGE;
	*ret_bytes = v;
	return 0;
}

bool text_uuid_valid(const char *s)
{
	for (size_t i = 0; i < 36; i++) {
		bool dash = i == 8 || i == 13 || i == 18 || i == 23;

		if (dash ? s[i] != '-' : hex_value(s[i]) < 0)
			return false;
	}
	return s[36] == '\0';
}

int text_uuid_random(char buf[37], struct err *e)
{
	static const char digits[] = "0123456789abcdef";
	uint8_t b[16];
	char *p = buf;

	if (getrandom(b, sizeof(b), 0) != (ssize_t)sizeof(b))
		return err_sys(e, -errno, "no random numbers from the kernel");
	b[6] = (uint8_t)((b[6] & 0x0f) | 0x40); /* RFC 4122 section 4.4: version 4, variant 10 */
	b[8] = (uint8_t)((b[8] & 0x3f) | 0x80);
	for (size_t i = 0; i < sizeof(b); i++) {
		if (i == 4 || i == 6 || i == 8 || i == 10)
			*p++ = '-';
		*p++ = digits[b[i] >> 4];
		*p++ = digits[b[i] & 15];
	}
	*p = '\0';
	return 0;
}

void text_hex(const void *bytes, size_t len, char *buf)
{
	const uint8_t *b = bytes;

	for (size_t i = 0; i < len; i++) {
		*buf++ = hex_digit(b[i] >> 4);
		*buf++ = hex_digit(b[i] & 15);
	}
	*buf = '\0';
}

int text_unhex(const char *s, void *ret, size_t cap, size_t *ret_len)
{
	return text_unhex_chars(s, strlen(s), ret, cap, ret_len);
}

int text_unhex_chars(const char *s, size_t n, void *ret, size_t cap, size_t *ret_len)
{
	uint8_t *out = ret;
	int all = 0;

	if (n % 2 || n / 2 > cap)
		return -EINVAL;
	for (size_t i = 0; i < n; i++)
		all |= hex_value(s[i]);
	if (all < 0)
		return -EINVAL;
	for (size_t i = 0; i < n / 2; i++)
		out[i] = (uint8_t)((unsigned int)hex_value(s[2 * i]) << 4 |
				   (unsigned int)hex_value(s[2 * i + 1]));
	*ret_len = n / 2;
	return 0;
}

static const char base64_alphabet[] =
	"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

char *text_base64_encode(const void *bytes, size_t len)
{
	const uint8_t *b = bytes;
	char *out, *p;

	out = malloc((len + 2) / 3 * 4 + 1);
	if (!out)
		return NULL;
	p = out;
	for (size_t i = 0; i < len; i += 3) {
		uint32_t v = (uint32_t)b[i] << 16;

		if (i + 1 < len)
			v |= (uint32_t)b[i + 1] << 8;
		if (i + 2 < len)
			v |= b[i + 2];
		*p++ = base64_alphabet[v >> 18];
		*p++ = base64_alphabet[v >> 12 & 63];
		*p++ = i + 1 < len ? base64_alphabet[v >> 6 & 63] : '=';
		*p++ = i + 2 < len ? base64_alphabet[v & 63] : '=';
	}
	*p = '\0';
	return out;
}

static int base64_value(char c)
{
	const char *p = c ? strchr(base64_alphabet, c) : NULL;

	return p ? (int)(p - base64_alphabet) : -1;
}

/* Four characters -> up to three bytes; padding only where @last. */
static int base64_quad(const char *s, bool last, uint8_t out[3], size_t *ret_n)
{
	size_t pad = last ? (size_t)(s[3] == '=') + (size_t)(s[2] == '=' && s[3] == '=') : 0;
	uint32_t v = 0;

	for (size_t i = 0; i < 4; i++) {
		int d = i < 4 - pad ? base64_value(s[i]) : 0;

		if (d < 0)
			return -EINVAL;
		v = v << 6 | (uint32_t)d;
	}
	if ((pad == 1 && (v & 0xff)) || (pad == 2 && (v & 0xffff)))
		return -EINVAL;
	out[0] = (uint8_t)(v >> 16);
	out[1] = (uint8_t)(v >> 8);
	out[2] = (uint8_t)v;
	*ret_n = 3 - pad;
	return 0;
}

int text_base64_decode(const char *s, uint8_t **ret, size_t *ret_len)
{
	size_t n = strlen(s), len = 0, got;
	uint8_t *out;
	int r;

	if (n % 4)
		return -EINVAL;
	out = malloc(n / 4 * 3 + 1);
	if (!out)
		return -ENOMEM;
	for (size_t i = 0; i < n; i += 4) {
		r = base64_quad(s + i, i + 4 == n, out + len, &got);
		if (r) {
			free(out);
			return r;
		}
		len += got;
	}
	*ret = out;
	*ret_len = len;
	return 0;
}

int text_copy(char *dst, size_t cap, const char *src)
{
	size_t n = strlen(src);

	if (n >= cap)
		return -ENAMETOOLONG;
	memcpy(dst, src, n + 1);
	return 0;
}

/* Bytes of a UTF-8 character that a terminal only shows at @s; 0: none (a control character, the
 * controls of U+0080 to U+009F, or no UTF-8). */
static size_t shown_bytes(const unsigned char *s)
{
	size_t n = s[0] < 0x80 ? 1 : s[0] < 0xc2 ? 0 : s[0] < 0xe0 ? 2 : s[0] < 0xf0 ? 3 : 4;

	if (s[0] < 0x20 || s[0] == 0x7f || s[0] > 0xf4 || (s[0] == 0xc2 && s[1] < 0xa0))
		return 0;
	for (size_t i = 1; i < n; i++)
		if ((s[i] & 0xc0) != 0x80)
			return 0;
	return n;
}

char *text_shown(const char *text, char *buf, size_t cap)
{
	const unsigned char *s = (const unsigned char *)text;
	size_t at = 0;

	while (*s) {
		size_t n = shown_bytes(s);

		if (at + (n ?: 4) >= cap)
			break;
		if (n)
			memcpy(buf + at, s, n);
		else
			snprintf(buf + at, cap - at, "\\x%02x", *s);
		at += n ?: 4;
		s += n ?: 1;
	}
	buf[at] = '\0';
	return buf;
}
