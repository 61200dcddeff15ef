// SPDX-License-Identifier: Apache-2.0
// What the processor has and the kernel lets programs use, as the C library found it at its start. The library's own macro shifts a
// signed 1 by 31 for features such as AVX512VL; the sanitizer ends a program there.
#pragma once

#include <stdbool.h>
#include <sys/platform/x86.h>

static inline bool cpu_has(unsigned int feature)
{
	const struct cpuid_feature *leaf = __x86_get_cpuid_feature_leaf(feature / 128);

	return leaf->active_array[feature % 128 / 32] >> feature % 32 & 1u;
}

#define CPU_HAS(name) cpu_has(x86_cpu_##name)
