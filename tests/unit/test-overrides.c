/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "task-fixture.h"
#include "base/json.h"
#include "task/files.h"

static const struct filetree_item *find(const struct filetree *o, const char *path)
{
	for (size_t i = 0; i < o->n; i++)
		if (!strcmp(o->v[i].path, path))
			return &o->v[i];
	return NULL;
}

static void assert_holds(const struct filetree *o, const char *path, const char *text)
{
	const struct filetree_item *item = find(o, path);

	assert_non_null(item);
	assert_string_equal(item->data, text);
}

/* The file of each line stands first; every mistake is told, and nothing else. */
static const struct {
	const char *overrides, *expected;
} override_mistakes[] = {
	{"[]", "overrides.json: must be a JSON object"},
	{"{'prompt':'a','prompt':'b'}",
	 "overrides.json:1:22: not valid JSON: duplicate object key near '\"prompt\"'"},
	{"{'promt':'x'}", "overrides.json: unknown key \"promt\" (did you mean \"prompt\"?)"},
	{"{'zzz':1}", "overrides.json: unknown key \"zzz\""},
	{"{'prompt':1}", "overrides.json: prompt: must be a string"},
	{"{'prompt':''}", "overrides.json: prompt: no instruction; write "
			  "overlay_files/LM_INSTRUCTIONS.md"},
	{"{'prompt':'a','lm_instructions':'b'}",
	 "overrides.json: prompt: is also given as lm_instructions; keep one of them"},
	{"{'prompt':'a','overlay_files':{'LM_INSTRUCTIONS.md':'b'}}",
	 "overrides.json: prompt: is also given as overlay_files.LM_INSTRUCTIONS.md; keep "
	 "one "
	 "of them"},
	{"{'overlay_files':[]}", "overrides.json: overlay_files: must be an object of strings"},
	{"{'overlay_files':{'a':1}}", "overrides.json: overlay_files.a: must be a string"},
	{"{'overlay_files':{'../e':''}}",
	 "overrides.json: overlay_files[\"../e\"]: \"../e\" leaves /app"},
	{"{'overlay_files':{'a/../../e':''}}",
	 "overrides.json: overlay_files[\"a/../../e\"]: \"a/../../e\" leaves /app"},
	{"{'overlay_files':{'/etc/passwd':''}}",
	 "overrides.json: overlay_files[\"/etc/passwd\"]: \"/etc/passwd\" is absolute, "
	 "which "
	 "leaves /app"},
	{"{'overlay_files':{'tb_meta.json':''}}",
	 "overrides.json: overlay_files[\"tb_meta.json\"]: this file is made from the "
	 "task; "
	 "override repo, rubrics or the instructions instead"},
	{"{'overlay_files':{'diff.patch':''}}",
	 "overrides.json: overlay_files[\"diff.patch\"]: a file of this name is kept from "
	 "the "
	 "agent; choose another name"},
	{"{'overlay_files':{'repo/x':''}}", "overrides.json: overlay_files[\"repo/x\"]: "
					    "this folder is not the task's; files for "
					    "the repository go in overlay_repo_files"},
	{"{'overlay_files':{'box_bootstrap.sh':''}}",
	 "overrides.json: overlay_files[\"box_bootstrap.sh\"]: this file belongs to the "
	 "older "
	 "container system, where nothing runs it; remove it"},
	{"{'overlay_repo_files':{'../../e':''}}",
	 "overrides.json: overlay_repo_files[\"../../e\"]: \"../../e\" leaves the "
	 "repository"},
	{"{'overlay_repo_files':{'.git/hooks/x':''}}",
	 "overrides.json: overlay_repo_files[\".git/hooks/x\"]: \".git/hooks/x\" is inside "
	 ".git of "
	 "the repository"},
	{"{'overlay_repo_files':{'a/.GIT/x':''}}",
	 "overrides.json: overlay_repo_files[\"a/.GIT/x\"]: \"a/.GIT/x\" is inside .git of "
	 "the "
	 "repository"},
	{"{'overlay_repo_files':{'a//b':''}}",
	 "overrides.json: overlay_repo_files[\"a//b\"]: \"a//b\" is not a plain relative "
	 "path of a "
	 "file"},
	{"{'overlay_repo_files':{'a/':''}}",
	 "overrides.json: overlay_repo_files[\"a/\"]: \"a/\" is not a plain relative path "
	 "of a file"},
	{"{'overlay_repo_files':{'a\\nb':''}}",
	 "overrides.json: overlay_repo_files.a b: \"a b\" holds a control character"},
	{"{'overlay_repo_files':{'a':'','a/b':''}}",
	 "overrides.json: overlay_repo_files[\"a/b\"]: \"a/b\" needs a folder where \"a\" "
	 "is a "
	 "file"},
	{"{'overlay_repo_files':{'a/b':'','a':''}}",
	 "overrides.json: overlay_repo_files.a: \"a\" is a folder already"},
	{"{'inject_files':{'a':''}}", "overrides.json: inject_files: must be a list of objects"},
	{"{'inject_files':['a']}",
	 "overrides.json: inject_files[0]: must be an object\n"
	 "overrides.json: inject_files[0]: needs \"path\" and \"content\""},
	{"{'inject_files':[{'path':'a'}]}",
	 "overrides.json: inject_files[0]: needs \"path\" and \"content\""},
	{"{'inject_files':[{'path':'a','content':'','mode':1}]}",
	 "overrides.json: inject_files[0]: unknown key \"mode\""},
	{"{'inject_files':[{'path':'a','content':''},{'path':'a','content':'x'}]}",
	 "overrides.json: inject_files[1].path: \"a\" is injected twice"},
	{"{'inject_files':[{'path':'x/../../a','content':''}]}",
	 "overrides.json: inject_files[0].path: \"x/../../a\" leaves the repository"},
	{"{'remove_repo_paths':'a'}",
	 "overrides.json: remove_repo_paths: must be a list of strings"},
	{"{'remove_repo_paths':['a',1]}", "overrides.json: remove_repo_paths[1]: must be a string"},
	{"{'remove_repo_paths':['ok','../x','/etc',' ']}",
	 "overrides.json: remove_repo_paths[1]: \"../x\" leaves the repository\n"
	 "overrides.json: remove_repo_paths[2]: \"/etc\" is absolute, which leaves the "
	 "repository\n"
	 "overrides.json: remove_repo_paths[3]: \" \" is empty"},
	{"{'remove_repo_paths':['a\\nb','./','a//b','.']}",
	 "overrides.json: remove_repo_paths[0]: \"a b\" holds a control character\n"
	 "overrides.json: remove_repo_paths[1]: \"\" is empty\n"
	 "overrides.json: remove_repo_paths[2]: \"a//b\" is not a plain relative path or pattern\n"
	 "overrides.json: remove_repo_paths[3]: \".\" is not a plain relative path or pattern"},
	{"{'evaluation':{'rubric':[]}}",
	 "overrides.json: evaluation: unknown key \"rubric\" (did you mean \"rubrics\"?)"},
	{"{'evaluation':{'rubrics':[{'id':'a','weight':1}]},'rubrics':[{'id':'b','weight':"
	 "1}]}",
	 "overrides.json: rubrics: is also given as evaluation.rubrics; keep one of them\n"
	 "tb_meta.json: evaluation.test_scripts[0].rubric_id: \"a\" is not a rubric of "
	 "overrides.json: rubrics; add it there or override test_scripts too"},
	{"{'rubrics':[{'id':'a','weight':-1}]}",
	 "overrides.json: rubrics[0].weight: must be a number, 0 or more"},
	{"{'rubrics':[{'id':'new'}],'test_scripts':[]}",
	 "overrides.json: rubrics[0].weight: is missing\n"
	 "overrides.json: rubrics: no weight is above 0; give one rubric a weight"},
	{"{'rubrics':[{'id':'a'}]}",
	 "tb_meta.json: evaluation.test_scripts[1].rubric_id: \"b\" is not a rubric of "
	 "overrides.json: rubrics; add it there or override test_scripts too"},
	{"{'test_scripts':[{'path':'x.py','rubric_id':'zz','content':'x'}]}",
	 "overrides.json: test_scripts[0].rubric_id: \"zz\" is not a rubric of "
	 "tb_meta.json: "
	 "evaluation.rubrics; add it there or override test_scripts too"},
	{"{'test_scripts':[{'path':'../x.py','rubric_id':'a','content':''}]}",
	 "overrides.json: test_scripts[0].path: \"../x.py\" leaves the repository"},
	{"{'repo':{'sub_dir':'x'}}",
	 "overrides.json: repo: unknown key \"sub_dir\" (did you mean \"subdir\"?)"},
	{"{'repo':{'subdir':'a/../../b'}}",
	 "overrides.json: repo.subdir: \"a/../../b\" leaves the repository"},
	{"{'repo':{'sparse_checkout':['src/','/ok','../x']}}",
	 "overrides.json: repo.sparse_checkout[2]: \"../x\" leaves the repository"},
	{"{'repo':{'branch':'--upload-pack=x'}}",
	 "overrides.json: repo.branch: \"--upload-pack=x\" begins or ends with a character "
	 "no branch "
	 "or commit name can have there"},
	{"{'environment_variables':{'A':[]}}",
	 "overrides.json: environment_variables.A: must be a string"},
	{"{'environment_variables':{'A B':'x'}}",
	 "overrides.json: environment_variables[\"A B\"]: not a name of an environment "
	 "variable"},
	{"{'model_provider':1}", "overrides.json: model_provider: must be a string"},
	{"{'model_provider':'x'}", "overrides.json: model_provider: nothing enforces a "
				   "task's own model provider yet; remove it "
				   "and name the model in the configuration"},
	{"{'openai':{'base_url':'https://x','api_key':'k','model':'m','provider':'p'}}",
	 "overrides.json: openai: nothing enforces a task's own model provider yet; remove "
	 "it and name "
	 "the model in the configuration"},
	{"{'openai':{'api_keys':'k'}}",
	 "overrides.json: openai: unknown key \"api_keys\" (did you mean \"api_key\"?)"},
};

