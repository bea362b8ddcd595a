/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * session.h -- a rollout held for writing, by run, resume or eval: from the claimed folder to the last trial. Prints
 * nothing.
 */
#pragma once
#include "rollout/inputs.h"
#include "sched/sched.h"
#include "store/manifest.h"

struct session {
	struct store store;
	struct rollout_ref ref;
	int dir_fd;
	struct planfile plan;
	struct trial_progress *progress;
	bool host_checked;
	struct session_images {
		bool fresh, pull,
			rebuild; /* as in engine/make-image.h; a rollout that goes on has none */
	} images;
	struct journal *journal;
	struct journal_stats stats;
	struct strv asks_here; /* launchers whose trials ask models by way of the gateway here */
	char *secret;	       /* NULL without a gateway */
	bool moved; /* trials were made those of changed tasks (regrade_move), and that is not written */
	bool fresh; /* made by session_create, and no trial was started yet */
};

/* Claim a folder and write everything a rollout starts with. The plan moves out of IN. */
int session_create(struct session *s, struct inputs *in, const struct config_request *req,
		   struct err *err) MUST_CHECK;
/* Take an existing one for writing: ERR_USAGE while another process has it. Waits for workers of a
 * supervisor that was killed and takes in what they left. */
int session_open(struct session *s, const char *data_dir, const char *name, const char *selector,
		 struct err *err) MUST_CHECK;
/* Add the trials of IN, which were planned as new ones. ONLY_LOOK: nothing is written. */
int session_extend(struct session *s, struct inputs *in, bool only_look,
		   struct err *err) MUST_CHECK;
/* Another judge than the plan's for as long as S is open; plan.json stays as it is. Takes what is in JUDGE. */
int session_judge(struct session *s, struct judge *judge_take, struct err *err) MUST_CHECK;
/* Remove a rollout of which nothing came; the session stays to be closed. */
void session_undo(struct session *s);
void session_close(struct session *s);

/* What is to be done; borrowed. */
struct session_work {
	const struct sched_item *items;
	size_t n;
	int parallel; /* 0: as planned */
	const char *
		config; /* the file whose tasks stand for snapshots that are missing; NULL: as planned */
	bool no_preflight;
	int64_t wall_ms; /* nothing more is started after so long; 0: no such limit */
	/* As prepare_models made them. Without a document no model is asked, and what models may cost in all
	 * ([budget]) holds nothing back. */
	json_t *document;
	char *const *replay;
	void (*on_done)(void *arg, size_t item, enum outcome outcome);
	void *on_done_arg;
};
/* ERR_INFRA when the disk is full, a program is missing that one of TRIALS needs, or no sandbox starts. The store is open. */
int session_check_host(struct session *s, const struct trial *trials, size_t n,
		       struct err *err) MUST_CHECK;
/* Do W: images are made, the tests are tried (preflight.h), the gateway is started, the trials run; L is told of it.
 * Blocks until nothing runs. A new rollout in which no trial was started, for an error, is taken back. */
int session_run(struct session *s, const struct listener *l, const struct session_work *w,
		struct sched_end *end, struct err *err) MUST_CHECK;
