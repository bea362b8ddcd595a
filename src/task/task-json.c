/* SPDX-License-Identifier: GPL-3.0-or-later
 * task.json of a snapshot. */
#include <string.h>
#include "base/cleanup.h"
#include "base/json.h"
#include "base/mem.h"
#include "task/files.h"

#define TASK_JSON_VERSION 2

static json_t *repo_to_json(const struct task_repo *repo)
{
	json_t *j = json_object();

	json_put_str(j, "git_url", repo->git_url);
	json_put_str(j, "branch", repo->branch);
	json_put_str(j, "start_commit", repo->start_commit);
	json_put_str(j, "end_commit", repo->end_commit);
	json_put_str(j, "subdir", repo->subdir);
	json_put_strv(j, "sparse", &repo->sparse);
	json_put_strv(j, "remove", &repo->remove);
	if (repo->submodules)
		json_put_bool(j, "submodules", true);
	return j;
}

static json_t *rubrics_to_json(const struct task_step *t)
{
	json_t *list = json_array();

	for (size_t i = 0; i < t->rubrics_n; i++) {
		const struct task_rubric *rubric = &t->rubrics[i];
		json_t *j = json_object();
		json_put_str(j, "id", rubric->id);
		json_put_str(j, "criterion", rubric->criterion);
		json_put_real(j, "weight", rubric->weight);
		if (rubric->binary)
			json_put_bool(j, "binary", true);
		json_put(j, "criteria",
			 rubric->criteria ? json_incref(rubric->criteria) : json_null());
		json_array_append_new(list, j);
	}
	return list;
}

static json_t *tests_to_json(const struct task_step *t)
{
	json_t *list = json_array();

	for (size_t i = 0; i < t->tests_n; i++) {
		const struct task_test *test = &t->tests[i];
		json_t *j = json_object();
		json_put_str(j, "path", test->path);
		json_put_str(j, "rubric_id", test->rubric_id);
		json_put_strn(j, "content", test->content, test->content_len);
		json_put_str(j, "command", test->command);
		json_put_int(j, "timeout_ms", test->timeout_ms);
		if (test->partial_credit)
			json_put_bool(j, "partial_credit", true);
		if (test->tracing)
			json_put_bool(j, "tracing", true);
		json_array_append_new(list, j);
	}
	return list;
}

static json_t *step_to_json(const struct task_step *s)
{
	json_t *j = json_object();

	json_put_str(j, "name", s->name);
	json_put_str(j, "instruction", s->instruction);
	if (s->follow_ups.n)
		json_put_strv(j, "follow_ups", &s->follow_ups);
	if (s->images.n)
		json_put_strv(j, "images", &s->images);
	json_put(j, "rubrics", rubrics_to_json(s));
	json_put(j, "tests", tests_to_json(s));
	return j;
}

json_t *task_to_json(const struct task *t)
{
	json_t *j = json_object(), *steps = json_array();

	json_put_int(j, "v", TASK_JSON_VERSION);
	json_put_str(j, "hash", t->hash);
	json_put_str(j, "id", t->id);
	json_put_str(j, "title", t->title);
	json_put(j, "tags", t->tags ? json_incref(t->tags) : json_null());
	if (t->difficulty)
		json_put_str(j, "difficulty", t->difficulty);
	if (t->cluster)
		json_put_str(j, "cluster", t->cluster);
	json_put(j, "layout", task_layout_to_json(&t->layout));
	json_put(j, "repo", repo_to_json(&t->repo));
	for (size_t i = 0; i < t->steps_n; i++)
		json_array_append_new(steps, step_to_json(&t->steps[i]));
	json_put(j, "steps", steps);
	json_put(j, "env", kvs_to_json(&t->env));
	json_put_bool(j, "has_gold", t->has_gold);
	if (t->around)
		json_put(j, "around", json_incref(t->around));
	if (t->harbor)
		json_put(j, "harbor", json_incref(t->harbor));
	if (t->docker_image)
		json_put_str(j, "docker_image", t->docker_image);
	return j;
}

static char *copy_str(const json_t *j, const char *key)
{
	return xstrdup(json_get_str(j, key, NULL));
}

static int need_copy(char **out, const json_t *j, const char *key, const char *where,
		     struct err *err)
{
	const char *s;

	if (json_need_str(j, key, where, &s, err))
		return -1;
	*out = xstrdup(s);
	return 0;
}

static void strv_from_json(struct strv *out, const json_t *list)
{
	size_t i;
	json_t *item;

	json_array_foreach ((json_t *)list, i, item)
		if (json_is_string(item))
			strv_push(out, json_string_value(item));
}

static int repo_from_json(struct task_repo *repo, const json_t *j, const char *where,
			  struct err *err)
{
	if (need_copy(&repo->git_url, j, "git_url", where, err))
		return -1;
	repo->branch = copy_str(j, "branch");
	repo->start_commit = copy_str(j, "start_commit");
	repo->end_commit = copy_str(j, "end_commit");
	repo->subdir = copy_str(j, "subdir");
	strv_from_json(&repo->sparse, json_object_get(j, "sparse"));
	strv_from_json(&repo->remove, json_object_get(j, "remove"));
	repo->submodules = json_get_bool(j, "submodules", false);
	return 0;
}

