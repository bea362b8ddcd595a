/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "task-fixture.h"
#include "base/json.h"
#include "task/files.h"

static void a_whole_task(void **state)
{
	const struct fixture *f = *state;
	AUTO(task) struct task t = {0};

	put_json(f, "t/tb_meta.json",
		 META_HEAD
		 "'repo':{'git_url':'git@example.org:o/"
		 "r.git','branch':'main','start_commit_sha':'" SHA "',"
		 "'end_commit_sha':'feed','subdir':null,'sparse_checkout':[]},"
		 "'lm':{'instructions':'x'},'sensitivity':{'level':'safe'},'start_commit':'zz','"
		 "more':[1],"
		 "'evaluation':{'rubrics':[{'id':'a','criterion':'A','weight':1,'extra':1,"
		 "'evaluation_criteria':['one','two']}],"
		 "'test_scripts':[{'path':'tests/a.py','rubric_id':'a','content':'x\\u0000y'}]}}");
	put_file(f, "t/overlay_files/LM_INSTRUCTIONS.md", "# Task: T\n\nFix it.");
	put_file(f, "t/overlay_files/diff.patch", "GOLD");
	read_well(f, NULL, &t);
	assert_string_equal(t.dir, f->dir);
	assert_string_equal(t.id, "t_1");
	assert_string_equal(t.title, "T");
	assert_int_equal(json_array_size(t.tags), 1);
	assert_string_equal(t.steps[0].instruction, "# Task: T\n\nFix it.");
	assert_string_equal(t.repo.git_url, "git@example.org:o/r.git");
	assert_string_equal(t.repo.start_commit, SHA);
	assert_string_equal(t.repo.end_commit, "feed");
	assert_null(t.repo.subdir);
	assert_int_equal(t.steps[0].rubrics_n, 1);
	assert_int_equal(json_array_size(t.steps[0].rubrics[0].criteria), 2);
	assert_int_equal(t.steps[0].tests_n, 1);
	assert_int_equal(t.steps[0].tests[0].content_len, 3);
	assert_null(t.steps[0].tests[0].command);
	assert_int_equal(t.steps[0].tests[0].timeout_ms, 0);
	assert_true(t.has_gold);
	assert_int_equal(strlen(t.hash), 64);
}

