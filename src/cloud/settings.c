/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "cloud/settings.h"
#include <stddef.h>
#include <string.h>
#include "base/json.h"
#include "base/mem.h"
#include "core/driver-settings.h"

static const char *check_table(const json_t *value)
{
	const char *key;
	json_t *one;

	json_object_foreach ((json_t *)value, key, one)
		if (!json_is_string(one))
			return "must be a table of texts: {NAME = \"...\"}";
	return json_is_object(value) ? NULL : "must be a table of texts: {NAME = \"...\"}";
}

static const char *check_prices(const json_t *value)
{
	const char *key;
	json_t *one;
	bool ok = json_is_object(value);

	json_object_foreach ((json_t *)value, key, one)
		ok &= json_is_number(one) && json_number_value(one) >= 0;
	return ok ? NULL : "must be a table of numbers: {\"c7i.large\" = 0.09}";
}

static const struct driver_setting table[] = {
#define ROW(name, kind, ...)                                                                       \
	{                                                                                          \
#name, DRIVER_##kind, offsetof(struct settings, name), __VA_ARGS__                 \
	}
	ROW(queue, TEXT),
	ROW(storage, TEXT),
	ROW(definition, TEXT),
	ROW(region, TEXT),
	ROW(image, TEXT),
	ROW(job_role, TEXT),
	ROW(execution_role, TEXT),
	ROW(sse, TEXT),
	ROW(kms_key, TEXT),
	ROW(cache, TEXT),
	ROW(share, TEXT),
	ROW(log_group, TEXT),
	ROW(vcpus, NUMBER, 1, 4096),
	ROW(memory_mb, NUMBER, 4, 1 << 30),
	ROW(gpus, NUMBER, 0, 64),
	ROW(time_sec, NUMBER, 60, 1 << 30),
	ROW(attempts, NUMBER, 1, 10),
	ROW(trials_per_job, NUMBER, 1, 10000),
	ROW(side_by_side, NUMBER, 1, 1024),
	ROW(cache_mb, NUMBER, 0, 1 << 30),
	ROW(poll_sec, NUMBER, 1, 3600),
	ROW(events_sec, NUMBER, 1, 3600),
	ROW(array_max, NUMBER, 2, 10000),
	ROW(priority, NUMBER, 0, 9999),
	ROW(expire_days, NUMBER, 1, 36500),
	ROW(privileged, SWITCH),
	ROW(price_per_hour, AMOUNT),
	ROW(prices, JSON, .check = check_prices),
	ROW(secrets, JSON, .check = check_table),
	ROW(tags, JSON, .check = check_table),
	ROW(command, JSON, .check = driver_check_texts),
#undef ROW
};

static bool is_no_arn(const char *role)
{
	return role && strncmp(role, "arn:", 4) != 0;
}

static bool is_encryption(const char *name)
{
	return !strcmp(name, "AES256") || !strcmp(name, "aws:kms") || !strcmp(name, "aws:kms:dsse");
}

static int check(const struct settings *s, struct buf *text)
{
	if (!s->queue)
		buf_adds(text, "queue: the name of a job queue of AWS Batch is needed");
	else if (!s->storage)
		buf_adds(text,
			 "storage: \"s3://BUCKET/PREFIX\" is needed, where inputs and results "
			 "go");
	else if (s->side_by_side > s->trials_per_job)
		buf_adds(text, "side_by_side: more than trials_per_job");
	else if (is_no_arn(s->job_role) || is_no_arn(s->execution_role))
		buf_addf(text, "%s: must be a role's ARN: arn:aws:iam::ACCOUNT:role/NAME",
			 is_no_arn(s->job_role) ? "job_role" : "execution_role");
	else if (s->sse && !is_encryption(s->sse))
		buf_adds(text, "sse: must be AES256, aws:kms or aws:kms:dsse");
	else if (s->kms_key && (!s->sse || strncmp(s->sse, "aws:kms", 7) != 0))
		buf_adds(text, "kms_key: needs sse = \"aws:kms\"");
	return text->len ? -1 : 0;
}

int settings_read(struct settings *s, const json_t *j, struct buf *text)
{
	*s = (struct settings){.definition = xstrdup("rollouts"),
			       .log_group = xstrdup("/aws/batch/job"),
			       .vcpus = 1,
			       .memory_mb = 2048,
			       .attempts = 1,
			       .trials_per_job = 1,
			       .side_by_side = 1,
			       .cache_mb = 20000,
			       .poll_sec = 10,
			       .events_sec = 5,
			       .array_max = 10000,
			       .priority = -1,
			       .expire_days = 30,
			       .privileged = true};
	return driver_settings_read(s, table, ARRAY_SIZE(table), j, text) ? -1 : check(s, text);
}

void settings_release(struct settings *s)
{
	driver_settings_release(s, table, ARRAY_SIZE(table));
	*s = (struct settings){0};
}
