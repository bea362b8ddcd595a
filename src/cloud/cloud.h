/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * cloud.h -- private to libexec/rollouts-cloud, which does for the verbs what needs AWS. Each of its words is a function that returns the exit status;
 * what they print is for the user, or a line of JSON for whoever started it.
 */
#pragma once
#include "aws/s3.h"
#include "cloud/settings.h"

/* rollouts-cloud node URL BATCH: in the container of a job, runs its trials. */
int cloud_node(int argc, char **argv);
/* rollouts-cloud read|pull URL FOLDER [RUN_ID|all]: rollouts of a bucket into a data folder of this machine. */
int cloud_read(int argc, char **argv);
/* rollouts-cloud init|doctor|cost SETTINGS NAME DATA yes|no: SETTINGS are [launcher.batch] as JSON, NAME the benchmark's, DATA the data folder. */
int cloud_init(int argc, char **argv);
int cloud_doctor(int argc, char **argv);
int cloud_cost(int argc, char **argv);
/* "rollouts: MESSAGE" on standard error; the exit status of the error's kind. */
int cloud_fail(const struct err *err);
