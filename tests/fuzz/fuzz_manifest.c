// SPDX-License-Identifier: Apache-2.0
// Fuzz target: a backup's manifest. An input is its JSON; the line with the checksum is made here.
// What is accepted reads the same a second time, its blocks in order and inside of the device.
#include <string.h>
#include <sys/mman.h>

#include "backup/internal.h"
#include "fuzz.h"

/* A pass over the blocks: their number, and a hash over them. */
static uint64_t pass(struct manifest *m, uint8_t ret[HASH_BYTES])
{
	struct crypto_sha256 sum;
	uint8_t hash[HASH_BYTES];
	uint64_t n = 0, at = 0, last = 0;
	struct err e = { 0 };
	int r;

	crypto_sha256_begin(&sum);
	while ((r = manifest_next(m, &at, hash, &e)) > 0) {
		if (at >= m->n_blocks || (n && at <= last))
			fuzz_fail("a block out of order or out of the device");
		crypto_sha256_add(&sum, &at, sizeof(at));
		crypto_sha256_add(&sum, hash, sizeof(hash));
		last = at;
		n++;
	}
	if (r)
		fuzz_fail(err_text(&e));
	crypto_sha256_end(&sum, ret);
	return n;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	uint8_t sum[HASH_BYTES], first[HASH_BYTES], second[HASH_BYTES];
	int fd = memfd_create("manifest", MFD_CLOEXEC), r;
	char line[HASH_HEX];
	struct err e = { 0 };
	struct manifest m;

	if (fd < 0 || store_hash(data, len, sum, &e))
		fuzz_fail("no file");
	text_hex(sum, HASH_BYTES, line);
	line[HASH_HEX - 1] = '\n';
	if (io_pwrite_full(fd, line, sizeof(line), 0, &e) ||
	    io_pwrite_full(fd, data, len, sizeof(line), &e))
		fuzz_fail(err_text(&e));
	fuzz_begin();
	r = manifest_open_fd(fd, NULL, &m, &e);
	if (r && !e.text[0])
		fuzz_fail("an error without a sentence");
	if (!r) {
		fuzz_accepted++;
		if (pass(&m, first) != pass(&m, second) || memcmp(first, second, HASH_BYTES) != 0)
			fuzz_fail("two passes differ");
		if (!memchr(m.info.volume, 0, sizeof(m.info.volume)) ||
		    !memchr(m.info.pin.digest, 0, sizeof(m.info.pin.digest)))
			fuzz_fail("a text without its end");
		manifest_clear(&m);
	}
	fuzz_end();
	return 0;
}
