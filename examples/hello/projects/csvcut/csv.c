#include <stdlib.h>
#include <string.h>

#include "csv.h"

struct text {
	char *data;
	size_t len, cap;
};

static int text_add(struct text *t, char c)
{
	if (t->len + 1 >= t->cap) {
		size_t cap = t->cap ? t->cap * 2 : 32;
		char *data = realloc(t->data, cap);

		if (!data)
			return -1;
		t->data = data;
		t->cap = cap;
	}
	t->data[t->len++] = c;
	t->data[t->len] = '\0';
	return 0;
}

/* Move the text into the row as its next field. */
static int row_add(struct csv_row *row, struct text *t)
{
	if (!t->data && text_add(t, '\0') < 0)
		return -1;
	t->data[t->len] = '\0';
	if (row->n == row->cap) {
		size_t cap = row->cap ? row->cap * 2 : 8;
		char **field = realloc(row->field, cap * sizeof *field);

		if (!field)
			return -1;
		row->field = field;
		row->cap = cap;
	}
	row->field[row->n++] = t->data;
	memset(t, 0, sizeof *t);
	return 0;
}

static void row_clear(struct csv_row *row)
{
	while (row->n > 0)
		free(row->field[--row->n]);
}

int csv_read(FILE *in, char delimiter, struct csv_row *row)
{
	struct text t = {0};
	int quoted = 0;
	int c;

	row_clear(row);
	while ((c = getc(in)) != EOF) {
		if (c == '"') {
			quoted = !quoted;
			continue;
		}
		if (!quoted && (c == delimiter || c == '\n')) {
			if (c == '\n' && t.len > 0 && t.data[t.len - 1] == '\r')
				t.data[--t.len] = '\0';
			if (c == delimiter || t.len > 0) {
				if (row_add(row, &t) < 0)
					goto fail;
			}
			if (c == '\n')
				return 1;
			continue;
		}
		if (text_add(&t, c) < 0)
			goto fail;
	}
	if (ferror(in))
		goto fail;
	if (t.len > 0 && row_add(row, &t) < 0)
		goto fail;
	free(t.data);
	return row->n > 0;
fail:
	free(t.data);
	return -1;
}

void csv_write_field(FILE *out, char delimiter, const char *field)
{
	if (!strchr(field, delimiter)) {
		fputs(field, out);
		return;
	}
	fprintf(out, "\"%s\"", field);
}

void csv_free(struct csv_row *row)
{
	row_clear(row);
	free(row->field);
	memset(row, 0, sizeof *row);
}
