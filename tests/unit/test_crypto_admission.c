// SPDX-License-Identifier: Apache-2.0
// Admission in one process: the limits and their names, the budget is never exceeded, first come
// first served.
#include "crypto_admission.h"

static void limits_by_name(void)
{
	struct crypto_limits l;
	struct crypto_kdf *kdf;
	struct crypto_grant g;
	struct err e = { 0 };

	begin();
	kdf = new_kdf(0, NULL);
	CHECK_INT(crypto_limits_read(kdf, &l, NULL), 0);
	CHECK_INT(l.hard_bytes, (8192 - 32) * MIB);
	CHECK_CONTAINS(l.hard_name, "machine");
	CHECK_INT(l.spare_bytes, (4096 - 32) * MIB);
	tree_write(&t, "proc/self/cgroup", "0::/pod\n");
	tree_write(&t, "sys/fs/cgroup/pod/memory.max", "268435456\n");
	tree_write(&t, "sys/fs/cgroup/pod/memory.current", "67108864\n");
	CHECK_INT(crypto_limits_read(kdf, &l, NULL), 0);
	CHECK_INT(l.hard_bytes, (256 - 16) * MIB);
	CHECK_INT(l.spare_bytes, (192 - 12) * MIB);
	CHECK_INT(enter(kdf, 256 * MIB, &g, &e), -ENOMEM);
	CHECK_CONTAINS(e.text, "needs 262144 KiB of memory, but only 245760 KiB");
	CHECK_CONTAINS(e.text, "/pod/memory.max");
	crypto_kdf_free(kdf);
	kdf = new_kdf(100 * MIB, NULL);
	CHECK_INT(enter(kdf, 101 * MIB, &g, &e), -ENOMEM);
	CHECK_CONTAINS(e.text, "needs 104448 KiB of memory, but only 102400 KiB");
	CHECK_CONTAINS(e.text, "configured budget");
	CHECK_INT(waiting(kdf), 0);
	/* derived through the face, with the same answer */
	struct crypto_pbkdf p = { CRYPTO_ARGON2ID, "", 4, 131072, 1 };
	struct secret *pass = NULL, *key = NULL;
	REQUIRE(!secret_new(8, &pass, NULL) && !secret_new(32, &key, NULL));
	CHECK_INT(crypto_kdf_derive(kdf, &p, pass, "saltsaltsalt", 12, key, &e), -ENOMEM);
	CHECK_INT(key->len, 0);
	CHECK_CONTAINS(e.text, "configured budget");
	secret_free(pass);
	secret_free(key);
	crypto_kdf_free(kdf);
	tree_remove(&t);
}

/* Little is available: an error where nobody of ours uses it, a wait where somebody does. */
static void short_of_memory(void)
{
	struct waiter_thread w = { .bytes = 8 * MIB };
	struct crypto_kdf *kdf;
	struct crypto_grant g;
	struct err e = { 0 };

	for (int with_file = 0; with_file < 2; with_file++) {
		begin();
		kdf = new_kdf(0, with_file ? lock_dir : NULL);
		tree_meminfo(&t, 8192, 9);
		CHECK_INT(enter(kdf, 8 * MIB, &g, &e), -ENOMEM);
		CHECK_CONTAINS(e.text, "8192 KiB of memory, but only 7168 KiB");
		CHECK_CONTAINS(e.text, "available just now");
		REQUIRE(!enter(kdf, 4 * MIB, &g, &e));
		w.kdf = kdf;
		w.admitted = false;
		REQUIRE(!pthread_create(&w.id, NULL, enter_and_leave, &w));
		CHECK(wait_for_waiting(kdf, 1));
		if (with_file)
			CHECK(wait_for_blocked(1));
		pause_ms(20);
		CHECK(!w.admitted);
		tree_meminfo(&t, 8192, 64);
		crypto_admission_leave(kdf, &g);
		pthread_join(w.id, NULL);
		CHECK(w.admitted);
		crypto_kdf_free(kdf);
		tree_remove(&t);
	}
}

/* Asked to: what is available doesn't count for one that is alone; limits do, and others' turns. */
static void more_than_available(void)
{
	const struct crypto_kdf_config c = { .lock_dir = lock_dir, .exceed_available = true };
	struct waiter_thread w = { .bytes = 8 * MIB };
	struct crypto_grant g;
	struct err e = { 0 };

	begin();
	REQUIRE(!crypto_kdf_new_at(t.root, &c, &w.kdf, NULL));
	tree_meminfo(&t, 64, 9);
	REQUIRE(!enter(w.kdf, 8 * MIB, &g, &e));
	crypto_admission_leave(w.kdf, &g);
	CHECK_INT(enter(w.kdf, 64 * MIB, &g, &e), -ENOMEM);
	CHECK_CONTAINS(e.text, "the machine's memory");
	REQUIRE(!enter(w.kdf, 4 * MIB, &g, &e));
	REQUIRE(!pthread_create(&w.id, NULL, enter_and_leave, &w));
	CHECK(wait_for_waiting(w.kdf, 1));
	pause_ms(20);
	CHECK(!w.admitted);
	crypto_admission_leave(w.kdf, &g);
	pthread_join(w.id, NULL);
	CHECK(w.admitted);
	crypto_kdf_free(w.kdf);
	tree_remove(&t);
}

