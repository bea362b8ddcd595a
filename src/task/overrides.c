/* SPDX-License-Identifier: GPL-3.0-or-later
 * One overrides file on top of what is resolved so far. Every key is honoured or refused, none is
 * ignored. */
#include <string.h>
#include "base/cleanup.h"
#include "base/json.h"
#include "base/mem.h"
#include "core/kv.h"
#include "task/app.h"
#include "task/dotenv.h"
#include "task/resolved.h"

struct layer {
	struct resolved *r;
	const char *file;
	struct issues *m;
	struct strv *notes;
};

static const struct at *const top = NULL;

static void set_instruction(struct layer *l, json_t *v, const struct at *at)
{
	resolved_set(l->r, "instruction", NULL, v, l->file, at);
}

static void apply_prompt(struct layer *l, const char *key, json_t *v)
{
	set_instruction(l, v, AT(top, key));
}

static void apply_overlay_files(struct layer *l, const char *key, json_t *v)
{
	const struct at *at = AT(top, key);
	const char *path;
	json_t *text;

	json_object_foreach (v, path, text) {
		AUTO(free) char *why = path_issue(path, task_layout_prepared.app);
		const char *refused = why ? why : app_refuses(path);
		if (!strcmp(path, TASK_INSTRUCTIONS_FILE))
			set_instruction(l, text, AT(at, path));
		else if (refused)
			issues_add(l->m, l->file, AT(at, path), "%s", refused);
		else
			resolved_set(l->r, "overlay_files", path, text, l->file, AT(at, path));
	}
}

static void put_repo_file(struct layer *l, const char *path, json_t *text, const struct at *at)
{
	AUTO(free) char *why = path_issue(path, "the repository");

	if (why)
		issues_add(l->m, l->file, at, "%s", why);
	else
		resolved_set(l->r, "overlay_repo_files", path, text, l->file, at);
}

static void apply_as_it_is(struct layer *l, const char *key, json_t *v)
{
	resolved_set(l->r, key, NULL, v, l->file, AT(top, key));
}

static void apply_overlay_repo_files(struct layer *l, const char *key, json_t *v)
{
	const struct at *at = AT(top, key);
	const char *path;
	json_t *text;

	json_object_foreach (v, path, text)
		put_repo_file(l, path, text, AT(at, path));
}

static void apply_inject_files(struct layer *l, const char *key, json_t *v)
{
	static const struct member members[] = {
		{"path", SHAPE_STRING},
		{"content", SHAPE_TEXT},
		{NULL, 0},
	};
	AUTO(json) json_t *seen = json_object();
	json_t *item;
	size_t i;

	json_array_foreach (v, i, item) {
		const struct at *at = AT_ITEM(AT(top, key), i);
		const char *path = json_get_str(item, "path", NULL);
		json_t *content = json_object_get(item, "content");
		if (!issues_check(l->m, l->file, at, item, members, UNKNOWN_WRONG))
			continue;
		if (!path || !json_is_string(content))
			issues_add(l->m, l->file, at, "needs \"path\" and \"content\"");
		else if (json_object_get(seen, path))
			issues_add(l->m, l->file, AT(at, "path"), "\"%s\" is injected twice", path);
		else
			put_repo_file(l, path, content, AT(at, "path"));
		if (path)
			json_put_bool(seen, path, true);
	}
}

static void apply_list(struct layer *l, const char *key, json_t *v)
{
	resolved_set_list(l->r, key, v, l->file, AT(top, key), l->m);
}

static void apply_remove(struct layer *l, const char *key, json_t *v)
{
	resolved_set(l->r, "remove_repo_paths", NULL, v, l->file, AT(top, key));
}

static void apply_evaluation(struct layer *l, const char *key, json_t *v)
{
	static const struct member members[] = {
		{"rubrics", SHAPE_OBJECTS},
		{"test_scripts", SHAPE_OBJECTS},
		{NULL, 0},
	};
	const struct at *at = AT(top, key);

	if (!issues_check(l->m, l->file, at, v, members, UNKNOWN_WRONG)) {
		l->r->bad_shapes = true;
		return;
	}
	for (const struct member *m = members; m->key; m++)
		resolved_set_list(l->r, m->key, json_object_get(v, m->key), l->file, AT(at, m->key),
				  l->m);
}

static void apply_repo(struct layer *l, const char *key, json_t *v)
{
	const struct at *at = AT(top, key);
	const char *name;
	json_t *value;

	/* Set even when badly shaped: what follows then does not call it missing as well. */
	issues_check(l->m, l->file, at, v, repo_members, UNKNOWN_WRONG);
	json_object_foreach (v, name, value)
		resolved_set(l->r, "repo", name, value, l->file, AT(at, name));
}

