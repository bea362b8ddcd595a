/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "report/report.h"
#include <math.h>
#include <string.h>
#include "analysis/judges.h"
#include "base/cleanup.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/path.h"
#include "core/datadir.h"
#include "report/doc.h"
#include "report/notes.h"
#include "report/number.h"
#include "report/summary-json.h"
#include "report/tables.h"

static void put_counts(struct doc *d, const struct summary *s)
{
	const struct tally *t = &summary_all(s)->tally;
	const struct summary_missing *m = &s->missing;

	doc_paragraph(d);
	doc_words(d, "%zu planned: %zu scored", t->planned, t->scored);
	if (t->unscored)
		doc_words(d, ", %zu not graded", t->unscored);
	if (t->suspect)
		doc_words(d, ", %zu suspect", t->suspect);
	doc_words(d, ", %zu missing", t->missing);
	for (size_t i = 0; i < m->n; i++)
		doc_words(d, "%s%zu %s", i ? ", " : " (", m->count[i], m->outcome[i]);
	doc_words(d, "%s", m->n ? ")" : "");
}

static void put_title(struct doc *d, const struct rollout *r)
{
	doc_heading(d, 1);
	doc_text(d, r->ref.name);
	doc_words(d, " ");
	doc_text(d, r->ref.stamp);
	for (size_t i = 0; i < r->tags.n; i++) {
		doc_words(d, i ? ", " : " (");
		doc_text(d, r->tags.v[i]);
		doc_words(d, i + 1 == r->tags.n ? ")" : "");
	}
	doc_words(d, ": %s%s", rollout_state(r), r->live ? ", so far" : "");
}

static bool uses(const struct summary *s, enum stats_method method, bool over_rollouts)
{
	for (size_t i = 0; i < s->groups_n; i++)
		if (s->groups[i].mean.method == method &&
		    s->groups[i].over_rollouts == over_rollouts)
			return true;
	return false;
}

/* MOVED: of the trials whose task changed since (resume --regrade), those not graded again yet; else, those that eval
 * --config graded with a corrected task. Scores of two graders are not to be compared in silence. */
static size_t count_regraded(const struct rollout *r, bool moved)
{
	size_t n = 0;

	for (size_t i = 0; i < r->trials_n; i++) {
		const struct trial_status *t = &r->trials[i];
		const char *graded = trial_graded_hash(t);
		n += t->result.scored && *graded && (*t->shared->planned_hash != '\0') == moved &&
		     strcmp(graded, t->shared->task_hash) != 0;
	}
	return n;
}

/* By which share of rubrics the judge says are met, and what that comes to by the examples it was checked on. */
static void put_corrected(struct doc *d, const struct judges *all, const struct rollout *r)
{
	struct judges_corrected fixed = judges_correct(all, r, SUMMARY_LEVEL);

	if (!fixed.known)
		return;
	doc_words(d, " It says that %zu of %zu rubrics are met (%.3f).", all->met, all->judged,
		  (double)all->met / (double)all->judged);
	if (isnan(fixed.theta))
		doc_words(d,
			  " By the examples that it was checked on it does no better than chance.");
	else
		doc_words(d,
			  " Corrected by the %g examples that it was checked on (sensitivity %.2f, "
			  "specificity %.2f): %.3f, 95 %% interval %.3f–%.3f.",
			  fixed.examples, fixed.sensitivity, fixed.specificity, fixed.theta,
			  fixed.low, fixed.high);
}

static void put_votes(struct doc *d, const struct judges *all)
{
	size_t shown = 0;

	if (!isnan(all->se))
		doc_words(
			d,
			" That votes differ leaves a standard error of %.3f in the mean of what it "
			"says, which is part of every interval here.",
			all->se);
	if (!isnan(all->se) && isnan(all->alpha))
		doc_words(d, " How far they agree cannot be told: nothing varies.");
	if (isnan(all->alpha))
		return;
	doc_words(d, " Its votes agree by an alpha of %.2f over all rubrics", all->alpha);
	for (size_t i = 0; i < all->rubrics_n && shown < 5; i++) {
		const struct judges_rubric *one = &all->rubrics[i];
		if (isnan(one->alpha) || all->rubrics_n < 2)
			continue;
		doc_words(d, shown++ ? ", " : ": ");
		doc_text(d, one->id);
		doc_words(d, " %.2f", one->alpha);
	}
	doc_words(d, ".");
}

