/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * config.h -- a benchmark file and the command line become a struct bench. One table
 * (config-keys.c) describes every key; all issues are reported in one go as "bench.toml:14:3:
 * ...". Reads only.
 *
 * Which value counts, the strongest first: a flag; [[tasks]]; [defaults]; the top level of the
 * file; the variable SANDBOX_BACKEND (for `sandbox` alone); the built-in default.
 * environment_variables are merged in the same order, name by name. TIMEOUT_SEC in them is the
 * timeout_sec of the place it stands in.
 */
#pragma once
#include "base/buf.h"
#include "base/err.h"
#include "base/strv.h"
#include "core/bench.h"
#include "core/kv.h"

/* What the command line says. Zeroed: nothing but the defaults. */
struct config_request {
	const char *path; /* the benchmark file */
	struct strv
		tasks; /* instead of one: folders of tasks, or tasks, each as prepared_dir has it; then PATH is for messages only */
	/* Ask the user QUESTION, yes or no; NULL: nobody can be asked. */
	bool (*ask)(const char *question);
	struct kvs settings; /* key -> text, in the words of the file: "parallel", "agent",
			      * "sandbox", "rollouts", "timeout_sec", "fail_fast" ... */
	struct strv models;  /* instead of all models of the file, when any */
	bool no_judge;	     /* no rubric is judged, whatever the file says */
	struct kvs env;	     /* added to environment_variables */
	struct strv tags;
	struct strv
		only; /* globs over task ids, folder names and prepared_dir, or "tag:GLOB"; none: all */
	struct strv exclude; /* the same, of tasks left out */
	int64_t sample;	     /* so many tasks of those, drawn by sample_seed; 0: all */
	int64_t sample_seed;
	int64_t limit;	      /* at most this many trials; 0: all */
	const char *data_dir; /* NULL: "data" */
	bool grading_only;    /* no agent will be started: it need not be installed */
	const char *replay;   /* "NAME@STAMP": a rollout whose recordings answer; NULL: none */
	bool replay_or_live;  /* what they do not hold goes to the provider */
	/* The tasks of SPEC: "git+https://HOST/REPO@COMMIT#FOLDER" (a branch, a tag or nothing in place of the commit), or a file that lists
	 * some, "DIR/registry.json:NAME[@VERSION]" or "DIR/dataset.toml" (also as FOLDER). Appended to PATHS, as seen from here, and to SHOWN as
	 * they are called. ERR_USAGE for what there is not. NULL: none of it is known. */
	int (*datasets)(const struct config_request *req, const char *spec, struct strv *paths,
			struct strv *shown, struct err *err);
	struct strv *notes;		     /* what is to be told of that; NULL: nobody is */
	bool pull, rebuild, allow_emulation; /* of images: see engine/make-image.h */
	const char *gateway; /* unix socket that answers model requests, or NULL: none */
};

void config_request_release(struct config_request *r);

/* Read and check. Each issue is a line in ISSUES; -1 with ERR_USAGE when there is any. */
int config_load(struct bench *out, const struct config_request *req, struct strv *issues,
		struct err *err) MUST_CHECK;
/* The name that rollouts of the file at PATH have; tasks need not be there any more. The caller owns *OUT. */
int config_name(char **out, const char *path, struct err *err) MUST_CHECK;
/* The tables [launcher.NAME] alone, name -> settings, NULL when there are none; tasks need not be there. The caller owns *OUT. */
int config_launcher_settings(json_t **out, const struct config_request *req,
			     struct err *err) MUST_CHECK;
/* The tables [agents.NAME] of the file at PATH, NULL when there are none, and, each once, the agents that it names or that "auto"
 * means for its models; tasks need not be there. The caller owns both. Fails as config_load. */
int config_agent_names(json_t **variants, struct strv *names, const char *path, struct strv *issues,
		       struct err *err) MUST_CHECK;
/* The effective configuration as text, each value with where it comes from. Fails as config_load.
 */
int config_explain(struct buf *out, const struct config_request *req, struct strv *issues,
		   struct err *err) MUST_CHECK;
