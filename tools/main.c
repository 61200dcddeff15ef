// SPDX-License-Identifier: Apache-2.0
// The command `cryptvol`: parse, run one verb, print its sentence, exit.
#include "cli.h"

#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <sys/stat.h>

/* A device must never become descriptor 0, 1 or 2: messages would be written to it. */
static bool standard_descriptors(void)
{
	struct pollfd std[] = { { .fd = 0 }, { .fd = 1 }, { .fd = 2 } };

	if (poll(std, ARRAY_SIZE(std), 0) < 0)
		return false;
	for (int fd = 0; fd <= 2; fd++)
		if ((std[fd].revents & POLLNVAL) && open("/dev/null", O_RDWR) != fd)
			return false;
	return true;
}

static const char *base_name(const char *path)
{
	const char *slash = path ? strrchr(path, '/') : NULL;

	return slash ? slash + 1 : path ?: "cryptvol";
}

static void warn(void *arg, const char *sentence)
{
	(void)arg;
	cli_warn("%s", sentence);
}

/* Whose texts and options ours are. Callers ask for a version at least (Longhorn for 2.1.0, to know
 * how long a header is), and look for the flags. */
#define CRYPTSETUP_VERSION "cryptsetup 2.8.0 flags: UDEV BLKID KEYRING KERNEL_CAPI"

/* Callers take the first version in the line: cryptsetup's, whichever name they used. */
static void print_version(const struct cli *c)
{
	if (!strcmp(c->program, "cryptsetup"))
		printf("%s \n", CRYPTSETUP_VERSION);
	else
		printf("cryptvol (%s) version %s\n", CRYPTSETUP_VERSION, CRYPTVOL_VERSION);
}

/* Answers that need no verb to run. true: answered. */
static bool answer(const struct cli *c)
{
	if (cli_set(c, OPT_VERSION))
		print_version(c);
	else if (cli_set(c, OPT_HELP))
		cli_print_help(c);
	else if (cli_set(c, OPT_USAGE))
		cli_print_usage(c);
	else
		return false;
	return true;
}

static int run(struct cli *c)
{
	bool debug = cli_set(c, OPT_DEBUG) || cli_set(c, OPT_DEBUG_JSON);
	bool verbose = cli_set(c, OPT_VERBOSE) || debug;
	int r, code;

	if (debug)
		log_set_debug(cli_debug_line);
	c->env.udev = DM_UDEV_AUTO;
	c->env.no_locks = cli_set(c, OPT_DISABLE_LOCKS);
	c->env.warn = warn;
	r = cli_resolve_device(c);
	if (!r)
		r = c->verb->run(c);
	crypto_kdf_free(c->env.kdf);
	c->env.kdf = NULL;
	if (fflush(stdout) && !r)
		r = err_sys(&c->err, -EIO, "Cannot write to standard output");
	code = cli_exit_code(r);
	cli_report(c, r);
	if (verbose && code)
		printf("Command failed with code -%d (%s).\n", code, cli_exit_text(code));
	else if (verbose)
		printf("Command successful.\n");
	return code;
}

int main(int argc, char **argv)
{
	struct cli c = { .program = base_name(argv[0]) };
	int r;

	if (!standard_descriptors())
		return 1;
	umask(077);
	r = secret_process_init(&c.err);
	if (!r)
		r = cli_parse(&c, argc, argv);
	if (!r && answer(&c))
		return fflush(stdout) ? 1 : 0;
	if (!r)
		r = cli_check(&c);
	if (r) {
		fprintf(stderr, "%s: %s\nTry `%s%s%s --help'.\n", c.program, err_text(&c.err),
			c.program, c.verb ? " " : "", c.verb ? c.verb->name : "");
		return 1;
	}
	if (cli_set(&c, OPT_TEST_ARGS)) {
		printf("No action taken. Invoked with --test-args option.\n");
		return 0;
	}
	return run(&c);
}