/* More than the machine's memory: with swap, for the one who asks for it, and for nobody else. */
static void swap_counts_on_request(void)
{
	const struct crypto_kdf_config asked = { .exceed_available = true }, plain = { 0 };
	struct crypto_kdf *kdf;
	struct crypto_grant g;
	struct err e = { 0 };

	begin();
	REQUIRE(!crypto_kdf_new_at(t.root, &plain, &kdf, NULL));
	tree_swap(&t, 64, 128);
	CHECK_INT(enter(kdf, 96 * MIB, &g, &e), -ENOMEM);
	CHECK_CONTAINS(e.text, "the machine's memory");
	crypto_kdf_free(kdf);
	REQUIRE(!crypto_kdf_new_at(t.root, &asked, &kdf, NULL));
	REQUIRE(!enter(kdf, 96 * MIB, &g, &e));
	crypto_admission_leave(kdf, &g);
	CHECK_INT(enter(kdf, 256 * MIB, &g, &e), -ENOMEM);
	CHECK_CONTAINS(e.text, "the machine's memory and swap");
	tree_swap(&t, 64, 0);
	CHECK_INT(enter(kdf, 96 * MIB, &g, &e), -ENOMEM);
	crypto_kdf_free(kdf);
	tree_remove(&t);
}

static void small_ones_dont_queue(void)
{
	struct crypto_grant big, small;
	struct crypto_kdf *kdf;
	struct crypto_kdf_stats s;

	begin();
	kdf = new_kdf(UNIT_BYTES, lock_dir);
	REQUIRE(!enter(kdf, UNIT_BYTES, &big, NULL));
	CHECK_INT(enter(kdf, 32 * KIB, &small, NULL), 0);
	crypto_admission_leave(kdf, &small);
	crypto_admission_leave(kdf, &big);
	crypto_kdf_get_stats(kdf, &s);
	CHECK_INT(s.peak_bytes, UNIT_BYTES);
	CHECK_INT(s.budget_bytes, UNIT_BYTES);
	CHECK_INT(s.in_use_bytes, 0);
	CHECK_INT(s.derivations, 2);
	crypto_kdf_free(kdf);
	tree_remove(&t);
}

static void arenas_are_used_again(void)
{
	struct crypto_grant a, b, c;
	struct crypto_kdf *kdf;
	unsigned char *first;

	begin();
	kdf = new_kdf(64 * MIB, NULL);
	REQUIRE(!enter(kdf, 8 * MIB, &a, NULL));
	first = a.arena->data;
	crypto_admission_leave(kdf, &a);
	REQUIRE(!enter(kdf, 6 * MIB, &b, NULL));
	CHECK(b.arena->data == first);
	CHECK_INT(b.arena->bytes, 6 * MIB); /* what was above it is given back */
	crypto_admission_leave(kdf, &b);
	/* none is big enough: the idle one goes before the new one comes */
	REQUIRE(!enter(kdf, 32 * MIB, &c, NULL));
	CHECK_INT(kdf->idle_bytes, 0);
	crypto_admission_leave(kdf, &c);
	CHECK_INT(kdf->idle_bytes, 32 * MIB);
	/* more than half of the budget isn't kept */
	REQUIRE(!enter(kdf, 34 * MIB, &c, NULL));
	crypto_admission_leave(kdf, &c);
	CHECK_INT(kdf->idle_bytes, 0);
	CHECK_INT(kdf->idle_count, 0);
	/* unless the owner said so */
	kdf->idle_max_bytes = UINT64_MAX;
	REQUIRE(!enter(kdf, 34 * MIB, &c, NULL));
	crypto_admission_leave(kdf, &c);
	CHECK_INT(kdf->idle_bytes, 34 * MIB);
	crypto_kdf_free(kdf);
	tree_remove(&t);
}

/* Of two that are big enough the smaller one: what is above the rest is given back. */
static void smallest_arena_is_used_again(void)
{
	struct crypto_grant small, big, again;
	struct crypto_kdf *kdf;
	unsigned char *first;

	begin();
	kdf = new_kdf(128 * MIB, NULL);
	for (int big_first = 0; big_first < 2; big_first++) {
		REQUIRE(!enter(kdf, 8 * MIB, &small, NULL));
		REQUIRE(!enter(kdf, 32 * MIB, &big, NULL));
		first = small.arena->data;
		crypto_admission_leave(kdf, big_first ? &big : &small);
		crypto_admission_leave(kdf, big_first ? &small : &big);
		REQUIRE(!enter(kdf, 6 * MIB, &again, NULL));
		CHECK(again.arena->data == first);
		CHECK_INT(kdf->idle_bytes, 32 * MIB);
		crypto_admission_leave(kdf, &again);
	}
	crypto_kdf_free(kdf);
	tree_remove(&t);
}

