/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "test.h"
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/cleanup.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/path.h"
#include "config/agents.h"

static char top[] = "/tmp/test-agents-XXXXXX";

/* Write PATH below the folder of the test, with the folders it lies in. */
static void put(const char *path, const char *text, mode_t mode)
{
	struct err err;
	AUTO(free) char *dir = xstrdup(path);
	char *slash = strrchr(dir, '/');
	if (slash) {
		*slash = '\0';
		assert_int_equal(path_make_dirs(AT_FDCWD, dir, 0755, &err), 0);
	}
	assert_int_equal(path_write(AT_FDCWD, path, text, strlen(text), mode, false, &err), 0);
}

static int find(json_t **spec, const char *name, struct strv *problems, struct err *err)
{
	const struct agent_query q = {.name = name, .config_path = "conf/b.toml"};
	*err = (struct err){0};
	return agent_find(spec, &q, problems, err);
}

static void builtins_need_no_file(void **state)
{
	AUTO(strv) struct strv problems = STRV_INIT;
	AUTO(json) json_t *spec = NULL;
	struct err err;
	assert_int_equal(find(&spec, "oracle", &problems, &err), 0);
	assert_string_equal(json_get_str(spec, "kind", ""), "oracle");
	assert_true(agent_is_builtin("nop"));
	assert_false(agent_is_builtin("bash")); /* it needs a model */
	json_decref(spec);
	assert_int_equal(find(&spec, "bash", &problems, &err), 0);
	assert_string_equal(json_get_str(spec, "kind", ""), "bash");
	assert_string_equal(json_get_str(spec, "needs", ""), "model");
	assert_int_equal(json_array_size(json_object_get(spec, "apis")), 4);
}

static void a_file_becomes_a_spec(void **state)
{
	AUTO(strv) struct strv problems = STRV_INIT;
	AUTO(json) json_t *spec = NULL;
	struct err err;
	put("conf/agents/full.toml",
	    "summary = \"s\"\nneeds = \"model\"\nversion = \"1\"\nmodels = [\"x*\"]\nrequires = "
	    "[\"sh\"]\n"
	    "argv = [\"sh\", \"-c\", \"{instruction}\"]\nstdin = \"{model}\"\ncollect = "
	    "[\"{home}/log\"]\n"
	    "[env]\nOPENAI_API_KEY = \"{token}\"\n[files]\n\"{home}/x\" = \"y\"\n"
	    "[output]\nformat = \"jsonl\"\n[[output.rules]]\nmatch = { \"/type\" = [\"a\", 1, "
	    "true] }\n"
	    "field = \"tokens_input\"\npointer = [\"/a\", \"/b\"]\nhow = \"add\"\n",
	    0644);
	assert_int_equal(find(&spec, "full", &problems, &err), 0);
	assert_string_equal(json_get_str(spec, "name", ""), "full");
	assert_string_equal(json_get_str(spec, "kind", ""), "cli");
	assert_string_equal(json_get_str(spec, "needs", ""), "model");
	assert_int_equal(json_array_size(json_object_get(spec, "argv")), 3);
	assert_int_equal(json_array_size(json_object_get(spec, "mounts")), 0);
	assert_null(json_object_get(spec, "models"));
	assert_null(json_object_get(spec, "requires"));
	const json_t *rule =
		json_array_get(json_object_get(json_object_get(spec, "output"), "rules"), 0);
	assert_int_equal(json_array_size(json_object_get(json_object_get(rule, "match"), "/type")),
			 3);
}

#define RULE "argv = [\"sh\"]\n[output]\nformat = \"jsonl\"\n[[output.rules]]\n"

