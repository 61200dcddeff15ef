// SPDX-License-Identifier: Apache-2.0
// Watches the node's disk and the volumes: a log line when something turns bad or good, once, and
// the errors of volumes' devices, which only the kernel's log tells of.
#include "trouble.h"
#include "watch.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/sysmacros.h>

#define LOOK_SECONDS 5
#define SPACE_SECONDS 60
#define STOP_SECONDS 5
#define KMSG_BYTES 8192
#define NODE "" /* in place of a volume's id: the disk that the state directory lies on */

struct errors {
	char id[BACKEND_ID_MAX], first[256];
	uint64_t count;
};
struct turned {
	char id[BACKEND_ID_MAX];
	const char *reason;
};

struct csi_watch {
	struct csi_driver *driver;
	pthread_t thread;
	pthread_mutex_t lock; /* of all below, but for what only the thread has */
	pthread_cond_t wake;
	bool stop, running, done;
	int kmsg; /* -1: the kernel's log can't be read here */
	struct errors *errors;
	size_t n_errors;
	struct turned *turned; /* what is bad, and was logged */
	size_t n_turned;
	enum csi_disk_state disk;
	pthread_mutex_t space_lock; /* of the next two; a disk that hangs may keep it */
	struct backend_space space;
	double space_read; /* base_now; 0 = never */
};

/* ---- the kernel's log ---- */

/* The name that the kernel's log has for a device of ours is a volume's: "" = nobody's. */
static void volume_of(const char *device, char ret[BACKEND_ID_MAX])
{
	_cleanup_free_ char *text = NULL;
	char path[128], *name, *end;
	bool loop = !strncmp(device, "loop", 4);

	ret[0] = '\0';
	snprintf(path, sizeof(path), "/sys/block/%.40s/%s", device,
		 loop ? "loop/backing_file" : "dm/name");
	if (io_read_file(path, 4096, &text, NULL))
		return;
	text[strcspn(text, "\n")] = '\0';
	name = strrchr(text, '/');
	name = name ? name + 1 : text;
	end = loop ? strstr(name, ".img") : NULL;
	if (end)
		*end = '\0';
	if (!csi_id_plausible(name) || text_copy(ret, BACKEND_ID_MAX, name))
		ret[0] = '\0';
}

/* Is the device, or the disk that it is a part of, what the state directory lies on? */
static bool is_state_device(const struct csi_driver *d, const char *device)
{
	char link[64], target[PATH_MAX], part[64];
	struct stat st;
	ssize_t n;

	if (stat(d->config.state_dir, &st))
		return false;
	snprintf(link, sizeof(link), "/sys/dev/block/%u:%u", major(st.st_dev), minor(st.st_dev));
	n = readlink(link, target, sizeof(target) - 2);
	if (n <= 0)
		return false;
	memcpy(target + n, "/", 2);
	snprintf(part, sizeof(part), "/%.40s/", device);
	return strstr(target, part) != NULL;
}

static void count_error(struct csi_watch *w, const char *id, const char *line)
{
	struct errors *grown;

	for (size_t i = 0; i < w->n_errors; i++)
		if (!strcmp(w->errors[i].id, id)) {
			w->errors[i].count++;
			return;
		}
	grown = reallocarray(w->errors, w->n_errors + 1, sizeof(*grown));
	if (!grown)
		return;
	w->errors = grown;
	grown += w->n_errors++;
	*grown = (struct errors){ .count = 1 };
	text_copy(grown->id, sizeof(grown->id), id);
	snprintf(grown->first, sizeof(grown->first), "%.200s", line);
}

/* "I/O error, dev loop3, sector 8 op 0x1:(WRITE) ...", "critical medium error, dev sda, ...",
 * "Buffer I/O error on dev dm-0, logical block 8, ..." (block/blk-core.c, fs/buffer.c). */
