// SPDX-License-Identifier: Apache-2.0
// The boxes of the checklist's 2.3 to 2.8 and 2.11 that concern reading, one test each. The table
// of broken headers (test_luks_broken) has each field's every wrong value.
#include "luks_expect.h"

/* ---- 2.3: JSON area ---- */

static void box_2_3_brace_first_object_alone_nul_behind(void)
{
	expect_refused("plain", "text {\"keyslots\" =>  {\"keyslots\"", "begin with '{'");
	expect_refused("plain", "json [1]", "begin with '{'");
	expect_refused("plain", "text \"524288\"}} => \"524288\"}}{}", "JSON:");
	expect_refused("plain", "text \"524288\"}} => \"524288\"}} ", "end with the object");
	expect_refused("plain", "hex 16383 41", "JSON: byte 12287 of the area");
	expect_refused("plain", "fill 4096 12288", "doesn't end with NUL");
}

static void box_2_3_strict_parser_depth_32(void)
{
	expect_refused("plain", "text \"tokens\":{} => \"tokens\":{/**/}", "JSON:");
	expect_refused("plain", "text \"tokens\" => 'tokens'", "single quotes");
	expect_refused("plain", "text \"524288\"}} => \"524288\",}}", "JSON:");
	expect_refused("plain", "text \"tokens\":{} => \"tokens\":{},\"tokens\":{}",
		       "a member twice");
	/* The root is level 1, the array of 31 brackets would reach 32 and a value 33. */
	expect_loads("plain", "set x [[[[[[[[[[[[[[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]");
	expect_refused("plain",
		       "text \"tokens\":{} => \"tokens\":{},\"x\":"
		       "[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]",
		       "nesting too deep");
}

static void box_2_3_five_objects_are_mandatory(void)
{
	static const char *const names[] = { "keyslots", "tokens", "segments", "digests",
					     "config" };

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		char edit[64], sentence[64];

		snprintf(edit, sizeof(edit), "del %s", names[i]);
		snprintf(sentence, sizeof(sentence), "%s: is missing", names[i]);
		expect_refused("plain", edit, sentence);
		snprintf(edit, sizeof(edit), "set %s []", names[i]);
		snprintf(sentence, sizeof(sentence), "%s: is no object", names[i]);
		expect_refused("plain", edit, sentence);
	}
}

static void box_2_3_numbered_objects(void)
{
	expect_refused("plain", "set tokens/x {}", "tokens: \"x\" is no number");
	expect_refused("plain", "set tokens/ {}", "tokens: \"\" is no number");
	expect_refused("plain", "set tokens/32 {\"type\":\"x\",\"keyslots\":[]}", "0 ... 31");
	expect_loads("plain", "set tokens/31 {\"type\":\"x\",\"keyslots\":[]}");
	expect_refused("plain", "set keyslots/32 {}", "0 ... 31");
	expect_refused("plain", "set segments/32 {}", "0 ... 31");
	expect_refused("plain", "set digests/8 {}", "0 ... 7");
	expect_loads("plain", "set digests/7 {\"type\":\"x\",\"keyslots\":[],\"segments\":[]}");
}

static void box_2_3_uint64_strings_and_uint32_integers(void)
{
	expect_refused("plain", "set segments/0/iv_tweak \"18446744073709551616\"", "2^64-1");
	expect_loads("plain", "set segments/0/iv_tweak \"18446744073709551615\"");
	expect_refused("plain", "set segments/0/iv_tweak \"-1\"", "no unsigned decimal number");
	expect_refused("plain", "set segments/0/iv_tweak \"1 \"", "no unsigned decimal number");
	expect_refused("plain", "set keyslots/0/kdf/iterations 4294967296", "outside 0");
	expect_refused("plain", "set keyslots/0/kdf/iterations -1", "outside 0");
	expect_refused("plain", "set config/json_size \"+12288\"", "no unsigned decimal number");
	expect_refused("plain", "set config/keyslots_size \" 524288\"",
		       "no unsigned decimal number");
}

