/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "report/compare-flips.h"
#include <math.h>
#include <string.h>
#include "base/cleanup.h"
#include "base/mem.h"
#include "base/text.h"

#define DECIMALS 3

static void put_table(struct doc *d, const struct compare_flip *flips, size_t n)
{
	struct table t = {0};

	table_column(&t, "task", TABLE_LEFT);
	table_column(&t, "candidate", TABLE_RIGHT);
	table_column(&t, "baseline", TABLE_RIGHT);
	table_column(&t, "points", TABLE_RIGHT);
	table_column(&t, "candidate's run", TABLE_WHOLE);
	table_column(&t, "baseline's run", TABLE_WHOLE);
	for (size_t i = 0; i < n; i++) {
		const struct compare_flip *f = &flips[i];
		table_text(&t, f->task);
		table_score(&t, f->candidate);
		table_score(&t, f->baseline);
		table_textf(&t, "%+.1f", 100 * (f->candidate - f->baseline));
		table_text(&t, RUN_ID(f->candidate_run));
		table_text(&t, RUN_ID(f->baseline_run));
	}
	doc_table(d, &t);
}

bool compare_failed_test(struct failed_test *out, const struct comparison *c,
			 const struct compare_pair *p, const struct compare_flip *f)
{
	bool worse = f->candidate < f->baseline;
	const struct compare_side *side = &c->sides->v[worse ? p->candidate : p->baseline];
	const struct trial_status *run = worse ? f->candidate_run : f->baseline_run;

	return failed_test_find(out, side->rollout->root, RUN_ID(run), (int)run->result.attempt);
}

/* "t003: tests/quotes.sh: tests failed: assert 3 == 4", of the side that is worse. */
static void put_failure(struct doc *d, const struct comparison *c, const struct compare_pair *p,
			const struct compare_flip *f)
{
	struct failed_test failed;

	if (!compare_failed_test(&failed, c, p, f))
		return;
	doc_item(d);
	doc_text(d, f->task);
	doc_words(d, ": ");
	doc_text(d, failed.path);
	doc_words(d, ": ");
	doc_text(d, failed.reason);
	if (*failed.line) {
		doc_words(d, ": ");
		doc_code(d, failed.line);
	}
	failed_test_release(&failed);
}

static void add_show(struct buf *out, const char *run_id, const struct rollout *r)
{
	buf_addf(out, "<(rollouts show %s diff", run_id);
	if (strcmp(r->root, "data") != 0) {
		buf_adds(out, " --data-dir ");
		text_shell(out, r->root);
	}
	buf_adds(out, ")");
}

static void put_commands(struct doc *d, const struct comparison *c, const struct compare_pair *p)
{
	const struct compare_flip *f = &p->flips[0];
	AUTO(buf) struct buf command = BUF_INIT;

	buf_adds(&command, "diff -y ");
	add_show(&command, RUN_ID(f->candidate_run), c->sides->v[p->candidate].rollout);
	buf_addc(&command, ' ');
	add_show(&command, RUN_ID(f->baseline_run), c->sides->v[p->baseline].rollout);
	doc_words(d, "Look at one: rollouts show RUN_ID score. Both diffs side by side: ");
	doc_code(d, command.data);
}

void compare_flips_put(struct doc *d, const struct comparison *c, const struct compare_pair *p,
		       bool all)
{
	enum { FEW = 20, FEW_OF_SEVERAL = 5 };
	size_t few = c->pairs_n > 1 ? FEW_OF_SEVERAL : FEW;
	size_t shown = all || p->flips_n <= few ? p->flips_n : few;

	if (!p->flips_n)
		return;
	doc_heading(d, 2);
	doc_words(d, "Tasks that changed");
	if (c->pairs_n > 1) {
		doc_words(d, ", ");
		doc_text(d, c->sides->v[p->candidate].name);
		doc_words(d, " against ");
		doc_text(d, c->sides->v[p->baseline].name);
	}
	doc_words(d, ": %zu worse, %zu better", p->regressions, p->flips_n - p->regressions);
	put_table(d, p->flips, shown);
	for (size_t i = 0; i < shown; i++)
		put_failure(d, c, p, &p->flips[i]);
	doc_paragraph(d);
	if (shown < p->flips_n)
		doc_words(d, "%zu more: --flips. ", p->flips_n - shown);
	put_commands(d, c, p);
}
