// SPDX-License-Identifier: Apache-2.0
// First process of the User Mode Linux guest: lays a scratch root over the host's, loads modules,
// runs one command and reports its exit code. It starts nothing else: a fork is dear in this
// kernel.
//
// In the environment (from the kernel's command line) LABRUN names a folder of the host with
//   argv      working folder, then the command and its arguments, each ended by a NUL
//   env       NAME=VALUE strings for the command, each ended by a NUL
//   modules   names of modules to load before, separated by white space
//   out/      mounted writable at /out; stdout, stderr and rc are written there
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

#define MODULE_ROOT "/usr/lib/uml/modules"
#define MODULES_MAX 256
#define ARGS_MAX 1024
#define SYNC_LIMIT_SECONDS 10

static char module_dir[512];
static char *module_index; /* modules.dep, cut into lines at the NULs */
static size_t module_index_len;

static void die(const char *what)
{
	fprintf(stderr, "guest-init: %s: %s\n", what, strerror(errno));
	sync();
	reboot(RB_POWER_OFF);
	_exit(1);
}

static void complain(const char *what)
{
	fprintf(stderr, "guest-init: %s: %s\n", what, strerror(errno));
}

static void attach(const char *source, const char *target, const char *type, unsigned long flags,
		   const char *options)
{
	mkdir(target, 0755);
	if (mount(source, target, type, flags, options) != 0)
		complain(target);
}

static void put_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

	if (fd < 0 || write(fd, text, strlen(text)) < 0)
		complain(path);
	if (fd >= 0)
		close(fd);
}

/* The whole file, with a NUL after it; NULL if it can't be read. Lives as long as the guest. */
static char *get_file(const char *path, size_t *ret_len)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct stat st;
	size_t done = 0;
	ssize_t n;
	char *text;

	if (fd < 0 || fstat(fd, &st) != 0)
		return NULL;
	text = malloc((size_t)st.st_size + 1);
	if (!text)
		return NULL;
	while (done < (size_t)st.st_size) {
		n = read(fd, text + done, (size_t)st.st_size - done);
		if (n <= 0)
			break;
		done += (size_t)n;
	}
	close(fd);
	text[done] = '\0';
	*ret_len = done;
	return text;
}

static char *get_run_file(const char *run, const char *name, size_t *ret_len)
{
	char path[512];

	snprintf(path, sizeof(path), "%s/%s", run, name);
	return get_file(path, ret_len);
}

/* Is `path` (kernel/drivers/md/dm-crypt.ko) the module `name`? Dash and underscore are the same. */
static bool is_module(const char *path, size_t path_len, const char *name)
{
	const char *base = memrchr(path, '/', path_len);
	size_t i, len = strlen(name);

	base = base ? base + 1 : path;
	if ((size_t)(path + path_len - base) != len + 3 || memcmp(base + len, ".ko", 3) != 0)
		return false;
	for (i = 0; i < len; i++) {
		if ((base[i] == '-' ? '_' : base[i]) != (name[i] == '-' ? '_' : name[i]))
			return false;
	}
	return true;
}

