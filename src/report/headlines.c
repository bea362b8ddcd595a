/* SPDX-License-Identifier: GPL-3.0-or-later
 * The score in a few words. */
#include "base/cleanup.h"
#include "base/json.h"
#include "report/number.h"
#include "report/report.h"
#include "report/tables.h"

static void headline(struct buf *out, const struct summary_group *g)
{
	if (!g->tally.scored) {
		buf_addf(out, "none, %zu of %zu missing", g->tally.missing, g->tally.planned);
		return;
	}
	char text[NUMBER_TEXT], high[NUMBER_TEXT];
	buf_adds(out, number_score(text, g->mean.mean));
	if (g->mean.method != STATS_NONE)
		buf_addf(out, " [%s, %s]", number_score(text, g->mean.low),
			 number_score(high, g->mean.high));
	buf_adds(out, ", ");
	tables_basis(out, g);
	if (g->tally.missing)
		buf_addf(out, ", %zu of %zu missing", g->tally.missing, g->tally.planned);
	if (g->tally.replaced)
		buf_adds(out, "; ");
	tables_replaced(out, g);
}

/* A sweep is run to see its settings side by side; past a screenful the models must do. */
static enum group_level headline_level(const struct summary *s)
{
	enum { SCREENFUL = 12 };

	if (s->conditions_n > s->models_n && s->conditions_n <= SCREENFUL)
		return GROUP_CONDITION;
	return s->models_n > 1 ? GROUP_MODEL : GROUP_ALL;
}

/* Who answered, where that is not who was asked. */
static void headline_answers(struct buf *out, const struct summary *s,
			     const struct summary_group *g)
{
	AUTO(json) json_t *answered = summary_answered_by(s, g);
	const char *asked = g->of.model;

	if (g->level == GROUP_ALL)
		asked = s->models_n == 1 ? s->conditions[0].model : NULL;
	if (!asked || !json_object_size(answered) ||
	    (json_object_size(answered) == 1 && json_object_get(answered, asked)))
		return;
	buf_adds(out, "; answered by ");
	tables_answers(out, answered);
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

void report_headlines(struct strv *out, const struct summary *s)
{
	enum group_level level = headline_level(s);

	for (size_t i = 0; i < s->groups_n; i++) {
		const struct summary_group *g = &s->groups[i];
		AUTO(buf) struct buf line = BUF_INIT;
		if (g->level != level)
			continue;
		buf_adds(&line, "score ");
		if (level != GROUP_ALL)
			headline_name(&line, s, g);
		headline(&line, g);
		headline_answers(&line, s, g);
		strv_push(out, line.data);
	}
}
