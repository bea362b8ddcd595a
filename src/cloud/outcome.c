/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include "base/cleanup.h"
#include "base/json.h"
#include "base/mem.h"
#include "cloud/batch.h"

enum { LOG_LINES = 3, KILLED = 137, TERMINATED = 143 };

/* What Batch and ECS say, and what it means: the first that fits, of the container's reason before the job's. */
static const struct {
	const char *said, *means;
} meanings[] = {
	{"no space left on device", "the disk of its instance is full"},
	{"CannotCreateVolume", "the disk of its instance is full"},
	{"Host EC2", "its instance was taken away (a spot instance reclaimed, or lost)"},
	{"Spot Instance", "its spot instance was reclaimed"},
	{"Spot Task", "its spot instance was reclaimed"},
	{"Spot interruption", "its spot instance was reclaimed"},
	{"preempted", "it was preempted by a job of a higher priority"},
	{"CannotPull", "its image could not be pulled"},
	{"not found: manifest", "its image could not be pulled"},
	{"CannotStartContainer", "its container did not start"},
	{"CannotCreateContainer", "its container did not start"},
	{"CannotInspectContainer", "its container engine does not answer"},
	{"ContainerRuntime", "its container engine does not answer"},
	{"DockerTimeoutError", "its container engine does not answer"},
	{"DockerStateError", "its container engine does not answer"},
	{"agent disconnected", "its instance does not answer"},
	{"ResourceInitializationError", "what it needs could not be set up (a secret, a network)"},
	{"OutOfMemory", "it ran out of memory"},
	{"Job attempt duration exceeded timeout", "it ran longer than its job may"},
	{"cancelled by rollouts", "it was cancelled"},
	{"MISCONFIGURATION", "its queue or definition asks for what there is not"},
	{"CAPACITY:", "there was no instance for it"},
	{"JobStateTimeLimit", "it waited longer than its queue lets jobs wait"},
	{"Task failed to start", "its container did not start"},
	{"Essential container in task exited", NULL},
};

static const char *meaning(const char *text, bool *known)
{
	for (size_t i = 0; i < ARRAY_SIZE(meanings); i++)
		if (strcasestr(text, meanings[i].said)) {
			*known = true;
			return meanings[i].means;
		}
	return NULL;
}

/* The last lines of what its container said. */
static void add_log(struct buf *out, struct batch *b, const char *stream)
{
	AUTO(json)
	json_t *ask =
		json_pack("{s:s,s:s,s:i,s:b}", "logGroupName", b->settings.log_group,
			  "logStreamName", stream, "limit", LOG_LINES, "startFromHead", false);
	AUTO(json) json_t *answer = NULL;
	struct err ignored;
	size_t i;
	json_t *one;

	if (aws_json(&b->aws, "logs", "/", "Logs_20140328.GetLogEvents", ask, false, &answer,
		     &ignored))
		return;
	const json_t *events = json_object_get(answer, "events");
	json_array_foreach (events, i, one) {
		const char *text = json_get_str(one, "message", "");
		buf_addf(out, "%s%.200s", i ? " | " : "; its log ends: ", text);
	}
}

char *outcome_text(struct batch *b, const json_t *job)
{
	const json_t *attempts = json_object_get(job, "attempts");
	const json_t *last = json_array_size(attempts)
				     ? json_array_get(attempts, json_array_size(attempts) - 1)
				     : NULL;
	const json_t *container = json_object_get(last, "container");
	const json_t *whole = json_object_get(job, "container");
	const char *why = json_get_str(last, "statusReason", json_get_str(job, "statusReason", ""));
	const char *reason = json_get_str(container, "reason", json_get_str(whole, "reason", ""));
	const char *stream = json_get_str(container, "logStreamName",
					  json_get_str(whole, "logStreamName", NULL));
	int64_t code = json_get_int(container, "exitCode", json_get_int(whole, "exitCode", -1));
	struct buf out = BUF_INIT;
	bool known = false;

	const char *means = meaning(reason, &known);
	if (!means)
		means = meaning(why, &known);
	if (!means && code == KILLED)
		means = "it was killed";
	if (!means && code == TERMINATED)
		means = "it was told to end";
	buf_addf(&out, "%s (AWS Batch: job %s, %s", means ? means : "its job failed",
		 json_get_str(job, "jobId", "?"), *why ? why : json_get_str(job, "status", "?"));
	if (*reason)
		buf_addf(&out, "; %s", reason);
	if (code >= 0)
		buf_addf(&out, "; exit code %lld", (long long)code);
	if (json_array_size(attempts) > 1)
		buf_addf(&out, "; attempt %zu", json_array_size(attempts));
	buf_addc(&out, ')');
	if (stream && *stream && code != 0)
		add_log(&out, b, stream);
	return buf_detach(&out);
}
