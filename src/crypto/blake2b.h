// SPDX-License-Identifier: Apache-2.0
// BLAKE2b without a key (RFC 7693), as argon2 uses it.
#pragma once

#include <stddef.h>
#include <stdint.h>

#define BLAKE2B_BLOCK_BYTES 128
#define BLAKE2B_MAX_BYTES 64
/* RFC 7693, 2.1: R1 to R4. Argon2's round (RFC 9106, 3.6) has them too. */
#define BLAKE2B_R1 32
#define BLAKE2B_R2 24
#define BLAKE2B_R3 16
#define BLAKE2B_R4 63

struct blake2b {
	uint64_t h[8], counted_bytes[2];
	unsigned char block[BLAKE2B_BLOCK_BYTES];
	size_t block_len, out_len;
};

/** crypto_blake2b_init / _update / _final - a digest of @out_len bytes, 1 to 64. _final wipes @s.
 */
void crypto_blake2b_init(struct blake2b *s, size_t out_len);
void crypto_blake2b_update(struct blake2b *s, const void *data, size_t len);
void crypto_blake2b_final(struct blake2b *s, unsigned char *out);
