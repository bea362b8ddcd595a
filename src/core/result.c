/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "core/result.h"
#include <math.h>
#include <stdio.h>
#include "base/cleanup.h"
#include "base/json.h"
#include "base/mem.h"
#include "core/json-fields.h"

const struct agent_metrics agent_metrics_unknown = {
	.tokens_total = -1,
	.tokens_input = -1,
	.tokens_cached = -1,
	.tokens_output = -1,
	.tokens_cache_write = -1,
	.tokens_reasoning = -1,
	.tokens_agent = -1,
	.calls = -1,
	.estimated = -1,
	.waited_ms = -1,
	.left_running = -1,
	.tool_calls = -1,
	.turns = -1,
	.money_usd = -1,
	.wall_ms = -1,
	.cpu_ms = -1,
	.memory_max = -1,
	.disk_bytes = -1,
};

#define METRIC(member, kind) JSON_FIELD(struct agent_metrics, member, kind, false)
static const struct json_field metric_fields[] = {
	METRIC(tokens_total, FIELD_KNOWN64),  METRIC(tokens_input, FIELD_KNOWN64),
	METRIC(tokens_cached, FIELD_KNOWN64), METRIC(tokens_output, FIELD_KNOWN64),
	METRIC(tool_calls, FIELD_KNOWN64),    METRIC(turns, FIELD_KNOWN64),
	METRIC(money_usd, FIELD_KNOWN),	      METRIC(wall_ms, FIELD_KNOWN64),
	METRIC(cpu_ms, FIELD_KNOWN64),	      METRIC(memory_max, FIELD_KNOWN64),
	METRIC(disk_bytes, FIELD_KNOWN64),    METRIC(tokens_cache_write, FIELD_KNOWN64),
	METRIC(calls, FIELD_KNOWN64),	      METRIC(tokens_reasoning, FIELD_KNOWN64),
	METRIC(estimated, FIELD_KNOWN64),     METRIC(tokens_agent, FIELD_KNOWN64),
	METRIC(waited_ms, FIELD_KNOWN64),     METRIC(left_running, FIELD_KNOWN64),
	METRIC(model_served, FIELD_TEXT),     METRIC(keys, FIELD_TEXT),
};

#define AGENT(member, kind, required) JSON_FIELD(struct agent_record, member, kind, required)
static const struct json_field agent_fields[] = {
	AGENT(reason, FIELD_TEXT, false),	  AGENT(exit_status, FIELD_INT, false),
	AGENT(diff_bytes, FIELD_INT64, true),	  AGENT(diff_lines, FIELD_INT64, true),
	AGENT(diff_truncated, FIELD_BOOL, false), AGENT(digest, FIELD_DIGEST, true),
	AGENT(version, FIELD_TEXT, false),	  AGENT(tree, FIELD_TEXT, false),
	AGENT(final_message, FIELD_TEXT, false),  AGENT(oom_killed, FIELD_BOOL, false),
	AGENT(ignored_paths, FIELD_INT64, false), AGENT(skipped_paths, FIELD_INT64, false),
	AGENT(diff_files, FIELD_KNOWN64, false),
};

static int read_outcome(enum outcome *out, const json_t *j, const char *where, struct err *err)
{
	const char *name;

	if (json_need_str(j, "outcome", where, &name, err))
		return -1;
	if (!outcome_parse(name, out))
		return err_set(err, ERR_USAGE, 0, "%s: unknown outcome \"%.40s\"", where, name);
	return 0;
}

/* TEXT's lines as a list. */
static void put_lines(json_t *j, const char *key, const char *text)
{
	AUTO(strv) struct strv lines = STRV_INIT;

	for (const char *end; *text; text = end + (*end == '\n')) {
		end = strchrnul(text, '\n');
		strv_pushf(&lines, "%.*s", (int)(end - text), text);
	}
	json_put_strv(j, key, &lines);
}

static void get_lines(char *to, size_t size, const json_t *list)
{
	size_t len = 0;

	for (size_t i = 0; i < json_array_size(list); i++) {
		const char *line = json_string_value(json_array_get(list, i));
		if (!line || len + strlen(line) + 2 > size)
			break;
		len += (size_t)snprintf(to + len, size - len, "%s%s", len ? "\n" : "", line);
	}
}

