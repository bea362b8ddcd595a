/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * session.h -- a rollout held for writing: what run, resume and eval share from the claimed folder
 * to the last line on the screen.
 */
#pragma once
#include "cmd/display.h"
#include "cmd/frontend.h"
#include "sched/sched.h"
#include "store/manifest.h"

struct session {
	struct store store;
	struct rollout_ref ref;
	int dir_fd;
	struct planfile plan;
	struct trial_progress *progress;
	struct journal *journal;
	struct journal_stats stats;
	char *secret; /* NULL without a gateway */
	char **replay; /* per trial of the plan, the recording that answers, or NULL; NULL: none at all */
};

struct session_view {
	int verbose;
	bool json;
};

#define SESSION_VIEW_OPTIONS(view)                                                                 \
	{.name = "verbose",                                                                        \
	 .short_name = 'v',                                                                        \
	 .kind = OPTION_COUNT,                                                                     \
	 .target = &(view)->verbose,                                                               \
	 .help = "plain progress (-v), or everything agents and tests print (-vv)"},               \
	{                                                                                          \
		.name = "json", .kind = OPTION_FLAG, .target = &(view)->json,                      \
		.help = "print the events as JSON lines, nothing else"                             \
	}

enum display_mode session_mode(const struct session_view *v);

/* Claim a folder and write everything a rollout starts with. The plan moves out of F. */
int session_create(struct session *s, struct frontend *f, const struct config_request *req,
		   struct err *err) MUST_CHECK;
/* Take an existing one for writing: ERR_USAGE while another process has it. Waits for workers of a
 * supervisor that was killed and takes in what they left. */
int session_open(struct session *s, const char *data_dir, const char *name, const char *selector,
		 struct err *err) MUST_CHECK;
/* Add the trials of F, which were planned as new ones. ONLY_LOOK: nothing is written. */
int session_extend(struct session *s, struct frontend *f, bool only_look,
		   struct err *err) MUST_CHECK;
void session_close(struct session *s);

/* What is to be run, for sched_run. */
struct session_work {
	const struct sched_item *items;
	size_t n;
	int parallel;		  /* 0: as planned */
	const char *note;	  /* one more line before "Starting", or NULL */
	const struct strv *notes; /* and more of them, or NULL */
	bool fail_fast;
	/* For the gateway, without its secret; borrowed. NULL: no trial here has a provider. */
	json_t *document;
	void (*on_done)(void *arg, size_t item, enum outcome outcome);
	void *on_done_arg;
};
/* "[rollouts] config=..." to "Starting ...". */
void session_announce(const struct session *s, struct display *d, const struct session_work *w);
/* ERR_INFRA when a program is missing that one of TRIALS needs. */
int session_check_host(const struct trial *trials, size_t n, struct err *err) MUST_CHECK;
int session_run(struct session *s, struct display *d, const struct session_work *w,
		struct sched_end *end, struct err *err) MUST_CHECK;
/* The exit status of END. */
int session_status(const struct sched_end *end);
/* After the last task: scores, what is missing, and the next command. */
void session_conclude(const struct session *s, struct display *d, const struct sched_end *end);
