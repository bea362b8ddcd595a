/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "base/cleanup.h"
#include "base/mem.h"
#include "cmd/cmd.h"
#include "cmd/options.h"
#include "report/report.h"
#include "store/exclusions.h"
#include "store/manifest.h"
#include "store/planfile.h"

struct request {
	const char *data, *reason;
	bool undo;
};

/* The runs of one rollout that are named. */
struct target {
	struct rollout_ref ref;
	struct strv runs;
};

static bool has_run(const struct rollout *r, const char *run_id)
{
	for (size_t i = 0; i < r->trials_n; i++)
		if (strcmp(RUN_ID(&r->trials[i]), run_id) == 0)
			return true;
	return false;
}

/* A run's id begins with the stamp of its rollout. */
static int find_rollout(const struct store *s, const struct rollout_ref *refs, size_t n,
			const char *run_id, size_t *at, struct err *err)
{
	for (size_t i = 0; i < n; i++) {
		struct rollout r;
		if (strncmp(run_id, refs[i].stamp, strlen(refs[i].stamp)) != 0)
			continue;
		if (rollout_load(&r, s, &refs[i], err))
			return -1;
		bool found = has_run(&r, run_id);
		rollout_release(&r);
		*at = i;
		if (found)
			return 0;
	}
	return err_set(err, ERR_USAGE, 0,
		       "no rollout in %s has a run \"%s\"; see: rollouts summarize NAME --trials",
		       s->root, run_id);
}

static struct target *target_of(struct target *all, size_t *n, const struct rollout_ref *ref)
{
	for (size_t i = 0; i < *n; i++)
		if (strcmp(all[i].ref.path, ref->path) == 0)
			return &all[i];
	all[*n] = (struct target){
		.ref = {xstrdup(ref->name), xstrdup(ref->stamp), xstrdup(ref->path)},
		.runs = STRV_INIT};
	return &all[(*n)++];
}

static int find_targets(struct target *all, size_t *n, const struct store *s,
			const struct strv *run_ids, struct err *err)
{
	struct rollout_ref *refs = NULL;
	size_t refs_n = 0, at = 0;
	int status = store_list(s, NULL, &refs, &refs_n, err);

	for (size_t i = 0; !status && i < run_ids->n; i++) {
		status = find_rollout(s, refs, refs_n, run_ids->v[i], &at, err);
		if (!status)
			strv_push(&target_of(all, n, &refs[at])->runs, run_ids->v[i]);
	}
	for (size_t i = 0; i < refs_n; i++)
		rollout_ref_release(&refs[i]);
	free(refs);
	return status;
}

