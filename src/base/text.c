/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "base/text.h"
#include <ctype.h>
#include <fnmatch.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include "base/mem.h"

/* Length of the valid UTF-8 sequence at S, 0 when there is none (Unicode 15, table 3-7). */
static size_t utf8_len(const unsigned char *s, size_t len)
{
	static const struct {
		unsigned char lo, hi, second_lo, second_hi, n;
	} forms[] = {
		{0x00, 0x7f, 0, 0, 1},	     {0xc2, 0xdf, 0x80, 0xbf, 2},
		{0xe0, 0xe0, 0xa0, 0xbf, 3}, {0xe1, 0xec, 0x80, 0xbf, 3},
		{0xed, 0xed, 0x80, 0x9f, 3}, {0xee, 0xef, 0x80, 0xbf, 3},
		{0xf0, 0xf0, 0x90, 0xbf, 4}, {0xf1, 0xf3, 0x80, 0xbf, 4},
		{0xf4, 0xf4, 0x80, 0x8f, 4},
	};

	for (size_t i = 0; len && i < ARRAY_SIZE(forms); i++) {
		if (s[0] < forms[i].lo || s[0] > forms[i].hi)
			continue;
		if (forms[i].n > len)
			return 0;
		for (size_t k = 1; k < forms[i].n; k++) {
			unsigned char lo = k == 1 ? forms[i].second_lo : 0x80;
			unsigned char hi = k == 1 ? forms[i].second_hi : 0xbf;
			if (s[k] < lo || s[k] > hi)
				return 0;
		}
		return forms[i].n;
	}
	return 0;
}

static uint32_t utf8_code(const unsigned char *s, size_t n)
{
	uint32_t c = n == 1 ? s[0] : s[0] & (0xffu >> (n + 1));

	for (size_t k = 1; k < n; k++)
		c = c << 6 | (s[k] & 0x3f);
	return c;
}

bool text_is_utf8(const char *s, size_t len)
{
	while (len) {
		size_t n = utf8_len((const unsigned char *)s, len);
		if (!n)
			return false;
		s += n;
		len -= n;
	}
	return true;
}

size_t text_cut(const char *s, size_t len)
{
	size_t keep = len;

	/* Step back over at most one unfinished sequence. */
	for (int back = 0; back < 4 && keep > 0; back++) {
		unsigned char c = (unsigned char)s[keep - 1];
		keep--;
		if (c < 0x80)
			return keep + 1;
		if (c >= 0xc0)
			return utf8_len((const unsigned char *)s + keep, len - keep) ? len : keep;
	}
	return len;
}

/* Controls, and the characters that reorder or hide text on a screen. */
static bool is_harmful(uint32_t c)
{
	return c < 0x20 || (c >= 0x7f && c <= 0x9f) || c == 0x061c ||
	       (c >= 0x200b && c <= 0x200f) || (c >= 0x2028 && c <= 0x202e) ||
	       (c >= 0x2060 && c <= 0x2069) || c == 0xfeff || (c >= 0xe0000 && c <= 0xe007f);
}

static void add_escape(struct buf *out, uint32_t c)
{
	if (c < 0x100)
		buf_addf(out, "\\x%02x", (unsigned)c);
	else
		buf_addf(out, "\\u{%x}", (unsigned)c);
}

static const char *html_entity(uint32_t c)
{
	switch (c) {
	case '&':
		return "&amp;";
	case '<':
		return "&lt;";
	case '>':
		return "&gt;";
	case '"':
		return "&quot;";
	case '\'':
		return "&#39;";
	default:
		return NULL;
	}
}

static bool keeps_lines(enum text_medium medium)
{
	return medium != TEXT_TERMINAL_LINE && medium != TEXT_MARKDOWN;
}

static bool is_csv(enum text_medium medium)
{
	return medium == TEXT_CSV || medium == TEXT_CSV_SHEET;
}

static void add_char(struct buf *out, const unsigned char *s, size_t n, enum text_medium medium)
{
	uint32_t c = utf8_code(s, n);
	const char *entity = html_entity(c);

	if ((c == '\n' || c == '\t') && keeps_lines(medium))
		buf_addc(out, (char)c);
	else if (c == '\n' || c == '\t' || c == '\r')
		buf_addc(out, ' ');
	else if (is_harmful(c))
		add_escape(out, c);
	else if (medium == TEXT_HTML && entity)
		buf_adds(out, entity);
	else if (medium == TEXT_MARKDOWN && c < 0x80 && strchr("\\`*_{}[]()<>#+!|~&$", (int)c))
		buf_addf(out, "\\%c", (char)c);
	else if (is_csv(medium) && c == '"')
		buf_adds(out, "\"\"");
	else
		buf_add(out, s, n);
}

