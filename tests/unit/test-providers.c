/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "test.h"
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "base/cleanup.h"
#include "base/mem.h"
#include "base/path.h"
#include "config/providers.h"

static char top[] = "/tmp/test-providers-XXXXXX";

#define P "[providers.lab]\nbase_url = \"http://lab:1\"\napis = [\"chat\"]\n"

static void put(const char *path, const char *text)
{
	struct err err;
	assert_int_equal(path_write(AT_FDCWD, path, text, strlen(text), 0644, false, &err), 0);
}

/* The file beside the benchmark, and the user's. */
static int load(struct providers *p, const char *beside, const char *mine, struct strv *problems)
{
	struct err err;
	AUTO(free) char *shipped = xasprintf("%s/share/providers.toml", getenv("SOURCE"));
	const char *const paths[PROVIDER_PLACES] = {"b/providers.toml", "mine.toml", shipped};
	put("b/providers.toml", beside);
	put("mine.toml", mine);
	return providers_read(p, paths, problems, &err);
}

static void every_mistake_has_its_place(void **state)
{
	static const struct {
		const char *toml, *line;
	} wrongs[] = {
		{"x = 1\n", "b/providers.toml:1:1: unknown key \"x\" in this file"},
		{"[provider.x]\n",
		 "b/providers.toml:1:2: unknown key \"provider\" in this file (did you "
		 "mean \"providers\"?)"},
		{"[providers.\"a b\"]\nbase_url = \"http://x\"\napis = [\"chat\"]\n",
		 "b/providers.toml:1:1: \"a b\" cannot name a provider: letters, digits, \"_\", "
		 "\"-\", \".\""},
		{"[providers.x]\napis = [\"chat\"]\n",
		 "b/providers.toml:1:1: provider \"x\" has no base_url"},
		{"[providers.x]\nbase_url = \"http://x\"\n",
		 "b/providers.toml:1:1: provider \"x\" has no apis"},
		{P "url = 3\n", "b/providers.toml:4:1: unknown key \"url\" in a provider"},
		{P "key_command = \"pass x\"\n",
		 "b/providers.toml:4:15: key_command may stand in your own configuration only "
		 "(~/.config/rollouts/providers.toml)"},
		{P "key_env = \"sk-1 2\"\n",
		 "b/providers.toml:4:11: key_env must be the name of a variable, not a key"},
		{P "max_in_flight = 0\n",
		 "b/providers.toml:4:17: max_in_flight must be 1 to 10000"},
		{P "headers = { \"a b\" = \"1\" }\n",
		 "b/providers.toml:4:21: headers: \"a b\" is not the name of a header"},
		{"[providers.x]\nbase_url = \"http://u:p@x\"\napis = [\"chat\"]\n",
		 "b/providers.toml:2:12: base_url must be http://HOST or https://HOST, with a path "
		 "if need "
		 "be, and hold no user, question mark or blank"},
		{"[providers.x]\nbase_url = \"file:///etc\"\napis = [\"chat\"]\n",
		 "b/providers.toml:2:12: base_url must be http://HOST or https://HOST, with a path "
		 "if need "
		 "be, and hold no user, question mark or blank"},
		{"[providers.x]\nbase_url = \"http://x\"\napis = [\"soap\"]\n",
		 "b/providers.toml:3:8: apis: \"soap\" is not one of: responses, chat, anthropic, "
		 "gemini"},
		{"[[models]]\nprovider = \"openai\"\n",
		 "b/providers.toml:1:1: no match in this [[models]]: add match = \"name*\""},
		{"[[models]]\nmatch = \"x\"\n",
		 "b/providers.toml:1:1: no provider in this [[models]]"},
		{"[[models]]\nmatch = \"x\"\nprovider = \"opnai\"\n",
		 "providers.toml: the model rule \"x\" names the provider \"opnai\", which is "
		 "nowhere (did "
		 "you mean \"openai\"?)"},
		{"[[models]]\nmatch = \"x\"\nprovider = \"openai\"\nprice = { input = 1 }\n",
		 "b/providers.toml:4:9: price needs input and output"},
		{"[[models]]\nmatch = \"x\"\nprovider = \"openai\"\nprice = { input = -1, output = "
		 "1 }\n",
		 "b/providers.toml:4:19: input must be 0 to 1e+06"},
		{"[aliases]\na = 3\n",
		 "b/providers.toml:2:5: a must be a string, not a whole number"},
		{"[aliases\n", "b/providers.toml:1:9: "},
	};

	for (size_t i = 0; i < ARRAY_SIZE(wrongs); i++) {
		AUTO(strv) struct strv problems = STRV_INIT;
		AUTO(providers) struct providers p = {0};
		assert_int_equal(load(&p, wrongs[i].toml, "", &problems), -1);
		assert_true(problems.n >= 1);
		if (strncmp(problems.v[0], wrongs[i].line, strlen(wrongs[i].line)) != 0)
			assert_string_equal(problems.v[0], wrongs[i].line);
	}
}

