/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * table.h -- one table, for a terminal, as Markdown, HTML, CSV or JSON. Cells are filled row by row, left to
 * right. Text is copied as it is and made harmless for the medium when it is rendered.
 */
#pragma once
#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/buf.h"

enum table_align {
	TABLE_LEFT,
	TABLE_RIGHT,
	TABLE_WHOLE /* left, never cut: something to be copied */
};

struct table_column {
	char *name;
	enum table_align align;
};

enum table_kind { TABLE_TEXT, TABLE_NUMBER, TABLE_MISSING };

struct table_cell {
	double number;
	uint64_t text : 56; /* see table_cell_text() */
	uint64_t kind : 8;  /* enum table_kind */
};

/* All zero: an empty one. */
struct table {
	struct table_column *columns;
	size_t columns_n, columns_cap;
	struct table_cell *cells; /* row after row */
	size_t cells_n, cells_cap;
	char *texts; /* of the cells, each with its NUL */
	size_t texts_len, texts_cap;
};

void table_release(struct table *t);
void table_column(struct table *t, const char *name, enum table_align align);
void table_text(struct table *t, const char *text);
void table_textf(struct table *t, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void table_int(struct table *t, int64_t value);
void table_real(struct table *t, double value, int decimals);
/* A score: number_score() for people, the number itself for programs. */
void table_score(struct table *t, double value);
/* No value: WHY is shown to people ("–" when NULL); null in JSON, empty in CSV. */
void table_missing(struct table *t, const char *why);

/* What of T is shown where it is too wide: without columns that say nothing in any row, and of run ids, where all are of one
 * stamp, only what differs. */
void table_compact(struct table *out, const struct table *t);
size_t table_rows(const struct table *t);
const struct table_cell *table_cell(const struct table *t, size_t row, size_t column);
/* What people read in it, unrendered; of a missing cell: why. Valid until the next cell is added. */
const char *table_cell_text(const struct table *t, const struct table_cell *cell);

/* WIDTH: columns of the terminal; the widest text columns are cut to fit. 0: never cut. */
void table_terminal(const struct table *t, int width, struct buf *out);
void table_markdown(const struct table *t, struct buf *out);
void table_html(const struct table *t, struct buf *out);
/* SHEET: for a spreadsheet, with a byte order mark, and text that it would take for a formula behind an apostrophe. */
void table_csv(const struct table *t, bool sheet, struct buf *out);
json_t *table_json(const struct table *t);		   /* an array of objects; new reference */
json_t *table_row_json(const struct table *t, size_t row); /* one of them; new reference */

/* Terminal columns that valid UTF-8 takes. */
int table_text_width(const char *s, size_t len);

static inline void auto_table(struct table *t)
{
	table_release(t);
}
