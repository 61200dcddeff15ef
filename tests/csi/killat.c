// SPDX-License-Identifier: Apache-2.0
// Runs a program and kills it at the n-th system call that changes state.
//
//   killat CONTROL PROGRAM [ARGUMENT]...
//
// CONTROL is a file of struct control, shared with the test: once `at` is set, calls are counted,
// those of all threads and of the programs that it starts, and at that number the program is killed
// (SIGKILL), and said so. A seccomp filter stops at the interesting calls only, so that the rest
// runs at full speed.
#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/dm-ioctl.h>
#include <linux/fiemap.h>
#include <linux/filter.h>
#include <linux/fs.h>
#include <linux/keyctl.h>
#include <linux/loop.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#define PAGE 4096

enum mode {
	KILL_BEFORE = 0, /* the call isn't made */
	KILL_AFTER = 1,	 /* it is made, a write only in part */
	SWALLOW = 2, /* nobody is killed: the call isn't made, and the caller is told that it was */
};

struct control {
	uint32_t at; /* 0: calls are not counted; set last */
	uint32_t mode;
	uint32_t count;	   /* calls since then */
	uint32_t done;	   /* the call `at` came */
	uint32_t children; /* kill what the program has started too */
	uint32_t pid;	   /* the program */
	uint32_t every;	   /* of the calls of what it has started only one in so many counts */
	uint32_t others;   /* calls of what it has started */
	char what[4064];   /* which call it was */
};

/* Calls that change something outside of the process. on_fd: the first argument says whether it
 * matters. */
enum kind { ANY, ON_FD, ON_PATH, ON_PATH_AT, OPEN, OPENAT, IOCTL, KEYCTL };
static const struct {
	int nr;
	enum kind kind;
	const char *name;
} calls[] = {
#define CALL(name, kind)                \
	{                               \
		SYS_##name, kind, #name \
	}
	CALL(write, ON_FD),
	CALL(pwrite64, ON_FD),
	CALL(writev, ON_FD),
	CALL(pwritev, ON_FD),
	CALL(sendmsg, ANY),
	CALL(sendto, ANY),
	CALL(fsync, ON_FD),
	CALL(fdatasync, ON_FD),
	CALL(syncfs, ON_FD),
	CALL(sync, ANY),
	CALL(rename, ON_PATH),
	CALL(renameat, ON_PATH_AT),
	CALL(renameat2, ON_PATH_AT),
	CALL(unlink, ON_PATH),
	CALL(unlinkat, ON_PATH_AT),
	CALL(mkdir, ON_PATH),
	CALL(mkdirat, ON_PATH_AT),
	CALL(rmdir, ON_PATH),
	CALL(mknod, ON_PATH),
	CALL(mknodat, ON_PATH_AT),
	CALL(link, ON_PATH),
	CALL(linkat, ON_PATH_AT),
	CALL(symlink, ON_PATH),
	CALL(symlinkat, ON_PATH),
	CALL(open, OPEN),
	CALL(creat, ON_PATH),
	CALL(openat, OPENAT),
	CALL(fallocate, ON_FD),
	CALL(ftruncate, ON_FD),
	CALL(truncate, ON_PATH),
	CALL(copy_file_range, ON_FD),
	CALL(sendfile, ON_FD),
	CALL(fchmod, ON_FD),
	CALL(chmod, ON_PATH),
	CALL(fchmodat, ON_PATH_AT),
	CALL(fchown, ON_FD),
	CALL(chown, ON_PATH),
	CALL(fchownat, ON_PATH_AT),
	CALL(add_key, ANY),
	CALL(keyctl, KEYCTL),
	CALL(mount, ON_PATH),
	CALL(umount2, ON_PATH),
	CALL(open_tree, ON_PATH_AT),
	CALL(move_mount, ANY),
	CALL(fsmount, ANY),
	CALL(mount_setattr, ON_PATH_AT),
	CALL(ioctl, IOCTL),
};
#define N_CALLS (sizeof(calls) / sizeof(*calls))

static struct control *control;
static pid_t program;

static void die(const char *what)
{
	fprintf(stderr, "killat: %s: %s\n", what, strerror(errno));
	exit(125);
}

/* ---- the program's side ---- */

static void install_filter(void)
{
	struct sock_filter filter[N_CALLS + 3];
	struct sock_fprog prog = { .len = N_CALLS + 3, .filter = filter };

	filter[0] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS,
						 offsetof(struct seccomp_data, nr));
	for (size_t i = 0; i < N_CALLS; i++)
		filter[1 + i] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K,
							     (uint32_t)calls[i].nr,
							     (uint8_t)(N_CALLS - i), 0);
	filter[N_CALLS + 1] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
	filter[N_CALLS + 2] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_TRACE);
	if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &prog))
		die("seccomp");
}

