// SPDX-License-Identifier: Apache-2.0
// Sealing and limits for the fuzz targets. The format is spelled out here without the room's code.
#include "fuzz.h"

#include <endian.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#include <openssl/evp.h>

unsigned long fuzz_accepted;

static uint64_t begin_ms;
static long first_rss_kib;

void fuzz_fail(const char *why)
{
	fprintf(stderr, "FUZZ FINDING: %s\n", why);
	abort();
}

static uint64_t cpu_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

static long max_rss_kib(void)
{
	struct rusage u;

	getrusage(RUSAGE_SELF, &u);
	return u.ru_maxrss;
}

void fuzz_begin(void)
{
	if (!first_rss_kib)
		first_rss_kib = max_rss_kib();
	begin_ms = cpu_ms();
}

void fuzz_end(void)
{
	if (cpu_ms() - begin_ms > FUZZ_CPU_MS_MAX)
		fuzz_fail("an input took too much time");
	if (max_rss_kib() - first_rss_kib > (long)FUZZ_RSS_GROWTH_MAX_MIB * 1024)
		fuzz_fail("an input took too much memory");
}

void fuzz_seal(uint8_t *copy, size_t header_bytes)
{
	unsigned int len = 0;
	uint8_t sum[EVP_MAX_MD_SIZE];

	memset(copy + 448, 0, 64);
	EVP_Digest(copy, header_bytes, sum, &len, EVP_sha256(), NULL);
	memcpy(copy + 448, sum, len);
}

static void put_be64(uint8_t *to, uint64_t v)
{
	v = htobe64(v);
	memcpy(to, &v, sizeof(v));
}

static void put_copy(uint8_t *copy, bool secondary, size_t header_bytes, const void *json,
		     size_t json_len)
{
	memcpy(copy, secondary ? "SKUL\xba\xbe\0\2" : "LUKS\xba\xbe\0\2", 8);
	put_be64(copy + 8, header_bytes);
	put_be64(copy + 16, 3);
	memcpy(copy + 72, "sha256", 6);
	memset(copy + 104, secondary, 64);
	memcpy(copy + 168, "c0ffee00-0000-4000-8000-000000000005", 36);
	put_be64(copy + 256, secondary ? header_bytes : 0);
	memcpy(copy + 4096, json, json_len);
	fuzz_seal(copy, header_bytes);
}

size_t fuzz_image(const void *json, size_t json_len, uint8_t **ret)
{
	size_t header_bytes = json_len < 12288 ? 16384 : 65536;
	uint8_t *image;

	if (json_len >= header_bytes - 4096)
		return 0;
	image = calloc(2, header_bytes);
	if (!image)
		return 0;
	put_copy(image, false, header_bytes, json, json_len);
	put_copy(image + header_bytes, true, header_bytes, json, json_len);
	*ret = image;
	return 2 * header_bytes;
}
