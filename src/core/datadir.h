/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * datadir.h -- the names of folders and files below the data folder (--data-dir). Whoever writes, reads or removes
 * one takes its name from here. docs/formats.md says what is in them.
 */
#pragma once
#include <stdbool.h>

/* Below the data folder. */
#define DATA_CACHE "cache"
#define DATA_CACHE_LOCK DATA_CACHE "/in-use.lock" /* see store_use_cache() */
#define DATA_TASKS DATA_CACHE "/tasks"		  /* HASH/: a snapshot, see task/task.h */
#define DATA_PLACE DATA_CACHE "/place"	   /* the inode of DATA_CACHE: another one after a copy */
#define DATA_PINS DATA_CACHE "/pins"	   /* HASH: the start commit of that task */
#define DATA_MIRRORS DATA_CACHE "/mirrors" /* HASH.git/: of a repository's URL */
#define DATA_BASELINES DATA_CACHE "/baselines" /* KEY/: see repo/repo.h */
#define DATA_CONTEXTS                                                                              \
	DATA_CACHE "/contexts"		 /* KEY/: what an image is made from, see task/context.h */
#define DATA_IMAGES DATA_CACHE "/images" /* KEY.json, KEY.log, KEY.lock: see core/image.h */
#define DATA_ETC DATA_CACHE "/etc"	 /* KEY/, KEY.list: see sandbox/etc.h */
#define DATA_COPIES                                                                                \
	DATA_CACHE "/copies" /* KEY/: an image's own copy of a repository, see repo/own-copy.h */
#define DATA_DATASETS                                                                              \
	DATA_CACHE "/datasets" /* REPOSITORY-COMMIT/: its files, see rollout/datasets.h */
#define DATA_INDEX "index.db"  /* see store/index.h */
#define DATA_PARCELS                                                                               \
	DATA_CACHE "/parcels" /* SHA256.tar: an input of a trial that travels, see node/inputs.h */
#define DATA_LAUNCH "launch"  /* NAME/: what the program of a launcher keeps */
#define DATA_RUNS "runs"      /* RUN_ID/ */
#define DATA_PREFLIGHT DATA_CACHE "/preflight" /* KEY.json: see rollout/preflight.h */
#define DATA_PREFLIGHT_PREFIX                                                                      \
	".preflight-"		 /* and a run's id, below DATA_RUNS: a preflight under way */
#define DATA_ROLLOUTS "rollouts" /* NAME/STAMP/ */
#define DATA_JUDGES                                                                                \
	"judges" /* MODEL-PROMPT.json: how a judge did on examples, see cmd/judge-report.h */
#define DATA_TEMP DATA_ROLLOUTS "/temp"
#define DATA_DOCTOR_PREFIX                                                                         \
	".rollouts-doctor." /* and a process id: what `doctor` tries things out in */

/* Of a task's snapshot. */
#define SNAPSHOT_TASK "task.json"
#define SNAPSHOT_APP "app"
#define SNAPSHOT_REPO "repo"
#define SNAPSHOT_GOLD "gold.patch"

/* Of a baseline. */
#define BASELINE_REPO "repo"
#define BASELINE_GIT "host.git"
#define BASELINE_BELOW "below" /* what of an image's own copy shows through; may be missing */

/* Of a rollout. */
#define ROLLOUT_CONFIG "config.toml"
#define ROLLOUT_PLAN "plan.json"
#define ROLLOUT_JOURNAL "events.jsonl"
#define ROLLOUT_MANIFEST "manifest.json"
#define ROLLOUT_EVAL_MANIFEST "eval_manifest.json"
#define ROLLOUT_EVALUATIONS "evaluations" /* N/, from 1: see rollout/evaluation.h */
#define ROLLOUT_RUNS "runs.txt"
#define ROLLOUT_RESULTS "task_results" /* RUN_ID.json */
#define ROLLOUT_SUMMARY "summary.md"
#define ROLLOUT_TAGS "tags"
#define ROLLOUT_NOTES "notes.json"
#define ROLLOUT_CHANGES "CHANGES" /* as it lay beside the benchmark: see store/changes.h */
#define ROLLOUT_EXCLUDED "excluded.jsonl"
#define ROLLOUT_GATEWAY_LOG "gateway.log"
/* 0700: workers open what is in it before they become another user, and hand on what they opened. */
#define ROLLOUT_SOCKETS "sockets"
#define ROLLOUT_GATEWAY_SOCKET ROLLOUT_SOCKETS "/gateway.sock" /* for agents: 0666 */
#define ROLLOUT_CONTROL_SOCKET ROLLOUT_SOCKETS "/control.sock" /* for workers: 0600 */
#define ROLLOUT_NODE_KEYS                                                                          \
	"node-keys.json" /* 0600: for gateways of other machines, see node/node-gateway.h */

