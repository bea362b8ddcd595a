/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <stdlib.h>
#include <string.h>
#include "aws/service.h"
#include "aws/xml.h"
#include "base/cleanup.h"
#include "base/json.h"
#include "base/mem.h"
#include "cloud/init.h"

int account_open(struct account *a, const char *settings_json, struct err *err)
{
	AUTO(json) json_t *j = json_loads(settings_json, 0, NULL);
	AUTO(buf) struct buf why = BUF_INIT, answer = BUF_INIT;
	struct err ignored;

	*a = (struct account){.id = xstrdup(""), .partition = xstrdup("aws")};
	if (settings_read(&a->settings, j, &why))
		return err_set(err, ERR_USAGE, 0, "[launcher.batch] %s", why.data);
	if (aws_open(&a->aws, a->settings.region, err))
		return -1;
	a->aws.tries = AWS_TRIES_SHORT;
	if (s3_open(&a->s3, &a->aws, a->settings.storage, err))
		return -1;
	a->s3.sse = a->settings.sse;
	a->s3.kms_key = a->settings.kms_key;
	if (aws_form(&a->aws, "sts", "Action=GetCallerIdentity&Version=2011-06-15", &answer,
		     &ignored))
		return 0; /* a store that is not AWS's has none */
	AUTO(free) char *arn = xml_text(answer.data, answer.len, "Arn");
	char *rest = arn, *part;
	for (int i = 0; (part = strsep(&rest, ":")); i++)
		if (i == 1 || i == 4) {
			char **to = i == 1 ? &a->partition : &a->id;
			free(*to);
			*to = xstrdup(part);
		}
	return 0;
}

void account_close(struct account *a)
{
	s3_close(&a->s3);
	aws_close(&a->aws);
	settings_release(&a->settings);
	free(a->id);
	free(a->partition);
}

static void add_pair(json_t *list, const char *name, const char *member, const char *value)
{
	json_array_append_new(list, json_pack("{s:s,s:s}", "name", name, member, value));
}

json_t *init_definition(const struct account *a)
{
	const struct settings *s = &a->settings;
	json_t *j = json_object(), *c = json_object();
	json_t *environment = json_array(), *secrets = json_array();
	AUTO(free) char *vcpus = xasprintf("%lld", (long long)s->vcpus * s->side_by_side);
	AUTO(free) char *memory = xasprintf("%lld", (long long)s->memory_mb * s->side_by_side);
	const char *name;
	json_t *from;
	bool own;

	json_put_str(j, "jobDefinitionName", s->definition);
	json_put_str(j, "type", "container");
	json_put(j, "platformCapabilities", json_pack("[s]", "EC2"));
	json_put_str(c, "image", s->image);
	json_put(c, "command", json_pack("[s]", "--version"));
	json_put_bool(c, "privileged", s->privileged);
	json_put(c, "resourceRequirements",
		 json_pack("[{s:s,s:s},{s:s,s:s}]", "type", "VCPU", "value", vcpus, "type",
			   "MEMORY", "value", memory));
	add_pair(environment, "AWS_REGION", "value", a->aws.region);
	/* A store that is not AWS's is the jobs' store as well. */
	AUTO(free) char *url = service_url(&a->aws.profiles, "s3", a->aws.region, &own);
	if (own)
		add_pair(environment, "AWS_ENDPOINT_URL_S3", "value", url);
	json_put(c, "environment", environment);
	json_object_foreach (s->secrets, name, from)
		add_pair(secrets, name, "valueFrom", json_string_value(from));
	if (json_array_size(secrets))
		json_put(c, "secrets", secrets);
	else
		json_decref(secrets);
	if (s->job_role)
		json_put_str(c, "jobRoleArn", s->job_role);
	if (s->execution_role)
		json_put_str(c, "executionRoleArn", s->execution_role);
	json_put(c, "logConfiguration",
		 json_pack("{s:s,s:{s:s}}", "logDriver", "awslogs", "options", "awslogs-group",
			   s->log_group));
	json_put(j, "containerProperties", c);
	if (s->tags)
		json_put(j, "tags", json_incref(s->tags));
	return j;
}

