/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * run-view.h -- what run, resume and eval show of a rollout while they hold it, and the exit status they share.
 */
#pragma once
#include "cmd/display.h"
#include "cmd/options.h"
#include "rollout/session.h"

struct run_view {
	int verbose;
	bool json;
};

#define RUN_VIEW_OPTIONS(view)                                                                     \
	{.name = "verbose",                                                                        \
	 .short_name = 'v',                                                                        \
	 .kind = OPTION_COUNT,                                                                     \
	 .target = &(view)->verbose,                                                               \
	 .help = "plain progress (-v), or everything agents and tests print (-vv)"},               \
	{                                                                                          \
		.name = "json", .kind = OPTION_FLAG, .target = &(view)->json,                      \
		.help = "print the events as JSON lines, nothing else"                             \
	}

/* On standard output; ended by display_free. */
struct display *run_view_open(const struct run_view *v);
/* "[rollouts] config=..." to "Starting ...", with NOTES before that. */
void run_view_announce(struct display *d, const struct session *s, const struct session_work *w,
		       const struct strv *notes);
/* Why nothing more was started, unless all was done. */
void run_view_stopped(struct display *d, const struct sched_end *end);
/* After the last task: why it stopped, scores, what it cost, what is missing, and the next command. */
void run_view_conclude(struct display *d, const struct session *s, const struct sched_end *end);
/* The exit status of END. */
int run_view_status(const struct sched_end *end);
