/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The content hash of a task and its snapshot. */
#include "task-fixture.h"
#include <dirent.h>
#include <sys/wait.h>
#include "base/json.h"
#include "task/files.h"

static void hash_of(const struct fixture *f, char out[HASH_HEX])
{
	AUTO(task) struct task t = {0};

	read_well(f, NULL, &t);
	memcpy(out, t.hash, HASH_HEX);
}

static void the_hash_is_of_the_content(void **state)
{
	const struct fixture *f = *state;
	char before[HASH_HEX], after[HASH_HEX];

	make_repo(f, "t/repo");
	put_local(f, "repo", "");
	put_file(f, "t/overlay_files/a", "a");
	put_file(f, "t/overlay_repo_files/b", "b");
	put_file(f, "t/Dockerfile", "FROM x\nCOPY overlay_files/a /\n");
	hash_of(f, before);
	/* Neither times, nor what lies beside, nor the place. */
	static const struct timespec old[2] = {{1, 0}, {1, 0}};
	assert_int_equal(utimensat(f->top_fd, "t/overlay_files/a", old, 0), 0);
	put_file(f, "t/README", "x");
	hash_of(f, after);
	assert_string_equal(before, after);
	assert_int_equal(mkdirat(f->top_fd, "else", 0755), 0);
	assert_int_equal(renameat(f->top_fd, "t", f->top_fd, "else/where"), 0);
	assert_int_equal(symlinkat("else/where", f->top_fd, "t"), 0);
	hash_of(f, after);
	assert_string_equal(before, after);
}

static void everything_that_matters_changes_the_hash(void **state)
{
	static const struct {
		const char *path, *text;
	} changes[] = {
		{"t/overlay_files/a", "b"},
		{"t/overlay_files/new/empty", ""},
		{"t/overlay_repo_files/a", "a"},
		{"t/overlay_files/diff.patch", "gold"},
		{"t/overlay_files/diff.patch", "other gold"},
		{"t/overlay_files/LM_INSTRUCTIONS.md", "other"},
		{"t/overlay_files/remove_repo_paths.txt", "x"},
		{"t/.env", "A=1"},
		{"t/.env", "A=2"},
		{"t/Dockerfile", "FROM a\nCOPY file /"},
		{"t/Dockerfile", "FROM b\nCOPY file /"},
		{"t/file", "1"},
		{"t/file", "2"},
		{"t/overrides.json", "{'repo':{'subdir':'x'}}"},
		{"t/overrides.json", "{'repo':{'branch':'x'}}"},
		{"t/overrides.json", "{'repo':{'git_url':'https://example.org/other'}}"},
		{"t/overrides.json", "{'repo':{'sparse_checkout':['x']}}"},
		{"t/overrides.json", "{'repo':{'start_commit_sha':null}}"},
		{"t/overrides.json", "{'rubrics':[{'id':'a','weight':0.6},{'id':'b'}]}"},
		{"t/overrides.json", "{'rubrics':[{'id':'a','criterion':'other'},{'id':'b'}]}"},
		{"t/overrides.json",
		 "{'rubrics':[{'id':'a','evaluation_criteria':['x']},{'id':'b'}]}"},
		{"t/overrides.json", "{'test_scripts':[{'path':'tests/a.py'}]}"},
		{"t/overrides.json", "{'test_scripts':[{'path':'tests/a.py','content':'x'}]}"},
		{"t/overrides.json", "{'test_scripts':[{'path':'tests/a.py','timeout_sec':1}]}"},
		{"t/overrides.json", "{'test_scripts':[{'path':'tests/a.py','command':'x'}]}"},
		{"t/overrides.json", "{'test_scripts':[{'path':'tests/a.py','rubric_id':'b'}]}"},
	};
	const struct fixture *f = *state;
	char seen[ARRAY_SIZE(changes) + 2][HASH_HEX];
	size_t n = 0;

	put_file(f, "t/overlay_files/a", "a");
	hash_of(f, seen[n++]);
	assert_int_equal(fchmodat(f->top_fd, "t/overlay_files/a", 0755, 0), 0);
	hash_of(f, seen[n++]);
	for (size_t i = 0; i < ARRAY_SIZE(changes); i++) {
		put_json(f, changes[i].path, changes[i].text);
		hash_of(f, seen[n++]);
	}
	for (size_t i = 0; i < n; i++)
		for (size_t k = 0; k < i; k++)
			if (!strcmp(seen[i], seen[k]))
				fail_msg("changes %zu and %zu have one hash", i, k);
}

