/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * bench.h -- a benchmark as configured: entries with every default applied. Data only; made by
 * src/config, read by src/plan. Everything is owned by the struct.
 */
#pragma once
#include <stdbool.h>
#include <stdint.h>
#include "base/strv.h"
#include "core/judge.h"
#include "core/kv.h"
#include "core/limits.h"
#include "core/model-options.h"
#include "core/score.h"

enum sandbox_kind {
	SANDBOX_AUTO,
	SANDBOX_LOCAL,
	SANDBOX_DOCKER,
	SANDBOX_LANDLOCK, /* without namespaces: weaker than the others */
	SANDBOX_NONE,
	SANDBOX_LAUNCHER, /* that of a launcher's engine alone, one for each phase: never planned, a node chooses it */
};
enum workspace_kind { WORKSPACE_AUTO, WORKSPACE_OVERLAY, WORKSPACE_COPY };

/* Whether what a task asks of a network is granted; ASK: one person says so for all of a run, or nobody, then it is not. Of the verifier CONSENT_ASK also
 * means "as of the agent" where that is said. */
enum consent { CONSENT_ASK, CONSENT_DENY, CONSENT_ALLOW };

/* By itself USD are and tokens are not. */
enum budget_hard { BUDGET_AUTO, BUDGET_HARD, BUDGET_SOFT };

const char *sandbox_kind_name(enum sandbox_kind k);
bool sandbox_kind_parse(const char *name, enum sandbox_kind *out);
/* Whether nothing is mounted in it: what an agent works in keeps the path that it has on its machine. */
bool sandbox_kind_is_plain(enum sandbox_kind k);
const char *workspace_kind_name(enum workspace_kind k);
bool workspace_kind_parse(const char *name, enum workspace_kind *out);

/* One [[tasks]] table and one task folder; a glob in prepared_dir makes several, in sorted order.
 * `models` stays a list: the plan makes the trials. */
struct bench_entry {
	int table;     /* which [[tasks]] table, from 0: entries of one glob share it */
	int line, col; /* of the table's prepared_dir in the file, for messages; 0 from flags */
	char *prepared_dir; /* as written (a glob's match otherwise): shown to people */
	char *task_path;    /* where it was found */
	bool found;	    /* in a folder, or by a glob: not named by itself */
	char *refused; /* why it cannot be run here, so that its trials are missing from the start; NULL: it can */
	struct strv only,
		exclude; /* which of its table's tasks run, as --only and --exclude; none: all */
	char *label;	 /* NULL when the plan shall make it */
	char *agent_place; /* "bench.toml:6:9" or "--model": where the agent, or the model it follows from, is said */
	char *model_place; /* where its model or models are said, as agent_place */
	char *agent;	   /* "auto", "nop", "oracle" or a name of share/agents */
	struct strv
		models; /* at least one item; "" where the agent needs none and none was given */
	int rollouts;
	bool apply_overrides;
	char *overrides; /* path found, or NULL: the task's own overrides.json if any */
	struct kvs env;	 /* environment_variables */
	enum sandbox_kind sandbox;
	char *image; /* of a container: core/image.h; NULL: none, or not looked for yet */
	enum workspace_kind workspace;
	char *launcher; /* core/launcher.h */
	bool network;
	int task_network, verifier_network; /* of Harbor tasks: enum consent, as asked for */
	char *reward; /* which of a Harbor task's rewards is its score; NULL: the usual one */
	char *verifier_images; /* as struct trial has them; NULL: none, or not looked for yet */
	bool eval_network;     /* of a Harbor task's verifier */
	char *verifier_tools; /* of Harbor tasks: a folder with what their tests install, absolute; NULL: none */
	bool timeout_given; /* and not the usual one: limits.timeout_ms stands also where a task says another */
	bool memory_given, cpus_given;
	struct limits limits;
	int retries; /* of infrastructure errors */
	bool evaluate;
	int eval_retries; /* of a grading in which a test timed out while the machine was busy */
	enum scoring scoring;
	int64_t seed; /* -1: none given */
	struct model_options options;
	json_t *roles; /* core/roles.h; NULL: none */
};

struct bench {
	char *config_path; /* as given by the user */
	char *config_text; /* the file's bytes, NUL-terminated */
	char *name;
	int parallel;
	bool fail_fast;
	bool allow_weaker_sandbox; /* "auto" may be "landlock" where "local" does not start */
	double fail_on_error;	   /* 0: none */
	int build_timeout_sec;	   /* of one image */
	struct budget {
		double usd; /* at it no new trial starts. 0: none, as below */
		int64_t tokens;
		int hard;	 /* enum budget_hard: what running trials ask then is refused */
		int64_t wall_ms; /* of one run or resume */
		double max_forecast_usd; /* refuse to start when more is to be expected */
	} budget;
	struct judge judge; /* nobody is known to answer yet */
	json_t *agents; /* name -> what the tables [agents.NAME] say of it, for config/agents.h; NULL: none */
	json_t *launchers; /* name -> settings, of the tables [launcher.NAME]; NULL: there are none */
	struct strv tags;
	struct strv tools;  /* programs by name or path, and folders, of this machine */
	struct strv caches; /* folders of this machine, "HOST" or "HOST:INSIDE" */
	struct bench_entry *entries;
	size_t entries_n, entries_cap;
};

void bench_init(struct bench *b);
void bench_release(struct bench *b);
struct bench_entry *bench_add_entry(struct bench *b); /* zeroed, with defaults; owned by b */