static int rubrics_from_json(struct task_step *t, const json_t *list, const char *where,
			     struct err *err)
{
	size_t i;
	json_t *j;

	t->rubrics = xcalloc(json_array_size(list) + 1, sizeof *t->rubrics);
	json_array_foreach ((json_t *)list, i, j) {
		struct task_rubric *rubric = &t->rubrics[t->rubrics_n++];
		json_t *criteria = json_object_get(j, "criteria");
		if (need_copy(&rubric->id, j, "id", where, err) ||
		    need_copy(&rubric->criterion, j, "criterion", where, err))
			return -1;
		rubric->weight = json_get_real(j, "weight", 0);
		rubric->criteria = json_is_array(criteria) ? json_incref(criteria) : NULL;
		rubric->binary = json_get_bool(j, "binary", false);
	}
	return 0;
}

static int tests_from_json(struct task_step *t, const json_t *list, const char *where,
			   struct err *err)
{
	size_t i;
	json_t *j;

	t->tests = xcalloc(json_array_size(list) + 1, sizeof *t->tests);
	json_array_foreach ((json_t *)list, i, j) {
		struct task_test *test = &t->tests[t->tests_n++];
		const json_t *content = json_object_get(j, "content");
		if (need_copy(&test->path, j, "path", where, err) ||
		    need_copy(&test->rubric_id, j, "rubric_id", where, err))
			return -1;
		if (!json_is_string(content))
			return err_set(err, ERR_USAGE, 0, "%s: \"content\" is missing", where);
		test->content_len = json_string_length(content);
		test->content = xmalloc(test->content_len + 1);
		memcpy(test->content, json_string_value(content), test->content_len + 1);
		test->command = copy_str(j, "command");
		test->timeout_ms = json_get_int(j, "timeout_ms", 0);
		test->partial_credit = json_get_bool(j, "partial_credit", false);
		test->tracing = json_get_bool(j, "tracing", false);
	}
	return 0;
}

static int step_from_json(struct task_step *s, const json_t *j, const char *where, struct err *err)
{
	s->name = xstrdup(json_get_str(j, "name", ""));
	strv_from_json(&s->follow_ups, json_object_get(j, "follow_ups"));
	strv_from_json(&s->images, json_object_get(j, "images"));
	return need_copy(&s->instruction, j, "instruction", where, err) ||
			       rubrics_from_json(s, json_object_get(j, "rubrics"), where, err) ||
			       tests_from_json(s, json_object_get(j, "tests"), where, err)
		       ? -1
		       : 0;
}

/* Version 1 has no steps: the members of the only one stand in the document itself. */
static int steps_from_json(struct task *t, const json_t *doc, const char *where, struct err *err)
{
	const json_t *list = json_object_get(doc, "steps");
	size_t n = list ? json_array_size(list) : 1;

	if (!n)
		return err_set(err, ERR_USAGE, 0, "%s: \"steps\" is empty", where);
	t->steps = xcalloc(n, sizeof *t->steps);
	while (t->steps_n < n) {
		const json_t *j = list ? json_array_get(list, t->steps_n) : doc;
		if (step_from_json(&t->steps[t->steps_n++], j, where, err))
			return -1;
	}
	return 0;
}

static int check_version(const json_t *j, const char *where, struct err *err)
{
	int64_t v;

	if (json_need_int(j, "v", where, &v, err))
		return -1;
	if (v > TASK_JSON_VERSION)
		return err_set(err, ERR_USAGE, 0, "%s: written by a newer version (format %d)",
			       where, (int)v);
	return 0;
}

int task_from_json(struct task *t, const json_t *j, const char *where, struct err *err)
{
	const char *hash;
	const json_t *tags = json_object_get(j, "tags");

	if (check_version(j, where, err) || json_need_str(j, "hash", where, &hash, err) ||
	    need_copy(&t->id, j, "id", where, err) ||
	    need_copy(&t->title, j, "title", where, err) ||
	    task_layout_from_json(&t->layout, json_object_get(j, "layout"), where, err) ||
	    repo_from_json(&t->repo, json_object_get(j, "repo"), where, err) ||
	    steps_from_json(t, j, where, err))
		return -1;
	if (strlen(hash) != HASH_HEX - 1)
		return err_set(err, ERR_USAGE, 0, "%s: \"hash\" is damaged", where);
	memcpy(t->hash, hash, HASH_HEX);
	t->tags = json_is_array(tags) ? json_incref((json_t *)tags) : NULL;
	kvs_from_json(&t->env, json_object_get(j, "env"));
	t->cluster = copy_str(j, "cluster");
	t->difficulty = copy_str(j, "difficulty");
	snprintf(t->trees, sizeof t->trees, "%s", json_get_str(j, "trees", ""));
	t->around = json_incref(json_object_get(j, "around"));
	const json_t *harbor = json_object_get(j, "harbor");
	t->harbor = json_is_object(harbor) ? json_incref((json_t *)harbor) : NULL;
	t->docker_image = copy_str(j, "docker_image");
	t->has_gold = json_get_bool(j, "has_gold", false);
	return 0;
}
