// SPDX-License-Identifier: Apache-2.0
// What a root process of a container can do to keys of the host's user namespace: every call that
// reaches a key, over all that /proc/keys and the user keyrings list, and over serials and names
// that the caller knows. The container has namespaces of its own but for users, a session keyring
// as container runtimes make one, and Kubernetes' default capabilities or none.
//
//   keyattack [-n] [-s] [-d] PATTERN [SERIAL]... [NAME]...
//
//   -n  no capabilities       -s  with a seccomp filter that forbids the keyring's calls
//   -d  destroy, too: revoke, invalidate, clear, unlink
//   PATTERN  keys whose description contains this are ours, "A,B": one of them; so are those with a
//            SERIAL given
//   NAME     of a keyring to be joined, of a logon key to be searched and requested
//
// One line "took CALL SERIAL" for each call that succeeded; status 1 if there was one.
#include <errno.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/if_alg.h>
#include <linux/keyctl.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define KEYS_MAX 4096
#define NEAR 32 /* serials tried on either side of one that is known */
#define ALL_RIGHTS 0x3f3f3f3fL
#define BY_SERIAL 7 /* ALG_SET_KEY_BY_KEY_SERIAL, Linux 6.2 */

static int32_t keys[KEYS_MAX];
static int n_keys, took, calls;
static const char *names[64];
static int n_names;
static const char *phase = "";

static long ctl(long cmd, long a, long b, long c, long d)
{
	calls++;
	return syscall(SYS_keyctl, cmd, a, b, c, d);
}

static void report(const char *call, int32_t serial, long r)
{
	if (r < 0)
		return;
	took++;
	printf("took %s%s %d\n", phase, call, serial);
}

static void add(int32_t serial)
{
	for (int i = 0; i < n_keys; i++)
		if (keys[i] == serial)
			return;
	if (serial > 0 && n_keys < KEYS_MAX)
		keys[n_keys++] = serial;
}

/* Does it contain one of the words that commas part? */
static bool matches(const char *text, const char *pattern)
{
	while (*pattern) {
		size_t n = strcspn(pattern, ",");

		if (n && memmem(text, strlen(text), pattern, n))
			return true;
		pattern += n + (pattern[n] == ',');
	}
	return false;
}

/* ---- the container ---- */

static void die(const char *what)
{
	perror(what);
	exit(2);
}

/* What containerd and Docker give a container, in Kubernetes as well. */
static const int defaults[] = { CAP_CHOWN,   CAP_DAC_OVERRIDE, CAP_FSETID,	     CAP_FOWNER,
				CAP_MKNOD,   CAP_NET_RAW,      CAP_SETGID,	     CAP_SETUID,
				CAP_SETFCAP, CAP_SETPCAP,      CAP_NET_BIND_SERVICE, CAP_SYS_CHROOT,
				CAP_KILL,    CAP_AUDIT_WRITE };

static void drop_capabilities(bool none)
{
	struct __user_cap_header_struct h = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct d[2] = { { 0 }, { 0 } };
	uint64_t mask = 0;

	for (size_t i = 0; !none && i < sizeof(defaults) / sizeof(*defaults); i++)
		mask |= UINT64_C(1) << defaults[i];
	for (int cap = 0; cap < 64; cap++)
		if (!(mask >> cap & 1))
			prctl(PR_CAPBSET_DROP, cap, 0, 0, 0);
	d[0].effective = d[0].permitted = (uint32_t)mask;
	d[1].effective = d[1].permitted = (uint32_t)(mask >> 32);
	if (syscall(SYS_capset, &h, d))
		die("capset");
}

static void forbid_keys(void)
{
	struct sock_filter f[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_keyctl, 2, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_add_key, 1, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_request_key, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog p = { sizeof(f) / sizeof(*f), f };

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) || prctl(PR_SET_SECCOMP, 2, &p, 0, 0))
		die("seccomp");
}

