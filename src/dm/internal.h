// SPDX-License-Identifier: Apache-2.0
// What the files of the dm room share. ioctl.c holds the only ioctl(2); the verbs build requests.
#pragma once

#include <linux/ioctl.h>
#include <linux/dm-ioctl.h>

#include <cryptvol/base.h>
#include <cryptvol/dm.h>

#define DM_REMOVE_RETRY_MS 3000u
#define DM_WAIT_DEFAULT_MS 10000u

/** Where the room finds things; tests have a folder of their own. */
struct dm_places {
	const char *dev;	  /* "/dev" */
	const char *misc;	  /* "/proc/misc" */
	const char *udev_control; /* the socket that udevd listens on */
	const char
		*udev_rules[5]; /* folders that may hold device-mapper's rules; NULL at the end */
	const char *mounts;	/* "/proc/self/mountinfo" */
	const char *sysfs;	/* "/sys" */
};

enum dm_udev_state {
	DM_UDEV_UNKNOWN = 0,
	DM_UDEV_ABSENT,	 /* no udevd, or one without device-mapper's rules: the nodes are ours */
	DM_UDEV_RUNS,	 /* makes the nodes, but a semaphore of ours is out of its reach */
	DM_UDEV_COOKIES, /* makes the nodes and shares our IPC namespace */
};

struct dm_control {
	int fd;
	const struct dm_places *places;
	uint32_t wait_ms;
	uint32_t crypt_version[3];
	bool crypt_known;
	bool deaf; /* the kernel has no events for dm_wait_change */
	enum dm_udev_state udev;
	void *library; /* libdevmapper, if it was needed */
	int (*create_cookie)(uint32_t *cookie);
};

int dm_control_open_at(const struct dm_places *places, struct dm_control **ret, struct err *e);

/* ---- requests (ioctl.c) ---- */

#define DM_REQUEST_SMALL_BYTES (sizeof(struct dm_ioctl) + 256)

/** One request: the kernel's header and @cap - sizeof(header) bytes behind it. Not to be moved. */
struct dm_request {
	struct dm_ioctl *io;
	size_t cap;
	struct secret *secret; /* the buffer, where a key may be in it */
	void *heap;	       /* the buffer, where it is long */
	union {
		struct dm_ioctl io;
		unsigned char bytes[DM_REQUEST_SMALL_BYTES];
	} small;
};

enum dm_request_kind {
	DM_REQUEST_PLAIN,
	DM_REQUEST_SECRET /* may carry a key: pages of its own, DM_SECURE_DATA_FLAG */
};

/** dm_request_init - header for @name ("" or NULL: none) and room for @payload_bytes. */
int dm_request_init(struct dm_request *q, const char *name, size_t payload_bytes,
		    enum dm_request_kind kind, struct err *e);
void dm_request_done(struct dm_request *q);
#define _cleanup_request_ __attribute__((cleanup(dm_request_done)))

static inline void *dm_request_payload(struct dm_request *q)
{
	return (unsigned char *)q->io + sizeof(struct dm_ioctl);
}

/** dm_request_run - the ioctl; 0 or negative errno. A buffer too small for the answer grows. */
int dm_request_run(struct dm_control *c, struct dm_request *q, unsigned long cmd);

/** dm_request_answer - the answer's bytes, checked against the buffer. -EIO. */
int dm_request_answer(const struct dm_request *q, const unsigned char **ret, size_t *ret_len,
		      struct err *e);

/** dm_fail - the sentence for a verb that failed with @r on @name; -ENXIO becomes -ENODEV. */
int dm_fail(struct err *e, int r, const char *verb, const char *name);

/* ---- tables (table.c, table_crypt.c) ---- */

/** Text being written into a buffer of fixed size. Only the hex key is secret, and only text_hex
 * writes it. */
