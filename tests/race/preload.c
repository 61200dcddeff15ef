// SPDX-License-Identifier: Apache-2.0
// Preloaded into the driver under ThreadSanitizer or helgrind. Neither sees the order that gRPC's
// completion queue makes: what was written before a tag was handed over is there for whoever gets
// the tag back. This says so, tag by tag, and of nothing else.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <grpc/byte_buffer.h>
#include <grpc/grpc.h>
#include <pthread.h>
#include <sys/mman.h>
#include <valgrind/helgrind.h>

/* Of the sanitizer's runtime, where there is one. */
void __tsan_acquire(void *p) __attribute__((weak));
void __tsan_release(void *p) __attribute__((weak));

#define REAL(name) ((__typeof__(&(name)))dlsym(RTLD_NEXT, #name))

static void hand_over(void *tag)
{
	if (__tsan_release)
		__tsan_release(tag);
	ANNOTATE_HAPPENS_BEFORE(tag);
}

static void get_back(void *tag)
{
	if (__tsan_acquire)
		__tsan_acquire(tag);
	ANNOTATE_HAPPENS_AFTER(tag);
}

/* ---- messages: their bytes were written by whichever of the library's threads read the socket
 * ---- */

#define ASKED_MAX 256

static struct {
	void *tag;
	grpc_byte_buffer **message;
} asked[ASKED_MAX];
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static void ask(void *tag, grpc_byte_buffer **message)
{
	pthread_mutex_lock(&lock);
	for (size_t i = 0; i < ASKED_MAX; i++)
		if (!asked[i].tag) {
			asked[i].tag = tag;
			asked[i].message = message;
			break;
		}
	pthread_mutex_unlock(&lock);
}

static grpc_byte_buffer *asked_for(const void *tag)
{
	grpc_byte_buffer *found = NULL;

	pthread_mutex_lock(&lock);
	for (size_t i = 0; i < ASKED_MAX; i++)
		if (asked[i].tag == tag) {
			found = *asked[i].message;
			asked[i].tag = NULL;
		}
	pthread_mutex_unlock(&lock);
	return found;
}

/* The message is this thread's from now on, as if it had just been allocated. */
static void take(const grpc_byte_buffer *b)
{
	if (!b || b->type != GRPC_BB_RAW)
		return;
	VALGRIND_HG_CLEAN_MEMORY(b, sizeof(*b));
	VALGRIND_HG_CLEAN_MEMORY(b->data.raw.slice_buffer.slices,
				 b->data.raw.slice_buffer.count * sizeof(grpc_slice));
	for (size_t i = 0; i < b->data.raw.slice_buffer.count; i++) {
		grpc_slice *s = &b->data.raw.slice_buffer.slices[i];

		VALGRIND_HG_CLEAN_MEMORY(GRPC_SLICE_START_PTR(*s), GRPC_SLICE_LENGTH(*s));
	}
}

/* ---- the library's face ---- */

grpc_event grpc_completion_queue_next(grpc_completion_queue *cq, gpr_timespec deadline,
				      void *reserved)
{
	grpc_event ev = REAL(grpc_completion_queue_next)(cq, deadline, reserved);

	if (ev.type == GRPC_OP_COMPLETE) {
		get_back(ev.tag);
		take(asked_for(ev.tag));
	}
	return ev;
}

grpc_call_error grpc_server_request_call(grpc_server *server, grpc_call **call,
					 grpc_call_details *details, grpc_metadata_array *metadata,
					 grpc_completion_queue *for_call,
					 grpc_completion_queue *for_notice, void *tag)
{
	hand_over(tag);
	return REAL(grpc_server_request_call)(server, call, details, metadata, for_call, for_notice,
					      tag);
}

grpc_call_error grpc_call_start_batch(grpc_call *call, const grpc_op *ops, size_t n, void *tag,
				      void *reserved)
{
	hand_over(tag);
	if (n == 1 && ops->op == GRPC_OP_RECV_MESSAGE)
		ask(tag, ops->data.recv_message.recv_message);
	return REAL(grpc_call_start_batch)(call, ops, n, tag, reserved);
}

void grpc_server_shutdown_and_notify(grpc_server *server, grpc_completion_queue *cq, void *tag)
{
	hand_over(tag);
	REAL(grpc_server_shutdown_and_notify)(server, cq, tag);
}

/* Inside the library: an operation is over, and its tag goes into the queue. What the library wrote
 * for us before (the call, its metadata) is ours from then on. A C++ function of Debian 12's gRPC;
 * a status object is passed by its address. */
#define END_OP                                                                                \
	"_Z14grpc_cq_end_opP21grpc_completion_queuePvN4absl7debian36StatusEPFvS1_P18grpc_cq_" \
	"completionES1_S6_b"

void end_op(grpc_completion_queue *cq, void *tag, void *status, void *done, void *arg,
	    void *storage, int internal) __asm__(END_OP);

void end_op(grpc_completion_queue *cq, void *tag, void *status, void *done, void *arg,
	    void *storage, int internal)
{
	hand_over(tag);
	((__typeof__(&end_op))dlsym(RTLD_NEXT, END_OP))(cq, tag, status, done, arg, storage,
							internal);
}

/* ---- valgrind ---- */

/* It turns posix_spawn's vfork into a fork, and a program's arguments may lie in memory that a fork
 * doesn't copy. */
int madvise(void *p, size_t len, int advice)
{
	return advice == MADV_DONTFORK ? 0 : REAL(madvise)(p, len, advice);
}
