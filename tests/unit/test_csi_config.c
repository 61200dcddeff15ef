// SPDX-License-Identifier: Apache-2.0
// Options: file, environment, flags, in the order that the manual page gives them; refusals name
// the option and its origin.
#include <fcntl.h>
#include <sys/mman.h>

#include "csi_request.h"

static struct csi_config config;
static enum csi_config_outcome outcome;
static struct err error;
static char file[64];

#define READ(...) \
	read_args((char *[]){ (char[]){ "cryptvol-csi" }, __VA_ARGS__ __VA_OPT__(, ) NULL })

static int read_args(char **argv)
{
	int argc = 0;

	while (argv[argc])
		argc++;
	error = (struct err){ 0 };
	return csi_config_read(argc, argv, &config, &outcome, &error);
}

#define A(text) ((char[]){ text })

/* A configuration file with this text; its name in file[]. */
static void write_file(const char *text)
{
	static int fd = -1;

	if (fd >= 0)
		close(fd);
	fd = memfd_create("config", 0);
	if (fd < 0 || write(fd, text, strlen(text)) != (ssize_t)strlen(text))
		abort();
	snprintf(file, sizeof(file), "/proc/self/fd/%d", fd);
}

static void refused(int r, const char *a, const char *b)
{
	CHECK_INT(r, -EINVAL);
	CHECK_CONTAINS(err_text(&error), a);
	CHECK_CONTAINS(err_text(&error), b);
}

/* man/cryptvol-csi.8 */
static void defaults(void)
{
	char host[65] = "";

	gethostname(host, sizeof(host) - 1);
	CHECK_INT(READ(), 0);
	CHECK_INT(outcome, CSI_CONFIG_RUN);
	CHECK_INT(config.mode, CSI_MODE_ALL);
	CHECK_STR(config.endpoint, "unix:///run/cryptvol/csi.sock");
	CHECK_INT(config.socket_mode_bits, 0600);
	CHECK_INT(config.socket_gid, -1);
	CHECK_STR(config.driver_name, "csi.cryptvol.io");
	CHECK_STR(config.topology_key, "csi.cryptvol.io/node");
	CHECK_STR(config.node_id, host);
	CHECK_STR(config.state_dir, "/var/lib/cryptvol");
	CHECK_INT(config.kdf_memory_bytes, 0);
	CHECK_INT(config.overprovision_percent, 100);
	CHECK_INT(config.max_volumes_per_node, 0);
	CHECK_INT(config.n_workers, 8);
	CHECK_INT(config.grace_seconds, 10);
	CHECK_INT(config.level, CSI_LOG_INFO);
	CHECK(!config.log_json);
	CHECK_STR(config.metrics_address, "");
}

static void a_flag_wins_over_environment_over_file(void)
{
	write_file("workers = 3\ngrace=4\n");
	CHECK_INT(READ(A("--config"), file), 0);
	CHECK_INT(config.n_workers, 3);
	CHECK_INT(config.grace_seconds, 4);
	setenv("CRYPTVOL_WORKERS", "5", 1);
	CHECK_INT(READ(A("--config"), file), 0);
	CHECK_INT(config.n_workers, 5);
	CHECK_INT(config.grace_seconds, 4);
	CHECK_INT(READ(A("--config"), file, A("--workers=7")), 0);
	CHECK_INT(config.n_workers, 7);
	CHECK_INT(READ(A("--workers"), A("9"), A("--workers=11")), 0);
	CHECK_INT(config.n_workers, 11);
	unsetenv("CRYPTVOL_WORKERS");
	setenv("CRYPTVOL_CONFIG", file, 1);
	CHECK_INT(READ(), 0);
	CHECK_INT(config.n_workers, 3);
	unsetenv("CRYPTVOL_CONFIG");
}

static void csi_endpoint_is_what_the_specification_says(void)
{
	setenv("CSI_ENDPOINT", "unix:///csi/csi.sock", 1);
	CHECK_INT(READ(), 0);
	CHECK_STR(config.endpoint, "unix:///csi/csi.sock");
	setenv("CRYPTVOL_ENDPOINT", "unix:///own.sock", 1);
	CHECK_INT(READ(), 0);
	CHECK_STR(config.endpoint, "unix:///own.sock");
	unsetenv("CRYPTVOL_ENDPOINT");
	setenv("CSI_ENDPOINT", "", 1);
	CHECK_INT(READ(), 0);
	CHECK_STR(config.endpoint, "unix:///run/cryptvol/csi.sock");
	unsetenv("CSI_ENDPOINT");
}

