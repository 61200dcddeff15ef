// SPDX-License-Identifier: Apache-2.0
// What a reader finds in one state of a device: is a header recognised, does it load, which
// passphrases open it. Asks our luks room (reading only, and recovering), libblkid, and for some
// states cryptsetup.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum pass { PASS_KEEP, PASS_OLD, PASS_REVOKED, PASS_NEW, PASSES };
extern const char *const pass_text[PASSES];

struct judge_slot {
	unsigned int id;
	uint64_t offset, len; /* of its key material */
};

/** What follows from the header copies alone; kept for states that have the same ones. */
struct judge_header {
	uint8_t key[32];
	bool recognised; /* by our probe, or by libblkid as LUKS */
	bool any;	 /* libblkid finds something, whatever it is */
	bool loads;
	bool recovers; /* loading for writing agrees, and leaves two good copies */
	uint64_t header_bytes;
	struct judge_slot slots[32];
	size_t n_slots;
};

struct judge;
struct judge *judge_new(uint64_t image_bytes, unsigned int oracle_states);
void judge_free(struct judge *j);

/** judge_header - of the state in @image; owned by the judge. */
const struct judge_header *judge_header(struct judge *j, const uint8_t *image);
/** judge_opens - does any keyslot open with @p? */
bool judge_opens(struct judge *j, const struct judge_header *h, const uint8_t *image, enum pass p);
/** judge_follow - what becomes of @image when the writer's next is add (0), kill of the slot that
 * "new" opens (1), or change of "keep" to "revoked" (2), after the recovery with which it begins.
 */
#define FOLLOW_VERBS 3u
void judge_follow(struct judge *j, const uint8_t *image, unsigned int verb, uint8_t *ret_image);
/** judge_oracle - ask cryptsetup too, for the first few header states; false where it disagrees. */
bool judge_oracle(struct judge *j, const struct judge_header *h, const uint8_t *image);
unsigned int judge_oracle_asked(const struct judge *j);
