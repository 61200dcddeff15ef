// SPDX-License-Identifier: Apache-2.0
// Records of uses that a reboot made untrue. Mounts and mappings end with the kernel, records
// don't, and a CO that has forgotten its own (a node that was set up anew) will never undo them.
#include "internal.h"

#include <cryptvol/block.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#define BOOT_ID_BYTES 64

struct past_use {
	char id[BACKEND_ID_MAX + 1], path[4096];
	enum backend_use_kind kind;
};

static int read_boot_id(char ret[BOOT_ID_BYTES], struct err *e)
{
	_cleanup_close_ int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, ret, BOOT_ID_BYTES - 1);

	if (n <= 0)
		return err_sys(e, -errno, "the kernel's boot id can't be read");
	ret[n] = '\0';
	ret[strcspn(ret, "\n")] = '\0';
	return 0;
}

/* All uses of this node's half. The caller frees *ret. */
static int list_uses(struct backend *b, struct past_use **ret, size_t *ret_n, struct err *e)
{
	struct past_use *list = NULL, *grown;
	sqlite3_stmt *s;
	size_t n = 0;
	int r;

	r = state_query(b, &s, e, "SELECT volume_id, kind, path FROM uses WHERE kind<>?", "i",
			(int64_t)BACKEND_USE_NODE);
	if (r)
		return r;
	while ((r = state_step(b, s, e)) == 1) {
		grown = reallocarray(list, n + 1, sizeof(*list));
		if (!grown) {
			r = err_set(e, -ENOMEM, "no memory for the list of uses");
			break;
		}
		list = grown;
		list[n].kind = (enum backend_use_kind)sqlite3_column_int(s, 1);
		/* What is too long for us was never written by us: it stays. */
		if (!text_copy(list[n].id, sizeof(list[n].id), state_text(s, 0)) &&
		    !text_copy(list[n].path, sizeof(list[n].path), state_text(s, 2)))
			n++;
	}
	sqlite3_finalize(s);
	if (r < 0) {
		free(list);
		return r;
	}
	*ret = list;
	*ret_n = n;
	return 0;
}

static bool same_boot(struct backend *b, const char *boot_id)
{
	sqlite3_stmt *s;
	bool same;

	if (state_query(b, &s, NULL, "SELECT 1 FROM meta WHERE key='boot_id' AND value=?", "t",
			boot_id))
		return false;
	same = state_step(b, s, NULL) == 1;
	sqlite3_finalize(s);
	return same;
}

bool backend_use_holds(struct backend *b, const char *id, enum backend_use_kind k, const char *path)
{
	char file[sizeof(b->dir) + BACKEND_ID_MAX + 32], loop[64];

	if (k == BACKEND_USE_NODE || !b->use_holds)
		return true;
	image_path(b, false, id, file, sizeof(file));
	return !block_find_loop(file, loop, sizeof(loop), NULL) ||
	       b->use_holds(b->use_arg, id, k, path);
}

int uses_sweep(struct backend *b, size_t *ret_dropped, struct err *e)
{
	_cleanup_free_ struct past_use *list = NULL;
	char boot_id[BOOT_ID_BYTES];
	size_t n = 0, dropped = 0;
	int r;

	r = read_boot_id(boot_id, e);
	r = r ?: state_begin(b, e);
	if (r)
		return r;
	if (same_boot(b, boot_id)) {
		*ret_dropped = 0;
		return state_end(b, true, e);
	}
	r = list_uses(b, &list, &n, e);
	for (size_t i = 0; !r && i < n; i++) {
		if (backend_use_holds(b, list[i].id, list[i].kind, list[i].path))
			continue;
		r = state_run(b, NULL, e,
			      "DELETE FROM uses WHERE volume_id=? AND kind=? AND path=?", "tit",
			      list[i].id, (int64_t)list[i].kind, list[i].path);
		dropped++;
	}
	r = r
		    ?: state_run(b, NULL, e, "INSERT OR REPLACE INTO meta VALUES('boot_id', ?)",
				 "t", boot_id);
	if (r)
		return state_end(b, false, NULL), r;
	r = state_end(b, true, e);
	if (!r)
		*ret_dropped = dropped;
	return r;
}
