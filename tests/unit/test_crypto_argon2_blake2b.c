// SPDX-License-Identifier: Apache-2.0
// BLAKE2b without a key, against vectors and against libcrypto.
#include <cryptvol/crypto.h>

#include "crypto/blake2b.h"
#include "crypto_vectors.h"

static void each_vector(char **f)
{
	unsigned char in[VECTOR_BYTES_MAX], want[VECTOR_BYTES_MAX], out[BLAKE2B_MAX_BYTES];
	size_t len = vector_bytes(f[0], in), out_len = vector_bytes(f[1], want);
	struct blake2b s;
	char name[48];

	snprintf(name, sizeof(name), "blake2b_%zu_to_%zu", len, out_len);
	REQUIRE(out_len >= 1 && out_len <= BLAKE2B_MAX_BYTES);
	crypto_blake2b_init(&s, out_len);
	crypto_blake2b_update(&s, in, len);
	crypto_blake2b_final(&s, out);
	CHECK_MEM(out, want, out_len);
	check_report(name);
}

/* However the data is cut into pieces. */
static void pieces(void)
{
	unsigned char data[600], want[CRYPTO_HASH_MAX_BYTES], out[BLAKE2B_MAX_BYTES];
	struct blake2b s;

	REQUIRE(!crypto_random(data, sizeof(data), NULL));
	for (size_t len = 0; len <= sizeof(data); len++) {
		struct crypto_iov v = { data, len };

		REQUIRE(!crypto_hash("blake2b-512", &v, 1, want, NULL));
		for (size_t piece = 1; piece < 300; piece += 63) {
			crypto_blake2b_init(&s, sizeof(out));
			for (size_t at = 0; at < len; at += piece)
				crypto_blake2b_update(&s, data + at,
						      len - at < piece ? len - at : piece);
			crypto_blake2b_final(&s, out);
			CHECK_MSG(!memcmp(out, want, sizeof(out)), "%zu bytes in pieces of %zu",
				  len, piece);
		}
	}
}

int main(void)
{
	if (vectors_run("blake2b.txt", 2, each_vector) < 10) {
		CHECK_MSG(false, "vectors are missing");
		check_report("blake2b_vectors");
	}
	RUN(pieces);
	return check_exit();
}
