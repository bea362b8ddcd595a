/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "cmd/judge-report.h"
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/path.h"
#include "base/text.h"
#include "core/datadir.h"
#include "report/report.h"
#include "report/table.h"
#include "stats/proportion.h"
#include "stats/rating.h"

/* What became of the examples, or of one kind of them. */
struct counts {
	const char *kind;
	size_t n, scored, agree;
	size_t good, good_found; /* people say met; and so does the judge */
	size_t bad, bad_found;	 /* people say not met; and so does the judge */
	double human, judge;	 /* sums over the scored ones */
	size_t control_wrong;
};

struct checked {
	struct counts all;
	struct counts *kinds;
	size_t kinds_n, kinds_cap;
	double alpha; /* of people and judge; NAN: nothing varies */
};

static struct counts *kind_of(struct checked *c, const char *kind)
{
	for (size_t i = 0; i < c->kinds_n; i++)
		if (strcmp(c->kinds[i].kind, kind) == 0)
			return &c->kinds[i];
	GROW(c->kinds, c->kinds_n, c->kinds_cap);
	c->kinds[c->kinds_n] = (struct counts){.kind = kind};
	return &c->kinds[c->kinds_n++];
}

/* The mean of the votes; NAN: half of them or fewer have a score. */
static double mean_of(const struct judge_vote *votes, int n, size_t *control_wrong)
{
	double sum = 0;
	int known = 0;

	for (int i = 0; i < n; i++) {
		*control_wrong += votes[i].control_wrong;
		if (votes[i].verdict.kind != VERDICT_SCORE)
			continue;
		sum += votes[i].verdict.score;
		known++;
	}
	return 2 * known > n ? sum / known : NAN;
}

static void count(struct counts *c, double human, double judge, size_t control_wrong)
{
	const bool good = human >= 0.5, found = judge >= 0.5;

	c->n++;
	c->control_wrong += control_wrong;
	if (isnan(judge))
		return;
	c->scored++;
	c->agree += good == found;
	c->good += good;
	c->good_found += good && found;
	c->bad += !good;
	c->bad_found += !good && !found;
	c->human += human;
	c->judge += judge;
}

static void check_all(struct checked *c, const struct judge *j, const struct gold *g,
		      const struct judge_vote *votes)
{
	AUTO(free) double *both = xcalloc(2 * g->n, sizeof *both);

	for (size_t i = 0; i < g->n; i++) {
		const struct gold_example *e = &g->v[i];
		size_t wrong = 0;
		double score = mean_of(votes + i * (size_t)j->votes, j->votes, &wrong);

		count(&c->all, e->human, score, wrong);
		count(kind_of(c, e->kind), e->human, score, wrong);
		both[i] = e->human;
		both[g->n + i] = score;
	}
	c->alpha = stats_krippendorff(both, 2, g->n, STATS_INTERVAL);
}

static void add_share(struct buf *out, const char *what, size_t found, size_t n)
{
	struct stats_interval i;

	if (!n) {
		buf_addf(out, "%s: no example tells\n", what);
		return;
	}
	i = stats_wilson((double)found, (double)n, 0.95);
	buf_addf(out, "%s %.3f (%zu of %zu, 95 %% interval %.3f–%.3f)\n", what,
		 (double)found / (double)n, found, n, i.low, i.high);
}

static void print_table(const struct checked *c)
{
	AUTO(table) struct table t = {0};
	AUTO(buf) struct buf text = BUF_INIT;

	table_column(&t, "kind", TABLE_LEFT);
	table_column(&t, "examples", TABLE_RIGHT);
	table_column(&t, "unscored", TABLE_RIGHT);
	table_column(&t, "people", TABLE_RIGHT);
	table_column(&t, "judge", TABLE_RIGHT);
	table_column(&t, "agree", TABLE_RIGHT);
	for (size_t i = 0; i <= c->kinds_n; i++) {
		const struct counts *k = i < c->kinds_n ? &c->kinds[i] : &c->all;
		table_text(&t, i == c->kinds_n ? "all" : *k->kind ? k->kind : "(no kind)");
		table_int(&t, (int64_t)k->n);
		table_int(&t, (int64_t)(k->n - k->scored));
		if (!k->scored) {
			table_missing(&t, NULL);
			table_missing(&t, NULL);
			table_missing(&t, NULL);
			continue;
		}
		table_score(&t, k->human / (double)k->scored);
		table_score(&t, k->judge / (double)k->scored);
		table_textf(&t, "%zu/%zu", k->agree, k->scored);
	}
	table_terminal(&t, report_width(STDOUT_FILENO), &text);
	fwrite(text.data, 1, text.len, stdout);
}

