// SPDX-License-Identifier: Apache-2.0
// crashcheck [-1] [-o N] CONTRACT <STREAM: does every state that a power cut can leave keep what
// docs/FORMAT.md "Order of writes" promises for this writer? -1: the old header is LUKS1. -o N: ask
// cryptsetup about N header states too. -f N: where a keyslot that isn't listed any more has left
// material, let N states have another verb of keyslots follow, which has to remove it. The image's
// passphrases are those of pass_text.
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "../lab/states.h"
#include "judge.h"

#define BAD_PRINTED 3
#define LUKS1_HEADER_BYTES 592

struct trial {
	struct judge *j;
	uint8_t *first; /* the state before the writer began */
	uint64_t bytes;
	const struct judge_header *first_header;
	bool first_opens[PASSES];
	bool luks1;
	uint8_t *after; /* what another verb has made of a state */
	unsigned int follow_left, followed;
	/* the state in question */
	const uint8_t *image;
	const struct judge_header *h;
};

static bool opens(const struct trial *t, enum pass p)
{
	return judge_opens(t->j, t->h, t->image, p);
}

/* Did the old LUKS1 header stay whole? Its header and key material are as they were. */
static bool luks1_whole(const struct trial *t)
{
	uint32_t payload;

	memcpy(&payload, t->first + 104, sizeof(payload)); /* payload-offset, big endian */
	payload = __builtin_bswap32(payload);
	if (payload > t->bytes / 512)
		payload = (uint32_t)(t->bytes / 512);
	return !memcmp(t->image, t->first, LUKS1_HEADER_BYTES) &&
	       !memcmp(t->image + 4096, t->first + 4096, payload * 512ull - 4096);
}

static const char *check_format(const struct trial *t)
{
	if (!t->h->recognised || opens(t, PASS_NEW))
		return NULL;
	if (t->luks1 ? luks1_whole(t) : opens(t, PASS_OLD))
		return NULL;
	return "a header is recognised, neither the old nor the new passphrase opens";
}

static const char *check_format_blank(const struct trial *t)
{
	if (!t->h->recognised && !t->h->any)
		return NULL;
	return opens(t, PASS_NEW) ? NULL : "not blank, and the new passphrase doesn't open";
}

/* What opened before opens still. */
static const char *check_same(const struct trial *t)
{
	for (int p = 0; p < PASSES; p++)
		if (t->first_opens[p] && !opens(t, (enum pass)p))
			return "a passphrase that opened before doesn't open now";
	return NULL;
}

static const char *check_add(const struct trial *t)
{
	const char *bad = check_same(t);

	if (bad)
		return bad;
	if (t->h->n_slots > t->first_header->n_slots && !opens(t, PASS_NEW))
		return "the new keyslot is listed and doesn't open";
	return NULL;
}

static const char *check_change(const struct trial *t)
{
	if (!opens(t, PASS_KEEP))
		return "another keyslot is lost";
	if (!opens(t, PASS_OLD) && !opens(t, PASS_NEW))
		return "neither the old nor the new passphrase opens";
	return NULL;
}

static const char *check_change_forced(const struct trial *t)
{
	return opens(t, PASS_KEEP) ? NULL : "another keyslot is lost";
}

static bool listed(const struct judge_header *h, const struct judge_slot *s)
{
	for (size_t i = 0; i < h->n_slots; i++)
		if (h->slots[i].offset == s->offset)
			return true;
	return false;
}

static bool material_touched(const struct trial *t, const struct judge_slot *s)
{
	return memcmp(t->image + s->offset, t->first + s->offset, s->len) != 0;
}

/* Is nothing left of the key material, in no sector? */
static bool material_gone(const struct trial *t, const struct judge_slot *s)
{
	for (uint64_t at = 0; at < s->len; at += 512) {
		size_t n = s->len - at < 512 ? (size_t)(s->len - at) : 512;

		if (!memcmp(t->image + s->offset + at, t->first + s->offset + at, n))
			return false;
	}
	return true;
}

/* No keyslot leaves the metadata before its material is gone from the medium. */
static const char *check_wiped(const struct trial *t)
{
	for (size_t i = 0; i < t->first_header->n_slots; i++) {
		const struct judge_slot *s = &t->first_header->slots[i];

		if (t->h->loads && !listed(t->h, s) && !material_gone(t, s))
			return "a keyslot is gone from the metadata, its material is not wiped";
	}
	return NULL;
}

static const char *check_kill(const struct trial *t)
{
	bool begun = memcmp(t->image, t->first, 2 * t->first_header->header_bytes) != 0;

	if (!opens(t, PASS_KEEP))
		return "another keyslot is lost";
	for (size_t i = 0; i < t->first_header->n_slots; i++)
		begun |= material_touched(t, &t->first_header->slots[i]);
	if (begun && opens(t, PASS_REVOKED))
		return "the kill has begun and the revoked passphrase opens";
	return check_wiped(t);
}

