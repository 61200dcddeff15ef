// SPDX-License-Identifier: Apache-2.0
// Cuts of live volumes: whoever was stopped goes on, whatever fails.
#include <cryptvol/backend.h>
#include <cryptvol/base.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "check.h"

/** A volume's writes, as seen by the callbacks. */
struct fake {
	int suspended, failures; /* how often a resume fails first */
};

static int suspend_fake(void *arg, const char *id, struct err *e)
{
	struct fake *f = arg;

	(void)id;
	(void)e;
	f->suspended++;
	return 0;
}

static int resume_fake(void *arg, const char *id, struct err *e)
{
	struct fake *f = arg;

	if (f->failures-- > 0)
		return err_set(e, -ENOMEM, "no memory to resume %s", id);
	f->suspended--;
	return 0;
}

static void remove_tree(const char *dir)
{
	char command[128];

	snprintf(command, sizeof(command), "rm -rf '%s'", dir);
	CHECK_INT(system(command), 0);
}

static void a_resume_that_fails_is_tried_again(void)
{
	char dir[] = "/tmp/test-cut-XXXXXX";
	struct backend_config config = { .state_dir = dir, .node_id = "n1" };
	struct backend_create c = {
		.name = "a", .size_bytes = 1u << 20, .fs_type = "ext4", .pause_allowed = true
	};
	struct fake f = { .failures = 3 };
	struct backend_quiesce q = { .suspend = suspend_fake, .resume = resume_fake, .arg = &f };
	struct backend_use use = { .path = "/staging", .cap = "" };
	struct backend_volume v = { .size_bytes = 0 }, clone = { .size_bytes = 0 };
	const char *ids[1] = { v.id };
	struct backend_cut cut = {
		.name = "s", .volume_ids = ids, .n_volumes = 1, .pause_allowed = true
	};
	struct backend_snapshot *list = NULL;
	char group[BACKEND_ID_MAX];
	struct backend *b = NULL;
	struct err e = { 0 };
	size_t n = 0;

	REQUIRE(mkdtemp(dir));
	CHECK_INT(backend_open("loop", &config, &b, &e), 0);
	REQUIRE(b);
	CHECK_INT(backend_create(b, &c, &q, &v, &e), 0);
	CHECK_INT(backend_use_put(b, v.id, BACKEND_USE_STAGED, &use, &e), 0);
	CHECK_MSG(!backend_cut_snapshots(b, &cut, &q, &list, &n, group, &e), "%s", err_text(&e));
	CHECK_INT(f.suspended, 0);
	CHECK_INT(n, 1);
	free(list);
	f.failures = 3;
	c.name = "clone";
	c.source = BACKEND_SOURCE_VOLUME;
	c.source_id = v.id;
	CHECK_MSG(!backend_create(b, &c, &q, &clone, &e), "%s", err_text(&e));
	CHECK_INT(f.suspended, 0);
	backend_volume_clear(&clone);
	backend_volume_clear(&v);
	backend_close(b);
	remove_tree(dir);
}

int main(void)
{
	RUN(a_resume_that_fails_is_tried_again);
	return check_exit();
}
