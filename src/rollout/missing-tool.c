/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "rollout/missing-tool.h"
#include <stdlib.h>
#include <string.h>
#include "base/cleanup.h"
#include "base/mem.h"

enum { NOT_FOUND = 127 };

#define WORD "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._+-"
#define DIGITS "0123456789"

/* BEFORE NAME AFTER, the last of them up to the end of the line where it ends with '\n'. NAME may stand in quotes. */
struct phrase {
	const char *before, *after;
	bool only_127; /* too common elsewhere */
	bool python;   /* said of any file: only beside a line of subprocess.py */
};

static const struct phrase phrases[] = {
	{": ", ": command not found\n", false, false},
	{"command not found: ", "\n", true, false}, /* zsh */
	{": ", ": not found\n", true, false},
	{": ", ": No such file or directory\n", true, false},
	{": ", ": bad interpreter: ", false, false},
	{"env: ", ": No such file or directory\n", false, false},
	{"make: ", ": No such file or directory\n", false, false},
	{"]: ", ": No such file or directory\n", true, false},
	{"No such file or directory: ", "\n", false, true},
	{"spawn ", " ENOENT", false, false},
	{"exec: ", ": executable file not found in $PATH", false, false},
	{"linker ", " not found", false, false},
	{"Cannot run program ", ": error=2", false, false},
	{"Can't exec ", ": No such file or directory", false, false},
};

static bool in_task(const char *path)
{
	static const char *const places[] = {"/app/", "/tmp/", "/proc/", "/dev/"};

	for (size_t i = 0; i < ARRAY_SIZE(places); i++)
		if (!strncmp(path, places[i], strlen(places[i])))
			return true;
	return false;
}

/* The quotes that programs put around a name, ASCII or not. */
static const char *skip_quotes(const char *s, size_t *n)
{
	static const char *const quotes[] = {"'", "\"", "`", "‘", "’"};

	for (size_t i = 0; i < ARRAY_SIZE(quotes); i++) {
		size_t k = strlen(quotes[i]);
		if (*n > k && !strncmp(s, quotes[i], k)) {
			s += k;
			*n -= k;
		}
		if (*n > k && !strncmp(s + *n - k, quotes[i], k))
			*n -= k;
	}
	return s;
}

/* The name that ends at END, after the last BEFORE of LINE. */
static char *name_before(const char *line, const char *end, const char *before)
{
	const char *start = NULL;
	size_t k = strlen(before);

	for (const char *p = line; p + k <= end; p++)
		if (!strncmp(p, before, k))
			start = p + k;
	if (!start)
		return NULL;
	size_t n = (size_t)(end - start);
	start = skip_quotes(start, &n);
	return n && n < 256 && strspn(start, WORD "/") >= n ? xstrndup(start, n) : NULL;
}

/* LINE ends with a newline. */
static char *match(const struct phrase *p, const char *line)
{
	const char *end = strstr(line, p->after);
	char *name = end ? name_before(line, end, p->before) : NULL;

	/* "line 3" of a script, say. */
	if (name && strspn(name, DIGITS) == strlen(name)) {
		free(name);
		return NULL;
	}
	return name;
}

/* Takes NAME. True when it settles the question. */
static bool take(struct missing_tool *out, char *name, const char *line)
{
	bool own = strchr(name, '/') && (*name != '/' || in_task(name));

	if (own) {
		out->own = true;
		free(name);
		return false;
	}
	/* pytest's mark of an error, and what indents it. */
	line += *line == 'E' && line[1] == ' ';
	line += strspn(line, " \t");
	out->name = name;
	out->line = xstrndup(line, strcspn(line, "\n"));
	out->own = false;
	return true;
}

static bool look(struct missing_tool *out, const char *line, int exit_code, bool subprocess)
{
	for (size_t i = 0; i < ARRAY_SIZE(phrases); i++) {
		const struct phrase *p = &phrases[i];
		if ((p->only_127 && exit_code != NOT_FOUND) || (p->python && !subprocess))
			continue;
		char *name = match(p, line);
		if (name && take(out, name, line))
			return true;
	}
	return false;
}

/* Python names the file alone; that it was to be executed is told by the lines around. */
static bool near_subprocess(const char *text, const char *line)
{
	const char *from = line, *to = line;

	for (int i = 0; i < 4 && from > text; i++)
		for (from -= from > text; from > text && from[-1] != '\n';)
			from--;
	for (int i = 0; i < 4 && *to; i++) {
		to = strchrnul(to, '\n');
		to += *to == '\n';
	}
	AUTO(free) char *around = xstrndup(from, (size_t)(to - from));
	return strstr(around, "subprocess.py") || strstr(around, "in _execute_child");
}

void missing_tool_find(struct missing_tool *out, const char *output, int exit_code)
{
	*out = (struct missing_tool){0};
	for (const char *line = output; *line;) {
		const char *end = strchrnul(line, '\n');
		AUTO(free) char *text = xasprintf("%.*s\n", (int)(end - line), line);
		if (look(out, text, exit_code, near_subprocess(output, line)))
			return;
		line = *end ? end + 1 : end;
	}
}

void missing_tool_release(struct missing_tool *m)
{
	free(m->name);
	free(m->line);
	*m = (struct missing_tool){0};
}
