/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * store-fixture.h -- a data folder for a test, and rollouts in it.
 */
#pragma once
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "base/cleanup.h"
#include "base/mem.h"
#include "base/path.h"
#include "store/create.h"
#include "store/planfile.h"

static int store_setup(void **state)
{
	static struct store store;
	char path[] = "/tmp/test-store.XXXXXX";
	struct err err;

	assert_non_null(mkdtemp(path));
	assert_int_equal(store_open(&store, path, true, &err), 0);
	*state = &store;
	return 0;
}

static int store_teardown(void **state)
{
	struct store *s = *state;
	AUTO(free) char *root = xstrdup(s->root);
	struct err err;

	store_close(s);
	return path_remove_tree(AT_FDCWD, root, &err);
}

static void fill_trial(struct trial *t, int index, const char *stamp)
{
	*t = (struct trial){
		.index = index,
		.run_id = xasprintf("%s-%d", stamp, index),
		.task_dir = xstrdup("tasks/one"),
		.task_id = xstrdup("one"),
		.task_hash = xstrdup("h"),
		.task_snapshot = xstrdup("cache/tasks/h"),
		.variant = xstrdup(""),
		.agent = xstrdup("nop"),
		.model = xstrdup("gpt-4"),
		.provider = xstrdup(""),
		.launcher = xstrdup("local"),
		.sandbox = SANDBOX_NONE,
		.seed = -1,
		.limits = limits_default,
	};
	hash_once(t->run_id, strlen(t->run_id), t->key);
}

/* A rollout on disk with N trials. */
static void make_rollout(struct store *s, const char *name, size_t n, struct rollout_ref *ref,
			 struct planfile *p, int *dir_fd)
{
	struct err err;

	assert_int_equal(create_rollout(s, name, ref, &err), 0);
	*p = (struct planfile){.name = xstrdup(name),
			       .stamp = xstrdup(ref->stamp),
			       .config = xstrdup("bench.toml"),
			       .agents = json_object(),
			       .parallel = 2,
			       .trials = xcalloc(n, sizeof(struct trial)),
			       .n = n};
	for (size_t i = 0; i < n; i++)
		fill_trial(&p->trials[i], (int)i, ref->stamp);
	*dir_fd = openat(s->root_fd, ref->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_int_equal(planfile_write(p, *dir_fd, &err), 0);
}

static void release_rollout(struct rollout_ref *ref, struct planfile *p, int dir_fd)
{
	rollout_ref_release(ref);
	planfile_release(p);
	close(dir_fd);
}
