// SPDX-License-Identifier: Apache-2.0
// One member of a raw object as text, for dumps: what is shown but has no meaning for us.
#include "metadata_json.h"

const char *luks_member_text(const void *raw, const char *path, size_t index)
{
	/* json-c takes no const; nothing is changed but its own cached text. */
	struct json_object *o = (struct json_object *)(uintptr_t)raw;

	while (o && *path) {
		size_t n = strcspn(path, "/");
		char name[64];

		if (n >= sizeof(name) || !json_object_is_type(o, json_type_object))
			return NULL;
		memcpy(name, path, n);
		name[n] = '\0';
		if (!json_object_object_get_ex(o, name, &o))
			return NULL;
		path += path[n] ? n + 1 : n;
	}
	if (json_object_is_type(o, json_type_array))
		o = index < json_object_array_length(o) ? json_object_array_get_idx(o, index)
							: NULL;
	else if (index)
		return NULL;
	return o ? json_object_get_string(o) : NULL;
}
