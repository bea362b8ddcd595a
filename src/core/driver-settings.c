/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "core/driver-settings.h"
#include <stdlib.h>
#include <string.h>
#include "base/cleanup.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/strv.h"
#include "base/text.h"

static int set(void *settings, const struct driver_setting *s, const json_t *value,
	       struct buf *text)
{
	void *at = (char *)settings + s->offset;
	const char *why = NULL;

	switch (s->kind) {
	case DRIVER_TEXT:
		if (!json_is_string(value) || !*json_string_value(value)) {
			why = "must be a text";
			break;
		}
		free(*(char **)at);
		*(char **)at = xstrdup(json_string_value(value));
		break;
	case DRIVER_NUMBER:
		if (!json_is_integer(value) || json_integer_value(value) < s->min ||
		    json_integer_value(value) > s->max) {
			buf_addf(text, "%s: must be a whole number from %lld to %lld", s->name,
				 (long long)s->min, (long long)s->max);
			return -1;
		}
		*(int64_t *)at = json_integer_value(value);
		break;
	case DRIVER_AMOUNT:
		if (!json_is_number(value) || json_number_value(value) < 0)
			why = "must be a number that is not negative";
		else
			*(double *)at = json_number_value(value);
		break;
	case DRIVER_SWITCH:
		if (!json_is_boolean(value))
			why = "must be true or false";
		else
			*(bool *)at = json_is_true(value);
		break;
	case DRIVER_JSON:
		if ((why = s->check(value)))
			break;
		json_decref(*(json_t **)at);
		*(json_t **)at = json_deep_copy(value);
		break;
	}
	if (why)
		buf_addf(text, "%s: %s", s->name, why);
	return why ? -1 : 0;
}

static void add_unknown(const struct driver_setting *table, size_t n, const char *key,
			struct buf *text)
{
	AUTO(strv) struct strv names = STRV_INIT;

	for (size_t i = 0; i < n; i++)
		strv_push(&names, table[i].name);
	const char *near = text_nearest(key, strv_items(&names));
	buf_addf(text, "%s: unknown setting%s%s%s", key, near ? " (did you mean " : "",
		 near ? near : "", near ? "?)" : "");
}

int driver_settings_read(void *settings, const struct driver_setting *table, size_t n,
			 const json_t *j, struct buf *text)
{
	const char *key;
	json_t *value;

	json_object_foreach ((json_t *)j, key, value) {
		size_t i = 0;
		while (i < n && strcmp(table[i].name, key) != 0)
			i++;
		if (i == n) {
			add_unknown(table, n, key, text);
			return -1;
		}
		if (set(settings, &table[i], value, text))
			return -1;
	}
	return 0;
}

void driver_settings_release(void *settings, const struct driver_setting *table, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		void *at = (char *)settings + table[i].offset;
		if (table[i].kind == DRIVER_TEXT) {
			free(*(char **)at);
			*(char **)at = NULL;
		} else if (table[i].kind == DRIVER_JSON) {
			json_decref(*(json_t **)at);
			*(json_t **)at = NULL;
		}
	}
}

const char *driver_check_texts(const json_t *value)
{
	json_t *one;
	size_t i;

	json_array_foreach (value, i, one)
		if (!json_is_string(one))
			return "must be a list of texts";
	return json_is_array(value) ? NULL : "must be a list of texts";
}