static void read_line(struct csi_watch *w, char *line)
{
	char device[64], id[BACKEND_ID_MAX];
	const char *p = strstr(line, " error, dev "), *end;

	p = p ? p + 12 : strstr(line, " error on dev ");
	if (!p)
		return;
	if (!strncmp(p, " error on dev ", 14))
		p += 14;
	end = strchr(p, ',');
	if (!end || (size_t)(end - p) >= sizeof(device))
		return;
	memcpy(device, p, (size_t)(end - p));
	device[end - p] = '\0';
	if (strchr(device, '/'))
		return;
	volume_of(device, id);
	if (*id)
		count_error(w, id, line);
	else if (is_state_device(w->driver, device))
		count_error(w, NODE, line);
}

/* One record a read: "priority,sequence,time,flags;text\n", then lines of a dictionary. */
static void read_kernel_log(struct csi_watch *w)
{
	char record[KMSG_BYTES];

	while (w->kmsg >= 0) {
		ssize_t n = read(w->kmsg, record, sizeof(record) - 1);
		char *text;

		if (n < 0 && (errno == EPIPE || errno == EINTR))
			continue; /* records were overwritten before they were read */
		if (n <= 0)
			return;
		record[n] = '\0';
		text = strchr(record, ';');
		if (!text)
			continue;
		text[strcspn(text, "\n")] = '\0';
		read_line(w, text + 1);
	}
}

static uint64_t errors_of(struct csi_watch *w, const char *id, char *ret, size_t cap)
{
	uint64_t count = 0;

	pthread_mutex_lock(&w->lock);
	read_kernel_log(w);
	for (size_t i = 0; i < w->n_errors; i++) {
		if (strcmp(w->errors[i].id, id))
			continue;
		count = w->errors[i].count;
		snprintf(ret, cap, "%s", w->errors[i].first);
	}
	pthread_mutex_unlock(&w->lock);
	return count;
}

uint64_t csi_watch_errors(struct csi_driver *d, const char *id, char *ret, size_t cap)
{
	return d->watch ? errors_of(d->watch, id, ret, cap) : 0;
}

void csi_watch_forget(struct csi_driver *d, const char *id)
{
	struct csi_watch *w = d->watch;

	if (!w)
		return;
	pthread_mutex_lock(&w->lock);
	read_kernel_log(w);
	for (size_t i = 0; i < w->n_errors; i++)
		if (!strcmp(w->errors[i].id, id))
			w->errors[i--] = w->errors[--w->n_errors];
	pthread_mutex_unlock(&w->lock);
}

/* ---- the node's disk ---- */

int csi_watch_space(struct csi_driver *d, double max_age_seconds, struct backend_space *ret,
		    struct err *e)
{
	struct csi_watch *w = d->watch;
	double now = base_now();
	int r = 0;

	if (!w)
		return backend_read_space(d->backend, ret, e);
	pthread_mutex_lock(&w->space_lock);
	if (!w->space_read || now - w->space_read > max_age_seconds) {
		r = backend_read_space(d->backend, &w->space, e);
		w->space_read = r ? 0 : now;
	}
	if (!r)
		*ret = w->space;
	pthread_mutex_unlock(&w->space_lock);
	return r;
}

static enum csi_disk_state judge_space(const struct csi_driver *d, const struct backend_space *s,
				       uint64_t now_free, char *ret, size_t cap)
{
	const char *dir = d->config.state_dir;

	if (now_free < s->reserve_bytes / 4) {
		snprintf(ret, cap,
			 "the node's disk is full: %s has %llu bytes left, and the volumes there "
			 "have %llu still to write",
			 dir, (unsigned long long)now_free, (unsigned long long)s->owed_bytes);
		return CSI_DISK_FULL;
	}
	if (now_free < s->reserve_bytes) {
		snprintf(ret, cap,
			 "the node's disk is nearly full: %s has %llu bytes left, less than the "
			 "reserve of %llu",
			 dir, (unsigned long long)now_free, (unsigned long long)s->reserve_bytes);
		return CSI_DISK_LOW;
	}
	if (d->config.overprovision_percent <= 100 && s->owed_bytes > s->free_bytes) {
		snprintf(ret, cap,
			 "other files take what was promised to volumes: %s has %llu bytes left, "
			 "and the volumes there have %llu still to write",
			 dir, (unsigned long long)s->free_bytes, (unsigned long long)s->owed_bytes);
		return CSI_DISK_LOW;
	}
	return CSI_DISK_FINE;
}

