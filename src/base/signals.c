// SPDX-License-Identifier: Apache-2.0
// Steps that belong together, kept together: what would end the process waits until they are
// through.
#include <cryptvol/base.h>

static const int ending[] = { SIGHUP, SIGINT, SIGQUIT, SIGTERM };

void base_signals_hold(struct base_signals *ret)
{
	sigset_t set;

	sigemptyset(&set);
	for (size_t i = 0; i < ARRAY_SIZE(ending); i++)
		sigaddset(&set, ending[i]);
	pthread_sigmask(SIG_BLOCK, &set, &ret->before);
}

bool base_signals_came(const struct base_signals *s)
{
	struct sigaction how;
	sigset_t pending;

	if (sigpending(&pending))
		return false;
	for (size_t i = 0; i < ARRAY_SIZE(ending); i++)
		if (sigismember(&pending, ending[i]) && !sigismember(&s->before, ending[i]) &&
		    !sigaction(ending[i], NULL, &how) && how.sa_handler != SIG_IGN)
			return true;
	return false;
}

void base_signals_release(const struct base_signals *s)
{
	pthread_sigmask(SIG_SETMASK, &s->before, NULL);
}
