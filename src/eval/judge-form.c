/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "eval/judge-form.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "base/cleanup.h"
#include "base/json.h"
#include "base/mem.h"

static json_t *text_member(const char *what)
{
	return json_pack("{s:s, s:s}", "type", "string", "description", what);
}

/* KIND with its own members, or null. */
static json_t *or_null(json_t *kind_take, const char *what)
{
	return json_pack("{s:[o, {s:s}], s:s}", "anyOf", kind_take, "type", "null", "description",
			 what);
}

json_t *judge_form_schema(void)
{
	static const char *const order[] = {"reasoning", "evidence", "verdict",
					    "score",	 "control",  "suggestions"};
	json_t *members = json_object(), *required = json_array();

	json_put(members, "reasoning",
		 text_member("Why, step by step, before anything is decided."));
	json_put(members, "evidence",
		 text_member("The lines, files or tests that the decision rests "
			     "on; empty when there are none."));
	json_put(
		members, "verdict",
		or_null(json_pack("{s:s, s:[s, s]}", "type", "string", "enum", "met", "not_met"),
			"Of a criterion that is met or not met; null otherwise, and when it cannot "
			"be told."));
	json_put(members, "score",
		 or_null(json_pack("{s:s}", "type", "number"),
			 "Of a criterion with degrees, from 0 to 1; null otherwise, and when it "
			 "cannot be told."));
	json_put(members, "control",
		 or_null(json_pack("{s:s}", "type", "boolean"),
			 "Whether the control statement is true; null when there is none."));
	json_put(members, "suggestions", text_member("What would have been better; may be empty."));
	for (size_t i = 0; i < ARRAY_SIZE(order); i++)
		json_array_append_new(required, json_string(order[i]));
	return json_pack("{s:s, s:o, s:o, s:b}", "type", "object", "properties", members,
			 "required", required, "additionalProperties", 0);
}

static bool speaks_of_verdict(const char *text, size_t len)
{
	return memmem(text, len, "\"verdict\"", 9) || memmem(text, len, "\"score\"", 7);
}

/* The last verdict in TEXT: models think aloud before it, add a word after it, put it in a code block, and quote what they
 * were shown. What a later one that cannot be read holds, or follows, is none. Of what is none the first attempt tells why. */
static json_t *last_verdict(const char *text, size_t len, char why[JSON_ERROR_TEXT_LENGTH])
{
	const char *open = text, *end = text + len;
	const char *last = end; /* behind the one that was found */
	json_t *found = NULL;

	while ((open = memchr(open, '{', (size_t)(end - open)))) {
		json_error_t e;
		json_t *j = json_loadb(open, (size_t)(end - open),
				       JSON_REJECT_DUPLICATES | JSON_DISABLE_EOF_CHECK, &e);
		if (json_object_get(j, "verdict") || json_object_get(j, "score")) {
			json_decref(found);
			found = json_incref(j);
			last = open + e.position;
		} else if (!*why) {
			snprintf(why, JSON_ERROR_TEXT_LENGTH, "%s",
				 j ? "\"score\" is missing" : e.text);
		}
		open += j && e.position > 0 ? e.position : 1;
		json_decref(j);
	}
	if (speaks_of_verdict(last, (size_t)(end - last))) {
		json_decref(found);
		snprintf(why, JSON_ERROR_TEXT_LENGTH, "%s", "what comes last is none");
		return NULL;
	}
	return found;
}

/* A line break as such in a text, and a backslash before what needs none, which JSON does not take and models write. */
static void mend_texts(struct buf *out, const char *text, size_t len)
{
	bool in_text = false;

	for (size_t i = 0; i < len; i++) {
		unsigned char c = (unsigned char)text[i];

		if (in_text && c == '\\' && i + 1 < len) {
			if (!strchr("\"\\/bfnrtu", text[i + 1]))
				buf_addc(out, '\\');
			buf_addc(out, text[i++]);
			buf_addc(out, text[i]);
		} else if (in_text && c < 0x20) {
			buf_addf(out, "\\u%04x", c);
		} else {
			in_text ^= c == '"';
			buf_addc(out, text[i]);
		}
	}
}

