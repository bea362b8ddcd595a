/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <stdio.h>
#include <string.h>
#include "base/cleanup.h"
#include "base/mem.h"
#include "base/text.h"
#include "cmd/cmd.h"
#include "cmd/options.h"
#include "os/cgroup.h"
#include "os/usage.h"
#include "rollout/leftovers.h"

static int finish(const struct leftovers *l, bool engine, bool dry_run, struct err *err)
{
	AUTO(strv) struct strv containers = STRV_INIT;
	AUTO(strv) struct strv images = STRV_INIT;
	const char *what = dry_run ? "would remove" : "removed";
	int64_t bytes = 0;
	char human[16];

	if (engine && leftovers_prune_engine(l, &containers, &images, dry_run, err))
		return -1;
	if (!engine)
		leftovers_prune_containers(&containers, l->store, dry_run);
	for (size_t i = 0; i < containers.n; i++)
		printf("%s container %s\n", what, containers.v[i]);
	for (size_t i = 0; i < images.n; i++)
		printf("%s image %s\n", what, images.v[i]);
	if (!dry_run)
		leftovers_forget_images(l);
	for (size_t i = 0; i < l->n; i++) {
		AUTO(buf) struct buf safe = BUF_INIT;
		if (!dry_run && leftovers_remove(l, &l->items[i], err))
			return -1;
		text_renders(&safe, l->items[i].label, TEXT_TERMINAL_LINE);
		usage_human(l->items[i].bytes, human);
		printf("%s %s/%s (%s)\n", what, l->store->root, safe.data, human);
		bytes += l->items[i].bytes;
	}
	usage_human(bytes, human);
	if (l->n)
		printf("%s %s in all\n", human, dry_run ? "would be freed" : "freed");
	else if (!containers.n && !images.n)
		puts("nothing to remove");
	return 0;
}

static int clean(struct store *s, const struct leftovers_request *q, bool dry_run, struct err *err)
{
	struct leftovers l;

	if (q->cache && !dry_run && store_claim_cache(s, err))
		return -1;
	int status = leftovers_find(&l, s, q, err);

	for (size_t i = 0; i < l.unreadable.n; i++)
		cmd_warn(l.unreadable.v[i]);
	if (!status && !q->runs && !dry_run)
		cgroup_sweep(); /* these hold nothing, and need no line */
	if (!status)
		status = finish(&l, q->engine, dry_run, err);
	leftovers_release(&l);
	return status;
}

int cmd_clean(int argc, char **argv)
{
	struct leftovers_request q = {0};
	const char *data = "data";
	bool dry_run = false;
	const struct option options[] = {
		{.name = "dry-run",
		 .short_name = 'n',
		 .kind = OPTION_FLAG,
		 .target = &dry_run,
		 .help = "only say what would be removed"},
		{.name = "cache",
		 .kind = OPTION_FLAG,
		 .target = &q.cache,
		 .help = "also tasks and mirrors no rollout needs, and baselines"},
		{.name = "engine",
		 .kind = OPTION_FLAG,
		 .target = &q.engine,
		 .help = "also containers and images of data folders that no longer exist"},
		{.name = "runs",
		 .kind = OPTION_FLAG,
		 .target = &q.runs,
		 .help = "remove the rollout NAME/STAMP with all its runs and results"},
		OPTION_DATA_DIR(&data),
		OPTION_END,
	};
	const struct usage usage = {
		.verb = "clean",
		.operands = "[NAME | NAME/STAMP]",
		.max = 1,
		.options = options,
		.summary = "remove what killed runs left behind; on request the cache, or whole "
			   "rollouts",
		.text = "Without --runs no result is ever touched, and never anything of a running "
			"benchmark.",
		.examples = "rollouts clean --dry-run\nrollouts clean --cache\n"
			    "rollouts clean --runs hello/20250824__12-34-56\n",
	};
	AUTO(strv) struct strv operands = STRV_INIT;
	struct store store;
	struct err err;
	int status = cmd_options(&usage, argc, argv, &operands);

	if (status >= 0)
		return status;
	AUTO(free) char *name = operands.n ? xstrdup(operands.v[0]) : NULL;
	char *stamp = name ? strchr(name, '/') : NULL;
	if (stamp)
		*stamp++ = '\0';
	q.name = name;
	q.stamp = stamp;
	if (store_open(&store, data, false, &err))
		return cmd_fail(&err);
	status = clean(&store, &q, dry_run, &err);
	store_close(&store);
	return status ? cmd_fail(&err) : CMD_OK;
}
