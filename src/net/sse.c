/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "net/sse.h"
#include <string.h>

enum state { FIELD, FIRST, DATA, OTHER };

void sse_init(struct sse *s)
{
	memset(s, 0, sizeof *s);
}

static size_t to_line_end(const char *bytes, size_t n)
{
	size_t i = 0;

	while (i < n && bytes[i] != '\n' && bytes[i] != '\r')
		i++;
	return i;
}

static void field_byte(struct sse *s, char c)
{
	s->line_used = true;
	if (c == ':')
		s->state = s->field_len == 4 && memcmp(s->field, "data", 4) == 0 ? FIRST : OTHER;
	else if (s->field_len < sizeof s->field)
		s->field[s->field_len++] = c;
}

/* True: the line was empty, which ends an event. */
static bool line_ends(struct sse *s, char c, void (*data)(void *ctx, const char *bytes, size_t n),
		      void *ctx)
{
	bool empty = !s->line_used;

	if (s->state == DATA)
		data(ctx, "\n", 1);
	s->state = FIELD;
	s->field_len = 0;
	s->line_used = false;
	s->after_cr = c == '\r';
	return empty;
}

size_t sse_feed(struct sse *s, const char *bytes, size_t n, bool *end,
		void (*data)(void *ctx, const char *bytes, size_t n), void *ctx)
{
	size_t i = 0;

	*end = false;
	while (i < n) {
		char c = bytes[i];
		if (c == '\n' && s->after_cr) {
			s->after_cr = false;
			i++;
		} else if (c == '\n' || c == '\r') {
			i++;
			if (line_ends(s, c, data, ctx)) {
				/* The second half of a CRLF goes with it where it is here already. */
				if (s->after_cr && i < n && bytes[i] == '\n') {
					s->after_cr = false;
					i++;
				}
				*end = true;
				return i;
			}
		} else if (s->state == FIELD) {
			s->after_cr = false;
			field_byte(s, c);
			i++;
		} else {
			size_t skip = s->state == FIRST && c == ' ';
			size_t len = to_line_end(bytes + i, n - i);
			if (s->state != OTHER) {
				s->state = DATA;
				data(ctx, bytes + i + skip, len - skip);
			}
			i += len;
		}
	}
	return i;
}
