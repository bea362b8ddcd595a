/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "rollout/versions.h"
#include <ctype.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/path.h"
#include "base/text.h"
#include "os/spawn.h"
#include "rollout/tools.h"

enum { ASK_MS = 5000, ANSWER_MAX = 4096, VERSION_MAX = 80 };

static const struct {
	const char *name, *ask;
} programs[] = {
	{"python3", "--version"}, {"python", "--version"}, {"node", "--version"},
	{"npm", "--version"},	  {"go", "version"},	   {"cargo", "--version"},
	{"rustc", "--version"},	  {"java", "-version"},	   {"javac", "-version"},
	{"mvn", "--version"},	  {"gradle", "--version"}, {"ruby", "--version"},
	{"perl", "-v"},		  {"php", "--version"},	   {"gcc", "--version"},
	{"g++", "--version"},	  {"clang", "--version"},  {"cmake", "--version"},
	{"dotnet", "--version"},  {"deno", "--version"},   {"bun", "--version"},
	{"Rscript", "--version"}, {"julia", "--version"},  {"ghc", "--version"},
	{"swift", "--version"},	  {"uv", "--version"},	   {"pnpm", "--version"},
	{"yarn", "--version"},
};

/* Whether a word that begins at AT is what a shell would start, or one of a list of quoted words, as subprocess has them. */
static bool is_command(const char *text, const char *at)
{
	static const char *const before[] = {"then", "do",  "else", "exec",
					     "time", "env", "if",   "!"};
	const char *p = at;

	while (p > text && (p[-1] == ' ' || p[-1] == '\t'))
		p--;
	if (p == text || strchr("\n;&|(`{'\"", p[-1]))
		return true;
	for (size_t i = 0; p < at && i < ARRAY_SIZE(before); i++) {
		const size_t n = strlen(before[i]);
		if ((size_t)(p - text) >= n && !strncmp(p - n, before[i], n) &&
		    ((size_t)(p - text) == n || !isalnum((unsigned char)p[-(ptrdiff_t)n - 1])))
			return true;
	}
	return false;
}

static bool starts(const char *text, const char *name)
{
	const size_t n = strlen(name);

	for (const char *at = text; (at = strstr(at, name)); at += n)
		if (strchr(" \t\n;&|)`'\"", at[n]) && is_command(text, at))
			return true;
	return false;
}

static bool test_starts(const struct task_test *t, const char *name)
{
	const char *suffix = strrchr(t->path, '.');
	const bool python = suffix && !strcmp(suffix, ".py");

	if (t->command)
		return starts(t->command, name);
	if (python && !strcmp(name, "python3"))
		return true;
	if (!t->content || !(python || (suffix && !strcmp(suffix, ".sh"))))
		return false;
	AUTO(free) char *text = xstrndup(t->content, t->content_len);
	return starts(text, name);
}

void versions_used(struct strv *out, const struct task *t)
{
	for (size_t p = 0; p < ARRAY_SIZE(programs); p++)
		for (size_t i = 0; i < t->steps_n; i++)
			for (size_t k = 0; k < t->steps[i].tests_n; k++)
				if (!strv_has(out, programs[p].name) &&
				    test_starts(&t->steps[i].tests[k], programs[p].name))
					strv_push(out, programs[p].name);
}

/* The first line that PROGRAM says of itself, safe to print; NULL: none. */
static char *version_of(const char *program, const char *ask)
{
	const char *argv[] = {program, ask, NULL};
	const struct spawn spawn = {
		.argv = argv, .dir_fd = AT_FDCWD, .in = -1, .out = -1, .err = -1};
	AUTO(buf) struct buf out = BUF_INIT;
	AUTO(buf) struct buf words = BUF_INIT;
	struct err ignored;
	int status;

	if (spawn_run(&spawn, "", 0, ANSWER_MAX, clock_mono_ms() + ASK_MS, &out, &words, &status,
		      &ignored) ||
	    status)
		return NULL;
	/* Java says it on standard error, Perl after an empty line. */
	const char *line = out.len ? out.data : words.data;
	line += strspn(line, "\r\n");
	size_t n = strcspn(line, "\r\n");
	AUTO(buf) struct buf safe = BUF_INIT;
	text_render(&safe, line, n < VERSION_MAX ? n : VERSION_MAX, TEXT_TERMINAL_LINE);
	return n ? buf_detach(&safe) : NULL;
}

static const char *how_to_ask(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(programs); i++)
		if (!strcmp(programs[i].name, name))
			return programs[i].ask;
	return "--version";
}

/* What is in the folder DIR: a JDK is what its java says. */
static char *version_of_folder(const char *dir)
{
	for (size_t i = 0; i < ARRAY_SIZE(programs); i++) {
		AUTO(free) char *in_bin = xasprintf("%s/bin/%s", dir, programs[i].name);
		AUTO(free) char *in_dir = path_join(dir, programs[i].name);
		const char *program = !access(in_bin, X_OK) ? in_bin : in_dir;
		if (!access(program, X_OK) && !path_is_dir(AT_FDCWD, program))
			return version_of(program, programs[i].ask);
	}
	return NULL;
}

void versions_ask(json_t *tools)
{
	json_t *versions = json_object(), *file;
	const char *name;

	json_object_foreach (json_object_get(tools, "programs"), name, file) {
		const char *path = json_string_value(file);
		AUTO(free)
		char *said = path_is_dir(AT_FDCWD, path)
				     ? version_of_folder(path)
				     : version_of(path, how_to_ask(path_base(name)));
		json_put_str(versions, name, said);
	}
	if (tools)
		json_put(tools, "versions", versions);
	else
		json_decref(versions);
}

static bool is_shown(const json_t *tools, const char *name)
{
	const json_t *dir;
	size_t i;

	json_array_foreach (json_object_get(tools, "path"), i, dir) {
		AUTO(free) char *path = path_join(json_string_value(dir), name);
		if (!access(path, X_OK))
			return true;
	}
	return false;
}

static void note_one(struct strv *notes, const char *name, const char *ask)
{
	AUTO(free) char *why = NULL;
	AUTO(free) char *mine = tools_program(name, &why);
	AUTO(free) char *theirs = tools_in_sandbox(name);

	if (!mine)
		return;
	if (!theirs) {
		strv_pushf(
			notes,
			"tests start %s, which your PATH has (%s) and sandboxes do not: "
			"tools = [\"%s\"] at the top of the benchmark shows it to agents and tests",
			name, mine, name);
		return;
	}
	AUTO(free) char *a = realpath(mine, NULL);
	AUTO(free) char *b = realpath(theirs, NULL);
	if (!a || !b || !strcmp(a, b))
		return;
	AUTO(free) char *yours = version_of(mine, ask);
	AUTO(free) char *other = version_of(theirs, ask);
	if (yours && other && strcmp(yours, other) != 0)
		strv_pushf(notes,
			   "tests start %s: your PATH has %s (%s), sandboxes have %s (%s); tools = "
			   "[\"%s\"] at the top of the benchmark shows yours to agents and tests",
			   name, yours, mine, other, theirs, name);
}

void versions_note(struct strv *notes, const struct strv *names, const json_t *tools)
{
	for (size_t p = 0; p < ARRAY_SIZE(programs); p++)
		if (strv_has(names, programs[p].name) && !is_shown(tools, programs[p].name))
			note_one(notes, programs[p].name, programs[p].ask);
}
