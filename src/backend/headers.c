// SPDX-License-Identifier: Apache-2.0
// Where header backups of volumes lie: headers/<id>.<n>.hdr, the last few of each.
#include "internal.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>

#define KEEP_BACKUPS 3

/* Numbers of the backups of @id, or -1. */
static long number_of(const char *file, const char *id)
{
	size_t n = strlen(id);
	const char *end;
	char digits[16];
	uint32_t v;

	if (strncmp(file, id, n) != 0 || file[n] != '.')
		return -1;
	file += n + 1;
	end = strchr(file, '.');
	if (!end || strcmp(end, ".hdr") != 0 || (size_t)(end - file) >= sizeof(digits))
		return -1;
	memcpy(digits, file, (size_t)(end - file));
	digits[end - file] = '\0';
	return text_parse_u32(digits, &v) ? -1 : (long)v;
}

/* Call @fn for each backup of @id. */
static int each(struct backend *b, const char *id,
		void (*fn)(int dirfd, const char *name, long n, void *arg), void *arg,
		struct err *e)
{
	char path[sizeof(b->dir) + 16];
	struct dirent *d;
	DIR *dir;

	snprintf(path, sizeof(path), "%s/headers", b->dir);
	dir = opendir(path);
	if (!dir)
		return err_sys(e, -errno, "%s", path);
	while ((d = readdir(dir))) {
		long n = number_of(d->d_name, id);

		if (n >= 0)
			fn(dirfd(dir), d->d_name, n, arg);
	}
	closedir(dir);
	return 0;
}

static void find_last(int dirfd, const char *name, long n, void *arg)
{
	long *last = arg;

	(void)dirfd;
	(void)name;
	if (n > *last)
		*last = n;
}

/* A key slot that was killed since, or whose volume goes, is in there still: it is overwritten
 * first. (Where that fails, the file goes all the same.) */
static void remove_backup(int dirfd, const char *name)
{
	_cleanup_close_ int fd = openat(dirfd, name, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
	uint64_t bytes;

	if (fd >= 0 && !io_size(fd, &bytes, NULL))
		(void)!image_erase(fd, bytes, NULL);
	(void)!unlinkat(dirfd, name, 0);
}

static void remove_older(int dirfd, const char *name, long n, void *arg)
{
	const long *last = arg;

	if (n <= *last - (KEEP_BACKUPS - 1))
		remove_backup(dirfd, name);
}

static void remove_any(int dirfd, const char *name, long n, void *arg)
{
	(void)n;
	(void)arg;
	remove_backup(dirfd, name);
}

int backend_header_path(struct backend *b, const char *id, char *ret, size_t cap, struct err *e)
{
	long last = 0;
	int r;

	r = each(b, id, find_last, &last, e);
	r = r ?: each(b, id, remove_older, &last, e);
	if (!r && (size_t)snprintf(ret, cap, "%s/headers/%s.%ld.hdr", b->dir, id, last + 1) >= cap)
		r = err_set(e, -ENAMETOOLONG, "the path of a header backup is too long");
	return r;
}

int backend_header_kept(struct backend *b, const char *id, bool *ret, struct err *e)
{
	long last = 0;
	int r = each(b, id, find_last, &last, e);

	if (!r)
		*ret = last > 0;
	return r;
}

int backend_header_forget(struct backend *b, const char *id, struct err *e)
{
	return each(b, id, remove_any, NULL, e);
}
