/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * doc.h -- a document for people, put together once and written for a terminal, as Markdown or as HTML. It is
 * a list of blocks: headings, paragraphs, list items, tables, code, details that can be folded away.
 *
 * Whatever text comes from an agent, a model, a task or a file goes in by doc_text(), doc_strong(), doc_code(),
 * doc_details() or a table: each writer makes it harmless for its medium. Only doc_words() is written as it
 * stands, so it is for literals of ours that mean nothing in Markdown or HTML.
 */
#pragma once
#include <stddef.h>
#include "base/buf.h"
#include "report/table.h"

enum doc_block_kind {
	DOC_HEADING,
	DOC_PARAGRAPH,
	DOC_ITEM,
	DOC_TABLE,
	DOC_CODE_BLOCK,
	DOC_DETAILS, /* its summary; what follows up to DOC_DETAILS_END can be folded away */
	DOC_DETAILS_END,
	DOC_FOOTER,
};

enum doc_span_kind { DOC_WORDS, DOC_TEXT, DOC_STRONG, DOC_CODE, DOC_LINE_END };

struct doc_span {
	enum doc_span_kind kind;
	char *text;
};

struct doc_block {
	enum doc_block_kind kind;
	int level; /* of a heading: 1 is the title */
	struct doc_span *spans;
	size_t spans_n, spans_cap;
	struct table table;
	char *language, *code; /* of a block of code */
	size_t code_len;
};

/* All zero: an empty one. */
struct doc {
	struct doc_block *blocks;
	size_t n, cap;
};

void doc_release(struct doc *d);

/* Begin a block; spans are added to the one begun last. */
void doc_heading(struct doc *d, int level);
void doc_paragraph(struct doc *d);
void doc_item(struct doc *d);
void doc_footer(struct doc *d);
void doc_details(struct doc *d, const char *summary);
void doc_details_end(struct doc *d);
/* Whole blocks. The table is moved into the document and empty afterwards. */
void doc_table(struct doc *d, struct table *take);
void doc_code_block(struct doc *d, const char *language, const char *code, size_t len);

/* Spans. The whole of one is rendered on one line. */
void doc_words(struct doc *d, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void doc_text(struct doc *d, const char *text);
void doc_strong(struct doc *d, const char *text);
void doc_code(struct doc *d, const char *text);
void doc_line_end(struct doc *d); /* what follows is on a line of its own */

/* Append the document. WIDTH as of table_terminal(). */
void doc_terminal(const struct doc *d, int width, struct buf *out);
void doc_markdown(const struct doc *d, struct buf *out);
/* The blocks alone, their headings DEEPER levels down, for a page that somebody else puts together. */
void doc_html_blocks(const struct doc *d, int deeper, struct buf *out);
/* A whole page, in one file: no script, and nothing is fetched from anywhere. */
void doc_html(const struct doc *d, struct buf *out);
/* Append TEXT for HTML, on one line: between tags or in a quoted attribute. */
void doc_html_text(struct buf *out, const char *text);

static inline void auto_doc(struct doc *d)
{
	doc_release(d);
}
