// SPDX-License-Identifier: Apache-2.0
// A few threads for one piece of work.
#pragma once

#include <pthread.h>
#include <stdbool.h>

struct crypto_crew {
	void (*work)(struct crypto_crew *c, unsigned int number);
	void *arg;
	unsigned int size; /* how many work at it */
	unsigned int joined;
	pthread_mutex_t gate;
	pthread_barrier_t meet;
};

/** crypto_cpus - how many processors this thread may run on, 1 or more. */
unsigned int crypto_cpus(void);

/**
 * crypto_crew_run - call @work with every number below c->size, each in a thread of its own, the
 * caller's among them. The size is @wanted, or less where not so many threads can be started. The
 * threads take no signals, and what they worked on is wiped from their stacks.
 */
void crypto_crew_run(struct crypto_crew *c, unsigned int wanted);
/** crypto_crew_meet - wait for all of the crew. */
void crypto_crew_meet(struct crypto_crew *c);
