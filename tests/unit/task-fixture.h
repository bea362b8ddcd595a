/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * task-fixture.h -- task folders for unit tests, in a directory that is removed afterwards. JSON is
 * written with ' for ".
 */
#pragma once
#include "test.h"
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/buf.h"
#include "base/cleanup.h"
#include "base/mem.h"
#include "base/path.h"
#include "task/task.h"

#define SHA "0123456789012345678901234567890123456789"
#define META_HEAD "{'task_id':'t_1','metadata':{'title':'T','tags':['a']},"
#define META_REPO                                                                                  \
	"'repo':{'git_url':'https://example.org/r.git','branch':'main','start_commit_sha':'" SHA   \
	"'},"
#define META_LM "'lm':{'instructions':'Do it.'},"
#define META_EVALUATION                                                                            \
	"'evaluation':{'rubrics':[{'id':'a','criterion':'A','weight':0.5},"                        \
	"{'id':'b','criterion':'B','weight':0.5}],"                                                \
	"'test_scripts':[{'path':'tests/a.py','rubric_id':'a','content':'GOLD-a'},"                \
	"{'path':'tests/b.sh','rubric_id':'b','content':'GOLD-b'}]}"
#define META META_HEAD META_REPO META_LM META_EVALUATION "}"

struct fixture {
	char top[64];
	char *dir; /* the task folder */
	int top_fd;
};

static inline char *quoted(const char *text)
{
	char *s = xstrdup(text);

	for (char *p = s; (p = strchr(p, '\'')); p++)
		*p = '"';
	return s;
}

static inline void put_file(const struct fixture *f, const char *path, const char *text)
{
	struct err err;
	const char *slash = strrchr(path, '/');

	if (slash) {
		AUTO(free) char *parent = xstrndup(path, (size_t)(slash - path));
		assert_int_equal(path_make_dirs(f->top_fd, parent, 0755, &err), 0);
	}
	assert_int_equal(path_write(f->top_fd, path, text, strlen(text), 0644, false, &err), 0);
}

static inline void put_json(const struct fixture *f, const char *path, const char *text)
{
	AUTO(free) char *json = quoted(text);
	put_file(f, path, json);
}

static inline int fixture_setup(void **state)
{
	struct fixture *f = xcalloc(1, sizeof *f);

	snprintf(f->top, sizeof f->top, "/tmp/test-task-XXXXXX");
	assert_non_null(mkdtemp(f->top));
	f->top_fd = open(f->top, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	f->dir = path_join(f->top, "t");
	assert_int_equal(mkdir(f->dir, 0755), 0);
	put_json(f, "t/tb_meta.json", META);
	*state = f;
	return 0;
}

static inline int fixture_teardown(void **state)
{
	struct fixture *f = *state;
	struct err err;

	assert_int_equal(path_remove_tree(AT_FDCWD, f->top, &err), 0);
	close(f->top_fd);
	free(f->dir);
	free(f);
	return 0;
}

/* Read the folder "t"; PROBLEMS get the lines. ENTRY: file of the configuration entry below the
 * top. */
static inline int read_task(const struct fixture *f, const char *entry, bool apply, struct task *t,
			    struct strv *problems)
{
	AUTO(free) char *file = entry ? path_join(f->top, entry) : NULL;
	struct task_source src = {f->dir, file, apply};
	struct err err = {0};
	int rc = task_read(t, &src, problems, &err);

	assert_int_equal(rc != 0, problems->n != 0);
	if (rc)
		assert_int_equal(err.kind, ERR_USAGE);
	return rc;
}

static inline void read_well(const struct fixture *f, const char *entry, struct task *t)
{
	AUTO(strv) struct strv problems = STRV_INIT;

	if (read_task(f, entry, true, t, &problems)) {
		for (size_t i = 0; i < problems.n; i++)
			print_error("%s\n", problems.v[i]);
		fail_msg("the task should be well");
	}
}

/* Exactly these lines, joined by newlines; those of the entry's file without its directory. */
static inline void expect_problems(const struct fixture *f, const char *entry, const char *what,
				   const char *expected)
{
	AUTO(strv) struct strv problems = STRV_INIT;
	AUTO(buf) struct buf got = BUF_INIT;
	struct task t;
	size_t top = strlen(f->top) + 1;

	if (!read_task(f, entry, true, &t, &problems))
		task_release(&t);
	for (size_t i = 0; i < problems.n; i++) {
		bool ours = !strncmp(problems.v[i], f->top, top - 1);
		buf_addf(&got, "%s%s", i ? "\n" : "", problems.v[i] + (ours ? top : 0));
	}
	if (strcmp(got.data, expected))
		fail_msg("%s\n--- expected\n%s\n--- got\n%s", what, expected, got.data);
}

static inline void auto_task(struct task *t)
{
	task_release(t);
}

/* Output of a git command in the directory NAME, without its newline. */
static inline char *git(const struct fixture *f, const char *name, const char *command)
{
	AUTO(free)
	char *line =
		xasprintf("cd %s/%s && export GIT_CONFIG_GLOBAL=/dev/null GIT_CONFIG_NOSYSTEM=1 && "
			  "git -c user.name=a -c user.email=a@example.org -c "
			  "init.defaultBranch=main %s 2>/dev/null",
			  f->top, name, command);
	char out[4096] = "";
	FILE *p = popen(line, "r");

	assert_non_null(p);
	if (!fgets(out, sizeof out, p))
		out[0] = '\0';
	assert_int_equal(pclose(p), 0);
	out[strcspn(out, "\n")] = '\0';
	return xstrdup(out);
}

static inline void git_do(const struct fixture *f, const char *name, const char *command)
{
	free(git(f, name, command));
}

static inline void make_repo(const struct fixture *f, const char *name)
{
	assert_int_equal(mkdirat(f->top_fd, name, 0755), 0);
	git_do(f, name, "init -q");
	git_do(f, name, "commit -q --allow-empty -m one");
	git_do(f, name, "tag -a v1 -m v1");
	git_do(f, name, "checkout -q -b work");
	git_do(f, name, "commit -q --allow-empty -m two");
}

static inline void put_local(const struct fixture *f, const char *url, const char *more)
{
	AUTO(free)
	char *meta = xasprintf(META_HEAD "'repo':{'git_url':'%s'%s}," META_LM META_EVALUATION "}",
			       url, more);
	put_json(f, "t/tb_meta.json", meta);
}
