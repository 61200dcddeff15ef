// SPDX-License-Identifier: Apache-2.0
// JSON to structs and back: an unchanged header keeps its bytes, a changed one changes just there.
#include <glob.h>

#include <cryptvol/secret.h>

#include "luks/internal.h"
#include "luks_expect.h"

#define IMAGE_MAX_BYTES (9u << 20)

/* What is written for @h; NULL and a failed check otherwise. */
static char *written(const struct luks_header *h)
{
	struct err e = { 0 };
	char *text = NULL;
	size_t len = 0;

	CHECK_MSG(!luks_metadata_serialize(h, &text, &len, &e), "%s", err_text(&e));
	CHECK(!text || strlen(text) == len);
	return text;
}

static void check_same_bytes(const char *path)
{
	struct luks_header *h = NULL;
	struct image img = { 0 };
	struct err e = { 0 };
	char *text;

	REQUIRE(image_load(&img, path, IMAGE_MAX_BYTES));
	CHECK_MSG(!luks_parse(img.data, img.len, img.device_bytes, &h, &e), "%s", err_text(&e));
	if (h && h->version == 2) {
		const char *json = image_json(&img, h->header_bytes, h->from_secondary);

		text = written(h);
		CHECK_MSG(text && !strcmp(text, json), "%s: the JSON changes", path);
		free(text);
	}
	luks_free(h);
	image_free(&img);
}

/* Images by cryptsetup, of each metadata size, cipher, KDF; re-encryption, integrity. */
static void box_2_3_unchanged_headers_keep_their_bytes(void)
{
	glob_t g = { 0 };
	size_t n = 0;

	glob("tests/images/*.img.xz", 0, NULL, &g);
	glob("tests/images/broken/*.hdr.xz", GLOB_APPEND, NULL, &g);
	for (size_t i = 0; i < g.gl_pathc; i++) {
		if (strstr(g.gl_pathv[i], "not-luks"))
			continue;
		check_same_bytes(g.gl_pathv[i]);
		n++;
	}
	CHECK_MSG(n >= 20, "only %zu images", n);
	globfree(&g);
}

static void box_2_3_unknown_members_are_kept_in_place(void)
{
	static const char edits[] = "set x {\"deep\":[1,-2.50,null,{\"k\":\"\\u00fc/\"}]} ;; "
				    "set keyslots/0/note \"mine\" ;; "
				    "set keyslots/0/area/note 1 ;; set keyslots/0/af/note [] ;; "
				    "set digests/0/note {} ;; set segments/0/note 1e3 ;; "
				    "set tokens/4/any/more false ;; set config/note \"a:b\"";
	struct image img = { 0 };
	struct luks_header *h = load_edited("rich", edits);
	char *text;

	REQUIRE(h && edited_image(&img, "rich", edits));
	text = written(h);
	CHECK_STR(text, image_json(&img, 16384, 0));
	free(text);
	luks_free(h);
	image_free(&img);
}

/* One change: what stood on disk, with @from replaced by @to, is what is written. */
static void check_change(struct luks_header *h, const char *from, const char *to)
{
	struct image img = { 0 };
	char edit[1024], *text;

	snprintf(edit, sizeof(edit), "text %s => %s", from, to);
	if (!edited_image(&img, "rich", edit))
		return;
	text = written(h);
	CHECK_STR(text, image_json(&img, 16384, 0));
	free(text);
	image_free(&img);
}

static void changed_value_changes_there_alone(void)
{
	struct luks_header *h = load_edited("rich", "");

	REQUIRE(h);
	h->keyslots[1].priority = LUKS_PRIORITY_IGNORE;
	check_change(h, "\"priority\":2", "\"priority\":0");
	h->keyslots[1].priority_set = false;
	check_change(h, ",\"priority\":2", "");
	luks_free(h);
	h = load_edited("rich", "");
	REQUIRE(h);
	h->flags = LUKS_FLAG_ALLOW_DISCARDS | LUKS_FLAG_HIGH_PRIORITY;
	check_change(
		h, "\"keyslots_size\":\"1048576\"",
		"\"keyslots_size\":\"1048576\",\"flags\":[\"allow-discards\",\"high_priority\"]");
	luks_free(h);
}