static void mistakes_have_places(void **state)
{
	static const struct {
		const char *toml, *line; /* after "conf/agents/bad.toml:" */
	} cases[] = {
		{"argv = []\n", "1:8: argv must begin with a program"},
		{"argv = \"sh\"\n", "1:8: argv must be a list, not a string"},
		{"argv = [1]\n", "1:9: argv must be a string, not a whole number"},
		{"summary = \"s\"\n",
		 "1:1: an agent has \"argv\", or \"base\", the agent that it is a variant of"},
		{"argv = [\"sh\"]\nkind = \"nop\"\n", "2:8: kind = \"nop\" is not one of: \"cli\""},
		{"argv = [\"sh\"]\nneeds = \"net\"\n",
		 "2:9: needs = \"net\" is not one of: \"\", \"model\""},
		{"argv = [\"sh\"]\ncolect = []\n",
		 "2:1: unknown key \"colect\" in an agent file (did you mean \"collect\"?)"},
		{"argv = [\"sh\"]\nmounts = []\n",
		 "2:1: unknown key \"mounts\" in an agent file (did you mean \"models\"?)"},
		{"argv = [\"sh\"]\nenv = { A = 1 }\n",
		 "2:13: A must be a string, not a whole number"},
		{"argv = [\"sh\"]\nenv = { A_TOKEN = \"x\" }\n",
		 "2:19: env.A_TOKEN names a credential, which never enters a sandbox; write "
		 "\"{token}\""},
		{"argv = [\"sh\"]\napis = [\"chat\", \"soap\"]\n",
		 "2:17: apis = \"soap\" is not one of: \"responses\", \"chat\", \"anthropic\", "
		 "\"gemini\""},
		{"argv = [\"sh\"]\napis = [\"chat\"]\n[api.gemini]\nargs = []\n",
		 "3:6: [api.gemini] is never used: apis does not name it"},
		{"argv = [\"sh\"]\napis = [\"chat\"]\n[api.chat]\nargv = []\n",
		 "4:1: unknown key \"argv\" in [api.chat] (did you mean \"args\"?)"},
		{"argv = [\"sh\"]\n[install]\nversion = \"1.0\"\nnpm = [\"x\"]\nprogram = "
		 "[\"../x\"]\n",
		 "5:12: \"../x\" is not a path inside the installation"},
		{"argv = [\"sh\"]\n[install]\nversion = \"1.0\"\nnpm = [\"x\"]\n",
		 "2:1: [install] has no \"program\""},
		{"argv = [\"sh\"]\n[output]\nformat = \"xml\"\n",
		 "3:10: format = \"xml\" is not one of: \"text\", \"jsonl\", \"json\""},
		{RULE "field = \"turn\"\nhow = \"count\"\n",
		 "5:9: field = \"turn\" is not one of: \"tokens_input\", \"tokens_cached\", "
		 "\"tokens_output\", \"tokens_total\", \"tool_calls\", \"turns\", \"money_usd\", "
		 "\"final_message\", \"version\", \"error\", \"setup_error\", \"limit\""},
		{RULE "how = \"count\"\n", "4:1: a rule has no \"field\""},
		{RULE "field = \"turns\"\n",
		 "4:1: a rule needs pointer or regex, or how = \"count\""},
		{RULE "field = \"turns\"\npointer = \"a\"\n",
		 "6:11: \"a\" is not a JSON pointer: it must begin with a slash"},
		{RULE "field = \"turns\"\npointer = \"/a\"\nmatch = { \"/a\" = { b = 1 } }\n",
		 "7:18: match values are strings, numbers, booleans or lists of them"},
		{RULE "field = \"version\"\npointer = \"/a\"\nhow = \"max\"\n",
		 "4:1: field = \"version\" is a text: only how = \"last\" or \"add\" will do"},
		{RULE "field = \"turns\"\nregex = \"x\"\n",
		 "4:1: regex is for format = \"text\" only"},
		{"argv = [\"sh\"]\n[[output.rules]]\nfield = \"turns\"\npointer = \"/a\"\n",
		 "2:1: a rule for format = \"text\" needs a regex"},
		{"argv = [\"sh\"]\n[[output.rules]]\nfield = \"turns\"\nregex = \"x\"\npointer = "
		 "\"/a\"\n",
		 "2:1: a rule with regex has neither match nor pointer"},
	};
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		AUTO(strv) struct strv problems = STRV_INIT;
		AUTO(json) json_t *spec = NULL;
		struct err err;
		put("conf/agents/bad.toml", cases[i].toml, 0644);
		assert_int_equal(find(&spec, "bad", &problems, &err), -1);
		assert_int_equal(err.kind, ERR_USAGE);
		assert_int_equal(problems.n, 1);
		assert_string_equal(problems.v[0] + strlen("conf/agents/bad.toml:"), cases[i].line);
	}
}

