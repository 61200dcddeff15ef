// SPDX-License-Identifier: Apache-2.0
// The recorder: an operation is a write or a flush, in the order in which a program made them.
#include "recorder.h"

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

#define OPS_MAX 4096
#define SECTOR 512u
#define LOG_MAGIC 0x6a736677736872ull /* drivers/md/dm-log-writes.c */
#define LOG_FLUSH 1u

struct op {
	bool flush;
	uint64_t offset;
	size_t len;
	unsigned char *data;
};

static struct op ops[OPS_MAX];
static size_t n_ops;
static int recorded_fd = -1;

ssize_t __real_pwrite64(int fd, const void *buf, size_t len, off_t offset);
ssize_t __wrap_pwrite64(int fd, const void *buf, size_t len, off_t offset);
int __real_fsync(int fd);
int __wrap_fsync(int fd);
int __real_fdatasync(int fd);
int __wrap_fdatasync(int fd);

static void die(const char *what)
{
	fprintf(stderr, "recorder: %s\n", what);
	exit(2);
}

static struct op *new_op(void)
{
	if (n_ops == OPS_MAX)
		die("too many operations");
	memset(&ops[n_ops], 0, sizeof(ops[0]));
	return &ops[n_ops++];
}

static void record_flush(int fd)
{
	if (fd == recorded_fd)
		new_op()->flush = true;
}

ssize_t __wrap_pwrite64(int fd, const void *buf, size_t len, off_t offset)
{
	ssize_t n = __real_pwrite64(fd, buf, len, offset);

	if (fd == recorded_fd && n > 0) {
		struct op *op = new_op();

		if (offset % SECTOR || n % SECTOR)
			die("a write of parts of sectors");
		op->offset = (uint64_t)offset;
		op->len = (size_t)n;
		op->data = malloc((size_t)n);
		if (!op->data)
			die("out of memory");
		memcpy(op->data, buf, (size_t)n);
	}
	return n;
}

int __wrap_fsync(int fd)
{
	record_flush(fd);
	return __real_fsync(fd);
}

int __wrap_fdatasync(int fd)
{
	record_flush(fd);
	return __real_fdatasync(fd);
}

void recorder_start(int fd)
{
	recorded_fd = fd;
}

void recorder_stop(void)
{
	recorded_fd = -1;
}

unsigned int recorder_flushes(void)
{
	unsigned int n = 0;

	for (size_t i = 0; i < n_ops; i++)
		n += ops[i].flush;
	return n;
}

/* [*ret_first, *ret_end) are the operations of epoch @number, its flush included. */
static void find_epoch(unsigned int number, size_t *ret_first, size_t *ret_end)
{
	size_t first = 0;

	for (size_t i = 0; i < n_ops; i++) {
		if (!ops[i].flush)
			continue;
		if (--number == 0) {
			*ret_first = first;
			*ret_end = i + 1;
			return;
		}
		first = i + 1;
	}
	die("the plant names an epoch that isn't there");
}

static void remove_op(size_t i)
{
	free(ops[i].data);
	memmove(ops + i, ops + i + 1, (n_ops - i - 1) * sizeof(ops[0]));
	n_ops--;
}

/* Rotate [a, c) so that [b, c) comes first. */
static void rotate(size_t a, size_t b, size_t c)
{
	struct op *tmp = calloc(c - a, sizeof(*tmp));

	if (!tmp)
		die("out of memory");
	memcpy(tmp, ops + b, (c - b) * sizeof(*tmp));
	memcpy(tmp + (c - b), ops + a, (b - a) * sizeof(*tmp));
	memcpy(ops + a, tmp, (c - a) * sizeof(*tmp));
	free(tmp);
}

void recorder_plant(const char *plant)
{
	const char *colon = strchr(plant, ':');
	unsigned long number = colon ? strtoul(colon + 1, NULL, 10) : 0;
	size_t first, end;

	if (number == 0)
		die("a plant is drop:N, late:N or early:N");
	find_epoch((unsigned int)number, &first, &end);
	if (!strncmp(plant, "drop:", 5))
		remove_op(end - 1);
	else if (!strncmp(plant, "late:", 5))
		rotate(first, end, n_ops);
	else if (!strncmp(plant, "early:", 6))
		rotate(0, first, end);
	else
		die("a plant is drop:N, late:N or early:N");
}

static void put_u64(unsigned char *p, uint64_t v)
{
	for (int i = 0; i < 8; i++)
		p[i] = (unsigned char)(v >> (8 * i));
}

static void save_sector(FILE *f, const uint64_t *numbers, size_t n)
{
	unsigned char sector[SECTOR] = { 0 };

	for (size_t i = 0; i < n; i++)
		put_u64(sector + 8 * i, numbers[i]);
	if (fwrite(sector, sizeof(sector), 1, f) != 1)
		die("the log can't be written");
}

void recorder_save(const char *path)
{
	const uint64_t super[] = { LOG_MAGIC, 1, n_ops, SECTOR };
	FILE *f = fopen(path, "wb");

	if (!f)
		die("the log can't be made");
	save_sector(f, super, 4);
	for (size_t i = 0; i < n_ops; i++) {
		const struct op *op = &ops[i];
		const uint64_t entry[] = { op->offset / SECTOR, op->len / SECTOR,
					   op->flush ? LOG_FLUSH : 0, 0 };

		save_sector(f, entry, 4);
		if (op->len && fwrite(op->data, op->len, 1, f) != 1)
			die("the log can't be written");
	}
	if (fclose(f))
		die("the log can't be written");
}
