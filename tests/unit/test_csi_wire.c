// SPDX-License-Identifier: Apache-2.0
// The wire check and the decoding of requests: vectors of Python's protobuf
// (tests/vectors/csi.txt), the limits of CSI 1.12 ("Size Limits") to the byte, and UTF-8 beside the
// C library's.
#include <iconv.h>

#include "crypto_vectors.h"
#include "csi_request.h"

/* ---- vectors ---- */

/* What was decoded, packed again: Python's bytes, where nothing in them is unusual. */
static void check_same(const ProtobufCMessage *m, const uint8_t *wire, size_t len)
{
	uint8_t out[VECTOR_BYTES_MAX];

	CHECK_INT(protobuf_c_message_get_packed_size(m), len);
	if (protobuf_c_message_get_packed_size(m) == len) {
		protobuf_c_message_pack(m, out);
		CHECK_MEM(out, wire, len);
	}
}

/* "field:word", '_' for a blank */
static void check_refusal(const struct csi_call *c, char *outcome)
{
	char *word = strrchr(outcome, ':');

	CHECK(!c->request);
	CHECK_STR(csi_code_name(c->code), "INVALID_ARGUMENT");
	REQUIRE(word);
	*word++ = '\0';
	for (char *p = word; *p; p++)
		*p = *p == '_' ? ' ' : *p;
	CHECK_CONTAINS(c->message, outcome);
	CHECK_CONTAINS(c->message, word);
}

static void run_vector(char **fields)
{
	struct csi_method method = { .request = request_named(fields[1]) };
	struct csi_call c = { .method = &method, .arena = csi_arena_new() };
	uint8_t wire[VECTOR_BYTES_MAX], copy[VECTOR_BYTES_MAX];
	size_t len = vector_bytes(fields[2], wire), left = 0;

	if (!method.request || !c.arena) {
		CHECK_MSG(false, "no message %s", fields[1]);
	} else {
		memcpy(copy, wire, len);
		csi_call_decode(&c, wire, len);
		if (strcmp(fields[3], "same") != 0 && strcmp(fields[3], "ok") != 0)
			check_refusal(&c, fields[3]);
		else
			CHECK_MSG(c.request, "refused: %.200s", c.message);
		if (c.request && !strcmp(fields[3], "same"))
			check_same(c.request, copy, len);
		for (size_t i = 0; i < len; i++)
			left += wire[i] != 0;
		CHECK_MSG(!left, "%zu bytes of the request weren't wiped", left);
	}
	csi_arena_free(c.arena);
	check_report(fields[0]);
}

/* ---- limits ---- */

static int check(const char *message, struct bytes *b, struct err *e)
{
	int r;

	*e = (struct err){ 0 };
	r = csi_wire_check(request_named(message), b->p, b->n, e);
	free(b->p);
	*b = (struct bytes){ 0 };
	return r;
}

/* A text of @limit bytes passes, one more doesn't, and the field is named. */
static void check_limit(const char *message, unsigned int number, const char *field, size_t limit)
{
	struct bytes b = { 0 };
	struct err e;

	put_long(&b, number, limit);
	CHECK_MSG(!check(message, &b, &e), "%s of %zu bytes: %s", field, limit, err_text(&e));
	put_long(&b, number, limit + 1);
	CHECK_INT(check(message, &b, &e), -EINVAL);
	CHECK_CONTAINS(err_text(&e), field);
}

static void texts_are_limited(void)
{
	check_limit("CreateVolumeRequest", 1, "name", 128);
	check_limit("DeleteVolumeRequest", 1, "volume_id", 128);
	check_limit("ListSnapshotsRequest", 2, "starting_token", 128);
	check_limit("CreateVolumeGroupSnapshotRequest", 2, "source_volume_ids", 128);
	check_limit("ControllerPublishVolumeRequest", 2, "node_id", 256);
	check_limit("NodeStageVolumeRequest", 3, "staging_target_path", 4096); /* PATH_MAX */
	check_limit("NodePublishVolumeRequest", 4, "target_path", 4096);
	check_limit("NodeGetVolumeStatsRequest", 2, "volume_path", 4096);
}

