// SPDX-License-Identifier: Apache-2.0
// argon2i and argon2id (RFC 9106), version 0x13: what goes into the matrix, who fills it, what
// comes out.
#include "argon2.h"

#include "blake2b.h"
#include "crew.h"
#include "internal.h"

#include <endian.h>

#define LANE_MIN_BLOCKS (2 * ARGON2_SLICES)
/* Less than this a segment takes less time than the threads' meeting behind it. */
#define SEGMENT_MIN_BLOCKS 64

/* ---- 3.2 and 3.3: hashes of variable length ---- */

static void add_u32(struct blake2b *b, uint32_t v)
{
	uint32_t le = htole32(v);

	crypto_blake2b_update(b, &le, sizeof(le));
}

static void add_field(struct blake2b *b, const void *data, size_t len)
{
	add_u32(b, (uint32_t)len);
	crypto_blake2b_update(b, data, len);
}

/* H': from a digest that @b is in the middle of, to @len bytes. It has begun with the length. */
static void hash_on(struct blake2b *b, unsigned char *out, size_t len)
{
	unsigned char v[BLAKE2B_MAX_BYTES];
	const size_t half = sizeof(v) / 2;

	if (len <= sizeof(v)) {
		crypto_blake2b_final(b, out);
		return;
	}
	crypto_blake2b_final(b, v);
	for (; len > sizeof(v); out += half, len -= half) {
		memcpy(out, v, half);
		crypto_blake2b_init(b, len - half > sizeof(v) ? sizeof(v) : len - half);
		crypto_blake2b_update(b, v, sizeof(v));
		if (len - half > sizeof(v))
			crypto_blake2b_final(b, v);
	}
	crypto_blake2b_final(b, out);
	explicit_bzero(v, sizeof(v));
}

static void hash_begin(struct blake2b *b, size_t len)
{
	crypto_blake2b_init(b, len < BLAKE2B_MAX_BYTES ? len : BLAKE2B_MAX_BYTES);
	add_u32(b, (uint32_t)len);
}

static void words_from_le(struct argon2_block *b)
{
	for (unsigned int i = 0; i < ARGON2_WORDS; i++)
		b->v[i] = le64toh(b->v[i]);
}

/* H0, and the first two blocks of each lane from it. */
static void begin(const struct argon2_matrix *m, uint32_t memory_kib,
		  const struct crypto_argon2_input *in, uint32_t key_len)
{
	unsigned char h0[BLAKE2B_MAX_BYTES];
	struct blake2b b;

	crypto_blake2b_init(&b, sizeof(h0));
	add_u32(&b, m->lanes);
	add_u32(&b, key_len);
	add_u32(&b, memory_kib);
	add_u32(&b, m->passes);
	add_u32(&b, ARGON2_VERSION);
	add_u32(&b, m->type);
	add_field(&b, in->pass->data, in->pass->len);
	add_field(&b, in->salt.data, in->salt.len);
	add_field(&b, in->secret.data, in->secret.len);
	add_field(&b, in->ad.data, in->ad.len);
	crypto_blake2b_final(&b, h0);
	for (uint32_t lane = 0; lane < m->lanes; lane++) {
		for (uint32_t i = 0; i < 2; i++) {
			struct argon2_block *to = m->blocks + (size_t)lane * m->lane_blocks + i;

			hash_begin(&b, sizeof(*to));
			crypto_blake2b_update(&b, h0, sizeof(h0));
			add_u32(&b, i);
			add_u32(&b, lane);
			hash_on(&b, (unsigned char *)to->v, sizeof(*to));
			words_from_le(to);
		}
	}
	explicit_bzero(h0, sizeof(h0));
}

static struct argon2_block *last_of(const struct argon2_matrix *m, uint32_t lane)
{
	return m->blocks + (size_t)(lane + 1) * m->lane_blocks - 1;
}

static void wipe_last(const struct argon2_matrix *m)
{
	for (uint32_t lane = 0; lane < m->lanes; lane++)
		explicit_bzero(last_of(m, lane), sizeof(struct argon2_block));
}

/* The key from the XOR of all lanes' last blocks, which are wiped: the rest is by now. */
static void finish(const struct argon2_matrix *m, struct secret *key)
{
	struct argon2_block *sum = last_of(m, 0);
	struct blake2b b;

	for (uint32_t lane = 1; lane < m->lanes; lane++)
		for (unsigned int i = 0; i < ARGON2_WORDS; i++)
			sum->v[i] ^= last_of(m, lane)->v[i];
	for (unsigned int i = 0; i < ARGON2_WORDS; i++)
		sum->v[i] = htole64(sum->v[i]);
	hash_begin(&b, key->cap);
	crypto_blake2b_update(&b, sum->v, sizeof(*sum));
	hash_on(&b, key->data, key->cap);
	key->len = key->cap;
	wipe_last(m);
}

/* ---- who fills it ---- */

struct job {
	const struct argon2_core *core;
	const struct argon2_matrix *m;
	unsigned int step;	   /* lanes that a thread works on in turn: 1 or 2 */
	_Atomic uint64_t ended_at; /* the slice after which all leave */
};

static void fill_slice(const struct crypto_crew *c, unsigned int number, struct argon2_moment now)
{
	const struct job *j = c->arg;

	for (uint32_t lane = number * j->step; lane < j->m->lanes; lane += c->size * j->step) {
		unsigned int n = j->m->lanes - lane;

		j->core->fill(j->m, now, lane, n < j->step ? n : j->step);
	}
}

