// SPDX-License-Identifier: Apache-2.0
// Whole files into memory: every size about the steps in which the buffer grows, limits, files of
// /proc. And children: they keep no descriptor of ours.
#include <cryptvol/base.h>

#include "check.h"

#include <fcntl.h>
#include <malloc.h>
#include <sys/wait.h>

static char path[] = "/tmp/test-base-io.XXXXXX";

static void fill(size_t n)
{
	int fd = open(path, O_WRONLY | O_TRUNC);

	for (size_t i = 0; i < n; i++)
		if (write(fd, (char[]){ (char)('a' + i % 26) }, 1) != 1)
			abort();
	close(fd);
}

static void sizes(void)
{
	static const size_t list[] = { 0, 1, 4095, 4096, 4097, 8191, 8192, 8193, 20000 };

	for (size_t i = 0; i < ARRAY_SIZE(list); i++) {
		size_t n = list[i], len = 99;
		char *text = NULL;

		fill(n);
		REQUIRE(io_read_file(path, 1u << 24, &text, &len) == 0);
		CHECK_INT(len, n);
		CHECK_INT(strlen(text), n);
		CHECK(!n || text[n - 1] == (char)('a' + (n - 1) % 26));
		CHECK_MSG(malloc_usable_size(text) < 65536, "a small file took %zu bytes",
			  malloc_usable_size(text));
		free(text);
		CHECK_INT(io_read_file(path, n, &text, &len), 0); /* just as many as allowed */
		free(text);
		text = NULL;
		CHECK_INT(n ? io_read_file(path, n - 1, &text, &len) : -EFBIG, -EFBIG);
		CHECK(!text);
	}
}

static void proc(void)
{
	size_t len = 0;
	char *text = NULL;

	CHECK_INT(io_read_file("/proc/self/maps", 1u << 24, &text, &len), 0);
	REQUIRE(text);
	CHECK(len > 1000 && text[len] == '\0');
	free(text);
	CHECK_INT(io_read_file("/nonexistent", 10, &text, &len), -ENOENT);
}

/* The descriptor isn't close-on-exec, and still the child hasn't got it. */
static void children(void)
{
	char look[64], sh[] = "sh", c[] = "-c", *argv[] = { sh, c, look, NULL }, *envp[] = { NULL };
	int fd = open(path, O_RDONLY), status = 99; // NOLINT(android-cloexec-open)
	pid_t pid;

	snprintf(look, sizeof(look), "test ! -e /proc/self/fd/%d", fd);
	CHECK_INT(base_spawn("/bin/sh", argv, envp, NULL, NULL, &pid), 0);
	REQUIRE(waitpid(pid, &status, 0) == pid);
	CHECK_INT(status, 0);
	CHECK_INT(base_spawn("/nonexistent", argv, envp, NULL, NULL, &pid), -ENOENT);
	base_spawn_settle();
	close(fd);
}

int main(void)
{
	int fd = mkstemp(path);

	if (fd < 0)
		return 1;
	close(fd);
	RUN(sizes);
	RUN(proc);
	RUN(children);
	unlink(path);
	return check_exit();
}
