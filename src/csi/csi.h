// SPDX-License-Identifier: Apache-2.0
// The driver's inside: what a request is, how it is answered, and the driver's own state. Only
// src/csi knows protobuf.
#pragma once

#include <protobuf-c/protobuf-c.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cryptvol/base.h>

/* gRPC status codes (google.golang.org/grpc/codes numbers are the wire's own). */
enum csi_code {
	CSI_OK = 0,
	CSI_CANCELLED = 1,
	CSI_UNKNOWN = 2,
	CSI_INVALID_ARGUMENT = 3,
	CSI_DEADLINE_EXCEEDED = 4,
	CSI_NOT_FOUND = 5,
	CSI_ALREADY_EXISTS = 6,
	CSI_PERMISSION_DENIED = 7,
	CSI_RESOURCE_EXHAUSTED = 8,
	CSI_FAILED_PRECONDITION = 9,
	CSI_ABORTED = 10,
	CSI_OUT_OF_RANGE = 11,
	CSI_UNIMPLEMENTED = 12,
	CSI_INTERNAL = 13,
	CSI_UNAVAILABLE = 14,
	CSI_UNAUTHENTICATED = 16,
};
/** csi_code_name - "INVALID_ARGUMENT", ... */
const char *csi_code_name(enum csi_code code);
/** csi_code_of_errno - what a negative errno of the library (err.h's table) is on the wire. */
enum csi_code csi_code_of_errno(int code);

/* ---- memory of one call: everything is wiped and freed together ---- */

struct csi_arena;
struct csi_arena *csi_arena_new(void);
void csi_arena_free(struct csi_arena *a);
/** csi_arena_alloc - zeroed, aligned to 16; NULL where memory is out or the call's limit (8 MiB) is
 * passed. */
void *csi_arena_alloc(struct csi_arena *a, size_t len);
char *csi_arena_strdup(struct csi_arena *a, const char *s);
/** csi_arena_allocator - for protobuf_c_message_unpack; free does nothing before csi_arena_free
 * wipes all. */
ProtobufCAllocator *csi_arena_allocator(struct csi_arena *a);

/* ---- a call ---- */

struct csi_driver;
struct csi_method;

#define CSI_MESSAGE_MAX 1024

struct csi_call {
	struct csi_driver *driver;
	const struct csi_method *method;
	struct csi_arena *arena;
	uint64_t id;			 /* request id in the log */
	const ProtobufCMessage *request; /* decoded, in the arena */
	ProtobufCMessage *response;	 /* set by the handler; in the arena */
	enum csi_code code;
	char message[CSI_MESSAGE_MAX];
	double started;	       /* base_now */
	double deadline;       /* the same; 0 = none */
	atomic_bool cancelled; /* nobody waits for the answer */
};

/** A handler returns csi_fail(...) or csi_ok(call, response). */
typedef enum csi_code csi_handler(struct csi_call *call);

/* Calls of one kind share a queue and its workers (pool.h), and wait for no other kind: what keeps
 * them waiting, a derivation, a store that hangs, a device that hangs, is of their own kind, too.
 */
enum csi_lane {
	CSI_LANE_CONTROLLER, /* records, images, snapshots, backups */
	CSI_LANE_FAST,	     /* answered on the poller: must not block */
	CSI_LANE_UP,	     /* stage, publish, expand: derivations, mkfs, mounts */
	CSI_LANE_DOWN,	     /* unpublish, unstage: a pod's end waits for nothing else */
	CSI_LANE_STATS,	     /* usage and health */
};
#define CSI_LANES (CSI_LANE_STATS + 1)
/** csi_lane_name - "controller", "node_up", ... */
const char *csi_lane_name(enum csi_lane lane);

struct csi_method {
	const char *path; /* "/csi.v1.Node/NodeStageVolume" */
	const ProtobufCMessageDescriptor *request, *response;
	csi_handler *handle;
	enum csi_lane lane;
};