static json_t *find_object(const char *text, size_t len, struct err *err)
{
	char why[JSON_ERROR_TEXT_LENGTH] = "", ignored[JSON_ERROR_TEXT_LENGTH] = "";
	AUTO(buf) struct buf mended = BUF_INIT;
	json_t *j = last_verdict(text, len, why);

	if (!j && *why) {
		mend_texts(&mended, text, len);
		j = last_verdict(mended.data, mended.len, ignored);
	}
	if (!j)
		(void)err_set(err, ERR_USAGE, 0, "%s%s",
			      *why ? "it is no JSON: " : "there is no JSON object in it", why);
	return j;
}

static bool take_text(char **out, const json_t *j, const char *name, bool needed, struct buf *why)
{
	const json_t *v = json_object_get(j, name);

	*out = xstrdup(json_is_string(v) ? json_string_value(v) : "");
	if (!needed || json_is_string(v))
		return true;
	buf_addf(why, "\"%s\" is not a text", name);
	return false;
}

/* Whether "score" and "verdict" are what the schema allows, whichever of them counts. */
static bool check_members(const json_t *verdict, const json_t *score, struct buf *why)
{
	double v = json_number_value(score);

	if (!verdict || !score)
		buf_addf(why, "\"%s\" is missing", verdict ? "score" : "verdict");
	else if (!json_is_null(score) && !json_is_number(score))
		buf_adds(why, "\"score\" is neither a number nor null");
	else if (json_is_number(score) && !(v >= 0 && v <= 1))
		buf_addf(why, "\"score\" is %.10g, which is not from 0 to 1", v);
	else if (!json_is_null(verdict) &&
		 (!json_is_string(verdict) || (strcmp(json_string_value(verdict), "met") != 0 &&
					       strcmp(json_string_value(verdict), "not_met") != 0)))
		buf_adds(why, "\"verdict\" is neither \"met\" nor \"not_met\" nor null");
	else
		return true;
	return false;
}

static void decide(struct judge_verdict *out, const json_t *j, bool binary, struct buf *why)
{
	const json_t *verdict = json_object_get(j, "verdict"), *score = json_object_get(j, "score");
	const json_t *counts = binary ? verdict : score, *other = binary ? score : verdict;

	if (!check_members(verdict, score, why))
		return;
	if (!json_is_null(counts)) {
		out->kind = VERDICT_SCORE;
		out->score = !binary ? json_number_value(score)
				     : strcmp(json_string_value(verdict), "met") == 0;
	} else if (json_is_null(other)) {
		out->kind = VERDICT_CANNOT_TELL;
	} else {
		buf_addf(why, "\"%s\" is null though \"%s\" is not: this criterion %s",
			 binary ? "verdict" : "score", binary ? "score" : "verdict",
			 binary ? "is met or not met" : "has degrees");
	}
}

void judge_form_read(struct judge_verdict *out, const char *text, size_t len, bool binary,
		     struct buf *why)
{
	struct err err = {0};
	AUTO(json) json_t *j = find_object(text, len, &err);
	const json_t *control = json_object_get(j, "control");

	*out = (struct judge_verdict){.control = json_is_true(control)	  ? 1
						 : json_is_false(control) ? 0
									  : -1};
	if (!j)
		buf_adds(why, *err.msg ? err.msg : "there is no JSON object in it");
	bool whole = take_text(&out->reasoning, j, "reasoning", j, why);
	take_text(&out->evidence, j, "evidence", false, why);
	take_text(&out->suggestions, j, "suggestions", false, why);
	if (j && whole)
		decide(out, j, binary, why);
}

void judge_verdict_release(struct judge_verdict *v)
{
	free(v->reasoning);
	free(v->evidence);
	free(v->suggestions);
	*v = (struct judge_verdict){.control = -1};
}