static void box_2_3_leftovers_of_another_kdf_are_repaired_in_memory(void)
{
	expect_loads("plain", "set keyslots/0/kdf/time 4 ;; set keyslots/0/kdf/memory 32 ;; "
			      "set keyslots/0/kdf/cpus 1");
	expect_loads("rich", "set keyslots/3/kdf/hash \"sha256\" ;; "
			     "set keyslots/3/kdf/iterations 1000");
}

/* ---- 2.4: config ---- */

static void box_2_4_json_size_equals_the_header_size(void)
{
	expect_refused("plain", "del config/json_size", "config: json_size: is missing");
	expect_refused("plain", "set config/json_size \"28672\"",
		       "28672 is not the header's 12288");
	expect_refused("plain", "be64 8 32768", "");
}

static void box_2_4_keyslots_size(void)
{
	expect_refused("plain", "del config/keyslots_size", "config: keyslots_size: is missing");
	expect_refused("plain", "set config/keyslots_size \"524800\"", "multiple of 4096");
	expect_refused("plain",
		       "set config/keyslots_size \"134221824\" ;; set segments/0/offset "
		       "\"268435456\" ;; device 1073741824",
		       "over the limit of 134217728");
	expect_loads("plain", "set config/keyslots_size \"0\" ;; del keyslots/0 ;; "
			      "set digests/0/keyslots []");
}

static void box_2_4_lowest_segment_behind_the_keyslots_area(void)
{
	expect_refused("plain", "set segments/0/offset \"556544\"",
		       "segment 0: offset: 556544 is inside header or keyslots area");
	expect_loads("plain", "set segments/0/offset \"557056\"");
	expect_loads("plain", "set segments/0/offset \"0\""); /* detached */
}

static void box_2_4_flags_and_requirements_are_lists_of_strings(void)
{
	struct luks_header *h = load_edited(
		"plain", "set config/flags [\"allow-discards\",\"from-the-future\","
			 "\"same-cpu-crypt\",\"submit-from-crypt-cpus\",\"no-journal\","
			 "\"no-read-workqueue\",\"no-write-workqueue\",\"high_priority\"]");

	REQUIRE(h);
	CHECK_INT(h->flags, 0x7f);
	luks_free(h);
	CHECK_STR(luks_flag_name(LUKS_FLAG_HIGH_PRIORITY), "high_priority");
	CHECK_STR(luks_flag_name(LUKS_FLAG_ALLOW_DISCARDS), "allow-discards");
	CHECK(!luks_flag_name(1u << 20));
	expect_refused("plain", "set config/flags [1]", "config: flags: element 0 is no string");
	expect_refused("plain", "set config/flags {}", "config: flags: is of type object");
	expect_refused("plain", "set config/requirements []", "config: requirements:");
	expect_refused("plain", "set config/requirements {\"mandatory\":[1]}",
		       "config: requirements.mandatory: element 0");
}

static void box_2_4_requirements(void)
{
	expect_unusable("plain", "set config/requirements {\"mandatory\":[\"future\"]}", -ETXTBSY,
			"requirement \"future\"");
	expect_unusable("plain", "set config/requirements {\"mandatory\":[\"opal\",\"x\"]}",
			-ETXTBSY, "requirement \"x\"");
	expect_unusable("plain", "set config/requirements {\"mandatory\":[\"offline-reencrypt\"]}",
			-EOPNOTSUPP, "offline-reencrypt");
	expect_unusable("plain", "set config/requirements {\"mandatory\":[\"inline-hw-tags\"]}",
			-EOPNOTSUPP, "inline-hw-tags");
	expect_unusable("plain", "set config/requirements {\"mandatory\":[\"opal\"]}", -EOPNOTSUPP,
			"opal");
	expect_refused("reencrypt",
		       "set config/requirements/mandatory "
		       "[\"online-reencrypt\",\"online-reencrypt-v3\"]",
		       "more than one online-reencrypt");
	expect_unusable("reencrypt", "set config/requirements/mandatory [\"online-reencrypt-v3\"]",
			-EOPNOTSUPP, "re-encryption is in flight");
}

