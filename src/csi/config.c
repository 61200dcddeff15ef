// SPDX-License-Identifier: Apache-2.0
// Flags, environment (CRYPTVOL_<OPTION>) and configuration file ("option = value" lines) into
// struct csi_config: one table.
#include "config.h"

#include <ctype.h>
#include <grp.h>
#include <stdio.h>

#define CONFIG_FILE_MAX_BYTES 65536

struct option_row {
	const char *name;
	size_t offset;
	const char *initial;
	const char *help;
};
#define FIELD(f) offsetof(struct csi_config, f)

static const struct option_row options[] = {
	{ "mode", FIELD(mode_name), "all", "which services: controller, node or all" },
	{ "endpoint", FIELD(endpoint), "unix:///run/cryptvol/csi.sock",
	  "socket to serve on (environment: CSI_ENDPOINT too)" },
	{ "socket-mode", FIELD(socket_mode), "0600", "mode of the socket, octal" },
	{ "socket-group", FIELD(socket_group), "", "group of the socket, name or number" },
	{ "driver-name", FIELD(driver_name), "csi.cryptvol.io",
	  "name that the driver registers under" },
	{ "node-id", FIELD(node_id), "", "name of this node (host name)" },
	{ "backend", FIELD(backend), "loop", "where block devices come from: loop" },
	{ "state-dir", FIELD(state_dir), "/var/lib/cryptvol",
	  "images and state of the loop backend" },
	{ "require-mountpoint", FIELD(require_mountpoint_name), "no",
	  "yes: the state directory has to be a file system of its own" },
	{ "store-id-file", FIELD(store_id_file), "",
	  "file on another disk that remembers which store is this node's" },
	{ "backup-dir", FIELD(backup_dir), "",
	  "where snapshots of type bak go, if their class names no place" },
	{ "kdf-memory", FIELD(kdf_memory), "0",
	  "memory for all key derivations together, e.g. 128M (0: half of what there is)" },
	{ "keep-key", FIELD(keep_key_name), "process",
	  "where a staged volume's key stays to grow it without the Secret: process, table or "
	  "none" },
	{ "overprovision", FIELD(overprovision), "100",
	  "sum of volume sizes allowed, in percent of the state directory's file system" },
	{ "max-volumes", FIELD(max_volumes), "0",
	  "volumes that this node takes at most (0: no limit)" },
	{ "topology-key", FIELD(topology_key), "",
	  "topology key that binds volumes to their node (<driver-name>/node)" },
	{ "workers", FIELD(workers), "8", "calls served at once, half of them copies at most" },
	{ "grace", FIELD(grace), "10", "seconds that a stop waits for calls under way" },
	{ "log-level", FIELD(log_level), "info", "error, warning, info or debug" },
	{ "log-format", FIELD(log_format), "text", "text or json" },
	{ "metrics-address", FIELD(metrics_address), "",
	  "address:port for Prometheus (empty: none)" },
};

static const struct option_row *find_option(const char *name, size_t n)
{
	for (size_t i = 0; i < ARRAY_SIZE(options); i++)
		if (strlen(options[i].name) == n && !strncmp(options[i].name, name, n))
			return &options[i];
	return NULL;
}

static int set_option(struct csi_config *c, const struct option_row *o, const char *value,
		      const char *from, struct err *e)
{
	if (text_copy((char *)c + o->offset, CSI_TEXT_MAX, value))
		return err_set(e, -EINVAL, "%s: the value of %s is longer than %d bytes", from,
			       o->name, CSI_TEXT_MAX - 1);
	return 0;
}

/* ---- file ---- */

static char *trim(char *s)
{
	char *end;

	while (isspace((unsigned char)*s))
		s++;
	end = s + strlen(s);
	while (end > s && isspace((unsigned char)end[-1]))
		*--end = '\0';
	return s;
}

