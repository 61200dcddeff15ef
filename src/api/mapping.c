// SPDX-License-Identifier: Apache-2.0
// Mappings of the public interface: open, close, resize, status.
#include "internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <cryptvol/base.h>

struct cryptvol_status {
	struct volume_status s;
};

static int open_it(struct cryptvol_volume *v, const char *name, const struct volume_key *k,
		   const struct cryptvol_options *o, int *ret_keyslot)
{
	struct volume_open open = { .where = api_where(v), .name = name, .key = *k };
	int r;

	r = api_begin(v->cv);
	if (!r)
		r = api_check_options(o, API_OPEN, &v->cv->err);
	if (r)
		return r;
	if (o) {
		open.readonly = o->readonly;
		open.shared = o->shared;
		open.persistent = o->persistent;
		open.disable_keyring = o->disable_keyring;
		open.refresh = o->refresh;
		open.flags = o->flags;
	}
	return volume_open(&v->cv->env, &open, ret_keyslot, &v->cv->err);
}

int cryptvol_open(struct cryptvol_volume *v, const char *name,
		  const struct cryptvol_secret *passphrase, int keyslot,
		  const struct cryptvol_options *o, int *ret_keyslot)
{
	struct volume_key k = api_passphrase(passphrase, keyslot);

	return open_it(v, name, &k, o, ret_keyslot);
}

int cryptvol_open_by_key(struct cryptvol_volume *v, const char *name,
			 const struct cryptvol_secret *volume_key, const struct cryptvol_options *o)
{
	struct volume_key k = { .volume_key = volume_key->s, .keyslot = LUKS_ANY };
	int keyslot;

	return open_it(v, name, &k, o, &keyslot);
}

int cryptvol_close(struct cryptvol *cv, const char *name, bool deferred)
{
	int r = api_begin(cv);

	return r ?: volume_close(&cv->env, name, deferred ? VOLUME_CLOSE_DEFERRED : 0, &cv->err);
}

int cryptvol_resize(struct cryptvol *cv, const char *name, uint64_t size_bytes,
		    const struct cryptvol_secret *passphrase, const char *header)
{
	struct volume_key k = { .passphrase = passphrase ? passphrase->s : NULL,
				.keyslot = LUKS_ANY };
	struct volume_resize resize = {
		.size_sectors = size_bytes / 512,
		.key = passphrase ? &k : NULL,
		.header = header,
	};
	int r = api_begin(cv);

	if (!r && size_bytes % 512)
		r = err_set(&cv->err, -EINVAL, "a mapping's size is a multiple of 512 bytes");
	return r ?: volume_resize(&cv->env, name, &resize, &cv->err);
}

int cryptvol_status_new(struct cryptvol *cv, const char *name, struct cryptvol_status **ret)
{
	struct cryptvol_status *s = calloc(1, sizeof(*s));
	int r;

	r = api_begin(cv);
	if (!r && !s)
		r = err_set(&cv->err, -ENOMEM, "no memory");
	if (!r)
		r = volume_query_status(&cv->env, name, &s->s, &cv->err);
	if (r) {
		free(s);
		return r;
	}
	*ret = s;
	return 0;
}

void cryptvol_status_free(struct cryptvol_status *s)
{
	free(s);
}

const char *cryptvol_status_text(const struct cryptvol_status *s, const char *what)
{
	const struct {
		const char *name, *text;
	} texts[] = {
		{ "type", s->s.type },		 { "uuid", s->s.uuid },
		{ "cipher", s->s.cipher },	 { "device", s->s.device },
		{ "loop-file", s->s.loop_file },
	};

	for (size_t i = 0; i < ARRAY_SIZE(texts); i++)
		if (!strcmp(texts[i].name, what))
			return texts[i].text;
	return NULL;
}

int cryptvol_status_number(const struct cryptvol_status *s, const char *what, uint64_t *ret)
{
	const struct {
		const char *name;
		uint64_t number;
	} numbers[] = {
		{ "key-bytes", s->s.key_bytes },
		{ "sector-bytes", s->s.sector_size_bytes },
		{ "offset-bytes", s->s.offset_sectors * 512 },
		{ "size-bytes", s->s.size_sectors * 512 },
		{ "readonly", s->s.dm.readonly },
		{ "in-use", s->s.in_use },
		{ "key-in-keyring", s->s.key_in_keyring },
	};

	for (size_t i = 0; i < ARRAY_SIZE(numbers); i++) {
		if (strcmp(numbers[i].name, what) != 0)
			continue;
		*ret = numbers[i].number;
		return 0;
	}
	return -EINVAL;
}
