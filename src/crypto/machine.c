// SPDX-License-Identifier: Apache-2.0
// How much memory there is, and how much is left: /proc/meminfo, and the memory control groups of
// both versions up to the root. How many processors may be used, and how many are idle.
#include "crew.h"
#include "internal.h"

#include <limits.h>
#include <stdio.h>

#define FILE_MAX_BYTES (64 * 1024)
#define PATH_MAX_BYTES 4096 /* the kernel opens no longer one */
#define UNLIMITED_BYTES (1ull << 60) /* version 1 writes "no limit" as the biggest page count */

/* Version 1 has a hierarchy for each controller, version 2 one for all. */
static const char *const v2_mounts[] = { "/sys/fs/cgroup", "/sys/fs/cgroup/unified", NULL };
static const char *const v1_memory_mounts[] = { "/sys/fs/cgroup/memory", NULL };
static const char *const v1_cpu_mounts[] = { "/sys/fs/cgroup/cpu", "/sys/fs/cgroup/cpu,cpuacct",
					     NULL };

/* What a version calls what we read, the page cache in its memory.stat among it. */
struct memory_files {
	const char *max_file, *current_file;
	const char *cache_names[2];
};
static const struct memory_files v2_memory = {
	"memory.max",
	"memory.current",
	{ "inactive_file ", "active_file " },
};
static const struct memory_files v1_memory = {
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
	uint64_t total, available, swap;
	int r;

	snprintf(path, sizeof(path), "%s/proc/meminfo", root);
	r = io_read_file(path, FILE_MAX_BYTES, &text, NULL);
	if (r)
		return err_sys(e, r, "%s can't be read", path);
	if (!find_number(text, "MemTotal:", &total))
		return err_set(e, -EIO, "%s has no MemTotal", path);
	if (!find_number(text, "MemAvailable:", &available))
		available = total;
	if (!find_number(text, "SwapTotal:", &swap))
		swap = 0;
	m->swap_bytes = swap * 1024;
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
static uint64_t read_cache_bytes(const struct memory_files *v, const char *dir)
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

static void look_at_memory(const struct memory_files *v, const char *dir, struct crypto_memory *m)
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

static void look_at_v2_memory(const char *dir, void *arg)
{
	look_at_memory(&v2_memory, dir, arg);
}

static void look_at_v1_memory(const char *dir, void *arg)
{
	look_at_memory(&v1_memory, dir, arg);
}

/*
 * From the group up to the mount's root. In a container without a cgroup namespace the path is the
 * host's and the mount shows our own group only: then the lower levels don't exist, and the mount's
 * root is ours.
 */
static void walk_groups(const char *const *mounts, const char *root, const char *group,
			void (*look)(const char *dir, void *arg), void *arg)
{
	for (; *mounts; mounts++) {
		char dir[PATH_MAX_BYTES - 64];
		size_t base;
		int n;

		n = snprintf(dir, sizeof(dir), "%s%s", root, *mounts);
		if (n < 0 || (size_t)n >= sizeof(dir))
			continue;
		base = (size_t)n;
		n = snprintf(dir + base, sizeof(dir) - base, "%s", group);
		if (n < 0 || (size_t)n >= sizeof(dir) - base)
			dir[base] = '\0';
		for (;;) {
			char *slash;

			look(dir, arg);
			slash = strrchr(dir + base, '/');
			if (!slash)
				break;
			*slash = '\0';
		}
	}
}

/* @name as a whole word in a comma-separated list that ends at ':'. */
static bool lists(const char *controllers, const char *name)
{
	size_t len = strlen(name);

	for (const char *p = controllers; *p && *p != ':'; p++) {
		if (!strncmp(p, name, len) && (p[len] == ',' || p[len] == ':'))
			return true;
		p += strcspn(p, ",:");
		if (*p != ',')
			break;
	}
	return false;
}

/* Where to look for one controller's limits. */
struct controller {
	const char *name;
	const char *const *v1_mounts;
	void (*look_v1)(const char *dir, void *arg), (*look_v2)(const char *dir, void *arg);
};

/* All groups that this process is in, up to the root. */
static void read_groups(const char *root, const struct controller *c, void *arg)
{
	_cleanup_free_ char *text = NULL;
	char path[PATH_MAX_BYTES], *line, *save = NULL;

	snprintf(path, sizeof(path), "%s/proc/self/cgroup", root);
	if (io_read_file(path, FILE_MAX_BYTES, &text, NULL))
		return;
	for (line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		char *controllers = strchr(line, ':'), *group;

		group = controllers ? strchr(controllers + 1, ':') : NULL;
		if (!group)
			continue;
		if (!strncmp(line, "0::", 3))
			walk_groups(v2_mounts, root, group + 1, c->look_v2, arg);
		else if (lists(controllers + 1, c->name))
			walk_groups(c->v1_mounts, root, group + 1, c->look_v1, arg);
	}
}

int crypto_memory_read(const char *root, struct crypto_memory *ret, struct err *e)
{
	static const struct controller memory = { "memory", v1_memory_mounts, look_at_v1_memory,
						  look_at_v2_memory };
	struct crypto_memory m = { .cgroup_max_bytes = UINT64_MAX,
				   .cgroup_available_bytes = UINT64_MAX };
	int r;

	r = read_meminfo(root, &m, e);
	if (r)
		return r;
	read_groups(root, &memory, &m);
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

/* ---- processors ---- */

/* A group's processor time in a period, over that period: what is more would only be throttled. */
static void lower_cpus(uint64_t quota, uint64_t period, unsigned int *cpus)
{
	uint64_t n = period ? quota / period + (quota % period != 0) : UINT64_MAX;

	if (n < *cpus)
		*cpus = n ? (unsigned int)n : 1;
}

/* "QUOTA PERIOD", or "max PERIOD". */
static void look_at_v2_cpus(const char *dir, void *arg)
{
	_cleanup_free_ char *text = NULL;
	char path[PATH_MAX_BYTES], *blank;
	uint64_t quota, period;

	snprintf(path, sizeof(path), "%s/cpu.max", dir);
	if (io_read_file(path, FILE_MAX_BYTES, &text, NULL))
		return;
	blank = strchr(text, ' ');
	if (blank && leading_number(text, &quota) && leading_number(blank, &period))
		lower_cpus(quota, period, arg);
}

/* No limit is -1 here. */
static void look_at_v1_cpus(const char *dir, void *arg)
{
	char unused[PATH_MAX_BYTES];
	uint64_t quota = read_limit(dir, "cpu.cfs_quota_us", unused, sizeof(unused));
	uint64_t period = read_limit(dir, "cpu.cfs_period_us", unused, sizeof(unused));

	if (quota != UINT64_MAX && period != UINT64_MAX)
		lower_cpus(quota, period, arg);
}

unsigned int crypto_cpus_read(const char *root)
{
	static const struct controller cpu = { "cpu", v1_cpu_mounts, look_at_v1_cpus,
					       look_at_v2_cpus };
	unsigned int cpus = crypto_cpus();

	if (cpus > 1)
		read_groups(root, &cpu, &cpus);
	return cpus;
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
	unsigned int usable = crypto_cpus_read(""), running;

	if (usable == 1)
		return 1;
	running = running_threads();
	return usable > running ? usable - running + 1 : 1;
}
