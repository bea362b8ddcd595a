/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "core/trial.h"
#include <stdio.h>
#include <string.h>
#include "base/json.h"
#include "base/mem.h"
#include "core/datadir.h"
#include "core/json-fields.h"

#define TRIAL(member, kind, required) JSON_FIELD(struct trial, member, kind, required)
static const struct json_field trial_fields[] = {
	TRIAL(index, FIELD_INT, true),
	TRIAL(run_id, FIELD_STR, true),
	TRIAL(key, FIELD_DIGEST, true),
	TRIAL(task_dir, FIELD_STR, false),
	TRIAL(task_id, FIELD_STR, true),
	TRIAL(task_hash, FIELD_STR, false),
	TRIAL(task_snapshot, FIELD_STR, true),
	TRIAL(variant, FIELD_STR, false),
	TRIAL(agent, FIELD_STR, true),
	TRIAL(model, FIELD_STR, false),
	TRIAL(provider, FIELD_STR, false),
	TRIAL(api, FIELD_STR, false),
	TRIAL(model_id, FIELD_STR, false),
	TRIAL(rollout, FIELD_INT, true),
	TRIAL(seed, FIELD_INT64, false),
	TRIAL(launcher, FIELD_STR, false),
	TRIAL(network, FIELD_BOOL, false),
	TRIAL(image, FIELD_STR, false),
	TRIAL(image_id, FIELD_STR, false),
	TRIAL(retries, FIELD_INT, false),
	TRIAL(evaluate, FIELD_BOOL, false),
	TRIAL(strict, FIELD_BOOL, false),
	TRIAL(eval_retries, FIELD_INT, false),
	TRIAL(repository, FIELD_STR, false),
	TRIAL(cluster, FIELD_STR, false),
	TRIAL(planned_hash, FIELD_STR, false),
	TRIAL(reward, FIELD_STR, false),
	TRIAL(contract, FIELD_STR, false),
	TRIAL(verifier_images, FIELD_STR, false),
	TRIAL(eval_network, FIELD_BOOL, false),
	TRIAL(repo_path, FIELD_STR, false),
	TRIAL(refused, FIELD_STR, false),
	TRIAL(verifier_tools, FIELD_STR, false),
	TRIAL(judged, FIELD_INT, false),
};

void trial_release(struct trial *t)
{
	for (size_t i = 0; i < ARRAY_SIZE(trial_fields); i++)
		if (trial_fields[i].kind == FIELD_STR)
			free(*(char **)((char *)t + trial_fields[i].offset));
	kvs_release(&t->env);
	strv_release(&t->tags);
	json_decref(t->roles);
	*t = (struct trial){.seed = -1, .options = model_options_default};
}

bool trial_is_harbor(const struct trial *t)
{
	return t->contract && !strcmp(t->contract, "harbor");
}

size_t trial_verifier_images(const struct trial *t)
{
	const char *at = t->verifier_images ? t->verifier_images : "";
	size_t n = *at != '\0';

	for (; *at; at++)
		n += *at == ' ';
	return n;
}

void trial_verifier_image(const struct trial *t, size_t i, char out[HASH_HEX])
{
	const char *at = t->verifier_images ? t->verifier_images : "";

	while (i-- && *at) {
		at += strcspn(at, " ");
		at += *at == ' ';
	}
	snprintf(out, HASH_HEX, "%.*s", *at ? (int)strcspn(at, " ") : 1, *at ? at : "-");
}

bool trial_is_moved(const struct trial *t)
{
	return t->planned_hash && *t->planned_hash;
}

json_t *trial_to_json(const struct trial *t)
{
	json_t *j = json_object();

	json_fields_write(j, t, trial_fields, ARRAY_SIZE(trial_fields));
	json_put_str(j, "sandbox", sandbox_kind_name(t->sandbox));
	json_put_str(j, "workspace", workspace_kind_name(t->workspace));
	json_put_strv(j, "tags", &t->tags);
	json_put(j, "env", kvs_to_json(&t->env));
	json_put(j, "limits", limits_to_json(&t->limits));
	if (model_options_any(&t->options))
		json_put(j, "model_options", model_options_to_json(&t->options));
	if (json_object_size(t->roles))
		json_put(j, "roles", json_incref(t->roles));
	return j;
}

static int read_kinds(struct trial *t, const json_t *j, const char *where, struct err *err)
{
	const char *sandbox, *workspace;

	if (json_need_str(j, "sandbox", where, &sandbox, err) ||
	    json_need_str(j, "workspace", where, &workspace, err))
		return -1;
	if (!sandbox_kind_parse(sandbox, &t->sandbox))
		return err_set(err, ERR_USAGE, 0, "%s: unknown sandbox \"%.40s\"", where, sandbox);
	if (!workspace_kind_parse(workspace, &t->workspace))
		return err_set(err, ERR_USAGE, 0, "%s: unknown workspace \"%.40s\"", where,
			       workspace);
	return 0;
}

/* The strings that a missing member leaves at NULL; nobody shall have to ask. */
static void fill_strings(struct trial *t)
{
	for (size_t i = 0; i < ARRAY_SIZE(trial_fields); i++) {
		char **s = (char **)((char *)t + trial_fields[i].offset);

		if (trial_fields[i].kind == FIELD_STR && !*s)
			*s = xstrdup("");
	}
}

