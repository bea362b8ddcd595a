/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "task/dockerignore.h"
#include <ctype.h>
#include <errno.h>
#include <fnmatch.h>
#include <stdlib.h>
#include <string.h>
#include "base/buf.h"
#include "base/cleanup.h"
#include "base/mem.h"
#include "base/path.h"
#include "task/dockerfile.h"

#define IGNORE_MAX (1 << 20)

static void take_line(struct strv *patterns, char *line)
{
	size_t len;

	while (isspace((unsigned char)*line))
		line++;
	for (len = strlen(line); len && isspace((unsigned char)line[len - 1]);)
		line[--len] = '\0';
	const bool back = *line == '!';
	if (!*line || *line == '#')
		return;
	AUTO(free) char *path = dockerfile_clean(line + back);
	if (path && *path)
		strv_pushf(patterns, "%s%s", back ? "!" : "", path);
}

int dockerignore_read(struct strv *patterns, int dir_fd, struct err *err)
{
	static const char *const names[] = {"Dockerfile.dockerignore", ".dockerignore"};

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		AUTO(buf) struct buf text = BUF_INIT;
		char *save = NULL;
		if (!path_exists(dir_fd, names[i]))
			continue;
		if (path_read_beneath(dir_fd, names[i], IGNORE_MAX, &text, err))
			return -1;
		for (char *line = text.data ? strtok_r(text.data, "\n", &save) : NULL; line;
		     line = strtok_r(NULL, "\n", &save))
			take_line(patterns, line);
		return 0;
	}
	return 0;
}

void dockerignore_read_git(struct strv *patterns, int dir_fd, const char *file, const char *below)
{
	AUTO(buf) struct buf text = BUF_INIT;
	struct err ignored;
	char *save = NULL;

	if (path_read_beneath(dir_fd, file, IGNORE_MAX, &text, &ignored))
		return;
	for (char *line = text.data ? strtok_r(text.data, "\r\n", &save) : NULL; line;
	     line = strtok_r(NULL, "\r\n", &save)) {
		size_t n = strlen(line);
		while (n && isspace((unsigned char)line[n - 1]))
			line[--n] = '\0';
		if (!n || *line == '#')
			continue;
		const bool back = *line == '!';
		const char *slash = strchr(line + back, '/');
		/* Without a slash before its end it is of any depth. */
		const bool anywhere = !slash || !slash[1];
		AUTO(free) char *path = dockerfile_clean(line + back);
		if (path && *path)
			strv_pushf(patterns, "%s%s%s%s", back ? "!" : "", below,
				   anywhere ? "**/" : "", path);
	}
}

/* One pattern against one path, part by part. */
static bool fits(const char *pattern, const char *path)
{
	const size_t n = strcspn(pattern, "/"), m = strcspn(path, "/");

	if (!*pattern)
		return !*path;
	if (n == 2 && !strncmp(pattern, "**", 2)) {
		const char *rest = pattern + 2 + (pattern[2] == '/');
		for (const char *at = path;; at += strcspn(at, "/"), at += *at == '/') {
			if (fits(rest, at) || (!*rest && *at))
				return true;
			if (!*at)
				return false;
		}
	}
	if (!*path)
		return false;
	AUTO(free) char *one = xstrndup(pattern, n);
	AUTO(free) char *part = xstrndup(path, m);
	return !fnmatch(one, part, 0) &&
	       fits(pattern + n + (pattern[n] == '/'), path + m + (path[m] == '/'));
}

static bool fits_or_holds(const char *pattern, const char *path)
{
	AUTO(free) char *above = xstrdup(path);

	for (;;) {
		if (fits(pattern, above))
			return true;
		char *slash = strrchr(above, '/');
		if (!slash)
			return false;
		*slash = '\0';
	}
}

bool dockerignore_matches(const struct strv *patterns, const char *path)
{
	bool out = false;

	for (size_t i = 0; i < patterns->n; i++) {
		const bool back = patterns->v[i][0] == '!';
		if (out == back && fits_or_holds(patterns->v[i] + back, path))
			out = !back;
	}
	return out;
}

bool dockerignore_is_final(const struct strv *patterns)
{
	for (size_t i = 0; i < patterns->n; i++)
		if (patterns->v[i][0] == '!')
			return false;
	return true;
}
