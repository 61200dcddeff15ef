// SPDX-License-Identifier: Apache-2.0
// The debug log: off unless main() gives it a sink. The one mutable global of the library.
#include <cryptvol/base.h>

#include <stdio.h>

static void (*debug_sink)(const char *line);

void log_set_debug(void (*sink)(const char *line))
{
	debug_sink = sink;
}

void log_debug(const char *fmt, ...)
{
	char line[512];
	va_list ap;

	if (!debug_sink)
		return;
	va_start(ap, fmt);
	vsnprintf(line, sizeof(line), fmt, ap);
	va_end(ap);
	debug_sink(line);
}
