/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "eval/eval-files.h"
#include <stdbool.h>
#include "base/buf.h"
#include "base/cleanup.h"
#include "base/json.h"
#include "base/text.h"

enum {
	METRICS_MAX = 200,
	DETAILS_MAX = 1000,
	NAME_BYTES = 200,
	MESSAGE_BYTES = 2000,
	PROBLEMS_MAX = 20
};

static void complain(struct strv *problems, const char *file, const char *name, const char *what)
{
	AUTO(buf) struct buf line = BUF_INIT;

	if (problems->n >= PROBLEMS_MAX)
		return;
	buf_addf(&line, "%s: ", file);
	if (name) {
		buf_addc(&line, '"');
		text_render(&line, name, text_cut(name, strnlen(name, NAME_BYTES)),
			    TEXT_TERMINAL_LINE);
		buf_adds(&line, "\" ");
	}
	buf_adds(&line, what);
	strv_push(problems, line.data);
}

static json_t *parse_object(const char *text, size_t len, const char *file, struct strv *problems)
{
	AUTO(buf) struct buf mended = BUF_INIT;
	json_t *j = NULL;
	struct err why;

	json_mend(&mended, text, len); /* Python writes NaN */
	if (json_parse(&j, mended.data ? mended.data : "", mended.len, file, &why)) {
		if (problems->n < PROBLEMS_MAX)
			strv_push(problems, why.msg);
		return NULL;
	}
	if (!json_is_object(j)) {
		complain(problems, file, NULL, "not a JSON object");
		json_decref(j);
		return NULL;
	}
	return j;
}

static bool fits(const json_t *to, size_t max, const char *file, const char *name,
		 struct strv *problems)
{
	const char *what = strlen(name) > NAME_BYTES	 ? "has too long a name"
			   : json_object_size(to) >= max ? "is one too many"
							 : NULL;

	if (what)
		complain(problems, file, name, what);
	return !what;
}

void eval_take_metrics(json_t *metrics, const char *text, size_t len, struct strv *problems)
{
	AUTO(json) json_t *j = parse_object(text, len, "metrics", problems);
	json_t *inner = json_object_get(j, "custom_metrics");
	const char *name;
	json_t *v;

	json_object_foreach (json_is_object(inner) ? inner : j, name, v) {
		if (!json_is_number(v))
			complain(problems, "metrics", name, "is not a number");
		else if (fits(metrics, METRICS_MAX, "metrics", name, problems))
			json_put(metrics, name, json_incref(v));
	}
}

static json_t *take_detail(const json_t *v)
{
	const char *message = json_get_str(v, "message", "");
	json_t *detail = json_object();

	json_put_bool(detail, "success", json_get_bool(v, "success", false));
	json_put_strn(detail, "message", message,
		      text_cut(message, strnlen(message, MESSAGE_BYTES)));
	return detail;
}

json_t *eval_take_details(const char *text, size_t len, struct strv *problems)
{
	AUTO(json) json_t *j = parse_object(text, len, "results", problems);
	json_t *details = j ? json_object() : NULL;
	const char *name;
	json_t *v;

	json_object_foreach (j, name, v) {
		if (!json_is_boolean(json_object_get(v, "success")))
			complain(problems, "results", name,
				 "has no \"success\" that is true or false");
		else if (fits(details, DETAILS_MAX, "results", name, problems))
			json_put(details, name, take_detail(v));
	}
	return details;
}
