/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "core/task-layout.h"
#include "base/mem.h"
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
