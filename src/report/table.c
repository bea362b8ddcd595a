/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "report/table.h"
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include "base/cleanup.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/text.h"
#include "report/number.h"

#define DASH "–"

void table_release(struct table *t)
{
	for (size_t i = 0; i < t->columns_n; i++)
		free(t->columns[i].name);
	free(t->columns);
	free(t->cells);
	free(t->texts);
	*t = (struct table){0};
}

void table_column(struct table *t, const char *name, enum table_align align)
{
	GROW(t->columns, t->columns_n, t->columns_cap);
	t->columns[t->columns_n++] = (struct table_column){xstrdup(name), align};
}

/* One memory for all texts: a table of 50,000 trials has 400,000 cells. */
static void add_cell(struct table *t, enum table_kind kind, double number, const char *text)
{
	size_t size = strlen(text) + 1;

	if (t->texts_cap - t->texts_len < size) {
		t->texts_cap = 2 * t->texts_cap + size;
		t->texts = xrealloc(t->texts, t->texts_cap);
	}
	memcpy(t->texts + t->texts_len, text, size);
	GROW(t->cells, t->cells_n, t->cells_cap);
	t->cells[t->cells_n++] = (struct table_cell){number, t->texts_len, kind};
	t->texts_len += size;
}

void table_text(struct table *t, const char *text)
{
	add_cell(t, TABLE_TEXT, 0, text);
}

void table_textf(struct table *t, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	AUTO(free) char *text = xvasprintf(fmt, ap);
	va_end(ap);
	table_text(t, text);
}

void table_int(struct table *t, int64_t value)
{
	char text[24];

	snprintf(text, sizeof text, "%lld", (long long)value);
	add_cell(t, TABLE_NUMBER, (double)value, text);
}

void table_real(struct table *t, double value, int decimals)
{
	char text[400]; /* the largest double has 309 digits */

	snprintf(text, sizeof text, "%.*f", decimals, value);
	add_cell(t, TABLE_NUMBER, value, text);
}

void table_score(struct table *t, double value)
{
	char text[NUMBER_TEXT];

	add_cell(t, TABLE_NUMBER, value, number_score(text, value));
}

void table_missing(struct table *t, const char *why)
{
	add_cell(t, TABLE_MISSING, 0, why ? why : DASH);
}

size_t table_rows(const struct table *t)
{
	return t->columns_n ? t->cells_n / t->columns_n : 0;
}

const struct table_cell *table_cell(const struct table *t, size_t row, size_t column)
{
	return &t->cells[row * t->columns_n + column];
}

const char *table_cell_text(const struct table *t, const struct table_cell *cell)
{
	return t->texts + cell->text;
}

static bool says_nothing(const struct table *t, size_t column)
{
	for (size_t r = 0; r < table_rows(t); r++)
		if (table_cell(t, r, column)->kind != TABLE_MISSING ||
		    strcmp(table_cell_text(t, table_cell(t, r, column)), DASH) != 0)
			return false;
	return table_rows(t) > 0;
}

/* Bytes up to the number at the end that the run ids of a column have in common; 0: it has none, or they differ. */
static size_t common_stamp(const struct table *t, size_t column)
{
	const char *first, *dash;

	if (strcmp(t->columns[column].name, "run") != 0 || table_rows(t) < 2)
		return 0;
	first = table_cell_text(t, table_cell(t, 0, column));
	dash = strrchr(first, '-');
	for (size_t r = 1; dash && r < table_rows(t); r++) {
		const char *other = table_cell_text(t, table_cell(t, r, column));
		if (strncmp(first, other, (size_t)(dash - first) + 1) != 0 ||
		    strchr(other + (dash - first) + 1, '-'))
			return 0;
	}
	return dash ? (size_t)(dash - first) : 0;
}

static void copy_cell(struct table *out, const struct table *t, const struct table_cell *cell,
		      size_t skip)
{
	const char *text = table_cell_text(t, cell);
	AUTO(free) char *rest = skip ? xasprintf("…%s", text + skip) : NULL;

	add_cell(out, (enum table_kind)cell->kind, cell->number, rest ? rest : text);
}

void table_compact(struct table *out, const struct table *t)
{
	AUTO(free) size_t *skip = xcalloc(t->columns_n + 1, sizeof *skip);
	AUTO(free) bool *silent = xcalloc(t->columns_n + 1, sizeof *silent);

	for (size_t c = 0; c < t->columns_n; c++) {
		silent[c] = says_nothing(t, c);
		skip[c] = common_stamp(t, c);
		if (!silent[c])
			table_column(out, t->columns[c].name, t->columns[c].align);
	}
	for (size_t r = 0; r < table_rows(t); r++)
		for (size_t c = 0; c < t->columns_n; c++)
			if (!silent[c])
				copy_cell(out, t, table_cell(t, r, c), skip[c]);
}

/* Programs are given the number itself, and not what people see of it. */
static void csv_number(struct buf *out, const struct table *t, const struct table_cell *cell)
{
	const char *text = table_cell_text(t, cell);

	if (strchr(text, '.'))
		number_exact(out, cell->number);
	else
		buf_adds(out, text);
}

void table_csv(const struct table *t, bool sheet, struct buf *out)
{
	const enum text_medium medium = sheet ? TEXT_CSV_SHEET : TEXT_CSV;

	buf_adds(out, sheet ? "\xef\xbb\xbf" : "");
	for (size_t c = 0; c < t->columns_n; c++) {
		buf_adds(out, c ? "," : "");
		text_renders(out, t->columns[c].name, medium);
	}
	buf_addc(out, '\n');
	for (size_t r = 0; r < table_rows(t); r++) {
		for (size_t c = 0; c < t->columns_n; c++) {
			const struct table_cell *cell = table_cell(t, r, c);
			buf_adds(out, c ? "," : "");
			if (cell->kind == TABLE_TEXT)
				text_renders(out, table_cell_text(t, cell), medium);
			else if (cell->kind == TABLE_NUMBER)
				csv_number(out, t, cell);
		}
		buf_addc(out, '\n');
	}
}

static void put_json(json_t *row, const char *key, const struct table *t,
		     const struct table_cell *cell)
{
	const char *text = table_cell_text(t, cell);

	if (cell->kind == TABLE_TEXT)
		json_put_str(row, key, text);
	else if (cell->kind == TABLE_MISSING)
		json_put_str(row, key, NULL);
	else if (strchr(text, '.'))
		json_put_real(row, key, cell->number);
	else
		json_put_int(row, key, (int64_t)cell->number);
}

json_t *table_row_json(const struct table *t, size_t r)
{
	json_t *row = json_object();

	for (size_t c = 0; c < t->columns_n; c++)
		put_json(row, t->columns[c].name, t, table_cell(t, r, c));
	return row;
}

json_t *table_json(const struct table *t)
{
	json_t *rows = json_array();

	for (size_t r = 0; r < table_rows(t); r++)
		json_array_append_new(rows, table_row_json(t, r));
	return rows;
}
