// SPDX-License-Identifier: Apache-2.0
// Pages of secrets as the kernel sees them: guards on both sides, locked, not dumped, empty in a
// child, zero when they come and when they go, from the pool and beyond it.
#include <cryptvol/base.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "check.h"
#include "mapping_flags.h"

#define MANY 200
#define KIB 1024u

static size_t rounded(const struct secret *s)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);

	return s->cap ? (s->cap + page - 1) / page * page : page;
}

/* How a child ends that reads or writes one byte: 0, or the signal. */
static int signal_of_touch(volatile unsigned char *p, bool write)
{
	int status = -1;
	pid_t pid = fork();

	if (pid == 0) {
		signal(SIGSEGV, SIG_DFL);
		if (write)
			*p = 1;
		_exit(*p == 0xff ? 1 : 0);
	}
	if (pid < 0 || waitpid(pid, &status, 0) != pid)
		return -1;
	return WIFSIGNALED(status) ? WTERMSIG(status) : 0;
}

static void check_pages(struct secret *s)
{
	size_t bytes = rounded(s);
	unsigned int locked;
	char flags[512];

	for (size_t i = 0; i < bytes; i++)
		CHECK_MSG(!s->data[i], "byte %zu of %zu", i, s->cap);
	if (!check_sanitized()) {
		CHECK_INT(signal_of_touch(s->data - 1, false), SIGSEGV);
		CHECK_INT(signal_of_touch(s->data - 1, true), SIGSEGV);
		CHECK_INT(signal_of_touch(s->data + bytes, false), SIGSEGV);
		CHECK_INT(signal_of_touch(s->data + bytes, true), SIGSEGV);
		CHECK_INT(signal_of_touch(s->data, true), 0);
		CHECK_INT(signal_of_touch(s->data + bytes - 1, true), 0);
	}
	memset(s->data, 0xff, bytes);
	mapping_flags(s->data, flags, sizeof(flags), &locked);
	CHECK_CONTAINS(flags, " dd"); /* not in core dumps */
	CHECK_CONTAINS(flags, " wf"); /* wiped in a child */
	CHECK_CONTAINS(flags, " lo");
	CHECK_MSG(locked * 1024 == bytes, "%u KiB locked of %zu bytes", locked, bytes);
}

static bool may_lock(void)
{
	struct rlimit l;

	return geteuid() == 0 || (!getrlimit(RLIMIT_MEMLOCK, &l) && l.rlim_cur >= 8u << 20);
}

/* More than the pool holds, of sizes that come and go: each with guards, nothing of the last owner.
 */
static void pages_are_guarded_and_locked(void)
{
	static const size_t caps[] = { 0, 1, 64, 4096, 4097, 65536, 258048, 1 << 20 };
	struct secret *s[3 * ARRAY_SIZE(caps)] = { 0 };

	if (!may_lock())
		SKIP_TEST("too little memory may be locked");
	for (size_t round = 0; round < 2; round++) {
		for (size_t i = 0; i < ARRAY_SIZE(s); i++) {
			REQUIRE(!secret_new(caps[i % ARRAY_SIZE(caps)], &s[i], NULL));
			check_pages(s[i]);
		}
		for (size_t i = 0; i < ARRAY_SIZE(s); i++)
			secret_free(s[(i * 5) % ARRAY_SIZE(s)]);
	}
}

/* What was freed is readable at most as zeros: pages of the pool stay, others are gone. */
static void freed_is_wiped(void)
{
	struct secret *s = NULL;
	unsigned char *was;
	int fds[2];
	char got[64] = { 0 }, zero[64] = { 0 };

	REQUIRE(!pipe(fds));
	for (size_t i = 0; i < MANY; i++) {
		ssize_t n;

		REQUIRE(!secret_random(sizeof(got), &s, NULL));
		was = s->data;
		secret_free(s);
		n = write(fds[1], was, sizeof(got)); /* the kernel reads it: no fault here */
		if (n < 0)
			continue;
		CHECK_INT(read(fds[0], got, sizeof(got)), sizeof(got));
		CHECK_MEM(got, zero, sizeof(got));
	}
	close(fds[0]);
	close(fds[1]);
}

