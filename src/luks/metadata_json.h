// SPDX-License-Identifier: Apache-2.0
// JSON values with a name: what the metadata_*.c files share. Nobody else sees json-c.
#pragma once

#include <json-c/json.h>

#include "internal.h"

/** An object and where it stands: "keyslot 3: area." is { "keyslot", 3, "area." }. */
struct json_at {
	struct json_object *obj;
	const char *kind;
	int id;		  /* -1: there is just one, as with "config" */
	const char *part; /* "" or "area." */
	char *unusable;	  /* where json_odd takes it down: unusable of struct luks_header */
};
#define UNUSABLE_BYTES sizeof(((struct luks_header *)0)->unusable)

/** json_bad - -EBADMSG "keyslot 3: area.offset: <sentence>". */
int json_bad(const struct json_at *at, const char *name, struct err *e, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));
/**
 * json_odd - as json_bad says it, but the header loads: what cryptsetup loads is shown, and nothing
 * is done with it. The first one is kept. Returns 0.
 */
int json_odd(const struct json_at *at, const char *name, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
/** json_odd_text - json_get_text whose text may be longer or unprintable: odd, and shown cut off and
 * with '?'. */
int json_odd_text(const struct json_at *at, const char *name, char *ret, size_t cap, struct err *e);
/** json_odd_u32 - json_get_u32 of which any integer is taken: odd, and shown as the nearest. */
int json_odd_u32(const struct json_at *at, const char *name, uint32_t *ret, struct err *e);
#ifdef CRYPTVOL_ANALYZE
#define json_bad(...) ((json_bad)(__VA_ARGS__), -EBADMSG) /* err.h says why */
#endif

/** json_has - is there a member @name (null counts)? */
bool json_has(const struct json_at *at, const char *name);
/** json_get_text - a string that is neither empty nor longer than @cap - 1, of printable ASCII. */
int json_get_text(const struct json_at *at, const char *name, char *ret, size_t cap, struct err *e);
/** json_get_u32 - an integer of 0 ... 2^32-1. */
int json_get_u32(const struct json_at *at, const char *name, uint32_t *ret, struct err *e);
/** json_get_u64 - a string of decimal digits, 0 ... 2^64-1 (specification 3). */
int json_get_u64(const struct json_at *at, const char *name, uint64_t *ret, struct err *e);
/** json_get_object - a member that is an object itself; @part as in struct json_at. */
int json_get_object(const struct json_at *at, const char *name, const char *part,
		    struct json_at *ret, struct err *e);
/** json_get_refs - an array of the numbers of other objects, all below @max, as bits. */
int json_get_refs(const struct json_at *at, const char *name, unsigned int max, uint32_t *ret,
		  struct err *e);
/** json_get_array - an array of strings, or NULL where the member is absent. */
int json_get_array(const struct json_at *at, const char *name, struct json_object **ret,
		   struct err *e);
/** json_get_bytes - base64 of at most @cap bytes; false where there is none (nothing is an error).
 */
bool json_get_bytes(const struct json_at *at, const char *name, void *ret, size_t cap,
		    size_t *ret_len);

/**
 * json_put_* - set a member unless it has this value already, in place where it exists, else
 * behind the others. A value that stays the same keeps its spelling. -ENOMEM.
 */
int json_put_text(struct json_object *obj, const char *name, const char *value);
int json_put_u32(struct json_object *obj, const char *name, uint32_t value);
int json_put_u64(struct json_object *obj, const char *name, uint64_t value);
int json_put_bytes(struct json_object *obj, const char *name, const void *bytes, size_t len);
int json_put_refs(struct json_object *obj, const char *name, uint32_t refs);
/** json_put_new - like json_object_object_add, but takes @value over even on failure. */
int json_put_new(struct json_object *obj, const char *name, struct json_object *value);
/** json_put_object - the object @name, made where it is missing. -ENOMEM. */
int json_put_object(struct json_object *obj, const char *name, struct json_object **ret);

/** json_number - "0", "17": plain decimal, no leading zero, below @max. -EINVAL. */
int json_number(const char *key, unsigned int max, unsigned int *ret);

/**
 * metadata_from_text - strict JSON, depth 32, no member twice. @text needs no NUL. What json-c reads
 * only when it isn't strict, as in cryptsetup, is read in its way: *ret_odd says what that is. A
 * member that is there twice has the value of the last one.
 */
int metadata_from_text(const char *text, size_t len, struct json_object **ret, struct err *ret_odd,
		       struct err *e);
/** metadata_to_text - @pretty as --dump-json-metadata prints it, else as it stands on disk. */
int metadata_to_text(struct json_object *root, bool pretty, char **ret, size_t *ret_len,
		     struct err *e);

/* One object each. @at->obj is the object; @ret is zeroed but for id and raw. */
int metadata_read_keyslot(const struct json_at *at, struct luks_keyslot *ret, struct err *e);
int metadata_read_digest(const struct json_at *at, struct luks_digest *ret, struct err *e);
int metadata_read_segment(const struct json_at *at, struct luks_segment *ret, struct err *e);
int metadata_read_token(const struct json_at *at, struct luks_token *ret, struct err *e);
int metadata_read_config(const struct json_at *at, struct luks_header *ret, struct err *e);

/* Typed values over the object @obj (a copy of the raw one, or a new one). -ENOMEM. */
int metadata_put_keyslot(struct json_object *obj, const struct luks_keyslot *k);
int metadata_put_digest(struct json_object *obj, const struct luks_digest *d);
int metadata_put_segment(struct json_object *obj, const struct luks_segment *s);
int metadata_put_token(struct json_object *obj, const struct luks_token *t);
int metadata_put_config(struct json_object *obj, const struct luks_header *h);
