/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "report/badge.h"
#include <string.h>
#include "base/cleanup.h"
#include "base/text.h"

/* Of a letter of Verdana at 11 px, on average; the text is stretched to what is reckoned. */
enum { LETTER = 7, PADDING = 10 };

static int width_of(const char *text)
{
	int letters = 0;

	for (; *text; text++)
		letters += ((unsigned char)*text & 0xc0) != 0x80;
	return letters * LETTER + PADDING;
}

static void put_text(struct buf *out, int x, int width, const char *text)
{
	buf_addf(out, "<text x=\"%d\" y=\"14\" textLength=\"%d\">", x + width / 2, width - PADDING);
	text_renders(out, text, TEXT_HTML);
	buf_adds(out, "</text>");
}

void badge_svg(struct buf *out, const char *label, const char *text, enum badge_colour colour)
{
	static const char *const colours[] = {"#3a7d1c", "#b3261e", "#6b6b6b", "#1f6aa5"};
	AUTO(buf) struct buf left = BUF_INIT, right = BUF_INIT;

	text_renders(&left, label, TEXT_TERMINAL_LINE);
	text_renders(&right, text, TEXT_TERMINAL_LINE);
	const int a = width_of(left.data), b = width_of(right.data);
	buf_addf(
		out,
		"<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%d\" height=\"20\" role=\"img\">"
		"<title>",
		a + b);
	text_renders(out, left.data, TEXT_HTML);
	buf_adds(out, ": ");
	text_renders(out, right.data, TEXT_HTML);
	buf_addf(out,
		 "</title><clipPath id=\"r\"><rect width=\"%d\" height=\"20\" rx=\"3\"/></clipPath>"
		 "<g clip-path=\"url(#r)\"><rect width=\"%d\" height=\"20\" fill=\"#444\"/>"
		 "<rect x=\"%d\" width=\"%d\" height=\"20\" fill=\"%s\"/></g>"
		 "<g fill=\"#fff\" text-anchor=\"middle\" font-size=\"11\" "
		 "font-family=\"Verdana,DejaVu Sans,sans-serif\">",
		 a + b, a, a, b, colours[colour]);
	put_text(out, 0, a, left.data);
	put_text(out, a, b, right.data);
	buf_adds(out, "</g></svg>\n");
}
