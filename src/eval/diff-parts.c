/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "eval/diff-parts.h"
#include <stdlib.h>
#include <string.h>
#include "base/cleanup.h"
#include "base/mem.h"

/* Neither a hunk's line nor a line of a binary patch can begin so. */
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

/* git's quoting of a name, as C has it; AT is behind the quote. */
static char *unquote(const char *at, const char *end)
{
	static const char plain[] = "abfnrtv\\\"", meant[] = "\a\b\f\n\r\t\v\\\"";
	AUTO(buf) struct buf out = BUF_INIT;

	for (; at < end && *at != '"'; at++) {
		if (*at != '\\' || at + 1 == end) {
			buf_addc(&out, *at);
			continue;
		}
		at++;
		const char *known = strchr(plain, *at);
		if (*at >= '0' && *at <= '3' && end - at >= 3) {
			buf_addc(&out,
				 (char)((at[0] - '0') << 6 | (at[1] - '0') << 3 | (at[2] - '0')));
			at += 2;
		} else {
			buf_addc(&out, known && *at ? meant[known - plain] : *at);
		}
	}
	return out.data ? buf_detach(&out) : xstrdup("");
}

/* The name between S and END as a diff writes it, quoted or not; NULL: that of no file. */
static char *name_of(const char *s, const char *end)
{
	while (end > s && (end[-1] == '\n' || end[-1] == '\t' || end[-1] == '\r'))
		end--;
	return s < end && *s == '"'			     ? unquote(s + 1, end)
	       : end - s == 9 && starts(s, end, "/dev/null") ? NULL
							     : xstrndup(s, (size_t)(end - s));
}

/* The same without its first folder: "b/src/x.py". */
static char *name_below(const char *s, const char *end)
{
	AUTO(free) char *name = name_of(s, end);
	const char *slash = name ? strchr(name, '/') : NULL;

	return slash ? xstrdup(slash + 1) : STEAL(&name);
}

/* Of a change without lines (a mode, an empty file, a binary) the header alone tells: the same name twice. */
static char *name_in_header(const char *s, const char *end)
{
	s += strlen(START);
	while (end > s && (end[-1] == '\n' || end[-1] == '\r'))
		end--;
	if (s < end && *s != '"')
		end = s + (end - s) / 2;
	return name_below(s, end);
}

static void read_header(struct diff_part *p, const char *s, const char *end, char **before)
{
	const char *stop = line_end(s, end);

	p->is_new |= starts(s, end, "new file mode ");
	p->executable |= starts(s, end, "new file mode 100755") ||
			 starts(s, end, "new file mode 120000") ||
			 starts(s, end, "new mode 100755");
	if (starts(s, end, "+++ ") && !p->path)
		p->path = name_below(s + 4, stop);
	else if (starts(s, end, "rename to ") && !p->path)
		p->path = name_of(s + strlen("rename to "), stop);
	else if (starts(s, end, "--- ") && !*before)
		*before = name_below(s + 4, stop);
}

static void read_part(struct diff_part *p)
{
	const char *end = p->text + p->len;
	char *before = NULL;
	bool in_hunk = false;

	for (const char *s = p->text; s < end && !p->binary; s = line_end(s, end)) {
		in_hunk |= starts(s, end, "@@ ");
		p->added += in_hunk && *s == '+';
		p->removed += in_hunk && *s == '-';
		p->binary = !in_hunk &&
			    (starts(s, end, "GIT binary patch") || starts(s, end, "Binary files "));
		if (!in_hunk)
			read_header(p, s, end, &before);
	}
	if (!p->path)
		p->path = STEAL(&before);
	if (!p->path)
		p->path = name_in_header(p->text, line_end(p->text, end));
	if (!p->path || !*p->path) {
		free(p->path);
		p->path = xstrdup("?");
	}
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

bool diff_part_changes(const struct diff_part *p, const char *word)
{
	const char *end = p->text + p->len, *next;

	for (const char *line = p->text; line < end; line = next) {
		next = line_end(line, end);
		if ((*line == '+' || *line == '-') && !starts(line, end, "+++ ") &&
		    !starts(line, end, "--- ") &&
		    memmem(line, (size_t)(next - line), word, strlen(word)))
			return true;
	}
	return false;
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