#define PROMPT(member, kind) JSON_FIELD(struct agent_prompt, member, kind, false)
static const struct json_field prompt_fields[] = {
	PROMPT(reason, FIELD_TEXT),	      PROMPT(wall_ms, FIELD_KNOWN64),
	PROMPT(calls, FIELD_KNOWN64),	      PROMPT(tokens_input, FIELD_KNOWN64),
	PROMPT(tokens_cached, FIELD_KNOWN64), PROMPT(tokens_output, FIELD_KNOWN64),
	PROMPT(tokens_total, FIELD_KNOWN64),  PROMPT(tool_calls, FIELD_KNOWN64),
	PROMPT(turns, FIELD_KNOWN64),	      PROMPT(money_usd, FIELD_KNOWN),
};

static json_t *prompts_to_json(const struct agent_record *a)
{
	json_t *list = json_array();

	for (size_t i = 0; i < a->prompts_n; i++) {
		const struct agent_prompt *p = &a->prompts[i];
		json_t *j = json_object();
		json_put_str(j, "outcome", p->asked ? outcome_name(p->outcome) : NULL);
		if (p->asked)
			json_fields_write(j, p, prompt_fields, ARRAY_SIZE(prompt_fields));
		json_array_append_new(list, j);
	}
	return list;
}

static int read_prompts(struct agent_record *a, const json_t *list, const char *where,
			struct err *err)
{
	size_t i;
	json_t *j;

	json_array_foreach ((json_t *)list, i, j) {
		struct agent_prompt *p = &a->prompts[i];
		if (i == AGENT_PROMPTS_MAX)
			break;
		a->prompts_n++;
		p->asked = json_is_string(json_object_get(j, "outcome"));
		if (p->asked &&
		    (read_outcome(&p->outcome, j, where, err) ||
		     json_fields_read(p, prompt_fields, ARRAY_SIZE(prompt_fields), j, where, err)))
			return -1;
	}
	return 0;
}

json_t *agent_record_to_json(const struct agent_record *a)
{
	json_t *j = json_object();
	json_t *metrics = json_object();

	json_put_int(j, "v", JSON_FIELDS_VERSION);
	json_put_str(j, "outcome", outcome_name(a->outcome));
	json_fields_write(j, a, agent_fields, ARRAY_SIZE(agent_fields));
	json_fields_write(metrics, &a->metrics, metric_fields, ARRAY_SIZE(metric_fields));
	if (a->metrics.by_model.n)
		json_put(metrics, "by_model", model_shares_to_json(&a->metrics.by_model));
	json_put(j, "metrics", metrics);
	if (model_options_any(&a->options))
		json_put(j, "model_options", model_options_to_json(&a->options));
	if (*a->variant)
		json_put(j, "variant", json_loads(a->variant, 0, NULL));
	if (a->counted_n) {
		json_t *counted = json_object();
		for (size_t i = 0; i < a->counted_n; i++)
			json_put_real(counted, a->counted[i].name, a->counted[i].value);
		json_put(j, "counted", counted);
	}
	if (a->prompts_n)
		json_put(j, "prompts", prompts_to_json(a));
	put_lines(j, "ignored", a->ignored);
	put_lines(j, "skipped", a->skipped);
	return j;
}

static void read_counted(struct agent_record *a, const json_t *counted)
{
	const char *name;
	json_t *v;

	json_object_foreach ((json_t *)counted, name, v)
		if (a->counted_n < AGENT_COUNTED_MAX && json_is_number(v)) {
			struct agent_counted *c = &a->counted[a->counted_n++];
			snprintf(c->name, sizeof c->name, "%s", name);
			c->value = json_number_value(v);
			c->known = true;
		}
}

int agent_record_from_json(struct agent_record *a, const json_t *j, const char *where,
			   struct err *err)
{
	struct agent_record read = {
		.exit_status = -1, .diff_files = -1, .metrics = agent_metrics_unknown};
	const json_t *metrics;

	if (json_fields_check(j, where, err) || read_outcome(&read.outcome, j, where, err) ||
	    json_fields_read(&read, agent_fields, ARRAY_SIZE(agent_fields), j, where, err))
		return -1;
	metrics = json_object_get(j, "metrics");
	if (metrics && json_fields_read(&read.metrics, metric_fields, ARRAY_SIZE(metric_fields),
					metrics, where, err))
		return -1;
	model_shares_from_json(&read.metrics.by_model, json_object_get(metrics, "by_model"));
	model_options_from_json(&read.options, json_object_get(j, "model_options"));
	AUTO(free) char *variant = json_dumps(json_object_get(j, "variant"), JSON_COMPACT);
	snprintf(read.variant, sizeof read.variant, "%s",
		 variant && strlen(variant) < sizeof read.variant ? variant : "");
	read_counted(&read, json_object_get(j, "counted"));
	if (read_prompts(&read, json_object_get(j, "prompts"), where, err))
		return -1;
	get_lines(read.ignored, sizeof read.ignored, json_object_get(j, "ignored"));
	get_lines(read.skipped, sizeof read.skipped, json_object_get(j, "skipped"));
	*a = read;
	return 0;
}

