/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "page/page.h"
#include <string.h>
#include "base/base64.h"
#include "base/cleanup.h"
#include "base/hash.h"
#include "base/mem.h"
#include "page/charts.h"
#include "page/files.h"
#include "page/timeline.h"
#include "page/trials.h"
#include "report/compare-report.h"
#include "report/doc.h"
#include "report/report.h"

/* What CSP takes for TEXT: its SHA-256 as base64. */
static void put_hash(struct buf *out, const char *text)
{
	unsigned char sum[SHA256_DIGEST_LENGTH];
	SHA2_CTX ctx;

	SHA256Init(&ctx);
	SHA256Update(&ctx, (const uint8_t *)text, strlen(text));
	SHA256Final(sum, &ctx);
	buf_adds(out, "'sha256-");
	base64_encode(out, sum, sizeof sum);
	buf_addc(out, '\'');
}

static void put_title_text(struct buf *out, const struct page *p)
{
	if (p->title) {
		doc_html_text(out, p->title);
		return;
	}
	for (size_t i = 0; i < p->rollouts_n; i++) {
		buf_adds(out, i ? ", " : "");
		doc_html_text(out, p->rollouts[i].ref.name);
		buf_addc(out, ' ');
		doc_html_text(out, p->rollouts[i].ref.stamp);
	}
}

static void put_head(struct buf *out, const struct page *p)
{
	buf_adds(out, "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
		      "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; "
		      "style-src ");
	put_hash(out, page_css);
	buf_adds(out, "; script-src ");
	put_hash(out, page_js);
	buf_adds(out,
		 "; base-uri 'none'; form-action 'none'; require-trusted-types-for 'script'\">\n"
		 "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
		 "<meta name=\"referrer\" content=\"no-referrer\">\n<title>");
	put_title_text(out, p);
	buf_adds(out, "</title>\n<style>");
	buf_adds(out, page_css);
	buf_adds(out, "</style>\n</head>\n<body>\n<a class=\"skip\" href=\"#trials\">To the "
		      "trials</a>\n");
}

/* Title, counts and tags of each rollout; the first is the page's title. */
static void put_tops(struct buf *out, const struct page *p)
{
	buf_adds(out, "<header>\n");
	if (p->title) {
		buf_adds(out, "<h1>");
		doc_html_text(out, p->title);
		buf_adds(out, "</h1>\n");
	}
	for (size_t i = 0; i < p->rollouts_n; i++) {
		const struct rollout *r = &p->rollouts[i];
		AUTO(doc) struct doc d = {0};
		AUTO(summary) struct summary s;
		summary_make(&s, &r, 1, &SUMMARY_DEFAULT);
		report_document_top(&d, &s, r);
		doc_html_blocks(&d, i || p->title ? 1 : 0, out);
	}
	buf_adds(out, "</header>\n<nav aria-label=\"Parts of this page\">\n");
	if (p->comparison)
		buf_adds(out, "<a href=\"#comparison\">Verdict</a>\n");
	buf_adds(out, "<a href=\"#scores\">Scores</a>\n<a href=\"#tasks\">Tasks</a>\n<a "
		      "href=\"#timeline\">"
		      "Timeline</a>\n<a href=\"#trials\">Trials</a>\n<a "
		      "href=\"#notes\">Notes</a>\n</nav>\n<main>\n");
}

static void put_comparison(struct buf *out, const struct page *p)
{
	AUTO(doc) struct doc d = {0};

	compare_report_document(&d, p->comparison, false);
	buf_adds(out, "<section id=\"comparison\" aria-label=\"Comparison\">\n");
	doc_html_blocks(&d, 1, out);
	buf_adds(out, "</section>\n");
}

static void put_charts(struct buf *out, const struct page *p, const struct series_list *l)
{
	size_t number = 0;

	buf_adds(out, "<div class=\"charts\">\n");
	chart_scores(out, l);
	chart_cost(out, l);
	chart_rollouts(out, l);
	chart_outcomes(out, l);
	buf_adds(out, "</div>\n");
	/* Many verdicts would keep the pictures from being seen. */
	if (p->comparison && p->comparison->pairs_n > 1)
		put_comparison(out, p);
	chart_tasks(out, l);
	for (size_t i = 0; i < p->rollouts_n; i++) {
		const struct rollout *r = &p->rollouts[i];
		if (!r->parts_n)
			chart_timeline(out, r, &r->ref, number++);
		for (size_t k = 0; k < r->parts_n; k++)
			chart_timeline(out, r, &r->parts[k].ref, number++);
	}
}

static void put_notes(struct buf *out, const struct page *p)
{
	buf_adds(out, "<section id=\"notes\" aria-labelledby=\"notes-title\">\n<h2 "
		      "id=\"notes-title\">Notes</h2>\n");
	for (size_t i = 0; i < p->rollouts_n; i++) {
		const struct rollout *r = &p->rollouts[i];
		AUTO(doc) struct doc d = {0};
		AUTO(summary) struct summary s;
		summary_make(&s, &r, 1, &SUMMARY_DEFAULT);
		if (p->rollouts_n > 1) {
			doc_heading(&d, 2);
			doc_text(&d, r->ref.name);
			doc_words(&d, " ");
			doc_text(&d, r->ref.stamp);
		}
		report_document_rest(&d, &s, r);
		doc_html_blocks(&d, 1, out);
	}
	buf_adds(out, "</section>\n");
}

void page_make(struct buf *out, const struct page *p)
{
	AUTO(free) const struct rollout **all = xcalloc(p->rollouts_n + 1, sizeof *all);
	AUTO(buf) struct buf notes = BUF_INIT;
	AUTO(summary) struct summary s;
	struct series_list l;

	for (size_t i = 0; i < p->rollouts_n; i++)
		all[i] = &p->rollouts[i];
	summary_make(&s, all, p->rollouts_n, &SUMMARY_DEFAULT);
	series_make(&l, &s);
	put_head(out, p);
	put_tops(out, p);
	if (p->comparison && p->comparison->pairs_n == 1)
		put_comparison(out, p);
	put_charts(out, p, &l);
	put_notes(&notes, p);
	size_t rest = out->len + notes.len + trials_bare(&l) + strlen(page_js) + 4096;
	trials_put(out, &l, rest < p->max_bytes ? p->max_bytes - rest : 0);
	buf_add(out, notes.data, notes.len);
	buf_adds(out, "</main>\n<footer>rollouts " ROLLOUTS_VERSION "</footer>\n<script>");
	buf_adds(out, page_js);
	buf_adds(out, "</script>\n</body>\n</html>\n");
	series_release(&l);
}