static int read_line(struct csi_config *c, char *line, const char *from, struct err *e)
{
	const struct option_row *o;
	char *value, *key;

	key = trim(line);
	if (!*key || *key == '#')
		return 0;
	value = strchr(key, '=');
	if (!value)
		return err_set(e, -EINVAL, "%s: \"%s\" is no \"option = value\"", from, key);
	*value++ = '\0';
	key = trim(key);
	o = find_option(key, strlen(key));
	if (!o)
		return err_set(e, -EINVAL, "%s: there is no option %s", from, key);
	return set_option(c, o, trim(value), from, e);
}

static int read_config_file(struct csi_config *c, const char *path, struct err *e)
{
	_cleanup_free_ char *text = NULL;
	char *save = NULL, from[CSI_TEXT_MAX + 32];
	unsigned int n = 0;
	int r;

	r = io_read_file(path, CONFIG_FILE_MAX_BYTES, &text, NULL);
	if (r)
		return err_sys(e, r, "config: %s can't be read", path);
	for (char *line = text; line; line = save) {
		save = strchr(line, '\n');
		if (save)
			*save++ = '\0';
		snprintf(from, sizeof(from), "%.*s line %u", CSI_TEXT_MAX, path, ++n);
		r = read_line(c, line, from, e);
		if (r)
			return r;
	}
	return 0;
}

/* ---- environment ---- */

static int read_environment(struct csi_config *c, struct err *e)
{
	const char *endpoint = getenv("CSI_ENDPOINT");
	int r = 0;

	if (endpoint && *endpoint)
		r = set_option(c, find_option("endpoint", 8), endpoint, "CSI_ENDPOINT", e);
	for (size_t i = 0; !r && i < ARRAY_SIZE(options); i++) {
		char name[64] = "CRYPTVOL_";
		const char *value;

		for (size_t n = strlen(name), k = 0; options[i].name[k]; k++)
			name[n + k] = options[i].name[k] == '-'
					      ? '_'
					      : (char)toupper((unsigned char)options[i].name[k]);
		value = getenv(name);
		if (value)
			r = set_option(c, &options[i], value, name, e);
	}
	return r;
}

/* ---- flags ---- */

/* "--name=value" or "--name value"; *ret_o NULL for --config, --help and --version. */
static int split_flag(int argc, char **argv, int *i, const char **ret_name, size_t *ret_len,
		      const char **ret_value, struct err *e)
{
	const char *arg = argv[*i], *eq;

	if (strncmp(arg, "--", 2) || !arg[2])
		return err_set(e, -EINVAL, "\"%s\" is no option", arg);
	arg += 2;
	eq = strchr(arg, '=');
	*ret_name = arg;
	*ret_len = eq ? (size_t)(eq - arg) : strlen(arg);
	*ret_value = eq ? eq + 1 : NULL;
	if (!strcmp(arg, "help") || !strcmp(arg, "version"))
		return 0;
	if (!*ret_value) {
		if (*i + 1 >= argc)
			return err_set(e, -EINVAL, "--%s: the value is missing", arg);
		*ret_value = argv[++*i];
	}
	return 0;
}

static int read_flags(int argc, char **argv, struct csi_config *c, const char **ret_file,
		      enum csi_config_outcome *outcome, struct err *e)
{
	for (int i = 1; i < argc; i++) {
		const struct option_row *o;
		const char *name = NULL, *value = NULL;
		size_t len = 0;
		int r;

		r = split_flag(argc, argv, &i, &name, &len, &value, e);
		if (r)
			return r;
		if (!value) {
			*outcome = !strcmp(name, "help") ? CSI_CONFIG_HELP : CSI_CONFIG_VERSION;
			return 0;
		}
		if (len == 6 && !strncmp(name, "config", len)) {
			*ret_file = value;
			continue;
		}
		o = find_option(name, len);
		if (!o)
			return err_set(e, -EINVAL, "there is no option --%.*s (see --help)",
				       (int)len, name);
		if (c) {
			r = set_option(c, o, value, "flags", e);
			if (r)
				return r;
		}
	}
	return 0;
}

