/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * rollouts-cloud init SETTINGS NAME DATA yes|no: shows what is needed and what of it is there, and with yes makes or updates the log group, the rules by
 * which objects expire, and the job definition. Roles, queues and buckets are the user's: policies are printed to be looked at.
 */
#include "cloud/init.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "aws/xml.h"
#include "base/cleanup.h"
#include "base/json.h"
#include "base/mem.h"
#include "cloud/cloud.h"

static void print_json(const char *title, json_t *take)
{
	AUTO(buf) struct buf text = BUF_INIT;
	AUTO(json) json_t *j = take;

	json_format(&text, j, true);
	printf("\n%s\n%s\n", title, text.data);
}

static void print_state(const char *what, const char *name, const char *state)
{
	printf("%-16s %-40s %s\n", what, name, state);
}

static int has_log_group(struct account *a, bool *has, struct err *err)
{
	AUTO(json) json_t *ask = json_pack("{s:s}", "logGroupNamePrefix", a->settings.log_group);
	AUTO(json) json_t *answer = NULL;
	size_t i;
	json_t *one;

	if (aws_json(&a->aws, "logs", "/", "Logs_20140328.DescribeLogGroups", ask, false, &answer,
		     err))
		return -1;
	json_array_foreach (json_object_get(answer, "logGroups"), i, one)
		*has |= !strcmp(json_get_str(one, "logGroupName", ""), a->settings.log_group);
	return 0;
}

static int make_log_group(struct account *a, struct err *err)
{
	AUTO(json) json_t *ask = json_pack("{s:s}", "logGroupName", a->settings.log_group);
	AUTO(json) json_t *answer = NULL;

	return aws_json(&a->aws, "logs", "/", "Logs_20140328.CreateLogGroup", ask, false, &answer,
			err);
}

static void add_rule(struct buf *out, const struct account *a, const char *folder)
{
	const char *prefix = a->s3.place.prefix;

	buf_addf(out,
		 "<Rule><ID>rollouts %s/%s</ID><Filter><Prefix>%s%s%s/</Prefix></Filter>"
		 "<Status>Enabled</Status><Expiration><Days>%lld</Days></Expiration>"
		 "<AbortIncompleteMultipartUpload><DaysAfterInitiation>7</DaysAfterInitiation>"
		 "</AbortIncompleteMultipartUpload></Rule>",
		 prefix, folder, prefix, *prefix ? "/" : "", folder,
		 (long long)a->settings.expire_days);
}

/* Rules of others stay. *WANTED: the whole document; *SAME: it is what is there. */
static int lifecycle(struct account *a, struct buf *wanted, bool *same, long *status,
		     struct err *err)
{
	static const char *const folders[] = {"parcels", "batches", "stopped"};
	AUTO(buf) struct buf found = BUF_INIT;
	const char *rule;
	size_t n, of_ours = 0;