static void a_file_is_lines_of_option_and_value(void)
{
	write_file("# remark = 1\n\n  log-level\t=  debug  \nlog-format=json\r\nbackup-dir = /a = "
		   "b\nmode = node");
	CHECK_INT(READ(A("--config"), file), 0);
	CHECK_INT(config.level, CSI_LOG_DEBUG);
	CHECK(config.log_json);
	CHECK_STR(config.backup_dir, "/a = b");
	CHECK_INT(config.mode, CSI_MODE_NODE);
	write_file("workers = 3\nnonsense\n");
	refused(READ(A("--config"), file), "line 2", "nonsense");
	write_file("worker = 3\n");
	refused(READ(A("--config"), file), "line 1", "worker");
	write_file("config = /x\n");
	refused(READ(A("--config"), file), "line 1", "config");
	CHECK_INT(READ(A("--config=/nowhere/at/all")), -ENOENT);
	CHECK_CONTAINS(err_text(&error), "/nowhere/at/all");
}

static const struct {
	const char *flag, *option, *value;
} bad[] = {
	{ "--mode=both", "mode", "both" },
	{ "--mode=", "mode", "\"\"" },
	{ "--log-level=loud", "log-level", "loud" },
	{ "--log-level=DEBUG", "log-level", "DEBUG" },
	{ "--log-format=xml", "log-format", "xml" },
	{ "--workers=0", "workers", "0" },
	{ "--workers=65", "workers", "65" },
	{ "--workers=-1", "workers", "-1" },
	{ "--workers=4x", "workers", "4x" },
	{ "--grace=3601", "grace", "3601" },
	{ "--grace=1s", "grace", "1s" },
	{ "--overprovision=0", "overprovision", "0" },
	{ "--overprovision=100001", "overprovision", "100001" },
	{ "--overprovision=150%", "overprovision", "150%" },
	{ "--max-volumes=100001", "max-volumes", "100001" },
	{ "--max-volumes=18446744073709551616", "max-volumes", "18446744073709551616" },
	{ "--kdf-memory=lots", "kdf-memory", "lots" },
	{ "--kdf-memory=-1", "kdf-memory", "-1" },
	{ "--socket-mode=0999", "socket-mode", "0999" },
	{ "--socket-mode=1777", "socket-mode", "1777" },
	{ "--socket-mode=", "socket-mode", "\"\"" },
	{ "--socket-mode=rw", "socket-mode", "rw" },
	{ "--socket-mode=-600", "socket-mode", "-600" },
	{ "--socket-group=no-such-group", "socket-group", "no-such-group" },
	{ "--socket-group=4294967295", "socket-group", "4294967295" }, /* (gid_t)-1 */
	{ "--socket-group=3000000000", "socket-group", "3000000000" },
	{ "--driver-name=", "driver-name", "63" },
	{ "--driver-name=-a", "driver-name", "-a" },
	{ "--driver-name=a.", "driver-name", "a." },
	{ "--driver-name=a_b", "driver-name", "a_b" },
	{ "--driver-name=a/b", "driver-name", "a/b" },
	{ "--driver-name=aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
	  "driver-name", "63" }, /* 64 characters */
	{ "--node-id=aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "node-id",
	  "63" },
	{ "--state-dir=here", "state-dir", "here" },
	{ "--state-dir=", "state-dir", "\"\"" },
	{ "--backend=longhorn", "backend", "loop" },
	{ "--workrs=3", "--workrs", "help" },
	{ "--=3", "--", "help" },
	{ "--", "--", "no option" },
	{ "-h", "-h", "no option" },
	{ "workers", "workers", "no option" },
	{ "--workers", "--workers", "missing" },
	{ "--config", "--config", "missing" },
};

