/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/path.h"
#include "cloud/batch.h"
#include "core/driver.h"

#define NAME_PREFIX "rollouts-"

enum {
	GATHER_MS = 1500,      /* jobs that come one after the other are one array */
	GATHER_MAX_MS = 20000, /* but not for ever */
	BULK = 50,	       /* jobs in one call */
};

static void add_resource(json_t *list, const char *type, int64_t value)
{
	AUTO(free) char *text = xasprintf("%lld", (long long)value);

	json_array_append_new(list, json_pack("{s:s,s:s}", "type", type, "value", text));
}

static json_t *overrides(const struct batch *b, const struct array *a, const json_t *job)
{
	const struct settings *s = &b->settings;
	double cpus = json_get_real(job, "cpus", 0);
	int64_t vcpus = (int64_t)cpus + (cpus > (double)(int64_t)cpus);
	int64_t memory = json_get_int(job, "memory_mb", 0);
	json_t *o = json_object();
	json_t *resources = json_array(), *command = json_array();

	vcpus = (vcpus > s->vcpus ? vcpus : s->vcpus) * s->side_by_side;
	memory = (memory > s->memory_mb ? memory : s->memory_mb) * s->side_by_side;
	add_resource(resources, "VCPU", vcpus);
	add_resource(resources, "MEMORY", memory);
	if (s->gpus)
		add_resource(resources, "GPU", s->gpus);
	if (s->command) {
		json_array_extend(command, s->command);
	} else {
		json_array_append_new(command, json_string("cloud"));
		json_array_append_new(command, json_string("node"));
	}
	json_array_append_new(command, json_string(s->storage));
	json_array_append_new(command, json_string(a->name));
	json_put(o, "resourceRequirements", resources);
	json_put(o, "command", command);
	return o;
}

/* Spot instances that are taken away, and hosts that fail, by Batch itself; an end of the program's own is ours to judge. */
static json_t *retries(const struct settings *s)
{
	json_t *r = json_object(), *on = json_array();

	json_put_int(r, "attempts", s->attempts);
	json_array_append_new(
		on, json_pack("{s:s,s:s}", "onStatusReason", "Host EC2*", "action", "RETRY"));
	json_array_append_new(on,
			      json_pack("{s:s,s:s}", "onReason", "CannotPull*", "action", "RETRY"));
	json_array_append_new(
		on, json_pack("{s:s,s:s}", "onReason", "DockerTimeoutError*", "action", "RETRY"));
	json_array_append_new(on, json_pack("{s:s,s:s}", "onReason", "*", "action", "EXIT"));
	json_put(r, "evaluateOnExit", on);
	return r;
}

static json_t *request(const struct batch *b, const struct array *a, const json_t *job)
{
	const struct settings *s = &b->settings;
	int64_t rounds = (s->trials_per_job + s->side_by_side - 1) / s->side_by_side;
	int64_t sec = s->time_sec ? s->time_sec : json_get_int(job, "time_sec", 0) * rounds;
	json_t *j = json_object();
	AUTO(free) char *name = xasprintf(NAME_PREFIX "%s", a->name);

	json_put_str(j, "jobName", name);
	json_put_str(j, "jobQueue", s->queue);
	json_put_str(j, "jobDefinition", s->definition);
	json_put(j, "containerOverrides", overrides(b, a, job));
	if (sec)
		json_put(j, "timeout",
			 json_pack("{s:I}", "attemptDurationSeconds",
				   (json_int_t)(sec < 60 ? 60 : sec)));
	if (a->n > 1)
		json_put(j, "arrayProperties", json_pack("{s:I}", "size", (json_int_t)a->n));
	if (s->attempts > 1)
		json_put(j, "retryStrategy", retries(s));
	if (s->share)
		json_put_str(j, "shareIdentifier", s->share);
	if (s->priority >= 0)
		json_put_int(j, "schedulingPriorityOverride", s->priority);
	if (s->tags) {
		json_put(j, "tags", json_incref(s->tags));
		json_put_bool(j, "propagateTags", true);
	}
	return j;
}

