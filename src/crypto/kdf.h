// SPDX-License-Identifier: Apache-2.0
// Admission of memory-hard derivations: the queue of a process, and the lock file of a host.
#pragma once

#include "internal.h"

#include <pthread.h>

/* What less than this takes is noise beside the process itself: it isn't worth a queue. */
#define CRYPTO_ADMISSION_FROM_BYTES MIB

struct crypto_waiter {
	pthread_cond_t turn;
	struct crypto_waiter *next;
};

struct crypto_kdf {
	char *root;	/* "" but in tests: where proc and sys are */
	char *lock_dir; /* NULL: this process only */
	uint64_t policy_bytes, idle_max_bytes;
	bool exceed_available;
	void (*derived)(void *arg, double seconds);
	void *arg;

	pthread_mutex_t lock; /* over all that follows */
	struct crypto_waiter *head, **tail;
	struct crypto_arena *idle;
	uint64_t idle_bytes, idle_count, limit_bytes; /* the limit that the last admission saw */
	uint64_t in_use_bytes, peak_bytes, waiting, derivations;
	unsigned int in_use_cpus;
};

/** crypto_kdf_new_at - crypto_kdf_new with proc and sys below @root. */
int crypto_kdf_new_at(const char *root, const struct crypto_kdf_config *c, struct crypto_kdf **ret,
		      struct err *e);

/** What an admitted derivation holds until it leaves. */
struct crypto_grant {
	struct crypto_arena *arena;
	uint64_t bytes;
	unsigned int cpus;    /* that there are for this process */
	unsigned int threads; /* of them in use by this derivation */
	int host_fd;	      /* -1: not known to the host */
};

/**
 * crypto_admission_enter - wait until the derivation's memory may be used and a processor is free,
 * first come first served, and get an arena of that size whose pages are all there. -ENOMEM where
 * they can never be had. @if_free: -EBUSY instead of waiting, or of taking more than half of what
 * there is.
 */
int crypto_admission_enter(struct crypto_kdf *kdf, const struct crypto_pbkdf *p, bool if_free,
			   struct crypto_grant *ret, struct err *e);
/** crypto_admission_leave - give everything back and let the next one in. */
void crypto_admission_leave(struct crypto_kdf *kdf, struct crypto_grant *g);

/** The upper limits of one admission. */
struct crypto_limits {
	uint64_t hard_bytes;  /* the sum of all derivations may never be more */
	char hard_name[256];  /* which limit that is, for the sentence */
	uint64_t spare_bytes; /* what may be touched in addition just now */
	unsigned int cpus;
};
int crypto_limits_read(const struct crypto_kdf *kdf, struct crypto_limits *ret, struct err *e);

/* ---- the lock file ---- */

/** The ranges that derivations on this host hold. A unit is 1 KiB, an offset means nothing else. */
struct crypto_host {
	uint64_t units;			   /* all of them */
	uint64_t end;			   /* where the next range goes */
	uint64_t shortest, shortest_units; /* start of the one that is likely to end first */
};
/** crypto_host_open - the lock file in @dir, made where it isn't there. A descriptor, or -errno. */
int crypto_host_open(const char *dir);
/** crypto_host_queue - wait for the turnstile: one of all waiting processes is at the head.
 * @if_free: -EBUSY where another one is. */
int crypto_host_queue(int fd, bool if_free);
/** crypto_host_look - who holds what; only who has the turnstile gets an answer that stays true
 * upward. */
int crypto_host_look(int fd, struct crypto_host *ret);
/** crypto_host_wait - until the range that starts at @start is released, or its holder died. */
int crypto_host_wait(int fd, uint64_t start);
/** crypto_host_claim - hold @units from h->end on. */
int crypto_host_claim(int fd, const struct crypto_host *h, uint64_t units);
/** crypto_host_pass - let the next one through the turnstile. */
void crypto_host_pass(int fd);
/** crypto_host_close - release everything. */
void crypto_host_close(int fd);
