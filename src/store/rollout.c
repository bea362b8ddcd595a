// SPDX-License-Identifier: GPL-3.0-or-later
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/cleanup.h"
#include "base/json.h"
#include "base/mem.h"
#include "store/progress.h"
#include "store/planfile.h"
#include "store/store.h"

static void keep_result(void *arg, size_t i, const json_t *j)
{
	struct rollout *r = arg;
	struct trial_status *t = &r->trials[i];
	const json_t *metrics = json_object_get(json_object_get(j, "agent"), "metrics");
	const json_t *score = json_object_get(j, "total_score");
	struct trial_result result = {
		.scored = json_is_number(score),
		.total_score = json_number_value(score),
		.tokens = json_get_int(metrics, "tokens_total", -1),
		.tool_calls = json_get_int(metrics, "tool_calls", -1),
		.calls = json_get_int(metrics, "calls", -1),
		.money_usd = json_get_real(metrics, "money_usd", -1),
	};

	if (!outcome_parse(json_get_str(j, "outcome", ""), &result.outcome))
		return;
	snprintf(result.task_hash, sizeof result.task_hash, "%s", json_get_str(j, "task_hash", ""));
	result.reason = xstrdup(json_get_str(j, "reason", ""));
	free(t->result.reason);
	t->result = result;
	t->has_result = true;
}

static void take_trials(struct rollout *r, struct planfile *plan)
{
	r->trials = xcalloc(plan->n ? plan->n : 1, sizeof *r->trials);
	r->trials_n = plan->n;
	for (size_t i = 0; i < plan->n; i++)
		r->trials[i].trial = plan->trials[i];
	plan->n = 0;
	r->config = STEAL(&plan->config);
}

static void take_progress(struct rollout *r, size_t i, const struct trial_progress *m)
{
	struct trial_status *t = &r->trials[i];

	t->state = m->state;
	t->attempts = m->attempts;
	t->agent_committed = m->agent_committed;
	memcpy(t->phase, m->phase, sizeof t->phase);
	if (r->live)
		return;
	if (m->state == TRIAL_RUNNING)
		t->state = TRIAL_INTERRUPTED;
	/* Grading it again was cut short: what was there still counts. */
	if (t->state == TRIAL_INTERRUPTED && progress_has_result(m))
		t->state = TRIAL_FINISHED;
}

/* The trials are borrowed out of R while the journal is read. */
static int read_progress(struct rollout *r, int dir_fd, struct err *err)
{
	struct trial *trials = xcalloc(r->trials_n ? r->trials_n : 1, sizeof *trials);
	struct trial_progress *progress = xcalloc(r->trials_n ? r->trials_n : 1, sizeof *progress);
	struct journal_stats stats;

	for (size_t i = 0; i < r->trials_n; i++)
		trials[i] = r->trials[i].trial;
	/* Which phase a trial is in is asked only while it runs. */
	int status =
		progress_read(progress, trials, r->trials_n, dir_fd,
			      r->live ? JOURNAL_ALL : JOURNAL_RESULTS, keep_result, r, &stats, err);
	for (size_t i = 0; i < r->trials_n; i++) {
		if (!status)
			take_progress(r, i, &progress[i]);
		progress_release(&progress[i]);
	}
	r->damaged_lines = status ? 0 : stats.damaged;
	free(progress);
	free(trials);
	return status;
}

int rollout_load(struct rollout *out, const struct store *s, const struct rollout_ref *ref,
		 struct err *err)
{
	AUTO(planfile) struct planfile plan = {0};
	AUTO(fd) int fd = openat(s->root_fd, ref->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct rollout r = {.tags = STRV_INIT};

	if (fd < 0)
		return err_set(err, ERR_INFRA, errno, "open %s/%s", s->root, ref->path);
	if (planfile_read(&plan, fd, ref->path, err))
		return -1;
	r.ref = (struct rollout_ref){xstrdup(ref->name), xstrdup(ref->stamp), xstrdup(ref->path)};
	r.root = xstrdup(s->root);
	/* Asked before the journal is read: what ends meanwhile must not look interrupted. */
	r.live = journal_is_live(fd);
	take_trials(&r, &plan);
	if (store_tags_read(s, ref, &r.tags, err) || read_progress(&r, fd, err)) {
		rollout_release(&r);
		return -1;
	}
	*out = r;
	return 0;
}

void rollout_release(struct rollout *r)
{
	for (size_t i = 0; i < r->trials_n; i++) {
		trial_release(&r->trials[i].trial);
		free(r->trials[i].result.reason);
	}
	free(r->trials);
	free(r->config);
	free(r->root);
	strv_release(&r->tags);
	rollout_ref_release(&r->ref);
	*r = (struct rollout){0};
}

bool rollout_is_complete(const struct rollout *r)
{
	for (size_t i = 0; i < r->trials_n; i++)
		if (!r->trials[i].has_result || outcome_is_missing(r->trials[i].result.outcome))
			return false;
	return true;
}

bool rollout_is_live(const struct store *s, const struct rollout_ref *ref)
{
	AUTO(fd) int fd = openat(s->root_fd, ref->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	return fd >= 0 && journal_is_live(fd);
}