/* "same" is for changes of metadata alone, and for recovery. */
static const struct {
	const char *name;
	const char *(*check)(const struct trial *t);
} contracts[] = {
	{ "format", check_format }, { "format-blank", check_format_blank },
	{ "add", check_add },	    { "change", check_change },
	{ "kill", check_kill },	    { "change-forced", check_change_forced },
	{ "erase", check_wiped },   { "same", check_same },
};

static const char *(*find_contract(const char *name))(const struct trial *t)
{
	for (size_t i = 0; i < sizeof(contracts) / sizeof(contracts[0]); i++)
		if (!strcmp(contracts[i].name, name))
			return contracts[i].check;
	fprintf(stderr, "crashcheck: no contract \"%s\"\n", name);
	exit(2);
}

static void take_first(struct trial *t, const struct states *s)
{
	t->bytes = s->size;
	t->first = malloc(s->size);
	t->after = malloc(s->size);
	if (!t->first || !t->after)
		exit(2);
	memcpy(t->first, s->base, s->size);
	t->first_header = judge_header(t->j, t->first);
	for (int p = 0; p < PASSES; p++)
		t->first_opens[p] = judge_opens(t->j, t->first_header, t->first, (enum pass)p);
}

static bool material_left(const struct trial *t)
{
	for (size_t i = 0; i < t->first_header->n_slots; i++)
		if (!listed(t->h, &t->first_header->slots[i]) &&
		    !material_gone(t, &t->first_header->slots[i]))
			return true;
	return false;
}

/* The state is a cut writer's; the next one has to clean up behind it, and do its own work. */
static const char *check_follow(struct trial *t)
{
	static const enum pass has_to_open[FOLLOW_VERBS] = { PASS_KEEP, PASS_KEEP, PASS_REVOKED };
	const unsigned int verb = t->followed % FOLLOW_VERBS;

	if (!t->follow_left || !t->h->loads || !material_left(t))
		return NULL;
	t->follow_left--;
	t->followed++;
	judge_follow(t->j, t->image, verb, t->after);
	t->image = t->after;
	t->h = judge_header(t->j, t->after);
	if (!opens(t, has_to_open[verb]))
		return "the verb that came next has lost a keyslot";
	return material_left(t) ? "the verb that came next has left old key material" : NULL;
}

static const char *judge_state(struct trial *t, const uint8_t *image,
			       const char *(*check)(const struct trial *t))
{
	const char *bad;

	t->image = image;
	t->h = judge_header(t->j, image);
	bad = check(t);
	if (!bad && !t->h->recovers)
		bad = "a reader that recovers finds something else";
	if (!bad && !t->luks1 && !judge_oracle(t->j, t->h, image))
		bad = "cryptsetup finds something else";
	return bad ?: check_follow(t);
}

int main(int argc, char **argv)
{
	const char *(*check)(const struct trial *t);
	unsigned long long n = 0, n_bad = 0;
	struct trial t = { 0 };
	unsigned int oracle = 0;
	bool follow;
	struct states s;
	int opt;

	while ((opt = getopt(argc, argv, "1o:f:")) != -1) {
		if (opt == '1')
			t.luks1 = true;
		else if (opt == 'o')
			oracle = (unsigned int)strtoul(optarg, NULL, 10);
		else if (opt == 'f')
			t.follow_left = (unsigned int)strtoul(optarg, NULL, 10);
		else
			return 2;
	}
	if (argc - optind != 1)
		return 2;
	check = find_contract(argv[optind]);
	follow = t.follow_left > 0;
	states_start(&s, stdin);
	t.j = judge_new(s.size, oracle);
	while (states_next(&s)) {
		const char *bad;

		if (n++ == 0)
			take_first(&t, &s);
		bad = judge_state(&t, s.image, check);
		if (bad && n_bad++ < BAD_PRINTED)
			fprintf(stderr, "crashcheck: %s: %s\n", s.label, bad);
	}
	printf("%llu enumerated + %llu sampled states, %llu bad, %u asked of cryptsetup",
	       s.exhaustive, s.sampled, n_bad, judge_oracle_asked(t.j));
	if (t.followed)
		printf(", %u with old material cleaned up by the next verb", t.followed);
	putchar('\n');
	/* That none was left shows nothing. */
	if (follow && !t.followed)
		n_bad++;
	free(t.first);
	free(t.after);
	states_free(&s);
	judge_free(t.j);
	return n == 0 ? 2 : n_bad ? 1 : 0;
}
