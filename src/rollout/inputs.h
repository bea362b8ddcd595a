/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * inputs.h -- what a rollout is made from: the benchmark file with its tasks, agents and providers, read and checked,
 * and the plan of its trials, before anything is written. For run, resume, eval, validate and --dry-run.
 */
#pragma once
#include <jansson.h>
#include "config/config.h"
#include "config/providers.h"
#include "plan/plan.h"
#include "store/planfile.h"
#include "store/store.h"
#include "task/context.h"
#include "task/task.h"

struct inputs_task {
	struct task task;
	struct task_source source;	/* its strings belong to the bench */
	char *snapshot;			/* "cache/tasks/HASH" once committed */
	struct task_context *context;	/* of its image, where it runs in a container */
	struct task_contexts verifiers; /* of a Harbor task: those of its verifiers' own images */
	char *verifier_keys; /* as task_context_verifiers has them; NULL: not looked for */
};

struct inputs {
	struct bench bench;
	struct inputs_task *tasks; /* each distinct (folder, overrides) once */
	size_t tasks_n;
	size_t *entry_task; /* bench.entries[i] is of tasks[entry_task[i]] */
	json_t *tools;	    /* as tools_find has them; NULL: none */
	json_t *agents;	    /* agent name -> spec; every plan.trials[i].agent is there */
	enum sandbox_kind
		usual; /* what "auto" is for tasks without an image; SANDBOX_AUTO: not asked */
	struct strv harbor_notes; /* what is to be told of Harbor tasks */
	char *weaker;		  /* why it is a weaker one; NULL: it is not */
	char *engine; /* "Docker Engine 20.10.24": what containers run in; NULL: not asked */
	struct providers providers; /* loaded when an agent needs a model, or a judge is named */
	struct plan plan;	    /* run_id and task_snapshot are set by inputs_commit */
};

/* Read and check everything; every mistake of the file, of all tasks and all agents is a line in
 * PROBLEMS. Trials that are in OLD already (by key; may be NULL) are left out of the plan, and the
 * others are numbered after them. An agent that is another than OLD's of its name is called NAME@DIGEST,
 * and settings that changed make another variant: plan.notes says so. Writes nothing. OUT must be released in any case. */
int inputs_load(struct inputs *out, const struct config_request *req, const struct planfile *old,
		struct strv *problems, struct err *err) MUST_CHECK;
/* The benchmark and its tasks alone, for grading: no agent is looked for and no plan made. */
int inputs_load_tasks(struct inputs *out, const struct config_request *req, struct strv *problems,
		      struct err *err) MUST_CHECK;
/* ERR_USAGE when IN is another benchmark than NAME. */
int inputs_check_name(const struct inputs *in, const char *name, struct err *err) MUST_CHECK;
/* Write the snapshot of T unless that was done. */
int inputs_snapshot(struct inputs_task *t, const struct store *s, struct err *err) MUST_CHECK;
/* Write the task snapshots below the store and give the trials their run ids, "STAMP-index". */
int inputs_commit(struct inputs *in, const struct store *s, const char *stamp,
		  struct err *err) MUST_CHECK;
void inputs_release(struct inputs *in);
/* Whether T, just read from SOURCE, can begin as it says where its repository is on this machine (start-check.h): ERR_USAGE with a
 * line in PROBLEMS. */
int inputs_check_start(const struct task *t, const struct task_source *source,
		       struct strv *problems, struct err *err) MUST_CHECK;
/* The lines of task_read with the folder before the file's name. */
void inputs_task_lines(const struct task_source *source, const struct strv *lines,
		       struct strv *out);