/* A map's keys and values together: @limit bytes, in two entries. */
static void check_map_limit(const char *message, unsigned int number, const char *field,
			    size_t limit)
{
	for (size_t over = 0; over < 2; over++) {
		struct bytes b = { 0 }, en = { 0 };
		struct err e;

		put_field(&en, 1, "key", 3);
		put_long(&en, 2, limit - 6 + over);
		put_entry(&b, number, "a", "bc");
		put_field(&b, number, en.p, en.n);
		free(en.p);
		CHECK_INT(check(message, &b, &e), over ? -EINVAL : 0);
		if (over)
			CHECK_CONTAINS(err_text(&e), field);
	}
}

static void maps_are_limited(void)
{
	check_map_limit("CreateVolumeRequest", 4, "parameters", 4096);
	check_map_limit("NodeStageVolumeRequest", 6, "volume_context", 4096);
	check_map_limit("NodeStageVolumeRequest", 5, "secrets", 65536);
}

static void mount_flags_are_limited_together(void)
{
	for (size_t over = 0; over < 2; over++) {
		struct bytes mount = { 0 }, cap = { 0 }, b = { 0 };
		struct err e;

		put_long(&mount, 2, 4000);
		put_long(&mount, 2, 96 + over);
		put_field(&cap, 2, mount.p, mount.n);
		put_field(&b, 4, cap.p, cap.n);
		free(mount.p);
		free(cap.p);
		CHECK_INT(check("NodeStageVolumeRequest", &b, &e), over ? -EINVAL : 0);
		if (over)
			CHECK_CONTAINS(err_text(&e), "mount_flags");
	}
}

static void elements_are_counted(void)
{
	for (size_t n = 1024; n <= 1025; n++) {
		struct bytes ids = { 0 }, map = { 0 };
		struct err e;
		char key[24];

		for (size_t i = 0; i < n; i++) {
			snprintf(key, sizeof(key), "%zx", i);
			put_field(&ids, 2, "v", 1);
			put_entry(&map, 3, key, "");
		}
		CHECK_INT(check("DeleteVolumeGroupSnapshotRequest", &ids, &e),
			  n > 1024 ? -EINVAL : 0);
		if (n > 1024)
			CHECK_CONTAINS(err_text(&e), "snapshot_ids: more than 1024");
		CHECK_INT(check("DeleteVolumeGroupSnapshotRequest", &map, &e),
			  n > 1024 ? -EINVAL : 0);
		if (n > 1024)
			CHECK_CONTAINS(err_text(&e), "secrets: more than 1024");
	}
}

/* Nesting has an end also in a message that holds itself, which CSI has none of. */
static void nesting_has_an_end(void)
{
	static const ProtobufCIntRange ranges[] = { { 1, 0 }, { 0, 1 } };
	static ProtobufCFieldDescriptor field = { .name = "self",
						  .id = 1,
						  .label = PROTOBUF_C_LABEL_REPEATED,
						  .type = PROTOBUF_C_TYPE_MESSAGE };
	static const ProtobufCMessageDescriptor d = { .magic = PROTOBUF_C__MESSAGE_DESCRIPTOR_MAGIC,
						      .short_name = "Self",
						      .n_fields = 1,
						      .fields = &field,
						      .n_field_ranges = 1,
						      .field_ranges = ranges };
	struct bytes b = { 0 }, outer;
	struct err e = { 0 };

	field.descriptor = &d;
	for (size_t depth = 0; depth < 9; depth++) {
		if (depth == 8)
			CHECK_INT(csi_wire_check(&d, b.p, b.n, &e), 0);
		outer = (struct bytes){ 0 };
		put_field(&outer, 1, b.p, b.n);
		free(b.p);
		b = outer;
	}
	CHECK_INT(csi_wire_check(&d, b.p, b.n, &e), -EINVAL);
	CHECK_CONTAINS(err_text(&e), "deep");
	free(b.p);
}

