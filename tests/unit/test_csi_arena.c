// SPDX-License-Identifier: Apache-2.0
// The memory of a call: zeroed, aligned, limited, and gone from the address space afterwards.
#include <sys/mman.h>

#include "csi_request.h"

static void memory_is_zeroed_and_aligned(void)
{
	struct csi_arena *a = csi_arena_new();

	REQUIRE(a);
	for (size_t n = 0; n < 300; n++) {
		char *p = csi_arena_alloc(a, n);

		REQUIRE(p);
		CHECK(((uintptr_t)p & 15) == 0);
		for (size_t i = 0; i < n; i++)
			CHECK(!p[i]);
		memset(p, 0xff, n);
	}
	csi_arena_free(a);
	csi_arena_free(NULL);
}

/* No piece reaches into another, across the chunks' ends and in big ones of their own. */
static void pieces_are_apart(void)
{
	static const size_t sizes[] = {
		1, 15, 16, 17, 4000, 65000, 65472, 65536, 70000, 200000, 3
	};
	struct csi_arena *a = csi_arena_new();
	unsigned char *p[ARRAY_SIZE(sizes) * 8];

	REQUIRE(a);
	for (size_t i = 0; i < ARRAY_SIZE(p); i++) {
		p[i] = csi_arena_alloc(a, sizes[i % ARRAY_SIZE(sizes)]);
		REQUIRE(p[i]);
		memset(p[i], (int)i, sizes[i % ARRAY_SIZE(sizes)]);
	}
	for (size_t i = 0; i < ARRAY_SIZE(p); i++)
		for (size_t k = 0; k < sizes[i % ARRAY_SIZE(sizes)]; k++)
			CHECK_MSG(p[i][k] == i, "piece %zu has %u at %zu", i, p[i][k], k);
	csi_arena_free(a);
}

/* A call may have 8 MiB. */
static void a_call_is_limited(void)
{
	struct csi_arena *a = csi_arena_new();
	size_t total = 0;

	REQUIRE(a);
	CHECK(!csi_arena_alloc(a, SIZE_MAX));
	CHECK(!csi_arena_alloc(a, SIZE_MAX - 15));
	CHECK(!csi_arena_alloc(a, (8u << 20) + 1));
	while (csi_arena_alloc(a, 1000))
		total += 1000;
	CHECK(total > 7u << 20 && total <= 8u << 20);
	CHECK(!csi_arena_alloc(a, 1 << 20));
	csi_arena_free(a);
}

static void memory_goes_with_the_call(void)
{
	struct csi_arena *a = csi_arena_new();
	unsigned char there;
	uintptr_t page;
	char *p;

	REQUIRE(a);
	p = csi_arena_strdup(a, "geheim");
	REQUIRE(p);
	CHECK_STR(p, "geheim");
	page = (uintptr_t)p & ~(uintptr_t)4095;
	CHECK(!mincore((void *)page, 4096, &there));
	csi_arena_free(a);
	CHECK(mincore((void *)page, 4096, &there));
}

/* protobuf-c's: frees nothing before the end. */
static void the_allocator_takes_from_it(void)
{
	struct csi_arena *a = csi_arena_new();
	ProtobufCAllocator *al;
	char *p;

	REQUIRE(a);
	al = csi_arena_allocator(a);
	p = al->alloc(al->allocator_data, 100);
	REQUIRE(p);
	memset(p, 'x', 100);
	al->free(al->allocator_data, p);
	CHECK_INT(p[99], 'x');
	CHECK(!al->alloc(al->allocator_data, 9u << 20));
	csi_arena_free(a);
}

int main(void)
{
	RUN(memory_is_zeroed_and_aligned);
	RUN(pieces_are_apart);
	RUN(a_call_is_limited);
	RUN(memory_goes_with_the_call);
	RUN(the_allocator_takes_from_it);
	return check_exit();
}
