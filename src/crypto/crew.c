// SPDX-License-Identifier: Apache-2.0
// A few threads for one piece of work.
#include "crew.h"

#include "internal.h"

#include <sched.h>
#include <signal.h>
#include <sys/sysinfo.h>

#define CREW_MAX 64

unsigned int crypto_cpus(void)
{
	cpu_set_t set;
	int n;

	/* The set is too small for the kernel's on machines with more than 1024 processors. */
	n = sched_getaffinity(0, sizeof(set), &set) ? get_nprocs() : CPU_COUNT(&set);
	return n > 1 ? (unsigned int)n : 1;
}

static void *member(void *arg)
{
	struct crypto_crew *c = arg;
	unsigned int number;

	pthread_mutex_lock(&c->gate);
	number = ++c->joined;
	pthread_mutex_unlock(&c->gate);
	c->work(c, number);
	crypto_stack_wipe();
	return NULL;
}

/* Signals are for the threads that were there before. */
static unsigned int start(struct crypto_crew *c, unsigned int wanted, pthread_t *threads)
{
	unsigned int n = 0;
	sigset_t all, before;

	sigfillset(&all);
	pthread_sigmask(SIG_BLOCK, &all, &before);
	while (n + 1 < wanted && n < CREW_MAX && !pthread_create(&threads[n], NULL, member, c))
		n++;
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return n;
}

void crypto_crew_run(struct crypto_crew *c, unsigned int wanted)
{
	pthread_t threads[CREW_MAX];
	unsigned int n;

	c->size = 1;
	if (wanted <= 1) {
		c->work(c, 0);
		return;
	}
	/* Nobody begins before it is known how many there are. */
	c->joined = 0;
	pthread_mutex_init(&c->gate, NULL);
	pthread_mutex_lock(&c->gate);
	n = start(c, wanted, threads);
	c->size += n;
	pthread_barrier_init(&c->meet, NULL, c->size);
	pthread_mutex_unlock(&c->gate);
	if (c->size < wanted)
		log_debug("%u threads where %u would do: no more can be started", c->size, wanted);
	c->work(c, 0);
	for (unsigned int i = 0; i < n; i++)
		pthread_join(threads[i], NULL);
	pthread_barrier_destroy(&c->meet);
	pthread_mutex_destroy(&c->gate);
}

void crypto_crew_meet(struct crypto_crew *c)
{
	if (c->size > 1)
		pthread_barrier_wait(&c->meet);
}
