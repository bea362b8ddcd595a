/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "eval/fence.h"
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include "base/cleanup.h"
#include "base/mem.h"
#include "base/text.h"

#define QUOTE "| "
#define TAKEN_OUT "(look-alike of a fence, taken out)"

struct range {
	uint32_t first, last;
};

/* The letter that ranges of code points pass for, of those that a fence's words are made of. */
struct guise {
	struct range of;
	char letter;
};

static bool is_in(const struct range *list, size_t n, uint32_t c)
{
	for (size_t i = 0; i < n; i++)
		if (c >= list[i].first && c <= list[i].last)
			return true;
	return false;
}

/* Code points without a shape of their own: they join, hide, turn round or carry text that no screen shows. */
static bool is_invisible(uint32_t c)
{
	static const struct range list[] = {
		{0x7f, 0x9f},	    {0xad, 0xad},	{0x34f, 0x34f},	  {0x61c, 0x61c},
		{0x115f, 0x1160},   {0x17b4, 0x17b5},	{0x180b, 0x180f}, {0x200b, 0x200f},
		{0x2028, 0x202e},   {0x2060, 0x206f},	{0x3164, 0x3164}, {0xfe00, 0xfe0f},
		{0xfeff, 0xfeff},   {0xffa0, 0xffa0},	{0xfff0, 0xfffb}, {0x1bca0, 0x1bca3},
		{0x1d173, 0x1d17a}, {0xe0000, 0xe0fff}, {0xe000, 0xf8ff}, {0xf0000, 0x10ffff},
	};

	return (c < 0x20 && c != '\t') || is_in(list, ARRAY_SIZE(list), c);
}

static bool is_space(uint32_t c)
{
	static const struct range list[] = {{0xa0, 0xa0},     {0x1680, 0x1680}, {0x2000, 0x200a},
					    {0x202f, 0x202f}, {0x205f, 0x205f}, {0x3000, 0x3000},
					    {0x2800, 0x2800}};

	return is_in(list, ARRAY_SIZE(list), c);
}

