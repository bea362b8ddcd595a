/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "task/issues.h"
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include "base/buf.h"
#include "base/cleanup.h"
#include "base/text.h"

static void add_place(struct buf *out, const struct at *at)
{
	if (!at)
		return;
	add_place(out, at->up);
	if (!at->key)
		buf_addf(out, "[%zu]", at->i);
	else if (at->up && strpbrk(at->key, "./ "))
		buf_addf(out, "[\"%s\"]", at->key);
	else
		buf_addf(out, "%s%s", at->up ? "." : "", at->key);
}

char *issues_place(const char *file, const struct at *at)
{
	struct buf out = BUF_INIT;

	buf_addf(&out, "%s%s", file, at ? ": " : "");
	add_place(&out, at);
	return buf_detach(&out);
}

static void add_line(struct strv *lines, const char *file, const struct at *at, const char *fmt,
		     va_list args) __attribute__((format(printf, 4, 0)));

static void add_line(struct strv *lines, const char *file, const struct at *at, const char *fmt,
		     va_list args)
{
	AUTO(free) char *place = issues_place(file, at);
	AUTO(buf) struct buf line = BUF_INIT;
	char message[1024];

	vsnprintf(message, sizeof message, fmt, args);
	text_renders(&line, place, TEXT_TERMINAL_LINE);
	buf_adds(&line, ": ");
	text_renders(&line, message, TEXT_TERMINAL_LINE);
	strv_push(lines, line.data);
}

void issues_add(struct issues *m, const char *file, const struct at *at, const char *fmt, ...)
{
	va_list args;

	if (m->n++ >= ISSUES_MAX)
		return;
	va_start(args, fmt);
	add_line(m->lines, file, at, fmt, args);
	va_end(args);
}

void issues_line(struct issues *m, const char *line)
{
	AUTO(buf) struct buf safe = BUF_INIT;

	if (m->n++ >= ISSUES_MAX)
		return;
	text_renders(&safe, line, TEXT_TERMINAL_LINE);
	strv_push(m->lines, safe.data);
}

void issues_note(struct strv *notes, const char *file, const struct at *at, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	add_line(notes, file, at, fmt, args);
	va_end(args);
}

static bool has_nul(const json_t *s)
{
	return strlen(json_string_value(s)) != json_string_length(s);
}

static bool is_string(const json_t *v)
{
	return json_is_string(v) && !has_nul(v);
}

static bool is_text(const json_t *v)
{
	return json_is_string(v);
}

static bool is_variable(const json_t *v)
{
	return is_string(v) || json_is_integer(v);
}

static bool is_object(const json_t *v)
{
	return json_is_object(v);
}

static bool is_bool(const json_t *v)
{
	return json_is_boolean(v);
}

static bool is_amount(const json_t *v)
{
	return json_is_number(v) && json_number_value(v) >= 0;
}

static bool is_points(const json_t *v)
{
	return json_is_number(v) && json_number_value(v) != 0;
}

/* What a value must be, and for containers what each item in it must be. */
static const struct {
	const char *what;
	json_type type;
	bool (*fits)(const json_t *v); /* of a scalar */
	bool (*item)(const json_t *v); /* of a container; NULL: anything */
} shapes[] = {
	[SHAPE_STRING] = {"a string", JSON_STRING, is_string, NULL},
	[SHAPE_TEXT] = {"a string", JSON_STRING, is_text, NULL},
	[SHAPE_NUMBER] = {"a number, 0 or more", JSON_REAL, is_amount, NULL},
	[SHAPE_BOOL] = {"true or false", JSON_TRUE, is_bool, NULL},
	[SHAPE_POINTS] = {"a number other than 0", JSON_REAL, is_points, NULL},
	[SHAPE_LIST] = {"a list", JSON_ARRAY, NULL, NULL},
	[SHAPE_STRINGS] = {"a list of strings", JSON_ARRAY, NULL, is_string},
	[SHAPE_OBJECT] = {"an object", JSON_OBJECT, NULL, NULL},
	[SHAPE_TEXTS] = {"an object of strings", JSON_OBJECT, NULL, is_text},
	[SHAPE_VARIABLES] = {"an object of strings", JSON_OBJECT, NULL, is_variable},
	[SHAPE_OBJECTS] = {"a list of objects", JSON_ARRAY, NULL, is_object},
};

static bool check_items(struct issues *m, const char *file, const struct at *at, json_t *v,
			enum shape shape)
{
	size_t before = m->n;
	const char *key;
	json_t *item;
	size_t i;

	if (!shapes[shape].item)
		return true;
	json_array_foreach (v, i, item)
		if (!shapes[shape].item(item))
			issues_add(m, file, AT_ITEM(at, i), "must be %s",
				   shape == SHAPE_OBJECTS ? "an object" : "a string");
	json_object_foreach (v, key, item)
		if (!shapes[shape].item(item))
			issues_add(m, file, AT(at, key), "must be a string");
	return m->n == before;
}

static bool check_member(struct issues *m, const char *file, const struct at *at, json_t *v,
			 enum shape shape)
{
	bool fits =
		shapes[shape].fits ? shapes[shape].fits(v) : json_typeof(v) == shapes[shape].type;

	if (fits)
		return check_items(m, file, at, v, shape);
	issues_add(m, file, at, "must be %s%s", shapes[shape].what,
		   json_is_string(v) && has_nul(v) ? " without NUL characters" : "");
	return false;
}

static const struct member *find_member(const struct member *members, const char *key)
{
	for (; members->key; members++)
		if (!strcmp(members->key, key))
			return members;
	return NULL;
}

/* The member KEY was probably meant to be, if OBJ does not have that one as well. */
static const char *meant(const json_t *obj, const struct member *members, const char *key)
{
	const char *names[32] = {NULL};
	size_t n = 0;

	for (; members->key && n + 1 < sizeof names / sizeof names[0]; members++)
		if (!json_object_get(obj, members->key))
			names[n++] = members->key;
	return text_nearest(key, names);
}

static bool check_unknown(struct issues *m, const char *file, const struct at *at,
			  const json_t *obj, const struct member *members, const char *key,
			  enum unknown unknown)
{
	const char *near = meant(obj, members, key);

	if (unknown == UNKNOWN_FINE || (unknown == UNKNOWN_NEAR && !near))
		return true;
	if (near)
		issues_add(m, file, at, "unknown key \"%s\" (did you mean \"%s\"?)", key, near);
	else
		issues_add(m, file, at, "unknown key \"%s\"", key);
	return false;
}

bool issues_check(struct issues *m, const char *file, const struct at *at, const json_t *obj,
		  const struct member *members, enum unknown unknown)
{
	bool well = true;
	const char *key;
	json_t *v;

	json_object_foreach ((json_t *)obj, key, v) {
		const struct member *member = find_member(members, key);
		if (!member)
			well &= check_unknown(m, file, at, obj, members, key, unknown);
		else if (!json_is_null(v))
			well &= check_member(m, file, AT(at, key), v, member->shape);
	}
	return well;
}