enum csi_disk_state csi_disk_state(struct csi_driver *d, char *ret, size_t cap)
{
	const char *dir = d->config.state_dir;
	struct backend_space s;
	struct err e = { 0 };
	struct statvfs st;
	char first[256];

	ret[0] = '\0';
	if (statvfs(dir, &st)) {
		snprintf(ret, cap, "%s can't be read: %s", dir, strerrordesc_np(errno));
		return CSI_DISK_FAILING;
	}
	if (st.f_flag & ST_RDONLY) {
		snprintf(ret, cap, "%s takes no writes: its file system is read-only", dir);
		return CSI_DISK_FAILING;
	}
	if (csi_watch_errors(d, NODE, first, sizeof(first))) {
		snprintf(ret, cap, "the disk of %s had I/O errors; the first was \"%s\"", dir,
			 first);
		return CSI_DISK_FAILING;
	}
	if (csi_watch_space(d, SPACE_SECONDS, &s, &e)) {
		snprintf(ret, cap, "%s", err_text(&e));
		return CSI_DISK_FAILING;
	}
	return judge_space(d, &s, (uint64_t)st.f_bavail * st.f_frsize, ret, cap);
}

static void look_at_disk(struct csi_watch *w)
{
	static const char *const names[] = { [CSI_DISK_FINE] = "fine",
					     [CSI_DISK_LOW] = "low",
					     [CSI_DISK_FULL] = "full",
					     [CSI_DISK_FAILING] = "failing" };
	char why[512];
	enum csi_disk_state now = csi_disk_state(w->driver, why, sizeof(why));

	if (now == w->disk)
		return;
	csi_log(now == CSI_DISK_FINE ? CSI_LOG_INFO : CSI_LOG_WARNING, "disk",
		(struct csi_log_field[]){ { "state", names[now] },
					  { "before", names[w->disk] },
					  { "message", *why ? why : "there is room again" },
					  { NULL, NULL } });
	w->disk = now;
}

/* ---- the volumes ---- */

static bool has(const struct turned *list, size_t n, const char *id, const char *reason)
{
	for (size_t i = 0; i < n; i++)
		if (!strcmp(list[i].id, id) && !strcmp(list[i].reason, reason))
			return true;
	return false;
}

static void tell(enum csi_log_level level, const char *id, const char *reason, const char *message)
{
	csi_log(level, "health",
		(struct csi_log_field[]){ { "volume", id },
					  { "reason", reason },
					  { "message", message },
					  { NULL, NULL } });
}

/* Adds what is wrong with a volume to the new list, and tells of what wasn't in the old one. */
static void look_at_volume(struct csi_watch *w, const char *id, struct turned **list, size_t *n)
{
	struct csi_troubles t;

	if (csi_find_troubles(w->driver, id, &t, NULL))
		return;
	for (size_t i = 0; i < t.n; i++) {
		struct turned *grown = reallocarray(*list, *n + 1, sizeof(*grown));

		if (!grown)
			return;
		*list = grown;
		grown += (*n)++;
		text_copy(grown->id, sizeof(grown->id), id);
		grown->reason = t.list[i].reason;
		if (!has(w->turned, w->n_turned, id, grown->reason))
			tell(CSI_LOG_WARNING, id, grown->reason, t.list[i].message);
	}
}