static void start_program(char **argv)
{
	if (ptrace(PTRACE_TRACEME, 0, 0, 0))
		die("ptrace");
	raise(SIGSTOP);
	install_filter();
	execvp(argv[0], argv);
	die(argv[0]);
}

/* ---- what a call is ---- */

static void read_string(pid_t tid, unsigned long long at, char *ret, size_t cap)
{
	char path[64];
	ssize_t n;
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/mem", tid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	n = fd < 0 ? -1 : pread(fd, ret, cap - 1, (off_t)at);
	ret[n < 0 ? 0 : n] = '\0';
	if (fd >= 0)
		close(fd);
}

static void read_fd(pid_t tid, unsigned long long fd, char *ret, size_t cap)
{
	char path[64];
	ssize_t n;

	snprintf(path, sizeof(path), "/proc/%d/fd/%d", tid, (int)fd);
	n = readlink(path, ret, cap - 1);
	ret[n < 0 ? 0 : n] = '\0';
}

static bool ioctl_changes(unsigned int request)
{
	switch (request) {
	case DM_VERSION:
	case DM_LIST_DEVICES:
	case DM_LIST_VERSIONS:
	case DM_DEV_STATUS:
	case DM_TABLE_STATUS:
	case DM_TABLE_DEPS:
	case DM_DEV_WAIT:
	case LOOP_GET_STATUS64:
	case BLKGETSIZE64:
	case BLKGETSIZE:
	case BLKSSZGET:
	case BLKPBSZGET:
	case BLKROGET:
	case BLKIOMIN:
	case BLKIOOPT:
	case BLKALIGNOFF:
	case BLKDISCARDZEROES:
	case FS_IOC_FIEMAP:
	case FS_IOC_GETFLAGS:
		return false;
	}
	return true;
}

static bool keyctl_changes(unsigned long long command)
{
	return command != KEYCTL_SEARCH && command != KEYCTL_READ && command != KEYCTL_DESCRIBE &&
	       command != KEYCTL_GET_KEYRING_ID;
}

/* Does this call change state? What it is about goes into about[]. Logs, pipes and wake-ups don't
 * count. */
static bool matters(pid_t tid, enum kind kind, const struct user_regs_struct *regs, char *about,
		    size_t cap)
{
	*about = '\0';
	switch (kind) {
	case ON_FD:
		read_fd(tid, regs->rdi, about, cap);
		return regs->rdi > 2 && *about == '/';
	case OPEN:
		read_string(tid, regs->rdi, about, cap);
		return regs->rsi & (O_CREAT | O_TRUNC);
	case OPENAT:
		read_string(tid, regs->rsi, about, cap);
		return regs->rdx & (O_CREAT | O_TRUNC);
	case ON_PATH:
		read_string(tid, regs->rdi, about, cap);
		return true;
	case ON_PATH_AT:
		read_string(tid, regs->rsi, about, cap);
		return true;
	case IOCTL:
		read_fd(tid, regs->rdi, about, cap);
		snprintf(about + strlen(about), cap - strlen(about), " %llx", regs->rsi);
		return *about == '/' && ioctl_changes((unsigned int)regs->rsi);
	case KEYCTL:
		snprintf(about, cap, "%llu", regs->rdi);
		return keyctl_changes(regs->rdi);
	case ANY:
		break;
	}
	return true;
}

/* ---- the tracer ---- */

/* A thread of the program itself, not of one that it has started? */
static bool is_ours(pid_t tid)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/task/%d", program, tid);
	return access(path, F_OK) == 0;
}

static void kill_program(pid_t tid)
{
	kill(program, SIGKILL);
	if (control->children && !is_ours(tid))
		kill(tid, SIGKILL);
}

/* How much of a write is made. Our own calls are cut in half, though no kill does that: it is what
 * a power cut may do. Programs that it starts are as they are, so that theirs end where a kill ends
 * them, between two pages. */
static unsigned long long torn(pid_t tid, unsigned long long len)
{
	return is_ours(tid) ? len / 2 : len < 2 * PAGE ? len : len / 2 / PAGE * PAGE;
}

