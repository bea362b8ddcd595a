/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * trial.h -- one trial as planned, and trial.json: everything a worker needs to run one attempt of it.
 * trial.json holds no secret; its paths are relative to the data root. docs/formats.md describes both.
 */
#pragma once
#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include "base/err.h"
#include "base/hash.h"
#include "core/bench.h"
#include "core/judge.h"

struct trial {
	int index;	    /* position in the benchmark, from 0; never changes once planned */
	char *run_id;	    /* STAMP-index; with a suffix where two benchmarks share a second */
	char key[HASH_HEX]; /* hash(task hash, variant, agent, model, rollout): the trial's identity */
	char *task_dir;	    /* prepared_dir as written: shown to people, in the manifest */
	char *task_id;	    /* from tb_meta.json */
	char *task_hash;    /* of the task as resolved with its overrides */
	char *planned_hash; /* the same as it was when the trial was planned; "": it is still that one.
			       Another since `resume --regrade`: only a grade by task_hash counts */
	char *task_snapshot; /* "cache/tasks/HASH": see task/task.h */
	char *repository; /* the URL of its task's, of a local one its name and a digest; "": not known */
	char *cluster;	  /* that its task says it belongs to; "": none */
	struct strv tags; /* of its task */
	int judged;	  /* rubrics of its task that a judge would score, were there one */
	char *variant;	  /* the label: "" where one entry only has this task and model */
	char *agent;	  /* never "auto" */
	char *model;	  /* as the benchmark names it; "" where the agent needs none */
	char *provider;	  /* of config/providers.h: who answers its requests; "" none known */
	char *api; /* the dialect its agent speaks: responses, chat, anthropic, gemini; "" none */
	char *model_id; /* the name the provider knows the model by: aliases resolved */
	int rollout;	/* from 0 */
	int64_t seed;	/* -1: none */
	struct model_options options;
	json_t *roles; /* core/roles.h, with who answers them; NULL: none; owned */
	struct kvs env;
	enum sandbox_kind sandbox; /* never auto */
	char *image;		   /* key of core/image.h; "": no container */
	char *image_id; /* "sha256:...": that image, once it was there; "" not yet, or no container */
	char *repo_path; /* where its image has the repository, and the workspace is; "": as the task says */
	enum workspace_kind workspace;
	char *launcher;
	bool network;	   /* of the agent */
	bool eval_network; /* of a Harbor task's verifier; else the tests have none */
	char *verifier_tools; /* a folder of this machine with what its tests install where they have no network; "": none */
	char *verifier_images; /* of a Harbor task: a word for each step, see task/context.h; "": it is none */
	char *reward;	/* the key of its score among the rewards; "": the usual one */
	char *contract; /* of its container: "harbor" (a Harbor task); "": a prepared task */
	struct limits limits;
	int retries;
	bool evaluate;
	bool strict; /* SCORING_STRICT */
	char *refused; /* why its task cannot be run here: it ends at once, as an infra_error; "": it can */
	int eval_retries;
};

void trial_release(struct trial *t);
/* Whether it is a Harbor task, in a container of its own making. */
bool trial_is_harbor(const struct trial *t);
/* How many words it has. */
size_t trial_verifier_images(const struct trial *t);
/* The word of step I among its verifier_images, copied to OUT; "-" where there is none. */
void trial_verifier_image(const struct trial *t, size_t i, char out[HASH_HEX]);
/* Whether it was planned with another state of its task than it counts for now. */
bool trial_is_moved(const struct trial *t);
json_t *trial_to_json(const struct trial *t); /* new reference */
int trial_from_json(struct trial *t, const json_t *j, const char *where,
		    struct err *err) MUST_CHECK;

#define PREFLIGHT_TEST_MS 300000

/* One attempt: the content of RUN_DIR/attempts/N/trial.json. */
struct attempt {
	struct trial trial;
	char *rollout_id; /* of the start that made it (store/planfile.h); NULL or "": an older program's */
	int number; /* from 1 */
	/* An earlier attempt whose committed agent work is taken over; 0: none. Its own number: what its agent did in another sandbox, brought
	 * here as ATTEMPT_OF_AGENT. */
	int agent_from;
	bool agent_only; /* it goes on elsewhere: the worker ends once its agent's work is committed, without a result */
	char *around; /* what holds the machine that it runs on, where that is no plain one: "gVisor, in a sandbox of Modal"; NULL: nothing */
	bool regrade; /* `eval`: only evaluation, of agent_from */
	/* An earlier attempt that was graded: what its tests, or its judge, said is kept and not asked for anew, and so is
	 * what people said unless there are ratings here. 0: none. */
	int grades_from;
	bool keep_tests, keep_judge;
	json_t *ratings; /* what people say of its rubrics: [{rubric_id, score, rater}]; NULL: nothing; owned */
	bool preflight; /* no trial: no agent runs, and each test has PREFLIGHT_TEST_MS at most */
	bool watch_network; /* count what its tests ask of a network that is not there */
	/* No trial: somebody looks into its sandbox. `mode`: "graded" (as its tests find it), "clean" (without the agent's work),
	 * "agent" (as the agent had it); `test`: that is run, or null; `argv`: else this, or a shell; `terminal`; `program`, that graded it. Owned; NULL: none */
	json_t *shell;
	bool stream_output; /* -vv: agent and test output as "output" events */
	bool sync;	    /* fsync committed work: it cannot be made again for nothing */
	uid_t uid;	    /* become this before any untrusted code runs; 0: stay who we are */
	json_t *machine; /* in a cloud: what it runs on, and costs (result.h); NULL: not known; owned */
	json_t *tools;	    /* of the benchmark: `mounts`, `path`, `programs`; NULL: none; owned */
	json_t *agent_spec; /* the agent's TOML, resolved: see agent/agent.h; owned */
	char *bench;	    /* its name, for people */
	char *gateway;	    /* unix socket of the gateway, absolute; NULL: none */
	char *control;	    /* its other socket, for the worker; NULL: nobody meters or limits */
	struct judge judge; /* its provider NULL: no grader asks a model */
	char *replay; /* a recording to be answered from, relative to the data root; NULL: none */
	bool replay_or_live; /* what it does not hold goes to the provider */
	bool record;	     /* keep a recording of the model calls */
};

void attempt_release(struct attempt *a);
/* The folder beside A's own in which the work is that it takes over, "N" or ATTEMPT_OF_AGENT. */
const char *attempt_taken_folder(const struct attempt *a, char number[static 16]);
/* Whether its agent will run and ask a model through its gateway: one of the user's own serves everybody, that of the
 * rollout those whose model some provider answers. */
bool attempt_agent_asks(const struct attempt *a);
json_t *attempt_to_json(const struct attempt *a);
int attempt_from_json(struct attempt *a, const json_t *j, const char *where,
		      struct err *err) MUST_CHECK;
