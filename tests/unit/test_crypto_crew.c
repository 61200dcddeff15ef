// SPDX-License-Identifier: Apache-2.0
// A crew: each number once, nobody past the meeting before all are there, signals for the caller
// alone, and fewer where no more threads can be started.
#include <cryptvol/crypto.h>

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "check.h"
#include "crypto/crew.h"

#define MEMBERS_MAX 65
#define MEETINGS 50

static _Atomic unsigned int seen[MEMBERS_MAX], early, unblocked, arrived;

static void count(struct crypto_crew *c, unsigned int number)
{
	sigset_t mask;

	seen[number]++;
	if (number && (pthread_sigmask(SIG_SETMASK, NULL, &mask) || !sigismember(&mask, SIGTERM)))
		unblocked++;
	for (unsigned int i = 1; i <= MEETINGS; i++) {
		arrived++;
		crypto_crew_meet(c);
		early += arrived < i * c->size;
		crypto_crew_meet(c);
	}
}

static unsigned int run(unsigned int wanted)
{
	struct crypto_crew c = { .work = count };

	memset(seen, 0, sizeof(seen));
	early = unblocked = arrived = 0;
	crypto_crew_run(&c, wanted);
	for (unsigned int i = 0; i < MEMBERS_MAX; i++)
		CHECK_MSG(seen[i] == (i < c.size), "of %u: number %u came %u times", c.size, i,
			  seen[i]);
	CHECK_INT(early, 0);
	return c.size;
}

static void each_number_once(void)
{
	static const unsigned int sizes[] = { 0, 1, 2, 3, 8, 64 };

	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++)
		CHECK_INT(run(sizes[i]), sizes[i] ?: 1);
}

static void signals_are_the_callers(void)
{
	sigset_t mask;

	CHECK_INT(run(4), 4);
	CHECK_INT(unblocked, 0);
	CHECK_INT(pthread_sigmask(SIG_SETMASK, NULL, &mask), 0);
	CHECK(!sigismember(&mask, SIGTERM));
}

/* No room for stacks: in a child, whose limit goes with it. */
static void fewer_where_no_more_start(void)
{
	int status = -1;
	pid_t pid;

	if (check_sanitized())
		SKIP_TEST("a sanitizer has terabytes mapped");
	pid = fork();
	if (!pid) {
		const struct rlimit l = { 64 << 20, 64 << 20 };
		unsigned int size;

		setrlimit(RLIMIT_AS, &l);
		size = run(32); /* stacks of 8 MiB */
		_exit(check_this_failed || size < 2 || size > 8);
	}
	REQUIRE(pid > 0 && waitpid(pid, &status, 0) == pid);
	CHECK_INT(status, 0);
}

int main(void)
{
	RUN(fewer_where_no_more_start);
	RUN(each_number_once);
	RUN(signals_are_the_callers);
	return check_exit();
}
