// SPDX-License-Identifier: Apache-2.0
// What the rules*.c files share.
#pragma once

#include <stdio.h>

#include "internal.h"

/** luks_rule_bad - -EBADMSG "keyslot 3: area.offset: <sentence>". */
int luks_rule_bad(const char *kind, unsigned int id, const char *member, struct err *e,
		  const char *fmt, ...) __attribute__((format(printf, 5, 6)));
/** luks_rules_segments - order, overlaps, digests and the first offset of segments. */
int luks_rules_segments(const struct luks_header *h, struct err *e);
/** luks_rules_reencrypt - what belongs together while re-encryption is in flight. */
int luks_rules_reencrypt(const struct luks_header *h, struct err *e);
