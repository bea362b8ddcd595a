/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * sizes.h -- how much the models that people run can hold, and say at once: for agents that want to be told. Pure.
 */
#pragma once

struct model_sizes {
	int context;	/* tokens of a request and its answer */
	int max_output; /* tokens of an answer */
};

/* Of one that is not known, what most can do today. */
struct model_sizes model_sizes(const char *model);
