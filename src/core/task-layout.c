/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "core/task-layout.h"
#include <string.h>
#include "base/cleanup.h"
#include "base/mem.h"
#include "base/path.h"
#include "core/json-fields.h"

const struct task_layout task_layout_prepared = {
	.app = "/app",
	.repo = "/app/repo",
	.instructions = "/app/LM_INSTRUCTIONS.md",
	.notes = "/app/notes.md",
	.home = "/home/agent",
	.results = "/app/results",
};

#define LAYOUT(member, required) JSON_FIELD(struct task_layout, member, FIELD_TEXT, required)
static const struct json_field fields[] = {
	LAYOUT(app, true),	   LAYOUT(repo, true),	     LAYOUT(instructions, true),
	LAYOUT(notes, true),	   LAYOUT(home, true),	     LAYOUT(results, true),
	LAYOUT(agent_user, false), LAYOUT(test_user, false),
};

static void move_app(struct task_layout *l, const char *to)
{
	char *const paths[] = {l->instructions, l->notes, l->results};
	const size_t n = strlen(l->app);

	for (size_t i = 0; i < ARRAY_SIZE(paths); i++) {
		AUTO(free) char *moved = xasprintf("%s%s", to, paths[i] + n);
		json_fields_copy(paths[i], TASK_PATH_MAX, moved);
	}
	json_fields_copy(l->app, TASK_PATH_MAX, to);
}

const char *task_layout_set_repo(struct task_layout *l, const char *path)
{
	static const char *const systems[] = {"/bin",  "/boot", "/dev",	  "/etc",      "/lib",
					      "/proc", "/run",	"/sbin",  "/sys",      "/tmp",
					      "/usr",  "/var",	"/lib64", "/.rollouts"};
	static const char *const own[] = {"/tmp", "/var/tmp", "/run"};

	if (*path != '/' || strlen(path) >= TASK_PATH_MAX || !path_is_inside(path + 1) ||
	    path[strlen(path) - 1] == '/')
		return "it must be an absolute path without \"..\", and not \"/\"";
	for (size_t i = 0; i < ARRAY_SIZE(systems); i++)
		if (!strcmp(path, systems[i]))
			return "the system is there";
	if (path_is_within(path, "/proc") || path_is_within(path, "/sys") ||
	    path_is_within(path, "/dev") || path_is_within(path, "/.rollouts"))
		return "the system is there";
	for (size_t i = 0; i < ARRAY_SIZE(own); i++)
		if (path_is_within(own[i], path) || path_is_within(path, own[i]))
			return "it is a folder of the trial's own";
	if (path_is_within(l->home, path))
		return "the agent's home is there";
	if (path_is_within(l->app, path))
		move_app(l, "/task");
	json_fields_copy(l->repo, sizeof l->repo, path);
	return NULL;
}

json_t *task_layout_to_json(const struct task_layout *l)
{
	json_t *j = json_object();

	json_fields_write(j, l, fields, ARRAY_SIZE(fields));
	return j;
}

int task_layout_from_json(struct task_layout *out, const json_t *j, const char *where,
			  struct err *err)
{
	*out = task_layout_prepared;
	return j ? json_fields_read(out, fields, ARRAY_SIZE(fields), j, where, err) : 0;
}
