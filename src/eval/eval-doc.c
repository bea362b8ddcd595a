/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "eval/eval-doc.h"
#include <fcntl.h>
#include "base/cleanup.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/path.h"
#include "core/datadir.h"

enum { REPORT_DIFF_BYTES = 200 << 10 };

static void put_known(json_t *obj, const char *key, bool known, double value)
{
	if (known)
		json_put_real(obj, key, value);
	else
		json_put(obj, key, json_null());
}

static void put_count(json_t *obj, const char *key, int64_t value)
{
	json_put(obj, key, value >= 0 ? json_integer(value) : json_null());
}

static json_t *rubric_doc(const struct task_rubric *r, const struct rubric_score *s)
{
	json_t *j = json_object();
	double score = rubric_score_value(s);

	json_put_str(j, "criterion", r->criterion ? r->criterion : "");
	json_put_real(j, "weight", r->weight);
	put_known(j, "score", s->tests > 0, score);
	json_put_real(j, "max_score", 1.0);
	put_known(j, "weighted_score", s->tests > 0, score * r->weight);
	json_put_int(j, "test_count", s->tests);
	json_put_int(j, "tests_passed", s->passed);
	return j;
}

static void put_output(json_t *j, const struct test_outcome *t)
{
	AUTO(buf) struct buf text = BUF_INIT;

	buf_adds(&text, "STDOUT:\n");
	excerpt_text(&t->out, &text);
	buf_adds(&text, "\n\nSTDERR:\n");
	excerpt_text(&t->err, &text);
	json_put_strn(j, "output", text.data, text.len);
}

static json_t *test_doc(const struct task_test *t, const struct test_outcome *o)
{
	json_t *j = json_object();

	json_put_bool(j, "success", o->passed);
	put_output(j, o);
	put_known(j, "duration_sec", o->ran, (double)o->wall_ms / 1000);
	put_count(j, "exit_code", o->exit_code);
	json_put_str(j, "reason", o->reason);
	json_put_str(j, "rubric_id", t->rubric_id);
	json_put_str(j, "runner", eval_runner_name(t));
	if (o->details)
		json_put(j, "details", json_incref(o->details));
	if (o->problems.n)
		json_put_strv(j, "problems", &o->problems);
	return j;
}

/* One script may stand for several rubrics: the later ones get a number. */
static void put_test(json_t *all, const struct task_test *t, json_t *doc_take)
{
	AUTO(free) char *key = xstrdup(t->path);

	for (int n = 2; json_object_get(all, key); n++) {
		free(key);
		key = xasprintf("%s#%d", t->path, n);
	}
	json_put(all, key, doc_take);
}

json_t *eval_doc_new(const struct eval_job *job, const struct test_outcome *tests,
		     const struct rubric_score *scores, const struct evaluation *e,
		     const json_t *metrics)
{
	const struct task *task = job->task;
	json_t *doc = json_object(), *rubrics = json_object(), *results = json_object();
	json_t *evaluation = json_object();

	for (size_t i = 0; i < task->rubrics_n; i++)
		json_put(rubrics, task->rubrics[i].id, rubric_doc(&task->rubrics[i], &scores[i]));
	for (size_t i = 0; i < task->tests_n; i++)
		put_test(results, &task->tests[i], test_doc(&task->tests[i], &tests[i]));
	json_put(evaluation, "rubrics", rubrics);
	put_known(evaluation, "total_score", e->scored, e->total_score);
	json_put_real(evaluation, "max_score", 1.0);
	json_put(doc, "evaluation", evaluation);
	json_put(doc, "test_results", results);
	json_put_bool(doc, "patch_applied", !job->patch_refused);
	json_put_str(doc, "patch_reason", job->patch_refused ? job->patch_refused : "");
	json_put(doc, "custom_metrics", json_deep_copy(metrics));
	return doc;
}

