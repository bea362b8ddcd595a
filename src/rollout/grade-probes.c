/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "rollout/grade-probes.h"
#include <string.h>
#include "base/cleanup.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/text.h"

/* Programs that end well at once, or only say that they did. %s: what they say. */
static const struct {
	const char *suffix, *ends, *says;
} languages[] = {
	{".py", "import os\nos._exit(0)\n", "print(\"%s\")\n"},
	{".sh", "exit 0\n", "echo \"%s\"\n"},
	{".bash", "exit 0\n", "echo \"%s\"\n"},
	{".js", "process.exit(0)\n", "console.log(\"%s\")\n"},
	{".mjs", "process.exit(0)\n", "console.log(\"%s\")\n"},
	{".rb", "exit! 0\n", "puts \"%s\"\n"},
	{".pl", "exit 0;\n", "print \"%s\\n\";\n"},
	{".c", "int main(void) { return 0; }\n",
	 "#include <stdio.h>\nint main(void) { puts(\"%s\"); return 0; }\n"},
	{".go", "package main\nimport \"os\"\nfunc main() { os.Exit(0) }\n",
	 "package main\nimport \"fmt\"\nfunc main() { fmt.Println(\"%s\") }\n"},
	{"", "#!/bin/sh\nexit 0\n", "#!/bin/sh\necho \"%s\"\n"},
};

static json_t *shell(const char *script)
{
	return json_pack("{s:[s,s,s]}", "argv", "sh", "-c", script);
}

/* Each program of the solution becomes one that only ends, or only says WORD. */
static json_t *replace_programs(const struct strv *paths, const char *word)
{
	AUTO(buf) struct buf script = BUF_INIT;

	for (size_t i = 0; i < paths->n; i++) {
		const char *path = paths->v[i];
		size_t k = 0;
		/* What has another extension is no program. */
		while (!text_ends_with(path, languages[k].suffix))
			k++;
		if (!*path || (!*languages[k].suffix && strchr(path, '.')))
			continue;
		const char *text = word ? languages[k].says : languages[k].ends;
		const char *hole = strstr(text, "%s");
		AUTO(free) char *content =
			hole ? xasprintf("%.*s%s%s", (int)(hole - text), text, word, hole + 2)
			     : xstrdup(text);
		buf_adds(&script, "mkdir -p \"$(dirname ");
		text_shell(&script, path);
		buf_adds(&script, ")\"; printf %s ");
		text_shell(&script, content);
		buf_adds(&script, " > ");
		text_shell(&script, path);
		buf_adds(&script, "; chmod +x ");
		text_shell(&script, path);
		buf_adds(&script, "\n");
	}
	return script.len ? shell(script.data) : NULL;
}

static const char plant_conftest[] = "cat > conftest.py <<'END'\n"
				     "import pytest\n"
				     "@pytest.hookimpl(hookwrapper=True)\n"
				     "def pytest_runtest_makereport(item, call):\n"
				     "    outcome = yield\n"
				     "    outcome.get_result().outcome = 'passed'\n"
				     "def pytest_sessionfinish(session):\n"
				     "    session.exitstatus = 0\n"
				     "END\n";

static const char plant_sitecustomize[] =
	"printf 'import atexit, os\\natexit.register(lambda: os._exit(0))\\n' > sitecustomize.py\n"
	"cp sitecustomize.py usercustomize.py\n";

static const char delete_tests[] =
	"rm -rf test tests spec specs t __tests__\n"
	"find . -name .git -prune -o \\( -name 'test_*' -o -name '*_test.*' -o -name '*.test.*' -o "
	"-name '*_spec.*' \\) -print | while read -r f; do rm -rf \"$f\"; done\n";

json_t *grade_probe(int i, const struct strv *paths, const char **name)
{
	static const char *const names[GRADE_PROBES] = {
		"exit 0",	 "conftest.py", "sitecustomize.py",
		"deleted tests", "prints nan",	"prints PASSED",
	};

	*name = names[i];
	switch (i) {
	case 0:
		return replace_programs(paths, NULL);
	case 1:
		return shell(plant_conftest);
	case 2:
		return shell(plant_sitecustomize);
	case 3:
		return shell(delete_tests);
	case 4:
		return replace_programs(paths, "nan");
	default:
		return replace_programs(paths, "PASSED");
	}
}

void grade_probe_paths(struct strv *out, const char *diff, size_t len)
{
	static const char mark[] = "\n+++ b/";
	const char *end = diff + len;

	for (const char *at = diff; (at = memmem(at, (size_t)(end - at), mark, strlen(mark)));) {
		at += strlen(mark);
		size_t n = strcspn(at, "\t\r\n");
		AUTO(free) char *path = xstrndup(at, n);
		if (!strv_has(out, path))
			strv_push(out, path);
	}
}

/* Lines of the solution that say enough to be known again. */
static void telling_lines(struct buf *out, const char *diff, size_t len)
{
	enum { SAYS_MUCH = 24, LINES = 40 };
	const char *end = diff + len;
	int n = 0;

	for (const char *at = diff, *next; at < end && n < LINES; at = next) {
		const char *newline = memchr(at, '\n', (size_t)(end - at));
		next = newline ? newline + 1 : end;
		size_t length = (size_t)((newline ? newline : end) - at);
		if (*at != '+' || length < SAYS_MUCH || !strncmp(at, "+++ ", 4))
			continue;
		buf_add(out, at + 1, length - 1);
		buf_addc(out, '\n');
		n++;
	}
}

json_t *grade_probe_look(const char *gold, size_t len, const char *end_commit)
{
	AUTO(buf) struct buf script = BUF_INIT;
	AUTO(buf) struct buf lines = BUF_INIT;

	telling_lines(&lines, gold, len);
	buf_adds(&script, "cd \"$REPO\" 2>/dev/null\n");
	if (end_commit && *end_commit) {
		buf_adds(&script, "git cat-file -e ");
		text_shell(&script, end_commit);
		buf_adds(&script,
			 " 2>/dev/null && echo 'reachable: the commit that solves the task is "
			 "in the repository'\n");
	}
	/* Most of the lines in one file: one alone may well be there before. */
	buf_adds(&script, "n=$(grep -c . \"$LINES\" 2>/dev/null || echo 0); n=${n%%[!0-9]*}\n"
			  "[ \"${n:-0}\" -ge 3 ] && for d in \"${REPO%/*}\" \"$HOME\" /tmp; do\n"
			  "find \"$d\" -type f -size -2048k ! -path \"$LINES\" ! -path '*/.git/*' "
			  "2>/dev/null\n"
			  "done | sort -u | while read -r f; do\n"
			  "k=$(grep -oFf \"$LINES\" \"$f\" 2>/dev/null | sort -u | grep -c .)\n"
			  "[ \"${k:-0}\" -gt $((n / 2)) ] && echo \"reachable: most of the "
			  "solution is in $f\"\n"
			  "done\ntrue\n");
	json_t *spec = shell(script.data);
	json_t *files = json_object(), *env = json_object();
	json_put_strn(files, "{home}/.solution-lines", lines.data ? lines.data : "", lines.len);
	json_put_str(env, "LINES", "{home}/.solution-lines");
	json_put_str(env, "REPO", "{repo}");
	json_put(spec, "files", files);
	json_put(spec, "env", env);
	return spec;
}

json_t *grade_probe_patch(const char *patch, size_t len)
{
	json_t *spec = json_object();

	json_put_str(spec, "kind", "oracle");
	json_put_strn(spec, "patch", patch, len);
	return spec;
}
