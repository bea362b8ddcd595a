/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * node-spending.h -- what an attempt's model calls came to so far, told to the submitting side while it works: should this node be lost,
 * its call log is lost with it, and that is then all that is known of it.
 */
#pragma once
#include <jansson.h>
#include "model/call-log.h"

struct node_spending {
	int64_t next_ms; /* when it is looked again; 0: this attempt asks no gateway here */
	int64_t seen;	 /* of the logs' sizes and times, as they were when they were read last */
	struct call_log_sum told;
};

void node_spending_start(struct node_spending *s);
/* A worker's line (EVENT_SPENDING) about the attempt in DIR below ROOT_FD, once it is time and there is news. NULL: not so. */
json_t *node_spending_news(struct node_spending *s, int root_fd, const char *dir);