/* ---- from texts to values ---- */

static int parse_word(const char *option, const char *value, const char *const *words, size_t n,
		      unsigned int *ret, struct err *e)
{
	for (unsigned int i = 0; i < n; i++)
		if (!strcmp(value, words[i])) {
			*ret = i;
			return 0;
		}
	return err_set(e, -EINVAL, "%s: \"%s\" isn't known (see --help)", option, value);
}

static int parse_number(const char *option, const char *value, uint64_t low, uint64_t high,
			uint64_t *ret, struct err *e)
{
	uint64_t v;

	if (text_parse_u64(value, &v) || v < low || v > high)
		return err_set(e, -EINVAL, "%s: \"%s\" is no number from %llu to %llu", option,
			       value, (unsigned long long)low, (unsigned long long)high);
	*ret = v;
	return 0;
}

static int parse_socket(struct csi_config *c, struct err *e)
{
	const struct group *g;
	char *end;
	uint32_t gid;

	c->socket_mode_bits = (unsigned int)strtoul(c->socket_mode, &end, 8);
	if (*end || end == c->socket_mode || c->socket_mode_bits > 0777)
		return err_set(e, -EINVAL, "socket-mode: \"%s\" is no octal mode", c->socket_mode);
	c->socket_gid = -1;
	if (!c->socket_group[0])
		return 0;
	/* A bigger number would turn negative, which stands for "as it is". */
	if (!text_parse_u32(c->socket_group, &gid) && gid <= INT32_MAX) {
		c->socket_gid = (int)gid;
		return 0;
	}
	g = getgrnam(c->socket_group);
	if (!g)
		return err_set(e, -EINVAL, "socket-group: there is no group %s", c->socket_group);
	c->socket_gid = (int)g->gr_gid;
	return 0;
}

/* CSI: at most 63 characters, domain notation, alphanumeric ends. */
static int check_driver_name(const char *s, struct err *e)
{
	size_t n = strlen(s);
	bool good = n >= 1 && n <= 63 && isalnum((unsigned char)s[0]) &&
		    isalnum((unsigned char)s[n - 1]);

	for (size_t i = 0; good && i < n; i++)
		good = isalnum((unsigned char)s[i]) || s[i] == '-' || s[i] == '.';
	return good ? 0
		    : err_set(e, -EINVAL,
			      "driver-name: \"%s\" is no domain name of at most 63 characters", s);
}

static int fill_names(struct csi_config *c, struct err *e)
{
	int r;

	if (!c->node_id[0] && gethostname(c->node_id, sizeof(c->node_id) - 1))
		return err_sys(e, -errno, "node-id: no host name");
	if (strlen(c->node_id) > 63)
		return err_set(e, -EINVAL,
			       "node-id: \"%s\" is longer than the 63 characters that a topology "
			       "value may have",
			       c->node_id);
	r = check_driver_name(c->driver_name, e);
	if (r)
		return r;
	if (!c->topology_key[0])
		snprintf(c->topology_key, sizeof(c->topology_key), "%.63s/node", c->driver_name);
	if (c->state_dir[0] != '/')
		return err_set(e, -EINVAL, "state-dir: \"%s\" isn't an absolute path",
			       c->state_dir);
	if (c->store_id_file[0] && c->store_id_file[0] != '/')
		return err_set(e, -EINVAL, "store-id-file: \"%s\" isn't an absolute path",
			       c->store_id_file);
	if (strcmp(c->backend, "loop"))
		return err_set(e, -EINVAL, "backend: \"%s\" isn't known; there is: loop",
			       c->backend);
	return 0;
}

