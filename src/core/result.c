/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "core/result.h"
#include <math.h>
#include "base/cleanup.h"
#include "base/json.h"
#include "base/mem.h"
#include "core/form.h"

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

#define METRIC(member, kind) FORM_FIELD(struct agent_metrics, member, kind, false)
static const struct form_field metric_fields[] = {
	METRIC(tokens_total, FORM_KNOWN64),  METRIC(tokens_input, FORM_KNOWN64),
	METRIC(tokens_cached, FORM_KNOWN64), METRIC(tokens_output, FORM_KNOWN64),
	METRIC(tool_calls, FORM_KNOWN64),    METRIC(turns, FORM_KNOWN64),
	METRIC(money_usd, FORM_KNOWN),	     METRIC(wall_ms, FORM_KNOWN64),
	METRIC(cpu_ms, FORM_KNOWN64),	     METRIC(memory_max, FORM_KNOWN64),
	METRIC(disk_bytes, FORM_KNOWN64),    METRIC(tokens_cache_write, FORM_KNOWN64),
	METRIC(calls, FORM_KNOWN64),	     METRIC(tokens_reasoning, FORM_KNOWN64),
	METRIC(estimated, FORM_KNOWN64),     METRIC(tokens_agent, FORM_KNOWN64),
	METRIC(waited_ms, FORM_KNOWN64),     METRIC(left_running, FORM_KNOWN64),
	METRIC(model_served, FORM_TEXT),     METRIC(keys, FORM_TEXT),
};

#define AGENT(member, kind, required) FORM_FIELD(struct agent_record, member, kind, required)
static const struct form_field agent_fields[] = {
	AGENT(reason, FORM_TEXT, false),	 AGENT(exit_status, FORM_INT, false),
	AGENT(diff_bytes, FORM_INT64, true),	 AGENT(diff_lines, FORM_INT64, true),
	AGENT(diff_truncated, FORM_BOOL, false), AGENT(digest, FORM_DIGEST, true),
	AGENT(version, FORM_TEXT, false),	 AGENT(tree, FORM_TEXT, false),
	AGENT(final_message, FORM_TEXT, false),	 AGENT(oom_killed, FORM_BOOL, false),
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

json_t *agent_record_to_json(const struct agent_record *a)
{
	json_t *j = json_object();
	json_t *metrics = json_object();

	json_put_int(j, "v", FORM_VERSION);
	json_put_str(j, "outcome", outcome_name(a->outcome));
	form_write(j, a, agent_fields, ARRAY_SIZE(agent_fields));
	form_write(metrics, &a->metrics, metric_fields, ARRAY_SIZE(metric_fields));
	json_put(j, "metrics", metrics);
	return j;
}

int agent_record_from_json(struct agent_record *a, const json_t *j, const char *where,
			   struct err *err)
{
	struct agent_record read = {.exit_status = -1, .metrics = agent_metrics_unknown};
	const json_t *metrics;

	if (form_check(j, where, err) || read_outcome(&read.outcome, j, where, err) ||
	    form_read(&read, agent_fields, ARRAY_SIZE(agent_fields), j, where, err))
		return -1;
	metrics = json_object_get(j, "metrics");
	if (metrics &&
	    form_read(&read.metrics, metric_fields, ARRAY_SIZE(metric_fields), metrics, where, err))
		return -1;
	*a = read;
	return 0;
}

#define RESULT(member, kind, required) FORM_FIELD(struct result, member, kind, required)
static const struct form_field result_fields[] = {
	RESULT(run_id, FORM_STR, true),	       RESULT(key, FORM_DIGEST, true),
	RESULT(attempt, FORM_INT, true),       RESULT(task_hash, FORM_DIGEST, false),
	RESULT(retry, FORM_BOOL, false),       RESULT(regrade, FORM_BOOL, false),
	RESULT(reason, FORM_TEXT, false),      RESULT(evaluated, FORM_BOOL, false),
	RESULT(coverage, FORM_KNOWN, false),   RESULT(tests, FORM_INT, false),
	RESULT(tests_passed, FORM_INT, false), RESULT(sandbox, FORM_STR, false),
	RESULT(workspace, FORM_STR, false),    RESULT(limits_held, FORM_STR, false),
	RESULT(image, FORM_STR, false),	       RESULT(oom_killed, FORM_BOOL, false),
};

void result_init(struct result *r)
{
	*r = (struct result){
		.outcome = OUTCOME_INFRA_ERROR,
		.agent = {.outcome = OUTCOME_INFRA_ERROR,
			  .exit_status = -1,
			  .metrics = agent_metrics_unknown},
		.coverage = -1,
	};
}

void result_release(struct result *r)
{
	free(r->run_id);
	free(r->sandbox);
	free(r->workspace);
	free(r->limits_held);
	free(r->image);
	scores_release(&r->scores);
	for (size_t i = 0; i < r->phases_n; i++)
		free(r->phases[i].name);
	free(r->phases);
	result_init(r);
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

	json_put_int(j, "v", FORM_VERSION);
	json_put_str(j, "outcome", outcome_name(r->outcome));
	form_write(j, r, result_fields, ARRAY_SIZE(result_fields));
	json_put(j, "total_score", r->scored ? json_real(r->total_score) : json_null());
	scores_to_json(&r->scores, j);
	json_put(j, "phases_ms", phases_to_json(r));
	json_put(j, "agent", r->has_agent ? agent_record_to_json(&r->agent) : json_null());
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

int result_from_json(struct result *r, const json_t *j, const char *where, struct err *err)
{
	struct result read;

	result_init(&read);
	if (form_check(j, where, err) || read_outcome(&read.outcome, j, where, err) ||
	    form_read(&read, result_fields, ARRAY_SIZE(result_fields), j, where, err) ||
	    read_score(&read, j, where, err) || scores_from_json(&read.scores, j, where, err) ||
	    read_phases(&read, j, where, err) || read_agent(&read, j, where, err)) {
		result_release(&read);
		return -1;
	}
	*r = read;
	return 0;
}