/* Each is one change to a good file. */
static const struct {
	const char *meta, *expected;
} meta_mistakes[] = {
	{"{", "tb_meta.json:1:1: not valid JSON: string or '}' expected near end of file"},
	{"[]", "tb_meta.json: must be a JSON object"},
	{"{'task_id':7,'metadata':[]," META_REPO META_LM META_EVALUATION "}",
	 "tb_meta.json: task_id: must be a string\n"
	 "tb_meta.json: metadata: must be an object"},
	{"{" META_REPO META_LM META_EVALUATION "}", "tb_meta.json: task_id: is missing"},
	{"{'task_id':'a\\nb'," META_REPO META_LM META_EVALUATION "}",
	 "tb_meta.json: task_id: must be one line of at most 200 bytes"},
	{"{'task_id':'a\\u0000b'," META_REPO META_LM META_EVALUATION "}",
	 "tb_meta.json: task_id: must be a string without NUL characters"},
	{"{'task_id':'a','metadata':{'title':1,'tags':['x',2]}," META_REPO META_LM META_EVALUATION
	 "}",
	 "tb_meta.json: metadata.title: must be a string\n"
	 "tb_meta.json: metadata.tags[1]: must be a string"},
	{META_HEAD META_LM META_EVALUATION "}", "tb_meta.json: repo.git_url: is missing"},
	{META_HEAD "'repo':'x'," META_LM META_EVALUATION "}",
	 "tb_meta.json: repo: must be an object\ntb_meta.json: repo.git_url: is missing"},
	{META_HEAD "'repo':{'git_url':1}," META_LM META_EVALUATION "}",
	 "tb_meta.json: repo.git_url: must be a string"},
	{META_HEAD "'repo':{'git_url':'https://h/r','start_commit':'x'}," META_LM META_EVALUATION
		   "}",
	 "tb_meta.json: repo: unknown key \"start_commit\" (did you mean "
	 "\"start_commit_sha\"?)"},
	{META_HEAD
	 "'repo':{'git_url':'https://h/r','subdir':'../x','branch':'a b'}," META_LM META_EVALUATION
	 "}",
	 "tb_meta.json: repo.branch: \"a b\" holds a character no branch or commit name "
	 "can have\n"
	 "tb_meta.json: repo.subdir: \"../x\" leaves the repository"},
	{META_HEAD "'repo':{'git_url':'https://h/r','subdir':'/x','sparse_checkout':'src'}," META_LM
		 META_EVALUATION "}",
	 "tb_meta.json: repo.sparse_checkout: must be a list of strings\n"
	 "tb_meta.json: repo.subdir: \"/x\" is absolute, which leaves the repository"},
	{META_HEAD META_REPO META_EVALUATION "}",
	 "tb_meta.json: lm.instructions: no instruction; write "
	 "overlay_files/LM_INSTRUCTIONS.md"},
	{META_HEAD META_REPO "'lm':{'instructions':' \\n'}," META_EVALUATION "}",
	 "tb_meta.json: lm.instructions: no instruction; write "
	 "overlay_files/LM_INSTRUCTIONS.md"},
	{META_HEAD META_REPO "'lm':{'instructions':['x']}," META_EVALUATION "}",
	 "tb_meta.json: lm.instructions: must be a string"},
	{META_HEAD META_REPO META_LM "'evaluation':{'rubrics':{}}}",
	 "tb_meta.json: evaluation.rubrics: must be a list of objects"},
	{META_HEAD META_REPO META_LM "'evaluation':{'rubrics':[{'id':'a','wieght':1}]}}",
	 "tb_meta.json: evaluation.rubrics[0]: unknown key \"wieght\" (did you mean "
	 "\"weight\"?)"},
	{META_HEAD META_REPO META_LM "'evaluation':{'rubrics':[{'criterion':'x','weight':1}]}}",
	 "tb_meta.json: evaluation.rubrics[0].id: is missing"},
	{META_HEAD META_REPO META_LM "'evaluation':{'rubrics':[{'id':'a','weight':1},{'id':"
				     "'b'},{'id':'a','weight':1}]}}",
	 "tb_meta.json: evaluation.rubrics[1].weight: is missing\n"
	 "tb_meta.json: evaluation.rubrics[2].id: \"a\" is a duplicate"},
	{META_HEAD META_REPO META_LM "'evaluation':{'rubrics':[{'id':'a','weight':-0.1}]}}",
	 "tb_meta.json: evaluation.rubrics[0].weight: must be a number, 0 or more"},
	{META_HEAD META_REPO META_LM "'evaluation':{'rubrics':[{'id':'a','weight':'1'}]}}",
	 "tb_meta.json: evaluation.rubrics[0].weight: must be a number, 0 or more"},
	{META_HEAD META_REPO META_LM "'evaluation':{'rubrics':[{'id':'a','weight':1e9}]}}",
	 "tb_meta.json: evaluation.rubrics[0].weight: must be at most 1e+06"},
	{META_HEAD META_REPO META_LM "'evaluation':{'rubrics':[{'id':'a','weight':0}]}}",
	 "tb_meta.json: evaluation.rubrics: no weight is above 0; give one rubric a weight"},
	{META_HEAD META_REPO META_LM
	 "'evaluation':{'test_scripts':[{'path':'a.py','rubric_id':'zz','content':'x'}]}}",
	 "tb_meta.json: evaluation.test_scripts[0].rubric_id: \"zz\" is not a rubric of "
	 "the task, which "
	 "has none; add it there or override test_scripts too"},
	{META_HEAD META_REPO META_LM
	 "'evaluation':{'rubrics':[{'id':'a','weight':1}],'test_scripts':["
	 "{'rubric_id':'a','content':''},{'path':'x.py','content':'x'},"
	 "{'path':'y.py','rubric_id':'a'},"
	 "{'path':'/z.py','rubric_id':'a','content':''},"
	 "{'path':'.git/config','rubric_id':'a','content':''},"
	 "{'path':'t.py','rubric_id':'a','content':'x','timeout_sec':1e9}]}}",
	 "tb_meta.json: evaluation.test_scripts[0].path: is missing\n"
	 "tb_meta.json: evaluation.test_scripts[1].rubric_id: is missing\n"
	 "tb_meta.json: evaluation.test_scripts[2].content: is missing, and so is the file "
	 "evaluation/y.py\n"
	 "tb_meta.json: evaluation.test_scripts[3].path: \"/z.py\" is absolute, which "
	 "leaves the "
	 "repository\n"
	 "tb_meta.json: evaluation.test_scripts[4].path: \".git/config\" is inside .git of "
	 "the "
	 "repository\n"
	 "tb_meta.json: evaluation.test_scripts[5].timeout_sec: must be at most 604800"},
	{META_HEAD META_REPO META_LM
	 "'evaluation':{'rubrics':[{'id':'a','weight':1},{'id':'b','weight':1}],"
	 "'test_scripts':[{'path':'x','rubric_id':'a','content':'1'},"
	 "{'path':'x','rubric_id':'b','content':'1'},"
	 "{'path':'x','rubric_id':'b','content':'1'},"
	 "{'path':'x','rubric_id':'b','content':'2'}]}}",
	 "tb_meta.json: evaluation.test_scripts[2].path: \"x\" is there twice for one "
	 "rubric\n"
	 "tb_meta.json: evaluation.test_scripts[3].path: \"x\" is written by two scripts "
	 "of different "
	 "content"},
	{"{'title':[]," META_REPO META_LM "'evaluation':[]}",
	 "tb_meta.json: title: must be a string\n"
	 "tb_meta.json: evaluation: must be an object\n"
	 "tb_meta.json: task_id: is missing"},
};

