/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "task/ask.h"
#include <errno.h>
#include <string.h>
#include "base/cleanup.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/path.h"
#include "core/image-type.h"
#include "core/placeholders.h"
#include "task/app.h"
#include "task/files.h"

struct ask {
	struct task *t;
	const struct resolved *r;
	int dir_fd;
	struct issues *m;
	size_t bytes; /* of images so far */
};

static const char *place(const struct ask *a, const char *key, const char *inner)
{
	const char *whole = resolved_place(a->r, key, NULL, TASK_META_FILE);

	return inner ? resolved_place(a->r, key, inner, whole) : whole;
}

static void fill_follow_ups(struct ask *a)
{
	const json_t *list = json_object_get(a->r->v, "follow_ups");
	struct strv *out = &a->t->steps[0].follow_ups;
	size_t i;
	json_t *v;

	json_array_foreach ((json_t *)list, i, v) {
		const char *text = json_string_value(v);
		if (!text || !text[strspn(text, " \t\r\n")])
			issues_add(a->m, place(a, "follow_ups", NULL), NULL,
				   "number %zu is empty: nothing would be asked", i + 1);
		else
			strv_push(out, text);
	}
	if (out->n > ASK_FOLLOW_UPS)
		issues_add(a->m, place(a, "follow_ups", NULL), NULL, "are at most %d",
			   ASK_FOLLOW_UPS);
}

/* NAME lies in overlay_files, where the agent sees it anyway, or elsewhere in the task's folder. */
static bool read_image(const struct ask *a, const char *name, struct buf *out, struct err *err)
{
	AUTO(free) char *overlaid = path_join("overlay_files", name);

	return path_read_beneath(a->dir_fd, overlaid, ASK_IMAGE_BYTES, out, err) == 0 ||
	       (err->sys == ENOENT &&
		path_read_beneath(a->dir_fd, name, ASK_IMAGE_BYTES, out, err) == 0);
}

static void fill_image(struct ask *a, const char *name)
{
	static const char overlay[] = "overlay_files/";
	const char *where = place(a, "images", NULL),
		   *at = strncmp(name, overlay, sizeof overlay - 1) ? name
								    : name + sizeof overlay - 1;
	AUTO(free) char *why = path_issue(at, a->t->layout.app);
	AUTO(buf) struct buf data = BUF_INIT;
	struct err err = {0};

	if (why || app_refuses(at)) {
		issues_add(a->m, where, NULL, "\"%s\": %s", name, why ? why : app_refuses(at));
		return;
	}
	if (!read_image(a, at, &data, &err)) {
		issues_add(a->m, where, NULL, "\"%s\" cannot be read: %s", name, err.msg);
		return;
	}
	a->bytes += data.len;
	if (!image_type(data.data, data.len))
		issues_add(a->m, where, NULL, "\"%s\" is no PNG, JPEG, GIF or WebP image", name);
	else if (a->bytes > 4 * (size_t)ASK_IMAGE_BYTES)
		issues_add(a->m, where, NULL, "are more than %u MB in all",
			   4 * ASK_IMAGE_BYTES >> 20);
	else if ((why = filetree_put(&a->t->files->app, at, data.data, data.len)))
		issues_add(a->m, where, NULL, "\"%s\": %s", name, why);
	strv_push(&a->t->steps[0].images, at);
}

static void fill_images(struct ask *a)
{
	const json_t *list = json_object_get(a->r->v, "images");
	size_t i;
	json_t *v;

	if (json_array_size(list) > ASK_IMAGES)
		issues_add(a->m, place(a, "images", NULL), NULL, "are at most %d", ASK_IMAGES);
	else
		json_array_foreach ((json_t *)list, i, v)
			if (json_is_string(v))
				fill_image(a, json_string_value(v));
}

static bool are_words(const json_t *list)
{
	size_t i;
	json_t *v;

	json_array_foreach ((json_t *)list, i, v)
		if (!json_is_string(v))
			return false;
	return json_array_size(list) && *json_string_value(json_array_get(list, 0));
}

static void check_texts(struct ask *a, const char *where, const json_t *j)
{
	const char *key;
	char wrong[80], right[80];
	json_t *v;
	size_t i;

	if (json_is_string(j) &&
	    placeholder_misspelt(json_string_value(j), wrong, right, sizeof wrong))
		issues_add(a->m, where, NULL, "{%s} is no placeholder (did you mean {%s}?)", wrong,
			   right);
	if (json_is_array(j))
		json_array_foreach ((json_t *)j, i, v)
			check_texts(a, where, v);
	if (json_is_object(j))
		json_object_foreach ((json_t *)j, key, v)
			check_texts(a, where, v);
}

static const struct member server_members[] = {
	{"command", SHAPE_STRINGS}, {"url", SHAPE_STRING}, {"env", SHAPE_TEXTS}, {NULL, 0}};
static const struct member service_members[] = {{"argv", SHAPE_STRINGS},
						{"ready", SHAPE_STRINGS},
						{"ready_sec", SHAPE_NUMBER},
						{"log", SHAPE_STRING},
						{NULL, 0}};

static const char *server_issue(const json_t *server)
{
	const json_t *command = json_object_get(server, "command");

	if (!command == !json_object_get(server, "url"))
		return "needs either command or url";
	return command && !are_words(command) ? "command must begin with a program" : NULL;
}

static const char *service_issue(const json_t *service)
{
	const json_t *sec = json_object_get(service, "ready_sec");

	if (!are_words(json_object_get(service, "argv")))
		return "argv must begin with a program";
	if (sec && (!json_is_integer(sec) || json_integer_value(sec) < 1 ||
		    json_integer_value(sec) > 86400))
		return "ready_sec is a whole number from 1 to 86400";
	return NULL;
}

static void fill_around(struct ask *a, const char *key, const struct member *members,
			const char *(*issue)(const json_t *))
{
	json_t *all = json_object_get(a->r->v, key), *v;
	const char *name;

	if (!json_object_size(all))
		return;
	json_object_foreach (all, name, v) {
		AUTO(free) char *where = xasprintf("%s.%s", place(a, key, NULL), name);
		const char *why = NULL;
		if (strpbrk(name, "/ \"") || *name == '.' || !*name)
			why = "is no name for it";
		else if (!json_is_object(v))
			why = "must be an object";
		else if (issues_check(a->m, where, NULL, v, members, UNKNOWN_WRONG))
			why = issue(v);
		if (why)
			issues_add(a->m, where, NULL, "%s", why);
		check_texts(a, where, v);
	}
	if (!a->t->around)
		a->t->around = json_object();
	json_object_set(a->t->around, key, all);
}

void ask_fill(struct task *t, const struct resolved *r, int dir_fd, struct issues *m)
{
	struct ask a = {t, r, dir_fd, m, 0};

	fill_follow_ups(&a);
	fill_images(&a);
	fill_around(&a, "mcp", server_members, server_issue);
	fill_around(&a, "services", service_members, service_issue);
}
