/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "test.h"
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/cleanup.h"
#include "base/mem.h"
#include "base/path.h"
#include "config/config-keys.h"
#include "config/config.h"
#include "config/toml.h"

#define T "[[tasks]]\nprepared_dir = \"tasks/a\"\n"
#define TM T "model = \"m\"\n"

/* A file, what the command line sets (KEY VALUE pairs), and what must be said of it, line for line.
 */
struct wrong {
	const char *toml;
	const char *flags[3];
	const char *lines;
};

static const struct wrong wrongs[] = {
	{"", {0}, "b.toml:1:1: no [[tasks]]: add at least one, with prepared_dir and model"},
	{"tasks = 3\n", {0}, "b.toml:1:9: \"tasks\" must be written [[tasks]]"},
	{"[tasks]\nmodel = \"m\"\n", {0}, "b.toml:1:1: \"tasks\" must be written [[tasks]]"},
	{"tasks = [1]\n", {0}, "b.toml:1:10: \"tasks\" must be written [[tasks]]"},
	{"defaults = 1\n" TM, {0}, "b.toml:1:12: \"defaults\" must be written [defaults]"},
	{TM "rollout = 1\n",
	 {0},
	 "b.toml:4:1: unknown key \"rollout\" in [[tasks]] (did you mean \"rollouts\"?)"},
	{"paralel = 1\n" TM,
	 {0},
	 "b.toml:1:1: unknown key \"paralel\" at the top level (did you mean \"parallel\"?)"},
	{"[default]\nmodel = \"m\"\n" T,
	 {0},
	 "b.toml:1:2: unknown key \"default\" at the top level (did you mean \"defaults\"?)\n"
	 "b.toml:3:1: no model in this [[tasks]]: add model = \"...\" (only the agents nop and "
	 "oracle "
	 "need none)"},
	{"[defaults]\nzzzzzz = 1\n" TM, {0}, "b.toml:2:1: unknown key \"zzzzzz\" in [defaults]"},
	{TM "parallel = 2\n",
	 {0},
	 "b.toml:4:1: \"parallel\" belongs at the top of the file, before [defaults] and "
	 "[[tasks]]; here "
	 "it is in [[tasks]]"},
	{"prepared_dir = \"x\"\n" TM, {0}, "b.toml:1:1: \"prepared_dir\" belongs in [[tasks]]"},
	{"fail_fast = true\n" TM, {0}, "b.toml:1:1: unknown key \"fail_fast\" at the top level"},
	{TM "rollouts = \"3\"\n",
	 {0},
	 "b.toml:4:12: rollouts: must be a whole number, not a string"},
	{TM "rollouts = 1.5\n",
	 {0},
	 "b.toml:4:12: rollouts: must be a whole number, not a fraction"},
	{TM "rollouts = 0\n", {0}, "b.toml:4:12: rollouts: 0 is out of range (1 to 100000)"},
	{TM "rollouts = 9223372036854775807\n",
	 {0},
	 "b.toml:4:12: rollouts: 9.223372036854776e+18 is out of range (1 to 100000)"},
	{TM "timeout_sec = 0\n",
	 {0},
	 "b.toml:4:15: timeout_sec: 0 is out of range (0.1 to 604800)"},
	{TM "timeout_sec = nan\n",
	 {0},
	 "b.toml:4:15: timeout_sec: nan is out of range (0.1 to 604800)"},
	{TM "timeout_sec = 2026-11-23\n",
	 {0},
	 "b.toml:4:15: timeout_sec: must be a number of seconds, not a date or time"},
	{TM "cpus = -1\n", {0}, "b.toml:4:8: cpus: -1 is out of range (0.01 to 4096)"},
	{TM "memory_mb = 1\n", {0}, "b.toml:4:13: memory_mb: 1 is out of range (16 to 16777216)"},
	{TM "retries = 21\n", {0}, "b.toml:4:11: retries: 21 is out of range (0 to 20)"},
	{TM "evaluate = 1\n",
	 {0},
	 "b.toml:4:12: evaluate: must be true or false, not a whole number"},
	{"name = \"a/b\"\n" TM,
	 {0},
	 "b.toml:1:8: name: \"a/b\" must not hold a slash or begin with a dot or a dash: it names "
	 "a folder"},
	{"name = \"temp\"\n" TM,
	 {0},
	 "b.toml:1:8: name: \"temp\" is taken: data/rollouts/temp has another use"},
	{"name = 3\n" TM, {0}, "b.toml:1:8: name: must be a string, not a whole number"},
	{T "model = \"\"\n", {0}, "b.toml:3:9: model: \"\" must not be empty"},
	{T "model = \"a\\nb\"\n", {0}, "b.toml:3:9: model: \"a\nb\" holds a control character"},
	{T,
	 {0},
	 "b.toml:1:1: no model in this [[tasks]]: add model = \"...\" (only the agents nop and "
	 "oracle need none)"},
	{T "agent = \"auto\"\n",
	 {0},
	 "b.toml:1:1: no model in this [[tasks]]: add model = \"...\" (only the agents nop and "
	 "oracle "
	 "need none)"},
	{T "models = []\n", {0}, "b.toml:3:10: models: must not be an empty list"},
	{T "models = [\"a\", 2]\n", {0}, "b.toml:3:16: models: must be a list of strings"},
	{T "models = [\"a\", \"a\"]\n",
	 {0},
	 "b.toml:3:16: models: \"a\" is listed twice; raise rollouts instead"},
	{TM "models = [\"a\"]\n",
	 {0},
	 "b.toml:4:10: give either \"model\" or \"models\" in [[tasks]]"},
	{TM "agent = \"../x\"\n", {0}, "b.toml:4:9: agent: \"../x\" is a name, not a path"},
	{TM "sandbox = \"vm\"\n",
	 {0},
	 "b.toml:4:11: sandbox: \"vm\" is not one of: auto, local, docker, landlock, none"},
	{TM "sandbox = \"none\"\n",
	 {0},
	 "b.toml:4:11: sandbox: \"none\" is for the agents nop and oracle only, not \"auto\"\n"
	 "b.toml:4:11: sandbox: \"none\" needs evaluate = false: tests run in a sandbox only"},
	{TM "agent = \"nop\"\nsandbox = \"none\"\n",
	 {0},
	 "b.toml:5:11: sandbox: \"none\" needs evaluate = false: tests run in a sandbox only"},
	{TM "workspace = \"zfs\"\n",
	 {0},
	 "b.toml:4:13: workspace: \"zfs\" is not one of: auto, overlay, copy"},
	{TM "launcher = \"nowhere\"\n",
	 {0},
	 "b.toml:4:12: launcher: \"nowhere\" is no launcher of this installation: leave it out, "
	 "set it to "
	 "\"local\", or install a program rollouts-launch-NAME (docs/launchers.md)"},
	{TM "launcher = \"../x\"\n",
	 {0},
	 "b.toml:4:12: launcher: \"../x\" is no launcher's name: small letters, digits and dashes"},
	{TM "token_limit = 0\n",
	 {0},
	 "b.toml:4:15: token_limit: 0 is out of range (1 to 1000000000000000)"},
	{TM "cost_limit = 5\n", {0}, "b.toml:4:1: \"cost_limit\" is refused: write cost_limit_usd"},
	{TM "usd = 5\n", {0}, "b.toml:4:1: \"usd\" belongs in [budget]"},
	{"budget = 3\n" TM, {0}, "b.toml:1:10: \"budget\" must be written [budget]"},
	{"[budget]\nusd = 0\ntoken = 3\n" TM,
	 {0},
	 "b.toml:2:7: usd: 0 is out of range (1e-06 to 100000000)\n"
	 "b.toml:3:1: unknown key \"token\" in [budget] (did you mean \"tokens\"?)"},
	{"[budget]\nprepared_dir = \"m\"\n" TM,
	 {0},
	 "b.toml:2:1: \"prepared_dir\" belongs in [[tasks]]"},
	{TM "environment_variables = 3\n",
	 {0},
	 "b.toml:4:25: environment_variables: must be a table of names and strings, not a whole "
	 "number"},
	{TM "environment_variables = { A = true }\n",
	 {0},
	 "b.toml:4:27: environment_variables: A must be a string, not true or false"},
	{TM "environment_variables = { \"A=B\" = \"1\" }\n",
	 {0},
	 "b.toml:4:27: environment_variables: \"A=B\" is not a name"},
	{TM "environment_variables = { OPENAI_API_KEY = \"sk\" }\n",
	 {0},
	 "b.toml:4:27: environment_variables: OPENAI_API_KEY names a credential, which never "
	 "enters a "
	 "sandbox; take it out"},
	{TM "environment_variables = { TIMEOUT_SEC = \"soon\" }\n",
	 {0},
	 "b.toml:4:27: environment_variables: TIMEOUT_SEC = \"soon\" is not a number of seconds"},
	{TM "timeout_sec = 5\nenvironment_variables = { TIMEOUT_SEC = \"6\" }\n",
	 {0},
	 "b.toml:5:27: environment_variables: TIMEOUT_SEC = \"6\" contradicts timeout_sec = 5; "
	 "give one "
	 "of them"},
	{TM "environment_variables = { TIMEOUT_SEC = \"0\" }\n",
	 {0},
	 "b.toml:4:27: timeout_sec: 0 is out of range (0.1 to 604800)"},
	{"[[tasks]]\nmodel = \"m\"\n",
	 {0},
	 "b.toml:1:1: no prepared_dir in this [[tasks]]: add prepared_dir = \"...\", a task "
	 "folder"},
	{"[[tasks]]\nprepared_dir = \"tasks/z\"\nmodel = \"m\"\n",
	 {0},
	 "b.toml:2:16: prepared_dir: no folder \"tasks/z\": tried tasks/z in the working "
	 "directory, where "
	 "the benchmark is too"},
	{"[[tasks]]\nprepared_dir = \"/nonexistent\"\nmodel = \"m\"\n",
	 {0},
	 "b.toml:2:16: prepared_dir: no folder \"/nonexistent\": /nonexistent is not there"},
	{"[[tasks]]\nprepared_dir = \"b.toml\"\nmodel = \"m\"\n",
	 {0},
	 "b.toml:2:16: prepared_dir: \"b.toml\" is not a folder"},
	{"[[tasks]]\nprepared_dir = \"none/*\"\nmodel = \"m\"\n",
	 {0},
	 "b.toml:2:16: prepared_dir: no folder matches \"none/*\": tried in the working directory "
	 "and in no "
	 "other place"},
	{TM "overrides = \"o.json\"\n",
	 {0},
	 "b.toml:4:13: overrides: no file \"o.json\": tried o.json in the working directory, where "
	 "the "
	 "benchmark is too"},
	{TM "overrides = \"tasks\"\n",
	 {0},
	 "b.toml:4:13: overrides: \"tasks\" is a folder, not a file"},
	{TM, {"parallel", "many"}, "--parallel: \"many\" is not a whole number"},
	{TM, {"parallel", "0"}, "--parallel: 0 is out of range (1 to 100000)"},
	{TM, {"timeout_sec", "1e9"}, "--timeout: 1000000000 is out of range (0.1 to 604800)"},
	/* All in one go, in the order of the file, each once. */
	{"[defaults]\nrollouts = 0\n" TM "x = 1\n" TM "y = 1\n",
	 {"parallel", "x"},
	 "--parallel: \"x\" is not a whole number\n"
	 "b.toml:2:12: rollouts: 0 is out of range (1 to 100000)\n"
	 "b.toml:6:1: unknown key \"x\" in [[tasks]]\n"
	 "b.toml:10:1: unknown key \"y\" in [[tasks]]"},
};

