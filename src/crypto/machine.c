// SPDX-License-Identifier: Apache-2.0
// How much memory there is, and how much is left: /proc/meminfo, and the memory control groups of
// both versions up to the root. How many processors are idle.
#include "internal.h"

#include <limits.h>
#include <sched.h>
#include <stdio.h>

#define FILE_MAX_BYTES (64 * 1024)
#define PATH_MAX_BYTES 4096 /* the kernel opens no longer one */
#define UNLIMITED_BYTES (1ull << 60) /* version 1 writes "no limit" as the biggest page count */

/* Where a version keeps what we read, and what its memory.stat calls the page cache. */
struct cgroup_version {
	const char *mounts[2];
	const char *max_file, *current_file;
	const char *cache_names[2];
};
static const struct cgroup_version cgroup_v2 = {
	{ "/sys/fs/cgroup", "/sys/fs/cgroup/unified" },
	"memory.max",
	"memory.current",
	{ "inactive_file ", "active_file " },
};
static const struct cgroup_version cgroup_v1 = {
	{ "/sys/fs/cgroup/memory", NULL },
	"memory.limit_in_bytes",
	"memory.usage_in_bytes",
	{ "total_inactive_file ", "total_active_file " },
};

/* The number that @text starts with, blanks apart. */
static bool leading_number(const char *text, uint64_t *ret)
{
	char *end;

	text += strspn(text, " \t");
	if (*text < '0' || *text > '9')
		return false;
	errno = 0;
	*ret = strtoull(text, &end, 10);
	return !errno && end != text;
}

/* The number behind @name at the start of a line. */
static bool find_number(const char *text, const char *name, uint64_t *ret)
{
	for (const char *line = text; line; line = strchr(line, '\n')) {
		line += *line == '\n';
		if (!strncmp(line, name, strlen(name)))
			return leading_number(line + strlen(name), ret);
	}
	return false;
}

static int read_meminfo(const char *root, struct crypto_memory *m, struct err *e)
{
	_cleanup_free_ char *text = NULL;
	char path[PATH_MAX_BYTES];
	uint64_t total, available;
	int r;

	snprintf(path, sizeof(path), "%s/proc/meminfo", root);
	r = io_read_file(path, FILE_MAX_BYTES, &text, NULL);
	if (r)
		return err_sys(e, r, "%s can't be read", path);
	if (!find_number(text, "MemTotal:", &total))
		return err_set(e, -EIO, "%s has no MemTotal", path);
	if (!find_number(text, "MemAvailable:", &available))
		available = total;
	m->total_bytes = total * 1024;
	m->available_bytes = available * 1024;
	return 0;
}

/* A file of one number in a control group; anything else ("max", no such file) is no limit. */
static uint64_t read_limit(const char *dir, const char *name, char *path, size_t cap)
{
	_cleanup_free_ char *text = NULL;
	uint64_t v;

	snprintf(path, cap, "%s/%s", dir, name);
	if (io_read_file(path, FILE_MAX_BYTES, &text, NULL) || !leading_number(text, &v) ||
	    v >= UNLIMITED_BYTES)
		return UINT64_MAX;
	return v;
}

/* Page cache that the group is charged for: the kernel drops it before it runs out. */
static uint64_t read_cache_bytes(const struct cgroup_version *v, const char *dir)
{
	_cleanup_free_ char *text = NULL;
	char path[PATH_MAX_BYTES];
	uint64_t sum = 0, n;

	snprintf(path, sizeof(path), "%s/memory.stat", dir);
	if (io_read_file(path, FILE_MAX_BYTES, &text, NULL))
		return 0;
	for (size_t i = 0; i < ARRAY_SIZE(v->cache_names); i++)
		if (find_number(text, v->cache_names[i], &n))
			sum += n;
	return sum;
}

static void look_at_group(const struct cgroup_version *v, const char *dir, struct crypto_memory *m)
{
	char path[PATH_MAX_BYTES], unused[PATH_MAX_BYTES];
	uint64_t max = read_limit(dir, v->max_file, path, sizeof(path)), used, cache, left;

	if (max == UINT64_MAX)
		return;
	if (max < m->cgroup_max_bytes) {
		m->cgroup_max_bytes = max;
		snprintf(m->cgroup_file, sizeof(m->cgroup_file), "%.*s",
			 (int)sizeof(m->cgroup_file) - 1, path);
	}
	used = read_limit(dir, v->current_file, unused, sizeof(unused));
	if (used == UINT64_MAX)
		used = 0;
	cache = read_cache_bytes(v, dir);
	used -= cache < used ? cache : used;
	left = used < max ? max - used : 0;
	if (left < m->cgroup_available_bytes)
		m->cgroup_available_bytes = left;
}

