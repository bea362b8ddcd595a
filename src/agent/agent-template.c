/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "agent/agent-template.h"
#include <string.h>
#include "agent/agent-kind.h"
#include "agent/agent-prompts.h"
#include "base/cleanup.h"
#include "base/json.h"
#include "base/mem.h"
#include "core/roles.h"
#include "model/sizes.h"

static void add_model(struct buf *out, const struct agent_job *job)
{
	const struct trial *t = &job->attempt->trial;

	buf_adds(out, t->model_id && *t->model_id ? t->model_id : t->model);
}

static void add_api(struct buf *out, const struct agent_job *job)
{
	buf_adds(out, agent_api(job->attempt));
}

static void add_instruction(struct buf *out, const struct agent_job *job)
{
	buf_adds(out, agent_prompt_text(job));
}

static void add_instruction_file(struct buf *out, const struct agent_job *job)
{
	AUTO(free) char *path = agent_prompt_file(job);

	buf_adds(out, path);
}

static void add_instruction_json(struct buf *out, const struct agent_job *job)
{
	AUTO(json) json_t *j = json_object();

	json_put_str(j, "text", agent_prompt_text(job));
	AUTO(free) char *text = json_dumps(json_object_get(j, "text"), JSON_ENCODE_ANY);
	buf_adds(out, text ? text : "\"\"");
}

static void add_images(struct buf *out, const struct agent_job *job)
{
	buf_adds(out, json_get_str(job->attempt->agent_spec, "images_text", ""));
}

static void add_seed(struct buf *out, const struct agent_job *job)
{
	if (job->attempt->trial.seed >= 0)
		buf_addf(out, "%lld", (long long)job->attempt->trial.seed);
}

static void add_rollout(struct buf *out, const struct agent_job *job)
{
	buf_addf(out, "%d", job->attempt->trial.rollout);
}

static void add_task_id(struct buf *out, const struct agent_job *job)
{
	buf_adds(out, job->attempt->trial.task_id);
}

static void add_gateway_url(struct buf *out, const struct agent_job *job)
{
	if (job->attempt->gateway)
		buf_addf(out, "http://127.0.0.1:%d", job->gateway_port);
}

static void add_token(struct buf *out, const struct agent_job *job)
{
	buf_adds(out, job->token ? job->token : "");
}

static struct model_sizes sizes_of(const struct agent_job *job)
{
	const struct trial *t = &job->attempt->trial;

	return model_sizes(t->model_id && *t->model_id ? t->model_id : t->model ? t->model : "");
}

static void add_context(struct buf *out, const struct agent_job *job)
{
	buf_addf(out, "%d", sizes_of(job).context);
}

static void add_max_output(struct buf *out, const struct agent_job *job)
{
	buf_addf(out, "%d", sizes_of(job).max_output);
}

static void add_home(struct buf *out, const struct agent_job *job)
{
	buf_adds(out, job->task->layout.home);
}

static void add_repo(struct buf *out, const struct agent_job *job)
{
	buf_adds(out, job->task->layout.repo);
}

static void add_system_prompt(struct buf *out, const struct agent_job *job)
{
	buf_adds(out, json_get_str(json_object_get(job->attempt->agent_spec, "system_prompt"),
				   "text", ""));
}

/* What the agent is told of its MCP servers, in the form that it takes. */
static void add_mcp(struct buf *out, const struct agent_job *job)
{
	agent_expand(out, json_get_str(job->attempt->agent_spec, "mcp_text", "{}"), job);
}

static const struct {
	const char *name;
	void (*add)(struct buf *out, const struct agent_job *job);
} placeholders[] = {
	{"{model}", add_model},
	{"{api}", add_api},
	{"{instruction}", add_instruction},
	{"{instruction_file}", add_instruction_file},
	{"{seed}", add_seed},
	{"{rollout}", add_rollout},
	{"{task_id}", add_task_id},
	{"{gateway_url}", add_gateway_url},
	{"{token}", add_token},
	{"{context}", add_context},
	{"{max_output}", add_max_output},
	{"{home}", add_home},
	{"{repo}", add_repo},
	{"{system_prompt}", add_system_prompt},
	{"{mcp}", add_mcp},
	{"{instruction_json}", add_instruction_json},
	{"{images}", add_images},
};

static void add_member(struct buf *out, const json_t *table, const char *name, size_t len)
{
	AUTO(free) char *key = xstrndup(name, len);

	buf_adds(out, json_get_str(table, key, ""));
}