/* Lines that the effective configuration must hold, spaces squeezed. */
struct right {
	const char *toml;
	const char *flags[3];
	const char *lines;
};

static const struct right rights[] = {
	{TM,
	 {0},
	 "name = \"b\" # default\nparallel = 1 # default\nprepared_dir = \"tasks/a\" # "
	 "b.toml:2:16\n"
	 "models = [\"m\"] # b.toml:3:9\nrollouts = 1 # default\napply_overrides = true # default\n"
	 "agent = \"auto\" # default\nsandbox = \"auto\" # default\ntimeout_sec = 1800 # default"},
	{T "agent = \"nop\"\n", {0}, "agent = \"nop\" # b.toml:3:9\n# models # default"},
	{"rollouts = 2\n[defaults]\nrollouts = 3\n" TM, {0}, "rollouts = 3 # b.toml:3:12"},
	{"rollouts = 2\n" TM, {0}, "rollouts = 2 # b.toml:1:12"},
	{"[defaults]\nrollouts = 3\n" TM "rollouts = 4\n", {0}, "rollouts = 4 # b.toml:6:12"},
	{TM "rollouts = 4\n", {"rollouts", "5"}, "rollouts = 5 # --rollouts"},
	{"models = [\"x\", \"y\"]\n" TM, {0}, "models = [\"m\"] # b.toml:4:9"},
	{"model = \"x\"\n" T "models = [\"y\", \"z\"]\n",
	 {0},
	 "models = [\"y\", \"z\"] # b.toml:4:10"},
	{TM "environment_variables = { TIMEOUT_SEC = \"60\", B = 2 }\n",
	 {0},
	 "timeout_sec = 60 # b.toml:4:27\nenvironment_variables.\"TIMEOUT_SEC\" = \"60\" # "
	 "b.toml:4:27\n"
	 "environment_variables.\"B\" = \"2\" # b.toml:4:47"},
	{"[defaults]\nenvironment_variables = { TIMEOUT_SEC = \"60\", A = \"x\" }\n" TM
	 "timeout_sec = 2.5\nenvironment_variables = { A = \"y\" }\n",
	 {0},
	 "timeout_sec = 2.5 # b.toml:6:15\nenvironment_variables.\"TIMEOUT_SEC\" = \"2.5\" # "
	 "b.toml:6:15\n"
	 "environment_variables.\"A\" = \"y\" # b.toml:7:27"},
	{TM "environment_variables = { TIMEOUT_SEC = \"60\" }\n",
	 {"timeout_sec", "9"},
	 "timeout_sec = 9 # --timeout\nenvironment_variables.\"TIMEOUT_SEC\" = \"9\" # "
	 "--timeout"},
	{"[[tasks]]\nprepared_dir = \"tasks/*\"\nmodel = \"m\"\n",
	 {0},
	 "prepared_dir = \"tasks/a\" # b.toml:2:16\nprepared_dir = \"tasks/b\" # b.toml:2:16"},
	{TM "agent = \"oracle\"\nsandbox = \"none\"\nevaluate = false\n",
	 {0},
	 "sandbox = \"none\" # b.toml:5:11"},
	{TM "overrides = \"gone.json\"\napply_overrides = false\n",
	 {0},
	 "apply_overrides = false # b.toml:5:19"},
	{TM "overrides = \"o2.json\"\n", {0}, "overrides = \"o2.json\" # b.toml:4:13"},
	{TM "cpus = 1.5\nmemory_mb = 512\ndisk_mb = 7\nretries = 0\nseed = 0\nlabel = \"l\"\n",
	 {0},
	 "cpus = 1.5 # b.toml:4:8\nmemory_mb = 512 # b.toml:5:13\ndisk_mb = 7 # b.toml:6:11\n"
	 "retries = 0 # b.toml:7:11\nseed = 0 # b.toml:8:8\nlabel = \"l\" # b.toml:9:9"},
	{TM "token_limit = 20000\ncost_limit_usd = 0.5\ncall_limit = 9\n",
	 {0},
	 "token_limit = 20000 # b.toml:4:15\ncost_limit_usd = 0.5 # b.toml:5:18\n"
	 "call_limit = 9 # b.toml:6:14"},
	{"[budget]\nusd = 12.5\ntokens = 7\nwall_sec = 60\nmax_forecast_usd = 3\n" TM,
	 {0},
	 "[budget]\nusd = 12.5 # b.toml:2:7\ntokens = 7 # b.toml:3:10\nwall_sec = 60 # "
	 "b.toml:4:12\nmax_forecast_usd = 3 # b.toml:5:20"},
	{"\xef\xbb\xbf" TM, {0}, "models = [\"m\"] # b.toml:3:9"},
};

