/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * store.h -- the data root on disk. Files are the truth: run directories and one append-only
 * journal per benchmark; everything else is derived.
 *
 *   DATA/rollouts/NAME/STAMP/  config.toml plan.json events.jsonl manifest.json runs.txt tags
 *                              task_results/
 *   DATA/rollouts/temp/        rollout_NAME__STAMP.json
 *   DATA/runs/RUN_ID/          attempts/N/, latest -> attempts/N, and links to its files
 *   DATA/cache/                tasks/ baselines/ mirrors/ pins/
 */
#pragma once
#include <stdbool.h>
#include <stdint.h>
#include "base/buf.h"
#include "base/err.h"
#include "base/hash.h"
#include "base/strv.h"
#include "core/metric.h"
#include "core/outcome.h"
#include "core/trial.h"
#include "store/exclusions.h"
#include "store/journal-cost.h"
#include "store/memory.h"

struct store {
	int root_fd;
	char *root;	/* as the user named it ("data"): prefix of the run_dir shown to people */
	int cache_lock; /* its descriptor and one; 0: not held */
};

/* CREATE: for who writes to it, with store_use_cache(). */
int store_open(struct store *s, const char *data_dir, bool create, struct err *err) MUST_CHECK;
/* Who uses the cache of a data folder, and who removes from it, keep each other out for as long as S is open. Taken before
 * any other lock below the data folder, and by no worker. Using it waits for who removes; claiming it is ERR_USAGE while
 * somebody uses it. Where a file system has no locks, neither does anything. */
int store_use_cache(struct store *s, struct err *err) MUST_CHECK;
int store_claim_cache(struct store *s, struct err *err) MUST_CHECK;
void store_close(struct store *s);
/* ERR_USAGE when a folder of the data root is a link: below the root nothing is followed. store_open asks it where it
 * creates; whoever writes to what is there asks it too. */
int store_check_links(const struct store *s, struct err *err) MUST_CHECK;

/* Of a benchmark: one path component, not hidden, not "temp", printable. */
bool store_name_is_valid(const char *name);

/* One run of a benchmark on disk. */
struct rollout_ref {
	char *name, *stamp;
	char *path; /* "rollouts/NAME/STAMP" below the data root */
};
void rollout_ref_release(struct rollout_ref *r);

/* All of NAME (NULL: of every name), oldest first. The caller frees *out and its items. */
int store_list(const struct store *s, const char *name, struct rollout_ref **out, size_t *n,
	       struct err *err) MUST_CHECK;
/* NAME may be written as its file, "configs/NAME.toml", or as the folder of its rollouts or of one of them,
 * "data/rollouts/NAME/STAMP". SELECTOR: NULL for the latest, or a stamp, a date
 * ("20250824", the latest of that day), a unique prefix of a stamp, or a tag. ERR_USAGE names what there is. */
int store_find(const struct store *s, const char *name, const char *selector,
	       struct rollout_ref *out, struct err *err) MUST_CHECK;

/* "rollouts VERB NAME --rollout STAMP", to be pasted into a shell. */
void store_command(struct buf *out, const char *root, const struct rollout_ref *ref,
		   const char *verb);

/* Tags of a rollout, one a line in its file `tags`; a missing file is no tags. */
int store_tags_read(const struct store *s, const struct rollout_ref *ref, struct strv *out,
		    struct err *err) MUST_CHECK;
/* What people say of a rollout, as notes.json has it: `title`, and `tags`, a note of each that has one. An empty object where
 * there is nothing; the caller owns it. */
int store_notes_read(const struct store *s, const struct rollout_ref *ref, json_t **out,
		     struct err *err) MUST_CHECK;
int store_notes_write(const struct store *s, const struct rollout_ref *ref, json_t *notes,
		      struct err *err) MUST_CHECK;
int store_tags_write(const struct store *s, const struct rollout_ref *ref, const struct strv *tags,
		     struct err *err) MUST_CHECK;

enum trial_state { TRIAL_PLANNED, TRIAL_RUNNING, TRIAL_INTERRUPTED, TRIAL_FINISHED };

/* What many results say alike, held once: strings of rollout.memory. NULL where it is not known, as of what older
 * programs wrote, but for task_hash: trial_graded_hash() knows it. */