static void flags_that_are_unknown_stay(void)
{
	struct luks_header *h = load_edited(
		"plain", "set config/flags [\"no-journal\",\"future\",\"allow-discards\"]");
	char *text;

	REQUIRE(h);
	h->flags = LUKS_FLAG_ALLOW_DISCARDS | LUKS_FLAG_SAME_CPU_CRYPT;
	text = written(h);
	CHECK_CONTAINS(text, "\"flags\":[\"future\",\"allow-discards\",\"same-cpu-crypt\"]");
	free(text);
	luks_free(h);
	h = load_edited("plain", "set config/flags [\"no-journal\"]");
	REQUIRE(h);
	h->flags = 0;
	text = written(h);
	CHECK(!strstr(text, "flags"));
	free(text);
	luks_free(h);
}

/* The keyslot goes with the digest that listed nothing else (checklist 2.6). */
static void box_2_6_unassigned_digests_are_pruned(void)
{
	struct luks_header *h = load_edited("rich", "");
	char *text;

	REQUIRE(h && h->n_keyslots == 3 && h->keyslots[2].id == 5);
	h->n_keyslots = 2;
	h->digests[1].keyslots = 0;
	text = written(h);
	CHECK(!strstr(text, "\"5\""));
	CHECK(strstr(text, "\"digests\":{\"0\":{") && !strstr(text, "\"1\":{\"type\":\"pbkdf2\""));
	free(text);
	luks_free(h);
}

static void removed_keyslot_leaves_digest_and_token(void)
{
	struct luks_header *h = load_edited("rich", "");
	char *text;

	REQUIRE(h);
	h->keyslots[1] = h->keyslots[2];
	h->n_keyslots = 2;
	h->digests[0].keyslots = 1u << 0;
	h->tokens[0].keyslots = 0;
	text = written(h);
	CHECK_CONTAINS(text, "\"keyslots\":[\"0\"],\"segments\":[\"0\"]");
	CHECK_CONTAINS(text, "{\"type\":\"luks2-keyring\",\"keyslots\":[],\"key_description\":");
	CHECK(!strstr(text, "\"3\":{"));
	free(text);
	luks_free(h);
}

/* As cryptsetup writes one: the members in its order, behind the others. */
static void new_keyslot_stands_behind_the_others(void)
{
	struct luks_header *h = load_edited("plain", "");
	struct luks_keyslot k = { .id = 9,
				  .type = LUKS_KEYSLOT_LUKS2,
				  .type_name = "luks2",
				  .key_bytes = 64,
				  .area_type = "raw",
				  .area_offset_bytes = 290816,
				  .area_size_bytes = 258048,
				  .area_encryption = "aes-xts-plain64",
				  .area_key_bytes = 64,
				  .kdf_name = "argon2id",
				  .kdf = { .type = CRYPTO_ARGON2ID,
					   .iterations = 4,
					   .memory_kib = 32,
					   .parallel = 1 },
				  .salt_len = 32,
				  .af_hash = "sha256",
				  .priority = LUKS_PRIORITY_PREFER,
				  .priority_set = true };
	char *text;

	REQUIRE(h);
	h->keyslots[h->n_keyslots++] = k;
	h->digests[0].keyslots |= 1u << 9;
	text = written(h);
	CHECK_CONTAINS(text,
		       "}},\"9\":{\"type\":\"luks2\",\"key_size\":64,\"af\":{\"type\":\"luks1\","
		       "\"stripes\":4000,\"hash\":\"sha256\"},\"area\":{\"type\":\"raw\","
		       "\"offset\":\"290816\",\"size\":\"258048\",\"encryption\":"
		       "\"aes-xts-plain64\",\"key_size\":64},\"kdf\":{\"type\":\"argon2id\","
		       "\"time\":4,\"memory\":32,\"cpus\":1,\"salt\":"
		       "\"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\"},\"priority\":2}},"
		       "\"tokens\"");
	CHECK_CONTAINS(text, "\"keyslots\":[\"0\",\"9\"]");
	free(text);
	luks_free(h);
}

static void kdf_of_another_type_takes_its_own_members(void)
{
	struct luks_header *h = load_edited("plain", "set keyslots/0/note 1");
	struct luks_keyslot *k;
	char *text;

	REQUIRE(h);
	k = &h->keyslots[0];
	k->kdf = (struct crypto_pbkdf){
		.type = CRYPTO_ARGON2I, .iterations = 5, .memory_kib = 64, .parallel = 2
	};
	text_copy(k->kdf_name, sizeof(k->kdf_name), "argon2i");
	text = written(h);
	CHECK_CONTAINS(text, "\"kdf\":{\"type\":\"argon2i\",\"time\":5,\"memory\":64,\"cpus\":2,");
	CHECK_CONTAINS(text, "\"note\":1");
	free(text);
	luks_free(h);
}