static char *snapshot_of(const struct fixture *f, struct task *t)
{
	struct task_source src = {f->dir, NULL, true};
	struct err err;
	char *path;

	if (path_make_dirs(f->top_fd, "data", 0755, &err))
		fail_msg("%s", err.msg);
	AUTO(fd) int root = openat(f->top_fd, "data", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (task_snapshot(t, &src, root, &path, &err))
		fail_msg("%s", err.msg);
	return path;
}

static struct buf listing; /* of walk() */
static const char *walk_top;

static int list_entry(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)type;
	(void)ftw;
	const char *name = path + strlen(walk_top);
	buf_addf(&listing, "%o %s\n", st->st_mode & 07777, *name ? name + 1 : ".");
	return 0;
}

static int compare_lines(const void *a, const void *b)
{
	return strcmp(strchr(*(char *const *)a, ' '), strchr(*(char *const *)b, ' '));
}

/* "MODE PATH" of everything below PATH, sorted. */
static char *walk(const char *path)
{
	AUTO(strv) struct strv lines = STRV_INIT;

	walk_top = path;
	buf_release(&listing);
	listing = (struct buf)BUF_INIT;
	assert_int_equal(nftw(path, list_entry, 16, FTW_PHYS), 0);
	for (char *p = listing.data, *end; *p; p = end + 1) {
		end = strchr(p, '\n');
		strv_take(&lines, xstrndup(p, (size_t)(end - p)));
	}
	qsort(lines.v, lines.n, sizeof *lines.v, compare_lines);
	buf_reset(&listing);
	for (size_t i = 0; i < lines.n; i++)
		buf_addf(&listing, "%s\n", lines.v[i]);
	return buf_detach(&listing);
}

static void put_whole_task(const struct fixture *f)
{
	static const char *const files[] = {
		"overlay_files/diff.patch",
		"overlay_files/notes.md",
		"overlay_files/repo_info.json",
		"overlay_files/tb_meta.json",
		"overlay_files/trace/session_clean.json",
		"overlay_files/evaluation/x.py",
		"overlay_files/.env",
		"overlay_files/.env.bak",
		"overlay_files/box_bootstrap.sh",
		"overlay_files/codex-synth",
		"overlay_files/container_start_proxy.sh",
		"overlay_files/export_container_traces.sh",
		"overlay_files/container_trace_health_check.sh",
		"overlay_files/remove_repo_paths.txt",
		"evaluation/rubric_template.md",
		"evaluation/tests_skeleton/test_skeleton.py",
		"codex-files/x",
		"mitmproxy-ca-cert.pem",
		"Dockerfile",
		".env.bak",
		"repo_info.json",
		"notes.md",
	};
	for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
		AUTO(free) char *path = path_join("t", files[i]);
		put_file(f, path, "GOLD");
	}
	put_file(f, "t/.env", "A=1\nX_TOKEN=GOLD\n");
	put_file(f, "t/overlay_files/copy_of_test.py", "GOLD-a");
	put_file(f, "t/overlay_files/LM_INSTRUCTIONS.md", "Do it.");
	put_file(f, "t/overlay_files/docs/a.txt", "a");
	put_file(f, "t/overlay_files/run.sh", "#!/bin/sh\n");
	assert_int_equal(fchmodat(f->top_fd, "t/overlay_files/run.sh", 0700, 0), 0);
	assert_int_equal(symlinkat("docs/a.txt", f->top_fd, "t/overlay_files/link"), 0);
	put_file(f, "t/overlay_repo_files/src/x.c", "x");
	assert_int_equal(fchmodat(f->top_fd, "t/overlay_repo_files/src/x.c", 0600, 0), 0);
	put_json(f, "t/tb_meta.json",
		 "{'task_id':'t_1','metadata':{'title':'T','secret':'GOLD'},'repo':{'git_url':'"
		 "https://h/r',"
		 "'branch':'main','start_commit_sha':'" SHA
		 "','end_commit_sha':'GOLD'},'end_commit':'GOLD',"
		 "'solution':'GOLD'," META_LM META_EVALUATION "}");
}

static void assert_no_gold(const char *dir)
{
	AUTO(free) char *command = xasprintf("grep -rl GOLD %s", dir);
	FILE *p = popen(command, "r");
	char line[4096] = "";

	assert_non_null(p);
	if (fgets(line, sizeof line, p))
		fail_msg("gold in %s", line);
	assert_int_equal(WEXITSTATUS(pclose(p)), 1);
}

