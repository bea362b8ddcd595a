/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "rollout/evaluation.h"
#include <dirent.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/path.h"
#include "base/text.h"
#include "core/datadir.h"

enum { VERSION = 1, DOC_MAX = 256 << 20, RESULT_MAX = 4 << 20 };

/* --- what is asked -------------------------------------------------------------------------------- */

/* A container is not kept, as a diff is: what was verified in it cannot be again. */
static bool is_asked(const struct evaluation_asked *a, const struct trial *t)
{
	if (trial_is_harbor(t))
		return false;
	if (!a->only || !a->only->n)
		return true;
	for (size_t i = 0; i < a->only->n; i++) {
		const char *glob = a->only->v[i];
		if (text_glob(glob, t->task_id) || text_glob(glob, t->task_dir) ||
		    text_glob(glob, path_base(t->task_dir)) || text_glob(glob, t->run_id))
			return true;
	}
	return false;
}

/* What is not asked for anew is kept, where there is something to keep. Ratings alone let both be. */
static void keep(struct sched_item *item, const struct session *s, const struct evaluation_asked *a)
{
	const struct trial_progress *p = &s->progress[item->index];
	const char *run = s->plan.trials[item->index].run_id;
	const bool again = a->ratings && !a->config && !a->judge_only && !a->tests_only;

	item->ratings = json_object_get(a->ratings, run);
	AUTO(free)
	char *path = datadir_attempt_file(run, p->result_attempt, ATTEMPT_EVALUATION);

	if (!progress_has_result(p) || !path_exists(s->store.root_fd, path))
		return;
	item->grades_from = p->result_attempt;
	item->keep_tests = a->judge_only || again;
	item->keep_judge = a->tests_only || again;
}

size_t evaluation_without(const struct session *s)
{
	size_t n = 0;

	for (size_t i = 0; i < s->plan.n; i++)
		n += trial_is_harbor(&s->plan.trials[i]);
	return n;
}

int evaluation_items(struct sched_item *items, size_t *n, size_t *asked, const struct session *s,
		     const struct evaluation_asked *a, struct err *err)
{
	size_t all = regrade_items(s, a->regrade, items), kept = 0;

	*asked = 0;
	for (size_t i = 0; i < s->plan.n; i++)
		*asked += regrade_asks(a->regrade, i) && is_asked(a, &s->plan.trials[i]);
	if (!*asked && evaluation_without(s) == s->plan.n && s->plan.n)
		return err_set(err, ERR_USAGE, 0,
			       "%s %s is of Harbor tasks alone: they are verified in the container "
			       "that their agent left, which is not kept, so that nothing can be "
			       "graded again; rollouts resume %s --rerun TASK runs trials anew",
			       s->plan.name, s->plan.stamp, s->plan.name);
	if (!*asked && a->only && a->only->n)
		return err_set(err, ERR_USAGE, 0,
			       "--only %s: no trial has a task, a folder or a run id like that",
			       a->only->v[0]);
	for (size_t i = 0; i < all; i++) {
		if (!is_asked(a, &s->plan.trials[items[i].index]))
			continue;
		items[kept] = items[i];
		keep(&items[kept++], s, a);
	}
	*n = kept;
	return 0;
}

/* The same question has the same answer: what tells one evaluation from another. */
static json_t *asked_doc(const struct session *s, const struct evaluation_asked *a)
{
	json_t *j = json_object();

	json_put_str(j, "verb", "eval");
	if (a->only)
		json_put_strv(j, "only", a->only);
	json_put_str(j, "graders", a->judge_only ? "judge" : a->tests_only ? "tests" : "all");
	json_put_str(j, "config", a->config);
	json_put(j, "judge", judge_to_json(&s->plan.judge));
	json_put(j, "ratings", a->ratings ? json_incref(a->ratings) : json_null());
	return j;
}

/* --- score lines ---------------------------------------------------------------------------------- */