static void print_text(const struct judge *j, const struct checked *c, const char *prompt,
		       const struct gateway_totals *totals)
{
	AUTO(buf) struct buf out = BUF_INIT;
	const struct counts *a = &c->all;

	printf("judge %s (%s at %s), prompt %.8s, %d vote%s an example\n", j->model, j->model_id,
	       j->provider, prompt, j->votes, j->votes == 1 ? "" : "s");
	print_table(c);
	add_share(&out, "sensitivity (says met where people do)", a->good_found, a->good);
	add_share(&out, "specificity (says not met where people do)", a->bad_found, a->bad);
	add_share(&out, "agreement", a->agree, a->scored);
	if (!isnan(c->alpha))
		buf_addf(&out, "Krippendorff's alpha of people and judge %.3f\n", c->alpha);
	if (j->canary)
		buf_addf(&out, "control statements judged wrongly: %zu\n", a->control_wrong);
	buf_addf(&out, "%lld calls, %lld tokens", (long long)totals->calls,
		 (long long)totals->tokens);
	if (totals->unpriced_calls)
		buf_adds(&out, ", cost N/A\n");
	else
		buf_addf(&out, ", $%.4f\n", totals->usd);
	fwrite(out.data, 1, out.len, stdout);
}

static json_t *counts_json(const struct counts *c)
{
	json_t *j = json_object();

	json_put_int(j, "examples", (int64_t)c->n);
	json_put_int(j, "scored", (int64_t)c->scored);
	json_put_int(j, "agree", (int64_t)c->agree);
	json_put_int(j, "met", (int64_t)c->good);
	json_put_int(j, "met_found", (int64_t)c->good_found);
	json_put_int(j, "not_met", (int64_t)c->bad);
	json_put_int(j, "not_met_found", (int64_t)c->bad_found);
	json_put_int(j, "control_wrong", (int64_t)c->control_wrong);
	json_put_real(j, "people", c->human / (double)c->scored);
	json_put_real(j, "judge", c->judge / (double)c->scored);
	return j;
}

static json_t *document(const struct judge *j, const struct checked *c, const char *prompt)
{
	json_t *doc = json_object(), *kinds = json_object();
	const struct counts *a = &c->all;
	char now[CLOCK_STAMP + 8];

	clock_iso(clock_wall_ms(), now);
	json_put_int(doc, "v", 1);
	json_put_str(doc, "model", j->model);
	json_put_str(doc, "model_id", j->model_id);
	json_put_str(doc, "provider", j->provider);
	json_put_str(doc, "prompt", prompt);
	json_put_int(doc, "votes", j->votes);
	json_put_str(doc, "checked_at", now);
	json_put_real(doc, "sensitivity", (double)a->good_found / (double)a->good);
	json_put_real(doc, "specificity", (double)a->bad_found / (double)a->bad);
	json_put_real(doc, "agreement", (double)a->agree / (double)a->scored);
	json_put_real(doc, "alpha", c->alpha);
	json_put(doc, "all", counts_json(a));
	for (size_t i = 0; i < c->kinds_n; i++)
		json_put(kinds, c->kinds[i].kind, counts_json(&c->kinds[i]));
	json_put(doc, "kinds", kinds);
	return doc;
}

static int keep(const json_t *doc, const struct judge *j, const char *prompt, const char *data_dir,
		bool quiet, struct err *err)
{
	AUTO(fd) int root = open(data_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	AUTO(free) char *path = datadir_judge(j->model_id, prompt);

	if (root < 0) {
		if (!quiet)
			printf("not kept: there is no data folder %s\n", data_dir);
		return 0;
	}
	if (path_make_dirs(root, DATA_JUDGES, 0755, err) || json_write(root, path, doc, true, err))
		return -1;
	if (!quiet)
		printf("kept in %s/%s: summarize corrects by it what this judge says\n", data_dir,
		       path);
	return 0;
}

int judge_report(const struct judge *j, const struct gold *g, const struct judge_vote *votes,
		 const struct gateway_totals *totals, const char *data_dir, bool json,
		 struct err *err)
{
	struct checked c = {.alpha = NAN};
	char prompt[HASH_HEX];

	check_all(&c, j, g, votes);
	judge_prompt_identity(j, prompt);
	AUTO(json) json_t *doc = document(j, &c, prompt);
	if (json) {
		AUTO(buf) struct buf text = BUF_INIT;
		json_format(&text, doc, true);
		printf("%s\n", text.data);
	} else {
		print_text(j, &c, prompt, totals);
	}
	int rc = keep(doc, j, prompt, data_dir, json, err);
	free(c.kinds);
	return rc;
}
