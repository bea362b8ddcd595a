/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "report/failed-test.h"
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include "base/cleanup.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/path.h"
#include "core/datadir.h"

enum { MAX_BYTES = 32 << 20, MAX_LINE = 200 };

static bool begins(const char *line, const char *with)
{
	return strncmp(line, with, strlen(with)) == 0;
}

/* How much a line tells of why a test failed: pytest marks what was asserted with an E, others name an error. */
static int weight(const char *line)
{
	static const char *const words[] = {"Error", "error:", "FAIL", "not ok", "assert", "panic"};

	if (!line[strspn(line, " \t")] || !strcmp(line, "STDOUT:") || !strcmp(line, "STDERR:"))
		return 0;
	if (begins(line, "E  "))
		return 3;
	for (size_t i = 0; i < ARRAY_SIZE(words); i++)
		if (strstr(line, words[i]))
			return 2;
	return 1;
}

/* The first of the lines that pytest marked, else the last of those that tell most. */
static char *telling_line(const char *output)
{
	AUTO(free) char *copy = xstrdup(output);
	const char *best = "";
	int most = 0;

	for (char *rest = copy, *line; (line = strsep(&rest, "\n"));) {
		int w = weight(line);
		if (w < most || !w || (w == 3 && most == 3))
			continue;
		best = line;
		most = w;
	}
	best += strspn(best, " \t");
	if (most == 3)
		best += strspn(best, "E ");
	return xstrndup(best, MAX_LINE);
}

static json_t *read_tests(const char *root, const char *run_id, int attempt)
{
	AUTO(fd) int fd = open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	AUTO(free)
	char *path = datadir_attempt_file(run_id, attempt ? attempt : 1, ATTEMPT_EVALUATION);
	AUTO(buf) struct buf text = BUF_INIT;
	AUTO(json) json_t *j = NULL;
	struct err ignored; /* a comparison is one without it, too */

	if (fd < 0 || path_read_beneath(fd, path, MAX_BYTES, &text, &ignored) ||
	    json_parse(&j, text.data, text.len, path, &ignored))
		return NULL;
	return json_incref(json_object_get(j, "test_results"));
}

bool failed_test_find(struct failed_test *out, const char *root, const char *run_id, int attempt)
{
	AUTO(json) json_t *tests = read_tests(root, run_id, attempt);
	const char *path;
	json_t *test;

	json_object_foreach (tests, path, test) {
		if (json_get_bool(test, "success", true))
			continue;
		*out = (struct failed_test){xstrdup(path),
					    xstrdup(json_get_str(test, "reason", "")),
					    telling_line(json_get_str(test, "output", ""))};
		return true;
	}
	return false;
}

void failed_test_release(struct failed_test *t)
{
	free(t->path);
	free(t->reason);
	free(t->line);
}
