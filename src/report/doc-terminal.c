/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <jansson.h>
#include <limits.h>
#include <locale.h>
#include <stdbool.h>
#include <string.h>
#include <wchar.h>
#include "base/cleanup.h"
#include "base/mem.h"
#include "base/text.h"
#include "report/doc.h"

#define MIN_WIDTH 8 /* a column is never cut below this */
#define DOTS "…"

/* Widths are asked for in this locale, not the user's: text_render() always makes UTF-8. It is made once
 * for a table, since making it opens files. */
struct utf8 {
	locale_t own, before;
};

static struct utf8 utf8_enter(void)
{
	locale_t own = newlocale(LC_CTYPE_MASK, "C.UTF-8", NULL);

	return (struct utf8){own, own ? uselocale(own) : NULL};
}

static void utf8_leave(const struct utf8 *u)
{
	if (!u->own)
		return;
	uselocale(u->before);
	freelocale(u->own);
}

/* One character at S: bytes it has and columns it takes. */
static size_t one_char(const char *s, size_t len, int *width)
{
	wchar_t c;
	mbstate_t state = {0};

	*width = 1;
	if ((unsigned char)*s < 0x80)
		return 1;
	size_t used = mbrtowc(&c, s, len, &state);
	if (used == 0 || used > len)
		return 1;
	int w = wcwidth(c);
	*width = w < 0 ? 1 : w;
	return used;
}

/* Bytes of S that fit into MAX terminal columns (MAX < 0: all); *width becomes the columns they
 * take. */
static size_t fit(const char *s, size_t len, int max, int *width)
{
	size_t at = 0;

	for (*width = 0; at < len;) {
		int w;
		size_t used = one_char(s + at, len - at, &w);
		if (max >= 0 && *width + w > max)
			break;
		*width += w;
		at += used;
	}
	return at;
}

int table_text_width(const char *s, size_t len)
{
	struct utf8 u = utf8_enter();
	int width;

	(void)fit(s, len, -1, &width);
	utf8_leave(&u);
	return width;
}

/* TEXT as it is shown, in SHOWN unless it is plain. */
static const char *show(const char *text, struct buf *shown, size_t *len)
{
	size_t n = 0;

	while (text[n] >= ' ' && text[n] < 0x7f)
		n++;
	*len = n;
	if (!text[n])
		return text;
	buf_reset(shown);
	text_renders(shown, text, TEXT_TERMINAL_LINE);
	*len = shown->len;
	return shown->data;
}

static void measure(const char *text, struct buf *scratch, int *width)
{
	size_t len;
	const char *shown = show(text, scratch, &len);
	int w = (int)len;

	if (shown != text)
		(void)fit(shown, len, -1, &w);
	if (w > *width)
		*width = w;
}

/* Take columns away from the widest texts until a row fits. */
static void shrink(const struct table *t, int *widths, int max)
{
	int total = (int)(t->columns_n - 1) * 3;
	for (size_t c = 0; c < t->columns_n; c++)
		total += widths[c];
	for (; total > max; total--) {
		size_t widest = t->columns_n;
		for (size_t c = 0; c < t->columns_n; c++)
			if (t->columns[c].align == TABLE_LEFT && widths[c] > MIN_WIDTH &&
			    (widest == t->columns_n || widths[c] > widths[widest]))
				widest = c;
		if (widest == t->columns_n)
			return;
		widths[widest]--;
	}
}

static void repeat(struct buf *out, char c, int n)
{
	while (n-- > 0)
		buf_addc(out, c);
}

/* What of a text is left when it does not fit. */
enum cut { CUT_END, CUT_FRONT, CUT_MIDDLE, CUT_COUNT };

/* A table while its rows are written. */
struct writing {
	const struct table *t;
	struct buf *out;
	int *widths;
	enum cut *cuts; /* of each column */
	struct buf scratch;
};

/* Append what of the LEN bytes at S fits into WIDTH columns; the columns that it takes. */
static int add_cut(struct buf *out, const char *s, size_t len, int width, enum cut cut)
{
	int all, head = cut == CUT_END ? width - 1 : cut == CUT_FRONT ? 0 : (width - 1) / 2, taken;

	if (fit(s, len, width, &all) == len) {
		buf_add(out, s, len);
		return all;
	}
	(void)fit(s, len, -1, &all);
	size_t keep = fit(s, len, head, &taken);
	buf_add(out, s, keep);
	buf_adds(out, DOTS);
	if (cut == CUT_END)
		return taken + 1;
	int left_out, skipped = all - (width - 1 - head);
	size_t from = fit(s, len, skipped, &left_out);
	/* A character of two columns may straddle the cut. */
	while (from < len && all - left_out > width - 1 - head) {
		int one;
		from += one_char(s + from, len - from, &one);
		left_out += one;
	}
	buf_add(out, s + from, len - from);
	return taken + 1 + all - left_out;
}

static size_t count_texts(struct writing *w, size_t column, int cut)
{
	json_t *seen = json_object();
	AUTO(buf) struct buf text = BUF_INIT;

	for (size_t r = 0; r < table_rows(w->t); r++) {
		size_t len;
		const char *shown =
			show(table_cell_text(w->t, table_cell(w->t, r, column)), &w->scratch, &len);
		buf_reset(&text);
		(void)add_cut(&text, shown, len, cut < 0 ? INT_MAX : w->widths[column],
			      cut < 0 ? CUT_END : (enum cut)cut);
		json_object_set_new_nocheck(seen, text.data, json_null());
	}
	size_t n = json_object_size(seen);
	json_decref(seen);
	return n;
}

