// SPDX-License-Identifier: Apache-2.0
// The rooms below volume, faked: each call is a line of the trace, can be made to fail, and what is
// taken must be given back last in first out.
#pragma once

#include <stdarg.h>

#include <cryptvol/base.h>
#include <cryptvol/fs.h>

#include "volume/internal.h"
#include "check.h"

#define UUID "11111111-2222-3333-4444-555555555555"
#define UUID_HEX "11111111222233334444555555555555"
#define INSTANCE \
	"CRYPT-LUKS2-" UUID_HEX "-vol 42" /* the mapping, by dm UUID and disk sequence number */
#define KEY_BYTES 64u
#define MIB (1024ull * 1024)
#define FAIL_ERRNO (-EUCLEAN) /* what an injected failure gives: no code of ours makes it here */

static struct {
	/* the world */
	struct luks_header header; /* what luks_load gives */
	struct dm_mapping live;	   /* name "" = no mapping */
	struct dm_target live_targets[4];
	size_t live_n;
	struct secret *live_hex; /* moved out */
	uint64_t device_bytes;
	uint32_t supported, alignment_bytes, alignment_offset_bytes, physical_sector_bytes;
	bool changed_when_mapped; /* the header, by someone else */
	bool device_readonly, device_file, keyring, kept_ring, blank, path_gone;
	unsigned int holders;
	const char *passphrase; /* that opens slot 0; "other" opens slot 1 */
	struct fs_signatures found;
	/* what was asked */
	char trace[4096];
	struct dm_table loaded; /* of the last create or reload; targets in loaded_targets */
	struct dm_target loaded_targets[4];
	char loaded_uuid[256], kept_for[256];
	bool loaded_hex, reload_key_reachable;
	uint32_t device_flags, flags_set, block_flags[4];
	struct luks_format format;
	int killed, unlocked_slots;
	char warned[1024];
	/* failures */
	int steps, fail_at, closed_fd;
	char failed[64];
	/* what is held */
	char held[16][64];
	size_t n_held;
	bool header_handed_on; /* the verb gives the header to its caller */
	bool passed_over;      /* something was given back while a mapping taken later stayed */
} fake;

static void hold(const char *what)
{
	snprintf(fake.held[fake.n_held++], sizeof(fake.held[0]), "%s", what);
}

/* What stays after a success: only a failure has to undo it, and in its turn. */
static bool may_stay(const char *what)
{
	return !strcmp(what, "mapping") || !strcmp(what, "ring") ||
	       (fake.header_handed_on && !strcmp(what, "header"));
}

/* The last one taken, or it is out of order. The key goes as soon as the table is loaded: the
 * mapping has a copy of its own. */
static void release(const char *what)
{
	size_t i = fake.n_held, top;

	while (i > 0 && may_stay(fake.held[i - 1]) && strcmp(fake.held[i - 1], what)) {
		if (strcmp(what, "key"))
			fake.passed_over = true;
		i--;
	}
	top = i;
	CHECK_MSG(top && !strcmp(fake.held[top - 1], what),
		  "%s is given back, but %s was taken last", what,
		  top ? fake.held[top - 1] : "nothing");
	while (i > 0 && strcmp(fake.held[i - 1], what))
		i--;
	if (!i)
		return;
	memmove(fake.held[i - 1], fake.held[i], (fake.n_held - i) * sizeof(fake.held[0]));
	fake.n_held--;
}

/* What stays though it was taken: the mapping and its ring, on success. */
static inline void forget(const char *what)
{
	for (size_t i = 0; i < fake.n_held; i++)
		if (!strcmp(fake.held[i], what)) {
			memmove(fake.held[i], fake.held[i + 1],
				(fake.n_held - i - 1) * sizeof(fake.held[0]));
			fake.n_held--;
			return;
		}
}

static void note(const char *what)
{
	size_t n = strlen(fake.trace);

	snprintf(fake.trace + n, sizeof(fake.trace) - n, "%s%s", n ? " " : "", what);
}

/* A call that can fail; the fail_at'th does. */
static int step(const char *name, struct err *e)
{
	note(name);
	if (++fake.steps != fake.fail_at)
		return 0;
	snprintf(fake.failed, sizeof(fake.failed), "%s", name);
	return err_set(e, FAIL_ERRNO, "%s was made to fail", name);
}

static void fake_warn(void *arg, const char *sentence)
{
	(void)arg;
	snprintf(fake.warned, sizeof(fake.warned), "%s", sentence);
}

static const struct volume_env env = { .warn = fake_warn };

