/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "report/compare-junit.h"
#include "base/cleanup.h"
#include "report/compare-report.h"
#include "report/doc.h"
#include "report/number.h"

void compare_junit_begin(struct buf *out)
{
	buf_adds(out, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites name=\"rollouts "
		      "compare\">\n");
}

void compare_junit_end(struct buf *out)
{
	buf_adds(out, "</testsuites>\n");
}

static void attribute(struct buf *out, const char *name, const char *value)
{
	buf_addf(out, " %s=\"", name);
	doc_html_text(out, value);
	buf_addc(out, '"');
}

/* "failure", "error" or NULL: fine. */
static const char *what_is_wrong(const struct comparison *c, const struct compare_pair *p,
				 bool advises)
{
	if (advises)
		return NULL;
	if (c->options.margin <= 0)
		return p->verdict == STATS_WORSE ? "failure" : NULL;
	if (p->gate == STATS_PASS)
		return NULL;
	return p->gate == STATS_FAIL ? "failure" : "error";
}

/* What a reader of the results needs first: the sentence, then the tasks that became worse. */
static void explain(struct buf *out, const struct comparison *c, const struct compare_pair *p)
{
	AUTO(buf) struct buf text = BUF_INIT;

	compare_report_verdict_of(&text, c, p);
	doc_html_text(out, text.data);
	for (size_t i = 0; i < p->regressions; i++) {
		buf_adds(out, "\n");
		doc_html_text(out, p->flips[i].task);
		buf_addf(out, ": %s, was %s: ",
			 number_score((char[NUMBER_TEXT]){0}, p->flips[i].candidate),
			 number_score((char[NUMBER_TEXT]){0}, p->flips[i].baseline));
		doc_html_text(out, RUN_ID(p->flips[i].candidate_run));
	}
}

static void put_case(struct buf *out, const struct comparison *c, const struct compare_pair *p,
		     bool advises)
{
	const struct compare_side *a = &c->sides->v[p->candidate], *b = &c->sides->v[p->baseline];
	const char *wrong = what_is_wrong(c, p, advises);
	AUTO(buf) struct buf name = BUF_INIT;

	buf_addf(&name, "%s against %s", a->name, b->name);
	buf_adds(out, "    <testcase");
	attribute(out, "classname", a->rollout->ref.name);
	attribute(out, "name", name.data);
	buf_adds(out, ">");
	if (wrong) {
		buf_addf(out, "<%s", wrong);
		attribute(out, "message",
			  c->options.margin > 0 ? compare_report_gate(p->gate)
						: compare_report_verdict(p->verdict));
		buf_adds(out, ">");
	} else {
		buf_adds(out, "<system-out>");
	}
	explain(out, c, p);
	buf_addf(out, "</%s></testcase>\n", wrong ? wrong : "system-out");
}

void compare_junit_suite(struct buf *out, const struct comparison *c, bool advises)
{
	size_t failures = 0, errors = 0;

	for (size_t i = 0; i < c->pairs_n; i++) {
		const char *wrong = what_is_wrong(c, &c->pairs[i], advises);
		failures += wrong && *wrong == 'f';
		errors += wrong && *wrong == 'e';
	}
	buf_adds(out, "  <testsuite");
	attribute(out, "name", c->sides->v[0].rollout->ref.name);
	buf_addf(out, " tests=\"%zu\" failures=\"%zu\" errors=\"%zu\">\n", c->pairs_n, failures,
		 errors);
	for (size_t i = 0; i < c->pairs_n; i++)
		put_case(out, c, &c->pairs[i], advises);
	buf_adds(out, "  </testsuite>\n");
}