static void write_text(const char *path, const char *text)
{
	struct err err;
	assert_int_equal(path_write(AT_FDCWD, path, text, strlen(text), 0644, false, &err), 0);
}

static char *join_lines(const struct strv *lines)
{
	struct buf out = BUF_INIT;
	for (size_t i = 0; i < lines->n; i++)
		buf_addf(&out, "%s%s", i ? "\n" : "", lines->v[i]);
	return buf_detach(&out);
}

static struct config_request request(const char *const *flags)
{
	struct config_request req = {.path = "b.toml"};
	if (flags[0])
		kvs_set(&req.settings, flags[0], flags[1]);
	return req;
}

static void every_mistake_is_a_line(void **state)
{
	for (size_t i = 0; i < ARRAY_SIZE(wrongs); i++) {
		AUTO(strv) struct strv problems = STRV_INIT;
		struct config_request req = request(wrongs[i].flags);
		struct bench bench;
		struct err err = {0};
		bench_init(&bench);
		write_text("b.toml", wrongs[i].toml);
		assert_int_equal(config_load(&bench, &req, &problems, &err), -1);
		assert_int_equal(err.kind, ERR_USAGE);
		AUTO(free) char *said = join_lines(&problems);
		assert_string_equal(said, wrongs[i].lines);
		bench_release(&bench);
		config_request_release(&req);
	}
}