static void mistakes_are_told(void **state)
{
	const struct fixture *f = *state;

	for (size_t i = 0; i < ARRAY_SIZE(meta_mistakes); i++) {
		put_json(f, "t/tb_meta.json", meta_mistakes[i].meta);
		expect_problems(f, NULL, meta_mistakes[i].meta, meta_mistakes[i].expected);
	}
}

static void folders_that_are_none(void **state)
{
	const struct fixture *f = *state;

	assert_int_equal(unlinkat(f->top_fd, "t/tb_meta.json", 0), 0);
	expect_problems(
		f, NULL, "no meta",
		"tb_meta.json: is missing; `rollouts init --task FOLDER` writes a task folder to "
		"start from");
	assert_int_equal(symlinkat("/etc/passwd", f->top_fd, "t/tb_meta.json"), 0);
	AUTO(strv) struct strv problems = STRV_INIT;
	struct task t;
	assert_int_equal(read_task(f, NULL, true, &t, &problems), -1);
	assert_string_equal(problems.v[0],
			    "tb_meta.json: is a symbolic link; put the file itself here");
	AUTO(strv) struct strv more = STRV_INIT;
	struct task_source src = {"/nonexistent/task", NULL, true};
	struct err err;
	assert_int_equal(task_read(&t, &src, &more, &err), -1);
	assert_string_equal(more.v[0],
			    "tb_meta.json: cannot open its folder: No such file or directory");
}

static void older_and_other_shapes(void **state)
{
	const struct fixture *f = *state;

	static const char *const legacy[] = {"content_rubric", "location_rubric", "clarity_rubric"};
	for (size_t i = 0; i < ARRAY_SIZE(legacy); i++) {
		AUTO(task) struct task t = {0};
		AUTO(free)
		char *meta = xasprintf(META_HEAD META_REPO META_LM
				       "'evaluation':{'%s':[{'criterion':'x'}]}}",
				       legacy[i]);
		put_json(f, "t/tb_meta.json", meta);
		read_well(f, NULL, &t);
		assert_int_equal(t.steps[0].rubrics_n, 3);
		assert_string_equal(t.steps[0].rubrics[0].id, "task_completion");
		assert_true(t.steps[0].rubrics[0].weight == 0.4);
		assert_string_equal(t.steps[0].rubrics[1].id, "code_quality");
		assert_true(t.steps[0].rubrics[1].weight == 0.3);
		assert_string_equal(t.steps[0].rubrics[2].id, "testing");
		assert_int_equal(t.steps[0].tests_n, 0);
		assert_int_equal(t.notes.n, 1);
	}
	AUTO(task) struct task t = {0};
	put_json(f, "t/tb_meta.json",
		 "{'id':'other','title':'T','tags':['x'],'created_at':'2025','start_commit':'" SHA
		 "',"
		 "'end_commit':'e','repo':{'git_url':'https://h/r','remote_urls':['x']}," META_LM
		 "'sensitivity':{'level':'safe'}}");
	read_well(f, NULL, &t);
	assert_string_equal(t.id, "other");
	assert_string_equal(t.title, "T");
	assert_string_equal(t.repo.start_commit, SHA);
	assert_string_equal(t.repo.end_commit, "e");
}