/* Every cut of a good request is refused or is a request of its own; none is read past. */
static void every_cut_is_read_to_its_end_only(void)
{
	struct bytes b = { 0 };
	struct err e;

	put_field(&b, 1, "name", 4);
	put_entry(&b, 4, "encrypted", "true");
	put_entry(&b, 5, "CRYPTO_KEY_VALUE", "geheim");
	for (size_t n = 0; n <= b.n; n++) {
		uint8_t *cut = malloc(n + !n); /* of its exact size, for ASan */
		bool whole = n == 0 || n == 6 || n == 6 + 19 || n == b.n;

		if (!cut)
			abort();
		memcpy(cut, b.p, n);
		e = (struct err){ 0 };
		CHECK_MSG(csi_wire_check(request_named("CreateVolumeRequest"), cut, n, &e) ==
				  (whole ? 0 : -EINVAL),
			  "cut at %zu: %s", n, err_text(&e));
		CHECK(!strstr(err_text(&e), "geheim"));
		free(cut);
	}
	free(b.p);
}

static void secrets_are_never_quoted(void)
{
	struct bytes b = { 0 };
	struct err e;

	put_entry(&b, 5, "CRYPTO_KEY_VALUE", "geheim\xff");
	CHECK_INT(check("NodeStageVolumeRequest", &b, &e), -EINVAL);
	CHECK_CONTAINS(err_text(&e), "secrets[\"CRYPTO_KEY_VALUE\"]");
	CHECK(!strstr(err_text(&e), "geheim"));
	put_entry(&b, 5, "k", "geheim");
	put_entry(&b, 5, "k", "geheim");
	CHECK_INT(check("NodeStageVolumeRequest", &b, &e), -EINVAL);
	CHECK(!strstr(err_text(&e), "geheim"));
}

/* ---- UTF-8 beside the C library's ---- */

static bool libc_takes(iconv_t cd, const uint8_t *s, size_t n)
{
	char in[4], out[16], *from = in, *to = out;
	size_t room = sizeof(out);

	memcpy(in, s, n);
	iconv(cd, NULL, NULL, NULL, NULL);
	return iconv(cd, &from, &n, &to, &room) == 0 && n == 0 &&
	       (size_t)(to - out) == sizeof(out) - room && to - out >= 2;
}

/* One character of @n bytes: every lead byte, and the second byte's whole range. */
static void utf8_is_that_of_libc(void)
{
	static const uint8_t tails[] = { 0x00, 0x7f, 0x80, 0xbf, 0xc0, 0xff };
	iconv_t cd = iconv_open("UTF-16LE", "UTF-8");
	unsigned int taken = 0;

	REQUIRE(cd != (iconv_t)-1);
	for (unsigned int lead = 0x80; lead < 0x100; lead++)
		for (unsigned int second = 0; second < 0x100; second++)
			for (size_t t = 0; t < ARRAY_SIZE(tails); t++) {
				uint8_t s[4] = { (uint8_t)lead, (uint8_t)second, tails[t], 0x80 };
				size_t n = lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
				bool ours = csi_utf8_sequence(s, n) == n;

				CHECK_MSG(ours == libc_takes(cd, s, n),
					  "%02x %02x %02x: ours says %d", lead, second, tails[t],
					  ours);
				taken += ours;
			}
	iconv_close(cd);
	CHECK_MSG(taken > 1000, "only %u were characters", taken);
}

int main(void)
{
	if (vectors_run("csi.txt", 4, run_vector) < 50)
		CHECK_MSG(false, "tests/vectors/csi.txt is short");
	check_report("vectors_are_all_there");
	RUN(texts_are_limited);
	RUN(maps_are_limited);
	RUN(mount_flags_are_limited_together);
	RUN(elements_are_counted);
	RUN(nesting_has_an_end);
	RUN(every_cut_is_read_to_its_end_only);
	RUN(secrets_are_never_quoted);
	RUN(utf8_is_that_of_libc);
	return check_exit();
}
