/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Which agents of today's files are those that earlier trials of a rollout ran with.
 */
#include <stdlib.h>
#include <string.h>
#include "base/cleanup.h"
#include "base/hash.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/path.h"
#include "rollout/inputs-internal.h"

/* What an agent does, without where it lies on this machine. */
static json_t *identity(const json_t *spec)
{
	json_t *j = json_deep_copy(spec), *argv = json_object_get(j, "argv");
	const char *program = json_string_value(json_array_get(argv, 0));

	json_t *source;
	size_t i;

	json_object_del(j, "mounts");
	json_object_del(j, "path");
	json_array_foreach (json_object_get(j, "sources"), i, source)
		json_object_del(source, "path");
	if (program)
		json_array_set_new(argv, 0, json_string(path_base(program)));
	return j;
}

/* What only one of them tells, as one of an older program does not, makes no difference. */
bool inputs_same_agent(const json_t *a, const json_t *b)
{
	AUTO(json) json_t *x = identity(a), *y = identity(b);

	if (!json_object_get(x, "content") || !json_object_get(y, "content")) {
		json_object_del(x, "content");
		json_object_del(y, "content");
	}
	return json_equal(x, y);
}

/* The name that SPEC has in OLD, or a new one. The caller frees. */
static char *name_of(const char *name, const json_t *spec, const json_t *old)
{
	const json_t *was = json_object_get(old, name);
	char digest[HASH_HEX];

	if (!was || inputs_same_agent(was, spec))
		return xstrdup(name);
	AUTO(json) json_t *j = identity(spec);
	AUTO(free) char *text = json_dumps(j, JSON_COMPACT | JSON_SORT_KEYS);
	hash_once(text, strlen(text), digest);
	return xasprintf("%s@%.8s", name, digest);
}

static void rename_choice(struct inputs_choice *c, const char *from, const char *to)
{
	for (size_t i = 0; i < c->entries_n; i++)
		for (char **name = c->agents[i]; *name; name++)
			if (strcmp(*name, from) == 0) {
				free(*name);
				*name = xstrdup(to);
			}
}

void inputs_rename_agents(struct inputs *in, struct inputs_choice *choice, const json_t *old,
			  struct strv *notes)
{
	json_t *renamed = json_object(), *spec;
	const char *name;

	json_object_foreach (in->agents, name, spec) {
		AUTO(free) char *now = name_of(name, spec, old);
		json_object_set(renamed, now, spec);
		if (strcmp(now, name) == 0)
			continue;
		rename_choice(choice, name, now);
		strv_pushf(notes,
			   "agent \"%s\" is not what it was for the trials that are there: its new "
			   "trials are "
			   "those of the agent \"%s\"",
			   name, now);
	}
	json_decref(in->agents);
	in->agents = renamed;
}
