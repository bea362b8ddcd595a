/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "eval/pytest-words.h"
#include <stdlib.h>
#include <string.h>
#include "base/cleanup.h"
#include "base/mem.h"

/* LINE without "=" and spaces around it and without escape sequences for colours; in place. */
static char *plain(char *line)
{
	char *to = line;

	for (const char *c = line; *c;) {
		if (c[0] == '\033' && c[1] == '[') {
			c += 2 + strspn(c + 2, "0123456789;");
			c += *c == 'm';
		} else {
			*to++ = *c++;
		}
	}
	*to = '\0';
	line += strspn(line, "= \r\t");
	for (size_t n = strlen(line); n && strchr("= \r\t", line[n - 1]);)
		line[--n] = '\0';
	return line;
}

/* "... in 0.02s", or with the time in hours behind it. */
static bool ends_in_time(const char *line)
{
	const char *at = NULL;

	for (const char *next = line; (next = strstr(next, " in "));)
		at = next += strlen(" in ");
	if (!at)
		return false;
	size_t n = strspn(at, "0123456789.");
	return n && at[n] == 's' && (!at[n + 1] || !strncmp(at + n + 1, " (", 2));
}

/* Counts with words that pytest knows. */
static bool is_summary(const char *line)
{
	return ends_in_time(line) &&
	       (!strncmp(line, "no tests ran", strlen("no tests ran")) ||
		(*line >= '0' && *line <= '9' &&
		 (strstr(line, " skipped") || strstr(line, " passed") || strstr(line, " failed") ||
		  strstr(line, " error") || strstr(line, " deselected") ||
		  strstr(line, " xfailed") || strstr(line, " xpassed"))));
}

bool pytest_words_say_nothing_ran(const struct buf *output)
{
	AUTO(free) char *copy = xstrndup(output->data ? output->data : "", output->len);
	bool found = false;

	for (char *rest = copy, *line; (line = strsep(&rest, "\n"));) {
		line = plain(line);
		if (!is_summary(line))
			continue;
		if (strstr(line, " passed") || strstr(line, " failed") || strstr(line, " error") ||
		    strstr(line, " xfailed") || strstr(line, " xpassed"))
			return false;
		found = true;
	}
	return found;
}
