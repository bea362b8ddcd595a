/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * result.h -- result.json, a worker's only output, and agent.json, its commit point. Everything else
 * that shows a result (evaluation_results.json, the manifest, tables) is derived from these.
 */
#pragma once
#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include "base/err.h"
#include "base/hash.h"
#include "base/strv.h"
#include "core/model-options.h"
#include "core/model-share.h"
#include "core/metric.h"
#include "core/outcome.h"
#include "core/score.h"

/* -1 means "not known" for every number; money is N/A, not 0, where no price is known. */
struct agent_metrics {
	/* As the gateway counted them, else as the agent says: input includes what was cached and cache
	 * writes, output includes reasoning. */
	int64_t tokens_total, tokens_input, tokens_cached, tokens_output;
	int64_t tokens_cache_write, tokens_reasoning;
	int64_t tokens_agent; /* the total by the agent's own account, where the gateway counted too */
	int64_t calls;	      /* model calls */
	int64_t estimated;    /* of them without reported usage: their tokens are guessed */
	int64_t waited_ms;    /* for quota: not counted as working time */
	int64_t tool_calls, turns;
	double money_usd;
	int64_t wall_ms;      /* the agent phase */
	int64_t cpu_ms;	      /* user and system, all processes of the sandbox that were reaped */
	int64_t memory_max;   /* bytes: the largest sum of resident memory seen, or memory.peak */
	int64_t disk_bytes;   /* written blocks at the end */
	int64_t left_running; /* processes that ran on when it had ended by itself, and were killed */
	char model_served[256]; /* as the answers name it, several separated by ", "; "" unknown */
	char keys[512];		/* names of the provider's keys that were used, as model_served */
	struct model_shares by_model; /* of a trial with roles (core/roles.h); else none */
};

extern const struct agent_metrics agent_metrics_unknown;

/* What rules of an agent's file read of its output beside what all agents have: "metrics.NAME". */
enum { AGENT_COUNTED_MAX = 16 };
struct agent_counted {
	char name[40];
	double value;
	bool known;
};

/* What became of one of several prompts of a session. -1 as above. */
enum { AGENT_PROMPTS_MAX = 16 };
struct agent_prompt {
	bool asked; /* the session came to it; else nothing below counts */
	enum outcome outcome;
	char reason[256];
	int64_t wall_ms, calls, tokens_input, tokens_cached, tokens_output, tokens_total;
	int64_t tool_calls, turns;
	double money_usd;
};

/* How the agent phase ended. Committed to agent.json once the artifacts are complete. */
struct agent_record {
	enum outcome outcome;
	char reason[256]; /* one line; "" when completed */
	int exit_status;  /* wait status; -1: no process */
	bool oom_killed;  /* the kernel killed a process of its sandbox for memory */
	struct agent_metrics metrics;
	int64_t diff_bytes, diff_lines; /* lines: added and removed */
	int64_t diff_files;		/* -1: not known, an older program's */
	bool diff_truncated;
	/* How many of its paths the diff leaves out, because of .gitignore or for what they are, and the first of them:
	 * those with their reasons, one a line. All are in artifacts/repo_info.json. */
	int64_t ignored_paths, skipped_paths;
	char ignored[512], skipped[1024];
	char digest[HASH_HEX]; /* SHA-256 of artifacts/diff.patch */
	char version[64];      /* of the agent, "" unknown */
	char tree[HASH_HEX]; /* of what npm installed (config/agent-cache.h); "": something else */
	/* What a variant says of it: {options{}, system_prompt{how, sha256}} as JSON, options as their SHA-256 where they are long; "": nothing. */
	char variant[1024];
	char final_message[1024];
	struct model_options options; /* that its requests said */
	struct agent_counted counted[AGENT_COUNTED_MAX];
	size_t counted_n;
	struct agent_prompt prompts[AGENT_PROMPTS_MAX]; /* of a task with follow-ups; else none */
	size_t prompts_n;
};

json_t *agent_record_to_json(const struct agent_record *a);
int agent_record_from_json(struct agent_record *a, const json_t *j, const char *where,
			   struct err *err) MUST_CHECK;

/* What one account at the gateway came to. */
struct model_usage {
	int64_t calls, estimated; /* estimated: of them without reported usage */
	int64_t tokens_input, tokens_cached, tokens_cache_write; /* input includes the other two */
	int64_t tokens_output, tokens_reasoning;		 /* output includes reasoning */
	int64_t waited_ms;					 /* for quota */
	double money_usd;					 /* -1: some call had no price */
	char model_served[256];					 /* as agent_metrics has it */
	char keys[512];
};

