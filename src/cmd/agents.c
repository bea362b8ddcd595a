/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include "agentkit/agentkit.h"
#include "base/cleanup.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/text.h"
#include "cmd/agents-new.h"
#include "cmd/cmd.h"
#include "cmd/options.h"
#include "config/agent-cache.h"
#include "config/agents.h"
#include "config/config.h"
#include "report/report.h"
#include "report/table.h"
#include "sandbox/sandbox.h"

enum { TREE_SHOWN = 12 }; /* of its 64 digits */

static bool is_installed(const json_t *file)
{
	struct agent_install i;
	struct err ignored;

	if (agent_install_make(&i, json_get_str(file, "stem", ""), json_object_get(file, "install"),
			       json_get_str(file, "pin", NULL), &ignored))
		return false;
	AUTO(free) char *there = agent_install_find(&i);
	agent_install_release(&i);
	return there != NULL;
}

/* The cause without the place of the file, which a row of its own shows. */
static const char *cause(const char *text, const char *path)
{
	size_t n = strlen(path);

	return strncmp(text, path, n) == 0 && strncmp(text + n, ": ", 2) == 0 ? text + n + 2 : text;
}

static void fill_state(json_t *row, const struct agent_query *q, const json_t *file,
		       const char *path)
{
	AUTO(strv) struct strv problems = STRV_INIT;
	AUTO(json) json_t *spec = NULL;
	struct err err;
	const char *state = "ready";

	if (agent_find(&spec, q, &problems, &err)) {
		json_put_str(row, "state",
			     json_object_get(file, "install") ? "missing" : "unusable");
		json_put_str(row, "remedy", cause(problems.n ? problems.v[0] : err.msg, path));
		return;
	}
	if (json_object_get(file, "install"))
		state = is_installed(file) ? "installed" : "on PATH";
	json_put_str(row, "state", state);
	json_put_str(row, "version", json_get_str(spec, "version", NULL));
	json_put_str(row, "tree", json_get_str(spec, "tree", NULL));
}

static const char *const builtins[][2] = {
	{"bash",
	 "a small agent for any model: it has a shell in the sandbox, and nothing to install"},
	{"oracle",
	 "no model: applies the task's own solution (diff.patch), to see that its tests pass"},
	{"nop", "no model: changes nothing, to see that the tests fail"},
};

static const char *built_in(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(builtins); i++)
		if (strcmp(builtins[i][0], name) == 0)
			return builtins[i][1];
	return NULL;
}

static json_t *describe(const char *name, const struct agent_query *all)
{
	const struct agent_query q = {name, all->config_path, all->variants};
	AUTO(strv) struct strv problems = STRV_INIT;
	AUTO(json) json_t *file = NULL;
	AUTO(free) char *path = NULL;
	json_t *row = json_object(), *apis;
	struct err err;

	json_put_int(row, "v", 1);
	json_put_str(row, "agent", name);
	json_put_str(row, "version", NULL);
	json_put_str(row, "tree", NULL);
	json_put_str(row, "state", "unusable");
	if (agent_read(&file, &path, &q, &problems, &err)) {
		json_put_str(row, "remedy", problems.n ? problems.v[0] : err.msg);
		return row;
	}
	apis = json_object_get(file, "apis");
	json_put(row, "apis", apis ? json_incref(apis) : json_array());
	json_put_str(row, "summary", json_get_str(file, "summary", NULL));
	json_put_str(row, "file", path);
	if (json_object_get(file, "install")) {
		AUTO(strv) struct strv versions = STRV_INIT;
		agent_install_versions(json_get_str(file, "stem", name),
				       json_object_get(file, "install"), &versions);
		json_put_strv(row, "versions", &versions);
	}
	if (path) {
		fill_state(row, &q, file, path);
	} else {
		json_put_str(row, "state", "built in");
		json_put_str(row, "summary", built_in(name));
	}
	return row;
}

/* The built-in ones first, then the files in the order in which they are looked for. */
static json_t *describe_all(const struct agent_query *all)
{
	AUTO(strv) struct strv names = STRV_INIT;
	json_t *rows = json_array(), *v;
	const char *name;

	json_object_foreach ((json_t *)all->variants, name, v)
		if (*name)
			strv_push(&names, name);
	agent_names(all->config_path, &names);
	for (size_t i = 0; i < ARRAY_SIZE(builtins); i++)
		if (!strv_has(&names, builtins[i][0]))
			json_array_append_new(rows, describe(builtins[i][0], all));
	for (size_t i = 0; i < names.n; i++)
		json_array_append_new(rows, describe(names.v[i], all));
	return rows;
}

