/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * eval-judge.c -- a model as a grader: each rubric that it is to judge is one request (or several votes on the same one),
 * and what it answers is either a score or the reason why there is none.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/path.h"
#include "core/datadir.h"
#include "eval/judge-doc.h"
#include "eval/judge-reuse.h"

enum {
	FILE_BYTES = 16 << 10, /* of each file that a rubric names */
	FILES_MAX = 16,
	DIFF_BYTES = 64 << 20, /* read at most; what is shown is the judge's max_diff_bytes */
};

static bool is_judged(const struct judge *j, const struct task_step *step,
		      const struct task_rubric *r)
{
	return j->api && (j->only == JUDGE_ALL || !task_step_tests(step, r->id));
}

static void names_of_step(const struct judge *j, const struct task_step *step, struct strv *out)
{
	for (size_t i = 0; i < step->rubrics_n; i++)
		if (is_judged(j, step, &step->rubrics[i]))
			judge_named(&step->rubrics[i], out);
}

bool eval_needs_sandbox(const struct attempt *a, const struct task_step *step)
{
	AUTO(strv) struct strv named = STRV_INIT;

	if (!a->keep_judge)
		names_of_step(&a->judge, step, &named);
	return (step->tests_n && !a->keep_tests) || named.n;
}

/* --- material ------------------------------------------------------------------------------------- */

/* A file that is not there is not shown: most words with a dot in them are no files. */
static int read_file(struct grading *g, const char *name, struct err *err)
{
	AUTO(free) char *path = path_join(g->job->task->layout.repo, name);
	struct judge_files *files = g->files;
	struct buf text = BUF_INIT;
	struct err why = {0};
	AUTO(fd) int fd = sandbox_get(g->sandbox, path, &why);
	ssize_t n = 1;

	if (fd < 0 && why.kind == ERR_INFRA && !why.sys) {
		*err = why;
		return -1;
	}
	if (fd < 0)
		return 0;
	buf_grow(&text, FILE_BYTES + 1);
	while (n > 0 && text.len <= FILE_BYTES) {
		n = read(fd, text.data + text.len, FILE_BYTES + 1 - text.len);
		text.len += n > 0 ? (size_t)n : 0;
	}
	GROW(files->v, files->n, files->cap);
	struct judge_file *f = &files->v[files->n++];
	f->cut = text.len > FILE_BYTES;
	f->len = f->cut ? FILE_BYTES : text.len;
	text.data[f->len] = '\0';
	f->text = buf_detach(&text);
	f->path = xstrdup(name);
	return 0;
}

static int prepare(struct grading *g, struct err *err)
{
	AUTO(strv) struct strv named = STRV_INIT;

	if (!g->job->client || !g->sandbox)
		return 0;
	names_of_step(&g->job->attempt->judge, g->job->step, &named);
	for (size_t i = 0; i < named.n && i < FILES_MAX; i++)
		if (read_file(g, named.v[i], err))
			return err_wrap(err, "read %s for the judge", named.v[i]);
	return 0;
}

static int read_diff(const struct grading *g, struct buf *out, struct err *err)
{
	return path_read_beneath(g->job->run_fd, ATTEMPT_DIFF, DIFF_BYTES, out, err);
}

/* A prompt that is to be the same as an earlier one has its code. */
static int draw_code(char code[FENCE_CODE], const struct grading *g,
		     const struct earlier_verdicts *earlier, struct err *err)
{
	const char *given = g->job->fence_code;
	unsigned char bytes[FENCE_CODE / 2];

	if ((given && *given) || *earlier->code) {
		snprintf(code, FENCE_CODE, "%s", given && *given ? given : earlier->code);
		return 0;
	}
	if (getrandom(bytes, sizeof bytes, 0) != sizeof bytes)
		return err_set(err, ERR_INFRA, errno, "getrandom");
	for (size_t i = 0; i < sizeof bytes; i++)
		snprintf(code + 2 * i, 3, "%02x", bytes[i]);
	return 0;
}

/* --- scores --------------------------------------------------------------------------------------- */

/* The mean of the votes that have a score, where they are more than half. */
static void count_votes(const struct judge *j, struct judged *d)
{
	double sum = 0, low = 1, high = 0;
	const char *reason = NULL;

	for (int i = 0; i < j->votes; i++) {
		const struct judge_vote *v = &d->votes[i];

		d->control_wrong += v->control_wrong;
		if (v->verdict.kind == VERDICT_SCORE) {
			d->known++;
			sum += v->verdict.score;
			low = v->verdict.score < low ? v->verdict.score : low;
			high = v->verdict.score > high ? v->verdict.score : high;
		} else if (!reason) {
			reason = v->reason;
		}
	}
	d->scored = 2 * d->known > (size_t)j->votes;
	d->score = d->known ? sum / (double)d->known : 0;
	d->spread = d->known > 1 ? high - low : -1;
	if (d->scored)
		return;
	d->reason = j->votes == 1 ? xstrdup(reason)
				  : xasprintf("%zu of %d votes have a score; first without: %s",
					      d->known, j->votes, reason ? reason : "");
}

