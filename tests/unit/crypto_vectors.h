// SPDX-License-Identifier: Apache-2.0
// Vector files: lines of fields separated by blanks, '#' in front of remarks, "-" for the empty
// string.
#pragma once

#include <cryptvol/base.h>
#include <stdio.h>

#include "check.h"

#define VECTOR_FIELDS_MAX 10
#define VECTOR_BYTES_MAX 8192

/** Call @each with the fields of every line of tests/vectors/@name; returns the number of lines. */
static inline int vectors_run(const char *name, int n_fields, void (*each)(char **fields))
{
	char path[256], *text = NULL, *line, *save = NULL;
	int n = 0;

	snprintf(path, sizeof(path), "tests/vectors/%s", name);
	if (io_read_file(path, 4 << 20, &text, NULL)) {
		CHECK_MSG(false, "%s can't be read: run this at the top of the tree", path);
		check_report(name);
		return 0;
	}
	for (line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		char *fields[VECTOR_FIELDS_MAX] = { 0 }, *inner = NULL, *f;
		int k = 0;

		if (line[0] == '#')
			continue;
		for (f = strtok_r(line, " ", &inner); f && k < VECTOR_FIELDS_MAX;
		     f = strtok_r(NULL, " ", &inner))
			fields[k++] = f;
		n++;
		if (k != n_fields) {
			CHECK_MSG(false, "%s: vector %d has %d fields, not %d", path, n, k,
				  n_fields);
			check_report(name);
			continue;
		}
		each(fields);
	}
	free(text);
	return n;
}

/** The bytes of a hexadecimal field. */
static inline size_t vector_bytes(const char *field, unsigned char *buf)
{
	size_t len = 0;

	if (strcmp(field, "-") && text_unhex(field, buf, VECTOR_BYTES_MAX, &len))
		CHECK_MSG(false, "not hexadecimal: %.40s", field);
	return len;
}

/** The same in a secret. */
static inline struct secret *vector_secret(const char *field)
{
	unsigned char buf[VECTOR_BYTES_MAX];
	size_t len = vector_bytes(field, buf);
	struct secret *s = NULL;

	if (secret_from_bytes(buf, len, &s, NULL))
		abort();
	return s;
}