static void what_stands_earlier_counts(void **state)
{
	AUTO(strv) struct strv problems = STRV_INIT;
	AUTO(providers) struct providers p = {0};
	struct route r;
	struct err err = {0};

	assert_int_equal(
		load(&p,
		     P "[[models]]\nmatch = \"gpt-4*\"\nprovider = \"lab\"\n"
		       "[aliases]\n\"quick\" = \"gpt-4.1-mini\"\n",
		     "[providers.openai]\nbase_url = \"https://mine/\"\napis = [\"chat\"]\n"
		     "[aliases]\n\"quick\" = \"other\"\n\"round\" = \"round\"\n",
		     &problems),
		0);
	assert_int_equal(providers_route(&p, "quick", &r, &err), 0);
	assert_string_equal(r.provider->name, "lab");
	assert_string_equal(r.model_id, "gpt-4.1-mini");
	assert_int_equal(r.provider->origin, PROVIDER_BENCH);
	assert_string_equal(r.provider->folder, "b");
	assert_false(r.price->known);
	assert_int_equal(providers_route(&p, "gpt-5", &r, &err), 0);
	assert_string_equal(r.provider->base_url, "https://mine");
	assert_int_equal(r.provider->origin, PROVIDER_USER);
	assert_true(r.price->known);
	/* An alias of itself leads nowhere, and to an end. */
	assert_int_equal(providers_route(&p, "round", &r, &err), -1);
	assert_int_equal(err.kind, ERR_USAGE);
}

static void a_rule_holds_on_its_days_and_a_dead_model_names_its_successor(void **state)
{
	AUTO(strv) struct strv problems = STRV_INIT;
	AUTO(providers) struct providers p = {0};
	struct route r;
	struct err err = {0};

	assert_int_equal(
		load(&p,
		     P
		     "[[models]]\nmatch = \"m\"\nprovider = \"lab\"\nprice = { input = 1, output = "
		     "2, until = \"2020-01-01\" }\n"
		     "[[models]]\nmatch = \"m\"\nprovider = \"lab\"\nprice = { input = 9, output = "
		     "9, from = \"2999-01-01\" }\n"
		     "[[models]]\nmatch = \"m\"\nprovider = \"lab\"\nprice = { input = 3, output = "
		     "4, service = { flex = 0.5 }, "
		     "above = { tokens = 1000, input = 6, output = 6 }, from = \"2020-01-02\" }\n"
		     "[[models]]\nmatch = \"old\"\nprovider = \"lab\"\nshutdown = "
		     "\"2020-01-01\"\nsuccessor = \"m\"\n"
		     "[[models]]\nmatch = \"later\"\nprovider = \"lab\"\nshutdown = "
		     "\"2999-01-01\"\n",
		     "", &problems),
		0);
	assert_int_equal(providers_route(&p, "m", &r, &err), 0);
	assert_true(r.price->usual.input == 3 && r.price->usual.cached == 3);
	assert_true(r.price->above_tokens == 1000 && r.price->above.cached == 6);
	assert_string_equal(r.price->services[0].name, "flex");
	assert_int_equal(providers_route(&p, "later", &r, &err), 0);
	assert_int_equal(providers_route(&p, "old", &r, &err), -1);
	assert_string_equal(
		err.msg,
		"the model \"old\" was shut down by lab on 2020-01-01; its successor is m");
}

static void the_shipped_file_knows_the_usual_models(void **state)
{
	static const char *const models[][2] = {{"gpt-4", "openai"},
						{"gpt-3.5-turbo", "openai"},
						{"claude-3-sonnet", "anthropic"},
						{"gemini-pro", "gemini"},
						{"gpt-6.2-sol", "openai"},
						{"claude-sonnet-5-5", "anthropic"},
						{"gemini-3.5-flash", "gemini"}};
	AUTO(strv) struct strv problems = STRV_INIT;
	AUTO(providers) struct providers p = {0};
	struct route r;
	struct err err = {0};

	assert_int_equal(load(&p, "", "", &problems), 0);
	for (size_t i = 0; i < ARRAY_SIZE(models); i++) {
		assert_int_equal(providers_route(&p, models[i][0], &r, &err), 0);
		assert_string_equal(r.provider->name, models[i][1]);
		assert_true(r.price->known && r.price->usual.output >= r.price->usual.input);
		assert_true(*r.price->date && r.provider->probe && r.provider->key_env.n);
	}
	assert_int_equal(providers_route(&p, "gpt-17", &r, &err), 0);
	assert_false(r.price->known);
	assert_int_equal(providers_route(&p, "gemini-por", &r, &err), 0);
	assert_int_equal(providers_route(&p, "claude3-sonnet", &r, &err), -1);
	assert_non_null(strstr(err.msg, "did you mean \"claude-3-sonnet\"?"));
}

static int setup(void **state)
{
	struct err err;
	assert_non_null(mkdtemp(top));
	assert_int_equal(chdir(top), 0);
	return path_make_dirs(AT_FDCWD, "b", 0755, &err);
}

static int teardown(void **state)
{
	struct err err;
	return chdir("/") || path_remove_tree(AT_FDCWD, top, &err);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_mistake_has_its_place),
		cmocka_unit_test(what_stands_earlier_counts),
		cmocka_unit_test(a_rule_holds_on_its_days_and_a_dead_model_names_its_successor),
		cmocka_unit_test(the_shipped_file_knows_the_usual_models),
	};
	return cmocka_run_group_tests(tests, setup, teardown);
}
