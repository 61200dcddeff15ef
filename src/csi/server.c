// SPDX-License-Identifier: Apache-2.0
// The one file that knows gRPC: its C core behind csi_server_run. One completion queue, one poller;
// calls go to the pool's workers, but for Identity and capability calls, which are answered on the
// poller, so that a liveness probe never waits behind a mkfs.
#include "csi.h"
#include "pool.h"

#include <grpc/byte_buffer.h>
#include <grpc/byte_buffer_reader.h>
#include <grpc/grpc.h>
#include <grpc/grpc_security.h>
#include <grpc/slice.h>
#include <grpc/support/log.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <sys/stat.h>

#define MESSAGE_MAX_BYTES (1024 * 1024)
/* What the library itself refuses we never see and can't wipe: it takes more in than we do. */
#define LIBRARY_MAX_BYTES (16 * MESSAGE_MAX_BYTES)
#define CALLS_ARMED 8

enum tag_kind { TAG_NEW_CALL, TAG_CLOSED, TAG_RECEIVED, TAG_SENT, TAG_SHUTDOWN };

struct rpc;
struct tag {
	enum tag_kind kind;
	struct rpc *rpc;
};

struct rpc {
	struct csi_call call;
	struct server *server;
	grpc_call *grpc;
	grpc_call_details details;
	grpc_metadata_array metadata;
	grpc_byte_buffer *received;
	int cancelled;
	unsigned int pending; /* tags that have not come back, and a worker that holds it; under
				 server->lock */
	struct tag on_new, on_closed, on_received, on_sent;
	struct csi_job job;
	bool queued; /* was given to the pool; the poller's */
};

struct server {
	const struct csi_server_config *config;
	grpc_server *grpc;
	grpc_completion_queue *cq;
	pthread_mutex_t lock;
	pthread_cond_t idle;
	unsigned int running; /* calls that a worker holds or that are queued */
	bool stopped;	      /* the shutdown tag came back */
	uint64_t last_id;
	struct tag on_shutdown;
};

/* ---- life of a call ---- */

static void rpc_unref(struct rpc *r)
{
	struct server *s = r->server;
	bool last;

	pthread_mutex_lock(&s->lock);
	last = --r->pending == 0;
	pthread_mutex_unlock(&s->lock);
	if (!last)
		return;
	if (r->received)
		grpc_byte_buffer_destroy(r->received);
	csi_arena_free(r->call.arena);
	grpc_metadata_array_destroy(&r->metadata);
	grpc_call_details_destroy(&r->details);
	if (r->grpc)
		grpc_call_unref(r->grpc);
	free(r);
}

static void rpc_ref(struct rpc *r)
{
	pthread_mutex_lock(&r->server->lock);
	r->pending++;
	pthread_mutex_unlock(&r->server->lock);
}

/* Ask for the next call. Memory being out for a moment only costs one of the armed slots until the
 * next call ends. */
static void arm(struct server *s)
{
	struct rpc *r = calloc(1, sizeof(*r));

	if (!r)
		return;
	r->server = s;
	r->pending = 1;
	r->on_new = (struct tag){ TAG_NEW_CALL, r };
	r->on_closed = (struct tag){ TAG_CLOSED, r };
	r->on_received = (struct tag){ TAG_RECEIVED, r };
	r->on_sent = (struct tag){ TAG_SENT, r };
	grpc_call_details_init(&r->details);
	grpc_metadata_array_init(&r->metadata);
	if (grpc_server_request_call(s->grpc, &r->grpc, &r->details, &r->metadata, s->cq, s->cq,
				     &r->on_new) != GRPC_CALL_OK)
		rpc_unref(r);
}

static const struct csi_method *find_method(const struct server *s, grpc_slice path)
{
	for (size_t i = 0; i < s->config->n_methods; i++)
		if (grpc_slice_str_cmp(path, s->config->methods[i].path) == 0)
			return &s->config->methods[i];
	return NULL;
}

/* ---- in ---- */

static void wipe_slices(grpc_byte_buffer *b)
{
	if (!b || b->type != GRPC_BB_RAW)
		return;
	for (size_t i = 0; i < b->data.raw.slice_buffer.count; i++) {
		grpc_slice *slice = &b->data.raw.slice_buffer.slices[i];

		explicit_bzero(GRPC_SLICE_START_PTR(*slice), GRPC_SLICE_LENGTH(*slice));
	}
}

/* The received bytes in the arena, in one piece; the library's own buffers are wiped in place
 * before they are released. */