static void head_is_the_tip_of_the_branch(void **state)
{
	const struct fixture *f = *state;
	AUTO(task) struct task t = {0};

	put_json(f, "t/tb_meta.json",
		 META_HEAD
		 "'repo':{'git_url':'https://h/"
		 "r','branch':'b','start_commit_sha':'HEAD','subdir':'./'}," META_LM META_EVALUATION
		 "}");
	read_well(f, NULL, &t);
	assert_null(t.repo.start_commit);
	assert_null(t.repo.subdir);
	assert_string_equal(t.repo.branch, "b");
}

static void scripts_may_lie_in_evaluation(void **state)
{
	const struct fixture *f = *state;
	AUTO(task) struct task t = {0};

	put_json(f, "t/tb_meta.json",
		 META_HEAD META_REPO META_LM
		 "'evaluation':{'rubrics':[{'id':'a','weight':1}],"
		 "'test_scripts':[{'path':'tests/x.sh','rubric_id':'a'}]}}");
	put_file(f, "t/evaluation/tests/x.sh", "exit 0\n");
	read_well(f, NULL, &t);
	assert_string_equal(t.steps[0].tests[0].content, "exit 0\n");
	assert_int_equal(unlinkat(f->top_fd, "t/evaluation/tests/x.sh", 0), 0);
	assert_int_equal(symlinkat("/etc/passwd", f->top_fd, "t/evaluation/tests/x.sh"), 0);
	expect_problems(f, NULL, "a link",
			"evaluation/tests/x.sh: cannot be read: open evaluation/tests/x.sh: Too "
			"many levels of "
			"symbolic links");
}

static void variables_of_the_task(void **state)
{
	static const struct {
		const char *line, *value; /* value of A; NULL: a mistake */
	} cases[] = {
		{"A=1", "1"},
		{"export A=x y ", "x y"},
		{"A=", ""},
		{"  A= b # comment", "b"},
		{"A=a#b", "a#b"},
		{"A=#b", ""},
		{"A='a # \\n b'", "a # \\n b"},
		{"A=\"a \\\"b\\\"\\n\\\\\" # c", "a \"b\"\n\\"},
		{"A=x=y", "x=y"},
		{"A = x y", "x y"},
		{"export A\t= 'x' # c", "x"},
		{"\xef\xbb\xbf"
		 "A=1",
		 "1"},
		{"A=\"1\r\n2\"\r\nB='\n'\n", "1\r\n2"},
		{"B='\n\n'\nA=1 # c\n", "1"},
		{"B='\n\n'\nA 1\n", NULL},
		{"A=1\nA=2", "2"},
		{"# A=1\n\nA=3\r", "3"},
		{"A", NULL},
		{"A B=1", NULL},
		{"1A=1", NULL},
		{"=1", NULL},
		{"A='x", NULL},
		{"A=\"x\" y", NULL},
		{"A=\xff", NULL},
	};
	const struct fixture *f = *state;

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		AUTO(task) struct task t = {0};
		AUTO(strv) struct strv problems = STRV_INIT;
		put_file(f, "t/.env", cases[i].line);
		int rc = read_task(f, NULL, true, &t, &problems);
		if (rc != (cases[i].value ? 0 : -1))
			fail_msg("%s: %s", cases[i].line, rc ? problems.v[0] : "was taken");
		if (!rc)
			assert_string_equal(kvs_get(&t.env, "A"), cases[i].value);
	}
	AUTO(task) struct task t = {0};
	put_file(f, "t/.env",
		 "OPENAI_API_KEY=sk-1\nPRIVATE_GITHUB_PAT=p\nOPENAI_BASE_URL=https://x\n");
	read_well(f, NULL, &t);
	assert_int_equal(t.env.n, 1);
	assert_string_equal(kvs_get(&t.env, "OPENAI_BASE_URL"), "https://x");
	assert_int_equal(t.notes.n, 2);
	assert_null(strstr(t.notes.v[0], "sk-1"));
}

