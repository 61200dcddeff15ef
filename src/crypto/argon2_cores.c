// SPDX-License-Identifier: Apache-2.0
// Argon2's cores, and which one this processor gets. The compilers' __builtin_cpu_supports asks
// cpuid for the instructions and xgetbv for whether the system saves their registers.
#include "argon2.h"

#include <stddef.h>

static const struct argon2_core *const cores[] = {
#ifdef __x86_64__
	&crypto_argon2_avx512,	 &crypto_argon2_avx2,
#endif
#ifdef __aarch64__
	&crypto_argon2_neon,
#endif
	&crypto_argon2_portable, NULL,
};

const struct argon2_core *crypto_argon2_core(unsigned int i)
{
	return cores[i];
}

const struct argon2_core *crypto_argon2_best(void)
{
	for (unsigned int i = 0; cores[i]; i++)
		if (cores[i]->usable())
			return cores[i];
	return &crypto_argon2_portable;
}
