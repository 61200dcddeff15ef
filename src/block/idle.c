// SPDX-License-Identifier: Apache-2.0
// Who else uses a device or an image file just now: by other loop devices, and by mappings of LUKS
// volumes. Source: the kernel's sysfs-block ABI ("holders"), loop(4).
#include "internal.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/sysmacros.h>

static int open_claim(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_EXCL), r = fd < 0 ? -errno : 0;

	if (fd >= 0)
		close(fd);
	return r;
}

/* Have two loop devices over one file bytes in common? */
static bool overlap(const struct block_loop *a, const struct block_loop *b)
{
	uint64_t a_end = a->limit_bytes ? a->offset_bytes + a->limit_bytes : UINT64_MAX;
	uint64_t b_end = b->limit_bytes ? b->offset_bytes + b->limit_bytes : UINT64_MAX;

	return a->offset_bytes < b_end && b->offset_bytes < a_end;
}

static const struct block_loop *own_loop(const struct block_device *d, const struct block_loop *l,
					 size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (!d->regular_file && l[i].major == d->major && l[i].minor == d->minor)
			return &l[i];
	return NULL;
}

int block_check_idle(const struct block_device *d, struct err *e)
{
	const struct block_loop *own;
	struct block_loop *loops;
	struct stat st;
	size_t n;
	int r = 0;

	if (d->regular_file) {
		if (fstat(block_metadata_fd(d), &st))
			return err_sys(e, -errno, "%s can't be examined", d->given);
		return block_loop_check_unused(&st, d->file_fd >= 0 ? d->path : "", d->given, e);
	}
	r = block_loop_list(&loops, &n, e);
	if (r)
		return r;
	own = own_loop(d, loops, n);
	for (size_t i = 0; own && i < n && !r; i++)
		if (&loops[i] != own && loops[i].file_device == own->file_device &&
		    loops[i].file_inode == own->file_inode && overlap(&loops[i], own) &&
		    open_claim(loops[i].path) == -EBUSY)
			r = err_set(e, -EBUSY, "the file of %s is in use through %s", d->given,
				    loops[i].path);
	free(loops);
	return r;
}

static int add_crypt(const char *folder, const char *name, struct block_number **list, size_t *n,
		     const char *device, struct err *e)
{
	_cleanup_free_ char *uuid = NULL, *number = NULL;
	struct block_number *more;
	char path[1024], *colon;

	snprintf(path, sizeof(path), "%s/%s/dm/uuid", folder, name);
	if (io_read_file(path, 4096, &uuid, NULL) || strncmp(uuid, "CRYPT-LUKS", 10) != 0)
		return err_set(e, -EBUSY, "%s is used by %s, which is no LUKS volume", device,
			       name);
	snprintf(path, sizeof(path), "%s/%s/dev", folder, name);
	colon = io_read_file(path, 64, &number, NULL) ? NULL : strchr(number, ':');
	more = colon ? reallocarray(*list, *n + 1, sizeof(*more)) : NULL;
	if (!more)
		return err_set(e, -EBUSY, "it can't be found out what uses %s", device);
	*list = more;
	*colon = '\0';
	colon[1 + strcspn(colon + 1, "\n")] = '\0';
	if (text_parse_u32(number, &more[*n].major) || text_parse_u32(colon + 1, &more[*n].minor))
		return err_set(e, -EBUSY, "it can't be found out what uses %s", device);
	++*n;
	return 0;
}

static int add_holders(uint32_t major, uint32_t minor, const char *device,
		       struct block_number **list, size_t *n, struct err *e)
{
	struct dirent *entry;
	size_t before = *n;
	char folder[512];
	DIR *dir;
	int r = 0;

	block_sysfs_path(major, minor, "holders", folder, sizeof(folder));
	dir = opendir(folder);
	while (dir && !r && (entry = readdir(dir)))
		if (entry->d_name[0] != '.')
			r = add_crypt(folder, entry->d_name, list, n, device, e);
	if (dir)
		closedir(dir);
	if (!r && *n == before)
		r = err_set(e, -EBUSY, "%s is in use (mounted or claimed)", device);
	return r;
}

/* Of an image file: each loop device over it that somebody claims. */
static int add_by_loops(const struct block_device *d, struct block_number **list, size_t *n,
			struct err *e)
{
	struct block_loop *loops;
	struct stat st;
	size_t n_loops;
	int r;

	if (fstat(block_metadata_fd(d), &st))
		return err_sys(e, -errno, "%s can't be examined", d->given);
	r = block_loop_list(&loops, &n_loops, e);
	if (r)
		return r;
	for (size_t i = 0; i < n_loops && !r; i++)
		if (block_loop_over(&loops[i], &st) && open_claim(loops[i].path) == -EBUSY)
			r = add_holders(loops[i].major, loops[i].minor, loops[i].path, list, n, e);
	free(loops);
	return r;
}

int block_find_crypt(const struct block_device *d, struct block_number **ret, size_t *ret_n,
		     struct err *e)
{
	struct block_number *list = NULL;
	size_t n = 0;
	int r = 0;

	if (d->regular_file)
		r = add_by_loops(d, &list, &n, e);
	else if (open_claim(d->path) == -EBUSY)
		r = add_holders(d->major, d->minor, d->given, &list, &n, e);
	if (r) {
		free(list);
		return r;
	}
	*ret = list;
	*ret_n = n;
	return 0;
}
