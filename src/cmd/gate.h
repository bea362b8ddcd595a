/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * gate.h -- private to cmd: a gate without a baseline, as options of a verb that reads a rollout.
 */
#pragma once
#include "analysis/threshold.h"

struct gate {
	struct strv under; /* "0.8", "tag:hard=0.5" */
	const char *each_task, *badge;
	bool confident;
	struct threshold *thresholds;
	size_t n;
	struct threshold_lines lines;
};

#define OPTIONS_GATE(g)                                                                            \
	{.name = "fail-under",                                                                     \
	 .arg = "S",                                                                               \
	 .kind = OPTION_STRV,                                                                      \
	 .target = &(g)->under,                                                                    \
	 .help = "status 1 if the mean of a model is below S, or of tag:hard=S alone (task:, "     \
		 "model:, ...); 4 if missing trials leave it open"},                               \
		{.name = "each-task",                                                              \
		 .arg = "S",                                                                       \
		 .kind = OPTION_STR,                                                               \
		 .target = &(g)->each_task,                                                        \
		 .help = "the same of the mean of every task"},                                    \
		{.name = "confident",                                                              \
		 .kind = OPTION_FLAG,                                                              \
		 .target = &(g)->confident,                                                        \
		 .help = "the lower end of the interval has to be that high"},                     \
	{                                                                                          \
		.name = "badge", .arg = "FILE", .kind = OPTION_STR, .target = &(g)->badge,         \
		.help = "write the mean, coloured by these, as an SVG picture"                     \
	}

/* Read what the options say. */
int gate_parse(struct gate *g, struct err *err) MUST_CHECK;
/* Compare. */
int gate_check(struct gate *g, const struct rollout *r, const struct summary_options *options,
	       struct err *err) MUST_CHECK;
/* A line for each on standard error (of many that pass: how many); write the badge. S is the usual summary of R. */
int gate_tell(const struct gate *g, const struct rollout *r, const struct summary *s,
	      struct err *err) MUST_CHECK;
/* The exit status. */
int gate_status(const struct gate *g);
void gate_release(struct gate *g);
