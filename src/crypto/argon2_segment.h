// SPDX-License-Identifier: Apache-2.0
// The way through a segment (RFC 9106, 3.4), the same for all cores: a core's file defines
// ARGON2_TARGET and argon2_step and includes this, so that its step is compiled into the loop.
//
// From the second half of argon2id's first pass on, where the next block lies is known only when
// the first word of this one is. A step works that word out first and calls argon2_found, which
// asks the memory for the next block; the rest of the step, and with two lanes the other lane's
// whole step, is done while it arrives.
#pragma once

#include "argon2.h"

#include <string.h>

#define ARGON2_INLINE static inline __attribute__((always_inline))

/* Over the words or registers of a step: kept as loops they cost up to a third of its time. Over
 * rows and columns in plain C: unrolled, the code is too long for the processor's store of decoded
 * instructions, and takes twice as long. */
#ifdef __clang__
#define ARGON2_UNROLLED _Pragma("clang loop unroll(full)")
#define ARGON2_ROLLED _Pragma("clang loop unroll(disable)")
#else
#define ARGON2_UNROLLED _Pragma("GCC unroll 16")
#define ARGON2_ROLLED _Pragma("GCC unroll 1")
#endif

/* Where addresses are known beforehand: how many blocks ahead of its use one is asked for. */
#define ARGON2_AHEAD 3

/* Of a segment: what the choice of a block depends on, but for the random words. */
struct argon2_place {
	const struct argon2_matrix *m;
	struct argon2_moment now;
	uint32_t window;  /* blocks of another lane that may be referred to */
	uint32_t start;	  /* where they begin, round the end of the lane */
	uint32_t lane_of; /* lanes - 1 where the number of lanes is a power of two, else 0 */
	bool independent;
};

/* One lane's way. @index: the block within the segment that @to is. */
struct argon2_walk {
	const struct argon2_place *place;
	struct argon2_block *lane_start, *to;
	const struct argon2_block *previous, *other;
	uint32_t lane, index;
	struct argon2_block request, words; /* independent addresses: 3.4.1.2 */
};

/* The block function of the core: to = G(previous, other), XORed into what is there if @into. Calls
 * argon2_found as soon as it knows what to->v[0] will be. */
ARGON2_TARGET ARGON2_INLINE void argon2_step(struct argon2_walk *w, bool into);

/* 3.4.2: from J1 and J2 to a block, for the block @index of this segment. */
ARGON2_INLINE const struct argon2_block *argon2_reference(const struct argon2_walk *w,
							  uint32_t index, uint64_t word)
{
	const struct argon2_place *p = w->place;
	const struct argon2_matrix *m = p->m;
	uint32_t j1 = (uint32_t)word, j2 = (uint32_t)(word >> 32), lane, window, at;

	if (p->now.pass == 0 && p->now.slice == 0)
		lane = w->lane;
	else
		lane = p->lane_of || m->lanes == 1 ? j2 & p->lane_of : j2 % m->lanes;
	/* In its own lane a block sees this segment's finished ones too, without the previous one;
	 * of another lane the first block of a segment doesn't see the last block. */
	window = p->window;
	if (lane == w->lane)
		window += index - 1;
	else if (index == 0)
		window--;
	at = (uint32_t)((uint64_t)j1 * j1 >> 32);
	at = (uint32_t)((uint64_t)window * at >> 32);
	at = p->start + window - 1 - at;
	if (at >= m->lane_blocks)
		at -= m->lane_blocks;
	return m->blocks + (size_t)lane * m->lane_blocks + at;
}

ARGON2_INLINE void argon2_prefetch(const struct argon2_block *b)
{
	ARGON2_UNROLLED
	for (unsigned int i = 0; i < ARGON2_WORDS; i += 8)
		__builtin_prefetch(b->v + i, 0, 3);
}

/* @word: the first one of w->to. */
ARGON2_INLINE void argon2_found(struct argon2_walk *w, uint64_t word)
{
	uint32_t next = w->index + 1, ahead = w->index + ARGON2_AHEAD;

	if (w->place->independent) {
		if (next % ARGON2_WORDS == 0)
			return; /* its addresses aren't made yet */
		w->other = argon2_reference(w, next, w->words.v[next % ARGON2_WORDS]);
		if (ahead % ARGON2_WORDS >= ARGON2_AHEAD && ahead < w->place->m->segment_blocks)
			argon2_prefetch(
				argon2_reference(w, ahead, w->words.v[ahead % ARGON2_WORDS]));
		return;
	}
	if (next >= w->place->m->segment_blocks)
		return;
	w->other = argon2_reference(w, next, word);
	argon2_prefetch(w->other);
}