/* All but the last blocks, which the key is made from. */
static void wipe_lanes(const struct crypto_crew *c, unsigned int number)
{
	const struct argon2_matrix *m = ((const struct job *)c->arg)->m;

	for (uint32_t lane = number; lane < m->lanes; lane += c->size)
		explicit_bzero(m->blocks + (size_t)lane * m->lane_blocks,
			       (m->lane_blocks - 1) * sizeof(*m->blocks));
}

/* One of the threads decides for all whether to stop, before they meet, and names the slice: one
 * that leaves the meeting late must not take the next decision for this one. */
static void fill(struct crypto_crew *c, unsigned int number)
{
	struct job *j = c->arg;
	uint64_t slices = (uint64_t)j->m->passes * ARGON2_SLICES;

	for (uint64_t i = 0; i < slices && j->ended_at >= i; i++) {
		struct argon2_moment now = { (uint32_t)(i / ARGON2_SLICES), i % ARGON2_SLICES };

		fill_slice(c, number, now);
		if (number == 0 && j->m->stop && *j->m->stop)
			j->ended_at = i;
		crypto_crew_meet(c);
	}
	wipe_lanes(c, number);
}

/* Where segments are too short for several threads, one processor is all that there need be. */
static unsigned int useful_cpus(const struct crypto_pbkdf *p, unsigned int cpus)
{
	return p->memory_kib / (ARGON2_SLICES * p->parallel) < SEGMENT_MIN_BLOCKS ? 1 : cpus;
}

/* Lanes that one thread works on in turn: two where there are fewer processors than lanes. */
static unsigned int lanes_each(const struct crypto_pbkdf *p, unsigned int cpus)
{
	return useful_cpus(p, cpus) < p->parallel ? 2 : 1;
}

unsigned int crypto_argon2_threads(const struct crypto_pbkdf *p, unsigned int cpus)
{
	unsigned int step = lanes_each(p, cpus), most = (p->parallel + step - 1) / step;

	cpus = useful_cpus(p, cpus);
	return cpus < most ? cpus : most;
}

/* false: stopped. */
static bool fill_matrix(const struct argon2_core *core, unsigned int cpus,
			const struct crypto_pbkdf *p, const struct argon2_matrix *m)
{
	struct job j = {
		.core = core, .m = m, .step = lanes_each(p, cpus), .ended_at = UINT64_MAX
	};
	struct crypto_crew c = { .work = fill, .arg = &j };

	crypto_crew_run(&c, crypto_argon2_threads(p, cpus));
	return j.ended_at == UINT64_MAX;
}

bool crypto_argon2_can_stop(void)
{
	return true;
}

static int check(const struct crypto_pbkdf *p, const struct crypto_arena *arena,
		 const struct crypto_argon2_input *in, const struct secret *key, struct err *e)
{
	if (in->pass->len > UINT32_MAX || key->cap > UINT32_MAX || in->salt.len > UINT32_MAX)
		return err_set(e, -EINVAL, "passphrase, key or salt is too long for argon2");
	if (key->cap < 4 || in->salt.len < 8 || !p->iterations || !p->parallel ||
	    p->memory_kib / LANE_MIN_BLOCKS < p->parallel)
		return err_set(e, -EINVAL,
			       "argon2 has no key of %zu bytes, salt of %zu, time %u, memory %u "
			       "KiB and %u lanes",
			       key->cap, in->salt.len, p->iterations, p->memory_kib, p->parallel);
	if ((size_t)p->memory_kib * ARGON2_BLOCK_BYTES > arena->bytes)
		return err_set(e, -ENOMEM, "argon2 with %u KiB has memory for %zu only",
			       p->memory_kib, arena->bytes / ARGON2_BLOCK_BYTES);
	return 0;
}

int crypto_argon2_by(const struct argon2_core *core, unsigned int cpus,
		     const struct crypto_pbkdf *p, struct crypto_arena *arena,
		     const struct crypto_argon2_input *in, struct secret *key, struct err *e)
{
	struct argon2_matrix m;
	int r;

	r = check(p, arena, in, key, e);
	if (r)
		return r;
	m = (struct argon2_matrix){
		.blocks = (struct argon2_block *)(void *)arena->data,
		.lanes = p->parallel,
		.segment_blocks = p->memory_kib / (ARGON2_SLICES * p->parallel),
		.passes = p->iterations,
		.type = p->type == CRYPTO_ARGON2I ? ARGON2_TYPE_I : ARGON2_TYPE_ID,
		.stop = in->stop,
	};
	m.lane_blocks = m.segment_blocks * ARGON2_SLICES;
	begin(&m, p->memory_kib, in, (uint32_t)key->cap);
	if (fill_matrix(core, cpus, p, &m)) {
		finish(&m, key);
	} else {
		wipe_last(&m);
		r = err_set(e, -ECANCELED, "the key is no longer wanted");
	}
	crypto_stack_wipe();
	return r;
}

int crypto_argon2(const struct crypto_pbkdf *p, unsigned int cpus, struct crypto_arena *arena,
		  const struct crypto_argon2_input *in, struct secret *key, struct err *e)
{
	return crypto_argon2_by(crypto_argon2_best(), cpus, p, arena, in, key, e);
}