static void leftovers_of_another_kdf_are_not_written(void)
{
	struct luks_header *h = load_edited("plain", "set keyslots/0/kdf/memory 32");
	struct image img = { 0 };
	char *text;

	REQUIRE(h && edited_image(&img, "plain", ""));
	text = written(h);
	CHECK_STR(text, image_json(&img, 16384, 0));
	free(text);
	luks_free(h);
	image_free(&img);
}

static void box_2_4_serialisation_must_fit(void)
{
	struct luks_header *h = load_edited("plain", "");
	struct err e = { 0 };
	char *text = NULL;
	size_t len;

	REQUIRE(h);
	text = written(h);
	len = strlen(text);
	free(text);
	/* json_size itself is two digits shorter then. */
	h->json_bytes = len - 2; /* no room for the NUL */
	CHECK_INT(luks_metadata_serialize(h, &text, &len, &e), -ENOSPC);
	CHECK_CONTAINS(err_text(&e), "the JSON area has room for");
	h->json_bytes++;
	CHECK_INT(luks_metadata_serialize(h, &text, &len, &e), 0);
	CHECK_INT(len + 1, h->json_bytes);
	free(text);
	luks_free(h);
}

static void clone_is_independent(void)
{
	struct luks_header *h = load_edited("rich", ""), *c = NULL;
	struct err e = { 0 };
	char *before, *after;

	REQUIRE(h);
	before = written(h);
	REQUIRE(!luks_header_clone(h, &c, &e));
	CHECK(c->raw != h->raw && c->keyslots[0].raw != h->keyslots[0].raw);
	c->n_keyslots = 1;
	c->digests[0].keyslots = 1;
	c->n_digests = 1;
	c->n_tokens = 0;
	after = written(h);
	CHECK_STR(after, before);
	free(after);
	luks_free(h); /* the clone doesn't need it */
	after = written(c);
	CHECK(after && !strstr(after, "\"3\":{"));
	free(before);
	free(after);
	luks_free(c);
}

static void new_header_has_the_five_objects(void)
{
	struct luks_header *h = NULL;
	struct err e = { 0 };
	char *text;

	REQUIRE(!luks_header_new(&h, &e));
	h->json_bytes = 12288;
	text = written(h);
	CHECK_STR(text, "{\"keyslots\":{},\"tokens\":{},\"segments\":{},\"digests\":{},"
			"\"config\":{\"json_size\":\"12288\",\"keyslots_size\":\"0\"}}");
	free(text);
	luks_free(h);
}

/* The dump, against the real one. */
static void check_dump(const char *base)
{
	char path[] = "/tmp/test_luks_metadata.XXXXXX", cmd[256], theirs[65536];
	struct luks_header *h = load_edited(base, "");
	struct image img = { 0 };
	struct err e = { 0 };
	char *ours = NULL;
	size_t n;
	FILE *f;
	int fd = mkstemp(path);

	REQUIRE(h && fd >= 0 && edited_image(&img, base, ""));
	REQUIRE(write(fd, img.data, img.len) == (ssize_t)img.len && !ftruncate(fd, 64 << 20));
	snprintf(cmd, sizeof(cmd), "cryptsetup luksDump --dump-json-metadata %s", path);
	f = popen(cmd, "r");
	REQUIRE(f);
	n = fread(theirs, 1, sizeof(theirs) - 1, f);
	theirs[n] = '\0';
	CHECK_INT(pclose(f), 0);
	CHECK(!luks_json_text(h, &ours, &e));
	CHECK_STR(ours, theirs);
	free(ours);
	close(fd);
	unlink(path);
	luks_free(h);
	image_free(&img);
}

static void dump_equals_cryptsetups(void)
{
	if (system("command -v cryptsetup >/dev/null"))
		SKIP_TEST("no cryptsetup");
	check_dump("plain");
	check_dump("rich");
	check_dump("reencrypt");
}

int main(void)
{
	RUN(box_2_3_unchanged_headers_keep_their_bytes);
	RUN(box_2_3_unknown_members_are_kept_in_place);
	RUN(changed_value_changes_there_alone);
	RUN(flags_that_are_unknown_stay);
	RUN(box_2_6_unassigned_digests_are_pruned);
	RUN(removed_keyslot_leaves_digest_and_token);
	RUN(new_keyslot_stands_behind_the_others);
	RUN(kdf_of_another_type_takes_its_own_members);
	RUN(leftovers_of_another_kdf_are_not_written);
	RUN(box_2_4_serialisation_must_fit);
	RUN(clone_is_independent);
	RUN(new_header_has_the_five_objects);
	RUN(dump_equals_cryptsetups);
	return check_exit();
}