/* Scores of several judges, or of one that was asked in several ways, are not of one kind. */
static void put_judges(struct doc *d, const struct rollout *r)
{
	AUTO(judges) struct judges all = {0};

	judges_make(&all, r);
	if (!all.ways_n)
		return;
	doc_line_end(d);
	doc_words(d, all.ways_n > 1 ? "Judged in several ways, whose scores are not of one kind: "
				    : "Judged by ");
	for (size_t i = 0; i < all.ways_n; i++) {
		doc_words(d, i ? ", " : "");
		doc_text(d, all.ways[i].model);
		doc_words(d, " (prompt %.8s, %zu trial%s)", all.ways[i].prompt, all.ways[i].trials,
			  all.ways[i].trials == 1 ? "" : "s");
	}
	doc_words(d, ".");
	put_votes(d, &all);
	put_corrected(d, &all, r);
}

/* A mean over trials that different models answered is a mean of no model. */
static void put_mixed(struct doc *d, const struct summary *s)
{
	for (size_t i = 0; i < s->groups_n; i++) {
		const struct summary_group *g = &s->groups[i];
		AUTO(json) json_t *answered = summary_answered_by(s, g);
		AUTO(buf) struct buf text = BUF_INIT;
		if (g->level != GROUP_MODEL || json_object_size(answered) < 2)
			continue;
		tables_answers(&text, answered);
		doc_line_end(d);
		doc_words(d, "Several models answered for ");
		doc_text(d, g->of.model);
		doc_words(d, ", and its mean is over all of them: ");
		doc_text(d, text.data);
		doc_words(d, ". Which one answered a trial: answered_by of --csv.");
	}
}

/* Which version of its agent each was; our own has that of the program. */
static void put_versions(struct doc *d, const struct summary *s)
{
	AUTO(strv) struct strv seen = STRV_INIT;

	for (size_t i = 0; i < s->rows_n; i++) {
		const struct summary_row *row = &s->rows[i];
		const char *agent = s->conditions[row->condition].agent;
		const struct trial_result *r = &row->status->result;
		const char *version =
			row->status->has_result && r->origin && r->origin->agent_version
				? r->origin->agent_version
				: "";
		if (!*version || !strcmp(agent, "bash") || strchr(agent, '@'))
			continue;
		AUTO(free) char *line = xasprintf("%s %s", agent, version);
		if (!strv_has(&seen, line))
			strv_push(&seen, line);
	}
	if (!seen.n)
		return;
	doc_line_end(d);
	doc_words(d, seen.n == 1 ? "Agent: " : "Agents: ");
	for (size_t i = 0; i < seen.n; i++) {
		doc_words(d, i ? ", " : "");
		doc_text(d, seen.v[i]);
	}
	doc_words(d, ".");
}

static void put_clusters(struct doc *d, const struct summary *s)
{
	const struct clusters *c = &s->clusters;

	if (s->options.question == SUMMARY_THESE_TASKS || s->tasks_n < 2)
		return;
	if (c->of) {
		doc_line_end(d);
		doc_words(d,
			  "The %zu tasks are of %zu cluster%s, and those of one may depend on each "
			  "other: the clusters are the units.",
			  s->tasks_n, c->n, c->n == 1 ? "" : "s");
	} else if (c->repositories > 1 && c->repositories < s->tasks_n && !s->options.cluster) {
		doc_line_end(d);
		doc_words(d,
			  "The tasks are of %zu repositories: an interval for others as well takes "
			  "--cluster repository.",
			  c->repositories);
	}
}

/* What was read as one need not have been one. */
static void put_pool(struct doc *d, const struct rollout *r)
{
	bool programs = false, configs = false;

	if (!r->parts_n)
		return;
	for (size_t i = 1; i < r->parts_n; i++) {
		programs |= strcmp(r->parts[i].program, r->parts[0].program) != 0;
		configs |= strcmp(r->parts[i].config_hash, r->parts[0].config_hash) != 0;
	}
	doc_line_end(d);
	doc_words(d, "%zu rollouts are read as one.", r->parts_n);
	if (configs || programs)
		doc_words(d, " They differ in %s%s%s.", configs ? "their config" : "",
			  configs && programs ? " and " : "",
			  programs ? "the version of rollouts" : "");
	if (r->renamed)
		doc_words(d,
			  " Tasks changed in between: %zu trial%s of earlier forms stand%s apart, "
			  "as ID@HASH.",
			  r->renamed, r->renamed == 1 ? "" : "s", r->renamed == 1 ? "s" : "");
}

