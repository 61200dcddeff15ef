// SPDX-License-Identifier: Apache-2.0
// A machine made of files: proc and sys below a temporary folder, which is removed at the end.
#pragma once

#include <cryptvol/base.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <sys/stat.h>

#define TREE_PATH_MAX 4096

struct tree {
	char root[64];
};

static inline void tree_make(struct tree *t)
{
	const char *tmp = getenv("TMPDIR");

	snprintf(t->root, sizeof(t->root), "%.40s/tree.XXXXXX", tmp && tmp[0] ? tmp : "/tmp");
	if (!mkdtemp(t->root))
		abort();
}

/** Write @text to the file at @path below the root, with the folders above it. */
static inline void tree_write(const struct tree *t, const char *path, const char *text)
{
	char full[TREE_PATH_MAX];
	int fd;

	snprintf(full, sizeof(full), "%s/%s", t->root, path);
	for (char *p = full + strlen(t->root) + 1; (p = strchr(p, '/')); p++) {
		*p = '\0';
		mkdir(full, 0700);
		*p = '/';
	}
	fd = open(full, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (fd < 0 || write(fd, text, strlen(text)) != (ssize_t)strlen(text))
		abort();
	close(fd);
}

static inline void tree_meminfo(const struct tree *t, unsigned total_mib, unsigned available_mib)
{
	char text[256];

	snprintf(text, sizeof(text),
		 "MemTotal:       %u kB\nMemFree:        17 kB\nMemAvailable:   %u kB\n",
		 total_mib * 1024, available_mib * 1024);
	tree_write(t, "proc/meminfo", text);
}

static inline void tree_swap(const struct tree *t, unsigned total_mib, unsigned swap_mib)
{
	char text[256];

	snprintf(text, sizeof(text), "MemTotal: %u kB\nMemAvailable: %u kB\nSwapTotal: %u kB\n",
		 total_mib * 1024, total_mib * 1024, swap_mib * 1024);
	tree_write(t, "proc/meminfo", text);
}

static inline int tree_remove_one(const char *path, const struct stat *st, int kind, struct FTW *w)
{
	(void)st;
	(void)kind;
	(void)w;
	return remove(path);
}

static inline void tree_remove(const struct tree *t)
{
	nftw(t->root, tree_remove_one, 16, FTW_DEPTH | FTW_PHYS);
}
