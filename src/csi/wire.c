// SPDX-License-Identifier: Apache-2.0
// The wire before protobuf-c sees it. protobuf-c cuts a string at a NUL, keeps both of two equal
// map keys and takes any bytes for UTF-8, so that a Go sidecar and the driver could read one
// request differently. CSI's size limits are held here too.
#include "csi.h"

#include <limits.h>
#include <stdio.h>

#define STRING_MAX_BYTES 128u  /* CSI 1.12, "Size Limits" */
#define NODE_ID_MAX_BYTES 256u /* the same */
#define MAP_MAX_BYTES 4096u    /* the same, keys and values of one map together */
#define SECRETS_MAX_BYTES \
	65536u /* Secrets may be shared with other users, so more than CSI demands */
#define MOUNT_FLAGS_MAX_BYTES 4096u
#define ELEMENTS_MAX 1024u /* of one repeated field */
#define DEPTH_MAX 8u	   /* CSI nests four deep */

enum { WIRE_VARINT = 0, WIRE_FIXED64 = 1, WIRE_BYTES = 2, WIRE_FIXED32 = 5 };

struct reader {
	const uint8_t *p, *end;
};

static int read_varint(struct reader *r, uint64_t *ret)
{
	uint64_t v = 0;

	for (unsigned int shift = 0; shift < 64; shift += 7) {
		uint8_t b;

		if (r->p == r->end)
			return -EINVAL;
		b = *r->p++;
		v |= (uint64_t)(b & 0x7f) << shift;
		if (!(b & 0x80)) {
			*ret = v;
			return 0;
		}
	}
	return -EINVAL;
}

/* One field: number, wire type and, for bytes, its content. */
struct field {
	uint64_t number;
	unsigned int type;
	const uint8_t *data;
	size_t len;
};

static int read_field(struct reader *r, struct field *f)
{
	uint64_t tag, len = 0;
	int rc;

	rc = read_varint(r, &tag);
	if (rc)
		return rc;
	f->number = tag >> 3;
	f->type = tag & 7;
	if (f->number == 0 || f->number > 536870911)
		return -EINVAL;
	switch (f->type) {
	case WIRE_VARINT:
		return read_varint(r, &len);
	case WIRE_FIXED64:
		len = 8;
		break;
	case WIRE_FIXED32:
		len = 4;
		break;
	case WIRE_BYTES:
		rc = read_varint(r, &len);
		if (rc)
			return rc;
		break;
	default:
		return -EINVAL;
	}
	if (len > (uint64_t)(r->end - r->p))
		return -EINVAL;
	f->data = r->p;
	f->len = (size_t)len;
	r->p += len;
	return 0;
}

size_t csi_utf8_sequence(const uint8_t *s, size_t n)
{
	size_t len;
	uint32_t c;

	if (s[0] < 0x80)
		return 1;
	if (s[0] >= 0xc2 && s[0] <= 0xdf)
		len = 2;
	else if ((s[0] & 0xf0) == 0xe0)
		len = 3;
	else if (s[0] >= 0xf0 && s[0] <= 0xf4)
		len = 4;
	else
		return 0;
	if (n < len)
		return 0;
	c = s[0] & (0x7fu >> len);
	for (size_t i = 1; i < len; i++) {
		if ((s[i] & 0xc0) != 0x80)
			return 0;
		c = c << 6 | (s[i] & 0x3f);
	}
	if ((len == 3 && (c < 0x800 || (c >= 0xd800 && c <= 0xdfff))) ||
	    (len == 4 && (c < 0x10000 || c > 0x10ffff)))
		return 0;
	return len;
}

static int check_text(const uint8_t *s, size_t n, const char *where, struct err *e)
{
	for (size_t i = 0; i < n;) {
		size_t len = csi_utf8_sequence(s + i, n - i);

		if (s[i] == 0)
			return err_set(e, -EINVAL, "%s: holds a NUL byte", where);
		if (!len)
			return err_set(e, -EINVAL, "%s: isn't valid UTF-8", where);
		i += len;
	}
	return 0;
}

