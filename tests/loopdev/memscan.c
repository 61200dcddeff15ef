// SPDX-License-Identifier: Apache-2.0
// Runs a program under ptrace and looks at its whole memory, every mapping, just before it ends
// (-o: keep a copy) or at each of its system calls (-w: until a secret is seen). With -i it
// searches such a copy.
//
//   memscan -o COPY -- COMMAND...            status: the command's
//   memscan -i COPY -s NAME=FILE...          status 1 if a secret is there, one line a find
//   memscan -w -s NAME=FILE... -- COMMAND... status 0 if each of the secrets was seen
//
// A secret is looked for by pieces of 16 bytes, as they are and in hexadecimal digits.
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

#define PIECE 16
#define PIECES_MAX 20000
#define SECRETS_MAX 32
#define CHUNK (1u << 20)
#define OVERLAP 64 /* longer than a piece in digits */

struct piece {
	uint8_t bytes[PIECE * 2];
	size_t len;
	unsigned int secret;
};

static struct piece pieces[PIECES_MAX];
static size_t n_pieces;
static int first_of[65536]; /* by a piece's first two bytes: index + 1 of the first such */
static int next_of[PIECES_MAX];
static const char *secret_names[SECRETS_MAX];
static bool secret_seen[SECRETS_MAX];
static unsigned int n_secrets, n_seen;
static FILE *copy;
static bool watching, quiet;

static void die(const char *what)
{
	fprintf(stderr, "memscan: %s: %s\n", what, strerror(errno));
	exit(125);
}

static void add_piece(const uint8_t *bytes, size_t len, unsigned int secret)
{
	unsigned int head = bytes[0] | (unsigned int)bytes[1] << 8;

	if (n_pieces == PIECES_MAX) {
		errno = E2BIG;
		die("pieces");
	}
	memcpy(pieces[n_pieces].bytes, bytes, len);
	pieces[n_pieces].len = len;
	pieces[n_pieces].secret = secret;
	next_of[n_pieces] = first_of[head];
	first_of[head] = (int)++n_pieces;
}

static void add_digits(const uint8_t *bytes, unsigned int secret, const char *digits)
{
	uint8_t text[PIECE * 2];

	for (size_t i = 0; i < PIECE; i++) {
		text[2 * i] = (uint8_t)digits[bytes[i] >> 4];
		text[2 * i + 1] = (uint8_t)digits[bytes[i] & 15];
	}
	add_piece(text, sizeof(text), secret);
}

/* A piece of one repeated byte (zeros, say) is in any memory and proves nothing. */
static bool plain(const uint8_t *bytes)
{
	for (size_t i = 1; i < PIECE; i++)
		if (bytes[i] != bytes[0])
			return false;
	return true;
}

/* Short secrets give each piece of 16 bytes, long ones a piece every 512 bytes. */
static void add_secret(char *arg)
{
	static uint8_t buf[1u << 20];
	char *equals = strchr(arg, '=');
	FILE *f;
	size_t len, step;

	if (!equals || n_secrets == SECRETS_MAX) {
		errno = EINVAL;
		die(arg);
	}
	*equals = '\0';
	f = fopen(equals + 1, "re");
	if (!f)
		die(equals + 1);
	len = fread(buf, 1, sizeof(buf), f);
	fclose(f);
	if (len < PIECE) {
		errno = ENODATA;
		die(arg);
	}
	step = len > 512 ? 512 : PIECE;
	for (size_t at = 0; at + PIECE <= len; at += step) {
		if (plain(buf + at))
			continue;
		add_piece(buf + at, PIECE, n_secrets);
		add_digits(buf + at, n_secrets, "0123456789abcdef");
		add_digits(buf + at, n_secrets, "0123456789ABCDEF");
	}
	secret_names[n_secrets++] = arg;
}

static void seen(const struct piece *p, const char *where, uint64_t address)
{
	if (!secret_seen[p->secret]) {
		secret_seen[p->secret] = true;
		n_seen++;
	}
	if (!quiet)
		printf("%s in %s at 0x%" PRIx64 "%s\n", secret_names[p->secret], where, address,
		       p->len == PIECE ? "" : " (digits)");
}

static void search(const uint8_t *buf, size_t len, const char *where, uint64_t address)
{
	for (size_t at = 0; at + PIECE <= len; at++) {
		unsigned int head = buf[at] | (unsigned int)buf[at + 1] << 8;

		for (int i = first_of[head]; i; i = next_of[i - 1]) {
			const struct piece *p = &pieces[i - 1];

			if (at + p->len <= len && !memcmp(buf + at, p->bytes, p->len))
				seen(p, where, address + at);
		}
	}
}

/* One mapping, whatever its protection: a tracer reads pages that the process itself can't. */
static void scan_mapping(int mem, uint64_t start, uint64_t end, const char *line)
{
	static uint8_t buf[OVERLAP + CHUNK];
	size_t kept = 0;

	if (copy)
		fprintf(copy, "%s", line);
	for (uint64_t at = start; at < end;) {
		size_t want = end - at < CHUNK ? (size_t)(end - at) : CHUNK;
		ssize_t got = pread(mem, buf + kept, want, (off_t)at);

		if (got <= 0) { /* a page that nobody can read: the caller is told */
			if (!strstr(line, "[vvar") && !strstr(line, "[vsyscall]"))
				fprintf(stderr, "memscan: not readable at 0x%" PRIx64 ": %s", at,
					line);
			if (copy)
				for (size_t i = 0; i < want; i++)
					fputc(0, copy);
			at += want;
			kept = 0;
			continue;
		}
		if (copy)
			fwrite(buf + kept, 1, (size_t)got, copy);
		else
			search(buf, kept + (size_t)got, line, at - kept);
		at += (uint64_t)got;
		if (kept + (size_t)got > OVERLAP) {
			memmove(buf, buf + kept + (size_t)got - OVERLAP, OVERLAP);
			kept = OVERLAP;
		}
	}
}

