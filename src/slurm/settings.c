/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include "base/json.h"
#include "base/mem.h"
#include "base/text.h"
#include "slurm/slurm.h"

enum kind { TEXT, NUMBER, SWITCH, LIST };

static const struct {
	const char *name;
	enum kind kind;
	size_t offset;
	int64_t min, max;
} table[] = {
#define ROW(name, kind, ...)                                                                       \
	{                                                                                          \
#name, kind, offsetof(struct settings, name), __VA_ARGS__                          \
	}
	ROW(partition, TEXT),
	ROW(account, TEXT),
	ROW(qos, TEXT),
	ROW(constraint, TEXT),
	ROW(gres, TEXT),
	ROW(time, TEXT),
	ROW(cache, TEXT),
	ROW(setup, TEXT),
	ROW(node, TEXT),
	ROW(options, LIST),
	ROW(trials_per_job, NUMBER, 1, 10000),
	ROW(side_by_side, NUMBER, 1, 1024),
	ROW(cpus, NUMBER, 1, 4096),
	ROW(memory_mb, NUMBER, 1, 1 << 30),
	ROW(cache_mb, NUMBER, 0, 1 << 30),
	ROW(poll_sec, NUMBER, 1, 3600),
	ROW(requeue, SWITCH),
	ROW(json, SWITCH),
#undef ROW
};

/* With another value of these, jobs would not be found again, or hold what they must not. */
static bool is_ours(const char *option)
{
	static const char *const ours[] = {"-M",       "--cluster", "--array",	  "-a",
					   "--output", "--export",  "--job-name", "-J",
					   "--wrap",   "--parsable"};

	for (size_t i = 0; option && i < ARRAY_SIZE(ours); i++)
		if (!strncmp(option, ours[i], strlen(ours[i])))
			return true;
	return false;
}

static const char *set(struct settings *s, size_t row, const json_t *value)
{
	void *at = (char *)s + table[row].offset;
	size_t i;
	json_t *item;

	switch (table[row].kind) {
	case TEXT:
		if (!json_is_string(value) || !*json_string_value(value))
			return "must be a text";
		free(*(char **)at);
		*(char **)at = xstrdup(json_string_value(value));
		return NULL;
	case NUMBER:
		if (!json_is_integer(value) || json_integer_value(value) < table[row].min ||
		    json_integer_value(value) > table[row].max)
			return "must be a whole number within reason";
		*(int64_t *)at = json_integer_value(value);
		return NULL;
	case SWITCH:
		if (!json_is_boolean(value))
			return "must be true or false";
		*(bool *)at = json_is_true(value);
		return NULL;
	case LIST:
		break;
	}
	json_array_foreach (value, i, item)
		if (is_ours(json_string_value(item)))
			return "must not hold -M, --clusters, --array, --output, --export, "
			       "--job-name, "
			       "--wrap or --parsable: rollouts needs them itself";
		else if (!json_is_string(item) || *json_string_value(item) != '-')
			return "must be a list of options of sbatch, each as one text: "
			       "[\"--exclusive\", \"--reservation=bench\"]";
		else
			strv_push(at, json_string_value(item));
	return json_is_array(value) ? NULL : "must be a list";
}

static void unknown(const char *key, struct buf *text)
{
	struct strv names = STRV_INIT;

	for (size_t i = 0; i < ARRAY_SIZE(table); i++)
		strv_push(&names, table[i].name);
	const char *near = text_nearest(key, strv_items(&names));
	buf_addf(text, "%s: unknown setting%s%s%s", key, near ? " (did you mean " : "",
		 near ? near : "", near ? "?)" : "");
	strv_release(&names);
}

int settings_read(struct settings *s, const json_t *j, struct buf *text)
{
	const char *key;
	json_t *value;

	*s = (struct settings){.trials_per_job = 1,
			       .side_by_side = 1,
			       .cpus = 1,
			       .poll_sec = 2,
			       .cache_mb = 20000,
			       .options = STRV_INIT};
	json_object_foreach ((json_t *)j, key, value) {
		size_t row = 0;
		while (row < ARRAY_SIZE(table) && strcmp(table[row].name, key) != 0)
			row++;
		if (row == ARRAY_SIZE(table)) {
			unknown(key, text);
			return -1;
		}
		const char *why = set(s, row, value);
		if (why) {
			buf_addf(text, "%s: %s", key, why);
			return -1;
		}
	}
	if (s->side_by_side > s->trials_per_job) {
		buf_adds(text, "side_by_side: more than trials_per_job");
		return -1;
	}
	return 0;
}

void settings_release(struct settings *s)
{
	for (size_t i = 0; i < ARRAY_SIZE(table); i++)
		if (table[i].kind == TEXT)
			free(*(char **)((char *)s + table[i].offset));
	strv_release(&s->options);
}
