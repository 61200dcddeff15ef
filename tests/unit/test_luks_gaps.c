// SPDX-License-Identifier: Apache-2.0
// The gaps of the keyslots area: what lies there is wiped by each verb that changes keyslots.
#include <cryptvol/base.h>
#include <luks/internal.h>

#include "check.h"
#include "luks_faults.h"
#include "luks_slots.h"

static bool in_an_area(const struct luks_header *h, uint64_t at)
{
	for (size_t i = 0; i < h->n_keyslots; i++)
		if (at >= h->keyslots[i].area_offset_bytes &&
		    at - h->keyslots[i].area_offset_bytes < h->keyslots[i].area_size_bytes)
			return true;
	return false;
}

/* Fill the gaps; or count their bytes that aren't zero. */
static unsigned int gaps(struct volume_file *v, bool fill)
{
	uint64_t begin = 2 * v->h->header_bytes, len = v->h->keyslots_bytes;
	unsigned char *p = malloc(len);
	unsigned int n = 0;

	if (!p || io_pread_full(v->io.fd, p, len, begin, &v->e))
		abort();
	for (uint64_t i = 0; i < len; i++) {
		if (in_an_area(v->h, begin + i))
			continue;
		if (fill)
			p[i] = 0xa5;
		n += p[i] != 0;
	}
	if (fill && io_pwrite_full(v->io.fd, p, len, begin, &v->e))
		abort();
	free(p);
	return n;
}

static int run_add(struct volume_file *v)
{
	int slot;

	return add_text(v, "new", LUKS_ANY, &slot);
}

static int run_change(struct volume_file *v)
{
	int slot;

	return change_text(v, "first", "new", LUKS_ANY, false, &slot);
}

static int run_kill(struct volume_file *v)
{
	return luks_kill_keyslot(&v->io, v->h, 1, false, &v->e);
}

static int run_labels(struct volume_file *v)
{
	return luks_set_labels(&v->io, v->h, "l", "s", &v->e);
}

static int run_erase(struct volume_file *v)
{
	return luks_erase_keyslots(&v->io, v->h, &v->e);
}

struct verb {
	const char *name;
	int (*run)(struct volume_file *v);
	bool first, new, third; /* which of them opens afterwards */
};

/* Old key material in a gap, from a change that was cut: the next verb on keyslots removes it,
 * whoever placed the areas, and no other area is touched. */
static void gaps_are_wiped(void)
{
	static const struct verb verbs[] = {
		{ "add", run_add, true, true, true },
		{ "change", run_change, false, true, true },
		{ "kill", run_kill, true, false, true },
		{ "erase", run_erase, false, false, false },
		{ "labels", run_labels, true, false, true },
	};

	for (size_t i = 0; i < ARRAY_SIZE(verbs); i++) {
		_cleanup_volume_ struct volume_file v;
		int slot;

		REQUIRE(volume_with(&v, 6) && !add_text(&v, "other", LUKS_ANY, &slot));
		REQUIRE(!add_text(&v, "third", LUKS_ANY, &slot));
		CHECK(gaps(&v, true) > 4096);
		REQUIRE(!verbs[i].run(&v));
		if (verbs[i].run == run_labels) {
			CHECK(gaps(&v, false) > 4096);
			continue;
		}
		CHECK_MSG(gaps(&v, false) == 0, "%s leaves something", verbs[i].name);
		CHECK_MSG(opens(&v, "first") == verbs[i].first, "%s", verbs[i].name);
		CHECK_MSG(opens(&v, "new") == verbs[i].new, "%s", verbs[i].name);
		CHECK_MSG(opens(&v, "third") == verbs[i].third, "%s", verbs[i].name);
		/* Nothing to be wiped: the gaps are read, not written. */
		faults_start(v.io.fd, 0);
		if (verbs[i].first)
			CHECK_INT(add_text(&v, "again", LUKS_ANY, &slot), 0);
		faults_stop();
		CHECK_MSG(faults.bytes < 192 * 1024, "%llu bytes",
			  (unsigned long long)faults.bytes);
	}
}

int main(void)
{
	RUN(gaps_are_wiped);
	return check_exit();
}
