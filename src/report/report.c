/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "report/report.h"
#include <math.h>
#include <sys/ioctl.h>
#include <unistd.h>
#include "base/cleanup.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/path.h"
#include "base/text.h"
#include "core/datadir.h"
#include "report/tables.h"

/* A summary being written for people. */
struct doc {
	struct buf *out;
	bool markdown;
	int width;
};

int report_width(int fd)
{
	struct winsize size;

	if (!isatty(fd))
		return 0;
	return ioctl(fd, TIOCGWINSZ, &size) == 0 && size.ws_col ? size.ws_col : 80;
}

const char *report_state(const struct rollout *r)
{
	if (r->live)
		return "running";
	if (rollout_is_complete(r))
		return "complete";
	for (size_t i = 0; i < r->trials_n; i++) {
		const struct trial_status *t = &r->trials[i];
		if (t->state == TRIAL_INTERRUPTED ||
		    (t->has_result && t->result.outcome == OUTCOME_CANCELLED))
			return "interrupted";
	}
	return "incomplete";
}

static void put(struct doc *d, const char *untrusted)
{
	if (d->markdown)
		text_markdown(d->out, untrusted);
	else
		text_renders(d->out, untrusted, TEXT_TERMINAL_LINE);
}

static void put_table(struct doc *d, const struct table *t)
{
	if (d->markdown)
		table_markdown(t, d->out);
	else
		table_terminal(t, d->width, d->out);
}

static void heading(struct doc *d, const char *title)
{
	buf_addf(d->out, "\n%s%s\n%s", d->markdown ? "## " : "", title, d->markdown ? "\n" : "");
}

/* Missing trials by outcome: names are static strings, at most one of each kind. */
struct missing_counts {
	const char *names[OUTCOME_COUNT_ + 3];
	size_t counts[OUTCOME_COUNT_ + 3];
	size_t n;
};

static void count_missing(const struct summary *s, struct missing_counts *m)
{
	*m = (struct missing_counts){.n = 0};
	for (size_t i = 0; i < s->rows_n; i++) {
		size_t k = 0;
		if (s->rows[i].standing != STANDING_MISSING)
			continue;
		while (k < m->n && strcmp(m->names[k], s->rows[i].outcome) != 0)
			k++;
		if (k == m->n)
			m->names[m->n++] = s->rows[i].outcome;
		m->counts[k]++;
	}
}

static void put_counts(struct doc *d, const struct summary *s)
{
	const struct tally *t = &summary_all(s)->tally;
	struct missing_counts m;

	buf_addf(d->out, "%zu planned: %zu scored", t->planned, t->scored);
	if (t->unscored)
		buf_addf(d->out, ", %zu not graded", t->unscored);
	buf_addf(d->out, ", %zu missing", t->missing);
	count_missing(s, &m);
	for (size_t i = 0; i < m.n; i++)
		buf_addf(d->out, "%s%zu %s", i ? ", " : " (", m.counts[i], m.names[i]);
	buf_adds(d->out, m.n ? ")\n" : "\n");
}

static void put_title(struct doc *d, const struct rollout *r)
{
	buf_adds(d->out, d->markdown ? "# " : "");
	put(d, r->ref.name);
	buf_adds(d->out, " ");
	put(d, r->ref.stamp);
	for (size_t i = 0; i < r->tags.n; i++) {
		buf_adds(d->out, i ? ", " : " (");
		put(d, r->tags.v[i]);
		buf_adds(d->out, i + 1 == r->tags.n ? ")" : "");
	}
	buf_addf(d->out, ": %s\n%s", report_state(r), d->markdown ? "\n" : "");
}

static bool uses(const struct summary *s, enum stats_method method, bool over_rollouts)
{
	for (size_t i = 0; i < s->groups_n; i++)
		if (s->groups[i].mean.method == method &&
		    s->groups[i].over_rollouts == over_rollouts)
			return true;
	return false;
}

/* Scores of two graders are not to be compared in silence. */
static size_t count_regraded(const struct rollout *r)
{
	size_t n = 0;

	for (size_t i = 0; i < r->trials_n; i++) {
		const struct trial_status *t = &r->trials[i];
		n += t->has_result && t->result.scored && t->result.task_hash[0] &&
		     strcmp(t->result.task_hash, t->trial.task_hash) != 0;
	}
	return n;
}

static void put_notes(struct doc *d, const struct summary *s)
{
	bool one_task = uses(s, STATS_T, true) || uses(s, STATS_WILSON, true);

	buf_adds(d->out, "\nMeans are over task means.\n");
	if (uses(s, STATS_WILSON, false))
		buf_adds(d->out, "95 % intervals are over tasks (t; Wilson where every task mean "
				 "is 0 or 1).\n");
	else if (uses(s, STATS_T, false))
		buf_adds(d->out, "95 % intervals are over tasks (t).\n");
	if (one_task)
		buf_adds(d->out, "With one task the interval is over its rollouts and says nothing "
				 "of other tasks.\n");
	size_t regraded = count_regraded(s->rollout);
	if (regraded)
		buf_addf(d->out,
			 "Scores with a task as corrected later (eval --config): %zu of %zu.\n",
			 regraded, summary_all(s)->tally.scored);
	if (summary_all(s)->tally.missing)
		buf_adds(d->out, "Missing trials are in no mean; \"if missing 0–1\" is the mean if "
				 "all of them had "
				 "scored 0, or 1.\n");
}

