/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "agent/agent-env.h"
#include "agent/agent-template.h"
#include "base/cleanup.h"
#include "base/json.h"
#include "base/mem.h"
#include "core/env-path.h"

static void add_env(struct strv *env, const struct kvs *from)
{
	for (size_t i = 0; i < from->n; i++) {
		const char *key = from->v[i].key;

		if (!kv_is_secret(key) && strcmp(key, "HOME") != 0)
			env_path_set(env, key, from->v[i].value);
	}
}

static void add_agent_env(struct strv *env, const struct agent_job *job)
{
	json_t *vars = json_object_get(job->attempt->agent_spec, "env");
	const char *key;
	json_t *v;

	json_object_foreach (vars, key, v) {
		AUTO(free)
		char *value = json_is_string(v) ? agent_expanded(json_string_value(v), job) : NULL;

		if (value)
			env_path_set(env, key, value);
	}
}

static void add_facts(struct strv *env, const struct agent_job *job)
{
	static const struct {
		const char *key, *template;
	} facts[] = {
		{"ROLLOUTS_TASK_ID", "{task_id}"},
		{"ROLLOUTS_MODEL", "{model}"},
		{"ROLLOUTS_ROLLOUT", "{rollout}"},
		{"ROLLOUTS_SEED", "{seed}"},
		{"ROLLOUTS_INSTRUCTION_FILE", "{instruction_file}"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(facts); i++) {
		AUTO(free) char *value = agent_expanded(facts[i].template, job);

		strv_setenv(env, facts[i].key, value);
	}
}

static json_t *expanded(const json_t *list, const struct agent_job *job)
{
	json_t *out = json_array(), *v;
	size_t i;

	json_array_foreach ((json_t *)list, i, v) {
		AUTO(free) char *text = agent_expanded(json_string_value(v), job);
		json_array_append_new(out, json_string(text));
	}
	return out;
}

/* The task's variables, then the agent file's, then the benchmark's: the nearer to the user wins.
 */
void agent_env(struct strv *env, const struct agent_job *job, const struct sandbox *s)
{
	sandbox_env(s, env);
	add_env(env, &job->task->env);
	add_agent_env(env, job);
	add_env(env, &job->attempt->trial.env);
	add_facts(env, job);
	/* Whoever set PATH last: the benchmark's tools come before it, for agent and tests alike. What the agent requires comes
	 * after it, so that nothing of the agent stands for what the task has. */
	AUTO(json) json_t *path = expanded(json_object_get(job->attempt->agent_spec, "path"), job);
	env_path_last(env, path);
	env_path_first(env, json_object_get(job->attempt->tools, "path"));
}

char *agent_start_dir(const struct agent_job *job)
{
	const char *subdir = job->task->repo.subdir;

	return subdir && *subdir ? xasprintf("%s/%s", job->task->layout.repo, subdir)
				 : xstrdup(job->task->layout.repo);
}

void agent_surroundings(struct strv *env, char **cwd, const struct agent_job *job,
			const struct sandbox *s)
{
	agent_env(env, job, s);
	*cwd = agent_start_dir(job);
}
