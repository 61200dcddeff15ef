// SPDX-License-Identifier: Apache-2.0
// What takes long tells every few seconds how far it is, and how fast.
#include "internal.h"

#include <stdio.h>

#define TELL_SECONDS 3.0
#define MIB (1024.0 * 1024.0)

void progress_begin(struct progress *p, struct backend *b, const char *what, const char *id)
{
	*p = (struct progress){ .b = b, .what = what, .id = id, .told = base_now() };
}

struct backup_watch progress_watch(struct progress *p)
{
	return (struct backup_watch){ .progress = progress_show, .arg = p };
}

void progress_show(void *arg, uint64_t done_bytes, uint64_t total_bytes)
{
	struct progress *p = arg;
	double t = base_now(), took = t - p->told;
	char text[256];

	if (!p->b->progress || took < TELL_SECONDS)
		return;
	snprintf(text, sizeof(text), "%s \"%s\": %.0f of %.0f MiB, %.1f MiB/s", p->what, p->id,
		 (double)done_bytes / MIB, (double)total_bytes / MIB,
		 (double)(done_bytes - p->told_bytes) / MIB / took);
	p->b->progress(p->b->warn_arg, text);
	p->told = t;
	p->told_bytes = done_bytes;
}
