/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "eval/eval-files.h"
#include <stdbool.h>
#include <string.h>
#include "base/buf.h"
#include "base/cleanup.h"
#include "base/json.h"
#include "base/mem.h"
#include "core/metric.h"
#include "core/model-share.h"
#include "base/text.h"

enum { DETAILS_MAX = 1000, NAME_BYTES = 200, MESSAGE_BYTES = 2000, PROBLEMS_MAX = 20 };

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

/* What is wrong with NAME as one more of N, of which there may be MAX; NULL: nothing. */
static const char *name_fault(const char *name, size_t n, size_t max)
{
	return !*name ? "is no name"
	       : strncmp(name, SHARE_USD, strlen(SHARE_USD)) == 0 ||
			       strncmp(name, SHARE_TOKENS, strlen(SHARE_TOKENS)) == 0
		       ? "is the name of what the gateway counts"
	       : !strcmp(name, METRIC_MACHINE_SEC) || !strcmp(name, METRIC_MACHINE_USD)
		       ? "is the name of what a machine costs"
	       : strlen(name) > NAME_BYTES ? "has too long a name"
	       : n >= max		   ? "is one too many"
					   : NULL;
}

static void take_metric(struct metrics *metrics, const char *name, const json_t *v,
			bool self_reported, struct strv *problems)
{
	const struct metric *twin = metrics_find(metrics, name);
	/* What Python writes as NaN and Infinity is null by now. */
	const char *fault = !json_is_number(v) ? "is not a finite number"
			    : twin	       ? "is there twice"
					       : name_fault(name, metrics->n, METRICS_MAX);

	if (fault)
		complain(problems, "metrics", name, fault);
	else
		metrics_add(metrics, name, json_number_value(v), self_reported);
}

void eval_take_metrics(struct metrics *metrics, const char *text, size_t len, bool self_reported,
		       struct strv *problems)
{
	static const char *const groups[] = {"custom_metrics", "standard_metrics"};
	AUTO(json) json_t *j = parse_object(text, len, "metrics", problems);
	bool grouped = false;
	const char *name;
	json_t *v;

	for (size_t i = 0; i < ARRAY_SIZE(groups); i++) {
		json_t *group = json_object_get(j, groups[i]);
		if (!json_is_object(group))
			continue;
		grouped = true;
		json_object_foreach (group, name, v)
			take_metric(metrics, name, v, self_reported, problems);
	}
	if (!grouped)
		json_object_foreach (j, name, v)
			take_metric(metrics, name, v, self_reported, problems);
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
	const char *name, *fault;
	json_t *v;

	json_object_foreach (j, name, v) {
		if (!json_is_boolean(json_object_get(v, "success")))
			complain(problems, "results", name,
				 "has no \"success\" that is true or false");
		else if ((fault = name_fault(name, json_object_size(details), DETAILS_MAX)))
			complain(problems, "results", name, fault);
		else
			json_put(details, name, take_detail(v));
	}
	return details;
}