int submit_find(struct batch *b, const struct array *a, char **job, struct err *err)
{
	AUTO(free) char *name = xasprintf(NAME_PREFIX "%s", a->name);
	AUTO(json)
	json_t *ask = json_pack("{s:s,s:[{s:s,s:[s]}]}", "jobQueue", b->settings.queue, "filters",
				"name", "JOB_NAME", "values", name);
	AUTO(json) json_t *answer = NULL;
	size_t i;
	json_t *one;

	if (aws_json(&b->aws, "batch", "/v1/listjobs", NULL, ask, false, &answer, err))
		return -1;
	json_array_foreach (json_object_get(answer, "jobSummaryList"), i, one)
		if (!strcmp(json_get_str(one, "jobName", ""), name)) {
			*job = xstrdup(json_get_str(one, "jobId", NULL));
			return *job ? 0 : 1;
		}
	return err_set(err, ERR_INFRA, 0, "Batch knows no job %s", name), 1;
}

/* Whether it was taken though the answer was lost. What Batch lists may be behind. */
static int find_soon(struct batch *b, const struct array *a, char **job)
{
	enum { TRIES = 5, PAUSE_US = 1000000 };
	struct err ignored;
	int rc = 1;

	for (int i = 0; i < TRIES && rc; i++) {
		if (i)
			usleep(PAUSE_US);
		rc = submit_find(b, a, job, &ignored);
	}
	return rc;
}

static int ask_submit(struct batch *b, struct array *a, const json_t *job, struct err *err)
{
	AUTO(json) json_t *ask = request(b, a, job);
	AUTO(json) json_t *answer = NULL;
	AUTO(free) char *id = NULL;

	if (!aws_json(&b->aws, "batch", "/v1/submitjob", NULL, ask, true, &answer, err))
		id = xstrdup(json_get_str(answer, "jobId", NULL));
	else if (err->kind == ERR_INFRA && find_soon(b, a, &id))
		return -1;
	if (!id)
		return err->kind == ERR_INFRA ? -1
					      : err_set(err, ERR_USAGE, 0,
							"AWS Batch did not take it: %s", err->msg);
	return array_set_job(a, id, err);
}

static void drop(struct batch *b, struct array *a, const char *why)
{
	struct err err;

	/* If it was taken after all it finds nothing to do. */
	if (upload_forget(b, a, &err))
		driver_note("%s", err.msg);
	for (size_t i = 0; i < a->n; i++)
		for (size_t k = 0; k < a->tasks[i].n; k++)
			driver_say_failed(a->tasks[i].trials[k].token, why);
	if (path_remove_tree(AT_FDCWD, a->dir, &err))
		driver_note("%s", err.msg);
	array_release(a);
	*a = b->arrays[--b->n];
}

static void submit_array(struct batch *b, const json_t *jobs)
{
	AUTO(json) json_t *lists = driver_lists_of(jobs, b->settings.trials_per_job);
	struct err err = {0};
	struct array *a = array_new(b, lists, &err);
	size_t i;
	json_t *job;

	if (!a) {
		json_array_foreach (jobs, i, job)
			driver_say_failed(json_get_str(job, "token", ""), err.msg);
		return;
	}
	json_array_foreach (jobs, i, job)
		upload_remember(b, json_get_str(job, "dir", ""));
	if (upload_inputs(b, jobs, &err) || upload_tasks(b, a, &err) ||
	    ask_submit(b, a, json_array_get(jobs, 0), &err)) {
		drop(b, a, err.msg);
		return;
	}
	for (i = 0; i < a->n; i++)
		for (size_t k = 0; k < a->tasks[i].n; k++) {
			a->tasks[i].trials[k].attached = true;
			say_submitted(a, &a->tasks[i], &a->tasks[i].trials[k]);
		}
	upload_rollouts(b, true);
}

static bool are_alike(const json_t *a, const json_t *b)
{
	static const char *const names[] = {"cpus", "memory_mb", "time_sec"};

	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (!json_equal(json_object_get(a, names[i]), json_object_get(b, names[i])))
			return false;
	return true;
}

/* Jobs that ask for the same are one array, as far as an array goes. */
static void submit_all(struct batch *b, const json_t *jobs)
{
	AUTO(json) json_t *left = json_copy((json_t *)jobs);
	const size_t most = (size_t)(b->settings.array_max * b->settings.trials_per_job);

	while (json_array_size(left)) {
		AUTO(json) json_t *alike = json_array();
		json_t *others = json_array(), *job;
		size_t i;
		json_array_foreach (left, i, job)
			json_array_append(json_array_size(alike) < most &&
							  are_alike(job, json_array_get(left, 0))
						  ? alike
						  : others,
					  job);
		submit_array(b, alike);
		json_decref(left);
		left = others;
	}
}

