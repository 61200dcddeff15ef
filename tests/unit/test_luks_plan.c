// SPDX-License-Identifier: Apache-2.0
// What of a header may be mapped, and the pin over all that decides it: on headers that cryptsetup
// made, edited and sealed again.
#include "luks_expect.h"

#define LINEAR "{\"type\":\"linear\",\"offset\":\"4194304\",\"size\":\"dynamic\"}"

static void expect_plan(const char *edits, int code, const char *sentence)
{
	struct luks_header *h = load_edited("plain", edits);
	struct luks_plan p = { .key_bytes = 77 };
	struct err e = { 0 };
	int r;

	if (!h)
		return;
	r = luks_make_plan(h, &p, &e);
	CHECK_MSG(r == code, "%s: %d (%s)", edits, r, err_text(&e));
	CHECK_MSG(strstr(err_text(&e), sentence), "%s: \"%s\" doesn't say \"%s\"", edits,
		  err_text(&e), sentence);
	CHECK_INT(p.key_bytes, r ? 77 : 64);
	luks_free(h);
}

static void one_segment_that_encrypts(void)
{
	struct luks_header *h = load_edited("plain", "");
	struct luks_plan p = { .segment = 9 };

	REQUIRE(h);
	CHECK_INT(luks_make_plan(h, &p, NULL), 0);
	CHECK_INT(p.segment, 0);
	CHECK_INT(p.digest, 0);
	CHECK_INT(p.offset_bytes, luks_data_offset(h));
	CHECK(p.dynamic && !p.size_bytes);
	CHECK_STR(p.encryption, "aes-xts-plain64");
	CHECK_INT(p.sector_size_bytes, 512);
	CHECK_INT(p.key_bytes, 64);
	luks_free(h);
}

static void plaintext_is_refused(void)
{
	expect_plan("set segments/0/size \"1048576\" ;; set segments/1 " LINEAR, -EOPNOTSUPP,
		    "segment 1: its type is linear");
	expect_plan("set segments/0 " LINEAR " ;; set digests/0/segments []", -EOPNOTSUPP,
		    "segment 0: its type is linear");
}

static void what_another_maps_differently_is_refused(void)
{
	expect_plan("set segments/0/iv_tweak \"8\"", -EOPNOTSUPP, "segment 0: iv_tweak isn't 0");
	expect_plan("set segments/0/flags [\"in-reencryption\"]", -EOPNOTSUPP, "segment 0: it has");
	expect_plan("set segments/0/flags [\"future\"]", -EOPNOTSUPP, "segment 0: it has a flag");
	expect_plan("set segments/0/size \"1048576\" ;; set segments/1 "
		    "{\"type\":\"crypt\",\"offset\":\"4194304\",\"size\":\"dynamic\",\"iv_tweak\":"
		    "\"0\",\"encryption\":\"aes-xts-plain64\",\"sector_size\":512} ;; "
		    "set digests/0/segments [\"0\",\"1\"]",
		    -EOPNOTSUPP, "segment 1: only a re-encryption");
	expect_plan("set segments/1 "
		    "{\"type\":\"crypt\",\"offset\":\"4194304\",\"size\":\"dynamic\",\"iv_tweak\":"
		    "\"0\",\"encryption\":\"serpent-xts-plain64\",\"sector_size\":512,\"flags\":"
		    "[\"backup-final\"]} ;; set digests/0/segments [\"0\",\"1\"]",
		    -EOPNOTSUPP, "segment 1: it has a flag");
	expect_plan("set digests/1 {\"type\":\"other\",\"keyslots\":[],\"segments\":[\"0\"]}",
		    -EOPNOTSUPP, "digests 0 and 1");
	expect_plan("set config/requirements {\"mandatory\":[\"future\"]}", -ETXTBSY, "future");
	expect_plan("copy 1 ;; set keyslots/0/area/offset \"0\"", -EUCLEAN, "run repair");
}

static bool pin_of(const char *edits, char ret[LUKS_PIN_CHARS])
{
	struct luks_header *h = load_edited("plain", edits);
	struct err e = { 0 };
	int r = h ? luks_pin(h, ret, &e) : -1;

	CHECK_MSG(!r, "%s: %s", edits, err_text(&e));
	luks_free(h);
	return !r;
}

static void check_pin(const char *edits, bool same)
{
	char plain[LUKS_PIN_CHARS] = "", now[LUKS_PIN_CHARS] = "";

	if (pin_of("", plain) && pin_of(edits, now))
		CHECK_MSG(!strcmp(plain, now) == same, "%s: the pin is %s", edits,
			  same ? "another one" : "the same");
	CHECK_INT(strlen(plain), LUKS_PIN_CHARS - 1);
}

/* All that decides how a volume is mapped, and nothing of its keys. */
static void the_pin_covers(void)
{
	check_pin("set segments/0/size \"1048576\"", false);
	check_pin("set segments/0/size \"1048576\" ;; set segments/1 " LINEAR, false);
	check_pin("set segments/0/offset \"1049088\"", false);
	check_pin("set segments/0/iv_tweak \"8\"", false);
	check_pin("set segments/0/sector_size 4096", false);
	check_pin("set segments/0/encryption \"aes-cbc-plain64\"", false);
	check_pin("set segments/0/flags [\"future\"]", false);
	check_pin("set segments/0/future 1", false);
	check_pin("set digests/0/iterations 1001", false);
	check_pin("set digests/1 {\"type\":\"other\",\"keyslots\":[],\"segments\":[\"0\"]}", false);
	check_pin("set config/flags [\"allow-discards\"]", false);
	check_pin("set config/requirements {\"mandatory\":[\"future\"]}", false);
	check_pin("set config/flags []", true);
	check_pin("set config/requirements {}", true);
	check_pin("set digests/1 {\"type\":\"other\",\"keyslots\":[],\"segments\":[]}", true);
	check_pin("del keyslots/0 ;; set digests/0/keyslots []", true);
	check_pin("set tokens/0 {\"type\":\"x\",\"keyslots\":[]}", true);
}

static void the_order_of_members_is_no_matter(void)
{
	check_pin("text \"type\":\"crypt\",\"offset\" => \"offset\" ;; "
		  "text \"size\":\"dynamic\" => \"type\":\"crypt\",\"size\":\"dynamic\"",
		  true);
}

int main(void)
{
	RUN(one_segment_that_encrypts);
	RUN(plaintext_is_refused);
	RUN(what_another_maps_differently_is_refused);
	RUN(the_pin_covers);
	RUN(the_order_of_members_is_no_matter);
	return check_exit();
}
