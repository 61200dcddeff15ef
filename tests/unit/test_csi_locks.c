// SPDX-License-Identifier: Apache-2.0
// One operation a volume: the second caller is sent away, whoever has another key isn't.
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>

#include "check.h"
#include "csi/locks.h"

static void a_held_key_is_refused(void)
{
	struct csi_locks *l = csi_locks_new();

	REQUIRE(l);
	CHECK_INT(csi_locks_try(l, "volume:a"), 0);
	CHECK_INT(csi_locks_try(l, "volume:a"), -EINPROGRESS);
	CHECK_INT(csi_locks_try(l, "volume:a"), -EINPROGRESS);
	csi_locks_release(l, "volume:a");
	CHECK_INT(csi_locks_try(l, "volume:a"), 0);
	csi_locks_free(l); /* held ones go with it */
}

static void other_keys_are_free(void)
{
	static const char *const keys[] = { "volume:a", "volume:ab", "volume:",
					    "name:a",	"",	     "snapshot:a" };
	struct csi_locks *l = csi_locks_new();

	REQUIRE(l);
	for (size_t i = 0; i < sizeof(keys) / sizeof(*keys); i++)
		CHECK_MSG(!csi_locks_try(l, keys[i]), "%s", keys[i]);
	/* given back in another order */
	csi_locks_release(l, "volume:ab");
	CHECK_INT(csi_locks_try(l, "volume:a"), -EINPROGRESS);
	CHECK_INT(csi_locks_try(l, "volume:ab"), 0);
	csi_locks_free(l);
}

static void a_key_is_copied(void)
{
	char key[] = "volume:a";
	struct csi_locks *l = csi_locks_new();

	REQUIRE(l);
	CHECK_INT(csi_locks_try(l, key), 0);
	key[7] = 'b';
	CHECK_INT(csi_locks_try(l, "volume:a"), -EINPROGRESS);
	CHECK_INT(csi_locks_try(l, key), 0);
	csi_locks_free(l);
}

static void releasing_what_nobody_holds_does_nothing(void)
{
	struct csi_locks *l = csi_locks_new();

	REQUIRE(l);
	csi_locks_release(l, "volume:a");
	CHECK_INT(csi_locks_try(l, "volume:a"), 0);
	csi_locks_release(l, "volume:b");
	CHECK_INT(csi_locks_try(l, "volume:a"), -EINPROGRESS);
	csi_locks_free(l);
	csi_locks_free(NULL);
}

/* ---- many at once ---- */

#define THREADS 8
#define ROUNDS 100000
#define KEYS 3

static struct csi_locks *shared;
static atomic_int holders[KEYS], overlaps, taken, refused;

static void *contend(void *arg)
{
	unsigned int seed = (unsigned int)(size_t)arg;
	char key[24];

	for (int i = 0; i < ROUNDS; i++) {
		int k = rand_r(&seed) % KEYS;

		snprintf(key, sizeof(key), "volume:%d", k);
		if (csi_locks_try(shared, key)) {
			refused++;
			continue;
		}
		if (atomic_fetch_add(&holders[k], 1))
			overlaps++;
		if (i % 16 == 0)
			sched_yield();
		atomic_fetch_sub(&holders[k], 1);
		taken++;
		csi_locks_release(shared, key);
	}
	return NULL;
}

static void threads_exclude_each_other(void)
{
	pthread_t threads[THREADS];

	shared = csi_locks_new();
	REQUIRE(shared);
	for (size_t i = 0; i < THREADS; i++)
		REQUIRE(!pthread_create(&threads[i], NULL, contend, (void *)(i + 1)));
	for (size_t i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	CHECK_INT(overlaps, 0);
	CHECK_INT(taken + refused, THREADS * ROUNDS);
	CHECK(taken > 0);
	for (int k = 0; k < KEYS; k++) {
		char key[24];

		snprintf(key, sizeof(key), "volume:%d", k);
		CHECK_INT(csi_locks_try(shared, key), 0);
	}
	csi_locks_free(shared);
}

int main(void)
{
	RUN(a_held_key_is_refused);
	RUN(other_keys_are_free);
	RUN(a_key_is_copied);
	RUN(releasing_what_nobody_holds_does_nothing);
	RUN(threads_exclude_each_other);
	return check_exit();
}