/*
 * From the group up to the mount's root. In a container without a cgroup namespace the path is the
 * host's and the mount shows our own group only: then the lower levels don't exist, and the mount's
 * root is ours.
 */
static void walk_groups(const struct cgroup_version *v, const char *root, const char *group,
			struct crypto_memory *m)
{
	for (size_t i = 0; i < ARRAY_SIZE(v->mounts) && v->mounts[i]; i++) {
		char dir[PATH_MAX_BYTES - 64];
		size_t base;
		int n;

		n = snprintf(dir, sizeof(dir), "%s%s", root, v->mounts[i]);
		if (n < 0 || (size_t)n >= sizeof(dir))
			continue;
		base = (size_t)n;
		n = snprintf(dir + base, sizeof(dir) - base, "%s", group);
		if (n < 0 || (size_t)n >= sizeof(dir) - base)
			dir[base] = '\0';
		for (;;) {
			char *slash;

			look_at_group(v, dir, m);
			slash = strrchr(dir + base, '/');
			if (!slash)
				break;
			*slash = '\0';
		}
	}
}

/* "memory" as a whole word in a comma-separated list that ends at ':'. */
static bool lists_memory(const char *controllers)
{
	for (const char *p = controllers; *p && *p != ':'; p++) {
		if (!strncmp(p, "memory", 6) && (p[6] == ',' || p[6] == ':'))
			return true;
		p += strcspn(p, ",:");
		if (*p != ',')
			break;
	}
	return false;
}

int crypto_memory_read(const char *root, struct crypto_memory *ret, struct err *e)
{
	struct crypto_memory m = { .cgroup_max_bytes = UINT64_MAX,
				   .cgroup_available_bytes = UINT64_MAX };
	_cleanup_free_ char *text = NULL;
	char path[PATH_MAX_BYTES], *line, *save = NULL;
	int r;

	r = read_meminfo(root, &m, e);
	if (r)
		return r;
	snprintf(path, sizeof(path), "%s/proc/self/cgroup", root);
	if (!io_read_file(path, FILE_MAX_BYTES, &text, NULL)) {
		for (line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
			char *controllers = strchr(line, ':'), *group;

			group = controllers ? strchr(controllers + 1, ':') : NULL;
			if (!group)
				continue;
			if (!strncmp(line, "0::", 3))
				walk_groups(&cgroup_v2, root, group + 1, &m);
			else if (lists_memory(controllers + 1))
				walk_groups(&cgroup_v1, root, group + 1, &m);
		}
	}
	*ret = m;
	return 0;
}

int crypto_machine_memory(uint64_t *ret_total_bytes, uint64_t *ret_available_bytes, struct err *e)
{
	struct crypto_memory m;
	int r;

	r = crypto_memory_read("", &m, e);
	if (r)
		return r;
	*ret_total_bytes = m.total_bytes < m.cgroup_max_bytes ? m.total_bytes : m.cgroup_max_bytes;
	*ret_available_bytes = m.available_bytes < m.cgroup_available_bytes
				       ? m.available_bytes
				       : m.cgroup_available_bytes;
	return 0;
}

/* The fourth field: how many threads run or could, the one that asks included. */
static unsigned int running_threads(void)
{
	_cleanup_free_ char *text = NULL;
	uint64_t running;
	char *field;

	if (io_read_file("/proc/loadavg", FILE_MAX_BYTES, &text, NULL))
		return UINT_MAX;
	field = text;
	for (unsigned int i = 0; field && i < 3; i++) {
		field = strchr(field, ' ');
		field = field ? field + 1 : NULL;
	}
	return field && leading_number(field, &running) ? (unsigned int)running : UINT_MAX;
}

unsigned int crypto_machine_free_cpus(void)
{
	unsigned int usable, running;
	cpu_set_t set;

	if (sched_getaffinity(0, sizeof(set), &set))
		return 1;
	usable = (unsigned int)CPU_COUNT(&set);
	running = running_threads();
	return usable > running ? usable - running + 1 : 1;
}