/* As runc does it: a session keyring by the container's name, which its owner may search. */
static void enter_container(bool none)
{
	long session;
	pid_t pid;
	int status;

	if (unshare(CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS |
		    CLONE_NEWCGROUP))
		die("unshare");
	pid = fork();
	if (pid < 0)
		die("fork");
	if (pid) {
		waitpid(pid, &status, 0);
		exit(WIFEXITED(status) ? WEXITSTATUS(status) : 2);
	}
	if (mount("", "/", NULL, MS_REC | MS_PRIVATE, NULL) ||
	    mount("proc", "/proc", "proc", 0, NULL))
		die("mount");
	session = syscall(SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, "_ses.keyattack");
	if (session > 0)
		syscall(SYS_keyctl, KEYCTL_SETPERM, session, 0x3f1b0000L);
	drop_capabilities(none);
}

/* ---- what there is ---- */

/* Ours in /proc/keys; the names of all keyrings there, to be joined. */
static void read_list(const char *pattern)
{
	FILE *f = fopen("/proc/keys", "re");
	char line[1024];

	while (f && fgets(line, sizeof(line), f)) {
		unsigned int serial;
		char type[32], rest[512];

		if (sscanf(line, "%x %*s %*s %*s %*s %*s %*s %31s %511[^\n]", &serial, type,
			   rest) != 3)
			continue;
		if (matches(rest, pattern)) {
			report("list", (int32_t)serial, 0);
			add((int32_t)serial);
		}
		if (!strcmp(type, "keyring") && n_names < 48 && strchr(rest, ':')) {
			*strrchr(rest, ':') = '\0'; /* ": 3", how many keys are in it */
			if (strncmp(rest, "_ses.keyattack", 14))
				names[n_names++] = strdup(rest);
		}
	}
	if (f)
		fclose(f);
}

static bool is_ours(int32_t serial, const char *pattern)
{
	char text[512] = "";

	return ctl(KEYCTL_DESCRIBE, serial, (long)text, sizeof(text) - 1, 0) > 0 &&
	       matches(text, pattern);
}

/* Down from a keyring that every process of the uid has. */
static void read_ring(int32_t ring, const char *pattern, bool ours, int depth)
{
	int32_t list[512];
	long n = ctl(KEYCTL_READ, ring, (long)list, sizeof(list), 0);

	for (long i = 0; i < n / 4 && i < 512; i++) {
		bool one = ours || is_ours(list[i], pattern);

		if (one) {
			report("find-in-user-keyring", list[i], 0);
			add(list[i]);
		}
		if (depth < 4)
			read_ring(list[i], pattern, one, depth + 1);
	}
}

/* ---- the calls ---- */