int init_found_definition(struct account *a, json_t **out, struct err *err)
{
	AUTO(free)
	char *name = xstrndup(a->settings.definition, strcspn(a->settings.definition, ":"));
	AUTO(json) json_t *ask =
		json_pack("{s:s,s:s}", "jobDefinitionName", name, "status", "ACTIVE");
	AUTO(json) json_t *answer = NULL;
	size_t i;
	json_t *one, *newest = NULL;

	if (aws_json(&a->aws, "batch", "/v1/describejobdefinitions", NULL, ask, false, &answer,
		     err))
		return -1;
	json_array_foreach (json_object_get(answer, "jobDefinitions"), i, one)
		if (!newest ||
		    json_get_int(one, "revision", 0) > json_get_int(newest, "revision", 0))
			newest = one;
	*out = json_incref(newest);
	return 0;
}

bool init_is_alike(const json_t *found, const json_t *wanted)
{
	const char *key;
	json_t *value;
	size_t i;

	if (json_is_array(wanted)) {
		if (json_array_size(found) != json_array_size(wanted))
			return false;
		json_array_foreach (wanted, i, value)
			if (!init_is_alike(json_array_get(found, i), value))
				return false;
		return true;
	}
	if (!json_is_object(wanted))
		return json_equal(found, wanted);
	json_object_foreach ((json_t *)wanted, key, value)
		if (!init_is_alike(json_object_get(found, key), value))
			return false;
	return true;
}

static json_t *policy(void)
{
	json_t *j = json_object();

	json_put_str(j, "Version", "2012-10-17");
	json_put(j, "Statement", json_array());
	return j;
}

/* ACTIONS, after commas; RESOURCES is taken. */
static void allow(json_t *policy, const char *id, const char *actions, json_t *resources_take)
{
	json_t *s = json_object(), *list = json_array();
	AUTO(free) char *copy = xstrdup(actions);
	char *rest = copy, *one;

	while ((one = strsep(&rest, ",")))
		json_array_append_new(list, json_string(one));
	json_put_str(s, "Sid", id);
	json_put_str(s, "Effect", "Allow");
	json_put(s, "Action", list);
	json_put(s, "Resource", resources_take);
	json_array_append_new(json_object_get(policy, "Statement"), s);
}

static json_t *arn(const struct account *a, const char *service, const char *what)
{
	return json_sprintf("arn:%s:%s:%s:%s:%s", a->partition, service, a->aws.region, a->id,
			    what);
}

static json_t *objects(const struct account *a, const char *folder)
{
	const struct s3_place *p = &a->s3.place;

	return json_sprintf("arn:%s:s3:::%s/%s%s%s*", a->partition, p->bucket, p->prefix,
			    *p->prefix ? "/" : "", folder);
}

static void allow_list(json_t *policy, const struct account *a)
{
	const struct s3_place *p = &a->s3.place;
	json_t *statement;

	allow(policy, "List", "s3:ListBucket",
	      json_sprintf("arn:%s:s3:::%s", a->partition, p->bucket));
	if (!*p->prefix)
		return;
	json_t *all = json_object_get(policy, "Statement");
	statement = json_array_get(all, json_array_size(all) - 1);
	json_put(statement, "Condition",
		 json_pack("{s:{s:[o]}}", "StringLike", "s3:prefix",
			   json_sprintf("%s/*", p->prefix)));
}

json_t *init_policy_submitter(const struct account *a)
{
	json_t *p = policy();
	AUTO(free) char *queue = xasprintf("job-queue/%s", a->settings.queue);
	AUTO(free) char *definition = xasprintf("job-definition/%s", a->settings.definition);
	AUTO(free) char *group = xasprintf("log-group:%s:*", a->settings.log_group);
	AUTO(free) char *any = xasprintf("%s:*", definition);
	json_t *resources = json_array();

	allow(p, "Objects", "s3:GetObject,s3:PutObject,s3:DeleteObject,s3:AbortMultipartUpload",
	      objects(a, ""));
	allow_list(p, a);
	json_array_append_new(resources, arn(a, "batch", queue));
	json_array_append_new(resources, arn(a, "batch", definition));
	json_array_append_new(resources, arn(a, "batch", any));
	allow(p, "Submit", "batch:SubmitJob", resources);
	allow(p, "End", "batch:TerminateJob,batch:CancelJob", arn(a, "batch", "job/*"));
	allow(p, "Look",
	      "batch:DescribeJobs,batch:ListJobs,batch:DescribeJobQueues,"
	      "batch:DescribeJobDefinitions,batch:DescribeComputeEnvironments",
	      json_string("*"));
	allow(p, "Logs", "logs:GetLogEvents", arn(a, "logs", group));
	return p;
}

