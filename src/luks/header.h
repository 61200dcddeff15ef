// SPDX-License-Identifier: Apache-2.0
// The binary header (specification 2.1) and what the header*.c files share.
#pragma once

#include <assert.h>

#include "internal.h"

#define BIN_CHECKSUM_BYTES 64u
#define BIN_SALT_BYTES 64u
#define HEADER_ALIGN_BYTES 4096u /* of buffers and transfers, for O_DIRECT */

struct bin_header {
	uint8_t magic[6];
	be16 version;
	be64 header_bytes;
	be64 seqid;
	char label[LUKS_LABEL_BYTES];
	char checksum_alg[32];
	uint8_t salt[BIN_SALT_BYTES];
	char uuid[LUKS_UUID_BYTES];
	char subsystem[LUKS_LABEL_BYTES];
	be64 offset_bytes;
	uint8_t padding[184];
	uint8_t checksum[BIN_CHECKSUM_BYTES];
	uint8_t padding_4096[7 * 512];
} __attribute__((packed));

static_assert(offsetof(struct bin_header, magic) == 0, "specification 2.1");
static_assert(offsetof(struct bin_header, version) == 6, "specification 2.1");
static_assert(offsetof(struct bin_header, header_bytes) == 8, "specification 2.1");
static_assert(offsetof(struct bin_header, seqid) == 16, "specification 2.1");
static_assert(offsetof(struct bin_header, label) == 24, "specification 2.1");
static_assert(offsetof(struct bin_header, checksum_alg) == 72, "specification 2.1");
static_assert(offsetof(struct bin_header, salt) == 104, "specification 2.1");
static_assert(offsetof(struct bin_header, uuid) == 168, "specification 2.1");
static_assert(offsetof(struct bin_header, subsystem) == 208, "specification 2.1");
static_assert(offsetof(struct bin_header, offset_bytes) == 256, "specification 2.1");
static_assert(offsetof(struct bin_header, padding) == 264, "specification 2.1");
static_assert(offsetof(struct bin_header, checksum) == 448, "specification 2.1");
static_assert(offsetof(struct bin_header, padding_4096) == 512, "specification 2.1");
static_assert(sizeof(struct bin_header) == LUKS_BIN_HEADER_BYTES, "specification 2.1");

enum { COPY_PRIMARY = 0, COPY_SECONDARY = 1 };

/** Where a secondary copy may stand, and how big a copy may be (specification, table 1). */
#define HEADER_SIZES 9
extern const uint32_t luks_header_sizes[HEADER_SIZES];
bool luks_header_size_valid(uint64_t bytes);

/** luks_bin_magic - of copy COPY_PRIMARY or COPY_SECONDARY; 6 bytes. */
const uint8_t *luks_bin_magic(int copy);
/** luks_bin_checksum - over @bin with its checksum zeroed and the whole JSON area; *ret_len of 64.
 */
int luks_bin_checksum(const struct bin_header *bin, const void *json, size_t json_bytes,
		      uint8_t ret[BIN_CHECKSUM_BYTES], size_t *ret_len, struct err *e);

/** Bytes that were read from a device, or lie in memory. */
struct header_source {
	int fd;		    /* -1: @buf */
	const uint8_t *buf; /* borrowed */
	size_t len;
	uint64_t device_bytes;
};

/** How one copy was found (checklist 2.2). */
enum copy_state {
	COPY_ABSENT = 0, /* no magic */
	COPY_BAD,	 /* magic, but the binary header or the checksum is wrong */
	COPY_OBSOLETE,	 /* good checksum, bad metadata */
	COPY_OK,
	COPY_UNREADABLE, /* a read error: never to be written over */
};

struct header_copy {
	enum copy_state state;
	uint64_t offset_bytes;
	unsigned int version; /* 0: no magic */
	uint64_t seqid;	      /* OBSOLETE and OK */
	uint8_t *area;	      /* binary header and JSON area as they were read */
	size_t area_bytes;
	size_t json_len;       /* OK: of the text */
	struct luks_header *h; /* OK; NULL in a secondary copy that holds the same as the primary */
	int code;	       /* why not OK */
	struct err why;
};

/** luks_copy_read - read, check and parse one copy. The verdict is in ret->state, never an error
 * but -ENOMEM. One that holds the same as @like (may be NULL), whose state is OK, isn't parsed
 * again.
 */
int luks_copy_read(const struct header_source *src, int copy, uint64_t offset_bytes,
		   const struct header_copy *like, struct header_copy *ret, struct err *e);
/** luks_copy_same - the same but for what has to differ: magic, salt, offset, checksum. Of both the
 * area was read whole. */
bool luks_copy_same(const struct header_copy *a, const struct header_copy *b);
void luks_copy_free(struct header_copy *c);

/** Both copies, and which is to be used. */
struct header_pair {
	struct header_copy copy[2];
	int use;	 /* COPY_PRIMARY, COPY_SECONDARY, -1: none */
	int rewrite;	 /* the copy that should be rewritten from the other, -1: none */
	bool conflict;	 /* equal sequence numbers, different content */
	bool unreadable; /* the copy to be rewritten can't be read */
	bool version;	 /* the primary has a version that we don't know: only a person may
			    decide that it's damage */
	bool newer;	 /* the copy to be rewritten has a good checksum and a higher number */
};
int luks_pair_read(const struct header_source *src, struct header_pair *ret, struct err *e);
/** luks_pair_read_fresh - what is on the device, whatever its page cache says. *ret_bytes (may be
 * NULL): of the device. */
int luks_pair_read_fresh(const struct luks_io *io, uint64_t *ret_bytes, struct header_pair *ret,
			 struct err *e);
void luks_pair_free(struct header_pair *p);
/** luks_pair_error - the error where no copy is usable. */
int luks_pair_error(const struct header_pair *p, struct err *e);
/** luks_pair_take - the header of the copy in use, moved out of @p. */
struct luks_header *luks_pair_take(struct header_pair *p);
/** luks_pair_rewrite - make the copy p->rewrite anew from the other: same number, same JSON, new
 * salt. */
int luks_pair_rewrite(int fd, struct header_pair *p, struct err *e);

/** luks_copy_write - header without checksum, JSON, header with checksum, flush (checklist 2.1).
 * @area: a whole copy, aligned; its checksum is filled in. @json_bytes of the JSON area go out. */
int luks_copy_write(int fd, uint64_t offset_bytes, uint8_t *area, size_t area_bytes,
		    size_t json_bytes, struct err *e);

/** luks1_parse - @buf holds the first @len bytes. */
int luks1_parse(const void *buf, size_t len, uint64_t device_bytes, struct luks_header **ret,
		struct err *e);