static void use_by_serial(int32_t serial)
{
	struct sockaddr_alg a = { .salg_family = AF_ALG,
				  .salg_type = "skcipher",
				  .salg_name = "xts(aes)" };
	int fd = socket(AF_ALG, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

	calls++;
	if (fd >= 0 && !bind(fd, (struct sockaddr *)&a, sizeof(a)))
		report("use-by-AF_ALG", serial,
		       setsockopt(fd, SOL_ALG, BY_SERIAL, &serial, sizeof(serial)));
	if (fd >= 0)
		close(fd);
}

static void attack(int32_t k)
{
	char buf[512];

	report("describe", k, ctl(KEYCTL_DESCRIBE, k, (long)buf, sizeof(buf), 0));
	report("get-security", k, ctl(KEYCTL_GET_SECURITY, k, (long)buf, sizeof(buf), 0));
	report("setperm", k, ctl(KEYCTL_SETPERM, k, ALL_RIGHTS, 0, 0));
	use_by_serial(k);
	report("chown", k, ctl(KEYCTL_CHOWN, k, 0, 0, 0));
	report("read", k, ctl(KEYCTL_READ, k, (long)buf, sizeof(buf), 0));
	report("link", k, ctl(KEYCTL_LINK, k, KEY_SPEC_SESSION_KEYRING, 0, 0));
	report("link-to-thread", k, ctl(KEYCTL_LINK, k, KEY_SPEC_THREAD_KEYRING, 0, 0));
	report("move", k, ctl(KEYCTL_MOVE, k, KEY_SPEC_USER_KEYRING, KEY_SPEC_SESSION_KEYRING, 0));
	report("set-timeout", k, ctl(KEYCTL_SET_TIMEOUT, k, 0, 0, 0));
	report("update", k, ctl(KEYCTL_UPDATE, k, (long)"x", 1, 0));
	report("restrict", k, ctl(KEYCTL_RESTRICT_KEYRING, k, 0, 0, 0));
	report("add-into", k, syscall(SYS_add_key, "user", "cryptvol-attack", "x", 1, k));
	for (int i = 0; i < n_names; i++)
		report("search", k, ctl(KEYCTL_SEARCH, k, (long)"logon", (long)names[i], 0));
}

static void destroy(int32_t k)
{
	report("unlink", k, ctl(KEYCTL_UNLINK, k, KEY_SPEC_USER_KEYRING, 0, 0));
	for (int i = 0; i < n_keys; i++)
		report("unlink-from-ring", k, ctl(KEYCTL_UNLINK, k, keys[i], 0, 0));
	report("clear", k, ctl(KEYCTL_CLEAR, k, 0, 0, 0));
	report("revoke", k, ctl(KEYCTL_REVOKE, k, 0, 0, 0));
	report("invalidate", k, ctl(KEYCTL_INVALIDATE, k, 0, 0, 0));
}

/* What dm-crypt does, from here. */
static void request(void)
{
	for (int i = 0; i < n_names; i++)
		if (strchr(names[i], ':')) {
			calls++;
			report("request", 0, syscall(SYS_request_key, "logon", names[i], NULL, 0));
		}
}

static void attack_all(void)
{
	for (int i = 0; i < n_keys; i++)
		attack(keys[i]);
	request();
}

int main(int argc, char **argv)
{
	bool none = false, filter = false, kill_them = false;
	const char *pattern;
	int o, known;

	while ((o = getopt(argc, argv, "nsd")) != -1) {
		none |= o == 'n';
		filter |= o == 's';
		kill_them |= o == 'd';
	}
	if (optind == argc)
		return 2;
	pattern = argv[optind++];
	for (; optind < argc; optind++) {
		long serial = strtol(argv[optind], NULL, 10);

		if (serial > 0)
			add((int32_t)serial);
		else if (n_names < 64)
			names[n_names++] = argv[optind];
	}
	enter_container(none);
	if (filter)
		forbid_keys();
	known = n_keys;
	read_list(pattern);
	read_ring(KEY_SPEC_USER_KEYRING, pattern, false, 0);
	read_ring(KEY_SPEC_USER_SESSION_KEYRING, pattern, false, 0);
	attack_all();
	/* Serials beside a known one: a guess of what was made with it. */
	for (int i = 0; i < known; i++)
		for (int32_t k = keys[i] - NEAR; k <= keys[i] + NEAR; k++)
			if (k > 0 && is_ours(k, pattern))
				report("guess", k, 0);
	/* With all that root's keyrings lead to in possession. */
	phase = "with-user-keyring:";
	ctl(KEYCTL_LINK, KEY_SPEC_USER_KEYRING, KEY_SPEC_SESSION_KEYRING, 0, 0);
	ctl(KEYCTL_LINK, KEY_SPEC_USER_SESSION_KEYRING, KEY_SPEC_SESSION_KEYRING, 0, 0);
	attack_all();
	/* In each session keyring that lets itself be joined by its name. */
	phase = "in-joined-session:";
	for (int i = 0; i < n_names; i++)
		if (ctl(KEYCTL_JOIN_SESSION_KEYRING, (long)names[i], 0, 0, 0) > 0)
			attack_all();
	phase = "";
	for (int i = 0; kill_them && i < n_keys; i++)
		destroy(keys[i]);
	printf("tried %d calls on %d keys\n", calls, n_keys);
	return took ? 1 : 0;
}
