/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "aws/xml.h"
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include "base/buf.h"
#include "base/mem.h"

static const char *find(const char *from, const char *end, const char *what)
{
	return from < end ? memmem(from, (size_t)(end - from), what, strlen(what)) : NULL;
}

const char *xml_next(const char **at, const char *end, const char *name, size_t *len)
{
	const size_t n = strlen(name);
	char close[128];

	snprintf(close, sizeof close, "</%s>", name);
	for (const char *p = *at; (p = find(p, end, "<")); p++) {
		if ((size_t)(end - p) < n + 2 || strncmp(p + 1, name, n) ||
		    !strchr("> /\t\n", p[1 + n]))
			continue;
		const char *inside = find(p, end, ">");
		if (!inside)
			return NULL;
		if (inside[-1] == '/') {
			*at = inside + 1;
			*len = 0;
			return inside;
		}
		const char *stop = find(inside, end, close);
		if (!stop)
			return NULL;
		*at = stop + strlen(close);
		*len = (size_t)(stop - inside - 1);
		return inside + 1;
	}
	return NULL;
}

static void add_code(struct buf *out, unsigned long code)
{
	if (code < 0x80) {
		buf_addc(out, (char)code);
	} else if (code < 0x800) {
		buf_addc(out, (char)(0xc0 | code >> 6));
		buf_addc(out, (char)(0x80 | (code & 63)));
	} else if (code < 0x10000) {
		buf_addc(out, (char)(0xe0 | code >> 12));
		buf_addc(out, (char)(0x80 | (code >> 6 & 63)));
		buf_addc(out, (char)(0x80 | (code & 63)));
	} else if (code < 0x110000) {
		buf_addc(out, (char)(0xf0 | code >> 18));
		buf_addc(out, (char)(0x80 | (code >> 12 & 63)));
		buf_addc(out, (char)(0x80 | (code >> 6 & 63)));
		buf_addc(out, (char)(0x80 | (code & 63)));
	}
}

static size_t add_entity(struct buf *out, const char *at, size_t left)
{
	static const struct {
		const char *name;
		char is;
	} known[] = {
		{"&amp;", '&'}, {"&lt;", '<'}, {"&gt;", '>'}, {"&quot;", '"'}, {"&apos;", '\''}};

	for (size_t i = 0; i < ARRAY_SIZE(known); i++)
		if (strlen(known[i].name) <= left &&
		    !strncmp(at, known[i].name, strlen(known[i].name))) {
			buf_addc(out, known[i].is);
			return strlen(known[i].name);
		}
	const char *semicolon = memchr(at, ';', left < 12 ? left : 12);
	if (left > 3 && at[1] == '#' && semicolon) {
		add_code(out, at[2] == 'x' ? strtoul(at + 3, NULL, 16) : strtoul(at + 2, NULL, 10));
		return (size_t)(semicolon - at) + 1;
	}
	buf_addc(out, *at);
	return 1;
}

char *xml_text(const char *text, size_t len, const char *name)
{
	const char *at = text;
	size_t n, i = 0;
	const char *inside = xml_next(&at, text + len, name, &n);
	struct buf out = BUF_INIT;

	if (!inside)
		return NULL;
	while (i < n)
		if (inside[i] == '&')
			i += add_entity(&out, inside + i, n - i);
		else
			buf_addc(&out, inside[i++]);
	return buf_detach(&out);
}
