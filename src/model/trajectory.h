/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * trajectory.h -- the conversations of an attempt as a trajectory in the Agent Trajectory Interchange Format (ATIF 1.7), which
 * Harbor's viewer and others read.
 */
#pragma once
#include <jansson.h>
#include <stdint.h>
#include "model/messages.h"

struct trajectory_facts {
	const char *session;				    /* names the attempt */
	const char *agent, *version;			    /* VERSION "": unknown */
	const char *model;				    /* "": none */
	int64_t tokens_input, tokens_cached, tokens_output; /* of all calls; -1: unknown */
	double usd;					    /* -1: unknown */
};

/* A new reference; NULL where nothing was said. The first main conversation is the trajectory, the others are its sub-agents. */
json_t *trajectory_make(const struct messages *m, const struct trajectory_facts *f);