/** csi_fail - set code and sentence; never with a secret. */
enum csi_code csi_fail(struct csi_call *call, enum csi_code code, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
/** csi_fail_err - the same from the library's error, with context before it. */
enum csi_code csi_fail_err(struct csi_call *call, const struct err *e, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
enum csi_code csi_ok(struct csi_call *call, ProtobufCMessage *response);
/** csi_new - a zero-initialised message of a type, in the call's arena: csi_new(call,
 * Csi__V1__ProbeResponse, csi__v1__probe_response). */
#define csi_new(call, type, lower)                                              \
	({                                                                      \
		type *csi_new_m = csi_arena_alloc((call)->arena, sizeof(type)); \
		if (csi_new_m)                                                  \
			lower##__init(csi_new_m);                               \
		csi_new_m;                                                      \
	})

/**
 * csi_call_decode - check the bytes of a request and decode them into c->request; they are wiped.
 * What isn't one has c->request NULL and INVALID_ARGUMENT with the reason.
 */
void csi_call_decode(struct csi_call *c, uint8_t *wire, size_t len);
/** csi_call_handle - what was decoded through its handler; a code is never without a sentence. */
void csi_call_handle(struct csi_call *c);

/** csi_call_stopped - does nobody wait for this call any more? -ETIMEDOUT past its deadline,
 * -ECANCELED where the client has gone; 0 = go on. */
int csi_call_stopped(const struct csi_call *c, struct err *e);
/** csi_serving_stopped - the same of the call that this thread serves (csi_call_handle); the
 * backend asks. */
int csi_serving_stopped(void *arg, struct err *e);

/* ---- the wire, before protobuf-c sees it ---- */

/**
 * csi_wire_check - what protobuf-c lets through: NUL inside a string, bad UTF-8, a key twice in a
 * map, a message twice (it would be merged), fields longer than CSI allows, too many elements,
 * broken framing. -EINVAL with a sentence
 * that names the field (a map's key too, never a secret's value).
 */
int csi_wire_check(const ProtobufCMessageDescriptor *d, const uint8_t *wire, size_t len,
		   struct err *e);
/** csi_utf8_sequence - length of the UTF-8 sequence at @s within @n >= 1 bytes, 0 where it is none
 * (Unicode 15, table 3-7). */
size_t csi_utf8_sequence(const uint8_t *s, size_t n);

/* ---- logging: structured, text or JSON, secrets left out by the field table ---- */

enum csi_log_level { CSI_LOG_ERROR, CSI_LOG_WARNING, CSI_LOG_INFO, CSI_LOG_DEBUG };
void csi_log_init(enum csi_log_level level, bool json);
bool csi_log_enabled(enum csi_log_level level);
/** csi_log_serving - from now on this thread's lines are of the call with this id; 0: of none. */
void csi_log_serving(uint64_t id);
struct csi_log_field {
	const char *key;
	const char *value;
};
/** csi_log - one line on stderr; fields end with a NULL key. Each value is escaped. */
void csi_log(enum csi_log_level level, const char *event, const struct csi_log_field *fields);
/** csi_logf - an event with one sentence. */
void csi_logf(enum csi_log_level level, const char *event, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
/** csi_log_request / csi_log_answer - a call as it comes in (debug) and as it ends. */
void csi_log_request(struct csi_call *c);
void csi_log_answer(const struct csi_call *c, double seconds);
/** csi_describe - a message as text for the log; SECRET fields, token entries and mount flags
 * appear as "***". In the arena. */
char *csi_describe(struct csi_arena *a, const ProtobufCMessage *m);
/** csi_field_secret - does the field table mark this field of this message as secret? */
bool csi_field_secret(const ProtobufCMessageDescriptor *d, const ProtobufCFieldDescriptor *f);

/* ---- server ---- */

/** csi_socket_path - the path in "unix:///path", "unix:/path" or "/path". */
const char *csi_socket_path(const char *endpoint);
/** csi_socket_clear - remove a dead socket; one that somebody answers on is never taken away
 * (-EADDRINUSE). */
int csi_socket_clear(const char *path, struct err *e);

struct csi_pool;
struct csi_server_config {
	const char *endpoint; /* unix:///path/csi.sock, unix:/path, or a bare path */
	unsigned int mode;    /* of the socket, 0600 */
	int gid;	      /* of the socket, -1 = as it is */
	struct csi_pool *pool;
	unsigned int grace_seconds; /* how long SIGTERM waits for calls under way */
	const struct csi_method *methods;
	size_t n_methods;
	struct csi_driver *driver;
	void (*ready)(void *arg); /* called once the socket listens */
	void (*done)(const struct csi_call *call, double seconds,
		     void *arg); /* after each call, for metrics */
	void *arg;
};
/**
 * csi_server_run - serve until SIGTERM or SIGINT (which the caller has blocked in all threads
 * before anything else). -EADDRINUSE: somebody answers on that socket. Returns 0 after a graceful
 * stop; *ret_drained: no call was left behind.
 */
int csi_server_run(const struct csi_server_config *c, bool *ret_drained, struct err *e);
