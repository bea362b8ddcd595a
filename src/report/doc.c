/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "report/doc.h"
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include "base/mem.h"

void doc_release(struct doc *d)
{
	for (size_t i = 0; i < d->n; i++) {
		struct doc_block *b = &d->blocks[i];
		for (size_t k = 0; k < b->spans_n; k++)
			free(b->spans[k].text);
		free(b->spans);
		table_release(&b->table);
		free(b->language);
		free(b->code);
	}
	free(d->blocks);
	*d = (struct doc){0};
}

static struct doc_block *begin(struct doc *d, enum doc_block_kind kind)
{
	GROW(d->blocks, d->n, d->cap);
	d->blocks[d->n] = (struct doc_block){.kind = kind};
	return &d->blocks[d->n++];
}

void doc_heading(struct doc *d, int level)
{
	begin(d, DOC_HEADING)->level = level;
}

void doc_paragraph(struct doc *d)
{
	begin(d, DOC_PARAGRAPH);
}

void doc_item(struct doc *d)
{
	begin(d, DOC_ITEM);
}

void doc_footer(struct doc *d)
{
	begin(d, DOC_FOOTER);
}

void doc_details(struct doc *d, const char *summary)
{
	begin(d, DOC_DETAILS);
	doc_text(d, summary);
}

void doc_details_end(struct doc *d)
{
	begin(d, DOC_DETAILS_END);
}

void doc_table(struct doc *d, struct table *take)
{
	begin(d, DOC_TABLE)->table = *take;
	*take = (struct table){0};
}

void doc_code_block(struct doc *d, const char *language, const char *code, size_t len)
{
	struct doc_block *b = begin(d, DOC_CODE_BLOCK);

	b->language = xstrdup(language);
	b->code = xstrndup(code, len);
	b->code_len = len;
}

static void add_span(struct doc *d, enum doc_span_kind kind, char *text_take)
{
	struct doc_block *b = &d->blocks[d->n - 1];

	GROW(b->spans, b->spans_n, b->spans_cap);
	b->spans[b->spans_n++] = (struct doc_span){kind, text_take};
}

void doc_words(struct doc *d, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	add_span(d, DOC_WORDS, xvasprintf(fmt, ap));
	va_end(ap);
}

void doc_text(struct doc *d, const char *text)
{
	add_span(d, DOC_TEXT, xstrdup(text));
}

void doc_strong(struct doc *d, const char *text)
{
	add_span(d, DOC_STRONG, xstrdup(text));
}

void doc_code(struct doc *d, const char *text)
{
	add_span(d, DOC_CODE, xstrdup(text));
}

void doc_line_end(struct doc *d)
{
	add_span(d, DOC_LINE_END, NULL);
}