static const struct {
	const char *url;
	const char *why; /* NULL: well */
} urls[] = {
	{"https://github.com/o/r", NULL},
	{"https://h:8443/o/r.git", NULL},
	{"ssh://git@h/o/r", NULL},
	{"git@github.com:o/r.git", NULL},
	{"host:path", NULL},
	{"http://h/r", "\"http\" is not a protocol we let git use; use https, ssh or a local path"},
	{"git://h/r", "\"git\" is not a protocol we let git use; use https, ssh or a local path"},
	{"ext::sh -c id",
	 "\"ext\" is not a protocol we let git use; use https, ssh or a local path"},
	{"https:///r", "\"https:///r\" names no host"},
	{"ssh://-oProxyCommand=x/r", "\"ssh://-oProxyCommand=x/r\" names no host"},
	{"-oProxyCommand=x:r", "\"-oProxyCommand=x:r\" begins with \"-\""},
	{"https://u:PW@h/r", "the URL holds a credential, which would end up in files; leave it to "
			     "~/.netrc, a GIT_HOST_TOKEN in .env or an ssh agent"},
	{"https://TOKEN@h/r",
	 "the URL holds a credential, which would end up in files; leave it to "
	 "~/.netrc, a GIT_HOST_TOKEN in .env or an ssh agent"},
	{"ssh://u:PW@h/r", "the URL holds a credential, which would end up in files; leave it to "
			   "~/.netrc, a GIT_HOST_TOKEN in .env or an ssh agent"},
	{"file://h/r", "\"file://h/r\" is not file:///PATH"},
	{"file:///nonexistent/r", "no repository /nonexistent/r"},
	{"/nonexistent/r", "no repository /nonexistent/r"},
	{"nowhere/r", "no repository \"nowhere/r\" in the task folder or in the working directory"},
	{"/etc", "/etc is neither a git repository nor a git bundle"},
	{"/etc/passwd", "/etc/passwd is neither a git repository nor a git bundle"},
	{"a\\tb", "holds a control character"},
};

static void git_urls(void **state)
{
	const struct fixture *f = *state;

	for (size_t i = 0; i < ARRAY_SIZE(urls); i++) {
		AUTO(free)
		char *meta = xasprintf(META_HEAD "'repo':{'git_url':'%s','start_commit_sha':'" SHA
						 "'}," META_LM META_EVALUATION "}",
				       urls[i].url);
		AUTO(free)
		char *expected = urls[i].why
					 ? xasprintf("tb_meta.json: repo.git_url: %s", urls[i].why)
					 : xstrdup("");
		put_json(f, "t/tb_meta.json", meta);
		expect_problems(f, NULL, urls[i].url, expected);
	}
}

