// SPDX-License-Identifier: Apache-2.0
// Sentences that a person should read though the verb succeeds; the library prints none itself.
#include "internal.h"

#include <stdio.h>

void volume_warn(const struct volume_env *env, const char *fmt, ...)
{
	char text[ERR_TEXT_MAX];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	log_debug("warning: %s", text);
	if (env->warn)
		env->warn(env->arg, text);
}

void volume_warn_header(const struct volume_env *env, const char *path, const struct luks_header *h)
{
	if (h->unusable[0])
		volume_warn(env, "%s: the header can only be looked at: %s", path, h->unusable);
	if (h->seqid_conflict)
		volume_warn(env,
			    "%s: both header copies carry sequence number %llu, but differ; the "
			    "first one is used and nothing is overwritten",
			    path, (unsigned long long)h->seqid);
	else if (h->needs_recovery && env->no_locks)
		volume_warn(env,
			    "%s: one header copy is damaged or old; it is not repaired while "
			    "locks are off",
			    path);
	else if (h->needs_recovery)
		volume_warn(env, "%s: one header copy is damaged or old and was not repaired",
			    path);
}

void volume_tell_mapped(const struct volume_env *env, double start)
{
	if (env->mapped)
		env->mapped(env->arg, base_now() - start);
}