/* The call `at` is about to be made. Returns how its thread goes on. */
static int act(pid_t tid, const char *name, struct user_regs_struct *regs, const char *about)
{
	char comm[64] = "", path[64];
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/comm", tid);
	f = fopen(path, "re");
	if (f && fgets(comm, sizeof(comm), f))
		comm[strcspn(comm, "\n")] = '\0';
	if (f)
		fclose(f);
	snprintf(control->what, sizeof(control->what), "%s: %s %.3900s", comm, name, about);
	if (control->mode == KILL_BEFORE) {
		control->done = 1;
		kill_program(tid);
		return PTRACE_CONT;
	}
	if (control->mode == SWALLOW) {
		regs->orig_rax = (unsigned long long)-1;
		ptrace(PTRACE_SETREGS, tid, 0, regs);
	} else if ((!strcmp(name, "pwrite64") || !strcmp(name, "write")) && regs->rdx > 1) {
		regs->rdx = torn(tid, regs->rdx);
		ptrace(PTRACE_SETREGS, tid, 0, regs);
	}
	return PTRACE_SYSCALL;
}

static int on_call(pid_t tid)
{
	struct user_regs_struct regs;
	char about[4096];

	if (!control->at || control->done || ptrace(PTRACE_GETREGS, tid, 0, &regs))
		return PTRACE_CONT;
	for (size_t i = 0; i < N_CALLS; i++) {
		if (calls[i].nr != (int)regs.orig_rax)
			continue;
		/* A removal, not a write to whom it concerns, who would wait for ever. */
		if (control->mode == SWALLOW && strncmp(calls[i].name, "unlink", 6) != 0)
			return PTRACE_CONT;
		if (!matters(tid, calls[i].kind, &regs, about, sizeof(about)))
			return PTRACE_CONT;
		if (!is_ours(tid) && control->others++ % control->every)
			return PTRACE_CONT;
		if (++control->count == control->at)
			return act(tid, calls[i].name, &regs, about);
	}
	return PTRACE_CONT;
}

/* The call `at` has been made. */
static void on_return(pid_t tid)
{
	struct user_regs_struct regs;

	control->done = 1; /* before the kill: who sees that must see this */
	if (control->mode != SWALLOW) {
		kill_program(tid);
	} else if (!ptrace(PTRACE_GETREGS, tid, 0, &regs)) {
		regs.rax = 0;
		ptrace(PTRACE_SETREGS, tid, 0, &regs);
	}
}

/* A thread has stopped: why, and how does it go on? */
static void on_stop(pid_t tid, int status)
{
	int sig = WSTOPSIG(status), event = status >> 16, how = PTRACE_CONT;

	if (event == PTRACE_EVENT_SECCOMP)
		how = on_call(tid);
	else if (sig == (SIGTRAP | 0x80))
		on_return(tid);
	if (event || sig == (SIGTRAP | 0x80) || sig == SIGSTOP)
		sig = 0;
	ptrace(how, tid, 0, sig);
}

static void pass_on(int sig)
{
	kill(program, sig);
}

static int trace(void)
{
	int status, result = 125;
	pid_t tid;

	while ((tid = waitpid(-1, &status, __WALL)) > 0 || errno == EINTR) {
		if (tid <= 0)
			continue;
		if (WIFSTOPPED(status))
			on_stop(tid, status);
		else if (tid == program)
			result = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
	}
	return result;
}

int main(int argc, char **argv)
{
	struct sigaction sa = { .sa_handler = pass_on };
	int fd, status;

	if (argc < 3)
		return fprintf(stderr, "usage: killat CONTROL PROGRAM [ARGUMENT]...\n"), 2;
	fd = open(argv[1], O_RDWR | O_CLOEXEC);
	if (fd < 0)
		die(argv[1]);
	control = mmap(NULL, sizeof(*control), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (control == MAP_FAILED)
		die(argv[1]);
	program = fork();
	if (program < 0)
		die("fork");
	if (program == 0)
		start_program(argv + 2);
	if (waitpid(program, &status, 0) != program || !WIFSTOPPED(status))
		die("the program");
	if (ptrace(PTRACE_SETOPTIONS, program, 0,
		   PTRACE_O_EXITKILL | PTRACE_O_TRACESECCOMP | PTRACE_O_TRACECLONE |
			   PTRACE_O_TRACEFORK | PTRACE_O_TRACEVFORK | PTRACE_O_TRACEEXEC |
			   PTRACE_O_TRACESYSGOOD))
		die("ptrace options");
	sigaction(SIGTERM, &sa, NULL);
	control->pid = (uint32_t)program;
	ptrace(PTRACE_CONT, program, 0, 0);
	return trace();
}