static uint8_t *gather(struct rpc *r, size_t *ret_len)
{
	grpc_byte_buffer *b = r->received;
	size_t len = b ? grpc_byte_buffer_length(b) : 0, at = 0;
	uint8_t *out = csi_arena_alloc(r->call.arena, len + 1);

	if (out && b && b->type == GRPC_BB_RAW && b->data.raw.compression == GRPC_COMPRESS_NONE) {
		for (size_t i = 0; i < b->data.raw.slice_buffer.count; i++) {
			grpc_slice *slice = &b->data.raw.slice_buffer.slices[i];

			memcpy(out + at, GRPC_SLICE_START_PTR(*slice), GRPC_SLICE_LENGTH(*slice));
			at += GRPC_SLICE_LENGTH(*slice);
		}
	}
	wipe_slices(b);
	*ret_len = len;
	return at == len ? out : NULL;
}

static void decode(struct rpc *r)
{
	struct csi_call *c = &r->call;
	size_t len;
	uint8_t *wire;

	if (r->received && r->received->type == GRPC_BB_RAW &&
	    r->received->data.raw.compression != GRPC_COMPRESS_NONE) {
		wipe_slices(r->received);
		csi_fail(c, CSI_UNIMPLEMENTED, "compressed requests aren't taken");
		return;
	}
	len = r->received ? grpc_byte_buffer_length(r->received) : 0;
	if (len > MESSAGE_MAX_BYTES) {
		wipe_slices(r->received);
		csi_fail(c, CSI_RESOURCE_EXHAUSTED,
			 "the request has %zu bytes, more than the %d that are taken", len,
			 MESSAGE_MAX_BYTES);
		return;
	}
	wire = gather(r, &len);
	if (!wire) {
		csi_fail(c, CSI_RESOURCE_EXHAUSTED, "the request can't be taken in");
		return;
	}
	csi_call_decode(c, wire, len);
}

/* ---- out ---- */

static grpc_byte_buffer *encode(const struct csi_call *c)
{
	size_t len = protobuf_c_message_get_packed_size(c->response);
	grpc_slice slice = grpc_slice_malloc(len);
	grpc_byte_buffer *b;

	protobuf_c_message_pack(c->response, GRPC_SLICE_START_PTR(slice));
	b = grpc_raw_byte_buffer_create(&slice, 1);
	grpc_slice_unref(slice);
	return b;
}

static void answer(struct rpc *r)
{
	struct csi_call *c = &r->call;
	grpc_byte_buffer *body = c->code == CSI_OK && c->response ? encode(c) : NULL;
	grpc_slice message = grpc_slice_from_copied_string(c->message);
	grpc_op ops[3];
	size_t n = 0;

	memset(ops, 0, sizeof(ops));
	ops[n++].op = GRPC_OP_SEND_INITIAL_METADATA;
	if (body) {
		ops[n].op = GRPC_OP_SEND_MESSAGE;
		ops[n++].data.send_message.send_message = body;
	}
	ops[n].op = GRPC_OP_SEND_STATUS_FROM_SERVER;
	ops[n].data.send_status_from_server.status = (grpc_status_code)c->code;
	ops[n++].data.send_status_from_server.status_details = &message;
	rpc_ref(r);
	if (grpc_call_start_batch(r->grpc, ops, n, &r->on_sent, NULL) != GRPC_CALL_OK)
		rpc_unref(r);
	grpc_slice_unref(message);
	if (body)
		grpc_byte_buffer_destroy(body);
}

static void serve(struct rpc *r)
{
	struct csi_call *c = &r->call;
	double took;

	csi_log_serving(c->id);
	decode(r);
	csi_call_handle(c);
	took = base_now() - c->started;
	csi_log_answer(c, took);
	if (r->server->config->done)
		r->server->config->done(c, took, r->server->config->arg);
	csi_log_serving(0);
	answer(r);
}

/* ---- workers ---- */

/* Its queue and worker have done with it. */
static void leave(struct rpc *r)
{
	struct server *s = r->server;

	rpc_unref(r);
	pthread_mutex_lock(&s->lock);
	if (--s->running == 0)
		pthread_cond_broadcast(&s->idle);
	pthread_mutex_unlock(&s->lock);
}

static void run_job(struct csi_job *job)
{
	struct rpc *r = (struct rpc *)((char *)job - offsetof(struct rpc, job));

	serve(r);
	csi_pool_done(r->server->config->pool, job);
	leave(r);
}

static void enqueue(struct server *s, struct rpc *r)
{
	pthread_mutex_lock(&s->lock);
	s->running++;
	r->pending++;
	pthread_mutex_unlock(&s->lock);
	r->queued = true;
	r->job.run = run_job;
	csi_pool_add(s->config->pool, &r->job, r->call.method->lane);
}

/* Nobody waits for it any more: if it wasn't begun, it never is. */
static void on_cancelled(struct rpc *r)
{
	r->call.cancelled = true;
	if (!r->queued || !csi_pool_take_back(r->server->config->pool, &r->job))
		return;
	serve(r); /* is refused */
	leave(r);
}

