// SPDX-License-Identifier: Apache-2.0
// luksDump of a LUKS1 header as text, in the layout that scripts know from cryptsetup.
#include "cli.h"

#include <stdio.h>

static void print_bytes(const uint8_t *bytes, size_t len, size_t a_line, const char *margin)
{
	for (size_t i = 0; i < len; i++) {
		if (i && i % a_line == 0)
			printf("\n%s", margin);
		printf("%02x ", bytes[i]);
	}
	printf("\n");
}

static void print_keyslot(unsigned int id, const struct luks1_keyslot *k)
{
	printf("Key Slot %u: %s\n", id, k->active ? "ENABLED" : "DISABLED");
	if (!k->active)
		return;
	printf("\tIterations:         \t%u\n", k->iterations);
	printf("\tSalt:               \t");
	print_bytes(k->salt, sizeof(k->salt), 16, "\t                      \t");
	printf("\tKey material offset:\t%u\n", k->key_material_offset_sectors);
	printf("\tAF stripes:            \t%u\n", k->stripes);
}

void dump_luks1(const char *device, const struct luks_header *h)
{
	const struct luks1_header *l = h->luks1;

	printf("LUKS header information for %s\n\n", CLI_SHOWN(device));
	printf("Version:       \t%u\n", h->version);
	printf("Cipher name:   \t%s\n", CLI_SHOWN(l->cipher));
	printf("Cipher mode:   \t%s\n", CLI_SHOWN(l->mode));
	printf("Hash spec:     \t%s\n", CLI_SHOWN(l->hash));
	printf("Payload offset:\t%u\n", l->payload_offset_sectors);
	printf("MK bits:       \t%u\n", l->key_bytes * 8);
	printf("MK digest:     \t");
	print_bytes(l->digest, sizeof(l->digest), sizeof(l->digest), "");
	printf("MK salt:       \t");
	print_bytes(l->digest_salt, sizeof(l->digest_salt), 16, "               \t");
	printf("MK iterations: \t%u\n", l->digest_iterations);
	printf("UUID:          \t%s\n\n", CLI_SHOWN(h->uuid));
	for (unsigned int i = 0; i < ARRAY_SIZE(l->keyslots); i++)
		print_keyslot(i, &l->keyslots[i]);
}
