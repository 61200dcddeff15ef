// SPDX-License-Identifier: Apache-2.0
// Fuzz target: the CSI driver's requests, by the server's own way: wire check, decoding, the log's
// text, the method's handler with its validators; below those are the records of csi_fakes.h. An
// input is a byte that names the method (in the order of the tables below) and the request's bytes.
#include <iconv.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "csi/common.h"
#include "csi_fakes.h"
#include "fuzz.h"

static struct csi_driver driver;
static const struct csi_method_list *const lists[] = { &csi_identity_methods,
						       &csi_controller_methods, &csi_group_methods,
						       &csi_node_methods };

static void make_driver(void)
{
	static char name[] = "fuzz", node[] = "--node-id=" FAKE_NODE;
	char *argv[] = { name, node, NULL };
	enum csi_config_outcome outcome;
	struct err e = { 0 };

	if (csi_config_read(2, argv, &driver.config, &outcome, &e))
		fuzz_fail(err_text(&e));
	driver.locks = csi_locks_new();
	if (!driver.locks)
		fuzz_fail("no memory");
}

static const struct csi_method *pick_method(uint8_t number)
{
	size_t n = 0, i;

	for (i = 0; i < ARRAY_SIZE(lists); i++)
		n += lists[i]->n;
	n = number % n;
	for (i = 0; n >= lists[i]->n; i++)
		n -= lists[i]->n;
	return &lists[i]->methods[n];
}

/* ---- what holds of every text that comes out or is let in ---- */

static bool is_utf8(const char *s)
{
	iconv_t cd = iconv_open("UTF-16LE", "UTF-8");
	size_t n = strlen(s), room = 4 * n + 8;
	char *out = malloc(room), *to = out, *from = (char *)(uintptr_t)s;
	bool good;

	if (cd == (iconv_t)-1 || !out)
		fuzz_fail("no UTF-16 in this libc");
	good = iconv(cd, &from, &n, &to, &room) != (size_t)-1;
	iconv_close(cd);
	free(out);
	return good;
}

static void check_text(const char *s, const char *why)
{
	for (const char *p = s; *p; p++)
		if ((unsigned char)*p >= 0x80) {
			if (!is_utf8(s))
				fuzz_fail(why);
			return;
		}
}

static size_t count(const char *text, size_t n, const char *word)
{
	size_t len = strlen(word), found = 0;

	for (const char *p = text; (p = memmem(p, n - (size_t)(p - text), word, len)); p += len)
		found++;
	return found;
}

/* ---- the decoded message, by the descriptor ---- */

/* The seeds' secrets all hold this word. */
#define WORD "geheim"

struct seen {
	size_t secret_words; /* WORD in the values that nobody may show */
};

static void check_map(const struct csi_map_entry *const *entries, size_t n)
{
	for (size_t i = 0; i < n; i++)
		for (size_t j = 0; j < i; j++)
			if (!strcmp(entries[i]->key, entries[j]->key))
				fuzz_fail("a map with one key twice was let in");
}

/* CSI 1.12 marks the secrets; mount flags "MAY contain sensitive information"; Kubernetes' tokens
 * stand in a map. */
static bool hidden(const char *field, const char *key)
{
	return !strcmp(field, "secrets") || !strcmp(field, "mount_flags") ||
	       (key && !strcmp(key, "csi.storage.k8s.io/serviceAccount.tokens"));
}

static void walk(struct seen *s, const ProtobufCMessage *m, const char *name);

static void walk_element(struct seen *s, const ProtobufCFieldDescriptor *f, const void *p)
{
	const char *text = *(char *const *)p;

	if (f->type == PROTOBUF_C_TYPE_STRING) {
		check_text(text, "text that is no UTF-8 was let in");
		if (hidden(f->name, NULL))
			s->secret_words += count(text, strlen(text), WORD);
	} else if (f->type == PROTOBUF_C_TYPE_MESSAGE && *(void *const *)p) {
		walk(s, *(ProtobufCMessage *const *)p, f->name);
	}
}

static bool has_oneof(const ProtobufCMessage *m, const ProtobufCFieldDescriptor *f)
{
	return !(f->flags & PROTOBUF_C_FIELD_FLAG_ONEOF) ||
	       *(const uint32_t *)((const char *)m + f->quantifier_offset) == f->id;
}

static bool is_entry(const ProtobufCMessageDescriptor *d)
{
	return strstr(d->short_name, "Entry") && d->n_fields == 2 &&
	       !strcmp(d->fields[0].name, "key");
}

static bool is_map(const ProtobufCFieldDescriptor *f)
{
	return f->type == PROTOBUF_C_TYPE_MESSAGE && is_entry(f->descriptor);
}