static void give_scores(struct grading *g, const struct judge *j, struct judged *list, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		struct score *s = scores_find(&g->out->scores, list[i].rubric->id);

		count_votes(j, &list[i]);
		if (task_step_tests(g->job->step, list[i].rubric->id))
			continue;
		if (list[i].scored) {
			score_set(s, grader_judge.name, list[i].score);
		} else {
			free(s->reason);
			s->reason = xstrdup(list[i].reason);
		}
	}
	if (!judge_total(list, n, &g->out->judge_score))
		g->out->judge_score = -1;
	g->out->judge_votes = judge_votes_doc(j, list, n);
	judge_prompt_identity(j, g->out->judge_prompt);
	snprintf(g->out->judge_model, sizeof g->out->judge_model, "%s", j->model_id);
}

/* The first vote that could not be had stands for all: nothing of this evaluation counts then. */
static int check_failed(const struct judge_vote *votes, size_t n, struct err *err)
{
	for (size_t i = 0; i < n; i++)
		if (votes[i].failed) {
			*err = votes[i].err;
			return err->kind == ERR_CANCELLED ? -1 : err_wrap(err, "the judge");
		}
	return 0;
}

static int judge_all(struct grading *g, struct judged *list, size_t n, struct judge_vote *votes,
		     struct err *err)
{
	const struct judge *j = &g->job->attempt->judge;
	AUTO(buf) struct buf diff = BUF_INIT;
	struct judge_material m = {.instruction = g->job->step->instruction,
				   .patch_refused = g->job->patch_refused,
				   .tests = json_object_get(g->out->doc, "test_results"),
				   .files = g->files};
	const size_t votes_n = n * (size_t)j->votes;
	const int64_t start_ms = clock_mono_ms();
	struct earlier_verdicts earlier;
	struct diff_parts parts;
	char code[FENCE_CODE];

	earlier_verdicts_read(&earlier, g->job);
	if (read_diff(g, &diff, err) || draw_code(code, g, &earlier, err)) {
		earlier_verdicts_release(&earlier);
		return -1;
	}
	diff_parts_read(&parts, diff.data, diff.len);
	m.diff = &parts;
	for (size_t i = 0; i < n; i++) {
		judge_prompt_make(&list[i].prompt, j, list[i].rubric, &m, code);
		list[i].votes = votes + i * (size_t)j->votes;
		for (int v = 0; v < j->votes; v++)
			list[i].votes[v] = (struct judge_vote){.prompt = &list[i].prompt,
							       .binary = list[i].rubric->binary};
		earlier_verdicts_take(&earlier, &list[i], j->votes);
	}
	diff_parts_release(&parts);
	earlier_verdicts_release(&earlier);
	judge_ask(j, g->job->client, votes, votes_n);
	if (judge_doc_write(g, code, list, n, err) || check_failed(votes, votes_n, err))
		return -1;
	give_scores(g, j, list, n);
	judge_doc_put(g, list, n, clock_mono_ms() - start_ms);
	return 0;
}

static int run_judge(struct grading *g, struct err *err)
{
	const struct task_step *step = g->job->step;
	const struct judge *j = &g->job->attempt->judge;
	AUTO(free) struct judged *list = xcalloc(step->rubrics_n + 1, sizeof *list);
	AUTO(free)
	struct judge_vote *votes = xcalloc(step->rubrics_n * (size_t)j->votes + 1, sizeof *votes);
	size_t n = 0;

	if (!g->job->client)
		return 0;
	for (size_t i = 0; i < step->rubrics_n; i++)
		if (is_judged(j, step, &step->rubrics[i]))
			list[n++].rubric = &step->rubrics[i];
	int rc = n ? judge_all(g, list, n, votes, err) : 0;
	for (size_t i = 0; i < n; i++) {
		judge_prompt_release(&list[i].prompt);
		free(list[i].reason);
	}
	for (size_t i = 0; i < n * (size_t)j->votes; i++)
		judge_vote_release(&votes[i]);
	return rc;
}

const struct grader grader_judge = {.name = "judge", .prepare = prepare, .run = run_judge};
