/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "model/request-diff.h"
#include <string.h>
#include "base/cleanup.h"
#include "base/json.h"
#include "base/text.h"
#include "model/request.h"

enum { DEPTH = 64, SHOWN = 60, BEFORE = 16 };

struct diff {
	struct buf path;
	const json_t *a, *b; /* where they differ; NULL: absent */
};

static bool same_text(const json_t *a, const json_t *b)
{
	AUTO(buf) struct buf x = BUF_INIT, y = BUF_INIT;

	model_request_normal_text(&x, json_string_value(a), json_string_length(a));
	model_request_normal_text(&y, json_string_value(b), json_string_length(b));
	return x.len == y.len && memcmp(x.data, y.data, x.len) == 0;
}

static bool differ(struct diff *d, const json_t *a, const json_t *b, int depth);

static bool differ_at(struct diff *d, const json_t *a, const json_t *b, int depth, const char *name,
		      size_t index)
{
	size_t len = d->path.len;

	if (name)
		buf_addf(&d->path, "%s%s", len ? "." : "", name);
	else
		buf_addf(&d->path, "[%zu]", index);
	if (differ(d, a, b, depth + 1))
		return true;
	d->path.len = len;
	d->path.data[len] = '\0';
	return false;
}

static bool objects_differ(struct diff *d, const json_t *a, const json_t *b, int depth)
{
	const char *key;
	json_t *value;

	json_object_foreach ((json_t *)a, key, value)
		if (!(depth == 0 && model_request_is_volatile(key, strlen(key))) &&
		    differ_at(d, value, json_object_get(b, key), depth, key, 0))
			return true;
	json_object_foreach ((json_t *)b, key, value)
		if (!(depth == 0 && model_request_is_volatile(key, strlen(key))) &&
		    !json_object_get(a, key) && differ_at(d, NULL, value, depth, key, 0))
			return true;
	return false;
}

static bool differ(struct diff *d, const json_t *a, const json_t *b, int depth)
{
	d->a = a;
	d->b = b;
	if (!a || !b || json_typeof(a) != json_typeof(b) || depth > DEPTH)
		return a != b;
	if (json_is_object(a))
		return objects_differ(d, a, b, depth);
	if (json_is_string(a))
		return !same_text(a, b);
	if (!json_is_array(a))
		return !json_equal((json_t *)a, (json_t *)b);
	size_t n =
		json_array_size(a) > json_array_size(b) ? json_array_size(a) : json_array_size(b);
	for (size_t i = 0; i < n; i++)
		if (differ_at(d, json_array_get(a, i), json_array_get(b, i), depth, NULL, i))
			return true;
	return false;
}

static void show(struct buf *out, const json_t *j, size_t from)
{
	AUTO(buf) struct buf text = BUF_INIT;

	if (!j) {
		buf_adds(out, "absent");
		return;
	}
	if (json_is_string(j))
		buf_add(&text, json_string_value(j), json_string_length(j));
	else
		json_format(&text, j, false);
	if (from > text.len)
		from = text.len;
	while (from && ((unsigned char)text.data[from] & 0xc0) == 0x80) /* not inside a character */
		from--;
	size_t n = text_cut(text.data + from, text.len - from < SHOWN ? text.len - from : SHOWN);
	buf_adds(out, json_is_string(j) ? from ? "\"…" : "\"" : "");
	text_render(out, text.data + from, n, TEXT_TERMINAL_LINE);
	buf_adds(out, from + n < text.len ? "…" : "");
	buf_adds(out, json_is_string(j) ? "\"" : "");
}

/* Where two strings part, less a little to know the place by. */
static size_t parting(const json_t *a, const json_t *b)
{
	const char *x = json_string_value(a), *y = json_string_value(b);
	size_t i = 0;

	if (!x || !y)
		return 0;
	while (x[i] && x[i] == y[i])
		i++;
	return i > BEFORE ? i - BEFORE : 0;
}

void request_diff(char *out, size_t size, const char *recorded, size_t recorded_len,
		  const char *now, size_t now_len)
{
	AUTO(json) json_t *a = json_foreign(recorded, recorded_len);
	AUTO(json) json_t *b = json_foreign(now, now_len);
	AUTO(buf) struct buf line = BUF_INIT;
	struct diff d = {BUF_INIT, NULL, NULL};

	if (!a || !b) {
		snprintf(out, size, "the request is not JSON");
		return;
	}
	if (!differ(&d, a, b, 0)) {
		buf_adds(&line, "the order of members");
	} else {
		size_t from = parting(d.a, d.b);
		size_t n = d.path.len > 120 ? text_cut(d.path.data, 120) : d.path.len;
		text_render(&line, d.path.data, n, TEXT_TERMINAL_LINE);
		buf_adds(&line, d.path.len ? ": recorded " : "recorded ");
		show(&line, d.a, from);
		buf_adds(&line, ", now ");
		show(&line, d.b, from);
	}
	buf_release(&d.path);
	snprintf(out, size, "%.*s", (int)text_cut(line.data, line.len < size ? line.len : size - 1),
		 line.data);
}
