/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <fnmatch.h>
#include <string.h>
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/mem.h"
#include "base/path.h"
#include "repo/start-check.h"
#include "rollout/inputs-internal.h"

enum { CHECK_MS = 60000 };

static bool same_text(const char *a, const char *b)
{
	return a && b ? strcmp(a, b) == 0 : a == b;
}

static bool same_source(const struct task_source *a, const struct task_source *b)
{
	return strcmp(a->dir, b->dir) == 0 && same_text(a->overrides, b->overrides) &&
	       a->apply_overrides == b->apply_overrides;
}

static bool begins(const char *line, const char *name)
{
	size_t n = name ? strlen(name) : 0;
	return n && strncmp(line, name, n) == 0 && line[n] == ':';
}

/* A task names its files as seen from its folder; people need them as seen from here. */
void inputs_task_lines(const struct task_source *source, const struct strv *lines, struct strv *out)
{
	for (size_t i = 0; i < lines->n; i++)
		if (begins(lines->v[i], source->overrides) || begins(lines->v[i], source->dir))
			strv_push(out, lines->v[i]);
		else
			strv_take(out, path_join(source->dir, lines->v[i]));
}

int inputs_check_start(const struct task *t, const struct task_source *source,
		       struct strv *problems, struct err *err)
{
	AUTO(strv) struct strv overlay = STRV_INIT;

	/* Of a remote one the start is not here yet. */
	if (!t->repo.start_commit || *t->repo.git_url != '/')
		return 0;
	task_overlay_paths(t, &overlay);
	if (!start_check(t->repo.git_url, t->repo.start_commit, &t->repo, &overlay,
			 clock_mono_ms() + CHECK_MS, err))
		return 0;
	strv_pushf(problems, "%s: %s", source->dir, err->msg);
	return -1;
}

/* What --exclude names by its folder is not run, whatever is wrong with it. */
static bool is_left_out(const struct config_request *req, const struct bench_entry *e)
{
	for (size_t i = 0; i < req->exclude.n; i++) {
		const char *pattern = req->exclude.v[i];
		if (!fnmatch(pattern, e->prepared_dir, 0) ||
		    !fnmatch(pattern, path_base(e->prepared_dir), 0))
			return true;
	}
	return false;
}

/* -1: the machine's fault, which every task would tell again. */
static int read_task(struct inputs *in, const struct task_source *source, struct bench_entry *e,
		     bool left_out, struct strv *problems, struct err *err)
{
	struct inputs_task *t = &in->tasks[in->tasks_n++];
	AUTO(strv) struct strv lines = STRV_INIT;

	t->source = *source;
	if (task_read(&t->task, source, &lines, err) == 0) {
		(void)!inputs_check_start(&t->task, source, problems, err);
		return 0;
	}
	if (!lines.n && err->kind == ERR_INFRA)
		return -1;
	if (!lines.n)
		strv_push(&lines, err->msg);
	if (left_out || inputs_refuse(e, lines.v[0]))
		task_stand_in(&t->task, source->dir);
	else
		inputs_task_lines(source, &lines, problems);
	return 0;
}

/* Another entry of a task that was refused is refused as well. */
static void take_refusal(const struct inputs *in, struct bench_entry *e, size_t task)
{
	for (const struct bench_entry *b = in->bench.entries; b < e; b++)
		if (b->refused && in->entry_task[b - in->bench.entries] == task) {
			(void)inputs_refuse(e, b->refused);
			return;
		}
}

/* Each distinct task once: a benchmark of 10,000 rollouts may name its folder in many entries. */
static int find_task(struct inputs *in, const struct config_request *req, struct bench_entry *e,
		     size_t *out, struct strv *problems, struct err *err)
{
	const struct task_source source = {e->task_path, e->overrides, e->apply_overrides};

	for (size_t i = 0; i < in->tasks_n; i++)
		if (same_source(&in->tasks[i].source, &source)) {
			*out = i;
			take_refusal(in, e, i);
			return 0;
		}
	*out = in->tasks_n;
	return read_task(in, &source, e, is_left_out(req, e), problems, err);
}

int inputs_read_tasks(struct inputs *in, const struct config_request *req, struct strv *problems,
		      struct err *err)
{
	struct bench *b = &in->bench;

	in->tasks = xcalloc(b->entries_n + 1, sizeof *in->tasks);
	in->entry_task = xcalloc(b->entries_n + 1, sizeof *in->entry_task);
	for (size_t i = 0; i < b->entries_n; i++)
		if (find_task(in, req, &b->entries[i], &in->entry_task[i], problems, err))
			return -1;
	return 0;
}

int inputs_snapshot(struct inputs_task *t, const struct store *s, struct err *err)
{
	if (t->snapshot || !task_snapshot(&t->task, &t->source, s->root_fd, &t->snapshot, err))
		return 0;
	return err_wrap(err, "%s", t->source.dir);
}

struct inputs_task *inputs_task_of(const struct inputs *in, const struct trial *t)
{
	for (size_t i = 0; i < in->tasks_n; i++)
		if (strcmp(in->tasks[i].task.hash, t->task_hash) == 0)
			return &in->tasks[i];
	bug("trial %d has no task", t->index);
}
