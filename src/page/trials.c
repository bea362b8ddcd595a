/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "page/trials.h"
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/mem.h"
#include "base/text.h"
#include "page/texts.h"
#include "report/doc.h"
#include "report/number.h"

enum { REASON_SHOWN = 60, REASON_MAX = 600 };

/* Which columns say anything. */
struct columns {
	bool judged, tokens, tools, cost, suspect;
};

static struct columns columns_of(const struct summary *s)
{
	struct columns c = {0};

	for (size_t i = 0; i < s->rows_n; i++) {
		const struct trial_status *t = s->rows[i].status;
		if (!t->has_result)
			continue;
		c.judged |= t->result.more->judge_score >= 0;
		c.tokens |= t->result.tokens >= 0;
		c.tools |= t->result.tool_calls >= 0;
		c.cost |= t->result.money_usd >= 0;
		c.suspect |= t->result.suspect > 0;
	}
	return c;
}

static void put_head(struct buf *out, const struct columns *c, bool series)
{
	const struct {
		const char *name;
		bool shown, number;
	} all[] = {
		{"task", true, false},	     {"condition", series, false},
		{"rollout", true, true},     {"score", true, true},
		{"outcome", true, false},    {"judge", c->judged, true},
		{"tokens", c->tokens, true}, {"tools", c->tools, true},
		{"USD", c->cost, true},	     {"time, s", true, true},
	};

	buf_adds(out, "<thead><tr>");
	for (size_t i = 0; i < ARRAY_SIZE(all); i++)
		if (all[i].shown)
			buf_addf(out, "<th scope=\"col\"%s>%s</th>",
				 all[i].number ? " class=\"n\"" : "", all[i].name);
	buf_adds(out, "</tr></thead>\n");
}

static void put_text(struct buf *out, const char *text)
{
	buf_adds(out, "<td>");
	doc_html_text(out, text);
	buf_adds(out, "</td>");
}

static void put_number(struct buf *out, bool known, double value, int decimals)
{
	char text[48];

	snprintf(text, sizeof text, "%.*f", decimals, value);
	buf_addf(out, "<td class=\"n\">%s</td>", known ? text : "–");
}

static void put_score(struct buf *out, const struct summary_row *row)
{
	char text[NUMBER_TEXT];

	buf_addf(out, "<td class=\"n\">%s</td>",
		 row->standing == STANDING_SCORED
			 ? number_score(text, row->status->result.total_score)
		 : row->standing == STANDING_UNSCORED ? "–"
						      : "missing");
}

static const char *reason_of(const struct trial_status *t)
{
	if (trial_excluded(t))
		return trial_excluded(t)->reason;
	return t->has_result && t->result.reason ? t->result.reason : "";
}

static void put_outcome(struct buf *out, const struct summary_row *row)
{
	const char *reason = reason_of(row->status);
	size_t len = strlen(reason),
	       shown = len > REASON_SHOWN ? text_cut(reason, REASON_SHOWN) : len;
	AUTO(buf) struct buf part = BUF_INIT;

	buf_addf(out, "<td>%s", summary_state_name(row->state));
	if (row->status->has_result && row->status->result.suspect)
		buf_adds(out, ", suspect");
	if (shown) {
		buf_add(&part, reason, shown);
		buf_adds(out, " <small>");
		doc_html_text(out, part.data);
		buf_addf(out, "%s</small>", shown < len ? "…" : "");
	}
	buf_adds(out, "</td>");
}

/* What a row is filtered by: s(olved), f(ailed), m(issing), u(ngraded). */
static char standing_letter(const struct summary_row *row)
{
	if (row->standing == STANDING_SCORED)
		return row->status->result.total_score >= 1 ? 's' : 'f';
	return row->standing == STANDING_MISSING ? 'm' : 'u';
}

static void put_row(struct buf *out, const struct series_list *l, const struct columns *c,
		    const struct summary_row *row)
{
	const struct trial_status *t = row->status;
	const struct trial_result *x = &t->result;
	bool has = t->has_result;

	buf_adds(out, "<tr>");
	put_text(out, summary_task_name(l->summary, row));
	if (l->n > 1)
		put_text(out, l->v[row->condition].name);
	put_number(out, true, t->rollout, 0);
	put_score(out, row);
	put_outcome(out, row);
	if (c->judged)
		put_number(out, has && x->more->judge_score >= 0, x->more->judge_score, 3);
	if (c->tokens)
		put_number(out, has && x->tokens >= 0, (double)x->tokens, 0);
	if (c->tools)
		put_number(out, has && x->tool_calls >= 0, (double)x->tool_calls, 0);
	if (c->cost)
		put_number(out, has && x->money_usd >= 0, x->money_usd, 4);
	put_number(out, has && x->wall_ms >= 0, (double)x->wall_ms / 1000, 1);
	buf_adds(out, "</tr>\n");
}

static void put_fact(struct buf *out, const char *name, const char *value)
{
	if (!value || !*value)
		return;
	buf_addf(out, "<dt>%s</dt><dd>", name);
	doc_html_text(out, value);
	buf_adds(out, "</dd>");
}