static void a_bad_regex_is_told(void **state)
{
	AUTO(strv) struct strv problems = STRV_INIT;
	AUTO(json) json_t *spec = NULL;
	struct err err;
	put("conf/agents/bad.toml",
	    "argv = [\"sh\"]\n[[output.rules]]\nfield = \"turns\"\nregex = \"(\"\n", 0644);
	assert_int_equal(find(&spec, "bad", &problems, &err), -1);
	assert_non_null(strstr(problems.v[0], "bad.toml:4:9: regex \"(\": "));
}

static void a_regex_that_would_take_all_memory_is_refused(void **state)
{
	static const char *const large[] = {"((a{255}){255}){255}", "((a{1,200}){200}){2,}"};
	for (size_t i = 0; i < ARRAY_SIZE(large); i++) {
		AUTO(strv) struct strv problems = STRV_INIT;
		AUTO(json) json_t *spec = NULL;
		AUTO(free) char *text = xasprintf(
			"argv = [\"sh\"]\n[[output.rules]]\nfield = \"turns\"\nregex = \"%s\"\n",
			large[i]);
		struct err err;
		put("conf/agents/bad.toml", text, 0644);
		assert_int_equal(find(&spec, "bad", &problems, &err), -1);
		assert_non_null(strstr(problems.v[0], "bad.toml:4:9: the regex is too large"));
	}
}

static void folders_have_an_order(void **state)
{
	AUTO(strv) struct strv problems = STRV_INIT;
	AUTO(json) json_t *spec = NULL;
	struct err err;
	put("xdg/rollouts/agents/both.toml", "argv = [\"sh\", \"user\"]\n", 0644);
	assert_int_equal(find(&spec, "both", &problems, &err), 0);
	json_decref(spec);
	put("conf/agents/both.toml", "argv = [\"sh\", \"bench\"]\n", 0644);
	assert_int_equal(find(&spec, "both", &problems, &err), 0);
	assert_string_equal(json_string_value(json_array_get(json_object_get(spec, "argv"), 1)),
			    "bench");
}

static void missing_ones_say_where_and_what(void **state)
{
	AUTO(strv) struct strv problems = STRV_INIT;
	AUTO(json) json_t *spec = NULL;
	struct err err;
	put("conf/agents/scripted.toml", "argv = [\"sh\"]\n", 0644);
	assert_int_equal(find(&spec, "skripted", &problems, &err), -1);
	assert_non_null(strstr(err.msg,
			       "no agent \"skripted\" (did you mean \"scripted\"?): looked for "
			       "skripted.toml in conf/agents, "));
	put("conf/agents/gone.toml", "argv = [\"no-such-program\"]\n", 0644);
	assert_int_equal(find(&spec, "gone", &problems, &err), -1);
	assert_non_null(strstr(err.msg, "program \"no-such-program\" is not on PATH: install it"));
	put("conf/agents/gone.toml", "argv = [\"sh\"]\nrequires = [\"no-such-program\"]\n", 0644);
	assert_int_equal(find(&spec, "gone", &problems, &err), -1);
	assert_int_equal(problems.n, 0);
}

static void auto_goes_by_the_model(void **state)
{
	static const char *const cases[][2] = {
		{"gpt-4", "codex"},	  {"o3-mini", "codex"},
		{"codex-mini", "codex"},  {"claude-3-sonnet", "claude"},
		{"gemini-pro", "gemini"}, {"llama-3", "bash"},
		{"mine-1", "mine"},	  {"opus", "bash"},
	};
	put("conf/agents/mine.toml", "argv = [\"sh\"]\nmodels = [\"mine-*\"]\n", 0644);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		AUTO(free) char *agent = agent_for_model(cases[i][0], "conf/b.toml");
		assert_string_equal(agent, cases[i][1]);
	}
}

