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
#define FRONTEND_SETTING(req, long_name, letter, value, key, text)                                 \
	{ .name = (long_name), .short_name = (letter), .arg = (value), .kind = OPTION_SETTING,     \
	  .target = &(req)->settings, .setting = (key), .help = (text) }
#define FRONTEND_OPTIONS(req)                                                                      \
	FRONTEND_SETTING(req, "parallel", 'j', "N", NULL, "run N trials at a time"),               \
	FRONTEND_SETTING(req, "agent", 'a', "NAME", NULL, "agent of every task"),                  \
	{ .name = "model", .short_name = 'm', .arg = "MODEL", .kind = OPTION_STRV,                 \
	  .target = &(req)->models, .help = "model of every task; repeat it for several" },        \
	FRONTEND_SETTING(req, "sandbox", 0, "KIND", NULL, "auto, local or none"),                  \
	FRONTEND_SETTING(req, "rollouts", 'r', "N", NULL, "rollouts of every task"),               \
	FRONTEND_SETTING(req, "timeout", 't', "SEC", "timeout_sec", "working time of the agent"),  \
	{ .name = "env", .short_name = 'e', .arg = "K=V", .kind = OPTION_KV,                       \
	  .target = &(req)->env, .help = "set a variable of the agent's environment; repeatable" }, \
	FRONTEND_SETTING(req, "fail-fast", 0, NULL, "fail_fast", "start nothing more after a failure"), \
	{ .name = "only", .arg = "GLOB", .kind = OPTION_STR, .target = &(req)->only,               \
	  .help = "only tasks whose id or folder matches" },                                       \
	{ .name = "limit", .arg = "N", .kind = OPTION_INT, .target = &(req)->limit, .min = 1,      \
	  .max = 10000000, .help = "at most N trials" },                                           \
	{ .name = "tag", .arg = "TAG", .kind = OPTION_STRV, .target = &(req)->tags,                \
	  .help = "give this run a name; repeatable" },                                            \
	{ .name = "gateway", .arg = "SOCKET", .kind = OPTION_STR, .target = &(req)->gateway,       \
	  .help = "unix socket that answers model requests" },                                     \
	OPTION_DATA_DIR(&(req)->data_dir)
