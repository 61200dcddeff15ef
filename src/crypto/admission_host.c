// SPDX-License-Identifier: Apache-2.0
// The admission queue of a host: byte-range locks on one file, that the kernel drops when a process
// dies.
#include "kdf.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

/*
 * Byte 0 is the turnstile: whoever waits for memory holds it exclusively, and the kernel queues the
 * others behind it in the order in which they came. Each running derivation holds, through an open
 * file description of its own, a range of as many bytes as it uses KiB, at or above RANGES_START.
 * The sum of all ranges is what is in use; nobody adds a range without the turnstile. Nothing is
 * ever written to the file.
 */
#define LOCK_NAME "kdf-memory.lock"
#define TURNSTILE 0
#define RANGES_START 4096
#define HOLDERS_MAX 4096

static int set_lock(int fd, int cmd, short type, uint64_t start, uint64_t len)
{
	struct flock fl = {
		.l_type = type, .l_whence = SEEK_SET, .l_start = (off_t)start, .l_len = (off_t)len
	};

	while (fcntl(fd, cmd, &fl)) {
		if (errno != EINTR)
			return -errno;
	}
	return 0;
}

int crypto_host_open(const char *dir)
{
	char path[4096];
	int fd, n;

	n = snprintf(path, sizeof(path), "%s/" LOCK_NAME, dir);
	if (n < 0 || (size_t)n >= sizeof(path))
		return -ENAMETOOLONG;
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0 && errno == ENOENT) {
		if (mkdir(dir, 0700) && errno != EEXIST)
			return -errno;
		fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	}
	return fd < 0 ? -errno : fd;
}

int crypto_host_queue(int fd, bool if_free)
{
	int r = set_lock(fd, if_free ? F_OFD_SETLK : F_OFD_SETLKW, F_WRLCK, TURNSTILE, 1);

	return if_free && (r == -EAGAIN || r == -EACCES) ? -EBUSY : r;
}

void crypto_host_pass(int fd)
{
	set_lock(fd, F_OFD_SETLK, F_UNLCK, TURNSTILE, 1);
}

void crypto_host_close(int fd)
{
	if (fd < 0)
		return;
	set_lock(fd, F_OFD_SETLK, F_UNLCK, 0, 0);
	close(fd);
}

/* Any one range in [from, to), 0 = up to the end; *ret_len = 0 where there is none. */
static int find_range(int fd, uint64_t from, uint64_t to, uint64_t *ret_start, uint64_t *ret_len)
{
	struct flock fl = { .l_type = F_WRLCK,
			    .l_whence = SEEK_SET,
			    .l_start = (off_t)from,
			    .l_len = to ? (off_t)(to - from) : 0 };

	if (fcntl(fd, F_OFD_GETLK, &fl))
		return -errno;
	*ret_len = fl.l_type == F_UNLCK ? 0 : (uint64_t)fl.l_len;
	*ret_start = (uint64_t)fl.l_start;
	return 0;
}

static void count_range(struct crypto_host *h, uint64_t start, uint64_t len)
{
	h->units += len;
	if (start + len > h->end)
		h->end = start + len;
	if (!h->shortest_units || len < h->shortest_units) {
		h->shortest = start;
		h->shortest_units = len;
	}
}

/* F_OFD_GETLK names any lock in a range, not the first: split what is still to be searched around
 * it. */
int crypto_host_look(int fd, struct crypto_host *ret)
{
	struct crypto_host h = { .end = RANGES_START };
	struct {
		uint64_t from, to;
	} todo[256] = { { RANGES_START, 0 } };
	size_t n = 1, seen = 0;

	while (n) {
		uint64_t from = todo[n - 1].from, to = todo[n - 1].to, start = 0, len = 0;
		int r = find_range(fd, from, to, &start, &len);

		if (r)
			return r;
		n--;
		if (!len)
			continue;
		if (start < from || ++seen > HOLDERS_MAX || n + 2 > ARRAY_SIZE(todo))
			return -EPROTO;
		count_range(&h, start, len);
		/* the gap below is small as a rule: search it first, so that the list stays short
		 */
		if (!to || start + len < to) {
			todo[n].from = start + len;
			todo[n++].to = to;
		}
		if (start > from) {
			todo[n].from = from;
			todo[n++].to = start;
		}
	}
	*ret = h;
	return 0;
}

int crypto_host_wait(int fd, uint64_t start)
{
	int r = set_lock(fd, F_OFD_SETLKW, F_RDLCK, start, 1);

	return r ? r : set_lock(fd, F_OFD_SETLK, F_UNLCK, start, 1);
}

int crypto_host_claim(int fd, const struct crypto_host *h, uint64_t units)
{
	return set_lock(fd, F_OFD_SETLK, F_WRLCK, h->end, units);
}
