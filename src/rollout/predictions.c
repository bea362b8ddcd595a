/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "rollout/predictions.h"
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include "base/cleanup.h"
#include "base/hash.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/path.h"
#include "core/datadir.h"
#include "core/event.h"
#include "core/result.h"
#include "os/user.h"
#include "store/rundir.h"

enum { FILE_MAX = 1 << 30, TOLD_MAX = 5 };

/* Its number among those of the same task and model. */
static int count_earlier(const struct predictions *p, const char *task, const char *model)
{
	int n = 0;

	for (size_t i = 0; i < p->n; i++)
		n += !strcmp(p->v[i].task, task) && !strcmp(p->v[i].model, model);
	return n;
}

static void add(struct predictions *p, const json_t *j, const char *where, struct strv *problems)
{
	const char *task = json_get_str(j, "instance_id", NULL);
	const char *model = json_get_str(j, "model_name_or_path", NULL);
	const json_t *patch = json_object_get(j, "model_patch");

	if (!task || !*task || !model || !*model ||
	    (patch && !json_is_null(patch) && !json_is_string(patch))) {
		strv_pushf(problems,
			   "%s: a prediction has the texts instance_id, model_name_or_path and "
			   "model_patch",
			   where);
		return;
	}
	const int rollout = count_earlier(p, task, model);
	GROW(p->v, p->n, p->cap);
	p->v[p->n++] = (struct prediction){
		.task = xstrdup(task),
		.model = xstrdup(model),
		.patch = json_is_string(patch)
				 ? xstrndup(json_string_value(patch), json_string_length(patch))
				 : NULL,
		.patch_len = json_is_string(patch) ? json_string_length(patch) : 0,
		.rollout = rollout,
	};
	if (!strv_has(&p->models, model))
		strv_push(&p->models, model);
	if (rollout >= p->rollouts)
		p->rollouts = rollout + 1;
}

static void add_lines(struct predictions *p, const char *path, const struct buf *text,
		      struct strv *problems)
{
	const char *end = text->data + text->len, *next;
	size_t number = 0;

	for (const char *at = text->data; at < end; at = next) {
		const char *newline = memchr(at, '\n', (size_t)(end - at));
		AUTO(json) json_t *j = NULL;
		AUTO(free) char *where = xasprintf("%s:%zu", path, ++number);
		struct err err;
		next = newline ? newline + 1 : end;
		size_t n = (size_t)((newline ? newline : end) - at);
		if (strspn(at, " \t\r") >= n)
			continue;
		if (json_parse(&j, at, n, where, &err))
			strv_push(problems, err.msg);
		else
			add(p, j, where, problems);
	}
}

/* A list, or {instance: prediction}; NULL: neither, but lines. */
static json_t *whole_document(const struct buf *text)
{
	struct err none;
	json_t *j = NULL;

	if (json_parse(&j, text->data, text->len, "predictions", &none))
		return NULL;
	if (json_is_object(j) && json_object_get(j, "instance_id")) {
		json_decref(j);
		return NULL; /* one line */
	}
	return j;
}

int predictions_read(struct predictions *out, const char *path, struct strv *problems,
		     struct err *err)
{
	AUTO(buf) struct buf text = BUF_INIT;
	const size_t before = problems->n;
	const char *key;
	json_t *one;
	size_t i;

	*out = (struct predictions){.models = STRV_INIT};
	if (path_read(AT_FDCWD, path, FILE_MAX, &text, err)) {
		err->kind = ERR_USAGE;
		return err_wrap(err, "--predictions");
	}
	AUTO(json) json_t *j = whole_document(&text);
	if (!j)
		add_lines(out, path, &text, problems);
	json_array_foreach (j, i, one) {
		AUTO(free) char *where = xasprintf("%s: number %zu", path, i + 1);
		add(out, one, where, problems);
	}
	json_object_foreach (j, key, one) {
		AUTO(free) char *where = xasprintf("%s: %.100s", path, key);
		if (json_is_object(one) && !json_object_get(one, "instance_id"))
			json_put_str(one, "instance_id", key);
		add(out, one, where, problems);
	}
	if (problems->n > before)
		return err_set(err, ERR_USAGE, 0, "%s: not all of it are predictions", path);
	return out->n ? 0 : err_set(err, ERR_USAGE, 0, "%s holds no prediction", path);
}

void predictions_release(struct predictions *p)
{
	for (size_t i = 0; i < p->n; i++) {
		free(p->v[i].task);
		free(p->v[i].model);
		free(p->v[i].patch);
	}
	free(p->v);
	strv_release(&p->models);
	*p = (struct predictions){.models = STRV_INIT};
}

static struct prediction *find(const struct predictions *p, const struct trial *t)
{
	for (size_t i = 0; i < p->n; i++)
		if (!strcmp(p->v[i].task, t->task_id) && !strcmp(p->v[i].model, t->model) &&
		    p->v[i].rollout == t->rollout)
			return &p->v[i];
	return NULL;
}

static bool is_planned(const struct inputs *in, const char *task)
{
	for (size_t i = 0; i < in->plan.n; i++)
		if (!strcmp(in->plan.trials[i].task_id, task))
			return true;
	return false;
}