static const struct guise guises[] = {
	{{'1', '1'}, 'I'},	 {{'3', '3'}, 'E'},	  {{'5', '5'}, 'S'},
	{{'7', '7'}, 'T'},	 {{0xc8, 0xcb}, 'E'},	  {{0xe8, 0xeb}, 'E'},
	{{0xcc, 0xcf}, 'I'},	 {{0xec, 0xef}, 'I'},	  {{0xd0, 0xd0}, 'D'},
	{{0xd1, 0xd1}, 'N'},	 {{0xf1, 0xf1}, 'N'},	  {{0xd9, 0xdc}, 'U'},
	{{0xf9, 0xfc}, 'U'},	 {{0xdf, 0xdf}, 'B'},	  {{0x10e, 0x111}, 'D'},
	{{0x112, 0x11b}, 'E'},	 {{0x11c, 0x123}, 'G'},	  {{0x128, 0x131}, 'I'},
	{{0x143, 0x14b}, 'N'},	 {{0x154, 0x159}, 'R'},	  {{0x15a, 0x161}, 'S'},
	{{0x162, 0x167}, 'T'},	 {{0x168, 0x173}, 'U'},	  {{0x18e, 0x190}, 'E'},
	{{0x1b7, 0x1b7}, 'E'},	 {{0x1e0, 0x1e7}, 'G'},	  {{0x1f4, 0x1f5}, 'G'},
	{{0x25b, 0x25c}, 'E'},	 {{0x262, 0x262}, 'G'},	  {{0x269, 0x26a}, 'I'},
	{{0x274, 0x274}, 'N'},	 {{0x280, 0x281}, 'R'},	  {{0x299, 0x299}, 'B'},
	{{0x392, 0x392}, 'B'},	 {{0x3b2, 0x3b2}, 'B'},	  {{0x395, 0x395}, 'E'},
	{{0x3b5, 0x3b5}, 'E'},	 {{0x399, 0x399}, 'I'},	  {{0x3b9, 0x3b9}, 'I'},
	{{0x39d, 0x39d}, 'N'},	 {{0x3b7, 0x3b7}, 'N'},	  {{0x3a4, 0x3a4}, 'T'},
	{{0x3c4, 0x3c4}, 'T'},	 {{0x3a3, 0x3a3}, 'E'},	  {{0x3c5, 0x3c5}, 'U'},
	{{0x404, 0x405}, 'S'},	 {{0x406, 0x407}, 'I'},	  {{0x412, 0x412}, 'B'},
	{{0x432, 0x432}, 'B'},	 {{0x415, 0x415}, 'E'},	  {{0x435, 0x435}, 'E'},
	{{0x422, 0x422}, 'T'},	 {{0x442, 0x442}, 'T'},	  {{0x418, 0x419}, 'N'},
	{{0x438, 0x439}, 'N'},	 {{0x41f, 0x41f}, 'N'},	  {{0x43f, 0x43f}, 'N'},
	{{0x42f, 0x42f}, 'R'},	 {{0x433, 0x433}, 'R'},	  {{0x44f, 0x44f}, 'R'},
	{{0x451, 0x451}, 'E'},	 {{0x455, 0x455}, 'S'},	  {{0x456, 0x457}, 'I'},
	{{0x4ae, 0x4ae}, 'U'},	 {{0x500, 0x501}, 'D'},	  {{0x50c, 0x50d}, 'G'},
	{{0x54d, 0x54d}, 'U'},	 {{0x57d, 0x57d}, 'U'},	  {{0x578, 0x578}, 'N'},
	{{0x13a0, 0x13a0}, 'D'}, {{0x13a1, 0x13a1}, 'R'}, {{0x13a2, 0x13a2}, 'T'},
	{{0x13a5, 0x13a5}, 'I'}, {{0x13ac, 0x13ac}, 'E'}, {{0x13c0, 0x13c0}, 'G'},
	{{0x13da, 0x13da}, 'S'}, {{0x13f4, 0x13f4}, 'B'}, {{0x144c, 0x144c}, 'U'},
	{{0x1d05, 0x1d05}, 'D'}, {{0x1d07, 0x1d07}, 'E'}, {{0x1d1b, 0x1d1c}, 'T'},
	{{0xa731, 0xa731}, 'S'}, {{0x1e02, 0x1e07}, 'B'}, {{0x1e0a, 0x1e13}, 'D'},
	{{0x1e14, 0x1e1d}, 'E'}, {{0x1e20, 0x1e21}, 'G'}, {{0x1e2c, 0x1e2f}, 'I'},
	{{0x1e44, 0x1e4b}, 'N'}, {{0x1e58, 0x1e5f}, 'R'}, {{0x1e60, 0x1e69}, 'S'},
	{{0x1e6a, 0x1e71}, 'T'}, {{0x1e72, 0x1e7b}, 'U'}, {{0x1eb8, 0x1ec7}, 'E'},
	{{0x2107, 0x2107}, 'E'}, {{0x2110, 0x2111}, 'I'}, {{0x2115, 0x2115}, 'N'},
	{{0x211b, 0x211d}, 'R'}, {{0x212c, 0x212c}, 'B'}, {{0x2130, 0x2130}, 'E'},
	{{0x2145, 0x2146}, 'D'}, {{0x2147, 0x2147}, 'E'}, {{0x2160, 0x2160}, 'I'},
	{{0x216e, 0x216e}, 'D'}, {{0x2170, 0x2170}, 'I'}, {{0x217e, 0x217e}, 'D'},
	{{0x22a4, 0x22a4}, 'T'}, {{0x222a, 0x222a}, 'U'}, {{0x2229, 0x2229}, 'N'},
	{{0x1d1c, 0x1d1c}, 'U'},
};

/* The letter that C is taken for in A to Z; 0: none. Alphabets that only style Latin letters are laid out in its order. */
static char letter_of(uint32_t c)
{
	static const struct {
		struct range of;
		uint32_t period;
	} alphabets[] = {
		{{0xff21, 0xff3a}, 26},	  {{0xff41, 0xff5a}, 26},   {{0x24b6, 0x24e9}, 26},
		{{0x249c, 0x24b5}, 26},	  {{0x1f110, 0x1f129}, 26}, {{0x1f130, 0x1f149}, 26},
		{{0x1f150, 0x1f169}, 26}, {{0x1f170, 0x1f189}, 26}, {{0x1f1e6, 0x1f1ff}, 26},
		{{0x1d400, 0x1d6a3}, 26}, {{0x1d6a4, 0x1d6a4}, 26},
	};

	if (c < 0x80 && c >= 'A' && (c & ~0x20u) <= 'Z' && (c & ~0x20u) >= 'A')
		return (char)(c & ~0x20u);
	for (size_t i = 0; i < ARRAY_SIZE(alphabets); i++)
		if (c >= alphabets[i].of.first && c <= alphabets[i].of.last)
			return (char)('A' + (c - alphabets[i].of.first) % alphabets[i].period);
	for (size_t i = ARRAY_SIZE(guises);
	     i-- > 0;) /* the last one that holds it is the narrowest */
		if (c >= guises[i].of.first && c <= guises[i].of.last)
			return guises[i].letter;
	return 0;
}

