// SPDX-License-Identifier: Apache-2.0
// What the fuzz targets share: sealing of a header, limits on time and memory, the count of inputs
// that reached the end.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FUZZ_CPU_MS_MAX 2000u	     /* of one input: denial of service is a finding */
#define FUZZ_RSS_GROWTH_MAX_MIB 512u /* of the process since its first input */

/** Inputs that got all the way; a seed named accept-* must be one (replay.c holds that). */
extern unsigned long fuzz_accepted;

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

/** fuzz_begin, fuzz_end - abort if what lies between took more than the limits. */
void fuzz_begin(void);
void fuzz_end(void);

/** fuzz_seal - SHA-256 over one copy of @header_bytes at @copy, as its checksum field wants it. */
void fuzz_seal(uint8_t *copy, size_t header_bytes);

/** fuzz_image - both copies of a 16 KiB header (64 KiB where @json doesn't fit), sealed. Returns
 * its length; *ret is malloc'ed. 0 where @json is too long. */
size_t fuzz_image(const void *json, size_t json_len, uint8_t **ret);

/** fuzz_fail - print why and abort. */
void fuzz_fail(const char *why) __attribute__((noreturn));
