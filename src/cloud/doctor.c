/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * rollouts-cloud doctor SETTINGS NAME DATA no: each thing that a run needs of AWS is used once. The exit status is 0 when all of it works, else 3.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/text.h"
#include "cloud/cloud.h"
#include "cloud/init.h"

enum { JOB_MS = 900000, ASK_MS = 5000, FIRST_ASK_MS = 500 };

static bool tell(const char *what, int rc, const char *text)
{
	AUTO(buf) struct buf safe = BUF_INIT;

	text_renders(&safe, text, TEXT_TERMINAL_LINE);
	printf("%s %-15s %s\n", rc ? "✗" : "✓", what, safe.data);
	fflush(stdout);
	return !rc;
}

static int use_bucket(struct account *a, struct err *err)
{
	AUTO(free) char *key =
		xasprintf("doctor/%d-%lld", (int)getpid(), (long long)clock_wall_ms());
	AUTO(strv) struct strv keys = STRV_INIT;
	struct s3_object put = {
		.key = key, .data = "doctor", .bytes = 6, .fd = -1, .only_new = true};
	struct s3_object again = put, get = {.key = key, .fd = -1, .text = BUF_INIT};

	strv_push(&keys, key);
	if (s3_put(&a->s3, &put, 1, err) || s3_get(&a->s3, &get, 1, err))
		return -1;
	AUTO(buf) struct buf text = get.text;
	int rc = s3_put(&a->s3, &again, 1, err);
	if (!rc && strcmp(text.data, "doctor") != 0)
		rc = err_set(err, ERR_INFRA, 0, "an object came back as another");
	if (!rc && !again.rc)
		rc = err_set(err, ERR_INFRA, 0,
			     "it does not know If-None-Match, by which a result is written once");
	struct err why;
	if (s3_delete(&a->s3, &keys, &why) && !rc) {
		*err = why;
		rc = -1;
	}
	return rc;
}

static int use_definition(struct account *a, char *text, size_t size, struct err *err)
{
	AUTO(json) json_t *found = NULL;

	if (init_found_definition(a, &found, err))
		return -1;
	if (!found)
		return err_set(err, ERR_USAGE, 0,
			       "there is none of that name: rollouts cloud init --yes");
	const json_t *c = json_object_get(found, "containerProperties");
	snprintf(text, size, "revision %lld, image %s%s",
		 (long long)json_get_int(found, "revision", 0), json_get_str(c, "image", "?"),
		 json_get_bool(c, "privileged", false)
			 ? ""
			 : ", not privileged: sandboxes may not work");
	if (a->settings.image) {
		AUTO(json) json_t *wanted = init_definition(a);
		if (!init_is_alike(found, wanted))
			return err_set(
				err, ERR_USAGE, 0,
				"it is another one than these settings make: rollouts cloud init");
	}
	return 0;
}

/* The end of job ID; its description is *OUT. */
static int wait_for(struct account *a, const char *id, json_t **out, struct err *err)
{
	int64_t end = clock_mono_ms() + JOB_MS, pause = FIRST_ASK_MS;

	while (clock_mono_ms() < end) {
		AUTO(json) json_t *ask = json_pack("{s:[s]}", "jobs", id);
		AUTO(json) json_t *answer = NULL;
		if (aws_json(&a->aws, "batch", "/v1/describejobs", NULL, ask, false, &answer, err))
			return -1;
		json_t *job = json_array_get(json_object_get(answer, "jobs"), 0);
		const char *status = json_get_str(job, "status", "");
		if (!strcmp(status, "SUCCEEDED") || !strcmp(status, "FAILED")) {
			*out = json_incref(job);
			return 0;
		}
		usleep((useconds_t)pause * 1000);
		pause = pause * 2 < ASK_MS ? pause * 2 : ASK_MS;
	}
	return err_set(err, ERR_INFRA, 0, "job %s did not end in a quarter of an hour", id);
}

static int use_job(struct account *a, char *text, size_t size, struct err *err)
{
	AUTO(json)
	json_t *ask = json_pack("{s:s,s:s,s:s,s:{s:[s]},s:{s:i}}", "jobName", "rollouts-doctor",
				"jobQueue", a->settings.queue, "jobDefinition",
				a->settings.definition, "containerOverrides", "command",
				"--version", "timeout", "attemptDurationSeconds", 300);
	AUTO(json) json_t *answer = NULL;
	AUTO(json) json_t *job = NULL;
	AUTO(json) json_t *log = NULL;

	if (aws_json(&a->aws, "batch", "/v1/submitjob", NULL, ask, true, &answer, err) ||
	    wait_for(a, json_get_str(answer, "jobId", ""), &job, err))
		return -1;
	const json_t *c = json_object_get(job, "container");
	const char *stream = json_get_str(c, "logStreamName", NULL);
	if (strcmp(json_get_str(job, "status", ""), "SUCCEEDED") != 0)
		return err_set(err, ERR_INFRA, 0, "it failed: %s %s",
			       json_get_str(job, "statusReason", ""),
			       json_get_str(c, "reason", ""));
	AUTO(json)
	json_t *read = json_pack("{s:s,s:s,s:i}", "logGroupName", a->settings.log_group,
				 "logStreamName", stream ? stream : "", "limit", 1);
	if (aws_json(&a->aws, "logs", "/", "Logs_20140328.GetLogEvents", read, false, &log, err))
		return -1;
	snprintf(text, size, "ran, and its log says: %s",
		 json_get_str(json_array_get(json_object_get(log, "events"), 0), "message",
			      "nothing"));
	return 0;
}

static bool check(struct account *a)
{
	char text[512] = "";
	AUTO(free) char *why = NULL;
	struct err err = {0};
	bool ok;

	snprintf(text, sizeof text, "from %s, account %s, region %s", a->aws.key.from,
		 *a->id ? a->id : "unknown", a->aws.region);
	ok = tell("key", 0, text);
	int rc = use_bucket(a, &err);
	ok &= tell("bucket", rc, rc ? err.msg : "an object went there and came back, once only");
	rc = init_check_queue(a, &why, &err);
	ok &= tell("queue", rc || why, rc ? err.msg : why ? why : a->settings.queue);
	rc = use_definition(a, text, sizeof text, &err);
	ok &= tell("job definition", rc, rc ? err.msg : text);
	if (!ok)
		return false;
	rc = use_job(a, text, sizeof text, &err);
	return tell("job", rc, rc ? err.msg : text);
}

int cloud_doctor(int argc, char **argv)
{
	struct account a;
	struct err err;

	if (argc < 5)
		return 2;
	int rc = account_open(&a, argv[1], &err);
	int status = rc ? cloud_fail(&err) : check(&a) ? 0 : 3;
	account_close(&a);
	return status;
}
