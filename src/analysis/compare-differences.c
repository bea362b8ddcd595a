/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "analysis/compare-differences.h"
#include <string.h>
#include "base/cleanup.h"
#include "base/hash.h"
#include "base/json.h"
#include "base/mem.h"
#include "core/roles.h"

static const char *or_none(const char *s)
{
	return s && *s ? s : "none";
}

/* The fields of limits_to_json() as names that live as long as the program. */
static const char *const limit_names[] = {
	"timeout_ms", "eval_timeout_ms", "eval_total_ms", "cpus", "memory_mb", "disk_mb",
	"disk_files", "diff_mb",	 "tokens",	  "usd",  "calls",     "pids",
	"files",
};

static void note(struct compare_differences *out, const char *what, const char *candidate,
		 const char *baseline, size_t tasks)
{
	if (strcmp(candidate, baseline) == 0)
		return;
	for (size_t i = 0; i < out->n; i++) {
		if (strcmp(out->v[i].what, what) != 0)
			continue;
		out->v[i].tasks += tasks;
		return;
	}
	GROW(out->v, out->n, out->cap);
	out->v[out->n++] =
		(struct compare_difference){what, xstrdup(candidate), xstrdup(baseline), tasks};
}

/* A text of a member of a spec: itself where it is short, else its digest. The caller frees. */
static char *member_text(const json_t *spec, const char *key)
{
	enum { SHOWN = 80 };
	const json_t *v = json_object_get(spec, key);
	AUTO(buf) struct buf text = BUF_INIT;
	char digest[HASH_HEX];

	if (!v)
		return xstrdup("none");
	if (json_is_string(v))
		buf_adds(&text, json_string_value(v));
	else
		json_format(&text, v, false);
	if (text.len <= SHOWN)
		return buf_detach(&text);
	hash_once(text.data, text.len, digest);
	return xasprintf("%.12s", digest);
}

/* Two agents, or two of one name, may be told different things: a row for each kind. */
static void note_specs(struct compare_differences *out, const json_t *a, const json_t *b,
		       size_t tasks)
{
	static const struct {
		const char *key, *what;
	} rows[] = {
		{"options", "agent's options"},
		{"system_prompt", "agent's system prompt"},
		{"argv", "agent's command"},
		{"env", "agent's variables"},
		{"files", "agent's files"},
		{"copies", "agent's copied files"},
		{"mcp", "agent's MCP servers"},
		{"services", "agent's services"},
		{"before", "agent's commands before"},
		{"sources", "agent's source"},
		{"required", "agent's required programs"},
		{"tree", "agent's packages"},
	};
	bool any = false;

	if (!a || !b || json_equal((json_t *)a, (json_t *)b))
		return;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		AUTO(free) char *x = member_text(a, rows[i].key);
		AUTO(free) char *y = member_text(b, rows[i].key);
		any = any || strcmp(x, y) != 0;
		note(out, rows[i].what, x, y, tasks);
	}
	if (any)
		return;
	AUTO(buf) struct buf x = BUF_INIT, y = BUF_INIT;
	char of_a[HASH_HEX], of_b[HASH_HEX];
	json_format(&x, a, false);
	json_format(&y, b, false);
	hash_once(x.data, x.len, of_a);
	hash_once(y.data, y.len, of_b);
	note(out, "agent's file", of_a, of_b, tasks);
}

static void note_agents(struct compare_differences *out, const json_t *candidate,
			const json_t *baseline)
{
	const char *name;
	json_t *a;

	json_object_foreach ((json_t *)candidate, name, a)
		note_specs(out, a, json_object_get(baseline, name), 0);
}

void compare_differences_agents(struct compare_differences *out, const struct rollout *candidate,
				const char *agent, const struct rollout *baseline,
				const char *other)
{
	if (strcmp(agent, other) != 0)
		note_specs(out, json_object_get(candidate->agents, agent),
			   json_object_get(baseline->agents, other), 0);
}

void compare_differences_rollouts(struct compare_differences *out, const struct rollout *candidate,
				  const struct rollout *baseline)
{
	if (candidate == baseline)
		return;
	note(out, "benchmark", candidate->ref.name, baseline->ref.name, 0);
	note(out, "config", or_none(candidate->config), or_none(baseline->config), 0);
	if (*candidate->config_hash && *baseline->config_hash)
		note(out, "config's content", candidate->config_hash, baseline->config_hash, 0);
	if (*candidate->program && *baseline->program)
		note(out, "version of rollouts", candidate->program, baseline->program, 0);
	note_agents(out, candidate->agents, baseline->agents);
}

/* What was only seen when it ran; unknown in what older programs wrote. */
static void note_seen(struct compare_differences *out, const char *what, const char *candidate,
		      const char *baseline)
{
	if (candidate && baseline)
		note(out, what, candidate, baseline, 1);
}

