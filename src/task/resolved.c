/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "task/resolved.h"
#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <string.h>
#include <strings.h>
#include "base/cleanup.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/path.h"

void resolved_init(struct resolved *r)
{
	*r = (struct resolved){.v = json_object(), .from = json_object()};
}

void resolved_release(struct resolved *r)
{
	json_decref(r->v);
	json_decref(r->from);
	*r = (struct resolved){0};
}

static json_t *member_object(json_t *obj, const char *key)
{
	json_t *inner = json_object_get(obj, key);

	if (!json_is_object(inner)) {
		inner = json_object();
		json_put(obj, key, inner);
	}
	return inner;
}

void resolved_set(struct resolved *r, const char *key, const char *inner, json_t *value,
		  const char *file, const struct at *at)
{
	AUTO(free) char *place = issues_place(file, at);
	json_t *to = inner ? member_object(r->v, key) : r->v;
	json_t *from = inner ? member_object(r->from, key) : r->from;

	json_put(to, inner ? inner : key, json_incref(value));
	json_put_str(from, inner ? inner : key, place);
}

const char *resolved_place(const struct resolved *r, const char *key, const char *inner,
			   const char *fallback)
{
	const json_t *from = inner ? json_object_get(r->from, key) : r->from;

	return json_get_str(from, inner ? inner : key, fallback);
}

const struct member repo_members[] = {
	{"git_url", SHAPE_STRING},
	{"branch", SHAPE_STRING},
	{"start_commit_sha", SHAPE_STRING},
	{"end_commit_sha", SHAPE_STRING},
	{"subdir", SHAPE_STRING},
	{"path", SHAPE_STRING},
	{"sparse_checkout", SHAPE_STRINGS},
	{"submodules", SHAPE_BOOL},
	{NULL, 0},
};

static const struct member rubric_members[] = {
	{"id", SHAPE_STRING},
	{"criterion", SHAPE_STRING},
	{"weight", SHAPE_NUMBER},
	{"evaluation_criteria", SHAPE_LIST},
	{"scale", SHAPE_STRING},
	{"points", SHAPE_POINTS},
	{NULL, 0},
};

static const struct member test_members[] = {
	{"path", SHAPE_STRING},	       {"rubric_id", SHAPE_STRING},
	{"content", SHAPE_TEXT},       {"command", SHAPE_STRING},
	{"timeout_sec", SHAPE_NUMBER}, {"partial_credit", SHAPE_BOOL},
	{"tracing", SHAPE_BOOL},       {NULL, 0},
};

/* The lists, with what identifies an item of each. */
static const struct list {
	const char *key, *id;
	const struct member *members;
} lists[] = {
	{"rubrics", "id", rubric_members},
	{"test_scripts", "path", test_members},
};

static const struct list *find_list(const char *key)
{
	for (size_t i = 0; i < ARRAY_SIZE(lists); i++)
		if (!strcmp(lists[i].key, key))
			return &lists[i];
	bug("no list \"%s\"", key);
}

static json_t *find_by(const json_t *list, const char *key, const char *value)
{
	size_t i;
	json_t *item;

	json_array_foreach ((json_t *)list, i, item) {
		const char *have = json_get_str(item, key, NULL);
		if (have && value && !strcmp(have, value))
			return item;
	}
	return NULL;
}

void resolved_set_list(struct resolved *r, const char *key, json_t *items, const char *file,
		       const struct at *at, struct issues *m)
{
	const struct list *list = find_list(key);
	const json_t *old = json_object_get(r->v, key);
	AUTO(json) json_t *merged = json_array();
	size_t before = m->n, i;
	json_t *item;

	r->bad_shapes |= items && !json_is_null(items) && !json_is_array(items);
	if (json_array_size(items) > TASK_MAX_LIST) {
		issues_add(m, file, at, "more than %d items", TASK_MAX_LIST);
		r->bad_shapes = true;
		return;
	}
	if (!items || json_is_null(items))
		return;
	json_array_foreach (items, i, item) {
		json_t *base = find_by(old, list->id, json_get_str(item, list->id, NULL));
		json_t *whole = base ? json_copy(base) : json_object();
		if (json_is_object(item))
			issues_check(m, file, AT_ITEM(at, i), item, list->members, UNKNOWN_NEAR);
		else
			r->bad_shapes = true;
		json_object_update(whole, item);
		json_array_append_new(merged, whole);
	}
	r->bad_shapes |= m->n != before;
	resolved_set(r, key, NULL, merged, file, at);
}

json_t *document_read(int dir_fd, const char *path, struct issues *m)
{
	struct err err = {0};
	AUTO(buf) struct buf text = BUF_INIT;
	json_t *doc = NULL;

	if (path_read(dir_fd, path, TASK_MAX_DOC, &text, &err)) {
		if (err.sys == ELOOP)
			issues_add(m, path, NULL, "is a symbolic link; put the file itself here");
		else if (err.sys == ENOENT)
			issues_add(m, path, NULL, "is missing%s",
				   strcmp(path, TASK_META_FILE)
					   ? ""
					   : "; `rollouts init --task FOLDER` writes a task "
					     "folder to start from");
		else
			issues_add(m, path, NULL, "cannot be read: %s", err.msg);
		return NULL;
	}
	if (json_parse(&doc, text.data, text.len, path, &err)) {
		/* "PATH:LINE:COLUMN: what": the place counts as the file's name. */
		const char *what = strstr(err.msg + strlen(path), ": ");
		AUTO(free) char *place = xstrndup(err.msg, what ? (size_t)(what - err.msg) : 0);
		issues_add(m, what ? place : path, NULL, "%s", what ? what + 2 : err.msg);
		return NULL;
	}
	if (json_is_object(doc))
		return doc;
	issues_add(m, path, NULL, "must be a JSON object");
	json_decref(doc);
	return NULL;
}

static bool has_component(const char *path, const char *name,
			  int (*same)(const char *, const char *, size_t))
{
	size_t len = strlen(name);

	for (const char *p = path; *p;) {
		size_t n = strcspn(p, "/");
		if (n == len && !same(p, name, n))
			return true;
		p += n + (p[n] == '/');
	}
	return false;
}

char *path_issue(const char *path, const char *where)
{
	const char *why = NULL;
	size_t len = strlen(path);

	if (!len)
		return xstrdup("the path is empty");
	if (*path == '/')
		why = "is absolute, which leaves";
	else if (has_component(path, "..", strncmp))
		why = "leaves";
	else if (has_component(path, ".git", strncasecmp))
		why = "is inside .git of";
	if (why)
		return xasprintf("\"%s\" %s %s", path, why, where);
	for (const char *p = path; *p; p++)
		if (iscntrl((unsigned char)*p))
			return xasprintf("\"%s\" holds a control character", path);
	if (!path_is_inside(path) || path[len - 1] == '/' || len >= PATH_MAX)
		return xasprintf("\"%s\" is not a plain relative path of a file", path);
	return NULL;
}
