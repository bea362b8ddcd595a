/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "rollout/derived.h"
#include <stdlib.h>
#include "base/cleanup.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/path.h"
#include "core/datadir.h"

enum { RESULT_MAX = 64 << 20 };

struct mending {
	struct manifest manifest;
	struct trial_progress *progress; /* as far as the journal is read */
	bool *wanted;			 /* by trial: its task_results file is to be made */
	struct err *err;
	bool failed;
};

/* Whether the file of trial I says what counts now. */
static bool is_right(const struct session *s, size_t i)
{
	AUTO(free)
	char *path = xasprintf(ROLLOUT_RESULTS "/%s.json", s->plan.trials[i].run_id);
	AUTO(buf) struct buf text = BUF_INIT;
	AUTO(json) json_t *j = NULL;
	struct err ignored;

	if (path_read_beneath(s->dir_fd, path, RESULT_MAX, &text, &ignored) ||
	    json_parse(&j, text.data, text.len, path, &ignored))
		return false;
	return json_get_int(json_object_get(j, "result"), "attempt", 0) ==
	       s->progress[i].result_attempt;
}

/* Of several results of a trial the last one stays. */
static void write_result(void *arg, size_t i, const json_t *line)
{
	struct mending *d = arg;
	const json_t *result = json_object_get(line, "result");

	if (d->wanted[i] && result && !d->failed)
		d->failed = manifest_task_result(&d->manifest, i, result, d->err);
}

static int write_wanted(const struct session *s, struct mending *d)
{
	struct journal_stats stats;
	int status = progress_read(d->progress, s->plan.trials, s->plan.n, s->dir_fd, JOURNAL_ALL,
				   write_result, d, &stats, d->err);

	for (size_t i = 0; i < s->plan.n; i++)
		progress_release(&d->progress[i]);
	return status || d->failed ? -1 : 0;
}

int derived_mend(const struct session *s, struct err *err)
{
	AUTO(free) struct trial_progress *progress = xcalloc(s->plan.n + 1, sizeof *progress);
	AUTO(free) bool *wanted = xcalloc(s->plan.n + 1, sizeof *wanted);
	struct mending d = {.manifest = {&s->store, &s->ref, &s->plan, progress, s->dir_fd},
			    .progress = progress,
			    .wanted = wanted,
			    .err = err};
	const struct manifest now = {&s->store, &s->ref, &s->plan, s->progress, s->dir_fd};
	bool any = false, complete = true;

	if (manifest_begin(&now, err))
		return -1;
	for (size_t i = 0; i < s->plan.n; i++) {
		wanted[i] = s->progress[i].result_attempt && !is_right(s, i);
		any |= wanted[i];
		complete &= progress_has_result(&s->progress[i]);
	}
	if (any && write_wanted(s, &d))
		return -1;
	return manifest_write(&now, complete ? "complete" : "incomplete", err);
}