/* The cause is in the parser's words, which change with its version. */
static void syntax_errors_have_a_place(void **state)
{
	static const char *const cases[][2] = {
		{"a = \n", "b.toml:1:"},
		{"a = 1\na = 2\n", "b.toml:2:"},
		{"\n\n[[tasks]\n", "b.toml:3:"},
		{"a = [\"x\", }\n", "b.toml:1:11: unexpected character"},
		{"a = \"\xff\"\n", "b.toml:1:"},
	};
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		AUTO(strv) struct strv problems = STRV_INIT;
		struct config_request req = {.path = "b.toml"};
		struct bench bench;
		struct err err = {0};
		bench_init(&bench);
		write_text("b.toml", cases[i][0]);
		assert_int_equal(config_load(&bench, &req, &problems, &err), -1);
		assert_int_equal(err.kind, ERR_USAGE);
		assert_int_equal(problems.n, 1);
		assert_memory_equal(problems.v[0], cases[i][1], strlen(cases[i][1]));
		assert_true(strlen(problems.v[0]) > strlen("b.toml:1:1: x"));
		assert_null(strchr(problems.v[0], '\n'));
		bench_release(&bench);
	}
}

/* Runs of spaces become one, so that the layout may change. */
static char *squeeze(const char *text)
{
	struct buf out = BUF_INIT;
	buf_addc(&out, '\n');
	for (; *text; text++)
		if (*text != ' ' || out.data[out.len - 1] != ' ')
			buf_addc(&out, *text);
	return buf_detach(&out);
}