static int insert_module(const char *path)
{
	char full[1024];
	int fd, saved;
	long rc;

	snprintf(full, sizeof(full), "%s/%s", module_dir, path);
	fd = open(full, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	rc = syscall(SYS_finit_module, fd, "", 0);
	saved = errno;
	close(fd);
	return rc == 0 || saved == EEXIST ? 0 : -saved;
}

/* A line of modules.dep: "PATH.ko: NEEDED.ko NEEDS.ko", the deepest need last. */
static int insert_line(const char *line)
{
	char copy[8192], *needs[MODULES_MAX], *save = NULL, *word;
	size_t n = 0;
	int rc;

	if (strlen(line) >= sizeof(copy))
		return -E2BIG;
	strcpy(copy, line);
	for (word = strtok_r(copy, ": ", &save); word && n < MODULES_MAX;
	     word = strtok_r(NULL, ": ", &save))
		needs[n++] = word;
	while (n > 0) {
		rc = insert_module(needs[--n]);
		if (rc < 0)
			return rc;
	}
	return 0;
}

static int load_module(const char *name)
{
	const char *line, *end = module_index + module_index_len;

	for (line = module_index; line && line < end; line += strlen(line) + 1) {
		size_t len = strcspn(line, ":");

		if (line[len] == ':' && is_module(line, len, name))
			return insert_line(line);
	}
	return -ENOENT;
}

static void load_modules(char *names)
{
	char *save = NULL, *name;

	if (!names)
		return;
	for (name = strtok_r(names, " \t\n", &save); name; name = strtok_r(NULL, " \t\n", &save)) {
		int rc = load_module(name);

		if (rc < 0) {
			errno = -rc;
			fprintf(stderr, "guest-init: module %s: %s\n", name, strerror(errno));
		}
	}
}

static void read_module_index(const char *release)
{
	char path[600], *c;

	snprintf(module_dir, sizeof(module_dir), MODULE_ROOT "/%s", release);
	snprintf(path, sizeof(path), "%s/modules.dep", module_dir);
	module_index = get_file(path, &module_index_len);
	if (!module_index)
		die(path);
	for (c = module_index; c < module_index + module_index_len; c++) {
		if (*c == '\n')
			*c = '\0';
	}
}

/* The host's root below, memory above: the guest may write anywhere, the host sees nothing of it.
 */
static void enter_scratch_root(const char *run)
{
	char out[512];

	attach("tmpfs", "/mnt", "tmpfs", 0, "mode=755,size=80%");
	mkdir("/mnt/upper", 0755);
	mkdir("/mnt/work", 0755);
	mkdir("/mnt/root", 0755);
	if (load_module("overlay") < 0)
		die("overlay module");
	if (mount("overlay", "/mnt/root", "overlay", 0,
		  "lowerdir=/,upperdir=/mnt/upper,workdir=/mnt/work") != 0)
		die("overlay root");
	snprintf(out, sizeof(out), "%s/out", run);
	attach("none", "/mnt/root/out", "hostfs", 0, out);
	attach("/proc", "/mnt/root/proc", NULL, MS_MOVE, NULL);
	attach("/sys", "/mnt/root/sys", NULL, MS_MOVE, NULL);
	attach("/dev", "/mnt/root/dev", NULL, MS_MOVE, NULL);
	mkdir("/mnt/root/.host", 0700);
	if (chdir("/mnt/root") != 0 || syscall(SYS_pivot_root, ".", ".host") != 0 ||
	    chroot(".") != 0 || chdir("/") != 0)
		die("pivot_root");
}

static void link_or_complain(const char *target, const char *path)
{
	if (symlink(target, path) != 0 && errno != EEXIST)
		complain(path);
}

static void furnish_root(const char *release)
{
	char path[512];

	attach("devpts", "/dev/pts", "devpts", 0, "ptmxmode=666");
	unlink("/dev/ptmx");
	link_or_complain("pts/ptmx", "/dev/ptmx");
	attach("tmpfs", "/dev/shm", "tmpfs", 0, "mode=1777");
	attach("tmpfs", "/run", "tmpfs", 0, "mode=755,size=80%");
	attach("cgroup2", "/sys/fs/cgroup", "cgroup2", 0, NULL);
	link_or_complain("/proc/self/fd", "/dev/fd");
	link_or_complain("/proc/self/fd/0", "/dev/stdin");
	link_or_complain("/proc/self/fd/1", "/dev/stdout");
	link_or_complain("/proc/self/fd/2", "/dev/stderr");
	/* With this modprobe and the kernel's own loading of modules work. */
	mkdir("/lib/modules", 0755);
	snprintf(path, sizeof(path), "/lib/modules/%s", release);
	link_or_complain(module_dir, path);
	if (mount("none", "/", NULL, MS_REC | MS_SHARED, NULL) != 0)
		complain("shared propagation");
}

static void bring_loopback_up(void)
{
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct ifreq request = { .ifr_name = "lo" };

	if (fd < 0 || ioctl(fd, SIOCGIFFLAGS, &request) != 0) {
		complain("lo");
	} else {
		request.ifr_flags = (short)(request.ifr_flags | IFF_UP);
		if (ioctl(fd, SIOCSIFFLAGS, &request) != 0)
			complain("lo");
	}
	if (fd >= 0)
		close(fd);
}

/* Cut a block of NUL-ended strings into a vector that ends with NULL. */
static char **split_strings(char *block, size_t len)
{
	char **vector = calloc(ARGS_MAX + 1, sizeof(*vector));
	size_t at, n = 0;

	if (!vector)
		die("memory");
	for (at = 0; at < len && n < ARGS_MAX; at += strlen(block + at) + 1)
		vector[n++] = block + at;
	return vector;
}

static void redirect(int to, const char *path, int flags)
{
	int fd = open(path, flags | O_CLOEXEC, 0644);

	if (fd < 0 || dup2(fd, to) < 0)
		complain(path);
}

static void run_command(char **argv, char **envp)
{
	redirect(STDIN_FILENO, "/dev/null", O_RDONLY);
	redirect(STDOUT_FILENO, "/out/stdout", O_WRONLY | O_CREAT | O_APPEND);
	redirect(STDERR_FILENO, "/out/stderr", O_WRONLY | O_CREAT | O_APPEND);
	setsid();
	if (chdir(argv[0]) != 0) {
		complain(argv[0]);
		_exit(126);
	}
	/* What was in the environment of the kernel's command line is not the command's. */
	clearenv();
	setenv("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", 1);
	setenv("HOME", "/root", 1);
	/* Without it libdevmapper waits for a udev that is not there and makes no nodes. */
	setenv("DM_DISABLE_UDEV", "1", 1);
	setenv("LAB_KERNEL", "uml", 1);
	setenv("LAB_OUT", "/out", 1);
	for (; *envp; envp++)
		putenv(*envp);
	execvp(argv[1], argv + 1);
	complain(argv[1]);
	_exit(errno == ENOENT ? 127 : 126);
}

static int wait_for(pid_t child)
{
	int status;
	pid_t pid;

	for (;;) {
		pid = wait(&status);
		if (pid == child)
			return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
		if (pid < 0 && errno != EINTR)
			die("wait");
	}
}

static void on_alarm(int signal_number)
{
	(void)signal_number;
}

/* sync() hangs where a device was left suspended with data under way: give it a limit. */
static void sync_with_limit(void)
{
	struct sigaction action = { .sa_handler = on_alarm };
	pid_t child, pid;

	sigaction(SIGALRM, &action, NULL);
	child = fork();
	if (child == 0) {
		sync();
		_exit(0);
	}
	alarm(SYNC_LIMIT_SECONDS);
	do {
		pid = wait(NULL);
	} while (pid >= 0 && pid != child);
	if (pid != child)
		fprintf(stderr, "guest-init: sync did not end, a device hangs\n");
}

int main(void)
{
	size_t argv_len = 0, env_len = 0, modules_len = 0;
	const char *run = getenv("LABRUN");
	char *argv_block, *env_block, *modules, text[16];
	struct utsname uts;
	pid_t child;

	uname(&uts);
	if (!run)
		die("LABRUN is not set");
	attach("proc", "/proc", "proc", 0, NULL);
	put_file("/proc/sys/kernel/hotplug", "\n"); /* else a fork for each uevent */
	attach("sysfs", "/sys", "sysfs", 0, NULL);
	argv_block = get_run_file(run, "argv", &argv_len);
	env_block = get_run_file(run, "env", &env_len);
	modules = get_run_file(run, "modules", &modules_len);
	if (!argv_block || !env_block)
		die(run);
	read_module_index(uts.release);
	enter_scratch_root(run);
	furnish_root(uts.release);
	bring_loopback_up();
	load_modules(modules);
	put_file("/out/booted", "1\n");
	child = fork();
	if (child == 0)
		run_command(split_strings(argv_block, argv_len), split_strings(env_block, env_len));
	snprintf(text, sizeof(text), "%d\n", child < 0 ? 125 : wait_for(child));
	put_file("/out/rc", text);
	sync_with_limit();
	reboot(RB_POWER_OFF);
	return 1;
}
