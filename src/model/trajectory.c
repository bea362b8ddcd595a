/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "model/trajectory.h"
#include <stdio.h>
#include <string.h>
#include "base/cleanup.h"
#include "base/json.h"
#include "base/mem.h"

#define ATIF_VERSION "ATIF-v1.7"

static json_t *agent_of(const struct trajectory_facts *f, const struct conversation_said *s)
{
	json_t *j = json_object();
	const char *model = s->model && *s->model ? s->model : f->model;

	json_put_str(j, "name", f->agent);
	json_put_str(j, "version", *f->version ? f->version : "unknown");
	if (*model)
		json_put_str(j, "model_name", model);
	return j;
}

/* Arguments are an object there, whatever a model wrote. */
static json_t *arguments_of(const json_t *call)
{
	const json_t *function = json_object_get(call, "function");
	const json_t *given = json_object_get(function ? function : call, "arguments");
	const char *text = json_string_value(given);
	json_t *read = text ? json_loads(text, 0, NULL) : json_incref((json_t *)given);

	if (json_is_object(read))
		return read;
	json_decref(read);
	json_t *j = json_object();
	json_put_str(j, "input", text ? text : "");
	return j;
}

static json_t *calls_of(const json_t *message, size_t step)
{
	json_t *out = json_array();
	const json_t *call;
	size_t i;

	json_array_foreach (json_object_get(message, "tool_calls"), i, call) {
		const json_t *function = json_object_get(call, "function");
		json_t *j = json_object();
		AUTO(free) char *id = xasprintf("call-%zu-%zu", step, i + 1);
		json_put_str(j, "tool_call_id", json_get_str(call, "id", id));
		json_put_str(j, "function_name",
			     json_get_str(function ? function : call, "name", "unknown"));
		json_put(j, "arguments", arguments_of(call));
		json_array_append_new(out, j);
	}
	return out;
}

static const char *text_of(const json_t *message)
{
	return json_get_str(message, "content", "");
}

static json_t *step_of(const json_t *message, size_t number, const char *source)
{
	json_t *j = json_object();

	json_put_int(j, "step_id", (int64_t)number);
	json_put_str(j, "source", source);
	json_put_str(j, "message", text_of(message));
	return j;
}

/* What a tool answered belongs to the step that called it. */
static bool add_observation(json_t *step, const json_t *message)
{
	const char *id = json_get_str(message, "tool_call_id", NULL);
	const json_t *call;
	json_t *observation, *results, *j;
	bool known = false;
	size_t i;

	if (!step || strcmp(json_get_str(step, "source", ""), "agent") != 0)
		return false;
	json_array_foreach (json_object_get(step, "tool_calls"), i, call)
		known |= id && !strcmp(json_get_str(call, "tool_call_id", ""), id);
	observation = json_object_get(step, "observation");
	if (!observation) {
		observation = json_pack("{s:[]}", "results");
		json_put(step, "observation", observation);
	}
	results = json_object_get(observation, "results");
	j = json_object();
	if (known)
		json_put_str(j, "source_call_id", id);
	json_put_str(j, "content", text_of(message));
	json_array_append_new(results, j);
	return true;
}

static json_t *steps_of(const struct conversation_said *s)
{
	json_t *steps = json_array(), *last = NULL;
	const json_t *message;
	size_t i;

	json_array_foreach (s->messages, i, message) {
		const char *role = json_get_str(message, "role", "user");
		if (!strcmp(role, "tool") && add_observation(last, message))
			continue;
		const bool agent = !strcmp(role, "assistant");
		const bool system = !strcmp(role, "system") || !strcmp(role, "developer");
		const size_t number = json_array_size(steps) + 1;
		last = step_of(message, number, agent ? "agent" : system ? "system" : "user");
		json_array_append_new(steps, last);
		if (!agent)
			continue;
		if (s->model && *s->model)
			json_put_str(last, "model_name", s->model);
		const char *reasoning = json_get_str(message, "reasoning_content", "");
		if (*reasoning)
			json_put_str(last, "reasoning_content", reasoning);
		if (json_array_size(json_object_get(message, "tool_calls")))
			json_put(last, "tool_calls", calls_of(message, number));
	}
	return steps;
}

static json_t *one(const struct conversation_said *s, const struct trajectory_facts *f,
		   const char *id)
{
	json_t *j = json_object();

	json_put_str(j, "schema_version", ATIF_VERSION);
	json_put_str(j, "session_id", f->session);
	json_put_str(j, "trajectory_id", id);
	json_put(j, "agent", agent_of(f, s));
	json_put(j, "steps", steps_of(s));
	return j;
}

static void put_metrics(json_t *j, const struct trajectory_facts *f)
{
	json_t *m = json_object();

	if (f->tokens_input >= 0)
		json_put_int(m, "total_prompt_tokens", f->tokens_input);
	if (f->tokens_output >= 0)
		json_put_int(m, "total_completion_tokens", f->tokens_output);
	if (f->tokens_cached >= 0)
		json_put_int(m, "total_cached_tokens", f->tokens_cached);
	if (f->usd >= 0)
		json_put_real(m, "total_cost_usd", f->usd);
	json_put_int(m, "total_steps", (int64_t)json_array_size(json_object_get(j, "steps")));
	json_put(j, "final_metrics", m);
}

json_t *trajectory_make(const struct messages *m, const struct trajectory_facts *f)
{
	AUTO(json) json_t *others = json_array();
	json_t *root = NULL;

	for (size_t i = 0; i < m->n; i++) {
		AUTO(free) char *id = xasprintf("%s-%zu", f->session, i + 1);
		if (!json_array_size(m->v[i].messages))
			continue;
		json_t *j = one(&m->v[i], f, id);
		if (!root && m->v[i].part == MESSAGES_MAIN)
			root = j;
		else
			json_array_append_new(others, j);
	}
	if (!root && json_array_size(others)) {
		root = json_incref(json_array_get(others, 0));
		json_array_remove(others, 0);
	}
	if (!root)
		return NULL;
	if (json_array_size(others))
		json_put(root, "subagent_trajectories", json_incref(others));
	put_metrics(root, f);
	return root;
}
