// SPDX-License-Identifier: Apache-2.0
// Running mkfs, fsck and the growers: no shell, a clean environment, the end of what they say kept
// for the error.
#include "internal.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <sys/wait.h>

static char *const clean_env[] = { (char *)(uintptr_t) "PATH=/usr/sbin:/usr/bin:/sbin:/bin",
				   (char *)(uintptr_t) "LC_ALL=C", (char *)(uintptr_t) "HOME=/",
				   NULL };

/* Keep the last bytes of a stream. */
static void drain(int fd, char *tail, size_t cap)
{
	char buf[1024];
	size_t len = 0;
	ssize_t n;

	while ((n = read(fd, buf, sizeof(buf))) > 0 || (n < 0 && errno == EINTR)) {
		size_t got = n > 0 ? (size_t)n : 0;

		if (len + got > cap - 1) {
			size_t drop = len + got - (cap - 1);

			if (drop > len)
				drop = len;
			memmove(tail, tail + drop, len - drop);
			len -= drop;
		}
		if (got > cap - 1)
			got = cap - 1;
		memcpy(tail + len, buf, got);
		len += got;
	}
	tail[len] = '\0';
}

/* One line for an error: what was last said, newlines turned into blanks. */
static void flatten(char *s)
{
	size_t n = strlen(s);

	while (n && (s[n - 1] == '\n' || s[n - 1] == ' '))
		s[--n] = '\0';
	for (; *s; s++)
		if (*s == '\n' || *s == '\r' || *s == '\t')
			*s = ' ';
}

static int spawn(const char *const *argv, int out, pid_t *ret)
{
	posix_spawn_file_actions_t fa;
	posix_spawnattr_t attr;
	sigset_t none;
	int r;

	sigemptyset(&none);
	posix_spawn_file_actions_init(&fa);
	posix_spawnattr_init(&attr);
	posix_spawnattr_setsigmask(&attr,
				   &none); /* the driver blocks signals for its own sigwait */
	posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSIGMASK);
	posix_spawn_file_actions_addopen(&fa, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
	posix_spawn_file_actions_adddup2(&fa, out, STDOUT_FILENO);
	posix_spawn_file_actions_adddup2(&fa, out, STDERR_FILENO);
	r = base_spawn(argv[0], (char *const *)(uintptr_t)argv, clean_env, &fa, &attr, ret);
	posix_spawnattr_destroy(&attr);
	posix_spawn_file_actions_destroy(&fa);
	return r;
}

int fs_run_program(const char *const *argv, int *ret_status, char *ret_tail, size_t cap,
		   struct err *e)
{
	int fds[2], status, r;
	pid_t pid;

	if (pipe2(fds, O_CLOEXEC))
		return err_sys(e, -errno, "no pipe for %s", argv[0]);
	r = spawn(argv, fds[1], &pid);
	close(fds[1]);
	if (r) {
		close(fds[0]);
		return err_sys(e, r == -ENOENT ? -EHOSTDOWN : r, "the program %s can't be run",
			       argv[0]);
	}
	drain(fds[0], ret_tail, cap);
	close(fds[0]);
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return err_sys(e, -errno, "waiting for %s", argv[0]);
	flatten(ret_tail);
	if (!WIFEXITED(status))
		return err_set(e, -EIO, "%s was ended by signal %d", argv[0], WTERMSIG(status));
	*ret_status = WEXITSTATUS(status);
	return 0;
}