/* ---- threads ---- */

static void fifo_run(struct crypto_kdf *kdf, const char *dir)
{
	struct waiter_thread w[9] = { 0 };
	struct crypto_grant all;

	order_n = 0;
	REQUIRE(!enter(kdf, 2 * UNIT_BYTES, &all, NULL));
	/* big ones and small ones by turns: what is small would fit earlier, and must wait its turn
	 */
	for (int i = 0; i < 9; i++) {
		w[i].kdf = kdf;
		w[i].number = i;
		w[i].bytes = i % 2 ? UNIT_BYTES / 2 : 2 * UNIT_BYTES;
		REQUIRE(!pthread_create(&w[i].id, NULL, enter_and_leave, &w[i]));
		CHECK(wait_for_waiting(kdf, (uint64_t)i + 1));
	}
	CHECK_INT(order_n, 0);
	crypto_admission_leave(kdf, &all);
	for (int i = 0; i < 9; i++)
		pthread_join(w[i].id, NULL);
	CHECK_INT(order_n, 9);
	for (int i = 0; i < 9; i++)
		CHECK_MSG(order[i] == i, "%d came at place %d (%s)", order[i], i, dir ?: "no file");
}

static void first_come_first_served(void)
{
	struct crypto_kdf *kdf;

	for (int with_file = 0; with_file < 2; with_file++) {
		begin();
		kdf = new_kdf(2 * UNIT_BYTES, with_file ? lock_dir : NULL);
		fifo_run(kdf, kdf->lock_dir);
		crypto_kdf_free(kdf);
		tree_remove(&t);
	}
}

static void *user_thread(void *arg)
{
	for (unsigned int i = 0; i < 8; i++)
		use_for_a_while(arg, (1 + i % 3) * 2 * MIB);
	return NULL;
}

static void budget_holds_for_threads(void)
{
	struct crypto_kdf_stats s;
	struct crypto_kdf *kdf;
	pthread_t id[12];

	for (int with_file = 0; with_file < 2; with_file++) {
		begin();
		meter->now = meter->most = 0;
		kdf = new_kdf(10 * MIB, with_file ? lock_dir : NULL);
		for (int i = 0; i < 12; i++)
			REQUIRE(!pthread_create(&id[i], NULL, user_thread, kdf));
		for (int i = 0; i < 12; i++)
			pthread_join(id[i], NULL);
		crypto_kdf_get_stats(kdf, &s);
		CHECK_MSG(meter->most <= 10 * MIB, "%llu", (unsigned long long)meter->most);
		CHECK(s.peak_bytes <= 10 * MIB && s.peak_bytes >= 6 * MIB);
		CHECK_INT(s.in_use_bytes, 0);
		CHECK_INT(s.waiting, 0);
		CHECK_INT(s.derivations, 96);
		crypto_kdf_free(kdf);
		tree_remove(&t);
	}
}

/* Real derivations at once give what one alone gives. */
static void *derive_thread(void *arg)
{
	struct waiter_thread *w = arg;
	struct crypto_pbkdf p = { CRYPTO_ARGON2ID, "", 1, 4096, 2 };
	struct secret *pass = NULL, *key = NULL;

	if (secret_new(1, &pass, NULL) || secret_new(32, &key, NULL))
		abort();
	pass->data[0] = 'x';
	pass->len = 1;
	w->r = crypto_kdf_derive(w->kdf, &p, pass, "saltsaltsalt", 12, key, &w->e);
	memcpy(w->e.text, key->data, 32);
	secret_free(pass);
	secret_free(key);
	return NULL;
}

static void derivations_at_once(void)
{
	struct waiter_thread w[8] = { 0 };
	struct crypto_kdf *kdf;

	begin();
	kdf = new_kdf(8 * MIB, lock_dir);
	for (int i = 0; i < 8; i++) {
		w[i].kdf = kdf;
		REQUIRE(!pthread_create(&w[i].id, NULL, derive_thread, &w[i]));
	}
	for (int i = 0; i < 8; i++) {
		pthread_join(w[i].id, NULL);
		CHECK_INT(w[i].r, 0);
		CHECK_MEM(w[i].e.text, w[0].e.text, 32);
	}
	crypto_kdf_free(kdf);
	tree_remove(&t);
}

int main(void)
{
	meter_make();
	RUN(limits_by_name);
	RUN(short_of_memory);
	RUN(more_than_available);
	RUN(swap_counts_on_request);
	RUN(small_ones_dont_queue);
	RUN(arenas_are_used_again);
	RUN(smallest_arena_is_used_again);
	RUN(first_come_first_served);
	RUN(budget_holds_for_threads);
	RUN(derivations_at_once);
	return check_exit();
}
