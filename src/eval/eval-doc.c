/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "eval/eval-doc.h"
#include <fcntl.h>
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/path.h"
#include "core/datadir.h"
#include "core/event.h"
#include "report/trial-report.h"

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

json_t *eval_doc_begin(const struct eval_job *job)
{
	const struct task_step *step = job->step;
	json_t *doc = json_object(), *evaluation = json_object(), *rubrics = json_object();

	for (size_t i = 0; i < step->rubrics_n; i++) {
		const struct task_rubric *r = &step->rubrics[i];
		json_t *j = json_object();

		json_put_str(j, "criterion", r->criterion ? r->criterion : "");
		json_put_real(j, "weight", r->weight);
		json_put(j, "score", json_null());
		json_put_real(j, "max_score", 1.0);
		json_put(j, "weighted_score", json_null());
		json_put(rubrics, r->id, j);
	}
	json_put(evaluation, "rubrics", rubrics);
	json_put(evaluation, "total_score", json_null());
	json_put_real(evaluation, "max_score", 1.0);
	json_put(doc, "evaluation", evaluation);
	json_put(doc, "test_results", json_object());
	json_put_bool(doc, "patch_applied", !job->patch_refused);
	json_put_str(doc, "patch_reason", job->patch_refused ? job->patch_refused : "");
	return doc;
}

json_t *eval_doc_rubric(json_t *doc, const char *id)
{
	return json_object_get(json_object_get(json_object_get(doc, "evaluation"), "rubrics"), id);
}

void eval_doc_end(json_t *doc, const struct evaluation *e)
{
	json_t *evaluation = json_object_get(doc, "evaluation"), *rubric;
	const char *id;

	json_object_foreach (json_object_get(evaluation, "rubrics"), id, rubric) {
		const struct score *s = scores_find(&e->scores, id);

		if (!s->known)
			continue;
		json_put_real(rubric, "score", s->value);
		json_put_real(rubric, "weighted_score", s->value * s->weight);
	}
	put_known(evaluation, "total_score", e->total.known, e->total.value);
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

/* What is measured of every trial, the time of this evaluation included. */
static void put_measured(json_t *j, const struct eval_job *job, const struct result *r)
{
	AUTO(json) json_t *result = result_to_json(r);
	double values[METRIC_COUNT];

	if (job->started_ms)
		json_put_int(json_object_get(result, "phases_ms"), PHASE_EVALUATE,
			     clock_mono_ms() - job->started_ms);
	metric_values(values, result);
	for (size_t i = 0; i < METRIC_COUNT; i++)
		json_put_real(j, metric_name(i), values[i]);
}

static json_t *standard_metrics_doc(const struct eval_job *job, const struct evaluation *e,
				    const struct result *r)
{
	const struct agent_record *a = job->agent;
	json_t *j = json_object();

	put_measured(j, job, r);
	const char *const names[] = {"tests_total", "tests_passed"};
	const int counts[] = {e->tests, e->tests_passed};

	put_known(j, "total_score", e->total.known, e->total.value);
	put_known(j, "coverage", e->total.coverage >= 0, e->total.coverage);
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
	static const char *const of_some[] = {"lm_evaluation", "judge", "ratings"};
	const struct agent_record *a = job->agent;
	json_t *doc = json_object();

	json_put_int(doc, "v", 1);
	put_known(doc, "total_score", e->total.known, e->total.value);
	json_put_str(doc, "outcome", outcome_name(r->outcome));
	json_put_str(doc, "reason", r->reason);
	put_known(doc, "coverage", e->total.coverage >= 0, e->total.coverage);
	json_put(doc, "score_bounds",
		 e->doc ? score_bounds_to_json(e->total.low, e->total.high) : json_null());
	json_put_str(doc, "task_id", job->attempt->trial.task_id);
	json_put_str(doc, "run_id", job->attempt->trial.run_id);
	json_put_str(doc, "agent", job->attempt->trial.agent);
	json_put_str(doc, "model", job->attempt->trial.model);
	if (e->doc)
		json_object_update(doc, e->doc);
	put_count(doc, "diff_lines", a ? a->diff_lines : -1);
	json_put(doc, "agent_metrics", agent_metrics_doc(a ? &a->metrics : &agent_metrics_unknown));
	json_put(doc, "standard_metrics", standard_metrics_doc(job, e, r));
	json_put(doc, "custom_metrics", metrics_to_json(&r->metrics));
	json_put(doc, "self_reported", metrics_self_reported(&r->metrics));
	json_put_strv(doc, "suspect", &r->suspect);
	if (e->network_attempts)
		json_put_int(doc, "network_attempts", e->network_attempts);
	if (e->conflicts.n || !json_object_get(doc, "metric_conflicts"))
		json_put_strv(doc, "metric_conflicts", &e->conflicts);
	for (size_t i = 0; i < ARRAY_SIZE(of_some); i++)
		if (!json_object_get(doc, of_some[i]))
			json_put(doc, of_some[i], json_null());
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
	AUTO(buf) struct buf text = BUF_INIT;
	AUTO(doc) struct doc report = {0};
	bool cut = read_diff(job->run_fd, &diff);

	trial_report_make(&report, &(struct trial_report){.attempt = job->attempt,
							  .task = job->task,
							  .result = r,
							  .evaluation = doc,
							  .diff = diff.data,
							  .diff_len = diff.len,
							  .diff_cut = cut});
	doc_markdown(&report, &text);
	if (json_write(job->run_fd, ATTEMPT_EVALUATION, doc, job->attempt->sync, err))
		return -1;
	return path_write(job->run_fd, ATTEMPT_SCORING, text.data, text.len, 0644,
			  job->attempt->sync, err);
}
