/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Whether agents can do what their tasks ask of them beside the instruction: before anything is spent.
 */
#include "base/cleanup.h"
#include "base/json.h"
#include "base/mem.h"
#include <string.h>
#include "rollout/inputs-internal.h"

/* What a task may ask for, and what an agent's file then must have. */
static const struct {
	const char *asked, *member, *says;
	bool built_in; /* the agent "bash" can */
} asks[] = {
	{"lm.follow_ups", "follow_up", "how its session goes on with another prompt", true},
	{"lm.images", "images", "how it is handed pictures", true},
	{"MCP servers", "mcp_config", "how it is told of them", false},
};
enum { ASK_FOLLOW_UPS, ASK_IMAGES, ASK_MCP };

static bool is_asked(const struct task *t, size_t what, const json_t *spec)
{
	switch (what) {
	case ASK_FOLLOW_UPS:
		return t->steps[0].follow_ups.n;
	case ASK_IMAGES:
		return t->steps[0].images.n;
	default: /* as those of a benchmark, they are for agents that ask a model */
		return json_object_size(json_object_get(t->around, "mcp")) &&
		       *json_get_str(spec, "needs", "");
	}
}

static bool is_able(const json_t *spec, size_t what)
{
	const char *kind = json_get_str(spec, "kind", "cli");

	if (!json_is_object(spec) || !strcmp(kind, "nop") || !strcmp(kind, "oracle"))
		return true; /* what cannot be used was complained of; these two do nothing that is asked */
	if (!strcmp(kind, "bash"))
		return asks[what].built_in;
	return json_object_get(spec, asks[what].member);
}

void inputs_check_asks(const struct inputs *in, const struct inputs_choice *choice,
		       struct strv *problems)
{
	AUTO(strv) struct strv told = STRV_INIT;

	for (size_t i = 0; i < in->bench.entries_n; i++) {
		const struct task *t = &in->tasks[in->entry_task[i]].task;
		for (char **agent = choice->agents[i]; t->steps_n && *agent; agent++) {
			const json_t *spec = json_object_get(in->agents, *agent);
			for (size_t what = 0; what < ARRAY_SIZE(asks); what++) {
				AUTO(free) char *pair = xasprintf("%s/%zu", *agent, what);
				if (!is_asked(t, what, spec) || is_able(spec, what) ||
				    strv_has(&told, pair))
					continue;
				strv_push(&told, pair);
				strv_pushf(problems,
					   "%s: task \"%s\" has %s, and agent \"%s\" cannot take "
					   "them%s%s%s%s",
					   in->bench.entries[i].agent_place, t->id,
					   asks[what].asked, *agent,
					   strcmp(*agent, "bash") ? ": its file has no [" : "",
					   strcmp(*agent, "bash") ? asks[what].member : "",
					   strcmp(*agent, "bash") ? "], which says " : "",
					   strcmp(*agent, "bash") ? asks[what].says : "");
			}
		}
	}
}