/* At all times: how many tasks say nothing, since nobody solves them, and how many are a matter of luck. */
static void put_unsolved(struct doc *d, const struct summary *s)
{
	const struct summary_group *all = summary_all(s);

	if (!all->tasks)
		return;
	doc_line_end(d);
	doc_words(d, "%zu of %zu task%s solved by nobody, %zu sometimes.", all->never, all->tasks,
		  all->tasks == 1 ? "" : "s", all->sometimes);
}

void report_left_out(struct buf *out, const struct rollout *r)
{
	size_t skipped = 0, ignored = 0;

	for (size_t i = 0; i < r->trials_n; i++) {
		skipped += r->trials[i].has_result && r->trials[i].result.more->skipped > 0;
		ignored += r->trials[i].has_result && r->trials[i].result.more->ignored > 0;
	}
	if (!skipped && !ignored)
		return;
	buf_adds(out, "New files that diffs leave out, and no test saw: ");
	if (skipped)
		buf_addf(out, "of %zu trial%s for their size or kind", skipped,
			 skipped == 1 ? "" : "s");
	if (ignored)
		buf_addf(out, "%sof %zu by .gitignore", skipped ? ", " : "", ignored);
	buf_adds(out, "; rollouts show RUN_ID lists them");
}

/* A score from a sandbox that holds less is not to be mixed with others in silence, nor taken for one of theirs. */
static void put_weaker(struct doc *d, const struct rollout *r)
{
	size_t n = 0;

	for (size_t i = 0; i < r->trials_n; i++)
		n += r->trials[i].shared->setting->sandbox == SANDBOX_LANDLOCK;
	if (!n)
		return;
	doc_line_end(d);
	if (n == r->trials_n)
		doc_words(
			d,
			"All %zu trial%s ran in a weaker sandbox (landlock), see docs/sandbox.md.",
			n, n == 1 ? "" : "s");
	else
		doc_words(d,
			  "%zu of %zu trials ran in a weaker sandbox (landlock, see "
			  "docs/sandbox.md) and "
			  "are in one mean with those of another: summarize them apart by their "
			  "labels.",
			  n, r->trials_n);
}

static void put_builds(struct doc *d, const struct summary *s)
{
	AUTO(buf) struct buf builds = BUF_INIT;

	tables_builds(&builds, s);
	if (!builds.len)
		return;
	doc_line_end(d);
	doc_words(d, "The results were made by different builds of rollouts: ");
	doc_text(d, builds.data);
	doc_words(d, ".");
}

/* Such a grading may say more of the machine than of the work. */
static void put_disturbed(struct doc *d, const struct rollout *r)
{
	size_t n = rollout_count_disturbed(r);

	if (!n)
		return;
	doc_line_end(d);
	doc_words(
		d,
		"%zu grading%s disturbed: a test timed out while the machine was busy, or was "
		"killed. Once it is quiet: rollouts eval; with eval_retries such are graded again, "
		"one at a time, when a run ends.",
		n, n == 1 ? " was" : "s were");
}