static void mistakes_are_told(void **state)
{
	const struct fixture *f = *state;

	for (size_t i = 0; i < ARRAY_SIZE(override_mistakes); i++) {
		put_json(f, "t/overrides.json", override_mistakes[i].overrides);
		expect_problems(f, NULL, override_mistakes[i].overrides,
				override_mistakes[i].expected);
	}
}

static void all_files_are_told_in_one_go(void **state)
{
	const struct fixture *f = *state;

	put_json(f, "t/tb_meta.json", "{'repo':{}}");
	put_json(f, "t/overrides.json", "{'prompts':''}");
	put_json(f, "entry.json", "{'remove_repo_paths':['..']}");
	put_file(f, "t/.env", "A=1\nB\n");
	expect_problems(f, "entry.json", "four files",
			".env: line 2: not NAME=VALUE\n"
			"overrides.json: unknown key \"prompts\" (did you mean \"prompt\"?)\n"
			"tb_meta.json: task_id: is missing\n"
			"tb_meta.json: lm.instructions: no instruction; write "
			"overlay_files/LM_INSTRUCTIONS.md\n"
			"entry.json: remove_repo_paths[0]: \"..\" leaves the repository\n"
			"tb_meta.json: repo.git_url: is missing");
}

static void null_counts_as_absent(void **state)
{
	const struct fixture *f = *state;
	AUTO(task) struct task t = {0};

	put_json(f, "t/overrides.json",
		 "{'prompt':null,'rubrics':null,'repo':{'branch':null},'openai':null,'inject_files'"
		 ":null}");
	read_well(f, NULL, &t);
	assert_string_equal(t.steps[0].instruction, "Do it.");
	assert_int_equal(t.steps[0].rubrics_n, 2);
	assert_null(t.repo.branch); /* named, and named away */
	assert_string_equal(t.repo.git_url, "https://example.org/r.git");
}