/* ---- poller ---- */

/* By the clock of base_now; 0 = none. */
static double deadline_of(const struct rpc *r)
{
	gpr_timespec at = r->details.deadline, left;

	if (gpr_time_cmp(at, gpr_inf_future(at.clock_type)) == 0)
		return 0;
	left = gpr_time_sub(at, gpr_now(at.clock_type));
	return base_now() + (double)left.tv_sec + (double)left.tv_nsec / 1e9;
}

static void on_new_call(struct rpc *r, bool ok)
{
	struct server *s = r->server;
	grpc_op op;

	if (!ok) {
		rpc_unref(r);
		return;
	}
	pthread_mutex_lock(&s->lock);
	r->call.id = ++s->last_id;
	pthread_mutex_unlock(&s->lock);
	arm(s);
	r->call.started = base_now();
	r->call.driver = s->config->driver;
	r->call.arena = csi_arena_new();
	r->call.deadline = deadline_of(r);
	r->call.method = find_method(s, r->details.method);
	rpc_ref(r);
	memset(&op, 0, sizeof(op));
	op.op = GRPC_OP_RECV_CLOSE_ON_SERVER;
	op.data.recv_close_on_server.cancelled = &r->cancelled;
	if (grpc_call_start_batch(r->grpc, &op, 1, &r->on_closed, NULL) != GRPC_CALL_OK)
		rpc_unref(r);
	memset(&op, 0, sizeof(op));
	op.op = GRPC_OP_RECV_MESSAGE;
	op.data.recv_message.recv_message = &r->received;
	/* The reference of on_new goes on to on_received. */
	if (grpc_call_start_batch(r->grpc, &op, 1, &r->on_received, NULL) != GRPC_CALL_OK)
		rpc_unref(r);
}

/* Also of a call that nobody serves: what it carries may be secret, and is wiped. */
static void on_received(struct rpc *r, bool ok)
{
	const struct csi_method *m = r->call.method;

	if (ok && r->received && m && r->call.arena) {
		if (m->lane == CSI_LANE_FAST)
			serve(r);
		else
			enqueue(r->server, r);
		rpc_unref(r);
		return;
	}
	wipe_slices(r->received);
	if (!m)
		csi_fail(&r->call, CSI_UNIMPLEMENTED, "this driver has no such method");
	else if (!r->call.arena)
		csi_fail(&r->call, CSI_RESOURCE_EXHAUSTED, "no memory for the request");
	else
		csi_fail(&r->call, CSI_INVALID_ARGUMENT, "the call carries no request");
	answer(r);
	rpc_unref(r);
}

static void *poller(void *arg)
{
	struct server *s = arg;

	for (;;) {
		grpc_event ev =
			grpc_completion_queue_next(s->cq, gpr_inf_future(GPR_CLOCK_REALTIME), NULL);
		const struct tag *t = ev.tag;

		if (ev.type == GRPC_QUEUE_SHUTDOWN)
			return NULL;
		if (ev.type != GRPC_OP_COMPLETE)
			continue;
		switch (t->kind) {
		case TAG_NEW_CALL:
			on_new_call(t->rpc, ev.success);
			break;
		case TAG_RECEIVED:
			on_received(t->rpc, ev.success);
			break;
		case TAG_CLOSED:
			if (t->rpc->cancelled)
				on_cancelled(t->rpc);
			rpc_unref(t->rpc);
			break;
		case TAG_SENT:
			rpc_unref(t->rpc);
			break;
		case TAG_SHUTDOWN:
			pthread_mutex_lock(&s->lock);
			s->stopped = true;
			pthread_cond_broadcast(&s->idle);
			pthread_mutex_unlock(&s->lock);
			break;
		}
	}
}

/* ---- socket ---- */

static int listen_on(struct server *s, struct err *e)
{
	const struct csi_server_config *c = s->config;
	const char *path = csi_socket_path(c->endpoint);
	grpc_server_credentials *creds;
	char address[160];
	mode_t old;
	int port, r;

	if (path[0] != '/')
		return err_set(e, -EINVAL, "endpoint: \"%s\" has to be unix:///absolute/path",
			       c->endpoint);
	r = csi_socket_clear(path, e);
	if (r)
		return r;
	snprintf(address, sizeof(address), "unix:%s", path);
	creds = grpc_insecure_server_credentials_create();
	old = umask(0177);
	port = grpc_server_add_http2_port(s->grpc, address, creds);
	umask(old);
	grpc_server_credentials_release(creds);
	if (!port)
		return err_set(e, -EIO, "endpoint: can't listen on %s", path);
	if (c->gid >= 0 && chown(path, (uid_t)-1, (gid_t)c->gid))
		return err_sys(e, -errno, "endpoint: the group of %s can't be set", path);
	if (chmod(path, c->mode))
		return err_sys(e, -errno, "endpoint: the mode of %s can't be set", path);
	return 0;
}