static void assert_line(const char *text, const char *line, size_t n)
{
	AUTO(free) char *whole = xasprintf("\n%.*s\n", (int)n, line);
	if (!strstr(text, whole))
		fail_msg("no line \"%.*s\" in:%s", (int)n, line, text);
}

static void values_and_origins(void **state)
{
	for (size_t i = 0; i < ARRAY_SIZE(rights); i++) {
		AUTO(strv) struct strv problems = STRV_INIT;
		AUTO(buf) struct buf text = BUF_INIT;
		struct config_request req = request(rights[i].flags);
		struct err err = {0};
		write_text("b.toml", rights[i].toml);
		if (config_explain(&text, &req, &problems, &err) < 0)
			fail_msg("case %zu: %s", i, problems.v[0]);
		AUTO(free) char *said = squeeze(text.data);
		for (const char *line = rights[i].lines, *end; *line; line = *end ? end + 1 : end) {
			end = strchrnul(line, '\n');
			assert_line(said, line, (size_t)(end - line));
		}
		config_request_release(&req);
	}
}

/* What `rollouts config` prints is a benchmark that means the same. */
static void explanation_is_a_config(void **state)
{
	AUTO(strv) struct strv problems = STRV_INIT;
	AUTO(buf) struct buf once = BUF_INIT;
	AUTO(buf) struct buf twice = BUF_INIT;
	struct config_request req = {.path = "b.toml"};
	struct err err = {0};
	write_text("b.toml", "name = \"q\\\"\\\\\"\n" TM
			     "environment_variables = { \"A.B\" = \"\\u0007\\\"\" }\n");
	assert_int_equal(config_explain(&once, &req, &problems, &err), 0);
	write_text("b.toml", once.data);
	assert_int_equal(config_explain(&twice, &req, &problems, &err), 0);
	assert_non_null(strstr(twice.data, "name = \"q\\\"\\\\\""));
	assert_non_null(strstr(twice.data, "environment_variables.\"A.B\" = \"\\u0007\\\"\""));
}