static void every_key_is_honoured(void **state)
{
	const struct fixture *f = *state;
	AUTO(task) struct task t = {0};

	put_json(f, "t/overrides.json",
		 "{'prompt':'Other.','overlay_files':{'docs/a.txt':'A'},"
		 "'overlay_repo_files':{'run.sh':'#!/bin/sh\\n'},"
		 "'remove_repo_paths':['node_modules','dist/','*.log','temp/*','.git/','./x'],"
		 "'inject_files':[{'path':'AGENTS.md','content':'hi'}],"
		 "'environment_variables':{'TIMEOUT_SEC':1800,'DEBUG':'true','API_KEY':'k'},"
		 "'repo':{'subdir':'./packages/core/','sparse_checkout':['packages/core/','/"
		 "x','!y']}}");
	read_well(f, NULL, &t);
	assert_string_equal(t.steps[0].instruction, "Other.");
	assert_holds(&t.files->app, "LM_INSTRUCTIONS.md", "Other.");
	assert_holds(&t.files->app, "docs/a.txt", "A");
	assert_holds(&t.files->repo, "run.sh", "#!/bin/sh\n");
	assert_true(find(&t.files->repo, "run.sh")->executable);
	assert_holds(&t.files->repo, "AGENTS.md", "hi");
	assert_false(find(&t.files->repo, "AGENTS.md")->executable);
	static const char *const removed[] = {"node_modules", "dist/", "*.log",
					      "temp/*",	      ".git/", "x"};
	assert_int_equal(t.repo.remove.n, ARRAY_SIZE(removed));
	for (size_t i = 0; i < ARRAY_SIZE(removed); i++)
		assert_string_equal(t.repo.remove.v[i], removed[i]);
	assert_string_equal(kvs_get(&t.env, "TIMEOUT_SEC"), "1800");
	assert_string_equal(kvs_get(&t.env, "DEBUG"), "true");
	assert_null(kvs_get(&t.env, "API_KEY"));
	assert_string_equal(t.notes.v[0],
			    "overrides.json: environment_variables.API_KEY: names a credential, "
			    "which never enters a sandbox: left out");
	assert_string_equal(t.repo.subdir, "packages/core");
	assert_int_equal(t.repo.sparse.n, 3);
	/* A partial repo changes only what it names. */
	assert_string_equal(t.repo.git_url, "https://example.org/r.git");
	assert_string_equal(t.repo.branch, "main");
	assert_string_equal(t.repo.start_commit, SHA);
}