static void put_notes(struct doc *d, const struct summary *s, const struct rollout *r)
{
	double percent = 100 * s->options.level;

	doc_paragraph(d);
	doc_words(d, "Means are over task means.");
	if (s->options.question == SUMMARY_THESE_TASKS) {
		doc_line_end(d);
		doc_words(d,
			  "%g %% intervals are for these tasks, run again; of other tasks they say "
			  "nothing.",
			  percent);
	} else if (uses(s, STATS_WILSON, false) || uses(s, STATS_LOGIT_T, false)) {
		doc_line_end(d);
		doc_words(d, "%g %% intervals are for tasks like these: %s.", percent,
			  uses(s, STATS_WILSON, false)
				  ? "Student's t on the logit scale, Wilson's where fewer than six "
				    "tasks can move the mean"
				  : "Student's t on the logit scale");
	}
	put_clusters(d, s);
	if (uses(s, STATS_WILSON, true)) {
		doc_line_end(d);
		doc_words(d, "With one task the interval is over its rollouts and says nothing of "
			     "other tasks.");
	}
	put_pool(d, r);
	put_builds(d, s);
	put_unsolved(d, s);
	put_weaker(d, r);
	put_versions(d, s);
	put_mixed(d, s);
	put_judges(d, r);
	AUTO(buf) struct buf replaced = BUF_INIT;
	tables_replaced(&replaced, summary_all(s));
	if (replaced.len) {
		doc_line_end(d);
		doc_words(d, "Rerun because of an outcome (resume --retry): %s.", replaced.data);
	}
	if (summary_all(s)->states[STATE_EXCLUDED]) {
		size_t n = summary_all(s)->states[STATE_EXCLUDED];
		doc_line_end(d);
		doc_words(d, "%zu trial%s excluded by hand and counted as missing", n,
			  n == 1 ? " is" : "s are");
		if (!isnan(summary_all(s)->with_excluded))
			doc_words(d, "; with %s the mean of all would be %s",
				  n == 1 ? "it" : "them",
				  number_score((char[NUMBER_TEXT]){0},
					       summary_all(s)->with_excluded));
		doc_words(d, ".");
	}
	if (summary_all(s)->tally.suspect) {
		doc_line_end(d);
		doc_words(d,
			  "Suspect trials changed what their tests are run with. They are scored "
			  "on a tree without those changes; what each did: rollouts show RUN_ID.");
	}
	put_disturbed(d, r);
	size_t outdated = count_regraded(r, true), regraded = count_regraded(r, false);
	if (outdated) {
		doc_line_end(d);
		doc_words(d,
			  "Scores by tests that were changed since, and not graded again yet "
			  "(rollouts resume): %zu of %zu.",
			  outdated, summary_all(s)->tally.scored);
	}
	if (regraded) {
		doc_line_end(d);
		doc_words(d, "Scores with a task as corrected later (eval --config): %zu of %zu.",
			  regraded, summary_all(s)->tally.scored);
	}
	AUTO(buf) struct buf left_out = BUF_INIT;
	report_left_out(&left_out, r);
	if (left_out.len) {
		doc_line_end(d);
		doc_words(d, "%s.", left_out.data);
	}
	if (summary_all(s)->tally.missing) {
		doc_line_end(d);
		doc_words(d, "Missing trials are in no mean; \"if missing 0–1\" is the mean if all "
			     "of them had scored 0, or 1.");
	}
}

/* Attempts that failed and were made again are in no column. */
static void put_spent(struct doc *d, const struct summary *s, const struct rollout *r)
{
	const struct summary_group *all = summary_all(s);
	double counted = all->money_usd > 0 ? all->money_usd : 0, lost = r->cost.usd - counted;

	if (!r->cost.calls)
		return;
	doc_paragraph(d);
	doc_words(d, "Spent in all: %.2f USD, %lld tokens in %lld call%s", r->cost.usd,
		  (long long)r->cost.tokens, (long long)r->cost.calls,
		  r->cost.calls == 1 ? "" : "s");
	if (r->cost.unpriced_calls)
		doc_words(d, "; %lld of them without a price", (long long)r->cost.unpriced_calls);
	else if (lost >= 0.005)
		doc_words(d, "; %.2f of it for judges and for attempts that brought no result",
			  lost);
	doc_words(d, ".");
}

/* Its trials ran elsewhere, and cannot here. */
static bool is_imported(const struct rollout *r)
{
	const char *name;
	json_t *spec;

	json_object_foreach (r->agents, name, spec)
		if (!strcmp(json_get_str(spec, "kind", ""), "imported"))
			return true;
	return false;
}