static int check_change(const struct store *s, const struct target *t, const struct request *q,
			struct err *err)
{
	AUTO(exclusions) struct exclusions there = {0};
	AUTO(fd) int fd = openat(s->root_fd, t->ref.path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (exclusions_read(&there, fd, t->ref.path, err))
		return -1;
	for (size_t i = 0; i < t->runs.n; i++) {
		const struct exclusion *e = exclusions_find(&there, t->runs.v[i]);
		if (!e == !q->undo)
			continue;
		return q->undo ? err_set(err, ERR_USAGE, 0, "%s is not excluded", t->runs.v[i])
			       : err_set(err, ERR_USAGE, 0,
					 "%s is excluded already, by %s at %s: %s; take that back "
					 "first: rollouts exclude %s --undo",
					 t->runs.v[i], e->by, e->time, e->reason, t->runs.v[i]);
	}
	return 0;
}

/* The manifest and summary.md say the same as every table; a supervisor that still runs writes them by itself. */
static int derive(const struct store *s, const struct rollout_ref *ref, struct err *err)
{
	AUTO(planfile) struct planfile plan = {0};
	AUTO(fd) int fd = openat(s->root_fd, ref->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct journal_stats stats;
	struct rollout r;

	if (report_refresh_summary(s, ref, err) || rollout_load(&r, s, ref, err))
		return -1;
	const char *state = rollout_is_complete(&r) ? "complete" : "incomplete";
	bool live = r.live;
	rollout_release(&r);
	if (live)
		return 0;
	int status = 0;
	if (planfile_read(&plan, fd, ref->path, err))
		return -1;
	struct trial_progress *progress = xcalloc(plan.n + 1, sizeof *progress);
	status = progress_read(progress, plan.trials, plan.n, fd, JOURNAL_PROGRESS, NULL, NULL,
			       &stats, err);
	if (!status)
		status = manifest_write(&(struct manifest){.store = s,
							   .ref = ref,
							   .plan = &plan,
							   .progress = progress,
							   .dir_fd = fd},
					state, err);
	for (size_t i = 0; i < plan.n; i++)
		progress_release(&progress[i]);
	free(progress);
	return status;
}

static const char *author(char number[24])
{
	const char *name = getenv("SUDO_USER");

	name = name && *name ? name : getenv("LOGNAME");
	name = name && *name ? name : getenv("USER");
	if (name && *name)
		return name;
	snprintf(number, 24, "user %u", (unsigned)getuid());
	return number;
}

static int change(const struct store *s, const struct target *t, const struct request *q,
		  struct err *err)
{
	AUTO(fd) int fd = openat(s->root_fd, t->ref.path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	char number[24];

	if (exclusions_add(fd, t->ref.path, &t->runs, q->undo ? NULL : q->reason, author(number),
			   err) ||
	    derive(s, &t->ref, err))
		return -1;
	for (size_t i = 0; i < t->runs.n; i++)
		printf("%s %s\n", t->runs.v[i],
		       q->undo ? "counts again" : "is excluded and counts as missing");
	return 0;
}

static int exclude(const struct request *q, const struct strv *run_ids, struct err *err)
{
	AUTO(free) struct target *all = xcalloc(run_ids->n + 1, sizeof *all);
	struct store store;
	size_t n = 0;

	if (store_open(&store, q->data, false, err))
		return -1;
	int status = store_check_links(&store, err);
	if (!status)
		status = find_targets(all, &n, &store, run_ids, err);
	for (size_t i = 0; !status && i < n; i++)
		status = check_change(&store, &all[i], q, err);
	for (size_t i = 0; !status && i < n; i++)
		status = change(&store, &all[i], q, err);
	for (size_t i = 0; i < n; i++) {
		rollout_ref_release(&all[i].ref);
		strv_release(&all[i].runs);
	}
	store_close(&store);
	return status;
}

static int check(const struct request *q, struct err *err)
{
	bool blank = !q->reason || !q->reason[strspn(q->reason, " \t\n")];

	if (q->undo && q->reason)
		return err_set(err, ERR_USAGE, 0, "--undo and --reason exclude each other");
	if (!q->undo && blank)
		return err_set(err, ERR_USAGE, 0,
			       "--reason TEXT is needed: whoever reads the numbers shall know why "
			       "the run does not count");
	return 0;
}

int cmd_exclude(int argc, char **argv)
{
	struct request q = {.data = "data"};
	const struct option options[] = {
		{.name = "reason",
		 .arg = "TEXT",
		 .kind = OPTION_STR,
		 .target = &q.reason,
		 .help = "why it shall not count; kept with your name and the time"},
		{.name = "undo",
		 .kind = OPTION_FLAG,
		 .target = &q.undo,
		 .help = "let them count again"},
		OPTION_DATA_DIR(&q.data),
		OPTION_END,
	};
	const struct usage usage = {
		.verb = "exclude",
		.operands = "RUN_ID...",
		.min = 1,
		.max = 100000,
		.options = options,
		.summary = "take runs out of all numbers, with a reason",
		.text = "An excluded run counts as missing: no mean has it, and a verdict must "
			"hold whatever it\n"
			"could have scored. Its result stays, and every table says how many are "
			"excluded and what\n"
			"the number would be with them.",
		.examples = "rollouts exclude 20250824__12-34-56-7 --reason \"the test server was "
			    "down\"\n"
			    "rollouts exclude 20250824__12-34-56-7 --undo\n",
	};
	AUTO(strv) struct strv operands = STRV_INIT;
	struct err err;
	int status = cmd_options(&usage, argc, argv, &operands);

	if (status >= 0)
		return status;
	if (check(&q, &err) || exclude(&q, &operands, &err))
		return cmd_fail(&err);
	return CMD_OK;
}
