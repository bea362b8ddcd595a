/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "eval/judge-doc.h"
#include "base/cleanup.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/path.h"
#include "core/datadir.h"

static const struct judge *judge_of(const struct grading *g)
{
	return &g->job->attempt->judge;
}

/* Of several votes the one whose reasons are told: the first with a score, else the first. */
static const struct judge_vote *spokesman(const struct judge *j, const struct judged *d)
{
	for (int i = 0; i < j->votes; i++)
		if (d->votes[i].verdict.kind == VERDICT_SCORE)
			return &d->votes[i];
	return &d->votes[0];
}

bool judge_total(const struct judged *list, size_t n, double *out)
{
	struct scores s = {0};

	for (size_t i = 0; i < n; i++) {
		struct score *one = scores_add(&s, list[i].rubric->id, list[i].rubric->weight);
		one->known = list[i].scored;
		one->value = list[i].score;
	}
	struct total_score total = scores_total(&s, SCORING_SCORED);
	scores_release(&s);
	*out = total.value;
	return total.known;
}

static json_t *rubric_score(const struct judge *j, const struct judged *d)
{
	const struct judge_vote *v = spokesman(j, d);
	json_t *obj = json_object();

	json_put_str(obj, "rubric_id", d->rubric->id);
	json_put(obj, "score", d->scored ? json_real(d->score) : json_null());
	if (d->scored) {
		json_put_str(obj, "reasoning", v->verdict.reasoning);
	} else {
		AUTO(free) char *text = xasprintf("Unscored: %s", d->reason);
		json_put_str(obj, "reasoning", text);
	}
	json_put_str(obj, "evidence", v->verdict.evidence ? v->verdict.evidence : "");
	json_put_str(obj, "suggestions", v->verdict.suggestions ? v->verdict.suggestions : "");
	return obj;
}

static void put_lm_evaluation(struct grading *g, const struct judged *list, size_t n,
			      int64_t wall_ms)
{
	const struct judge *j = judge_of(g);
	json_t *lm = json_object(), *scores = json_array(), *meta = json_object();
	double weight = 0, total;
	size_t scored = 0;
	AUTO(buf) struct buf summary = BUF_INIT;

	for (size_t i = 0; i < n; i++) {
		json_array_append_new(scores, rubric_score(j, &list[i]));
		scored += list[i].scored;
		weight += list[i].scored && list[i].rubric->weight > 0 ? list[i].rubric->weight : 0;
	}
	buf_addf(&summary, "%zu of %zu rubrics scored by %s", scored, n, j->model);
	for (size_t i = 0; i < n; i++)
		if (!list[i].scored)
			buf_addf(&summary, "; %s unscored: %s", list[i].rubric->id, list[i].reason);
	json_put(lm, "weighted_score",
		 judge_total(list, n, &total) ? json_real(total) : json_null());
	json_put(lm, "rubric_scores", scores);
	json_put_strn(lm, "summary", summary.data, summary.len);
	json_put_str(meta, "model", j->model);
	json_put(meta, "temperature",
		 j->temperature >= 0 ? json_real(j->temperature) : json_null());
	json_put_real(meta, "total_weight", weight);
	json_put_real(meta, "evaluation_time_seconds", (double)wall_ms / 1000);
	json_put(lm, "metadata", meta);
	json_put(g->out->doc, "lm_evaluation", lm);
}

static json_t *votes_doc(const struct judge *j, const struct judged *d)
{
	json_t *votes = json_array();

	for (int i = 0; i < j->votes; i++)
		json_array_append_new(votes, d->votes[i].verdict.kind == VERDICT_SCORE
						     ? json_real(d->votes[i].verdict.score)
						     : json_null());
	return votes;
}

json_t *judge_votes_doc(const struct judge *j, const struct judged *list, size_t n)
{
	json_t *all = json_object();

	for (size_t i = 0; i < n; i++)
		json_put(all, list[i].rubric->id, votes_doc(j, &list[i]));
	return all;
}

static json_t *judged_doc(const struct judge *j, const struct judged *d)
{
	json_t *obj = json_object();

	json_put(obj, "score", d->scored ? json_real(d->score) : json_null());
	json_put(obj, "votes", votes_doc(j, d));
	json_put(obj, "spread", d->spread >= 0 ? json_real(d->spread) : json_null());
	json_put_str(obj, "reason", d->reason);
	json_put_str(obj, "scale", d->rubric->binary ? "binary" : "degrees");
	json_put_str(obj, "prompt_sha256", d->prompt.hash);
	json_put_strv(obj, "cut", &d->prompt.cut);
	if (j->canary)
		json_put_int(obj, "canary_wrong", (int64_t)d->control_wrong);
	return obj;
}