void submit_gather(struct batch *b, const json_t *jobs)
{
	if (!json_array_size(b->gathered))
		b->first_ms = clock_mono_ms();
	json_array_extend(b->gathered, (json_t *)jobs);
	b->gathered_ms = clock_mono_ms();
}

void submit_due(struct batch *b, bool now)
{
	int64_t at = clock_mono_ms();
	const size_t n = json_array_size(b->gathered);

	if (!n || (!now && at < b->gathered_ms + GATHER_MS && at < b->first_ms + GATHER_MAX_MS &&
		   n < (size_t)b->parallel))
		return;
	AUTO(json) json_t *jobs = b->gathered;
	b->gathered = json_array();
	submit_all(b, jobs);
}

static int terminate_one(struct batch *b, const char *id, struct err *err)
{
	AUTO(json)
	json_t *ask = json_pack("{s:s,s:s}", "jobId", id, "reason", "cancelled by rollouts");
	AUTO(json) json_t *answer = NULL;

	return aws_json(&b->aws, "batch", "/v1/terminatejob", NULL, ask, false, &answer, err);
}

/* 1: this endpoint has no such call. */
static int terminate_bulk(struct batch *b, const json_t *ids, struct err *err)
{
	AUTO(json) json_t *ask = json_object();
	AUTO(json) json_t *answer = NULL;
	size_t i;
	json_t *one;

	json_put(ask, "jobs", json_incref((json_t *)ids));
	json_put_str(ask, "reason", "cancelled by rollouts");
	if (aws_json(&b->aws, "batch", "/v1/terminatejobs", NULL, ask, false, &answer, err))
		return strstr(err->msg, "HTTP 404") || strstr(err->msg, "HTTP 405") ? 1 : -1;
	json_array_foreach (json_object_get(answer, "errors"), i, one)
		driver_note(
			"job %s could not be ended: %s", json_get_str(one, "job", "?"),
			json_get_str(one, "message", json_get_str(one, "code", "no reason given")));
	return 0;
}

static void terminate(struct batch *b, const json_t *ids)
{
	struct err err;
	size_t i;
	json_t *id;
	int rc = b->no_bulk ? 1 : terminate_bulk(b, ids, &err);

	if (rc < 0)
		driver_note("%s", err.msg);
	b->no_bulk |= rc > 0;
	if (rc > 0)
		json_array_foreach (ids, i, id)
			if (terminate_one(b, json_string_value(id), &err))
				driver_note("%s", err.msg);
}

static bool is_cancelled(const struct task *t)
{
	for (size_t i = 0; i < t->n; i++)
		if (!t->trials[i].cancelled && !t->trials[i].ended)
			return false;
	return true;
}

/* A job ends once none of its trials is wanted; an array that is wanted no more is one job. */
void submit_cancel(struct batch *b)
{
	json_t *ids = json_array();

	for (size_t i = 0; i < b->n; i++) {
		struct array *a = &b->arrays[i];
		size_t wanted = 0, left = 0;
		bool whole = false;
		for (size_t k = 0; k < a->n; k++) {
			struct task *t = &a->tasks[k];
			wanted += !is_cancelled(t);
			left += t->state != TASK_ENDED && !t->cancel_sent;
		}
		if (!a->job || !left)
			continue;
		for (size_t k = 0; k < a->n; k++) {
			struct task *t = &a->tasks[k];
			if (t->state == TASK_ENDED || t->cancel_sent || !is_cancelled(t))
				continue;
			t->cancel_sent = true;
			if (whole)
				continue;
			whole = !wanted;
			AUTO(free) char *id = whole ? xstrdup(a->job) : array_child(a, t);
			json_array_append_new(ids, json_string(id));
			if (json_array_size(ids) == BULK) {
				terminate(b, ids);
				json_array_clear(ids);
			}
		}
	}
	if (json_array_size(ids))
		terminate(b, ids);
	json_decref(ids);
}