/* The next 128 addresses: a counter through the block function, twice. */
ARGON2_TARGET static void argon2_addresses(struct argon2_walk *w)
{
	static const struct argon2_matrix none;
	static const struct argon2_place nowhere = { .m = &none };
	static const struct argon2_block zero;
	struct argon2_walk g = { .place = &nowhere, .previous = &zero };

	w->request.v[6]++;
	g.other = &w->request;
	g.to = &g.words;
	argon2_step(&g, false);
	g.other = &g.words;
	g.to = &w->words;
	argon2_step(&g, false);
}

/* What only the addresses made ahead can tell, or the last block of the segment before. */
ARGON2_TARGET ARGON2_INLINE void argon2_first(struct argon2_walk *w)
{
	uint64_t word = w->previous->v[0];

	if (w->place->independent) {
		argon2_addresses(w);
		word = w->words.v[w->index % ARGON2_WORDS];
	}
	w->other = argon2_reference(w, w->index, word);
}

ARGON2_TARGET static void argon2_begin(struct argon2_walk *w, const struct argon2_place *p,
				       uint32_t lane)
{
	const struct argon2_matrix *m = p->m;
	uint32_t at = p->now.slice * m->segment_blocks;

	w->place = p;
	w->lane = lane;
	w->lane_start = m->blocks + (size_t)lane * m->lane_blocks;
	w->index = p->now.pass == 0 && p->now.slice == 0 ? 2 : 0;
	w->to = w->lane_start + at + w->index;
	w->previous = at + w->index ? w->to - 1 : w->to + m->lane_blocks - 1;
	if (p->independent) {
		memset(&w->request, 0, sizeof(w->request));
		w->request.v[0] = p->now.pass;
		w->request.v[1] = lane;
		w->request.v[2] = p->now.slice;
		w->request.v[3] = (uint64_t)m->lanes * m->lane_blocks;
		w->request.v[4] = m->passes;
		w->request.v[5] = m->type;
	}
	if (w->index < m->segment_blocks)
		argon2_first(w);
}

ARGON2_TARGET ARGON2_INLINE void argon2_walk_on(struct argon2_walk *w, bool into)
{
	argon2_step(w, into);
	w->previous = w->to++;
	w->index++;
	if (w->place->independent && w->index % ARGON2_WORDS == 0 &&
	    w->index < w->place->m->segment_blocks)
		argon2_first(w);
}

static struct argon2_place argon2_place_of(const struct argon2_matrix *m, struct argon2_moment now)
{
	struct argon2_place p = { .m = m, .now = now };

	p.window = now.pass ? m->lane_blocks - m->segment_blocks : now.slice * m->segment_blocks;
	if (now.pass && now.slice + 1 < ARGON2_SLICES)
		p.start = (now.slice + 1) * m->segment_blocks;
	p.lane_of = (m->lanes & (m->lanes - 1)) ? 0 : m->lanes - 1;
	p.independent = m->type == ARGON2_TYPE_I || (now.pass == 0 && now.slice < 2);
	return p;
}

/* Up to where to go before the next look at whether the key is still wanted: a few hundred
 * microseconds. */
#define ARGON2_STRETCH_BLOCKS 1024

ARGON2_INLINE uint32_t argon2_next_stop(const struct argon2_matrix *m, uint32_t index)
{
	if (m->stop && *m->stop)
		return 0;
	return m->segment_blocks - index > ARGON2_STRETCH_BLOCKS ? index + ARGON2_STRETCH_BLOCKS
								 : m->segment_blocks;
}

ARGON2_TARGET static void argon2_fill(const struct argon2_matrix *m, struct argon2_moment now,
				      uint32_t lane, unsigned int n)
{
	struct argon2_place place = argon2_place_of(m, now);
	struct argon2_walk a, b;
	uint32_t end;

	argon2_begin(&a, &place, lane);
	if (n == 1) {
		while (a.index < (end = argon2_next_stop(m, a.index)))
			while (a.index < end)
				argon2_walk_on(&a, now.pass > 0);
		return;
	}
	argon2_begin(&b, &place, lane + 1);
	while (a.index < (end = argon2_next_stop(m, a.index))) {
		while (a.index < end) {
			argon2_walk_on(&a, now.pass > 0);
			argon2_walk_on(&b, now.pass > 0);
		}
	}
}