static json_t *score_line(const struct session *s, size_t i)
{
	static const char *const members[] = {"outcome",     "total_score", "coverage",
					      "judge_score", "judge_model", "judge_prompt",
					      "task_hash"};
	const struct trial *t = &s->plan.trials[i];
	const int attempt = s->progress[i].result_attempt;
	AUTO(free) char *path = datadir_attempt_file(t->run_id, attempt, ATTEMPT_RESULT);
	AUTO(buf) struct buf text = BUF_INIT;
	AUTO(json) json_t *result = NULL;
	json_t *j = json_object(), *v;
	struct err ignored;

	json_put_int(j, "v", VERSION);
	json_put_str(j, "run_id", t->run_id);
	json_put_str(j, "task_id", t->task_id);
	json_put_int(j, "attempt", attempt);
	if (!attempt || path_read_beneath(s->store.root_fd, path, RESULT_MAX, &text, &ignored) ||
	    json_parse(&result, text.data, text.len, path, &ignored))
		return j;
	for (size_t k = 0; k < ARRAY_SIZE(members); k++)
		if ((v = json_object_get(result, members[k])))
			json_object_set(j, members[k], v);
	v = json_object_get(json_array_get(json_object_get(result, "steps"), 0), "grades");
	if (v)
		json_object_set(j, "grades", v);
	return j;
}

static json_t *score_lines(const struct session *s)
{
	json_t *list = json_array();

	for (size_t i = 0; i < s->plan.n; i++)
		json_array_append_new(list, score_line(s, i));
	return list;
}

static int write_lines(int dir_fd, int number, const char *name, const json_t *list,
		       struct err *err)
{
	AUTO(free) char *path = xasprintf(ROLLOUT_EVALUATIONS "/%d/%s", number, name);
	AUTO(buf) struct buf text = BUF_INIT;
	size_t i;
	json_t *j;

	json_array_foreach ((json_t *)list, i, j) {
		json_format(&text, j, false);
		buf_addc(&text, '\n');
	}
	return path_write(dir_fd, path, text.data, text.len, 0644, true, err);
}

static int read_lines(int dir_fd, int number, const char *name, json_t **out, struct err *err)
{
	AUTO(free) char *path = xasprintf(ROLLOUT_EVALUATIONS "/%d/%s", number, name);
	AUTO(buf) struct buf text = BUF_INIT;

	*out = json_array();
	if (path_read(dir_fd, path, DOC_MAX, &text, err))
		return -1;
	for (char *line = text.data, *end; *line; line = *end ? end + 1 : end) {
		json_t *j = NULL;
		end = strchrnul(line, '\n');
		if (json_parse(&j, line, (size_t)(end - line), path, err))
			return -1;
		json_array_append_new(*out, j);
	}
	return 0;
}

/* --- one after the other -------------------------------------------------------------------------- */

