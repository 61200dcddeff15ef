// SPDX-License-Identifier: Apache-2.0
// Admission in a machine made of files: who waits, who came in in which order, how much was in use.
#pragma once

#include <cryptvol/crypto.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/mman.h>

#include "check.h"
#include "crypto/kdf.h"
#include "crypto_tree.h"

#define UNIT_BYTES (4 * MIB)
#define PATIENCE_MS 20000

static struct tree t;
static char lock_dir[TREE_PATH_MAX];
static unsigned int processors = 64;

unsigned int __wrap_crypto_cpus(void);
unsigned int __wrap_crypto_cpus(void)
{
	return processors;
}

static inline int enter(struct crypto_kdf *kdf, size_t bytes, struct crypto_grant *ret,
			struct err *e)
{
	const struct crypto_pbkdf p = { CRYPTO_ARGON2ID, "", 4, (uint32_t)(bytes / KIB), 1 };

	return crypto_admission_enter(kdf, &p, false, ret, e);
}

static inline struct crypto_kdf *new_kdf(uint64_t budget_bytes, const char *dir)
{
	struct crypto_kdf_config c = { .budget_bytes = budget_bytes, .lock_dir = dir };
	struct crypto_kdf *kdf = NULL;

	if (crypto_kdf_new_at(t.root, &c, &kdf, NULL))
		abort();
	return kdf;
}

static inline void begin(void)
{
	tree_make(&t);
	tree_meminfo(&t, 8192, 4096);
	snprintf(lock_dir, sizeof(lock_dir), "%s/lock", t.root);
}

static inline uint64_t waiting(struct crypto_kdf *kdf)
{
	struct crypto_kdf_stats s;

	crypto_kdf_get_stats(kdf, &s);
	return s.waiting;
}

static inline void pause_ms(long ms)
{
	struct timespec ts = { 0, ms * 1000000 };

	nanosleep(&ts, NULL);
}

static inline bool wait_for_waiting(struct crypto_kdf *kdf, uint64_t n)
{
	for (int i = 0; i < PATIENCE_MS && waiting(kdf) != n; i++)
		pause_ms(1);
	return waiting(kdf) == n;
}

/* Who waits for a lock on our file: /proc/locks marks them. */
static inline int blocked_on_lock_file(void)
{
	char path[TREE_PATH_MAX + 32], needle[64], *text = NULL;
	struct stat st;
	int n = 0;

	snprintf(path, sizeof(path), "%s/kdf-memory.lock", lock_dir);
	if (stat(path, &st) || io_read_file("/proc/locks", 1 << 20, &text, NULL))
		return -1;
	snprintf(needle, sizeof(needle), ":%llu ", (unsigned long long)st.st_ino);
	for (char *line = text, *end; line && *line; line = end ? end + 1 : NULL) {
		end = strchr(line, '\n');
		if (end)
			*end = '\0';
		n += strstr(line, "-> ") && strstr(line, needle);
	}
	free(text);
	return n;
}

static inline bool wait_for_blocked(int n)
{
	for (int i = 0; i < PATIENCE_MS && blocked_on_lock_file() != n; i++)
		pause_ms(1);
	return blocked_on_lock_file() == n;
}

struct waiter_thread {
	struct crypto_kdf *kdf;
	pthread_t id;
	size_t bytes;
	int number, r;
	struct err e;
	struct crypto_grant g;
	_Atomic bool admitted;
};
static _Atomic int order[64], order_n;

static inline void *enter_and_leave(void *arg)
{
	struct waiter_thread *w = arg;

	w->r = enter(w->kdf, w->bytes, &w->g, &w->e);
	if (w->r)
		return NULL;
	order[order_n++] = w->number;
	w->admitted = true;
	crypto_admission_leave(w->kdf, &w->g);
	return NULL;
}

struct meter {
	_Atomic uint64_t now, most;
};
static struct meter *meter;

/* Shared with children. */
static inline void meter_make(void)
{
	meter = mmap(NULL, sizeof(*meter), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1,
		     0);
	if (meter == MAP_FAILED)
		abort();
}

static inline void use_for_a_while(struct crypto_kdf *kdf, size_t bytes)
{
	struct crypto_grant g;
	uint64_t now, most;

	if (enter(kdf, bytes, &g, NULL))
		abort();
	now = atomic_fetch_add(&meter->now, bytes) + bytes;
	most = meter->most;
	while (now > most && !atomic_compare_exchange_weak(&meter->most, &most, now))
		;
	g.arena->data[bytes - 1] = 0;
	pause_ms(1);
	atomic_fetch_sub(&meter->now, bytes);
	crypto_admission_leave(kdf, &g);
}
