// SPDX-License-Identifier: Apache-2.0
// Hex against libc's: every byte, every character in every place.
#include <cryptvol/base.h>
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>

#include "check.h"

static void hex_of_every_byte(void)
{
	for (unsigned int v = 0; v < 256; v++) {
		unsigned char byte = (unsigned char)v;
		char got[3], want[3];

		text_hex(&byte, 1, got);
		snprintf(want, sizeof(want), "%02x", v);
		CHECK_STR(got, want);
	}
}

static void unhex_of_every_pair(void)
{
	for (unsigned int v = 0; v < 65536; v++) {
		char s[3] = { (char)(v >> 8), (char)v, '\0' };
		bool fine = isxdigit((unsigned char)s[0]) && isxdigit((unsigned char)s[1]);
		unsigned char got = 0xa5;
		size_t len = 77;

		CHECK_INT(text_unhex_chars(s, 2, &got, 1, &len), fine ? 0 : -EINVAL);
		CHECK_INT(got, fine ? (int)strtoul(s, NULL, 16) : 0xa5);
		CHECK_INT(len, fine ? 1 : 77);
	}
}

static void unhex_refused(void)
{
	unsigned char got[2] = { 1, 2 };
	size_t len;

	CHECK_INT(text_unhex("abc", got, 2, &len), -EINVAL);
	CHECK_INT(text_unhex("aabbcc", got, 2, &len), -EINVAL);
	CHECK_INT(text_unhex("aabg", got, 2, &len), -EINVAL);
	CHECK_INT(got[0], 1);
	CHECK_INT(text_unhex("", got, 2, &len), 0);
	CHECK_INT(len, 0);
	CHECK_INT(text_unhex("FfA0", got, 2, &len), 0);
	CHECK_INT(len, 2);
	CHECK_INT(got[0] << 8 | got[1], 0xffa0);
}

int main(void)
{
	RUN(hex_of_every_byte);
	RUN(unhex_of_every_pair);
	RUN(unhex_refused);
	return check_exit();
}