static void settings_land_in_the_bench(void **state)
{
	AUTO(strv) struct strv problems = STRV_INIT;
	struct config_request req = {.path = "b.toml"};
	struct bench b;
	struct err err = {0};
	kvs_set(&req.settings, "fail_fast", "true");
	strv_push(&req.models, "x");
	strv_push(&req.models, "y");
	strv_push(&req.tags, "t");
	kvs_set(&req.env, "TIMEOUT_SEC", "2.5");
	write_text("b.toml",
		   "[budget]\nusd = 1.5\nwall_sec = 2\n" TM "workspace = \"copy\"\n"
		   "sandbox = \"local\"\nseed = 7\ntoken_limit = 9\ncost_limit_usd = 0.25\n");
	assert_int_equal(config_load(&b, &req, &problems, &err), 0);
	const struct bench_entry *e = &b.entries[0];
	assert_true(b.fail_fast);
	assert_string_equal(b.tags.v[0], "t");
	assert_int_equal(e->models.n, 2);
	assert_string_equal(e->models.v[1], "y");
	assert_int_equal(e->limits.timeout_ms, 2500);
	assert_string_equal(kvs_get(&e->env, "TIMEOUT_SEC"), "2.5");
	assert_int_equal(e->workspace, WORKSPACE_COPY);
	assert_int_equal(e->sandbox, SANDBOX_LOCAL);
	assert_int_equal(e->seed, 7);
	assert_int_equal(e->limits.tokens, 9);
	assert_float_equal(e->limits.usd, 0.25, 1e-12);
	assert_float_equal(b.budget.usd, 1.5, 1e-12);
	assert_int_equal(b.budget.wall_ms, 2000);
	assert_int_equal(e->line, 5);
	assert_int_equal(e->col, 16);
	bench_release(&b);
	config_request_release(&req);
}

static void load_with_backend(const char *backend, const char *toml, struct strv *problems,
			      struct bench *b)
{
	struct config_request req = {.path = "b.toml"};
	struct err err = {0};
	write_text("b.toml", toml);
	setenv("SANDBOX_BACKEND", backend, 1);
	int rc = config_load(b, &req, problems, &err);
	unsetenv("SANDBOX_BACKEND");
	assert_int_equal(rc, problems->n ? -1 : 0);
}

static void sandbox_backend_is_the_weakest(void **state)
{
	static const struct {
		const char *backend, *toml, *said;
		enum sandbox_kind kind;
	} cases[] = {
		{"local", TM, NULL, SANDBOX_LOCAL},
		{"", TM, NULL, SANDBOX_AUTO},
		{"modal", "sandbox = \"local\"\n" TM, NULL, SANDBOX_LOCAL},
		{"modal", TM, NULL, SANDBOX_AUTO},
		{"e2b", TM,
		 "SANDBOX_BACKEND in the environment: \"e2b\" is not built yet; unset it or set "
		 "it to \"local\", \"docker\", \"landlock\" or \"modal\"",
		 SANDBOX_AUTO},
		{"docker", TM TM, NULL, SANDBOX_DOCKER},
	};
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		AUTO(strv) struct strv problems = STRV_INIT;
		struct bench b;
		load_with_backend(cases[i].backend, cases[i].toml, &problems, &b);
		AUTO(free) char *said = join_lines(&problems);
		assert_string_equal(said, cases[i].said ? cases[i].said : "");
		assert_int_equal(b.entries[0].sandbox, cases[i].kind);
		bench_release(&b);
	}
}

/* The working directory first, then beside the file; the message names both places. */
static void paths_have_two_places(void **state)
{
	AUTO(strv) struct strv problems = STRV_INIT;
	struct config_request req = {.path = "conf/c.toml"};
	struct bench b;
	struct err err = {0};
	write_text("conf/c.toml",
		   "model = \"m\"\n[[tasks]]\nprepared_dir = \"tasks/a\"\n[[tasks]]\n"
		   "prepared_dir = \"tasks/c\"\n[[tasks]]\nprepared_dir = \"only/*\"\n");
	assert_int_equal(config_load(&b, &req, &problems, &err), 0);
	assert_int_equal(b.entries_n, 4);
	assert_string_equal(b.entries[0].task_path, "tasks/a");
	assert_string_equal(b.entries[1].task_path, "conf/tasks/c");
	assert_string_equal(b.entries[1].prepared_dir, "tasks/c");
	assert_string_equal(b.entries[2].task_path, "conf/only/x");
	assert_string_equal(b.entries[2].prepared_dir, "only/x");
	assert_int_equal(b.entries[3].table, 2);
	bench_release(&b);
	write_text("conf/c.toml", "[[tasks]]\nprepared_dir = \"tasks/zz\"\nmodel = \"m\"\n");
	assert_int_equal(config_load(&b, &req, &problems, &err), -1);
	assert_string_equal(
		problems.v[0],
		"conf/c.toml:2:16: prepared_dir: no folder \"tasks/zz\": tried tasks/zz in the "
		"working directory and conf/tasks/zz beside the benchmark");
	bench_release(&b);
}

