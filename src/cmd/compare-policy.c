/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "cmd/compare-policy.h"
#include <fcntl.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/cleanup.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/path.h"
#include "config/toml.h"
#include "report/compare-junit.h"
#include "report/compare-report.h"
#include "report/doc.h"
#include "stats/distribution.h"
#include "stats/multiple.h"

#define MAX_BYTES (1 << 20)

struct entry {
	const char *candidate, *baseline; /* borrowed from the file */
	double margin;
	bool advises;
	struct compare_case made;
	enum stats_gate gate; /* over its pairs, corrected */
	bool corrected;	      /* it would have failed alone */
};

struct policy {
	struct toml_node *file;
	struct entry *v;
	size_t n;
};

static void auto_policy(struct policy *p)
{
	for (size_t i = 0; i < p->n; i++)
		compare_case_release(&p->v[i].made);
	free(p->v);
	toml_free(p->file);
}

static int complain(const char *path, const struct toml_node *n, struct err *err, const char *fmt,
		    ...) __attribute__((format(printf, 4, 5)));

static int complain(const char *path, const struct toml_node *n, struct err *err, const char *fmt,
		    ...)
{
	char text[300];
	va_list args;

	va_start(args, fmt);
	vsnprintf(text, sizeof text, fmt, args);
	va_end(args);
	return err_set(err, ERR_USAGE, 0, "%s:%d:%d: %s", path, n->line, n->col, text);
}

static int take_text(const char **out, const char *path, const struct toml_node *v, struct err *err)
{
	if (v->kind != TOML_STRING || !*v->text)
		return complain(path, v, err, "%s must be a string that says something", v->key);
	*out = v->text;
	return 0;
}

static int take_margin(struct entry *e, const char *path, const struct toml_node *v,
		       struct err *err)
{
	bool number = v->kind == TOML_REAL || v->kind == TOML_INT;

	if (!number || !(v->real > 0 && v->real < 1))
		return complain(path, v, err,
				"margin must be a number between 0 and 1; five points are 0.05");
	e->margin = v->real;
	return 0;
}

static int take_weight(struct entry *e, const char *path, const struct toml_node *v,
		       struct err *err)
{
	if (v->kind != TOML_STRING || (strcmp(v->text, "must") && strcmp(v->text, "advise")))
		return complain(path, v, err, "weight must be \"must\" or \"advise\"");
	e->advises = !strcmp(v->text, "advise");
	return 0;
}

static int take_member(struct entry *e, const char *path, const struct toml_node *v,
		       struct err *err)
{
	if (!strcmp(v->key, "candidate"))
		return take_text(&e->candidate, path, v, err);
	if (!strcmp(v->key, "baseline"))
		return take_text(&e->baseline, path, v, err);
	if (!strcmp(v->key, "margin"))
		return take_margin(e, path, v, err);
	if (!strcmp(v->key, "weight"))
		return take_weight(e, path, v, err);
	return complain(path, v, err,
			"unknown key \"%s\"; there are candidate, baseline, margin, weight",
			v->key);
}

static int take_entry(struct policy *p, const char *path, const struct toml_node *table,
		      struct err *err)
{
	struct entry *e = &p->v[p->n];

	*e = (struct entry){.made.names = STRV_INIT};
	for (size_t i = 0; i < table->n; i++)
		if (take_member(e, path, &table->items[i], err))
			return -1;
	const char *lacks = !e->candidate    ? "candidate"
			    : !e->baseline   ? "baseline"
			    : e->margin <= 0 ? "margin"
					     : NULL;
	if (lacks)
		return complain(path, table, err, "%s is missing", lacks);
	p->n++;
	return 0;
}

