/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "eval/judge-diff.h"
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include "base/cleanup.h"
#include "base/mem.h"
#include "base/text.h"

#define START "diff --git "

static const char *line_end(const char *s, const char *end)
{
	const char *nl = memchr(s, '\n', (size_t)(end - s));

	return nl ? nl + 1 : end;
}

static bool starts(const char *s, const char *end, const char *word)
{
	size_t n = strlen(word);

	return (size_t)(end - s) >= n && memcmp(s, word, n) == 0;
}

/* "b/src/x.py" without its first folder; git puts odd names in quotes, which are kept. */
static char *name_of(const char *s, const char *end)
{
	const char *stop = line_end(s, end);
	bool quoted = s < stop && *s == '"';
	AUTO(free) char *text = NULL;

	while (stop > s && (stop[-1] == '\n' || stop[-1] == '\t' || stop[-1] == '\r'))
		stop--;
	text = xstrndup(s, (size_t)(stop - s));
	if (strcmp(text, "/dev/null") == 0)
		return NULL;
	const char *slash = strchr(text, '/');
	return slash ? xasprintf("%s%s", quoted ? "\"" : "", slash + 1) : xstrdup(text);
}

/* Of a change without lines (a mode, an empty file, a binary) the header alone tells: two names, the second from its
 * middle. */
static char *name_of_header(const char *s, const char *end)
{
	const char *stop = line_end(s, end);
	size_t n = (size_t)(stop - s);

	s += strlen(START);
	n -= strlen(START);
	n -= n && s[n - 1] == '\n';
	return n > 1 ? name_of(s + n / 2 + 1, s + n) : xstrdup("?");
}

static void read_part(struct diff_part *p)
{
	const char *end = p->text + p->len;
	bool in_hunk = false;
	char *before = NULL;

	for (const char *s = p->text; s < end; s = line_end(s, end)) {
		in_hunk |= starts(s, end, "@@ ");
		if (in_hunk) {
			p->added += *s == '+';
			p->removed += *s == '-';
		} else if (starts(s, end, "+++ ") && !p->path) {
			p->path = name_of(s + 4, end);
		} else if (starts(s, end, "--- ") && !before) {
			before = name_of(s + 4, end);
		} else if (starts(s, end, "GIT binary patch") || starts(s, end, "Binary files ")) {
			p->binary = true;
			break;
		}
	}
	if (!p->path)
		p->path = STEAL(&before);
	if (!p->path)
		p->path = name_of_header(p->text, end);
	if (!p->path)
		p->path = xstrdup("?");
	free(before);
}

void diff_parts_read(struct diff_parts *out, const char *diff, size_t len)
{
	const char *end = diff + len, *start = NULL;

	*out = (struct diff_parts){0};
	for (const char *s = diff; s <= end; s = line_end(s, end)) {
		bool is_start = s < end && starts(s, end, START);

		if (start && (is_start || s == end)) {
			GROW(out->v, out->n, out->cap);
			out->v[out->n] =
				(struct diff_part){.text = start, .len = (size_t)(s - start)};
			read_part(&out->v[out->n++]);
		}
		start = is_start ? s : start;
		if (s == end)
			break;
	}
}

void diff_parts_release(struct diff_parts *p)
{
	for (size_t i = 0; i < p->n; i++)
		free(p->v[i].path);
	free(p->v);
	*p = (struct diff_parts){0};
}

static bool is_test(const char *path)
{
	return strcasestr(path, "test") || strcasestr(path, "spec");
}

static bool is_named(const char *path, const struct strv *named)
{
	for (size_t i = 0; i < named->n; i++) {
		size_t n = strlen(path), m = strlen(named->v[i]);
		if (m <= n && strcmp(path + n - m, named->v[i]) == 0 &&
		    (m == n || path[n - m - 1] == '/'))
			return true;
	}
	return false;
}

/* Without what nobody reads: base 85. */
static size_t shown_len(const struct diff_part *p)
{
	const char *end = p->text + p->len, *s = p->text;

	while (p->binary && s < end && !starts(s, end, "GIT binary patch"))
		s = line_end(s, end);
	return p->binary ? (size_t)(s - p->text) : p->len;
}

static void note_cut(struct strv *cut, const struct diff_part *p, const char *what)
{
	strv_pushf(cut, "%s: %s (+%zu -%zu lines, %zu bytes)", p->path, what, p->added, p->removed,
		   p->len);
}

/* The beginning of P, whole lines. */
static void show_beginning(const struct diff_part *p, size_t max, struct buf *out, struct strv *cut)
{
	size_t n = max < shown_len(p) ? max : shown_len(p);

	while (n && p->text[n - 1] != '\n')
		n--;
	buf_add(out, p->text, n);
	note_cut(cut, p, "only its beginning is shown");
}

void diff_parts_show(const struct diff_parts *p, size_t max, const struct strv *named,
		     struct buf *out, struct strv *cut)
{
	AUTO(free) bool *kept = xcalloc(p->n + 1, sizeof *kept);
	size_t used = 0, first = 0, count = 0;

	for (int rank = 0; rank < 3; rank++)
		for (size_t i = 0; i < p->n; i++) {
			const char *path = p->v[i].path;
			int mine = is_named(path, named) ? 0 : is_test(path) ? 1 : 2;

			if (mine != rank)
				continue;
			first = count++ ? first : i;
			kept[i] = used + shown_len(&p->v[i]) <= max;
			used += kept[i] ? shown_len(&p->v[i]) : 0;
		}
	for (size_t i = 0; i < p->n; i++) {
		const struct diff_part *part = &p->v[i];

		if (kept[i])
			buf_add(out, part->text, shown_len(part));
		else if (!used && i == first)
			show_beginning(part, max, out, cut);
		else
			note_cut(cut, part, "left out");
		if (kept[i] && part->binary)
			buf_adds(out, "(a binary file: its contents are left out)\n");
	}
}