struct result_origin {
	const char *
		task_hash; /* of the task it was graded with, unless it is as_planned; "": an older program's */
	const char *served;	   /* the models that answered it, by their own names */
	const char *agent_version; /* what the agent says it is */
	const char *judge_served;  /* the models that graded it */
	const char *judge_model;   /* who judged, as the provider names it */
	const char *judge_prompt;  /* the hash of the way it was asked */
	const char *image_id;	   /* of its container: "sha256:..." */
	const char *program;	   /* the build of rollouts that made it */
};

/* What few results have. */
struct result_more {
	double judge_score;	  /* -1: not judged */
	double first_score;	  /* see progress.h */
	int64_t skipped, ignored; /* paths that the diff leaves out: see core/result.h */
	const char *
		phase; /* of a live rollout, the last one that a running trial entered; NULL: none */
	const struct exclusion
		*excluded;   /* somebody said that the trial shall not count; NULL: it does */
	json_t *judge_votes; /* as result.h has it; owned; NULL: none */
	double *measured;    /* as metric_values, when it was asked for; owned; NULL: not known */
	struct trial_metric {
		const char *name; /* of rollout.memory */
		double value;
		bool self_reported;
	} * custom; /* what its tests wrote; owned */
	size_t custom_n;
};

/* What is counted and shown of a result; the whole of it is in the attempt's folder, and ten times as large. A million of
 * them are held at once: so numbers have no more bits than they need, and what is beyond that is the most that they hold. */
struct trial_result {
	const struct result_origin *origin; /* never NULL */
	const struct result_more *more;	    /* never NULL; owned, unless it is result_no_more */
	const char *reason;		    /* of rollout.memory; "" when completed */
	double total_score;
	double money_usd;      /* of the agent; -1: not known */
	int64_t tokens : 40;   /* the same */
	int64_t attempt : 24;  /* whose result it is */
	int64_t wall_ms : 40;  /* of the agent phase; -1: not known */
	uint64_t suspect : 15; /* lines of evidence that some of its work was meant for its tests */
	uint64_t outcome : 4;  /* enum outcome */
	bool disturbed : 1; /* a test timed out on a busy machine, or was killed by nothing of ours */
	bool scored : 1;
	bool replaced : 1, first_scored : 1; /* it replaces an earlier one: see progress.h */
	bool as_planned : 1;		     /* it was graded with the task that was planned */
	int32_t tool_calls, calls;	     /* of the agent; -1: not known */
};
#define TRIAL_COUNT_MAX INT32_MAX		  /* tool_calls, calls */
#define TRIAL_AMOUNT_MAX (((int64_t)1 << 39) - 1) /* tokens, wall_ms: 17 years */
#define TRIAL_SUSPECT_MAX INT16_MAX
extern const struct result_origin result_no_origin;
extern const struct result_more result_no_more;

/* Of the plan, what all trials of its task in its entry share, held once. Strings are never NULL, and of rollout.memory. */
struct trial_shared {
	/* What tasks have alike, too: all of a trial that is named neither here nor in trial_status. What is named there is
	 * nobody's in this one. */
	const struct trial *setting;
	const char *stem; /* of run IDs */
	int64_t seed;	  /* of its rollout 0, and one more for each; TRIAL_NO_SEED */
	const char *task_dir, *task_id, *task_hash, *planned_hash, *task_snapshot, *repository,
		*cluster, *image, *image_id; /* as in struct trial */
	struct strv tags;
};

/* A trial and what the journal says of it. */
struct trial_status {
	const struct trial_shared *shared;
	uint32_t
		number; /* at the end of its run ID, see trial_run_id(); TRIAL_NO_NUMBER: the stem is all of it */
	int32_t rollout;       /* from 0 */
	int32_t attempts : 24; /* started so far */
	uint32_t
		state : 4; /* enum trial_state; never RUNNING in a journal that nobody writes any more */
	bool has_result : 1;
	struct trial_result result; /* the one that counts, when has_result */
};
#define TRIAL_NO_NUMBER UINT32_MAX
#define TRIAL_STEM_MAX 84 /* a longer one is all of its run ID */
#define TRIAL_NO_SEED INT64_MIN
#define TRIAL_ATTEMPT_MAX ((1 << 23) - 1)