static int read_policy(struct policy *p, const char *path, struct err *err)
{
	AUTO(buf) struct buf text = BUF_INIT;
	struct toml_error wrong;

	if (path_read(AT_FDCWD, path, MAX_BYTES, &text, err))
		return -1;
	p->file = toml_parse(text.data, text.len, &wrong);
	if (!p->file)
		return err_set(err, ERR_USAGE, 0, "%s:%d:%d: %s", path, wrong.line, wrong.col,
			       wrong.msg);
	for (size_t i = 0; i < p->file->n; i++)
		if (strcmp(p->file->items[i].key, "benchmarks") != 0)
			return complain(path, &p->file->items[i], err,
					"unknown key \"%s\"; there is [[benchmarks]]",
					p->file->items[i].key);
	const struct toml_node *list = toml_get(p->file, "benchmarks");
	if (!list || list->kind != TOML_ARRAY || !list->n)
		return err_set(err, ERR_USAGE, 0, "%s: no [[benchmarks]] in it", path);
	p->v = xcalloc(list->n, sizeof *p->v);
	for (size_t i = 0; i < list->n; i++) {
		if (list->items[i].kind != TOML_TABLE)
			return complain(path, &list->items[i], err, "must be a table");
		if (take_entry(p, path, &list->items[i], err))
			return -1;
	}
	return 0;
}

static int compare_all(struct policy *p, const struct policy_request *q, struct err *err)
{
	for (size_t i = 0; i < p->n; i++) {
		struct entry *e = &p->v[i];
		AUTO(strv) struct strv operands = STRV_INIT;
		struct compare_how how = q->how;
		how.options.margin = e->margin;
		strv_push(&operands, e->candidate);
		strv_push(&operands, e->baseline);
		if (compare_case_make(&e->made, &operands, &how, err))
			return err_wrap(err, "%s", q->path);
	}
	return 0;
}

/* Of the claim that it is worse by more than the margin, whatever the missing would have scored. */
static double p_of_failing(const struct compare_pair *p, double margin)
{
	const struct stats_difference *const d[] = {&p->difference, &p->worst, &p->best};
	double largest = 0;

	for (size_t i = 0; i < ARRAY_SIZE(d); i++) {
		double one = stats_t_lower((d[i]->mean + margin) / d[i]->se, d[i]->df);
		largest = fmax(largest, isnan(one) ? 1 : one);
	}
	return largest;
}

static void correct(struct policy *p, double level)
{
	size_t n = 0, at = 0;

	for (size_t i = 0; i < p->n; i++)
		n += p->v[i].made.comparison.pairs_n;
	AUTO(free) double *raw = xcalloc(n + 1, sizeof *raw);
	AUTO(free) double *adjusted = xcalloc(n + 1, sizeof *adjusted);
	for (size_t i = 0; i < p->n; i++) {
		const struct comparison *c = &p->v[i].made.comparison;
		for (size_t k = 0; k < c->pairs_n; k++)
			raw[at++] = p_of_failing(&c->pairs[k], p->v[i].margin);
	}
	stats_holm(raw, n, adjusted);
	at = 0;
	for (size_t i = 0; i < p->n; i++) {
		struct entry *e = &p->v[i];
		struct comparison *c = &e->made.comparison;
		for (size_t k = 0; k < c->pairs_n; k++, at++) {
			if (c->pairs[k].gate != STATS_FAIL || adjusted[at] < (1 - level) / 2)
				continue;
			c->pairs[k].gate = STATS_INCONCLUSIVE;
			e->corrected = true;
		}
		e->gate = compare_gate(c);
	}
}

static enum stats_gate gate_of(const struct policy *p)
{
	enum stats_gate gate = STATS_PASS;

	for (size_t i = 0; i < p->n; i++) {
		if (p->v[i].advises)
			continue;
		if (p->v[i].gate == STATS_FAIL)
			return STATS_FAIL;
		if (p->v[i].gate == STATS_INCONCLUSIVE)
			gate = STATS_INCONCLUSIVE;
	}
	return gate;
}