static void put_next(struct doc *d, const struct rollout *r)
{
	if (r->damaged_lines)
		buf_addf(d->out, "\n%d damaged line%s of " ROLLOUT_JOURNAL " skipped.\n",
			 r->damaged_lines, r->damaged_lines == 1 ? "" : "s");
	if (r->live || rollout_is_complete(r))
		return;
	AUTO(buf) struct buf command = BUF_INIT;
	store_command(&command, r->root, &r->ref, "resume");
	buf_adds(d->out, "\nFinish it: ");
	put(d, command.data);
	buf_addc(d->out, '\n');
}

typedef void table_maker(struct table *out, const struct summary *s);

static void put_section(struct doc *d, const struct summary *s, const char *title,
			table_maker *make)
{
	AUTO(table) struct table t = {0};
	make(&t, s);
	heading(d, title);
	put_table(d, &t);
}

static void trials_for_people(struct table *out, const struct summary *s)
{
	tables_trials(out, s, false);
}

static void put_document(struct doc *d, const struct summary *s)
{
	put_title(d, s->rollout);
	put_counts(d, s);
	put_section(d, s, "Trials", trials_for_people);
	put_section(d, s, "Aggregates", tables_groups);
	put_notes(d, s);
	put_section(d, s, "Per task", tables_tasks);
	if (s->failures_n)
		put_section(d, s, "Failures", tables_failures);
	put_next(d, s->rollout);
}

static json_t *interval_json(const struct stats_mean *m, const char *over)
{
	if (m->method == STATS_NONE)
		return json_null();
	json_t *j = json_object();
	json_put_real(j, "low", m->low);
	json_put_real(j, "high", m->high);
	json_put_real(j, "level", 0.95);
	json_put_str(j, "method", stats_method_name(m->method));
	json_put_str(j, "over", over);
	return j;
}

static void put_tally(json_t *j, const struct tally *t)
{
	json_put_int(j, "planned", (int64_t)t->planned);
	json_put_int(j, "scored", (int64_t)t->scored);
	json_put_int(j, "unscored", (int64_t)t->unscored);
	json_put_int(j, "missing", (int64_t)t->missing);
}

static void put_known(json_t *j, const char *key, int64_t value)
{
	if (value < 0)
		json_put_str(j, key, NULL);
	else
		json_put_int(j, key, value);
}

static json_t *group_json(const struct summary_group *g)
{
	static const char *const levels[] = {"model", "condition", "overall"};
	json_t *j = json_object();

	json_put_str(j, "level", levels[g->level]);
	json_put_str(j, "model", g->of.model);
	json_put_str(j, "label", g->of.label);
	json_put_str(j, "agent", g->of.agent);
	json_put_real(j, "mean", g->mean.mean);
	json_put(j, "interval", interval_json(&g->mean, g->over_rollouts ? "rollouts" : "tasks"));
	json_put_int(j, "tasks", (int64_t)g->tasks);
	json_put_int(j, "rollouts_min", (int64_t)g->rollouts_min);
	json_put_int(j, "rollouts_max", (int64_t)g->rollouts_max);
	put_tally(j, &g->tally);
	json_put_real(j, "if_missing_0", g->worst);
	json_put_real(j, "if_missing_1", g->best);
	put_known(j, "tokens", g->tokens);
	put_known(j, "tool_calls", g->tools);
	json_put_real(j, "money_usd", g->money_usd < 0 || g->unpriced ? NAN : g->money_usd);
	return j;
}

static json_t *cell_json(const struct summary *s, const struct summary_cell *cell)
{
	const struct summary_condition *c = &s->conditions[cell->condition];
	json_t *j = json_object();

	json_put_str(j, "task", summary_task_name(&s->rows[cell->first]));
	json_put_str(j, "model", c->model);
	json_put_str(j, "label", c->label);
	json_put_str(j, "agent", c->agent);
	json_put_real(j, "mean", cell->over_rollouts.mean);
	json_put_real(j, "max", cell->tally.scored ? cell->max : NAN);
	json_put(j, "interval", interval_json(&cell->over_rollouts, "rollouts"));
	put_tally(j, &cell->tally);
	return j;
}

static json_t *missing_json(const struct summary *s)
{
	struct missing_counts m;
	json_t *j = json_object();

	count_missing(s, &m);
	for (size_t i = 0; i < m.n; i++)
		json_put_int(j, m.names[i], (int64_t)m.counts[i]);
	return j;
}