	if (s3_bucket(&a->s3, "GET", "lifecycle=", NULL, status, &found, err))
		return -1;
	buf_adds(wanted,
		 "<LifecycleConfiguration xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">");
	AUTO(free)
	char *code = *status == 404 ? xml_text(found.data, found.len, "Code") : NULL;
	if (code && !strcmp(code, "NoSuchBucket"))
		return err_set(err, ERR_USAGE, 0,
			       "[launcher.batch] storage: there is no bucket \"%s\"; make one "
			       "(rollouts makes none)",
			       a->s3.place.bucket);
	const char *at = found.data, *end = found.data + found.len;
	while (*status == 200 && (rule = xml_next(&at, end, "Rule", &n))) {
		AUTO(free) char *id = xml_text(rule, n, "ID");
		AUTO(free) char *days = xml_text(rule, n, "Days");
		AUTO(free) char *own = xasprintf("rollouts %s/", a->s3.place.prefix);
		if (id && !strncmp(id, own, strlen(own)))
			of_ours += days && strtoll(days, NULL, 10) == a->settings.expire_days;
		else
			buf_addf(wanted, "<Rule>%.*s</Rule>", (int)n, rule);
	}
	for (size_t i = 0; i < ARRAY_SIZE(folders); i++)
		add_rule(wanted, a, folders[i]);
	buf_adds(wanted, "</LifecycleConfiguration>");
	*same = of_ours == ARRAY_SIZE(folders);
	return 0;
}

static int make_lifecycle(struct account *a, const struct buf *wanted, struct err *err)
{
	AUTO(buf) struct buf answer = BUF_INIT;
	long status;

	if (s3_bucket(&a->s3, "PUT", "lifecycle=", wanted->data, &status, &answer, err))
		return -1;
	AUTO(free) char *why = xml_text(answer.data, answer.len, "Message");
	return status / 100 == 2 ? 0
				 : err_set(err, ERR_USAGE, 0,
					   "the bucket takes no rules for its objects: HTTP %ld %s",
					   status, why ? why : "");
}

/* What can be made: shown, and with YES made. */
static int settle(struct account *a, bool yes, struct err *err)
{
	const struct settings *s = &a->settings;
	AUTO(json) json_t *wanted = init_definition(a);
	AUTO(json) json_t *found = NULL;
	AUTO(json) json_t *made = NULL;
	AUTO(buf) struct buf rules = BUF_INIT;
	AUTO(free) char *queue = NULL;
	bool group = false, same = false;
	long status = 0;
	struct err why = {0};

	if (init_check_queue(a, &queue, err) || init_found_definition(a, &found, err) ||
	    lifecycle(a, &rules, &same, &status, err))
		return -1;
	const bool no_logs = has_log_group(a, &group, &why);
	const bool alike = found && init_is_alike(found, wanted);
	const char *todo = yes ? "made now" : "to be made";
	print_state("queue", s->queue, queue ? queue : "is there");
	print_state("bucket", a->s3.place.bucket,
		    status == 403 ? "this key may not see its rules" : "is there");
	print_state("log group", s->log_group, no_logs ? why.msg : group ? "is there" : todo);
	print_state("expiry", "parcels, batches, stopped",
		    status == 501 || status == 405 ? "this store has no such rules"
		    : same			   ? "is there"
						   : todo);
	print_state("job definition", s->definition,
		    alike   ? "is there"
		    : found ? (yes ? "another revision of it, made now"
				   : "another revision of it, to be made")
			    : todo);
	if (!yes)
		return 0;
	if (!no_logs && !group && make_log_group(a, err))
		return -1;
	if (!same && status != 501 && status != 405 && make_lifecycle(a, &rules, err))
		return -1;
	return alike ? 0
		     : aws_json(&a->aws, "batch", "/v1/registerjobdefinition", NULL, wanted, false,
				&made, err);
}

int cloud_init(int argc, char **argv)
{
	struct account a;
	struct err err = {0};
	const bool yes = argc > 4 && !strcmp(argv[4], "yes");
	int rc = argc < 5 ? err_set(&err, ERR_USAGE, 0, "init is started by rollouts cloud")
			  : account_open(&a, argv[1], &err);

	if (argc < 5)
		return cloud_fail(&err);
	if (!rc && !a.settings.image)
		rc = err_set(
			&err, ERR_USAGE, 0,
			"[launcher.batch] image: the image of the jobs is needed, in a registry "
			"that they reach; it is made of the Dockerfile of this program");
	if (!rc) {
		printf("account %s, region %s, key from %s\n\n", *a.id ? a.id : "(not AWS's)",
		       a.aws.region, a.aws.key.from);
		rc = settle(&a, yes, &err);
	}
	if (!rc) {
		print_json("The job definition:", init_definition(&a));
		print_json("Policy of whoever submits:", init_policy_submitter(&a));
		print_json("Policy of the jobs (job_role):", init_policy_job(&a));
		print_json("Policy of what starts them (execution_role):",
			   init_policy_execution(&a));
		printf("\n%sRoles, the queue and the bucket are yours: nothing of them is made, "
		       "changed or removed.\nFargate cannot run this: %s\n",
		       yes ? "" : "Nothing was changed; with --yes what is to be made is made.\n",
		       "no container may be privileged there, which sandboxes need.");
	}
	account_close(&a);
	return rc ? cloud_fail(&err) : 0;
}
