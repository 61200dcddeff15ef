// SPDX-License-Identifier: Apache-2.0
// A progress line on a terminal, for work that takes more than two seconds.
#include "cli.h"

#include <stdio.h>
#include <time.h>

#define SECOND_NS 1000000000ULL

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * SECOND_NS + (uint64_t)t.tv_nsec;
}

void cli_progress_show(void *arg, uint64_t done_bytes, uint64_t total_bytes)
{
	struct cli_progress *p = arg;
	uint64_t now = now_ns(), eta_s;
	double seconds, rate;

	if (!p->start_ns)
		p->start_ns = now;
	if (now - p->start_ns < 2 * SECOND_NS || now - p->shown_ns < SECOND_NS / 2 ||
	    !isatty(STDERR_FILENO))
		return;
	seconds = (double)(now - p->start_ns) / (double)SECOND_NS;
	rate = (double)done_bytes / seconds;
	eta_s = rate > 0 && total_bytes > done_bytes
			? (uint64_t)((double)(total_bytes - done_bytes) / rate)
			: 0;
	fprintf(stderr,
		"\rProgress: %5.1f%%, ETA %02llum%02llus, %4llu MiB written, speed %5.1f MiB/s ",
		total_bytes ? 100.0 * (double)done_bytes / (double)total_bytes : 100.0,
		(unsigned long long)(eta_s / 60), (unsigned long long)(eta_s % 60),
		(unsigned long long)(done_bytes >> 20), rate / 1048576.0);
	p->shown_ns = now;
	p->shown = true;
}

void cli_progress_end(struct cli_progress *p)
{
	if (p->shown)
		fputc('\n', stderr);
}
