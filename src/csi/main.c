// SPDX-License-Identifier: Apache-2.0
// cryptvol-csi: options, the driver's parts, then serve until told to stop.
#include "common.h"
#include "pool.h"
#include "watch.h"

#include <cryptvol/backend.h>
#include <cryptvol/keyring.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#define LOCK_DIR "/run/cryptvol" /* of derivations, and of volumes */
/* Threads of one queue, and when a call counts as one that hangs: most stages are done by then. */
#define WORKERS_MAX 128u
#define STUCK_SECONDS 10
#define MMAP_THRESHOLD_BYTES (256 * 1024)

/* The service manager's notification socket (sd_notify(3)): one datagram, no library needed. */
static void notify(const char *state)
{
	const char *path = getenv("NOTIFY_SOCKET");
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	_cleanup_close_ int fd = -1;
	size_t n;

	if (!path || (path[0] != '/' && path[0] != '@') ||
	    text_copy(sa.sun_path, sizeof(sa.sun_path), path))
		return;
	n = strlen(path);
	if (path[0] == '@')
		sa.sun_path[0] = '\0';
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd >= 0)
		(void)!sendto(fd, state, strlen(state), MSG_NOSIGNAL, (struct sockaddr *)&sa,
			      (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n));
}

static void on_ready(void *arg)
{
	const struct csi_driver *d = arg;

	csi_log(CSI_LOG_INFO, "serving",
		(struct csi_log_field[]){ { "version", CRYPTVOL_VERSION },
					  { "endpoint", d->config.endpoint },
					  { "mode", d->config.mode_name },
					  { "node", d->config.node_id },
					  { "driver", d->config.driver_name },
					  { NULL, NULL } });
	notify("READY=1");
}

static void on_done(const struct csi_call *call, double seconds, void *arg)
{
	struct csi_driver *d = arg;

	if (call->method)
		csi_metrics_call(d->metrics, call->method->path, call->code, seconds);
}

static void on_warning(void *arg, const char *sentence)
{
	(void)arg;
	csi_logf(CSI_LOG_WARNING, "volume", "%s", sentence);
}

static void on_repair(void *arg, const char *sentence)
{
	(void)arg;
	csi_logf(CSI_LOG_WARNING, "repair", "%s", sentence);
}

static void on_progress(void *arg, const char *sentence)
{
	(void)arg;
	csi_logf(CSI_LOG_INFO, "progress", "%s", sentence);
}

static void on_debug(const char *line)
{
	csi_logf(CSI_LOG_DEBUG, "library", "%s", line);
}

/* The threads of gRPC inherit the mask, so this comes before everything else. */
static void block_signals(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	signal(SIGPIPE, SIG_IGN);
}

static int add_methods(const struct csi_method_list *l, struct csi_method **all, size_t *n,
		       struct err *e)
{
	struct csi_method *grown = reallocarray(*all, *n + l->n, sizeof(*grown));

	if (!grown)
		return err_set(e, -ENOMEM, "no memory for the method table");
	memcpy(grown + *n, l->methods, l->n * sizeof(*grown));
	*all = grown;
	*n += l->n;
	return 0;
}

int csi_methods(enum csi_mode mode, struct csi_method **ret, size_t *ret_n, struct err *e)
{
	struct csi_method *all = NULL;
	size_t n = 0;
	int r;

	r = add_methods(&csi_identity_methods, &all, &n, e);
	if (!r && mode != CSI_MODE_NODE)
		r = add_methods(&csi_controller_methods, &all, &n, e);
	if (!r && mode != CSI_MODE_NODE)
		r = add_methods(&csi_group_methods, &all, &n, e);
	if (!r && mode != CSI_MODE_CONTROLLER)
		r = add_methods(&csi_node_methods, &all, &n, e);
	else if (!r)
		r = add_methods(&csi_node_capability_methods, &all, &n, e);
	if (r) {
		free(all);
		return r;
	}
	*ret = all;
	*ret_n = n;
	return 0;
}

static void on_derived(void *arg, double seconds)
{
	csi_metrics_phase(arg, "kdf", seconds);
}

static void on_mapped(void *arg, double seconds)
{
	csi_metrics_phase(arg, "kernel", seconds);
}

/* Volume keys that an earlier version left where any process of this uid can use them. */
static void clear_user_keyring(void)
{
	struct err e = { 0 };
	int n = keyring_available() ? keyring_clear_user(&e) : 0;

	if (n < 0)
		csi_logf(CSI_LOG_WARNING, "kept_key", "%s", err_text(&e));
	else if (n > 0)
		csi_logf(CSI_LOG_WARNING, "kept_key",
			 "%d keys that an earlier version kept in the user keyring are revoked: to "
			 "grow their volumes takes the Secret until they are staged again",
			 n);
}

/* Before the first other thread: the process keyring is the starter's and his threads'. */
static int prepare_keys(struct csi_driver *d, struct err *e)
{
	if (d->config.mode == CSI_MODE_CONTROLLER)
		return 0;
	clear_user_keyring();
	if (d->config.keep_key != CSI_KEEP_KEY_PROCESS || !keyring_available())
		return 0;
	return keyring_process_init(e) ?: csi_reaper_start(&d->reaper, e);
}

