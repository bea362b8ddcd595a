/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "base/cleanup.h"
#include "base/json.h"
#include "base/text.h"

enum { VALUES_MAX = 400000, NUMBER_MAX = 400, FLAGS = JSON_ALLOW_NUL };
static const char replacement[] = "\xef\xbf\xbd"; /* U+FFFD */

/* A list of small numbers takes twenty times its text in memory, a list in a list in a list fifty times. */
static bool is_too_rich(const char *text, size_t len)
{
	const char *p = text, *end = text + len;
	size_t values = 0;

	while (values <= VALUES_MAX && p < end) {
		const char c = *p++;
		values += c == ',' || c == '[' || c == '{';
		if (c != '"')
			continue;
		while (p < end && *p != '"')
			p += *p == '\\' ? 2 : 1;
		p++;
	}
	return values > VALUES_MAX;
}

static int unit(const char *p, const char *end)
{
	char hex[5] = "";
	char *rest;

	if (end - p < 6 || p[0] != '\\' || p[1] != 'u')
		return -1;
	memcpy(hex, p + 2, 4);
	long value = strtol(hex, &rest, 16);
	return *rest || strspn(hex, "0123456789abcdefABCDEF") != 4 ? -1 : (int)value;
}

/* The escape at P; the place behind it. */
static const char *mend_escape(struct buf *out, const char *p, const char *end)
{
	int high = unit(p, end), low = high >= 0 ? unit(p + 6, end) : -1;
	size_t n = high < 0 ? 2 : 6;

	if (high >= 0xd800 && high < 0xdc00 && low >= 0xdc00 && low < 0xe000)
		n = 12;
	else if (high >= 0xd800 && high < 0xe000) {
		buf_adds(out, replacement);
		return p + n;
	}
	if (n > (size_t)(end - p))
		n = (size_t)(end - p);
	buf_add(out, p, n);
	return p + n;
}

/* The character at P; the place behind it. */
static const char *mend_character(struct buf *out, const char *p, const char *end)
{
	const unsigned char lead = (unsigned char)*p;
	size_t n = lead < 0x80 ? 1 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;

	if (lead < 0x20) {
		buf_addf(out, "\\u%04x", lead);
		return p + 1;
	}
	if (n > (size_t)(end - p) || !text_is_utf8(p, n)) {
		buf_adds(out, replacement);
		return p + 1;
	}
	buf_add(out, p, n);
	return p + n;
}

/* The string at P, past its opening quote; the place behind it. */
static const char *mend_string(struct buf *out, const char *p, const char *end)
{
	while (p < end && *p != '"') {
		p = *p == '\\' ? mend_escape(out, p, end) : mend_character(out, p, end);
	}
	if (p < end)
		buf_addc(out, *p++);
	return p;
}

/* A number, or a word such as NaN, at P; the place behind it. */
static const char *mend_plain(struct buf *out, const char *p, const char *end)
{
	char word[NUMBER_MAX], *rest;
	size_t n = 0;

	while (p + n < end && n + 1 < sizeof word && !strchr(" \t\r\n,:[]{}\"", p[n]))
		n++;
	memcpy(word, p, n);
	word[n] = '\0';
	const bool is_word =
		!strcmp(word, "true") || !strcmp(word, "false") || !strcmp(word, "null");
	errno = 0;
	double value = strtod(word, &rest);
	if (is_word || (n && *rest) || !n)
		buf_add(out, word, n);
	else if (!isfinite(value))
		buf_adds(out, "null");
	else if (!strpbrk(word, ".eE") && fabs(value) >= 9.2e18)
		buf_addf(out, "%.17g%s", value, fabs(value) < 1e17 ? ".0" : "");
	else if (errno == ERANGE)
		buf_adds(out, "0.0");
	else
		buf_add(out, word, n);
	return p + (n ? n : 1);
}

void json_mend(struct buf *out, const char *text, size_t len)
{
	const char *p = text, *end = text + len;

	if (len >= 3 && !memcmp(p, "\xef\xbb\xbf", 3))
		p += 3;
	while (p < end) {
		if (*p == '"') {
			buf_addc(out, *p);
			p = mend_string(out, p + 1, end);
		} else if (strchr(" \t\r\n,:[]{}", *p)) {
			buf_addc(out, *p++);
		} else {
			p = mend_plain(out, p, end);
		}
	}
}

json_t *json_foreign(const char *text, size_t len)
{
	AUTO(buf) struct buf mended = BUF_INIT;

	if (is_too_rich(text, len))
		return NULL;
	json_t *j = json_loadb(text, len, FLAGS, NULL);
	if (j)
		return j;
	json_mend(&mended, text, len);
	return json_loadb(mended.data, mended.len, FLAGS, NULL);
}