static void add_row(struct table *t, const json_t *row)
{
	AUTO(buf) struct buf apis = BUF_INIT;
	const char *remedy = json_get_str(row, "remedy", NULL);
	size_t i;
	json_t *api;

	json_array_foreach (json_object_get(row, "apis"), i, api)
		buf_addf(&apis, "%s%s", i ? " " : "", json_string_value(api));
	table_text(t, json_get_str(row, "agent", ""));
	table_text(t, json_get_str(row, "version", ""));
	table_text(t, json_get_str(row, "state", ""));
	AUTO(free) char *tree = xasprintf("%.*s", TREE_SHOWN, json_get_str(row, "tree", ""));
	table_text(t, tree);
	table_text(t, apis.data);
	table_text(t, remedy ? remedy : json_get_str(row, "summary", ""));
}

static void print_table(const json_t *rows)
{
	AUTO(table) struct table t = {0};
	AUTO(buf) struct buf text = BUF_INIT;
	size_t i;
	json_t *row;

	table_column(&t, "agent", TABLE_WHOLE);
	table_column(&t, "version", TABLE_WHOLE);
	table_column(&t, "state", TABLE_WHOLE);
	table_column(&t, "tree", TABLE_WHOLE);
	table_column(&t, "APIs", TABLE_LEFT);
	table_column(&t, "what it is, or how to get it", TABLE_LEFT);
	json_array_foreach (rows, i, row)
		add_row(&t, row);
	table_terminal(&t, report_width(STDOUT_FILENO), &text);
	fwrite(text.data, 1, text.len, stdout);
}

static int list(const struct agent_query *all, bool json)
{
	AUTO(json) json_t *rows = describe_all(all);
	AUTO(buf) struct buf text = BUF_INIT;

	if (json) {
		json_format(&text, rows, true);
		puts(text.data);
	} else {
		print_table(rows);
	}
	return CMD_OK;
}

static void print_line(void *arg, const char *line)
{
	AUTO(buf) struct buf safe = BUF_INIT;

	text_renders(&safe, line, TEXT_TERMINAL_LINE);
	puts(safe.data);
	fflush(stdout);
}

static void print_output(void *arg, const char *title, const char *text, size_t len)
{
	AUTO(buf) struct buf safe = BUF_INIT;

	if (!len)
		return;
	text_render(&safe, text, len, TEXT_TERMINAL);
	fprintf(stderr, "--- %s\n%s%s", title, safe.data,
		safe.data[safe.len - 1] == '\n' ? "" : "\n");
}

static const struct agentkit_listener listener = {.said = print_line, .output = print_output};

struct asked {
	bool json, weaker;
	const char *config; /* NULL: the folder agents/ of the working directory, if there is one */
	json_t *variants;   /* of that benchmark */
	struct strv used;   /* by it */
	bool python, cli, script; /* what `new` writes */
};

static int need_names(const char *what)
{
	struct err err;

	err_set(&err, ERR_USAGE, 0,
		"agents %s needs the name of an agent: rollouts agents lists them", what);
	return cmd_fail(&err);
}

/* Those of a benchmark that can be fetched, unless somebody names some. */
static int install(char *const *names, size_t n, struct agent_query q)
{
	struct err err;
	int status = n ? CMD_OK : need_names("install");

	for (size_t i = 0; i < n; i++) {
		q.name = names[i];
		if (agentkit_install(&q, &listener, &err))
			status = cmd_fail(&err);
	}
	return status;
}

static int install_used(const struct asked *a, struct agent_query q)
{
	AUTO(strv) struct strv wanted = STRV_INIT;
	struct err err;

	for (size_t i = 0; i < a->used.n; i++) {
		AUTO(strv) struct strv problems = STRV_INIT;
		AUTO(json) json_t *file = NULL;
		AUTO(free) char *path = NULL;
		q.name = a->used.v[i];
		if (agent_read(&file, &path, &q, &problems, &err))
			return cmd_refuse(&problems, &err);
		if (json_object_get(file, "install"))
			strv_push(&wanted, q.name);
	}
	if (!wanted.n) {
		AUTO(free) char *line = xasprintf("%s: no agent of it is to be fetched", a->config);
		print_line(NULL, line);
		return CMD_OK;
	}
	return install(wanted.v, wanted.n, q);
}

/* What else would start, where the fault was the sandbox's. */
static void add_hint(bool weaker, struct err *err)
{
	struct err why;
	const size_t n = strlen(err->msg);

	if (!weaker && !strncmp(err->msg, "sandbox:", 8) &&
	    strcmp(sandbox_usual(true, &why), "local") != 0)
		snprintf(err->msg + n, sizeof err->msg - n,
			 "; a weaker one would start: --allow-weaker-sandbox (docs/sandbox.md)");
}