static void a_snapshot_holds_no_gold(void **state)
{
	const struct fixture *f = *state;
	AUTO(task) struct task t = {0};
	mode_t mask = umask(077);

	put_whole_task(f);
	read_well(f, NULL, &t);
	AUTO(free) char *path = snapshot_of(f, &t);
	umask(mask);
	AUTO(free) char *expected_path = xasprintf("cache/tasks/%s", t.hash);
	assert_string_equal(path, expected_path);
	AUTO(free) char *dir = xasprintf("%s/data/%s", f->top, path);
	AUTO(free) char *list = walk(dir);
	assert_string_equal(list, "755 .\n"
				  "755 app\n"
				  "644 app/LM_INSTRUCTIONS.md\n"
				  "755 app/docs\n"
				  "644 app/docs/a.txt\n"
				  "777 app/link\n"
				  "755 app/run.sh\n"
				  "644 app/tb_meta.json\n"
				  "600 gold.patch\n"
				  "755 repo\n"
				  "755 repo/src\n"
				  "644 repo/src/x.c\n"
				  "600 task.json\n");
	AUTO(free) char *app = path_join(dir, "app");
	assert_no_gold(app);
	AUTO(free) char *repo = path_join(dir, "repo");
	assert_no_gold(repo);
	AUTO(free) char *parents = xasprintf("%s/data/cache", f->top);
	AUTO(free) char *all = walk(parents);
	assert_memory_equal(all, "755 .\n755 tasks\n", 16);
}

static void assert_same_task(const struct task *a, const struct task *b)
{
	AUTO(json) json_t *x = task_to_json(a);
	AUTO(json) json_t *y = task_to_json(b);

	assert_true(json_equal(x, y));
}