static json_t *summary_json(const struct summary *s)
{
	const struct rollout *r = s->rollout;
	json_t *j = json_object(), *groups = json_array(), *tasks = json_array();
	AUTO(table) struct table trials = {0}, failures = {0};

	json_put_str(j, "name", r->ref.name);
	json_put_str(j, "stamp", r->ref.stamp);
	json_put_str(j, "config", r->config);
	json_put_str(j, "state", report_state(r));
	json_put_strv(j, "tags", &r->tags);
	put_tally(j, &summary_all(s)->tally);
	json_put(j, "missing_by_outcome", missing_json(s));
	for (size_t i = 0; i < s->groups_n; i++)
		json_array_append_new(groups, group_json(&s->groups[i]));
	json_put(j, "aggregates", groups);
	for (size_t i = 0; i < s->cells_n; i++)
		json_array_append_new(tasks, cell_json(s, &s->cells[i]));
	json_put(j, "tasks", tasks);
	tables_failures(&failures, s);
	json_put(j, "failures", table_json(&failures));
	tables_trials(&trials, s, true);
	json_put(j, "trials", table_json(&trials));
	json_put_int(j, "damaged_lines", r->damaged_lines);
	return j;
}

void report_summary(struct buf *out, const struct rollout *r, enum report_format format, int width)
{
	AUTO(summary) struct summary s;
	AUTO(table) struct table trials = {0};
	AUTO(json) json_t *j = NULL;
	struct doc d = {out, format == REPORT_MARKDOWN, width};

	summary_make(&s, r);
	switch (format) {
	case REPORT_TERMINAL:
	case REPORT_MARKDOWN:
		put_document(&d, &s);
		return;
	case REPORT_CSV:
		tables_trials(&trials, &s, true);
		table_csv(&trials, out);
		return;
	case REPORT_JSON:
		j = summary_json(&s);
		json_format(out, j, true);
		buf_addc(out, '\n');
	}
}

int report_write_summary(const struct store *s, const struct rollout *r, struct err *err)
{
	AUTO(buf) struct buf text = BUF_INIT;
	AUTO(free) char *path = path_join(r->ref.path, ROLLOUT_SUMMARY);

	report_summary(&text, r, REPORT_MARKDOWN, 0);
	return path_write(s->root_fd, path, text.data, text.len, 0644, false, err);
}

static void headline(struct buf *out, const struct summary_group *g)
{
	if (!g->tally.scored) {
		buf_addf(out, "none, %zu of %zu missing", g->tally.missing, g->tally.planned);
		return;
	}
	buf_addf(out, "%.3f", g->mean.mean);
	if (g->mean.method != STATS_NONE)
		buf_addf(out, " [%.3f, %.3f]", g->mean.low, g->mean.high);
	buf_adds(out, ", ");
	tables_basis(out, g);
	if (g->tally.missing)
		buf_addf(out, ", %zu of %zu missing", g->tally.missing, g->tally.planned);
}

void report_headline(struct buf *out, const struct rollout *r)
{
	AUTO(summary) struct summary s;

	summary_make(&s, r);
	buf_adds(out, "score ");
	headline(out, summary_all(&s));
}

/* A sweep is run to see its settings side by side; past a screenful the models must do. */
static enum group_level headline_level(const struct summary *s)
{
	enum { SCREENFUL = 12 };

	if (s->conditions_n > s->models_n && s->conditions_n <= SCREENFUL)
		return GROUP_CONDITION;
	return s->models_n > 1 ? GROUP_MODEL : GROUP_ALL;
}

static void headline_name(struct buf *out, const struct summary *s, const struct summary_group *g)
{
	const char *sep = "of ";

	if (s->models_n > 1 || *g->of.model) {
		buf_addf(out, "%s%s", sep, *g->of.model ? g->of.model : "(no model)");
		sep = ", ";
	}
	/* A label that was made already names the agent where agents differ. */
	const char *detail = g->of.label && *g->of.label ? g->of.label : g->of.agent;
	if (g->level == GROUP_CONDITION && (detail != g->of.agent || s->agents_n > 1))
		buf_addf(out, "%s%s", sep, detail);
	buf_adds(out, ": ");
}

void report_headlines(struct strv *out, const struct rollout *r)
{
	AUTO(summary) struct summary s;

	summary_make(&s, r);
	enum group_level level = headline_level(&s);
	for (size_t i = 0; i < s.groups_n; i++) {
		const struct summary_group *g = &s.groups[i];
		AUTO(buf) struct buf line = BUF_INIT;
		if (g->level != level)
			continue;
		buf_adds(&line, "score ");
		if (level != GROUP_ALL)
			headline_name(&line, &s, g);
		headline(&line, g);
		strv_push(out, line.data);
	}
}

bool report_mean(const struct rollout *r, double *mean)
{
	AUTO(summary) struct summary s;

	summary_make(&s, r);
	*mean = summary_all(&s)->mean.mean;
	return summary_all(&s)->tally.scored > 0;
}
