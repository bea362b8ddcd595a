/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <stdbool.h>
#include <string.h>
#include "base/cleanup.h"
#include "base/text.h"
#include "report/doc.h"

void table_markdown(const struct table *t, struct buf *out)
{
	size_t n = t->columns_n;

	for (size_t c = 0; c < n; c++) {
		buf_adds(out, "| ");
		text_markdown(out, t->columns[c].name);
		buf_adds(out, c + 1 == n ? " |\n" : " ");
	}
	for (size_t c = 0; c < n; c++) {
		buf_adds(out, t->columns[c].align == TABLE_RIGHT ? "|---:" : "|---");
		buf_adds(out, c + 1 == n ? "|\n" : "");
	}
	for (size_t r = 0; r < table_rows(t); r++)
		for (size_t c = 0; c < n; c++) {
			buf_adds(out, "| ");
			text_markdown(out, table_cell_text(t, table_cell(t, r, c)));
			buf_adds(out, c + 1 == n ? " |\n" : " ");
		}
}

/* Between backticks nothing is escaped, so there must be more of them than TEXT has in a row. */
static void put_code(struct buf *out, const char *text)
{
	AUTO(buf) struct buf line = BUF_INIT;
	size_t most = 0, run = 0;

	if (!*text)
		return;
	text_renders(&line, text, TEXT_TERMINAL_LINE);
	for (const char *c = line.data; *c; c++) {
		run = *c == '`' ? run + 1 : 0;
		most = run > most ? run : most;
	}
	for (size_t i = 0; i <= most; i++)
		buf_addc(out, '`');
	buf_addf(out, "%s%s%s", most ? " " : "", line.data, most ? " " : "");
	for (size_t i = 0; i <= most; i++)
		buf_addc(out, '`');
}

/* TEXT at the beginning of a line, where a few characters would begin a list, a rule or a block of code. */
static void put_first(struct buf *out, const char *text)
{
	text += strspn(text, " \t\r\n");
	size_t digits = strspn(text, "0123456789");

	if (*text == '-' || *text == '=') {
		buf_addc(out, '\\');
	} else if (digits && (text[digits] == '.' || text[digits] == ')')) {
		buf_add(out, text, digits);
		buf_addf(out, "\\%c", text[digits]);
		text += digits + 1;
	}
	text_markdown(out, text);
}

static void put_spans(struct buf *out, const struct doc_block *b)
{
	bool lines = b->kind == DOC_PARAGRAPH || b->kind == DOC_ITEM;

	for (size_t i = 0; i < b->spans_n; i++) {
		const struct doc_span *s = &b->spans[i];
		bool first = lines && (i == 0 || s[-1].kind == DOC_LINE_END);
		switch (s->kind) {
		case DOC_WORDS:
			buf_adds(out, s->text);
			break;
		case DOC_TEXT:
			if (first)
				put_first(out, s->text);
			else
				text_markdown(out, s->text);
			break;
		case DOC_STRONG:
			buf_adds(out, "**");
			text_markdown(out, s->text);
			buf_adds(out, "**");
			break;
		case DOC_CODE:
			put_code(out, s->text);
			break;
		case DOC_LINE_END:
			buf_addc(out, '\n');
		}
	}
}

static void put_code_block(struct buf *out, const struct doc_block *b)
{
	AUTO(free) char *fence = text_fence(b->code, b->code_len);

	buf_addf(out, "%s%s\n", fence, b->language);
	text_render(out, b->code, b->code_len, TEXT_MARKDOWN_CODE);
	if (b->code_len && b->code[b->code_len - 1] != '\n')
		buf_addc(out, '\n');
	buf_addf(out, "%s\n", fence);
}

static void put_around(struct buf *out, const char *before, const struct doc_block *b,
		       const char *after)
{
	buf_adds(out, before);
	put_spans(out, b);
	buf_adds(out, after);
}

static void put_block(struct buf *out, const struct doc_block *b)
{
	switch (b->kind) {
	case DOC_HEADING:
		put_around(out, &"### "[b->level > 3 ? 0 : 3 - b->level], b, "\n");
		break;
	case DOC_PARAGRAPH:
		put_around(out, "", b, "\n");
		break;
	case DOC_ITEM:
		put_around(out, "- ", b, "\n");
		break;
	case DOC_TABLE:
		table_markdown(&b->table, out);
		break;
	case DOC_CODE_BLOCK:
		put_code_block(out, b);
		break;
	case DOC_DETAILS: /* an element of HTML, for which Markdown has no word */
		buf_adds(out, "<details><summary>");
		for (size_t i = 0; i < b->spans_n; i++)
			doc_html_text(out, b->spans[i].text);
		buf_adds(out, "</summary>\n");
		break;
	case DOC_DETAILS_END:
		buf_adds(out, "</details>\n");
		break;
	case DOC_FOOTER:
		put_around(out, "---\n*", b, "*\n");
	}
}

void doc_markdown(const struct doc *d, struct buf *out)
{
	for (size_t i = 0; i < d->n; i++) {
		const struct doc_block *b = &d->blocks[i];
		if (i && !(b->kind == DOC_ITEM && b[-1].kind == DOC_ITEM))
			buf_addc(out, '\n');
		put_block(out, b);
	}
}
