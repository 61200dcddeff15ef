// SPDX-License-Identifier: Apache-2.0
// Inside argon2 (RFC 9106): the memory as a matrix of blocks, and the cores that fill it.
#pragma once

#include <stdbool.h>
#include <stdint.h>

#define ARGON2_WORDS 128
#define ARGON2_BLOCK_BYTES (8 * ARGON2_WORDS)
#define ARGON2_SLICES 4
#define ARGON2_VERSION 0x13
#define ARGON2_TYPE_I 1
#define ARGON2_TYPE_ID 2

struct argon2_block {
	uint64_t v[ARGON2_WORDS];
} __attribute__((aligned(64)));

/** The whole of a derivation's memory: a lane behind the other. Counts are blocks. */
struct argon2_matrix {
	struct argon2_block *blocks;
	uint32_t lanes, lane_blocks, segment_blocks, passes, type;
	const _Atomic bool *stop; /* NULL, or cores leave a segment soon after it is set */
};

/** Where in time: one slice of all lanes, between two points where the threads meet. */
struct argon2_moment {
	uint32_t pass, slice;
};

/**
 * struct argon2_core - a way to fill segments, for one kind of processor. @usable: this processor
 * has the instructions and the system saves its registers. @fill: @n lanes (1 or 2) from @lane on,
 * in turn, so that one's memory is on its way while another is worked on.
 */
struct argon2_core {
	const char *name;
	bool (*usable)(void);
	void (*fill)(const struct argon2_matrix *m, struct argon2_moment now, uint32_t lane,
		     unsigned int n);
};

/** crypto_argon2_core - number @i, the fastest first and the portable one last; NULL behind it. */
const struct argon2_core *crypto_argon2_core(unsigned int i);
/** crypto_argon2_best - the first that is usable. */
const struct argon2_core *crypto_argon2_best(void);

extern const struct argon2_core crypto_argon2_portable;
extern const struct argon2_core crypto_argon2_avx2, crypto_argon2_avx512, crypto_argon2_neon;

struct crypto_pbkdf;
struct crypto_arena;
struct crypto_argon2_input;
struct secret;
struct err;

/** crypto_argon2_by - crypto_argon2 with a given core. */
int crypto_argon2_by(const struct argon2_core *core, unsigned int cpus,
		     const struct crypto_pbkdf *p, struct crypto_arena *arena,
		     const struct crypto_argon2_input *in, struct secret *key, struct err *e);