/* ---- 2.5: keyslots ---- */

static void box_2_5_area_of_any_type(void)
{
	expect_refused("plain", "set keyslots/0/area/offset \"4096\"",
		       "keyslot 0: area.offset: 4096 is inside the header");
	expect_refused("plain", "set keyslots/0/area/size \"0\"", "keyslot 0: area.size: is 0");
	expect_refused("plain", "set keyslots/0/area/offset \"18446744073709326336\"",
		       "keyslot 0: area.size:");
	expect_refused("plain", "set keyslots/0/area/size \"524800\"", "beyond the keyslots area");
	expect_loads("plain", "set keyslots/0/area/size \"524288\"");
	expect_refused("rich", "set keyslots/3/area/offset \"290304\"",
		       "keyslot 3: area.offset: overlaps the area of keyslot 0");
	expect_refused("plain",
		       "set keyslots/1 {\"type\":\"x\",\"key_size\":1,\"area\":{\"type\":\"x\","
		       "\"offset\":\"36864\",\"size\":\"4096\"}}",
		       "keyslot 1: area.offset: overlaps the area of keyslot 0");
}

static void box_2_5_priority(void)
{
	struct luks_header *h = load_edited("rich", "");

	REQUIRE(h);
	CHECK(luks_find_keyslot(h, 3)->priority_set);
	CHECK_INT(luks_find_keyslot(h, 3)->priority, LUKS_PRIORITY_PREFER);
	CHECK(!luks_find_keyslot(h, 0)->priority_set);
	CHECK_INT(luks_find_keyslot(h, 0)->priority, LUKS_PRIORITY_NORMAL);
	luks_free(h);
	expect_refused("plain", "set keyslots/0/priority 3", "none of 0, 1, 2");
	expect_refused("plain", "set keyslots/0/priority \"1\"", "keyslot 0: priority:");
}

static void box_2_5_kdf_af_area_present(void)
{
	expect_refused("plain", "del keyslots/0/kdf", "keyslot 0: kdf: is missing");
	expect_refused("plain", "del keyslots/0/af", "keyslot 0: af: is missing");
	expect_refused("plain", "del keyslots/0/area", "keyslot 0: area: is missing");
}

static void box_2_5_kdf_members(void)
{
	expect_refused("plain", "del keyslots/0/kdf/salt", "keyslot 0: kdf.salt: is missing");
	expect_refused("plain", "del keyslots/0/kdf/hash", "keyslot 0: kdf.hash: is missing");
	expect_refused("plain", "del keyslots/0/kdf/iterations", "kdf.iterations: is missing");
	expect_refused("rich", "del keyslots/3/kdf/time", "keyslot 3: kdf.time: is missing");
	expect_refused("rich", "del keyslots/3/kdf/memory", "keyslot 3: kdf.memory: is missing");
	expect_refused("rich", "del keyslots/3/kdf/cpus", "keyslot 3: kdf.cpus: is missing");
	expect_loads("rich", "set keyslots/3/kdf/type \"argon2i\"");
}

static void box_2_5_unknown_kdf_and_wrong_salt_load_but_never_open(void)
{
	struct luks_header *h = load_edited("plain", "set keyslots/0/kdf/type \"scrypt\"");

	REQUIRE(h);
	CHECK_INT(h->keyslots[0].kdf.type, 0);
	CHECK_STR(h->keyslots[0].kdf_name, "scrypt");
	luks_free(h);
	h = load_edited("plain", "set keyslots/0/kdf/salt \"AAAA\"");
	REQUIRE(h);
	CHECK_INT(h->keyslots[0].salt_len, 0);
	luks_free(h);
}

