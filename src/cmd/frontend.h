/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * frontend.h -- what run, resume, validate and --dry-run share: configuration, tasks and agents are read
 * and checked, and the plan made, before anything is written.
 */
#pragma once
#include <jansson.h>
#include "config/config.h"
#include "plan/plan.h"
#include "store/store.h"
#include "task/task.h"
#include "cmd/options.h"

struct frontend_task {
	struct task task;
	struct task_source source; /* its strings belong to the bench */
	char *snapshot;            /* "cache/tasks/HASH" once committed */
};

struct frontend {
	struct bench bench;
	struct frontend_task *tasks; /* each distinct (folder, overrides) once */
	size_t tasks_n;
	size_t *entry_task; /* bench.entries[i] is of tasks[entry_task[i]] */
	json_t *agents;     /* agent name -> spec; every plan.trials[i].agent is there */
	struct plan plan;   /* run_id and task_snapshot are set by frontend_commit */
};

/* Read and check everything; every mistake of the file, of all tasks and all agents is a line in PROBLEMS.
 * Trials that are in OLD already (by key; may be NULL) are left out of the plan, and the others are numbered
 * after them. Writes nothing. OUT must be released in any case. */
int frontend_load(struct frontend *out, const struct config_request *req, const struct trial *old, size_t old_n,
		  struct strv *problems, struct err *err) MUST_CHECK;
/* Write the task snapshots below the store and give the trials their run ids, "STAMP-index". */
int frontend_commit(struct frontend *f, const struct store *s, const char *stamp, struct err *err) MUST_CHECK;
void frontend_release(struct frontend *f);

/* The lines of an option table that fill a struct config_request. */
#define FRONTEND_OPTIONS(req)                                                                      \
	{ "parallel", 'j', "N", OPTION_SETTING, &(req)->settings, "run N trials at a time" },      \
	{ "agent", 'a', "NAME", OPTION_SETTING, &(req)->settings, "agent of every task" },         \
	{ "model", 'm', "MODEL", OPTION_STRV, &(req)->models, "model of every task; repeat for several" }, \
	{ "sandbox", 0, "KIND", OPTION_SETTING, &(req)->settings, "auto, local, docker or none" }, \
	{ "rollouts", 'r', "N", OPTION_SETTING, &(req)->settings, "rollouts of every task" },      \
	{ "timeout", 't', "SEC", OPTION_SETTING, &(req)->settings, "working time of the agent",    \
	  .setting = "timeout_sec" },                                                              \
	{ "env", 'e', "K=V", OPTION_KV, &(req)->env, "set an environment variable of the agent; repeatable" }, \
	{ "fail-fast", 0, NULL, OPTION_SETTING, &(req)->settings, "start nothing more after a failure", \
	  .setting = "fail_fast" },                                                                \
	{ "only", 0, "GLOB", OPTION_STR, &(req)->only, "only tasks whose id or folder matches" },  \
	{ "limit", 0, "N", OPTION_INT, &(req)->limit, "at most N trials", 1, 10000000 },           \
	{ "tag", 0, "TAG", OPTION_STRV, &(req)->tags, "name this run; repeatable" },               \
	{ "gateway", 0, "SOCKET", OPTION_STR, &(req)->gateway, "unix socket that answers model requests" }, \
	OPTION_DATA_DIR(&(req)->data_dir)
