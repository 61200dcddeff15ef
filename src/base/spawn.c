// SPDX-License-Identifier: Apache-2.0
// Children have copies of all descriptors until they execute: an exclusive claim on a block device,
// given up by one thread, lives on in a child that another thread is just starting.
#include <cryptvol/base.h>
#include <pthread.h>

/* Descriptors belong to the process, and so does this lock. */
static pthread_mutex_t spawning = PTHREAD_MUTEX_INITIALIZER;

int base_spawn(const char *path, char *const *argv, char *const *envp,
	       posix_spawn_file_actions_t *fa, const posix_spawnattr_t *attr, pid_t *ret)
{
	posix_spawn_file_actions_t own;
	int r = 0;

	if (!fa) {
		r = posix_spawn_file_actions_init(&own);
		fa = &own;
	}
	/* Closed by the child itself: posix_spawn returns once it has executed, and the kernel
	 * closes what is close-on-exec a moment after that. */
	r = r ?: posix_spawn_file_actions_addclosefrom_np(fa, STDERR_FILENO + 1);
	if (!r) {
		pthread_mutex_lock(&spawning);
		r = posix_spawnp(ret, path, fa, attr, argv, envp);
		pthread_mutex_unlock(&spawning);
	}
	if (fa == &own)
		posix_spawn_file_actions_destroy(&own);
	return -r;
}

void base_spawn_settle(void)
{
	pthread_mutex_lock(&spawning);
	pthread_mutex_unlock(&spawning);
}