static void box_2_5_af_luks1_with_4000_stripes(void)
{
	expect_refused("plain", "set keyslots/0/af/type \"luks2\"", "af.type: \"luks2\"");
	expect_refused("plain", "del keyslots/0/af/hash", "af.hash: is missing");
	expect_refused("plain", "set keyslots/0/af/stripes 3999", "af.stripes: 3999 is not 4000");
	expect_refused("plain", "del keyslots/0/af/stripes", "af.stripes: is missing");
}

static void box_2_5_area_raw(void)
{
	expect_refused("plain", "set keyslots/0/area/type \"none\"", "\"none\" is not \"raw\"");
	expect_refused("plain", "del keyslots/0/area/encryption", "area.encryption: is missing");
	expect_refused("plain", "del keyslots/0/area/key_size", "area.key_size: is missing");
	expect_refused("plain", "set keyslots/0/area/offset 32768", "is of type int");
	expect_refused("plain", "set keyslots/0/area/size 258048", "is of type int");
}

static void box_2_5_exactly_one_digest_lists_the_slot(void)
{
	expect_refused("plain", "set digests/0/keyslots []", "0 digests list it");
	expect_refused("rich", "set digests/1/keyslots [\"5\",\"0\"]", "2 digests list it");
}

static void box_2_5_reencrypt_keyslot(void)
{
	expect_unusable("reencrypt", "", -EOPNOTSUPP, "re-encryption is in flight");
	expect_refused("reencrypt", "set keyslots/2/key_size 2", "keyslot 2: key_size: 2 is not 1");
	expect_refused("reencrypt", "set keyslots/2/mode \"x\"", "keyslot 2: mode:");
	expect_refused("reencrypt", "set keyslots/2/direction \"x\"", "keyslot 2: direction:");
	expect_refused("reencrypt", "set keyslots/2/area/type \"x\"", "keyslot 2: area.type:");
	expect_refused("reencrypt", "del keyslots/2/area/hash", "keyslot 2: area.hash:");
	expect_refused("reencrypt", "set keyslots/2/area/sector_size 768", "no power of 2");
	expect_refused("reencrypt", "set keyslots/2/area/type \"datashift\"",
		       "keyslot 2: area.shift_size: is missing");
	expect_refused("reencrypt", "del config/requirements", "needs a requirement");
	expect_refused("reencrypt", "del keyslots/2 ;; set digests/2/keyslots []",
		       "needs a keyslot of type reencrypt");
}

static void box_2_5_unknown_keyslot_type_is_kept_without_digest(void)
{
	struct luks_header *h = load_edited(
		"plain", "set keyslots/1 {\"type\":\"x\",\"key_size\":1,\"area\":{\"type\":\"y\","
			 "\"offset\":\"290816\",\"size\":\"4096\"},\"z\":[1]}");

	REQUIRE(h);
	REQUIRE(luks_find_keyslot(h, 1));
	CHECK_INT(luks_find_keyslot(h, 1)->type, LUKS_KEYSLOT_UNKNOWN);
	CHECK_STR(luks_find_keyslot(h, 1)->type_name, "x");
	CHECK(!luks_find_keyslot(h, 2));
	luks_free(h);
}

/* ---- 2.6: digests ---- */

static void box_2_6_digest_references(void)
{
	expect_refused("plain", "del digests/0/type", "digest 0: type: is missing");
	expect_refused("plain", "del digests/0/keyslots", "digest 0: keyslots: is missing");
	expect_refused("plain", "del digests/0/segments", "digest 0: segments: is missing");
	expect_refused("plain", "set digests/0/keyslots [\"0\",\"9\"]", "keyslot 9 doesn't exist");
	expect_refused("plain", "set digests/0/segments [\"3\"]", "segment 3 doesn't exist");
	expect_refused("plain", "set digests/0/keyslots [0]", "element 0 is no string");
}