/* Spreadsheets skip blanks and what has no width before they look, and know the full-width forms. */
static bool is_formula(const char *s, size_t len)
{
	static const char *const skipped[] = {
		" ",	       "\n", "\xc2\xa0", "\xe2\x80\x8b", "\xe2\x80\x8c", "\xe2\x80\x8d",
		"\xef\xbb\xbf"};
	static const char *const signs[] = {"=",
					    "+",
					    "-",
					    "@",
					    "\t",
					    "\r",
					    "\xef\xbc\x9d",
					    "\xef\xbc\x8b",
					    "\xef\xbc\x8d",
					    "\xef\xbc\xa0"};

	for (size_t i = 0; i < sizeof skipped / sizeof *skipped; i++) {
		size_t n = strlen(skipped[i]);
		if (len >= n && !memcmp(s, skipped[i], n))
			return is_formula(s + n, len - n);
	}
	for (size_t i = 0; i < sizeof signs / sizeof *signs; i++) {
		size_t n = strlen(signs[i]);
		if (len >= n && !memcmp(s, signs[i], n))
			return true;
	}
	return false;
}

void text_render(struct buf *out, const char *s, size_t len, enum text_medium medium)
{
	const unsigned char *p = (const unsigned char *)s;

	if (is_csv(medium)) {
		buf_addc(out, '"');
		if (medium == TEXT_CSV_SHEET && is_formula(s, len))
			buf_addc(out, '\'');
	}
	while (len) {
		size_t n = utf8_len(p, len);
		if (n)
			add_char(out, p, n, medium);
		else
			add_escape(out, *p);
		n = n ? n : 1;
		p += n;
		len -= n;
	}
	if (is_csv(medium))
		buf_addc(out, '"');
}

void text_renders(struct buf *out, const char *s, enum text_medium medium)
{
	text_render(out, s, strlen(s), medium);
}

char *text_fence(const char *s, size_t len)
{
	size_t run = 0, longest = 2;

	for (size_t i = 0; i < len; i++) {
		run = s[i] == '`' ? run + 1 : 0;
		if (run > longest)
			longest = run;
	}
	char *fence = xmalloc(longest + 2);
	memset(fence, '`', longest + 1);
	fence[longest + 1] = '\0';
	return fence;
}

/* Levenshtein with adjacent swaps, over bytes; words here are short option and key names. */
static size_t distance(const char *a, const char *b)
{
	enum { MAX = 64 };
	size_t la = strlen(a), lb = strlen(b);
	size_t rows[3][MAX + 1], *before = rows[0], *last = rows[1], *now = rows[2];

	if (la > MAX || lb > MAX)
		return MAX;
	for (size_t j = 0; j <= lb; j++)
		last[j] = j;
	for (size_t i = 1; i <= la; i++) {
		now[0] = i;
		for (size_t j = 1; j <= lb; j++) {
			size_t best = last[j - 1] + (a[i - 1] != b[j - 1]);
			if (last[j] + 1 < best)
				best = last[j] + 1;
			if (now[j - 1] + 1 < best)
				best = now[j - 1] + 1;
			if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] &&
			    before[j - 2] + 1 < best)
				best = before[j - 2] + 1;
			now[j] = best;
		}
		size_t *spare = before;
		before = last;
		last = now;
		now = spare;
	}
	return last[lb];
}

const char *text_nearest(const char *word, const char *const *candidates)
{
	size_t len = strlen(word), best = len < 3 ? 2 : len / 3 + 2;
	const char *nearest = NULL;

	for (; *candidates; candidates++) {
		size_t d = distance(word, *candidates);
		if (d < best) {
			best = d;
			nearest = *candidates;
		}
	}
	return nearest;
}

bool text_ends_with(const char *s, const char *end)
{
	size_t len = strlen(s), n = strlen(end);

	return len >= n && strcmp(s + len - n, end) == 0;
}

bool text_glob(const char *pattern, const char *text)
{
	return !fnmatch(pattern, text, 0);
}

void text_shell(struct buf *out, const char *s)
{
	/* Bytes of UTF-8 mean nothing to a shell. */
	bool plain = *s && *s != '~';

	for (const char *c = s; *c && plain; c++)
		plain = isalnum((unsigned char)*c) || strchr("._-+,:@%/=", *c) || *c < 0;
	if (plain) {
		buf_adds(out, s);
		return;
	}
	buf_addc(out, '\'');
	for (; *s; s++)
		if (*s == '\'')
			buf_adds(out, "'\\''");
		else
			buf_addc(out, *s);
	buf_addc(out, '\'');
}

/* An underscore inside a word is no markup. */
static bool is_word(const char *s)
{
	size_t n = strlen(s);
	if (!n || s[0] == '_' || s[n - 1] == '_')
		return false;
	for (size_t i = 0; i < n; i++)
		if (!((s[i] >= 'a' && s[i] <= 'z') || (s[i] >= 'A' && s[i] <= 'Z') ||
		      (s[i] >= '0' && s[i] <= '9') || strchr("._-", s[i])))
			return false;
	return true;
}

void text_markdown(struct buf *out, const char *s)
{
	if (is_word(s))
		buf_adds(out, s);
	else
		text_renders(out, s, TEXT_MARKDOWN);
}