static json_t *agent_metrics_doc(const struct agent_metrics *m)
{
	json_t *j = json_object();

	put_count(j, "tokens_total", m->tokens_total);
	put_count(j, "tokens_input", m->tokens_input);
	put_count(j, "tokens_cached", m->tokens_cached);
	put_count(j, "tokens_output", m->tokens_output);
	put_count(j, "tokens_cache_write", m->tokens_cache_write);
	put_count(j, "tokens_reasoning", m->tokens_reasoning);
	put_count(j, "tokens_agent", m->tokens_agent);
	put_count(j, "calls", m->calls);
	put_count(j, "estimated_calls", m->estimated);
	put_known(j, "waited_seconds", m->waited_ms >= 0, (double)m->waited_ms / 1000);
	json_put_str(j, "model_served", *m->model_served ? m->model_served : NULL);
	put_count(j, "tool_calls_total", m->tool_calls);
	put_count(j, "turns", m->turns);
	put_known(j, "time_taken_seconds", m->wall_ms >= 0, (double)m->wall_ms / 1000);
	put_known(j, "money_spent_usd", m->money_usd >= 0, m->money_usd);
	put_known(j, "cpu_seconds", m->cpu_ms >= 0, (double)m->cpu_ms / 1000);
	put_count(j, "memory_max_bytes", m->memory_max);
	put_count(j, "disk_bytes", m->disk_bytes);
	/* Kept for readers of older files; they counted the same calls twice. */
	json_put(j, "tokens_events", json_null());
	json_put(j, "tool_calls_codex_log", json_null());
	json_put(j, "tool_calls_sessions", json_null());
	return j;
}

static json_t *standard_metrics_doc(const struct evaluation *e, const struct agent_record *a)
{
	json_t *j = json_object();
	const char *const names[] = {"tests_total", "tests_passed"};
	const int counts[] = {e->tests, e->tests_passed};

	put_known(j, "total_score", e->scored, e->total_score);
	put_known(j, "coverage", e->coverage >= 0, e->coverage);
	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		json_put(j, names[i], e->doc ? json_integer(counts[i]) : json_null());
	put_known(j, "tests_pass_rate", e->doc && e->tests > 0,
		  e->tests > 0 ? (double)e->tests_passed / e->tests : 0);
	put_count(j, "diff_lines", a ? a->diff_lines : -1);
	put_count(j, "tokens_total", a ? a->metrics.tokens_total : -1);
	put_count(j, "tool_calls", a ? a->metrics.tool_calls : -1);
	put_known(j, "time_taken_seconds", a && a->metrics.wall_ms >= 0,
		  a ? (double)a->metrics.wall_ms / 1000 : 0);
	return j;
}

json_t *eval_doc_whole(const struct eval_job *job, const struct evaluation *e,
		       const struct result *r)
{
	const struct agent_record *a = job->agent;
	json_t *doc = json_object();

	put_known(doc, "total_score", e->scored, e->total_score);
	json_put_str(doc, "outcome", outcome_name(r->outcome));
	json_put_str(doc, "reason", r->reason);
	put_known(doc, "coverage", e->coverage >= 0, e->coverage);
	json_put_str(doc, "task_id", job->attempt->trial.task_id);
	json_put_str(doc, "run_id", job->attempt->trial.run_id);
	json_put_str(doc, "agent", job->attempt->trial.agent);
	json_put_str(doc, "model", job->attempt->trial.model);
	if (e->doc)
		json_object_update(doc, e->doc);
	put_count(doc, "diff_lines", a ? a->diff_lines : -1);
	json_put(doc, "agent_metrics", agent_metrics_doc(a ? &a->metrics : &agent_metrics_unknown));
	json_put(doc, "standard_metrics", standard_metrics_doc(e, a));
	if (!json_object_get(doc, "custom_metrics"))
		json_put(doc, "custom_metrics", json_object());
	return doc;
}

/* The first bytes of the diff; a trial without one has an empty one. */
static bool read_diff(int run_fd, struct buf *out)
{
	struct err ignored;
	AUTO(fd) int fd = path_open_beneath(run_fd, ATTEMPT_DIFF, O_RDONLY, 0, &ignored);
	ssize_t n = 1;

	buf_grow(out, REPORT_DIFF_BYTES);
	while (fd >= 0 && n > 0 && out->len < REPORT_DIFF_BYTES) {
		n = read(fd, out->data + out->len, REPORT_DIFF_BYTES - out->len);
		out->len += n > 0 ? (size_t)n : 0;
	}
	out->data[out->len] = '\0';
	return out->len == REPORT_DIFF_BYTES;
}

int eval_write(const struct eval_job *job, const struct evaluation *e, const struct result *r,
	       struct err *err)
{
	AUTO(json) json_t *doc = eval_doc_whole(job, e, r);
	AUTO(buf) struct buf diff = BUF_INIT;
	AUTO(buf) struct buf report = BUF_INIT;
	bool cut = read_diff(job->run_fd, &diff);

	eval_report(&report, job, doc, r, diff.data, diff.len, cut);
	if (json_write(job->run_fd, ATTEMPT_EVALUATION, doc, job->attempt->sync, err))
		return -1;
	return path_write(job->run_fd, ATTEMPT_SCORING, report.data, report.len, 0644,
			  job->attempt->sync, err);
}
