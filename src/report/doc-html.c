/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <stdbool.h>
#include "base/cleanup.h"
#include "base/text.h"
#include "report/doc.h"

/* The policy holds even if something slipped through the writer: no script runs, nothing is fetched. */
#define HEAD                                                                                       \
	"<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"                  \
	"<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; "              \
	"style-src 'unsafe-inline'\">\n"                                                           \
	"<meta name=\"viewport\" content=\"width=device-width\">\n"
#define STYLE                                                                                      \
	"<style>\n"                                                                                \
	":root { color-scheme: light dark; }\n"                                                    \
	"body { font: 15px/1.5 sans-serif; max-width: 75em; margin: 2em auto; padding: 0 1em; }\n" \
	"div { overflow-x: auto; }\n"                                                              \
	"table { border-collapse: collapse; font-variant-numeric: tabular-nums; }\n"               \
	"th, td { padding: .2em .7em; text-align: left; border-bottom: 1px solid #8886; }\n"       \
	"th.n, td.n { text-align: right; }\n"                                                      \
	"td.m { opacity: .6; }\n"                                                                  \
	"pre { overflow-x: auto; padding: .7em; border: 1px solid #8886; }\n"                      \
	"footer { margin-top: 3em; opacity: .7; }\n"                                               \
	"</style>\n"

void doc_html_text(struct buf *out, const char *text)
{
	AUTO(buf) struct buf line = BUF_INIT;

	text_renders(&line, text, TEXT_TERMINAL_LINE);
	text_render(out, line.data, line.len, TEXT_HTML);
}

static void put_cell(struct buf *out, const char *tag, const char *class, const char *text)
{
	buf_addf(out, "<%s%s>", tag, class);
	doc_html_text(out, text);
	buf_addf(out, "</%s>", tag);
}

void table_html(const struct table *t, struct buf *out)
{
	buf_adds(out, "<div><table>\n<thead><tr>");
	for (size_t c = 0; c < t->columns_n; c++)
		put_cell(out, "th", t->columns[c].align == TABLE_RIGHT ? " class=\"n\"" : "",
			 t->columns[c].name);
	buf_adds(out, "</tr></thead>\n<tbody>\n");
	for (size_t r = 0; r < table_rows(t); r++) {
		buf_adds(out, "<tr>");
		for (size_t c = 0; c < t->columns_n; c++) {
			const struct table_cell *cell = table_cell(t, r, c);
			bool right = t->columns[c].align == TABLE_RIGHT;
			bool missing = cell->kind == TABLE_MISSING;
			put_cell(out, "td",
				 right && missing ? " class=\"n m\""
				 : right	  ? " class=\"n\""
				 : missing	  ? " class=\"m\""
						  : "",
				 table_cell_text(t, cell));
		}
		buf_adds(out, "</tr>\n");
	}
	buf_adds(out, "</tbody></table></div>\n");
}

static void put_spans(struct buf *out, const struct doc_block *b)
{
	for (size_t i = 0; i < b->spans_n; i++) {
		const struct doc_span *s = &b->spans[i];
		const char *tag = s->kind == DOC_STRONG ? "strong"
				  : s->kind == DOC_CODE ? "code"
							: NULL;
		if (s->kind == DOC_LINE_END)
			buf_adds(out, "<br>\n");
		else if (tag)
			put_cell(out, tag, "", s->text);
		else
			doc_html_text(out, s->text);
	}
}

static void put_element(struct buf *out, const char *tag, const struct doc_block *b)
{
	buf_addf(out, "<%s>", tag);
	put_spans(out, b);
	buf_addf(out, "</%s>\n", tag);
}

static void put_block(struct buf *out, const struct doc_block *b, int deeper)
{
	static const char *const headings[] = {"h1", "h1", "h2", "h3", "h4"};
	int level = b->level + deeper;

	switch (b->kind) {
	case DOC_HEADING:
		put_element(out, headings[level > 4 ? 4 : level], b);
		break;
	case DOC_PARAGRAPH:
		put_element(out, "p", b);
		break;
	case DOC_ITEM:
		put_element(out, "li", b);
		break;
	case DOC_TABLE:
		table_html(&b->table, out);
		break;
	case DOC_CODE_BLOCK:
		/* A parser drops the first newline of a pre. */
		buf_adds(out, "<pre><code>\n");
		text_render(out, b->code, b->code_len, TEXT_HTML);
		buf_adds(out, "</code></pre>\n");
		break;
	case DOC_DETAILS:
		buf_adds(out, "<details>");
		put_element(out, "summary", b);
		break;
	case DOC_DETAILS_END:
		buf_adds(out, "</details>\n");
		break;
	case DOC_FOOTER:
		put_element(out, "footer", b);
	}
}

/* The text of the first heading. */
static void put_title(struct buf *out, const struct doc *d)
{
	buf_adds(out, "<title>");
	for (size_t i = 0; d->n && i < d->blocks[0].spans_n; i++)
		if (d->blocks[0].spans[i].text)
			doc_html_text(out, d->blocks[0].spans[i].text);
	buf_adds(out, "</title>\n");
}

void doc_html_blocks(const struct doc *d, int deeper, struct buf *out)
{
	bool in_list = false;

	for (size_t i = 0; i < d->n; i++) {
		bool item = d->blocks[i].kind == DOC_ITEM;
		if (item != in_list)
			buf_adds(out, item ? "<ul>\n" : "</ul>\n");
		in_list = item;
		put_block(out, &d->blocks[i], deeper);
	}
	buf_adds(out, in_list ? "</ul>\n" : "");
}

void doc_html(const struct doc *d, struct buf *out)
{
	buf_adds(out, HEAD);
	put_title(out, d);
	buf_adds(out, STYLE "</head>\n<body>\n");
	doc_html_blocks(d, 0, out);
	buf_adds(out, "</body>\n</html>\n");
}
