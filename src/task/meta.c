/* SPDX-License-Identifier: GPL-3.0-or-later
 * tb_meta.json: the shapes of today, of older files, and of other writers, into one normal form. */
#include <string.h>
#include "base/cleanup.h"
#include "base/json.h"
#include "base/mem.h"
#include "task/resolved.h"

static const struct member meta_members[] = {
	{"task_id", SHAPE_STRING},
	{"metadata", SHAPE_OBJECT},
	{"repo", SHAPE_OBJECT},
	{"lm", SHAPE_OBJECT},
	{"evaluation", SHAPE_OBJECT},
	/* Other writers' names for the same. */
	{"id", SHAPE_STRING},
	{"title", SHAPE_STRING},
	{"tags", SHAPE_STRINGS},
	{"cluster", SHAPE_STRING},
	{"start_commit", SHAPE_STRING},
	{"end_commit", SHAPE_STRING},
	{"docker_image", SHAPE_STRING},
	{"mcp", SHAPE_OBJECT},
	{"services", SHAPE_OBJECT},
	{NULL, 0},
};

static const struct member metadata_members[] = {
	{"title", SHAPE_STRING},
	{"tags", SHAPE_STRINGS},
	{"cluster", SHAPE_STRING},
	{NULL, 0},
};

static const struct member lm_members[] = {
	{"instructions", SHAPE_STRING},
	{"follow_ups", SHAPE_STRINGS},
	{"images", SHAPE_STRINGS},
	{NULL, 0},
};

static const struct member evaluation_members[] = {
	{"rubrics", SHAPE_OBJECTS},	{"test_scripts", SHAPE_OBJECTS},
	{"content_rubric", SHAPE_LIST}, {"location_rubric", SHAPE_LIST},
	{"clarity_rubric", SHAPE_LIST}, {NULL, 0},
};

/* What rubrics of the older shape stand for. */
static const struct {
	const char *id, *criterion;
	double weight;
} default_rubrics[] = {
	{"task_completion", "The task is done as its instructions ask", 0.4},
	{"code_quality", "The code is sound, readable and fits its surroundings", 0.3},
	{"testing", "The change is covered by fitting tests that pass", 0.3},
};

static const struct at *const top = NULL;

/* The first of these places that has a value goes to KEY. */
struct origin {
	const char *key;   /* of the normal form */
	const char *inner; /* or NULL */
	const char *group; /* member of the document, or NULL for the document itself */
	const char *name;
};

static const struct origin origins[] = {
	{"id", NULL, NULL, "task_id"},
	{"id", NULL, NULL, "id"},
	{"title", NULL, "metadata", "title"},
	{"title", NULL, NULL, "title"},
	{"tags", NULL, "metadata", "tags"},
	{"tags", NULL, NULL, "tags"},
	{"difficulty", NULL, "metadata", "difficulty"},
	{"difficulty", NULL, NULL, "difficulty"},
	{"cluster", NULL, "metadata", "cluster"},
	{"cluster", NULL, NULL, "cluster"},
	{"instruction", NULL, "lm", "instructions"},
	{"follow_ups", NULL, "lm", "follow_ups"},
	{"images", NULL, "lm", "images"},
	{"mcp", NULL, NULL, "mcp"},
	{"services", NULL, NULL, "services"},
	{"docker_image", NULL, NULL, "docker_image"},
	{"repo", "git_url", "repo", "git_url"},
	{"repo", "branch", "repo", "branch"},
	{"repo", "start_commit_sha", "repo", "start_commit_sha"},
	{"repo", "start_commit_sha", NULL, "start_commit"},
	{"repo", "end_commit_sha", "repo", "end_commit_sha"},
	{"repo", "end_commit_sha", NULL, "end_commit"},
	{"repo", "subdir", "repo", "subdir"},
	{"repo", "path", "repo", "path"},
	{"repo", "sparse_checkout", "repo", "sparse_checkout"},
	{"repo", "submodules", "repo", "submodules"},
};

static void take(struct resolved *r, const json_t *doc, const struct origin *o)
{
	const json_t *group = o->group ? json_object_get(doc, o->group) : doc;
	const struct at *up = o->group ? AT(top, o->group) : top;
	json_t *v = json_object_get(group, o->name);

	if (v && !json_is_null(v) && !resolved_place(r, o->key, o->inner, NULL))
		resolved_set(r, o->key, o->inner, v, TASK_META_FILE, AT(up, o->name));
}

static json_t *make_default_rubrics(void)
{
	json_t *list = json_array();

	for (size_t i = 0; i < ARRAY_SIZE(default_rubrics); i++) {
		json_t *rubric = json_object();
		json_put_str(rubric, "id", default_rubrics[i].id);
		json_put_str(rubric, "criterion", default_rubrics[i].criterion);
		json_put_real(rubric, "weight", default_rubrics[i].weight);
		json_array_append_new(list, rubric);
	}
	return list;
}

static bool has_legacy_rubrics(const json_t *evaluation)
{
	return !json_object_get(evaluation, "rubrics") &&
	       !json_object_get(evaluation, "test_scripts") &&
	       (json_object_get(evaluation, "content_rubric") ||
		json_object_get(evaluation, "location_rubric") ||
		json_object_get(evaluation, "clarity_rubric"));
}

static void take_evaluation(struct resolved *r, json_t *evaluation, struct issues *m)
{
	const struct at *at = AT(top, "evaluation");
	json_t *rubrics = json_object_get(evaluation, "rubrics");
	json_t *tests = json_object_get(evaluation, "test_scripts");

	if (has_legacy_rubrics(evaluation)) {
		AUTO(json) json_t *defaults = make_default_rubrics();
		resolved_set(r, "rubrics", NULL, defaults, TASK_META_FILE, AT(at, "rubrics"));
		r->legacy = true;
		return;
	}
	resolved_set_list(r, "rubrics", rubrics, TASK_META_FILE, AT(at, "rubrics"), m);
	resolved_set_list(r, "test_scripts", tests, TASK_META_FILE, AT(at, "test_scripts"), m);
}

bool meta_read(struct resolved *r, int dir_fd, struct issues *m)
{
	static const struct {
		const char *key;
		const struct member *members;
	} groups[] = {
		{"metadata", metadata_members},
		{"repo", repo_members},
		{"lm", lm_members},
		{"evaluation", evaluation_members},
	};
	AUTO(json) json_t *doc = document_read(dir_fd, TASK_META_FILE, m);

	if (!doc)
		return false;
	/* Real files carry members of their own at the top: those are left alone. */
	issues_check(m, TASK_META_FILE, top, doc, meta_members, UNKNOWN_FINE);
	for (size_t i = 0; i < ARRAY_SIZE(groups); i++) {
		const json_t *group = json_object_get(doc, groups[i].key);
		if (json_is_object(group))
			issues_check(m, TASK_META_FILE, AT(top, groups[i].key), group,
				     groups[i].members, UNKNOWN_NEAR);
	}
	for (size_t i = 0; i < ARRAY_SIZE(origins); i++)
		take(r, doc, &origins[i]);
	take_evaluation(r, json_object_get(doc, "evaluation"), m);
	return true;
}
