/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * job.h -- the folder of a job that Harbor ran (0.1 to 0.26), as data: what each of its trials came to. It is somebody else's: no link in
 * it is followed, nothing in it is run, and names that could mislead on a screen come out harmless.
 */
#pragma once
#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include "base/err.h"
#include "base/hash.h"
#include "base/strv.h"

/* What an error of a trial means for its reward, by Harbor's table or by what the trial itself says. */
struct harbor_policy {
	bool retry;  /* the same again may go well */
	bool counts; /* a reward beside it is one */
};
struct harbor_policy harbor_policy_of(const char *exception);

/* Numbers are -1 and texts "" where nothing is known. */
struct harbor_job_trial {
	char *folder;		    /* below the job's */
	char *task, *path, *source; /* its name, its folder or repository, its dataset */
	char digest[HASH_HEX];	    /* of what the task was, by Harbor's own checksum */
	char *agent, *agent_version, *model;
	char *environment;	    /* what its containers ran on: "docker", "modal" */
	char *options;		    /* of the agent, "effort=high": its kwargs */
	int64_t began_ms, ended_ms; /* since the epoch */
	int64_t environment_ms, setup_ms, agent_ms, verifier_ms; /* how long each took */
	int64_t tokens_input, tokens_cached, tokens_output;
	double usd;
	char *exception, *message; /* what went wrong: its class, and what it said, on one line */
	struct harbor_policy policy;
	bool is_valid;	 /* its reward, by what the trial says where it says so */
	bool separate;	 /* its verifier had a container of its own */
	json_t *rewards; /* {key: number}; NULL: there are none */
	json_t *steps; /* [{name, agent, verifier, rewards, error, why}] as in result.json of ours */
};

struct harbor_job {
	char *name,
		*id;   /* of the folder; of config.json or result.json, "" where neither has one */
	char *version; /* of Harbor, from lock.json */
	char *dataset; /* that all trials are of; NULL: of several, or none */
	int64_t began_ms;      /* -1: not known */
	int64_t never_started; /* trials that the job's own result counts and that have no folder */
	struct harbor_job_trial
		*v; /* by task, agent and model, and then in the order in which they began */
	size_t n, cap;
};

/* Read the job in DIR_FD, which the user calls WHERE. A trial that Harbor did not finish, or whose result cannot be read, is one with an
 * exception. ERR_USAGE when the folder is no job. */
int harbor_job_read(struct harbor_job *out, int dir_fd, const char *where,
		    struct err *err) MUST_CHECK;
void harbor_job_release(struct harbor_job *j);