static int last_number(int dir_fd)
{
	AUTO(fd) int fd = openat(dir_fd, ROLLOUT_EVALUATIONS,
				 O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	int last = 0;

	if (!dir)
		return 0;
	(void)fd_steal(&fd);
	for (struct dirent *e; (e = readdir(dir));) {
		int n = (int)strtol(e->d_name, NULL, 10);
		last = n > last ? n : last;
	}
	closedir(dir);
	return last;
}

static char *doc_path(int number)
{
	return xasprintf(ROLLOUT_EVALUATIONS "/%d/evaluation.json", number);
}

static int write_doc(int dir_fd, int number, const json_t *doc, struct err *err)
{
	AUTO(free) char *path = doc_path(number);

	return json_write(dir_fd, path, doc, true, err);
}

static void put_time(json_t *doc, const char *name)
{
	char now[CLOCK_STAMP + 8];

	clock_iso(clock_wall_ms(), now);
	json_put_str(doc, name, now);
}

static json_t *new_doc(int number, json_t *asked_take)
{
	json_t *doc = json_object();

	json_put_int(doc, "v", VERSION);
	json_put_int(doc, "number", number);
	json_put_str(doc, "state", "running");
	put_time(doc, "begun_at");
	json_put(doc, "asked", asked_take);
	return doc;
}

static int make_folder(int dir_fd, int number, struct err *err)
{
	AUTO(free) char *path = xasprintf(ROLLOUT_EVALUATIONS "/%d", number);

	return path_make_dirs(dir_fd, path, 0755, err);
}

/* What the run itself came to, once somebody asks for something else. */
static int write_first(const struct session *s, const json_t *lines, struct err *err)
{
	AUTO(json) json_t *doc = new_doc(1, json_pack("{s:s}", "verb", "run"));

	json_put_str(doc, "state", "complete");
	json_put(doc, "judge", judge_to_json(&s->plan.judge));
	return make_folder(s->dir_fd, 1, err) ||
			       write_lines(s->dir_fd, 1, "scores.jsonl", lines, err) ||
			       write_doc(s->dir_fd, 1, doc, err)
		       ? -1
		       : 0;
}

/* Whether the last one was cut short, and is the one that is asked for now. */
static bool goes_on(struct evaluation_run *e, const struct session *s, const json_t *asked)
{
	AUTO(free) char *path = doc_path(e->number);
	struct err ignored;

	if (e->number < 2 || json_read(&e->doc, s->dir_fd, path, DOC_MAX, &ignored))
		return false;
	if (strcmp(json_get_str(e->doc, "state", ""), "running") == 0 &&
	    json_equal(json_object_get(e->doc, "asked"), asked) &&
	    !read_lines(s->dir_fd, e->number, "before.jsonl", &e->before, &ignored))
		return true;
	json_decref(STEAL(&e->doc));
	return false;
}

/* Those that were graded since it began are left alone. */
static void take_done(struct evaluation_run *e, const struct session *s, struct sched_item *items,
		      size_t *n, bool *ok)
{
	const json_t *attempts = json_object_get(e->doc, "attempts");
	size_t kept = 0;

	for (size_t i = 0; i < *n; i++) {
		const struct trial *t = &s->plan.trials[items[i].index];
		const struct trial_progress *p = &s->progress[items[i].index];
		int64_t before = json_get_int(attempts, t->run_id, p->attempts);

		if (progress_has_result(p) && p->result_attempt > before) {
			ok[items[i].index] = true;
			e->done++;
		} else {
			items[kept++] = items[i];
		}
	}
	*n = kept;
}

static json_t *attempts_now(const struct session *s, const struct sched_item *items, size_t n)
{
	json_t *j = json_object();

	for (size_t i = 0; i < n; i++)
		json_put_int(j, s->plan.trials[items[i].index].run_id,
			     s->progress[items[i].index].attempts);
	return j;
}

int evaluation_begin(struct evaluation_run *out, const struct session *s,
		     const struct evaluation_asked *a, struct sched_item *items, size_t *n,
		     bool *ok, struct err *err)
{
	AUTO(json) json_t *asked = asked_doc(s, a);

	*out = (struct evaluation_run){.number = last_number(s->dir_fd)};
	if (goes_on(out, s, asked)) {
		take_done(out, s, items, n, ok);
		return 0;
	}
	json_decref(out->before);
	out->before = score_lines(s);
	if (!out->number && write_first(s, out->before, err))
		return -1;
	out->number = out->number ? out->number + 1 : 2;
	out->doc = new_doc(out->number, json_incref(asked));
	json_put(out->doc, "attempts", attempts_now(s, items, *n));
	if (make_folder(s->dir_fd, out->number, err) ||
	    write_lines(s->dir_fd, out->number, "before.jsonl", out->before, err))
		return -1;
	return write_doc(s->dir_fd, out->number, out->doc, err);
}

int evaluation_end(struct evaluation_run *e, const struct session *s, bool complete, json_t **after,
		   struct err *err)
{
	*after = score_lines(s);
	if (complete) {
		json_put_str(e->doc, "state", "complete");
		put_time(e->doc, "ended_at");
	}
	return write_lines(s->dir_fd, e->number, "scores.jsonl", *after, err) ||
			       write_doc(s->dir_fd, e->number, e->doc, err)
		       ? -1
		       : 0;
}

void evaluation_run_release(struct evaluation_run *e)
{
	json_decref(e->doc);
	json_decref(e->before);
}