/* A LUKS2 volume on /dev/data of 64 MiB, nothing mapped. */
static inline void fake_reset(void)
{
	struct luks_header *h = &fake.header;

	secret_free(fake.live_hex);
	memset(&fake, 0, sizeof(fake));
	h->version = 2;
	snprintf(h->uuid, sizeof(h->uuid), UUID);
	h->header_bytes = 16384;
	h->n_keyslots = h->n_digests = h->n_segments = 1;
	h->n_keyslots = 2;
	for (unsigned int i = 0; i < 2; i++)
		h->keyslots[i] = (struct luks_keyslot){ .id = i,
							.type = LUKS_KEYSLOT_LUKS2,
							.key_bytes = KEY_BYTES };
	h->digests[0] = (struct luks_digest){ .type_name = "pbkdf2", .keyslots = 3, .segments = 1 };
	h->segments[0] = (struct luks_segment){ .type = LUKS_SEGMENT_CRYPT,
						.offset_bytes = 16 * MIB,
						.dynamic = true,
						.sector_size_bytes = 512 };
	snprintf(h->segments[0].encryption, sizeof(h->segments[0].encryption), "aes-xts-plain64");
	fake.device_bytes = 64 * MIB;
	fake.supported = 0x3ff;
	fake.physical_sector_bytes = 512;
	fake.keyring = true;
	fake.passphrase = "secret";
	fake.killed = -1;
}

/* The volume, mapped as "vol" by somebody before. */
static inline void fake_map(const char *key_description)
{
	struct dm_target *t = &fake.live_targets[0];

	snprintf(fake.live.name, sizeof(fake.live.name), "vol");
	snprintf(fake.live.uuid, sizeof(fake.live.uuid), "CRYPT-LUKS2-" UUID_HEX "-vol");
	fake.live_n = 1;
	*t = (struct dm_target){ .type = DM_TARGET_CRYPT,
				 .len_sectors = 48 * MIB / 512,
				 .dev_major = 8,
				 .dev_minor = 16,
				 .crypt = { .key_bytes = KEY_BYTES,
					    .device_offset_sectors = 16 * MIB / 512 } };
	snprintf(t->type_name, sizeof(t->type_name), "crypt");
	snprintf(t->crypt.cipher, sizeof(t->crypt.cipher), "aes-xts-plain64");
	if (key_description)
		snprintf(t->crypt.key_description, sizeof(t->crypt.key_description), "%s",
			 key_description);
	else if (!secret_random(KEY_BYTES, &fake.live_hex, NULL))
		t->crypt.key = fake.live_hex;
}

static inline struct secret *text_secret(const char *s)
{
	struct secret *ret = NULL;

	if (secret_new(strlen(s), &ret, NULL))
		abort();
	memcpy(ret->data, s, strlen(s));
	ret->len = strlen(s);
	return ret;
}

#include "volume_rooms.h"

/* ---- every rung fails in turn ---- */

struct rungs {
	void (*prepare)(void);	   /* after fake_reset */
	int (*run)(struct err *e); /* the verb */
	const char *tolerated;	   /* calls whose failure the verb survives: " a b " */
	const char *stays;	   /* what is there after success: " mapping ring " */
	int min_steps;		   /* so many calls the verb makes at least */
};

static inline bool is_tolerated(const struct rungs *x)
{
	char word[80];

	snprintf(word, sizeof(word), " %s ", fake.failed);
	return x->tolerated && strstr(x->tolerated, word);
}

/* Each call of the verb fails once: its error comes out, and nothing is held afterwards. */
static inline void fail_each_rung(const struct rungs *x)
{
	int n, failed = 0;

	for (n = 1; n < 100; n++) {
		struct err e = { 0 };
		int r;

		fake_reset();
		if (x->prepare)
			x->prepare();
		fake.fail_at = n;
		r = x->run(&e);
		if (!fake.failed[0])
			break;
		failed++;
		if (!r) {
			CHECK_MSG(is_tolerated(x), "%s failed, and nobody noticed", fake.failed);
			continue;
		}
		CHECK_MSG(r == FAIL_ERRNO || is_tolerated(x), "%s failed, and the verb says %d",
			  fake.failed, r);
		CHECK_MSG(fake.n_held == 0, "after a failure of %s %s is left: %.600s", fake.failed,
			  fake.held[0], fake.trace);
		CHECK_MSG(!fake.passed_over, "undone out of order after %s: %.600s", fake.failed,
			  fake.trace);
		CHECK_MSG(e.text[0] && e.code == r, "%s failed without a sentence", fake.failed);
	}
	CHECK_MSG(failed >= x->min_steps, "only %d calls", failed);
}