static void box_2_6_digest_value_is_checked_on_use(void)
{
	struct luks_header *h = load_edited("plain", "");

	REQUIRE(h);
	CHECK_INT(h->digests[0].digest_len, 32);
	CHECK_INT(h->digests[0].salt_len, 32);
	CHECK_INT(h->digests[0].iterations, 1000);
	CHECK_STR(h->digests[0].hash, "sha256");
	luks_free(h);
	expect_loads("plain", "set digests/0/type \"unknown\"");
}

/* ---- 2.7: segments ---- */

static void box_2_7_numbers_from_0_regular_first(void)
{
	expect_refused("plain", "del segments/0 ;; set digests/0/segments []", "there is none");
	expect_refused("plain",
		       "set segments/0/size \"512\" ;; set segments/2 {\"type\":\"linear\","
		       "\"offset\":\"4194304\",\"size\":\"dynamic\"}",
		       "number 1 is missing");
	expect_refused("plain", "set segments/0/flags [\"backup-final\"]", "behind all others");
	expect_refused("reencrypt", "set segments/1/flags []", "");
	expect_loads("plain", "set segments/1 {\"type\":\"linear\",\"offset\":\"0\",\"size\":"
			      "\"512\",\"flags\":[\"backup-x\"]}");
}

static void box_2_7_type_offset_size(void)
{
	expect_refused("plain", "del segments/0/type", "segment 0: type: is missing");
	expect_refused("plain", "set segments/0/offset \"1048577\"", "no multiple of 512");
	expect_refused("plain", "set segments/0/size \"0\"", "no multiple of 512 above 0");
	expect_refused("plain", "set segments/0/size \"1000\"", "no multiple of 512 above 0");
	expect_refused("plain",
		       "set segments/1 {\"type\":\"linear\",\"offset\":\"4194304\","
		       "\"size\":\"512\"}",
		       "only the last segment's may be dynamic");
	expect_refused("plain",
		       "set segments/0/size \"1048576\" ;; set segments/1 {\"type\":\"linear\","
		       "\"offset\":\"2096640\",\"size\":\"dynamic\"}",
		       "segment 1: offset: overlaps segment 0");
}

static void box_2_7_flags(void)
{
	expect_refused("plain", "set segments/0/flags \"x\"", "segment 0: flags:");
	expect_refused("plain", "set segments/0/flags [1]", "segment 0: flags: element 0");
	expect_loads("plain", "set segments/0/flags [\"anything\"]");
}

static void box_2_7_crypt(void)
{
	expect_refused("plain", "set segments/0/iv_tweak \"x\"", "segment 0: iv_tweak:");
	expect_refused("plain", "set segments/0/encryption \"\"",
		       "segment 0: encryption: is empty");
	expect_refused("plain", "set segments/0/sector_size 0", "segment 0: sector_size:");
	expect_refused("plain", "set segments/0/sector_size 513", "segment 0: sector_size:");
	expect_refused("rich", "set segments/0/size \"1049088\"",
		       "no multiple of the sector size 4096");
	expect_refused("plain", "set digests/0/segments []",
		       "segment 0: digest: no digest lists it");
}

static void box_2_7_integrity(void)
{
	static const char all[] = "set segments/0/integrity {\"type\":\"hmac(sha256)\","
				  "\"journal_encryption\":\"none\",\"journal_integrity\":\"none\","
				  "\"key_size\":32}";
	struct luks_header *h = load_edited("plain", all);

	REQUIRE(h);
	CHECK(h->segments[0].integrity);
	CHECK_STR(h->segments[0].integrity_type, "hmac(sha256)");
	CHECK_INT(h->segments[0].integrity_key_bytes, 32);
	luks_free(h);
	expect_unusable("plain", all, -EOPNOTSUPP, "integrity protection (hmac(sha256))");
	expect_refused("plain", "set segments/0/integrity {}", "integrity.type: is missing");
	expect_refused("plain", "set segments/0/integrity 1", "segment 0: integrity:");
}