static void print_json(const struct policy *p, enum stats_gate gate)
{
	AUTO(json) json_t *j = json_object();
	AUTO(buf) struct buf text = BUF_INIT;
	json_t *all = json_array();

	json_put_int(j, "v", 1);
	json_put_str(j, "gate", compare_report_gate(gate));
	for (size_t i = 0; i < p->n; i++) {
		const struct entry *e = &p->v[i];
		AUTO(buf) struct buf whole = BUF_INIT;
		json_t *one = json_object();
		compare_report(&whole, &e->made.comparison,
			       &(struct report_form){.format = REPORT_JSON});
		json_put_str(one, "candidate", e->candidate);
		json_put_str(one, "baseline", e->baseline);
		json_put_real(one, "margin", e->margin);
		json_put_str(one, "weight", e->advises ? "advise" : "must");
		json_put_str(one, "gate", compare_report_gate(e->gate));
		json_put_bool(one, "corrected", e->corrected);
		json_put(one, "comparison", json_loadb(whole.data, whole.len, 0, NULL));
		json_array_append_new(all, one);
	}
	json_put(j, "benchmarks", all);
	json_format(&text, j, true);
	printf("%s\n", text.data);
}

static void add_row(struct table *t, const struct entry *e, const struct compare_pair *p)
{
	const struct compare_sides *sides = &e->made.sides;

	table_text(t, sides->v[p->candidate].name);
	table_text(t, sides->v[p->baseline].name);
	if (isnan(p->difference.low)) {
		table_missing(t, NULL);
		table_missing(t, NULL);
	} else {
		table_textf(t, "%+.2f", 100 * p->difference.mean);
		table_textf(t, "%.2f to %.2f", 100 * p->difference.low, 100 * p->difference.high);
	}
	table_textf(t, "%g", 100 * e->margin);
	table_int(t, (int64_t)p->difference.n);
	table_text(t, e->advises ? "advises" : "must hold");
	table_text(t, compare_report_gate(p->gate));
}

static void print_document(const struct policy *p, const struct policy_request *q,
			   enum stats_gate gate)
{
	static const char *const columns[] = {"candidate", "baseline", "points", "95 % CI",
					      "margin",	   "tasks",    "weight", "gate"};
	AUTO(doc) struct doc d = {0};
	AUTO(buf) struct buf text = BUF_INIT;
	struct table t = {0};
	bool corrected = false;

	doc_heading(&d, 1);
	doc_words(&d, "Policy: %s", compare_report_gate(gate));
	for (size_t i = 0; i < ARRAY_SIZE(columns); i++)
		table_column(&t, columns[i], i == 2 || i == 4 || i == 5 ? TABLE_RIGHT : TABLE_LEFT);
	for (size_t i = 0; i < p->n; i++) {
		const struct comparison *c = &p->v[i].made.comparison;
		corrected |= p->v[i].corrected;
		for (size_t k = 0; k < c->pairs_n; k++)
			add_row(&t, &p->v[i], &c->pairs[k]);
	}
	doc_table(&d, &t);
	doc_paragraph(&d);
	doc_words(&d, "All that must hold have to pass. A failure counts when it holds after "
		      "Holm's correction for all comparisons.");
	if (corrected)
		doc_words(&d,
			  " One that is inconclusive would have failed if it were the only one.");
	if (q->form.format == REPORT_MARKDOWN)
		doc_markdown(&d, &text);
	else
		doc_terminal(&d, q->form.width, &text);
	for (size_t i = 0; i < p->n; i++) {
		buf_addc(&text, '\n');
		compare_report(&text, &p->v[i].made.comparison, &q->form);
	}
	fwrite(text.data, 1, text.len, stdout);
}

static int write_junit(const struct policy *p, const char *path, struct err *err)
{
	AUTO(buf) struct buf text = BUF_INIT;

	compare_junit_begin(&text);
	for (size_t i = 0; i < p->n; i++)
		compare_junit_suite(&text, &p->v[i].made.comparison, p->v[i].advises);
	compare_junit_end(&text);
	return path_write(AT_FDCWD, path, text.data, text.len, 0644, false, err);
}

int policy_run(const struct policy_request *q, enum stats_gate *gate, struct err *err)
{
	AUTO(policy) struct policy p = {0};

	if (read_policy(&p, q->path, err) || compare_all(&p, q, err))
		return -1;
	correct(&p, q->how.options.level);
	*gate = gate_of(&p);
	if (q->form.format == REPORT_JSON)
		print_json(&p, *gate);
	else
		print_document(&p, q, *gate);
	return q->junit ? write_junit(&p, q->junit, err) : 0;
}