static void local_repositories_are_pinned(void **state)
{
	const struct fixture *f = *state;

	make_repo(f, "t/repo");
	git_do(f, "t/repo", "bundle create ../all.bundle --all HEAD");
	git_do(f, "t/repo", "clone -q --bare . ../bare.git");
	AUTO(free) char *one = git(f, "t/repo", "rev-parse main");
	AUTO(free) char *two = git(f, "t/repo", "rev-parse work");
	AUTO(free) char *absolute = xasprintf("%s/t/repo", f->top);
	AUTO(free) char *file = xasprintf("file://%s/t/repo", f->top);
	AUTO(free) char *brief = xasprintf(",'start_commit_sha':'%.12s'", one);
	const struct {
		const char *url, *more, *commit;
	} cases[] = {
		{"repo", "", two},
		{"./repo/", ",'branch':'main'", one},
		{absolute, ",'start_commit_sha':'HEAD','branch':'work'", two},
		{file, ",'start_commit_sha':'v1'", one},
		{"../t/repo/.git", brief, one},
		{"bare.git", ",'branch':'main'", one},
		{"all.bundle", ",'branch':'main'", one},
		{"all.bundle", "", two},
	};
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		AUTO(task) struct task t = {0};
		put_local(f, cases[i].url, cases[i].more);
		read_well(f, NULL, &t);
		assert_string_equal(t.repo.start_commit, cases[i].commit);
		assert_true(*t.repo.git_url == '/');
	}
	put_local(f, "repo", ",'branch':'nope'");
	AUTO(free)
	char *expected = xasprintf(
		"tb_meta.json: repo.branch: \"nope\" of %s/t/repo: not in the repository", f->top);
	expect_problems(f, NULL, "no branch", expected);
	put_local(f, "all.bundle", ",'start_commit_sha':'v1'");
	AUTO(free)
	char *bundle = xasprintf(
		"tb_meta.json: repo.start_commit_sha: \"v1\" of %s/t/all.bundle: not a branch of "
		"the bundle; give the full id of a commit",
		f->top);
	expect_problems(f, NULL, "a tag", bundle);
	put_json(f, "t/tb_meta.json",
		 META_HEAD
		 "'repo':{'git_url':'https://h/r','start_commit_sha':'v1'}," META_LM META_EVALUATION
		 "}");
	expect_problems(
		f, NULL, "a remote tag",
		"tb_meta.json: repo.start_commit_sha: \"v1\" is not a full commit id, which a "
		"remote repository needs");
}

/* Found out here, not by each trial in turn. */
static void full_ids_are_looked_up(void **state)
{
	const struct fixture *f = *state;

	make_repo(f, "t/repo");
	git_do(f, "t/repo", "checkout -q work");
	git_do(f, "t/repo", "commit -q --allow-empty -m more");
	git_do(f, "t/repo", "tag -a -m note annotated main");
	git_do(f, "t/repo", "bundle create ../all.bundle --all HEAD");
	AUTO(free) char *inner = git(f, "t/repo", "rev-parse work~1");
	AUTO(free) char *tip = git(f, "t/repo", "rev-parse work");
	AUTO(free) char *tag = git(f, "t/repo", "rev-parse annotated");
	AUTO(free) char *tree = git(f, "t/repo", "rev-parse work^{tree}");
	const struct {
		const char *id, *url, *why; /* NULL: well */
	} cases[] = {
		{tip, "repo", NULL},
		{inner, "repo", NULL},
		{SHA, "repo", "not in the repository"},
		{tag, "repo", "is a tag, not a commit"},
		{tree, "repo", "is a tree, not a commit"},
		{tip, "all.bundle", NULL},
		{inner, "all.bundle", NULL},
		{SHA, "all.bundle", "not in the bundle"},
		{tag, "all.bundle", "is a tag, not a commit"},
		{tree, "all.bundle", "is a tree, not a commit"},
	};
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		AUTO(free) char *more = xasprintf(",'start_commit_sha':'%s'", cases[i].id);
		AUTO(task) struct task t = {0};
		put_local(f, cases[i].url, more);
		if (!cases[i].why) {
			read_well(f, NULL, &t);
			assert_string_equal(t.repo.start_commit, cases[i].id);
			continue;
		}
		AUTO(free)
		char *expected =
			xasprintf("tb_meta.json: repo.start_commit_sha: \"%s\" of %s/t/%s: %s",
				  cases[i].id, f->top, cases[i].url, cases[i].why);
		expect_problems(f, NULL, cases[i].why, expected);
	}
}

static void not_the_repository_around_it(void **state)
{
	const struct fixture *f = *state;

	git_do(f, ".", "init -q");
	git_do(f, ".", "commit -q --allow-empty -m outer");
	assert_int_equal(mkdirat(f->top_fd, "t/broken", 0755), 0);
	assert_int_equal(mkdirat(f->top_fd, "t/broken/.git", 0755), 0);
	put_local(f, "broken", "");
	AUTO(free)
	char *expected =
		xasprintf("tb_meta.json: repo.git_url: \"HEAD\" of %s/t/broken: not in the "
			  "repository",
			  f->top);
	AUTO(strv) struct strv problems = STRV_INIT;
	struct task t;
	assert_int_equal(read_task(f, NULL, true, &t, &problems), -1);
	assert_memory_equal(problems.v[0], expected, strlen(expected));
}

