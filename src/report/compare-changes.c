/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "report/compare-changes.h"
#include <stdlib.h>
#include <string.h>
#include "base/cleanup.h"
#include "base/mem.h"
#include "store/changes.h"

enum { SHOWN = 20 };

static const struct rollout *rollout_of(const struct comparison *c, size_t side)
{
	return c->sides->v[side].rollout;
}

/* Without what stands at their ends, and without empty ones. */
static void read_lines(struct strv *out, const struct rollout *r)
{
	AUTO(buf) struct buf text = BUF_INIT;

	changes_read(r, &text);
	for (char *rest = text.data, *line; text.len && (line = strsep(&rest, "\n"));) {
		size_t len = strlen(line);
		while (len && strchr(" \t\r", line[len - 1]))
			line[--len] = '\0';
		if (len)
			strv_push(out, line);
	}
}

static int by_text(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* The lines of NEW that are not in OLD. */
static void subtract(struct strv *out, const struct rollout *new, const struct rollout *old)
{
	AUTO(strv) struct strv lines = STRV_INIT, known = STRV_INIT;

	read_lines(&lines, new);
	read_lines(&known, old);
	strv_sort(&known);
	for (size_t i = 0; i < lines.n; i++) {
		const char *line = lines.v[i];
		if (!known.n || !bsearch(&line, known.v, known.n, sizeof *known.v, by_text))
			strv_push(out, line);
	}
}

void compare_changes_lines(struct strv *out, const struct comparison *c,
			   const struct compare_pair *p)
{
	if (rollout_of(c, p->candidate) != rollout_of(c, p->baseline))
		subtract(out, rollout_of(c, p->candidate), rollout_of(c, p->baseline));
}

static void put_lines(struct doc *d, const struct strv *lines, bool all)
{
	AUTO(buf) struct buf text = BUF_INIT;

	for (size_t i = 0; i < lines->n && (all || i < SHOWN); i++)
		buf_addf(&text, "%s\n", lines->v[i]);
	if (!all && lines->n > SHOWN)
		buf_addf(&text, "... and %zu more\n", lines->n - SHOWN);
	doc_code_block(d, "", text.data, text.len);
}

static void put_pair(struct doc *d, const struct comparison *c, const struct compare_pair *p,
		     bool all)
{
	const struct rollout *candidate = rollout_of(c, p->candidate),
			     *baseline = rollout_of(c, p->baseline);
	AUTO(strv) struct strv added = STRV_INIT, gone = STRV_INIT;

	subtract(&added, candidate, baseline);
	subtract(&gone, baseline, candidate);
	if (!added.n && !gone.n)
		return;
	doc_heading(d, 2);
	doc_words(d, "Written between ");
	doc_text(d, baseline->ref.stamp);
	doc_words(d, " and ");
	doc_text(d, candidate->ref.stamp);
	if (added.n) {
		doc_paragraph(d);
		doc_words(d, "CHANGES of the candidate, what the baseline's does not say:");
		put_lines(d, &added, all);
	}
	if (gone.n) {
		doc_paragraph(d);
		doc_words(d, "CHANGES of the baseline, what the candidate's does not say:");
		put_lines(d, &gone, all);
	}
}

void compare_changes_put(struct doc *d, const struct comparison *c, bool all)
{
	for (size_t i = 0; i < c->pairs_n; i++) {
		const struct compare_pair *p = &c->pairs[i];
		bool told = rollout_of(c, p->candidate) == rollout_of(c, p->baseline);
		for (size_t k = 0; k < i && !told; k++)
			told = rollout_of(c, c->pairs[k].candidate) ==
				       rollout_of(c, p->candidate) &&
			       rollout_of(c, c->pairs[k].baseline) == rollout_of(c, p->baseline);
		if (!told)
			put_pair(d, c, p, all);
	}
}
