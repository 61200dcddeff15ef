// SPDX-License-Identifier: Apache-2.0
// A progress line on a terminal, for work that takes more than two seconds.
#include "cli.h"

#include <stdio.h>

void cli_progress_show(void *arg, uint64_t done_bytes, uint64_t total_bytes)
{
	struct cli_progress *p = arg;
	double now = base_now(), rate;
	uint64_t eta_s;

	if (p->start <= 0)
		p->start = now;
	if (now - p->start < 2 || now - p->shown_at < 0.5 || !isatty(STDERR_FILENO))
		return;
	rate = (double)done_bytes / (now - p->start);
	eta_s = rate > 0 && total_bytes > done_bytes
			? (uint64_t)((double)(total_bytes - done_bytes) / rate)
			: 0;
	fprintf(stderr,
		"\rProgress: %5.1f%%, ETA %02llum%02llus, %4llu MiB written, speed %5.1f MiB/s ",
		total_bytes ? 100.0 * (double)done_bytes / (double)total_bytes : 100.0,
		(unsigned long long)(eta_s / 60), (unsigned long long)(eta_s % 60),
		(unsigned long long)(done_bytes >> 20), rate / 1048576.0);
	p->shown_at = now;
	p->shown = true;
}

void cli_progress_end(struct cli_progress *p)
{
	if (p->shown)
		fputc('\n', stderr);
}