static void box_2_7_linear_and_unknown(void)
{
	expect_loads("plain", "set segments/0 {\"type\":\"linear\",\"offset\":\"1048576\","
			      "\"size\":\"dynamic\"} ;; set digests/0/segments []");
	expect_unusable("plain", "set segments/0/type \"future\"", -EOPNOTSUPP, "\"future\"");
}

static void box_2_7_opal(void)
{
#define OPAL "\"offset\":\"1048576\",\"size\":\"1048576\",\"opal_segment_number\":1,"
	static const char requirement[] = "set config/requirements {\"mandatory\":[\"opal\"]}";
	char edit[512];

	snprintf(edit, sizeof(edit),
		 "set segments/0 {\"type\":\"hw-opal\"," OPAL "\"opal_key_size\":32,"
		 "\"opal_segment_size\":\"1048576\"} ;; %s",
		 requirement);
	expect_unusable("plain", edit, -EOPNOTSUPP, "OPAL");
	expect_refused("plain",
		       "set segments/0 {\"type\":\"hw-opal\"," OPAL "\"opal_key_size\":32,"
		       "\"opal_segment_size\":\"512\"}",
		       "opal_segment_size: 512 is less");
	expect_refused("plain",
		       "set segments/0 {\"type\":\"hw-opal\"," OPAL "\"opal_key_size\":32,"
		       "\"opal_segment_size\":\"1048576\"}",
		       "needs the requirement opal");
	expect_refused("plain",
		       "set segments/0 {\"type\":\"hw-opal-crypt\"," OPAL "\"opal_key_size\":32,"
		       "\"opal_segment_size\":\"1048576\"}",
		       "segment 0: iv_tweak: is missing");
}

static void box_2_7_online_reencryption_backups(void)
{
	expect_refused("reencrypt", "set segments/2/flags [\"backup-x\"]", "backup-final");
	expect_refused("reencrypt", "set segments/1/flags [\"backup-x\"]", "backup-previous");
	expect_refused("reencrypt", "set segments/0/encryption \"serpent-xts-plain64\"",
		       "neither that of backup-previous nor of backup-final");
	expect_loads("reencrypt", "set segments/2/encryption \"serpent-xts-plain64\"");
	expect_refused("reencrypt",
		       "set segments/2/encryption \"serpent-xts-plain64\" ;; "
		       "set segments/0/flags [\"in-reencryption\"]",
		       "is not that of backup-final");
}

static void box_2_7_default_segment(void)
{
	struct luks_header *h = load_edited("reencrypt", "");

	REQUIRE(h);
	CHECK_INT(luks_default_segment(h)->id, 2);
	CHECK_INT(luks_segment_digest(h, 2)->id, 1);
	luks_free(h);
	h = load_edited("rich", "");
	REQUIRE(h);
	CHECK_INT(luks_default_segment(h)->id, 0);
	CHECK_INT(luks_segment_digest(h, 0)->id, 0);
	CHECK(!luks_segment_digest(h, 1));
	CHECK(!luks_segment_digest(h, LUKS_ANY));
	CHECK_INT(luks_volume_key_bytes(h), 64);
	CHECK_INT(luks_data_offset(h), 2097152);
	luks_free(h);
}

/* ---- 2.8: tokens ---- */

static void box_2_8_tokens(void)
{
	struct luks_header *h = load_edited("rich", "");

	REQUIRE(h);
	CHECK_INT(h->n_tokens, 2);
	CHECK_STR(luks_find_token(h, 0)->type_name, "luks2-keyring");
	CHECK_INT(luks_find_token(h, 0)->keyslots, 1u << 3);
	CHECK_STR(luks_find_token(h, 4)->type_name, "somebody-elses");
	luks_free(h);
	expect_refused("rich", "del tokens/4/type", "token 4: type: is missing");
	expect_refused("rich", "del tokens/4/keyslots", "token 4: keyslots: is missing");
	expect_refused("rich", "set tokens/4/keyslots [\"1\"]", "keyslot 1 doesn't exist");
	/* An odd one of the built-in type is of no use; cryptsetup opens the volume all the same. */
	expect_loads("rich", "set tokens/0/x 1");
	expect_loads("rich", "set tokens/0/key_description \"\"");
	expect_loads("rich", "set tokens/0/key_description \"Schl\xc3\xbcssel\"");
	expect_loads("rich", "set tokens/4/type \"luks2-from-the-future\"");
}