static int open_parts(struct csi_driver *d, struct err *e)
{
	struct crypto_kdf_config kdf = { .budget_bytes = d->config.kdf_memory_bytes,
					 /* One new keyslot's: a daemon is idle most of its life. */
					 .idle_bytes = 64ull << 20,
					 .lock_dir = LOCK_DIR };
	char socket_dir[sizeof(d->config.endpoint)];
	struct backend_config b = { .state_dir = d->config.state_dir,
				    .node_id = d->config.node_id,
				    .lock_dir = LOCK_DIR,
				    .store_id_file = d->config.store_id_file,
				    .require_mountpoint = d->config.require_mountpoint,
				    /* in a container "/" says nothing of the host's root */
				    .apart_from = socket_dir,
				    .use_holds = d->config.mode == CSI_MODE_CONTROLLER
							 ? NULL
							 : csi_use_holds,
				    .backup_dir = d->config.backup_dir,
				    .overprovision_percent = d->config.overprovision_percent,
				    /* the other half of that queue's workers is for the rest */
				    .slow_calls_max = d->config.n_workers / 2,
				    .warn = on_repair,
				    .progress = on_progress,
				    .stop = csi_serving_stopped };
	struct csi_pool_config pool = { .workers = d->config.n_workers,
					.workers_max = WORKERS_MAX,
					.stuck_seconds = STUCK_SECONDS };
	int r;

	text_copy(socket_dir, sizeof(socket_dir), csi_socket_path(d->config.endpoint));
	if (strrchr(socket_dir, '/'))
		*strrchr(socket_dir, '/') = '\0';
	d->locks = csi_locks_new();
	if (!d->locks)
		return err_set(e, -ENOMEM, "no memory for locks");
	d->metrics = csi_metrics_new(e);
	if (!d->metrics)
		return e->code;
	kdf.derived = on_derived;
	kdf.arg = d->metrics;
	r = crypto_kdf_new(&kdf, &d->env.kdf, e);
	if (r)
		return r;
	d->env.udev = DM_UDEV_NO_COOKIE;
	d->env.warn = on_warning;
	d->env.mapped = on_mapped;
	d->env.arg = d->metrics;
	r = backend_open(d->config.backend, &b, &d->backend, e);
	r = r ?: csi_pool_new(&pool, &d->pool, e);
	r = r ?: csi_watch_new(d, e);
	if (r)
		return r;
	return d->config.metrics_address[0]
		       ? csi_metrics_serve(d->config.metrics_address, d, &d->metrics_server, e)
		       : 0;
}

static void close_parts(struct csi_driver *d)
{
	csi_reaper_stop(d->reaper);
	csi_metrics_stop(d->metrics_server);
	csi_pool_free(d->pool);
	/* Where its thread hangs with the disk, the parts end with the process. */
	if (!csi_watch_stop(d))
		return;
	backend_close(d->backend);
	crypto_kdf_free(d->env.kdf);
	csi_locks_free(d->locks);
	csi_metrics_free(d->metrics);
}

static int serve(struct csi_driver *d, bool *ret_drained, struct err *e)
{
	_cleanup_free_ struct csi_method *methods = NULL;
	struct csi_server_config s = { .endpoint = d->config.endpoint,
				       .mode = d->config.socket_mode_bits,
				       .gid = d->config.socket_gid,
				       .pool = d->pool,
				       .grace_seconds = d->config.grace_seconds,
				       .driver = d,
				       .ready = on_ready,
				       .done = on_done,
				       .arg = d };
	int r;

	r = csi_methods(d->config.mode, &methods, &s.n_methods, e);
	if (r)
		return r;
	s.methods = methods;
	return csi_server_run(&s, ret_drained, e);
}

/* glibc would raise its threshold to the biggest block that was ever freed, and keep as much in the
 * arena of every worker: 250 MiB after a few stages at once. */
static void keep_memory_small(void)
{
	mallopt(M_MMAP_THRESHOLD, MMAP_THRESHOLD_BYTES);
	mallopt(M_TRIM_THRESHOLD, MMAP_THRESHOLD_BYTES);
}

int main(int argc, char **argv)
{
	static struct csi_driver d;
	enum csi_config_outcome outcome;
	struct err e = { 0 };
	bool drained = true;
	int r;

	keep_memory_small();
	block_signals();
	umask(0077);
	r = csi_config_read(argc, argv, &d.config, &outcome, &e);
	if (!r && outcome == CSI_CONFIG_HELP) {
		csi_config_help(STDOUT_FILENO);
		return 0;
	}
	if (!r && outcome == CSI_CONFIG_VERSION) {
		dprintf(STDOUT_FILENO, "cryptvol-csi %s\n", CRYPTVOL_VERSION);
		return 0;
	}
	if (!r) {
		csi_log_init(d.config.level, d.config.log_json);
		if (d.config.level == CSI_LOG_DEBUG)
			log_set_debug(on_debug);
		r = secret_process_init(&e);
	}
	/* Before anything is repaired: what another process is in the middle of isn't left over. */
	if (!r)
		r = csi_socket_clear(csi_socket_path(d.config.endpoint), &e);
	r = r ?: prepare_keys(&d, &e);
	r = r ?: open_parts(&d, &e);
	if (!r && !backend_check(d.backend, NULL))
		csi_take_up(&d);
	r = r ?: csi_watch_start(&d, &e);
	if (!r)
		r = serve(&d, &drained, &e);
	notify("STOPPING=1");
	if (r)
		csi_logf(CSI_LOG_ERROR, "stopped", "%s", err_text(&e));
	else
		csi_logf(CSI_LOG_INFO, "stopped",
			 drained ? "all calls answered"
				 : "a call was still under way; the next start takes it up");
	if (!drained)
		_exit(0); /* a worker still runs: nothing may be taken from under it */
	close_parts(&d);
	return r ? 1 : 0;
}