int trial_from_json(struct trial *t, const json_t *j, const char *where, struct err *err)
{
	struct trial read = {
		.seed = -1, .tags = STRV_INIT, .evaluate = true, .limits = limits_default};

	if (!json_is_object(j))
		return err_set(err, ERR_USAGE, 0, "%s: a trial is not a JSON object", where);
	if (json_fields_read(&read, trial_fields, ARRAY_SIZE(trial_fields), j, where, err) ||
	    read_kinds(&read, j, where, err)) {
		trial_release(&read);
		return -1;
	}
	/* Planned before providers were known: the model's name is the provider's. */
	if (!read.model_id)
		read.model_id = xstrdup(read.model);
	fill_strings(&read);
	json_get_strv(j, "tags", &read.tags);
	kvs_from_json(&read.env, json_object_get(j, "env"));
	limits_from_json(&read.limits, json_object_get(j, "limits"));
	model_options_from_json(&read.options, json_object_get(j, "model_options"));
	json_t *roles = json_object_get(j, "roles");
	read.roles = json_object_size(roles) ? json_incref(roles) : NULL;
	*t = read;
	return 0;
}

#define ATTEMPT(member, kind, required) JSON_FIELD(struct attempt, member, kind, required)
/* rollout_id stands first: store/owner.c reads no further. */
static const struct json_field attempt_fields[] = {
	ATTEMPT(rollout_id, FIELD_STR, false),	    ATTEMPT(number, FIELD_INT, true),
	ATTEMPT(agent_from, FIELD_INT, false),	    ATTEMPT(regrade, FIELD_BOOL, false),
	ATTEMPT(stream_output, FIELD_BOOL, false),  ATTEMPT(sync, FIELD_BOOL, false),
	ATTEMPT(gateway, FIELD_STR, false),	    ATTEMPT(control, FIELD_STR, false),
	ATTEMPT(replay, FIELD_STR, false),	    ATTEMPT(record, FIELD_BOOL, false),
	ATTEMPT(replay_or_live, FIELD_BOOL, false), ATTEMPT(bench, FIELD_STR, false),
	ATTEMPT(preflight, FIELD_BOOL, false),	    ATTEMPT(grades_from, FIELD_INT, false),
	ATTEMPT(keep_tests, FIELD_BOOL, false),	    ATTEMPT(keep_judge, FIELD_BOOL, false),
	ATTEMPT(watch_network, FIELD_BOOL, false),  ATTEMPT(agent_only, FIELD_BOOL, false),
	ATTEMPT(around, FIELD_STR, false),
};

void attempt_release(struct attempt *a)
{
	trial_release(&a->trial);
	json_decref(a->agent_spec);
	json_decref(a->tools);
	json_decref(a->ratings);
	json_decref(a->shell);
	json_decref(a->machine);
	free(a->gateway);
	free(a->control);
	judge_release(&a->judge);
	free(a->replay);
	free(a->bench);
	free(a->rollout_id);
	free(a->around);
	*a = (struct attempt){.trial.seed = -1};
}

const char *attempt_taken_folder(const struct attempt *a, char number[static 16])
{
	if (a->agent_from == a->number)
		return ATTEMPT_OF_AGENT;
	snprintf(number, 16, "%d", a->agent_from);
	return number;
}

bool attempt_agent_asks(const struct attempt *a)
{
	return a->gateway && !a->agent_from && (!a->control || *a->trial.provider);
}

json_t *attempt_to_json(const struct attempt *a)
{
	json_t *j = json_object();

	json_put_int(j, "v", JSON_FIELDS_VERSION);
	json_fields_write(j, a, attempt_fields, ARRAY_SIZE(attempt_fields));
	json_put(j, "judge", judge_to_json(&a->judge));
	json_put_int(j, "uid", a->uid);
	json_put(j, "trial", trial_to_json(&a->trial));
	if (a->shell)
		json_put(j, "shell", json_incref(a->shell));
	if (a->machine)
		json_put(j, "machine", json_incref(a->machine));
	if (a->ratings)
		json_put(j, "ratings", json_incref(a->ratings));
	json_put(j, "tools", a->tools ? json_incref(a->tools) : json_null());
	json_put(j, "agent_spec", a->agent_spec ? json_incref(a->agent_spec) : json_null());
	return j;
}

static int read_attempt(struct attempt *a, const json_t *j, const char *where, struct err *err)
{
	int64_t uid = json_get_int(j, "uid", 0);
	json_t *spec = json_object_get(j, "agent_spec");

	if (judge_from_json(&a->judge, json_object_get(j, "judge"), where, err) ||
	    json_fields_read(a, attempt_fields, ARRAY_SIZE(attempt_fields), j, where, err) ||
	    trial_from_json(&a->trial, json_object_get(j, "trial"), where, err))
		return -1;
	if (a->number < 1 || uid < 0 || uid >= UINT32_MAX)
		return err_set(err, ERR_USAGE, 0, "%s: absurd attempt number or uid", where);
	a->uid = (uid_t)uid;
	const json_t *tools = json_object_get(j, "tools");
	a->tools = json_is_object(tools) ? json_incref((json_t *)tools) : NULL;
	a->ratings = json_incref(json_object_get(j, "ratings"));
	a->shell = json_incref(json_object_get(j, "shell"));
	a->machine = json_incref(json_object_get(j, "machine"));
	a->agent_spec = json_is_object(spec) ? json_incref(spec) : NULL;
	return 0;
}

int attempt_from_json(struct attempt *a, const json_t *j, const char *where, struct err *err)
{
	struct attempt read = {.trial.seed = -1};

	if (json_fields_check(j, where, err))
		return -1;
	if (read_attempt(&read, j, where, err)) {
		attempt_release(&read);
		return -1;
	}
	*a = read;
	return 0;
}