/* A linked configuration is read; a missing one or a folder is the user's mistake. */
static void odd_files(void **state)
{
	static const char *const paths[] = {"missing.toml", "tasks"};
	struct bench b;
	struct err err = {0};
	for (size_t i = 0; i < ARRAY_SIZE(paths); i++) {
		AUTO(strv) struct strv problems = STRV_INIT;
		struct config_request req = {.path = paths[i]};
		bench_init(&b);
		assert_int_equal(config_load(&b, &req, &problems, &err), -1);
		assert_int_equal(err.kind, ERR_USAGE);
		assert_int_equal(problems.n, 1);
		bench_release(&b);
	}
	AUTO(strv) struct strv problems = STRV_INIT;
	struct config_request req = {.path = "link.toml"};
	write_text("b.toml", TM);
	assert_int_equal(symlink("b.toml", "link.toml"), 0);
	assert_int_equal(config_load(&b, &req, &problems, &err), 0);
	assert_string_equal(b.name, "link");
	assert_string_equal(b.config_text, TM);
	bench_release(&b);
}

static void toml_keeps_order_and_places(void **state)
{
	static const char text[] =
		"z = 1\na = [1, \"two\"]\n[m.k]\ny = 1.5\nb = false\n[[t]]\n[[t]]\n";
	struct toml_error error;
	struct toml_node *root = toml_parse(text, strlen(text), &error);
	assert_non_null(root);
	assert_string_equal(root->items[0].key, "z");
	assert_string_equal(root->items[1].key, "a");
	assert_int_equal(root->items[1].items[1].line, 2);
	assert_int_equal(root->items[1].items[1].col, 9);
	const struct toml_node *k = toml_get(toml_get(root, "m"), "k");
	assert_string_equal(k->items[0].key, "y");
	assert_int_equal(k->items[0].key_line, 4);
	assert_int_equal(toml_get(k, "b")->kind, TOML_BOOL);
	assert_int_equal(toml_get(root, "t")->items[1].line, 7);
	toml_free(root);
	assert_null(toml_parse("a = \"\\u0000\"", 12, &error));
	assert_int_equal(error.line, 1);
	assert_string_equal(error.msg, "a NUL character is not allowed here");
}

static int make_folder(void **state)
{
	static const char *const dirs[] = {"tasks",	"tasks/a",     "tasks/b",
					   "conf",	"conf/tasks",  "conf/tasks/c",
					   "conf/only", "conf/only/x", "conf/only/y"};
	static char template[] = "/tmp/test-config-XXXXXX";
	unsetenv("SANDBOX_BACKEND");
	if (!mkdtemp(template) || chdir(template) < 0)
		return -1;
	for (size_t i = 0; i < ARRAY_SIZE(dirs); i++)
		if (mkdir(dirs[i], 0755) < 0)
			return -1;
	write_text("o2.json", "{}");
	write_text("tasks/file", "not a task");
	*state = template;
	return 0;
}

static int remove_folder(void **state)
{
	struct err err;
	return chdir("/") < 0 || path_remove_tree(AT_FDCWD, *state, &err) < 0 ? -1 : 0;
}

/* So a table may have a key of a name that another table has for something else. */
static void a_key_is_a_table_and_a_name(void **state)
{
	for (int i = 0; i < KEY_COUNT_; i++)
		for (int bit = 1; bit <= SCOPE_FLAG; bit <<= 1)
			if (config_keys[i].scopes & bit)
				assert_int_equal(config_key_find(bit, config_keys[i].name), i);
	assert_int_equal(config_key_find(SCOPE_BUDGET, "model"), KEY_COUNT_);
	assert_int_equal(config_key_find(SCOPE_TASKS, "usd"), KEY_COUNT_);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_mistake_is_a_line),
		cmocka_unit_test(a_key_is_a_table_and_a_name),
		cmocka_unit_test(syntax_errors_have_a_place),
		cmocka_unit_test(values_and_origins),
		cmocka_unit_test(explanation_is_a_config),
		cmocka_unit_test(settings_land_in_the_bench),
		cmocka_unit_test(sandbox_backend_is_the_weakest),
		cmocka_unit_test(paths_have_two_places),
		cmocka_unit_test(odd_files),
		cmocka_unit_test(toml_keeps_order_and_places),
	};
	return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
