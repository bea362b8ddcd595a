/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * libexec/rollouts-launch-batch: the launcher of AWS Batch (docs/aws-batch.md). One message after the other; AWS is asked in between.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "aws/sigv4.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/mem.h"
#include "cloud/archive.h"
#include "cloud/batch.h"
#include "core/driver.h"
#include "cloud/layout.h"
#include "os/lines.h"

enum { BATCH = 1000, POLL_MS = 1000, GATHER_POLL_MS = 200, LINE_MAX_BYTES = 256 << 20 };

static int describe(struct batch *b, const char *what, const char *list, const char *key,
		    const char *name, json_t **out, struct err *err)
{
	AUTO(json) json_t *ask = json_pack("{s:[s]}", key, name);
	AUTO(json) json_t *answer = NULL;
	AUTO(free) char *path = xasprintf("/v1/%s", what);

	if (aws_json(&b->aws, "batch", path, NULL, ask, false, &answer, err))
		return -1;
	*out = json_incref(json_array_get(json_object_get(answer, list), 0));
	return 0;
}

/* Its queue, its definition and its bucket are there: before money is spent. */
static int try_settings(struct batch *b, struct err *err)
{
	const struct settings *s = &b->settings;
	AUTO(json) json_t *queue = NULL;
	AUTO(json) json_t *definition = NULL;
	AUTO(buf) struct buf answer = BUF_INIT;
	long status;

	if (describe(b, "describejobqueues", "jobQueues", "jobQueues", s->queue, &queue, err))
		return -1;
	if (!queue)
		return err_set(err, ERR_USAGE, 0, "queue: AWS Batch in %s has no job queue \"%s\"",
			       b->aws.region, s->queue);
	if (strcmp(json_get_str(queue, "state", "ENABLED"), "ENABLED") != 0)
		return err_set(err, ERR_USAGE, 0, "queue: the job queue \"%s\" is disabled",
			       s->queue);
	AUTO(json)
	json_t *ask =
		json_pack("{s:s,s:s}", "jobDefinitionName", s->definition, "status", "ACTIVE");
	AUTO(json) json_t *found = NULL;
	/* With a revision or an ARN it is asked for as it is. */
	if (strchr(s->definition, ':') ? describe(b, "describejobdefinitions", "jobDefinitions",
						  "jobDefinitions", s->definition, &definition, err)
				       : aws_json(&b->aws, "batch", "/v1/describejobdefinitions",
						  NULL, ask, false, &found, err))
		return -1;
	if (!definition && !json_array_size(json_object_get(found, "jobDefinitions")))
		return err_set(err, ERR_USAGE, 0,
			       "definition: AWS Batch in %s has no active job definition \"%s\"; "
			       "rollouts cloud init makes one",
			       b->aws.region, s->definition);
	/* A policy may allow no list but that of the prefix. */
	AUTO(free)
	char *below = xasprintf("%s%s" LAYOUT_PARCELS "/", b->s3.place.prefix,
				*b->s3.place.prefix ? "/" : "");
	AUTO(free) char *encoded = sigv4_encode(below, false);
	AUTO(free) char *query = xasprintf("list-type=2&max-keys=1&prefix=%s", encoded);
	if (s3_bucket(&b->s3, "GET", query, NULL, &status, &answer, err))
		return -1;
	if (status == 404)
		return err_set(err, ERR_USAGE, 0, "storage: there is no bucket \"%s\"",
			       b->s3.place.bucket);
	return status == 200 ? 0
			     : err_set(err, status == 403 ? ERR_USAGE : ERR_INFRA, 0,
				       "storage: the bucket \"%s\" answers HTTP %ld%s",
				       b->s3.place.bucket, status,
				       status == 403 ? ": this key may not list it" : "");
}