/* As agent_env: the benchmark's variables count more than the file's, those more than the task's. */
static bool add_variable(struct buf *out, const struct agent_job *job, const char *name, size_t len)
{
	const json_t *own = json_object_get(job->attempt->agent_spec, "env");
	AUTO(free) char *key = xstrndup(name, len);
	const char *value = kvs_get(&job->attempt->trial.env, key);
	const char *given = json_get_str(own, key, NULL);

	if (kv_is_secret(key))
		value = NULL;
	if (!value && given && !strstr(given, "{env:")) {
		agent_expand(out, given, job);
		return true;
	}
	if (!value && !kv_is_secret(key))
		value = kvs_get(&job->task->env, key);
	if (!value && !strcmp(key, "HOME"))
		value = job->task->layout.home;
	buf_adds(out, value ? value : "");
	return value;
}

/* "{option:NAME}", "{env:NAME}" and "{env:NAME:-text}", where the text is for a variable that nobody set. */
static size_t expand_named(struct buf *out, const char *text, const struct agent_job *job)
{
	static const char option[] = "{option:", env[] = "{env:";
	const char *end = strchr(text, '}');

	if (!end)
		return 0;
	if (!strncmp(text, option, sizeof option - 1)) {
		const char *name = text + sizeof option - 1;
		add_member(out, json_object_get(job->attempt->agent_spec, "options"), name,
			   (size_t)(end - name));
		return (size_t)(end - text) + 1;
	}
	const char *name = text + sizeof env - 1;
	if (strncmp(text, env, sizeof env - 1) != 0)
		return 0;
	const char *otherwise = memmem(name, (size_t)(end - name), ":-", 2);
	const char *stop = otherwise ? otherwise : end;
	if (!add_variable(out, job, name, (size_t)(stop - name))) {
		if (!otherwise)
			return 0;
		buf_add(out, otherwise + 2, (size_t)(end - otherwise - 2));
	}
	return (size_t)(end - text) + 1;
}

/* The same for a role of the trial (core/roles.h): {model:coder}. One that the benchmark leaves out is the trial's own model. */
static const struct {
	const char *start, *member;
	void (*own)(struct buf *out, const struct agent_job *job);
} role_placeholders[] = {
	{"{model:", "model_id", add_model},
	{"{api:", "api", add_api},
	{"{context:", NULL, add_context},
	{"{max_output:", NULL, add_max_output},
};

static void add_role(struct buf *out, size_t i, const char *name, const struct agent_job *job)
{
	const json_t *roles = job->attempt->trial.roles;
	const char *model = role_get(roles, name, "model_id");

	if (!model)
		role_placeholders[i].own(out, job);
	else if (role_placeholders[i].member)
		buf_adds(out, role_get(roles, name, role_placeholders[i].member));
	else
		buf_addf(out, "%d",
			 role_placeholders[i].own == add_context ? model_sizes(model).context
								 : model_sizes(model).max_output);
}

static size_t expand_role(struct buf *out, const char *text, const struct agent_job *job)
{
	for (size_t i = 0; i < ARRAY_SIZE(role_placeholders); i++) {
		size_t n = strlen(role_placeholders[i].start);
		const char *end = strchr(text, '}');

		if (!end || strncmp(text, role_placeholders[i].start, n) != 0)
			continue;
		AUTO(free) char *name = xstrndup(text + n, (size_t)(end - text) - n);
		if (!role_is_name(name))
			return 0;
		add_role(out, i, name, job);
		return (size_t)(end - text) + 1;
	}
	return 0;
}

/* Length of the placeholder that TEXT starts with, its value appended; 0 when it is none. */
static size_t expand_one(struct buf *out, const char *text, const struct agent_job *job)
{
	for (size_t i = 0; i < ARRAY_SIZE(placeholders); i++) {
		size_t n = strlen(placeholders[i].name);

		if (strncmp(text, placeholders[i].name, n) == 0) {
			placeholders[i].add(out, job);
			return n;
		}
	}
	const size_t n = expand_named(out, text, job);
	return n ? n : expand_role(out, text, job);
}

void agent_expand(struct buf *out, const char *text, const struct agent_job *job)
{
	const char *start = text;

	while (*text) {
		bool is_shell = text > start && text[-1] == '$';
		size_t n = *text == '{' && !is_shell ? expand_one(out, text, job) : 0;

		if (!n)
			buf_addc(out, *text);
		text += n ? n : 1;
	}
}

char *agent_expanded(const char *text, const struct agent_job *job)
{
	AUTO(buf) struct buf out = BUF_INIT;

	agent_expand(&out, text, job);
	return buf_detach(&out);
}
