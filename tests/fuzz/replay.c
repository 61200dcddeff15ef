// SPDX-License-Identifier: Apache-2.0
// A main() for a fuzz target where libFuzzer is not: replay files, and hold that each seed named
// accept-* reaches the target's end.
//   fuzz_X DIR...    prints one result line; exit 0 or 1
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fuzz.h"

#define SEED_MAX_BYTES (1u << 20)

static unsigned long files, seeds, lost;

static void replay_file(const char *dir, const char *name)
{
	uint8_t *data = malloc(SEED_MAX_BYTES);
	unsigned long before = fuzz_accepted;
	char path[4096];
	size_t len;
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	f = fopen(path, "r");
	if (!f || !data) {
		printf("FAIL %s: can't be read\n", path);
		exit(1);
	}
	len = fread(data, 1, SEED_MAX_BYTES, f);
	fclose(f);
	LLVMFuzzerTestOneInput(data, len);
	free(data);
	files++;
	if (strncmp(name, "accept-", strlen("accept-")) != 0)
		return;
	seeds++;
	if (fuzz_accepted == before) {
		printf("FAIL %s: doesn't reach the end\n", path);
		lost++;
	}
}

int main(int argc, char **argv)
{
	const char *self = strrchr(argv[0], '/');

	for (int i = 1; i < argc; i++) {
		DIR *d = opendir(argv[i]);
		struct dirent *entry;

		if (!d) {
			printf("FAIL %s: can't be opened\n", argv[i]);
			return 1;
		}
		while ((entry = readdir(d)))
			if (entry->d_name[0] != '.')
				replay_file(argv[i], entry->d_name);
		closedir(d);
	}
	if (!lost && seeds)
		printf("ok %s: %lu inputs, %lu of %lu seeds reach the end\n",
		       self ? self + 1 : argv[0], files, seeds, seeds);
	else if (!seeds)
		printf("FAIL %s: no accept-* seed\n", argv[0]);
	return lost || !seeds;
}