static void links_stay_inside(void **state)
{
	static const struct {
		const char *path, *target;
		bool well;
	} cases[] = {
		{"l", "a", true},
		{"l", "./d/../a", false},
		{"d/l", "../a", true},
		{"d/l", "../d", true},
		{"l", "missing/x", true},
		{"d/l", "./../a/", true},
		{"l", "..", false},
		{"d/l", "../../a", false},
		{"l", "/etc/passwd", false},
		{"l", "d/../../etc", false},
		{"d/l", "../x/../../e", false},
	};
	const struct fixture *f = *state;

	for (int tree = 0; tree < 2; tree++) {
		const char *folder = tree ? "t/overlay_repo_files" : "t/overlay_files";
		AUTO(free) char *dir_file = xasprintf("%s/d/x", folder);
		put_file(f, dir_file, "x");
		for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
			AUTO(task) struct task t = {0};
			AUTO(strv) struct strv problems = STRV_INIT;
			AUTO(free) char *path = xasprintf("%s/%s", folder, cases[i].path);
			assert_int_equal(symlinkat(cases[i].target, f->top_fd, path), 0);
			int rc = read_task(f, NULL, true, &t, &problems);
			if (rc != (cases[i].well ? 0 : -1))
				fail_msg("%s -> %s", path, cases[i].target);
			if (rc)
				assert_memory_equal(problems.v[0], path + 2, strlen(path) - 2);
			assert_int_equal(unlinkat(f->top_fd, path, 0), 0);
		}
	}
}

static void special_files_are_refused(void **state)
{
	const struct fixture *f = *state;

	put_file(f, "t/overlay_files/a", "a");
	assert_int_equal(mkfifoat(f->top_fd, "t/overlay_files/fifo", 0644), 0);
	expect_problems(f, NULL, "a FIFO",
			"overlay_files/fifo: not a file, a folder or a symbolic link; remove it");
	assert_int_equal(unlinkat(f->top_fd, "t/overlay_files/fifo", 0), 0);
	assert_int_equal(mkfifoat(f->top_fd, "t/.env", 0644), 0);
	expect_problems(f, NULL, "a FIFO", ".env: cannot be read: .env is not a regular file");
	assert_int_equal(unlinkat(f->top_fd, "t/.env", 0), 0);
	put_file(f, "t/overlay_files/repo/x", "x");
	put_file(f, "t/overlay_repo_files/.git/hooks/post-checkout", "x");
	expect_problems(
		f, NULL, "folders of ours",
		"overlay_files/repo: this folder is not the task's; files for the repository go in "
		"overlay_repo_files\n"
		"overlay_repo_files/.git: \".git\" is inside .git of the repository");
}

static void trees_that_are_links_are_refused(void **state)
{
	const struct fixture *f = *state;

	assert_int_equal(symlinkat("/etc", f->top_fd, "t/overlay_files"), 0);
	AUTO(strv) struct strv problems = STRV_INIT;
	struct task t;
	assert_int_equal(read_task(f, NULL, true, &t, &problems), -1);
	assert_non_null(strstr(problems.v[problems.n - 1], "overlay_files"));
}

#define T(test) cmocka_unit_test_setup_teardown(test, fixture_setup, fixture_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(a_whole_task),
		T(mistakes_are_told),
		T(folders_that_are_none),
		T(older_and_other_shapes),
		T(head_is_the_tip_of_the_branch),
		T(scripts_may_lie_in_evaluation),
		T(variables_of_the_task),
		T(git_urls),
		T(local_repositories_are_pinned),
		T(full_ids_are_looked_up),
		T(not_the_repository_around_it),
		T(links_stay_inside),
		T(special_files_are_refused),
		T(trees_that_are_links_are_refused),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
