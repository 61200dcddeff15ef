// SPDX-License-Identifier: Apache-2.0
// Messages as text for the log. What is secret is decided by the field table here, never at the
// call.
#include "csi.h"

#include <stdio.h>

#define DESCRIBE_MAX_BYTES 4096

/* Fields of any message that carry secrets: csi_secret in proto/csi.proto (a test compares),
 * mount_flags, which CSI calls sensitive. */
static const char *const secret_fields[] = { "secrets", "mount_flags" };
/* Map entries that are secret though their map is not: Kubernetes puts service account tokens into
 * volume_context (CVE-2023-2878). */
static const char *const secret_entries[] = { "csi.storage.k8s.io/serviceAccount.tokens" };

struct text {
	char *buf;
	size_t len;
};

bool csi_field_secret(const ProtobufCMessageDescriptor *d, const ProtobufCFieldDescriptor *f)
{
	(void)d;
	for (size_t i = 0; i < ARRAY_SIZE(secret_fields); i++)
		if (!strcmp(f->name, secret_fields[i]))
			return true;
	return false;
}

static void put(struct text *t, const char *s)
{
	size_t n = strlen(s), room = DESCRIBE_MAX_BYTES - 1 - t->len;

	if (n > room)
		n = room;
	memcpy(t->buf + t->len, s, n);
	t->len += n;
	t->buf[t->len] = '\0';
}

static void put_message(struct text *t, const ProtobufCMessage *m);

static bool entry_secret(const char *key)
{
	for (size_t i = 0; i < ARRAY_SIZE(secret_entries); i++)
		if (!strcmp(key, secret_entries[i]))
			return true;
	/* Tokens by another name, from another CO. */
	return strcasestr(key, "token") || strcasestr(key, "secret") ||
	       strcasestr(key, "passphrase");
}

/* A map entry (key, value) as protobuf-c lays it out. */
struct map_entry {
	ProtobufCMessage base;
	char *key;
	char *value;
};

static bool is_entry(const ProtobufCMessageDescriptor *d)
{
	size_t n = strlen(d->short_name);

	return n > 5 && !strcmp(d->short_name + n - 5, "Entry") && d->n_fields == 2 &&
	       !strcmp(d->fields[0].name, "key") && d->fields[1].type == PROTOBUF_C_TYPE_STRING;
}

static void put_value(struct text *t, const ProtobufCFieldDescriptor *f, const void *p)
{
	char num[32];

	switch (f->type) {
	case PROTOBUF_C_TYPE_STRING:
		put(t, *(char *const *)p ? *(char *const *)p : "");
		return;
	case PROTOBUF_C_TYPE_MESSAGE:
		if (*(ProtobufCMessage *const *)p)
			put_message(t, *(ProtobufCMessage *const *)p);
		return;
	case PROTOBUF_C_TYPE_BOOL:
		put(t, *(const protobuf_c_boolean *)p ? "true" : "false");
		return;
	case PROTOBUF_C_TYPE_INT64:
		snprintf(num, sizeof(num), "%lld", (long long)*(const int64_t *)p);
		put(t, num);
		return;
	case PROTOBUF_C_TYPE_INT32:
		snprintf(num, sizeof(num), "%d", *(const int32_t *)p);
		put(t, num);
		return;
	case PROTOBUF_C_TYPE_ENUM: {
		const ProtobufCEnumValue *v = protobuf_c_enum_descriptor_get_value(f->descriptor,
										   *(const int *)p);

		put(t, v ? v->name : "?");
		return;
	}
	default:
		put(t, "?");
	}
}

static size_t element_size(const ProtobufCFieldDescriptor *f)
{
	switch (f->type) {
	case PROTOBUF_C_TYPE_STRING:
	case PROTOBUF_C_TYPE_MESSAGE:
		return sizeof(void *);
	case PROTOBUF_C_TYPE_INT64:
		return sizeof(int64_t);
	default:
		return sizeof(int32_t);
	}
}

/* Is the field set to something worth a word? */
static bool is_set(const ProtobufCFieldDescriptor *f, const ProtobufCMessage *m)
{
	const char *base = (const char *)m;
	const void *p = base + f->offset;

	if (f->label == PROTOBUF_C_LABEL_REPEATED)
		return *(const size_t *)(base + f->quantifier_offset) > 0;
	if (f->flags & PROTOBUF_C_FIELD_FLAG_ONEOF)
		return *(const uint32_t *)(base + f->quantifier_offset) == f->id;
	switch (f->type) {
	case PROTOBUF_C_TYPE_STRING:
		return *(char *const *)p && **(char *const *)p;
	case PROTOBUF_C_TYPE_MESSAGE:
		return *(void *const *)p != NULL;
	case PROTOBUF_C_TYPE_INT64:
		return *(const int64_t *)p != 0;
	default:
		return *(const int32_t *)p != 0;
	}
}

static void put_repeated(struct text *t, const ProtobufCFieldDescriptor *f,
			 const ProtobufCMessage *m)
{
	size_t n = *(const size_t *)((const char *)m + f->quantifier_offset);
	const char *array = *(const char *const *)((const char *)m + f->offset);

	put(t, "[");
	for (size_t i = 0; i < n; i++) {
		put(t, i ? "," : "");
		put_value(t, f, array + i * element_size(f));
	}
	put(t, "]");
}

static void put_message(struct text *t, const ProtobufCMessage *m)
{
	const ProtobufCMessageDescriptor *d = m->descriptor;
	bool first = true;

	if (is_entry(d)) {
		const struct map_entry *en = (const struct map_entry *)m;

		put(t, en->key);
		put(t, ":");
		put(t, entry_secret(en->key) ? "***" : en->value);
		return;
	}
	put(t, "{");
	for (unsigned int i = 0; i < d->n_fields; i++) {
		const ProtobufCFieldDescriptor *f = &d->fields[i];

		if (!is_set(f, m))
			continue;
		put(t, first ? "" : " ");
		first = false;
		put(t, f->name);
		put(t, "=");
		if (csi_field_secret(d, f))
			put(t, "***");
		else if (f->label == PROTOBUF_C_LABEL_REPEATED)
			put_repeated(t, f, m);
		else
			put_value(t, f, (const char *)m + f->offset);
	}
	put(t, "}");
}

char *csi_describe(struct csi_arena *a, const ProtobufCMessage *m)
{
	struct text t = { .buf = csi_arena_alloc(a, DESCRIBE_MAX_BYTES) };

	if (!t.buf)
		return NULL;
	put_message(&t, m);
	return t.buf;
}