#define RESULT(member, kind, required) JSON_FIELD(struct result, member, kind, required)
static const struct json_field result_fields[] = {
	RESULT(run_id, FIELD_STR, true),	   RESULT(rollout_id, FIELD_STR, false),
	RESULT(key, FIELD_DIGEST, true),	   RESULT(attempt, FIELD_INT, true),
	RESULT(task_hash, FIELD_DIGEST, false),	   RESULT(refused, FIELD_BOOL, false),
	RESULT(cause, FIELD_TEXT, false),	   RESULT(retry, FIELD_BOOL, false),
	RESULT(regrade, FIELD_BOOL, false),	   RESULT(reason, FIELD_TEXT, false),
	RESULT(evaluated, FIELD_BOOL, false),	   RESULT(coverage, FIELD_KNOWN, false),
	RESULT(tests, FIELD_INT, false),	   RESULT(tests_passed, FIELD_INT, false),
	RESULT(sandbox, FIELD_STR, false),	   RESULT(workspace, FIELD_STR, false),
	RESULT(limits_held, FIELD_STR, false),	   RESULT(image_id, FIELD_STR, false),
	RESULT(platform, FIELD_STR, false),	   RESULT(image, FIELD_STR, false),
	RESULT(oom_killed, FIELD_BOOL, false),	   RESULT(program, FIELD_STR, false),
	RESULT(judge_score, FIELD_KNOWN, false),   RESULT(judge_model, FIELD_TEXT, false),
	RESULT(judge_prompt, FIELD_DIGEST, false), RESULT(isolation, FIELD_STR, false),
	RESULT(cpus, FIELD_REAL, false),	   RESULT(frozen_ms, FIELD_INT64, false),
	RESULT(around, FIELD_STR, false),
};

#define USAGE(member, kind) JSON_FIELD(struct model_usage, member, kind, false)
static const struct json_field usage_fields[] = {
	USAGE(calls, FIELD_INT64),
	USAGE(estimated, FIELD_INT64),
	USAGE(tokens_input, FIELD_INT64),
	USAGE(tokens_cached, FIELD_INT64),
	USAGE(tokens_cache_write, FIELD_INT64),
	USAGE(tokens_output, FIELD_INT64),
	USAGE(tokens_reasoning, FIELD_INT64),
	USAGE(waited_ms, FIELD_INT64),
	USAGE(money_usd, FIELD_KNOWN),
	USAGE(model_served, FIELD_TEXT),
	USAGE(keys, FIELD_TEXT),
};

#define TESTS(member, kind) JSON_FIELD(struct test_usage, member, kind, false)
static const struct json_field test_usage_fields[] = {
	TESTS(wall_ms, FIELD_INT64),	TESTS(cpu_ms, FIELD_INT64),
	TESTS(memory_max, FIELD_INT64), TESTS(cpu_pressure, FIELD_KNOWN),
	TESTS(cpu_steal, FIELD_KNOWN),	TESTS(timed_out_under_load, FIELD_BOOL),
	TESTS(killed, FIELD_BOOL),
};

void result_init(struct result *r)
{
	*r = (struct result){
		.outcome = OUTCOME_INFRA_ERROR,
		.agent = {.outcome = OUTCOME_INFRA_ERROR,
			  .exit_status = -1,
			  .diff_files = -1,
			  .metrics = agent_metrics_unknown},
		.usage = {.cpu_pressure = -1, .cpu_steal = -1},
		.coverage = -1,
		.score_low = -1,
		.score_high = -1,
		.judge_score = -1,
	};
}

void result_release(struct result *r)
{
	free(r->program);
	free(r->run_id);
	free(r->rollout_id);
	free(r->sandbox);
	free(r->workspace);
	free(r->limits_held);
	free(r->isolation);
	free(r->around);
	free(r->image);
	free(r->image_id);
	free(r->platform);
	json_decref(r->tools);
	json_decref(r->machine);
	json_decref(r->tool_versions);
	json_decref(r->judge_votes);
	json_decref(r->harbor);
	metrics_release(&r->metrics);
	strv_release(&r->suspect);
	for (size_t i = 0; i < r->steps_n; i++) {
		free(r->steps[i].name);
		scores_release(&r->steps[i].scores);
	}
	free(r->steps);
	for (size_t i = 0; i < r->phases_n; i++)
		free(r->phases[i].name);
	free(r->phases);
	result_init(r);
}