static void on_hello(struct batch *b, const json_t *m)
{
	AUTO(buf) struct buf why = BUF_INIT;
	struct err err = {0};

	b->data = xstrdup(json_get_str(m, "data", ""));
	b->state = xstrdup(json_get_str(m, "state", ""));
	b->data_fd = open(b->data, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	b->parallel = json_get_int(m, "parallel", 1);
	if (settings_read(&b->settings, json_object_get(m, "settings"), &why)) {
		driver_refuse(why.data, false);
		return;
	}
	int rc = aws_open(&b->aws, b->settings.region, &err);
	const int tries = b->aws.tries;
	b->aws.tries = AWS_TRIES_SHORT;
	if (rc || s3_open(&b->s3, &b->aws, b->settings.storage, &err) || try_settings(b, &err)) {
		driver_refuse(err.msg, err.kind != ERR_USAGE);
		return;
	}
	b->aws.tries = tries;
	b->s3.sse = b->settings.sse;
	b->s3.kms_key = b->settings.kms_key;
	driver_say_hello("copied", BATCH, POLL_MS);
}

static void on_attach(struct batch *b, const json_t *jobs)
{
	size_t i;
	json_t *job;

	submit_due(b, true);
	json_array_foreach (jobs, i, job) {
		const char *token = json_get_str(job, "token", "");
		if (!array_attach(b, token, json_get_str(job, "job", NULL)))
			driver_say_unknown(token, "AWS Batch was never given this trial");
	}
}

static void on_cancel(struct batch *b, const json_t *m)
{
	size_t i;
	json_t *job;

	submit_due(b, true);
	json_array_foreach (json_object_get(m, "jobs"), i, job) {
		struct array *a;
		struct task *t;
		struct trial_ref *r = array_find(b, json_get_str(job, "token", ""), &a, &t);
		if (r)
			r->cancelled = true;
	}
	submit_cancel(b);
	b->next_poll_ms = 0;
}

static void fetch_one(struct batch *b, const char *token)
{
	struct array *a;
	struct task *t;
	struct trial_ref *r = array_find(b, token, &a, &t);
	AUTO(free) char *key = xasprintf(LAYOUT_ARCHIVES "/%s.tar.zst", token);
	AUTO(free) char *name = xasprintf("%s.tar", token);
	json_t *m = json_object();
	struct err err = {0};

	json_put_str(m, "event", "fetched");
	json_put_str(m, "token", token);
	if (!r)
		json_put_str(m, "error", "no such trial");
	else if (archive_fetch(&b->s3, key, a->dir_fd, name, &err))
		json_put_str(m, "error", err.msg);
	else {
		AUTO(free) char *path = xasprintf("%s/%s", a->dir, name);
		json_put_str(m, "archive", path);
	}
	driver_say(m);
}

static void on_poll(struct batch *b)
{
	submit_due(b, false);
	states_poll(b);
	driver_say_polled();
}

static void on_message(struct batch *b, const json_t *m)
{
	const char *op = json_get_str(m, "op", "");
	const json_t *jobs = json_object_get(m, "jobs");
	size_t i;
	json_t *job;

	if (!strcmp(op, "hello"))
		on_hello(b, m);
	else if (!strcmp(op, "submit"))
		submit_gather(b, jobs);
	else if (!strcmp(op, "attach"))
		on_attach(b, jobs);
	else if (!strcmp(op, "poll"))
		on_poll(b);
	else if (!strcmp(op, "cancel"))
		on_cancel(b, m);
	else if (!strcmp(op, "fetch"))
		json_array_foreach (jobs, i, job)
			fetch_one(b, json_get_str(job, "token", ""));
	else if (!strcmp(op, "done"))
		json_array_foreach (jobs, i, job)
			array_done(b, json_get_str(job, "token", ""));
}

static void on_line(void *arg, const char *line, size_t len)
{
	AUTO(json) json_t *m = json_loadb(line, len, 0, NULL);

	on_message(arg, m);
}

/* A line of standard input, or a moment without one. False: it is over. */
static bool turn(struct batch *b, struct buf *begun)
{
	struct pollfd p = {.fd = STDIN_FILENO, .events = POLLIN};
	char chunk[1 << 16];
	int wait = json_array_size(b->gathered) ? GATHER_POLL_MS : -1;

	if (poll(&p, 1, wait) == 0) {
		submit_due(b, false);
		return true;
	}
	ssize_t n = read(STDIN_FILENO, chunk, sizeof chunk);
	if (n <= 0)
		return n < 0 && errno == EINTR;
	lines_feed(begun, chunk, (size_t)n, LINE_MAX_BYTES, on_line, b);
	return true;
}

int main(int argc, char **argv)
{
	struct batch b = {.data_fd = -1,
			  .gathered = json_array(),
			  .uploaded = json_object(),
			  .files = json_object()};
	AUTO(buf) struct buf begun = BUF_INIT;

	if (argc != 1) {
		fputs("usage: rollouts-launch-batch   (started by `rollouts run`, see "
		      "docs/aws-batch.md)\n",
		      stderr);
		return 2;
	}
	signal(SIGPIPE, SIG_IGN);
	while (turn(&b, &begun))
		;
	if (b.s3.place.bucket)
		upload_rollouts(&b, true);
	for (size_t i = 0; i < b.n; i++)
		array_release(&b.arrays[i]);
	s3_close(&b.s3);
	aws_close(&b.aws);
	settings_release(&b.settings);
	json_decref(b.gathered);
	json_decref(b.uploaded);
	json_decref(b.files);
	auto_fd(&b.data_fd);
	free(b.arrays);
	free(b.data);
	free(b.state);
	return 0;
}
