/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "rollout/ratings.h"
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include "base/cleanup.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/path.h"

enum { RATINGS_MAX = 64 << 20 };

struct reading {
	const char *path;
	const struct session *s;
	struct strv *problems;
	size_t line;
	json_t *out;
	json_t *trials;	 /* run id -> index in the plan */
	json_t *rubrics; /* task snapshot -> {rubric id: null} */
};

static void complain(struct reading *r, const char *what, const char *word)
{
	strv_pushf(r->problems, "%s:%zu: %s%s%.100s%s", r->path, r->line, what, word ? " \"" : "",
		   word ? word : "", word ? "\"" : "");
}

static int load_rubrics(struct reading *r, const struct trial *t, json_t **out, struct err *err)
{
	struct task task = {0};
	json_t *ids = json_object_get(r->rubrics, t->task_snapshot);

	if (!ids) {
		if (task_load(&task, r->s->store.root_fd, t->task_snapshot, err))
			return err_wrap(err, "task %s", t->task_id);
		ids = json_object();
		for (size_t k = 0; k < task.steps_n; k++)
			for (size_t i = 0; i < task.steps[k].rubrics_n; i++)
				json_put(ids, task.steps[k].rubrics[i].id, json_null());
		json_put(r->rubrics, t->task_snapshot, ids);
		task_release(&task);
	}
	*out = ids;
	return 0;
}

static int add(struct reading *r, const json_t *j, struct err *err)
{
	const char *run = json_get_str(j, "run_id", ""), *id = json_get_str(j, "rubric_id", "");
	const json_t *score = json_object_get(j, "score"), *index = json_object_get(r->trials, run);
	double v = json_number_value(score);
	json_t *ids = NULL, *list = json_object_get(r->out, run);

	if (!index) {
		complain(r, "no trial of this rollout has the run_id", run);
		return 0;
	}
	if (load_rubrics(r, &r->s->plan.trials[json_integer_value(index)], &ids, err))
		return -1;
	if (!json_object_get(ids, id)) {
		complain(r, "the task of this run has no rubric", id);
	} else if (!json_is_number(score) || !(v >= 0 && v <= 1)) {
		complain(r, "\"score\" is not a number from 0 to 1", NULL);
	} else {
		json_t *one = json_object();
		json_put_str(one, "rubric_id", id);
		json_put_real(one, "score", v);
		json_put_str(one, "rater", json_get_str(j, "rater", NULL));
		if (!list) {
			list = json_array();
			json_put(r->out, run, list);
		}
		json_array_append_new(list, one);
	}
	return 0;
}

/* --- comma-separated values ------------------------------------------------------------------------- */

/* The fields of one record, RFC 4180; *TEXT moves behind it. */
static void read_record(const char **text, struct strv *out, size_t *lines)
{
	const char *p = *text;
	AUTO(buf) struct buf field = BUF_INIT;
	bool quoted = false;

	for (;; p++) {
		if (quoted && *p == '"' && p[1] == '"') {
			buf_addc(&field, *p++);
		} else if (*p == '"' && (quoted || !field.len)) {
			quoted = !quoted;
		} else if (*p && (quoted || (*p != ',' && *p != '\n' && *p != '\r'))) {
			*lines += *p == '\n';
			buf_addc(&field, *p);
		} else if (*p != '\r') {
			strv_push(out, field.data);
			buf_reset(&field);
			if (*p != ',')
				break;
		}
	}
	*lines += *p == '\n';
	*text = *p ? p + 1 : p;
}

static json_t *record_object(const struct strv *names, const struct strv *fields)
{
	json_t *j = json_object();

	for (size_t i = 0; i < names->n && i < fields->n; i++) {
		char *end;
		double v = strtod(fields->v[i], &end);

		if (strcmp(names->v[i], "score") == 0 && *fields->v[i] && !*end)
			json_put_real(j, "score", v);
		else
			json_put_str(j, names->v[i], fields->v[i]);
	}
	return j;
}

static int read_csv(struct reading *r, const char *text, struct err *err)
{
	AUTO(strv) struct strv names = STRV_INIT;
	size_t lines = 1;
	int rc = 0;

	r->line = 1;
	read_record(&text, &names, &lines);
	if (!strv_has(&names, "run_id") || !strv_has(&names, "rubric_id") ||
	    !strv_has(&names, "score"))
		complain(r,
			 "the first line names the columns, among them run_id, rubric_id and score",
			 NULL);
	while (*text && !r->problems->n && !rc) {
		AUTO(strv) struct strv fields = STRV_INIT;
		r->line = lines;
		read_record(&text, &fields, &lines);
		AUTO(json) json_t *j = record_object(&names, &fields);
		if (fields.n > 1 || *fields.v[0])
			rc = add(r, j, err);
	}
	return rc;
}

static int read_lines(struct reading *r, const char *text, struct err *err)
{
	int rc = 0;

	for (const char *end; *text && !rc; text = *end ? end + 1 : end) {
		AUTO(json) json_t *j = NULL;
		struct err why;

		end = strchrnul(text, '\n');
		r->line++;
		if (strspn(text, " \t\r") == (size_t)(end - text))
			continue;
		if (json_parse(&j, text, (size_t)(end - text), "", &why) || !json_is_object(j))
			complain(r, "not a JSON object", NULL);
		else
			rc = add(r, j, err);
	}
	return rc;
}

int ratings_read(json_t **out, const char *path, const struct session *s, struct strv *problems,
		 struct err *err)
{
	AUTO(fd) int fd = open(path, O_RDONLY | O_CLOEXEC);
	AUTO(buf) struct buf text = BUF_INIT;
	AUTO(json) json_t *trials = json_object();
	AUTO(json) json_t *rubrics = json_object();
	struct reading r = {.path = path,
			    .s = s,
			    .problems = problems,
			    .out = json_object(),
			    .trials = trials,
			    .rubrics = rubrics};

	*out = r.out;
	if (fd < 0 || path_read_fd(fd, RATINGS_MAX, &text, err) < 0)
		return err_set(err, ERR_USAGE, errno, "%s: cannot be read", path);
	for (size_t i = 0; i < s->plan.n; i++)
		json_put_int(trials, s->plan.trials[i].run_id, (int64_t)i);
	int rc = text.data[strspn(text.data, " \t\r\n")] == '{' ? read_lines(&r, text.data, err)
								: read_csv(&r, text.data, err);
	if (!rc && problems->n)
		return err_set(err, ERR_USAGE, 0, "%s: %zu mistakes", path, problems->n);
	if (!rc && !json_object_size(*out))
		return err_set(err, ERR_USAGE, 0, "%s: holds no rating", path);
	return rc;
}