static void bad_values_are_refused_by_name(void)
{
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		char flag[128];

		text_copy(flag, sizeof(flag), bad[i].flag);
		CHECK_MSG(READ(flag) == -EINVAL, "%s is taken", flag);
		CHECK_CONTAINS(err_text(&error), bad[i].option);
		CHECK_CONTAINS(err_text(&error), bad[i].value);
	}
	/* From the environment too, where it came from is said. */
	setenv("CRYPTVOL_STATE_DIR", "here", 1);
	refused(READ(), "state-dir", "here");
	unsetenv("CRYPTVOL_STATE_DIR");
}

static void good_values_arrive(void)
{
	CHECK_INT(READ(A("--mode=controller"), A("--socket-mode=660"), A("--socket-group=0"),
		       A("--kdf-memory=128M"), A("--overprovision=250"), A("--max-volumes=42"),
		       A("--driver-name=a"), A("--node-id=n"), A("--workers=64"), A("--grace=0"),
		       A("--log-level=error"), A("--metrics-address=127.0.0.1:9809"),
		       A("--topology-key=example.com/zone")),
		  0);
	CHECK_INT(config.mode, CSI_MODE_CONTROLLER);
	CHECK_INT(config.socket_mode_bits, 0660);
	CHECK_INT(config.socket_gid, 0);
	CHECK_INT(config.kdf_memory_bytes, 128 << 20);
	CHECK_INT(config.overprovision_percent, 250);
	CHECK_INT(config.max_volumes_per_node, 42);
	CHECK_STR(config.driver_name, "a");
	CHECK_STR(config.topology_key, "example.com/zone");
	CHECK_STR(config.node_id, "n");
	CHECK_INT(config.n_workers, 64);
	CHECK_INT(config.grace_seconds, 0);
	CHECK_INT(config.level, CSI_LOG_ERROR);
	CHECK_INT(READ(A("--socket-group=root")), 0);
	CHECK_INT(config.socket_gid, 0);
}

static void values_have_255_bytes_at_most(void)
{
	char flag[400] = "--backup-dir=/";

	memset(flag + 14, 'x', 254);
	CHECK_INT(READ(flag), 0);
	CHECK_INT(strlen(config.backup_dir), 255);
	flag[14 + 254] = 'x';
	refused(READ(flag), "backup-dir", "255");
	setenv("CRYPTVOL_BACKUP_DIR", flag + 13, 1);
	refused(READ(), "CRYPTVOL_BACKUP_DIR", "255");
	unsetenv("CRYPTVOL_BACKUP_DIR");
}

static void help_and_version_need_nothing_else(void)
{
	CHECK_INT(READ(A("--help")), 0);
	CHECK_INT(outcome, CSI_CONFIG_HELP);
	CHECK_INT(READ(A("--mode=both"), A("--version")), 0);
	CHECK_INT(outcome, CSI_CONFIG_VERSION);
}

/* --help lists each option once, and each is one that is taken. */
static void help_lists_what_is_taken(void)
{
	char text[8192] = "", *save = NULL;
	int fd = memfd_create("help", 0), n = 0;

	csi_config_help(fd);
	CHECK(pread(fd, text, sizeof(text) - 1, 0) > 0);
	close(fd);
	for (char *line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		char flag[64] = "--";
		size_t len = 0;

		if (strncmp(line, "  --", 4) != 0)
			continue;
		n++;
		len = strcspn(line + 4, " ");
		memcpy(flag + 2, line + 4, len);
		if (!strcmp(flag, "--help") || !strcmp(flag, "--version"))
			continue;
		flag[2 + len] = '=';
		CHECK_MSG(!READ(flag) || !strstr(err_text(&error), "there is no option"), "%s",
			  flag);
	}
	CHECK_INT(n > 15, 1);
}

int main(void)
{
	RUN(defaults);
	RUN(a_flag_wins_over_environment_over_file);
	RUN(csi_endpoint_is_what_the_specification_says);
	RUN(a_file_is_lines_of_option_and_value);
	RUN(bad_values_are_refused_by_name);
	RUN(good_values_arrive);
	RUN(values_have_255_bytes_at_most);
	RUN(help_and_version_need_nothing_else);
	RUN(help_lists_what_is_taken);
	return check_exit();
}