/* How one step of a task was graded. */
struct step_result {
	char *name; /* "" for the only step of a prepared task */
	struct scores scores;
	int tests, tests_passed;
};

/* What running the tests of all steps took. */
struct test_usage {
	int64_t wall_ms;
	int64_t cpu_ms, memory_max; /* as in agent_metrics */
	double cpu_pressure; /* share of that time in which something on this machine waited for a processor; -1 unknown */
	double cpu_steal; /* share of its processors' time that the host gave to others; -1 unknown */
	bool timed_out_under_load; /* a test whose time was up, on a busy machine */
	bool killed;		   /* a test that something killed, and nothing of ours */
};

struct phase_time {
	char *name; /* PHASE_PREPARE ... */
	int64_t ms;
};

#define CAUSE_PROVIDER "provider" /* a model could not be asked */
#define CAUSE_NO_ROOM "no_room"	  /* the disk, its inodes or a quota are used up */
#define CAUSE_WORKER "worker"	  /* it died */

struct result {
	char *run_id;
	char *rollout_id; /* as struct attempt has it */
	char key[HASH_HEX];
	int attempt;
	char task_hash[HASH_HEX]; /* of the task it was graded with; "": an older program's */
	char *program;		  /* that made it, as install_build; NULL: an older one's */
	enum outcome outcome;
	bool retry;   /* an infra_error worth another attempt */
	bool refused; /* an infra_error that every trial of its model meets until somebody mends it */
	char cause
		[16]; /* of an infra_error: the phase that failed, or CAUSE_PROVIDER; "" unknown */
	bool regrade;
	char reason[256]; /* one line; "" when completed */
	bool has_agent;	  /* agent is valid: the agent phase was committed */
	struct agent_record agent;
	bool has_judge; /* judge is valid: graders could ask a model */
	struct model_usage judge;
	int64_t frozen_ms; /* the machine, or all of its processes, stood still meanwhile, and no deadline counts that */
	bool oom_killed; /* in any sandbox of this attempt; not by our own watch */
	bool evaluated;
	bool scored;	    /* total_score is a number */
	double total_score; /* 0..1 when scored */
	double judge_score; /* weighted, of the rubrics that a judge scored: 0..1; -1: there is none */
	char judge_model[128]; /* who judged, as its provider names it; "": nobody was asked */
	json_t *judge_votes; /* rubric -> what each vote on it said, null where nothing; NULL: nobody was asked */
	char judge_prompt[HASH_HEX]; /* which way of asking: our words and the judge's settings */
	double coverage;	     /* scored share of the rubrics' weight; -1 unknown */
	/* What total_score would be if all that was not scored were worth nothing, or all; -1 unknown. */
	double score_low, score_high;
	int tests, tests_passed;   /* of all steps */
	struct step_result *steps; /* those that were graded, in order */
	size_t steps_n;
	json_t *harbor; /* of a Harbor task: its rewards as they are, what its container was, what was left running (docs/harbor.md); NULL */
	struct strv suspect; /* what of its work was meant for its tests: evidence, a line each */
	struct metrics metrics;	   /* what the tests wrote */
	struct test_usage usage;   /* valid when evaluated */
	struct phase_time *phases; /* in order */
	size_t phases_n;
	char *sandbox;	       /* "local", "none" ... */
	char *image;	       /* of a container: its digest; "": none */
	char *image_id;	       /* the same as the engine knows it: "sha256:..." */
	char *platform;	       /* what it is for: "linux/amd64" */
	char *workspace;       /* "overlay", "copy", "none" */
	json_t *tools;	       /* {name: its file}: the benchmark's; NULL: none */
	json_t *tool_versions; /* {name: what it says of itself, or null}; NULL: none */
	/* In a cloud: what it ran on as its node knows it, `seconds` of it, and with a price `usd`; NULL elsewhere. */
	json_t *machine;
	double cpus;	   /* processors that its sandboxes had; 0: no limit */
	char *limits_held; /* "cgroup", "watched", "none" */
	char *isolation; /* of a weaker sandbox: what isolated it, "Landlock 7, a user of its own"; NULL: all that it has */
	char *around; /* as struct attempt has it */
};

void result_init(struct result *r);
void result_release(struct result *r);
/* A new last step without scores; the pointer holds until the next is added. Copies NAME. */
struct step_result *result_add_step(struct result *r, const char *name);
void result_add_phase(struct result *r, const char *name, int64_t ms); /* copies NAME */
json_t *result_to_json(const struct result *r);
int result_from_json(struct result *r, const json_t *j, const char *where,
		     struct err *err) MUST_CHECK;