/* Its run ID, STAMP-index; with a suffix where two benchmarks share a second. It is put together in ROOM. */
struct run_id_room {
	char text[96];
};
const char *trial_run_id(const struct trial_status *t, struct run_id_room *room);
/* Valid until the end of the block that it stands in. */
#define RUN_ID(t) trial_run_id(t, &(struct run_id_room){.text = ""})
/* The task that it was graded with, as far as it is known; "": it is not. */
const char *trial_graded_hash(const struct trial_status *t);
/* What its tests wrote by that NAME, or what it cost (core/metric.h); NULL: nothing. */
const struct trial_metric *trial_metric_of(const struct trial_status *t, const char *name);
/* -1: none. */
static inline int64_t trial_seed(const struct trial_status *t)
{
	return t->shared->seed == TRIAL_NO_SEED ? -1 : t->shared->seed + t->rollout;
}
/* NULL: it counts. */
static inline const struct exclusion *trial_excluded(const struct trial_status *t)
{
	return t->result.more->excluded;
}

/* One of several rollouts that are read as one. */
struct rollout_part {
	struct rollout_ref ref;
	bool complete;
	char *program, *config_hash;
};

struct rollout {
	struct rollout_ref ref;
	char *root;   /* of the store it was loaded from, as the user named it */
	char *config; /* path as given at `run` */
	char *config_hash,
		*program; /* of its bytes; the version that planned it; "" where an older one did */
	struct strv tags;
	json_t *notes; /* of store_notes_read(); owned; NULL: none */
	bool live;     /* a supervisor holds the journal's lock */
	struct trial_status *trials;
	size_t trials_n;
	int damaged_lines;
	struct journal_cost
		cost; /* of all model calls, those of attempts that brought no result as well */
	struct rollout_memory memory; /* what trials and results point at */
	json_t *agents;		      /* name -> spec, as planned; owned */
	struct exclusions exclusions;
	struct rollout_part *parts; /* of rollout_pool(): what it was made from; else none */
	size_t parts_n;
	size_t renamed;	  /* of rollout_pool(): trials of earlier forms of their task */
	size_t strangers; /* of its run folders: another rollout's, see owner.h */
	char *stranger;	  /* the first of them, a RUN_ID; NULL: none */
};

struct rollout_how {
	/* What was measured of each trial (struct result_more): it is as much again, and few ask for it. */
	bool measured;
	bool index; /* the index (store/index.h) may answer in place of the files, and is kept */
};
/* Read plan.json and the journal. Linear in their size. */
int rollout_read(struct rollout *out, const struct store *s, const struct rollout_ref *ref,
		 const struct rollout_how *how, struct err *err) MUST_CHECK;
/* The same without anything that one has to ask for. */
int rollout_load(struct rollout *out, const struct store *s, const struct rollout_ref *ref,
		 struct err *err) MUST_CHECK;
/* R as it stands once nobody writes its journal any more: for the supervisor that is about to end. */
void rollout_ended(struct rollout *r);
/* Read N rollouts as one. Trials of one task are of one task as long as its hash is the same; earlier forms of a task are
 * called ID@HASH. Takes PARTS, oldest first. */
void rollout_pool(struct rollout *out, struct rollout *parts_take, size_t n);
void rollout_release(struct rollout *r);

/* Several of them; owned. */
struct rollouts {
	struct rollout *v;
	size_t n;
};
void rollouts_release(struct rollouts *r);
static inline void auto_rollouts(struct rollouts *r)
{
	rollouts_release(r);
}
void trial_result_release(struct trial_result *r);
/* What R has more than others, for who wants to fill it in. */
struct result_more *trial_result_more(struct trial_result *r);
/* Which of its trials R->exclusions are of. */
void rollout_mark_excluded(struct rollout *r);
/* Whether a supervisor writes its journal. */
bool rollout_is_live(const struct store *s, const struct rollout_ref *ref);
/* Results that something else on the machine may have changed. */
size_t rollout_count_disturbed(const struct rollout *r);
/* No trial is missing and none is infra_error or cancelled. */
bool rollout_is_complete(const struct rollout *r);
/* "complete", "running" (somebody writes its journal), "interrupted" (a trial was left half way, or
 * was cancelled), "incomplete" (trials are missing for other reasons). */
const char *rollout_state(const struct rollout *r);