static json_t *dropped_doc(const struct judge *j, const struct judged *list, size_t n)
{
	static const struct {
		unsigned part;
		const char *name;
	} parts[] = {{FORM_SCHEMA, "schema"}, {FORM_SAMPLING, "sampling"}, {FORM_EFFORT, "effort"}};
	json_t *names = json_array();
	unsigned all = 0;

	for (size_t i = 0; i < n; i++)
		for (int v = 0; v < j->votes; v++)
			all |= list[i].votes[v].dropped;
	for (size_t i = 0; i < ARRAY_SIZE(parts); i++)
		if (all & parts[i].part)
			json_array_append_new(names, json_string(parts[i].name));
	return names;
}

void judge_doc_put(struct grading *g, const struct judged *list, size_t n, int64_t wall_ms)
{
	const struct judge *j = judge_of(g);
	json_t *doc = json_object(), *rubrics = json_object();
	char identity[HASH_HEX];

	put_lm_evaluation(g, list, n, wall_ms);
	judge_prompt_identity(j, identity);
	json_put_str(doc, "model", j->model);
	json_put_str(doc, "model_id", j->model_id);
	json_put_str(doc, "provider", j->provider);
	json_put_str(doc, "api", j->api);
	json_put_str(doc, "prompt", identity);
	json_put_int(doc, "votes", j->votes);
	json_put(doc, "refused", dropped_doc(j, list, n));
	for (size_t i = 0; i < n; i++)
		json_put(rubrics, list[i].rubric->id, judged_doc(j, &list[i]));
	json_put(doc, "rubrics", rubrics);
	json_put(g->out->doc, "judge", doc);
}

/* --- the verdicts' file --------------------------------------------------------------------------- */

static void add_line(struct buf *out, json_t *j_take)
{
	json_format(out, j_take, false);
	buf_addc(out, '\n');
	json_decref(j_take);
}

static json_t *prompt_line(const struct judged *d)
{
	json_t *j = json_object();

	json_put_str(j, "kind", "prompt");
	json_put_str(j, "rubric_id", d->rubric->id);
	json_put_str(j, "sha256", d->prompt.hash);
	json_put_str(j, "system", judge_system);
	json_put_strn(j, "prompt", d->prompt.text.data, d->prompt.text.len);
	return j;
}

static json_t *vote_line(const struct judged *d, int number)
{
	const struct judge_vote *v = &d->votes[number];
	const struct judge_verdict *verdict = &v->verdict;
	json_t *j = json_object();

	json_put_str(j, "kind", "vote");
	json_put_str(j, "rubric_id", d->rubric->id);
	json_put_int(j, "vote", number);
	json_put_str(j, "sha256", d->prompt.hash);
	json_put(j, "score",
		 verdict->kind == VERDICT_SCORE ? json_real(verdict->score) : json_null());
	json_put_str(j, "reason", v->failed ? v->err.msg : v->reason);
	json_put_bool(j, "failed", v->failed);
	json_put(j, "control",
		 verdict->control >= 0 ? json_boolean(verdict->control) : json_null());
	json_put_bool(j, "reused", v->reused);
	json_put(j, "exchanges", v->exchanges ? json_incref(v->exchanges) : json_array());
	return j;
}

int judge_doc_write(const struct grading *g, const char *code, const struct judged *list, size_t n,
		    struct err *err)
{
	const struct judge *j = judge_of(g);
	AUTO(buf) struct buf text = BUF_INIT;
	json_t *head = json_object();

	json_put_str(head, "kind", "judge");
	json_put_str(head, "code", code);
	json_put_str(head, "model_id", j->model_id);
	add_line(&text, head);
	for (size_t i = 0; i < n; i++) {
		add_line(&text, prompt_line(&list[i]));
		for (int v = 0; v < j->votes; v++)
			add_line(&text, vote_line(&list[i], v));
	}
	return path_write(g->job->run_fd, ATTEMPT_VERDICTS, text.data, text.len, 0644,
			  g->job->attempt->sync, err);
}