/* Where the agent PROGRAM is mounted from and what starts it, as "MOUNTS|PATH|ARGV0" without the
 * folder of the test. */
static char *resolved(const char *argv0)
{
	AUTO(strv) struct strv problems = STRV_INIT;
	AUTO(json) json_t *spec = NULL;
	AUTO(free) char *toml = xasprintf("argv = [\"%s\"]\n", argv0);
	struct buf out = BUF_INIT;
	struct err err;
	size_t i;
	json_t *item;
	put("conf/agents/p.toml", toml, 0644);
	if (find(&spec, "p", &problems, &err) < 0)
		fail_msg("%s", err.msg);
	json_array_foreach (json_object_get(spec, "mounts"), i, item)
		buf_addf(&out, "%s%s", i ? "," : "", json_get_str(item, "host", "") + strlen(top));
	buf_addc(&out, '|');
	json_array_foreach (json_object_get(spec, "path"), i, item)
		buf_addf(&out, "%s%s", i ? "," : "", json_string_value(item) + strlen(top));
	const char *first = json_string_value(json_array_get(json_object_get(spec, "argv"), 0));
	buf_addf(&out, "|%s", strncmp(first, top, strlen(top)) == 0 ? first + strlen(top) : first);
	return buf_detach(&out);
}

static void programs_bring_their_prefix(void **state)
{
	static const struct {
		const char *argv0, *want;
	} cases[] = {
		{"{home}/x", "||{home}/x"},
		{"tool", "/opt/tool||/opt/tool/bin/tool"},
		/* npm -g: the link's bin and the package lie below one prefix; the interpreter is
		   there too. */
		{"agent", "/node|/node/bin|/node/bin/agent"},
		/* A link from elsewhere: the package's own prefix, and the real name. */
		{"linked", "/venvs/l||/venvs/l/bin/linked"},
		/* In the home folder itself: that file alone, never the home folder. */
		{"../../home/lone", "/home/lone||/home/lone"},
		{"mine", "/home/bin||/home/bin/mine"},
		{"./near", "/conf/agents||/conf/agents/near"},
	};
	put("opt/tool/bin/tool",
	    "\x7f"
	    "ELF",
	    0755);
	put("node/lib/node_modules/agent/cli.js", "#!/usr/bin/env -S A=1 nodejs --x\n", 0755);
	put("node/bin/nodejs",
	    "\x7f"
	    "ELF",
	    0755);
	put("venvs/l/bin/linked", "#!/bin/sh\n", 0755);
	put("home/lone", "#!/bin/sh\n", 0755);
	put("home/bin/mine", "#!/bin/sh\n", 0755);
	put("conf/agents/near", "#!/bin/sh\n", 0755);
	put("links/x", "", 0644);
	assert_int_equal(symlink("../lib/node_modules/agent/cli.js", "node/bin/agent"), 0);
	assert_int_equal(symlink("../venvs/l/bin/linked", "links/linked"), 0);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		AUTO(free) char *got = resolved(cases[i].argv0);
		assert_string_equal(got, cases[i].want);
	}
	AUTO(free) char *system = resolved("sh");
	assert_memory_equal(system, "||/", 3);
}

#ifdef __aarch64__
#define ARCH "arm64"
#else
#define ARCH "x64"
#endif

#define FETCHED                                                                                    \
	"argv = [\"fetched\", \"--x\"]\n[install]\nversion = \"1.2.3\"\nnpm = "                    \
	"[\"p@{version}-{arch}\"]\n"                                                               \
	"program = [\"node_modules/p-{version}/run\", \"node_modules/p-{version}/cli.js\"]\n"