static void rubrics_alone_keep_the_tests(void **state)
{
	const struct fixture *f = *state;
	AUTO(task) struct task t = {0};

	put_json(f, "t/overrides.json",
		 "{'rubrics':[{'id':'b','weight':2},{'id':'a','criterion':'AA'}]}");
	read_well(f, NULL, &t);
	assert_int_equal(t.steps[0].rubrics_n, 2);
	assert_string_equal(t.steps[0].rubrics[0].id, "b");
	assert_string_equal(t.steps[0].rubrics[0].criterion, "B");
	assert_true(t.steps[0].rubrics[0].weight == 2);
	assert_string_equal(t.steps[0].rubrics[1].criterion, "AA");
	assert_true(t.steps[0].rubrics[1].weight == 0.5);
	assert_int_equal(t.steps[0].tests_n, 2);
}

static void tests_alone_keep_the_rubrics(void **state)
{
	const struct fixture *f = *state;
	AUTO(task) struct task t = {0};

	put_json(f, "t/overrides.json",
		 "{'evaluation':{'test_scripts':[{'path':'tests/"
		 "a.py','timeout_sec':1.5,'command':'python3'}]}}");
	read_well(f, NULL, &t);
	assert_int_equal(t.steps[0].rubrics_n, 2);
	assert_int_equal(t.steps[0].tests_n, 1);
	assert_string_equal(t.steps[0].tests[0].content, "GOLD-a");
	assert_string_equal(t.steps[0].tests[0].rubric_id, "a");
	assert_string_equal(t.steps[0].tests[0].command, "python3");
	assert_int_equal(t.steps[0].tests[0].timeout_ms, 1500);
}

