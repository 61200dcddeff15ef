// SPDX-License-Identifier: Apache-2.0
// Requests as the log's text: everything that CSI 1.13 marks csi_secret, mount flags and
// Kubernetes' tokens stay out of it, the rest is there.
#include "csi_request.h"

/* CSI 1.13: the fields with the option csi_secret. SnapshotMetadata's two are of a service that
 * isn't served. */
static const struct {
	const char *message;
	unsigned int number;
} spec_secrets[] = {
	{ "CreateVolumeRequest", 5 },
	{ "DeleteVolumeRequest", 2 },
	{ "ControllerPublishVolumeRequest", 5 },
	{ "ControllerUnpublishVolumeRequest", 3 },
	{ "ValidateVolumeCapabilitiesRequest", 5 },
	{ "ControllerModifyVolumeRequest", 2 },
	{ "CreateSnapshotRequest", 3 },
	{ "DeleteSnapshotRequest", 2 },
	{ "ListSnapshotsRequest", 5 },
	{ "GetSnapshotRequest", 2 },
	{ "ControllerExpandVolumeRequest", 3 },
	{ "ControllerListVolumeHealthRequest", 3 },
	{ "ControllerGetVolumeHealthRequest", 2 },
	{ "NodeGetStorageHealthRequest", 1 },
	{ "NodeStageVolumeRequest", 5 },
	{ "NodePublishVolumeRequest", 7 },
	{ "NodeExpandVolumeRequest", 6 },
	{ "CreateVolumeGroupSnapshotRequest", 3 },
	{ "DeleteVolumeGroupSnapshotRequest", 3 },
	{ "GetVolumeGroupSnapshotRequest", 3 },
};

static bool spec_says_secret(const char *message, unsigned int number)
{
	for (size_t i = 0; i < ARRAY_SIZE(spec_secrets); i++)
		if (!strcmp(spec_secrets[i].message, message) && spec_secrets[i].number == number)
			return true;
	return false;
}

static void secret_fields_are_the_specifications(void)
{
	size_t found = 0;

	EACH_METHOD(m)
	for (unsigned int i = 0; i < m->request->n_fields; i++) {
		const ProtobufCFieldDescriptor *f = &m->request->fields[i];
		bool secret = csi_field_secret(m->request, f);

		CHECK_MSG(secret == spec_says_secret(m->request->short_name, f->id), "%s.%s: %d",
			  m->request->short_name, f->name, secret);
		found += secret;
	}
	CHECK_INT(found, ARRAY_SIZE(spec_secrets));
}

/* The text of a request's bytes, into text[]. */
static char text[8192];

static void describe(const char *message, struct bytes *b)
{
	struct csi_method method = { .request = request_named(message) };
	struct csi_call c = { .method = &method, .arena = csi_arena_new() };
	const char *t;

	text[0] = '\0';
	csi_call_decode(&c, b->p, b->n);
	CHECK_MSG(c.request, "%.200s", c.message);
	t = c.request ? csi_describe(c.arena, c.request) : NULL;
	if (t)
		text_copy(text, sizeof(text), t);
	csi_arena_free(c.arena);
	free(b->p);
	*b = (struct bytes){ 0 };
}

static void secrets_are_never_shown(void)
{
	for (size_t i = 0; i < ARRAY_SIZE(spec_secrets); i++) {
		struct bytes b = { 0 };

		if (request_named(spec_secrets[i].message)->fields[0].type ==
		    PROTOBUF_C_TYPE_STRING)
			put_field(&b, 1, "vol-1", 5);
		put_entry(&b, spec_secrets[i].number, "CRYPTO_KEY_VALUE", "geheim");
		put_entry(&b, spec_secrets[i].number, "other", "GEHEIM");
		describe(spec_secrets[i].message, &b);
		CHECK_CONTAINS(text, "secrets=***");
		CHECK_MSG(!strcasestr(text, "geheim") && !strstr(text, "CRYPTO"), "%.300s", text);
	}
}

