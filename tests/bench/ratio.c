// SPDX-License-Identifier: Apache-2.0
// Run several commands in turn, A B A B, and say what each one cost.
//
// usage: ratio [-b FILE] [-w MIB] ROUNDS -- COMMAND... [-- COMMAND...]...
// A line a run: the command's number, processor time in us, peak of memory in KiB, time in us. -b:
// before each command make FILE anew, a sparse file of 64 MiB. -w: before each
// command touch that much memory and give it back.
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define COMMANDS_MAX 8
#define ROUNDS_MAX 1000
#define BLANK_BYTES (64 << 20)

struct cost {
	uint64_t cpu_us, rss_kib, wall_us;
};

static void die(const char *what)
{
	perror(what);
	exit(2);
}

static uint64_t now_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

static uint64_t us(struct timeval t)
{
	return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_usec;
}

/* vfork, so that neither a copied address space nor its size counts as the command's. */
static struct cost run(char **argv)
{
	uint64_t start = now_us();
	struct rusage u;
	int status;
	pid_t pid = vfork();

	if (pid == 0) {
		execv(argv[0], argv);
		_exit(127);
	}
	if (pid < 0)
		die("vfork");
	if (wait4(pid, &status, 0, &u) != pid)
		die("wait4");
	if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) {
		fprintf(stderr, "ratio: %s %s: status %d\n", argv[0], argv[1] ? argv[1] : "",
			status);
		exit(1);
	}
	return (struct cost){ us(u.ru_utime) + us(u.ru_stime), (uint64_t)u.ru_maxrss,
			      now_us() - start };
}

static void make_blank(const char *file)
{
	int fd = open(file, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	if (fd < 0 || ftruncate(fd, BLANK_BYTES))
		die(file);
	close(fd);
}

/* The commands behind each "--"; the separators become the ends of the vectors. */
static size_t split(char **argv, char ***commands)
{
	size_t n = 0;

	for (; *argv; argv++) {
		if (strcmp(*argv, "--") != 0)
			continue;
		*argv = NULL;
		if (n == COMMANDS_MAX)
			break;
		commands[n++] = argv + 1;
	}
	return n;
}

/* A virtual machine's memory that was free for a while may be the host's again: the first to touch
 * it would pay for it. */
static void warm(size_t bytes)
{
	void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED)
		die("mmap");
	(void)!madvise(p, bytes, MADV_HUGEPAGE);
	memset(p, 1, bytes);
	munmap(p, bytes);
}

static struct cost run_on(const char *blank, size_t warm_bytes, char **argv)
{
	if (blank)
		make_blank(blank);
	if (warm_bytes)
		warm(warm_bytes);
	return run(argv);
}

int main(int argc, char **argv)
{
	const char *blank = NULL;
	char **commands[COMMANDS_MAX];
	size_t rounds, n, warm_bytes = 0;

	for (; argc > 2 && argv[1][0] == '-'; argv += 2, argc -= 2) {
		if (!strcmp(argv[1], "-b"))
			blank = argv[2];
		else if (!strcmp(argv[1], "-w"))
			warm_bytes = strtoul(argv[2], NULL, 10) << 20;
		else
			break;
	}
	rounds = argc > 3 ? strtoul(argv[1], NULL, 10) : 0;
	n = rounds ? split(argv + 2, commands) : 0;
	if (rounds == 0 || rounds > ROUNDS_MAX || n == 0) {
		fprintf(stderr, "usage: ratio [-b FILE] [-w MIB] ROUNDS -- COMMAND... [-- "
				"COMMAND...]...\n");
		return 2;
	}
	for (size_t i = 0; i < n; i++) /* once beforehand: programs in the page cache */
		run_on(blank, warm_bytes, commands[i]);
	for (size_t r = 0; r < rounds; r++) {
		for (size_t i = 0; i < n; i++) {
			struct cost c = run_on(blank, warm_bytes, commands[i]);

			printf("%zu %llu %llu %llu\n", i, (unsigned long long)c.cpu_us,
			       (unsigned long long)c.rss_kib, (unsigned long long)c.wall_us);
		}
	}
	return 0;
}
