// SPDX-License-Identifier: Apache-2.0
// luksDump of a LUKS2 header as text, in the layout that scripts know from cryptsetup.
#include "cli.h"

#include <inttypes.h>
#include <stdio.h>

/* Bytes in hex, 16 a line; @margin begins the lines after the first. */
static void print_bytes(const uint8_t *bytes, size_t len, const char *margin)
{
	for (size_t i = 0; i < len; i++) {
		if (i && i % 16 == 0)
			printf("\n%s", margin);
		printf("%02x ", bytes[i]);
	}
	printf("\n");
}

/* The strings of an array, each with a blank behind it. false: there are none. */
static bool print_words(const void *raw, const char *path)
{
	const char *word;
	size_t i;

	for (i = 0; (word = luks_member_text(raw, path, i)); i++)
		printf("%s ", CLI_SHOWN(word));
	return i > 0;
}

static void print_config(const struct luks_header *h)
{
	printf("LUKS header information\n");
	printf("Version:       \t%u\n", h->version);
	printf("Epoch:         \t%" PRIu64 "\n", h->seqid);
	printf("Metadata area: \t%" PRIu64 " [bytes]\n", h->header_bytes);
	printf("Keyslots area: \t%" PRIu64 " [bytes]\n", h->keyslots_bytes);
	printf("UUID:          \t%s\n", CLI_SHOWN(h->uuid[0] ? h->uuid : "(no UUID)"));
	printf("Label:         \t%s\n", CLI_SHOWN(h->label[0] ? h->label : "(no label)"));
	printf("Subsystem:     \t%s\n",
	       CLI_SHOWN(h->subsystem[0] ? h->subsystem : "(no subsystem)"));
	printf("Flags:       \t");
	printf("%s\n", print_words(h->raw, "config/flags") ? "" : "(no flags)");
	if (luks_member_text(h->raw, "config/requirements/mandatory", 0)) {
		printf("Requirements:\t");
		print_words(h->raw, "config/requirements/mandatory");
		printf("\n");
	}
	printf("\n");
}

/* What only a device with OPAL knows how to use. */
static void print_opal(const struct luks_segment *s)
{
	const char *number = luks_member_text(s->raw, "opal_segment_number", 0),
		   *key_bytes = luks_member_text(s->raw, "opal_key_size", 0),
		   *length = luks_member_text(s->raw, "opal_segment_size", 0);
	uint32_t bytes;

	printf("\tHW OPAL encryption:\n");
	if (number)
		printf("\t\tOPAL segment number: %s\n", CLI_SHOWN(number));
	if (key_bytes && !text_parse_u32(key_bytes, &bytes))
		printf("\t\tOPAL key: %u bits\n", bytes * 8);
	if (length)
		printf("\t\tOPAL segment length: %s [bytes]\n", CLI_SHOWN(length));
}

static void print_segment(const struct luks_segment *s)
{
	const char *flag;

	printf("  %u: %s\n", s->id, CLI_SHOWN(s->type_name));
	printf("\toffset: %" PRIu64 " [bytes]\n", s->offset_bytes);
	if (s->dynamic)
		printf("\tlength: (whole device)\n");
	else
		printf("\tlength: %" PRIu64 " [bytes]\n", s->size_bytes);
	printf("\tcipher: %s\n",
	       CLI_SHOWN(s->encryption[0] ? s->encryption : "(no SW encryption)"));
	if (s->sector_size_bytes)
		printf("\tsector: %u [bytes]\n", s->sector_size_bytes);
	if (s->integrity)
		printf("\tintegrity: %s\n", CLI_SHOWN(s->integrity_type));
	if (s->integrity && s->integrity_key_bytes)
		printf("\tintegrity key size: %u [bits]\n", s->integrity_key_bytes * 8);
	if (s->type == LUKS_SEGMENT_OPAL || s->type == LUKS_SEGMENT_OPAL_CRYPT)
		print_opal(s);
	for (size_t i = 0; (flag = luks_member_text(s->raw, "flags", i)); i++)
		printf("%s%s", i ? ", " : "\tflags : ", CLI_SHOWN(flag));
	printf("%s\n", luks_member_text(s->raw, "flags", 0) ? "\n" : "");
}

static void print_luks2_keyslot(const struct luks_keyslot *k)
{
	printf("\tCipher:     %s\n", CLI_SHOWN(k->area_encryption));
	printf("\tCipher key: %u bits\n", k->area_key_bytes * 8);
	printf("\tPBKDF:      %s\n", CLI_SHOWN(k->kdf_name));
	if (k->kdf.type == CRYPTO_PBKDF2) {
		printf("\tHash:       %s\n", CLI_SHOWN(k->kdf.hash));
		printf("\tIterations: %u\n", k->kdf.iterations);
	} else if (k->kdf.type) {
		printf("\tTime cost:  %u\n", k->kdf.iterations);
		printf("\tMemory:     %u\n", k->kdf.memory_kib);
		printf("\tThreads:    %u\n", k->kdf.parallel);
	}
	printf("\tSalt:       ");
	print_bytes(k->salt, k->salt_len, "\t            ");
	printf("\tAF stripes: %u\n", LUKS_AF_STRIPES);
	printf("\tAF hash:    %s\n", CLI_SHOWN(k->af_hash));
}