/* With whose tests it was graded, if it was. */
static const char *graded_hash(const struct trial_status *t)
{
	const char *graded = trial_graded_hash(t);

	return or_none(*graded ? graded : t->shared->task_hash);
}

static void note_limits(struct compare_differences *out, const struct limits *candidate,
			const struct limits *baseline)
{
	if (limits_equal(candidate, baseline))
		return;
	AUTO(json) json_t *a = limits_to_json(candidate), *b = limits_to_json(baseline);
	for (size_t i = 0; i < ARRAY_SIZE(limit_names); i++) {
		AUTO(buf) struct buf x = BUF_INIT, y = BUF_INIT;
		const json_t *of_a = json_object_get(a, limit_names[i]),
			     *of_b = json_object_get(b, limit_names[i]);
		if (json_equal(of_a, of_b))
			continue;
		if (of_a)
			json_format(&x, of_a, false);
		if (of_b)
			json_format(&y, of_b, false);
		note(out, limit_names[i], or_none(x.data), or_none(y.data), 1);
	}
}

static void note_options(struct compare_differences *out, const struct model_options *candidate,
			 const struct model_options *baseline)
{
	AUTO(buf) struct buf x = BUF_INIT, y = BUF_INIT;

	if (model_options_equal(candidate, baseline))
		return;
	AUTO(json) json_t *a = model_options_to_json(candidate);
	AUTO(json) json_t *b = model_options_to_json(baseline);
	json_format(&x, a, false);
	json_format(&y, b, false);
	note(out, "model options", x.data, y.data, 1);
}

static void note_roles(struct compare_differences *out, const json_t *candidate,
		       const json_t *baseline)
{
	AUTO(buf) struct buf x = BUF_INIT, y = BUF_INIT;

	if (roles_equal(candidate, baseline))
		return;
	roles_text(&x, candidate);
	roles_text(&y, baseline);
	note(out, "roles", or_none(x.data), or_none(y.data), 1);
}

static void note_env(struct compare_differences *out, const struct kvs *candidate,
		     const struct kvs *baseline)
{
	if (!candidate->n && !baseline->n)
		return;
	AUTO(json) json_t *a = kvs_to_json(candidate), *b = kvs_to_json(baseline);
	AUTO(buf) struct buf x = BUF_INIT, y = BUF_INIT;

	if (json_equal(a, b))
		return;
	json_format(&x, a, false);
	json_format(&y, b, false);
	note(out, "environment", x.data, y.data, 1);
}

void compare_differences_trials(struct compare_differences *out,
				const struct trial_status *candidate,
				const struct trial_status *baseline)
{
	const struct trial *a = candidate->shared->setting, *b = baseline->shared->setting;

	note(out, "task hash", graded_hash(candidate), graded_hash(baseline), 1);
	note(out, "judge", or_none(candidate->result.origin->judge_model),
	     or_none(baseline->result.origin->judge_model), 1);
	note(out, "judge's prompt", or_none(candidate->result.origin->judge_prompt),
	     or_none(baseline->result.origin->judge_prompt), 1);
	note(out, "model", or_none(a->model), or_none(b->model), 1);
	note(out, "label", or_none(a->variant), or_none(b->variant), 1);
	note(out, "agent", or_none(a->agent), or_none(b->agent), 1);
	note(out, "provider", or_none(a->provider), or_none(b->provider), 1);
	note(out, "model's name there", or_none(a->model_id), or_none(b->model_id), 1);
	note(out, "API", or_none(a->api), or_none(b->api), 1);
	note_options(out, &a->options, &b->options);
	note_roles(out, a->roles, b->roles);
	const struct trial_result *x = &candidate->result, *y = &baseline->result;
	note_seen(out, "model that answered", x->origin->served, y->origin->served);
	note_seen(out, "agent's version", x->origin->agent_version, y->origin->agent_version);
	note_seen(out, "model that graded", x->origin->judge_served, y->origin->judge_served);
	note_seen(out, "image as run", x->origin->image_id, y->origin->image_id);
	note_seen(out, "build of rollouts", x->origin->program, y->origin->program);
	note(out, "sandbox", sandbox_kind_name(a->sandbox), sandbox_kind_name(b->sandbox), 1);
	note(out, "image", or_none(candidate->shared->image), or_none(baseline->shared->image), 1);
	note(out, "workspace", workspace_kind_name(a->workspace), workspace_kind_name(b->workspace),
	     1);
	note(out, "launcher", or_none(a->launcher), or_none(b->launcher), 1);
	note(out, "network", a->network ? "yes" : "no", b->network ? "yes" : "no", 1);
	note(out, "scoring", a->strict ? "strict" : "scored", b->strict ? "strict" : "scored", 1);
	note_limits(out, &a->limits, &b->limits);
	note_env(out, &a->env, &b->env);
}