static void look_at_volumes(struct csi_watch *w)
{
	struct backend_volume *list = NULL;
	struct turned *now = NULL;
	size_t n = 0, n_now = 0;
	bool more;

	if (backend_list(w->driver->backend, "", 0, &list, &n, &more, NULL))
		return;
	for (size_t i = 0; i < n; i++) {
		look_at_volume(w, list[i].id, &now, &n_now);
		backend_volume_clear(&list[i]);
	}
	free(list);
	for (size_t i = 0; i < w->n_turned; i++)
		if (!has(now, n_now, w->turned[i].id, w->turned[i].reason))
			tell(CSI_LOG_INFO, w->turned[i].id, w->turned[i].reason, "over");
	free(w->turned);
	w->turned = now;
	w->n_turned = n_now;
}

/* ---- the thread ---- */

static bool wait_a_while(struct csi_watch *w)
{
	struct timespec until;
	bool stop;

	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += LOOK_SECONDS;
	pthread_mutex_lock(&w->lock);
	if (!w->stop)
		pthread_cond_timedwait(&w->wake, &w->lock, &until);
	stop = w->stop;
	pthread_mutex_unlock(&w->lock);
	return !stop;
}

static void *watch(void *arg)
{
	struct csi_watch *w = arg;

	do {
		look_at_disk(w);
		look_at_volumes(w);
	} while (wait_a_while(w));
	pthread_mutex_lock(&w->lock);
	w->done = true;
	pthread_cond_broadcast(&w->wake);
	pthread_mutex_unlock(&w->lock);
	return NULL;
}

static void release(struct csi_watch *w)
{
	base_closep(&w->kmsg);
	free(w->errors);
	free(w->turned);
	pthread_cond_destroy(&w->wake);
	pthread_mutex_destroy(&w->lock);
	pthread_mutex_destroy(&w->space_lock);
	free(w);
}

int csi_watch_new(struct csi_driver *d, struct err *e)
{
	struct csi_watch *w = calloc(1, sizeof(*w));
	pthread_condattr_t attr;

	if (!w)
		return err_set(e, -ENOMEM, "no memory for the watch");
	w->driver = d;
	pthread_mutex_init(&w->lock, NULL);
	pthread_mutex_init(&w->space_lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&w->wake, &attr);
	pthread_condattr_destroy(&attr);
	w->kmsg = d->config.mode == CSI_MODE_CONTROLLER
			  ? -1
			  : open("/dev/kmsg", O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	/* What was said before may be of devices that other volumes had then. */
	if (w->kmsg >= 0 && lseek(w->kmsg, 0, SEEK_END) < 0)
		base_closep(&w->kmsg);
	if (w->kmsg < 0 && d->config.mode != CSI_MODE_CONTROLLER)
		csi_logf(CSI_LOG_INFO, "health",
			 "the kernel's log (/dev/kmsg) can't be read: I/O errors of volumes' "
			 "devices aren't seen");
	d->watch = w;
	return 0;
}

int csi_watch_start(struct csi_driver *d, struct err *e)
{
	int r = -pthread_create(&d->watch->thread, NULL, watch, d->watch);

	d->watch->running = !r;
	return r ? err_sys(e, r, "no thread for the watch") : 0;
}

bool csi_watch_stop(struct csi_driver *d)
{
	struct csi_watch *w = d->watch;
	struct timespec until;
	bool ended;
	int r = 0;

	if (!w)
		return true;
	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += STOP_SECONDS;
	pthread_mutex_lock(&w->lock);
	w->stop = true;
	pthread_cond_broadcast(&w->wake);
	while (w->running && !w->done && !r)
		r = pthread_cond_timedwait(&w->wake, &w->lock, &until);
	ended = !w->running || w->done;
	pthread_mutex_unlock(&w->lock);
	if (!ended)
		return false; /* it waits for a disk that hangs */
	if (w->running)
		pthread_join(w->thread, NULL);
	d->watch = NULL;
	release(w);
	return true;
}