/* ---- 2.11: stricter or safer ---- */

static void box_2_11_digest_that_cannot_be_used_fails_closed(void)
{
	/* edit, what the error names */
	static const char *const edits[][2] = {
		{ "set digests/0/digest \"AAAA\"", "digest 0: digest: has 3 bytes" },
		{ "set digests/0/digest \"\"", "digest 0: digest: has 0 bytes" },
		{ "set digests/0/digest \"no base64\"", "digest 0: digest: is missing" },
		{ "del digests/0/digest", "digest 0: digest: is missing" },
		{ "set digests/0/salt \"AAAA\"", "digest 0: salt: has 3 bytes" },
		{ "set digests/0/salt 1", "digest 0: salt: is missing" },
		{ "del digests/0/salt", "digest 0: salt: is missing" },
		{ "del digests/0/hash", "digest 0: hash: is missing" },
		{ "set digests/0/hash 1", "digest 0: hash: is missing" },
		{ "set digests/0/hash \"nohash\"", "digest 0: hash: " },
		{ "del digests/0/iterations", "digest 0: iterations: is missing" },
		{ "set digests/0/iterations 0", "digest 0: iterations: 0 are out of bounds" },
		{ "set digests/0/iterations \"1000\"", "digest 0: iterations: is missing" },
		{ "set digests/0/type \"other\"", "digest 0: type \"other\"" },
		/* 65 bytes */
		{ "set digests/0/digest "
		  "\"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
		  "AAAAAAAAAAAAAAAAAAAAAAAAAAA=\"",
		  "digest 0: digest: is missing" },
		/* 19 bytes */
		{ "set digests/0/digest \"AAAAAAAAAAAAAAAAAAAAAAAAAA==\"",
		  "digest 0: digest: has 19 bytes" },
	};
	_cleanup_secret_ struct secret *key = NULL;

	REQUIRE(!secret_random(64, &key, NULL));
	for (size_t i = 0; i < ARRAY_SIZE(edits); i++) {
		struct luks_header *h = load_edited("plain", edits[i][0]);
		struct err e = { 0 };
		int digest = 55;

		REQUIRE(h);
		CHECK(luks_verify_key(h, key, LUKS_ANY, &digest, &e) != -EPERM);
		CHECK_CONTAINS(e.text, edits[i][1]);
		CHECK_INT(digest, 55);
		luks_free(h);
	}
}

static void box_2_11_what_can_be_read_of_a_digest_is_there(void)
{
	static const char *const edits[] = { "del digests/0/hash", "del digests/0/iterations",
					     "del digests/0/salt", "del digests/0/digest" };

	for (size_t i = 0; i < ARRAY_SIZE(edits); i++) {
		struct luks_header *h = load_edited("plain", edits[i]);

		REQUIRE(h);
		CHECK_STR(h->digests[0].hash, i == 0 ? "" : "sha256");
		CHECK_INT(h->digests[0].iterations, i == 1 ? 0 : 1000);
		CHECK_INT(h->digests[0].salt_len, i == 2 ? 0 : 32);
		CHECK_INT(h->digests[0].digest_len, i == 3 ? 0 : 32);
		luks_free(h);
	}
}