#define ROLLOUT_NODE_DOOR                                                                          \
	"node-door.json" /* 0600: by which nodes reach the gateway here, see node/home-models.h */

/* Of a run. */
#define RUN_ATTEMPTS "attempts" /* N/, from 1 */
#define RUN_LATEST "latest"	/* a link to the last attempt */

/* Beside N/ while a trial has a sandbox for each of its phases: what its agent's came to. On a node only. */
#define ATTEMPT_OF_AGENT "agent"

/* Of an attempt. */
#define ATTEMPT_TRIAL "trial.json"
#define ATTEMPT_TRAVEL "travel.json" /* what goes with it to another machine, see node/inputs.h */
#define ATTEMPT_CLOUD "cloud.json" /* what its machine was in a cloud, and cost: see cloud/node.c */
#define ATTEMPT_AGENT "agent.json" /* the agent's work is committed */
#define ATTEMPT_SO_FAR "so_far.json" /* of one that goes on elsewhere: its result until then */
#define ATTEMPT_RESULT "result.json" /* the attempt has ended */
#define ATTEMPT_EVALUATION "evaluation_results.json"
#define ATTEMPT_SCORING "scoring_results.md"
#define ATTEMPT_VERDICTS "verdicts.jsonl" /* what a judge was shown and answered */
#define ATTEMPT_RECORDING "recording"
#define ATTEMPT_JUDGE_RECORDING "judge-recording"
#define ATTEMPT_ARTIFACTS "artifacts"
#define ATTEMPT_DIFF ATTEMPT_ARTIFACTS "/diff.patch"
#define ATTEMPT_DIFF_TIMES ATTEMPT_ARTIFACTS "/diff.times"
#define ATTEMPT_REPO_INFO ATTEMPT_ARTIFACTS "/repo_info.json"
#define ATTEMPT_NOTES ATTEMPT_ARTIFACTS "/notes.md"
#define ATTEMPT_COLLECTED ATTEMPT_ARTIFACTS "/agent"
#define ATTEMPT_LOGS "logs"
#define ATTEMPT_WORKER_LOG ATTEMPT_LOGS "/worker.log"
#define ATTEMPT_BUILD_LOG ATTEMPT_LOGS "/build.log" /* of its image */
#define ATTEMPT_AGENT_LOG ATTEMPT_LOGS "/agent.log"
#define ATTEMPT_AGENT_ERR ATTEMPT_LOGS "/agent.err"
#define ATTEMPT_ENTRY_LOG ATTEMPT_LOGS "/entrypoint.log"
#define ATTEMPT_EVAL_LOG ATTEMPT_LOGS "/eval.log"
#define ATTEMPT_CALLS ATTEMPT_LOGS "/llm.jsonl"		/* the agent's model calls */
#define ATTEMPT_JUDGE_CALLS ATTEMPT_LOGS "/judge.jsonl" /* those of graders */
/* Those that were sent and have not ended: what a gateway that was killed leaves. Absent while there is none. */
#define ATTEMPT_CALLS_OPEN ATTEMPT_LOGS "/llm.open"
#define ATTEMPT_JUDGE_CALLS_OPEN ATTEMPT_LOGS "/judge.open"
/* The scratch folders of its sandboxes. Whatever begins with the prefix is removed once its worker is gone. */
#define ATTEMPT_BOX_PREFIX "box"
#define ATTEMPT_BOX_AGENT ATTEMPT_BOX_PREFIX
#define ATTEMPT_BOX_EVALUATE ATTEMPT_BOX_PREFIX "-eval"

/* Whether NAME in an attempt's folder is a scratch folder. */
bool datadir_is_box(const char *name);
/* Where it is kept how MODEL_ID did, asked in the way PROMPT is the hash of; the caller frees. */
char *datadir_judge(const char *model_id, const char *prompt);
/* "runs/RUN_ID/attempts/N" below the data folder, with FILE of it below that; the caller frees. */
char *datadir_attempt(const char *run_id, int attempt);
char *datadir_attempt_file(const char *run_id, int attempt, const char *file);
