// SPDX-License-Identifier: Apache-2.0
// Argon2's cores, and which one this processor gets. libc has asked at its start which instructions
// there are, and whether the system saves their registers. The compilers' __builtin_cpu_supports
// would ask again, in a constructor that every start of a program runs.
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
