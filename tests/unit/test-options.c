/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "test.h"
#include <string.h>
#include "base/cleanup.h"
#include "base/mem.h"
#include "cmd/options.h"
#include "core/kv.h"

struct got {
	bool json;
	int verbose;
	const char *tag;
	struct strv models;
	int64_t limit;
	struct kvs env, settings;
};

static int parse(struct got *g, const char *const *argv, struct strv *operands, struct err *err)
{
	const struct option options[] = {
		{.name = "json", .kind = OPTION_FLAG, .target = &g->json, .help = "h"},
		{.name = "verbose", .short_name = 'v', .kind = OPTION_COUNT, .target = &g->verbose},
		{.name = "tag", .arg = "T", .kind = OPTION_STR, .target = &g->tag, .help = "h"},
		{.name = "model",
		 .short_name = 'm',
		 .arg = "M",
		 .kind = OPTION_STRV,
		 .target = &g->models},
		{.name = "limit",
		 .arg = "N",
		 .kind = OPTION_INT,
		 .target = &g->limit,
		 .min = 1,
		 .max = 9},
		{.name = "env",
		 .short_name = 'e',
		 .arg = "K=V",
		 .kind = OPTION_KV,
		 .target = &g->env},
		{.name = "jobs",
		 .short_name = 'j',
		 .arg = "N",
		 .kind = OPTION_SETTING,
		 .target = &g->settings,
		 .setting = "parallel"},
		{.name = "fast", .kind = OPTION_SETTING, .target = &g->settings},
		OPTION_END,
	};
	const struct usage usage = {
		.verb = "go", .operands = "[A]", .max = 1, .summary = "s", .options = options};
	int argc = 0;
	while (argv[argc])
		argc++;
	return options_parse(&usage, argc, (char **)argv, operands, err);
}

static void release(struct got *g)
{
	strv_release(&g->models);
	kvs_release(&g->env);
	kvs_release(&g->settings);
}

#define ARGV(...) ((const char *const[]){"go", __VA_ARGS__, NULL})

static void everything_at_once(void **state)
{
	AUTO(strv) struct strv operands = STRV_INIT;
	struct got g = {0};
	struct err err;
	const char *const *argv =
		ARGV("-vv", "--tag=a=b", "x", "--model", "m1", "-mm2", "-m", "m3", "--limit", "9",
		     "-eA=1=2", "--env", "B=", "-j4", "--fast", "--json", "-v");
	assert_int_equal(parse(&g, argv, &operands, &err), 0);
	assert_true(g.json);
	assert_int_equal(g.verbose, 3);
	assert_string_equal(g.tag, "a=b");
	assert_int_equal(g.models.n, 3);
	assert_string_equal(g.models.v[1], "m2");
	assert_int_equal(g.limit, 9);
	assert_string_equal(kvs_get(&g.env, "A"), "1=2");
	assert_string_equal(kvs_get(&g.env, "B"), "");
	assert_string_equal(kvs_get(&g.settings, "parallel"), "4");
	assert_string_equal(kvs_get(&g.settings, "fast"), "true");
	assert_string_equal(operands.v[0], "x");
	release(&g);
}

static void two_dashes_end_the_options(void **state)
{
	AUTO(strv) struct strv operands = STRV_INIT;
	struct got g = {0};
	struct err err;
	assert_int_equal(parse(&g, ARGV("--", "--json"), &operands, &err), 0);
	assert_false(g.json);
	assert_string_equal(operands.v[0], "--json");
	release(&g);
}

static void mistakes_and_help(void **state)
{
	static const struct {
		const char *argv[4];
		int rc;
		const char *msg;
	} cases[] = {
		{{"go", "--jsn"}, -1, "unknown option --jsn (did you mean --json?)"},
		{{"go", "--zzzzzz=1"}, -1, "unknown option --zzzzzz; see: rollouts help go"},
		{{"go", "-vx"}, -1, "unknown option -x; see: rollouts help go"},
		{{"go", "--tag"}, -1, "--tag needs a value: --tag T"},
		{{"go", "-m"}, -1, "--model needs a value: --model M"},
		{{"go", "--json=1"}, -1, "--json takes no value"},
		{{"go", "--limit", "0"}, -1, "--limit: 0 is out of range (1 to 9)"},
		{{"go", "--limit", "3x"}, -1, "--limit: \"3x\" is not a whole number"},
		{{"go", "--limit", ""}, -1, "--limit: \"\" is not a whole number"},
		{{"go", "-e", "=1"}, -1, "--env: \"=1\" is not of the form NAME=VALUE"},
		{{"go", "a", "b"}, -1, "one argument too many: \"b\"; see: rollouts help go"},
		{{"go", "--help"}, 1, ""},
		{{"go", "-vh"}, 1, ""},
	};
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		AUTO(strv) struct strv operands = STRV_INIT;
		struct got g = {0};
		struct err err = {0};
		assert_int_equal(parse(&g, cases[i].argv, &operands, &err), cases[i].rc);
		assert_string_equal(err.msg, cases[i].msg);
		assert_int_equal(err.kind, cases[i].rc < 0 ? ERR_USAGE : ERR_NONE);
		release(&g);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(everything_at_once),
		cmocka_unit_test(two_dashes_end_the_options),
		cmocka_unit_test(mistakes_and_help),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