static size_t string_limit(const char *name)
{
	size_t n = strlen(name);

	if (n >= 4 && !strcmp(name + n - 4, "path"))
		return PATH_MAX;
	if (!strcmp(name, "node_id"))
		return NODE_ID_MAX_BYTES;
	if (!strcmp(name, "mount_flags"))
		return MOUNT_FLAGS_MAX_BYTES;
	return STRING_MAX_BYTES;
}

/* The two fields of a map entry. */
struct entry {
	const uint8_t *key, *value;
	size_t key_len, value_len;
};

static int read_entry(const struct field *f, const char *where, struct entry *en, struct err *e)
{
	struct reader r = { f->data, f->data + f->len };

	*en = (struct entry){ .key = f->data, .value = f->data };
	while (r.p < r.end) {
		struct field part;

		if (read_field(&r, &part))
			return err_set(e, -EINVAL, "%s: the map entry is broken", where);
		if (part.type != WIRE_BYTES && part.number <= 2)
			return err_set(e, -EINVAL, "%s: the map entry is no text", where);
		if (part.number == 1) {
			en->key = part.data;
			en->key_len = part.len;
		} else if (part.number == 2) {
			en->value = part.data;
			en->value_len = part.len;
		}
	}
	return 0;
}

static int check_entry(const struct field *f, const char *where, struct entry *en, struct err *e)
{
	char at[256];
	int r;

	r = read_entry(f, where, en, e);
	if (r)
		return r;
	snprintf(at, sizeof(at), "%s: a key", where);
	r = check_text(en->key, en->key_len, at, e);
	if (r)
		return r;
	snprintf(at, sizeof(at), "%s[\"%.*s\"]", where,
		 (int)(en->key_len > 128 ? 128 : en->key_len), (const char *)en->key);
	return check_text(en->value, en->value_len, at, e);
}

static bool same_key(const struct entry *a, const struct entry *b)
{
	return a->key_len == b->key_len && !memcmp(a->key, b->key, a->key_len);
}

/* All entries of map field @number in @wire: texts, no key twice, total size. */
static int check_map(const uint8_t *wire, size_t len, const ProtobufCFieldDescriptor *fd,
		     bool secret, struct err *e)
{
	struct reader r = { wire, wire + len };
	struct entry *seen;
	size_t n = 0, total = 0, limit = secret ? SECRETS_MAX_BYTES : MAP_MAX_BYTES;
	int rc = 0;

	seen = calloc(ELEMENTS_MAX, sizeof(*seen));
	if (!seen)
		return err_set(e, -ENOMEM, "no memory to check a request");
	while (!rc && r.p < r.end) {
		struct field f;

		rc = read_field(&r, &f);
		if (rc || f.number != fd->id || f.type != WIRE_BYTES)
			continue;
		if (n == ELEMENTS_MAX) {
			rc = err_set(e, -EINVAL, "%s: more than %u entries", fd->name,
				     ELEMENTS_MAX);
			break;
		}
		rc = check_entry(&f, fd->name, &seen[n], e);
		for (size_t i = 0; !rc && i < n; i++)
			if (same_key(&seen[i], &seen[n]))
				rc = err_set(e, -EINVAL, "%s: the key \"%.*s\" is there twice",
					     fd->name,
					     (int)(seen[n].key_len > 128 ? 128 : seen[n].key_len),
					     (const char *)seen[n].key);
		total += seen[n].key_len + seen[n].value_len;
		n++;
	}
	if (!rc && total > limit)
		rc = err_set(e, -EINVAL, "%s: %zu bytes, more than the %zu that a map may have",
			     fd->name, total, limit);
	free(seen);
	return rc;
}

static bool is_map(const ProtobufCFieldDescriptor *fd)
{
	const ProtobufCMessageDescriptor *d;
	size_t n;

	if (fd->label != PROTOBUF_C_LABEL_REPEATED || fd->type != PROTOBUF_C_TYPE_MESSAGE)
		return false;
	d = fd->descriptor;
	n = strlen(d->short_name);
	return n > 5 && !strcmp(d->short_name + n - 5, "Entry") && d->n_fields == 2 &&
	       !strcmp(d->fields[0].name, "key");
}