static void note_unused(const struct predictions *p, struct strv *notes)
{
	size_t unused = 0, empty = 0;

	for (size_t i = 0; i < p->n; i++) {
		empty += !p->v[i].patch;
		if (!p->v[i].patch || p->v[i].used)
			continue;
		if (unused++ < TOLD_MAX)
			strv_pushf(notes, "no task of this benchmark is \"%.100s\": left out",
				   p->v[i].task);
	}
	if (unused > TOLD_MAX)
		strv_pushf(notes, "%zu predictions in all are of no task here", unused);
	if (empty)
		strv_pushf(notes, "predictions without a patch (null), left out: %zu", empty);
}

static void note_without(const struct inputs *in, struct strv *notes)
{
	size_t without = 0;
	const char *first = NULL;

	for (size_t i = 0; i < in->tasks_n; i++)
		if (!is_planned(in, in->tasks[i].task.id)) {
			first = first ? first : in->tasks[i].task.id;
			without++;
		}
	if (without)
		strv_pushf(notes, "tasks that no prediction is of, in no mean: %zu of %zu (%s%s)",
			   without, in->tasks_n, first, without > 1 ? ", ..." : "");
}

int predictions_choose(struct inputs *in, struct predictions *p, struct strv *notes,
		       struct err *err)
{
	size_t kept = 0;

	for (size_t i = 0; i < in->plan.n; i++) {
		struct trial *t = &in->plan.trials[i];
		struct prediction *of = find(p, t);
		if (!of || !of->patch || of->used) {
			trial_release(t);
			continue;
		}
		of->used = true;
		in->plan.trials[kept] = *t;
		in->plan.trials[kept].index = (int)kept;
		kept++;
	}
	in->plan.n = kept;
	note_unused(p, notes);
	note_without(in, notes);
	return kept ? 0
		    : err_set(err, ERR_USAGE, 0, "no prediction is of a task of this benchmark");
}

static int64_t count_lines(const struct prediction *p)
{
	int64_t n = 0;

	for (const char *at = p->patch; *at; at += strcspn(at, "\n"), at += *at == '\n')
		n += (*at == '+' && strncmp(at, "+++ ", 4) != 0) ||
		     (*at == '-' && strncmp(at, "--- ", 4) != 0);
	return n;
}

static void describe(struct agent_record *a, const struct prediction *p, const struct buf *patch)
{
	*a = (struct agent_record){.outcome = OUTCOME_COMPLETED,
				   .exit_status = -1,
				   .diff_files = -1,
				   .metrics = agent_metrics_unknown,
				   .diff_bytes = (int64_t)patch->len,
				   .diff_lines = count_lines(p)};
	hash_once(patch->data, patch->len, a->digest);
}

static int write_work(const struct session *s, const struct trial *t, const struct prediction *p,
		      struct err *err)
{
	AUTO(free) char *dir = datadir_attempt(t->run_id, 1);
	AUTO(buf) struct buf patch = BUF_INIT;
	struct agent_record record;

	buf_add(&patch, p->patch, p->patch_len);
	/* Who strips a text takes its last line's end. */
	if (patch.len && patch.data[patch.len - 1] != '\n')
		buf_addc(&patch, '\n');
	describe(&record, p, &patch);
	AUTO(json) json_t *j = agent_record_to_json(&record);
	AUTO(fd)
	int fd = path_open_beneath(s->store.root_fd, dir, O_RDONLY | O_DIRECTORY, 0, err);
	return fd < 0 || path_write(fd, ATTEMPT_DIFF, patch.data, patch.len, 0644, true, err) ||
			       json_write(fd, ATTEMPT_AGENT, j, true, err)
		       ? -1
		       : 0;
}

static int commit(struct session *s, size_t i, const struct prediction *p, struct err *err)
{
	const struct trial *t = &s->plan.trials[i];
	const struct attempt a = {
		.trial = *t,
		.rollout_id = s->plan.id,
		.number = 1,
		.agent_spec = json_object_get(s->plan.agents, t->agent),
		.tools = s->plan.tools,
		.bench = s->plan.name,
		.uid = s->plan.uid_base && user_may_change() ? s->plan.uid_base + (uid_t)t->index
							     : 0,
	};

	journal_add(s->journal, EVENT_STARTED, t, 1, json_object());
	progress_apply(&s->progress[i], EVENT_STARTED, 1, NULL);
	if (rundir_make(s->store.root_fd, &a, err) || write_work(s, t, p, err))
		return err_wrap(err, "import %s", t->task_id);
	journal_add(s->journal, EVENT_AGENT_DONE, t, 1, json_object());
	progress_apply(&s->progress[i], EVENT_AGENT_DONE, 1, NULL);
	return 0;
}

int predictions_commit(struct session *s, const struct predictions *p, struct err *err)
{
	for (size_t i = 0; i < s->plan.n; i++)
		if (commit(s, i, find(p, &s->plan.trials[i]), err))
			return -1;
	return journal_flush(s->journal, err);
}