static void box_2_11_limits_name_object_and_limit(void)
{
	expect_refused("plain", "set keyslots/0/key_size 513",
		       "keyslot 0: key_size: 513 is over the limit of 512");
	expect_refused("plain", "set keyslots/0/area/key_size 513",
		       "keyslot 0: area.key_size: 513 is over the limit of 512");
	expect_refused("plain", "set keyslots/0/kdf/iterations 1000000001",
		       "keyslot 0: kdf.iterations: 1000000001 is over the limit of 1000000000");
	expect_refused("rich", "set keyslots/3/kdf/memory 4194305",
		       "keyslot 3: kdf.memory: 4194305 is over the limit of 4194304");
	expect_refused("rich", "set keyslots/3/kdf/time 100001", "over the limit of 100000");
	expect_refused("rich", "set keyslots/3/kdf/cpus 65", "over the limit of 64");
	expect_refused("plain", "set digests/0/iterations 1000000001",
		       "digest 0: iterations: 1000000001 is over the limit of 1000000000");
}

static void box_2_11_material_in_its_area_stripes_sector_sizes_cipher(void)
{
	expect_refused("plain", "set keyslots/0/area/size \"255488\"",
		       "255488 is less than the 256000 that its key takes");
	expect_loads("plain", "set keyslots/0/area/size \"256000\"");
	expect_refused("plain", "set keyslots/0/af/stripes 4001", "4001 is not 4000");
	expect_refused("plain", "set segments/0/sector_size 1536", "1536 is none of");
	expect_refused("plain", "set segments/0/sector_size 8192", "8192 is none of");
	expect_loads("plain", "set segments/0/sector_size 1024");
	expect_loads("plain", "set segments/0/sector_size 2048");
	expect_refused("plain", "set segments/0/encryption \"a b\"", "no cipher specification");
	expect_refused("plain", "set keyslots/0/area/encryption \"a b\"",
		       "no cipher specification");
	/* A cipher that isn't allowed loads, for the dump. */
	expect_loads("plain", "set segments/0/encryption \"rot13-ecb-null\"");
	expect_loads("plain", "set segments/0/encryption \"cipher_null-ecb\"");
}

int main(void)
{
	RUN(box_2_3_brace_first_object_alone_nul_behind);
	RUN(box_2_3_strict_parser_depth_32);
	RUN(box_2_3_five_objects_are_mandatory);
	RUN(box_2_3_numbered_objects);
	RUN(box_2_3_uint64_strings_and_uint32_integers);
	RUN(box_2_3_leftovers_of_another_kdf_are_repaired_in_memory);
	RUN(box_2_4_json_size_equals_the_header_size);
	RUN(box_2_4_keyslots_size);
	RUN(box_2_4_lowest_segment_behind_the_keyslots_area);
	RUN(box_2_4_flags_and_requirements_are_lists_of_strings);
	RUN(box_2_4_requirements);
	RUN(box_2_5_area_of_any_type);
	RUN(box_2_5_priority);
	RUN(box_2_5_kdf_af_area_present);
	RUN(box_2_5_kdf_members);
	RUN(box_2_5_unknown_kdf_and_wrong_salt_load_but_never_open);
	RUN(box_2_5_af_luks1_with_4000_stripes);
	RUN(box_2_5_area_raw);
	RUN(box_2_5_exactly_one_digest_lists_the_slot);
	RUN(box_2_5_reencrypt_keyslot);
	RUN(box_2_5_unknown_keyslot_type_is_kept_without_digest);
	RUN(box_2_6_digest_references);
	RUN(box_2_6_digest_value_is_checked_on_use);
	RUN(box_2_7_numbers_from_0_regular_first);
	RUN(box_2_7_type_offset_size);
	RUN(box_2_7_flags);
	RUN(box_2_7_crypt);
	RUN(box_2_7_integrity);
	RUN(box_2_7_linear_and_unknown);
	RUN(box_2_7_opal);
	RUN(box_2_7_online_reencryption_backups);
	RUN(box_2_7_default_segment);
	RUN(box_2_8_tokens);
	RUN(box_2_11_digest_that_cannot_be_used_fails_closed);
	RUN(box_2_11_what_can_be_read_of_a_digest_is_there);
	RUN(box_2_11_limits_name_object_and_limit);
	RUN(box_2_11_material_in_its_area_stripes_sector_sizes_cipher);
	return check_exit();
}