static void apply_variables(struct layer *l, const char *key, json_t *v)
{
	const struct at *at = AT(top, key);
	const char *name;
	json_t *value;

	json_object_foreach (v, name, value) {
		if (!dotenv_is_name(name))
			issues_add(l->m, l->file, AT(at, name),
				   "not a name of an environment variable");
		else if (kv_is_secret(name))
			issues_note(l->notes, l->file, AT(at, name),
				    "names a credential, which never enters a sandbox: left out");
		else
			resolved_set(l->r, "environment_variables", name, value, l->file,
				     AT(at, name));
	}
}

static void refuse_provider(struct layer *l, const char *key, json_t *v)
{
	static const struct member members[] = {
		{"base_url", SHAPE_STRING},
		{"api_key", SHAPE_STRING},
		{"model", SHAPE_STRING},
		{"provider", SHAPE_STRING},
		{NULL, 0},
	};
	bool well = json_is_string(v) ||
		    (json_is_object(v) &&
		     issues_check(l->m, l->file, AT(top, key), v, members, UNKNOWN_WRONG));

	if (well)
		issues_add(l->m, l->file, AT(top, key),
			   "nothing enforces a task's own model provider yet; remove it and name "
			   "the model "
			   "in the configuration");
}

static const struct {
	struct member member;
	void (*apply)(struct layer *l, const char *key, json_t *v);
} keys[] = {
	{{"prompt", SHAPE_STRING}, apply_prompt},
	{{"lm_instructions", SHAPE_STRING}, apply_prompt},
	{{"overlay_files", SHAPE_TEXTS}, apply_overlay_files},
	{{"overlay_repo_files", SHAPE_TEXTS}, apply_overlay_repo_files},
	{{"inject_files", SHAPE_OBJECTS}, apply_inject_files},
	{{"remove_repo_paths", SHAPE_STRINGS}, apply_remove},
	{{"evaluation", SHAPE_OBJECT}, apply_evaluation},
	{{"rubrics", SHAPE_OBJECTS}, apply_list},
	{{"test_scripts", SHAPE_OBJECTS}, apply_list},
	{{"repo", SHAPE_OBJECT}, apply_repo},
	{{"environment_variables", SHAPE_VARIABLES}, apply_variables},
	{{"docker_image", SHAPE_STRING}, apply_as_it_is},
	{{"follow_ups", SHAPE_STRINGS}, apply_as_it_is},
	{{"images", SHAPE_STRINGS}, apply_as_it_is},
	{{"mcp", SHAPE_OBJECT}, apply_as_it_is},
	{{"services", SHAPE_OBJECT}, apply_as_it_is},
	{{"model_provider", SHAPE_STRING}, refuse_provider},
	{{"openai", SHAPE_OBJECT}, refuse_provider},
};

/* Two names of one thing in one file: which of them counts nobody can say. */
static const struct {
	const char *a, *group, *b;
} rivals[] = {
	{"prompt", NULL, "lm_instructions"},
	{"prompt", "overlay_files", TASK_INSTRUCTIONS_FILE},
	{"lm_instructions", "overlay_files", TASK_INSTRUCTIONS_FILE},
	{"rubrics", "evaluation", "rubrics"},
	{"test_scripts", "evaluation", "test_scripts"},
};

static void check_rivals(struct layer *l, const json_t *doc)
{
	for (size_t i = 0; i < ARRAY_SIZE(rivals); i++) {
		const json_t *group = rivals[i].group ? json_object_get(doc, rivals[i].group) : doc;
		const json_t *a = json_object_get(doc, rivals[i].a);
		const json_t *b = json_object_get(group, rivals[i].b);
		if (a && b && !json_is_null(a) && !json_is_null(b) && !json_equal(a, b))
			issues_add(l->m, l->file, AT(top, rivals[i].a),
				   "is also given as %s%s%s; keep one of them",
				   rivals[i].group ? rivals[i].group : "",
				   rivals[i].group ? "." : "", rivals[i].b);
	}
}

void overrides_read(struct resolved *r, int dir_fd, const char *path, struct issues *m,
		    struct strv *notes)
{
	struct member members[ARRAY_SIZE(keys) + 1] = {{NULL, 0}};
	struct layer layer = {r, path, m, notes};
	AUTO(json) json_t *doc = document_read(dir_fd, path, m);

	if (!doc)
		return;
	for (size_t i = 0; i < ARRAY_SIZE(keys); i++)
		members[i] = keys[i].member;
	issues_check(m, path, top, doc, members, UNKNOWN_WRONG);
	check_rivals(&layer, doc);
	for (size_t i = 0; i < ARRAY_SIZE(keys); i++) {
		json_t *v = json_object_get(doc, keys[i].member.key);
		if (v && !json_is_null(v))
			keys[i].apply(&layer, keys[i].member.key, v);
	}
}