static void walk(struct seen *s, const ProtobufCMessage *m, const char *name)
{
	const ProtobufCMessageDescriptor *d = m->descriptor;

	if (is_entry(d)) {
		const struct csi_map_entry *en = (const struct csi_map_entry *)m;

		check_text(en->key, "text that is no UTF-8 was let in");
		check_text(en->value, "text that is no UTF-8 was let in");
		if (hidden(name, en->key))
			s->secret_words += count(en->value, strlen(en->value), WORD);
		return;
	}
	for (unsigned int i = 0; i < d->n_fields; i++) {
		const ProtobufCFieldDescriptor *f = &d->fields[i];
		const char *at = (const char *)m + f->offset;
		size_t n = f->label == PROTOBUF_C_LABEL_REPEATED
				   ? *(const size_t *)((const char *)m + f->quantifier_offset)
				   : 1;

		if (f->label != PROTOBUF_C_LABEL_REPEATED) {
			if (has_oneof(m, f))
				walk_element(s, f, at);
			continue;
		}
		at = *(const char *const *)at;
		if (is_map(f))
			check_map((const struct csi_map_entry *const *)(const void *)at, n);
		for (size_t k = 0; k < n; k++)
			walk_element(s, f, at + k * sizeof(void *));
	}
}

/* Whatever the call locked is free again. */
static void check_locks(const ProtobufCMessage *m)
{
	static const char *const kinds[] = { "volume", "name", "snapshot", "group" };
	const ProtobufCMessageDescriptor *d = m->descriptor;
	char key[192];

	for (unsigned int i = 0; i < d->n_fields; i++) {
		const ProtobufCFieldDescriptor *f = &d->fields[i];

		if (f->type != PROTOBUF_C_TYPE_STRING || f->label == PROTOBUF_C_LABEL_REPEATED)
			continue;
		for (size_t k = 0; k < ARRAY_SIZE(kinds); k++) {
			snprintf(key, sizeof(key), "%s:%s", kinds[k],
				 *(char *const *)((const char *)m + f->offset));
			if (csi_locks_try(driver.locks, key))
				fuzz_fail("a call left its lock behind");
			csi_locks_release(driver.locks, key);
		}
	}
}

/* ---- the answer ---- */

static void check_answer(const struct csi_call *c)
{
	size_t len;
	uint8_t *out;

	if (c->code != CSI_OK) {
		if (c->response || !c->message[0])
			fuzz_fail("a failure without a sentence, or with an answer");
		if (strcmp(csi_code_name(c->code), "UNKNOWN") == 0 || c->code > CSI_UNAUTHENTICATED)
			fuzz_fail("no code of gRPC's");
		check_text(c->message, "a message that is no UTF-8");
		return;
	}
	if (!c->response || c->response->descriptor != c->method->response || c->message[0])
		fuzz_fail("a success with a message, or without the method's answer");
	len = protobuf_c_message_get_packed_size(c->response);
	out = malloc(len + 1);
	if (!out || protobuf_c_message_pack(c->response, out) != len)
		fuzz_fail("the answer can't be packed");
	free(out);
}

static void check_hidden(const struct seen *s, const char *text, size_t wire_words)
{
	/* A word that stands elsewhere too may be shown. */
	if (s->secret_words && s->secret_words == wire_words && strstr(text, WORD))
		fuzz_fail("a secret is shown");
}

static void run(struct csi_call *c, uint8_t *wire, size_t len)
{
	struct seen s = { 0 };
	size_t words = count((const char *)wire, len, WORD);
	unsigned long works = fake_works;
	const char *text;

	csi_call_decode(c, wire, len);
	for (size_t i = 0; i < len; i++)
		if (wire[i])
			fuzz_fail("the request's bytes weren't wiped");
	if (c->request) {
		walk(&s, c->request, "");
		text = csi_describe(c->arena, c->request);
		if (text)
			check_hidden(&s, text, words);
	}
	csi_call_handle(c);
	if (c->request)
		check_locks(c->request);
	check_answer(c);
	check_hidden(&s, c->message, words);
	if (c->code == CSI_OK || fake_works != works)
		fuzz_accepted++;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct csi_call c = { .driver = &driver };
	uint8_t *wire;

	if (!driver.locks)
		make_driver();
	if (!len)
		return 0;
	c.method = pick_method(data[0]);
	c.arena = csi_arena_new();
	wire = malloc(len);
	if (!c.arena || !wire)
		fuzz_fail("no memory");
	memcpy(wire, data + 1, len - 1);
	fuzz_begin();
	run(&c, wire, len - 1);
	fuzz_end();
	free(wire);
	csi_arena_free(c.arena);
	return 0;
}
