/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "report/table.h"
#include <locale.h>
#include <stdbool.h>
#include <wchar.h>
#include "base/cleanup.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/text.h"

#define MIN_WIDTH 8 /* a column is never cut below this */
#define DASH "–"
#define DOTS "…"

void table_init(struct table *t)
{
	*t = (struct table){0};
}

void table_release(struct table *t)
{
	for (size_t i = 0; i < t->columns_n; i++)
		free(t->columns[i].name);
	for (size_t i = 0; i < t->cells_n; i++)
		free(t->cells[i].text);
	free(t->columns);
	free(t->cells);
	table_init(t);
}

void table_column(struct table *t, const char *name, enum table_align align)
{
	GROW(t->columns, t->columns_n, t->columns_cap);
	t->columns[t->columns_n++] = (struct table_column){xstrdup(name), align};
}

static void add_cell(struct table *t, enum table_kind kind, double number, char *text_take)
{
	GROW(t->cells, t->cells_n, t->cells_cap);
	t->cells[t->cells_n++] = (struct table_cell){kind, number, text_take};
}

void table_text(struct table *t, const char *text)
{
	add_cell(t, TABLE_TEXT, 0, xstrdup(text));
}

void table_int(struct table *t, int64_t value)
{
	add_cell(t, TABLE_NUMBER, (double)value, xasprintf("%lld", (long long)value));
}

void table_real(struct table *t, double value, int decimals)
{
	add_cell(t, TABLE_NUMBER, value, xasprintf("%.*f", decimals, value));
}

void table_missing(struct table *t, const char *why)
{
	add_cell(t, TABLE_MISSING, 0, xstrdup(why ? why : DASH));
}

static size_t rows_n(const struct table *t)
{
	return t->columns_n ? t->cells_n / t->columns_n : 0;
}

static const struct table_cell *cell_at(const struct table *t, size_t row, size_t column)
{
	return &t->cells[row * t->columns_n + column];
}

static bool is_ascii(const char *s, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if ((unsigned char)s[i] >= 0x80)
			return false;
	return true;
}

/* One character at S: bytes it has and columns it takes. */
static size_t one_char(const char *s, size_t len, int *width)
{
	wchar_t c;
	mbstate_t state = {0};
	size_t used = mbrtowc(&c, s, len, &state);

	*width = 1;
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

	if (is_ascii(s, len)) {
		at = max >= 0 && len > (size_t)max ? (size_t)max : len;
		*width = (int)at;
		return at;
	}
	/* Our locale, not the user's: text_render() always makes UTF-8. */
	locale_t utf8 = newlocale(LC_CTYPE_MASK, "C.UTF-8", NULL);
	locale_t before = utf8 ? uselocale(utf8) : NULL;
	for (*width = 0; at < len;) {
		int w;
		size_t used = one_char(s + at, len - at, &w);
		if (max >= 0 && *width + w > max)
			break;
		*width += w;
		at += used;
	}
	if (utf8) {
		uselocale(before);
		freelocale(utf8);
	}
	return at;
}

int table_text_width(const char *s, size_t len)
{
	int width;
	(void)fit(s, len, -1, &width);
	return width;
}

static void measure(const char *text, int *width)
{
	AUTO(buf) struct buf shown = BUF_INIT;
	text_renders(&shown, text, TEXT_TERMINAL_LINE);
	int w = table_text_width(shown.data, shown.len);
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

static void pad(struct buf *out, int n)
{
	while (n-- > 0)
		buf_addc(out, ' ');
}

static void put_padded(struct buf *out, const char *text, int width, bool right, bool last)
{
	AUTO(buf) struct buf shown = BUF_INIT;
	text_renders(&shown, text, TEXT_TERMINAL_LINE);
	int taken;
	size_t keep = fit(shown.data, shown.len, width, &taken);
	const char *more = "";

	if (keep < shown.len) {
		keep = fit(shown.data, shown.len, width - 1, &taken);
		taken++;
		more = DOTS;
	}
	if (right)
		pad(out, width - taken);
	buf_add(out, shown.data, keep);
	buf_adds(out, more);
	if (!right && !last)
		pad(out, width - taken);
}

static void end_cell(struct buf *out, bool last, const char *between)
{
	if (last)
		while (out->len && out->data[out->len - 1] == ' ')
			out->data[--out->len] = '\0';
	buf_adds(out, last ? "\n" : between);
}

static void put_rule(const struct table *t, const int *widths, struct buf *out)
{
	for (size_t c = 0; c < t->columns_n; c++) {
		for (int i = 0; i < widths[c]; i++)
			buf_addc(out, '-');
		end_cell(out, c + 1 == t->columns_n, "-+-");
	}
}

void table_terminal(const struct table *t, int width, struct buf *out)
{
	AUTO(free) int *widths = xcalloc(t->columns_n + 1, sizeof *widths);
	size_t n = t->columns_n, rows = rows_n(t);

	for (size_t c = 0; c < n; c++) {
		measure(t->columns[c].name, &widths[c]);
		for (size_t r = 0; r < rows; r++)
			measure(cell_at(t, r, c)->text, &widths[c]);
	}
	if (width > 0)
		shrink(t, widths, width);
	for (size_t c = 0; c < n; c++) {
		bool last = c + 1 == n, right = t->columns[c].align == TABLE_RIGHT;
		put_padded(out, t->columns[c].name, widths[c], right, last);
		end_cell(out, last, " | ");
	}
	put_rule(t, widths, out);
	for (size_t r = 0; r < rows; r++)
		for (size_t c = 0; c < n; c++) {
			bool last = c + 1 == n, right = t->columns[c].align == TABLE_RIGHT;
			put_padded(out, cell_at(t, r, c)->text, widths[c], right, last);
			end_cell(out, last, " | ");
		}
}

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
	for (size_t i = 0; i + n <= t->cells_n && n; i += n)
		for (size_t c = 0; c < n; c++) {
			buf_adds(out, "| ");
			text_markdown(out, t->cells[i + c].text);
			buf_adds(out, c + 1 == n ? " |\n" : " ");
		}
}

void table_csv(const struct table *t, struct buf *out)
{
	for (size_t c = 0; c < t->columns_n; c++) {
		text_renders(out, t->columns[c].name, TEXT_CSV);
		end_cell(out, c + 1 == t->columns_n, ",");
	}
	for (size_t i = 0, column = 0; i < t->cells_n; i++) {
		if (t->cells[i].kind == TABLE_TEXT)
			text_renders(out, t->cells[i].text, TEXT_CSV);
		else if (t->cells[i].kind == TABLE_NUMBER)
			buf_adds(out, t->cells[i].text);
		bool last = ++column == t->columns_n;
		end_cell(out, last, ",");
		column = last ? 0 : column;
	}
}

static void put_json(json_t *row, const char *key, const struct table_cell *cell)
{
	if (cell->kind == TABLE_TEXT)
		json_put_str(row, key, cell->text);
	else if (cell->kind == TABLE_MISSING)
		json_put_str(row, key, NULL);
	else if (strchr(cell->text, '.'))
		json_put_real(row, key, cell->number);
	else
		json_put_int(row, key, (int64_t)cell->number);
}

json_t *table_json(const struct table *t)
{
	json_t *rows = json_array();

	for (size_t r = 0; r < rows_n(t); r++) {
		json_t *row = json_object();
		for (size_t c = 0; c < t->columns_n; c++)
			put_json(row, t->columns[c].name, cell_at(t, r, c));
		json_array_append_new(rows, row);
	}
	return rows;
}
