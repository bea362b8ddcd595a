/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * text.h -- the one place where untrusted text becomes safe for a medium, and small helpers for words.
 */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include "base/buf.h"

enum text_medium {
	TEXT_TERMINAL, /* control characters (but newline and tab) and bad UTF-8 shown as escapes */
	TEXT_TERMINAL_LINE, /* the same and on one line */
	TEXT_MARKDOWN,	    /* inline: markup and HTML lose their meaning, on one line, | escaped */
	TEXT_MARKDOWN_CODE, /* the inside of a fenced block whose fence is text_fence() */
	TEXT_HTML,
	TEXT_CSV,	/* one quoted field, for programs */
	TEXT_CSV_SHEET, /* the same for a spreadsheet: a leading = + - @ tab or CR is defused */
};

void text_render(struct buf *out, const char *s, size_t len, enum text_medium medium);
void text_renders(struct buf *out, const char *s, enum text_medium medium);
/* Inline text as TEXT_MARKDOWN, but names and run ids keep their underscores unescaped, so that they can
 * be searched for and copied. */
void text_markdown(struct buf *out, const char *s);
/* A run of backticks longer than any inside S: at least three. The caller frees. */
char *text_fence(const char *s, size_t len);
bool text_is_utf8(const char *s, size_t len);
/* The nearest of CANDIDATES (NULL-terminated) by edit distance, or NULL when none is near. */
const char *text_nearest(const char *word, const char *const *candidates);
/* Shell-style pattern (* ? []) over the whole text, as fnmatch without special slashes. */
bool text_glob(const char *pattern, const char *text);
bool text_ends_with(const char *s, const char *end);
/* S as one word of a shell command, quoted only when it must be. */
void text_shell(struct buf *out, const char *s);
/* Keep the first LEN bytes without cutting a UTF-8 sequence: returns the byte count to keep. */
size_t text_cut(const char *s, size_t len);