static void put_next(struct doc *d, const struct rollout *r)
{
	AUTO(buf) struct buf command = BUF_INIT;

	if (r->damaged_lines) {
		doc_paragraph(d);
		doc_words(d, "%d damaged line%s of events.jsonl skipped.", r->damaged_lines,
			  r->damaged_lines == 1 ? "" : "s");
	}
	if (r->strangers) {
		doc_paragraph(d);
		doc_words(d, "%zu of its run folders, the first being ", r->strangers);
		doc_text(d, r->stranger);
		doc_words(
			d,
			", belong%s to another rollout: data folders were copied over each other.",
			r->strangers == 1 ? "s" : "");
	}
	if (r->live || rollout_is_complete(r) || is_imported(r))
		return;
	for (size_t i = 0; i < r->parts_n; i++) {
		if (r->parts[i].complete)
			continue;
		buf_adds(&command, command.len ? "; " : "");
		store_command(&command, r->root, &r->parts[i].ref, "resume");
	}
	if (!r->parts_n)
		store_command(&command, r->root, &r->ref, "resume");
	doc_paragraph(d);
	doc_words(d, "Finish it: ");
	doc_text(d, command.data);
}

static void put_section(struct doc *d, const char *title, struct table *take)
{
	doc_heading(d, 2);
	doc_words(d, "%s", title);
	doc_table(d, take);
}

/* A table that may have nothing to tell. */
static void put_some(struct doc *d, const char *title, const struct summary *s,
		     void (*make)(struct table *, const struct summary *))
{
	struct table t = {0};

	make(&t, s);
	if (table_rows(&t))
		put_section(d, title, &t);
	else
		table_release(&t);
}

/* What was asked for comes first, what can be looked up comes last: each trial. */
static void put_trials(struct doc *d, const struct summary *s, const struct rollout *r,
		       const struct report_form *form)
{
	enum { FEW = 40 };
	struct table t = {0};

	if (form->all_trials || (form->format != REPORT_MARKDOWN && s->rows_n <= FEW)) {
		tables_trials(&t, s, false);
		put_section(d, "Trials", &t);
		return;
	}
	AUTO(buf) struct buf command = BUF_INIT;
	store_command(&command, r->root, &r->ref, "summarize");
	doc_paragraph(d);
	doc_words(d, s->rows_n == 1 ? "The trial: " : "Each of the %zu trials: ", s->rows_n);
	doc_text(d, command.data);
	doc_words(d, " --trials");
}

void report_document_top(struct doc *d, const struct summary *s, const struct rollout *r)
{
	put_title(d, r);
	put_counts(d, s);
}

void report_document_rest(struct doc *d, const struct summary *s, const struct rollout *r)
{
	put_notes(d, s, r);
	put_some(d, "Effort", s, tables_effort);
	put_some(d, "Excluded", s, tables_excluded);
	put_some(d, "Models", s, tables_models);
	put_some(d, "Metrics", s, tables_measures);
	put_some(d, "Failures", s, tables_failures);
	put_spent(d, s, r);
	put_next(d, r);
}

/* LEFT_OUT rows of tasks are not in S for want of room; BRIEF: nor is all that is not about the whole. */
static void make_document(struct doc *d, const struct summary *s, const struct rollout *r,
			  const struct report_form *form, size_t left_out, bool brief)
{
	struct table t = {0};

	put_title(d, r);
	report_said(d, r);
	put_counts(d, s);
	tables_groups(&t, s);
	put_section(d, "Aggregates", &t);
	put_notes(d, s, r);
	if (!brief) {
		put_some(d, "Solved", s, tables_solved);
		put_some(d, "Effort", s, tables_effort);
		put_some(d, "Outcomes", s, tables_outcomes);
		tables_tasks(&t, s);
		put_section(d, "Per task", &t);
		doc_paragraph(d);
		doc_words(d, "Rollouts in their order: █ 1, ▁ to ▇ between, · 0, – not graded, ? "
			     "missing.");
	}
	if (left_out) {
		doc_paragraph(d);
		doc_words(
			d,
			"%zu row%s of tasks %s left out for want of room, those first that all or "
			"nobody solved%s.",
			left_out, left_out == 1 ? "" : "s", left_out == 1 ? "is" : "are",
			brief ? ", and so are the other tables" : "");
	}
	if (!brief) {
		put_some(d, "Excluded", s, tables_excluded);
		put_some(d, "Models", s, tables_models);
		put_some(d, "Metrics", s, tables_measures);
		put_some(d, "Failures", s, tables_failures);
	}
	put_spent(d, s, r);
	put_trials(d, s, r, form);
	put_next(d, r);
}