static int parse_values(struct csi_config *c, struct err *e)
{
	static const char *const modes[] = { "all", "controller", "node" };
	static const char *const keeps[] = { "process", "table", "none" };
	static const char *const levels[] = { "error", "warning", "info", "debug" };
	static const char *const formats[] = { "text", "json" };
	static const char *const answers[] = { "no", "yes" };
	unsigned int keep = 0, mode = 0, level = 0, format = 0, mountpoint = 0;
	uint64_t workers = 0, grace = 0, volumes = 0;
	int r;

	r = parse_word("mode", c->mode_name, modes, ARRAY_SIZE(modes), &mode, e);
	r = r ?: parse_word("keep-key", c->keep_key_name, keeps, ARRAY_SIZE(keeps), &keep, e);
	r = r ?: parse_word("log-level", c->log_level, levels, ARRAY_SIZE(levels), &level, e);
	r = r ?: parse_word("log-format", c->log_format, formats, ARRAY_SIZE(formats), &format, e);
	r = r
		    ?: parse_word("require-mountpoint", c->require_mountpoint_name, answers,
				  ARRAY_SIZE(answers), &mountpoint, e);
	r = r ?: parse_number("workers", c->workers, 2, 64, &workers, e);
	r = r ?: parse_number("grace", c->grace, 0, 3600, &grace, e);
	r = r
		    ?: parse_number("overprovision", c->overprovision, 1, 100000,
				    &c->overprovision_percent, e);
	r = r ?: parse_number("max-volumes", c->max_volumes, 0, 100000, &volumes, e);
	if (r)
		return r;
	if (text_parse_size(c->kdf_memory, &c->kdf_memory_bytes))
		return err_set(e, -EINVAL, "kdf-memory: \"%s\" is no size", c->kdf_memory);
	c->mode = (enum csi_mode)mode;
	c->keep_key = (enum csi_keep_key)keep;
	c->level = (enum csi_log_level)level;
	c->log_json = format == 1;
	c->require_mountpoint = mountpoint == 1;
	c->n_workers = (unsigned int)workers;
	c->grace_seconds = (unsigned int)grace;
	c->max_volumes_per_node = (int64_t)volumes;
	r = parse_socket(c, e);
	return r ?: fill_names(c, e);
}

int csi_config_read(int argc, char **argv, struct csi_config *ret,
		    enum csi_config_outcome *ret_outcome, struct err *e)
{
	const char *file = getenv("CRYPTVOL_CONFIG");
	enum csi_config_outcome outcome = CSI_CONFIG_RUN;
	int r = 0;

	memset(ret, 0, sizeof(*ret));
	for (size_t i = 0; !r && i < ARRAY_SIZE(options); i++)
		r = set_option(ret, &options[i], options[i].initial, "defaults", e);
	/* A first pass over the flags only finds --config, --help and --version. */
	r = r ?: read_flags(argc, argv, NULL, &file, &outcome, e);
	if (r || outcome != CSI_CONFIG_RUN) {
		*ret_outcome = outcome;
		return r;
	}
	if (file)
		r = read_config_file(ret, file, e);
	r = r ?: read_environment(ret, e);
	r = r ?: read_flags(argc, argv, ret, &file, &outcome, e);
	r = r ?: parse_values(ret, e);
	*ret_outcome = outcome;
	return r;
}

void csi_config_help(int fd)
{
	dprintf(fd, "Usage: cryptvol-csi [--option=value]...\n\n"
		    "The CSI driver for encrypted volumes. Each option may also stand in the "
		    "environment (CRYPTVOL_MODE, ...)\n"
		    "or in a file of \"option = value\" lines (--config); a flag wins over the "
		    "environment, that over the file.\n\n");
	dprintf(fd, "  --%-16s %s\n", "config", "file to read options from");
	for (size_t i = 0; i < ARRAY_SIZE(options); i++)
		dprintf(fd, "  --%-16s %s%s%s%s\n", options[i].name, options[i].help,
			*options[i].initial ? " [" : "", options[i].initial,
			*options[i].initial ? "]" : "");
	dprintf(fd, "  --%-16s %s\n  --%-16s %s\n", "version", "print the version", "help",
		"print this");
}