static unsigned int wire_type_of(const ProtobufCFieldDescriptor *fd)
{
	switch (fd->type) {
	case PROTOBUF_C_TYPE_STRING:
	case PROTOBUF_C_TYPE_BYTES:
	case PROTOBUF_C_TYPE_MESSAGE:
		return WIRE_BYTES;
	case PROTOBUF_C_TYPE_FIXED64:
	case PROTOBUF_C_TYPE_SFIXED64:
	case PROTOBUF_C_TYPE_DOUBLE:
		return WIRE_FIXED64;
	case PROTOBUF_C_TYPE_FIXED32:
	case PROTOBUF_C_TYPE_SFIXED32:
	case PROTOBUF_C_TYPE_FLOAT:
		return WIRE_FIXED32;
	default:
		return WIRE_VARINT;
	}
}

static int check_message(const ProtobufCMessageDescriptor *d, const uint8_t *wire, size_t len,
			 unsigned int depth, struct err *e);

static int check_field(const ProtobufCFieldDescriptor *fd, const struct field *f,
		       unsigned int depth, struct err *e)
{
	bool packed = fd->label == PROTOBUF_C_LABEL_REPEATED && f->type == WIRE_BYTES;
	int r;

	if (f->type != wire_type_of(fd) && !packed)
		return err_set(e, -EINVAL, "%s: wrong type on the wire", fd->name);
	if (fd->type == PROTOBUF_C_TYPE_STRING) {
		if (f->len > string_limit(fd->name))
			return err_set(e, -EINVAL,
				       "%s: %zu bytes, more than the %zu that are allowed",
				       fd->name, f->len, string_limit(fd->name));
		return check_text(f->data, f->len, fd->name, e);
	}
	if (fd->type != PROTOBUF_C_TYPE_MESSAGE)
		return 0;
	r = check_message(fd->descriptor, f->data, f->len, depth + 1, e);
	return r ? err_wrap(e, r, "%s", fd->name) : 0;
}

/* A map as a whole, at its first entry; any other message once, since a second one would be merged
 * into the first, and what they hold together isn't checked. @done has a bit per field number. */
static int check_once(const ProtobufCMessageDescriptor *d, const uint8_t *wire, size_t len,
		      const ProtobufCFieldDescriptor *fd, uint64_t *done, struct err *e)
{
	uint64_t bit = fd->id < 64 ? 1ull << fd->id : 0;
	bool again = (*done & bit) != 0;

	*done |= bit;
	if (is_map(fd))
		return again ? 0 : check_map(wire, len, fd, csi_field_secret(d, fd), e);
	if (again && fd->label != PROTOBUF_C_LABEL_REPEATED && fd->type == PROTOBUF_C_TYPE_MESSAGE)
		return err_set(e, -EINVAL, "%s: is there twice", fd->name);
	return 0;
}

static int check_message(const ProtobufCMessageDescriptor *d, const uint8_t *wire, size_t len,
			 unsigned int depth, struct err *e)
{
	struct reader r = { wire, wire + len };
	size_t elements = 0, flags_bytes = 0;
	uint64_t done = 0;

	if (depth > DEPTH_MAX)
		return err_set(e, -EINVAL, "nested more than %u deep", DEPTH_MAX);
	while (r.p < r.end) {
		const ProtobufCFieldDescriptor *fd;
		struct field f;
		int rc;

		if (read_field(&r, &f))
			return err_set(e, -EINVAL, "the message is broken at byte %td", r.p - wire);
		fd = protobuf_c_message_descriptor_get_field(d, (unsigned int)f.number);
		if (!fd)
			continue;
		if (fd->label == PROTOBUF_C_LABEL_REPEATED && ++elements > ELEMENTS_MAX)
			return err_set(e, -EINVAL, "%s: more than %u elements", fd->name,
				       ELEMENTS_MAX);
		rc = check_once(d, wire, len, fd, &done, e);
		if (!rc && !is_map(fd))
			rc = check_field(fd, &f, depth, e);
		if (!rc && !strcmp(fd->name, "mount_flags") &&
		    (flags_bytes += f.len) > MOUNT_FLAGS_MAX_BYTES)
			rc = err_set(e, -EINVAL, "mount_flags: more than %u bytes together",
				     MOUNT_FLAGS_MAX_BYTES);
		if (rc)
			return rc;
	}
	return 0;
}

int csi_wire_check(const ProtobufCMessageDescriptor *d, const uint8_t *wire, size_t len,
		   struct err *e)
{
	return check_message(d, wire, len, 0, e);
}
