// SPDX-License-Identifier: Apache-2.0
// The memory of made-up machines: control groups of both versions, nested, limited or not, in
// containers.
#include <cryptvol/crypto.h>

#include "check.h"
#include "crypto/internal.h"
#include "crypto_tree.h"

static struct tree t;
static struct crypto_memory m;

static void begin(void)
{
	tree_make(&t);
	tree_meminfo(&t, 8192, 4096);
	memset(&m, 0, sizeof(m));
}

static void read_tree(void)
{
	struct err e = { 0 };

	CHECK_MSG(!crypto_memory_read(t.root, &m, &e), "%s", e.text);
	CHECK_INT(m.total_bytes, 8192 * MIB);
	CHECK_INT(m.available_bytes, 4096 * MIB);
	tree_remove(&t);
}

static void no_control_groups(void)
{
	begin();
	read_tree();
	CHECK(m.cgroup_max_bytes == UINT64_MAX && m.cgroup_available_bytes == UINT64_MAX);
}

static void v2_limit_of_an_ancestor(void)
{
	begin();
	tree_write(&t, "proc/self/cgroup", "0::/kubepods/pod1/container\n");
	tree_write(&t, "sys/fs/cgroup/kubepods/memory.max", "1073741824\n");
	tree_write(&t, "sys/fs/cgroup/kubepods/memory.current", "1048576\n");
	tree_write(&t, "sys/fs/cgroup/kubepods/pod1/memory.max", "268435456\n");
	tree_write(&t, "sys/fs/cgroup/kubepods/pod1/memory.current", "104857600\n");
	tree_write(&t, "sys/fs/cgroup/kubepods/pod1/memory.stat",
		   "anon 12345\nfile 999999999\ninactive_file 20971520\nactive_file 10485760\n");
	tree_write(&t, "sys/fs/cgroup/kubepods/pod1/container/memory.max", "max\n");
	tree_write(&t, "sys/fs/cgroup/kubepods/pod1/container/memory.current", "1\n");
	read_tree();
	CHECK_INT(m.cgroup_max_bytes, 256 * MIB);
	CHECK_INT(m.cgroup_available_bytes, (256 - 100 + 20 + 10) * MIB);
	CHECK_CONTAINS(m.cgroup_file, "/kubepods/pod1/memory.max");
}

/* The least that is left may be in another group than the smallest limit. */
static void v2_full_ancestor(void)
{
	begin();
	tree_write(&t, "proc/self/cgroup", "0::/a/b\n");
	tree_write(&t, "sys/fs/cgroup/a/memory.max", "536870912\n");
	tree_write(&t, "sys/fs/cgroup/a/memory.current", "600000000\n");
	tree_write(&t, "sys/fs/cgroup/a/b/memory.max", "268435456\n");
	tree_write(&t, "sys/fs/cgroup/a/b/memory.current", "0\n");
	read_tree();
	CHECK_INT(m.cgroup_max_bytes, 256 * MIB);
	CHECK_INT(m.cgroup_available_bytes, 0);
}

static void v2_in_a_container(void)
{
	begin();
	/* with a cgroup namespace: our group is the root that we see */
	tree_write(&t, "proc/self/cgroup", "0::/\n");
	tree_write(&t, "sys/fs/cgroup/memory.max", "67108864\n");
	read_tree();
	CHECK_INT(m.cgroup_max_bytes, 64 * MIB);
	CHECK_INT(m.cgroup_available_bytes, 64 * MIB);
}

/* Containers in containers: what the kernel opens is found, however long its name. */
static void v2_deep_down(void)
{
	char group[2048] = "", line[2100], file[2100];

	begin();
	for (unsigned int i = 0; i < 8; i++)
		sprintf(group + strlen(group), "/%0230u", i);
	snprintf(line, sizeof(line), "0::%s\n", group);
	tree_write(&t, "proc/self/cgroup", line);
	snprintf(file, sizeof(file), "sys/fs/cgroup%s/memory.max", group);
	tree_write(&t, file, "134217728\n");
	read_tree();
	CHECK_INT(m.cgroup_max_bytes, 128 * MIB);
}

static void v1_with_the_host_path(void)
{
	begin();
	/* without a namespace: the path is the host's, the mount shows our group at its root */
	tree_write(
		&t, "proc/self/cgroup",
		"5:cpu,cpuacct:/x\n4:hugetlb,memory:/kubepods/burstable/pod7\n0::/system.slice\n");
	tree_write(&t, "sys/fs/cgroup/memory/memory.limit_in_bytes", "134217728\n");
	tree_write(&t, "sys/fs/cgroup/memory/memory.usage_in_bytes", "33554432\n");
	tree_write(&t, "sys/fs/cgroup/memory/memory.stat",
		   "inactive_file 1\ntotal_inactive_file 8388608\ntotal_active_file 0\n");
	read_tree();
	CHECK_INT(m.cgroup_max_bytes, 128 * MIB);
	CHECK_INT(m.cgroup_available_bytes, (128 - 32 + 8) * MIB);
}

static void v1_unlimited(void)
{
	begin();
	tree_write(&t, "proc/self/cgroup", "4:memory:/a\n3:memoryless:/b\n");
	tree_write(&t, "sys/fs/cgroup/memory/a/memory.limit_in_bytes", "9223372036854771712\n");
	tree_write(&t, "sys/fs/cgroup/memory/b/memory.limit_in_bytes", "4096\n");
	read_tree();
	CHECK(m.cgroup_max_bytes == UINT64_MAX);
}

static void hybrid(void)
{
	begin();
	tree_write(&t, "proc/self/cgroup", "4:memory:/a\n0::/u\n");
	tree_write(&t, "sys/fs/cgroup/memory/a/memory.limit_in_bytes", "536870912\n");
	tree_write(&t, "sys/fs/cgroup/unified/u/memory.max", "268435456\n");
	read_tree();
	CHECK_INT(m.cgroup_max_bytes, 256 * MIB);
}

static void broken_files(void)
{
	struct err e = { 0 };

	begin();
	tree_write(&t, "proc/self/cgroup", "\n:\nnonsense\n0::\n7:memory\n");
	tree_write(&t, "sys/fs/cgroup/memory.max", "nonsense\n");
	read_tree();
	CHECK(m.cgroup_max_bytes == UINT64_MAX);

	begin();
	tree_write(&t, "proc/meminfo", "MemFree: 12 kB\n");
	CHECK_INT(crypto_memory_read(t.root, &m, &e), -EIO);
	CHECK_CONTAINS(e.text, "MemTotal");
	tree_write(&t, "proc/meminfo", "MemTotal: 12 kB\n");
	CHECK_INT(crypto_memory_read(t.root, &m, &e), 0);
	CHECK_INT(m.available_bytes, 12 * 1024);
	tree_remove(&t);
	CHECK_INT(crypto_memory_read(t.root, &m, &e), -ENOENT);
}

static void this_machine(void)
{
	uint64_t total = 0, available = 0;

	CHECK_INT(crypto_machine_memory(&total, &available, NULL), 0);
	CHECK(total >= 32 * MIB);
	CHECK(available > 0 && available <= total);
}

int main(void)
{
	RUN(no_control_groups);
	RUN(v2_limit_of_an_ancestor);
	RUN(v2_full_ancestor);
	RUN(v2_in_a_container);
	RUN(v2_deep_down);
	RUN(v1_with_the_host_path);
	RUN(v1_unlimited);
	RUN(hybrid);
	RUN(broken_files);
	RUN(this_machine);
	return check_exit();
}