static void scan_process(pid_t pid)
{
	char path[64], line[512];
	FILE *maps;
	int mem;

	snprintf(path, sizeof(path), "/proc/%d/mem", (int)pid);
	mem = open(path, O_RDONLY | O_CLOEXEC);
	snprintf(path, sizeof(path), "/proc/%d/maps", (int)pid);
	maps = fopen(path, "re");
	if (mem < 0 || !maps)
		die(path);
	while (fgets(line, sizeof(line), maps)) {
		uint64_t start, end;

		if (sscanf(line, "%" SCNx64 "-%" SCNx64, &start, &end) == 2)
			scan_mapping(mem, start, end, line);
	}
	fclose(maps);
	close(mem);
}

/* A copy: for each mapping its line of /proc/PID/maps, then its bytes. */
static int search_copy(const char *path)
{
	char line[512];
	uint64_t start, end, total = 0;
	FILE *f = fopen(path, "re");

	if (!f)
		die(path);
	while (fgets(line, sizeof(line), f) &&
	       sscanf(line, "%" SCNx64 "-%" SCNx64, &start, &end) == 2) {
		size_t len = (size_t)(end - start);
		uint8_t *buf = malloc(len);

		if (!buf || fread(buf, 1, len, f) != len)
			die(path);
		line[strcspn(line, "\n")] = '\0';
		search(buf, len, line, start);
		total += len;
		free(buf);
	}
	fclose(f);
	if (!total) {
		errno = ENODATA;
		die(path);
	}
	printf("searched %" PRIu64 " bytes\n", total);
	return n_seen ? 1 : 0;
}

static pid_t start(char **argv)
{
	pid_t pid = fork();
	int status;

	if (pid < 0)
		die("fork");
	if (!pid) {
		if (ptrace(PTRACE_TRACEME, 0, 0, 0))
			die("ptrace");
		raise(SIGSTOP);
		execvp(argv[0], argv);
		die(argv[0]);
	}
	if (waitpid(pid, &status, 0) != pid || !WIFSTOPPED(status))
		die("waitpid");
	if (ptrace(PTRACE_SETOPTIONS, pid, 0,
		   PTRACE_O_EXITKILL | PTRACE_O_TRACEEXIT | PTRACE_O_TRACECLONE |
			   PTRACE_O_TRACEFORK | PTRACE_O_TRACEVFORK | PTRACE_O_TRACEEXEC |
			   PTRACE_O_TRACESYSGOOD))
		die("PTRACE_SETOPTIONS");
	return pid;
}

/* Is this task its process's first thread? Its end is the process's. */
static bool leader(pid_t task)
{
	char path[64], line[128];
	int group = 0;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/status", (int)task);
	f = fopen(path, "re");
	while (f && fgets(line, sizeof(line), f))
		if (sscanf(line, "Tgid: %d", &group) == 1)
			break;
	if (f)
		fclose(f);
	return group == (int)task;
}

/* Look at a stopped task if this is the moment. Returns the signal to hand on to it. */
static int look(pid_t task, int status)
{
	if (status >> 16 == PTRACE_EVENT_EXIT) {
		if (leader(task) && !watching)
			scan_process(task);
	} else if (WSTOPSIG(status) == (SIGTRAP | 0x80)) {
		scan_process(task);
	} else if (!(status >> 16) && WSTOPSIG(status) != SIGSTOP) {
		return WSTOPSIG(status);
	}
	return 0;
}

/* Follow the program, its threads and children to their end. */
static int trace(pid_t first)
{
	int status, code = 125, signal = 0;
	pid_t task = first;

	do {
		ptrace(watching && n_seen < n_secrets ? PTRACE_SYSCALL : PTRACE_CONT, task, 0,
		       signal);
		task = waitpid(-1, &status, __WALL);
		if (task > 0 && WIFSTOPPED(status))
			signal = look(task, status);
		else if (task == first)
			code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
	} while (task > 0);
	return code;
}

int main(int argc, char **argv)
{
	const char *in = NULL;
	int option, code;

	while ((option = getopt(argc, argv, "+o:i:s:w")) != -1) {
		if (option == 'o')
			copy = fopen(optarg, "we");
		else if (option == 'i')
			in = optarg;
		else if (option == 's')
			add_secret(optarg);
		else if (option == 'w')
			watching = quiet = true;
		else
			return 125;
		if (option == 'o' && !copy)
			die(optarg);
	}
	if (in)
		return search_copy(in);
	if (optind == argc || (!copy && !watching))
		return 125;
	code = trace(start(argv + optind));
	if (copy && fclose(copy))
		die("the copy");
	if (!watching)
		return code;
	for (unsigned int i = 0; i < n_secrets; i++)
		printf("%s %s\n", secret_names[i], secret_seen[i] ? "seen" : "not seen");
	return n_seen == n_secrets ? 0 : 1;
}