/* The entry's file, then the task's own, then the task: key by key. */
static void precedence(void **state)
{
	const struct fixture *f = *state;
	AUTO(task) struct task t = {0};

	put_file(f, "t/overlay_files/LM_INSTRUCTIONS.md", "From the folder.");
	put_file(f, "t/overlay_repo_files/a", "folder");
	put_file(f, "t/overlay_repo_files/f", "folder");
	put_file(f, "t/overlay_files/remove_repo_paths.txt", "old\n\nolder \n");
	put_file(f, "t/.env", "A=env\nB=env\nC=env\n");
	put_json(f, "t/overrides.json",
		 "{'prompt':'own','overlay_repo_files':{'a':'own','b':'own','c':'own'},"
		 "'environment_variables':{'A':'own','B':'own'},'remove_repo_paths':['own'],"
		 "'repo':{'branch':'own','subdir':'own'}}");
	put_json(f, "entry.json",
		 "{'overlay_files':{'LM_INSTRUCTIONS.md':'entry'},'overlay_repo_files':{'a':'entry'"
		 "},"
		 "'inject_files':[{'path':'b','content':'entry'}],"
		 "'environment_variables':{'A':'entry'},'repo':{'branch':'entry'}}");
	read_well(f, "entry.json", &t);
	assert_string_equal(t.steps[0].instruction, "entry");
	assert_holds(&t.files->repo, "a", "entry");
	assert_holds(&t.files->repo, "b", "entry");
	assert_holds(&t.files->repo, "c", "own");
	assert_string_equal(find(&t.files->repo, "f")->source, "overlay_repo_files/f");
	assert_string_equal(kvs_get(&t.env, "A"), "entry");
	assert_string_equal(kvs_get(&t.env, "B"), "own");
	assert_string_equal(kvs_get(&t.env, "C"), "env");
	assert_int_equal(t.repo.remove.n, 1);
	assert_string_equal(t.repo.remove.v[0], "own");
	assert_string_equal(t.repo.branch, "entry");
	assert_string_equal(t.repo.subdir, "own");
}

static void switched_off_means_neither(void **state)
{
	const struct fixture *f = *state;
	AUTO(task) struct task t = {0};
	AUTO(strv) struct strv problems = STRV_INIT;

	put_file(f, "t/overlay_files/remove_repo_paths.txt", "old\n");
	put_file(f, "t/overrides.json", "not even JSON");
	put_json(f, "entry.json", "{'prompt':'entry'}");
	assert_int_equal(read_task(f, "entry.json", false, &t, &problems), 0);
	assert_string_equal(t.steps[0].instruction, "Do it.");
	assert_string_equal(t.repo.remove.v[0], "old");
}

static void the_same_file_counts_once(void **state)
{
	const struct fixture *f = *state;

	put_json(f, "t/overrides.json", "{'zzz':1}");
	expect_problems(f, "t/overrides.json", "named in the entry too",
			"t/overrides.json: unknown key \"zzz\"");
}

static void a_missing_entry_file_is_a_mistake(void **state)
{
	expect_problems(*state, "nowhere.json", "missing", "nowhere.json: is missing");
}

static void no_way_through_a_link(void **state)
{
	const struct fixture *f = *state;

	put_file(f, "t/overlay_repo_files/real/x", "x");
	assert_int_equal(symlinkat("real", f->top_fd, "t/overlay_repo_files/link"), 0);
	put_json(f, "t/overrides.json", "{'inject_files':[{'path':'link/y','content':''}]}");
	expect_problems(f, NULL, "through a link",
			"overrides.json: inject_files[0].path: \"link/y\" leads through the "
			"symbolic link \"link\"");
	/* The link itself may be replaced, by a file. */
	put_json(f, "t/overrides.json", "{'inject_files':[{'path':'link','content':'z'}]}");
	AUTO(task) struct task t = {0};
	read_well(f, NULL, &t);
	assert_int_equal(find(&t.files->repo, "link")->kind, FILETREE_FILE);
}

static void mistakes_are_bounded(void **state)
{
	const struct fixture *f = *state;
	AUTO(buf) struct buf text = BUF_INIT;
	AUTO(strv) struct strv problems = STRV_INIT;
	struct task t;

	buf_adds(&text, "{");
	for (int i = 0; i < 300; i++)
		buf_addf(&text, "%s'zz%d':1", i ? "," : "", i);
	buf_adds(&text, "}");
	put_json(f, "t/overrides.json", text.data);
	assert_int_equal(read_task(f, NULL, true, &t, &problems), -1);
	assert_int_equal(problems.n, 101);
	assert_non_null(strstr(problems.v[100], "200 more mistakes"));
}

#define T(test) cmocka_unit_test_setup_teardown(test, fixture_setup, fixture_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(mistakes_are_told),
		T(all_files_are_told_in_one_go),
		T(null_counts_as_absent),
		T(every_key_is_honoured),
		T(rubrics_alone_keep_the_tests),
		T(tests_alone_keep_the_rubrics),
		T(precedence),
		T(switched_off_means_neither),
		T(the_same_file_counts_once),
		T(a_missing_entry_file_is_a_mistake),
		T(no_way_through_a_link),
		T(mistakes_are_bounded),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