static int check(char *const *names, size_t n, struct agent_query q, bool weaker)
{
	struct err why, err;

	if (!n)
		return need_names("check");
	const char *backend = sandbox_usual(weaker, &why);
	if (strcmp(backend, "local") != 0) {
		AUTO(free) char *line =
			xasprintf("sandbox = \"%s\", weaker than local, which does not "
				  "start here: %s",
				  backend, why.msg);
		print_line(NULL, line);
	}
	int status = CMD_OK;
	for (size_t i = 0; i < n; i++) {
		q.name = names[i];
		if (agentkit_check(&q, backend, &listener, &err)) {
			add_hint(weaker, &err);
			status = cmd_fail(&err);
		}
	}
	return status;
}

static int dispatch(const struct strv *operands, const struct asked *a)
{
	const char *word = operands->n ? operands->v[0] : "list";
	const struct agent_query q = {.config_path = a->config ? a->config : "",
				      .variants = a->variants};
	struct err err;

	if (strcmp(word, "install") == 0)
		return a->config && operands->n == 1 ? install_used(a, q)
						     : install(operands->v + 1, operands->n - 1, q);
	if (strcmp(word, "check") == 0)
		return check(operands->v + 1, operands->n - 1, q, a->weaker);
	if (strcmp(word, "new") == 0 && operands->n == 2 && a->python + a->cli + a->script == 1)
		return agents_new(operands->v[1], a->python ? "python" : a->cli ? "cli" : "script");
	if (strcmp(word, "list") == 0 && operands->n <= 1)
		return list(&q, a->json);
	err_set(&err, ERR_USAGE, 0,
		"agents takes: list, install NAME[@VERSION], check NAME, or new NAME with one of "
		"--python, --cli, --script; not \"%s\"",
		operands->v[operands->n - 1]);
	return cmd_fail(&err);
}

static int read_config(struct asked *a)
{
	AUTO(strv) struct strv problems = STRV_INIT;
	struct err err;

	if (!a->config || !config_agent_names(&a->variants, &a->used, a->config, &problems, &err))
		return CMD_OK;
	return cmd_refuse(&problems, &err);
}

int cmd_agents(int argc, char **argv)
{
	struct asked a = {0};
	const struct option options[] = {
		{.name = "json",
		 .kind = OPTION_FLAG,
		 .target = &a.json,
		 .help = "the list as JSON"},
		{.name = "allow-weaker-sandbox",
		 .kind = OPTION_FLAG,
		 .target = &a.weaker,
		 .help = "check: in one of Landlock where the local sandbox does not start"},
		{.name = "python",
		 .kind = OPTION_FLAG,
		 .target = &a.python,
		 .help = "new: a small agent in Python"},
		{.name = "cli",
		 .kind = OPTION_FLAG,
		 .target = &a.cli,
		 .help = "new: a file for a command line"},
		{.name = "script",
		 .kind = OPTION_FLAG,
		 .target = &a.script,
		 .help = "new: a script that asks no model"},
		{.name = "config",
		 .short_name = 'c',
		 .arg = "FILE",
		 .kind = OPTION_STR,
		 .target = &a.config,
		 .help = "the agents of this benchmark and beside it, too; install: all that it "
			 "uses"},
		OPTION_END,
	};
	const struct usage usage = {
		.verb = "agents",
		.operands = "[list | install [NAME[@VERSION]...] | check NAME... | new NAME]",
		.max = 64,
		.options = options,
		.summary = "list the agents there are, fetch one, or try one",
		.text = "install fetches an agent once, at the version its file names or the one "
			"given, into\n"
			"~/.cache/rollouts/agents, where versions lie side by side: through npm, "
			"from the Python\n"
			"index, from a URL, or out of a container image. Sandboxes see it "
			"read-only; a trial costs\n"
			"no copy. What a file names is what runs, or nothing does.\n"
			"check has an agent answer once in a sandbox, with a built-in stub for its "
			"model: no key\n"
			"and no network are needed. It tells version, tokens, and hosts that were "
			"looked up in vain.\n"
			"Files in the folder agents/ here, or beside the benchmark that -c names, "
			"are found as by run.",
		.examples = "rollouts agents\nrollouts agents install codex\n"
			    "rollouts agents install claude@2.1.330\nrollouts agents install -c "
			    "bench.toml\nrollouts agents check codex bash\nrollouts agents new "
			    "mine --python\n",
	};
	AUTO(strv) struct strv operands = STRV_INIT;
	int status = cmd_options(&usage, argc, argv, &operands);

	if (status < 0)
		status = read_config(&a);
	if (status == CMD_OK)
		status = dispatch(&operands, &a);
	json_decref(a.variants);
	strv_release(&a.used);
	return status;
}