/* How much a row of a task says: nothing new where all its rollouts say the same. */
static int tells(const struct summary *s, size_t shown)
{
	const struct summary_cell *c = &s->cells[s->shown[shown]];

	if (c->tally.missing || c->tally.unscored || !c->tally.scored)
		return 3;
	if (c->sum > 0 && c->sum < (double)c->tally.scored)
		return 2;
	return c->sum > 0 ? 0 : 1;
}

/* As Markdown with the N rows of tasks that tell most, in their order. */
static void put_rows(struct buf *out, const struct summary *s, const struct rollout *r,
		     const struct report_form *form, size_t n, bool brief)
{
	AUTO(doc) struct doc d = {0};
	AUTO(free) bool *kept = xcalloc(s->shown_n + 1, sizeof *kept);
	AUTO(free) size_t *shown = xcalloc(s->shown_n + 1, sizeof *shown);
	struct summary some = *s;
	size_t chosen = 0;

	for (int level = 3; level >= 0; level--)
		for (size_t i = 0; i < s->shown_n && chosen < n; i++)
			if (tells(s, i) == level)
				chosen += kept[i] = true;
	some.shown = shown;
	some.shown_n = 0;
	for (size_t i = 0; i < s->shown_n; i++)
		if (kept[i])
			shown[some.shown_n++] = s->shown[i];
	make_document(&d, &some, r, form, s->shown_n - n, brief);
	out->len = 0;
	doc_markdown(&d, out);
}

/* First the list of trials goes, then rows of tasks, then all other tables. */
static void put_fitting(struct buf *out, const struct summary *s, const struct rollout *r,
			const struct report_form *form)
{
	const struct report_form less = {.format = form->format};
	size_t fits = 0, too_many = s->shown_n + 1;

	put_rows(out, s, r, form, s->shown_n, false);
	if (out->len <= form->max_bytes)
		return;
	while (too_many - fits > 1) {
		size_t n = (fits + too_many) / 2;
		put_rows(out, s, r, &less, n, false);
		*(out->len <= form->max_bytes ? &fits : &too_many) = n;
	}
	put_rows(out, s, r, &less, fits, false);
	if (out->len > form->max_bytes)
		put_rows(out, s, r, &less, 0, true);
}

void report_summary(struct buf *out, const struct summary *s, const struct rollout *r,
		    const struct report_form *form)
{
	AUTO(table) struct table trials = {0};
	AUTO(doc) struct doc d = {0};

	if (form->format == REPORT_JSON) {
		summary_json(out, s, r);
		return;
	}
	if (form->format == REPORT_CSV || form->format == REPORT_SHEET) {
		tables_trials(&trials, s, true);
		table_csv(&trials, form->format == REPORT_SHEET, out);
		return;
	}
	if (form->format == REPORT_MARKDOWN && form->max_bytes) {
		put_fitting(out, s, r, form);
		return;
	}
	make_document(&d, s, r, form, 0, false);
	report_document(out, &d, form);
}

int report_write_summary(const struct store *store, const struct summary *s,
			 const struct rollout *r, struct err *err)
{
	AUTO(buf) struct buf text = BUF_INIT;
	AUTO(free) char *path = path_join(r->ref.path, ROLLOUT_SUMMARY);

	report_summary(&text, s, r, &(struct report_form){.format = REPORT_MARKDOWN});
	return path_write(store->root_fd, path, text.data, text.len, 0644, false, err);
}

int report_refresh_summary(const struct store *store, const struct rollout_ref *ref,
			   struct err *err)
{
	struct summary s;
	struct rollout r;

	if (rollout_load(&r, store, ref, err))
		return -1;
	summary_make(&s, (const struct rollout *[]){&r}, 1, &SUMMARY_DEFAULT);
	int status = report_write_summary(store, &s, &r, err);
	summary_release(&s);
	rollout_release(&r);
	return status;
}

bool report_mean(const struct rollout *r, double *mean, size_t *replaced, double *first)
{
	AUTO(summary) struct summary s;

	summary_make(&s, &r, 1, &SUMMARY_DEFAULT);
	*mean = summary_all(&s)->mean.mean;
	*replaced = summary_all(&s)->tally.replaced;
	*first = summary_all(&s)->first_tries;
	return summary_all(&s)->tally.scored > 0;
}
