// SPDX-License-Identifier: Apache-2.0
// Where secrets lie: whole pages between guard pages, locked, out of dumps and forks.
#pragma once

#include <stddef.h>

/** secret_pages_get - zeroed pages for @bytes (a multiple of the page size); NULL: no memory. */
unsigned char *secret_pages_get(size_t bytes);
/** secret_pages_put - wipe them and give them back; @bytes as they were asked for. */
void secret_pages_put(unsigned char *pages, size_t bytes);