/* Names often begin alike: what is left of two different ones is not the same where any way of cutting keeps them apart. */
static enum cut choose_cut(struct writing *w, size_t column)
{
	size_t most = 0, different = count_texts(w, column, -1);
	enum cut best = CUT_END;

	for (int cut = CUT_END; cut < CUT_COUNT && most < different; cut++) {
		size_t n = count_texts(w, column, cut);
		if (n <= most)
			continue;
		most = n;
		best = (enum cut)cut;
	}
	return best;
}

static void put_cell(struct writing *w, size_t column, const char *text)
{
	bool last = column + 1 == w->t->columns_n,
	     right = w->t->columns[column].align == TABLE_RIGHT;
	AUTO(buf) struct buf cell = BUF_INIT;
	int width = w->widths[column];
	size_t len;
	const char *shown = show(text, &w->scratch, &len);
	int taken = add_cut(&cell, shown, len, width, w->cuts[column]);

	if (right)
		repeat(w->out, ' ', width - taken);
	buf_adds(w->out, cell.data);
	if (!last) {
		repeat(w->out, ' ', right ? 0 : width - taken);
		buf_adds(w->out, " | ");
		return;
	}
	while (w->out->len && w->out->data[w->out->len - 1] == ' ')
		w->out->data[--w->out->len] = '\0';
	buf_addc(w->out, '\n');
}

static void put_rows(struct writing *w)
{
	const struct table *t = w->t;

	for (size_t c = 0; c < t->columns_n; c++)
		put_cell(w, c, t->columns[c].name);
	for (size_t c = 0; c < t->columns_n; c++) {
		repeat(w->out, '-', w->widths[c]);
		buf_adds(w->out, c + 1 == t->columns_n ? "\n" : "-+-");
	}
	for (size_t r = 0; r < table_rows(t); r++)
		for (size_t c = 0; c < t->columns_n; c++)
			put_cell(w, c, table_cell_text(t, table_cell(t, r, c)));
}

/* The columns that each column takes; those of a whole row. */
static int measure_all(const struct table *t, int *widths)
{
	AUTO(buf) struct buf scratch = BUF_INIT;
	int total = (int)(t->columns_n - 1) * 3;

	for (size_t c = 0; c < t->columns_n; c++) {
		measure(t->columns[c].name, &scratch, &widths[c]);
		for (size_t r = 0; r < table_rows(t); r++)
			measure(table_cell_text(t, table_cell(t, r, c)), &scratch, &widths[c]);
		total += widths[c];
	}
	return total;
}

void table_terminal(const struct table *all, int width, struct buf *out)
{
	AUTO(free) int *widths = xcalloc(all->columns_n + 1, sizeof *widths);
	AUTO(free) enum cut *cuts = xcalloc(all->columns_n + 1, sizeof *cuts);
	AUTO(free) int *whole = xcalloc(all->columns_n + 1, sizeof *whole);
	AUTO(table) struct table compact = {0};
	struct utf8 u = utf8_enter();
	const struct table *t = all;

	if (measure_all(t, widths) > width && width > 0) {
		table_compact(&compact, all);
		t = &compact;
		memset(widths, 0, all->columns_n * sizeof *widths);
		(void)measure_all(t, widths);
	}
	struct writing w = {t, out, widths, cuts, BUF_INIT};
	memcpy(whole, widths, t->columns_n * sizeof *whole);
	if (width > 0)
		shrink(t, widths, width);
	for (size_t c = 0; c < t->columns_n; c++)
		if (widths[c] < whole[c])
			cuts[c] = choose_cut(&w, c);
	put_rows(&w);
	utf8_leave(&u);
	buf_release(&w.scratch);
}

static void put_spans(struct buf *out, const struct doc_block *b)
{
	for (size_t i = 0; i < b->spans_n; i++)
		if (b->spans[i].kind == DOC_LINE_END)
			buf_addc(out, '\n');
		else
			text_renders(out, b->spans[i].text, TEXT_TERMINAL_LINE);
	buf_addc(out, '\n');
}

/* Each line indented, so that nothing in it looks like a line of ours. */
static void put_code(struct buf *out, const struct doc_block *b)
{
	AUTO(buf) struct buf shown = BUF_INIT;

	text_render(&shown, b->code, b->code_len, TEXT_TERMINAL);
	for (char *line = shown.data, *rest = line; (line = strsep(&rest, "\n"));)
		if (rest || *line)
			buf_addf(out, "    %s\n", line);
}

static void put_block(struct buf *out, const struct doc_block *b, int width)
{
	if (b->kind == DOC_TABLE) {
		table_terminal(&b->table, width, out);
	} else if (b->kind == DOC_CODE_BLOCK) {
		put_code(out, b);
	} else {
		buf_adds(out, b->kind == DOC_ITEM ? "- " : "");
		put_spans(out, b);
	}
}

void doc_terminal(const struct doc *d, int width, struct buf *out)
{
	enum doc_block_kind before = DOC_HEADING;

	for (size_t i = 0; i < d->n; i++) {
		const struct doc_block *b = &d->blocks[i];
		if (b->kind == DOC_DETAILS_END)
			continue;
		/* What stands under a heading or a summary stands right under it. */
		bool under = before == DOC_HEADING || before == DOC_DETAILS;
		if (i && (b->kind == DOC_HEADING || !under) &&
		    !(b->kind == DOC_ITEM && before == DOC_ITEM))
			buf_addc(out, '\n');
		put_block(out, b, width);
		before = b->kind;
	}
}