static void child_sees_zeros(void)
{
	_cleanup_secret_ struct secret *s = NULL;
	int status = -1;
	pid_t pid;

	REQUIRE(!secret_random(64, &s, NULL));
	memset(s->data, 0xff, 64);
	pid = fork();
	if (pid == 0) {
		for (size_t i = 0; i < 64; i++)
			if (s->data[i])
				_exit(1);
		_exit(0);
	}
	REQUIRE(pid > 0 && waitpid(pid, &status, 0) == pid);
	CHECK_INT(status, 0);
	CHECK_INT(s->data[63], 0xff);
}

/* Many at once: none shares a byte with another. */
static void many_at_once(void)
{
	static struct secret *s[MANY];

	for (size_t i = 0; i < MANY; i++) {
		REQUIRE(!secret_new(i % 7 * 1000, &s[i], NULL));
		memset(s[i]->data, (int)(i & 0xff), rounded(s[i]));
	}
	for (size_t i = 0; i < MANY; i++) {
		for (size_t k = 0; k < rounded(s[i]); k++)
			CHECK_INT(s[i]->data[k], i & 0xff);
		secret_free(s[i]);
	}
}

static void *come_and_go(void *arg)
{
	unsigned char mark = (unsigned char)(uintptr_t)arg;
	uintptr_t bad = 0;

	for (size_t i = 0; i < 2000; i++) {
		struct secret *s = NULL;

		if (secret_new(i % 3 * 4096, &s, NULL))
			return (void *)1;
		for (size_t k = 0; k < rounded(s); k += 64)
			bad |= s->data[k];
		memset(s->data, mark, rounded(s));
		for (size_t k = 0; k < rounded(s); k += 64)
			bad |= s->data[k] ^ mark;
		secret_free(s);
	}
	return (void *)bad;
}

static void threads_dont_meet(void)
{
	pthread_t t[4];

	for (uintptr_t i = 0; i < ARRAY_SIZE(t); i++)
		REQUIRE(!pthread_create(&t[i], NULL, come_and_go, (void *)(i + 1)));
	for (size_t i = 0; i < ARRAY_SIZE(t); i++) {
		void *bad = NULL;

		pthread_join(t[i], &bad);
		CHECK(!bad);
	}
}

/* Key files of every length round the sizes that reading grows through. */
static void reads_any_length(void)
{
	static const size_t lengths[] = { 0,	 1,	4095,	4096,	4097,  65535,
					  65536, 65537, 131072, 131073, 262144 };
	FILE *f = tmpfile();
	unsigned char *bytes = malloc(262144);

	REQUIRE(f && bytes);
	for (size_t i = 0; i < 262144; i++)
		bytes[i] = (unsigned char)(i * 31 + (i >> 8));
	for (size_t i = 0; i < ARRAY_SIZE(lengths); i++) {
		_cleanup_secret_ struct secret *s = NULL, *exact = NULL, *none = NULL;
		struct err e = { 0 };

		REQUIRE(!ftruncate(fileno(f), 0) &&
			pwrite(fileno(f), bytes, lengths[i], 0) == (ssize_t)lengths[i]);
		lseek(fileno(f), 0, SEEK_SET);
		CHECK_MSG(!secret_read_fd(fileno(f), 262144, false, &s, &e), "%s", e.text);
		CHECK(s && s->len == lengths[i] && !memcmp(s->data, bytes, lengths[i]));
		lseek(fileno(f), 0, SEEK_SET);
		CHECK_INT(secret_read_fd(fileno(f), lengths[i], true, &exact, &e), 0);
		CHECK(exact && exact->len == lengths[i] && !memcmp(exact->data, bytes, lengths[i]));
		lseek(fileno(f), 0, SEEK_SET);
		CHECK_INT(secret_read_fd(fileno(f), lengths[i] + 1, true, &none, &e), -EINVAL);
		if (lengths[i]) {
			lseek(fileno(f), 0, SEEK_SET);
			CHECK_INT(secret_read_fd(fileno(f), lengths[i] - 1, false, &none, &e),
				  -EFBIG);
		}
	}
	free(bytes);
	fclose(f);
}

int main(void)
{
	RUN(pages_are_guarded_and_locked);
	RUN(freed_is_wiped);
	RUN(child_sees_zeros);
	RUN(many_at_once);
	RUN(threads_dont_meet);
	RUN(reads_any_length);
	return check_exit();
}
