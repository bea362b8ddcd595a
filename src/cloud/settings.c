/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "cloud/settings.h"
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include "base/cleanup.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/strv.h"
#include "base/text.h"

enum kind { TEXT, NUMBER, REAL, SWITCH, TEXTS, PRICES, LIST };

static const struct row {
	const char *name;
	enum kind kind;
	size_t offset;
	int64_t min, max;
} table[] = {
#define ROW(name, kind, ...)                                                                       \
	{                                                                                          \
#name, kind, offsetof(struct settings, name), __VA_ARGS__                          \
	}
	ROW(queue, TEXT),
	ROW(storage, TEXT),
	ROW(definition, TEXT),
	ROW(region, TEXT),
	ROW(image, TEXT),
	ROW(job_role, TEXT),
	ROW(execution_role, TEXT),
	ROW(sse, TEXT),
	ROW(kms_key, TEXT),
	ROW(cache, TEXT),
	ROW(share, TEXT),
	ROW(log_group, TEXT),
	ROW(vcpus, NUMBER, 1, 4096),
	ROW(memory_mb, NUMBER, 4, 1 << 30),
	ROW(gpus, NUMBER, 0, 64),
	ROW(time_sec, NUMBER, 60, 1 << 30),
	ROW(attempts, NUMBER, 1, 10),
	ROW(trials_per_job, NUMBER, 1, 10000),
	ROW(side_by_side, NUMBER, 1, 1024),
	ROW(cache_mb, NUMBER, 0, 1 << 30),
	ROW(poll_sec, NUMBER, 1, 3600),
	ROW(events_sec, NUMBER, 1, 3600),
	ROW(array_max, NUMBER, 2, 10000),
	ROW(priority, NUMBER, 0, 9999),
	ROW(expire_days, NUMBER, 1, 36500),
	ROW(privileged, SWITCH),
	ROW(price_per_hour, REAL),
	ROW(prices, PRICES),
	ROW(secrets, TEXTS),
	ROW(tags, TEXTS),
	ROW(command, LIST),
#undef ROW
};

static bool are_of(const json_t *value, enum kind kind)
{
	const char *key;
	json_t *one;
	size_t i;

	if (kind == LIST) {
		json_array_foreach (value, i, one)
			if (!json_is_string(one))
				return false;
		return json_is_array(value);
	}
	json_object_foreach ((json_t *)value, key, one)
		if (kind == TEXTS ? !json_is_string(one)
				  : !json_is_number(one) || json_number_value(one) < 0)
			return false;
	return json_is_object(value);
}

/* Why VALUE cannot be; NULL: it is set. */
static const char *set(struct settings *s, const struct row *r, const json_t *value)
{
	void *at = (char *)s + r->offset;

	switch (r->kind) {
	case TEXT:
		if (!json_is_string(value) || !*json_string_value(value))
			return "must be a text";
		free(*(char **)at);
		*(char **)at = xstrdup(json_string_value(value));
		return NULL;
	case NUMBER:
		if (!json_is_integer(value) || json_integer_value(value) < r->min ||
		    json_integer_value(value) > r->max)
			return "must be a whole number within reason";
		*(int64_t *)at = json_integer_value(value);
		return NULL;
	case REAL:
		if (!json_is_number(value) || json_number_value(value) < 0)
			return "must be a number that is not negative";
		*(double *)at = json_number_value(value);
		return NULL;
	case SWITCH:
		if (!json_is_boolean(value))
			return "must be true or false";
		*(bool *)at = json_is_true(value);
		return NULL;
	case TEXTS:
	case PRICES:
	case LIST:
		break;
	}
	if (!are_of(value, r->kind))
		return r->kind == TEXTS	   ? "must be a table of texts: {NAME = \"...\"}"
		       : r->kind == PRICES ? "must be a table of numbers: {\"c7i.large\" = 0.09}"
					   : "must be a list of texts";
	*(json_t **)at = json_deep_copy(value);
	return NULL;
}

static void unknown(const char *key, struct buf *text)
{
	AUTO(strv) struct strv names = STRV_INIT;

	for (size_t i = 0; i < ARRAY_SIZE(table); i++)
		strv_push(&names, table[i].name);
	const char *near = text_nearest(key, strv_items(&names));
	buf_addf(text, "%s: unknown setting%s%s%s", key, near ? " (did you mean " : "",
		 near ? near : "", near ? "?)" : "");
}

static int check(const struct settings *s, struct buf *text)
{
	if (!s->queue)
		buf_adds(text, "queue: the name of a job queue of AWS Batch is needed");
	else if (!s->storage)
		buf_adds(text,
			 "storage: \"s3://BUCKET/PREFIX\" is needed, where inputs and results "
			 "go");
	else if (s->side_by_side > s->trials_per_job)
		buf_adds(text, "side_by_side: more than trials_per_job");
	else if (s->kms_key && (!s->sse || strncmp(s->sse, "aws:kms", 7) != 0))
		buf_adds(text, "kms_key: needs sse = \"aws:kms\"");
	return text->len ? -1 : 0;
}

int settings_read(struct settings *s, const json_t *j, struct buf *text)
{
	const char *key;
	json_t *value;

	*s = (struct settings){.definition = xstrdup("rollouts"),
			       .log_group = xstrdup("/aws/batch/job"),
			       .vcpus = 1,
			       .memory_mb = 2048,
			       .attempts = 1,
			       .trials_per_job = 1,
			       .side_by_side = 1,
			       .cache_mb = 20000,
			       .poll_sec = 10,
			       .events_sec = 5,
			       .array_max = 10000,
			       .priority = -1,
			       .expire_days = 30,
			       .privileged = true};
	json_object_foreach ((json_t *)j, key, value) {
		size_t i = 0;
		while (i < ARRAY_SIZE(table) && strcmp(table[i].name, key) != 0)
			i++;
		if (i == ARRAY_SIZE(table)) {
			unknown(key, text);
			return -1;
		}
		const char *why = set(s, &table[i], value);
		if (why) {
			buf_addf(text, "%s: %s", key, why);
			return -1;
		}
	}
	return check(s, text);
}

void settings_release(struct settings *s)
{
	for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
		void *at = (char *)s + table[i].offset;
		if (table[i].kind == TEXT)
			free(*(char **)at);
		else if (table[i].kind >= TEXTS)
			json_decref(*(json_t **)at);
	}
	*s = (struct settings){0};
}
