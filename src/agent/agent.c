/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "agent/agent.h"
#include "agent/agent-kind.h"
#include "agent/agent-mcp.h"
#include "agent/agent-services.h"
#include "base/cleanup.h"
#include "base/hash.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/text.h"

static const struct agent_kind *const kinds[] = {&agent_nop, &agent_oracle, &agent_cli, &agent_bash,
						 &agent_import};

/* A file may leave `kind` out: then it is a command. Without a spec the trial's agent is built in.
 */
static const struct agent_kind *find_kind(const struct attempt *a)
{
	const char *fallback = a->agent_spec ? "cli" : a->trial.agent;
	const char *name = json_get_str(a->agent_spec, "kind", fallback);

	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++)
		if (strcmp(kinds[i]->name, name) == 0)
			return kinds[i];
	return NULL;
}

size_t agent_mounts(const json_t *spec, const char *key, struct sandbox_mount *out, size_t max)
{
	const json_t *mounts = json_object_get(spec, key);
	size_t i, n = 0;
	json_t *m;

	json_array_foreach (mounts, i, m) {
		const char *host = json_get_str(m, "host", NULL);

		if (host && n < max)
			out[n++] = (struct sandbox_mount){host, json_get_str(m, "box", host)};
	}
	return n;
}

/* TEXT with the path FROM, where it is one or begins one, as TO; NULL: it is not there. The caller owns it. */
static char *moved(const char *text, const char *from, const char *to)
{
	const size_t n = strlen(from);
	AUTO(buf) struct buf out = BUF_INIT;
	const char *at = text, *hit;
	bool any = false;

	while ((hit = strstr(at, from))) {
		const bool whole = !hit[n] || hit[n] == '/' || hit[n] == ':';
		buf_add(&out, at, (size_t)(hit - at));
		buf_adds(&out, whole ? to : from);
		any |= whole;
		at = hit + n;
	}
	buf_adds(&out, at);
	return any ? buf_detach(&out) : NULL;
}

static void move_all(json_t *j, const char *from, const char *to)
{
	const char *key;
	json_t *v;
	size_t i;

	if (json_is_string(j)) {
		AUTO(free) char *text = moved(json_string_value(j), from, to);
		if (text)
			json_string_set(j, text);
	}
	if (json_is_array(j))
		json_array_foreach (j, i, v)
			move_all(v, from, to);
	if (json_is_object(j))
		json_object_foreach (j, key, v)
			move_all(v, from, to);
}

void agent_unmount(json_t *spec)
{
	json_t *m;
	size_t i;

	json_array_foreach (json_object_get(spec, "mounts"), i, m) {
		AUTO(free) char *host = xstrdup(json_get_str(m, "host", ""));
		AUTO(free) char *box = xstrdup(json_get_str(m, "box", host));
		if (*box && strcmp(box, host))
			move_all(spec, box, host);
	}
}

/* The spec with the table of the trial's API laid over it, and what the task has around its agents; the caller releases. */
static json_t *spec_for_trial(const struct agent_job *job)
{
	json_t *spec = json_copy(job->attempt->agent_spec); /* NULL in, NULL out */
	json_t *over = json_object_get(json_object_get(spec, "api"), agent_api(job->attempt));

	if (!spec)
		return NULL;
	agent_lay(spec, "argv", json_object_get(over, "args"));
	agent_lay(spec, "env", json_object_get(over, "env"));
	agent_lay(spec, "files", json_object_get(over, "files"));
	agent_mcp_lay(spec, job->task);
	return spec;
}

static int run_kind(const struct agent_kind *kind, const struct agent_job *job, struct sandbox *s,
		    struct agent_record *out, struct err *err)
{
	AUTO(json) json_t *spec = spec_for_trial(job);
	struct attempt attempt = *job->attempt;
	struct agent_job mine = *job;

	attempt.agent_spec = spec;
	mine.attempt = &attempt;
	return kind->run(&mine, s, out, err);
}

int agent_prepare(const struct agent_job *job, struct sandbox *s, struct err *err)
{
	AUTO(json) json_t *spec = spec_for_trial(job);
	struct attempt attempt = *job->attempt;
	struct agent_job mine = *job;

	attempt.agent_spec = spec;
	mine.attempt = &attempt;
	return agent_services_start(&mine, s, err);
}

static json_t *digest_of(const char *text)
{
	char digest[HASH_HEX];

	hash_once(text, strlen(text), digest);
	return json_string(digest);
}

static void tell_variant(struct agent_record *out, const json_t *spec)
{
	const json_t *options = json_object_get(spec, "options"),
		     *prompt = json_object_get(spec, "system_prompt");
	AUTO(json) json_t *told = json_object();
	AUTO(free) char *text = json_dumps(options, JSON_COMPACT | JSON_SORT_KEYS);

	if (text && json_object_size(options))
		json_put(told, "options",
			 strlen(text) < sizeof out->variant / 2 ? json_deep_copy(options)
								: digest_of(text));
	if (prompt)
		json_put(told, "system_prompt",
			 json_pack("{s:s, s:o}", "how", json_get_str(prompt, "how", ""), "sha256",
				   digest_of(json_get_str(prompt, "text", ""))));
	AUTO(free) char *all = json_dumps(told, JSON_COMPACT | JSON_SORT_KEYS);
	if (json_object_size(told) && all)
		snprintf(out->variant, sizeof out->variant, "%s", all);
}

int agent_run(const struct agent_job *job, struct sandbox *s, struct agent_record *out,
	      struct err *err)
{
	const struct agent_kind *kind = find_kind(job->attempt);

	if (!kind)
		return err_set(err, ERR_USAGE, 0, "trial.json: agent \"%s\" is of no known kind",
			       job->attempt->trial.agent);
	*out = (struct agent_record){
		.outcome = OUTCOME_COMPLETED, .exit_status = -1, .metrics = agent_metrics_unknown};
	snprintf(out->version, sizeof out->version, "%s",
		 json_get_str(job->attempt->agent_spec, "version", ""));
	snprintf(out->tree, sizeof out->tree, "%s",
		 json_get_str(job->attempt->agent_spec, "tree", ""));
	tell_variant(out, job->attempt->agent_spec);
	return run_kind(kind, job, s, out, err);
}