/* The version that is named is used, under a name of its own, wherever it lies; another of PATH, or of another package, is not. */
static void what_a_file_names_is_what_runs(void **state)
{
	AUTO(strv) struct strv problems = STRV_INIT;
	AUTO(json) json_t *spec = NULL;
	struct err err;
	put("conf/agents/fetched.toml", FETCHED, 0644);
	assert_int_equal(find(&spec, "fetched", &problems, &err), -1);
	assert_non_null(strstr(err.msg,
			       "agent \"fetched\" is not installed: rollouts agents install "
			       "fetched -c conf/b.toml"));
	put("node/lib/node_modules/@own/fetched/cli.js", "#!/bin/sh\n", 0755);
	put("node/lib/node_modules/@own/fetched/package.json", "{\"version\": \"9.8.7\"}", 0644);
	assert_int_equal(symlink("../lib/node_modules/@own/fetched/cli.js", "node/bin/fetched"), 0);
	assert_int_equal(find(&spec, "fetched", &problems, &err), -1);
	assert_non_null(strstr(err.msg, "in version 1.2.3, which its file names (there is 9.8.7 on "
					"PATH): rollouts agents install fetched"));
	put("node/lib/node_modules/@own/fetched/package.json", "{\"version\": \"1.2.3\"}", 0644);
	assert_int_equal(find(&spec, "fetched", &problems, &err), 0);
	assert_string_equal(json_get_str(spec, "version", ""), "1.2.3");
	json_decref(spec);
	spec = NULL;
	put("cache/rollouts/agents/other/2.0.0/node_modules/p-2.0.0/run", "#!/bin/sh\n", 0755);
	put("cache/rollouts/agents/other/2.0.0/node_modules/p-2.0.0/cli.js", "", 0644);
	assert_int_equal(find(&spec, "fetched@2.0.0", &problems, &err), -1);
	put("cache/rollouts/agents/other/2.0.0/package.json",
	    "{\"dependencies\": {\"p\": \"2.0.0-" ARCH "\"}}", 0644);
	assert_int_equal(find(&spec, "fetched@2.0.0", &problems, &err), 0);
	assert_string_equal(json_get_str(spec, "version", ""), "2.0.0");
	AUTO(buf) struct buf text = BUF_INIT;
	json_format(&text, json_object_get(spec, "argv"), false);
	assert_string_equal(text.data,
			    "[\"/opt/rollouts/fetched/node_modules/p-2.0.0/run\","
			    "\"/opt/rollouts/fetched/node_modules/p-2.0.0/cli.js\",\"--x\"]");
	const json_t *mount = json_array_get(json_object_get(spec, "mounts"), 0);
	assert_string_equal(json_get_str(mount, "box", ""), "/opt/rollouts/fetched");
	assert_string_equal(json_get_str(mount, "host", "") + strlen(top),
			    "/cache/rollouts/agents/other/2.0.0");
	assert_null(json_object_get(spec, "install"));
}

static int make_folder(void **state)
{
	if (!mkdtemp(top) || chdir(top) < 0)
		return -1;
	AUTO(free)
	char *path = xasprintf("%s/opt/tool/bin:%s/node/bin:%s/links:%s/home/bin:/usr/bin:/bin",
			       top, top, top, top);
	AUTO(free) char *home = xasprintf("%s/home", top);
	AUTO(free) char *xdg = xasprintf("%s/xdg", top);
	setenv("PATH", path, 1);
	setenv("HOME", home, 1);
	AUTO(free) char *cache = xasprintf("%s/cache", top);
	setenv("XDG_CONFIG_HOME", xdg, 1);
	setenv("XDG_CACHE_HOME", cache, 1);
	return 0;
}

static int remove_folder(void **state)
{
	struct err err;
	return chdir("/") < 0 || path_remove_tree(AT_FDCWD, top, &err) < 0 ? -1 : 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(builtins_need_no_file),
		cmocka_unit_test(a_file_becomes_a_spec),
		cmocka_unit_test(mistakes_have_places),
		cmocka_unit_test(a_bad_regex_is_told),
		cmocka_unit_test(a_regex_that_would_take_all_memory_is_refused),
		cmocka_unit_test(folders_have_an_order),
		cmocka_unit_test(missing_ones_say_where_and_what),
		cmocka_unit_test(auto_goes_by_the_model),
		cmocka_unit_test(programs_bring_their_prefix),
		cmocka_unit_test(what_a_file_names_is_what_runs),
	};
	return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
