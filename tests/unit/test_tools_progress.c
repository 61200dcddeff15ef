// SPDX-License-Identifier: Apache-2.0
// The progress line: on a terminal only, after two seconds, with rate and ETA.
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <unistd.h>

#include "../../tools/cli.h"
#include "check.h"

#define MIB (1024ull * 1024)

/* Standard error becomes @fd; returns the old one. */
static int redirect(int fd)
{
	int old = dup(STDERR_FILENO);

	fflush(stderr);
	dup2(fd, STDERR_FILENO);
	return old;
}

static void restore(int old)
{
	fflush(stderr);
	dup2(old, STDERR_FILENO);
	close(old);
}

/* What came out so far. */
static size_t take(int fd, char *buf, size_t cap)
{
	struct pollfd p = { fd, POLLIN, 0 };
	size_t n = 0;

	while (n < cap - 1 && poll(&p, 1, 100) > 0 && p.revents & POLLIN) {
		ssize_t got = read(fd, buf + n, cap - 1 - n);

		if (got <= 0)
			break;
		n += (size_t)got;
	}
	buf[n] = '\0';
	return n;
}

static void progress_on_a_terminal(void)
{
	struct cli_progress p = { 0 };
	int master = posix_openpt(O_RDWR | O_NOCTTY), slave, old;
	char early[256], late[256], end[256];

	REQUIRE(master >= 0 && !grantpt(master) && !unlockpt(master));
	slave = open(ptsname(master), O_RDWR | O_NOCTTY);
	REQUIRE(slave >= 0);
	old = redirect(slave);
	cli_progress_show(&p, 0, 400 * MIB);
	usleep(500000);
	cli_progress_show(&p, 10 * MIB, 400 * MIB);
	take(master, early, sizeof(early));
	usleep(1700000);
	cli_progress_show(&p, 100 * MIB, 400 * MIB);
	take(master, late, sizeof(late));
	cli_progress_end(&p);
	take(master, end, sizeof(end));
	restore(old);
	close(slave);
	close(master);
	CHECK_STR(early, "");
	CHECK_CONTAINS(late, "\rProgress:  25.0%, ETA 00m0");
	CHECK_CONTAINS(late, " 100 MiB written, speed ");
	CHECK_CONTAINS(late, " MiB/s");
	CHECK_STR(end, "\r\n");
}

static void nothing_in_a_file(void)
{
	struct cli_progress p = { .start = 0.001 };
	int fds[2], old;
	char out[256];

	REQUIRE(!pipe(fds));
	old = redirect(fds[1]);
	cli_progress_show(&p, 1, 2);
	cli_progress_end(&p);
	restore(old);
	close(fds[1]);
	take(fds[0], out, sizeof(out));
	close(fds[0]);
	CHECK_STR(out, "");
}

int main(void)
{
	RUN(progress_on_a_terminal);
	RUN(nothing_in_a_file);
	return check_exit();
}
