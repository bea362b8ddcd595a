/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * frontend.h -- what run, resume, eval, validate and --dry-run share: configuration, tasks and
 * agents are read and checked, and the plan made, before anything is written.
 */
#pragma once
#include <jansson.h>
#include "config/config.h"
#include "config/providers.h"
#include "plan/plan.h"
#include "store/store.h"
#include "task/context.h"
#include "task/task.h"
#include "cmd/options.h"

struct frontend_task {
	struct task task;
	struct task_source source;    /* its strings belong to the bench */
	char *snapshot;		      /* "cache/tasks/HASH" once committed */
	struct task_context *context; /* of its image, where it runs in a container */
};

struct frontend {
	struct bench bench;
	struct frontend_task *tasks; /* each distinct (folder, overrides) once */
	size_t tasks_n;
	size_t *entry_task; /* bench.entries[i] is of tasks[entry_task[i]] */
	json_t *agents;	    /* agent name -> spec; every plan.trials[i].agent is there */
	char *engine;	    /* "Docker Engine 20.10.24": what containers run in; NULL: not asked */
	struct providers providers; /* loaded when an agent needs a model */
	struct plan plan;	    /* run_id and task_snapshot are set by frontend_commit */
};

/* Read and check everything; every mistake of the file, of all tasks and all agents is a line in
 * PROBLEMS. Trials that are in OLD already (by key; may be NULL) are left out of the plan, and the
 * others are numbered after them. Writes nothing. OUT must be released in any case. */
int frontend_load(struct frontend *out, const struct config_request *req, const struct trial *old,
		  size_t old_n, struct strv *problems, struct err *err) MUST_CHECK;
/* The benchmark and its tasks alone, for grading: no agent is looked for and no plan made. */
int frontend_load_tasks(struct frontend *out, const struct config_request *req,
			struct strv *problems, struct err *err) MUST_CHECK;
/* ERR_USAGE when F is another benchmark than NAME. */
int frontend_check_name(const struct frontend *f, const char *name, struct err *err) MUST_CHECK;
/* Write the snapshot of T unless that was done. */
int frontend_snapshot(struct frontend_task *t, const struct store *s, struct err *err) MUST_CHECK;
/* Write the task snapshots below the store and give the trials their run ids, "STAMP-index". */
int frontend_commit(struct frontend *f, const struct store *s, const char *stamp,
		    struct err *err) MUST_CHECK;
void frontend_release(struct frontend *f);
/* The lines of task_read with the folder before the file's name. */
void frontend_task_problems(const struct task_source *source, const struct strv *lines,
			    struct strv *out);

/* The lines of an option table that fill a struct config_request. */
#define FRONTEND_ROW(long_name, letter, value, type, to, text, ...)                                \
	{                                                                                          \
		.name = (long_name), .short_name = (letter), .arg = (value), .kind = (type),       \
		.target = (to), .help = (text), __VA_ARGS__                                        \
	}
#define FRONTEND_SET(req, long_name, letter, value, text, ...)                                     \
	FRONTEND_ROW(long_name, letter, value, OPTION_SETTING, &(req)->settings, text, __VA_ARGS__)
/* clang-format off */
#define FRONTEND_OPTIONS(req)                                                                      \
	FRONTEND_SET(req, "parallel", 'j', "N", "run N trials at a time"),                         \
	FRONTEND_SET(req, "agent", 'a', "NAME", "agent of every task"),                            \
	FRONTEND_ROW("model", 'm', "MODEL", OPTION_STRV, &(req)->models,                           \
		     "model of every task; repeat it for several"),                                \
	FRONTEND_SET(req, "sandbox", 0, "KIND", "auto, local, docker or none"),                            \
	FRONTEND_SET(req, "rollouts", 'r', "N", "rollouts of every task"),                         \
	FRONTEND_SET(req, "timeout", 't', "SEC", "working time of the agent",                      \
		     .setting = "timeout_sec"),                                                    \
	FRONTEND_ROW("env", 'e', "K=V", OPTION_KV, &(req)->env,                                    \
		     "set a variable of the agent's environment; repeatable"),                     \
	FRONTEND_SET(req, "fail-fast", 0, NULL, "start nothing more once a trial fails",              \
		     .setting = "fail_fast"),                                                      \
	FRONTEND_ROW("only", 0, "GLOB", OPTION_STR, &(req)->only,                                  \
		     "only tasks whose id or folder matches"),                                     \
	FRONTEND_ROW("limit", 0, "N", OPTION_INT, &(req)->limit, "at most N trials",               \
		     .min = 1, .max = 10000000),                                                   \
	FRONTEND_ROW("tag", 0, "TAG", OPTION_STRV, &(req)->tags, "give this run a name; repeatable"), \
	FRONTEND_ROW("gateway", 0, "SOCKET", OPTION_STR, &(req)->gateway,                          \
		     "unix socket that answers model requests"),                                   \
	OPTION_DATA_DIR(&(req)->data_dir)
/* clang-format on */