/* ---- run and stop ---- */

static void quiet_log(gpr_log_func_args *args)
{
	csi_logf(args->severity == GPR_LOG_SEVERITY_ERROR ? CSI_LOG_WARNING : CSI_LOG_DEBUG, "grpc",
		 "%s", args->message);
}

static void wait_for_signal(void)
{
	sigset_t set;
	int sig;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	while (sigwait(&set, &sig))
		;
	csi_logf(CSI_LOG_INFO, "stopping", "signal %d", sig);
}

/* Wait until no call runs and the library has stopped, or the deadline. Returns whether it came to
 * that. */
static bool wait_idle(struct server *s, unsigned int seconds)
{
	struct timespec until;
	bool idle;

	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += seconds;
	pthread_mutex_lock(&s->lock);
	while ((s->running || !s->stopped) &&
	       pthread_cond_timedwait(&s->idle, &s->lock, &until) != ETIMEDOUT)
		;
	idle = !s->running && s->stopped;
	pthread_mutex_unlock(&s->lock);
	return idle;
}

static bool stop(struct server *s)
{
	bool drained;

	s->on_shutdown = (struct tag){ TAG_SHUTDOWN, NULL };
	grpc_server_shutdown_and_notify(s->grpc, s->cq, &s->on_shutdown);
	drained = wait_idle(s, s->config->grace_seconds);
	if (!drained) {
		grpc_server_cancel_all_calls(s->grpc);
		drained = wait_idle(s, 1);
	}
	return drained;
}

static grpc_server *make_server(void)
{
	grpc_arg args[3] = {
		{ .type = GRPC_ARG_INTEGER,
		  .key = (char *)(uintptr_t)GRPC_ARG_MAX_RECEIVE_MESSAGE_LENGTH,
		  .value.integer = LIBRARY_MAX_BYTES },
		{ .type = GRPC_ARG_INTEGER,
		  .key = (char *)(uintptr_t)GRPC_ARG_ALLOW_REUSEPORT,
		  .value.integer = 0 },
		/* The library would unpack 1 MiB into 1 GiB before it looks at the size. */
		{ .type = GRPC_ARG_INTEGER,
		  .key = (char *)(uintptr_t)GRPC_ARG_ENABLE_PER_MESSAGE_DECOMPRESSION,
		  .value.integer = 0 },
	};
	grpc_channel_args all = { ARRAY_SIZE(args), args };

	return grpc_server_create(&all, NULL);
}

/* A server that never started still has to be shut down before it may be destroyed. */
static void discard(struct server *s)
{
	s->on_shutdown = (struct tag){ TAG_SHUTDOWN, NULL };
	grpc_server_shutdown_and_notify(s->grpc, s->cq, &s->on_shutdown);
	while (grpc_completion_queue_next(s->cq, gpr_inf_future(GPR_CLOCK_REALTIME), NULL).tag !=
	       &s->on_shutdown)
		;
}

static void destroy(struct server *s)
{
	grpc_server_destroy(s->grpc);
	grpc_completion_queue_shutdown(s->cq);
}

int csi_server_run(const struct csi_server_config *c, bool *ret_drained, struct err *e)
{
	struct server s = { .config = c,
			    .lock = PTHREAD_MUTEX_INITIALIZER,
			    .idle = PTHREAD_COND_INITIALIZER };
	pthread_t poll;
	int r;

	gpr_set_log_function(quiet_log);
	grpc_init();
	s.cq = grpc_completion_queue_create_for_next(NULL);
	s.grpc = make_server();
	grpc_server_register_completion_queue(s.grpc, s.cq, NULL);
	r = listen_on(&s, e);
	if (!r) {
		grpc_server_start(s.grpc);
		r = pthread_create(&poll, NULL, poller, &s);
		r = r ? err_sys(e, -r, "no poller thread") : 0;
	}
	if (r) {
		discard(&s);
		destroy(&s);
		grpc_completion_queue_destroy(s.cq);
		grpc_shutdown();
		return r;
	}
	for (int i = 0; i < CALLS_ARMED; i++)
		arm(&s);
	if (c->ready)
		c->ready(c->arg);
	wait_for_signal();
	*ret_drained = stop(&s);
	/* A call that outlives the grace can't be interrupted; its state on disk is safe at any
	 * moment, so the process may just end. */
	if (!*ret_drained)
		return 0;
	destroy(&s);
	pthread_join(poll, NULL);
	grpc_completion_queue_destroy(s.cq);
	grpc_shutdown();
	return 0;
}