struct step_result *result_add_step(struct result *r, const char *name)
{
	r->steps = xreallocarray(r->steps, r->steps_n + 1, sizeof *r->steps);
	r->steps[r->steps_n] = (struct step_result){.name = xstrdup(name)};
	return &r->steps[r->steps_n++];
}

static void put_steps(json_t *j, const struct result *r)
{
	json_t *values = json_object(), *steps = json_array();

	for (size_t i = 0; i < r->steps_n; i++) {
		const struct step_result *s = &r->steps[i];
		json_t *step = json_object();

		scores_values_to_json(&s->scores, values);
		json_put_str(step, "name", s->name);
		json_put_int(step, "tests", s->tests);
		json_put_int(step, "tests_passed", s->tests_passed);
		json_put(step, "grades", scores_to_json(&s->scores));
		json_array_append_new(steps, step);
	}
	json_put(j, "scores", values);
	json_put(j, "steps", steps);
}

static int read_step(struct result *r, const json_t *j, const char *where, struct err *err)
{
	struct step_result *s = result_add_step(r, json_get_str(j, "name", ""));

	s->tests = (int)json_get_int(j, "tests", 0);
	s->tests_passed = (int)json_get_int(j, "tests_passed", 0);
	return scores_from_json(&s->scores, json_object_get(j, "grades"), where, err);
}

/* A result of a program before there were steps is one of a single step. */
static int read_steps(struct result *r, const json_t *j, const char *where, struct err *err)
{
	const json_t *steps = json_object_get(j, "steps"), *step;
	struct scores known = {0};
	size_t i;

	if (scores_values_from_json(&known, json_object_get(j, "scores"), where, err)) {
		scores_release(&known);
		return -1;
	}
	if (!steps && r->evaluated) {
		struct step_result *only = result_add_step(r, "");
		only->tests = r->tests;
		only->tests_passed = r->tests_passed;
		only->scores = known;
		return 0;
	}
	scores_release(&known);
	json_array_foreach (steps, i, step)
		if (read_step(r, step, where, err))
			return -1;
	return 0;
}

void result_add_phase(struct result *r, const char *name, int64_t ms)
{
	r->phases = xreallocarray(r->phases, r->phases_n + 1, sizeof *r->phases);
	r->phases[r->phases_n++] = (struct phase_time){xstrdup(name), ms};
}

static json_t *phases_to_json(const struct result *r)
{
	json_t *obj = json_object();

	for (size_t i = 0; i < r->phases_n; i++)
		json_put_int(obj, r->phases[i].name, r->phases[i].ms);
	return obj;
}

static int read_phases(struct result *r, const json_t *j, const char *where, struct err *err)
{
	json_t *obj = json_object_get(j, "phases_ms");
	const char *name;
	json_t *v;

	json_object_foreach (obj, name, v) {
		if (!json_is_number(v))
			return err_set(err, ERR_USAGE, 0,
				       "%s: \"phases_ms\" holds something that is no number",
				       where);
		result_add_phase(r, name, (int64_t)json_number_value(v));
	}
	return 0;
}

json_t *result_to_json(const struct result *r)
{
	json_t *j = json_object();

	json_put_int(j, "v", JSON_FIELDS_VERSION);
	json_put_str(j, "outcome", outcome_name(r->outcome));
	json_fields_write(j, r, result_fields, ARRAY_SIZE(result_fields));
	json_put(j, "total_score", r->scored ? json_real(r->total_score) : json_null());
	json_put(j, "score_bounds", score_bounds_to_json(r->score_low, r->score_high));
	put_steps(j, r);
	json_put(j, "phases_ms", phases_to_json(r));
	json_put(j, "tools", r->tools ? json_incref(r->tools) : json_null());
	json_put(j, "tool_versions",
		 r->tool_versions ? json_incref(r->tool_versions) : json_null());
	json_put(j, "judge_votes", r->judge_votes ? json_incref(r->judge_votes) : json_null());
	json_put(j, "agent", r->has_agent ? agent_record_to_json(&r->agent) : json_null());
	json_t *judge = r->has_judge ? json_object() : json_null();
	if (r->has_judge)
		json_fields_write(judge, &r->judge, usage_fields, ARRAY_SIZE(usage_fields));
	json_put(j, "judge", judge);
	if (r->harbor)
		json_put(j, "harbor", json_incref(r->harbor));
	if (r->machine)
		json_put(j, "machine", json_incref(r->machine));
	json_put_strv(j, "suspect", &r->suspect);
	json_put(j, "metrics", metrics_to_json(&r->metrics));
	json_put(j, "self_reported", metrics_self_reported(&r->metrics));
	json_t *usage = r->evaluated ? json_object() : json_null();
	if (r->evaluated)
		json_fields_write(usage, &r->usage, test_usage_fields,
				  ARRAY_SIZE(test_usage_fields));
	json_put(j, "evaluation", usage);
	return j;
}