struct dm_text {
	char *at;
	size_t room; /* with the NUL */
	int r;	     /* first error */
};
void dm_text_add(struct dm_text *t, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/** A word of a parameter string; not terminated. */
struct dm_word {
	const char *at;
	size_t len;
};
/** dm_word_next - the next word of *@s; len 0 at the end. */
struct dm_word dm_word_next(const char **s);
bool dm_word_is(struct dm_word w, const char *text);
int dm_word_u64(struct dm_word w, uint64_t *ret);
int dm_word_u32(struct dm_word w, uint32_t *ret);
int dm_word_copy(struct dm_word w, char *buf, size_t cap);
int dm_word_dev(struct dm_word w, uint32_t *ret_major, uint32_t *ret_minor);

/** dm_params_bound - an upper bound of the parameter string's bytes, NUL included. */
size_t dm_params_bound(const struct dm_target *t);
/** dm_params_write - the parameter string and its NUL into @buf; *ret_len without NUL. */
int dm_params_write(const struct dm_target *t, char *buf, size_t cap, size_t *ret_len,
		    struct err *e);
/** dm_params_plain - is @s one word in a table: not empty, no blank, backslash or control byte? */
bool dm_params_plain(const char *s);

int dm_crypt_write(const struct dm_target *t, struct dm_text *out, struct err *e);
int dm_crypt_parse(const char *params, struct dm_target *ret, struct secret **ret_key);
/** dm_crypt_needs - the DM_CRYPT_* bits that this target rests on. */
uint32_t dm_crypt_needs(const struct dm_crypt *t);
/** dm_crypt_offers - the DM_CRYPT_* bits of a crypt target of this version. */
uint32_t dm_crypt_offers(const uint32_t version[3]);
/** dm_crypt_refuse - -EOPNOTSUPP with the first bit of @missing and the version it needs. */
int dm_crypt_refuse(uint32_t missing, const uint32_t version[3], struct err *e);

/* ---- devices ---- */

/** dm_load_request - the whole DM_TABLE_LOAD request for @name; dm_request_done it. */
int dm_load_request(struct dm_control *c, const char *name, const struct dm_table *t,
		    struct dm_request *ret, struct err *e);
/** dm_load_failed - what a failed DM_TABLE_LOAD means. */
int dm_load_failed(struct dm_control *c, int r, const char *name, const struct dm_table *t,
		   struct err *e);
/** dm_remove_run - DEV_REMOVE of @name, retried while something short-lived holds it; *ret is the
 * kernel's answer. */
int dm_remove_run(struct dm_control *c, const char *name, uint32_t flags, uint32_t event_nr,
		  struct dm_ioctl *ret, struct err *e);

/* ---- single steps (device.c) ---- */

/** dm_create_empty - a mapping without a table. -EEXIST. */
int dm_create_empty(struct dm_control *c, const char *name, const char *uuid, struct err *e);
/** dm_resume_run - dm_resume without the node; *ret_dev is the device. */
int dm_resume_run(struct dm_control *c, const char *name, uint32_t device_flags,
		  enum dm_udev_mode udev, dev_t *ret_dev, struct err *e);

/* ---- modules.c ---- */

/** dm_module_load - modprobe @name. 0: modprobe says that it is there. */
int dm_module_load(const char *name);
/** dm_module_lacking - -EHOSTDOWN: "<what>: module <name> ..." with the reason that can be seen. */
int dm_module_lacking(const char *what, const char *name, struct err *e);

/* ---- nodes (node.c) ---- */

/** dm_node_misc - minor number of the misc device "device-mapper". -ENOENT: the driver isn't there.
 */
int dm_node_misc(const struct dm_places *p, uint32_t *ret_minor);
/** dm_node_control - make <dev>/mapper/control with this minor, in place of one that leads
 * elsewhere. */
int dm_node_control(const struct dm_places *p, uint32_t minor_nr, struct err *e);
/** dm_node_open - open this device by the kernel's node, or by one that is there only for the
 * moment. */
int dm_node_open(const struct dm_control *c, dev_t dev, int flags, int *ret_fd, struct err *e);
/** dm_node_right - does <dev>/mapper/<name> lead to this device? */
bool dm_node_right(const struct dm_control *c, const char *name, dev_t dev);
/** dm_node_make - see to it that it does: keep, replace a stale one, or make it. -EEXIST: something
 * that is no device is in the way. */
int dm_node_make(const struct dm_control *c, const char *name, dev_t dev, struct err *e);
/** dm_node_drop - take the node away where it is this device's. */
void dm_node_drop(const struct dm_control *c, const char *name, dev_t dev);
/** dm_node_wait - until the node is right (@present) or gone; -ETIMEDOUT. */
int dm_node_wait(const struct dm_control *c, const char *name, dev_t dev, bool present);

/** dm_clock_ms - CLOCK_MONOTONIC in milliseconds. */
uint64_t dm_clock_ms(void);

/* ---- udev (udev.c) ---- */

/** What goes with one ioctl that makes the kernel send a uevent. */
struct dm_uevent {
	uint32_t event_nr; /* for the ioctl */
	int semaphore;	   /* of the cookie; -1 = none */
};
/** dm_uevent_begin - flags for udev's rules, and a cookie where @mode and host allow one. */
void dm_uevent_begin(struct dm_control *c, uint32_t device_flags, enum dm_udev_mode mode,
		     struct dm_uevent *u);
/** dm_uevent_end - wait for the cookie if the kernel sent the event (@io: its answer, NULL: the
 * ioctl failed); the semaphore is gone afterwards. */
void dm_uevent_end(struct dm_control *c, struct dm_uevent *u, const struct dm_ioctl *io);
/** dm_uevent_node - udev had its time, or there is none: the node of @name is right afterwards. */
int dm_uevent_node(struct dm_control *c, const char *name, dev_t dev, struct err *e);
/** dm_uevent_gone - the same for a name that is no more. */
void dm_uevent_gone(struct dm_control *c, const char *name, dev_t dev);