json_t *init_policy_job(const struct account *a)
{
	json_t *p = policy(), *written = json_array();

	allow(p, "Inputs", "s3:GetObject",
	      json_pack("[o,o]", objects(a, "parcels/"), objects(a, "batches/")));
	json_array_append_new(written, objects(a, "batches/"));
	json_array_append_new(written, objects(a, "results/"));
	json_array_append_new(written, objects(a, "archives/"));
	json_array_append_new(written, objects(a, "stopped/"));
	allow(p, "Results", "s3:PutObject,s3:AbortMultipartUpload", written);
	if (a->settings.kms_key && !strncmp(a->settings.kms_key, "arn:", 4))
		allow(p, "Key", "kms:GenerateDataKey,kms:Decrypt",
		      json_string(a->settings.kms_key));
	return p;
}

json_t *init_policy_execution(const struct account *a)
{
	json_t *p = policy(), *managed = json_array(), *parameters = json_array(), *from;
	AUTO(free) char *group = xasprintf("log-group:%s:*", a->settings.log_group);
	const char *name;

	allow(p, "Image",
	      "ecr:GetAuthorizationToken,ecr:BatchCheckLayerAvailability,"
	      "ecr:GetDownloadUrlForLayer,ecr:BatchGetImage",
	      json_string("*"));
	allow(p, "Logs", "logs:CreateLogStream,logs:PutLogEvents", arn(a, "logs", group));
	json_object_foreach (a->settings.secrets, name, from) {
		const char *text = json_string_value(from);
		if (strstr(text, ":secretsmanager:")) {
			/* What follows the secret's own name chooses a member or a version of it. */
			const char *at = text;
			for (int i = 0; i < 7 && at; i++)
				at = strchr(at + (i > 0), ':');
			json_array_append_new(managed, json_stringn(text, at ? (size_t)(at - text)
									     : strlen(text)));
		} else if (!strncmp(text, "arn:", 4)) {
			json_array_append_new(parameters, json_string(text));
		} else {
			AUTO(free) char *what =
				xasprintf("parameter%s%s", *text == '/' ? "" : "/", text);
			json_array_append_new(parameters, arn(a, "ssm", what));
		}
	}
	if (json_array_size(managed))
		allow(p, "Secrets", "secretsmanager:GetSecretValue", json_incref(managed));
	if (json_array_size(parameters))
		allow(p, "Parameters", "ssm:GetParameters", json_incref(parameters));
	json_decref(managed);
	json_decref(parameters);
	return p;
}

int init_check_queue(struct account *a, char **why, struct err *err)
{
	AUTO(json) json_t *ask = json_pack("{s:[s]}", "jobQueues", a->settings.queue);
	AUTO(json) json_t *answer = NULL;
	AUTO(json) json_t *environments = NULL;
	size_t i;
	json_t *one;

	if (aws_json(&a->aws, "batch", "/v1/describejobqueues", NULL, ask, false, &answer, err))
		return -1;
	const json_t *queue = json_array_get(json_object_get(answer, "jobQueues"), 0);
	if (!queue)
		*why = xstrdup("there is no such queue; make one over a compute environment of EC2 "
			       "instances (rollouts makes none: it would cost money)");
	else if (strcmp(json_get_str(queue, "state", "ENABLED"), "ENABLED") != 0)
		*why = xstrdup("it is disabled");
	if (*why || !json_object_get(queue, "computeEnvironmentOrder"))
		return 0;
	AUTO(json) json_t *which = json_pack("{s:[]}", "computeEnvironments");
	json_array_foreach (json_object_get(queue, "computeEnvironmentOrder"), i, one)
		json_array_append(json_object_get(which, "computeEnvironments"),
				  json_object_get(one, "computeEnvironment"));
	if (aws_json(&a->aws, "batch", "/v1/describecomputeenvironments", NULL, which, false,
		     &environments, err))
		return -1;
	json_array_foreach (json_object_get(environments, "computeEnvironments"), i, one) {
		const char *type =
			json_get_str(json_object_get(one, "computeResources"), "type", "");
		if (!strncmp(type, "FARGATE", 7))
			*why = xstrdup(
				"its instances are Fargate's, where no container may be "
				"privileged or make user namespaces: sandboxes cannot be made "
				"there. A queue of EC2 instances is needed");
	}
	return 0;
}
