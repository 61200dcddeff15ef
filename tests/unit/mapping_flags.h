// SPDX-License-Identifier: Apache-2.0
// What the kernel says of a mapping: proc(5), "smaps".
#pragma once

#include <stdint.h>
#include <stdio.h>
#include <string.h>

/** The line "VmFlags:" of the mapping that holds @p, and its "Locked:" in KiB. */
static inline void mapping_flags(const void *p, char *ret, size_t cap, unsigned int *ret_locked)
{
	FILE *f = fopen("/proc/self/smaps", "re");
	bool inside = false;
	char line[512];

	ret[0] = '\0';
	*ret_locked = 0;
	while (f && fgets(line, sizeof(line), f)) {
		unsigned long from, to;

		if (sscanf(line, "%lx-%lx ", &from, &to) == 2)
			inside = (uintptr_t)p >= from && (uintptr_t)p < to;
		if (inside && !strncmp(line, "VmFlags:", 8))
			snprintf(ret, cap, "%s", line);
		if (inside && !strncmp(line, "Locked:", 7))
			sscanf(line + 7, "%u", ret_locked);
	}
	if (f)
		fclose(f);
}