/* What the row has no place for. */
static void put_facts(struct buf *out, const struct trial_status *t)
{
	const struct trial_result *x = &t->result;
	const char *reason = reason_of(t);
	char number[32];
	AUTO(free) char *cut = NULL;

	buf_adds(out, "<dl>");
	put_fact(out, "run", RUN_ID(t));
	if (strlen(reason) > REASON_SHOWN) {
		cut = xstrndup(reason, text_cut(reason, strlen(reason) < REASON_MAX ? strlen(reason)
										    : REASON_MAX));
		put_fact(out, "reason", cut);
	}
	if (t->attempts > 1) {
		snprintf(number, sizeof number, "%d of %d", texts_attempt(t), t->attempts);
		put_fact(out, "attempt", number);
	}
	if (t->has_result) {
		if (x->origin->served &&
		    strcmp(x->origin->served, t->shared->setting->model_id) != 0)
			put_fact(out, "answered by", x->origin->served);
		put_fact(out, "agent's version", x->origin->agent_version);
		if (x->suspect) {
			snprintf(number, sizeof number, "%d line%s", x->suspect,
				 x->suspect == 1 ? "" : "s");
			put_fact(out, "evidence against it", number);
		}
	}
	buf_adds(out, "</dl>\n");
}

static size_t width_of(const struct columns *c, bool series)
{
	return 5u + series + c->judged + c->tokens + c->tools + c->cost;
}

/* Everything of one trial but its texts. */
static void put_trial(struct buf *out, const struct series_list *l, const struct columns *c,
		      const struct summary_row *row, const struct buf *texts)
{
	buf_addf(out, "<tbody id=\"%s\" class=\"%c\">", RUN_ID(row->status), standing_letter(row));
	put_row(out, l, c, row);
	buf_addf(out, "<tr class=\"more\"><td colspan=\"%zu\">", width_of(c, l->n > 1));
	put_facts(out, row->status);
	if (texts->len)
		buf_add(out, texts->data, texts->len);
	else if (texts_attempt(row->status) < 1)
		buf_adds(out, "<p>It was not started.</p>");
	else
		buf_addf(out, "<p>Its texts: <code>rollouts show %s</code></p>",
			 RUN_ID(row->status));
	buf_adds(out, "</td></tr></tbody>\n");
}

size_t trials_bare(const struct series_list *l)
{
	const struct columns c = columns_of(l->summary);
	AUTO(buf) struct buf one = BUF_INIT;
	const struct buf none = BUF_INIT;
	size_t all = 0;

	for (size_t i = 0; i < l->summary->rows_n; i++) {
		buf_reset(&one);
		put_trial(&one, l, &c, &l->summary->rows[i], &none);
		all += one.len;
	}
	return all;
}

/* Texts of all trials, by row. What one leaves goes to those after it; those without a full score are last. */
static void read_texts(struct buf *texts, const struct series_list *l, size_t room)
{
	const struct summary *s = l->summary;
	size_t left = s->rows_n;

	for (int pass = 0; pass < 2; pass++)
		for (size_t i = 0; i < s->rows_n; i++) {
			const struct summary_row *row = &s->rows[i];
			if ((standing_letter(row) == 's') != (pass == 0))
				continue;
			const struct rollout *r = s->conditions[row->condition].rollout;
			AUTO(fd) int root = open(r->root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
			/* With less, there is room for nothing but markup. */
			enum { LEAST_ROOM = 800 };
			size_t share = room / left--;
			if (root >= 0 && share > LEAST_ROOM)
				texts_put(&texts[i], root, row->status, share);
			room -= texts[i].len < room ? texts[i].len : room;
		}
}

void trials_put(struct buf *out, const struct series_list *l, size_t room)
{
	const struct summary *s = l->summary;
	const struct columns c = columns_of(s);
	AUTO(free) struct buf *texts = xcalloc(s->rows_n + 1, sizeof *texts);

	for (size_t i = 0; i < s->rows_n; i++)
		texts[i] = (struct buf)BUF_INIT;
	read_texts(texts, l, room);
	buf_addf(out,
		 "<section id=\"trials\" aria-labelledby=\"trials-title\">\n<h2 "
		 "id=\"trials-title\">Trials</h2>\n"
		 "<form id=\"filter\" hidden role=\"search\" aria-label=\"Trials\">\n"
		 "<label>Show only <select id=\"which\"><option value=\"\">all</option>"
		 "<option value=\"f\">without a full score</option><option value=\"s\">with a full "
		 "score</option>"
		 "<option value=\"m\">missing</option><option value=\"u\">not "
		 "graded</option></select></label>\n"
		 "<label>with the words <input id=\"words\" type=\"search\" "
		 "autocomplete=\"off\"></label>\n"
		 "<output id=\"count\" aria-live=\"polite\">%zu trials</output>\n</form>\n"
		 "<div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-label=\"Table of "
		 "trials\">\n"
		 "<table id=\"trial-table\">\n",
		 s->rows_n);
	put_head(out, &c, l->n > 1);
	for (size_t i = 0; i < s->rows_n; i++) {
		put_trial(out, l, &c, &s->rows[i], &texts[i]);
		buf_release(&texts[i]);
	}
	buf_adds(out, "</table></div>\n</section>\n");
}
