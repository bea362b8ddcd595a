/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include "base/cleanup.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/path.h"
#include "core/datadir.h"
#include "eval/grader.h"

enum { DOC_MAX = 64 << 20, RESULT_MAX = 4 << 20 };

static int open_kept(const struct eval_job *job, struct err *err)
{
	char name[16];

	snprintf(name, sizeof name, "../%d", job->attempt->grades_from);
	int fd = openat(job->run_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	return fd < 0 ? err_set(err, ERR_INFRA, errno, "open attempt %d", job->attempt->grades_from)
		      : fd;
}

int kept_read(struct kept *out, const struct eval_job *job, struct err *err)
{
	AUTO(fd) int fd = open_kept(job, err);
	AUTO(json) json_t *j = NULL;

	result_init(&out->result);
	if (fd < 0 || json_read(&j, fd, ATTEMPT_RESULT, RESULT_MAX, err) ||
	    result_from_json(&out->result, j, ATTEMPT_RESULT, err) ||
	    json_read(&out->doc, fd, ATTEMPT_EVALUATION, DOC_MAX, err))
		return err_wrap(err, "what is kept of attempt %d", job->attempt->grades_from);
	return 0;
}

void kept_release(struct kept *k)
{
	result_release(&k->result);
	json_decref(k->doc);
}

/* The scores of KIND, and of the judge why others have none. */
static void take_scores(struct grading *g, const struct kept *k, const char *kind)
{
	const struct scores *old = k->result.steps_n ? &k->result.steps[0].scores : NULL;

	for (size_t i = 0; old && i < old->n; i++) {
		const struct score *from = &old->v[i];
		struct score *to = scores_find(&g->out->scores, from->id);

		if (!to || to->known)
			continue;
		if (from->known && from->kind && strcmp(from->kind, kind) == 0) {
			score_set(to, kind, from->value);
		} else if (!from->known && from->reason && !to->reason &&
			   strcmp(kind, grader_judge.name) == 0) {
			to->reason = xstrdup(from->reason);
		}
	}
}

static void copy_members(json_t *to, const json_t *from, const char *const *names)
{
	for (; *names; names++) {
		json_t *v = json_object_get(from, *names);
		if (v)
			json_object_set(to, *names, v);
	}
}

static json_t *rubrics_of(const json_t *doc)
{
	return json_object_get(json_object_get(doc, "evaluation"), "rubrics");
}

/* What the tests added to each rubric, and nothing that is there already. */
static void copy_rubrics(struct grading *g, const struct kept *k)
{
	const char *id, *name;
	json_t *rubric, *v;

	json_object_foreach (rubrics_of(g->out->doc), id, rubric)
		json_object_foreach (json_object_get(rubrics_of(k->doc), id), name, v)
			if (!json_object_get(rubric, name))
				json_object_set(rubric, name, v);
}

static void take_tests(struct grading *g, struct kept *k)
{
	static const char *const members[] = {"test_results",
					      "custom_metrics",
					      "self_reported",
					      "metric_conflicts",
					      "patch_applied",
					      "patch_reason",
					      NULL};
	struct evaluation *e = g->out;

	copy_members(e->doc, k->doc, members);
	copy_rubrics(g, k);
	e->tests = k->result.tests;
	e->tests_passed = k->result.tests_passed;
	metrics_release(&e->metrics);
	e->metrics = k->result.metrics;
	k->result.metrics = (struct metrics){0};
	e->usage = k->result.usage;
	/* Whoever opens the sandbox looks at the diff for itself. */
	if (!g->sandbox)
		strv_pushv(&e->suspect, strv_items(&k->result.suspect));
}

static int take_judge(struct grading *g, const struct kept *k, struct err *err)
{
	static const char *const members[] = {"lm_evaluation", "judge", NULL};
	struct evaluation *e = g->out;
	AUTO(fd) int from = open_kept(g->job, err);

	if (from < 0)
		return -1;
	copy_members(e->doc, k->doc, members);
	e->judge_score = k->result.judge_score;
	e->judge_votes = json_incref(k->result.judge_votes);
	snprintf(e->judge_model, sizeof e->judge_model, "%s", k->result.judge_model);
	snprintf(e->judge_prompt, sizeof e->judge_prompt, "%s", k->result.judge_prompt);
	return path_exists(from, ATTEMPT_VERDICTS)
		       ? path_copy_tree(from, ATTEMPT_VERDICTS, g->job->run_fd, ATTEMPT_VERDICTS,
					err)
		       : 0;
}

int kept_take(struct grading *g, struct kept *k, const struct grader *grader, struct err *err)
{
	static const char *const ratings[] = {"ratings", NULL};

	take_scores(g, k, grader->name);
	if (grader == &grader_tests)
		take_tests(g, k);
	if (grader == &grader_ratings)
		copy_members(g->out->doc, k->doc, ratings);
	return grader == &grader_judge ? take_judge(g, k, err) : 0;
}