/* Decode one; bytes that are no UTF-8 are given one by one as *BAD. */
static size_t decode(const char *s, size_t len, uint32_t *out, bool *bad)
{
	const unsigned char *p = (const unsigned char *)s;
	size_t n = p[0] < 0x80 ? 1 : p[0] >= 0xf0 ? 4 : p[0] >= 0xe0 ? 3 : 2;

	*bad = n > len || !text_is_utf8(s, n);
	if (*bad) {
		*out = p[0];
		return 1;
	}
	*out = n == 1 ? p[0] : n == 2 ? p[0] & 0x1fu : n == 3 ? p[0] & 0xfu : p[0] & 7u;
	for (size_t i = 1; i < n; i++)
		*out = *out << 6 | (p[i] & 0x3fu);
	return n;
}

/* One line as it will stand there, and the letters that it would be read as, each with where it stands. */
struct line {
	struct buf shown, letters;
	size_t *at;
	size_t at_cap;
};

static void add_point(struct line *l, const char *s, size_t n, uint32_t c, bool bad)
{
	char letter = bad ? 0 : letter_of(c);

	if (letter) {
		size_t count = l->letters.len;
		GROW(l->at, count, l->at_cap);
		l->at[count] = l->shown.len;
		buf_addc(&l->letters, letter);
	}
	if (bad)
		buf_addf(&l->shown, "\\x%02x", (unsigned)c);
	else if (is_space(c))
		buf_addc(&l->shown, ' ');
	else if (is_invisible(c))
		buf_addf(&l->shown, "\\u{%x}", (unsigned)c);
	else if ((c == '|' || c == 0xff5c) && l->shown.len &&
		 strchr("<", l->shown.data[l->shown.len - 1]))
		buf_addf(&l->shown, " %.*s", (int)n,
			 s); /* <|...|> is a control token of some models */
	else
		buf_add(&l->shown, s, n);
}

#define MARK "UNTRUSTED"

/* The length of the word with which a fence begins or ends, where TEXT starts with one. */
static size_t word_after(const char *text)
{
	return strncmp(text, "BEGIN", 5) == 0 ? 5 : strncmp(text, "END", 3) == 0 ? 3 : 0;
}

/* How many letters before AT belong to "end of the" and the like; 0: none do. */
static size_t words_before(const char *text, size_t at)
{
	static const char *const words[] = {"BEGIN",	"END",	  "BEGINOF",	"ENDOF",
					    "BEGINTHE", "ENDTHE", "BEGINOFTHE", "ENDOFTHE"};
	size_t longest = 0;

	for (size_t i = 0; i < ARRAY_SIZE(words); i++) {
		size_t n = strlen(words[i]);
		if (n <= at && n > longest && memcmp(text + at - n, words[i], n) == 0)
			longest = n;
	}
	return longest;
}

/* Replace what reads as one of a fence's two lines, or as words for them. */
static void take_out(const struct line *l, struct buf *out)
{
	const char *letters = l->letters.data, *hit = letters;
	size_t done = 0;

	while ((hit = strstr(hit, MARK))) {
		size_t first = (size_t)(hit - letters), next = first + strlen(MARK);
		size_t before = words_before(letters, first), after = word_after(letters + next);

		hit += strlen(MARK);
		first -= before;
		next += after;
		if ((!before && !after) || l->at[first] < done)
			continue;
		buf_add(out, l->shown.data + done, l->at[first] - done);
		buf_adds(out, TAKEN_OUT);
		done = next < l->letters.len ? l->at[next] : l->shown.len;
	}
	buf_add(out, l->shown.data + done, l->shown.len - done);
}

static void add_line(struct buf *out, const char *s, size_t len)
{
	struct line l = {.shown = BUF_INIT, .letters = BUF_INIT};

	for (size_t i = 0; i < len;) {
		uint32_t c;
		bool bad;
		size_t n = decode(s + i, len - i, &c, &bad);

		add_point(&l, s + i, n, c, bad);
		i += n;
	}
	take_out(&l, out);
	buf_release(&l.shown);
	buf_release(&l.letters);
	free(l.at);
}

void fence_add(struct buf *out, const char *code, const char *what, const char *text, size_t len)
{
	buf_addf(out, "<<<UNTRUSTED-BEGIN %s %s>>>\n", code, what);
	for (size_t i = 0; i < len;) {
		const char *nl = memchr(text + i, '\n', len - i);
		size_t n = nl ? (size_t)(nl - text) - i : len - i;

		buf_adds(out, QUOTE);
		add_line(out, text + i, n);
		buf_addc(out, '\n');
		i += n + 1;
	}
	buf_addf(out, "<<<UNTRUSTED-END %s %s>>>\n", code, what);
}

void fence_name(struct buf *out, const char *text, size_t max)
{
	size_t len = strlen(text);

	buf_addc(out, '"');
	add_line(out, text, len > max ? text_cut(text, max) : len);
	buf_adds(out, len > max ? "...\"" : "\"");
}