/* A member of a re-encryption keyslot's area, where it has it. */
static void print_member(const void *raw, const char *title, const char *path, const char *unit)
{
	const char *text = luks_member_text(raw, path, 0);

	if (text)
		printf("\t%-12s%s%s\n", title, CLI_SHOWN(text), unit);
}

static void print_reencrypt_keyslot(const struct luks_keyslot *k)
{
	printf("\t%-12s%s\n", "Mode:", CLI_SHOWN(k->reencrypt_mode));
	printf("\t%-12s%s\n", "Direction:", CLI_SHOWN(k->reencrypt_direction));
	printf("\t%-12s%s\n", "Resilience:", CLI_SHOWN(k->area_type));
	print_member(k->raw, "Hash:", "area/hash", "");
	print_member(k->raw, "Hash data:", "area/sector_size", " [bytes]");
	print_member(k->raw, "Shift size:", "area/shift_size", "[bytes]");
}

static const char *priority_name(const struct luks_keyslot *k)
{
	if (!k->priority_set || k->priority == LUKS_PRIORITY_NORMAL)
		return "normal";
	return k->priority == LUKS_PRIORITY_PREFER ? "preferred" : "ignored";
}

/* Bound to a data segment, that is: its digest has one; what re-encryption keeps aside is none. */
static bool keyslot_bound(const struct luks_header *h, unsigned int id)
{
	uint32_t data = 0;

	for (size_t i = 0; i < h->n_segments; i++)
		if (!h->segments[i].backup)
			data |= 1u << h->segments[i].id;
	for (size_t i = 0; i < h->n_digests; i++)
		if (h->digests[i].keyslots & 1u << id && h->digests[i].segments & data)
			return true;
	return false;
}

static void print_keyslot(const struct luks_header *h, const struct luks_keyslot *k)
{
	printf("  %u: %s%s\n", k->id, CLI_SHOWN(k->type_name),
	       keyslot_bound(h, k->id) ? "" : " (unbound)");
	printf("\tKey:        %u bits\n", k->key_bytes * 8);
	printf("\tPriority:   %s\n", priority_name(k));
	if (k->type == LUKS_KEYSLOT_LUKS2)
		print_luks2_keyslot(k);
	else if (k->type == LUKS_KEYSLOT_REENCRYPT)
		print_reencrypt_keyslot(k);
	if (k->type != LUKS_KEYSLOT_UNKNOWN) {
		printf("\tArea offset:%" PRIu64 " [bytes]\n", k->area_offset_bytes);
		printf("\tArea length:%" PRIu64 " [bytes]\n", k->area_size_bytes);
	}
	for (unsigned int id = 0; id < LUKS_DIGESTS_MAX; id++) {
		const struct luks_digest *d = luks_find_digest(h, (int)id);

		if (d && d->keyslots & 1u << k->id)
			printf("\tDigest ID:  %u\n", id);
	}
}

static void print_token(const struct luks_token *t)
{
	const char *description = luks_member_text(t->raw, "key_description", 0);

	printf("  %u: %s\n", t->id, CLI_SHOWN(t->type_name));
	if (!strcmp(t->type_name, "luks2-keyring") && description)
		printf("\tKey description: %s\n", CLI_SHOWN(description));
	for (unsigned int id = 0; id < LUKS_KEYSLOTS_MAX; id++)
		if (t->keyslots & 1u << id)
			printf("\tKeyslot:    %u\n", id);
}

static void print_digest(const struct luks_digest *d)
{
	printf("  %u: %s\n", d->id, CLI_SHOWN(d->type_name));
	if (strcmp(d->type_name, "pbkdf2") != 0)
		return;
	printf("\tHash:       %s\n", CLI_SHOWN(d->hash));
	printf("\tIterations: %u\n", d->iterations);
	printf("\tSalt:       ");
	print_bytes(d->salt, d->salt_len, "\t            ");
	printf("\tDigest:     ");
	print_bytes(d->digest, d->digest_len, "\t            ");
}

void dump_luks2(const struct luks_header *h)
{
	/* By number, however the metadata has them. */
	print_config(h);
	printf("Data segments:\n");
	for (int id = 0; id < (int)LUKS_SEGMENTS_MAX; id++)
		if (luks_find_segment(h, id))
			print_segment(luks_find_segment(h, id));
	printf("Keyslots:\n");
	for (int id = 0; id < (int)LUKS_KEYSLOTS_MAX; id++)
		if (luks_find_keyslot(h, id))
			print_keyslot(h, luks_find_keyslot(h, id));
	printf("Tokens:\n");
	for (int id = 0; id < (int)LUKS_TOKENS_MAX; id++)
		if (luks_find_token(h, id))
			print_token(luks_find_token(h, id));
	printf("Digests:\n");
	for (int id = 0; id < (int)LUKS_DIGESTS_MAX; id++)
		if (luks_find_digest(h, id))
			print_digest(luks_find_digest(h, id));
}