static void mount_flags_are_never_shown(void)
{
	struct bytes mount = { 0 }, cap = { 0 }, b = { 0 };

	put_field(&mount, 1, "ext4", 4);
	put_field(&mount, 2, "password=geheim", 15);
	put_field(&cap, 2, mount.p, mount.n);
	put_field(&b, 1, "vol-1", 5);
	put_field(&b, 4, cap.p, cap.n);
	free(mount.p);
	free(cap.p);
	describe("NodeStageVolumeRequest", &b);
	CHECK_CONTAINS(text, "fs_type=ext4");
	CHECK_CONTAINS(text, "mount_flags=***");
	CHECK_MSG(!strstr(text, "geheim"), "%.300s", text);
}

/* CVE-2023-2878: service account tokens in volume_context. */
static void tokens_are_never_shown(void)
{
	static const char *const keys[] = { "csi.storage.k8s.io/serviceAccount.tokens",
					    "example.com/apiToken", "example.com/SECRET",
					    "a.passphrase" };

	for (size_t i = 0; i < ARRAY_SIZE(keys); i++) {
		struct bytes b = { 0 };

		put_field(&b, 1, "vol-1", 5);
		put_entry(&b, 8, "csi.storage.k8s.io/pod.name", "pod-7");
		put_entry(&b, 8, keys[i], "{\"aud\":{\"token\":\"geheim\"}}");
		put_entry(&b, 2, keys[i], "geheim");
		describe("NodePublishVolumeRequest", &b);
		CHECK_CONTAINS(text, keys[i]);
		CHECK_CONTAINS(text, "pod-7");
		CHECK_MSG(!strstr(text, "geheim"), "%.300s", text);
	}
}

/* Whatever isn't secret is there, or nobody could tell from the log what was asked for. */
static void the_rest_is_shown(void)
{
	struct bytes b = { 0 }, range = { 0 }, mode = { 0 }, cap = { 0 }, source = { 0 },
		     inner = { 0 };

	put_varint(&range, 1 << 3);
	put_varint(&range, 1 << 30);
	put_varint(&mode, 1 << 3);
	put_varint(&mode, 1);
	put_field(&cap, 1, NULL, 0);
	put_field(&cap, 3, mode.p, mode.n);
	put_field(&inner, 1, "snap-1", 6);
	put_field(&source, 1, inner.p, inner.n);
	put_field(&b, 1, "pvc-1", 5);
	put_field(&b, 2, range.p, range.n);
	put_field(&b, 3, cap.p, cap.n);
	put_entry(&b, 4, "encrypted", "true");
	put_field(&b, 6, source.p, source.n);
	put_entry(&b, 8, "fsck", "none");
	free(range.p);
	free(mode.p);
	free(cap.p);
	free(inner.p);
	free(source.p);
	describe("CreateVolumeRequest", &b);
	CHECK_STR(
		text,
		"{name=pvc-1 capacity_range={required_bytes=1073741824} "
		"volume_capabilities=[{block={} access_mode={mode=SINGLE_NODE_WRITER}}] "
		"parameters=[encrypted:true] volume_content_source={snapshot={snapshot_id=snap-1}} "
		"mutable_parameters=[fsck:none]}");
	put_varint(&b, 1 << 3);
	put_varint(&b, 7);
	put_field(&b, 2, "t", 1);
	describe("ListVolumesRequest", &b);
	CHECK_STR(text, "{max_entries=7 starting_token=t}");
	put_field(&b, 1, "v", 1);
	put_varint(&b, 4 << 3);
	put_varint(&b, 1);
	describe("ControllerPublishVolumeRequest", &b);
	CHECK_STR(text, "{volume_id=v readonly=true}");
}

static void long_requests_are_cut_short(void)
{
	struct bytes b = { 0 };
	char id[17];

	for (unsigned int i = 0; i < 1000; i++) {
		snprintf(id, sizeof(id), "volume-%09u", i);
		put_field(&b, 2, id, 16);
	}
	describe("CreateVolumeGroupSnapshotRequest", &b);
	CHECK_INT(strlen(text), 4095);
	CHECK_CONTAINS(text, "volume-000000007,volume-000000008");
}

int main(void)
{
	RUN(secret_fields_are_the_specifications);
	RUN(secrets_are_never_shown);
	RUN(mount_flags_are_never_shown);
	RUN(tokens_are_never_shown);
	RUN(the_rest_is_shown);
	RUN(long_requests_are_cut_short);
	return check_exit();
}