static int read_score(struct result *r, const json_t *j, const char *where, struct err *err)
{
	const json_t *v = json_object_get(j, "total_score");

	if (!v || json_is_null(v))
		return 0;
	r->total_score = json_number_value(v);
	if (!json_is_number(v) || !(r->total_score >= 0 && r->total_score <= 1))
		return err_set(err, ERR_USAGE, 0, "%s: total_score is not a number from 0 to 1",
			       where);
	r->scored = true;
	return 0;
}

static void read_bounds(struct result *r, const json_t *j)
{
	const json_t *bounds = json_object_get(j, "score_bounds");

	if (json_array_size(bounds) != 2)
		return;
	r->score_low = json_number_value(json_array_get(bounds, 0));
	r->score_high = json_number_value(json_array_get(bounds, 1));
}

static int read_agent(struct result *r, const json_t *j, const char *where, struct err *err)
{
	const json_t *agent = json_object_get(j, "agent");

	if (!agent || json_is_null(agent))
		return 0;
	if (agent_record_from_json(&r->agent, agent, where, err))
		return err_wrap(err, "\"agent\"");
	r->has_agent = true;
	return 0;
}

static int read_judge(struct result *r, const json_t *j, const char *where, struct err *err)
{
	const json_t *judge = json_object_get(j, "judge");

	if (!json_is_object(judge))
		return 0;
	if (json_fields_read(&r->judge, usage_fields, ARRAY_SIZE(usage_fields), judge, where, err))
		return err_wrap(err, "\"judge\"");
	r->has_judge = true;
	return 0;
}

/* A result of a program that did not measure it has none. */
static int read_usage(struct result *r, const json_t *j, const char *where, struct err *err)
{
	const json_t *usage = json_object_get(j, "evaluation"),
		     *suspect = json_object_get(j, "suspect");

	for (size_t i = 0; i < json_array_size(suspect); i++)
		if (json_is_string(json_array_get(suspect, i)))
			strv_push(&r->suspect, json_string_value(json_array_get(suspect, i)));

	metrics_from_json(&r->metrics, json_object_get(j, "metrics"),
			  json_object_get(j, "self_reported"));
	if (!json_is_object(usage))
		return 0;
	return json_fields_read(&r->usage, test_usage_fields, ARRAY_SIZE(test_usage_fields), usage,
				where, err)
		       ? err_wrap(err, "\"evaluation\"")
		       : 0;
}

/* A new reference; NULL where it is null or absent. */
static json_t *object_of(const json_t *j, const char *key)
{
	json_t *v = json_object_get(j, key);

	return json_is_object(v) ? json_incref(v) : NULL;
}

int result_from_json(struct result *r, const json_t *j, const char *where, struct err *err)
{
	struct result read;

	result_init(&read);
	if (json_fields_check(j, where, err) || read_outcome(&read.outcome, j, where, err) ||
	    json_fields_read(&read, result_fields, ARRAY_SIZE(result_fields), j, where, err) ||
	    read_score(&read, j, where, err) || read_steps(&read, j, where, err) ||
	    read_phases(&read, j, where, err) || read_agent(&read, j, where, err) ||
	    read_judge(&read, j, where, err) || read_usage(&read, j, where, err)) {
		result_release(&read);
		return -1;
	}
	read_bounds(&read, j);
	read.tools = object_of(j, "tools");
	read.tool_versions = object_of(j, "tool_versions");
	read.judge_votes = object_of(j, "judge_votes");
	read.harbor = object_of(j, "harbor");
	read.machine = object_of(j, "machine");
	*r = read;
	return 0;
}
