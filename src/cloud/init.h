/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * init.h -- what a benchmark needs of an account: as documents, and whether it is there.
 */
#pragma once
#include "aws/s3.h"
#include "cloud/settings.h"

struct account {
	struct aws aws;
	struct s3 s3;
	struct settings settings;
	char *id;	 /* of the account; "" where nobody says */
	char *partition; /* "aws", "aws-cn" ... */
};

int account_open(struct account *a, const char *settings_json, struct err *err) MUST_CHECK;
void account_close(struct account *a);

/* The job definition, as RegisterJobDefinition takes it. New reference. */
json_t *init_definition(const struct account *a);
/* The newest active one of that name; NULL with 0: there is none. */
int init_found_definition(struct account *a, json_t **out, struct err *err) MUST_CHECK;
/* Whether FOUND has all that WANTED says. */
bool init_is_alike(const json_t *found, const json_t *wanted);
/* Policies of who submits, of the jobs, of what starts them. New references. */
json_t *init_policy_submitter(const struct account *a);
json_t *init_policy_job(const struct account *a);
json_t *init_policy_execution(const struct account *a);
/* Why the queue cannot run this; NULL: it can. The caller frees. */
int init_check_queue(struct account *a, char **why, struct err *err) MUST_CHECK;