static void a_snapshot_reads_back(void **state)
{
	const struct fixture *f = *state;
	AUTO(task) struct task t = {0};
	AUTO(task) struct task back = {0};
	struct err err;

	put_whole_task(f);
	put_json(f, "t/overrides.json",
		 "{'remove_repo_paths':['x/','*.log'],'repo':{'subdir':'s','sparse_checkout':['s/"
		 "']},"
		 "'test_scripts':[{'path':'a','rubric_id':'a','content':'"
		 "\\u0000\\u00e9\\ud83d\\ude00','command':'c',"
		 "'timeout_sec':3}],"
		 "'rubrics':[{'id':'a','weight':0.1,'evaluation_criteria':[{'k':'v'},'x']}]}");
	read_well(f, NULL, &t);
	AUTO(free) char *path = snapshot_of(f, &t);
	AUTO(fd) int root = openat(f->top_fd, "data", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_int_equal(task_load(&back, root, path, &err), 0);
	assert_same_task(&t, &back);
	assert_null(back.dir);
	assert_null(back.files);
	assert_int_equal(back.steps[0].tests[0].content_len, 7);
	assert_string_equal(kvs_get(&back.env, "A"), "1");
	assert_true(back.steps[0].rubrics[0].weight == t.steps[0].rubrics[0].weight);
	/* Damage and the future are errors, not tasks. */
	AUTO(free) char *file = xasprintf("data/%s/task.json", path);
	struct task none = {0};
	put_json(f, file, "{'v':3}");
	assert_int_equal(task_load(&none, root, path, &err), -1);
	assert_non_null(strstr(err.msg, "newer version"));
	put_json(f, file, "{'v':1,'hash':'x'}");
	assert_int_equal(task_load(&none, root, path, &err), -1);
	/* and are made anew. */
	AUTO(free) char *again = snapshot_of(f, &t);
	assert_int_equal(task_load(&none, root, again, &err), 0);
	task_release(&none);
}

/* What users have on disk: the hash of a task, and snapshots of before there were steps and layouts. */
static void an_older_snapshot_is_of_the_same_task(void **state)
{
	static const char hash[] =
		"093f9439e489c46a4c5c824e30ae9154fc0897b05a72928c0f3d53481c724e6e";
	const struct fixture *f = *state;
	AUTO(task) struct task t = {0}, old = {0};
	struct err err;

	put_json(f, "t/tb_meta.json", META);
	read_well(f, NULL, &t);
	assert_string_equal(t.hash, hash);
	AUTO(free)
	char *text = xasprintf(
		"{'v':1,'hash':'%s','id':'t_1','title':'T','tags':['a'],'instruction':'Do it.',"
		"'repo':{'git_url':'https://example.org/r.git','branch':'main','start_commit':'" SHA
		"','end_commit':null,'subdir':null,'sparse':[],'remove':[]},"
		"'rubrics':[{'id':'a','criterion':'A','weight':0.5,'criteria':null},"
		"{'id':'b','criterion':'B','weight':0.5,'criteria':null}],"
		"'tests':[{'path':'tests/a.py','rubric_id':'a','content':'GOLD-a','command':null,"
		"'timeout_ms':0},{'path':'tests/b.sh','rubric_id':'b','content':'GOLD-b','command':"
		"null,'timeout_ms':0}],'env':{},'has_gold':false}",
		hash);
	put_json(f, "old/task.json", text);
	assert_int_equal(task_load(&old, f->top_fd, "old", &err), 0);
	assert_same_task(&t, &old);
	assert_memory_equal(&old.layout, &task_layout_prepared, sizeof old.layout);
}

static void the_folder_is_never_written(void **state)
{
	const struct fixture *f = *state;
	AUTO(task) struct task t = {0};

	put_whole_task(f);
	assert_int_equal(chmod(f->dir, 0555), 0);
	AUTO(free) char *before = walk(f->dir);
	struct stat a, b;
	assert_int_equal(stat(f->dir, &a), 0);
	read_well(f, NULL, &t);
	free(snapshot_of(f, &t));
	AUTO(free) char *after = walk(f->dir);
	assert_string_equal(before, after);
	assert_int_equal(stat(f->dir, &b), 0);
	assert_int_equal(a.st_mtim.tv_nsec, b.st_mtim.tv_nsec);
	assert_int_equal(chmod(f->dir, 0755), 0);
}

static void many_make_one_snapshot(void **state)
{
	const struct fixture *f = *state;
	pid_t pids[8];

	put_whole_task(f);
	/* What a killed process left must neither hinder nor stay. */
	put_file(f, "data/cache/tasks/.new/app/half", "x");
	for (size_t i = 0; i < ARRAY_SIZE(pids); i++) {
		pids[i] = fork();
		if (pids[i])
			continue;
		struct task t = {0};
		struct strv problems = STRV_INIT;
		struct task_source src = {f->dir, NULL, true};
		struct err err;
		char *path;
		int root = openat(f->top_fd, "data", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		_exit(task_read(&t, &src, &problems, &err) ||
		      task_snapshot(&t, &src, root, &path, &err));
	}
	for (size_t i = 0; i < ARRAY_SIZE(pids); i++) {
		int status;
		assert_int_equal(waitpid(pids[i], &status, 0), pids[i]);
		assert_int_equal(status, 0);
	}
	AUTO(task) struct task t = {0};
	read_well(f, NULL, &t);
	AUTO(fd)
	int tasks = openat(f->top_fd, "data/cache/tasks", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = fdopendir(fd_steal(&tasks));
	for (struct dirent *e; (e = readdir(d));)
		assert_true(!strcmp(e->d_name, ".") || !strcmp(e->d_name, "..") ||
			    !strcmp(e->d_name, ".lock") || !strcmp(e->d_name, t.hash));
	closedir(d);
	AUTO(free) char *half = xasprintf("data/cache/tasks/%s/app/half", t.hash);
	assert_false(path_exists(f->top_fd, half));
}

/* The same commit elsewhere is the same task, and workers are told where it is now. */
static void a_moved_repository_is_found(void **state)
{
	const struct fixture *f = *state;
	AUTO(task) struct task first = {0};
	AUTO(task) struct task second = {0};
	AUTO(task) struct task back = {0};
	struct err err;

	make_repo(f, "here");
	put_local(f, "../here", "");
	read_well(f, NULL, &first);
	AUTO(free) char *path = snapshot_of(f, &first);
	assert_int_equal(renameat(f->top_fd, "here", f->top_fd, "there"), 0);
	put_local(f, "../there", "");
	read_well(f, NULL, &second);
	assert_string_equal(first.hash, second.hash);
	free(snapshot_of(f, &second));
	AUTO(fd) int root = openat(f->top_fd, "data", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_int_equal(task_load(&back, root, path, &err), 0);
	assert_string_equal(back.repo.git_url, second.repo.git_url);
}

static void a_change_in_between_is_noticed(void **state)
{
	const struct fixture *f = *state;
	AUTO(task) struct task t = {0};
	struct task_source src = {f->dir, NULL, true};
	struct err err;
	char *path;

	put_file(f, "t/overlay_files/a", "a");
	read_well(f, NULL, &t);
	put_file(f, "t/overlay_files/a", "b");
	assert_int_equal(task_snapshot(&t, &src, f->top_fd, &path, &err), -1);
	assert_int_equal(err.kind, ERR_USAGE);
	assert_non_null(strstr(err.msg, "overlay_files/a changed while the task was being read"));
	AUTO(free) char *cache = path_join(f->top, "cache");
	AUTO(free) char *list = walk(cache);
	assert_string_equal(list, "755 .\n755 tasks\n644 tasks/.lock\n");
}

#define T(test) cmocka_unit_test_setup_teardown(test, fixture_setup, fixture_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(the_hash_is_of_the_content),
		T(everything_that_matters_changes_the_hash),
		T(a_snapshot_holds_no_gold),
		T(a_snapshot_reads_back),
		T(an_older_snapshot_is_of_the_same_task),
		T(the_folder_is_never_written),
		T(many_make_one_snapshot),
		T(a_moved_repository_is_found),
		T(a_change_in_between_is_noticed),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
